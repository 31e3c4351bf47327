//! Several ports: a call comes on one and leaves by the other, whoever of several workers carries it.

#![allow(clippy::unwrap_used, reason = "helpers of tests say what they expect, as tests do")]

mod rig;

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;

use rig::{CALLEE_MAC, CALLER, CALLER_MAC, GATEWAY_IP, GATEWAY_MAC, caller, engine_config, flow, leg};
use rtrb::{Consumer, Producer, RingBuffer};
use tandem_contract::{
    Codec, Command, DropReason, Epoch, Event, LegConfig, LocalAddress, Nanos, Refusal, WorkerCounters, WorkerId,
};
use tandem_media::{ConfigError, Engine, EngineConfig, PortConfig};
use tandem_packet_io::{Capabilities, Several};
use tandem_testkit::{
    Cable, Endpoint, MemoryBuf, MemoryIo, Pool, advertisement_frame, arp_reply_frame, arp_request_frame,
};
use tandem_wire::arp::Arp;
use tandem_wire::ethernet::{Ethernet, MacAddress};
use tandem_worker::{HandoverEnds, Parts, Worker, mesh};

const INSIDE_MAC: MacAddress = MacAddress([2, 0, 0, 0, 0, 2]);
const INSIDE_IP: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);
const INSIDE_CALLEE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 9, 0, 11), 7000);

/// One worker with a queue of each of two ports.
struct Bench {
    worker: Worker<Several<MemoryIo>>,
    /// Outside, inside.
    cables: [Cable; 2],
    commands: Producer<Command>,
    events: Consumer<Event>,
    counters: Arc<WorkerCounters>,
    now: Nanos,
}

fn config(worker: u16, workers: u16) -> EngineConfig {
    let mut config = EngineConfig { worker: WorkerId(worker), workers, ..engine_config() };
    let inside = LocalAddress { address: INSIDE_IP.into(), prefix_len: 24, gateway: None };
    config.ports.push(PortConfig { mac: INSIDE_MAC, addresses: vec![inside], ..config.ports[0].clone() });
    config
}

impl Bench {
    fn new(config: &EngineConfig, handover: HandoverEnds<MemoryBuf>, pool: &Pool) -> Self {
        let device = |mac: MacAddress| {
            let capabilities =
                Capabilities { mac: mac.0, mtu: 1500, rx_ip_udp_checksum: false, tx_ip_udp_checksum: false };
            MemoryIo::new(capabilities, pool)
        };
        let (outside, outside_cable) = device(GATEWAY_MAC);
        let (inside, inside_cable) = device(INSIDE_MAC);
        let counters = Arc::new(WorkerCounters::default());
        let (commands, worker_commands) = RingBuffer::new(16);
        let (worker_events, events) = RingBuffer::new(64);
        let worker = Worker::new(Parts {
            io: Several::new([outside, inside]).unwrap(),
            engine: Engine::new(config, Arc::clone(&counters)).unwrap(),
            commands: worker_commands,
            events: worker_events,
            handover,
            counters: Arc::clone(&counters),
        });
        Self { worker, cables: [outside_cable, inside_cable], commands, events, counters, now: Nanos(1) }
    }

    fn alone() -> Self {
        Self::new(&config(0, 1), HandoverEnds::alone(), &Pool::new(256))
    }

    fn poll(&mut self) -> [Vec<Vec<u8>>; 2] {
        self.now = self.now.plus(10_000);
        self.worker.poll(self.now);
        self.cables.each_ref().map(|cable| std::iter::from_fn(|| cable.take()).collect())
    }

    fn command(&mut self, command: Command) -> Event {
        self.commands.push(command).unwrap();
        self.worker.poll(self.now);
        self.events.pop().unwrap()
    }

    /// Installs a flow; both neighbours answer, each on its own cable.
    fn install(&mut self, slot: u32, legs: [LegConfig; 2]) {
        let installed = self.command(Command::InstallFlow { flow: flow(slot), epoch: Epoch(1), legs });
        assert_eq!(installed, Event::Installed { flow: flow(slot), epoch: Epoch(1) });
        let asked = self.poll();
        for ((cable, asked), (address, mac)) in
            self.cables.iter_mut().zip(asked).zip([(*CALLER.ip(), CALLER_MAC), (*INSIDE_CALLEE.ip(), CALLEE_MAC)])
        {
            let questions = asked.iter().filter(|frame| arp(frame).is_some_and(|arp| arp.target_ip == address));
            questions.for_each(|question| cable.put(&arp_reply_frame(question, mac).unwrap()));
        }
        self.poll();
    }
}

fn arp(frame: &[u8]) -> Option<Arp> {
    Ethernet::parse(frame).ok().and_then(|ethernet| Arp::parse(ethernet.payload()).ok())
}

/// The caller outside, the callee inside.
fn legs(slot: u16) -> [LegConfig; 2] {
    let a = leg(2 * slot, CALLER, Codec::Pcmu);
    let b = leg(2 * slot + 1, INSIDE_CALLEE, Codec::Pcmu);
    [a, LegConfig { local: SocketAddr::new(INSIDE_IP.into(), b.local.port()), ..b }]
}

fn endpoints(slot: u16) -> [Endpoint; 2] {
    let mut outside = caller(Codec::Pcmu);
    outside.peer.set_port(10_000 + 4 * slot);
    let inside = Endpoint {
        mac: CALLEE_MAC,
        local: INSIDE_CALLEE,
        peer_mac: INSIDE_MAC,
        peer: SocketAddrV4::new(INSIDE_IP, 10_002 + 4 * slot),
        ssrc: 0xca12,
        ..caller(Codec::Pcmu)
    };
    [outside, inside]
}

#[test]
fn a_call_comes_on_one_port_and_leaves_by_the_other_both_ways() {
    let mut bench = Bench::alone();
    bench.install(0, legs(0));
    let [mut outside, mut inside] = endpoints(0);
    for _ in 0..3 {
        bench.cables[0].put(&outside.send(&[1; 160], 160));
        bench.cables[1].put(&inside.send(&[2; 160], 160));
        let [to_outside, to_inside] = bench.poll();
        assert_eq!((to_outside.len(), to_inside.len()), (1, 1));
        let heard = inside.receive(&to_inside[0]).unwrap();
        assert_eq!((heard.payload, *heard.source.ip()), (vec![1; 160], INSIDE_IP));
        let heard = outside.receive(&to_outside[0]).unwrap();
        assert_eq!((heard.payload, *heard.source.ip()), (vec![2; 160], GATEWAY_IP));
    }
    assert_eq!(bench.counters.frames_unaccounted(), 0);
    assert!(DropReason::ALL.iter().all(|reason| bench.counters.drops_of(*reason) == 0));
}

#[test]
fn each_port_announces_and_answers_for_its_own_addresses() {
    let mut bench = Bench::alone();
    let announced = bench.poll();
    for (frames, (mac, ip)) in announced.iter().zip([(GATEWAY_MAC, GATEWAY_IP), (INSIDE_MAC, INSIDE_IP)]) {
        let told: Vec<_> = frames.iter().filter_map(|f| arp(f)).map(|arp| (arp.sender_mac, arp.sender_ip)).collect();
        assert_eq!(told, [(mac, ip)]);
    }
    bench.cables[1].put(&arp_request_frame(CALLEE_MAC, *INSIDE_CALLEE.ip(), INSIDE_IP));
    let [outside, inside] = bench.poll();
    assert!(outside.is_empty());
    assert_eq!(arp(&inside[0]).unwrap().sender_mac, INSIDE_MAC);

    let local = LocalAddress { address: Ipv4Addr::new(10, 9, 0, 77).into(), prefix_len: 24, gateway: None };
    let refused = Event::AddressRefused { request: 1, reason: Refusal::UnknownPort };
    assert_eq!(bench.command(Command::AddAddress { request: 1, port: 2, local }), refused);
    assert_eq!(bench.command(Command::AddAddress { request: 2, port: 1, local }), Event::AddressAdded { request: 2 });
    let announce = Command::AnnounceAddress { request: 3, address: local.address };
    assert_eq!(bench.command(announce), Event::AddressAnnounced { request: 3 });
    let [outside, inside] = bench.poll();
    assert_eq!((outside.len(), inside.len()), (0, 1));
}

#[test]
fn a_port_that_takes_nothing_leaves_the_other_alone() {
    let mut bench = Bench::alone();
    bench.install(0, legs(0));
    let [mut outside, mut inside] = endpoints(0);
    bench.cables[1].set_send_room(0);
    for _ in 0..100 {
        bench.cables[0].put(&outside.send(&[1; 160], 160));
        bench.cables[1].put(&inside.send(&[2; 160], 160));
        let [to_outside, to_inside] = bench.poll();
        assert_eq!((to_outside.len(), to_inside.len()), (1, 0));
    }
    assert!(bench.counters.drops_of(DropReason::TransmitQueueFull) >= 60);
    assert_eq!(bench.counters.rtp_forwarded.get(), 200);
}

#[test]
fn two_workers_with_two_ports_carry_their_calls_side_by_side() {
    let pool = Pool::new(512);
    let mut ends = mesh(2, 64).into_iter();
    let mut benches = [0, 1].map(|number| Bench::new(&config(number, 2), ends.next().unwrap(), &pool));
    // Ports 0 mod 4 are worker 0's, 2 mod 4 worker 1's: two flows of each, legs on both ports.
    let of_worker = |worker: u16, nth: u16| {
        let ports = [10_000 + 2 * worker + 8 * nth, 10_004 + 2 * worker + 8 * nth];
        let [mut a, mut b] = legs(nth);
        a.local.set_port(ports[0]);
        b.local.set_port(ports[1]);
        let [mut outside, mut inside] = endpoints(nth);
        outside.peer.set_port(ports[0]);
        inside.peer.set_port(ports[1]);
        ([a, b], [outside, inside])
    };
    let mut callers = Vec::new();
    for worker in 0..2 {
        for nth in 0..2 {
            let (legs, endpoints) = of_worker(worker, nth);
            benches[usize::from(worker)].install(nth.into(), legs);
            callers.push((usize::from(worker), endpoints));
        }
    }
    let mut heard = [0; 2];
    for round in 0..20 {
        for (worker, [outside, inside]) in &mut callers {
            // Every fourth packet comes on the other worker's queue.
            let queue = if round % 4 == 3 { 1 - *worker } else { *worker };
            benches[queue].cables[0].put(&outside.send(&[1; 160], 160));
            benches[queue].cables[1].put(&inside.send(&[2; 160], 160));
        }
        for _ in 0..2 {
            for (bench, heard) in benches.iter_mut().zip(&mut heard) {
                *heard += bench.poll().iter().map(Vec::len).sum::<usize>();
            }
        }
    }
    assert_eq!(heard, [80, 80], "two flows, two directions, twenty packets");
    for bench in &benches {
        assert_eq!((bench.counters.handed_over.get(), bench.counters.handed_in.get()), (20, 20));
        assert_eq!((bench.counters.rtp_forwarded.get(), bench.counters.frames_unaccounted()), (80, 0));
    }
}

#[test]
fn ports_that_could_not_be_told_apart_are_refused() {
    let mut config = config(0, 1);
    config.ports[1].mac = GATEWAY_MAC;
    let refused = Engine::<MemoryBuf>::new(&config, Arc::default()).err();
    assert_eq!(refused, Some(ConfigError::MacTwice(GATEWAY_MAC)));
    config.ports.clear();
    assert_eq!(Engine::<MemoryBuf>::new(&config, Arc::default()).err(), Some(ConfigError::PortCount(0)));
    let pool = Pool::new(1);
    let capabilities = Capabilities { mac: [2; 6], mtu: 1500, rx_ip_udp_checksum: false, tx_ip_udp_checksum: false };
    let devices = [0, 1].map(|_| MemoryIo::new(capabilities, &pool).0);
    assert!(Several::new(devices).is_none() && Several::<MemoryIo>::new([]).is_none());
}

#[test]
fn routers_of_one_link_local_address_on_two_ports_are_told_apart() {
    let router = Some("fe80::1".parse().unwrap());
    let ours: [IpAddr; 2] = ["2001:db8:0:1::1".parse().unwrap(), "2001:db8:0:2::1".parse().unwrap()];
    let remotes: [SocketAddr; 2] = ["[2001:db8:a::10]:6000".parse().unwrap(), "[2001:db8:b::11]:7000".parse().unwrap()];
    let mut config = config(0, 1);
    for (port, address) in config.ports.iter_mut().zip(ours) {
        port.addresses = vec![LocalAddress { address, prefix_len: 64, gateway: router }];
    }
    let mut bench = Bench::new(&config, HandoverEnds::alone(), &Pool::new(256));
    bench.poll();
    let [mut a, mut b] = legs(0);
    for (leg, (ours, remote)) in [&mut a, &mut b].into_iter().zip(ours.into_iter().zip(remotes)) {
        leg.local.set_ip(ours);
        leg.remote = Some(remote);
    }
    let routers = [MacAddress([2, 0, 0, 0, 9, 1]), MacAddress([2, 0, 0, 0, 9, 2])];
    let installed = bench.command(Command::InstallFlow { flow: flow(0), epoch: Epoch(1), legs: [a, b] });
    assert_eq!(installed, Event::Installed { flow: flow(0), epoch: Epoch(1) });
    let asked = bench.poll();
    for ((cable, asked), mac) in bench.cables.iter_mut().zip(asked).zip(routers) {
        let answers: Vec<_> = asked.iter().filter_map(|frame| advertisement_frame(frame, mac)).collect();
        assert_eq!(answers.len(), 1, "each is asked for on its own port");
        cable.put(&answers[0]);
    }
    bench.poll();
    let [outside, inside] = endpoints(0);
    let over_ipv6 = |side: usize, known: &Endpoint| Endpoint {
        mac: routers[side],
        local: remotes[side],
        peer_mac: known.peer_mac,
        peer: SocketAddr::new(ours[side], known.peer.port()),
        payload_type: known.payload_type,
        sequence: known.sequence,
        timestamp: known.timestamp,
        ssrc: known.ssrc,
        marker: known.marker,
    };
    let (mut outside, mut inside) = (over_ipv6(0, &outside), over_ipv6(1, &inside));
    bench.cables[0].put(&outside.send(&[1; 160], 160));
    bench.cables[1].put(&inside.send(&[2; 160], 160));
    let [to_outside, to_inside] = bench.poll();
    assert_eq!(outside.receive(&to_outside[0]).unwrap().payload, [2; 160]);
    assert_eq!(inside.receive(&to_inside[0]).unwrap().payload, [1; 160]);
}
