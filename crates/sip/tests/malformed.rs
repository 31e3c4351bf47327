//! Requests that cannot be read are answered where that is possible (RFC 3261 section 21.4.1).

use std::net::SocketAddr;

use tandem_sip::*;

fn source() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 9], 4000))
}

fn request(lines: &[&str]) -> String {
    format!("{}\r\n\r\n", lines.join("\r\n"))
}

fn answer(text: &str, limits: &Limits) -> (ParseError, Option<String>) {
    let error = Message::parse(text.as_bytes(), limits).expect_err("malformed");
    let response = respond_to_malformed(text.as_bytes(), &error, source(), "mytag");
    (error, response.map(|bytes| String::from_utf8(bytes).expect("UTF-8")))
}

const GOOD: [&str; 7] = [
    "INVITE sip:a@b SIP/2.0",
    "Via: SIP/2.0/UDP h;branch=z9hG4bKx;rport",
    "Via: SIP/2.0/UDP g;branch=z9hG4bKy",
    "From: <sip:c@d>;tag=1",
    "To: <sip:a@b>",
    "Call-ID: x",
    "CSeq: 7 INVITE",
];

/// The good request with one line replaced; an empty one is left out.
fn with(line: usize, text: &'static str) -> String {
    let mut lines = GOOD.to_vec();
    lines[line] = text;
    lines.retain(|line| !line.is_empty());
    request(&lines)
}

#[test]
fn answer_copies_what_identifies_the_request_and_names_the_fault() {
    let (_, response) = answer(&with(4, "To: \"open <sip:a@b>"), &Limits::default());
    assert_eq!(
        response.expect("an answer"),
        "SIP/2.0 400 Bad Request - To: malformed\r\n\
         Via: SIP/2.0/UDP h;branch=z9hG4bKx;received=192.0.2.9;rport=4000\r\n\
         Via: SIP/2.0/UDP g;branch=z9hG4bKy\r\n\
         From: <sip:c@d>;tag=1\r\n\
         To: \"open <sip:a@b>;tag=mytag\r\n\
         Call-ID: x\r\n\
         CSeq: 7 INVITE\r\n\
         Content-Length: 0\r\n\r\n"
    );
}

#[test]
fn missing_and_repeated_headers_are_named() {
    for (line, text, reason) in [
        (3, "", "From: missing"),
        (4, "", "To: missing"),
        (5, "", "Call-ID: missing"),
        (5, "i: x\r\nCall-ID: y", "Call-ID: given more than once"),
        (5, "Call-ID: x\r\nno colon", "extension header: malformed"),
        (5, "Call-ID: x\r\nl: 5", "Content-Length: ends too early"),
        (5, "Call-ID: x\r\nMax-Forwards: 256", "Max-Forwards: number out of range"),
        (6, "CSeq: 7 BYE", "CSeq: method differs from the request line"),
    ] {
        let (_, response) = answer(&with(line, text), &Limits::default());
        let response = response.expect("an answer");
        assert!(response.starts_with(&format!("SIP/2.0 400 Bad Request - {reason}\r\n")), "{response}");
    }
}

#[test]
fn limits_and_versions_have_statuses_of_their_own() {
    let small = Limits { max_headers: 5, ..Limits::default() };
    let (error, response) = answer(&request(&GOOD), &small);
    assert_eq!(error.problem, Problem::TooMany);
    assert!(response.expect("an answer").starts_with("SIP/2.0 513 Message Too Large\r\n"));
    let small = Limits { max_uri_bytes: 3, ..Limits::default() };
    assert!(answer(&request(&GOOD), &small).1.expect("an answer").starts_with("SIP/2.0 414 Request-URI Too Long\r\n"));
    let small = Limits { max_head_bytes: 100, ..Limits::default() };
    assert!(answer(&request(&GOOD), &small).1.expect("an answer").starts_with("SIP/2.0 513 "));
    let small = Limits { max_bytes: 150, ..Limits::default() };
    assert!(answer(&request(&GOOD), &small).1.expect("an answer").starts_with("SIP/2.0 513 "));
    let (_, response) = answer(&with(0, "INVITE sip:a@b SIP/3.0"), &Limits::default());
    assert!(response.expect("an answer").starts_with("SIP/2.0 505 Version Not Supported\r\n"));
}

#[test]
fn what_cannot_or_must_not_be_answered_is_not() {
    for (text, why) in [
        (with(1, "").replace("Via: SIP/2.0/UDP g;branch=z9hG4bKy\r\n", ""), "no Via"),
        (with(6, ""), "no CSeq"),
        (with(0, "ACK sip:a@b SIP/2.0"), "ACK"),
        (with(0, "SIP/2.0 2000 OK"), "a response"),
        (with(0, "SIP/2.0 abc OK"), "a response"),
        (with(0, "IN(VITE sip:a@b SIP/2.0"), "no method"),
        (with(0, "INVITE"), "no request line"),
        ("\r\n".to_owned(), "a keep-alive"),
        ("\0\0\0\0".to_owned(), "noise"),
    ] {
        assert_eq!(answer(&text, &Limits::default()).1, None, "{why}");
    }
}

#[test]
fn folded_lines_are_put_together() {
    let (_, response) = answer(&with(3, "From: <sip:c@d>\r\n ;tag=1\r\nSubject: a\r\n b\r\nX"), &Limits::default());
    let response = response.expect("an answer");
    assert!(response.contains("\r\nFrom: <sip:c@d> ;tag=1\r\n"), "{response}");
    assert!(!response.contains("Subject") && !response.contains(" b"), "{response}");
}

#[test]
fn latin_1_names_are_mended_in_headers_only() {
    let mut bytes = with(3, "From: \"M?ller\" <sip:c@d>;tag=1").into_bytes();
    let at = bytes.iter().position(|&b| b == b'?').expect("a question mark");
    bytes[at] = 0xfc;
    let Ok(Message::Request(read)) = Message::parse(&bytes, &Limits::default()) else { panic!("a request") };
    assert_eq!(read.from().display_text(), Some("M?ller"));
    let mut bytes = request(&GOOD).into_bytes();
    bytes[12] = 0xfc;
    let error = Message::parse(&bytes, &Limits::default()).expect_err("malformed");
    assert_eq!((error.part, error.offset), (Part::StartLine, 12));
}

#[test]
fn bare_line_ends_are_refused_where_they_are() {
    for (text, at) in [(with(4, "To: <sip:a@b>\nX: y"), '\n'), (with(4, "To: <sip:a@b>\rX: y"), '\r')] {
        let error = Message::parse(text.as_bytes(), &Limits::default()).expect_err("malformed");
        assert_eq!(error.part, Part::Framing);
        assert_eq!(char::from(text.as_bytes()[error.offset]), at);
    }
}

#[test]
fn offsets_count_from_the_first_byte_given() {
    let text = format!("\r\n\r\n{}", with(6, "CSeq: x INVITE"));
    let error = Message::parse(text.as_bytes(), &Limits::default()).expect_err("malformed");
    assert_eq!(&text[error.offset..error.offset + 8], "x INVITE");
    assert_eq!(error.to_string(), format!("CSeq: malformed (at byte {})", error.offset));
}
