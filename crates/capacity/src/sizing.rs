//! How many instances of which type: from measured reports, offline.
//!
//! **What an instance takes.** A type that a report was measured on takes the lower end of that report's range (what held,
//! where there is no range), times [`Need::fill`]. A type of the same family that nobody measured is *modelled*, and every
//! figure that rests on that is marked so: calls per worker core as measured, times its worker cores, times
//! [`SCALING`] for each doubling of cores beyond those measured. One physical core is left to the kernel and control.
//! The model knows nothing of the instance's packet and bandwidth allowances, which grow slower than its cores.
//!
//! **Mixes.** A call of one mix takes 1/capacity of an instance; mixes add up.
//!
//! **Failures.** *N+1*: one instance more than the calls need. *Zone loss*: as many instances in each zone as let the other
//! zones carry all calls.

use serde::Serialize;

use crate::page::{short, whole};
use crate::prices::{Price, Prices, family};
use crate::report::{Quantity, Report, Status};

/// What is left of perfect scaling at each doubling of cores.
pub const SCALING: f64 = 0.95;
/// Running instances that a spread placement group takes in a zone.
const SPREAD_GROUP: u64 = 7;
/// Hours in a month, on average.
const MONTH: f64 = 730.0;

/// What is needed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Need {
    /// Concurrent calls by the name of their mix.
    pub calls: Vec<(String, u64)>,
    /// Availability zones, at least 1.
    pub zones: u64,
    /// How far instances are to be filled in normal operation's worst case, above 0 up to 1.
    pub fill: f64,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SizingError {
    /// Nothing is asked for.
    #[error("no calls are asked for: name at least one mix with calls, as `g711-g729=3000`")]
    NoCalls,
    /// Zones out of range.
    #[error("zones must be from 1 to 16, not {0}")]
    Zones(u64),
    /// Fill out of range.
    #[error("the fill must be above 0 and at most 1, not {0}")]
    Fill(f64),
    /// A mix that no report has.
    #[error("no report has measured the mix `{wanted}`; they have: {known}")]
    UnknownMix {
        /// The mix.
        wanted: String,
        /// Those that were measured.
        known: String,
    },
    /// No instance type to plan with.
    #[error("no report says which instance type it was measured on; say so with --instance FILE=TYPE")]
    NoInstance,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sizing {
    /// What was asked.
    pub need: Need,
    /// The currency of costs.
    pub currency: String,
    /// When the prices were looked up.
    pub prices_as_of: String,
    /// By type, the cheapest that survives the loss of a zone first; without a second zone, by N+1.
    pub options: Vec<Choice>,
    /// What has to be known.
    pub notes: Vec<String>,
}

/// One instance type.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Choice {
    /// The type.
    pub kind: String,
    /// Whether it was measured; modelled otherwise.
    pub measured: bool,
    /// What its figures rest on.
    pub basis: String,
    /// Calls that one takes when filled as asked, for each mix on its own.
    pub takes: Vec<(String, u64)>,
    /// Instances that the calls need.
    pub needed: u64,
    /// For one instance that fails.
    pub n_plus_1: Fleet,
    /// For one zone that fails; none with one zone.
    pub zone_loss: Option<Fleet>,
}

/// So many instances.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Fleet {
    /// All of them.
    pub instances: u64,
    /// In each zone.
    pub per_zone: Vec<u64>,
    /// How full they are while nothing has failed: 1 is the lower end of what was measured.
    pub load: f64,
    /// How full the others are when what was planned for has failed.
    pub load_after_failure: f64,
    /// Calls that are up on what fails.
    pub calls_hit: u64,
    /// Per hour; none where the type has no price.
    pub per_hour: Option<f64>,
    /// Per month of 730 hours.
    pub per_month: Option<f64>,
}

/// What one instance of a type takes, per mix, unfilled.
struct Capacity {
    kind: String,
    measured: bool,
    basis: String,
    calls: Vec<f64>,
}

impl Sizing {
    /// Plans for a need.
    ///
    /// # Errors
    /// A need that cannot be met from these reports.
    pub fn of(need: &Need, reports: &[(String, Report)], prices: &Prices) -> Result<Self, SizingError> {
        if need.calls.iter().all(|(_, calls)| *calls == 0) {
            return Err(SizingError::NoCalls);
        }
        if !(1..=16).contains(&need.zones) {
            return Err(SizingError::Zones(need.zones));
        }
        if !(need.fill > 0.0 && need.fill <= 1.0) {
            return Err(SizingError::Fill(need.fill));
        }
        check_mixes(need, reports)?;
        let capacities = capacities(need, reports, prices);
        if capacities.is_empty() {
            return Err(SizingError::NoInstance);
        }
        let mut options: Vec<Choice> = capacities.iter().map(|capacity| choice(need, capacity, prices)).collect();
        let cost = |choice: &Choice| {
            let fleet = choice.zone_loss.as_ref().unwrap_or(&choice.n_plus_1);
            fleet.per_hour.unwrap_or(f64::INFINITY)
        };
        options.sort_by(|a, b| cost(a).total_cmp(&cost(b)).then(b.measured.cmp(&a.measured)));
        let notes = notes(need, &options, prices);
        Ok(Self {
            need: need.clone(),
            currency: prices.currency.clone(),
            prices_as_of: prices.as_of.clone(),
            options,
            notes,
        })
    }

    /// The answer as rows of text, the heads first.
    pub fn rows(&self) -> Vec<Vec<String>> {
        let month = format!("{}/month", self.currency);
        let mut heads = vec!["type", "basis", "takes", "needed", "with N+1", month.as_str()];
        let zones = self.need.zones > 1;
        if zones {
            heads.extend(["with a zone's loss", "by zone", "load", "after the loss", "calls hit", month.as_str()]);
        }
        let mut rows: Vec<Vec<String>> = vec![heads.into_iter().map(str::to_owned).collect()];
        let percent = |share: f64| format!("{} %", short(100.0 * share));
        let cost = |cost: Option<f64>| cost.map_or("-".to_owned(), |cost| whole(cost.round() as u64));
        for choice in &self.options {
            let takes = choice.takes.iter().map(|(mix, calls)| match self.need.calls.len() {
                1 => whole(*calls),
                _ => format!("{} {mix}", whole(*calls)),
            });
            let mut row = vec![
                choice.kind.clone(),
                if choice.measured { "measured" } else { "modelled" }.to_owned(),
                takes.collect::<Vec<_>>().join(" or "),
                whole(choice.needed),
                whole(choice.n_plus_1.instances),
                cost(choice.n_plus_1.per_month),
            ];
            if let Some(fleet) = &choice.zone_loss {
                row.push(whole(fleet.instances));
                row.push(fleet.per_zone.iter().map(u64::to_string).collect::<Vec<_>>().join("+"));
                row.push(percent(fleet.load));
                row.push(percent(fleet.load_after_failure));
                row.push(whole(fleet.calls_hit));
                row.push(cost(fleet.per_month));
            }
            rows.push(row);
        }
        rows
    }
}

fn check_mixes(need: &Need, reports: &[(String, Report)]) -> Result<(), SizingError> {
    let mut known: Vec<&str> = reports
        .iter()
        .flat_map(|(_, report)| &report.measurements)
        .filter(|measurement| measurement.quantity == Quantity::ConcurrentCalls)
        .map(|measurement| measurement.name.as_str())
        .collect();
    known.sort_unstable();
    known.dedup();
    match need.calls.iter().find(|(mix, _)| !known.contains(&mix.as_str())) {
        None => Ok(()),
        Some((wanted, _)) => Err(SizingError::UnknownMix { wanted: wanted.clone(), known: known.join(", ") }),
    }
}

/// What a report says that its machine takes of each mix: the lower end of the range. None where one is missing or void.
fn measured(need: &Need, report: &Report) -> Option<Vec<f64>> {
    let of = |mix: &str| {
        let measurement = report
            .measurements
            .iter()
            .find(|measurement| measurement.name == mix && measurement.quantity == Quantity::ConcurrentCalls)?;
        let answer = &measurement.answer;
        let usable = matches!(answer.status, Status::Found | Status::AtLeast) && answer.held > 0;
        usable.then(|| answer.range.map_or(answer.held, |range| range.low.min(answer.held).max(1)) as f64)
    };
    need.calls.iter().map(|(mix, _)| of(mix)).collect()
}

fn capacities(need: &Need, reports: &[(String, Report)], prices: &Prices) -> Vec<Capacity> {
    let mut all: Vec<Capacity> = Vec::new();
    let mut sources = Vec::new();
    for (name, report) in reports {
        let Some(kind) = report.machine.instance.as_ref().map(|instance| instance.kind.clone()) else { continue };
        let Some(calls) = measured(need, report) else { continue };
        sources.push((name, report, kind.clone(), calls.clone()));
        // Of several reports of a type the more careful one counts.
        match all.iter_mut().find(|capacity| capacity.kind == kind) {
            Some(known) => {
                known.calls.iter_mut().zip(&calls).for_each(|(known, calls)| *known = known.min(*calls));
                known.basis = format!("{}, {name}", known.basis);
            }
            None => all.push(Capacity { kind, measured: true, basis: format!("measured: {name}"), calls }),
        }
    }
    for (kind, price) in &prices.instances {
        if all.iter().any(|capacity| capacity.kind == *kind) {
            continue;
        }
        // From the measured size of the family with the most workers: the least is left to the model.
        let same = sources.iter().filter(|(_, _, measured, _)| family(measured) == family(kind));
        let Some((name, report, from, calls)) = same.max_by_key(|(_, report, ..)| report.gateway.cores.len()) else {
            continue;
        };
        let (workers, had) = (workers_of(price), report.gateway.cores.len().max(1) as f64);
        let doublings = (workers / had).log2().max(0.0);
        let factor = workers / had * SCALING.powf(doublings);
        let basis = format!(
            "modelled from {from} ({name}): {} workers in place of {had}, {} % of perfect scaling",
            workers,
            short(100.0 * SCALING.powf(doublings))
        );
        let calls = calls.iter().map(|calls| calls * factor).collect();
        all.push(Capacity { kind: kind.clone(), measured: false, basis, calls });
    }
    all
}

/// Physical cores but one, which the kernel and control have; at least half a one.
fn workers_of(price: &Price) -> f64 {
    let cores = f64::from(price.vcpus / price.threads_per_core.max(1));
    if cores >= 2.0 { cores - 1.0 } else { 0.5 }
}

fn choice(need: &Need, capacity: &Capacity, prices: &Prices) -> Choice {
    let takes: Vec<f64> = capacity.calls.iter().map(|calls| (calls * need.fill).floor().max(1.0)).collect();
    // Instances' worth of load, of filled ones.
    let load: f64 = need.calls.iter().zip(&takes).map(|((_, calls), takes)| *calls as f64 / takes).sum();
    let needed = (load - 1e-9).ceil().max(1.0) as u64;
    let per_hour = prices.of(&capacity.kind).map(|price| price.per_hour);
    let calls: u64 = need.calls.iter().map(|(_, calls)| calls).sum();
    let fleet = |per_zone: Vec<u64>, failing: u64| {
        let instances: u64 = per_zone.iter().sum();
        let full = load * need.fill;
        let left = (instances - failing).max(1);
        let per_hour = per_hour.map(|price| price * instances as f64);
        Fleet {
            instances,
            load: full / instances as f64,
            load_after_failure: full / left as f64,
            calls_hit: (calls * failing).div_ceil(instances),
            per_zone,
            per_hour,
            per_month: per_hour.map(|cost| cost * MONTH),
        }
    };
    let n_plus_1 = fleet(spread(needed + 1, need.zones), 1);
    let zone_loss = (need.zones > 1).then(|| {
        let per_zone = needed.div_ceil(need.zones - 1);
        fleet(vec![per_zone; need.zones as usize], per_zone)
    });
    let named = need.calls.iter().zip(&takes).map(|((mix, _), takes)| (mix.clone(), *takes as u64));
    Choice {
        kind: capacity.kind.clone(),
        measured: capacity.measured,
        basis: capacity.basis.clone(),
        takes: named.collect(),
        needed,
        n_plus_1,
        zone_loss,
    }
}

/// Instances over zones, as evenly as can be.
fn spread(instances: u64, zones: u64) -> Vec<u64> {
    (0..zones).map(|zone| instances / zones + u64::from(zone < instances % zones)).collect()
}

fn notes(need: &Need, options: &[Choice], prices: &Prices) -> Vec<String> {
    let mut notes = vec![format!(
        "Each instance is filled to {} % of the lower end of what was measured, when everything that may fail has not.",
        short(100.0 * need.fill)
    )];
    if need.zones > 1 {
        notes.push(
            "When a zone fails, the calls on its instances end unless another node holds their state; new calls, and those \
             that are set up again, go to the other zones, which have room for all of them. An address moves within a zone; \
             across zones an Elastic IP has to be associated anew, or the peers have to know several."
                .to_owned(),
        );
    } else {
        notes.push("With one zone nothing is left when it fails. Plan with two or three (--zones).".to_owned());
    }
    if options.iter().any(|choice| !choice.measured) {
        notes.push(
            "Modelled types scale a measured one by worker cores. The model does not know the packet and bandwidth \
             allowances of an instance: measure the type before relying on it."
                .to_owned(),
        );
    }
    let crowded = |choice: &&Choice| {
        let fleets = std::iter::once(&choice.n_plus_1).chain(&choice.zone_loss);
        fleets.flat_map(|fleet| &fleet.per_zone).any(|instances| *instances > SPREAD_GROUP)
    };
    if let Some(choice) = options.iter().find(crowded) {
        notes.push(format!(
            "A spread placement group takes {SPREAD_GROUP} instances in a zone: {} and whatever needs more takes several groups.",
            choice.kind
        ));
    }
    let note = prices.note.as_ref().map_or(String::new(), |note| format!(" {note}"));
    notes.push(format!("Prices: {}, {}.{note} Traffic and addresses cost extra.", prices.region, prices.as_of));
    notes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    fn prices() -> Prices {
        let text = "as_of: today\ncurrency: USD\nregion: here\ninstances:\n  \
                    c7i.xlarge: {per_hour: 0.2, vcpus: 4, threads_per_core: 2}\n  \
                    c7i.2xlarge: {per_hour: 0.4, vcpus: 8, threads_per_core: 2}\n  \
                    c7i.8xlarge: {per_hour: 1.6, vcpus: 32, threads_per_core: 2}\n  \
                    c6in.large: {per_hour: 0.1, vcpus: 2, threads_per_core: 2}\n";
        Prices::parse("p", text).unwrap()
    }

    /// A c7i.2xlarge with three workers that takes 1,000 transcoded calls or 10,000 relayed ones.
    fn reports() -> Vec<(String, Report)> {
        let mut report = sample::report();
        report.gateway.cores = vec![1, 2, 3];
        report.measurements = vec![sample::measurement("g711-g729", 1000), sample::measurement("relay", 10_000)];
        vec![("a.json".to_owned(), report)]
    }

    fn need(calls: &[(&str, u64)], zones: u64, fill: f64) -> Need {
        Need { calls: calls.iter().map(|(mix, calls)| ((*mix).to_owned(), *calls)).collect(), zones, fill }
    }

    fn measured(sizing: &Sizing) -> &Choice {
        sizing.options.iter().find(|choice| choice.measured).unwrap()
    }

    #[test]
    fn instances_carry_the_calls_and_the_loss_of_one_or_of_a_zone() {
        let sizing = Sizing::of(&need(&[("g711-g729", 4000)], 3, 0.8), &reports(), &prices()).unwrap();
        let choice = measured(&sizing);
        assert_eq!((choice.takes[0].1, choice.needed), (800, 5));
        assert_eq!((choice.n_plus_1.instances, &choice.n_plus_1.per_zone), (6, &vec![2, 2, 2]));
        let fleet = choice.zone_loss.as_ref().unwrap();
        assert_eq!((fleet.instances, &fleet.per_zone), (9, &vec![3, 3, 3]));
        assert!(fleet.load_after_failure <= 0.8 && fleet.load_after_failure > 0.6, "{fleet:?}");
        assert_eq!(fleet.calls_hit, 1334);
        assert!((fleet.per_month.unwrap() - 9.0 * 0.4 * 730.0).abs() < 1e-6);
    }

    #[test]
    fn whatever_fails_the_rest_is_not_fuller_than_asked() {
        for calls in [1, 799, 800, 801, 12_345, 1_000_000] {
            for zones in 1..=5 {
                let sizing = Sizing::of(&need(&[("g711-g729", calls)], zones, 0.7), &reports(), &prices()).unwrap();
                for choice in &sizing.options {
                    let fleets = std::iter::once(&choice.n_plus_1).chain(&choice.zone_loss);
                    for fleet in fleets {
                        assert!(fleet.load_after_failure <= 0.7 + 1e-6, "{calls} in {zones}: {choice:?}");
                        assert_eq!(fleet.per_zone.len() as u64, zones);
                        assert!(fleet.calls_hit <= calls);
                    }
                    assert_eq!(choice.zone_loss.is_some(), zones > 1);
                }
            }
        }
    }

    #[test]
    fn mixes_share_an_instance() {
        let sizing = Sizing::of(&need(&[("g711-g729", 500), ("relay", 5000)], 1, 1.0), &reports(), &prices()).unwrap();
        assert_eq!(measured(&sizing).needed, 1);
        let sizing = Sizing::of(&need(&[("g711-g729", 501), ("relay", 5000)], 1, 1.0), &reports(), &prices()).unwrap();
        assert_eq!(measured(&sizing).needed, 2);
    }

    #[test]
    fn a_size_that_nobody_measured_is_modelled_by_its_cores_and_marked() {
        let sizing = Sizing::of(&need(&[("relay", 1000)], 2, 1.0), &reports(), &prices()).unwrap();
        let of = |kind: &str| sizing.options.iter().find(|choice| choice.kind == kind);
        let small = of("c7i.xlarge").unwrap();
        assert!(!small.measured && small.basis.starts_with("modelled from c7i.2xlarge (a.json)"), "{}", small.basis);
        // One worker in place of three.
        assert_eq!(small.takes[0].1, 3333);
        // Fifteen in place of three: 2.3 doublings.
        let large = of("c7i.8xlarge").unwrap().takes[0].1;
        assert!(large > 40_000 && large < 45_000, "{large}");
        // Of another family nothing is known.
        assert!(of("c6in.large").is_none());
        assert!(sizing.notes.iter().any(|note| note.contains("Modelled")));
    }

    #[test]
    fn the_cheapest_comes_first() {
        let sizing = Sizing::of(&need(&[("relay", 200_000)], 3, 0.8), &reports(), &prices()).unwrap();
        let costs: Vec<_> = sizing.options.iter().map(|c| c.zone_loss.as_ref().unwrap().per_hour.unwrap()).collect();
        assert!(costs.is_sorted(), "{costs:?}");
        let rows = sizing.rows();
        assert!(rows.iter().all(|row| row.len() == rows[0].len()));
    }

    #[test]
    fn needs_that_cannot_be_met_are_refused_with_what_would_do() {
        let of = |need: Need| Sizing::of(&need, &reports(), &prices()).unwrap_err();
        assert_eq!(of(need(&[], 1, 1.0)), SizingError::NoCalls);
        assert_eq!(of(need(&[("relay", 1)], 0, 1.0)), SizingError::Zones(0));
        assert!(matches!(of(need(&[("relay", 1)], 1, f64::NAN)), SizingError::Fill(_)));
        let unknown = of(need(&[("opus", 1)], 1, 1.0)).to_string();
        assert_eq!(unknown, "no report has measured the mix `opus`; they have: g711-g729, relay");
        let mut reports = reports();
        reports[0].1.machine.instance = None;
        let error = Sizing::of(&need(&[("relay", 1)], 1, 1.0), &reports, &prices()).unwrap_err();
        assert_eq!(error, SizingError::NoInstance);
    }
}
