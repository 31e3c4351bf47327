//! Calls that are not answered, and requests that are none.
#![allow(missing_docs)]

mod support;

use std::net::SocketAddr;

use support::{ALICE, BOB, Stage, Worker, config, sdp};
use tandem_call::{Ended, Limits, Rewrite};
use tandem_contract::{Command, Refusal};

fn offer() -> String {
    sdp(ALICE, 4000, "0", "")
}

/// Alice's INVITE is refused with `status` and nothing is left of it.
fn refused(stage: &mut Stage, invite: &str, status: u16) -> support::Sip {
    stage.alice_sends(invite);
    let answer = stage.alice.expect_status(status);
    let ack = stage.alice.ack(&answer, "");
    stage.alice_sends(ack);
    stage.bob.expect_silence();
    assert_eq!(stage.record().status, status);
    assert_eq!(stage.record().ended_by, Ended::Gateway);
    stage.assert_clean();
    answer
}

#[test]
fn a_refusal_of_the_callees_reaches_the_caller() {
    for (theirs, ours, q850) in [
        (486, 486, 17),
        (603, 603, 21),
        (404, 404, 1),
        (480, 480, 18),
        (600, 600, 17),
        (503, 503, 41),
        (408, 408, 102),
        (484, 484, 28),
        (302, 480, 31),
        (407, 502, 21),
        (420, 502, 127),
        (606, 488, 79),
        (491, 480, 31),
    ] {
        let mut stage = Stage::new();
        let invite = stage.alice_calls(&offer());
        let ringing = stage.bob.answer(&invite, 180, "Ringing", "");
        stage.bob_sends(ringing);
        stage.alice.expect_status(180);
        let refusal = stage.bob.answer(&invite, theirs, "No", "");
        stage.bob_sends(refusal);
        stage.bob.expect_request("ACK");
        let refusal = stage.alice.expect_status(ours);
        let ack = stage.alice.ack(&refusal, "");
        stage.alice_sends(ack);
        let record = stage.record();
        assert_eq!((record.status, record.q850, record.ended_by), (ours, q850, Ended::Callee), "{theirs}");
        assert_eq!(record.reason, format!("the callee answered {theirs} No"));
        stage.assert_clean();
    }
}

#[test]
fn a_callee_that_rings_without_end_is_cancelled_and_the_caller_told() {
    let mut stage = Stage::new();
    let invite = stage.alice_calls(&offer());
    let ringing = stage.bob.answer(&invite, 180, "Ringing", "");
    stage.bob_sends(ringing);
    stage.alice.expect_status(180);
    stage.pass_ms(59_999);
    stage.bob.expect_silence();
    stage.pass_ms(1);
    let cancel = stage.bob.expect_request("CANCEL");
    assert_eq!(cancel.header("Via"), invite.header("Via"));
    let answer = stage.alice.expect_status(408);
    let ack = stage.alice.ack(&answer, "");
    stage.alice_sends(ack);
    let ok = stage.bob.answer(&cancel, 200, "OK", "");
    stage.bob_sends(ok);
    let terminated = stage.bob.answer(&invite, 487, "Request Terminated", "");
    stage.bob_sends(terminated);
    stage.bob.expect_request("ACK");
    assert_eq!((stage.record().status, stage.record().q850), (408, 19));
    stage.assert_clean();
}

#[test]
fn a_callee_that_says_nothing_at_all_is_unavailable() {
    let mut stage = Stage::new();
    stage.alice_calls(&offer());
    stage.pass_ms(31_999);
    assert_eq!(stage.bob.drain("INVITE"), 6, "after 0.5, 1.5, 3.5, 7.5, 15.5 and 31.5 s");
    stage.alice.expect_status(100);
    stage.pass_ms(1);
    stage.alice.expect_status(503);
    assert_eq!(stage.record().reason, "the callee's peer does not answer");
    stage.assert_clean();
}

#[test]
fn a_callee_that_cannot_be_reached_is_unavailable_at_once() {
    let mut stage = Stage::new();
    stage.alice_calls(&offer());
    stage.switch.on_transport_error(stage.now, tandem_call::ListenerId(0), BOB);
    stage.settle();
    stage.alice.expect_status(503);
    stage.assert_clean();
}

#[test]
fn a_caller_that_gives_up_is_followed_by_a_cancel() {
    let mut stage = Stage::new();
    let invite = stage.alice_calls(&offer());
    let ringing = stage.bob.answer(&invite, 180, "Ringing", "");
    stage.bob_sends(ringing);
    stage.alice.expect_status(180);
    stage.pass_ms(3_000);
    stage.alice_sends(stage.alice.cancel());
    stage.alice.expect_status(200);
    let terminated = stage.alice.expect_status(487);
    let ack = stage.alice.ack(&terminated, "");
    stage.alice_sends(ack);
    let cancel = stage.bob.expect_request("CANCEL");
    let ok = stage.bob.answer(&cancel, 200, "OK", "");
    stage.bob_sends(ok);
    let terminated = stage.bob.answer(&invite, 487, "Request Terminated", "");
    stage.bob_sends(terminated);
    stage.bob.expect_request("ACK");
    let record = stage.record();
    assert_eq!((record.status, record.ended_by, record.setup_ms), (487, Ended::Caller, 3_000));
    assert_eq!(stage.switch.counters().cancelled, 1);
    stage.assert_clean();
}

#[test]
fn a_cancel_waits_for_the_callees_first_sign_of_life() {
    let mut stage = Stage::new();
    let invite = stage.alice_calls(&offer());
    stage.alice_sends(stage.alice.cancel());
    stage.alice.expect_status(200);
    stage.alice.expect_status(487);
    stage.bob.expect_silence();
    let trying = stage.bob.answer(&invite, 100, "Trying", "");
    stage.bob_sends(trying);
    stage.bob.expect_request("CANCEL");
    stage.assert_clean();
}

#[test]
fn an_answer_that_crosses_the_cancel_is_acknowledged_and_ended() {
    let mut stage = Stage::new();
    let invite = stage.alice_calls(&offer());
    let ringing = stage.bob.answer(&invite, 180, "Ringing", "");
    stage.bob_sends(ringing);
    stage.alice.expect_status(180);
    stage.alice_sends(stage.alice.cancel());
    stage.bob.expect_request("CANCEL");
    let ok = stage.bob.answer(&invite, 200, "OK", &sdp(BOB, 6000, "8", ""));
    stage.bob_sends(ok);
    stage.bob.expect_request("ACK");
    let bye = stage.bob.expect_request("BYE");
    assert_eq!(bye.tag("To"), Some("bobtag"));
    stage.alice.expect_status(200);
    stage.alice.expect_status(487);
    assert_eq!(stage.record().ended_by, Ended::Caller);
    stage.assert_clean();
}

#[test]
fn a_caller_that_gives_up_while_the_flow_is_installed_leaves_none_behind() {
    let mut stage = Stage::new();
    stage.worker = Worker::Silent;
    let invite = stage.alice.invite("200", &offer());
    stage.alice_sends(invite);
    stage.alice_sends(stage.alice.cancel());
    stage.alice.expect_status(200);
    stage.alice.expect_status(487);
    stage.worker_answers();
    stage.bob.expect_silence();
    assert!(matches!(stage.commands[1].1, Command::RemoveFlow { .. }));
    stage.assert_clean();
}

#[test]
fn a_caller_that_gives_up_after_the_callees_answer_ends_it() {
    let mut stage = Stage::new();
    let invite = stage.alice_calls(&offer());
    stage.worker = Worker::Silent;
    let ok = stage.bob.answer(&invite, 200, "OK", &sdp(BOB, 6000, "8", ""));
    stage.bob_sends(ok);
    stage.bob.expect_request("ACK");
    stage.alice_sends(stage.alice.cancel());
    stage.alice.expect_status(200);
    stage.alice.expect_status(487);
    stage.bob.expect_request("BYE");
    stage.worker_answers();
    stage.alice.expect_silence();
    assert_eq!(stage.record().answered, None);
    stage.assert_clean();
}

#[test]
fn an_offer_without_a_common_codec_is_not_acceptable() {
    let mut stage = Stage::new();
    let invite = stage.alice.invite("200", &sdp(ALICE, 4000, "18 3", ""));
    let answer = refused(&mut stage, &invite, 488);
    assert_eq!(answer.header("Warning"), "399 10.0.0.1:5060 \"no codec in common\"");
}

#[test]
fn a_malformed_offer_is_refused_with_its_line() {
    let mut stage = Stage::new();
    let invite = stage.alice.invite("200", "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nm=audio nonsense\r\n");
    let answer = refused(&mut stage, &invite, 400);
    assert!(answer.header("Warning").contains("line 4"), "{}", answer.header("Warning"));
}

#[test]
fn a_destination_without_route_is_not_found() {
    let mut stage = Stage::new();
    let invite = stage.alice.invite("900", &offer());
    refused(&mut stage, &invite, 404);
}

#[test]
fn a_number_with_nothing_left_is_incomplete() {
    let mut config = config();
    config.routes[0].rewrite = Rewrite { strip: 3, ..Rewrite::default() };
    let mut stage = Stage::with(config);
    let invite = stage.alice.invite("200", &offer());
    refused(&mut stage, &invite, 484);
}

#[test]
fn calls_over_the_limit_are_asked_to_come_back_later() {
    let mut config = config();
    config.limits = Limits { max_calls: 1, ..config.limits };
    let mut stage = Stage::with(config);
    stage.ordinary_call();
    stage.alice.next_call(2);
    let invite = stage.alice.invite("200", &offer());
    stage.alice_sends(invite);
    let busy = stage.alice.expect_status(503);
    assert_eq!(busy.header("Retry-After"), "7");
    assert_eq!(stage.record().status, 503);
    assert_eq!(stage.switch.counters().refused_busy, 1);
    assert_eq!(stage.switch.snapshot(stage.now).len(), 1, "the call that is up goes on");
}

#[test]
fn a_limit_frees_with_the_call_that_filled_it() {
    let mut config = config();
    config.limits.max_calls = 1;
    let mut stage = Stage::with(config);
    stage.ordinary_call();
    stage.alice_hangs_up();
    stage.alice.next_call(2);
    let invite = stage.alice.invite("200", &offer());
    stage.alice_sends(invite);
    stage.bob.expect_request("INVITE");
}

#[test]
fn a_gateway_without_media_capacity_is_busy() {
    let mut config = config();
    for worker in &mut config.media.workers {
        worker.slots = 0;
    }
    let mut stage = Stage::with(config);
    let invite = stage.alice.invite("200", &offer());
    assert!(refused(&mut stage, &invite, 503).find("Retry-After").is_some());
}

#[test]
fn a_draining_gateway_takes_no_calls_and_lets_those_it_has_go_on() {
    let mut stage = Stage::new();
    stage.ordinary_call();
    stage.switch.drain(stage.now);
    assert!(!stage.switch.is_drained());
    let options = "OPTIONS sip:10.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKo\r\nFrom: <sip:a@b>;tag=1\r\n\
                   To: <sip:10.0.0.1>\r\nCall-ID: o\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n";
    stage.alice_sends(options);
    stage.alice.expect_status(503);
    stage.alice_hangs_up();
    stage.alice.next_call(2);
    let invite = stage.alice.invite("200", &offer());
    stage.alice_sends(invite);
    assert!(stage.alice.expect_status(503).find("Retry-After").is_some());
    assert!(stage.switch.is_drained(), "an answered BYE is not waited for");
}

#[test]
fn a_gateway_that_stops_ends_every_call() {
    let mut stage = Stage::new();
    stage.ordinary_call();
    let (call, tag) = (stage.alice.call_id.clone(), stage.alice.tag.clone());
    stage.alice.next_call(2);
    let invite = stage.alice.invite("200", &offer());
    stage.alice_sends(invite);
    let invite = stage.bob.expect_request("INVITE");
    let ringing = stage.bob.answer(&invite, 180, "Ringing", "");
    stage.bob_sends(ringing);
    stage.alice.expect_status(180);
    stage.switch.end_all(stage.now, "the gateway stops");
    stage.settle();
    let bye = stage.alice.expect_request("BYE");
    assert_eq!((bye.header("Call-ID"), bye.tag("To")), (call.as_str(), Some(tag.as_str())));
    stage.alice.expect_status(503);
    stage.bob.expect_request("BYE");
    stage.bob.expect_request("CANCEL");
    assert_eq!(stage.records.len(), 2);
    assert!(stage.records.iter().all(|record| record.reason == "the gateway stops"));
    stage.assert_clean();
}

#[test]
fn a_worker_that_refuses_the_flow_fails_the_call() {
    for (reason, status) in
        [(Refusal::LocalPortTaken, 500), (Refusal::SlotTaken, 500), (Refusal::CodecPairUnsupported, 488)]
    {
        let mut stage = Stage::new();
        stage.worker = Worker::Refusing(reason);
        let invite = stage.alice.invite("200", &offer());
        refused(&mut stage, &invite, status);
        assert_eq!(stage.switch.counters().worker_refusals, 1);
    }
}

#[test]
fn a_worker_that_refuses_the_agreed_media_fails_the_call_on_both_sides() {
    let mut stage = Stage::new();
    let invite = stage.alice_calls(&offer());
    stage.worker = Worker::Refusing(Refusal::CodecPairUnsupported);
    let ok = stage.bob.answer(&invite, 200, "OK", &sdp(BOB, 6000, "9", ""));
    stage.bob_sends(ok);
    stage.bob.expect_request("ACK");
    stage.bob.expect_request("BYE");
    stage.alice.expect_status(488);
    stage.assert_clean();
}

#[test]
fn a_worker_that_says_nothing_fails_the_call_and_gets_its_place_back_when_it_wakes() {
    let mut stage = Stage::new();
    stage.worker = Worker::Silent;
    let invite = stage.alice.invite("200", &offer());
    stage.alice_sends(invite);
    stage.pass_ms(500);
    stage.alice.expect_status(100);
    stage.alice.expect_status(500);
    stage.pass_ms(500);
    assert_eq!(stage.record().status, 500, "the record does not wait for ever");
    assert_eq!(stage.switch.media_in_use(), 1, "but the place stays taken");
    stage.worker_answers();
    stage.assert_clean();
}

#[test]
fn an_answer_that_does_not_fit_our_offer_ends_the_attempt_on_both_sides() {
    for answer in [sdp(BOB, 6000, "0", ""), sdp(BOB, 0, "8", ""), "v=0\r\ngarbage".to_owned(), String::new()] {
        let mut stage = Stage::new();
        let invite = stage.alice_calls(&offer());
        let ok = stage.bob.answer(&invite, 200, "OK", &answer);
        stage.bob_sends(ok);
        stage.bob.expect_request("ACK");
        stage.bob.expect_request("BYE");
        stage.alice.expect_status(488);
        stage.assert_clean();
    }
}

#[test]
fn rules_of_section_8_2_are_kept() {
    for (header, replacement, status) in [
        ("Max-Forwards: 70", "Max-Forwards: 0", 483),
        ("Max-Forwards: 70", "Max-Forwards: 70\r\nRequire: 100rel, precondition", 420),
        ("Content-Type: application/sdp", "Content-Type: application/isup", 415),
        ("INVITE sip:", "INVITE http:", 416),
        ("Contact: <sip:alice@192.0.2.1:5060>\r\n", "", 400),
    ] {
        let mut stage = Stage::new();
        let invite = stage.alice.invite("200", &offer()).replace(header, replacement);
        let answer = refused(&mut stage, &invite, status);
        match status {
            420 => assert_eq!(answer.header("Unsupported"), "precondition"),
            415 => assert_eq!(answer.header("Accept"), "application/sdp"),
            _ => {}
        }
    }
}

#[test]
fn strangers_are_turned_away_without_a_record() {
    let mut stage = Stage::new();
    let stranger: SocketAddr = "203.0.113.66:5060".parse().expect("an address");
    let invite = stage.alice.invite("200", &offer()).replace("192.0.2.1:5060;branch", "203.0.113.66:5060;branch");
    stage.datagram(stranger, invite.as_bytes());
    assert_eq!(stage.stray.len(), 1);
    assert_eq!((stage.stray[0].0, stage.stray[0].1.status()), (stranger, Some(403)));
    assert!(stage.records.is_empty());
    assert_eq!(stage.switch.counters().refused_strangers, 1);
}

#[test]
fn an_invite_that_comes_by_two_ways_is_one_call() {
    let mut stage = Stage::new();
    let invite = stage.alice.invite("200", &offer());
    stage.alice_sends(&invite);
    stage.alice_sends(invite.replace(";branch=z9hG4bK", ";branch=z9hG4bKother"));
    stage.alice.expect_status(482);
    stage.bob.expect_request("INVITE");
    stage.bob.expect_silence();
}

#[test]
fn a_routing_loop_runs_out_of_hops() {
    let mut config = config();
    // Bob's side sends every call back to us.
    config.peers[1].sources = vec![tandem_call::SourceNet { address: BOB.ip(), prefix_len: 32 }];
    let mut stage = Stage::with(config);
    let invite = stage.alice.invite("200", &offer()).replace("Max-Forwards: 70", "Max-Forwards: 3");
    stage.alice_sends(invite);
    let mut hops = 0;
    while let Some(invite) = stage.bob.inbox.pop_front().filter(|message| message.method() == "INVITE") {
        hops += 1;
        let looped = invite.text().replace("INVITE sip:200@198.51.100.2:5060", "INVITE sip:200@10.0.0.1:5060");
        let via = format!("Via: SIP/2.0/UDP {BOB};branch=z9hG4bKloop{hops}\r\nVia:");
        stage.bob_sends(looped.replacen("Via:", &via, 1));
    }
    assert_eq!(hops, 3);
    assert_eq!(stage.records[0].status, 483);
}

#[test]
fn methods_we_do_not_take_are_named() {
    let mut stage = Stage::new();
    let request = |method: &str| {
        format!(
            "{method} sip:10.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK{method}\r\nMax-Forwards: 70\r\n\
             From: <sip:a@b>;tag=1\r\nTo: <sip:10.0.0.1>\r\nCall-ID: {method}\r\nCSeq: 1 {method}\r\nContent-Length: 0\r\n\r\n"
        )
    };
    for (method, status) in
        [("REGISTER", 405), ("SUBSCRIBE", 405), ("FROBNICATE", 501), ("BYE", 481), ("INFO", 481), ("OPTIONS", 200)]
    {
        stage.alice_sends(request(method));
        let answer = stage.alice.expect_status(status);
        if status == 405 || status == 200 {
            assert_eq!(answer.header("Allow"), "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, PRACK, UPDATE, REFER");
        }
    }
    stage.alice_sends(request("ACK"));
    stage.alice.expect_silence();
    stage.assert_clean();
}

#[test]
fn bytes_that_are_no_sip_are_counted() {
    let mut stage = Stage::new();
    for bytes in [&b"\0\0\0\0"[..], b"hello", b"INVITE sip:x SIP/2.0\r\n\r\n", b"\r\n\r\n", b""] {
        stage.alice_sends(bytes);
    }
    assert!(stage.switch.counters().malformed_datagrams >= 3);
    stage.assert_clean();
}

#[test]
fn a_bye_before_the_answer_ends_the_attempt() {
    let mut stage = Stage::new();
    let invite = stage.alice_calls(&offer());
    let ringing = stage.bob.answer(&invite, 180, "Ringing", "");
    stage.bob_sends(ringing);
    let ringing = stage.alice.expect_status(180);
    stage.alice.remote_tag = ringing.tag("To").map(str::to_owned);
    let bye = stage.alice.request("BYE", "");
    stage.alice_sends(bye);
    stage.alice.expect_status(200);
    stage.alice.expect_status(487);
    stage.bob.expect_request("CANCEL");
    stage.assert_clean();
}

#[test]
fn calls_that_are_up_can_be_ended_where_no_new_one_fits() {
    let mut config = config();
    config.limits.max_transactions = 20;
    let mut stage = Stage::with(config);
    stage.ordinary_call();
    let (call, tag) = (stage.alice.call_id.clone(), stage.alice.tag.clone());
    let (remote_tag, cseq) = (stage.alice.remote_tag.clone(), stage.alice.cseq);
    for number in 2..40 {
        stage.alice.next_call(number);
        let invite = stage.alice.invite("900", &offer());
        stage.alice_sends(invite);
    }
    assert!(stage.alice.drain("SIP/2.0 404") >= 5);
    stage.alice.next_call(40);
    let invite = stage.alice.invite("200", &offer());
    stage.alice_sends(invite);
    stage.alice.expect_status(503);
    stage.pass_ms(3_000);
    (stage.alice.call_id, stage.alice.tag, stage.alice.remote_tag, stage.alice.cseq) = (call, tag, remote_tag, cseq);
    let number = stage.switch.snapshot(stage.now)[0].number;
    stage.switch.hang_up(stage.now, number);
    stage.settle();
    assert!(stage.bob.inbox.iter().any(|message| message.method() == "BYE"), "{:?}", stage.bob.inbox);
}
