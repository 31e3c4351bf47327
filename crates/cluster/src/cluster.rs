//! The machine: its inputs, its turn, its deadline.

use std::collections::{BTreeSet, VecDeque};

use tandem_contract::Nanos;

use crate::beat::{Key, Window};
use crate::checks::{Check, Checks};
use crate::config::{ClusterConfig, ClusterConfigError, MAX_MEMBERS, Member, MemberId, Placement, ServiceId};
use crate::detector::Detector;
use crate::lease::{Asker, LeaseAnswer, LeaseRecord, Want};
use crate::output::{Alarm, ClusterCounters, Event, Location, MoveError, Output};
use crate::service::{Mine, ServiceState, Stage};

/// A machine is woken at least so often.
const IDLE_NS: u64 = 1_000_000_000;

/// Another member, as it is heard.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    /// Which life of its is known; 0 for none.
    pub(crate) incarnation: u64,
    pub(crate) window: Window,
    pub(crate) detector: Detector,
    /// Its newest beat: when it was sent, on its clock, and when it came.
    pub(crate) sent_at: u64,
    pub(crate) heard_at: Nanos,
    /// A life that has not yet proved to be the present one.
    pub(crate) trial: Option<(u64, u64, Nanos)>,
    pub(crate) fit: bool,
    pub(crate) maintenance: bool,
    pub(crate) differs: bool,
    pub(crate) load_permille: u16,
    pub(crate) round_trip_ns: u64,
}

/// A member's view of its cluster, and its part in it.
#[derive(Debug)]
pub struct Cluster {
    pub(crate) config: ClusterConfig,
    /// Where members are, as far as is known by now.
    pub(crate) placements: Vec<Placement>,
    pub(crate) key: Key,
    pub(crate) incarnation: u64,
    pub(crate) peers: Vec<Peer>,
    pub(crate) services: Vec<ServiceState>,
    pub(crate) checks: Checks,
    pub(crate) maintenance: bool,
    pub(crate) leaving: bool,
    pub(crate) load_permille: u16,
    /// Neither votes nor asks for votes before then: what it promised in an earlier life has run out by then.
    pub(crate) joins_at: Nanos,
    /// Does not ask for votes before then.
    pub(crate) quiet_until: Nanos,
    /// Votes that were asked for earlier do not count.
    pub(crate) fresh_after: Nanos,
    pub(crate) sequence: u64,
    pub(crate) next_beat: Nanos,
    pub(crate) urgent: bool,
    wall_offset: Option<i128>,
    due: Nanos,
    lease_requests: u64,
    /// The epoch of this node's own record when the list of members was read along with it; 0 for never. Nobody was added since,
    /// as long as it goes on holding the service.
    pub(crate) listed_in: u64,
    store_answered: Nanos,
    alarms: BTreeSet<Alarm>,
    pub(crate) outputs: VecDeque<Output>,
    pub(crate) counters: ClusterCounters,
}

impl Peer {
    /// Somebody who has not been heard yet, and is suspect after so long.
    pub(crate) fn unheard(now: Nanos, suspicion_ns: u64) -> Self {
        Self {
            incarnation: 0,
            window: Window::default(),
            detector: Detector::new(suspicion_ns),
            sent_at: 0,
            heard_at: now,
            trial: None,
            fit: false,
            maintenance: false,
            differs: false,
            load_permille: 0,
            round_trip_ns: 0,
        }
    }
}

impl Cluster {
    /// A member that has just started. `incarnation` tells this life from others of the same member: a random number, not 0.
    /// `unix_ms` is what the wall clock says: where no other member and no store remembers an epoch, epochs begin there, so
    /// that they grow over a restart of everything.
    ///
    /// # Errors
    /// The configuration does not hold together.
    pub fn new(
        now: Nanos,
        mut config: ClusterConfig,
        incarnation: u64,
        unix_ms: u64,
    ) -> Result<Self, ClusterConfigError> {
        config.check()?;
        if config.is_enrolled() {
            // There is a place for everybody who may come.
            config.members.resize(MAX_MEMBERS, Member::nobody());
        }
        let peer = |member: u8| Peer::unheard(now, config.suspicion_ns(MemberId(member)));
        let members = u8::try_from(config.members.len()).unwrap_or(u8::MAX);
        Ok(Self {
            key: Key::new(&config.secret),
            placements: config.members.iter().map(|member| member.placement.clone()).collect(),
            incarnation: incarnation.max(1),
            peers: (0..members).map(peer).collect(),
            services: vec![ServiceState::new(now, unix_ms); config.services.len()],
            checks: Checks::default(),
            maintenance: false,
            leaving: false,
            load_permille: 0,
            joins_at: now.plus(config.lease_ns()),
            quiet_until: now.plus(config.lease_ns()),
            fresh_after: now,
            sequence: 0,
            next_beat: now,
            urgent: false,
            wall_offset: None,
            due: now.plus(config.lease_ns()),
            // An answer to an earlier life's request is none to one of this.
            lease_requests: incarnation << 32,
            listed_in: 0,
            store_answered: now,
            alarms: BTreeSet::new(),
            outputs: VecDeque::new(),
            counters: ClusterCounters::default(),
            config,
        })
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Cluster::on_timeout`] is to be called.
    pub fn next_deadline(&self) -> Nanos {
        self.due
    }

    /// This node's number. Who has another in the list by now is no member any more by this one.
    pub fn own(&self) -> MemberId {
        self.config.own
    }

    /// What was counted.
    pub fn counters(&self) -> ClusterCounters {
        self.counters
    }

    /// The deadline has come.
    pub fn on_timeout(&mut self, now: Nanos) {
        self.turn(now);
    }

    /// The store answered.
    pub fn on_lease(&mut self, now: Nanos, answer: &LeaseAnswer) {
        self.notice_pause(now);
        let (asker, vote_ns) = (self.asker(answer.service), self.vote_ns());
        if let Some(service) = self.services.get_mut(answer.service.index())
            && service.store.on_answer(now, &asker, vote_ns, answer)
        {
            service.hear(service.store.epoch());
            self.store_answered = now;
        }
        self.turn(now);
    }

    /// An [`Output::MoveAddresses`] came to its end.
    pub fn on_moved(&mut self, now: Nanos, service: ServiceId, epoch: u64, outcome: Result<(), MoveError>) {
        self.notice_pause(now);
        self.moved(now, service, epoch, outcome);
        self.turn(now);
    }

    /// An [`Output::Locate`] came to its end.
    pub fn on_located(&mut self, now: Nanos, service: ServiceId, location: Location) {
        self.notice_pause(now);
        self.located(now, service, location);
        self.turn(now);
    }

    /// A self-check fails, or is well. It may be said again and again.
    pub fn on_check(&mut self, now: Nanos, check: Check, failing: bool) {
        self.checks.set(now, check, failing);
        self.turn(now);
    }

    /// Says where a member is, as its cloud has it. Successors are chosen by that from now on; how long votes last, and how long
    /// a member may be silent, stay as the configuration's zones have them: those are the same on all members at all times.
    pub fn set_placement(&mut self, member: MemberId, placement: Placement) {
        if let Some(known) = self.placements.get_mut(member.index()) {
            *known = placement;
        }
    }

    /// Says who is a member, where members come and go, and what the service's record was when that was read. Who has a number that
    /// was another's is heard anew; what this node promised to that other holds until it runs out. This node stays what it is.
    pub fn set_members(&mut self, now: Nanos, members: &[(MemberId, Member)], record: Option<&LeaseRecord>) {
        let own = self.config.own;
        if let Some(record) = record.filter(|record| record.is_of(own, self.incarnation)) {
            self.listed_in = self.listed_in.max(record.epoch);
        }
        for id in (0..).map(MemberId).take(self.peers.len()) {
            let member = members.iter().find(|(member, _)| *member == id).map(|(_, member)| member.clone());
            let member = member.unwrap_or_else(Member::nobody);
            if id != own && self.config.members[id.index()].name != member.name {
                self.replace_member(now, id, member);
            }
        }
        self.turn(now);
    }

    fn replace_member(&mut self, now: Nanos, id: MemberId, member: Member) {
        self.placements[id.index()] = member.placement.clone();
        self.config.members[id.index()] = member;
        self.peers[id.index()] = Peer::unheard(now, self.config.suspicion_ns(id));
        for alarm in [Alarm::MemberSilent(id), Alarm::ConfigurationDiffers(id)] {
            self.alarm(alarm, false);
        }
        for service in &mut self.services {
            service.votes[id.index()] = Nanos(0);
            service.last_holder.take_if(|last| *last == id);
            if service.holder.take_if(|holder| holder.member == id).is_some() {
                service.vacant_since = Some(now);
            }
        }
        self.urgent = true;
    }

    /// How much of what the node can take it has, per mille; the last of the reasons in the choice of a successor.
    pub fn set_load(&mut self, permille: u16) {
        self.load_permille = permille.min(1000);
    }

    /// Compares the wall clock with the monotonic one: a machine that was stopped with all its clocks, as a hypervisor can do,
    /// has lost time that the others have not. Votes from before a step, in whichever direction, count no more: they are asked
    /// for again at once.
    pub fn on_wall_clock(&mut self, now: Nanos, unix_ns: u64) {
        let offset = i128::from(unix_ns) - i128::from(now.0);
        let step = offset - self.wall_offset.replace(offset).unwrap_or(offset);
        let tolerance = i128::from(self.config.lease_ns() / 16);
        let step_ns = u64::try_from(step.unsigned_abs()).unwrap_or(u64::MAX);
        if step > tolerance {
            self.counters.pauses += 1;
            self.event(Event::Paused(step_ns));
            self.forget_votes(now);
        } else if step < -tolerance {
            // Whoever set it may have done so while the machine was stopped, for longer than that.
            self.event(Event::ClockSetBack(step_ns));
            self.forget_votes(now);
        }
        self.turn(now);
    }

    /// Nanoseconds that a vote counts for its receiver: less than the voter keeps it for him, so that clocks may differ in rate
    /// and timers be late.
    pub(crate) fn vote_ns(&self) -> u64 {
        let lease = self.config.lease_ns();
        lease - lease / 8
    }

    pub(crate) fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    pub(crate) fn alarm(&mut self, alarm: Alarm, raised: bool) {
        let changed = if raised { self.alarms.insert(alarm) } else { self.alarms.remove(&alarm) };
        if changed {
            self.outputs.push_back(Output::Alarm { alarm, raised });
        }
    }

    /// Alarms that last.
    pub fn alarms(&self) -> impl Iterator<Item = Alarm> + '_ {
        self.alarms.iter().copied()
    }

    pub(crate) fn is_alive(&self, now: Nanos, member: MemberId) -> bool {
        member == self.config.own || self.peers[member.index()].detector.is_alive(now)
    }

    /// Whether this node could take a service, as far as it can tell.
    pub(crate) fn is_fit(&self, now: Nanos) -> bool {
        !self.leaving && self.checks.failing(now).next().is_none()
    }

    pub(crate) fn service_ids(&self) -> impl Iterator<Item = ServiceId> + use<> {
        (0..u8::try_from(self.services.len()).unwrap_or(u8::MAX)).map(ServiceId)
    }

    /// All members.
    pub(crate) fn member_ids(&self) -> impl Iterator<Item = MemberId> + use<> {
        let all = self.config.members.iter().zip(0..).filter(|(member, _)| !member.is_nobody());
        let present = all.fold(0_u16, |present, (_, place)| present | 1 << place);
        (0..).map(MemberId).take(self.peers.len()).filter(move |member| present >> member.0 & 1 == 1)
    }

    /// Whether somebody has this place.
    pub(crate) fn is_member(&self, member: MemberId) -> bool {
        self.config.members.get(member.index()).is_some_and(|member| !member.is_nobody())
    }

    fn asker(&self, service: ServiceId) -> Asker {
        Asker {
            own: self.config.own,
            incarnation: self.incarnation,
            since_epoch: self.services.get(service.index()).map_or(0, |service| service.asked_from),
            lease_ns: self.config.lease_ns(),
            interval_ns: self.config.beat_ns,
        }
    }

    /// A node that was not run cannot tell who was silent: it listens for a lease before it asks for votes.
    pub(crate) fn notice_pause(&mut self, now: Nanos) {
        let late_ns = now.since(self.due);
        if late_ns > self.config.lease_ns() {
            self.counters.pauses += 1;
            self.event(Event::Paused(late_ns));
            self.quiet_until = now.plus(self.config.lease_ns());
            self.due = now;
        }
    }

    fn forget_votes(&mut self, now: Nanos) {
        self.quiet_until = now.plus(self.config.lease_ns());
        if self.config.is_bare_pair() {
            // There a vote is for good, and time has no part in it.
            return;
        }
        self.fresh_after = now;
        for id in self.service_ids() {
            let service = &mut self.services[id.index()];
            service.votes.fill(Nanos(0));
            service.store.forget();
            self.permit(now, id);
        }
    }

    /// Whatever follows from what is known by now.
    pub(crate) fn turn(&mut self, now: Nanos) {
        self.notice_pause(now);
        for member in self.member_ids() {
            let silent = !self.is_alive(now, member) && now >= self.joins_at;
            self.alarm(Alarm::MemberSilent(member), silent);
        }
        for check in Check::ALL {
            let failing = self.checks.failing(now).any(|other| other == check);
            self.alarm(Alarm::Check(check), failing);
        }
        for service in self.service_ids() {
            self.elect(now, service);
            self.hold_on(now, service);
        }
        self.ask_store(now);
        self.send_beats(now);
        self.due = self.deadline(now);
    }

    fn want(&self, now: Nanos, service: ServiceId) -> Want {
        let service = &self.services[service.index()];
        match (service.epoch(), service.released) {
            (Some(epoch), _) => Want::Have(epoch),
            (None, Some((_, until))) if now < until => Want::GiveUp,
            (None, _) => Want::Watch,
        }
    }

    fn ask_store(&mut self, now: Nanos) {
        if !self.config.store_votes() {
            return;
        }
        for id in self.service_ids() {
            let (asker, want) = (self.asker(id), self.want(now, id));
            let store = &mut self.services[id.index()].store;
            if let Some(request) = store.request(now, &asker, want, self.urgent, id, self.lease_requests) {
                self.lease_requests += 1;
                self.outputs.push_back(Output::Lease(request));
            }
        }
        let away = now.since(self.store_answered) >= 2 * self.config.lease_ns();
        self.alarm(Alarm::StoreAway, away);
    }

    /// Whether the store would vote.
    pub(crate) fn store_answers(&self, now: Nanos) -> bool {
        self.config.store_votes() && now.since(self.store_answered) < 2 * self.config.lease_ns()
    }

    fn deadline(&self, now: Nanos) -> Nanos {
        let mut due = self.next_beat.min(now.plus(IDLE_NS));
        let mut at = |time: Nanos| {
            if time > now {
                due = due.min(time);
            }
        };
        self.peers.iter().filter_map(|peer| peer.detector.deadline()).for_each(&mut at);
        self.checks.deadline(now).into_iter().for_each(&mut at);
        at(self.joins_at);
        at(self.quiet_until);
        for id in self.service_ids() {
            let service = &self.services[id.index()];
            if self.config.store_votes() {
                at(service.store.deadline(&self.asker(id), self.want(now, id)));
            }
            service.promise.iter().for_each(|promise| at(promise.until));
            at(service.not_before);
            match service.mine {
                Mine::No => self.turn_to_stand(now, id).into_iter().for_each(&mut at),
                Mine::Standing { since, .. } => at(since.plus(self.patience_ns())),
                Mine::Held { stage, .. } => {
                    at(service.permit);
                    at(service.no_offer_before);
                    match stage {
                        Stage::Moving { again_at, .. } => again_at.into_iter().for_each(&mut at),
                        Stage::Settled => at(service.next_look),
                        Stage::Offered { until, .. } => at(until),
                    }
                }
            }
        }
        due
    }
}
