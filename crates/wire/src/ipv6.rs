//! IPv6 (RFC 8200).

use core::net::Ipv6Addr;

use crate::ethernet::MacAddress;
use crate::field::{be16, be32, octets, put};
use crate::fragment::Fragment;

/// Octets of the fixed header.
pub const HEADER_LEN: usize = 40;
/// Extension headers that are looked at. RFC 8200 §4.1 names seven, and each but one stands once; whoever sends more than a
/// router would (RFC 8504 §5.3 allows a limit) wants work done, not speech carried.
pub const MAX_EXTENSION_HEADERS: usize = 8;
/// Octets that extension headers may take together (RFC 8504 §5.3 allows a limit, and this is more than any sender of speech needs).
pub const MAX_EXTENSION_LEN: usize = 256;

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const DESTINATION_OPTIONS: u8 = 60;

/// Octets of a fragment header.
const FRAGMENT_HEADER_LEN: usize = 8;
const MORE_FRAGMENTS: u16 = 1;

/// Why bytes are not an IPv6 packet that can be taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ipv6Error {
    /// Shorter than the header, or than the payload length says, or than an extension header says.
    #[error("the packet is shorter than its IPv6 headers say")]
    TooShort,
    /// Another version.
    #[error("the IP version is not 6")]
    Version,
    /// Too many extension headers, too long ones, or one where it must not be.
    #[error("the IPv6 extension headers are too many, too long or in a wrong place")]
    ExtensionHeaders,
    /// A routing header that has segments left: we are nobody's hop (RFC 5095).
    #[error("the IPv6 routing header has segments left")]
    Routed,
}

/// A packet, split behind its last extension header.
#[derive(Clone, Copy, Debug)]
pub struct Ipv6<'a> {
    fixed: &'a [u8; HEADER_LEN],
    fragment: Option<Fragment>,
    /// What stands before a fragment's data: the headers that each fragment has (RFC 8200 §4.5).
    unfragmentable_len: usize,
    protocol: u8,
    header_len: usize,
    payload: &'a [u8],
}

impl<'a> Ipv6<'a> {
    /// Splits a packet; octets behind its payload length are the link's padding and left out. Extension headers of a
    /// first fragment are walked as far as it has them; of a later one none is.
    ///
    /// # Errors
    /// [`Ipv6Error`] when lengths contradict each other or extension headers ask for more than is done.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Ipv6Error> {
        let (fixed, rest) = bytes.split_first_chunk::<HEADER_LEN>().ok_or(Ipv6Error::TooShort)?;
        if fixed[0] >> 4 != 6 {
            return Err(Ipv6Error::Version);
        }
        // A payload length of 0 would be a jumbogram (RFC 2675), or nothing at all.
        let payload = rest.get(..usize::from(be16::<4, HEADER_LEN>(fixed))).ok_or(Ipv6Error::TooShort)?;
        let plain = Self {
            fixed,
            fragment: None,
            unfragmentable_len: HEADER_LEN,
            protocol: fixed[6],
            header_len: HEADER_LEN,
            payload,
        };
        if matches!(plain.protocol, HOP_BY_HOP | ROUTING | FRAGMENT | DESTINATION_OPTIONS) {
            plain.behind_extension_headers()
        } else {
            Ok(plain)
        }
    }

    #[cold]
    fn behind_extension_headers(mut self) -> Result<Self, Ipv6Error> {
        for place in 0..=MAX_EXTENSION_HEADERS {
            let is_extension = matches!(self.protocol, HOP_BY_HOP | ROUTING | FRAGMENT | DESTINATION_OPTIONS);
            // What follows the header of a later fragment is the middle of something.
            if !is_extension || self.fragment.is_some_and(|fragment| fragment.offset > 0) {
                return Ok(self);
            }
            let twice = self.protocol == FRAGMENT && self.fragment.is_some();
            let not_first = self.protocol == HOP_BY_HOP && place > 0;
            if place == MAX_EXTENSION_HEADERS || twice || not_first {
                return Err(Ipv6Error::ExtensionHeaders);
            }
            let header = self.payload.first_chunk::<FRAGMENT_HEADER_LEN>().ok_or(Ipv6Error::TooShort)?;
            let len = if self.protocol == FRAGMENT { FRAGMENT_HEADER_LEN } else { (usize::from(header[1]) + 1) * 8 };
            match self.protocol {
                ROUTING if header[3] != 0 => return Err(Ipv6Error::Routed),
                FRAGMENT => {
                    let field = be16::<2, FRAGMENT_HEADER_LEN>(header);
                    self.fragment = Some(Fragment {
                        offset: field & !7,
                        more: field & MORE_FRAGMENTS != 0,
                        identification: be32::<4, FRAGMENT_HEADER_LEN>(header),
                    });
                    self.unfragmentable_len = self.header_len;
                }
                _ => {}
            }
            if self.header_len + len > HEADER_LEN + MAX_EXTENSION_LEN {
                return Err(Ipv6Error::ExtensionHeaders);
            }
            self.payload = self.payload.get(len..).ok_or(Ipv6Error::TooShort)?;
            self.protocol = header[0];
            self.header_len += len;
        }
        Err(Ipv6Error::ExtensionHeaders)
    }

    /// Octets of the header and all extension headers.
    #[inline]
    pub const fn header_len(&self) -> usize {
        self.header_len
    }

    /// Which part of a larger packet this is. A packet that is all of itself (RFC 6946 §4) is none.
    #[inline]
    pub fn fragment(&self) -> Option<Fragment> {
        self.fragment.filter(|fragment| fragment.offset > 0 || fragment.more)
    }

    /// A fragment's octets: all that stands behind its fragment header, as RFC 8200 §4.5 counts offsets from there.
    /// The protocol of a first fragment's octets is [`Ipv6::fragment_protocol`].
    pub fn fragment_data<'b>(&self, packet: &'b [u8]) -> Option<&'b [u8]> {
        let end = HEADER_LEN + usize::from(be16::<4, HEADER_LEN>(self.fixed));
        packet.get(self.unfragmentable_len + FRAGMENT_HEADER_LEN..end)
    }

    /// What the octets behind the fragment header are.
    pub fn fragment_protocol(&self, packet: &[u8]) -> Option<u8> {
        packet.get(self.unfragmentable_len).copied()
    }

    /// The next protocol, behind all extension headers.
    #[inline]
    pub const fn protocol(&self) -> u8 {
        self.protocol
    }

    /// Differentiated services code point and congestion bits.
    #[inline]
    pub const fn traffic_class(&self) -> u8 {
        self.fixed[0] << 4 | self.fixed[1] >> 4
    }

    /// Hops the packet may still take.
    #[inline]
    pub const fn hop_limit(&self) -> u8 {
        self.fixed[7]
    }

    /// From whom.
    #[inline]
    pub fn source(&self) -> Ipv6Addr {
        source_of(self.fixed)
    }

    /// To whom.
    #[inline]
    pub fn destination(&self) -> Ipv6Addr {
        octets::<24, 16, HEADER_LEN>(self.fixed).into()
    }

    /// What follows the headers.
    #[inline]
    pub const fn payload(&self) -> &'a [u8] {
        self.payload
    }
}

/// From whom a header says that it is.
#[inline]
pub fn source_of(header: &[u8; HEADER_LEN]) -> Ipv6Addr {
    octets::<8, 16, HEADER_LEN>(header).into()
}

/// The fields of a header to be written; the flow label is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv6Fields {
    /// Differentiated services code point and congestion bits.
    pub traffic_class: u8,
    /// Octets behind the header.
    pub payload_length: u16,
    /// The next protocol.
    pub protocol: u8,
    /// Hops the packet may take.
    pub hop_limit: u8,
    /// From whom.
    pub source: Ipv6Addr,
    /// To whom.
    pub destination: Ipv6Addr,
}

impl Ipv6Fields {
    /// Fills in a header.
    #[inline]
    pub fn write(&self, header: &mut [u8; HEADER_LEN]) {
        put::<0, 4, HEADER_LEN>(header, [0x60 | self.traffic_class >> 4, self.traffic_class << 4, 0, 0]);
        put::<4, 2, HEADER_LEN>(header, self.payload_length.to_be_bytes());
        put::<6, 2, HEADER_LEN>(header, [self.protocol, self.hop_limit]);
        put::<8, 16, HEADER_LEN>(header, self.source.octets());
        put::<24, 16, HEADER_LEN>(header, self.destination.octets());
    }
}

/// All nodes of the link.
pub const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// The group that the owner of `address` listens to, so that it can be asked for (RFC 4291 §2.7.1).
#[inline]
pub const fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = address.octets();
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | a as u16, (b as u16) << 8 | c as u16)
}

/// The hardware address of a group (RFC 2464 §7).
#[inline]
pub const fn multicast_mac(group: Ipv6Addr) -> MacAddress {
    let [.., a, b, c, d] = group.octets();
    MacAddress([0x33, 0x33, a, b, c, d])
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    /// A packet with extension headers `(protocol, octets)` before `payload` of `protocol`.
    fn packet(extensions: &[(u8, Vec<u8>)], protocol: u8, payload: &[u8]) -> Vec<u8> {
        let mut behind = Vec::new();
        for (index, (_, octets)) in extensions.iter().enumerate() {
            behind.push(extensions.get(index + 1).map_or(protocol, |next| next.0));
            behind.extend(octets);
        }
        behind.extend(payload);
        let mut header = [0xee; HEADER_LEN];
        Ipv6Fields {
            traffic_class: 0xb8,
            payload_length: behind.len() as u16,
            protocol: extensions.first().map_or(protocol, |first| first.0),
            hop_limit: 64,
            source: Ipv6Addr::LOCALHOST,
            destination: ALL_NODES,
        }
        .write(&mut header);
        [&header[..], &behind].concat()
    }

    /// The octets of an options header behind its first one, `words` times 8 octets long.
    fn options(words: u8) -> Vec<u8> {
        let mut octets = std::vec![0; usize::from(words) * 8 - 1];
        octets[0] = words - 1;
        octets
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            traffic_class in any::<u8>(), payload in 0_u16..1440, protocol in 61_u8..=255, hop_limit in any::<u8>(),
            source in any::<[u8; 16]>(), destination in any::<[u8; 16]>(),
        ) {
            let fields = Ipv6Fields {
                traffic_class, payload_length: payload, protocol, hop_limit,
                source: source.into(), destination: destination.into(),
            };
            let mut header = [0xee; HEADER_LEN];
            fields.write(&mut header);
            let mut bytes = header.to_vec();
            bytes.resize(HEADER_LEN + usize::from(payload) + 6, 0); // the link pads
            let ip = Ipv6::parse(&bytes).unwrap();
            prop_assert_eq!((ip.source(), ip.destination()), (fields.source, fields.destination));
            prop_assert_eq!((ip.protocol(), ip.traffic_class(), ip.hop_limit()), (protocol, traffic_class, hop_limit));
            prop_assert_eq!((ip.header_len(), ip.payload().len()), (HEADER_LEN, usize::from(payload)));
            prop_assert_eq!(ip.fragment(), None);
        }

        #[test]
        fn any_bytes_are_read_or_refused(
            mut bytes in proptest::collection::vec(any::<u8>(), 0..400), six in any::<bool>(), chain in any::<bool>(),
        ) {
            if six && !bytes.is_empty() { bytes[0] = 0x60; }
            if chain && bytes.len() > HEADER_LEN + 40 {
                bytes[4..6].copy_from_slice(&[0, 40]);
                bytes[6] = [HOP_BY_HOP, ROUTING, FRAGMENT, DESTINATION_OPTIONS][usize::from(bytes[6] % 4)];
                for at in (HEADER_LEN..HEADER_LEN + 40).step_by(8) {
                    bytes[at] = [HOP_BY_HOP, ROUTING, FRAGMENT, DESTINATION_OPTIONS, 17][usize::from(bytes[at] % 5)];
                    bytes[at + 1] %= 3;
                }
            }
            if let Ok(ip) = Ipv6::parse(&bytes) {
                prop_assert!(ip.header_len() + ip.payload().len() <= bytes.len());
                prop_assert!(ip.header_len() <= HEADER_LEN + MAX_EXTENSION_LEN);
                let _ = (ip.fragment(), ip.fragment_data(&bytes), ip.fragment_protocol(&bytes));
            }
        }
    }

    #[test]
    fn extension_headers_are_walked_to_the_protocol_behind_them() {
        let bytes =
            packet(&[(HOP_BY_HOP, options(1)), (DESTINATION_OPTIONS, options(2)), (ROUTING, options(1))], 17, b"udp");
        let ip = Ipv6::parse(&bytes).unwrap();
        assert_eq!((ip.protocol(), ip.header_len(), ip.payload()), (17, 40 + 8 + 16 + 8, &b"udp"[..]));
    }

    #[test]
    fn more_extension_headers_than_anyone_needs_are_refused() {
        let many = |count| packet(&std::vec![(DESTINATION_OPTIONS, options(1)); count], 17, b"");
        assert!(Ipv6::parse(&many(MAX_EXTENSION_HEADERS)).is_ok());
        assert_eq!(Ipv6::parse(&many(MAX_EXTENSION_HEADERS + 1)).unwrap_err(), Ipv6Error::ExtensionHeaders);
        let long = |words| packet(&[(DESTINATION_OPTIONS, options(words))], 17, b"");
        assert!(Ipv6::parse(&long(32)).is_ok());
        assert_eq!(Ipv6::parse(&long(33)).unwrap_err(), Ipv6Error::ExtensionHeaders);
        let late = packet(&[(DESTINATION_OPTIONS, options(1)), (HOP_BY_HOP, options(1))], 17, b"");
        assert_eq!(Ipv6::parse(&late).unwrap_err(), Ipv6Error::ExtensionHeaders);
    }

    #[test]
    fn a_source_route_that_is_not_at_its_end_is_refused() {
        let mut route = options(1);
        route[2] = 1;
        assert_eq!(Ipv6::parse(&packet(&[(ROUTING, route)], 17, b"")).unwrap_err(), Ipv6Error::Routed);
    }

    #[test]
    fn a_fragment_says_where_it_belongs() {
        let header = |field: u16| [&[0][..], &field.to_be_bytes(), &[0, 0, 0, 7]].concat();
        let first = packet(&[(HOP_BY_HOP, options(1)), (FRAGMENT, header(1))], 17, b"start of");
        let ip = Ipv6::parse(&first).unwrap();
        assert_eq!(ip.fragment(), Some(Fragment { offset: 0, more: true, identification: 7 }));
        assert_eq!(ip.fragment_data(&first), Some(&b"start of"[..]));
        assert_eq!(ip.fragment_protocol(&first), Some(17));
        let last = packet(&[(FRAGMENT, header(1480))], DESTINATION_OPTIONS, b"the middle of something");
        let ip = Ipv6::parse(&last).unwrap();
        assert_eq!(ip.fragment(), Some(Fragment { offset: 1480, more: false, identification: 7 }));
        assert_eq!(ip.payload(), b"the middle of something", "not walked as options");
        let atomic = packet(&[(FRAGMENT, header(0))], 17, b"all of it");
        assert_eq!(Ipv6::parse(&atomic).unwrap().fragment(), None);
    }

    #[test]
    fn impossible_lengths_are_refused() {
        let good = packet(&[(DESTINATION_OPTIONS, options(2))], 17, b"1234567890");
        assert!(Ipv6::parse(&good).is_ok());
        for len in 0..good.len() {
            assert_eq!(Ipv6::parse(&good[..len]).unwrap_err(), Ipv6Error::TooShort, "{len}");
        }
        let mut beyond = good.clone();
        beyond[HEADER_LEN + 1] = 20;
        assert_eq!(Ipv6::parse(&beyond).unwrap_err(), Ipv6Error::TooShort);
        let mut version = good;
        version[0] = 0x45;
        assert_eq!(Ipv6::parse(&version).unwrap_err(), Ipv6Error::Version);
    }

    #[test]
    fn groups_are_those_of_the_rfcs() {
        // RFC 4291 §2.7.1's own example.
        let address = "4037::01:800:200e:8c6c".parse().unwrap();
        let group: Ipv6Addr = "ff02::1:ff0e:8c6c".parse().unwrap();
        assert_eq!(solicited_node(address), group);
        assert_eq!(multicast_mac(group), MacAddress([0x33, 0x33, 0xff, 0x0e, 0x8c, 0x6c]));
    }
}
