//! Where the time of a round goes: each nanosecond of work under one stage.

mod rig;

use std::sync::Arc;

use rig::{CALLEE, CALLER, GATEWAY_MAC, caller, engine_config, flow, leg};
use rtrb::RingBuffer;
use tandem_contract::{Codec, Command, Epoch, Stage, WorkerCounters};
use tandem_media::Engine;
use tandem_packet_io::{Burst, Capabilities, PacketIo};
use tandem_testkit::{MemoryBuf, MemoryIo, Pool, arp_reply_frame};
use tandem_worker::{Clock, HandoverEnds, Parts, TscClock, Worker};

const RECEIVE_NS: u64 = 100;
const SEND_NS: u64 = 300;

/// A device that takes time for what it does.
struct Slow {
    io: MemoryIo,
    clock: Arc<quanta::Mock>,
}

impl PacketIo for Slow {
    type Buf = MemoryBuf;

    fn rx_burst(&mut self, into: &mut Burst<MemoryBuf>) {
        self.io.rx_burst(into);
        self.clock.increment(RECEIVE_NS * into.len() as u64);
    }

    fn tx_burst(&mut self, from: &mut Burst<MemoryBuf>) {
        self.clock.increment(SEND_NS * from.len() as u64);
        self.io.tx_burst(from);
    }

    fn allocate(&mut self) -> Option<MemoryBuf> {
        self.io.allocate()
    }

    fn capabilities(&self) -> Capabilities {
        self.io.capabilities()
    }
}

#[test]
fn time_is_counted_under_the_stage_that_took_it_and_adds_up_to_the_busy_time() {
    let (clock, mock) = quanta::Clock::mock();
    mock.increment(1_u64);
    let mut clock = TscClock::from(clock);
    let capabilities =
        Capabilities { mac: GATEWAY_MAC.0, mtu: 1500, rx_ip_udp_checksum: false, tx_ip_udp_checksum: false };
    let (io, cable) = MemoryIo::new(capabilities, &Pool::new(64));
    let counters = Arc::new(WorkerCounters::default());
    let engine = Engine::new(&engine_config(), Arc::clone(&counters)).unwrap();
    let (mut commands, worker_commands) = RingBuffer::new(4);
    let (worker_events, _events) = RingBuffer::new(4);
    let mut worker = Worker::new(Parts {
        io: Slow { io, clock: Arc::clone(&mock) },
        engine,
        commands: worker_commands,
        events: worker_events,
        handover: HandoverEnds::alone(),
        counters: Arc::clone(&counters),
    })
    .with_stage_times(clock.clone());

    let legs = [leg(0, CALLER, Codec::Pcmu), leg(1, CALLEE, Codec::G722)];
    commands.push(Command::InstallFlow { flow: flow(0), epoch: Epoch(1), legs }).unwrap();
    worker.poll(clock.now());
    while let Some(request) = cable.take() {
        if let Some(reply) = arp_reply_frame(&request, rig::CALLEE_MAC) {
            cable.put(&reply);
        }
    }
    worker.poll(clock.now());
    let mut endpoint = caller(Codec::Pcmu);
    for _ in 0..3 {
        cable.put(&endpoint.send(&[0x55; 160], 160));
    }
    for _ in 0..4 {
        worker.poll(clock.now());
    }
    assert_eq!(counters.rtp_forwarded.get(), 3);
    assert_eq!(counters.commands_ring.most.get(), 0, "a command is taken before anyone looks how many wait");
    let of = |stage| counters.stage_ns.of(stage);
    assert_eq!(of(Stage::Receive), RECEIVE_NS * counters.frames_received.get());
    assert_eq!(of(Stage::Transmit), SEND_NS * counters.frames_sent.get());
    assert_eq!(Stage::ALL.iter().map(|stage| of(*stage)).sum::<u64>(), counters.busy_ns.get());
}
