//! Heartbeats in and out.

use tandem_contract::Nanos;

use crate::beat::{Beat, BeatError, Claim, ClaimKind, Echo, Grant, Window};
use crate::cluster::Cluster;
use crate::config::{MemberId, ServiceId};
use crate::output::{Alarm, Output};
use crate::service::{FOR_GOOD, Mine, Promise, Stage};

/// An echo of something older is no proof that its sender lives: beats, in number.
const ECHO_BEATS: u64 = 50;

impl Cluster {
    /// A datagram came in, from whomever.
    ///
    /// # Errors
    /// Why it was not taken, for a log that is not written for every one; it is counted already.
    pub fn on_datagram(&mut self, now: Nanos, bytes: &[u8]) -> Result<(), BeatError> {
        self.notice_pause(now);
        let taken = self.take(now, bytes);
        let counters = &mut self.counters;
        match taken {
            Ok(()) => counters.beats_received += 1,
            Err(BeatError::Malformed | BeatError::Version(_)) => counters.beats_malformed += 1,
            Err(BeatError::Authentication) => counters.beats_unauthenticated += 1,
            Err(BeatError::Stranger) => counters.beats_of_strangers += 1,
            Err(BeatError::Replay) => counters.beats_replayed += 1,
        }
        self.turn(now);
        taken
    }

    fn take(&mut self, now: Nanos, bytes: &[u8]) -> Result<(), BeatError> {
        let beat = Beat::open(&self.key, bytes)?;
        let known = self.is_member(beat.sender) && beat.sender != self.config.own;
        if !known || beat.receiver != self.config.own {
            return Err(BeatError::Stranger);
        }
        let lives = self.proves_life(now, &beat);
        let alive = self.is_alive(now, beat.sender);
        let peer = &mut self.peers[beat.sender.index()];
        if peer.incarnation != beat.incarnation {
            if !lives {
                // Perhaps a member that has just started, perhaps a recording: what it answers to this node's next beat tells.
                if alive {
                    return Err(BeatError::Replay);
                }
                peer.trial = Some((beat.incarnation, beat.sent_at, now));
                return Ok(());
            }
            peer.incarnation = beat.incarnation;
            peer.window = Window::default();
            peer.detector.reset();
            peer.sent_at = 0;
            self.on_new_life(now, beat.sender);
        }
        let peer = &mut self.peers[beat.sender.index()];
        if !peer.window.take(beat.sequence) {
            return Err(BeatError::Replay);
        }
        peer.trial = None;
        if beat.sent_at >= peer.sent_at {
            (peer.sent_at, peer.heard_at) = (beat.sent_at, now);
        }
        if !lives {
            return Ok(());
        }
        peer.detector.on_beat(now);
        peer.round_trip_ns = now.0.saturating_sub(beat.echo.sent_at).saturating_sub(beat.echo.held_ns.into());
        (peer.fit, peer.maintenance, peer.load_permille) = (beat.fit, beat.maintenance, beat.load);
        peer.differs = beat.fingerprint != self.config.fingerprint();
        let differs = peer.differs;
        self.alarm(Alarm::ConfigurationDiffers(beat.sender), differs);
        if differs {
            return Ok(());
        }
        // Votes first: what is granted and what is claimed in one beat was true at one time.
        for grant in &beat.grants {
            self.on_grant(now, beat.sender, grant);
        }
        for claim in &beat.claims {
            if claim.service.index() < self.services.len() {
                self.on_claim(now, &beat, *claim);
            }
        }
        Ok(())
    }

    /// Whether a beat answers to one that this node has sent lately.
    fn proves_life(&self, now: Nanos, beat: &Beat) -> bool {
        let age = now.0.checked_sub(beat.echo.sent_at);
        beat.echo.incarnation == self.incarnation && age.is_some_and(|age| age <= self.config.beat_ns * ECHO_BEATS)
    }

    /// A member was restarted: what its earlier life held or asked for is over. Promises to that run out by themselves, except
    /// those that are for good.
    fn on_new_life(&mut self, now: Nanos, member: MemberId) {
        for service in &mut self.services {
            if service.promise.is_some_and(|promise| promise.to == member && promise.until == FOR_GOOD) {
                service.promise = None;
            }
            service.votes[member.index()] = Nanos(0);
            if service.holder.is_some_and(|holder| holder.member == member) {
                (service.holder, service.last_holder) = (None, Some(member));
                service.vacant_since = Some(now);
            }
        }
    }

    fn on_grant(&mut self, now: Nanos, voter: MemberId, grant: &Grant) {
        let until = if self.config.is_bare_pair() { FOR_GOOD } else { Nanos(grant.sent_at).plus(self.vote_ns()) };
        let fresh = grant.sent_at > self.fresh_after.0 && grant.sent_at <= now.0;
        let Some(service) = self.services.get_mut(grant.service.index()).filter(|_| fresh) else { return };
        // A vote for an earlier epoch of an unbroken hold is as good: it was given for the same time and to the same.
        let counts = match service.mine {
            Mine::No => false,
            Mine::Standing { epoch, .. } => grant.epoch == epoch,
            Mine::Held { epoch, .. } => grant.epoch <= epoch && grant.epoch >= service.held_from,
        };
        if counts {
            let vote = &mut service.votes[voter.index()];
            *vote = (*vote).max(until);
        }
    }

    fn on_claim(&mut self, now: Nanos, beat: &Beat, claim: Claim) {
        let (id, member) = (claim.service, beat.sender);
        let service = &mut self.services[id.index()];
        service.hear(claim.epoch);
        match claim.kind {
            ClaimKind::Holding => self.on_holding(now, beat, claim, None),
            ClaimKind::Offering(to) => self.on_holding(now, beat, claim, Some(to)),
            ClaimKind::Asking => self.on_asking(now, beat, claim),
            ClaimKind::Released => {
                if service.promise.is_some_and(|promise| promise.to == member && promise.epoch <= claim.epoch) {
                    service.promise = None;
                }
                if service.holder.is_some_and(|holder| holder.member == member && holder.epoch <= claim.epoch) {
                    (service.holder, service.last_holder) = (None, Some(member));
                    service.vacant_since = Some(now);
                }
            }
            ClaimKind::Wanting => {
                if matches!(service.mine, Mine::Held { stage: Stage::Settled, .. }) {
                    self.offer(now, id, Some(member));
                }
            }
            ClaimKind::Heard => {}
        }
    }

    /// Gives this member's vote to the sender of a claim, where it is free to.
    pub(crate) fn vote(&mut self, now: Nanos, beat: &Beat, claim: Claim) {
        let until = if self.config.is_bare_pair() { FOR_GOOD } else { now.plus(self.config.lease_ns()) };
        let joined = now >= self.joins_at;
        let service = &mut self.services[claim.service.index()];
        let (epoch, whose) = service.granted;
        let own = self.config.own;
        let is_free = service.promise(now).is_none_or(|promise| {
            promise.to == beat.sender && promise.incarnation == beat.incarnation && promise.to != own
        });
        let is_current = claim.epoch > epoch || claim.epoch == epoch && whose == Some(beat.sender);
        if !joined || !is_free || !is_current {
            return;
        }
        let asked_before = service.promise.filter(|promise| promise.to == beat.sender && promise.epoch == claim.epoch);
        let request_sent_at = asked_before.map_or(0, |promise| promise.request_sent_at).max(beat.sent_at);
        let promise =
            Promise { to: beat.sender, incarnation: beat.incarnation, epoch: claim.epoch, until, request_sent_at };
        service.promise = Some(promise);
        service.granted = (claim.epoch, Some(beat.sender));
        // Whoever asks for the first time waits for it.
        self.urgent |= asked_before.is_none();
    }

    /// Sends beats where they are due, or where something cannot wait.
    pub(crate) fn send_beats(&mut self, now: Nanos) {
        let due = now >= self.next_beat;
        if !due && !self.urgent {
            return;
        }
        self.urgent = false;
        if due {
            let next = self.next_beat.plus(self.config.beat_ns);
            // After a pause nothing is made up for.
            self.next_beat = if next > now { next } else { now.plus(self.config.beat_ns) };
        }
        let claims: Vec<Claim> = self.service_ids().map(|id| self.claim(now, id)).collect();
        for to in self.member_ids().filter(|member| *member != self.config.own) {
            for path in 0..self.config.members[to.index()].paths {
                self.sequence += 1;
                self.counters.beats_sent += 1;
                let bytes = self.beat(now, to, claims.clone()).seal(&self.key);
                self.outputs.push_back(Output::Beat { to, path, bytes });
            }
        }
    }

    fn claim(&self, now: Nanos, id: ServiceId) -> Claim {
        let service = &self.services[id.index()];
        let (kind, epoch) = match service.mine {
            // Who lacks votes may not make others give way.
            Mine::Held { epoch, .. } if service.lapsed => (ClaimKind::Asking, epoch),
            Mine::Held { epoch, stage: Stage::Offered { to, .. } } => (ClaimKind::Offering(to), epoch),
            Mine::Held { epoch, .. } => (ClaimKind::Holding, epoch),
            Mine::Standing { epoch, .. } => (ClaimKind::Asking, epoch),
            Mine::No if now < service.wanted_until => (ClaimKind::Wanting, service.highest),
            Mine::No => match service.released {
                // What it gave up goes with all that it has heard of, which a member's next life has to hear as well.
                Some((_, FOR_GOOD)) => (ClaimKind::Released, service.highest),
                Some((epoch, until)) if now < until => (ClaimKind::Released, epoch),
                _ => (ClaimKind::Heard, service.highest),
            },
        };
        Claim { service: id, kind, epoch }
    }

    fn beat(&self, now: Nanos, to: MemberId, claims: Vec<Claim>) -> Beat {
        let peer = &self.peers[to.index()];
        let (incarnation, sent_at, heard_at) = peer.trial.unwrap_or((peer.incarnation, peer.sent_at, peer.heard_at));
        let grants = self.service_ids().filter_map(|id| {
            let promise = self.services[id.index()].promise(now)?;
            let answers = promise.to == to && promise.incarnation == peer.incarnation;
            answers.then_some(Grant { service: id, epoch: promise.epoch, sent_at: promise.request_sent_at })
        });
        Beat {
            sender: self.config.own,
            receiver: to,
            fit: self.is_fit(now),
            maintenance: self.maintenance,
            fingerprint: self.config.fingerprint(),
            incarnation: self.incarnation,
            sequence: self.sequence,
            sent_at: now.0,
            echo: Echo { incarnation, sent_at, held_ns: u32::try_from(now.since(heard_at)).unwrap_or(u32::MAX) },
            load: self.load_permille,
            claims,
            grants: grants.collect(),
        }
    }
}
