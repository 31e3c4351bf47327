//! The poll loop of one core: burst in, media, burst out.
//!
//! A [`Worker`] owns one receive and one send queue of a device, the [`Engine`](tandem_media::Engine) with every flow of
//! its core, one ring of commands and one of events, and a ring to and from each other worker of the port. One round
//! ([`Worker::poll`]) does a bounded amount of work in this order:
//!
//! 1. what the previous round sent is timed: its added latency lasts from the clock read before its receive burst to the
//!    clock read of this round, right after its transmit burst;
//! 2. clips, then commands, at most [`COMMANDS_PER_POLL`], and no more than the event ring has room to answer;
//! 3. frames that other workers handed over;
//! 4. one receive burst;
//! 5. codec batches, if they are due or the round brought nothing;
//! 6. once a millisecond, the engine's timers;
//! 7. events out, transmit burst.
//!
//! While the node's addresses move to another as planned ([`Fence::rest`](tandem_contract::Fence::rest)), what 4 brings waits, and is passed on to
//! whoever tells the link that it has the address.
//!
//! A round that finds nothing to do reads the clock once. One that does reads it once more at the end of each stage of each
//! burst, where [`Worker::with_stage_times`] asks for that; never per packet. Nothing on the way allocates, locks, logs or makes
//! a system call. Between rounds the core is given to others only where [`Worker::with_shared_core`] says so.
#![forbid(unsafe_code)]

mod clock;
mod functions;
mod handover;
mod port;
mod relief;
mod stages;
mod worker;

pub use clock::{Clock, TscClock};
pub use functions::FunctionEnds;
pub use handover::{Handover, HandoverEnds, mesh};
pub use worker::{COMMANDS_PER_POLL, Parts, Worker};
