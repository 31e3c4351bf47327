//! The decoding half: payloads in, samples out, whatever was lost.

use arrayvec::ArrayVec;

use super::{Codec, FRAME_TICKS, GROUP, Input, Linear, STEP, STEP_FRAMES, Silence, Speech};
use crate::cn::{Description, Generator};
use crate::g711::{self, Law};
use crate::g722;
use crate::g729;
use crate::g729::bitstream::{Frame, SPEECH_OCTETS, split_payload};
use crate::level::Level;

/// A decoder with its concealment, and with comfort noise where the codec has none of its own.
#[derive(Clone, Copy, Debug)]
#[repr(C, u8)]
#[expect(clippy::large_enum_variant, reason = "a stream is one block without pointers")]
pub enum Source {
    /// G.711. The concealment delays its samples by 3.75 ms.
    G711 {
        /// The law.
        law: Law,
        /// Concealment after Appendix I/G.711.
        concealment: g711::Concealment,
        /// Comfort noise.
        noise: ComfortNoise,
    },
    /// G.722, with concealment after its Appendix IV.
    G722 {
        /// The decoder.
        decoder: g722::ConcealingDecoder,
        /// Comfort noise.
        noise: ComfortNoise,
    },
    /// G.729 Annex A and B, which conceals by itself.
    G729(g729::Decoder),
}

/// Noise in place of speech that the far end has described and does not send.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct ComfortNoise {
    generator: Generator,
    /// Whether noise is what came last.
    is_on: bool,
}

impl ComfortNoise {
    const fn new() -> Self {
        Self { generator: Generator::new(1), is_on: false }
    }

    /// Takes in what came for a step, and makes the step's noise if it is time for noise: whether it is, and its description if that is new.
    fn step(&mut self, input: Input<'_>, is_first_step: bool, samples: &mut [i16]) -> (bool, Option<Description>) {
        let mut new = None;
        match input {
            Input::Payload(_) => self.is_on = false,
            Input::Noise { payload, .. } => {
                if let (true, Ok(description)) = (is_first_step, Description::parse(payload)) {
                    self.generator.describe(&description);
                    self.is_on = true;
                    new = Some(description);
                }
            }
            Input::Lost { .. } | Input::NotSent { .. } => {}
        }
        if self.is_on {
            self.generator.generate(samples);
        }
        (self.is_on, new)
    }
}

impl Source {
    /// The start of a stream.
    #[must_use]
    pub fn new(codec: Codec) -> Self {
        let (noise, concealment) = (ComfortNoise::new(), g711::Concealment::new());
        match codec {
            Codec::Pcmu => Self::G711 { law: Law::Mu, concealment, noise },
            Codec::Pcma => Self::G711 { law: Law::A, concealment, noise },
            Codec::G722 => Self::G722 { decoder: g722::ConcealingDecoder::new(g722::Mode::Kbit64), noise },
            Codec::G729 => Self::G729(g729::Decoder::new()),
        }
    }
}

/// Decodes up to [`STEP`] ticks of each job, beginning at tick `from` of its input.
pub(super) fn decode_step(level: Level, jobs: &mut [Linear<'_>], from: usize, decoded: &mut [Speech; GROUP]) {
    let mut frames = [[Frame::Erased; STEP_FRAMES]; GROUP];
    let mut g722 = ArrayVec::<g722::ConcealingJob<'_>, GROUP>::new();
    let mut g729 = ArrayVec::<g729::DecodeJob<'_>, GROUP>::new();
    for ((job, decoded), frames) in jobs.iter_mut().zip(decoded.iter_mut()).zip(&mut frames) {
        let Speech { samples, count, ticks, speech, noise: described } = decoded;
        *ticks = STEP.min(job.ticks - from);
        (*count, *speech, *described) = (*ticks, *ticks, None);
        match (&mut *job.source, job.input) {
            (Source::G711 { law, concealment, noise }, input) => {
                let samples = &mut samples[..*ticks];
                let (is_noise, new) = noise.step(input, from == 0, samples);
                match input {
                    _ if is_noise => {
                        (*speech, *described) = (0, new);
                        concealment.receive(samples);
                    }
                    Input::Payload(payload) => {
                        g711::decode(level, *law, &payload[from..from + *ticks], samples);
                        concealment.receive(samples);
                    }
                    _ => concealment.conceal(samples),
                }
            }
            (Source::G722 { decoder, noise }, input) => {
                *count = 2 * *ticks;
                let samples = &mut samples[..2 * *ticks];
                let (is_noise, new) = noise.step(input, from == 0, samples);
                if is_noise {
                    (*speech, *described) = (0, new);
                    continue;
                }
                let octets = match input {
                    Input::Payload(payload) => Some(&payload[from..from + *ticks]),
                    _ => None,
                };
                g722.push(g722::ConcealingJob { state: decoder, octets, pcm: samples });
            }
            (Source::G729(state), input) => {
                let frames = frames_of(input, from, *ticks, frames);
                let is_speech = |frame: &&Frame| match frame {
                    Frame::Speech(_) => true,
                    Frame::Erased => state.is_after_speech(),
                    Frame::Sid(_) | Frame::NotSent => false,
                };
                *speech = FRAME_TICKS * frames.iter().take_while(is_speech).count();
                let begins = *speech > 0 || state.is_after_speech();
                let is_described = match frames.get(*speech / FRAME_TICKS) {
                    Some(Frame::Sid(_)) => true,
                    // What noise it is that begins without a descriptor, the decoder has to guess: the far end had better be told.
                    Some(_) => begins,
                    None => false,
                };
                // What the description is, is known when it is decoded.
                *described = is_described.then(|| Description::white(0));
                let (pcm, _) = samples[..*ticks].as_chunks_mut();
                g729.push(g729::DecodeJob { state, frames, pcm });
            }
        }
    }
    g722::decode_or_conceal_batch(level, &mut g722);
    g729::decode_batch(level, &mut g729);
    drop((g722, g729));
    for (job, decoded) in jobs.iter().zip(decoded) {
        if let (Source::G729(state), Silence::Described, Some(description)) =
            (&*job.source, job.silence, &mut decoded.noise)
        {
            *description = state.comfort_noise();
        }
    }
}

/// The G.729 frames of the ticks `from..from + ticks`.
fn frames_of<'a>(input: Input<'_>, from: usize, ticks: usize, frames: &'a mut [Frame; STEP_FRAMES]) -> &'a [Frame] {
    match input {
        Input::Payload(payload) => {
            let rest = payload.get(from / FRAME_TICKS * SPEECH_OCTETS..).unwrap_or(&[]);
            let received = split_payload(rest).into_iter().flatten();
            frames.iter_mut().zip(received).for_each(|(frame, received)| *frame = received);
        }
        Input::Lost { .. } => frames.fill(Frame::Erased),
        Input::NotSent { .. } | Input::Noise { .. } => frames.fill(Frame::NotSent),
    }
    &frames[..ticks / FRAME_TICKS]
}
