//! An engine driven by arbitrary octets, read as a sequence of commands, packets, junk and time, with a small model beside
//! it that knows which flows there must be. The property test and the fuzz target share it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use tandem_contract::{
    Clip, ClipId, Codec, Command, Counter, Direction, DropReason, Epoch, Event, EventCode, FlowId, ForkTarget, Format,
    Function, Learning, LegConfig, LegPosition, LegSide, Nanos, PayloadType, Refusal, RtcpTransport, SourcePolicy,
    TapHeader, WorkerCounters, WorkerId,
};
use tandem_media::{Egress, Engine, EngineConfig, LocalAddress, Origin};
use tandem_packet_io::{Burst, PacketBuf};
use tandem_testkit::{
    Endpoint, MemoryBuf, Pool, advertisement_frame, arp_reply_frame, arp_request_frame, echo_request_frame,
    solicitation_frame,
};
use tandem_wire::ethernet::{ETHERTYPE_IPV4, Ethernet, MacAddress};
use tandem_wire::ipv4::Ipv4;
use tandem_wire::ipv6::Ipv6;
use tandem_wire::rtp::Rtp;
use tandem_wire::udp::{self, Udp};

const ADDRESSES: [IpAddr; 3] = [
    IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)),
    IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
];
const STRANGE_ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 9));
const MAC: MacAddress = MacAddress([2, 0, 0, 0, 0, 1]);
const SLOTS: u8 = 4;
const PORT_PAIRS: u8 = 8;
const FIRST_PORT: u16 = 20_000;
const MTU: u16 = 400;
const TRANSCODERS: usize = 4;
const NEIGHBOURS: u16 = 3;
/// Packets that can wait: four for each neighbour, and of each stream that is decoded one in a batch and ten in a window.
const WAITING: i64 = 4 * NEIGHBOURS as i64 + TRANSCODERS as i64 * (1 + LegConfig::MAX_REORDER_PACKETS as i64);

/// The octets that decide what happens next; zeros when they are used up.
struct Choices<'a>(&'a [u8]);

impl Choices<'_> {
    fn octet(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn below(&mut self, bound: u8) -> u8 {
        self.octet() % bound
    }

    fn of<T: Copy>(&mut self, values: &[T]) -> T {
        values[usize::from(self.octet()) % values.len()]
    }
}

/// Counts and checks what leaves.
struct Exit {
    pool: Pool,
    counters: Arc<WorkerCounters>,
    questions: Vec<Vec<u8>>,
    recorded: u64,
    /// Where packets of each local port may go: to what was signalled, and to what could have been learned there.
    remotes: BTreeSet<(SocketAddr, SocketAddr)>,
    fork_targets: BTreeSet<SocketAddr>,
    /// The latest command.
    changed_at: Nanos,
    /// From, to, SSRC and sequence number of what was sent since then.
    numbers: BTreeSet<(SocketAddr, SocketAddr, u32, u16)>,
}

impl Exit {
    fn check_rtp(&mut self, from: SocketAddr, to: SocketAddr, rtp: &Rtp<'_>, received_at: Nanos) {
        let is_known = self.remotes.contains(&(from, to)) || self.fork_targets.contains(&to);
        assert!(is_known, "from {from} to {to}, who is a stranger there");
        // What waited for its neighbour through a command is of another numbering.
        if received_at > self.changed_at {
            let number = (from, to, rtp.ssrc(), rtp.sequence());
            assert!(self.numbers.insert(number), "{number:?} twice");
        }
    }
}

impl Egress for Exit {
    type Buf = MemoryBuf;

    fn forward(&mut self, frame: MemoryBuf, received_at: Nanos) {
        self.counters.frames_sent.add(1);
        let ethernet = Ethernet::parse(frame.data()).expect("a frame");
        assert_eq!(ethernet.source(), MAC);
        assert_ne!(ethernet.destination(), MacAddress::default(), "to an unresolved neighbour");
        assert!(ethernet.payload().len() <= usize::from(MTU));
        let (source, destination, carried): (IpAddr, IpAddr, _) = if ethernet.ethertype() == ETHERTYPE_IPV4 {
            let ip = Ipv4::parse(ethernet.payload()).expect("an IPv4 packet");
            assert!(ip.checksum_holds());
            (ip.source().into(), ip.destination().into(), ip.payload())
        } else {
            let ip = Ipv6::parse(ethernet.payload()).expect("an IPv6 packet");
            (ip.source().into(), ip.destination().into(), ip.payload())
        };
        assert!(ADDRESSES.contains(&source) || source == STRANGE_ADDRESS);
        let udp = Udp::parse(carried).expect("a UDP datagram");
        assert!(udp.checksum_holds(source, destination));
        assert!(udp.source_port().is_multiple_of(2));
        let rtp = Rtp::parse(udp.payload()).expect("an RTP packet");
        let (from, to) =
            (SocketAddr::new(source, udp.source_port()), SocketAddr::new(destination, udp.destination_port()));
        self.check_rtp(from, to, &rtp, received_at);
    }

    fn send(&mut self, frame: MemoryBuf) {
        self.counters.frames_sent.add(1);
        self.questions.push(frame.data().to_vec());
    }

    fn hand_over(&mut self, _: WorkerId, _: MemoryBuf) {
        unreachable!("there is one worker");
    }

    fn announce(&mut self, _: IpAddr, _: Option<u8>, _: MacAddress) {
        unreachable!("there is one worker");
    }

    fn record(&mut self, header: &TapHeader, rtp: &[u8]) -> bool {
        assert_eq!(usize::from(header.rtp_len), rtp.len());
        Rtp::parse(rtp).expect("an RTP packet");
        self.recorded += 1;
        !self.recorded.is_multiple_of(3)
    }

    fn allocate(&mut self) -> Option<MemoryBuf> {
        self.pool.allocate()
    }
}

struct Machine {
    engine: Engine<MemoryBuf>,
    exit: Exit,
    counters: Arc<WorkerCounters>,
    now: Nanos,
    /// What we are reached at now.
    addresses: BTreeSet<IpAddr>,
    /// By slot.
    flows: BTreeMap<u32, (FlowId, [LegConfig; 2])>,
    /// Slots of those that another node has.
    prepared: BTreeSet<u32>,
    sequence: u16,
}

fn leg(choices: &mut Choices<'_>) -> LegConfig {
    let address = choices.of(&[ADDRESSES[0], ADDRESSES[2], ADDRESSES[0], ADDRESSES[1], STRANGE_ADDRESS]);
    let port = FIRST_PORT + 2 * u16::from(choices.below(PORT_PAIRS)) + u16::from(choices.octet() == 255);
    let codec =
        choices.of(&[Codec::Pcmu, Codec::Pcma, Codec::G722, Codec::Pcmu, Codec::Pcma, Codec::G722, Codec::Opus]);
    let payload_type = codec.static_payload_type().or(PayloadType::new(111)).expect("below 128");
    let format = Format {
        ptime_ms: choices.of(&[20, 10, 30]),
        telephone_event: choices.of(&[None, PayloadType::new(101)]),
        ..Format::new(codec, payload_type)
    };
    LegConfig {
        remote: choices.of(&[Some(0), Some(1), Some(2), None]).map(|which| remote(address.is_ipv4(), which)),
        format: choices.of(&[Some(format), Some(format), Some(format), Some(format), None]),
        direction: choices.of(&[
            Direction::SendRecv,
            Direction::SendRecv,
            Direction::SendRecv,
            Direction::SendOnly,
            Direction::Inactive,
        ]),
        rtcp: choices.of(&[RtcpTransport::PortAbove, RtcpTransport::Multiplexed, RtcpTransport::To(remote(true, 1))]),
        source: source(choices),
        reorder_packets: choices.of(&[2, 0, 10]),
        echoes: choices.octet() > 200,
        ssrc: choices.octet().into(),
        first_sequence: u16::MAX - u16::from(choices.octet()),
        first_timestamp: u32::MAX - u32::from(choices.octet()),
        held: choices.octet() > 200,
        ..LegConfig::new(SocketAddr::new(address, port))
    }
}

fn source(choices: &mut Choices<'_>) -> SourcePolicy {
    let octet = choices.octet();
    let learning = [Learning::Immediate, Learning::Off, Learning::Port, Learning::Delayed, Learning::Heuristic];
    SourcePolicy {
        strict: octet & 1 == 0,
        interval_ms: 300,
        relearn_after_ms: if octet & 2 == 0 { 0 } else { 400 },
        relearn_on_update: octet & 4 != 0,
        ..SourcePolicy::new(learning[usize::from(octet / 8) % learning.len()])
    }
}

fn function(choices: &mut Choices<'_>) -> Function {
    let leg = choices.of(&LegSide::BOTH);
    match choices.below(6) {
        5 => Function::SendKey { leg, code: EventCode(choices.below(18)), duration_ms: choices.octet().into() },
        0 => Function::Play { leg, clip: ClipId(choices.below(4)), repeat: choices.octet() > 100 },
        1 => Function::StopPlaying { leg },
        2 => Function::Record { on: choices.octet() > 100 },
        3 => Function::Fork { leg, to: None },
        _ => {
            let remote = remote(choices.octet() > 60, choices.below(4));
            let to = ForkTarget { remote, ssrc: 1, first_sequence: 2, first_timestamp: 3, key: None };
            Function::Fork { leg, to: Some(to) }
        }
    }
}

/// A clip in some of the codecs.
fn clip(choices: &mut Choices<'_>) -> Arc<Clip> {
    let ms = 10 * u32::from(choices.below(9)) + 10;
    let encodings = [Codec::Pcmu, Codec::G722].map(|codec| {
        let frames = (ms + Clip::TAIL_MS) as usize / 10;
        (codec, vec![0; frames * Clip::octets_per_10_ms(codec).expect("frames")].into_boxed_slice())
    });
    Arc::new(Clip::new(ms, encodings).expect("a clip"))
}

/// Three on the link, one off it.
fn remote(over_ipv4: bool, which: u8) -> SocketAddr {
    let ip: IpAddr = match (over_ipv4, which) {
        (true, 3) => Ipv4Addr::new(192, 0, 2, 1).into(),
        (true, _) => Ipv4Addr::new(10, 0, 0, 20 + which).into(),
        (false, 3) => Ipv6Addr::new(0x2001, 0xdb8, 9, 0, 0, 0, 0, 1).into(),
        (false, _) => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x20 + u16::from(which)).into(),
    };
    SocketAddr::new(ip, 4000)
}

/// An address with its link.
fn local(address: IpAddr) -> LocalAddress {
    LocalAddress { address, prefix_len: if address.is_ipv4() { 24 } else { 64 }, gateway: None }
}

impl Machine {
    fn new() -> Self {
        let counters = Arc::new(WorkerCounters::default());
        let rtp_ports = FIRST_PORT..=FIRST_PORT + 2 * u16::from(PORT_PAIRS) - 1;
        let mut config = EngineConfig {
            flow_capacity: SLOTS.into(),
            transcoder_capacity: TRANSCODERS as u32,
            neighbour_capacity: NEIGHBOURS,
            media_timeout_ms: 100,
            report_interval_ms: 200,
            ..EngineConfig::new(MAC, ADDRESSES.map(local).to_vec(), rtp_ports)
        };
        config.ports[0].mtu = MTU;
        let engine = Engine::new(&config, Arc::clone(&counters)).expect("the configuration is right");
        let exit = Exit {
            pool: Pool::new(128),
            counters: Arc::clone(&counters),
            questions: Vec::new(),
            recorded: 0,
            remotes: BTreeSet::new(),
            fork_targets: BTreeSet::new(),
            changed_at: Nanos(0),
            numbers: BTreeSet::new(),
        };
        let addresses = ADDRESSES.into();
        let (flows, prepared) = (BTreeMap::new(), BTreeSet::new());
        Self { engine, exit, counters, now: Nanos(1), addresses, flows, prepared, sequence: 0 }
    }

    fn command(&mut self, choices: &mut Choices<'_>) {
        let slot = u32::from(choices.below(SLOTS + 1));
        let generation = choices.of(&[1, 1, 1, 2]);
        let flow = FlowId { slot, generation };
        let epoch = Epoch(choices.octet().into());
        let stands_by = self.prepared.contains(&slot) && self.flows[&slot].0 == flow;
        let is_here = self.flows.get(&slot).is_some_and(|(id, _)| *id == flow) && !stands_by;
        match choices.below(10) {
            7 => self.address(choices),
            which @ (0 | 1 | 8 | 9) => {
                let legs = [leg(choices), leg(choices)];
                let command = match which {
                    8 => Command::PrepareFlow { flow, epoch, legs },
                    9 => Command::ResumeFlow { flow, epoch, legs, positions: [LegPosition::default(); 2] },
                    _ => Command::InstallFlow { flow, epoch, legs },
                };
                let is_taken = self.flows.contains_key(&slot) && !stands_by;
                match self.give(&command) {
                    Event::Installed { flow: f, epoch: e } => {
                        assert_eq!((f, e), (flow, epoch));
                        assert!(slot < SLOTS.into() && !is_taken);
                        let is_ours = |leg: &LegConfig| self.addresses.contains(&leg.local.ip());
                        assert!(which == 8 || legs.iter().all(is_ours));
                        self.assert_ports_free(slot, &legs);
                        self.flows.insert(slot, (flow, legs));
                        self.prepared.remove(&slot);
                        self.prepared.extend((which == 8).then_some(slot));
                    }
                    Event::Refused { flow: f, epoch: e, reason } => {
                        assert_eq!((f, e), (flow, epoch));
                        assert_eq!(reason == Refusal::SlotTaken, is_taken);
                    }
                    other => panic!("{other:?}"),
                }
            }
            2 => {
                let legs = [leg(choices), leg(choices)];
                match self.give(&Command::UpdateFlow { flow, epoch, legs }) {
                    Event::Updated { flow: f, epoch: e } => {
                        assert_eq!((f, e), (flow, epoch));
                        assert_eq!(self.flows[&slot].0, flow);
                        self.assert_ports_free(slot, &legs);
                        self.flows.insert(slot, (flow, legs));
                    }
                    Event::Refused { reason, .. } => {
                        assert_eq!(reason == Refusal::UnknownFlow, !is_here);
                    }
                    other => panic!("{other:?}"),
                }
            }
            3 => {
                assert!(
                    matches!(self.give(&Command::RemoveFlow { flow }), Event::Removed { flow: f, .. } if f == flow)
                );
                if self.flows.get(&slot).is_some_and(|(id, _)| *id == flow) {
                    self.flows.remove(&slot);
                    self.prepared.remove(&slot);
                }
            }
            4 | 5 => {
                let (request, function) = (choices.octet().into(), function(choices));
                match self.give(&Command::Function { flow, request, function }) {
                    Event::FunctionDone { flow: f, request: r, outcome } => {
                        assert_eq!((f, r), (flow, request));
                        assert_eq!(outcome == Err(Refusal::UnknownFlow), !is_here);
                    }
                    other => panic!("{other:?}"),
                }
            }
            _ => {
                assert!(matches!(self.give(&Command::ReadFlow { flow }), Event::Counters { flow: f, .. } if f == flow));
            }
        }
        assert_eq!(self.counters.flows.get(), (self.flows.len() - self.prepared.len()) as u64);
    }

    /// An address comes or goes, perhaps one that flows use.
    fn address(&mut self, choices: &mut Choices<'_>) {
        let address = choices.of(&[ADDRESSES[1], ADDRESSES[2], STRANGE_ADDRESS]);
        let (request, port) = (choices.octet().into(), choices.of(&[0, 0, 0, 1]));
        let comes = choices.octet() > 100;
        let command = if comes {
            Command::AddAddress { request, port, local: local(address) }
        } else {
            Command::RemoveAddress { request, address }
        };
        let had = self.addresses.contains(&address);
        match self.give(&command) {
            Event::AddressAdded { request: r } => {
                assert!(comes && port == 0 && r == request);
                let told = self.give(&Command::AnnounceAddress { request, address });
                assert_eq!(told, Event::AddressAnnounced { request });
                self.addresses.insert(address);
            }
            Event::AddressRemoved { request: r } => {
                assert!(!comes && had && r == request);
                self.addresses.remove(&address);
            }
            Event::AddressRefused { request: r, reason } => {
                assert_eq!(r, request);
                let expected = if comes { Refusal::UnknownPort } else { Refusal::LocalAddressNotOurs };
                assert!(reason == expected && (if comes { port == 1 } else { !had }));
            }
            other => panic!("{other:?}"),
        }
    }

    fn give(&mut self, command: &Command) -> Event {
        match command {
            Command::InstallFlow { legs, .. } | Command::UpdateFlow { legs, .. } | Command::ResumeFlow { legs, .. } => {
                let signalled = legs.iter().filter_map(|leg| Some((leg.local, leg.remote?)));
                self.exit.remotes.extend(signalled);
            }
            Command::Function { function: Function::Fork { to: Some(target), .. }, .. } => {
                self.exit.fork_targets.insert(target.remote);
            }
            _ => {}
        }
        let event = self.engine.on_command(self.now, command, &mut self.exit);
        self.exit.changed_at = self.now;
        self.exit.numbers.clear();
        self.now = self.now.plus(1);
        event
    }

    /// A frame is about to come: from where it does, its leg may learn, if it learns and if it can be that source.
    fn may_learn(&mut self, from: SocketAddr, to: SocketAddr) {
        let legs = self.flows.values().flat_map(|(_, legs)| legs);
        for leg in legs.filter(|leg| leg.local == to) {
            let may = match leg.source.learning {
                Learning::Off => false,
                Learning::Port => leg.remote.is_some_and(|signalled| signalled.ip() == from.ip()),
                Learning::Immediate | Learning::Delayed | Learning::Heuristic => true,
            };
            if may {
                self.exit.remotes.insert((to, from));
            }
        }
    }

    fn assert_ports_free(&self, slot: u32, legs: &[LegConfig; 2]) {
        let others = self.flows.iter().filter(|(other, _)| **other != slot).flat_map(|(_, (_, legs))| legs);
        for other in others {
            assert!(legs.iter().all(|leg| leg.local != other.local), "two legs on {}", other.local);
        }
    }

    fn packets(&mut self, choices: &mut Choices<'_>) {
        let mut burst = Burst::new();
        for _ in 0..=choices.below(8) {
            let frame = self.frame(choices);
            burst.push(self.exit.pool.frame(&frame).expect("a buffer is free"));
        }
        self.receive(burst);
    }

    fn receive(&mut self, mut burst: Burst<MemoryBuf>) {
        self.counters.frames_received.add(burst.len() as u64);
        self.engine.on_burst(self.now, Origin::Device, &mut burst, &mut self.exit);
        assert!(burst.is_empty());
        self.engine.on_round_end(self.now, false, &mut self.exit);
    }

    fn frame(&mut self, choices: &mut Choices<'_>) -> Vec<u8> {
        let mut mac = MacAddress([2, 0, 0, 0, 1, 0]);
        mac.0[5] = choices.below(3);
        let address = choices.of(&[ADDRESSES[0], ADDRESSES[2], ADDRESSES[1], STRANGE_ADDRESS]);
        let local = remote(address.is_ipv4(), choices.below(4));
        let peer = SocketAddr::new(
            address,
            FIRST_PORT + u16::from(choices.below(2 * PORT_PAIRS + 2)) / 3 * 2 + u16::from(choices.octet() > 250),
        );
        let mut endpoint = Endpoint {
            mac,
            local,
            peer_mac: MAC,
            peer,
            payload_type: choices.of(&[0, 0, 8, 9, 111, 101, 77]),
            sequence: self.sequence.wrapping_add(u16::from(choices.below(4))),
            timestamp: u32::from(self.sequence) * 160 + u32::from(choices.octet() / 250) * 1_000_000,
            ssrc: u32::from(choices.octet() / 250),
            marker: choices.octet() > 200,
        };
        // Mostly, what one of the legs there are would get.
        let legs: Vec<LegConfig> = self.flows.values().flat_map(|(_, legs)| *legs).collect();
        if let (Some(leg), true) = (legs.get(usize::from(choices.octet()) % legs.len().max(1)), choices.octet() < 220) {
            if let Some(from) = leg.remote {
                (endpoint.peer, endpoint.local) = (leg.local, from);
            }
            endpoint.payload_type = leg.format.map_or(0, |format| format.payload_type.get());
        }
        self.sequence = self.sequence.wrapping_add(choices.of(&[1, 1, 1, 0, 200]));
        let payload = vec![choices.octet(); choices.of(&[160, 160, 160, 80, 240, 160, 0, 4, 350, 1000])];
        let mut frame = match choices.below(16) {
            0 => echo_request_frame(&endpoint, &payload),
            1 => match (endpoint.local.ip(), endpoint.peer.ip()) {
                (IpAddr::V4(from), IpAddr::V4(to)) => arp_request_frame(mac, from, to),
                (IpAddr::V6(from), IpAddr::V6(to)) => solicitation_frame(mac, from, to),
                _ => unreachable!("both ends are of one family"),
            },
            2 => endpoint.datagram(&payload),
            _ => endpoint.send(&payload, 160),
        };
        self.may_learn(endpoint.local, endpoint.peer);
        if choices.octet() > 230 {
            let at = usize::from(choices.octet()) % frame.len();
            frame[at] ^= choices.octet();
        }
        if choices.octet() > 245 {
            frame.truncate(usize::from(choices.octet()) % (frame.len() + 1));
        }
        frame
    }

    /// The neighbours answer what they were asked, or some of it.
    fn answers(&mut self, choices: &mut Choices<'_>) {
        for question in std::mem::take(&mut self.exit.questions) {
            let mac = MacAddress([2, 0, 0, 0, 2, choices.below(3)]);
            let answer = arp_reply_frame(&question, mac)
                .or_else(|| advertisement_frame(&question, mac))
                .filter(|_| choices.octet() < 200);
            if let Some(answer) = answer {
                self.receive(self.exit.pool.frame(&answer).into_iter().collect());
            }
        }
    }

    fn time(&mut self, choices: &mut Choices<'_>) {
        for _ in 0..=choices.below(20) {
            self.now = self.now.plus(u64::from(choices.octet()) * 2_000_000);
            self.engine.on_timeout(self.now, &mut self.exit);
            self.engine.on_round_end(self.now, choices.octet() > 200, &mut self.exit);
        }
        while let Some(event) = self.engine.poll_event() {
            let unasked = matches!(
                event,
                Event::MediaStarted { .. }
                    | Event::MediaTimeout { .. }
                    | Event::TelephoneEvent { .. }
                    | Event::PlaybackEnded { .. }
                    | Event::AddressLost { .. }
            );
            assert!(unasked, "{event:?}");
        }
    }

    fn check(&self) {
        let waiting = self.counters.frames_unaccounted();
        assert!((0..=WAITING).contains(&waiting), "{waiting} frames are missing: {:?}", self.drops());
        assert_eq!(self.exit.pool.in_use() as i64, waiting, "a buffer is held or was freed that should not be");
    }

    fn drops(&self) -> Vec<(&'static str, u64)> {
        let named =
            DropReason::ALL.iter().zip(self.counters.drops.iter()).map(|(reason, n)| (reason.label(), Counter::get(n)));
        named.filter(|(_, n)| *n > 0).collect()
    }

    /// A port that nobody listens on costs exactly one counter.
    fn unknown_flow(&mut self) {
        let before = (self.counters.drops_of(DropReason::NoFlow), self.counters.frames_unaccounted());
        let mut endpoint = Endpoint {
            mac: MacAddress([2, 0, 0, 0, 1, 0]),
            local: remote(true, 0),
            peer_mac: MAC,
            peer: SocketAddr::new(ADDRESSES[0], FIRST_PORT - 2),
            payload_type: 0,
            sequence: 0,
            timestamp: 0,
            ssrc: 0,
            marker: false,
        };
        let frame = endpoint.send(&[0; 160], 160);
        assert_eq!(frame.len(), 14 + 20 + udp::HEADER_LEN + 172);
        self.receive(self.exit.pool.frame(&frame).into_iter().collect());
        assert_eq!(
            (self.counters.drops_of(DropReason::NoFlow), self.counters.frames_unaccounted()),
            (before.0 + 1, before.1)
        );
    }

    fn end(mut self) {
        for (id, _) in std::mem::take(&mut self.flows).into_values() {
            self.give(&Command::RemoveFlow { flow: id });
        }
        assert_eq!(self.counters.flows.get(), 0);
        assert_eq!(self.exit.pool.in_use(), 0, "all buffers are back");
        assert_eq!(self.counters.frames_unaccounted(), 0);
        // Ports, slots and codec states are all free again.
        for slot in 0..(TRANSCODERS / 2) as u32 {
            let mut choices = Choices(&[]);
            let mut legs = [leg(&mut choices), leg(&mut choices)];
            for (side, (leg, codec)) in legs.iter_mut().zip([Codec::Pcmu, Codec::G722]).enumerate() {
                leg.local.set_port(FIRST_PORT + 4 * slot as u16 + 2 * side as u16);
                leg.format = leg.format.map(|format| Format { codec, ..format });
            }
            let flow = FlowId { slot, generation: 9 };
            let event = self.give(&Command::InstallFlow { flow, epoch: Epoch(0), legs });
            assert_eq!(event, Event::Installed { flow, epoch: Epoch(0) });
        }
    }
}

/// Runs the machine over `octets`, panics where an invariant breaks, and returns what was counted.
pub(crate) fn run(octets: &[u8]) -> Arc<WorkerCounters> {
    let mut choices = Choices(octets);
    let mut machine = Machine::new();
    while !choices.0.is_empty() {
        match choices.below(8) {
            0 | 1 => machine.command(&mut choices),
            2 => machine.answers(&mut choices),
            3 => machine.time(&mut choices),
            4 if choices.octet() > 128 => {
                let clip = Some(clip(&mut choices)).filter(|_| choices.octet() < 200);
                machine.engine.on_clip(ClipId(choices.below(3)), clip);
            }
            4 => machine.unknown_flow(),
            _ => machine.packets(&mut choices),
        }
        machine.check();
    }
    let counters = Arc::clone(&machine.counters);
    machine.end();
    counters
}
