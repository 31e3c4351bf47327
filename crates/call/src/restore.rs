//! Going on with a call that another node had.
//!
//! To its peers nothing happened but, perhaps, a retransmission: an INVITE of a peer is taken up as though it had come just
//! now, an INVITE of ours is sent as it was, and every answer to either finds the call. What was said on the other node and
//! did not get through is asked for again by whoever misses it.
//!
//! Where this node has other media addresses than the one before, as in another zone, both peers are told by re-INVITE.

use std::net::SocketAddr;
use std::sync::Arc;

use tandem_contract::{Command, LegPosition, LegSide, Nanos};
use tandem_registrar::Target as Contact;
use tandem_sdp::SessionDescription;
use tandem_sip::{
    DialogState, HeaderName, Limits as SipLimits, Message, Method, Peer as SipPeer, Request, Response, StatusCode,
    Transport,
};
use thiserror::Error;

use crate::call::{Call, Then};
use crate::config::{HuntPolicy, Peer, PeerId};
use crate::ending::Ending;
use crate::exchange::{Exchange, Invitation, Purpose, instant};
use crate::hunt::Hunt;
use crate::leg::{Incoming, Leg, LegParts, Unacknowledged};
use crate::media_pool::Reservation;
use crate::output::CallNumber;
use crate::record::{CallRecord, Ended};
use crate::replica::{CandidateReplica, HuntReplica, LegReplica, Replica, ThenReplica, Way, Wire};
use crate::routing::Candidate;
use crate::session_timer::SessionTimer;
use crate::standby::{AtHand, positions};
use crate::transfer::Transfer;

/// How long an answer is repeated by who gave it: 64*T1 (RFC 3261 §13.3.1.4).
const ANSWER_REPEATED_MS: u64 = 32_000;

/// Why a call cannot go on here. Nothing of it was taken up.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RestoreError {
    /// The configurations of the two nodes differ.
    #[error("peer `{0}` is not configured here: nodes that take over from each other need the same peers")]
    UnknownPeer(String),
    /// The same.
    #[error("no worker here has both media ports {} and {}: nodes that take over from each other need as many workers and the same port range", .0[0], .0[1])]
    NoSuchPorts([SocketAddr; 2]),
    /// Another call has the ports, or this one is here already.
    #[error("the media ports {} and {} are in use", .0[0], .0[1])]
    PortsTaken([SocketAddr; 2]),
    /// No slot is left.
    #[error("no worker slot is left for it")]
    NoSlot,
    /// A message in it cannot be read.
    #[error("a SIP message in the replica is damaged")]
    DamagedMessage,
}

/// How far the media of a call had come, and how long ago that was, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MediaPosition {
    /// Leg A, leg B.
    pub legs: [LegPosition; 2],
    /// Its age: numbers jump ahead by what may have been sent since.
    pub age_ms: u64,
}

/// A message of the replica, read.
struct Messages {
    incoming: Option<Request>,
    unacknowledged: Option<(Request, Response)>,
    outgoing: Option<Request>,
}

impl Messages {
    fn of(leg: &LegReplica) -> Result<Self, RestoreError> {
        let unacknowledged = leg.unacknowledged.as_ref();
        Ok(Self {
            incoming: leg.incoming.as_ref().map(|incoming| request(&incoming.request)).transpose()?,
            unacknowledged: unacknowledged
                .map(|waiting| Ok((request(&waiting.request)?, response(&waiting.response)?)))
                .transpose()?,
            outgoing: leg.outgoing.as_ref().map(|outgoing| request(&outgoing.request)).transpose()?,
        })
    }
}

fn request(wire: &Wire) -> Result<Request, RestoreError> {
    match Message::parse(wire.octets(), &SipLimits::default()) {
        Ok(Message::Request(request)) => Ok(request),
        _ => Err(RestoreError::DamagedMessage),
    }
}

fn response(wire: &Wire) -> Result<Response, RestoreError> {
    match Message::parse(wire.octets(), &SipLimits::default()) {
        Ok(Message::Response(response)) => Ok(response),
        _ => Err(RestoreError::DamagedMessage),
    }
}

/// A moment of another node's, on our clock.
fn moment(exchange: &Exchange, now: Nanos, unix_millis: u64) -> Nanos {
    let unix_now = exchange.config.wall_clock.unix_millis(now);
    let ns = |millis: u64| millis.saturating_mul(1_000_000);
    match unix_millis.checked_sub(unix_now) {
        Some(ahead) => now.plus(ns(ahead)),
        None => Nanos(now.0.saturating_sub(ns(unix_now - unix_millis))),
    }
}

impl Call {
    /// Takes a call up. `position` is how far its media had come, where that is known.
    pub(crate) fn restore(
        exchange: &mut Exchange,
        now: Nanos,
        replica: &Replica,
        position: Option<MediaPosition>,
    ) -> Result<Box<Self>, RestoreError> {
        let [a, b] = &replica.legs;
        let peers = Self::peers_of(exchange, replica)?;
        let mut messages = [Messages::of(a)?, Messages::of(b)?];
        let further = |leg: &LegReplica| Ok((known_peer(exchange, &leg.peer)?, Messages::of(leg)?));
        let rivals = replica.rivals.iter().map(further).collect::<Result<Vec<_>, RestoreError>>()?;
        let target = replica.transfer.as_ref().map(|transfer| further(&transfer.target)).transpose()?;
        let has_moved = !replica.media().iter().all(|local| exchange.has_media_address(local.ip()));
        if has_moved {
            exchange.dismiss(replica.media());
        }
        let at_hand = exchange.standby.remove(&replica.media());
        let reservation = if let Some(at_hand) = &at_hand {
            at_hand.reservation
        } else if has_moved {
            let addresses = peers.each_ref().map(|(_, peer)| peer.media_address);
            exchange.reserve(now, addresses, None).ok_or(RestoreError::NoSlot)?
        } else {
            exchange.claim(replica.media())?
        };
        exchange.admission.admit_always(peers[0].0, peers[1].0);
        let number = exchange.number_call();
        let mut call = Self::of_replica(exchange, now, replica, peers, reservation);
        (call.number, call.record.number) = (number, number);
        if has_moved {
            for side in LegSide::BOTH {
                let local = reservation.local(side);
                let leg = call.leg_mut(side);
                leg.negotiation.move_to(local);
                leg.has_moved = true;
            }
        }
        for side in LegSide::BOTH {
            exchange.dialogs.insert(call.leg(side).dialog_key(), (number, side));
        }
        call.resume_media(exchange, now, (replica, position), at_hand.as_ref());
        exchange.restore_recording(now, &call, replica.recording.as_ref());
        let mut is_whole = true;
        for side in LegSide::BOTH {
            let leg = &replica.legs[side.index()];
            is_whole &= call.resume_transactions(exchange, now, side, (leg, &mut messages[side.index()]));
        }
        for (leg, (peer, messages)) in replica.rivals.iter().zip(rivals) {
            let (rival, is_calling) = call.resume_further(exchange, now, LegSide::B, peer, (leg, messages));
            is_whole &= is_calling;
            call.rivals.push(rival);
        }
        if let Some((transfer, (peer, messages))) = replica.transfer.as_ref().zip(target) {
            let further = (&transfer.target, messages);
            let (target, is_calling) = call.resume_further(exchange, now, transfer.side, peer, further);
            is_whole &= is_calling;
            let (side, refer, until) = (transfer.side, transfer.refer, moment(exchange, now, transfer.until));
            call.transfer = Some(Transfer { side, target: Box::new(target), refer, until });
        }
        call.repeat_ack(exchange, now);
        if !is_whole {
            let ending = Ending::gateway(StatusCode::SERVICE_UNAVAILABLE, "too many SIP transactions after a takeover");
            call.end(exchange, now, ending, None);
        }
        Ok(call)
    }

    /// Caller and callee of a replica, as they are configured here.
    pub(crate) fn peers_of(exchange: &Exchange, replica: &Replica) -> Result<[(PeerId, Arc<Peer>); 2], RestoreError> {
        let [a, b] = &replica.legs;
        Ok([known_peer(exchange, &a.peer)?, known_peer(exchange, &b.peer)?])
    }

    /// The call as it was, without a number and without anything that was under way.
    pub(crate) fn of_replica(
        exchange: &Exchange,
        now: Nanos,
        replica: &Replica,
        [ours, theirs]: [(PeerId, Arc<Peer>); 2],
        reservation: Reservation,
    ) -> Box<Self> {
        let [a, b] = &replica.legs;
        let mut call = Box::new(Self::new(
            CallNumber(0),
            moment(exchange, now, replica.started),
            [leg(exchange, now, ours, a), leg(exchange, now, theirs, b)],
            reservation,
            replica.record.clone(),
            replica.max_forwards,
            replica.caller_codecs.clone(),
            resume_hunt(exchange, now, replica.hunt.as_ref()),
        ));
        let at = |unix: Option<u64>| unix.map(|unix| moment(exchange, now, unix));
        call.answered = at(replica.answered);
        call.no_answer_at = at(replica.no_answer_at);
        call.hang_up_at = at(replica.hang_up_at);
        call.retry_at = replica.retries.then_some(now);
        call.phase = replica.phase;
        call.is_ringing = replica.is_ringing;
        call.first_answer.clone_from(&replica.first_answer);
        call.change = replica.change;
        call.functions = replica.functions;
        call.recorder.clone_from(&replica.recorder);
        call
    }

    /// Asks the worker to go on with the flow, or, where it does already, to take it for the call's.
    fn resume_media(
        &mut self,
        exchange: &mut Exchange,
        now: Nanos,
        (replica, position): (&Replica, Option<MediaPosition>),
        at_hand: Option<&AtHand>,
    ) {
        let Reservation { worker, flow, .. } = self.media.reservation;
        let legs = self.resume_with(exchange, now, then(&replica.then), at_hand.is_some());
        let epoch = self.media.epoch();
        if at_hand.is_some_and(|at_hand| at_hand.goes_on) {
            return exchange.command(worker, Command::UpdateFlow { flow, epoch, legs });
        }
        let began = self.answered.unwrap_or(self.started);
        let positions = positions(&legs, position.unwrap_or_else(|| MediaPosition::unknown(now, began)));
        exchange.command(worker, Command::ResumeFlow { flow, epoch, legs, positions });
    }

    /// Takes up what was under way between a peer and us; `false` where there is no room for it.
    fn resume_transactions(
        &mut self,
        exchange: &mut Exchange,
        now: Nanos,
        side: LegSide,
        (replica, messages): (&LegReplica, &mut Messages),
    ) -> bool {
        let number = self.number;
        let home = self.leg(side).home;
        if let (Some(incoming), Some(request)) = (&replica.incoming, messages.incoming.take()) {
            let mut request = Box::new(request);
            request.set_source(incoming.source);
            let taken = exchange.transactions.resume_server(instant(now), origin(home, &request), (*request).clone());
            let Some(tx) = taken else { return false };
            exchange.invites.insert(tx, (number, side));
            let offer = if incoming.has_offer { SessionDescription::parse(request.body()).ok() } else { None };
            self.leg_mut(side).incoming = Some(Incoming { tx, request, offer, wish_before: incoming.wish_before });
        }
        if let (Some(waiting), Some((mut request, response))) =
            (&replica.unacknowledged, messages.unacknowledged.take())
        {
            request.set_source(waiting.source);
            let taken = exchange.transactions.resume_server(instant(now), origin(home, &request), request.clone());
            let Some(tx) = taken else { return false };
            // Whoever has it already acknowledges it again.
            let _ = exchange.transactions.respond(instant(now), tx, &response);
            let waits = Unacknowledged::new(exchange, now, (tx, Box::new(request)), response, waiting.awaits_answer);
            self.leg_mut(side).unacknowledged = Some(waits.with_bye(waiting.bye_reason.clone()));
        }
        resume_invite(exchange, now, (number, side), self.leg_mut(side), (replica, messages.outgoing.take()))
    }

    /// A callee that is called beside the two legs; whether there was room for its INVITE.
    fn resume_further(
        &self,
        exchange: &mut Exchange,
        now: Nanos,
        side: LegSide,
        peer: (PeerId, Arc<Peer>),
        (replica, messages): (&LegReplica, Messages),
    ) -> (Leg, bool) {
        let mut further = leg(exchange, now, peer, replica);
        exchange.admission.join_always(self.leg(side.other()).id, further.id);
        exchange.dialogs.insert(further.dialog_key(), (self.number, side));
        let invite = (replica, messages.outgoing);
        let is_calling = resume_invite(exchange, now, (self.number, side), &mut further, invite);
        (further, is_calling)
    }

    /// The callee repeats its 200 until it has an ACK, and the one that was sent may not have reached it.
    fn repeat_ack(&self, exchange: &mut Exchange, now: Nanos) {
        let leg = self.leg(LegSide::B);
        let is_recent = self.answered.is_none_or(|answered| now.since(answered) / 1_000_000 < ANSWER_REPEATED_MS);
        let Some(cseq) = leg.dialog.local_cseq.filter(|_| leg.is_up && is_recent && leg.outgoing.is_none()) else {
            return;
        };
        let to = leg.next_hop(exchange, now);
        let _ = exchange.transactions.send_ack(to, leg.dialog.ack(cseq));
    }
}

/// Sends our INVITE as it was, where it has no final answer; `false` where there is no room for it.
fn resume_invite(
    exchange: &mut Exchange,
    now: Nanos,
    (number, side): (CallNumber, LegSide),
    leg: &mut Leg,
    (replica, request): (&LegReplica, Option<Request>),
) -> bool {
    let Some((outgoing, request)) = replica.outgoing.as_ref().zip(request) else { return true };
    let to = SipPeer::new(outgoing.transport, leg.home.local, outgoing.to);
    let Ok(tx) = exchange.transactions.resume_client(instant(now), to, request) else { return false };
    let invitation = Invitation::new(number, side, leg.dialog.clone(), leg.home);
    exchange.requests.insert(tx, Purpose::Invite(invitation));
    leg.outgoing = Some(tx);
    true
}

/// Who is still to be called; peers that are not configured here are not.
fn resume_hunt(exchange: &Exchange, now: Nanos, replica: Option<&HuntReplica>) -> Hunt {
    let Some(replica) = replica else { return Hunt::new(Default::default(), HuntPolicy::default(), None) };
    let candidate = |candidate: &CandidateReplica| {
        let (peer, config) = exchange.routing.peer_named(&candidate.peer)?;
        let contact = candidate.contact.as_ref().map(|contact| Contact {
            uri: contact.uri.clone(),
            to: peer_at(contact.to),
            is_flow: contact.is_flow,
            route_set: contact.route_set.clone(),
            q: contact.q,
            key: contact.key.clone(),
        });
        Some(Candidate { peer, config, uri: candidate.uri.clone(), contact })
    };
    Hunt {
        waiting: replica.waiting.iter().filter_map(candidate).collect(),
        policy: replica.policy.clone(),
        breadth: replica.breadth,
        next_at: replica.next_at.map(|at| moment(exchange, now, at)),
        heard: replica.heard,
        best: replica.best.clone(),
    }
}

/// A call that was over on the other node: its record is written here, and whoever may not have heard is told.
pub(crate) fn finish(exchange: &mut Exchange, now: Nanos, replica: &Replica) -> CallNumber {
    let number = exchange.number_call();
    for (leg, by) in replica.legs.iter().zip([Ended::Caller, Ended::Callee]) {
        let hung_up = replica.record.ended_by == by;
        let mut dialog = leg.dialog.clone();
        if !hung_up && dialog.state == DialogState::Confirmed {
            let to = exchange.next_hop(now, &dialog, peer_at(leg.home));
            let reason = format!("Q.850;cause={}", replica.record.q850);
            let bye = dialog.request(Method::Bye).header(HeaderName::Reason, &reason);
            exchange.request(now, to, bye, Purpose::Bye(None));
        }
    }
    if let Some(recording) = &replica.recording {
        exchange.finish_recording(now, recording);
    }
    if !replica.is_recorded {
        exchange.unconfirmed.insert(number);
        exchange.record(CallRecord { number, ..replica.record.clone() });
    }
    number
}

fn known_peer(exchange: &Exchange, name: &str) -> Result<(PeerId, Arc<Peer>), RestoreError> {
    exchange.routing.peer_named(name).ok_or_else(|| RestoreError::UnknownPeer(name.to_owned()))
}

const fn peer_at((transport, local, remote): Way) -> SipPeer {
    SipPeer::new(transport, local, remote)
}

/// Where a request came from. Its connection is gone: responses go to where Via says (RFC 3261 §18.2.2).
fn origin(home: SipPeer, request: &Request) -> SipPeer {
    let source = request.source().unwrap_or(home.remote);
    if home.transport == Transport::Udp {
        return SipPeer::udp(home.local, source);
    }
    let via = request.top_via();
    let ip = via.host.trim_matches(['[', ']']).parse().unwrap_or(source.ip());
    let port = via.port.unwrap_or(home.transport.default_port());
    SipPeer::new(home.transport, home.local, SocketAddr::new(ip, port))
}

fn leg(exchange: &Exchange, now: Nanos, (id, peer): (PeerId, Arc<Peer>), replica: &LegReplica) -> Leg {
    let home = peer_at(replica.home);
    let numbering = (replica.ssrc, replica.first_sequence, replica.first_timestamp);
    let parts = LegParts { id, peer, home, dialog: replica.dialog.clone(), negotiation: replica.negotiation.clone() };
    let mut leg = Leg::of(parts, numbering);
    // The last request may have been taken and not answered: it comes again, and is not out of order (RFC 3261 §12.2.2).
    leg.dialog.remote_cseq = leg.dialog.remote_cseq.map(|last| last.saturating_sub(1));
    leg.is_up = replica.is_up;
    leg.wish = replica.wish;
    leg.holds = replica.holds;
    leg.told = replica.told;
    leg.stands_in = replica.stands_in;
    leg.has_moved = replica.has_moved;
    leg.offered = replica.offered;
    leg.pinned = replica.pinned.map(peer_at);
    leg.lines.clone_from(&replica.lines);
    leg.timer = replica.timer.as_ref().map(|timer| SessionTimer {
        interval_s: timer.interval_s,
        refresh_at: timer.refresh_at.map(|at| moment(exchange, now, at)),
        ends_at: moment(exchange, now, timer.ends_at),
    });
    leg.min_se_s = replica.min_se_s.unwrap_or(leg.min_se_s);
    leg.takes_update = replica.takes_update;
    leg.next_rseq = replica.next_rseq.unwrap_or(leg.next_rseq);
    leg
}

fn then(replica: &ThenReplica) -> Then {
    match replica {
        ThenReplica::InviteCallee => Then::InviteCallee,
        ThenReplica::Progress => Then::Progress,
        ThenReplica::AnswerCaller => Then::AnswerCaller,
        ThenReplica::AnswerChange { leg, body, before } => {
            Then::AnswerChange { leg: *leg, body: body.clone(), before: before.clone() }
        }
        ThenReplica::Settle => Then::Settle,
    }
}
