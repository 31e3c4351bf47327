//! Pitch lag of the low band, in two steps: at a quarter of the rate, then around the best.

use super::fixed::{long_product, norm, quotient, rounded, shifted};
use super::lp::predictor;

/// Samples that the analysis looks back.
pub(super) const SPAN: usize = 288;

/// Shortest lag.
const MIN_LAG: usize = 16;

/// Samples at a quarter of the rate.
const COARSE: usize = SPAN / 4;

/// Samples that are correlated in the coarse search, and its longest lag.
const COARSE_LAG: usize = 35;

/// Low-pass before the decimation.
const DECIMATION: [i16; 9] = [3692, 6190, 8525, 10186, 10787, 10186, 8525, 6190, 3692];

/// Bandwidth expansion of the coarse signal's predictor, Q15.
const EXPANSION: [i16; 2] = [30802, 28954];

/// A lag, and the normalised correlation there in Q15.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pitch {
    pub(super) lag: usize,
    pub(super) correlation: i16,
}

/// The pitch of the newest sample.
pub(super) fn find(speech: &[i16; SPAN]) -> Pitch {
    let mut filtered = high_passed(speech);
    let weighted = weighted_at_quarter_rate(&filtered);
    let (coarse, energy) = search_coarse(&weighted);
    if energy > 1 << 24 {
        filtered[1..].iter_mut().for_each(|sample| *sample >>= 1);
    }
    let mut pitch = search_fine(&filtered, 4 * coarse);
    if pitch.correlation < 8192 && pitch.lag < 32 {
        pitch.lag *= 2;
    }
    pitch
}

/// First-order high-pass, its output kept to 31 bits.
fn high_passed(speech: &[i16; SPAN]) -> [i16; SPAN] {
    const POLE: i32 = 15744;
    let mut filtered = [0; SPAN];
    let (mut input, mut high, mut low) = (0, 0, 0);
    for (filtered, sample) in filtered.iter_mut().zip(speech) {
        let sample = i32::from(*sample);
        let sum = (16384 * sample - 16384 * input).saturating_add(POLE * high);
        let sum = shifted(sum, 2).saturating_add((POLE * low) >> 13);
        input = sample;
        high = sum >> 16;
        low = (sum >> 1) - 32768 * high;
        *filtered = rounded(sum);
    }
    filtered
}

/// Low-pass, decimation by four, and weighting by a second-order predictor.
fn weighted_at_quarter_rate(filtered: &[i16; SPAN]) -> [i16; COARSE] {
    let decimated: [i16; COARSE] = core::array::from_fn(|n| {
        let newest = 4 * n + 3;
        let sum = DECIMATION.iter().enumerate().fold(0_i32, |sum, (k, tap)| {
            let sample = if k <= newest { filtered[newest - k] } else { 0 };
            sum.saturating_add(i32::from(*tap) * i32::from(sample))
        });
        rounded(sum)
    });
    let taps = predictor(&decimated, 2)
        .map_or([0, 0], |a| [rounded(long_product(a[1], EXPANSION[0])), rounded(long_product(a[2], EXPANSION[1]))]);
    core::array::from_fn(|i| {
        let mut sum = 0_i32;
        for (j, tap) in taps.iter().enumerate() {
            if i > j {
                sum = sum.saturating_add(long_product(*tap, decimated[i - 1 - j]));
            }
        }
        decimated[i].saturating_add(rounded(shifted(sum, 3)))
    })
}

fn square(sample: i16) -> i32 {
    i32::from(sample) * i32::from(sample)
}

/// Sum of products of two stretches, from their ends, with saturation.
fn correlated(start: i32, a: &[i16], b: &[i16]) -> i32 {
    a.iter().zip(b).rev().fold(start, |sum, (a, b)| sum.saturating_add(i32::from(*a) * i32::from(*b)))
}

/// The correlation by the greater of the two energies, in Q15; negative or zero values come unscaled.
fn normalised(correlation: i32, energy: i32, norm_of_energy: u32, delayed_energy: i32) -> i16 {
    let shift = norm_of_energy.min(norm(delayed_energy));
    let scaled = |value| rounded(shifted(value, shift));
    let correlation = scaled(correlation);
    let greater = scaled(energy).max(scaled(delayed_energy)).max(correlation);
    if correlation > 0 { quotient(correlation, greater) } else { correlation }
}

/// The best lag in quarter-rate samples, and the energy of the stretch that was correlated.
fn search_coarse(weighted: &[i16; COARSE]) -> (usize, i32) {
    const FIRST: usize = COARSE - COARSE_LAG;
    const LAST: usize = COARSE - 1;
    let newest = &weighted[FIRST..];
    let energy = correlated(1, newest, newest);
    let norm_of_energy = norm(energy);
    let mut delayed_energy = energy.saturating_sub(square(weighted[LAST]));
    let (mut best, mut gap, mut greatest) = (18, 0, 0_i16);
    let mut was_negative = false;
    for lag in 1..=COARSE_LAG {
        gap += 1;
        let correlation = correlated(0, newest, &weighted[FIRST - lag..=LAST - lag]);
        delayed_energy = delayed_energy.saturating_add(square(weighted[FIRST - lag]));
        let correlation = normalised(correlation, energy, norm_of_energy, delayed_energy);
        delayed_energy = delayed_energy.saturating_sub(square(weighted[LAST - lag]));
        was_negative |= correlation < 0;
        if !was_negative {
            continue;
        }
        // A multiple of the best lag so far must be clearly better.
        if gap == best || gap == 2 * best {
            if greatest > 27850 {
                greatest = i16::MAX;
            }
            if greatest < 29126 {
                greatest = greatest.saturating_add(greatest >> 3);
            }
        }
        if correlation > greatest && lag >= 4 {
            (greatest, best, gap) = (correlation, lag, 1);
        }
    }
    (best, energy)
}

/// The best lag within two samples of `around`.
fn search_fine(filtered: &[i16; SPAN], around: usize) -> Pitch {
    let first = SPAN - around;
    let newest = &filtered[first..];
    let start = (around - 2).max(MIN_LAG);
    let energy = correlated(1, newest, newest);
    let norm_of_energy = norm(energy);
    let delayed = &filtered[first - start..SPAN - start];
    let mut delayed_energy = correlated(1, delayed, delayed).saturating_sub(square(filtered[first - start]));
    let mut pitch = Pitch { lag: around, correlation: 0 };
    for lag in start..=around + 2 {
        delayed_energy = delayed_energy.saturating_add(square(filtered[first - lag]));
        let correlation = correlated(0, newest, &filtered[first - lag..SPAN - lag]);
        let correlation = normalised(correlation, energy, norm_of_energy, delayed_energy);
        if correlation > pitch.correlation {
            pitch = Pitch { lag, correlation };
        }
        delayed_energy = delayed_energy.saturating_sub(square(filtered[SPAN - 1 - lag]));
    }
    pitch
}
