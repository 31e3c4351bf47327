//! The pages of a comparison and of a sizing.

use std::fmt::Write as _;

use super::{document, escape, facts, key, short, whole};
use crate::compare::{Comparison, Group};
use crate::sizing::{Choice, Fleet, Sizing};

/// Letters of a name that fit beside a bar.
const NAME: usize = 26;
/// Colours of entries, in the order they come.
const COLOURS: [&str; 7] = ["a", "c", "d", "b", "e", "f", "g"];

fn table(rows: &[Vec<String>], left: &[usize]) -> String {
    let mut html = "<div class=\"scroll\"><table>".to_owned();
    for (nth, row) in rows.iter().enumerate() {
        let tag = if nth == 0 { "th" } else { "td" };
        html += "<tr>";
        for (column, cell) in row.iter().enumerate() {
            let class = if left.contains(&column) { " class=\"left\"" } else { "" };
            let _ = write!(html, "<{tag}{class}>{}</{tag}>", escape(cell));
        }
        html += "</tr>\n";
    }
    html + "</table></div>\n"
}

/// The end of a name, as much as fits beside a bar.
fn end_of(name: &str) -> String {
    let letters = name.chars().count();
    if letters <= NAME {
        name.to_owned()
    } else {
        format!("…{}", name.chars().skip(letters - NAME).collect::<String>())
    }
}

/// A name, its value, and the range that belongs to it.
type Bar = (String, f64, Option<(f64, f64)>);

/// A bar with a range at its end for each of some values.
fn bars(values: &[Bar]) -> String {
    let most = values
        .iter()
        .map(|(_, value, range)| range.map_or(*value, |range| range.1.max(*value)))
        .fold(f64::MIN_POSITIVE, f64::max);
    let (left, width, row) = (190.0, 560.0, 34.0);
    let height = row * values.len() as f64 + 4.0;
    let mut svg = format!("<svg viewBox=\"0 0 860 {height}\" role=\"img\" aria-label=\"bars\">\n");
    for (nth, (name, value, range)) in values.iter().enumerate() {
        let y = row * nth as f64 + 6.0;
        let x = |value: f64| left + width * value / most;
        let colour = COLOURS[nth % COLOURS.len()];
        let _ = write!(
            svg,
            "<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"end\">{}</text><rect class=\"f-{colour} area\" x=\"{left}\" y=\"{y:.0}\" width=\"{:.1}\" height=\"20\" rx=\"4\"/>",
            left - 10.0,
            y + 14.0,
            escape(&end_of(name)),
            (x(*value) - left).max(1.0),
        );
        let mut end = x(*value);
        if let Some((low, high)) = range {
            let (low, high) = (x(*low), x(*high));
            end = end.max(high);
            let middle = y + 10.0;
            let _ = write!(
                svg,
                "<path class=\"curve\" style=\"stroke:var(--text)\" d=\"M{low:.1} {middle}H{high:.1}M{low:.1} {}v8M{high:.1} {}v8\"/>",
                middle - 4.0,
                middle - 4.0
            );
        }
        let _ = writeln!(
            svg,
            "<text class=\"label\" x=\"{:.1}\" y=\"{:.0}\">{}</text>",
            end + 8.0,
            y + 14.0,
            short(*value)
        );
    }
    svg + "</svg>\n"
}

/// The page of a comparison.
pub fn comparison_page(comparison: &Comparison) -> String {
    let mut body = String::new();
    for caution in &comparison.cautions {
        let _ = writeln!(body, "<p class=\"warn\">{}</p>", escape(caution));
    }
    for group in &comparison.groups {
        body += &group_section(comparison, group);
    }
    body += "<footer>A difference is inside the noise when the ranges overlap.";
    if let Some(prices) = &comparison.prices {
        let _ = write!(body, " {}", escape(prices));
    }
    body += "</footer>\n";
    document(
        "Capacity compared",
        &match comparison.groups.len() {
            1 => "1 mix".to_owned(),
            mixes => format!("{mixes} mixes"),
        },
        &body,
    )
}

fn group_section(comparison: &Comparison, group: &Group) -> String {
    let mut html = format!(
        "<section><h2>{}</h2><p class=\"soft\" style=\"margin:0 0 14px\">{}</p><div class=\"card\">",
        escape(&group.name),
        group.quantity.name()
    );
    let held: Vec<_> = group
        .entries
        .iter()
        .map(|entry| {
            (entry.report.clone(), entry.held as f64, entry.range.map(|range| (range.low as f64, range.high as f64)))
        })
        .collect();
    html += &bars(&held);
    let costs: Vec<_> = group
        .entries
        .iter()
        .filter_map(|entry| Some((entry.report.clone(), 1000.0 * entry.per_call_hour?, None)))
        .collect();
    if let Some(currency) = comparison.currency.as_ref().filter(|_| !costs.is_empty()) {
        let _ =
            write!(html, "<h3 style=\"margin-top:22px\">{} for 1,000 concurrent calls, an hour</h3>", escape(currency));
        html += &bars(&costs);
    }
    html += "</div><div class=\"card\" style=\"margin-top:16px\">";
    html += &table(&comparison.rows(group), &[0, 1, 2, 7]);
    html + "</div></section>\n"
}

/// The page of a sizing.
pub fn sizing_page(sizing: &Sizing) -> String {
    let need = &sizing.need;
    let calls = need.calls.iter().map(|(mix, calls)| format!("{} {mix}", whole(*calls))).collect::<Vec<_>>().join(", ");
    let mut body = String::new();
    if let Some(best) = sizing.options.first() {
        body += &best_card(sizing, best);
    }
    body += "<section style=\"margin-top:28px\"><h2>Every type</h2><div class=\"card\" style=\"margin-top:12px\">";
    body += &table(&sizing.rows(), &[0, 1]);
    body += "</div></section><section><h2>What the figures rest on</h2><div class=\"card\" style=\"margin-top:12px\">";
    let basis: Vec<(&str, String)> =
        sizing.options.iter().map(|choice| (choice.kind.as_str(), choice.basis.clone())).collect();
    body += &facts(&basis);
    body += "</div></section><footer>";
    for note in &sizing.notes {
        let _ = write!(body, "<p>{}</p>", escape(note));
    }
    body += "</footer>\n";
    document("How many instances", &format!("{calls}, {} zones", need.zones), &body)
}

fn best_card(sizing: &Sizing, best: &Choice) -> String {
    let fleet = best.zone_loss.as_ref().unwrap_or(&best.n_plus_1);
    let basis = if best.measured {
        "<span class=\"chip holds\">measured</span>"
    } else {
        "<span class=\"chip a\">modelled, not measured</span>"
    };
    let measured = sizing.options.iter().find(|choice| choice.measured && choice.kind != best.kind);
    let measured = measured.filter(|_| !best.measured).map_or(String::new(), |choice| {
        let fleet = choice.zone_loss.as_ref().unwrap_or(&choice.n_plus_1);
        let cost = fleet.per_month.map_or(String::new(), |cost| format!(", {} a month", whole(cost.round() as u64)));
        format!(" Of the types that were measured: {} {}{cost}.", whole(fleet.instances), escape(&choice.kind))
    });
    let survives = if best.zone_loss.is_some() { "the loss of a zone" } else { "the loss of one instance" };
    let cost = fleet
        .per_month
        .map_or(String::new(), |cost| format!(", {} {} a month", whole(cost.round() as u64), escape(&sizing.currency)));
    let mut html = format!(
        "<div class=\"card hero\"><div>{basis}<div class=\"big\">{}<small>{}</small></div><p style=\"margin:0\">The cheapest that survives {survives}{cost}.</p><p class=\"soft\" style=\"margin:8px 0 0\">N+1 alone takes {}.{measured}</p></div><div>",
        whole(fleet.instances),
        escape(&best.kind),
        whole(best.n_plus_1.instances),
    );
    html += &zones(fleet, best.zone_loss.is_some());
    html += "</div></div>\n";
    html
}

/// Instances as boxes in their zones, filled as they are before and after the failure.
fn zones(fleet: &Fleet, zone_fails: bool) -> String {
    let zones = fleet.per_zone.len().max(1);
    let most = fleet.per_zone.iter().copied().max().unwrap_or(1).clamp(1, 24);
    let across = (most as f64).sqrt().ceil().max(1.0);
    let size = (150.0 / across).min(34.0);
    let width = 180.0 * zones as f64;
    let rows = (most as f64 / across).ceil();
    let height = rows * (size + 6.0) + 40.0;
    let mut svg = format!("<svg viewBox=\"0 0 {width} {height:.0}\" role=\"img\" aria-label=\"instances by zone\">\n");
    for (zone, instances) in fleet.per_zone.iter().enumerate() {
        let x0 = 180.0 * zone as f64 + 8.0;
        let failed = zone_fails && zone + 1 == zones;
        let name = if failed { format!("zone {}: fails", zone + 1) } else { format!("zone {}", zone + 1) };
        let class = if failed { "f-breaks" } else { "" };
        let _ = write!(svg, "<text class=\"label {class}\" x=\"{x0:.0}\" y=\"14\">{name}</text>");
        for instance in 0..(*instances).min(24) {
            let (column, row) = (instance as f64 % across, (instance as f64 / across).floor());
            let (x, y) = (x0 + column * (size + 6.0), 26.0 + row * (size + 6.0));
            let (load, colour) = if failed { (1.0, "void") } else { (fleet.load_after_failure, "a") };
            let filled = size * load.min(1.0);
            let _ = write!(
                svg,
                "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{size:.1}\" height=\"{size:.1}\" rx=\"5\" style=\"fill:var(--grid)\"/><rect class=\"f-{colour} area\" x=\"{x:.1}\" y=\"{:.1}\" width=\"{size:.1}\" height=\"{filled:.1}\" rx=\"5\"/>",
                y + size - filled
            );
        }
        if *instances > 24 {
            let _ = write!(svg, "<text x=\"{:.0}\" y=\"14\">{} in all</text>", x0 + 90.0, whole(*instances));
        }
    }
    svg += "</svg>\n";
    let after = format!(
        "{} % full after the failure, {} % before",
        short(100.0 * fleet.load_after_failure),
        short(100.0 * fleet.load)
    );
    let hit = format!("{} calls are up on what fails", whole(fleet.calls_hit));
    svg + &key(&[("a", after.as_str()), ("void", hit.as_str())])
}
