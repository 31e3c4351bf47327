//! Closed-loop pitch search: lag in thirds of a sample and adaptive-codebook gain
//! (ITU-T G.729 clause 3.7, Annex A clause A.3.7).

use super::correlation::{LIMIT, Subframe, Weighed, dot, dot_limited, dot_watched, half_energy};
use super::open_loop::{LAG_MAX, LAG_MIN};
use crate::g729::SUBFRAME_SAMPLES;
use crate::g729::adaptive_codebook::{INTERPOLATION, TAPS, WEIGHT, adaptive_vector};
use crate::g729::filter::{Peak, SUBFRAME_PAIRS};
use crate::g729::rows;
use crate::isa::{BasicOp, LaneMask, Lanes, always};

/// Most lags that the integer search tries.
const LAGS_MAX: usize = 10;

/// The best integer lag of `first..first + count`: where the past is most like the backward-filtered target.
///
/// The rows hold the past excitation before `start` and the LP residual from there on, which stands in for the
/// excitation that lags below 40 would need.
#[inline(always)]
pub(super) fn integer_lag<L: Lanes>(
    target: &Weighed<L>,
    first: L,
    count: usize,
    calls: &[&mut [i16]],
    start: usize,
) -> L {
    let longest = first.to_array().map(|first| first as usize + count - 1);
    let mut window = [L::zero(); SUBFRAME_PAIRS + LAGS_MAX / 2];
    let wanted = SUBFRAME_PAIRS + count / 2;
    rows::load(
        calls,
        #[inline(always)]
        |l| start - longest[l],
        &mut window[..wanted],
    );
    let window = &window[..wanted];
    let exact = target.stays_inside(&Peak::of(window));

    let mut best = (L::splat(i32::MIN), L::zero());
    // In ascending order of the lag: the window shifts towards its start.
    for (delay, offset) in (0..count).rev().enumerate() {
        let delayed: Subframe<L> = rows::each(
            #[inline(always)]
            |m| {
                if offset % 2 == 0 {
                    window[m + offset / 2]
                } else {
                    L::pair_between(window[m + offset / 2], window[m + offset / 2 + 1])
                }
            },
        );
        let correlation = if exact { dot(&target.pairs, &delayed) } else { dot_limited(&target.pairs, &delayed) };
        let better = correlation.gt(best.0);
        best.0 = best.0.max(correlation);
        best.1 = L::select(better, L::splat(delay as i32), best.1);
    }
    first.add_wrap(best.1)
}

/// Pairs of past excitation that the vectors of all three fractions are made of.
const WINDOW: usize = SUBFRAME_PAIRS + TAPS / 2;

/// The adaptive-codebook vectors at `lag` and a third before and after it: fractions 0, -1 and 1.
///
/// Like [`adaptive_vector`], but for one fraction in all lanes, and without writing to the calls.
#[inline(always)]
pub(super) fn three_vectors<L: Lanes>(lag: L, calls: &mut [&mut [i16]], start: usize) -> [Subframe<L>; 3] {
    const PHASES: [usize; 3] = [0, 1, 2];
    let lags = lag.to_array();
    // From ten samples before the lag on: that is where phase 2 begins, the others one later.
    let mut window = [L::zero(); WINDOW];
    rows::load(
        calls,
        #[inline(always)]
        |l| start - lags[l] as usize - TAPS / 2,
        &mut window,
    );
    let mut shortest = lags[0] as usize;
    for lag in &lags[1..L::N] {
        shortest = shortest.min(*lag as usize);
    }
    let mut windows = [window; 3];
    let mut vectors = [[L::zero(); SUBFRAME_PAIRS]; 3];
    // The outputs as pairs at every place: entry `n` is (output n - 1, output n), and the first has only output 0.
    let mut outputs = [[L::zero(); SUBFRAME_SAMPLES]; 3];
    for m in 0..SUBFRAME_PAIRS {
        let newest = m + TAPS / 2;
        if 2 * newest + 1 >= shortest + TAPS / 2 {
            // Lags this short repeat what has just been put out.
            let entry = L::splat(2 * newest as i32 - TAPS as i32 / 2 + 1).sub_wrap(lag);
            let (repeats, begins) = (entry.gt(L::zero()), entry.eq(L::zero()));
            for phase in PHASES {
                let output = L::pick(&outputs[phase], entry);
                let old = windows[phase][newest];
                let mixed = L::pair(old, output.high());
                windows[phase][newest] = L::select(repeats, output, L::select(begins, mixed, old));
            }
        }
        for phase in PHASES {
            let taps = &INTERPOLATION[phase];
            let window = &windows[phase][m..=newest];
            // Eleven pairs where the filter begins at the second sample of a pair, else ten.
            let rounding = L::splat(0x4000);
            let straddling = rounding.dot_taps(window, taps.as_chunks().0);
            let first = usize::from(phase < 2);
            let aligned = rounding.dot_taps(&window[first..first + TAPS / 2], taps[1..=TAPS].as_chunks().0);
            let (even, odd) = if phase < 2 { (straddling, aligned) } else { (aligned, straddling) };
            let (even, odd) = (even.sra::<15>().saturate(), odd.sra::<15>().saturate());
            let pair = L::pair(even, odd);
            let before = if m == 0 { L::zero() } else { vectors[phase][m - 1] };
            vectors[phase][m] = pair;
            outputs[phase][2 * m] = L::pair_between(before, pair);
            outputs[phase][2 * m + 1] = pair;
        }
    }
    let mut peak = Peak::of(&window);
    for vector in &vectors {
        for pair in vector {
            peak.see(*pair);
        }
    }
    if !peak.stays_inside(L::splat(WEIGHT + 1)) {
        return L::stage(
            #[inline(always)]
            || {
                let residual: Subframe<L> = {
                    let mut residual = [L::zero(); SUBFRAME_PAIRS];
                    rows::load(
                        calls,
                        #[inline(always)]
                        |_| start,
                        &mut residual,
                    );
                    residual
                };
                for (vector, fraction) in vectors.iter_mut().zip([0, -1, 1]) {
                    *vector = adaptive_vector(calls, start, &lags, &[fraction; 16]);
                }
                rows::store(&residual, calls, start);
                vectors
            },
        );
    }
    vectors
}

/// The adaptive-codebook vector at `lag`, and its fraction -1, 0 or 1: the best of the three. Only 0 where `whole` is set.
#[inline(always)]
pub(super) fn fraction<L: Lanes>(
    target: &Weighed<L>,
    lag: L,
    whole: L::Mask,
    calls: &mut [&mut [i16]],
    start: usize,
) -> (L, Subframe<L>) {
    let vectors = three_vectors(lag, calls, start);
    let mut peak = Peak::new();
    for vector in &vectors {
        for pair in vector {
            peak.see(*pair);
        }
    }
    let exact = target.stays_inside(&peak);
    let correlation = always!(|vector: &Subframe<L>| if exact {
        dot(&target.pairs, vector)
    } else {
        dot_limited(&target.pairs, vector)
    });
    let [mut vector, before, after] = vectors;
    let mut best = correlation(&vector);
    let mut fraction = L::zero();
    for (tried, thirds) in [(&before, -1), (&after, 1)] {
        let found = correlation(tried);
        let better = found.gt(best).and(whole.not());
        best = L::select(better, found, best);
        fraction = L::select(better, L::splat(thirds), fraction);
        for m in 0..SUBFRAME_PAIRS {
            vector[m] = L::select(better, tried[m], vector[m]);
        }
    }
    (fraction, vector)
}

/// Index P1 of the first subframe's lag, and the first lag of the second subframe's search.
#[inline(always)]
pub(super) fn first_index<L: Lanes>(lag: L, fraction: L) -> (L, L) {
    let thirds = lag.add_wrap(lag).add_wrap(lag).sub_wrap(L::splat(58)).add_wrap(fraction);
    let index = L::select(lag.gt(L::splat(85)), lag.add_wrap(L::splat(112)), thirds);
    let least = lag.sub_wrap(L::splat(5)).clamp(LAG_MIN as i32, LAG_MAX as i32 - 9);
    (index, least)
}

/// Index P2 of the second subframe's lag.
#[inline(always)]
pub(super) fn second_index<L: Lanes>(lag: L, fraction: L, least: L) -> L {
    let whole = lag.sub_wrap(least);
    whole.add_wrap(whole).add_wrap(whole).add_wrap(fraction).add_wrap(L::splat(2))
}

/// A number as mantissa and the places of its binary point: `mantissa / 2^places`.
pub(super) type Scaled<L> = (L, L);

/// The adaptive-codebook gain before quantisation, Q14, and the energy and correlation it comes from.
#[derive(Clone, Copy)]
pub(super) struct PitchGain<L> {
    pub(super) gain: L,
    /// Energy of the filtered vector.
    pub(super) energy: Scaled<L>,
    /// Minus twice its correlation with the target.
    pub(super) correlation: Scaled<L>,
}

/// The gain that brings the filtered vector `y` nearest to the target `x`.
#[inline(always)]
pub(super) fn pitch_gain<L: Lanes>(x: &Subframe<L>, y: &Subframe<L>) -> PitchGain<L> {
    /// Greatest gain (1.2), Q14.
    const GAIN_MAX: i32 = 19661;
    let limit = L::splat(LIMIT);
    let one = L::splat(1);
    let quarter: Subframe<L> = rows::each(
        #[inline(always)]
        |m| y[m].sra_x2::<2>(),
    );
    let energy = half_energy(y);
    let energy_limited = energy.ge(limit);
    let target_limited = half_energy(x).ge(limit);

    let normalise = always!(|sum: L| {
        let places = sum.norm_l();
        (sum.l_shl(places).round(), places)
    });
    let mut energy = energy.l_shl_n::<1>().l_add(one);
    let mut energy_shift = L::zero();
    if energy_limited.any() {
        energy = L::select(energy_limited, half_energy(&quarter).l_shl_n::<1>().l_add(one), energy);
        energy_shift = L::select(energy_limited, L::splat(4), energy_shift);
    }
    let (energy, energy_places) = normalise(energy);
    let energy_places = energy_places.sub_wrap(energy_shift);

    let (correlation, correlation_shift) = if energy_limited.or(target_limited).any() {
        L::stage(
            #[inline(always)]
            || {
                let (sum, limited) = dot_watched(x, y);
                let sum = L::select(limited, dot_limited(x, &quarter), sum);
                (sum, L::select(limited, L::splat(2), L::zero()))
            },
        )
    } else {
        // No partial sum exceeds the geometric mean of both energies.
        let sum = dot(x, y);
        (sum.add_wrap(sum), L::zero())
    };
    let (correlation, correlation_places) = normalise(correlation);
    let correlation_places = correlation_places.sub_wrap(correlation_shift);

    let quotient = correlation.sra::<1>().div_s(energy);
    let gain = quotient.shr(correlation_places.sub_wrap(energy_places)).min(L::splat(GAIN_MAX));
    let positive = correlation.gt(L::zero());
    PitchGain {
        gain: L::select(positive, gain, L::zero()),
        energy: (energy, energy_places.sub_wrap(L::splat(15))),
        correlation: (
            correlation.negate(),
            L::select(positive, correlation_places.sub_wrap(L::splat(16)), L::splat(14)),
        ),
    }
}

/// What is left of the target `x` after the adaptive codebook's part.
#[inline(always)]
pub(super) fn remove_pitch<L: Lanes>(x: &Subframe<L>, y: &Subframe<L>, gain: L) -> Subframe<L> {
    rows::each(
        #[inline(always)]
        |m| {
            let (low, high) = scaled::<L, 14>(y[m], gain);
            x[m].sub_x2(L::pair(low.saturate(), high.saturate()))
        },
    )
}

/// Both samples of a pair times a gain, shifted down.
#[inline(always)]
pub(super) fn scaled<L: Lanes, const K: u32>(pair: L, gain: L) -> (L, L) {
    let low = pair.mul_low(gain.and(L::splat(0xffff))).sra::<K>();
    let high = pair.products(gain.sll::<16>()).sra::<K>();
    (low, high)
}
