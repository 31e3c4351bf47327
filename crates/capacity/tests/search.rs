//! The search against gateways that are not there: sharp, fuzzy, disturbed, and with a source that gives out.
#![allow(missing_docs, clippy::unwrap_used)]

use proptest::prelude::*;
use tandem_capacity::report::{Answer, Ended, Status, Step, Verdict};
use tandem_capacity::search::{Plan, PlanError, Search};

/// A gateway whose every run is a throw of dice.
struct Gateway {
    /// Where a run holds with even odds.
    edge: f64,
    /// How fuzzy that is, relative to it.
    spread: f64,
    /// The share of runs that something else breaks.
    disturbed: f64,
    /// The source gives out here.
    source: f64,
    dice: fastrand::Rng,
}

impl Gateway {
    fn new(edge: f64, seed: u64) -> Self {
        Self { edge, spread: 1e-6, disturbed: 0.0, source: f64::INFINITY, dice: fastrand::Rng::with_seed(seed) }
    }

    fn run(&mut self, calls: u64) -> Verdict {
        if calls as f64 > self.source {
            return Verdict::Void;
        }
        let holds = 1.0 / (1.0 + (((calls as f64).ln() - self.edge.ln()) / self.spread).exp());
        let undisturbed = self.dice.f64() >= self.disturbed;
        if undisturbed && self.dice.f64() < holds { Verdict::Holds } else { Verdict::Breaks }
    }

    fn search(&mut self, plan: Plan) -> (Answer, usize) {
        let mut search = Search::new(plan).unwrap();
        while let Some(probe) = search.next() {
            assert!(probe.calls >= 1 && probe.calls <= plan.most, "{probe:?}");
            search.record(self.run(probe.calls));
            assert!(search.runs() <= plan.budget as usize);
        }
        (search.answer(), search.runs())
    }
}

#[test]
fn a_sharp_edge_is_found_within_the_resolution_and_in_few_runs() {
    for edge in [3.0, 17.0, 180.0, 2_345.0, 61_000.0, 900_000.0] {
        let (answer, runs) = Gateway::new(edge + 0.5, 1).search(Plan::default());
        assert_eq!((answer.status, answer.ended), (Status::Found, Ended::Resolved), "{edge}: {answer:?}");
        let range = answer.range.unwrap();
        assert!(range.low as f64 <= edge + 1.0 && range.high as f64 + 1.0 >= edge, "{edge}: {answer:?}");
        assert!((range.high - range.low) as f64 <= (edge * 0.08).max(4.0), "{edge}: {answer:?}");
        assert!(answer.held as f64 <= edge && answer.held as f64 >= edge * 0.93 - 2.0, "{edge}: {answer:?}");
        assert!(answer.held_runs >= 3, "{answer:?}");
        assert!(runs <= 34, "{edge}: {runs} runs");
        assert_eq!(answer.violations, []);
    }
}

/// The stated rate is 95 %: of fifty gateways of every kind, not many more than 5 % may lie
/// outside. (Where runs hold or break by chance over a tenth of the range and more, the range covers less often: 84 %.)
#[test]
fn the_range_covers_the_true_edge_at_the_stated_rate() {
    let mut dice = fastrand::Rng::with_seed(7);
    let kinds = [(0.001, 0.0), (0.01, 0.0), (0.03, 0.0), (0.002, 0.05), (0.02, 0.05), (0.02, 0.12)];
    for (spread, disturbed) in kinds {
        let (gateways, mut covered, mut held_too_high) = (50, 0, 0);
        for seed in 0..gateways {
            let edge = (dice.f64() * 8.0 + 4.0).exp(); // 55 to 163,000
            let mut gateway = Gateway { spread, disturbed, ..Gateway::new(edge, seed) };
            let (answer, _) = gateway.search(Plan::default());
            let range = answer.range.unwrap();
            covered += u32::from(range.low as f64 <= edge && edge <= range.high as f64 + 1.0);
            held_too_high += u32::from(answer.held as f64 > edge * (1.0 + 3.0 * spread) + 1.0);
        }
        // Two standard deviations of 50 throws below 95 %.
        assert!(covered >= 45, "spread {spread}, disturbed {disturbed}: {covered} of {gateways} covered");
        assert!(held_too_high <= 2, "spread {spread}, disturbed {disturbed}: {held_too_high} told too high");
    }
}

#[test]
fn two_searches_of_one_gateway_agree_within_their_ranges() {
    let mut apart = 0;
    for seed in 0..60 {
        let search =
            |seed| Gateway { spread: 0.02, disturbed: 0.03, ..Gateway::new(20_000.0, seed) }.search(Plan::default());
        let ranges = [search(seed), search(seed + 1000)].map(|(answer, _)| answer.range.unwrap());
        apart += u32::from(ranges[0].high < ranges[1].low || ranges[1].high < ranges[0].low);
    }
    assert!(apart <= 3, "{apart} of 60 pairs do not overlap");
}

#[test]
fn a_gateway_made_slower_is_found_lower_by_as_much() {
    let held = |edge| Gateway { spread: 0.005, ..Gateway::new(edge, 5) }.search(Plan::default()).0.held as f64;
    let ratio = held(12_000.0) / held(30_000.0);
    assert!((ratio - 0.4).abs() < 0.03, "{ratio}");
}

#[test]
fn a_source_that_gives_out_is_told_and_not_taken_for_the_gateway() {
    let mut gateway = Gateway { source: 5_000.0, ..Gateway::new(80_000.0, 3) };
    let (answer, _) = gateway.search(Plan::default());
    assert_eq!((answer.status, answer.ended, answer.range), (Status::AtLeast, Ended::Source, None), "{answer:?}");
    assert!(answer.held <= 5_000 && answer.held > 4_300 && answer.held_runs >= 3, "{answer:?}");
    assert!(answer.void_runs >= 3, "{answer:?}");
}

#[test]
fn a_gateway_that_breaks_below_the_sources_end_is_found_all_the_same() {
    let mut gateway = Gateway { source: 3_100.0, ..Gateway::new(2_900.0, 3) };
    let (answer, _) = gateway.search(Plan::default());
    assert!(answer.held > 2_700 && answer.held <= 2_900, "{answer:?}");
    assert!(answer.range.is_some_and(|range| range.high >= 2_900), "{answer:?}");
}

#[test]
fn one_void_run_is_made_again_and_costs_nothing_else() {
    let mut gateway = Gateway::new(1_000.0, 1);
    let mut search = Search::new(Plan::default()).unwrap();
    let first = search.next();
    search.record(Verdict::Void);
    assert_eq!(search.next(), first);
    while let Some(probe) = search.next() {
        search.record(gateway.run(probe.calls));
    }
    let answer = search.answer();
    assert_eq!((answer.void_runs, answer.status), (1, Status::Found), "{answer:?}");
}

#[test]
fn a_source_that_never_works_leaves_it_open() {
    let (answer, _) = Gateway { source: 0.0, ..Gateway::new(1_000.0, 1) }.search(Plan::default());
    assert_eq!((answer.status, answer.held, answer.ended), (Status::Undetermined, 0, Ended::Source));
}

#[test]
fn a_gateway_that_carries_nothing_is_told_so() {
    let (answer, runs) = Gateway::new(0.01, 1).search(Plan::default());
    assert_eq!((answer.status, answer.held), (Status::NothingHeld, 0), "{answer:?}");
    assert!(runs < 20);
}

#[test]
fn the_most_that_may_be_tried_is_an_at_least() {
    let plan = Plan { most: 3_000, ..Plan::default() };
    let (answer, runs) = Gateway::new(80_000.0, 1).search(plan);
    assert_eq!((answer.status, answer.ended, answer.held), (Status::AtLeast, Ended::Maximum, 3_000), "{answer:?}");
    assert!(answer.held_runs >= 3 && runs < 12);
}

#[test]
fn one_disturbance_on_the_ramp_does_not_end_it() {
    let mut gateway = Gateway::new(50_000.0, 1);
    let mut search = Search::new(Plan::default()).unwrap();
    let mut disturbed = false;
    while let Some(probe) = search.next() {
        let disturb = probe.calls == 400 && !std::mem::replace(&mut disturbed, true);
        search.record(if disturb { Verdict::Breaks } else { gateway.run(probe.calls) });
    }
    let answer = search.answer();
    assert!(answer.held > 46_000, "{answer:?}");
    assert!(answer.violations.iter().all(|violation| violation.broke == 400) && !answer.violations.is_empty());
}

#[test]
fn interrupted_at_any_time_it_tells_what_is_known() {
    let mut gateway = Gateway::new(7_000.0, 1);
    let mut search = Search::new(Plan::default()).unwrap();
    let mut best = 0;
    while let Some(probe) = search.next() {
        let before = search.answer();
        assert_eq!(before.ended, Ended::Interrupted);
        assert!(before.held <= 7_000);
        best = best.max(before.held);
        search.record(gateway.run(probe.calls));
    }
    assert!(best > 6_000);
}

#[test]
fn a_ramp_of_short_runs_is_not_enough_to_say_that_a_number_held() {
    // What breaks in the second half of a full run.
    let mut search = Search::new(Plan::default()).unwrap();
    while let Some(probe) = search.next() {
        let edge = if probe.step == Step::Ramp { 10_000 } else { 6_000 };
        search.record(if probe.calls <= edge { Verdict::Holds } else { Verdict::Breaks });
    }
    let answer = search.answer();
    assert!(answer.held <= 6_000 && answer.held > 5_500, "{answer:?}");
}

#[test]
fn impossible_plans_are_refused() {
    let of = |plan| Search::new(plan).err();
    assert!(matches!(of(Plan { first: 0, ..Plan::default() }), Some(PlanError::First { .. })));
    assert!(matches!(of(Plan { first: 9, most: 8, ..Plan::default() }), Some(PlanError::First { .. })));
    assert_eq!(of(Plan { growth: 1.0, ..Plan::default() }), Some(PlanError::Growth(1.0)));
    assert!(matches!(of(Plan { growth: f64::NAN, ..Plan::default() }), Some(PlanError::Growth(_))));
    assert_eq!(of(Plan { resolution: 0.0, ..Plan::default() }), Some(PlanError::Resolution(0.0)));
    assert_eq!(of(Plan { confidence: 1.0, ..Plan::default() }), Some(PlanError::Confidence(1.0)));
    assert_eq!(of(Plan { repeats: 0, ..Plan::default() }), Some(PlanError::Runs));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Whatever the verdicts, the search ends within its budget and never tells what it did not see.
    #[test]
    fn any_verdicts_end_in_an_answer_that_they_support(
        verdicts in prop::collection::vec(0_u8..3, 1..60),
        first in 1_u64..5_000,
        most in 5_000_u64..2_000_000,
    ) {
        let mut search = Search::new(Plan { first, most, ..Plan::default() }).unwrap();
        let mut held = Vec::new();
        let mut said = verdicts.iter().cycle();
        while let Some(probe) = search.next() {
            prop_assert!((1..=most).contains(&probe.calls));
            let verdict = [Verdict::Holds, Verdict::Breaks, Verdict::Void][usize::from(*said.next().unwrap())];
            if verdict == Verdict::Holds { held.push(probe.calls); }
            search.record(verdict);
        }
        prop_assert!(search.runs() <= 60);
        let answer = search.answer();
        prop_assert!(answer.held == 0 || held.contains(&answer.held));
        prop_assert!(answer.ended != Ended::Interrupted);
        if let Some(range) = answer.range {
            prop_assert!(range.low <= range.high);
        }
    }
}
