//! ARP, neighbours and ICMP: what the gateway answers, asks, and gives up.

#![allow(clippy::unwrap_used, reason = "helpers of tests say what they expect, as tests do")]

mod rig;

use std::net::{Ipv4Addr, SocketAddrV4};

use rig::*;
use tandem_contract::{Codec, Command, DropReason, Epoch};
use tandem_testkit::{Endpoint, arp_reply_frame, arp_request_frame, echo_request_frame};
use tandem_wire::arp::{Arp, Operation};
use tandem_wire::ethernet::{Ethernet, MacAddress};

fn arp(frame: &[u8]) -> Arp {
    Arp::parse(Ethernet::parse(frame).unwrap().payload()).unwrap()
}

#[test]
fn the_start_is_announced_and_requests_for_our_addresses_alone_are_answered() {
    let mut rig = Rig::new();
    rig.poll();
    let announcement = arp(&rig.cable.take().unwrap());
    assert_eq!((announcement.sender_ip, announcement.target_ip), (GATEWAY_IP, GATEWAY_IP));

    rig.cable.put(&arp_request_frame(CALLER_MAC, *CALLER.ip(), GATEWAY_IP));
    rig.cable.put(&arp_request_frame(CALLER_MAC, *CALLER.ip(), Ipv4Addr::new(10, 0, 0, 2)));
    let sent = rig.settle();
    assert_eq!(sent.len(), 1);
    let reply = arp(&sent[0]);
    assert_eq!((reply.operation, reply.sender_mac, reply.sender_ip), (Operation::Reply, GATEWAY_MAC, GATEWAY_IP));
    assert_eq!((reply.target_mac, reply.target_ip), (CALLER_MAC, *CALLER.ip()));
    assert_eq!(Ethernet::parse(&sent[0]).unwrap().destination(), CALLER_MAC);
    assert_eq!((rig.counters.control_answered.get(), rig.counters.frames_consumed.get()), (1, 1));
}

#[test]
fn an_echo_request_is_answered_with_its_own_data() {
    let mut rig = Rig::new();
    rig.settle();
    let caller = caller(Codec::Pcmu);
    rig.cable.put(&echo_request_frame(&caller, b"are you there?"));
    let sent = rig.settle();
    let ethernet = Ethernet::parse(&sent[0]).unwrap();
    assert_eq!((ethernet.destination(), ethernet.source()), (CALLER_MAC, GATEWAY_MAC));
    let ip = tandem_wire::ipv4::Ipv4::parse(ethernet.payload()).unwrap();
    assert!(ip.checksum_holds());
    assert_eq!((ip.source(), ip.destination()), (GATEWAY_IP, *CALLER.ip()));
    assert_eq!((ip.payload()[0], &ip.payload()[8..]), (0, &b"are you there?"[..]));
    let mut message = ip.payload().to_vec();
    assert!(tandem_wire::icmp::IcmpMut::parse(&mut message).unwrap().checksum_holds());
}

#[test]
fn a_flood_of_echo_requests_is_answered_at_a_limited_rate() {
    let mut rig = Rig::new();
    rig.settle();
    let request = echo_request_frame(&caller(Codec::Pcmu), b"");
    for _ in 0..30 {
        (0..50).for_each(|_| rig.cable.put(&request));
        rig.settle();
    }
    // The flood lasts about a millisecond, in which one more permit comes up.
    let answered = rig.counters.control_answered.get();
    assert!((1000..=1002).contains(&answered), "{answered}");
    assert_eq!(rig.drops(DropReason::IcmpRateLimited), 1500 - answered);
}

#[test]
fn packets_wait_for_their_neighbour_in_order_and_not_without_limit() {
    let mut rig = Rig::new();
    rig.answers_arp = false;
    rig.install(legs(Codec::Pcmu, Codec::Pcmu));
    let mut caller = caller(Codec::Pcmu);
    for _ in 0..6 {
        rig.cable.put(&caller.send(&[1; 160], 160));
    }
    assert!(rig.settle().is_empty());
    assert_eq!(rig.drops(DropReason::NeighbourUnresolved), 2);
    assert_eq!(rig.counters.frames_unaccounted(), 4);
    let request = arp_request_frame(GATEWAY_MAC, GATEWAY_IP, *CALLEE.ip());
    rig.cable.put(&arp_reply_frame(&request, CALLEE_MAC).unwrap());
    let sequences: Vec<_> =
        rig.settle().iter().map(|frame| callee(Codec::Pcmu).receive(frame).unwrap().sequence).collect();
    assert_eq!(sequences, [101, 102, 103, 104]);
    assert_eq!(rig.counters.frames_unaccounted(), 0);
}

#[test]
fn a_silent_neighbour_is_asked_again_and_what_waits_for_it_is_given_up() {
    let mut rig = Rig::new();
    rig.answers_arp = false;
    rig.install(legs(Codec::Pcmu, Codec::Pcmu));
    rig.cable.put(&caller(Codec::Pcmu).send(&[1; 160], 160));
    rig.settle();
    rig.pass_ms(700);
    assert_eq!(rig.drops(DropReason::NeighbourUnresolved), 1);
    let again: Vec<_> = std::iter::from_fn(|| rig.cable.take()).map(|frame| arp(&frame).target_ip).collect();
    assert_eq!(again, [*CALLEE.ip(), *CALLER.ip()]);
}

#[test]
fn an_address_is_used_while_it_is_asked_for_again_and_given_up_in_the_end() {
    let mut rig = Rig::new();
    rig.install(legs(Codec::Pcmu, Codec::Pcmu));
    rig.answers_arp = false;
    let (mut caller, callee) = (caller(Codec::Pcmu), callee(Codec::Pcmu));
    rig.pass_ms(30_200);
    let asked: Vec<_> = std::iter::from_fn(|| rig.cable.take()).collect();
    assert_eq!(Ethernet::parse(&asked[0]).unwrap().destination(), CALLEE_MAC, "first the one who had it");
    rig.exchange(&caller.send(&[1; 160], 160), &callee);
    rig.pass_ms(5000);
    let asked: Vec<_> = std::iter::from_fn(|| rig.cable.take()).collect();
    let last = asked.iter().rfind(|frame| arp(frame).target_ip == *CALLEE.ip()).unwrap();
    assert_eq!(Ethernet::parse(last).unwrap().destination(), MacAddress::BROADCAST);
    rig.cable.put(&caller.send(&[1; 160], 160));
    assert!(rig.settle().is_empty());
    // Somebody else has the address now.
    let mac = MacAddress([2, 0, 0, 0, 9, 9]);
    rig.cable.put(&arp_reply_frame(last, mac).unwrap());
    assert_eq!(rig.settle().len(), 1);
    rig.exchange(&caller.send(&[1; 160], 160), &Endpoint { mac, ..callee });
}

#[test]
fn a_stranger_who_was_not_asked_is_not_learned_and_a_moved_neighbour_is() {
    let mut rig = Rig::new();
    rig.install(legs(Codec::Pcmu, Codec::Pcmu));
    let mac = MacAddress([2, 0, 0, 0, 7, 7]);
    rig.cable.put(&arp_request_frame(mac, Ipv4Addr::new(10, 0, 0, 99), GATEWAY_IP));
    rig.settle();
    // The callee's address moves to another machine, which announces it.
    rig.cable.put(&arp_request_frame(mac, *CALLEE.ip(), *CALLEE.ip()));
    rig.settle();
    rig.exchange(&caller(Codec::Pcmu).send(&[1; 160], 160), &Endpoint { mac, ..callee(Codec::Pcmu) });
}

#[test]
fn off_the_link_packets_go_to_the_gateway_or_have_no_route() {
    let far: SocketAddrV4 = "192.0.2.7:7000".parse().unwrap();
    for gateway in [None, Some((*CALLER.ip()).into())] {
        let mut config = engine_config();
        config.ports[0].addresses[0].gateway = gateway;
        let pool = tandem_testkit::Pool::new(64);
        let mut rig = Rig::with(&config, tandem_worker::HandoverEnds::alone(), &pool);
        let mut legs = legs(Codec::Pcmu, Codec::Pcmu);
        legs[1].remote = Some(far.into());
        rig.install(legs);
        rig.cable.put(&caller(Codec::Pcmu).send(&[1; 160], 160));
        let sent = rig.settle();
        if gateway.is_some() {
            let there = Endpoint { local: far, mac: CALLER_MAC, ..callee(Codec::Pcmu) };
            assert_eq!(there.receive(&sent[0]).unwrap().sequence, 101);
        } else {
            assert!(sent.is_empty());
            assert_eq!(rig.drops(DropReason::NoRoute), 1);
        }
    }
}

#[test]
fn a_neighbour_that_no_flow_needs_any_more_is_not_asked_for() {
    let mut rig = Rig::new();
    rig.install(legs(Codec::Pcmu, Codec::Pcmu));
    rig.events();
    rig.command(Command::RemoveFlow { flow: flow(0) });
    rig.pass_ms(40_000);
    assert!(rig.cable.take().is_none());
    // With 16 places in the table, 40 neighbours one after the other find room.
    for host in 20..60 {
        let mut legs = legs(Codec::Pcmu, Codec::Pcmu);
        legs[0].remote = Some(SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, host), 4000).into());
        rig.command(Command::InstallFlow { flow: flow(0), epoch: Epoch(1), legs });
        let asked: Vec<_> = rig.settle().iter().map(|frame| arp(frame).target_ip).collect();
        assert!(asked.contains(&Ipv4Addr::new(10, 0, 0, host)));
        rig.command(Command::RemoveFlow { flow: flow(0) });
        rig.events();
    }
}
