//! Messages get lost, endpoints vanish; calls end all the same.
#![allow(missing_docs)]

mod support;

use support::{ALICE, BOB, Stage, sdp};
use tandem_call::Ended;
use tandem_contract::{Event, LegSide};

#[test]
fn a_retransmitted_invite_is_absorbed() {
    let mut stage = Stage::new();
    let invite = stage.alice.invite("200", &sdp(ALICE, 4000, "0", ""));
    stage.alice_sends(&invite);
    let at_bob = stage.bob.expect_request("INVITE");
    stage.pass_ms(200);
    stage.alice.expect_status(100);
    stage.alice_sends(&invite);
    stage.alice.expect_status(100);
    let ringing = stage.bob.answer(&at_bob, 180, "Ringing", "");
    stage.bob_sends(ringing);
    stage.alice.expect_status(180);
    stage.alice_sends(&invite);
    stage.alice.expect_status(180);
    stage.bob.expect_silence();
    assert_eq!(stage.switch.snapshot(stage.now).len(), 1);
}

#[test]
fn a_200_whose_ack_is_lost_is_repeated_until_the_ack_comes() {
    let mut stage = Stage::new();
    let invite = stage.alice_calls(&sdp(ALICE, 4000, "0", ""));
    let ok = stage.bob.answer(&invite, 200, "OK", &sdp(BOB, 6000, "8", ""));
    stage.bob_sends(ok);
    let first = stage.alice.expect_status(200);
    stage.pass_ms(1_600);
    assert_eq!(stage.alice.expect_status(200).body, first.body);
    stage.alice.expect_status(200);
    let ack = stage.alice.ack(&first, "");
    stage.alice_sends(ack);
    stage.pass_ms(60_000);
    stage.alice.expect_silence();
}

#[test]
fn a_200_that_is_never_acknowledged_ends_the_call() {
    let mut stage = Stage::new();
    let invite = stage.alice_calls(&sdp(ALICE, 4000, "0", ""));
    let ok = stage.bob.answer(&invite, 200, "OK", &sdp(BOB, 6000, "8", ""));
    stage.bob_sends(ok);
    stage.bob.expect_request("ACK");
    stage.pass_ms(31_999);
    assert_eq!(stage.alice.drain("SIP/2.0 200"), 11, "at 0, 0.5, 1.5, 3.5 and every 4 s");
    stage.bob.expect_silence();
    stage.pass_ms(1);
    stage.alice.expect_request("BYE");
    stage.bob.expect_request("BYE");
    assert_eq!(stage.record().reason, "the 200 was never acknowledged");
    stage.assert_clean();
}

#[test]
fn a_200_that_comes_again_is_acknowledged_again() {
    let mut stage = Stage::new();
    let invite = stage.alice_calls(&sdp(ALICE, 4000, "0", ""));
    let ok = stage.bob.answer(&invite, 200, "OK", &sdp(BOB, 6000, "8", ""));
    stage.bob_sends(&ok);
    let first = stage.bob.expect_request("ACK");
    stage.bob_sends(&ok);
    assert_eq!(stage.bob.expect_request("ACK"), first);
    stage.bob.expect_silence();
}

#[test]
fn a_200_that_comes_again_after_the_end_is_still_acknowledged() {
    let mut stage = Stage::new();
    let invite = stage.alice_calls(&sdp(ALICE, 4000, "0", ""));
    let ok = stage.bob.answer(&invite, 200, "OK", &sdp(BOB, 6000, "8", ""));
    stage.bob_sends(&ok);
    stage.bob.expect_request("ACK");
    let answer = stage.alice.expect_status(200);
    let ack = stage.alice.ack(&answer, "");
    stage.alice_sends(ack);
    stage.alice_hangs_up();
    assert_eq!(stage.switch.calls_in_progress(), 0);
    stage.bob_sends(&ok);
    stage.bob.expect_request("ACK");
    stage.bob.expect_silence();
}

#[test]
fn a_bye_whose_200_is_lost_is_answered_again() {
    let mut stage = Stage::new();
    stage.ordinary_call();
    let bye = stage.alice.request("BYE", "");
    stage.alice_sends(&bye);
    stage.alice.expect_status(200);
    stage.pass_ms(500);
    stage.alice_sends(&bye);
    stage.alice.expect_status(200);
    assert_eq!(stage.bob.drain("BYE"), 2, "ours to Bob, and once again for want of an answer");
    assert_eq!(stage.records.len(), 1);
    stage.assert_clean();
}

#[test]
fn a_bye_that_is_lost_is_repeated_and_at_last_given_up() {
    let mut stage = Stage::new();
    stage.ordinary_call();
    let bye = stage.alice.request("BYE", "");
    stage.alice_sends(bye);
    assert_eq!(stage.records.len(), 1, "the call does not wait for Bob");
    stage.pass_ms(40_000);
    assert_eq!(stage.bob.drain("BYE"), 11);
    assert_eq!(stage.switch.counters().transaction_timeouts, 1);
    stage.assert_clean();
}

#[test]
fn byes_that_cross_are_both_answered() {
    let mut stage = Stage::new();
    stage.ordinary_call();
    let (from_alice, from_bob) = (stage.alice.request("BYE", ""), stage.bob.request("BYE", ""));
    stage.alice_sends(from_alice);
    stage.alice.expect_status(200);
    stage.bob.expect_request("BYE");
    stage.bob_sends(from_bob);
    stage.bob.expect_status(481);
    assert_eq!(stage.records.len(), 1);
    stage.assert_clean();
}

#[test]
fn a_callee_that_vanishes_mid_call_is_missed_by_its_media() {
    let mut stage = Stage::new();
    stage.ordinary_call();
    stage.pass_ms(20_000);
    let (worker, flow, _) = stage.flows[0];
    stage.event(worker, Event::MediaTimeout { flow, leg: LegSide::B, idle_ms: 10_000 });
    let bye = stage.alice.expect_request("BYE");
    assert_eq!(bye.header("Reason"), "Q.850;cause=102");
    let ok = stage.alice.answer(&bye, 200, "OK", "");
    stage.alice_sends(ok);
    let record = stage.record();
    assert_eq!(record.reason, "no media from the callee for 10000 ms");
    assert_eq!((record.status, record.ended_by), (200, Ended::Gateway));
    // Bob is gone: nobody answers the BYE.
    stage.assert_clean();
    assert_eq!(stage.bob.drain("BYE"), 11);
}

#[test]
fn silence_on_a_leg_that_is_on_hold_is_no_reason_to_end() {
    let mut stage = Stage::new();
    stage.ordinary_call();
    let hold = stage.alice.request("INVITE", &sdp(ALICE, 4000, "0", "a=inactive\r\n"));
    stage.alice_sends(hold);
    let told = stage.bob.expect_request("INVITE");
    let ok = stage.bob.answer(&told, 200, "OK", &sdp(BOB, 6000, "8", "a=inactive\r\n"));
    stage.bob_sends(ok);
    stage.bob.expect_request("ACK");
    let ok = stage.alice.expect_status(200);
    let ack = stage.alice.ack(&ok, "");
    stage.alice_sends(ack);
    let (worker, flow, _) = stage.flows[0];
    for leg in LegSide::BOTH {
        stage.event(worker, Event::MediaTimeout { flow, leg, idle_ms: 10_000 });
    }
    assert!(stage.records.is_empty());
    stage.alice.expect_silence();
}

#[test]
fn a_call_whose_address_was_taken_away_ends_on_both_sides() {
    let mut stage = Stage::new();
    stage.ordinary_call();
    let (worker, flow, legs) = stage.flows[0];
    for leg in LegSide::BOTH {
        stage.event(worker, Event::AddressLost { flow, leg });
    }
    for side in [LegSide::A, LegSide::B] {
        let endpoint = if side == LegSide::A { &mut stage.alice } else { &mut stage.bob };
        let bye = endpoint.expect_request("BYE");
        let ok = endpoint.answer(&bye, 200, "OK", "");
        if side == LegSide::A { stage.alice_sends(ok) } else { stage.bob_sends(ok) }
    }
    assert_eq!(stage.record().reason, format!("the media address {} was removed", legs[0].local.ip()));
    stage.assert_clean();
}

#[test]
fn a_bye_waits_for_the_ack_of_the_200() {
    let mut stage = Stage::new();
    let invite = stage.alice_calls(&sdp(ALICE, 4000, "0", ""));
    let ok = stage.bob.answer(&invite, 200, "OK", &sdp(BOB, 6000, "8", ""));
    stage.bob_sends(ok);
    stage.bob.expect_request("ACK");
    let bye = stage.bob.request("BYE", "");
    stage.bob_sends(bye);
    stage.bob.expect_status(200);
    let ok = stage.alice.expect_status(200);
    stage.alice.expect_silence();
    let ack = stage.alice.ack(&ok, "");
    stage.alice_sends(ack);
    stage.alice.expect_request("BYE");
    stage.assert_clean();
}

#[test]
fn a_bye_that_waits_for_an_ack_goes_out_when_none_comes() {
    let mut stage = Stage::new();
    let invite = stage.alice_calls(&sdp(ALICE, 4000, "0", ""));
    let ok = stage.bob.answer(&invite, 200, "OK", &sdp(BOB, 6000, "8", ""));
    stage.bob_sends(ok);
    let bye = stage.bob.request("BYE", "");
    stage.bob_sends(bye);
    stage.pass_ms(32_000);
    assert_eq!(stage.alice.inbox.pop_back().expect("a BYE").method(), "BYE");
    stage.assert_clean();
}

#[test]
fn everybody_vanishing_leaves_nothing_behind() {
    let mut stage = Stage::new();
    let invite = stage.alice_calls(&sdp(ALICE, 4000, "0", ""));
    let ringing = stage.bob.answer(&invite, 180, "Ringing", "");
    stage.bob_sends(ringing);
    stage.assert_clean();
    assert_eq!(stage.record().status, 408);
}

#[test]
fn a_flow_that_the_worker_lost_ends_its_call() {
    let mut stage = Stage::new();
    stage.ordinary_call();
    let (worker, flow, _) = stage.flows.remove(0);
    stage.event(worker, Event::Removed { flow, counters: stage.counters });
    stage.alice.expect_request("BYE");
    stage.bob.expect_request("BYE");
    assert_eq!(stage.record().reason, "the media flow is gone");
    stage.assert_clean();
}

#[test]
fn a_callee_that_was_silent_while_it_rang_and_stays_so_is_missed_after_the_answer() {
    for speaks in [false, true] {
        let mut stage = Stage::new();
        let invite = stage.alice_calls(&sdp(ALICE, 4000, "0", ""));
        let progress = stage.bob.answer(&invite, 183, "Session Progress", &sdp(BOB, 6000, "8", ""));
        stage.bob_sends(progress);
        stage.alice.expect_status(183);
        let (worker, flow, _) = stage.flows[0];
        stage.event(worker, Event::MediaTimeout { flow, leg: LegSide::B, idle_ms: 10_000 });
        stage.pass_ms(25_000);
        assert!(stage.records.is_empty(), "a callee may ring in silence");
        let ok = stage.bob.answer(&invite, 200, "OK", "");
        stage.bob_sends(ok);
        stage.bob.expect_request("ACK");
        let ok = stage.alice.expect_status(200);
        let ack = stage.alice.ack(&ok, "");
        stage.alice_sends(ack);
        stage.counters[1].packets_received = u64::from(speaks);
        stage.pass_ms(10_000);
        assert_eq!(stage.records.is_empty(), speaks);
        if !speaks {
            stage.alice.expect_request("BYE");
            assert_eq!(stage.record().reason, "no media from the callee for 10000 ms");
        }
    }
}
