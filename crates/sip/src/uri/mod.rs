//! URIs: `sip`, `sips` and `tel` taken apart, others kept as they are.

mod equivalence;
mod escape;

use core::borrow::Borrow;
use core::fmt;

use crate::header::Params;
use crate::{ValueError, scan};

pub use escape::{escape_user, unescape};

/// Which scheme a URI has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// `sip:` (RFC 3261 section 19.1).
    Sip,
    /// `sips:` (RFC 3261 section 19.1).
    Sips,
    /// `tel:` (RFC 3966).
    Tel,
    /// Any other.
    Other,
}

/// A URI that borrows its text.
#[derive(Clone, Copy, Debug)]
pub struct Uri<'a> {
    text: &'a str,
    scheme: Scheme,
    user: Option<&'a str>,
    password: Option<&'a str>,
    host: &'a str,
    port: Option<u16>,
    params: Params<'a>,
    headers: Option<&'a str>,
}

/// Whether `text` is a URI; for schemes unknown here that it has one, and no character that ends a URI.
pub(crate) fn check(text: &str) -> Result<(), ValueError> {
    Uri::parse(text).map(|_| ())
}

impl<'a> Uri<'a> {
    /// Reads a URI, all of `text`.
    pub fn parse(text: &'a str) -> Result<Self, ValueError> {
        let (scheme_text, rest) = text.split_once(':').ok_or(ValueError::Syntax)?;
        let scheme = if scheme_text.eq_ignore_ascii_case("sip") {
            Scheme::Sip
        } else if scheme_text.eq_ignore_ascii_case("sips") {
            Scheme::Sips
        } else if scheme_text.eq_ignore_ascii_case("tel") {
            Scheme::Tel
        } else {
            Scheme::Other
        };
        let bare = Self {
            text,
            scheme,
            user: None,
            password: None,
            host: "",
            port: None,
            params: Params::default(),
            headers: None,
        };
        match scheme {
            Scheme::Sip | Scheme::Sips => bare.with_sip_parts(rest),
            Scheme::Tel => bare.with_tel_parts(rest),
            Scheme::Other => {
                let scheme_ok = scheme_text.starts_with(|c: char| c.is_ascii_alphabetic())
                    && scheme_text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
                let rest_ok =
                    !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'<' | b'>' | b'"'));
                if scheme_ok && rest_ok { Ok(bare) } else { Err(ValueError::Syntax) }
            }
        }
    }

    /// `[ userinfo "@" ] hostport uri-parameters [ headers ]` (RFC 3261 section 25.1).
    fn with_sip_parts(mut self, text: &'a str) -> Result<Self, ValueError> {
        let mut rest = text;
        // An "@" may stand nowhere else unescaped, so the first one ends the user part.
        if let Some((info, behind)) = text.split_once('@') {
            let (user, password) = info.split_once(':').map_or((info, None), |(user, pw)| (user, Some(pw)));
            let password_ok = password.is_none_or(|pw| scan::all_or_escaped(pw, scan::PASSWORD));
            // Real networks send "#" in dialled digits unescaped.
            let user_ok = user.split('#').all(|part| scan::all_or_escaped(part, scan::USER));
            if user.is_empty() || !user_ok || !password_ok {
                return Err(ValueError::Syntax);
            }
            (self.user, self.password) = (Some(user), password);
            rest = behind;
        }
        let (host, mut rest) = scan::take_host(rest).ok_or(ValueError::Syntax)?;
        self.host = host;
        if let Some(behind) = rest.strip_prefix(':') {
            let digits = behind.bytes().position(|b| !b.is_ascii_digit()).unwrap_or(behind.len());
            let port = scan::number(&behind[..digits], u64::from(u16::MAX)).ok_or(ValueError::Range)?;
            self.port = u16::try_from(port).ok();
            rest = &behind[digits..];
        }
        if let Some((params, headers)) = rest.split_once('?') {
            let header_ok = |header: &str| {
                header.split_once('=').is_some_and(|(name, value)| {
                    !name.is_empty()
                        && scan::all_or_escaped(name, scan::URI_HEADER)
                        && scan::all_or_escaped(value, scan::URI_HEADER)
                })
            };
            if !headers.split('&').all(header_ok) {
                return Err(ValueError::Syntax);
            }
            self.headers = Some(headers);
            rest = params;
        }
        self.params = Params::parse_uri(rest)?;
        Ok(self)
    }

    /// `telephone-subscriber` (RFC 3966 section 3).
    fn with_tel_parts(mut self, text: &'a str) -> Result<Self, ValueError> {
        let (number, params) = text.split_at(text.find(';').unwrap_or(text.len()));
        let digits = number.strip_prefix('+').unwrap_or(number);
        let is_digit = |b: u8| b.is_ascii_hexdigit() || matches!(b, b'*' | b'#' | b'-' | b'.' | b'(' | b')');
        if !digits.bytes().any(|b| b.is_ascii_hexdigit() || matches!(b, b'*' | b'#')) || !digits.bytes().all(is_digit) {
            return Err(ValueError::Syntax);
        }
        self.user = Some(number);
        self.params = Params::parse_uri(params)?;
        Ok(self)
    }

    /// The URI as written.
    pub const fn as_str(&self) -> &'a str {
        self.text
    }

    /// The scheme.
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Whether it is `sip` or `sips`.
    pub const fn is_sip(&self) -> bool {
        matches!(self.scheme, Scheme::Sip | Scheme::Sips)
    }

    /// The user part with its escapes, or the number of a `tel` URI. See [`unescape`].
    pub const fn user(&self) -> Option<&'a str> {
        self.user
    }

    /// The password; RFC 3261 section 19.1.1 advises against it.
    pub const fn password(&self) -> Option<&'a str> {
        self.password
    }

    /// The host; an IPv6 reference keeps its brackets. Empty unless the scheme is `sip` or `sips`.
    pub const fn host(&self) -> &'a str {
        self.host
    }

    /// The port, if given.
    pub const fn port(&self) -> Option<u16> {
        self.port
    }

    /// The URI's parameters, names and values with their escapes.
    pub const fn params(&self) -> Params<'a> {
        self.params
    }

    /// The parameter `name`, compared without case and with escapes undone (RFC 3261 section 19.1.4).
    pub fn param(&self, name: &str) -> Option<crate::header::Param<'a>> {
        self.params.iter().find(|param| escape::eq_ignore_case(param.name, name))
    }

    /// The `transport` parameter.
    pub fn transport(&self) -> Option<&'a str> {
        self.param("transport")?.value
    }

    /// Whether the element that this URI names is a loose router (RFC 3261 section 16.12).
    pub fn is_loose_router(&self) -> bool {
        self.param("lr").is_some()
    }

    /// What stands behind the question mark.
    pub const fn headers(&self) -> Option<&'a str> {
        self.headers
    }

    /// Whether two URIs name the same resource by the rules of RFC 3261 section 19.1.4. URIs of other schemes are
    /// equal when they are spelled alike.
    pub fn is_equivalent(&self, other: &Uri<'_>) -> bool {
        equivalence::is_equivalent(self, other)
    }
}

impl fmt::Display for Uri<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text)
    }
}

/// A URI that owns its text; equality is by spelling, see [`Uri::is_equivalent`] for the other kind.
#[derive(Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "String", into = "String"))]
pub struct UriBuf(Box<str>);

impl UriBuf {
    /// Reads a URI and keeps its text.
    pub fn parse(text: &str) -> Result<Self, ValueError> {
        check(text)?;
        Ok(Self(text.into()))
    }

    /// `sip:user@host_port`; the user part is escaped as needed. `host_port` is `host` or `host:port`.
    pub fn sip(user: Option<&str>, host_port: &str) -> Result<Self, ValueError> {
        match user.filter(|user| !user.is_empty()) {
            Some(user) => Self::parse(&format!("sip:{}@{host_port}", escape_user(user))),
            None => Self::parse(&format!("sip:{host_port}")),
        }
    }

    /// The URI as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The URI taken apart.
    pub fn view(&self) -> Uri<'_> {
        match Uri::parse(&self.0) {
            Ok(uri) => uri,
            Err(_) => unreachable!("checked when it was made"),
        }
    }
}

impl Borrow<str> for UriBuf {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for UriBuf {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl From<Uri<'_>> for UriBuf {
    fn from(uri: Uri<'_>) -> Self {
        Self(uri.text.into())
    }
}

impl core::str::FromStr for UriBuf {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for UriBuf {
    type Error = ValueError;

    fn try_from(text: String) -> Result<Self, ValueError> {
        check(&text)?;
        Ok(Self(text.into_boxed_str()))
    }
}

impl From<UriBuf> for String {
    fn from(uri: UriBuf) -> Self {
        uri.0.into()
    }
}

impl fmt::Debug for UriBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}>", self.0)
    }
}

impl fmt::Display for UriBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sip_uri_falls_into_its_parts() {
        let uri =
            Uri::parse("sip:alice;day=tue:pw@[2001:db8::1]:5070;transport=tcp;lr?subject=a%20b&to=x").expect("URI");
        assert_eq!((uri.user(), uri.password()), (Some("alice;day=tue"), Some("pw")));
        assert_eq!((uri.host(), uri.port()), ("[2001:db8::1]", Some(5070)));
        assert_eq!((uri.transport(), uri.is_loose_router()), (Some("tcp"), true));
        assert_eq!(uri.headers(), Some("subject=a%20b&to=x"));
    }

    #[test]
    fn escaped_parameter_names_are_recognised() {
        let uri = Uri::parse("sip:cal%6Cer@host5.example.net;%6C%72;n%61me=v%61lue%25%34%31").expect("URI");
        assert!(uri.is_loose_router());
        assert_eq!(uri.param("name").and_then(|p| p.value), Some("v%61lue%25%34%31"));
    }

    #[test]
    fn telephone_numbers_are_users() {
        let uri = Uri::parse("tel:+1-201-555-0123;phone-context=example.com").expect("URI");
        assert_eq!((uri.scheme(), uri.user(), uri.host()), (Scheme::Tel, Some("+1-201-555-0123"), ""));
        assert!(Uri::parse("tel:").is_err());
        assert!(Uri::parse("tel:+").is_err());
    }

    #[test]
    fn other_schemes_are_kept() {
        assert_eq!(Uri::parse("soap.beep://192.0.2.103:3002").expect("URI").scheme(), Scheme::Other);
        assert_eq!(Uri::parse("isbn:2983792873").expect("URI").as_str(), "isbn:2983792873");
    }

    #[test]
    fn damaged_uris_are_refused() {
        for bad in [
            "",
            "sip",
            "sip:",
            "sip:@h",
            "sip:a@",
            "sip:a@h:",
            "sip:a@h:99999",
            "sip:a b@h",
            "sip:a@h; lr",
            "sip:a@h;",
            "sip:a@h?",
            "sip:a@h?x",
            "sip:%zz@h",
            "<sip:a@h>",
            "1x:y",
            ":x",
            "x:<y>",
            "sip:a@@h",
            "sip:ü@h",
            "sip:a@h;a=\"b\"",
        ] {
            assert!(Uri::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn built_uris_escape_the_user() {
        assert_eq!(
            UriBuf::sip(Some("a b@c#1"), "example.com:5060").expect("URI").as_str(),
            "sip:a%20b%40c%231@example.com:5060"
        );
        assert_eq!(UriBuf::sip(None, "example.com").expect("URI").as_str(), "sip:example.com");
        assert!(UriBuf::sip(None, "exa mple").is_err());
    }
}
