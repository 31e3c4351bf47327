//! What relayed packets look like when they leave.

#![allow(clippy::unwrap_used, reason = "helpers of tests say what they expect, as tests do")]

mod rig;

use rig::*;
use tandem_codec::g711::{self, Law};
use tandem_contract::{
    Codec, Command, Direction, DropReason, Epoch, Event, Format, Learning, LegSide, PayloadType, SourcePolicy,
};
use tandem_testkit::Endpoint;

#[test]
fn packets_go_both_ways_under_our_own_source_with_gaps_kept() {
    let mut rig = Rig::new();
    rig.install(legs(Codec::Pcmu, Codec::Pcmu));
    let (mut caller, mut callee) = (caller(Codec::Pcmu), callee(Codec::Pcmu));
    for n in 0..20_u16 {
        let frame = caller.send(&[n as u8; 160], 160);
        if n == 5 || n == 6 {
            continue; // lost on the way to us
        }
        let received = rig.exchange(&frame, &callee);
        assert_eq!((received.ssrc, received.sequence), (0x5500_0001, 101 + n));
        assert_eq!((received.timestamp, received.marker), (50_001 + 160 * u32::from(n), n == 0));
        assert_eq!((received.payload_type, received.source), (0, callee.peer));
        assert_eq!(received.payload, [n as u8; 160]);
        let back = callee.send(&[0x55; 80], 80);
        let received = rig.exchange(&back, &caller);
        assert_eq!((received.ssrc, received.payload), (0x5500_0000, vec![0x55; 80]));
        rig.pass_ms(19);
    }
    assert_eq!(rig.all_drops(), 0);
    assert_eq!(rig.counters.rtp_forwarded.get(), 36);
    let Event::Removed { counters: [a, b], .. } = last_event(&mut rig, Command::RemoveFlow { flow: flow(0) }) else {
        panic!("not removed");
    };
    assert_eq!((a.packets_received, a.octets_received, a.packets_lost), (18, 18 * 160, 2));
    assert_eq!((a.packets_sent, a.octets_sent), (18, 18 * 80));
    assert_eq!((b.packets_received, b.packets_sent, b.packets_lost, b.packets_dropped), (18, 18, 0, 0));
    assert_eq!(rig.cable.pool().in_use(), 0);
}

/// Gives a command, skips what was said unasked, returns the answer.
fn last_event(rig: &mut Rig, command: Command) -> Event {
    rig.commands.push(command).unwrap();
    rig.poll();
    let mut last = None;
    while let Ok(event) = rig.events.pop() {
        last = Some(event);
    }
    last.unwrap()
}

#[test]
fn laws_are_converted_octet_by_octet_both_ways() {
    let mut rig = Rig::new();
    rig.install(legs(Codec::Pcmu, Codec::Pcma));
    let (mut caller, mut callee) = (caller(Codec::Pcmu), callee(Codec::Pcma));
    let all: Vec<u8> = (0..=255).collect();
    let to_a: Vec<u8> = all.iter().map(|octet| g711::transcode_octet(Law::Mu, *octet)).collect();
    let to_mu: Vec<u8> = all.iter().map(|octet| g711::transcode_octet(Law::A, *octet)).collect();
    let received = rig.exchange(&caller.send(&all, 256), &callee);
    assert_eq!((received.payload_type, received.payload), (8, to_a));
    let received = rig.exchange(&callee.send(&all, 256), &caller);
    assert_eq!((received.payload_type, received.payload), (0, to_mu));
    rig.cable.put(&caller.send(&[], 0));
    rig.settle();
    assert_eq!(rig.drops(DropReason::PayloadLengthBad), 1);
}

#[test]
fn lists_extensions_and_padding_pass_a_relay_and_end_at_a_transcoder() {
    for (to, kept) in [(Codec::Pcmu, true), (Codec::Pcma, false)] {
        let mut rig = Rig::new();
        rig.install(legs(Codec::Pcmu, to));
        let caller = caller(Codec::Pcmu);
        let header = [0xb1, 0x00, 0, 9, 0, 0, 0, 80, 0, 0, 0, 1, 0, 0, 0, 2, 0xbe, 0xde, 0, 1, 0x10, 0xaa, 0, 0];
        let rtp = [&header[..], &[0xff; 10], &[0, 0, 0, 4]].concat();
        rig.cable.put(&caller.datagram(&rtp));
        let sent = rig.settle();
        let out = &sent[0][42..];
        if kept {
            assert_eq!((out[0], &out[12..]), (0xb1, &rtp[12..]));
        } else {
            assert_eq!((out[0], out.len()), (0x80, 12 + 10));
        }
        assert_eq!(callee(to).receive(&sent[0]).unwrap().payload.len(), 10);
    }
}

#[test]
fn payload_types_are_each_legs_own_and_events_pass_where_both_have_them() {
    let mut rig = Rig::new();
    let mut legs = legs(Codec::Pcmu, Codec::Pcma);
    let number = |value| PayloadType::new(value).unwrap();
    let format = legs[1].format.unwrap();
    legs[1].format = Some(Format {
        payload_type: number(97),
        receive_payload_type: number(98),
        telephone_event: Some(number(99)),
        ..format
    });
    rig.install(legs);
    let (mut caller, mut callee) = (caller(Codec::Pcmu), callee(Codec::Pcma));
    assert_eq!(rig.exchange(&caller.send(&[1; 160], 160), &callee).payload_type, 97);
    callee.payload_type = 98;
    assert_eq!(rig.exchange(&callee.send(&[1; 160], 160), &caller).payload_type, 0);
    caller.payload_type = 101;
    let event = rig.exchange(&caller.send(&[5, 10, 0, 160], 0), &callee);
    assert_eq!((event.payload_type, event.payload), (99, vec![5, 10, 0, 160]));
    callee.payload_type = 8;
    rig.cable.put(&callee.send(&[1; 160], 160));
    rig.settle();
    assert_eq!(rig.drops(DropReason::PayloadTypeUnknown), 1);
}

#[test]
fn events_for_a_peer_without_them_leave_no_gap() {
    let mut rig = Rig::new();
    let mut legs = legs(Codec::Pcmu, Codec::Pcmu);
    legs[1].format = legs[1].format.map(|f| Format { telephone_event: None, ..f });
    rig.install(legs);
    let (mut caller, callee) = (caller(Codec::Pcmu), callee(Codec::Pcmu));
    let first = rig.exchange(&caller.send(&[1; 160], 160), &callee);
    for _ in 0..3 {
        rig.cable.put(&Endpoint { payload_type: 101, ..caller.clone() }.send(&[5, 10, 0, 160], 0));
        caller.sequence = caller.sequence.wrapping_add(1);
        assert!(rig.settle().is_empty());
    }
    assert_eq!(rig.drops(DropReason::PayloadTypeUnknown), 3);
    caller.timestamp = caller.timestamp.wrapping_add(480);
    let next = rig.exchange(&caller.send(&[1; 160], 160), &callee);
    assert_eq!((next.sequence, next.timestamp), (first.sequence + 1, first.timestamp + 640));
}

#[test]
fn duplicates_and_packets_from_long_ago_are_dropped_by_name() {
    let mut rig = Rig::new();
    rig.install(legs(Codec::Pcmu, Codec::Pcmu));
    let mut caller = caller(Codec::Pcmu);
    let frames: Vec<_> = (0..200).map(|_| caller.send(&[1; 160], 160)).collect();
    rig.cable.put(&frames[1]);
    rig.cable.put(&frames[0]);
    rig.cable.put(&frames[1]);
    rig.cable.put(&frames[199]);
    rig.cable.put(&frames[50]);
    assert_eq!(rig.settle().len(), 3);
    assert_eq!((rig.drops(DropReason::Duplicate), rig.drops(DropReason::TooLate)), (1, 1));
}

#[test]
fn another_source_joins_the_outgoing_stream_without_a_seam() {
    let mut rig = Rig::new();
    rig.install(legs(Codec::Pcmu, Codec::Pcmu));
    let (mut caller, callee) = (caller(Codec::Pcmu), callee(Codec::Pcmu));
    let first = rig.exchange(&caller.send(&[1; 160], 160), &callee);
    rig.pass_ms(40);
    (caller.ssrc, caller.sequence, caller.timestamp) = (9, 20_000, 1_000_000);
    let second = rig.exchange(&caller.send(&[1; 160], 160), &callee);
    assert_eq!((second.ssrc, second.sequence, second.marker), (first.ssrc, first.sequence + 1, true));
    assert!((320..340).contains(&(second.timestamp - first.timestamp)), "{}", second.timestamp - first.timestamp);
}

#[test]
fn an_update_keeps_numbers_running_and_changes_codec_hold_and_remote() {
    let mut rig = Rig::new();
    let legs_before = legs(Codec::Pcmu, Codec::Pcmu);
    rig.install(legs_before);
    let (mut caller, callee) = (caller(Codec::Pcmu), callee(Codec::Pcmu));
    let mut last = rig.exchange(&caller.send(&[0xff; 160], 160), &callee);
    while rig.events.pop().is_ok() {}

    // The callee puts the caller on hold: we neither listen to the callee nor send to it.
    let mut held = legs_before;
    held[1].direction = Direction::Inactive;
    let update = |epoch, legs| Command::UpdateFlow { flow: flow(0), epoch: Epoch(epoch), legs };
    assert_eq!(rig.command(update(2, held)), Event::Updated { flow: flow(0), epoch: Epoch(2) });
    for _ in 0..50 {
        rig.cable.put(&caller.send(&[0xff; 160], 160));
        assert!(rig.settle().is_empty());
        rig.pass_ms(20);
    }
    assert_eq!(rig.drops(DropReason::DirectionInactive), 50);

    // And takes it back with another codec.
    let resumed = legs(Codec::Pcmu, Codec::Pcma);
    assert_eq!(rig.command(update(3, resumed)), Event::Updated { flow: flow(0), epoch: Epoch(3) });
    let next = rig.exchange(&caller.send(&[0xff; 160], 160), &callee);
    assert_eq!((next.sequence, next.payload_type, next.marker), (last.sequence + 1, 8, true));
    assert!((7900..8200).contains(&(next.timestamp - last.timestamp)), "{}", next.timestamp - last.timestamp);
    last = next;

    // The callee moves to another address on the link.
    let mut moved = resumed;
    moved[1].remote = Some("10.0.0.10:9000".parse().unwrap());
    assert_eq!(rig.command(update(4, moved)), Event::Updated { flow: flow(0), epoch: Epoch(4) });
    let there = Endpoint { mac: CALLER_MAC, local: "10.0.0.10:9000".parse().unwrap(), ..callee };
    let next = rig.exchange(&caller.send(&[0xff; 160], 160), &there);
    assert_eq!(next.sequence, last.sequence + 1);
}

#[test]
fn a_leg_without_format_or_peer_drops_by_name_until_it_has_them() {
    let mut rig = Rig::new();
    let full = legs(Codec::Pcmu, Codec::Pcmu);
    let mut early = full;
    (early[1].format, early[1].remote) = (None, None);
    rig.install(early);
    let (mut caller, mut callee) = (caller(Codec::Pcmu), callee(Codec::Pcmu));
    rig.cable.put(&caller.send(&[1; 160], 160));
    rig.cable.put(&callee.send(&[1; 160], 160));
    assert!(rig.settle().is_empty());
    assert_eq!((rig.drops(DropReason::PeerNotReady), rig.drops(DropReason::NotNegotiated)), (1, 1));
    rig.events.pop().unwrap();
    rig.command(Command::UpdateFlow { flow: flow(0), epoch: Epoch(2), legs: full });
    rig.settle();
    assert_eq!(rig.exchange(&caller.send(&[1; 160], 160), &callee).sequence, 101);
    assert_eq!(rig.exchange(&callee.send(&[1; 160], 160), &caller).sequence, 100);
}

#[test]
fn a_strict_leg_takes_only_the_signalled_source() {
    let mut rig = Rig::new();
    rig.install(legs(Codec::Pcmu, Codec::Pcmu));
    let mut caller = caller(Codec::Pcmu);
    for wrong in ["10.0.0.10:6002", "10.0.0.66:6000"] {
        let mut stranger = Endpoint { local: wrong.parse().unwrap(), ..caller.clone() };
        rig.cable.put(&stranger.send(&[1; 160], 160));
        assert!(rig.settle().is_empty());
    }
    assert_eq!(rig.drops(DropReason::SourceNotAllowed), 2);
    assert_eq!(rig.exchange(&caller.send(&[1; 160], 160), &callee(Codec::Pcmu)).sequence, 101);
}

#[test]
fn a_latching_leg_learns_its_remote_once_and_sends_there() {
    for (learning, from, admitted) in [
        (Learning::Port, "10.0.0.10:6002", true),
        (Learning::Port, "10.0.0.11:6000", false),
        (Learning::Immediate, "10.0.0.11:6666", true),
    ] {
        let mut rig = Rig::new();
        let mut legs = legs(Codec::Pcmu, Codec::Pcmu);
        legs[0].source = SourcePolicy::new(learning);
        rig.install(legs);
        let mut natted = Endpoint { local: from.parse().unwrap(), ..caller(Codec::Pcmu) };
        rig.cable.put(&natted.send(&[1; 160], 160));
        assert_eq!(rig.settle().len(), usize::from(admitted), "{learning:?} {from}");
        if !admitted {
            assert_eq!(rig.drops(DropReason::SourceNotAllowed), 1);
            continue;
        }
        let remote = from.parse().unwrap();
        assert_eq!(
            rig.events.pop(),
            Ok(Event::MediaStarted { flow: flow(0), leg: LegSide::A, remote, handed_over: false })
        );
        // What the callee says goes to the learned address.
        let mac = if natted.local.ip() == CALLER.ip() { CALLER_MAC } else { CALLEE_MAC };
        rig.exchange(&callee(Codec::Pcmu).send(&[1; 160], 160), &Endpoint { mac, ..natted.clone() });
        // The signalled source itself comes too late now.
        rig.cable.put(&caller(Codec::Pcmu).send(&[1; 160], 160));
        assert!(rig.settle().is_empty());
        assert_eq!(rig.drops(DropReason::SourceNotAllowed), 1);
    }
}

#[test]
fn junk_of_an_unknown_payload_type_does_not_latch() {
    let mut rig = Rig::new();
    let mut legs = legs(Codec::Pcmu, Codec::Pcmu);
    legs[0].source = SourcePolicy::new(Learning::Immediate);
    rig.install(legs);
    let mut stranger = Endpoint { local: "10.0.0.66:1".parse().unwrap(), payload_type: 96, ..caller(Codec::Pcmu) };
    rig.cable.put(&stranger.send(&[1; 160], 160));
    rig.cable.put(&stranger.datagram(b"hello"));
    rig.settle();
    assert_eq!((rig.drops(DropReason::PayloadTypeUnknown), rig.drops(DropReason::RtpHeaderBad)), (1, 1));
    rig.exchange(&caller(Codec::Pcmu).send(&[1; 160], 160), &callee(Codec::Pcmu));
}
