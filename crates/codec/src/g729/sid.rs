//! Silence insertion descriptors: what encoder and decoder share (ITU-T G.729 Annex B clause B.4.2).

use super::functions::log2;
use super::lsp::{self, Coefficients, GAP_FIRST, LsfMemory, Predictor};
use super::tables::sid::{SID_GAIN_FACTOR, SID_LSF_CB1_ROWS, SID_LSF_CB2_ROWS, SID_MA, SID_MA_SUM, SID_MA_SUM_INV};
use crate::isa::{BasicOp, Lanes};

/// The LSF predictor of descriptors.
pub(crate) const PREDICTOR: Predictor = Predictor { ma: &SID_MA, sum: &SID_MA_SUM, sum_inv: &SID_MA_SUM_INV };

/// Decodes the LSF of a descriptor into LSP; the memory is that of the speech frames (clause B.4.2.2).
///
/// The memory moves only in lanes of `present`.
#[inline(always)]
pub(crate) fn decode_lsp<L: Lanes>(
    mode1: L::Mask,
    stage1: &[u8; 16],
    stage2: &[u8; 16],
    present: L::Mask,
    memory: &mut LsfMemory<L>,
) -> Coefficients<L> {
    let first = stage1.map(|index| usize::from(SID_LSF_CB1_ROWS[usize::from(index & 0x1f)]));
    let [low, high] =
        SID_LSF_CB2_ROWS.each_ref().map(|rows| stage2.map(|index| usize::from(rows[usize::from(index & 0xf)])));
    let mut error = lsp::codebook_sum::<L>(&first, &low, &high);
    lsp::spread(&mut error, GAP_FIRST);
    let mut lsf = lsp::compose(&error, memory, &PREDICTOR, mode1);
    let before = *memory;
    lsp::remember(memory, &error);
    for (after, before) in memory.as_flattened_mut().iter_mut().zip(before.as_flattened()) {
        *after = L::select(present, *after, *before);
    }
    lsp::stabilise(&mut lsf);
    lsp::lsf_to_lsp(&lsf)
}

/// The index of the gain of one remembered energy (mantissa and shift), for a descriptor that was lost (clause B.4.2.1).
#[inline(always)]
pub(crate) fn gain_index_of_one<L: Lanes>(mantissa: L, shift: L) -> L {
    let energy = mantissa.l_shl(shift).l_extract();
    let mean = L::mpy_32_16(energy, L::splat(SID_GAIN_FACTOR[0].into()));
    quantise_gain(mean, L::zero()).0
}

/// Quantises a mean energy scaled by `2^shift`: the index and the level in dB (clause B.4.2.1).
#[inline(always)]
pub(crate) fn quantise_gain<L: Lanes>(energy: L, shift: L) -> (L, L) {
    let (exponent, fraction) = log2(energy);
    let level = exponent.sub(shift).shl_n::<10>().add(fraction.mult_r(L::splat(1024)));
    // Steps of 4 dB up to 16 dB, of 2 dB above.
    let coarse = level.add_wrap(L::splat(3401)).mult(L::splat(24)).max(L::splat(1));
    let fine = level.sub_wrap(L::splat(340)).mult(L::splat(193)).sra::<2>().sub_wrap(L::splat(1)).max(L::splat(6));
    let is_coarse = level.le(L::splat(4762));
    let index = L::select(is_coarse, coarse, fine);
    let decibel = L::select(is_coarse, coarse.sll::<2>().sub_wrap(L::splat(8)), fine.sll::<1>().add_wrap(L::splat(4)));
    let (low, high) = (level.le(L::splat(-2721)), level.gt(L::splat(22111)));
    let limit = |value: L, least: i32, greatest: i32| {
        L::select(low, L::splat(least), L::select(high, L::splat(greatest), value))
    };
    (limit(index, 0, 31), limit(decibel, -12, 66))
}
