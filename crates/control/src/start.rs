//! Control's threads: started in order, so that whatever can fail fails before anything runs.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Instant;

use tandem_call::{ListenerId, Switch, SwitchConfigError};
use tandem_config::{Config, Peer, Srtp};
use tandem_contract::{Fence, WorkerId};
use tandem_registrar::Registrar;
use tokio::sync::mpsc::{UnboundedSender, channel, unbounded_channel};
use tokio::sync::oneshot;

use crate::addresses::Addresses;
use crate::aws::{Aws, AwsError, Presence, Told};
use crate::clips::{self, ClipFileError};
use crate::clock::Clock;
use crate::cluster::{self, ClusterError, ClusterHandle, Discovery, Fences, WorkerFence};
use crate::database::Database;
use crate::flows::FlowRequests;
use crate::functions::Functions;
use crate::hep::{Collector, Quality};
use crate::http::{self, HttpError, Subscribers};
use crate::load::Load;
use crate::logging::LogHandle;
use crate::node::Node;
use crate::order::{Order, forward_signals};
use crate::ports::{PortReader, PortSpreading};
use crate::recorder::Recorder;
use crate::records::{RecordWriter, RecordsError};
use crate::replication::{Replication, ReplicationError};
use crate::resolver::Resolver;
use crate::shell::{Phase, Shell};
use crate::sockets::{self, BindError, Sockets};
use crate::status::SipCounters;
use crate::stir::{self, StirError};
use crate::streams::{Bound, Started, Streams, StreamsError};
use crate::switch_config::switch_config;
use crate::users::{registrar_config, store_wanted};
use crate::workers::{WorkerLink, Workers};

/// HTTP requests that wait for the switch's thread at most; more wait in their connections.
const WAITING_REQUESTS: usize = 64;

/// What control is made of.
#[derive(Debug)]
pub struct Setup {
    /// The checked configuration.
    pub config: Config,
    /// Where SIGHUP reads it again.
    pub config_path: PathBuf,
    /// Control's ends of all workers' rings, in the order of the configuration's cores.
    pub workers: Vec<WorkerLink>,
    /// The recorder's end of each worker's ring of copied packets ([`tandem_contract::TapHeader`]).
    pub taps: Vec<(WorkerId, rtrb::Consumer<u8>)>,
    /// Flows that fit into each worker's table.
    pub slots: u32,
    /// To change the log's level; without it SIGHUP leaves that as it is.
    pub log: Option<LogHandle>,
    /// What workers compare each round with, where the node is in a cluster.
    pub fence: WorkerFence,
    /// Whether this process's SIGTERM, SIGINT and SIGHUP are taken.
    pub signals: bool,
}

/// Control cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A SIP socket.
    #[error(transparent)]
    Sip(#[from] BindError),
    /// SIP over connections.
    #[error(transparent)]
    Streams(#[from] StreamsError),
    /// The HTTP socket.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The directory of call records.
    #[error(transparent)]
    Records(#[from] RecordsError),
    /// The node's part in the cluster.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// What is asked of AWS.
    #[error(transparent)]
    Aws(#[from] AwsError),
    /// Music on hold.
    #[error("media.hold_music: {0}")]
    HoldMusic(#[from] ClipFileError),
    /// The store of calls.
    #[error(transparent)]
    Replication(#[from] ReplicationError),
    /// Keys and certificates of STIR.
    #[error(transparent)]
    Stir(#[from] StirError),
    /// What the switch does not take, though the file's check did.
    #[error("configuration: {0}")]
    Config(#[from] SwitchConfigError),
    /// A thread, a runtime, or the kernel's random numbers.
    #[error("cannot start control: {0}")]
    System(#[from] io::Error),
}

/// How it ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    /// Calls that were not over when time was.
    pub calls_cut: usize,
    /// Records that could not be written.
    pub records_lost: u64,
}

/// Running control threads.
#[derive(Debug)]
pub struct Control {
    orders: UnboundedSender<Order>,
    node: Arc<Node>,
    http_address: SocketAddr,
    switch: JoinHandle<io::Result<Ended>>,
    streams: JoinHandle<io::Result<()>>,
    http: JoinHandle<io::Result<()>>,
    recorder: Option<JoinHandle<()>>,
    cluster: Option<JoinHandle<io::Result<()>>>,
    store: Option<JoinHandle<()>>,
    hep: Option<JoinHandle<()>>,
    aws: Option<(Aws, JoinHandle<()>)>,
    stop_http: oneshot::Sender<()>,
}

impl Control {
    /// Binds sockets, opens files and starts the threads. No datagram is read before [`Control::data_plane_ready`];
    /// HTTP answers at once, and says that the node is starting.
    ///
    /// # Errors
    /// What could not be had. Nothing is left running then.
    pub fn start(setup: Setup) -> Result<Self, StartError> {
        let clock = Clock::start();
        let started = Instant::now();
        let mut config = setup.config;
        let (orders, incoming_orders) = unbounded_channel();
        let (confirm, confirmed) = unbounded_channel();
        let aws = Aws::start(&config, Told { confirmed: confirm, order: orders.clone() })?;
        let asked = aws.as_ref().map(|(aws, _)| aws.clone());
        let discovery = asked.as_ref().zip(config.cluster.discover.as_ref());
        let discovery = discovery.map(|(aws, wanted)| Discovery::begin(aws, wanted)).transpose()?;
        if let Some(discovery) = &discovery {
            // By this name other members know whose calls are whose.
            config.node.name.clone_from(&discovery.own);
            config.node.zone.get_or_insert_with(|| discovery.zone.clone());
        }
        let mut switch = Switch::new(switch_config(&config, setup.slots, clock.wall()), random_seed()?)?;
        switch.set_stir(stir::load(&config.stir)?);
        if let Some((registrar, peer)) = registrar_config(&config) {
            switch.serve_users(Registrar::new(registrar, random_seed()?), &peer);
        }
        let (mut sip, mut bound) = (Vec::new(), Vec::new());
        for (listener, id) in config.sip.listen.iter().zip(0..) {
            let id = ListenerId(id);
            if listener.transport.is_stream() {
                let socket = sockets::listen(&listener.name, listener.address.0, config.floats(listener))?;
                bound.push(Bound { listener: id, socket, config: listener.clone() });
            } else {
                sip.push((id, sockets::bind(&listener.name, listener.address.0, config.floats(listener))?));
            }
        }
        let http = http::Prepared::new(&config.http)?;
        let http_address = http.local_addr()?;
        let (http_socket, gate, certificates) = http.split();
        let gate = Arc::new(gate);
        let (accept, begin) = oneshot::channel();
        let Started { streams, arrivals, thread: streams_thread } = Streams::start(&config.sip, bound, begin)?;
        let run = random_seed()?.first_chunk().copied().map_or(1, u64::from_be_bytes);
        let replication = Replication::start(&config, run, clock, &mut switch, orders.clone())?;
        let hold_music = config.media.hold_music.as_deref().map(clips::load).transpose()?;
        let records = RecordWriter::start(&config.records)?;
        let resolver = Resolver::start(&config.sip.resolver)?;
        let recorder = config.recording.directory.as_ref().map(|_| Recorder::start(setup.taps)).transpose()?;
        let (recorder, recorder_thread) = recorder.unzip();

        let exposed = config.peers.iter().filter(|peer| peer.srtp == Srtp::Required && !is_encrypted(&config, peer));
        let exposed = exposed.map(|peer| peer.name.as_str()).collect::<Vec<_>>().join(", ");
        if !exposed.is_empty() {
            tracing::warn!(
                peers = exposed,
                "SRTP is required, but its keys cross SIP in the clear: whoever can read that can decrypt calls; \
                 a listener of `tls` hides them"
            );
        }

        let database = store_wanted(&config).map(Database::start).transpose()?;
        let (database, store_thread) = database.unzip();
        let subscribers = database.as_ref().and_then(|database: &Database| {
            let (registrar, _) = registrar_config(&config)?;
            let asks = database.asks.clone();
            Some(Subscribers { asks, realm: registrar.realm, algorithms: registrar.algorithms })
        });
        let (collector, hep_thread) = Collector::start(&config)?.unzip();
        switch.watch_messages(collector.is_some());
        let (requests, incoming_requests) = channel(WAITING_REQUESTS);
        let permille = Arc::new(AtomicU64::new(0));
        let permit = Arc::new(Fence::lifted());
        let ports = Arc::new(OnceLock::new());
        let counters = setup.workers.iter().map(|link| link.counters.clone()).collect();
        let member = cluster::Setup::new(
            &config,
            clock,
            Fences { workers: setup.fence, signalling: permit.clone() },
            (counters, ports.clone()),
            orders.clone(),
            permille.clone(),
            (asked.clone(), discovery, confirmed),
            random_seed()?,
        )?;
        let machine = member.as_ref().map(cluster::Setup::cluster).transpose()?;
        let (cluster, cluster_requests) = channel(WAITING_REQUESTS);
        let cluster = member.is_some().then_some(ClusterHandle(cluster));
        let node = Arc::new(Node {
            name: config.node.name.clone(),
            started,
            workers: setup.workers.iter().map(|link| (link.worker, link.counters.clone())).collect(),
            records: records.state.clone(),
            store: database.as_ref().map(|database| database.state.clone()),
            subscribers,
            recorder: recorder.clone(),
            recording: config.recording.clone(),
            ports,
            requests,
            gate: gate.clone(),
            hep: collector.as_ref().map(|collector| collector.state.clone()).unwrap_or_default(),
            cluster: cluster.clone(),
            aws: asked,
        });
        let mut workers = Workers::new(setup.workers);
        let functions = Functions::new(&mut workers, hold_music);
        let (stop_http, stopped) = oneshot::channel();
        let http = {
            let node = node.clone();
            spawn("tandem-http", move || http::serve(http_socket, node, stopped))?
        };
        let cluster_thread = match member.zip(machine) {
            Some((member, machine)) => Some(spawn("tandem-cluster", move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                runtime.block_on(cluster::run(member, machine, cluster_requests))
            })?),
            None => None,
        };
        let presence = aws.as_ref().map(|(aws, _)| {
            Presence::new(aws.clone(), config.node.name.clone(), config.aws.metrics_interval_s, clock.now())
        });
        let order = orders.clone();
        let signals = setup.signals;
        let switch = spawn("tandem-switch", move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                if signals {
                    tokio::spawn(forward_signals(order.clone()));
                }
                let addresses = Addresses::new(&config);
                let quality = Quality::new(&config.hep);
                let shell = Shell {
                    clock,
                    switch,
                    sockets: Sockets::new(sip)?,
                    streams,
                    arrivals,
                    accept: Some(accept),
                    functions,
                    workers,
                    recorder,
                    records,
                    resolver,
                    replication,
                    held: None,
                    presence,
                    attached: Vec::new(),
                    expected: None,
                    database,
                    config,
                    config_path: setup.config_path,
                    slots: setup.slots,
                    log: setup.log,
                    orders: incoming_orders,
                    order,
                    requests: incoming_requests,
                    phase: Phase::Starting,
                    draining: false,
                    sip: SipCounters::default(),
                    flow_queries: Vec::new(),
                    addresses,
                    flow_requests: FlowRequests::default(),
                    next_watch: clock.now(),
                    load: Load::new(clock.now()),
                    permille,
                    cluster,
                    gate,
                    certificates,
                    collector,
                    quality,
                    permit,
                    leaving: Arc::default(),
                };
                Ok(shell.run().await)
            })
        })?;
        Ok(Self {
            orders,
            node,
            http_address,
            switch,
            streams: streams_thread,
            http,
            recorder: recorder_thread,
            cluster: cluster_thread,
            store: store_thread,
            hep: hep_thread,
            aws,
            stop_http,
        })
    }

    /// Workers run and poll: calls are taken from now on. `ports` reads what the ports' drivers count; `spreading` tells of those
    /// that spread what they receive over the workers.
    pub fn data_plane_ready(&self, ports: PortReader, spreading: Vec<PortSpreading>) {
        // A second reader would be a second start, which there is not.
        let _ = self.node.ports.set(ports);
        self.order(Order::DataPlaneReady(spreading));
    }

    /// As SIGTERM does.
    pub fn terminate(&self) {
        self.order(Order::Terminate);
    }

    /// As SIGHUP does.
    pub fn reload(&self) {
        self.order(Order::Reload);
    }

    /// Where HTTP is served.
    pub fn http_address(&self) -> SocketAddr {
        self.http_address
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    /// The switch's thread could not run, or panicked.
    pub fn wait(self) -> io::Result<Ended> {
        let ended =
            self.switch.join().unwrap_or_else(|_| Err(io::Error::other("the thread that handles calls panicked")));
        // It ends with the switch's thread, after its last messages.
        let _ = self.streams.join();
        // It may have ended by itself.
        let _ = self.stop_http.send(());
        let _ = self.http.join();
        if let Some((aws, thread)) = self.aws {
            aws.end();
            let _ = thread.join();
        }
        // It ends with the last way to it, and completes its files.
        drop(self.node);
        let _ = self.recorder.map(JoinHandle::join);
        let _ = self.cluster.map(JoinHandle::join);
        let _ = self.store.map(JoinHandle::join);
        let _ = self.hep.map(JoinHandle::join);
        ended
    }

    fn order(&self, order: Order) {
        // It fails only when the switch's thread has ended, and then nothing is left to order.
        let _ = self.orders.send(order);
    }
}

/// Whether nobody on the way reads what is said to the peer.
fn is_encrypted(config: &Config, peer: &Peer) -> bool {
    let named = config.sip.listen.iter().find(|listener| Some(&listener.name) == peer.listen.as_ref());
    named.or(config.sip.listen.first()).is_some_and(|listener| listener.transport.is_secure())
}

fn spawn<T: Send + 'static>(name: &str, run: impl FnOnce() -> T + Send + 'static) -> io::Result<JoinHandle<T>> {
    std::thread::Builder::new().name(name.to_owned()).spawn(run)
}

/// From the kernel: tags, branches and SSRCs must not be guessed (RFC 3261 §19.3, RFC 3550 §8).
pub(crate) fn random_seed() -> io::Result<[u8; 32]> {
    use io::Read;
    let mut seed = [0; 32];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut seed)?;
    Ok(seed)
}
