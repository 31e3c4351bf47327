//! re-INVITEs: what one peer changes is settled with that peer, and told to the other where it concerns it.
//!
//! A change of codec, address or packet time is the business of one leg: the flow transcodes. A change of direction
//! (hold, resume) concerns the other side, so our own re-INVITE to it goes first, and the first peer's is answered with
//! what came of that. While one change is under way the next is answered 491 (RFC 3261 §14.2).

use tandem_contract::{Direction, LegSide, Nanos};
use tandem_sdp::SessionDescription;
use tandem_sip::{ClientTx, HeaderName, Method, Request, Response, ServerTx, StatusCode};

use crate::call::{Call, Phase, Then};
use crate::ending::Ending;
use crate::exchange::{ALLOW, Exchange, Invitation, Purpose, SDP, SUPPORTED};
use crate::leg::Incoming;
use crate::session_timer::is_too_brief;
use crate::setup::mirrored;

/// A re-INVITE of ours that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Change {
    /// Whom we tell.
    told: LegSide,
    /// What it knew before.
    told_before: Direction,
    /// Whether the other side's re-INVITE waits for what comes of it.
    answers_other: bool,
}

/// For how long a 500 asks a peer to hold back its INVITE, at most (RFC 3261 §14.2).
const HOLD_BACK_S: u64 = 10;

impl Call {
    /// The peer on `side` wants to change the session.
    pub(crate) fn on_reinvite(
        &mut self,
        exchange: &mut Exchange,
        now: Nanos,
        side: LegSide,
        (tx, request): (ServerTx, Request),
    ) {
        let tag = self.leg(side).tag().to_owned();
        if is_too_brief(&request) {
            return exchange.refuse_too_brief(now, tx, &request, &tag);
        }
        if self.leg(side).incoming.is_some() {
            let wait = exchange.random() % (HOLD_BACK_S + 1);
            let response =
                exchange.response(&request, StatusCode::SERVER_INTERNAL_ERROR, &tag).retry_after(wait as u32);
            exchange.respond(now, tx, response);
            return;
        }
        if self.is_busy_for_change() {
            exchange.refuse(now, tx, &request, StatusCode::REQUEST_PENDING, &tag);
            return;
        }
        let wish_before = self.leg(side).wish;
        if request.body().is_empty() {
            self.offer_in_answer(
                exchange,
                now,
                side,
                Incoming { tx, request: Box::new(request), offer: None, wish_before },
            );
            return;
        }
        if !self.take_offer(exchange, now, side, (tx, request)) {
            return;
        }
        exchange.invites.insert(tx, (self.number, side));
        let other = side.other();
        if self.leg(other).told == self.wish_of(side) || !self.tell(exchange, now, other, true) {
            self.answer_offer(exchange, now, side);
        }
    }

    /// Notes the offer in a re-INVITE or UPDATE, and what the peer wants by it; `false` where it was refused.
    fn take_offer(
        &mut self,
        exchange: &mut Exchange,
        now: Nanos,
        side: LegSide,
        (tx, request): (ServerTx, Request),
    ) -> bool {
        let wish_before = self.leg(side).wish;
        let offer = SessionDescription::parse(request.body()).map_err(|_| StatusCode::BAD_REQUEST);
        let reviewed = offer.and_then(|offer| {
            let review = self.leg(side).negotiation.review(&offer).map_err(|_| StatusCode::NOT_ACCEPTABLE_HERE)?;
            Ok((offer, review))
        });
        match reviewed {
            Ok((offer, review)) => {
                let leg = self.leg_mut(side);
                leg.wish = mirrored(review.direction);
                leg.holds = !leg.wish.receives();
                leg.incoming = Some(Incoming { tx, request: Box::new(request), offer: Some(offer), wish_before });
                true
            }
            Err(status) => {
                let tag = self.leg(side).tag().to_owned();
                exchange.refuse(now, tx, &request, status, &tag);
                false
            }
        }
    }

    /// UPDATE (RFC 3311): what it changes is answered at once, and told to the other side afterwards. Without a description
    /// it only refreshes the session.
    pub(crate) fn on_update(
        &mut self,
        exchange: &mut Exchange,
        now: Nanos,
        side: LegSide,
        (tx, request): (ServerTx, Request),
    ) {
        let tag = self.leg(side).tag().to_owned();
        if is_too_brief(&request) {
            return exchange.refuse_too_brief(now, tx, &request, &tag);
        }
        if request.body().is_empty() {
            let leg = self.leg_mut(side);
            let response = exchange.response(&request, StatusCode::OK, &tag).contact(leg.contact().as_str());
            let response = if leg.is_up { leg.grant_timer(now, &request, response) } else { response };
            exchange.respond(now, tx, response.header(HeaderName::Allow, ALLOW));
            return;
        }
        if self.leg(side).incoming.is_some() || self.is_busy_for_change() {
            exchange.refuse(now, tx, &request, StatusCode::REQUEST_PENDING, &tag);
            return;
        }
        if self.take_offer(exchange, now, side, (tx, request)) {
            self.answer_offer(exchange, now, side);
        }
    }

    fn is_busy_for_change(&self) -> bool {
        self.phase != Phase::Answered
            || self.change.is_some()
            || self.transfer.is_some()
            || self.media.is_busy()
            || self.legs.iter().any(|leg| leg.outgoing.is_some())
            || self.legs.iter().any(|leg| leg.unacknowledged.as_ref().is_some_and(|waiting| waiting.awaits_answer))
    }

    /// A re-INVITE without offer: ours goes into the 200, the answer comes with the ACK.
    pub(crate) fn offer_in_answer(&mut self, exchange: &mut Exchange, now: Nanos, side: LegSide, incoming: Incoming) {
        let other_wish = self.wish_of(side.other());
        let leg = self.leg_mut(side);
        leg.told = other_wish;
        let body = leg.offer(&[], other_wish);
        leg.incoming = Some(incoming);
        self.accept_change(exchange, now, side, &body, true);
    }

    /// Tells the peer on `told` what the other side wants; `false` where that cannot even begin.
    pub(crate) fn tell(&mut self, exchange: &mut Exchange, now: Nanos, told: LegSide, answers_other: bool) -> bool {
        let wish = self.wish_of(told.other());
        let number = self.number;
        let leg = self.leg_mut(told);
        let told_before = leg.told;
        leg.told = wish;
        leg.has_moved = false;
        if !leg.is_up {
            return false;
        }
        let offer = leg.offer(&[], wish);
        let contact = leg.contact();
        let request = leg.dialog.request(Method::Invite).contact(contact.as_str());
        let request = request.header(HeaderName::Allow, ALLOW).header(HeaderName::Supported, SUPPORTED);
        let request = leg.ask_for_timer(request).body(SDP, offer);
        let request = leg.authorized(exchange, request);
        let (dialog, to) = (leg.dialog.clone(), leg.next_hop(exchange, now));
        let invitation = Invitation::new(number, told, dialog, leg.home);
        let Some(tx) = exchange.request(now, to, request, Purpose::Invite(invitation)) else {
            leg.negotiation.withdraw_offer();
            return false;
        };
        leg.outgoing = Some(tx);
        self.change = Some(Change { told, told_before, answers_other });
        true
    }

    /// The peer on `side` accepted our re-INVITE.
    pub(crate) fn on_change_answer(
        &mut self,
        exchange: &mut Exchange,
        now: Nanos,
        side: LegSide,
        (tx, response): (ClientTx, &Response),
    ) {
        let leg = self.leg_mut(side);
        leg.outgoing = None;
        leg.dialog.on_response(response);
        leg.take_timer(now, response);
        let (dialog, to) = (leg.dialog.clone(), leg.next_hop(exchange, now));
        exchange.acknowledge(tx, &dialog, to, response.cseq_number());
        let change = self.change.take();
        if self.leg_mut(side).on_answer(response.body()).is_err() {
            let ending =
                Ending::gateway(StatusCode::NOT_ACCEPTABLE_HERE, "an answer to a change does not fit its offer");
            self.end(exchange, now, ending, None);
            return;
        }
        match change {
            Some(change) if change.answers_other => self.answer_offer(exchange, now, side.other()),
            _ => self.update_media(exchange, now, Then::Settle),
        }
    }

    /// The peer on `side` did not accept our re-INVITE: with a status, or by saying nothing.
    pub(crate) fn on_change_failure(
        &mut self,
        exchange: &mut Exchange,
        now: Nanos,
        side: LegSide,
        refusal: Option<StatusCode>,
    ) {
        let leg = self.leg_mut(side);
        leg.outgoing = None;
        leg.negotiation.withdraw_offer();
        let Some(change) = self.change.take() else { return };
        let other = side.other();
        match refusal {
            // The dialog is dead (RFC 3261 §12.2.1.2).
            None | Some(StatusCode::REQUEST_TIMEOUT | StatusCode::CALL_DOES_NOT_EXIST) => {
                let reason = format!("the peer {} no longer knows the call", self.peer_name(side));
                self.end(exchange, now, Ending::gateway(StatusCode::CALL_DOES_NOT_EXIST, reason), None);
            }
            Some(StatusCode::REQUEST_PENDING) => {
                self.leg_mut(side).told = change.told_before;
                if change.answers_other {
                    // The first peer will try again, as the second one does (RFC 3261 §14.1).
                    self.refuse_change(exchange, now, other, StatusCode::REQUEST_PENDING);
                } else {
                    // Who made the Call-ID waits longer. It is ours on the callee's side.
                    let wait_ms =
                        if side == LegSide::B { 2_100 + exchange.random() % 1_900 } else { exchange.random() % 2_000 };
                    self.retry_at = Some(now.plus(wait_ms * 1_000_000));
                }
            }
            // It does not want to know; the change still holds between the other peer and us.
            Some(_) if change.answers_other => self.answer_offer(exchange, now, other),
            Some(_) => {}
        }
    }

    /// Answers the offer in the re-INVITE of `side`.
    pub(crate) fn answer_offer(&mut self, exchange: &mut Exchange, now: Nanos, side: LegSide) {
        let other_wish = self.wish_of(side.other());
        // Before the caller is answered it speaks nothing yet.
        let wanted = self.caller_codecs.iter().filter(|_| self.answered.is_none()).copied();
        let preferred: Vec<_> = self.codec(side.other()).into_iter().chain(self.codec(side)).chain(wanted).collect();
        let leg = &mut self.legs[side.index()];
        let Some(offer) = leg.incoming.as_ref().and_then(|incoming| incoming.offer.as_ref()) else { return };
        let before = Box::new(leg.negotiation.clone());
        let Ok((body, _)) = leg.negotiation.answer(offer, &preferred, other_wish) else {
            self.refuse_change(exchange, now, side, StatusCode::NOT_ACCEPTABLE_HERE);
            return;
        };
        leg.told = other_wish;
        self.update_media(exchange, now, Then::AnswerChange { leg: side, body, before });
    }

    /// The worker runs with what the re-INVITE of `side` changed.
    pub(crate) fn answer_change(&mut self, exchange: &mut Exchange, now: Nanos, side: LegSide, body: &str) {
        self.accept_change(exchange, now, side, body, false);
    }

    fn accept_change(&mut self, exchange: &mut Exchange, now: Nanos, side: LegSide, body: &str, awaits_answer: bool) {
        let leg = self.leg_mut(side);
        let Some(incoming) = leg.incoming.take() else { return };
        let response = exchange
            .response(&incoming.request, StatusCode::OK, leg.tag())
            .contact(leg.contact().as_str())
            .header(HeaderName::Allow, ALLOW)
            .body(SDP, body);
        let response = leg.grant_timer(now, &incoming.request, response);
        let sent = exchange.respond(now, incoming.tx, response);
        self.dismiss_replaced(exchange, now);
        let leg = self.leg_mut(side);
        if *incoming.request.method() == Method::Update {
            // Nobody acknowledges it.
            self.settle(exchange, now);
        } else if let Some(response) = sent {
            leg.await_ack(exchange, now, (incoming.tx, incoming.request), response, awaits_answer);
        }
        if self.phase == Phase::Calling {
            // It took the call in the place of somebody who rang.
            self.take_call(exchange, now);
        }
    }

    /// The peer on `side` would take our re-INVITE if it were sent again, with what it asks for.
    pub(crate) fn tell_again(&mut self, exchange: &mut Exchange, now: Nanos, side: LegSide) {
        let leg = self.leg_mut(side);
        leg.outgoing = None;
        leg.negotiation.withdraw_offer();
        let Some(Change { told_before, answers_other, .. }) = self.change.take() else { return };
        self.leg_mut(side).told = told_before;
        if !self.tell(exchange, now, side, answers_other) && answers_other {
            self.answer_offer(exchange, now, side.other());
        }
    }

    /// The re-INVITE of `side` comes to nothing; the session stays as it was.
    pub(crate) fn refuse_change(&mut self, exchange: &mut Exchange, now: Nanos, side: LegSide, status: StatusCode) {
        let leg = self.leg_mut(side);
        let Some(incoming) = leg.incoming.take() else { return };
        leg.wish = incoming.wish_before;
        let tag = leg.tag().to_owned();
        exchange.refuse(now, incoming.tx, &incoming.request, status, &tag);
        self.restore_replaced(exchange);
        self.settle(exchange, now);
    }

    /// The peer on `side` takes its re-INVITE back. Where the 200 only waits for the worker it is too late; where the
    /// other side is being told, that goes on, and `settle` tells it the contrary.
    pub(crate) fn cancel_change(&mut self, exchange: &mut Exchange, now: Nanos, side: LegSide) {
        let Some(change) = self.change.as_mut().filter(|change| change.answers_other && change.told == side.other())
        else {
            return;
        };
        change.answers_other = false;
        self.refuse_change(exchange, now, side, StatusCode::REQUEST_TERMINATED);
    }

    /// Tells a peer what the other side wants, or where our media is, where it does not know it yet and nothing else is under
    /// way.
    pub(crate) fn settle(&mut self, exchange: &mut Exchange, now: Nanos) {
        let is_busy = self.phase != Phase::Answered
            || self.change.is_some()
            || self.transfer.is_some()
            || self.media.is_busy()
            || self.retry_at.is_some()
            || self
                .legs
                .iter()
                .any(|leg| leg.incoming.is_some() || leg.outgoing.is_some() || leg.unacknowledged.is_some());
        if is_busy {
            return;
        }
        let is_ignorant =
            |side: &LegSide| self.leg(*side).has_moved || self.leg(*side).told != self.wish_of(side.other());
        if let Some(side) = LegSide::BOTH.into_iter().find(is_ignorant) {
            self.tell(exchange, now, side, false);
        }
    }
}
