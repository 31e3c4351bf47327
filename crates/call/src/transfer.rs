//! Transfer (RFC 3515, RFC 5589 §6): a peer asks us with REFER to put somebody else in its place. Whom it talks to already
//! is found by `replaces`.
//!
//! | event | what follows |
//! | --- | --- |
//! | REFER | 202, NOTIFY 100, an INVITE to whom the rules name, on the flow that the call has |
//! | that one answers | it takes the leg; NOTIFY 200 and BYE to the one that asked |
//! | it does not | NOTIFY of its refusal; the call goes on as it was, or ends where the one that asked has hung up meanwhile |
//!
//! The INVITE names the other party as caller, and who asked in `Referred-By` (RFC 3892).

use tandem_contract::{LegSide, Nanos};
use tandem_sip::header::NameAddr;
use tandem_sip::{
    ClientTx, Dialog, DialogId, DialogState, HeaderName, Method, Peer as SipPeer, Request, Response, ServerTx,
    StatusCode, Uri, unescape,
};

use crate::call::{Call, Phase, Then};
use crate::ending::Ending;
use crate::exchange::{Exchange, Purpose, instant, seconds};
use crate::hunt::Refusal;
use crate::identity;
use crate::leg::Leg;
use crate::replaces::Named;
use crate::routing::{Candidate, Query};
use crate::stir::IdentityVerdict;

/// A transfer that is under way.
#[derive(Debug)]
pub(crate) struct Transfer {
    /// The side that asked, and is to be replaced.
    pub(crate) side: LegSide,
    /// Who takes its place, once it answers.
    pub(crate) target: Box<Leg>,
    /// Which REFER the notifications speak of.
    pub(crate) refer: u32,
    /// When it is given up.
    pub(crate) until: Nanos,
}

impl Transfer {
    pub(crate) fn target_mut(&mut self) -> &mut Leg {
        &mut self.target
    }

    pub(crate) fn target(&self) -> &Leg {
        &self.target
    }
}

/// Hops of an INVITE that begins here.
const HOPS: u8 = 70;

impl Call {
    /// REFER of the peer on `side`.
    pub(crate) fn on_refer(
        &mut self,
        exchange: &mut Exchange,
        now: Nanos,
        side: LegSide,
        (tx, request): (ServerTx, Request),
        named: Named,
    ) {
        let tag = self.leg(side).tag().to_owned();
        let refuse = |exchange: &mut Exchange, status| exchange.refuse(now, tx, &request, status, &tag);
        if self.phase != Phase::Answered || self.is_changing() {
            return refuse(exchange, StatusCode::REQUEST_PENDING);
        }
        let Some(refer_to) = request.value(HeaderName::ReferTo).and_then(|value| NameAddr::parse(value).ok()) else {
            return refuse(exchange, StatusCode::BAD_REQUEST);
        };
        let Ok(uri) = refer_to.uri() else { return refuse(exchange, StatusCode::BAD_REQUEST) };
        let has_headers = uri.headers().is_some() && matches!(named, Named::Somebody);
        if has_headers || uri.param("method").is_some_and(|method| method.value.is_some_and(|value| value != "INVITE"))
        {
            return refuse(exchange, StatusCode::NOT_IMPLEMENTED);
        }
        let target = match named {
            Named::Somebody => self.somebody(exchange, now, side, &uri),
            Named::Consulted(consulted) if consulted.call != self.number => {
                let target = self.transferee(exchange, now, side, &consulted.candidate, vec![consulted.way]);
                let target = target.map(|mut leg| {
                    consulted.apply(&mut leg);
                    leg
                });
                target.ok_or(StatusCode::SERVICE_UNAVAILABLE)
            }
            // It ends nothing but this request (RFC 5057 §5.1).
            Named::Consulted(_) | Named::Nobody => Err(StatusCode::DECLINE),
        };
        let mut target = match target {
            Ok(target) => target,
            Err(status) => return refuse(exchange, status),
        };
        let refer = request.cseq_number();
        let (codecs, wish) = (self.codec(side.other()), self.wish_of(side.other()));
        if !target.invite(exchange, now, (self.number, side), (codecs.as_slice(), wish), (HOPS, None)) {
            exchange.admission.part(self.leg(side.other()).id, target.id);
            return refuse(exchange, StatusCode::SERVICE_UNAVAILABLE);
        }
        refuse(exchange, StatusCode::ACCEPTED);
        exchange.dialogs.insert(target.dialog_key(), (self.number, side));
        let until = now.plus(seconds(exchange.config.timeouts.no_answer_s));
        self.transfer = Some(Transfer { side, target: Box::new(target), refer, until });
        self.notify(exchange, now, side, refer, StatusCode::TRYING, "Trying");
    }

    /// A leg for the first of those to whom the rules send a call to `uri`; or the status to answer the REFER with.
    fn somebody(&self, exchange: &mut Exchange, now: Nanos, side: LegSide, uri: &Uri<'_>) -> Result<Leg, StatusCode> {
        let asks = self.leg(side);
        let user = user_of(&asks.dialog.remote_address).unwrap_or_default();
        let query = Query {
            from: asks.id,
            uri,
            caller: &user,
            identity: IdentityVerdict::None,
            offered: None,
            unix_ms: exchange.config.wall_clock.unix_millis(now),
        };
        let plan = exchange.plan(&query).and_then(|plan| exchange.to_users(now, plan));
        let candidates = plan.map_err(|_| StatusCode::NOT_FOUND)?.candidates;
        let target = candidates.iter().find_map(|candidate| {
            let ways = exchange.ways_to_candidate(now, candidate).ok()?;
            self.transferee(exchange, now, side, candidate, ways)
        });
        target.ok_or(StatusCode::SERVICE_UNAVAILABLE)
    }

    /// A leg for one that may take the place of `side`, where it has room and its media can be where the call's is.
    fn transferee(
        &self,
        exchange: &mut Exchange,
        now: Nanos,
        side: LegSide,
        candidate: &Candidate,
        ways: Vec<SipPeer>,
    ) -> Option<Leg> {
        if candidate.config.media_address != self.media.reservation.local(side).ip() {
            return None;
        }
        let other = self.leg(side.other());
        exchange.admission.join(other.id, (candidate.peer, &candidate.config)).ok()?;
        if !exchange.trunks.admit(now, candidate.peer) {
            exchange.admission.part(other.id, candidate.peer);
            return None;
        }
        let home = ways[0];
        let host = home.local.to_string();
        let identifiers = exchange.transactions.identifiers();
        let dialog = Dialog {
            id: DialogId { call_id: identifiers.call_id(), local_tag: identifiers.tag(), remote_tag: String::new() },
            state: DialogState::Early,
            local_address: identity::at_our_host(&other.dialog.remote_address, &host),
            remote_address: format!("<{}>", candidate.uri),
            remote_target: candidate.uri.clone(),
            route_set: Vec::new(),
            local_cseq: None,
            remote_cseq: None,
            is_secure: false,
        };
        let referred_by = identity::at_our_host(&self.leg(side).dialog.remote_address, &host);
        let callee = (candidate.peer, candidate.config.clone());
        let mut leg = Leg::new(exchange, callee, home, dialog, (&self.media.reservation, side));
        leg.others = ways;
        leg.reach(candidate.contact.as_ref());
        leg.lines.push(("Referred-By".to_owned(), referred_by));
        leg.lines.extend(candidate.config.set_headers.iter().cloned());
        Some(leg)
    }

    /// Whether `tx` is the INVITE of a transfer.
    pub(crate) fn transfers(&self, tx: ClientTx) -> bool {
        self.transfer.as_ref().is_some_and(|transfer| transfer.target.outgoing == Some(tx))
    }

    /// A response to that INVITE.
    pub(crate) fn on_transfer_response(
        &mut self,
        exchange: &mut Exchange,
        now: Nanos,
        tx: ClientTx,
        response: &Response,
    ) {
        let status = response.status();
        let (number, wish_side) = (self.number, self.transfer.as_ref().map(|transfer| transfer.side.other()));
        let Some(other) = wish_side else { return };
        let (codecs, wish) = (self.codec(other), self.wish_of(other));
        let Some(transfer) = &mut self.transfer else { return };
        if status.is_provisional() {
            transfer.target.acknowledge_progress(exchange, now, tx, response);
        } else if status.is_success() {
            self.complete_transfer(exchange, now, tx, response);
        } else {
            transfer.target.outgoing = None;
            let again = transfer.target.may_ask_again(response)
                && transfer.target.invite(
                    exchange,
                    now,
                    (number, transfer.side),
                    (codecs.as_slice(), wish),
                    (HOPS, None),
                );
            if !again {
                self.fail_transfer(exchange, now, &Refusal::Said(response));
            }
        }
    }

    fn complete_transfer(&mut self, exchange: &mut Exchange, now: Nanos, tx: ClientTx, response: &Response) {
        let Some(Transfer { side, mut target, refer, .. }) = self.transfer.take() else { return };
        target.outgoing = None;
        response.to_tag().unwrap_or_default().clone_into(&mut target.dialog.id.remote_tag);
        if target.dialog.confirm(response).is_err() {
            // Without a usable Contact the way the INVITE went is the best guess.
            target.dialog.state = DialogState::Confirmed;
        }
        target.is_up = true;
        target.stands_in = true;
        target.early.clear();
        target.take_timer(now, response);
        let to = target.next_hop(exchange, now);
        exchange.acknowledge(tx, &target.dialog, to, response.cseq_number());
        let answered = response.body().is_empty() && target.negotiation.agreement().is_some();
        if !answered && target.on_answer(response.body()).is_err() {
            let reason = "Q.850;cause=79";
            exchange.bye(now, &mut target.dialog, to, reason, None);
            self.release(exchange, now, side, *target);
            self.notify(exchange, now, side, refer, StatusCode::NOT_ACCEPTABLE_HERE, "Not Acceptable Here");
            self.end_if_alone(exchange, now, side);
            return;
        }
        exchange.trunks.on_call(now, &target.peer.name, crate::trunks::Reached::Yes, true);
        self.notify(exchange, now, side, refer, StatusCode::OK, "OK");
        self.send_bye(exchange, now, side, "SIP;cause=200;text=\"Transferred\"");
        let before = std::mem::replace(self.leg_mut(side), *target);
        exchange.admission.part(self.leg(side.other()).id, before.id);
        self.update_media(exchange, now, Then::Settle);
    }

    /// Nobody takes the place of the one that asked.
    pub(crate) fn fail_transfer(&mut self, exchange: &mut Exchange, now: Nanos, why: &Refusal<'_>) {
        let Some(Transfer { side, target, refer, .. }) = self.transfer.take() else { return };
        let (status, reason) = match why {
            Refusal::Said(response) => (response.status(), response.reason().to_owned()),
            Refusal::Silent | Refusal::GivenUp => (StatusCode::REQUEST_TIMEOUT, "Request Timeout".to_owned()),
            Refusal::Transport => (StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable".to_owned()),
        };
        let reached = crate::hunt::reached(why);
        exchange.trunks.on_call(now, &target.peer.name, reached, false);
        self.release(exchange, now, side, *target);
        self.notify(exchange, now, side, refer, status, &reason);
        self.end_if_alone(exchange, now, side);
    }

    /// The call ends, or the transfer has had its time: whoever is being called hears of it.
    pub(crate) fn abandon_transfer(&mut self, exchange: &mut Exchange, now: Nanos) {
        if let Some(Transfer { side, target, .. }) = self.transfer.take() {
            self.release(exchange, now, side, *target);
        }
    }

    /// The one that asked for a transfer hangs up while it is under way, as is usual: the call goes on without it.
    pub(crate) fn leaves_transfer(&mut self, exchange: &mut Exchange, side: LegSide) -> bool {
        if self.phase != Phase::Answered || self.transfer.as_ref().is_none_or(|transfer| transfer.side != side) {
            return false;
        }
        let leg = self.leg_mut(side);
        leg.is_up = false;
        leg.timer = None;
        leg.unacknowledged = None;
        exchange.dialogs.remove(&leg.dialog_key());
        true
    }

    fn end_if_alone(&mut self, exchange: &mut Exchange, now: Nanos, side: LegSide) {
        if !self.leg(side).is_up {
            let ending =
                Ending::gateway(StatusCode::TEMPORARILY_UNAVAILABLE, "a transfer failed, and who asked for it is gone");
            self.end(exchange, now, ending, None);
        }
    }

    fn release(&self, exchange: &mut Exchange, now: Nanos, side: LegSide, mut target: Leg) {
        if let Some(tx) = target.outgoing.take() {
            exchange.invitation_unwanted(tx);
            let _ = exchange.transactions.cancel(instant(now), tx, None);
        }
        exchange.dialogs.remove(&target.dialog_key());
        exchange.admission.part(self.leg(side.other()).id, target.id);
    }

    /// Tells the one that asked how far it is (RFC 3515 §2.4.4, §2.4.5).
    fn notify(
        &mut self,
        exchange: &mut Exchange,
        now: Nanos,
        side: LegSide,
        refer: u32,
        status: StatusCode,
        reason: &str,
    ) {
        let leg = self.leg_mut(side);
        if !leg.is_up {
            return;
        }
        let state = if status.is_final() { "terminated;reason=noresource" } else { "active;expires=60" };
        let request = leg
            .dialog
            .request(Method::Notify)
            .contact(leg.contact().as_str())
            .header(HeaderName::Event, &format!("refer;id={refer}"))
            .header(HeaderName::SubscriptionState, state)
            .body("message/sipfrag;version=2.0", format!("SIP/2.0 {status} {reason}\r\n"));
        let request = leg.authorized(exchange, request);
        let to = leg.next_hop(exchange, now);
        exchange.request(now, to, request, Purpose::Bare);
    }
}

/// The user part of an address as it stands in a dialog.
fn user_of(address: &str) -> Option<String> {
    let address = NameAddr::parse(address).ok()?;
    String::from_utf8(unescape(address.uri().ok()?.user()?).into_owned()).ok()
}
