//! Plots as inline SVG: axes with sensible ticks, and marks in the page's colours.

use std::fmt::Write as _;

use super::{escape, micros, short, whole};

/// How values are laid along an axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Scale {
    /// Evenly.
    Linear,
    /// By their logarithm; values must be positive.
    Log,
    /// By the logarithm of one more than them, so that zero has a place.
    LogFromZero,
}

/// How the numbers along an axis are written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Unit {
    Whole,
    Micros,
    Percent,
}

/// One axis.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    pub(super) title: &'static str,
    pub(super) low: f64,
    pub(super) high: f64,
    pub(super) scale: Scale,
    pub(super) unit: Unit,
}

impl Axis {
    /// Where a value lies: 0 at the low end, 1 at the high.
    fn at(&self, value: f64) -> f64 {
        let (low, high, value) = match self.scale {
            Scale::Linear => (self.low, self.high, value),
            Scale::Log => (self.low.ln(), self.high.ln(), value.max(f64::MIN_POSITIVE).ln()),
            Scale::LogFromZero => (0.0, self.high.ln_1p(), value.max(0.0).ln_1p()),
        };
        if high > low { (value - low) / (high - low) } else { 0.5 }
    }

    fn ticks(&self) -> Vec<f64> {
        match self.scale {
            Scale::Linear => linear_ticks(self.low, self.high),
            Scale::Log => decades(self.low, self.high),
            Scale::LogFromZero => {
                let mut ticks = vec![0.0];
                ticks.extend(decades(1.0, self.high.max(1.0)));
                // Not more than fit.
                let every = ticks.len().div_ceil(6);
                ticks.into_iter().step_by(every).collect()
            }
        }
    }

    fn write(&self, value: f64) -> String {
        match self.unit {
            Unit::Whole if value >= 1e6 => format!("{} M", short(value / 1e6)),
            Unit::Whole => whole(value.round() as u64),
            Unit::Micros => micros(value),
            Unit::Percent => format!("{} %", short(100.0 * value)),
        }
    }
}

/// Four to eight round numbers.
fn linear_ticks(low: f64, high: f64) -> Vec<f64> {
    let rough = (high - low) / 5.0;
    // A range that is empty or no number has one tick, not endless ones.
    if !(rough.is_finite() && rough > 0.0) {
        return vec![low];
    }
    let magnitude = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|round| round * magnitude).find(|step| *step >= rough * 0.99);
    let step = step.unwrap_or(rough);
    let first = (low / step).ceil() as i64;
    (first..first + 12).map(|nth| nth as f64 * step).take_while(|tick| *tick <= high * (1.0 + 1e-9)).collect()
}

/// Powers of ten; with the halves and doubles between where there are few.
fn decades(low: f64, high: f64) -> Vec<f64> {
    let first = low.log10().floor() as i32;
    let last = high.log10().ceil() as i32;
    let between: &[f64] = if last - first <= 2 { &[1.0, 2.0, 5.0] } else { &[1.0] };
    let all = (first..=last.min(first + 20)).flat_map(|power| between.iter().map(move |m| m * 10_f64.powi(power)));
    all.filter(|tick| *tick >= low * 0.999 && *tick <= high * 1.001).collect()
}

/// A plot being drawn.
pub(super) struct Plot {
    width: f64,
    height: f64,
    x: Axis,
    y: Axis,
    left: f64,
    right: f64,
    marks: String,
    /// Names of curves at their right ends: height, colour, text.
    labels: Vec<(f64, &'static str, String)>,
}

const TOP: f64 = 12.0;
const BOTTOM: f64 = 42.0;

impl Plot {
    pub(super) fn new(width: f64, height: f64, x: Axis, y: Axis) -> Self {
        Self { width, height, x, y, left: 58.0, right: 16.0, marks: String::new(), labels: Vec::new() }
    }

    /// Leaves room on the right for the names of curves.
    pub(super) fn with_labels(mut self) -> Self {
        self.right = 66.0;
        self
    }

    fn px(&self, x: f64) -> f64 {
        self.left + self.x.at(x).clamp(0.0, 1.0) * (self.width - self.left - self.right)
    }

    fn py(&self, y: f64) -> f64 {
        TOP + (1.0 - self.y.at(y).clamp(0.0, 1.0)) * (self.height - TOP - BOTTOM)
    }

    fn mark(&mut self, arguments: std::fmt::Arguments<'_>) {
        // Writing to a string does not fail.
        let _ = self.marks.write_fmt(arguments);
    }

    /// A line through points, in order.
    pub(super) fn curve(&mut self, points: &[(f64, f64)], colour: &'static str) {
        let path = self.path(points);
        self.mark(format_args!("<path class=\"curve s-{colour}\" d=\"{path}\"/>\n"));
    }

    /// The name of a curve, at the height of its last point.
    pub(super) fn label(&mut self, y: f64, colour: &'static str, text: &str) {
        let at = self.py(y);
        self.labels.push((at, colour, text.to_owned()));
    }

    /// The area between a lower and an upper line over the same places.
    pub(super) fn area(&mut self, points: &[(f64, f64, f64)], colour: &str) {
        let upper: Vec<_> = points.iter().map(|(x, _, high)| (*x, *high)).collect();
        let lower: Vec<_> = points.iter().rev().map(|(x, low, _)| (*x, *low)).collect();
        let path = format!("{}{}Z", self.path(&upper), self.path(&lower).replacen('M', "L", 1));
        self.mark(format_args!("<path class=\"area f-{colour}\" d=\"{path}\"/>\n"));
    }

    /// A dot; hollow for what counts less. Its text appears under the pointer.
    pub(super) fn dot(&mut self, x: f64, y: f64, colour: &str, hollow: bool, text: &str) {
        let (x, y, text) = (self.px(x), self.py(y), escape(text));
        let class = if hollow { format!("ring s-{colour}") } else { format!("f-{colour}") };
        self.mark(format_args!(
            "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\"><title>{text}</title></circle>\n"
        ));
    }

    /// A line from the bottom up to a value.
    pub(super) fn stem(&mut self, x: f64, y: f64, colour: &str) {
        let (x, y, bottom) = (self.px(x), self.py(y), self.height - BOTTOM);
        self.mark(format_args!(
            "<line class=\"stem s-{colour}\" x1=\"{x:.1}\" y1=\"{bottom:.1}\" x2=\"{x:.1}\" y2=\"{y:.1}\"/>\n"
        ));
    }

    /// A box from the bottom up.
    pub(super) fn bar(&mut self, from: f64, to: f64, y: f64, colour: &str, text: &str) {
        let (x0, x1, top, bottom) = (self.px(from), self.px(to), self.py(y), self.height - BOTTOM);
        let (width, height) = ((x1 - x0 - 0.6).max(0.8), (bottom - top).max(0.0));
        let text = escape(text);
        self.mark(format_args!(
            "<rect class=\"f-{colour} area\" x=\"{x0:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"><title>{text}</title></rect>\n"
        ));
    }

    /// A range of places, over the whole height.
    pub(super) fn band(&mut self, low: f64, high: f64) {
        let (x0, x1) = (self.px(low), self.px(high));
        let (width, height) = ((x1 - x0).max(3.0), self.height - TOP - BOTTOM);
        self.mark(format_args!(
            "<rect class=\"band\" x=\"{x0:.1}\" y=\"{TOP}\" width=\"{width:.1}\" height=\"{height:.1}\"/>\n"
        ));
    }

    /// A value that must not be passed.
    pub(super) fn limit(&mut self, y: f64, text: &str) {
        let (at, x0, x1) = (self.py(y), self.left, self.width - self.right);
        let text = escape(text);
        self.mark(format_args!(
            "<line class=\"limit\" x1=\"{x0:.1}\" y1=\"{at:.1}\" x2=\"{x1:.1}\" y2=\"{at:.1}\"/>\n<text class=\"limit-text\" x=\"{:.1}\" y=\"{:.1}\">{text}</text>\n",
            x0 + 6.0,
            at - 5.0
        ));
    }

    /// A place that must not be passed.
    pub(super) fn limit_at(&mut self, x: f64, text: &str) {
        let (at, bottom) = (self.px(x), self.height - BOTTOM);
        let text = escape(text);
        self.mark(format_args!(
            "<line class=\"limit\" x1=\"{at:.1}\" y1=\"{TOP}\" x2=\"{at:.1}\" y2=\"{bottom:.1}\"/>\n<text class=\"limit-text\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{text}</text>\n",
            at - 6.0,
            TOP + 10.0
        ));
    }

    fn path(&self, points: &[(f64, f64)]) -> String {
        let mut path = String::new();
        for (nth, (x, y)) in points.iter().enumerate() {
            let _ = write!(path, "{}{:.1} {:.1}", if nth == 0 { 'M' } else { 'L' }, self.px(*x), self.py(*y));
        }
        path
    }

    /// The SVG element. `alt` says what it shows to those who do not see it.
    pub(super) fn svg(mut self, alt: &str) -> String {
        let (width, height, bottom) = (self.width, self.height, self.height - BOTTOM);
        let (x0, x1) = (self.left, self.width - self.right);
        let mut svg = format!("<svg viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{}\">\n", escape(alt));
        for tick in self.y.ticks() {
            let (y, text) = (self.py(tick), self.y.write(tick));
            let _ = writeln!(
                svg,
                "<line class=\"grid-line\" x1=\"{x0:.1}\" y1=\"{y:.1}\" x2=\"{x1:.1}\" y2=\"{y:.1}\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{text}</text>",
                x0 - 8.0,
                y + 4.0
            );
        }
        for tick in self.x.ticks() {
            let (x, text) = (self.px(tick), self.x.write(tick));
            let _ = writeln!(
                svg,
                "<line class=\"axis\" x1=\"{x:.1}\" y1=\"{bottom:.1}\" x2=\"{x:.1}\" y2=\"{:.1}\"/><text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{text}</text>",
                bottom + 4.0,
                bottom + 18.0
            );
        }
        let _ =
            writeln!(svg, "<line class=\"axis\" x1=\"{x0:.1}\" y1=\"{bottom:.1}\" x2=\"{x1:.1}\" y2=\"{bottom:.1}\"/>");
        let _ = writeln!(
            svg,
            "<text x=\"{x1:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            height - 4.0,
            escape(self.x.title)
        );
        svg += &self.marks;
        svg += &self.spread_labels();
        svg + "</svg>\n"
    }

    /// Names that would cover each other are moved apart.
    fn spread_labels(&mut self) -> String {
        self.labels.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (mut text, mut last) = (String::new(), f64::NEG_INFINITY);
        for (at, colour, label) in &self.labels {
            let y = at.max(last + 14.0);
            last = y;
            let x = self.width - self.right + 8.0;
            let _ = writeln!(
                text,
                "<text class=\"label f-{colour}\" x=\"{x:.1}\" y=\"{:.1}\">{}</text>",
                y + 4.0,
                escape(label)
            );
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_few() {
        assert_eq!(linear_ticks(0.0, 61_000.0), [0.0, 20_000.0, 40_000.0, 60_000.0]);
        assert_eq!(linear_ticks(0.0, 1.0), [0.0, 0.2, 0.4, 0.6000000000000001, 0.8, 1.0]);
        assert_eq!(decades(1.0, 100_000.0).len(), 6);
        assert_eq!(decades(15.0, 120.0), [20.0, 50.0, 100.0]);
        for odd in [(0.0, 0.0), (f64::NAN, 1.0), (0.0, f64::INFINITY), (5.0, 1.0)] {
            assert!(linear_ticks(odd.0, odd.1).len() <= 1);
        }
    }

    #[test]
    fn what_lies_outside_stays_at_the_edge() {
        let axis = |scale| Axis { title: "", low: 1.0, high: 100.0, scale, unit: Unit::Whole };
        let plot = Plot::new(400.0, 200.0, axis(Scale::Linear), axis(Scale::Log));
        assert_eq!(plot.px(1e9), 400.0 - plot.right);
        assert_eq!(plot.py(0.0), 200.0 - BOTTOM);
        assert!((plot.py(10.0) - (TOP + (200.0 - TOP - BOTTOM) / 2.0)).abs() < 1e-6);
    }
}
