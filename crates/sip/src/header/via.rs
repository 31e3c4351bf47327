//! Via (RFC 3261 section 20.42, RFC 3581).

use crate::header::Params;
use crate::identifiers::MAGIC_COOKIE;
use crate::{ValueError, scan};

/// One Via value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Via<'a> {
    /// The transport as written: `UDP`, `TCP`, `TLS`, `SCTP`, `WS`, or any token.
    pub transport: &'a str,
    /// Sent-by host; an IPv6 reference keeps its brackets.
    pub host: &'a str,
    /// Sent-by port, if given.
    pub port: Option<u16>,
    /// Everything behind.
    pub params: Params<'a>,
}

impl<'a> Via<'a> {
    /// Reads one value; white space is allowed around the slashes and the colon (RFC 4475 section 3.1.1.1).
    pub fn parse(value: &'a str) -> Result<Self, ValueError> {
        let (_name, rest) = token_then_slash(value)?;
        let (_version, rest) = token_then_slash(rest)?;
        let (transport, rest) = scan::take(scan::trim_start(rest), scan::TOKEN);
        if transport.is_empty() || !rest.starts_with([' ', '\t']) {
            return Err(ValueError::Syntax);
        }
        let (host, rest) = scan::take_host(scan::trim_start(rest)).ok_or(ValueError::Syntax)?;
        let mut rest = scan::trim_start(rest);
        let mut port = None;
        if let Some(behind) = rest.strip_prefix(':') {
            let behind = scan::trim_start(behind);
            let digits = behind.bytes().position(|b| !b.is_ascii_digit()).unwrap_or(behind.len());
            let number = scan::number(&behind[..digits], u64::from(u16::MAX)).ok_or(ValueError::Range)?;
            port = u16::try_from(number).ok();
            rest = &behind[digits..];
        }
        Ok(Self { transport, host, port, params: Params::parse(rest)? })
    }

    /// The branch parameter.
    pub fn branch(&self) -> Option<&'a str> {
        self.params.value("branch")
    }

    /// The branch, when it is one of RFC 3261: the magic cookie with something behind it.
    ///
    /// A bare cookie identifies nothing and is handled as RFC 2543 (RFC 4475 section 3.2.1).
    pub fn rfc3261_branch(&self) -> Option<&'a str> {
        let branch = self.branch()?;
        let (cookie, unique) = branch.split_at_checked(MAGIC_COOKIE.len())?;
        (cookie.eq_ignore_ascii_case(MAGIC_COOKIE) && !unique.is_empty()).then_some(branch)
    }

    /// The address the request came from, as the receiver noted it (RFC 3261 section 18.2.1).
    pub fn received(&self) -> Option<&'a str> {
        self.params.value("received")
    }

    /// Whether the client asks for symmetric response routing (RFC 3581).
    pub fn has_rport(&self) -> bool {
        self.params.has("rport")
    }

    /// The port the request came from, as the receiver noted it (RFC 3581 section 4).
    pub fn rport(&self) -> Option<u16> {
        self.params.value("rport")?.parse().ok()
    }

    /// Where to send responses by multicast or to a fixed address (RFC 3261 section 18.2.2).
    pub fn maddr(&self) -> Option<&'a str> {
        self.params.value("maddr")
    }

    /// The port to answer to: sent-by's, or the default of the transport (RFC 3261 section 18.2.2).
    pub fn port_or_default(&self) -> u16 {
        self.port.unwrap_or(if self.transport.eq_ignore_ascii_case("TLS") { 5061 } else { 5060 })
    }
}

fn token_then_slash(text: &str) -> Result<(&str, &str), ValueError> {
    let (token, rest) = scan::take(scan::trim_start(text), scan::TOKEN);
    let rest = scan::trim_start(rest).strip_prefix('/').ok_or(ValueError::Syntax)?;
    if token.is_empty() { Err(ValueError::Syntax) } else { Ok((token, rest)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slashes_and_parameters_may_stand_apart() {
        let via = Via::parse("SIP  / 2.0  / TCP     spindle.example.com   ;  branch  =   z9hG4bK9ikj8  ").expect("Via");
        assert_eq!((via.transport, via.host, via.port), ("TCP", "spindle.example.com", None));
        assert_eq!(via.rfc3261_branch(), Some("z9hG4bK9ikj8"));
    }

    #[test]
    fn sent_by_may_be_ipv6_with_a_port() {
        let via = Via::parse("SIP/2.0/UDP [2001:db8::9:1]:5070;rport;received=192.0.2.1;branch=z9hG4bKx").expect("Via");
        assert_eq!((via.host, via.port), ("[2001:db8::9:1]", Some(5070)));
        assert!(via.has_rport());
        assert_eq!(via.rport(), None);
        assert_eq!(via.received(), Some("192.0.2.1"));
        assert_eq!(Via::parse("SIP/2.0/UDP h;rport=5062").expect("Via").rport(), Some(5062));
    }

    #[test]
    fn the_magic_cookie_alone_is_no_branch() {
        assert_eq!(Via::parse("SIP/2.0/UDP h;branch=z9hG4bK").expect("Via").rfc3261_branch(), None);
        assert_eq!(Via::parse("SIP/2.0/UDP h;branch=390skdjuw").expect("Via").rfc3261_branch(), None);
    }

    #[test]
    fn damaged_values_are_refused() {
        for bad in [
            "",
            "SIP/2.0/UDP",
            "SIP/2.0 UDP h",
            "SIP/2.0/UDP h;;",
            "SIP/2.0/UDP h:x",
            "SIP/2.0/UDP h:65536",
            "SIP//UDP h",
        ] {
            assert!(Via::parse(bad).is_err(), "{bad}");
        }
    }
}
