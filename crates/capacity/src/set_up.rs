//! What the gateway adds to the set-up of a call, at the number that held and at half of it.

use crate::page::{micros, whole};
use crate::report::{Latency, Measurement, Point, Step, Verdict};

impl Measurement {
    /// The last run of full length that held the number that is told, and the one at half load behind it, where they tell what the gateway
    /// added to set-ups.
    pub fn set_up_delays(&self) -> Vec<(&Point, &Latency)> {
        let held = |point: &&Point| point.calls == self.answer.held && point.verdict == Verdict::Holds;
        let full = self.points.iter().rfind(|point| held(point) && point.step != Step::Ramp);
        let edge = full.or_else(|| self.points.iter().rfind(held));
        let half = self.half_load.as_ref().filter(|half| half.verdict != Verdict::Void);
        edge.into_iter().chain(half).filter_map(|point| Some((point, point.set_up.as_ref()?.added.as_ref()?))).collect()
    }

    /// The same in a sentence or two; none where nothing was told.
    pub fn set_up_text(&self) -> Option<String> {
        let delays = self.set_up_delays();
        let told = delays.iter().map(|(point, added)| {
            let half = if point.step == Step::HalfLoad { ", half of that" } else { "" };
            format!(
                "p50 {}, p99 {}, p99.9 {} at {} a second{half}",
                micros(added.p50_us),
                micros(added.p99_us),
                micros(added.p99_9_us),
                whole(point.calls)
            )
        });
        let told: Vec<String> = told.collect();
        if told.is_empty() {
            return None;
        }
        let void = self.half_load.as_ref().and_then(|half| half.void_because.as_ref());
        let void = void.map_or(String::new(), |why| format!(" The run at half load says nothing: {why}."));
        Some(format!("Added to the set-up of a call (RFC 6076): {}.{void}", told.join("; ")))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn what_is_added_is_told_at_the_edge_and_at_half_of_it() {
        let rate = sample::rate("g711", 1000);
        let told: Vec<_> = rate.set_up_delays().iter().map(|(point, added)| (point.calls, added.p99_us)).collect();
        assert_eq!(told, [(1000, 400.0), (500, 250.0)]);
        let text = rate.set_up_text().unwrap();
        assert!(text.contains("p50 160 µs, p99 400 µs, p99.9 640 µs at 1,000 a second; p50 100 µs"), "{text}");
        assert!(text.ends_with("p99.9 400 µs at 500 a second, half of that."), "{text}");
    }

    #[test]
    fn a_void_run_at_half_load_says_why_and_calls_at_once_tell_nothing() {
        let mut rate = sample::rate("g711", 1000);
        let half = rate.half_load.as_mut().unwrap();
        (half.verdict, half.void_because) = (Verdict::Void, Some("the source was late".to_owned()));
        assert_eq!(rate.set_up_delays().len(), 1);
        assert!(rate.set_up_text().unwrap().ends_with("The run at half load says nothing: the source was late."));
        assert_eq!(sample::measurement("g711", 1000).set_up_text(), None);
    }
}
