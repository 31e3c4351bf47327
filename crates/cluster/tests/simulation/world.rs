//! Members, their clocks, the network between them, the store, and who may send for an address.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use fastrand::Rng;
use tandem_cluster::{
    Cluster, ClusterConfig, Keeper, LeaseAnswer, LeaseRecord, LeaseRequest, Location, Member, MemberId, Membership,
    MoveError, Output, Placement, Reach, RosterAnswer, RosterRequest, Secret, Service, ServiceId,
};
use tandem_contract::Nanos;

use crate::faults::Fault;

pub(crate) const MS: u64 = 1_000_000;
/// Faults happen until then.
const FAULTS_END: u64 = 4_000 * MS;
/// And are all over by then.
const ALL_WELL: u64 = 6_000 * MS;
/// Somebody must hold each service from so long after that.
const SETTLES: u64 = 4_000 * MS;
/// A list of members that is lost is looked for before another is written.
const SETTLES_ENROLLED: u64 = 14_000 * MS;
const END: u64 = 1_000 * MS;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    PairAndStore,
    Three,
    Spare,
    BarePair,
    /// Four that come and go.
    Enrolled,
}

#[derive(Debug)]
pub(crate) enum What {
    Wake(usize, u64),
    Datagram(usize, Vec<u8>),
    /// The member, its life, and the store's.
    AtStore(usize, [u64; 2], LeaseRequest),
    FromStore(usize, u64, LeaseAnswer),
    Moved(usize, u64, ServiceId, u64, bool),
    /// A node looks into the cloud, and at its list.
    Look(usize, u64),
    RosterAtStore(usize, [u64; 2], RosterRequest),
    RosterFromStore(usize, u64, RosterAnswer),
    Fault(Fault),
}

struct Event {
    at: u64,
    number: u64,
    what: What,
}

impl PartialEq for Event {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.number) == (other.at, other.number)
    }
}
impl Eq for Event {}
impl PartialOrd for Event {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Event {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        Reverse((self.at, self.number)).cmp(&Reverse((other.at, other.number)))
    }
}

pub(crate) struct Node {
    /// `None` while it is down, or no member.
    pub(crate) cluster: Option<Cluster>,
    /// Of a node that is up, where members come and go.
    pub(crate) keeper: Option<Keeper>,
    /// What authenticates its machine's life in the store.
    pub(crate) incarnation: u64,
    /// Whether the cloud has it among the members.
    pub(crate) belongs: bool,
    /// Which life it is.
    pub(crate) life: u64,
    /// Its monotonic clock: nanoseconds at `base`, and parts per million that it is fast.
    clock: u64,
    base: u64,
    drift_ppm: i64,
    pub(crate) wall_step: i64,
    /// Not run before then; everything that comes waits.
    paused_until: u64,
    /// Its clock stands still too.
    pub(crate) frozen: bool,
    waiting: Vec<What>,
    /// The timer that counts; others were set earlier.
    timer: u64,
    /// Until when it may send, by service, on its clock.
    pub(crate) permits: Vec<Nanos>,
}

pub(crate) struct World {
    pub(crate) shape: Shape,
    pub(crate) rng: Rng,
    tell: bool,
    seed: u64,
    pub(crate) now: u64,
    number: u64,
    events: BinaryHeap<Event>,
    pub(crate) nodes: Vec<Node>,
    /// Datagrams lost per mille, from and to.
    pub(crate) loss: Vec<Vec<u32>>,
    pub(crate) delay_ns: u64,
    pub(crate) store_reachable: Vec<bool>,
    pub(crate) register: HashMap<ServiceId, LeaseRecord>,
    /// The list of members in the store.
    pub(crate) roster: Option<String>,
    pub(crate) backup: HashMap<ServiceId, LeaseRecord>,
    pub(crate) moves_fail: u32,
    /// Each service's epochs, in the order in which they were held.
    epochs: HashMap<ServiceId, Vec<u64>>,
    /// How often the store was restored or emptied: connections end with its life.
    pub(crate) store_life: u64,
    /// In which of them each member had its last answer.
    answered_in: Vec<u64>,
    promotions: u64,
}

pub(crate) fn config(shape: Shape, own: usize) -> ClusterConfig {
    let placement = Placement { zone: "a".to_owned(), subnet: "a1".to_owned(), host: None, group: None };
    let (members, services, store) = match shape {
        Shape::PairAndStore => (2, 1, true),
        Shape::Three => (3, 1, false),
        Shape::Spare => (4, 3, true),
        Shape::BarePair => (2, 1, false),
        Shape::Enrolled => (4, 1, true),
    };
    ClusterConfig {
        own: MemberId(own as u8),
        members: (0..members)
            .map(|member| Member {
                name: format!("m{member}"),
                placement: placement.clone(),
                takes: if shape == Shape::Spare { 2 } else { 1 },
                paths: 1 + u8::from(shape == Shape::PairAndStore),
            })
            .collect(),
        membership: if shape == Shape::Enrolled { Membership::Enrolled } else { Membership::Listed },
        services: (0..services)
            .map(|service| Service {
                name: format!("s{service}"),
                home: (shape != Shape::Enrolled).then_some(MemberId(service)),
                reach: Reach::Subnet,
            })
            .collect(),
        secret: Secret::new(vec![7; 32]),
        beat_ns: 20 * MS,
        missed_near: 3,
        missed_far: 10,
        store,
        locate_ns: Some(1000 * MS),
    }
}

impl World {
    pub(crate) fn new(shape: Shape, seed: u64, tell: bool) -> Self {
        let mut rng = Rng::with_seed(seed);
        let members = config(shape, 0).members.len();
        let services = config(shape, 0).services.len();
        let node = |_| Node {
            cluster: None,
            keeper: None,
            incarnation: 0,
            belongs: true,
            life: 0,
            clock: rng.u64(0..1_000_000 * MS),
            base: 0,
            drift_ppm: rng.i64(-500..500),
            wall_step: 0,
            paused_until: 0,
            frozen: false,
            waiting: Vec::new(),
            timer: 0,
            permits: vec![Nanos(0); services],
        };
        let nodes = (0..members).map(node).collect();
        let mut world = Self {
            shape,
            tell,
            seed,
            now: 0,
            number: 0,
            events: BinaryHeap::new(),
            nodes,
            loss: vec![vec![0; members]; members],
            delay_ns: rng.u64(50_000..2 * MS),
            store_reachable: vec![true; members],
            register: HashMap::new(),
            roster: None,
            backup: HashMap::new(),
            moves_fail: 0,
            epochs: HashMap::new(),
            store_life: 0,
            answered_in: vec![0; members],
            promotions: 0,
            rng,
        };
        if shape == Shape::Enrolled {
            world.enrol(FAULTS_END, ALL_WELL);
        }
        for member in 0..members {
            let at = world.rng.u64(0..300 * MS);
            world.at(at, What::Fault(Fault::Start(member)));
        }
        for _ in 0..world.rng.usize(1..12) {
            let at = world.rng.u64(0..FAULTS_END);
            let (fault, over) = Fault::draw(&mut world.rng, members);
            world.at(at, What::Fault(fault));
            if let Some((after, over)) = over {
                world.at((at + after).min(ALL_WELL), What::Fault(over));
            }
        }
        for member in 0..members {
            world.at(ALL_WELL, What::Fault(Fault::Start(member)));
        }
        world.at(ALL_WELL, What::Fault(Fault::AllWell));
        // What was stopped at that time takes its orders now.
        world.at(ALL_WELL + 1500 * MS, What::Fault(Fault::AllWell));
        world
    }

    pub(crate) fn promotions(&self) -> u64 {
        self.promotions
    }

    pub(crate) fn at(&mut self, at: u64, what: What) {
        self.number += 1;
        self.events.push(Event { at, number: self.number, what });
    }

    pub(crate) fn told(&self, what: impl FnOnce() -> String) {
        if self.tell {
            println!("{:>12.3} ms  {}", self.now as f64 / MS as f64, what());
        }
    }

    /// A node's monotonic clock.
    pub(crate) fn clock(&self, member: usize) -> Nanos {
        let node = &self.nodes[member];
        let passed = if node.frozen { 0 } else { (self.now - node.base) as i64 };
        Nanos(node.clock.saturating_add_signed(passed + passed / 1_000_000 * node.drift_ppm))
    }

    fn rebase(&mut self, member: usize) {
        self.nodes[member].clock = self.clock(member).0;
        self.nodes[member].base = self.now;
    }

    pub(crate) fn run(&mut self) {
        let settled = ALL_WELL + if self.shape == Shape::Enrolled { SETTLES_ENROLLED } else { SETTLES };
        while let Some(Event { at, what, .. }) = self.events.pop() {
            if at > settled + END {
                break;
            }
            self.now = at;
            match what {
                What::Fault(fault) => {
                    self.told(|| format!("{fault:?}"));
                    self.fault(fault);
                }
                What::AtStore(member, lives, request) => self.at_store(member, lives, request),
                What::RosterAtStore(member, lives, request) => self.roster_at_store(member, lives, request),
                What::Look(member, _) | What::RosterFromStore(member, ..)
                    if self.nodes[member].paused_until > self.now =>
                {
                    self.at(self.nodes[member].paused_until, what);
                }
                What::Look(member, life) => self.look(member, life),
                What::RosterFromStore(member, life, answer) => self.roster_from_store(member, life, answer),
                What::Wake(member, _)
                | What::Datagram(member, _)
                | What::FromStore(member, ..)
                | What::Moved(member, ..) => {
                    if self.nodes[member].paused_until > self.now {
                        if !matches!(what, What::Wake(..)) {
                            self.nodes[member].waiting.push(what);
                        }
                    } else {
                        self.give(member, what);
                    }
                }
            }
            if self.now > settled {
                self.check_one();
            }
        }
    }

    fn give(&mut self, member: usize, what: What) {
        let now = self.clock(member);
        let node = &mut self.nodes[member];
        let Some(cluster) = &mut node.cluster else { return };
        match what {
            What::Wake(_, timer) if timer == node.timer && cluster.next_deadline() <= now => {
                let wall = (self.now + 1_000_000_000 * MS).saturating_add_signed(node.wall_step);
                cluster.on_wall_clock(now, wall);
                cluster.on_timeout(now);
            }
            What::Wake(_, timer) if timer != node.timer => return,
            What::Wake(..) => {}
            What::Datagram(_, bytes) => {
                // What an earlier life was sent is refused, and counted.
                let _ = cluster.on_datagram(now, &bytes);
            }
            What::FromStore(_, life, answer) if life == node.life => cluster.on_lease(now, &answer),
            What::Moved(_, life, service, epoch, well) if life == node.life => {
                cluster.on_moved(now, service, epoch, if well { Ok(()) } else { Err(MoveError::Failed) });
            }
            What::FromStore(..) | What::Moved(..) => {}
            What::AtStore(..)
            | What::RosterAtStore(..)
            | What::Look(..)
            | What::RosterFromStore(..)
            | What::Fault(_) => {
                unreachable!("not for a machine")
            }
        }
        self.perform(member);
    }

    pub(crate) fn perform(&mut self, member: usize) {
        let now = self.clock(member);
        while let Some(output) = self.nodes[member].cluster.as_mut().and_then(Cluster::poll_output) {
            let life = self.nodes[member].life;
            match output {
                Output::Beat { to, bytes, .. } => {
                    let Some(to) = self.node_of(member, to) else { continue };
                    if self.rng.u32(0..1000) >= self.loss[member][to] {
                        let delay = self.delay_ns + self.rng.u64(0..self.delay_ns);
                        self.at(self.now + delay, What::Datagram(to, bytes));
                    }
                }
                Output::Lease(request) => {
                    let delay = self.delay_ns + self.rng.u64(0..self.delay_ns);
                    self.at(self.now + delay, What::AtStore(member, [life, self.store_life], request));
                }
                Output::Permit { service, until } => {
                    self.nodes[member].permits[usize::from(service.0)] = until;
                    self.check_alone(service);
                }
                Output::Rest { service } => {
                    let permit = self.nodes[member].permits[usize::from(service.0)];
                    assert!(permit > now, "seed {}: m{member} rests and had nothing to send", self.seed);
                }
                Output::Promote { service, epoch, .. } => {
                    self.told(|| format!("m{member} holds {} in {epoch}", service.0));
                    let before = self.epochs.entry(service).or_default();
                    // Who hears neither the last holder nor a store that remembers him cannot know how far he was.
                    let is_new = if self.store_life > 0 {
                        !before.contains(&epoch)
                    } else {
                        before.last().is_none_or(|last| epoch > *last)
                    };
                    assert!(is_new, "seed {}: m{member} holds {service:?} in {epoch} after {before:?}", self.seed);
                    before.push(epoch);
                    self.promotions += 1;
                }
                Output::MoveAddresses { service, epoch, .. } => {
                    let well = self.rng.u32(0..1000) >= self.moves_fail;
                    let delay = self.rng.u64(MS..60 * MS);
                    self.at(self.now + delay, What::Moved(member, life, service, epoch, well));
                }
                Output::Locate { service } => {
                    if let Some(cluster) = &mut self.nodes[member].cluster {
                        cluster.on_located(now, service, Location::Here);
                    }
                }
                Output::Demote { service, ended, .. } => {
                    self.told(|| format!("m{member} holds {} no more: {ended}", service.0));
                    let permit = self.nodes[member].permits[usize::from(service.0)];
                    assert!(permit <= now, "seed {}: demoted before its workers were stopped", self.seed);
                }
                Output::Alarm { alarm, raised } => self.told(|| format!("m{member} alarm {alarm:?} {raised}")),
                Output::Event(event) => self.told(|| format!("m{member} {event:?}")),
            }
        }
        if let Some(cluster) = &self.nodes[member].cluster {
            let node = &self.nodes[member];
            let wait = cluster.next_deadline().since(now);
            let lateness = self.rng.u64(0..MS / 2);
            let timer = node.timer + 1;
            self.nodes[member].timer = timer;
            self.at(self.now + wait.max(1000) + lateness, What::Wake(member, timer));
        }
    }

    /// The store was restored or emptied, which takes a restart.
    pub(crate) fn store_forgets(&mut self) {
        self.store_life += 1;
    }

    fn at_store(&mut self, member: usize, [life, of_store]: [u64; 2], request: LeaseRequest) {
        if !self.store_reachable[member] || of_store != self.store_life {
            return;
        }
        let anew = std::mem::replace(&mut self.answered_in[member], self.store_life) != self.store_life;
        let there = self.register.get(&request.service).copied();
        let listed = self.may_have_record(member, &request);
        let set = !anew && listed && request.set.is_some_and(|(expected, _)| expected == there);
        if let Some((_, record)) = request.set.filter(|_| set) {
            // Through the text, as a store has it.
            self.register.insert(request.service, record.to_string().parse().expect("a record"));
        }
        let record = self.register.get(&request.service).copied();
        let answer = LeaseAnswer { service: request.service, request: request.request, set, record, anew };
        if self.rng.u32(0..100) > 0 {
            let delay = self.delay_ns + self.rng.u64(0..self.delay_ns);
            self.at(self.now + delay, What::FromStore(member, life, answer));
        }
    }

    /// Members whose workers would send for `service` now.
    fn senders(&self, service: ServiceId) -> Vec<usize> {
        let sends = |member: &usize| {
            let node = &self.nodes[*member];
            let runs = node.cluster.is_some() && node.paused_until <= self.now;
            runs && self.clock(*member) < node.permits[usize::from(service.0)]
        };
        (0..self.nodes.len()).filter(sends).collect()
    }

    fn check_alone(&self, service: ServiceId) {
        let senders = self.senders(service);
        assert!(
            senders.len() <= 1,
            "{:?} seed {}: at {:.3} ms {senders:?} send for {service:?}",
            self.shape,
            self.seed,
            self.now as f64 / MS as f64
        );
    }

    fn check_one(&self) {
        for service in 0..self.nodes[0].permits.len() {
            let senders = self.senders(ServiceId(service as u8));
            assert_eq!(
                senders.len(),
                1,
                "{:?} seed {}: of service {service} at {}",
                self.shape,
                self.seed,
                self.now / MS
            );
        }
    }

    pub(crate) fn start(&mut self, member: usize) {
        if self.shape == Shape::Enrolled {
            return self.start_enrolled(member);
        }
        if self.nodes[member].cluster.is_some() {
            return;
        }
        let now = self.clock(member);
        let incarnation = self.rng.u64(1..);
        let node = &mut self.nodes[member];
        node.life += 1;
        node.permits.fill(Nanos(0));
        let mut cluster =
            Cluster::new(now, config(self.shape, member), incarnation, self.now / MS).expect("a configuration");
        cluster.on_wall_clock(now, (self.now + 1_000_000_000 * MS).saturating_add_signed(node.wall_step));
        node.cluster = Some(cluster);
        self.perform(member);
    }

    pub(crate) fn crash(&mut self, member: usize) {
        self.nodes[member].cluster = None;
        self.nodes[member].keeper = None;
        self.nodes[member].waiting.clear();
    }

    /// Stops a node; with its clocks, as a hypervisor does, or without them.
    pub(crate) fn pause(&mut self, member: usize, for_ns: u64, frozen: bool) {
        if self.nodes[member].paused_until > self.now {
            return;
        }
        self.rebase(member);
        self.nodes[member].frozen = frozen;
        self.nodes[member].paused_until = self.now + for_ns;
        self.at(self.now + for_ns, What::Fault(Fault::Resume(member)));
    }

    pub(crate) fn resume(&mut self, member: usize) {
        let node = &mut self.nodes[member];
        if node.frozen {
            node.base = self.now;
            node.frozen = false;
        }
        self.look_at_wall_clock(member);
        for service in 0..self.nodes[member].permits.len() {
            self.check_alone(ServiceId(service as u8));
        }
        // What waited in the socket comes in any order with the timers.
        let mut waiting = std::mem::take(&mut self.nodes[member].waiting);
        waiting.truncate(200);
        self.rng.shuffle(&mut waiting);
        for what in waiting {
            self.give(member, what);
        }
    }

    pub(crate) fn look_at_wall_clock(&mut self, member: usize) {
        let now = self.clock(member);
        let wall = (self.now + 1_000_000_000 * MS).saturating_add_signed(self.nodes[member].wall_step);
        if let Some(cluster) = self.running(member) {
            cluster.on_wall_clock(now, wall);
        }
        self.perform(member);
    }

    /// A node that is up and not stopped: what is stopped takes no order.
    fn running(&mut self, member: usize) -> Option<&mut Cluster> {
        let node = &mut self.nodes[member];
        node.cluster.as_mut().filter(|_| node.paused_until <= self.now)
    }

    pub(crate) fn order(&mut self, member: usize, service: u8) {
        let now = self.clock(member);
        let service = ServiceId(service.min(self.nodes[0].permits.len() as u8 - 1));
        if let Some(cluster) = self.running(member) {
            let outcome = cluster.switch_over(now, service, None);
            self.told(|| format!("switch-over: {outcome:?}"));
        }
        self.perform(member);
    }

    pub(crate) fn maintain(&mut self, member: usize, on: bool) {
        let now = self.clock(member);
        if let Some(cluster) = self.running(member) {
            cluster.set_maintenance(now, on);
        }
        self.perform(member);
    }
}
