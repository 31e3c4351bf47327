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

    /// Lets a call between two peers in, or says why not. Each entry needs one [`Admission::leave`].
    pub(crate) fn enter(&mut self, limits: &Limits, peers: [(PeerId, &Peer); 2]) -> Result<(), Refused> {
        self.enter_without_peer(limits)?;
        let full = |(id, peer): (PeerId, &Peer)| peer.max_calls.is_some_and(|most| self.of(id) >= most);
        if peers.into_iter().any(full) {
            self.leave_without_peer();
            return Err(Refused::TooManyForPeer);
        }
        for id in distinct(peers.map(|(id, _)| id)) {
            self.count(id);
        }
        Ok(())
    }

    /// Lets a call in that is up already: one that another node had.
    pub(crate) fn admit_always(&mut self, peers: [PeerId; 2]) {
        self.calls += 1;
        for id in distinct(peers) {
            self.count(id);
        }
    }

    /// A call that was let in is over.
    pub(crate) fn leave(&mut self, peers: [PeerId; 2]) {
        self.calls = self.calls.saturating_sub(1);
        for id in distinct(peers) {
            if let Some(count) = self.by_peer.get_mut(usize::from(id.0)) {
                *count = count.saturating_sub(1);
            }
        }
    }

    /// Counts anew after the peers changed their numbers; [`PeerId::GONE`] is nobody's.
    pub(crate) fn recount(&mut self, calls: impl Iterator<Item = [PeerId; 2]>) {
        self.by_peer.clear();
        for id in calls.flat_map(distinct).filter(|id| *id != PeerId::GONE) {
            self.count(id);
        }
    }

    fn count(&mut self, id: PeerId) {
        let index = usize::from(id.0);
        if self.by_peer.len() <= index {
            self.by_peer.resize(index + 1, 0);
        }
        self.by_peer[index] += 1;
    }

    fn of(&self, peer: PeerId) -> u32 {
        self.by_peer.get(usize::from(peer.0)).copied().unwrap_or(0)
    }
}

/// A call from a peer to itself counts once.
fn distinct([a, b]: [PeerId; 2]) -> impl Iterator<Item = PeerId> {
    std::iter::once(a).chain((a != b).then_some(b))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tandem_contract::{Codec, Learning, SourcePolicy};

    use super::*;
    use crate::config::ListenerId;

    fn peer(max_calls: Option<u32>) -> Peer {
        Peer {
            name: String::new(),
            address: (Ipv4Addr::LOCALHOST, 5060).into(),
            server_name: None,
            listener: ListenerId(0),
            sources: Vec::new(),
            codecs: vec![Codec::Pcmu],
            ptime_ms: 20,
            annexb: true,
            comfort_noise: false,
            telephone_event: true,
            rtcp_mux: tandem_sdp::RtcpMux::Accept,
            in_band_dtmf: false,
            info_dtmf: false,
            srtp: tandem_sdp::SrtpPolicy::Off,
            srtp_suites: Vec::new(),
            media_address: Ipv4Addr::LOCALHOST.into(),
            media_source: SourcePolicy::new(Learning::Off),
            reorder_packets: 0,
            rtp_echo: false,
            hold_music: false,
            max_calls,
        }
    }

    const LIMITS: Limits = Limits { max_calls: 2, retry_after_s: 5, max_transactions: 10 };

    #[test]
    fn the_limit_of_all_calls_holds_and_frees_again() {
        let free = peer(None);
        let pair = [(PeerId(0), &free), (PeerId(1), &free)];
        let mut admission = Admission::default();
        assert_eq!(admission.enter(&LIMITS, pair), Ok(()));
        assert_eq!(admission.enter(&LIMITS, pair), Ok(()));
        assert_eq!(admission.enter(&LIMITS, pair), Err(Refused::TooManyCalls));
        admission.leave([PeerId(0), PeerId(1)]);
        assert_eq!(admission.enter(&LIMITS, pair), Ok(()));
    }

    #[test]
    fn a_peers_own_limit_counts_calls_in_both_directions() {
        let (one, free) = (peer(Some(1)), peer(None));
        let mut admission = Admission::default();
        assert_eq!(admission.enter(&LIMITS, [(PeerId(0), &one), (PeerId(1), &free)]), Ok(()));
        let back = [(PeerId(1), &free), (PeerId(0), &one)];
        assert_eq!(admission.enter(&LIMITS, back), Err(Refused::TooManyForPeer));
        assert_eq!(admission.enter(&LIMITS, [(PeerId(1), &free), (PeerId(2), &free)]), Ok(()));
    }

    #[test]
    fn a_call_from_a_peer_to_itself_counts_once() {
        let one = peer(Some(1));
        let mut admission = Admission::default();
        assert_eq!(admission.enter(&LIMITS, [(PeerId(0), &one), (PeerId(0), &one)]), Ok(()));
        admission.leave([PeerId(0), PeerId(0)]);
        assert_eq!(admission.of(PeerId(0)), 0);
    }

    #[test]
    fn draining_lets_nobody_in() {
        let free = peer(None);
        let mut admission = Admission::default();
        admission.drain();
        let pair = [(PeerId(0), &free), (PeerId(1), &free)];
        assert_eq!(admission.enter(&LIMITS, pair), Err(Refused::Draining));
    }
}
