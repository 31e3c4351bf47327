//! Peers and next hops that are known by a name (RFC 3263): where calls to them go, and what happens when that changes.
#![allow(missing_docs)]

mod support;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use support::{ALICE, BOB, GATEWAY, Phone, Sip, Stage, config, peer, sdp};
use tandem_call::{Answer, Enquiry, Host, Listener, Naptr, Output, RecordKind, Records, Srv, SwitchConfig, Transport};
use tandem_contract::Codec;

const NAME: &str = "carrier.example.com";
/// Another server, that does not always answer.
const CAROL: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(198, 51, 100, 3)), 5070);

/// Bob's side is a name.
fn named(port: Option<u16>) -> SwitchConfig {
    let mut config = config();
    let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
    config.peers[1] = peer("bob", nowhere, &[Codec::Pcma, Codec::G722], Ipv4Addr::new(10, 0, 2, 1));
    config.peers[1].host = Some(Host { name: NAME.to_owned(), port, any_listener: port.is_none() });
    config
}

trait Zone {
    fn has(&mut self, name: &str, kind: RecordKind, records: Records, ttl_s: u32);
    fn has_address(&mut self, name: &str, address: SocketAddr);
    fn begin(&mut self);
}

impl Zone for Stage {
    fn has(&mut self, name: &str, kind: RecordKind, records: Records, ttl_s: u32) {
        self.names.insert((name.to_owned(), kind), Answer::Records { records, ttl_s });
    }

    fn has_address(&mut self, name: &str, address: SocketAddr) {
        self.has(name, RecordKind::A, Records::Addresses(vec![address.ip()]), 30);
    }

    /// The names of peers are looked up before the first call.
    fn begin(&mut self) {
        self.pass_ms(10);
        self.more.push(Phone::new("carol", CAROL, GATEWAY));
    }
}

fn srv(servers: &[(u16, u16, &str)]) -> Records {
    let server =
        |&(priority, port, target): &(u16, u16, &str)| Srv { priority, weight: 1, port, target: target.to_owned() };
    Records::Srv(servers.iter().map(server).collect())
}

/// Carol's server before Bob's.
fn two_servers() -> Stage {
    let mut stage = Stage::with(named(None));
    stage.has(
        "_sip._udp.carrier.example.com",
        RecordKind::Srv,
        srv(&[(2, 5060, "b.example.com"), (1, 5070, "c.example.com")]),
        600,
    );
    stage.has_address("b.example.com", BOB);
    stage.has_address("c.example.com", CAROL);
    stage.begin();
    stage
}

fn offer() -> String {
    sdp(ALICE, 4000, "0 8", "")
}

/// Her 200, whatever was said before.
fn alice_hears_200(stage: &mut Stage) -> Sip {
    loop {
        let message = stage.alice.next();
        if message.status() == Some(200) {
            return message;
        }
    }
}

/// Bob answers `invite`, and Alice hangs up again.
fn bob_takes_it(stage: &mut Stage, invite: &Sip) {
    let ok = stage.bob.answer(invite, 200, "OK", &sdp(BOB, 6000, "8", ""));
    stage.bob_sends(ok);
    stage.bob.expect_request("ACK");
    let ok = alice_hears_200(stage);
    let ack = stage.alice.ack(&ok, "");
    stage.alice_sends(ack);
    stage.alice_hangs_up();
}

#[test]
fn a_dead_server_is_followed_by_the_next_and_tried_last_for_a_while() {
    let mut stage = two_servers();
    let invite = stage.alice.invite("200", &offer());
    stage.alice_sends(invite);
    let first = stage.more[0].expect_request("INVITE");
    assert_eq!(first.uri(), "sip:200@carrier.example.com");
    stage.pass_ms(3_900);
    stage.bob.expect_silence();
    stage.pass_ms(200);
    let second = stage.bob.expect_request("INVITE");
    assert_eq!(first.header("Call-ID"), second.header("Call-ID"));
    assert_ne!(first.header("Via"), second.header("Via"));
    bob_takes_it(&mut stage, &second);
    assert_eq!(stage.switch.counters().failovers, 1);
    let told =
        stage.switch.explain(stage.now, &Enquiry { number: "200".to_owned(), ..Enquiry::default() }).expect("a number");
    let found = told.targets[0].resolution.as_ref().expect("a name");
    let servers: Vec<_> = found.servers.iter().map(|server| (server.address, server.dead_for_s.is_some())).collect();
    assert_eq!((found.name.as_str(), servers), (NAME, vec![(CAROL, true), (BOB, false)]));

    stage.more[0].inbox.clear();
    stage.alice.next_call(2);
    let invite = stage.alice_calls(&offer());
    stage.more[0].expect_silence();
    bob_takes_it(&mut stage, &invite);

    stage.pass_ms(31_000);
    stage.alice.inbox.clear();
    stage.alice.next_call(3);
    let invite = stage.alice.invite("200", &offer());
    stage.alice_sends(invite);
    let invite = stage.more[0].expect_request("INVITE");
    let busy = stage.more[0].answer(&invite, 486, "Busy Here", "");
    stage.datagram(CAROL, busy.as_bytes());
    stage.bob.expect_silence();
}

#[test]
fn a_server_that_answers_503_is_followed_by_the_next_and_the_caller_does_not_notice() {
    let mut stage = two_servers();
    let invite = stage.alice.invite("200", &offer());
    stage.alice_sends(invite);
    let invite = stage.more[0].expect_request("INVITE");
    let refusal = stage.more[0].answer(&invite, 503, "Service Unavailable", "");
    stage.datagram(CAROL, refusal.as_bytes());
    stage.more[0].expect_request("ACK");
    let invite = stage.bob.expect_request("INVITE");
    bob_takes_it(&mut stage, &invite);
    assert_eq!(stage.record().status, 200);
}

#[test]
fn a_call_from_an_address_that_a_name_leads_to_is_its_peers() {
    let mut stage = two_servers();
    let invite = stage.bob.invite("100", &sdp(BOB, 6000, "8", ""));
    stage.bob_sends(invite);
    stage.alice.expect_request("INVITE");
    assert_eq!(stage.switch.snapshot(stage.now)[0].source_peer, "bob");
}

#[test]
fn naptr_may_lead_to_tcp() {
    let mut config = named(None);
    config.listeners.push(Listener {
        name: "tcp".to_owned(),
        advertised: GATEWAY,
        transport: Transport::Tcp,
        authenticates: false,
    });
    let mut stage = Stage::with(config);
    let service = Naptr {
        order: 1,
        preference: 1,
        flags: "s".to_owned(),
        services: "SIP+D2T".to_owned(),
        replacement: "_sip._tcp.carrier.example.com".to_owned(),
    };
    stage.has(NAME, RecordKind::Naptr, Records::Naptr(vec![service]), 600);
    stage.has("_sip._tcp.carrier.example.com", RecordKind::Srv, srv(&[(1, 5080, "b.example.com")]), 600);
    stage.has_address("b.example.com", BOB);
    stage.begin();
    let invite = stage.alice.invite("200", &offer());
    stage.alice_sends(invite);
    let opened = stage.connections.pop_front();
    let Some(Output::Connect { to, .. }) = opened else { panic!("{opened:?}") };
    assert_eq!(to, SocketAddr::new(BOB.ip(), 5080));
}

#[test]
fn a_name_that_leads_nowhere_is_out_of_service_and_its_calls_are_answered_503() {
    let mut stage = Stage::with(named(None));
    stage.begin();
    assert_eq!(
        stage.trunk_events[0].out_because.as_deref(),
        Some("its name carrier.example.com: there is no such name")
    );
    let invite = stage.alice.invite("200", &offer());
    stage.alice_sends(invite);
    let refusal = stage.alice.expect_status(503);
    assert_eq!(refusal.find("Retry-After"), None);
    assert!(!refusal.header("Warning").contains("example.com"), "nothing of the inside: {refusal:?}");
    assert_eq!(stage.record().status, 503);

    stage.has_address(NAME, BOB);
    stage.pass_ms(61_000);
    assert_eq!(stage.trunk_events.last().expect("news").out_because, None);
    stage.alice.inbox.clear();
    stage.alice.next_call(2);
    stage.alice_calls(&offer());
}

#[test]
fn a_changed_record_is_followed_after_its_time() {
    let mut stage = Stage::with(named(Some(5060)));
    stage.has_address(NAME, SocketAddr::new(CAROL.ip(), 5060));
    stage.begin();
    stage.has_address(NAME, BOB);
    stage.pass_ms(29_000);
    let invite = stage.alice.invite("200", &offer());
    stage.alice_sends(invite);
    let (to, first) = stage.stray.pop().expect("it goes where the old record says");
    assert_eq!((to, first.method()), (SocketAddr::new(CAROL.ip(), 5060), "INVITE"));
    stage.pass_ms(2_000);
    stage.alice.inbox.clear();
    stage.alice.next_call(2);
    let invite = stage.alice_calls(&offer());
    bob_takes_it(&mut stage, &invite);
    assert!(stage.asked.iter().all(|question| question.kind == RecordKind::A), "{:?}", stage.asked);
}

#[test]
fn an_answer_whose_contact_has_a_name_waits_until_that_is_known() {
    let mut stage = Stage::new();
    stage.has_address("edge.example.com", CAROL);
    stage.has("_sip._udp.edge.example.com", RecordKind::Srv, srv(&[(1, 5070, "edge.example.com")]), 60);
    let invite = stage.alice_calls(&offer());
    stage.dns_answers = false;
    let ok = stage.bob.answer(&invite, 200, "OK", &sdp(BOB, 6000, "8", ""));
    let own = format!("@{BOB}>\r\n");
    let named = ok.replace(&format!("Contact: <sip:bob{own}"), "Contact: <sip:bob@edge.example.com>\r\n");
    assert_ne!(named, ok);
    stage.bob_sends(named);
    stage.alice.expect_silence();
    stage.begin();
    while let Some(question) = stage.asked.pop() {
        stage.answer_name(&question);
        stage.settle();
    }
    stage.more[0].expect_request("ACK");
    stage.bob.expect_silence();
    stage.alice.expect_status(200);
}

#[test]
fn where_nobody_knows_the_name_of_a_contact_the_peer_is_reached_where_it_is_configured() {
    let mut stage = Stage::new();
    stage.dns_answers = false;
    let invite = stage.alice_calls(&offer());
    let ok = stage.bob.answer(&invite, 200, "OK", &sdp(BOB, 6000, "8", ""));
    stage.bob_sends(ok.replace(&format!("Contact: <sip:bob@{BOB}>"), "Contact: <sip:bob@nobody.example.com>"));
    stage.bob.expect_silence();
    stage.pass_ms(2_100);
    stage.bob.expect_request("ACK");
    alice_hears_200(&mut stage);
}
