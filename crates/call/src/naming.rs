//! Names in the exchange and the switch: who asks for them, and who waits.

use std::net::IpAddr;

use tandem_contract::{LegSide, Nanos};
use tandem_sip::locate::{Answer, Destination, Nowhere, Question, Way};
use tandem_sip::{ClientTx, Dialog, Peer as SipPeer, Response, Scheme, TargetFailure, Transport};

use crate::call::Call;
use crate::config::Peer;
use crate::exchange::{Exchange, Purpose};
use crate::routing::Candidate;
use crate::switch::Switch;
use crate::whereabouts::ways;

impl Exchange {
    /// Where a candidate's first INVITE goes, one after the other; never empty.
    pub(crate) fn ways_to_candidate(&mut self, now: Nanos, candidate: &Candidate) -> Result<Vec<SipPeer>, Nowhere> {
        match &candidate.contact {
            Some(contact) => Ok(vec![contact.to]),
            None => self.ways_to(now, &candidate.config),
        }
    }

    /// How `peer` is reached outside of dialogs, one after the other; never empty.
    pub(crate) fn ways_to(&mut self, now: Nanos, peer: &Peer) -> Result<Vec<SipPeer>, Nowhere> {
        let own = self.config.listeners[usize::from(peer.listener.0)].peer(peer.address);
        if peer.host.is_none() {
            return Ok(vec![own]);
        }
        let targets = self.whereabouts.targets(now, &peer.name)?;
        let here = |&(transport, remote): &(Transport, std::net::SocketAddr)| {
            let home = SipPeer { remote, ..own };
            Some(SipPeer::new(transport, self.local_for(home, transport)?, remote))
        };
        let ways: Vec<SipPeer> = targets.iter().filter_map(here).collect();
        if ways.is_empty() { Err(Nowhere::NoAddress) } else { Ok(ways) }
    }

    /// Looks up what is due, and tells those who must know.
    pub(crate) fn look_up_names(&mut self, now: Nanos) {
        let news = self.whereabouts.look_up(now);
        if news.is_empty() {
            return;
        }
        for news in news {
            self.routing.set_places(&news.peer, news.places);
            self.trunks.on_name(&news.peer, news.problem);
        }
        self.guard.reconfigure(self.config.guard.clone(), self.config.peer_networks().chain(self.routing.networks()));
    }

    /// Routing begins anew, with what is known of names.
    pub(crate) fn place_peers(&mut self) {
        self.whereabouts.set_peers(&self.config, self.routing.peers());
        for (peer, places) in self.whereabouts.places() {
            self.routing.set_places(peer, places);
        }
        self.guard.reconfigure(self.config.guard.clone(), self.config.peer_networks().chain(self.routing.networks()));
    }

    /// Where requests in a dialog go (RFC 3261 §8.1.2): the first route or the remote target. Behind a name that is not known,
    /// or not yet, the peer is reached at `home`. A URI that names no transport is reached by `home`'s: what was encrypted
    /// stays so.
    pub(crate) fn next_hop(&mut self, now: Nanos, dialog: &Dialog, home: SipPeer) -> SipPeer {
        let uri = dialog.next_hop();
        let is_sips = uri.scheme() == Scheme::Sips;
        let named = uri.transport().and_then(|name| Transport::of_uri_param(name, is_sips));
        let named = named.filter(|named| named.is_secure() || !home.transport.is_secure());
        let found = match uri.host().trim_matches(['[', ']']).parse::<IpAddr>() {
            Ok(ip) if ip.is_ipv4() == home.remote.is_ipv4() => {
                let transport = named.unwrap_or(home.transport);
                Some((transport, (ip, uri.port().unwrap_or(transport.default_port())).into()))
            }
            Ok(_) => None,
            Err(_) => match self.named_hop(dialog, home) {
                Some((hop, ways)) => self.whereabouts.next_hop(now, &hop, &ways),
                None => None,
            },
        };
        let way = found
            .and_then(|(transport, remote)| Some(SipPeer::new(transport, self.local_for(home, transport)?, remote)));
        way.unwrap_or(home)
    }

    /// The next hop of a dialog where that is a name, and how it may be reached: by the family of addresses of `home`. Browsers
    /// have names that nobody knows (RFC 7118 §5.2), below `.invalid`.
    fn named_hop(&self, dialog: &Dialog, home: SipPeer) -> Option<(Destination, Vec<Way>)> {
        let uri = dialog.next_hop();
        let host = uri.host().trim_end_matches('.');
        if host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok() || host.to_ascii_lowercase().ends_with(".invalid") {
            return None;
        }
        let is_sips = uri.scheme() == Scheme::Sips;
        let is_secure = is_sips || home.transport.is_secure();
        let named = uri.transport().and_then(|name| Transport::of_uri_param(name, is_sips));
        let named = named.filter(|named| named.is_secure() || !is_secure);
        let usual = (uri.port().is_some() && (!is_sips || home.transport.is_secure())).then_some(home.transport);
        let fits = |known: &&crate::config::Listener| known.advertised.is_ipv4() == home.remote.is_ipv4();
        let listeners = &self.config.listeners;
        let first = listeners.iter().filter(|known| known.transport == home.transport);
        let ways = ways(first.chain(listeners).filter(fits), is_secure);
        let destination =
            Destination { host: host.to_owned(), port: uri.port(), transport: named.or(usual), is_secure };
        Some((destination, ways))
    }

    /// Keeps a response that makes a dialog until its next hop is known, where that is a name; gives it back where there is
    /// nothing to wait for.
    pub(crate) fn keep_for_name(&mut self, now: Nanos, tx: ClientTx, response: Response) -> Option<Response> {
        let Some(Purpose::Invite(invitation)) = self.requests.get(&tx) else { return Some(response) };
        let is_reliable = response.require().any(|tag| tag.eq_ignore_ascii_case("100rel"));
        let Some(tag) = response.to_tag().filter(|_| response.status().is_success() || is_reliable) else {
            return Some(response);
        };
        let mut dialog = (*invitation.dialog).clone();
        tag.clone_into(&mut dialog.id.remote_tag);
        if dialog.confirm(&response).is_err() {
            return Some(response);
        }
        let hop = self.named_hop(&dialog, invitation.home());
        match hop {
            Some(hop) => self.whereabouts.keep(now, (tx, response), hop),
            None => Some(response),
        }
    }
}

impl Switch {
    /// What came of [`crate::Output::Resolve`].
    pub fn on_resolved(&mut self, now: Nanos, question: &Question, answer: Answer) {
        self.exchange.whereabouts.on_answer(now, question, answer);
        self.look_after_names(now);
        self.pump(now);
    }

    /// Looks up names that are due, and takes the responses that waited for one.
    pub(crate) fn look_after_names(&mut self, now: Nanos) {
        self.exchange.look_up_names(now);
        while let Some((tx, response)) = self.exchange.whereabouts.poll_response(now) {
            self.on_response(now, tx, &response);
        }
    }

    /// A target of a request of ours could not be had, and the next is tried.
    pub(crate) fn on_moved_on(
        &mut self,
        now: Nanos,
        tx: ClientTx,
        (target, failure): (SipPeer, TargetFailure),
        next: SipPeer,
    ) {
        self.exchange.whereabouts.on_failure(now, target, failure);
        if let Some(Purpose::Invite(invitation)) = self.exchange.requests.get_mut(&tx) {
            let number = invitation.call;
            if self.calls.get_mut(&number).is_some_and(|call| call.moved_on(tx, next)) {
                invitation.set_home(next);
                self.note_change(number);
            }
        }
    }
}

impl Call {
    /// A first INVITE of ours goes to another target of the same peer; `false` where it was no first one.
    fn moved_on(&mut self, tx: ClientTx, next: SipPeer) -> bool {
        let transfer = self.transfer.as_mut().map(|transfer| transfer.target_mut());
        let callees = std::iter::once(&mut self.legs[LegSide::B.index()]).chain(&mut self.rivals).chain(transfer);
        let mut first = callees.filter(|leg| leg.outgoing == Some(tx) && !leg.is_up && leg.others.contains(&next));
        first.next().map(|leg| leg.home = next).is_some()
    }
}
