//! One mix, from the first run to the answer: the search decides, the source runs, the gateway is read.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Context, bail};
use tandem_capacity::report::{Measurement, Point, Quantity, Range, ServiceLevel, Step, Verdict};
use tandem_capacity::search::{Plan, Probe, Search};
use tandem_loadgen::{Impairments, LoadError, LoadRunner, LoadSpec, Progress};

use super::gauge::Gauge;
use super::mixes::NamedMix;
use super::point::{self, Link};

/// How a mix is measured.
#[derive(Clone, Debug)]
pub(super) struct Method {
    pub(super) level: ServiceLevel,
    pub(super) plan: Plan,
    /// Seconds of a run that counts.
    pub(super) seconds: u32,
    /// Seconds of a run on the way there.
    pub(super) ramp_seconds: u32,
    pub(super) warm_up_ms: u32,
    pub(super) impairments: Impairments,
    pub(super) seed: u64,
}

/// What happens, for who waits.
pub(super) enum News<'a> {
    /// A run begins, the `nth`.
    Begins { probe: Probe, nth: usize, seconds: u32, range: Option<Range> },
    /// A second of it has passed.
    Second { progress: Progress, seconds: u32 },
    /// It did not come about: the gateway refused calls.
    Refused { calls: u64, why: &'a str },
    /// It has ended; this is known so far.
    Ended { point: &'a Point, so_far: &'a Measurement },
}

/// The parts that a measurement needs.
pub(super) struct Bench<'a> {
    pub(super) runner: &'a mut dyn LoadRunner,
    pub(super) gauge: &'a mut dyn Gauge,
    pub(super) stop: &'a AtomicBool,
    pub(super) link: Link,
}

/// A measurement, and whether it was ended early.
pub(super) struct Measured {
    pub(super) measurement: Measurement,
    pub(super) ended_by: EndedBy,
}

/// What ended a measurement.
pub(super) enum EndedBy {
    /// Its own search.
    Itself,
    /// Someone who did not want to wait.
    Stop,
    /// Something that went wrong; what had been measured is there.
    Error(anyhow::Error),
}

impl Bench<'_> {
    /// Measures until the search ends, someone stops it or a run cannot be made.
    ///
    /// # Errors
    /// A plan that cannot be carried out. Whatever goes wrong later ends the measurement and is in it.
    pub(super) fn measure(
        &mut self,
        mix: &NamedMix,
        method: &Method,
        mut news: impl FnMut(News<'_>),
    ) -> anyhow::Result<Measured> {
        let mut search = Search::new(method.plan)?;
        let mut measurement = Measurement {
            name: mix.name.clone(),
            quantity: Quantity::ConcurrentCalls,
            mix: mix.told(&method.impairments),
            level: ServiceLevel { hold_s: f64::from(method.seconds), ..method.level.clone() },
            points: Vec::new(),
            answer: search.answer(),
            binding: None,
        };
        let began = Instant::now();
        let ended_by = loop {
            let Some(probe) = search.next() else { break EndedBy::Itself };
            if self.stop.load(Ordering::Relaxed) {
                break EndedBy::Stop;
            }
            let seconds = if probe.step == Step::Ramp { method.ramp_seconds } else { method.seconds };
            news(News::Begins { probe, nth: search.runs() + 1, seconds, range: search.range() });
            let spec = LoadSpec {
                warm_up_ms: method.warm_up_ms,
                impairments: method.impairments,
                seed: method.seed,
                ..LoadSpec::new(mix.mix.clone(), u32::try_from(probe.calls).unwrap_or(u32::MAX), seconds)
            };
            let at_s = began.elapsed().as_secs_f64();
            let point = match self.run(&spec, probe, at_s, &measurement.level, &mut news) {
                Ok(Some(point)) => point,
                // A run that was cut short says nothing, so it is not kept.
                Ok(None) => break EndedBy::Stop,
                Err(error) => break EndedBy::Error(error),
            };
            search.record(point.verdict);
            measurement.points.push(point);
            measurement.answer = search.answer();
            measurement.find_binding();
            if let Some(point) = measurement.points.last() {
                news(News::Ended { point, so_far: &measurement });
            }
        };
        Ok(Measured { measurement, ended_by })
    }

    /// One run; none where it was stopped before its end.
    fn run(
        &mut self,
        spec: &LoadSpec,
        probe: Probe,
        at_s: f64,
        level: &ServiceLevel,
        news: &mut impl FnMut(News<'_>),
    ) -> anyhow::Result<Option<Point>> {
        self.gauge.begin(f64::from(spec.seconds));
        let outcome = {
            let mut progress = |progress: Progress| {
                self.gauge.tick(progress.seconds);
                news(News::Second { progress, seconds: spec.seconds });
            };
            self.runner.run(spec, &mut progress, self.stop)
        };
        let reading = self.gauge.reading();
        match outcome {
            Ok(outcome) if outcome.interrupted => Ok(None),
            Ok(outcome) => Ok(Some(point::of(&outcome, probe, at_s, level, self.link, reading))),
            // A gateway that takes no more calls has an edge there. One that is gone has none.
            Err(LoadError::SetUp(_)) if self.stop.load(Ordering::Relaxed) => Ok(None),
            Err(LoadError::SetUp(why)) if probe.calls > 1 && self.gauge.answers() => {
                news(News::Refused { calls: probe.calls, why: &why });
                Ok(Some(point::refused(probe, at_s)))
            }
            Err(LoadError::SetUp(why)) if !self.gauge.answers() => {
                bail!("the gateway does not answer any more ({why}), with {} calls", probe.calls)
            }
            Err(error) => Err(error).with_context(|| format!("a run with {} calls cannot be made", probe.calls)),
        }
    }
}

/// What a measurement found, in a line: `relay: 25,600 calls held, edge from 25,100 to 26,300 (95 %), 23 runs`.
pub(super) fn summary(measurement: &Measurement) -> String {
    use tandem_capacity::report::{Ended, Status};
    let answer = &measurement.answer;
    let mut text = match answer.status {
        Status::Found => format!("{} calls held in {} runs", grouped(answer.held), answer.held_runs),
        Status::AtLeast => format!("at least {} calls held", grouped(answer.held)),
        Status::NothingHeld => "not even the smallest number of calls held".to_owned(),
        Status::Undetermined => "nothing can be told".to_owned(),
    };
    if let (Some(range), Status::Found) = (answer.range, answer.status) {
        text += &format!(
            "; the edge lies from {} to {} ({:.0} %)",
            grouped(range.low),
            grouped(range.high),
            100.0 * range.confidence
        );
    }
    if let Some(point) = measurement.points.iter().rfind(|p| p.calls == answer.held && p.verdict == Verdict::Holds) {
        if let Some(latency) = &point.latency {
            text += &format!("; p50 {:.0} us, p99.9 {:.0} us there", latency.p50_us, latency.p99_9_us);
        }
        if let Some(busy) = point.gateway.as_ref().and_then(|gateway| gateway.busiest()) {
            text += &format!("; gateway {:.0} % busy", 100.0 * busy);
        }
        if let Some(busy) = point.source.busy {
            text += &format!(", source {:.0} %", 100.0 * busy);
        }
    }
    if let Some(extrapolation) = answer.extrapolation {
        text += &format!(
            "\n  The source was at its end there, the gateway {:.0} % busy: by arithmetic about {} calls. Nobody measured that.",
            100.0 * extrapolation.utilisation,
            grouped(extrapolation.calls)
        );
    }
    if let Some(binding) = &measurement.binding {
        text += &format!("\n  {}", binding.summary);
    }
    match answer.ended {
        Ended::Budget => text += "\n  As many runs were made as were allowed: more would narrow it down.",
        Ended::Interrupted => text += "\n  Interrupted before it was done.",
        _ => {}
    }
    text
}

/// `12,345`.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
#[path = "measure_tests.rs"]
mod tests;
