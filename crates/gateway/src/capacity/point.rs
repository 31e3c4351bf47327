//! A run of the source as a point of a report.

use tandem_capacity::report::{
    self, Breach, Bucket, Count, GatewayReading, Point, Quantity, ServiceLevel, SetUp, SourceReading, Stops, Traffic,
    Verdict,
};
use tandem_capacity::search::Probe;
use tandem_contract::Stop;
use tandem_loadgen::{Latency, LoadOutcome, RateOutcome, Undisturbed, VoidReason};

/// Buckets of a report's histogram to a factor of ten.
const PER_DECADE: f64 = 24.0;
/// A worker this busy has no time left.
const FULL: f64 = 0.97;
/// Packets that a port may take late as a share of all, without anybody being behind.
const HELD_UP: f64 = 0.001;
/// Packets that a source may send late, as a share of all: what the source itself goes by.
const LATE: f64 = 0.001;
/// Where less is left of a run without stops, nothing is told from it.
const LEAST_LEFT: f64 = 0.5;

/// Who is to blame where a port's ring is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Link {
    /// Source and gateway have a port each, and something between.
    Apart,
    /// They share the rings of a memif: what the source sends into is the gateway's receive queue, and the other way
    /// round.
    SharedRings,
}

/// What was read of the gateway after a run.
#[derive(Clone, Debug, Default)]
pub(super) struct Read {
    /// What it counted.
    pub(super) gateway: Option<GatewayReading>,
    /// When something else had its cores, on the source's clock.
    pub(super) stops: Option<Vec<Stop>>,
}

/// What a run says, under a service level.
pub(super) fn of(
    outcome: &LoadOutcome,
    probe: Probe,
    at_s: f64,
    level: &ServiceLevel,
    link: Link,
    Read { gateway, stops }: Read,
) -> Point {
    let undisturbed = outcome.timeline.undisturbed(stops.as_deref().unwrap_or_default());
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
        set_up: None,
        given_up: outcome.given_up,
        stops: Some(stops_of(outcome, stops.as_deref(), undisturbed.as_ref())),
    };
    let backlog = link == Link::SharedRings && gateway_is_behind(outcome, point.gateway.as_ref());
    let reasons = void_reasons(outcome, undisturbed.as_ref().filter(|_| level.discount_stops));
    if !reasons.is_empty() && !backlog {
        point.void_because = Some(reasons.join("; "));
        return point;
    }
    point.breaches = level.breaches(&point.traffic, point.latency.as_ref(), point.stops.as_ref());
    if backlog {
        // What else is seen may be the source's.
        point.breaches = vec![Breach::Backlog];
    }
    // The gateway's transmit ring is the source's receive queue: who did not empty it lost what is missing.
    let untaken = point.gateway.as_ref().map_or(0, |gateway| gateway.drops("transmit_queue_full"));
    if link == Link::SharedRings && untaken > 0 && point.breaches == [Breach::Loss] {
        point.breaches.clear();
        point.void_because =
            Some(format!("the source did not take {untaken} packets from the ring that it shares with the gateway"));
        return point;
    }
    point.verdict = level.verdict(Quantity::ConcurrentCalls, &point.traffic, &point.breaches);
    if point.verdict == Verdict::Void {
        point.void_because = Some("nothing was sent".to_owned());
    }
    point
}

/// Why a run is void, where `rest` is what is left of it if stops are discounted.
fn void_reasons(outcome: &LoadOutcome, rest: Option<&Undisturbed>) -> Vec<String> {
    let Some(rest) = rest else { return outcome.void.iter().map(ToString::to_string).collect() };
    let came = rest.packets + rest.left_out;
    let left = if came == 0 { 1.0 } else { rest.packets as f64 / came as f64 };
    let stands = |reason: &&VoidReason| match reason {
        VoidReason::Late { of, .. } => rest.late as f64 > LATE * *of as f64 * left,
        _ => true,
    };
    let mut reasons: Vec<String> = outcome.void.iter().filter(stands).map(ToString::to_string).collect();
    if left < LEAST_LEFT {
        let percent = 100.0 * (1.0 - left);
        reasons.push(format!(
            "something else had the cores too often: {percent:.0} % of the packets came then or soon after"
        ));
    }
    reasons
}

fn stops_of(outcome: &LoadOutcome, gateway: Option<&[Stop]>, rest: Option<&Undisturbed>) -> Stops {
    let timeline = &outcome.timeline;
    let within = |stops: &[Stop]| -> Vec<u64> {
        stops.iter().filter(|stop| timeline.spans(**stop)).map(|stop| stop.ns()).collect()
    };
    let (source, gateway) = (within(timeline.stops()), gateway.map(within));
    let ms = |stops: &Vec<u64>| stops.iter().sum::<u64>() as f64 / 1e6;
    let longest = source.iter().chain(gateway.iter().flatten()).max();
    Stops {
        source_count: source.len() as u64,
        source_ms: ms(&source),
        gateway_count: gateway.as_ref().map(|stops| stops.len() as u64),
        gateway_ms: gateway.as_ref().map(ms),
        longest_ms: longest.map_or(0.0, |ns| *ns as f64 / 1e6),
        packets: rest.map_or(0, |rest| rest.left_out),
        lost: rest.map_or(0, |rest| rest.lost_left_out),
        p99_9_without_us: rest.filter(|rest| rest.packets > 0).map(|rest| rest.p99_9_ns as f64 / 1e3),
    }
}

/// Whether a gateway without time did not take what was sent, so that the source was held up. Whatever else then went wrong
/// at the source, this is sure.
fn gateway_is_behind(outcome: &LoadOutcome, gateway: Option<&GatewayReading>) -> bool {
    let by_the_port = |reason: &VoidReason| {
        matches!(reason, VoidReason::Late { .. } | VoidReason::PortFull { .. } | VoidReason::Saturated { .. })
    };
    let full = gateway.and_then(GatewayReading::busiest).is_some_and(|busy| busy >= FULL);
    let held_up = outcome.source.held_up as f64 > HELD_UP * outcome.sent() as f64;
    full && held_up && outcome.void.iter().any(by_the_port)
}

/// A run that did not come about because the gateway took no such number of calls.
pub(super) fn refused(probe: Probe, at_s: f64) -> Point {
    Point {
        calls: probe.calls,
        step: probe.step,
        at_s,
        seconds: 0.0,
        verdict: Verdict::Breaks,
        breaches: vec![Breach::SetUp],
        void_because: None,
        traffic: Traffic { calls_failed: probe.calls, ..Traffic::default() },
        latency: None,
        gateway: None,
        source: SourceReading::default(),
        set_up: None,
        given_up: false,
        stops: None,
    }
}

/// How busy the gateway's threads were that handle calls.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct ControlLoad {
    /// The busiest one's share of a core.
    pub(super) busy: Option<f64>,
    /// It had a core with the source.
    pub(super) shares_core: bool,
}

/// What a run of so many calls a second says.
pub(super) fn of_rate(
    outcome: &RateOutcome,
    probe: Probe,
    at_s: f64,
    level: &ServiceLevel,
    control: ControlLoad,
    gateway: Option<GatewayReading>,
) -> Point {
    let failures = outcome.failed.iter().map(|(name, count)| Count { name: name.clone(), count: *count }).collect();
    let traffic = Traffic { calls_up: outcome.completed, calls_failed: outcome.failures(), ..Traffic::default() };
    let set_up = SetUp {
        answered_after: latency(&outcome.answered_after),
        added: latency(&outcome.added),
        repeated: outcome.repeated,
        failures,
        control_busy: control.busy,
        shares_core: control.shares_core,
    };
    let is_short = outcome.seconds + 0.5 < f64::from(outcome.spec.seconds);
    let mut point = Point {
        calls: probe.calls,
        step: probe.step,
        at_s,
        seconds: outcome.seconds,
        verdict: Verdict::Void,
        breaches: Vec::new(),
        void_because: None,
        traffic,
        latency: None,
        gateway,
        source: SourceReading {
            busy: Some(outcome.utilisation.clamp(0.0, 1.0)),
            worst_lag_us: Some(outcome.worst_lateness_ns as f64 / 1e3),
        },
        set_up: Some(set_up),
        given_up: is_short && !outcome.interrupted,
        stops: None,
    };
    if !outcome.void.is_empty() {
        let reasons: Vec<String> = outcome.void.iter().map(|reason| reason.told_of("INVITEs")).collect();
        point.void_because = Some(reasons.join("; "));
        return point;
    }
    if let Some(set_up) = &point.set_up {
        point.breaches = level.set_up_breaches(&point.traffic, set_up);
    }
    point.verdict = level.verdict(Quantity::CallsPerSecond, &point.traffic, &point.breaches);
    if point.verdict == Verdict::Void {
        point.void_because = Some("no call was begun".to_owned());
    }
    point
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
    use tandem_capacity::report::{Core, Count, Step};
    use tandem_loadgen::{CallCounts, DirectionCounts, LoadSpec, SourceUse, Timeline};

    use super::*;

    const PROBE: Probe = Probe { calls: 10, step: Step::Ramp };

    fn outcome() -> LoadOutcome {
        let direction = DirectionCounts { sent: 500, received: 501, duplicated: 1, ..DirectionCounts::default() };
        LoadOutcome {
            spec: LoadSpec::new("pcmu-pcma".parse().unwrap(), 10, 1),
            seconds: 1.0,
            interrupted: false,
            given_up: false,
            void: Vec::new(),
            directions: [direction; 2],
            latency: Latency::from_buckets(vec![(40_000, 900), (40_100, 90), (900_000, 10)]),
            calls: CallCounts { running: 10, ..CallCounts::default() },
            source: SourceUse { utilisation: 0.25, worst_lateness_ns: 7_000, ..SourceUse::default() },
            set_up_added: None,
            timeline: Timeline::default(),
        }
    }

    fn judged(outcome: &LoadOutcome) -> Point {
        of(outcome, PROBE, 0.0, &ServiceLevel::default(), Link::Apart, Read::default())
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

    fn over_a_memif(outcome: &LoadOutcome, busy: f64, drops: Vec<Count>) -> Point {
        let cores = vec![Core { busy, drops, ..Core::default() }];
        let gateway = GatewayReading { cores, ..GatewayReading::default() };
        let read = Read { gateway: Some(gateway), stops: None };
        of(outcome, PROBE, 0.0, &ServiceLevel::default(), Link::SharedRings, read)
    }

    #[test]
    fn a_source_held_up_by_a_full_gateway_is_the_gateways_edge_and_by_an_idle_one_is_void() {
        let mut outcome = outcome();
        outcome.void = vec![VoidReason::Late { packets: 9, of: 10, bound_ns: 1, worst_ns: 2 }];
        outcome.source.held_up = 9;
        let behind = over_a_memif(&outcome, 1.0, Vec::new());
        assert_eq!((behind.verdict, behind.breaches), (Verdict::Breaks, vec![Breach::Backlog]));
        assert_eq!(over_a_memif(&outcome, 0.5, Vec::new()).verdict, Verdict::Void);
        assert_eq!(judged(&outcome).verdict, Verdict::Void, "ports of their own");
        outcome.void.push(VoidReason::ReceiveOverrun { packets: 1 });
        assert_eq!(
            over_a_memif(&outcome, 1.0, Vec::new()).breaches,
            [Breach::Backlog],
            "and lost on the source's side"
        );
        outcome.source.held_up = 1;
        assert_eq!(over_a_memif(&outcome, 1.0, Vec::new()).verdict, Verdict::Void, "late by itself");
        outcome.source.held_up = 9;
        outcome.void.remove(0);
        assert_eq!(over_a_memif(&outcome, 1.0, Vec::new()).verdict, Verdict::Void, "lost on the source's side alone");
    }

    #[test]
    fn what_the_source_left_in_the_shared_ring_is_no_loss_of_the_gateways() {
        let mut outcome = outcome();
        outcome.directions[0].lost = 5;
        let drops = vec![Count { name: "transmit_queue_full".to_owned(), count: 5 }];
        let point = over_a_memif(&outcome, 0.9, drops);
        assert!(point.verdict == Verdict::Void && point.void_because.unwrap().contains("did not take 5 packets"));
        assert_eq!(over_a_memif(&outcome, 0.9, Vec::new()).verdict, Verdict::Breaks);
    }
}
