//! The source on a DPDK port of its own.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::bail;
use dpdk::device::{Device, MemifRole};
use dpdk::eal::{Eal, EalConfig, LogLevel, Memory};
use dpdk::lcore;
use dpdk::mempool::{Mempool, MempoolConfig};
use dpdk::port::{Port, PortConfig};
use dpdk::queue::QueuePair;
use tandem_codec::Level;
use tandem_contract::Nanos;
use tandem_loadgen::{
    Engine, EnginePort, LoadError, LoadOutcome, LoadRunner, LoadSpec, Plan, Progress, RemoteLeg, drive, resolve,
};
use tandem_media::LocalAddress;
use tandem_packet_io::PacketIo;
use tandem_wire::ethernet::MacAddress;
use tandem_worker::{Clock, TscClock};

use super::set_up::SetUp;
use super::source::{Pages, SourceArgs, network, on_a_thread_of_its_own};
use crate::machine::free_mib;

/// How long the other end of a link may take.
const LINK: Duration = Duration::from_secs(10);
/// Packets that may wait in the port's queues.
const DESCRIPTORS: u16 = 1_024;
/// Packet buffers: both queues, bursts, and what a virtual device keeps.
const BUFFERS: u32 = 16_383;

/// The source, its port up.
pub(super) struct DeviceSource {
    arguments: SourceArgs,
    links: Vec<LocalAddress>,
    receive_room: u32,
    // Dropped in this order: DPDK last.
    queue: QueuePair,
    port: Port,
    eal: Eal,
}

/// Starts EAL and the port.
pub(super) fn open(arguments: &SourceArgs, device: &str) -> anyhow::Result<DeviceSource> {
    let device: Device = device.parse()?;
    let memory = match arguments.huge_pages {
        Pages::On => Memory::HugePages,
        Pages::Auto if free_mib(Path::new("/")) >= u64::from(arguments.memory_mib) => Memory::HugePages,
        Pages::Auto | Pages::Off => Memory::NoHugePages,
    };
    // Calibrated before anything waits for it.
    let _ = TscClock::new();
    let config = EalConfig {
        file_prefix: format!("tandem-load-{}", std::process::id()),
        memory,
        memory_mib: arguments.memory_mib,
        main_core: usize::from(arguments.core),
        devices: vec![device.clone()],
        log_level: LogLevel::Error,
        telemetry: false,
    };
    // Whoever starts EAL is pinned by it: a thread that ends then.
    let eal = std::thread::spawn(move || Eal::start(&config)).join();
    let eal = eal.map_err(|_| anyhow::anyhow!("DPDK's start panicked"))??;
    let pool = Mempool::new(&eal, &MempoolConfig::new("load", BUFFERS))?;
    let port_config = PortConfig { rx_descriptors: DESCRIPTORS, tx_descriptors: DESCRIPTORS, ..PortConfig::default() };
    let (port, mut queues) = Port::start(&eal, &device, &port_config, &pool)?;
    let until = Instant::now() + LINK;
    while !port.link()?.up {
        if Instant::now() > until {
            bail!("the link did not come up in {} s: is the other end there?", LINK.as_secs());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    let gateway = arguments.next_hop.map(IpAddr::V4);
    let links = arguments
        .addresses
        .iter()
        .map(|cidr| LocalAddress { address: cidr.address, prefix_len: cidr.prefix_len, gateway })
        .collect();
    let receive_room = match &device {
        Device::Memif { role: MemifRole::Client | MemifRole::Server, options, .. } => {
            let log = options.get("rsize").and_then(|text| text.parse().ok()).unwrap_or(10_u32);
            1 << log.min(14)
        }
        _ => DESCRIPTORS.into(),
    };
    Ok(DeviceSource { arguments: arguments.clone(), links, receive_room, queue: queues.swap_remove(0), port, eal })
}

impl LoadRunner for DeviceSource {
    fn run(
        &mut self,
        spec: &LoadSpec,
        progress: &mut dyn FnMut(Progress),
        stop: &AtomicBool,
    ) -> Result<LoadOutcome, LoadError> {
        let plan = Plan::new(spec, &network(&self.arguments))?;
        let mut set_up = SetUp::new(&self.arguments)?;
        let calls: Vec<_> = plan.calls().collect();
        let remotes = set_up.install(&calls)?;
        let this = &mut *self;
        let outcome =
            set_up.during(|| on_a_thread_of_its_own(progress, |seconds| this.send(&plan, &remotes, &seconds, stop)))?;
        set_up.remove()?;
        Ok(LoadOutcome { set_up_added: set_up.added(), ..outcome })
    }
}

impl DeviceSource {
    /// The run itself, on a core of its own.
    fn send(
        &mut self,
        plan: &Plan,
        remotes: &[[RemoteLeg; 2]],
        seconds: &mpsc::Sender<Progress>,
        stop: &AtomicBool,
    ) -> Result<LoadOutcome, LoadError> {
        let port_error = |error: &dyn std::fmt::Display| LoadError::Port(error.to_string());
        let _lcore = lcore::enter(&self.eal, self.arguments.core.into()).map_err(|error| port_error(&error))?;
        let mut tsc = TscClock::new();
        let mut clock = || -> Nanos { tsc.now() };
        let macs = self.resolve(remotes, &mut clock)?;
        let overruns = self.overruns();
        let engine_port = EnginePort {
            mac: MacAddress(self.queue.capabilities().mac),
            macs,
            receive_room: self.receive_room,
            lateness_ns: 1_000 * u64::from(self.arguments.lateness_us),
        };
        let mut engine = Engine::new(Level::detect(), plan, remotes, engine_port)?;
        let mut tell = |second| {
            // Nobody listens any more when the run was given up.
            let _ = seconds.send(second);
        };
        drive(&mut engine, &mut self.queue, &mut clock, self.arguments.throttle_ns, &mut tell, stop);
        Ok(engine.outcome(clock(), self.overruns().saturating_sub(overruns)))
    }

    /// The hardware address for each address that is sent to.
    fn resolve(
        &mut self,
        remotes: &[[RemoteLeg; 2]],
        clock: &mut impl FnMut() -> Nanos,
    ) -> Result<HashMap<Ipv4Addr, MacAddress>, LoadError> {
        let mut hops: HashMap<Ipv4Addr, Ipv4Addr> = HashMap::new();
        for remote in remotes.iter().flatten() {
            let remote = *remote.address.ip();
            if hops.contains_key(&remote) {
                continue;
            }
            let hop = self.links.iter().find_map(|link| link.is_on_link(remote.into()).then_some(remote));
            let hop = hop.or(self.arguments.next_hop).ok_or_else(|| {
                LoadError::Port(format!("{remote} is outside of --addresses' subnets, and there is no --next-hop"))
            })?;
            hops.insert(remote, hop);
        }
        let mut next_hops: Vec<Ipv4Addr> = hops.values().copied().collect();
        next_hops.sort_unstable();
        next_hops.dedup();
        let own = network(&self.arguments).addresses;
        let macs = resolve(&mut self.queue, clock, &own, &next_hops)?;
        Ok(hops.into_iter().filter_map(|(remote, hop)| Some((remote, *macs.get(&hop)?))).collect())
    }

    /// What the port lost on receive so far.
    fn overruns(&self) -> u64 {
        self.port.stats().map_or(0, |stats| stats.rx_missed + stats.rx_no_mbuf)
    }
}
