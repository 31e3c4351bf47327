//! From the caller's INVITE to the 200 it gets.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;

use tandem_contract::{Direction, LegSide, Nanos};
use tandem_sdp::{KeySeed, MediaDescription, SessionDescription};
use tandem_sip::uas;
use tandem_sip::{
    ClientTx, Dialog, DialogId, DialogState, HeaderName, Peer as SipPeer, Request, Response, ServerTx, StatusCode,
    Transport, unescape,
};

use crate::call::{Call, Phase, Then};
use crate::cause::q850;
use crate::config::{HuntMode, Peer, PeerId};
use crate::ending::Ending;
use crate::exchange::{ALLOW, EXTENSIONS, Exchange, METHODS, SDP, SUPPORTED, seconds};
use crate::hunt::Hunt;
use crate::identity::presented;
use crate::leg::{Incoming, Leg, negotiation};
use crate::media_pool::Reservation;
use crate::record::{CallRecord, Ended};
use crate::routing::{Candidate, NoDestination, Plan, Query};
use crate::session_timer;
use crate::stir::{IdentityRecord, IdentityVerdict};

/// Why a call attempt goes no further.
pub(crate) enum Refused {
    /// A rule of RFC 3261 §8.2, with a response of its own.
    ByRule(uas::Refusal),
    /// The session is to be refreshed too often (RFC 4028 §9).
    TooBrief,
    /// One of our own reasons.
    Because { status: StatusCode, reason: Cow<'static, str>, retry_after_s: Option<u32> },
}

impl Refused {
    fn because(status: StatusCode, reason: impl Into<Cow<'static, str>>) -> Self {
        Self::Because { status, reason: reason.into(), retry_after_s: None }
    }
}

/// What the caller's INVITE came to, once nothing speaks against the call.
struct Attempt {
    plan: Plan,
    caller: (PeerId, Arc<Peer>),
    caller_dialog: Dialog,
    offer: Option<SessionDescription>,
    /// Of the caller's Max-Breadth, or the usual one where we are to fork (RFC 5393 §5.3.3).
    breadth: Option<u32>,
}

/// What Max-Breadth is where the caller says nothing (RFC 5393 §5.3.3.1).
const MAX_BREADTH: u32 = 60;

impl Call {
    /// An INVITE outside of dialogs came from a known peer: a new call, or a refusal and its record.
    pub(crate) fn begin(
        exchange: &mut Exchange,
        now: Nanos,
        (tx, request): (ServerTx, Request),
        (source, from): (PeerId, SipPeer),
    ) -> Option<Box<Self>> {
        exchange.counters.attempts += 1;
        let number = exchange.number_call();
        let tag = exchange.tag();
        let mut record = CallRecord::begin(number, exchange.config.wall_clock.unix_millis(now), &request);
        if let Some(peer) = exchange.routing.peer(source) {
            record.caller.peer.clone_from(&peer.name);
        }
        let admitted = Attempt::of(exchange, now, &request, source, &tag, &mut record).and_then(|attempt| {
            let call = Self::admit(exchange, now, number, &attempt, (&request, from), record.clone())?;
            Ok((call, attempt.offer))
        });
        match admitted {
            Ok((mut call, offer)) => {
                // Its next hop may be a name, which is known then by the time that it is needed.
                call.leg(LegSide::A).next_hop(exchange, now);
                exchange.dialogs.insert(call.leg(LegSide::A).dialog_key(), (number, LegSide::A));
                exchange.dialogs.insert(call.leg(LegSide::B).dialog_key(), (number, LegSide::B));
                exchange.invites.insert(tx, (number, LegSide::A));
                let wish_before = Direction::SendRecv;
                call.leg_mut(LegSide::A).incoming =
                    Some(Incoming { tx, request: Box::new(request), offer, wish_before });
                call.install(exchange, now);
                Some(call)
            }
            Err(refused) => {
                let (status, reason) = refused.tell(exchange, now, tx, &request, &tag);
                exchange.counters.failed += 1;
                record.status = status.as_u16();
                record.reason = reason;
                record.q850 = q850(status.as_u16());
                record.ended = record.started;
                exchange.unconfirmed.insert(number);
                exchange.record(record);
                None
            }
        }
    }

    fn admit(
        exchange: &mut Exchange,
        now: Nanos,
        number: crate::CallNumber,
        attempt: &Attempt,
        (request, from): (&Request, SipPeer),
        record: CallRecord,
    ) -> Result<Box<Self>, Refused> {
        let retry_after_s = Some(exchange.config.limits.retry_after_s);
        let busy = |reason: crate::admission::Refused| Refused::Because {
            status: StatusCode::SERVICE_UNAVAILABLE,
            reason: reason.reason().into(),
            retry_after_s,
        };
        let (a_id, a) = &attempt.caller;
        if let Err(reason) = exchange.admission.enter(&exchange.config.limits, (*a_id, a)) {
            exchange.counters.refused_busy += 1;
            return Err(busy(reason));
        }
        let audio = attempt.offer.as_ref().and_then(|offer| offer.media.iter().find(|media| media.is_usable_audio()));
        let heard_from = audio.and_then(MediaDescription::remote);
        let mut waiting = VecDeque::from(attempt.plan.candidates.clone());
        let mut refused = busy(crate::admission::Refused::TooManyForPeer);
        let taken = loop {
            let Some(candidate) = waiting.pop_front() else { break None };
            let Ok(ways) = exchange.ways_to_candidate(now, &candidate) else {
                refused = Refused::because(StatusCode::SERVICE_UNAVAILABLE, "the callee's host name leads nowhere");
                continue;
            };
            if let Err(reason) = exchange.admission.join(*a_id, (candidate.peer, &candidate.config)) {
                exchange.trunks.on_full(candidate.peer);
                refused = busy(reason);
                continue;
            }
            if exchange.trunks.admit(now, candidate.peer) {
                let places = [a.media_address, candidate.config.media_address];
                if let Some(reservation) = exchange.reserve(now, places, heard_from) {
                    break Some((candidate, ways, reservation));
                }
                refused = busy(crate::admission::Refused::NoMediaCapacity);
            }
            exchange.admission.part(*a_id, candidate.peer);
        };
        let Some((candidate, ways, reservation)) = taken else {
            exchange.admission.leave(*a_id);
            let is_busy = matches!(refused, Refused::Because { retry_after_s: Some(_), .. });
            exchange.counters.refused_busy += u64::from(is_busy);
            return Err(refused);
        };
        let caller = (*a_id, Arc::clone(a));
        let mut a = caller_leg(exchange, caller, from, attempt.caller_dialog.clone(), (&reservation, LegSide::A));
        let caller = (request, &*a.peer, record.identity.as_ref());
        let b = callee_leg(exchange, now, caller, (&candidate, ways), &reservation);
        let mut record = record;
        record.routed_uri = candidate.uri.to_string();
        record.callee.peer.clone_from(&b.peer.name);
        let review = attempt.offer.as_ref().and_then(|offer| a.negotiation.review(offer).ok());
        if let Some(review) = &review {
            a.wish = mirrored(review.direction);
        }
        let codecs = review.map_or_else(|| a.peer.codecs.clone(), |review| review.codecs);
        let hops = request.max_forwards().unwrap_or(70).saturating_sub(1);
        let hunt = Hunt::new(waiting, attempt.plan.hunt.clone(), attempt.breadth);
        let mut call = Box::new(Self::new(number, now, [a, b], reservation, record, hops, codecs, hunt));
        call.recorder.clone_from(&attempt.plan.recorder);
        Ok(call)
    }

    /// The callee answered our first INVITE provisionally.
    pub(crate) fn on_callee_progress(&mut self, exchange: &mut Exchange, now: Nanos, response: &Response) {
        if self.phase != Phase::Calling || response.status() == StatusCode::TRYING {
            return;
        }
        self.is_ringing = true;
        let has_media = !response.body().is_empty() && self.has_caller_offer();
        if has_media
            && self.leg_mut(LegSide::B).on_answer(response.body()).is_ok()
            && self.make_first_answer(Direction::SendRecv)
        {
            self.update_media(exchange, now, Then::Progress);
            return;
        }
        // 181 and 182 speak of the callee's network; to the caller they are what they are.
        self.send_provisional(exchange, now, response.status(), None);
    }

    /// One of several callees rings, and nobody did before.
    pub(crate) fn on_callee_ringing(&mut self, exchange: &mut Exchange, now: Nanos, status: StatusCode) {
        self.is_ringing = true;
        self.send_provisional(exchange, now, status, None);
    }

    /// Our answer to the caller, now that the worker listens for its media (RFC 3960 §3).
    pub(crate) fn send_progress(&mut self, exchange: &mut Exchange, now: Nanos) {
        let body = self.first_answer.clone();
        self.send_provisional(exchange, now, StatusCode::SESSION_PROGRESS, body);
    }

    /// The callee accepted. `tx` and the response make the dialog; the ACK leaves at once, since the answer is here.
    pub(crate) fn on_callee_answer(&mut self, exchange: &mut Exchange, now: Nanos, tx: ClientTx, response: &Response) {
        let has_early_answer = self.leg(LegSide::B).negotiation.agreement().is_some();
        let leg = self.leg_mut(LegSide::B);
        leg.outgoing = None;
        response.to_tag().unwrap_or_default().clone_into(&mut leg.dialog.id.remote_tag);
        if leg.dialog.confirm(response).is_err() {
            // Without a usable Contact there is nobody to talk to; the way the INVITE went is the best guess.
            leg.dialog.state = DialogState::Confirmed;
        }
        leg.is_up = true;
        leg.early.clear();
        leg.take_timer(now, response);
        let to = leg.next_hop(exchange, now);
        let dialog = leg.dialog.clone();
        exchange.acknowledge(tx, &dialog, to, response.cseq_number());
        let answered = if response.body().is_empty() && has_early_answer {
            Ok(())
        } else {
            self.leg_mut(LegSide::B).on_answer(response.body())
        };
        if answered.is_err() {
            return self.end_for_misfit(exchange, now);
        }
        self.take_call(exchange, now);
    }

    fn end_for_misfit(&mut self, exchange: &mut Exchange, now: Nanos) {
        let ending = Ending::gateway(StatusCode::NOT_ACCEPTABLE_HERE, "the callee's answer does not fit our offer");
        self.end(exchange, now, ending, None);
    }

    /// Somebody is on leg B: the caller is answered once the worker carries what was agreed.
    pub(crate) fn take_call(&mut self, exchange: &mut Exchange, now: Nanos) {
        let callee_wish = self.leg(LegSide::B).wish;
        if self.has_caller_offer() && !self.make_first_answer(callee_wish) {
            return self.end_for_misfit(exchange, now);
        }
        self.no_answer_at = None;
        self.phase = Phase::Answering;
        self.update_media(exchange, now, Then::AnswerCaller);
    }

    /// The worker carries the agreed media: the caller gets its 200.
    pub(crate) fn answer_caller(&mut self, exchange: &mut Exchange, now: Nanos) {
        if self.answer_waits() {
            return;
        }
        let codec = self.codec(LegSide::B);
        let callee_wish = self.leg(LegSide::B).wish;
        let first_answer = self.first_answer.take();
        let leg = self.leg_mut(LegSide::A);
        let Some(incoming) = leg.incoming.take() else { return };
        let awaits_answer = first_answer.is_none();
        let body = first_answer.unwrap_or_else(|| {
            leg.told = callee_wish;
            leg.offer(codec.as_slice(), callee_wish)
        });
        leg.dialog.confirm_as_uas();
        leg.is_up = true;
        let response = exchange
            .response(&incoming.request, StatusCode::OK, leg.tag())
            .contact(leg.contact().as_str())
            .header(HeaderName::Allow, ALLOW)
            .header(HeaderName::Supported, SUPPORTED)
            .body(SDP, body);
        let response = leg.grant_timer(now, &incoming.request, response);
        leg.reliable = None;
        if let Some(response) = exchange.respond(now, incoming.tx, response) {
            leg.await_ack(exchange, now, (incoming.tx, incoming.request), response, awaits_answer);
        }
        self.phase = Phase::Answered;
        self.answered = Some(now);
        self.record.status = StatusCode::OK.as_u16();
        let longest = exchange.config.timeouts.max_call_s;
        self.hang_up_at = (longest > 0).then(|| now.plus(seconds(longest)));
        exchange.counters.answered += 1;
        exchange.begin_recording(now, self);
    }

    /// The caller gave up before the answer.
    pub(crate) fn on_cancel(&mut self, exchange: &mut Exchange, now: Nanos, leg: LegSide) {
        if self.answered.is_some() {
            self.cancel_change(exchange, now, leg);
            return;
        }
        exchange.counters.cancelled += 1;
        let ending = Ending {
            status: StatusCode::REQUEST_TERMINATED,
            q850: 16,
            reason: "the caller gave up".into(),
            by: Ended::Caller,
        };
        self.end(exchange, now, ending, None);
    }

    fn has_caller_offer(&self) -> bool {
        self.leg(LegSide::A).incoming.as_ref().is_some_and(|incoming| incoming.offer.is_some())
    }

    /// Answers the caller's offer once, with the callee's codec where it can; `false` where that does not work.
    ///
    /// An answer told early has to stand before the callee has said its last word, so it shows no hold; `settle` tells
    /// the caller of one.
    fn make_first_answer(&mut self, callee_wish: Direction) -> bool {
        if self.first_answer.is_some() {
            return true;
        }
        let codec = self.codec(LegSide::B);
        let leg = &mut self.legs[LegSide::A.index()];
        let Some(offer) = leg.incoming.as_ref().and_then(|incoming| incoming.offer.as_ref()) else { return false };
        match leg.negotiation.answer(offer, codec.as_slice(), callee_wish) {
            Ok((body, _)) => {
                leg.told = callee_wish;
                self.first_answer = Some(body);
                true
            }
            Err(_) => false,
        }
    }
}

impl Attempt {
    fn of(
        exchange: &mut Exchange,
        now: Nanos,
        request: &Request,
        source: PeerId,
        tag: &str,
        record: &mut CallRecord,
    ) -> Result<Self, Refused> {
        let understood = uas::Capabilities { methods: METHODS, option_tags: EXTENSIONS, content_types: &[SDP] };
        uas::check(request, &understood).map_err(Refused::ByRule)?;
        if session_timer::is_too_brief(request) {
            return Err(Refused::TooBrief);
        }
        let caller_dialog = Dialog::uas(request, tag, DialogState::Early)
            .map_err(|error| Refused::because(StatusCode::BAD_REQUEST, format!("Bad Request - {error}")))?;
        let no_route = || Refused::because(StatusCode::NOT_FOUND, "no route to this destination");
        let caller = exchange.routing.peer(source).cloned().ok_or_else(no_route)?;
        record.identity = exchange
            .check_identity(now, request, &caller)
            .map_err(|(status, reason)| Refused::because(status, reason))?;
        let identity = record.identity.as_ref().map_or(IdentityVerdict::None, |record| record.verdict);
        let offer = offer_of(request, &caller)?;
        let plan = plan_of(exchange, now, request, (source, &caller, identity), offer.as_ref());
        let plan = plan.map_err(|error| match error {
            NoDestination::NoRoute => no_route(),
            NoDestination::AddressIncomplete => Refused::because(
                StatusCode::ADDRESS_INCOMPLETE,
                "nothing is left of the number after the route's rewriting",
            ),
            NoDestination::UnknownUser => Refused::because(StatusCode::NOT_FOUND, "no such user"),
            NoDestination::UserAway => {
                Refused::because(StatusCode::TEMPORARILY_UNAVAILABLE, "the user is not registered")
            }
        })?;
        record.route.clone_from(&plan.route);
        let asked = request.extension("Max-Breadth").and_then(|breadth| breadth.trim().parse::<u32>().ok());
        if asked == Some(0) {
            return Err(Refused::because(StatusCode::MAX_BREADTH_EXCEEDED, "Max-Breadth is used up"));
        }
        let forks = plan.hunt.mode == HuntMode::Parallel && plan.candidates.len() > 1;
        let breadth = if forks { Some(asked.unwrap_or(MAX_BREADTH)) } else { asked };
        Ok(Self { plan, caller: (source, caller), caller_dialog, offer, breadth })
    }
}

fn plan_of(
    exchange: &mut Exchange,
    now: Nanos,
    request: &Request,
    (source, caller, identity): (PeerId, &Peer, IdentityVerdict),
    offer: Option<&SessionDescription>,
) -> Result<Plan, NoDestination> {
    let nowhere = std::net::SocketAddr::new(caller.media_address, 0);
    let offered = offer.and_then(|offer| negotiation(caller, 0, nowhere, KeySeed::default()).review(offer).ok());
    let uri = request.uri();
    let from = request.from();
    let user = from.uri().ok().and_then(|uri| uri.user().map(|user| unescape(user).into_owned()));
    let query = Query {
        from: source,
        uri: &uri,
        caller: &String::from_utf8(user.unwrap_or_default()).unwrap_or_default(),
        identity,
        offered: offered.as_ref().map(|review| review.codecs.as_slice()),
        unix_ms: exchange.config.wall_clock.unix_millis(now),
    };
    let plan = exchange.plan(&query)?;
    exchange.to_users(now, plan)
}

/// The side of a caller. Where we were reached is where it is reached; a peer over UDP is at its configured address.
pub(crate) fn caller_leg(
    exchange: &mut Exchange,
    (id, peer): (PeerId, Arc<Peer>),
    from: SipPeer,
    dialog: Dialog,
    place: (&Reservation, LegSide),
) -> Leg {
    let is_user = exchange.users.as_ref().is_some_and(|users| users.peer == id);
    let is_there = from.transport == Transport::Udp && !is_user && peer.host.is_none();
    let home = SipPeer { remote: if is_there { peer.address } else { from.remote }, ..from };
    let mut leg = Leg::new(exchange, (id, peer), home, dialog, place);
    leg.pinned = is_user.then_some(home);
    leg
}

/// The side of a callee, before it has spoken: our own identifiers, and of the caller what this peer may know.
pub(crate) fn callee_leg(
    exchange: &mut Exchange,
    now: Nanos,
    (request, caller, identity): (&Request, &Peer, Option<&IdentityRecord>),
    (candidate, ways): (&Candidate, Vec<SipPeer>),
    reservation: &Reservation,
) -> Leg {
    let home = ways[0];
    let verdict = identity.map(|record| record.verdict);
    let mut presented = presented(request, (caller, verdict), &candidate.config, &home.local.to_string());
    let vouched = exchange.vouch(now, request, (caller, &candidate.config), identity, (&candidate.uri, &presented));
    presented.lines.extend(vouched);
    let identifiers = exchange.transactions.identifiers();
    let dialog = Dialog {
        id: DialogId { call_id: identifiers.call_id(), local_tag: identifiers.tag(), remote_tag: String::new() },
        state: DialogState::Early,
        local_address: presented.from,
        remote_address: format!("<{}>", candidate.uri),
        remote_target: candidate.uri.clone(),
        route_set: Vec::new(),
        local_cseq: None,
        remote_cseq: None,
        is_secure: false,
    };
    let callee = (candidate.peer, Arc::clone(&candidate.config));
    let mut leg = Leg::new(exchange, callee, home, dialog, (reservation, LegSide::B));
    leg.others = ways;
    leg.lines = presented.lines;
    leg.reach(candidate.contact.as_ref());
    leg
}

/// The caller's offer; `None` where we are to make it.
pub(crate) fn offer_of(request: &Request, peer: &Peer) -> Result<Option<SessionDescription>, Refused> {
    let is_sdp = request.content_type().is_some_and(|content| content.is_ok_and(|media| media.is(SDP)));
    if request.body().is_empty() || !is_sdp {
        return Ok(None);
    }
    let offer = SessionDescription::parse(request.body()).map_err(|error| {
        Refused::because(StatusCode::BAD_REQUEST, format!("Bad Request - session description: {error}"))
    })?;
    let nowhere = std::net::SocketAddr::new(peer.media_address, 0);
    match negotiation(peer, 0, nowhere, KeySeed::default()).review(&offer) {
        Ok(_) => Ok(Some(offer)),
        Err(error) => Err(Refused::because(StatusCode::NOT_ACCEPTABLE_HERE, error.to_string())),
    }
}

/// What we may do, seen from the peer, and the other way round.
pub(crate) const fn mirrored(direction: Direction) -> Direction {
    Direction::new(direction.receives(), direction.sends())
}

impl Refused {
    /// Tells the caller; returns what the record says.
    fn tell(
        self,
        exchange: &mut Exchange,
        now: Nanos,
        tx: ServerTx,
        request: &Request,
        tag: &str,
    ) -> (StatusCode, String) {
        match self {
            Self::ByRule(refusal) => {
                if let Ok(response) = refusal.response(request, tag) {
                    let _ = exchange.transactions.respond(crate::exchange::instant(now), tx, &response);
                }
                (refusal.status(), refusal.status().reason().to_owned())
            }
            Self::TooBrief => {
                exchange.refuse_too_brief(now, tx, request, tag);
                let status = StatusCode::SESSION_INTERVAL_TOO_SMALL;
                (status, status.reason().to_owned())
            }
            Self::Because { status, reason, retry_after_s } => {
                let mut response = exchange.response(request, status, tag);
                // RFC 3261 §20.43: 399 is for people.
                let agent = exchange.config.listeners[0].advertised;
                let quoted: String = reason.chars().filter(|c| !matches!(c, '"' | '\\') && !c.is_control()).collect();
                response = response.header(HeaderName::Warning, &format!("399 {agent} \"{quoted}\""));
                if let Some(delay_s) = retry_after_s {
                    response = response.retry_after(delay_s);
                }
                exchange.respond(now, tx, response);
                (status, reason.into_owned())
            }
        }
    }
}
