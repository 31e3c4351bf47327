//! The chart: for each case and direction how many gaps were how long.

use std::fmt::Write as _;
use std::time::Duration;

use crate::support::talkers::quantile;
use crate::table::Summary;

const LEFT: f64 = 190.0;
const WIDTH: f64 = 720.0;
const ROW: f64 = 44.0;
const TOP: f64 = 30.0;
/// Width of a bar.
const BIN_MS: u64 = 5;

/// A page of its own, for either background.
pub fn svg(summaries: &[Summary]) -> String {
    let longest = summaries.iter().flat_map(|summary| summary.gaps.iter().flatten()).max().copied();
    let end_ms = (longest.unwrap_or_default().as_millis().min(1000) as f64 / 50.0).ceil().max(4.0) * 50.0;
    let rows = summaries.len() as f64 * 2.0;
    let height = TOP + rows * ROW + 40.0;
    let x = |ms: f64| LEFT + ms.min(end_ms) / end_ms * WIDTH;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0}\" height=\"{height}\" viewBox=\"0 0 {0} {height}\" \
         font-family=\"sans-serif\" font-size=\"11\">\n\
         <style>text{{fill:#333}}.grid{{stroke:#ddd}}.goal{{stroke:#c0392b;stroke-dasharray:4 3}}.bar{{fill:#1f6fb2}}\
         .p99{{stroke:#e67e22;stroke-width:2}}\
         @media(prefers-color-scheme:dark){{text{{fill:#ddd}}.grid{{stroke:#444}}.bar{{fill:#7db9ea}}}}</style>\n\
         <text x=\"{LEFT}\" y=\"14\">gaps in what each party heard; red: the goal, orange: p99</text>\n",
        LEFT + WIDTH + 40.0
    );
    let step_ms = if end_ms > 500.0 { 100.0 } else { 50.0 };
    let steps = (end_ms / step_ms) as u32;
    for ms in (0..=steps).map(|step| f64::from(step) * step_ms) {
        // Writing to a string does not fail, here and below.
        let _ = writeln!(
            svg,
            "<line class=\"grid\" x1=\"{0:.1}\" y1=\"{TOP}\" x2=\"{0:.1}\" y2=\"{1}\"/>\
             <text x=\"{0:.1}\" y=\"{2}\" text-anchor=\"middle\">{ms} ms</text>",
            x(ms),
            height - 35.0,
            height - 18.0
        );
    }
    for (row, summary) in summaries.iter().enumerate() {
        for (party, gaps) in summary.gaps.iter().enumerate() {
            let base = TOP + (row * 2 + party + 1) as f64 * ROW - 4.0;
            let who = ["to the caller", "to the callee"][party];
            let _ = writeln!(
                svg,
                "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}, {who}</text>",
                LEFT - 10.0,
                base - 12.0,
                summary.case.name()
            );
            bars(&mut svg, gaps, base, x);
            let mark = |class: &str, at: Duration| {
                let at = x(at.as_secs_f64() * 1000.0);
                format!(
                    "<line class=\"{class}\" x1=\"{at:.1}\" y1=\"{}\" x2=\"{at:.1}\" y2=\"{base}\"/>\n",
                    base - ROW + 8.0
                )
            };
            svg += &mark("goal", summary.case.goal());
            svg += &mark("p99", quantile(gaps, 0.99));
        }
    }
    svg + "</svg>\n"
}

fn bars(svg: &mut String, gaps: &[Duration], base: f64, x: impl Fn(f64) -> f64) {
    let mut bins = std::collections::BTreeMap::<u64, usize>::new();
    for gap in gaps {
        let at = u64::try_from(gap.as_millis()).unwrap_or(u64::MAX) / BIN_MS;
        *bins.entry(at).or_default() += 1;
    }
    let most = bins.values().max().copied().unwrap_or(1) as f64;
    for (bin, count) in bins {
        let from_ms = bin.saturating_mul(BIN_MS);
        // One of many is seen as well.
        let tall = (count as f64 / most * (ROW - 12.0)).max(2.0);
        let (from, to) = (x(from_ms as f64), x(from_ms.saturating_add(BIN_MS) as f64));
        let _ = writeln!(
            svg,
            "<rect class=\"bar\" x=\"{from:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{tall:.1}\"><title>{count} of {} from {from_ms} to {} ms</title></rect>",
            base - tall,
            (to - from).max(1.5) - 0.5,
            gaps.len(),
            from_ms.saturating_add(BIN_MS),
        );
    }
}
