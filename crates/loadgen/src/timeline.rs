//! When the packets of a run came, and how slow they were then: what is needed to judge the run without the times in which a
//! core was stopped.

use tandem_contract::{LatencyHistogram, Nanos, Stop};

/// No bucket yet: the range that any bucket widens to itself.
const NOTHING: std::ops::Range<usize> = std::ops::Range { start: usize::MAX, end: 0 };

/// A slot of time: 2^20 ns, about a millisecond.
const SLOT_BITS: u32 = 20;
/// What was faster is counted, and not told apart.
const SLOW_NS: u64 = 100_000;
/// Entries of slow packets, at most.
const MOST_ENTRIES: usize = 4 << 20;
/// Stops of the source that are kept.
const MOST_STOPS: usize = 65_536;
/// A stop leaves a queue behind. Whoever is busy to a share `u` works it off in `u / (1 - u)` of the stop's length: 20 of them are enough up
/// to 95 %.
const WAKE: u64 = 20;

/// How a run went by time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Timeline {
    start: Nanos,
    /// Packets of the measurement that came in each slot.
    came: Vec<u32>,
    /// The slow ones among them, in the order of time.
    slow: Vec<Slow>,
    /// Packets that left late, and packets that never came, by the slot in which they left.
    late: Vec<(u32, u32)>,
    lost: Vec<(u32, u32)>,
    /// There were more entries than there is room for.
    is_full: bool,
    /// The slot under way: its slow packets by bucket, and the buckets that may have some.
    slot: u32,
    buckets: Vec<u32>,
    touched: std::ops::Range<usize>,
    stops: Vec<Stop>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Slow {
    slot: u32,
    bucket: u32,
    packets: u32,
}

/// What is left of a run without the times in which a core was stopped, and their wakes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Undisturbed {
    /// Packets that came.
    pub packets: u64,
    /// Packets that came in a stop or its wake, and are left out.
    pub left_out: u64,
    /// What 999 of 1,000 packets did not exceed, in nanoseconds.
    pub p99_9_ns: u64,
    /// Packets that left late, of those that are not left out.
    pub late: u64,
    /// Lost packets that left in a stop or its wake, as far as it is known when they left.
    pub lost_left_out: u64,
}

impl Timeline {
    /// Of a run that begins now and lasts about so long.
    pub(crate) fn new(start: Nanos, ns: u64) -> Self {
        let slots = (ns >> SLOT_BITS) as usize + 2;
        Self {
            start,
            came: vec![0; slots],
            slow: Vec::with_capacity((16 * slots).min(MOST_ENTRIES)),
            buckets: vec![0; LatencyHistogram::BUCKETS],
            touched: NOTHING,
            ..Self::default()
        }
    }

    #[inline]
    fn slot_of(&self, at: Nanos) -> u32 {
        (at.since(self.start) >> SLOT_BITS) as u32
    }

    /// A packet of the measurement came.
    #[inline]
    pub(crate) fn came(&mut self, now: Nanos, latency_ns: u64) {
        let slot = self.slot_of(now);
        if let Some(came) = self.came.get_mut(slot as usize) {
            *came += 1;
        }
        if latency_ns < SLOW_NS {
            return;
        }
        if slot != self.slot {
            self.end_slot();
            self.slot = slot;
        }
        let bucket = LatencyHistogram::bucket_of(latency_ns);
        self.buckets[bucket] += 1;
        self.touched = self.touched.start.min(bucket)..self.touched.end.max(bucket + 1);
    }

    fn end_slot(&mut self) {
        let slot = self.slot;
        for bucket in std::mem::replace(&mut self.touched, NOTHING) {
            let packets = std::mem::take(&mut self.buckets[bucket]);
            if packets == 0 {
                continue;
            }
            if self.slow.len() == MOST_ENTRIES {
                self.is_full = true;
                continue;
            }
            self.slow.push(Slow { slot, bucket: bucket as u32, packets });
        }
    }

    /// A packet of the measurement left late.
    pub(crate) fn late(&mut self, now: Nanos) {
        let slot = self.slot_of(now);
        count(&mut self.late, slot);
    }

    /// A packet that left then is missing.
    pub(crate) fn lost(&mut self, left: Nanos) {
        let slot = self.slot_of(left);
        count(&mut self.lost, slot);
    }

    /// The source was stopped.
    #[cold]
    pub(crate) fn stopped(&mut self, stop: Stop) {
        if self.stops.len() < MOST_STOPS {
            self.stops.push(stop);
        }
    }

    /// When the source was stopped, on its own clock.
    pub fn stops(&self) -> &[Stop] {
        &self.stops
    }

    /// Whether a stop was within the time in which packets of the measurement came.
    pub fn spans(&self, stop: Stop) -> bool {
        let any = |came: &u32| *came > 0;
        let (first, last) = (self.came.iter().position(any), self.came.iter().rposition(any));
        let (from, until) = (self.slot_of(stop.from) as usize, self.slot_of(stop.until) as usize);
        stop.until >= self.start && first.is_some_and(|first| until >= first) && last.is_some_and(|last| from <= last)
    }

    /// The run is over.
    pub(crate) fn end(&mut self) {
        self.end_slot();
    }

    /// The run without the source's own stops and those of `others`, on the source's clock; none where it was too much to be kept.
    pub fn undisturbed(&self, others: &[Stop]) -> Option<Undisturbed> {
        if self.is_full || self.stops.len() == MOST_STOPS {
            return None;
        }
        let mut is_out = vec![false; self.came.len()];
        for stop in self.stops.iter().chain(others).filter(|stop| stop.until >= self.start) {
            let until = self.slot_of(stop.until.plus(WAKE * stop.ns())) as usize;
            let slots = (self.slot_of(stop.from) as usize).min(is_out.len())..(until + 1).min(is_out.len());
            is_out[slots].fill(true);
        }
        let out = |slot: u32| is_out.get(slot as usize).copied().unwrap_or(false);
        let sum = |entries: &[(u32, u32)], of: bool| -> u64 {
            entries.iter().filter(|(slot, _)| out(*slot) == of).map(|(_, packets)| u64::from(*packets)).sum()
        };
        let mut found = Undisturbed {
            late: sum(&self.late, false),
            lost_left_out: sum(&self.lost, true),
            ..Undisturbed::default()
        };
        for (packets, is_out) in self.came.iter().zip(&is_out) {
            let sum = if *is_out { &mut found.left_out } else { &mut found.packets };
            *sum += u64::from(*packets);
        }
        let mut buckets = vec![0_u64; LatencyHistogram::BUCKETS];
        for slow in self.slow.iter().filter(|slow| !out(slow.slot)) {
            buckets[slow.bucket as usize] += u64::from(slow.packets);
        }
        // From the slowest down, until one in a thousand is above.
        let mut above = found.packets / 1_000;
        let reached = buckets.iter().enumerate().rev().find(|(_, packets)| {
            let is_reached = **packets > above;
            above = above.saturating_sub(**packets);
            is_reached
        });
        found.p99_9_ns = reached.map_or(SLOW_NS, |(bucket, _)| LatencyHistogram::floor_of(bucket + 1));
        Some(found)
    }
}

/// Counts one in the last entry, or in a new one.
fn count(entries: &mut Vec<(u32, u32)>, slot: u32) {
    let has_room = entries.len() < MOST_ENTRIES;
    match entries.last_mut() {
        Some((last, packets)) if *last == slot => *packets += 1,
        _ if has_room => entries.push((slot, 1)),
        _ => {}
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const MS: u64 = 1 << SLOT_BITS;

    fn at(slot: u64) -> Nanos {
        Nanos(7_000_000_000 + slot * MS)
    }

    /// A thousand slots with a thousand packets each; in those from `from` on for `slots` they take 3 ms, otherwise 50 us.
    fn timeline(from: u64, slots: u64) -> Timeline {
        let mut timeline = Timeline::new(at(0), 1_000 * MS);
        for slot in 0..1_000 {
            let is_slow = (from..from + slots).contains(&slot);
            for _ in 0..1_000 {
                timeline.came(at(slot), if is_slow { 3_000_000 } else { 50_000 });
            }
        }
        timeline.end();
        timeline
    }

    #[test]
    fn packets_in_a_stop_and_its_wake_are_left_out_and_all_others_count() {
        let mut timeline = timeline(100, 20);
        let whole = timeline.undisturbed(&[]).unwrap();
        assert_eq!((whole.packets, whole.left_out), (1_000_000, 0));
        assert!((2_900_000..3_200_000).contains(&whole.p99_9_ns), "{whole:?}");
        // The gateway stood still from 100 to 101, and worked it off until 121.
        let stop = Stop { from: at(100), until: at(101) };
        let without = timeline.undisturbed(&[stop]).unwrap();
        assert_eq!((without.packets, without.left_out, without.p99_9_ns), (978_000, 22_000, SLOW_NS));
        timeline.stopped(stop);
        assert_eq!(timeline.undisturbed(&[]), Some(without), "the source's own");
    }

    #[test]
    fn what_is_slow_all_the_time_stays_slow_whatever_is_left_out() {
        let timeline = timeline(0, 1_000);
        let stops: Vec<Stop> = (0..9).map(|nth| Stop { from: at(100 * nth), until: at(100 * nth + 2) }).collect();
        let without = timeline.undisturbed(&stops).unwrap();
        assert!(without.left_out > 300_000 && without.p99_9_ns > 2_900_000, "{without:?}");
        // And so does what is slow for two in a thousand packets somewhere else.
        let mut timeline = self::timeline(400, 2);
        timeline.stopped(Stop { from: at(100), until: at(103) });
        assert!(timeline.undisturbed(&[]).unwrap().p99_9_ns > 2_900_000);
    }

    #[test]
    fn late_and_lost_packets_belong_to_the_slot_in_which_they_left() {
        let mut timeline = timeline(0, 0);
        [100, 100, 500].map(at).into_iter().for_each(|left| timeline.late(left));
        [99, 100, 121, 122].map(at).into_iter().for_each(|left| timeline.lost(left));
        let without = timeline.undisturbed(&[Stop { from: at(100), until: at(101) }]).unwrap();
        assert_eq!((without.late, without.lost_left_out), (1, 2));
    }

    #[test]
    fn stops_before_the_run_and_after_it_change_nothing() {
        let timeline = timeline(100, 20);
        let others = [Stop { from: Nanos(5), until: Nanos(9) }, Stop { from: at(5_000), until: at(5_001) }];
        assert_eq!(timeline.undisturbed(&others), timeline.undisturbed(&[]));
    }
}
