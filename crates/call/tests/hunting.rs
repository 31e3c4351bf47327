//! Groups of peers: who is called next, who is called at once, and who is left out.
#![allow(missing_docs)]

mod support;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use support::{ALICE, BOB, GATEWAY, Phone, Sip, Stage, config, peer, sdp};
use tandem_call::{
    Conditions, Enquiry, Group, GroupId, HuntMode, HuntPolicy, Member, Order, Pattern, Peer, PeerId, Rewrite, Route,
    SwitchConfig, Target,
};
use tandem_contract::Codec;

const CAROL: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(198, 51, 100, 3)), 5060);

/// Bob and Carol stand in for each other.
fn group(mode: HuntMode) -> SwitchConfig {
    let mut config = config();
    config.peers.push(peer("carol", CAROL, &[Codec::Pcma], Ipv4Addr::new(10, 0, 2, 1)));
    let member = |id| Member { peer: PeerId(id), weight: 1 };
    config.groups.push(Group {
        name: "both".to_owned(),
        members: vec![member(1), member(2)],
        order: Order::Listed,
        hunt: HuntPolicy { mode, ring_s: 10, ..HuntPolicy::default() },
    });
    config.routes[0].to = Target::Group(GroupId(0));
    config
}

fn stage(config: SwitchConfig) -> Stage {
    let mut stage = Stage::with(config);
    stage.more.push(Phone::new("carol", CAROL, GATEWAY));
    stage
}

trait WithCarol {
    fn carol(&mut self) -> &mut Phone;
    fn carol_answers(&mut self, request: &Sip, status: u16, body: &str);
    fn bob_answers(&mut self, request: &Sip, status: u16, body: &str);
}

impl WithCarol for Stage {
    fn carol(&mut self) -> &mut Phone {
        &mut self.more[0]
    }

    fn carol_answers(&mut self, request: &Sip, status: u16, body: &str) {
        let answer = self.carol().answer(request, status, "Whatever", body);
        self.datagram(CAROL, answer.as_bytes());
    }

    fn bob_answers(&mut self, request: &Sip, status: u16, body: &str) {
        let answer = self.bob.answer(request, status, "Whatever", body);
        self.bob_sends(answer);
    }
}

fn offer() -> String {
    sdp(ALICE, 4000, "0 8", "")
}

/// Carol answers `invite`, Alice hears it and acknowledges, hangs up, and nothing is left.
fn carol_takes_it(stage: &mut Stage, invite: &Sip) {
    stage.carol_answers(invite, 200, &sdp(CAROL, 7000, "8", ""));
    stage.carol().expect_request("ACK");
    let ok = loop {
        let message = stage.alice.next();
        if message.status() == Some(200) {
            break message;
        }
    };
    let ack = stage.alice.ack(&ok, "");
    stage.alice_sends(ack);
    assert_eq!(stage.legs()[1].remote, Some(SocketAddr::new(CAROL.ip(), 7000)));
    let bye = stage.alice.request("BYE", "");
    stage.alice_sends(bye);
    let bye = stage.carol().expect_request("BYE");
    stage.carol_answers(&bye, 200, "");
    stage.assert_clean();
    assert_eq!(stage.record().callee.peer, "carol");
    assert!(stage.record().routed_uri.contains("198.51.100.3"), "{}", stage.record().routed_uri);
}

#[test]
fn who_answers_503_is_followed_by_the_next() {
    let mut stage = stage(group(HuntMode::FailOver));
    let invite = stage.alice_calls(&offer());
    stage.bob_answers(&invite, 503, "");
    stage.bob.expect_request("ACK");
    let invite = stage.carol().expect_request("INVITE");
    carol_takes_it(&mut stage, &invite);
    let tried = &stage.record().tried;
    assert_eq!((tried[0].peer.as_str(), tried[0].status), ("bob", 503));
    let trunks = stage.switch.trunks();
    assert_eq!((trunks[1].attempts, trunks[1].failures, trunks[1].answered), (1, 1, 0));
    assert_eq!((trunks[2].attempts, trunks[2].failures, trunks[2].answered), (1, 0, 1));
    assert_eq!(trunks.iter().map(|trunk| trunk.calls).sum::<u32>(), 0);
}

#[test]
fn a_busy_callee_is_busy_where_only_failures_lead_to_the_next() {
    let mut stage = stage(group(HuntMode::FailOver));
    let invite = stage.alice_calls(&offer());
    stage.bob_answers(&invite, 486, "");
    stage.carol().expect_silence();
    stage.alice.expect_status(486);
    stage.alice.inbox.clear();
    stage.assert_clean();
}

#[test]
fn who_says_nothing_is_followed_by_the_next_and_hears_a_cancel_when_it_wakes_up() {
    let mut stage = stage(group(HuntMode::FailOver));
    let invite = stage.alice_calls(&offer());
    stage.pass_ms(4_900);
    stage.carol().expect_silence();
    stage.pass_ms(200);
    let second = stage.carol().expect_request("INVITE");
    stage.bob.inbox.clear();
    stage.bob_answers(&invite, 180, "");
    let cancel = stage.bob.expect_request("CANCEL");
    stage.bob_answers(&cancel, 200, "");
    stage.bob_answers(&invite, 487, "");
    stage.bob.expect_request("ACK");
    carol_takes_it(&mut stage, &second);
    assert_eq!(stage.record().tried[0].status, 0);
}

#[test]
fn a_late_answer_of_who_was_given_up_is_acknowledged_and_ended() {
    let mut stage = stage(group(HuntMode::FailOver));
    let invite = stage.alice_calls(&offer());
    stage.pass_ms(5_100);
    let second = stage.carol().expect_request("INVITE");
    stage.bob.inbox.clear();
    stage.bob_answers(&invite, 200, &sdp(BOB, 6000, "8", ""));
    stage.bob.expect_request("ACK");
    let bye = stage.bob.expect_request("BYE");
    stage.bob_answers(&bye, 200, "");
    carol_takes_it(&mut stage, &second);
}

#[test]
fn a_callee_that_rings_is_not_given_up_in_fail_over() {
    let mut stage = stage(group(HuntMode::FailOver));
    let invite = stage.alice_calls(&offer());
    stage.bob_answers(&invite, 180, "");
    stage.pass_ms(30_000);
    stage.carol().expect_silence();
    stage.bob_answers(&invite, 603, "");
    stage.alice.inbox.clear();
    stage.assert_clean();
    assert_eq!(stage.record().status, 603);
}

#[test]
fn in_order_the_next_is_called_when_one_is_busy_or_rings_too_long() {
    for is_busy in [true, false] {
        let mut stage = stage(group(HuntMode::InOrder));
        let invite = stage.alice_calls(&offer());
        if is_busy {
            stage.bob_answers(&invite, 486, "");
        } else {
            stage.bob_answers(&invite, 180, "");
            stage.pass_ms(10_100);
            stage.bob.expect_request("CANCEL");
            stage.bob_answers(&invite, 487, "");
        }
        let invite = stage.carol().expect_request("INVITE");
        carol_takes_it(&mut stage, &invite);
    }
}

#[test]
fn six_hundreds_speak_for_all() {
    let mut stage = stage(group(HuntMode::InOrder));
    let invite = stage.alice_calls(&offer());
    stage.bob_answers(&invite, 603, "");
    stage.carol().expect_silence();
    stage.alice.expect_status(603);
    stage.alice.inbox.clear();
    stage.assert_clean();
}

#[test]
fn where_all_refuse_the_last_of_the_lowest_class_is_told() {
    let mut stage = stage(group(HuntMode::InOrder));
    let invite = stage.alice_calls(&offer());
    stage.bob_answers(&invite, 486, "");
    let invite = stage.carol().expect_request("INVITE");
    stage.carol_answers(&invite, 500, "");
    stage.alice.expect_status(486);
    stage.alice.inbox.clear();
    stage.assert_clean();
    assert_eq!(stage.record().tried.len(), 2);
}

#[test]
fn all_ring_at_once_and_the_first_to_answer_has_the_call() {
    let mut stage = stage(group(HuntMode::Parallel));
    let first = stage.alice_calls(&offer());
    let second = stage.carol().expect_request("INVITE");
    assert_ne!(first.header("Call-ID"), second.header("Call-ID"));
    assert_eq!(first.header("Max-Breadth"), "30", "each may fork on half of what is usual");
    stage.bob_answers(&first, 180, "");
    stage.carol_answers(&second, 180, "");
    stage.alice.expect_status(180);
    stage.alice.expect_silence();
    stage.carol_answers(&second, 200, &sdp(CAROL, 7000, "8", ""));
    let cancel = stage.bob.expect_request("CANCEL");
    stage.bob_answers(&cancel, 200, "");
    stage.bob_answers(&first, 487, "");
    stage.bob.expect_request("ACK");
    stage.carol().expect_request("ACK");
    let ok = stage.alice.expect_status(200);
    let ack = stage.alice.ack(&ok, "");
    stage.alice_sends(ack);
    stage.alice_hangs_up_with(CAROL);
    stage.assert_clean();
    assert_eq!(stage.record().callee.peer, "carol");
}

#[test]
fn two_answers_at_once_leave_one_call() {
    let mut stage = stage(group(HuntMode::Parallel));
    stage.worker = support::Worker::Willing;
    let first = stage.alice_calls(&offer());
    let second = stage.carol().expect_request("INVITE");
    stage.bob_answers(&first, 200, &sdp(BOB, 6000, "8", ""));
    stage.bob.expect_request("ACK");
    stage.carol_answers(&second, 200, &sdp(CAROL, 7000, "8", ""));
    stage.carol().expect_request("ACK");
    let bye = stage.carol().expect_request("BYE");
    stage.carol_answers(&bye, 200, "");
    let ok = stage.alice.expect_status(200);
    let ack = stage.alice.ack(&ok, "");
    stage.alice_sends(ack);
    stage.alice_hangs_up();
    stage.assert_clean();
    assert_eq!(stage.record().callee.peer, "bob");
}

#[test]
fn early_media_of_any_is_heard_and_another_may_answer() {
    let mut stage = stage(group(HuntMode::Parallel));
    let first = stage.alice_calls(&offer());
    let second = stage.carol().expect_request("INVITE");
    stage.carol_answers(&second, 183, &sdp(CAROL, 7000, "8", ""));
    let progress = stage.alice.expect_status(183);
    assert!(progress.body.contains("m=audio"));
    assert_eq!(stage.legs()[1].remote, Some(SocketAddr::new(CAROL.ip(), 7000)));
    stage.bob_answers(&first, 200, &sdp(BOB, 6000, "8", ""));
    stage.bob.expect_request("ACK");
    stage.carol().expect_request("CANCEL");
    assert_eq!(stage.legs()[1].remote, Some(SocketAddr::new(BOB.ip(), 6000)));
    let ok = stage.alice.expect_status(200);
    let ack = stage.alice.ack(&ok, "");
    stage.alice_sends(ack);
    stage.alice_hangs_up();
    stage.carol_answers(&second, 487, "");
    stage.assert_clean();
}

#[test]
fn the_caller_gives_up_and_everybody_stops_ringing() {
    let mut stage = stage(group(HuntMode::Parallel));
    let first = stage.alice_calls(&offer());
    let second = stage.carol().expect_request("INVITE");
    stage.bob_answers(&first, 180, "");
    stage.carol_answers(&second, 180, "");
    let cancel = stage.alice.cancel();
    stage.alice_sends(cancel);
    stage.bob.expect_request("CANCEL");
    stage.carol().expect_request("CANCEL");
    stage.bob_answers(&first, 487, "");
    stage.carol_answers(&second, 487, "");
    stage.alice.inbox.clear();
    stage.assert_clean();
    assert_eq!(stage.record().status, 487);
}

#[test]
fn a_narrow_breadth_makes_them_ring_one_after_another_and_none_is_refused() {
    let mut stage = stage(group(HuntMode::Parallel));
    stage.alice.invite("200", "");
    let invite = stage.alice.request_with("INVITE", &offer(), "Max-Breadth: 1\r\n");
    stage.alice_sends(invite);
    let first = stage.bob.expect_request("INVITE");
    assert_eq!(first.header("Max-Breadth"), "1");
    stage.carol().expect_silence();
    stage.bob_answers(&first, 486, "");
    let second = stage.carol().expect_request("INVITE");
    carol_takes_it(&mut stage, &second);

    let mut stage = self::stage(group(HuntMode::Parallel));
    stage.alice.invite("200", "");
    let invite = stage.alice.request_with("INVITE", &offer(), "Max-Breadth: 0\r\n");
    stage.alice_sends(invite);
    stage.alice.expect_status(440);
    stage.assert_clean();
}

#[test]
fn the_next_may_have_its_media_on_another_of_our_addresses() {
    let mut config = group(HuntMode::FailOver);
    config.peers[2].media_address = Ipv4Addr::new(10, 0, 1, 1).into();
    let mut stage = stage(config);
    let invite = stage.alice_calls(&offer());
    assert!(invite.body.contains("c=IN IP4 10.0.2.1"));
    stage.bob_answers(&invite, 503, "");
    let invite = stage.carol().expect_request("INVITE");
    assert!(invite.body.contains("c=IN IP4 10.0.1.1"));
    carol_takes_it(&mut stage, &invite);
}

#[test]
fn who_has_no_room_is_passed_over() {
    let mut config = group(HuntMode::FailOver);
    config.peers[1].max_calls_per_s = Some(1);
    let mut stage = stage(config);
    let first = stage.alice_calls(&offer());
    stage.bob_answers(&first, 486, "");
    stage.alice.inbox.clear();
    stage.bob.inbox.clear();
    stage.alice.next_call(2);
    let invite = stage.alice.invite("200", &offer());
    stage.alice_sends(invite);
    stage.bob.expect_silence();
    let second = stage.carol().expect_request("INVITE");
    stage.carol_answers(&second, 486, "");
    stage.alice.inbox.clear();
    stage.assert_clean();
    assert_eq!(stage.switch.trunks()[1].over_limit, 1);
}

#[test]
fn a_peer_that_fails_is_left_out_and_brought_back() {
    let mut config = group(HuntMode::FailOver);
    config.peers[1].health.failures = 1;
    let mut stage = stage(config);
    let invite = stage.alice_calls(&offer());
    stage.bob_answers(&invite, 503, "");
    let second = stage.carol().expect_request("INVITE");
    stage.carol_answers(&second, 486, "");
    stage.bob.inbox.clear();
    stage.carol().inbox.clear();
    let enquiry = Enquiry { number: "200".to_owned(), from: Some("alice".to_owned()), ..Enquiry::default() };
    let told = stage.switch.explain(stage.now, &enquiry).expect("an explanation");
    assert_eq!(told.targets.iter().map(|target| target.peer.as_str()).collect::<Vec<_>>(), ["carol"]);
    stage.pass_ms(31_000);
    let told = stage.switch.explain(stage.now, &enquiry).expect("an explanation");
    assert_eq!(told.targets.len(), 2);
    assert_eq!(told.outcome, "to group both: as listed, the next where one fails");
    let events: Vec<_> =
        stage.trunk_events.iter().map(|event| (event.peer.as_str(), event.out_because.is_some())).collect();
    assert_eq!(events, [("bob", true), ("bob", false)]);
}

#[test]
fn options_keep_an_eye_on_a_peer() {
    let mut config = config();
    config.peers[1].health.options_interval_s = Some(10);
    config.peers[1].health.failures = 1;
    let mut stage = stage(config);
    stage.pass_ms(1_500);
    let options = stage.bob.expect_request("OPTIONS");
    assert_eq!(options.uri(), "sip:198.51.100.2:5060");
    stage.now = stage.now.plus(3_000_000);
    stage.bob_answers(&options, 404, "");
    assert!(stage.switch.trunks()[1].round_trip_us.is_some(), "whatever it answers, it is alive");
    stage.pass_ms(20_000);
    assert!(!stage.switch.trunks()[1].in_service, "the next was not answered until the one after");
    let options = stage.bob.inbox.pop_back().expect("it is asked again");
    stage.bob_answers(&options, 200, "");
    assert!(stage.switch.trunks()[1].in_service);
}

#[test]
fn rules_go_by_caller_number_codec_and_form_and_say_why_not() {
    let mut config = config();
    let route = |name: &str, when: Conditions| Route {
        name: name.to_owned(),
        when,
        to: Target::Peer(PeerId(1)),
        rewrite: Rewrite::default(),
        recorder: None,
    };
    let pattern = |text: &str| Pattern::new(text).ok();
    config.routes = vec![
        route("other peer", Conditions { from: Some(PeerId(1)), ..Conditions::default() }),
        route("wideband", Conditions { codec: Some(Codec::G722), ..Conditions::default() }),
        route("extensions", Conditions { number: pattern("2[0-9]{2}"), ..Conditions::default() }),
        route("the boss", Conditions { caller: pattern("alice"), ..Conditions::default() }),
    ];
    let mut stage = Stage::with(config);
    let ask = |number: &str, caller: &str, offered: &[Codec]| Enquiry {
        number: number.to_owned(),
        from: Some("alice".to_owned()),
        caller: caller.to_owned(),
        offered: Some(offered.to_vec()),
        ..Enquiry::default()
    };
    let explain = |enquiry: &Enquiry| stage.switch.explain(stage.now, enquiry).expect("an explanation");
    assert_eq!(explain(&ask("200", "x", &[Codec::G722])).route.as_deref(), Some("wideband"));
    assert_eq!(explain(&ask("200", "x", &[Codec::Pcmu])).route.as_deref(), Some("extensions"));
    assert_eq!(explain(&ask("2000", "alice", &[Codec::Pcmu])).route.as_deref(), Some("the boss"));
    let told = explain(&ask("2000", "bob", &[Codec::Pcmu]));
    assert_eq!(told.outcome, "404: no route takes it");
    let because: Vec<_> = told.rules.iter().map(|rule| rule.because.as_str()).collect();
    assert_eq!(
        because,
        [
            "the call comes from another peer",
            "G722 is not offered",
            "the number does not match 2[0-9]{2}",
            "the caller does not match alice",
        ]
    );
    // What is explained is what happens.
    let invite = stage.alice.invite("2000", &offer());
    stage.alice_sends(invite);
    stage.bob.expect_request("INVITE");
}

#[test]
fn a_new_configuration_leaves_calls_and_those_still_to_be_called_alone() {
    let mut stage = stage(group(HuntMode::FailOver));
    let invite = stage.alice_calls(&offer());
    let mut renumbered = group(HuntMode::FailOver);
    let bob: Peer = renumbered.peers.remove(1);
    renumbered.peers.push(bob);
    renumbered.routes.truncate(1);
    stage.switch.reconfigure(stage.now, renumbered).expect("it fits");
    stage.bob_answers(&invite, 503, "");
    let second = stage.carol().expect_request("INVITE");
    carol_takes_it(&mut stage, &second);
    assert_eq!(stage.switch.trunks().iter().map(|trunk| trunk.calls).sum::<u32>(), 0);
}

#[test]
fn the_node_that_takes_over_calls_the_next_as_the_first_would_have() {
    let mut stage = stage(group(HuntMode::FailOver));
    stage.alice_calls(&offer());
    stage.crash();
    let again = stage.bob.expect_request("INVITE");
    stage.bob_answers(&again, 503, "");
    stage.bob.expect_request("ACK");
    let invite = stage.carol().expect_request("INVITE");
    carol_takes_it(&mut stage, &invite);
    assert_eq!(stage.record().tried[0].peer, "bob");
}

#[test]
fn silence_before_and_after_a_takeover_counts_together() {
    let mut stage = stage(group(HuntMode::FailOver));
    stage.alice_calls(&offer());
    stage.pass_ms(4_000);
    stage.crash();
    stage.bob.inbox.clear();
    stage.pass_ms(900);
    stage.carol().expect_silence();
    stage.pass_ms(200);
    let invite = stage.carol().expect_request("INVITE");
    carol_takes_it(&mut stage, &invite);
}

#[test]
fn all_who_rang_at_once_ring_on_after_a_takeover_and_the_first_to_answer_has_the_call() {
    let mut stage = stage(group(HuntMode::Parallel));
    let before = stage.alice_calls(&offer());
    stage.carol().expect_request("INVITE");
    stage.crash();
    let bobs = stage.bob.expect_request("INVITE");
    assert_eq!(bobs.header("Via"), before.header("Via"), "as though it had been lost");
    stage.bob_answers(&bobs, 180, "");
    let carols = stage.carol().expect_request("INVITE");
    let calls = |stage: &Stage| stage.switch.trunks().iter().map(|trunk| trunk.calls).collect::<Vec<_>>();
    assert_eq!(calls(&stage), [1, 1, 1]);
    stage.carol_answers(&carols, 200, &sdp(CAROL, 7000, "8", ""));
    stage.carol().expect_request("ACK");
    let cancel = stage.bob.expect_request("CANCEL");
    stage.bob_answers(&cancel, 200, "");
    stage.bob_answers(&bobs, 487, "");
    assert_eq!(calls(&stage), [1, 0, 1]);
    while stage.alice.next().status() != Some(200) {}
    stage.switch.end_all(stage.now, "practice");
    stage.settle();
    stage.alice.inbox.clear();
    stage.carol().inbox.clear();
    stage.assert_clean();
}
