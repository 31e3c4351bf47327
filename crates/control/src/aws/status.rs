//! What is known of the process, and of what it moved.

use serde::Serialize;
use tandem_aws_protocol::{Identity, MoveReport};

/// A move that came to its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Move {
    /// Calls to EC2.
    pub(crate) calls: u32,
    /// Of these, calls that were throttled.
    pub(crate) throttled: u32,
    /// Milliseconds from the votes until addresses were here, with workers, kernel and EC2.
    pub(crate) took_ms: u64,
    /// Of these, milliseconds in which EC2 was not waited for.
    pub(crate) own_ms: u64,
}

impl Move {
    pub(crate) fn new(report: MoveReport, took_ms: u64) -> Self {
        let waited_ms = report.took_ms.saturating_sub(report.own_ms);
        Self { calls: report.calls, throttled: report.throttled, took_ms, own_ms: took_ms.saturating_sub(waited_ms) }
    }
}

/// How it stands.
#[derive(Clone, Debug, Default)]
pub(crate) struct AwsStatus {
    /// `None` while the process is not there.
    pub(crate) identity: Option<Identity>,
    pub(crate) restarts: u64,
    /// Whether the addresses were here when EC2 was asked last.
    pub(crate) here: Option<bool>,
    pub(crate) moves: u64,
    pub(crate) moves_failed: u64,
    pub(crate) calls_throttled: u64,
    pub(crate) last_move: Option<Move>,
    /// The process is wanted.
    pub(crate) enabled: bool,
}

/// The same for people who look.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct AwsView {
    /// This instance; absent while `tandem-aws` is not there.
    instance: Option<String>,
    zone: Option<String>,
    interfaces: Vec<String>,
    restarts: u64,
    /// Where EC2 said that the addresses are when it was asked last.
    addresses_here: Option<bool>,
    moves: u64,
    moves_failed: u64,
    last_move: Option<Move>,
}

impl AwsView {
    pub(super) fn of(status: &AwsStatus) -> Self {
        let identity = status.identity.as_ref();
        Self {
            instance: identity.map(|identity| identity.instance.clone()),
            zone: identity.map(|identity| identity.zone.clone()),
            interfaces: identity.map(|identity| identity.interfaces.clone()).unwrap_or_default(),
            restarts: status.restarts,
            addresses_here: status.here,
            moves: status.moves,
            moves_failed: status.moves_failed,
            last_move: status.last_move,
        }
    }
}
