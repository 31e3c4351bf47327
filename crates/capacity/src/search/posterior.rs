//! What verdicts say about where the edge lies.
//!
//! A run with `n` calls on a machine whose edge is at `c` holds with the probability
//!
//! ```text
//! (1 - disturbance) / (1 + exp((ln n - ln c) / spread))
//! ```
//!
//! The edge of a machine is not sharp (*spread*), and now and then something else breaks a run that should have held
//! (*disturbance*). Neither is known beforehand, so both are unknowns beside the edge; each has a few values that it may
//! have. Before the first run every order of magnitude is as likely as another. Bayes' rule does the rest, on a grid that
//! is laid twice: over everything, then over where the probability is.

use crate::report::Range;

/// Widths of the edge, relative to it, with how likely each is beforehand.
const SPREADS: [(f64, f64); 5] = [(0.002, 0.3), (0.006, 0.25), (0.02, 0.2), (0.05, 0.15), (0.1, 0.1)];
/// Shares of runs that something else breaks, with how likely each is beforehand.
const DISTURBANCES: [(f64, f64); 3] = [(0.005, 0.55), (0.06, 0.3), (0.18, 0.15)];
/// A run far above the edge holds no more often than this.
const FLUKE: f64 = 0.002;
/// The share of full runs that break among those whose beginning held, of all that break.
const BREAKS_LATE: f64 = 0.3;
/// Points of each grid.
const GRID: usize = 200;
/// What the finer grid may leave out on each side.
const LEFT_OUT: f64 = 1e-4;

/// A run: its number, and whether it held.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trial {
    pub(super) calls: u64,
    pub(super) held: bool,
    /// Shorter than a full run: that it broke says as much, that it held says less.
    pub(super) short: bool,
}

/// Where the edge may be.
pub(super) struct Posterior {
    /// Natural logarithms of the candidates, evenly apart.
    edges: Vec<f64>,
    /// The probability that the edge is at each or below.
    cumulated: Vec<f64>,
}

impl Posterior {
    /// The edge lies somewhere from 1 to `most`.
    pub(super) fn of(trials: &[Trial], most: u64) -> Self {
        let coarse = Self::on(trials, -0.7, (most.max(2) as f64).ln() + 0.7);
        let step = coarse.edges[1] - coarse.edges[0];
        let (low, high) = (coarse.quantile_ln(LEFT_OUT) - 2.0 * step, coarse.quantile_ln(1.0 - LEFT_OUT) + 2.0 * step);
        Self::on(trials, low, high)
    }

    fn on(trials: &[Trial], low: f64, high: f64) -> Self {
        let step = (high - low) / (GRID - 1) as f64;
        let edges: Vec<f64> = (0..GRID).map(|at| low + step * at as f64).collect();
        let logs: Vec<f64> = trials.iter().map(|trial| (trial.calls as f64).ln()).collect();
        // Per edge the likelihood of each pair of unknowns. A product of as many factors as a search has runs is far from
        // the smallest number there is.
        let mut weights = vec![0.0; GRID];
        for (weight, edge) in weights.iter_mut().zip(&edges) {
            for (spread, spread_prior) in SPREADS {
                // Finer than the grid an edge cannot be told: a spread below its step would let candidates fall between.
                let spread = spread.max(step * 0.5);
                let mut likelihoods = DISTURBANCES.map(|(_, prior)| spread_prior * prior);
                for (trial, ln) in trials.iter().zip(&logs) {
                    let undisturbed = 1.0 / (1.0 + ((ln - edge) / spread).exp());
                    for (likelihood, (disturbance, _)) in likelihoods.iter_mut().zip(DISTURBANCES) {
                        let holds = ((1.0 - disturbance) * undisturbed).max(FLUKE);
                        *likelihood *= match trial {
                            Trial { held: false, .. } => 1.0 - holds,
                            Trial { short: false, .. } => holds,
                            Trial { short: true, .. } => holds + BREAKS_LATE * (1.0 - holds),
                        };
                    }
                }
                *weight += likelihoods.iter().sum::<f64>();
            }
        }
        let mut sum = 0.0;
        let mut cumulated: Vec<f64> = weights
            .iter()
            .map(|weight| {
                sum += weight;
                sum
            })
            .collect();
        cumulated.iter_mut().for_each(|below| *below /= sum);
        Self { edges, cumulated }
    }

    fn quantile_ln(&self, quantile: f64) -> f64 {
        let at = self.cumulated.partition_point(|below| *below < quantile).min(GRID - 1);
        let before = if at == 0 { 0.0 } else { self.cumulated[at - 1] };
        let step = self.edges[1] - self.edges[0];
        let inside = (quantile - before) / (self.cumulated[at] - before).max(f64::MIN_POSITIVE);
        // The probability of a candidate is that of the step around it.
        self.edges[at] + step * (inside.clamp(0.0, 1.0) - 0.5)
    }

    /// The number that the edge is below with the probability `quantile`.
    pub(super) fn quantile(&self, quantile: f64) -> f64 {
        self.quantile_ln(quantile).exp()
    }

    /// The range that the edge lies in with the probability `confidence`, as much outside on either side.
    pub(super) fn range(&self, confidence: f64) -> Range {
        let outside = (1.0 - confidence) / 2.0;
        let low = self.quantile(outside).floor().max(0.0) as u64;
        let high = self.quantile(1.0 - outside).ceil() as u64;
        Range { low, high, confidence }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trial(calls: u64, held: bool) -> Trial {
        Trial { calls, held, short: false }
    }

    #[test]
    fn without_a_run_the_edge_may_be_anywhere() {
        let range = Posterior::of(&[], 100_000).range(0.9);
        assert!(range.low < 3 && range.high > 50_000, "{range:?}");
    }

    #[test]
    fn the_edge_lies_between_what_held_and_what_broke() {
        let above = [4000, 4000, 2000, 1400, 1200, 1100, 1020, 1020].map(|calls| trial(calls, false));
        let below = [500, 800, 900, 1000, 1000].map(|calls| trial(calls, true));
        let range = Posterior::of(&[&above[..], &below].concat(), 1_000_000).range(0.9);
        assert!(range.low > 930 && range.high < 1090 && range.low < 1010 && range.high > 1010, "{range:?}");
    }

    #[test]
    fn one_break_far_below_what_holds_is_taken_for_a_disturbance() {
        let mut trials = vec![trial(300, false)];
        trials.extend([trial(1000, true); 5]);
        trials.extend([trial(1100, false); 3]);
        let range = Posterior::of(&trials, 1_000_000).range(0.9);
        assert!(range.low > 850, "{range:?}");
    }

    #[test]
    fn contradictions_at_one_number_widen_the_range() {
        let sharp = Posterior::of(&[trial(1000, true), trial(1010, false)], 100_000).range(0.95);
        let mut trials = vec![trial(1000, true), trial(1010, false)];
        for calls in [900, 1000, 1100] {
            trials.extend([trial(calls, true), trial(calls, false)]);
        }
        let fuzzy = Posterior::of(&trials, 100_000).range(0.95);
        assert!(fuzzy.high - fuzzy.low > 2 * (sharp.high - sharp.low).min(100), "{sharp:?} {fuzzy:?}");
    }
}
