//! Recorded calls that change, and recording servers that cannot be had, leave, or want SRTP (RFC 7866, 7865, 4568).
#![allow(missing_docs)]

mod support;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use support::{ALICE, BOB, GATEWAY, Phone, Sip, Stage, config, peer, sdp};
use tandem_call::{Conditions, PeerId, Rewrite, Route, SrtpPolicy, Target};
use tandem_contract::{Codec, CryptoSuite};

const SERVER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7)), 5060);
const CAROL: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(198, 51, 100, 3)), 5060);
const SUITES: [CryptoSuite; 2] = [CryptoSuite::AeadAes256Gcm, CryptoSuite::AesCm128HmacSha1_80];

/// Calls to Bob are recorded by the server; numbers that begin with 3 are Carol's.
fn stage(srtp: SrtpPolicy) -> Stage {
    let mut config = config();
    let mut server = peer("server", SERVER, &[Codec::Pcmu], Ipv4Addr::new(10, 0, 1, 1));
    server.srtp = srtp;
    server.srtp_suites = SUITES.to_vec();
    config.peers.push(server);
    config.peers.push(peer("carol", CAROL, &[Codec::Pcma], Ipv4Addr::new(10, 0, 2, 1)));
    config.peers[1].recorder = Some("server".to_owned());
    config.routes.push(Route {
        name: "to carol".to_owned(),
        when: Conditions { user_prefix: "3".to_owned(), ..Conditions::default() },
        to: Target::Peer(PeerId(3)),
        rewrite: Rewrite::default(),
        recorder: None,
    });
    let mut stage = Stage::with(config);
    stage.more.push(Phone::new("server", SERVER, GATEWAY));
    stage.more.push(Phone::new("carol", CAROL, GATEWAY));
    stage
}

/// What the server answers: both streams at ports of its own, each with further lines.
fn wanted(profile: &str, more: [&str; 2]) -> String {
    let streams = [(7000, more[0]), (7002, more[1])]
        .map(|(port, more)| format!("m=audio {port} {profile} 0 8 9\r\n{more}a=recvonly\r\n"));
    format!(
        "v=0\r\no=server 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\n{}",
        streams.concat(),
        ip = SERVER.ip()
    )
}

fn server_answers(stage: &mut Stage, request: &Sip, status: u16, body: &str, more: &str) {
    let answer = stage.more[0].answer_with(request, status, "Whatever", body, more);
    stage.datagram(SERVER, answer.as_bytes());
}

fn server_accepts(stage: &mut Stage, invite: &Sip) {
    server_answers(stage, invite, 200, &wanted("RTP/AVP", [""; 2]), "");
    stage.more[0].expect_request("ACK");
}

/// A call is up and recorded; the server's INVITE.
fn recorded(stage: &mut Stage) -> Sip {
    stage.call_up(&sdp(ALICE, 4000, "0", ""), &sdp(BOB, 6000, "8", ""));
    let invite = stage.more[0].expect_request("INVITE");
    server_accepts(stage, &invite);
    invite
}

/// What stands between two texts.
fn between<'t>(text: &'t str, before: &str, after: &str) -> &'t str {
    let rest = text.split_once(before).unwrap_or_else(|| panic!("no {before} in {text}")).1;
    rest.split_once(after).unwrap_or_else(|| panic!("no {after} in {rest}")).0
}

fn session_id(invite: &Sip) -> &str {
    between(&invite.body, "<session session_id=\"", "\"")
}

/// The media line and attributes of a labelled stream.
fn stream(invite: &Sip, label: usize) -> &str {
    let sdp = between(&invite.body, "Content-Type: application/sdp", "--tandem");
    sdp.split("m=audio ").nth(label).expect("a stream")
}

/// Bob puts the call to what `body` says.
fn bob_changes(stage: &mut Stage, body: &str) {
    let invite = stage.bob.request("INVITE", body);
    stage.bob_sends(invite);
    let ok = stage.bob.expect_status(200);
    let ack = stage.bob.ack(&ok, "");
    stage.bob_sends(ack);
}

#[test]
fn another_codec_is_told_to_the_server_while_the_copies_go_on() {
    let mut stage = stage(SrtpPolicy::Off);
    let first = recorded(&mut stage);
    let before = stage.copies();
    bob_changes(&mut stage, &sdp(BOB, 6000, "9", ""));
    let second = stage.more[0].expect_request("INVITE");
    assert_eq!(second.header("Call-ID"), first.header("Call-ID"));
    assert_eq!((second.header("CSeq"), second.header("Require")), ("2 INVITE", "siprec"));
    assert!(stream(&second, 2).contains("RTP/AVP 9\r\n") && stream(&second, 2).contains("rtpmap:9 G722/8000"));
    assert!(stream(&second, 1).contains("RTP/AVP 0\r\n"));
    let version = |invite: &Sip| between(&invite.body, "o=- ", " IN").split(' ').map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(version(&first)[0], version(&second)[0]);
    assert_eq!((version(&first)[1].as_str(), version(&second)[1].as_str()), ("1", "2"));
    assert_eq!(session_id(&second), session_id(&first));
    server_accepts(&mut stage, &second);
    assert_eq!(stage.copies(), before, "numbers go on");
    let counters = stage.switch.counters();
    assert_eq!((counters.recordings_begun, counters.recordings_changed), (1, 1));
    stage.alice_hangs_up();
    let bye = stage.more[0].expect_request("BYE");
    assert_eq!(bye.header("CSeq"), "3 BYE");
    server_answers(&mut stage, &bye, 200, "", "");
    stage.assert_clean();
}

#[test]
fn what_changes_nothing_for_the_server_is_not_told() {
    let mut stage = stage(SrtpPolicy::Off);
    recorded(&mut stage);
    bob_changes(&mut stage, &sdp(BOB, 6100, "8 101", "a=rtpmap:101 telephone-event/8000\r\n"));
    stage.more[0].expect_silence();
}

#[test]
fn a_hold_stops_the_streams_and_is_in_the_metadata_until_it_is_taken_back() {
    let mut stage = stage(SrtpPolicy::Off);
    let first = recorded(&mut stage);
    let before = stage.copies();
    for (direction, mirrored) in [("sendonly", "recvonly"), ("sendrecv", "sendrecv")] {
        let invite = stage.alice.request("INVITE", &sdp(ALICE, 4000, "0", &format!("a={direction}\r\n")));
        stage.alice_sends(invite);
        let told = stage.bob.expect_request("INVITE");
        let ok = stage.bob.answer(&told, 200, "OK", &sdp(BOB, 6000, "8", &format!("a={mirrored}\r\n")));
        stage.bob_sends(ok);
        stage.bob.expect_request("ACK");
        let ok = stage.alice.expect_status(200);
        let ack = stage.alice.ack(&ok, "");
        stage.alice_sends(ack);
        let told = stage.more[0].expect_request("INVITE");
        let is_held = direction == "sendonly";
        assert!(stream(&told, 1).contains("a=sendonly"), "the holder may still say something");
        assert_eq!(stream(&told, 2).contains("a=inactive"), is_held, "{}", told.body);
        assert_eq!(told.body.matches("<send>").count(), if is_held { 1 } else { 2 });
        assert_eq!(told.body.matches("<recv>").count(), if is_held { 1 } else { 2 });
        assert_eq!(session_id(&told), session_id(&first));
        server_accepts(&mut stage, &told);
        stage.more[0].expect_silence();
    }
    assert_eq!(stage.copies(), before);
}

#[test]
fn who_takes_a_place_in_the_call_is_told_with_when_the_other_left() {
    let mut stage = stage(SrtpPolicy::Off);
    let first = recorded(&mut stage);
    let bob = between(&first.body, "<participant participant_id=\"", "</recording>");
    let bob = between(bob, "<participant participant_id=\"", "\"").to_owned();
    let refer = stage.bob.request_with("REFER", "", "Refer-To: <sip:300@10.0.0.1>\r\n");
    stage.bob_sends(refer);
    let invite = stage.more[1].expect_request("INVITE");
    stage.more[0].expect_silence();
    stage.pass_ms(2_000);
    let ok = stage.more[1].answer(&invite, 200, "OK", &sdp(CAROL, 8000, "8", ""));
    stage.datagram(CAROL, ok.as_bytes());
    let told = stage.more[0].expect_request("INVITE");
    assert!(told.body.contains(&format!("<nameID aor=\"sip:300@{CAROL}\"/>")), "{}", told.body);
    let left = between(
        &told.body,
        &format!("<participantsessionassoc participant_id=\"{bob}\""),
        "</participantsessionassoc>",
    );
    let (came, went) = (between(left, "<associate-time>", "<"), between(left, "<disassociate-time>", "<"));
    assert!(came < went, "{left}");
    assert!(!told.body.contains(&format!("<participantstreamassoc participant_id=\"{bob}\"")));
    server_accepts(&mut stage, &told);
    stage.more[0].expect_silence();
}

#[test]
fn a_change_that_the_server_refuses_leaves_the_copies_and_one_that_met_another_is_told_again() {
    for (status, is_again) in [(488, false), (491, true)] {
        let mut stage = stage(SrtpPolicy::Off);
        recorded(&mut stage);
        let before = stage.copies();
        bob_changes(&mut stage, &sdp(BOB, 6000, "9", ""));
        let told = stage.more[0].expect_request("INVITE");
        server_answers(&mut stage, &told, status, "", "");
        stage.more[0].expect_request("ACK");
        stage.pass_ms(2_000);
        stage.more[0].expect_silence();
        stage.pass_ms(3_000);
        assert_eq!(stage.more[0].inbox.is_empty(), !is_again);
        if is_again {
            let again = stage.more[0].expect_request("INVITE");
            // It was repeated meanwhile.
            stage.more[0].drain("INVITE");
            assert!(stream(&again, 2).contains("RTP/AVP 9\r\n"));
            server_accepts(&mut stage, &again);
        }
        assert_eq!(stage.copies(), before);
        assert_eq!(stage.switch.counters().recording_changes_refused, u64::from(!is_again));
        stage.alice_hangs_up();
        let bye = stage.more[0].expect_request("BYE");
        server_answers(&mut stage, &bye, 200, "", "");
        stage.assert_clean();
    }
}

#[test]
fn changes_during_a_change_are_told_once_it_is_through() {
    let mut stage = stage(SrtpPolicy::Off);
    recorded(&mut stage);
    bob_changes(&mut stage, &sdp(BOB, 6000, "9", ""));
    let told = stage.more[0].expect_request("INVITE");
    bob_changes(&mut stage, &sdp(BOB, 6000, "8", ""));
    stage.more[0].expect_silence();
    server_accepts(&mut stage, &told);
    let last = stage.more[0].expect_request("INVITE");
    assert!(stream(&last, 2).contains("RTP/AVP 8\r\n"), "{}", last.body);
}

#[test]
fn a_server_that_no_longer_knows_the_session_or_leaves_is_called_again() {
    for leaves in [true, false] {
        let mut stage = stage(SrtpPolicy::Off);
        let first = recorded(&mut stage);
        if leaves {
            let bye = stage.more[0].request("BYE", "");
            stage.datagram(SERVER, bye.as_bytes());
            stage.more[0].expect_status(200);
        } else {
            bob_changes(&mut stage, &sdp(BOB, 6000, "9", ""));
            let told = stage.more[0].expect_request("INVITE");
            server_answers(&mut stage, &told, 481, "", "");
            stage.more[0].expect_request("ACK");
        }
        let counters = stage.switch.counters();
        assert_eq!((counters.recordings_lost, counters.recordings_missing), (1, 1));
        assert_eq!(stage.copies(), [None; 2]);
        stage.pass_ms(4_900);
        stage.more[0].expect_silence();
        stage.pass_ms(200);
        let again = stage.more[0].expect_request("INVITE");
        assert_ne!(again.header("Call-ID"), first.header("Call-ID"));
        server_accepts(&mut stage, &again);
        assert_eq!(stage.switch.counters().recordings_missing, 0);
        assert!(stage.copies().iter().all(Option::is_some));
        stage.alice_hangs_up();
        let bye = stage.more[0].expect_request("BYE");
        server_answers(&mut stage, &bye, 200, "", "");
        stage.assert_clean();
    }
}

#[test]
fn a_server_that_refuses_is_called_again_later_and_later_or_when_it_says_or_never() {
    let mut stage = stage(SrtpPolicy::Off);
    stage.call_up(&sdp(ALICE, 4000, "0", ""), &sdp(BOB, 6000, "8", ""));
    for (status, more, wait_ms) in
        [(503, "", 5_000), (486, "", 10_000), (503, "Retry-After: 90\r\n", 90_000), (500, "", 40_000)]
    {
        let invite = stage.more[0].expect_request("INVITE");
        server_answers(&mut stage, &invite, status, "", more);
        stage.more[0].expect_request("ACK");
        stage.pass_ms(wait_ms - 100);
        stage.more[0].expect_silence();
        stage.pass_ms(200);
    }
    let invite = stage.more[0].expect_request("INVITE");
    server_answers(&mut stage, &invite, 603, "", "");
    stage.more[0].expect_request("ACK");
    stage.pass_ms(600_000);
    stage.more[0].expect_silence();
    let counters = stage.switch.counters();
    assert_eq!((counters.recordings_failed, counters.recordings_missing), (5, 1));
    assert_eq!(stage.flows.len(), 1, "the call is up");
    stage.alice_hangs_up();
    stage.assert_clean();
    assert_eq!(stage.switch.counters().recordings_missing, 0);
}

/// The `a=crypto` lines of a stream.
fn crypto(invite: &Sip, label: usize) -> Vec<String> {
    stream(invite, label).lines().filter_map(|line| line.strip_prefix("a=crypto:")).map(str::to_owned).collect()
}

/// A line of the server's own under this number and suite.
fn its_line(tag: u32, suite: CryptoSuite) -> String {
    use base64::Engine as _;
    let key = base64::engine::general_purpose::STANDARD.encode(vec![7; suite.key_and_salt_len()]);
    format!("a=crypto:{tag} {} inline:{key}\r\n", suite.name())
}

#[test]
fn copies_are_protected_by_the_offered_key_that_the_server_chose_and_stay_so() {
    let mut stage = stage(SrtpPolicy::Required);
    stage.call_up(&sdp(ALICE, 4000, "0", ""), &sdp(BOB, 6000, "8", ""));
    let invite = stage.more[0].expect_request("INVITE");
    for label in [1, 2] {
        assert!(stream(&invite, label).contains(" RTP/SAVP "), "{}", invite.body);
        assert_eq!(crypto(&invite, label).len(), SUITES.len());
    }
    assert_ne!(crypto(&invite, 1), crypto(&invite, 2), "each stream has keys of its own");
    let lines = [its_line(2, SUITES[1]), its_line(1, SUITES[0])];
    server_answers(&mut stage, &invite, 200, &wanted("RTP/SAVP", [&lines[0], &lines[1]]), "");
    stage.more[0].expect_request("ACK");
    let before = stage.copies();
    for (copy, (label, index)) in before.iter().zip([(1, 1), (2, 0)]) {
        let key = copy.and_then(|copy| copy.key).expect("a key");
        let line = tandem_call::CryptoLine { tag: index as u32 + 1, key };
        assert_eq!(line.value(), crypto(&invite, label)[index]);
    }
    bob_changes(&mut stage, &sdp(BOB, 6000, "9", ""));
    let told = stage.more[0].expect_request("INVITE");
    assert_eq!(crypto(&told, 1), [crypto(&invite, 1)[1].clone()], "what was agreed, and nothing beside it");
    server_answers(&mut stage, &told, 200, &wanted("RTP/SAVP", [&lines[0], &lines[1]]), "");
    stage.more[0].expect_request("ACK");
    assert_eq!(stage.copies(), before);

    stage.pass_ms(1_000);
    stage.crash();
    stage.bob.drain("ACK");
    let after = stage.copies();
    for (before, after) in before.iter().flatten().zip(after.iter().flatten()) {
        assert_eq!((before.remote, before.key), (after.remote, after.key));
        assert_ne!(before.ssrc, after.ssrc, "the key never protects the same numbers twice");
    }
    stage.more[0].expect_silence();
}

#[test]
fn a_server_without_keys_gets_copies_in_the_clear_where_that_may_be_and_none_where_not() {
    for policy in [SrtpPolicy::Optional, SrtpPolicy::Required] {
        let mut stage = stage(policy);
        stage.call_up(&sdp(ALICE, 4000, "0", ""), &sdp(BOB, 6000, "8", ""));
        let invite = stage.more[0].expect_request("INVITE");
        assert_eq!(crypto(&invite, 1).len(), SUITES.len());
        server_answers(&mut stage, &invite, 200, &wanted("RTP/AVP", [""; 2]), "");
        stage.more[0].expect_request("ACK");
        let is_recorded = stage.copies().iter().all(|copy| copy.is_some_and(|copy| copy.key.is_none()));
        assert_eq!(is_recorded, policy == SrtpPolicy::Optional);
        if !is_recorded {
            let bye = stage.more[0].expect_request("BYE");
            server_answers(&mut stage, &bye, 200, "", "");
            assert_eq!(stage.copies(), [None; 2]);
            assert_eq!(stage.switch.counters().recordings_missing, 1);
        }
    }
}

#[test]
fn a_call_whose_session_was_not_up_is_recorded_by_the_node_that_takes_over() {
    let mut stage = stage(SrtpPolicy::Off);
    stage.call_up(&sdp(ALICE, 4000, "0", ""), &sdp(BOB, 6000, "8", ""));
    stage.more[0].expect_request("INVITE");
    stage.crash();
    stage.bob.drain("ACK");
    stage.more[0].inbox.clear();
    stage.pass_ms(5_100);
    let again = stage.more[0].expect_request("INVITE");
    server_accepts(&mut stage, &again);
    assert!(stage.copies().iter().all(Option::is_some));
}
