//! Another node goes on with the calls of one that is gone: whoever speaks with it notices at most a retransmission.
#![allow(missing_docs)]

mod support;

use std::net::{IpAddr, Ipv4Addr};

use support::{ALICE, BOB, Readiness, Stage, Worker, config, sdp};
use tandem_call::{Ended, MediaPosition, Replica, ReplicaError, RestoreError, SrtpPolicy, Switch};
use tandem_contract::{Command, CryptoSuite, Direction, LegCounters, LegPosition, Nanos, Refusal, SentPosition};

fn offer() -> String {
    sdp(ALICE, 4000, "0", "")
}

fn answer() -> String {
    sdp(BOB, 6000, "8", "")
}

#[test]
fn an_answered_call_goes_on_and_the_callers_bye_ends_it_with_one_record_of_its_whole_life() {
    let mut stage = Stage::new();
    stage.ordinary_call();
    stage.pass_ms(40_000);
    stage.crash();
    stage.alice.expect_silence();
    stage.bob.expect_silence();
    stage.pass_ms(20_000);
    stage.counters = [LegCounters { packets_received: 7, ..LegCounters::default() }; 2];
    stage.alice_hangs_up();
    let record = stage.record();
    assert_eq!((record.status, record.ended_by, record.duration_ms), (200, Ended::Caller, 60_000));
    assert_eq!((record.route.as_str(), record.caller.peer.as_str()), ("to bob", "alice"));
    assert_eq!(record.caller.packets_received, 7);
    assert_eq!(stage.switch.counters().taken_over, 1);
    stage.assert_clean();
}

#[test]
fn the_callees_bye_is_answered_and_told_with_the_next_number() {
    let mut stage = Stage::new();
    stage.ordinary_call();
    stage.pass_ms(1_000);
    stage.crash();
    // The 200 may have been repeated, so the ACK is.
    let ack = stage.bob.expect_request("ACK");
    let bye = stage.bob.request("BYE", "");
    stage.bob_sends(bye);
    stage.bob.expect_status(200);
    let bye = stage.alice.expect_request("BYE");
    assert_eq!(bye.header("CSeq"), "1 BYE");
    assert_eq!(ack.header("CSeq"), "1 ACK");
    let ok = stage.alice.answer(&bye, 200, "OK", "");
    stage.alice_sends(ok);
    assert_eq!(stage.record().ended_by, Ended::Callee);
    stage.assert_clean();
}

#[test]
fn a_request_whose_answer_was_lost_with_the_first_node_is_answered_by_the_other() {
    let mut stage = Stage::new();
    stage.ordinary_call();
    stage.pass_ms(40_000);
    let options = stage.alice.request("OPTIONS", "");
    stage.alice_sends(options.clone());
    stage.alice.expect_status(200);
    stage.crash();
    stage.alice_sends(options);
    stage.alice.expect_status(200);
    stage.alice_hangs_up();
    stage.assert_clean();
}

#[test]
fn a_hold_after_the_takeover_is_negotiated_from_what_was_agreed_before() {
    let mut stage = Stage::new();
    stage.ordinary_call();
    stage.pass_ms(40_000);
    stage.crash();
    let options = stage.alice.request("OPTIONS", "");
    stage.alice_sends(options);
    stage.alice.expect_status(200);
    let hold = stage.alice.request("INVITE", &sdp(ALICE, 4000, "0", "a=sendonly\r\n"));
    stage.alice_sends(hold);
    let told = stage.bob.expect_request("INVITE");
    assert_eq!(told.header("CSeq"), "2 INVITE");
    assert!(told.body.starts_with("v=0\r\no=- ") && told.body.contains("a=sendonly\r\n"), "{}", told.body);
    let ok = stage.bob.answer(&told, 200, "OK", &sdp(BOB, 6000, "8", "a=recvonly\r\n"));
    stage.bob_sends(ok);
    stage.bob.expect_request("ACK");
    let ok = stage.alice.expect_status(200);
    let ack = stage.alice.ack(&ok, "");
    stage.alice_sends(ack);
    assert_eq!(stage.legs().map(|leg| leg.direction), [Direction::RecvOnly, Direction::SendOnly]);
    stage.alice_hangs_up();
    stage.assert_clean();
}

#[test]
fn a_call_that_rings_is_answered_by_the_node_that_took_over() {
    let mut stage = Stage::new();
    let invite = stage.alice_calls(&offer());
    let ringing = stage.bob.answer(&invite, 180, "Ringing", "");
    stage.bob_sends(ringing);
    stage.alice.expect_status(180);
    stage.pass_ms(1_000);
    stage.crash();
    // As though it had been lost: the same branch, and the same dialog.
    let again = stage.bob.expect_request("INVITE");
    assert_eq!((again.header("Via"), again.header("From")), (invite.header("Via"), invite.header("From")));
    let ok = stage.bob.answer(&again, 200, "OK", &answer());
    stage.bob_sends(ok);
    stage.bob.expect_request("ACK");
    let ok = stage.alice.expect_status(200);
    let ack = stage.alice.ack(&ok, "");
    stage.alice_sends(ack);
    stage.alice_hangs_up();
    assert_eq!((stage.record().status, stage.record().setup_ms), (200, 1_000));
    stage.assert_clean();
}

#[test]
fn a_call_that_rings_can_be_cancelled_at_the_node_that_took_over() {
    let mut stage = Stage::new();
    let invite = stage.alice_calls(&offer());
    stage.crash();
    let again = stage.bob.expect_request("INVITE");
    let ringing = stage.bob.answer(&again, 180, "Ringing", "");
    stage.bob_sends(ringing);
    stage.alice.expect_status(180);
    let cancel = stage.alice.cancel();
    stage.alice_sends(cancel);
    stage.alice.expect_status(200);
    let refused = stage.alice.expect_status(487);
    let ack = stage.alice.ack(&refused, "");
    stage.alice_sends(ack);
    let cancel = stage.bob.expect_request("CANCEL");
    let ok = stage.bob.answer(&cancel, 200, "OK", "");
    stage.bob_sends(ok);
    let gone = stage.bob.answer(&invite, 487, "Request Terminated", "");
    stage.bob_sends(gone);
    assert_eq!((stage.record().status, stage.record().ended_by), (487, Ended::Caller));
    stage.bob.inbox.clear();
    stage.assert_clean();
}

#[test]
fn an_invite_whose_flow_was_never_confirmed_goes_its_way_when_the_new_worker_has_it() {
    let mut stage = Stage::new();
    stage.worker = Worker::Silent;
    let invite = stage.alice.invite("200", &offer());
    stage.alice_sends(invite);
    stage.crash();
    stage.bob.expect_silence();
    stage.worker_answers();
    stage.bob.expect_request("INVITE");
}

#[test]
fn a_200_without_ack_is_repeated_until_it_has_one() {
    let mut stage = Stage::new();
    let invite = stage.alice_calls(&offer());
    let ok = stage.bob.answer(&invite, 200, "OK", &answer());
    stage.bob_sends(ok);
    stage.bob.expect_request("ACK");
    let first = stage.alice.expect_status(200);
    stage.crash();
    let again = stage.alice.expect_status(200);
    assert_eq!((first.header("To"), &first.body), (again.header("To"), &again.body));
    assert_eq!(stage.bob.drain("ACK"), 1);
    // Nor does a lost 200 make the caller's INVITE a second call.
    let invite = stage.alice.invite.clone().expect("it was sent").text();
    stage.alice_sends(invite);
    assert_eq!(stage.switch.calls_in_progress(), 1);
    stage.pass_ms(600);
    assert!(stage.alice.drain("SIP/2.0 200") > 0, "it is repeated");
    let ack = stage.alice.ack(&first, "");
    stage.alice_sends(ack);
    stage.pass_ms(40_000);
    stage.alice.expect_silence();
    stage.alice_hangs_up();
    stage.assert_clean();
}

#[test]
fn a_hold_that_was_under_way_comes_to_its_end() {
    let mut stage = Stage::new();
    stage.ordinary_call();
    stage.pass_ms(40_000);
    let hold = stage.alice.request("INVITE", &sdp(ALICE, 4000, "0", "a=sendonly\r\n"));
    stage.alice_sends(hold);
    let told = stage.bob.expect_request("INVITE");
    stage.crash();
    let again = stage.bob.expect_request("INVITE");
    assert_eq!(told.header("Via"), again.header("Via"));
    let ok = stage.bob.answer(&again, 200, "OK", &sdp(BOB, 6000, "8", "a=recvonly\r\n"));
    stage.bob_sends(ok);
    stage.bob.expect_request("ACK");
    let ok = stage.alice.expect_status(200);
    let ack = stage.alice.ack(&ok, "");
    stage.alice_sends(ack);
    stage.alice_hangs_up();
    stage.assert_clean();
}

#[test]
fn a_call_that_was_ending_is_recorded_and_both_sides_are_told_once_more() {
    let mut stage = Stage::new();
    stage.ordinary_call();
    stage.worker = Worker::Silent;
    let bye = stage.alice.request("BYE", "");
    stage.alice_sends(bye);
    stage.alice.expect_status(200);
    stage.bob.expect_request("BYE");
    stage.crash();
    let bye = stage.bob.expect_request("BYE");
    let unknown = stage.bob.answer(&bye, 481, "Call/Transaction Does Not Exist", "");
    stage.bob_sends(unknown);
    stage.alice.expect_silence();
    assert_eq!((stage.record().ended_by, stage.record().status), (Ended::Caller, 200));
    stage.assert_clean();
}

#[test]
fn a_node_that_lets_go_of_its_calls_says_nothing_to_anybody() {
    let mut stage = Stage::new();
    stage.ordinary_call();
    stage.pass_ms(40_000);
    assert_eq!(stage.switch.abandon(), 1);
    stage.settle();
    stage.alice.expect_silence();
    stage.bob.expect_silence();
    assert!(matches!(stage.commands.last(), Some((_, Command::AbandonFlow { .. }))));
    assert_eq!((stage.records.len(), stage.flows.len()), (0, 0));
    stage.assert_clean();
}

#[test]
fn media_goes_on_beyond_every_number_that_may_have_been_used() {
    let mut config = config();
    config.peers[0].srtp = SrtpPolicy::Required;
    config.peers[0].srtp_suites = vec![CryptoSuite::AeadAes128Gcm];
    let mut stage = Stage::with(config.clone());
    let secure = |text: String| {
        let key = format!("a=crypto:1 AEAD_AES_128_GCM inline:{}\r\n", "A".repeat(38));
        text.replace("RTP/AVP", "RTP/SAVP") + &key
    };
    stage.call_up(&secure(offer()), &answer());
    let before = stage.legs();
    let number = stage.switch.snapshot(stage.now)[0].number;
    let json = stage.switch.replica(number).expect("it is up").to_json();
    let sent = Some(SentPosition { sequence: 65_500, timestamp: 9_000 });
    let legs = [LegPosition { sent, ..LegPosition::default() }, LegPosition::default()];
    let mut other = Switch::new(config, [9; 32]).expect("a valid configuration");
    let replica = Replica::from_json(&json).expect("it was just written");
    other.restore(stage.now, &replica, Some(MediaPosition { legs, age_ms: 1_000 })).expect("room");
    let resumed = std::iter::from_fn(|| other.poll_output()).find_map(|output| match output {
        tandem_call::Output::Command { command: Command::ResumeFlow { legs, positions, .. }, .. } => {
            Some((legs, positions))
        }
        _ => None,
    });
    let (legs, positions) = resumed.expect("the worker is asked");
    assert_eq!(legs, before, "keys, SSRC, addresses and formats are what they were");
    let sent = positions.map(|leg| leg.sent.expect("a position"));
    assert_eq!(sent[0], SentPosition { sequence: 65_500_u16.wrapping_add(256 + 62), timestamp: 9_000 + 8 * 1_040 });
    assert_eq!(sent[1].sequence, before[1].first_sequence.wrapping_sub(1).wrapping_add(256 + 62));
    assert!(positions[0].srtp.is_some_and(|srtp| srtp.sent.is_some()) && positions[1].srtp.is_none());
}

#[test]
fn a_replica_shows_no_key_and_one_that_is_newer_or_damaged_is_refused() {
    let mut config = config();
    config.peers[0].srtp = SrtpPolicy::Optional;
    config.peers[0].srtp_suites = vec![CryptoSuite::AeadAes128Gcm];
    let mut stage = Stage::with(config);
    stage.ordinary_call();
    let number = stage.switch.snapshot(stage.now)[0].number;
    let replica = stage.switch.replica(number).expect("it is up");
    let shown = format!("{replica:?}");
    assert!(shown.contains("Answered") && shown.contains("alice-call-1") && shown.len() < 200, "{shown}");
    let json = String::from_utf8(replica.to_json()).expect("text");
    let newer = json.replacen("\"version\":1", "\"version\":2,\"more\":[]", 1);
    let error = Replica::from_json(newer.as_bytes()).expect_err("newer");
    assert_eq!(error, ReplicaError::Newer { found: 2, known: 1 });
    let error = Replica::from_json(&json.as_bytes()[..json.len() - 9]).expect_err("cut").to_string();
    assert!(error.starts_with("the call's replica is damaged at line 1, column "), "{error}");
    let unknown = json.replacen("\"version\":1", "\"version\":1,\"of_a_later_release\":{}", 1);
    assert!(Replica::from_json(unknown.as_bytes()).is_ok(), "what is not known is passed over");
}

#[test]
fn a_call_is_taken_up_once_and_only_where_its_peers_and_ports_are() {
    let mut stage = Stage::new();
    stage.ordinary_call();
    let number = stage.switch.snapshot(stage.now)[0].number;
    let replica = stage.switch.replica(number).expect("it is up");
    let ports = replica.media();
    assert_eq!(stage.switch.restore(stage.now, &replica, None), Err(RestoreError::PortsTaken(ports)));
    let mut config = config();
    config.peers[1].name = "robert".to_owned();
    let mut other = Switch::new(config, [9; 32]).expect("a valid configuration");
    let refused = other.restore(Nanos::from_millis(5), &replica, None);
    assert_eq!(refused, Err(RestoreError::UnknownPeer("bob".to_owned())));
    assert_eq!((other.media_in_use(), other.calls_in_progress(), other.poll_output()), (0, 0, None));
}

#[test]
fn who_watches_hears_of_each_change_once_and_of_the_end() {
    let mut stage = Stage::new();
    stage.switch.watch_changes();
    stage.ordinary_call();
    let number = stage.switch.snapshot(stage.now)[0].number;
    assert_eq!(stage.switch.poll_change(), Some(number));
    assert_eq!(stage.switch.poll_change(), None);
    assert!(stage.switch.place(number).is_some());
    stage.alice_hangs_up();
    assert_eq!(stage.switch.poll_change(), Some(number));
    assert!(stage.switch.replica(number).is_none(), "the record is written");
}

#[test]
fn both_sides_are_told_where_the_media_of_the_node_that_takes_over_is() {
    let mut stage = Stage::new();
    stage.ordinary_call();
    stage.pass_ms(40_000);
    let [alices, bobs] = [[10, 9, 1, 1], [10, 9, 2, 1]].map(|octets| IpAddr::from(Ipv4Addr::from(octets)));
    stage.config.media.addresses = vec![alices, bobs];
    stage.config.peers[0].media_address = alices;
    stage.config.peers[1].media_address = bobs;
    stage.crash();
    let told = stage.alice.expect_request("INVITE");
    assert!(told.body.contains("c=IN IP4 10.9.1.1\r\n"), "{}", told.body);
    stage.bob.expect_silence();
    let ok = stage.alice.answer(&told, 200, "OK", &offer());
    stage.alice_sends(ok);
    stage.alice.expect_request("ACK");
    let told = stage.bob.expect_request("INVITE");
    assert!(told.body.contains("c=IN IP4 10.9.2.1\r\n"), "{}", told.body);
    let ok = stage.bob.answer(&told, 200, "OK", &answer());
    stage.bob_sends(ok);
    stage.bob.expect_request("ACK");
    assert_eq!(stage.legs().map(|leg| leg.local.ip()), [alices, bobs]);
    // And once more, as the next one has the same addresses: nobody needs to hear of it.
    stage.crash();
    stage.alice.expect_silence();
    stage.alice_hangs_up();
    stage.assert_clean();
}

#[test]
fn media_goes_on_before_its_call_with_the_numbers_that_it_would_have_with_it() {
    let stage = || {
        let mut stage = Stage::new();
        stage.ordinary_call();
        stage.pass_ms(40_000);
        stage
    };
    let resumed = |stage: &Stage| {
        let numbers = |(_, command): &(_, Command)| match command {
            Command::ResumeFlow { legs, positions, .. } => Some((*legs, *positions)),
            _ => None,
        };
        stage.commands.iter().filter_map(numbers).collect::<Vec<_>>()
    };
    let [cold, at_hand, goes_on] = Readiness::ALL.map(|readiness| {
        let mut stage = Stage { readiness, ..stage() };
        stage.crash();
        assert_eq!((stage.flows.len(), stage.prepared.len(), stage.switch.flows_at_hand()), (1, 0, 0));
        assert_eq!(stage.switch.media_in_use(), 1);
        let resumed = resumed(&stage);
        stage.alice_hangs_up();
        stage.assert_clean();
        resumed
    });
    assert_eq!(cold.len(), 1);
    assert_eq!((&at_hand, &goes_on), (&cold, &cold));
}

#[test]
fn what_is_at_hand_follows_its_call_and_goes_with_it() {
    let mut stage = Stage::new();
    stage.ordinary_call();
    let number = stage.switch.snapshot(stage.now)[0].number;
    let mut other = Stage::new();
    let follow = |stage: &Stage, other: &mut Stage| {
        let replica = stage.switch.replica(number).expect("it is up");
        other.switch.prepare(other.now, &replica).expect("the other node is like this one");
        other.settle();
        replica.media()
    };
    let media = follow(&stage, &mut other);
    follow(&stage, &mut other);
    assert_eq!(other.commands.len(), 1, "nothing has changed");
    assert_eq!(other.prepared[0].2, stage.legs());
    let hold = stage.alice.request("INVITE", &sdp(ALICE, 4000, "0", "a=sendonly\r\n"));
    stage.alice_sends(hold);
    let told = stage.bob.expect_request("INVITE");
    let ok = stage.bob.answer(&told, 200, "OK", &sdp(BOB, 6000, "8", "a=recvonly\r\n"));
    stage.bob_sends(ok);
    assert_eq!(follow(&stage, &mut other), media);
    assert_eq!(other.prepared[0].2, stage.legs());
    assert_eq!((other.switch.flows_at_hand(), other.switch.media_in_use()), (1, 0));
    other.switch.dismiss(media);
    other.settle();
    assert!(!other.switch.resume_media(other.now, media, None));
    other.assert_clean();
}

#[test]
fn a_call_of_our_own_gets_the_place_of_one_that_is_only_at_hand() {
    let mut config = config();
    config.media.workers.truncate(1);
    config.media.workers[0].slots = 1;
    let mut stage = Stage::with(config.clone());
    stage.ordinary_call();
    let replica = stage.switch.replica(stage.switch.snapshot(stage.now)[0].number).expect("it is up");
    let mut other = Stage::with(config);
    other.switch.prepare(other.now, &replica).expect("there is room");
    other.settle();
    other.ordinary_call();
    assert_eq!((other.switch.flows_at_hand(), other.switch.media_in_use()), (0, 1));
    assert_eq!(other.switch.prepare(other.now, &replica), Err(RestoreError::NoSlot));
    other.alice_hangs_up();
    other.assert_clean();
}

#[test]
fn a_worker_that_will_not_have_a_flow_at_hand_is_asked_for_it_when_the_call_comes() {
    let mut stage = Stage::new();
    stage.ordinary_call();
    let replica = stage.switch.replica(stage.switch.snapshot(stage.now)[0].number).expect("it is up");
    let mut other = Stage::new();
    other.worker = Worker::Refusing(Refusal::TranscodersExhausted);
    other.switch.prepare(other.now, &replica).expect("the switch has room");
    other.settle();
    assert_eq!(other.switch.flows_at_hand(), 0);
    other.worker = Worker::Willing;
    other.switch.restore(other.now, &replica, None).expect("the ports are free");
    other.settle();
    assert_eq!(other.legs(), stage.legs());
    other.switch.abandon();
    other.settle();
    // One whose media goes on, and whose call never comes.
    other.switch.prepare(other.now, &replica).expect("the switch has room");
    assert!(other.switch.resume_media(other.now, replica.media(), None));
    other.settle();
    assert_eq!(other.flows.len(), 1);
    other.switch.abandon_media();
    other.settle();
    other.assert_clean();
}
