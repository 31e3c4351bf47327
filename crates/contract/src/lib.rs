//! What control and workers say to each other.
//!
//! Control writes [`Command`]s into one single-producer single-consumer ring per worker; the worker answers with
//! [`Event`]s on another. Both are fixed-size and `Copy`. Only [`Clip`]s, which are large and shared, cross the border by
//! handle, on a ring of their own, and [`SourceLists`]; copies for the recorder go the other way as octets ([`TapHeader`]). Counters live
//! in [`WorkerCounters`], written by one worker and read by anyone without disturbing it. Control and worker share
//! these types and [`API_VERSION`], and nothing else.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod address;
mod bell;
mod clip;
mod command;
mod counters;
mod drop_reason;
mod event;
mod fence;
mod flow;
mod function;
mod histogram;
mod position;
mod source;
mod source_lists;
mod srtp;
mod stage;
mod stop;
mod tap;
mod time;

pub use address::LocalAddress;
pub use bell::Bell;
pub use clip::{Clip, ClipError, ClipId, ClipLoad};
pub use command::Command;
pub use counters::{Counter, DropCounters, LegCounters, RingDepth, StageTimes, WorkerCounters};
pub use drop_reason::DropReason;
pub use event::{Event, EventCode, Refusal};
pub use fence::Fence;
pub use flow::{
    Codec, Direction, Epoch, FlowId, Format, LegConfig, LegSide, PayloadType, PayloadTypeTooHigh, RtcpTransport,
    WorkerId,
};
pub use function::{ForkTarget, Function};
pub use histogram::{Buckets, LatencyHistogram};
pub use position::{LegPosition, SentPosition, SrtpPosition};
pub use source::{Learning, SourcePolicy};
pub use source_lists::{Prefix, SourceLists};
pub use srtp::{CryptoSuite, LegCrypto, MasterKey, MasterKeyError};
pub use stage::Stage;
pub use stop::{Stop, StopLog, StopWatch};
pub use tap::TapHeader;
pub use time::Nanos;

/// Changes whenever a type of this crate changes its meaning, so that a control plane never drives a worker that
/// understands something else.
pub const API_VERSION: u32 = 5;
