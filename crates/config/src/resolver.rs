//! Names in the place of addresses, and who is asked for them.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::value::{Endpoint, as_text};

/// Who is asked for the names of peers, and of next hops in Contact, Route and Record-Route (RFC 3263).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields, default)]
pub struct Resolver {
    /// Name servers, each with its port; those of `/etc/resolv.conf` where none are given.
    #[garde(length(max = 8))]
    #[schemars(example = &["10.0.0.2:53"])]
    pub servers: Vec<SocketAddr>,
    /// How long one has for an answer, in milliseconds. Each question is asked twice.
    #[garde(range(min = 100, max = 10_000))]
    pub timeout_ms: u32,
}

impl Default for Resolver {
    fn default() -> Self {
        Self { servers: Vec::new(), timeout_ms: 2_000 }
    }
}

/// Where a peer is: an IP address, or a name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PeerAddress {
    /// An address and a port, 5060 where none is given.
    At(Endpoint),
    /// A host name.
    Named {
        /// As it is written.
        name: String,
        /// The port; SRV records say it where none is given.
        port: Option<u16>,
    },
}

/// A text is no [`PeerAddress`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "an IP address or a host name is wanted, with or without a port, as in 10.0.0.1, [2001:db8::1]:5060, sip.example.com or sip.example.com:5060"
)]
pub struct PeerAddressError;

impl PeerAddress {
    /// The IP address, where it is one.
    pub const fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::At(Endpoint(address)) => Some(address.ip()),
            Self::Named { .. } => None,
        }
    }
}

impl FromStr for PeerAddress {
    type Err = PeerAddressError;

    fn from_str(text: &str) -> Result<Self, PeerAddressError> {
        if let Ok(endpoint) = text.parse() {
            return Ok(Self::At(endpoint));
        }
        let (name, port) = match text.split_once(':') {
            Some((name, port)) => (name, Some(port.parse().ok().filter(|port| *port != 0).ok_or(PeerAddressError)?)),
            None => (text, None),
        };
        if is_host_name(name) { Ok(Self::Named { name: name.to_owned(), port }) } else { Err(PeerAddressError) }
    }
}

/// What RFC 1123 §2.1 allows, and `_`, which is met. The last label is no number: that would be a mistyped address.
fn is_host_name(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    let last = name.rsplit('.').next().unwrap_or_default();
    name.len() <= 200 && name.split('.').all(is_label) && !last.bytes().all(|b| b.is_ascii_digit())
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(endpoint) => endpoint.fmt(f),
            Self::Named { name, port: Some(port) } => write!(f, "{name}:{port}"),
            Self::Named { name, port: None } => f.write_str(name),
        }
    }
}

as_text! {
    PeerAddress, "address or name, with or without a port", "sip.example.com";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_an_address_and_anything_else_a_host_name() {
        let named = |name: &str, port| PeerAddress::Named { name: name.to_owned(), port };
        assert_eq!("10.0.0.1".parse::<PeerAddress>().map(|at| at.to_string()), Ok("10.0.0.1:5060".to_owned()));
        assert_eq!("[2001:db8::1]:5070".parse::<PeerAddress>().unwrap().ip(), "2001:db8::1".parse().ok());
        assert_eq!("sip.example.com".parse(), Ok(named("sip.example.com", None)));
        assert_eq!("sip.example.com:5070".parse(), Ok(named("sip.example.com", Some(5070))));
        assert_eq!("pbx".parse(), Ok(named("pbx", None)));
        for wrong in
            ["", "10.0.0.256", "10.0.0", "sip.example.com:0", "sip..example", "-a.example", "a b", "sip:x", "x:y"]
        {
            assert_eq!(wrong.parse::<PeerAddress>(), Err(PeerAddressError), "{wrong}");
        }
    }
}
