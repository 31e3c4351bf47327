//! The side that is measured: a worker with some flows, or an echo.

use std::io::BufRead;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use dpdk::lcore;
use dpdk::mbuf::Mbuf;
use tandem_contract::{
    Codec, Command, Counter, CryptoSuite, Direction, DropReason, Epoch, Event, FlowId, Format, LatencyHistogram,
    LegConfig, LegCrypto, Nanos, Stage, WorkerCounters, WorkerId,
};
use tandem_media::{Checksums, Egress, Engine, EngineConfig, LocalAddress};
use tandem_packet_io::{Burst, PacketIo};
use tandem_testkit::{CountingAllocator, allocations_during};
use tandem_wire::ethernet::MacAddress;
use tandem_worker::{Clock, HandoverEnds, Parts, TscClock, Worker};

use crate::end::End;
use crate::frames::{FIRST_PORT, GATEWAY, PEER, PEER_PORT, Path, leg_port, master_key};
use crate::{Result, WORKER_CORE};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

pub(crate) fn echo(socket: &str) -> Result<()> {
    let End { eal, _port, mut queue } = End::open("server", socket, WORKER_CORE, Path::Echo.ring_log2())?;
    let _lcore = lcore::enter(&eal, WORKER_CORE)?;
    let mut burst = Burst::new();
    loop {
        queue.rx_burst(&mut burst);
        queue.tx_burst(&mut burst);
        burst.clear();
    }
}

/// Lines that the parent has said, and one more when it has hung up.
fn listen() -> Arc<AtomicU32> {
    let heard = Arc::new(AtomicU32::new(0));
    let also = Arc::clone(&heard);
    // Before EAL pins this thread, so that the listener is not on the worker's core.
    std::thread::spawn(move || {
        for _line in std::io::stdin().lock().lines() {
            also.fetch_add(1, Relaxed);
        }
        also.fetch_add(1, Relaxed);
    });
    heard
}

/// A round that takes longer was interrupted by the machine.
const LONGEST_ROUND_NS: u64 = 500_000;

/// Prints allocations per packet, the median and the 99.9th percentile of added latency in microseconds, the share of its time that it was busy,
/// packets of calls that it dropped, and for how many microseconds it stood still in all and at most.
pub(crate) fn run(socket: &str, flows: u16, path: Path) -> Result<()> {
    let heard = listen();
    let End { eal, _port, queue } = End::open("server", socket, WORKER_CORE, path.ring_log2())?;
    let _lcore = lcore::enter(&eal, WORKER_CORE)?;
    let capabilities = queue.capabilities();
    let counters = Arc::new(WorkerCounters::default());
    let offload = capabilities.tx_ip_udp_checksum;
    let engine = Engine::new(&config(flows.into(), MacAddress(capabilities.mac), offload), Arc::clone(&counters))?;
    let (mut to_worker, commands) = rtrb::RingBuffer::new(1_024);
    let (events, mut from_worker) = rtrb::RingBuffer::new(1_024);
    let parts =
        Parts { io: queue, engine, commands, events, handover: HandoverEnds::alone(), counters: Arc::clone(&counters) };
    let mut clock = TscClock::new();
    // As the gateway has it.
    let mut worker = Worker::new(parts).with_stage_times(clock.clone());
    for slot in 0..u32::from(flows) {
        let command =
            Command::InstallFlow { flow: FlowId { slot, generation: 1 }, epoch: Epoch(1), legs: legs(path, slot) };
        to_worker.push(command)?;
        worker.poll(clock.now());
        while let Ok(event) = from_worker.pop() {
            if let Event::Refused { reason, .. } = event {
                return Err(format!("flow {slot} was refused: {reason:?}").into());
            }
        }
    }
    let mut poll_until = |lines: u32| {
        let (start, mut stood_ns, mut longest_ns) = (clock.now(), 0, 0);
        let mut now = start;
        while heard.load(Relaxed) < lines {
            for _ in 0..1_000 {
                worker.poll(now);
                while from_worker.pop().is_ok() {}
                let before = std::mem::replace(&mut now, clock.now());
                let round_ns = now.since(before);
                if round_ns > LONGEST_ROUND_NS {
                    (stood_ns, longest_ns) = (stood_ns + round_ns, round_ns.max(longest_ns));
                }
            }
        }
        [now.since(start), stood_ns, longest_ns].map(|ns| ns as f64)
    };
    poll_until(1);
    // Nobody listens where junk goes.
    let dropped = |counters: &WorkerCounters| {
        let of_calls = DropReason::ALL.into_iter().filter(|reason| *reason != DropReason::NoFlow);
        of_calls.map(|reason| counters.drops_of(reason)).sum::<u64>()
    };
    let (dropped_before, busy_before) = (dropped(&counters), counters.busy_ns.get());
    let (mut before, mut after) = ([0; LatencyHistogram::BUCKETS], [0; LatencyHistogram::BUCKETS]);
    counters.added_latency.snapshot(&mut before);
    let forwarded = counters.rtp_forwarded.get();
    let mut took_ns = [0.0; 3];
    let allocations = allocations_during(|| took_ns = poll_until(2));
    let [took_ns, stood_ns, longest_ns] = took_ns;
    let busy = (counters.busy_ns.get() - busy_before) as f64 / took_ns;
    let dropped = dropped(&counters) - dropped_before;
    let forwarded = counters.rtp_forwarded.get() - forwarded;
    counters.added_latency.snapshot(&mut after);
    let counts: Vec<u64> = after.iter().zip(before).map(|(after, before)| after - before).collect();
    let [p50, p99_9] = [0.5, 0.999].map(|part| percentile_us(&counts, part));
    let allocations = allocations as f64 / forwarded.max(1) as f64;
    println!("{allocations} {p50} {p99_9} {busy} {dropped} {} {}", stood_ns / 1000.0, longest_ns / 1000.0);
    if std::env::var_os("TANDEM_BENCH_VERBOSE").is_some() {
        let drops = DropReason::ALL.iter().map(|reason| (reason.label(), counters.drops_of(*reason)));
        eprintln!("{:?}", drops.filter(|(_, count)| *count > 0).collect::<Vec<_>>());
        let per_packet = |stage: Stage| counters.stage_ns.of(stage) as f64 / counters.rtp_forwarded.get().max(1) as f64;
        let stages = Stage::ALL.map(|stage| format!("{} {:.1}", stage.label(), per_packet(stage)));
        let mean = |sum: &Counter, count: &Counter| sum.get() as f64 / count.get().max(1) as f64;
        eprintln!(
            "ns/packet: {}; frames a busy round {:.1}, a batch {:.1}",
            stages.join(", "),
            mean(&counters.frames_received, &counters.busy_polls),
            mean(&counters.batch_frames, &counters.batches)
        );
    }
    Ok(())
}

/// The upper end of the bucket in which that part of all values ends.
fn percentile_us(counts: &[u64], part: f64) -> f64 {
    let mut left = (counts.iter().sum::<u64>() as f64 * part).ceil() as u64;
    for (bucket, count) in counts.iter().enumerate() {
        if left <= *count {
            return LatencyHistogram::floor_of(bucket + 1) as f64 / 1000.0;
        }
        left -= count;
    }
    f64::INFINITY
}

fn config(flows: u32, mac: MacAddress, offload: bool) -> EngineConfig {
    let addresses = vec![LocalAddress { address: GATEWAY.into(), prefix_len: 24, gateway: None }];
    let mut config = EngineConfig {
        flow_capacity: flows,
        transcoder_capacity: 2 * flows,
        srtp_capacity: flows,
        ..EngineConfig::new(mac, addresses, FIRST_PORT..=u16::MAX)
    };
    config.ports[0].checksums = Checksums { transmit_offload: offload, verify_udp: true };
    config
}

/// Keeps nothing: there is no device.
struct Nowhere;

impl Egress for Nowhere {
    type Buf = Mbuf;
    fn forward(&mut self, _: Mbuf, _: Nanos) {}
    fn send(&mut self, _: Mbuf) {}
    fn hand_over(&mut self, _: WorkerId, _: Mbuf) {}
    fn announce(&mut self, _: IpAddr, _: Option<u8>, _: MacAddress) {}
    fn allocate(&mut self) -> Option<Mbuf> {
        None
    }
}

/// Prints the resident octets of a process with so many calls of G.711 and G.729, with SRTP on both legs where that is wanted.
pub(crate) fn memory(calls: u32, secured: bool) -> Result<()> {
    let srtp_capacity = if secured { 2 * calls } else { 0 };
    let config = EngineConfig { srtp_capacity, ..config(calls, MacAddress([2, 0, 0, 0, 0, 1]), false) };
    let mut engine = Engine::<Mbuf>::new(&config, Arc::default())?;
    for slot in 0..calls {
        let keys = || {
            let key = master_key(CryptoSuite::AesCm128HmacSha1_80);
            secured.then_some(LegCrypto { send: key, receive: key })
        };
        let legs = legs(Path::MuToG729, slot).map(|leg| LegConfig { crypto: keys(), ..leg });
        let install = Command::InstallFlow { flow: FlowId { slot, generation: 1 }, epoch: Epoch(1), legs };
        let answer = engine.on_command(Nanos(0), &install, &mut Nowhere);
        if !matches!(answer, Event::Installed { .. }) {
            return Err(format!("call {slot}: {answer:?}").into());
        }
    }
    let status = std::fs::read_to_string("/proc/self/status")?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    let kib: u64 = resident.trim().trim_end_matches(" kB").parse()?;
    println!("{}", kib * 1024);
    drop(engine);
    Ok(())
}

fn legs(path: Path, slot: u32) -> [LegConfig; 2] {
    let [a, b] = match path {
        Path::MuToA => [Codec::Pcmu, Codec::Pcma],
        Path::MuToG722 => [Codec::Pcmu, Codec::G722],
        Path::MuToG729 | Path::MuAndG729 => [Codec::Pcmu, Codec::G729],
        Path::G729ToMu => [Codec::G729, Codec::Pcmu],
        _ => [Codec::Pcmu, Codec::Pcmu],
    };
    let keys = |suite| Some(LegCrypto { send: master_key(suite), receive: master_key(suite) });
    let [crypto_a, crypto_b] = match path {
        Path::CmToPlain => [keys(CryptoSuite::AesCm128HmacSha1_80), None],
        Path::PlainToCm => [None, keys(CryptoSuite::AesCm128HmacSha1_80)],
        Path::GcmToPlain => [keys(CryptoSuite::AeadAes128Gcm), None],
        Path::PlainToGcm => [None, keys(CryptoSuite::AeadAes128Gcm)],
        _ => [None, None],
    };
    [leg(2 * slot, a, crypto_a), leg(2 * slot + 1, b, crypto_b)]
}

fn leg(number: u32, codec: Codec, crypto: Option<LegCrypto>) -> LegConfig {
    let payload_type = codec.static_payload_type().expect("a codec of RFC 3551");
    LegConfig {
        remote: Some(SocketAddr::new(PEER.into(), PEER_PORT)),
        format: Some(Format::new(codec, payload_type)),
        direction: Direction::SendRecv,
        ssrc: 0x8000_0000 | number,
        crypto,
        ..LegConfig::new(SocketAddr::new(GATEWAY.into(), leg_port(number)))
    }
}
