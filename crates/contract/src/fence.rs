//! Until when a node may send.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::Nanos;

/// Until when workers may send. Control moves it on while this node has the votes for its floating addresses; workers compare
/// it with the time of each burst, so that a process that was stopped sends nothing when it runs again, whoever runs first.
#[derive(Debug)]
pub struct Fence(AtomicU64);

impl Fence {
    /// Nothing is forbidden.
    pub const fn lifted() -> Self {
        Self(AtomicU64::new(u64::MAX))
    }

    /// Workers may send before `until`, on their own clock.
    pub fn permit(&self, until: Nanos) {
        self.0.store(until.0, Relaxed);
    }

    /// Nothing is forbidden any more: there is nothing left that another node might have.
    pub fn lift(&self) {
        self.permit(Nanos(u64::MAX));
    }

    /// Whether a worker may send now.
    #[inline]
    pub fn is_open(&self, now: Nanos) -> bool {
        now.0 < self.0.load(Relaxed)
    }

    /// The same, and asks for the time only where something is forbidden ever.
    #[inline]
    pub fn is_open_at(&self, now: impl FnOnce() -> Nanos) -> bool {
        let until = self.0.load(Relaxed);
        until == u64::MAX || now().0 < until
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
}
