//! The cluster, for people who look.

use serde::Serialize;
use tandem_contract::Nanos;

use crate::cluster::Cluster;
use crate::config::{Membership, Reach, ServiceId};
use crate::lease::Hold;
use crate::placement::{Choice, Exclusion, Reason};
use crate::service::{FOR_GOOD, Mine, Stage};

const RULE_SUBNET: &str = "only members of the holder's subnet, where the private address can go; of these its home, then who shares \
    no partition, rack or host with the holder, then its cluster placement group, then who holds less, then who is less loaded";
const RULE_ANYWHERE: &str = "its home, then members of the holder's subnet, then of its zone, then who shares no partition, rack or \
    host with it, then its cluster placement group, then who holds less, then who is less loaded";

/// What this node is to a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It does not hold it.
    Standby,
    /// It asks for votes.
    Standing,
    /// It holds it, the addresses are on their way.
    Moving,
    /// It holds it.
    Active,
    /// It holds it and hands it over.
    HandingOver,
    /// It holds it and lacks votes, so it does not send.
    Lapsed,
}

/// A member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MemberView {
    /// Its name.
    pub name: String,
    /// Whether it is this node.
    pub own: bool,
    /// Whether it is heard, and hears this node.
    pub alive: bool,
    /// Whether it says that it could take a service.
    pub fit: bool,
    /// Whether its operator wants it left alone.
    pub maintenance: bool,
    /// Whether its configuration is another.
    pub differs: bool,
    /// From a beat to its answer, without the time that it lay there.
    pub round_trip_us: u64,
    /// Silence that would make it suspect.
    pub patience_ms: u64,
}

/// A service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ServiceView {
    /// Its name.
    pub name: String,
    /// What this node is to it.
    pub standing: Standing,
    /// Who holds it, as far as is known.
    pub holder: Option<String>,
    /// The holder's epoch.
    pub epoch: u64,
    /// How long this node may send without another vote; absent where it may not, or needs none.
    pub permit_ms: Option<u64>,
    /// Who has this node's vote.
    pub vote: Option<String>,
    /// Whose the store's record is.
    pub store: Option<String>,
}

/// Why a service is where it is, and where it would go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The service.
    pub service: String,
    /// Who holds it.
    pub holder: Option<String>,
    /// By what a successor is chosen.
    pub rule: &'static str,
    /// What it takes to have it.
    pub membership: Membership,
    /// Votes there are, and votes that are needed; `None` where the store alone decides.
    pub votes: Option<[usize; 2]>,
    /// How a successor is found if the holder fails now: members in order, each with its reasons.
    pub successors: Vec<Successor>,
}

/// A member's place, in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Successor {
    /// Its name.
    pub member: String,
    /// Where it is, as far as that is known.
    pub placement: String,
    /// Whether it can.
    pub able: bool,
    /// Why not, or what speaks for it and against it, the weightiest first.
    pub reasons: Vec<String>,
}

impl Cluster {
    /// All members.
    pub fn members(&self, now: Nanos) -> Vec<MemberView> {
        let view = |id: crate::MemberId| {
            let (peer, own) = (&self.peers[id.index()], id == self.config.own);
            MemberView {
                name: self.config.members[id.index()].name.clone(),
                own,
                alive: self.is_alive(now, id),
                fit: if own { self.is_fit(now) } else { peer.fit },
                maintenance: if own { self.maintenance } else { peer.maintenance },
                differs: peer.differs,
                round_trip_us: peer.round_trip_ns / 1000,
                patience_ms: if own { 0 } else { peer.detector.patience_ns() / 1_000_000 },
            }
        };
        self.member_ids().map(view).collect()
    }

    /// All services.
    pub fn services(&self, now: Nanos) -> Vec<ServiceView> {
        self.service_ids().map(|id| self.service_view(now, id)).collect()
    }

    fn service_view(&self, now: Nanos, id: ServiceId) -> ServiceView {
        let service = &self.services[id.index()];
        let name =
            |member: crate::MemberId| self.is_member(member).then(|| self.config.members[member.index()].name.clone());
        let standing = match service.mine {
            Mine::No => Standing::Standby,
            Mine::Standing { .. } => Standing::Standing,
            Mine::Held { .. } if service.lapsed => Standing::Lapsed,
            Mine::Held { stage: Stage::Moving { .. }, .. } => Standing::Moving,
            Mine::Held { stage: Stage::Settled, .. } => Standing::Active,
            Mine::Held { stage: Stage::Offered { .. }, .. } => Standing::HandingOver,
        };
        let permit = Some(service.permit).filter(|permit| service.is_held() && *permit > now && *permit != FOR_GOOD);
        ServiceView {
            name: self.config.services[id.index()].name.clone(),
            standing,
            holder: service.holder.and_then(|holder| name(holder.member)),
            epoch: service.holder.map_or(service.highest, |holder| holder.epoch),
            permit_ms: permit.map(|permit| permit.since(now) / 1_000_000),
            vote: service.promise(now).and_then(|promise| name(promise.to)),
            store: service.store.record().and_then(|record| record.owner).and_then(name),
        }
    }

    /// Whether this node holds a service and may send.
    pub fn is_active(&self, now: Nanos, id: ServiceId) -> bool {
        self.services.get(id.index()).is_some_and(|service| service.is_held() && now < service.permit)
    }

    /// What the service's record says, or is about to, where this node holds the service and may send.
    pub fn held(&self, now: Nanos, id: ServiceId) -> Option<Hold> {
        let epoch = self.services.get(id.index()).filter(|_| self.is_active(now, id))?.epoch()?;
        Some(Hold { member: self.config.own, incarnation: self.incarnation, epoch })
    }

    /// Why a service is where it is, and who would take it.
    pub fn explain(&self, now: Nanos, id: ServiceId) -> Option<Explanation> {
        let service = self.services.get(id.index())?;
        let name = |member: crate::MemberId| self.config.members[member.index()].name.clone();
        let holder = service.holder.map(|holder| holder.member);
        let successor = |choice: &Choice| Successor {
            member: name(choice.member),
            placement: self.placements[choice.member.index()].to_string(),
            able: choice.excluded.is_none(),
            reasons: match choice.excluded {
                Some(why) => vec![Exclusion::to_string(&why)],
                None => choice.reasons.iter().map(Reason::to_string).collect(),
            },
        };
        Some(Explanation {
            service: self.config.services[id.index()].name.clone(),
            holder: holder.map(name),
            rule: match self.config.services[id.index()].reach {
                Reach::Subnet => RULE_SUBNET,
                Reach::Anywhere => RULE_ANYWHERE,
            },
            membership: self.config.membership,
            votes: (self.config.membership == Membership::Listed)
                .then(|| [self.peers.len() + usize::from(self.config.store_votes()), self.config.needed()]),
            successors: self.choices(now, id, holder).iter().map(successor).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ClusterConfig, GroupStrategy, Member, MemberId, Placement, PlacementGroup, Secret, Service};

    #[test]
    fn where_a_cloud_says_that_a_member_is_decides_the_choice_and_no_timing() {
        let member = |name: &str| Member { name: name.to_owned(), placement: Placement::default(), takes: 1, paths: 1 };
        let config = ClusterConfig {
            own: MemberId(0),
            members: ["a", "b", "c"].map(member).to_vec(),
            membership: Membership::Listed,
            services: vec![Service { name: "calls".to_owned(), home: None, reach: Reach::Subnet }],
            secret: Secret::new(vec![7; 32]),
            beat_ns: 20_000_000,
            missed_near: 3,
            missed_far: 10,
            store: false,
            locate_ns: None,
        };
        let mut cluster = Cluster::new(Nanos(0), config, 1, 1).unwrap();
        let before = cluster.members(Nanos(0));
        let group = PlacementGroup { name: "voice".to_owned(), strategy: GroupStrategy::Partition, partition: Some(2) };
        let far = Placement { zone: "z2".into(), subnet: "s2".into(), host: None, group: Some(group) };
        cluster.set_placement(MemberId(2), far);
        let explanation = cluster.explain(Nanos(0), ServiceId(0)).unwrap();
        assert!(explanation.rule.starts_with("only members of the holder's subnet"));
        let places: Vec<_> = explanation.successors.iter().map(|one| (&*one.member, &*one.placement)).collect();
        assert!(places.contains(&("c", "zone z2, subnet s2, partition group voice partition 2")), "{places:?}");
        assert_eq!(cluster.members(Nanos(0)), before, "no member may be silent longer or shorter than before");
    }
}
