//! Linear prediction: autocorrelation, lag window, Levinson-Durbin recursion.

use super::fixed::{Split, long_product, norm, product_rounded, rounded, shifted};

/// Greatest order.
pub(super) const ORDER: usize = 8;

/// Analysis window of the last 80 samples, Q15.
const WINDOW: [i16; 80] = [
    2621, 2637, 2684, 2762, 2871, 3010, 3180, 3380, 3610, 3869, 4157, 4473, 4816, 5185, 5581, 6002, 6447, 6915, 7406,
    7918, 8451, 9002, 9571, 10158, 10760, 11376, 12005, 12647, 13298, 13959, 14628, 15302, 15982, 16666, 17351, 18037,
    18723, 19406, 20086, 20761, 21429, 22090, 22742, 23383, 24012, 24629, 25231, 25817, 26386, 26938, 27470, 27982,
    28473, 28941, 29386, 29807, 30203, 30573, 30916, 31231, 31519, 31778, 32008, 32208, 32378, 32518, 32627, 32705,
    32751, 32767, 32029, 29888, 26554, 22352, 17694, 13036, 8835, 5500, 3359, 2621,
];

/// Lag window for the lags 1 to 8.
const LAG_WINDOW: [Split; ORDER] = [
    Split { high: 32728, low: 11904 },
    Split { high: 32619, low: 17280 },
    Split { high: 32438, low: 30720 },
    Split { high: 32187, low: 25856 },
    Split { high: 31867, low: 24192 },
    Split { high: 31480, low: 28992 },
    Split { high: 31029, low: 24384 },
    Split { high: 30517, low: 7360 },
];

/// Reflection coefficients of a greater magnitude count as unstable, Q15.
const MAX_REFLECTION: i16 = 32750;

/// The prediction filter `A(z)` of `order` from up to 80 samples, Q12, leading 1 included and unused entries 0; `None` where the recursion
/// becomes unstable.
pub(super) fn predictor(samples: &[i16], order: usize) -> Option<[i16; ORDER + 1]> {
    levinson(&autocorrelation(samples, order), order)
}

/// Normalised, windowed autocorrelation of the lags `0..=order`.
fn autocorrelation(samples: &[i16], order: usize) -> [Split; ORDER + 1] {
    let mut windowed = [0; 80];
    let windowed = &mut windowed[..samples.len()];
    for ((windowed, sample), weight) in windowed.iter_mut().zip(samples).zip(&WINDOW[80 - samples.len()..]) {
        *windowed = product_rounded(*sample, *weight);
    }
    let energy = loop {
        let energy = 1 + 2 * windowed.iter().map(|y| i64::from(*y) * i64::from(*y)).sum::<i64>();
        match i32::try_from(energy) {
            Ok(energy) => break energy,
            Err(_) => windowed.iter_mut().for_each(|y| *y >>= 2),
        }
    };
    let scale = norm(energy);
    let mut lags = [Split::default(); ORDER + 1];
    lags[0] = Split::of(shifted(energy, scale));
    for (lag, value) in lags.iter_mut().enumerate().take(order + 1).skip(1) {
        // Not above the energy in magnitude, so never saturated.
        let sum: i32 =
            windowed.iter().zip(&windowed[lag..]).map(|(a, b)| long_product(*a, *b)).fold(0, i32::saturating_add);
        *value = Split::of(Split::of(shifted(sum, scale)).times(LAG_WINDOW[lag - 1]));
    }
    lags
}

fn levinson(lags: &[Split; ORDER + 1], order: usize) -> Option<[i16; ORDER + 1]> {
    let mut a = [Split::default(); ORDER + 1];

    let first = lags[1].joined();
    let magnitude = lags[0].divides(first.saturating_abs());
    let reflection = if first > 0 { -magnitude } else { magnitude };
    let mut k = Split::of(reflection);
    a[1] = Split::of(reflection >> 4);
    let mut error = lags[0].times(one_minus_square(k));
    let mut exponent = norm(error);
    let mut residual = Split::of(shifted(error, exponent));

    for i in 2..=order {
        let mut sum = 0_i32;
        for j in 1..i {
            sum = sum.saturating_add(lags[j].times(a[i - j]));
        }
        let sum = shifted(sum, 4).saturating_add(lags[i].joined());
        let magnitude = residual.divides(sum.saturating_abs());
        let reflection = shifted(if sum > 0 { -magnitude } else { magnitude }, exponent);
        k = Split::of(reflection);
        if k.high.saturating_abs() > MAX_REFLECTION {
            return None;
        }
        let old = a;
        for j in 1..i {
            a[j] = Split::of(k.times(old[i - j]).saturating_add(old[j].joined()));
        }
        a[i] = Split::of(reflection >> 4);
        error = residual.times(one_minus_square(k));
        let shift = norm(error);
        residual = Split::of(shifted(error, shift));
        exponent += shift;
    }

    let mut filter = [0; ORDER + 1];
    filter[0] = 4096;
    for (tap, a) in filter[1..=order].iter_mut().zip(&a[1..]) {
        *tap = rounded(shifted(a.joined(), 1));
    }
    Some(filter)
}

/// `1 - k²` in Q31.
fn one_minus_square(k: Split) -> Split {
    Split::of(i32::MAX.saturating_sub(k.times(k).saturating_abs()))
}
