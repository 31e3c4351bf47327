//! The encoding half: samples in, payloads out.

use arrayvec::ArrayVec;

use super::{Codec, GROUP, Linear, STEP_FRAMES, Speech};
use crate::g711::{self, Law};
use crate::g722;
use crate::g729;
use crate::g729::bitstream::{Frame, SPEECH_OCTETS};
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
    /// G.729 Annex A; all is sent as speech.
    G729(g729::Encoder),
}

impl Sink {
    /// The start of a stream.
    #[must_use]
    pub fn new(codec: Codec) -> Self {
        match codec {
            Codec::Pcmu => Self::G711 { law: Law::Mu },
            Codec::Pcma => Self::G711 { law: Law::A },
            Codec::G722 => Self::G722(g722::Encoder::new(g722::Mode::Kbit64)),
            Codec::G729 => Self::G729(g729::Encoder::new()),
        }
    }
}

/// Encodes each job's samples and appends what comes of them to its payload.
pub(super) fn encode_step(level: Level, jobs: &mut [Linear<'_>], speech: &[Speech; GROUP]) {
    let mut frames = [[Frame::NotSent; STEP_FRAMES]; GROUP];
    let mut g722 = ArrayVec::<g722::EncodeJob<'_>, GROUP>::new();
    let mut g729 = ArrayVec::<g729::EncodeJob<'_>, GROUP>::new();
    let mut payloads = ArrayVec::<&mut [u8], GROUP>::new();
    for ((job, speech), frames) in jobs.iter_mut().zip(speech).zip(&mut frames) {
        let made = job.made.unwrap_or(0);
        let room = &mut job.output[made..];
        let pcm = &speech.samples[..speech.count];
        let count = match &mut *job.sink {
            Sink::G711 { law } => {
                g711::encode(level, *law, pcm, room);
                pcm.len()
            }
            Sink::G722(state) => {
                let count = pcm.len() / 2;
                g722.push(g722::EncodeJob { state, pcm, octets: &mut room[..count] });
                count
            }
            Sink::G729(state) => {
                let (pcm, _) = pcm.as_chunks();
                let frames = &mut frames[..pcm.len()];
                let payload = &mut room[..pcm.len() * SPEECH_OCTETS];
                let count = payload.len();
                g729.push(g729::EncodeJob { state, pcm, frames });
                payloads.push(payload);
                count
            }
        };
        *job.made = Ok(made + count);
    }
    g722::encode_batch(level, &mut g722);
    g729::encode_batch(level, &mut g729);
    for (job, payload) in g729.iter().zip(payloads) {
        for (frame, octets) in job.frames.iter().zip(payload.chunks_mut(SPEECH_OCTETS)) {
            if let Frame::Speech(speech) = frame {
                octets.copy_from_slice(speech);
            }
        }
    }
}
