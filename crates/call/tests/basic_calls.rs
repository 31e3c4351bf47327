//! Calls that are answered, and how they end.
#![allow(missing_docs)]

mod support;

use support::{ALICE, BOB, GATEWAY, Stage, Worker, sdp};
use tandem_call::{CallState, Ended};
use tandem_contract::{Codec, Command, Direction, LegCounters, PayloadType};

#[test]
fn a_call_is_set_up_spoken_and_hung_up_by_the_caller() {
    let mut stage = Stage::new();
    stage.counters = [
        LegCounters { packets_received: 100, octets_received: 16_000, jitter_us: 250, ..LegCounters::default() },
        LegCounters { packets_sent: 99, packets_lost: 3, ..LegCounters::default() },
    ];
    stage.call_up(&sdp(ALICE, 4000, "0 8", ""), &sdp(BOB, 6000, "8", ""));
    let [a, b] = stage.legs();
    assert_eq!(a.remote, Some((ALICE.ip(), 4000).into()));
    assert_eq!(b.remote, Some((BOB.ip(), 6000).into()));
    assert_eq!((a.direction, b.direction), (Direction::SendRecv, Direction::SendRecv));
    assert_eq!(a.format.expect("agreed").codec, Codec::Pcma, "both sides can speak it, so nothing is transcoded");
    assert_eq!(b.format.expect("agreed").codec, Codec::Pcma);
    stage.pass_ms(12_000);
    stage.alice_hangs_up();
    let record = stage.record();
    assert_eq!((record.status, record.q850, record.ended_by), (200, 16, Ended::Caller));
    assert_eq!((record.setup_ms, record.duration_ms), (0, 12_000));
    assert_eq!(
        (record.caller.packets_received, record.caller.octets_received, record.caller.jitter_us),
        (100, 16_000, 250)
    );
    assert_eq!((record.callee.packets_sent, record.callee.packets_lost), (99, 3));
    assert_eq!((record.caller.codec, record.callee.codec), (Some(Codec::Pcma), Some(Codec::Pcma)));
    assert_eq!((record.caller.peer.as_str(), record.callee.peer.as_str()), ("alice", "bob"));
    assert_eq!(record.route, "to bob");
    assert_eq!(record.request_uri, "sip:200@10.0.0.1:5060");
    assert_eq!(record.routed_uri, "sip:200@198.51.100.2:5060");
    stage.assert_clean();
}

#[test]
fn a_call_is_hung_up_by_the_callee() {
    let mut stage = Stage::new();
    stage.ordinary_call();
    let bye = stage.bob.request("BYE", "");
    stage.bob_sends(bye);
    stage.bob.expect_status(200);
    let bye = stage.alice.expect_request("BYE");
    let ok = stage.alice.answer(&bye, 200, "OK", "");
    stage.alice_sends(ok);
    assert_eq!(stage.record().ended_by, Ended::Callee);
    stage.assert_clean();
}

#[test]
fn the_callee_hears_of_the_call_only_after_the_worker_has_the_flow() {
    let mut stage = Stage::new();
    stage.worker = Worker::Silent;
    let invite = stage.alice.invite("200", &sdp(ALICE, 4000, "0", ""));
    stage.alice_sends(invite);
    assert!(matches!(stage.commands[..], [(_, Command::InstallFlow { .. })]));
    stage.bob.expect_silence();
    assert_eq!(stage.switch.snapshot(stage.now)[0].state, CallState::Reserving);
    stage.worker_answers();
    stage.bob.expect_request("INVITE");
}

#[test]
fn the_caller_hears_of_the_answer_only_after_the_worker_runs_with_it() {
    let mut stage = Stage::new();
    let invite = stage.alice_calls(&sdp(ALICE, 4000, "0", ""));
    stage.worker = Worker::Silent;
    let ok = stage.bob.answer(&invite, 200, "OK", &sdp(BOB, 6000, "8", ""));
    stage.bob_sends(ok);
    stage.bob.expect_request("ACK");
    stage.alice.expect_silence();
    stage.worker_answers();
    stage.alice.expect_status(200);
    assert_eq!(stage.switch.snapshot(stage.now)[0].state, CallState::Answered);
}

#[test]
fn endpoints_without_a_common_codec_are_joined_by_transcoding() {
    let mut stage = Stage::new();
    let ok = stage.call_up(&sdp(ALICE, 4000, "0", ""), &sdp(BOB, 6000, "9", ""));
    assert!(ok.body.contains("m=audio") && ok.body.contains(" RTP/AVP 0\r\n"), "{}", ok.body);
    let formats = stage.legs().map(|leg| leg.format.expect("agreed"));
    assert_eq!(formats.map(|format| format.codec), [Codec::Pcmu, Codec::G722]);
    assert_eq!(formats[1].payload_type, PayloadType::new(9).expect("below 128"));
    stage.alice_hangs_up();
    stage.assert_clean();
}

#[test]
fn the_callee_is_offered_its_own_codecs_with_those_of_the_caller_in_front() {
    let mut stage = Stage::new();
    let invite = stage.alice_calls(&sdp(ALICE, 4000, "9 0", ""));
    assert!(invite.body.contains("RTP/AVP 9 8 101\r\n"), "{}", invite.body);
    let mut stage = Stage::new();
    let invite = stage.alice_calls(&sdp(ALICE, 4000, "0", ""));
    assert!(invite.body.contains("RTP/AVP 8 9 101\r\n"), "{}", invite.body);
}

#[test]
fn neither_side_sees_anything_of_the_other_sides_network() {
    let mut stage = Stage::new();
    stage.call_up(&sdp(ALICE, 4000, "8", ""), &sdp(BOB, 6000, "8", ""));
    let bye = stage.bob.request_with("BYE", "", "Reason: Q.850;cause=17;text=\"198.51.100.2 busy\"\r\n");
    stage.bob_sends(bye);
    stage.pass_ms(40_000);
    let (alice_ip, bob_ip) = (ALICE.ip().to_string(), BOB.ip().to_string());
    let secrets_of_alice = [alice_ip.as_str(), "alice-call-1", "alicetag"];
    let secrets_of_bob = [bob_ip.as_str(), "bobtag"];
    let callee_call_id = stage.record().callee.call_id.clone();
    for (to, bytes) in &stage.wire {
        let text = String::from_utf8_lossy(bytes);
        if *to == BOB {
            for secret in secrets_of_alice {
                assert!(!text.contains(secret), "{secret} in {text}");
            }
        } else {
            assert!(!text.contains(&callee_call_id), "{callee_call_id} in {text}");
            for secret in secrets_of_bob {
                assert!(!text.contains(secret), "{secret} in {text}");
            }
        }
    }
}

#[test]
fn the_callers_name_and_number_reach_the_callee_from_our_address() {
    let mut stage = Stage::new();
    let invite = stage.alice.invite("200", &sdp(ALICE, 4000, "0", ""));
    let invite = invite.replace("From: <sip:alice@", "From: \"Alice A.\" <sip:%2B4930@");
    stage.alice_sends(invite);
    let invite = stage.bob.expect_request("INVITE");
    assert!(
        invite.header("From").starts_with("\"Alice A.\" <sip:+4930@10.0.0.1:5060>;tag="),
        "{}",
        invite.header("From")
    );
    assert_eq!(invite.header("To"), "<sip:200@198.51.100.2:5060>");
    assert_eq!(invite.header("Contact"), format!("<sip:{GATEWAY}>"));
    assert_eq!(invite.header("Max-Forwards"), "69");
}

#[test]
fn ringing_is_passed_on_without_a_session_description() {
    let mut stage = Stage::new();
    let invite = stage.alice_calls(&sdp(ALICE, 4000, "0", ""));
    let trying = stage.bob.answer(&invite, 100, "Trying", "");
    stage.bob_sends(trying);
    stage.alice.expect_silence();
    let ringing = stage.bob.answer(&invite, 180, "Ringing", "");
    stage.bob_sends(ringing);
    let ringing = stage.alice.expect_status(180);
    assert_eq!(ringing.body, "");
    assert!(ringing.tag("To").is_some());
    assert_eq!(stage.switch.snapshot(stage.now)[0].state, CallState::Ringing);
}

#[test]
fn early_media_is_passed_on_as_183_once_the_worker_runs_with_it() {
    let mut stage = Stage::new();
    let invite = stage.alice_calls(&sdp(ALICE, 4000, "0", ""));
    stage.worker = Worker::Silent;
    let progress = stage.bob.answer(&invite, 183, "Session Progress", &sdp(BOB, 6000, "8", ""));
    stage.bob_sends(progress);
    stage.alice.expect_silence();
    stage.worker_answers();
    let progress = stage.alice.expect_status(183);
    assert!(progress.body.contains("m=audio"), "{}", progress.body);
    assert_eq!(stage.legs().map(|leg| leg.direction), [Direction::SendRecv; 2]);
    // The 200 has the same answer for the caller, also where the callee's own is another one.
    let ok = stage.bob.answer(&invite, 200, "OK", &sdp(BOB, 6002, "9", ""));
    stage.bob_sends(ok);
    let ok = stage.alice.expect_status(200);
    assert_eq!(ok.body, progress.body);
    assert_eq!(stage.legs()[1].remote, Some((BOB.ip(), 6002).into()));
    assert_eq!(stage.legs()[1].format.expect("agreed").codec, Codec::G722);
}

#[test]
fn a_200_without_description_takes_the_one_that_came_early() {
    let mut stage = Stage::new();
    let invite = stage.alice_calls(&sdp(ALICE, 4000, "0", ""));
    let progress = stage.bob.answer(&invite, 183, "Session Progress", &sdp(BOB, 6000, "8", ""));
    stage.bob_sends(progress);
    stage.alice.expect_status(183);
    let ok = stage.bob.answer(&invite, 200, "OK", "");
    stage.bob_sends(ok);
    stage.alice.expect_status(200);
}

#[test]
fn an_invite_without_offer_gets_ours_in_the_200_and_answers_in_the_ack() {
    let mut stage = Stage::new();
    let invite = stage.alice_calls("");
    assert!(invite.body.contains("RTP/AVP 8 9 101\r\n"), "{}", invite.body);
    let progress = stage.bob.answer(&invite, 183, "Session Progress", &sdp(BOB, 6000, "9", ""));
    stage.bob_sends(progress);
    assert_eq!(stage.alice.expect_status(183).body, "", "there is no answer to give yet");
    let ok = stage.bob.answer(&invite, 200, "OK", &sdp(BOB, 6000, "9", ""));
    stage.bob_sends(ok);
    stage.bob.expect_request("ACK");
    let ok = stage.alice.expect_status(200);
    assert!(ok.body.contains("RTP/AVP 9 0 8 101\r\n"), "the callee's codec comes first: {}", ok.body);
    let ack = stage.alice.ack(&ok, &sdp(ALICE, 4000, "9", ""));
    stage.alice_sends(ack);
    let [a, b] = stage.legs();
    assert_eq!(a.remote, Some((ALICE.ip(), 4000).into()));
    assert_eq!([a, b].map(|leg| leg.format.expect("agreed").codec), [Codec::G722, Codec::G722]);
    stage.alice_hangs_up();
    stage.assert_clean();
}

#[test]
fn an_ack_without_the_answer_it_owes_ends_the_call() {
    let mut stage = Stage::new();
    let invite = stage.alice_calls("");
    let ok = stage.bob.answer(&invite, 200, "OK", &sdp(BOB, 6000, "9", ""));
    stage.bob_sends(ok);
    stage.bob.expect_request("ACK");
    let ok = stage.alice.expect_status(200);
    let ack = stage.alice.ack(&ok, "");
    stage.alice_sends(ack);
    stage.alice.expect_request("BYE");
    stage.bob.expect_request("BYE");
    assert_eq!(stage.record().ended_by, Ended::Gateway);
    stage.assert_clean();
}

#[test]
fn forked_answers_beyond_the_first_are_acknowledged_and_ended() {
    let mut stage = Stage::new();
    let invite = stage.alice_calls(&sdp(ALICE, 4000, "0", ""));
    let ok = stage.bob.answer(&invite, 200, "OK", &sdp(BOB, 6000, "8", ""));
    stage.bob_sends(&ok);
    stage.bob.expect_request("ACK");
    let other = ok.replace(";tag=bobtag", ";tag=otherbranch");
    stage.bob_sends(&other);
    let ack = stage.bob.expect_request("ACK");
    assert_eq!(ack.tag("To"), Some("otherbranch"));
    let bye = stage.bob.expect_request("BYE");
    assert_eq!(bye.tag("To"), Some("otherbranch"));
    stage.bob_sends(&other);
    assert_eq!(
        stage.bob.expect_request("ACK").tag("To"),
        Some("otherbranch"),
        "a retransmission is acknowledged again"
    );
    assert!(stage.bob.inbox.is_empty(), "but not ended again");
    stage.alice.expect_status(200);
    assert_eq!(stage.switch.snapshot(stage.now)[0].state, CallState::Answered);
}

#[test]
fn the_call_ends_when_it_has_lasted_as_long_as_allowed() {
    let mut stage = Stage::new();
    stage.ordinary_call();
    stage.pass_ms(3_600_000 - 1);
    stage.alice.expect_silence();
    stage.pass_ms(1);
    stage.alice.expect_request("BYE");
    stage.bob.expect_request("BYE");
    assert_eq!(stage.record().duration_ms, 3_600_000);
    assert_eq!(stage.record().ended_by, Ended::Gateway);
    stage.assert_clean();
}

#[test]
fn the_call_is_remembered_until_its_record_is_written() {
    let mut stage = Stage::new();
    stage.disk_works = false;
    stage.ordinary_call();
    stage.alice_hangs_up();
    stage.pass_ms(300_000);
    assert_eq!(stage.switch.calls_in_progress(), 1);
    let number = stage.record().number;
    stage.switch.on_record_written(stage.now, number);
    stage.settle();
    stage.assert_clean();
}

#[test]
fn the_operator_can_end_a_call() {
    let mut stage = Stage::new();
    stage.ordinary_call();
    let number = stage.switch.snapshot(stage.now)[0].number;
    assert!(stage.switch.hang_up(stage.now, number));
    stage.settle();
    stage.alice.expect_request("BYE");
    stage.bob.expect_request("BYE");
    assert!(!stage.switch.hang_up(stage.now, tandem_call::CallNumber(99)));
    stage.assert_clean();
}

#[test]
fn a_record_is_one_line_of_json_with_readable_times() {
    let mut stage = Stage::new();
    stage.ordinary_call();
    stage.pass_ms(1_500);
    stage.alice_hangs_up();
    let json = serde_json::to_string(stage.record()).expect("serialises");
    assert!(!json.contains('\n'));
    assert!(json.contains("\"started\":\"2026-01-01T00:00:01.000Z\""), "{json}");
    assert!(json.contains("\"ended\":\"2026-01-01T00:00:02.500Z\""), "{json}");
    assert!(json.contains("\"ended_by\":\"caller\"") && json.contains("\"codec\":\"PCMU\""), "{json}");
}

#[test]
fn silence_is_described_on_the_legs_whose_peers_have_it_so() {
    let mut config = support::config();
    config.peers[0].comfort_noise = true;
    config.peers[1].codecs = vec![Codec::G729];
    let mut stage = Stage::with(config);
    let invite = stage.alice_calls(&sdp(ALICE, 4000, "0 13", ""));
    assert!(invite.body.contains("a=fmtp:18 annexb=yes\r\n") && !invite.body.contains("CN"), "{}", invite.body);
    let ok = stage.bob.answer(&invite, 200, "OK", &sdp(BOB, 6000, "18", "a=fmtp:18 annexb=yes\r\n"));
    stage.bob_sends(ok);
    let ok = stage.alice.expect_status(200);
    assert!(
        ok.body.contains("m=audio 20000 RTP/AVP 0 13\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:13 CN/8000\r\n"),
        "{}",
        ok.body
    );
    let formats = stage.legs().map(|leg| leg.format.expect("is negotiated"));
    assert_eq!(formats[0].comfort_noise.map(|number| number.get()), Some(13));
    assert!(formats[1].annexb && formats[1].comfort_noise.is_none());
}
