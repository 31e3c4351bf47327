//! The torture test messages of RFC 4475: which layer must take or refuse each, and why.

use std::net::SocketAddr;
use std::path::PathBuf;

use tandem_sip::uas::{self, Capabilities};
use tandem_sip::{HeaderName, Limits, Message, Method, Part, Problem, respond_to_malformed};

/// What must become of a message.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Verdict {
    /// A response that is read.
    Response(u16),
    /// A request that passes every check.
    Pass,
    /// A request that is read, and that the checks of RFC 3261 section 8.2 answer with this status.
    Refuse(u16),
    /// The parser objects to this part, and the answer has this status.
    Malformed(Part, Problem, u16),
    /// The parser objects to this part, and there is nobody or nothing to answer.
    Drop(Part, Problem),
}

use Verdict::*;

const fn header(name: HeaderName) -> Part {
    Part::Header(name)
}

/// File, section of RFC 4475, verdict, reason.
const TABLE: &[(&str, &str, Verdict, &str)] = &[
    ("TC_WSINV", "3.1.1.1", Pass, "folding, white space around separators, compact forms, empty Subject"),
    (
        "TC_INTMETH",
        "3.1.1.2",
        Refuse(501),
        "every token character in the method; well-formed, but nobody implements it",
    ),
    ("TC_ESC01_V", "3.1.1.3", Pass, "escapes in user, parameter names and values"),
    ("TC_ESCNULL_V", "3.1.1.4", Pass, "an escaped NUL is a character like others"),
    ("TC_ESC02_V", "3.1.1.5", Refuse(501), "RE%47IST%45R is a method of its own; escapes mean nothing in methods"),
    ("TC_LWSDISP_V", "3.1.1.6", Pass, "no white space between display name and <"),
    ("TC_LONGREQ_V", "3.1.1.7", Pass, "long values"),
    ("TC_DBLREQ", "3.1.1.8", Pass, "what follows Content-Length in a datagram is ignored"),
    ("TC_SEMIURI_V", "3.1.1.9", Pass, "semicolons in the user part are no parameters"),
    ("TC_TRANSPORTS_V", "3.1.1.10", Pass, "unknown transports in Via"),
    ("TC_MPART01", "3.1.1.11", Pass, "NUL and other binary bytes in a multipart body"),
    ("TC_UNREASON_V", "3.1.1.12", Response(200), "UTF-8 in the reason phrase"),
    ("TC_NOREASON_V", "3.1.1.13", Response(100), "no reason phrase"),
    ("TC_BADINV01_I", "3.1.2.1", Malformed(header(HeaderName::Via), Problem::Syntax, 400), "empty parameters"),
    (
        "TC_CLERR_I",
        "3.1.2.2",
        Malformed(header(HeaderName::ContentLength), Problem::Truncated, 400),
        "the datagram is shorter than Content-Length",
    ),
    ("TC_NCL_I", "3.1.2.3", Malformed(header(HeaderName::ContentLength), Problem::Syntax, 400), "negative"),
    ("TC_SCALAR02_V", "3.1.2.4", Malformed(header(HeaderName::CSeq), Problem::Range, 400), "number above 32 bits"),
    ("TC_SCALARLG_V", "3.1.2.5", Drop(header(HeaderName::CSeq), Problem::Range), "the same in a response"),
    ("TC_QUOTBAL_I", "3.1.2.6", Malformed(header(HeaderName::To), Problem::Syntax, 400), "unbalanced quote"),
    ("TC_LTGTRURI_I", "3.1.2.7", Malformed(Part::RequestUri, Problem::Syntax, 400), "Request-URI in angle brackets"),
    ("TC_LWSRURI_I", "3.1.2.8", Malformed(Part::RequestUri, Problem::Syntax, 400), "space inside the Request-URI"),
    ("TC_LWSSTART_V", "3.1.2.9", Malformed(Part::StartLine, Problem::Syntax, 400), "two spaces between elements"),
    ("TC_TRWS_I", "3.1.2.10", Malformed(Part::StartLine, Problem::Syntax, 400), "spaces behind the version"),
    ("TC_ESCRURI_V", "3.1.2.11", Malformed(Part::RequestUri, Problem::Syntax, 400), "headers in the Request-URI"),
    ("TC_BADDATE_V", "3.1.2.12", Pass, "a wrong time zone in Date, which nothing here depends on"),
    ("TC_REGBADCT_I", "3.1.2.13", Refuse(400), "Contact with ? outside angle brackets"),
    (
        "TC_BADASPEC_I",
        "3.1.2.14",
        Malformed(header(HeaderName::To), Problem::Syntax, 400),
        "spaces within angle brackets",
    ),
    // The stored copy also lacks the empty line behind the headers; see below for the message with it.
    ("TC_BADDN_I", "3.1.2.15", Malformed(Part::Framing, Problem::Truncated, 400), "no empty line behind the headers"),
    ("TC_BADVERS_V", "3.1.2.16", Malformed(Part::StartLine, Problem::Version, 505), "SIP/7.0"),
    (
        "TC_MISMATCH01_V",
        "3.1.2.17",
        Malformed(header(HeaderName::CSeq), Problem::MethodMismatch, 400),
        "CSeq has another method than the request line",
    ),
    (
        "TC_MISMATCH02_V",
        "3.1.2.18",
        Malformed(header(HeaderName::CSeq), Problem::MethodMismatch, 400),
        "the same with an unknown method: what cannot be read goes before what is not implemented",
    ),
    ("TC_BIGCODE_V", "3.1.2.19", Drop(Part::StartLine, Problem::Range), "status code of ten digits"),
    ("TC_BADBRANCH_V", "3.2.1", Pass, "a branch that is only the magic cookie counts as RFC 2543"),
    ("TC_INSUF_I", "3.3.1", Malformed(header(HeaderName::From), Problem::Missing, 400), "From, To and Call-ID missing"),
    ("TC_UNKSCM_V", "3.3.2", Refuse(416), "unknown scheme"),
    ("TC_NOVELSC_V", "3.3.3", Refuse(416), "known scheme that is not understood"),
    ("TC_UNKSM2_V", "3.3.4", Pass, "unknown schemes in To, From and Contact are for the registrar to judge"),
    ("TC_BEXT01_V", "3.3.5", Refuse(420), "Require of unknown extensions"),
    ("TC_INVUT_V", "3.3.6", Refuse(415), "unknown body type"),
    ("TC_REGAUT01_V", "3.3.7", Pass, "unknown Authorization scheme: a registrar challenges, if it wants to"),
    ("TC_MULTI01_I", "3.3.8", Malformed(header(HeaderName::CSeq), Problem::Duplicate, 400), "single headers repeated"),
    (
        "TC_MCL01_I",
        "3.3.9",
        Malformed(header(HeaderName::ContentLength), Problem::Duplicate, 400),
        "two Content-Length that differ",
    ),
    ("TC_BCAST_V", "3.3.10", Response(200), "a second Via: read here, dropped as stray where it is matched"),
    ("TC_ZEROMF_V", "3.3.11", Pass, "Max-Forwards 0 does not matter to who answers OPTIONS itself"),
    ("TC_CPARAM01_V", "3.3.12", Pass, "unknown header parameter of Contact"),
    ("TC_CPARAM02_V", "3.3.13", Pass, "unknown URI parameter of Contact"),
    ("TC_REGESCRT_V", "3.3.14", Pass, "escaped headers of a Contact URI in angle brackets"),
    ("TC_SDP01_V", "3.3.15", Pass, "Accept without a type that is known: for who makes the answer"),
    ("TC_INV2543_I", "3.4.1", Pass, "RFC 2543: no branch, no From tag, no Max-Forwards, no Content-Length"),
    ("TC_TEST_I", "none; of earlier drafts", Drop(Part::StartLine, Problem::Syntax), "no version, no Via, no CSeq"),
];

fn folder() -> Option<PathBuf> {
    let shared = std::env::var_os("TANDEM_SHARED")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared"), PathBuf::from);
    let folder = shared.join("rfc4475");
    if folder.is_dir() {
        return Some(folder);
    }
    assert!(std::env::var_os("TANDEM_REQUIRE_SHARED").is_none(), "no {}", folder.display());
    println!("not run: RFC 4475 messages (no {})", folder.display());
    None
}

fn judge(bytes: &[u8]) -> Verdict {
    let methods =
        [Method::Invite, Method::Ack, Method::Cancel, Method::Bye, Method::Options, Method::Register, Method::Message];
    let capabilities =
        Capabilities { methods: &methods, option_tags: &[], content_types: &["application/sdp", "multipart/mixed"] };
    match Message::parse(bytes, &Limits::default()) {
        Ok(Message::Response(response)) => Response(response.status().as_u16()),
        Ok(Message::Request(request)) => match uas::check(&request, &capabilities) {
            Ok(()) => Pass,
            Err(refusal) => {
                let response = refusal.response(&request, "tag").expect("a response to every refused request");
                assert_eq!(response.status(), refusal.status());
                assert_eq!(response.call_id(), request.call_id());
                Refuse(refusal.status().as_u16())
            }
        },
        Err(error) => {
            let source = SocketAddr::from(([192, 0, 2, 77], 5555));
            match respond_to_malformed(bytes, &error, source, "tag") {
                None => Drop(error.part, error.problem),
                Some(answer) => {
                    let answer = String::from_utf8(answer).expect("a response in UTF-8");
                    let status = answer[8..11].parse().expect("a status");
                    assert!(
                        answer.contains("received=192.0.2.77") || error.part == header(HeaderName::Via),
                        "{answer}"
                    );
                    Malformed(error.part, error.problem, status)
                }
            }
        }
    }
}

#[test]
fn every_message_is_judged_by_the_layer_that_should() {
    let Some(folder) = folder() else { return };
    let mut wrong = Vec::new();
    for (file, section, expected, why) in TABLE {
        let bytes = std::fs::read(folder.join(format!("{file}.dat"))).expect(file);
        let verdict = judge(&bytes);
        if verdict != *expected {
            wrong.push(format!("{file} ({section}, {why}): {verdict:?}, expected {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_message_of_the_folder_is_in_the_table() {
    let Some(folder) = folder() else { return };
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let name = entry.expect("an entry").file_name().into_string().expect("a name");
        let Some(stem) = name.strip_suffix(".dat") else { continue };
        assert!(TABLE.iter().any(|row| row.0 == stem), "{name}");
    }
}

#[test]
fn with_its_empty_line_the_bad_display_name_is_objected_to() {
    let Some(folder) = folder() else { return };
    let mut bytes = std::fs::read(folder.join("TC_BADDN_I.dat")).expect("a message");
    bytes.extend_from_slice(b"\r\n");
    assert_eq!(judge(&bytes), Malformed(header(HeaderName::From), Problem::Syntax, 400));
}

#[test]
fn what_was_read_is_what_was_meant() {
    let Some(folder) = folder() else { return };
    let read = |file: &str| {
        let bytes = std::fs::read(folder.join(format!("{file}.dat"))).expect(file);
        Message::parse(&bytes, &Limits::default()).expect(file)
    };
    let Message::Request(winding) = read("TC_WSINV") else { panic!("a request") };
    assert_eq!(winding.cseq_number(), 9);
    assert_eq!(winding.max_forwards(), Some(68));
    assert_eq!(winding.to_tag(), Some("1918181833n"));
    assert_eq!(winding.from().display_text(), Some(r#"J Rosenberg \\\""#));
    assert_eq!(winding.from_tag(), Some("98asjd8"));
    let vias: Vec<_> = winding.vias().map(|via| via.expect("a Via")).collect();
    assert_eq!(
        vias.iter().map(|via| via.host).collect::<Vec<_>>(),
        ["192.0.2.2", "spindle.example.com", "192.168.255.111"]
    );
    assert_eq!(vias[2].branch(), Some("z9hG4bK30239"));
    assert_eq!(winding.contact().and_then(|contact| contact.params.value("q")), Some("0.33"));
    assert_eq!(winding.extension("newfangledheader"), Some("newfangled value   continued newfangled value"));
    assert!(winding.routes().next().expect("a Route").expect("well-formed").uri().expect("a URI").is_loose_router());
    assert_eq!(winding.body().len(), 150);

    let Message::Request(escaped) = read("TC_ESC02_V") else { panic!("a request") };
    assert_eq!(escaped.method().as_str(), "RE%47IST%45R");
    assert_eq!(escaped.contacts().count(), 2, "C%6Fntact is no Contact");

    let Message::Request(double) = read("TC_DBLREQ") else { panic!("a request") };
    assert_eq!((double.method(), double.body().len()), (&Method::Register, 0));

    let Message::Request(old) = read("TC_INV2543_I") else { panic!("a request") };
    assert_eq!((old.top_via().branch(), old.from_tag(), old.max_forwards()), (None, None, None));
}
