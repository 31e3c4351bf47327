//! What arrived, held against the offline transcode of what was sent.

use hdrhistogram::Histogram;

use crate::capture::Packet;

/// One direction of one call.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Direction {
    pub(crate) sent: u64,
    pub(crate) arrived: u64,
    /// Sent, and neither arrived nor any later copy of it.
    pub(crate) lost: u64,
    /// The position of the first packet that arrived with other octets than the offline transcode, or that nobody sent.
    pub(crate) first_difference: Option<u64>,
}

impl Direction {
    /// Everything arrived, as it should be, and there was something.
    pub(crate) fn is_exact(&self) -> bool {
        self.first_difference.is_none() && self.lost == 0 && self.arrived > 0
    }
}

/// Compares `arrived` with `expected`, the offline transcode of the `sent` packets' payloads in the same order, and
/// records the time from interface to interface of each packet in `latency_us`.
///
/// The gateway numbers what it sends anew, so positions are counted from each side's first packet.
pub(crate) fn compare(
    sent: &[Packet],
    expected: &[Vec<u8>],
    arrived: &[Packet],
    latency_us: &mut Histogram<u64>,
) -> Direction {
    let mut seen = vec![false; sent.len()];
    let mut first_difference = None;
    for packet in arrived {
        let position = usize::from(packet.sequence.wrapping_sub(arrived[0].sequence));
        let as_expected = expected.get(position).is_some_and(|payload| *payload == packet.payload);
        if !as_expected || seen[position] {
            first_difference.get_or_insert(position as u64);
            continue;
        }
        seen[position] = true;
        latency_us.saturating_record(packet.at_us.saturating_sub(sent[position].at_us));
    }
    let lost = seen.iter().filter(|&&seen| !seen).count() as u64;
    Direction { sent: sent.len() as u64, arrived: arrived.len() as u64, lost, first_difference }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packets(first_sequence: u16, payloads: &[&[u8]]) -> Vec<Packet> {
        let number = |(index, payload): (usize, &&[u8])| Packet {
            at_us: 20_000 * index as u64,
            sequence: first_sequence.wrapping_add(index as u16),
            payload: payload.to_vec(),
        };
        payloads.iter().enumerate().map(number).collect()
    }

    fn compared(sent: &[&[u8]], arrived: &[Packet]) -> Direction {
        let sent = packets(7, sent);
        let expected: Vec<_> = sent.iter().map(|packet| packet.payload.clone()).collect();
        compare(&sent, &expected, arrived, &mut Histogram::new(3).unwrap())
    }

    #[test]
    fn equal_audio_is_exact_across_a_sequence_wrap() {
        let audio: [&[u8]; 3] = [b"a", b"b", b"c"];
        assert!(compared(&audio, &packets(65_534, &audio)).is_exact());
    }

    #[test]
    fn a_missing_packet_is_lost_and_not_exact() {
        let mut arrived = packets(1, &[b"a", b"b", b"c"]);
        arrived.remove(1);
        let direction = compared(&[b"a", b"b", b"c"], &arrived);
        assert_eq!((direction.lost, direction.first_difference), (1, None));
        assert!(!direction.is_exact());
    }

    #[test]
    fn a_changed_octet_is_found_where_it_is() {
        let direction = compared(&[b"a", b"b"], &packets(1, &[b"a", b"x"]));
        assert_eq!(direction.first_difference, Some(1));
    }

    #[test]
    fn a_packet_nobody_sent_or_a_second_copy_is_a_difference() {
        assert_eq!(compared(&[b"a"], &packets(1, &[b"a", b"b"])).first_difference, Some(1));
        let twice = [packets(1, &[b"a"]), packets(1, &[b"a"])].concat();
        assert_eq!(compared(&[b"a"], &twice).first_difference, Some(0));
    }

    #[test]
    fn silence_is_not_exact() {
        assert!(!compared(&[], &[]).is_exact());
    }
}
