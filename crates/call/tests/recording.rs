//! Calls that a recording server gets copies of (SIPREC: RFC 7866, 7865).
#![allow(missing_docs)]

mod support;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use support::{ALICE, BOB, GATEWAY, Phone, Sip, Stage, config, sdp};
use tandem_contract::{Codec, ForkTarget, LegSide};

/// The recording server.
const SERVER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7)), 5060);

fn stage() -> Stage {
    let mut config = config();
    config.peers.push(support::peer("server", SERVER, &[Codec::Pcmu], Ipv4Addr::new(10, 0, 1, 1)));
    config.peers[1].recorder = Some("server".to_owned());
    let mut stage = Stage::with(config);
    stage.more.push(Phone::new("server", SERVER, GATEWAY));
    stage
}

/// What the server wants: both streams at ports of its own.
fn wanted() -> String {
    format!(
        "{}m=audio 7002 RTP/AVP 8\r\na=recvonly\r\na=label:2\r\n",
        sdp(SERVER, 7000, "0", "a=recvonly\r\na=label:1\r\n")
    )
}

/// A call is up, and the server has its INVITE.
fn recorded(stage: &mut Stage) -> Sip {
    stage.call_up(&sdp(ALICE, 4000, "0", ""), &sdp(BOB, 6000, "8", ""));
    stage.more[0].expect_request("INVITE")
}

fn server_says(stage: &mut Stage, message: &str) {
    stage.datagram(SERVER, message.as_bytes());
}

fn accepted(stage: &mut Stage) {
    let invite = recorded(stage);
    let ok = stage.more[0].answer(&invite, 200, "OK", &wanted());
    server_says(stage, &ok);
    stage.more[0].expect_request("ACK");
}

fn addresses(stage: &Stage) -> [Option<SocketAddr>; 2] {
    stage.copies().map(|copy| copy.map(|copy| copy.remote))
}

#[test]
fn an_answered_call_is_offered_as_two_streams_with_who_is_in_it() {
    let mut stage = stage();
    let invite = recorded(&mut stage);
    assert_eq!((invite.header("Require"), addresses(&stage)), ("siprec", [None; 2]));
    assert!(invite.header("Contact").ends_with(">;+sip.src"), "{}", invite.header("Contact"));
    let boundary = invite.header("Content-Type").strip_prefix("multipart/mixed;boundary=").expect("parts").to_owned();
    let parts: Vec<&str> = invite.body.split(&format!("--{boundary}")).collect();
    assert_eq!((parts.len(), parts[3]), (4, "--\r\n"));
    let [a, b] = stage.legs();
    for line in [
        &format!("m=audio {} RTP/AVP 0\r\n", a.local.port())[..],
        &format!("m=audio {} RTP/AVP 8 101\r\n", b.local.port()),
        &format!("c=IN IP4 {}\r\na=rtpmap:0 PCMU/8000\r\na=sendonly\r\na=label:1\r\n", a.local.ip()),
        "a=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\na=sendonly\r\na=label:2\r\n",
    ] {
        assert!(parts[1].contains(line), "{line} is not in\n{}", parts[1]);
    }
    assert!(parts[1].starts_with("\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n"));
    let metadata = parts[2];
    assert!(metadata.contains("Content-Type: application/rs-metadata+xml\r\n"), "{metadata}");
    for element in [
        "xmlns=\"urn:ietf:params:xml:ns:recording:1\"",
        "<start-time>2026-01-01T00:00:0",
        &format!("<nameID aor=\"sip:alice@{ALICE}\"/>"),
        &format!("<nameID aor=\"sip:200@{GATEWAY}\"/>"),
        "<label>1</label>",
        "<label>2</label>",
    ] {
        assert!(metadata.contains(element), "{element} is not in\n{metadata}");
    }
}

#[test]
fn copies_begin_with_the_servers_answer_and_its_session_ends_with_the_call() {
    let mut stage = stage();
    accepted(&mut stage);
    assert_eq!(addresses(&stage), [7000, 7002].map(|port| Some(SocketAddr::new(SERVER.ip(), port))));
    assert_ne!(stage.copies()[0].map(|copy| copy.ssrc), stage.copies()[1].map(|copy| copy.ssrc));
    stage.alice_hangs_up();
    let bye = stage.more[0].expect_request("BYE");
    let ok = stage.more[0].answer(&bye, 200, "OK", "");
    server_says(&mut stage, &ok);
    let counters = stage.switch.counters();
    assert_eq!((counters.recordings_begun, counters.recordings_failed, counters.recordings_lost), (1, 0, 0));
    stage.assert_clean();
}

#[test]
fn a_server_that_repeats_its_answer_is_acknowledged_again() {
    let mut stage = stage();
    let invite = recorded(&mut stage);
    let ok = stage.more[0].answer(&invite, 200, "OK", &wanted());
    server_says(&mut stage, &ok);
    let first = stage.more[0].expect_request("ACK");
    server_says(&mut stage, &ok);
    assert_eq!(stage.more[0].expect_request("ACK").text(), first.text());
    assert_eq!(stage.switch.counters().recordings_begun, 1);
}

#[test]
fn a_server_that_refuses_or_says_nothing_leaves_the_call_up() {
    for refuses in [true, false] {
        let mut stage = stage();
        let invite = recorded(&mut stage);
        if refuses {
            let refusal = stage.more[0].answer(&invite, 503, "Service Unavailable", "");
            server_says(&mut stage, &refusal);
            stage.more[0].expect_request("ACK");
        } else {
            stage.pass_ms(40_000);
            stage.more[0].drain("INVITE");
        }
        assert_eq!((stage.switch.counters().recordings_failed, addresses(&stage)), (1, [None; 2]));
        assert_eq!(stage.flows.len(), 1, "the call is up");
        stage.alice_hangs_up();
        stage.assert_clean();
        // Another try may have been under way.
        assert_eq!(stage.more[0].drain("INVITE") > 0, !refuses);
    }
}

#[test]
fn a_server_that_goes_away_ends_the_copies_and_not_the_call() {
    let mut stage = stage();
    accepted(&mut stage);
    let bye = stage.more[0].request("BYE", "");
    server_says(&mut stage, &bye);
    stage.more[0].expect_status(200);
    assert_eq!((stage.switch.counters().recordings_lost, addresses(&stage)), (1, [None; 2]));
    assert_eq!(stage.flows.len(), 1, "the call is up");
    stage.alice_hangs_up();
    stage.assert_clean();
    stage.more[0].expect_silence();
}

#[test]
fn an_answer_that_comes_after_the_call_is_acknowledged_and_ended() {
    let mut stage = stage();
    let invite = recorded(&mut stage);
    let ringing = stage.more[0].answer(&invite, 180, "Ringing", "");
    server_says(&mut stage, &ringing);
    stage.alice_hangs_up();
    stage.more[0].expect_request("CANCEL");
    let ok = stage.more[0].answer(&invite, 200, "OK", &wanted());
    server_says(&mut stage, &ok);
    stage.more[0].expect_request("ACK");
    stage.more[0].expect_request("BYE");
    assert_eq!(addresses(&stage), [None; 2]);
}

#[test]
fn the_node_that_takes_a_call_over_takes_its_session_over() {
    let mut stage = stage();
    accepted(&mut stage);
    let before = stage.copies();
    stage.pass_ms(1_000);
    stage.commands.clear();
    stage.crash();
    stage.bob.drain("ACK");
    let after = stage.copies();
    for leg in LegSide::BOTH {
        let of = |copies: &[Option<ForkTarget>; 2]| copies[leg.index()].map(|copy| (copy.remote, copy.ssrc));
        assert_eq!(of(&before), of(&after));
        assert!(of(&after).is_some());
    }
    stage.alice_hangs_up();
    let bye = stage.more[0].expect_request("BYE");
    assert_eq!(bye.header("CSeq"), "2 BYE");
    let ok = stage.more[0].answer(&bye, 200, "OK", "");
    server_says(&mut stage, &ok);
    stage.assert_clean();
}
