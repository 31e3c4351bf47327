//! Whether a service level held in a run.

use crate::report::{Breach, Latency, Quantity, ServiceLevel, SetUp, Stops, Traffic, Verdict};

impl ServiceLevel {
    /// What did not hold; empty when everything did. Losses and failures are judged exactly: with 0 allowed, one is too
    /// many. `stops` matter where the level does without them.
    pub fn breaches(&self, traffic: &Traffic, latency: Option<&Latency>, stops: Option<&Stops>) -> Vec<Breach> {
        let mut breaches = Vec::new();
        if above(traffic.calls_failed, traffic.calls_up + traffic.calls_failed, self.max_failed_ppm) {
            breaches.push(Breach::SetUp);
        }
        // Nothing that came back of what should have is a loss, whatever the counters say.
        if above(traffic.lost, traffic.expected, self.max_lost_ppm) || (traffic.expected > 0 && traffic.received == 0) {
            breaches.push(Breach::Loss);
        }
        let whole_us = latency.map(|latency| latency.p99_9_us);
        let judged_us = match stops.filter(|_| self.discount_stops) {
            Some(stops) => stops.p99_9_without_us.or(whole_us),
            None => whole_us,
        };
        if judged_us.is_some_and(|us| us > self.max_p99_9_us) {
            breaches.push(Breach::Latency);
        }
        if self.audio_right && traffic.audio_wrong > 0 {
            breaches.push(Breach::Audio);
        }
        breaches
    }

    /// What of a run of calls per second did not hold; empty when everything did.
    pub fn set_up_breaches(&self, traffic: &Traffic, set_up: &SetUp) -> Vec<Breach> {
        let calls = traffic.calls_up + traffic.calls_failed;
        let mut breaches = Vec::new();
        if above(traffic.calls_failed, calls, self.max_failed_ppm) {
            breaches.push(Breach::SetUp);
        }
        if set_up.answered_after.as_ref().is_some_and(|after| after.p99_us > self.max_set_up_p99_us) {
            breaches.push(Breach::SetUpDelay);
        }
        if above(set_up.repeated, calls, self.max_repeated_ppm) {
            breaches.push(Breach::Repeated);
        }
        breaches
    }

    /// The verdict on a run that is not void. A run that measured nothing is.
    pub fn verdict(&self, quantity: Quantity, traffic: &Traffic, breaches: &[Breach]) -> Verdict {
        let measured = match quantity {
            Quantity::ConcurrentCalls => traffic.expected > 0,
            Quantity::CallsPerSecond => traffic.calls_up + traffic.calls_failed > 0,
        };
        match (measured, breaches) {
            (_, [_, ..]) => Verdict::Breaks,
            (true, []) => Verdict::Holds,
            (false, []) => Verdict::Void,
        }
    }
}

/// Whether a count is more than so many of each million: exactly, with 0 allowed one is too many.
fn above(count: u64, of: u64, ppm: f64) -> bool {
    count > 0 && count as f64 * 1e6 > ppm * of.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn traffic() -> Traffic {
        Traffic { calls_up: 10, expected: 1_000_000, received: 1_000_000, audio_checked: 10, ..Traffic::default() }
    }

    fn latency(p99_9_us: f64) -> Latency {
        let rest = p99_9_us / 2.0;
        Latency { count: 1, p50_us: rest, p90_us: rest, p99_us: rest, p99_9_us, max_us: p99_9_us, histogram: vec![] }
    }

    #[test]
    fn one_packet_is_too_many_where_none_may_be_lost() {
        let level = ServiceLevel::default();
        assert_eq!(level.breaches(&traffic(), Some(&latency(2000.0)), None), []);
        let lost = Traffic { lost: 1, received: 999_999, ..traffic() };
        assert_eq!(level.breaches(&lost, None, None), [Breach::Loss]);
        let some = ServiceLevel { max_lost_ppm: 1.0, ..ServiceLevel::default() };
        assert_eq!(some.breaches(&lost, None, None), []);
        assert_eq!(some.breaches(&Traffic { lost: 2, ..traffic() }, None, None), [Breach::Loss]);
    }

    #[test]
    fn each_part_of_a_level_is_judged() {
        let level = ServiceLevel::default();
        assert_eq!(level.breaches(&traffic(), Some(&latency(2000.1)), None), [Breach::Latency]);
        assert_eq!(level.breaches(&Traffic { audio_wrong: 1, ..traffic() }, None, None), [Breach::Audio]);
        assert_eq!(level.breaches(&Traffic { calls_failed: 1, ..traffic() }, None, None), [Breach::SetUp]);
        assert_eq!(level.breaches(&Traffic { received: 0, ..traffic() }, None, None), [Breach::Loss]);
        let deaf = ServiceLevel { audio_right: false, ..level };
        assert_eq!(deaf.breaches(&Traffic { audio_wrong: 1, ..traffic() }, None, None), []);
    }

    #[test]
    fn stops_are_left_out_of_latency_where_that_is_asked_and_of_nothing_else() {
        let strict = ServiceLevel::default();
        let lenient = ServiceLevel { discount_stops: true, ..strict.clone() };
        let slow = latency(4000.0);
        let stops = Stops { p99_9_without_us: Some(900.0), lost: 1, ..Stops::default() };
        assert_eq!(strict.breaches(&traffic(), Some(&slow), Some(&stops)), [Breach::Latency]);
        assert_eq!(lenient.breaches(&traffic(), Some(&slow), Some(&stops)), []);
        let lost = Traffic { lost: 1, received: 999_999, ..traffic() };
        assert_eq!(lenient.breaches(&lost, Some(&slow), Some(&stops)), [Breach::Loss]);
        let own = Stops { p99_9_without_us: Some(2100.0), ..stops };
        assert_eq!(lenient.breaches(&traffic(), Some(&slow), Some(&own)), [Breach::Latency]);
        assert_eq!(lenient.breaches(&traffic(), Some(&slow), None), [Breach::Latency], "nobody looked");
    }

    #[test]
    fn calls_per_second_are_judged_by_failures_delay_and_what_was_sent_again() {
        let level = ServiceLevel::default();
        let calls = Traffic { calls_up: 1000, ..Traffic::default() };
        let good = SetUp { answered_after: Some(latency(90_000.0)), ..SetUp::default() };
        assert_eq!(level.set_up_breaches(&calls, &good), []);
        let slow = Latency { p99_us: 100_000.1, ..latency(200_000.0) };
        let slow = SetUp { answered_after: Some(slow), ..SetUp::default() };
        assert_eq!(level.set_up_breaches(&calls, &slow), [Breach::SetUpDelay]);
        let again = SetUp { repeated: 1, ..good.clone() };
        assert_eq!(level.set_up_breaches(&calls, &again), [Breach::Repeated]);
        let some = ServiceLevel { max_repeated_ppm: 1000.0, max_failed_ppm: 2000.0, ..level.clone() };
        assert_eq!(some.set_up_breaches(&calls, &again), []);
        let failed = Traffic { calls_up: 999, calls_failed: 1, ..Traffic::default() };
        assert_eq!(level.set_up_breaches(&failed, &good), [Breach::SetUp]);
        assert_eq!(some.set_up_breaches(&failed, &good), []);
    }

    #[test]
    fn a_run_that_measured_nothing_does_not_hold() {
        let level = ServiceLevel::default();
        assert_eq!(level.verdict(Quantity::ConcurrentCalls, &Traffic::default(), &[]), Verdict::Void);
        assert_eq!(level.verdict(Quantity::ConcurrentCalls, &traffic(), &[]), Verdict::Holds);
        assert_eq!(level.verdict(Quantity::CallsPerSecond, &Traffic::default(), &[]), Verdict::Void);
        assert_eq!(level.verdict(Quantity::ConcurrentCalls, &traffic(), &[Breach::Audio]), Verdict::Breaks);
    }
}
