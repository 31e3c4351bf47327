//! What the switch's thread tells others about itself.

use serde::Serialize;
use tandem_call::SwitchCounters;

/// SIP datagrams since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct SipCounters {
    /// Received.
    pub received: u64,
    /// Sent.
    pub sent: u64,
    /// Not taken by the kernel.
    pub unsent: u64,
}

/// How the switch stands.
#[derive(Clone, Debug, Default)]
pub(crate) struct SwitchStatus {
    pub(crate) counters: SwitchCounters,
    pub(crate) sip: SipCounters,
    pub(crate) calls: u64,
    pub(crate) max_calls: u64,
    pub(crate) draining: bool,
    /// Why the node is not ready; empty when it is.
    pub(crate) not_ready: Vec<String>,
}
