//! A node's calls in Valkey, Redis, or whatever speaks their protocol, and a warm copy of those of other nodes.
//!
//! Values are octets that only their writer and reader understand. Each node keeps in memory what the store should have of it
//! ([`Writer`]): calls never wait for the store. What changed is written in batches, one connection with one batch on its
//! way; when the store was away, everything is compared with it and what differs is written. The same batches are published.
//! Whoever follows ([`follow`]) subscribes first, then reads what is there, and reads it again whenever a batch is missing:
//! publications carry a number.
//!
//! | key | what |
//! | --- | --- |
//! | `PREFIX:nodes` | sorted set of `NODE/RUN` by the second they last wrote |
//! | `PREFIX:{NODE/RUN}:calls` | hash of call number to call |
//! | `PREFIX:{NODE/RUN}:positions` | hash of call number to how far its media had come |
//! | `PREFIX:changes:NODE/RUN` | channel of batches |
//!
//! `RUN` is another one for each start of a process, and after it let go of its calls: a node does not touch what another one
//! is about to take from its former life. Hashes expire when their node has not written for [`EXPIRY_S`].
#![forbid(unsafe_code)]

mod batch;
mod follower;
mod link;
mod names;
mod status;
mod writer;

pub use follower::{Change, Subject, follow};
pub use link::{LinkError, StoreConfig};
pub use names::NodeRun;
pub use status::StoreStatus;
pub use writer::{Writer, retire};

/// Seconds after which a node that does not write any more is forgotten by the store.
pub const EXPIRY_S: i64 = 120;
