//! One call: two legs, one media flow, one record.
//!
//! | phase | what is awaited | who moves it on |
//! | --- | --- | --- |
//! | `Reserving` | the worker confirms the flow | [`Call::on_worker`] |
//! | `Calling` | the callee's final answer | `setup` |
//! | `Answering` | the worker confirms the agreed media, then the caller gets its 200 | [`Call::on_worker`] |
//! | `Answered` | the end; re-INVITEs on the way | `change` |
//! | `Ending` | the worker's last counters, the record's confirmation, a late ACK | `ending` |

use tandem_contract::{Codec, Command, Direction, Epoch, Event, LegConfig, LegSide, Nanos, Refusal};
use tandem_sdp::Negotiation;
use tandem_sip::{Request, StatusCode};

use crate::change::Change;
use crate::config::PeerId;
use crate::ending::Ending;
use crate::exchange::Exchange;
use crate::functions::MediaFunctions;
use crate::hunt::{Hunt, Refusal as CalleeRefusal};
use crate::leg::{Leg, Waiting};
use crate::media_pool::Reservation;
use crate::output::{CallNumber, CallSnapshot, CallState};
use crate::record::CallRecord;
use crate::silence::Overlooked;
use crate::transfer::Transfer;

/// One call.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) number: CallNumber,
    pub(crate) started: Nanos,
    pub(crate) answered: Option<Nanos>,
    pub(crate) phase: Phase,
    /// The callee rings, or early media flows.
    pub(crate) is_ringing: bool,
    /// Leg A and leg B.
    pub(crate) legs: [Leg; 2],
    pub(crate) media: Media,
    pub(crate) functions: MediaFunctions,
    pub(crate) record: CallRecord,
    pub(crate) record_state: RecordState,
    /// Hops left for the INVITE to the callee.
    pub(crate) max_forwards: u8,
    /// What the caller offered that we share, in its order; its configured codecs where it offered nothing.
    pub(crate) caller_codecs: Vec<Codec>,
    /// Our answer to the caller's first offer, once it was made: it may be told early and never changes.
    pub(crate) first_answer: Option<String>,
    /// The peer that the route has the call recorded by.
    pub(crate) recorder: Option<String>,
    /// Who is called next, should leg B not take the call.
    pub(crate) hunt: Hunt,
    /// Somebody is to take the place of one side.
    pub(crate) transfer: Option<Transfer>,
    /// Who had the place of one side that another is taking.
    pub(crate) replaced: Option<Box<(LegSide, Leg)>>,
    /// Callees that are called beside leg B.
    pub(crate) rivals: Vec<Leg>,
    pub(crate) change: Option<Change>,
    pub(crate) no_answer_at: Option<Nanos>,
    pub(crate) hang_up_at: Option<Nanos>,
    /// When to tell a peer again what it could not hear for a glare.
    pub(crate) retry_at: Option<Nanos>,
    /// Silences of leg A and leg B that came at a time when they were no reason to end.
    pub(crate) overlooked: [Option<Overlooked>; 2],
    /// INFOs that wait for a side's answer.
    pub(crate) relays: u8,
    /// The deadline that is in [`Exchange::alarms`].
    alarm: Option<Nanos>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) enum Phase {
    Reserving,
    Calling,
    Answering,
    Answered,
    Ending,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RecordState {
    Open,
    HandedOut,
    Confirmed,
}

/// The call's flow on its worker.
#[derive(Debug)]
pub(crate) struct Media {
    pub(crate) reservation: Reservation,
    epoch: Epoch,
    /// What the worker was told last.
    sent: [LegConfig; 2],
    /// What it confirmed last.
    confirmed: [LegConfig; 2],
    pending: Option<Pending>,
    /// The worker has the flow, or was asked to take it.
    pub(crate) is_on_worker: bool,
    /// By when the worker should have said that the flow is gone.
    pub(crate) removal_due: Option<Nanos>,
}

#[derive(Debug)]
struct Pending {
    epoch: Epoch,
    due: Nanos,
    then: Then,
}

/// What waits for the worker's confirmation.
#[derive(Debug)]
pub(crate) enum Then {
    /// The INVITE to the callee.
    InviteCallee,
    /// A 183 with our answer to the caller.
    Progress,
    /// The 200 to the caller.
    AnswerCaller,
    /// The 200 to a re-INVITE of the peer on `leg`.
    AnswerChange {
        leg: LegSide,
        body: String,
        /// What held before, should the worker refuse.
        before: Box<Negotiation>,
    },
    /// Nothing but what may have come up meanwhile.
    Settle,
    /// The flow that another node had goes on here; then this.
    Resumed {
        /// The worker had it before it was asked to: where it refuses, it has it still.
        at_hand: bool,
        then: Box<Self>,
    },
}

impl Media {
    pub(crate) const fn new(reservation: Reservation, legs: [LegConfig; 2]) -> Self {
        Self {
            reservation,
            epoch: Epoch(0),
            sent: legs,
            confirmed: legs,
            pending: None,
            is_on_worker: false,
            removal_due: None,
        }
    }

    /// What waits for the worker's answer.
    pub(crate) fn then(&self) -> Option<&Then> {
        self.pending.as_ref().map(|pending| match &pending.then {
            Then::Resumed { then, .. } => then,
            then => then,
        })
    }

    pub(crate) const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Whether the worker owes an answer.
    pub(crate) const fn is_busy(&self) -> bool {
        self.pending.is_some()
    }
}

impl Call {
    pub(crate) fn new(
        number: CallNumber,
        now: Nanos,
        legs: [Leg; 2],
        reservation: Reservation,
        record: CallRecord,
        max_forwards: u8,
        caller_codecs: Vec<Codec>,
        hunt: Hunt,
    ) -> Self {
        let media = Media::new(reservation, [legs[0].media(), legs[1].media()]);
        Self {
            number,
            started: now,
            answered: None,
            phase: Phase::Reserving,
            is_ringing: false,
            legs,
            media,
            functions: MediaFunctions::default(),
            record,
            record_state: RecordState::Open,
            max_forwards,
            caller_codecs,
            first_answer: None,
            recorder: None,
            hunt,
            transfer: None,
            replaced: None,
            rivals: Vec::new(),
            change: None,
            no_answer_at: None,
            hang_up_at: None,
            retry_at: None,
            overlooked: [None, None],
            relays: 0,
            alarm: None,
        }
    }

    pub(crate) const fn leg(&self, side: LegSide) -> &Leg {
        &self.legs[side.index()]
    }

    pub(crate) const fn leg_mut(&mut self, side: LegSide) -> &mut Leg {
        &mut self.legs[side.index()]
    }

    /// Whether the peer on `side` was put on hold by the other one, and is to hear music.
    pub(crate) fn is_held(&self, side: LegSide) -> bool {
        let holder = self.leg(side.other());
        holder.peer.hold_music && holder.holds && !holder.wish.receives()
    }

    /// What the peer on `side` wants, as the other side is to know it: whom it holds is to hear music, also where it sends
    /// nothing itself.
    pub(crate) fn wish_of(&self, side: LegSide) -> Direction {
        let wish = self.leg(side).wish;
        Direction::new(wish.sends() || self.is_held(side.other()), wish.receives())
    }

    /// The codec spoken on a leg.
    pub(crate) fn codec(&self, side: LegSide) -> Option<Codec> {
        self.leg(side).negotiation.agreement().map(|agreed| agreed.format.codec)
    }

    /// Asks the worker to take the flow.
    pub(crate) fn install(&mut self, exchange: &mut Exchange, now: Nanos) {
        let Reservation { worker, flow, .. } = self.media.reservation;
        self.media.epoch = self.media.epoch.next();
        self.media.is_on_worker = true;
        self.pend(exchange, now, Then::InviteCallee);
        let Media { epoch, sent, .. } = self.media;
        exchange.command(worker, Command::InstallFlow { flow, epoch, legs: sent });
    }

    /// Brings the worker up to what the legs agreed, and goes on with `then` when it says so; at once where it knows.
    pub(crate) fn update_media(&mut self, exchange: &mut Exchange, now: Nanos, then: Then) {
        let legs = LegSide::BOTH.map(|side| LegConfig { held: self.is_held(side), ..self.leg(side).media() });
        if legs == self.media.sent {
            match &mut self.media.pending {
                Some(pending) => pending.then = then,
                None => self.proceed(exchange, now, then),
            }
            return;
        }
        let Reservation { worker, flow, .. } = self.media.reservation;
        self.media.sent = legs;
        self.media.epoch = self.media.epoch.next();
        let epoch = self.media.epoch;
        self.pend(exchange, now, then);
        exchange.command(worker, Command::UpdateFlow { flow, epoch, legs });
    }

    /// The flow was on another node and is to come here; what the worker is to be told of its legs.
    pub(crate) fn resume_with(&mut self, exchange: &Exchange, now: Nanos, then: Then, at_hand: bool) -> [LegConfig; 2] {
        let legs = self.legs_of_flow();
        self.media.sent = legs;
        self.media.epoch = self.media.epoch.next();
        self.media.is_on_worker = true;
        self.pend(exchange, now, Then::Resumed { at_hand, then: Box::new(then) });
        legs
    }

    /// What a worker is to be told of the legs as they are.
    pub(crate) fn legs_of_flow(&self) -> [LegConfig; 2] {
        LegSide::BOTH.map(|side| LegConfig { held: self.is_held(side), ..self.leg(side).media() })
    }

    fn pend(&mut self, exchange: &Exchange, now: Nanos, then: Then) {
        let patience = u64::from(exchange.config.timeouts.worker_reply_ms) * 1_000_000;
        self.media.pending = Some(Pending { epoch: self.media.epoch, due: now.plus(patience), then });
    }

    /// The worker said something of this call's flow.
    pub(crate) fn on_worker(&mut self, exchange: &mut Exchange, now: Nanos, event: Event) {
        match event {
            Event::Installed { epoch, .. } | Event::Updated { epoch, .. } => {
                if let Some(pending) = self.media.pending.take_if(|pending| pending.epoch == epoch) {
                    self.media.confirmed = self.media.sent;
                    self.proceed(exchange, now, pending.then);
                }
            }
            Event::Refused { epoch, reason, .. } => {
                let is_first =
                    matches!(&self.media.pending, Some(Pending { then: Then::Resumed { at_hand: false, .. }, .. }));
                if (self.phase == Phase::Reserving || is_first) && epoch == self.media.epoch {
                    // Nothing was installed, so nothing is to be removed.
                    self.media.is_on_worker = false;
                }
                if let Some(pending) = self.media.pending.take_if(|pending| pending.epoch == epoch) {
                    exchange.counters.worker_refusals += 1;
                    self.on_refusal(exchange, now, pending.then, reason);
                }
            }
            Event::Removed { counters, .. } => {
                self.media.is_on_worker = false;
                self.media.removal_due = None;
                self.record.caller.count(&counters[0]);
                self.record.callee.count(&counters[1]);
                if self.phase == Phase::Ending {
                    self.hand_out_record(exchange);
                } else {
                    // The worker lost the flow by itself.
                    self.end(
                        exchange,
                        now,
                        Ending::gateway(StatusCode::SERVER_INTERNAL_ERROR, "the media flow is gone"),
                        None,
                    );
                }
            }
            Event::MediaTimeout { leg, idle_ms, .. } => self.on_silence(exchange, now, leg, idle_ms),
            Event::Counters { counters, .. } => self.on_counters(exchange, now, &counters),
            Event::TelephoneEvent { leg, code, duration_ms, .. } => {
                self.on_telephone_event(exchange, now, leg, code, duration_ms);
            }
            Event::AddressLost { leg, .. } => self.on_address_lost(exchange, now, leg),
            Event::MediaStarted { leg, handed_over, .. } => self.on_started(exchange, leg, handed_over),
            Event::Position { .. }
            | Event::FunctionDone { .. }
            | Event::PlaybackEnded { .. }
            | Event::AddressAdded { .. }
            | Event::AddressAnnounced { .. }
            | Event::AddressRemoved { .. }
            | Event::AddressRefused { .. } => {}
        }
    }

    /// A leg received its first packet: where it was placed for that, was it brought to its own worker?
    fn on_started(&self, exchange: &mut Exchange, leg: LegSide, handed_over: bool) {
        if leg == LegSide::A && self.media.reservation.is_placed {
            exchange.pool.spreads.on_started(handed_over);
            *(if handed_over { &mut exchange.counters.legs_astray } else { &mut exchange.counters.legs_near }) += 1;
        }
    }

    /// The address that a peer was told to send to is not ours any more.
    fn on_address_lost(&mut self, exchange: &mut Exchange, now: Nanos, leg: LegSide) {
        if self.phase == Phase::Ending {
            return;
        }
        let address = self.media.reservation.local(leg).ip();
        let reason = format!("the media address {address} was removed");
        self.end(exchange, now, Ending::gateway(StatusCode::SERVICE_UNAVAILABLE, reason), None);
    }

    fn proceed(&mut self, exchange: &mut Exchange, now: Nanos, then: Then) {
        match then {
            _ if self.phase == Phase::Ending => {}
            Then::InviteCallee => self.invite_callee(exchange, now),
            Then::Progress => self.send_progress(exchange, now),
            Then::AnswerCaller => self.answer_caller(exchange, now),
            Then::AnswerChange { leg, body, .. } => self.answer_change(exchange, now, leg, &body),
            Then::Settle => self.settle(exchange, now),
            Then::Resumed { then, .. } => {
                exchange.copy(self.number);
                self.proceed(exchange, now, *then);
            }
        }
    }

    fn on_refusal(&mut self, exchange: &mut Exchange, now: Nanos, then: Then, reason: Refusal) {
        if self.phase == Phase::Ending {
            return;
        }
        let (status, text) = match reason {
            Refusal::CodecPairUnsupported => {
                (StatusCode::NOT_ACCEPTABLE_HERE, "the worker cannot join the two codecs".to_owned())
            }
            Refusal::TranscodersExhausted => {
                (StatusCode::SERVICE_UNAVAILABLE, "the worker has no transcoder left".to_owned())
            }
            Refusal::SrtpContextsExhausted => {
                (StatusCode::SERVICE_UNAVAILABLE, "the worker has no room for another SRTP leg".to_owned())
            }
            Refusal::HalfOpenExhausted => {
                (StatusCode::SERVICE_UNAVAILABLE, "too many calls wait for their first packet".to_owned())
            }
            other => (StatusCode::SERVER_INTERNAL_ERROR, format!("the worker refused the media flow: {other:?}")),
        };
        match then {
            Then::AnswerChange { leg, before, .. } => {
                self.leg_mut(leg).negotiation = *before;
                self.media.sent = self.media.confirmed;
                self.refuse_change(exchange, now, leg, status);
            }
            _ => self.end(exchange, now, Ending::gateway(status, text), None),
        }
    }

    /// A deadline of this call may have come.
    pub(crate) fn on_timeout(&mut self, exchange: &mut Exchange, now: Nanos) {
        let is_due = |at: Option<Nanos>| at.is_some_and(|at| at <= now);
        for side in LegSide::BOTH {
            if self.legs[side.index()].on_timeout(exchange, now) == Waiting::InVain {
                self.on_missing_ack(exchange, now, side);
            }
        }
        self.look_after_reliable(exchange, now);
        self.look_after_timers(exchange, now);
        if is_due(self.media.pending.as_ref().map(|pending| pending.due)) {
            self.media.pending = None;
            let silent = Ending::gateway(StatusCode::SERVER_INTERNAL_ERROR, "the media worker does not answer");
            self.end(exchange, now, silent, None);
        }
        if is_due(self.transfer.as_ref().map(|transfer| transfer.until)) {
            self.fail_transfer(exchange, now, &CalleeRefusal::Silent);
        }
        if is_due(self.hunt.next_at) {
            self.on_hunt_timeout(exchange, now);
        }
        if is_due(self.no_answer_at) {
            self.no_answer_at = None;
            let ending =
                Ending { q850: 19, ..Ending::gateway(StatusCode::REQUEST_TIMEOUT, "the callee did not answer") };
            self.end(exchange, now, ending, None);
        }
        if is_due(self.hang_up_at) {
            self.hang_up_at = None;
            let ending =
                Ending { q850: 102, ..Ending::gateway(StatusCode::OK, "the longest call duration was reached") };
            self.end(exchange, now, ending, None);
        }
        if is_due(self.retry_at) {
            self.retry_at = None;
            self.settle(exchange, now);
        }
        self.look_after_silence(exchange, now);
        exchange.look_after_recording(now, self);
        if is_due(self.media.removal_due) {
            // The record does without the counters. The place stays reserved until the worker gives it back.
            self.media.removal_due = None;
            self.hand_out_record(exchange);
        }
    }

    fn next_deadline(&self) -> Option<Nanos> {
        let times = [
            self.legs[0].deadline(),
            self.legs[1].deadline(),
            self.next_refresh(),
            self.media.pending.as_ref().map(|pending| pending.due),
            self.media.removal_due,
            self.no_answer_at,
            self.hunt.next_at,
            self.transfer.as_ref().map(|transfer| transfer.until),
            self.hang_up_at,
            self.retry_at,
            self.overlooked[0].as_ref().map(Overlooked::deadline),
            self.overlooked[1].as_ref().map(Overlooked::deadline),
        ];
        times.into_iter().flatten().min()
    }

    /// Notes when this call wants to be woken.
    pub(crate) fn set_alarm(&mut self, exchange: &mut Exchange) {
        let next = self.next_deadline().into_iter().chain(exchange.recordings.deadline(self.number)).min();
        if next != self.alarm {
            if let Some(old) = self.alarm {
                exchange.alarms.remove(&(old, self.number));
            }
            if let Some(new) = next {
                exchange.alarms.insert((new, self.number));
            }
            self.alarm = next;
        }
    }

    /// Whether nothing is left to be done or remembered.
    pub(crate) fn is_over(&self) -> bool {
        self.phase == Phase::Ending
            && self.record_state == RecordState::Confirmed
            && self.legs.iter().all(|leg| leg.unacknowledged.is_none())
    }

    /// Peers have new numbers.
    pub(crate) fn renumber(&mut self, id_of: impl Fn(&str) -> Option<PeerId>) {
        let transfer = self.transfer.as_mut().map(|transfer| transfer.target_mut());
        for leg in self.legs.iter_mut().chain(&mut self.rivals).chain(transfer) {
            leg.id = id_of(&leg.peer.name).unwrap_or(PeerId::GONE);
        }
        self.hunt.renumber(id_of);
    }

    /// The peer that calls, and those that are called.
    pub(crate) fn peers(&self) -> (PeerId, Vec<PeerId>) {
        let transfer = self.transfer.as_ref().map(Transfer::target);
        let callees = std::iter::once(&self.legs[1]).chain(&self.rivals).chain(transfer);
        (self.legs[0].id, callees.map(|leg| leg.id).collect())
    }

    /// Drops what the exchange knows of this call.
    pub(crate) fn forget(&self, exchange: &mut Exchange) {
        exchange.recordings.forget(self.number);
        for leg in &self.legs {
            exchange.dialogs.remove(&leg.dialog_key());
        }
        if let Some(alarm) = self.alarm {
            exchange.alarms.remove(&(alarm, self.number));
        }
        let [caller, callee] = LegSide::BOTH.map(|side| self.leg(side).id);
        exchange.admission.part(caller, callee);
        exchange.admission.leave(caller);
    }

    pub(crate) fn snapshot(&self, now: Nanos) -> CallSnapshot {
        let [a, b] = &self.legs;
        let Reservation { worker, flow, local, .. } = self.media.reservation;
        CallSnapshot {
            number: self.number,
            state: match self.phase {
                Phase::Reserving => CallState::Reserving,
                Phase::Calling if !self.is_ringing => CallState::Calling,
                Phase::Calling | Phase::Answering => CallState::Ringing,
                Phase::Answered => CallState::Answered,
                Phase::Ending => CallState::Ending,
            },
            from: self.record.from.clone(),
            to: self.record.to.clone(),
            source_peer: a.peer.name.clone(),
            destination_peer: b.peer.name.clone(),
            caller_call_id: a.dialog.id.call_id.clone(),
            callee_call_id: b.dialog.id.call_id.clone(),
            caller_codec: self.codec(LegSide::A),
            callee_codec: self.codec(LegSide::B),
            caller_srtp: a.srtp(),
            callee_srtp: b.srtp(),
            recordings: self.record.recordings.clone(),
            worker: worker.0,
            flow: CallSnapshot::flow_of(flow),
            caller_media: local[0],
            callee_media: local[1],
            age_ms: CallSnapshot::millis(self.started, now),
            answered_ms: self.answered.map(|answered| CallSnapshot::millis(answered, now)),
        }
    }

    /// The peer on `leg` acknowledged our 2xx.
    pub(crate) fn on_ack(&mut self, exchange: &mut Exchange, now: Nanos, leg: LegSide, ack: &Request) {
        let Some(acknowledged) = self.leg_mut(leg).on_ack(ack) else { return };
        if let Some(reason) = acknowledged.bye_reason {
            self.send_bye(exchange, now, leg, &reason);
            return;
        }
        if acknowledged.awaits_answer {
            if self.leg_mut(leg).on_answer(ack.body()).is_err() {
                let ending = Ending::gateway(StatusCode::NOT_ACCEPTABLE_HERE, "the ACK brought no usable answer");
                self.end(exchange, now, ending, None);
                return;
            }
            let waits = self.phase == Phase::Answering;
            self.update_media(exchange, now, if waits { Then::AnswerCaller } else { Then::Settle });
            return;
        }
        self.settle(exchange, now);
    }

    fn on_missing_ack(&mut self, exchange: &mut Exchange, now: Nanos, leg: LegSide) {
        let Some(waiting) = self.leg_mut(leg).unacknowledged.take() else { return };
        match waiting.bye_reason {
            Some(reason) => self.send_bye(exchange, now, leg, &reason),
            None => {
                let ending = Ending { q850: 102, ..Ending::gateway(StatusCode::OK, "the 200 was never acknowledged") };
                self.end(exchange, now, ending, None);
            }
        }
    }

    pub(crate) fn peer_name(&self, leg: LegSide) -> &str {
        &self.leg(leg).peer.name
    }
}
