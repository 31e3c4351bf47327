//! `Replaces` (RFC 3891): attended transfer by REFER (RFC 5589 §7), and an INVITE that takes a dialog over.
//!
//! | what comes | what follows |
//! | --- | --- |
//! | REFER whose Refer-To names another dialog of the one that asks | as with a blind transfer; the INVITE goes to whom that dialog leads, and names the dialog that *this one* has with us |
//! | INVITE that names a dialog of ours | its sender takes the place of the dialog's peer: 200, and BYE to that one |
//! | INVITE that names the dialog with a callee that rings | its sender takes the call (RFC 3891 §3): 200 to it and to the caller, CANCEL to the callee |
//! | INVITE that names the dialog with a caller that has no answer | 481: we did not begin that one |
//!
//! So nothing of one side's dialogs is told to the other. Where it fails, all calls are as they were.

use std::sync::Arc;

use tandem_contract::{Direction, LegSide, Nanos};
use tandem_sip::header::NameAddr;
use tandem_sip::{
    Dialog, DialogState, HeaderName, Method, Peer as SipPeer, Request, ServerTx, StatusCode, uas, unescape,
};

use crate::call::{Call, Phase};
use crate::config::PeerId;
use crate::exchange::{EXTENSIONS, Exchange, METHODS, SDP, instant};
use crate::leg::{Incoming, Leg};
use crate::output::CallNumber;
use crate::routing::Candidate;
use crate::setup::{caller_leg, mirrored, offer_of};
use crate::switch::Switch;

/// A dialog as its header names it, from the view of whoever is to give it up (RFC 3891 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Replaces<'v> {
    call_id: &'v str,
    /// Ours.
    to_tag: &'v str,
    /// The peer's.
    from_tag: &'v str,
    early_only: bool,
}

impl<'v> Replaces<'v> {
    fn parse(value: &'v str) -> Option<Self> {
        let (call_id, params) = value.split_once(';')?;
        let mut found = Self { call_id: call_id.trim(), to_tag: "", from_tag: "", early_only: false };
        for param in params.split(';') {
            let (name, value) = param.split_once('=').unwrap_or((param, ""));
            match name.trim() {
                name if name.eq_ignore_ascii_case("to-tag") => found.to_tag = value.trim(),
                name if name.eq_ignore_ascii_case("from-tag") => found.from_tag = value.trim(),
                name if name.eq_ignore_ascii_case("early-only") => found.early_only = true,
                _ => {}
            }
        }
        let is_whole = ![found.call_id, found.to_tag, found.from_tag].contains(&"");
        is_whole.then_some(found)
    }
}

/// Whom a REFER names.
#[derive(Debug)]
pub(crate) enum Named {
    /// Somebody who is to be called.
    Somebody,
    /// Somebody whom the one that asks talks to already.
    Consulted(Box<Consulted>),
    /// The peer of a dialog that is not there, or not up.
    Nobody,
}

/// Whom the one that asks for a transfer talks to, in a call of its own.
#[derive(Debug)]
pub(crate) struct Consulted {
    pub(crate) call: CallNumber,
    pub(crate) candidate: Candidate,
    /// Where requests in its dialog with us go, and what they are like.
    pub(crate) way: SipPeer,
    pinned: Option<SipPeer>,
    route_set: Vec<String>,
    /// That dialog, as it has to give it up.
    replaces: String,
}

impl Consulted {
    /// The INVITE of `leg` goes where the dialog leads, and takes it over.
    pub(crate) fn apply(self, leg: &mut Leg) {
        leg.pinned = self.pinned;
        leg.dialog.route_set = self.route_set;
        leg.lines.push(("Replaces".to_owned(), self.replaces));
        // Who does not know it would ring for a second call (RFC 3891 §4).
        leg.lines.push(("Require".to_owned(), "replaces".to_owned()));
    }
}

impl Switch {
    /// Whom a REFER names.
    pub(crate) fn named_by(&mut self, now: Nanos, request: &Request) -> Named {
        if *request.method() != Method::Refer {
            return Named::Somebody;
        }
        let Some(value) = replaces_of(request) else { return Named::Somebody };
        let consulted = Replaces::parse(&value).and_then(|replaces| self.consulted(now, replaces));
        consulted.map_or(Named::Nobody, |consulted| Named::Consulted(Box::new(consulted)))
    }

    fn consulted(&mut self, now: Nanos, replaces: Replaces<'_>) -> Option<Consulted> {
        let (call, side) = self.replaced_by(replaces)?;
        let leg = self.calls.get(&call)?.leg(side.other());
        let dialog = &leg.dialog;
        let id = &dialog.id;
        leg.is_up.then(|| Consulted {
            call,
            candidate: Candidate {
                peer: leg.id,
                config: Arc::clone(&leg.peer),
                uri: dialog.remote_target.clone(),
                contact: None,
            },
            way: leg.next_hop(&mut self.exchange, now),
            pinned: leg.pinned,
            route_set: dialog.route_set.clone(),
            replaces: format!("{};to-tag={};from-tag={}", id.call_id, id.remote_tag, id.local_tag),
        })
    }

    /// The call and the side that a dialog is.
    fn replaced_by(&self, replaces: Replaces<'_>) -> Option<(CallNumber, LegSide)> {
        let key = (replaces.call_id.to_owned(), replaces.to_tag.to_owned());
        let &(number, side) = self.exchange.dialogs.get(&key)?;
        let leg = self.calls.get(&number)?.leg(side);
        (leg.is_up && leg.dialog_key() == key && leg.dialog.id.remote_tag == replaces.from_tag)
            .then_some((number, side))
    }

    /// INVITE of a peer or user that is to take a dialog over.
    pub(crate) fn on_replacing_invite(
        &mut self,
        now: Nanos,
        (tx, request): (ServerTx, Request),
        from: (PeerId, SipPeer),
    ) {
        let tag = self.exchange.tag();
        let understood = uas::Capabilities { methods: METHODS, option_tags: EXTENSIONS, content_types: &[SDP] };
        if let Err(refusal) = uas::check(&request, &understood) {
            if let Ok(response) = refusal.response(&request, &tag) {
                let _ = self.exchange.transactions.respond(instant(now), tx, &response);
            }
            return;
        }
        let value = request.value(HeaderName::Replaces).unwrap_or_default();
        let found = Replaces::parse(value).ok_or(StatusCode::BAD_REQUEST).and_then(|replaces| {
            if let Some((number, side)) = self.replaced_by(replaces) {
                return if replaces.early_only { Err(StatusCode::BUSY_HERE) } else { Ok((number, Place::Held(side))) };
            }
            let ringing = self.ringing(replaces).ok_or(StatusCode::CALL_DOES_NOT_EXIST)?;
            Ok((ringing.0, Place::Ringing(ringing.1)))
        });
        match found {
            Err(status) => self.exchange.refuse(now, tx, &request, status, &tag),
            Ok((number, place)) => {
                self.with_call(number, |call, exchange| {
                    if let Err(status) = call.take_over(exchange, now, place, (tx, &request), from, &tag) {
                        exchange.refuse(now, tx, &request, status, &tag);
                    }
                });
            }
        }
    }

    /// The call whose callee rings in that dialog, and our tag of it.
    fn ringing(&self, replaces: Replaces<'_>) -> Option<(CallNumber, String)> {
        let key = (replaces.call_id.to_owned(), replaces.to_tag.to_owned());
        let &(number, side) = self.exchange.dialogs.get(&key)?;
        let call = self.calls.get(&number).filter(|_| side == LegSide::B)?;
        let mut callees = std::iter::once(call.leg(side)).chain(&call.rivals);
        let rings = |leg: &&Leg| leg.dialog_key() == key && leg.rings_as(replaces.from_tag);
        callees.find(rings).map(|_| (number, key.1))
    }
}

/// Whose place somebody wants.
#[derive(Clone, Debug)]
enum Place {
    /// A side's, which is up.
    Held(LegSide),
    /// A callee's that rings, by our tag of its dialog.
    Ringing(String),
}

impl Call {
    /// The sender of an INVITE takes somebody's place; or the status to answer it with.
    fn take_over(
        &mut self,
        exchange: &mut Exchange,
        now: Nanos,
        place: Place,
        (tx, request): (ServerTx, &Request),
        (source, from): (PeerId, SipPeer),
        tag: &str,
    ) -> Result<(), StatusCode> {
        let (is_pending, side) = match &place {
            Place::Held(side) => (self.phase != Phase::Answered || self.is_changing(), *side),
            Place::Ringing(_) => (self.phase != Phase::Calling || self.media.is_busy(), LegSide::B),
        };
        if is_pending || self.replaced.is_some() {
            return Err(StatusCode::REQUEST_PENDING);
        }
        let peer = exchange.routing.peer(source).cloned().ok_or(StatusCode::NOT_FOUND)?;
        if peer.media_address != self.media.reservation.local(side).ip() {
            return Err(StatusCode::NOT_ACCEPTABLE_HERE);
        }
        let offer = offer_of(request, &peer).map_err(|_| StatusCode::NOT_ACCEPTABLE_HERE)?;
        let mut dialog = Dialog::uas(request, tag, DialogState::Early).map_err(|_| StatusCode::BAD_REQUEST)?;
        dialog.confirm_as_uas();
        let other = self.leg(side.other()).id;
        exchange.admission.join(other, (source, &peer)).map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
        let mut leg = caller_leg(exchange, (source, peer), from, dialog, (&self.media.reservation, side));
        leg.is_up = true;
        leg.stands_in = true;
        let review = offer.as_ref().and_then(|offer| leg.negotiation.review(offer).ok());
        if let Some(review) = review {
            leg.wish = mirrored(review.direction);
        }
        exchange.dialogs.insert(leg.dialog_key(), (self.number, side));
        exchange.invites.insert(tx, (self.number, side));
        let has_offer = offer.is_some();
        let incoming = Incoming { tx, request: Box::new(request.clone()), offer, wish_before: Direction::SendRecv };
        leg.incoming = Some(incoming);
        if let Place::Ringing(tag) = &place {
            self.hush_all_but(exchange, now, tag);
        }
        let before = std::mem::replace(self.leg_mut(side), leg);
        self.replaced = Some(Box::new((side, before)));
        if has_offer {
            self.answer_offer(exchange, now, side);
        } else if let Some(incoming) = self.leg_mut(side).incoming.take() {
            self.offer_in_answer(exchange, now, side, incoming);
        }
        Ok(())
    }

    /// Whoever took a place has its 200, or the call ends: the one that had the place before hears BYE, or CANCEL where it rang.
    pub(crate) fn dismiss_replaced(&mut self, exchange: &mut Exchange, now: Nanos) {
        let Some(replaced) = self.replaced.take() else { return };
        let (side, mut before) = *replaced;
        if !before.is_up {
            return self.dismiss(exchange, now, before);
        }
        exchange.dialogs.remove(&before.dialog_key());
        exchange.admission.part(self.leg(side.other()).id, before.id);
        let to = before.next_hop(exchange, now);
        let auth = before.take_auth();
        exchange.bye(now, &mut before.dialog, to, "SIP;cause=200;text=\"Call completed elsewhere\"", auth);
    }

    /// Whoever was to take a place was refused: the one that had it keeps it.
    pub(crate) fn restore_replaced(&mut self, exchange: &mut Exchange) {
        let Some(replaced) = self.replaced.take() else { return };
        let (side, before) = *replaced;
        let refused = std::mem::replace(self.leg_mut(side), before);
        exchange.dialogs.remove(&refused.dialog_key());
        exchange.admission.part(self.leg(side.other()).id, refused.id);
    }
}

/// The `Replaces` that a REFER's Refer-To wants in the INVITE; `None` where it wants none.
fn replaces_of(refer: &Request) -> Option<String> {
    let refer_to = NameAddr::parse(refer.value(HeaderName::ReferTo)?).ok()?;
    let uri = refer_to.uri().ok()?;
    let mut headers = uri.headers()?.split('&').filter_map(|header| header.split_once('='));
    let (_, value) = headers.find(|(name, _)| name.eq_ignore_ascii_case("Replaces"))?;
    String::from_utf8(unescape(value).into_owned()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dialog_is_named_by_all_three_of_its_parts() {
        let value = "425928@bobster.example.org;to-tag=7743 ; From-Tag=6472;early-only";
        let expected =
            Replaces { call_id: "425928@bobster.example.org", to_tag: "7743", from_tag: "6472", early_only: true };
        assert_eq!(Replaces::parse(value), Some(expected));
        for wrong in ["", "a", "a;to-tag=1", "a;from-tag=1", ";to-tag=1;from-tag=2", "a;to-tag=;from-tag=2"] {
            assert_eq!(Replaces::parse(wrong), None, "{wrong}");
        }
    }
}
