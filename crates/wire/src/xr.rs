//! RTCP extended reports (RFC 3611), of which the VoIP metrics block is read and written.

use crate::field::{be16, be32, put};
use crate::rtcp::{self, Rtcp};

/// Packet type of an extended report (RFC 3611 §2).
pub const EXTENDED_REPORT: u8 = 207;
/// Octets of a VoIP metrics block (§4.7).
pub const VOIP_METRICS_LEN: usize = 36;

const VOIP_METRICS: u8 = 7;
const BLOCK_HEAD_LEN: usize = 4;
/// What levels, factors and scores say where they are not known (§4.7.4, §4.7.5).
const UNAVAILABLE: u8 = 127;

/// How one source is heard (RFC 3611 §4.7); what is not known is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VoipMetrics {
    /// The source.
    pub ssrc: u32,
    /// Part of its packets lost, in 256ths.
    pub loss_rate: u8,
    /// Part of its packets that came too early or too late, in 256ths.
    pub discard_rate: u8,
    /// Part of the packets lost within bursts, in 256ths.
    pub burst_density: u8,
    /// Part of the packets lost between bursts, in 256ths.
    pub gap_density: u8,
    /// Mean length of a burst in milliseconds.
    pub burst_duration_ms: u16,
    /// Mean length of what is between bursts in milliseconds.
    pub gap_duration_ms: u16,
    /// Milliseconds to the source and back; 0 where not known.
    pub round_trip_ms: u16,
    /// Milliseconds that the reporting end adds; 0 where not known.
    pub end_system_delay_ms: u16,
    /// Level of the speech in dBm0.
    pub signal_level: Option<i8>,
    /// Level of the silence in dBm0.
    pub noise_level: Option<i8>,
    /// Fewest packets between two losses that belong to no burst.
    pub gmin: u8,
    /// Transmission rating of ITU-T G.107, 0 to 100.
    pub r_factor: Option<u8>,
    /// Mean opinion score of the listening quality, in tenths.
    pub mos_lq: Option<u8>,
    /// Mean opinion score of the conversational quality, in tenths.
    pub mos_cq: Option<u8>,
    /// Concealment and jitter buffer of the reporting end, as the octet has them (§4.7.6).
    pub receiver: u8,
}

impl VoipMetrics {
    fn read(block: &[u8; VOIP_METRICS_LEN]) -> Self {
        let known = |octet: u8| Some(octet).filter(|octet| *octet != UNAVAILABLE);
        Self {
            ssrc: be32::<4, VOIP_METRICS_LEN>(block),
            loss_rate: block[8],
            discard_rate: block[9],
            burst_density: block[10],
            gap_density: block[11],
            burst_duration_ms: be16::<12, VOIP_METRICS_LEN>(block),
            gap_duration_ms: be16::<14, VOIP_METRICS_LEN>(block),
            round_trip_ms: be16::<16, VOIP_METRICS_LEN>(block),
            end_system_delay_ms: be16::<18, VOIP_METRICS_LEN>(block),
            signal_level: known(block[20]).map(u8::cast_signed),
            noise_level: known(block[21]).map(u8::cast_signed),
            gmin: block[23],
            r_factor: known(block[24]),
            mos_lq: known(block[26]),
            mos_cq: known(block[27]),
            receiver: block[28],
        }
    }

    /// Writes an extended report of `reporter` with this block alone to the start of `bytes` and returns its length; `None`
    /// when there is no room.
    pub fn write(&self, reporter: u32, bytes: &mut [u8]) -> Option<usize> {
        let len = rtcp::HEADER_LEN + 4 + VOIP_METRICS_LEN;
        let rest = rtcp::write_header(bytes.get_mut(..len)?, 0, EXTENDED_REPORT, reporter)?;
        let block: &mut [u8; VOIP_METRICS_LEN] = rest.first_chunk_mut()?;
        let octet = |value: Option<u8>| value.unwrap_or(UNAVAILABLE);
        *block = [0; VOIP_METRICS_LEN];
        put::<0, 4, VOIP_METRICS_LEN>(block, [VOIP_METRICS, 0, 0, ((VOIP_METRICS_LEN - BLOCK_HEAD_LEN) / 4) as u8]);
        put::<4, 4, VOIP_METRICS_LEN>(block, self.ssrc.to_be_bytes());
        let rates = [self.loss_rate, self.discard_rate, self.burst_density, self.gap_density];
        put::<8, 4, VOIP_METRICS_LEN>(block, rates);
        put::<12, 2, VOIP_METRICS_LEN>(block, self.burst_duration_ms.to_be_bytes());
        put::<14, 2, VOIP_METRICS_LEN>(block, self.gap_duration_ms.to_be_bytes());
        put::<16, 2, VOIP_METRICS_LEN>(block, self.round_trip_ms.to_be_bytes());
        put::<18, 2, VOIP_METRICS_LEN>(block, self.end_system_delay_ms.to_be_bytes());
        let level = |level: Option<i8>| octet(level.map(i8::cast_unsigned));
        // The residual echo return loss is never known to a gateway.
        let levels = [level(self.signal_level), level(self.noise_level), UNAVAILABLE, self.gmin];
        put::<20, 4, VOIP_METRICS_LEN>(block, levels);
        // Neither is what the segments beyond it add.
        let quality = [octet(self.r_factor), UNAVAILABLE, octet(self.mos_lq), octet(self.mos_cq)];
        put::<24, 4, VOIP_METRICS_LEN>(block, quality);
        put::<28, 1, VOIP_METRICS_LEN>(block, [self.receiver]);
        Some(len)
    }
}

impl<'a> Rtcp<'a> {
    /// The VoIP metrics of an extended report; blocks of other kinds are passed over, and so is everything behind one that is
    /// longer than the packet.
    pub fn voip_metrics(&self) -> impl Iterator<Item = VoipMetrics> + 'a {
        let is_extended = self.packet_type == EXTENDED_REPORT;
        let mut rest = self.body.get(4..).filter(|_| is_extended).unwrap_or_default();
        core::iter::from_fn(move || {
            loop {
                let head = rest.first_chunk::<BLOCK_HEAD_LEN>()?;
                let len = BLOCK_HEAD_LEN + usize::from(be16::<2, BLOCK_HEAD_LEN>(head)) * 4;
                let (block, after) = rest.split_at_checked(len)?;
                rest = after;
                if let (VOIP_METRICS, Ok(block)) = (head[0], block.try_into()) {
                    return Some(VoipMetrics::read(block));
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use std::vec::Vec;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(
            words in any::<[u32; 2]>(), rates in any::<[u8; 6]>(), times in any::<[u16; 4]>(),
            levels in any::<[i8; 2]>(), scores in proptest::option::of(0_u8..=100),
        ) {
            let level = |level: i8| Some(level).filter(|level| *level != 127);
            let metrics = VoipMetrics {
                ssrc: words[0],
                loss_rate: rates[0],
                discard_rate: rates[1],
                burst_density: rates[2],
                gap_density: rates[3],
                burst_duration_ms: times[0],
                gap_duration_ms: times[1],
                round_trip_ms: times[2],
                end_system_delay_ms: times[3],
                signal_level: level(levels[0]),
                noise_level: level(levels[1]),
                gmin: rates[4],
                r_factor: scores,
                mos_lq: scores,
                mos_cq: None,
                receiver: rates[5],
            };
            let mut bytes = [0xee; 60];
            let len = metrics.write(words[1], &mut bytes).unwrap();
            prop_assert!(metrics.write(words[1], &mut bytes[..len - 1]).is_none());
            let (packet, rest) = Rtcp::split(&bytes[..len]).unwrap();
            prop_assert!(rest.is_empty());
            prop_assert_eq!(&packet.body[..4], &words[1].to_be_bytes());
            prop_assert_eq!(packet.voip_metrics().collect::<Vec<_>>(), [metrics]);
        }

        #[test]
        fn any_bytes_come_to_an_end(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let packet = Rtcp { count: 0, packet_type: EXTENDED_REPORT, body: &body };
            prop_assert!(packet.voip_metrics().count() <= body.len() / VOIP_METRICS_LEN);
        }
    }

    #[test]
    fn other_blocks_are_passed_over_and_a_truncated_one_ends_the_report() {
        let metrics = VoipMetrics { ssrc: 9, r_factor: Some(80), ..VoipMetrics::default() };
        let mut bytes = [0; 60];
        let len = metrics.write(1, &mut bytes).unwrap();
        let reference_time = [4, 0, 0, 2, 1, 2, 3, 4, 5, 6, 7, 8];
        let body = [&[0; 4], &reference_time[..], &bytes[8..len], &reference_time[..7]].concat();
        let packet = Rtcp { count: 0, packet_type: EXTENDED_REPORT, body: &body };
        assert_eq!(packet.voip_metrics().map(|m| m.ssrc).collect::<Vec<_>>(), [9]);
        let other = Rtcp { packet_type: rtcp::RECEIVER_REPORT, ..packet };
        assert_eq!(other.voip_metrics().count(), 0);
    }
}
