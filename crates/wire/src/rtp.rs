//! RTP (RFC 3550 §5).

use crate::field::{be16, be32, put};

/// Octets of the fixed header.
pub const HEADER_LEN: usize = 12;

const VERSION: u8 = 2;

/// The first octet of a packet with neither padding, extension nor contributing sources.
pub const PLAIN_FIRST_OCTET: u8 = VERSION << 6;

const FLAG_PADDING: u8 = 0x20;
const FLAG_EXTENSION: u8 = 0x10;
const CSRC_COUNT: u8 = 0x0f;
const FLAG_MARKER: u8 = 0x80;

/// Why bytes are not an RTP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RtpError {
    /// Shorter than the fixed header.
    #[error("the packet is shorter than an RTP header")]
    TooShort,
    /// Another version than 2.
    #[error("the RTP version is not 2")]
    Version,
    /// The CSRC list runs past the end.
    #[error("the CSRC list runs past the end of the packet")]
    CsrcTooLong,
    /// The header extension runs past the end.
    #[error("the header extension runs past the end of the packet")]
    ExtensionTooLong,
    /// The padding count is 0 or more than what is there.
    #[error("the padding count is impossible")]
    Padding,
}

/// A packet, split into fixed header, CSRC list, extension, payload; padding is left out.
#[derive(Clone, Copy, Debug)]
pub struct Rtp<'a> {
    fixed: &'a [u8; HEADER_LEN],
    csrcs: &'a [[u8; 4]],
    extension: Option<Extension<'a>>,
    payload: &'a [u8],
    header_len: usize,
}

/// A header extension (RFC 3550 §5.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extension<'a> {
    /// The 16 bits that the profile defines; 0xbede for one-byte elements (RFC 8285 §4.2).
    pub profile: u16,
    /// The extension's words.
    pub data: &'a [u8],
}

impl<'a> Rtp<'a> {
    /// Splits a datagram's payload.
    ///
    /// # Errors
    /// [`RtpError`] says which part does not fit.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<Self, RtpError> {
        let (fixed, rest) = bytes.split_first_chunk::<HEADER_LEN>().ok_or(RtpError::TooShort)?;
        let flags = fixed[0];
        if flags >> 6 != VERSION {
            return Err(RtpError::Version);
        }
        if flags & 0x3f == 0 {
            // Nearly every packet: nothing between the fixed header and the payload, nothing behind it.
            return Ok(Self { fixed, csrcs: &[], extension: None, payload: rest, header_len: HEADER_LEN });
        }
        Self::parse_long(fixed, rest)
    }

    #[cold]
    fn parse_long(fixed: &'a [u8; HEADER_LEN], rest: &'a [u8]) -> Result<Self, RtpError> {
        let flags = fixed[0];
        let count = usize::from(flags & CSRC_COUNT);
        let (csrcs, rest) = rest.split_at_checked(count * 4).ok_or(RtpError::CsrcTooLong)?;
        let (csrcs, _) = csrcs.as_chunks::<4>();
        let mut header_len = HEADER_LEN + count * 4;
        let (extension, rest) = if flags & FLAG_EXTENSION == 0 {
            (None, rest)
        } else {
            let (head, rest) = rest.split_first_chunk::<4>().ok_or(RtpError::ExtensionTooLong)?;
            let length = usize::from(be16::<2, 4>(head)) * 4;
            let (data, rest) = rest.split_at_checked(length).ok_or(RtpError::ExtensionTooLong)?;
            header_len += 4 + length;
            (Some(Extension { profile: be16::<0, 4>(head), data }), rest)
        };
        let payload = if flags & FLAG_PADDING == 0 {
            rest
        } else {
            let count = usize::from(*rest.last().ok_or(RtpError::Padding)?);
            let kept = rest.len().checked_sub(count).filter(|_| count > 0).ok_or(RtpError::Padding)?;
            &rest[..kept]
        };
        Ok(Self { fixed, csrcs, extension, payload, header_len })
    }

    /// The marker bit.
    #[inline]
    pub const fn marker(&self) -> bool {
        self.fixed[1] & FLAG_MARKER != 0
    }

    /// The payload type, 0 to 127.
    #[inline]
    pub const fn payload_type(&self) -> u8 {
        self.fixed[1] & !FLAG_MARKER
    }

    /// The sequence number.
    #[inline]
    pub const fn sequence(&self) -> u16 {
        be16::<2, HEADER_LEN>(self.fixed)
    }

    /// The sampling instant of the payload's first octet, in the codec's clock.
    #[inline]
    pub const fn timestamp(&self) -> u32 {
        be32::<4, HEADER_LEN>(self.fixed)
    }

    /// The synchronisation source.
    #[inline]
    pub const fn ssrc(&self) -> u32 {
        be32::<8, HEADER_LEN>(self.fixed)
    }

    /// The contributing sources.
    pub fn csrcs(&self) -> impl ExactSizeIterator<Item = u32> + 'a {
        self.csrcs.iter().map(|csrc| u32::from_be_bytes(*csrc))
    }

    /// The header extension.
    pub const fn extension(&self) -> Option<Extension<'a>> {
        self.extension
    }

    /// Octets before the payload: fixed header, CSRC list, extension.
    #[inline]
    pub const fn header_len(&self) -> usize {
        self.header_len
    }

    /// The payload without padding.
    #[inline]
    pub const fn payload(&self) -> &'a [u8] {
        self.payload
    }
}

/// What a relay rewrites of a header, in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RtpFields {
    /// The marker bit.
    pub marker: bool,
    /// The payload type, 0 to 127.
    pub payload_type: u8,
    /// The sequence number.
    pub sequence: u16,
    /// The timestamp.
    pub timestamp: u32,
    /// The synchronisation source.
    pub ssrc: u32,
}

impl RtpFields {
    /// Fills in a header with neither padding, extension nor contributing sources.
    #[inline]
    pub fn write(&self, header: &mut [u8; HEADER_LEN]) {
        header[0] = PLAIN_FIRST_OCTET;
        self.rewrite(header);
    }

    /// Replaces the fields in `header` and leaves version, padding, extension and CSRC count as they are.
    #[inline]
    pub fn rewrite(&self, header: &mut [u8; HEADER_LEN]) {
        let second = (self.payload_type & !FLAG_MARKER) | if self.marker { FLAG_MARKER } else { 0 };
        let [high, low] = self.sequence.to_be_bytes();
        let [a, b, c, d] = self.timestamp.to_be_bytes();
        // In one piece: it is summed up next, and a word that was written in pieces would have to be waited for.
        put::<0, 8, HEADER_LEN>(header, [header[0], second, high, low, a, b, c, d]);
        put::<8, 4, HEADER_LEN>(header, self.ssrc.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    /// A packet built octet by octet, apart from the code under test.
    fn packet(csrcs: &[u32], extension: Option<(u16, &[u8])>, payload: &[u8], padding: u8) -> Vec<u8> {
        let mut bytes = std::vec![0x80 | csrcs.len() as u8, 0x88, 0x12, 0x34, 0, 0, 1, 0x40, 0xde, 0xad, 0xbe, 0xef];
        csrcs.iter().for_each(|csrc| bytes.extend(csrc.to_be_bytes()));
        if let Some((profile, data)) = extension {
            bytes[0] |= 0x10;
            bytes.extend(profile.to_be_bytes());
            bytes.extend(((data.len() / 4) as u16).to_be_bytes());
            bytes.extend(data);
        }
        bytes.extend(payload);
        if padding > 0 {
            bytes[0] |= 0x20;
            bytes.resize(bytes.len() + usize::from(padding) - 1, 0);
            bytes.push(padding);
        }
        bytes
    }

    proptest! {
        #[test]
        fn csrcs_extension_and_padding_are_told_from_the_payload(
            csrcs in proptest::collection::vec(any::<u32>(), 0..16),
            words in proptest::option::of(0..20_usize),
            payload in proptest::collection::vec(any::<u8>(), 0..200),
            padding in any::<u8>(),
        ) {
            let data: Vec<u8> = (0..words.unwrap_or(0) * 4).map(|i| i as u8).collect();
            let bytes = packet(&csrcs, words.map(|_| (0xbede, &data[..])), &payload, padding);
            let rtp = Rtp::parse(&bytes).unwrap();
            prop_assert_eq!(rtp.csrcs().collect::<Vec<_>>(), csrcs);
            prop_assert_eq!(rtp.extension(), words.map(|_| Extension { profile: 0xbede, data: &data }));
            prop_assert_eq!(rtp.payload(), &payload[..]);
            prop_assert_eq!(&bytes[rtp.header_len()..rtp.header_len() + payload.len()], &payload[..]);
            prop_assert_eq!((rtp.marker(), rtp.payload_type(), rtp.sequence()), (true, 8, 0x1234));
            prop_assert_eq!((rtp.timestamp(), rtp.ssrc()), (320, 0xdead_beef));
        }

        #[test]
        fn any_bytes_are_read_or_refused(mut bytes in proptest::collection::vec(any::<u8>(), 0..120), two in any::<bool>()) {
            if two && !bytes.is_empty() { bytes[0] = 0x80 | (bytes[0] & 0x3f); }
            if let Ok(rtp) = Rtp::parse(&bytes) {
                let _ = (rtp.marker(), rtp.payload_type(), rtp.sequence(), rtp.timestamp(), rtp.ssrc());
                prop_assert!(rtp.csrcs().len() <= 15);
                prop_assert!(rtp.header_len() + rtp.payload().len() <= bytes.len());
            }
        }

        #[test]
        fn what_is_written_is_read(
            marker in any::<bool>(), payload_type in 0..128_u8, sequence in any::<u16>(), timestamp in any::<u32>(), ssrc in any::<u32>()
        ) {
            let fields = RtpFields { marker, payload_type, sequence, timestamp, ssrc };
            let mut header = [0xff; HEADER_LEN];
            fields.write(&mut header);
            let rtp = Rtp::parse(&header).unwrap();
            prop_assert_eq!((rtp.marker(), rtp.payload_type(), rtp.sequence()), (marker, payload_type, sequence));
            prop_assert_eq!((rtp.timestamp(), rtp.ssrc()), (timestamp, ssrc));
        }
    }

    #[test]
    fn a_rewrite_keeps_what_stands_between_header_and_payload() {
        let mut bytes = packet(&[7], Some((1, &[1, 2, 3, 4])), b"speech", 2);
        let header = bytes.first_chunk_mut::<HEADER_LEN>().unwrap();
        RtpFields { marker: false, payload_type: 0, sequence: 1, timestamp: 2, ssrc: 3 }.rewrite(header);
        let rtp = Rtp::parse(&bytes).unwrap();
        assert_eq!(
            (rtp.csrcs().len(), rtp.extension().unwrap().data, rtp.payload()),
            (1, &[1, 2, 3, 4][..], &b"speech"[..])
        );
        assert_eq!(
            (rtp.marker(), rtp.payload_type(), rtp.sequence(), rtp.timestamp(), rtp.ssrc()),
            (false, 0, 1, 2, 3)
        );
    }

    #[test]
    fn each_refusal_has_its_name() {
        let good = packet(&[1, 2], Some((0, &[0; 8])), b"", 0);
        assert!(Rtp::parse(&good).is_ok());
        assert_eq!(Rtp::parse(&good[..11]).unwrap_err(), RtpError::TooShort);
        assert_eq!(Rtp::parse(&good[..19]).unwrap_err(), RtpError::CsrcTooLong);
        assert_eq!(Rtp::parse(&good[..23]).unwrap_err(), RtpError::ExtensionTooLong);
        assert_eq!(Rtp::parse(&good[..31]).unwrap_err(), RtpError::ExtensionTooLong);
        let mut version = good.clone();
        version[0] = 0x40;
        assert_eq!(Rtp::parse(&version).unwrap_err(), RtpError::Version);
        for (payload, count) in [(&b"abc"[..], 4), (b"abc", 0)] {
            let mut padded = packet(&[], None, payload, 0);
            padded[0] |= 0x20;
            *padded.last_mut().unwrap() = count;
            assert_eq!(Rtp::parse(&padded).unwrap_err(), RtpError::Padding);
        }
        let mut empty = packet(&[], None, b"", 0);
        empty[0] |= 0x20;
        assert_eq!(Rtp::parse(&empty).unwrap_err(), RtpError::Padding);
    }
}
