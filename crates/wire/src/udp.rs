//! UDP (RFC 768).

use core::net::IpAddr;

use crate::checksum::Sum;
use crate::field::{be16, put};

/// Octets of the header.
pub const HEADER_LEN: usize = 8;
/// UDP's protocol number in IP.
pub const PROTOCOL: u8 = 17;

/// Why bytes are not a UDP datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UdpError {
    /// Shorter than the header.
    #[error("the datagram is shorter than its UDP header")]
    TooShort,
    /// The length field is less than the header or more than what IP carried.
    #[error("the UDP length disagrees with the datagram")]
    Length,
}

/// A datagram, split.
#[derive(Clone, Copy, Debug)]
pub struct Udp<'a> {
    header: &'a [u8; HEADER_LEN],
    payload: &'a [u8],
    datagram: &'a [u8],
}

impl<'a> Udp<'a> {
    /// Splits what IP carried. Octets behind the UDP length, if any, belong to nobody and are left out.
    ///
    /// # Errors
    /// [`UdpError`] when the lengths contradict each other.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<Self, UdpError> {
        let header = bytes.first_chunk::<HEADER_LEN>().ok_or(UdpError::TooShort)?;
        let length = usize::from(be16::<4, HEADER_LEN>(header));
        let datagram = bytes.get(..length).ok_or(UdpError::Length)?;
        let payload = datagram.get(HEADER_LEN..).ok_or(UdpError::Length)?;
        Ok(Self { header, payload, datagram })
    }

    /// The sender's port.
    #[inline]
    pub const fn source_port(&self) -> u16 {
        source_port_of(self.header)
    }

    /// The receiver's port.
    #[inline]
    pub const fn destination_port(&self) -> u16 {
        be16::<2, HEADER_LEN>(self.header)
    }

    /// The checksum field as it stands; `[0, 0]` when the sender made none.
    #[inline]
    pub const fn checksum(&self) -> [u8; 2] {
        [self.header[6], self.header[7]]
    }

    /// What follows the header.
    #[inline]
    pub const fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// Whether the checksum holds. A sender may leave it out over IPv4, not over IPv6 (RFC 768, RFC 8200 §8.1).
    #[inline]
    pub fn checksum_holds(&self, source: IpAddr, destination: IpAddr) -> bool {
        if self.checksum() == [0, 0] {
            return source.is_ipv4();
        }
        Sum::of_pseudo_header(source, destination, PROTOCOL)
            .and_u16(be16::<4, HEADER_LEN>(self.header))
            .and(Sum::of(self.datagram))
            .is_valid()
    }
}

/// The sender's port that a header says.
#[inline]
pub const fn source_port_of(header: &[u8; HEADER_LEN]) -> u16 {
    be16::<0, HEADER_LEN>(header)
}

/// The fields of a header to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UdpFields {
    /// The sender's port.
    pub source_port: u16,
    /// The receiver's port.
    pub destination_port: u16,
    /// Octets of header and payload.
    pub length: u16,
}

impl UdpFields {
    /// Fills in a header with checksum 0: none (yet).
    #[inline]
    pub fn write(&self, header: &mut [u8; HEADER_LEN]) {
        put::<0, 2, HEADER_LEN>(header, self.source_port.to_be_bytes());
        put::<2, 2, HEADER_LEN>(header, self.destination_port.to_be_bytes());
        put::<4, 2, HEADER_LEN>(header, self.length.to_be_bytes());
        put::<6, 2, HEADER_LEN>(header, [0, 0]);
    }
}

/// The checksum field for `datagram`, a header whose checksum field is zero and its payload.
#[inline]
pub fn checksum_of(source: IpAddr, destination: IpAddr, datagram: &[u8]) -> [u8; 2] {
    Sum::of_pseudo_header(source, destination, PROTOCOL)
        .and_u16(datagram.len() as u16)
        .and(Sum::of(datagram))
        .udp_checksum()
}

#[cfg(test)]
mod tests {
    use core::net::{Ipv4Addr, Ipv6Addr};
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    fn datagram(payload: &[u8]) -> Vec<u8> {
        let mut header = [0; HEADER_LEN];
        UdpFields { source_port: 4000, destination_port: 5004, length: (8 + payload.len()) as u16 }.write(&mut header);
        [&header, payload].concat()
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_and_its_checksum_holds(
            payload in proptest::collection::vec(any::<u8>(), 0..200),
            v6 in any::<bool>(),
            from in any::<[u8; 16]>(),
            to in any::<[u8; 16]>(),
            flipped in any::<proptest::sample::Index>(),
        ) {
            let address = |octets: [u8; 16]| -> IpAddr {
                if v6 { Ipv6Addr::from(octets).into() } else { Ipv4Addr::new(octets[0], octets[1], octets[2], octets[3]).into() }
            };
            let (from, to) = (address(from), address(to));
            let mut bytes = datagram(&payload);
            let checksum = checksum_of(from, to, &bytes);
            bytes[6..8].copy_from_slice(&checksum);
            let udp = Udp::parse(&bytes).unwrap();
            prop_assert_eq!((udp.source_port(), udp.destination_port()), (4000, 5004));
            prop_assert_eq!(udp.payload(), &payload[..]);
            prop_assert!(udp.checksum_holds(from, to));

            // One bit flipped in ports or payload never goes unseen.
            let mut at = flipped.index(bytes.len());
            if (4..8).contains(&at) { at = 0; }
            bytes[at] ^= 0x10;
            prop_assert!(!Udp::parse(&bytes).unwrap().checksum_holds(from, to));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(udp) = Udp::parse(&bytes) {
                let _ = (udp.source_port(), udp.destination_port(), udp.checksum());
                let _ = udp.checksum_holds(Ipv4Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into());
                prop_assert!(udp.payload().len() + HEADER_LEN <= bytes.len());
            }
        }
    }

    #[test]
    fn a_checksum_left_out_is_right_over_ipv4_and_wrong_over_ipv6() {
        let bytes = datagram(b"x");
        let udp = Udp::parse(&bytes).unwrap();
        assert!(udp.checksum_holds(Ipv4Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into()));
        assert!(!udp.checksum_holds(Ipv6Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()));
    }

    #[test]
    fn a_length_beyond_the_datagram_or_inside_the_header_is_refused() {
        let mut bytes = datagram(b"abcd");
        bytes[5] = 13;
        assert_eq!(Udp::parse(&bytes).unwrap_err(), UdpError::Length);
        bytes[5] = 7;
        assert_eq!(Udp::parse(&bytes).unwrap_err(), UdpError::Length);
        bytes[5] = 10;
        assert_eq!(Udp::parse(&bytes).unwrap().payload(), b"ab");
    }
}
