//! Nanoseconds and allocations per packet on each way through the engine, over buffers in memory, in one run with the floor:
//! a burst that is filled and sent back untouched.
//!
//! `cargo bench -p tandem-media [-- NAME]`. Each figure is the best of several rounds. "Net" is what the engine adds to the
//! floor; "timed" counts where the time goes, as a worker does; "offload" leaves the UDP checksum to the device, as a NIC has it, "software" computes it, as memif needs it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::time::Instant;

use tandem_codec::Level;
use tandem_contract::{
    Codec, Command, Direction, Epoch, Event, FlowId, Format, LegConfig, Nanos, Stage, StageTimes, WorkerCounters,
    WorkerId,
};
use tandem_media::{Checksums, Egress, Engine, EngineConfig, LocalAddress, Origin};
use tandem_packet_io::{BURST_CAPACITY, Burst};
use tandem_testkit::{CountingAllocator, Endpoint, MemoryBuf, Pool, allocations_during};
use tandem_wire::ethernet::MacAddress;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

const GATEWAY_IP: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const GATEWAY_MAC: MacAddress = MacAddress([2, 0, 0, 0, 0, 1]);
const PEER_IP: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const PEER_MAC: MacAddress = MacAddress([2, 0, 0, 0, 0, 2]);
const FIRST_PORT: u16 = 10_000;

const ROUNDS: usize = 600;
/// Packets per round, over all flows: a round is short, so that some rounds are not interrupted even on a busy machine.
const PACKETS: usize = 32 * 32;
/// Time between two bursts: what 2 million packets a second leave.
const BURST_NS: u64 = 16_000;

/// Keeps what is sent, for its buffers to be filled again.
struct Returned(Vec<MemoryBuf>, Option<Stopwatch>);

/// Adds time up by stage, as a worker's does.
#[derive(Default)]
struct Stopwatch {
    clock: quanta::Clock,
    since: u64,
    spent: StageTimes,
}

impl Stopwatch {
    fn lap(&mut self, stage: Option<Stage>) {
        let now = self.clock.delta_as_nanos(0, self.clock.raw());
        if let Some(stage) = stage {
            self.spent.add(stage, now - self.since);
        }
        self.since = now;
    }
}

impl Egress for Returned {
    type Buf = MemoryBuf;

    fn forward(&mut self, frame: MemoryBuf, _: Nanos) {
        self.0.push(frame);
    }

    fn send(&mut self, frame: MemoryBuf) {
        self.0.push(frame);
    }

    fn hand_over(&mut self, _: WorkerId, frame: MemoryBuf) {
        self.0.push(frame);
    }

    fn announce(&mut self, _: IpAddr, _: Option<u8>, _: MacAddress) {}

    fn stage_ended(&mut self, stage: Stage) {
        if let Some(stopwatch) = &mut self.1 {
            stopwatch.lap(Some(stage));
        }
    }

    fn allocate(&mut self) -> Option<MemoryBuf> {
        None
    }
}

fn engine(flows: usize, offload: bool, a: Codec, b: Codec) -> Engine<MemoryBuf> {
    let addresses = vec![LocalAddress { address: GATEWAY_IP.into(), prefix_len: 24, gateway: None }];
    let mut config = EngineConfig {
        flow_capacity: flows as u32,
        transcoder_capacity: 2 * flows as u32,
        ..EngineConfig::new(GATEWAY_MAC, addresses, FIRST_PORT..=60_000)
    };
    config.ports[0].checksums = Checksums { transmit_offload: offload, verify_udp: false };
    let mut engine = Engine::new(&config, Arc::new(WorkerCounters::default())).expect("the configuration is right");
    let mut egress = Returned(Vec::new(), None);
    for slot in 0..flows {
        let leg = |side: u16, codec: Codec| {
            let payload_type = codec.static_payload_type().expect("a codec of RFC 3551");
            LegConfig {
                remote: Some(SocketAddr::new(PEER_IP.into(), FIRST_PORT + 4 * slot as u16 + 2 * side)),
                format: Some(Format::new(codec, payload_type)),
                direction: Direction::SendRecv,
                ssrc: 0x8000_0000 + slot as u32,
                ..LegConfig::new(SocketAddr::new(GATEWAY_IP.into(), FIRST_PORT + 4 * slot as u16 + 2 * side))
            }
        };
        let flow = FlowId { slot: slot as u32, generation: 0 };
        let command = Command::InstallFlow { flow, epoch: Epoch(0), legs: [leg(0, a), leg(1, b)] };
        assert!(matches!(engine.on_command(Nanos(0), &command, &mut egress), Event::Installed { .. }));
    }
    engine.on_neighbour(Nanos(0), (PEER_IP.into(), None), PEER_MAC, &mut egress);
    engine
}

/// What arrives for each flow's leg A, ready to be copied into a buffer; sequence number and timestamp are counted up there.
struct Source {
    frames: Vec<Vec<u8>>,
    /// The order in which flows send: scattered, so that no prefetcher guesses it.
    order: Vec<usize>,
    next: usize,
    round: u16,
}

impl Source {
    fn new(flows: usize, codec: Codec, port_offset: u16) -> Self {
        let frames = (0..flows).map(|slot| {
            let port = FIRST_PORT + 4 * slot as u16;
            let mut endpoint = Endpoint {
                mac: PEER_MAC,
                local: SocketAddrV4::new(PEER_IP, port),
                peer_mac: GATEWAY_MAC,
                peer: SocketAddrV4::new(GATEWAY_IP, port.wrapping_add(port_offset)),
                payload_type: codec.static_payload_type().expect("a codec of RFC 3551").get(),
                sequence: 0,
                timestamp: 0,
                ssrc: slot as u32,
                marker: false,
            };
            endpoint.send(&(0..160).map(|at| (at * 7 + slot) as u8).collect::<Vec<_>>(), 160)
        });
        let frames: Vec<_> = frames.collect();
        let order = (0..flows).map(|n| (n * 7919) % flows).collect();
        Self { frames, order, next: 0, round: 0 }
    }

    fn fill(&mut self, buf: &mut MemoryBuf) {
        let frame = &mut self.frames[self.order[self.next]];
        frame[44..46].copy_from_slice(&self.round.to_be_bytes());
        frame[46..50].copy_from_slice(&(u32::from(self.round) * 160).to_be_bytes());
        buf.refill(frame);
        self.next += 1;
        if self.next == self.order.len() {
            (self.next, self.round) = (0, self.round.wrapping_add(1));
        }
    }
}

/// Best nanoseconds and the allocations per packet of `burst`, called for one burst at a time.
fn measure(mut burst: impl FnMut(u64)) -> (f64, f64) {
    let mut best = f64::INFINITY;
    let mut allocations = 0;
    let mut now = 1_000_000;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        allocations = allocations_during(|| {
            for _ in 0..PACKETS / BURST_CAPACITY {
                now += BURST_NS;
                burst(now);
            }
        });
        best = best.min(start.elapsed().as_nanos() as f64 / PACKETS as f64);
    }
    (best, allocations as f64 / PACKETS as f64)
}

fn main() {
    let wanted = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    println!("{:<34} {:>7} {:>9} {:>7} {:>13}", "way, codec level", "flows", "ns/packet", "net", "allocations");
    let law = (Codec::Pcmu, Codec::Pcma);
    let g722 = (Codec::Pcmu, Codec::G722);
    let back = (Codec::G722, Codec::Pcmu);
    let same = (Codec::Pcmu, Codec::Pcmu);
    for flows in [1, 32, 10_000] {
        let mut floor = 0.0;
        for (name, codecs, offload, port_offset) in [
            ("echo (the floor)", None, true, 0),
            ("classify, no flow", Some(same), true, 50_001),
            ("relay, offload", Some(same), true, 0),
            ("relay, offload, timed", Some(same), true, 0),
            ("relay, software", Some(same), false, 0),
            ("PCMU to PCMA, offload", Some(law), true, 0),
            ("PCMU to PCMA, software", Some(law), false, 0),
            ("PCMU to G722, software", Some(g722), false, 0),
            ("G722 to PCMU, software", Some(back), false, 0),
        ] {
            if codecs.is_some() && !name.contains(&wanted) {
                continue;
            }
            let (a, b) = codecs.unwrap_or(same);
            let mut engine = engine(if codecs.is_some() { flows } else { 1 }, offload, a, b);
            let pool = Pool::new(BURST_CAPACITY);
            let timed = name.contains("timed").then(Stopwatch::default);
            let mut returned = Returned(Vec::with_capacity(BURST_CAPACITY), timed);
            returned.0.extend(std::iter::from_fn(|| pool.allocate()));
            let mut source = Source::new(flows, a, port_offset);
            let mut received = Burst::new();
            let (ns, allocations) = measure(|now| {
                while received.len() < BURST_CAPACITY {
                    // A dropped packet went back to the pool.
                    let mut buf = returned.0.pop().or_else(|| pool.allocate()).expect("no buffer is lost");
                    source.fill(&mut buf);
                    received.push(buf);
                }
                if let Some(stopwatch) = &mut returned.1 {
                    stopwatch.lap(None);
                }
                if codecs.is_some() {
                    engine.on_burst(Nanos(now), Origin::Device, &mut received, &mut returned);
                    // Nothing waits for more than its burst: the bench's buffers are no more than a burst.
                    engine.on_round_end(Nanos(now), true, &mut returned);
                    while engine.poll_event().is_some() {}
                } else {
                    returned.0.extend(received.drain(..));
                }
            });
            if codecs.is_none() {
                floor = ns;
            }
            println!("{name:<34} {flows:>7} {ns:>9.1} {:>7.1} {allocations:>13.4}", ns - floor);
            if let Some(stopwatch) = returned.1 {
                let packets = (ROUNDS * PACKETS) as f64;
                let stages = Stage::ALL.map(|stage| (stage.label(), stopwatch.spent.of(stage) as f64 / packets));
                let spent = stages.iter().filter(|(_, ns)| *ns > 0.0).map(|(stage, ns)| format!("{stage} {ns:.1}"));
                println!("  of that, mean: {}", spent.collect::<Vec<_>>().join(", "));
            }
        }
    }
    if "flood".contains(&wanted) {
        flood();
    }
    if "two workers".contains(&wanted) {
        two_workers();
    }
    println!("codec level: {}", Level::detect().name());
}

/// Packets a second that one worker relays, and two side by side, each with calls of its own: what they would have in common is nothing.
fn two_workers() {
    const CALLS: usize = 1000;
    const BURSTS: u64 = 300_000;
    let relay = || {
        let mut engine = engine(CALLS, true, Codec::Pcmu, Codec::Pcmu);
        let pool = Pool::new(BURST_CAPACITY);
        let mut returned = Returned(std::iter::from_fn(|| pool.allocate()).collect(), None);
        let mut source = Source::new(CALLS, Codec::Pcmu, 0);
        let mut received = Burst::new();
        let start = Instant::now();
        for burst in 1..=BURSTS {
            while received.len() < BURST_CAPACITY {
                let mut buf = returned.0.pop().or_else(|| pool.allocate()).expect("no buffer is lost");
                source.fill(&mut buf);
                received.push(buf);
            }
            engine.on_burst(Nanos(burst * BURST_NS), Origin::Device, &mut received, &mut returned);
        }
        BURSTS as f64 * BURST_CAPACITY as f64 / start.elapsed().as_secs_f64()
    };
    let together = |workers: usize| -> f64 {
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..workers).map(|_| scope.spawn(relay)).collect();
            workers.into_iter().map(|worker| worker.join().expect("it does not panic")).sum()
        })
    };
    let (one, two) = (together(1), together(2));
    println!(
        "two workers: {:.1} Mpps relayed by one, {:.1} by two, {:.2} times as many",
        one / 1e6,
        two / 1e6,
        two / one
    );
}

/// Fifty packets to ports that nobody listens on for each packet of 1,000 calls: 5 million a second beside calls of 20 ms.
fn flood() {
    const CALLS: usize = 1000;
    const JUNK_PER_PACKET: usize = 50;
    let mut engine = engine(CALLS, true, Codec::Pcmu, Codec::Pcmu);
    let pool = Pool::new(BURST_CAPACITY);
    let mut returned = Returned(Vec::with_capacity(BURST_CAPACITY), None);
    let (mut calls, mut junk) = (Source::new(CALLS, Codec::Pcmu, 0), Source::new(CALLS, Codec::Pcmu, 45_001));
    let (mut number, mut of_calls, mut heard) = (0, 0, 0);
    let mut received = Burst::new();
    let (ns, _) = measure(|now| {
        while received.len() < BURST_CAPACITY {
            let mut buf = returned.0.pop().or_else(|| pool.allocate()).expect("no buffer is lost");
            let is_of_call = number % (JUNK_PER_PACKET + 1) == 0;
            if is_of_call {
                calls.fill(&mut buf)
            } else {
                junk.fill(&mut buf)
            }
            of_calls += usize::from(is_of_call);
            number += 1;
            received.push(buf);
        }
        returned.0.clear();
        engine.on_burst(Nanos(now), Origin::Device, &mut received, &mut returned);
        heard += returned.0.len();
    });
    println!(
        "flood: {:.1} Mpps of junk and packets of calls taken, {} of {of_calls} packets of calls lost",
        1000.0 / ns,
        of_calls - heard
    );
}
