//! REGISTER and what comes of it (RFC 3261 section 10, RFC 3327, RFC 5626, RFC 5627).

use core::net::SocketAddr;
use core::time::Duration;

use tandem_registrar::{Change, Outcome, Registrar, RegistrarConfig, Subscriber};
use tandem_sip::digest::{Algorithm, DigestClient, Ha1};
use tandem_sip::{
    HeaderName, Identifiers, Instant, Limits, Message, Method, Peer, Request, RequestBuilder, SeededRandom, StatusCode,
    Transport, Uri,
};

const REALM: &str = "example.com";

struct House {
    registrar: Registrar,
    identifiers: Identifiers,
    now: Instant,
    cseq: u32,
}

/// A telephone that knows a password.
struct Phone {
    client: DigestClient,
    user: &'static str,
    call_id: &'static str,
    from: Peer,
}

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

fn config() -> RegistrarConfig {
    RegistrarConfig { realm: REALM.to_owned(), domains: vec!["192.0.2.10".to_owned()], ..RegistrarConfig::default() }
}

fn house() -> House {
    let mut registrar = Registrar::new(config(), [7; 32]);
    for user in ["alice", "bob"] {
        let hashes = Algorithm::ALL.map(|algorithm| Ha1::new(algorithm, user, REALM, "secret")).to_vec();
        registrar.put_subscriber(user, Subscriber { hashes });
    }
    let identifiers = Identifiers::new(SeededRandom::new(1));
    House { registrar, identifiers, now: Instant::from_ms(10_000), cseq: 0 }
}

fn phone(user: &'static str, password: &str) -> Phone {
    let from = Peer::udp(address("192.0.2.10:5060"), address("192.0.2.1:5060"));
    Phone { client: DigestClient::new(user, password), user, call_id: "call", from }
}

impl House {
    /// Sends a REGISTER with these header lines, answering a challenge; what came of it.
    fn register(&mut self, phone: &mut Phone, lines: &str) -> Outcome {
        for _ in 0..2 {
            let request = self.request(phone, lines);
            let outcome = self.registrar.on_register(self.now, phone.from, &request, &mut self.identifiers);
            if outcome.answer.status != StatusCode::UNAUTHORIZED {
                return outcome;
            }
            let response = outcome.answer.response(&request, "t").expect("a response");
            if phone.client.on_challenge(&response).is_err() {
                return outcome;
            }
        }
        panic!("challenged twice")
    }

    fn request(&mut self, phone: &mut Phone, lines: &str) -> Request {
        self.cseq += 1;
        let via = format!("SIP/2.0/{} {};rport;branch=z9hG4bKx", phone.from.transport.as_str(), "192.0.2.1:5060");
        let builder = RequestBuilder::new(Method::Register, "sip:example.com")
            .via(&via)
            .from(&format!("<sip:{}@example.com>;tag=f", phone.user))
            .to(&format!("<sip:{}@example.com>", phone.user))
            .call_id(phone.call_id)
            .cseq(self.cseq);
        let builder = phone.client.authorize(builder, &mut self.identifiers);
        let text = String::from_utf8(builder.build().expect("a request").to_bytes().to_vec()).expect("text");
        let text = text.replacen("\r\n\r\n", &format!("\r\n{lines}\r\n"), 1);
        match Message::parse(text.as_bytes(), &Limits::default()) {
            Ok(Message::Request(request)) => request,
            other => panic!("{other:?}: {text}"),
        }
    }

    fn contacts(&self, user: &str) -> Vec<String> {
        let contacts = self.registrar.location().contacts(self.now, user, None);
        contacts.into_iter().map(|target| target.uri.to_string()).collect()
    }

    fn pass(&mut self, seconds: u64) {
        self.now = self.now + Duration::from_secs(seconds);
    }
}

fn values(outcome: &Outcome, name: HeaderName) -> Vec<&str> {
    outcome.answer.headers.iter().filter(|(known, _)| *known == name).map(|(_, value)| value.as_str()).collect()
}

const ALICE: &str = "Contact: <sip:alice@192.0.2.1:5060>\r\n";

#[test]
fn a_telephone_registers_renews_asks_and_leaves() {
    let (mut house, mut alice) = (house(), phone("alice", "secret"));
    let outcome = house.register(&mut alice, &format!("{ALICE}Expires: 600\r\n"));
    assert_eq!(outcome.answer.status, StatusCode::OK);
    assert_eq!(values(&outcome, HeaderName::Contact), ["<sip:alice@192.0.2.1:5060>;expires=600;q=1.000"]);
    assert!(matches!(&outcome.changes[..], [Change::Put { user, binding }] if user == "alice" && !binding.uses_flow));
    house.pass(400);
    let outcome = house.register(&mut alice, "");
    assert_eq!(values(&outcome, HeaderName::Contact), ["<sip:alice@192.0.2.1:5060>;expires=200;q=1.000"]);
    assert!(outcome.changes.is_empty(), "a question changes nothing");
    house.register(&mut alice, &format!("{}Expires: 600\r\n", ALICE.replace("alice", "%61lice")));
    house.pass(400);
    assert_eq!(house.contacts("alice").len(), 1, "a renewal under an equivalent URI");
    let outcome = house.register(&mut alice, "Contact: <sip:alice@192.0.2.1:5060>;expires=0\r\n");
    assert!(values(&outcome, HeaderName::Contact).is_empty());
    assert!(matches!(&outcome.changes[..], [Change::Remove { .. }]));
    assert!(house.contacts("alice").is_empty());
}

#[test]
fn what_ends_is_forgotten_at_its_time() {
    let (mut house, mut alice) = (house(), phone("alice", "secret"));
    house.register(
        &mut alice,
        "Contact: <sip:alice@192.0.2.1>;expires=60, <sip:alice@192.0.2.1:5062>;expires=90000\r\n",
    );
    assert_eq!(house.registrar.location().len(), 2);
    assert_eq!(house.registrar.next_deadline(), Some(house.now + Duration::from_secs(60)));
    house.pass(60);
    assert_eq!(house.contacts("alice"), ["sip:alice@192.0.2.1:5062"]);
    house.registrar.on_timeout(house.now);
    assert_eq!(house.registrar.location().len(), 1);
    house.pass(7_140);
    house.registrar.on_timeout(house.now);
    assert!(house.registrar.location().is_empty(), "the longest time is 7200 s");
    assert_eq!(house.registrar.next_deadline(), None);
}

#[test]
fn too_brief_is_refused_with_the_shortest_that_is_not() {
    let (mut house, mut alice) = (house(), phone("alice", "secret"));
    let outcome = house.register(&mut alice, &format!("{ALICE}Expires: 59\r\n"));
    assert_eq!(outcome.answer.status, StatusCode::INTERVAL_TOO_BRIEF);
    assert_eq!(values(&outcome, HeaderName::MinExpires), ["60"]);
    assert!(outcome.changes.is_empty() && house.contacts("alice").is_empty());
    assert_eq!(house.register(&mut alice, &format!("{ALICE}Expires: 60\r\n")).answer.status, StatusCode::OK);
    let outcome = house.register(&mut alice, &format!("{ALICE}Expires: soon\r\n"));
    assert!(values(&outcome, HeaderName::Contact)[0].contains("expires=3600"));
}

#[test]
fn a_star_removes_all_and_only_with_expires_0() {
    let (mut house, mut alice) = (house(), phone("alice", "secret"));
    house.register(&mut alice, "Contact: <sip:alice@192.0.2.1>, <sip:alice@192.0.2.2>\r\n");
    for bad in ["Contact: *\r\n", "Contact: *\r\nExpires: 5\r\n", "Contact: *, <sip:a@b>\r\nExpires: 0\r\n"] {
        assert_eq!(house.register(&mut alice, bad).answer.status, StatusCode::BAD_REQUEST, "{bad}");
    }
    assert_eq!(house.contacts("alice").len(), 2);
    let outcome = house.register(&mut alice, "Contact: *\r\nExpires: 0\r\n");
    assert_eq!((outcome.answer.status, outcome.changes.len()), (StatusCode::OK, 2));
    assert!(house.contacts("alice").is_empty());
}

#[test]
fn what_was_overtaken_changes_nothing() {
    let (mut house, mut alice) = (house(), phone("alice", "secret"));
    house.register(&mut alice, ALICE);
    house.cseq = 0;
    let outcome = house.register(&mut alice, "Contact: <sip:new@192.0.2.9>, <sip:alice@192.0.2.1:5060>;expires=0\r\n");
    assert_eq!(outcome.answer.status, StatusCode::BAD_REQUEST);
    assert!(outcome.changes.is_empty());
    assert_eq!(house.contacts("alice"), ["sip:alice@192.0.2.1:5060"], "all or none");
    house.cseq = 0;
    alice.call_id = "after-a-restart";
    assert_eq!(house.register(&mut alice, ALICE).answer.status, StatusCode::OK);
}

#[test]
fn nobody_registers_for_another_and_strangers_learn_nothing() {
    let mut house = house();
    let mut answers = Vec::new();
    for (user, password) in [("alice", "wrong"), ("nobody", "secret")] {
        let outcome = house.register(&mut phone(user, password), ALICE);
        assert!(outcome.changes.is_empty());
        let challenge = values(&outcome, HeaderName::WwwAuthenticate)[0].to_owned();
        answers.push((outcome.answer.status, challenge.len()));
    }
    assert_eq!(answers[0], answers[1]);
    let mut alice = phone("alice", "secret");
    alice.client = DigestClient::new("bob", "secret");
    for lines in ["", ALICE] {
        assert_eq!(house.register(&mut alice, lines).answer.status, StatusCode::FORBIDDEN);
    }
    alice.user = "nobody";
    assert_eq!(house.register(&mut alice, ALICE).answer.status, StatusCode::FORBIDDEN);
    assert!(house.registrar.location().is_empty());
    assert_eq!(house.registrar.counters().refused, 2);
}

#[test]
fn contacts_are_called_by_preference_and_few_are_kept() {
    let (mut house, mut alice) = (house(), phone("alice", "secret"));
    house.register(&mut alice, "Contact: <sip:a@192.0.2.1>;q=0.2, <sip:b@192.0.2.1>;q=0.9, <sip:c@192.0.2.1>\r\n");
    assert_eq!(house.contacts("alice"), ["sip:c@192.0.2.1", "sip:b@192.0.2.1", "sip:a@192.0.2.1"]);
    let many: Vec<_> = (0..8).map(|n| format!("<sip:x{n}@192.0.2.1>")).collect();
    let outcome = house.register(&mut alice, &format!("Contact: {}\r\n", many.join(", ")));
    assert_eq!(outcome.answer.status, StatusCode::BAD_REQUEST, "eleven in all");
    assert_eq!(house.contacts("alice").len(), 3);
}

#[test]
fn behind_address_translation_a_telephone_is_called_where_it_came_from() {
    let (mut house, mut alice) = (house(), phone("alice", "secret"));
    alice.from.remote = address("203.0.113.5:40001");
    house.register(&mut alice, "Contact: <sip:alice@10.1.2.3:5060>\r\n");
    let target = &house.registrar.location().contacts(house.now, "alice", None)[0];
    assert_eq!((target.uri.as_str(), target.to.remote), ("sip:alice@10.1.2.3:5060", alice.from.remote));
    // And it is kept reachable.
    let mut probes = Vec::new();
    for _ in 0..90 {
        house.pass(1);
        probes.extend(house.registrar.on_timeout(house.now));
    }
    assert_eq!(probes.len(), 3);
    assert!(probes.iter().all(|probe| probe.user == "alice" && probe.target.to.remote == alice.from.remote));
    house.register(&mut alice, "Contact: *\r\nExpires: 0\r\n");
    house.pass(60);
    assert!(house.registrar.on_timeout(house.now).is_empty());
}

#[test]
fn a_telephone_without_translation_is_called_by_its_contact() {
    let (mut house, mut alice) = (house(), phone("alice", "secret"));
    house.register(&mut alice, "Contact: <sip:alice@192.0.2.1:5070>\r\n");
    let target = &house.registrar.location().contacts(house.now, "alice", None)[0];
    assert_eq!(target.to.remote, address("192.0.2.1:5070"));
    house.pass(120);
    assert!(house.registrar.on_timeout(house.now).is_empty(), "nothing to keep open");
    alice.from.transport = Transport::Tcp;
    house.register(&mut alice, "Contact: <sip:alice@192.0.2.1:5070;transport=tcp>\r\n");
    let target = &house.registrar.location().contacts(house.now, "alice", None)[1];
    assert_eq!(target.to, alice.from, "over its connection");
}

#[test]
fn a_path_is_kept_and_gone_by() {
    let (mut house, mut alice) = (house(), phone("alice", "secret"));
    let outcome = house.register(
        &mut alice,
        "Contact: <sip:alice@10.1.2.3>\r\nPath: <sip:198.51.100.1:5070;lr>, <sip:p2.example.com;lr>\r\nSupported: path\r\n",
    );
    assert_eq!(values(&outcome, HeaderName::Path), ["<sip:198.51.100.1:5070;lr>", "<sip:p2.example.com;lr>"]);
    let target = &house.registrar.location().contacts(house.now, "alice", None)[0];
    assert_eq!(target.to.remote, address("198.51.100.1:5070"));
    assert_eq!(target.route_set, ["<sip:198.51.100.1:5070;lr>", "<sip:p2.example.com;lr>"]);
}

#[test]
fn an_instance_is_one_contact_however_its_address_changes() {
    let (mut house, mut alice) = (house(), phone("alice", "secret"));
    let contact = |host: &str, reg_id: u32| {
        format!(
            "Contact: <sip:alice@{host}>;+sip.instance=\"<urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6>\";reg-id={reg_id}\r\n\
             Supported: outbound, gruu\r\n"
        )
    };
    let outcome = house.register(&mut alice, &contact("192.0.2.1", 1));
    assert_eq!(values(&outcome, HeaderName::Require), ["outbound"]);
    assert!(values(&outcome, HeaderName::Contact)[0].ends_with(
        ";+sip.instance=\"<urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6>\"\
         ;pub-gruu=\"sip:alice@example.com;gr=urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6\";reg-id=1"
    ));
    house.register(&mut alice, &contact("192.0.2.99", 1));
    assert_eq!(house.contacts("alice"), ["sip:alice@192.0.2.99"], "in the place of the first");
    house.register(&mut alice, &contact("192.0.2.77", 2));
    assert_eq!(house.registrar.location().len(), 2);
    assert_eq!(house.contacts("alice"), ["sip:alice@192.0.2.77"], "of an instance's flows the newest");
    house.register(&mut alice, "Contact: <sip:other@192.0.2.1>\r\n");
    let location = house.registrar.location();
    assert_eq!(location.contacts(house.now, "alice", Some("urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6")).len(), 1);
    assert_eq!(location.contacts(house.now, "alice", Some("urn:uuid:none")).len(), 0);
    let through = format!("{}Path: <sip:198.51.100.1;lr>\r\n", contact("192.0.2.1", 3));
    assert_eq!(house.register(&mut alice, &through).answer.status.as_u16(), 439, "its first hop knows no outbound");
    assert_eq!(house.register(&mut alice, &through.replace(";lr>", ";lr;ob>")).answer.status, StatusCode::OK);
}

#[test]
fn a_caller_is_who_it_says() {
    let mut house = house();
    let mut client = DigestClient::new("alice", "secret");
    let invite = |from: &str, client: &mut DigestClient, identifiers: &mut Identifiers| {
        let builder = RequestBuilder::new(Method::Invite, "sip:bob@example.com")
            .via("SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKx")
            .from(&format!("<sip:{from}>;tag=f"))
            .to("<sip:bob@example.com>")
            .call_id("c")
            .cseq(1);
        client.authorize(builder, identifiers).build().expect("a request")
    };
    let request = invite("alice@example.com", &mut client, &mut house.identifiers);
    let challenge =
        house.registrar.authenticate_caller(house.now, &request, &mut house.identifiers).expect_err("a challenge");
    assert_eq!(challenge.status, StatusCode::PROXY_AUTHENTICATION_REQUIRED);
    client.on_challenge(&challenge.response(&request, "t").expect("a response")).expect("answerable");
    for (from, expected) in
        [("alice@192.0.2.10", Ok("alice".to_owned())), ("bob@example.com", Err(403)), ("alice@elsewhere.com", Err(403))]
    {
        let request = invite(from, &mut client, &mut house.identifiers);
        let found = house.registrar.authenticate_caller(house.now, &request, &mut house.identifiers);
        assert_eq!(found.map_err(|answer| answer.status.as_u16()), expected, "{from}");
    }
}

#[test]
fn what_is_restored_is_called_and_what_an_operator_removes_is_gone() {
    let (mut before, mut alice) = (house(), phone("alice", "secret"));
    let outcome = before.register(&mut alice, ALICE);
    let mut after = house();
    let [Change::Put { user, binding }] = &outcome.changes[..] else { panic!("{outcome:?}") };
    after.registrar.restore(after.now, user, (**binding).clone());
    assert_eq!(after.contacts("alice"), ["sip:alice@192.0.2.1:5060"]);
    assert_eq!(after.registrar.remove_subscriber("alice").len(), 1);
    assert!(after.contacts("alice").is_empty() && !after.registrar.is_subscriber("alice"));
    let uri = Uri::parse("sip:%61lice@EXAMPLE.com").expect("a URI");
    assert_eq!(after.registrar.local_user(&uri).as_deref(), Some("alice"));
}
