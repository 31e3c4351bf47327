//! RTP as RFC 3550 means it, on legs that are decoded: order, loss, restarts and packet times, bit for bit.

#![allow(clippy::unwrap_used, reason = "helpers of tests say what they expect, as tests do")]

mod rig;

use rig::*;
use tandem_codec::Level;
use tandem_codec::transcode::{self, Input, Transcoder};
use tandem_contract::{Codec, Command, DropReason, Epoch, Event, Format};
use tandem_testkit::{Endpoint, Received};

const WIDTH: u8 = 2;

fn payload(n: usize) -> Vec<u8> {
    (0..160).map(|at| ((at * (n + 3)) as u8) ^ 0xd5).collect()
}

/// G.722 to PCMU, decoded with a window of two packets, after one packet.
struct Decoded {
    rig: Rig,
    frames: Vec<Vec<u8>>,
    callee: Endpoint,
    offline: Transcoder,
}

impl Decoded {
    fn new(width: u8) -> Self {
        let mut rig = Rig::new();
        let mut legs = legs(Codec::G722, Codec::Pcmu);
        legs[0].reorder_packets = width;
        rig.install(legs);
        let mut caller = caller(Codec::G722);
        let frames = (0..40).map(|n| caller.send(&payload(n), 160)).collect();
        let offline = Transcoder::new(transcode::Codec::G722, transcode::Codec::Pcmu);
        Self { rig, frames, callee: callee(Codec::Pcmu), offline }
    }

    /// The packets of these numbers arrive; what the callee gets.
    fn arrive(&mut self, numbers: &[usize]) -> Vec<Received> {
        numbers.iter().for_each(|n| self.rig.cable.put(&self.frames[*n]));
        self.sent()
    }

    fn sent(&mut self) -> Vec<Received> {
        let frames = self.rig.settle();
        frames.iter().map(|frame| self.callee.receive(frame).unwrap()).collect()
    }

    fn expect(&mut self, input: Input<'_>) -> Vec<u8> {
        let mut output = [0; 2000];
        let made = self.offline.transcode(Level::Scalar, input, &mut output).unwrap();
        output[..made.octets()].to_vec()
    }

    /// These packets are those of these numbers, in this order; those with `false` are made up.
    fn assert_speech(&mut self, received: &[Received], numbers: &[(usize, bool)]) {
        assert_eq!(received.len(), numbers.len(), "{:?}", self.rig.drop_names());
        for (received, (n, arrived)) in received.iter().zip(numbers) {
            let speech = payload(*n);
            let input = if *arrived { Input::Payload(&speech) } else { Input::Lost { ticks: 160 } };
            assert_eq!(received.payload, self.expect(input), "packet {n}");
            assert_eq!(received.sequence, 101 + *n as u16);
            assert_eq!(received.timestamp, 50_001 + 160 * *n as u32);
        }
    }
}

#[test]
fn what_was_overtaken_is_decoded_in_order_as_if_nothing_had_happened() {
    // The caller's numbers wrap from 65535 to 0 between the sixth and seventh packet.
    let mut decoded = Decoded::new(WIDTH);
    let received = decoded.arrive(&[0, 1, 3, 2, 4, 7, 5, 6, 8]);
    decoded.assert_speech(&received, &(0..9).map(|n| (n, true)).collect::<Vec<_>>());
    assert_eq!((decoded.rig.all_drops(), decoded.rig.counters.frames_concealed.get()), (0, 0));
}

#[test]
fn a_loss_is_concealed_where_it_was_once_the_window_is_full_and_its_packet_is_too_late() {
    let mut decoded = Decoded::new(WIDTH);
    let received = decoded.arrive(&[0, 2, 3]);
    decoded.assert_speech(&received, &[(0, true)]);
    let received = decoded.arrive(&[4]);
    decoded.assert_speech(&received, &[(1, false), (2, true), (3, true), (4, true)]);
    let received = decoded.arrive(&[1, 5]);
    decoded.assert_speech(&received, &[(5, true)]);
    assert_eq!((decoded.rig.drops(DropReason::TooLate), decoded.rig.all_drops()), (1, 1));
}

#[test]
fn a_loss_before_a_pause_is_given_up_after_as_long_as_the_window_lasts() {
    let mut decoded = Decoded::new(WIDTH);
    let received = decoded.arrive(&[0, 2]);
    decoded.assert_speech(&received, &[(0, true)]);
    decoded.rig.pass_ms(38);
    assert!(decoded.sent().is_empty());
    assert_eq!(decoded.rig.counters.frames_unaccounted(), 1, "it waits");
    decoded.rig.pass_ms(3);
    let received = decoded.sent();
    decoded.assert_speech(&received, &[(1, false), (2, true)]);
}

#[test]
fn a_repeated_packet_is_a_duplicate_whether_its_first_copy_waits_or_went_on() {
    let mut decoded = Decoded::new(WIDTH);
    let received = decoded.arrive(&[0, 0, 2, 2, 1, 2, 1]);
    decoded.assert_speech(&received, &[(0, true), (1, true), (2, true)]);
    assert_eq!((decoded.rig.drops(DropReason::Duplicate), decoded.rig.all_drops()), (4, 4));
}

#[test]
fn a_relayed_leg_waits_for_nothing_and_keeps_its_gaps() {
    let mut rig = Rig::new();
    let mut legs = legs(Codec::Pcmu, Codec::Pcmu);
    legs[0].reorder_packets = 10;
    rig.install(legs);
    let mut caller = caller(Codec::Pcmu);
    let frames: Vec<_> = (0..6).map(|n| caller.send(&payload(n), 160)).collect();
    let mut numbers = Vec::new();
    for n in [0, 2, 1, 5] {
        numbers.push(rig.exchange(&frames[n], &callee(Codec::Pcmu)).sequence - 101);
    }
    assert_eq!(numbers, [0, 2, 1, 5]);
}

#[test]
fn another_ssrc_lets_go_what_waits_and_starts_cleanly() {
    let mut decoded = Decoded::new(WIDTH);
    let received = decoded.arrive(&[0, 1, 3]);
    decoded.assert_speech(&received, &[(0, true), (1, true)]);
    let mut other = Endpoint { ssrc: 0x0dd, sequence: 3, timestamp: 9, ..caller(Codec::G722) };
    decoded.rig.cable.put(&other.send(&payload(4), 160));
    decoded.rig.cable.put(&other.send(&payload(5), 160));
    let received = decoded.sent();
    let numbers: Vec<u16> = received.iter().map(|r| r.sequence - 101).collect();
    assert_eq!(numbers, [2, 3, 4, 5]);
    assert_eq!(received.iter().map(|r| r.marker).collect::<Vec<_>>(), [false, false, true, false]);
    assert!(received.windows(2).all(|pair| pair[1].timestamp.wrapping_sub(pair[0].timestamp) == 160));
    assert_eq!(decoded.rig.all_drops(), 0);
}

#[test]
fn a_timestamp_that_jumps_either_way_leaves_ours_continuous() {
    for (a, b) in [(Codec::Pcmu, Codec::Pcmu), (Codec::Pcmu, Codec::Pcma), (Codec::G722, Codec::Pcmu)] {
        for jump in [500_000_000_u32, 0_u32.wrapping_sub(70_000)] {
            let mut rig = Rig::new();
            rig.install(legs(a, b));
            let (mut caller, callee) = (caller(a), callee(b));
            let first = rig.exchange(&caller.send(&payload(0), 160), &callee);
            caller.timestamp = caller.timestamp.wrapping_add(jump);
            let second = rig.exchange(&caller.send(&payload(1), 160), &callee);
            let third = rig.exchange(&caller.send(&payload(2), 160), &callee);
            let steps = (second.timestamp.wrapping_sub(first.timestamp), third.timestamp - second.timestamp);
            assert_eq!(steps, (160, 160), "{a:?} to {b:?}, {jump}");
            assert_eq!((second.sequence, third.sequence), (first.sequence + 1, first.sequence + 2));
        }
    }
}

/// The packet with two contributing sources, an extension of two words and four octets of padding.
fn with_all_options(mut frame: Vec<u8>, endpoint: &Endpoint) -> Vec<u8> {
    let rtp = frame.split_off(42);
    let mut packet = vec![0x80 | 0x20 | 0x10 | 2];
    packet.extend_from_slice(&rtp[1..12]);
    packet.extend_from_slice(&[1, 1, 1, 1, 2, 2, 2, 2]);
    packet.extend_from_slice(&[0xbe, 0xde, 0, 2, 9, 9, 9, 9, 8, 8, 8, 8]);
    packet.extend_from_slice(&rtp[12..]);
    packet.extend_from_slice(&[0, 0, 0, 4]);
    endpoint.datagram(&packet)
}

#[test]
fn csrc_extension_and_padding_go_through_a_relay_and_end_at_a_transcoder() {
    for (a, b) in [(Codec::Pcmu, Codec::Pcmu), (Codec::Pcmu, Codec::Pcma), (Codec::G722, Codec::Pcmu)] {
        let [mut plain, mut full] = [0, 1].map(|_| {
            let mut rig = Rig::new();
            rig.install(legs(a, b));
            rig
        });
        let mut caller = caller(a);
        let frame = caller.send(&payload(1), 160);
        let expected = plain.exchange(&frame, &callee(b));
        full.cable.put(&with_all_options(frame, &caller));
        let sent = full.settle();
        assert_eq!(sent.len(), 1, "{:?}", full.drop_names());
        assert_eq!(callee(b).receive(&sent[0]).unwrap(), expected, "{a:?} to {b:?}");
        let options = if a == b { 8 + 12 + 4 } else { 0 };
        let first_octet = if a == b { 0xb2 } else { 0x80 };
        assert_eq!((sent[0].len(), sent[0][42]), (42 + 12 + 160 + options, first_octet), "{a:?} to {b:?}");
    }
}

#[test]
fn every_packet_time_becomes_every_other() {
    const TIMES: [u8; 5] = [10, 20, 30, 40, 60];
    for (from, to) in TIMES.iter().flat_map(|from| TIMES.map(|to| (*from, to))) {
        for (a, b) in [(Codec::Pcmu, Codec::Pcmu), (Codec::G722, Codec::Pcma), (Codec::G729, Codec::Pcmu)] {
            let mut rig = Rig::new();
            let mut legs = legs(a, b);
            for (leg, ptime_ms) in legs.iter_mut().zip([from, to]) {
                leg.format = leg.format.map(|format| Format { ptime_ms, ..format });
                leg.reorder_packets = WIDTH;
            }
            rig.install(legs);
            let (mut caller, callee) = (caller(a), callee(b));
            let octets = usize::from(from) * if a == Codec::G729 { 1 } else { 8 };
            // 240 ms, a multiple of all of them; pairs of packets arrive in the wrong order.
            let count = 240 / usize::from(from);
            let mut frames: Vec<_> =
                (0..count).map(|n| caller.send(&vec![n as u8 ^ 0xd5; octets], u32::from(from) * 8)).collect();
            if a != b || from != to {
                frames[1..count / 2].chunks_exact_mut(2).for_each(|pair| pair.swap(0, 1));
            }
            frames.iter().for_each(|frame| rig.cable.put(frame));
            let received: Vec<_> = rig.settle().iter().map(|frame| callee.receive(frame).unwrap()).collect();
            assert_eq!(received.len(), 240 / usize::from(to), "{a:?} {from} ms to {b:?} {to} ms");
            for (n, packet) in received.iter().enumerate() {
                assert_eq!(packet.payload.len(), usize::from(to) * 8);
                assert_eq!(packet.sequence, 101 + n as u16);
                assert_eq!(packet.timestamp, 50_001 + n as u32 * u32::from(to) * 8);
            }
            assert_eq!(rig.all_drops(), 0);
        }
    }
}

#[test]
fn events_keep_their_place_and_those_the_other_side_cannot_take_leave_no_number_twice() {
    for takes_events in [true, false] {
        let mut rig = Rig::new();
        let mut legs = legs(Codec::G722, Codec::Pcmu);
        legs[0].reorder_packets = WIDTH;
        if !takes_events {
            legs[1].format = legs[1].format.map(|format| Format { telephone_event: None, ..format });
        }
        rig.install(legs);
        let (mut caller, callee) = (caller(Codec::G722), callee(Codec::Pcmu));
        let speech = caller.payload_type;
        let mut frames = vec![caller.send(&payload(0), 160)];
        caller.payload_type = 101;
        frames.extend((0..3).map(|_| caller.send(&[5, 10, 0, 160], 0)));
        caller.payload_type = speech;
        caller.timestamp = caller.timestamp.wrapping_add(480);
        frames.extend((0..3).map(|n| caller.send(&payload(n), 160)));
        frames.swap(2, 4);
        frames.iter().for_each(|frame| rig.cable.put(frame));
        let received: Vec<_> = rig.settle().iter().map(|frame| callee.receive(frame).unwrap()).collect();
        let types: Vec<u8> = received.iter().map(|packet| packet.payload_type).collect();
        let numbers: Vec<u16> = received.iter().map(|packet| packet.sequence - 101).collect();
        if takes_events {
            assert_eq!(types, [0, 101, 101, 101, 0, 0, 0]);
            assert_eq!(numbers, [0, 1, 2, 3, 4, 5, 6]);
        } else {
            assert_eq!((types.as_slice(), numbers.as_slice()), (&[0; 4][..], &[0, 1, 2, 3][..]));
            assert_eq!((rig.drops(DropReason::PayloadTypeUnknown), rig.all_drops()), (3, 3));
        }
    }
}

#[test]
fn a_flow_that_changes_or_goes_takes_nothing_that_waits_with_it() {
    for removes in [false, true] {
        let mut decoded = Decoded::new(10);
        let received = decoded.arrive(&[0, 2, 4, 6]);
        decoded.assert_speech(&received, &[(0, true)]);
        assert_eq!(decoded.rig.counters.frames_unaccounted(), 3);
        decoded.rig.events();
        let legs = legs(Codec::Pcmu, Codec::Pcmu);
        let update = Command::UpdateFlow { flow: flow(0), epoch: Epoch(2), legs };
        let command = if removes { Command::RemoveFlow { flow: flow(0) } } else { update };
        assert!(matches!(decoded.rig.command(command), Event::Removed { .. } | Event::Updated { .. }));
        let received = decoded.sent();
        assert_eq!(received.len(), 6, "three that waited and three made up between them");
        assert_eq!((decoded.rig.counters.frames_unaccounted(), decoded.rig.cable.pool().in_use()), (0, 0));
        // The timers find nothing of it.
        decoded.rig.pass_ms(500);
    }
}
