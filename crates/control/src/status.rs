//! What the switch's thread tells others about itself.

use serde::Serialize;
use tandem_call::SwitchCounters;

/// SIP's datagrams and octets of connections since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct SipCounters {
    /// Datagrams received.
    pub received: u64,
    /// Datagrams sent.
    pub sent: u64,
    /// Not taken by the kernel.
    pub unsent: u64,
    /// Octets that came over connections.
    pub octets_received: u64,
    /// Octets that were given to connections.
    pub octets_sent: u64,
}

/// How the switch stands.
#[derive(Clone, Debug, Default)]
pub(crate) struct SwitchStatus {
    pub(crate) counters: SwitchCounters,
    pub(crate) sip: SipCounters,
    pub(crate) calls: u64,
    /// How busy the switch's thread is.
    pub(crate) load_percent: u8,
    pub(crate) max_calls: u64,
    pub(crate) draining: bool,
    /// Why the node is not ready; empty when it is.
    pub(crate) not_ready: Vec<String>,
}
