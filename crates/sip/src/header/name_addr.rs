//! `name-addr` and `addr-spec` with parameters: From, To, Contact, Route, Record-Route and their like.

use core::borrow::Borrow;

use crate::header::Params;
use crate::uri::{self, Uri};
use crate::{ValueError, scan};

/// An address with an optional display name and parameters (RFC 3261 section 20.10).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameAddr<'a> {
    /// The display name as written, with its quotes if it has any; `None` when there is none.
    pub display: Option<&'a str>,
    /// The URI as written; its syntax has been checked if its scheme is `sip`, `sips` or `tel`.
    pub uri: &'a str,
    /// Parameters of the header, not of the URI.
    pub params: Params<'a>,
}

impl<'a> NameAddr<'a> {
    /// Reads one value. Without angle brackets, parameters belong to the header, and a URI with a comma or a question
    /// mark is refused, since there is no telling where it ends (RFC 3261 section 20; RFC 4475 section 3.1.2.13).
    pub fn parse(value: &'a str) -> Result<Self, ValueError> {
        let value = scan::trim(value);
        if value.starts_with('"') {
            let (display, rest) = scan::take_quoted(value).ok_or(ValueError::Syntax)?;
            let rest = scan::trim_start(rest).strip_prefix('<').ok_or(ValueError::Syntax)?;
            return Self::in_angles(Some(display), rest);
        }
        match value.bytes().position(|b| matches!(b, b'<' | b':' | b';' | b'"' | b',')) {
            Some(at) if value.as_bytes()[at] == b'<' => {
                let display = scan::trim(&value[..at]);
                // `*(token LWS)`; non-ASCII letters are let through, as real telephones send them unquoted.
                let is_text = |b: u8| scan::is(b, scan::TOKEN) || scan::is_space(b) || !b.is_ascii();
                if !display.bytes().all(is_text) {
                    return Err(ValueError::Syntax);
                }
                Self::in_angles((!display.is_empty()).then_some(display), &value[at + 1..])
            }
            Some(at) if value.as_bytes()[at] == b':' => {
                let end = value.bytes().position(|b| b == b';' || scan::is_space(b)).unwrap_or(value.len());
                let (uri, params) = value.split_at(end);
                if uri.contains(['?', ',']) {
                    return Err(ValueError::Syntax);
                }
                uri::check(uri)?;
                Ok(Self { display: None, uri, params: Params::parse(params)? })
            }
            _ => Err(ValueError::Syntax),
        }
    }

    fn in_angles(display: Option<&'a str>, text: &'a str) -> Result<Self, ValueError> {
        let (uri, params) = text.split_once('>').ok_or(ValueError::Syntax)?;
        uri::check(uri)?;
        Ok(Self { display, uri, params: Params::parse(params)? })
    }

    /// The URI, taken apart.
    pub fn uri(&self) -> Result<Uri<'a>, ValueError> {
        Uri::parse(self.uri)
    }

    /// The tag parameter of From and To.
    pub fn tag(&self) -> Option<&'a str> {
        self.params.value("tag")
    }

    /// The display name without its quotes; quoted pairs are left as they are.
    pub fn display_text(&self) -> Option<&'a str> {
        let display = self.display?;
        Some(display.strip_prefix('"').and_then(|d| d.strip_suffix('"')).unwrap_or(display))
    }
}

/// A Contact value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contact<'a> {
    /// `*`, of REGISTER requests that remove all bindings (RFC 3261 section 10.2.2).
    All,
    /// An address.
    Address(NameAddr<'a>),
}

impl<'a> Contact<'a> {
    /// Reads one value.
    pub fn parse(value: &'a str) -> Result<Self, ValueError> {
        if scan::trim(value) == "*" { Ok(Self::All) } else { NameAddr::parse(value).map(Self::Address) }
    }

    /// The address, unless it is `*`.
    pub const fn address(&self) -> Option<NameAddr<'a>> {
        match self {
            Self::All => None,
            Self::Address(address) => Some(*address),
        }
    }
}

/// Writes `"display" <uri>;tag=tag`. Quotes and backslashes in `display` are escaped.
pub fn write_name_addr(display: Option<&str>, uri: impl Borrow<str>, tag: Option<&str>) -> String {
    let uri = uri.borrow();
    let mut text =
        String::with_capacity(uri.len() + 2 + display.map_or(0, |d| d.len() + 3) + tag.map_or(0, |t| t.len() + 5));
    if let Some(display) = display.filter(|display| !display.is_empty()) {
        text.push('"');
        for character in display.chars() {
            if matches!(character, '"' | '\\') {
                text.push('\\');
            }
            text.push(if character.is_control() { ' ' } else { character });
        }
        text.push_str("\" ");
    }
    text.push('<');
    text.push_str(uri);
    text.push('>');
    if let Some(tag) = tag {
        text.push_str(";tag=");
        text.push_str(tag);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_belong_to_the_header_unless_in_angles() {
        let bare = NameAddr::parse("sip:+1972@gw1.example.net;unknownparam").expect("address");
        assert_eq!((bare.uri, bare.params.has("unknownparam")), ("sip:+1972@gw1.example.net", true));
        let angles = NameAddr::parse("<sip:+1972@gw1.example.net;unknownparam>").expect("address");
        assert_eq!((angles.uri, angles.params.as_str()), ("sip:+1972@gw1.example.net;unknownparam", ""));
    }

    #[test]
    fn display_names_come_quoted_and_as_tokens() {
        let quoted = NameAddr::parse(r#""J \"R" <sip:a@b> ; tag = x"#).expect("address");
        assert_eq!((quoted.display_text(), quoted.tag()), (Some(r#"J \"R"#), Some("x")));
        assert_eq!(NameAddr::parse("caller<sip:a@b>").expect("address").display, Some("caller"));
        assert_eq!(NameAddr::parse("A. Bell <sip:a@b>").expect("address").display, Some("A. Bell"));
    }

    #[test]
    fn damaged_addresses_are_refused() {
        for bad in [
            "",
            "alan@jasomi.com",
            "\"open <sip:a@b>",
            "< sip:a@b >",
            "<sip:a@b",
            "Bell, A <sip:a@b>",
            "sip:a@b?Route=%3Csip:c%3E",
            "<>",
            "<sip:>",
            "<sip:a@b>;;",
            "*",
        ] {
            assert!(NameAddr::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(Contact::parse(" * "), Ok(Contact::All));
    }

    #[test]
    fn what_is_written_reads_back() {
        let text = write_name_addr(Some("a\"b\\c\r\n"), "sip:x@y", Some("t1"));
        assert_eq!(text, "\"a\\\"b\\\\c  \" <sip:x@y>;tag=t1");
        assert_eq!(NameAddr::parse(&text).expect("address").tag(), Some("t1"));
        assert_eq!(write_name_addr(Some(""), "sip:x@y", None), "<sip:x@y>");
    }
}
