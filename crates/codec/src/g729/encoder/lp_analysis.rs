//! Windowed autocorrelation, lag window and Levinson-Durbin recursion (ITU-T G.729 clauses 3.2.1 and 3.2.2).

use super::state::WINDOW_PAIRS;
use crate::g729::lsp::{Coefficients, ORDER};
use crate::g729::rows;
use crate::g729::tables::lp::{LAG_WINDOW_HI, LAG_WINDOW_LO, LP_WINDOW};
use crate::isa::{BasicOp, LaneMask, Lanes, always};

/// A number in the split double precision format.
pub(super) type Split<L> = (L, L);

/// Lags of the autocorrelation: ten for the LP filter, two more for the voice activity detector.
pub(super) const LAGS: usize = 12;

/// Reflection coefficients beyond this are taken as instability, Q15.
const UNSTABLE: i32 = 32750;

/// Normalised autocorrelation of the windowed speech.
#[derive(Clone, Copy)]
pub(super) struct Autocorrelation<L> {
    /// Lags 0 to 12.
    pub(super) r: [Split<L>; LAGS + 1],
    /// The value of lag 0 is `r[0]` as a 32-bit number times 2^exponent.
    pub(super) exponent: L,
}

/// Autocorrelation of `speech` under the asymmetric window.
#[inline(always)]
pub(super) fn autocorrelate<L: Lanes>(speech: &[L; WINDOW_PAIRS]) -> Autocorrelation<L> {
    // Zeros behind the window, so that every lag sums over the same places.
    let mut y = [L::zero(); WINDOW_PAIRS + LAGS / 2 + 1];
    for k in 0..WINDOW_PAIRS {
        y[k] = speech[k].mult_r_coef_x2(L::splat_pair(LP_WINDOW[2 * k], LP_WINDOW[2 * k + 1]));
    }
    let energy = always!(|y: &[L]| {
        let mut sums = [L::zero(); 4];
        for y in y[..WINDOW_PAIRS].chunks_exact(4) {
            for i in 0..4 {
                sums[i] = sums[i].dot2_squares(y[i]);
            }
        }
        // Each is not negative, and so the sum of what is limited tells as much as the limited sum.
        sums[0].l_add(sums[1]).l_add(sums[2].l_add(sums[3]))
    });
    // Without the doubling of L_mac the limit is 2^30.
    let mut sum = energy(&y);
    let mut exponent = L::splat(1);
    loop {
        let too_large = sum.ge(L::splat(1 << 30));
        if !too_large.any() {
            break;
        }
        for y in &mut y[..WINDOW_PAIRS] {
            *y = L::select(too_large, y.sra_x2::<2>(), *y);
        }
        exponent = L::select(too_large, exponent.add_wrap(L::splat(4)), exponent);
        sum = energy(&y);
    }
    // No other lag can exceed lag 0.
    let odd: [L; WINDOW_PAIRS + LAGS / 2] = rows::each(
        #[inline(always)]
        |k| L::pair_between(y[k], y[k + 1]),
    );
    let mut sums = [L::zero(); LAGS + 1];
    if L::N == 1 {
        for m in 0..LAGS / 2 {
            sums[2 * m + 1] = L::zero().dot(&y[..WINDOW_PAIRS], &odd[m..]);
            sums[2 * m + 2] = L::zero().dot(&y[..WINDOW_PAIRS], &y[m + 1..]);
        }
    } else {
        for k in 0..WINDOW_PAIRS {
            for m in 0..LAGS / 2 {
                sums[2 * m + 1] = sums[2 * m + 1].dot2(y[k], odd[k + m]);
                sums[2 * m + 2] = sums[2 * m + 2].dot2(y[k], y[k + m + 1]);
            }
        }
    }
    let energy = sum.add_wrap(sum).add_wrap(L::splat(1));
    let places = energy.norm_l();
    let mut r = [(L::zero(), L::zero()); LAGS + 1];
    for (r, sum) in r.iter_mut().zip(&sums) {
        *r = sum.add_wrap(*sum).sllv(places).l_extract();
    }
    r[0] = energy.sllv(places).l_extract();
    Autocorrelation { r, exponent: exponent.sub_wrap(places) }
}

impl<L: Lanes> Autocorrelation<L> {
    /// Weighs lags 1 and up: 60 Hz bandwidth expansion and white noise.
    #[inline(always)]
    pub(super) fn lag_windowed(&self) -> [Split<L>; LAGS + 1] {
        let mut r = self.r;
        for i in 1..=LAGS {
            let window = (L::splat(LAG_WINDOW_HI[i - 1].into()), L::splat(LAG_WINDOW_LO[i - 1].into()));
            r[i] = L::mpy_32(r[i], window).l_extract();
        }
        r
    }
}

/// A filter found by linear prediction.
#[derive(Clone, Copy)]
pub(super) struct Prediction<L: Lanes> {
    /// A(z), Q12; `[0]` is 4096.
    pub(super) a: [L; ORDER + 1],
    /// The first two reflection coefficients, Q15.
    pub(super) reflection: [L; 2],
    /// Residual energy, scaled like lag 0; means nothing in lanes that are unstable.
    pub(super) residual: L,
    /// Lanes that took the last stable filter because the recursion became unstable.
    pub(super) unstable: L::Mask,
}

/// Levinson-Durbin recursion of order ten on `r`; `stable` is the filter and the reflection coefficients to fall back to.
#[inline(always)]
pub(super) fn levinson<L: Lanes>(r: &[Split<L>], stable: (&Coefficients<L>, [L; 2])) -> Prediction<L> {
    let r = &r[..=ORDER];
    let reflect = always!(|sum: L, energy: Split<L>| {
        let quotient = L::div_32(sum.l_abs(), energy);
        L::select(sum.gt(L::zero()), quotient.l_negate(), quotient)
    });
    let remaining = always!(|k: Split<L>| L::splat(i32::MAX).l_sub(L::mpy_32(k, k).l_abs()).l_extract());

    let mut k = reflect(L::l_comp(r[1]), r[0]);
    let mut a = [(L::zero(), L::zero()); ORDER + 1];
    a[1] = k.sra::<4>().l_extract();
    let k_split = k.l_extract();
    let mut reflection = [k_split.0, L::zero()];
    let energy = L::mpy_32(r[0], remaining(k_split));
    let mut exponent = energy.norm_l();
    let mut energy = energy.l_shl(exponent).l_extract();
    let mut unstable = L::mask_from_bits(0);
    for i in 2..=ORDER {
        let mut sum = L::zero();
        for j in 1..i {
            sum = sum.l_add(L::mpy_32(r[j], a[i - j]));
        }
        sum = sum.l_shl_n::<4>().l_add(L::l_comp(r[i]));
        k = reflect(sum, energy).l_shl(exponent);
        let k_split = k.l_extract();
        if i == 2 {
            reflection[1] = k_split.0;
        }
        unstable = unstable.or(k_split.0.abs_s().gt(L::splat(UNSTABLE)));
        let old = a;
        for j in 1..i {
            a[j] = L::mpy_32(k_split, old[i - j]).l_add(L::l_comp(old[j])).l_extract();
        }
        a[i] = k.sra::<4>().l_extract();
        let left = L::mpy_32(energy, remaining(k_split));
        let places = left.norm_l();
        energy = left.l_shl(places).l_extract();
        exponent = exponent.add_wrap(places);
    }
    let mut filter = [L::splat(4096); ORDER + 1];
    for j in 1..=ORDER {
        filter[j] = L::select(unstable, stable.0[j - 1], L::l_comp(a[j]).l_shl_n::<1>().round());
    }
    for i in 0..2 {
        reflection[i] = L::select(unstable, stable.1[i], reflection[i]);
    }
    Prediction { a: filter, reflection, residual: energy.0.shr(exponent), unstable }
}
