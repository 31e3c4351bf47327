//! The copy of other nodes' calls: read when they come, so that a takeover has nothing left to read.
//!
//! It says which calls are not as they were, so that their flows are at hand as well.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;

use tandem_call::{MediaPosition, Replica, ReplicaError, WallClock};
use tandem_contract::{LegPosition, Nanos};
use tandem_replication::{Change, EXPIRY_S, NodeRun, Subject};

use super::position;

/// Calls of a node that was not heard of for so long are over.
const FORGOTTEN_NS: u64 = EXPIRY_S as u64 * 1_000_000_000;

/// Lives of nodes, whose calls were taken, that are remembered.
const TAKEN: usize = 64;

/// A call of another node.
#[derive(Debug)]
pub(crate) struct WarmCall {
    pub(crate) replica: Replica,
    position: Option<(Nanos, [LegPosition; 2])>,
}

impl WarmCall {
    /// How far its media had come, and how long ago that was.
    pub(crate) fn position(&self, now: Nanos) -> Option<MediaPosition> {
        self.position.map(|read| position_at(now, &read))
    }
}

fn position_at(now: Nanos, (at, legs): &(Nanos, [LegPosition; 2])) -> MediaPosition {
    MediaPosition { legs: *legs, age_ms: now.since(*at) / 1_000_000 }
}

/// What is known of one start of one node.
#[derive(Debug, Default)]
struct Known {
    calls: BTreeMap<u64, Replica>,
    /// When it was heard of last.
    heard: Nanos,
    /// It has let go of its calls, and these are all.
    is_complete: bool,
    /// When that was so, on our clock.
    positions: BTreeMap<u64, (Nanos, [LegPosition; 2])>,
}

/// Every other node's calls.
#[derive(Debug, Default)]
pub(crate) struct WarmCalls {
    nodes: BTreeMap<NodeRun, Known>,
    /// Whose calls were taken last: what is still said of them is old.
    taken: VecDeque<NodeRun>,
    unreadable: u64,
    /// What was said last of a call that cannot be read: it is said once.
    said: Option<ReplicaError>,
    /// Calls whose flows are not at hand as the calls are.
    changed: BTreeSet<(NodeRun, u64)>,
    /// Calls whose flows could not be had, and those of them that are to be tried again now.
    missing: BTreeSet<(NodeRun, u64)>,
    again: BTreeSet<(NodeRun, u64)>,
    /// Where media of calls was that are gone.
    gone: Vec<[SocketAddr; 2]>,
}

/// What of the copy is to be seen to.
pub(crate) enum Warming<'a> {
    /// No call has its media there any more.
    Gone([SocketAddr; 2]),
    /// A call is so now.
    Is(&'a Replica),
}

impl WarmCalls {
    pub(crate) fn len(&self) -> usize {
        self.nodes.values().map(|known| known.calls.len()).sum()
    }

    pub(crate) const fn unreadable(&self) -> u64 {
        self.unreadable
    }

    /// Takes in what the store tells.
    pub(crate) fn take(&mut self, now: Nanos, wall: WallClock, change: Change) {
        let (Change::Anew(node) | Change::Put { node, .. } | Change::Gone { node, .. } | Change::Complete(node)) =
            &change;
        if self.taken.contains(node) {
            return;
        }
        if let Some(known) = self.nodes.get_mut(node) {
            known.heard = now;
        }
        match change {
            Change::Anew(node) => {
                let before = self.nodes.insert(node, Known { heard: now, ..Known::default() });
                self.gone.extend(before.iter().flat_map(|known| known.calls.values()).map(Replica::media));
            }
            Change::Complete(node) => self.known(now, node).is_complete = true,
            Change::Put { node, subject: Subject::Call, call, value, .. } => match Replica::from_json(&value) {
                Ok(replica) => {
                    let media = replica.media();
                    let before = self.known(now, node.clone()).calls.insert(call, replica);
                    self.gone.extend(before.map(|before| before.media()).filter(|before| *before != media));
                    self.changed.insert((node, call));
                }
                Err(error) => {
                    // An older state of the call would be worse than none.
                    let before = self.known(now, node.clone()).calls.remove(&call);
                    self.gone.extend(before.map(|before| before.media()));
                    self.unreadable += 1;
                    if self.said.replace(error) != Some(error) {
                        tracing::error!(node = node.node, call, %error, "a call of another node could not go on here");
                    }
                }
            },
            Change::Put { node, subject: Subject::Position, call, value, is_fresh } => {
                let Some(stored) = position::decode(&value) else { return };
                // Two nodes' clocks differ: what was published just now is as old as its way.
                let age_ms = if is_fresh { 0 } else { wall.unix_millis(now).saturating_sub(stored.unix_ms) };
                let at = Nanos(now.0.saturating_sub(age_ms.saturating_mul(1_000_000)));
                self.known(now, node).positions.insert(call, (at, stored.legs));
            }
            Change::Gone { node, subject, call } => {
                if let Some(known) = self.nodes.get_mut(&node) {
                    match subject {
                        Subject::Call => self.gone.extend(known.calls.remove(&call).map(|call| call.media())),
                        Subject::Position => drop(known.positions.remove(&call)),
                    }
                }
            }
        }
    }

    fn known(&mut self, now: Nanos, node: NodeRun) -> &mut Known {
        self.nodes.entry(node).or_insert_with(|| Known { heard: now, ..Known::default() })
    }

    /// Whether the node of this name has let go of its calls, and all that it had of them is here.
    pub(crate) fn is_complete(&self, node: &str) -> bool {
        let mut lives = self.nodes.iter().filter(|(of, _)| of.node == node).map(|(_, known)| known);
        let has_let_go = lives.clone().any(|known| known.is_complete);
        has_let_go && lives.all(|known| known.is_complete || known.calls.is_empty())
    }

    /// Tells `see_to` what has changed, of `most` calls at most. Where it cannot have a flow at hand, it says `false`.
    pub(crate) fn warm_up(&mut self, most: usize, mut see_to: impl FnMut(Warming<'_>) -> bool) {
        for media in self.gone.drain(..) {
            see_to(Warming::Gone(media));
        }
        for _ in 0..most {
            let Some((node, call)) = self.changed.pop_first().or_else(|| self.again.pop_first()) else { return };
            // One that is gone was told of.
            let Some(replica) = self.nodes.get(&node).and_then(|known| known.calls.get(&call)) else { continue };
            if !see_to(Warming::Is(replica)) {
                self.missing.insert((node, call));
            }
        }
    }

    /// What could not be had may be to be had now.
    pub(crate) fn try_again(&mut self) {
        self.again.append(&mut self.missing);
    }

    /// Nothing is at hand any more.
    pub(crate) fn warm_up_again(&mut self) {
        let all = self.nodes.iter().flat_map(|(node, known)| known.calls.keys().map(|call| (node.clone(), *call)));
        self.changed.extend(all);
    }

    /// Where the media of each call is of the node of this name, or of any, and how far it had come. Those that are over have
    /// none.
    pub(crate) fn media(&self, now: Nanos, node: Option<&str>) -> Vec<([SocketAddr; 2], Option<MediaPosition>)> {
        let nodes = self.nodes.iter().filter(|(of, _)| node.is_none_or(|node| node == of.node));
        let recent = nodes.filter(|(_, known)| now.since(known.heard) <= FORGOTTEN_NS);
        let calls = recent.flat_map(|(_, known)| known.calls.iter().map(move |(call, replica)| (known, call, replica)));
        calls
            .filter(|(_, _, replica)| !replica.is_over())
            .map(|(known, call, replica)| (replica.media(), known.positions.get(call).map(|at| position_at(now, at))))
            .collect()
    }

    /// Takes out the calls of the node of this name, or of all, and whose they were.
    pub(crate) fn take_calls(&mut self, now: Nanos, node: Option<&str>) -> (Vec<WarmCall>, Vec<NodeRun>) {
        let mut calls = Vec::new();
        let mut taken = Vec::new();
        self.nodes.retain(|of, known| {
            if node.is_some_and(|node| node != of.node) {
                return true;
            }
            // Positions come several times a second for as long as there are calls: these ended long ago, with their node.
            if now.since(known.heard) > FORGOTTEN_NS {
                self.gone.extend(known.calls.values().map(Replica::media));
                return false;
            }
            if known.is_complete || !known.calls.is_empty() {
                self.taken.push_back(of.clone());
            }
            let positions = &known.positions;
            calls.extend(
                std::mem::take(&mut known.calls)
                    .into_iter()
                    .map(|(call, replica)| WarmCall { replica, position: positions.get(&call).copied() }),
            );
            taken.push(of.clone());
            false
        });
        let forgotten = self.taken.len().saturating_sub(TAKEN);
        self.taken.drain(..forgotten);
        (calls, taken)
    }
}

#[cfg(test)]
mod tests {
    use tandem_call::{ListenerId, Switch};

    use super::*;
    use crate::switch_config::switch_config;

    fn node(name: &str, run: u64) -> NodeRun {
        NodeRun { node: name.to_owned(), run }
    }

    fn put(node: &NodeRun, subject: Subject, value: &[u8], is_fresh: bool) -> Change {
        Change::Put { node: node.clone(), subject, call: 1, value: value.into(), is_fresh }
    }

    const NOWHERE: [[SocketAddr; 2]; 0] = [];

    /// So many calls as a node tells of them.
    fn told(calls: u64) -> Vec<Vec<u8>> {
        let config = tandem_config::parse(
            "t.yaml",
            "ports: [{name: media, device: net_null0, addresses: [10.0.0.10/24]}]
workers: {cores: [1]}
sip: {listen: [{name: a, address: 10.0.1.10}]}
peers: [{name: left, address: 10.0.1.20, codecs: [PCMU]}, {name: right, address: 10.0.1.30, codecs: [PCMU]}]
routes: [{from: left, peer: right}]
",
        )
        .unwrap();
        let mut switch = Switch::new(switch_config(&config, 7, WallClock::default()), [1; 32]).unwrap();
        for call in 0..calls {
            let invite = format!(
                "INVITE sip:2@10.0.1.10 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.1.20;branch=z9hG4bK{call}\r\n\
                 From: <sip:1@left>;tag=1\r\nTo: <sip:2@right>\r\nCall-ID: {call}\r\nCSeq: 1 INVITE\r\n\
                 Contact: <sip:1@10.0.1.20>\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
            );
            switch.on_datagram(Nanos(0), ListenerId(0), "10.0.1.20:5060".parse().unwrap(), invite.as_bytes());
        }
        let calls = switch.snapshot(Nanos(0));
        calls.iter().map(|call| switch.replica(call.number).expect("it is under way").to_json()).collect()
    }

    /// What is to be seen to: where calls are gone, where they are.
    fn seen_to(warm: &mut WarmCalls, succeeds: bool) -> [Vec<[SocketAddr; 2]>; 2] {
        let [mut gone, mut here] = [Vec::new(), Vec::new()];
        warm.warm_up(2, |warming| {
            match warming {
                Warming::Gone(media) => gone.push(media),
                Warming::Is(replica) => here.push(replica.media()),
            }
            succeeds
        });
        [gone, here]
    }

    #[test]
    fn flows_are_to_be_at_hand_where_calls_are_and_nowhere_else() {
        let told = told(3);
        let [first, second, third] = [0, 1, 2].map(|call: usize| Replica::from_json(&told[call]).unwrap().media());
        let (mut warm, a) = (WarmCalls::default(), node("a", 1));
        let put = |warm: &mut WarmCalls, call: u64, value: &[u8]| {
            let (node, value) = (a.clone(), value.into());
            let change = Change::Put { node, subject: Subject::Call, call, value, is_fresh: true };
            warm.take(Nanos(0), WallClock::default(), change);
        };
        put(&mut warm, 1, &told[0]);
        put(&mut warm, 2, &told[1]);
        put(&mut warm, 1, &told[0]);
        assert_eq!(seen_to(&mut warm, true), [vec![], vec![first, second]]);
        assert_eq!(seen_to(&mut warm, true).concat(), NOWHERE, "nothing has changed");
        put(&mut warm, 1, &told[2]);
        assert_eq!(seen_to(&mut warm, true), [vec![first], vec![third]], "it has moved");
        put(&mut warm, 2, b"{}");
        let gone = Change::Gone { node: a.clone(), subject: Subject::Call, call: 1 };
        warm.take(Nanos(0), WallClock::default(), gone);
        assert_eq!(seen_to(&mut warm, true), [vec![second, third], vec![]], "one cannot be read, one is over");
        for (call, value) in (1..).zip(&told) {
            put(&mut warm, call, value);
        }
        assert_eq!(seen_to(&mut warm, true)[1], [first, second], "no more than were wanted at once");
        warm.take(Nanos(0), WallClock::default(), Change::Anew(a.clone()));
        put(&mut warm, 3, &told[2]);
        assert_eq!(seen_to(&mut warm, true), [vec![first, second, third], vec![third]]);
        assert_eq!(warm.media(Nanos(0), Some("a")), [(third, None)]);
        assert_eq!(warm.media(Nanos(0), Some("b")), []);
        assert_eq!(warm.media(Nanos(FORGOTTEN_NS + 1), None), []);
        assert_eq!(warm.take_calls(Nanos(FORGOTTEN_NS + 1), None).1, []);
        assert_eq!(seen_to(&mut warm, true), [vec![third], vec![]]);
    }

    #[test]
    fn what_could_not_be_had_is_tried_again_after_what_is_new() {
        let told = told(3);
        let media: Vec<_> = told.iter().map(|call| Replica::from_json(call).unwrap().media()).collect();
        let (mut warm, a) = (WarmCalls::default(), node("a", 1));
        let put = |warm: &mut WarmCalls, call: u64| {
            let (node, value) = (a.clone(), told[call as usize].as_slice().into());
            let change = Change::Put { node, subject: Subject::Call, call, value, is_fresh: true };
            warm.take(Nanos(0), WallClock::default(), change);
        };
        put(&mut warm, 0);
        put(&mut warm, 1);
        assert_eq!(seen_to(&mut warm, false)[1], media[..2]);
        assert_eq!(seen_to(&mut warm, false)[1], NOWHERE, "not at once");
        put(&mut warm, 2);
        warm.try_again();
        assert_eq!(seen_to(&mut warm, false)[1], [media[2], media[0]]);
        assert_eq!(seen_to(&mut warm, true)[1], media[1..2], "each once");
        warm.try_again();
        assert_eq!(seen_to(&mut warm, true)[1].len(), 2);
        warm.warm_up_again();
        assert_eq!(seen_to(&mut warm, true)[1].len(), 2, "all three, two at once");
        assert_eq!(seen_to(&mut warm, true)[1].len(), 1);
    }

    #[test]
    fn a_call_that_cannot_be_read_is_counted_and_never_gone_on_with() {
        let mut warm = WarmCalls::default();
        warm.take(Nanos(0), WallClock::default(), put(&node("a", 1), Subject::Call, b"{\"version\":999}", true));
        assert_eq!((warm.len(), warm.unreadable()), (0, 1));
    }

    #[test]
    fn a_position_is_as_old_as_its_way_or_as_the_wall_clocks_say() {
        let mut warm = WarmCalls::default();
        let wall = WallClock { at: Nanos(0), unix_ns: 50_000_000_000 };
        let now = Nanos::from_millis(10_000);
        let value = position::encode(57_500, [LegPosition::default(); 2]);
        let (a, b) = (node("a", 1), node("b", 1));
        warm.take(now, wall, put(&a, Subject::Position, &value, true));
        warm.take(now, wall, put(&b, Subject::Position, &value, false));
        let at = |node| warm.nodes[node].positions[&1].0;
        assert_eq!((at(&a), at(&b)), (now, Nanos::from_millis(7_500)));
    }

    #[test]
    fn only_what_is_asked_for_is_taken_in_every_life_that_the_node_had() {
        let mut warm = WarmCalls::default();
        for of in [node("a", 1), node("a", 2), node("b", 1)] {
            let position = position::encode(0, [LegPosition::default(); 2]);
            warm.take(Nanos(0), WallClock::default(), put(&of, Subject::Position, &position, true));
        }
        let (calls, taken) = warm.take_calls(Nanos(0), Some("a"));
        assert!(calls.is_empty());
        assert_eq!(taken, [node("a", 1), node("a", 2)]);
        assert_eq!(warm.take_calls(Nanos(0), None).1, [node("b", 1)]);
    }

    #[test]
    fn a_node_is_complete_once_it_said_so_of_all_its_lives_that_have_calls() {
        let mut warm = WarmCalls::default();
        let mut is_complete = |change| {
            warm.take(Nanos(0), WallClock::default(), change);
            warm.is_complete("a")
        };
        assert!(!is_complete(Change::Anew(node("a", 1))));
        assert!(!is_complete(Change::Complete(node("b", 1))));
        assert!(is_complete(Change::Complete(node("a", 1))));
        assert!(is_complete(Change::Anew(node("a", 2))), "the life that it began then has no calls");
        assert_eq!(warm.take_calls(Nanos(0), Some("a")).1.len(), 2);
        warm.take(Nanos(0), WallClock::default(), Change::Complete(node("a", 1)));
        assert!(!warm.is_complete("a"), "what was taken is told of no more");
        warm.take(Nanos(0), WallClock::default(), Change::Complete(node("a", 2)));
        assert!(warm.is_complete("a"), "the other life goes on");
    }

    #[test]
    fn a_node_that_was_not_heard_of_for_long_has_no_calls_left() {
        let mut warm = WarmCalls::default();
        warm.take(Nanos(0), WallClock::default(), Change::Anew(node("a", 1)));
        assert_eq!(warm.take_calls(Nanos(FORGOTTEN_NS + 1), None).1, []);
    }
}
