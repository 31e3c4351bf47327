//! SIP messages to a collector.

use std::net::SocketAddr;

use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Every SIP message that is heard or sent, to a collector as Homer's heplify-server, in HEP version 3 over UDP.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields, default)]
pub struct Hep {
    /// Where it listens; without it nothing is sent.
    #[garde(skip)]
    #[schemars(with = "Option<String>", example = &"10.0.2.20:9060")]
    pub collector: Option<SocketAddr>,
    /// What the collector calls this node by (capture agent's number).
    #[garde(skip)]
    pub agent_id: u32,
    /// What the collector wants to see (authenticate key).
    #[garde(inner(length(min = 1, max = 256)))]
    #[schemars(example = &"secret")]
    pub password: Option<String>,
    /// Messages that wait for the collector's thread at most; more are counted as `tandem_hep_dropped_total`, and calls go on.
    #[garde(range(min = 16, max = 1_048_576))]
    pub queue: u32,
    /// Reports of each answered call's quality as well, of both legs, while it lasts and at its end.
    #[garde(skip)]
    pub quality: bool,
    /// Seconds between the reports of a call.
    #[garde(range(min = 1, max = 3600))]
    pub quality_interval_s: u32,
}

impl Default for Hep {
    fn default() -> Self {
        Self { collector: None, agent_id: 1, password: None, queue: 8_192, quality: false, quality_interval_s: 60 }
    }
}
