//! The decoding half: payloads in, samples out, whatever was lost.

use arrayvec::ArrayVec;

use super::{Codec, FRAME_TICKS, GROUP, Input, Linear, STEP, STEP_FRAMES, Speech};
use crate::g711::{self, Law};
use crate::g722;
use crate::g729;
use crate::g729::bitstream::{Frame, SPEECH_OCTETS, split_payload};
use crate::level::Level;

/// A decoder with its concealment.
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
    },
    /// G.722, with concealment after its Appendix IV.
    G722(g722::ConcealingDecoder),
    /// G.729 Annex A and B, which conceals by itself.
    G729(g729::Decoder),
}

impl Source {
    /// The start of a stream.
    #[must_use]
    pub fn new(codec: Codec) -> Self {
        match codec {
            Codec::Pcmu => Self::G711 { law: Law::Mu, concealment: g711::Concealment::new() },
            Codec::Pcma => Self::G711 { law: Law::A, concealment: g711::Concealment::new() },
            Codec::G722 => Self::G722(g722::ConcealingDecoder::new(g722::Mode::Kbit64)),
            Codec::G729 => Self::G729(g729::Decoder::new()),
        }
    }
}

/// Decodes up to [`STEP`] ticks of each job, beginning at tick `from` of its input.
pub(super) fn decode_step(level: Level, jobs: &mut [Linear<'_>], from: usize, decoded: &mut [Speech; GROUP]) {
    let mut frames = [[Frame::Erased; STEP_FRAMES]; GROUP];
    let mut g722 = ArrayVec::<g722::ConcealingJob<'_>, GROUP>::new();
    let mut g729 = ArrayVec::<g729::DecodeJob<'_>, GROUP>::new();
    for ((job, decoded), frames) in jobs.iter_mut().zip(decoded).zip(&mut frames) {
        let ticks = STEP.min(job.ticks - from);
        match (&mut *job.source, job.input) {
            (Source::G711 { law, concealment }, input) => {
                decoded.count = ticks;
                let samples = &mut decoded.samples[..ticks];
                match input {
                    Input::Payload(payload) => {
                        g711::decode(level, *law, &payload[from..from + ticks], samples);
                        concealment.receive(samples);
                    }
                    Input::Lost { .. } | Input::NotSent { .. } => concealment.conceal(samples),
                }
            }
            (Source::G722(state), input) => {
                decoded.count = 2 * ticks;
                let octets = match input {
                    Input::Payload(payload) => Some(&payload[from..from + ticks]),
                    Input::Lost { .. } | Input::NotSent { .. } => None,
                };
                g722.push(g722::ConcealingJob { state, octets, pcm: &mut decoded.samples[..2 * ticks] });
            }
            (Source::G729(state), input) => {
                decoded.count = ticks;
                let count = frames_of(input, from, ticks, frames);
                let (pcm, _) = decoded.samples[..ticks].as_chunks_mut();
                g729.push(g729::DecodeJob { state, frames: &frames[..count], pcm });
            }
        }
    }
    g722::decode_or_conceal_batch(level, &mut g722);
    g729::decode_batch(level, &mut g729);
}

/// The G.729 frames of the ticks `from..from + ticks`, and how many they are.
fn frames_of(input: Input<'_>, from: usize, ticks: usize, frames: &mut [Frame; STEP_FRAMES]) -> usize {
    let count = ticks / FRAME_TICKS;
    match input {
        Input::Payload(payload) => {
            let rest = payload.get(from / FRAME_TICKS * SPEECH_OCTETS..).unwrap_or(&[]);
            let received = split_payload(rest).into_iter().flatten();
            frames.iter_mut().zip(received).for_each(|(frame, received)| *frame = received);
        }
        Input::Lost { .. } => frames.fill(Frame::Erased),
        Input::NotSent { .. } => frames.fill(Frame::NotSent),
    }
    count
}
