//! Output high-pass at 100 Hz, and the doubling to full scale (ITU-T G.729 clause 4.2.5).

use super::super::FRAME_PAIRS;
use super::super::filter::{Peak, half};
use super::super::tables::high_pass::{HP_POST_A, HP_POST_B};
use super::state::CallLanes;
use crate::isa::{BasicOp, LaneMask, Lanes};

const B: [i32; 3] = [HP_POST_B[0] as i32, HP_POST_B[1] as i32, HP_POST_B[2] as i32];
const A1: i32 = HP_POST_A[1] as i32;
const A2: i32 = HP_POST_A[2] as i32;

/// Filters a frame in place.
///
/// As in the synthesis filters, sums run unlimited while their operands show that no limit can be reached, else again
/// with all limits of the Recommendation.
#[inline(always)]
pub(super) fn high_pass<L: Lanes>(call: &mut CallLanes<L>, signal: &mut [L; FRAME_PAIRS]) {
    let mut filtered = [L::zero(); FRAME_PAIRS];
    let mut memory = call.high_pass_out;
    let high_pass_in = call.high_pass_in;
    let mut previous = L::pair(high_pass_in[1], high_pass_in[0]);

    // Outputs before they are narrowed, and the upper halves that the recursion multiplies.
    let (mut greatest, mut least) = (L::zero(), L::zero());
    for (out, &pair) in filtered.iter_mut().zip(signal.iter()) {
        let forward_even = L::zero().dot2(pair, L::splat(B[0])).dot2(previous, L::splat_pair(B[2] as i16, B[1] as i16));
        let forward_odd =
            L::zero().dot2(pair, L::splat_pair(B[1] as i16, B[0] as i16)).dot2(previous, L::splat_pair(0, B[2] as i16));
        previous = pair;
        let mut narrowed = [L::zero(); 2];
        for (narrowed, forward) in narrowed.iter_mut().zip([forward_even, forward_odd]) {
            let sum = forward.add_wrap(product(memory[1], A2)).add_wrap(product(memory[0], A1)).sll::<1>();
            greatest = greatest.max(sum);
            least = least.min(sum);
            let output = sum.sll::<2>();
            memory = [output.l_extract(), memory[0]];
            *narrowed = output.add_wrap(L::splat(0x4000)).sra::<15>().saturate();
        }
        *out = L::pair(narrowed[0], narrowed[1]);
    }

    // While a sum is inside 30 bits, no scaling of it saturates; the largest partial sum is bounded by the operands.
    let sum = greatest.max(L::zero().sub_wrap(least));
    let outside = sum.ge(L::splat((1 << 29) - (1 << 13)));
    let before = call.high_pass_out[0].0.abs_s().max(call.high_pass_out[1].0.abs_s());
    let output = sum.sra::<14>().add_wrap(L::splat(1)).max(before).min(L::splat(0x7fff));
    let input = Peak::of(&signal[..]).magnitude().max(high_pass_in[0].abs_s()).max(high_pass_in[1].abs_s());
    let partial =
        output.mul16(L::splat(A1 - A2)).add_wrap(input.min(L::splat(0x7fff)).mul16(L::splat(B[0] - B[1] + B[2])));
    // Lower halves, and magnitudes of 32768 counted as 32767, add less than 18 bits.
    let near = partial.ge(L::splat((1 << 30) - (1 << 18)));
    if outside.or(near).any() {
        L::stage(
            #[inline(always)]
            || high_pass_limited(call, signal),
        );
        return;
    }
    call.high_pass_in = [signal[FRAME_PAIRS - 1].high(), signal[FRAME_PAIRS - 1].low()];
    call.high_pass_out = memory;
    *signal = filtered;
}

/// Half of `Mpy_32_16`: the product of a double precision number with a constant, before doubling.
#[inline(always)]
fn product<L: Lanes>((high, low): (L, L), coefficient: i32) -> L {
    let coefficient = L::splat(coefficient);
    high.mul16(coefficient).add_wrap(low.mul16(coefficient).sra::<15>())
}

/// [`high_pass`] step by step.
#[inline(always)]
fn high_pass_limited<L: Lanes>(call: &mut CallLanes<L>, signal: &mut [L; FRAME_PAIRS]) {
    for n in 0..2 * FRAME_PAIRS {
        let input = half(&signal[..], n);
        let [before, before_last] = call.high_pass_in;
        let mut sum = L::mpy_32_16(call.high_pass_out[0], L::splat(A1));
        sum = sum.l_add(L::mpy_32_16(call.high_pass_out[1], L::splat(A2)));
        sum = sum.l_mac_coef(input, L::splat(B[0]));
        sum = sum.l_mac_coef(before, L::splat(B[1]));
        sum = sum.l_mac_coef(before_last, L::splat(B[2]));
        let output = sum.l_shl_n::<2>();
        call.high_pass_out = [output.l_extract(), call.high_pass_out[0]];
        call.high_pass_in = [input, before];
        let output = output.l_shl_n::<1>().round();
        let pair = &mut signal[n / 2];
        *pair = if n % 2 == 0 { L::pair(output, pair.high()) } else { L::pair(*pair, output) };
    }
}
