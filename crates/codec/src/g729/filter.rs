//! The tenth-order filters A(z) and 1/A(z), exact to the last saturation, on samples kept as pairs.
//!
//! The Recommendation limits every partial sum to 32 bits. Speech hardly ever comes near that limit, and while no partial
//! sum *can* reach it, their order is free and two products fit in one instruction. So each filter first runs that way,
//! keeps the peak of all it touched, and compares peak times weight (the sum of the coefficients' magnitudes) with the
//! limit. Should a lane come too near, all lanes run again in the order and with the limits of the Recommendation.

use super::lsp::ORDER;
use super::rows::each;
use crate::isa::{BasicOp, LaneMask, Lanes};

/// Pairs that hold the memory of a tenth-order filter.
pub(crate) const MEMORY_PAIRS: usize = ORDER / 2;

/// Pairs of a subframe of 40 samples.
pub(crate) const SUBFRAME_PAIRS: usize = 20;

/// Greatest and least sample seen, in each half of the pairs.
#[derive(Clone, Copy)]
pub(crate) struct Peak<L> {
    greatest: L,
    least: L,
}

impl<L: Lanes> Peak<L> {
    /// Nothing seen yet.
    #[inline(always)]
    pub(crate) fn new() -> Self {
        Self { greatest: L::zero(), least: L::zero() }
    }

    /// The peak of `pairs`.
    #[inline(always)]
    pub(crate) fn of(pairs: &[L]) -> Self {
        let mut peak = Self::new();
        for &pair in pairs {
            peak.see(pair);
        }
        peak
    }

    /// Takes in a pair.
    #[inline(always)]
    pub(crate) fn see(&mut self, pair: L) {
        self.greatest = self.greatest.max_x2(pair);
        self.least = self.least.min_x2(pair);
    }

    /// The greatest magnitude, a word up to 32768.
    #[inline(always)]
    pub(crate) fn magnitude(&self) -> L {
        let greatest = self.greatest.low().max(self.greatest.high());
        let least = self.least.low().min(self.least.high());
        greatest.max(L::zero().sub_wrap(least))
    }

    /// Whether sums of products with coefficients whose magnitudes add up to `weight` stay inside 31 bits before the
    /// doubling of `L_mac`, in any order.
    #[inline(always)]
    pub(crate) fn stays_inside(&self, weight: L) -> bool {
        // Both factors rounded up to what 16 bits hold; their scales, 16 and 2, make up for the limit of 2^30.
        let weight = weight.sra::<4>().add_wrap(L::splat(1));
        let peak = self.magnitude().sra::<1>().add_wrap(L::splat(1));
        !weight.mul16(peak).ge(L::splat(1 << 25)).any()
    }
}

/// The coefficients of A(z), Q12 with `a[0]` = 4096, laid out for pairs.
#[derive(Clone, Copy)]
pub(crate) struct LpFilter<L> {
    a: [L; ORDER + 1],
    /// For outputs at even places: (a10, a9) .. (a2, a1).
    even: [L; MEMORY_PAIRS],
    /// For outputs at odd places: (0, a10), (a9, a8) .. (a3, a2).
    odd: [L; MEMORY_PAIRS],
    weight: L,
}

impl<L: Lanes> LpFilter<L> {
    /// Lays out the coefficients.
    #[inline(always)]
    pub(crate) fn new(a: &[L; ORDER + 1]) -> Self {
        let even = each(
            #[inline(always)]
            |i| L::pair(a[10 - 2 * i], a[9 - 2 * i]),
        );
        let odd = each(
            #[inline(always)]
            |i| L::pair(if i == 0 { L::zero() } else { a[11 - 2 * i] }, a[10 - 2 * i]),
        );
        let mut weight = L::splat(4096);
        for a in &a[1..] {
            weight = weight.add_wrap(a.max(L::zero().sub_wrap(*a)));
        }
        Self { a: *a, even, odd, weight }
    }

    /// The filter with coefficient `i` scaled by `gamma^i`, `gamma` in Q15.
    #[inline(always)]
    pub(crate) fn weighted(&self, gamma: i32) -> [L; ORDER + 1] {
        let mut a = self.a;
        let mut factor = L::splat(gamma);
        for a in &mut a[1..] {
            *a = a.l_mult_coef(factor).round();
            factor = factor.l_mult_coef(L::splat(gamma)).round();
        }
        a
    }

    /// A(z): `x` is the memory followed by the input, `y` the output.
    #[inline(always)]
    pub(crate) fn residual(&self, x: &[L], y: &mut [L]) {
        let x = &x[..y.len() + MEMORY_PAIRS];
        let newest_even = L::splat_pair(4096, 0);
        let newest_odd = L::pair(self.a[1], L::splat(4096));
        for (m, y) in y.iter_mut().enumerate() {
            let mut even = L::splat(0x800).dot2(x[m + MEMORY_PAIRS], newest_even);
            let mut odd = L::splat(0x800).dot2(x[m + MEMORY_PAIRS], newest_odd);
            for i in 0..MEMORY_PAIRS {
                even = even.dot2(x[m + i], self.even[i]);
                odd = odd.dot2(x[m + i], self.odd[i]);
            }
            *y = L::pair(even.sra::<12>().saturate(), odd.sra::<12>().saturate());
        }
        if !Peak::of(x).stays_inside(self.weight) {
            L::stage(
                #[inline(always)]
                || self.residual_limited(x, y),
            );
        }
    }

    /// [`LpFilter::residual`] step by step.
    #[inline(always)]
    fn residual_limited(&self, x: &[L], y: &mut [L]) {
        for (m, y) in y.iter_mut().enumerate() {
            let mut outputs = [L::zero(); 2];
            for (odd, output) in outputs.iter_mut().enumerate() {
                let newest = 2 * m + odd + ORDER;
                let mut sum = half(x, newest).l_mult_coef(self.a[0]);
                for j in 1..=ORDER {
                    sum = sum.l_mac(self.a[j], half(x, newest - j));
                }
                *output = sum.l_shl_n::<3>().round();
            }
            *y = L::pair(outputs[0], outputs[1]);
        }
    }

    /// 1/A(z): `y` is the memory followed by room for the output to `x`. Tells the lanes in which anything saturated.
    #[inline(always)]
    pub(crate) fn synthesis(&self, x: &[L], y: &mut [L]) -> L::Mask {
        let y = &mut y[..x.len() + MEMORY_PAIRS];
        let mut peak = Peak::of(x);
        for memory in &y[..MEMORY_PAIRS] {
            peak.see(*memory);
        }
        // What comes out before it is narrowed to 16 bits, and where narrowing begins to saturate.
        let (mut greatest, mut least) = (L::zero(), L::zero());
        const LIMIT: i32 = 1 << 27;
        let last_odd = self.a[1].and(L::splat(0xffff));
        for m in 0..x.len() {
            let mut even = L::zero();
            let mut odd = L::zero();
            for i in 0..MEMORY_PAIRS {
                even = even.dot2(y[m + i], self.even[i]);
                odd = odd.dot2(y[m + i], self.odd[i]);
            }
            let even = L::splat(0x800).dot2(x[m], L::splat_pair(4096, 0)).sub_wrap(even);
            let first = even.sra::<12>().saturate();
            let odd = L::splat(0x800).dot2(x[m], L::splat_pair(0, 4096)).sub_wrap(odd.dot2(first, last_odd));
            y[m + MEMORY_PAIRS] = L::pair(first, odd.sra::<12>().saturate());
            peak.see(y[m + MEMORY_PAIRS]);
            greatest = greatest.max(even).max(odd);
            least = least.min(even).min(odd);
        }
        if peak.stays_inside(self.weight) {
            greatest.ge(L::splat(LIMIT)).or(least.lt(L::splat(0x800 - LIMIT)))
        } else {
            L::stage(
                #[inline(always)]
                || self.synthesis_limited(x, y),
            )
        }
    }

    /// [`LpFilter::synthesis`] step by step.
    #[inline(always)]
    fn synthesis_limited(&self, x: &[L], y: &mut [L]) -> L::Mask {
        // Non-zero in lanes where something saturated.
        let mut saturated = L::zero();
        for n in 0..2 * x.len() {
            let mut sum = half(x, n).l_mult_coef(self.a[0]);
            for j in 1..=ORDER {
                let product = self.a[j].l_mult(half(y, n + ORDER - j));
                let next = sum.l_sub(product);
                let limited = L::select(product.eq(L::splat(i32::MAX)), L::splat(1), L::zero());
                saturated = saturated.or(next.xor(sum.sub_wrap(product))).or(limited);
                sum = next;
            }
            let scaled = sum.l_shl_n::<3>();
            let limited = L::select(scaled.gt(L::splat(0x7fff_7fff)), L::splat(1), L::zero());
            saturated = saturated.or(scaled.xor(sum.sll::<3>())).or(limited);
            let output = scaled.round();
            let pair = &mut y[n / 2 + MEMORY_PAIRS];
            *pair = if n % 2 == 0 { L::pair(output, L::zero()) } else { L::pair(*pair, output) };
        }
        saturated.eq(L::zero()).not()
    }
}

/// Sample `n` of a sequence of pairs, as a word.
#[inline(always)]
pub(crate) fn half<L: Lanes>(pairs: &[L], n: usize) -> L {
    if n.is_multiple_of(2) { pairs[n / 2].low() } else { pairs[n / 2].high() }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;
    use crate::Level;
    use crate::isa::{WithLanes, with_lanes};

    /// A filter, its memory and its input, the same for all lanes but scaled down by the lane's number.
    #[derive(Clone, Debug)]
    struct Case {
        a: [i16; ORDER],
        memory: [i16; ORDER],
        input: [i16; 40],
    }

    /// Outputs and saturated lanes of A(z) and 1/A(z), by the short way if it is allowed and step by step.
    struct Both<'a>(&'a Case);

    type Outputs = (Vec<[i32; 16]>, Vec<[i32; 16]>, u32);

    impl WithLanes for Both<'_> {
        type Output = [Outputs; 2];
        fn run<L: Lanes>(self) -> [Outputs; 2] {
            let lane = |value: i16| L::from_array(&core::array::from_fn(|l| i32::from(value) >> (l % L::N)));
            let mut a = [L::splat(4096); ORDER + 1];
            for (a, value) in a[1..].iter_mut().zip(self.0.a) {
                *a = lane(value);
            }
            let filter = LpFilter::new(&a);
            let pairs = |samples: &[i16]| -> Vec<L> {
                samples.as_chunks().0.iter().map(|[first, second]| L::pair(lane(*first), lane(*second))).collect()
            };
            let (memory, input) = (pairs(&self.0.memory), pairs(&self.0.input));
            let x = [&memory[..], &input[..]].concat();
            let arrays = |pairs: &[L]| pairs.iter().map(|pair| pair.to_array()).collect::<Vec<_>>();

            let mut residual = [L::zero(); SUBFRAME_PAIRS];
            filter.residual(&x, &mut residual);
            let mut speech = [L::zero(); MEMORY_PAIRS + SUBFRAME_PAIRS];
            speech[..MEMORY_PAIRS].copy_from_slice(&memory);
            let saturated = filter.synthesis(&input, &mut speech).bits();
            let short = (arrays(&residual), arrays(&speech), saturated);

            filter.residual_limited(&x, &mut residual);
            speech[MEMORY_PAIRS..].fill(L::zero());
            let saturated = filter.synthesis_limited(&input, &mut speech).bits();
            [short, (arrays(&residual), arrays(&speech), saturated)]
        }
    }

    /// Samples within a random power of two, or at the ends of the range.
    fn samples<const N: usize>() -> impl Strategy<Value = [i16; N]> {
        let sample = prop_oneof![9 => any::<i16>(), 1 => prop_oneof![Just(i16::MIN), Just(i16::MAX), Just(0)]];
        (proptest::collection::vec(sample, N), 0..12_u32)
            .prop_map(|(samples, quieter)| core::array::from_fn(|i| samples[i] >> quieter))
    }

    proptest! {
        #[test]
        fn short_way_gives_what_the_limited_steps_give(a in samples(), memory in samples(), input in samples()) {
            let case = Case { a, memory, input };
            for level in Level::available() {
                let [short, limited] = with_lanes(level, Both(&case));
                prop_assert_eq!(&short, &limited, "{}", level);
            }
        }
    }

    #[test]
    fn every_partial_sum_at_the_limit_is_limited() {
        for a in [i16::MIN, i16::MAX] {
            for sample in [i16::MIN, i16::MAX] {
                for level in Level::available() {
                    let case = Case { a: [a; ORDER], memory: [sample; ORDER], input: [sample; 40] };
                    let [short, limited] = with_lanes(level, Both(&case));
                    assert_eq!(short, limited, "{level}");
                    assert_eq!(short.2 & 1, 1, "the first lane saturates");
                }
            }
        }
    }
}
