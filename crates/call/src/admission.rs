//! Whether there is room for one more call.

use crate::config::{Limits, Peer, PeerId};

/// Why a call is not let in. All of these are answered 503 with `Retry-After` (RFC 3261 §21.5.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The gateway takes no new calls.
    Draining,
    /// The limit of all calls is reached.
    TooManyCalls,
    /// The limit of one peer is reached.
    TooManyForPeer,
    /// No worker has a slot and two ports.
    NoMediaCapacity,
}

impl Refused {
    pub(crate) const fn reason(self) -> &'static str {
        match self {
            Self::Draining => "the gateway takes no new calls",
            Self::TooManyCalls => "the limit of concurrent calls is reached",
            Self::TooManyForPeer => "the peer's limit of concurrent calls is reached",
            Self::NoMediaCapacity => "no media capacity is left",
        }
    }
}

/// Calls that were let in and did not leave yet.
#[derive(Debug, Default)]
pub(crate) struct Admission {
    draining: bool,
    calls: u32,
    /// By [`PeerId`].
    by_peer: Vec<u32>,
}

impl Admission {
    pub(crate) const fn drain(&mut self) {
        self.draining = true;
    }

    pub(crate) const fn is_draining(&self) -> bool {
        self.draining
    }

    /// Lets a flow between nobody's peers in, or says why not. Each entry needs one [`Admission::leave_without_peer`].
    pub(crate) const fn enter_without_peer(&mut self, limits: &Limits) -> Result<(), Refused> {
        if self.draining {
            return Err(Refused::Draining);
        }
        if self.calls >= limits.max_calls {
            return Err(Refused::TooManyCalls);
        }
        self.calls += 1;
        Ok(())
    }

    /// Such a flow is gone.
    pub(crate) const fn leave_without_peer(&mut self) {
        self.calls = self.calls.saturating_sub(1);
    }

    /// Lets a call of a peer's in, or says why not. Each entry needs one [`Admission::leave`].
    pub(crate) fn enter(&mut self, limits: &Limits, (caller, peer): (PeerId, &Peer)) -> Result<(), Refused> {
        self.enter_without_peer(limits)?;
        if peer.max_calls.is_some_and(|most| self.of(caller) >= most) {
            self.leave_without_peer();
            return Err(Refused::TooManyForPeer);
        }
        self.count(caller);
        Ok(())
    }

    /// A call that was let in is over; whom it called has parted with it.
    pub(crate) fn leave(&mut self, caller: PeerId) {
        self.leave_without_peer();
        self.discount(caller);
    }

    /// Lets a call go to a peer, or says why not; a call from a peer to itself counts once. Each needs one
    /// [`Admission::part`].
    pub(crate) fn join(&mut self, caller: PeerId, (callee, peer): (PeerId, &Peer)) -> Result<(), Refused> {
        let is_counted = caller == callee;
        if !is_counted && peer.max_calls.is_some_and(|most| self.of(callee) >= most) {
            return Err(Refused::TooManyForPeer);
        }
        self.join_always(caller, callee);
        Ok(())
    }

    /// Lets a call in that is up already: one that another node had.
    pub(crate) fn admit_always(&mut self, caller: PeerId, callee: PeerId) {
        self.calls += 1;
        self.count(caller);
        self.join_always(caller, callee);
    }

    /// Lets a call go to a peer where it went already on another node.
    pub(crate) fn join_always(&mut self, caller: PeerId, callee: PeerId) {
        if caller != callee {
            self.count(callee);
        }
    }

    /// A call no longer goes to that peer.
    pub(crate) fn part(&mut self, caller: PeerId, callee: PeerId) {
        if caller != callee {
            self.discount(callee);
        }
    }

    /// Counts anew after the peers changed their numbers; [`PeerId::GONE`] is nobody's.
    pub(crate) fn recount(&mut self, calls: impl Iterator<Item = (PeerId, Vec<PeerId>)>) {
        self.by_peer.clear();
        for (caller, callees) in calls {
            let others = callees.into_iter().filter(|callee| *callee != caller);
            for id in std::iter::once(caller).chain(others).filter(|id| *id != PeerId::GONE) {
                self.count(id);
            }
        }
    }

    fn discount(&mut self, id: PeerId) {
        if let Some(count) = self.by_peer.get_mut(usize::from(id.0)) {
            *count = count.saturating_sub(1);
        }
    }

    fn count(&mut self, id: PeerId) {
        let index = usize::from(id.0);
        if self.by_peer.len() <= index {
            self.by_peer.resize(index + 1, 0);
        }
        self.by_peer[index] += 1;
    }

    /// Calls from and to a peer at present.
    pub(crate) fn of(&self, peer: PeerId) -> u32 {
        self.by_peer.get(usize::from(peer.0)).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tandem_contract::Codec;

    use super::*;
    use crate::config::ListenerId;

    fn peer(max_calls: Option<u32>) -> Peer {
        let address = (Ipv4Addr::LOCALHOST, 5060).into();
        let media = Ipv4Addr::LOCALHOST.into();
        Peer { max_calls, ..Peer::new("", address, ListenerId(0), vec![Codec::Pcmu], media) }
    }

    const LIMITS: Limits = Limits { max_calls: 2, retry_after_s: 5, max_transactions: 10 };

    #[test]
    fn the_limit_of_all_calls_holds_and_frees_again() {
        let free = peer(None);
        let caller = (PeerId(0), &free);
        let mut admission = Admission::default();
        assert_eq!(admission.enter(&LIMITS, caller), Ok(()));
        assert_eq!(admission.enter(&LIMITS, caller), Ok(()));
        assert_eq!(admission.enter(&LIMITS, caller), Err(Refused::TooManyCalls));
        admission.leave(PeerId(0));
        assert_eq!(admission.enter(&LIMITS, caller), Ok(()));
    }

    #[test]
    fn a_peers_own_limit_counts_calls_in_both_directions() {
        let (one, free) = (peer(Some(1)), peer(None));
        let mut admission = Admission::default();
        assert_eq!(admission.enter(&LIMITS, (PeerId(0), &one)), Ok(()));
        assert_eq!(admission.join(PeerId(0), (PeerId(1), &free)), Ok(()));
        assert_eq!(admission.enter(&LIMITS, (PeerId(1), &free)), Ok(()));
        assert_eq!(admission.join(PeerId(1), (PeerId(0), &one)), Err(Refused::TooManyForPeer));
        assert_eq!(admission.join(PeerId(1), (PeerId(2), &free)), Ok(()));
    }

    #[test]
    fn a_call_from_a_peer_to_itself_counts_once() {
        let one = peer(Some(1));
        let mut admission = Admission::default();
        assert_eq!(admission.enter(&LIMITS, (PeerId(0), &one)), Ok(()));
        assert_eq!(admission.join(PeerId(0), (PeerId(0), &one)), Ok(()));
        admission.part(PeerId(0), PeerId(0));
        admission.leave(PeerId(0));
        assert_eq!(admission.of(PeerId(0)), 0);
    }

    #[test]
    fn draining_lets_nobody_in() {
        let free = peer(None);
        let mut admission = Admission::default();
        admission.drain();
        assert_eq!(admission.enter(&LIMITS, (PeerId(0), &free)), Err(Refused::Draining));
    }
}
