//! ICMP echo (RFC 792).

use crate::checksum::{Sum, updated};

/// ICMP's protocol number in IPv4.
pub const PROTOCOL: u8 = 1;
/// Octets of an echo header: type, code, checksum, identifier, sequence number.
pub const ECHO_HEADER_LEN: usize = 8;

const ECHO_REPLY: u8 = 0;
const ECHO_REQUEST: u8 = 8;

/// Why bytes are not an ICMP message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IcmpError {
    /// Shorter than the header.
    #[error("the ICMP message is shorter than its header")]
    TooShort,
}

/// A message, to be read or answered in place.
#[derive(Debug)]
pub struct IcmpMut<'a> {
    header: &'a mut [u8; ECHO_HEADER_LEN],
    data: &'a [u8],
}

impl<'a> IcmpMut<'a> {
    /// Splits what IPv4 carried.
    ///
    /// # Errors
    /// [`IcmpError`] when the header is not all there.
    pub fn parse(bytes: &'a mut [u8]) -> Result<Self, IcmpError> {
        let (header, data) = bytes.split_first_chunk_mut::<ECHO_HEADER_LEN>().ok_or(IcmpError::TooShort)?;
        Ok(Self { header, data })
    }

    /// Whether this asks for an echo.
    pub const fn is_echo_request(&self) -> bool {
        self.header[0] == ECHO_REQUEST && self.header[1] == 0
    }

    /// Whether the checksum holds.
    pub fn checksum_holds(&self) -> bool {
        Sum::of(self.header).and(Sum::of(self.data)).is_valid()
    }

    /// Turns an echo request into its reply.
    pub fn into_echo_reply(self) {
        let old = Sum::of(&self.header[..2]);
        self.header[0] = ECHO_REPLY;
        let new = Sum::of(&self.header[..2]);
        let mut checksum = updated([self.header[2], self.header[3]], old, new);
        // A reply of zeros alone has no other sum than +0, which the update takes for -0 (RFC 1624 §3).
        if checksum == [0, 0] && self.header[4..].iter().chain(self.data).all(|&octet| octet == 0) {
            checksum = [0xff, 0xff];
        }
        self.header[2..4].copy_from_slice(&checksum);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_echo_reply_is_the_request_with_another_type_and_a_right_checksum(
            mut bytes in proptest::collection::vec(any::<u8>(), 8..100)
        ) {
            bytes[..4].copy_from_slice(&[ECHO_REQUEST, 0, 0, 0]);
            let checksum = Sum::of(&bytes).checksum();
            bytes[2..4].copy_from_slice(&checksum);
            let request = bytes.clone();
            let icmp = IcmpMut::parse(&mut bytes).unwrap();
            prop_assert!(icmp.is_echo_request() && icmp.checksum_holds());
            icmp.into_echo_reply();
            prop_assert_eq!(bytes[0], ECHO_REPLY);
            prop_assert!(IcmpMut::parse(&mut bytes).unwrap().checksum_holds());
            prop_assert_eq!(&bytes[4..], &request[4..]);
        }

        #[test]
        fn any_bytes_are_read_or_refused(mut bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            if let Ok(icmp) = IcmpMut::parse(&mut bytes) {
                let _ = icmp.checksum_holds();
                icmp.into_echo_reply();
            }
        }
    }

    #[test]
    fn an_echo_of_zeros_alone_is_answered_with_a_right_checksum() {
        let mut bytes = [8, 0, 0xf7, 0xff, 0, 0, 0, 0, 0, 0];
        IcmpMut::parse(&mut bytes).unwrap().into_echo_reply();
        assert_eq!(bytes, [0, 0, 0xff, 0xff, 0, 0, 0, 0, 0, 0]);
        assert!(IcmpMut::parse(&mut bytes).unwrap().checksum_holds());
    }

    #[test]
    fn a_reply_or_an_unreachable_is_no_echo_request() {
        for first in [[0, 0], [3, 3], [8, 1]] {
            let mut bytes = [first[0], first[1], 0, 0, 0, 0, 0, 0];
            assert!(!IcmpMut::parse(&mut bytes).unwrap().is_echo_request());
        }
        assert_eq!(IcmpMut::parse(&mut [8; 7]).unwrap_err(), IcmpError::TooShort);
    }
}
