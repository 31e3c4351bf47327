//! One packet of HEP version 3: `HEP3`, its length, and chunks of vendor, type, length and value, all in network order.

use std::net::{IpAddr, SocketAddr};

/// Octets before the first chunk.
const HEADER: usize = 6;
/// Octets of a chunk before its value.
const CHUNK_HEADER: usize = 6;
/// What a datagram over IPv6 holds, which is a little less than over IPv4.
const MAX_PACKET: usize = 65_000;

/// The generic chunks (vendor 0) that are written.
mod chunk {
    pub(super) const IP_FAMILY: u16 = 1;
    pub(super) const IP_PROTOCOL: u16 = 2;
    pub(super) const IPV4_SOURCE: u16 = 3;
    pub(super) const IPV4_DESTINATION: u16 = 4;
    pub(super) const IPV6_SOURCE: u16 = 5;
    pub(super) const IPV6_DESTINATION: u16 = 6;
    pub(super) const SOURCE_PORT: u16 = 7;
    pub(super) const DESTINATION_PORT: u16 = 8;
    pub(super) const SECONDS: u16 = 9;
    pub(super) const MICROSECONDS: u16 = 10;
    pub(super) const PROTOCOL: u16 = 11;
    pub(super) const AGENT: u16 = 12;
    pub(super) const PASSWORD: u16 = 14;
    pub(super) const PAYLOAD: u16 = 15;
    pub(super) const CORRELATION: u16 = 17;
    pub(super) const NODE_NAME: u16 = 19;
}

/// What carried a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carrier {
    Udp,
    Tcp,
}

/// What a packet holds, by its protocol type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// A SIP message.
    Sip,
    /// A sender report of RTCP as JSON, of the call with this Call-ID.
    RtcpJson(String),
    /// A report of a stream's quality as JSON, of the call with this Call-ID.
    RtpReport(String),
}

impl Content {
    const fn protocol(&self) -> u8 {
        match self {
            Self::Sip => 1,
            Self::RtcpJson(_) => 5,
            Self::RtpReport(_) => 35,
        }
    }

    /// What the collector finds the call by; a SIP message says it itself.
    fn correlation(&self) -> Option<&str> {
        match self {
            Self::Sip => None,
            Self::RtcpJson(call_id) | Self::RtpReport(call_id) => Some(call_id),
        }
    }
}

/// A message that was heard or sent, or a report of such packets.
#[derive(Clone, Debug)]
pub(crate) struct Capture {
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    pub(crate) carrier: Carrier,
    pub(crate) content: Content,
    /// Microseconds since 1970-01-01T00:00:00Z.
    pub(crate) unix_us: u64,
    pub(crate) message: Vec<u8>,
}

/// Who captures.
#[derive(Clone, Debug)]
pub(super) struct Agent {
    pub(super) id: u32,
    pub(super) password: Option<String>,
    pub(super) name: String,
}

/// Appends the packet to nothing; `false` where it does not fit into one.
pub(super) fn write(packet: &mut Vec<u8>, agent: &Agent, capture: &Capture) -> bool {
    packet.extend_from_slice(b"HEP3\0\0");
    // The constants are those of Linux: AF_INET and AF_INET6.
    chunk(packet, chunk::IP_FAMILY, &[if capture.from.is_ipv4() { 2 } else { 10 }]);
    chunk(packet, chunk::IP_PROTOCOL, &[if capture.carrier == Carrier::Udp { 17 } else { 6 }]);
    address(packet, capture.from.ip(), (chunk::IPV4_SOURCE, chunk::IPV6_SOURCE));
    address(packet, capture.to.ip(), (chunk::IPV4_DESTINATION, chunk::IPV6_DESTINATION));
    chunk(packet, chunk::SOURCE_PORT, &capture.from.port().to_be_bytes());
    chunk(packet, chunk::DESTINATION_PORT, &capture.to.port().to_be_bytes());
    chunk(packet, chunk::SECONDS, &((capture.unix_us / 1_000_000) as u32).to_be_bytes());
    chunk(packet, chunk::MICROSECONDS, &((capture.unix_us % 1_000_000) as u32).to_be_bytes());
    chunk(packet, chunk::PROTOCOL, &[capture.content.protocol()]);
    chunk(packet, chunk::AGENT, &agent.id.to_be_bytes());
    if let Some(password) = &agent.password {
        chunk(packet, chunk::PASSWORD, password.as_bytes());
    }
    chunk(packet, chunk::NODE_NAME, agent.name.as_bytes());
    if let Some(call_id) = capture.content.correlation() {
        if call_id.len() > MAX_PACKET / 2 {
            return false;
        }
        chunk(packet, chunk::CORRELATION, call_id.as_bytes());
    }
    if packet.len() + CHUNK_HEADER + capture.message.len() > MAX_PACKET {
        return false;
    }
    chunk(packet, chunk::PAYLOAD, &capture.message);
    let length = packet.len() as u16;
    packet[HEADER - 2..HEADER].copy_from_slice(&length.to_be_bytes());
    true
}

fn address(packet: &mut Vec<u8>, address: IpAddr, (v4, v6): (u16, u16)) {
    match address {
        IpAddr::V4(address) => chunk(packet, v4, &address.octets()),
        IpAddr::V6(address) => chunk(packet, v6, &address.octets()),
    }
}

/// Values are shorter than a packet.
fn chunk(packet: &mut Vec<u8>, kind: u16, value: &[u8]) {
    packet.extend_from_slice(&[0, 0]);
    packet.extend_from_slice(&kind.to_be_bytes());
    packet.extend_from_slice(&((CHUNK_HEADER + value.len()) as u16).to_be_bytes());
    packet.extend_from_slice(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent() -> Agent {
        Agent { id: 0x0102_0304, password: Some("secret".to_owned()), name: "node".to_owned() }
    }

    fn capture(from: &str, to: &str, message: &[u8]) -> Capture {
        let (from, to) = (from.parse().unwrap(), to.parse().unwrap());
        Capture {
            from,
            to,
            carrier: Carrier::Udp,
            content: Content::Sip,
            unix_us: 1_700_000_000_000_123,
            message: message.to_vec(),
        }
    }

    #[test]
    fn a_packet_is_its_chunks_octet_by_octet() {
        let mut packet = Vec::new();
        assert!(write(&mut packet, &agent(), &capture("10.0.0.1:5060", "10.0.0.2:5070", b"SIP")));
        let expected: Vec<u8> = [
            &b"HEP3\0\0"[..],
            b"\0\0\0\x01\0\x07\x02",
            b"\0\0\0\x02\0\x07\x11",
            b"\0\0\0\x03\0\x0a\x0a\0\0\x01",
            b"\0\0\0\x04\0\x0a\x0a\0\0\x02",
            b"\0\0\0\x07\0\x08\x13\xc4",
            b"\0\0\0\x08\0\x08\x13\xce",
            b"\0\0\0\x09\0\x0a\x65\x53\xf1\x00",
            b"\0\0\0\x0a\0\x0a\0\0\0\x7b",
            b"\0\0\0\x0b\0\x07\x01",
            b"\0\0\0\x0c\0\x0a\x01\x02\x03\x04",
            b"\0\0\0\x0e\0\x0csecret",
            b"\0\0\0\x13\0\x0anode",
            b"\0\0\0\x0f\0\x09SIP",
        ]
        .concat();
        assert_eq!(packet[..4], expected[..4]);
        assert_eq!(usize::from(u16::from_be_bytes([packet[4], packet[5]])), expected.len());
        assert_eq!(packet[6..], expected[6..]);
    }

    #[test]
    fn ipv6_has_chunks_of_its_own_and_what_fits_no_datagram_is_not_sent() {
        let mut packet = Vec::new();
        assert!(write(&mut packet, &agent(), &capture("[2001:db8::1]:5060", "[2001:db8::2]:5060", b"x")));
        assert_eq!(packet[12], 10);
        assert!(packet.windows(6).any(|chunk| chunk == [0, 0, 0, 5, 0, 22]));
        let mut packet = Vec::new();
        assert!(!write(&mut packet, &agent(), &capture("10.0.0.1:1", "10.0.0.2:1", &[0; MAX_PACKET])));
    }
}
