//! What moves, and where instances are.

use std::net::{IpAddr, Ipv4Addr};

use serde::{Deserialize, Serialize};

/// Which of the instance's network interfaces is meant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HasInterface {
    /// The one with this hardware address, as in `0a:1b:2c:3d:4e:5f`.
    Mac(String),
    /// The one with this private address.
    Address(Ipv4Addr),
}

/// What moves to one interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Floating {
    /// Which it is.
    pub at: HasInterface,
    /// Secondary private addresses. An Elastic IP on one of them comes along.
    #[serde(default)]
    pub private: Vec<Ipv4Addr>,
    /// Elastic IPs.
    #[serde(default)]
    pub elastic: Vec<ElasticAddress>,
    /// Entries of route tables.
    #[serde(default)]
    pub routes: Vec<RouteEntry>,
}

/// An Elastic IP that moves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ElasticAddress {
    /// As in `eipalloc-0a1b2c3d`.
    pub allocation: String,
    /// The private address that it leads to; the interface's first where none is given.
    #[serde(default)]
    pub private: Option<Ipv4Addr>,
}

/// A route that moves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteEntry {
    /// As in `rtb-0a1b2c3d`.
    pub table: String,
    /// As in `10.9.0.1/32`.
    pub destination: String,
}

/// How a move went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MoveReport {
    /// Calls that were made, those that were made again among them.
    pub calls: u32,
    /// Of these, calls that were throttled.
    pub throttled: u32,
    /// Milliseconds that it took.
    pub took_ms: u64,
    /// Of these, milliseconds that no answer was waited for.
    pub own_ms: u64,
}

/// Where an instance is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placed {
    /// The address that was asked about.
    pub address: IpAddr,
    /// The instance that has it.
    pub instance: String,
    /// Its availability zone.
    pub zone: String,
    /// The subnet of the interface with that address.
    pub subnet: String,
    /// Its placement group, and what that does, where there is one.
    pub group: Option<(String, Strategy)>,
    /// Its partition, in a group of partitions.
    pub partition: Option<u16>,
}

/// What a placement group does with its instances.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// Each on a rack of its own.
    Spread,
    /// In partitions that share no rack with each other.
    Partition,
    /// Close together.
    Cluster,
}
