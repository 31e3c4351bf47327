//! How many calls a machine takes: everything about that question but the traffic.
//!
//! - [`search`] looks for the largest number of calls that holds a service level, as a state machine that says which run
//!   to make next and is told what came of it.
//! - [`report`] is what was measured, as one JSON document with a strict reader.
//!
//! Nothing here reads a clock, a file or a socket.
#![forbid(unsafe_code)]

pub mod report;
pub mod search;
