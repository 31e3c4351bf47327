//! Nodes that take over from each other.

use std::net::SocketAddr;
use std::path::PathBuf;

use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::check::is_name;

/// Nodes that watch each other, so that one has the floating addresses of `replication.addresses` and another takes them over,
/// with the calls that `replication.store` has. Without members there is no cluster.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields, default)]
pub struct Cluster {
    /// A file with the secret that heartbeats are authenticated with: at least 32 octets, the same on all members.
    #[garde(skip)]
    pub secret_file: PathBuf,
    /// All members, the same list on each of them. This node is the one called `node.name`.
    #[garde(length(max = 16), dive)]
    #[schemars(extend("minItems" = 2))]
    pub members: Vec<ClusterMember>,
    /// In place of `members`: EC2 says who is one, and they come and go with the instances. Each is then called by its instance's
    /// identifier, this node too, and takes heartbeats at its instance's first private address. `store` and `aws.enabled` are needed.
    #[garde(dive)]
    pub discover: Option<ClusterDiscovery>,
    /// The member that has the addresses when all are well. Without it, who starts first.
    #[garde(skip)]
    #[schemars(example = &"edge-1")]
    pub home: Option<String>,
    /// How far the floating addresses can move: successors within it come first.
    #[garde(skip)]
    pub reach: AddressReach,
    /// URL of a Valkey or Redis server that votes where members are even in number: `redis://` or `rediss://`. Two members
    /// without it hand over when that is planned, or when one says that it is not fit, but not when one falls silent.
    #[garde(skip)]
    #[schemars(example = &"redis://10.0.2.5:6379/")]
    pub store: Option<String>,
    /// Milliseconds between heartbeats.
    #[garde(range(min = 5, max = 1000))]
    pub beat_ms: u32,
    /// Missed heartbeats that make a member of the same zone suspect.
    #[garde(range(min = 2, max = 100))]
    pub missed_near: u32,
    /// Missed heartbeats that make a member of another zone suspect.
    #[garde(range(min = 2, max = 100))]
    pub missed_far: u32,
}

impl Default for Cluster {
    fn default() -> Self {
        Self {
            secret_file: "/etc/tandem/cluster.secret".into(),
            members: Vec::new(),
            discover: None,
            home: None,
            reach: AddressReach::Subnet,
            store: None,
            beat_ms: 20,
            missed_near: 3,
            missed_far: 10,
        }
    }
}

/// Which instances of EC2 are members: those with a tag, or those of an Auto Scaling group.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct ClusterDiscovery {
    /// The tag that they have.
    #[serde(default)]
    #[garde(dive)]
    pub tag: Option<InstanceTag>,
    /// The group that they are of.
    #[serde(default)]
    #[garde(inner(length(min = 1, max = 255)))]
    #[schemars(example = &"voice")]
    pub auto_scaling_group: Option<String>,
    /// The UDP port of heartbeats.
    #[serde(default = "default_heartbeat_port")]
    #[garde(range(min = 1))]
    pub port: u16,
}

const fn default_heartbeat_port() -> u16 {
    7946
}

/// A tag of an instance.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct InstanceTag {
    /// Its name.
    #[garde(length(min = 1, max = 128))]
    #[schemars(example = &"tandem:pair")]
    pub key: String,
    /// Its value.
    #[garde(length(max = 256))]
    #[schemars(example = &"voice")]
    pub value: String,
}

/// How far floating addresses can move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AddressReach {
    /// Inside a subnet or link: private addresses.
    Subnet,
    /// Anywhere: Elastic IP, or an entry of a route table.
    Anywhere,
}

/// A node of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct ClusterMember {
    /// The member's `node.name`.
    #[garde(custom(is_name))]
    #[schemars(example = &"edge-1")]
    pub name: String,
    /// Where it takes heartbeats: one address and UDP port, or two for two paths.
    #[garde(length(min = 1, max = 2))]
    #[schemars(with = "Vec<String>", example = &["10.0.2.10:7946"])]
    pub heartbeat: Vec<SocketAddr>,
    /// Its availability zone, or machine room.
    #[serde(default)]
    #[garde(skip)]
    #[schemars(example = &"eu-central-1a")]
    pub zone: String,
    /// Its subnet, or link.
    #[serde(default)]
    #[garde(skip)]
    #[schemars(example = &"subnet-0a1b2c3d")]
    pub subnet: String,
    /// Its rack or host, where that is known: a successor is looked for elsewhere.
    #[serde(default)]
    #[garde(skip)]
    #[schemars(example = &"rack-7")]
    pub host: Option<String>,
    /// The EC2 placement group that it is in.
    #[serde(default)]
    #[garde(skip)]
    #[schemars(example = &"voice")]
    pub placement_group: Option<String>,
    /// What that group does with its instances.
    #[serde(default)]
    #[garde(skip)]
    pub placement_strategy: PlacementStrategy,
    /// Its partition, in a group of partitions.
    #[serde(default)]
    #[garde(range(min = 1, max = 7))]
    #[schemars(example = &1)]
    pub partition: Option<u16>,
    /// Whether it only votes and never has the addresses.
    #[serde(default)]
    #[garde(skip)]
    pub witness: bool,
}

/// What a placement group does with its instances.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PlacementStrategy {
    /// Each on a rack of its own.
    #[default]
    Spread,
    /// In partitions that share no rack with each other.
    Partition,
    /// Close together.
    Cluster,
}

impl Cluster {
    /// What of `discover` does not fit the rest of the section or the file: the field, and why.
    pub(crate) fn discovery_problems(&self, is_on_ec2: bool) -> Vec<(&'static str, &'static str)> {
        let Some(discover) = &self.discover else { return Vec::new() };
        let problems = [
            (
                discover.tag.is_some() == discover.auto_scaling_group.is_some(),
                "discover",
                "one of `tag` and `auto_scaling_group` is wanted",
            ),
            (!self.members.is_empty(), "members", "either they are listed, or `discover` finds them"),
            (
                self.store.is_none(),
                "discover",
                "members that come and go need `cluster.store`, which has the list of them",
            ),
            (self.home.is_some(), "home", "who is found by `discover` has no home"),
            (!is_on_ec2, "discover", "EC2 is asked by `tandem-aws`: `aws.enabled` is wanted"),
        ];
        problems.into_iter().filter_map(|(is_so, field, why)| is_so.then_some((field, why))).collect()
    }
}
