//! A flow that another worker had goes on: no number is used twice, nothing that was learned is learned again.

#![allow(clippy::unwrap_used, reason = "helpers of tests say what they expect, as tests do")]

mod rig;

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use rig::*;
use tandem_contract::{
    ClipId, Codec, Command, CryptoSuite, DropReason, Epoch, Event, Fence, Function, Learning, LegConfig, LegCounters,
    LegCrypto, LegPosition, LegSide, LocalAddress, MasterKey, Refusal, SentPosition, SourcePolicy, SrtpPosition,
};
use tandem_media::EngineConfig;
use tandem_srtp::{Receiver, Sender};
use tandem_testkit::Endpoint;
use tandem_wire::ethernet::Ethernet;
use tandem_wire::ipv4::Ipv4;
use tandem_wire::udp::Udp;

fn payload_of(frame: &[u8]) -> Vec<u8> {
    let ip = Ipv4::parse(Ethernet::parse(frame).unwrap().payload()).unwrap();
    Udp::parse(ip.payload()).unwrap().payload().to_vec()
}

fn key(suite: CryptoSuite, seed: u8) -> MasterKey {
    MasterKey::new(suite, &vec![seed; suite.key_and_salt_len()]).unwrap()
}

/// A caller that speaks SRTP, and remembers the index of every packet it opened.
struct Caller {
    endpoint: Endpoint,
    sender: Sender,
    receiver: Receiver,
    opened: BTreeSet<u64>,
}

impl Caller {
    fn send(&mut self) -> Vec<u8> {
        let mut packet = payload_of(&self.endpoint.send(&[0x55; 160], 160));
        let len = packet.len();
        packet.resize(len + self.sender.suite().tag_len(), 0);
        self.sender.protect(&mut packet, len).unwrap();
        self.endpoint.datagram(&packet)
    }

    /// Opens what came; its sequence number and timestamp.
    fn hear(&mut self, frame: &[u8]) -> (u16, u32) {
        let mut packet = payload_of(frame);
        self.receiver.unprotect(&mut packet).expect("it is authentic, and no replay");
        let number = |at: usize| u32::from_be_bytes(packet[at..at + 4].try_into().unwrap());
        let index = self.receiver.newest_index(number(8)).unwrap();
        assert!(self.opened.insert(index), "index {index} was used before");
        ((number(0) & 0xffff) as u16, number(4))
    }
}

fn read(rig: &mut Rig) -> [LegPosition; 2] {
    rig.events();
    match rig.command(Command::ReadPosition { flow: flow(0) }) {
        Event::Position { flow: of, legs } if of == flow(0) => legs,
        other => panic!("{other:?}"),
    }
}

fn resume(rig: &mut Rig, legs: [LegConfig; 2], read: [LegPosition; 2], age_ms: u64) {
    let positions = [0, 1].map(|leg| {
        let config = &legs[leg];
        let first = SentPosition { sequence: config.first_sequence, timestamp: config.first_timestamp };
        read[leg].ahead(age_ms, config.format.as_ref(), first)
    });
    let command = Command::ResumeFlow { flow: flow(0), epoch: Epoch(3), legs, positions };
    assert_eq!(rig.command(command), Event::Installed { flow: flow(0), epoch: Epoch(3) });
    rig.settle();
}

#[test]
fn a_secure_leg_goes_on_under_its_key_and_never_uses_an_index_twice() {
    for suite in [CryptoSuite::AesCm128HmacSha1_80, CryptoSuite::AeadAes256Gcm] {
        let keys = LegCrypto { send: key(suite, 1), receive: key(suite, 2) };
        let [a, b] = legs(Codec::Pcmu, Codec::G722);
        // Both roll over after ten packets: from then on no packet tells its roll-over counter.
        let legs = [LegConfig { crypto: Some(keys), first_sequence: 65_526, ..a }, b];
        let mut endpoint = caller(Codec::Pcmu);
        endpoint.sequence = 65_526;
        let (sender, receiver) = (Sender::new(&keys.receive, endpoint.ssrc), Receiver::new(&keys.send));
        let mut caller = Caller { endpoint, sender, receiver, opened: BTreeSet::new() };
        let mut callee = callee(Codec::G722);
        let mut first = Rig::new();
        first.install(legs);
        let mut exchange = |rig: &mut Rig, caller: &mut Caller| {
            rig.cable.put(&caller.send());
            assert_eq!(rig.settle().len(), 1, "{:?}", rig.drop_names());
            rig.cable.put(&callee.send(&[0x12; 160], 160));
            let sent = rig.settle();
            assert_eq!(sent.len(), 1, "{:?}", rig.drop_names());
            caller.hear(&sent[0])
        };
        for _ in 0..30 {
            exchange(&mut first, &mut caller);
        }
        let position = read(&mut first);
        assert_eq!(position[0].srtp.unwrap().sent.unwrap() >> 16, 1, "it has rolled over");
        // What the position does not know of any more.
        let last = (0..40).map(|_| exchange(&mut first, &mut caller)).last().unwrap();
        let mut second = Rig::new();
        resume(&mut second, legs, position, 800);
        let next = exchange(&mut second, &mut caller);
        assert!((1..3_000).contains(&next.0.wrapping_sub(last.0)), "{suite:?}: a gap, not a restart");
        let ticks = next.1.wrapping_sub(last.1);
        assert!((1..16_000).contains(&ticks), "{suite:?}: {ticks} ticks");
        for _ in 0..10 {
            exchange(&mut second, &mut caller);
        }
        let [a, _] = read(&mut second);
        assert_eq!(a.counters.packets_received, 30 + 11, "counting goes on after the position");
        assert_eq!(a.counters.packets_sent, 30 + 11);
        assert_eq!(second.all_drops(), 0, "{:?}", second.drop_names());
    }
}

#[test]
fn what_was_learned_is_where_media_goes_before_anybody_has_spoken() {
    let mut legs = legs(Codec::Pcmu, Codec::Pcma);
    legs[0].source = SourcePolicy::new(Learning::Immediate);
    let mut behind_nat = caller(Codec::Pcmu);
    behind_nat.local.set_port(41_000);
    let mut first = Rig::new();
    first.install(legs);
    first.exchange(&behind_nat.send(&[1; 160], 160), &callee(Codec::Pcma));
    let position = read(&mut first);
    assert_eq!(position[0].learned, Some(behind_nat.local.into()));
    assert_eq!(position[1].learned, None, "nothing is learned there");
    let mut second = Rig::new();
    resume(&mut second, legs, position, 100);
    second.cable.put(&callee(Codec::Pcma).send(&[2; 160], 160));
    let sent = second.settle();
    assert!(behind_nat.receive(&sent[0]).is_ok());
}

#[test]
fn reading_a_position_disturbs_nothing_and_of_an_unknown_flow_there_is_none() {
    let mut rig = Rig::new();
    assert_eq!(read(&mut rig), [LegPosition::default(); 2]);
    rig.install(legs(Codec::Pcmu, Codec::G722));
    let mut caller = caller(Codec::Pcmu);
    let callee = callee(Codec::G722);
    let one = rig.exchange(&caller.send(&[1; 160], 160), &callee);
    let [_, b] = read(&mut rig);
    assert_eq!(b.sent.map(|sent| sent.sequence), Some(one.sequence));
    let two = rig.exchange(&caller.send(&[1; 160], 160), &callee);
    assert_eq!((two.sequence, two.timestamp), (one.sequence.wrapping_add(1), one.timestamp.wrapping_add(160)));
    assert_eq!(rig.counters.frames_unaccounted(), 0);
}

#[test]
fn a_flow_that_goes_on_elsewhere_is_let_go_of_without_goodbye() {
    let mut config = engine_config();
    config.report_interval_ms = 5_000;
    let mut rig = Rig::with(&config, tandem_worker::HandoverEnds::alone(), &tandem_testkit::Pool::new(256));
    rig.install(legs(Codec::Pcmu, Codec::Pcma));
    rig.exchange(&caller(Codec::Pcmu).send(&[1; 160], 160), &callee(Codec::Pcma));
    rig.events();
    assert!(matches!(rig.command(Command::AbandonFlow { flow: flow(0) }), Event::Removed { .. }));
    assert!(rig.settle().is_empty(), "nobody is told");
    assert_eq!(rig.counters.flows.get(), 0);
    rig.install(legs(Codec::Pcmu, Codec::Pcma));
}

#[test]
fn a_worker_that_was_stopped_until_its_permit_ran_out_sends_nothing_and_counts_what_it_did_not_send() {
    let fence = Arc::new(Fence::lifted());
    let rig = Rig::new();
    let mut rig = Rig { worker: rig.worker.with_fence(Arc::clone(&fence)), ..rig };
    rig.install(legs(Codec::Pcmu, Codec::Pcmu));
    let mut caller = caller(Codec::Pcmu);
    fence.permit(rig.now.plus(1_000_000_000));
    rig.cable.put(&caller.send(&[0x55; 160], 160));
    assert_eq!(rig.settle().len(), 1);
    // The process stands still; frames wait in the device.
    rig.now = rig.now.plus(2_000_000_000);
    for _ in 0..3 {
        rig.cable.put(&caller.send(&[0x55; 160], 160));
    }
    assert_eq!(rig.settle().len(), 0);
    assert_eq!(rig.drops(DropReason::NotPermitted), 3, "{:?}", rig.drop_names());
    fence.lift();
    rig.cable.put(&caller.send(&[0x55; 160], 160));
    assert_eq!(rig.settle().len(), 1);
}

/// Where media will be once the other node is gone.
const FLOATING: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 77);

fn floating(legs: [LegConfig; 2]) -> [LegConfig; 2] {
    legs.map(|leg| LegConfig { local: SocketAddr::new(FLOATING.into(), leg.local.port()), ..leg })
}

fn prepare(rig: &mut Rig, legs: [LegConfig; 2]) {
    let command = Command::PrepareFlow { flow: flow(0), epoch: Epoch(1), legs };
    assert_eq!(rig.command(command), Event::Installed { flow: flow(0), epoch: Epoch(1) });
}

fn add_floating(rig: &mut Rig) {
    let local = LocalAddress { address: FLOATING.into(), prefix_len: 24, gateway: None };
    assert_eq!(rig.command(Command::AddAddress { request: 1, port: 0, local }), Event::AddressAdded { request: 1 });
}

#[test]
fn a_flow_that_another_node_has_is_at_hand_and_nothing_is_heard_or_said_for_it() {
    let config = EngineConfig { report_interval_ms: 500, ..engine_config() };
    let mut rig = Rig::with(&config, tandem_worker::HandoverEnds::alone(), &tandem_testkit::Pool::new(256));
    rig.settle();
    let held = |leg: LegConfig| LegConfig { held: true, ..leg };
    prepare(&mut rig, floating(legs(Codec::Pcmu, Codec::G722).map(held)));
    let mut caller = caller(Codec::Pcmu);
    caller.peer.set_ip(FLOATING);
    rig.cable.put(&caller.send(&[1; 160], 160));
    rig.pass_ms(7_000);
    assert_eq!(rig.drops(DropReason::NotOurAddress), 1, "{:?}", rig.drop_names());
    add_floating(&mut rig);
    rig.cable.put(&caller.send(&[1; 160], 160));
    rig.pass_ms(7_000);
    assert_eq!(rig.drops(DropReason::NotPermitted), 1, "{:?}", rig.drop_names());
    assert_eq!((rig.settle().len(), rig.events(), rig.counters.flows.get()), (0, vec![], 0));
    let update = Command::UpdateFlow { flow: flow(0), epoch: Epoch(9), legs: floating(legs(Codec::Pcmu, Codec::G722)) };
    assert!(matches!(rig.command(update), Event::Refused { reason: Refusal::UnknownFlow, .. }));
    let play = Function::Play { leg: LegSide::A, clip: ClipId(0), repeat: true };
    let played = rig.command(Command::Function { flow: flow(0), request: 1, function: play });
    assert!(matches!(played, Event::FunctionDone { outcome: Err(Refusal::UnknownFlow), .. }), "{played:?}");
    assert!(matches!(rig.command(Command::AbandonFlow { flow: flow(0) }), Event::Removed { .. }));
    rig.install(floating(legs(Codec::Pcmu, Codec::G722)));
    assert_eq!(rig.counters.flows.get(), 1);
}

#[test]
fn a_flow_that_is_at_hand_goes_on_as_one_that_is_not() {
    let keys = |seed| {
        let suite = CryptoSuite::AesCm128HmacSha1_80;
        Some(LegCrypto { send: key(suite, seed), receive: key(suite, seed + 1) })
    };
    let [a, b] = floating(legs(Codec::Pcmu, Codec::G722));
    let now = [LegConfig { crypto: keys(1), ..a }, b];
    let elsewhere = [LegConfig { local: SocketAddr::new(FLOATING.into(), 10_020), ..a }, b];
    let [_, other_codec] = floating(legs(Codec::Pcmu, Codec::Pcma));
    for before in [now, elsewhere, [LegConfig { crypto: keys(3), ..a }, b], [now[0], other_codec]] {
        let sent = |at_hand: Option<[LegConfig; 2]>| {
            let mut rig = Rig::new();
            rig.settle();
            if let Some(before) = at_hand {
                prepare(&mut rig, elsewhere);
                prepare(&mut rig, before);
            }
            let position = LegPosition {
                sent: Some(SentPosition { sequence: 65_500, timestamp: 9 }),
                srtp: Some(SrtpPosition { sent: Some(0x1_ffdc), ..Default::default() }),
                counters: LegCounters { packets_received: 5, packets_sent: 6, ..Default::default() },
                ..LegPosition::default()
            };
            let command = Command::ResumeFlow { flow: flow(0), epoch: Epoch(2), legs: now, positions: [position; 2] };
            if at_hand.is_some() {
                let refused = rig.command(command);
                assert!(matches!(refused, Event::Refused { reason: Refusal::LocalAddressNotOurs, .. }), "{refused:?}");
            }
            add_floating(&mut rig);
            assert_eq!(rig.command(command), Event::Installed { flow: flow(0), epoch: Epoch(2) });
            rig.settle();
            assert_eq!(rig.counters.flows.get(), 1);
            let mut callee = callee(Codec::G722);
            callee.peer.set_ip(FLOATING);
            let mut hear = |n| {
                rig.cable.put(&callee.send(&[n; 160], 160));
                let heard = rig.settle();
                assert_eq!(heard.len(), 1, "{:?}", rig.drop_names());
                // All but what the time of this rig goes into.
                payload_of(&heard[0])[..4].to_vec()
            };
            let packets: Vec<_> = (0..40).map(&mut hear).collect();
            (packets, read(&mut rig)[1].counters)
        };
        assert_eq!(sent(Some(before)), sent(None));
    }
}
