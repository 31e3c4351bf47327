//! One mix, from the first run to the answer: the search decides, the source runs, the gateway is read.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Context, bail};
use tandem_capacity::report::{Measurement, Point, Quantity, Range, ServiceLevel, Step, Verdict};
use tandem_capacity::search::{Plan, Probe, Search};
use tandem_loadgen::{GiveUp, Impairments, LoadError, LoadRunner, LoadSpec, Progress, RateProgress};

use super::gauge::Gauge;
use super::mixes::NamedMix;
use super::point::{self, Link, Read};

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
    /// The same, of calls per second.
    RateSecond { progress: RateProgress, seconds: u32 },
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
        let level = ServiceLevel { hold_s: f64::from(method.seconds), ..method.level.clone() };
        let search = Search::new(method.plan)?;
        let measurement = Measurement {
            name: mix.name.clone(),
            quantity: Quantity::ConcurrentCalls,
            mix: mix.told(&method.impairments),
            level,
            points: Vec::new(),
            answer: search.answer(),
            binding: None,
            half_load: None,
        };
        let stop = self.stop;
        let run = |next: &Next<'_>, news: &mut dyn FnMut(News<'_>)| {
            let seconds = if next.probe.step == Step::Ramp { method.ramp_seconds } else { method.seconds };
            news(News::Begins { probe: next.probe, nth: next.nth, seconds, range: next.range });
            let calls = u32::try_from(next.probe.calls).unwrap_or(u32::MAX);
            let mut spec = LoadSpec {
                warm_up_ms: method.warm_up_ms,
                impairments: method.impairments,
                seed: method.seed,
                ..LoadSpec::new(mix.mix.clone(), calls, seconds)
            };
            spec.give_up = Some(certain(next.level, &spec));
            self.run(&spec, next, news)
        };
        Ok(searched(search, measurement, stop, &mut news, run))
    }

    /// One run; none where it was stopped before its end.
    fn run(
        &mut self,
        spec: &LoadSpec,
        next: &Next<'_>,
        news: &mut dyn FnMut(News<'_>),
    ) -> anyhow::Result<Option<Point>> {
        let Next { probe, at_s, level, .. } = *next;
        self.gauge.begin(f64::from(spec.seconds));
        let outcome = {
            let mut progress = |progress: Progress| {
                self.gauge.tick(progress.seconds);
                news(News::Second { progress, seconds: spec.seconds });
            };
            self.runner.run(spec, &mut progress, self.stop)
        };
        let read = Read { gateway: self.gauge.reading(), stops: self.gauge.stops() };
        match outcome {
            Ok(outcome) if outcome.interrupted => Ok(None),
            Ok(outcome) => Ok(Some(point::of(&outcome, probe, at_s, level, self.link, read))),
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

/// A run that a search asks for.
pub(super) struct Next<'a> {
    pub(super) probe: Probe,
    /// The `nth` of the search, and where the edge is so far.
    pub(super) nth: usize,
    pub(super) range: Option<Range>,
    /// Seconds since the search began.
    pub(super) at_s: f64,
    pub(super) level: &'a ServiceLevel,
}

/// Makes one run after the other until the search ends, someone stops it or a run cannot be made.
pub(super) fn searched(
    mut search: Search,
    mut measurement: Measurement,
    stop: &AtomicBool,
    news: &mut dyn FnMut(News<'_>),
    mut run: impl FnMut(&Next<'_>, &mut dyn FnMut(News<'_>)) -> anyhow::Result<Option<Point>>,
) -> Measured {
    let began = Instant::now();
    let ended_by = loop {
        let Some(probe) = search.next() else { break EndedBy::Itself };
        if stop.load(Ordering::Relaxed) {
            break EndedBy::Stop;
        }
        let at_s = began.elapsed().as_secs_f64();
        let next = Next { probe, nth: search.runs() + 1, range: search.range(), at_s, level: &measurement.level };
        let point = match run(&next, news) {
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
    Measured { measurement, ended_by }
}

/// From where on a run cannot hold the level any more.
fn certain(level: &ServiceLevel, spec: &LoadSpec) -> GiveUp {
    let packets = spec.packets_per_second() * f64::from(spec.seconds);
    // Where stops are left out, nothing is certain before it is known when they were.
    let slow = if level.discount_stops { packets / 3.0 } else { packets / 1e3 };
    GiveUp {
        lost: (packets * level.max_lost_ppm / 1e6) as u64,
        slow: slow as u64,
        slow_ns: (1e3 * level.max_p99_9_us) as u64,
    }
}

/// What a measurement found, in a line: `relay: 25,600 calls held, edge from 25,100 to 26,300 (95 %), 23 runs`.
pub(super) fn summary(measurement: &Measurement) -> String {
    use tandem_capacity::report::{Ended, Status};
    let answer = &measurement.answer;
    let what = match measurement.quantity {
        Quantity::ConcurrentCalls => "calls",
        Quantity::CallsPerSecond => "calls a second",
    };
    let mut text = match answer.status {
        Status::Found => format!("{} {what} held in {} runs", grouped(answer.held), answer.held_runs),
        Status::AtLeast => format!("at least {} {what} held", grouped(answer.held)),
        Status::NothingHeld => format!("not even the smallest number of {what} held"),
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
        if let Some(set_up) = &point.set_up {
            if let Some(after) = &set_up.answered_after {
                text += &format!("; answered after {:.1} ms, p99 {:.1} ms", after.p50_us / 1e3, after.p99_us / 1e3);
            }
            if let Some(busy) = set_up.control_busy {
                text += &format!("; call thread {:.0} % busy", 100.0 * busy);
            }
        } else if let Some(busy) = point.gateway.as_ref().and_then(|gateway| gateway.busiest()) {
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
    for more in [measurement.set_up_text(), measurement.stops_text()].into_iter().flatten() {
        text += &format!("\n  {more}");
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
