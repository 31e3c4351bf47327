//! Open-loop pitch search on the weighted speech, once per frame (ITU-T G.729 Annex A clause A.3.4).

use crate::g729::FRAME_SAMPLES;
use crate::g729::functions::inv_sqrt;
use crate::isa::{BasicOp, LaneMask, Lanes, always};

/// Weighted speech kept for the search: the longest lag, and one sample to make it even.
pub(super) const WEIGHTED_HISTORY: usize = 144;
/// Pairs of the weighted speech: history and frame.
pub(super) const WEIGHTED_PAIRS: usize = (WEIGHTED_HISTORY + FRAME_SAMPLES) / 2;

/// Shortest and longest lag.
pub(super) const LAG_MIN: usize = 20;
pub(super) const LAG_MAX: usize = 143;

/// Even and odd samples apart, each as pairs of neighbours that overlap: entry `k` has samples `2k` and `2k + 2`,
/// or `2k + 1` and `2k + 3`, counted from the start of the history.
struct Decimated<L> {
    even: [L; WEIGHTED_PAIRS],
    odd: [L; WEIGHTED_PAIRS],
}

const PRESENT: usize = WEIGHTED_HISTORY / 2;
const TERMS: usize = FRAME_SAMPLES / 2;

impl<L: Lanes> Decimated<L> {
    #[inline(always)]
    fn new(v: &[L; WEIGHTED_PAIRS]) -> Self {
        let mut even = [L::zero(); WEIGHTED_PAIRS];
        let mut odd = [L::zero(); WEIGHTED_PAIRS];
        for k in 0..WEIGHTED_PAIRS {
            let next = if k + 1 < WEIGHTED_PAIRS { v[k + 1] } else { L::zero() };
            even[k] = L::pair(v[k], next);
            odd[k] = L::pair(v[k].high(), next.high());
        }
        Self { even, odd }
    }

    /// Delayed samples at the places of the even ones, from the first of the frame on.
    #[inline(always)]
    fn delayed(&self, lag: usize) -> &[L] {
        let start = PRESENT - lag.div_ceil(2);
        let side = if lag.is_multiple_of(2) { &self.even } else { &self.odd };
        &side[start..start + TERMS]
    }

    /// Half the correlations of the frame with what was `lag`, `lag + 2` .. samples before.
    #[inline(always)]
    fn correlations<const M: usize>(&self, lag: usize) -> [L; M] {
        let present = &self.even[PRESENT..PRESENT + TERMS];
        let side = if lag.is_multiple_of(2) { &self.even } else { &self.odd };
        let first = PRESENT - lag.div_ceil(2) - (M - 1);
        let delayed = &side[first..first + TERMS + M - 1];
        let mut sums = [L::zero(); M];
        for k in (0..TERMS).step_by(2) {
            for (i, sum) in sums.iter_mut().enumerate() {
                *sum = sum.dot2(present[k], delayed[k + M - 1 - i]);
            }
        }
        sums
    }

    /// One of [`Decimated::correlations`], doubled, with the limits of the Recommendation.
    #[inline(always)]
    fn correlation_limited(&self, lag: usize) -> L {
        let present = &self.even[PRESENT..PRESENT + TERMS];
        let delayed = self.delayed(lag);
        let mut sum = L::zero();
        for k in 0..TERMS {
            sum = sum.l_mac(present[k].low(), delayed[k].low());
        }
        sum
    }
}

/// The best lag of a range.
#[derive(Clone, Copy)]
struct Candidate<L> {
    lag: L,
    correlation: L,
}

impl<L: Lanes> Candidate<L> {
    #[inline(always)]
    fn new(lag: usize) -> Self {
        Self { lag: L::splat(lag as i32), correlation: L::splat(i32::MIN) }
    }
    #[inline(always)]
    fn see(&mut self, lag: L, correlation: L) {
        let better = correlation.gt(self.correlation);
        self.lag = L::select(better, lag, self.lag);
        self.correlation = self.correlation.max(correlation);
    }
}

/// Open-loop lag of the frame at the end of `weighted`.
#[inline(always)]
pub(super) fn open_loop_lag<L: Lanes>(weighted: &[L; WEIGHTED_PAIRS]) -> L {
    let mut v = *weighted;
    // Before the oldest lag there is one sample that only makes the history even.
    v[0] = v[0].and(L::splat(!0xffff));
    // Half energies of odd and even places; only the odd ones decide the scale.
    let energies = always!(|v: &[L; WEIGHTED_PAIRS]| {
        let mut odd = [L::zero(); 2];
        let mut even = [L::zero(); 2];
        for (k, v) in v.iter().enumerate() {
            odd[k % 2] = odd[k % 2].dot2_squares(v.and(L::splat(!0xffff)));
            even[k % 2] = even[k % 2].dot2_squares(v.and(L::splat(0xffff)));
        }
        (odd[0].l_add(odd[1]), even[0].l_add(even[1]))
    });
    let (energy, _) = energies(&v);
    let limit = L::splat(1 << 30);
    let down = energy.ge(limit);
    let up = energy.lt(L::splat(1 << 19));
    for v in &mut v {
        let raised = L::pair(v.low().shl_n::<3>(), v.high().shl_n::<3>());
        *v = L::select(up, raised, L::select(down, v.sra_x2::<3>(), *v));
    }
    let decimated = Decimated::new(&v);
    let (odd, even) = energies(&v);
    let exact = !odd.max(even).ge(limit).any();
    let correlations = L::stage(
        #[inline(always)]
        || if exact { decimated.all_correlations() } else { decimated.all_correlations_limited() },
    );
    L::stage(
        #[inline(always)]
        || {
            if exact {
                let energies = decimated.all_energies();
                let energy = always!(|lag: L| {
                    let half = L::pick(&energies, lag.sub_wrap(L::splat(LAG_MIN as i32)));
                    half.add_wrap(half).add_wrap(L::splat(1))
                });
                search(&correlations, energy)
            } else {
                search(
                    &correlations,
                    #[inline(always)]
                    |lag| decimated.energy_limited(lag),
                )
            }
        },
    )
}

/// Lags, one value for each.
const LAGS: usize = LAG_MAX - LAG_MIN + 1;
/// Lags whose correlations are computed side by side.
const BLOCK: usize = 6;

impl<L: Lanes> Decimated<L> {
    /// Correlations of all lags. None exceeds the energy of all samples, where that is not limited.
    #[inline(always)]
    fn all_correlations(&self) -> [L; LAGS] {
        let mut all = [L::zero(); LAGS];
        for first in (0..LAGS - 4).step_by(2 * BLOCK) {
            for parity in 0..2 {
                let sums: [L; BLOCK] = self.correlations(LAG_MIN + first + parity);
                for (i, sum) in sums.iter().enumerate() {
                    all[first + parity + 2 * i] = sum.add_wrap(*sum);
                }
            }
        }
        for parity in 0..2 {
            let sums: [L; 2] = self.correlations(LAG_MIN + LAGS - 4 + parity);
            for (i, sum) in sums.iter().enumerate() {
                all[LAGS - 4 + parity + 2 * i] = sum.add_wrap(*sum);
            }
        }
        all
    }

    /// The same with the limits of the Recommendation.
    #[inline(always)]
    fn all_correlations_limited(&self) -> [L; LAGS] {
        let mut all = [L::zero(); LAGS];
        for (i, sum) in all.iter_mut().enumerate() {
            *sum = self.correlation_limited(LAG_MIN + i);
        }
        all
    }

    /// Half the energy of the delayed samples for every lag, each from that two samples before.
    #[inline(always)]
    fn all_energies(&self) -> [L; LAGS] {
        let mut energies = [L::zero(); LAGS];
        let low = L::splat(0xffff);
        for parity in 0..2 {
            let first = self.delayed(LAG_MIN + parity);
            let mut energy = L::zero();
            for pair in first.iter().step_by(2) {
                energy = energy.dot2(*pair, *pair);
            }
            energies[parity] = energy;
            for i in (parity + 2..LAGS).step_by(2) {
                let newest = self.delayed(LAG_MIN + i - 2)[TERMS - 1].and(low);
                let oldest = self.delayed(LAG_MIN + i)[0].and(low);
                energy = energy.dot2(oldest, oldest).sub_wrap(newest.products(newest));
                energies[i] = energy;
            }
        }
        energies
    }

    /// The energy at each lane's own lag, with the limits of the Recommendation.
    #[inline(always)]
    fn energy_limited(&self, lag: L) -> L {
        let mut found = L::zero();
        for candidate in LAG_MIN..=LAG_MAX {
            let mut sum = L::splat(1);
            for pair in self.delayed(candidate) {
                let sample = pair.low();
                sum = sum.l_mac(sample, sample);
            }
            found = L::select(lag.eq(L::splat(candidate as i32)), sum, found);
        }
        found
    }
}

#[inline(always)]
fn search<L: Lanes>(correlations: &[L; LAGS], energy: impl Fn(L) -> L) -> L {
    let at = always!(|lag: usize| correlations[lag - LAG_MIN]);
    let range = always!(|first: usize, last: usize| {
        let mut best = Candidate::new(LAG_MIN);
        for lag in first..=last {
            best.see(L::splat(lag as i32), at(lag));
        }
        best
    });
    let mut short = range(20, 39);
    let mut medium = range(40, 79);

    // Every second lag first, then the neighbours of the best.
    let mut long = Candidate::new(80);
    let (mut above, mut below) = (L::zero(), L::zero());
    for lag in (80..143).step_by(2) {
        let better = at(lag).gt(long.correlation);
        above = L::select(better, at(lag + 1), above);
        below = L::select(better, at(lag - 1), below);
        long.see(L::splat(lag as i32), at(lag));
    }
    let centre = long.lag;
    long.see(centre.add_wrap(L::splat(1)), above);
    long.see(centre.sub_wrap(L::splat(1)), below);

    for candidate in [&mut short, &mut medium, &mut long] {
        let root = inv_sqrt(energy(candidate.lag));
        candidate.correlation = L::mpy_32(candidate.correlation.l_extract(), root.l_extract()).extract_l();
    }
    favour_short(short, medium, long)
}

/// Multiples of a short lag speak for it; then the greatest, the shortest first.
#[inline(always)]
fn favour_short<L: Lanes>(mut short: Candidate<L>, mut medium: Candidate<L>, long: Candidate<L>) -> L {
    let near = always!(|distance: L, limit: i32| distance.max(L::zero().sub_wrap(distance)).lt(L::splat(limit)));
    let support = always!(|of: &mut Candidate<L>, multiple: L, by: L| {
        let twice = of.lag.add_wrap(of.lag).sub_wrap(multiple);
        for (distance, limit) in [(twice, 5), (twice.add_wrap(of.lag), 7)] {
            let supported = of.correlation.add(by);
            of.correlation = L::select(near(distance, limit), supported, of.correlation);
        }
    });
    support(&mut medium, long.lag, long.correlation.sra::<2>());
    support(&mut short, medium.lag, medium.correlation.mult(L::splat(6554)));
    short.see(medium.lag, medium.correlation);
    short.see(long.lag, long.correlation);
    short.lag
}

/// First lag of the closed-loop search of the first subframe: seven lags around `lag`.
#[inline(always)]
pub(super) fn first_range<L: Lanes>(lag: L) -> L {
    lag.sub_wrap(L::splat(3)).clamp(LAG_MIN as i32, LAG_MAX as i32 - 6)
}
