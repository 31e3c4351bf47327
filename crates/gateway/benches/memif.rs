//! Packets per second through a worker over memif, beside a bare echo on the same device in the same run.
//!
//! Two processes, one core each, share a memif: a source that sends 20 ms packets of G.711 as fast as the ring takes them
//! and counts what comes back, and either an echo that touches nothing (the floor under everything) or a worker with some
//! thousand flows. `cargo bench -p tandem-gateway --bench memif` as root, with 2 MiB pages free.
#![allow(missing_docs)]

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command as Process, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand, ValueEnum};
use dpdk::device::Device;
use dpdk::eal::{Eal, EalConfig, Memory};
use dpdk::lcore;
use dpdk::mempool::{Mempool, MempoolConfig};
use dpdk::port::{Port, PortConfig};
use dpdk::queue::QueuePair;
use tandem_contract::{Codec, Command, Direction, DropReason, Epoch, Event, FlowId, Format, LegConfig, WorkerCounters};
use tandem_media::{Checksums, Engine, EngineConfig, LocalAddress};
use tandem_packet_io::{Burst, PacketBuf, PacketIo};
use tandem_wire::arp::{self, Arp, Operation};
use tandem_wire::ethernet::{
    ETHERTYPE_ARP, ETHERTYPE_IPV4, Ethernet, EthernetFields, HEADER_LEN as ETHERNET, MacAddress,
};
use tandem_wire::ipv4::{HEADER_LEN as IPV4, Ipv4Fields};
use tandem_wire::rtp::{HEADER_LEN as RTP, RtpFields};
use tandem_wire::udp::{self, HEADER_LEN as UDP, UdpFields};
use tandem_worker::{Clock, HandoverEnds, Parts, TscClock, Worker};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 10);
const PEER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
const PEER_MAC: MacAddress = MacAddress([2, 0, 0, 0, 0, 2]);
const PEER_PORT: u16 = 20_000;
const FIRST_PORT: u16 = 1_024;
const PAYLOAD: usize = 160;
const ARP_FRAME: usize = ETHERNET + arp::PACKET_LEN;
const FRAME: usize = ETHERNET + IPV4 + UDP + RTP + PAYLOAD;

#[derive(Parser)]
struct Arguments {
    /// Given by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    #[command(subcommand)]
    side: Option<Side>,
}

#[derive(Subcommand)]
enum Side {
    #[command(hide = true)]
    Source { socket: String, flows: u16 },
    #[command(hide = true)]
    Echo { socket: String },
    #[command(hide = true)]
    Worker { socket: String, flows: u16, path: Path },
}

#[derive(Clone, Copy, ValueEnum)]
enum Path {
    Relay,
    MuToA,
    MuToG722,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let seconds = arguments.seconds;
    match arguments.side {
        None => measure_all(seconds),
        Some(Side::Source { socket, flows }) => source(&socket, flows, seconds),
        Some(Side::Echo { socket }) => echo(&socket),
        Some(Side::Worker { socket, flows, path }) => worker(&socket, flows, path),
    }
}

/// Ends its process when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // By force: what it holds of DPDK is nameless memory and goes with it.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn measure_all(seconds: u64) -> Result<()> {
    println!("packets per second through one core over memif, frames of {FRAME} octets, {seconds} s each");
    println!("{:<34}{:>14}{:>14}", "path", "packets/s", "of the echo");
    let floor = measure(&["echo"], 1, seconds)?;
    println!("{:<34}{:>14.0}{:>14}", "echo, nothing touched", floor, "1.00");
    for (name, path, flows) in [
        ("relay, 1 flow", "relay", 1),
        ("relay, 1,000 flows", "relay", 1_000),
        ("relay, 10,000 flows", "relay", 10_000),
        ("G.711 mu-law <-> A-law, 1,000 flows", "mu-to-a", 1_000),
        ("G.711 <-> G.722, 1,000 flows", "mu-to-g722", 1_000),
    ] {
        let rate = measure(&["worker", path], flows, seconds)?;
        println!("{name:<34}{rate:>14.0}{:>14.2}", rate / floor);
    }
    Ok(())
}

/// What one pair of processes forwards per second.
fn measure(other: &[&str], flows: u16, seconds: u64) -> Result<f64> {
    let socket = format!("/run/tandem-bench-{}-{}-{flows}.sock", std::process::id(), other.join("-"));
    let flows = flows.to_string();
    let this = std::env::current_exe()?;
    let mut command = Process::new(&this);
    match other {
        ["worker", path] => command.args(["worker", &socket, &flows, path]),
        _ => command.args(["echo", &socket]),
    };
    let _other = Running(command.stdout(Stdio::null()).spawn()?);
    let until = Instant::now() + Duration::from_secs(10);
    while !std::path::Path::new(&socket).exists() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(10));
    }
    let seconds = seconds.to_string();
    let output = Process::new(&this)
        .args(["--seconds", &seconds, "source", &socket, &flows])
        .stderr(Stdio::inherit())
        .output()?;
    if !output.status.success() {
        return Err("the source failed".into());
    }
    Ok(String::from_utf8(output.stdout)?.trim().parse()?)
}

/// A queue pair on one end of the memif, with its link up.
struct End {
    eal: Eal,
    _port: Port,
    queue: QueuePair,
}

fn device(role: &str, socket: &str, core: usize) -> Result<End> {
    let device: Device = format!("net_memif0,role={role},socket={socket},socket-abstract=no").parse()?;
    let eal = Eal::start(&EalConfig {
        file_prefix: format!("bench-{role}-{}", std::process::id()),
        memory: Memory::HugePages,
        memory_mib: 128,
        main_core: core,
        devices: vec![device.clone()],
        ..EalConfig::default()
    })?;
    let pool = Mempool::new(&eal, &MempoolConfig::new("packets", 16_383))?;
    let (port, mut queues) = Port::start(&eal, &device, &PortConfig::default(), &pool)?;
    let until = Instant::now() + Duration::from_secs(10);
    while !port.link()?.up {
        if Instant::now() > until {
            return Err("the memif link did not come up in 10 s".into());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(End { eal, _port: port, queue: queues.remove(0) })
}

fn echo(socket: &str) -> Result<()> {
    let End { eal, _port, mut queue } = device("server", socket, 1)?;
    let _lcore = lcore::enter(&eal, 1)?;
    let mut burst = Burst::new();
    loop {
        queue.rx_burst(&mut burst);
        queue.tx_burst(&mut burst);
        burst.clear();
    }
}

/// The RTP port of a leg: A of flow 0, B of flow 0, A of flow 1, ...
fn leg_port(leg: u32) -> u16 {
    FIRST_PORT + 2 * leg as u16
}

fn worker(socket: &str, flows: u16, path: Path) -> Result<()> {
    let End { eal, _port, queue } = device("server", socket, 1)?;
    let _lcore = lcore::enter(&eal, 1)?;
    let capabilities = queue.capabilities();
    let counters = Arc::new(WorkerCounters::default());
    let addresses = vec![LocalAddress { address: GATEWAY.into(), prefix_len: 24, gateway: None }];
    let mut config = EngineConfig {
        flow_capacity: flows.into(),
        transcoder_capacity: 2 * u32::from(flows),
        ..EngineConfig::new(MacAddress(capabilities.mac), addresses, FIRST_PORT..=u16::MAX)
    };
    config.ports[0].checksums = Checksums { transmit_offload: capabilities.tx_ip_udp_checksum, verify_udp: true };
    let engine = Engine::new(&config, Arc::clone(&counters))?;
    let (mut to_worker, commands) = rtrb::RingBuffer::new(1_024);
    let (events, mut from_worker) = rtrb::RingBuffer::new(1_024);
    let parts =
        Parts { io: queue, engine, commands, events, handover: HandoverEnds::alone(), counters: Arc::clone(&counters) };
    let mut worker = Worker::new(parts);
    let mut clock = TscClock::new();
    let codec_b = match path {
        Path::Relay => Codec::Pcmu,
        Path::MuToA => Codec::Pcma,
        Path::MuToG722 => Codec::G722,
    };
    for slot in 0..u32::from(flows) {
        let legs = [leg(2 * slot, Codec::Pcmu), leg(2 * slot + 1, codec_b)];
        to_worker.push(Command::InstallFlow { flow: FlowId { slot, generation: 1 }, epoch: Epoch(1), legs })?;
        worker.poll(clock.now());
        while let Ok(event) = from_worker.pop() {
            if let Event::Refused { reason, .. } = event {
                return Err(format!("flow {slot} was refused: {reason:?}").into());
            }
        }
    }
    let mut told = Instant::now();
    loop {
        for _ in 0..100_000 {
            worker.poll(clock.now());
            while from_worker.pop().is_ok() {}
        }
        if told.elapsed() > Duration::from_secs(2) && std::env::var_os("TANDEM_BENCH_VERBOSE").is_some() {
            told = Instant::now();
            let drops: Vec<_> =
                DropReason::ALL.iter().map(|reason| (reason.label(), counters.drops_of(*reason))).collect();
            eprintln!("{:?}", drops.iter().filter(|(_, count)| *count > 0).collect::<Vec<_>>());
        }
    }
}

fn leg(number: u32, codec: Codec) -> LegConfig {
    let payload_type = codec.static_payload_type().expect("G.711 and G.722 have one");
    LegConfig {
        remote: Some(SocketAddr::new(PEER.into(), PEER_PORT)),
        format: Some(Format::new(codec, payload_type)),
        direction: Direction::SendRecv,
        ssrc: 0x8000_0000 | number,
        ..LegConfig::new(SocketAddr::new(GATEWAY.into(), leg_port(number)))
    }
}

/// Sends as fast as the ring takes, counts what comes back, prints packets per second.
fn source(socket: &str, flows: u16, seconds: u64) -> Result<()> {
    let End { eal, _port, mut queue } = device("client", socket, 0)?;
    let _lcore = lcore::enter(&eal, 0)?;
    // Legs of mu-law alone: what the other legs would send is the other direction of the same work.
    let mut traffic = Traffic::new(flows, resolve(&mut queue)?);
    let mut round = |queue: &mut QueuePair, out: &mut Burst<_>, back: &mut Burst<dpdk::mbuf::Mbuf>| {
        back.clear();
        queue.rx_burst(back);
        let mut received = 0;
        for frame in back.iter_mut() {
            if frame.data().len() > 100 {
                received += 1;
            } else if let Some(answer) = arp_answer(frame.data()) {
                send(queue, &answer);
            }
        }
        queue.mempool().allocate_burst(out);
        for frame in out.iter_mut() {
            if frame.set_len(FRAME).is_ok() {
                traffic.fill(frame.data_mut());
            }
        }
        queue.tx_burst(out);
        out.clear();
        received
    };
    let (mut out, mut back) = (Burst::new(), Burst::new());
    let until = Instant::now() + Duration::from_secs(10);
    while round(&mut queue, &mut out, &mut back) == 0 {
        if Instant::now() > until {
            return Err("nothing came back in 10 s".into());
        }
    }
    let warm = Instant::now();
    while warm.elapsed() < Duration::from_millis(500) {
        round(&mut queue, &mut out, &mut back);
    }
    let (start, mut received) = (Instant::now(), 0_u64);
    while start.elapsed() < Duration::from_secs(seconds) {
        for _ in 0..1_000 {
            received += round(&mut queue, &mut out, &mut back);
        }
    }
    println!("{:.0}", received as f64 / start.elapsed().as_secs_f64());
    Ok(())
}

/// The caller's side of every flow, round robin.
struct Traffic {
    templates: Vec<[u8; ETHERNET + IPV4 + UDP]>,
    sequences: Vec<u32>,
    next: usize,
}

impl Traffic {
    fn new(flows: u16, gateway: MacAddress) -> Self {
        let template = |flow: u16| {
            let mut header = [0; ETHERNET + IPV4 + UDP];
            let (ethernet, rest) = header.split_first_chunk_mut::<ETHERNET>().expect("room");
            let (ip, datagram) = rest.split_first_chunk_mut::<IPV4>().expect("room");
            EthernetFields { destination: gateway, source: PEER_MAC, ethertype: ETHERTYPE_IPV4 }.write(ethernet);
            Ipv4Fields {
                traffic_class: 0xb8,
                total_length: (FRAME - ETHERNET) as u16,
                time_to_live: 64,
                protocol: udp::PROTOCOL,
                source: PEER,
                destination: GATEWAY,
            }
            .write(ip);
            // Without a checksum (RFC 768): the kernel of a real peer would make one, which is not what is measured.
            UdpFields {
                source_port: PEER_PORT,
                destination_port: leg_port(2 * u32::from(flow)),
                length: (UDP + RTP + PAYLOAD) as u16,
            }
            .write(datagram.first_chunk_mut().expect("room"));
            header
        };
        Self { templates: (0..flows).map(template).collect(), sequences: vec![0; flows.into()], next: 0 }
    }

    fn fill(&mut self, frame: &mut [u8]) {
        let (headers, rest) = frame.split_at_mut(ETHERNET + IPV4 + UDP);
        headers.copy_from_slice(&self.templates[self.next]);
        let sequence = self.sequences[self.next];
        self.sequences[self.next] += 1;
        let rtp = RtpFields {
            marker: false,
            payload_type: 0,
            sequence: sequence as u16,
            timestamp: sequence.wrapping_mul(160),
            ssrc: self.next as u32,
        };
        rtp.write(rest.first_chunk_mut().expect("room"));
        self.next = if self.next + 1 == self.templates.len() { 0 } else { self.next + 1 };
    }
}

/// Asks for the gateway's hardware address. The echo answers with the question itself: then it does not matter.
fn resolve(queue: &mut QueuePair) -> Result<MacAddress> {
    let question = arp_frame(Operation::Request, MacAddress::BROADCAST, GATEWAY);
    let mut back = Burst::new();
    let until = Instant::now() + Duration::from_secs(10);
    while Instant::now() < until {
        send(queue, &question);
        std::thread::sleep(Duration::from_millis(10));
        queue.rx_burst(&mut back);
        for frame in back.drain(..) {
            let arp = Ethernet::parse(frame.data()).ok().and_then(|ethernet| Arp::parse(ethernet.payload()).ok());
            if let Some(arp) = arp
                && (arp.operation == Operation::Reply || arp.sender_ip == PEER)
            {
                return Ok(arp.sender_mac);
            }
        }
    }
    Err("nobody answered ARP for 10 s".into())
}

fn send(queue: &mut QueuePair, octets: &[u8]) {
    if let Some(mut frame) = queue.allocate()
        && frame.set_len(octets.len()).is_ok()
    {
        frame.data_mut().copy_from_slice(octets);
        let mut burst = Burst::new();
        burst.push(frame);
        queue.tx_burst(&mut burst);
    }
}

fn arp_answer(frame: &[u8]) -> Option<[u8; ARP_FRAME]> {
    let ethernet = Ethernet::parse(frame).ok().filter(|ethernet| ethernet.ethertype() == ETHERTYPE_ARP)?;
    let request = Arp::parse(ethernet.payload()).ok()?;
    let is_for_us = request.operation == Operation::Request && request.target_ip == PEER;
    is_for_us.then(|| arp_frame(Operation::Reply, request.sender_mac, request.sender_ip))
}

fn arp_frame(operation: Operation, target_mac: MacAddress, target_ip: Ipv4Addr) -> [u8; ARP_FRAME] {
    let mut frame = [0; ARP_FRAME];
    let (header, packet) = frame.split_first_chunk_mut::<ETHERNET>().expect("room");
    EthernetFields { destination: target_mac, source: PEER_MAC, ethertype: ETHERTYPE_ARP }.write(header);
    Arp { operation, sender_mac: PEER_MAC, sender_ip: PEER, target_mac, target_ip }
        .write(packet.first_chunk_mut().expect("room"));
    frame
}
