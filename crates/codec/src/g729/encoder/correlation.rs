//! Correlations of subframes, exact to the last saturation.

use crate::g729::SUBFRAME_SAMPLES;
use crate::g729::filter::{Peak, SUBFRAME_PAIRS, half};
use crate::g729::rows;
use crate::isa::{BasicOp, LaneMask, Lanes};

/// A subframe of samples in pairs.
pub(super) type Subframe<L> = [L; SUBFRAME_PAIRS];

/// What a sum of products must stay below, before the doubling of `L_mac`, so that nothing is limited.
pub(super) const LIMIT: i32 = 1 << 30;

/// Half of the ITU-T `L_mac` sum over two subframes, where nothing is limited.
#[inline(always)]
pub(super) fn dot<L: Lanes>(x: &Subframe<L>, y: &Subframe<L>) -> L {
    L::zero().dot(x, y)
}

/// The ITU-T `L_mac` sum over two subframes, every partial sum limited.
#[inline(always)]
pub(super) fn dot_limited<L: Lanes>(x: &Subframe<L>, y: &Subframe<L>) -> L {
    let mut sum = L::zero();
    for n in 0..SUBFRAME_SAMPLES {
        sum = sum.l_mac(half(x, n), half(y, n));
    }
    sum
}

/// [`dot_limited`], and the lanes in which anything was limited.
#[inline(always)]
pub(super) fn dot_watched<L: Lanes>(x: &Subframe<L>, y: &Subframe<L>) -> (L, L::Mask) {
    let mut sum = L::zero();
    let mut limited = L::mask_from_bits(0);
    for n in 0..SUBFRAME_SAMPLES {
        let (x, y) = (half(x, n), half(y, n));
        let product = x.mul16(y);
        let next = sum.l_mac(x, y);
        let exact = next.eq(sum.add_wrap(product.add_wrap(product)));
        limited = limited.or(exact.not()).or(product.eq(L::splat(LIMIT)));
        sum = next;
    }
    (sum, limited)
}

/// Half of the sum of squares, limited to 2^31 - 1.
#[inline(always)]
pub(super) fn half_energy<L: Lanes>(x: &Subframe<L>) -> L {
    let mut sums = [L::zero(); 2];
    for m in 0..SUBFRAME_PAIRS {
        sums[m % 2] = sums[m % 2].dot2_squares(x[m]);
    }
    sums[0].l_add(sums[1])
}

/// A subframe, and the sum of its magnitudes.
#[derive(Clone, Copy)]
pub(super) struct Weighed<L> {
    pub(super) pairs: Subframe<L>,
    weight: L,
}

impl<L: Lanes> Weighed<L> {
    #[inline(always)]
    pub(super) fn new(pairs: &Subframe<L>) -> Self {
        // Products with one or minus one, whichever makes them positive.
        let mut weight = L::zero();
        for pair in pairs {
            weight = weight.dot2(*pair, pair.sra_x2::<15>().or(L::splat_x2(1)));
        }
        Self { pairs: *pairs, weight }
    }

    /// Whether no sum of products with samples of this peak is limited, in any lane.
    #[inline(always)]
    pub(super) fn stays_inside(&self, peak: &Peak<L>) -> bool {
        // Both factors rounded up to what 16 bits hold; their scales, 64 and 2, make up for the limit.
        let weight = self.weight.sra::<6>().add_wrap(L::splat(1));
        let peak = peak.magnitude().sra::<1>().add_wrap(L::splat(1));
        !weight.mul16(peak).ge(L::splat(LIMIT >> 7)).any()
    }
}

/// An impulse response as pairs at every place: entry `k` is (h[k - 1], h[k]), with h[-1] = 0.
#[inline(always)]
pub(super) fn overlapping<L: Lanes>(h: &Subframe<L>) -> [L; SUBFRAME_SAMPLES] {
    rows::each(
        #[inline(always)]
        |k| match k {
            0 => h[0].sll::<16>(),
            _ if k % 2 == 1 => h[k / 2],
            _ => L::pair_between(h[k / 2 - 1], h[k / 2]),
        },
    )
}

/// Correlates the target `x` with the impulse response `h`: the ITU-T backward filtering, scaled to 13 bits.
#[inline(always)]
pub(super) fn backward_filter<L: Lanes>(h: &Subframe<L>, x: &Subframe<L>) -> Subframe<L> {
    let mut y = [L::zero(); SUBFRAME_SAMPLES];
    if Weighed::new(h).stays_inside(&Peak::of(x)) {
        if L::N == 1 {
            // Each sum over contiguous pairs.
            let all = overlapping(h);
            let odd: Subframe<L> = rows::each(
                #[inline(always)]
                |k| all[2 * k],
            );
            for (i, y) in y.iter_mut().enumerate() {
                let sum = L::zero().dot(&x[i / 2..], if i % 2 == 0 { h } else { &odd });
                *y = sum.add_wrap(sum);
            }
        } else {
            // Four at a time, so that each sample of the target is loaded once for all of them; pairs before the first of
            // the response are zero.
            const STEP: usize = 4;
            let mut shifted = [L::zero(); SUBFRAME_SAMPLES + STEP - 2];
            shifted[STEP - 2..].copy_from_slice(&overlapping(h));
            for i in (0..SUBFRAME_SAMPLES).step_by(STEP) {
                let mut sums = [L::zero(); STEP];
                for m in i / 2..SUBFRAME_PAIRS {
                    for (step, sum) in sums.iter_mut().enumerate() {
                        *sum = sum.dot2(x[m], shifted[2 * m + STEP - 1 - i - step]);
                    }
                }
                for (step, sum) in sums.iter().enumerate() {
                    y[i + step] = sum.add_wrap(*sum);
                }
            }
        }
    } else {
        L::stage(
            #[inline(always)]
            || {
                for (i, y) in y.iter_mut().enumerate() {
                    *y = L::zero();
                    for j in i..SUBFRAME_SAMPLES {
                        *y = y.l_mac(half(x, j), half(h, j - i));
                    }
                }
            },
        );
    }
    let mut greatest = L::zero();
    for y in &y {
        greatest = greatest.max(y.l_abs());
    }
    let places = L::splat(18).sub_wrap(greatest.norm_l().min(L::splat(16)));
    rows::each(
        #[inline(always)]
        |m| L::pair(y[2 * m].srav(places), y[2 * m + 1].srav(places)),
    )
}
