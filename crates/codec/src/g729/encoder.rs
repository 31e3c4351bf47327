//! The encoder of G.729 Annex A, for as many calls in lock-step as there are lanes.
//!
//! A batch is any number of [`EncodeJob`]s. Frame by frame, as many calls as there are lanes are spread over the lanes and
//! encoded together; those left over at the end share a group that is not full.

mod closed_loop;
mod correlation;
mod fixed_codebook;
mod gain_quantiser;
mod lp_analysis;
mod lsf_quantiser;
mod lsp_search;
mod open_loop;
mod preprocess;
mod state;
mod taming;

use arrayvec::ArrayVec;

use self::closed_loop::scaled;
use self::correlation::{Subframe, Weighed};
use self::state::CallLanes;
use super::adaptive_codebook::PAST_EXCITATION;
use super::bitstream::{Frame, SpeechParameters};
use super::filter::{LpFilter, MEMORY_PAIRS, SUBFRAME_PAIRS};
use super::lsp;
use super::{FRAME_PAIRS, FRAME_SAMPLES, SUBFRAME_SAMPLES, gain};
use crate::Level;
use crate::isa::{BasicOp, Lanes, WithLanes, with_lanes};

pub use self::state::Encoder;

/// Frames of one call that follow each other in time, to be encoded.
#[derive(Debug)]
pub struct EncodeJob<'a> {
    /// The call.
    pub state: &'a mut Encoder,
    /// Its speech.
    pub pcm: &'a [[i16; FRAME_SAMPLES]],
    /// Where each frame goes. Should there be fewer than frames of speech, the speech left over is not encoded.
    pub frames: &'a mut [Frame],
}

/// Encodes any number of jobs, as many calls in lock-step as the level has lanes.
pub fn encode_batch(level: Level, jobs: &mut [EncodeJob<'_>]) {
    with_lanes(level, EncodeBatch(jobs));
}

/// Calls that are encoded together at most.
const LANES_MAX: usize = 16;

/// One frame of one call.
struct Slot<'a> {
    state: &'a mut Encoder,
    pcm: &'a [i16; FRAME_SAMPLES],
    frame: &'a mut Frame,
}

type Group<'a> = ArrayVec<Slot<'a>, LANES_MAX>;

struct EncodeBatch<'a, 'b>(&'a mut [EncodeJob<'b>]);

impl WithLanes for EncodeBatch<'_, '_> {
    type Output = ();

    fn run<L: Lanes>(self) {
        let frames = self.0.iter().map(|job| job.pcm.len().min(job.frames.len())).max().unwrap_or(0);
        for index in 0..frames {
            let mut group = Group::new();
            for job in self.0.iter_mut() {
                let (Some(pcm), Some(frame)) = (job.pcm.get(index), job.frames.get_mut(index)) else { continue };
                group.push(Slot { state: job.state, pcm, frame });
                if group.len() == L::N {
                    encode_group::<L>(&mut group);
                    group.clear();
                }
            }
            if !group.is_empty() {
                encode_group::<L>(&mut group);
            }
        }
    }
}

/// What a frame is sent as, in lanes.
struct Parameters<L> {
    lsf: lsf_quantiser::LsfCodes<L>,
    subframes: [SubframeParameters<L>; 2],
}

/// What a subframe is sent as, in lanes.
struct SubframeParameters<L> {
    pitch: L,
    positions: L,
    signs: L,
    gain_a: L,
    gain_b: L,
}

/// The filters of a subframe.
struct Filters<L> {
    /// A(z), quantised.
    lp: LpFilter<L>,
    /// A(z/0.75), the perceptual weighting.
    weighting: LpFilter<L>,
    /// The same with a tilt, for the open-loop pitch.
    open_loop: LpFilter<L>,
}

/// Bandwidth expansion of the perceptual weighting (0.75), Q15.
const GAMMA: i32 = 24576;
/// The low-pass of the open-loop pitch (0.7), Q15.
const TILT: i32 = 22938;

impl<L: Lanes> Filters<L> {
    #[inline(always)]
    fn new(lsp: &lsp::Coefficients<L>) -> Self {
        let lp = LpFilter::new(&lsp::lsp_to_lp(lsp));
        let weighted = lp.weighted(GAMMA);
        let tilted = core::array::from_fn(|i| match i {
            0 => weighted[0],
            _ => weighted[i].sub(weighted[i - 1].mult(L::splat(TILT))),
        });
        Self { lp, weighting: LpFilter::new(&weighted), open_loop: LpFilter::new(&tilted) }
    }
}

/// Encodes a frame of each slot.
fn encode_group<L: Lanes>(group: &mut [Slot<'_>]) {
    let mut call = L::stage(
        #[inline(always)]
        || load::<L>(group),
    );
    let parameters = encode_speech(group, &mut call);
    L::stage(
        #[inline(always)]
        || store(group, &mut call, &parameters),
    );
    for slot in group {
        slot.state.advance();
    }
}

/// Spreads the calls over the lanes and takes in the new speech.
#[inline(always)]
fn load<L: Lanes>(group: &[Slot<'_>]) -> CallLanes<L> {
    let states: ArrayVec<&Encoder, LANES_MAX> = group.iter().map(|slot| &*slot.state).collect();
    let mut call = CallLanes::load(&states);
    let rows: [&[i16]; LANES_MAX] = core::array::from_fn(|l| &group.get(l).unwrap_or(&group[0]).pcm[..]);
    let mut input = [L::zero(); FRAME_PAIRS];
    L::load_pairs(&rows, &mut input);
    let newest = call.speech.len() - FRAME_PAIRS;
    preprocess::high_pass(&input, &mut call.speech[newest..], &mut call.high_pass_in, &mut call.high_pass_out);
    call
}

/// Writes the calls and their frames.
#[inline(always)]
fn store<L: Lanes>(group: &mut [Slot<'_>], call: &mut CallLanes<L>, parameters: &Parameters<L>) {
    call.advance();
    {
        let mut states: ArrayVec<&mut Encoder, LANES_MAX> = group.iter_mut().map(|slot| &mut *slot.state).collect();
        call.store(&mut states);
    }

    let lsf = [parameters.lsf.mode, parameters.lsf.stage1, parameters.lsf.low, parameters.lsf.high].map(L::to_array);
    let subframes = parameters.subframes.each_ref().map(|subframe| {
        [subframe.pitch, subframe.positions, subframe.signs, subframe.gain_a, subframe.gain_b].map(L::to_array)
    });
    for (l, slot) in group.iter_mut().enumerate() {
        let of_subframe = |i: usize| {
            let [pitch, positions, signs, gain_a, gain_b] = subframes[i].each_ref().map(|values| values[l]);
            super::bitstream::SubframeParameters {
                pitch: pitch as u8,
                positions: positions as u16,
                signs: signs as u8,
                gain_a: gain_a as u8,
                gain_b: gain_b as u8,
            }
        };
        let parameters = SpeechParameters {
            lsf_mode: lsf[0][l] as u8,
            lsf_stage1: lsf[1][l] as u8,
            lsf_low: lsf[2][l] as u8,
            lsf_high: lsf[3][l] as u8,
            // Odd parity over the six upper bits of P1.
            parity: 1 ^ ((subframes[0][0][l] as u8 >> 2).count_ones() & 1) as u8,
            subframes: [of_subframe(0), of_subframe(1)],
        };
        *slot.frame = Frame::Speech(parameters.to_octets());
    }
}

/// Encodes a frame as speech; the newest samples are in the window.
fn encode_speech<L: Lanes>(group: &mut [Slot<'_>], call: &mut CallLanes<L>) -> Parameters<L> {
    let lsp = analyse(call);
    let (lsf, quantised) = lsf_quantiser::quantise(&lsp, &mut call.lsf_memory);
    let filters = L::stage(
        #[inline(always)]
        || {
            let between = lsp::interpolate_lsp(&quantised, &call.quantised_lsp);
            [Filters::new(&between), Filters::new(&quantised)]
        },
    );
    call.lsp = lsp;
    call.quantised_lsp = quantised;

    let mut rows: ArrayVec<&mut [i16], LANES_MAX> =
        group.iter_mut().map(|slot| &mut slot.state.excitation[..]).collect();
    let residual = L::stage(
        #[inline(always)]
        || weigh(&filters, call, &mut rows),
    );
    let lag = L::stage(
        #[inline(always)]
        || open_loop::open_loop_lag(&call.weighted),
    );
    let mut first_lag = open_loop::first_range(lag);
    let subframes = [0, 1].map(|subframe| {
        encode_subframe(subframe, &filters[subframe], &residual[subframe], &mut first_lag, call, &mut rows)
    });
    Parameters { lsf, subframes }
}

/// LP analysis of the window, to LSP.
fn analyse<L: Lanes>(call: &mut CallLanes<L>) -> lsp::Coefficients<L> {
    let autocorrelation = L::stage(
        #[inline(always)]
        || lp_analysis::autocorrelate(&call.speech),
    );
    let prediction = L::stage(
        #[inline(always)]
        || {
            let r = autocorrelation.lag_windowed();
            lp_analysis::levinson(&r, (&call.stable_lp, call.stable_reflection))
        },
    );
    call.stable_lp = core::array::from_fn(|j| prediction.a[j + 1]);
    call.stable_reflection = prediction.reflection;
    lsp_search::lsp_of(&prediction.a, &call.lsp)
}

/// The LP residual of both subframes, also written to the calls' excitation, and the weighted speech.
#[inline(always)]
fn weigh<L: Lanes>(filters: &[Filters<L>; 2], call: &mut CallLanes<L>, rows: &mut [&mut [i16]]) -> [Subframe<L>; 2] {
    // The present frame begins 120 samples into the window.
    const PRESENT: usize = 60 - MEMORY_PAIRS;
    let mut residual = [[L::zero(); SUBFRAME_PAIRS]; 2];
    let past = call.weighted.len() - FRAME_PAIRS;
    for subframe in 0..2 {
        let start = PRESENT + subframe * SUBFRAME_PAIRS;
        filters[subframe]
            .lp
            .residual(&call.speech[start..start + MEMORY_PAIRS + SUBFRAME_PAIRS], &mut residual[subframe]);
        let mut output = [L::zero(); MEMORY_PAIRS + SUBFRAME_PAIRS];
        output[..MEMORY_PAIRS].copy_from_slice(&call.weighting);
        filters[subframe].open_loop.synthesis(&residual[subframe], &mut output);
        call.weighting.copy_from_slice(&output[SUBFRAME_PAIRS..]);
        call.weighted[past + subframe * SUBFRAME_PAIRS..][..SUBFRAME_PAIRS].copy_from_slice(&output[MEMORY_PAIRS..]);
    }
    let mut targets: ArrayVec<&mut [i16], LANES_MAX> = rows.iter_mut().map(|row| &mut row[PAST_EXCITATION..]).collect();
    L::store_pairs(residual.as_flattened(), &mut targets);
    residual
}

/// `x` through the weighted synthesis filter, from a memory.
#[inline(always)]
fn synthesise<L: Lanes>(filter: &LpFilter<L>, x: &Subframe<L>, memory: &[L; MEMORY_PAIRS]) -> Subframe<L> {
    let mut output = [L::zero(); MEMORY_PAIRS + SUBFRAME_PAIRS];
    output[..MEMORY_PAIRS].copy_from_slice(memory);
    filter.synthesis(x, &mut output);
    core::array::from_fn(|m| output[m + MEMORY_PAIRS])
}

/// Encodes a subframe. `first_lag` is where the search for its lag begins, and becomes that of the next.
fn encode_subframe<L: Lanes>(
    subframe: usize,
    filters: &Filters<L>,
    residual: &Subframe<L>,
    first_lag: &mut L,
    call: &mut CallLanes<L>,
    rows: &mut [&mut [i16]],
) -> SubframeParameters<L> {
    let start = PAST_EXCITATION + subframe * SUBFRAME_SAMPLES;
    let silence = [L::zero(); MEMORY_PAIRS];
    let (mut h, x) = L::stage(
        #[inline(always)]
        || {
            let mut impulse = [L::zero(); SUBFRAME_PAIRS];
            impulse[0] = L::splat_pair(4096, 0);
            (synthesise(&filters.weighting, &impulse, &silence), synthesise(&filters.weighting, residual, &call.target))
        },
    );
    let target = L::stage(
        #[inline(always)]
        || Weighed::new(&correlation::backward_filter(&h, &x)),
    );
    let lag = L::stage(
        #[inline(always)]
        || closed_loop::integer_lag(&target, *first_lag, if subframe == 0 { 7 } else { 10 }, rows, start),
    );
    let whole = if subframe == 0 { lag.gt(L::splat(84)) } else { L::mask_from_bits(0) };
    let (fraction, adaptive) = L::stage(
        #[inline(always)]
        || closed_loop::fraction(&target, lag, whole, rows, start),
    );
    let pitch_index = if subframe == 0 {
        let (index, least) = closed_loop::first_index(lag, fraction);
        *first_lag = least;
        index
    } else {
        closed_loop::second_index(lag, fraction, *first_lag)
    };

    let (mut pitch, y1) = L::stage(
        #[inline(always)]
        || {
            let y1 = synthesise(&filters.weighting, &adaptive, &silence);
            (closed_loop::pitch_gain(&x, &y1), y1)
        },
    );
    let tame = taming::must_tame(&call.taming, lag, fraction);
    pitch.gain = L::select(tame, pitch.gain.min(L::splat(taming::GAIN_MAX)), pitch.gain);

    let fixed_target = L::stage(
        #[inline(always)]
        || {
            fixed_codebook::sharpen_response(&mut h, lag, call.sharpening);
            closed_loop::remove_pitch(&x, &y1, pitch.gain)
        },
    );
    let fixed = fixed_codebook::search(&h, &fixed_target, lag, call.sharpening);

    let gains = L::stage(
        #[inline(always)]
        || gain_quantiser::quantise(&x, &y1, &fixed.filtered, &fixed.code, &pitch, tame, &mut call.gain_memory),
    );
    L::stage(
        #[inline(always)]
        || {
            call.sharpening = gain::sharpening(gains.pitch);
            taming::update(&mut call.taming, gains.pitch, lag);
            let mut excitation = [L::zero(); SUBFRAME_PAIRS];
            gain::excitation(&adaptive, &fixed.code, gains.pitch, gains.code, &mut excitation);
            let mut targets: ArrayVec<&mut [i16], LANES_MAX> = rows.iter_mut().map(|row| &mut row[start..]).collect();
            L::store_pairs(&excitation, &mut targets);
            for (i, memory) in call.target.iter_mut().enumerate() {
                let m = SUBFRAME_PAIRS - MEMORY_PAIRS + i;
                let (pitch_low, pitch_high) = scaled::<L, 14>(y1[m], gains.pitch);
                let (code_low, code_high) = scaled::<L, 13>(fixed.filtered[m], gains.code);
                let pitch = L::pair(pitch_low.saturate(), pitch_high.saturate());
                *memory = x[m].sub_x2(pitch.add_x2(L::pair(code_low.saturate(), code_high.saturate())));
            }
        },
    );
    SubframeParameters {
        pitch: pitch_index,
        positions: fixed.positions,
        signs: fixed.signs,
        gain_a: gains.index_a,
        gain_b: gains.index_b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_of_a_call_takes_less_than_three_kibibytes() {
        assert!(size_of::<Encoder>() <= 3 * 1024);
    }
}
