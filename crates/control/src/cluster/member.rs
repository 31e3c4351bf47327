//! The loop around the cluster machine.

use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tandem_aws_protocol::{Asked, Outcome, Placed, Strategy};
use tandem_cluster::{
    Check, Cluster, ClusterConfig, GroupStrategy, Location, Member, MemberId, OrderError, Placement, PlacementGroup,
    Reach, Secret, Service, ServiceId,
};
use tandem_config::{AddressReach, Config, PlacementStrategy};
use tandem_contract::{Nanos, WorkerCounters};
use tokio::sync::mpsc::{Receiver, Sender, UnboundedReceiver, UnboundedSender, channel};
use tokio::sync::oneshot;
use tokio::time::sleep_until;

use super::effects::{Done, Effects, Moved};
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
const SERVICE: ServiceId = ServiceId(0);

/// All that the cluster's thread needs, had before it starts so that what can fail fails then.
pub(crate) struct Setup {
    cluster: ClusterConfig,
    sockets: Vec<std::net::UdpSocket>,
    members: Vec<Vec<std::net::SocketAddr>>,
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
        (aws, confirmed): (Option<Aws>, UnboundedReceiver<bool>),
        seed: [u8; 32],
    ) -> Result<Option<Self>, ClusterError> {
        let section = &config.cluster;
        let Some(own) = section.members.iter().position(|member| member.name == config.node.name) else {
            return Ok(None);
        };
        let path = &section.secret_file;
        let secret = std::fs::read(path).map_err(|source| ClusterError::Secret { path: path.clone(), source })?;
        let sockets = section.members[own].heartbeat.iter().map(|address| bind(*address));
        let [a, b, c, d, e, f, g, h, ..] = seed;
        Ok(Some(Self {
            cluster: machine_config(config, own, secret),
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
fn machine_config(config: &Config, own: usize, secret: Vec<u8>) -> ClusterConfig {
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
        members: members.collect(),
        services: vec![Service { name: "calls".to_owned(), home: home.map(id), reach }],
        secret: Secret::new(secret),
        beat_ns: u64::from(section.beat_ms) * 1_000_000,
        missed_near: section.missed_near,
        missed_far: section.missed_far,
        store: section.store.is_some(),
        locate_ns: config.aws.enabled.then_some(LOCATE_NS),
    }
}

/// Runs until nobody can ask any more.
pub(crate) async fn run(setup: Setup, cluster: Cluster, requests: Receiver<ClusterRequest>) -> io::Result<()> {
    let names = setup.cluster.members.iter().map(|member| member.name.clone()).collect();
    let (lease, lease_requests) = channel(16);
    let (answer, answers) = channel(16);
    let has_store = setup.store.is_some();
    if let Some(client) = setup.store {
        tokio::spawn(lease::serve(client, lease_requests, answer));
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
    if let Some(aws) = setup.aws {
        tokio::spawn(look_for_members(aws, addresses, placed));
    }
    let polls = vec![0; setup.workers.len()];
    let next_look = setup.clock.now();
    let looks = Looks { workers: setup.workers, polls, ports: setup.ports, load: setup.load, next: next_look };
    let mut loops = Loop { clock: setup.clock, cluster, effects, looks, leaving: Vec::new() };
    // Nothing is taken before workers run.
    while loops.looks.workers.iter().any(|worker| worker.polls.get() == 0) {
        tokio::time::sleep(Duration::from_nanos(LOOK_NS)).await;
    }
    loops.run(requests, answers, ends, setup.confirmed, placements).await;
    Ok(())
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

struct Loop {
    clock: Clock,
    cluster: Cluster,
    effects: Effects,
    looks: Looks,
    leaving: Vec<oneshot::Sender<()>>,
}

impl Loop {
    async fn run(
        &mut self,
        mut requests: Receiver<ClusterRequest>,
        mut answers: Receiver<tandem_cluster::LeaseAnswer>,
        mut ends: Receiver<Done>,
        mut confirmed: UnboundedReceiver<bool>,
        mut placements: Receiver<Vec<Option<Placed>>>,
    ) {
        loop {
            let now = self.clock.now();
            // Before anything that came in meanwhile: a machine that was stopped has lost time, and with it its votes.
            self.cluster.on_wall_clock(now, wall_ns());
            self.look(now);
            while let Some(output) = self.cluster.poll_output() {
                self.effects.perform(output).await;
            }
            if self.cluster.holds_nothing() {
                for left in self.leaving.drain(..) {
                    let _ = left.send(());
                }
            }
            let wake = self.clock.instant(self.cluster.next_deadline().min(self.looks.next));
            tokio::select! {
                () = poll_fn(|context| self.effects.paths.poll_readable(context)) => self.receive(),
                Some(answer) = answers.recv() => self.cluster.on_lease(self.clock.now(), &answer),
                Some(done) = ends.recv() => self.on_done(done),
                Some(here) = confirmed.recv() => {
                    let location = if here { Location::Here } else { Location::Elsewhere };
                    self.cluster.on_located(self.clock.now(), SERVICE, location);
                }
                Some(placed) = placements.recv() => self.on_placed(placed),
                request = requests.recv() => match request {
                    Some(request) => self.on_request(request),
                    None => return,
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
                self.cluster.set_placement(member, placement(placed));
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
                self.cluster.set_maintenance(now, on);
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

fn placement(placed: Placed) -> Placement {
    let partition = placed.partition;
    let group = placed.group.map(|(name, strategy)| PlacementGroup {
        name,
        strategy: match strategy {
            Strategy::Spread => GroupStrategy::Spread,
            Strategy::Partition => GroupStrategy::Partition,
            Strategy::Cluster => GroupStrategy::Cluster,
        },
        partition,
    });
    Placement { zone: placed.zone, subnet: placed.subnet, host: None, group }
}

fn wall_ns() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX)
}
