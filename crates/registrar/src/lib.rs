//! The registrar and its location service (RFC 3261 section 10), without I/O or clock.
//!
//! Whoever drives a [`Registrar`] gives it the subscribers and what was registered before, hands it every REGISTER, and makes the
//! [`Change`]s of an [`Outcome`] durable before its [`Answer`] leaves: what a telephone was told survives a restart. Calls are
//! routed with what is in memory here, and go on while the store is away.
//!
//! Understood beside RFC 3261: Path (RFC 3327), Outbound's instances, reg-ids and flows (RFC 5626), and public GRUUs (RFC 5627). A
//! telephone behind address translation is reached where its REGISTER came from.
#![forbid(unsafe_code)]

mod binding;
mod config;
mod location;
mod register;
mod registrar;

pub use binding::{Binding, Target};
pub use config::RegistrarConfig;
pub use location::{Location, Probe};
pub use registrar::{Answer, Change, Outcome, Registrar, RegistrarCounters, Subscriber};
