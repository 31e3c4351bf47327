//! The `Identity` header's value: `token;info=<url>;alg=ES256;ppt=shaken` (RFC 8224 §4).

use crate::passport::{ALGORITHM, SHAKEN};

/// The longest value that is read, in octets.
pub const MAX_BYTES: usize = 8192;

/// One value of an `Identity` header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdentityHeader<'a> {
    /// The token's header in base64; empty in the compact form (RFC 8225 §7).
    pub header: &'a str,
    /// The claims in base64; empty in the compact form.
    pub claims: &'a str,
    /// The signature in base64.
    pub signature: &'a str,
    /// Where the certificate is.
    pub info: &'a str,
    /// The algorithm; ES256 where it is not said.
    pub algorithm: &'a str,
    /// The token's type, `shaken` for one.
    pub ppt: Option<&'a str>,
}

/// A value that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MalformedIdentity {
    /// Longer than [`MAX_BYTES`].
    #[error("longer than {MAX_BYTES} octets")]
    TooLong,
    /// Not three parts with dots between, of base64 for URLs.
    #[error("the token is not header.claims.signature")]
    Token,
    /// No `info`, or not in angle brackets.
    #[error("no info=<URL>")]
    Info,
    /// A parameter that comes twice.
    #[error("a parameter comes twice")]
    Twice,
}

impl<'a> IdentityHeader<'a> {
    /// Reads a value.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(value: &'a str) -> Result<Self, MalformedIdentity> {
        if value.len() > MAX_BYTES {
            return Err(MalformedIdentity::TooLong);
        }
        let (token, rest) = value.split_once(';').ok_or(MalformedIdentity::Info)?;
        let mut parts = token.trim().splitn(3, '.');
        let (Some(header), Some(claims), Some(signature)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(MalformedIdentity::Token);
        };
        let is_base64 = |part: &str| part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
        let is_whole = header.is_empty() == claims.is_empty() && !signature.is_empty();
        if !is_whole || ![header, claims, signature].into_iter().all(is_base64) {
            return Err(MalformedIdentity::Token);
        }
        let (mut info, mut algorithm, mut ppt) = (None, None, None);
        // A URL in angle brackets may hold semicolons.
        let mut rest = rest;
        while !rest.is_empty() {
            let from = if rest.trim_start().to_ascii_lowercase().starts_with("info") {
                rest.find('>').unwrap_or(0)
            } else {
                0
            };
            let end = rest[from..].find(';').map_or(rest.len(), |at| from + at);
            let (parameter, after) = (&rest[..end], rest.get(end + 1..).unwrap_or_default());
            rest = after;
            let Some((name, value)) = parameter.split_once('=') else { continue };
            let value = value.trim();
            let place = match name.trim().to_ascii_lowercase().as_str() {
                "info" => {
                    let url = value.strip_prefix('<').and_then(|url| url.strip_suffix('>'));
                    (&mut info, url.ok_or(MalformedIdentity::Info)?)
                }
                "alg" => (&mut algorithm, value.trim_matches('"')),
                "ppt" => (&mut ppt, value.trim_matches('"')),
                _ => continue,
            };
            if place.0.replace(place.1).is_some() {
                return Err(MalformedIdentity::Twice);
            }
        }
        let info = info.filter(|url: &&str| !url.is_empty()).ok_or(MalformedIdentity::Info)?;
        Ok(Self { header, claims, signature, info, algorithm: algorithm.unwrap_or(ALGORITHM), ppt })
    }

    /// Whether header and claims are left to the reader to make.
    pub const fn is_compact(&self) -> bool {
        self.header.is_empty()
    }

    /// Whether it is SHAKEN's.
    pub fn is_shaken(&self) -> bool {
        self.ppt.is_some_and(|ppt| ppt.eq_ignore_ascii_case(SHAKEN))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_and_compact_forms_are_read() {
        let full = IdentityHeader::parse("aa.bb.cc;info=<https://a.example/x;y=1>;alg=ES256;ppt=\"shaken\"").unwrap();
        assert_eq!((full.header, full.claims, full.signature), ("aa", "bb", "cc"));
        assert_eq!((full.info, full.algorithm, full.is_shaken()), ("https://a.example/x;y=1", "ES256", true));
        let compact = IdentityHeader::parse("..cc ; alg=ES256 ; info = <https://a.example/x>;new=1;flag").unwrap();
        assert!(compact.is_compact() && !compact.is_shaken());
        assert_eq!(compact.info, "https://a.example/x");
    }

    #[test]
    fn what_is_no_identity_says_why() {
        for (value, why) in [
            ("aa.bb.cc", MalformedIdentity::Info),
            ("aa.bb.cc;alg=ES256", MalformedIdentity::Info),
            ("aa.bb.cc;info=https://a", MalformedIdentity::Info),
            ("aa.bb.cc;info=<>", MalformedIdentity::Info),
            ("aa.bb;info=<https://a>", MalformedIdentity::Token),
            ("aa..cc;info=<https://a>", MalformedIdentity::Token),
            ("aa.bb.;info=<https://a>", MalformedIdentity::Token),
            ("aa.b b.cc;info=<https://a>", MalformedIdentity::Token),
            ("aa.bb.cc.dd;info=<https://a>", MalformedIdentity::Token),
            ("aa.bb.cc;info=<https://a>;info=<https://b>", MalformedIdentity::Twice),
        ] {
            assert_eq!(IdentityHeader::parse(value), Err(why), "{value}");
        }
        let long = format!("{}.b.c;info=<https://a>", "a".repeat(MAX_BYTES));
        assert_eq!(IdentityHeader::parse(&long), Err(MalformedIdentity::TooLong));
    }
}
