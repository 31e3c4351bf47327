//! The side that is measured: a worker with some flows, or an echo.

use std::io::BufRead;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use dpdk::lcore;
use dpdk::mbuf::Mbuf;
use tandem_contract::{
    Codec, Command, CryptoSuite, Direction, DropReason, Epoch, Event, FlowId, Format, LatencyHistogram, LegConfig,
    LegCrypto, WorkerCounters,
};
use tandem_media::{Checksums, Engine, EngineConfig, LocalAddress};
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
    let End { eal, _port, mut queue } = End::open("server", socket, WORKER_CORE)?;
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

/// Prints allocations per packet, and the median and the 99.9th percentile of added latency in microseconds.
pub(crate) fn run(socket: &str, flows: u16, path: Path) -> Result<()> {
    let heard = listen();
    let End { eal, _port, queue } = End::open("server", socket, WORKER_CORE)?;
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
        while heard.load(Relaxed) < lines {
            for _ in 0..1_000 {
                worker.poll(clock.now());
                while from_worker.pop().is_ok() {}
            }
        }
    };
    poll_until(1);
    let (mut before, mut after) = ([0; LatencyHistogram::BUCKETS], [0; LatencyHistogram::BUCKETS]);
    counters.added_latency.snapshot(&mut before);
    let forwarded = counters.rtp_forwarded.get();
    let allocations = allocations_during(|| poll_until(2));
    let forwarded = counters.rtp_forwarded.get() - forwarded;
    counters.added_latency.snapshot(&mut after);
    let counts: Vec<u64> = after.iter().zip(before).map(|(after, before)| after - before).collect();
    let [p50, p99_9] = [0.5, 0.999].map(|part| percentile_us(&counts, part));
    println!("{} {p50} {p99_9}", allocations as f64 / forwarded.max(1) as f64);
    if std::env::var_os("TANDEM_BENCH_VERBOSE").is_some() {
        let drops = DropReason::ALL.iter().map(|reason| (reason.label(), counters.drops_of(*reason)));
        eprintln!("{:?}", drops.filter(|(_, count)| *count > 0).collect::<Vec<_>>());
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

/// Prints the resident octets of a process with an engine for so many transcoded calls.
pub(crate) fn memory(calls: u32) -> Result<()> {
    let config = EngineConfig { srtp_capacity: 0, ..config(calls, MacAddress([2, 0, 0, 0, 0, 1]), false) };
    let engine = Engine::<Mbuf>::new(&config, Arc::default())?;
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
        Path::MuToG729 => [Codec::Pcmu, Codec::G729],
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
