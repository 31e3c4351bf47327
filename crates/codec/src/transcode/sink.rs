//! The encoding half: samples in, payloads out.

use arrayvec::ArrayVec;

use super::{Codec, FRAME_TICKS, GROUP, Linear, Made, STEP_FRAMES, Silence, Speech};
use crate::g711::{self, Law};
use crate::g722;
use crate::g729;
use crate::g729::bitstream::Frame;
use crate::level::Level;

/// An encoder.
#[derive(Clone, Copy, Debug)]
#[repr(C, u8)]
#[expect(clippy::large_enum_variant, reason = "a stream is one block without pointers")]
pub enum Sink {
    /// G.711.
    G711 {
        /// The law.
        law: Law,
    },
    /// G.722.
    G722(g722::Encoder),
    /// G.729 Annex A, with Annex B where silence is described.
    G729(g729::Encoder),
}

impl Sink {
    /// The start of a stream.
    #[must_use]
    pub fn new(codec: Codec, silence: Silence) -> Self {
        match (codec, silence) {
            (Codec::Pcmu, _) => Self::G711 { law: Law::Mu },
            (Codec::Pcma, _) => Self::G711 { law: Law::A },
            (Codec::G722, _) => Self::G722(g722::Encoder::new(g722::Mode::Kbit64)),
            (Codec::G729, Silence::AsSpeech) => Self::G729(g729::Encoder::new()),
            (Codec::G729, Silence::Described) => Self::G729(g729::Encoder::with_annex_b()),
        }
    }
}

/// Encodes each job's samples and appends what comes of them to its payload.
pub(super) fn encode_step(level: Level, jobs: &mut [Linear<'_>], speech: &[Speech; GROUP]) {
    let mut frames = [[Frame::NotSent; STEP_FRAMES]; GROUP];
    let mut g722 = ArrayVec::<g722::EncodeJob<'_>, GROUP>::new();
    let mut g729 = ArrayVec::<g729::EncodeJob<'_>, GROUP>::new();
    for ((job, step), frames) in jobs.iter_mut().zip(speech).zip(&mut frames) {
        let Linear { sink, output, made, silence, keeps_rate, .. } = job;
        let ticks = if *silence == Silence::Described { step.speech } else { step.ticks };
        let pcm = &step.samples[..step.count / step.ticks * ticks];
        let room = &mut output[made.octets()..];
        let rest = match sink {
            Sink::G711 { law } => {
                g711::encode(level, *law, pcm, room);
                made.push_speech(ticks, pcm.len());
                &mut room[pcm.len()..]
            }
            Sink::G722(state) => {
                let (octets, rest) = room.split_at_mut(pcm.len() / 2);
                made.push_speech(ticks, octets.len());
                g722.push(g722::EncodeJob { state, pcm, octets });
                rest
            }
            Sink::G729(state) => {
                let (pcm, _) = step.samples[..step.count].as_chunks();
                let (speech, noise) = pcm.split_at(ticks / FRAME_TICKS);
                let (speech_frames, noise_frames) = frames.split_at_mut(speech.len());
                if noise.is_empty() {
                    g729.push(g729::EncodeJob { state, pcm: speech, frames: speech_frames });
                } else {
                    g729::encode_batch(level, &mut [g729::EncodeJob { state, pcm: speech, frames: speech_frames }]);
                    let mut description = step.description(*keeps_rate);
                    for (pcm, frame) in noise.iter().zip(noise_frames) {
                        *frame = state.encode_noise(description.take().as_ref(), pcm);
                    }
                }
                continue;
            }
        };
        let mut unsent = step.ticks - ticks;
        if let Some(description) = step.description(*keeps_rate).filter(|_| unsent > 0) {
            let payload = description.payload();
            rest[..payload.len()].copy_from_slice(&payload);
            made.push_descriptor(payload.len());
            unsent -= FRAME_TICKS;
        }
        made.push_unsent(unsent);
    }
    g722::encode_batch(level, &mut g722);
    g729::encode_batch(level, &mut g729);
    drop((g722, g729));
    for ((job, step), frames) in jobs.iter_mut().zip(speech).zip(&frames) {
        if let Sink::G729(_) = job.sink {
            for frame in &frames[..step.ticks / FRAME_TICKS] {
                append(frame, job.output, job.made);
            }
        }
    }
}

/// Appends a frame of G.729 to a payload.
fn append(frame: &Frame, output: &mut [u8], made: &mut Made) {
    let room = &mut output[made.octets()..];
    match frame {
        Frame::Speech(octets) => {
            room[..octets.len()].copy_from_slice(octets);
            made.push_speech(FRAME_TICKS, octets.len());
        }
        Frame::Sid(octets) => {
            room[..octets.len()].copy_from_slice(octets);
            made.push_descriptor(octets.len());
        }
        Frame::NotSent | Frame::Erased => made.push_unsent(FRAME_TICKS),
    }
}
