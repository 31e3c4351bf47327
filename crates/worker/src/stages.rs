//! Where a round's time goes.

use tandem_contract::{Nanos, Stage, WorkerCounters};

use crate::clock::{Clock, TscClock};

/// A stopwatch over the stages of a round. The first lap begins with the time that the round was given, so that a round
/// without work costs no clock read.
pub(crate) struct Laps {
    clock: Option<TscClock>,
    since: Nanos,
}

impl Laps {
    /// Measures nothing.
    pub(crate) const fn none() -> Self {
        Self { clock: None, since: Nanos(0) }
    }

    /// Measures with the clock that the rounds' own times come from.
    pub(crate) const fn with(clock: TscClock) -> Self {
        Self { clock: Some(clock), since: Nanos(0) }
    }

    /// A round begins. What is left of the last one, if that found work, was its last stage.
    #[inline]
    pub(crate) fn begin(&mut self, now: Nanos, last_was_busy: bool, counters: &WorkerCounters) {
        if last_was_busy && self.clock.is_some() {
            counters.stage_ns.add(Stage::Transmit, now.since(self.since));
        }
        self.since = now;
    }

    /// The time now; `None` without a clock.
    #[inline]
    pub(crate) fn now(&mut self) -> Option<Nanos> {
        self.clock.as_mut().map(Clock::now)
    }

    #[inline]
    pub(crate) fn end(&mut self, stage: Stage, counters: &WorkerCounters) {
        if let Some(clock) = &mut self.clock {
            let now = clock.now();
            counters.stage_ns.add(stage, now.since(self.since));
            self.since = now;
        }
    }
}
