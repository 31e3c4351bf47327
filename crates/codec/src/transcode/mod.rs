//! From one codec's payloads to another's: what the media engine does to a leg's packets and what the offline command does to a file, in one place.
//!
//! A [`Transcoder`] is the state of one direction of one call: a decoder with its concealment, a conversion of the sampling rate where one is
//! needed, and an encoder. [`transcode_batch`] takes any number of calls' packets, of any mixture of codecs, through the same stages and runs
//! each codec's kernel over as many of them as it has lanes.
//!
//! All these codecs have an RTP clock of 8000, so lengths are told in its *ticks* of 125 µs.
//!
//! # Silence
//!
//! Either side may leave out silence ([RFC 3551 section 4.1](https://www.rfc-editor.org/rfc/rfc3551#section-4.1)). What comes in place of
//! speech is an [`Input`] of its own: a silence descriptor of G.729 at the end of its payload, a payload of comfort noise (RFC 3389), nothing.
//! What a far end takes in place of speech is said by [`Silence`], and what was made by [`Made::parts`]: the RTP packets to be sent.
//!
//! | from | to G.729, described | to the others, described | to any, as speech |
//! | --- | --- | --- | --- |
//! | G.729: SID | as it is | comfort noise, by its parameters | noise |
//! | G.729: nothing | nothing | nothing | noise |
//! | other: speech | what Annex B's voice detector says | speech | speech |
//! | other: comfort noise | SID, by its parameters | as it is | noise |
//! | other: nothing after comfort noise | nothing | nothing | noise |
//! | other: nothing after speech | concealment, as if lost | concealment | concealment |
//!
//! Between sampling rates a description keeps its level alone.

mod made;
mod sink;
mod source;

pub use made::{Content, Made, Part};
pub use sink::Sink;
pub use source::Source;

use arrayvec::ArrayVec;
use thiserror::Error;

use crate::cn::{Description, MAX_PAYLOAD};
use crate::g711::{self, Law};
use crate::g729::bitstream::{SID_OCTETS, SPEECH_OCTETS};
use crate::level::Level;
use crate::resample::{NarrowResampler, Rate};

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
    /// A payload of comfort noise (RFC 3389) in place of a codec's own; not for G.729, which has descriptors in its payload.
    Noise {
        /// The payload.
        payload: &'a [u8],
        /// RTP clock ticks of 125 µs that are made of it now; [`Input::NotSent`] makes more.
        ticks: usize,
    },
}

/// What is made of silence that a side has described or not sent, and whether silence is told from speech.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silence {
    /// The far end takes speech alone: `annexb=no`, or no comfort noise negotiated.
    AsSpeech,
    /// The far end takes descriptors: G.729 with Annex B, comfort noise beside the others.
    Described,
}

/// Why a packet was not transcoded; nothing was written, and the stream's state is as before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TranscodeError {
    /// The payload is not a whole number of the source codec's frames, or its speech not a whole number of the destination's, or more than
    /// [`MAX_DESCRIBED_TICKS`] where silence is described or payloads are passed on.
    #[error("not a whole number of frames")]
    Length,
    /// What came as comfort noise is none, or came beside G.729.
    #[error("not comfort noise")]
    Noise,
    /// The output has no room for the longest payload that could come of it.
    #[error("no room for the output")]
    Room,
}

/// One direction of one call.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Transcoder {
    from: Codec,
    to: Codec,
    silence: Silence,
    route: Route,
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
    Linear { source: Source, resampler: NarrowResampler, sink: Sink },
}

/// Ticks of the longest input where silence is described: 320 ms.
pub const MAX_DESCRIBED_TICKS: usize = made::MAX_FRAMES * FRAME_TICKS;

impl Transcoder {
    /// The start of a stream between two sides that describe no silence but by G.729's own descriptors. Between equal codecs and the laws of
    /// G.711 payloads are passed on without a look at what is in them.
    #[must_use]
    pub fn new(from: Codec, to: Codec) -> Self {
        let silence = Silence::AsSpeech;
        match Self::direct(from, to) {
            Some(route) => Self { route, from, to, silence },
            None => Self::with_silence(from, to, silence),
        }
    }

    /// The start of a stream whose silence may be left out: by the near end in any way, towards the far end as `silence` says.
    #[must_use]
    pub fn with_silence(from: Codec, to: Codec, silence: Silence) -> Self {
        match Self::direct(from, to).filter(|_| silence == Silence::Described) {
            Some(route) => Self { route, from, to, silence },
            None => Self::over_samples(from, to, silence),
        }
    }

    /// The same, decoded and encoded also where payloads could be passed on, so that there is an encoder for [`Self::encode`].
    #[must_use]
    pub fn over_samples(from: Codec, to: Codec, silence: Silence) -> Self {
        let route = Route::Linear {
            source: Source::new(from),
            resampler: NarrowResampler::new(from.rate(), to.rate()),
            sink: Sink::new(to, silence),
        };
        Self { route, from, to, silence }
    }

    /// The way between codecs that does without linear samples, where there is one.
    fn direct(from: Codec, to: Codec) -> Option<Route> {
        match (from, to) {
            (Codec::Pcmu, Codec::Pcma) => Some(Route::Companding { from: Law::Mu }),
            (Codec::Pcma, Codec::Pcmu) => Some(Route::Companding { from: Law::A }),
            _ => (from == to).then_some(Route::Same),
        }
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

    /// Transcodes one packet by itself. Nothing is made of a packet that did not come where the payload goes octet by octet or as it is.
    ///
    /// # Errors
    /// A payload that is not a whole number of frames, or too little room.
    pub fn transcode(&mut self, level: Level, input: Input<'_>, output: &mut [u8]) -> Result<Made, TranscodeError> {
        let mut job = [TranscodeJob { state: self, input, output, made: Ok(Made::default()) }];
        transcode_batch(level, &mut job);
        let [job] = job;
        job.made
    }

    /// Encodes samples of one's own in place of what comes, at the sampling rate of the codec that is made; to the far end's decoder all is one
    /// stream. Nothing is made in G.722 where payloads are passed on, nor in G.729, where a tone is none any more.
    pub fn encode(&mut self, level: Level, pcm: &[i16], output: &mut [u8]) -> Made {
        let mut made = Made::default();
        let octets = pcm.len() * Rate::Hz8000.samples_per_ms() / self.to.rate().samples_per_ms();
        let Some(output) = output.get_mut(..octets) else { return made };
        match (self.to.law(), &mut self.route) {
            (Some(law), _) => g711::encode(level, law, pcm, output),
            (None, Route::Linear { sink: Sink::G722(encoder), .. }) => encoder.encode(pcm, output),
            _ => return made,
        }
        made.push_speech(octets, octets);
        made
    }

    fn ticks(&self, input: Input<'_>, room: usize) -> Result<usize, TranscodeError> {
        let ticks = match input {
            Input::Payload(payload) => self.from.ticks_of_payload(payload.len()),
            Input::Lost { ticks } | Input::NotSent { ticks } => {
                Some(ticks).filter(|ticks| self.from.octets_of_speech(*ticks).is_some())
            }
            Input::Noise { payload, ticks } => {
                if self.from == Codec::G729 || Description::parse(payload).is_err() {
                    return Err(TranscodeError::Noise);
                }
                Some(ticks).filter(|ticks| ticks.is_multiple_of(FRAME_TICKS))
            }
        };
        let ticks = ticks.ok_or(TranscodeError::Length)?;
        let octets = self.to.octets_of_speech(ticks).ok_or(TranscodeError::Length)?;
        let tells_frames_apart = self.silence == Silence::Described || !matches!(self.route, Route::Linear { .. });
        if tells_frames_apart && ticks > MAX_DESCRIBED_TICKS {
            return Err(TranscodeError::Length);
        }
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
    /// What was made. What it is before the batch does not matter.
    pub made: Result<Made, TranscodeError>,
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
            job.made = Ok(Made::default());
            let Ok(made) = &mut job.made else { continue };
            match (&mut job.state.route, job.input) {
                (Route::Linear { source, resampler, sink }, input) => {
                    let silence = job.state.silence;
                    let keeps_rate = job.state.from.rate() == job.state.to.rate();
                    let output = &mut *job.output;
                    linear.push(Linear { source, resampler, sink, silence, keeps_rate, input, ticks, output, made });
                }
                (route, input) => pass_on(level, route, job.state.from, input, ticks, job.output, made),
            }
        }
        if !linear.is_empty() {
            transcode_linear(level, &mut linear);
        }
    }
}

/// Passes on what needs no linear samples.
fn pass_on(
    level: Level,
    route: &Route,
    codec: Codec,
    input: Input<'_>,
    ticks: usize,
    output: &mut [u8],
    made: &mut Made,
) {
    match input {
        Input::Payload(payload) => {
            let output = &mut output[..payload.len()];
            output.copy_from_slice(payload);
            if let Route::Companding { from } = route {
                g711::transcode_in_place(level, *from, output);
            }
            let descriptor = match codec {
                Codec::G729 => payload.len() % SPEECH_OCTETS,
                Codec::Pcmu | Codec::Pcma | Codec::G722 => 0,
            };
            let speech = payload.len() - descriptor;
            made.push_speech(ticks - if descriptor > 0 { FRAME_TICKS } else { 0 }, speech);
            if descriptor > 0 {
                made.push_descriptor(descriptor);
            }
        }
        Input::Noise { payload, ticks } => {
            let fits = payload.len().min(MAX_PAYLOAD);
            if ticks > 0 {
                output[..fits].copy_from_slice(&payload[..fits]);
                made.push_descriptor(fits);
            }
            made.push_unsent(ticks.saturating_sub(FRAME_TICKS));
        }
        Input::Lost { .. } => {}
        Input::NotSent { ticks } => made.push_unsent(ticks),
    }
}

/// A job on its way over linear samples.
struct Linear<'a> {
    source: &'a mut Source,
    resampler: &'a mut NarrowResampler,
    sink: &'a mut Sink,
    silence: Silence,
    keeps_rate: bool,
    input: Input<'a>,
    ticks: usize,
    output: &'a mut [u8],
    made: &'a mut Made,
}

/// Most samples of a step: 20 ms at 16 kHz.
const SAMPLES: usize = 2 * STEP;

/// A job's samples in one step.
struct Speech {
    samples: [i16; SAMPLES],
    count: usize,
    ticks: usize,
    /// How many of the ticks are speech; the others are comfort noise.
    speech: usize,
    /// What noise begins in this step.
    noise: Option<Description>,
}

impl Speech {
    const EMPTY: Self = Self { samples: [0; SAMPLES], count: 0, ticks: 0, speech: 0, noise: None };

    /// The noise that begins, as it is behind a resampler: a spectrum belongs to its sampling rate.
    fn description(&self, keeps_rate: bool) -> Option<Description> {
        self.noise.map(|noise| if keeps_rate { noise } else { Description::white(noise.minus_dbov) })
    }
}

fn transcode_linear(level: Level, jobs: &mut ArrayVec<Linear<'_>, GROUP>) {
    let mut speech = [const { Speech::EMPTY }; GROUP];
    let mut from = 0;
    loop {
        jobs.retain(|job| job.ticks > from);
        if jobs.is_empty() {
            break;
        }
        source::decode_step(level, jobs, from, &mut speech);
        for (job, speech) in jobs.iter_mut().zip(&mut speech).filter(|(job, _)| !job.keeps_rate) {
            let decoded = speech.samples;
            speech.count = job.resampler.process(level, &decoded[..speech.count], &mut speech.samples);
        }
        sink::encode_step(level, jobs, &speech);
        from += STEP;
    }
}
