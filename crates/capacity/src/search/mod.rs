//! The search for the largest number that holds.
//!
//! [`Search::next`] says which run to make; [`Search::record`] is told its verdict; [`Search::answer`] says at any time
//! what is known. What is counted (calls, calls per second), what a run is and how it is judged is the caller's business.
//!
//! 1. **Ramp**: from [`Plan::first`] on, each number [`Plan::growth`] times the last, until one breaks twice. A single
//!    break may be a disturbance. Where the first one breaks, downwards. These runs may be shorter.
//! 2. **Bisect**: at the number that the edge is as likely above as below, by all runs so far (see `posterior.rs`). While
//!    the edge is sharp this halves the bracket; once verdicts contradict each other it repeats around the edge by itself.
//! 3. **Edge**: when the range is as narrow as asked, its lower end is repeated until it has held as often as asked. If
//!    it breaks there, the range has moved, and so does the end.
//!
//! A void run is made again, [`Plan::void_retries`] times; when all are void the number is beyond the source, and the
//! search goes on below it.

mod posterior;

use crate::report::{Answer, Ended, Range, Status, Step, Verdict, Violation};
use posterior::{Posterior, Trial};

/// A range whose ends are no further apart than this factor is near the edge.
const NEAR: f64 = 1.15;
/// Near the edge runs are made at this quantile of where it may be, and at its opposite.
const FLANK: f64 = 0.15;

/// How to search.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plan {
    /// The number to begin with.
    pub first: u64,
    /// The largest number that may be tried.
    pub most: u64,
    /// The factor between two steps of the ramp, above 1.
    pub growth: f64,
    /// How narrow the range is to be, relative to its middle: 0.02 is 2 %.
    pub resolution: f64,
    /// The probability that the edge is to lie within the range.
    pub confidence: f64,
    /// Runs that narrow the range, at most: where the edge is fuzzy it stays wider than asked, and says so.
    pub bisections: u32,
    /// Runs of full length that the number told must have held in.
    pub repeats: u32,
    /// How often a void run is made again.
    pub void_retries: u32,
    /// Runs at most, void ones included.
    pub budget: u32,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            first: 100,
            most: 1_000_000,
            growth: 2.0,
            resolution: 0.03,
            confidence: 0.95,
            bisections: 20,
            repeats: 3,
            void_retries: 2,
            budget: 60,
        }
    }
}

/// Why a search cannot be planned so.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum PlanError {
    /// The first number.
    #[error("the first number must be at least 1 and at most {most}, not {first}")]
    First {
        /// As given.
        first: u64,
        /// The largest.
        most: u64,
    },
    /// The growth.
    #[error("the growth must be above 1.05 and at most 10, not {0}")]
    Growth(f64),
    /// The resolution.
    #[error("the resolution must be from 0.001 to 0.5, not {0}")]
    Resolution(f64),
    /// The confidence.
    #[error("the confidence must be from 0.5 to 0.999, not {0}")]
    Confidence(f64),
    /// Repeats or budget.
    #[error("at least one repeat, and a budget of at least 4 runs")]
    Runs,
}

/// A run to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// With how many.
    pub calls: u64,
    /// Why.
    pub step: Step,
}

/// A run that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    probe: Probe,
    verdict: Verdict,
}

/// A search under way.
#[derive(Clone, Debug)]
pub struct Search {
    plan: Plan,
    runs: Vec<Run>,
    /// What the next run is; none once the search has ended.
    next: Option<Probe>,
    ended: Ended,
    /// The least number that is beyond the source.
    beyond_source: Option<u64>,
}

impl Search {
    /// A search before its first run.
    ///
    /// # Errors
    /// A plan that cannot be carried out.
    pub fn new(plan: Plan) -> Result<Self, PlanError> {
        if plan.first == 0 || plan.first > plan.most {
            return Err(PlanError::First { first: plan.first, most: plan.most });
        }
        if !(plan.growth > 1.05 && plan.growth <= 10.0) {
            return Err(PlanError::Growth(plan.growth));
        }
        if !(0.001..=0.5).contains(&plan.resolution) {
            return Err(PlanError::Resolution(plan.resolution));
        }
        if !(0.5..=0.999).contains(&plan.confidence) {
            return Err(PlanError::Confidence(plan.confidence));
        }
        if plan.repeats == 0 || plan.budget < 4 {
            return Err(PlanError::Runs);
        }
        let next = Some(Probe { calls: plan.first, step: Step::Ramp });
        Ok(Self { plan, runs: Vec::new(), next, ended: Ended::Interrupted, beyond_source: None })
    }

    /// The run to make; none once the search has ended. The same until a verdict is recorded.
    pub fn next(&self) -> Option<Probe> {
        self.next
    }

    /// Takes what came of the run that [`Search::next`] told. Once the search has ended there is nothing to take.
    pub fn record(&mut self, verdict: Verdict) {
        let Some(probe) = self.next else { return };
        self.runs.push(Run { probe, verdict });
        self.next = match self.decide(probe, verdict) {
            Ok(next) if self.runs.len() < self.plan.budget as usize => Some(next),
            Ok(_) => {
                self.ended = Ended::Budget;
                None
            }
            Err(ended) => {
                self.ended = ended;
                None
            }
        };
    }

    /// Runs made so far.
    pub fn runs(&self) -> usize {
        self.runs.len()
    }

    /// The range as it stands; none until one run held and one broke.
    pub fn range(&self) -> Option<Range> {
        let any = |verdict| self.runs.iter().any(|run| run.verdict == verdict);
        (any(Verdict::Holds) && any(Verdict::Breaks)).then(|| self.posterior().range(self.plan.confidence))
    }

    /// What is known now.
    pub fn answer(&self) -> Answer {
        let held = self.best_held();
        let range = self.range().map(|range| self.with_measured(range, held));
        let full = |calls| self.count(calls, Verdict::Holds, true);
        let status = match (held, range) {
            (Some(_), Some(_)) if self.ended == Ended::Resolved => Status::Found,
            // A budget or an interruption between: the range holds for what was run, however wide.
            (Some(calls), Some(_)) if full(calls) > 0 && self.ended != Ended::Source => Status::Found,
            (Some(_), _) => Status::AtLeast,
            (None, _) if self.broke_for_good(1) => Status::NothingHeld,
            (None, _) => Status::Undetermined,
        };
        Answer {
            status,
            held: held.unwrap_or(0),
            held_runs: held.map_or(0, full),
            range,
            ended: self.ended,
            void_runs: self.runs.iter().filter(|run| run.verdict == Verdict::Void).count() as u32,
            violations: self.violations(),
            extrapolation: None,
        }
    }

    /// What comes after a verdict, or why nothing does.
    fn decide(&mut self, probe: Probe, verdict: Verdict) -> Result<Probe, Ended> {
        if verdict == Verdict::Void {
            if self.voids_in_a_row() <= self.plan.void_retries {
                return Ok(probe);
            }
            self.beyond_source = Some(self.beyond_source.map_or(probe.calls, |least| least.min(probe.calls)));
        }
        match self.beyond_source {
            Some(least) => self.below_source(least),
            None if probe.step == Step::Ramp => self.ramp(probe, verdict),
            None => self.narrow(),
        }
    }

    fn ramp(&self, probe: Probe, verdict: Verdict) -> Result<Probe, Ended> {
        let step = |calls| Ok(Probe { calls, step: Step::Ramp });
        let growth = self.plan.growth;
        if verdict == Verdict::Holds {
            // On the way down the first that holds ends the ramp.
            if self.runs.iter().any(|run| run.verdict == Verdict::Breaks && self.broke_for_good(run.probe.calls)) {
                return self.narrow();
            }
            if probe.calls == self.plan.most {
                // A shorter run held there; full ones have to.
                return self.repeat(probe.calls).ok_or(Ended::Maximum);
            }
            return step(((probe.calls as f64 * growth).ceil() as u64).min(self.plan.most));
        }
        if !self.broke_for_good(probe.calls) {
            return step(probe.calls);
        }
        let any_held = self.runs.iter().any(|run| run.verdict == Verdict::Holds);
        match probe.calls {
            _ if any_held => self.narrow(),
            1 => Err(Ended::Resolved),
            calls => step(((calls as f64 / (growth * growth)).floor() as u64).max(1)),
        }
    }

    /// Bisects while the range is wide; repeats its lower end once it is not.
    fn narrow(&self) -> Result<Probe, Ended> {
        let most = self.plan.most;
        if self.count(most, Verdict::Holds, false) > 0 && self.count(most, Verdict::Breaks, false) == 0 {
            return self.repeat(most).ok_or(Ended::Maximum);
        }
        let posterior = self.posterior();
        let range = posterior.range(self.plan.confidence);
        let middle = posterior.quantile(0.5);
        // Two whole numbers side by side cannot be told further apart.
        let narrow_enough = (middle * self.plan.resolution).max(2.0);
        let bisected = self.runs.iter().filter(|run| run.probe.step == Step::Bisect).count();
        if (range.high - range.low) as f64 > narrow_enough && bisected < self.plan.bisections as usize {
            // Far from the edge its middle halves the bracket; near it, the flanks tell how fuzzy it is.
            let near = range.high as f64 <= range.low as f64 * NEAR;
            let quantile = match bisected % 2 {
                _ if !near => 0.5,
                0 => FLANK,
                _ => 1.0 - FLANK,
            };
            let calls = (posterior.quantile(quantile).round() as u64).clamp(1, self.plan.most);
            // A break that is sure enough is not made a third time; nor is a hold.
            let calls = self.off_settled(calls);
            return Ok(Probe { calls, step: Step::Bisect });
        }
        let candidate = self.candidate(&range);
        self.repeat(candidate).ok_or(if candidate >= self.plan.most { Ended::Maximum } else { Ended::Resolved })
    }

    /// The number whose holding is to be made sure of: the largest in or below the range that held more than it broke,
    /// else the range's lower end.
    fn candidate(&self, range: &Range) -> u64 {
        let held = self.runs.iter().filter(|run| run.verdict == Verdict::Holds && run.probe.step != Step::Ramp);
        let good = held.map(|run| run.probe.calls).filter(|calls| self.mostly_holds(*calls)).max();
        let low = range.low.clamp(1, self.plan.most);
        match good {
            Some(calls) if calls as f64 >= low as f64 * (1.0 - self.plan.resolution) => calls,
            // The range's end broke when it was tried: a step below it.
            _ if self.count(low, Verdict::Breaks, false) > 0 => {
                let mut below = low;
                let step = (low as f64 * self.plan.resolution / 2.0).ceil().max(1.0) as u64;
                while below > 1 && self.count(below, Verdict::Breaks, false) > self.count(below, Verdict::Holds, true) {
                    below = below.saturating_sub(step).max(1);
                }
                below
            }
            _ => low,
        }
    }

    /// One more run at a number that is to hold, unless it has held often enough.
    fn repeat(&self, calls: u64) -> Option<Probe> {
        let (held, broke) = (self.count(calls, Verdict::Holds, true), self.count(calls, Verdict::Breaks, true));
        // Each break among them wants as many holds again.
        (held < self.plan.repeats * (1 + broke)).then_some(Probe { calls, step: Step::Edge })
    }

    /// The source cannot drive `least`: between what held and that.
    fn below_source(&self, least: u64) -> Result<Probe, Ended> {
        let broke = self.runs.iter().filter(|run| run.verdict == Verdict::Breaks && run.probe.calls < least);
        let mut broken = broke.map(|run| run.probe.calls).filter(|calls| self.broke_for_good(*calls));
        if broken.next().is_some() {
            // The gateway's edge lies below the source's all the same.
            return self.narrow();
        }
        let held = self.runs.iter().filter(|run| run.verdict == Verdict::Holds).map(|run| run.probe.calls).max();
        let Some(held) = held else {
            return if least == 1 {
                Err(Ended::Source)
            } else {
                Ok(Probe { calls: (least / 4).max(1), step: Step::Ramp })
            };
        };
        // The source's own edge does not have to be known finely.
        let near = (held as f64 * (self.plan.resolution * 4.0)).max(1.0);
        if least.saturating_sub(held) as f64 > near {
            let middle = ((held as f64) * (least as f64)).sqrt().round() as u64;
            return Ok(Probe { calls: middle.clamp(held + 1, least - 1), step: Step::Bisect });
        }
        self.repeat(held).ok_or(Ended::Source)
    }

    fn posterior(&self) -> Posterior {
        let trials: Vec<Trial> = self
            .runs
            .iter()
            .filter_map(|run| match (run.verdict, run.probe.step) {
                (Verdict::Void, _) => None,
                (verdict, step) => {
                    Some(Trial { calls: run.probe.calls, held: verdict == Verdict::Holds, short: step == Step::Ramp })
                }
            })
            .collect();
        Posterior::of(&trials, self.ceiling())
    }

    /// The largest number that an edge is looked for at.
    fn ceiling(&self) -> u64 {
        self.beyond_source.unwrap_or(self.plan.most).max(2)
    }

    /// Steps aside by a little where a number has been run twice with one outcome: its neighbour says more.
    fn off_settled(&self, calls: u64) -> u64 {
        let (held, broke) = (self.count(calls, Verdict::Holds, true), self.count(calls, Verdict::Breaks, true));
        let step = (calls as f64 * self.plan.resolution / 4.0).ceil() as u64;
        match (held, broke) {
            (2.., 0) => (calls + step).min(self.plan.most),
            (0, 2..) => calls.saturating_sub(step).max(1),
            _ => calls,
        }
    }

    fn count(&self, calls: u64, verdict: Verdict, full_only: bool) -> u32 {
        let counts = |run: &&Run| {
            run.probe.calls == calls && run.verdict == verdict && !(full_only && run.probe.step == Step::Ramp)
        };
        self.runs.iter().filter(counts).count() as u32
    }

    fn mostly_holds(&self, calls: u64) -> bool {
        self.count(calls, Verdict::Holds, true) > 2 * self.count(calls, Verdict::Breaks, false)
    }

    /// Broke twice, and more often than it held.
    fn broke_for_good(&self, calls: u64) -> bool {
        let broke = self.count(calls, Verdict::Breaks, false);
        broke >= 2 && broke > self.count(calls, Verdict::Holds, false)
    }

    fn voids_in_a_row(&self) -> u32 {
        let last = self.runs.last().map(|run| run.probe.calls);
        let same = |run: &&Run| run.verdict == Verdict::Void && Some(run.probe.calls) == last;
        self.runs.iter().rev().take_while(same).count() as u32
    }

    /// The largest number that held, in full runs where there are any, and did not break as often.
    fn best_held(&self) -> Option<u64> {
        let best = |full_only: bool| {
            let held = self.runs.iter().filter(|run| run.verdict == Verdict::Holds);
            let held = held.filter(|run| !full_only || run.probe.step != Step::Ramp).map(|run| run.probe.calls);
            held.filter(|calls| self.mostly_holds(*calls) || (!full_only && !self.broke_for_good(*calls))).max()
        };
        let repeated = self.runs.iter().filter(|run| run.probe.step == Step::Edge).map(|run| run.probe.calls);
        // What was repeated to be sure of it is worth more than a single run that held above it.
        let sure = repeated.filter(|calls| self.repeat(*calls).is_none()).max();
        sure.or_else(|| best(true)).or_else(|| best(false))
    }

    /// A number that was measured and is told belongs to the range that is told with it.
    fn with_measured(&self, range: Range, held: Option<u64>) -> Range {
        let low = held.map_or(range.low, |held| range.low.min(held));
        Range { low, high: range.high.max(low), ..range }
    }

    fn violations(&self) -> Vec<Violation> {
        let broke = self.runs.iter().filter(|run| run.verdict == Verdict::Breaks).map(|run| run.probe.calls).min();
        let Some(broke) = broke else { return Vec::new() };
        let held = self.runs.iter().filter(|run| run.verdict == Verdict::Holds && run.probe.calls > broke);
        let mut held: Vec<u64> = held.map(|run| run.probe.calls).collect();
        held.sort_unstable();
        held.dedup();
        held.into_iter().map(|held| Violation { held, broke }).collect()
    }
}
