//! One side of a call: a dialog with a peer, and what was agreed with it on media.

use std::net::SocketAddr;
use std::sync::Arc;

use tandem_contract::{Codec, CryptoSuite, Direction, Format, LegConfig, LegSide, Nanos, RtcpTransport};
use tandem_sdp::{Capabilities, KeySeed, Negotiation, Security, SessionDescription, SrtpPolicy};
use tandem_sip::{ClientTx, Dialog, Invite2xx, Peer as SipPeer, Request, Response, ServerTx, Transport};

use crate::config::{Peer, PeerId};
use crate::exchange::{Exchange, instant, nanos};
use crate::media_pool::Reservation;

/// One side of a call.
#[derive(Debug)]
pub(crate) struct Leg {
    pub(crate) id: PeerId,
    pub(crate) peer: Arc<Peer>,
    /// Where the peer is reached outside of dialogs.
    pub(crate) home: SipPeer,
    /// The connection that the peer's latest request in the dialog came by. While it lives, ours leave by it: behind
    /// address translation there is no other way to the peer.
    pub(crate) flow: Option<SipPeer>,
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
    /// The direction of our latest offer.
    pub(crate) offered: Direction,
    /// The peer's INVITE that has no final answer of ours.
    pub(crate) incoming: Option<Incoming>,
    /// Our 2xx to the peer's INVITE that has no ACK.
    pub(crate) unacknowledged: Option<Unacknowledged>,
    /// Our INVITE that has no final answer.
    pub(crate) outgoing: Option<ClientTx>,
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
        Self {
            id,
            home: SipPeer { connection: None, ..home },
            flow: home.connection.map(|_| home),
            peer,
            dialog,
            is_up: false,
            negotiation,
            wish: Direction::SendRecv,
            holds: false,
            told: Direction::SendRecv,
            offered: Direction::SendRecv,
            incoming: None,
            unacknowledged: None,
            outgoing: None,
            ssrc,
            first_sequence,
            first_timestamp,
        }
    }

    /// SSRC, first sequence number and first timestamp.
    pub(crate) const fn numbering(&self) -> (u32, u16, u32) {
        (self.ssrc, self.first_sequence, self.first_timestamp)
    }

    /// Where requests in the dialog go.
    pub(crate) fn next_hop(&self, exchange: &Exchange) -> SipPeer {
        let is_live = |flow: &SipPeer| flow.connection.is_some_and(|id| exchange.connections.is_live(id));
        self.flow.filter(is_live).unwrap_or_else(|| exchange.next_hop(&self.dialog, self.home))
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
        self.unacknowledged.as_ref().map(|waiting| nanos(waiting.accepted.deadline()))
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
