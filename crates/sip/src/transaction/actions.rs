//! Carrying out the rows of the tables.

use core::time::Duration;
use std::sync::Arc;

use super::engine::{Armed, Cancelling, Kind};
use super::table::{self, Action, Event, State, Timer};
use super::{ClientTx, Output, Peer, Slot, TargetFailure, Transactions, Tx};
use crate::build::{ack_for_failure, cancel_for};
use crate::{Instant, Message, Request, Response, ResponseBuilder, StatusCode};

/// What an event brings along.
#[derive(Default)]
pub(super) struct Input {
    pub(super) request: Option<Request>,
    pub(super) response: Option<Response>,
    pub(super) from: Option<Peer>,
    /// How long the timer ran that fires.
    pub(super) interval: Option<Duration>,
}

impl Transactions {
    /// Carries out the row for `event`, and those of timers that run for no time.
    pub(super) fn step(&mut self, now: Instant, slot: Slot, event: Event, mut input: Input) {
        let Some(transaction) = self.get_mut(slot) else { return };
        let Some(row) = table::find(transaction.kind.table(), transaction.state, event) else { return };
        if let Some(failure) = transaction.gives_up_on(event, input.response.as_ref())
            && self.move_on(now, slot, failure, input.response.as_ref())
        {
            return;
        }
        let Some(transaction) = self.get_mut(slot) else { return };
        transaction.state = row.next;
        for action in row.actions {
            self.act(now, slot, *action, &mut input);
        }
        let Some(transaction) = self.get_mut(slot) else { return };
        if transaction.state == State::Terminated {
            self.remove(slot);
            return;
        }
        transaction.shed();
        if let Some(armed) = transaction.limit.filter(|armed| armed.interval.is_zero()) {
            transaction.limit = None;
            self.step(now, slot, Event::Fires(armed.timer), Input::default());
        }
    }

    fn act(&mut self, now: Instant, slot: Slot, action: Action, input: &mut Input) {
        let timers = self.config.timers;
        let Some(transaction) = self.get_mut(slot) else { return };
        let is_reliable = transaction.peer.transport.is_reliable();
        let is_internal = transaction.is_internal;
        let has_others = !transaction.others.is_empty();
        let name = transaction.kind.name(slot);
        match action {
            Action::SendRequest | Action::SendResponse => {
                let wire = transaction.wire.clone();
                let to = transaction.peer;
                if let Some(bytes) = wire {
                    self.counters.retransmissions_sent += u64::from(input.interval.is_some());
                    self.outputs.push_back(Output::Send { to, bytes });
                }
            }
            Action::SendAck => self.send_failure_ack(slot, input.response.as_ref()),
            Action::SendCancel => self.send_cancel(now, slot),
            Action::SendHeldCancel => {
                if matches!(transaction.cancel, Cancelling::Held(_)) {
                    self.arm(now, slot, Timer::Cancelled, timers.first(Timer::Cancelled, is_reliable));
                    self.send_cancel(now, slot);
                }
            }
            // What is to be held has been noted by `cancel`.
            Action::HoldCancel => {}
            Action::SendTrying => self.send_trying(slot),
            Action::DeliverRequest => {
                if let (Tx::Server(id), Some(request), Some(from), false) =
                    (name, input.request.take(), input.from, is_internal)
                {
                    self.outputs.push_back(Output::Request { id, from, request });
                }
            }
            Action::DeliverAck => {
                if let (Some(request), Some(from)) = (input.request.take(), input.from) {
                    self.outputs.push_back(Output::Ack { from, request });
                }
            }
            Action::DeliverResponse => {
                if let (Tx::Client(id), Some(response), Some(from), false) =
                    (name, input.response.take(), input.from, is_internal)
                {
                    self.outputs.push_back(Output::Response { id, from, response });
                }
            }
            Action::ReportTimeout => {
                self.counters.timeouts += 1;
                if !is_internal {
                    self.outputs.push_back(Output::Timeout { id: name });
                }
            }
            Action::ReportTransportError if !is_internal => {
                self.outputs.push_back(Output::TransportFailed { id: name })
            }
            Action::ReportTransportError => {}
            Action::Arm(timer @ (Timer::B | Timer::F)) if has_others => {
                let patience = timers.first(timer, is_reliable).map(|whole| whole.min(timers.failover()));
                self.arm(now, slot, timer, patience);
            }
            Action::Arm(timer) => self.arm(now, slot, timer, timers.first(timer, is_reliable)),
            Action::ArmAtT2(timer) => self.arm(now, slot, timer, Some(timers.t2)),
            Action::Backoff(timer) => {
                let last = input.interval.unwrap_or(timers.t1);
                self.arm(now, slot, timer, Some(timers.backed_off(timer, last)));
            }
            Action::Renew(timer) => {
                if transaction.armed(timer).is_some_and(|armed| armed.timer == timer) {
                    self.arm(now, slot, timer, timers.first(timer, is_reliable));
                }
            }
            Action::Stop(timer) => {
                let armed = transaction.armed(timer);
                if armed.is_some_and(|armed| armed.timer == timer) {
                    *armed = None;
                }
                if timer == Timer::Trying100 {
                    transaction.invite = None;
                }
            }
        }
    }

    /// Tries the next target with a branch of its own (RFC 3263 section 4.3); `false` where there is none.
    fn move_on(&mut self, now: Instant, slot: Slot, failure: TargetFailure, response: Option<&Response>) -> bool {
        if response.is_some() && self.get(slot).is_some_and(|transaction| transaction.kind == Kind::InviteClient) {
            self.send_failure_ack(slot, response);
        }
        let Some(next) = self.get_mut(slot).and_then(|transaction| transaction.others.pop()) else { return false };
        let Some(wire) = self.get(slot).and_then(|transaction| transaction.wire.clone()) else { return false };
        let branch = self.identifiers().branch();
        let Some(request) = with_top_via(&wire, &self.via(&next, &branch)) else { return false };
        self.counters.failovers += 1;
        self.rename_client(slot, &branch, request.method());
        let Some(transaction) = self.get_mut(slot) else { return false };
        let target = core::mem::replace(&mut transaction.peer, next);
        transaction.wire = Some(request.to_bytes());
        transaction.invite = (transaction.kind == Kind::InviteClient).then(|| Box::new(request));
        transaction.state = State::Initial;
        (transaction.ack, transaction.repeat, transaction.limit) = (None, None, None);
        self.outputs.push_back(Output::MovedOn { id: ClientTx(slot), target, failure, next });
        self.step(now, slot, Event::Start, Input::default());
        true
    }

    fn arm(&mut self, now: Instant, slot: Slot, timer: Timer, interval: Option<Duration>) {
        let Some(interval) = interval else { return };
        let at = now + interval;
        if let Some(transaction) = self.get_mut(slot) {
            *transaction.armed(timer) = Some(Armed { timer, at, interval });
            if !interval.is_zero() || timer == Timer::Trying100 {
                self.deadlines.push(at, slot);
            }
        }
    }

    fn send_failure_ack(&mut self, slot: Slot, response: Option<&Response>) {
        let Some(transaction) = self.get_mut(slot) else { return };
        if transaction.ack.is_none()
            && let (Some(invite), Some(response)) = (&transaction.invite, response)
            && let Ok(ack) = ack_for_failure(invite, response)
        {
            transaction.ack = Some(ack.to_bytes());
        }
        let to = transaction.peer;
        if let Some(bytes) = transaction.ack.clone() {
            self.outputs.push_back(Output::Send { to, bytes });
        }
    }

    fn send_cancel(&mut self, now: Instant, slot: Slot) {
        let Some(transaction) = self.get_mut(slot) else { return };
        let to = transaction.peer;
        let reason = match core::mem::replace(&mut transaction.cancel, Cancelling::Sent) {
            Cancelling::Held(reason) => reason,
            _ => None,
        };
        if let Some(invite) = &transaction.invite
            && let Ok(cancel) = cancel_for(invite, reason.as_deref())
        {
            self.begin_client(now, to, cancel, true);
        }
    }

    fn send_trying(&mut self, slot: Slot) {
        let Some(transaction) = self.get_mut(slot) else { return };
        let to = transaction.peer;
        if let Some(invite) = transaction.invite.take()
            && let Ok(trying) = ResponseBuilder::new(&invite, StatusCode::TRYING).build()
        {
            let bytes = trying.to_bytes();
            transaction.wire = Some(Arc::clone(&bytes));
            self.outputs.push_back(Output::Send { to, bytes });
        }
    }
}

/// A request of ours with another topmost Via, which is its second line.
fn with_top_via(wire: &[u8], via: &str) -> Option<Request> {
    let start = memchr::memmem::find(wire, b"\r\n")? + 2;
    let rest = start + memchr::memmem::find(&wire[start..], b"\r\n")? + 2;
    let bytes = [&wire[..start], b"Via: ", via.as_bytes(), b"\r\n", &wire[rest..]].concat();
    match Message::parse(&bytes, &crate::build::OWN_LIMITS) {
        Ok(Message::Request(request)) => Some(request),
        _ => None,
    }
}
