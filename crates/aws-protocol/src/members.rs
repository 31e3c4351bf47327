//! Which instances belong together, and which exist.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::Strategy;

/// What instances have in common.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InCommon {
    /// A tag: its name and value.
    Tag(String, String),
    /// The Auto Scaling group.
    AutoScalingGroup(String),
}

impl std::fmt::Display for InCommon {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tag(key, value) => write!(f, "the tag {key}={value}"),
            Self::AutoScalingGroup(name) => write!(f, "the Auto Scaling group {name}"),
        }
    }
}

/// An instance that exists: that is launched, runs, or is about to end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Existing {
    /// The instance.
    pub instance: String,
    /// Whether it has what was asked for, and is not about to end.
    pub belongs: bool,
    /// Its first private address.
    pub address: IpAddr,
    /// Its availability zone.
    pub zone: String,
    /// The subnet of the interface with that address.
    pub subnet: String,
    /// Its placement group, and what that does, where there is one.
    pub group: Option<(String, Strategy)>,
    /// Its partition, in a group of partitions.
    pub partition: Option<u16>,
}
