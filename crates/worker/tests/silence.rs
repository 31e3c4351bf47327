//! Silence that a peer does not send: described to a peer that takes descriptions, and noise for one that does not.

#![allow(clippy::unwrap_used, reason = "helpers of tests say what they expect, as tests do")]

mod rig;

use rig::*;
use tandem_codec::Level;
use tandem_codec::audio_level::measure;
use tandem_codec::cn::{Description, Generator};
use tandem_codec::g711::{self, Law};
use tandem_codec::g729::bitstream::{Frame, split_payload};
use tandem_codec::transcode::{self, Input, Silence, Transcoder};
use tandem_contract::{Codec, Command, DropReason, Format, LegConfig, PayloadType};
use tandem_testkit::{Endpoint, Received};

/// −50 dBov, and a spectrum.
const NOISE: [u8; 5] = [50, 70, 150, 110, 130];
const CN: u8 = 13;

/// Whether silence may be described on a leg.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Says {
    Descriptions,
    SpeechOnly,
}
use Says::{Descriptions, SpeechOnly};

fn legs_that(a: (Codec, Says), b: (Codec, Says)) -> [LegConfig; 2] {
    let mut legs = legs(a.0, b.0);
    for (leg, (codec, says)) in legs.iter_mut().zip([a, b]) {
        let describes = says == Descriptions;
        let comfort_noise = PayloadType::new(CN).filter(|_| describes && codec.takes_comfort_noise());
        let annexb = describes && codec == Codec::G729;
        leg.format = leg.format.map(|format| Format { comfort_noise, annexb, ..format });
    }
    legs
}

fn calling(a: (Codec, Says), b: (Codec, Says)) -> (Rig, Endpoint, Endpoint) {
    let mut rig = Rig::new();
    rig.install(legs_that(a, b));
    (rig, caller(a.0), callee(b.0))
}

fn send(rig: &mut Rig, frame: &[u8], to: &Endpoint) -> Vec<Received> {
    rig.cable.put(frame);
    rig.settle().iter().map(|frame| to.receive(frame).unwrap()).collect()
}

/// A packet of comfort noise; nothing follows for `ticks`.
fn noise(from: &mut Endpoint, payload: &[u8], ticks: u32) -> Vec<u8> {
    let speech_type = std::mem::replace(&mut from.payload_type, CN);
    let frame = from.send(payload, ticks);
    from.payload_type = speech_type;
    frame
}

/// Lets time pass and returns what `to` got.
fn pass(rig: &mut Rig, ms: u64, to: &Endpoint) -> Vec<Received> {
    let mut received = Vec::new();
    for _ in 0..ms {
        rig.pass_ms(1);
        while let Some(frame) = rig.cable.take() {
            received.push(to.receive(&frame).unwrap());
        }
    }
    received
}

/// 20 ms of a buzz.
fn speech(n: usize) -> Vec<u8> {
    let pcm: Vec<i16> = (0..160).map(|at| (((n * 160 + at) % 73) as i16 - 36) * 250).collect();
    let mut octets = vec![0; 160];
    g711::encode(Level::Scalar, Law::Mu, &pcm, &mut octets);
    octets
}

#[test]
fn comfort_noise_passes_between_legs_that_have_it_as_it_is() {
    for (a, b) in [(Codec::Pcmu, Codec::Pcmu), (Codec::Pcmu, Codec::Pcma), (Codec::G722, Codec::G722)] {
        let (mut rig, mut caller, callee) = calling((a, Descriptions), (b, Descriptions));
        send(&mut rig, &caller.send(&speech(0), 160), &callee);
        let received = send(&mut rig, &noise(&mut caller, &NOISE, 8000), &callee);
        assert_eq!(received.len(), 1, "{a:?} to {b:?}");
        let packet = &received[0];
        assert_eq!((packet.payload_type, &packet.payload[..]), (CN, &NOISE[..]), "{a:?} to {b:?}");
        assert_eq!((packet.sequence, packet.timestamp, packet.marker), (102, 50_161, false));
        caller.marker = true;
        let received = send(&mut rig, &caller.send(&speech(1), 160), &callee);
        assert_eq!((received[0].sequence, received[0].timestamp, received[0].marker), (103, 58_161, true));
        assert_eq!((rig.all_drops(), rig.counters.frames_unaccounted()), (0, 0));
        assert!(pass(&mut rig, 100, &callee).is_empty());
    }
}

#[test]
fn comfort_noise_between_packet_times_ends_the_packet_before_it() {
    let mut legs = legs_that((Codec::Pcmu, Descriptions), (Codec::Pcma, Descriptions));
    legs[1].format = legs[1].format.map(|format| Format { ptime_ms: 30, ..format });
    let mut rig = Rig::new();
    rig.install(legs);
    let (mut caller, callee) = (caller(Codec::Pcmu), callee(Codec::Pcma));
    assert!(send(&mut rig, &caller.send(&speech(0), 160), &callee).is_empty());
    let received = send(&mut rig, &noise(&mut caller, &NOISE, 1600), &callee);
    let numbers: Vec<_> = received.iter().map(|p| (p.payload_type, p.sequence, p.timestamp, p.payload.len())).collect();
    assert_eq!(numbers, [(8, 101, 50_001, 160), (CN, 102, 50_161, 5)]);
    assert!(send(&mut rig, &caller.send(&speech(1), 160), &callee).is_empty());
    let received = send(&mut rig, &caller.send(&speech(1), 160), &callee);
    assert_eq!((received[0].sequence, received[0].timestamp, received[0].marker), (103, 51_761, true));
    assert_eq!(rig.counters.frames_unaccounted(), 0);
}

#[test]
fn comfort_noise_becomes_a_descriptor_of_g729_and_back() {
    let (mut rig, mut caller, mut callee) = calling((Codec::Pcmu, Descriptions), (Codec::G729, Descriptions));
    let mut offline = Transcoder::with_silence(transcode::Codec::Pcmu, transcode::Codec::G729, Silence::Described);
    let mut make = |input: Input<'_>| {
        let mut output = [0; 200];
        let made = offline.transcode(Level::Scalar, input, &mut output).unwrap();
        output[..made.octets()].to_vec()
    };
    for n in 0..3 {
        let speech = speech(n);
        let received = send(&mut rig, &caller.send(&speech, 160), &callee);
        assert_eq!(received[0].payload, make(Input::Payload(&speech)));
    }
    let received = send(&mut rig, &noise(&mut caller, &NOISE, 4000), &callee);
    let descriptor = &received[0];
    assert_eq!((received.len(), descriptor.payload.len(), descriptor.payload_type), (1, 2, 18));
    assert_eq!(descriptor.payload, make(Input::Noise { payload: &NOISE, ticks: 80 }));
    assert_eq!((descriptor.sequence, descriptor.timestamp, descriptor.marker), (104, 50_481, false));
    assert!(pass(&mut rig, 300, &callee).is_empty(), "nothing is made of nothing");
    let received = send(&mut rig, &caller.send(&speech(4), 160), &callee);
    assert_eq!((received[0].sequence, received[0].timestamp, received[0].marker), (105, 54_481, true));

    // And the other way: speech that ends in a descriptor is two packets.
    let mut encoder = Transcoder::new(transcode::Codec::Pcmu, transcode::Codec::G729);
    let mut g729 = [0; 20];
    encoder.transcode(Level::Scalar, Input::Payload(&speech(0)), &mut g729).unwrap();
    send(&mut rig, &callee.send(&g729, 160), &caller);
    let payload = [&g729[..10], &descriptor.payload].concat();
    let received = send(&mut rig, &callee.send(&payload, 8000), &caller);
    let shapes: Vec<_> = received.iter().map(|p| (p.payload_type, p.payload.len(), p.sequence, p.timestamp)).collect();
    let sequence = received[0].sequence;
    let timestamp = received[0].timestamp;
    assert_eq!(shapes[0], (0, 80, sequence, timestamp));
    assert_eq!((shapes.len(), shapes[1].0, shapes[1].2, shapes[1].3), (2, CN, sequence + 1, timestamp + 80));
    let (heard, sent) = (Description::parse(&received[1].payload).unwrap(), Description::parse(&NOISE).unwrap());
    assert!(heard.minus_dbov.abs_diff(sent.minus_dbov) <= 2);
    let received = send(&mut rig, &callee.send(&g729, 160), &caller);
    assert_eq!((received[0].marker, received[0].timestamp), (true, timestamp + 8000));
    assert_eq!((rig.all_drops(), rig.counters.frames_unaccounted()), (0, 0));
}

#[test]
fn who_speaks_g729_with_annex_b_is_spared_the_background_noise() {
    let (mut rig, mut caller, callee) = calling((Codec::Pcmu, SpeechOnly), (Codec::G729, Descriptions));
    let mut generator = Generator::new(5);
    generator.describe(&Description::parse(&NOISE).unwrap());
    let mut received = Vec::new();
    for _ in 0..200 {
        let (mut pcm, mut octets) = ([0; 160], [0; 160]);
        generator.generate(&mut pcm);
        g711::encode(Level::Scalar, Law::Mu, &pcm, &mut octets);
        received.extend(send(&mut rig, &caller.send(&octets, 160), &callee));
    }
    assert!(received.len() < 150, "{} packets instead of 200", received.len());
    let is_described =
        |packet: &&Received| matches!(split_payload(&packet.payload).unwrap().last(), Some(Frame::Sid(_)));
    assert!(received.iter().filter(is_described).count() > 10);
    for (n, packet) in received.iter().enumerate() {
        assert_eq!(packet.sequence, 101 + n as u16);
        assert!((packet.timestamp - 50_001).is_multiple_of(80));
    }
    assert_eq!((rig.all_drops(), rig.counters.frames_unaccounted()), (0, 0));
}

#[test]
fn a_leg_without_descriptions_hears_the_noise_in_the_gap_and_the_speech_after_it() {
    for (a, b) in [
        (Codec::Pcmu, Codec::Pcmu),
        (Codec::Pcmu, Codec::Pcma),
        (Codec::Pcmu, Codec::G722),
        (Codec::Pcmu, Codec::G729),
        (Codec::G729, Codec::Pcmu),
        (Codec::G729, Codec::G729),
    ] {
        let (mut rig, mut caller, callee) = calling((a, Descriptions), (b, SpeechOnly));
        let payload = if a == Codec::G729 { vec![7; 20] } else { speech(0) };
        send(&mut rig, &caller.send(&payload, 160), &callee);
        // 400 ms of silence, described twice.
        let description = |caller: &mut Endpoint, ticks| match a {
            Codec::G729 => caller.send(&[0x4a, 0x52], ticks),
            _ => noise(caller, &NOISE, ticks),
        };
        let mut received = send(&mut rig, &description(&mut caller, 1600), &callee);
        received.extend(pass(&mut rig, 200, &callee));
        received.extend(send(&mut rig, &description(&mut caller, 1600), &callee));
        received.extend(pass(&mut rig, 200, &callee));
        assert!((19..=20).contains(&received.len()), "{a:?} to {b:?}: {} packets", received.len());
        for (n, packet) in received.iter().enumerate() {
            assert_eq!(packet.payload_type, callee.payload_type);
            assert_eq!(packet.payload.len(), if b == Codec::G729 { 20 } else { 160 }, "{a:?} to {b:?}");
            let numbers = (packet.sequence, packet.timestamp, packet.marker);
            assert_eq!(numbers, (102 + n as u16, 50_161 + 160 * n as u32, false), "{a:?} to {b:?}");
        }
        if let (Codec::Pcmu, Some(law)) = (a, if b == Codec::Pcma { Some(Law::A) } else { None }) {
            let pcm: Vec<i16> = received[2..].iter().flat_map(|p| &p.payload).map(|octet| law.decode(*octet)).collect();
            assert!(measure(&pcm).abs_diff(NOISE[0]) <= 2, "{} dBov", measure(&pcm));
        }
        let sent = received.len() as u16;
        let received = send(&mut rig, &caller.send(&payload, 160), &callee);
        assert_eq!((received.len(), received[0].sequence), (1, 102 + sent));
        assert!(pass(&mut rig, 100, &callee).is_empty(), "speech ends the noise");
        assert!(rig.counters.frames_of_noise.get() >= 17);
        assert_eq!((rig.all_drops(), rig.counters.frames_unaccounted()), (0, 0));
    }
}

#[test]
fn noise_ends_with_its_flow_and_with_a_leg_that_learns_of_descriptions() {
    let (mut rig, mut caller, callee) = calling((Codec::Pcmu, Descriptions), (Codec::Pcma, SpeechOnly));
    rig.install_at(1, legs_at(1, Codec::Pcmu, Codec::G722));
    send(&mut rig, &noise(&mut caller, &NOISE, 160), &callee);
    assert!(pass(&mut rig, 100, &callee).len() >= 4);
    let legs = legs_that((Codec::Pcmu, Descriptions), (Codec::Pcma, Descriptions));
    rig.command(Command::UpdateFlow { flow: flow(0), epoch: tandem_contract::Epoch(2), legs });
    assert!(pass(&mut rig, 100, &callee).is_empty());
    let legs = legs_that((Codec::Pcmu, Descriptions), (Codec::Pcma, SpeechOnly));
    rig.command(Command::UpdateFlow { flow: flow(0), epoch: tandem_contract::Epoch(3), legs });
    send(&mut rig, &noise(&mut caller, &NOISE, 160), &callee);
    assert!(pass(&mut rig, 100, &callee).len() >= 4);
    rig.command(Command::RemoveFlow { flow: flow(0) });
    assert!(pass(&mut rig, 100, &callee).is_empty());
    assert_eq!(rig.counters.frames_unaccounted(), 0);
}

#[test]
fn what_is_no_comfort_noise_is_dropped_and_descriptions_in_a_flood_make_no_flood() {
    let (mut rig, mut caller, callee) = calling((Codec::Pcmu, Descriptions), (Codec::Pcma, SpeechOnly));
    assert!(send(&mut rig, &noise(&mut caller, &[], 160), &callee).is_empty());
    assert_eq!(rig.drops(DropReason::PayloadLengthBad), 1);
    let mut sent = 0;
    for _ in 0..500 {
        sent += send(&mut rig, &noise(&mut caller, &NOISE, 0), &callee).len();
    }
    assert!(sent < 20, "{sent} packets of noise at once");
    assert_eq!(rig.counters.frames_unaccounted(), 0);
}
