//! How many calls a machine takes: everything about that question but the traffic.
//!
//! - [`search`] looks for the largest number of calls that holds a service level, as a state machine that says which run
//!   to make next and is told what came of it.
//! - [`binding`] says what stands in the way of more.
//! - [`compare`] puts reports side by side, [`sizing`] plans fleets from them, both with [`prices`].
//! - [`page`] shows all of that to people.
//! - [`scrape`] reads what a gateway counted during a run.
//! - [`report`] is what was measured, as one JSON document with a strict reader.
//!
//! Nothing here reads a clock, a file or a socket.
#![forbid(unsafe_code)]

pub mod binding;
pub mod compare;
mod level;
pub mod page;
pub mod prices;
pub mod report;
pub mod scrape;
pub mod search;
mod set_up;
pub mod sizing;
mod stops;
