//! Nothing on the packet's way allocates.

mod rig;

use std::sync::Arc;

use rig::*;
use tandem_codec::Level;
use tandem_codec::dtmf::{Key, ToneGenerator};
use tandem_codec::g711::{self, Law};
use tandem_codec::resample::Rate;
use tandem_contract::{
    Clip, ClipId, ClipLoad, Codec, Command, CryptoSuite, ForkTarget, Format, Function, LegConfig, LegCrypto, LegSide,
    MasterKey, PayloadType,
};
use tandem_srtp::Sender;
use tandem_testkit::{
    CountingAllocator, Endpoint, MemoryBuf, allocations_during, arp_request_frame, echo_request_frame,
};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// Polls once with `frames` waiting, and returns what the worker allocated.
fn allocations(rig: &mut Rig, frames: &[Vec<u8>]) -> u64 {
    frames.iter().for_each(|frame| rig.cable.put(frame));
    let mut polls = || {
        let mut sent: usize = 0;
        for _ in 0..3 {
            rig.poll();
            while let Some(buf) = rig.cable.take_buf() {
                sent += 1;
                drop::<MemoryBuf>(buf);
            }
        }
        sent
    };
    let mut sent = 0;
    let counted = allocations_during(|| sent = polls());
    assert!(sent > 0 || frames.is_empty() || rig.all_drops() > 0);
    counted
}

fn packets(endpoint: &mut Endpoint, count: usize, len: usize) -> Vec<Vec<u8>> {
    let all = (0..count).map(|n| endpoint.send(&vec![n as u8; len], 160));
    all.enumerate().filter(|(n, _)| n % 10 != 9).map(|(_, frame)| frame).collect()
}

#[test]
fn the_counter_counts() {
    let counted = allocations_during(|| {
        std::hint::black_box(vec![0_u8; 100]);
    });
    assert_eq!(counted, 1);
}

#[test]
fn no_packet_costs_an_allocation_on_any_way_through_the_worker() {
    for (a, b) in [
        (Codec::Pcmu, Codec::Pcmu),
        (Codec::Pcmu, Codec::Pcma),
        (Codec::Pcma, Codec::Pcmu),
        (Codec::Pcmu, Codec::G722),
        (Codec::G722, Codec::Pcma),
        (Codec::G729, Codec::Pcmu),
        (Codec::G722, Codec::G729),
    ] {
        let mut rig = Rig::new();
        // What comes after a lost packet waits for it.
        rig.install(legs(a, b).map(|leg| LegConfig { reorder_packets: 2, ..leg }));
        let (mut caller, mut callee) = (caller(a), callee(b));
        let len = |codec| if codec == Codec::G729 { 20 } else { 160 };
        // From the very first packet on, media start events included; every tenth packet is lost.
        assert_eq!(allocations(&mut rig, &packets(&mut caller, 44, len(a))), 0, "{a:?} to {b:?}");
        assert_eq!(allocations(&mut rig, &packets(&mut callee, 44, len(b))), 0, "{b:?} to {a:?}");
        assert!(rig.counters.rtp_forwarded.get() >= 80);
    }
}

#[test]
fn neither_srtp_nor_its_keys_cost_an_allocation() {
    for suite in CryptoSuite::ALL {
        let mut rig = Rig::new();
        let key = MasterKey::new(suite, &vec![7; suite.key_and_salt_len()]).unwrap();
        let other = MasterKey::new(suite, &vec![8; suite.key_and_salt_len()]).unwrap();
        let keys = LegCrypto { send: key, receive: key };
        let mut legs = legs(Codec::Pcmu, Codec::G722);
        legs[0].crypto = Some(keys);
        rig.install(legs);
        let (mut caller, mut callee) = (caller(Codec::Pcmu), callee(Codec::G722));
        let mut sender = Sender::new(&key, caller.ssrc);
        let sealed: Vec<_> = packets(&mut caller, 44, 160)
            .iter()
            .map(|frame| {
                let mut packet = [&frame[42..], &[0; 16]].concat();
                let len = sender.protect(&mut packet, frame.len() - 42).unwrap();
                caller.datagram(&packet[..len])
            })
            .collect();
        assert_eq!(allocations(&mut rig, &sealed), 0, "{suite:?}");
        assert_eq!(allocations(&mut rig, &packets(&mut callee, 44, 160)), 0, "{suite:?}");
        assert!(rig.counters.rtp_forwarded.get() >= 76, "{:?}", rig.drop_names());
        let epoch = tandem_contract::Epoch(2);
        legs[0].crypto = Some(LegCrypto { send: other, receive: other });
        legs[1].crypto = Some(keys);
        rig.commands.push(Command::UpdateFlow { flow: flow(0), epoch, legs }).unwrap();
        rig.commands.push(Command::RemoveFlow { flow: flow(0) }).unwrap();
        // Forged ones first, then ones for a flow that is gone.
        assert_eq!(allocations(&mut rig, &sealed), 0, "{suite:?}");
    }
}

#[test]
fn reframing_costs_no_allocation() {
    for (from_ms, to_ms) in [(20, 10), (20, 30)] {
        let mut rig = Rig::new();
        let mut legs = legs(Codec::Pcmu, Codec::Pcma);
        legs[0].format = legs[0].format.map(|format| Format { ptime_ms: from_ms, ..format });
        legs[1].format = legs[1].format.map(|format| Format { ptime_ms: to_ms, ..format });
        rig.install(legs);
        assert_eq!(allocations(&mut rig, &packets(&mut caller(Codec::Pcmu), 44, 160)), 0);
        assert!(rig.counters.rtp_forwarded.get() > 20);
    }
}

#[test]
fn silence_costs_no_allocation_whoever_describes_it() {
    for (a, b, says) in
        [(Codec::Pcmu, Codec::G729, true), (Codec::Pcmu, Codec::G729, false), (Codec::Pcmu, Codec::Pcma, false)]
    {
        let mut rig = Rig::new();
        let mut legs = legs(a, b);
        legs[0].format =
            legs[0].format.map(|format| Format { comfort_noise: Some(PayloadType::COMFORT_NOISE), ..format });
        legs[1].format = legs[1].format.map(|format| Format { annexb: says, ..format });
        rig.install(legs);
        let mut caller = caller(a);
        let mut frames = packets(&mut caller, 4, 160);
        caller.payload_type = 13;
        frames.push(caller.send(&[50, 70, 150], 1600));
        assert_eq!(allocations(&mut rig, &frames), 0);
        let counted = allocations_during(|| {
            for _ in 0..200 {
                rig.pass_ms(1);
                while rig.cable.take_buf().is_some() {}
            }
        });
        assert_eq!(counted, 0);
        assert_eq!(rig.counters.frames_of_noise.get() > 8, !says);
        caller.payload_type = 0;
        assert_eq!(allocations(&mut rig, &packets(&mut caller, 4, 160)), 0);
    }
}

#[test]
fn keys_cost_no_allocation_whether_tones_or_events() {
    for tones in LegSide::BOTH {
        let mut rig = Rig::new();
        let mut legs = legs(Codec::Pcmu, Codec::Pcma);
        let leg = &mut legs[tones.index()];
        leg.format = leg.format.map(|format| Format { telephone_event: None, in_band_dtmf: true, ..format });
        rig.install(legs);
        let mut caller = caller(Codec::Pcmu);
        let mut generator = ToneGenerator::new(Key::from_char('5').unwrap(), 10, Rate::Hz8000);
        let frames: Vec<_> = (0..10_u16)
            .map(|n| {
                let (mut pcm, mut octets) = ([0; 160], [0; 160]);
                if n < 5 {
                    generator.generate(&mut pcm);
                }
                g711::encode(Level::Scalar, Law::Mu, &pcm, &mut octets);
                let [high, low] = (160 * n).to_be_bytes();
                if tones == LegSide::B {
                    caller.payload_type = 101;
                    return caller.send(&[5, if n > 6 { 0x8a } else { 10 }, high, low], 0);
                }
                caller.send(&octets, 160)
            })
            .collect();
        let counted = allocations_during(|| {
            for frame in &frames {
                rig.cable.put(frame);
                rig.pass_ms(20);
                while rig.cable.take_buf().is_some() {}
            }
        });
        // What the test's own cable keeps is not the worker's.
        let own = allocations_during(|| frames.iter().for_each(|frame| rig.cable.put(frame)));
        assert!(counted <= own, "{counted} allocations, {own} of them the cable's");
        assert_eq!(rig.counters.telephone_events.get(), 1);
    }
}

#[test]
fn neither_questions_nor_junk_nor_commands_cost_an_allocation() {
    let mut rig = Rig::new();
    rig.install(legs(Codec::Pcmu, Codec::G722));
    let mut caller = caller(Codec::Pcmu);
    let mut junk = vec![
        arp_request_frame(CALLER_MAC, *CALLER.ip(), GATEWAY_IP),
        echo_request_frame(&caller, b"hello"),
        caller.datagram(b"junk"),
        caller.datagram(&[0x80, 200, 0, 0]),
        caller.datagram(&[0, 1, 0, 0]),
        caller_at(40, Codec::Pcmu).send(&[0; 160], 160),
        vec![0; 5],
        vec![0xff; 100],
        Endpoint { payload_type: 77, ..caller.clone() }.send(&[0; 160], 160),
        Endpoint { local: "10.0.0.3:3".parse().unwrap(), ..caller.clone() }.send(&[0; 160], 160),
    ];
    let speech = caller.send(&[0; 160], 160);
    junk.extend([speech.clone(), speech.clone(), speech[..speech.len() - 3].to_vec()]);
    assert_eq!(allocations(&mut rig, &junk), 0);
    assert!(rig.drop_names().len() >= 7, "{:?}", rig.drop_names());

    rig.commands.push(Command::ReadFlow { flow: flow(0) }).unwrap();
    rig.commands.push(Command::RemoveFlow { flow: flow(0) }).unwrap();
    let legs = legs(Codec::G722, Codec::Pcma);
    let epoch = tandem_contract::Epoch(1);
    rig.commands.push(Command::InstallFlow { flow: flow(1), epoch, legs }).unwrap();
    rig.commands.push(Command::UpdateFlow { flow: flow(1), epoch, legs }).unwrap();
    assert_eq!(allocations(&mut rig, &[]), 0);
    assert!(rig.events().len() >= 4);
    let timers = allocations_during(|| rig.pass_ms(6000));
    assert_eq!(timers, 0);
}

#[test]
fn neither_clips_nor_copies_cost_an_allocation() {
    let mut rig = Rig::new();
    rig.install(legs(Codec::Pcmu, Codec::G722));
    let octets = |codec| vec![7; 22 * Clip::octets_per_10_ms(codec).unwrap()].into_boxed_slice();
    let codecs = [Codec::Pcmu, Codec::G722];
    let clip = Arc::new(Clip::new(160, codecs.map(|codec| (codec, octets(codec)))).unwrap());
    rig.clips.push(ClipLoad { id: ClipId(1), clip: Some(Arc::clone(&clip)) }).unwrap();
    let to = ForkTarget { remote: CALLEE.into(), ssrc: 1, first_sequence: 1, first_timestamp: 1, key: None };
    let counted = allocations_during(|| {
        for function in [
            Function::Play { leg: LegSide::A, clip: ClipId(1), repeat: true },
            Function::Record { on: true },
            Function::Fork { leg: LegSide::A, to: Some(to) },
        ] {
            rig.commands.push(Command::Function { flow: flow(0), request: 0, function }).unwrap();
        }
        for _ in 0..200 {
            rig.pass_ms(1);
            while rig.cable.take_buf().is_some() {}
        }
    });
    assert_eq!(counted, 0);
    assert_eq!(rig.counters.packets_played.get(), 10);
    assert_eq!(allocations(&mut rig, &packets(&mut caller(Codec::Pcmu), 44, 160)), 0);
    assert!(rig.counters.packets_recorded.get() > 30 && rig.counters.packets_forked.get() > 30);
}
