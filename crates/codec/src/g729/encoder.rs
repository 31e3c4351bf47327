//! The encoder of G.729 Annex A with Annex B, for as many calls in lock-step as there are lanes.
//!
//! A batch is any number of [`EncodeJob`]s. Frame by frame, as many calls as there are lanes are spread over the lanes and
//! encoded together; those left over at the end share a group that is not full. Calls with Annex B are first analysed,
//! and then sorted into those with voice and those without, because the two have no work in common from there on.

mod closed_loop;
mod correlation;
mod dtx;
mod fixed_codebook;
mod gain_quantiser;
mod lp_analysis;
mod lsf_quantiser;
mod lsp_search;
mod open_loop;
mod preprocess;
mod response;
mod send;
mod sid_quantiser;
mod silence;
mod state;
mod taming;
mod vad;

use arrayvec::ArrayVec;

use self::closed_loop::scaled;
use self::correlation::{Subframe, Weighed};
use self::lp_analysis::{Autocorrelation, LAGS, Split};
use self::response::Correlations;
use self::send::send;
use self::silence::{detect_voice, encode_silence};
use self::state::CallLanes;
use super::adaptive_codebook::PAST_EXCITATION;
use super::bitstream::Frame;
use super::filter::{LpFilter, MEMORY_PAIRS, SUBFRAME_PAIRS};
use super::rows::{self, LANES_MAX, Rows};
use super::{FRAME_PAIRS, FRAME_SAMPLES, SUBFRAME_SAMPLES, gain, lsp};
use crate::Level;
use crate::cn;
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

impl Encoder {
    /// Encodes a frame of comfort noise that is known by its description, as a gateway knows it that receives RFC 3389's payload: a
    /// [`Frame::Sid`] to be sent, and a state as the far end's decoder will have it. Without a description the noise goes on as it was, and what
    /// is to be sent is [`Frame::NotSent`]; that need not be told, but lets the two stay in step.
    ///
    /// `pcm` is the noise, as [`cn::Generator`] makes it; only what is encoded later depends on it. An encoder without Annex B makes descriptors
    /// too when it is asked to. Level and spectrum keep what the codec can tell, see [`cn`].
    pub fn encode_noise(&mut self, noise: Option<&cn::Description>, pcm: &[i16; FRAME_SAMPLES]) -> Frame {
        with_lanes(Level::Scalar, EncodeNoise { encoder: self, noise, pcm })
    }
}

struct EncodeNoise<'a> {
    encoder: &'a mut Encoder,
    noise: Option<&'a cn::Description>,
    pcm: &'a [i16; FRAME_SAMPLES],
}

impl WithLanes for EncodeNoise<'_> {
    type Output = Frame;

    fn run<L: Lanes>(self) -> Frame {
        let mut frame = Frame::NotSent;
        let mut group = Group::new();
        group.push(Slot { state: self.encoder, pcm: self.pcm, frame: &mut frame });
        let mut work = Workspace::<L>::new();
        detect_voice(&mut group, &mut work, true);
        encode_silence(&mut group, &mut work, Noise::Known(self.noise));
        drop(group);
        frame
    }
}

/// What is known of a frame without voice beside its speech.
#[derive(Clone, Copy)]
enum Noise<'a> {
    /// Nothing: it is for the encoder to say whether and as what it is described.
    Heard,
    /// It is as described, or else as before.
    Known(Option<&'a cn::Description>),
}

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
        if frames == 0 {
            return;
        }
        let mut work = L::stage(
            #[inline(always)]
            || Workspace::<L>::new(),
        );
        for index in 0..frames {
            let mut groups = Groups::default();
            for job in self.0.iter_mut() {
                let (Some(pcm), Some(frame)) = (job.pcm.get(index), job.frames.get_mut(index)) else { continue };
                groups.push(Slot { state: job.state, pcm, frame }, &mut work);
            }
            groups.finish(&mut work);
        }
    }
}

/// Slots that wait for company, by what is to be done with them.
#[derive(Default)]
struct Groups<'a> {
    /// Speech without further question.
    plain: Group<'a>,
    /// To be analysed for voice.
    undecided: Group<'a>,
    /// Analysed.
    voice: Group<'a>,
    silence: Group<'a>,
}

impl<'a> Groups<'a> {
    fn push<L: Lanes>(&mut self, slot: Slot<'a>, work: &mut Workspace<L>) {
        if slot.state.annex_b == 0 {
            self.plain.push(slot);
            if self.plain.len() == L::N {
                encode_plain(&mut self.plain, work);
            }
        } else {
            self.undecided.push(slot);
            if self.undecided.len() == L::N {
                self.decide(work);
            }
        }
    }

    /// Analyses the undecided slots and sorts them.
    fn decide<L: Lanes>(&mut self, work: &mut Workspace<L>) {
        let voice = detect_voice(&mut self.undecided, work, false);
        for (l, slot) in self.undecided.drain(..).enumerate() {
            if voice >> l & 1 == 1 {
                self.voice.push(slot);
                if self.voice.len() == L::N {
                    encode_voice(&mut self.voice, work);
                }
            } else {
                self.silence.push(slot);
                if self.silence.len() == L::N {
                    encode_silence(&mut self.silence, work, Noise::Heard);
                }
            }
        }
    }

    /// Encodes what is left.
    fn finish<L: Lanes>(&mut self, work: &mut Workspace<L>) {
        if !self.plain.is_empty() {
            encode_plain(&mut self.plain, work);
        }
        if !self.undecided.is_empty() {
            self.decide(work);
        }
        if !self.voice.is_empty() {
            encode_voice(&mut self.voice, work);
        }
        if !self.silence.is_empty() {
            encode_silence(&mut self.silence, work, Noise::Heard);
        }
    }
}

/// Where a group is encoded: what is too large to be handed from stage to stage by value.
struct Workspace<L: Lanes> {
    call: CallLanes<L>,
    filters: [Filters<L>; 2],
    correlations: Correlations<L>,
}

impl<L: Lanes> Workspace<L> {
    #[inline(always)]
    fn new() -> Self {
        let none = LpFilter::new(&[L::zero(); lsp::ORDER + 1]);
        let filters = Filters { lp: none, weighting: none, open_loop: none };
        Self { call: CallLanes::zero(), filters: [filters; 2], correlations: Correlations::none() }
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
#[derive(Clone, Copy)]
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
        let tilted = rows::each(
            #[inline(always)]
            |i| match i {
                0 => weighted[0],
                _ => weighted[i].sub(weighted[i - 1].mult(L::splat(TILT))),
            },
        );
        Self { lp, weighting: LpFilter::new(&weighted), open_loop: LpFilter::new(&tilted) }
    }
}

/// Encodes a frame of each slot as speech.
fn encode_plain<L: Lanes>(group: &mut Group<'_>, work: &mut Workspace<L>) {
    L::stage(
        #[inline(always)]
        || {
            work.call.load(&states(group), 0);
            take_in(group, &mut work.call);
        },
    );
    analyse(&mut work.call);
    encode_speech(group, work);
}

/// Encodes a frame of each slot, analysed and found to have voice.
fn encode_voice<L: Lanes>(group: &mut Group<'_>, work: &mut Workspace<L>) {
    L::stage(
        #[inline(always)]
        || work.call.load(&states(group), FRAME_PAIRS),
    );
    encode_speech(group, work);
}

/// The states of the slots.
#[inline(always)]
fn states<'s>(group: &'s Group<'_>) -> ArrayVec<&'s Encoder, LANES_MAX> {
    let mut states = ArrayVec::new();
    for slot in group {
        states.push(&*slot.state);
    }
    states
}

/// The states of the slots.
#[inline(always)]
fn states_mut<'s>(group: &'s mut Group<'_>) -> ArrayVec<&'s mut Encoder, LANES_MAX> {
    let mut states = ArrayVec::new();
    for slot in group {
        states.push(&mut *slot.state);
    }
    states
}

/// The slots' excitation buffers.
fn excitations<'s>(group: &'s mut Group<'_>) -> Rows<'s> {
    let mut rows = Rows::new();
    for slot in group {
        rows.push(&mut slot.state.excitation);
    }
    rows
}

/// Takes the new speech into the window.
#[inline(always)]
fn take_in<L: Lanes>(group: &Group<'_>, call: &mut CallLanes<L>) {
    let mut rows: [&[i16]; LANES_MAX] = [group[0].pcm; LANES_MAX];
    for (row, slot) in rows.iter_mut().zip(group) {
        *row = slot.pcm;
    }
    let mut input = [L::zero(); FRAME_PAIRS];
    L::load_pairs(&rows, &mut input);
    let newest = call.speech.len() - FRAME_PAIRS;
    preprocess::high_pass(&input, &mut call.speech[newest..], &mut call.high_pass_in, &mut call.high_pass_out);
}

/// Encodes a frame of each slot as speech; the window has been analysed.
fn encode_speech<L: Lanes>(group: &mut Group<'_>, work: &mut Workspace<L>) {
    let Workspace { call, filters, correlations } = work;
    let (lsf, quantised) = lsf_quantiser::quantise(&call.new_lsp, &mut call.lsf_memory);
    interpolate_filters(call, &quantised, filters);
    call.lsp = call.new_lsp;

    let subframes = {
        let mut calls = excitations(group);
        let residual = L::stage(
            #[inline(always)]
            || {
                let residual = weigh(filters, call);
                rows::store(residual.as_flattened(), &mut calls, PAST_EXCITATION);
                residual
            },
        );
        let lag = L::stage(
            #[inline(always)]
            || open_loop::first_range(open_loop::open_loop_lag(&call.weighted)),
        );
        let mut first_lag = lag;
        let mut encode = |subframe: usize| {
            let (filters, residual) = (&filters[subframe], &residual[subframe]);
            encode_subframe(subframe, filters, residual, &mut first_lag, call, correlations, &mut calls)
        };
        let first = encode(0);
        [first, encode(1)]
    };
    L::stage(
        #[inline(always)]
        || {
            call.advance();
            call.store(&mut states_mut(group), 0);
            send(group, &Parameters { lsf, subframes });
        },
    );
    for slot in group.iter_mut() {
        slot.state.advance();
    }
    group.clear();
}

/// The filters of both subframes from the quantised LSP of this frame and the one before.
fn interpolate_filters<L: Lanes>(call: &mut CallLanes<L>, lsp: &lsp::Coefficients<L>, filters: &mut [Filters<L>; 2]) {
    L::stage(
        #[inline(always)]
        || {
            let between = lsp::interpolate_lsp(lsp, &call.quantised_lsp);
            filters[0] = Filters::new(&between);
            filters[1] = Filters::new(lsp);
            call.quantised_lsp = *lsp;
        },
    );
}

/// LP analysis of the window, to LSP. Returns the autocorrelation before and after the lag window.
fn analyse<L: Lanes>(call: &mut CallLanes<L>) -> (Autocorrelation<L>, [Split<L>; LAGS + 1]) {
    let (autocorrelation, r) = L::stage(
        #[inline(always)]
        || {
            let autocorrelation = lp_analysis::autocorrelate(&call.speech);
            (autocorrelation, autocorrelation.lag_windowed())
        },
    );
    let prediction = L::stage(
        #[inline(always)]
        || {
            let prediction = lp_analysis::levinson(&r, (&call.stable_lp, call.stable_reflection));
            call.stable_lp.copy_from_slice(&prediction.a[1..]);
            call.stable_reflection = prediction.reflection;
            prediction
        },
    );
    call.new_lsp = lsp_search::lsp_of(&prediction.a, &call.lsp);
    (autocorrelation, r)
}

/// The LP residual of both subframes, and the weighted speech.
#[inline(always)]
fn weigh<L: Lanes>(filters: &[Filters<L>; 2], call: &mut CallLanes<L>) -> [Subframe<L>; 2] {
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
    residual
}

/// `x` through the weighted synthesis filter, from a memory.
#[inline(always)]
fn synthesise<L: Lanes>(filter: &LpFilter<L>, x: &Subframe<L>, memory: &[L; MEMORY_PAIRS]) -> Subframe<L> {
    let mut output = [L::zero(); MEMORY_PAIRS + SUBFRAME_PAIRS];
    output[..MEMORY_PAIRS].copy_from_slice(memory);
    filter.synthesis(x, &mut output);
    rows::each(
        #[inline(always)]
        |m| output[m + MEMORY_PAIRS],
    )
}

/// Encodes a subframe. `first_lag` is where the search for its lag begins, and becomes that of the next.
fn encode_subframe<L: Lanes>(
    subframe: usize,
    filters: &Filters<L>,
    residual: &Subframe<L>,
    first_lag: &mut L,
    call: &mut CallLanes<L>,
    correlations: &mut Correlations<L>,
    calls: &mut [&mut [i16]],
) -> SubframeParameters<L> {
    let start = PAST_EXCITATION + subframe * SUBFRAME_SAMPLES;
    let (mut h, x, silence) = L::stage(
        #[inline(always)]
        || {
            let silence = [L::zero(); MEMORY_PAIRS];
            let mut impulse = [L::zero(); SUBFRAME_PAIRS];
            impulse[0] = L::splat_pair(4096, 0);
            let h = synthesise(&filters.weighting, &impulse, &silence);
            (h, synthesise(&filters.weighting, residual, &call.target), silence)
        },
    );
    let target = L::stage(
        #[inline(always)]
        || Weighed::new(&correlation::backward_filter(&h, &x)),
    );
    let lag = L::stage(
        #[inline(always)]
        || closed_loop::integer_lag(&target, *first_lag, if subframe == 0 { 7 } else { 10 }, calls, start),
    );
    let (fraction, adaptive, pitch_index) = L::stage(
        #[inline(always)]
        || {
            let whole = if subframe == 0 { lag.gt(L::splat(84)) } else { L::mask_from_bits(0) };
            let (fraction, adaptive) = closed_loop::fraction(&target, lag, whole, calls, start);
            let index = if subframe == 0 {
                let (index, least) = closed_loop::first_index(lag, fraction);
                *first_lag = least;
                index
            } else {
                closed_loop::second_index(lag, fraction, *first_lag)
            };
            (fraction, adaptive, index)
        },
    );
    let (pitch, y1, tame) = L::stage(
        #[inline(always)]
        || {
            let y1 = synthesise(&filters.weighting, &adaptive, &silence);
            let mut pitch = closed_loop::pitch_gain(&x, &y1);
            let tame = taming::must_tame(&call.taming, lag, fraction);
            pitch.gain = L::select(tame, pitch.gain.min(L::splat(taming::GAIN_MAX)), pitch.gain);
            (pitch, y1, tame)
        },
    );

    let fixed_target = L::stage(
        #[inline(always)]
        || {
            fixed_codebook::sharpen_response(&mut h, lag, call.sharpening);
            closed_loop::remove_pitch(&x, &y1, pitch.gain)
        },
    );
    let fixed = fixed_codebook::search(&h, &fixed_target, lag, call.sharpening, correlations);

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
            rows::store(&excitation, calls, start);
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
mod tests;
