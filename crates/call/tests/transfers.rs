//! Transfers: who asks is replaced by whom it names, on either side; and whoever names a dialog takes it over (RFC 3891).
#![allow(missing_docs)]

mod support;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use support::{GATEWAY, Phone, Sip, Stage, config, peer, sdp};
use tandem_call::{Conditions, PeerId, Rewrite, Route, Target};
use tandem_contract::Codec;

const CAROL: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(198, 51, 100, 3)), 5060);

/// Numbers that begin with 3 are Carol's; her media is where Alice's is, or Bob's.
fn stage(media: Ipv4Addr) -> Stage {
    let mut config = config();
    config.peers.push(peer("carol", CAROL, &[Codec::Pcma], media));
    config.routes.push(Route {
        name: "to carol".to_owned(),
        when: Conditions { user_prefix: "3".to_owned(), ..Conditions::default() },
        to: Target::Peer(PeerId(2)),
        rewrite: Rewrite::default(),
        recorder: None,
    });
    let mut stage = Stage::with(config);
    stage.more.push(Phone::new("carol", CAROL, GATEWAY));
    stage
}

fn carol_answers(stage: &mut Stage, request: &Sip, status: u16, body: &str) {
    let answer = stage.more[0].answer(request, status, "Whatever", body);
    stage.datagram(CAROL, answer.as_bytes());
}

const BOBS: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 1);
const ALICES: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 1);

/// Bob asks for Carol in his place; her INVITE.
fn bob_refers(stage: &mut Stage) -> Sip {
    stage.ordinary_call();
    let refer = stage.bob.request_with("REFER", "", "Refer-To: <sip:300@10.0.0.1>\r\n");
    stage.bob_sends(refer);
    stage.bob.expect_status(202);
    let trying = stage.bob.expect_request("NOTIFY");
    assert_eq!(trying.body, "SIP/2.0 100 Trying\r\n");
    assert_eq!(trying.header("Subscription-State"), "active;expires=60");
    assert!(trying.header("Event").starts_with("refer"));
    let ok = stage.bob.answer(&trying, 200, "OK", "");
    stage.bob_sends(ok);
    stage.more[0].expect_request("INVITE")
}

#[test]
fn who_is_named_takes_the_place_of_who_asked() {
    let mut stage = stage(BOBS);
    let invite = bob_refers(&mut stage);
    assert!(invite.header("From").starts_with(&format!("<sip:alice@{GATEWAY}>")), "Alice is who calls");
    assert_eq!(invite.header("Referred-By"), format!("<sip:200@{GATEWAY}>"));
    carol_answers(&mut stage, &invite, 180, "");
    carol_answers(&mut stage, &invite, 200, &sdp(CAROL, 7000, "8", ""));
    stage.more[0].expect_request("ACK");
    let done = stage.bob.expect_request("NOTIFY");
    assert_eq!(
        (done.body.as_str(), done.header("Subscription-State")),
        ("SIP/2.0 200 OK\r\n", "terminated;reason=noresource")
    );
    let ok = stage.bob.answer(&done, 200, "OK", "");
    stage.bob_sends(ok);
    let bye = stage.bob.expect_request("BYE");
    let ok = stage.bob.answer(&bye, 200, "OK", "");
    stage.bob_sends(ok);
    assert_eq!(stage.legs()[1].remote, Some(SocketAddr::new(CAROL.ip(), 7000)));
    stage.alice.expect_silence();
    let calls: Vec<_> = stage.switch.trunks().iter().map(|trunk| trunk.calls).collect();
    assert_eq!(calls, [1, 0, 1]);
    stage.alice_hangs_up_with(CAROL);
    stage.assert_clean();
    assert_eq!((stage.record().status, stage.record().callee.peer.as_str()), (200, "carol"));
    assert_eq!(stage.switch.trunks().iter().map(|trunk| trunk.calls).sum::<u32>(), 0);
}

#[test]
fn the_caller_may_ask_too_and_hang_up_at_once() {
    let mut stage = stage(ALICES);
    stage.ordinary_call();
    let refer = stage.alice.request_with("REFER", "", "Refer-To: <sip:300@10.0.0.1>\r\n");
    stage.alice_sends(refer);
    stage.alice.expect_status(202);
    stage.alice.expect_request("NOTIFY");
    let bye = stage.alice.request("BYE", "");
    stage.alice_sends(bye);
    stage.alice.expect_status(200);
    stage.bob.expect_silence();
    let invite = stage.more[0].expect_request("INVITE");
    carol_answers(&mut stage, &invite, 200, &sdp(CAROL, 7000, "8", ""));
    stage.more[0].expect_request("ACK");
    assert_eq!(stage.legs()[0].remote, Some(SocketAddr::new(CAROL.ip(), 7000)));
    let bye = stage.bob.request("BYE", "");
    stage.bob_sends(bye);
    stage.bob.expect_status(200);
    let bye = stage.more[0].expect_request("BYE");
    carol_answers(&mut stage, &bye, 200, "");
    stage.assert_clean();
}

#[test]
fn where_nobody_takes_it_the_call_goes_on_as_it_was() {
    let mut stage = stage(BOBS);
    let invite = bob_refers(&mut stage);
    carol_answers(&mut stage, &invite, 486, "");
    stage.more[0].expect_request("ACK");
    let told = stage.bob.expect_request("NOTIFY");
    assert_eq!(told.body, "SIP/2.0 486 Whatever\r\n");
    let ok = stage.bob.answer(&told, 200, "OK", "");
    stage.bob_sends(ok);
    stage.bob.expect_silence();
    stage.alice_hangs_up();
    stage.assert_clean();
    assert_eq!(stage.record().callee.peer, "bob");
}

#[test]
fn where_nobody_takes_it_and_who_asked_is_gone_the_call_ends() {
    let mut stage = stage(BOBS);
    let invite = bob_refers(&mut stage);
    let bye = stage.bob.request("BYE", "");
    stage.bob_sends(bye);
    stage.bob.expect_status(200);
    carol_answers(&mut stage, &invite, 486, "");
    let bye = stage.alice.expect_request("BYE");
    let ok = stage.alice.answer(&bye, 200, "OK", "");
    stage.alice_sends(ok);
    stage.more[0].inbox.clear();
    stage.assert_clean();
}

#[test]
fn the_other_side_hangs_up_and_nobody_is_called_any_more() {
    let mut stage = stage(BOBS);
    let invite = bob_refers(&mut stage);
    carol_answers(&mut stage, &invite, 180, "");
    stage.alice_hangs_up();
    stage.more[0].expect_request("CANCEL");
    carol_answers(&mut stage, &invite, 487, "");
    stage.assert_clean();
}

#[test]
fn what_cannot_be_done_is_refused() {
    let mut stage = stage(ALICES);
    stage.ordinary_call();
    for (more, status) in [
        ("", 400),
        ("Refer-To: <sip:300@10.0.0.1?Replaces=x%3Bto-tag%3Da%3Bfrom-tag%3Db>\r\n", 603),
        ("Refer-To: <sip:300@10.0.0.1?Subject=x>\r\n", 501),
        ("Refer-To: <sip:900@10.0.0.1>\r\n", 404),
        // Her media is on another of our addresses than Bob's.
        ("Refer-To: <sip:300@10.0.0.1>\r\n", 503),
    ] {
        let refer = stage.bob.request_with("REFER", "", more);
        stage.bob_sends(refer);
        stage.bob.expect_status(status);
    }
    stage.alice_hangs_up();
    stage.assert_clean();
}

#[test]
fn a_transfer_that_was_under_way_comes_to_its_end_on_the_node_that_takes_over() {
    for answered in [true, false] {
        let mut stage = stage(BOBS);
        bob_refers(&mut stage);
        stage.pass_ms(3_000);
        stage.more[0].inbox.clear();
        stage.crash();
        // The last ACK is repeated, for it may not have come.
        stage.bob.inbox.clear();
        let again = stage.more[0].expect_request("INVITE");
        if answered {
            carol_answers(&mut stage, &again, 200, &sdp(CAROL, 7000, "8", ""));
            stage.more[0].expect_request("ACK");
        } else {
            carol_answers(&mut stage, &again, 486, "");
            stage.more[0].expect_request("ACK");
        }
        let done = stage.bob.expect_request("NOTIFY");
        assert_eq!(done.body.contains("200"), answered, "{}", done.body);
        let ok = stage.bob.answer(&done, 200, "OK", "");
        stage.bob_sends(ok);
        if answered {
            let bye = stage.bob.expect_request("BYE");
            let ok = stage.bob.answer(&bye, 200, "OK", "");
            stage.bob_sends(ok);
            stage.alice_hangs_up_with(CAROL);
        } else {
            stage.alice_hangs_up();
        }
        stage.assert_clean();
        assert_eq!(stage.switch.trunks().iter().map(|trunk| trunk.calls).sum::<u32>(), 0);
    }
}

/// Alice talks to Bob, and to Carol in a call of its own; her phone for the latter, and Carol's INVITE.
fn alice_consults(stage: &mut Stage) -> (Phone, Sip) {
    stage.ordinary_call();
    let mut consulting = Phone::new("alice", support::ALICE, GATEWAY);
    consulting.next_call(2);
    let invite = consulting.invite("300", &sdp(support::ALICE, 4002, "8", ""));
    stage.alice_sends(invite);
    let invite = stage.more[0].expect_request("INVITE");
    carol_answers(stage, &invite, 200, &sdp(CAROL, 7000, "8", ""));
    stage.more[0].expect_request("ACK");
    let ok = stage.alice.expect_status(200);
    let ack = consulting.ack(&ok, "");
    stage.alice_sends(ack);
    (consulting, invite)
}

/// Alice asks for the one that `dialog` names; Carol's INVITE.
fn alice_refers(stage: &mut Stage, (call_id, ours, theirs): (&str, &str, &str)) {
    let named = format!("Refer-To: <sip:300@10.0.0.1?Replaces={call_id}%3Bto-tag%3D{ours}%3Bfrom-tag%3D{theirs}>\r\n");
    let refer = stage.alice.request_with("REFER", "", &named);
    stage.alice_sends(refer);
}

fn alice_acknowledges(stage: &mut Stage, request: &Sip) {
    let ok = stage.alice.answer(request, 200, "OK", "");
    stage.alice_sends(ok);
}

/// Alice consults Carol and refers to that dialog; her phone for it, Carol's INVITE of it, and the one that replaces it.
fn alice_wants_carol_in_her_place(stage: &mut Stage) -> (Phone, Sip, Sip) {
    let (consulting, first) = alice_consults(stage);
    let tag = consulting.remote_tag.clone().expect("a tag");
    alice_refers(stage, (&consulting.call_id, &tag, &consulting.tag));
    stage.alice.expect_status(202);
    let trying = stage.alice.expect_request("NOTIFY");
    alice_acknowledges(stage, &trying);
    let invite = stage.more[0].expect_request("INVITE");
    (consulting, first, invite)
}

#[test]
fn whom_the_caller_has_consulted_takes_its_place() {
    let mut stage = stage(ALICES);
    let (consulting, first, invite) = alice_wants_carol_in_her_place(&mut stage);
    let tag = consulting.remote_tag.clone().expect("a tag");
    let own = format!("{};to-tag=caroltag;from-tag={}", first.header("Call-ID"), first.tag("From").expect("a tag"));
    assert_eq!((invite.header("Replaces"), invite.header("Require")), (own.as_str(), "replaces"));
    assert_eq!(invite.uri(), format!("sip:carol@{CAROL}"), "where her dialog leads");
    let text = invite.text();
    assert!(!text.contains(&consulting.call_id) && !text.contains(&tag), "nothing of the other side: {text}");
    let goodbye = stage.more[0].request("BYE", "");
    carol_answers(&mut stage, &invite, 200, &sdp(CAROL, 7002, "8", ""));
    stage.more[0].expect_request("ACK");
    let done = stage.alice.expect_request("NOTIFY");
    assert_eq!(done.body, "SIP/2.0 200 OK\r\n");
    alice_acknowledges(&mut stage, &done);
    let bye = stage.alice.expect_request("BYE");
    assert_eq!(bye.header("Call-ID"), "alice-call-1");
    alice_acknowledges(&mut stage, &bye);

    stage.datagram(CAROL, goodbye.as_bytes());
    stage.more[0].expect_status(200);
    let bye = stage.alice.expect_request("BYE");
    assert_eq!(bye.header("Call-ID"), "alice-call-2");
    alice_acknowledges(&mut stage, &bye);
    assert_eq!(stage.legs()[0].remote, Some(SocketAddr::new(CAROL.ip(), 7002)));
    let bye = stage.bob.request("BYE", "");
    stage.bob_sends(bye);
    stage.bob.expect_status(200);
    let bye = stage.more[0].expect_request("BYE");
    carol_answers(&mut stage, &bye, 200, "");
    stage.assert_clean();
    assert_eq!(stage.records.len(), 2);
}

#[test]
fn where_whom_it_has_consulted_refuses_both_calls_stay_up() {
    let mut stage = stage(ALICES);
    let (_, _, invite) = alice_wants_carol_in_her_place(&mut stage);
    carol_answers(&mut stage, &invite, 420, "");
    stage.more[0].expect_request("ACK");
    let told = stage.alice.expect_request("NOTIFY");
    assert_eq!(told.body, "SIP/2.0 420 Whatever\r\n");
    alice_acknowledges(&mut stage, &told);
    stage.bob.expect_silence();
    assert_eq!((stage.switch.calls_in_progress(), stage.flows.len()), (2, 2));
}

#[test]
fn a_refer_to_a_dialog_that_is_not_ours_ends_nothing() {
    let mut stage = stage(ALICES);
    let (consulting, _) = alice_consults(&mut stage);
    let tag = consulting.remote_tag.clone().expect("a tag");
    let (own_tag, own_call) = (stage.alice.remote_tag.clone().expect("a tag"), stage.alice.call_id.clone());
    let wrong = [
        ("nobodys", tag.as_str(), consulting.tag.as_str()),
        (&consulting.call_id, tag.as_str(), "another"),
        (&own_call, &own_tag, "alicetag"),
    ];
    for dialog in wrong {
        alice_refers(&mut stage, dialog);
        stage.alice.expect_status(603);
    }
    stage.more[0].expect_silence();
    assert_eq!(stage.switch.calls_in_progress(), 2);
}

/// Carol's INVITE for the dialog that Bob has with us, with this offer.
fn carol_replaces(stage: &mut Stage, from_tag: &str, offer: &str) {
    let replaces = format!(
        "Replaces: {};to-tag={};from-tag={from_tag}",
        stage.bob.call_id,
        stage.bob.remote_tag.clone().expect("a tag")
    );
    let invite = stage.more[0].invite("300", offer).replacen("\r\nCSeq", &format!("\r\n{replaces}\r\nCSeq"), 1);
    stage.datagram(CAROL, invite.as_bytes());
}

#[test]
fn whoever_names_a_dialog_of_ours_takes_it_over() {
    let mut stage = stage(BOBS);
    stage.ordinary_call();
    carol_replaces(&mut stage, "bobtag", &sdp(CAROL, 7000, "8", ""));
    let ok = stage.more[0].expect_status(200);
    let ack = stage.more[0].ack(&ok, "");
    stage.datagram(CAROL, ack.as_bytes());
    let bye = stage.bob.expect_request("BYE");
    let done = stage.bob.answer(&bye, 200, "OK", "");
    stage.bob_sends(done);
    stage.alice.expect_silence();
    assert_eq!(stage.legs()[1].remote, Some(SocketAddr::new(CAROL.ip(), 7000)));
    assert_eq!(stage.switch.trunks().iter().map(|trunk| trunk.calls).collect::<Vec<_>>(), [1, 0, 1]);
    stage.crash();
    stage.alice_hangs_up_with(CAROL);
    stage.assert_clean();
    assert_eq!(stage.record().callee.peer, "carol");
}

#[test]
fn who_names_no_dialog_of_ours_or_cannot_speak_in_it_changes_nothing() {
    let mut stage = stage(BOBS);
    stage.ordinary_call();
    carol_replaces(&mut stage, "another", &sdp(CAROL, 7000, "8", ""));
    stage.more[0].expect_status(481);
    stage.more[0].next_call(2);
    carol_replaces(&mut stage, "bobtag", &sdp(CAROL, 7000, "97", "a=rtpmap:97 iLBC/8000\r\n"));
    stage.more[0].expect_status(488);
    stage.more[0].next_call(3);
    carol_replaces(&mut stage, "bobtag;early-only", &sdp(CAROL, 7000, "8", ""));
    stage.more[0].expect_status(486);
    stage.bob.expect_silence();
    stage.alice_hangs_up();
    stage.more[0].inbox.clear();
    stage.assert_clean();
    assert_eq!(stage.record().callee.peer, "bob");
}

#[test]
fn where_the_worker_refuses_whoever_takes_over_the_place_is_kept() {
    let mut stage = stage(BOBS);
    stage.ordinary_call();
    stage.worker = support::Worker::Refusing(tandem_contract::Refusal::TranscodersExhausted);
    carol_replaces(&mut stage, "bobtag", &sdp(CAROL, 7000, "8", ""));
    stage.more[0].expect_status(503);
    stage.worker = support::Worker::Willing;
    stage.bob.expect_silence();
    stage.alice_hangs_up();
    stage.more[0].inbox.clear();
    stage.assert_clean();
}

/// Bob's phone rings; Carol's INVITE names that dialog.
fn carol_picks_up(stage: &mut Stage, from_tag: &str, offer: &str) {
    let invite = stage.alice_calls(&sdp(support::ALICE, 4000, "0 8", ""));
    let ringing = stage.bob.answer(&invite, 180, "Ringing", "");
    stage.bob_sends(ringing);
    stage.alice.expect_status(180);
    carol_replaces(stage, from_tag, offer);
}

/// Carol has the call, Alice its answer, and Bob's phone is silent.
fn carol_has_it(stage: &mut Stage) {
    let cancel = stage.bob.expect_request("CANCEL");
    assert!(cancel.header("Reason").contains("elsewhere"), "{cancel:?}");
    let ok = stage.alice.expect_status(200);
    let ack = stage.alice.ack(&ok, "");
    stage.alice_sends(ack);
    assert_eq!(stage.legs()[1].remote, Some(SocketAddr::new(CAROL.ip(), 7000)));
    assert_eq!(stage.legs()[0].remote, Some(SocketAddr::new(support::ALICE.ip(), 4000)));
    assert_eq!(stage.switch.trunks().iter().map(|trunk| trunk.calls).collect::<Vec<_>>(), [1, 0, 1]);
    stage.alice_hangs_up_with(CAROL);
    stage.bob.inbox.clear();
    stage.assert_clean();
    assert_eq!((stage.record().callee.peer.as_str(), stage.record().status), ("carol", 200));
}

#[test]
fn whoever_names_the_dialog_of_a_phone_that_rings_takes_the_call() {
    for early_only in ["", ";early-only"] {
        let mut stage = stage(BOBS);
        carol_picks_up(&mut stage, &format!("bobtag{early_only}"), &sdp(CAROL, 7000, "8", ""));
        let ok = stage.more[0].expect_status(200);
        let ack = stage.more[0].ack(&ok, "");
        stage.datagram(CAROL, ack.as_bytes());
        assert_eq!(stage.legs().map(|leg| leg.format.map(|format| format.codec)), [Some(Codec::Pcma); 2]);
        carol_has_it(&mut stage);
    }
}

#[test]
fn who_takes_the_call_may_leave_the_offer_to_us() {
    let mut stage = stage(BOBS);
    carol_picks_up(&mut stage, "bobtag", "");
    let ok = stage.more[0].expect_status(200);
    assert!(ok.body.contains("m=audio"), "{ok:?}");
    let ack = stage.more[0].ack(&ok, &sdp(CAROL, 7000, "8", ""));
    stage.datagram(CAROL, ack.as_bytes());
    carol_has_it(&mut stage);
}

#[test]
fn an_answer_that_crosses_the_one_that_takes_the_call_is_ended() {
    let mut stage = stage(BOBS);
    carol_picks_up(&mut stage, "bobtag", &sdp(CAROL, 7000, "8", ""));
    let ok = stage.more[0].expect_status(200);
    let ack = stage.more[0].ack(&ok, "");
    stage.datagram(CAROL, ack.as_bytes());
    let cancel = stage.bob.expect_request("CANCEL");
    let invite = Sip { start: cancel.start.replacen("CANCEL", "INVITE", 1), ..cancel };
    let mut invite = invite;
    for (name, value) in &mut invite.headers {
        if name == "CSeq" {
            *value = value.replacen("CANCEL", "INVITE", 1);
        }
    }
    invite.headers.push(("Contact".to_owned(), format!("<sip:{GATEWAY}>")));
    let ok = stage.bob.answer(&invite, 200, "OK", &sdp(support::BOB, 6000, "8", ""));
    stage.bob_sends(ok);
    stage.bob.expect_request("ACK");
    let bye = stage.bob.expect_request("BYE");
    let done = stage.bob.answer(&bye, 200, "OK", "");
    stage.bob_sends(done);
    let ok = stage.alice.expect_status(200);
    let ack = stage.alice.ack(&ok, "");
    stage.alice_sends(ack);
    stage.alice_hangs_up_with(CAROL);
    stage.assert_clean();
}

#[test]
fn where_who_wants_the_call_cannot_have_it_the_phone_rings_on() {
    for (from_tag, formats, status) in [("another", "8", 481), ("bobtag", "97", 488)] {
        let mut stage = stage(BOBS);
        let more = if formats == "97" { "a=rtpmap:97 iLBC/8000\r\n" } else { "" };
        carol_picks_up(&mut stage, from_tag, &sdp(CAROL, 7000, formats, more));
        stage.more[0].expect_status(status);
        stage.bob.expect_silence();
        assert_eq!(stage.switch.trunks().iter().map(|trunk| trunk.calls).collect::<Vec<_>>(), [1, 1, 0]);
        let cancel = stage.alice.cancel();
        stage.alice_sends(cancel);
        stage.bob.expect_request("CANCEL");
    }
}

#[test]
fn where_the_worker_refuses_who_wants_the_call_the_phone_rings_on_and_may_answer() {
    let mut stage = stage(BOBS);
    stage.worker = support::Worker::Silent;
    let invite = stage.alice.invite("200", &sdp(support::ALICE, 4000, "0 8", ""));
    stage.alice_sends(invite);
    stage.worker_answers();
    let invite = stage.bob.expect_request("INVITE");
    let ringing = stage.bob.answer(&invite, 180, "Ringing", "");
    stage.bob_sends(ringing);
    stage.alice.inbox.clear();
    stage.worker = support::Worker::Refusing(tandem_contract::Refusal::TranscodersExhausted);
    carol_replaces(&mut stage, "bobtag", &sdp(CAROL, 7000, "8", ""));
    stage.more[0].expect_status(503);
    stage.bob.expect_silence();
    stage.worker = support::Worker::Willing;
    let ok = stage.bob.answer(&invite, 200, "OK", &sdp(support::BOB, 6000, "8", ""));
    stage.bob_sends(ok);
    stage.bob.expect_request("ACK");
    let ok = stage.alice.expect_status(200);
    let ack = stage.alice.ack(&ok, "");
    stage.alice_sends(ack);
    stage.alice_hangs_up();
    stage.more[0].inbox.clear();
    stage.assert_clean();
    assert_eq!(stage.record().callee.peer, "bob");
}

#[test]
fn the_dialog_of_a_caller_without_answer_is_nobodys_to_take() {
    let mut stage = stage(ALICES);
    let invite = stage.alice_calls(&sdp(support::ALICE, 4000, "0", ""));
    let ringing = stage.bob.answer(&invite, 180, "Ringing", "");
    stage.bob_sends(ringing);
    let tag = stage.alice.expect_status(180).tag("To").expect("a tag").to_owned();
    let replaces = format!("Replaces: {};to-tag={tag};from-tag=alicetag", stage.alice.call_id);
    let invite = stage.more[0].invite("300", &sdp(CAROL, 7000, "8", ""));
    let invite = invite.replacen("\r\nCSeq", &format!("\r\n{replaces}\r\nCSeq"), 1);
    stage.datagram(CAROL, invite.as_bytes());
    stage.more[0].expect_status(481);
    stage.bob.expect_silence();
}

#[test]
fn the_caller_hangs_up_on_who_has_taken_the_call_before_it_has_its_answer() {
    let mut stage = stage(BOBS);
    let invite = stage.alice_calls(&sdp(support::ALICE, 4000, "0 8", ""));
    let ringing = stage.bob.answer(&invite, 180, "Ringing", "");
    stage.bob_sends(ringing);
    stage.alice.expect_status(180);
    stage.worker = support::Worker::Silent;
    carol_replaces(&mut stage, "bobtag", &sdp(CAROL, 7000, "8", ""));
    let cancel = stage.alice.cancel();
    stage.alice_sends(cancel);
    stage.worker_answers();
    stage.bob.expect_request("CANCEL");
    stage.more[0].expect_status(487);
    stage.alice.inbox.clear();
    stage.bob.inbox.clear();
    stage.more[0].inbox.clear();
    stage.assert_clean();
    assert_eq!(stage.record().status, 487);
}
