//! What arrives is bit for bit what the codec library makes of what was sent.

#![allow(clippy::unwrap_used, reason = "helpers of tests say what they expect, as tests do")]

mod rig;

use rig::*;
use tandem_codec::Level;
use tandem_codec::transcode::{self, Input, Transcoder};
use tandem_contract::{Codec, Command, DropReason, Epoch, Event, Format, Refusal};
use tandem_testkit::{Endpoint, Received};

const OFFLINE: [(Codec, transcode::Codec); 4] = [
    (Codec::Pcmu, transcode::Codec::Pcmu),
    (Codec::Pcma, transcode::Codec::Pcma),
    (Codec::G722, transcode::Codec::G722),
    (Codec::G729, transcode::Codec::G729),
];

/// The nth packet's payload: a rising tone, roughly, in whatever the codec makes of the octets.
fn payload(n: usize, len: usize) -> Vec<u8> {
    (0..len).map(|at| ((at * (n + 3)) as u8) ^ 0xd5).collect()
}

/// Octets of 10 ms.
fn octets_of_10_ms(codec: Codec) -> usize {
    if codec == Codec::G729 { 10 } else { 80 }
}

struct Offline(Transcoder);

impl Offline {
    fn of(from: Codec, to: Codec) -> Self {
        let codec = |wanted| OFFLINE.iter().find(|(codec, _)| *codec == wanted).unwrap().1;
        Self(Transcoder::new(codec(from), codec(to)))
    }

    fn transcode(&mut self, payload: &[u8]) -> Vec<u8> {
        self.make(Input::Payload(payload))
    }

    fn make(&mut self, input: Input<'_>) -> Vec<u8> {
        let mut output = [0; 2000];
        let made = self.0.transcode(Level::Scalar, input, &mut output).unwrap().octets();
        output[..made].to_vec()
    }
}

#[test]
fn every_pair_of_codecs_is_exact_both_ways() {
    for (a, _) in OFFLINE {
        for (b, _) in OFFLINE {
            let mut rig = Rig::new();
            rig.install(legs(a, b));
            let (mut caller, mut callee) = (caller(a), callee(b));
            let (mut there, mut back) = (Offline::of(a, b), Offline::of(b, a));
            for n in 0..12 {
                let speech = payload(n, 2 * octets_of_10_ms(a));
                let received = rig.exchange(&caller.send(&speech, 160), &callee);
                assert_eq!(received.payload, there.transcode(&speech), "{a:?} to {b:?}, packet {n}");
                assert_eq!((received.sequence, received.payload_type), (101 + n as u16, callee.payload_type));
                assert_eq!(received.timestamp, 50_001 + 160 * n as u32);
                let speech = payload(n, 2 * octets_of_10_ms(b));
                let received = rig.exchange(&callee.send(&speech, 160), &caller);
                assert_eq!(received.payload, back.transcode(&speech), "{b:?} to {a:?}, packet {n}");
            }
        }
    }
}

#[test]
fn many_calls_share_a_batch_and_each_gets_its_own_speech() {
    const CALLS: u16 = 9;
    let mut rig = Rig::new();
    let codecs = |slot: u16| match slot % 3 {
        0 => (Codec::Pcmu, Codec::G722),
        1 => (Codec::G722, Codec::Pcma),
        _ => (Codec::Pcma, Codec::Pcmu),
    };
    let mut callers: Vec<_> = (0..CALLS).map(|slot| caller_at(slot, codecs(slot).0)).collect();
    let callees: Vec<_> = (0..CALLS).map(|slot| callee_at(slot, codecs(slot).1)).collect();
    let mut offline: Vec<_> = (0..CALLS).map(|slot| Offline::of(codecs(slot).0, codecs(slot).1)).collect();
    for slot in 0..CALLS {
        let (a, b) = codecs(slot);
        rig.install_at(slot.into(), legs_at(slot, a, b));
    }
    for n in 0..20 {
        // Two packets of each call in one burst.
        for slot in 0..usize::from(CALLS) {
            for half in 0..2 {
                rig.cable.put(&callers[slot].send(&payload(n * 7 + slot + half, 160), 160));
            }
        }
        let sent = rig.settle();
        assert_eq!(sent.len(), 2 * usize::from(CALLS), "{:?}", rig.drop_names());
        for slot in 0..usize::from(CALLS) {
            let received: Vec<_> = sent.iter().filter_map(|frame| callees[slot].receive(frame).ok()).collect();
            assert_eq!(received.len(), 2);
            for (half, received) in received.iter().enumerate() {
                let speech = payload(n * 7 + slot + half, 160);
                assert_eq!(received.payload, offline[slot].transcode(&speech), "call {slot}, packet {n}.{half}");
                assert_eq!(received.sequence, 100 + 2 * slot as u16 + 1 + (2 * n + half) as u16);
            }
        }
    }
    assert_eq!(rig.all_drops(), 0);
}

#[test]
fn an_empty_or_oversized_payload_is_dropped_and_harms_no_state() {
    let mut rig = Rig::new();
    rig.install(legs(Codec::Pcmu, Codec::G722));
    let (mut caller, callee) = (caller(Codec::Pcmu), callee(Codec::G722));
    let mut offline = Offline::of(Codec::Pcmu, Codec::G722);
    rig.cable.put(&caller.send(&[], 0));
    rig.cable.put(&caller.send(&[1; 961], 961));
    assert!(rig.settle().is_empty());
    assert_eq!(rig.drops(DropReason::PayloadLengthBad), 2);
    let received = rig.exchange(&caller.send(&payload(1, 160), 160), &callee);
    assert_eq!(received.payload, offline.transcode(&payload(1, 160)));
}

#[test]
fn codecs_that_cannot_be_joined_and_states_that_are_not_left_are_refused() {
    let mut rig = Rig::new();
    let install = |slot, legs| Command::InstallFlow { flow: flow(slot), epoch: Epoch(1), legs };
    let refused = |slot, reason| Event::Refused { flow: flow(slot), epoch: Epoch(1), reason };
    let opus = legs(Codec::Pcmu, Codec::Opus);
    assert_eq!(rig.command(install(0, opus)), refused(0, Refusal::CodecPairUnsupported));
    // The rig has 20 states, two a call.
    for slot in 0..10 {
        rig.install_at(slot.into(), legs_at(slot, Codec::Pcmu, Codec::G722));
    }
    let eleventh = legs_at(10, Codec::Pcma, Codec::G722);
    assert_eq!(rig.command(install(10, eleventh)), refused(10, Refusal::TranscodersExhausted));
    rig.install_at(10, legs_at(10, Codec::Pcma, Codec::Pcmu));
    rig.events();
    rig.command(Command::RemoveFlow { flow: flow(3) });
    rig.install_at(11, legs_at(11, Codec::Pcma, Codec::G722));
}

/// Sends 1.2 s of speech in packets of `from_ms` and returns what the callee got, and what the codec library made of it all.
fn reframe(from: (Codec, u8), to: (Codec, u8)) -> (Vec<Received>, Vec<u8>) {
    let mut rig = Rig::new();
    let mut legs = legs(from.0, to.0);
    legs[0].format = legs[0].format.map(|format| Format { ptime_ms: from.1, ..format });
    legs[1].format = legs[1].format.map(|format| Format { ptime_ms: to.1, ..format });
    rig.install(legs);
    let (mut caller, callee) = (caller(from.0), callee(to.0));
    let mut offline = Offline::of(from.0, to.0);
    let (mut received, mut expected) = (Vec::new(), Vec::new());
    for n in 0..1200 / usize::from(from.1) {
        let speech = payload(n, octets_of_10_ms(from.0) * usize::from(from.1) / 10);
        rig.cable.put(&caller.send(&speech, u32::from(from.1) * 8));
        received.extend(rig.settle().iter().map(|frame| callee.receive(frame).unwrap()));
        expected.extend(offline.transcode(&speech));
        assert_eq!(rig.counters.frames_unaccounted(), 0);
    }
    assert_eq!(rig.all_drops(), 0);
    (received, expected)
}

#[test]
fn packet_times_are_each_legs_own() {
    for from in [(Codec::Pcmu, 10), (Codec::Pcmu, 20), (Codec::Pcma, 30), (Codec::G729, 20), (Codec::G722, 60)] {
        for to in [(Codec::Pcmu, 20), (Codec::Pcmu, 30), (Codec::Pcma, 10), (Codec::G729, 40), (Codec::G722, 20)] {
            let (received, expected) = reframe(from, to);
            assert_eq!(received.len(), 1200 / usize::from(to.1), "{from:?} to {to:?}");
            for (n, packet) in received.iter().enumerate() {
                assert_eq!(packet.sequence, 101 + n as u16);
                assert_eq!(packet.timestamp, 50_001 + n as u32 * u32::from(to.1) * 8);
                assert_eq!(packet.marker, n == 0);
            }
            let speech: Vec<u8> = received.into_iter().flat_map(|packet| packet.payload).collect();
            assert_eq!(speech, expected, "{from:?} to {to:?}");
        }
    }
}

#[test]
fn lost_speech_is_made_up_by_the_codecs_own_method_at_its_own_time() {
    for (from, to) in
        [(Codec::Pcmu, Codec::G722), (Codec::G722, Codec::Pcma), (Codec::G729, Codec::Pcmu), (Codec::Pcma, Codec::G729)]
    {
        let mut rig = Rig::new();
        rig.install(legs(from, to));
        let (mut caller, callee) = (caller(from), callee(to));
        let mut offline = Offline::of(from, to);
        let (mut received, mut expected) = (Vec::new(), Vec::new());
        for n in 0..30 {
            let speech = payload(n, 2 * octets_of_10_ms(from));
            let frame = caller.send(&speech, 160);
            match n {
                5 | 10 | 11 => expected.push(offline.make(Input::Lost { ticks: 160 })),
                _ => {
                    rig.cable.put(&frame);
                    received.extend(rig.settle().iter().map(|frame| callee.receive(frame).unwrap()));
                    expected.push(offline.transcode(&speech));
                }
            }
        }
        assert_eq!(rig.counters.frames_concealed.get(), 3);
        let numbers: Vec<_> = received.iter().map(|p| (p.sequence, p.timestamp, p.marker)).collect();
        let in_order: Vec<_> = (0..30).map(|n| (101 + n, 50_001 + u32::from(n) * 160, n == 0)).collect();
        assert_eq!(numbers, in_order, "{from:?} to {to:?}");
        let payloads: Vec<_> = received.into_iter().map(|packet| packet.payload).collect();
        assert_eq!(payloads, expected, "{from:?} to {to:?}");
        assert_eq!((rig.counters.frames_unaccounted(), rig.all_drops()), (0, 0));
    }
}

#[test]
fn a_long_loss_stays_a_gap_a_silence_does_not_and_what_comes_too_late_is_dropped() {
    let mut rig = Rig::new();
    rig.install(legs(Codec::Pcmu, Codec::G722));
    let (mut caller, callee) = (caller(Codec::Pcmu), callee(Codec::G722));
    let mut next = |rig: &mut Rig, skip: u16, ticks: u32| {
        caller.sequence = caller.sequence.wrapping_add(skip);
        caller.timestamp = caller.timestamp.wrapping_add(ticks);
        let late = caller.clone();
        let received = rig.exchange(&caller.send(&[7; 160], 160), &callee);
        (late, (received.sequence - 101, received.timestamp - 50_001, received.marker))
    };
    assert_eq!(next(&mut rig, 0, 0).1, (0, 0, true));
    assert_eq!(next(&mut rig, 10, 1600).1, (11, 1760, true), "ten packets are lost");
    assert_eq!(next(&mut rig, 0, 8000).1, (12, 9920, true), "a second of silence");
    let (mut late, numbers) = next(&mut rig, 0, 0);
    assert_eq!(numbers, (13, 10_080, false));
    late.sequence = late.sequence.wrapping_sub(5);
    rig.cable.put(&late.send(&[7; 160], 160));
    assert!(rig.settle().is_empty());
    assert_eq!(rig.drops(DropReason::TooLate), 1);
    assert_eq!(rig.counters.frames_concealed.get(), 0);
}

#[test]
fn events_keep_their_place_between_packets_that_are_made_anew() {
    let mut rig = Rig::new();
    rig.install(legs(Codec::Pcmu, Codec::G729));
    let (mut caller, callee) = (caller(Codec::Pcmu), callee(Codec::G729));
    rig.exchange(&caller.send(&[7; 160], 160), &callee);
    let mut event = Endpoint { payload_type: 101, ..caller.clone() };
    for n in 1..=3 {
        let received = rig.exchange(&event.send(&[5, 10, 0, 160], 0), &callee);
        assert_eq!((received.payload_type, received.sequence, received.timestamp), (101, 101 + n, 50_161));
        assert_eq!(received.payload, [5, 10, 0, 160]);
    }
    (caller.sequence, caller.timestamp) = (event.sequence, event.timestamp.wrapping_add(480));
    let received = rig.exchange(&caller.send(&[7; 160], 160), &callee);
    assert_eq!((received.payload_type, received.sequence, received.timestamp), (18, 105, 50_641));
    assert_eq!(rig.all_drops(), 0);
}

#[test]
fn a_busy_core_lets_frames_wait_for_others_until_the_deadline_and_no_longer() {
    let mut rig = Rig::new();
    rig.install_at(0, legs_at(0, Codec::Pcmu, Codec::G722));
    rig.install_at(1, legs_at(1, Codec::Pcmu, Codec::Pcmu));
    let (mut waiting, mut busy) = (caller_at(0, Codec::Pcmu), caller_at(1, Codec::Pcmu));
    rig.cable.put(&waiting.send(&[7; 160], 160));
    let callee = callee_at(0, Codec::G722);
    let mut rounds = 0;
    let start = rig.now;
    'rounds: loop {
        rig.cable.put(&busy.send(&[1; 160], 160));
        rig.poll();
        rounds += 1;
        while let Some(frame) = rig.cable.take() {
            if callee.receive(&frame).is_ok() {
                break 'rounds;
            }
        }
        assert!(rounds < 1000);
    }
    assert!((500_000..500_000 + 3 * POLL_NS).contains(&rig.now.since(start)), "{rounds} rounds");
    // Nothing else to do: it runs in the first round that brings nothing.
    rig.settle();
    rig.cable.put(&waiting.send(&[7; 160], 160));
    rig.poll();
    assert!(rig.cable.take().is_none());
    rig.poll();
    assert!(callee.receive(&rig.cable.take().unwrap()).is_ok());
    assert_eq!((rig.counters.batches.get(), rig.counters.batch_frames.get()), (2, 2));
    assert!((500_000..550_000).contains(&rig.counters.batch_wait_ns.get()));
}

#[test]
fn a_full_batch_waits_for_nothing() {
    let mut config = engine_config();
    config.transcoder_capacity = 100;
    let mut rig = Rig::with(&config, tandem_worker::HandoverEnds::alone(), &tandem_testkit::Pool::new(256));
    let mut callers: Vec<_> = (0..32).map(|slot| caller_at(slot, Codec::Pcmu)).collect();
    for slot in 0..32 {
        rig.install_at(slot.into(), legs_at(slot, Codec::Pcmu, Codec::G729));
        rig.events();
    }
    for caller in &mut callers {
        rig.cable.put(&caller.send(&[7; 160], 160));
    }
    rig.poll();
    assert_eq!(std::iter::from_fn(|| rig.cable.take()).count(), 32);
    assert_eq!((rig.counters.batches.get(), rig.counters.batch_frames.get()), (1, 32));
    assert_eq!(rig.counters.batch_wait_ns.get(), 0);
}
