//! Floods, budgets, lists of sources, flows that nobody uses.

#![allow(clippy::unwrap_used, reason = "helpers of tests say what they expect, as tests do")]

mod rig;

use std::net::Ipv4Addr;

use rig::*;
use tandem_contract::{Codec, Command, DropReason, Epoch, Event, Learning, LegSide, Refusal, SourcePolicy};
use tandem_media::{Defence, EngineConfig, Prefix};
use tandem_testkit::Pool;
use tandem_worker::HandoverEnds;

fn rig_with(defence: Defence) -> Rig {
    Rig::with(&EngineConfig { defence, ..engine_config() }, HandoverEnds::alone(), &Pool::new(256))
}

#[test]
fn a_leg_accepts_no_more_packets_a_second_than_its_budget() {
    let mut rig = rig_with(Defence { flow_packets_per_second: 100, ..Defence::default() });
    rig.install(legs(Codec::Pcmu, Codec::Pcmu));
    let mut caller = caller(Codec::Pcmu);
    let mut passed = 0;
    for _ in 0..300 {
        rig.cable.put(&caller.send(&[1; 160], 160));
        passed += rig.settle().len();
    }
    // The 300 packets take a few milliseconds, in which a packet or two more come up.
    assert!((100..=102).contains(&passed), "{passed}");
    assert_eq!(rig.drops(DropReason::FlowBudget), 300 - passed as u64);
    rig.pass_ms(500);
    let later = (0..100).map(|_| {
        rig.cable.put(&caller.send(&[1; 160], 160));
        rig.settle().len()
    });
    let later: usize = later.sum();
    assert!((50..=53).contains(&later), "{later}");
}

#[test]
fn strangers_use_nothing_of_a_legs_budget_up() {
    let mut rig = rig_with(Defence { flow_packets_per_second: 100, ..Defence::default() });
    rig.install(legs(Codec::Pcmu, Codec::Pcmu));
    let (mut stranger, mut peer) = (caller(Codec::Pcmu), caller(Codec::Pcmu));
    stranger.local.set_ip(Ipv4Addr::new(10, 0, 0, 66));
    for _ in 0..20 {
        (0..100).for_each(|_| rig.cable.put(&stranger.send(&[1; 160], 160)));
        rig.settle();
        rig.exchange(&peer.send(&[1; 160], 160), &callee(Codec::Pcmu));
    }
    assert_eq!(rig.drops(DropReason::SourceNotAllowed), 2000);
    assert_eq!(rig.drops(DropReason::FlowBudget), 0);
}

#[test]
fn a_source_has_one_budget_for_all_legs() {
    let mut rig = rig_with(Defence { source_packets_per_second: 50, ..Defence::default() });
    for slot in 0..2 {
        rig.install_at(slot.into(), legs_at(slot, Codec::Pcmu, Codec::Pcmu));
    }
    let (mut first, mut second) = (caller_at(0, Codec::Pcmu), caller_at(1, Codec::Pcmu));
    let mut passed = 0;
    for _ in 0..50 {
        rig.cable.put(&first.send(&[1; 160], 160));
        rig.cable.put(&second.send(&[1; 160], 160));
        passed += rig.settle().len();
    }
    assert!((50..=51).contains(&passed), "{passed}");
    assert_eq!(rig.drops(DropReason::SourceBudget), 100 - passed as u64);
    rig.exchange(&callee_at(0, Codec::Pcmu).send(&[1; 160], 160), &first);
}

#[test]
fn sources_that_the_lists_do_not_allow_are_not_heard() {
    let one = |address: Ipv4Addr| Prefix { address: address.into(), len: 32 };
    let allow = vec![Prefix { address: Ipv4Addr::new(10, 0, 0, 0).into(), len: 24 }];
    let mut rig = rig_with(Defence { allow, deny: vec![one(*CALLER.ip())], ..Defence::default() });
    rig.install(legs(Codec::Pcmu, Codec::Pcmu).map(|mut leg| {
        leg.source = SourcePolicy::new(Learning::Immediate);
        leg
    }));
    let mut caller = caller(Codec::Pcmu);
    rig.cable.put(&caller.send(&[1; 160], 160));
    caller.local.set_ip(Ipv4Addr::new(192, 0, 2, 1));
    rig.cable.put(&caller.send(&[1; 160], 160));
    assert!(rig.settle().is_empty());
    assert_eq!(rig.drops(DropReason::SourceDenied), 2);
    rig.cable.put(&callee(Codec::Pcmu).send(&[1; 160], 160));
    assert_eq!(rig.settle().len(), 1);
    assert_eq!(rig.counters.frames_unaccounted(), 0);
}

#[test]
fn flows_that_wait_for_their_first_packet_are_limited() {
    let mut rig = rig_with(Defence { half_open_flows: 2, ..Defence::default() });
    let install = |slot: u16| Command::InstallFlow {
        flow: flow(slot.into()),
        epoch: Epoch(1),
        legs: legs_at(slot, Codec::Pcmu, Codec::Pcmu),
    };
    for slot in 0..2 {
        rig.install_at(slot.into(), legs_at(slot, Codec::Pcmu, Codec::Pcmu));
    }
    let refused = Event::Refused { flow: flow(2), epoch: Epoch(1), reason: Refusal::HalfOpenExhausted };
    assert_eq!(rig.command(install(2)), refused);
    // One speaks: there is room again. So there is when one goes.
    rig.exchange(&callee_at(0, Codec::Pcmu).send(&[1; 160], 160), &caller_at(0, Codec::Pcmu));
    assert_eq!(rig.counters.half_open_flows.get(), 1);
    rig.events();
    rig.install_at(2, legs_at(2, Codec::Pcmu, Codec::Pcmu));
    rig.command(Command::RemoveFlow { flow: flow(1) });
    rig.install_at(1, legs_at(1, Codec::Pcmu, Codec::Pcmu));
    for slot in 0..3 {
        rig.command(Command::RemoveFlow { flow: flow(slot) });
    }
    assert_eq!(rig.counters.half_open_flows.get(), 0);
}

#[test]
fn a_leg_that_never_received_is_reported_after_a_time_of_its_own() {
    let config = EngineConfig { first_packet_timeout_ms: 2000, media_timeout_ms: 5000, ..engine_config() };
    let mut rig = Rig::with(&config, HandoverEnds::alone(), &Pool::new(256));
    rig.install(legs(Codec::Pcmu, Codec::Pcmu));
    rig.exchange(&caller(Codec::Pcmu).send(&[1; 160], 160), &callee(Codec::Pcmu));
    rig.events();
    let timeouts = |rig: &mut Rig, ms| {
        rig.pass_ms(ms);
        let legs = rig.events().into_iter().filter_map(|event| match event {
            Event::MediaTimeout { leg, .. } => Some(leg),
            _ => None,
        });
        legs.collect::<Vec<_>>()
    };
    assert_eq!(timeouts(&mut rig, 1900), []);
    assert_eq!(timeouts(&mut rig, 1200), [LegSide::B]);
    assert_eq!(timeouts(&mut rig, 3000), [LegSide::A]);
}

#[test]
fn a_flood_of_junk_beside_calls_costs_none_of_their_packets() {
    const CALLS: u16 = 20;
    let mut rig = Rig::new();
    for slot in 0..CALLS {
        rig.install_at(slot.into(), legs_at(slot, Codec::Pcmu, Codec::Pcmu));
    }
    let mut callers: Vec<_> = (0..CALLS).map(|slot| caller_at(slot, Codec::Pcmu)).collect();
    let mut junk = caller(Codec::Pcmu);
    junk.local.set_ip(Ipv4Addr::new(10, 0, 0, 66));
    let mut heard = 0;
    for round in 0..50_u16 {
        for caller in &mut callers {
            // Ports without a flow, and a leg's port from a stranger.
            for n in 0..8 {
                junk.peer.set_port(12_000 + (round * 37 + n * 501) % 7000);
                rig.cable.put(&junk.send(&[7; 160], 160));
            }
            junk.peer.set_port(caller.peer.port());
            rig.cable.put(&junk.send(&[7; 160], 160));
            rig.cable.put(&caller.send(&[1; 160], 160));
            heard += rig.settle().len();
        }
    }
    assert_eq!(heard, 50 * usize::from(CALLS));
    assert_eq!(rig.drops(DropReason::NoFlow), 50 * 8 * u64::from(CALLS));
    assert_eq!(rig.drops(DropReason::SourceNotAllowed), 50 * u64::from(CALLS));
    assert_eq!(rig.counters.frames_unaccounted(), 0);
}

#[test]
fn lists_that_come_while_calls_are_up_hold_from_the_next_packets_on() {
    let mut rig = rig_with(Defence::default());
    rig.install(legs(Codec::Pcmu, Codec::Pcmu));
    let (mut caller, callee) = (caller(Codec::Pcmu), callee(Codec::Pcmu));
    rig.exchange(&caller.send(&[1; 160], 160), &callee);
    let deny = |prefixes: &[Prefix]| std::sync::Arc::new(tandem_contract::SourceLists::new(&[], prefixes));
    let denied = deny(&[Prefix { address: (*CALLER.ip()).into(), len: 32 }]);
    rig.sources.push(denied.clone()).unwrap();
    rig.pass_ms(2);
    rig.cable.put(&caller.send(&[2; 160], 160));
    assert!(rig.settle().is_empty());
    assert_eq!(rig.drops(DropReason::SourceDenied), 1);
    rig.sources.push(deny(&[])).unwrap();
    rig.pass_ms(2);
    rig.exchange(&caller.send(&[3; 160], 160), &callee);
    assert_eq!(std::sync::Arc::strong_count(&denied), 1, "the worker has let go of the old lists");
}
