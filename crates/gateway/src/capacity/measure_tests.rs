//! Measurements of gateways that are not there.

use tandem_capacity::report::{Breach, Ended, GatewayReading, Limit, Status};
use tandem_capacity::report::{Core, StageTime};
use tandem_loadgen::{CallCounts, DirectionCounts, Latency, LoadOutcome, SourceUse, Timeline, VoidReason};

use super::*;

/// A gateway, and a source before it, whose time is arithmetic: packets wait as in a queue before one server, and are lost
/// once it is full.
struct Model {
    /// Nanoseconds that a packet costs the gateway, and the source.
    gateway_ns: f64,
    source_ns: f64,
    /// Calls beyond these are refused.
    room: u64,
    runs: u32,
    /// Sets `stop` in this run.
    stops_in: Option<u32>,
    /// The gateway is gone from this run on.
    gone_in: Option<u32>,
    /// Every so many runs the source is late for no reason of the gateway's.
    hiccup: u32,
}

impl Model {
    fn new(gateway_ns: f64) -> Self {
        Self { gateway_ns, source_ns: 50.0, room: 100_000, runs: 0, stops_in: None, gone_in: None, hiccup: 0 }
    }

    /// The number of calls at which packets wait for 2 ms; a call is 100 packets a second.
    fn edge(&self) -> f64 {
        let load = 1.0 - self.gateway_ns / (2e6 - self.gateway_ns);
        load * 1e9 / (100.0 * self.gateway_ns)
    }
}

/// What the model gateway would tell.
#[derive(Default)]
struct ModelGauge {
    busy: std::rc::Rc<std::cell::Cell<f64>>,
    gone: std::rc::Rc<std::cell::Cell<bool>>,
}

impl Gauge for ModelGauge {
    fn begin(&mut self, _: f64) {}

    fn tick(&mut self, _: f64) {}

    fn reading(&mut self) -> Option<GatewayReading> {
        let stages = vec![StageTime { stage: "relay".to_owned(), share: 1.0 }];
        let core = Core { busy: self.busy.get(), stages, ..Core::default() };
        Some(GatewayReading { cores: vec![core], ..GatewayReading::default() })
    }

    fn answers(&mut self) -> bool {
        !self.gone.get()
    }
}

struct Pair {
    model: Model,
    busy: std::rc::Rc<std::cell::Cell<f64>>,
    gone: std::rc::Rc<std::cell::Cell<bool>>,
}

impl LoadRunner for Pair {
    fn run(
        &mut self,
        spec: &LoadSpec,
        progress: &mut dyn FnMut(Progress),
        stop: &AtomicBool,
    ) -> Result<LoadOutcome, LoadError> {
        let model = &mut self.model;
        model.runs += 1;
        if model.gone_in.is_some_and(|run| model.runs >= run) {
            self.gone.set(true);
            return Err(LoadError::SetUp("connection refused".to_owned()));
        }
        if u64::from(spec.calls) > model.room {
            return Err(LoadError::SetUp("503, as many as there may be".to_owned()));
        }
        let interrupted = model.stops_in == Some(model.runs);
        if interrupted {
            stop.store(true, Ordering::Relaxed);
        }
        progress(Progress::default());
        let packets = u64::from(spec.calls) * 100 * u64::from(spec.seconds);
        let rate = f64::from(spec.calls) * 100.0;
        let (load, source) = (rate * model.gateway_ns / 1e9, rate * model.source_ns / 1e9);
        self.busy.set(load.min(1.0));
        let lost = if load > 1.0 { (packets as f64 * (1.0 - 1.0 / load)).ceil() as u64 } else { 0 };
        let waits = model.gateway_ns * (1.0 + load / (1.0 - load.min(0.999)));
        let hiccup = model.hiccup > 0 && model.runs.is_multiple_of(model.hiccup);
        let late = VoidReason::Late { packets: 1, of: packets, bound_ns: 1, worst_ns: 2 };
        let direction = DirectionCounts {
            sent: packets / 2,
            received: (packets - lost) / 2,
            lost: lost / 2,
            ..DirectionCounts::default()
        };
        Ok(LoadOutcome {
            spec: spec.clone(),
            seconds: f64::from(spec.seconds),
            interrupted,
            given_up: false,
            void: if source > 0.95 || hiccup { vec![late] } else { Vec::new() },
            directions: [direction; 2],
            latency: Latency::from_buckets(vec![(waits as u64, packets - lost)]),
            calls: CallCounts { running: spec.calls, ..CallCounts::default() },
            source: SourceUse { utilisation: source, ..SourceUse::default() },
            set_up_added: None,
            timeline: Timeline::default(),
        })
    }
}

fn method() -> Method {
    Method {
        level: ServiceLevel::default(),
        plan: Plan { first: 100, ..Plan::default() },
        seconds: 30,
        ramp_seconds: 5,
        warm_up_ms: 1_000,
        impairments: Impairments::NONE,
        seed: 0,
    }
}

fn measured(model: Model) -> Measured {
    let gauge = &mut ModelGauge::default();
    let mut pair = Pair { model, busy: gauge.busy.clone(), gone: gauge.gone.clone() };
    let stop = AtomicBool::new(false);
    let mut bench = Bench { runner: &mut pair, gauge, stop: &stop, link: Link::Apart };
    bench.measure(&"relay".parse().unwrap(), &method(), |_| ()).unwrap()
}

#[test]
fn a_known_capacity_lies_within_the_range_that_is_told() {
    for gateway_ns in [400.0, 1_300.0, 9_000.0, 70_000.0] {
        let model = Model::new(gateway_ns);
        let edge = model.edge();
        let found = measured(model).measurement;
        let (answer, range) = (&found.answer, found.answer.range.unwrap());
        assert_eq!((answer.status, answer.ended), (Status::Found, Ended::Resolved), "{gateway_ns}");
        assert!(range.low as f64 <= edge && edge <= range.high as f64 + 1.0, "{edge}: {range:?}");
        assert!(answer.held as f64 <= edge && answer.held as f64 > 0.9 * edge, "{edge}: {answer:?}");
        assert_eq!(found.binding.unwrap().limit, Limit::CoreCycles);
        assert_eq!(answer.extrapolation, None);
    }
}

#[test]
fn a_gateway_that_is_slowed_down_is_found_lower_by_as_much() {
    let held = |gateway_ns| measured(Model::new(gateway_ns)).measurement.answer.held as f64;
    let ratio = held(1_500.0) / held(500.0);
    assert!((ratio - 1.0 / 3.0).abs() < 0.02, "{ratio}");
}

#[test]
fn a_source_that_is_late_now_and_then_costs_the_gateway_nothing() {
    let steady = measured(Model::new(1_000.0)).measurement.answer;
    let shaken = measured(Model { hiccup: 4, ..Model::new(1_000.0) }).measurement;
    assert!(shaken.answer.void_runs > 2);
    assert!(shaken.points.iter().all(|point| point.verdict != Verdict::Void || point.breaches.is_empty()));
    let (steady, shaken) = (steady.held as f64, shaken.answer.held as f64);
    assert!((shaken / steady - 1.0).abs() < 0.04, "{shaken} of {steady}");
}

#[test]
fn where_the_source_ends_first_the_rest_is_estimated_and_marked() {
    let found = measured(Model { source_ns: 2_000.0, ..Model::new(500.0) }).measurement;
    assert_eq!((found.answer.status, found.answer.ended), (Status::AtLeast, Ended::Source));
    assert_eq!(found.binding.as_ref().unwrap().limit, Limit::Source);
    let extrapolation = found.answer.extrapolation.unwrap();
    assert!((extrapolation.calls as f64 / 20_000.0 - 1.0).abs() < 0.03, "{extrapolation:?}");
    assert!(summary(&found).contains("Nobody measured that"), "{}", summary(&found));
}

#[test]
fn a_gateway_that_refuses_calls_has_its_edge_there() {
    let found = measured(Model { room: 3_000, ..Model::new(500.0) }).measurement;
    assert!(found.answer.held <= 3_000 && found.answer.held > 2_700, "{:?}", found.answer);
    assert!(found.points.iter().any(|point| point.breaches == [Breach::SetUp]));
    assert_eq!(found.binding.unwrap().limit, Limit::Configuration);
}

#[test]
fn what_was_measured_before_an_interruption_is_kept() {
    let found = measured(Model { stops_in: Some(4), ..Model::new(500.0) });
    assert!(matches!(found.ended_by, EndedBy::Stop));
    assert_eq!(found.measurement.points.len(), 3, "the run that was cut short is left out");
    assert_eq!((found.measurement.answer.held, found.measurement.answer.ended), (400, Ended::Interrupted));
}

#[test]
fn a_gateway_that_is_gone_ends_the_measurement_with_what_is_there() {
    let found = measured(Model { gone_in: Some(3), ..Model::new(500.0) });
    let EndedBy::Error(error) = found.ended_by else { panic!("it went on") };
    assert!(error.to_string().contains("does not answer any more"), "{error}");
    assert_eq!((found.measurement.points.len(), found.measurement.answer.held), (2, 200));
}

#[test]
fn numbers_are_grouped_for_people() {
    assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
}
