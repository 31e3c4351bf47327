//! A worker over an in-memory device, with everything around it that a test needs: control's ends of the rings, the cable,
//! a clock, and two RTP endpoints that know the gateway.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part of the rig")]
#![allow(clippy::unwrap_used, reason = "the rig is a test like those that use it")]

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;

use rtrb::{Consumer, Producer, RingBuffer};
use tandem_contract::{
    ClipLoad, Codec, Command, Direction, DropReason, Epoch, Event, FlowId, Format, LegConfig, Nanos, PayloadType,
    SourceLists, WorkerCounters,
};
use tandem_media::{Engine, EngineConfig, LocalAddress};
use tandem_packet_io::Capabilities;
use tandem_testkit::{Cable, Endpoint, MemoryBuf, MemoryIo, Pool, Received, arp_reply_frame};
use tandem_wire::ethernet::MacAddress;
use tandem_worker::{FunctionEnds, HandoverEnds, Parts, Worker};

pub const GATEWAY_MAC: MacAddress = MacAddress([2, 0, 0, 0, 0, 1]);
pub const GATEWAY_IP: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
pub const CALLER_MAC: MacAddress = MacAddress([2, 0, 0, 0, 0, 0xa]);
pub const CALLER: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 10), 6000);
pub const CALLEE_MAC: MacAddress = MacAddress([2, 0, 0, 0, 0, 0xb]);
pub const CALLEE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 11), 7000);
pub const POLL_NS: u64 = 10_000;
pub const TAP_OCTETS: usize = 20_000;

pub struct Rig {
    pub worker: Worker<MemoryIo>,
    pub cable: Cable,
    pub commands: Producer<Command>,
    pub events: Consumer<Event>,
    pub clips: Producer<ClipLoad>,
    pub sources: Producer<Arc<SourceLists>>,
    pub taps: Consumer<u8>,
    pub counters: Arc<WorkerCounters>,
    pub now: Nanos,
    pub answers_arp: bool,
}

pub fn engine_config() -> EngineConfig {
    let addresses = vec![LocalAddress { address: GATEWAY_IP.into(), prefix_len: 24, gateway: None }];
    EngineConfig {
        flow_capacity: 100,
        transcoder_capacity: 20,
        srtp_capacity: 20,
        neighbour_capacity: 16,
        media_timeout_ms: 5000,
        first_packet_timeout_ms: 5000,
        ..EngineConfig::new(GATEWAY_MAC, addresses, 10_000..=19_999)
    }
}

impl Rig {
    pub fn new() -> Self {
        Self::with(&engine_config(), HandoverEnds::alone(), &Pool::new(256))
    }

    pub fn with(config: &EngineConfig, handover: HandoverEnds<MemoryBuf>, pool: &Pool) -> Self {
        let counters = Arc::new(WorkerCounters::default());
        let capabilities = Capabilities {
            mac: config.ports[0].mac.0,
            mtu: config.ports[0].mtu,
            rx_ip_udp_checksum: false,
            tx_ip_udp_checksum: config.ports[0].checksums.transmit_offload,
        };
        let (io, cable) = MemoryIo::new(capabilities, pool);
        let engine = Engine::new(config, Arc::clone(&counters)).unwrap();
        let (commands, worker_commands) = RingBuffer::new(64);
        let (worker_events, events) = RingBuffer::new(64);
        let parts = Parts {
            io,
            engine,
            commands: worker_commands,
            events: worker_events,
            handover,
            counters: Arc::clone(&counters),
        };
        let (clips, worker_clips) = RingBuffer::new(4);
        let (sources, worker_sources) = RingBuffer::new(4);
        let (worker_taps, taps) = RingBuffer::new(TAP_OCTETS);
        let worker = Worker::new(parts).with_functions(FunctionEnds {
            clips: worker_clips,
            sources: worker_sources,
            taps: worker_taps,
        });
        Self { worker, cable, commands, events, clips, sources, taps, counters, now: Nanos(1), answers_arp: true }
    }

    /// One round, `POLL_NS` after the last.
    pub fn poll(&mut self) {
        self.now = self.now.plus(POLL_NS);
        self.worker.poll(self.now);
    }

    /// Rounds until nothing is under way; ARP requests are answered as the two endpoints would. Returns the other frames.
    pub fn settle(&mut self) -> Vec<Vec<u8>> {
        let mut sent = Vec::new();
        let mut quiet = 0;
        while quiet < 2 {
            self.poll();
            quiet += 1;
            while let Some(frame) = self.cable.take() {
                quiet = 0;
                match self.arp_answer(&frame) {
                    Some(reply) if self.answers_arp => self.cable.put(&reply),
                    _ => sent.push(frame),
                }
            }
            if self.cable.waiting() > 0 {
                quiet = 0;
            }
        }
        sent
    }

    pub fn arp_answer(&self, request: &[u8]) -> Option<Vec<u8>> {
        let target: [u8; 4] = request.get(38..42)?.try_into().ok()?;
        let mac = match Ipv4Addr::from(target) {
            ip if ip == *CALLER.ip() => CALLER_MAC,
            ip if ip == *CALLEE.ip() => CALLEE_MAC,
            _ => return None,
        };
        arp_reply_frame(request, mac)
    }

    /// Gives a command and returns its answer.
    pub fn command(&mut self, command: Command) -> Event {
        self.commands.push(command).unwrap();
        self.poll();
        self.events.pop().unwrap()
    }

    /// Installs flow 0 between caller and callee, with its neighbours resolved.
    pub fn install(&mut self, legs: [LegConfig; 2]) {
        self.install_at(0, legs);
    }

    pub fn install_at(&mut self, slot: u32, legs: [LegConfig; 2]) {
        let command = Command::InstallFlow { flow: flow(slot), epoch: Epoch(1), legs };
        assert_eq!(self.command(command), Event::Installed { flow: flow(slot), epoch: Epoch(1) });
        self.settle();
    }

    /// All events that wait.
    pub fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.events.pop().ok()).collect()
    }

    /// Lets time pass in steps of a millisecond.
    pub fn pass_ms(&mut self, ms: u64) {
        for _ in 0..ms {
            self.now = self.now.plus(1_000_000);
            self.worker.poll(self.now);
        }
    }

    pub fn drops(&self, reason: DropReason) -> u64 {
        self.counters.drops_of(reason)
    }

    pub fn all_drops(&self) -> u64 {
        DropReason::ALL.iter().map(|reason| self.drops(*reason)).sum()
    }

    /// The one RTP packet that `endpoint` gets for `frame`.
    pub fn exchange(&mut self, frame: &[u8], endpoint: &Endpoint) -> Received {
        self.cable.put(frame);
        let sent = self.settle();
        assert_eq!(sent.len(), 1, "drops: {:?}", self.drop_names());
        endpoint.receive(&sent[0]).unwrap()
    }

    pub fn drop_names(&self) -> Vec<(&'static str, u64)> {
        DropReason::ALL.iter().map(|r| (r.label(), self.drops(*r))).filter(|(_, n)| *n > 0).collect()
    }
}

pub fn flow(slot: u32) -> FlowId {
    FlowId { slot, generation: 1 }
}

pub fn format(codec: Codec) -> Format {
    let payload_type = codec.static_payload_type().unwrap_or(PayloadType::new(111).unwrap());
    Format { telephone_event: PayloadType::new(101), ..Format::new(codec, payload_type) }
}

/// A leg on port `10_000 + 2 * index`.
pub fn leg(index: u16, remote: SocketAddrV4, codec: Codec) -> LegConfig {
    LegConfig {
        remote: Some(remote.into()),
        format: Some(format(codec)),
        direction: Direction::SendRecv,
        ssrc: 0x5500_0000 + u32::from(index),
        first_sequence: 100 + index,
        first_timestamp: 50_000 + u32::from(index),
        ..LegConfig::new(SocketAddr::new(GATEWAY_IP.into(), 10_000 + 2 * index))
    }
}

/// Caller with `a`, callee with `b`.
pub fn legs(a: Codec, b: Codec) -> [LegConfig; 2] {
    [leg(0, CALLER, a), leg(1, CALLEE, b)]
}

/// As [`legs`] for one of many flows: ports of its own on both sides.
pub fn legs_at(slot: u16, a: Codec, b: Codec) -> [LegConfig; 2] {
    let remote = |base: SocketAddrV4| SocketAddrV4::new(*base.ip(), base.port() + 2 * slot);
    [leg(2 * slot, remote(CALLER), a), leg(2 * slot + 1, remote(CALLEE), b)]
}

/// The caller of one of many flows.
pub fn caller_at(slot: u16, codec: Codec) -> Endpoint {
    let mut endpoint = caller(codec);
    endpoint.local.set_port(CALLER.port() + 2 * slot);
    endpoint.peer.set_port(10_000 + 4 * slot);
    endpoint
}

/// The callee of one of many flows.
pub fn callee_at(slot: u16, codec: Codec) -> Endpoint {
    let mut endpoint = callee(codec);
    endpoint.local.set_port(CALLEE.port() + 2 * slot);
    endpoint.peer.set_port(10_002 + 4 * slot);
    endpoint
}

pub fn caller(codec: Codec) -> Endpoint {
    Endpoint {
        mac: CALLER_MAC,
        local: CALLER,
        peer_mac: GATEWAY_MAC,
        peer: SocketAddrV4::new(GATEWAY_IP, 10_000),
        payload_type: format(codec).payload_type.get(),
        sequence: 65_530,
        timestamp: 0xffff_fe00,
        ssrc: 0xca11,
        marker: true,
    }
}

pub fn callee(codec: Codec) -> Endpoint {
    Endpoint {
        mac: CALLEE_MAC,
        local: CALLEE,
        peer: SocketAddrV4::new(GATEWAY_IP, 10_002),
        sequence: 7,
        timestamp: 77,
        ssrc: 0xca12,
        ..caller(codec)
    }
}
