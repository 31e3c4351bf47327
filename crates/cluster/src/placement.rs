//! Who takes a service over: an order by placement, with its reasons.

use std::fmt;

use serde::Serialize;

use crate::config::{GroupStrategy, MemberId, Placement, Reach};

/// Why a member cannot take a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Exclusion {
    /// It is not heard.
    Silent,
    /// A self-check of its own fails.
    Unfit,
    /// Its operator wants it left alone.
    Maintenance,
    /// It only votes.
    Witness,
    /// It holds as many services as it takes.
    Full,
    /// The address cannot leave its subnet.
    OtherSubnet,
    /// It tried, and could not move the address.
    Failed,
}

impl fmt::Display for Exclusion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Silent => "is not heard",
            Self::Unfit => "says that it is not fit",
            Self::Maintenance => "is in maintenance",
            Self::Witness => "only votes",
            Self::Full => "holds as many services as it takes",
            Self::OtherSubnet => "is in another subnet, which the address cannot reach",
            Self::Failed => "could not move the address a moment ago",
        })
    }
}

/// What speaks for a member or against it, the weightiest first: where two differ in a reason, it decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The service is at home there.
    Home(bool),
    /// In the subnet of the last holder: the private address can move.
    SameSubnet(bool),
    /// In its zone.
    SameZone(bool),
    /// Not known to share its partition, rack or host, which may have failed with it.
    OtherFate(bool),
    /// In its cluster placement group: low latency.
    SameClusterGroup(bool),
    /// Services that it would hold beside.
    Held(u8),
    /// Load in tenths.
    Load(u16),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Home(true) => f.write_str("is the service's home"),
            Self::Home(false) => f.write_str("is not its home"),
            Self::SameSubnet(true) => f.write_str("same subnet"),
            Self::SameSubnet(false) => f.write_str("another subnet"),
            Self::SameZone(true) => f.write_str("same zone"),
            Self::SameZone(false) => f.write_str("another zone"),
            Self::OtherFate(true) => f.write_str("shares no partition, rack or host"),
            Self::OtherFate(false) => f.write_str("shares a partition, rack or host"),
            Self::SameClusterGroup(true) => f.write_str("same cluster placement group"),
            Self::SameClusterGroup(false) => f.write_str("not in a common cluster placement group"),
            Self::Held(services) => write!(f, "holds {services} other services"),
            Self::Load(tenths) => write!(f, "load {} %", tenths * 10),
        }
    }
}

/// A member's place in the order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Choice {
    /// The member.
    pub member: MemberId,
    /// Why it cannot; `None` where it can.
    pub excluded: Option<Exclusion>,
    /// What decides its place.
    pub reasons: Vec<Reason>,
}

/// A member as it stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate<'a> {
    pub(crate) member: MemberId,
    pub(crate) placement: &'a Placement,
    pub(crate) excluded: Option<Exclusion>,
    pub(crate) held: u8,
    pub(crate) load_permille: u16,
}

/// Whether two members may fail together, as far as is known.
fn share_fate(left: &Placement, right: &Placement) -> bool {
    if left.host.is_some() && left.host == right.host {
        return true;
    }
    match (&left.group, &right.group) {
        (Some(left), Some(right)) if left.name == right.name => match left.strategy {
            GroupStrategy::Partition => left.partition.is_some() && left.partition == right.partition,
            // Racks differ by design, or nothing is known of them.
            GroupStrategy::Spread | GroupStrategy::Cluster => false,
        },
        _ => false,
    }
}

fn in_one_cluster_group(left: &Placement, right: &Placement) -> bool {
    left.group.as_ref().is_some_and(|group| group.strategy == GroupStrategy::Cluster)
        && left.group.as_ref().map(|group| &group.name) == right.group.as_ref().map(|group| &group.name)
}

/// The candidates in order, those that cannot last. `last` is where the service was.
pub(crate) fn order<'a>(
    reach: Reach,
    home: Option<MemberId>,
    last: Option<&Placement>,
    candidates: impl Iterator<Item = Candidate<'a>>,
) -> Vec<Choice> {
    let mut choices: Vec<Choice> = candidates
        .map(|candidate| {
            let placement = candidate.placement;
            let same_subnet = last.is_none_or(|last| last.subnet == placement.subnet && last.zone == placement.zone);
            let out_of_reach = (reach == Reach::Subnet && !same_subnet).then_some(Exclusion::OtherSubnet);
            let mut reasons = vec![Reason::Home(home == Some(candidate.member))];
            if let Some(last) = last {
                reasons.extend([
                    Reason::SameSubnet(same_subnet),
                    Reason::SameZone(last.zone == placement.zone),
                    Reason::OtherFate(!share_fate(last, placement)),
                    Reason::SameClusterGroup(in_one_cluster_group(last, placement)),
                ]);
            }
            reasons.extend([Reason::Held(candidate.held), Reason::Load(candidate.load_permille / 100)]);
            Choice { member: candidate.member, excluded: candidate.excluded.or(out_of_reach), reasons }
        })
        .collect();
    choices.sort_by_key(|choice| {
        let weigh = |reason: &Reason| match *reason {
            Reason::Home(yes)
            | Reason::SameSubnet(yes)
            | Reason::SameZone(yes)
            | Reason::OtherFate(yes)
            | Reason::SameClusterGroup(yes) => u16::from(!yes),
            Reason::Held(services) => services.into(),
            Reason::Load(tenths) => tenths,
        };
        let weights: Vec<u16> = choice.reasons.iter().map(weigh).collect();
        (choice.excluded.is_some(), weights, choice.member)
    });
    choices
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::PlacementGroup;

    fn at(zone: &str, subnet: &str, group: Option<(GroupStrategy, Option<u16>)>) -> Placement {
        let group = group.map(|(strategy, partition)| PlacementGroup { name: "voice".to_owned(), strategy, partition });
        Placement { zone: zone.to_owned(), subnet: subnet.to_owned(), host: None, group }
    }

    fn first(reach: Reach, last: &Placement, others: &[Placement]) -> Vec<(u8, bool)> {
        let candidates = others.iter().zip(1..).map(|(placement, member)| Candidate {
            member: MemberId(member),
            placement,
            excluded: None,
            held: 0,
            load_permille: 0,
        });
        let order = order(reach, None, Some(last), candidates);
        order.iter().map(|choice| (choice.member.0, choice.excluded.is_none())).collect()
    }

    #[test]
    fn the_same_subnet_comes_first_then_the_zone_then_another_zone() {
        let others = [at("b", "b1", None), at("a", "a2", None), at("a", "a1", None)];
        assert_eq!(first(Reach::Anywhere, &at("a", "a1", None), &others), [(3, true), (2, true), (1, true)]);
        assert_eq!(first(Reach::Subnet, &at("a", "a1", None), &others), [(3, true), (2, false), (1, false)]);
    }

    #[test]
    fn another_partition_is_preferred_to_the_one_that_failed() {
        let in_partition = |partition| at("a", "a1", Some((GroupStrategy::Partition, Some(partition))));
        assert_eq!(first(Reach::Subnet, &in_partition(1), &[in_partition(1), in_partition(2)]), [(2, true), (1, true)]);
    }

    #[test]
    fn in_a_spread_group_nobody_shares_a_rack() {
        let spread = at("a", "a1", Some((GroupStrategy::Spread, None)));
        let outside = at("a", "a1", None);
        assert_eq!(first(Reach::Subnet, &spread, &[spread.clone(), outside]), [(1, true), (2, true)]);
    }

    #[test]
    fn a_host_that_is_shared_is_the_last_choice_of_a_subnet() {
        let on = |host: &str| Placement { host: Some(host.to_owned()), ..at("a", "a1", None) };
        assert_eq!(first(Reach::Subnet, &on("r1"), &[on("r1"), on("r2")]), [(2, true), (1, true)]);
    }

    #[test]
    fn of_equals_the_one_that_holds_less_then_the_less_loaded() {
        let placement = at("a", "a1", None);
        let candidate = |member, held, load_permille| Candidate {
            member: MemberId(member),
            placement: &placement,
            excluded: None,
            held,
            load_permille,
        };
        let candidates = [candidate(1, 1, 0), candidate(2, 0, 900), candidate(3, 0, 100)];
        let order = order(Reach::Subnet, None, Some(&placement), candidates.into_iter());
        assert_eq!(order.iter().map(|choice| choice.member.0).collect::<Vec<_>>(), [3, 2, 1]);
        let said: Vec<String> = order[0].reasons.iter().map(Reason::to_string).collect();
        assert_eq!(said[1..3], ["same subnet", "same zone"]);
    }

    #[test]
    fn home_is_first_whatever_else_speaks_against_it_but_not_when_it_cannot() {
        let placement = at("a", "a1", None);
        let candidate = |member, excluded| Candidate {
            member: MemberId(member),
            placement: &placement,
            excluded,
            held: member,
            load_permille: 0,
        };
        let with = |excluded| {
            let candidates = [candidate(0, None), candidate(5, excluded)];
            order(Reach::Subnet, Some(MemberId(5)), Some(&placement), candidates.into_iter())[0].member
        };
        assert_eq!(with(None), MemberId(5));
        assert_eq!(with(Some(Exclusion::Unfit)), MemberId(0));
    }
}
