//! Calls whose legs speak SRTP: keys told in SIP are the keys that the worker gets, and nothing is spoken in the clear
//! that must not be.
#![allow(missing_docs)]

mod support;

use support::{ALICE, BOB, Stage, Worker, config, sdp};
use tandem_call::SrtpPolicy;
use tandem_contract::{CryptoSuite, MasterKey, Refusal};
use tandem_sdp::SessionDescription;

const SUITE: &str = "AES_CM_128_HMAC_SHA1_80";
const ALICES_KEY: &str = "inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj";
const BOBS_KEY: &str = "inline:NzB4d1BINUAvLEw6UzF3WSJ+PSdFcGdUJShpX1Zj";

/// A stage on which Alice's side and Bob's have these policies.
fn stage(alice: SrtpPolicy, bob: SrtpPolicy) -> Stage {
    let mut config = config();
    for (peer, policy) in config.peers.iter_mut().zip([alice, bob]) {
        peer.srtp = policy;
        peer.srtp_suites = vec![CryptoSuite::AesCm128HmacSha1_80, CryptoSuite::AeadAes128Gcm];
    }
    Stage::with(config)
}

fn secure(text: &str) -> String {
    text.replace("RTP/AVP", "RTP/SAVP")
}

fn alices_offer() -> String {
    secure(&sdp(ALICE, 4000, "0", &format!("a=crypto:4 {SUITE} {ALICES_KEY}\r\n")))
}

fn bobs_answer() -> String {
    secure(&sdp(BOB, 6000, "8", &format!("a=crypto:1 {SUITE} {BOBS_KEY}\r\n")))
}

/// Tag and key of the first `a=crypto` line, and the protocol beside it.
fn keys(body: &str) -> Option<(u32, MasterKey)> {
    let media = SessionDescription::parse(body.as_bytes()).expect("a session description").media.remove(0);
    media.crypto.first().map(|line| line.as_ref().expect("usable")).map(|line| (line.tag, line.key))
}

#[test]
fn the_worker_gets_the_keys_that_were_told_and_the_record_names_the_suites() {
    let mut stage = stage(SrtpPolicy::Required, SrtpPolicy::Required);
    let invite = stage.alice_calls(&alices_offer());
    assert!(invite.body.contains("RTP/SAVP"), "{}", invite.body);
    let (_, key_to_bob) = keys(&invite.body).expect("keys");
    let ok = stage.bob.answer(&invite, 200, "OK", &bobs_answer());
    stage.bob_sends(ok);
    stage.bob.expect_request("ACK");
    let ok = stage.alice.expect_status(200);
    let ack = stage.alice.ack(&ok, "");
    stage.alice_sends(ack);
    let (tag, key_to_alice) = keys(&ok.body).expect("keys");
    assert_eq!(tag, 4, "the caller's own number");
    let [a, b] = stage.legs().map(|leg| leg.crypto.expect("SRTP"));
    assert_eq!((a.send, b.send), (key_to_alice, key_to_bob));
    assert_ne!(a.send, b.send);
    assert_eq!(a.receive.key(), b"wDfvg&T+)xG7@fb5");
    assert_eq!(b.receive.key(), b"70xwPH5@/,L:S1wY");
    stage.alice_hangs_up();
    let record = serde_json::to_value(stage.record()).expect("JSON");
    assert_eq!((&record["caller"]["srtp"], &record["callee"]["srtp"]), (&SUITE.into(), &SUITE.into()));
    stage.assert_clean();
}

#[test]
fn one_leg_may_be_encrypted_and_the_other_not() {
    let mut stage = stage(SrtpPolicy::Off, SrtpPolicy::Required);
    stage.call_up(&sdp(ALICE, 4000, "0", ""), &bobs_answer());
    let [a, b] = stage.legs().map(|leg| leg.crypto.is_some());
    assert_eq!((a, b), (false, true));
    stage.alice_hangs_up();
    let record = stage.record();
    assert_eq!((record.caller.srtp, record.callee.srtp), (None, Some(CryptoSuite::AesCm128HmacSha1_80)));
    stage.assert_clean();
}

#[test]
fn where_it_is_optional_both_kinds_of_answer_will_do() {
    for (answer, encrypted) in [(sdp(BOB, 6000, "8", ""), false), (bobs_answer().replace("SAVP", "AVP"), true)] {
        let mut stage = stage(SrtpPolicy::Optional, SrtpPolicy::Optional);
        let ok = stage.call_up(&sdp(ALICE, 4000, "0", ""), &answer);
        assert_eq!(keys(&ok.body), None, "the caller offered no keys");
        assert_eq!(stage.legs().map(|leg| leg.crypto.is_some()), [false, encrypted]);
        stage.alice_hangs_up();
        stage.assert_clean();
    }
}

#[test]
fn an_offer_without_keys_where_they_are_required_is_refused_before_the_callee_hears_of_it() {
    let mut stage = stage(SrtpPolicy::Required, SrtpPolicy::Off);
    let invite = stage.alice.invite("200", &sdp(ALICE, 4000, "0", ""));
    stage.alice_sends(invite);
    let refusal = stage.alice.expect_status(488);
    assert!(refusal.header("Warning").contains("SRTP needs an a=crypto line"), "{refusal:?}");
    stage.bob.expect_silence();
    assert_eq!(stage.record().status, 488);
    let mut stage = self::stage(SrtpPolicy::Off, SrtpPolicy::Off);
    let invite = stage.alice.invite("200", &alices_offer());
    stage.alice_sends(invite);
    stage.alice.expect_status(488);
}

#[test]
fn a_callee_that_answers_without_keys_where_they_are_required_gets_a_bye_and_the_caller_488() {
    let mut stage = stage(SrtpPolicy::Off, SrtpPolicy::Required);
    let invite = stage.alice_calls(&sdp(ALICE, 4000, "0", ""));
    let ok = stage.bob.answer(&invite, 200, "OK", &sdp(BOB, 6000, "8", ""));
    stage.bob_sends(ok);
    stage.bob.expect_request("ACK");
    let bye = stage.bob.expect_request("BYE");
    let ok = stage.bob.answer(&bye, 200, "OK", "");
    stage.bob_sends(ok);
    let refusal = stage.alice.expect_status(488);
    let ack = stage.alice.ack(&refusal, "");
    stage.alice_sends(ack);
    assert_eq!(stage.record().callee.srtp, None);
    stage.assert_clean();
}

#[test]
fn hold_keeps_all_keys_and_a_new_key_of_the_peer_brings_one_of_ours() {
    let mut stage = stage(SrtpPolicy::Required, SrtpPolicy::Required);
    stage.call_up(&alices_offer(), &bobs_answer());
    let before = stage.legs().map(|leg| leg.crypto);
    let hold = stage.alice.request("INVITE", &format!("{}a=sendonly\r\n", alices_offer()));
    stage.alice_sends(hold);
    let told = stage.bob.expect_request("INVITE");
    assert_eq!(keys(&told.body), Some((1, before[1].expect("SRTP").send)), "the key that Bob knows");
    let ok = stage.bob.answer(&told, 200, "OK", &format!("{}a=recvonly\r\n", bobs_answer()));
    stage.bob_sends(ok);
    stage.bob.expect_request("ACK");
    let ok = stage.alice.expect_status(200);
    let ack = stage.alice.ack(&ok, "");
    stage.alice_sends(ack);
    assert_eq!(stage.legs().map(|leg| leg.crypto), before);
    let renewed = stage
        .alice
        .request("INVITE", &alices_offer().replace("a=crypto:4", "a=sendonly\r\na=crypto:5").replace("d0Rm", "d1Rm"));
    stage.alice_sends(renewed);
    let ok = stage.alice.expect_status(200);
    let ack = stage.alice.ack(&ok, "");
    stage.alice_sends(ack);
    let after = stage.legs().map(|leg| leg.crypto.expect("SRTP"));
    assert_ne!(after[0].send, before[0].expect("SRTP").send);
    assert_eq!(keys(&ok.body), Some((5, after[0].send)));
    assert_eq!(Some(after[1]), before[1], "Bob's side is not touched");
    stage.alice_hangs_up();
    stage.assert_clean();
}

#[test]
fn a_change_to_plain_rtp_is_refused_and_the_call_goes_on() {
    let mut stage = stage(SrtpPolicy::Required, SrtpPolicy::Off);
    stage.call_up(&alices_offer(), &sdp(BOB, 6000, "8", ""));
    let before = stage.legs();
    let plain = stage.alice.request("INVITE", &sdp(ALICE, 4000, "0", ""));
    stage.alice_sends(plain);
    let refusal = stage.alice.expect_status(488);
    let ack = stage.alice.ack(&refusal, "");
    stage.alice_sends(ack);
    assert_eq!(stage.legs(), before);
    stage.alice_hangs_up();
    stage.assert_clean();
}

#[test]
fn a_worker_without_room_for_srtp_makes_the_gateway_busy() {
    let mut stage = stage(SrtpPolicy::Required, SrtpPolicy::Off);
    let invite = stage.alice_calls(&alices_offer());
    stage.worker = Worker::Refusing(Refusal::SrtpContextsExhausted);
    let ok = stage.bob.answer(&invite, 200, "OK", &sdp(BOB, 6000, "8", ""));
    stage.bob_sends(ok);
    stage.bob.expect_request("ACK");
    stage.alice.expect_status(503);
}

#[test]
fn what_is_kept_and_shown_of_a_call_has_no_keys_in_it() {
    let mut stage = stage(SrtpPolicy::Required, SrtpPolicy::Required);
    stage.call_up(&alices_offer(), &bobs_answer());
    let shown = format!("{:?} {:?} {:?}", stage.switch, stage.switch.snapshot(stage.now), stage.commands);
    stage.alice_hangs_up();
    let written = serde_json::to_string(stage.record()).expect("JSON");
    let mut crypto = stage.commands.iter().filter_map(|(_, command)| match command {
        tandem_contract::Command::UpdateFlow { legs, .. } => legs[0].crypto,
        _ => None,
    });
    let octets = crypto.next_back().expect("keys were given").receive;
    for text in [shown, written] {
        for secret in [format!("{:?}", octets.key()), "d0RmdmcmVCsp".to_owned()] {
            assert!(!text.contains(&secret), "{secret} in {text}");
        }
    }
}
