//! A run of the source as a point of a report.

use tandem_capacity::report::{
    self, Bucket, GatewayReading, Point, Quantity, ServiceLevel, SourceReading, Traffic, Verdict,
};
use tandem_capacity::search::Probe;
use tandem_loadgen::{Latency, LoadOutcome};

/// Buckets of a report's histogram to a factor of ten.
const PER_DECADE: f64 = 24.0;

/// What a run says, under a service level.
pub(super) fn of(
    outcome: &LoadOutcome,
    probe: Probe,
    at_s: f64,
    level: &ServiceLevel,
    gateway: Option<GatewayReading>,
) -> Point {
    let traffic = traffic(outcome);
    let latency = latency(&outcome.latency);
    let mut point = Point {
        calls: probe.calls,
        step: probe.step,
        at_s,
        seconds: outcome.seconds,
        verdict: Verdict::Void,
        breaches: Vec::new(),
        void_because: None,
        traffic,
        latency,
        gateway,
        source: SourceReading {
            busy: Some(outcome.source.utilisation.clamp(0.0, 1.0)),
            worst_lag_us: Some(outcome.source.worst_lateness_ns as f64 / 1e3),
        },
    };
    if outcome.is_void() {
        let reasons: Vec<String> = outcome.void.iter().map(ToString::to_string).collect();
        point.void_because = Some(reasons.join("; "));
        return point;
    }
    point.breaches = level.breaches(&point.traffic, point.latency.as_ref());
    point.verdict = level.verdict(Quantity::ConcurrentCalls, &point.traffic, &point.breaches);
    if point.verdict == Verdict::Void {
        point.void_because = Some("nothing was sent".to_owned());
    }
    point
}

/// A run that did not come about because the gateway took no such number of calls.
pub(super) fn refused(probe: Probe, at_s: f64) -> Point {
    Point {
        calls: probe.calls,
        step: probe.step,
        at_s,
        seconds: 0.0,
        verdict: Verdict::Breaks,
        breaches: vec![report::Breach::SetUp],
        void_because: None,
        traffic: Traffic { calls_failed: probe.calls, ..Traffic::default() },
        latency: None,
        gateway: None,
        source: SourceReading::default(),
    }
}

fn traffic(outcome: &LoadOutcome) -> Traffic {
    let sum = |of: fn(&tandem_loadgen::DirectionCounts) -> u64| outcome.directions.iter().map(of).sum::<u64>();
    let (expected, lost) = (outcome.sent(), outcome.lost());
    let running = u64::from(outcome.calls.running);
    Traffic {
        calls_up: running,
        calls_failed: u64::from(outcome.spec.calls).saturating_sub(running),
        sent: expected,
        expected,
        // A packet that came twice is one that came.
        received: sum(|direction| direction.received.saturating_sub(direction.duplicated)),
        lost: lost.min(expected),
        audio_checked: running,
        audio_wrong: u64::from(outcome.calls.wrong_audio).min(running),
    }
}

fn latency(latency: &Latency) -> Option<report::Latency> {
    if latency.count() == 0 {
        return None;
    }
    let us = |ns: u64| ns as f64 / 1e3;
    // Finer than anybody can see in a plot, and few enough for a file with hundreds of runs.
    let bound = |index: i32| 10_f64.powf(f64::from(index) / PER_DECADE);
    let mut histogram: Vec<(i32, u64)> = Vec::new();
    for (ns, count) in latency.buckets() {
        let index = (us(*ns).max(1e-3).log10() * PER_DECADE).floor() as i32;
        match histogram.last_mut() {
            Some((last, sum)) if *last == index => *sum += count,
            _ => histogram.push((index, *count)),
        }
    }
    let bucket = |(index, count)| Bucket { from_us: bound(index), to_us: bound(index + 1), count };
    Some(report::Latency {
        count: latency.count(),
        p50_us: us(latency.quantile_ns(0.5)),
        p90_us: us(latency.quantile_ns(0.9)),
        p99_us: us(latency.quantile_ns(0.99)),
        p99_9_us: us(latency.quantile_ns(0.999)),
        max_us: us(latency.max_ns()),
        histogram: histogram.into_iter().map(bucket).collect(),
    })
}

#[cfg(test)]
mod tests {
    use tandem_capacity::report::{Breach, Step};
    use tandem_loadgen::{CallCounts, DirectionCounts, LoadSpec, SourceUse, VoidReason};

    use super::*;

    const PROBE: Probe = Probe { calls: 10, step: Step::Ramp };

    fn outcome() -> LoadOutcome {
        let direction = DirectionCounts { sent: 500, received: 501, duplicated: 1, ..DirectionCounts::default() };
        LoadOutcome {
            spec: LoadSpec::new("pcmu-pcma".parse().unwrap(), 10, 1),
            seconds: 1.0,
            interrupted: false,
            void: Vec::new(),
            directions: [direction; 2],
            latency: Latency::from_buckets(vec![(40_000, 900), (40_100, 90), (900_000, 10)]),
            calls: CallCounts { running: 10, ..CallCounts::default() },
            source: SourceUse { utilisation: 0.25, worst_lateness_ns: 7_000, ..SourceUse::default() },
        }
    }

    fn judged(outcome: &LoadOutcome) -> Point {
        of(outcome, PROBE, 0.0, &ServiceLevel::default(), None)
    }

    #[test]
    fn a_good_run_holds_and_keeps_its_numbers() {
        let point = judged(&outcome());
        assert_eq!((point.verdict, point.traffic.received, point.traffic.lost), (Verdict::Holds, 1000, 0));
        let latency = point.latency.unwrap();
        assert_eq!((latency.count, latency.p50_us, latency.p99_9_us), (1000, 40.0, 900.0));
        assert_eq!(latency.histogram.iter().map(|bucket| bucket.count).collect::<Vec<_>>(), [990, 10]);
        assert!(latency.histogram[0].from_us <= 40.0 && latency.histogram[0].to_us > 40.1);
        assert_eq!((point.source.busy, point.source.worst_lag_us), (Some(0.25), Some(7.0)));
    }

    #[test]
    fn each_failing_is_a_breach() {
        let mut lossy = outcome();
        lossy.directions[1].lost = 1;
        assert_eq!(judged(&lossy).breaches, [Breach::Loss]);
        let slow = LoadOutcome { latency: Latency::from_buckets(vec![(3_000_000, 5)]), ..outcome() };
        assert_eq!(judged(&slow).breaches, [Breach::Latency]);
        let wrong =
            LoadOutcome { calls: CallCounts { wrong_audio: 1, running: 10, ..CallCounts::default() }, ..outcome() };
        assert_eq!(judged(&wrong).breaches, [Breach::Audio]);
        let few = LoadOutcome { calls: CallCounts { running: 9, ..CallCounts::default() }, ..outcome() };
        assert_eq!((judged(&few).breaches, judged(&few).traffic.calls_failed), (vec![Breach::SetUp], 1));
        assert_eq!(refused(PROBE, 0.0).verdict, Verdict::Breaks);
    }

    #[test]
    fn a_void_run_breaks_nothing_whatever_was_lost() {
        let mut void = outcome();
        void.directions[0].lost = 100;
        void.void = vec![VoidReason::PortFull { packets: 4 }, VoidReason::ReceiveOverrun { packets: 2 }];
        let point = judged(&void);
        assert_eq!((point.verdict, point.breaches.len()), (Verdict::Void, 0));
        let because = point.void_because.unwrap();
        assert!(because.contains("did not take 4 packets; 2 packets"), "{because}");
    }
}
