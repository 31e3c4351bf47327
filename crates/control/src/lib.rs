//! The slow path's shell: it owns clocks, sockets, threads and files, and drives [`tandem_call::Switch`] with them.
//!
//! Ten threads at most, all started by [`Control::start`] and none of them in a packet's way:
//!
//! | thread | does |
//! | --- | --- |
//! | `tandem-switch` | one tokio runtime of one thread: SIP datagrams, timers and worker events in, the switch's outputs out |
//! | `tandem-streams` | connections of TCP, TLS and WebSocket: their handshakes, octets each way |
//! | `tandem-cluster` | heartbeats and votes, where the configuration has a cluster |
//! | `tandem-store` | loads and keeps subscribers and registrations, takes over call records, where the configuration wants it |
//! | `tandem-resolver` | asks the DNS for the names of peers and next hops |
//! | `tandem-records` | writes call detail records, then confirms them |
//! | `tandem-recorder` | writes recorded calls to files, where the configuration has a place for them |
//! | `tandem-aws` | waits for what the process of that name says, where the configuration wants one; `tandem-aws-log` for what it logs |
//! | `tandem-http` | metrics, health and the control interface; asks the switch's thread, and says so when that does not answer |
//!
//! Workers are on the other side of [`WorkerLink`]s; this crate never sees a packet.
#![forbid(unsafe_code)]

mod addresses;
mod aws;
mod clips;
mod clock;
mod cluster;
mod database;
mod flows;
mod functions;
mod hep;
mod http;
mod load;
mod logging;
mod memory_traffic;
mod metrics;
mod node;
mod order;
mod ports;
mod recorder;
mod records;
mod replication;
mod resolver;
mod shell;
mod sockets;
mod start;
mod status;
mod stir;
mod streams;
mod switch_config;
mod takeover;
mod tls;
mod users;
mod workers;

pub use aws::AwsError;
pub use clips::ClipFileError;
pub use cluster::{ClusterError, WorkerFence};
pub use http::{HttpError, TokenError, routes_markdown};
pub use logging::{LogHandle, init as init_logging};
pub use memory_traffic::memory_traffic_octets;
pub use metrics::{drop_reasons_markdown, metrics_markdown, stages_markdown};
pub use ports::{PortReader, PortReading, PortSpreading};
pub use records::RecordsError;
pub use replication::ReplicationError;
pub use sockets::BindError;
pub use start::{Control, Ended, Setup, StartError};
pub use stir::StirError;
pub use streams::StreamsError;
pub use switch_config::switch_config;
pub use tls::TlsError;
pub use workers::WorkerLink;
