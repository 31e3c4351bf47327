//! RTCP's common header and how packets are stacked into a compound (RFC 3550 §6.1, §6.4).

use crate::field::be16;

/// Octets of the common header.
pub const HEADER_LEN: usize = 4;

const VERSION: u8 = 2;

/// Packet type of a sender report (RFC 3550 §6.4.1).
pub const SENDER_REPORT: u8 = 200;
/// Packet type of a receiver report (RFC 3550 §6.4.2).
pub const RECEIVER_REPORT: u8 = 201;
/// Packet type of a source description (RFC 3550 §6.5).
pub const SOURCE_DESCRIPTION: u8 = 202;
/// Packet type of a goodbye (RFC 3550 §6.6).
pub const GOODBYE: u8 = 203;

/// Why bytes are not an RTCP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RtcpError {
    /// Shorter than the header, or than its length says.
    #[error("the RTCP packet is shorter than its header says")]
    TooShort,
    /// Another version than 2.
    #[error("the RTCP version is not 2")]
    Version,
}

/// One packet of a compound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rtcp<'a> {
    /// The five bits that count reports, chunks or sources, or carry a subtype.
    pub count: u8,
    /// What the packet is.
    pub packet_type: u8,
    /// What follows the common header, padding included.
    pub body: &'a [u8],
}

impl<'a> Rtcp<'a> {
    /// Splits the first packet off a compound and returns it with the rest.
    ///
    /// # Errors
    /// [`RtcpError`] when there is no whole packet.
    pub fn split(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), RtcpError> {
        let (header, rest) = bytes.split_first_chunk::<HEADER_LEN>().ok_or(RtcpError::TooShort)?;
        if header[0] >> 6 != VERSION {
            return Err(RtcpError::Version);
        }
        let length = usize::from(be16::<2, HEADER_LEN>(header)) * 4;
        let (body, rest) = rest.split_at_checked(length).ok_or(RtcpError::TooShort)?;
        Ok((Self { count: header[0] & 0x1f, packet_type: header[1], body }, rest))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_compound_comes_apart_in_order() {
        let compound = [0x80, 201, 0, 1, 1, 2, 3, 4, 0x81, 203, 0, 1, 9, 9, 9, 9];
        let (report, rest) = Rtcp::split(&compound).unwrap();
        assert_eq!((report.packet_type, report.count, report.body), (RECEIVER_REPORT, 0, &[1, 2, 3, 4][..]));
        let (goodbye, rest) = Rtcp::split(rest).unwrap();
        assert_eq!((goodbye.packet_type, goodbye.count, goodbye.body), (GOODBYE, 1, &[9; 4][..]));
        assert!(rest.is_empty());
    }

    #[test]
    fn each_refusal_has_its_name() {
        assert_eq!(Rtcp::split(&[0x80, 200, 0]).unwrap_err(), RtcpError::TooShort);
        assert_eq!(Rtcp::split(&[0x80, 200, 0, 1, 0, 0, 0]).unwrap_err(), RtcpError::TooShort);
        assert_eq!(Rtcp::split(&[0x00, 200, 0, 0]).unwrap_err(), RtcpError::Version);
    }

    proptest! {
        #[test]
        fn any_bytes_come_to_an_end(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            let mut rest = &bytes[..];
            while let Ok((packet, remaining)) = Rtcp::split(rest) {
                prop_assert_eq!(packet.body.len() + HEADER_LEN + remaining.len(), rest.len());
                rest = remaining;
            }
        }
    }
}
