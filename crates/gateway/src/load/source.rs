//! Where the calls of a measurement come from: a DPDK port of our own, or the kernel's sockets.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::mpsc;

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use tandem_config::{Cidr, PortRange};
use tandem_loadgen::{LoadError, LoadOutcome, LoadRunner, Progress, SourceNetwork};

/// A source of calls, and the gateway it sets them up on.
#[derive(Args, Clone, Debug)]
#[group(id = "source")]
pub(crate) struct SourceArgs {
    /// Send through this DPDK device of the source's own: net_memif0,role=client,socket=/run/load.sock,socket-abstract=no towards a
    /// gateway on this machine; net_af_packet0,iface=eth1 or a PCI address towards another.
    #[arg(long, value_name = "DEVICE", conflicts_with = "kernel")]
    pub(crate) device: Option<String>,
    /// Send through the kernel's UDP sockets, as the gateway's ordinary peers do.
    #[arg(long)]
    pub(crate) kernel: bool,
    /// The core that sends and receives, and does nothing else.
    #[arg(long, value_name = "CORE", default_value_t = 0)]
    pub(crate) core: u16,
    /// The source's own IPv4 addresses, each with its subnet. Calls are spread over them: one address has room for as many legs as --ports
    /// holds pairs. With --kernel the machine must have them; with --device it must not.
    #[arg(long, value_name = "ADDRESS/LEN", value_delimiter = ',', default_value = "10.77.0.2/24")]
    pub(crate) addresses: Vec<Cidr>,
    /// The next hop towards a gateway outside those subnets (with --device).
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) next_hop: Option<Ipv4Addr>,
    /// UDP ports on each of the source's addresses; a leg takes an even one and the odd one above.
    #[arg(long, value_name = "FIRST-LAST", default_value = "10000-65535")]
    pub(crate) ports: PortRange,
    /// The gateway's control interface (its http.listen): where calls are set up, without SIP, on the media plane alone.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:9060")]
    pub(crate) control: String,
    /// What the control interface wants to see.
    #[command(flatten)]
    pub(crate) credentials: crate::api::Credentials,
    /// Set the calls up over SIP (UDP) at this address of the gateway, in place of its control interface. The source plays callers and
    /// callees: a caller calls a number of --sip-number and six digits, and the gateway must route it to the callees' address.
    #[arg(long, value_name = "ADDRESS:PORT", conflicts_with = "rtpengine")]
    pub(crate) sip: Option<SocketAddr>,
    /// The source's own address that calls come from, one that the gateway takes calls from; a port of the kernel's choice if left out.
    #[arg(long, value_name = "ADDRESS:PORT", requires = "sip")]
    pub(crate) sip_caller: Option<SocketAddr>,
    /// The source's own address that the gateway calls; that of the callers if left out.
    #[arg(long, value_name = "ADDRESS:PORT", requires = "sip")]
    pub(crate) sip_callee: Option<SocketAddr>,
    /// What called numbers begin with.
    #[arg(long, value_name = "PREFIX", requires = "sip", default_value = "load", value_parser = number)]
    pub(crate) sip_number: String,
    /// Set the calls up on an rtpengine, by its ng protocol at this address (its listen-ng), in place of a gateway of ours.
    #[arg(long, value_name = "ADDRESS:PORT", requires = "kernel", conflicts_with = "control")]
    pub(crate) rtpengine: Option<SocketAddr>,
    /// Whether the memory of --device comes in huge pages.
    #[arg(long, value_enum, default_value_t = Pages::Auto)]
    pub(crate) huge_pages: Pages,
    /// The memory of --device, in MiB.
    #[arg(long, value_name = "MIB", default_value_t = 256, value_parser = clap::value_parser!(u32).range(64..=65_536))]
    pub(crate) memory_mib: u32,
    /// A packet that leaves so many microseconds after its time is late. A run with more than one late packet in a thousand is void.
    #[arg(long, value_name = "US", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(10..=1_000_000))]
    pub(crate) lateness_us: u32,
    /// Makes the source slower by so many nanoseconds a packet, to show that it notices.
    #[arg(long, value_name = "NS", default_value_t = 0, hide = true)]
    pub(crate) throttle_ns: u32,
}

/// Where the memory of packets comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Pages {
    /// Huge pages where enough are free, ordinary pages otherwise.
    Auto,
    /// Huge pages only.
    On,
    /// Ordinary pages.
    Off,
}

/// Opens the source. It can run any number of loads, one after the other.
pub(crate) fn open(arguments: &SourceArgs) -> anyhow::Result<Box<dyn LoadRunner>> {
    if arguments.addresses.iter().any(|cidr| !cidr.address.is_ipv4()) {
        bail!("--addresses: IPv4 only");
    }
    match &arguments.device {
        Some(device) => open_device(arguments, device).with_context(|| format!("--device {device}")),
        None if arguments.kernel => open_kernel(arguments).context("--kernel"),
        None => bail!("what should it send through? --device DEVICE, or --kernel"),
    }
}

#[cfg(feature = "dpdk")]
fn open_device(arguments: &SourceArgs, device: &str) -> anyhow::Result<Box<dyn LoadRunner>> {
    Ok(Box::new(super::device::open(arguments, device)?))
}

#[cfg(not(feature = "dpdk"))]
fn open_device(_arguments: &SourceArgs, _device: &str) -> anyhow::Result<Box<dyn LoadRunner>> {
    bail!("this binary was built without DPDK")
}

fn open_kernel(arguments: &SourceArgs) -> anyhow::Result<Box<dyn LoadRunner>> {
    Ok(Box::new(super::kernel::open(arguments)?))
}

/// Characters of a user part that need no escape (RFC 3261 §25.1).
fn number(text: &str) -> Result<String, String> {
    let fits = text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.+*".contains(c));
    if fits && text.len() <= 64 { Ok(text.to_owned()) } else { Err("up to 64 letters, digits, - _ . + *".to_owned()) }
}

/// Where legs receive.
pub(crate) fn network(arguments: &SourceArgs) -> SourceNetwork {
    let ipv4 = |cidr: &Cidr| if let IpAddr::V4(address) = cidr.address { Some(address) } else { None };
    SourceNetwork {
        addresses: arguments.addresses.iter().filter_map(ipv4).collect(),
        ports: [arguments.ports.first, arguments.ports.last],
    }
}

/// Lets a run send on a thread of its own, and passes on what it tells each second until it is done.
pub(super) fn on_a_thread_of_its_own(
    progress: &mut dyn FnMut(Progress),
    send: impl FnOnce(mpsc::Sender<Progress>) -> Result<LoadOutcome, LoadError> + Send,
) -> Result<LoadOutcome, LoadError> {
    let (seconds, heard) = mpsc::channel();
    std::thread::scope(|scope| {
        let sending = std::thread::Builder::new()
            .name("load".to_owned())
            .spawn_scoped(scope, move || send(seconds))
            .map_err(|error| LoadError::Port(error.to_string()))?;
        heard.iter().for_each(progress);
        sending.join().unwrap_or_else(|_| Err(LoadError::Port("the sending thread panicked".to_owned())))
    })
}
