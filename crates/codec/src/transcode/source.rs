//! The decoding half: payloads in, samples out, whatever was lost.

use arrayvec::ArrayVec;

use super::{Codec, GROUP, Input, Linear, STEP, Speech};
use crate::g711::{self, Law};
use crate::g722;
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
}

impl Source {
    /// The start of a stream.
    #[must_use]
    pub const fn new(codec: Codec) -> Self {
        match codec {
            Codec::Pcmu => Self::G711 { law: Law::Mu, concealment: g711::Concealment::new() },
            Codec::Pcma => Self::G711 { law: Law::A, concealment: g711::Concealment::new() },
            Codec::G722 => Self::G722(g722::ConcealingDecoder::new(g722::Mode::Kbit64)),
        }
    }
}

/// Decodes up to [`STEP`] ticks of each job, beginning at tick `from` of its input.
pub(super) fn decode_step(level: Level, jobs: &mut [Linear<'_>], from: usize, decoded: &mut [Speech; GROUP]) {
    let mut g722 = ArrayVec::<g722::ConcealingJob<'_>, GROUP>::new();
    for (job, decoded) in jobs.iter_mut().zip(decoded) {
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
                    Input::Lost { .. } => concealment.conceal(samples),
                }
            }
            (Source::G722(state), input) => {
                decoded.count = 2 * ticks;
                let octets = match input {
                    Input::Payload(payload) => Some(&payload[from..from + ticks]),
                    Input::Lost { .. } => None,
                };
                g722.push(g722::ConcealingJob { state, octets, pcm: &mut decoded.samples[..2 * ticks] });
            }
        }
    }
    g722::decode_or_conceal_batch(level, &mut g722);
}
