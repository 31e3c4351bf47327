//! What the types of a report cannot say.

use super::{
    Answer, Core, Latency, Measurement, Point, Quantity, Report, ServiceLevel, SetUp, Status, Stops, Traffic, Verdict,
};

/// The field, and what is wrong with it.
type Wrong = (String, String);

pub(super) fn check(report: &Report) -> Result<(), Wrong> {
    if report.measurements.is_empty() {
        return Err(("measurements".to_owned(), "there is none".to_owned()));
    }
    not_negative("made.took_s", report.made.took_s)?;
    for (nth, measurement) in report.measurements.iter().enumerate() {
        within(&format!("measurements[{nth}]"), measurement_holds_together(measurement))?;
        let same = |other: &Measurement| other.name == measurement.name && other.quantity == measurement.quantity;
        if report.measurements[..nth].iter().any(same) {
            let why = format!("`{}` is there twice for the same quantity", measurement.name);
            return Err((format!("measurements[{nth}].name"), why));
        }
    }
    Ok(())
}

fn measurement_holds_together(measurement: &Measurement) -> Result<(), Wrong> {
    let mix = &measurement.mix;
    for (nth, codecs) in mix.codecs.iter().enumerate() {
        if !(codecs.share > 0.0 && codecs.share <= 1.0) {
            return wrong(format!("mix.codecs[{nth}].share"), format!("{} is not above 0 up to 1", codecs.share));
        }
    }
    let all: f64 = mix.codecs.iter().map(|codecs| codecs.share).sum();
    if (all - 1.0).abs() > 1e-3 {
        return wrong("mix.codecs", format!("the shares add up to {all}, not to 1"));
    }
    share("mix.dtx", mix.dtx)?;
    share("mix.loss", mix.loss)?;
    not_negative("mix.loss_burst", mix.loss_burst)?;
    level(&measurement.level)?;
    for (nth, point) in measurement.points.iter().enumerate() {
        within(&format!("points[{nth}]"), point_holds_together(point))?;
        let is_about_set_up = measurement.quantity == Quantity::CallsPerSecond;
        if point.set_up.is_some() && !is_about_set_up {
            return wrong(format!("points[{nth}].set_up"), "only a run of calls per second has it");
        }
    }
    if let Some(point) = &measurement.half_load {
        within("half_load", point_holds_together(point))?;
        if measurement.quantity != Quantity::CallsPerSecond {
            return wrong("half_load", "only a measurement of calls per second has it");
        }
    }
    within("answer", answer(&measurement.answer, &measurement.points))
}

fn level(level: &ServiceLevel) -> Result<(), Wrong> {
    not_negative("level.max_lost_ppm", level.max_lost_ppm)?;
    not_negative("level.max_p99_9_us", level.max_p99_9_us)?;
    not_negative("level.max_failed_ppm", level.max_failed_ppm)?;
    not_negative("level.max_set_up_p99_us", level.max_set_up_p99_us)?;
    not_negative("level.max_repeated_ppm", level.max_repeated_ppm)?;
    not_negative("level.hold_s", level.hold_s)
}

fn answer(answer: &Answer, points: &[Point]) -> Result<(), Wrong> {
    let voids = points.iter().filter(|point| point.verdict == Verdict::Void).count();
    if voids != answer.void_runs as usize {
        return wrong("void_runs", format!("{} are told, {voids} are among the points", answer.void_runs));
    }
    let held = points.iter().any(|point| point.calls == answer.held && point.verdict == Verdict::Holds);
    if answer.held > 0 && !held {
        return wrong("held", format!("{} is told, and no point of that number held", answer.held));
    }
    if answer.status == Status::Found && answer.range.is_none() {
        return wrong("range", "missing, though the edge is said to be found");
    }
    if let Some(range) = answer.range {
        if range.low > range.high {
            return wrong("range", format!("{} is above {}", range.low, range.high));
        }
        share("range.confidence", range.confidence)?;
    }
    if let Some(extrapolation) = answer.extrapolation {
        share("extrapolation.utilisation", extrapolation.utilisation)?;
    }
    Ok(())
}

fn point_holds_together(point: &Point) -> Result<(), Wrong> {
    if point.calls == 0 {
        return wrong("calls", "0 calls say nothing");
    }
    not_negative("at_s", point.at_s)?;
    not_negative("seconds", point.seconds)?;
    if (point.verdict == Verdict::Void) != point.void_because.is_some() {
        return wrong("void_because", "a void run says why, and no other does");
    }
    if point.verdict != Verdict::Void && (point.verdict == Verdict::Breaks) == point.breaches.is_empty() {
        return wrong("breaches", "a run that breaks says at what, and one that holds has none");
    }
    traffic(&point.traffic)?;
    if let Some(latency) = &point.latency {
        within("latency", latency_holds_together(latency))?;
    }
    for (nth, core) in point.gateway.iter().flat_map(|gateway| &gateway.cores).enumerate() {
        within(&format!("gateway.cores[{nth}]"), core_holds_together(core))?;
    }
    if let Some(set_up) = &point.set_up {
        within("set_up", set_up_holds_together(set_up, &point.traffic))?;
    }
    if let Some(stops) = &point.stops {
        within("stops", stops_hold_together(stops))?;
    }
    point.source.busy.map_or(Ok(()), |busy| share("source.busy", busy))
}

fn stops_hold_together(stops: &Stops) -> Result<(), Wrong> {
    not_negative("source_ms", stops.source_ms)?;
    not_negative("gateway_ms", stops.gateway_ms.unwrap_or_default())?;
    not_negative("longest_ms", stops.longest_ms)?;
    not_negative("p99_9_without_us", stops.p99_9_without_us.unwrap_or_default())
}

fn set_up_holds_together(set_up: &SetUp, traffic: &Traffic) -> Result<(), Wrong> {
    if let Some(latency) = &set_up.answered_after {
        within("answered_after", latency_holds_together(latency))?;
    }
    if let Some(latency) = &set_up.added {
        within("added", latency_holds_together(latency))?;
    }
    let failed = set_up.failures.iter().try_fold(0_u64, |sum, failure| sum.checked_add(failure.count));
    if failed != Some(traffic.calls_failed) {
        return wrong("failures", format!("do not add up to the {} calls that failed", traffic.calls_failed));
    }
    // Several threads under one name may take more than a core.
    set_up.control_busy.map_or(Ok(()), |busy| not_negative("control_busy", busy))
}

fn traffic(traffic: &Traffic) -> Result<(), Wrong> {
    if traffic.audio_wrong > traffic.audio_checked {
        let why = format!("{} of {} checked", traffic.audio_wrong, traffic.audio_checked);
        return wrong("traffic.audio_wrong", why);
    }
    if traffic.lost > traffic.expected {
        return wrong("traffic.lost", format!("{} of {} expected", traffic.lost, traffic.expected));
    }
    Ok(())
}

fn core_holds_together(core: &Core) -> Result<(), Wrong> {
    share("busy", core.busy)?;
    for (nth, stage) in core.stages.iter().enumerate() {
        share(&format!("stages[{nth}].share"), stage.share)?;
    }
    not_negative("batch_fill", core.batch_fill)
}

fn latency_holds_together(latency: &Latency) -> Result<(), Wrong> {
    let rising = [latency.p50_us, latency.p90_us, latency.p99_us, latency.p99_9_us, latency.max_us];
    not_negative("p50_us", rising[0])?;
    if !rising.is_sorted() {
        return wrong("p99_9_us", format!("quantiles do not rise: {rising:?}"));
    }
    let mut last = 0.0;
    for (nth, bucket) in latency.histogram.iter().enumerate() {
        // To the last bit but one: a bound may have been computed in two ways.
        if !(bucket.from_us >= last * (1.0 - 1e-9) && bucket.to_us > bucket.from_us && bucket.count > 0) {
            return wrong(format!("histogram[{nth}]"), "empty, or not behind the one before");
        }
        last = bucket.to_us;
    }
    // Checked: a report may hold any numbers.
    let counted = latency.histogram.iter().try_fold(0_u64, |sum, bucket| sum.checked_add(bucket.count));
    if !latency.histogram.is_empty() && counted != Some(latency.count) {
        return wrong("histogram", format!("does not add up to the {} packets counted", latency.count));
    }
    Ok(())
}

fn wrong(field: impl Into<String>, why: impl Into<String>) -> Result<(), Wrong> {
    Err((field.into(), why.into()))
}

fn within(place: &str, outcome: Result<(), Wrong>) -> Result<(), Wrong> {
    outcome.map_err(|(field, why)| (format!("{place}.{field}"), why))
}

fn share(field: &str, value: f64) -> Result<(), Wrong> {
    if (0.0..=1.0).contains(&value) { Ok(()) } else { wrong(field, format!("{value} is not from 0 to 1")) }
}

fn not_negative(field: &str, value: f64) -> Result<(), Wrong> {
    if value >= 0.0 && value.is_finite() { Ok(()) } else { wrong(field, format!("{value} is not possible")) }
}
