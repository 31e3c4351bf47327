//! How busy the thread that handles calls is.

use tandem_contract::Nanos;

/// What a second of it was spent on.
#[derive(Debug)]
pub(crate) struct Load {
    /// When the present interval began.
    begun: Nanos,
    /// Since when the thread has not waited.
    awake: Option<Nanos>,
    busy_ns: u64,
    percent: u8,
}

/// Long enough to be no accident, short enough to act upon.
const INTERVAL_NS: u64 = 200_000_000;

impl Load {
    pub(crate) const fn new(now: Nanos) -> Self {
        Self { begun: now, awake: Some(now), busy_ns: 0, percent: 0 }
    }

    /// The thread is about to wait. True where an interval ended and [`Load::percent`] is new.
    pub(crate) fn rests(&mut self, now: Nanos) -> bool {
        self.busy_ns += self.awake.take().map_or(0, |awake| now.since(awake));
        let interval = now.since(self.begun);
        if interval < INTERVAL_NS {
            return false;
        }
        self.percent = (self.busy_ns * 100 / interval).min(100) as u8;
        self.begun = now;
        self.busy_ns = 0;
        true
    }

    /// It goes on, if it had waited.
    pub(crate) fn wakes(&mut self, now: Nanos) {
        self.awake.get_or_insert(now);
    }

    /// Of the last whole interval.
    pub(crate) const fn percent(&self) -> u8 {
        self.percent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_of_an_interval_that_was_work_is_told() {
        let at = Nanos::from_millis;
        let mut load = Load::new(at(0));
        assert!(!load.rests(at(50)));
        load.wakes(at(150));
        load.wakes(at(170));
        assert!(load.rests(at(200)));
        assert_eq!(load.percent(), 50);
        load.wakes(at(300));
        assert!(!load.rests(at(310)));
        load.wakes(at(390));
        assert!(load.rests(at(400)));
        assert_eq!(load.percent(), 10);
    }
}
