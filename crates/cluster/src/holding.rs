//! Holding a service: its permit, its addresses, and letting go of it.

use tandem_contract::Nanos;

use crate::cluster::Cluster;
use crate::config::{MemberId, ServiceId};
use crate::output::{Alarm, Ended, Event, Location, MoveError, Output};
use crate::service::{FOR_GOOD, Holder, Mine, Stage};

const MS: u64 = 1_000_000;
/// The first wait before addresses are moved once more; it doubles.
const MOVE_AGAIN_NS: u64 = 100 * MS;
/// The longest.
const MOVE_AGAIN_MOST_NS: u64 = 3200 * MS;
/// Failures after which another member may try.
const MOVE_FAILURES: u32 = 5;
/// A member that could not move an address is no candidate for so long.
const FAILED_NS: u64 = 60_000 * MS;
/// An address that was just moved is not looked for at once: what a cloud answers may be a little old.
const FIRST_LOOK_NS: u64 = 5000 * MS;
/// After a look that found it elsewhere, until the look that decides.
const SECOND_LOOK_NS: u64 = 50 * MS;
/// After an offer that nobody took.
const NEXT_OFFER_NS: u64 = 1000 * MS;

impl Cluster {
    /// A majority voted for this member.
    pub(crate) fn hold(&mut self, now: Nanos, id: ServiceId) {
        let own = self.config.own;
        let service = &mut self.services[id.index()];
        let Mine::Standing { epoch, since, offered_by, from } = service.mine else { return };
        service.mine = Mine::Held { epoch, stage: Stage::Moving { since, failures: 0, again_at: None } };
        service.holder = Some(Holder { member: own, epoch });
        service.held_from = epoch;
        service.held_anew = false;
        service.vacant_since = None;
        service.wanted_until = Nanos(0);
        service.elsewhere = 0;
        (service.permit, service.lapsed) = (Nanos(0), false);
        self.counters.promotions += 1;
        self.outputs.push_back(Output::Promote { service: id, epoch, from, handed_over: offered_by.is_some() });
        self.permit(now, id);
        self.move_here(id);
        // Whoever asks too had better know.
        self.urgent = true;
    }

    fn move_here(&mut self, id: ServiceId) {
        let (until, epoch) = (self.majority_until(id), self.services[id.index()].held_from);
        self.outputs.push_back(Output::MoveAddresses { service: id, epoch, until });
    }

    /// Says until when workers may send, where that changed.
    pub(crate) fn permit(&mut self, now: Nanos, id: ServiceId) {
        let majority = self.majority_until(id);
        let service = &mut self.services[id.index()];
        if !service.is_held() {
            return;
        }
        let lapses = majority <= now;
        if lapses && !service.lapsed {
            self.counters.lapses += 1;
            (service.lapsed, service.lapsed_since) = (true, now);
            // From now on another may hold it and be gone again. Only votes for the present epoch tell that none did; where
            // that has been raised, this is another hold.
            self.begin_again(id);
        } else if !lapses && service.lapsed {
            service.lapsed = false;
            self.go_on(id);
        }
        let service = &mut self.services[id.index()];
        let until = if service.elsewhere > 1 { Nanos(0) } else { majority };
        if until != service.permit {
            service.permit = until;
            self.outputs.push_back(Output::Permit { service: id, until: until.max(now) });
        }
        self.alarm(Alarm::NoMajority(id), lapses);
    }

    /// Somebody asked in vain, and some who voted for him cannot vote for an earlier epoch any more.
    fn raise_held(&mut self, id: ServiceId) {
        let own = self.config.own;
        let service = &mut self.services[id.index()];
        let raised = service.next_epoch(own);
        if let Mine::Held { epoch, .. } = &mut service.mine {
            *epoch = raised;
        }
        service.granted = (raised, Some(own));
        service.holder = Some(Holder { member: own, epoch: raised });
        service.promise.iter_mut().filter(|promise| promise.to == own).for_each(|promise| promise.epoch = raised);
        // Not at once: two that raise theirs in answer to each other would do it as fast as the network carries it.
        if self.services[id.index()].lapsed {
            self.begin_again(id);
        }
    }

    fn begin_again(&mut self, id: ServiceId) {
        let service = &mut self.services[id.index()];
        let Mine::Held { epoch, .. } = service.mine else { return };
        if epoch > service.held_from {
            service.held_from = epoch;
            service.asked_from = epoch;
            service.held_anew = true;
            service.votes.fill(Nanos(0));
        }
    }

    /// Votes came back before anybody else had them.
    fn go_on(&mut self, id: ServiceId) {
        let own = self.config.own;
        let service = &mut self.services[id.index()];
        if !std::mem::take(&mut service.held_anew) {
            return;
        }
        let epoch = service.held_from;
        self.outputs.push_back(Output::Promote { service: id, epoch, from: Some(own), handed_over: false });
        if let Mine::Held { stage: Stage::Moving { again_at: None, .. }, .. } = self.services[id.index()].mine {
            self.move_here(id);
        }
    }

    /// One service's turn where this member holds it.
    pub(crate) fn hold_on(&mut self, now: Nanos, id: ServiceId) {
        let Mine::Held { epoch, .. } = self.services[id.index()].mine else { return };
        if self.services[id.index()].highest > epoch {
            self.raise_held(id);
        }
        self.permit(now, id);
        let Mine::Held { stage, .. } = self.services[id.index()].mine else { return };
        let lapsed = self.services[id.index()].lapsed;
        match stage {
            _ if lapsed => {}
            Stage::Moving { since, failures, again_at: Some(at) } if at <= now => {
                self.set_stage(id, Stage::Moving { since, failures, again_at: None });
                self.move_here(id);
            }
            Stage::Moving { .. } => {}
            Stage::Offered { until, .. } if now >= until => {
                self.services[id.index()].no_offer_before = now.plus(NEXT_OFFER_NS);
                self.set_stage(id, Stage::Settled);
            }
            Stage::Offered { .. } => {}
            Stage::Settled => {
                if !self.is_fit(now) || self.maintenance {
                    self.offer(now, id, None);
                } else {
                    self.alarm(Alarm::NoSuccessor(id), false);
                }
                self.look(now, id);
            }
        }
        if self.leaving && !matches!(stage, Stage::Offered { .. }) && self.best_successor(now, id).is_none() {
            self.end_holding(now, id, Ended::Left);
        }
    }

    fn set_stage(&mut self, id: ServiceId, to: Stage) {
        if let Mine::Held { stage, .. } = &mut self.services[id.index()].mine {
            *stage = to;
        }
    }

    fn look(&mut self, now: Nanos, id: ServiceId) {
        let Some(interval) = self.config.locate_ns else { return };
        let service = &mut self.services[id.index()];
        if now >= service.next_look {
            service.next_look = now.plus(interval);
            self.outputs.push_back(Output::Locate { service: id });
        }
    }

    fn best_successor(&self, now: Nanos, id: ServiceId) -> Option<MemberId> {
        if !self.can_hand_over(now) {
            return None;
        }
        let choices = self.choices(now, id, Some(self.config.own));
        choices.iter().find(|choice| choice.excluded.is_none()).map(|choice| choice.member)
    }

    /// Whether a successor could get its votes from somebody else than this member.
    fn can_hand_over(&self, now: Nanos) -> bool {
        !self.config.is_enrolled() || self.store_answers(now)
    }

    /// Offers a service to a member that can take it: `to`, or the best.
    pub(crate) fn offer(&mut self, now: Nanos, id: ServiceId, to: Option<MemberId>) -> bool {
        if (to.is_none() && now < self.services[id.index()].no_offer_before) || !self.can_hand_over(now) {
            return false;
        }
        let choices = self.choices(now, id, Some(self.config.own));
        let mut able = choices.iter().filter(|choice| choice.excluded.is_none()).map(|choice| choice.member);
        let successor = able.find(|member| to.is_none_or(|to| to == *member));
        self.alarm(Alarm::NoSuccessor(id), successor.is_none());
        let Some(to) = successor else {
            self.services[id.index()].no_offer_before = now.plus(NEXT_OFFER_NS);
            return false;
        };
        self.set_stage(id, Stage::Offered { to, until: now.plus(self.patience_ns()) });
        self.urgent = true;
        true
    }

    /// Until when it is told that an epoch was given up. Votes that are given for good have to hear of it, whenever that may be.
    pub(crate) fn released_until(&self, now: Nanos) -> Nanos {
        if self.config.is_bare_pair() { FOR_GOOD } else { now.plus(10 * self.config.lease_ns()) }
    }

    /// Lets go of a service. What stops the workers is put out before anything that lets another begin.
    pub(crate) fn end_holding(&mut self, now: Nanos, id: ServiceId, ended: Ended) {
        let (own, lease) = (self.config.own, self.config.lease_ns());
        let released_until = self.released_until(now);
        let service = &mut self.services[id.index()];
        let Mine::Held { epoch, .. } = service.mine else { return };
        let may_send = now < service.permit;
        service.mine = Mine::No;
        service.promise.take_if(|promise| promise.to == own);
        service.votes.fill(Nanos(0));
        (service.permit, service.lapsed, service.forced, service.elsewhere) = (Nanos(0), false, false, 0);
        let held_from = service.held_from;
        service.released = Some((epoch, released_until));
        (service.holder, service.last_holder) = (None, Some(own));
        service.vacant_since = Some(now);
        service.not_before = now.plus(2 * lease);
        self.counters.demotions += 1;
        self.urgent = true;
        if may_send && matches!(ended, Ended::HandedOver(_)) {
            self.outputs.push_back(Output::Rest { service: id });
        }
        self.outputs.push_back(Output::Permit { service: id, until: now });
        self.outputs.push_back(Output::Demote { service: id, epoch: held_from, ended });
        let over = [Alarm::NoMajority(id), Alarm::CannotMove(id), Alarm::AddressElsewhere(id), Alarm::NoSuccessor(id)];
        over.into_iter().for_each(|alarm| self.alarm(alarm, false));
    }

    pub(crate) fn moved(&mut self, now: Nanos, id: ServiceId, of: u64, outcome: Result<(), MoveError>) {
        let Some(service) = self.services.get_mut(id.index()) else { return };
        let Mine::Held { stage: Stage::Moving { since, failures, again_at: None }, .. } = service.mine else { return };
        if of < service.held_from {
            return;
        }
        if outcome.is_ok() {
            service.elsewhere = 0;
            service.next_look = now.plus(FIRST_LOOK_NS);
            self.set_stage(id, Stage::Settled);
            self.alarm(Alarm::CannotMove(id), false);
            self.alarm(Alarm::AddressElsewhere(id), false);
            self.event(Event::Settled(id, now.since(since)));
            return;
        }
        let failures = failures + 1;
        self.alarm(Alarm::CannotMove(id), true);
        let hopeless = outcome == Err(MoveError::Refused) || failures >= MOVE_FAILURES;
        if hopeless && self.best_successor(now, id).is_some() {
            self.services[id.index()].failed_until = now.plus(FAILED_NS);
            self.end_holding(now, id, Ended::CannotMove);
            return;
        }
        let wait = (MOVE_AGAIN_NS << failures.saturating_sub(1).min(5)).min(MOVE_AGAIN_MOST_NS);
        self.set_stage(id, Stage::Moving { since, failures, again_at: Some(now.plus(wait)) });
    }

    pub(crate) fn located(&mut self, now: Nanos, id: ServiceId, location: Location) {
        let Some(service) = self.services.get_mut(id.index()) else { return };
        let Mine::Held { stage: Stage::Settled, .. } = service.mine else { return };
        match location {
            Location::Unknown => {}
            Location::Here => service.elsewhere = 0,
            Location::Elsewhere => {
                service.elsewhere += 1;
                service.next_look = now.plus(SECOND_LOOK_NS);
                if service.elsewhere < 2 {
                    return;
                }
                // This member has the votes, so whoever took the address has not: it is fetched back, and nothing is sent before.
                self.alarm(Alarm::AddressElsewhere(id), true);
                self.permit(now, id);
                self.set_stage(id, Stage::Moving { since: now, failures: 0, again_at: None });
                self.move_here(id);
            }
        }
    }
}
