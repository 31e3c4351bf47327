//! What a gateway asks of AWS.
//!
//! The gateway starts `tandem-aws` beside itself and speaks to it in lines of JSON ([`tandem_aws_protocol`]): so the credentials,
//! the TLS library and whatever a cloud's interface does stay out of the process that carries calls.
//!
//! Everything that a move needs is there before it: the instance's interfaces are known from its metadata, credentials are
//! renewed early, connections are kept open. A move is then one round trip: [`Mover::move_here`] makes its calls at the same
//! time, and tries again, with jitter, what was throttled or not answered, until its time is up.
#![forbid(unsafe_code)]

mod action;
mod again;
mod client;
mod ec2;
mod members;
mod metadata;
mod mover;
mod places;
mod presence;
mod serve;
mod signature;
mod xml;

pub use action::Action;
pub use client::{CallError, Client, Endpoints};
pub use ec2::{Ec2, Interface};
pub use members::members;
pub use metadata::{Credentials, Metadata, MetadataError};
pub use mover::Mover;
pub use places::places;
pub use presence::{Presence, publish};
pub use serve::serve;
