//! The part of a packet that stays in the clear. Unlike `tandem_wire::rtp`, this never looks at the padding count: it is
//! inside what is encrypted.

/// Where an RTP packet's payload begins and which packet it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// Octets before the payload: fixed header, CSRCs and extension (RFC 3711 §3.1).
    pub(crate) len: usize,
    pub(crate) sequence: u16,
    pub(crate) ssrc: u32,
}

/// Octets of an RTCP compound that stay in the clear: its first header and SSRC (RFC 3711 §3.4).
pub(crate) const RTCP_CLEAR_LEN: usize = 8;

impl Header {
    /// `None` where it is not RTP version 2 or ends before its own header does.
    #[inline]
    pub(crate) fn parse(packet: &[u8]) -> Option<Self> {
        let fixed: &[u8; 12] = packet.first_chunk()?;
        if fixed[0] >> 6 != 2 {
            return None;
        }
        let mut len = 12 + 4 * usize::from(fixed[0] & 0x0f);
        if fixed[0] & 0x10 != 0 {
            let extension: &[u8; 4] = packet.get(len..)?.first_chunk()?;
            len += 4 + 4 * usize::from(u16::from_be_bytes([extension[2], extension[3]]));
        }
        let sequence = u16::from_be_bytes([fixed[2], fixed[3]]);
        let ssrc = u32::from_be_bytes([fixed[8], fixed[9], fixed[10], fixed[11]]);
        (len <= packet.len()).then_some(Self { len, sequence, ssrc })
    }
}

/// The SSRC of an RTCP compound's first packet; `None` where there is none.
pub(crate) fn rtcp_ssrc(packet: &[u8]) -> Option<u32> {
    let clear: &[u8; RTCP_CLEAR_LEN] = packet.first_chunk()?;
    (clear[0] >> 6 == 2).then(|| u32::from_be_bytes([clear[4], clear[5], clear[6], clear[7]]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csrcs_and_extension_belong_to_the_header() {
        let mut packet = [0; 12 + 8 + 4 + 4 + 3];
        packet[0] = 0x80 | 0x10 | 2;
        packet[23] = 1;
        assert_eq!(Header::parse(&packet).map(|header| header.len), Some(28));
        assert_eq!(Header::parse(&packet[..27]), None);
    }

    #[test]
    fn an_encrypted_padding_count_is_not_looked_at() {
        let mut packet = [0xff; 20];
        packet[0] = 0x80 | 0x20;
        assert_eq!(Header::parse(&packet).map(|header| header.len), Some(12));
    }

    #[test]
    fn another_version_is_not_rtp() {
        assert_eq!(Header::parse(&[0x40; 20]), None);
        assert_eq!(rtcp_ssrc(&[0x40; 20]), None);
    }
}
