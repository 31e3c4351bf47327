//! What who waits sees.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use tandem_capacity::report::{Breach, Point, Step, Verdict};

use super::measure::{News, grouped};

/// A line that is renewed each second on a terminal; a line for each run everywhere.
pub(super) struct Display {
    bar: ProgressBar,
    mix: String,
    began: Instant,
    /// Of the run under way.
    run: String,
}

impl Display {
    pub(super) fn new() -> Self {
        // Where nobody looks, runs are told when they have ended; that is enough.
        let bar = if std::io::stderr().is_terminal() { ProgressBar::new(1) } else { ProgressBar::hidden() };
        if let Ok(style) = ProgressStyle::with_template("{prefix} {bar:20} {msg}") {
            bar.set_style(style);
        }
        Self { bar, mix: String::new(), began: Instant::now(), run: String::new() }
    }

    /// The next mix, `nth` of so many.
    pub(super) fn mix(&mut self, name: &str, nth: usize, of: usize) {
        self.mix = if of > 1 { format!("{name} ({nth} of {of})") } else { name.to_owned() };
        self.began = Instant::now();
        self.bar.set_prefix(self.mix.clone());
    }

    pub(super) fn news(&mut self, news: &News<'_>) {
        match news {
            News::Begins { probe, nth, seconds, range } => {
                let range = range.map_or_else(String::new, |range| {
                    format!(", edge from {} to {} so far", grouped(range.low), grouped(range.high))
                });
                self.run = format!("run {nth}: {} calls, {}{range}", grouped(probe.calls), step(probe.step));
                self.bar.set_length(u64::from(*seconds));
                self.bar.set_position(0);
                self.bar.set_message(format!("{}: setting up", self.run));
            }
            News::Second { progress, seconds } => {
                self.bar.set_position(progress.seconds.max(0.0) as u64);
                let phase = if progress.seconds < 0.0 {
                    "warms up".to_owned()
                } else {
                    format!("{:.0} of {seconds} s", progress.seconds)
                };
                self.bar.set_message(format!(
                    "{}: {phase}, {} packets/s, {} lost, p99 {:.0} us, source {:.0} % busy",
                    self.run,
                    grouped(progress.sent),
                    grouped(progress.lost),
                    progress.p99_ns as f64 / 1e3,
                    100.0 * progress.utilisation
                ));
            }
            News::RateSecond { progress, seconds } => {
                self.bar.set_position(progress.seconds.max(0.0) as u64);
                self.bar.set_message(format!(
                    "{}: {:.0} of {seconds} s, {} calls begun, {} open, {} failed, {} messages sent again, p99 {:.1} ms",
                    self.run,
                    progress.seconds,
                    grouped(progress.begun),
                    grouped(progress.open),
                    grouped(progress.failed),
                    grouped(progress.repeated),
                    progress.p99_ns as f64 / 1e6
                ));
            }
            News::Refused { calls, why } => self.say(&format!("{} calls were refused: {why}", grouped(*calls))),
            News::Ended { point, .. } => self.say(&line(point, self.began.elapsed())),
        }
    }

    /// A line that stays.
    pub(super) fn say(&self, text: &str) {
        if self.bar.is_hidden() {
            eprintln!("{text}");
        } else {
            self.bar.println(text);
        }
    }

    pub(super) fn done(&self) {
        self.bar.finish_and_clear();
    }
}

const fn step(step: Step) -> &'static str {
    match step {
        Step::Ramp => "upwards",
        Step::Bisect => "narrowing down",
        Step::Edge => "once more at the edge",
        Step::HalfLoad => "at half load",
    }
}

/// A run in a line.
fn line(point: &Point, since: Duration) -> String {
    let verdict = match point.verdict {
        Verdict::Holds => "holds",
        Verdict::Breaks => "breaks",
        Verdict::Void => "void",
    };
    let mut text = format!("{:>5} s  {:>9} calls  {verdict:<6}", since.as_secs(), grouped(point.calls));
    if let Some(because) = &point.void_because {
        return text + "  " + because;
    }
    for breach in &point.breaches {
        text += &match breach {
            Breach::Loss => {
                format!("  {} of {} packets lost", grouped(point.traffic.lost), grouped(point.traffic.expected))
            }
            Breach::Latency => {
                let without = point.stops.as_ref().and_then(|stops| stops.p99_9_without_us);
                without.map_or("  too slow".to_owned(), |us| format!("  too slow (p99.9 without stops {us:.0} us)"))
            }
            Breach::Audio => format!("  wrong audio in {} calls", grouped(point.traffic.audio_wrong)),
            Breach::Backlog => "  packets not taken in time".to_owned(),
            Breach::SetUp => format!("  {} calls not set up", grouped(point.traffic.calls_failed)),
            Breach::SetUpDelay => "  answered too late".to_owned(),
            Breach::Repeated => {
                let repeated = point.set_up.as_ref().map_or(0, |set_up| set_up.repeated);
                format!("  {} messages sent again", grouped(repeated))
            }
        };
    }
    if let Some(set_up) = &point.set_up {
        for failure in &set_up.failures {
            text += &format!("  {} x {}", grouped(failure.count), failure.name);
        }
        if let Some(after) = &set_up.answered_after {
            text += &format!("  answered after {:.1} ms, p99 {:.1} ms", after.p50_us / 1e3, after.p99_us / 1e3);
        }
        if let Some(added) = &set_up.added {
            text += &format!(", added p99 {:.2} ms", added.p99_us / 1e3);
        }
        if let Some(busy) = set_up.control_busy {
            text += &format!("  call thread {:.0} %", 100.0 * busy);
        }
    }
    if let Some(latency) = &point.latency {
        text += &format!("  p50 {:.0} us, p99.9 {:.0} us", latency.p50_us, latency.p99_9_us);
    }
    if let Some(busy) = point.gateway.as_ref().and_then(|gateway| gateway.busiest()) {
        text += &format!("  gateway {:.0} %", 100.0 * busy);
    }
    if let Some(busy) = point.source.busy {
        text += &format!(", source {:.0} %", 100.0 * busy);
    }
    if let Some(stops) = point.stops.as_ref().filter(|stops| stops.longest_ms > 0.0) {
        let ms = stops.source_ms + stops.gateway_ms.unwrap_or(0.0);
        text += &format!("  stopped {ms:.1} ms, at most {:.1}", stops.longest_ms);
    }
    text
}
