//! No frame goes missing: simulated networks with loss, repetition, reordering and junk, by seed.

mod rig;

use rig::*;
use tandem_contract::{Codec, Command, DropReason, Epoch, Event};
use tandem_testkit::{Endpoint, Habits, Network, Received};

const CALLS: u16 = 12;

fn codecs(slot: u16) -> (Codec, Codec) {
    match slot % 4 {
        0 => (Codec::Pcmu, Codec::Pcmu),
        1 => (Codec::Pcmu, Codec::Pcma),
        2 => (Codec::G722, Codec::Pcmu),
        _ => (Codec::G722, Codec::G722),
    }
}

/// Simulates `seconds` of `CALLS` calls whose packets go through a bad network; returns what each callee got.
fn simulate(seed: u64, habits: Habits, seconds: usize) -> (Rig, Vec<Vec<Received>>) {
    let mut rig = Rig::new();
    let mut callers: Vec<Endpoint> = (0..CALLS).map(|slot| caller_at(slot, codecs(slot).0)).collect();
    let callees: Vec<Endpoint> = (0..CALLS).map(|slot| callee_at(slot, codecs(slot).1)).collect();
    for slot in 0..CALLS {
        let (a, b) = codecs(slot);
        rig.install_at(slot.into(), legs_at(slot, a, b));
    }
    rig.events();
    let mut network = Network::new(seed, habits);
    let mut received = vec![Vec::new(); usize::from(CALLS)];
    for packet in 0..seconds * 50 {
        for caller in &mut callers {
            let frame = caller.send(&[packet as u8; 160], 160);
            network.carry(&frame, |frame| rig.cable.put(frame));
        }
        if packet % 100 == 50 {
            // Flows change and go in the middle of it all.
            let slot = (packet / 100) as u16 % CALLS;
            let (a, b) = codecs(slot);
            let legs = legs_at(slot, a, b);
            rig.command(Command::UpdateFlow { flow: flow(slot.into()), epoch: Epoch(packet as u32), legs });
        }
        for frame in rig.settle() {
            let (slot, packet) = callees
                .iter()
                .enumerate()
                .find_map(|(slot, callee)| Some((slot, callee.receive(&frame).ok()?)))
                .expect("every frame that leaves is valid RTP for one of the callees");
            received[slot].push(packet);
        }
        assert_eq!(rig.counters.frames_unaccounted(), 0, "{:?}", rig.drop_names());
        rig.events();
        rig.pass_ms(20);
    }
    (rig, received)
}

#[test]
fn every_frame_is_sent_consumed_or_dropped_by_name_in_any_network() {
    for seed in 0..6 {
        let habits = Habits { loss: 5, duplication: 5, reordering: 8, junk: 20 };
        let (mut rig, received) = simulate(seed, habits, 8);
        let counters = &rig.counters;
        assert_eq!(
            counters.frames_received.get() + counters.frames_originated.get(),
            counters.frames_sent.get() + counters.frames_consumed.get() + rig.all_drops(),
            "seed {seed}"
        );
        assert_eq!(counters.rtp_forwarded.get(), received.iter().map(Vec::len).sum::<usize>() as u64);
        assert!(rig.drops(DropReason::Duplicate) > 20, "{:?}", rig.drop_names());
        for slot in 0..u32::from(CALLS) {
            rig.command(Command::RemoveFlow { flow: flow(slot) });
        }
        assert_eq!(rig.cable.pool().in_use(), 0, "seed {seed}");
    }
}

#[test]
fn a_relayed_stream_is_continuous_but_for_what_was_lost() {
    for seed in 10..14 {
        let habits = Habits { loss: 3, duplication: 3, reordering: 5, junk: 0 };
        let (_, received) = simulate(seed, habits, 8);
        for (slot, packets) in received.iter().enumerate().filter(|(slot, _)| slot % 4 != 2) {
            let first = packets[0].sequence.min(packets[1].sequence);
            let mut sequences: Vec<u16> = packets.iter().map(|p| p.sequence.wrapping_sub(first)).collect();
            sequences.sort_unstable();
            assert!(sequences.windows(2).all(|pair| pair[0] < pair[1]), "call {slot}: a number was used twice");
            assert!(*sequences.last().unwrap() < 8 * 50 + 64, "call {slot}: {sequences:?}");
            for packet in packets {
                assert_eq!(packet.ssrc, packets[0].ssrc);
                let ticks = packet.timestamp.wrapping_sub(packets[0].timestamp) as i32;
                let steps = packet.sequence.wrapping_sub(packets[0].sequence) as i16;
                assert_eq!(ticks, i32::from(steps) * 160, "call {slot}: the timestamp belongs to the sequence number");
            }
        }
    }
}

#[test]
fn a_perfect_network_loses_nothing() {
    let (mut rig, received) = simulate(1, Habits::default(), 4);
    assert!(received.iter().all(|packets| packets.len() == 200));
    assert_eq!(rig.all_drops(), 0);
    let Event::Counters { counters: [a, b], .. } = rig.command(Command::ReadFlow { flow: flow(2) }) else { panic!() };
    assert_eq!((a.packets_received, a.packets_lost, b.packets_sent), (200, 0, 200));
}

#[test]
fn a_full_send_queue_keeps_one_burst_and_drops_the_rest_by_name() {
    let mut rig = Rig::new();
    rig.install(legs(Codec::Pcmu, Codec::Pcmu));
    let mut caller = caller(Codec::Pcmu);
    rig.cable.set_send_room(3);
    for _ in 0..50 {
        rig.cable.put(&caller.send(&[1; 160], 160));
    }
    assert_eq!(rig.settle().len(), 3);
    assert_eq!(rig.drops(DropReason::TransmitQueueFull), 50 - 3 - 32);
    assert_eq!(rig.counters.frames_unaccounted(), 32);
    rig.cable.set_send_room(usize::MAX);
    assert_eq!(rig.settle().len(), 32);
    assert_eq!(rig.counters.frames_unaccounted(), 0);
}

#[test]
fn the_added_latency_of_a_packet_is_the_time_from_its_poll_to_the_next() {
    let mut rig = Rig::new();
    rig.install(legs(Codec::Pcmu, Codec::Pcmu));
    let mut caller = caller(Codec::Pcmu);
    for _ in 0..7 {
        rig.cable.put(&caller.send(&[1; 160], 160));
    }
    rig.settle();
    let mut buckets = [0; tandem_contract::LatencyHistogram::BUCKETS];
    rig.counters.added_latency.snapshot(&mut buckets);
    assert_eq!(buckets[tandem_contract::LatencyHistogram::bucket_of(POLL_NS)], 7);
    assert_eq!(buckets.iter().sum::<u64>(), 7);
}
