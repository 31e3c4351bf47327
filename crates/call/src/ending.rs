//! How a call ends: both peers are told, the flow is removed, the record is written, the call is forgotten.

use std::borrow::Cow;

use tandem_contract::{Command, LegCounters, LegSide, Nanos};
use tandem_sip::{HeaderName, Request, StatusCode};

use crate::call::{Call, Phase, RecordState};
use crate::cause::q850;
use crate::exchange::{Exchange, instant};
use crate::leg::Leg;
use crate::output::CallNumber;
use crate::record::{CallRecord, Ended, LegRecord, UnixMillis};

/// Why a call ends.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Ending {
    /// What the caller is told where it has no final answer yet.
    pub(crate) status: StatusCode,
    /// The cause value of Q.850, told to both in `Reason`.
    pub(crate) q850: u8,
    /// For the record.
    pub(crate) reason: Cow<'static, str>,
    pub(crate) by: Ended,
}

impl Ending {
    /// The gateway's own decision.
    pub(crate) fn gateway(status: StatusCode, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { status, q850: q850(status.as_u16()), reason: reason.into(), by: Ended::Gateway }
    }

    /// One side hung up; `heard` is the cause it gave.
    pub(crate) fn hung_up(side: LegSide, heard: Option<u8>) -> Self {
        let (reason, by) = match side {
            LegSide::A => ("the caller hung up", Ended::Caller),
            LegSide::B => ("the callee hung up", Ended::Callee),
        };
        // Only a call that was not answered yet sees this status.
        let status =
            if side == LegSide::A { StatusCode::REQUEST_TERMINATED } else { StatusCode::TEMPORARILY_UNAVAILABLE };
        Self { status, q850: heard.unwrap_or(16), reason: reason.into(), by }
    }

    /// The value of a `Reason` header (RFC 3326 §2, RFC 6432). The text stays at home: it may name peers.
    fn header(&self) -> String {
        format!("Q.850;cause={}", self.q850)
    }
}

impl Call {
    /// Ends the call, if it has not ended. `told_by` is the side that ended its dialog itself.
    pub(crate) fn end(&mut self, exchange: &mut Exchange, now: Nanos, ending: Ending, told_by: Option<LegSide>) {
        if self.phase == Phase::Ending {
            return;
        }
        self.phase = Phase::Ending;
        self.change = None;
        self.no_answer_at = None;
        self.hang_up_at = None;
        self.retry_at = None;
        self.hunt.next_at = None;
        self.cancel_rivals(exchange, now);
        self.abandon_transfer(exchange, now);
        self.dismiss_replaced(exchange, now);
        if self.answered.is_none() && self.leg(LegSide::B).outgoing.is_some() {
            exchange.trunks.on_unanswered(now, &self.legs[LegSide::B.index()].peer.name);
        }
        self.overlooked = [None, None];
        for leg in &mut self.legs {
            leg.timer = None;
            leg.reliable = None;
        }
        let reason = ending.header();
        for side in LegSide::BOTH {
            self.answer_last(exchange, now, side, &ending, &reason);
            let leg = self.leg_mut(side);
            if let Some(tx) = leg.outgoing.take() {
                exchange.invitation_unwanted(tx);
                let _ = exchange.transactions.cancel(instant(now), tx, Some(&reason));
            }
            if told_by == Some(side) {
                leg.is_up = false;
                leg.unacknowledged = None;
                exchange.dialogs.remove(&leg.dialog_key());
            } else if let Some(waiting) = &mut leg.unacknowledged {
                waiting.bye_reason = Some(reason.clone());
            } else {
                self.send_bye(exchange, now, side, &reason);
            }
        }
        exchange.end_recording(now, self.number);
        self.close_record(exchange, now, &ending);
        if self.media.is_on_worker {
            let patience = u64::from(exchange.config.timeouts.worker_reply_ms) * 1_000_000;
            self.media.removal_due = Some(now.plus(patience));
            let flow = self.media.reservation.flow;
            exchange.command(self.media.reservation.worker, Command::RemoveFlow { flow });
        } else {
            exchange.pool.release(now, self.media.reservation.worker, self.media.reservation.flow);
            self.hand_out_record(exchange);
        }
    }

    /// Gives an INVITE of the peer on `side` its final answer, where it has none.
    fn answer_last(&mut self, exchange: &mut Exchange, now: Nanos, side: LegSide, ending: &Ending, reason: &str) {
        let leg = self.leg_mut(side);
        let Some(incoming) = leg.incoming.take() else { return };
        // A re-INVITE is taken down by the BYE that follows.
        let status = if leg.is_up { StatusCode::REQUEST_TERMINATED } else { ending.status };
        // A 2xx says that the call was ended for a reason that only answered calls have.
        let status = if status.is_success() { StatusCode::TEMPORARILY_UNAVAILABLE } else { status };
        let mut response = exchange.response(&incoming.request, status, leg.tag()).header(HeaderName::Reason, reason);
        if !leg.is_up && status == StatusCode::SERVICE_UNAVAILABLE && exchange.admission.is_draining() {
            response = response.retry_after(exchange.config.limits.retry_after_s);
        }
        if !leg.is_up {
            self.record.status = status.as_u16();
        }
        exchange.respond(now, incoming.tx, response);
    }

    /// Ends the dialog on `side` where there is one.
    pub(crate) fn send_bye(&mut self, exchange: &mut Exchange, now: Nanos, side: LegSide, reason: &str) {
        let leg = self.leg_mut(side);
        if std::mem::take(&mut leg.is_up) {
            let to = leg.next_hop(exchange, now);
            let auth = leg.take_auth();
            exchange.bye(now, &mut leg.dialog, to, reason, auth);
        }
        exchange.dialogs.remove(&leg.dialog_key());
    }

    fn close_record(&mut self, exchange: &mut Exchange, now: Nanos, ending: &Ending) {
        let millis = |ns: u64| ns / 1_000_000;
        let record = &mut self.record;
        record.ended = UnixMillis(exchange.config.wall_clock.unix_millis(now));
        record.answered = self.answered.map(|at| UnixMillis(exchange.config.wall_clock.unix_millis(at)));
        record.setup_ms = millis(self.answered.unwrap_or(now).since(self.started));
        record.duration_ms = self.answered.map_or(0, |answered| millis(now.since(answered)));
        record.reason = ending.reason.clone().into_owned();
        record.q850 = ending.q850;
        record.ended_by = ending.by;
        for (share, leg) in [&mut record.caller, &mut record.callee].into_iter().zip(&self.legs) {
            share.describe(leg);
        }
        if self.answered.is_none() {
            exchange.counters.failed += u64::from(ending.by != Ended::Caller);
        }
    }

    /// What the record would say of the legs now.
    pub(crate) fn measured(&self, counters: &[LegCounters; 2]) -> [LegRecord; 2] {
        let mut shares = [LegRecord::default(), LegRecord::default()];
        for ((share, leg), counters) in shares.iter_mut().zip(&self.legs).zip(counters) {
            share.describe(leg);
            share.count(counters);
        }
        shares
    }

    /// The record is complete.
    pub(crate) fn hand_out_record(&mut self, exchange: &mut Exchange) {
        if self.record_state == RecordState::Open && self.phase == Phase::Ending {
            self.record_state = RecordState::HandedOut;
            exchange.record(self.record.clone());
        }
    }
}

impl LegRecord {
    /// With whom a leg is, and what was agreed.
    fn describe(&mut self, leg: &Leg) {
        let agreed = leg.negotiation.agreement();
        self.peer.clone_from(&leg.peer.name);
        self.call_id.clone_from(&leg.dialog.id.call_id);
        self.codec = agreed.map(|agreed| agreed.format.codec);
        self.srtp = leg.srtp();
        self.local_media = Some(leg.negotiation.local());
        self.remote_media = agreed.and_then(|agreed| agreed.remote);
    }
}

impl CallRecord {
    /// What an INVITE says.
    pub(crate) fn begin(number: CallNumber, unix_millis: u64, request: &Request) -> Self {
        let started = UnixMillis(unix_millis);
        Self {
            number,
            from: request.from().uri.to_owned(),
            to: request.to().uri.to_owned(),
            request_uri: request.uri_text().to_owned(),
            routed_uri: String::new(),
            route: String::new(),
            tried: Vec::new(),
            started,
            answered: None,
            ended: started,
            setup_ms: 0,
            duration_ms: 0,
            status: 0,
            reason: String::new(),
            q850: 0,
            ended_by: Ended::Gateway,
            identity: None,
            recordings: Vec::new(),
            caller: LegRecord { call_id: request.call_id().to_owned(), ..LegRecord::default() },
            callee: LegRecord::default(),
        }
    }
}
