//! IPv4 (RFC 791).

use core::net::Ipv4Addr;

use crate::checksum::Sum;
use crate::field::{be16, octets, put};
use crate::fragment::Fragment;

/// Octets of a header without options.
pub const HEADER_LEN: usize = 20;

const FLAG_DONT_FRAGMENT: u16 = 0x4000;
const FLAG_MORE_FRAGMENTS: u16 = 0x2000;
const FRAGMENT_OFFSET: u16 = 0x1fff;

/// Why bytes are not an IPv4 packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ipv4Error {
    /// Shorter than the header, or than the total length says.
    #[error("the packet is shorter than its IPv4 header says")]
    TooShort,
    /// Another version.
    #[error("the IP version is not 4")]
    Version,
    /// A header length below 20 octets or beyond the packet.
    #[error("the IPv4 header length is impossible")]
    HeaderLength,
}

/// A packet, split.
#[derive(Clone, Copy, Debug)]
pub struct Ipv4<'a> {
    fixed: &'a [u8; HEADER_LEN],
    header: &'a [u8],
    payload: &'a [u8],
}

impl<'a> Ipv4<'a> {
    /// Splits a packet; octets behind its total length are the link's padding and left out.
    ///
    /// # Errors
    /// [`Ipv4Error`] when the lengths contradict each other. The checksum is a question of its own
    /// ([`Ipv4::checksum_holds`]), because a device may have answered it already.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Ipv4Error> {
        let fixed = bytes.first_chunk::<HEADER_LEN>().ok_or(Ipv4Error::TooShort)?;
        if fixed[0] >> 4 != 4 {
            return Err(Ipv4Error::Version);
        }
        let header_length = usize::from(fixed[0] & 0x0f) * 4;
        let total_length = usize::from(be16::<2, HEADER_LEN>(fixed));
        if header_length < HEADER_LEN || total_length < header_length {
            return Err(Ipv4Error::HeaderLength);
        }
        let packet = bytes.get(..total_length).ok_or(Ipv4Error::TooShort)?;
        let (header, payload) = packet.split_at_checked(header_length).ok_or(Ipv4Error::HeaderLength)?;
        Ok(Self { fixed, header, payload })
    }

    /// Octets of the header, options included.
    #[inline]
    pub const fn header_len(&self) -> usize {
        self.header.len()
    }

    /// Which part of a larger packet this is; `None` for a whole one.
    #[inline]
    pub fn fragment(&self) -> Option<Fragment> {
        let field = be16::<6, HEADER_LEN>(self.fixed);
        (field & (FLAG_MORE_FRAGMENTS | FRAGMENT_OFFSET) != 0).then(|| Fragment {
            offset: (field & FRAGMENT_OFFSET) * 8,
            more: field & FLAG_MORE_FRAGMENTS != 0,
            identification: be16::<4, HEADER_LEN>(self.fixed).into(),
        })
    }

    /// The next protocol.
    #[inline]
    pub const fn protocol(&self) -> u8 {
        self.fixed[9]
    }

    /// Differentiated services code point and congestion bits.
    #[inline]
    pub const fn traffic_class(&self) -> u8 {
        self.fixed[1]
    }

    /// From whom.
    #[inline]
    pub fn source(&self) -> Ipv4Addr {
        source_of(self.fixed)
    }

    /// To whom.
    #[inline]
    pub fn destination(&self) -> Ipv4Addr {
        octets::<16, 4, HEADER_LEN>(self.fixed).into()
    }

    /// Whether the header checksum holds.
    #[inline]
    pub fn checksum_holds(&self) -> bool {
        Sum::of(self.header).is_valid()
    }

    /// What follows the header.
    #[inline]
    pub const fn payload(&self) -> &'a [u8] {
        self.payload
    }
}

/// From whom a header says that it is.
#[inline]
pub fn source_of(header: &[u8; HEADER_LEN]) -> Ipv4Addr {
    octets::<12, 4, HEADER_LEN>(header).into()
}

/// The fields of a header to be written. Packets of ours are never fragmented: DF is set and the identification is 0
/// (RFC 6864 §4.1 lets an atomic packet have any).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv4Fields {
    /// Differentiated services code point and congestion bits.
    pub traffic_class: u8,
    /// Octets of header and payload.
    pub total_length: u16,
    /// Hops the packet may take.
    pub time_to_live: u8,
    /// The next protocol.
    pub protocol: u8,
    /// From whom.
    pub source: Ipv4Addr,
    /// To whom.
    pub destination: Ipv4Addr,
}

impl Ipv4Fields {
    /// Fills in a header without options, checksum included.
    #[inline]
    pub fn write(&self, header: &mut [u8; HEADER_LEN]) {
        put::<0, 2, HEADER_LEN>(header, [0x45, self.traffic_class]);
        put::<2, 2, HEADER_LEN>(header, self.total_length.to_be_bytes());
        put::<4, 2, HEADER_LEN>(header, [0, 0]);
        put::<6, 2, HEADER_LEN>(header, FLAG_DONT_FRAGMENT.to_be_bytes());
        put::<8, 2, HEADER_LEN>(header, [self.time_to_live, self.protocol]);
        put::<10, 2, HEADER_LEN>(header, [0, 0]);
        put::<12, 4, HEADER_LEN>(header, self.source.octets());
        put::<16, 4, HEADER_LEN>(header, self.destination.octets());
        let checksum = Sum::of(header).checksum();
        put::<10, 2, HEADER_LEN>(header, checksum);
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    fn packet(options: usize, payload: usize) -> Vec<u8> {
        let mut header = [0; HEADER_LEN];
        Ipv4Fields {
            traffic_class: 0xb8,
            total_length: (HEADER_LEN + options + payload) as u16,
            time_to_live: 64,
            protocol: 17,
            source: Ipv4Addr::new(10, 0, 0, 1),
            destination: Ipv4Addr::new(10, 0, 0, 2),
        }
        .write(&mut header);
        header[0] = 0x40 | ((HEADER_LEN + options) / 4) as u8;
        let mut bytes = header.to_vec();
        bytes.resize(HEADER_LEN + options + payload, 1);
        bytes[10..12].fill(0);
        let checksum = Sum::of(&bytes[..HEADER_LEN + options]).checksum();
        bytes[10..12].copy_from_slice(&checksum);
        bytes
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            traffic_class in any::<u8>(), payload in 0_u16..1480, time_to_live in any::<u8>(), protocol in any::<u8>(),
            source in any::<[u8; 4]>(), destination in any::<[u8; 4]>(),
        ) {
            let fields = Ipv4Fields {
                traffic_class, total_length: payload + 20, time_to_live, protocol,
                source: source.into(), destination: destination.into(),
            };
            let mut header = [0xee; HEADER_LEN];
            fields.write(&mut header);
            let mut bytes = header.to_vec();
            bytes.resize(usize::from(fields.total_length) + 6, 0); // the link pads
            let ip = Ipv4::parse(&bytes).unwrap();
            prop_assert_eq!((ip.source(), ip.destination()), (fields.source, fields.destination));
            prop_assert_eq!((ip.protocol(), ip.traffic_class()), (protocol, traffic_class));
            prop_assert_eq!(ip.payload().len(), usize::from(payload));
            prop_assert!(ip.checksum_holds() && ip.fragment().is_none());
            bytes[8] ^= 1;
            prop_assert!(!Ipv4::parse(&bytes).unwrap().checksum_holds());
        }

        #[test]
        fn any_bytes_are_read_or_refused(mut bytes in proptest::collection::vec(any::<u8>(), 0..80), four in any::<bool>()) {
            if four && !bytes.is_empty() { bytes[0] = 0x40 | (bytes[0] & 0x0f); }
            if let Ok(ip) = Ipv4::parse(&bytes) {
                let _ = (ip.source(), ip.destination(), ip.checksum_holds(), ip.fragment(), ip.protocol());
                prop_assert!(ip.header_len() + ip.payload().len() <= bytes.len());
            }
        }
    }

    #[test]
    fn options_are_skipped_and_covered_by_the_checksum() {
        let bytes = packet(8, 5);
        let ip = Ipv4::parse(&bytes).unwrap();
        assert_eq!((ip.header_len(), ip.payload()), (28, &[1; 5][..]));
        assert!(ip.checksum_holds());
    }

    #[test]
    fn impossible_lengths_are_refused() {
        let good = packet(0, 10);
        assert_eq!(Ipv4::parse(&good[..19]).unwrap_err(), Ipv4Error::TooShort);
        assert_eq!(Ipv4::parse(&good[..29]).unwrap_err(), Ipv4Error::TooShort);
        let mut bad = good.clone();
        bad[0] = 0x65;
        assert_eq!(Ipv4::parse(&bad).unwrap_err(), Ipv4Error::Version);
        bad[0] = 0x44;
        assert_eq!(Ipv4::parse(&bad).unwrap_err(), Ipv4Error::HeaderLength);
        bad[0] = 0x4f;
        assert_eq!(Ipv4::parse(&bad).unwrap_err(), Ipv4Error::HeaderLength);
    }

    #[test]
    fn first_middle_and_last_fragments_are_fragments() {
        let mut bytes = packet(0, 10);
        bytes[4..6].copy_from_slice(&[0x12, 0x34]);
        let part = |offset, more| Some(Fragment { offset, more, identification: 0x1234 });
        for (flags, fragment) in [
            (0x4000, None),
            (0x2000, part(0, true)),
            (0x2001, part(8, true)),
            (0x1fff, part(65_528, false)),
            (0x0000, None),
        ] {
            bytes[6..8].copy_from_slice(&u16::to_be_bytes(flags));
            assert_eq!(Ipv4::parse(&bytes).unwrap().fragment(), fragment, "{flags:04x}");
        }
    }
}
