use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::check::{is_interface, is_prefix, is_store_url};
use crate::value::Cidr;

/// Calls told to a store while they are up, so that another node can go on with them. Nodes that take over from each other
/// need different `node.name`s, and the same listeners, peers, media port range and number of workers.
#[derive(Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields, default)]
pub struct Replication {
    /// URLs of a Valkey or Redis server, `redis://user:password@host:port/database`, or `rediss://` over TLS; those of Sentinels
    /// where `sentinel_master` is given. What is written there holds the keys of SRTP. Without any, a call ends with its node.
    #[garde(length(max = 16), inner(custom(is_store_url)))]
    #[schemars(example = &["rediss://tandem:secret@calls.example.net:6379/"])]
    pub store: Vec<String>,
    /// The name under which Sentinels know the master.
    #[garde(skip)]
    #[schemars(example = &"calls")]
    pub sentinel_master: Option<String>,
    /// What every key in the store begins with.
    #[garde(custom(is_prefix))]
    pub prefix: String,
    /// How often it is told how far a call's media has come, in milliseconds. What is sent after a takeover jumps ahead by
    /// what may have been sent since.
    #[garde(range(min = 50, max = 60_000))]
    pub position_interval_ms: u32,
    /// Addresses that the calls are reached at, and that come to a node with them.
    #[garde(length(max = 16), dive)]
    pub addresses: Vec<FloatingAddress>,
}

impl Default for Replication {
    fn default() -> Self {
        Self {
            store: Vec::new(),
            sentinel_master: None,
            prefix: "tandem".to_owned(),
            position_interval_ms: 500,
            addresses: Vec::new(),
        }
    }
}

impl std::fmt::Debug for Replication {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // URLs have passwords.
        let mut shown = formatter.debug_struct("Replication");
        shown.field("store", &self.store.len()).field("prefix", &self.prefix).field("addresses", &self.addresses);
        shown.finish_non_exhaustive()
    }
}

/// An address that moves from node to node.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct FloatingAddress {
    /// The address and its prefix length.
    #[garde(skip)]
    #[schemars(example = &"10.0.0.100/24")]
    pub address: Cidr,
    /// The media port that has it; the first where neither this nor `interface` is given.
    #[serde(default)]
    #[garde(skip)]
    pub port: Option<String>,
    /// The kernel's interface that has it, for an address that SIP listens on. The gateway gives and takes it with `ip` and
    /// announces it with `arping`, which needs CAP_NET_ADMIN and CAP_NET_RAW.
    #[serde(default)]
    #[garde(inner(custom(is_interface)))]
    #[schemars(example = &"eth0")]
    pub interface: Option<String>,
}
