//! The loop around the cluster machine.

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tandem_aws_protocol::{Asked, Outcome, Placed, Strategy};
use tandem_cluster::{
    Check, Cluster, ClusterConfig, GroupStrategy, Location, Member, MemberId, Membership, OrderError, Placement,
    PlacementGroup, Reach, Secret, Service, ServiceId,
};
use tandem_config::{AddressReach, Config, PlacementStrategy};
use tandem_contract::{Nanos, WorkerCounters};
use tokio::sync::mpsc::{Receiver, Sender, UnboundedReceiver, UnboundedSender, channel};
use tokio::sync::oneshot;
use tokio::time::sleep_until;

use super::effects::{Done, Effects, Moved};
use super::enrolment::{Discovery, Enrolment};
use super::sockets::{Paths, bind};
use super::view::ClusterView;
use super::{ClusterError, ClusterRequest, Fences, lease};
use crate::aws::Aws;
use crate::clock::Clock;
use crate::order::Order;
use crate::ports::PortReader;

/// Between looks at the workers' poll counters and the ports' links: a worker polls some thousand times in it.
const LOOK_NS: u64 = 20_000_000;
/// Between looks where EC2 has the addresses, while they should be here.
const LOCATE_NS: u64 = 10_000_000_000;
/// Between looks where EC2 has the members.
const PLACE_NS: u64 = 60_000_000_000;
/// The same, until it has said so.
const FIRST_PLACE_NS: u64 = 1_000_000_000;
/// A node has one set of floating addresses.
pub(super) const SERVICE: ServiceId = ServiceId(0);

/// All that the cluster's thread needs, had before it starts so that what can fail fails then.
pub(crate) struct Setup {
    cluster: ClusterConfig,
    sockets: Vec<std::net::UdpSocket>,
    members: Vec<Vec<SocketAddr>>,
    /// Where members come and go.
    discovery: Option<Discovery>,
    store: Option<redis::Client>,
    pub(crate) clock: Clock,
    pub(crate) fences: Fences,
    pub(crate) workers: Vec<Arc<WorkerCounters>>,
    /// Not there before workers run.
    pub(crate) ports: Arc<OnceLock<PortReader>>,
    pub(crate) order: UnboundedSender<Order>,
    /// Calls in progress, per mille of the limit.
    pub(crate) load: Arc<AtomicU64>,
    aws: Option<Aws>,
    /// Whether addresses are here, after a move.
    confirmed: UnboundedReceiver<bool>,
    incarnation: u64,
}

impl Setup {
    /// Reads the secret and binds the sockets; `None` where the configuration has no cluster.
    pub(crate) fn new(
        config: &Config,
        clock: Clock,
        fences: Fences,
        (workers, ports): (Vec<Arc<WorkerCounters>>, Arc<OnceLock<PortReader>>),
        order: UnboundedSender<Order>,
        load: Arc<AtomicU64>,
        (aws, discovery, confirmed): (Option<Aws>, Option<Discovery>, UnboundedReceiver<bool>),
        seed: [u8; 32],
    ) -> Result<Option<Self>, ClusterError> {
        let section = &config.cluster;
        let own = section.members.iter().position(|member| member.name == config.node.name);
        let own_addresses = match (own, &discovery) {
            (_, Some(discovery)) => vec![discovery.heartbeat],
            (Some(own), None) => section.members[own].heartbeat.clone(),
            (None, None) => return Ok(None),
        };
        let path = &section.secret_file;
        let secret = std::fs::read(path).map_err(|source| ClusterError::Secret { path: path.clone(), source })?;
        let sockets = own_addresses.into_iter().map(bind);
        let [a, b, c, d, e, f, g, h, ..] = seed;
        Ok(Some(Self {
            cluster: machine_config(config, own.unwrap_or(0), discovery.is_some(), secret),
            discovery,
            sockets: sockets.collect::<Result<_, _>>()?,
            members: section.members.iter().map(|member| member.heartbeat.clone()).collect(),
            store: section.store.as_deref().map(lease::client).transpose()?,
            clock,
            fences,
            workers,
            ports,
            order,
            load,
            aws,
            confirmed,
            incarnation: u64::from_be_bytes([a, b, c, d, e, f, g, h]),
        }))
    }

    /// The machine, as it is when the process starts.
    pub(crate) fn cluster(&self) -> Result<Cluster, ClusterError> {
        let unix_ms = self.clock.wall().unix_ns / 1_000_000;
        Ok(Cluster::new(self.clock.now(), self.cluster.clone(), self.incarnation, unix_ms)?)
    }
}

/// The machine's configuration. There are no more members than the file's check allows.
fn machine_config(config: &Config, own: usize, enrolled: bool, secret: Vec<u8>) -> ClusterConfig {
    let section = &config.cluster;
    let id = |place: usize| MemberId(u8::try_from(place).unwrap_or(u8::MAX));
    let members = section.members.iter().map(|member| {
        let strategy = match member.placement_strategy {
            PlacementStrategy::Spread => GroupStrategy::Spread,
            PlacementStrategy::Partition => GroupStrategy::Partition,
            PlacementStrategy::Cluster => GroupStrategy::Cluster,
        };
        let group = member.placement_group.clone();
        Member {
            name: member.name.clone(),
            placement: Placement {
                zone: member.zone.clone(),
                subnet: member.subnet.clone(),
                host: member.host.clone(),
                group: group.map(|name| PlacementGroup { name, strategy, partition: member.partition }),
            },
            takes: u8::from(!member.witness),
            paths: u8::try_from(member.heartbeat.len()).unwrap_or(1),
        }
    });
    let home = section.home.as_ref().and_then(|home| section.members.iter().position(|member| member.name == *home));
    let reach = match section.reach {
        AddressReach::Subnet => Reach::Subnet,
        AddressReach::Anywhere => Reach::Anywhere,
    };
    ClusterConfig {
        own: id(own),
        // Who is enrolled is one at least, this node.
        members: members.chain(enrolled.then(|| member_alone(&config.node.name))).collect(),
        membership: if enrolled { Membership::Enrolled } else { Membership::Listed },
        services: vec![Service { name: "calls".to_owned(), home: home.map(id), reach }],
        secret: Secret::new(secret),
        beat_ns: u64::from(section.beat_ms) * 1_000_000,
        missed_near: section.missed_near,
        missed_far: section.missed_far,
        store: section.store.is_some(),
        locate_ns: config.aws.enabled.then_some(LOCATE_NS),
    }
}

/// A node before it is known who else is a member.
fn member_alone(name: &str) -> Member {
    Member { name: name.to_owned(), placement: Placement::default(), takes: 1, paths: 1 }
}

/// Runs until nobody can ask any more.
pub(crate) async fn run(setup: Setup, cluster: Cluster, mut requests: Receiver<ClusterRequest>) -> io::Result<()> {
    let names = setup.cluster.members.iter().map(|member| member.name.clone()).collect();
    let (lease, lease_requests) = channel(16);
    let (answer, answers) = channel(16);
    let has_store = setup.store.is_some();
    let enrolled = setup.discovery.as_ref().map(|discovery| discovery.own.clone());
    let enrolment = match (setup.discovery, &setup.aws, &setup.store) {
        (Some(discovery), Some(aws), Some(store)) => {
            Some(Enrolment::start(setup.clock.now(), discovery, aws.clone(), store.clone()))
        }
        _ => None,
    };
    if let Some(client) = setup.store {
        tokio::spawn(lease::serve(client, enrolled, lease_requests, answer));
    }
    let (done, ends) = channel(16);
    let addresses = setup.members.iter().filter_map(|paths| paths.first()).map(|path| path.ip()).collect();
    let effects = Effects {
        names,
        paths: Paths::new(setup.sockets, setup.members)?,
        lease: has_store.then_some(lease),
        clock: setup.clock,
        fences: setup.fences,
        workers: setup.workers.len(),
        order: setup.order,
        done,
        aws: setup.aws.clone(),
        from: None,
        handed_over: false,
    };
    let (placed, placements) = channel(1);
    if let Some(aws) = setup.aws.filter(|_| enrolment.is_none()) {
        tokio::spawn(look_for_members(aws, addresses, placed));
    }
    let polls = vec![0; setup.workers.len()];
    let next_look = setup.clock.now();
    let looks = Looks { workers: setup.workers, polls, ports: setup.ports, load: setup.load, next: next_look };
    let mut loops = Loop {
        clock: setup.clock,
        cluster,
        config: setup.cluster,
        incarnation: setup.incarnation,
        effects,
        looks,
        leaving: Vec::new(),
        enrolment,
        maintenance: false,
        unwanted: false,
        parting: false,
    };
    // Nothing is taken before workers run.
    while loops.looks.workers.iter().any(|worker| worker.polls.get() == 0) {
        tokio::time::sleep(Duration::from_nanos(LOOK_NS)).await;
    }
    let mut inputs = Inputs { answers, ends, confirmed: setup.confirmed, placements };
    loop {
        if loops.enrolment.is_some() && !loops.become_member(&mut requests).await {
            return Ok(());
        }
        if !loops.run(&mut requests, &mut inputs).await {
            return Ok(());
        }
        tracing::warn!("this node is no member of the cluster any more");
    }
}

/// What comes to the loop, but requests.
struct Inputs {
    answers: Receiver<tandem_cluster::LeaseAnswer>,
    ends: Receiver<Done>,
    confirmed: UnboundedReceiver<bool>,
    placements: Receiver<Vec<Option<Placed>>>,
}

/// What this node sees of itself.
struct Looks {
    workers: Vec<Arc<WorkerCounters>>,
    /// Poll counters at the last look.
    polls: Vec<u64>,
    ports: Arc<OnceLock<PortReader>>,
    load: Arc<AtomicU64>,
    next: Nanos,
}

pub(super) struct Loop {
    pub(super) clock: Clock,
    pub(super) cluster: Cluster,
    /// What it is made of, where that changes.
    pub(super) config: ClusterConfig,
    pub(super) incarnation: u64,
    pub(super) effects: Effects,
    looks: Looks,
    leaving: Vec<oneshot::Sender<()>>,
    /// Where members come and go.
    pub(super) enrolment: Option<Enrolment>,
    /// The operator wants this node left alone.
    pub(super) maintenance: bool,
    /// EC2 does not have it among the members.
    pub(super) unwanted: bool,
    /// It is in the list no more, and lets go of what it holds.
    pub(super) parting: bool,
}

impl Loop {
    /// Until nobody can ask any more, `false`, or until this node is no member, `true`.
    async fn run(&mut self, requests: &mut Receiver<ClusterRequest>, inputs: &mut Inputs) -> bool {
        loop {
            let now = self.clock.now();
            // Before anything that came in meanwhile: a machine that was stopped has lost time, and with it its votes.
            self.cluster.on_wall_clock(now, wall_ns());
            self.look(now);
            let enrolling = self.enrol(now);
            while let Some(output) = self.cluster.poll_output() {
                self.effects.perform(output).await;
            }
            if let Some((enrolment, request)) = self.enrolment.as_ref().zip(enrolling) {
                // Only now: until when workers may send follows already from who may be a member by it.
                enrolment.perform(request);
            }
            if self.has_left() {
                return true;
            }
            if self.cluster.holds_nothing() {
                for left in self.leaving.drain(..) {
                    let _ = left.send(());
                }
            }
            let due = self.enrolment.as_ref().map_or(Nanos(u64::MAX), Enrolment::next_deadline);
            let wake = self.clock.instant(self.cluster.next_deadline().min(self.looks.next).min(due));
            tokio::select! {
                () = poll_fn(|context| self.effects.paths.poll_readable(context)) => self.receive(),
                Some(answer) = inputs.answers.recv() => self.cluster.on_lease(self.clock.now(), &answer),
                Some(done) = inputs.ends.recv() => self.on_done(done),
                Some(here) = inputs.confirmed.recv() => {
                    let location = if here { Location::Here } else { Location::Elsewhere };
                    self.cluster.on_located(self.clock.now(), SERVICE, location);
                }
                Some(placed) = inputs.placements.recv() => self.on_placed(placed),
                happened = Enrolment::next(&mut self.enrolment) => {
                    if let Some(enrolment) = &mut self.enrolment {
                        enrolment.on(self.clock.now(), happened);
                    }
                }
                request = requests.recv() => match request {
                    Some(request) => self.on_request(request),
                    None => return false,
                },
                () = sleep_until(wake) => {
                    let now = self.clock.now();
                    if now >= self.cluster.next_deadline() {
                        self.cluster.on_timeout(now);
                    }
                }
            }
        }
    }

    fn on_done(&mut self, done: Done) {
        match done {
            Done::Moved(Moved { service, epoch, outcome }) => {
                self.cluster.on_moved(self.clock.now(), service, epoch, outcome);
            }
            // What is left are addresses that nobody else has.
            Done::Gone if self.cluster.holds_nothing() => self.effects.fences.lift(),
            Done::Gone => {}
            Done::Located(service, location) => self.cluster.on_located(self.clock.now(), service, location),
        }
    }

    /// EC2 says where members are; of those that it does not know, the configuration does.
    fn on_placed(&mut self, placed: Vec<Option<Placed>>) {
        for (member, placed) in (0..).map(MemberId).zip(placed) {
            if let Some(placed) = placed {
                let Placed { zone, subnet, group, partition, .. } = placed;
                self.cluster.set_placement(member, placement(zone, subnet, group, partition));
            }
        }
    }

    fn receive(&mut self) {
        let (cluster, clock) = (&mut self.cluster, &self.clock);
        self.effects.paths.receive(|from, bytes| {
            if let Err(error) = cluster.on_datagram(clock.now(), bytes) {
                tracing::debug!(%from, %error, "no heartbeat for this node");
            }
        });
    }

    fn look(&mut self, now: Nanos) {
        let looks = &mut self.looks;
        if now < looks.next {
            return;
        }
        looks.next = now.plus(LOOK_NS);
        let mut stuck = false;
        for (worker, polls) in looks.workers.iter().zip(&mut looks.polls) {
            let seen = worker.polls.get();
            stuck |= seen == std::mem::replace(polls, seen);
        }
        self.cluster.set_load(looks.load.load(Relaxed).try_into().unwrap_or(u16::MAX));
        self.cluster.on_check(now, Check::WorkerStuck, stuck);
        let lacks_link = looks.ports.get().is_some_and(|ports| !ports.have_links());
        self.cluster.on_check(now, Check::PortDown, lacks_link);
    }

    fn on_request(&mut self, request: ClusterRequest) {
        let now = self.clock.now();
        // Whoever asked may have gone; then nobody misses the answer.
        match request {
            ClusterRequest::View(answer) => {
                let _ = answer.send(ClusterView::of(&self.cluster, now, self.effects.aws.as_ref()));
            }
            ClusterRequest::SwitchOver(to, answer) => {
                let to = match to.map(|to| self.effects.names.iter().position(|name| *name == to)) {
                    None => Ok(None),
                    Some(Some(place)) => Ok(u8::try_from(place).ok().map(MemberId)),
                    Some(None) => Err(OrderError::UnknownMember),
                };
                let _ = answer.send(to.and_then(|to| self.cluster.switch_over(now, SERVICE, to)));
            }
            ClusterRequest::Force(answer) => {
                let _ = answer.send(self.cluster.force(now, SERVICE));
            }
            ClusterRequest::Maintenance(on, answer) => {
                self.maintenance = on;
                self.cluster.set_maintenance(now, on || self.unwanted);
                let _ = answer.send(());
            }
            ClusterRequest::Leave(answer) => {
                self.cluster.leave(now);
                self.leaving.push(answer);
            }
        }
    }
}

/// Asks EC2 for the members with these addresses, now and then.
async fn look_for_members(aws: Aws, addresses: Vec<IpAddr>, placed: Sender<Vec<Option<Placed>>>) {
    loop {
        let found = aws.ask(|id| Asked::Place { id, addresses: addresses.clone() }).await;
        let again_ns = match found {
            Ok(Outcome::Placed(found)) => {
                let of = |address: &IpAddr| found.iter().find(|one| one.address == *address).cloned();
                if placed.send(addresses.iter().map(of).collect()).await.is_err() {
                    return;
                }
                PLACE_NS
            }
            Ok(Outcome::Failed(error)) => {
                tracing::warn!(error, "EC2 does not say where members are");
                PLACE_NS
            }
            // It has just started, or starts again.
            _ => FIRST_PLACE_NS,
        };
        tokio::time::sleep(Duration::from_nanos(again_ns)).await;
    }
}

pub(super) fn placement(
    zone: String,
    subnet: String,
    group: Option<(String, Strategy)>,
    partition: Option<u16>,
) -> Placement {
    let group = group.map(|(name, strategy)| PlacementGroup {
        name,
        strategy: match strategy {
            Strategy::Spread => GroupStrategy::Spread,
            Strategy::Partition => GroupStrategy::Partition,
            Strategy::Cluster => GroupStrategy::Cluster,
        },
        partition,
    });
    Placement { zone, subnet, host: None, group }
}

fn wall_ns() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX)
}
