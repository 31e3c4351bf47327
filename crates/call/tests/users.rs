//! Calls to users who have registered: where they ring, and what a caller hears where nobody does.
#![allow(missing_docs)]

mod support;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use support::{ALICE, BOB, GATEWAY, Phone, Sip, Stage, config, sdp};
use tandem_call::{GuardConfig, Offence, SwitchConfig};
use tandem_registrar::{Binding, Registrar, RegistrarConfig, Subscriber};
use tandem_sip::{Instant, Peer, UriBuf};

/// Bob's second telephone.
const DESK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(198, 51, 100, 9)), 6060);

/// The peer "bob" is registered telephones, and 200 one of those who may.
fn stage() -> Stage {
    let mut stage = Stage::with(config());
    let realm = RegistrarConfig { realm: "example.com".to_owned(), ..RegistrarConfig::default() };
    let mut registrar = Registrar::new(realm, [7; 32]);
    registrar.put_subscriber("200", Subscriber { hashes: Vec::new() });
    stage.switch.serve_users(registrar, "bob");
    stage.more.push(Phone::new("desk", DESK, GATEWAY));
    stage
}

/// 200 is registered at `at`, behind address translation: its Contact leads nowhere.
fn is_at(stage: &mut Stage, at: SocketAddr, q: u16) {
    let contact = format!("sip:200@10.9.9.9:{}", at.port());
    let binding = Binding {
        key: contact.clone(),
        contact: UriBuf::parse(&contact).expect("a URI"),
        q,
        expires: Instant::from_ms(3_600_000),
        call_id: at.to_string(),
        cseq: 1,
        flow: Peer::udp(GATEWAY, at),
        uses_flow: true,
        path: Vec::new(),
        instance: String::new(),
        reg_id: 0,
        user_agent: String::new(),
    };
    let now = Instant::from_ms(stage.now.0 / 1_000_000);
    stage.switch.registrar_mut().expect("users").restore(now, "200", binding);
}

fn offer() -> String {
    sdp(ALICE, 4000, "0 8", "")
}

fn refused_with(stage: &mut Stage, user: &str, status: u16) {
    let invite = stage.alice.invite(user, &offer());
    stage.alice_sends(invite);
    stage.alice.expect_status(status);
    stage.alice.inbox.clear();
    stage.bob.expect_silence();
    stage.assert_clean();
    assert_eq!(stage.record().status, status);
}

#[test]
fn a_number_that_is_no_subscribers_is_not_found() {
    refused_with(&mut stage(), "201", 404);
}

#[test]
fn a_subscriber_who_is_registered_nowhere_is_unavailable() {
    refused_with(&mut stage(), "200", 480);
}

#[test]
fn a_user_behind_address_translation_is_called_and_hung_up_where_its_register_came_from() {
    let mut stage = stage();
    is_at(&mut stage, BOB, 1_000);
    let invite = stage.alice.invite("200", &offer());
    stage.alice_sends(invite);
    let invite = stage.bob.expect_request("INVITE");
    assert_eq!(invite.uri(), "sip:200@10.9.9.9:5060");
    let answer = stage.bob.answer(&invite, 200, "OK", &sdp(BOB, 6000, "8", ""));
    let behind = answer.replace("Contact: <sip:bob@198.51.100.2", "Contact: <sip:bob@10.9.9.9");
    assert_ne!(answer, behind, "{answer}");
    stage.bob_sends(behind);
    stage.bob.expect_request("ACK");
    let ok = loop {
        let message = stage.alice.next();
        if message.status() == Some(200) {
            break message;
        }
    };
    let ack = stage.alice.ack(&ok, "");
    stage.alice_sends(ack);
    stage.alice_hangs_up();
    assert!(stage.stray.is_empty());
    assert_eq!(stage.record().routed_uri, "sip:200@10.9.9.9:5060");
}

#[test]
fn telephones_that_are_preferred_alike_ring_at_once() {
    let mut stage = stage();
    is_at(&mut stage, BOB, 1_000);
    is_at(&mut stage, DESK, 1_000);
    let invite = stage.alice.invite("200", &offer());
    stage.alice_sends(invite);
    stage.bob.expect_request("INVITE");
    stage.more[0].expect_request("INVITE");
}

#[test]
fn a_telephone_that_is_preferred_less_rings_when_the_other_is_busy() {
    let mut stage = stage();
    is_at(&mut stage, DESK, 500);
    is_at(&mut stage, BOB, 1_000);
    let invite = stage.alice.invite("200", &offer());
    stage.alice_sends(invite);
    let invite = stage.bob.expect_request("INVITE");
    stage.more[0].expect_silence();
    let busy = stage.bob.answer(&invite, 486, "Busy Here", "");
    stage.bob_sends(busy);
    assert_eq!(stage.more[0].expect_request("INVITE").uri(), "sip:200@10.9.9.9:6060");
}

/// Three wrong passwords are a ban.
fn strict_stage() -> Stage {
    let mut stage = stage();
    let guard = GuardConfig { ban_after: 3, ban_s: 60, ..GuardConfig::default() };
    stage.switch.reconfigure(stage.now, SwitchConfig { guard, ..config() }).expect("a configuration");
    stage
}

/// Credentials of 200 that are wrong, each time in another way, for a challenge in `header`.
fn guessed(challenge: &Sip, header: &str, guess: usize) -> String {
    let uri = format!("sip:200@{GATEWAY}");
    let (challenge, header) = match header {
        "Authorization" => (challenge.header("WWW-Authenticate"), header),
        header => (challenge.header("Proxy-Authenticate"), header),
    };
    let nonce = challenge.split("nonce=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a nonce");
    format!(
        "{header}: Digest username=\"200\", realm=\"example.com\", nonce=\"{nonce}\", uri=\"{uri}\", qop=auth, \
         nc=00000001, cnonce=\"c\", algorithm=SHA-256, response=\"{guess:064x}\"\r\n"
    )
}

/// The desk telephone says that it is 200 and wants to call; what it is answered, which it acknowledges.
fn desk_invites(stage: &mut Stage, number: u32, more: &str) -> Option<Sip> {
    stage.more[0].next_call(number);
    stage.more[0].invite("200", "");
    let invite = stage.more[0].request_with("INVITE", &sdp(DESK, 4000, "8", ""), more);
    let invite = invite.replace(&format!("From: <sip:desk@{DESK}>"), "From: <sip:200@example.com>");
    stage.datagram(DESK, invite.as_bytes());
    let answer = stage.more[0].inbox.pop_front()?;
    let ack = stage.more[0].ack(&answer, "");
    stage.datagram(DESK, ack.as_bytes());
    Some(answer)
}

#[test]
fn wrong_passwords_of_callers_are_counted_until_their_source_is_banned_and_challenges_are_not() {
    let mut stage = strict_stage();
    for call in 1..10 {
        let challenge = desk_invites(&mut stage, call, "").expect("an answer");
        assert_eq!(challenge.status(), Some(407));
    }
    assert!(stage.switch.bans(stage.now).is_empty(), "whoever shows nothing guesses nothing");
    for guess in 1..4 {
        assert!(stage.switch.bans(stage.now).is_empty());
        let challenge = desk_invites(&mut stage, 100 + guess, "").expect("an answer");
        let wrong = guessed(&challenge, "Proxy-Authorization", guess as usize);
        let again = desk_invites(&mut stage, 200 + guess, &wrong).expect("an answer");
        assert_eq!(again.status(), Some(407));
    }
    let bans = stage.switch.bans(stage.now);
    assert_eq!((bans.len(), bans[0].source, bans[0].offence), (1, DESK.ip(), Offence::Credentials));
    assert_eq!(desk_invites(&mut stage, 300, ""), None, "it is not heard");
    stage.pass_ms(61_000);
    stage.more[0].inbox.clear();
    assert_eq!(desk_invites(&mut stage, 301, "").and_then(|answer| answer.status()), Some(407));
}

#[test]
fn wrong_passwords_are_counted_until_their_source_is_banned_and_challenges_are_not() {
    let mut stage = strict_stage();
    // Sets the target.
    stage.more[0].invite("200", "");
    for _ in 0..9 {
        let register = stage.more[0].request_with("REGISTER", "", "");
        stage.datagram(DESK, register.as_bytes());
        stage.more[0].expect_status(401);
    }
    assert!(stage.switch.bans(stage.now).is_empty(), "whoever shows nothing guesses nothing");
    for guess in 1..=4 {
        let register = stage.more[0].request_with("REGISTER", "", "");
        stage.datagram(DESK, register.as_bytes());
        if guess == 4 {
            stage.more[0].expect_silence();
            break;
        }
        let challenge = stage.more[0].expect_status(401);
        let credentials = guessed(&challenge, "Authorization", guess);
        let register = stage.more[0].request_with("REGISTER", "", &credentials);
        stage.datagram(DESK, register.as_bytes());
        stage.more[0].expect_status(401);
    }
    let bans = stage.switch.bans(stage.now);
    assert_eq!((bans.len(), bans[0].source, bans[0].offence), (1, DESK.ip(), Offence::Credentials));
    stage.pass_ms(61_000);
    let register = stage.more[0].request_with("REGISTER", "", "");
    stage.datagram(DESK, register.as_bytes());
    stage.more[0].expect_status(401);
}
