//! SRTP on the packet's way: opened before anything learns from it, sealed when all else is final.

#![allow(clippy::unwrap_used, reason = "helpers of tests say what they expect, as tests do")]

mod rig;

use rig::*;
use tandem_contract::{
    Codec, Command, CryptoSuite, DropReason, Epoch, Event, Learning, LegConfig, LegCrypto, MasterKey, Refusal,
    SourcePolicy,
};
use tandem_srtp::{Receiver, Sender};
use tandem_testkit::{Endpoint, Habits, Network, Pool, Received};
use tandem_wire::demux;
use tandem_wire::ethernet::Ethernet;
use tandem_wire::ipv4::Ipv4;
use tandem_wire::rtcp::Rtcp;
use tandem_wire::udp::Udp;
use tandem_worker::HandoverEnds;

fn key(suite: CryptoSuite, seed: u8) -> MasterKey {
    let octets: Vec<u8> =
        (0..suite.key_and_salt_len()).map(|at| seed.wrapping_mul(31).wrapping_add(at as u8)).collect();
    MasterKey::new(suite, &octets).unwrap()
}

/// Keys of a leg, from the gateway's side.
fn crypto(suite: CryptoSuite, seed: u8) -> LegCrypto {
    LegCrypto { send: key(suite, seed), receive: key(suite, seed + 1) }
}

fn payload_of(frame: &[u8]) -> Vec<u8> {
    let ip = Ipv4::parse(Ethernet::parse(frame).unwrap().payload()).unwrap();
    let udp = Udp::parse(ip.payload()).unwrap();
    assert!(udp.checksum_holds(ip.source().into(), ip.destination().into()));
    udp.payload().to_vec()
}

/// A peer that speaks SRTP.
struct Secure {
    endpoint: Endpoint,
    sender: Sender,
    receiver: Receiver,
}

impl Secure {
    fn new(endpoint: Endpoint, keys: &LegCrypto) -> Self {
        let (sender, receiver) = (Sender::new(&keys.receive, endpoint.ssrc), Receiver::new(&keys.send));
        Self { endpoint, sender, receiver }
    }

    fn seal(&mut self, frame: &[u8]) -> Vec<u8> {
        let mut packet = payload_of(frame);
        let len = packet.len();
        packet.resize(len + self.sender.suite().tag_len(), 0);
        self.sender.protect(&mut packet, len).unwrap();
        self.endpoint.datagram(&packet)
    }

    fn send(&mut self, payload: &[u8]) -> Vec<u8> {
        let frame = self.endpoint.send(payload, 160);
        self.seal(&frame)
    }

    /// Opens a frame and reads the RTP packet in it.
    fn receive(&mut self, frame: &[u8]) -> Received {
        let mut packet = payload_of(frame);
        let len = self.receiver.unprotect(&mut packet).unwrap();
        // The same frame, as it would have been without SRTP.
        let sender = Endpoint {
            mac: self.endpoint.peer_mac,
            peer_mac: self.endpoint.mac,
            local: self.endpoint.peer,
            peer: self.endpoint.local,
            ..self.endpoint.clone()
        };
        self.endpoint.receive(&sender.datagram(&packet[..len])).unwrap()
    }
}

fn speech(n: u32) -> Vec<u8> {
    (0..160_u32).map(|at| (at * 3 + n * 17) as u8 | 0x40).collect()
}

/// Legs of which A, or both, have keys.
fn secure_legs(codecs: (Codec, Codec), a: Option<LegCrypto>, b: Option<LegCrypto>) -> [LegConfig; 2] {
    let [leg_a, leg_b] = legs(codecs.0, codecs.1);
    [LegConfig { crypto: a, ..leg_a }, LegConfig { crypto: b, ..leg_b }]
}

#[test]
fn what_a_secure_leg_sends_and_gets_is_what_a_plain_one_would_in_every_suite_and_on_every_way() {
    for suite in CryptoSuite::ALL {
        for codecs in [(Codec::Pcmu, Codec::Pcmu), (Codec::Pcmu, Codec::Pcma), (Codec::Pcmu, Codec::G722)] {
            let (mut plain, mut secure) = (Rig::new(), Rig::new());
            plain.install(legs(codecs.0, codecs.1));
            let keys = crypto(suite, 1);
            secure.install(secure_legs(codecs, Some(keys), None));
            let (mut caller_plain, mut callee_plain) = (caller(codecs.0), callee(codecs.1));
            let (mut caller_secure, mut callee_beside) = (Secure::new(caller(codecs.0), &keys), callee(codecs.1));
            // Over the wrap of the caller's sequence number.
            for n in 0..20 {
                let speech = speech(n);
                let there = plain.exchange(&caller_plain.send(&speech, 160), &callee_plain);
                assert_eq!(
                    secure.exchange(&caller_secure.send(&speech), &callee_beside),
                    there,
                    "{suite:?} {codecs:?}"
                );
                let back = plain.exchange(&callee_plain.send(&speech, 160), &caller_plain);
                secure.cable.put(&callee_beside.send(&speech, 160));
                let sent = secure.settle();
                assert_eq!(sent.len(), 1, "{:?}", secure.drop_names());
                assert_eq!(caller_secure.receive(&sent[0]), back, "{suite:?} {codecs:?}");
            }
            assert_eq!(secure.all_drops(), 0);
            assert_eq!(secure.counters.frames_unaccounted(), 0);
        }
    }
}

#[test]
fn two_secure_legs_with_different_keys_and_suites_are_relayed() {
    let (a, b) = (crypto(CryptoSuite::AesCm128HmacSha1_80, 1), crypto(CryptoSuite::AeadAes256Gcm, 3));
    let mut rig = Rig::new();
    rig.install(secure_legs((Codec::G729, Codec::G729), Some(a), Some(b)));
    let mut caller = Secure::new(caller(Codec::G729), &a);
    let mut callee = Secure::new(callee(Codec::G729), &b);
    for n in 0..10 {
        rig.cable.put(&caller.send(&[n; 20]));
        let sent = rig.settle();
        assert_eq!(callee.receive(&sent[0]).payload, [n; 20]);
        rig.cable.put(&callee.send(&[n | 0x80; 20]));
        let sent = rig.settle();
        assert_eq!(caller.receive(&sent[0]).payload, [n | 0x80; 20]);
    }
}

#[test]
fn what_fails_authentication_never_latches_never_reaches_the_other_leg_and_is_named() {
    let keys = crypto(CryptoSuite::AesCm128HmacSha1_80, 1);
    let mut rig = Rig::new();
    let mut legs = secure_legs((Codec::Pcmu, Codec::G722), Some(keys), None);
    legs[0].source = SourcePolicy::new(Learning::Immediate);
    rig.install(legs);
    rig.events();
    let attacker = Endpoint { local: "10.0.0.99:4444".parse().unwrap(), ..caller(Codec::Pcmu) };
    let wrong_key = crypto(CryptoSuite::AesCm128HmacSha1_80, 7);
    let mut with_wrong_key = Secure::new(attacker.clone(), &wrong_key);
    for n in 0..5 {
        rig.cable.put(&attacker.clone().send(&speech(n), 160));
        rig.cable.put(&with_wrong_key.send(&speech(n)));
    }
    assert!(rig.settle().is_empty());
    assert_eq!(rig.drops(DropReason::SrtpForged), 10);
    assert!(rig.events().is_empty(), "no media started");
    // The callee's packets still go to the signalled address, not to the attacker.
    let mut caller = Secure::new(caller(Codec::Pcmu), &keys);
    rig.cable.put(&callee(Codec::G722).send(&speech(0), 160));
    caller.receive(&rig.settle()[0]);
    // And the caller's are taken, from the first on.
    let packet = caller.send(&speech(0));
    assert_eq!(rig.exchange(&packet, &callee(Codec::G722)).sequence, 101);
    // A true packet from elsewhere, sent again: not even that moves the leg.
    let mut replayed = packet.clone();
    replayed[26..30].copy_from_slice(&[10, 0, 0, 99]);
    replayed[24..26].fill(0);
    replayed[40..42].fill(0);
    let replayed = attacker.datagram(&payload_of_unchecked(&replayed));
    rig.cable.put(&replayed);
    assert!(rig.settle().is_empty());
    assert_eq!(rig.drops(DropReason::SrtpReplayed), 1);
    assert_eq!(rig.counters.frames_unaccounted(), 0);
}

/// A frame's payload, whatever its checksums say.
fn payload_of_unchecked(frame: &[u8]) -> Vec<u8> {
    frame[42..].to_vec()
}

#[test]
fn new_keys_in_the_middle_of_a_call_replace_the_old_ones_and_the_stream_goes_on() {
    let mut rig = Rig::new();
    let codecs = (Codec::Pcmu, Codec::Pcma);
    let first = crypto(CryptoSuite::AesCm128HmacSha1_80, 1);
    rig.install(secure_legs(codecs, Some(first), None));
    let callee = callee(Codec::Pcma);
    let mut caller = Secure::new(caller(Codec::Pcmu), &first);
    // Over the wrap, so that the roll-over counter is 1.
    let before = (0..12).map(|n| rig.exchange(&caller.send(&speech(n)), &callee).sequence).last().unwrap();
    let second = crypto(CryptoSuite::AeadAes128Gcm, 5);
    let update = |rig: &mut Rig, epoch, keys| {
        let legs = secure_legs(codecs, keys, None);
        rig.events();
        let event = rig.command(Command::UpdateFlow { flow: flow(0), epoch: Epoch(epoch), legs });
        assert_eq!(event, Event::Updated { flow: flow(0), epoch: Epoch(epoch) });
    };
    // The same keys again change nothing: a replay stays one.
    update(&mut rig, 2, Some(first));
    let packet = caller.send(&speech(20));
    assert_eq!(rig.exchange(&packet, &callee).sequence, before + 1);
    update(&mut rig, 3, Some(first));
    rig.cable.put(&packet);
    assert!(rig.settle().is_empty());
    assert_eq!(rig.drops(DropReason::SrtpReplayed), 1);
    update(&mut rig, 4, Some(second));
    rig.cable.put(&caller.send(&speech(21)));
    assert!(rig.settle().is_empty());
    assert_eq!(rig.drops(DropReason::SrtpForged), 1);
    caller.sender.rekey(&second.receive);
    // What the old key still protected is a gap.
    assert_eq!(rig.exchange(&caller.send(&speech(21)), &callee).sequence, before + 3);
    // And back to plain RTP.
    update(&mut rig, 5, None);
    let plain = caller.endpoint.send(&speech(22), 160);
    assert_eq!(rig.exchange(&plain, &callee).sequence, before + 4);
}

#[test]
fn a_spent_key_sends_nothing_more_and_says_so() {
    let mut keys = crypto(CryptoSuite::AeadAes128Gcm, 1);
    keys.send = keys.send.with_lifetime(3);
    let mut rig = Rig::new();
    rig.install(secure_legs((Codec::Pcmu, Codec::Pcmu), Some(keys), None));
    let mut callee = callee(Codec::Pcmu);
    (0..5).for_each(|n| rig.cable.put(&callee.send(&speech(n), 160)));
    assert_eq!(rig.settle().len(), 3);
    assert_eq!(rig.drops(DropReason::SrtpKeyExhausted), 2);
}

#[test]
fn legs_beyond_the_contexts_of_a_worker_are_refused_and_contexts_come_back() {
    let mut config = engine_config();
    config.srtp_capacity = 3;
    let mut rig = Rig::with(&config, HandoverEnds::alone(), &Pool::new(256));
    let keys = crypto(CryptoSuite::AesCm128HmacSha1_80, 1);
    let legs = |slot| legs_at(slot, Codec::Pcmu, Codec::Pcmu).map(|leg| LegConfig { crypto: Some(keys), ..leg });
    let install = |slot: u16| Command::InstallFlow { flow: flow(slot.into()), epoch: Epoch(1), legs: legs(slot) };
    assert!(matches!(rig.command(install(0)), Event::Installed { .. }));
    let refused = Event::Refused { flow: flow(1), epoch: Epoch(1), reason: Refusal::SrtpContextsExhausted };
    assert_eq!(rig.command(install(1)), refused);
    rig.command(Command::RemoveFlow { flow: flow(0) });
    assert!(matches!(rig.command(install(1)), Event::Installed { .. }));
    // A plain leg gives its contexts to another flow.
    let mut plain = legs(1);
    plain[0].crypto = None;
    rig.command(Command::UpdateFlow { flow: flow(1), epoch: Epoch(2), legs: plain });
    assert!(matches!(rig.command(install(0)), Event::Installed { .. }));
}

#[test]
fn reports_are_sealed_and_only_sealed_ones_are_believed() {
    for suite in [CryptoSuite::AesCm128HmacSha1_32, CryptoSuite::AeadAes128Gcm] {
        let mut config = engine_config();
        config.report_interval_ms = 1000;
        let mut rig = Rig::with(&config, HandoverEnds::alone(), &Pool::new(256));
        let keys = crypto(suite, 1);
        rig.install(secure_legs((Codec::Pcmu, Codec::Pcmu), Some(keys), None));
        let mut caller = Secure::new(caller(Codec::Pcmu), &keys);
        let mut reports = 0;
        for n in 0..250 {
            rig.cable.put(&caller.send(&speech(n)));
            rig.pass_ms(20);
            for frame in std::iter::from_fn(|| rig.cable.take()) {
                let mut compound = payload_of(&frame);
                if frame[30..34] != CALLER.ip().octets() || demux::classify(&compound) != demux::Kind::Rtcp {
                    continue;
                }
                assert!(compound.len() > 30);
                let len = caller.receiver.unprotect_rtcp(&mut compound).unwrap();
                let (packet, _) = Rtcp::split(&compound[..len]).unwrap();
                assert_eq!(packet.report().unwrap().ssrc, 0x5500_0000);
                reports += 1;
            }
        }
        assert!(reports >= 3, "{reports}");

        let from_rtcp_port = Endpoint {
            local: std::net::SocketAddrV4::new(*CALLER.ip(), CALLER.port() + 1),
            peer: std::net::SocketAddrV4::new(GATEWAY_IP, 10_001),
            ..caller.endpoint.clone()
        };
        let mut compound = vec![0x80, 201, 0, 1];
        compound.extend_from_slice(&caller.endpoint.ssrc.to_be_bytes());
        rig.cable.put(&from_rtcp_port.datagram(&compound));
        let mut padded = [&compound[..], &[0x80; 20]].concat();
        rig.cable.put(&from_rtcp_port.datagram(&padded));
        rig.settle();
        assert_eq!(rig.counters.reports_received.get(), 0);
        assert_eq!((rig.drops(DropReason::RtcpMalformed), rig.drops(DropReason::SrtpForged)), (1, 1));
        let len = caller.sender.protect_rtcp(&mut padded, compound.len()).unwrap();
        rig.cable.put(&from_rtcp_port.datagram(&padded[..len]));
        rig.cable.put(&from_rtcp_port.datagram(&padded[..len]));
        rig.settle();
        assert_eq!(rig.counters.reports_received.get(), 1);
        assert_eq!(rig.drops(DropReason::SrtpReplayed), 1);
    }
}

#[test]
fn no_frame_goes_missing_and_nothing_forged_gets_through_in_any_network() {
    for seed in 0..4 {
        let keys = crypto(CryptoSuite::ALL[seed as usize], 1);
        let mut rig = Rig::new();
        rig.install(secure_legs((Codec::Pcmu, Codec::Pcmu), Some(keys), None));
        let mut caller = Secure::new(caller(Codec::Pcmu), &keys);
        let callee = callee(Codec::Pcmu);
        let mut network = Network::new(seed, Habits { loss: 5, duplication: 5, reordering: 8, junk: 30 });
        let mut received = Vec::new();
        for n in 0..500 {
            let frame = caller.send(&speech(n));
            network.carry(&frame, |frame| rig.cable.put(frame));
            received.extend(rig.settle().iter().map(|frame| callee.receive(frame).unwrap().payload));
            assert_eq!(rig.counters.frames_unaccounted(), 0, "{:?}", rig.drop_names());
            rig.pass_ms(20);
        }
        let sent: std::collections::BTreeSet<_> = (0..500).map(speech).collect();
        assert!(received.iter().all(|payload| sent.contains(payload)));
        assert!(received.len() > 400, "{} {:?}", received.len(), rig.drop_names());
        assert!(rig.drops(DropReason::SrtpReplayed) > 0, "{:?}", rig.drop_names());
    }
}
