//! What strangers may do, what overload leaves, and what the other side never learns.
#![allow(missing_docs)]

mod support;

use std::net::SocketAddr;

use support::{ALICE, BOB, GATEWAY, Sip, Stage, config, sdp};
use tandem_call::{GuardConfig, Listener, ListenerId, Output, SwitchConfig, Transport};
use tandem_contract::Nanos;

const STRANGER: &str = "203.0.113.66:5060";

fn guarded(guard: GuardConfig) -> SwitchConfig {
    SwitchConfig { guard, ..config() }
}

fn request(method: &str, number: u32, more: &str) -> String {
    format!(
        "{method} sip:200@{GATEWAY} SIP/2.0\r\nVia: SIP/2.0/UDP {STRANGER};branch=z9hG4bK{number}\r\n\
         From: <sip:x@{STRANGER}>;tag=a\r\nTo: <sip:200@{GATEWAY}>\r\nCall-ID: {number}\r\nCSeq: 1 {method}\r\n\
         Contact: <sip:x@{STRANGER}>\r\nMax-Forwards: 70\r\n{more}Content-Length: 0\r\n\r\n"
    )
}

fn stranger() -> SocketAddr {
    STRANGER.parse().expect("an address")
}

#[test]
fn a_scanner_hears_nothing_then_and_later() {
    let mut stage = Stage::with(guarded(GuardConfig { scanners: vec!["sipvicious".into()], ..GuardConfig::default() }));
    stage.datagram(stranger(), request("OPTIONS", 1, "User-Agent: SIPVicious/0.3\r\n").as_bytes());
    stage.datagram(stranger(), request("OPTIONS", 2, "User-Agent: phone\r\n").as_bytes());
    assert!(stage.stray.is_empty());
    let bans = stage.switch.bans(stage.now);
    assert_eq!((bans.len(), bans[0].source), (1, stranger().ip()));
    assert!(stage.switch.unban(stage.now, stranger().ip()));
    stage.datagram(stranger(), request("OPTIONS", 3, "User-Agent: phone\r\n").as_bytes());
    assert_eq!(stage.stray.len(), 1);
    assert_eq!(stage.switch.counters().guard.scanners, 1);
}

#[test]
fn who_calls_without_being_a_peer_again_and_again_is_not_answered_any_more() {
    let mut stage = Stage::with(guarded(GuardConfig { ban_after: 3, ..GuardConfig::default() }));
    for number in 0..10 {
        stage.datagram(stranger(), request("INVITE", number, "").as_bytes());
    }
    assert_eq!(stage.stray.iter().filter(|(_, sip)| sip.status() == Some(403)).count(), 3);
    assert_eq!(stage.switch.counters().guard.banned, 7);
}

#[test]
fn a_flood_of_one_address_takes_nothing_from_a_peer() {
    let guard = GuardConfig { messages_per_s: 10, burst: 20, ban_after: 0, ..GuardConfig::default() };
    let mut stage = Stage::with(guarded(guard));
    for number in 0..1000 {
        stage.datagram(stranger(), request("OPTIONS", number, "").as_bytes());
    }
    assert_eq!(stage.stray.len(), 20);
    assert_eq!(stage.switch.counters().guard.over_budget, 980);
    let invite = stage.alice.invite("200", &sdp(ALICE, 4000, "0 8", ""));
    stage.alice_sends(invite);
    stage.bob.expect_request("INVITE");
}

#[test]
fn overload_refuses_what_is_new_at_once_and_lets_calls_go_on() {
    let mut stage = Stage::new();
    let invite = stage.alice.invite("200", &sdp(ALICE, 4000, "0 8", ""));
    stage.alice_sends(invite);
    let invite = stage.bob.expect_request("INVITE");
    stage.switch.set_overloaded(true);
    stage.datagram(stranger(), request("INVITE", 1, "").as_bytes());
    stage.datagram(stranger(), request("REGISTER", 2, "").as_bytes());
    stage.datagram(stranger(), request("OPTIONS", 3, "").as_bytes());
    let statuses: Vec<_> = stage.stray.iter().map(|(_, sip)| sip.status().expect("a response")).collect();
    assert_eq!(statuses, [503, 503, 200]);
    assert_eq!(stage.stray[0].1.header("Retry-After"), "7");
    let answer = stage.bob.answer(&invite, 200, "OK", &sdp(BOB, 6000, "8", ""));
    stage.bob_sends(answer);
    stage.bob.expect_request("ACK");
    let ok = stage.alice.expect_status(200);
    let ack = stage.alice.ack(&ok, "");
    stage.alice_sends(ack);
    let bye = stage.alice.request("BYE", "");
    stage.alice_sends(bye);
    assert_eq!(stage.alice.drain("SIP/2.0 200"), 1);
    stage.switch.set_overloaded(false);
    stage.datagram(stranger(), request("INVITE", 4, "").as_bytes());
    assert_eq!(stage.stray.last().and_then(|(_, sip)| sip.status()), Some(403));
}

#[test]
fn a_ban_ends_the_connection_it_was_earned_on() {
    let guard = GuardConfig { scanners: vec!["sipvicious".into()], ..GuardConfig::default() };
    let mut config = guarded(guard);
    config.listeners.push(Listener {
        name: "tcp".into(),
        advertised: GATEWAY,
        transport: Transport::Tcp,
        authenticates: false,
    });
    let mut stage = Stage::with(config);
    let id = stage.switch.on_accepted(stage.now, ListenerId(1), stranger()).expect("room");
    stage.switch.on_connected(stage.now, id);
    let message = request("OPTIONS", 1, "User-Agent: sipvicious\r\n");
    stage.switch.on_stream_bytes(stage.now, id, message.as_bytes());
    stage.settle();
    assert_eq!(stage.connections, [Output::Disconnect { connection: id }]);
    assert_eq!(stage.switch.on_accepted(stage.now, ListenerId(1), stranger()), None);
    let later = stage.now.plus(600_000_000_000);
    assert!(stage.switch.on_accepted(Nanos(later.0), ListenerId(1), stranger()).is_some());
}

/// Everything of a caller's network that its messages may carry.
const SECRETS: [&str; 12] = [
    "10.66.66.66",
    "10.66.66.67",
    "secret-call-id",
    "secret-tag",
    "secretbranch",
    "SecretPBX",
    "secret.example",
    "secret-session",
    "secretuser",
    "secret-param",
    "secret-warning",
    "secret-extension",
];

fn told_nothing(who: &str, wire: &[(SocketAddr, Vec<u8>)], to: SocketAddr, of: SocketAddr) {
    let mut messages = 0;
    let address = of.ip().to_string();
    for (_, bytes) in wire.iter().filter(|(address, _)| *address == to) {
        let text = String::from_utf8_lossy(bytes);
        messages += 1;
        for secret in SECRETS.into_iter().chain([address.as_str()]) {
            assert!(!text.contains(secret), "{who} learns `{secret}`:\n{text}");
        }
    }
    assert!(messages >= 4, "only {messages} messages went to {who}");
}

/// Puts what nobody else is to know into every header that a message may have.
fn with_secrets(message: &str) -> String {
    let (head, body) = message.split_once("\r\n\r\n").expect("an empty line");
    let more = "Via: SIP/2.0/UDP 10.66.66.66;branch=z9hG4bKsecretbranch\r\n\
        Record-Route: <sip:192.0.2.1;lr;secret-param=10.66.66.67>\r\n\
        Server: SecretPBX\r\nUser-Agent: SecretPBX/1\r\nOrganization: secret.example\r\n\
        Warning: 399 10.66.66.66 \"secret-warning\"\r\nReason: SIP;cause=200;text=\"secret-warning\"\r\n\
        Subject: secret-extension\r\nX-Secret: secret-extension\r\nCall-Info: <http://secret.example/>\r\n\
        Error-Info: <http://secret.example/>\r\nReply-To: <sip:secretuser@secret.example>\r\n\
        In-Reply-To: secret-call-id\r\nAlert-Info: <http://secret.example/>\r\nTimestamp: 10.66\r\n\
        Contact-Secret: secret-extension";
    let body = body.replace("o=phone ", "o=secretuser ").replace("s=-", "s=secret-session");
    let length = head.lines().position(|line| line.starts_with("Content-Length:")).expect("a length");
    let mut lines: Vec<_> = head.split("\r\n").map(str::to_owned).collect();
    lines[length] = format!("Content-Length: {}", body.len());
    let via = lines.iter().position(|line| line.starts_with("Via:")).expect("a Via");
    let rest = lines.split_off(via + 1);
    lines.extend(more.split("\r\n").map(str::to_owned));
    lines.extend(rest);
    format!("{}\r\n\r\n{body}", lines.join("\r\n"))
}

#[test]
fn nothing_of_the_callers_network_reaches_the_callee_nor_the_other_way_round() {
    let mut stage = Stage::new();
    let invite = stage.alice.invite("200", &sdp(ALICE, 4000, "0 8", ""));
    stage.alice_sends(with_secrets(&invite));
    let invite = stage.bob.expect_request("INVITE");
    let ringing = stage.bob.answer(&invite, 180, "Ringing", "");
    stage.bob_sends(with_response_secrets(&ringing));
    stage.alice.expect_status(180);
    let answer = stage.bob.answer(&invite, 200, "OK", &sdp(BOB, 6000, "8", ""));
    stage.bob_sends(with_response_secrets(&answer));
    stage.bob.expect_request("ACK");
    let ok = stage.alice.expect_status(200);
    let ack = stage.alice.ack(&ok, "");
    stage.alice_sends(with_secrets(&ack));
    let hold = stage.alice.request("INVITE", &sdp(ALICE, 4000, "0", "a=sendonly\r\n"));
    stage.alice_sends(with_secrets(&hold));
    let reinvite = stage.bob.expect_request("INVITE");
    let refusal = stage.bob.answer(&reinvite, 488, "Secret", "");
    stage.bob_sends(with_response_secrets(&refusal));
    stage.bob.expect_request("ACK");
    let info = stage.alice.request("INFO", "");
    stage.alice_sends(with_secrets(&info));
    let info = stage.bob.expect_request("INFO");
    let done = stage.bob.answer(&info, 200, "OK", "");
    stage.bob_sends(with_response_secrets(&done));
    let bye = stage.alice.request("BYE", "");
    stage.alice_sends(with_secrets(&bye));
    told_nothing("the callee", &no_echo(&stage.wire), BOB, ALICE);
    told_nothing("the caller", &no_echo(&stage.wire), ALICE, BOB);
}

/// A response's own Via belongs to us; what is put into the rest of it is the callee's.
fn with_response_secrets(response: &str) -> String {
    with_secrets(response)
        .replace("Via: SIP/2.0/UDP 10.66.66.66;branch=z9hG4bKsecretbranch\r\n", "")
        .replace("<sip:192.0.2.1;lr", "<sip:198.51.100.2;lr")
}

/// What goes to a side holds its own Via, Record-Route and route set, as it must (RFC 3261 §8.2.6.2, §12.2.1.1).
fn no_echo(wire: &[(SocketAddr, Vec<u8>)]) -> Vec<(SocketAddr, Vec<u8>)> {
    let own = |line: &&str| !["Via:", "Record-Route:", "Route:"].iter().any(|name| line.starts_with(name));
    wire.iter()
        .map(|(to, bytes)| {
            let text = String::from_utf8_lossy(bytes);
            (*to, text.split("\r\n").filter(own).collect::<Vec<_>>().join("\r\n").into_bytes())
        })
        .collect()
}

#[test]
fn a_message_longer_than_allowed_is_refused() {
    let mut config = config();
    config.messages.max_bytes = 1_300;
    config.messages.max_headers = 20;
    let mut stage = Stage::with(config);
    let long = request("OPTIONS", 1, &format!("Subject: {}\r\n", "x".repeat(1_300)));
    stage.datagram(stranger(), long.as_bytes());
    let many = request("OPTIONS", 2, &"X-A: b\r\n".repeat(20));
    stage.datagram(stranger(), many.as_bytes());
    let reasons: Vec<Sip> = stage.stray.iter().map(|(_, sip)| sip.clone()).collect();
    assert!(reasons.iter().all(|sip| matches!(sip.status(), Some(400 | 413 | 513))), "{reasons:?}");
    assert_eq!(stage.switch.counters().malformed_datagrams, 2);
}
