//! The copy of other nodes' calls: read when they come, so that a takeover has nothing left to read.

use std::collections::{BTreeMap, VecDeque};

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
        self.position.map(|(at, legs)| MediaPosition { legs, age_ms: now.since(at) / 1_000_000 })
    }
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
                self.nodes.insert(node, Known { heard: now, ..Known::default() });
            }
            Change::Complete(node) => self.known(now, node).is_complete = true,
            Change::Put { node, subject: Subject::Call, call, value, .. } => match Replica::from_json(&value) {
                Ok(replica) => {
                    self.known(now, node).calls.insert(call, replica);
                }
                Err(error) => {
                    // An older state of the call would be worse than none.
                    self.known(now, node.clone()).calls.remove(&call);
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
                        Subject::Call => drop(known.calls.remove(&call)),
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
    use super::*;

    fn node(name: &str, run: u64) -> NodeRun {
        NodeRun { node: name.to_owned(), run }
    }

    fn put(node: &NodeRun, subject: Subject, value: &[u8], is_fresh: bool) -> Change {
        Change::Put { node: node.clone(), subject, call: 1, value: value.into(), is_fresh }
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
