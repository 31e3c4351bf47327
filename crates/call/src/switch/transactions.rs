//! What the transaction layer says: requests and responses that begin, change and end calls.

use tandem_contract::{LegSide, Nanos};
use tandem_sip::transaction::Tx;
use tandem_sip::{
    ClientTx, HeaderName, Method, Peer as SipPeer, Request, Response, ServerTx, StatusCode, transaction, uas,
};

use super::Switch;
use crate::call::Call;
use crate::exchange::{ALLOW, Exchange, METHODS, Purpose, SDP, instant};
use crate::guard::Offence;
use crate::hunt::Refusal;
use crate::in_dialog::relay_answer;
use crate::output::CallNumber;
use crate::trunks::Reached;
use crate::users::Caller;

impl Switch {
    /// Takes what the transaction layer has to say until it says no more, and tells recording servers what came of it.
    pub(crate) fn pump(&mut self, now: Nanos) {
        self.pump_transactions(now);
        while let Some(number) = self.exchange.recordings.take_touched() {
            if let Some(call) = self.calls.get_mut(&number) {
                self.exchange.look_after_recording(now, call);
                call.set_alarm(&mut self.exchange);
                self.note_change(number);
            }
            self.pump_transactions(now);
        }
    }

    fn pump_transactions(&mut self, now: Nanos) {
        while let Some(output) = self.exchange.transactions.poll_output() {
            match output {
                transaction::Output::Send { to, bytes } => self.exchange.send(now, to, &bytes),
                transaction::Output::Request { id, from, request } => self.on_request(now, id, from, request),
                transaction::Output::Ack { request, .. } => {
                    if let Some((number, side)) = self.dialog_of(&request) {
                        self.with_call(number, |call, exchange| call.on_ack(exchange, now, side, &request));
                    }
                }
                transaction::Output::Cancel { invite, .. } => {
                    if let Some(&(number, side)) = self.exchange.invites.get(&invite) {
                        self.with_call(number, |call, exchange| call.on_cancel(exchange, now, side));
                    }
                }
                transaction::Output::Response { id, response, .. } => {
                    if let Some(response) = self.exchange.keep_for_name(now, id, response) {
                        self.on_response(now, id, &response);
                    }
                }
                transaction::Output::MovedOn { id, target, failure, next } => {
                    self.on_moved_on(now, id, (target, failure), next);
                }
                transaction::Output::Timeout { id: Tx::Client(id) } => self.on_no_response(now, id, Refusal::Silent),
                transaction::Output::TransportFailed { id: Tx::Client(id) } => {
                    self.on_no_response(now, id, Refusal::Transport);
                }
                // What becomes of our responses is their receivers' business: they ask again, or the ACK is missed.
                transaction::Output::Timeout { id: Tx::Server(_) }
                | transaction::Output::TransportFailed { id: Tx::Server(_) } => {}
                transaction::Output::Terminated { id: Tx::Client(id) } => {
                    self.exchange.requests.remove(&id);
                }
                transaction::Output::Terminated { id: Tx::Server(id) } => {
                    self.exchange.invites.remove(&id);
                }
            }
        }
    }

    fn dialog_of(&self, request: &Request) -> Option<(CallNumber, LegSide)> {
        let tag = request.to_tag()?;
        self.exchange.dialogs.get(&(request.call_id().to_owned(), tag.to_owned())).copied()
    }

    fn on_request(&mut self, now: Nanos, tx: ServerTx, from: SipPeer, request: Request) {
        self.exchange.note_alias(from, &request);
        if self.exchange.on_recorder_request(now, tx, &request) {
            return;
        }
        if let Some((number, side)) = self.dialog_of(&request) {
            let named = self.named_by(now, &request);
            self.with_call(number, |call, exchange| {
                let leg = call.leg_mut(side);
                // Whoever does not know the dialog's tags does not move it.
                if request.from_tag() == Some(leg.dialog.id.remote_tag.as_str()) {
                    leg.heard_from(from);
                }
                call.on_request(exchange, now, side, (tx, request), named);
            });
            return;
        }
        let exchange = &mut self.exchange;
        let tag = exchange.tag();
        let is_in_dialog = request.to_tag().is_some();
        match request.method() {
            Method::Invite if !is_in_dialog => self.on_invite(now, tx, from, request),
            Method::Register if !is_in_dialog && exchange.users.is_some() => {
                exchange.on_register(now, tx, from, request)
            }
            Method::Options if !is_in_dialog => on_options(exchange, now, tx, &request, &tag),
            _ => match uas::check_method(&request, METHODS) {
                Err(refusal) if !is_in_dialog => {
                    if let Ok(response) = refusal.response(&request, &tag) {
                        let _ = exchange.transactions.respond(instant(now), tx, &response);
                    }
                }
                _ => exchange.refuse(now, tx, &request, StatusCode::CALL_DOES_NOT_EXIST, &tag),
            },
        }
    }

    fn on_invite(&mut self, now: Nanos, tx: ServerTx, from: SipPeer, request: Request) {
        let exchange = &mut self.exchange;
        let source = match exchange.routing.peer_of(from.remote) {
            Some(source) => source,
            None => match exchange.user_of(now, tx, from, &request) {
                Caller::User(source) => source,
                Caller::Answered => return,
                Caller::Stranger => {
                    // No call attempt, and no record: anybody on the Internet can send these.
                    exchange.counters.refused_strangers += 1;
                    exchange.guard.strike(now, from.remote.ip(), Offence::Stranger);
                    let tag = exchange.tag();
                    return exchange.refuse(now, tx, &request, StatusCode::FORBIDDEN, &tag);
                }
            },
        };
        if request.value(HeaderName::Replaces).is_some() {
            return self.on_replacing_invite(now, (tx, request), (source, from));
        }
        // Records that nobody writes must not pile up.
        if exchange.unconfirmed.len() >= exchange.config.limits.max_calls.max(1_000) as usize {
            exchange.counters.refused_busy += 1;
            let tag = exchange.tag();
            let retry_after_s = exchange.config.limits.retry_after_s;
            let response =
                exchange.response(&request, StatusCode::SERVICE_UNAVAILABLE, &tag).retry_after(retry_after_s);
            exchange.respond(now, tx, response);
            return;
        }
        if let Some(mut call) = Call::begin(exchange, now, (tx, request), (source, from)) {
            call.set_alarm(exchange);
            let place = &call.media.reservation;
            self.flows.insert((place.worker, place.flow.slot, place.flow.generation), call.number);
            self.note_change(call.number);
            self.calls.insert(call.number, call);
        }
    }

    pub(crate) fn on_response(&mut self, now: Nanos, tx: ClientTx, response: &Response) {
        let status = response.status();
        match self.exchange.requests.get(&tx) {
            Some(Purpose::Invite(invitation)) => {
                let (number, side) = (invitation.call, invitation.leg);
                if status.is_success() && self.exchange.absorb_success(now, tx, response) {
                    return;
                }
                self.with_call(number, |call, exchange| {
                    if call.transfers(tx) {
                        return call.on_transfer_response(exchange, now, tx, response);
                    }
                    let leg = call.leg(side);
                    if !leg.is_up {
                        call.on_callee_response(exchange, now, tx, response);
                    } else if leg.outgoing == Some(tx) && status.is_success() {
                        call.on_change_answer(exchange, now, side, (tx, response));
                    } else if leg.outgoing == Some(tx) && status.is_final() {
                        if call.leg_mut(side).may_ask_again(response) {
                            call.tell_again(exchange, now, side);
                        } else {
                            call.on_change_failure(exchange, now, side, Some(status));
                        }
                    }
                });
            }
            Some(Purpose::Recording(_)) => self.exchange.on_recording_answer(now, tx, response),
            Some(Purpose::Ping(name, asked)) if status.is_final() => {
                let is_refusing = status == StatusCode::SERVICE_UNAVAILABLE;
                let reached = if is_refusing { Reached::Refusing } else { Reached::Yes };
                self.exchange.trunks.on_ping(now, (name, *asked), reached);
                self.exchange.requests.remove(&tx);
            }
            Some(Purpose::Relay { .. }) if status.is_final() => self.on_relay_end(now, tx, Some(response)),
            Some(Purpose::Bye(_)) if status.is_final() => self.exchange.on_bye_answer(now, tx, response),
            Some(Purpose::Register(..)) if status.is_final() => self.on_registered(now, tx, Some(response)),
            Some(Purpose::Refresh { .. }) if status.is_final() => self.on_refreshed(now, tx, Some(response)),
            // The transaction lingers for repeated answers; nobody waits for it.
            Some(Purpose::Key { .. }) if status.is_final() => self.on_key_end(tx),
            Some(Purpose::Bare) if status.is_final() => drop(self.exchange.requests.remove(&tx)),
            _ => {}
        }
    }

    /// A request of ours got no final answer.
    fn on_no_response(&mut self, now: Nanos, tx: ClientTx, why: Refusal<'static>) {
        match self.exchange.requests.get(&tx) {
            Some(Purpose::Invite(invitation)) => {
                let (number, side) = (invitation.call, invitation.leg);
                self.with_call(number, |call, exchange| {
                    if call.transfers(tx) {
                        call.fail_transfer(exchange, now, &why);
                    } else if !call.leg(side).is_up {
                        call.on_callee_failure(exchange, now, tx, &why);
                    } else if call.leg(side).outgoing == Some(tx) {
                        call.on_change_failure(exchange, now, side, None);
                    }
                });
            }
            Some(Purpose::Recording(_)) => self.exchange.on_recording_refused(now, tx, None),
            Some(Purpose::Relay { .. }) => self.on_relay_end(now, tx, None),
            Some(Purpose::Key { .. }) => self.on_key_end(tx),
            Some(Purpose::Register(..)) => self.on_registered(now, tx, None),
            Some(Purpose::Refresh { .. }) => self.on_refreshed(now, tx, None),
            Some(Purpose::Ping(name, asked)) => {
                let reached = if matches!(why, Refusal::Silent) { Reached::Silent } else { Reached::Unreachable };
                self.exchange.trunks.on_ping(now, (name, *asked), reached);
                self.exchange.requests.remove(&tx);
            }
            _ => {}
        }
    }

    fn on_key_end(&mut self, tx: ClientTx) {
        let Some(Purpose::Key { call }) = self.exchange.requests.remove(&tx) else { return };
        self.with_call(call, |call, _| call.relays = call.relays.saturating_sub(1));
    }

    fn on_registered(&mut self, now: Nanos, tx: ClientTx, response: Option<&Response>) {
        let Some(Purpose::Register(name, contact)) = self.exchange.requests.remove(&tx) else { return };
        self.exchange.on_registered(now, &name, &contact, response);
        self.exchange.register(now);
    }

    fn on_refreshed(&mut self, now: Nanos, tx: ClientTx, response: Option<&Response>) {
        let Some(Purpose::Refresh { call, leg }) = self.exchange.requests.remove(&tx) else { return };
        self.with_call(call, |call, exchange| {
            call.on_refreshed(exchange, now, leg, response);
            call.look_after_timers(exchange, now);
        });
    }

    fn on_relay_end(&mut self, now: Nanos, tx: ClientTx, response: Option<&Response>) {
        let Some(Purpose::Relay { call, server, request }) = self.exchange.requests.remove(&tx) else { return };
        relay_answer(&mut self.exchange, now, server, &request, response);
        self.with_call(call, |call, _| call.relays = call.relays.saturating_sub(1));
    }
}

/// OPTIONS outside of dialogs: what an INVITE would meet (RFC 3261 §11.2), so that peers may watch us with it.
fn on_options(exchange: &mut Exchange, now: Nanos, tx: ServerTx, request: &Request, tag: &str) {
    let response = if exchange.admission.is_draining() {
        let retry_after_s = exchange.config.limits.retry_after_s;
        exchange.response(request, StatusCode::SERVICE_UNAVAILABLE, tag).retry_after(retry_after_s)
    } else {
        exchange.response(request, StatusCode::OK, tag)
    };
    exchange.respond(now, tx, response.header(HeaderName::Allow, ALLOW).header(HeaderName::Accept, SDP));
}
