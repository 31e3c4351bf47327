//! Addresses that come and go while calls are up.

#![allow(clippy::unwrap_used, reason = "helpers of tests say what they expect, as tests do")]

mod rig;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use rig::*;
use tandem_contract::{Codec, Command, DropReason, Epoch, Event, LegConfig, LegSide, LocalAddress, Refusal};
use tandem_testkit::arp_request_frame;
use tandem_wire::arp::Arp;
use tandem_wire::ethernet::Ethernet;

const FLOATING: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 77);

fn add(request: u32) -> Command {
    let local = LocalAddress { address: FLOATING.into(), prefix_len: 24, gateway: None };
    Command::AddAddress { request, port: 0, local }
}

fn remove(request: u32) -> Command {
    Command::RemoveAddress { request, address: FLOATING.into() }
}

/// Caller at the floating address, callee at the one that stays.
fn floating_legs() -> [LegConfig; 2] {
    let [a, b] = legs(Codec::Pcmu, Codec::Pcmu);
    [LegConfig { local: SocketAddr::new(FLOATING.into(), a.local.port()), ..a }, b]
}

fn announce(request: u32) -> Command {
    Command::AnnounceAddress { request, address: FLOATING.into() }
}

fn announcements(rig: &mut Rig) -> usize {
    let sent = std::iter::from_fn(|| rig.cable.take());
    let ours = |frame: &Vec<u8>| {
        let arp = Ethernet::parse(frame).ok().and_then(|ethernet| Arp::parse(ethernet.payload()).ok());
        arp.is_some_and(|arp| (arp.sender_mac, arp.sender_ip, arp.target_ip) == (GATEWAY_MAC, FLOATING, FLOATING))
    };
    sent.filter(ours).count()
}

#[test]
fn an_address_that_comes_is_announced_twice_and_answers() {
    let mut rig = Rig::new();
    rig.settle();
    let refused = Event::AddressRefused { request: 4, reason: Refusal::LocalAddressNotOurs };
    assert_eq!(rig.command(announce(4)), refused);
    assert_eq!(rig.command(add(5)), Event::AddressAdded { request: 5 });
    assert_eq!(announcements(&mut rig), 0, "it is said when what is on it is there");
    assert_eq!(rig.command(announce(5)), Event::AddressAnnounced { request: 5 });
    assert_eq!(announcements(&mut rig), 1);
    rig.pass_ms(1900);
    assert_eq!(announcements(&mut rig), 0);
    rig.pass_ms(300);
    assert_eq!(announcements(&mut rig), 1);
    rig.pass_ms(5000);
    assert_eq!(announcements(&mut rig), 0);
    rig.cable.put(&arp_request_frame(CALLER_MAC, *CALLER.ip(), FLOATING));
    assert_eq!(rig.settle().len(), 1);
    assert_eq!(rig.command(remove(6)), Event::AddressRemoved { request: 6 });
    rig.cable.put(&arp_request_frame(CALLER_MAC, *CALLER.ip(), FLOATING));
    assert_eq!(rig.settle().len(), 0);
    assert_eq!(rig.command(remove(7)), Event::AddressRefused { request: 7, reason: Refusal::LocalAddressNotOurs });
}

#[test]
fn calls_run_on_an_address_that_came_and_end_there_when_it_goes() {
    let mut rig = Rig::new();
    let refused = Event::Refused { flow: flow(0), epoch: Epoch(1), reason: Refusal::LocalAddressNotOurs };
    let install = Command::InstallFlow { flow: flow(0), epoch: Epoch(1), legs: floating_legs() };
    assert_eq!(rig.command(install), refused);
    rig.command(add(1));
    rig.install(floating_legs());
    let (mut caller, mut callee) = (caller(Codec::Pcmu), callee(Codec::Pcmu));
    caller.peer.set_ip(FLOATING);
    rig.exchange(&caller.send(&[1; 160], 160), &callee);
    let heard = rig.exchange(&callee.send(&[2; 160], 160), &caller);
    assert_eq!(*heard.source.ip(), FLOATING);
    rig.events();

    rig.command(remove(2));
    rig.cable.put(&caller.send(&[1; 160], 160));
    assert!(rig.settle().is_empty());
    assert_eq!(rig.drops(DropReason::NotOurAddress), 1);
    rig.pass_ms(1100);
    assert_eq!(rig.events(), [Event::AddressLost { flow: flow(0), leg: LegSide::A }]);
    rig.cable.put(&callee.send(&[2; 160], 160));
    rig.settle();
    assert_eq!(rig.drops(DropReason::AddressLost), 1);
    rig.pass_ms(3000);
    assert_eq!(rig.events(), [], "it is said once");

    // The address comes back before the call was ended.
    rig.command(add(3));
    rig.pass_ms(1100);
    rig.settle();
    let heard = rig.exchange(&callee.send(&[2; 160], 160), &caller);
    assert_eq!(*heard.source.ip(), FLOATING);
    rig.exchange(&caller.send(&[1; 160], 160), &callee);
    assert_eq!(rig.counters.frames_unaccounted(), 0);
}

#[test]
fn a_port_has_no_more_addresses_than_it_can() {
    let mut rig = Rig::new();
    let local = |host: u8| LocalAddress { address: IpAddr::from([10, 0, 1, host]), prefix_len: 24, gateway: None };
    for host in 1..LocalAddress::MOST as u8 {
        let added = rig.command(Command::AddAddress { request: 0, port: 0, local: local(host) });
        assert_eq!(added, Event::AddressAdded { request: 0 });
    }
    let refused = Event::AddressRefused { request: 9, reason: Refusal::AddressesExhausted };
    assert_eq!(rig.command(add(9)), refused);
    rig.command(Command::RemoveAddress { request: 1, address: local(1).address });
    assert_eq!(rig.command(add(9)), Event::AddressAdded { request: 9 });
}
