//! The torture test messages of RFC 4475 against the switch: over UDP, over TCP in one piece, and over TCP octet by octet.
//!
//! `crates/sip/tests/rfc4475.rs` says which layer objects to each message and why; here it is told what its sender sees.
#![allow(missing_docs)]

mod support;

use std::path::PathBuf;

use support::{ALICE, GATEWAY, Sip, Stage, config};
use tandem_call::{Listener, ListenerId, Output, SwitchConfig, Transport};

/// What the sender of a message sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    /// The message is understood: a response that does not call it malformed.
    Answer,
    /// A response of this status, since it is malformed.
    Refusal(u16),
    /// Nothing: it is a response, or nobody can be told.
    Silence,
}

use Seen::*;

/// What a stream does after the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// The next message is read.
    GoesOn,
    /// It is closed: where the next message begins cannot be known (RFC 3261 §18.3).
    Closes,
    /// It waits for the rest of the message, until that takes too long.
    Waits,
}

use Then::*;

/// File, what is seen over UDP, what over TCP, what becomes of the stream, and why.
const TABLE: &[(&str, Seen, Seen, Then, &str)] = &[
    ("TC_WSINV", Answer, Answer, GoesOn, "short and odd, and right"),
    ("TC_INTMETH", Answer, Answer, GoesOn, "a method that nobody implements is a method"),
    ("TC_ESC01_V", Answer, Answer, GoesOn, "escapes"),
    ("TC_ESCNULL_V", Answer, Answer, GoesOn, "an escaped NUL"),
    ("TC_ESC02_V", Answer, Answer, GoesOn, "escapes mean nothing in methods"),
    ("TC_LWSDISP_V", Answer, Answer, GoesOn, "no space before <"),
    ("TC_LONGREQ_V", Answer, Answer, GoesOn, "long values"),
    ("TC_DBLREQ", Answer, Answer, Closes, "a stream holds two requests, and octets beyond the second one's length"),
    ("TC_SEMIURI_V", Answer, Answer, GoesOn, "semicolons in the user part"),
    ("TC_TRANSPORTS_V", Answer, Answer, GoesOn, "unknown transports in Via"),
    ("TC_MPART01", Answer, Answer, GoesOn, "binary body"),
    ("TC_UNREASON_V", Silence, Silence, GoesOn, "a response to nothing"),
    ("TC_NOREASON_V", Silence, Silence, GoesOn, "a response to nothing"),
    ("TC_BADINV01_I", Refusal(400), Refusal(400), GoesOn, "empty parameters in Via"),
    ("TC_CLERR_I", Refusal(400), Silence, Waits, "shorter than it says; on a stream the rest may yet come"),
    ("TC_NCL_I", Refusal(400), Refusal(400), Closes, "a negative length"),
    ("TC_SCALAR02_V", Refusal(400), Refusal(400), GoesOn, "CSeq above 32 bits"),
    ("TC_SCALARLG_V", Silence, Silence, GoesOn, "the same in a response"),
    ("TC_QUOTBAL_I", Refusal(400), Refusal(400), GoesOn, "unbalanced quote"),
    ("TC_LTGTRURI_I", Refusal(400), Refusal(400), GoesOn, "angle brackets"),
    ("TC_LWSRURI_I", Refusal(400), Refusal(400), GoesOn, "space in the Request-URI"),
    ("TC_LWSSTART_V", Refusal(400), Refusal(400), GoesOn, "two spaces"),
    ("TC_TRWS_I", Refusal(400), Refusal(400), GoesOn, "spaces behind the version"),
    ("TC_ESCRURI_V", Refusal(400), Refusal(400), GoesOn, "headers in the Request-URI"),
    ("TC_BADDATE_V", Answer, Answer, GoesOn, "a wrong time zone that nobody needs"),
    ("TC_REGBADCT_I", Answer, Answer, GoesOn, "a Contact for whoever registers to judge"),
    ("TC_BADASPEC_I", Refusal(400), Refusal(400), GoesOn, "spaces within angle brackets"),
    ("TC_BADDN_I", Refusal(400), Silence, Waits, "no empty line behind the headers"),
    ("TC_BADVERS_V", Refusal(505), Refusal(505), GoesOn, "SIP/7.0"),
    ("TC_MISMATCH01_V", Refusal(400), Refusal(400), GoesOn, "CSeq of another method"),
    ("TC_MISMATCH02_V", Refusal(400), Refusal(400), GoesOn, "the same with an unknown method"),
    ("TC_BIGCODE_V", Silence, Silence, GoesOn, "status code of ten digits"),
    ("TC_BADBRANCH_V", Answer, Answer, GoesOn, "a branch of RFC 2543"),
    ("TC_INSUF_I", Refusal(400), Refusal(400), GoesOn, "headers missing"),
    ("TC_UNKSCM_V", Answer, Answer, GoesOn, "unknown scheme"),
    ("TC_NOVELSC_V", Answer, Answer, GoesOn, "known scheme that is not understood"),
    ("TC_UNKSM2_V", Answer, Answer, GoesOn, "unknown schemes in addresses"),
    ("TC_BEXT01_V", Answer, Answer, GoesOn, "unknown extensions"),
    ("TC_INVUT_V", Answer, Answer, GoesOn, "unknown body type"),
    ("TC_REGAUT01_V", Answer, Answer, GoesOn, "unknown authorization"),
    ("TC_MULTI01_I", Refusal(400), Refusal(400), GoesOn, "single headers repeated, but not Content-Length"),
    ("TC_MCL01_I", Refusal(400), Refusal(400), Closes, "two lengths"),
    ("TC_BCAST_V", Silence, Silence, GoesOn, "a response with two Via"),
    ("TC_ZEROMF_V", Answer, Answer, GoesOn, "Max-Forwards 0 on OPTIONS"),
    ("TC_CPARAM01_V", Answer, Answer, GoesOn, "unknown Contact parameter"),
    ("TC_CPARAM02_V", Answer, Answer, GoesOn, "unknown URI parameter"),
    ("TC_REGESCRT_V", Answer, Answer, GoesOn, "escaped headers of a Contact"),
    ("TC_SDP01_V", Answer, Answer, GoesOn, "Accept without what we speak"),
    ("TC_INV2543_I", Answer, Refusal(400), Closes, "no Content-Length, which streams need (RFC 3261 §18.3)"),
    ("TC_TEST_I", Silence, Silence, GoesOn, "no version"),
];

const TCP: ListenerId = ListenerId(1);

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

fn switch() -> SwitchConfig {
    let mut config = config();
    config.listeners.push(Listener {
        name: "tcp".to_owned(),
        advertised: GATEWAY,
        transport: Transport::Tcp,
        authenticates: false,
    });
    config
}

/// Of a first response, whether it says that the message is malformed. A 400 that names no part is the registrar's or
/// another user's.
fn seen(response: Option<Sip>) -> Seen {
    match response {
        None => Silence,
        Some(sip)
            if sip.start.starts_with("SIP/2.0 400 Bad Request - ") && !sip.start.ends_with("Contact: malformed") =>
        {
            Refusal(400)
        }
        Some(sip) if sip.status() == Some(505) => Refusal(505),
        Some(_) => Answer,
    }
}

fn over_udp(bytes: &[u8]) -> Seen {
    let mut stage = Stage::with(switch());
    stage.alice_sends(bytes);
    // 100 Trying is a response too.
    stage.pass_ms(300);
    let first = stage.wire.first().map(|(_, bytes)| Sip::parse(bytes));
    seen(first)
}

fn over_tcp<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Seen, Then) {
    let mut stage = Stage::with(switch());
    let id = stage.switch.on_accepted(stage.now, TCP, ALICE).expect("room");
    stage.switch.on_connected(stage.now, id);
    for piece in pieces {
        stage.switch.on_stream_bytes(stage.now, id, piece);
        stage.settle();
    }
    stage.pass_ms(300);
    let first = stage.connections.iter().find_map(|output| match output {
        Output::Stream { connection, bytes } if *connection == id => Some(Sip::parse(bytes)),
        _ => None,
    });
    if stage.connections.contains(&Output::Disconnect { connection: id }) {
        return (seen(first), Closes);
    }
    // Whoever is heard afterwards was not waited for.
    let before = stage.connections.len();
    let next = format!(
        "OPTIONS sip:{GATEWAY} SIP/2.0\r\nVia: SIP/2.0/TCP {ALICE};branch=z9hG4bKafter\r\nFrom: <sip:a@{ALICE}>;tag=after\r\n\
         To: <sip:{GATEWAY}>\r\nCall-ID: after\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
    );
    stage.switch.on_stream_bytes(stage.now, id, next.as_bytes());
    stage.settle();
    let answered =
        stage.connections.iter().skip(before).any(
            |output| matches!(output, Output::Stream { bytes, .. } if Sip::parse(bytes).header("Call-ID") == "after"),
        );
    (seen(first), if answered { GoesOn } else { Waits })
}

#[test]
fn every_message_is_answered_as_its_layer_says_over_udp_and_over_tcp_split_at_every_octet() {
    let Some(folder) = folder() else { return };
    let mut wrong = Vec::new();
    for &(file, udp, tcp, then, why) in TABLE {
        let bytes = std::fs::read(folder.join(format!("{file}.dat"))).expect(file);
        let in_one = over_tcp(std::iter::once(&bytes[..]));
        let by_octet = over_tcp(bytes.chunks(1));
        assert_eq!(in_one, by_octet, "{file}: how a stream is cut makes no difference");
        let found = (over_udp(&bytes), in_one.0, in_one.1);
        if found != (udp, tcp, then) {
            wrong.push(format!("{file} ({why}): {found:?}, expected {:?}", (udp, tcp, then)));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_message_cut_in_two_anywhere_is_the_same_message() {
    let Some(folder) = folder() else { return };
    for &(file, ..) in TABLE {
        let bytes = std::fs::read(folder.join(format!("{file}.dat"))).expect(file);
        let whole = over_tcp(std::iter::once(&bytes[..]));
        for at in (1..bytes.len()).step_by(7) {
            let (first, second) = bytes.split_at(at);
            assert_eq!(over_tcp([first, second].into_iter()), whole, "{file} cut at {at}");
        }
    }
}
