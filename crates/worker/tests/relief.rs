//! An address that is handed over as planned: no packet that comes meanwhile is lost.

#![allow(clippy::unwrap_used, reason = "helpers of tests say what they expect, as tests do")]

mod rig;

use std::sync::Arc;

use rig::*;
use tandem_contract::{Codec, Command, DropReason, Event, Fence, Nanos};
use tandem_testkit::arp_request_frame;
use tandem_wire::ethernet::{Ethernet, MacAddress};

/// The node that the address goes to.
const SUCCESSOR_MAC: MacAddress = MacAddress([2, 0, 0, 0, 0, 2]);
const MS: u64 = 1_000_000;

fn rig_with_fence() -> (Rig, Arc<Fence>) {
    let fence = Arc::new(Fence::lifted());
    let rig = Rig::new();
    let mut rig = Rig { worker: rig.worker.with_fence(Arc::clone(&fence)), ..rig };
    rig.install(legs(Codec::Pcmu, Codec::Pcmu));
    fence.permit(rig.now.plus(1000 * MS));
    (rig, fence)
}

/// The address is another's: its flow and itself go, as control orders it, and nothing is forbidden any more.
fn let_go(rig: &mut Rig, fence: &Fence) {
    fence.permit(rig.now);
    rig.events();
    assert!(matches!(rig.command(Command::AbandonFlow { flow: flow(0) }), Event::Removed { .. }));
    let remove = Command::RemoveAddress { request: 1, address: GATEWAY_IP.into() };
    assert_eq!(rig.command(remove), Event::AddressRemoved { request: 1 });
    fence.lift();
}

/// The successor announces it (RFC 5227 §3).
fn announce(rig: &Rig) {
    rig.cable.put(&arp_request_frame(SUCCESSOR_MAC, GATEWAY_IP, GATEWAY_IP));
}

fn addressed(frame: &[u8]) -> (MacAddress, MacAddress) {
    let ethernet = Ethernet::parse(frame).unwrap();
    (ethernet.destination(), ethernet.source())
}

#[test]
fn what_was_taken_before_is_sent_and_what_comes_then_follows_the_address_in_order() {
    let (mut rig, fence) = rig_with_fence();
    let mut caller = caller(Codec::Pcmu);
    rig.cable.put(&caller.send(&[1; 160], 160));
    assert_eq!(rig.settle().len(), 1);
    fence.rest(rig.now);
    let waiting: Vec<Vec<u8>> = (0..100).map(|n| caller.send(&[n; 160], 160)).collect();
    waiting[..50].iter().for_each(|frame| rig.cable.put(frame));
    assert!(rig.settle().is_empty());
    assert_eq!(fence.rested(), 1, "it is said once");
    let_go(&mut rig, &fence);
    waiting[50..].iter().for_each(|frame| rig.cable.put(frame));
    assert!(rig.settle().is_empty(), "nobody has the address yet");
    announce(&rig);
    let passed_on = rig.settle();
    assert_eq!(passed_on.len(), waiting.len());
    for (frame, was) in passed_on.iter().zip(&waiting) {
        assert_eq!(addressed(frame), (SUCCESSOR_MAC, GATEWAY_MAC));
        assert_eq!(frame[12..], was[12..], "it says what it said");
    }
    // Whoever has not heard of it yet.
    rig.cable.put(&caller.send(&[3; 160], 160));
    assert_eq!(addressed(&rig.settle()[0]), (SUCCESSOR_MAC, GATEWAY_MAC));
    assert_eq!((rig.all_drops(), rig.counters.frames_unaccounted()), (0, 0), "{:?}", rig.drop_names());
    assert_eq!(rig.counters.frames_passed_on.get(), 101);
}

#[test]
fn an_address_that_nobody_took_and_that_is_back_loses_nothing_either() {
    let (mut rig, fence) = rig_with_fence();
    let mut caller = caller(Codec::Pcmu);
    fence.rest(rig.now);
    for _ in 0..3 {
        rig.cable.put(&caller.send(&[1; 160], 160));
    }
    fence.permit(rig.now);
    assert!(rig.settle().is_empty());
    fence.wake();
    fence.permit(rig.now.plus(1000 * MS));
    assert_eq!(rig.settle().len(), 3);
    assert_eq!((rig.all_drops(), rig.counters.frames_unaccounted()), (0, 0));
}

#[test]
fn what_nobody_comes_for_is_dropped_by_name_after_a_while() {
    let (mut rig, fence) = rig_with_fence();
    let mut caller = caller(Codec::Pcmu);
    fence.rest(rig.now);
    rig.cable.put(&caller.send(&[1; 160], 160));
    rig.settle();
    let_go(&mut rig, &fence);
    rig.pass_ms(300);
    assert_eq!(rig.drops(DropReason::NotPermitted), 1);
    announce(&rig);
    rig.cable.put(&caller.send(&[1; 160], 160));
    assert!(rig.settle().is_empty(), "what comes now is not ours");
    assert_eq!(rig.drops(DropReason::NotOurAddress), 1);
    assert_eq!(rig.counters.frames_unaccounted(), 0);
}

#[test]
fn a_process_that_was_stopped_at_that_moment_passes_nothing_old_on() {
    let (mut rig, fence) = rig_with_fence();
    fence.rest(rig.now);
    fence.permit(rig.now);
    rig.cable.put(&caller(Codec::Pcmu).send(&[1; 160], 160));
    announce(&rig);
    rig.now = Nanos(rig.now.0 + 2000 * MS);
    assert!(rig.settle().is_empty());
    // And the answer to the announcement: the address is ours as far as this worker knows.
    assert_eq!((rig.drops(DropReason::NotPermitted), rig.counters.frames_unaccounted()), (2, 0));
    assert_eq!(rig.counters.frames_passed_on.get(), 0);
}

#[test]
fn only_who_says_of_himself_that_he_has_the_address_gets_its_packets() {
    let (mut rig, fence) = rig_with_fence();
    fence.rest(rig.now);
    rig.cable.put(&caller(Codec::Pcmu).send(&[1; 160], 160));
    rig.settle();
    let_go(&mut rig, &fence);
    // A question for it, and a neighbour that announces his own.
    rig.cable.put(&arp_request_frame(CALLEE_MAC, *CALLEE.ip(), GATEWAY_IP));
    rig.cable.put(&arp_request_frame(CALLEE_MAC, *CALLEE.ip(), *CALLEE.ip()));
    assert!(rig.settle().is_empty());
    announce(&rig);
    assert_eq!(rig.settle().len(), 1);
}
