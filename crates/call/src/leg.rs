//! One side of a call: a dialog with a peer, and what was agreed with it on media.

use std::net::SocketAddr;
use std::sync::Arc;

use tandem_contract::{Codec, CryptoSuite, Direction, Format, LegConfig, LegSide, Nanos, RtcpTransport};
use tandem_registrar::Target as Contact;
use tandem_sdp::{Capabilities, KeySeed, Negotiation, Security, SessionDescription, SrtpPolicy};
use tandem_sip::digest::DigestClient;
use tandem_sip::{
    ClientTx, Dialog, HeaderName, Invite2xx, Method, Peer as SipPeer, Request, RequestBuilder, Response, ServerTx,
    StatusCode, Transport,
};

use crate::config::{Peer, PeerId};
use crate::exchange::{ALLOW, Exchange, Invitation, Purpose, SDP, SUPPORTED, instant, nanos};
use crate::media_pool::Reservation;
use crate::output::CallNumber;
use crate::reliable::{Early, Reliable};
use crate::session_timer::{MIN_SE_S, SessionTimer};

/// Challenges of one peer that are answered on one leg.
const MAX_CHALLENGES: u8 = 8;

/// One side of a call.
#[derive(Debug)]
pub(crate) struct Leg {
    pub(crate) id: PeerId,
    pub(crate) peer: Arc<Peer>,
    /// Where the peer is reached outside of dialogs.
    pub(crate) home: SipPeer,
    /// Where its first INVITE goes next, where `home` cannot be had (RFC 3263 §4.3).
    pub(crate) others: Vec<SipPeer>,
    /// The connection that the peer's latest request in the dialog came by. While it lives, ours leave by it: behind
    /// address translation there is no other way to the peer.
    pub(crate) flow: Option<SipPeer>,
    /// Requests in the dialog go there whatever its Contact says: a telephone behind address translation, over datagrams.
    pub(crate) pinned: Option<SipPeer>,
    pub(crate) dialog: Dialog,
    /// The dialog was confirmed by a 2xx and not ended yet.
    pub(crate) is_up: bool,
    pub(crate) negotiation: Negotiation,
    /// What the peer itself wants to do: from its latest offer, or its answer as far as our offer left it the choice.
    pub(crate) wish: Direction,
    /// The peer put the other side on hold, in a re-INVITE.
    pub(crate) holds: bool,
    /// What of the other side's wish this peer knows.
    pub(crate) told: Direction,
    /// It took the place of who was there first.
    pub(crate) stands_in: bool,
    /// Our media is at another address than this peer knows.
    pub(crate) has_moved: bool,
    /// The direction of our latest offer.
    pub(crate) offered: Direction,
    /// The peer's INVITE that has no final answer of ours.
    pub(crate) incoming: Option<Incoming>,
    /// Our 2xx to the peer's INVITE that has no ACK.
    pub(crate) unacknowledged: Option<Unacknowledged>,
    /// Our INVITE that has no final answer.
    pub(crate) outgoing: Option<ClientTx>,
    /// Answers the peer's challenges, and how many it has had.
    auth: Option<(DigestClient, u8)>,
    /// What an INVITE to the peer says beside its dialog.
    pub(crate) lines: Vec<(String, String)>,
    /// The session's timer, once agreed.
    pub(crate) timer: Option<SessionTimer>,
    /// The shortest interval that the peer takes.
    pub(crate) min_se_s: u32,
    /// The peer takes UPDATE (RFC 3311).
    pub(crate) takes_update: bool,
    /// Our provisional response that waits for its PRACK.
    pub(crate) reliable: Option<Reliable>,
    /// `RSeq` of the next one.
    pub(crate) next_rseq: u32,
    /// The early dialogs that the peer's reliable responses made.
    pub(crate) early: Vec<Early>,
    ssrc: u32,
    first_sequence: u16,
    first_timestamp: u32,
}

/// A peer's INVITE.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) tx: ServerTx,
    pub(crate) request: Box<Request>,
    /// What it offers; `None` where we are to make the offer.
    pub(crate) offer: Option<SessionDescription>,
    /// The peer's wish before it.
    pub(crate) wish_before: Direction,
}

/// A 2xx of ours that waits for its ACK.
#[derive(Debug)]
pub(crate) struct Unacknowledged {
    tx: ServerTx,
    /// The INVITE that it answers.
    request: Box<Request>,
    accepted: Invite2xx,
    /// The ACK brings the answer to our offer.
    pub(crate) awaits_answer: bool,
    /// The call is over: the BYE waits for this ACK (RFC 3261 §15).
    pub(crate) bye_reason: Option<String>,
}

impl Unacknowledged {
    /// A 2xx that leaves now, or left once more.
    pub(crate) fn new(
        exchange: &Exchange,
        now: Nanos,
        (tx, request): (ServerTx, Box<Request>),
        response: Response,
        awaits_answer: bool,
    ) -> Self {
        let accepted = Invite2xx::new(instant(now), response, exchange.timers());
        Self { tx, request, accepted, awaits_answer, bye_reason: None }
    }

    pub(crate) fn with_bye(self, bye_reason: Option<String>) -> Self {
        Self { bye_reason, ..self }
    }

    pub(crate) fn request(&self) -> &Request {
        &self.request
    }

    pub(crate) const fn response(&self) -> &Response {
        self.accepted.response()
    }
}

/// What became of a 2xx that waits for its ACK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waiting {
    /// It still waits.
    Patiently,
    /// The ACK did not come within 64*T1.
    InVain,
}

/// Whom a leg is with, and what was said.
pub(crate) struct LegParts {
    pub(crate) id: PeerId,
    pub(crate) peer: Arc<Peer>,
    pub(crate) home: SipPeer,
    pub(crate) dialog: Dialog,
    pub(crate) negotiation: Negotiation,
}

impl Leg {
    pub(crate) fn new(
        exchange: &mut Exchange,
        (id, peer): (PeerId, Arc<Peer>),
        home: SipPeer,
        dialog: Dialog,
        place: (&Reservation, LegSide),
    ) -> Self {
        let keys = if peer.srtp == SrtpPolicy::Off { KeySeed::default() } else { exchange.key_seed() };
        // RFC 8866 §5.2 wants a number; 53 bits fit every reader's.
        let session_id = exchange.random() >> 11;
        let (first, second) = (exchange.random(), exchange.random());
        let negotiation = negotiation(&peer, session_id, place.0.local(place.1), keys);
        // The upper half stays free, so that the sequence does not wrap in the first ten minutes (RFC 3550 §5.1
        // leaves the choice to us; some receivers mind an early wrap).
        let numbering = (first as u32, (first >> 32) as u16 & 0x7fff, second as u32);
        Self::of(LegParts { id, peer, home, dialog, negotiation }, numbering)
    }

    /// A leg whose packets begin with this SSRC, sequence number and timestamp.
    pub(crate) fn of(parts: LegParts, (ssrc, first_sequence, first_timestamp): (u32, u16, u32)) -> Self {
        let LegParts { id, peer, home, dialog, negotiation } = parts;
        let account = peer.account.as_ref();
        let auth = account.map(|account| (DigestClient::new(account.username.clone(), account.password.clone()), 0));
        Self {
            id,
            home: SipPeer { connection: None, ..home },
            others: Vec::new(),
            flow: home.connection.map(|_| home),
            pinned: None,
            peer,
            dialog,
            is_up: false,
            negotiation,
            wish: Direction::SendRecv,
            holds: false,
            told: Direction::SendRecv,
            stands_in: false,
            has_moved: false,
            offered: Direction::SendRecv,
            incoming: None,
            unacknowledged: None,
            outgoing: None,
            auth,
            lines: Vec::new(),
            timer: None,
            min_se_s: MIN_SE_S,
            takes_update: false,
            reliable: None,
            // RFC 3262 §3: from 1 to 2^31 - 1.
            next_rseq: ssrc % 0x7000_0000 + 1,
            early: Vec::new(),
            ssrc,
            first_sequence,
            first_timestamp,
        }
    }

    /// SSRC, first sequence number and first timestamp.
    pub(crate) const fn numbering(&self) -> (u32, u16, u32) {
        (self.ssrc, self.first_sequence, self.first_timestamp)
    }

    /// Requests, the first one included, take the way to where a registered user is.
    pub(crate) fn reach(&mut self, contact: Option<&Contact>) {
        let Some(contact) = contact else { return };
        self.pinned = contact.is_flow.then_some(contact.to);
        self.dialog.route_set.clone_from(&contact.route_set);
    }

    /// Where requests in the dialog go.
    pub(crate) fn next_hop(&self, exchange: &mut Exchange, now: Nanos) -> SipPeer {
        let is_live = |flow: &SipPeer| flow.connection.is_some_and(|id| exchange.connections.is_live(id));
        self.flow.filter(is_live).or(self.pinned).unwrap_or_else(|| exchange.next_hop(now, &self.dialog, self.home))
    }

    /// The peer's request in the dialog came from there.
    pub(crate) fn heard_from(&mut self, from: SipPeer) {
        if from.transport != Transport::Udp {
            self.flow = Some(from);
        }
    }

    /// Our `Contact` on this side.
    pub(crate) fn contact(&self) -> String {
        let local = self.home.local;
        match self.home.transport.uri_param() {
            Some(transport) => format!("sip:{local};transport={transport}"),
            None => format!("sip:{local}"),
        }
    }

    pub(crate) fn tag(&self) -> &str {
        &self.dialog.id.local_tag
    }

    pub(crate) fn dialog_key(&self) -> (String, String) {
        (self.dialog.id.call_id.clone(), self.dialog.id.local_tag.clone())
    }

    /// What the worker is to do on this leg now.
    pub(crate) fn media(&self) -> LegConfig {
        let agreement = self.negotiation.agreement();
        LegConfig {
            remote: agreement.and_then(|agreed| agreed.remote),
            rtcp: agreement.map_or(RtcpTransport::PortAbove, |agreed| agreed.rtcp),
            format: agreement.map(|agreed| Format {
                in_band_dtmf: self.peer.in_band_dtmf && agreed.format.telephone_event.is_none(),
                ..agreed.format
            }),
            direction: agreement.map_or(Direction::Inactive, |agreed| agreed.direction),
            source: self.peer.media_source,
            reorder_packets: self.peer.reorder_packets,
            echoes: self.peer.rtp_echo,
            ssrc: self.ssrc,
            first_sequence: self.first_sequence,
            first_timestamp: self.first_timestamp,
            crypto: agreement.and_then(|agreed| agreed.crypto),
            ..LegConfig::new(self.negotiation.local())
        }
    }

    /// The crypto suite, where the leg speaks SRTP.
    pub(crate) fn srtp(&self) -> Option<CryptoSuite> {
        self.negotiation.agreement()?.crypto.map(|crypto| crypto.send.suite())
    }

    /// Takes the peer's answer to our offer, and what it says about the peer's own wish.
    pub(crate) fn on_answer(&mut self, body: &[u8]) -> Result<(), Unusable> {
        let offered = self.offered;
        let answer = SessionDescription::parse(body).map_err(|_| Unusable)?;
        let agreed = self.negotiation.on_answer(&answer).map_err(|_| Unusable)?;
        // Where we did not offer to receive, the peer had no choice about sending, and the other way round.
        let sends = if offered.receives() { agreed.direction.receives() } else { self.wish.sends() };
        let receives = if offered.sends() { agreed.direction.sends() } else { self.wish.receives() };
        self.wish = Direction::new(sends, receives);
        Ok(())
    }

    /// Sends the first INVITE; `false` where there is no room for its transaction. `offer` is what the caller speaks, and
    /// which way; `limits` are Max-Forwards and Max-Breadth (RFC 5393 §5.3).
    pub(crate) fn invite(
        &mut self,
        exchange: &mut Exchange,
        now: Nanos,
        (call, side): (CallNumber, LegSide),
        (codecs, wish): (&[Codec], Direction),
        (hops, breadth): (u8, Option<u32>),
    ) -> bool {
        self.told = wish;
        let offer = self.offer(codecs, wish);
        let contact = self.contact();
        let mut request = self.dialog.request(Method::Invite).max_forwards(hops).contact(contact.as_str());
        if let Some(breadth) = breadth {
            request = request.extension("Max-Breadth", &breadth.to_string());
        }
        for (name, value) in &self.lines {
            request = request.extension(name, value);
        }
        let request = request.header(HeaderName::Allow, ALLOW).header(HeaderName::Accept, SDP);
        let request = self.ask_for_timer(request).header(HeaderName::Supported, SUPPORTED).body(SDP, offer);
        let request = self.authorized(exchange, request);
        let invitation = Invitation::new(call, side, self.dialog.clone(), self.home);
        let targets: Vec<SipPeer> =
            std::iter::once(self.home).chain(self.others.iter().copied().filter(|other| *other != self.home)).collect();
        self.outgoing = exchange.request_to(now, &targets, request, Purpose::Invite(invitation));
        self.outgoing.is_some()
    }

    /// A request of ours with the credentials that the peer has asked for so far.
    pub(crate) fn authorized(&mut self, exchange: &mut Exchange, request: RequestBuilder) -> RequestBuilder {
        match &mut self.auth {
            Some((client, _)) => client.authorize(request, exchange.transactions.identifiers()),
            None => request,
        }
    }

    /// The peer challenged a request of ours; whether it is worth sending again.
    pub(crate) fn on_challenge(&mut self, response: &Response) -> bool {
        let Some((client, count)) = &mut self.auth else { return false };
        *count = count.saturating_add(1);
        *count <= MAX_CHALLENGES && client.on_challenge(response).is_ok()
    }

    /// The peer refused a request of ours, and would take it if it were sent again, with what it asks for.
    pub(crate) fn may_ask_again(&mut self, response: &Response) -> bool {
        match response.status() {
            StatusCode::UNAUTHORIZED | StatusCode::PROXY_AUTHENTICATION_REQUIRED => self.on_challenge(response),
            StatusCode::SESSION_INTERVAL_TOO_SMALL => self.take_min_se(response),
            _ => false,
        }
    }

    /// What answers challenges from now on, for a request that outlives this leg.
    pub(crate) fn take_auth(&mut self) -> Option<DigestClient> {
        self.auth.take().map(|(client, _)| client)
    }

    /// An offer of ours: the codec that is spoken now first, then `preferred`, then the rest.
    pub(crate) fn offer(&mut self, preferred: &[Codec], direction: Direction) -> String {
        let spoken = self.negotiation.agreement().map(|agreed| agreed.format.codec);
        let own = self.peer.codecs.iter();
        let shared = own.clone().filter(|codec| preferred.contains(codec));
        let codecs: Vec<Codec> = spoken.iter().chain(shared).chain(own).copied().collect();
        self.offered = direction;
        self.negotiation.offer(&codecs, direction)
    }

    /// A 2xx left; it is repeated until its ACK comes.
    pub(crate) fn await_ack(
        &mut self,
        exchange: &Exchange,
        now: Nanos,
        invite: (ServerTx, Box<Request>),
        response: Response,
        awaits_answer: bool,
    ) {
        self.unacknowledged = Some(Unacknowledged::new(exchange, now, invite, response, awaits_answer));
    }

    /// The ACK to our 2xx; `None` for one that nobody waits for.
    pub(crate) fn on_ack(&mut self, ack: &Request) -> Option<Unacknowledged> {
        self.unacknowledged.take_if(|waiting| waiting.accepted.is_acknowledged_by(ack.cseq_number()))
    }

    /// Repeats the 2xx where that is due.
    pub(crate) fn on_timeout(&mut self, exchange: &mut Exchange, now: Nanos) -> Waiting {
        let Some(waiting) = &mut self.unacknowledged else { return Waiting::Patiently };
        match waiting.accepted.on_timeout(instant(now)) {
            tandem_sip::Invite2xxStep::Wait => Waiting::Patiently,
            tandem_sip::Invite2xxStep::Retransmit => {
                // Where the transaction is gone, the time to give up comes with the next step.
                let _ = exchange.transactions.respond(instant(now), waiting.tx, waiting.accepted.response());
                Waiting::Patiently
            }
            tandem_sip::Invite2xxStep::GiveUp => Waiting::InVain,
        }
    }

    pub(crate) fn deadline(&self) -> Option<Nanos> {
        let ack = self.unacknowledged.as_ref().map(|waiting| nanos(waiting.accepted.deadline()));
        let prack = self.reliable.as_ref().map(Reliable::deadline);
        ack.into_iter().chain(prack).min()
    }
}

/// What a leg with `peer` is able to speak, before anything is said.
pub(crate) fn negotiation(peer: &Peer, session_id: u64, local: SocketAddr, keys: KeySeed) -> Negotiation {
    let capabilities = Capabilities {
        codecs: peer.codecs.clone(),
        ptime_ms: peer.ptime_ms,
        annexb: peer.annexb,
        comfort_noise: peer.comfort_noise,
        telephone_event: peer.telephone_event,
        rtcp_mux: peer.rtcp_mux,
    };
    let security = Security { policy: peer.srtp, suites: peer.srtp_suites.clone(), keys };
    Negotiation::new(session_id, local, capabilities).with_security(security)
}

/// An answer that cannot be read, or does not fit our offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unusable;
