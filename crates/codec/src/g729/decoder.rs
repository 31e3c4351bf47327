//! The decoder of G.729 Annex A with Annex B, for as many calls in lock-step as there are lanes.
//!
//! A batch is any number of [`DecodeJob`]s. Frame by frame, the calls are sorted into those that bring speech (received or
//! concealed) and those that bring comfort noise, because the two have no work in common until their excitation is
//! known; whenever either kind has as many calls as there are lanes, they are decoded together.

mod noise;
mod output;
mod post_filter;
mod speech;
mod state;
mod synthesis;

use arrayvec::ArrayVec;

use self::noise::NoiseFrames;
use self::speech::SpeechFrames;
use self::state::CallLanes;
use super::adaptive_codebook::PAST_EXCITATION;
use super::bitstream::{Frame, SidParameters, SpeechParameters};
use super::cng::NOISE_SEED;
use super::filter::{LpFilter, MEMORY_PAIRS, SUBFRAME_PAIRS};
use super::rows::{self, LANES_MAX, Rows};
use super::{FRAME_PAIRS, FRAME_SAMPLES, SUBFRAME_SAMPLES, lsp};
use crate::Level;
use crate::isa::{Lanes, WithLanes, with_lanes};

pub use self::state::Decoder;

/// Frames of one call that follow each other in time, to be decoded.
#[derive(Debug)]
pub struct DecodeJob<'a> {
    /// The call.
    pub state: &'a mut Decoder,
    /// What it brings.
    pub frames: &'a [Frame],
    /// Where the samples of each frame go. Should there be fewer than frames, the frames left over are not decoded.
    pub pcm: &'a mut [[i16; FRAME_SAMPLES]],
}

/// Decodes any number of jobs, as many calls in lock-step as the level has lanes.
pub fn decode_batch(level: Level, jobs: &mut [DecodeJob<'_>]) {
    with_lanes(level, DecodeBatch(jobs));
}

/// One frame of one call.
struct Slot<'a> {
    state: &'a mut Decoder,
    frame: Frame,
    pcm: &'a mut [i16; FRAME_SAMPLES],
}

type Group<'a> = ArrayVec<Slot<'a>, LANES_MAX>;

struct DecodeBatch<'a, 'b>(&'a mut [DecodeJob<'b>]);

impl WithLanes for DecodeBatch<'_, '_> {
    type Output = ();

    fn run<L: Lanes>(self) {
        let frames = self.0.iter().map(|job| job.frames.len().min(job.pcm.len())).max().unwrap_or(0);
        for index in 0..frames {
            let mut speech = Group::new();
            let mut noise = Group::new();
            for job in self.0.iter_mut() {
                let (Some(&frame), Some(pcm)) = (job.frames.get(index), job.pcm.get_mut(index)) else { continue };
                let state = &mut *job.state;
                let is_speech = match frame {
                    Frame::Speech(_) => true,
                    Frame::Sid(_) | Frame::NotSent => false,
                    Frame::Erased => state.after_speech != 0,
                };
                let group = if is_speech { &mut speech } else { &mut noise };
                group.push(Slot { state, frame, pcm });
                if group.len() == L::N {
                    decode_group::<L>(is_speech, group);
                    group.clear();
                }
            }
            for (is_speech, group) in [(true, &mut speech), (false, &mut noise)] {
                if !group.is_empty() {
                    decode_group::<L>(is_speech, group);
                }
            }
        }
    }
}

/// The slots' excitation buffers.
fn excitations<'s>(group: &'s mut [Slot<'_>]) -> Rows<'s> {
    group.iter_mut().map(|slot| &mut slot.state.excitation[..]).collect()
}

/// Decodes a frame of each slot; all bring speech, or none does.
fn decode_group<L: Lanes>(is_speech: bool, group: &mut [Slot<'_>]) {
    let mut call = L::stage(
        #[inline(always)]
        || {
            let blocks: Rows<'_> = group.iter_mut().map(|slot| slot.state.block_mut()).collect();
            CallLanes::<L>::load(&blocks)
        },
    );

    let mut speech = [L::zero(); MEMORY_PAIRS + FRAME_PAIRS];
    speech[..MEMORY_PAIRS].copy_from_slice(&call.synthesis);
    let (filters, lags) = if is_speech {
        let (filters, lags) = decode_speech(group, &mut call, &mut speech);
        (filters, lags.map(Some))
    } else {
        (decode_noise(group, &mut call, &mut speech), [None; 2])
    };
    call.synthesis.copy_from_slice(&speech[FRAME_PAIRS..]);

    let mut signal = [L::zero(); FRAME_PAIRS];
    let mut residuals: Rows<'_> = group.iter_mut().map(|slot| &mut slot.state.residual[..]).collect();
    for (subframe, out) in signal.as_chunks_mut::<SUBFRAME_PAIRS>().0.iter_mut().enumerate() {
        let speech = &speech[subframe * SUBFRAME_PAIRS..][..MEMORY_PAIRS + SUBFRAME_PAIRS];
        post_filter::post_filter(&filters[subframe], speech, lags[subframe], subframe, &mut call, &mut residuals, out);
    }
    drop(residuals);
    L::stage(
        #[inline(always)]
        || output::high_pass(&mut call, &mut signal),
    );

    L::stage(
        #[inline(always)]
        || {
            let (mut pcm, mut blocks) = (Rows::new(), Rows::new());
            for slot in group.iter_mut() {
                pcm.push(&mut slot.pcm[..]);
                blocks.push(slot.state.block_mut());
            }
            L::store_pairs(&signal, &mut pcm);
            call.store(&mut blocks);
            drop((pcm, blocks));
            for slot in group.iter_mut() {
                slot.state.advance(is_speech);
            }
        },
    );
}

/// Both subframes' filters from the LSP of this frame and the one before.
#[inline(always)]
fn subframe_filters<L: Lanes>(call: &mut CallLanes<L>, lsp: &lsp::Coefficients<L>) -> [LpFilter<L>; 2] {
    let first = lsp::interpolate_lsp(lsp, &call.lsp);
    call.lsp = *lsp;
    [LpFilter::new(&lsp::lsp_to_lp(&first)), LpFilter::new(&lsp::lsp_to_lp(lsp))]
}

/// Synthesises a frame of speech into `speech`; returns its filters and lags.
fn decode_speech<L: Lanes>(
    group: &mut [Slot<'_>],
    call: &mut CallLanes<L>,
    speech: &mut [L; MEMORY_PAIRS + FRAME_PAIRS],
) -> ([LpFilter<L>; 2], [L; 2]) {
    let mut frames = SpeechFrames { parameters: [SpeechParameters::default(); LANES_MAX], erased: 0 };
    for (l, slot) in group.iter().enumerate() {
        match &slot.frame {
            Frame::Speech(octets) => frames.parameters[l] = SpeechParameters::from_octets(octets),
            _ => frames.erased |= 1 << l,
        }
    }
    let (filters, lags) = L::stage(
        #[inline(always)]
        || {
            let lsp = speech::decode_lsp(&frames, call);
            (subframe_filters(call, &lsp), speech::decode_lags(&frames, call))
        },
    );
    call.noise_seed = L::splat(NOISE_SEED);

    let mut excitations = excitations(group);
    for subframe in 0..2 {
        let excitation = speech::decode_excitation(&frames, subframe, lags[subframe], call, &mut excitations);
        synthesise(&filters[subframe], &excitation, subframe, speech, &mut excitations);
    }
    measure_energy(frames.erased, &excitations, call);
    (filters, lags.map(|(lag, _)| lag))
}

/// Synthesises a frame of comfort noise into `speech`; returns its filters.
fn decode_noise<L: Lanes>(
    group: &mut [Slot<'_>],
    call: &mut CallLanes<L>,
    speech: &mut [L; MEMORY_PAIRS + FRAME_PAIRS],
) -> [LpFilter<L>; 2] {
    let mut frames =
        NoiseFrames { parameters: [SidParameters::default(); LANES_MAX], described: 0, after_speech: 0, erased: 0 };
    for (l, slot) in group.iter().enumerate() {
        frames.after_speech |= u32::from(slot.state.after_speech != 0) << l;
        match &slot.frame {
            Frame::Sid(octets) => {
                frames.parameters[l] = SidParameters::from_octets(*octets);
                frames.described |= 1 << l;
            }
            Frame::Erased => frames.erased |= 1 << l,
            Frame::Speech(_) | Frame::NotSent => {}
        }
    }
    let filters = L::stage(
        #[inline(always)]
        || {
            let lsp = noise::describe_noise(&frames, call);
            subframe_filters(call, &lsp)
        },
    );

    let mut excitations = excitations(group);
    noise::excite(call, &mut excitations);
    for subframe in 0..2 {
        // Read back for each subframe: an overflow in the first scales the second as well.
        let mut excitation = [L::zero(); SUBFRAME_PAIRS];
        L::stage(
            #[inline(always)]
            || {
                let start = PAST_EXCITATION + subframe * SUBFRAME_SAMPLES;
                rows::load(&excitations, |_| start, &mut excitation);
            },
        );
        synthesise(&filters[subframe], &excitation, subframe, speech, &mut excitations);
    }
    measure_energy(frames.erased, &excitations, call);
    filters
}

/// Synthesises one subframe of `speech`.
fn synthesise<L: Lanes>(
    filter: &LpFilter<L>,
    excitation: &[L; SUBFRAME_PAIRS],
    subframe: usize,
    speech: &mut [L; MEMORY_PAIRS + FRAME_PAIRS],
    rows: &mut [&mut [i16]],
) {
    let speech = &mut speech[subframe * SUBFRAME_PAIRS..][..MEMORY_PAIRS + SUBFRAME_PAIRS];
    L::stage(
        #[inline(always)]
        || synthesis::synthesise(filter, excitation, speech, rows),
    );
}

/// Keeps the excitation energy of the frames that arrived.
fn measure_energy<L: Lanes>(erased: u32, rows: &[&mut [i16]], call: &mut CallLanes<L>) {
    L::stage(
        #[inline(always)]
        || synthesis::measure_energy(L::mask_from_bits(!erased), rows, call),
    );
}
