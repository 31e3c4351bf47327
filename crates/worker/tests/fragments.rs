//! Fragments of IP packets (RFC 8900): RTP and RTCP fit into one packet, so that nobody needs them, and they are counted out
//! before anything is kept of them.

#![allow(clippy::unwrap_used, reason = "helpers of tests say what they expect, as tests do")]

mod rig;

use std::net::{Ipv6Addr, SocketAddr};

use rig::*;
use tandem_contract::{Codec, Command, DropReason, Epoch, Event};
use tandem_media::{EngineConfig, LocalAddress};
use tandem_testkit::{Endpoint, Pool, advertisement_frame};
use tandem_wire::checksum::Sum;
use tandem_worker::HandoverEnds;

const GATEWAY6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, 1);
const CALLEE6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, 0xb);
const IP_AT: usize = 14;

/// A call between an IPv4 and an IPv6 leg, and its parties.
fn call() -> (Rig, Endpoint, Endpoint<SocketAddr>) {
    let mut config: EngineConfig = engine_config();
    config.ports[0].addresses.push(LocalAddress { address: GATEWAY6.into(), prefix_len: 64, gateway: None });
    let mut rig = Rig::with(&config, HandoverEnds::alone(), &Pool::new(256));
    rig.settle();
    let [a, mut b] = legs(Codec::Pcmu, Codec::Pcmu);
    b.local.set_ip(GATEWAY6.into());
    b.remote = Some(SocketAddr::new(CALLEE6.into(), 7000));
    let installed = rig.command(Command::InstallFlow { flow: flow(0), epoch: Epoch(1), legs: [a, b] });
    assert!(matches!(installed, Event::Installed { .. }));
    let asked = rig.settle();
    let answers: Vec<_> = asked.iter().filter_map(|frame| advertisement_frame(frame, CALLEE_MAC)).collect();
    answers.iter().for_each(|answer| rig.cable.put(answer));
    rig.settle();
    let callee = callee(Codec::Pcmu);
    let callee6 = Endpoint {
        mac: callee.mac,
        local: SocketAddr::new(CALLEE6.into(), 7000),
        peer_mac: callee.peer_mac,
        peer: SocketAddr::new(GATEWAY6.into(), callee.peer.port()),
        payload_type: callee.payload_type,
        sequence: callee.sequence,
        timestamp: callee.timestamp,
        ssrc: callee.ssrc,
        marker: callee.marker,
    };
    (rig, caller(Codec::Pcmu), callee6)
}

/// Octets `from` to `to` of what an IPv4 frame carries, as a fragment. `from` is a multiple of 8.
fn fragment4(frame: &[u8], from: usize, to: usize, more: bool) -> Vec<u8> {
    let carried = &frame[IP_AT + 20..];
    let mut header = frame[IP_AT..IP_AT + 20].to_vec();
    let total = (20 + to - from) as u16;
    header[2..4].copy_from_slice(&total.to_be_bytes());
    header[4..6].copy_from_slice(&7_u16.to_be_bytes());
    let flags = (u16::from(more) << 13) | (from / 8) as u16;
    header[6..8].copy_from_slice(&flags.to_be_bytes());
    header[10..12].fill(0);
    let checksum = Sum::of(&header).checksum();
    header[10..12].copy_from_slice(&checksum);
    [&frame[..IP_AT], &header, &carried[from..to]].concat()
}

/// The same for IPv6, with its fragment header (RFC 8200 §4.5).
fn fragment6(frame: &[u8], from: usize, to: usize, more: bool) -> Vec<u8> {
    let carried = &frame[IP_AT + 40..];
    let mut header = frame[IP_AT..IP_AT + 40].to_vec();
    header[4..6].copy_from_slice(&((8 + to - from) as u16).to_be_bytes());
    let next = std::mem::replace(&mut header[6], 44);
    let place = (from as u16) | u16::from(more);
    let extension = [&[next, 0][..], &place.to_be_bytes(), &[0, 0, 0, 7]].concat();
    [&frame[..IP_AT], &header, &extension, &carried[from..to]].concat()
}

type Cut = fn(&[u8], usize, usize, bool) -> Vec<u8>;

#[test]
fn the_fragments_of_a_packet_are_dropped_by_name_in_whatever_order_they_come() {
    let (mut rig, mut caller, mut callee) = call();
    let frames = [(caller.send(&[1; 160], 160), fragment4 as Cut), (callee.send(&[2; 160], 160), fragment6 as Cut)];
    let mut dropped = 0;
    for (frame, cut) in &frames {
        // 180 octets of UDP: whole in three parts, in two that overlap, and a first one too small for a header.
        for parts in [
            [(0, 64, true), (64, 128, true), (128, 180, false)],
            [(128, 180, false), (0, 64, true), (64, 128, true)],
            [(0, 128, true), (64, 180, false), (0, 128, true)],
            [(0, 8, true), (8, 16, true), (16, 180, false)],
        ] {
            for (from, to, more) in parts {
                rig.cable.put(&cut(frame, from, to, more));
                assert!(rig.settle().is_empty(), "nothing is sent for a fragment");
                dropped += 1;
            }
        }
    }
    assert_eq!((rig.drops(DropReason::IpFragment), rig.all_drops()), (dropped, dropped));
    assert_eq!((rig.counters.frames_unaccounted(), rig.cable.pool().in_use()), (0, 0), "nothing is kept of them");
    // The packets themselves were never heard, and are when they come whole.
    let [to_callee, to_caller] = frames.map(|(frame, _)| {
        rig.cable.put(&frame);
        rig.settle()
    });
    assert_eq!(callee.receive(&to_callee[0]).unwrap().payload, [1; 160]);
    assert_eq!(caller.receive(&to_caller[0]).unwrap().payload, [2; 160]);
}

#[test]
fn a_packet_with_a_fragment_header_that_is_whole_is_one() {
    let (mut rig, caller, mut callee) = call();
    let frame = callee.send(&[3; 160], 160);
    rig.cable.put(&fragment6(&frame, 0, frame.len() - IP_AT - 40, false));
    let sent = rig.settle();
    assert_eq!(caller.receive(&sent[0]).unwrap().payload, [3; 160]);
    assert_eq!(rig.all_drops(), 0, "{:?}", rig.drop_names());
}

#[test]
fn a_flood_of_fragments_takes_nothing_from_a_call() {
    let (mut rig, mut caller, callee) = call();
    let flood = caller.clone();
    for n in 0..200_u8 {
        for _ in 0..20 {
            rig.cable.put(&fragment4(&flood.datagram(&[n; 1000]), 0, 504, true));
        }
        rig.cable.put(&caller.send(&[n; 160], 160));
        let sent = rig.settle();
        assert_eq!(callee.receive(&sent[0]).unwrap().payload, [n; 160]);
    }
    assert_eq!((rig.drops(DropReason::IpFragment), rig.all_drops()), (4000, 4000));
    assert_eq!(rig.cable.pool().in_use(), 0);
}
