//! The encoding half: samples in, payloads out.

use arrayvec::ArrayVec;

use super::{Codec, GROUP, Linear, Speech};
use crate::g711::{self, Law};
use crate::g722;
use crate::level::Level;

/// An encoder.
#[derive(Clone, Copy, Debug)]
#[repr(C, u8)]
pub enum Sink {
    /// G.711.
    G711 {
        /// The law.
        law: Law,
    },
    /// G.722.
    G722(g722::Encoder),
}

impl Sink {
    /// The start of a stream.
    #[must_use]
    pub const fn new(codec: Codec) -> Self {
        match codec {
            Codec::Pcmu => Self::G711 { law: Law::Mu },
            Codec::Pcma => Self::G711 { law: Law::A },
            Codec::G722 => Self::G722(g722::Encoder::new(g722::Mode::Kbit64)),
        }
    }
}

/// Encodes each job's samples and appends what comes of them to its payload.
pub(super) fn encode_step(level: Level, jobs: &mut [Linear<'_>], speech: &[Speech; GROUP]) {
    let mut g722 = ArrayVec::<g722::EncodeJob<'_>, GROUP>::new();
    for (job, speech) in jobs.iter_mut().zip(speech) {
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
        };
        *job.made = Ok(made + count);
    }
    g722::encode_batch(level, &mut g722);
}
