//! A source of calls for a gateway under measurement.
//!
//! A [`LoadSpec`] says what to send: so many concurrent calls of a codec [`Mix`] for so many seconds. A [`LoadRunner`] does it against a
//! gateway and answers with a [`LoadOutcome`]: packets sent, received and lost per direction, latency of every packet, calls whose audio
//! was wrong, and how busy the source itself was. A source that could not keep its own schedule says so: the outcome is then void
//! ([`LoadOutcome::is_void`]), and nothing in it may be held against the gateway.
#![forbid(unsafe_code)]

mod bencode;
mod clips;
mod drive;
mod engine;
mod latency;
mod mix;
mod neighbour;
mod network;
mod ng;
mod outcome;
mod plan;
mod receiver;
mod sender;
mod sip;
mod spec;
mod timeline;
mod track;

pub use drive::drive;
pub use engine::{Engine, EnginePort};
pub use latency::Latency;
pub use mix::{CallKind, LegSpeech, Mix, MixError, Protection, SpeechCodec};
pub use neighbour::resolve;
pub use ng::Rtpengine;
pub use outcome::{CallCounts, DirectionCounts, LoadError, LoadOutcome, LoadRunner, Progress, SourceUse, VoidReason};
pub use plan::{Plan, PlannedCall, RemoteLeg, SourceNetwork};
pub use sip::{RateOutcome, RateProgress, RateSpec, SipCalls, SipEndpoints, measure_rate};
pub use spec::{GiveUp, Impairments, LoadSpec, SpecError};
pub use timeline::{Timeline, Undisturbed};
