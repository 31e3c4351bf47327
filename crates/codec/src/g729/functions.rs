//! Logarithm, power and inverse square root by linear interpolation in a table (ITU-T G.729 clause 5).

use super::tables::math::{INVSQRT_TAB, LOG2_TAB, POW2_TAB};
use crate::isa::{BasicOp, Lanes};

/// A table for interpolation: entry `i` is the pair (value, value minus next value).
const fn with_steps<const N: usize>(table: &[i16; N]) -> [i32; N] {
    let mut pairs = [0; N];
    let mut i = 0;
    while i < N {
        let step = if i + 1 < N { table[i] - table[i + 1] } else { 0 };
        pairs[i] = (step as i32) << 16 | (table[i] as i32 & 0xffff);
        i += 1;
    }
    pairs
}

static LOG2: [i32; 33] = with_steps(&LOG2_TAB);
static POW2: [i32; 33] = with_steps(&POW2_TAB);
static INVSQRT: [i32; 49] = with_steps(&INVSQRT_TAB);

/// The value between entries `i` and `i + 1` at the Q15 fraction `a`, scaled by 2^16.
#[inline(always)]
fn interpolate<L: Lanes, const N: usize>(table: &[i32; N], i: L, a: L) -> L {
    let entry = L::lookup(table, i);
    // Between two 16-bit values nothing can saturate.
    entry.sll::<16>().sub_wrap(entry.high().l_mult_coef(a))
}

/// ITU-T `Log2`: exponent and Q15 fraction of log2(x); both 0 for `x <= 0`.
#[inline(always)]
pub(crate) fn log2<L: Lanes>(x: L) -> (L, L) {
    let places = x.norm_l();
    let x_norm = x.sllv(places);
    let i = x_norm.sra::<25>().sub_wrap(L::splat(32));
    let a = x_norm.sra::<10>().and(L::splat(0x7fff));
    let fraction = interpolate(&LOG2, i, a).extract_h();
    let positive = x.gt(L::zero());
    let exponent = L::splat(30).sub_wrap(places);
    (L::select(positive, exponent, L::zero()), L::select(positive, fraction, L::zero()))
}

/// ITU-T `Pow2`: 2^(exponent + fraction), the fraction in Q15, not negative.
#[inline(always)]
pub(crate) fn pow2<L: Lanes>(exponent: L, fraction: L) -> L {
    let i = fraction.sra::<10>();
    let a = fraction.and(L::splat(1023)).sll::<5>();
    interpolate(&POW2, i, a).l_shr_r(L::splat(30).sub_wrap(exponent))
}

/// ITU-T `Inv_sqrt`: 1 / sqrt(x) in Q30; 0x3fffffff for `x <= 0`.
#[inline(always)]
pub(crate) fn inv_sqrt<L: Lanes>(x: L) -> L {
    let places = x.norm_l();
    let exponent = L::splat(30).sub_wrap(places);
    let even = exponent.and(L::splat(1)).eq(L::zero());
    let x_norm = x.sllv(places);
    let x_norm = L::select(even, x_norm.sra::<1>(), x_norm);
    let i = x_norm.sra::<25>().sub_wrap(L::splat(16));
    let a = x_norm.sra::<10>().and(L::splat(0x7fff));
    let root = interpolate(&INVSQRT, i, a).srav(exponent.sra::<1>().add_wrap(L::splat(1)));
    L::select(x.gt(L::zero()), root, L::splat(0x3fff_ffff))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Level;
    use crate::isa::{WithLanes, with_lanes};

    /// All three functions of one argument, in the first lane.
    struct Functions(i32);

    impl WithLanes for Functions {
        type Output = [i32; 4];
        fn run<L: Lanes>(self) -> [i32; 4] {
            let x = L::splat(self.0);
            let (exponent, fraction) = log2(x);
            [exponent, fraction, pow2(L::splat(14), x.and(L::splat(0x7fff))), inv_sqrt(x)].map(|v| v.to_array()[0])
        }
    }

    #[test]
    fn functions_follow_the_real_ones_to_the_precision_of_their_tables() {
        for x in (0..31).map(|e| 1 << e).chain((1..40_000).map(|i| i * 53_681)) {
            let [exponent, fraction, power, root] = with_lanes(Level::Scalar, Functions(x));
            let log = f64::from(exponent) + f64::from(fraction) / 32768.0;
            assert!((log - f64::from(x).log2()).abs() < 2e-4, "log2({x}) = {log}");
            let expected = f64::powf(2.0, 14.0 + f64::from(x & 0x7fff) / 32768.0);
            assert!((f64::from(power) - expected).abs() < 4.0, "2^(14 + {:#x}) = {power}", x & 0x7fff);
            let expected = f64::from(1 << 30) / f64::from(x).sqrt();
            assert!((f64::from(root) / expected - 1.0).abs() < 1e-3, "1/sqrt({x}) = {root}");
        }
    }

    #[test]
    fn functions_of_nothing_and_less_are_fixed() {
        for x in [0, -1, i32::MIN] {
            let [exponent, fraction, _, root] = with_lanes(Level::Scalar, Functions(x));
            assert_eq!((exponent, fraction, root), (0, 0, 0x3fff_ffff));
        }
    }
}
