//! Keys that peers press: told to control, and carried to the other leg in whatever way it has.

#![allow(clippy::unwrap_used, reason = "helpers of tests say what they expect, as tests do")]

mod rig;

use rig::*;
use tandem_codec::audio_level::measure;
use tandem_codec::dtmf::{Detection, Detector, Key, ToneGenerator};
use tandem_codec::g711::Law;
use tandem_codec::g722;
use tandem_codec::resample::Rate;
use tandem_contract::{
    Codec, Command, DropReason, Epoch, Event, EventCode, Format, Function, LegConfig, LegSide, PayloadType, Refusal,
};
use tandem_testkit::{Endpoint, Received};

/// The packets of one key press of 100 ms, the end three times.
fn press(from: &mut Endpoint, code: u8) -> Vec<Vec<u8>> {
    let speech_type = std::mem::replace(&mut from.payload_type, 101);
    let mut frames = Vec::new();
    from.marker = true;
    for n in 1..=4_u16 {
        let [high, low] = (n * 160).to_be_bytes();
        frames.push(from.send(&[code, 10, high, low], 0));
    }
    for _ in 0..3 {
        let [high, low] = 800_u16.to_be_bytes();
        frames.push(from.send(&[code, 0x8a, high, low], 0));
    }
    from.timestamp = from.timestamp.wrapping_add(960);
    from.payload_type = speech_type;
    frames
}

fn told(rig: &mut Rig) -> Vec<Event> {
    rig.poll();
    rig.events().into_iter().filter(|event| matches!(event, Event::TelephoneEvent { .. })).collect()
}

#[test]
fn control_is_told_once_of_each_event_on_relayed_and_on_transcoded_legs() {
    for (a, b) in [(Codec::Pcmu, Codec::Pcmu), (Codec::Pcmu, Codec::Pcma), (Codec::Pcmu, Codec::G729)] {
        let mut rig = Rig::new();
        rig.install(legs(a, b));
        let (mut caller, callee) = (caller(a), callee(b));
        rig.exchange(&caller.send(&[7; 160], 160), &callee);
        for code in [1, 1, 11, 16] {
            let mut sent = Vec::new();
            for frame in press(&mut caller, code) {
                rig.cable.put(&frame);
                sent.extend(rig.settle());
            }
            assert_eq!(sent.len(), 7, "{a:?} to {b:?}");
            let event =
                Event::TelephoneEvent { flow: flow(0), leg: LegSide::A, code: EventCode(code), duration_ms: 100 };
            assert_eq!(told(&mut rig), [event], "{a:?} to {b:?}");
        }
        assert_eq!((rig.counters.telephone_events.get(), rig.all_drops()), (4, 0));
    }
}

#[test]
fn an_event_for_which_the_other_leg_has_no_number_is_told_all_the_same() {
    let mut rig = Rig::new();
    let mut legs = legs(Codec::Pcmu, Codec::Pcmu);
    legs[1].format = legs[1].format.map(|format| Format { telephone_event: None, ..format });
    // The caller numbers what it sends otherwise than what it is sent.
    let number = PayloadType::new(101);
    legs[0].format = legs[0].format.map(|format| Format {
        telephone_event: PayloadType::new(99),
        receive_telephone_event: number,
        ..format
    });
    rig.install(legs);
    let mut caller = caller(Codec::Pcmu);
    for frame in press(&mut caller, 5) {
        rig.cable.put(&frame);
    }
    assert!(rig.settle().is_empty());
    assert_eq!(told(&mut rig).len(), 1);
}

#[test]
fn a_key_is_not_printed_with_the_event() {
    let event = Event::TelephoneEvent { flow: flow(0), leg: LegSide::A, code: EventCode(5), duration_ms: 80 };
    assert!(format!("{event:?}").contains("EventCode(_)"));
    assert_eq!((EventCode(5).key(), EventCode(11).key(), EventCode(16).key()), (Some('5'), Some('#'), None));
}

/// Legs between which keys change their form: tones on one, events on the other.
fn legs_with_tones(tones: (LegSide, Codec), events: Codec) -> [LegConfig; 2] {
    let (side, law) = tones;
    let mut legs = if side == LegSide::A { legs(law, events) } else { legs(events, law) };
    let leg = &mut legs[side.index()];
    leg.format = leg.format.map(|format| Format { telephone_event: None, in_band_dtmf: true, ..format });
    legs
}

/// The sampling rate of a codec's speech.
fn rate(codec: Codec) -> Rate {
    if codec == Codec::G722 { Rate::Hz16000 } else { Rate::Hz8000 }
}

fn law(codec: Codec) -> Law {
    if codec == Codec::Pcma { Law::A } else { Law::Mu }
}

/// The packets of 20 ms of speech.
fn encoded(codec: Codec, pcm: &[i16]) -> Vec<Vec<u8>> {
    let mut octets = vec![0; pcm.len() * 8 / rate(codec).samples_per_ms()];
    match codec {
        Codec::G722 => g722::Encoder::new(g722::Mode::Kbit64).encode(pcm, &mut octets),
        _ => octets.iter_mut().zip(pcm).for_each(|(octet, sample)| *octet = law(codec).encode(*sample)),
    }
    octets.chunks(160).map(<[u8]>::to_vec).collect()
}

fn decoded(codec: Codec, packets: &[Received]) -> Vec<i16> {
    let octets: Vec<u8> = packets.iter().flat_map(|packet| packet.payload.clone()).collect();
    if codec != Codec::G722 {
        return octets.iter().map(|octet| law(codec).decode(*octet)).collect();
    }
    let mut pcm = vec![0; 2 * octets.len()];
    g722::Decoder::new(g722::Mode::Kbit64).decode(&octets, &mut pcm);
    pcm
}

/// A tone of so many milliseconds.
fn tone(key: char, ms: usize, rate: Rate) -> Vec<i16> {
    let mut pcm = vec![0; ms * rate.samples_per_ms()];
    ToneGenerator::new(Key::from_char(key).unwrap(), 10, rate).generate(&mut pcm);
    pcm
}

fn buzz(ms: usize, rate: Rate) -> Vec<i16> {
    (0..ms * rate.samples_per_ms()).map(|at| ((at % 73) as i16 - 36) * 100).collect()
}

/// Keys found in audio.
fn keys_in(pcm: &[i16], rate: Rate) -> Vec<Detection> {
    let mut found = Vec::new();
    Detector::new(rate).feed(pcm, |_, detection| found.push(detection));
    found
}

#[test]
fn tones_of_a_leg_without_events_become_events_and_leave_the_audio() {
    for (a, b) in [
        (Codec::Pcmu, Codec::Pcmu),
        (Codec::Pcma, Codec::Pcmu),
        (Codec::Pcmu, Codec::G729),
        (Codec::G722, Codec::G722),
        (Codec::G722, Codec::Pcmu),
    ] {
        let mut rig = Rig::new();
        rig.install(legs_with_tones((LegSide::A, a), b));
        let (mut caller, callee) = (caller(a), callee(b));
        let rate_a = rate(a);
        let audio =
            [buzz(200, rate_a), tone('5', 100, rate_a), buzz(100, rate_a), tone('#', 60, rate_a), buzz(100, rate_a)]
                .concat();
        let mut received = Vec::new();
        for payload in encoded(a, &audio) {
            rig.cable.put(&caller.send(&payload, 160));
            received.extend(rig.settle().iter().map(|frame| callee.receive(frame).unwrap()));
            rig.pass_ms(20);
        }
        let (events, speech): (Vec<_>, Vec<_>) =
            received.iter().cloned().partition(|packet| packet.payload_type == 101);
        assert!(received.windows(2).all(|pair| pair[1].sequence == pair[0].sequence.wrapping_add(1)), "{a:?} to {b:?}");
        for (code, ms) in [(5, 100_i32), (11, 60)] {
            let packets: Vec<_> = events.iter().filter(|packet| packet.payload[0] == code).collect();
            assert!(packets.iter().all(|packet| packet.timestamp == packets[0].timestamp), "{a:?} to {b:?}");
            let markers: Vec<_> = packets.iter().map(|packet| packet.marker).collect();
            assert!(markers[0] && markers[1..].iter().all(|marker| !marker));
            let ends = packets.iter().filter(|packet| packet.payload[1] & 0x80 != 0).count();
            assert_eq!((ends, packets[0].payload[1] & 0x3f), (3, 10));
            let durations: Vec<_> = packets.iter().map(|p| u16::from_be_bytes([p.payload[2], p.payload[3]])).collect();
            assert!(durations.is_sorted(), "{durations:?}");
            let lasted = i32::from(*durations.last().unwrap()) / 8;
            assert!((lasted - ms).abs() <= 40, "{lasted} ms of {ms}");
        }
        if b != Codec::G729 {
            let heard = keys_in(&decoded(b, &speech), rate(b));
            assert_eq!(heard, [], "{a:?} to {b:?}: nothing of the tones that anybody would take for one");
        }
        let told = told(&mut rig);
        let codes = told.iter().map(|event| match event {
            Event::TelephoneEvent { leg: LegSide::A, code, .. } => code.key(),
            other => panic!("{other:?}"),
        });
        assert_eq!(codes.collect::<Vec<_>>(), [Some('5'), Some('#')]);
        assert_eq!((rig.counters.frames_unaccounted(), rig.all_drops()), (0, 0));
    }
}

/// Presses a key with a packet every 20 ms, while time passes; what the callee gets until all is quiet.
fn press_in_time(rig: &mut Rig, frames: &[Vec<u8>], callee: &Endpoint) -> Vec<Received> {
    let mut received = Vec::new();
    for frame in frames {
        rig.cable.put(frame);
        for _ in 0..20 {
            rig.pass_ms(1);
            received.extend(std::iter::from_fn(|| rig.cable.take()).map(|frame| callee.receive(&frame).unwrap()));
        }
    }
    received
}

#[test]
fn events_become_tones_of_their_level_and_length_for_a_leg_without_them() {
    for (a, b) in [
        (Codec::Pcmu, Codec::Pcmu),
        (Codec::Pcmu, Codec::Pcma),
        (Codec::G729, Codec::Pcmu),
        (Codec::Pcmu, Codec::G722),
        (Codec::G722, Codec::G722),
    ] {
        let mut rig = Rig::new();
        rig.install(legs_with_tones((LegSide::B, b), a));
        let (mut caller, callee) = (caller(a), callee(b));
        let speech = vec![0xd5; if a == Codec::G729 { 20 } else { 160 }];
        let first = rig.exchange(&caller.send(&speech, 160), &callee);
        let received = press_in_time(&mut rig, &press(&mut caller, 5), &callee);
        assert!((5..=6).contains(&received.len()), "{a:?} to {b:?}: {} packets", received.len());
        for (n, packet) in received.iter().enumerate() {
            assert_eq!((packet.payload_type, packet.payload.len()), (callee.payload_type, 160));
            assert_eq!(
                (packet.sequence, packet.timestamp),
                (102 + n as u16, 50_161 + 160 * n as u32),
                "{a:?} to {b:?}"
            );
        }
        // The far end's decoder has heard the speech before.
        let per_ms = rate(b).samples_per_ms();
        let pcm = decoded(b, &[&[first], &received[..]].concat()).split_off(20 * per_ms);
        let key = Key::from_char('5').unwrap();
        let heard = keys_in(&[&pcm[..], &vec![0; 100 * per_ms]].concat(), rate(b));
        assert_eq!(heard, [Detection::Pressed(key), Detection::Released(key)], "{a:?} to {b:?}");
        let sounding = pcm.iter().rposition(|sample| sample.abs() > 100).unwrap();
        assert!((97 * per_ms..=104 * per_ms).contains(&sounding), "{a:?} to {b:?}: {sounding} samples");
        assert!(measure(&pcm[10 * per_ms..90 * per_ms]).abs_diff(12) <= 1, "{}", measure(&pcm[80..720]));
        let after = rig.exchange(&caller.send(&speech, 160), &callee);
        assert_eq!((after.sequence, after.payload.len()), (102 + received.len() as u16, 160));
        assert_eq!(told(&mut rig).len(), 1);
        assert_eq!((rig.counters.frames_unaccounted(), rig.all_drops()), (0, 0));
    }
}

#[test]
fn a_tone_whose_event_is_heard_no_more_ends_and_speech_meanwhile_is_replaced() {
    let mut rig = Rig::new();
    rig.install(legs_with_tones((LegSide::B, Codec::Pcma), Codec::Pcmu));
    let (mut caller, callee) = (caller(Codec::Pcmu), callee(Codec::Pcma));
    let first = press(&mut caller, 7).swap_remove(0);
    let received = press_in_time(&mut rig, &[first, caller.send(&[7; 160], 160)], &callee);
    assert!(received.len() >= 2);
    assert_eq!(rig.drops(DropReason::Replaced), 1);
    let mut quiet = 0;
    for _ in 0..500 {
        rig.pass_ms(1);
        quiet = if rig.cable.take().is_some() { 0 } else { quiet + 1 };
    }
    assert!(quiet > 250, "the tone is over");
    rig.exchange(&caller.send(&[7; 160], 160), &callee);
    assert_eq!(rig.counters.frames_unaccounted(), 0);
}

#[test]
fn a_key_that_control_asks_for_is_an_event_in_place_of_the_speech_and_the_speech_goes_on_behind_it() {
    let mut rig = Rig::new();
    rig.install(legs(Codec::Pcmu, Codec::Pcmu));
    let (mut caller, callee) = (caller(Codec::Pcmu), callee(Codec::Pcmu));
    let mut heard: Vec<Received> = Vec::new();
    for n in 0..30 {
        if n == 5 {
            let function = Function::SendKey { leg: LegSide::B, code: EventCode(11), duration_ms: 100 };
            rig.events();
            let done = rig.command(Command::Function { flow: flow(0), request: 7, function });
            assert_eq!(done, Event::FunctionDone { flow: flow(0), request: 7, outcome: Ok(()) });
        }
        rig.cable.put(&caller.send(&[0xd5; 160], 160));
        rig.pass_ms(20);
        heard.extend(std::iter::from_fn(|| rig.cable.take()).map(|frame| callee.receive(&frame).unwrap()));
    }
    let events: Vec<&Received> = heard.iter().filter(|packet| packet.payload_type == 101).collect();
    let payloads: Vec<&[u8]> = events.iter().map(|packet| &packet.payload[..]).collect();
    let of = |duration: u16, end: u8| [11, end | 10, (duration >> 8) as u8, duration as u8];
    let expected = [(160, 0), (320, 0), (480, 0), (640, 0), (800, 0x80), (800, 0x80), (800, 0x80)];
    assert_eq!(payloads, expected.map(|(duration, end)| of(duration, end)));
    assert!(
        events.iter().all(|packet| packet.timestamp == events[0].timestamp),
        "the timestamp is that of its beginning"
    );
    assert_eq!(events.iter().filter(|packet| packet.marker).count(), 1);
    // One line of numbers, without the packets that the key replaced.
    assert!(heard.windows(2).all(|pair| pair[1].sequence == pair[0].sequence.wrapping_add(1)));
    let first = heard.iter().position(|packet| packet.payload_type == 101).unwrap();
    let before = &heard[first - 1];
    let after = &heard[first + 7];
    assert!(heard[first..first + 7].iter().all(|packet| packet.payload_type == 101));
    assert_eq!(events[0].timestamp.wrapping_sub(before.timestamp), 160);
    assert!(after.timestamp.wrapping_sub(events[0].timestamp) >= 800, "speech goes on behind the key");
    assert_eq!(rig.drops(DropReason::Replaced), rig.all_drops());
    // A leg without events is told so.
    let [a, b] = legs(Codec::Pcmu, Codec::Pcmu);
    let plain = |leg: LegConfig| LegConfig { format: leg.format.map(|f| Format { telephone_event: None, ..f }), ..leg };
    let updated = rig.command(Command::UpdateFlow { flow: flow(0), epoch: Epoch(2), legs: [a, plain(b)] });
    assert!(matches!(updated, Event::Updated { .. }), "{updated:?}");
    let function = Function::SendKey { leg: LegSide::B, code: EventCode(1), duration_ms: 100 };
    let done = rig.command(Command::Function { flow: flow(0), request: 8, function });
    assert_eq!(done, Event::FunctionDone { flow: flow(0), request: 8, outcome: Err(Refusal::NoTelephoneEvents) });
}
