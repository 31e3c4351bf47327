//! Dialogs (RFC 3261 section 12).

use tandem_sip::*;

fn invite() -> RequestBuilder {
    RequestBuilder::new(Method::Invite, "sip:bob@example.com")
        .via("SIP/2.0/UDP h;branch=z9hG4bKx")
        .from("\"Alice\" <sip:alice@example.com>;tag=a;other=1")
        .to("<sip:bob@example.com>")
        .call_id("call")
        .cseq(10)
        .contact("sip:alice@192.0.2.1")
}

const ROUTES: [&str; 2] = ["<sip:p1.example.com;lr>;x=1", "<sip:p2.example.com;lr>"];

fn routed(request: RequestBuilder) -> Request {
    request.header(HeaderName::RecordRoute, &ROUTES.join(", ")).build().expect("a request")
}

fn answer(request: &Request, status: StatusCode) -> ResponseBuilder {
    ResponseBuilder::new(request, status).to_tag("b").contact("sip:bob@192.0.2.2:5070")
}

fn built(request: RequestBuilder) -> Request {
    request.via("SIP/2.0/UDP h;branch=z9hG4bKy").build().expect("a request")
}

fn route_values(request: &Request) -> Vec<String> {
    request.elements(HeaderName::Route).map(str::to_owned).collect()
}

#[test]
fn both_sides_agree_on_a_dialog() {
    let request = routed(invite());
    let mut callee = Dialog::uas(&request, "b", DialogState::Confirmed).expect("a dialog");
    let response = answer(&request, StatusCode::OK).build().expect("a response");
    let mut caller = Dialog::uac(&request, &response).expect("a dialog");
    assert_eq!((&*caller.id.local_tag, &*caller.id.remote_tag), ("a", "b"));
    assert_eq!((&*callee.id.local_tag, &*callee.id.remote_tag), ("b", "a"));
    assert_eq!(caller.state, DialogState::Confirmed);

    let bye = built(caller.request(Method::Bye));
    assert_eq!(bye.uri_text(), "sip:bob@192.0.2.2:5070");
    assert_eq!(bye.cseq_number(), 11);
    assert_eq!(route_values(&bye), [ROUTES[1], ROUTES[0]], "a client reverses Record-Route");
    assert_eq!(bye.from().display_text(), Some("Alice"));
    assert_eq!(DialogId::of_request(&bye), callee.id);
    assert_eq!(callee.on_request(&bye), Ok(()));

    let bye = built(callee.request(Method::Bye));
    assert_eq!(bye.uri_text(), "sip:alice@192.0.2.1");
    assert_eq!(bye.cseq_number(), 1);
    assert_eq!(route_values(&bye), ROUTES, "a server does not");
    assert_eq!(DialogId::of_request(&bye), caller.id);
    assert_eq!(caller.on_request(&bye), Ok(()));
    assert_eq!(caller.next_hop().host(), "p2.example.com");
    assert_eq!(callee.next_hop().host(), "p1.example.com");
}

#[test]
fn ack_of_a_2xx_has_the_number_of_its_invite() {
    let request = routed(invite());
    let response = answer(&request, StatusCode::OK).build().expect("a response");
    let mut dialog = Dialog::uac(&request, &response).expect("a dialog");
    let _ = dialog.request(Method::Info);
    let ack = built(dialog.ack(request.cseq_number()));
    assert_eq!((ack.cseq_number(), ack.cseq_method()), (10, &Method::Ack));
    assert_eq!(dialog.local_cseq, Some(11));
}

#[test]
fn early_dialog_becomes_confirmed_with_the_routes_of_the_2xx() {
    let request = routed(invite());
    let ringing = ResponseBuilder::new(&request, StatusCode::RINGING).to_tag("b").build().expect("a response");
    let mut dialog = Dialog::uac(&request, &ringing).expect("a dialog without Contact yet");
    assert_eq!(dialog.state, DialogState::Early);
    assert_eq!(dialog.remote_target.as_str(), "sip:bob@example.com");
    let plain = invite().build().expect("a request");
    let ok = answer(&plain, StatusCode::OK).build().expect("a response");
    dialog.confirm(&ok).expect("a dialog");
    assert_eq!((dialog.state, dialog.route_set.len()), (DialogState::Confirmed, 0));
    assert_eq!(dialog.next_hop().as_str(), "sip:bob@192.0.2.2:5070");
}

#[test]
fn responses_without_a_contact_make_no_confirmed_dialog() {
    let request = invite().build().expect("a request");
    let ok = ResponseBuilder::new(&request, StatusCode::OK).to_tag("b").build().expect("a response");
    assert_eq!(Dialog::uac(&request, &ok), Err(DialogError::NoContact));
    let bad = ResponseBuilder::new(&request, StatusCode::OK).to_tag("b").header(HeaderName::Contact, "<isbn:1>");
    let bad = bad.build().expect("a response");
    assert_eq!(Dialog::uac(&request, &bad), Err(DialogError::Malformed(HeaderName::Contact)));
    let bad = answer(&request, StatusCode::OK).header(HeaderName::RecordRoute, "junk").build().expect("a response");
    assert_eq!(Dialog::uac(&request, &bad), Err(DialogError::Malformed(HeaderName::RecordRoute)));
}

#[test]
fn requests_out_of_order_are_told() {
    let request = invite().build().expect("a request");
    let mut dialog = Dialog::uas(&request, "b", DialogState::Confirmed).expect("a dialog");
    for (number, expected) in [(10, false), (9, false), (12, true), (11, false), (u32::MAX, true)] {
        let info = built(
            RequestBuilder::new(Method::Info, "sip:b@h")
                .from("<sip:a@h>;tag=a")
                .to("<sip:b@h>;tag=b")
                .call_id("call")
                .cseq(number),
        );
        assert_eq!(dialog.on_request(&info).is_ok(), expected, "{number}");
    }
    let ack = built(
        RequestBuilder::new(Method::Ack, "sip:b@h")
            .from("<sip:a@h>;tag=a")
            .to("<sip:b@h>;tag=b")
            .call_id("call")
            .cseq(10),
    );
    assert_eq!(dialog.on_request(&ack), Ok(()), "ACK repeats the number of its INVITE");
    assert_eq!(dialog.remote_cseq, Some(u32::MAX));
}

#[test]
fn re_invites_move_the_remote_target() {
    let request = routed(invite());
    let mut callee = Dialog::uas(&request, "b", DialogState::Confirmed).expect("a dialog");
    let response = answer(&request, StatusCode::OK).build().expect("a response");
    let mut caller = Dialog::uac(&request, &response).expect("a dialog");
    let again = built(caller.request(Method::Invite).contact("sip:alice@198.51.100.1"));
    callee.on_request(&again).expect("in order");
    assert_eq!(callee.remote_target.as_str(), "sip:alice@198.51.100.1");
    let ok = ResponseBuilder::new(&again, StatusCode::OK).contact("sip:bob@198.51.100.2").build().expect("a response");
    caller.on_response(&ok);
    assert_eq!(caller.remote_target.as_str(), "sip:bob@198.51.100.2");
    assert_eq!(ok.record_routes().count(), 0);
    let busy =
        ResponseBuilder::new(&again, StatusCode::BUSY_HERE).contact("sip:bob@1.1.1.1").build().expect("a response");
    caller.on_response(&busy);
    let info = built(caller.request(Method::Info).contact("sip:alice@1.1.1.1"));
    callee.on_request(&info).expect("in order");
    assert_eq!(caller.remote_target.as_str(), "sip:bob@198.51.100.2", "failures move nothing");
    assert_eq!(callee.remote_target.as_str(), "sip:alice@198.51.100.1", "INFO moves nothing");
}

#[test]
fn strict_router_takes_the_place_of_the_target() {
    let request = invite().header(HeaderName::RecordRoute, "<sip:old.example.com>, <sip:p2.example.com;lr>");
    let mut dialog = Dialog::uas(&request.build().expect("a request"), "b", DialogState::Confirmed).expect("a dialog");
    let bye = built(dialog.request(Method::Bye));
    assert_eq!(bye.uri_text(), "sip:old.example.com");
    assert_eq!(route_values(&bye), ["<sip:p2.example.com;lr>", "<sip:alice@192.0.2.1>"]);
    assert_eq!(dialog.next_hop().host(), "old.example.com");
}

#[test]
fn record_route_is_copied_into_what_makes_a_dialog_only() {
    let request = routed(invite());
    for (status, expected) in
        [(StatusCode::TRYING, 0), (StatusCode::RINGING, 2), (StatusCode::OK, 2), (StatusCode::BUSY_HERE, 0)]
    {
        assert_eq!(answer(&request, status).build().expect("a response").record_routes().count(), expected, "{status}");
    }
}

#[cfg(feature = "serde")]
#[test]
fn a_dialog_can_be_carried_over() {
    let request = routed(invite());
    let mut dialog = Dialog::uas(&request, "b", DialogState::Early).expect("a dialog");
    let text = serde_json::to_string(&dialog).expect("JSON");
    let mut other: Dialog = serde_json::from_str(&text).expect("a dialog");
    assert_eq!(other, dialog);
    assert_eq!(built(other.request(Method::Bye)), built(dialog.request(Method::Bye)));
    assert!(serde_json::from_str::<Dialog>(&text.replace("sip:alice@192.0.2.1", "no URI")).is_err());
}
