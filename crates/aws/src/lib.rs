//! A cluster's addresses on EC2.
//!
//! The gateway starts `tandem-aws` beside itself and speaks to it in lines of JSON ([`protocol`]): so the credentials, the TLS
//! library and whatever a cloud's interface does stay out of the process that carries calls.
//!
//! Everything that a move needs is there before it: the instance's own interface is known from its metadata, credentials are
//! renewed early, the connection is kept warm. A move is then one round trip: [`Mover::move_here`] makes its calls at the
//! same time, and tries again, with jitter, what was throttled or not answered, until its time is up.
#![forbid(unsafe_code)]

mod client;
mod ec2;
mod metadata;
mod mover;
pub mod protocol;
mod signature;

pub use client::{CallError, Client, Endpoints};
pub use ec2::{Ec2, Interface};
pub use metadata::{Credentials, Identity, Metadata, MetadataError};
pub use mover::{Addresses, ElasticAddress, MoveReport, Mover, RouteEntry};
