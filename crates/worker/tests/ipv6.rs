//! The gateway on an IPv6 link, and between one and an IPv4 link.

#![allow(clippy::unwrap_used, reason = "helpers of tests say what they expect, as tests do")]

mod rig;

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use rig::*;
use tandem_contract::{Codec, Command, DropReason, LegConfig};
use tandem_media::{EngineConfig, LocalAddress};
use tandem_testkit::{
    Endpoint, Pool, advertisement_frame, echo_request_frame, listener_query_frame, solicitation_frame,
};
use tandem_wire::ethernet::{Ethernet, MacAddress, VlanId};
use tandem_wire::icmpv6::Icmpv6;
use tandem_wire::ipv6::{ALL_NODES, Ipv6, multicast_mac, solicited_node};
use tandem_wire::mld::ALL_ROUTERS;
use tandem_worker::HandoverEnds;

const GATEWAY6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, 1);
const CALLEE6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, 0xb);
const ROUTER6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
const ROUTER_MAC: MacAddress = MacAddress([2, 0, 0, 0, 0, 0xff]);
const CALLEE6_PORT: u16 = 7000;

fn config() -> EngineConfig {
    let mut config = engine_config();
    config.ports[0].addresses.push(LocalAddress {
        address: GATEWAY6.into(),
        prefix_len: 64,
        gateway: Some(ROUTER6.into()),
    });
    config
}

fn rig(config: &EngineConfig) -> Rig {
    let mut rig = Rig::with(config, HandoverEnds::alone(), &Pool::new(256));
    rig.settle();
    rig
}

/// Leg A over IPv4, leg B over IPv6.
fn mixed_legs(a: Codec, b: Codec) -> [LegConfig; 2] {
    let [leg_a, mut leg_b] = legs(a, b);
    leg_b.local.set_ip(GATEWAY6.into());
    leg_b.remote = Some(SocketAddr::new(CALLEE6.into(), CALLEE6_PORT));
    [leg_a, leg_b]
}

fn callee6(codec: Codec) -> Endpoint<SocketAddr> {
    let callee = callee(codec);
    Endpoint {
        mac: callee.mac,
        local: SocketAddr::new(CALLEE6.into(), CALLEE6_PORT),
        peer_mac: callee.peer_mac,
        peer: SocketAddr::new(GATEWAY6.into(), callee.peer.port()),
        payload_type: callee.payload_type,
        sequence: callee.sequence,
        timestamp: callee.timestamp,
        ssrc: callee.ssrc,
        marker: callee.marker,
    }
}

/// Answers the solicitations among `sent` with `mac`, and returns the answers' effect: what was sent then.
fn answer(rig: &mut Rig, sent: &[Vec<u8>], mac: MacAddress) -> Vec<Vec<u8>> {
    let answers: Vec<_> = sent.iter().filter_map(|frame| advertisement_frame(frame, mac)).collect();
    assert!(!answers.is_empty(), "nobody was asked for");
    answers.iter().for_each(|answer| rig.cable.put(answer));
    rig.settle()
}

fn install(rig: &mut Rig, legs: [LegConfig; 2]) {
    use tandem_contract::{Epoch, Event};
    let command = Command::InstallFlow { flow: flow(0), epoch: Epoch(1), legs };
    assert!(matches!(rig.command(command), Event::Installed { .. }));
    let asked = rig.settle();
    answer(rig, &asked, CALLEE_MAC);
}

fn message(frame: &[u8]) -> (Ipv6<'_>, Icmpv6) {
    let ip = Ipv6::parse(Ethernet::parse(frame).unwrap().payload()).unwrap();
    (ip, Icmpv6::parse(ip.payload(), ip.source(), ip.destination(), ip.hop_limit()).unwrap())
}

#[test]
fn the_start_is_announced_to_all_nodes() {
    let mut rig = Rig::with(&config(), HandoverEnds::alone(), &Pool::new(256));
    let sent = rig.settle();
    assert_eq!(listening(&sent), [(BEGINS, solicited_node(GATEWAY6))], "who asks for it will be heard");
    assert_eq!(Ethernet::parse(&sent[2]).unwrap().destination(), multicast_mac(ALL_NODES));
    let (ip, said) = message(&sent[2]);
    assert_eq!((ip.source(), ip.destination()), (GATEWAY6, ALL_NODES));
    let link_layer = Some(GATEWAY_MAC);
    assert_eq!(said, Icmpv6::Advertisement { target: GATEWAY6, link_layer, overrides: true, solicited: false });
}

/// What records of listener discovery say (RFC 3810 §5.2.12).
const GOES_ON: u8 = 2;
const ENDS: u8 = 3;
const BEGINS: u8 = 4;

/// The records that are reported, with their groups.
fn listening(sent: &[Vec<u8>]) -> Vec<(u8, Ipv6Addr)> {
    let to_routers = |frame: &&Vec<u8>| Ethernet::parse(frame).unwrap().destination() == multicast_mac(ALL_ROUTERS);
    let record = |frame: &Vec<u8>| {
        let ip = Ipv6::parse(Ethernet::parse(frame).unwrap().payload()).unwrap();
        assert_eq!((ip.source(), ip.destination(), ip.hop_limit()), (Ipv6Addr::UNSPECIFIED, ALL_ROUTERS, 1));
        let message = ip.payload();
        assert_eq!((message[0], message.len()), (143, 28));
        (message[8], Ipv6Addr::from(<[u8; 16]>::try_from(&message[12..]).unwrap()))
    };
    sent.iter().filter(to_routers).map(record).collect()
}

#[test]
fn a_question_for_listeners_is_answered_with_the_groups_of_our_addresses() {
    let mut rig = rig(&config());
    let group = solicited_node(GATEWAY6);
    rig.cable.put(&listener_query_frame(ROUTER_MAC, ROUTER6, None));
    rig.cable.put(&listener_query_frame(ROUTER_MAC, ROUTER6, Some(group)));
    assert_eq!(listening(&rig.settle()), [(GOES_ON, group); 2]);
    // From beyond the link, and for a group of others.
    rig.cable.put(&listener_query_frame(ROUTER_MAC, CALLEE6, None));
    rig.cable.put(&listener_query_frame(ROUTER_MAC, ROUTER6, Some(solicited_node(CALLEE6))));
    assert!(rig.settle().is_empty());
    assert_eq!((rig.drops(DropReason::IcmpUnhandled), rig.drops(DropReason::NotOurAddress)), (1, 1));
    assert_eq!(rig.counters.frames_unaccounted(), 0);
}

#[test]
fn an_address_that_comes_and_goes_joins_and_leaves_its_group_unless_another_has_it() {
    let mut rig = rig(&config());
    let address = Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 7, 7);
    let same_group = Ipv6Addr::new(0x2001, 0xdb8, 0, 2, 0, 0, 0, 1);
    let mut said = |address: Ipv6Addr, comes: bool| {
        let local = LocalAddress { address: address.into(), prefix_len: 64, gateway: None };
        let address = address.into();
        if comes {
            rig.command(Command::AddAddress { request: 1, port: 0, local });
            rig.command(Command::AnnounceAddress { request: 2, address });
        } else {
            rig.command(Command::RemoveAddress { request: 3, address });
        }
        listening(&rig.settle())
    };
    assert_eq!(said(address, true), [(BEGINS, solicited_node(address))]);
    assert_eq!(said(address, false), [(ENDS, solicited_node(address))]);
    assert_eq!(said(same_group, true), [(BEGINS, solicited_node(GATEWAY6))]);
    assert_eq!(said(same_group, false), []);
}

#[test]
fn a_solicitation_for_our_address_alone_is_answered() {
    let mut rig = rig(&config());
    rig.cable.put(&solicitation_frame(CALLEE_MAC, CALLEE6, GATEWAY6));
    rig.cable.put(&solicitation_frame(CALLEE_MAC, CALLEE6, ROUTER6));
    // The same group, another address.
    let neighbour = Ipv6Addr::new(0x2001, 0xdb8, 0, 2, 0, 0, 0, 1);
    assert_eq!(solicited_node(neighbour), solicited_node(GATEWAY6));
    rig.cable.put(&solicitation_frame(CALLEE_MAC, CALLEE6, neighbour));
    let sent = rig.settle();
    assert_eq!(sent.len(), 1);
    assert_eq!(Ethernet::parse(&sent[0]).unwrap().destination(), CALLEE_MAC);
    let (ip, said) = message(&sent[0]);
    assert_eq!((ip.source(), ip.destination()), (GATEWAY6, CALLEE6));
    let link_layer = Some(GATEWAY_MAC);
    assert_eq!(said, Icmpv6::Advertisement { target: GATEWAY6, link_layer, overrides: true, solicited: true });
    // ROUTER6 and GATEWAY6 share the last three octets, hence the group: asked, looked at, not ours.
    assert_eq!((rig.counters.control_answered.get(), rig.counters.frames_consumed.get()), (1, 2));
    assert_eq!(rig.all_drops(), 0);
}

#[test]
fn who_would_like_our_address_is_told_before_everybody() {
    let mut rig = rig(&config());
    rig.cable.put(&solicitation_frame(CALLEE_MAC, Ipv6Addr::UNSPECIFIED, GATEWAY6));
    let sent = rig.settle();
    assert_eq!(Ethernet::parse(&sent[0]).unwrap().destination(), multicast_mac(ALL_NODES));
    let (ip, said) = message(&sent[0]);
    assert_eq!(ip.destination(), ALL_NODES);
    assert!(matches!(said, Icmpv6::Advertisement { solicited: false, .. }));
}

#[test]
fn an_echo_request_is_answered_with_its_own_data() {
    let mut rig = rig(&config());
    rig.cable.put(&echo_request_frame(&callee6(Codec::Pcmu), b"are you there?"));
    let sent = rig.settle();
    let ethernet = Ethernet::parse(&sent[0]).unwrap();
    assert_eq!((ethernet.destination(), ethernet.source()), (CALLEE_MAC, GATEWAY_MAC));
    let ip = Ipv6::parse(ethernet.payload()).unwrap();
    assert_eq!((ip.source(), ip.destination()), (GATEWAY6, CALLEE6));
    assert_eq!((ip.payload()[0], &ip.payload()[8..]), (129, &b"are you there?"[..]));
    let mut damaged = echo_request_frame(&callee6(Codec::Pcmu), b"are you there?");
    *damaged.last_mut().unwrap() ^= 1;
    rig.cable.put(&damaged);
    assert!(rig.settle().is_empty());
    assert_eq!(rig.drops(DropReason::IcmpUnhandled), 1);
}

#[test]
fn speech_goes_from_ipv4_to_ipv6_and_back() {
    for (a, b, offload) in [
        (Codec::Pcmu, Codec::Pcmu, false),
        (Codec::Pcmu, Codec::Pcma, false),
        (Codec::Pcmu, Codec::G722, false),
        (Codec::Pcmu, Codec::Pcmu, true),
    ] {
        let mut config = config();
        config.ports[0].checksums.transmit_offload = offload;
        let mut rig = rig(&config);
        install(&mut rig, mixed_legs(a, b));
        let (mut caller, mut callee) = (caller(a), callee6(b));
        for _ in 0..5 {
            rig.cable.put(&caller.send(&[0xd5; 160], 160));
            let sent = rig.settle();
            let received = callee.receive(&sent[0]).unwrap();
            assert_eq!((received.source, received.payload.len()), (SocketAddr::new(GATEWAY6.into(), 10_002), 160));
            rig.cable.put(&callee.send(&[0x55; 160], 160));
            let sent = rig.settle();
            assert_eq!(caller.receive(&sent[0]).unwrap().payload.len(), 160);
        }
        assert_eq!(rig.counters.rtp_forwarded.get(), 10, "{:?}", rig.drop_names());
    }
}

/// The frame with an IEEE 802.1Q tag of VLAN 7.
fn tagged(frame: &[u8]) -> Vec<u8> {
    [&frame[..12], &[0x81, 0, 0, 7], &frame[12..]].concat()
}

fn untagged(frame: &[u8]) -> Vec<u8> {
    assert_eq!(frame[12..16], [0x81, 0, 0, 7]);
    [&frame[..12], &frame[16..]].concat()
}

#[test]
fn in_a_vlan_all_that_is_sent_has_its_tag() {
    let mut config = config();
    config.ports[0].vlan = VlanId::new(7);
    let mut rig = rig(&config);
    use tandem_contract::{Command, Epoch};
    rig.command(Command::InstallFlow { flow: flow(0), epoch: Epoch(1), legs: mixed_legs(Codec::Pcmu, Codec::Pcmu) });
    for question in rig.settle() {
        let question = untagged(&question);
        let answer = tandem_testkit::arp_reply_frame(&question, CALLER_MAC);
        let answer = answer.or_else(|| advertisement_frame(&question, CALLEE_MAC)).unwrap();
        rig.cable.put(&tagged(&answer));
    }
    let (mut caller, mut callee) = (caller(Codec::Pcmu), callee6(Codec::Pcmu));
    rig.cable.put(&tagged(&caller.send(&[1; 160], 160)));
    assert_eq!(callee.receive(&untagged(&rig.settle()[0])).unwrap().payload, [1; 160]);
    rig.cable.put(&tagged(&callee.send(&[2; 160], 160)));
    assert_eq!(caller.receive(&untagged(&rig.settle()[0])).unwrap().payload, [2; 160]);
    rig.cable.put(&caller.send(&[1; 160], 160));
    assert!(rig.settle().is_empty());
    assert_eq!(rig.drops(DropReason::VlanUnknown), 1);
}

#[test]
fn a_packet_that_grows_beyond_the_mtu_on_its_way_to_ipv6_is_dropped_by_name() {
    let mut config = config();
    config.ports[0].mtu = 600;
    let mut rig = rig(&config);
    install(&mut rig, mixed_legs(Codec::Pcmu, Codec::Pcmu));
    let mut caller = caller(Codec::Pcmu);
    rig.cable.put(&caller.send(&vec![1; 600 - 20 - 8 - 12], 160));
    assert!(rig.settle().is_empty());
    assert_eq!(rig.drops(DropReason::FrameTooLong), 1);
}

#[test]
fn udp_over_ipv6_without_a_checksum_is_dropped() {
    let mut rig = rig(&config());
    install(&mut rig, mixed_legs(Codec::Pcmu, Codec::Pcmu));
    let mut frame = callee6(Codec::Pcmu).send(&[1; 160], 160);
    frame[14 + 40 + 6..][..2].fill(0);
    rig.cable.put(&frame);
    assert!(rig.settle().is_empty());
    assert_eq!(rig.drops(DropReason::UdpChecksumBad), 1);
}

#[test]
fn extension_headers_before_udp_are_passed_over_and_cut_off_in_a_relay() {
    let mut rig = rig(&config());
    install(&mut rig, mixed_legs(Codec::Pcmu, Codec::Pcmu));
    let mut callee = callee6(Codec::Pcmu);
    let frame = callee.send(&[9; 160], 160);
    let options = [&[17, 1][..], &[1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]].concat();
    let with_options = callee.packet(60, 64, &[&options, &frame[14 + 40..]].concat());
    rig.cable.put(&with_options);
    let sent = rig.settle();
    assert_eq!(caller(Codec::Pcmu).receive(&sent[0]).unwrap().payload, [9; 160]);
    // A source route with segments left is nobody's business here.
    let route = [&[17, 0, 0, 1, 0, 0, 0, 0][..], &frame[14 + 40..]].concat();
    rig.cable.put(&callee.packet(43, 64, &route));
    assert!(rig.settle().is_empty());
    assert_eq!(rig.drops(DropReason::IpExtensionHeader), 1);
}

#[test]
fn a_remote_off_the_link_is_reached_through_the_router() {
    let mut rig = rig(&config());
    let far = Ipv6Addr::new(0x2001, 0xdb8, 0xff, 0, 0, 0, 0, 1);
    let mut legs = mixed_legs(Codec::Pcmu, Codec::Pcmu);
    legs[1].remote = Some(SocketAddr::new(far.into(), CALLEE6_PORT));
    use tandem_contract::{Command, Epoch};
    rig.command(Command::InstallFlow { flow: flow(0), epoch: Epoch(1), legs });
    let asked = rig.settle();
    let (ip, question) = message(&asked[0]);
    assert_eq!(ip.destination(), solicited_node(ROUTER6));
    assert_eq!(question, Icmpv6::Solicitation { target: ROUTER6, link_layer: Some(GATEWAY_MAC) });
    answer(&mut rig, &asked, ROUTER_MAC);
    rig.cable.put(&caller(Codec::Pcmu).send(&[1; 160], 160));
    let sent = rig.settle();
    assert_eq!(Ethernet::parse(&sent[0]).unwrap().destination(), ROUTER_MAC);
    let ip = Ipv6::parse(Ethernet::parse(&sent[0]).unwrap().payload()).unwrap();
    assert_eq!(IpAddr::V6(ip.destination()), IpAddr::V6(far));
}

#[test]
fn a_remote_of_the_other_family_has_no_route() {
    let mut rig = rig(&config());
    let mut legs = mixed_legs(Codec::Pcmu, Codec::Pcmu);
    legs[1].remote = Some(CALLEE.into());
    use tandem_contract::{Command, Epoch};
    rig.command(Command::InstallFlow { flow: flow(0), epoch: Epoch(1), legs });
    rig.settle();
    rig.cable.put(&caller(Codec::Pcmu).send(&[1; 160], 160));
    assert!(rig.settle().is_empty());
    assert_eq!(rig.drops(DropReason::NoRoute), 1);
}

#[test]
fn an_advertisement_without_the_override_flag_or_without_an_address_confirms_and_replaces_nothing() {
    let mut rig = rig(&config());
    install(&mut rig, mixed_legs(Codec::Pcmu, Codec::Pcmu));
    let question = solicitation_frame(GATEWAY_MAC, GATEWAY6, CALLEE6);
    let other = MacAddress([2, 0, 0, 0, 9, 9]);
    let mut said = advertisement_frame(&question, other).unwrap();
    // Without the flag; the checksum grows by what the flag was.
    said[14 + 40 + 4] &= !0x20;
    let at = 14 + 40 + 2;
    let checksum = u32::from(u16::from_be_bytes([said[at], said[at + 1]])) + 0x2000;
    let checksum = ((checksum & 0xffff) + (checksum >> 16)) as u16;
    said[at..at + 2].copy_from_slice(&checksum.to_be_bytes());
    rig.cable.put(&said);
    rig.settle();
    assert_eq!(rig.all_drops(), 0, "{:?}", rig.drop_names());
    let mut caller = caller(Codec::Pcmu);
    rig.cable.put(&caller.send(&[1; 160], 160));
    assert_eq!(Ethernet::parse(&rig.settle()[0]).unwrap().destination(), CALLEE_MAC);
    // With it the address has moved.
    rig.cable.put(&advertisement_frame(&question, other).unwrap());
    rig.settle();
    rig.cable.put(&caller.send(&[1; 160], 160));
    assert_eq!(Ethernet::parse(&rig.settle()[0]).unwrap().destination(), other);
}

#[test]
fn a_neighbour_is_asked_again_first_itself_and_then_everybody() {
    let mut rig = rig(&config());
    install(&mut rig, mixed_legs(Codec::Pcmu, Codec::Pcmu));
    rig.answers_arp = false;
    rig.pass_ms(30_200);
    let asked = |rig: &mut Rig| -> Vec<(MacAddress, Ipv6Addr)> {
        let frames: Vec<_> = std::iter::from_fn(|| rig.cable.take()).collect();
        let six = |frame: &&Vec<u8>| frame[12..14] == [0x86, 0xdd];
        frames
            .iter()
            .filter(six)
            .map(|frame| (Ethernet::parse(frame).unwrap().destination(), message(frame).0.destination()))
            .collect()
    };
    assert_eq!(asked(&mut rig), [(CALLEE_MAC, CALLEE6)]);
    rig.pass_ms(5000);
    let group = solicited_node(CALLEE6);
    assert_eq!(asked(&mut rig).last(), Some(&(multicast_mac(group), group)));
    rig.cable.put(&caller(Codec::Pcmu).send(&[1; 160], 160));
    assert!(rig.settle().iter().all(|frame| message(frame).0.destination() == group), "given up");
}
