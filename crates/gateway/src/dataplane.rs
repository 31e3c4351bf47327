//! DPDK, its ports, and one worker per core: everything that touches packets, started and stopped as one.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;

use anyhow::{Context, anyhow};
use dpdk::device::Device;
use dpdk::eal::{Eal, EalConfig, LogLevel, Memory};
use dpdk::lcore;
use dpdk::mbuf::Mbuf;
use dpdk::mempool::MempoolConfig;
use dpdk::port::{Port, PortConfig};
use dpdk::queue::QueuePair;
use tandem_codec::Level;
use tandem_config::{Cidr, CodecLevel, Config, HugePages};
use tandem_contract::{Bell, ClipId, Command, Event, Fence, WorkerCounters, WorkerId};
use tandem_control::{PortReader, PortReading, PortSpreading, WorkerLink};
use tandem_media::{Checksums, Defence, Engine, EngineConfig, LocalAddress, Prefix};
use tandem_packet_io::{PacketIo, Several};
use tandem_wire::ethernet::{MacAddress, VlanId};
use tandem_worker::{FunctionEnds, HandoverEnds, Parts, TscClock, Worker, mesh};

use crate::exit::Failure;
use crate::machine::free_mib;
use crate::packet_pools::packet_pools;
use crate::slowed::Slowed;

/// Commands, or events, that may wait on a ring; further commands wait in control.
const RING_ENTRIES: usize = 4096;
/// Packets that may wait between two workers.
const HANDOVER_ENTRIES: usize = 1024;
/// Lists of sources that may wait for a worker: one file read again after the other within a millisecond.
const SOURCE_LISTS: usize = 16;
/// Next hops that a worker knows at once.
const NEIGHBOURS: u16 = 1024;

/// A worker's ends of the rings to control.
pub(crate) struct WorkerEnds {
    worker: WorkerId,
    core: usize,
    commands: rtrb::Consumer<Command>,
    events: rtrb::Producer<Event>,
    functions: FunctionEnds,
    bell: Arc<Bell>,
    counters: Arc<WorkerCounters>,
}

/// The recorder's end of each worker's ring of copied packets.
pub(crate) type Taps = Vec<(WorkerId, rtrb::Consumer<u8>)>;

/// Rings and counters for each of the configuration's cores: control's ends, the recorder's, and the workers'.
pub(crate) fn rings(config: &Config) -> (Vec<WorkerLink>, Taps, Vec<WorkerEnds>) {
    // Without a place for recordings nothing is copied.
    let tap_octets = config.recording.directory.as_ref().map_or(1, |_| config.recording.buffer_kib as usize * 1024);
    // Control is one thread: whichever worker answers wakes it.
    let bell = Arc::new(Bell::default());
    let each = config.workers.cores.iter().zip(0..).map(|(core, number)| {
        let worker = WorkerId(number);
        let (commands, worker_commands) = rtrb::RingBuffer::new(RING_ENTRIES);
        let (worker_events, events) = rtrb::RingBuffer::new(RING_ENTRIES);
        let (clips, worker_clips) = rtrb::RingBuffer::new(2 * ClipId::COUNT);
        let (sources, worker_sources) = rtrb::RingBuffer::new(SOURCE_LISTS);
        let (worker_taps, taps) = rtrb::RingBuffer::new(tap_octets);
        let counters = Arc::new(WorkerCounters::default());
        let link =
            WorkerLink { worker, commands, clips, sources, events, bell: bell.clone(), counters: counters.clone() };
        let ends = WorkerEnds {
            worker,
            core: usize::from(*core),
            commands: worker_commands,
            events: worker_events,
            functions: FunctionEnds { clips: worker_clips, sources: worker_sources, taps: worker_taps },
            bell: bell.clone(),
            counters,
        };
        ((link, (worker, taps)), ends)
    });
    let (control, ends): (Vec<_>, Vec<_>) = each.unzip();
    let (links, taps) = control.into_iter().unzip();
    (links, taps, ends)
}

/// Flows in each worker's table: any one worker can carry all calls, so that the ports alone decide who gets which.
pub(crate) fn flow_slots(config: &Config) -> u32 {
    config.limits.max_calls.min(EngineConfig::MAX_FLOWS)
}

/// Running workers and what they stand on. Fields are dropped in this order: DPDK last.
pub(crate) struct DataPlane {
    stop: Arc<AtomicBool>,
    workers: Vec<JoinHandle<()>>,
    ports: Vec<(String, Arc<Port>)>,
    /// The kernel's interfaces under ports that have one, whose drivers do not say whether there is a link.
    interfaces: Vec<Option<String>>,
    _eal: Eal,
}

impl DataPlane {
    /// Starts EAL, the port and the workers; all workers poll when this returns.
    pub(crate) fn start(
        config: &Config,
        main_core: usize,
        ends: Vec<WorkerEnds>,
        debug_burn_ns: u32,
        (clock, fence): (TscClock, Arc<Fence>),
    ) -> Result<Self, Failure> {
        let machine = |error: &dyn std::fmt::Display| Failure::Machine(vec![error.to_string()]);
        let mut devices: Vec<Device> = Vec::with_capacity(config.ports.len());
        for (number, port) in config.ports.iter().enumerate() {
            let device = device_of(port).parse();
            devices.push(device.map_err(|error| machine(&format_args!("ports[{number}].device: {error}")))?);
        }
        let eal = Eal::start(&EalConfig {
            file_prefix: config.dpdk.file_prefix.clone(),
            memory: memory(config),
            memory_mib: config.dpdk.memory_mib,
            main_core,
            devices: devices.clone(),
            log_level: LogLevel::Error,
            telemetry: false,
        })
        .map_err(|error| machine(&error))?;
        let mtu = config.ports.iter().map(|port| port.mtu).max().unwrap_or(0);
        let data_room = MempoolConfig::new("", 0).data_room.max(mtu.saturating_add(192));
        let cores: Vec<usize> = ends.iter().map(|ends| ends.core).collect();
        let pools = packet_pools(&eal, config.dpdk.packet_buffers, data_room, &cores)?;
        let mut ports = Vec::with_capacity(devices.len());
        // The queues of each worker, one of each port in their order.
        let mut queues: Vec<Vec<QueuePair>> = ends.iter().map(|_| Vec::new()).collect();
        for (port_config, device) in config.ports.iter().zip(&devices) {
            let (port, pairs) = Port::start_with(
                &eal,
                device,
                &PortConfig {
                    queue_pairs: u16::try_from(ends.len()).context("too many workers")?,
                    rx_descriptors: port_config.rx_descriptors,
                    tx_descriptors: port_config.tx_descriptors,
                    mtu: port_config.mtu,
                    all_multicast: true,
                    ..PortConfig::default()
                },
                &pools,
            )
            .map_err(|error| machine(&error))?;
            tracing::info!(port = port_config.name, device = %device, driver = port.driver(), "port runs");
            ports.push((port_config.name.clone(), Arc::new(port)));
            for (of_worker, pair) in queues.iter_mut().zip(pairs) {
                of_worker.push(pair);
            }
        }

        let mut data_plane = Self {
            stop: Arc::new(AtomicBool::new(false)),
            workers: Vec::with_capacity(ends.len()),
            ports,
            interfaces: devices.iter().map(|device| device.interface().map(str::to_owned)).collect(),
            _eal: eal.clone(),
        };
        let workers = u16::try_from(ends.len()).context("too many workers")?;
        let handovers = mesh(workers, HANDOVER_ENTRIES);
        let (started, outcomes) = mpsc::channel();
        for ((ends, queues), handover) in ends.into_iter().zip(queues).zip(handovers) {
            let engine = engine_config(config, &queues, ends.worker, workers)?;
            let devices = Several::new(queues).ok_or_else(|| {
                machine(&"ports: two devices have the same hardware address, so that their frames cannot be told apart")
            })?;
            let job = Job {
                eal: eal.clone(),
                engine,
                ends,
                devices: Slowed::new(devices, clock.clone(), debug_burn_ns),
                handover,
                clock: clock.clone(),
                fence: fence.clone(),
                shares_core: config.workers.share_cores,
            };
            let (stop, started) = (data_plane.stop.clone(), started.clone());
            let name = format!("worker-{}", job.ends.worker.0);
            let thread = std::thread::Builder::new().name(name).spawn(move || job.run(&stop, started));
            data_plane.workers.push(thread.context("cannot start a worker's thread")?);
        }
        drop(started);
        // Every worker says how its start went; one that panics says nothing and leaves the count short.
        let said: Vec<anyhow::Result<()>> = outcomes.iter().collect();
        let failed = said.iter().find_map(|outcome| outcome.as_ref().err().map(|error| format!("{error:#}")));
        match failed {
            None if said.len() == data_plane.workers.len() => Ok(data_plane),
            failed => {
                let why = failed.unwrap_or_else(|| "a worker panicked while it started".to_owned());
                data_plane.stop()?;
                Err(machine(&why))
            }
        }
    }

    /// Reads what the ports' drivers count, and whether they have links.
    pub(crate) fn port_reader(&self) -> PortReader {
        // Weak: whoever reads must not keep the ports alive.
        let ports: Vec<_> = self.ports.iter().map(|(name, port)| (name.clone(), Arc::downgrade(port))).collect();
        let weak = ports.iter().map(|(_, port)| port.clone());
        let links: Vec<_> = weak.zip(self.interfaces.iter().cloned()).collect();
        let read = move || {
            let reading = |(name, port): &(String, Weak<Port>)| {
                let counters = counters_of(&*port.upgrade()?)?;
                Some(PortReading { port: name.clone(), counters })
            };
            ports.iter().filter_map(reading).collect()
        };
        PortReader::new(read, move || links.iter().all(|(port, interface)| has_link(port, interface.as_deref())))
    }

    /// How the ports spread what they receive over the workers' queues, where they do and say how. On the others workers hand
    /// packets over.
    pub(crate) fn spreading(&self) -> Vec<PortSpreading> {
        let workers = self.workers.len();
        let spreading = |(place, (name, port)): (usize, &(String, Arc<Port>))| {
            let rss = port.rss().ok().filter(|rss| {
                let reaches_workers = rss.table.iter().all(|queue| usize::from(*queue) < workers);
                rss.udp_ports && rss.table.len().is_power_of_two() && reaches_workers
            });
            match &rss {
                Some(rss) => {
                    tracing::info!(port = name, entries = rss.table.len(), "the device spreads by address and port")
                }
                None => {
                    tracing::info!(port = name, "the device does not say how it spreads: workers hand packets over")
                }
            }
            rss.map(|rss| PortSpreading { port: place, key: rss.key, table: rss.table })
        };
        if workers < 2 { Vec::new() } else { self.ports.iter().enumerate().filter_map(spreading).collect() }
    }

    /// Stops and joins the workers, then gives port, memory and EAL back.
    pub(crate) fn stop(mut self) -> Result<(), Failure> {
        self.stop.store(true, Ordering::Relaxed);
        let panicked = self.workers.drain(..).filter_map(|worker| worker.join().err()).count();
        if panicked > 0 {
            return Err(anyhow!("{panicked} worker(s) panicked").into());
        }
        Ok(())
    }
}

impl Drop for DataPlane {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for worker in self.workers.drain(..) {
            // Said by `stop` where it matters.
            let _ = worker.join();
        }
    }
}

/// One worker, on its way to its own thread.
struct Job {
    eal: Eal,
    engine: EngineConfig,
    ends: WorkerEnds,
    devices: Slowed<Several<QueuePair>>,
    handover: HandoverEnds<Mbuf>,
    clock: TscClock,
    fence: Arc<Fence>,
    shares_core: bool,
}

impl Job {
    fn run(mut self, stop: &AtomicBool, started: mpsc::Sender<anyhow::Result<()>>) {
        let core = self.ends.core;
        // Pinned first: the memory of the engine is then that of the core's own NUMA node.
        let registered = match lcore::enter(&self.eal, core) {
            Ok(registered) => registered,
            Err(error) => {
                // Whoever started the workers waits for it.
                let _ = started.send(Err(anyhow!("workers.cores: {error}")));
                return;
            }
        };
        let mut worker = match Engine::new(&self.engine, self.ends.counters.clone()) {
            Ok(engine) => Worker::new(Parts {
                io: self.devices,
                engine,
                commands: self.ends.commands,
                events: self.ends.events,
                handover: self.handover,
                counters: self.ends.counters,
            })
            .with_functions(self.ends.functions)
            .with_bell(self.ends.bell)
            .with_stage_times(self.clock.clone())
            .with_fence(self.fence)
            .with_shared_core(self.shares_core),
            Err(error) => {
                let _ = started.send(Err(anyhow!("worker {}: {error}", self.ends.worker.0)));
                return;
            }
        };
        let _ = started.send(Ok(()));
        // Whoever waits for all outcomes waits until nobody can send one.
        drop(started);
        worker.run(&mut self.clock, stop);
        // Packets go back to the pool while this thread still has its cache.
        drop(worker);
        drop(registered);
    }
}

/// The device with what it is not told by its descriptors: DPDK's af_packet driver has a ring of the kernel's, of 512 frames where nobody
/// says how many.
fn device_of(port: &tandem_config::Port) -> String {
    if !port.device.starts_with("net_af_packet") || port.device.contains("framecnt=") {
        return port.device.clone();
    }
    format!("{},framecnt={}", port.device, port.rx_descriptors.max(port.tx_descriptors))
}

fn engine_config(
    config: &Config,
    queues: &[QueuePair],
    worker: WorkerId,
    workers: u16,
) -> anyhow::Result<EngineConfig> {
    let ports = config.ports.iter().zip(queues).enumerate().map(|(number, (port, queue))| {
        let capabilities = queue.capabilities();
        let vlan = port.vlan.map(|vlan| VlanId::new(vlan).with_context(|| format!("ports[{number}].vlan")));
        let addresses = port.addresses.iter().map(|cidr| LocalAddress {
            address: cidr.address,
            prefix_len: cidr.prefix_len,
            gateway: port.gateway_for(cidr.address),
        });
        Ok(tandem_media::PortConfig {
            mac: MacAddress(capabilities.mac),
            mtu: capabilities.mtu.min(port.mtu),
            vlan: vlan.transpose()?,
            checksums: Checksums {
                transmit_offload: capabilities.tx_ip_udp_checksum,
                verify_udp: port.verify_udp_checksums,
            },
            addresses: addresses.collect(),
        })
    });
    // 0 says never, which 49 days come close to.
    let timeout_ms = |seconds: u32| if seconds == 0 { u32::MAX } else { seconds.saturating_mul(1000) };
    let prefixes =
        |list: &[Cidr]| list.iter().map(|net| Prefix { address: net.address, len: net.prefix_len }).collect();
    let defence = &config.defence;
    Ok(EngineConfig {
        worker,
        workers,
        ports: ports.collect::<anyhow::Result<_>>()?,
        rtp_ports: config.media.port_range.first..=config.media.port_range.last,
        flow_capacity: flow_slots(config),
        neighbour_capacity: NEIGHBOURS,
        media_timeout_ms: timeout_ms(config.media.inactivity_timeout_s),
        first_packet_timeout_ms: timeout_ms(config.media.first_packet_timeout_s),
        defence: Defence {
            flow_packets_per_second: defence.flow_packets_per_second,
            source_packets_per_second: defence.source_packets_per_second,
            allow: prefixes(&defence.allow),
            deny: prefixes(&defence.deny),
            half_open_flows: defence.half_open_calls.div_ceil(workers.into()),
        },
        report_interval_ms: 5000,
        traffic_class: config.media.dscp << 2,
        batch_deadline_us: config.media.batch_deadline_us,
        // Both directions of every flow, if need be.
        transcoder_capacity: 2 * flow_slots(config),
        // Both legs of every flow, where any peer has it.
        srtp_capacity: if config.has_srtp() { 2 * flow_slots(config) } else { 0 },
        codec_level: codec_level(config.workers.codec_level),
    })
}

fn codec_level(wanted: CodecLevel) -> Level {
    match wanted {
        CodecLevel::Auto => Level::detect(),
        CodecLevel::Scalar => Level::Scalar,
        CodecLevel::Avx2 => Level::clamped(Level::Avx2),
        CodecLevel::Avx512 => Level::clamped(Level::Avx512),
        CodecLevel::Avx512Vnni => Level::clamped(Level::Avx512Vnni),
    }
}

fn memory(config: &Config) -> Memory {
    match config.dpdk.huge_pages {
        HugePages::On => Memory::HugePages,
        HugePages::Off => Memory::NoHugePages,
        HugePages::Auto if free_mib(Path::new("/")) >= u64::from(config.dpdk.memory_mib) => Memory::HugePages,
        HugePages::Auto => Memory::NoHugePages,
    }
}

/// Whether a port has a link, as far as anybody says.
fn has_link(port: &Weak<Port>, interface: Option<&str>) -> bool {
    match interface {
        // It cannot be read while the interface is down, which is no link either.
        Some(interface) => {
            let at = Path::new("/sys/class/net").join(interface);
            !at.exists() || std::fs::read_to_string(at.join("carrier")).is_ok_and(|carrier| carrier.trim() == "1")
        }
        None => port.upgrade().and_then(|port| port.link().ok()).is_none_or(|link| link.up),
    }
}

/// The counters that every driver has, and the driver's own that are not zero.
fn counters_of(port: &Port) -> Option<Vec<(String, u64)>> {
    let stats = port.stats().ok()?;
    let mut counters = vec![
        ("rx_packets".to_owned(), stats.rx_packets),
        ("tx_packets".to_owned(), stats.tx_packets),
        ("rx_octets".to_owned(), stats.rx_octets),
        ("tx_octets".to_owned(), stats.tx_octets),
        ("rx_missed".to_owned(), stats.rx_missed),
        ("rx_errors".to_owned(), stats.rx_errors),
        ("tx_errors".to_owned(), stats.tx_errors),
        ("rx_no_mbuf".to_owned(), stats.rx_no_mbuf),
    ];
    for xstat in port.xstats().ok()? {
        if xstat.value > 0 && counters.iter().all(|(name, _)| *name != xstat.name) {
            counters.push((xstat.name, xstat.value));
        }
    }
    Some(counters)
}
