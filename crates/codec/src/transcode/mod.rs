//! From one codec's payloads to another's: what the media engine does to a leg's packets and what the offline command does to a file, in one place.
//!
//! A [`Transcoder`] is the state of one direction of one call: a decoder with its concealment, a conversion of the sampling rate where one is
//! needed, and an encoder. [`transcode_batch`] takes any number of calls' packets, of any mixture of codecs, through the same stages and runs
//! each codec's kernel over as many of them as it has lanes.
//!
//! All these codecs have an RTP clock of 8000, so lengths are told in its *ticks* of 125 µs.

mod sink;
mod source;

pub use sink::Sink;
pub use source::Source;

use arrayvec::ArrayVec;
use thiserror::Error;

use crate::g711::{self, Law};
use crate::g729::bitstream::{SID_OCTETS, SPEECH_OCTETS};
use crate::level::Level;
use crate::resample::{Rate, Resampler};

/// A codec that needs no foreign library.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Codec {
    /// G.711 µ-law.
    Pcmu,
    /// G.711 A-law.
    Pcma,
    /// G.722 at 64 kbit/s.
    G722,
    /// G.729 Annex A; received also with the silence descriptors of Annex B.
    G729,
}

impl Codec {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Pcmu, Self::Pcma, Self::G722, Self::G729];

    /// The sampling rate of its speech, which for G.722 is not that of its RTP clock.
    #[must_use]
    pub const fn rate(self) -> Rate {
        match self {
            Self::Pcmu | Self::Pcma | Self::G729 => Rate::Hz8000,
            Self::G722 => Rate::Hz16000,
        }
    }

    /// The law of a G.711 codec.
    #[must_use]
    pub const fn law(self) -> Option<Law> {
        match self {
            Self::Pcmu => Some(Law::Mu),
            Self::Pcma => Some(Law::A),
            Self::G722 | Self::G729 => None,
        }
    }

    /// Ticks of speech in a payload of so many octets, `None` where that is not a whole number of frames.
    #[must_use]
    pub const fn ticks_of_payload(self, octets: usize) -> Option<usize> {
        match self {
            Self::Pcmu | Self::Pcma | Self::G722 => Some(octets),
            // The silence descriptor at the end stands for a frame.
            Self::G729 => match octets % SPEECH_OCTETS {
                0 => Some(octets / SPEECH_OCTETS * FRAME_TICKS),
                SID_OCTETS => Some((octets / SPEECH_OCTETS + 1) * FRAME_TICKS),
                _ => None,
            },
        }
    }

    /// Octets of the longest payload for so many ticks of speech, `None` where that is not a whole number of frames.
    #[must_use]
    pub const fn octets_of_speech(self, ticks: usize) -> Option<usize> {
        match self {
            Self::Pcmu | Self::Pcma | Self::G722 => Some(ticks),
            Self::G729 if ticks.is_multiple_of(FRAME_TICKS) => Some(ticks / FRAME_TICKS * SPEECH_OCTETS),
            Self::G729 => None,
        }
    }
}

/// What has come for a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input<'a> {
    /// A packet's payload.
    Payload(&'a [u8]),
    /// A packet that did not come, or not in time, and how much speech it would have held.
    Lost {
        /// RTP clock ticks of 125 µs.
        ticks: usize,
    },
    /// Nothing was sent, because the far end has nothing to say: comfort noise is due.
    NotSent {
        /// RTP clock ticks of 125 µs.
        ticks: usize,
    },
}

/// Why a packet was not transcoded; nothing was written, and the stream's state is as before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TranscodeError {
    /// The payload is not a whole number of the source codec's frames, or its speech not a whole number of the destination's.
    #[error("not a whole number of frames")]
    Length,
    /// The output has no room for the longest payload that could come of it.
    #[error("no room for the output")]
    Room,
}

/// One direction of one call.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Transcoder {
    route: Route,
    from: Codec,
    to: Codec,
}

/// How the payload goes.
#[derive(Clone, Copy, Debug)]
#[repr(C, u8)]
#[expect(clippy::large_enum_variant, reason = "a stream is one block without pointers")]
enum Route {
    /// The payload as it is.
    Same,
    /// Octet by octet, without state: a lost packet stays lost, for the far end to conceal.
    Companding { from: Law },
    /// Over linear samples.
    Linear { source: Source, resampler: Resampler, sink: Sink },
}

impl Transcoder {
    /// The start of a stream.
    #[must_use]
    pub fn new(from: Codec, to: Codec) -> Self {
        let route = match (from, to) {
            (Codec::Pcmu, Codec::Pcma) => Route::Companding { from: Law::Mu },
            (Codec::Pcma, Codec::Pcmu) => Route::Companding { from: Law::A },
            (Codec::Pcmu, Codec::Pcmu)
            | (Codec::Pcma, Codec::Pcma)
            | (Codec::G722, Codec::G722)
            | (Codec::G729, Codec::G729) => Route::Same,
            _ => Route::Linear {
                source: Source::new(from),
                resampler: Resampler::new(from.rate(), to.rate()),
                sink: Sink::new(to),
            },
        };
        Self { route, from, to }
    }

    /// The codec of the payloads that come.
    #[must_use]
    pub const fn from(&self) -> Codec {
        self.from
    }

    /// The codec of the payloads that are made.
    #[must_use]
    pub const fn to(&self) -> Codec {
        self.to
    }

    /// Transcodes one packet by itself and returns the octets of the payload made. None are made of a packet that did not come
    /// where the payload goes octet by octet or as it is.
    ///
    /// # Errors
    /// A payload that is not a whole number of frames, or too little room.
    pub fn transcode(&mut self, level: Level, input: Input<'_>, output: &mut [u8]) -> Result<usize, TranscodeError> {
        let mut job = [TranscodeJob { state: self, input, output, made: Ok(0) }];
        transcode_batch(level, &mut job);
        let [job] = job;
        job.made
    }

    fn ticks(&self, input: Input<'_>, room: usize) -> Result<usize, TranscodeError> {
        let ticks = match input {
            Input::Payload(payload) => self.from.ticks_of_payload(payload.len()),
            Input::Lost { ticks } | Input::NotSent { ticks } => {
                Some(ticks).filter(|ticks| self.from.octets_of_speech(*ticks).is_some())
            }
        };
        let ticks = ticks.ok_or(TranscodeError::Length)?;
        let octets = self.to.octets_of_speech(ticks).ok_or(TranscodeError::Length)?;
        if octets > room { Err(TranscodeError::Room) } else { Ok(ticks) }
    }
}

/// One packet of a batch.
#[derive(Debug)]
pub struct TranscodeJob<'a> {
    /// The stream. Two jobs of one batch cannot have the same.
    pub state: &'a mut Transcoder,
    /// What came.
    pub input: Input<'a>,
    /// Where the payload goes.
    pub output: &'a mut [u8],
    /// Octets of the payload made. What it is before the batch does not matter.
    pub made: Result<usize, TranscodeError>,
}

/// Calls that go through the stages together: the widest vector of any codec.
const GROUP: usize = 32;

/// Ticks of a frame of 10 ms.
const FRAME_TICKS: usize = 80;

/// Ticks that a stage takes at a time: 20 ms.
const STEP: usize = 160;

/// Frames of 10 ms in a step.
const STEP_FRAMES: usize = STEP / FRAME_TICKS;

/// Transcodes any number of packets. Fastest where those of equal codecs and lengths stand side by side.
pub fn transcode_batch(level: Level, jobs: &mut [TranscodeJob<'_>]) {
    for group in jobs.chunks_mut(GROUP) {
        let mut linear = ArrayVec::<Linear<'_>, GROUP>::new();
        for job in group {
            let ticks = match job.state.ticks(job.input, job.output.len()) {
                Ok(ticks) => ticks,
                Err(error) => {
                    job.made = Err(error);
                    continue;
                }
            };
            job.made = Ok(0);
            match (&mut job.state.route, job.input) {
                (Route::Linear { source, resampler, sink }, input) => {
                    linear.push(Linear {
                        source,
                        resampler,
                        sink,
                        input,
                        ticks,
                        output: job.output,
                        made: &mut job.made,
                    });
                }
                (_, Input::Lost { .. } | Input::NotSent { .. }) => {}
                (route, Input::Payload(payload)) => {
                    let output = &mut job.output[..payload.len()];
                    output.copy_from_slice(payload);
                    if let Route::Companding { from } = route {
                        g711::transcode_in_place(level, *from, output);
                    }
                    job.made = Ok(payload.len());
                }
            }
        }
        if !linear.is_empty() {
            transcode_linear(level, &mut linear);
        }
    }
}

/// A job on its way over linear samples.
struct Linear<'a> {
    source: &'a mut Source,
    resampler: &'a mut Resampler,
    sink: &'a mut Sink,
    input: Input<'a>,
    ticks: usize,
    output: &'a mut [u8],
    made: &'a mut Result<usize, TranscodeError>,
}

/// Most samples of a step: 20 ms at 16 kHz.
const SAMPLES: usize = 2 * STEP;

/// A job's samples in one step.
struct Speech {
    samples: [i16; SAMPLES],
    count: usize,
}

impl Speech {
    const EMPTY: Self = Self { samples: [0; SAMPLES], count: 0 };
}

fn transcode_linear(level: Level, jobs: &mut ArrayVec<Linear<'_>, GROUP>) {
    let mut decoded = [const { Speech::EMPTY }; GROUP];
    let mut converted = [const { Speech::EMPTY }; GROUP];
    let mut from = 0;
    loop {
        jobs.retain(|job| job.ticks > from);
        if jobs.is_empty() {
            break;
        }
        source::decode_step(level, jobs, from, &mut decoded);
        for ((job, decoded), converted) in jobs.iter_mut().zip(&decoded).zip(&mut converted) {
            converted.count = job.resampler.process(level, &decoded.samples[..decoded.count], &mut converted.samples);
        }
        sink::encode_step(level, jobs, &converted);
        from += STEP;
    }
}
