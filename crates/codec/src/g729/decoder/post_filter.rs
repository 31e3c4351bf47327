//! The post-filter: residual, long-term filter, tilt, synthesis, gain control (ITU-T G.729 Annex A clause A.4.2).

use super::super::filter::{LpFilter, MEMORY_PAIRS, Peak, SUBFRAME_PAIRS, half};
use super::super::functions::inv_sqrt;
use super::super::lsp::ORDER;
use super::super::{SUBFRAME_SAMPLES, rows};
use super::state::{CallLanes, PAST_RESIDUAL};
use crate::isa::{BasicOp, LaneMask, Lanes};

/// Numerator's weight (0.55), Q15.
const GAMMA_NUMERATOR: i32 = 18022;
/// Denominator's weight (0.70), Q15.
const GAMMA_DENOMINATOR: i32 = 22938;
/// Pairs of the impulse response that gives the tilt.
const RESPONSE_PAIRS: usize = 11;
/// Lags tried around that of the adaptive codebook.
const LAGS: usize = 7;
/// Longest lag tried.
const LAG_MAX: i32 = 143;

/// Both halves of the Q15 product with a gain, truncated. `gain` is a word in 0..=32767.
#[inline(always)]
fn mult_x2<L: Lanes>(pair: L, gain: L) -> L {
    let gain = L::pair(gain, gain);
    // The product shifted right by 15 is twice its upper half plus the top bit of its lower half.
    pair.mul_high_x2(gain).sll_x2::<1>().sub_x2(pair.mul_low_x2(gain).sra_x2::<15>())
}

/// Filters a subframe of synthesised speech: `speech` is ten samples of memory and the subframe; `out` the result.
///
/// `lag` is that of the adaptive codebook, or nothing in comfort noise, which the long-term filter lets pass.
#[inline(always)]
pub(super) fn post_filter<L: Lanes>(
    filter: &LpFilter<L>,
    speech: &[L],
    lag: Option<L>,
    subframe: usize,
    call: &mut CallLanes<L>,
    calls: &mut [&mut [i16]],
    out: &mut [L; SUBFRAME_PAIRS],
) {
    let start = PAST_RESIDUAL + subframe * SUBFRAME_SAMPLES;
    let mut residual = [L::zero(); SUBFRAME_PAIRS];
    let (numerator, denominator) = L::stage(
        #[inline(always)]
        || {
            let numerator = filter.weighted(GAMMA_NUMERATOR);
            LpFilter::new(&numerator).residual(speech, &mut residual);
            rows::store(&residual, calls, start);
            (numerator, LpFilter::new(&filter.weighted(GAMMA_DENOMINATOR)))
        },
    );
    if let Some(lag) = lag {
        L::stage(
            #[inline(always)]
            || long_term(lag, start, calls, &mut residual),
        );
    }
    L::stage(
        #[inline(always)]
        || compensate_tilt(&numerator, &denominator, &mut call.tilt, &mut residual),
    );
    L::stage(
        #[inline(always)]
        || {
            let mut filtered = [L::zero(); MEMORY_PAIRS + SUBFRAME_PAIRS];
            filtered[..MEMORY_PAIRS].copy_from_slice(&call.post_synthesis);
            denominator.synthesis(&residual, &mut filtered);
            call.post_synthesis.copy_from_slice(&filtered[SUBFRAME_PAIRS..]);
            out.copy_from_slice(&filtered[MEMORY_PAIRS..]);
        },
    );
    L::stage(
        #[inline(always)]
        || control_gain(&speech[MEMORY_PAIRS..], &mut call.agc_gain, out),
    );
}

/// Long-term post-filter (clause A.4.2.1): adds the residual of the best lag around `lag`, where it predicts well.
#[inline(always)]
fn long_term<L: Lanes>(lag: L, start: usize, calls: &[&mut [i16]], residual: &mut [L; SUBFRAME_PAIRS]) {
    let longest = lag.add_wrap(L::splat(3)).min(L::splat(LAG_MAX));
    let mut scaled = *residual;
    for pair in &mut scaled {
        *pair = pair.sra_x2::<2>();
    }

    // From the longest lag's first sample to the shortest one's last; two samples more fill the last pair.
    const WINDOW: usize = SUBFRAME_PAIRS + LAGS / 2;
    let offset = longest.to_array();
    let mut window = [L::zero(); WINDOW];
    rows::load(calls, |l| start - offset[l] as usize, &mut window);
    for pair in &mut window {
        *pair = pair.sra_x2::<2>();
    }

    let mut peak = Peak::of(&window);
    for &pair in &scaled {
        peak.see(pair);
    }
    // Every sum is at most 40 times the square of the peak.
    let magnitude = peak.magnitude();
    let limited = magnitude.mul16(magnitude).ge(L::splat((1 << 30) / 40)).any();

    let (best, most) = if limited {
        L::stage(
            #[inline(always)]
            || best_lag_limited(&scaled, &window),
        )
    } else {
        best_lag(&scaled, &window)
    };

    let lag = longest.sub_wrap(best).to_array();
    let mut delayed = [L::zero(); SUBFRAME_PAIRS];
    rows::load(calls, |l| start - lag[l] as usize, &mut delayed);

    let mut delayed_energy = L::zero();
    let mut energy = L::zero();
    for m in 0..SUBFRAME_PAIRS {
        delayed_energy = delayed_energy.dot2_squares(delayed[m].sra_x2::<2>());
        energy = energy.dot2_squares(scaled[m]);
    }
    let one_more = |sum: L| sum.l_shl_n::<1>().l_add(L::splat(1));
    let (delayed_energy, energy) = (one_more(delayed_energy), one_more(energy));
    let most = most.max(L::zero());

    let places = most.max(delayed_energy).max(energy).norm_l();
    let normalise = |x: L| x.sllv(places).round();
    let (most, delayed_energy, energy) = (normalise(most), normalise(delayed_energy), normalise(energy));
    let threshold = delayed_energy.mul16(energy);
    let product = most.mul16(most);
    let passes = product.add_wrap(product).lt(threshold);

    // A gain above one counts as one: 1/1.5 and 0.5/1.5.
    let half_most = most.mult(L::splat(16384)).sra::<1>();
    let half_energy = delayed_energy.sra::<1>();
    let sum = half_most.add(half_energy);
    let ratio = L::select(sum.gt(L::zero()), half_most.div_s(sum), L::zero());
    let above_one = most.gt(delayed_energy);
    let delayed_gain = L::select(above_one, L::splat(10923), ratio);
    let direct_gain = L::select(above_one, L::splat(21845), L::splat(32767).sub_wrap(ratio));
    for (residual, delayed) in residual.iter_mut().zip(delayed) {
        let filtered = mult_x2(*residual, direct_gain).add_x2(mult_x2(delayed, delayed_gain));
        *residual = L::select(passes, *residual, filtered);
    }
}

/// Which of the lags correlates most, counted down from the longest, and the correlation. No sum can saturate.
#[inline(always)]
fn best_lag<L: Lanes>(scaled: &[L; SUBFRAME_PAIRS], window: &[L]) -> (L, L) {
    let mut sums = [L::zero(); LAGS];
    for m in 0..SUBFRAME_PAIRS {
        for lag in 0..LAGS {
            let pair = window[m + lag / 2];
            let pair = if lag % 2 == 0 { pair } else { L::pair_between(pair, window[m + lag / 2 + 1]) };
            sums[lag] = sums[lag].dot2(scaled[m], pair);
        }
    }
    for sum in &mut sums {
        *sum = sum.sll::<1>();
    }
    greatest(sums)
}

/// [`best_lag`] step by step.
#[inline(always)]
fn best_lag_limited<L: Lanes>(scaled: &[L; SUBFRAME_PAIRS], window: &[L]) -> (L, L) {
    let mut sums = [L::zero(); LAGS];
    for n in 0..SUBFRAME_SAMPLES {
        for (lag, sum) in sums.iter_mut().enumerate() {
            *sum = sum.l_mac_coef(half(scaled, n), half(window, n + lag));
        }
    }
    greatest(sums)
}

/// The first of the greatest sums, from the shortest lag up.
#[inline(always)]
fn greatest<L: Lanes>(sums: [L; LAGS]) -> (L, L) {
    let (mut best, mut most) = (L::splat(LAGS as i32 - 1), sums[LAGS - 1]);
    for lag in (0..LAGS - 1).rev() {
        let more = sums[lag].gt(most);
        best = L::select(more, L::splat(lag as i32), best);
        most = most.max(sums[lag]);
    }
    (best, most)
}

/// Tilt compensation (clause A.4.2.3) by the first reflection of the short-term filter's impulse response.
#[inline(always)]
fn compensate_tilt<L: Lanes>(
    numerator: &[L; ORDER + 1],
    denominator: &LpFilter<L>,
    memory: &mut L,
    signal: &mut [L; SUBFRAME_PAIRS],
) {
    let mut impulse = [L::zero(); RESPONSE_PAIRS];
    for (i, pair) in impulse[..=ORDER / 2].iter_mut().enumerate() {
        let next = numerator.get(2 * i + 1).copied().unwrap_or(L::zero());
        *pair = L::pair(numerator[2 * i], next);
    }
    let mut response = [L::zero(); MEMORY_PAIRS + RESPONSE_PAIRS];
    denominator.synthesis(&impulse, &mut response);
    let response = &response[MEMORY_PAIRS..];

    let mut energy = L::zero();
    let mut correlation = L::zero();
    for m in 0..RESPONSE_PAIRS {
        energy = energy.dot2_squares(response[m]);
        let next = response.get(m + 1).copied().unwrap_or(L::zero());
        correlation = correlation.dot2(response[m], L::pair_between(response[m], next));
    }
    let energy = energy.l_shl_n::<1>();
    let mut correlation = correlation.sll::<1>();
    // While the energy does not saturate, no sum of neighbours' products can.
    if energy.eq(L::splat(i32::MAX)).any() {
        correlation = L::stage(
            #[inline(always)]
            || correlate_limited(response),
        );
    }

    let (energy, correlation) = (energy.extract_h(), correlation.extract_h());
    const STRENGTH: i32 = 26214;
    let tilt = correlation.mult(L::splat(STRENGTH)).div_s(energy);
    let tilt = L::select(correlation.gt(L::zero()), tilt, L::zero());
    let mut previous = memory.sll::<16>();
    for pair in signal.iter_mut() {
        let delayed = L::pair_between(previous, *pair);
        previous = *pair;
        *pair = pair.sub_x2(mult_x2(delayed, tilt));
    }
    *memory = previous.high();
}

/// Correlation of neighbours in the impulse response, step by step.
#[inline(always)]
fn correlate_limited<L: Lanes>(response: &[L]) -> L {
    let mut correlation = L::zero();
    for n in 0..2 * RESPONSE_PAIRS - 1 {
        correlation = correlation.l_mac(half(response, n), half(response, n + 1));
    }
    correlation
}

/// Energy of a signal at a quarter of its level.
#[inline(always)]
fn quarter_energy<L: Lanes>(signal: &[L]) -> L {
    let mut energy = L::zero();
    for pair in signal {
        energy = energy.dot2_squares(pair.sra_x2::<2>());
    }
    energy.l_shl_n::<1>()
}

/// Adaptive gain control (clause A.4.2.4): gives `filtered` the energy of `speech`, smoothly.
#[inline(always)]
fn control_gain<L: Lanes>(speech: &[L], gain: &mut L, filtered: &mut [L; SUBFRAME_PAIRS]) {
    let energy_out = quarter_energy(filtered);
    let energy_in = quarter_energy(speech);

    let places_out = energy_out.norm_l().sub_wrap(L::splat(1));
    let mantissa_out = energy_out.l_shl(places_out).round();
    let places_in = energy_in.norm_l();
    let mantissa_in = energy_in.sllv(places_in).round();
    let ratio = mantissa_out.div_s(mantissa_in).sll::<7>();
    let ratio = ratio.l_shr(places_out.sub_wrap(places_in));
    const NEW: i32 = 3276;
    let target = inv_sqrt(ratio).l_shl_n::<9>().round().mult(L::splat(NEW));
    let target = L::select(energy_in.eq(L::zero()), L::zero(), target);

    const KEPT: i32 = 29491;
    let silent = energy_out.eq(L::zero());
    let mut level = *gain;
    for pair in filtered.iter_mut() {
        level = level.mult(L::splat(KEPT)).add(target);
        let low = L::zero().dot2(*pair, level).sra::<12>().saturate();
        level = level.mult(L::splat(KEPT)).add(target);
        let high = L::zero().dot2(*pair, level.sll::<16>()).sra::<12>().saturate();
        *pair = L::select(silent, *pair, L::pair(low, high));
    }
    *gain = L::select(silent, L::zero(), level);
}
