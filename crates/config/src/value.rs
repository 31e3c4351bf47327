//! Values that have a text form of their own in the file.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

/// Port of SIP over UDP and TCP where none is given (RFC 3261 §19.1.2).
const SIP_PORT: u16 = 5060;

/// An address together with its subnet, as in `10.0.0.1/24`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cidr {
    /// The address.
    pub address: IpAddr,
    /// How many leading bits name the subnet: at most 32 (IPv4) or 128 (IPv6).
    pub prefix_len: u8,
}

impl Cidr {
    /// Whether `other` lies in the subnet.
    pub fn contains(&self, other: IpAddr) -> bool {
        match (self.address, other) {
            (IpAddr::V4(ours), IpAddr::V4(theirs)) => {
                let differing = u32::from(ours) ^ u32::from(theirs);
                differing.leading_zeros() >= u32::from(self.prefix_len)
            }
            (IpAddr::V6(ours), IpAddr::V6(theirs)) => {
                let differing = u128::from(ours) ^ u128::from(theirs);
                differing.leading_zeros() >= u32::from(self.prefix_len)
            }
            _ => false,
        }
    }

    /// Whether a port can have the address, and peers reach it by the address alone: it is not unspecified, a group's,
    /// loopback's, one of a link that a session description cannot name (fe80::/10), or an IPv4 address in IPv6's form.
    pub fn is_usable(&self) -> bool {
        let is_of_one_link = match self.address {
            IpAddr::V4(_) => false,
            IpAddr::V6(address) => address.is_unicast_link_local() || address.to_ipv4_mapped().is_some(),
        };
        !self.address.is_unspecified() && !self.address.is_multicast() && !self.address.is_loopback() && !is_of_one_link
    }
}

/// Why a text is no [`Cidr`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CidrError {
    /// No `/` in it.
    #[error("an address with its prefix length is wanted, as in 10.0.0.1/24")]
    NoPrefixLength,
    /// What stands before the `/`.
    #[error("what stands before the / is no IP address")]
    Address,
    /// What stands behind the `/`.
    #[error("the prefix length is a number from 1 to 32 (IPv4) or 128 (IPv6)")]
    PrefixLength,
}

impl FromStr for Cidr {
    type Err = CidrError;

    fn from_str(text: &str) -> Result<Self, CidrError> {
        let (address, prefix_len) = text.split_once('/').ok_or(CidrError::NoPrefixLength)?;
        let address: IpAddr = address.parse().map_err(|_| CidrError::Address)?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        match prefix_len.parse() {
            Ok(prefix_len) if (1..=longest).contains(&prefix_len) => Ok(Self { address, prefix_len }),
            _ => Err(CidrError::PrefixLength),
        }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix_len)
    }
}

/// UDP ports for media, first and last included, as in `16384-32767`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PortRange {
    /// The lowest port, even: it carries RTP.
    pub first: u16,
    /// The highest port, odd: it carries RTCP.
    pub last: u16,
}

impl PortRange {
    /// How many legs fit on one address: each takes an even port for RTP and the odd one above for RTCP (RFC 3550 §11).
    pub const fn pairs(self) -> u32 {
        (self.last as u32 + 1 - self.first as u32) / 2
    }
}

/// Why a text is no [`PortRange`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PortRangeError {
    /// Not two numbers with a `-` between them.
    #[error("two port numbers with a - between them are wanted, as in 16384-32767")]
    Form,
    /// Below the ports that programs may use freely.
    #[error("ports below 1024 are not for media")]
    TooLow,
    /// The last does not lie above the first.
    #[error("the first port lies above the last")]
    Order,
    /// The first is odd or the last even.
    #[error("the first port is even (RTP) and the last odd (RTCP)")]
    Parity,
}

impl FromStr for PortRange {
    type Err = PortRangeError;

    fn from_str(text: &str) -> Result<Self, PortRangeError> {
        let (first, last) = text.split_once('-').ok_or(PortRangeError::Form)?;
        let first: u16 = first.trim().parse().map_err(|_| PortRangeError::Form)?;
        let last: u16 = last.trim().parse().map_err(|_| PortRangeError::Form)?;
        if first < 1024 {
            Err(PortRangeError::TooLow)
        } else if first > last {
            Err(PortRangeError::Order)
        } else if !first.is_multiple_of(2) || last.is_multiple_of(2) {
            Err(PortRangeError::Parity)
        } else {
            Ok(Self { first, last })
        }
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

/// Where SIP is spoken: an IP address and a port, 5060 where none is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint(pub SocketAddr);

/// A text is no [`Endpoint`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an IP address is wanted, with or without a port, as in 10.0.0.1, 10.0.0.1:5060 or [2001:db8::1]:5060")]
pub struct EndpointError;

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self(SocketAddr::new(address, SIP_PORT)));
        }
        match text.parse::<SocketAddr>() {
            Ok(address) if address.port() != 0 => Ok(Self(address)),
            _ => Err(EndpointError),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Serde and the schema see these types as strings.
macro_rules! as_text {
    ($($type:ident, $description:literal, $example:literal;)+) => {$(
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str> as serde::Deserialize>::deserialize(deserializer)?;
                text.parse().map_err(|error| serde::de::Error::custom(format_args!("`{text}`: {error}")))
            }
        }

        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl schemars::JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "title": $description, "examples": [$example] })
            }
        }
    )+};
}
pub(crate) use as_text;

as_text! {
    Cidr, "address/prefix length", "10.0.0.10/24";
    PortRange, "first-last", "16384-32767";
    Endpoint, "address or address:port", "10.0.0.1:5060";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subnet_contains_what_shares_its_prefix() {
        let cidr: Cidr = "10.1.2.3/23".parse().unwrap();
        assert!(cidr.contains("10.1.3.255".parse().unwrap()));
        assert!(!cidr.contains("10.1.4.0".parse().unwrap()));
        assert!(!cidr.contains("::1".parse().unwrap()));
        let six: Cidr = "2001:db8::1/64".parse().unwrap();
        assert!(six.contains("2001:db8::ffff".parse().unwrap()));
        assert!(!six.contains("2001:db8:0:1::1".parse().unwrap()));
        let host: Cidr = "10.0.0.1/32".parse().unwrap();
        assert!(host.contains("10.0.0.1".parse().unwrap()));
        assert!(!host.contains("10.0.0.0".parse().unwrap()));
    }

    #[test]
    fn a_cidr_needs_an_address_and_a_prefix_length_in_range() {
        assert_eq!("10.0.0.1".parse::<Cidr>(), Err(CidrError::NoPrefixLength));
        assert_eq!("10.0.0/8".parse::<Cidr>(), Err(CidrError::Address));
        assert_eq!("10.0.0.1/33".parse::<Cidr>(), Err(CidrError::PrefixLength));
        assert_eq!("10.0.0.1/0".parse::<Cidr>(), Err(CidrError::PrefixLength));
        assert_eq!("::1/129".parse::<Cidr>(), Err(CidrError::PrefixLength));
        assert_eq!("::1/128".parse::<Cidr>().map(|cidr| cidr.to_string()), Ok("::1/128".to_owned()));
    }

    #[test]
    fn a_port_range_starts_even_and_ends_odd() {
        let range: PortRange = "20000-20003".parse().unwrap();
        assert_eq!(range.pairs(), 2);
        assert_eq!("20001-20003".parse::<PortRange>(), Err(PortRangeError::Parity));
        assert_eq!("20000-20002".parse::<PortRange>(), Err(PortRangeError::Parity));
        assert_eq!("20002-20001".parse::<PortRange>(), Err(PortRangeError::Order));
        assert_eq!("1000-2001".parse::<PortRange>(), Err(PortRangeError::TooLow));
        assert_eq!("20000".parse::<PortRange>(), Err(PortRangeError::Form));
        assert_eq!("2000-70001".parse::<PortRange>(), Err(PortRangeError::Form));
        assert_eq!("65534-65535".parse::<PortRange>().unwrap().pairs(), 1);
    }

    #[test]
    fn an_endpoint_without_a_port_is_on_5060() {
        assert_eq!("10.0.0.1".parse::<Endpoint>().unwrap().to_string(), "10.0.0.1:5060");
        assert_eq!("2001:db8::1".parse::<Endpoint>().unwrap().to_string(), "[2001:db8::1]:5060");
        assert_eq!("10.0.0.1:5080".parse::<Endpoint>().unwrap().0.port(), 5080);
        assert_eq!("10.0.0.1:0".parse::<Endpoint>(), Err(EndpointError));
        assert_eq!("sip.example.com".parse::<Endpoint>(), Err(EndpointError));
    }
}
