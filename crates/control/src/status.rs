//! What the switch's thread tells others about itself.

use serde::Serialize;
use tandem_call::{SwitchCounters, TrunkStatus};
use tandem_registrar::RegistrarCounters;

use crate::replication::ReplicationState;

/// SIP's datagrams and octets of connections since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct SipCounters {
    /// Datagrams received.
    pub received: u64,
    /// Datagrams sent.
    pub sent: u64,
    /// Not taken by the kernel.
    pub unsent: u64,
    /// Not looked at, because this node lacks the votes for its floating addresses.
    pub(crate) unheard: u64,
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
    /// Every peer.
    pub(crate) trunks: Vec<TrunkStatus>,
    pub(crate) subscribers: u64,
    pub(crate) registrations: u64,
    pub(crate) registrar: RegistrarCounters,
    /// Why the node is not ready; empty when it is.
    pub(crate) not_ready: Vec<String>,
    /// `None` where no store of calls is configured.
    pub(crate) replication: Option<ReplicationStatus>,
}

/// How replication stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct ReplicationStatus {
    /// The store takes what is written.
    pub(crate) store_up: bool,
    /// The copy of other nodes' calls is kept up.
    pub(crate) following: bool,
    pub(crate) outages: u64,
    pub(crate) waiting: u64,
    pub(crate) written: u64,
    pub(crate) resyncs: u64,
    pub(crate) gaps: u64,
    /// Calls of other nodes that this one could go on with.
    pub(crate) warm_calls: u64,
    /// Those among them whose flows are at hand on the workers.
    pub(crate) flows_at_hand: u64,
    /// Calls of other nodes that it could not.
    pub(crate) unreadable: u64,
}

impl ReplicationStatus {
    pub(crate) fn of(state: &ReplicationState, flows_at_hand: usize) -> Self {
        Self {
            store_up: state.store.is_up(),
            following: state.store.is_following(),
            outages: state.store.outages(),
            waiting: state.store.waiting(),
            written: state.store.written(),
            resyncs: state.store.resyncs(),
            gaps: state.store.gaps(),
            warm_calls: state.warm_calls() as u64,
            flows_at_hand: flows_at_hand as u64,
            unreadable: state.unreadable(),
        }
    }
}
