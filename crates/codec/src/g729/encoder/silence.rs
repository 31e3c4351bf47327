//! Annex B in the encoder: which frames have voice, and what is sent of those that have none (ITU-T G.729 Annex B).

use super::sid_quantiser::SidCodes;
use super::state::SilenceLanes;
use super::{
    Group, Noise, Workspace, analyse, excitations, interpolate_filters, states, states_mut, synthesise, take_in, weigh,
};
use super::{dtx, taming, vad};
use crate::g729::adaptive_codebook::PAST_EXCITATION;
use crate::g729::bitstream::{Frame, SidParameters};
use crate::g729::cng::{NOISE_SEED, noise_excitation};
use crate::g729::filter::{MEMORY_PAIRS, SUBFRAME_PAIRS};
use crate::g729::{FRAME_PAIRS, SUBFRAME_SAMPLES, gain, rows};
use crate::isa::{LaneMask, Lanes};

/// Analyses a frame of each slot; tells which have voice, lane by lane as bits. None has where it is known to be `noise`.
pub(super) fn detect_voice<L: Lanes>(group: &mut Group<'_>, work: &mut Workspace<L>, noise: bool) -> u32 {
    let call = &mut work.call;
    let mut silence = L::stage(
        #[inline(always)]
        || {
            let states = states(group);
            call.load(&states, 0);
            take_in(group, call);
            SilenceLanes::<L>::load(&states)
        },
    );
    let (autocorrelation, r) = analyse(call);
    L::stage(
        #[inline(always)]
        || {
            let reflection = call.stable_reflection[1];
            let vad = &mut silence.vad;
            let voice = vad::detect(vad, &call.new_lsp, &r, autocorrelation.exponent, reflection, &call.speech);
            let voice = if noise { L::mask_from_bits(0) } else { voice };
            silence.dtx.take(&autocorrelation, voice);
            // In frames without voice the last decision is still wanted as it was.
            vad.last_but_one = L::select(voice, vad.last, vad.last_but_one);
            vad.last = L::select(voice, L::splat(1), vad.last);
            silence.dtx.seed = L::select(voice, L::splat(NOISE_SEED), silence.dtx.seed);
            let mut states = states_mut(group);
            call.store(&mut states, FRAME_PAIRS);
            silence.store(&mut states);
            voice.bits()
        },
    )
}

/// Encodes a frame of each slot, analysed and found to be without voice: a descriptor or nothing (clauses B.4.1 to B.4.4).
pub(super) fn encode_silence<L: Lanes>(group: &mut Group<'_>, work: &mut Workspace<L>, noise: Noise<'_>) {
    let Workspace { call, filters, .. } = work;
    let mut silence = L::stage(
        #[inline(always)]
        || {
            let states = states(group);
            call.load(&states, FRAME_PAIRS);
            SilenceLanes::<L>::load(&states)
        },
    );
    let after_voice = L::stage(
        #[inline(always)]
        || silence.vad.last.eq(L::splat(1)),
    );
    let description = match noise {
        Noise::Heard => dtx::describe(&mut silence.dtx, call, after_voice),
        Noise::Known(noise) => dtx::describe_as(noise, &mut silence.dtx, call, after_voice),
    };
    interpolate_filters(call, &description.lsp, filters);

    let mut noise = [[L::zero(); SUBFRAME_PAIRS]; 2];
    {
        let mut calls = excitations(group);
        for (subframe, noise) in noise.iter_mut().enumerate() {
            let start = PAST_EXCITATION + subframe * SUBFRAME_SAMPLES;
            let subframe = noise_excitation(description.gain, &mut silence.dtx.seed, &mut calls, start);
            L::stage(
                #[inline(always)]
                || {
                    let lag = L::select(description.gain.eq(L::zero()), L::splat(41), subframe.lag);
                    taming::update(&mut call.taming, subframe.pitch_gain, lag);
                    rows::load(
                        &calls,
                        #[inline(always)]
                        |_| start,
                        noise,
                    );
                },
            );
        }
    }
    let residual = L::stage(
        #[inline(always)]
        || weigh(filters, call),
    );
    L::stage(
        #[inline(always)]
        || {
            for subframe in 0..2 {
                let mut difference = residual[subframe];
                for (difference, noise) in difference.iter_mut().zip(&noise[subframe]) {
                    *difference = difference.sub_x2(*noise);
                }
                let target = synthesise(&filters[subframe].weighting, &difference, &call.target);
                call.target.copy_from_slice(&target[SUBFRAME_PAIRS - MEMORY_PAIRS..]);
            }
            call.sharpening = L::splat(gain::SHARPENING_MIN);
            silence.vad.last_but_one = silence.vad.last;
            silence.vad.last = L::zero();
            call.advance();
            let mut states = states_mut(group);
            call.store(&mut states, 0);
            silence.store(&mut states);
        },
    );
    let sent = L::stage(
        #[inline(always)]
        || description.sent.bits(),
    );
    let SidCodes { mode, stage1, stage2 } = description.lsf;
    let codes = [mode, stage1, stage2, description.gain_index].map(L::to_array);
    for (l, slot) in group.iter_mut().enumerate() {
        let [lsf_mode, lsf_stage1, lsf_stage2, gain] = [0, 1, 2, 3].map(|i: usize| codes[i][l] as u8);
        *slot.frame = if sent >> l & 1 == 1 {
            Frame::Sid(SidParameters { lsf_mode, lsf_stage1, lsf_stage2, gain }.to_octets())
        } else {
            Frame::NotSent
        };
        slot.state.advance();
    }
    group.clear();
}
