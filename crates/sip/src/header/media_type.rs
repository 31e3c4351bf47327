//! Content-Type and the ranges of Accept.

use crate::header::Params;
use crate::{ValueError, scan};

/// A media type (RFC 3261 section 20.15).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MediaType<'a> {
    /// `application` of `application/sdp`; `*` in a range.
    pub kind: &'a str,
    /// `sdp` of `application/sdp`; `*` in a range.
    pub subtype: &'a str,
    /// `boundary`, `charset`, `q` and others.
    pub params: Params<'a>,
}

impl<'a> MediaType<'a> {
    /// Reads one value.
    pub fn parse(value: &'a str) -> Result<Self, ValueError> {
        let (kind, rest) = scan::take(scan::trim(value), scan::TOKEN);
        let rest = scan::trim_start(rest).strip_prefix('/').ok_or(ValueError::Syntax)?;
        let (subtype, rest) = scan::take(scan::trim_start(rest), scan::TOKEN);
        if kind.is_empty() || subtype.is_empty() {
            return Err(ValueError::Syntax);
        }
        Ok(Self { kind, subtype, params: Params::parse(rest)? })
    }

    /// Whether this is the type `full`, such as `application/sdp`; types are compared without case (RFC 2045 section
    /// 5.1) and parameters are not looked at.
    pub fn is(&self, full: &str) -> bool {
        full.split_once('/')
            .is_some_and(|(kind, sub)| self.kind.eq_ignore_ascii_case(kind) && self.subtype.eq_ignore_ascii_case(sub))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_compared_without_case() {
        let media = MediaType::parse("Application / SDP ; charset=utf-8").expect("media type");
        assert!(media.is("application/sdp"));
        assert!(!media.is("application/sdpx"));
        assert_eq!(media.params.value("charset"), Some("utf-8"));
        for bad in ["", "text", "text/", "/plain", "a/b c"] {
            assert!(MediaType::parse(bad).is_err(), "{bad}");
        }
    }
}
