//! The plots of one measurement.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::super::plot::{Axis, Plot, Scale, Unit};
use super::super::{escape, key, micros, short, whole};
use super::breaches;
use crate::report::{Latency, Measurement, Point, Quantity, StageTime, Step, Verdict};

const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 300.0;
/// Colours of stages, in the order they come.
const STAGES: [&str; 7] = ["a", "d", "c", "b", "e", "f", "g"];

fn card(title: &str, small: &str, inside: &str) -> String {
    format!("<div class=\"card\"><h3>{title}<small>{small}</small></h3>\n{inside}</div>\n")
}

fn calls_title(measurement: &Measurement) -> &'static str {
    match measurement.quantity {
        Quantity::ConcurrentCalls => "concurrent calls",
        Quantity::CallsPerSecond => "calls set up per second",
    }
}

/// How far to the right a plot over calls goes: somewhat beyond the edge, or all that held.
fn most_shown(measurement: &Measurement) -> f64 {
    let edge = measurement.answer.range.map_or(measurement.answer.held, |range| range.high) as f64;
    let most = measurement.points.iter().map(|point| point.calls).max().unwrap_or(1) as f64;
    if edge > 0.0 { (edge * 1.3).min(most * 1.03) } else { most * 1.03 }
}

fn calls_axis(measurement: &Measurement) -> Axis {
    Axis {
        title: calls_title(measurement),
        low: 0.0,
        high: most_shown(measurement),
        scale: Scale::Linear,
        unit: Unit::Whole,
    }
}

fn colour(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Holds => "holds",
        Verdict::Breaks => "breaks",
        Verdict::Void => "void",
    }
}

/// Runs that say something and are shown.
fn shown(measurement: &Measurement) -> impl Iterator<Item = &Point> {
    let most = most_shown(measurement);
    measurement.points.iter().filter(move |point| point.verdict != Verdict::Void && point.calls as f64 <= most)
}

/// By number of calls, the middle of what its runs had.
fn medians(measurement: &Measurement, value: impl Fn(&Point) -> Option<f64>) -> Vec<(f64, f64)> {
    let mut by_calls: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
    for point in shown(measurement) {
        if let Some(value) = value(point) {
            by_calls.entry(point.calls).or_default().push(value);
        }
    }
    let middle = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    by_calls.into_iter().map(|(calls, values)| (calls as f64, middle(values))).collect()
}

fn about(point: &Point) -> String {
    let mut text = format!("{} calls: {}", whole(point.calls), colour(point.verdict));
    if !point.breaches.is_empty() {
        let _ = write!(text, " ({})", breaches(&point.breaches));
    }
    if let Some(delay) = point.delay() {
        let _ = write!(text, ", p99 {}, p99.9 {}", micros(delay.p99_us), micros(delay.p99_9_us));
    }
    let traffic = &point.traffic;
    let _ = match &point.set_up {
        Some(set_up) => write!(
            text,
            ", {} of {} calls failed, {} messages sent again",
            whole(traffic.calls_failed),
            whole(traffic.calls_up + traffic.calls_failed),
            whole(set_up.repeated)
        ),
        None => write!(text, ", {} of {} packets lost", whole(traffic.lost), whole(traffic.expected)),
    };
    text
}

/// How the search came to its answer.
pub(super) fn search(measurement: &Measurement) -> String {
    let points = &measurement.points;
    let least = points.iter().map(|point| point.calls).min().unwrap_or(1).max(1) as f64;
    let most = points.iter().map(|point| point.calls).max().unwrap_or(1) as f64;
    let x = Axis {
        title: "run",
        low: 0.0,
        high: points.len().max(2) as f64 + 1.0,
        scale: Scale::Linear,
        unit: Unit::Whole,
    };
    let y = Axis { title: "", low: least * 0.8, high: most * 1.25, scale: Scale::Log, unit: Unit::Whole };
    let mut plot = Plot::new(WIDTH, 250.0, x, y);
    let path: Vec<_> = points.iter().zip(1..).map(|(point, run)| (f64::from(run), point.calls as f64)).collect();
    plot.curve(&path, "g");
    for (point, run) in points.iter().zip(1..) {
        plot.dot(f64::from(run), point.calls as f64, colour(point.verdict), point.step == Step::Ramp, &about(point));
    }
    let mut html = plot.svg("Every run of the search in order: how many calls, and whether the service level held");
    html += &key(&[
        ("holds", "holds"),
        ("breaks", "breaks"),
        ("void", "void: the source failed"),
        ("g", "hollow: a shorter run"),
    ]);
    html
}

/// What the service level says of delays: the quantile, its limit in microseconds, and what the quantile is called.
fn delay_limit(measurement: &Measurement) -> (fn(&Latency) -> f64, f64, &'static str) {
    match measurement.quantity {
        Quantity::ConcurrentCalls => (|delay| delay.p99_9_us, measurement.level.max_p99_9_us, "p99.9"),
        Quantity::CallsPerSecond => (|delay| delay.p99_us, measurement.level.max_set_up_p99_us, "p99"),
    }
}

/// Calls against quantiles of latency, or of the time to their answer.
pub(super) fn latency(measurement: &Measurement) -> String {
    type Quantile = (&'static str, &'static str, fn(&Latency) -> f64);
    let quantiles: [Quantile; 3] =
        [("a", "p50", |l| l.p50_us), ("b", "p99", |l| l.p99_us), ("c", "p99.9", |l| l.p99_9_us)];
    let (judged, limit, judged_name) = delay_limit(measurement);
    let values: Vec<f64> = shown(measurement).filter_map(Point::delay).flat_map(|l| [l.p50_us, l.p99_9_us]).collect();
    if values.is_empty() {
        return String::new();
    }
    let low = values.iter().copied().fold(f64::INFINITY, f64::min).max(0.1) * 0.7;
    let high = values.iter().copied().fold(limit, f64::max) * 1.6;
    let y = Axis { title: "", low, high, scale: Scale::Log, unit: Unit::Micros };
    let mut plot = Plot::new(WIDTH, HEIGHT, calls_axis(measurement), y).with_labels();
    if let Some(range) = measurement.answer.range {
        plot.band(range.low as f64, range.high as f64);
    }
    if limit > 0.0 {
        plot.limit(limit, &format!("{judged_name} at most {}", micros(limit)));
    }
    for (colour, name, of) in quantiles {
        let curve = medians(measurement, |point| point.delay().map(of));
        plot.curve(&curve, colour);
        if let Some((_, last)) = curve.last() {
            plot.label(*last, colour, name);
        }
    }
    for point in shown(measurement) {
        if let Some(delay) = point.delay() {
            plot.dot(point.calls as f64, judged(delay), colour(point.verdict), point.step == Step::Ramp, &about(point));
        }
    }
    let svg = plot.svg("Quantiles of latency against the number of calls");
    match measurement.quantity {
        Quantity::ConcurrentCalls => {
            card("Latency", "from the source and back, by number of calls; the range is shaded", &svg)
        }
        Quantity::CallsPerSecond => {
            card("From INVITE to 200", "as callers see it, by calls per second; the range is shaded", &svg)
        }
    }
}

/// Calls against packets lost.
pub(super) fn loss(measurement: &Measurement) -> String {
    let ppm = |point: &Point| match point.traffic.expected {
        0 => 0.0,
        expected => 1e6 * point.traffic.lost as f64 / expected as f64,
    };
    let high = shown(measurement).map(ppm).fold(100.0, f64::max) * 2.0;
    let y = Axis { title: "", low: 0.0, high, scale: Scale::LogFromZero, unit: Unit::Whole };
    let mut plot = Plot::new(WIDTH, HEIGHT, calls_axis(measurement), y);
    if let Some(range) = measurement.answer.range {
        plot.band(range.low as f64, range.high as f64);
    }
    for point in shown(measurement).filter(|point| point.traffic.lost > 0) {
        plot.stem(point.calls as f64, ppm(point), colour(point.verdict));
    }
    for point in shown(measurement) {
        plot.dot(point.calls as f64, ppm(point), colour(point.verdict), point.step == Step::Ramp, &about(point));
    }
    let svg = plot.svg("Packets lost of each million against the number of calls");
    card("Loss", "packets lost of each million expected", &svg)
}

/// How long packets took, at the number that held.
pub(super) fn histogram(measurement: &Measurement) -> String {
    let held = measurement.points.iter().rev().find(|point| {
        point.calls == measurement.answer.held && point.verdict == Verdict::Holds && point.step != Step::Ramp
    });
    let any = || measurement.points.iter().rev().find(|point| point.verdict == Verdict::Holds);
    let Some((point, latency)) = held.or_else(any).and_then(|point| Some((point, point.delay()?))) else {
        return String::new();
    };
    let Some((first, last)) = latency.histogram.first().zip(latency.histogram.last()) else { return String::new() };
    let (_, limit, judged_name) = delay_limit(measurement);
    let (title, of_what) = match measurement.quantity {
        Quantity::ConcurrentCalls => ("Latency of every packet", "packets"),
        Quantity::CallsPerSecond => ("Time to the answer of every call", "calls"),
    };
    let most = latency.histogram.iter().map(|bucket| bucket.count).max().unwrap_or(1) as f64;
    let x = Axis {
        title: "time",
        low: first.from_us.max(0.1) * 0.8,
        high: last.to_us.max(limit * 1.1) * 1.1,
        scale: Scale::Log,
        unit: Unit::Micros,
    };
    let y = Axis { title: "", low: 0.0, high: most * 2.0, scale: Scale::LogFromZero, unit: Unit::Whole };
    let mut plot = Plot::new(WIDTH, HEIGHT, x, y);
    for bucket in &latency.histogram {
        let colour = if bucket.to_us <= latency.p50_us {
            "a"
        } else if bucket.to_us <= latency.p99_us {
            "b"
        } else {
            "c"
        };
        let text = format!("{} to {}: {} {of_what}", micros(bucket.from_us), micros(bucket.to_us), whole(bucket.count));
        plot.bar(bucket.from_us.max(0.1), bucket.to_us, bucket.count as f64, colour, &text);
    }
    if limit > 0.0 {
        plot.limit_at(limit, &format!("limit of {judged_name}"));
    }
    let svg = plot.svg("Histogram by time, both logarithmic");
    let small = format!("{} {of_what} at {} {}", whole(latency.count), whole(point.calls), calls_title(measurement));
    let keys = key(&[("a", "faster half"), ("b", "up to p99"), ("c", "slowest hundredth")]);
    card(title, &small, &(svg + &keys))
}

/// What the gateway adds to the set-up of a call, at the number that held and at half of it.
pub(super) fn set_up(measurement: &Measurement) -> String {
    let delays = measurement.set_up_delays();
    if delays.is_empty() {
        return String::new();
    }
    let mut html = "<div class=\"scroll\"><table><thead><tr><th class=\"left\">calls per second</th><th>answered</th><th>p50</th><th>p99</th><th>p99.9</th><th>most</th></tr></thead><tbody>\n".to_owned();
    for (point, added) in delays {
        let half = if point.step == Step::HalfLoad { ", half load" } else { ", the most that held" };
        let _ = write!(html, "<tr><td class=\"left\">{}{half}</td><td>{}</td>", whole(point.calls), whole(added.count));
        for us in [added.p50_us, added.p99_us, added.p99_9_us, added.max_us] {
            let _ = write!(html, "<td>{}</td>", micros(us));
        }
        html += "</tr>\n";
    }
    html += "</tbody></table></div>";
    card("Added to the set-up of a call", "from INVITE to 200 without the callee's part (RFC 6076)", &html)
}

/// A core's busy time by stage, against calls.
pub(super) fn stages(measurement: &Measurement) -> String {
    let cores = |point: &Point| point.gateway.as_ref().map_or(0, |gateway| gateway.cores.len());
    let points: Vec<_> = shown(measurement).filter(|point| cores(point) > 0).collect();
    let mut names: Vec<String> = Vec::new();
    for stage in points.iter().flat_map(|p| p.gateway.iter()).flat_map(|g| &g.cores).flat_map(|c| &c.stages) {
        if !names.contains(&stage.stage) {
            names.push(stage.stage.clone());
        }
    }
    if points.is_empty() {
        return String::new();
    }
    if names.is_empty() {
        names.push("busy".to_owned());
    }
    let y = Axis { title: "", low: 0.0, high: 1.0, scale: Scale::Linear, unit: Unit::Percent };
    let mut plot = Plot::new(WIDTH, HEIGHT, calls_axis(measurement), y);
    let mut below: BTreeMap<u64, f64> = BTreeMap::new();
    let mut keys = Vec::new();
    for (nth, name) in names.iter().enumerate() {
        let colour = STAGES[nth % STAGES.len()];
        let mean = |point: &Point| {
            let gateway = point.gateway.as_ref()?;
            let share = |stages: &[StageTime]| match stages {
                [] => 1.0,
                stages => stages.iter().filter(|stage| stage.stage == *name).map(|stage| stage.share).sum(),
            };
            let sum: f64 = gateway.cores.iter().map(|core| core.busy * share(&core.stages)).sum();
            Some(sum / gateway.cores.len().max(1) as f64)
        };
        let area: Vec<_> = medians(measurement, mean)
            .into_iter()
            .map(|(calls, share)| {
                let low = below.entry(calls as u64).or_default();
                let from = *low;
                *low += share;
                (calls, from, from + share)
            })
            .collect();
        plot.area(&area, colour);
        keys.push((colour, name.as_str()));
    }
    if let Some(range) = measurement.answer.range {
        plot.band(range.low as f64, range.high as f64);
    }
    let svg = plot.svg("Share of the workers' time by stage against the number of calls");
    card("Where a core's time goes", "mean over workers, by number of calls", &(svg + &key(&keys)))
}

/// Each worker's load at the number that held.
pub(super) fn cores(measurement: &Measurement) -> String {
    let held = measurement.points.iter().rev().find(|point| point.calls == measurement.answer.held);
    let Some(gateway) = held.and_then(|point| point.gateway.as_ref()).filter(|gateway| !gateway.cores.is_empty())
    else {
        return String::new();
    };
    let mut html = "<div class=\"scroll\"><table><thead><tr><th class=\"left\">worker</th><th class=\"left\" style=\"width:50%;min-width:160px\">busy</th><th></th><th>packets</th><th>in a burst</th><th>lanes filled</th></tr></thead><tbody>\n".to_owned();
    for core in &gateway.cores {
        let busy = 100.0 * core.busy;
        let burst = if core.busy_polls > 0 {
            short(core.frames_received as f64 / core.busy_polls as f64)
        } else {
            "–".to_owned()
        };
        let fill = if core.batches > 0 || core.batch_fill > 0.0 { short(core.batch_fill) } else { "–".to_owned() };
        let _ = writeln!(
            html,
            "<tr><td class=\"left\">{}</td><td class=\"left\"><svg viewBox=\"0 0 200 12\" preserveAspectRatio=\"none\" style=\"height:12px\"><rect width=\"200\" height=\"12\" rx=\"3\" style=\"fill:var(--grid)\"/><rect class=\"f-a\" width=\"{:.1}\" height=\"12\" rx=\"3\"/></svg></td><td>{} %</td><td>{}</td><td>{burst}</td><td>{fill}</td></tr>",
            core.worker,
            2.0 * busy,
            short(busy),
            whole(core.forwarded),
        );
    }
    html += "</tbody></table></div>";
    let drops: Vec<String> = gateway
        .cores
        .iter()
        .flat_map(|core| {
            core.drops.iter().map(move |drop| format!("worker {}: {} {}", core.worker, whole(drop.count), drop.name))
        })
        .collect();
    if !drops.is_empty() {
        let _ = write!(html, "<p class=\"soft\" style=\"margin:10px 0 0\">Dropped: {}</p>", escape(&drops.join(", ")));
    }
    let small = format!("with {} calls", whole(measurement.answer.held));
    card("Load of each worker", &small, &html).replacen("\"card\"", "\"card wide\"", 1)
}
