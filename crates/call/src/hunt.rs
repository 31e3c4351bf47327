//! Calling one callee after another, or several at once, until one takes the call.
//!
//! Leg B is the callee that is being called, or the one of several that said most; the others that are called at the same
//! time are its rivals. Whoever answers becomes leg B, and the rest are cancelled. All share leg B's place on the worker.

use std::collections::VecDeque;

use tandem_contract::{LegSide, Nanos};
use tandem_sip::{ClientTx, Response, StatusCode};

use crate::call::{Call, Phase, Then};
use crate::cause::{q850, status_for_caller};
use crate::config::{HuntMode, HuntPolicy, PeerId};
use crate::ending::Ending;
use crate::exchange::{Exchange, instant, seconds};
use crate::leg::Leg;
use crate::record::{Ended, TriedPeer};
use crate::routing::Candidate;
use crate::setup::callee_leg;
use crate::trunks::Reached;

/// Who is still to be called, and how.
#[derive(Debug)]
pub(crate) struct Hunt {
    pub(crate) waiting: VecDeque<Candidate>,
    pub(crate) policy: HuntPolicy,
    /// What each branch may fork on (RFC 5393 §5.3.3); `None` where nobody asked and nothing forks here.
    pub(crate) breadth: Option<u32>,
    /// When the callee on leg B is given up for the next.
    pub(crate) next_at: Option<Nanos>,
    /// The callee on leg B said something.
    pub(crate) heard: bool,
    /// The refusal that speaks for all so far.
    pub(crate) best: Option<Ending>,
}

/// Which of those who are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Callee {
    Leg,
    Rival(usize),
}

/// Why a callee did not take the call.
#[derive(Clone, Debug)]
pub(crate) enum Refusal<'r> {
    /// It said so.
    Said(&'r Response),
    /// It said nothing for 64*T1.
    Silent,
    /// The request could not be sent.
    Transport,
    /// It was given up for the next one.
    GivenUp,
}

impl Hunt {
    pub(crate) fn new(waiting: VecDeque<Candidate>, policy: HuntPolicy, breadth: Option<u32>) -> Self {
        Self { waiting, policy, breadth, next_at: None, heard: false, best: None }
    }

    /// How many may be called at once.
    fn width(&self) -> usize {
        match self.policy.mode {
            HuntMode::FailOver | HuntMode::InOrder => 1,
            HuntMode::Parallel => self.breadth.map_or(usize::MAX, |breadth| breadth as usize),
        }
    }

    /// Notes a refusal; the one for all is 6xx, else that of the lowest class, the latest of them (RFC 3261 §16.7 step 6).
    fn note(&mut self, ending: Ending) {
        let rank = |ending: &Ending| match ending.status.as_u16() / 100 {
            6 => 0,
            class => class,
        };
        if self.best.as_ref().is_none_or(|best| rank(&ending) <= rank(best)) {
            self.best = Some(ending);
        }
    }

    fn goes_on_after(&self, refusal: &Refusal<'_>) -> bool {
        match (refusal, self.policy.mode) {
            (Refusal::Said(response), _) if response.status().as_u16() >= 600 => false,
            (Refusal::Said(response), HuntMode::FailOver) => self.policy.next_on.contains(&response.status().as_u16()),
            _ => true,
        }
    }

    /// Peers have new numbers; those that are gone are not called any more.
    pub(crate) fn renumber(&mut self, id_of: impl Fn(&str) -> Option<PeerId>) {
        self.waiting.retain_mut(|candidate| match id_of(&candidate.config.name) {
            Some(id) => {
                candidate.peer = id;
                true
            }
            None => false,
        });
    }
}

impl Call {
    /// The worker listens for the callee: it hears of the call, and so do those who are called beside it.
    pub(crate) fn invite_callee(&mut self, exchange: &mut Exchange, now: Nanos) {
        self.phase = Phase::Calling;
        if self.no_answer_at.is_none() {
            self.no_answer_at = Some(now.plus(seconds(exchange.config.timeouts.no_answer_s)));
        }
        let width = self.hunt.width();
        while self.rivals.len() + 1 < width && self.hunt.waiting.front().is_some() {
            let Some(candidate) = self.hunt.waiting.pop_front() else { break };
            if let Some(rival) = self.prepare(exchange, now, &candidate) {
                exchange.dialogs.insert(rival.dialog_key(), (self.number, LegSide::B));
                self.rivals.push(rival);
            }
        }
        let branches = self.rivals.len() as u32 + 1;
        let breadth = self.hunt.breadth.map(|breadth| (breadth / branches).max(1));
        let (number, hops, wish) = (self.number, self.max_forwards, self.leg(LegSide::A).wish);
        let preferred = self.caller_codecs.clone();
        let legs = std::iter::once(&mut self.legs[LegSide::B.index()]).chain(&mut self.rivals);
        let invited =
            legs.map(|leg| leg.invite(exchange, now, (number, LegSide::B), (&preferred, wish), (hops, breadth)));
        if !invited.fold(false, |any, is_invited| any | is_invited) {
            let ending = Ending::gateway(StatusCode::SERVICE_UNAVAILABLE, "too many SIP transactions");
            self.end(exchange, now, ending, None);
            return;
        }
        let silence = u64::from(self.hunt.policy.silence_ms) * 1_000_000;
        self.hunt.heard = false;
        self.hunt.next_at = (!self.hunt.waiting.is_empty()).then(|| now.plus(silence));
    }

    /// A response to one of our first INVITEs.
    pub(crate) fn on_callee_response(
        &mut self,
        exchange: &mut Exchange,
        now: Nanos,
        tx: ClientTx,
        response: &Response,
    ) {
        let Some(callee) = self.callee_of(tx) else { return };
        let status = response.status();
        if status.is_provisional() {
            self.acknowledge_progress(exchange, now, tx, response);
            if callee == Callee::Leg && !std::mem::replace(&mut self.hunt.heard, true) {
                let rings_for = seconds(self.hunt.policy.ring_s);
                let in_order = self.hunt.policy.mode == HuntMode::InOrder && !self.hunt.waiting.is_empty();
                self.hunt.next_at = in_order.then(|| now.plus(rings_for));
            }
            // The first that has something to be heard is heard.
            if let Callee::Rival(index) = callee
                && !response.body().is_empty()
                && self.leg(LegSide::B).negotiation.agreement().is_none()
            {
                self.promote(index);
                self.on_callee_progress(exchange, now, response);
            } else if callee == Callee::Leg {
                self.on_callee_progress(exchange, now, response);
            } else if status > StatusCode::TRYING && !self.is_ringing {
                self.on_callee_ringing(exchange, now, status);
            }
        } else if status.is_success() {
            if let Callee::Rival(index) = callee {
                self.promote(index);
            }
            self.hunt.next_at = None;
            self.hunt.waiting.clear();
            exchange.trunks.on_call(now, &self.leg(LegSide::B).peer.name, Reached::Yes, true);
            self.cancel_rivals(exchange, now);
            self.on_callee_answer(exchange, now, tx, response);
        } else if !self.asks_again(exchange, now, callee, response) {
            self.on_callee_failure(exchange, now, tx, &Refusal::Said(response));
        }
    }

    /// Sends a callee its INVITE once more, where it only asked for credentials or for a longer session.
    fn asks_again(&mut self, exchange: &mut Exchange, now: Nanos, callee: Callee, response: &Response) -> bool {
        let (number, hops, wish) = (self.number, self.max_forwards, self.leg(LegSide::A).wish);
        let breadth = self.hunt.breadth.map(|breadth| (breadth / (self.rivals.len() as u32 + 1)).max(1));
        let preferred = self.caller_codecs.clone();
        let leg = match callee {
            Callee::Leg => &mut self.legs[LegSide::B.index()],
            Callee::Rival(index) => &mut self.rivals[index],
        };
        leg.may_ask_again(response)
            && leg.invite(exchange, now, (number, LegSide::B), (&preferred, wish), (hops, breadth))
    }

    /// A callee refused, or nothing came of its INVITE.
    pub(crate) fn on_callee_failure(&mut self, exchange: &mut Exchange, now: Nanos, tx: ClientTx, why: &Refusal<'_>) {
        let Some(callee) = self.callee_of(tx) else { return };
        let leg = match callee {
            Callee::Leg => &mut self.legs[LegSide::B.index()],
            Callee::Rival(index) => &mut self.rivals[index],
        };
        leg.outgoing = None;
        let name = leg.peer.name.clone();
        self.note_refusal(exchange, now, &name, why);
        match callee {
            Callee::Rival(index) => {
                let rival = self.rivals.remove(index);
                self.dismiss(exchange, now, rival);
            }
            Callee::Leg if !self.rivals.is_empty() => {
                self.promote(0);
                let refused = self.rivals.remove(0);
                self.dismiss(exchange, now, refused);
            }
            Callee::Leg if self.hunt.goes_on_after(why) && self.call_next(exchange, now) => return,
            Callee::Leg => {}
        }
        let is_last = callee == Callee::Leg && self.leg(LegSide::B).outgoing.is_none();
        if is_last || matches!(why, Refusal::Said(response) if response.status().as_u16() >= 600) {
            let ending = self.hunt.best.clone().unwrap_or_else(|| ending_of(why));
            self.end(exchange, now, ending, None);
        }
    }

    /// The callee on leg B has had its time.
    pub(crate) fn on_hunt_timeout(&mut self, exchange: &mut Exchange, now: Nanos) {
        self.hunt.next_at = None;
        if self.phase != Phase::Calling {
            return;
        }
        let name = self.leg(LegSide::B).peer.name.clone();
        let heard = self.hunt.heard;
        if self.call_next(exchange, now) {
            self.note_refusal(exchange, now, &name, if heard { &Refusal::GivenUp } else { &Refusal::Silent });
        }
    }

    fn note_refusal(&mut self, exchange: &mut Exchange, now: Nanos, name: &str, why: &Refusal<'_>) {
        exchange.trunks.on_call(now, name, reached(why), false);
        let ending = ending_of(why);
        let status = match why {
            Refusal::Said(response) => response.status().as_u16(),
            _ => 0,
        };
        self.record.tried.push(TriedPeer { peer: name.to_owned(), status, reason: ending.reason.clone().into_owned() });
        self.hunt.note(ending);
    }

    /// Calls the next one that there is room for, in the place of leg B; `false` where nobody is left.
    fn call_next(&mut self, exchange: &mut Exchange, now: Nanos) -> bool {
        while let Some(candidate) = self.hunt.waiting.pop_front() {
            let address = candidate.config.media_address;
            let before = self.media.reservation;
            if address != before.local(LegSide::B).ip() {
                let Some(moved) = exchange.pool.move_leg(now, before, LegSide::B, address) else { continue };
                self.media.reservation = moved;
            }
            let Some(leg) = self.prepare(exchange, now, &candidate) else { continue };
            exchange.dialogs.insert(leg.dialog_key(), (self.number, LegSide::B));
            self.record.routed_uri = candidate.uri.to_string();
            let given_up = std::mem::replace(self.leg_mut(LegSide::B), leg);
            self.dismiss(exchange, now, given_up);
            self.hunt.next_at = None;
            self.update_media(exchange, now, Then::InviteCallee);
            return true;
        }
        false
    }

    /// A leg for `candidate`, where its limits leave room for the call.
    fn prepare(&self, exchange: &mut Exchange, now: Nanos, candidate: &Candidate) -> Option<Leg> {
        let caller = self.leg(LegSide::A);
        let request = &caller.incoming.as_ref()?.request;
        let ways = exchange.ways_to_candidate(now, candidate).ok()?;
        if exchange.admission.join(caller.id, (candidate.peer, &candidate.config)).is_err() {
            exchange.trunks.on_full(candidate.peer);
            return None;
        }
        if !exchange.trunks.admit(now, candidate.peer) {
            exchange.admission.part(caller.id, candidate.peer);
            return None;
        }
        let caller = (&**request, &*caller.peer, self.record.identity.as_ref());
        Some(callee_leg(exchange, now, caller, (candidate, ways), &self.media.reservation))
    }

    /// Forgets a callee that is not called any more; it hears a CANCEL where it has not spoken its last word.
    pub(crate) fn dismiss(&self, exchange: &mut Exchange, now: Nanos, mut leg: Leg) {
        if let Some(tx) = leg.outgoing.take() {
            exchange.invitation_unwanted(tx);
            let _ =
                exchange.transactions.cancel(instant(now), tx, Some("SIP;cause=200;text=\"Call completed elsewhere\""));
        }
        exchange.dialogs.remove(&leg.dialog_key());
        exchange.admission.part(self.leg(LegSide::A).id, leg.id);
    }

    /// Of those that ring only the one in the dialog of our `tag` does so for another moment, as leg B: somebody takes the call in
    /// its place.
    pub(crate) fn hush_all_but(&mut self, exchange: &mut Exchange, now: Nanos, tag: &str) {
        if let Some(index) = self.rivals.iter().position(|rival| rival.tag() == tag) {
            self.promote(index);
        }
        self.cancel_rivals(exchange, now);
        self.hunt.next_at = None;
        self.hunt.waiting.clear();
    }

    /// Nobody but leg B is called any more.
    pub(crate) fn cancel_rivals(&mut self, exchange: &mut Exchange, now: Nanos) {
        for rival in std::mem::take(&mut self.rivals) {
            self.dismiss(exchange, now, rival);
        }
    }

    /// A rival takes the place of leg B, and leg B the rival's.
    fn promote(&mut self, index: usize) {
        std::mem::swap(&mut self.legs[LegSide::B.index()], &mut self.rivals[index]);
        let target = self.leg(LegSide::B).dialog.remote_address.trim_matches(['<', '>']).to_owned();
        self.record.routed_uri = target;
    }

    fn callee_of(&self, tx: ClientTx) -> Option<Callee> {
        if self.leg(LegSide::B).outgoing == Some(tx) {
            return Some(Callee::Leg);
        }
        self.rivals.iter().position(|rival| rival.outgoing == Some(tx)).map(Callee::Rival)
    }
}

/// What a refusal says of the way to its peer.
pub(crate) fn reached(why: &Refusal<'_>) -> Reached {
    match why {
        Refusal::Said(response) if response.status() == StatusCode::SERVICE_UNAVAILABLE => Reached::Refusing,
        Refusal::Said(_) | Refusal::GivenUp => Reached::Yes,
        Refusal::Silent => Reached::Silent,
        Refusal::Transport => Reached::Unreachable,
    }
}

/// What a refusal means to the caller, and to the record.
fn ending_of(why: &Refusal<'_>) -> Ending {
    match why {
        Refusal::Said(response) => {
            let status = response.status();
            let reason = match response.reason() {
                "" => format!("the callee answered {}", status.as_u16()),
                phrase => format!("the callee answered {} {phrase}", status.as_u16()),
            };
            Ending {
                status: status_for_caller(status),
                q850: q850(status.as_u16()),
                reason: reason.into(),
                by: Ended::Callee,
            }
        }
        Refusal::Silent => {
            Ending { q850: 18, ..Ending::gateway(StatusCode::SERVICE_UNAVAILABLE, "the callee's peer does not answer") }
        }
        Refusal::Transport => Ending {
            q850: 38,
            ..Ending::gateway(StatusCode::SERVICE_UNAVAILABLE, "the callee's peer cannot be reached")
        },
        Refusal::GivenUp => {
            Ending { q850: 19, ..Ending::gateway(StatusCode::REQUEST_TIMEOUT, "the callee did not answer in its time") }
        }
    }
}
