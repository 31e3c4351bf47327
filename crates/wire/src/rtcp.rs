//! RTCP's common header and how packets are stacked into a compound (RFC 3550 §6.1, §6.4).

use crate::field::{be16, be32, put};

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

/// Octets of a report's head: common header and the sender's SSRC.
const REPORT_HEAD_LEN: usize = HEADER_LEN + 4;
/// Octets of the part that only a sender report has.
pub const SENDER_INFO_LEN: usize = 20;
/// Octets of one report block.
pub const REPORT_BLOCK_LEN: usize = 24;

/// What a sender says about its stream (RFC 3550 §6.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderInfo {
    /// When the report was sent, as an NTP timestamp: seconds and their 2^32nd parts since any start.
    pub ntp: u64,
    /// The same instant in the stream's clock.
    pub rtp_timestamp: u32,
    /// Packets sent.
    pub packets: u32,
    /// Payload octets sent.
    pub octets: u32,
}

/// What a receiver says about one source (RFC 3550 §6.4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReportBlock {
    /// The source.
    pub ssrc: u32,
    /// Part of the packets lost since the last report, in 256ths.
    pub fraction_lost: u8,
    /// Packets lost in all, within 24 bits; negative where duplicates outnumber losses.
    pub cumulative_lost: i32,
    /// Highest sequence number received, extended by its cycles.
    pub highest_sequence: u32,
    /// Interarrival jitter in timestamp units.
    pub jitter: u32,
    /// The middle 32 bits of the last sender report's NTP timestamp, 0 for none.
    pub last_sender_report: u32,
    /// Time since then in 65536ths of a second.
    pub delay_since_last: u32,
}

/// A sender or receiver report.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    /// Who reports.
    pub ssrc: u32,
    /// What it sends; `None` in a receiver report.
    pub sender: Option<SenderInfo>,
    blocks: &'a [[u8; REPORT_BLOCK_LEN]],
}

impl<'a> Rtcp<'a> {
    /// The packet as a report, `None` when it is none or shorter than it says.
    pub fn report(&self) -> Option<Report<'a>> {
        let (ssrc, rest) = self.body.split_first_chunk::<4>()?;
        let (sender, rest) = match self.packet_type {
            SENDER_REPORT => {
                let (info, rest) = rest.split_first_chunk::<SENDER_INFO_LEN>()?;
                (Some(SenderInfo::read(info)), rest)
            }
            RECEIVER_REPORT => (None, rest),
            _ => return None,
        };
        let (blocks, _) = rest.as_chunks::<REPORT_BLOCK_LEN>();
        Some(Report { ssrc: u32::from_be_bytes(*ssrc), sender, blocks: blocks.get(..usize::from(self.count))? })
    }
}

impl Report<'_> {
    /// What is reported about each source.
    pub fn blocks(&self) -> impl ExactSizeIterator<Item = ReportBlock> + '_ {
        self.blocks.iter().map(ReportBlock::read)
    }
}

impl SenderInfo {
    fn read(info: &[u8; SENDER_INFO_LEN]) -> Self {
        Self {
            ntp: u64::from(be32::<0, SENDER_INFO_LEN>(info)) << 32 | u64::from(be32::<4, SENDER_INFO_LEN>(info)),
            rtp_timestamp: be32::<8, SENDER_INFO_LEN>(info),
            packets: be32::<12, SENDER_INFO_LEN>(info),
            octets: be32::<16, SENDER_INFO_LEN>(info),
        }
    }

    fn write(&self, info: &mut [u8; SENDER_INFO_LEN]) {
        put::<0, 8, SENDER_INFO_LEN>(info, self.ntp.to_be_bytes());
        put::<8, 4, SENDER_INFO_LEN>(info, self.rtp_timestamp.to_be_bytes());
        put::<12, 4, SENDER_INFO_LEN>(info, self.packets.to_be_bytes());
        put::<16, 4, SENDER_INFO_LEN>(info, self.octets.to_be_bytes());
    }
}

impl ReportBlock {
    /// The bounds of 24 signed bits.
    const LOST: core::ops::RangeInclusive<i32> = -0x80_0000..=0x7f_ffff;

    fn read(block: &[u8; REPORT_BLOCK_LEN]) -> Self {
        let lost = be32::<4, REPORT_BLOCK_LEN>(block);
        Self {
            ssrc: be32::<0, REPORT_BLOCK_LEN>(block),
            fraction_lost: (lost >> 24) as u8,
            // Shifted up and down again, so that the sign of the 24 bits is kept.
            cumulative_lost: (lost << 8) as i32 >> 8,
            highest_sequence: be32::<8, REPORT_BLOCK_LEN>(block),
            jitter: be32::<12, REPORT_BLOCK_LEN>(block),
            last_sender_report: be32::<16, REPORT_BLOCK_LEN>(block),
            delay_since_last: be32::<20, REPORT_BLOCK_LEN>(block),
        }
    }

    fn write(&self, block: &mut [u8; REPORT_BLOCK_LEN]) {
        let lost = self.cumulative_lost.clamp(*Self::LOST.start(), *Self::LOST.end()) as u32 & 0xff_ffff;
        put::<0, 4, REPORT_BLOCK_LEN>(block, self.ssrc.to_be_bytes());
        put::<4, 4, REPORT_BLOCK_LEN>(block, (u32::from(self.fraction_lost) << 24 | lost).to_be_bytes());
        put::<8, 4, REPORT_BLOCK_LEN>(block, self.highest_sequence.to_be_bytes());
        put::<12, 4, REPORT_BLOCK_LEN>(block, self.jitter.to_be_bytes());
        put::<16, 4, REPORT_BLOCK_LEN>(block, self.last_sender_report.to_be_bytes());
        put::<20, 4, REPORT_BLOCK_LEN>(block, self.delay_since_last.to_be_bytes());
    }
}

/// A report to be written.
#[derive(Clone, Copy, Debug)]
pub struct ReportFields {
    /// Who reports.
    pub ssrc: u32,
    /// What it sends: makes this a sender report.
    pub sender: Option<SenderInfo>,
    /// What it receives.
    pub block: Option<ReportBlock>,
}

impl ReportFields {
    /// Writes the report to the start of `bytes` and returns its length; `None` when there is no room.
    pub fn write(&self, bytes: &mut [u8]) -> Option<usize> {
        let sender_len = if self.sender.is_some() { SENDER_INFO_LEN } else { 0 };
        let block_len = if self.block.is_some() { REPORT_BLOCK_LEN } else { 0 };
        let len = REPORT_HEAD_LEN + sender_len + block_len;
        let packet_type = if self.sender.is_some() { SENDER_REPORT } else { RECEIVER_REPORT };
        let rest = write_header(bytes.get_mut(..len)?, u8::from(self.block.is_some()), packet_type, self.ssrc)?;
        let (sender, block) = rest.split_at_mut_checked(sender_len)?;
        if let (Some(info), Some(bytes)) = (self.sender, sender.first_chunk_mut()) {
            info.write(bytes);
        }
        if let (Some(block), Some(bytes)) = (self.block, block.first_chunk_mut()) {
            block.write(bytes);
        }
        Some(len)
    }
}

/// Writes a source description with a canonical name alone (RFC 3550 §6.5.1) to the start of `bytes` and returns its length;
/// `None` when there is no room or the name is longer than 255 octets.
pub fn write_cname(ssrc: u32, cname: &[u8], bytes: &mut [u8]) -> Option<usize> {
    const CNAME: u8 = 1;
    let name_len = u8::try_from(cname.len()).ok()?;
    // One to four zeros end the list of items at a multiple of four octets.
    let len = REPORT_HEAD_LEN + (2 + cname.len() + 4) / 4 * 4;
    let items = write_header(bytes.get_mut(..len)?, 1, SOURCE_DESCRIPTION, ssrc)?;
    items.fill(0);
    let (head, text) = items.split_first_chunk_mut::<2>()?;
    *head = [CNAME, name_len];
    text.get_mut(..cname.len())?.copy_from_slice(cname);
    Some(len)
}

/// Writes a goodbye of one source without a reason (RFC 3550 §6.6) to the start of `bytes` and returns its length; `None` when
/// there is no room.
pub fn write_goodbye(ssrc: u32, bytes: &mut [u8]) -> Option<usize> {
    write_header(bytes.get_mut(..REPORT_HEAD_LEN)?, 1, GOODBYE, ssrc)?;
    Some(REPORT_HEAD_LEN)
}

impl<'a> Rtcp<'a> {
    /// The sources that leave, where this is a goodbye; those that it counts and does not have are left out.
    pub fn leaving(&self) -> impl Iterator<Item = u32> + 'a {
        let (sources, _) = self.body.as_chunks::<4>();
        let count = if self.packet_type == GOODBYE { usize::from(self.count) } else { 0 };
        sources.iter().take(count).map(|ssrc| u32::from_be_bytes(*ssrc))
    }
}

/// Writes common header and SSRC of a packet that fills `packet`, and returns what follows them.
pub(crate) fn write_header(packet: &mut [u8], count: u8, packet_type: u8, ssrc: u32) -> Option<&mut [u8]> {
    let words = u16::try_from(packet.len() / 4 - 1).ok()?;
    let (head, rest) = packet.split_first_chunk_mut::<REPORT_HEAD_LEN>()?;
    put::<0, 2, REPORT_HEAD_LEN>(head, [VERSION << 6 | count, packet_type]);
    put::<2, 2, REPORT_HEAD_LEN>(head, words.to_be_bytes());
    put::<4, 4, REPORT_HEAD_LEN>(head, ssrc.to_be_bytes());
    Some(rest)
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

    #[test]
    fn a_report_that_counts_more_blocks_than_it_has_is_none() {
        let mut bytes = [0; 100];
        let fields = ReportFields { ssrc: 1, sender: None, block: Some(ReportBlock::default()) };
        let len = fields.write(&mut bytes).unwrap();
        bytes[0] += 1;
        let (packet, _) = Rtcp::split(&bytes[..len]).unwrap();
        assert!(packet.report().is_none());
        assert!(fields.write(&mut bytes[..len - 1]).is_none());
    }

    #[test]
    fn a_goodbye_names_who_leaves_and_no_more_than_it_holds() {
        let mut bytes = [0xee; 20];
        let len = write_goodbye(0x0102_0304, &mut bytes).unwrap();
        assert_eq!(bytes[..len], [0x81, 203, 0, 1, 1, 2, 3, 4]);
        let (packet, _) = Rtcp::split(&bytes[..len]).unwrap();
        assert!(packet.leaving().eq([0x0102_0304]));
        assert!(Rtcp { count: 31, ..packet }.leaving().eq([0x0102_0304]));
        assert_eq!(Rtcp { packet_type: RECEIVER_REPORT, ..packet }.leaving().count(), 0);
        assert!(write_goodbye(1, &mut bytes[..7]).is_none());
    }

    #[test]
    fn a_name_is_ended_by_one_to_four_zeros() {
        for len in 0..=9 {
            let mut bytes = [0xff; 40];
            let written = write_cname(7, &[b'x'; 9][..len], &mut bytes).unwrap();
            let (packet, rest) = Rtcp::split(&bytes[..written]).unwrap();
            assert!(rest.is_empty());
            let zeros = packet.body.iter().rev().take_while(|octet| **octet == 0).count();
            assert!((1..=4).contains(&zeros) || len == 0, "{len}: {zeros}");
            assert_eq!(packet.body[4..6 + len][..2], [1, len as u8]);
        }
        assert!(write_cname(7, &[b'x'; 256], &mut [0; 400]).is_none());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            ssrc in any::<u32>(),
            sender in proptest::option::of(any::<(u64, u32, u32, u32)>()),
            block in proptest::option::of((any::<[u32; 5]>(), any::<u8>(), ReportBlock::LOST)),
        ) {
            let sender = sender.map(|(ntp, rtp_timestamp, packets, octets)| SenderInfo { ntp, rtp_timestamp, packets, octets });
            let block = block.map(|(words, fraction_lost, cumulative_lost)| ReportBlock {
                ssrc: words[0],
                fraction_lost,
                cumulative_lost,
                highest_sequence: words[1],
                jitter: words[2],
                last_sender_report: words[3],
                delay_since_last: words[4],
            });
            let mut bytes = [0xee; 200];
            let report_len = ReportFields { ssrc, sender, block }.write(&mut bytes).unwrap();
            let cname_len = write_cname(ssrc, b"a@b", &mut bytes[report_len..]).unwrap();
            let (packet, rest) = Rtcp::split(&bytes[..report_len + cname_len]).unwrap();
            let report = packet.report().unwrap();
            prop_assert_eq!((report.ssrc, report.sender), (ssrc, sender));
            prop_assert_eq!(report.blocks().next(), block);
            let (description, rest) = Rtcp::split(rest).unwrap();
            prop_assert_eq!((description.packet_type, description.count), (SOURCE_DESCRIPTION, 1));
            prop_assert!(description.report().is_none() && rest.is_empty());
        }
    }
}
