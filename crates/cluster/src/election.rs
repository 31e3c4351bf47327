//! Asking for votes: when, in which order, and when to give it up.

use tandem_contract::Nanos;

use crate::beat::{Beat, Claim};
use crate::cluster::Cluster;
use crate::config::{MAX_MEMBERS, MemberId, ServiceId};
use crate::output::{Alarm, Ended, Event};
use crate::placement::{Candidate, Choice, Exclusion, order};
use crate::service::{FOR_GOOD, Holder, Mine, Promise, Stage};

impl Cluster {
    /// How long votes are asked for before that is given up.
    pub(crate) fn patience_ns(&self) -> u64 {
        4 * self.config.lease_ns()
    }

    /// One service's turn where this member does not hold it.
    pub(crate) fn elect(&mut self, now: Nanos, id: ServiceId) {
        self.miss_holder(now, id);
        match self.services[id.index()].mine {
            Mine::No => {
                if self.turn_to_stand(now, id).is_some_and(|at| at <= now) {
                    self.stand(now, id, None);
                }
            }
            Mine::Standing { since, epoch, .. } => {
                self.vote_for_oneself(now, id, epoch);
                if self.majority_until(id) > now {
                    self.hold(now, id);
                } else if now >= since.plus(self.patience_ns()) {
                    self.stand_down(now, id);
                } else if self.services[id.index()].highest > epoch {
                    // Somebody was before; a vote for this epoch may have become impossible.
                    self.raise_epoch(id);
                }
            }
            Mine::Held { .. } => {}
        }
        let service = &self.services[id.index()];
        let vacant = service.vacant_since.is_some_and(|since| now >= since.plus(self.patience_ns()));
        self.alarm(Alarm::Vacant(id), vacant);
    }

    /// A holder that is not heard any more is none.
    fn miss_holder(&mut self, now: Nanos, id: ServiceId) {
        let own = self.config.own;
        let Some(holder) = self.services[id.index()].holder.filter(|holder| holder.member != own) else { return };
        if !self.is_alive(now, holder.member) {
            let service = &mut self.services[id.index()];
            (service.holder, service.last_holder) = (None, Some(holder.member));
            service.vacant_since = Some(now);
        }
    }

    /// When this member asks for votes if nothing else happens; `None` where it does not.
    pub(crate) fn turn_to_stand(&self, now: Nanos, id: ServiceId) -> Option<Nanos> {
        let service = &self.services[id.index()];
        let vacant_since = service.vacant_since.filter(|_| service.mine == Mine::No && !self.maintenance)?;
        if !self.may_win(now) {
            return None;
        }
        let choices = self.choices(now, id, None);
        let rank = choices.iter().filter(|choice| choice.excluded.is_none());
        let rank = rank.take_while(|choice| choice.member != self.config.own).count() as u64;
        let own = choices.iter().find(|choice| choice.member == self.config.own)?;
        // One that could not move the address a moment ago is still better than nobody: where nobody else may, or nobody else
        // did in the time that he had. Of the others this member does not know whether they failed too.
        let has_failed = own.excluded == Some(Exclusion::Failed);
        let is_last = has_failed && choices.iter().all(|choice| choice.excluded.is_some());
        let patience = if has_failed && !is_last { self.patience_ns() } else { 0 };
        (own.excluded.is_none() || has_failed).then(|| {
            let turn = vacant_since.plus(patience + rank * 2 * self.config.beat_ns);
            let promised = service.promise(now).map_or(Nanos(0), |promise| promise.until);
            turn.max(service.not_before).max(promised).max(self.quiet_until).max(self.joins_at)
        })
    }

    /// Whether there are votes enough for who asks: a minority asks for nothing.
    fn may_win(&self, now: Nanos) -> bool {
        if self.config.is_enrolled() {
            return self.store_answers(now);
        }
        let reachable = self.member_ids().filter(|member| self.is_alive(now, *member)).count();
        reachable + usize::from(self.store_answers(now)) >= self.config.needed()
    }

    /// Who would take a service, in order; `without` is left out.
    pub(crate) fn choices(&self, now: Nanos, id: ServiceId, without: Option<MemberId>) -> Vec<Choice> {
        let (service, config) = (&self.services[id.index()], &self.config.services[id.index()]);
        let last = service.holder.map(|holder| holder.member).or(service.last_holder).or(config.home);
        let last = last.map(|member| &self.placements[member.index()]);
        let candidates = self.member_ids().filter(|member| Some(*member) != without).map(|member| {
            let peer = &self.peers[member.index()];
            let is_own = member == self.config.own;
            let held = self.held_by(member, id);
            let takes = self.config.members[member.index()].takes;
            let fit = if is_own { self.is_fit(now) } else { peer.fit };
            let maintenance = if is_own { self.maintenance } else { peer.maintenance };
            let excluded = [
                (takes == 0, Exclusion::Witness),
                (!self.is_alive(now, member) || (!is_own && peer.differs), Exclusion::Silent),
                (maintenance, Exclusion::Maintenance),
                (!fit, Exclusion::Unfit),
                (held >= takes, Exclusion::Full),
                (is_own && now < service.failed_until, Exclusion::Failed),
            ];
            Candidate {
                member,
                placement: &self.placements[member.index()],
                excluded: excluded.into_iter().find_map(|(is_so, why)| is_so.then_some(why)),
                held,
                load_permille: if is_own { self.load_permille } else { peer.load_permille },
            }
        });
        order(config.reach, config.home, last, candidates)
    }

    /// Services other than `except` that a member holds, or asks for if it is this one.
    fn held_by(&self, member: MemberId, except: ServiceId) -> u8 {
        let others = self.service_ids().filter(|id| *id != except).filter(|id| {
            let service = &self.services[id.index()];
            if member == self.config.own {
                return service.mine != Mine::No;
            }
            service.holder.is_some_and(|holder| holder.member == member)
        });
        others.count().try_into().unwrap_or(u8::MAX)
    }

    /// Begins to ask for votes.
    pub(crate) fn stand(&mut self, now: Nanos, id: ServiceId, offered_by: Option<MemberId>) {
        let own = self.config.own;
        let service = &mut self.services[id.index()];
        let epoch = service.next_epoch(own);
        service.asked_from = epoch;
        service.votes.fill(Nanos(0));
        service.released = None;
        let from = offered_by.or(service.last_holder);
        service.mine = Mine::Standing { epoch, since: now, offered_by, from };
        self.urgent = true;
        self.event(Event::Standing(id));
        // A majority may be there already, or one answer away.
        self.vote_for_oneself(now, id, epoch);
    }

    fn raise_epoch(&mut self, id: ServiceId) {
        let own = self.config.own;
        let service = &mut self.services[id.index()];
        let raised = service.next_epoch(own);
        if let Mine::Standing { epoch, .. } = &mut service.mine {
            *epoch = raised;
            service.votes.fill(Nanos(0));
            self.urgent = true;
        }
    }

    /// Gives this member's own vote to itself, where it is not another's.
    pub(crate) fn vote_for_oneself(&mut self, now: Nanos, id: ServiceId, epoch: u64) {
        let (own, incarnation) = (self.config.own, self.incarnation);
        let service = &mut self.services[id.index()];
        if epoch > service.granted.0 && service.promise(now).is_none_or(|promise| promise.to == own) {
            service.promise = Some(Promise { to: own, incarnation, epoch, until: FOR_GOOD, request_sent_at: 0 });
            service.granted = (epoch, Some(own));
        }
    }

    /// Asks for votes no more.
    pub(crate) fn stand_down(&mut self, now: Nanos, id: ServiceId) {
        let (own, lease) = (self.config.own, self.config.lease_ns());
        let beats = self.config.beat_ns * (1 + u64::from(own.0));
        let released_until = self.released_until(now);
        let service = &mut self.services[id.index()];
        let Mine::Standing { epoch, .. } = service.mine else { return };
        service.mine = Mine::No;
        service.promise.take_if(|promise| promise.to == own);
        service.released = Some((epoch, released_until));
        // Members that stood at the same time do not meet again.
        service.not_before = now.plus(lease + beats);
        self.urgent = true;
        self.event(Event::StoodDown(id));
    }

    /// Until when this member has the votes for a service. Of members in a list that is the latest time that a majority agrees on.
    /// Where members come and go, the store alone gives a service to somebody who is in its list; when it is away, he goes on
    /// while everybody who is in the list votes for him, since nobody else could take the store's record then. The list has to be
    /// one that he has read since the record is his: whoever held the service before may have added somebody.
    pub(crate) fn majority_until(&self, id: ServiceId) -> Nanos {
        let service = &self.services[id.index()];
        let Some(epoch) = service.epoch() else { return Nanos(0) };
        if service.forced {
            return FOR_GOOD;
        }
        let own = service.promise.is_some_and(|promise| promise.to == self.config.own);
        let own = if own { FOR_GOOD } else { Nanos(0) };
        let store = service.store.until(service.held_from_or(epoch));
        if self.config.is_enrolled() {
            let others = self.member_ids().filter(|member| *member != self.config.own);
            let all = others.map(|member| service.votes[member.index()]).min().unwrap_or(FOR_GOOD);
            let knows_all = service.is_held() && self.listed_in >= service.held_from;
            return own.min(if knows_all { store.max(all) } else { store });
        }
        let mut votes = [Nanos(0); MAX_MEMBERS + 1];
        let members = self.peers.len();
        votes[..members].copy_from_slice(&service.votes[..members]);
        votes[self.config.own.index()] = own;
        if self.config.store_votes() {
            votes[members] = store;
        }
        votes.sort_unstable_by(|left, right| right.cmp(left));
        votes[self.config.needed() - 1]
    }

    /// Somebody asks for votes.
    pub(crate) fn on_asking(&mut self, now: Nanos, beat: &Beat, claim: Claim) {
        let (id, asker) = (claim.service, beat.sender);
        match self.services[id.index()].mine {
            Mine::Held { stage: Stage::Offered { to, .. }, .. } if to == asker => {
                self.end_holding(now, id, Ended::HandedOver(asker));
            }
            Mine::Held { .. } if self.gives_way(now, id) => self.end_holding(now, id, Ended::Superseded(asker)),
            Mine::Held { .. } => return,
            Mine::Standing { offered_by: None, .. } => {
                let choices = self.choices(now, id, None);
                let place = |member| choices.iter().position(|choice| choice.member == member);
                if place(asker) > place(self.config.own) {
                    return;
                }
                self.stand_down(now, id);
            }
            Mine::Standing { .. } | Mine::No => {}
        }
        self.vote(now, beat, claim);
    }

    /// Whether this member has lacked votes for so long that its own vote is better given to whoever asks: several that lost
    /// theirs would keep each other from a majority for ever. They give way one after the other.
    fn gives_way(&self, now: Nanos, id: ServiceId) -> bool {
        let service = &self.services[id.index()];
        let turn = self.patience_ns() * (1 + u64::from(self.config.own.0));
        service.lapsed && !self.config.is_bare_pair() && now.since(service.lapsed_since) >= turn
    }

    /// Somebody holds a service, and perhaps offers it.
    pub(crate) fn on_holding(&mut self, now: Nanos, beat: &Beat, claim: Claim, offered_to: Option<MemberId>) {
        let (id, member) = (claim.service, beat.sender);
        match self.services[id.index()].mine {
            Mine::Held { epoch, .. } if claim.epoch > epoch => {
                self.end_holding(now, id, Ended::Superseded(member));
            }
            // What this member holds in a later epoch is not another's; he will hear of it.
            Mine::Held { .. } => return,
            Mine::Standing { offered_by: Some(by), .. } if by == member && offered_to == Some(self.config.own) => {}
            Mine::Standing { .. } => self.stand_down(now, id),
            Mine::No => {}
        }
        let service = &mut self.services[id.index()];
        if service.holder.is_none_or(|holder| holder.epoch <= claim.epoch) {
            service.holder = Some(Holder { member, epoch: claim.epoch });
            service.vacant_since = None;
        }
        self.vote(now, beat, claim);
        let is_candidate = self.is_fit(now) && !self.maintenance && now >= self.joins_at;
        if offered_to == Some(self.config.own) && is_candidate && self.services[id.index()].mine == Mine::No {
            self.stand(now, id, Some(member));
        }
    }
}
