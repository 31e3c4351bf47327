//! Several workers on one port: packets reach the worker that owns their flow, whichever queue they came on.

#![allow(clippy::unwrap_used, reason = "helpers of tests say what they expect, as tests do")]

mod rig;

use rig::*;
use tandem_contract::{Codec, Command, DropReason, Epoch, Event, Refusal, WorkerId};
use tandem_testkit::{Pool, arp_reply_frame, arp_request_frame};
use tandem_worker::mesh;

/// Two workers; each has a device queue of its own.
fn pair() -> [Rig; 2] {
    let pool = Pool::new(256);
    let mut ends = mesh(2, 8).into_iter();
    [0, 1].map(|number| {
        let mut config = engine_config();
        (config.worker, config.workers) = (WorkerId(number), 2);
        let mut rig = Rig::with(&config, ends.next().unwrap(), &pool);
        rig.answers_arp = false;
        rig
    })
}

/// A flow of worker 1: both local ports are 2 mod 4.
fn legs_of_worker_1() -> [tandem_contract::LegConfig; 2] {
    let mut legs = legs(Codec::Pcmu, Codec::Pcmu);
    legs[0].local.set_port(10_002);
    legs[1].local.set_port(10_006);
    legs
}

#[test]
fn a_frame_on_the_wrong_queue_is_handed_to_its_owner_and_timed_from_its_first_receipt() {
    let [mut zero, mut one] = pair();
    one.command(Command::InstallFlow { flow: flow(0), epoch: Epoch(1), legs: legs_of_worker_1() });
    one.settle();
    // The answer to worker 1's question reaches worker 0's queue, who passes it on.
    let question = arp_request_frame(GATEWAY_MAC, GATEWAY_IP, *CALLEE.ip());
    zero.cable.put(&arp_reply_frame(&question, CALLEE_MAC).unwrap());
    zero.settle();
    let mut caller = caller(Codec::Pcmu);
    caller.peer.set_port(10_002);
    let mut callee = callee(Codec::Pcmu);
    callee.peer.set_port(10_006);
    for _ in 0..5 {
        zero.cable.put(&caller.send(&[1; 160], 160));
    }
    assert!(zero.settle().is_empty());
    assert_eq!(zero.counters.handed_over.get(), 5);
    one.now = zero.now.plus(1_000_000);
    let sent = one.settle();
    assert_eq!(sent.iter().filter(|frame| callee.receive(frame).is_ok()).count(), 5);
    assert_eq!(one.counters.handed_in.get(), 5);
    for rig in [&zero, &one] {
        assert_eq!((rig.counters.frames_unaccounted(), rig.all_drops()), (0, 0));
    }
    let mut buckets = [0; tandem_contract::LatencyHistogram::BUCKETS];
    one.counters.added_latency.snapshot(&mut buckets);
    let late = tandem_contract::LatencyHistogram::bucket_of(1_000_000);
    assert_eq!(buckets[late..].iter().sum::<u64>(), 5);
}

#[test]
fn a_full_ring_drops_by_name_and_an_unknown_flow_is_not_handed_back() {
    let [mut zero, mut one] = pair();
    let mut caller = caller(Codec::Pcmu);
    caller.peer.set_port(10_002);
    for _ in 0..12 {
        zero.cable.put(&caller.send(&[1; 160], 160));
    }
    zero.settle();
    assert_eq!((zero.counters.handed_over.get(), zero.drops(DropReason::HandoverFull)), (8, 4));
    one.settle();
    assert_eq!((one.counters.handed_in.get(), one.drops(DropReason::NoFlow)), (8, 8));
    // A port outside the range belongs to nobody.
    caller.peer.set_port(9002);
    zero.cable.put(&caller.send(&[1; 160], 160));
    zero.settle();
    assert_eq!(zero.drops(DropReason::NoFlow), 1);
}

#[test]
fn a_worker_takes_no_flow_whose_port_another_owns() {
    let [mut zero, _] = pair();
    let command = Command::InstallFlow { flow: flow(0), epoch: Epoch(1), legs: legs_of_worker_1() };
    let refused = Event::Refused { flow: flow(0), epoch: Epoch(1), reason: Refusal::LocalPortTaken };
    assert_eq!(zero.command(command), refused);
}
