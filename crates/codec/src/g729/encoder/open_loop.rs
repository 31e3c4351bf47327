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
        let side = if lag % 2 == 0 { &self.even } else { &self.odd };
        &side[start..start + TERMS]
    }

    /// Half the correlation of the frame with what was `lag` samples before, and half its energy.
    #[inline(always)]
    fn correlation(&self, lag: usize) -> L {
        let present = &self.even[PRESENT..PRESENT + TERMS];
        let delayed = self.delayed(lag);
        let mut sums = [L::zero(); 2];
        for k in (0..TERMS).step_by(4) {
            sums[0] = sums[0].dot2(present[k], delayed[k]);
            sums[1] = sums[1].dot2(present[k + 2], delayed[k + 2]);
        }
        sums[0].add_wrap(sums[1])
    }

    /// [`Decimated::correlation`], doubled, with the limits of the Recommendation.
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
    if odd.max(even).ge(limit).any() {
        L::stage(
            #[inline(always)]
            || {
                search(
                    #[inline(always)]
                    |lag| decimated.correlation_limited(lag),
                    #[inline(always)]
                    |lag| {
                        // The windows differ from lane to lane: all of them, and each lane keeps its own.
                        let mut found = L::splat(1);
                        for candidate in LAG_MIN - 1..=LAG_MAX {
                            let mut sum = L::splat(1);
                            for pair in decimated.delayed(candidate) {
                                sum = sum.l_mac(pair.low(), pair.low());
                            }
                            found = L::select(lag.eq(L::splat(candidate as i32)), sum, found);
                        }
                        found
                    },
                )
            },
        )
    } else {
        L::stage(
            #[inline(always)]
            || {
                // No correlation exceeds the energy of all, and nothing was limited.
                let doubled = always!(|sum: L| sum.add_wrap(sum));
                let energies = lag_energies(&decimated);
                search(
                    #[inline(always)]
                    |lag| doubled(decimated.correlation(lag)),
                    #[inline(always)]
                    |lag| doubled(L::pick(&energies, lag.sub_wrap(L::splat(LAG_MIN as i32 - 1)))).add_wrap(L::splat(1)),
                )
            },
        )
    }
}

/// Half the energy of the delayed samples for every lag from 19 on, each from that two samples before.
#[inline(always)]
fn lag_energies<L: Lanes>(decimated: &Decimated<L>) -> [L; LAG_MAX - LAG_MIN + 2] {
    let mut energies = [L::zero(); LAG_MAX - LAG_MIN + 2];
    for first in [LAG_MIN - 1, LAG_MIN] {
        let mut energy = L::zero();
        for pair in decimated.delayed(first).iter().step_by(2) {
            energy = energy.dot2(*pair, *pair);
        }
        energies[first + 1 - LAG_MIN] = energy;
        let mut lag = first + 2;
        while lag <= LAG_MAX {
            let newest = decimated.delayed(lag - 2)[TERMS - 1].and(L::splat(0xffff));
            let oldest = decimated.delayed(lag)[0].and(L::splat(0xffff));
            energy = energy.dot2(oldest, oldest).sub_wrap(L::zero().dot2(newest, newest));
            energies[lag + 1 - LAG_MIN] = energy;
            lag += 2;
        }
    }
    energies
}

#[inline(always)]
fn search<L: Lanes>(correlation: impl Fn(usize) -> L, energy: impl Fn(L) -> L) -> L {
    let range = always!(|lags: &mut dyn Iterator<Item = usize>| {
        let mut best = Candidate::new(LAG_MIN);
        for lag in lags {
            best.see(L::splat(lag as i32), correlation(lag));
        }
        best
    });
    let mut short = range(&mut (20..40));
    let mut medium = range(&mut (40..80));

    // Every second lag first, then the neighbours of the best.
    let mut all = [L::zero(); LAG_MAX - 79 + 1];
    for (i, sum) in all.iter_mut().enumerate() {
        *sum = correlation(79 + i);
    }
    let mut long = Candidate::new(80);
    let (mut above, mut below) = (L::zero(), L::zero());
    for lag in (80..143).step_by(2) {
        let better = all[lag - 79].gt(long.correlation);
        above = L::select(better, all[lag - 78], above);
        below = L::select(better, all[lag - 80], below);
        long.see(L::splat(lag as i32), all[lag - 79]);
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
