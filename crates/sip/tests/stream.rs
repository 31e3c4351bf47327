//! Messages out of a stream (RFC 3261 section 18.3, RFC 5626 section 4.4.1).

use tandem_sip::*;

const OPTIONS: &str = "OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/TCP h;branch=z9hG4bKx\r\nFrom: <sip:c@d>;tag=1\r\n\
                       To: <sip:a@b>\r\nCall-ID: x\r\nCSeq: 1 OPTIONS\r\n";

fn message(more: &str, body: &str) -> String {
    format!("{OPTIONS}{more}\r\n{body}")
}

/// Messages as text, pings as an empty string.
fn frames(framer: &mut StreamFramer) -> Result<Vec<String>, FramingError> {
    let mut all = Vec::new();
    loop {
        match framer.poll_frame()? {
            None => return Ok(all),
            Some(Frame::Ping) => all.push(String::new()),
            Some(Frame::Message(bytes)) => all.push(String::from_utf8(bytes.to_vec()).expect("UTF-8")),
        }
    }
}

#[test]
fn two_messages_in_one_read_are_two_frames() {
    let (one, two) = (message("Content-Length: 4\r\n", "abcd"), message("l : 0\r\n", ""));
    let mut framer = StreamFramer::new(Limits::default());
    framer.on_bytes(format!("{one}\r\n\r\n\r\n{two}rest").as_bytes());
    assert_eq!(frames(&mut framer), Ok(vec![one, String::new(), two.clone()]));
    assert_eq!(framer.pending(), 4);
    assert!(Message::parse(two.as_bytes(), &Limits::default()).is_ok());
}

#[test]
fn cut_at_every_byte_the_frames_are_the_same() {
    let text = format!("\r\n\r\n{}\r\n{}", message("Content-Length:\r\n 4\r\n", "a\r\n\r"), message("l: 0\r\n", ""));
    let mut whole = StreamFramer::new(Limits::default());
    whole.on_bytes(text.as_bytes());
    let expected = frames(&mut whole).expect("frames");
    assert_eq!(expected.len(), 3);
    for cut in 0..text.len() {
        let mut framer = StreamFramer::new(Limits::default());
        let mut all = Vec::new();
        for piece in [&text.as_bytes()[..cut], &text.as_bytes()[cut..]] {
            framer.on_bytes(piece);
            all.extend(frames(&mut framer).expect("frames"));
        }
        assert_eq!(all, expected, "cut at {cut}");
    }
}

#[test]
fn length_that_is_missing_damaged_or_double_ends_the_stream() {
    for (lines, problem) in [
        ("", Problem::Missing),
        ("Content-Length: -1\r\n", Problem::Syntax),
        ("Content-Length: 99999999999\r\n", Problem::Syntax),
        ("Content-Length: 1\r\nl: 1\r\n", Problem::Duplicate),
    ] {
        let mut framer = StreamFramer::new(Limits::default());
        framer.on_bytes(message(lines, "x").as_bytes());
        let failure = frames(&mut framer).expect_err("no length");
        assert_eq!(failure.error.part, Part::Header(HeaderName::ContentLength));
        assert_eq!(failure.error.problem, problem);
        let source = std::net::SocketAddr::from(([192, 0, 2, 1], 5060));
        let answer = respond_to_malformed(&failure.bytes, &failure.error, source, "t").expect("an answer");
        assert!(answer.starts_with(b"SIP/2.0 400 Bad Request - Content-Length"));
        framer.on_bytes(message("l: 0\r\n", "").as_bytes());
        assert_eq!(frames(&mut framer), Ok(vec![]), "nothing comes after an error");
        assert_eq!(framer.pending(), 0);
    }
}

#[test]
fn endless_heads_and_huge_bodies_are_cut_off() {
    let limits = Limits { max_bytes: 500, max_head_bytes: 300, ..Limits::default() };
    let mut framer = StreamFramer::new(limits);
    let mut failure = None;
    for fed in 0.. {
        framer.on_bytes(b"x");
        if let Err(error) = framer.poll_frame() {
            failure = Some((fed, error));
            break;
        }
    }
    let (fed, error) = failure.expect("an end");
    assert_eq!((fed, error.error.problem), (300, Problem::TooLong));
    let mut framer = StreamFramer::new(limits);
    framer.on_bytes(message("l: 400\r\n", "").as_bytes());
    assert_eq!(frames(&mut framer).expect_err("too long").error.problem, Problem::TooLong);
}
