//! Session descriptions as they are met in the field, and ones that should not be.
#![allow(missing_docs)]

use std::net::Ipv4Addr;

use tandem_contract::{Codec, Direction};
use tandem_sdp::{Encoding, MAX_LINES, MAX_OCTETS, ParseError, SessionDescription};

fn parse(text: &str) -> SessionDescription {
    SessionDescription::parse(text.as_bytes()).expect("parses")
}

fn codecs(description: &SessionDescription) -> Vec<Option<Codec>> {
    description.media[0].encodings.iter().map(Encoding::codec).collect()
}

const HEAD: &str = "v=0\r\no=- 7 3 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\n";

#[test]
fn an_ordinary_desk_phone_offer_is_read_in_full() {
    let text = format!(
        "{HEAD}m=audio 17002 RTP/AVP 9 8 0 18 101\r\na=rtpmap:9 G722/8000\r\na=rtpmap:8 PCMA/8000\r\n\
         a=rtpmap:0 PCMU/8000\r\na=rtpmap:18 G729/8000\r\na=fmtp:18 annexb=no\r\n\
         a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=ptime:20\r\na=maxptime:40\r\n\
         a=rtcp:17003 IN IP4 192.0.2.10\r\na=sendrecv\r\n"
    );
    let description = parse(&text);
    assert_eq!((description.origin.session_id.as_str(), description.origin.version), ("7", 3));
    let audio = &description.media[0];
    assert_eq!(audio.remote(), Some((Ipv4Addr::new(192, 0, 2, 9), 17002).into()));
    assert_eq!(
        codecs(&description),
        [Some(Codec::G722), Some(Codec::Pcma), Some(Codec::Pcmu), Some(Codec::G729), None]
    );
    assert!(!audio.encodings[3].fmtp.annexb());
    assert!(audio.encodings[4].is_telephone_event());
    assert_eq!((audio.ptime_ms, audio.maxptime_ms), (Some(20), Some(40)));
    let rtcp = audio.rtcp.expect("a=rtcp is read");
    assert_eq!((rtcp.port, rtcp.address), (17003, Some(Ipv4Addr::new(192, 0, 2, 10).into())));
    assert_eq!(audio.direction, Direction::SendRecv);
}

#[test]
fn static_payload_types_need_no_rtpmap() {
    let description = parse(&format!("{HEAD}m=audio 4000 RTP/AVP 0 8 9 18 13 3\r\n"));
    let expected = [Some(Codec::Pcmu), Some(Codec::Pcma), Some(Codec::G722), Some(Codec::G729), None];
    assert_eq!(codecs(&description), expected, "and payload type 3, which we do not know, is left out");
}

#[test]
fn a_missing_annexb_means_yes() {
    let description = parse(&format!("{HEAD}m=audio 4000 RTP/AVP 18\r\na=rtpmap:18 G729/8000\r\n"));
    assert!(description.media[0].encodings[0].fmtp.annexb());
}

#[test]
fn fmtp_is_read_whatever_its_spacing_case_and_quotes() {
    for fmtp in ["annexb=no", "annexb = no", "foo=1; AnnexB=NO ;bar=2", "annexb=\"no\""] {
        let description = parse(&format!("{HEAD}m=audio 4000 RTP/AVP 18\r\na=fmtp:18 {fmtp}\r\n"));
        assert!(!description.media[0].encodings[0].fmtp.annexb(), "{fmtp}");
    }
    let description = parse(&format!("{HEAD}m=audio 4000 RTP/AVP 18\r\na=fmtp:18 annexb=\r\n"));
    assert!(description.media[0].encodings[0].fmtp.annexb());
}

#[test]
fn names_and_clocks_that_are_wrong_but_unmistakable_are_taken() {
    let description = parse(&format!(
        "{HEAD}m=audio 4000 RTP/AVP 96 97 98 99 100\r\na=rtpmap:96 pcma/8000/1\r\na=rtpmap:97 G722/16000\r\n\
         a=rtpmap:98 G729a/8000\r\na=rtpmap:99 OPUS/48000/2\r\na=rtpmap:100 PCMU/16000\r\n"
    ));
    let expected = [Some(Codec::Pcma), Some(Codec::G722), Some(Codec::G729), Some(Codec::Opus), None];
    assert_eq!(codecs(&description), expected, "but wide-band PCMU is another codec");
}

#[test]
fn line_feeds_alone_end_lines_too() {
    let text = format!("{HEAD}m=audio 4000 RTP/AVP 0\r\na=sendonly\r\n").replace("\r\n", "\n");
    assert_eq!(parse(&text).media[0].direction, Direction::SendOnly);
}

#[test]
fn a_description_without_session_name_or_time_is_read() {
    let description = parse("v=0\r\no=x 1 1 IN IP4 1.2.3.4\r\nc=IN IP4 1.2.3.4\r\nm=audio 4000 RTP/AVP 8\r\n");
    assert_eq!(codecs(&description), [Some(Codec::Pcma)]);
}

#[test]
fn what_the_session_says_holds_where_the_stream_says_nothing() {
    let description = parse(&format!(
        "{HEAD}a=ptime:30\r\na=inactive\r\nm=audio 4000 RTP/AVP 0\r\nm=audio 4002 RTP/AVP 0\r\n\
         c=IN IP4 198.51.100.1\r\na=ptime:10\r\na=recvonly\r\n"
    ));
    let [first, second] = &description.media[..] else { panic!("two streams") };
    assert_eq!((first.ptime_ms, first.direction), (Some(30), Direction::Inactive));
    assert_eq!((second.ptime_ms, second.direction), (Some(10), Direction::RecvOnly));
    assert_eq!(second.remote(), Some((Ipv4Addr::new(198, 51, 100, 1), 4002).into()));
}

#[test]
fn a_browser_offer_is_read_but_is_no_plain_rtp() {
    let description = parse(
        "v=0\r\no=- 4611731400430051336 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n\
         a=msid-semantic: WMS x\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111 0\r\nc=IN IP4 0.0.0.0\r\n\
         a=rtcp:9 IN IP4 0.0.0.0\r\na=candidate:1 1 udp 2113937151 10.0.0.5 50000 typ host\r\na=ice-ufrag:ab\r\n\
         a=rtcp-mux\r\na=rtpmap:111 opus/48000/2\r\na=fmtp:111 minptime=10;useinbandfec=1\r\n\
         a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:AAAA\r\n",
    );
    let audio = &description.media[0];
    assert!(!audio.is_usable_audio());
    assert!(audio.rtcp_mux);
    assert_eq!((audio.crypto.len(), audio.candidates.len()), (1, 1));
    assert_eq!(audio.encodings[0].fmtp.get("useinbandfec"), Some("1"));
}

#[test]
fn fax_and_message_streams_are_kept_in_their_place() {
    let description = parse(&format!(
        "{HEAD}m=image 5000 udptl t38\r\na=T38FaxVersion:0\r\nm=message 2855 TCP/MSRP *\r\nm=audio 0 RTP/AVP 0\r\n"
    ));
    let shapes: Vec<_> = description.media.iter().map(|m| (m.kind.as_str(), m.formats.as_str())).collect();
    assert_eq!(shapes, [("image", "t38"), ("message", "*"), ("audio", "0")]);
    assert!(description.media.iter().all(|m| !m.is_usable_audio()));
}

#[test]
fn addresses_we_cannot_send_to_are_told_apart_from_hold() {
    for (connection, receives) in [
        ("IN IP4 0.0.0.0", false),
        ("IN IP4 224.2.1.1/127", false),
        ("IN IP4 pbx.example.net", false),
        ("IN IP6 2001:db8::7", true),
        ("IN IP4 192.0.2.1", true),
    ] {
        let text =
            format!("v=0\r\no=- 1 1 IN IP4 1.1.1.1\r\ns=-\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\nc={connection}\r\n");
        assert_eq!(parse(&text).media[0].peer_receives(), receives, "{connection}");
    }
}

#[test]
fn numbers_with_a_fraction_are_cut_and_nonsense_counts_as_absent() {
    let description = parse(&format!("{HEAD}m=audio 4000 RTP/AVP 0\r\na=ptime:20.0\r\na=maxptime:lots\r\n"));
    assert_eq!((description.media[0].ptime_ms, description.media[0].maxptime_ms), (Some(20), None));
}

#[test]
fn broken_rtpmaps_and_payload_types_are_passed_over() {
    let description = parse(&format!(
        "{HEAD}m=audio 4000 RTP/AVP 96 97 98 200 x 0 0\r\na=rtpmap:96\r\na=rtpmap:97 /8000\r\n\
         a=rtpmap:98 PCMA/eight\r\na=rtpmap:200 PCMA/8000\r\n"
    ));
    assert_eq!(codecs(&description), [Some(Codec::Pcmu)]);
}

#[test]
fn a_syntax_error_names_its_line() {
    for (text, line) in [
        ("v=0\r\no=- 1 1 IN IP4 1.1.1.1\r\ns=-\r\nm=audio x RTP/AVP 0\r\n", 4),
        ("v=0\r\no=- 1 one IN IP4 1.1.1.1\r\n", 2),
        ("v=zero\r\n", 1),
        ("v=0\r\no=- 1 1 IN IP4 1.1.1.1\r\nwhat is this\r\n", 3),
        ("hello", 1),
        ("", 0),
    ] {
        match SessionDescription::parse(text.as_bytes()) {
            Err(ParseError::Syntax { line: found, .. }) => assert_eq!(found, line, "{text:?}"),
            other => panic!("{text:?} gave {other:?}"),
        }
    }
}

#[test]
fn too_much_of_anything_is_refused() {
    let long = format!("{HEAD}a=x:{}\r\n", "y".repeat(MAX_OCTETS));
    assert!(matches!(SessionDescription::parse(long.as_bytes()), Err(ParseError::TooLong { .. })));
    let lines = format!("{HEAD}{}", "a=x\r\n".repeat(MAX_LINES));
    assert_eq!(SessionDescription::parse(lines.as_bytes()), Err(ParseError::TooManyLines));
    let media = format!("{HEAD}{}", "m=audio 4 RTP/AVP 0\r\n".repeat(17));
    assert_eq!(SessionDescription::parse(media.as_bytes()), Err(ParseError::TooManyMedia));
    let formats = format!("{HEAD}m=audio 4 RTP/AVP {}\r\n", "0 ".repeat(65));
    assert_eq!(SessionDescription::parse(formats.as_bytes()), Err(ParseError::TooManyFormats { media: 1 }));
}
