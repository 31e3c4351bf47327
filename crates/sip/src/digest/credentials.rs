//! Authorization and Proxy-Authorization.

use std::borrow::Cow;

use super::params::{AuthParams, push_quoted, set, unescape_pairs};
use super::{Algorithm, Question};
use crate::ValueError;

/// Digest credentials. Texts are what stands between the quotes, quoted pairs left as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credentials<'a> {
    /// Who it claims to be, see [`Credentials::user`].
    pub username: &'a str,
    /// The realm of the challenge.
    pub realm: &'a str,
    /// The nonce of the challenge.
    pub nonce: &'a str,
    /// The Request-URI when the request was made.
    pub uri: &'a str,
    /// The proof, in hexadecimal.
    pub response: &'a str,
    /// The hash function; `None` for one that is not known here.
    pub algorithm: Option<Algorithm>,
    /// What the challenge gave to be given back.
    pub opaque: Option<&'a str>,
    /// `nc` as its eight digits and `cnonce`, with `qop=auth`; `None` is the form of RFC 2069.
    pub protection: Option<(&'a str, &'a str)>,
}

impl<'a> Credentials<'a> {
    /// Reads a header value; `Ok(None)` when its scheme is not Digest.
    ///
    /// # Errors
    ///
    /// When the list of parameters is malformed, lacks one that is needed or has one twice, or when its `qop` is not
    /// `auth`.
    pub fn parse(value: &'a str) -> Result<Option<Self>, ValueError> {
        let Some(params) = AuthParams::of_digest(value) else { return Ok(None) };
        let (mut username, mut realm, mut nonce, mut uri, mut response) = (None, None, None, None, None);
        let (mut algorithm, mut opaque, mut qop, mut nc, mut cnonce) = (None, None, None, None, None);
        for param in params {
            let (name, value) = param?;
            let slot = match name.to_ascii_lowercase().as_str() {
                "username" => &mut username,
                "realm" => &mut realm,
                "nonce" => &mut nonce,
                "uri" => &mut uri,
                "response" => &mut response,
                "algorithm" => &mut algorithm,
                "opaque" => &mut opaque,
                "qop" => &mut qop,
                "nc" => &mut nc,
                "cnonce" => &mut cnonce,
                _ => continue,
            };
            set(slot, value)?;
        }
        let (Some(username), Some(realm), Some(nonce), Some(uri), Some(response)) =
            (username, realm, nonce, uri, response)
        else {
            return Err(ValueError::Syntax);
        };
        let protection = match (qop, nc, cnonce) {
            (None, _, _) => None,
            (Some(qop), Some(nc), Some(cnonce)) if qop.eq_ignore_ascii_case("auth") => {
                if nc.len() != 8 || !nc.bytes().all(|b| b.is_ascii_hexdigit()) {
                    return Err(ValueError::Range);
                }
                Some((nc, cnonce))
            }
            _ => return Err(ValueError::Syntax),
        };
        let algorithm = algorithm.map_or(Some(Algorithm::Md5), Algorithm::lookup);
        Ok(Some(Self { username, realm, nonce, uri, response, algorithm, opaque, protection }))
    }

    /// The user name as a person would write it.
    pub fn user(&self) -> Cow<'a, str> {
        unescape_pairs(self.username)
    }

    /// How often the nonce was used, this time included; `None` in the form of RFC 2069.
    pub fn nonce_count(&self) -> Option<u32> {
        self.protection.and_then(|(nc, _)| u32::from_str_radix(nc, 16).ok())
    }

    /// What the response answers, in a request of `method`.
    pub const fn question(&self, method: &'a str) -> Question<'a> {
        Question { method, uri: self.uri, nonce: self.nonce, protection: self.protection }
    }

    /// The header value.
    pub fn to_value(&self) -> String {
        let mut text = String::with_capacity(320);
        push_quoted(&mut text, "Digest username", self.username);
        push_quoted(&mut text, ", realm", self.realm);
        push_quoted(&mut text, ", nonce", self.nonce);
        push_quoted(&mut text, ", uri", self.uri);
        push_quoted(&mut text, ", response", self.response);
        if let Some(algorithm) = self.algorithm {
            text.push_str(", algorithm=");
            text.push_str(algorithm.as_str());
        }
        if let Some(opaque) = self.opaque {
            push_quoted(&mut text, ", opaque", opaque);
        }
        if let Some((nc, cnonce)) = self.protection {
            push_quoted(&mut text, ", cnonce", cnonce);
            text.push_str(", qop=auth, nc=");
            text.push_str(nc);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEEDED: &str = "Digest username=\"u\", realm=\"r\", nonce=\"n\", uri=\"sip:h\", response=\"0\"";

    fn with(more: &str) -> String {
        format!("{NEEDED}{more}")
    }

    #[test]
    fn credentials_read_back_as_they_are_written() {
        let text = with(", algorithm=SHA-512-256, opaque=\"o\", cnonce=\"c\", qop=auth, nc=000000fF");
        let credentials = Credentials::parse(&text).expect("well-formed").expect("Digest");
        assert_eq!(credentials.to_value(), text);
        assert_eq!(credentials.algorithm, Some(Algorithm::Sha512T256));
        assert_eq!(credentials.nonce_count(), Some(255));
        let old = Credentials::parse(NEEDED).expect("well-formed").expect("Digest");
        assert_eq!((old.protection, old.nonce_count(), old.algorithm), (None, None, Some(Algorithm::Md5)));
    }

    #[test]
    fn what_is_incomplete_or_not_understood_is_refused() {
        for (more, error) in [
            (", qop=auth", ValueError::Syntax),
            (", qop=auth, nc=00000001", ValueError::Syntax),
            (", qop=auth-int, nc=00000001, cnonce=\"c\"", ValueError::Syntax),
            (", qop=auth, nc=1, cnonce=\"c\"", ValueError::Range),
            (", qop=auth, nc=+0000001, cnonce=\"c\"", ValueError::Range),
            (", username=\"other\"", ValueError::Syntax),
        ] {
            assert_eq!(Credentials::parse(&with(more)), Err(error), "{more}");
        }
        assert_eq!(Credentials::parse("Digest username=\"u\""), Err(ValueError::Syntax));
        assert_eq!(Credentials::parse("Basic dTpw"), Ok(None));
    }
}
