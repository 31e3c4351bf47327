//! What the sequence numbers and timestamps of a leg say about what was lost, repeated and delayed on the way to us.

/// Sequence numbers a source may skip before it counts as started anew (RFC 3550 §A.1).
const MAX_DROPOUT: u16 = 3000;
/// How far behind the highest sequence number a packet may come: what the window of seen packets covers.
const WINDOW: u16 = 64;
/// Extended sequence numbers start one cycle up, so that a packet from before the first has a number too.
const FIRST_CYCLE: u64 = 1 << 16;

/// What a packet's sequence number says about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Newer than all before; so many between were not seen.
    Next {
        /// Sequence numbers skipped.
        skipped: u16,
    },
    /// Older than the newest and not seen before.
    Reordered,
    /// The first packet of a source, or of one that started anew.
    Started,
    /// Seen before.
    Duplicate,
    /// Too old to tell whether it was seen, or out of any order until the next packet confirms it.
    TooLate,
}

/// The state of RFC 3550 §A.1, §A.3 and §A.8 for one source, with a window of 64 packets for duplicates.
#[derive(Debug, Default)]
pub(crate) struct Reception {
    started: bool,
    ssrc: u32,
    /// Highest extended sequence number.
    highest: u64,
    /// Extended sequence number that counting starts at.
    base: u64,
    /// Nothing below this is taken: it belongs to before a restart.
    floor: u64,
    received: u64,
    /// Lost before the last restart.
    lost_before: u64,
    /// Bit n: `highest - n` was seen.
    seen: u64,
    /// A sequence number that would confirm that the source jumped.
    suspect: Option<u16>,
    transit: Option<u32>,
    /// Jitter in timestamp units times 16.
    jitter: u32,
}

impl Reception {
    /// Judges one packet and takes it into account unless it is to be dropped.
    #[inline(always)]
    pub(crate) fn on_packet(&mut self, ssrc: u32, sequence: u16) -> Verdict {
        if !self.started || ssrc != self.ssrc {
            self.start(ssrc, sequence);
            return Verdict::Started;
        }
        let ahead = sequence.wrapping_sub(self.highest as u16);
        if ahead == 0 {
            return Verdict::Duplicate;
        }
        if ahead < MAX_DROPOUT {
            self.suspect = None;
            self.highest += u64::from(ahead);
            self.seen = self.seen.checked_shl(ahead.into()).unwrap_or(0) | 1;
            self.received += 1;
            return Verdict::Next { skipped: ahead - 1 };
        }
        let behind = ahead.wrapping_neg();
        if behind < WINDOW {
            let bit = 1 << behind;
            let extended = self.highest - u64::from(behind);
            if extended < self.floor {
                return Verdict::TooLate;
            }
            if self.seen & bit != 0 {
                return Verdict::Duplicate;
            }
            self.seen |= bit;
            self.received += 1;
            self.base = self.base.min(extended);
            return Verdict::Reordered;
        }
        // Far off: two packets in a row make it a restart, one alone is a stray.
        if self.suspect == Some(sequence) {
            self.start(ssrc, sequence);
            return Verdict::Started;
        }
        self.suspect = Some(sequence.wrapping_add(1));
        Verdict::TooLate
    }

    /// Whether this is another synchronisation source than the one heard last.
    #[inline]
    pub(crate) fn is_other(&self, ssrc: u32) -> bool {
        self.received > 0 && ssrc != self.ssrc
    }

    /// The source is expected to pause: the gap until its next packet is not loss.
    pub(crate) fn pause(&mut self) {
        self.lost_before = self.lost();
        self.started = false;
    }

    /// So many were lost on the way to the node that had the flow before.
    pub(crate) fn resume(&mut self, lost: u64) {
        self.lost_before = lost;
    }

    #[cold]
    fn start(&mut self, ssrc: u32, sequence: u16) {
        let first_ever = self.received == 0;
        self.lost_before = if self.started { self.lost() } else { self.lost_before };
        let extended = FIRST_CYCLE + u64::from(sequence);
        *self = Self {
            started: true,
            ssrc,
            highest: extended,
            base: extended,
            // At the very start an earlier packet may still be under way; after a restart it belongs to what was before.
            floor: if first_ever { 0 } else { extended },
            received: 1,
            lost_before: self.lost_before,
            seen: 1,
            suspect: None,
            transit: None,
            jitter: self.jitter,
        };
    }

    /// Takes a packet's delay into the jitter (§A.8): its arrival and its timestamp in the same clock's ticks.
    #[inline]
    pub(crate) fn on_arrival(&mut self, arrival: u32, timestamp: u32) {
        let transit = arrival.wrapping_sub(timestamp);
        if let Some(before) = self.transit.replace(transit) {
            let difference = (transit.wrapping_sub(before) as i32).unsigned_abs();
            self.jitter = self.jitter.wrapping_add(difference).wrapping_sub((self.jitter + 8) >> 4);
        }
    }

    /// Packets sent but not received, over all sources so far (§A.3).
    pub(crate) fn lost(&self) -> u64 {
        if !self.started {
            return self.lost_before;
        }
        let expected = self.highest - self.base + 1;
        self.lost_before + expected.saturating_sub(self.received)
    }

    /// Who sends, and the highest sequence number, extended by its cycles; `None` before the first packet.
    pub(crate) fn source(&self) -> Option<(u32, u32)> {
        let heard = self.received > 0;
        heard.then(|| (self.ssrc, (self.highest - FIRST_CYCLE) as u32))
    }

    /// Interarrival jitter in timestamp units.
    pub(crate) fn jitter(&self) -> u32 {
        self.jitter >> 4
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(first: u16) -> Reception {
        let mut reception = Reception::default();
        assert_eq!(reception.on_packet(1, first), Verdict::Started);
        reception
    }

    #[test]
    fn loss_is_counted_over_a_wrap_around_and_mended_by_late_arrivals() {
        let mut reception = heard(65_533);
        assert_eq!(reception.on_packet(1, 65_535), Verdict::Next { skipped: 1 });
        assert_eq!(reception.on_packet(1, 2), Verdict::Next { skipped: 2 });
        assert_eq!(reception.lost(), 3);
        assert_eq!(reception.on_packet(1, 65_534), Verdict::Reordered);
        assert_eq!(reception.on_packet(1, 0), Verdict::Reordered);
        assert_eq!(reception.lost(), 1);
    }

    #[test]
    fn a_packet_is_a_duplicate_whether_new_or_reordered() {
        let mut reception = heard(10);
        assert_eq!(reception.on_packet(1, 10), Verdict::Duplicate);
        assert_eq!(reception.on_packet(1, 12), Verdict::Next { skipped: 1 });
        assert_eq!(reception.on_packet(1, 11), Verdict::Reordered);
        assert_eq!(reception.on_packet(1, 11), Verdict::Duplicate);
        assert_eq!(reception.on_packet(1, 10), Verdict::Duplicate);
        assert_eq!(reception.lost(), 0);
    }

    #[test]
    fn the_window_reaches_63_packets_back_and_no_further() {
        let mut reception = heard(1000);
        for sequence in (1002..=1100).step_by(2) {
            reception.on_packet(1, sequence);
        }
        assert_eq!(reception.on_packet(1, 1037), Verdict::Reordered);
        assert_eq!(reception.on_packet(1, 1036), Verdict::TooLate);
        assert_eq!(reception.on_packet(1, 1035), Verdict::TooLate);
    }

    #[test]
    fn a_jump_is_believed_when_the_next_packet_confirms_it() {
        let mut reception = heard(100);
        assert_eq!(reception.on_packet(1, 40_000), Verdict::TooLate);
        assert_eq!(reception.on_packet(1, 101), Verdict::Next { skipped: 0 });
        assert_eq!(reception.on_packet(1, 40_001), Verdict::TooLate, "the packet between took the suspicion back");
        assert_eq!(reception.on_packet(1, 40_002), Verdict::Started);
        assert_eq!(reception.on_packet(1, 40_001), Verdict::TooLate, "from before the restart");
        assert_eq!(reception.lost(), 0);
    }

    #[test]
    fn another_source_starts_anew_and_keeps_the_loss_of_the_one_before() {
        let mut reception = heard(5);
        reception.on_packet(1, 9);
        assert_eq!(reception.on_packet(2, 30_000), Verdict::Started);
        assert_eq!(reception.on_packet(2, 30_002), Verdict::Next { skipped: 1 });
        assert_eq!(reception.lost(), 3 + 1);
    }

    #[test]
    fn a_pause_is_no_loss() {
        let mut reception = heard(5);
        reception.on_packet(1, 7);
        reception.pause();
        assert_eq!(reception.lost(), 1);
        assert_eq!(reception.on_packet(1, 2000), Verdict::Started);
        assert_eq!(reception.lost(), 1);
    }

    #[test]
    fn jitter_settles_at_the_mean_deviation() {
        let mut reception = heard(0);
        // Every other packet 16 ticks late: successive transits differ by 16, and J converges to 16.
        for packet in 0..400_u32 {
            reception.on_arrival(packet * 160 + (packet % 2) * 16, packet * 160);
        }
        assert!((15..=16).contains(&reception.jitter()), "{}", reception.jitter());
        let mut steady = heard(0);
        (0..400_u32).for_each(|packet| steady.on_arrival((packet * 160).wrapping_add(77), packet * 160));
        assert_eq!(steady.jitter(), 0);
    }
}
