//! Excitation of a frame of comfort noise (ITU-T G.729 Annex B clauses B.4.4 and B.4.5).

use super::super::adaptive_codebook::PAST_EXCITATION;
use super::super::bitstream::SidParameters;
use super::super::gain::SHARPENING_MIN;
use super::super::lsp::Coefficients;
use super::super::tables::sid::SID_GAIN_TAB;
use super::super::{SUBFRAME_SAMPLES, cng, sid};
use super::state::CallLanes;
use crate::isa::{LaneMask, Lanes};

/// What the frames of a batch bring, one call per entry; the masks have lane `l` as bit `l`.
pub(super) struct NoiseFrames {
    /// Parameters of descriptors.
    pub(super) parameters: [SidParameters; 16],
    /// Where there is a descriptor.
    pub(super) described: u32,
    /// Where the frame before was speech.
    pub(super) after_speech: u32,
    /// Where something was sent and lost.
    pub(super) erased: u32,
}

/// The gains of descriptors, Q3.
static GAINS: [i32; 32] = {
    let (mut gains, mut i) = ([0; 32], 0);
    while i < 32 {
        gains[i] = SID_GAIN_TAB[i] as i32;
        i += 1;
    }
    gains
};

/// Takes in the descriptors, and returns the LSP of the frame.
#[inline(always)]
pub(super) fn describe_noise<L: Lanes>(frames: &NoiseFrames, call: &mut CallLanes<L>) -> Coefficients<L> {
    let described = L::mask_from_bits(frames.described);
    let after_speech = L::mask_from_bits(frames.after_speech);
    if frames.described != 0 {
        let mode = L::from_array(&frames.parameters.map(|p| p.lsf_mode.into()));
        let lsp = sid::decode_lsp(
            mode.gt(L::zero()),
            &frames.parameters.map(|p| p.lsf_stage1),
            &frames.parameters.map(|p| p.lsf_stage2),
            described,
            &mut call.lsf_memory,
        );
        for (kept, lsp) in call.sid_lsp.iter_mut().zip(lsp) {
            *kept = L::select(described, lsp, *kept);
        }
        let gain = L::from_array(&frames.parameters.map(|p| GAINS[usize::from(p.gain & 0x1f)]));
        call.sid_gain = L::select(described, gain, call.sid_gain);
    }
    // A descriptor that should have come after speech did not: the energy of the last frame stands in for it.
    let lost = after_speech.and(described.not());
    if lost.any() {
        let index = sid::gain_index_of_one(call.energy[0], call.energy[1]);
        call.sid_gain = L::select(lost, L::lookup(&GAINS, index), call.sid_gain);
    }
    let smoothed = cng::smooth_gain(call.noise_gain, call.sid_gain);
    call.noise_gain = L::select(after_speech, call.sid_gain, smoothed);
    call.sharpening = L::splat(SHARPENING_MIN);
    call.sid_lsp
}

/// Fills the frame in the calls' excitation.
#[inline(always)]
pub(super) fn excite<L: Lanes>(call: &mut CallLanes<L>, rows: &mut [&mut [i16]]) {
    for subframe in 0..2 {
        let start = PAST_EXCITATION + subframe * SUBFRAME_SAMPLES;
        cng::noise_excitation(call.noise_gain, &mut call.noise_seed, rows, start);
    }
}
