//! What arrives is bit for bit what the codec library makes of what was sent.

#![allow(clippy::unwrap_used, reason = "helpers of tests say what they expect, as tests do")]

mod rig;

use rig::*;
use tandem_codec::Level;
use tandem_codec::transcode::{self, Input, Transcoder};
use tandem_contract::{Codec, Command, DropReason, Epoch, Event, Refusal};

const OFFLINE: [(Codec, transcode::Codec); 3] = [
    (Codec::Pcmu, transcode::Codec::Pcmu),
    (Codec::Pcma, transcode::Codec::Pcma),
    (Codec::G722, transcode::Codec::G722),
];

/// The nth packet's payload: a rising tone, roughly, in whatever the codec makes of the octets.
fn payload(n: usize, len: usize) -> Vec<u8> {
    (0..len).map(|at| ((at * (n + 3)) as u8) ^ 0xd5).collect()
}

struct Offline(Transcoder);

impl Offline {
    fn of(from: Codec, to: Codec) -> Self {
        let codec = |wanted| OFFLINE.iter().find(|(codec, _)| *codec == wanted).unwrap().1;
        Self(Transcoder::new(codec(from), codec(to)))
    }

    fn transcode(&mut self, payload: &[u8]) -> Vec<u8> {
        let mut output = [0; 2000];
        let made = self.0.transcode(Level::Scalar, Input::Payload(payload), &mut output).unwrap();
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
                let speech = payload(n, 160);
                let received = rig.exchange(&caller.send(&speech, 160), &callee);
                assert_eq!(received.payload, there.transcode(&speech), "{a:?} to {b:?}, packet {n}");
                assert_eq!((received.sequence, received.payload_type), (101 + n as u16, callee.payload_type));
                assert_eq!(received.timestamp, 50_001 + 160 * n as u32);
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
        // Two packets of each call in one burst (more than a burst in all), of lengths that differ from call to call.
        for slot in 0..usize::from(CALLS) {
            for half in 0..2 {
                let len = 80 + 40 * (slot % 3);
                rig.cable.put(&callers[slot].send(&payload(n * 7 + slot + half, len), len as u32));
            }
        }
        let sent = rig.settle();
        assert_eq!(sent.len(), 2 * usize::from(CALLS), "{:?}", rig.drop_names());
        for slot in 0..usize::from(CALLS) {
            let received: Vec<_> = sent.iter().filter_map(|frame| callees[slot].receive(frame).ok()).collect();
            assert_eq!(received.len(), 2);
            for (half, received) in received.iter().enumerate() {
                let speech = payload(n * 7 + slot + half, 80 + 40 * (slot % 3));
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
