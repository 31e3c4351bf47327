//! The adaptive codebook: past excitation at a lag in thirds of a sample (ITU-T G.729 clauses 3.7.1 and 4.1.3).

use super::filter::{Peak, SUBFRAME_PAIRS, half};
use super::rows;
use super::tables::pitch::FRAC_INTERP;
use crate::isa::{BasicOp, Lanes};

/// Samples of past excitation a call keeps: the longest lag and the reach of the interpolation filter.
pub(crate) const PAST_EXCITATION: usize = 154;

/// Taps of the interpolation filter.
pub(crate) const TAPS: usize = 20;

/// The filter of each phase over an ascending window, `[1..]` for outputs at even places, `[..]` for odd ones.
pub(crate) static INTERPOLATION: [[i16; TAPS + 2]; 3] = {
    let mut filters = [[0; TAPS + 2]; 3];
    let mut phase = 0;
    while phase < 3 {
        let mut i = 0;
        while i < 10 {
            filters[phase][1 + 9 - i] = FRAC_INTERP[phase + 3 * i];
            filters[phase][1 + 10 + i] = FRAC_INTERP[3 - phase + 3 * i];
            i += 1;
        }
        phase += 1;
    }
    filters
};

/// The greatest sum of the magnitudes of a phase's coefficients.
pub(crate) const WEIGHT: i32 = {
    let (mut greatest, mut phase) = (0, 0);
    while phase < 3 {
        let (mut sum, mut i) = (0, 0);
        while i < TAPS + 2 {
            sum += (INTERPOLATION[phase][i] as i32).abs();
            i += 1;
        }
        if sum > greatest {
            greatest = sum;
        }
        phase += 1;
    }
    greatest
};

/// Writes the adaptive codebook vector of a subframe into the calls' excitation at `start`, and returns it.
///
/// `lag` is the integer lag, at least 19; `fraction` counts thirds, -1 to 1. For lags below the subframe the vector
/// repeats itself.
#[inline(always)]
pub(crate) fn adaptive_vector<L: Lanes>(
    calls: &mut [&mut [i16]],
    start: usize,
    lag: &[i32; 16],
    fraction: &[i32; 16],
) -> [L; SUBFRAME_PAIRS] {
    // A phase counts against the fraction; the window of output 0 begins nine samples before the lag.
    let phase: [usize; 16] = core::array::from_fn(|l| if fraction[l] > 0 { 2 } else { -fraction[l] as usize });
    let window_start: [usize; 16] =
        core::array::from_fn(|l| start.saturating_sub((lag[l] + 9 + i32::from(fraction[l] > 0)) as usize));

    let mut even = [L::zero(); TAPS / 2];
    L::load_pairs(&phase.map(|p| &INTERPOLATION[p][1..]), &mut even);
    let mut odd = [L::zero(); TAPS / 2 + 1];
    L::load_pairs(&phase.map(|p| &INTERPOLATION[p][..]), &mut odd);

    // A window that ends before the subframe is read at once. Otherwise in steps of eight outputs: the reach of the
    // filter ahead of the lag leaves at least nine samples between an output and what it needs.
    let repeats = (0..calls.len()).any(|l| window_start[l] + 2 * SUBFRAME_PAIRS + TAPS > start);
    let step = if repeats { 4 } else { SUBFRAME_PAIRS };

    let mut window = [L::zero(); SUBFRAME_PAIRS + TAPS / 2];
    let mut vector = [L::zero(); SUBFRAME_PAIRS];
    let mut peak = Peak::new();
    let mut loaded = 0;
    for first in (0..SUBFRAME_PAIRS).step_by(step) {
        let wanted = first + step + TAPS / 2;
        rows::load(calls, |l| window_start[l] + 2 * loaded, &mut window[loaded..wanted]);
        for &pair in &window[loaded..wanted] {
            peak.see(pair);
        }
        loaded = wanted;
        if peak.stays_inside(L::splat(WEIGHT + 1)) {
            for m in first..first + step {
                let mut low = L::splat(0x4000);
                let mut high = L::splat(0x4000).dot2(window[m + TAPS / 2], odd[TAPS / 2]);
                for k in 0..TAPS / 2 {
                    low = low.dot2(window[m + k], even[k]);
                    high = high.dot2(window[m + k], odd[k]);
                }
                vector[m] = L::pair(low.sra::<15>().saturate(), high.sra::<15>().saturate());
            }
        } else {
            let (window, vector) = (&window, &mut vector[first..first + step]);
            L::stage(
                #[inline(always)]
                || interpolate_limited(&window[first..], &even, vector),
            );
        }
        rows::store(&vector[first..first + step], calls, start + 2 * first);
    }
    vector
}

/// The interpolation step by step, each sum limited.
#[inline(always)]
fn interpolate_limited<L: Lanes>(window: &[L], taps: &[L; TAPS / 2], vector: &mut [L]) {
    for (m, pair) in vector.iter_mut().enumerate() {
        let mut outputs = [L::zero(); 2];
        for (odd, output) in outputs.iter_mut().enumerate() {
            let mut sum = L::zero();
            for i in 0..10 {
                for tap in [9 - i, 10 + i] {
                    sum = sum.l_mac_coef(half(window, 2 * m + odd + tap), half(taps, tap));
                }
            }
            *output = sum.round();
        }
        *pair = L::pair(outputs[0], outputs[1]);
    }
}
