//! Session timers, UPDATE, reliable provisional responses, credentials, registrations, identities.
#![allow(missing_docs)]

mod support;

use support::{ALICE, BOB, GATEWAY, Sip, Stage, Worker, config, sdp};
use tandem_call::{Account, IdentityHeader, RegistrationState, SwitchConfig};

fn offer() -> String {
    sdp(ALICE, 4000, "0 8", "")
}

fn answer() -> String {
    sdp(BOB, 6000, "8", "")
}

/// Alice calls with further header lines; Bob's phone has the INVITE.
fn alice_calls_with(stage: &mut Stage, more: &str) -> Sip {
    stage.alice.invite("200", "");
    let invite = stage.alice.request_with("INVITE", &offer(), more);
    stage.alice_sends(invite);
    stage.bob.expect_request("INVITE")
}

fn bob_answers_with(stage: &mut Stage, request: &Sip, status: u16, body: &str, more: &str) {
    let answer = stage.bob.answer_with(request, status, "Whatever", body, more);
    stage.bob_sends(answer);
}

/// Bob answers, Alice acknowledges; her 200.
fn comes_up(stage: &mut Stage, invite: &Sip, more: &str) -> Sip {
    bob_answers_with(stage, invite, 200, &answer(), more);
    stage.bob.expect_request("ACK");
    let ok = stage.alice.expect_status(200);
    let ack = stage.alice.ack(&ok, "");
    stage.alice_sends(ack);
    ok
}

fn with_timers() -> SwitchConfig {
    let mut config = config();
    config.peers[1].session_expires_s = 600;
    config
}

#[test]
fn a_session_that_the_peer_leaves_to_us_is_refreshed_by_update_where_it_can() {
    let mut stage = Stage::with(with_timers());
    let invite = alice_calls_with(&mut stage, "");
    assert_eq!((invite.header("Session-Expires"), invite.header("Min-SE")), ("600", "90"));
    assert!(invite.header("Supported").contains("timer"));
    comes_up(&mut stage, &invite, "Allow: INVITE, BYE, UPDATE\r\nSession-Expires: 200;refresher=uac\r\n");
    stage.pass_ms(100_100);
    let update = stage.bob.expect_request("UPDATE");
    assert_eq!(update.header("Session-Expires"), "200;refresher=uac");
    assert!(update.body.is_empty());
    bob_answers_with(&mut stage, &update, 200, "", "Session-Expires: 200;refresher=uac\r\n");
    stage.pass_ms(100_100);
    let update = stage.bob.expect_request("UPDATE");
    bob_answers_with(&mut stage, &update, 481, "", "");
    let bye = stage.bob.next();
    assert_eq!(bye.method(), "BYE", "{bye:?}");
    bob_answers_with(&mut stage, &bye, 200, "", "");
    stage.alice.expect_request("BYE");
    stage.assert_clean();
}

#[test]
fn where_it_cannot_a_re_invite_that_changes_nothing_does() {
    let mut stage = Stage::with(with_timers());
    let invite = alice_calls_with(&mut stage, "");
    let version = |sip: &Sip| sip.body.lines().find(|line| line.starts_with("o=")).map(str::to_owned);
    comes_up(&mut stage, &invite, "Allow: INVITE, BYE\r\nSession-Expires: 200;refresher=uac\r\n");
    stage.pass_ms(100_100);
    let again = stage.bob.expect_request("INVITE");
    assert_eq!(version(&again), version(&invite), "nothing is new");
    bob_answers_with(&mut stage, &again, 200, &answer(), "Session-Expires: 200;refresher=uac\r\n");
    stage.bob.expect_request("ACK");
    stage.pass_ms(99_000);
    stage.bob.expect_silence();
    stage.alice_hangs_up();
    stage.assert_clean();
    assert_eq!(stage.record().status, 200);
}

#[test]
fn a_session_that_nobody_refreshes_ends() {
    let mut stage = Stage::new();
    let invite = alice_calls_with(&mut stage, "Supported: timer\r\nSession-Expires: 120;refresher=uac\r\n");
    let ok = comes_up(&mut stage, &invite, "");
    assert_eq!((ok.header("Session-Expires"), ok.header("Require")), ("120;refresher=uac", "timer"));
    // She does once, without a description.
    stage.pass_ms(60_000);
    let update = stage.alice.request_with("UPDATE", "", "Supported: timer\r\nSession-Expires: 120;refresher=uac\r\n");
    stage.alice_sends(update);
    assert_eq!(stage.alice.expect_status(200).header("Session-Expires"), "120;refresher=uac");
    stage.pass_ms(87_900);
    stage.alice.expect_silence();
    stage.pass_ms(200);
    stage.alice.expect_request("BYE");
    stage.bob.expect_request("BYE");
    stage.assert_clean();
    assert!(stage.record().reason.contains("was not refreshed"), "{}", stage.record().reason);
}

#[test]
fn a_session_that_is_due_before_its_call_is_up_again_waits_for_that() {
    let mut stage = Stage::with(with_timers());
    let invite = alice_calls_with(&mut stage, "");
    stage.worker = Worker::Silent;
    let more = "Allow: INVITE, BYE, UPDATE\r\nSession-Expires: 200;refresher=uac\r\n";
    bob_answers_with(&mut stage, &invite, 200, &answer(), more);
    stage.bob.expect_request("ACK");
    let told = stage.told();
    // What the store has is old, and the other node's worker is slow.
    stage.now = stage.now.plus(150_000_000_000);
    stage.crash_with(told);
    assert!(stage.switch.next_deadline() > Some(stage.now), "nothing is due that nobody sees to");
    stage.worker_answers();
    let ok = stage.alice.expect_status(200);
    let ack = stage.alice.ack(&ok, "");
    stage.alice_sends(ack);
    stage.pass_ms(1);
    stage.bob.expect_request("ACK");
    let update = stage.bob.expect_request("UPDATE");
    bob_answers_with(&mut stage, &update, 200, "", "Session-Expires: 200;refresher=uac\r\n");
    stage.alice_hangs_up();
    stage.assert_clean();
}

#[test]
fn sessions_are_refreshed_and_missed_in_time_by_the_node_that_takes_over() {
    let mut stage = Stage::with(with_timers());
    let invite = alice_calls_with(&mut stage, "Supported: timer\r\nSession-Expires: 300;refresher=uac\r\n");
    comes_up(&mut stage, &invite, "Allow: INVITE, BYE, UPDATE\r\nSession-Expires: 200;refresher=uac\r\n");
    stage.pass_ms(60_000);
    stage.crash();
    stage.pass_ms(39_900);
    stage.bob.expect_silence();
    stage.pass_ms(200);
    let update = stage.bob.expect_request("UPDATE");
    assert_eq!(update.header("Session-Expires"), "200;refresher=uac");
    bob_answers_with(&mut stage, &update, 200, "", "Session-Expires: 200;refresher=uac\r\n");
    // Alice was to refresh hers, and does not: 32 seconds before it is over, the call is.
    stage.pass_ms(100_100);
    let update = stage.bob.expect_request("UPDATE");
    bob_answers_with(&mut stage, &update, 200, "", "Session-Expires: 200;refresher=uac\r\n");
    stage.pass_ms(67_000);
    stage.alice.expect_silence();
    stage.pass_ms(1_000);
    stage.alice.expect_request("BYE");
    stage.bob.expect_request("BYE");
    stage.assert_clean();
}

#[test]
fn too_brief_a_session_is_422_and_ours_is_made_longer_when_asked() {
    let mut stage = Stage::new();
    stage.alice.invite("200", "");
    let invite = stage.alice.request_with("INVITE", &offer(), "Supported: timer\r\nSession-Expires: 60\r\n");
    stage.alice_sends(invite);
    assert_eq!(stage.alice.expect_status(422).header("Min-SE"), "90");
    stage.assert_clean();

    let mut stage = Stage::with(with_timers());
    let invite = alice_calls_with(&mut stage, "");
    bob_answers_with(&mut stage, &invite, 422, "", "Min-SE: 1200\r\n");
    stage.bob.expect_request("ACK");
    let longer = stage.bob.expect_request("INVITE");
    assert_eq!((longer.header("Session-Expires"), longer.header("Min-SE")), ("1200", "1200"));
    assert_eq!(longer.header("Call-ID"), invite.header("Call-ID"));
    comes_up(&mut stage, &longer, "");
    stage.alice_hangs_up();
    stage.assert_clean();
}

#[test]
fn an_update_changes_the_session_at_once_and_the_other_side_is_told() {
    let mut stage = Stage::new();
    stage.ordinary_call();
    let hold = sdp(ALICE, 4000, "0", "a=sendonly\r\n");
    let update = stage.alice.request("UPDATE", &hold);
    stage.alice_sends(update);
    let ok = stage.alice.expect_status(200);
    assert!(ok.body.contains("a=recvonly"), "{}", ok.body);
    let told = stage.bob.expect_request("INVITE");
    assert!(told.body.contains("a=sendonly"), "{}", told.body);
    bob_answers_with(&mut stage, &told, 200, &sdp(BOB, 6000, "8", "a=recvonly\r\n"), "");
    stage.bob.expect_request("ACK");
    stage.alice.expect_silence();
    stage.alice_hangs_up();
    stage.assert_clean();
}

#[test]
fn an_update_that_crosses_a_change_is_491() {
    let mut stage = Stage::new();
    stage.ordinary_call();
    let hold = stage.alice.request("INVITE", &sdp(ALICE, 4000, "0", "a=sendonly\r\n"));
    stage.alice_sends(hold);
    stage.bob.expect_request("INVITE");
    let update = stage.bob.request("UPDATE", &answer());
    stage.bob_sends(update);
    stage.bob.expect_status(491);
    stage.alice_hangs_up();
    stage.bob.inbox.clear();
    stage.alice.inbox.clear();
    stage.pass_ms(100_000);
    assert_eq!(stage.switch.calls_in_progress(), 0);
}

#[test]
fn an_update_in_the_callees_early_dialog_is_answered_and_an_offer_in_it_has_to_wait() {
    let mut stage = Stage::new();
    let invite = stage.alice_calls(&sdp(ALICE, 4000, "0", ""));
    bob_answers_with(&mut stage, &invite, 180, "", "");
    let update = stage.bob.request("UPDATE", "");
    stage.bob_sends(&update);
    let ok = stage.bob.expect_status(200);
    assert!(ok.header("Contact").contains(&GATEWAY.to_string()) && ok.header("Allow").contains("UPDATE"), "{ok:?}");
    stage.bob.cseq -= 1;
    let late = stage.bob.request("UPDATE", "");
    stage.bob_sends(late);
    stage.bob.expect_status(500);
    let offers = stage.bob.request("UPDATE", &answer());
    stage.bob_sends(offers);
    stage.bob.expect_status(491);
    let brief = stage.bob.request_with("UPDATE", "", "Supported: timer\r\nSession-Expires: 60\r\n");
    stage.bob_sends(brief);
    stage.bob.expect_status(422);
    let strangers = stage.bob.request("UPDATE", "").replace(";tag=bobtag", ";tag=another");
    stage.bob_sends(strangers);
    stage.bob.expect_status(481);
    bob_answers_with(&mut stage, &invite, 200, &answer(), "");
    stage.bob.expect_request("ACK");
}

#[test]
fn a_caller_that_insists_hears_of_progress_reliably_and_acknowledges_it() {
    let mut stage = Stage::new();
    let invite = alice_calls_with(&mut stage, "Require: 100rel\r\n");
    bob_answers_with(&mut stage, &invite, 180, "", "");
    let ringing = stage.alice.expect_status(180);
    assert_eq!(ringing.header("Require"), "100rel");
    stage.pass_ms(500);
    let again = stage.alice.expect_status(180);
    assert_eq!(again.header("RSeq"), ringing.header("RSeq"));
    stage.alice.remote_tag = ringing.tag("To").map(str::to_owned);
    let invited = stage.alice.invite.as_ref().map(|invite| invite.header("CSeq").to_owned()).expect("an INVITE");
    let wrong = stage.alice.request_with("PRACK", "", "RAck: 1 1 INVITE\r\n");
    stage.alice_sends(wrong);
    stage.alice.expect_status(481);
    let rack = format!("RAck: {} {invited}\r\n", ringing.header("RSeq"));
    let prack = stage.alice.request_with("PRACK", "", &rack);
    stage.alice_sends(prack);
    stage.alice.expect_status(200);
    stage.pass_ms(5_000);
    stage.alice.expect_silence();
    comes_up(&mut stage, &invite, "");
    stage.alice_hangs_up();
    stage.assert_clean();
}

#[test]
fn an_answer_told_reliably_is_acknowledged_before_the_200() {
    let mut stage = Stage::new();
    let invite = alice_calls_with(&mut stage, "Supported: 100rel\r\n");
    bob_answers_with(&mut stage, &invite, 183, &answer(), "");
    let progress = stage.alice.expect_status(183);
    assert_eq!(progress.header("Require"), "100rel");
    bob_answers_with(&mut stage, &invite, 200, &answer(), "");
    stage.bob.expect_request("ACK");
    stage.alice.expect_silence();
    stage.alice.remote_tag = progress.tag("To").map(str::to_owned);
    let invited = stage.alice.invite.as_ref().map(|invite| invite.header("CSeq").to_owned()).expect("an INVITE");
    let prack = stage.alice.request_with("PRACK", "", &format!("RAck: {} {invited}\r\n", progress.header("RSeq")));
    stage.alice_sends(prack);
    stage.alice.expect_status(200);
    let ok = stage.alice.expect_status(200);
    assert!(ok.header("CSeq").ends_with("INVITE"));
    let ack = stage.alice.ack(&ok, "");
    stage.alice_sends(ack);
    stage.alice_hangs_up();
    stage.assert_clean();
}

#[test]
fn progress_that_is_never_acknowledged_ends_the_call() {
    let mut stage = Stage::new();
    let invite = alice_calls_with(&mut stage, "Require: 100rel\r\n");
    bob_answers_with(&mut stage, &invite, 180, "", "");
    stage.pass_ms(33_000);
    assert_eq!(stage.alice.inbox.back().and_then(Sip::status), Some(504));
    stage.bob.expect_request("CANCEL");
    bob_answers_with(&mut stage, &invite, 487, "", "");
    stage.assert_clean();
}

#[test]
fn a_callees_reliable_progress_is_acknowledged_once_and_in_order() {
    let mut stage = Stage::new();
    let invite = alice_calls_with(&mut stage, "");
    assert!(invite.header("Supported").contains("100rel"));
    let reliable = |number: u32| format!("Require: 100rel\r\nRSeq: {number}\r\n");
    bob_answers_with(&mut stage, &invite, 183, &answer(), &reliable(7));
    let prack = stage.bob.expect_request("PRACK");
    assert_eq!(prack.header("RAck"), format!("7 {}", invite.header("CSeq")));
    assert_eq!(prack.tag("To"), Some("bobtag"));
    bob_answers_with(&mut stage, &prack, 200, "", "");
    bob_answers_with(&mut stage, &invite, 183, &answer(), &reliable(7));
    bob_answers_with(&mut stage, &invite, 180, "", &reliable(9));
    stage.bob.expect_silence();
    bob_answers_with(&mut stage, &invite, 180, "", &reliable(8));
    let prack = stage.bob.expect_request("PRACK");
    bob_answers_with(&mut stage, &prack, 200, "", "");
    stage.alice.inbox.clear();
    comes_up(&mut stage, &invite, "");
    let bye = stage.alice.request("BYE", "");
    stage.alice_sends(bye);
    let bye = stage.bob.expect_request("BYE");
    let cseq: u32 = bye.header("CSeq").split(' ').next().and_then(|n| n.parse().ok()).expect("a number");
    assert!(cseq > 3, "behind two PRACKs");
    bob_answers_with(&mut stage, &bye, 200, "", "");
    stage.assert_clean();
}

const CHALLENGE: &str =
    "WWW-Authenticate: Digest realm=\"carrier\", nonce=\"abc\", algorithm=SHA-256, qop=\"auth\"\r\n";

fn with_account() -> SwitchConfig {
    let mut config = config();
    config.peers[1].account = Some(Account { username: "trunk".to_owned(), password: "secret".to_owned() });
    config
}

#[test]
fn a_challenged_invite_is_sent_again_with_credentials_and_so_is_what_follows() {
    let mut stage = Stage::with(with_account());
    let invite = alice_calls_with(&mut stage, "");
    assert_eq!(invite.find("Authorization"), None);
    bob_answers_with(&mut stage, &invite, 401, "", CHALLENGE);
    stage.bob.expect_request("ACK");
    let again = stage.bob.expect_request("INVITE");
    let credentials = again.header("Authorization");
    assert!(credentials.contains("username=\"trunk\"") && credentials.contains("nc=00000001"), "{credentials}");
    assert_eq!((again.header("CSeq"), again.header("Call-ID")), ("2 INVITE", invite.header("Call-ID")));
    comes_up(&mut stage, &again, "");
    let bye = stage.alice.request("BYE", "");
    stage.alice_sends(bye);
    let bye = stage.bob.expect_request("BYE");
    assert!(bye.header("Authorization").contains("nc=00000002"));
    // The nonce has become old meanwhile.
    let stale = CHALLENGE.replace("abc", "def").replace("qop", "stale=true, qop");
    bob_answers_with(&mut stage, &bye, 401, "", &stale);
    let bye = stage.bob.expect_request("BYE");
    assert!(bye.header("Authorization").contains("nonce=\"def\""));
    bob_answers_with(&mut stage, &bye, 200, "", "");
    stage.assert_clean();
    assert_eq!(stage.record().tried.len(), 0, "a challenge is no refusal");
}

#[test]
fn wrong_credentials_are_told_once_and_not_sent_for_ever() {
    let mut stage = Stage::with(with_account());
    let invite = alice_calls_with(&mut stage, "");
    bob_answers_with(&mut stage, &invite, 407, "", &CHALLENGE.replace("WWW-", "Proxy-"));
    stage.bob.expect_request("ACK");
    let again = stage.bob.expect_request("INVITE");
    assert!(again.find("Proxy-Authorization").is_some());
    bob_answers_with(&mut stage, &again, 407, "", &CHALLENGE.replace("WWW-", "Proxy-").replace("abc", "def"));
    stage.bob.expect_request("ACK");
    stage.bob.expect_silence();
    stage.alice.expect_status(502);
    stage.assert_clean();
}

fn registering() -> SwitchConfig {
    let mut config = with_account();
    config.peers[1].register_s = Some(3_600);
    config.peers[1].domain = Some("carrier.example".to_owned());
    config
}

#[test]
fn a_registration_is_made_with_credentials_refreshed_and_taken_back() {
    let mut stage = Stage::with(registering());
    stage.pass_ms(1);
    let register = stage.bob.expect_request("REGISTER");
    assert_eq!((register.uri(), register.header("Expires")), ("sip:carrier.example", "3600"));
    assert_eq!(register.header("To"), "<sip:trunk@carrier.example>");
    bob_answers_with(&mut stage, &register, 401, "", CHALLENGE);
    let again = stage.bob.expect_request("REGISTER");
    assert!(again.header("Authorization").contains("uri=\"sip:carrier.example\""));
    assert_eq!((again.header("CSeq"), again.header("Call-ID")), ("2 REGISTER", register.header("Call-ID")));
    let contact = again.header("Contact").to_owned();
    assert_eq!(contact, format!("<sip:trunk@{GATEWAY}>"));
    let granted = format!("Contact: <sip:other@192.0.2.77>;expires=5\r\nContact: {contact};expires=100\r\n");
    bob_answers_with(&mut stage, &again, 200, "", &granted);
    assert_eq!(stage.registrations, [("bob".to_owned(), RegistrationState::Registered(100))]);
    stage.pass_ms(89_000);
    stage.bob.expect_silence();
    stage.pass_ms(1_100);
    let refresh = stage.bob.expect_request("REGISTER");
    assert!(refresh.header("Authorization").contains("nc=00000002"));
    bob_answers_with(&mut stage, &refresh, 200, "", &granted);
    assert_eq!(stage.switch.trunks()[1].registration, Some(RegistrationState::Registered(100)));
    stage.switch.drain(stage.now);
    stage.settle();
    let end = stage.bob.expect_request("REGISTER");
    assert_eq!(end.header("Expires"), "0");
    bob_answers_with(&mut stage, &end, 200, "", "");
    assert_eq!(stage.switch.trunks()[1].registration, Some(RegistrationState::Ended));
    stage.assert_clean();
}

#[test]
fn a_refused_registration_is_tried_again_later_and_later() {
    let mut stage = Stage::with(registering());
    stage.pass_ms(1);
    for wait_s in [30, 60, 120] {
        let register = stage.bob.expect_request("REGISTER");
        bob_answers_with(&mut stage, &register, 403, "", "");
        stage.pass_ms(wait_s * 1_000 - 100);
        stage.bob.expect_silence();
        stage.pass_ms(200);
    }
    let register = stage.bob.expect_request("REGISTER");
    bob_answers_with(&mut stage, &register, 423, "", "Min-Expires: 7200\r\n");
    assert_eq!(stage.bob.expect_request("REGISTER").header("Expires"), "7200");
    assert_eq!(stage.registrations.len(), 1, "told once: {:?}", stage.registrations);
}

#[test]
fn an_identity_is_asserted_to_those_we_trust_and_hidden_from_others() {
    let asserted = "P-Asserted-Identity: \"Alice A\" <sip:+4930@pbx.inside>\r\nPrivacy: id\r\nDiversion: <sip:1@x>\r\n";
    for (callers_trusted, callees_trusted) in [(true, true), (true, false), (false, true)] {
        let mut config = config();
        config.peers[0].is_trusted = callers_trusted;
        config.peers[1].is_trusted = callees_trusted;
        config.peers[1].identity = IdentityHeader::Asserted;
        let mut stage = Stage::with(config);
        let invite = alice_calls_with(&mut stage, asserted);
        assert!(invite.header("From").starts_with("\"Anonymous\" <sip:anonymous@anonymous.invalid>;tag="));
        assert!(!invite.text().contains("pbx.inside"), "the inside stays inside");
        let expected = match (callers_trusted, callees_trusted) {
            (true, true) => Some(format!("\"Alice A\" <sip:+4930@{GATEWAY}>")),
            (false, true) => Some(format!("<sip:alice@{GATEWAY}>")),
            _ => None,
        };
        assert_eq!(invite.find("P-Asserted-Identity"), expected.as_deref());
        assert_eq!(invite.find("Diversion").is_some(), callers_trusted && callees_trusted);
        bob_answers_with(&mut stage, &invite, 486, "", "");
        stage.alice.inbox.clear();
        stage.assert_clean();
    }
}

#[test]
fn headers_are_passed_and_set_as_configured_and_no_others() {
    let mut config = config();
    config.peers[1].pass_headers = vec!["X-Account".to_owned()];
    config.peers[1].set_headers = vec![("X-Gateway".to_owned(), "tandem".to_owned())];
    config.peers[1].identity = IdentityHeader::RemoteParty;
    let mut stage = Stage::with(config);
    stage.worker = Worker::Willing;
    let invite = alice_calls_with(&mut stage, "x-account: 17\r\nX-Secret: 1\r\n");
    assert_eq!((invite.header("X-Account"), invite.header("X-Gateway")), ("17", "tandem"));
    assert_eq!(invite.find("X-Secret"), None);
    let party = invite.header("Remote-Party-ID");
    assert_eq!(party, format!("<sip:alice@{GATEWAY}>;party=calling;screen=yes;privacy=off"));
    bob_answers_with(&mut stage, &invite, 486, "", "");
    stage.alice.inbox.clear();
    stage.assert_clean();
}
