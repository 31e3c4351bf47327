//! Provisional responses that arrive (RFC 3262): those of ours that wait for their PRACK, and PRACK for a callee's.

use tandem_contract::{LegSide, Nanos};
use tandem_sip::{ClientTx, HeaderName, Method, Request, Response, ServerTx, StatusCode};

use crate::call::{Call, Phase};
use crate::ending::Ending;
use crate::exchange::{Exchange, Purpose, instant};
use crate::leg::Leg;

/// First wait for a PRACK, T1 (section 3); doubled with every repetition.
const T1_NS: u64 = 500_000_000;
/// How many callees' early dialogs are acknowledged in for one INVITE, as many as answers are told apart.
const MAX_EARLY: usize = 8;

/// A provisional response of ours that waits for its PRACK.
#[derive(Debug)]
pub(crate) struct Reliable {
    tx: ServerTx,
    response: Response,
    number: u32,
    next: Nanos,
    wait_ns: u64,
    give_up: Nanos,
    /// It told our answer: the 200 must wait for the PRACK (section 3).
    has_body: bool,
    /// The 200 waits.
    holds_answer: bool,
}

/// One of several early dialogs of a callee.
#[derive(Clone, Debug)]
pub(crate) struct Early {
    tag: String,
    /// The last response in it that was acknowledged.
    number: Option<u32>,
    /// The last request in it.
    remote_cseq: Option<u32>,
}

impl Reliable {
    pub(crate) const fn deadline(&self) -> Nanos {
        if self.next.0 < self.give_up.0 { self.next } else { self.give_up }
    }
}

impl Call {
    /// Sends a provisional response to the caller: reliably where it asks for that, or where an answer is told and it can.
    pub(crate) fn send_provisional(
        &mut self,
        exchange: &mut Exchange,
        now: Nanos,
        status: StatusCode,
        body: Option<String>,
    ) {
        let leg = self.leg(LegSide::A);
        let Some(incoming) = &leg.incoming else { return };
        let is_required = incoming.request.require().any(|tag| tag.eq_ignore_ascii_case("100rel"));
        let has_body = body.is_some();
        let is_reliable = is_required || (has_body && incoming.request.supports("100rel"));
        if is_reliable && leg.reliable.is_some() {
            // Another one must wait for the PRACK; what it has to say, the 200 says as well.
            return;
        }
        let mut response = exchange.response(&incoming.request, status, leg.tag()).contact(leg.contact().as_str());
        let number = leg.next_rseq;
        if is_reliable {
            response = response.header(HeaderName::Require, "100rel").header(HeaderName::RSeq, &number.to_string());
        }
        if let Some(body) = body {
            response = response.body(crate::exchange::SDP, body);
        }
        let tx = incoming.tx;
        let sent = exchange.respond(now, tx, response.header(HeaderName::Allow, crate::exchange::ALLOW));
        if let Some(response) = sent.filter(|_| is_reliable) {
            let give_up = now.plus(64 * T1_NS);
            let next = now.plus(T1_NS);
            let leg = self.leg_mut(LegSide::A);
            leg.next_rseq = number.wrapping_add(1);
            leg.reliable =
                Some(Reliable { tx, response, number, next, wait_ns: T1_NS, give_up, has_body, holds_answer: false });
        }
    }

    /// Whether the 200 to the caller has to wait for a PRACK; it is sent when that has come.
    pub(crate) fn answer_waits(&mut self) -> bool {
        match &mut self.leg_mut(LegSide::A).reliable {
            Some(reliable) if reliable.has_body => {
                reliable.holds_answer = true;
                true
            }
            _ => false,
        }
    }

    /// Repeats what has no PRACK, and gives the call up where none comes.
    pub(crate) fn look_after_reliable(&mut self, exchange: &mut Exchange, now: Nanos) {
        let Some(reliable) = &mut self.leg_mut(LegSide::A).reliable else { return };
        if now >= reliable.give_up {
            self.leg_mut(LegSide::A).reliable = None;
            let ending = Ending::gateway(StatusCode::SERVER_TIMEOUT, "a provisional response was never acknowledged");
            self.end(exchange, now, ending, None);
        } else if now >= reliable.next {
            reliable.wait_ns *= 2;
            reliable.next = now.plus(reliable.wait_ns);
            let _ = exchange.transactions.respond(instant(now), reliable.tx, &reliable.response);
        }
    }

    /// PRACK of the caller.
    pub(crate) fn on_prack(
        &mut self,
        exchange: &mut Exchange,
        now: Nanos,
        side: LegSide,
        (tx, request): (ServerTx, &Request),
    ) {
        let leg = self.leg_mut(side);
        let tag = leg.tag().to_owned();
        let acknowledged = leg.reliable.take_if(|reliable| is_rack_of(request, reliable));
        let Some(reliable) = acknowledged else {
            return exchange.refuse(now, tx, request, StatusCode::CALL_DOES_NOT_EXIST, &tag);
        };
        // An offer in a PRACK would change what has only just been agreed.
        let status = if request.body().is_empty() { StatusCode::OK } else { StatusCode::NOT_ACCEPTABLE_HERE };
        exchange.refuse(now, tx, request, status, &tag);
        if reliable.holds_answer && self.phase == Phase::Answering {
            self.answer_caller(exchange, now);
        }
    }

    /// UPDATE of a callee in an early dialog (RFC 3311 §5.2); any other request is given back. An offer in it would cross ours,
    /// which has no answer yet, or change what has only just been agreed: that has to wait for the call's answer.
    pub(crate) fn on_early_update(
        &mut self,
        exchange: &mut Exchange,
        now: Nanos,
        tx: ServerTx,
        request: Request,
    ) -> Option<Request> {
        if *request.method() != Method::Update || self.phase == Phase::Ending {
            return Some(request);
        }
        let callees = std::iter::once(&mut self.legs[LegSide::B.index()]).chain(&mut self.rivals);
        let mut theirs = callees.filter(|leg| !leg.is_up && request.to_tag() == Some(leg.tag()));
        let Some((leg, early)) = theirs.find_map(|leg| {
            let early = leg.early.iter().position(|early| request.from_tag() == Some(early.tag.as_str()))?;
            Some((leg, early))
        }) else {
            return Some(request);
        };
        let tag = leg.tag().to_owned();
        let last = leg.early[early].remote_cseq.replace(request.cseq_number());
        if last.is_some_and(|last| request.cseq_number() <= last) {
            leg.early[early].remote_cseq = last;
            exchange.refuse(now, tx, &request, StatusCode::SERVER_INTERNAL_ERROR, &tag);
        } else if crate::session_timer::is_too_brief(&request) {
            exchange.refuse_too_brief(now, tx, &request, &tag);
        } else if !request.body().is_empty() {
            exchange.refuse(now, tx, &request, StatusCode::REQUEST_PENDING, &tag);
        } else {
            let response = exchange.response(&request, StatusCode::OK, &tag).contact(leg.contact().as_str());
            exchange.respond(now, tx, response.header(HeaderName::Allow, crate::exchange::ALLOW));
        }
        None
    }

    /// Acknowledges a callee's provisional response that wants it. A repetition has been, by a PRACK that is repeated too.
    pub(crate) fn acknowledge_progress(
        &mut self,
        exchange: &mut Exchange,
        now: Nanos,
        tx: ClientTx,
        response: &Response,
    ) {
        let callees = std::iter::once(&mut self.legs[LegSide::B.index()]).chain(&mut self.rivals);
        for leg in callees.filter(|leg| leg.outgoing == Some(tx)) {
            leg.acknowledge_progress(exchange, now, tx, response);
        }
    }
}

impl Leg {
    /// Whether the peer has answered our INVITE provisionally, and not finally, under this tag of its own.
    pub(crate) fn rings_as(&self, tag: &str) -> bool {
        self.outgoing.is_some() && !self.is_up && self.early.iter().any(|early| early.tag == tag)
    }

    /// Acknowledges a provisional response of the peer's that wants it.
    pub(crate) fn acknowledge_progress(
        &mut self,
        exchange: &mut Exchange,
        now: Nanos,
        tx: ClientTx,
        response: &Response,
    ) {
        let Some(tag) = response.to_tag() else { return };
        let known = match self.early.iter().position(|early| early.tag == tag) {
            Some(known) => known,
            None if self.early.len() >= MAX_EARLY => return,
            None => {
                self.early.push(Early { tag: tag.to_owned(), number: None, remote_cseq: None });
                self.early.len() - 1
            }
        };
        let wants_it = response.require().any(|tag| tag.eq_ignore_ascii_case("100rel"));
        let number = response.value(HeaderName::RSeq).and_then(|value| value.trim().parse::<u32>().ok());
        let Some(number) = number.filter(|_| wants_it) else { return };
        // Section 4: what is not the next in order is not acknowledged.
        let early = &mut self.early[known];
        if early.number.is_some_and(|last| number != last.wrapping_add(1)) {
            return;
        }
        early.number = Some(number);
        let mut dialog = self.dialog.clone();
        tag.clone_into(&mut dialog.id.remote_tag);
        // Without a Contact the way that the INVITE went is the best guess.
        let _ = dialog.confirm(response);
        let rack = format!("{number} {} {}", response.cseq_number(), Method::Invite);
        let request = dialog.request(Method::Prack).header(HeaderName::RAck, &rack);
        self.dialog.local_cseq = dialog.local_cseq;
        exchange.invitation_counts_on(tx, dialog.local_cseq);
        let request = self.authorized(exchange, request);
        let to = exchange.next_hop(now, &dialog, self.home);
        exchange.request(now, to, request, Purpose::Bare);
    }
}

/// Whether RAck names this response (section 7.2).
fn is_rack_of(prack: &Request, reliable: &Reliable) -> bool {
    let Some(rack) = prack.value(HeaderName::RAck) else { return false };
    let mut parts = rack.split_ascii_whitespace();
    let mut number = || parts.next().and_then(|part| part.parse::<u32>().ok());
    let (sequence, cseq) = (number(), number());
    sequence == Some(reliable.number)
        && cseq == Some(reliable.response.cseq_number())
        && parts.next() == Some(Method::Invite.as_str())
}
