//! A run for people: one line a second, and a table at the end.

use std::fmt::Write as _;

use tandem_loadgen::{Latency, LoadOutcome, Progress};

/// A second of a run.
pub(super) fn line(progress: &Progress) -> String {
    let Progress { seconds, calls, sent, received, lost, wrong_audio, p99_ns, utilisation } = *progress;
    let when = if seconds < 0.0 { "warm-up".to_owned() } else { format!("{seconds:.0} s") };
    format!(
        "{when:>8}  {calls} calls  sent {sent}/s  received {received}/s  lost {lost}  wrong audio {wrong_audio}  p99 {}  source busy {:.0} %",
        duration(p99_ns),
        100.0 * utilisation
    )
}

/// What a run showed.
pub(super) fn table(outcome: &LoadOutcome) -> String {
    let mut text = String::new();
    let mut row = |name: &str, value: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {name:<18}{value}");
    };
    let spec = &outcome.spec;
    row("mix", spec.mix.to_string());
    row("calls", format!("{} of {}", outcome.calls.running, spec.calls));
    let early = if outcome.interrupted { ", ended early" } else { "" };
    row("measured", format!("{:.1} s{early}", outcome.seconds));
    for (name, direction) in ["A to B", "B to A"].into_iter().zip(&outcome.directions) {
        let more = [
            (direction.duplicated, "duplicated"),
            (direction.reordered, "out of order"),
            (direction.wrong_audio, "with wrong audio"),
            (direction.withheld, "withheld by the source"),
        ];
        let more: String =
            more.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!(", {count} {what}")).collect();
        row(name, format!("{} sent, {} received, {} lost{more}", direction.sent, direction.received, direction.lost));
    }
    row(
        "calls with",
        format!(
            "loss {}, wrong audio {}, one way only {}",
            outcome.calls.with_loss, outcome.calls.wrong_audio, outcome.calls.one_way
        ),
    );
    row("latency", quantiles(&outcome.latency));
    if let Some(added) = &outcome.set_up_added {
        row("added to set-ups", format!("{}, INVITE to 200 without the callee's part", quantiles(added)));
    }
    let source = &outcome.source;
    row(
        "source",
        format!(
            "busy {:.1} %, {} packets late, the worst by {}, {} not sent, {} overrun",
            100.0 * source.utilisation,
            source.late_packets,
            duration(source.worst_lateness_ns),
            source.unsent,
            source.receive_overruns
        ),
    );
    text
}

fn quantiles(latency: &Latency) -> String {
    let told = [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)]
        .map(|(name, quantile)| format!("{name} {}", duration(latency.quantile_ns(quantile))));
    format!("{}, most {}", told.join(", "), duration(latency.max_ns()))
}

/// Nanoseconds in the unit that suits them.
fn duration(ns: u64) -> String {
    match ns {
        0..10_000 => format!("{ns} ns"),
        10_000..10_000_000 => format!("{:.0} us", ns as f64 / 1e3),
        _ => format!("{:.1} ms", ns as f64 / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_their_unit() {
        assert_eq!([999, 12_345, 45_600_000].map(duration), ["999 ns", "12 us", "45.6 ms"]);
    }

    #[test]
    fn a_line_says_when_and_what() {
        let progress =
            Progress { seconds: -0.5, calls: 7, sent: 700, received: 699, p99_ns: 40_000, ..Progress::default() };
        assert!(line(&progress).starts_with(" warm-up  7 calls  sent 700/s  received 699/s  lost 0"));
    }
}
