//! Our own sequence numbers and timestamps towards a peer: one unbroken stream, whatever happens to the streams that feed
//! it. Gaps are kept where packets are missing; jumps are not.

use crate::reception::Verdict;

/// How much faster than real time a timestamp may run, in milliseconds, before it counts as a jump.
const MAX_RUSH_MS: u64 = 2000;
/// What a new source's first packet is put behind the last one of the old source at least, in milliseconds.
const USUAL_PTIME_MS: u32 = 20;

/// Where a stream's own numbering starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Start {
    pub(crate) ssrc: u32,
    pub(crate) first_sequence: u16,
    pub(crate) first_timestamp: u32,
}

/// One accepted packet of the feeding stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heard {
    pub(crate) now_us: u64,
    pub(crate) sequence: u16,
    pub(crate) timestamp: u32,
    pub(crate) marker: bool,
    pub(crate) verdict: Verdict,
    /// A telephone event: its timestamp is that of the tone's start and stands still (RFC 4733 §2.2.1).
    pub(crate) is_event: bool,
}

/// What we send for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Numbered {
    pub(crate) sequence: u16,
    pub(crate) timestamp: u32,
    pub(crate) marker: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing was sent yet.
    Fresh,
    /// The next packet joins on to what was sent, wherever it comes from.
    Broken,
    /// Numbers follow the feeding stream's at a constant distance.
    Joined,
}

/// Maps the numbers of whatever stream feeds a leg to the leg's own.
#[derive(Debug)]
pub(crate) struct Continuity {
    start: Start,
    state: State,
    sequence_offset: u16,
    /// A pair of timestamps that mean the same instant.
    base_in: u32,
    base_out: u32,
    in_khz: u8,
    out_khz: u8,
    last_sequence: u16,
    last_in: u32,
    last_out: u32,
    last_us: u64,
}

impl Continuity {
    pub(crate) fn new(start: Start, in_khz: u8, out_khz: u8) -> Self {
        Self {
            start,
            state: State::Fresh,
            sequence_offset: 0,
            base_in: 0,
            base_out: 0,
            in_khz,
            out_khz,
            last_sequence: 0,
            last_in: 0,
            last_out: 0,
            last_us: 0,
        }
    }

    /// Goes on where another node stopped, as though this packet had been sent now.
    pub(crate) fn resume(&mut self, now_us: u64, sequence: u16, timestamp: u32) {
        self.state = State::Broken;
        self.last_sequence = sequence;
        self.last_out = timestamp;
        self.last_us = now_us;
    }

    /// The sequence number of the last packet sent; `None` before the first.
    pub(crate) fn last_sequence(&self) -> Option<u16> {
        (self.state != State::Fresh).then_some(self.last_sequence)
    }

    /// Our synchronisation source.
    pub(crate) const fn ssrc(&self) -> u32 {
        self.start.ssrc
    }

    /// The timestamp of this instant, going on from the last packet sent; `None` before the first.
    pub(crate) fn timestamp_at(&self, now_us: u64) -> Option<u32> {
        let elapsed_us = now_us.saturating_sub(self.last_us);
        let elapsed = (elapsed_us.saturating_mul(self.out_khz.into()) / 1000) as u32;
        (self.state != State::Fresh).then(|| self.last_out.wrapping_add(elapsed))
    }

    /// The leg or what feeds it was configured anew.
    pub(crate) fn reconfigure(&mut self, start: Start, in_khz: u8, out_khz: u8) {
        if start != self.start {
            *self = Self::new(start, in_khz, out_khz);
        } else if (in_khz, out_khz) != (self.in_khz, self.out_khz) {
            // What was sent so far keeps its meaning in the new clock: time goes on from the last timestamp.
            (self.in_khz, self.out_khz) = (in_khz, out_khz);
            self.interrupt();
        }
    }

    /// The next packet may have nothing to do with the last one: join it on.
    pub(crate) fn interrupt(&mut self) {
        if self.state == State::Joined {
            self.state = State::Broken;
        }
    }

    /// A packet of the feeding stream is left out on purpose: the numbers close up behind it.
    pub(crate) fn leave_out(&mut self, verdict: Verdict) {
        if self.state == State::Joined && matches!(verdict, Verdict::Next { .. }) {
            self.sequence_offset = self.sequence_offset.wrapping_sub(1);
        }
    }

    /// A telephone event that the leg was sent by itself, from `started_us` on, is over: what follows comes behind it.
    pub(crate) fn end_event(&mut self, started_us: u64) {
        let lasted_us = self.last_us.saturating_sub(started_us);
        let lasted = (lasted_us.saturating_mul(self.out_khz.into()) / 1000) as u32;
        self.last_out = self.base_out.wrapping_add(lasted);
    }

    /// The numbers under which a packet is sent on.
    #[inline(always)]
    pub(crate) fn number(&mut self, heard: Heard) -> Numbered {
        let mut is_newest = !matches!(heard.verdict, Verdict::Reordered);
        let mut marker = heard.marker;
        if self.state != State::Joined || heard.verdict == Verdict::Started {
            self.join(&heard);
            marker = true;
            // Nothing of what goes on from here was sent before it.
            is_newest = true;
        } else if is_newest && !heard.is_event && self.has_jumped(&heard) {
            self.join_timestamp(&heard);
            marker = true;
        }
        let sequence = heard.sequence.wrapping_add(self.sequence_offset);
        let timestamp = self.base_out.wrapping_add(self.scaled(heard.timestamp.wrapping_sub(self.base_in)));
        if is_newest {
            self.last_sequence = sequence;
            self.last_us = heard.now_us;
            if !heard.is_event {
                self.last_in = heard.timestamp;
                self.last_out = timestamp;
                // The pair moves along, so that the distance to it never exceeds half the number range; between two clocks
                // only by whole milliseconds, which scale without rounding.
                let same_clock = self.in_khz == self.out_khz;
                if same_clock || heard.timestamp.wrapping_sub(self.base_in).is_multiple_of(self.in_khz.into()) {
                    (self.base_in, self.base_out) = (heard.timestamp, timestamp);
                }
            }
        }
        Numbered { sequence, timestamp, marker }
    }

    fn scaled(&self, ticks: u32) -> u32 {
        if self.in_khz == self.out_khz {
            return ticks;
        }
        (i64::from(ticks as i32) * i64::from(self.out_khz)).div_euclid(i64::from(self.in_khz)) as u32
    }

    /// Whether the timestamp went back, or ran ahead further than time allows.
    fn has_jumped(&self, heard: &Heard) -> bool {
        let ticks = heard.timestamp.wrapping_sub(self.last_in) as i32;
        let elapsed_ms = heard.now_us.saturating_sub(self.last_us) / 1000;
        ticks < 0 || u64::from(ticks as u32) > (elapsed_ms + MAX_RUSH_MS) * u64::from(self.in_khz)
    }

    #[cold]
    fn join(&mut self, heard: &Heard) {
        let next =
            if self.state == State::Fresh { self.start.first_sequence } else { self.last_sequence.wrapping_add(1) };
        self.sequence_offset = next.wrapping_sub(heard.sequence);
        self.join_timestamp(heard);
        self.state = State::Joined;
    }

    /// Lets this packet's timestamp follow the last one by the time that has passed.
    #[cold]
    fn join_timestamp(&mut self, heard: &Heard) {
        self.base_in = heard.timestamp;
        self.base_out = if self.state == State::Fresh {
            self.start.first_timestamp
        } else {
            let elapsed_us = heard.now_us.saturating_sub(self.last_us);
            let elapsed = (elapsed_us.saturating_mul(self.out_khz.into()) / 1000) as u32;
            self.last_out.wrapping_add(elapsed.max(USUAL_PTIME_MS * u32::from(self.out_khz)))
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Start = Start { ssrc: 7, first_sequence: 65_534, first_timestamp: 0xffff_ff00 };

    fn heard(ms: u64, sequence: u16, timestamp: u32) -> Heard {
        let verdict = Verdict::Next { skipped: 0 };
        Heard { now_us: ms * 1000, sequence, timestamp, marker: false, verdict, is_event: false }
    }

    fn numbers(numbered: Numbered) -> (u16, u32, bool) {
        (numbered.sequence, numbered.timestamp.wrapping_sub(START.first_timestamp), numbered.marker)
    }

    #[test]
    fn gaps_are_kept_and_numbers_wrap() {
        let mut continuity = Continuity::new(START, 8, 8);
        assert_eq!(numbers(continuity.number(heard(0, 10, 1000))), (65_534, 0, true));
        assert_eq!(numbers(continuity.number(heard(20, 11, 1160))), (65_535, 160, false));
        assert_eq!(numbers(continuity.number(heard(60, 13, 1480))), (1, 480, false));
        let late = Heard { verdict: Verdict::Reordered, ..heard(61, 12, 1320) };
        assert_eq!(numbers(continuity.number(late)), (0, 320, false));
        assert_eq!(numbers(continuity.number(heard(80, 14, 1640))), (2, 640, false));
    }

    #[test]
    fn what_another_node_sent_is_gone_on_from_with_the_time_that_passed() {
        let mut continuity = Continuity::new(START, 8, 8);
        assert_eq!(continuity.last_sequence(), None);
        continuity.resume(500_000, 65_535, START.first_timestamp);
        assert_eq!(continuity.timestamp_at(510_000), Some(START.first_timestamp.wrapping_add(80)));
        assert_eq!(numbers(continuity.number(heard(600, 10, 1000))), (0, 800, true));
        assert_eq!(numbers(continuity.number(heard(620, 11, 1160))), (1, 960, false));
        assert_eq!(continuity.last_sequence(), Some(1));
    }

    #[test]
    fn another_source_joins_on_with_the_time_that_passed() {
        let mut continuity = Continuity::new(START, 8, 8);
        continuity.number(heard(0, 10, 1000));
        let other = Heard { verdict: Verdict::Started, ..heard(100, 40_000, 5) };
        assert_eq!(numbers(continuity.number(other)), (65_535, 800, true));
        assert_eq!(numbers(continuity.number(heard(120, 40_001, 165))), (0, 960, false));
        // Even in the same instant a timestamp is not used twice.
        let third = Heard { verdict: Verdict::Started, ..heard(120, 1, 77) };
        assert_eq!(numbers(continuity.number(third)), (1, 1120, true));
    }

    #[test]
    fn a_packet_that_was_overtaken_joins_on_like_any_other() {
        let mut continuity = Continuity::new(START, 8, 8);
        continuity.number(heard(0, 10, 1000));
        continuity.interrupt();
        let late = Heard { verdict: Verdict::Reordered, ..heard(20, 9, 840) };
        assert_eq!(numbers(continuity.number(late)), (65_535, 160, true));
        continuity.interrupt();
        assert_eq!(numbers(continuity.number(heard(40, 11, 1160))), (0, 320, true));
    }

    #[test]
    fn a_timestamp_jump_either_way_is_smoothed_and_the_sequence_goes_on() {
        for jump in [50_000_000_u32, 0_u32.wrapping_sub(50_000)] {
            let mut continuity = Continuity::new(START, 8, 8);
            continuity.number(heard(0, 10, 1000));
            assert_eq!(numbers(continuity.number(heard(20, 11, 1160_u32.wrapping_add(jump)))), (65_535, 160, true));
            assert_eq!(numbers(continuity.number(heard(40, 12, 1320_u32.wrapping_add(jump)))), (0, 320, false));
        }
    }

    #[test]
    fn silence_advances_the_timestamp_as_the_source_says() {
        let mut continuity = Continuity::new(START, 8, 8);
        continuity.number(heard(0, 10, 1000));
        let talkspurt = Heard { marker: true, ..heard(10_000, 11, 81_000) };
        assert_eq!(numbers(continuity.number(talkspurt)), (65_535, 80_000, true));
    }

    #[test]
    fn events_stand_still_and_audio_goes_on_behind_them() {
        let mut continuity = Continuity::new(START, 8, 8);
        continuity.number(heard(0, 10, 1000));
        for (n, sequence) in (11..16).enumerate() {
            let event = Heard { is_event: true, ..heard(20 + 20 * n as u64, sequence, 1160) };
            assert_eq!(continuity.number(event).timestamp, START.first_timestamp.wrapping_add(160));
        }
        assert_eq!(numbers(continuity.number(heard(120, 16, 1960))), (4, 960, false));
    }

    #[test]
    fn what_is_left_out_on_purpose_leaves_no_gap() {
        let mut continuity = Continuity::new(START, 8, 8);
        continuity.number(heard(0, 10, 1000));
        continuity.leave_out(Verdict::Next { skipped: 0 });
        continuity.leave_out(Verdict::Next { skipped: 0 });
        assert_eq!(numbers(continuity.number(heard(60, 13, 1480))), (65_535, 480, false));
    }

    #[test]
    fn clocks_are_scaled_without_drift_for_days() {
        let mut continuity = Continuity::new(START, 8, 48);
        let mut out = 0;
        for packet in 0..20_000_u32 {
            // 10 s of silence suppression between packets: 55 hours, many wraps of the 48 kHz clock.
            let heard = heard(u64::from(packet) * 10_000, packet as u16, packet.wrapping_mul(80_000));
            out = continuity.number(heard).timestamp;
        }
        assert_eq!(out, START.first_timestamp.wrapping_add(19_999_u32.wrapping_mul(480_000)));
        let mut down = Continuity::new(START, 48, 8);
        down.number(heard(0, 0, 0));
        assert_eq!(numbers(down.number(heard(20, 1, 960))), (65_535, 160, false));
        let late = Heard { verdict: Verdict::Reordered, ..heard(20, 0, 0) };
        assert_eq!(numbers(down.number(late)).1, 0);
    }

    #[test]
    fn a_change_of_clock_goes_on_from_the_last_timestamp_and_a_new_ssrc_starts_afresh() {
        let mut continuity = Continuity::new(START, 8, 8);
        continuity.number(heard(0, 10, 1000));
        continuity.reconfigure(START, 48, 48);
        assert_eq!(numbers(continuity.number(heard(20, 11, 9_999_999))), (65_535, 960, true));
        let other = Start { ssrc: 8, first_sequence: 3, first_timestamp: 4 };
        continuity.reconfigure(other, 48, 48);
        assert_eq!(continuity.ssrc(), 8);
        assert_eq!(continuity.number(heard(40, 12, 10_000_959)), Numbered { sequence: 3, timestamp: 4, marker: true });
    }
}
