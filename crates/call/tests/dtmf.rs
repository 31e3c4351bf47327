//! Keys of the telephone between a peer that has them as INFO and one that has them as telephone events (RFC 4733).
#![allow(missing_docs)]

mod support;

use support::{ALICE, BOB, Stage, sdp};
use tandem_contract::{Command, Event, EventCode, Function, LegSide};

const RELAY: &str = "Content-Type: application/dtmf-relay\r\n";

/// Alice has events; Bob has none, and INFO where his configuration says so.
fn call(info_dtmf: bool) -> Stage {
    let mut config = support::config();
    config.peers[1].telephone_event = false;
    config.peers[1].info_dtmf = info_dtmf;
    let mut stage = Stage::with(config);
    let events = "a=rtpmap:101 telephone-event/8000\r\n";
    stage.call_up(&sdp(ALICE, 4000, "8 101", events), &sdp(BOB, 6000, "8", ""));
    stage
}

fn pressed(stage: &mut Stage, leg: LegSide, key: char) {
    let (worker, flow, _) = stage.flows[0];
    let code = EventCode::of_key(key).expect("a key");
    stage.event(worker, Event::TelephoneEvent { flow, leg, code, duration_ms: 120 });
}

fn keys_sent(stage: &Stage) -> Vec<(LegSide, char, u16)> {
    let key = |command: &Command| match *command {
        Command::Function { function: Function::SendKey { leg, code, duration_ms }, .. } => {
            Some((leg, code.key().expect("a key"), duration_ms))
        }
        _ => None,
    };
    stage.commands.iter().filter_map(|(_, command)| key(command)).collect()
}

#[test]
fn an_event_becomes_an_info_for_a_peer_that_has_keys_so() {
    let mut stage = call(true);
    for key in ['5', '#'] {
        pressed(&mut stage, LegSide::A, key);
        let info = stage.bob.expect_request("INFO");
        assert_eq!(info.header("Content-Type"), "application/dtmf-relay");
        assert_eq!(info.body, format!("Signal={key}\r\nDuration=120\r\n"));
        let ok = stage.bob.answer(&info, 200, "OK", "");
        stage.bob_sends(ok);
    }
    stage.alice.expect_silence();
    stage.alice_hangs_up();
    stage.assert_clean();
}

#[test]
fn an_event_is_told_to_nobody_who_does_not_want_it() {
    let mut stage = call(false);
    pressed(&mut stage, LegSide::A, '5');
    stage.bob.expect_silence();
    // Bob's side is the one without events: what he presses is nothing for Alice, who has them.
    let mut stage = call(true);
    pressed(&mut stage, LegSide::B, '5');
    stage.alice.expect_silence();
    stage.alice_hangs_up();
    stage.assert_clean();
}

#[test]
fn who_presses_faster_than_is_answered_is_not_followed_for_ever() {
    let mut stage = call(true);
    for _ in 0..50 {
        pressed(&mut stage, LegSide::A, '1');
    }
    assert_eq!(stage.bob.drain("INFO "), 8);
    // None is answered: with the transactions the room comes back.
    stage.pass_ms(40_000);
    stage.bob.drain("INFO ");
    pressed(&mut stage, LegSide::A, '2');
    let info = stage.bob.expect_request("INFO");
    assert!(info.body.starts_with("Signal=2\r\n"), "{}", info.body);
}

#[test]
fn an_info_becomes_an_event_for_the_other_side_and_is_answered_at_once() {
    let mut stage = call(true);
    let info = stage.bob.request_with("INFO", "Signal=7\r\nDuration=200\r\n", RELAY);
    stage.bob_sends(info);
    stage.bob.expect_status(200);
    stage.alice.expect_silence();
    assert_eq!(keys_sent(&stage), [(LegSide::A, '7', 200)]);
    // What is no key is passed on as it is.
    let info = stage.bob.request_with("INFO", "hello", "Content-Type: text/plain\r\n");
    stage.bob_sends(info);
    assert_eq!(stage.alice.expect_request("INFO").body, "hello");
    assert_eq!(keys_sent(&stage).len(), 1);
}

#[test]
fn an_info_of_a_peer_that_has_no_keys_so_is_passed_on() {
    let mut stage = call(false);
    let info = stage.bob.request_with("INFO", "Signal=7\r\nDuration=200\r\n", RELAY);
    stage.bob_sends(info);
    assert_eq!(stage.alice.expect_request("INFO").body, "Signal=7\r\nDuration=200\r\n");
    assert_eq!(keys_sent(&stage), []);
}
