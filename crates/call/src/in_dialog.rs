//! Requests inside a call's dialogs, apart from what they change.

use tandem_contract::{LegSide, Nanos};
use tandem_sip::{HeaderName, Method, Request, Response, ServerTx, StatusCode, uas};

use crate::call::{Call, Phase};
use crate::ending::Ending;
use crate::exchange::{ALLOW, EXTENSIONS, Exchange, METHODS, Purpose, SDP, instant};
use crate::replaces::Named;

/// At most this many INFOs of one call are under way at a time.
pub(crate) const MAX_RELAYS: u8 = 8;

impl Call {
    /// A request of the peer on `side`, in its dialog.
    pub(crate) fn on_request(
        &mut self,
        exchange: &mut Exchange,
        now: Nanos,
        side: LegSide,
        (tx, request): (ServerTx, Request),
        named: Named,
    ) {
        let Some(request) = self.on_early_update(exchange, now, tx, request) else { return };
        let is_bye = *request.method() == Method::Bye;
        let is_over = self.phase == Phase::Ending && !is_bye;
        if is_over || request.from_tag().unwrap_or_default() != self.leg(side).dialog.id.remote_tag {
            let tag = self.leg(side).tag().to_owned();
            return exchange.refuse(now, tx, &request, StatusCode::CALL_DOES_NOT_EXIST, &tag);
        }
        if let Err(refusal) = check(&request) {
            if let Ok(response) = refusal.response(&request, self.leg(side).tag()) {
                let _ = exchange.transactions.respond(instant(now), tx, &response);
            }
            return;
        }
        let leg = self.leg_mut(side);
        if leg.dialog.on_request(&request).is_err() {
            let tag = leg.tag().to_owned();
            return exchange.refuse(now, tx, &request, StatusCode::SERVER_INTERNAL_ERROR, &tag);
        }
        match request.method() {
            Method::Invite => self.on_reinvite(exchange, now, side, (tx, request)),
            Method::Bye => self.on_bye(exchange, now, side, (tx, &request)),
            Method::Prack => self.on_prack(exchange, now, side, (tx, &request)),
            Method::Update => self.on_update(exchange, now, side, (tx, request)),
            Method::Refer => self.on_refer(exchange, now, side, (tx, request), named),
            Method::Info => self.on_info(exchange, now, side, (tx, request)),
            _ => {
                let response = exchange.response(&request, StatusCode::OK, self.leg(side).tag());
                exchange.respond(now, tx, response.header(HeaderName::Allow, ALLOW).header(HeaderName::Accept, SDP));
            }
        }
    }

    fn on_bye(&mut self, exchange: &mut Exchange, now: Nanos, side: LegSide, (tx, request): (ServerTx, &Request)) {
        let tag = self.leg(side).tag().to_owned();
        exchange.refuse(now, tx, request, StatusCode::OK, &tag);
        if self.phase == Phase::Ending {
            // It crossed our own end, which waited for an ACK that is no longer needed.
            let leg = self.leg_mut(side);
            leg.unacknowledged = None;
            leg.is_up = false;
            exchange.dialogs.remove(&leg.dialog_key());
            return;
        }
        if self.leaves_transfer(exchange, side) {
            return;
        }
        let q850 = request.reasons().flatten().find(|reason| reason.protocol.eq_ignore_ascii_case("Q.850"));
        let heard =
            q850.and_then(|reason| reason.cause()).and_then(|cause| u8::try_from(cause).ok()).filter(|c| *c < 128);
        self.end(exchange, now, Ending::hung_up(side, heard), Some(side));
    }

    /// INFO (RFC 6086), DTMF mostly: a key may become an event on the other leg; else it is passed to the other side as it is, and
    /// its answer comes back.
    fn on_info(&mut self, exchange: &mut Exchange, now: Nanos, side: LegSide, (tx, request): (ServerTx, Request)) {
        let tag = self.leg(side).tag().to_owned();
        let number = self.number;
        if self.take_key(exchange, side, &request) {
            return exchange.refuse(now, tx, &request, StatusCode::OK, &tag);
        }
        let other = self.leg_mut(side.other());
        if !other.is_up {
            return exchange.refuse(now, tx, &request, StatusCode::TEMPORARILY_UNAVAILABLE, &tag);
        }
        if self.relays >= MAX_RELAYS {
            return exchange.refuse(now, tx, &request, StatusCode::SERVICE_UNAVAILABLE, &tag);
        }
        let other = self.leg_mut(side.other());
        let mut passed = other.dialog.request(Method::Info);
        if let Some(package) = request.extension("Info-Package") {
            passed = passed.extension("Info-Package", package);
        }
        if let Some(content_type) = request.value(HeaderName::ContentType) {
            passed = passed.body(content_type, request.body());
        }
        let passed = other.authorized(exchange, passed);
        let to = other.next_hop(exchange, now);
        let purpose = Purpose::Relay { call: number, server: tx, request: Box::new(request.clone()) };
        match exchange.request(now, to, passed, purpose) {
            Some(_) => self.relays += 1,
            None => exchange.refuse(now, tx, &request, StatusCode::SERVICE_UNAVAILABLE, &tag),
        }
    }
}

/// What the other side answered to an INFO goes back: the status, and nothing of its network.
pub(crate) fn relay_answer(
    exchange: &mut Exchange,
    now: Nanos,
    server: ServerTx,
    request: &Request,
    response: Option<&Response>,
) {
    let status = response.map_or(StatusCode::REQUEST_TIMEOUT, Response::status);
    let tag = request.to_tag().unwrap_or_default().to_owned();
    exchange.refuse(now, server, request, status, &tag);
}

/// RFC 3261 §8.2, as far as it applies inside a dialog. The body of an INFO may be anything.
fn check(request: &Request) -> Result<(), uas::Refusal> {
    uas::check_method(request, METHODS)?;
    uas::check_addresses(request)?;
    uas::check_require(request, EXTENSIONS)?;
    if *request.method() == Method::Info { Ok(()) } else { uas::check_content(request, &[SDP]) }
}
