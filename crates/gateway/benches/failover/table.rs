//! The tables.

use std::fmt::Write as _;
use std::time::Duration;

use crate::account::Account;
use crate::cases::Case;
use crate::ms;
use crate::run::{Gap, Run};
use crate::support::talkers::quantile;

/// Longer gaps count as not resolved.
pub const UNRESOLVED: Duration = Duration::from_millis(400);

/// All runs of one case.
pub struct Summary {
    pub case: Case,
    runs: usize,
    calls: usize,
    lost: usize,
    silent: usize,
    /// To the caller, to the callee.
    pub gaps: [Vec<Duration>; 2],
    /// Both without the time that the parties themselves were away, which may have been when nothing was to be heard anyway.
    own: Vec<Duration>,
    /// The most that the parties were away in a gap.
    stalled: Duration,
    from_two: u64,
    duplicates: u64,
    missing: i64,
    /// The median of each step.
    steps: [Option<Duration>; 5],
    /// And of when all calls were restored, beside them.
    restored: Option<Duration>,
}

impl Summary {
    pub fn of(case: Case, runs: &[Run]) -> Self {
        let gaps = [0, 1].map(|party| runs.iter().flat_map(|run| &run.gaps[party]).map(|gap| gap.whole).collect());
        let median = |of: &dyn Fn(&Account) -> Option<Duration>| {
            let each: Vec<Duration> = runs.iter().filter_map(|run| of(&run.account)).collect();
            (!each.is_empty()).then(|| quantile(&each, 0.5))
        };
        let calls = runs.iter().map(|run| run.calls).sum::<usize>();
        Self {
            case,
            runs: runs.len(),
            calls,
            lost: runs.iter().map(Run::lost).sum(),
            silent: runs.iter().map(|run| run.silent).sum(),
            gaps,
            own: runs.iter().flat_map(Run::gaps).map(Gap::own).collect(),
            stalled: runs.iter().flat_map(Run::gaps).map(|gap: Gap| gap.stalled).max().unwrap_or_default(),
            from_two: runs.iter().map(|run| run.from_two).sum(),
            duplicates: runs.iter().map(|run| run.duplicates).sum(),
            missing: calls as i64 - runs.iter().map(|run| run.records as i64).sum::<i64>(),
            steps: [0, 1, 2, 3, 4].map(|at| median(&|account| account.steps()[at])),
            restored: median(&|account| account.restored),
        }
    }

    fn unresolved(&self) -> usize {
        self.gaps.iter().flatten().filter(|gap| **gap > UNRESOLVED).count()
    }

    /// What is not as it is to be.
    pub fn misses(&self) -> Vec<String> {
        let p99 = quantile(&self.own, 0.99);
        let found = [
            (self.lost > 0, format!("{} calls lost", self.lost)),
            (self.silent > 0, format!("{} parties heard nothing in the end", self.silent)),
            (self.missing != 0, format!("{} records lost", self.missing)),
            (self.from_two > 0, format!("{} packets of two gateways at once", self.from_two)),
            (self.duplicates > 0, format!("{} duplicate answers", self.duplicates)),
            (self.unresolved() > 0, format!("{} gaps above {} ms", self.unresolved(), UNRESOLVED.as_millis())),
            (p99 > self.case.goal(), format!("p99 is {} ms, {} ms wanted", ms(p99), self.case.goal().as_millis())),
        ];
        let name = self.case.name();
        found.into_iter().filter(|(is_so, _)| *is_so).map(|(_, what)| format!("{name}: {what}")).collect()
    }
}

/// What each case cost.
pub fn costs(summaries: &[Summary]) -> String {
    let mut table = String::from(
        "| case | runs | calls lost | gap to the caller: p50 / p99 / most ms | to the callee | p99 without the parties' own stalls | these at most, ms | above 400 ms | \
         packets of two | duplicate answers | records lost |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for summary in summaries {
        let of = |gaps: &[Duration]| [0.5, 0.99, 1.0].map(|share| ms(quantile(gaps, share)).to_string()).join(" / ");
        // Writing to a string does not fail, here and below.
        let _ = writeln!(
            table,
            "| {} | {} | {} of {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            summary.case.name(),
            summary.runs,
            summary.lost,
            summary.calls,
            of(&summary.gaps[0]),
            of(&summary.gaps[1]),
            ms(quantile(&summary.own, 0.99)),
            ms(summary.stalled),
            summary.unresolved(),
            summary.from_two,
            summary.duplicates,
            summary.missing,
        );
    }
    table
}

/// What the gaps consist of.
pub fn durations(summaries: &[Summary]) -> String {
    let mut table = format!(
        "| medians, ms | {} | after the fault: all calls restored |\n| --- |{}\n",
        Account::STEPS.join(" | "),
        " --- |".repeat(6)
    );
    for summary in summaries.iter().filter(|summary| summary.case.moves()) {
        let all = summary.steps.into_iter().chain([summary.restored]);
        let steps: Vec<String> = all.map(|step| step.map_or("-".to_owned(), |step| ms(step).to_string())).collect();
        let _ = writeln!(table, "| {} | {} |", summary.case.name(), steps.join(" | "));
    }
    table
}
