//! Times in which a thread that polls did not run.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use crate::{Counter, Nanos};

/// A time in which a thread that never waits did not run, because something else had its core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stop {
    /// When it began, at the earliest.
    pub from: Nanos,
    /// When the thread went on.
    pub until: Nanos,
}

impl Stop {
    /// How long it was, in nanoseconds.
    pub const fn ns(self) -> u64 {
        self.until.since(self.from)
    }
}

/// Tells the stops of a polling thread from rounds that took long.
///
/// A long round is looked into: what the kernel accounts to the thread as processor time, it worked. In the rest of the time something else
/// had its core: another thread, or another virtual machine as far as the hypervisor tells the kernel. A thread that is slow, or burns
/// its time, has worked, and no stop is seen.
#[derive(Clone, Copy, Debug, Default)]
pub struct StopWatch {
    /// The last look: when, and what the thread had run by then.
    last: Option<(Nanos, u64)>,
}

impl StopWatch {
    /// Shorter stops are not told, in nanoseconds.
    pub const SHORTEST_NS: u64 = 100_000;
    /// A look is good for so long: what was stopped for less adds up meanwhile.
    const RENEWED_NS: u64 = 10_000_000;

    /// A round lasted from `began` to `ended`, by the thread's clock. `ran_ns` reads the thread's processor time, which takes a system call:
    /// it is asked after a long round, and a hundred times a second. None where the thread cannot tell.
    #[inline]
    pub fn round(&mut self, began: Nanos, ended: Nanos, ran_ns: impl FnOnce() -> Option<u64>) -> Option<Stop> {
        let is_short = ended.since(began) < Self::SHORTEST_NS;
        if is_short && self.last.is_some_and(|(looked, _)| ended.since(looked) < Self::RENEWED_NS) {
            return None;
        }
        self.look(began, ended, ran_ns()?)
    }

    #[cold]
    fn look(&mut self, began: Nanos, ended: Nanos, ran_ns: u64) -> Option<Stop> {
        let (looked, had_run_ns) = self.last.replace((ended, ran_ns))?;
        let elsewhere_ns = ended.since(looked).saturating_sub(ran_ns.saturating_sub(had_run_ns));
        // Where in the round it was is not known. What came in is late until its end.
        let ns = elsewhere_ns.min(ended.since(began));
        (ns >= Self::SHORTEST_NS).then_some(Stop { from: Nanos(ended.0 - ns), until: ended })
    }
}

/// The stops of one worker: all counted, the last of them kept. Written by that worker alone, readable at any time by anyone.
#[derive(Debug)]
pub struct StopLog {
    count: AtomicU64,
    ns: Counter,
    clock: Counter,
    kept: [[Counter; 2]; Self::KEPT],
}

impl Default for StopLog {
    fn default() -> Self {
        let kept = core::array::from_fn(|_| Default::default());
        Self { count: AtomicU64::new(0), ns: Counter::default(), clock: Counter::default(), kept }
    }
}

impl StopLog {
    /// Stops that are kept.
    pub const KEPT: usize = 1_024;

    /// Adds a stop. Only the owning worker may call this.
    pub fn add(&self, stop: Stop) {
        let count = self.count.load(Ordering::Relaxed);
        let [from, until] = &self.kept[count as usize % Self::KEPT];
        from.set(stop.from.0);
        until.set(stop.until.0);
        self.ns.add(stop.ns());
        self.count.store(count + 1, Ordering::Release);
    }

    /// Tells what the worker's clock shows; about every millisecond. Only the owning worker may call this.
    pub fn clock_shows(&self, now: Nanos) {
        self.clock.set(now.0);
    }

    /// What the worker's clock showed about a millisecond ago; longer ago where it is stopped right now.
    pub fn clock(&self) -> Nanos {
        Nanos(self.clock.get())
    }

    /// Stops since the start.
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Acquire)
    }

    /// Nanoseconds stopped since the start.
    pub fn ns(&self) -> u64 {
        self.ns.get()
    }

    /// The last stops, [`StopLog::KEPT`] at most, oldest first, on the worker's clock.
    pub fn recent(&self) -> Vec<Stop> {
        let end = self.count();
        let first = end.saturating_sub(Self::KEPT as u64);
        let read = |nth: u64| {
            let [from, until] = &self.kept[nth as usize % Self::KEPT];
            Stop { from: Nanos(from.get()), until: Nanos(until.get()) }
        };
        let mut stops: Vec<Stop> = (first..end).map(read).collect();
        // Places that were written anew meanwhile.
        let oldest = self.count().saturating_sub(Self::KEPT as u64);
        stops.drain(..stops.len().min((oldest - first) as usize));
        stops
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn a_round_in_which_the_thread_did_not_run_is_a_stop_and_one_in_which_it_worked_is_none() {
        let mut watch = StopWatch::default();
        let at = Nanos::from_millis;
        assert_eq!(watch.round(at(0), at(1), || Some(7 * MS)), None, "nothing is known before the first look");
        // 4 ms went by, and the thread worked all the time.
        assert_eq!(watch.round(at(1), at(5), || Some(11 * MS)), None);
        // 4 ms, of which it had 1.
        assert_eq!(watch.round(at(5), at(9), || Some(12 * MS)), Some(Stop { from: at(6), until: at(9) }));
        assert_eq!(watch.round(at(9), at(13), || None), None, "whoever cannot tell has no stops");
    }

    #[test]
    fn short_rounds_ask_for_nothing_and_what_adds_up_over_them_is_no_stop() {
        let mut watch = StopWatch::default();
        let mut asked = 0;
        // Each round takes 90 us, of which the thread has 10.
        for round in 1..=1_000_u64 {
            let ended = Nanos::from_micros(90 * round);
            let stop = watch.round(Nanos::from_micros(90 * (round - 1)), ended, || {
                asked += 1;
                Some(10_000 * round)
            });
            assert_eq!(stop, None);
        }
        assert!((8..=10).contains(&asked), "{asked}");
        // A round that worked for as long as it took is not given what others waited before.
        let (began, ended) = (Nanos::from_micros(90_000), Nanos::from_micros(90_150));
        let stop = watch.round(began, ended, || Some(10_000_000 + 150_000));
        assert!(stop.is_none_or(|stop| stop.ns() <= 150_000), "never longer than the round: {stop:?}");
    }

    #[test]
    fn a_log_counts_every_stop_and_keeps_the_last() {
        let log = StopLog::default();
        assert_eq!((log.count(), log.recent().len()), (0, 0));
        let stop = |nth: u64| Stop { from: Nanos(1_000 * nth), until: Nanos(1_000 * nth + 7) };
        (0..3).for_each(|nth| log.add(stop(nth)));
        assert_eq!(log.recent(), [stop(0), stop(1), stop(2)]);
        (3..5_000).for_each(|nth| log.add(stop(nth)));
        let kept = log.recent();
        assert_eq!((log.count(), log.ns()), (5_000, 35_000));
        assert_eq!((kept.len(), kept.last()), (StopLog::KEPT, Some(&stop(4_999))));
        assert_eq!(kept.first(), Some(&stop(5_000 - StopLog::KEPT as u64)));
    }
}
