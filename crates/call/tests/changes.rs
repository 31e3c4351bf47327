//! re-INVITEs from either side: hold, resume, codec changes, and what can go wrong with them.
#![allow(missing_docs)]

mod support;

use support::{ALICE, BOB, Sip, Stage, Worker, sdp};
use tandem_contract::{Codec, Direction, Refusal};

const HOLD: &str = "a=sendonly\r\n";

fn alice_offers(stage: &mut Stage, formats: &str, more: &str) {
    let invite = stage.alice.request("INVITE", &sdp(ALICE, 4000, formats, more));
    stage.alice_sends(invite);
}

fn bob_answers(stage: &mut Stage, invite: &Sip, more: &str) {
    let ok = stage.bob.answer(invite, 200, "OK", &sdp(BOB, 6000, "8", more));
    stage.bob_sends(ok);
    stage.bob.expect_request("ACK");
}

fn alice_acknowledges(stage: &mut Stage) -> Sip {
    let ok = stage.alice.expect_status(200);
    let ack = stage.alice.ack(&ok, "");
    stage.alice_sends(ack);
    ok
}

fn directions(stage: &Stage) -> [Direction; 2] {
    stage.legs().map(|leg| leg.direction)
}

#[test]
fn a_hold_by_the_caller_is_told_to_the_callee_and_taken_back() {
    let mut stage = Stage::new();
    stage.ordinary_call();
    alice_offers(&mut stage, "0", HOLD);
    stage.alice.expect_silence();
    let told = stage.bob.expect_request("INVITE");
    assert!(told.body.contains("a=sendonly\r\n"), "{}", told.body);
    bob_answers(&mut stage, &told, "a=recvonly\r\n");
    let ok = alice_acknowledges(&mut stage);
    assert!(ok.body.contains("a=recvonly\r\n"), "{}", ok.body);
    assert_eq!(directions(&stage), [Direction::RecvOnly, Direction::SendOnly], "music may still be sent");
    alice_offers(&mut stage, "0", "a=sendrecv\r\n");
    let told = stage.bob.expect_request("INVITE");
    assert!(told.body.contains("a=sendrecv\r\n"), "{}", told.body);
    bob_answers(&mut stage, &told, "");
    alice_acknowledges(&mut stage);
    assert_eq!(directions(&stage), [Direction::SendRecv; 2]);
    stage.alice_hangs_up();
    stage.assert_clean();
}

/// The callee makes the call inactive, and the caller, who is told so, agrees.
fn callee_holds(stage: &mut Stage) {
    let hold = stage.bob.request("INVITE", &sdp(BOB, 6000, "8", "a=inactive\r\n"));
    stage.bob_sends(hold);
    let told = stage.alice.expect_request("INVITE");
    assert!(told.body.contains("a=inactive\r\n"), "{}", told.body);
    let ok = stage.alice.answer(&told, 200, "OK", &sdp(ALICE, 4000, "0", "a=inactive\r\n"));
    stage.alice_sends(ok);
    stage.alice.expect_request("ACK");
}

#[test]
fn a_hold_by_the_callee_is_told_to_the_caller() {
    let mut stage = Stage::new();
    stage.ordinary_call();
    callee_holds(&mut stage);
    let ok = stage.bob.expect_status(200);
    let ack = stage.bob.ack(&ok, "");
    stage.bob_sends(ack);
    assert_eq!(directions(&stage), [Direction::Inactive; 2]);
}

#[test]
fn both_sides_may_hold_and_each_takes_back_its_own() {
    let mut stage = Stage::new();
    stage.ordinary_call();
    alice_offers(&mut stage, "0", HOLD);
    let told = stage.bob.expect_request("INVITE");
    bob_answers(&mut stage, &told, "a=recvonly\r\n");
    alice_acknowledges(&mut stage);
    let hold = stage.bob.request("INVITE", &sdp(BOB, 6000, "8", HOLD));
    stage.bob_sends(hold);
    let told = stage.alice.expect_request("INVITE");
    let ok = stage.alice.answer(&told, 200, "OK", &sdp(ALICE, 4000, "0", "a=inactive\r\n"));
    stage.alice_sends(ok);
    stage.alice.expect_request("ACK");
    let ok = stage.bob.expect_status(200);
    assert!(ok.body.contains("a=inactive\r\n"), "{}", ok.body);
    let ack = stage.bob.ack(&ok, "");
    stage.bob_sends(ack);
    alice_offers(&mut stage, "0", "");
    let told = stage.bob.expect_request("INVITE");
    assert!(told.body.contains("a=sendrecv\r\n"), "{}", told.body);
    bob_answers(&mut stage, &told, HOLD);
    let ok = alice_acknowledges(&mut stage);
    assert!(ok.body.contains("a=sendonly\r\n"), "Bob still holds: {}", ok.body);
    assert_eq!(directions(&stage), [Direction::SendOnly, Direction::RecvOnly]);
}

#[test]
fn a_hold_of_the_old_kind_is_one_too() {
    let mut stage = Stage::new();
    stage.ordinary_call();
    alice_offers(&mut stage, "0", "c=IN IP4 0.0.0.0\r\n");
    let told = stage.bob.expect_request("INVITE");
    assert!(told.body.contains("a=sendonly\r\n"), "{}", told.body);
    bob_answers(&mut stage, &told, "a=recvonly\r\n");
    alice_acknowledges(&mut stage);
    assert!(!stage.legs()[0].direction.sends());
}

#[test]
fn a_change_of_codec_address_or_packet_time_stays_on_its_side() {
    let mut stage = Stage::new();
    stage.ordinary_call();
    let invite = stage.alice.request("INVITE", &sdp(ALICE, 4444, "9", "a=ptime:40\r\n"));
    stage.alice_sends(invite);
    alice_acknowledges(&mut stage);
    stage.bob.expect_silence();
    let [a, b] = stage.legs();
    let format = a.format.expect("agreed");
    assert_eq!((format.codec, format.ptime_ms), (Codec::G722, 40));
    assert_eq!(a.remote, Some((ALICE.ip(), 4444).into()));
    assert_eq!(b.format.expect("agreed").codec, Codec::Pcma);
}

#[test]
fn an_unchanged_re_offer_is_answered_without_troubling_anybody() {
    let mut stage = Stage::new();
    let first = stage.call_up(&sdp(ALICE, 4000, "0", ""), &sdp(BOB, 6000, "8", ""));
    let commands = stage.commands.len();
    alice_offers(&mut stage, "0", "");
    let ok = alice_acknowledges(&mut stage);
    assert_eq!(ok.body, first.body);
    assert_eq!(stage.commands.len(), commands);
    stage.bob.expect_silence();
}

#[test]
fn a_re_invite_without_offer_gets_ours() {
    let mut stage = Stage::new();
    stage.ordinary_call();
    let invite = stage.alice.request("INVITE", "");
    stage.alice_sends(invite);
    let ok = stage.alice.expect_status(200);
    assert!(ok.body.contains("RTP/AVP 0 8 9 101\r\n"), "{}", ok.body);
    let ack = stage.alice.ack(&ok, &sdp(ALICE, 4000, "8", HOLD));
    stage.alice_sends(ack);
    assert_eq!(stage.legs()[0].format.expect("agreed").codec, Codec::Pcma);
    let told = stage.bob.expect_request("INVITE");
    assert!(told.body.contains("a=sendonly\r\n"), "the hold in the answer is told, too: {}", told.body);
    bob_answers(&mut stage, &told, "a=recvonly\r\n");
    assert_eq!(directions(&stage), [Direction::RecvOnly, Direction::SendOnly]);
    stage.alice.expect_silence();
}

#[test]
fn offers_that_cannot_be_met_change_nothing() {
    let mut stage = Stage::new();
    stage.ordinary_call();
    let before = stage.legs();
    for (body, status) in
        [(sdp(ALICE, 4000, "18", HOLD), 488), (sdp(ALICE, 0, "0", ""), 488), ("v=0\r\nrubbish".to_owned(), 400)]
    {
        let invite = stage.alice.request("INVITE", &body);
        stage.alice_sends(invite);
        let refusal = stage.alice.expect_status(status);
        let ack = stage.alice.ack(&refusal, "");
        stage.alice_sends(ack);
    }
    stage.bob.expect_silence();
    assert_eq!(stage.legs(), before);
    stage.alice_hangs_up();
    stage.assert_clean();
}

#[test]
fn a_re_invite_meets_ours_with_a_request_pending() {
    let mut stage = Stage::new();
    stage.ordinary_call();
    alice_offers(&mut stage, "0", HOLD);
    let told = stage.bob.expect_request("INVITE");
    let crossing = stage.bob.request("INVITE", &sdp(BOB, 6000, "8", HOLD));
    stage.bob_sends(crossing);
    let pending = stage.bob.expect_status(491);
    let ack = stage.bob.ack(&pending, "");
    stage.bob_sends(ack);
    bob_answers(&mut stage, &told, "a=recvonly\r\n");
    alice_acknowledges(&mut stage);
}

#[test]
fn a_second_re_invite_on_top_of_the_first_is_to_wait() {
    let mut stage = Stage::new();
    stage.ordinary_call();
    alice_offers(&mut stage, "0", HOLD);
    alice_offers(&mut stage, "0", "");
    let wait = stage.alice.expect_status(500);
    let seconds: u32 = wait.header("Retry-After").parse().expect("a number");
    assert!(seconds <= 10);
}

#[test]
fn a_glare_on_the_other_side_is_the_first_peers_to_resolve() {
    let mut stage = Stage::new();
    stage.ordinary_call();
    alice_offers(&mut stage, "0", HOLD);
    let told = stage.bob.expect_request("INVITE");
    let pending = stage.bob.answer(&told, 491, "Request Pending", "");
    stage.bob_sends(pending);
    stage.bob.expect_request("ACK");
    stage.alice.expect_status(491);
    assert_eq!(directions(&stage), [Direction::SendRecv; 2]);
    alice_offers(&mut stage, "0", HOLD);
    assert!(stage.bob.expect_request("INVITE").body.contains("a=sendonly"), "the next try is told again");
}

#[test]
fn a_glare_while_nobody_waits_is_tried_again() {
    let mut stage = Stage::new();
    stage.ordinary_call();
    let invite = stage.alice.request("INVITE", "");
    stage.alice_sends(invite);
    let ok = stage.alice.expect_status(200);
    let ack = stage.alice.ack(&ok, &sdp(ALICE, 4000, "0", HOLD));
    stage.alice_sends(ack);
    let told = stage.bob.expect_request("INVITE");
    let pending = stage.bob.answer(&told, 491, "Request Pending", "");
    stage.bob_sends(pending);
    stage.bob.expect_request("ACK");
    stage.pass_ms(2_099);
    stage.bob.expect_silence();
    stage.pass_ms(1_901);
    assert!(stage.bob.expect_request("INVITE").body.contains("a=sendonly"));
}

#[test]
fn a_peer_that_does_not_want_to_know_does_not_stop_the_hold() {
    let mut stage = Stage::new();
    stage.ordinary_call();
    alice_offers(&mut stage, "0", HOLD);
    let told = stage.bob.expect_request("INVITE");
    let refusal = stage.bob.answer(&told, 488, "Not Acceptable Here", "");
    stage.bob_sends(refusal);
    stage.bob.expect_request("ACK");
    alice_acknowledges(&mut stage);
    assert!(!stage.legs()[0].direction.sends(), "Alice is sent nothing");
    stage.bob.expect_silence();
    stage.alice_hangs_up();
    stage.assert_clean();
}

#[test]
fn a_peer_that_no_longer_knows_the_call_ends_it() {
    for status in [481, 408] {
        let mut stage = Stage::new();
        stage.ordinary_call();
        alice_offers(&mut stage, "0", HOLD);
        let told = stage.bob.expect_request("INVITE");
        let refusal = stage.bob.answer(&told, status, "Gone", "");
        stage.bob_sends(refusal);
        stage.alice.expect_status(487);
        stage.alice.expect_request("BYE");
        assert_eq!(stage.record().reason, "the peer bob no longer knows the call");
        stage.assert_clean();
    }
}

#[test]
fn a_peer_that_does_not_answer_a_change_ends_the_call() {
    let mut stage = Stage::new();
    stage.ordinary_call();
    alice_offers(&mut stage, "0", HOLD);
    stage.pass_ms(32_000);
    stage.alice.expect_status(100);
    stage.alice.expect_status(487);
    stage.alice.expect_request("BYE");
    stage.assert_clean();
}

#[test]
fn a_cancelled_hold_is_taken_back_on_the_other_side() {
    let mut stage = Stage::new();
    stage.ordinary_call();
    alice_offers(&mut stage, "0", HOLD);
    let told = stage.bob.expect_request("INVITE");
    stage.alice_sends(stage.alice.cancel());
    stage.alice.expect_status(200);
    let terminated = stage.alice.expect_status(487);
    let ack = stage.alice.ack(&terminated, "");
    stage.alice_sends(ack);
    bob_answers(&mut stage, &told, "a=recvonly\r\n");
    let told = stage.bob.expect_request("INVITE");
    assert!(told.body.contains("a=sendrecv\r\n"), "{}", told.body);
    bob_answers(&mut stage, &told, "");
    assert_eq!(directions(&stage), [Direction::SendRecv; 2]);
    stage.alice.expect_silence();
    stage.alice_hangs_up();
    stage.assert_clean();
}

#[test]
fn a_worker_that_refuses_a_change_leaves_the_call_as_it_was() {
    let mut stage = Stage::new();
    stage.ordinary_call();
    let before = stage.legs();
    stage.worker = Worker::Refusing(Refusal::CodecPairUnsupported);
    alice_offers(&mut stage, "9", "");
    stage.alice.expect_status(488);
    assert_eq!(stage.legs(), before);
    stage.worker = Worker::Willing;
    alice_offers(&mut stage, "8", "");
    alice_acknowledges(&mut stage);
    assert_eq!(stage.legs()[0].format.expect("agreed").codec, Codec::Pcma);
    stage.alice_hangs_up();
    stage.assert_clean();
}

#[test]
fn a_bye_during_a_change_ends_everything() {
    let mut stage = Stage::new();
    stage.ordinary_call();
    alice_offers(&mut stage, "0", HOLD);
    let told = stage.bob.expect_request("INVITE");
    let bye = stage.bob.request("BYE", "");
    stage.bob_sends(bye);
    stage.bob.expect_status(200);
    stage.alice.expect_status(487);
    stage.alice.expect_request("BYE");
    // Bob's answer to the change crosses its own BYE.
    bob_answers(&mut stage, &told, "");
    stage.bob.expect_silence();
    stage.assert_clean();
}

#[test]
fn a_callee_that_answers_on_hold_is_told_to_the_caller_at_once() {
    let mut stage = Stage::new();
    let ok = stage.call_up(&sdp(ALICE, 4000, "0", ""), &sdp(BOB, 6000, "8", HOLD));
    assert!(ok.body.contains("a=sendonly\r\n"), "{}", ok.body);
    assert_eq!(directions(&stage), [Direction::SendOnly, Direction::RecvOnly]);
}

#[test]
fn a_callee_that_holds_after_early_media_is_told_when_the_caller_has_acknowledged() {
    let mut stage = Stage::new();
    let invite = stage.alice_calls(&sdp(ALICE, 4000, "0", ""));
    let progress = stage.bob.answer(&invite, 183, "Session Progress", &sdp(BOB, 6000, "8", ""));
    stage.bob_sends(progress);
    stage.alice.expect_status(183);
    bob_answers(&mut stage, &invite, HOLD);
    alice_acknowledges(&mut stage);
    let told = stage.alice.expect_request("INVITE");
    assert!(told.body.contains("a=sendonly\r\n"), "{}", told.body);
}

#[test]
fn an_info_is_passed_on_and_its_answer_comes_back() {
    let mut stage = Stage::new();
    stage.ordinary_call();
    let info =
        stage.alice.request_with("INFO", "Signal=5\r\nDuration=160\r\n", "Content-Type: application/dtmf-relay\r\n");
    stage.alice_sends(info);
    let passed = stage.bob.expect_request("INFO");
    assert_eq!(passed.header("Content-Type"), "application/dtmf-relay");
    assert_eq!(passed.body, "Signal=5\r\nDuration=160\r\n");
    stage.alice.expect_silence();
    let answer = stage.bob.answer(&passed, 415, "Unsupported Media Type", "");
    stage.bob_sends(answer);
    stage.alice.expect_status(415);
    stage.alice_hangs_up();
    stage.assert_clean();
}

#[test]
fn requests_in_a_dialog_are_checked() {
    let mut stage = Stage::new();
    stage.ordinary_call();
    let options = stage.alice.request("OPTIONS", "");
    stage.alice_sends(options);
    stage.alice.expect_status(200);
    let refer = stage.alice.request_with("SUBSCRIBE", "", "Refer-To: <sip:9@x>\r\n");
    stage.alice_sends(refer);
    assert_eq!(
        stage.alice.expect_status(405).header("Allow"),
        "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, PRACK, UPDATE, REFER"
    );
    let required = stage.alice.request_with("OPTIONS", "", "Require: precondition\r\n");
    stage.alice_sends(required);
    stage.alice.expect_status(420);
    stage.alice.cseq = 0;
    let late = stage.alice.request("OPTIONS", "");
    stage.alice_sends(late);
    stage.alice.expect_status(500);
    stage.alice.cseq = 50;
    let tag = std::mem::replace(&mut stage.alice.tag, "impostor".to_owned());
    let bye = stage.alice.request("BYE", "");
    stage.alice_sends(bye);
    stage.alice.expect_status(481);
    stage.alice.tag = tag;
    stage.alice_hangs_up();
    stage.assert_clean();
}

#[test]
fn a_hold_that_the_worker_refuses_is_taken_back_on_the_other_side() {
    let mut stage = Stage::new();
    stage.ordinary_call();
    let before = stage.legs();
    alice_offers(&mut stage, "9", HOLD);
    let told = stage.bob.expect_request("INVITE");
    stage.worker = Worker::Refusing(Refusal::TranscodersExhausted);
    bob_answers(&mut stage, &told, "a=recvonly\r\n");
    stage.alice.expect_status(503);
    assert_eq!(stage.legs(), before, "the worker has changed nothing");
    stage.worker = Worker::Willing;
    let told = stage.bob.expect_request("INVITE");
    assert!(told.body.contains("a=sendrecv\r\n"), "{}", told.body);
    bob_answers(&mut stage, &told, "");
    assert_eq!(stage.legs(), before);
    stage.alice_hangs_up();
    stage.assert_clean();
}

/// A stage on which whoever Alice's side holds hears music.
fn stage_with_music() -> Stage {
    let mut config = support::config();
    config.peers[0].hold_music = true;
    Stage::with(config)
}

#[test]
fn whom_a_peer_holds_hears_music_also_where_that_peer_sends_nothing() {
    for (hold, alice, direction) in
        [("a=sendonly\r\n", "recvonly", Direction::RecvOnly), ("a=inactive\r\n", "inactive", Direction::Inactive)]
    {
        let mut stage = stage_with_music();
        stage.ordinary_call();
        alice_offers(&mut stage, "0", hold);
        let told = stage.bob.expect_request("INVITE");
        assert!(told.body.contains("a=sendonly\r\n"), "{}", told.body);
        bob_answers(&mut stage, &told, "a=recvonly\r\n");
        let ok = alice_acknowledges(&mut stage);
        assert!(ok.body.contains(&format!("a={alice}\r\n")), "{}", ok.body);
        assert_eq!(stage.legs().map(|leg| leg.held), [false, true]);
        assert_eq!(directions(&stage), [direction, Direction::SendOnly]);
        alice_offers(&mut stage, "0", "");
        let told = stage.bob.expect_request("INVITE");
        assert!(told.body.contains("a=sendrecv\r\n"), "{}", told.body);
        bob_answers(&mut stage, &told, "");
        alice_acknowledges(&mut stage);
        assert_eq!(stage.legs().map(|leg| leg.held), [false; 2]);
        assert_eq!(directions(&stage), [Direction::SendRecv; 2]);
        stage.alice_hangs_up();
        stage.assert_clean();
    }
}

#[test]
fn a_peer_with_music_of_its_own_is_not_overheard_and_an_announcement_is_no_hold() {
    let mut stage = stage_with_music();
    stage.call_up(&sdp(ALICE, 4000, "0", ""), &sdp(BOB, 6000, "8", "a=sendonly\r\n"));
    assert_eq!(stage.legs().map(|leg| leg.held), [false; 2], "it answered with an announcement");
    stage.alice_hangs_up();
    let mut stage = stage_with_music();
    stage.ordinary_call();
    callee_holds(&mut stage);
    stage.bob.expect_status(200);
    assert_eq!(stage.legs().map(|leg| leg.held), [false; 2]);
}
