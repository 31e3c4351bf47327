//! Gains of the two codebooks: prediction of the fixed-codebook energy and decoding (ITU-T G.729 clauses 3.9 and 4.1.5).

use super::functions::{log2, pow2};
use super::tables::gain::GAIN_MA;
use crate::isa::{BasicOp, Lanes};

/// The last four innovation energies in dB, Q10, `[0]` the most recent.
pub(crate) type GainMemory<L> = [L; 4];

/// The predicted gain of a fixed-codebook vector (clause 3.9.1): a mantissa and the places of its binary point.
#[inline(always)]
pub(crate) fn predict_gain<L: Lanes>(code_energy: L, memory: &GainMemory<L>) -> (L, L) {
    const DB_PER_OCTAVE: i32 = -24660;
    let (exponent, fraction) = log2(code_energy);
    // 127.298 dB, the energy of a full-scale code vector and the mean, less the energy of this one.
    let mut level = exponent.l_mult(L::splat(DB_PER_OCTAVE));
    level = level.l_mac(fraction.mult(L::splat(DB_PER_OCTAVE)), L::splat(1));
    level = level.l_mac(L::splat(32588), L::splat(32));
    level = level.l_shl_n::<10>();
    for (energy, coefficient) in memory.iter().zip(GAIN_MA) {
        level = level.l_mac_coef(*energy, L::splat(coefficient.into()));
    }
    const OCTAVES_PER_DB: i32 = 5439;
    let octaves = level.extract_h().l_mult_coef(L::splat(OCTAVES_PER_DB)).sra::<8>();
    let (exponent, fraction) = octaves.l_extract();
    (pow2(L::splat(14), fraction).extract_l(), L::splat(14).sub_wrap(exponent))
}

/// The fixed-codebook gain, Q1: the predicted gain times the correction `factor` (Q13, the sum of both codebook parts).
#[inline(always)]
pub(crate) fn code_gain<L: Lanes>(factor: L, (predicted, places): (L, L)) -> L {
    let product = factor.sra::<1>().extract_l().l_mult(predicted);
    product.l_shl(L::splat(4).sub_wrap(places)).extract_h()
}

/// The innovation energy that the correction `factor` stands for, dB in Q10, for the memory (clause 3.9.1).
#[inline(always)]
pub(crate) fn innovation_energy<L: Lanes>(factor: L) -> L {
    const DB_PER_OCTAVE: i32 = 24660;
    let (exponent, fraction) = log2(factor);
    let octaves = L::l_comp((exponent.sub_wrap(L::splat(13)), fraction));
    octaves.l_shl_n::<13>().extract_h().mult(L::splat(DB_PER_OCTAVE))
}

/// The memory moves by one subframe and takes in `energy`.
#[inline(always)]
pub(crate) fn remember<L: Lanes>(memory: &mut GainMemory<L>, energy: L) {
    memory.rotate_right(1);
    memory[0] = energy;
}

/// The sharpening of the next subframe's code vectors, Q14: the pitch gain within 0.2 and 0.7945 (clause 3.8).
#[inline(always)]
pub(crate) fn sharpening<L: Lanes>(pitch_gain: L) -> L {
    pitch_gain.clamp(SHARPENING_MIN, 13017)
}

/// Least and initial sharpening (0.2), Q14.
pub(crate) const SHARPENING_MIN: i32 = 3277;

/// The excitation of a subframe from both codebook vectors and their gains (Q14 and Q1; clause 3.10).
#[inline(always)]
pub(crate) fn excitation<L: Lanes>(adaptive: &[L], code: &[L], pitch_gain: L, code_gain: L, out: &mut [L]) {
    let gains = L::pair(pitch_gain, code_gain);
    for ((out, &adaptive), &code) in out.iter_mut().zip(adaptive).zip(code) {
        // Both products and their sum fit in 32 bits before the doubling of `L_mac`, so that one limit at the end does.
        let output = |a: L, c: L| L::splat(0x2000).dot2(L::pair(a, c), gains).sra::<14>().saturate();
        *out = L::pair(output(adaptive, code), output(adaptive.high(), code.high()));
    }
}
