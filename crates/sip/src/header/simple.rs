//! Headers of a few tokens: CSeq, Retry-After, Reason, and the seconds of Expires.

use crate::header::Params;
use crate::{Method, ValueError, scan};

/// CSeq (RFC 3261 section 20.16).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CSeq {
    /// The sequence number. RFC 3261 section 8.1.1.5 keeps it below 2³¹; all 32 bits are accepted (RFC 4475 section
    /// 3.1.2.4 tests that no more are).
    pub number: u32,
    /// The method.
    pub method: Method,
}

impl CSeq {
    /// Reads the value.
    pub fn parse(value: &str) -> Result<Self, ValueError> {
        let value = scan::trim(value);
        let digits = value.bytes().position(|b| !b.is_ascii_digit()).unwrap_or(value.len());
        let (digits, rest) = value.split_at(digits);
        if digits.is_empty() || !rest.starts_with([' ', '\t']) {
            return Err(ValueError::Syntax);
        }
        let number = scan::number(digits, u64::from(u32::MAX)).ok_or(ValueError::Range)?;
        let method = Method::parse(scan::trim(rest)).ok_or(ValueError::Syntax)?;
        Ok(Self { number: u32::try_from(number).map_err(|_| ValueError::Range)?, method })
    }
}

/// Seconds, as in Expires and Min-Expires. Numbers above 2³²−1 count as 2³²−1 (RFC 3261 section 20.19).
pub fn delta_seconds(value: &str) -> Result<u32, ValueError> {
    let value = scan::trim(value);
    if value.is_empty() || !value.bytes().all(|b| b.is_ascii_digit()) {
        return Err(ValueError::Syntax);
    }
    Ok(scan::number(value, u64::from(u32::MAX)).and_then(|n| u32::try_from(n).ok()).unwrap_or(u32::MAX))
}

/// Retry-After (RFC 3261 section 20.33).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryAfter<'a> {
    /// Seconds to wait.
    pub delay_s: u32,
    /// `duration` and others.
    pub params: Params<'a>,
}

impl<'a> RetryAfter<'a> {
    /// Reads the value; its comment is skipped.
    pub fn parse(value: &'a str) -> Result<Self, ValueError> {
        let value = scan::trim(value);
        let digits = value.bytes().position(|b| !b.is_ascii_digit()).unwrap_or(value.len());
        let delay_s = delta_seconds(&value[..digits])?;
        let rest = scan::trim_start(&value[digits..]);
        let rest = if rest.starts_with('(') { skip_comment(rest)? } else { rest };
        Ok(Self { delay_s, params: Params::parse(rest)? })
    }
}

/// What follows the comment (RFC 3261 section 25.1) at the start of `text`.
fn skip_comment(text: &str) -> Result<&str, ValueError> {
    let mut depth = 0usize;
    let mut escaped = false;
    for (at, character) in text.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '(' => depth += 1,
            ')' => {
                depth -= 1;
                if depth == 0 {
                    return Ok(&text[at + 1..]);
                }
            }
            _ => {}
        }
    }
    Err(ValueError::Syntax)
}

/// One Reason value (RFC 3326).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reason<'a> {
    /// `SIP`, `Q.850`, or another protocol.
    pub protocol: &'a str,
    /// `cause`, `text` and others.
    pub params: Params<'a>,
}

impl<'a> Reason<'a> {
    /// Reads one value.
    pub fn parse(value: &'a str) -> Result<Self, ValueError> {
        let (protocol, rest) = scan::take(scan::trim(value), scan::TOKEN);
        if protocol.is_empty() {
            return Err(ValueError::Syntax);
        }
        Ok(Self { protocol, params: Params::parse(rest)? })
    }

    /// The cause: a status code for `SIP`, a cause value for `Q.850`.
    pub fn cause(&self) -> Option<u16> {
        self.params.value("cause")?.parse().ok()
    }

    /// The text parameter, without its quotes.
    pub fn text(&self) -> Option<&'a str> {
        self.params.get("text")?.unquoted()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cseq_needs_a_number_in_range_and_a_method() {
        assert_eq!(CSeq::parse("0009    INVITE"), Ok(CSeq { number: 9, method: Method::Invite }));
        assert_eq!(CSeq::parse("4294967295 ACK"), Ok(CSeq { number: u32::MAX, method: Method::Ack }));
        assert_eq!(CSeq::parse("4294967296 ACK"), Err(ValueError::Range));
        assert_eq!(CSeq::parse("36893488147419103232 REGISTER"), Err(ValueError::Range));
        for bad in ["", "1", "INVITE", "1INVITE", "1 IN VITE", "-1 ACK", "1 "] {
            assert_eq!(CSeq::parse(bad), Err(ValueError::Syntax), "{bad}");
        }
    }

    #[test]
    fn seconds_saturate() {
        assert_eq!(delta_seconds("1000000000000000000000000000"), Ok(u32::MAX));
        assert_eq!(delta_seconds("3600"), Ok(3600));
        assert_eq!(delta_seconds("1h"), Err(ValueError::Syntax));
    }

    #[test]
    fn retry_after_has_a_comment_and_parameters() {
        let value = RetryAfter::parse(r"18000 (I'm \) in (a) meeting) ;duration=3600").expect("Retry-After");
        assert_eq!((value.delay_s, value.params.value("duration")), (18_000, Some("3600")));
        assert!(RetryAfter::parse("5 (open").is_err());
        assert!(RetryAfter::parse("soon").is_err());
    }

    #[test]
    fn reason_names_a_cause() {
        let reason = Reason::parse(r#"Q.850 ;cause=16 ;text="Terminated""#).expect("Reason");
        assert_eq!((reason.protocol, reason.cause(), reason.text()), ("Q.850", Some(16), Some("Terminated")));
        assert!(Reason::parse(";cause=16").is_err());
    }
}
