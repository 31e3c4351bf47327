use core::net::SocketAddr;

use crate::{Format, LegCounters};

/// Sequence numbers that are skipped when another node goes on with a leg, beside those that time may have used up: what a
/// burst may have sent. Receivers take it for loss, as long as it is below 3000 (RFC 3550 §A.1).
const SPARE_PACKETS: u64 = 256;
/// How much further than time a timestamp goes then, in milliseconds: two packets.
const SPARE_MS: u64 = 40;
/// SRTCP indices that are skipped then, beside one for each second.
const SPARE_REPORTS: u64 = 16;

/// How far one leg of a flow has come: what another node needs, beside the leg's configuration, to go on with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct LegPosition {
    /// Where media goes, where that was learned from the peer's packets.
    pub learned: Option<SocketAddr>,
    /// The last packet sent; `None` before the first.
    pub sent: Option<SentPosition>,
    /// Where the leg speaks SRTP.
    pub srtp: Option<SrtpPosition>,
    /// What was counted.
    pub counters: LegCounters,
}

/// The numbers of the last packet that a leg sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct SentPosition {
    /// Its sequence number.
    pub sequence: u16,
    /// What the leg's clock says now: the packet's timestamp, and the time since.
    pub timestamp: u32,
}

/// How far the two SRTP contexts of a leg have come (RFC 3711 §3.3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct SrtpPosition {
    /// The highest index we have used: roll-over counter and sequence number.
    pub sent: Option<u64>,
    /// The next SRTCP index we use.
    pub sent_rtcp: u32,
    /// The peer's source, and the highest index that it has used.
    pub received: Option<(u32, u64)>,
}

impl LegPosition {
    /// From where another node goes on that reads this `age_ms` after it was true: beyond whatever may have been sent since,
    /// so that no sequence number, timestamp or packet index is used twice. `format` is what the leg sends, `first` what it
    /// would have begun with: it may have begun since.
    #[must_use]
    pub fn ahead(self, age_ms: u64, format: Option<&Format>, first: SentPosition) -> Self {
        let ptime_ms = format.map_or(20, |format| u64::from(format.ptime_ms.max(10)));
        let khz = format.map_or(8, |format| u64::from(format.codec.clock_rate_hz() / 1000));
        // A quarter more than the packet time has it, for clocks that run fast.
        let packets = SPARE_PACKETS + age_ms.div_ceil(ptime_ms).saturating_mul(5) / 4;
        let ticks = age_ms.saturating_add(SPARE_MS).saturating_mul(khz);
        let sent = self.sent.unwrap_or(first);
        let srtp = self.srtp.map(|srtp| SrtpPosition {
            sent: Some(srtp.sent.unwrap_or_else(|| sent.sequence.into()).saturating_add(packets)),
            sent_rtcp: srtp.sent_rtcp.saturating_add(u32::try_from(SPARE_REPORTS + age_ms / 1000).unwrap_or(u32::MAX)),
            received: srtp.received,
        });
        let sent = SentPosition {
            sequence: sent.sequence.wrapping_add(packets as u16),
            timestamp: sent.timestamp.wrapping_add(ticks as u32),
        };
        Self { sent: Some(sent), srtp, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Codec, PayloadType};

    const FIRST: SentPosition = SentPosition { sequence: 100, timestamp: 7 };

    fn format(codec: Codec, ptime_ms: u8) -> Format {
        Format { ptime_ms, ..Format::new(codec, PayloadType::new(96).unwrap()) }
    }

    #[test]
    fn all_numbers_go_beyond_what_may_have_been_sent() {
        let srtp = SrtpPosition { sent: Some(0x1_fff0), sent_rtcp: 5, received: Some((9, 0x2_0001)) };
        let sent = SentPosition { sequence: 0xfff0, timestamp: u32::MAX };
        let read = LegPosition { sent: Some(sent), srtp: Some(srtp), ..LegPosition::default() };
        let ahead = read.ahead(2_000, Some(&format(Codec::Opus, 20)), FIRST);
        let (sent, srtp) = (ahead.sent.unwrap(), ahead.srtp.unwrap());
        // 100 packets in two seconds.
        assert_eq!(sent.sequence, 0xfff0_u16.wrapping_add(256 + 125));
        assert_eq!(sent.timestamp, u32::MAX.wrapping_add(2_040 * 48));
        assert_eq!(srtp.sent, Some(0x1_fff0 + 256 + 125));
        assert_eq!(srtp.sent.unwrap() as u16, sent.sequence, "the index and the sequence number stay together");
        assert_eq!((srtp.sent_rtcp, srtp.received), (5 + 16 + 2, Some((9, 0x2_0001))));
    }

    #[test]
    fn a_leg_that_had_sent_nothing_may_have_begun_since() {
        let read = LegPosition { srtp: Some(SrtpPosition::default()), ..LegPosition::default() };
        let ahead = read.ahead(0, None, FIRST);
        assert_eq!(ahead.sent, Some(SentPosition { sequence: 356, timestamp: 7 + 320 }));
        assert_eq!(ahead.srtp.unwrap().sent, Some(356));
    }

    #[test]
    fn no_age_is_too_great() {
        let read = LegPosition { srtp: Some(SrtpPosition::default()), ..LegPosition::default() };
        assert_eq!(read.ahead(u64::MAX, None, FIRST).srtp.unwrap().sent_rtcp, u32::MAX);
    }
}
