//! Reports side by side.

use std::fmt::Write as _;

use serde::Serialize;

use crate::page::{machine_name, short, whole};
use crate::prices::Prices;
use crate::report::{Limit, Measurement, Quantity, Range, Report, Status};

/// Several reports, measurement by measurement.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// The currency of costs; none without prices.
    pub currency: Option<String>,
    /// When the prices were looked up, and their note.
    pub prices: Option<String>,
    /// One for each mix that any report has.
    pub groups: Vec<Group>,
    /// What makes reports less comparable than they look.
    pub cautions: Vec<String>,
}

/// One mix in every report that has it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Group {
    /// The mix.
    pub name: String,
    /// What is counted.
    pub quantity: Quantity,
    /// By report, in the order given.
    pub entries: Vec<Entry>,
}

/// One mix in one report.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Entry {
    /// What the report is called: its file.
    pub report: String,
    /// The machine.
    pub machine: String,
    /// Its instance type.
    pub instance: Option<String>,
    /// The version of the gateway.
    pub version: String,
    /// Worker cores.
    pub cores: usize,
    /// What held.
    pub held: u64,
    /// What kind of an answer that is.
    pub status: Status,
    /// Where the edge lies.
    pub range: Option<Range>,
    /// What held, per worker core.
    pub per_core: f64,
    /// The price of the instance per hour.
    pub per_hour: Option<f64>,
    /// The cost of one concurrent call for an hour.
    pub per_call_hour: Option<f64>,
    /// What stands in the way of more.
    pub limit: Option<Limit>,
    /// Against the first entry.
    pub difference: Option<Difference>,
}

/// How an entry differs from the first.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "verdict")]
pub enum Difference {
    /// The ranges overlap: the two cannot be told apart by what was measured.
    InsideNoise {
        /// This by that.
        ratio: f64,
    },
    /// The ranges do not overlap.
    Real {
        /// This by that.
        ratio: f64,
        /// The least that the ratio differs from 1, by the nearer ends of the ranges.
        at_least: f64,
    },
    /// One of the two has no range to compare.
    Unknown,
}

impl Difference {
    fn of(this: &Entry, first: &Entry) -> Self {
        let (Some(a), Some(b)) = (this.range, first.range) else { return Self::Unknown };
        let middle = |range: Range| (range.low as f64 + range.high as f64) / 2.0;
        let ratio = middle(a) / middle(b).max(1.0);
        if a.low > b.high {
            Self::Real { ratio, at_least: a.low as f64 / b.high.max(1) as f64 - 1.0 }
        } else if a.high < b.low {
            Self::Real { ratio, at_least: 1.0 - a.high as f64 / b.low.max(1) as f64 }
        } else {
            Self::InsideNoise { ratio }
        }
    }

    /// In words.
    pub fn text(&self) -> String {
        let percent = |ratio: f64| {
            let by = 100.0 * (ratio - 1.0);
            format!("{}{} %", if by >= 0.0 { "+" } else { "−" }, short(by.abs()))
        };
        match self {
            Self::InsideNoise { ratio } => format!("{}, inside the noise", percent(*ratio)),
            Self::Real { ratio, at_least } => format!("{} (at least {} %)", percent(*ratio), short(100.0 * at_least)),
            Self::Unknown => "no range to compare".to_owned(),
        }
    }
}

impl Comparison {
    /// Puts reports side by side; each with the name of its file. `prices` are optional.
    pub fn of(reports: &[(String, Report)], prices: Option<&Prices>) -> Self {
        let mut groups: Vec<Group> = Vec::new();
        for (name, (_, report)) in names(reports).into_iter().zip(reports) {
            for measurement in &report.measurements {
                let entry = Entry::of(name, report, measurement, prices);
                let same =
                    |group: &&mut Group| group.name == measurement.name && group.quantity == measurement.quantity;
                match groups.iter_mut().find(same) {
                    Some(group) => group.entries.push(entry),
                    None => groups.push(Group {
                        name: measurement.name.clone(),
                        quantity: measurement.quantity,
                        entries: vec![entry],
                    }),
                }
            }
        }
        for group in &mut groups {
            if let Some((first, others)) = group.entries.split_first_mut() {
                others.iter_mut().for_each(|other| other.difference = Some(Difference::of(other, first)));
            }
        }
        let dated = |prices: &Prices| {
            let note = prices.note.as_ref().map_or(String::new(), |note| format!(" {note}"));
            format!("Prices of {} ({}).{note}", prices.region, prices.as_of)
        };
        Self {
            currency: prices.map(|prices| prices.currency.clone()),
            prices: prices.map(dated),
            groups,
            cautions: cautions(reports),
        }
    }

    /// The rows of one group as text, the heads first.
    pub fn rows(&self, group: &Group) -> Vec<Vec<String>> {
        let currency = self.currency.as_deref().unwrap_or("cost");
        let mut heads = vec!["report", "machine", "version", "cores", "held", "edge", "per core", "binds"];
        let per_hour = format!("{currency}/h");
        let per_call = format!("{currency}/1,000 call-h");
        if self.currency.is_some() {
            heads.extend([per_hour.as_str(), per_call.as_str()]);
        }
        heads.push("against the first");
        let mut rows = vec![heads.into_iter().map(str::to_owned).collect()];
        for entry in &group.entries {
            let mut row = vec![
                entry.report.clone(),
                entry.machine.clone(),
                entry.version.clone(),
                if entry.cores == 0 { "-".to_owned() } else { entry.cores.to_string() },
                entry.held_text(),
                entry.range.map_or("-".to_owned(), |range| format!("{} to {}", whole(range.low), whole(range.high))),
                short(entry.per_core),
                entry.limit.map_or("-", crate::page::limit_text).to_owned(),
            ];
            if self.currency.is_some() {
                row.push(entry.per_hour.map_or("-".to_owned(), short));
                row.push(entry.per_call_hour.map_or("-".to_owned(), |cost| short(1000.0 * cost)));
            }
            row.push(entry.difference.map_or("-".to_owned(), |difference| difference.text()));
            rows.push(row);
        }
        rows
    }
}

impl Entry {
    fn of(name: &str, report: &Report, measurement: &Measurement, prices: Option<&Prices>) -> Self {
        let instance = report.machine.instance.as_ref().map(|instance| instance.kind.clone());
        let per_hour = prices.and_then(|prices| Some(prices.of(instance.as_deref()?)?.per_hour));
        let held = measurement.answer.held;
        let concurrent = measurement.quantity == Quantity::ConcurrentCalls;
        Self {
            report: name.to_owned(),
            machine: machine_name(&report.machine),
            instance,
            version: report.gateway.version.clone(),
            cores: report.gateway.cores.len(),
            held,
            status: measurement.answer.status,
            range: measurement.answer.range,
            per_core: held as f64 / report.gateway.cores.len().max(1) as f64,
            per_hour,
            per_call_hour: per_hour.filter(|_| held > 0 && concurrent).map(|price| price / held as f64),
            limit: measurement.binding.as_ref().map(|binding| binding.limit),
            difference: None,
        }
    }

    fn held_text(&self) -> String {
        let held = whole(self.held);
        match self.status {
            Status::Found => held,
            Status::AtLeast => format!("≥ {held}"),
            Status::NothingHeld => "0".to_owned(),
            Status::Undetermined => "?".to_owned(),
        }
    }
}

/// What reports are called: their files without folders, where that tells them apart.
fn names(reports: &[(String, Report)]) -> Vec<&str> {
    let files: Vec<&str> = reports.iter().map(|(name, _)| name.rsplit('/').next().unwrap_or(name)).collect();
    let mut distinct = files.clone();
    distinct.sort_unstable();
    distinct.dedup();
    if distinct.len() == files.len() { files } else { reports.iter().map(|(name, _)| name.as_str()).collect() }
}

/// What makes reports less comparable than they look.
fn cautions(reports: &[(String, Report)]) -> Vec<String> {
    let mut cautions = Vec::new();
    let Some((first_name, first)) = reports.first() else { return cautions };
    for (name, report) in reports {
        if report.made.interrupted {
            cautions.push(format!("{name}: the run was interrupted"));
        }
        if report.gateway.debug_burn_ns > 0 {
            let burn = report.gateway.debug_burn_ns;
            cautions.push(format!("{name}: the gateway was made slower on purpose, by {burn} ns a frame"));
        }
        for measurement in &report.measurements {
            let same = |other: &&Measurement| other.name == measurement.name && other.quantity == measurement.quantity;
            let Some(other) = first.measurements.iter().find(same) else { continue };
            let mut say = |what: &str| {
                let mut text = String::new();
                let _ = write!(text, "{name}: {}: another {what} than in {first_name}", measurement.name);
                cautions.push(text);
            };
            if other.mix != measurement.mix {
                say("mix under the same name");
            }
            if other.level != measurement.level {
                say("service level");
            }
        }
        if report.source.device.split(',').next() != first.source.device.split(',').next() {
            cautions.push(format!("{name}: another kind of port than in {first_name}"));
        }
    }
    cautions
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    fn prices() -> Prices {
        let text = "as_of: today\ncurrency: USD\nregion: here\ninstances:\n  c7i.2xlarge: {per_hour: 0.36, vcpus: 8, threads_per_core: 2}\n";
        Prices::parse("p", text).unwrap()
    }

    fn with(held: u64) -> Report {
        Report { measurements: vec![sample::measurement("g711-g729", held)], ..sample::report() }
    }

    #[test]
    fn differences_are_told_from_noise_by_the_ranges() {
        let reports = [("a", 1000), ("b", 1020), ("c", 2000), ("d", 500)].map(|(n, held)| (n.to_owned(), with(held)));
        let comparison = Comparison::of(&reports, Some(&prices()));
        let told: Vec<_> = comparison.groups[0].entries.iter().map(|entry| entry.difference).collect();
        assert!(
            matches!(told[..], [
            None,
            Some(Difference::InsideNoise { .. }),
            Some(Difference::Real { ratio, at_least }),
            Some(Difference::Real { .. })
        ] if ratio > 1.9 && at_least > 0.9),
            "{told:?}"
        );
        assert_eq!(told[1].map(|d| d.text()).as_deref(), Some("+1.97 %, inside the noise"));
        assert!(told[3].is_some_and(|d| d.text().starts_with("−50")), "{told:?}");
    }

    #[test]
    fn reports_are_called_by_their_files_where_that_tells_them_apart() {
        let named = |names: [&str; 2]| {
            let comparison = Comparison::of(&names.map(|name| (name.to_owned(), with(1000))), None);
            comparison.groups[0].entries.iter().map(|entry| entry.report.clone()).collect::<Vec<_>>()
        };
        assert_eq!(named(["/tmp/a.json", "out/b.json"]), ["a.json", "b.json"]);
        assert_eq!(named(["old/a.json", "new/a.json"]), ["old/a.json", "new/a.json"]);
    }

    #[test]
    fn a_call_hour_costs_the_instance_divided_by_its_calls() {
        let comparison = Comparison::of(&[("a".to_owned(), with(1000))], Some(&prices()));
        let entry = &comparison.groups[0].entries[0];
        assert!((entry.per_call_hour.unwrap() - 0.36 / 1000.0).abs() < 1e-12);
        let rows = comparison.rows(&comparison.groups[0]);
        assert_eq!(rows[0].len(), rows[1].len());
        assert!(rows[1].contains(&"0.36".to_owned()), "{rows:?}");
    }

    #[test]
    fn a_type_without_a_price_costs_nothing_that_is_told() {
        let mut report = with(1000);
        report.machine.instance = None;
        let comparison = Comparison::of(&[("a".to_owned(), report)], Some(&prices()));
        assert_eq!(comparison.groups[0].entries[0].per_call_hour, None);
    }

    #[test]
    fn what_cannot_be_compared_is_said() {
        let (first, mut other) = (with(1000), with(1000));
        other.measurements[0].level.max_p99_9_us = 5000.0;
        other.gateway.debug_burn_ns = 300;
        other.made.interrupted = true;
        let comparison = Comparison::of(&[("a".to_owned(), first), ("b".to_owned(), other)], None);
        assert_eq!(comparison.cautions.len(), 3, "{:?}", comparison.cautions);
    }
}
