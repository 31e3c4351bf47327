//! Calls over TCP and TLS: which connection a message takes, when one is opened, and what ends it.
#![allow(missing_docs)]

mod support;

use std::net::SocketAddr;

use support::{ALICE, BOB, GATEWAY, Sip, Stage, config, sdp};
use tandem_call::{ConnectionId, ConnectionLimits, Listener, ListenerId, Output, SwitchConfig, Transport};

const TCP: ListenerId = ListenerId(1);
const TLS: ListenerId = ListenerId(2);

/// Alice is anywhere, Bob is reached by `bob`.
fn config_with(bob: ListenerId) -> SwitchConfig {
    let mut config = config();
    let listener = |name: &str, port, transport| Listener {
        name: name.to_owned(),
        advertised: SocketAddr::new(GATEWAY.ip(), port),
        transport,
        authenticates: false,
    };
    config.listeners.push(listener("tcp", 5060, Transport::Tcp));
    config.listeners.push(listener("tls", 5061, Transport::Tls));
    config.peers[1].listener = bob;
    config.peers[1].server_name = Some("bob.example.com".to_owned());
    config
}

struct Wires {
    stage: Stage,
}

impl Wires {
    fn new(bob: ListenerId) -> Self {
        Self { stage: Stage::with(config_with(bob)) }
    }

    fn accept(&mut self, listener: ListenerId, remote: SocketAddr) -> ConnectionId {
        let id = self.stage.switch.on_accepted(self.stage.now, listener, remote).expect("room");
        self.stage.switch.on_connected(self.stage.now, id);
        id
    }

    fn bytes(&mut self, connection: ConnectionId, bytes: impl AsRef<[u8]>) {
        self.stage.switch.on_stream_bytes(self.stage.now, connection, bytes.as_ref());
        self.stage.settle();
    }

    fn opened(&mut self, connection: ConnectionId) {
        self.stage.switch.on_connected(self.stage.now, connection);
        self.stage.settle();
    }

    fn gone(&mut self, connection: ConnectionId) {
        self.stage.switch.on_disconnected(self.stage.now, connection);
        self.stage.settle();
    }

    /// The next message that leaves over a connection.
    #[track_caller]
    fn sent(&mut self) -> (ConnectionId, Sip) {
        match self.stage.connections.pop_front() {
            Some(Output::Stream { connection, bytes }) => (connection, Sip::parse(&bytes)),
            other => panic!("no message but {other:?}"),
        }
    }

    /// The next connection that is to be opened.
    #[track_caller]
    fn asked_for(&mut self) -> (ConnectionId, ListenerId, SocketAddr, Option<String>) {
        match self.stage.connections.pop_front() {
            Some(Output::Connect { connection, listener, to, server_name }) => (connection, listener, to, server_name),
            other => panic!("no connection is asked for but {other:?}"),
        }
    }

    #[track_caller]
    fn closed(&mut self) -> ConnectionId {
        match self.stage.connections.pop_front() {
            Some(Output::Disconnect { connection }) => connection,
            other => panic!("nothing is closed but {other:?}"),
        }
    }
}

fn request(method: &str, transport: &str, from: SocketAddr, more: &str, body: &str) -> String {
    let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
    format!(
        "{method} sip:200@{GATEWAY} SIP/2.0\r\nVia: SIP/2.0/{transport} {from};branch=z9hG4bK{method}1\r\n\
         From: <sip:alice@{from}>;tag=a\r\nTo: <sip:200@{GATEWAY}>\r\nCall-ID: over-{transport}\r\nCSeq: 1 {method}\r\n\
         Contact: <sip:alice@{from};transport={transport}>\r\n{more}Max-Forwards: 70\r\n{kind}\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn invite(transport: &str) -> String {
    request("INVITE", transport, ALICE, "", &sdp(ALICE, 4000, "0 8", ""))
}

/// A response of Bob's to a request that came to him.
fn answer(request: &Sip, status: &str, body: &str) -> String {
    let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
    format!(
        "SIP/2.0 {status}\r\nVia: {}\r\nFrom: {}\r\nTo: {};tag=b\r\nCall-ID: {}\r\nCSeq: {}\r\n\
         Contact: <sip:bob@{BOB};transport=tls>\r\n{kind}Content-Length: {}\r\n\r\n{body}",
        request.header("Via"),
        request.header("From"),
        request.header("To").split(";tag").next().expect("a To"),
        request.header("Call-ID"),
        request.header("CSeq"),
        body.len()
    )
}

#[test]
fn a_response_returns_on_the_connection_its_request_came_by() {
    let mut wires = Wires::new(TCP);
    let one = wires.accept(TCP, "192.0.2.1:40001".parse().expect("an address"));
    let two = wires.accept(TCP, "192.0.2.1:40002".parse().expect("an address"));
    for connection in [two, one] {
        wires.bytes(
            connection,
            request("OPTIONS", "TCP", ALICE, &format!("X-Of: {}\r\n", connection.0), "")
                .replace("OPTIONS1", &connection.0.to_string())
                .replace("over-TCP", &connection.0.to_string()),
        );
        let (over, response) = wires.sent();
        assert_eq!((over, response.status()), (connection, Some(200)));
        assert!(
            response.header("Via").ends_with(";received=192.0.2.1") || !response.header("Via").contains("received")
        );
    }
}

#[test]
fn a_message_may_come_in_any_pieces_and_several_in_one() {
    let mut wires = Wires::new(TCP);
    let connection = wires.accept(TCP, ALICE);
    let message = request("OPTIONS", "TCP", ALICE, "", "");
    for byte in message.as_bytes() {
        assert!(wires.stage.connections.is_empty());
        wires.bytes(connection, [*byte]);
    }
    assert_eq!(wires.sent().1.status(), Some(200));
    let again = |branch: &str| message.replace("OPTIONS1", branch).replace("over-TCP", branch);
    wires.bytes(connection, again("two") + &again("three"));
    assert_eq!(wires.sent().1.header("Call-ID"), "two");
    assert_eq!(wires.sent().1.header("Call-ID"), "three");
}

#[test]
fn a_ping_is_answered_with_one_line_end() {
    let mut wires = Wires::new(TCP);
    let connection = wires.accept(TCP, ALICE);
    wires.bytes(connection, "\r\n\r\n");
    let pong = Output::Stream { connection, bytes: b"\r\n".to_vec() };
    assert_eq!(wires.stage.connections.pop_front(), Some(pong));
}

#[test]
fn a_call_goes_out_by_tls_on_a_connection_that_is_opened_for_it_and_used_again() {
    let mut wires = Wires::new(TLS);
    let alice = wires.accept(TCP, "192.0.2.1:40001".parse().expect("an address"));
    wires.bytes(alice, invite("TCP"));
    let (bob, listener, to, name) = wires.asked_for();
    assert_eq!((listener, to, name.as_deref()), (TLS, BOB, Some("bob.example.com")));
    assert!(wires.stage.connections.is_empty(), "nothing leaves before the connection is open");
    wires.opened(bob);
    let (over, invite) = wires.sent();
    assert_eq!((over, invite.method()), (bob, "INVITE"));
    assert!(invite.header("Via").starts_with("SIP/2.0/TLS 10.0.0.1:5061;branch="), "{}", invite.header("Via"));
    assert!(invite.header("Via").ends_with(";alias"));
    assert_eq!(invite.contact_uri(), "sip:10.0.0.1:5061;transport=tls");

    wires.bytes(bob, answer(&invite, "200 OK", &sdp(BOB, 6000, "8", "")));
    let (over, ack) = wires.sent();
    assert_eq!((over, ack.method()), (bob, "ACK"), "over the connection that is there");
    let (over, ok) = wires.sent();
    assert_eq!((over, ok.status()), (alice, Some(200)));
    assert_eq!(ok.contact_uri(), "sip:10.0.0.1:5060;transport=tcp", "where the caller reached us");
    // Nothing is sent again by a timer of the transaction layer; the 200 is, until its ACK comes.
    wires.stage.pass_ms(600);
    assert_eq!(wires.sent().1.status(), Some(200));
}

#[test]
fn a_request_to_a_caller_behind_translation_takes_the_connection_it_opened() {
    let mut wires = Wires::new(TCP);
    // The Contact is an address that only the caller's own network knows.
    let alice = wires.accept(TCP, "192.0.2.1:40001".parse().expect("an address"));
    let bob = wires.accept(TCP, BOB);
    wires.bytes(alice, invite("TCP").replace("192.0.2.1:5060", "10.9.9.9:5060"));
    let (over, invite) = wires.sent();
    assert_eq!(over, bob, "a connection that the callee opened from its address serves");
    wires.bytes(bob, answer(&invite, "200 OK", &sdp(BOB, 6000, "8", "")).replace("tls", "tcp"));
    let ok = std::iter::from_fn(|| Some(wires.sent())).find(|(_, sip)| sip.status() == Some(200)).expect("a 200").1;
    let ack = request("ACK", "TCP", ALICE, "", "")
        .replace("To: <sip:200@10.0.0.1:5060>", &format!("To: {}", ok.header("To")));
    wires.bytes(alice, ack);
    wires.stage.switch.end_all(wires.stage.now, "test");
    wires.stage.settle();
    let byes: Vec<_> = std::iter::from_fn(|| (!wires.stage.connections.is_empty()).then(|| wires.sent())).collect();
    let to_alice = byes.iter().find(|(over, _)| *over == alice).expect("a BYE to the caller");
    assert_eq!((to_alice.1.method(), to_alice.1.uri()), ("BYE", "sip:alice@10.9.9.9:5060;transport=TCP"));
}

#[test]
fn a_response_whose_connection_is_gone_goes_to_where_via_says() {
    let mut wires = Wires::new(TLS);
    let alice = wires.accept(TCP, "192.0.2.1:40001".parse().expect("an address"));
    wires.bytes(alice, invite("TCP"));
    let (bob, ..) = wires.asked_for();
    wires.gone(alice);
    wires.gone(bob);
    let (back, listener, to, _) = wires.asked_for();
    assert_eq!((listener, to), (TCP, ALICE), "the port of sent-by, not the one the connection came from");
    wires.opened(back);
    let (over, refusal) = wires.sent();
    assert_eq!((over, refusal.status()), (back, Some(503)));
}

#[test]
fn a_connection_that_does_not_come_about_fails_the_call_at_once() {
    let mut wires = Wires::new(TLS);
    wires.stage.alice_sends(invite("UDP"));
    let (bob, ..) = wires.asked_for();
    wires.gone(bob);
    assert_eq!(wires.stage.records.len(), 1);
    assert_eq!(wires.stage.records[0].status, 503);
    assert_eq!(wires.stage.records[0].reason, "the callee's peer cannot be reached");
    assert_eq!(wires.stage.switch.counters().connections.failed, 1);
}

#[test]
fn a_connection_that_takes_too_long_is_given_up() {
    let mut wires = Wires::new(TLS);
    wires.stage.alice_sends(invite("UDP"));
    let (bob, ..) = wires.asked_for();
    wires.stage.pass_ms(4_999);
    assert!(wires.stage.records.is_empty());
    wires.stage.pass_ms(1);
    assert_eq!(wires.closed(), bob);
    assert_eq!(wires.stage.records[0].status, 503);
}

#[test]
fn whoever_says_alias_is_called_back_on_its_own_connection() {
    let mut wires = Wires::new(TCP);
    let bob = wires.accept(TCP, SocketAddr::new(BOB.ip(), 40_002));
    wires.bytes(bob, request("OPTIONS", "TCP", BOB, "", "").replace(";branch", ";alias;branch"));
    wires.sent();
    wires.stage.alice_sends(invite("UDP"));
    assert_eq!(wires.sent().0, bob);
}

#[test]
fn alias_is_not_believed_about_anothers_address_nor_over_tls_without_a_certificate() {
    for (listener, transport, from) in
        [(TCP, "TCP", "203.0.113.66:40000".to_owned()), (TLS, "TLS", format!("{}:40000", BOB.ip()))]
    {
        let mut wires = Wires::new(listener);
        let liar = wires.accept(listener, from.parse().expect("an address"));
        wires.bytes(liar, request("OPTIONS", transport, BOB, "", "").replace(";branch", ";alias;branch"));
        wires.sent();
        wires.stage.alice_sends(invite("UDP"));
        let (connection, _, to, _) = wires.asked_for();
        assert!(connection != liar && to == BOB);
    }
}

#[test]
fn over_tls_a_connection_from_a_peers_address_is_not_the_peers_without_a_certificate() {
    let mut wires = Wires::new(TLS);
    let anybody = wires.accept(TLS, BOB);
    wires.stage.alice_sends(invite("UDP"));
    let (connection, ..) = wires.asked_for();
    assert_ne!(connection, anybody, "a connection whose server shows its certificate is opened");

    let mut config = config_with(TLS);
    config.listeners[2].authenticates = true;
    let mut wires = Wires { stage: Stage::with(config) };
    let bob = wires.accept(TLS, BOB);
    wires.stage.alice_sends(invite("UDP"));
    assert_eq!(wires.sent().0, bob);
}

#[test]
fn who_sends_a_message_drop_by_drop_is_cut_off() {
    let mut wires = Wires::new(TCP);
    let slow = wires.accept(TCP, ALICE);
    for byte in request("OPTIONS", "TCP", ALICE, "", "").as_bytes().iter().take(13) {
        wires.bytes(slow, [*byte]);
        wires.stage.pass_ms(999);
        assert!(wires.stage.connections.is_empty());
    }
    wires.stage.pass_ms(10);
    assert_eq!(wires.closed(), slow);
    assert_eq!(wires.stage.switch.counters().connections.closed_slow, 1);
}

#[test]
fn who_connects_and_says_nothing_is_cut_off() {
    let mut wires = Wires::new(TCP);
    let silent = wires.accept(TCP, ALICE);
    wires.stage.pass_ms(10_000);
    assert_eq!(wires.closed(), silent);
    assert_eq!(wires.stage.switch.counters().connections.live, 0);
}

#[test]
fn pings_keep_a_connection_and_silence_ends_it() {
    let mut wires = Wires::new(TCP);
    let phone = wires.accept(TCP, ALICE);
    for _ in 0..5 {
        wires.bytes(phone, "\r\n\r\n");
        wires.stage.connections.clear();
        wires.stage.pass_ms(899_000);
        assert!(wires.stage.connections.is_empty());
    }
    wires.stage.pass_ms(1_000);
    assert_eq!(wires.closed(), phone);
    assert_eq!(wires.stage.switch.counters().connections.closed_idle, 1);
}

#[test]
fn a_connection_of_ours_is_pinged_while_it_is_of_use() {
    let mut wires = Wires::new(TLS);
    wires.stage.alice_sends(invite("UDP"));
    let (bob, ..) = wires.asked_for();
    wires.opened(bob);
    wires.sent();
    wires.stage.connections.clear();
    wires.stage.pass_ms(90_000);
    let ping = Output::Stream { connection: bob, bytes: b"\r\n\r\n".to_vec() };
    assert!(wires.stage.connections.contains(&ping));
    wires.stage.connections.clear();
    wires.stage.pass_ms(900_000);
    assert_eq!(
        wires.stage.connections.pop_back(),
        Some(Output::Disconnect { connection: bob }),
        "unused, it is closed"
    );
}

#[test]
fn a_stream_that_cannot_be_followed_is_answered_and_closed() {
    let mut wires = Wires::new(TCP);
    let connection = wires.accept(TCP, ALICE);
    let message = request("OPTIONS", "TCP", ALICE, "", "").replace("Content-Length: 0\r\n", "");
    wires.bytes(connection, message);
    let (_, refusal) = wires.sent();
    assert_eq!(refusal.start, "SIP/2.0 400 Bad Request - Content-Length: missing");
    assert_eq!(wires.closed(), connection);
    assert_eq!(wires.stage.switch.counters().connections.closed_malformed, 1);
}

#[test]
fn connections_have_a_limit_and_one_address_a_lower_one() {
    let mut config = config_with(TCP);
    config.connections = ConnectionLimits { max_connections: 3, max_per_source: 2, ..ConnectionLimits::default() };
    let mut wires = Wires { stage: Stage::with(config) };
    let now = wires.stage.now;
    let mut accept = |text: &str| wires.stage.switch.on_accepted(now, TCP, text.parse().expect("an address"));
    let first = accept("192.0.2.1:1").expect("room");
    assert!(accept("192.0.2.1:2").is_some());
    assert_eq!(accept("192.0.2.1:3"), None, "two of one address");
    assert!(accept("192.0.2.2:1").is_some());
    assert_eq!(accept("192.0.2.3:1"), None, "three of all");
    wires.gone(first);
    assert!(wires.stage.switch.on_accepted(now, TCP, ALICE).is_some());
    assert_eq!(wires.stage.switch.counters().connections.refused, 2);
}

#[test]
fn what_was_encrypted_is_not_continued_in_the_clear() {
    let mut wires = Wires::new(TLS);
    wires.stage.alice_sends(invite("UDP"));
    let (bob, ..) = wires.asked_for();
    wires.opened(bob);
    let (_, invite) = wires.sent();
    let accepted = answer(&invite, "200 OK", &sdp(BOB, 6000, "8", ""));
    let elsewhere =
        accepted.replace("<sip:bob@198.51.100.2:5060;transport=tls>", "<sip:bob@198.51.100.9;transport=tcp>");
    wires.bytes(bob, elsewhere);
    let (_, listener, to, _) = wires.asked_for();
    assert_eq!((listener, to.to_string().as_str()), (TLS, "198.51.100.9:5061"));
}

/// Alice calls Bob, who speaks UDP, with so many codecs that our INVITE is too long for a datagram.
fn long_call(wires: &mut Wires) {
    let invite = wires.stage.alice.invite(&format!("2{}", "0".repeat(400)), &sdp(ALICE, 4000, "0 8", ""));
    wires.stage.alice_sends(invite);
}

#[test]
fn a_request_too_long_for_a_datagram_goes_by_tcp() {
    let mut wires = Wires::new(ListenerId(0));
    long_call(&mut wires);
    let (bob, listener, to, _) = wires.asked_for();
    assert_eq!((listener, to), (TCP, BOB));
    wires.opened(bob);
    let (_, invite) = wires.sent();
    assert!(invite.header("Via").starts_with("SIP/2.0/TCP "));
    wires.stage.bob.expect_silence();
}

#[test]
fn who_does_not_listen_for_tcp_gets_long_requests_as_datagrams_and_is_not_asked_again_for_a_while() {
    let mut wires = Wires::new(ListenerId(0));
    long_call(&mut wires);
    let (bob, ..) = wires.asked_for();
    wires.gone(bob);
    assert!(wires.stage.bob.expect_request("INVITE").header("Via").starts_with("SIP/2.0/UDP "));
    wires.stage.alice.next_call(2);
    long_call(&mut wires);
    wires.stage.bob.expect_request("INVITE");
    assert!(wires.stage.connections.is_empty());
    wires.stage.pass_ms(600_000);
    wires.stage.connections.clear();
    wires.stage.alice.next_call(3);
    long_call(&mut wires);
    wires.asked_for();
}
