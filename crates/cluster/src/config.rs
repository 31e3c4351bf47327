//! What a cluster consists of.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Members at most.
pub const MAX_MEMBERS: usize = 16;
/// Services at most: what a beat has room for.
pub const MAX_SERVICES: usize = 32;
/// Octets of a secret at least: HMAC-SHA-256 is as strong as its key.
const MIN_SECRET_BYTES: usize = 32;
/// Nanoseconds between beats that are sensible: 5 ms to 1 s.
const BEAT_NS: std::ops::RangeInclusive<u64> = 5_000_000..=1_000_000_000;

/// A member: its place in the configuration, which is the same on every member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct MemberId(pub u8);

/// A service: its place in the configuration, which is the same on every member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct ServiceId(pub u8);

impl MemberId {
    pub(crate) fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl ServiceId {
    pub(crate) fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// The key that beats are authenticated with. It is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub(crate) Vec<u8>);

impl Secret {
    /// Takes the octets of a key, as they were read.
    pub fn new(octets: Vec<u8>) -> Self {
        Self(octets)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// What a placement group does with its instances.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GroupStrategy {
    /// Close together: low latency, and a common fate.
    Cluster,
    /// In partitions that share no rack with each other.
    Partition,
    /// Each on a rack of its own.
    Spread,
}

/// A placement group that a member is in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PlacementGroup {
    /// Its name.
    pub name: String,
    /// What it does.
    pub strategy: GroupStrategy,
    /// The member's partition, in a group of partitions.
    pub partition: Option<u16>,
}

/// Where a member is. What is not known is `None` (or empty) and decides nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Placement {
    /// Availability zone, or machine room.
    pub zone: String,
    /// Subnet, or link. A private address cannot leave it.
    pub subnet: String,
    /// Rack or host, on bare metal.
    pub host: Option<String>,
    /// EC2's placement group.
    pub group: Option<PlacementGroup>,
}

impl fmt::Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut known = Vec::new();
        known.extend((!self.zone.is_empty()).then(|| format!("zone {}", self.zone)));
        known.extend((!self.subnet.is_empty()).then(|| format!("subnet {}", self.subnet)));
        known.extend(self.host.as_ref().map(|host| format!("host {host}")));
        if let Some(PlacementGroup { name, strategy, partition }) = &self.group {
            let partition = partition.map_or(String::new(), |number| format!(" partition {number}"));
            known.push(format!("{} group {name}{partition}", strategy.label()));
        }
        f.write_str(&known.join(", "))
    }
}

impl GroupStrategy {
    const fn label(self) -> &'static str {
        match self {
            Self::Cluster => "cluster",
            Self::Partition => "partition",
            Self::Spread => "spread",
        }
    }
}

/// A member of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub placement: Placement,
    /// Services that it takes at once at most; 0 is a witness, which only votes.
    pub takes: u8,
    /// Paths that beats to it take, each sent on all of them: 1 or 2.
    pub paths: u8,
}

impl Member {
    /// A place that nobody has, where members come and go.
    pub(crate) fn nobody() -> Self {
        Self { name: String::new(), placement: Placement::default(), takes: 0, paths: 0 }
    }

    pub(crate) fn is_nobody(&self) -> bool {
        self.paths == 0
    }
}

/// How it is known who is a member, and by that, what it takes to hold a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Membership {
    /// Everybody has the same list for good: a majority decides.
    Listed,
    /// Members come and go, and the store has the list ([`crate::Roster`]): it decides, and where it is away, all members together.
    Enrolled,
}

/// How far a service's addresses can move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    /// Inside a subnet or link: private addresses, bare metal.
    Subnet,
    /// Anywhere: Elastic IP, or an entry of a route table.
    Anywhere,
}

/// Floating addresses that move together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// The member that has it when all are well.
    pub home: Option<MemberId>,
    /// How far it can move.
    pub reach: Reach,
}

/// A cluster as one of its members sees it. All but `own` must be equal on all members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterConfig {
    /// This node.
    pub own: MemberId,
    /// All members, this node among them.
    pub members: Vec<Member>,
    /// How that is known. [`Membership::Enrolled`] takes a store.
    pub membership: Membership,
    /// All services.
    pub services: Vec<Service>,
    /// Authenticates beats.
    pub secret: Secret,
    /// Nanoseconds between beats.
    pub beat_ns: u64,
    /// Missed beats that make a member of the same zone suspect.
    pub missed_near: u32,
    /// Missed beats that make a member of another zone suspect.
    pub missed_far: u32,
    /// Whether there is a store. It has a vote where members are even in number, or come and go.
    pub store: bool,
    /// Nanoseconds between looks at where the addresses really are; `None` where nobody can be asked.
    pub locate_ns: Option<u64>,
}

/// A cluster that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClusterConfigError {
    /// Too few or too many members.
    #[error("a cluster has 2 to {MAX_MEMBERS} members, not {0}")]
    Members(usize),
    /// Too few or too many services.
    #[error("a cluster has 1 to {MAX_SERVICES} services, not {0}")]
    Services(usize),
    /// Nobody has the list of members.
    #[error("members that come and go need a store")]
    NoStore,
    /// `own` is nobody.
    #[error("this node is not among the members")]
    Own,
    /// A home that is nobody, or a witness.
    #[error("the home of service `{0}` is no member that takes services")]
    Home(String),
    /// A key that can be guessed.
    #[error("the secret has {0} octets; at least {MIN_SECRET_BYTES} are wanted")]
    Secret(usize),
    /// Beats too fast or too slow.
    #[error("beats are sent every 5 ms to 1 s, not every {0} ns")]
    Beat(u64),
    /// No beat may be missed.
    #[error("a member is suspect after 2 to 100 missed beats, not after {0}")]
    Missed(u32),
    /// No way to a member.
    #[error("member `{0}` has 1 or 2 paths")]
    Paths(String),
}

impl ClusterConfig {
    pub(crate) fn check(&self) -> Result<(), ClusterConfigError> {
        let least = if self.is_enrolled() { 1 } else { 2 };
        if !(least..=MAX_MEMBERS).contains(&self.members.len()) {
            return Err(ClusterConfigError::Members(self.members.len()));
        }
        if self.is_enrolled() && !self.store {
            return Err(ClusterConfigError::NoStore);
        }
        if !(1..=MAX_SERVICES).contains(&self.services.len()) {
            return Err(ClusterConfigError::Services(self.services.len()));
        }
        if self.members.get(self.own.index()).is_none_or(Member::is_nobody) {
            return Err(ClusterConfigError::Own);
        }
        let takes = |home: MemberId| self.members.get(home.index()).is_some_and(|member| member.takes > 0);
        if let Some(service) = self.services.iter().find(|service| service.home.is_some_and(|home| !takes(home))) {
            return Err(ClusterConfigError::Home(service.name.clone()));
        }
        if self.secret.0.len() < MIN_SECRET_BYTES {
            return Err(ClusterConfigError::Secret(self.secret.0.len()));
        }
        if !BEAT_NS.contains(&self.beat_ns) {
            return Err(ClusterConfigError::Beat(self.beat_ns));
        }
        if let Some(missed) = [self.missed_near, self.missed_far].into_iter().find(|missed| !(2..=100).contains(missed))
        {
            return Err(ClusterConfigError::Missed(missed));
        }
        if let Some(member) = self.members.iter().find(|member| !self.has_paths(member)) {
            return Err(ClusterConfigError::Paths(member.name.clone()));
        }
        Ok(())
    }

    fn has_paths(&self, member: &Member) -> bool {
        (1..=2).contains(&member.paths) || (self.is_enrolled() && member.is_nobody())
    }

    /// Whether members come and go.
    pub(crate) fn is_enrolled(&self) -> bool {
        self.membership == Membership::Enrolled
    }

    fn is_near(&self, left: MemberId, right: MemberId) -> bool {
        self.members[left.index()].placement.zone == self.members[right.index()].placement.zone
    }

    /// Nanoseconds of silence after which `member` is suspect, where beats arrive evenly.
    pub(crate) fn suspicion_ns(&self, member: MemberId) -> u64 {
        let missed = if self.is_near(self.own, member) { self.missed_near } else { self.missed_far };
        self.beat_ns * u64::from(missed)
    }

    /// Nanoseconds that a vote is given for: a beat more than makes the farthest pair of members suspect. The same on every
    /// member.
    pub fn lease_ns(&self) -> u64 {
        let one_zone = match self.membership {
            // Of who comes later nothing is known yet but that he is as near as the addresses can go.
            Membership::Enrolled => self.services.iter().all(|service| service.reach == Reach::Subnet),
            Membership::Listed => {
                let zone = &self.members[0].placement.zone;
                self.members.iter().all(|member| member.placement.zone == *zone)
            }
        };
        let missed = if one_zone { self.missed_near } else { self.missed_near.max(self.missed_far) };
        self.beat_ns * (u64::from(missed) + 1)
    }

    /// Whether the store has a vote.
    pub fn store_votes(&self) -> bool {
        self.store && (self.is_enrolled() || self.members.len().is_multiple_of(2))
    }

    /// Whether a vote is given for good: two members and nobody to ask.
    pub fn is_bare_pair(&self) -> bool {
        self.members.len() == 2 && !self.store
    }

    /// Votes that are needed, of members in a list.
    pub(crate) fn needed(&self) -> usize {
        (self.members.len() + usize::from(self.store_votes())) / 2 + 1
    }

    /// What must be equal on all members for their votes to mean the same (FNV-1a).
    pub(crate) fn fingerprint(&self) -> u32 {
        let mut hash = 0x811c_9dc5_u32;
        let mut add = |octets: &[u8]| {
            for octet in octets.iter().chain(&[0xff]) {
                hash = (hash ^ u32::from(*octet)).wrapping_mul(0x0100_0193);
            }
        };
        add(&self.lease_ns().to_be_bytes());
        add(&self.beat_ns.to_be_bytes());
        add(&[self.store_votes().into()]);
        match self.membership {
            Membership::Listed => self.members.iter().for_each(|member| add(member.name.as_bytes())),
            // Members may know of a change one after the other.
            Membership::Enrolled => add(b"enrolled"),
        }
        self.services.iter().for_each(|service| add(service.name.as_bytes()));
        hash
    }
}
