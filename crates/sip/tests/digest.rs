//! Challenges and their answers, both sides (RFC 3261 section 22, RFC 7616, RFC 8760).

use core::time::Duration;

use tandem_sip::digest::{Algorithm, Authenticator, ChallengeError, Checked, Credentials, DigestClient, Ha1, Settings};
use tandem_sip::{
    HeaderName, Identifiers, Instant, Limits, Message, Method, Request, RequestBuilder, Response, ResponseBuilder,
    SeededRandom, StatusCode,
};

const REALM: &str = "example.com";

fn settings() -> Settings {
    Settings {
        realm: REALM.to_owned(),
        algorithms: Algorithm::ALL.to_vec(),
        nonce_lifetime: Duration::from_secs(300),
        max_nonces: 100,
    }
}

fn identifiers() -> Identifiers {
    Identifiers::new(SeededRandom::new(1))
}

fn at(seconds: u64) -> Instant {
    Instant::from_ms(1_000 * seconds)
}

fn register() -> RequestBuilder {
    RequestBuilder::new(Method::Register, "sip:example.com")
        .via("SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKx")
        .from("<sip:alice@example.com>;tag=f")
        .to("<sip:alice@example.com>")
        .call_id("c")
        .cseq(1)
}

fn response(status: StatusCode, lines: &[(HeaderName, &str)]) -> Response {
    let request = register().build().expect("a request");
    let mut response = ResponseBuilder::new(&request, status).to_tag("t");
    for (name, value) in lines {
        response = response.header(*name, value);
    }
    response.build().expect("a response")
}

fn unauthorized(challenges: &[String]) -> Response {
    let lines: Vec<_> = challenges.iter().map(|value| (HeaderName::WwwAuthenticate, value.as_str())).collect();
    response(StatusCode::UNAUTHORIZED, &lines)
}

/// What a server that knows Alice makes of a request.
fn judge<'a>(server: &mut Authenticator, now: Instant, request: &'a Request) -> Checked<'a> {
    server.check(now, request, HeaderName::Authorization, |user, algorithm| {
        (user == "alice").then(|| Ha1::new(algorithm, "alice", REALM, "secret"))
    })
}

fn alice() -> Checked<'static> {
    Checked::Authentic("alice".into())
}

#[test]
fn a_challenged_client_is_let_in_and_comes_again_without_another_challenge() {
    let (mut server, mut ids) = (Authenticator::new(settings(), [7; 32]), identifiers());
    let mut client = DigestClient::new("alice", "secret");
    let first = client.authorize(register(), &mut ids).build().expect("a request");
    assert_eq!(judge(&mut server, at(0), &first), Checked::Missing);

    let challenges = server.challenges(at(0), &mut ids, false);
    assert_eq!(challenges.len(), 3);
    assert!(challenges[0].contains("algorithm=SHA-512-256") && challenges[2].contains("algorithm=MD5"));
    client.on_challenge(&unauthorized(&challenges)).expect("a challenge that can be answered");
    for count in 1..=40 {
        let request = client.authorize(register(), &mut ids).build().expect("a request");
        let value = request.value(HeaderName::Authorization).expect("credentials");
        assert!(value.contains("algorithm=SHA-512-256"), "the topmost is taken: {value}");
        assert_eq!(Credentials::parse(value).expect("well-formed").expect("Digest").nonce_count(), Some(count));
        assert_eq!(judge(&mut server, at(u64::from(count)), &request), alice());
        assert_eq!(judge(&mut server, at(u64::from(count)), &request), Checked::Stale, "a second time");
    }
    assert_eq!(server.nonces(), 1);
}

#[test]
fn every_algorithm_serves_and_no_other() {
    let mut ids = identifiers();
    for algorithm in Algorithm::ALL {
        let mut server = Authenticator::new(Settings { algorithms: vec![algorithm], ..settings() }, [7; 32]);
        let mut client = DigestClient::new("alice", "secret");
        client.on_challenge(&unauthorized(&server.challenges(at(0), &mut ids, false))).expect("answerable");
        let request = client.authorize(register(), &mut ids).build().expect("a request");
        assert_eq!(judge(&mut server, at(0), &request), alice(), "{algorithm}");
        let other = Algorithm::ALL.into_iter().filter(|known| *known != algorithm).collect();
        let mut other = Authenticator::new(Settings { algorithms: other, ..settings() }, [7; 32]);
        assert_eq!(judge(&mut other, at(0), &request), Checked::Missing, "{algorithm}");
    }
}

#[test]
fn an_unknown_user_and_a_wrong_password_cannot_be_told_apart() {
    let (mut server, mut ids) = (Authenticator::new(settings(), [7; 32]), identifiers());
    for (user, password) in [("alice", "wrong"), ("bob", "secret"), ("", ""), ("a\"b\\", "secret")] {
        let mut client = DigestClient::new(user, password);
        client.on_challenge(&unauthorized(&server.challenges(at(0), &mut ids, false))).expect("answerable");
        let request = client.authorize(register(), &mut ids).build().expect("a request");
        assert_eq!(judge(&mut server, at(0), &request), Checked::Wrong, "{user}");
        let refused = client.on_challenge(&unauthorized(&server.challenges(at(0), &mut ids, false)));
        assert_eq!(refused, Err(ChallengeError::Refused));
    }
    assert_eq!(server.nonces(), 0, "strangers take no room");
}

#[test]
fn a_nonce_serves_for_its_lifetime_and_is_then_renewed_without_a_password_prompt() {
    let (mut server, mut ids) = (Authenticator::new(settings(), [7; 32]), identifiers());
    let mut client = DigestClient::new("alice", "secret");
    client.on_challenge(&unauthorized(&server.challenges(at(0), &mut ids, false))).expect("answerable");
    let request = client.authorize(register(), &mut ids).build().expect("a request");
    assert_eq!(judge(&mut server, at(300), &request), alice());
    let request = client.authorize(register(), &mut ids).build().expect("a request");
    assert_eq!(judge(&mut server, at(301), &request), Checked::Stale);
    let challenges = server.challenges(at(301), &mut ids, true);
    assert!(challenges.iter().all(|value| value.contains("stale=TRUE")));
    client.on_challenge(&unauthorized(&challenges)).expect("answerable");
    let request = client.authorize(register(), &mut ids).build().expect("a request");
    assert_eq!(judge(&mut server, at(301), &request), alice());
    assert_eq!(server.nonces(), 1, "the old one is forgotten");
}

#[test]
fn a_nonce_that_was_good_before_is_renewed_where_the_server_does_not_say_stale() {
    let (mut server, mut ids) = (Authenticator::new(settings(), [7; 32]), identifiers());
    let mut client = DigestClient::new("alice", "secret");
    client.on_challenge(&unauthorized(&server.challenges(at(0), &mut ids, false))).expect("answerable");
    for _ in 0..2 {
        let _ = client.authorize(register(), &mut ids);
    }
    client.on_challenge(&unauthorized(&server.challenges(at(9), &mut ids, false))).expect("answerable");
    let request = client.authorize(register(), &mut ids).build().expect("a request");
    assert_eq!(judge(&mut server, at(9), &request), alice());
}

#[test]
fn a_nonce_of_another_key_or_made_up_is_stale_whatever_the_password() {
    let (mut server, mut ids) = (Authenticator::new(settings(), [7; 32]), identifiers());
    let stranger = Authenticator::new(settings(), [8; 32]);
    for password in ["secret", "wrong"] {
        let mut client = DigestClient::new("alice", password);
        client.on_challenge(&unauthorized(&stranger.challenges(at(0), &mut ids, false))).expect("answerable");
        let request = client.authorize(register(), &mut ids).build().expect("a request");
        assert_eq!(judge(&mut server, at(0), &request), Checked::Stale);
        let mut client = DigestClient::new("alice", password);
        let made_up = format!("Digest realm=\"{REALM}\", nonce=\"n\", qop=\"auth\"");
        client.on_challenge(&unauthorized(&[made_up])).expect("answerable");
        let request = client.authorize(register(), &mut ids).build().expect("a request");
        assert_eq!(judge(&mut server, at(0), &request), Checked::Stale);
    }
}

#[test]
fn credentials_for_another_target_or_method_are_no_use() {
    let (mut server, mut ids) = (Authenticator::new(settings(), [7; 32]), identifiers());
    let mut client = DigestClient::new("alice", "secret");
    client.on_challenge(&unauthorized(&server.challenges(at(0), &mut ids, false))).expect("answerable");
    let request = client.authorize(register(), &mut ids).build().expect("a request");
    let value = request.value(HeaderName::Authorization).expect("credentials").to_owned();
    let text = String::from_utf8(request.to_bytes().to_vec()).expect("text");
    let parse = |text: String| match Message::parse(text.as_bytes(), &Limits::default()) {
        Ok(Message::Request(request)) => request,
        other => panic!("{other:?}"),
    };
    let elsewhere = parse(text.replace("REGISTER sip:example.com ", "REGISTER sip:other.example.com "));
    assert!(matches!(judge(&mut server, at(0), &elsewhere), Checked::Malformed(_)));
    let as_options = parse(text.replace("REGISTER", "OPTIONS"));
    assert_eq!(judge(&mut server, at(0), &as_options), Checked::Wrong);
    let with_port = parse(text.replace("REGISTER sip:example.com ", "REGISTER sip:EXAMPLE.com:5060;transport=udp "));
    assert_eq!(judge(&mut server, at(0), &with_port), alice(), "port and parameters may differ");
    for broken in [value.replace("nc=", "nx="), value.replace("username=", "u=")] {
        let request = parse(text.replace(&value, &broken));
        assert!(matches!(judge(&mut server, at(0), &request), Checked::Malformed(_)), "{broken}");
    }
    let other_realm = parse(text.replace("realm=\"example.com\"", "realm=\"elsewhere\""));
    assert_eq!(judge(&mut server, at(0), &other_realm), Checked::Missing);
}

#[test]
fn without_qop_a_nonce_serves_once() {
    let (mut server, mut ids) = (Authenticator::new(settings(), [7; 32]), identifiers());
    let challenge = server.challenges(at(0), &mut ids, false)[2].replace(", qop=\"auth\"", "");
    let mut client = DigestClient::new("alice", "secret");
    client.on_challenge(&unauthorized(&[challenge])).expect("answerable");
    let request = client.authorize(register(), &mut ids).build().expect("a request");
    assert_eq!(judge(&mut server, at(0), &request), alice());
    assert_eq!(judge(&mut server, at(0), &request), Checked::Stale);
    let request = client.authorize(register(), &mut ids).build().expect("a request");
    assert!(!request.has(HeaderName::Authorization), "it waits to be challenged");
}

#[test]
fn proxies_on_the_way_are_answered_each_in_its_realm() {
    let mut ids = identifiers();
    let mut client = DigestClient::new("alice", "secret");
    let challenge = |realm: &str, more: &str| format!("Digest realm=\"{realm}\", nonce=\"n\", qop=\"auth\"{more}");
    let (a, b, b_weak, c) = (
        challenge("a", ", algorithm=NEW-HASH"),
        challenge("b", ", algorithm=SHA-256, opaque=\"o\""),
        challenge("b", ""),
        challenge("c", ""),
    );
    let answer = response(
        StatusCode::PROXY_AUTHENTICATION_REQUIRED,
        &[
            (HeaderName::ProxyAuthenticate, "Negotiate x"),
            (HeaderName::ProxyAuthenticate, &a),
            (HeaderName::ProxyAuthenticate, &b),
            (HeaderName::ProxyAuthenticate, &b_weak),
            (HeaderName::WwwAuthenticate, &c),
        ],
    );
    client.on_challenge(&answer).expect("answerable");
    let request = client.authorize(register(), &mut ids).build().expect("a request");
    let values = |name| request.headers().filter(move |line| line.name == name).map(|line| line.value);
    let proxy: Vec<_> = values(HeaderName::ProxyAuthorization).collect();
    assert_eq!(proxy.len(), 1);
    assert!(proxy[0].contains("realm=\"b\"") && proxy[0].contains("SHA-256") && proxy[0].contains("opaque=\"o\""));
    assert_eq!(values(HeaderName::Authorization).count(), 1);
}

#[test]
fn what_cannot_be_answered_is_told() {
    let mut client = DigestClient::new("alice", "secret");
    for (challenge, error) in [
        ("Digest realm=\"a\", nonce=\"n\", qop=\"auth-int\"", ChallengeError::Unsupported),
        ("Digest realm=\"a\", nonce=\"n\", algorithm=MD5-sess", ChallengeError::Unsupported),
        ("Basic realm=\"a\"", ChallengeError::Unsupported),
        ("Digest realm=\"a\"", ChallengeError::Malformed),
    ] {
        assert_eq!(client.on_challenge(&unauthorized(&[challenge.to_owned()])), Err(error), "{challenge}");
    }
    assert_eq!(client.on_challenge(&unauthorized(&[])), Err(ChallengeError::Unsupported));
    assert!(!format!("{client:?}").contains("secret"));
}

#[test]
fn memory_for_nonces_is_bounded_and_what_is_forgotten_is_stale() {
    let (mut server, mut ids) = (Authenticator::new(Settings { max_nonces: 3, ..settings() }, [7; 32]), identifiers());
    let mut clients: Vec<_> = (0..4).map(|_| DigestClient::new("alice", "secret")).collect();
    for (client, second) in clients.iter_mut().zip(0..) {
        client.on_challenge(&unauthorized(&server.challenges(at(second), &mut ids, false))).expect("answerable");
        let request = client.authorize(register(), &mut ids).build().expect("a request");
        assert_eq!(judge(&mut server, at(second), &request), alice());
    }
    assert_eq!(server.nonces(), 3);
    for (client, verdict) in clients.iter_mut().zip([Checked::Stale, alice(), alice(), alice()]) {
        let request = client.authorize(register(), &mut ids).build().expect("a request");
        assert_eq!(judge(&mut server, at(9), &request), verdict);
    }
}
