//! Excitation of a speech frame, received or lost (ITU-T G.729 clauses 4.1 and 4.4, Annex A clause A.4.1).

use super::super::adaptive_codebook::{PAST_EXCITATION, adaptive_vector};
use super::super::bitstream::SpeechParameters;
use super::super::filter::SUBFRAME_PAIRS;
use super::super::lsp::{self, Coefficients, GAP_FIRST, GAP_SECOND, ORDER, Predictor};
use super::super::tables::gain::{GAIN_CB1, GAIN_CB2, GAIN_RX1, GAIN_RX2};
use super::super::tables::lsp::{LSP_MA, LSP_MA_SUM, LSP_MA_SUM_INV};
use super::super::{SUBFRAME_SAMPLES, gain, random, rows};
use super::state::CallLanes;
use crate::isa::{BasicOp, LaneMask, Lanes};

/// The LSF predictor of speech frames.
const PREDICTOR: Predictor = Predictor { ma: &LSP_MA, sum: &LSP_MA_SUM, sum_inv: &LSP_MA_SUM_INV };

/// What the frames of a batch bring, one call per entry.
pub(super) struct SpeechFrames {
    /// Parameters; those of a lost frame are not looked at.
    pub(super) parameters: [SpeechParameters; 16],
    /// Lost frames, lane `l` as bit `l`.
    pub(super) erased: u32,
}

impl SpeechFrames {
    /// A value of each frame, in lanes.
    #[inline(always)]
    fn lanes<L: Lanes>(&self, value: impl Fn(&SpeechParameters) -> i32) -> L {
        L::from_array(&core::array::from_fn(|l| value(&self.parameters[l])))
    }
}

/// LSP of the frame (clauses 4.1.1 and 4.4.1).
#[inline(always)]
pub(super) fn decode_lsp<L: Lanes>(frames: &SpeechFrames, call: &mut CallLanes<L>) -> Coefficients<L> {
    let erased = L::mask_from_bits(frames.erased);
    let row = |index: fn(&SpeechParameters) -> u8| core::array::from_fn(|l| usize::from(index(&frames.parameters[l])));
    let mode = frames.lanes::<L>(|p| p.lsf_mode.into());
    let mode1 = mode.gt(L::zero());

    let mut error = lsp::codebook_sum::<L>(&row(|p| p.lsf_stage1), &row(|p| p.lsf_low), &row(|p| p.lsf_high));
    lsp::spread(&mut error, GAP_FIRST);
    lsp::spread(&mut error, GAP_SECOND);
    let mut lsf = lsp::compose(&error, &call.lsf_memory, &PREDICTOR, mode1);
    lsp::stabilise(&mut lsf);

    // A lost frame repeats the last LSF, and remembers the error that would have led there.
    if erased.any() {
        let repeated = lsp::decompose(&call.lsf, &call.lsf_memory, &PREDICTOR, call.lsf_mode.gt(L::zero()));
        for j in 0..ORDER {
            error[j] = L::select(erased, repeated[j], error[j]);
            lsf[j] = L::select(erased, call.lsf[j], lsf[j]);
        }
    }
    lsp::remember(&mut call.lsf_memory, &error);
    call.lsf = lsf;
    call.lsf_mode = L::select(erased, call.lsf_mode, mode);
    lsp::lsf_to_lsp(&lsf)
}

/// Integer lags and fractions of both subframes (clauses 4.1.3 and 4.4.2).
#[inline(always)]
pub(super) fn decode_lags<L: Lanes>(frames: &SpeechFrames, call: &mut CallLanes<L>) -> [(L, L); 2] {
    let erased = L::mask_from_bits(frames.erased);
    let parity_holds = frames.lanes::<L>(|p| p.parity_holds().into()).gt(L::zero());
    let third = |index: L| index.add_wrap(L::splat(2)).mult(L::splat(10923));

    let index = frames.lanes::<L>(|p| p.subframes[0].pitch.into());
    let lag = third(index).add_wrap(L::splat(19));
    let fraction = index.sub_wrap(lag.add_wrap(lag).add_wrap(lag)).add_wrap(L::splat(58));
    let fractional = index.lt(L::splat(197));
    let lag = L::select(fractional, lag, index.sub_wrap(L::splat(112)));
    let fraction = L::select(fractional, fraction, L::zero());
    let known = erased.not().and(parity_holds);
    let first = repeat_unless(known, lag, fraction, call);

    let index = frames.lanes::<L>(|p| p.subframes[1].pitch.into());
    let least = first.0.sub_wrap(L::splat(5)).clamp(20, 134);
    let steps = third(index).sub_wrap(L::splat(1));
    let fraction = index.sub_wrap(L::splat(2)).sub_wrap(steps.add_wrap(steps).add_wrap(steps));
    let second = repeat_unless(erased.not(), least.add_wrap(steps), fraction, call);
    [first, second]
}

/// The lag where it is known, else the last one, which then grows by one up to 143.
#[inline(always)]
fn repeat_unless<L: Lanes>(known: L::Mask, lag: L, fraction: L, call: &mut CallLanes<L>) -> (L, L) {
    let used = L::select(known, lag, call.lag);
    call.lag = L::select(known, lag, call.lag.add_wrap(L::splat(1)).min(L::splat(143)));
    (used, L::select(known, fraction, L::zero()))
}

/// The fixed-codebook vector of one call (clauses 4.1.4 and 3.8) into `code`, which is zero: four pulses, repeated at the
/// lag when it is short.
fn code_vector(positions: u16, signs: u8, lag: i32, sharpening: i32, code: &mut [i16; SUBFRAME_SAMPLES]) {
    let place = |shift: u16| usize::from(positions >> shift & 7) * 5;
    let places = [place(0), place(3) + 1, place(6) + 2, place(10) + 3 + usize::from(positions >> 9 & 1)];
    for (k, place) in places.into_iter().enumerate() {
        code[place] = if signs >> k & 1 == 1 { 8191 } else { -8192 };
    }
    let sharpening = (sharpening << 1).min(0x7fff);
    for n in (lag.max(1) as usize).min(SUBFRAME_SAMPLES)..SUBFRAME_SAMPLES {
        let repeated = (i32::from(code[n - lag as usize]) * sharpening) >> 15;
        code[n] = code[n].saturating_add(repeated as i16);
    }
}

/// Excitation of a subframe, written into the calls' buffers and returned.
#[inline(always)]
pub(super) fn decode_excitation<L: Lanes>(
    frames: &SpeechFrames,
    subframe: usize,
    (lag, fraction): (L, L),
    call: &mut CallLanes<L>,
    rows: &mut [&mut [i16]],
) -> [L; SUBFRAME_PAIRS] {
    let start = PAST_EXCITATION + subframe * SUBFRAME_SAMPLES;
    let lag = lag.to_array();
    let fraction = fraction.to_array();
    let adaptive = L::stage(
        #[inline(always)]
        || adaptive_vector::<L>(rows, start, &lag, &fraction),
    );
    let code = L::stage(
        #[inline(always)]
        || decode_code_vectors(frames, subframe, &lag, call),
    );
    L::stage(
        #[inline(always)]
        || {
            decode_gains(frames, subframe, &code, call);
            let mut excitation = [L::zero(); SUBFRAME_PAIRS];
            gain::excitation(&adaptive, &code, call.pitch_gain, call.code_gain, &mut excitation);
            rows::store(&excitation, rows, start);
            excitation
        },
    )
}

/// The code vectors of a subframe; random ones for lost frames.
#[inline(always)]
fn decode_code_vectors<L: Lanes>(
    frames: &SpeechFrames,
    subframe: usize,
    lag: &[i32; 16],
    call: &mut CallLanes<L>,
) -> [L; SUBFRAME_PAIRS] {
    let mut positions: [u16; 16] = core::array::from_fn(|l| frames.parameters[l].subframes[subframe].positions);
    let mut signs: [u8; 16] = core::array::from_fn(|l| frames.parameters[l].subframes[subframe].signs);
    if frames.erased != 0 {
        let erased = L::mask_from_bits(frames.erased);
        let first = random::next(call.erasure_seed);
        let second = random::next(first);
        call.erasure_seed = L::select(erased, second, call.erasure_seed);
        let (first, second) = (first.to_array(), second.to_array());
        for l in (0..16).filter(|l| frames.erased >> l & 1 == 1) {
            positions[l] = (first[l] & 0x1fff) as u16;
            signs[l] = (second[l] & 0xf) as u8;
        }
    }
    let sharpening = call.sharpening.to_array();
    let mut vectors = [[0; SUBFRAME_SAMPLES]; 16];
    for l in 0..L::N {
        code_vector(positions[l], signs[l], lag[l], sharpening[l], &mut vectors[l]);
    }
    let mut code = [L::zero(); SUBFRAME_PAIRS];
    L::load_pairs(&vectors.each_ref().map(|vector| &vector[..]), &mut code);
    code
}

/// Gains of both codebooks and what follows from them (clauses 4.1.5, 4.4.3 and 4.4.4).
#[inline(always)]
fn decode_gains<L: Lanes>(frames: &SpeechFrames, subframe: usize, code: &[L; SUBFRAME_PAIRS], call: &mut CallLanes<L>) {
    let erased = L::mask_from_bits(frames.erased);
    let entry = |column: usize| {
        frames.lanes::<L>(|p| {
            let p = &p.subframes[subframe];
            let first = GAIN_CB1[usize::from(GAIN_RX1[usize::from(p.gain_a & 7)])][column];
            let second = GAIN_CB2[usize::from(GAIN_RX2[usize::from(p.gain_b & 15)])][column];
            i32::from(first) + i32::from(second)
        })
    };
    let factor = entry(1);
    let mut energy = L::zero();
    for &pair in code {
        energy = energy.dot2_squares(pair);
    }
    let predicted = gain::predict_gain(energy.l_shl_n::<1>(), &call.gain_memory);
    let mut pitch_gain = entry(0).min(L::splat(0x7fff));
    let mut code_gain = gain::code_gain(factor, predicted);
    let mut innovation = gain::innovation_energy(factor);

    if frames.erased != 0 {
        let repeated = call.pitch_gain.mult(L::splat(29491)).min(L::splat(29491));
        pitch_gain = L::select(erased, repeated, pitch_gain);
        code_gain = L::select(erased, call.code_gain.mult(L::splat(32111)), code_gain);
        // The mean of the memory less 4 dB, but no less than -14 dB.
        let [a, b, c, d] = call.gain_memory;
        let mean = a.add_wrap(b).add_wrap(c).add_wrap(d).sra::<2>();
        let faded = mean.sub(L::splat(4096)).max(L::splat(-14336));
        innovation = L::select(erased, faded, innovation);
    }
    gain::remember(&mut call.gain_memory, innovation);
    call.pitch_gain = pitch_gain;
    call.code_gain = code_gain;
    call.sharpening = gain::sharpening(pitch_gain);
}
