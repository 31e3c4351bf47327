//! Which transaction a message belongs to (RFC 3261 sections 9.2, 17.1.3, 17.2.3), and what belongs to none.

use tandem_sip::transaction::table::State;
use tandem_sip::*;

use super::endpoint::*;

fn sent(outputs: &[Output]) -> Vec<String> {
    outputs
        .iter()
        .filter_map(|output| match output {
            Output::Send { bytes, .. } => Some(String::from_utf8_lossy(bytes).into_owned()),
            _ => None,
        })
        .collect()
}

fn message(text: &str) -> Message {
    Message::parse(text.as_bytes(), &Limits::default()).expect("a message")
}

#[test]
fn cancel_is_answered_and_its_invite_handed_up_for_487() {
    let mut endpoint = Endpoint::new(Transport::Udp);
    let (id, request) = endpoint.accept(&incoming("INVITE", "a"));
    endpoint.respond(id, &request, 180).expect("a transaction");
    let outputs = endpoint.receive(&incoming("CANCEL", "a"));
    assert_eq!(kinds(&outputs), ["send 200", "cancel"]);
    assert!(matches!(outputs[1], Output::Cancel { invite, .. } if invite == id));
    let Message::Response(ok) = message(&sent(&outputs)[0]) else { panic!("a response") };
    assert_eq!(ok.to_tag(), Some("314159"), "the tag of the 180 (section 9.2)");
    assert_eq!(kinds(&endpoint.receive(&incoming("CANCEL", "a"))), ["send 200"], "a retransmission");
    assert_eq!(kinds(&endpoint.respond(id, &request, 487).expect("a transaction")), ["send 487"]);
}

#[test]
fn cancel_after_the_answer_changes_nothing() {
    for status in [200, 486] {
        let mut endpoint = Endpoint::new(Transport::Udp);
        let (id, request) = endpoint.accept(&incoming("INVITE", "a"));
        endpoint.respond(id, &request, status).expect("a transaction");
        assert_eq!(kinds(&endpoint.receive(&incoming("CANCEL", "a"))), ["send 200"]);
    }
}

#[test]
fn cancel_of_nothing_gets_481() {
    let mut endpoint = Endpoint::new(Transport::Udp);
    assert_eq!(kinds(&endpoint.receive(&incoming("CANCEL", "a"))), ["send 481"]);
    assert_eq!(endpoint.layer.counters().unmatched_cancels, 1);
}

#[test]
fn own_cancel_waits_for_a_provisional_response() {
    let mut endpoint = Endpoint::new(Transport::Udp);
    let (id, branch) = endpoint.send(Method::Invite);
    endpoint.layer.cancel(endpoint.now, id, Some("SIP;cause=487")).expect("an INVITE");
    assert_eq!(endpoint.outputs(), []);
    let outputs = endpoint.receive(&answer("INVITE", &branch, 100));
    assert_eq!(kinds(&outputs), ["send CANCEL", "response 100"]);
    let Message::Request(cancel) = message(&sent(&outputs)[0]) else { panic!("a request") };
    assert_eq!(cancel.uri_text(), "sip:bob@biloxi.example.com");
    assert_eq!(cancel.top_via().branch(), Some(branch.as_str()));
    assert_eq!((cancel.cseq_number(), cancel.cseq_method()), (2, &Method::Cancel));
    assert_eq!((cancel.from_tag(), cancel.to_tag()), (Some("9fxced76sl"), None));
    assert_eq!(cancel.value(HeaderName::Reason), Some("SIP;cause=487"));
    assert_eq!(cancel.vias().count(), 1);
    assert!(!cancel.has(HeaderName::Contact));
    assert_eq!(endpoint.receive(&answer("CANCEL", &branch, 200)), [], "its response is nobody's business");
    assert_eq!(endpoint.layer.cancel(endpoint.now, id, None), Ok(()), "a second time does nothing");
    assert_eq!(endpoint.outputs(), []);
    assert_eq!(kinds(&endpoint.receive(&answer("INVITE", &branch, 487))), ["send ACK", "response 487"]);
    assert_eq!(endpoint.layer.cancel(endpoint.now, id, None), Err(CancelError::Answered));
}

#[test]
fn cancelled_invite_may_still_be_answered_with_200() {
    let mut endpoint = Endpoint::new(Transport::Udp);
    let (id, branch) = endpoint.send(Method::Invite);
    endpoint.layer.cancel(endpoint.now, id, None).expect("an INVITE");
    assert_eq!(kinds(&endpoint.receive(&answer("INVITE", &branch, 200))), ["response 200"], "no CANCEL any more");
    let (bye, _) = endpoint.send(Method::Bye);
    assert_eq!(endpoint.layer.cancel(endpoint.now, bye, None), Err(CancelError::NotInvite));
}

#[test]
fn ack_of_a_failure_is_made_of_invite_and_response() {
    let mut endpoint = Endpoint::new(Transport::Udp);
    let to = endpoint.peer;
    let invite = request(Method::Invite).route("<sip:p1.example.com;lr>").route("<sip:p2.example.com;lr>");
    endpoint.layer.send_request(endpoint.now, to, invite).expect("a request");
    let sent_invite = parse_request(match &endpoint.outputs()[..] {
        [Output::Send { bytes, .. }] => bytes,
        other => panic!("{other:?}"),
    });
    let branch = sent_invite.top_via().branch().expect("a branch").to_owned();
    let outputs = endpoint.receive(&answer("INVITE", &branch, 404));
    let Message::Request(ack) = message(&sent(&outputs)[0]) else { panic!("a request") };
    assert_eq!(ack.method(), &Method::Ack);
    assert_eq!(ack.uri_text(), sent_invite.uri_text());
    assert_eq!(ack.value(HeaderName::Via), sent_invite.value(HeaderName::Via));
    assert_eq!(ack.value(HeaderName::From), sent_invite.value(HeaderName::From));
    assert_eq!(ack.call_id(), sent_invite.call_id());
    assert_eq!((ack.cseq_number(), ack.cseq_method()), (2, &Method::Ack));
    assert_eq!(ack.to_tag(), Some("8321234356"));
    assert_eq!(ack.routes().count(), 2);
}

#[test]
fn ack_of_a_2xx_has_its_own_branch_and_can_be_repeated() {
    let mut endpoint = Endpoint::new(Transport::Udp);
    let to = endpoint.peer;
    let first = endpoint.layer.send_ack(to, request(Method::Ack)).expect("an ACK");
    endpoint.layer.resend(to, first.clone());
    let outputs = endpoint.outputs();
    assert_eq!(outputs[0], outputs[1]);
    let second = endpoint.layer.send_ack(to, request(Method::Ack)).expect("an ACK");
    assert_ne!(parse_request(&first).top_via().branch(), parse_request(&second).top_via().branch());
    assert_eq!(endpoint.layer.send_request(endpoint.now, to, request(Method::Ack)), Err(SendError::NotATransaction),);
}

#[test]
fn the_same_request_by_another_way_gets_482() {
    let mut endpoint = Endpoint::new(Transport::Udp);
    endpoint.accept(&incoming("INVITE", "a"));
    let twin = incoming("INVITE", "a").replace("branch=z9hG4bKa", "branch=z9hG4bKb");
    assert_eq!(kinds(&endpoint.receive(&twin)), ["send 482"]);
    assert_eq!(kinds(&endpoint.receive(&twin)), ["send 482"]);
    assert_eq!(endpoint.receive(&twin.replace("INVITE", "ACK")), []);
    assert_eq!(endpoint.layer.counters().merged_requests, 1);
    let in_dialog = twin.replace("To: <sip:alice@atlanta.example.com>", "To: <sip:alice@atlanta.example.com>;tag=1");
    let in_dialog = in_dialog.replace("z9hG4bKb", "z9hG4bKc");
    assert_eq!(kinds(&endpoint.receive(&in_dialog)), ["request INVITE"], "requests in dialogs are not merged");
}

#[test]
fn sent_by_tells_transactions_apart_whatever_its_case() {
    let mut endpoint = Endpoint::new(Transport::Udp);
    let named = |host: &str| incoming("OPTIONS", "a").replace("192.0.2.2:5060", host);
    endpoint.accept(&named("Host.Example.com"));
    assert_eq!(endpoint.receive(&named("host.example.COM")), []);
    assert_eq!(endpoint.receive(&named("host.example.com:5060")), [], "the default port");
    let other = named("other.example.com").replace("Call-ID: call-a", "Call-ID: call-b");
    assert_eq!(kinds(&endpoint.receive(&other)), ["request OPTIONS"]);
}

#[test]
fn peers_of_rfc_2543_are_matched_without_a_branch() {
    let mut endpoint = Endpoint::new(Transport::Udp);
    let strip = |text: String| text.replace(";branch=z9hG4bKa", "");
    let (id, request) = endpoint.accept(&strip(incoming("INVITE", "a")));
    assert_eq!(endpoint.receive(&strip(incoming("INVITE", "a"))), []);
    assert_eq!(kinds(&endpoint.receive(&strip(incoming("CANCEL", "a")))), ["send 200", "cancel"]);
    endpoint.respond(id, &request, 487).expect("a transaction");
    let ack = strip(incoming("ACK", "a"));
    assert_eq!(kinds(&endpoint.receive(&ack)), ["ack"], "the tag of the response is missing");
    assert_eq!(endpoint.server_state(id), Some(State::Completed));
    let ack = ack.replace("To: <sip:alice@atlanta.example.com>", "To: <sip:alice@atlanta.example.com>;tag=314159");
    assert_eq!(endpoint.receive(&ack), []);
    assert_eq!(endpoint.server_state(id), Some(State::Confirmed));
    // Another CSeq number is another transaction.
    let next = strip(incoming_cseq("INVITE", "a", 2));
    assert_eq!(kinds(&endpoint.receive(&next)), ["request INVITE"]);
}

#[test]
fn branch_without_the_magic_cookie_identifies_nothing() {
    for branch in ["branch=1", "branch=z9hG4bK"] {
        let mut endpoint = Endpoint::new(Transport::Udp);
        let old = |call| incoming("OPTIONS", call).replace(&format!("branch=z9hG4bK{call}"), branch);
        endpoint.accept(&old("a"));
        endpoint.accept(&old("b"));
        assert_eq!(endpoint.receive(&old("a")), [], "a retransmission");
        assert_eq!(endpoint.layer.live(), 2);
    }
}

#[test]
fn response_with_a_strange_branch_is_dropped_and_counted() {
    let mut endpoint = Endpoint::new(Transport::Udp);
    let (_, branch) = endpoint.send(Method::Invite);
    assert_eq!(endpoint.receive(&answer("INVITE", "z9hG4bKnobody", 200)), []);
    assert_eq!(endpoint.receive(&answer("OPTIONS", &branch, 200)), [], "the method is part of the match");
    assert_eq!(endpoint.layer.counters().stray_responses, 2);
}

#[test]
fn response_with_a_second_via_is_dropped() {
    let mut endpoint = Endpoint::new(Transport::Udp);
    let (id, branch) = endpoint.send(Method::Invite);
    let text = answer("INVITE", &branch, 200);
    let lost = text.replace("From:", "Via: SIP/2.0/UDP 255.255.255.255;branch=z9hG4bK1saber23\r\nFrom:");
    assert_eq!(endpoint.receive(&lost), []);
    assert_eq!(endpoint.client_state(id), Some(State::Calling));
    assert_eq!(endpoint.layer.counters().stray_responses, 1);
    assert_eq!(kinds(&endpoint.receive(&text)), ["response 200"]);
}

#[test]
fn request_beyond_the_limit_gets_503_and_costs_no_state() {
    let config = TransactionConfig { max_transactions: 1, ..TransactionConfig::default() };
    let mut endpoint = Endpoint::with(Transport::Udp, config);
    endpoint.accept(&incoming("INVITE", "a"));
    let outputs = endpoint.receive(&incoming("INVITE", "b"));
    assert_eq!(kinds(&outputs), ["send 503"]);
    assert!(sent(&outputs)[0].contains("\r\nRetry-After: 10\r\n"));
    assert_eq!(endpoint.layer.live(), 1);
    assert_eq!(endpoint.layer.counters().refused_for_overload, 1);
    let to = endpoint.peer;
    assert_eq!(endpoint.layer.send_request(endpoint.now, to, request(Method::Options)), Err(SendError::Full));
}

#[test]
fn malformed_request_gets_400_and_a_keep_alive_nothing() {
    let mut endpoint = Endpoint::new(Transport::Udp);
    let peer = endpoint.peer;
    let bad = incoming("INVITE", "a").replace("CSeq: 1 INVITE", "CSeq: one INVITE");
    let error = endpoint.layer.on_bytes(endpoint.now, peer, bad.as_bytes()).expect_err("malformed");
    assert_eq!((error.part, error.problem), (Part::Header(HeaderName::CSeq), Problem::Syntax));
    assert_eq!(&bad[error.offset..error.offset + 3], "one");
    assert_eq!(kinds(&endpoint.outputs()), ["send 400"]);
    assert_eq!(endpoint.layer.on_bytes(endpoint.now, peer, b"\r\n\r\n"), Ok(()));
    assert!(endpoint.layer.on_bytes(endpoint.now, peer, b"junk").is_err());
    assert_eq!(endpoint.outputs(), []);
    assert_eq!((endpoint.layer.counters().malformed, endpoint.layer.counters().keep_alives), (2, 1));
    assert_eq!(endpoint.layer.live(), 0);
}

#[test]
fn responses_go_where_via_says() {
    // (Via, where from, where to, what the Via of the response says)
    for (via, from, to, echoed) in [
        ("192.0.2.2:5070;branch=z9hG4bKa", "192.0.2.2:40000", "192.0.2.2:5070", "192.0.2.2:5070;branch=z9hG4bKa"),
        ("192.0.2.2;branch=z9hG4bKa", "192.0.2.2:40000", "192.0.2.2:5060", "192.0.2.2;branch=z9hG4bKa"),
        (
            "10.0.0.1:5070;branch=z9hG4bKa",
            "192.0.2.2:40000",
            "192.0.2.2:5070",
            "10.0.0.1:5070;branch=z9hG4bKa;received=192.0.2.2",
        ),
        (
            "10.0.0.1:5070;rport;branch=z9hG4bKa",
            "192.0.2.2:40000",
            "192.0.2.2:40000",
            "10.0.0.1:5070;branch=z9hG4bKa;received=192.0.2.2;rport=40000",
        ),
        (
            "192.0.2.2;maddr=192.0.2.99;received=6.6.6.6;branch=z9hG4bKa",
            "192.0.2.2:40000",
            "192.0.2.99:5060",
            "192.0.2.2;maddr=192.0.2.99;branch=z9hG4bKa",
        ),
        (
            "[2001:db8::1];branch=z9hG4bKa",
            "[2001:db8::2]:40000",
            "[2001:db8::2]:5060",
            "[2001:db8::1];branch=z9hG4bKa;received=2001:db8::2",
        ),
    ] {
        let mut endpoint = Endpoint::new(Transport::Udp);
        endpoint.peer.remote = from.parse().expect("an address");
        let (id, request) = endpoint.accept(&incoming("OPTIONS", "a").replace("192.0.2.2:5060;branch=z9hG4bKa", via));
        let outputs = endpoint.respond(id, &request, 200).expect("a transaction");
        let Output::Send { to: target, .. } = &outputs[0] else { panic!("{outputs:?}") };
        assert_eq!(target.remote, to.parse().expect("an address"), "{via}");
        assert!(sent(&outputs)[0].contains(&format!("\r\nVia: SIP/2.0/UDP {echoed}\r\n")), "{:?}", sent(&outputs));
    }
}

#[test]
fn every_via_of_the_request_is_copied_in_order() {
    let mut endpoint = Endpoint::new(Transport::Udp);
    let vias = "192.0.2.2:5060;branch=z9hG4bKa , SIP/2.0/TCP p2.example.com;branch=z9hG4bKp2\r\nVia: SIP/2.0/UDP p3.example.com";
    let (id, request) = endpoint.accept(&incoming("OPTIONS", "a").replace("192.0.2.2:5060;branch=z9hG4bKa", vias));
    let outputs = endpoint.respond(id, &request, 200).expect("a transaction");
    let Message::Response(response) = message(&sent(&outputs)[0]) else { panic!("a response") };
    let hosts: Vec<_> = response.vias().map(|via| via.expect("a Via").host).collect();
    assert_eq!(hosts, ["192.0.2.2", "p2.example.com", "p3.example.com"]);
}

#[test]
fn over_a_connection_responses_go_back_on_it() {
    let mut endpoint = Endpoint::new(Transport::Tcp);
    endpoint.peer.remote = "192.0.2.2:40000".parse().expect("an address");
    let (id, request) = endpoint.accept(&incoming("OPTIONS", "a"));
    let outputs = endpoint.respond(id, &request, 200).expect("a transaction");
    assert!(matches!(&outputs[0], Output::Send { to, .. } if *to == endpoint.peer));
}

#[test]
fn transport_error_ends_only_what_uses_that_peer() {
    let mut endpoint = Endpoint::new(Transport::Tcp);
    let (first, _) = endpoint.send(Method::Invite);
    endpoint.peer.remote = "192.0.2.3:5060".parse().expect("an address");
    let (second, _) = endpoint.send(Method::Invite);
    let peer = endpoint.peer;
    endpoint.layer.on_transport_error(endpoint.now, peer);
    let second = Tx::Client(second);
    assert_eq!(endpoint.outputs(), [Output::TransportFailed { id: second }, Output::Terminated { id: second }]);
    assert_eq!(endpoint.client_state(first), Some(State::Calling));
}

#[test]
fn names_do_not_come_back() {
    let mut endpoint = Endpoint::new(Transport::Tcp);
    let (first, branch) = endpoint.send(Method::Options);
    endpoint.receive(&answer("OPTIONS", &branch, 200));
    let (second, _) = endpoint.send(Method::Options);
    assert_ne!(first, second);
    assert_eq!(endpoint.client_state(first), None);
    assert_eq!(endpoint.layer.cancel(endpoint.now, first, None), Err(CancelError::Gone));
}

#[test]
fn via_of_requests_names_the_configured_host() {
    let config = TransactionConfig { sent_by: Some("gw.example.com:5080".to_owned()), ..TransactionConfig::default() };
    let mut endpoint = Endpoint::with(Transport::Udp, config);
    let to = endpoint.peer;
    endpoint.layer.send_request(endpoint.now, to, request(Method::Options)).expect("a request");
    let outputs = endpoint.outputs();
    let Message::Request(options) = message(&sent(&outputs)[0]) else { panic!("a request") };
    let via = options.top_via();
    assert_eq!((via.transport, via.host, via.port, via.has_rport()), ("UDP", "gw.example.com", Some(5080), true));
}
