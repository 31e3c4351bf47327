//! What stops did to a measurement, in words.

use crate::page::short;
use crate::report::{Breach, Measurement, Point, Stops};

impl Measurement {
    /// How often something else had the cores, and what that means for the answer; none where nobody looked or nothing was seen.
    pub fn stops_text(&self) -> Option<String> {
        let looked: Vec<(&Point, &Stops)> =
            self.points.iter().filter_map(|point| Some((point, point.stops.as_ref()?))).collect();
        let seconds: f64 = looked.iter().map(|(point, _)| point.seconds).sum();
        let source_ms: f64 = looked.iter().map(|(_, stops)| stops.source_ms).sum();
        let gateway_ms: Option<f64> = looked.iter().map(|(_, stops)| stops.gateway_ms).sum();
        if seconds <= 0.0 || source_ms + gateway_ms.unwrap_or(0.0) <= 0.0 {
            return None;
        }
        let longest = looked.iter().map(|(_, stops)| stops.longest_ms).fold(0.0, f64::max);
        let of_gateway = match gateway_ms {
            Some(ms) => format!("the gateway's for {} ms", rounded(ms / seconds)),
            None => "the gateway does not tell".to_owned(),
        };
        let mut text = format!(
            "Something else had the source's core for {} ms of each second, {of_gateway}, at most {} ms at a stretch.",
            rounded(source_ms / seconds),
            rounded(longest)
        );
        if self.level.discount_stops {
            let left_out: u64 = looked.iter().map(|(_, stops)| stops.packets).sum();
            let all: u64 = looked.iter().map(|(point, _)| point.traffic.received).sum();
            let percent = 100.0 * left_out as f64 / all.max(1) as f64;
            text += &format!(
                " Latency is judged without the {} % of packets that came then or soon after.",
                rounded(percent)
            );
            return Some(text);
        }
        let blamed = looked.iter().filter(|(point, stops)| {
            let without = stops.p99_9_without_us.is_some_and(|us| us <= self.level.max_p99_9_us);
            point.breaches == [Breach::Latency] && without
        });
        let runs = match blamed.count() {
            0 => return Some(text),
            1 => "One run was".to_owned(),
            runs => format!("{runs} runs were"),
        };
        text += &format!(
            " {runs} too slow only then or soon after: with --discount-stops latency is judged without that; cores of their own have none of it."
        );
        Some(text)
    }
}

/// To a hundredth, or a tenth from ten on.
fn rounded(value: f64) -> String {
    let digits = if value < 10.0 { 100.0 } else { 10.0 };
    short((value * digits).round() / digits)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::report::{ServiceLevel, Verdict, sample};

    fn stopped(level: ServiceLevel) -> Measurement {
        let mut measurement = Measurement { level, ..sample::measurement("m", 1000) };
        for point in &mut measurement.points {
            point.stops = Some(Stops {
                source_ms: 60.0,
                gateway_ms: Some(45.0),
                longest_ms: 4.0,
                packets: point.traffic.received / 20,
                p99_9_without_us: Some(500.0),
                ..Stops::default()
            });
            if point.verdict == Verdict::Breaks {
                point.breaches = vec![Breach::Latency];
            }
        }
        measurement
    }

    #[test]
    fn stops_are_told_with_what_they_are_to_blame_for() {
        let text = stopped(ServiceLevel::default()).stops_text().unwrap();
        assert!(
            text.contains("source's core for 2 ms of each second, the gateway's for 1.5 ms, at most 4 ms"),
            "{text}"
        );
        assert!(text.contains("2 runs were too slow only then or soon after: with --discount-stops"), "{text}");
        let level = ServiceLevel { discount_stops: true, ..ServiceLevel::default() };
        let text = stopped(level).stops_text().unwrap();
        assert!(text.ends_with("judged without the 5 % of packets that came then or soon after."), "{text}");
        assert_eq!(sample::measurement("m", 1000).stops_text(), None, "nobody looked");
    }
}
