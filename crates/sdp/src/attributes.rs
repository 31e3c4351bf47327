//! The attributes we understand, read from their text. What cannot be read counts as absent.

use std::net::{IpAddr, SocketAddr};

use tandem_contract::{Direction, RtcpTransport};

use crate::description::MediaDescription;

/// `a=rtcp` (RFC 3605 §2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rtcp {
    /// The port for RTCP.
    pub port: u16,
    /// Its address, if another than RTP's.
    pub address: Option<IpAddr>,
}

impl Rtcp {
    /// Reads `<port> [IN IP4|IP6 <address>]`.
    pub fn parse(value: &str) -> Option<Self> {
        let mut words = value.split_ascii_whitespace();
        let port = words.next()?.parse().ok()?;
        let address = match (words.next(), words.next(), words.next()) {
            (Some(_), Some(_), Some(address)) => Some(address.parse().ok()?),
            _ => None,
        };
        Some(Self { port, address })
    }
}

/// Whether a leg's RTCP may share its RTP's port (`a=rtcp-mux`, RFC 5761).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum RtcpMux {
    /// It has a port of its own, whatever the peer offers.
    Off,
    /// Where the peer offers it.
    #[default]
    Accept,
    /// Where the peer takes or makes the offer.
    Offer,
}

impl RtcpMux {
    /// Whether our offer has it; `agreed`: it is spoken now (RFC 5761 §5.1.1: an offer without it would end that).
    pub(crate) fn is_offered(self, agreed: bool) -> bool {
        self == Self::Offer || (agreed && self == Self::Accept)
    }
}

/// Where RTCP goes to a peer that described its stream so. `ours`: our own description says `a=rtcp-mux`.
pub(crate) fn rtcp_transport(ours: bool, media: &MediaDescription) -> RtcpTransport {
    if ours && media.rtcp_mux {
        return RtcpTransport::Multiplexed;
    }
    let (Some(rtcp), Some(rtp)) = (media.rtcp, media.remote()) else { return RtcpTransport::PortAbove };
    let address = rtcp.address.unwrap_or(rtp.ip());
    let is_usable =
        rtcp.port != 0 && address.is_ipv4() == rtp.is_ipv4() && !address.is_unspecified() && !address.is_multicast();
    // What is said without need stays what it is without: a peer behind address translation is reached where it is.
    let is_usual = address == rtp.ip() && Some(rtcp.port) == rtp.port().checked_add(1);
    if is_usable && !is_usual {
        RtcpTransport::To(SocketAddr::new(address, rtcp.port))
    } else {
        RtcpTransport::PortAbove
    }
}

/// The parameters of `a=fmtp` (RFC 8866 §6.15): `name=value` pairs between semicolons, or text of a form of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fmtp(String);

impl Fmtp {
    pub(crate) fn new(parameters: &str) -> Self {
        Self(parameters.trim().to_owned())
    }

    /// The value of a parameter; names compare without regard to case.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.split(';').find_map(|pair| {
            let (key, value) = pair.split_once('=')?;
            key.trim().eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }

    /// Whether G.729 Annex B may be used: `yes` unless it says `no` (RFC 4856 §2.1.9).
    pub fn annexb(&self) -> bool {
        !self.get("annexb").is_some_and(|value| value.trim_matches('"').eq_ignore_ascii_case("no"))
    }

    /// The text as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// `a=sendrecv`, `a=sendonly`, `a=recvonly`, `a=inactive` (RFC 8866 §6.7), from the describer's side.
pub(crate) fn parse_direction(attribute: &str) -> Option<Direction> {
    match attribute.trim() {
        "sendrecv" => Some(Direction::SendRecv),
        "sendonly" => Some(Direction::SendOnly),
        "recvonly" => Some(Direction::RecvOnly),
        "inactive" => Some(Direction::Inactive),
        _ => None,
    }
}

pub(crate) const fn direction_attribute(direction: Direction) -> &'static str {
    match direction {
        Direction::SendRecv => "sendrecv",
        Direction::SendOnly => "sendonly",
        Direction::RecvOnly => "recvonly",
        Direction::Inactive => "inactive",
    }
}

/// A whole number; a fraction (some write `20.0`) is cut off.
pub(crate) fn parse_number(value: &str) -> Option<u16> {
    value.trim().split('.').next()?.parse().ok()
}
