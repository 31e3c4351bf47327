//! Who of a group is called first, and who next.

use crate::config::{Group, Member, Order, Peer};

/// What the order may depend on, beside the group itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing {
    /// Calls from and to the peer at present.
    pub(crate) calls: u32,
    /// How long its answer to our OPTIONS takes; `None` where it never answered one.
    pub(crate) round_trip_us: Option<u32>,
    /// Whether it is known to fail.
    pub(crate) is_out: bool,
}

/// The members in the order in which they are to be called: by the group's order, those of other zones after the rest. Those that
/// are known to fail are left out, unless all do: then the knowledge may be wrong, and there is nothing to lose.
///
/// `turn` counts the calls of this group; `draw` gives randomness.
pub(super) fn in_order<'g>(
    group: &'g Group,
    caller: &str,
    turn: u32,
    mut draw: impl FnMut() -> u64,
    peer: impl Fn(&Member) -> &'g Peer,
    standing: impl Fn(&Member) -> Standing,
) -> Vec<&'g Member> {
    let mut members: Vec<&Member> = group.members.iter().filter(|member| !standing(member).is_out).collect();
    if members.is_empty() {
        members = group.members.iter().collect();
    }
    let count = members.len().max(1);
    match group.order {
        Order::Listed => {}
        Order::RoundRobin => members.rotate_left(turn as usize % count),
        Order::Weight => {
            for place in 0..members.len() {
                let total: u64 = members[place..].iter().map(|member| u64::from(member.weight)).sum();
                let mut left = draw() % total.max(1);
                let taken = members[place..].iter().position(|member| {
                    let is_here = left < u64::from(member.weight);
                    left = left.saturating_sub(u64::from(member.weight));
                    is_here
                });
                // The others keep their order.
                members[place..=place + taken.unwrap_or(0)].rotate_right(1);
            }
        }
        Order::LeastCalls => members.sort_by(|a, b| {
            let load = |of: &Member, other: &Member| u64::from(standing(of).calls) * u64::from(other.weight);
            load(a, b).cmp(&load(b, a))
        }),
        Order::Latency => members.sort_by_key(|member| standing(member).round_trip_us.unwrap_or(u32::MAX)),
        Order::CallerHash => {
            members.sort_by_cached_key(|member| std::cmp::Reverse(affinity(caller, &peer(member).name)));
        }
    }
    // Who is full is passed over when it is his turn, so that a call leaves this zone only where nobody in it can take it.
    members.sort_by_key(|member| peer(member).is_far);
    members
}

/// Rendezvous hashing: whoever leaves or joins moves only its own callers.
fn affinity(caller: &str, peer: &str) -> u64 {
    // FNV-1a over both, then the finaliser of SplitMix64, because FNV's high bits vary little for short texts.
    let octets = caller.bytes().chain([0]).chain(peer.bytes());
    let hash = octets
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, octet| (hash ^ u64::from(octet)).wrapping_mul(0x0000_0100_0000_01b3));
    let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tandem_contract::Codec;

    use super::*;
    use crate::config::{HuntPolicy, ListenerId, PeerId};

    const IDLE: Standing = Standing { calls: 0, round_trip_us: None, is_out: false };

    fn peers() -> Vec<Peer> {
        let named = |name: &str| {
            let address = (Ipv4Addr::LOCALHOST, 5060).into();
            Peer::new(name, address, ListenerId(0), vec![Codec::Pcmu], Ipv4Addr::LOCALHOST.into())
        };
        ["a", "b", "c"].map(named).to_vec()
    }

    fn group(order: Order, weights: [u16; 3]) -> Group {
        let members = weights.iter().zip(0..).map(|(&weight, id)| Member { peer: PeerId(id), weight }).collect();
        Group { name: "g".into(), members, order, hunt: HuntPolicy::default() }
    }

    fn called(group: &Group, caller: &str, turn: u32, draw: u64, standing: &[Standing; 3]) -> Vec<u16> {
        let peers = peers();
        let by = |member: &Member| usize::from(member.peer.0);
        in_order(group, caller, turn, || draw, |member| &peers[by(member)], |member| standing[by(member)])
            .into_iter()
            .map(|member| member.peer.0)
            .collect()
    }

    #[test]
    fn each_comes_first_in_its_turn() {
        let group = group(Order::RoundRobin, [1; 3]);
        let orders: Vec<_> = (0..4).map(|turn| called(&group, "", turn, 0, &[IDLE; 3])).collect();
        assert_eq!(orders, [[0, 1, 2], [1, 2, 0], [2, 0, 1], [0, 1, 2]]);
    }

    #[test]
    fn weights_are_shares_of_the_first_place() {
        let group = group(Order::Weight, [1, 2, 5]);
        let first: Vec<_> = (0..8).map(|draw| called(&group, "", 0, draw, &[IDLE; 3])[0]).collect();
        assert_eq!(first, [0, 1, 1, 2, 2, 2, 2, 2]);
        let mut all = called(&group, "", 0, 7, &[IDLE; 3]);
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2], "nobody is lost");
    }

    #[test]
    fn the_least_loaded_for_its_weight_comes_first() {
        let calls = |calls| Standing { calls, ..IDLE };
        let group = group(Order::LeastCalls, [1, 1, 4]);
        assert_eq!(called(&group, "", 0, 0, &[calls(2), calls(1), calls(5)]), [1, 2, 0]);
    }

    #[test]
    fn the_quickest_comes_first_and_the_unknown_last() {
        let after = |us| Standing { round_trip_us: Some(us), ..IDLE };
        let group = group(Order::Latency, [1; 3]);
        assert_eq!(called(&group, "", 0, 0, &[IDLE, after(900), after(200)]), [2, 1, 0]);
    }

    #[test]
    fn a_caller_keeps_its_member_and_moves_only_when_that_one_is_out() {
        let group = group(Order::CallerHash, [1; 3]);
        let mut moved = 0;
        let mut first_of = [0; 3];
        for caller in 0..300 {
            let caller = format!("+4930{caller}");
            let all = called(&group, &caller, 0, 0, &[IDLE; 3]);
            first_of[usize::from(all[0])] += 1;
            let mut standing = [IDLE; 3];
            standing[2].is_out = true;
            let fewer = called(&group, &caller, 7, 1, &standing);
            let kept: Vec<_> = all.iter().copied().filter(|id| *id != 2).collect();
            assert_eq!(fewer, kept, "the others keep their order");
            moved += u32::from(all[0] == 2);
        }
        assert_eq!(moved, first_of[2]);
        assert!(first_of.iter().all(|&count| (60..140).contains(&count)), "{first_of:?}");
    }

    #[test]
    fn a_call_stays_in_its_zone_while_somebody_there_does_not_fail() {
        let mut peers = peers();
        peers[0].is_far = true;
        let far_first = |order, standing: &[Standing; 3]| {
            let group = group(order, [1; 3]);
            let by = |member: &Member| usize::from(member.peer.0);
            let order = in_order(&group, "", 3, || 0, |member| &peers[by(member)], |member| standing[by(member)]);
            order.into_iter().map(|member| member.peer.0).collect::<Vec<_>>()
        };
        assert_eq!(far_first(Order::Listed, &[IDLE; 3]), [1, 2, 0]);
        assert_eq!(far_first(Order::RoundRobin, &[IDLE; 3]), [1, 2, 0]);
        let busy = Standing { calls: 9, ..IDLE };
        assert_eq!(far_first(Order::LeastCalls, &[IDLE, busy, IDLE]), [2, 1, 0], "the group's order inside the zone");
        let out = Standing { is_out: true, ..IDLE };
        assert_eq!(far_first(Order::Listed, &[IDLE, out, out]), [0], "nobody is left in it");
    }

    #[test]
    fn who_fails_is_left_out_unless_all_do() {
        let out = Standing { is_out: true, ..IDLE };
        let group = group(Order::Listed, [1; 3]);
        assert_eq!(called(&group, "", 0, 0, &[out, IDLE, IDLE]), [1, 2]);
        assert_eq!(called(&group, "", 0, 0, &[out; 3]), [0, 1, 2]);
    }
}
