//! One core's worth of media: what arrives in a burst is classified, checked, relayed or transcoded, and sent.
//!
//! An [`Engine`] does no I/O and reads no clock. Whoever drives it keeps to this:
//!
//! 1. Frames that one receive burst brought go to [`Engine::on_burst`], with the time of that burst.
//! 2. What the engine wants done with frames (send, hand over to another worker) it tells the [`Egress`] it is given.
//! 3. [`Engine::on_round_end`] closes every round, and says whether it brought anything.
//! 4. Each [`Command`](tandem_contract::Command) goes to [`Engine::on_command`] and is answered by exactly one event.
//! 5. Each [`ClipLoad`](tandem_contract::ClipLoad) goes to [`Engine::on_clip`] before the commands that came after it.
//!    Other [`SourceLists`](tandem_contract::SourceLists) go to [`Engine::on_source_lists`] whenever they come.
//! 6. [`Engine::on_timeout`] is called about every millisecond; it does a bounded amount of work.
//! 7. [`Engine::poll_event`] is called until it says `None`; what it has said it forgets.
//!
//! The invariant: a frame given to the engine ends up in exactly one place, which is the egress, a counter of
//! [`DropReason`](tandem_contract::DropReason), `frames_consumed`, or (few, and not for long) a queue of the engine. Once
//! built, an engine does not allocate.
#![forbid(unsafe_code)]

mod addresses;
mod answer;
mod batch;
mod classify;
mod commands;
mod config;
mod continuity;
mod defence;
mod departure;
mod discovery;
mod egress;
mod engine;
mod event_queue;
mod flow;
mod fork;
mod functions;
mod key_press;
mod keys;
mod latch;
mod links;
mod neighbours;
mod noise;
mod peer;
mod pipeline;
mod playback;
mod port_table;
mod quality;
mod rate_limit;
mod reception;
mod reorder;
mod reports;
mod rtp_path;
mod srtp_path;
mod stream;
mod telephone_event;
mod transcode;

pub use config::{Checksums, ConfigError, EngineConfig, MAX_PORTS, PortConfig};
pub use defence::{Defence, Prefix};
pub use egress::Egress;
pub use engine::{Engine, Origin};
pub use tandem_contract::LocalAddress;
