use tandem_contract::Nanos;

/// Where a worker's time comes from. Read once per round of the poll loop.
pub trait Clock {
    /// The time now, which never goes back.
    fn now(&mut self) -> Nanos;

    /// Processor time of the thread that calls, in nanoseconds, for a [`tandem_contract::StopWatch`]; none where the clock knows of none.
    fn ran_ns(&mut self) -> Option<u64> {
        None
    }
}

impl<F: FnMut() -> Nanos> Clock for F {
    fn now(&mut self) -> Nanos {
        self()
    }
}

/// The processor's time stamp counter, calibrated once against the monotonic clock; where the counter is not constant,
/// the monotonic clock itself. All clocks of a process share one calibration, so that workers can compare times.
#[derive(Clone, Debug, Default)]
pub struct TscClock(quanta::Clock);

impl TscClock {
    /// A clock. The first one of a process takes up to 200 ms to calibrate: make it before calls are waiting.
    pub fn new() -> Self {
        Self(quanta::Clock::new())
    }
}

/// For tests: a clock that stands still until its other end is moved.
impl From<quanta::Clock> for TscClock {
    fn from(clock: quanta::Clock) -> Self {
        Self(clock)
    }
}

impl Clock for TscClock {
    #[inline]
    fn now(&mut self) -> Nanos {
        Nanos(self.0.delta_as_nanos(0, self.0.raw()))
    }

    fn ran_ns(&mut self) -> Option<u64> {
        let ran = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        Some(u64::try_from(ran.tv_sec).ok()? * 1_000_000_000 + u64::try_from(ran.tv_nsec).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_does_not_go_back_and_clones_agree() {
        let mut clock = TscClock::new();
        let mut clone = clock.clone();
        let mut last = clock.now();
        for _ in 0..10_000 {
            let now = clone.now();
            assert!(now >= last);
            last = now;
            std::mem::swap(&mut clock, &mut clone);
        }
    }
}
