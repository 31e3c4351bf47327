//! Test doubles: a clock that stands still until it is told, a packet device in memory, networks with bad habits, RTP
//! endpoints, an allocator that counts, and a PostgreSQL server of one's own. Never shipped.

mod allocations;
mod clock;
mod endpoint;
mod memory_io;
mod network;
mod path;
mod postgres;

pub use allocations::{CountingAllocator, allocations_during};
pub use clock::VirtualClock;
pub use endpoint::{
    Endpoint, Received, Side, advertisement_frame, arp_reply_frame, arp_request_frame, echo_request_frame,
    listener_query_frame, solicitation_frame,
};
pub use memory_io::{Cable, MemoryBuf, MemoryIo, Pool};
pub use network::{Habits, Network};
pub use path::{Path, PathCounts, PathHabits};
pub use postgres::Postgres;
