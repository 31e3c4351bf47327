//! The checks of RFC 3261 section 8.2, and what the responses say.

use tandem_sip::uas::{self, Capabilities};
use tandem_sip::*;

fn request(method: Method, uri: &str) -> RequestBuilder {
    RequestBuilder::new(method, uri)
        .via("SIP/2.0/UDP h;branch=z9hG4bKx")
        .from("<sip:c@d>;tag=1")
        .to("<sip:a@b>")
        .call_id("x")
        .cseq(1)
}

/// The response to a request that is refused.
fn refusal(request: RequestBuilder) -> Option<Response> {
    let methods = [Method::Invite, Method::Ack, Method::Cancel, Method::Options];
    let capabilities =
        Capabilities { methods: &methods, option_tags: &["timer"], content_types: &["application/sdp", "text/plain"] };
    let request = request.build().expect("a request");
    let refusal = uas::check(&request, &capabilities).err()?;
    let response = refusal.response(&request, "tag").expect("a response");
    assert_eq!(response.status(), refusal.status());
    Some(response)
}

fn passes(request: RequestBuilder) -> bool {
    refusal(request).is_none()
}

fn refused(request: RequestBuilder, status: StatusCode) -> Response {
    let response = refusal(request).expect("a refusal");
    assert_eq!(response.status(), status);
    response
}

#[test]
fn ordinary_request_passes() {
    let sdp = || request(Method::Invite, "sip:a@b").body("application/sdp", &b"v=0\r\n"[..]);
    assert!(passes(sdp()));
    assert!(passes(sdp().header(HeaderName::Require, "Timer")));
    assert!(passes(request(Method::Invite, "tel:+1234")));
}

#[test]
fn method_is_not_allowed_or_not_implemented() {
    let response = refused(request(Method::Publish, "sip:a@b"), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(response.value(HeaderName::Allow), Some("INVITE, ACK, CANCEL, OPTIONS"));
    refused(request(Method::Other("FOO".into()), "sip:a@b"), StatusCode::NOT_IMPLEMENTED);
}

#[test]
fn unknown_scheme_is_unsupported() {
    refused(request(Method::Invite, "isbn:123"), StatusCode::UNSUPPORTED_URI_SCHEME);
}

#[test]
fn unknown_extensions_are_named() {
    let response = refused(
        request(Method::Invite, "sip:a@b").header(HeaderName::Require, "timer, foo").header(HeaderName::Require, "bar"),
        StatusCode::BAD_EXTENSION,
    );
    assert_eq!(response.value(HeaderName::Unsupported), Some("foo, bar"));
    let cancel = request(Method::Cancel, "sip:a@b").header(HeaderName::Require, "foo");
    assert!(passes(cancel), "Require has no meaning in CANCEL (section 8.2.2.3)");
}

#[test]
fn body_of_unknown_type_is_refused_unless_optional() {
    let body = |kind| request(Method::Invite, "sip:a@b").body(kind, &b"x"[..]);
    let response = refused(body("application/isup"), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(response.value(HeaderName::Accept), Some("application/sdp, text/plain"));
    let optional = body("application/isup").header(HeaderName::ContentDisposition, "signal ; handling = Optional");
    assert!(passes(optional));
    let zipped = body("application/sdp").header(HeaderName::ContentEncoding, "gzip");
    let response = refused(zipped, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(response.value(HeaderName::AcceptEncoding), Some("identity"));
    assert!(passes(body("application/sdp").header(HeaderName::ContentEncoding, "identity")));
    refused(body("sdp"), StatusCode::BAD_REQUEST);
}

#[test]
fn body_without_a_type_is_malformed() {
    let text = "INVITE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP h\r\nFrom: <sip:c@d>\r\nTo: <sip:a@b>\r\nCall-ID: x\r\n\
                CSeq: 1 INVITE\r\n\r\nv=0";
    let Ok(Message::Request(request)) = Message::parse(text.as_bytes(), &Limits::default()) else {
        panic!("a request")
    };
    assert_eq!(
        uas::check_content(&request, &["application/sdp"]).map_err(|r| r.status()),
        Err(StatusCode::BAD_REQUEST)
    );
}

#[test]
fn hops_run_out() {
    refused(request(Method::Invite, "sip:a@b").max_forwards(0), StatusCode::TOO_MANY_HOPS);
    assert!(passes(request(Method::Invite, "sip:a@b").max_forwards(1)));
    assert!(passes(request(Method::Options, "sip:a@b").max_forwards(0)));
}

#[test]
fn malformed_addresses_are_named() {
    for (name, value) in [
        (HeaderName::Contact, "sip:a@b?x=y"),
        (HeaderName::Route, "sip:"),
        (HeaderName::RecordRoute, "<sip:a>, nothing"),
        (HeaderName::Via, "SIP/2.0/UDP"),
    ] {
        let bad = request(Method::Invite, "sip:a@b").header(name, value);
        let response = refused(bad, StatusCode::BAD_REQUEST);
        assert_eq!(response.reason(), format!("Bad Request - {name}: malformed"));
    }
}

#[test]
fn ack_is_never_refused() {
    assert!(passes(request(Method::Ack, "isbn:1").max_forwards(0).header(HeaderName::Require, "foo")));
}
