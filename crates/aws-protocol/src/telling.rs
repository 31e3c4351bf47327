//! What is told to Route 53, Auto Scaling and CloudWatch.

use serde::{Deserialize, Serialize};

/// What a node does for callers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Serving {
    /// It takes calls: its records have their weight, and an instance that begins is in service.
    Yes,
    /// It takes no new calls, and has some: its records weigh nothing, and the group waits on.
    Draining,
    /// It has no calls, and takes none: an instance that ends may end.
    No,
}

/// A record of Route 53 that is this node's share of a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WeightedRecord {
    /// The hosted zone, as in `Z0123456789ABC`.
    pub zone: String,
    /// The name.
    pub name: String,
    /// Its type.
    pub kind: RecordKind,
    /// As the type has it: an address, or priority, weight, port and target of SRV (RFC 2782).
    pub value: String,
    /// This node's share, 0 to 255, while it takes calls.
    pub weight: u8,
    /// Seconds that resolvers may keep it.
    pub ttl_s: u32,
    /// What tells this node's record from those of others.
    pub node: String,
}

/// A type of record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RecordKind {
    /// An IPv4 address.
    A,
    /// An IPv6 address.
    Aaaa,
    /// Where a service is (RFC 2782).
    Srv,
}

impl RecordKind {
    /// As zone files have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::Aaaa => "AAAA",
            Self::Srv => "SRV",
        }
    }
}

/// One value for CloudWatch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Its name there.
    pub name: String,
    /// What it is counted in.
    pub unit: Unit,
    /// It.
    pub value: f64,
}

impl Measured {
    /// Values in one request at most, which AWS puts at 1000.
    pub const MOST: usize = 100;
}

/// CloudWatch's units, as far as they are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unit {
    /// A number of things.
    Count,
    /// Hundredths.
    Percent,
    /// A bare number.
    None,
}

impl Unit {
    /// As CloudWatch has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Count => "Count",
            Self::Percent => "Percent",
            Self::None => "None",
        }
    }
}
