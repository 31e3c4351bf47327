//! Clips, hold, recording and forking: real packets through a worker over an in-memory device.

#![allow(clippy::unwrap_used, reason = "what is beside the tests is a test like them")]

mod rig;

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

use rig::*;
use tandem_contract::{
    Clip, ClipId, ClipLoad, Codec, Command, CryptoSuite, Direction, DropReason, Epoch, Event, ForkTarget, Format,
    Function, LegConfig, LegSide, MasterKey, Refusal, TapHeader,
};
use tandem_testkit::{Endpoint, Received};

const FOREVER: bool = true;
const ONCE: bool = false;

/// Octet `n` of a clip in a codec: no two neighbouring packets look alike.
fn octet(codec: Codec, n: usize) -> u8 {
    (n % 249) as u8 ^ (codec as u8) << 5
}

fn clip_octets(codec: Codec, ms: u32) -> Vec<u8> {
    let count = (ms + Clip::TAIL_MS) as usize / 10 * Clip::octets_per_10_ms(codec).unwrap();
    (0..count).map(|n| octet(codec, n)).collect()
}

fn clip(ms: u32, codecs: &[Codec]) -> Arc<Clip> {
    Arc::new(Clip::new(ms, codecs.iter().map(|codec| (*codec, clip_octets(*codec, ms).into()))).unwrap())
}

/// Loads a clip, of which a handle is kept as control keeps one.
fn load(rig: &mut Rig, id: ClipId, clip: &Arc<Clip>) {
    rig.clips.push(ClipLoad { id, clip: Some(Arc::clone(clip)) }).unwrap();
}

/// The answer to a command, past what has come up before.
fn answer(rig: &mut Rig, command: Command) -> Event {
    rig.events();
    rig.command(command)
}

fn ask(rig: &mut Rig, function: Function) -> Result<(), Refusal> {
    match answer(rig, Command::Function { flow: flow(0), request: 77, function }) {
        Event::FunctionDone { flow: f, request: 77, outcome } if f == flow(0) => outcome,
        other => panic!("{other:?}"),
    }
}

fn play(rig: &mut Rig, leg: LegSide, id: ClipId, repeat: bool) -> Result<(), Refusal> {
    ask(rig, Function::Play { leg, clip: id, repeat })
}

/// Lets time pass by the millisecond and returns what `endpoint` got meanwhile.
fn hear(rig: &mut Rig, ms: u64, endpoint: &Endpoint) -> Vec<Received> {
    let mut heard = Vec::new();
    for _ in 0..ms {
        rig.pass_ms(1);
        while let Some(frame) = rig.cable.take() {
            heard.extend(endpoint.receive(&frame));
        }
    }
    heard
}

fn payload(packets: &[Received]) -> Vec<u8> {
    packets.iter().flat_map(|packet| packet.payload.clone()).collect()
}

fn assert_in_a_row(packets: &[Received], ticks: u32) {
    for pair in packets.windows(2) {
        assert_eq!(pair[1].sequence, pair[0].sequence.wrapping_add(1));
        assert_eq!(pair[1].timestamp, pair[0].timestamp.wrapping_add(ticks));
        assert!(!pair[1].marker);
        assert_eq!((pair[1].ssrc, pair[1].payload_type), (pair[0].ssrc, pair[0].payload_type));
    }
}

fn held(legs: [LegConfig; 2]) -> [LegConfig; 2] {
    let [a, b] = legs;
    // The caller says sendonly; to the callee the gateway only sends.
    [LegConfig { direction: Direction::RecvOnly, ..a }, LegConfig { direction: Direction::SendOnly, held: true, ..b }]
}

fn update(rig: &mut Rig, legs: [LegConfig; 2]) {
    let answered = answer(rig, Command::UpdateFlow { flow: flow(0), epoch: Epoch(2), legs });
    assert_eq!(answered, Event::Updated { flow: flow(0), epoch: Epoch(2) });
}

#[test]
fn a_clip_is_heard_bit_for_bit_in_every_codec_and_packet_time_on_the_legs_own_line() {
    for (codec, ptime_ms) in [
        (Codec::Pcmu, 20_u8),
        (Codec::Pcma, 10),
        (Codec::G722, 30),
        (Codec::G729, 20),
        (Codec::G729, 60),
        (Codec::Pcmu, 40),
    ] {
        let mut rig = Rig::new();
        let mut legs = legs(Codec::Pcmu, codec);
        legs[1].format = legs[1].format.map(|format| Format { ptime_ms, ..format });
        rig.install(legs);
        let clip = clip(230, &[codec]);
        load(&mut rig, ClipId(3), &clip);
        assert_eq!(play(&mut rig, LegSide::B, ClipId(3), ONCE), Ok(()));
        let heard = hear(&mut rig, 500, &callee(codec));

        let packets = 230_u32.div_ceil(ptime_ms.into());
        assert_eq!(heard.len() as u32, packets, "{codec:?} {ptime_ms}");
        let octets = packets as usize * usize::from(ptime_ms) / 10 * Clip::octets_per_10_ms(codec).unwrap();
        assert_eq!(payload(&heard), clip_octets(codec, 230)[..octets], "{codec:?} {ptime_ms}");
        let leg = legs[1];
        let first = &heard[0];
        assert_eq!((first.sequence, first.timestamp), (leg.first_sequence, leg.first_timestamp));
        assert_eq!((first.ssrc, first.marker), (leg.ssrc, true));
        assert_in_a_row(&heard, 8 * u32::from(ptime_ms));
        assert!(rig.events().contains(&Event::PlaybackEnded { flow: flow(0), leg: LegSide::B }));
        assert_eq!(rig.counters.packets_played.get(), packets.into());
        assert_eq!(rig.counters.frames_unaccounted(), 0);
    }
}

#[test]
fn a_clip_that_repeats_goes_on_without_a_seam_in_packets_that_straddle_its_end() {
    let mut rig = Rig::new();
    rig.install(legs(Codec::Pcmu, Codec::Pcma));
    let clip = clip(50, &[Codec::Pcma]);
    load(&mut rig, ClipId(1), &clip);
    assert_eq!(play(&mut rig, LegSide::B, ClipId(1), FOREVER), Ok(()));
    let heard = hear(&mut rig, 390, &callee(Codec::Pcma));
    assert_eq!(heard.len(), 20);
    let round: Vec<u8> = clip_octets(Codec::Pcma, 50)[..400].to_vec();
    assert_eq!(payload(&heard), round.repeat(8));
    assert_in_a_row(&heard, 160);
    assert_eq!(ask(&mut rig, Function::StopPlaying { leg: LegSide::B }), Ok(()));
    assert_eq!(hear(&mut rig, 100, &callee(Codec::Pcma)), []);
    assert!(!rig.events().iter().any(|event| matches!(event, Event::PlaybackEnded { .. })));
}

#[test]
fn a_clip_of_10_ms_in_packets_of_60_is_played_all_the_same() {
    let mut rig = Rig::new();
    let mut legs = legs(Codec::Pcmu, Codec::G729);
    legs[1].format = legs[1].format.map(|format| Format { ptime_ms: 60, ..format });
    rig.install(legs);
    let clip = clip(10, &[Codec::G729]);
    load(&mut rig, ClipId(1), &clip);
    assert_eq!(play(&mut rig, LegSide::B, ClipId(1), FOREVER), Ok(()));
    let heard = hear(&mut rig, 300, &callee(Codec::G729));
    assert!(heard.len() >= 5 && heard.iter().all(|packet| packet.payload.len().is_multiple_of(10)));
}

#[test]
fn the_other_party_is_silent_while_a_clip_plays_and_goes_on_where_it_ended() {
    for callees in [Codec::Pcmu, Codec::Pcma, Codec::G722] {
        let mut rig = Rig::new();
        rig.install(legs(Codec::Pcmu, callees));
        let (mut speaker, listener) = (caller(Codec::Pcmu), callee(callees));
        let before = rig.exchange(&speaker.send(&[7; 160], 160), &listener);
        let clip = clip(40, &[callees]);
        load(&mut rig, ClipId(1), &clip);
        rig.pass_ms(19);
        assert_eq!(play(&mut rig, LegSide::B, ClipId(1), ONCE), Ok(()));
        let mut heard = Vec::new();
        for _ in 0..4 {
            rig.cable.put(&speaker.send(&[8; 160], 160));
            heard.extend(hear(&mut rig, 20, &listener));
        }
        assert_eq!(rig.drops(DropReason::Replaced), 2, "{:?}", rig.drop_names());
        let played = &heard[..2];
        assert_eq!(payload(played), clip_octets(callees, 40)[..320]);
        assert_eq!(played[0].sequence, before.sequence.wrapping_add(1));
        assert!(played[0].marker && played[0].timestamp.wrapping_sub(before.timestamp) >= 160);
        let after = heard.get(2).unwrap();
        assert_eq!(after.sequence, played[1].sequence.wrapping_add(1));
        assert!(after.marker);
        let ticks = after.timestamp.wrapping_sub(played[1].timestamp);
        assert!((160..=400).contains(&ticks), "{ticks}");
        assert_eq!(after.ssrc, before.ssrc);
        assert_eq!(rig.counters.frames_unaccounted(), 0);
    }
}

#[test]
fn a_leg_on_hold_hears_the_hold_music_until_it_is_taken_back() {
    let mut rig = Rig::new();
    let talking = legs(Codec::Pcmu, Codec::Pcma);
    rig.install(talking);
    let music = clip(70, &[Codec::Pcma]);
    load(&mut rig, ClipId::HOLD, &music);
    let (mut speaker, listener) = (caller(Codec::Pcmu), callee(Codec::Pcma));
    rig.exchange(&speaker.send(&[7; 160], 160), &listener);

    update(&mut rig, held(talking));
    let heard = hear(&mut rig, 190, &listener);
    assert_eq!(heard.len(), 10);
    assert_eq!(payload(&heard), clip_octets(Codec::Pcma, 70)[..560].repeat(3)[..1600]);
    // The holder's own music is replaced; the held party's voice is not wanted.
    rig.cable.put(&speaker.send(&[7; 160], 160));
    rig.cable.put(&callee(Codec::Pcma).send(&[7; 160], 160));
    hear(&mut rig, 2, &listener);
    assert_eq!((rig.drops(DropReason::Replaced), rig.drops(DropReason::DirectionInactive)), (1, 1));
    // The same hold once more changes nothing.
    update(&mut rig, held(talking));
    assert_in_a_row(&hear(&mut rig, 100, &listener), 160);

    update(&mut rig, talking);
    assert_eq!(hear(&mut rig, 100, &listener), []);
    let after = rig.exchange(&speaker.send(&[0x55; 160], 160), &listener);
    assert!(after.marker);
    assert_eq!(rig.counters.frames_unaccounted(), 0);
}

#[test]
fn inactive_sends_nothing_and_a_hold_without_music_passes_what_the_holder_sends() {
    let mut rig = Rig::new();
    let talking = legs(Codec::Pcmu, Codec::Pcmu);
    rig.install(talking);
    let (mut speaker, listener) = (caller(Codec::Pcmu), callee(Codec::Pcmu));
    update(&mut rig, held(talking));
    assert_eq!(rig.exchange(&speaker.send(&[7; 160], 160), &listener).payload, [7; 160]);
    let music = clip(70, &[Codec::Pcmu]);
    load(&mut rig, ClipId::HOLD, &music);
    let inactive = talking.map(|leg| LegConfig { direction: Direction::Inactive, held: true, ..leg });
    update(&mut rig, inactive);
    assert_eq!(hear(&mut rig, 100, &listener), []);
    update(&mut rig, held(talking));
    rig.settle();
    assert_eq!(hear(&mut rig, 95, &listener).len(), 5);
}

#[test]
fn what_was_asked_for_is_heard_before_the_hold_music_which_follows_it() {
    let mut rig = Rig::new();
    let talking = legs(Codec::Pcmu, Codec::Pcmu);
    rig.install(talking);
    let (music, prompt) = (clip(200, &[Codec::Pcmu]), clip(40, &[Codec::Pcmu]));
    load(&mut rig, ClipId::HOLD, &music);
    load(&mut rig, ClipId(9), &prompt);
    update(&mut rig, held(talking));
    let listener = callee(Codec::Pcmu);
    assert_eq!(hear(&mut rig, 35, &listener).len(), 2);
    assert_eq!(play(&mut rig, LegSide::B, ClipId(9), ONCE), Ok(()));
    let heard = hear(&mut rig, 100, &listener);
    assert_eq!(payload(&heard[..2]), clip_octets(Codec::Pcmu, 40)[..320]);
    assert_eq!(heard[2].payload, clip_octets(Codec::Pcmu, 200)[..160]);
}

#[test]
fn a_change_of_codec_goes_on_at_the_same_place_of_the_clip() {
    let mut rig = Rig::new();
    rig.install(legs(Codec::Pcmu, Codec::Pcma));
    let clip = clip(400, &[Codec::Pcma, Codec::G729]);
    load(&mut rig, ClipId(1), &clip);
    assert_eq!(play(&mut rig, LegSide::B, ClipId(1), ONCE), Ok(()));
    assert_eq!(hear(&mut rig, 59, &callee(Codec::Pcma)).len(), 3);
    update(&mut rig, legs(Codec::Pcmu, Codec::G729));
    let heard = hear(&mut rig, 60, &callee(Codec::G729));
    assert_eq!(payload(&heard), clip_octets(Codec::G729, 400)[60..120]);
    // A codec that the clip does not have ends it.
    update(&mut rig, legs(Codec::Pcmu, Codec::G722));
    assert_eq!(hear(&mut rig, 60, &callee(Codec::G722)), []);
    assert!(rig.events().contains(&Event::PlaybackEnded { flow: flow(0), leg: LegSide::B }));
}

#[test]
fn what_cannot_be_played_is_refused_by_name() {
    let mut rig = Rig::new();
    let mut legs = legs(Codec::Pcmu, Codec::Pcma);
    legs[0].format = None;
    rig.install(legs);
    let only_pcmu = clip(40, &[Codec::Pcmu]);
    load(&mut rig, ClipId(1), &only_pcmu);
    assert_eq!(play(&mut rig, LegSide::A, ClipId(1), ONCE), Err(Refusal::LegNotReady));
    assert_eq!(play(&mut rig, LegSide::B, ClipId(1), ONCE), Err(Refusal::ClipUnavailable));
    assert_eq!(play(&mut rig, LegSide::B, ClipId(2), ONCE), Err(Refusal::ClipUnavailable));
    assert_eq!(play(&mut rig, LegSide::B, ClipId(255), ONCE), Err(Refusal::ClipUnavailable));
    let unknown = Command::Function { flow: flow(7), request: 1, function: Function::Record { on: true } };
    let refused = Event::FunctionDone { flow: flow(7), request: 1, outcome: Err(Refusal::UnknownFlow) };
    assert_eq!(answer(&mut rig, unknown), refused);
}

#[test]
fn a_clip_taken_out_of_the_table_is_played_to_its_end() {
    let mut rig = Rig::new();
    rig.install(legs(Codec::Pcmu, Codec::Pcmu));
    let clip = clip(100, &[Codec::Pcmu]);
    load(&mut rig, ClipId(1), &clip);
    assert_eq!(play(&mut rig, LegSide::B, ClipId(1), ONCE), Ok(()));
    rig.clips.push(ClipLoad { id: ClipId(1), clip: None }).unwrap();
    assert_eq!(hear(&mut rig, 200, &callee(Codec::Pcmu)).len(), 5);
    assert_eq!(Arc::strong_count(&clip), 1, "the worker has let go of it");
    assert_eq!(play(&mut rig, LegSide::B, ClipId(1), ONCE), Err(Refusal::ClipUnavailable));
}

#[test]
fn many_clips_begin_and_end_in_any_order() {
    let mut rig = Rig::new();
    let clips = [clip(1000, &[Codec::Pcmu]), clip(60, &[Codec::Pcmu])];
    for (id, clip) in clips.iter().enumerate() {
        load(&mut rig, ClipId(1 + id as u8), clip);
    }
    for slot in 0..20 {
        rig.install_at(slot, legs_at(slot as u16, Codec::Pcmu, Codec::Pcmu));
        for leg in LegSide::BOTH {
            let function = Function::Play { leg, clip: ClipId(1 + (slot % 2) as u8), repeat: ONCE };
            answer(&mut rig, Command::Function { flow: flow(slot), request: slot, function });
        }
    }
    rig.pass_ms(30);
    rig.events();
    for slot in (0..20).step_by(4) {
        answer(&mut rig, Command::RemoveFlow { flow: flow(slot) });
    }
    rig.pass_ms(100);
    let ended = rig.events();
    assert_eq!(ended.iter().filter(|event| matches!(event, Event::PlaybackEnded { .. })).count(), 20);
    while rig.cable.take().is_some() {}
    // Five flows are left whose clip is long.
    rig.pass_ms(200);
    let mut frames = 0;
    while rig.cable.take().is_some() {
        frames += 1;
    }
    assert_eq!(frames, 5 * 2 * 10);
    for slot in 0..20 {
        answer(&mut rig, Command::RemoveFlow { flow: flow(slot) });
    }
    assert!(clips.iter().all(|clip| Arc::strong_count(clip) == 2), "only the table has them");
    assert_eq!(rig.counters.frames_unaccounted(), 0);
}

/// What is on the ring to the recorder.
fn taps(rig: &mut Rig) -> Vec<(TapHeader, Vec<u8>)> {
    let mut taps = Vec::new();
    let mut octets = [0; TapHeader::LEN];
    while rig.taps.pop_entire_slice(&mut octets).is_ok() {
        let header = TapHeader::from_octets(&octets).unwrap();
        let mut rtp = vec![0; header.rtp_len.into()];
        rig.taps.pop_entire_slice(&mut rtp).unwrap();
        taps.push((header, rtp));
    }
    taps
}

#[test]
fn a_recorded_call_is_copied_both_ways_as_it_was_received_and_goes_on_as_before() {
    let mut rig = Rig::new();
    rig.install(legs(Codec::Pcmu, Codec::G729));
    let (mut a, mut b) = (caller(Codec::Pcmu), callee(Codec::G729));
    assert_eq!(rig.exchange(&a.send(&[1; 160], 160), &b).payload.len(), 20);
    assert_eq!(taps(&mut rig), []);
    assert_eq!(ask(&mut rig, Function::Record { on: true }), Ok(()));
    let sent = [a.send(&[2; 160], 160), b.send(&[3; 20], 160), a.send(&[4; 160], 160)];
    for (frame, listener) in sent.iter().zip([&b, &a, &b]) {
        rig.exchange(frame, listener);
    }
    a.payload_type = 101;
    let event = a.send(&[1, 10, 0, 160], 0);
    a.payload_type = 0;
    rig.exchange(&event, &b);
    // What is dropped is not recorded.
    rig.cable.put(&sent[0]);
    rig.settle();
    let recorded = taps(&mut rig);
    let rtp: Vec<&[u8]> = recorded.iter().map(|(_, rtp)| &rtp[..]).collect();
    let all: Vec<&[u8]> = sent.iter().chain([&event]).map(|frame| &frame[42..]).collect();
    assert_eq!(rtp, all);
    let headers: Vec<_> = recorded.iter().map(|(h, _)| (h.leg, h.codec, h.is_beside_speech)).collect();
    assert_eq!(
        headers,
        [
            (LegSide::A, Codec::Pcmu, false),
            (LegSide::B, Codec::G729, false),
            (LegSide::A, Codec::Pcmu, false),
            (LegSide::A, Codec::Pcmu, true),
        ]
    );
    let (header, _) = &recorded[1];
    assert_eq!((header.flow, header.source), (flow(0), CALLEE.into()));
    assert_eq!(header.local.to_string(), format!("{GATEWAY_IP}:10002"));
    assert!(recorded.windows(2).all(|pair| pair[0].0.received_at < pair[1].0.received_at));
    assert_eq!(rig.counters.packets_recorded.get(), 4);
    assert_eq!(ask(&mut rig, Function::Record { on: false }), Ok(()));
    rig.exchange(&a.send(&[1; 160], 160), &b);
    assert_eq!(taps(&mut rig), []);
}

#[test]
fn a_full_recorder_costs_copies_which_are_counted_and_no_packet() {
    let mut rig = Rig::new();
    rig.install(legs(Codec::Pcmu, Codec::Pcma));
    ask(&mut rig, Function::Record { on: true }).unwrap();
    let (mut a, b) = (caller(Codec::Pcmu), callee(Codec::Pcma));
    let fit = TAP_OCTETS / (TapHeader::LEN + 172);
    for _ in 0..fit + 10 {
        rig.exchange(&a.send(&[1; 160], 160), &b);
    }
    assert_eq!(rig.counters.packets_recorded.get(), fit as u64);
    assert_eq!(rig.counters.packets_unrecorded.get(), 10);
    assert_eq!(taps(&mut rig).len(), fit);
    // There is room again, across the ring's end too.
    for _ in 0..fit - 1 {
        rig.exchange(&a.send(&[1; 160], 160), &b);
    }
    assert!(taps(&mut rig).iter().all(|(_, rtp)| rtp.len() == 172 && rtp[12..] == [1; 160]));
    assert_eq!(rig.counters.packets_unrecorded.get(), 10);
}

const RECORDER: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 11), 9000);

fn recorder() -> Endpoint {
    // It shares the callee's host, whose hardware address the rig answers with.
    Endpoint { local: RECORDER, peer: SocketAddrV4::new(GATEWAY_IP, 10_000), ..callee(Codec::Pcmu) }
}

fn fork_to(remote: SocketAddrV4) -> Function {
    let to = ForkTarget {
        remote: remote.into(),
        ssrc: 0xf0,
        first_sequence: 65_535,
        first_timestamp: u32::MAX - 80,
        key: None,
    };
    Function::Fork { leg: LegSide::A, to: Some(to) }
}

/// Sends one packet; what callee and recorder got for it.
fn fork_exchange(rig: &mut Rig, frame: &[u8], listener: &Endpoint) -> (Vec<Received>, Vec<Received>) {
    rig.cable.put(frame);
    let sent = rig.settle();
    let to = |endpoint: &Endpoint| sent.iter().filter_map(|frame| endpoint.receive(frame).ok()).collect();
    (to(listener), to(&recorder()))
}

#[test]
fn a_fork_gets_what_the_leg_receives_as_a_stream_of_its_own() {
    let mut rig = Rig::new();
    rig.install(legs(Codec::Pcmu, Codec::G722));
    let (mut a, b) = (caller(Codec::Pcmu), callee(Codec::G722));
    fork_exchange(&mut rig, &a.send(&[1; 160], 160), &b);
    assert_eq!(ask(&mut rig, fork_to(RECORDER)), Ok(()));
    let mut copies = Vec::new();
    for n in 2..5 {
        let (heard, copied) = fork_exchange(&mut rig, &a.send(&[n; 160], 160), &b);
        assert_eq!(heard.len(), 1);
        copies.extend(copied);
    }
    // A lost packet is a gap in the copy too.
    a.send(&[0; 160], 160);
    copies.extend(fork_exchange(&mut rig, &a.send(&[5; 160], 160), &b).1);
    let numbers: Vec<_> = copies.iter().map(|c| (c.sequence, c.timestamp.wrapping_add(81), c.payload[0])).collect();
    assert_eq!(numbers, [(65_535, 0, 2), (0, 160, 3), (1, 320, 4), (3, 640, 5)]);
    assert!(copies.iter().all(|copy| (copy.ssrc, copy.payload_type) == (0xf0, 0) && copy.payload.len() == 160));
    assert_eq!(copies[0].source, SocketAddrV4::new(GATEWAY_IP, 10_000));
    assert_eq!(rig.counters.packets_forked.get(), 4);

    assert_eq!(ask(&mut rig, Function::Fork { leg: LegSide::A, to: None }), Ok(()));
    assert_eq!(fork_exchange(&mut rig, &a.send(&[1; 160], 160), &b).1, []);
    assert_eq!(rig.counters.frames_unaccounted(), 0);
}

#[test]
fn a_protected_fork_is_opened_by_its_key_and_goes_on_where_it_is_asked_for_again() {
    let mut rig = Rig::new();
    rig.install(legs(Codec::Pcmu, Codec::Pcmu));
    let (mut a, b) = (caller(Codec::Pcmu), callee(Codec::Pcmu));
    let key = MasterKey::new(CryptoSuite::AeadAes256Gcm, &[9; 44]).unwrap();
    let Function::Fork { leg, to: Some(to) } = fork_to(RECORDER) else { unreachable!() };
    let function = Function::Fork { leg, to: Some(ForkTarget { first_sequence: 7, key: Some(key), ..to }) };
    let mut receiver = tandem_srtp::Receiver::new(&key);
    for n in 1..4 {
        assert_eq!(ask(&mut rig, function), Ok(()));
        rig.cable.put(&a.send(&[n; 160], 160));
        let sent = rig.settle();
        let copy = sent.iter().filter_map(|frame| recorder().receive(frame).ok()).next().expect("a copy");
        assert!(sent.iter().any(|frame| b.receive(frame).is_ok_and(|heard| heard.payload == [n; 160])));
        assert_eq!((copy.payload.len(), copy.sequence), (160 + 16, 6 + u16::from(n)));
        let frame = sent.iter().find(|frame| recorder().receive(frame).is_ok()).expect("a copy");
        // Ethernet, IPv4, UDP.
        let mut packet = frame[14 + 20 + 8..].to_vec();
        let length = receiver.unprotect(&mut packet).expect("the key fits");
        assert_eq!(packet[12..length], [n; 160]);
    }
    assert_eq!(rig.counters.frames_unaccounted(), 0);
}

#[test]
fn a_fork_to_nowhere_is_refused_and_one_that_was_there_stays() {
    let mut rig = Rig::new();
    rig.install(legs(Codec::Pcmu, Codec::Pcmu));
    let (mut a, b) = (caller(Codec::Pcmu), callee(Codec::Pcmu));
    ask(&mut rig, fork_to(RECORDER)).unwrap();
    assert_eq!(ask(&mut rig, fork_to("192.0.2.1:9000".parse().unwrap())), Err(Refusal::Unreachable));
    assert_eq!(fork_exchange(&mut rig, &a.send(&[1; 160], 160), &b).1.len(), 1);
    // Its place and its neighbour are free again with the flow.
    answer(&mut rig, Command::RemoveFlow { flow: flow(0) });
    for _ in 0..300 {
        rig.install(legs(Codec::Pcmu, Codec::Pcmu));
        ask(&mut rig, fork_to(SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 99), 9000))).unwrap();
        answer(&mut rig, Command::RemoveFlow { flow: flow(0) });
    }
}

#[test]
fn a_fork_that_finds_no_buffer_costs_the_copy_alone() {
    let mut rig = Rig::with(&engine_config(), tandem_worker::HandoverEnds::alone(), &tandem_testkit::Pool::new(4));
    rig.install(legs(Codec::Pcmu, Codec::Pcmu));
    ask(&mut rig, fork_to(RECORDER)).unwrap();
    let (mut a, b) = (caller(Codec::Pcmu), callee(Codec::Pcmu));
    for n in 0..3 {
        rig.cable.put(&a.send(&[n; 160], 160));
    }
    let sent = rig.settle();
    assert_eq!(sent.iter().filter(|frame| b.receive(frame).is_ok()).count(), 3);
    assert!(rig.counters.packets_forked.get() + rig.counters.packets_unforked.get() == 3);
    assert_eq!(rig.counters.frames_unaccounted(), 0);
}
