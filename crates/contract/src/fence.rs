//! Until when a node may send.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::Nanos;

use Ordering::Relaxed;

/// How long workers rest at most: much longer than the node that goes on needs, and too short for what waits to be of use to a
/// process that was stopped meanwhile.
const REST_NS: u64 = 250_000_000;

/// Until when workers may send. Control moves it on while this node has the votes for its floating addresses; workers compare
/// it with the time of each burst, so that a process that was stopped sends nothing when it runs again, whoever runs first.
///
/// Before a planned move control lets workers *rest*: each sends what it has taken, says so, and leaves what comes from then on
/// to whoever has the address next.
#[derive(Debug)]
pub struct Fence {
    until: AtomicU64,
    /// When workers were told to rest; 0 for never.
    resting: AtomicU64,
    /// Workers that have sent what they had taken.
    rested: AtomicU32,
}

impl Fence {
    /// Nothing is forbidden.
    pub const fn lifted() -> Self {
        Self { until: AtomicU64::new(u64::MAX), resting: AtomicU64::new(0), rested: AtomicU32::new(0) }
    }

    /// Workers may send before `until`, on their own clock.
    pub fn permit(&self, until: Nanos) {
        self.until.store(until.0, Relaxed);
    }

    /// Nothing is forbidden any more: there is nothing left that another node might have.
    pub fn lift(&self) {
        self.permit(Nanos(u64::MAX));
    }

    /// Whether nothing is forbidden.
    pub fn is_lifted(&self) -> bool {
        self.until.load(Relaxed) == u64::MAX
    }

    /// Whether a worker may send now.
    #[inline]
    pub fn is_open(&self, now: Nanos) -> bool {
        now.0 < self.until.load(Relaxed)
    }

    /// The same, and asks for the time only where something is forbidden ever.
    #[inline]
    pub fn is_open_at(&self, now: impl FnOnce() -> Nanos) -> bool {
        let until = self.until.load(Relaxed);
        until == u64::MAX || now().0 < until
    }

    /// Workers are to rest from `now` on, on their own clock.
    pub fn rest(&self, now: Nanos) {
        self.rested.store(0, Relaxed);
        self.resting.store(now.0, Ordering::Release);
    }

    /// Workers are to go on.
    pub fn wake(&self) {
        self.resting.store(0, Relaxed);
    }

    /// When workers were told to rest, for as long as they are to.
    #[inline]
    pub fn resting_since(&self, now: Nanos) -> Option<Nanos> {
        let since = self.resting.load(Ordering::Acquire);
        (since > 0 && now.0 < since.saturating_add(REST_NS)).then_some(Nanos(since))
    }

    /// A worker has sent what it had taken; said once for each rest.
    pub fn note_rested(&self) {
        self.rested.fetch_add(1, Relaxed);
    }

    /// How many said so.
    pub fn rested(&self) -> u32 {
        self.rested.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fence_closes_by_itself_when_its_time_has_come() {
        let fence = Fence::lifted();
        assert!(fence.is_open(Nanos(u64::MAX - 1)));
        fence.permit(Nanos(100));
        assert!(fence.is_open(Nanos(99)) && !fence.is_open(Nanos(100)));
        assert!(fence.is_open_at(|| Nanos(99)) && !fence.is_open_at(|| Nanos(100)));
        fence.lift();
        assert!(fence.is_open(Nanos(100)) && fence.is_open_at(|| unreachable!("nothing is forbidden")));
    }

    #[test]
    fn workers_rest_for_a_while_and_each_rest_is_told_anew() {
        let fence = Fence::lifted();
        assert_eq!(fence.resting_since(Nanos(1)), None);
        fence.rest(Nanos(5));
        assert_eq!(fence.resting_since(Nanos(5 + REST_NS - 1)), Some(Nanos(5)));
        assert_eq!(fence.resting_since(Nanos(5 + REST_NS)), None);
        fence.note_rested();
        assert_eq!(fence.rested(), 1);
        fence.rest(Nanos(7));
        assert_eq!((fence.rested(), fence.resting_since(Nanos(8))), (0, Some(Nanos(7))));
        fence.wake();
        assert_eq!(fence.resting_since(Nanos(8)), None);
    }
}
