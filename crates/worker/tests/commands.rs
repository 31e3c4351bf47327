//! Commands and events: every command is answered once, refusals change nothing, silence is reported once.

mod rig;

use rig::*;
use tandem_contract::{Codec, Command, Direction, DropReason, Epoch, Event, FlowId, LegCounters, LegSide, Refusal};

fn install(slot: u32, legs: [tandem_contract::LegConfig; 2]) -> Command {
    Command::InstallFlow { flow: flow(slot), epoch: Epoch(1), legs }
}

#[test]
fn what_cannot_be_had_is_refused_by_name_and_changes_nothing() {
    let mut rig = Rig::new();
    let good = legs(Codec::Pcmu, Codec::Pcmu);
    rig.install(good);
    let elsewhere = legs_at(3, Codec::Pcmu, Codec::Pcmu);
    let with_local = |local: &str| {
        let mut legs = elsewhere;
        legs[1].local = local.parse().unwrap();
        legs
    };
    let mut twice = elsewhere;
    twice[1].local = twice[0].local;
    for (slot, legs, reason) in [
        (100, elsewhere, Refusal::SlotOutOfRange),
        (0, elsewhere, Refusal::SlotTaken),
        (1, with_local("10.0.0.2:10100"), Refusal::LocalAddressNotOurs),
        (1, with_local("10.0.0.1:10002"), Refusal::LocalPortTaken),
        (1, with_local("10.0.0.1:10101"), Refusal::LocalPortTaken),
        (1, with_local("10.0.0.1:9998"), Refusal::LocalPortTaken),
        (1, with_local("10.0.0.1:20000"), Refusal::LocalPortTaken),
        (1, twice, Refusal::LocalPortTaken),
        (1, legs_at(3, Codec::Pcmu, Codec::Opus), Refusal::CodecPairUnsupported),
    ] {
        let refused = Event::Refused { flow: flow(slot), epoch: Epoch(1), reason };
        assert_eq!(rig.command(install(slot, legs)), refused);
    }
    assert_eq!(rig.counters.flows.get(), 1);
    rig.exchange(&caller(Codec::Pcmu).send(&[1; 160], 160), &callee(Codec::Pcmu));
}

#[test]
fn a_late_command_for_the_slots_previous_tenant_is_recognised() {
    let mut rig = Rig::new();
    rig.install(legs(Codec::Pcmu, Codec::Pcmu));
    let stale = FlowId { slot: 0, generation: 0 };
    let update = Command::UpdateFlow { flow: stale, epoch: Epoch(9), legs: legs(Codec::Pcmu, Codec::Pcmu) };
    assert_eq!(rig.command(update), Event::Refused { flow: stale, epoch: Epoch(9), reason: Refusal::UnknownFlow });
    let Event::Removed { counters, .. } = rig.command(Command::RemoveFlow { flow: stale }) else { panic!() };
    assert_eq!(counters, [LegCounters::default(); 2]);
    assert_eq!(rig.counters.flows.get(), 1);
}

#[test]
fn a_removed_flow_leaves_its_ports_and_slot_free() {
    let mut rig = Rig::new();
    for generation in 1..50 {
        let id = FlowId { slot: 5, generation };
        let legs = legs(Codec::Pcmu, Codec::G722);
        let command = Command::InstallFlow { flow: id, epoch: Epoch(generation), legs };
        assert_eq!(rig.command(command), Event::Installed { flow: id, epoch: Epoch(generation) });
        rig.settle();
        rig.cable.put(&caller(Codec::Pcmu).send(&[1; 160], 160));
        assert_eq!(rig.settle().len(), 1);
        assert!(matches!(rig.events()[..], [Event::MediaStarted { leg: LegSide::A, .. }]));
        assert!(matches!(rig.command(Command::RemoveFlow { flow: id }), Event::Removed { .. }));
        rig.cable.put(&caller(Codec::Pcmu).send(&[1; 160], 160));
        assert!(rig.settle().is_empty());
    }
    assert_eq!(rig.drops(DropReason::NoFlow), 49);
    assert_eq!(rig.counters.flows.get(), 0);
}

#[test]
fn an_update_can_move_a_leg_to_another_port() {
    let mut rig = Rig::new();
    let before = legs(Codec::Pcmu, Codec::Pcmu);
    rig.install(before);
    let mut after = before;
    after[0].local.set_port(10_500);
    after[1].local.set_port(10_000);
    rig.command(Command::UpdateFlow { flow: flow(0), epoch: Epoch(2), legs: after });
    let mut caller = caller(Codec::Pcmu);
    caller.peer.set_port(10_500);
    let mut callee = callee(Codec::Pcmu);
    callee.peer.set_port(10_000);
    assert_eq!(rig.exchange(&caller.send(&[1; 160], 160), &callee).source, callee.peer);
    callee.peer.set_port(10_002);
    rig.cable.put(&callee.send(&[1; 160], 160));
    rig.settle();
    assert_eq!(rig.drops(DropReason::NoFlow), 1);
}

#[test]
fn silence_is_reported_once_and_again_only_after_speech() {
    let mut rig = Rig::new();
    rig.install(legs(Codec::Pcmu, Codec::Pcmu));
    let mut caller = caller(Codec::Pcmu);
    rig.pass_ms(4000);
    rig.cable.put(&caller.send(&[1; 160], 160));
    rig.pass_ms(3000);
    let events = rig.events();
    assert!(
        matches!(
            events[..],
            [
                Event::MediaStarted { leg: LegSide::A, .. },
                Event::MediaTimeout { leg: LegSide::B, idle_ms: 5000..=6000, .. }
            ]
        ),
        "{events:?}"
    );
    rig.pass_ms(20_000);
    assert!(matches!(rig.events()[..], [Event::MediaTimeout { leg: LegSide::A, .. }]));
    rig.cable.put(&caller.send(&[1; 160], 160));
    rig.pass_ms(10_000);
    assert!(matches!(rig.events()[..], [Event::MediaTimeout { leg: LegSide::A, .. }]));
}

#[test]
fn a_leg_on_hold_or_without_format_is_not_missed() {
    let mut rig = Rig::new();
    let mut quiet = legs(Codec::Pcmu, Codec::Pcmu);
    quiet[0].direction = Direction::SendOnly;
    quiet[1].format = None;
    rig.install(quiet);
    rig.pass_ms(60_000);
    assert!(rig.events().is_empty());
    // From the moment it is listened to, the clock runs anew.
    rig.command(Command::UpdateFlow { flow: flow(0), epoch: Epoch(2), legs: legs(Codec::Pcmu, Codec::Pcmu) });
    rig.pass_ms(4900);
    assert!(rig.events().is_empty());
    rig.pass_ms(1200);
    assert_eq!(rig.events().len(), 2);
}

#[test]
fn commands_wait_while_there_is_no_room_for_their_answers() {
    let mut rig = Rig::new();
    for _ in 0..64 {
        rig.commands.push(Command::ReadFlow { flow: flow(0) }).unwrap();
    }
    rig.poll();
    assert_eq!(rig.commands.slots(), tandem_worker::COMMANDS_PER_POLL, "a bounded number per round");
    (0..10).for_each(|_| rig.poll());
    for _ in 0..64 {
        rig.commands.push(Command::ReadFlow { flow: flow(1) }).unwrap();
    }
    (0..10).for_each(|_| rig.poll());
    assert_eq!(rig.commands.slots(), 0, "the event ring is full");
    assert_eq!(rig.events().len(), 64);
    (0..10).for_each(|_| rig.poll());
    assert_eq!(rig.events().len(), 64);
}
