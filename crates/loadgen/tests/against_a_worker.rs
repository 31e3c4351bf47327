//! The source against a gateway's worker, both under one virtual clock, with a cable between them that a test can cut.
#![allow(missing_docs, clippy::unwrap_used)]

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;

use tandem_codec::Level;
use tandem_contract::{Command, Direction, Epoch, Event, FlowId, Format, LegConfig, LegCrypto, Nanos, WorkerCounters};
use tandem_loadgen::{
    Engine, EnginePort, GiveUp, LoadOutcome, LoadSpec, Plan, RemoteLeg, SourceNetwork, VoidReason, resolve,
};
use tandem_media::{EngineConfig, LocalAddress};
use tandem_packet_io::{Burst, Capabilities, PacketIo};
use tandem_testkit::{Cable, MemoryIo, Pool};
use tandem_wire::ethernet::MacAddress;
use tandem_worker::{HandoverEnds, Parts, Worker};

const GATEWAY: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2)];
const SOURCE: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 0, 0, 11), Ipv4Addr::new(10, 0, 0, 12)];
const CALLS: u32 = 30;
const STEP_NS: u64 = 100_000;

fn capabilities(last: u8) -> Capabilities {
    Capabilities { mac: [2, 0, 0, 0, 0, last], mtu: 1_500, rx_ip_udp_checksum: false, tx_ip_udp_checksum: false }
}

/// Where a flow's leg is on the gateway: as many on one address as on the other.
fn gateway_leg(flow: u32, side: u32) -> SocketAddrV4 {
    SocketAddrV4::new(GATEWAY[(flow % 2) as usize], (20_000 + 4 * flow + 2 * side) as u16)
}

struct Run {
    spec: LoadSpec,
    /// What happens to a frame on the way back from the gateway; `false` when it vanishes.
    tamper: fn(number: u64, frame: &mut Vec<u8>) -> bool,
    /// When the source stands still, and for how many milliseconds.
    stall_ms: Option<(u64, u64)>,
    /// It works meanwhile; otherwise something else has its core.
    stall_is_work: bool,
    stop_after_ms: Option<u64>,
}

impl Run {
    fn of(mix: &str) -> Self {
        let spec = LoadSpec { warm_up_ms: 300, ..LoadSpec::new(mix.parse().unwrap(), CALLS, 1) };
        Self { spec, tamper: |_, _| true, stall_ms: None, stall_is_work: false, stop_after_ms: None }
    }

    fn outcome(mut self) -> LoadOutcome {
        let network = SourceNetwork { addresses: SOURCE.to_vec(), ports: [30_000, 30_080] };
        let plan = Plan::new(&self.spec, &network).unwrap();
        let pool = Pool::new(8_192);
        let (mut source_io, source) = MemoryIo::new(capabilities(2), &pool);
        let (gateway_io, gateway) = MemoryIo::new(capabilities(1), &pool);
        let mut now = Nanos::from_millis(1_000);
        let addresses = GATEWAY.map(|address| LocalAddress { address: address.into(), prefix_len: 24, gateway: None });
        let config = EngineConfig::new(MacAddress(capabilities(1).mac), addresses.to_vec(), 20_000..=30_000);
        let counters = Arc::new(WorkerCounters::default());
        let engine = tandem_media::Engine::new(&config, counters.clone()).unwrap();
        let (mut commands_in, commands) = rtrb::RingBuffer::new(64);
        let (events, mut events_out) = rtrb::RingBuffer::new(64);
        let mut worker =
            Worker::new(Parts { io: gateway_io, engine, commands, events, handover: HandoverEnds::alone(), counters });
        // The source's side of each leg; the gateway's is the other way round.
        let mut keys = Vec::new();
        for (call, slot) in plan.calls().zip(0..) {
            let own = [0, 1].map(|side| call.keys(side));
            keys.push(own);
            let leg = |side: usize| {
                let codec = call.kind.legs[side].codec.contract();
                let format = Format::new(codec, codec.static_payload_type().unwrap());
                LegConfig {
                    remote: Some(SocketAddr::V4(call.local[side])),
                    format: Some(Format { ptime_ms: call.kind.legs[side].ptime_ms, ..format }),
                    crypto: own[side].map(|own| LegCrypto { send: own.receive, receive: own.send }),
                    direction: Direction::SendRecv,
                    ssrc: 0x7000_0000 + 2 * slot + side as u32,
                    first_sequence: 65_530,
                    first_timestamp: u32::MAX - 1_000,
                    ..LegConfig::new(gateway_leg(slot, side as u32).into())
                }
            };
            let flow = FlowId { slot, generation: 1 };
            commands_in.push(Command::InstallFlow { flow, epoch: Epoch(1), legs: [leg(0), leg(1)] }).unwrap();
            worker.poll(now);
            assert!(matches!(events_out.pop(), Ok(Event::Installed { .. })));
        }

        let macs = {
            let mut clock = || {
                now = now.plus(STEP_NS);
                worker.poll(now);
                while events_out.pop().is_ok() {}
                carry(&source, &gateway, |_| true);
                now
            };
            resolve(&mut source_io, &mut clock, &SOURCE, &GATEWAY).unwrap()
        };
        assert_eq!(macs[&GATEWAY[1]], MacAddress(capabilities(1).mac));
        let remote = |flow: u32, side: u32| RemoteLeg {
            address: gateway_leg(flow, side),
            crypto: keys[flow as usize][side as usize],
        };
        let remotes: Vec<_> = (0..CALLS).map(|flow| [remote(flow, 0), remote(flow, 1)]).collect();
        let port =
            EnginePort { mac: MacAddress(capabilities(2).mac), macs, receive_room: 1_024, lateness_ns: 1_000_000 };
        let mut engine = Engine::new(Level::detect(), &plan, &remotes, port).unwrap();
        let began = now;
        engine.start(now);
        let (mut frames, mut seconds, mut number, mut ran_ns) = (Burst::new(), 0, 0, 0);
        while !engine.is_over(now) {
            let round_began = now;
            now = now.plus(STEP_NS);
            ran_ns += STEP_NS;
            let ran_ms = (now.0 - began.0) / 1_000_000;
            if let Some((at, for_ms)) = self.stall_ms
                && ran_ms == at
            {
                self.stall_ms = None;
                now = now.plus(for_ms * 1_000_000);
                ran_ns += if self.stall_is_work { for_ms * 1_000_000 } else { 0 };
            }
            engine.round(round_began, now, || Some(ran_ns));
            if self.stop_after_ms.is_some_and(|stop| ran_ms > stop) {
                engine.end_early();
            }
            loop {
                source_io.rx_burst(&mut frames);
                if !engine.receive(now, &mut frames, &mut source_io) {
                    break;
                }
            }
            while engine.prepare(now, &mut source_io) {
                engine.depart(now, &mut source_io);
            }
            seconds += u32::from(engine.progress(now).is_some());
            // What the source sent is there at once; what the gateway sends is there in the next step.
            carry(&source, &gateway, |_| true);
            // More than once: a burst is 32 frames.
            (0..4).for_each(|_| worker.poll(now));
            while events_out.pop().is_ok() {}
            carry(&source, &gateway, |frame| {
                number += 1;
                (self.tamper)(number, frame)
            });
        }
        assert!(self.stop_after_ms.is_some() || seconds >= 1);
        engine.outcome(now, 0)
    }
}

/// Carries what both ends have sent.
fn carry(source: &Cable, gateway: &Cable, mut tamper: impl FnMut(&mut Vec<u8>) -> bool) {
    while let Some(frame) = source.take() {
        gateway.put(&frame);
    }
    while let Some(mut frame) = gateway.take() {
        if tamper(&mut frame) {
            source.put(&frame);
        }
    }
}

#[test]
fn every_packet_of_every_kind_of_call_comes_back_as_it_should() {
    for mix in [
        "pcmu-pcmu",
        "pcmu-pcma",
        "pcma-g722",
        "pcmu-g729",
        "g722-g729",
        "3*pcmu@20-pcma@40,2*g729@10-pcmu@60,pcma@30-g722@20",
        "pcmu+srtp-pcmu+srtp",
        "pcmu+srtp-pcma,g722+gcm-g729@40,pcma+gcm-pcma+srtp",
    ] {
        let outcome = Run::of(mix).outcome();
        assert_eq!(outcome.void, [], "{mix}");
        assert_eq!((outcome.lost(), outcome.calls.one_way, outcome.calls.with_loss), (0, 0, 0), "{mix}");
        for direction in outcome.directions {
            assert_eq!((direction.wrong_audio, direction.duplicated, direction.reordered), (0, 0, 0), "{mix}");
            assert_eq!(direction.sent, direction.received, "{mix}");
            assert!(direction.checked > direction.received, "{mix}: of the warm-up too");
        }
        assert_eq!(outcome.latency.count(), outcome.sent());
        if !mix.contains('@') {
            assert_eq!(outcome.sent(), u64::from(CALLS) * 2 * 50);
            assert!((90_000..=1_500_000).contains(&outcome.latency.max_ns()), "{mix}: {}", outcome.latency.max_ns());
        }
    }
}

#[test]
fn a_packet_that_vanishes_is_one_lost_packet_of_one_call() {
    let outcome = Run { tamper: |number, _| number != 1_500, ..Run::of("pcmu-pcma") }.outcome();
    assert_eq!((outcome.lost(), outcome.calls.with_loss), (1, 1));
    assert_eq!(outcome.directions.iter().map(|direction| direction.wrong_audio).sum::<u64>(), 0);
    assert!(!outcome.is_void());
}

#[test]
fn the_first_packets_of_streams_may_be_lost_and_the_rest_is_recognised() {
    let outcome = Run { tamper: |number, _| number > 100, ..Run::of("pcmu-pcma") }.outcome();
    assert_eq!((outcome.lost(), outcome.calls.wrong_audio), (0, 0), "they were lost in the warm-up");
}

#[test]
fn one_octet_that_changed_is_wrong_audio_of_one_call() {
    for mix in ["pcmu-pcmu", "g722-g729"] {
        let tamper = |number, frame: &mut Vec<u8>| {
            if number == 2_000 {
                *frame.last_mut().unwrap() ^= 0x10;
            }
            true
        };
        let outcome = Run { tamper, ..Run::of(mix) }.outcome();
        assert_eq!((outcome.lost(), outcome.calls.wrong_audio), (0, 1), "{mix}");
        assert_eq!(outcome.directions.iter().map(|direction| direction.wrong_audio).sum::<u64>(), 1, "{mix}");
    }
}

#[test]
fn silence_from_the_gateway_is_loss_of_everything_and_one_way() {
    let outcome = Run { tamper: |_, _| false, ..Run::of("pcmu-pcma") }.outcome();
    assert_eq!(outcome.lost(), outcome.sent());
    assert_eq!((outcome.calls.one_way, outcome.calls.with_loss), (CALLS, CALLS));
}

#[test]
fn a_source_that_stood_still_is_void() {
    let outcome = Run { stall_ms: Some((700, 30)), ..Run::of("pcmu-pcma") }.outcome();
    let late = outcome.void.iter().any(|reason| matches!(reason, VoidReason::Late { worst_ns: 29_000_000.., .. }));
    assert!(late, "{:?}", outcome.void);
}

#[test]
fn a_source_whose_core_something_else_had_is_told_from_one_that_worked_for_too_long() {
    let stalled = |stall_is_work| Run { stall_ms: Some((700, 3)), stall_is_work, ..Run::of("pcmu-pcma") }.outcome();
    let stopped = stalled(false);
    assert!(stopped.is_void(), "by itself it is late either way");
    assert_eq!(stopped.timeline.stops().iter().map(|stop| stop.ns()).collect::<Vec<_>>(), [3_000_000]);
    let rest = stopped.timeline.undisturbed(&[]).unwrap();
    assert_eq!((rest.late, rest.packets + rest.left_out), (0, stopped.sent()));
    assert!((150..300).contains(&rest.left_out), "3 ms and 60 ms, at 3 packets a ms: {rest:?}");
    let worked = stalled(true);
    assert!(worked.is_void() && worked.timeline.stops().is_empty());
    assert!(worked.timeline.undisturbed(&[]).unwrap().late > 3);
}

#[test]
fn packets_that_are_withheld_are_not_held_against_the_gateway() {
    let mut run = Run::of("pcmu-pcma,pcmu-g729");
    run.spec.impairments.loss_percent = 20.0;
    run.spec.impairments.loss_burst = 2.0;
    run.spec.seconds = 2;
    let outcome = run.outcome();
    let withheld: u64 = outcome.directions.iter().map(|direction| direction.withheld).sum();
    let share = withheld as f64 / (withheld + outcome.sent()) as f64;
    assert!((0.15..0.25).contains(&share), "{share}");
    assert_eq!((outcome.lost(), outcome.calls.wrong_audio), (0, 0));
    assert!(outcome.directions[0].checked > 0);
}

#[test]
fn jitter_and_silence_lose_nothing() {
    let mut run = Run::of("pcmu-pcma");
    run.spec.impairments.jitter_ms = 45;
    run.spec.impairments.silence_percent = 40;
    run.spec.seconds = 4;
    let outcome = run.outcome();
    assert_eq!((outcome.lost(), outcome.calls.wrong_audio), (0, 0));
    assert!(outcome.directions[0].reordered > 0);
    let share = outcome.sent() as f64 / f64::from(CALLS * 2 * 50 * 4);
    assert!((0.45..0.75).contains(&share), "{share}");
    assert_eq!(outcome.void, []);
}

#[test]
fn a_run_whose_outcome_is_certain_ends_early_and_says_so() {
    let loses_all = |bounds| {
        let mut run = Run { tamper: |number, _| number % 10 != 0, ..Run::of("pcmu-pcma") };
        run.spec.seconds = 20;
        run.spec.give_up = Some(bounds);
        run.outcome()
    };
    let patient = GiveUp { lost: 1_000_000, slow: 1_000_000, slow_ns: 0 };
    let lost = loses_all(GiveUp { lost: 100, ..patient });
    assert!(lost.given_up && !lost.interrupted && lost.lost() > 100, "{}", lost.lost());
    assert!((1.0..5.0).contains(&lost.seconds), "{}", lost.seconds);
    let slow = loses_all(GiveUp { slow: 10, slow_ns: 50_000, ..patient });
    assert!(slow.given_up && slow.seconds < 5.0, "{}", slow.seconds);
}

#[test]
fn a_run_that_is_stopped_tells_what_it_measured() {
    let mut run = Run { stop_after_ms: Some(800), ..Run::of("pcmu-pcma") };
    run.spec.seconds = 60;
    let outcome = run.outcome();
    assert!(outcome.interrupted);
    assert!((0.4..0.6).contains(&outcome.seconds), "{}", outcome.seconds);
    assert_eq!((outcome.lost(), outcome.sent()), (0, (outcome.seconds * f64::from(CALLS) * 100.0).round() as u64));
}
