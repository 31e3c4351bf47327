//! Calls per second: the search decides, callers and callees call, the gateway's threads are read.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use tandem_capacity::report::{Measurement, Point, Quantity, ServiceLevel, Step, Verdict};
use tandem_capacity::search::{Plan, Probe, Search};
use tandem_loadgen::{
    Impairments, LoadError, RateOutcome, RateProgress, RateSpec, SipEndpoints, SourceNetwork, measure_rate,
};

use super::measure::{EndedBy, Measured, News, Next, searched};
use super::mixes::NamedMix;
use super::point::{self, ControlLoad};
use super::threads::Threads;

/// Something that sets calls up at a steady rate: the source, or a model of one in a test.
pub(super) trait RateRunner {
    /// Makes one run.
    fn run(
        &mut self,
        spec: &RateSpec,
        progress: &mut dyn FnMut(RateProgress),
        stop: &AtomicBool,
    ) -> Result<RateOutcome, LoadError>;
}

/// The source's callers and callees.
pub(super) struct SipSource {
    pub(super) endpoints: SipEndpoints,
    pub(super) network: SourceNetwork,
}

impl RateRunner for SipSource {
    fn run(
        &mut self,
        spec: &RateSpec,
        progress: &mut dyn FnMut(RateProgress),
        stop: &AtomicBool,
    ) -> Result<RateOutcome, LoadError> {
        measure_rate(spec, self.endpoints.clone(), &self.network, progress, stop)
    }
}

/// How calls per second are measured.
#[derive(Clone, Debug)]
pub(super) struct RateMethod {
    pub(super) level: ServiceLevel,
    pub(super) plan: Plan,
    /// Seconds of a run that counts, and of one on the way there.
    pub(super) seconds: u32,
    pub(super) ramp_seconds: u32,
    pub(super) warm_up_ms: u32,
    pub(super) hold_ms: u32,
}

/// The parts that it needs.
pub(super) struct RateBench<'a> {
    pub(super) runner: &'a mut dyn RateRunner,
    /// The gateway's threads, where it runs on this machine.
    pub(super) threads: Option<Threads>,
    /// They and the source have one core between them.
    pub(super) shares_core: bool,
    pub(super) stop: &'a AtomicBool,
}

impl RateBench<'_> {
    /// Measures until the search ends, someone stops it or a run cannot be made.
    ///
    /// # Errors
    /// A plan that cannot be carried out. Whatever goes wrong later ends the measurement and is in it.
    pub(super) fn measure(
        &mut self,
        mix: &NamedMix,
        method: &RateMethod,
        mut news: impl FnMut(News<'_>),
    ) -> anyhow::Result<Measured> {
        let search = Search::new(method.plan)?;
        let measurement = Measurement {
            name: mix.name.clone(),
            quantity: Quantity::CallsPerSecond,
            mix: mix.told(&Impairments::NONE),
            level: ServiceLevel { hold_s: f64::from(method.seconds), ..method.level.clone() },
            points: Vec::new(),
            answer: search.answer(),
            binding: None,
            half_load: None,
        };
        let kind = mix.mix.kinds()[0];
        let (stop, shares_core) = (self.stop, self.shares_core);
        let mut run = |next: &Next<'_>, news: &mut dyn FnMut(News<'_>)| {
            let probe = next.probe;
            let seconds = if probe.step == Step::Ramp { method.ramp_seconds } else { method.seconds };
            news(News::Begins { probe, nth: next.nth, seconds, range: next.range });
            let spec = RateSpec {
                kind,
                per_second: u32::try_from(probe.calls).unwrap_or(u32::MAX),
                seconds,
                warm_up_ms: method.warm_up_ms,
                hold_ms: method.hold_ms,
            };
            if let Some(threads) = &mut self.threads {
                threads.begin();
                threads.read();
            }
            let mut progress = |progress: RateProgress| {
                // Behind its last call a run only waits for the others to end.
                if let Some(threads) = self.threads.as_mut().filter(|_| progress.seconds <= f64::from(seconds) + 0.5) {
                    threads.read();
                }
                news(News::RateSecond { progress, seconds });
            };
            let outcome = self.runner.run(&spec, &mut progress, stop);
            let control = ControlLoad { busy: self.threads.as_ref().and_then(Threads::busiest), shares_core };
            match outcome {
                Ok(outcome) if outcome.interrupted => Ok(None),
                Ok(outcome) => Ok(Some(point::of_rate(&outcome, probe, next.at_s, next.level, control, None))),
                Err(_) if stop.load(Ordering::Relaxed) => Ok(None),
                Err(error) => {
                    Err(error).with_context(|| format!("a run of {} calls a second cannot be made", probe.calls))
                }
            }
        };
        let mut measured = searched(search, measurement, stop, &mut news, &mut run);
        if matches!(measured.ended_by, EndedBy::Itself) {
            match at_half_load(&measured.measurement, &mut news, &mut run) {
                Ok(point) => measured.measurement.half_load = point,
                Err(error) => measured.ended_by = EndedBy::Error(error),
            }
        }
        Ok(measured)
    }
}

/// One more run with half of what held, made again once where it is void; none where nothing held, or it was stopped.
fn at_half_load(
    measurement: &Measurement,
    news: &mut dyn FnMut(News<'_>),
    mut run: impl FnMut(&Next<'_>, &mut dyn FnMut(News<'_>)) -> anyhow::Result<Option<Point>>,
) -> anyhow::Result<Option<Point>> {
    let calls = measurement.answer.held.div_ceil(2);
    let at_s = measurement.points.last().map_or(0.0, |last| last.at_s + last.seconds);
    let mut found = None;
    for again in 0..2 {
        let nth = measurement.points.len() + 1 + again;
        let probe = Probe { calls, step: Step::HalfLoad };
        let next = Next { probe, nth, range: measurement.answer.range, at_s, level: &measurement.level };
        let point = if calls > 0 { run(&next, news)? } else { None };
        let Some(point) = point else { break };
        news(News::Ended { point: &point, so_far: measurement });
        let is_void = point.verdict == Verdict::Void;
        found = Some(point);
        if !is_void {
            break;
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use tandem_capacity::report::{Breach, Ended, Status, Verdict};
    use tandem_loadgen::{Latency, VoidReason};

    use super::*;
    use crate::capacity::measure::{EndedBy, summary};

    /// A gateway whose answers wait as in a queue before one server, and a source before it.
    struct Model {
        per_second: f64,
        source: f64,
        /// Calls beyond these are refused.
        room: u64,
        gone: bool,
    }

    impl RateRunner for Model {
        fn run(
            &mut self,
            spec: &RateSpec,
            progress: &mut dyn FnMut(RateProgress),
            _: &AtomicBool,
        ) -> Result<RateOutcome, LoadError> {
            if self.gone {
                return Err(LoadError::SetUp("no INVITE was answered".to_owned()));
            }
            progress(RateProgress::default());
            let rate = f64::from(spec.per_second);
            let begun = u64::from(spec.per_second) * u64::from(spec.seconds);
            let refused = if u64::from(spec.per_second) > self.room { begun / 10 } else { 0 };
            let load = (rate / self.per_second).min(0.99999);
            let answered_ns = 1e9 / self.per_second / (1.0 - load);
            let late = VoidReason::Late { packets: 9, of: 10, bound_ns: 1, worst_ns: 2 };
            let reason = ("503 Service Unavailable".to_owned(), refused);
            Ok(RateOutcome {
                spec: *spec,
                seconds: f64::from(spec.seconds),
                interrupted: false,
                void: if rate > self.source { vec![late] } else { Vec::new() },
                begun,
                completed: begun - refused,
                failed: if refused > 0 { BTreeMap::from([reason]) } else { BTreeMap::new() },
                repeated: if answered_ns > 5e8 { begun } else { 0 },
                answered_after: Latency::from_buckets(vec![(answered_ns as u64, begun - refused)]),
                added: Latency::from_buckets(vec![(answered_ns as u64 - 100_000, begun - refused)]),
                utilisation: (rate / self.source).min(1.0),
                late: 0,
                worst_lateness_ns: 0,
            })
        }
    }

    fn measured(mut model: Model) -> Measured {
        let method = RateMethod {
            level: ServiceLevel::default(),
            plan: Plan { first: 100, most: 50_000, ..Plan::default() },
            seconds: 30,
            ramp_seconds: 5,
            warm_up_ms: 500,
            hold_ms: 500,
        };
        let stop = AtomicBool::new(false);
        let mut bench = RateBench { runner: &mut model, threads: None, shares_core: false, stop: &stop };
        bench.measure(&"g711".parse().unwrap(), &method, |_| ()).unwrap()
    }

    fn model() -> Model {
        Model { per_second: 4_000.0, source: 1e6, room: u64::MAX, gone: false }
    }

    #[test]
    fn the_rate_at_which_answers_take_too_long_lies_within_the_range_that_is_told() {
        let found = measured(model()).measurement;
        // An answer takes 100 ms at one call in 400 below what it can do.
        let (edge, range) = (4_000.0 - 10.0, found.answer.range.unwrap());
        assert_eq!((found.answer.status, found.answer.ended), (Status::Found, Ended::Resolved), "{:?}", found.answer);
        assert!(range.low as f64 <= edge && edge <= range.high as f64 + 1.0, "{range:?}");
        assert!(found.points.iter().any(|point| point.breaches.contains(&Breach::SetUpDelay)));
        assert!(summary(&found).contains("calls a second held"), "{}", summary(&found));
    }

    #[test]
    fn what_the_gateway_adds_is_measured_once_more_at_half_of_what_held() {
        let found = measured(model()).measurement;
        let half = found.half_load.as_ref().unwrap();
        let held = found.answer.held;
        assert_eq!((half.calls, half.step, half.seconds), (held.div_ceil(2), Step::HalfLoad, 30.0));
        // At half load a queue before one server takes twice the time of an empty one.
        let added = half.set_up.as_ref().unwrap().added.as_ref().unwrap();
        assert!((300.0..500.0).contains(&added.p99_us), "{added:?}");
        let text = summary(&found);
        assert!(text.contains("Added to the set-up of a call") && text.contains("half of that"), "{text}");
        let nothing = measured(Model { room: 0, ..model() }).measurement;
        assert_eq!((nothing.answer.held, nothing.half_load), (0, None));
    }

    #[test]
    fn refused_calls_are_an_edge_and_a_source_at_its_end_is_none() {
        let refusing = measured(Model { room: 1_500, ..model() }).measurement;
        assert!((1_400..=1_500).contains(&refusing.answer.held), "{:?}", refusing.answer);
        let broke = refusing.points.iter().find(|point| point.verdict == Verdict::Breaks).unwrap();
        assert_eq!(broke.set_up.as_ref().unwrap().failures[0].name, "503 Service Unavailable");
        let slow = measured(Model { source: 900.0, ..model() }).measurement;
        assert_eq!((slow.answer.status, slow.answer.ended), (Status::AtLeast, Ended::Source), "{:?}", slow.answer);
        let void = slow.points.iter().find(|point| point.verdict == Verdict::Void).unwrap();
        assert!(void.void_because.as_ref().unwrap().contains("9 of 10 INVITEs left more than"), "{void:?}");
    }

    #[test]
    fn a_gateway_that_answers_nothing_ends_the_measurement() {
        let EndedBy::Error(error) = measured(Model { gone: true, ..model() }).ended_by else { panic!("it went on") };
        assert!(format!("{error:#}").contains("100 calls a second cannot be made"), "{error:#}");
    }
}
