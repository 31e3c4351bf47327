//! The input high-pass, which also halves the level (ITU-T G.729 clause 3.1).

use crate::g729::tables::high_pass::{HP_PRE_A, HP_PRE_B};
use crate::isa::{BasicOp, Lanes, always};

/// Filters a frame from `input` to `output`. `past_in` and `past_out` are the memories of [`super::state::Memories`].
#[inline(always)]
pub(super) fn high_pass<L: Lanes>(input: &[L; 40], output: &mut [L], past_in: &mut L, past_out: &mut [L; 2]) {
    let output = &mut output[..input.len()];
    let [b0, b1, b2] = HP_PRE_B;
    let [_, a1, a2] = HP_PRE_A;
    let (a1, a2) = (L::splat_pair(a1, 0), L::splat_pair(a2, 0));
    let mut before = *past_in;
    let [mut y1, mut y2] = *past_out;
    // Full-scale input and output add up to less than 2^31 before the last shift, so that nothing saturates until then.
    let mut recurse = always!(|forward: L| {
        let ((h1, l1), (h2, l2)) = (y1.l_extract(), y2.l_extract());
        // What depends on the newest output comes last.
        let earlier = forward.add_wrap(l2.mul_low(a2).sra::<15>()).mac_low(h2, a2);
        let sum = earlier.mac_low(h1, a1).add_wrap(l1.mul_low(a1).sra::<15>());
        (y2, y1) = (y1, sum.l_shl_n::<4>());
        y1.round()
    });
    for (x, y) in input.iter().zip(output) {
        // `before` is (x[n-2], x[n-1]), `x` is (x[n], x[n+1]).
        let even = before.products(L::splat_pair(b2, b1)).dot2(*x, L::splat_pair(b0, 0));
        let odd = before.products(L::splat_pair(0, b2)).dot2(*x, L::splat_pair(b1, b0));
        let first = recurse(even);
        *y = L::pair(first, recurse(odd));
        before = *x;
    }
    *past_in = before;
    *past_out = [y1, y2];
}
