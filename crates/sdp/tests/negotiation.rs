//! The offer/answer model, one rule of RFC 3264 at a time.
#![allow(missing_docs)]

use std::net::{Ipv4Addr, SocketAddr};

use tandem_contract::{Codec, Direction, PayloadType, RtcpTransport};
use tandem_sdp::{AnswerError, Capabilities, Negotiation, OfferError, RtcpMux, SessionDescription};

fn capabilities(codecs: &[Codec]) -> Capabilities {
    Capabilities {
        codecs: codecs.to_vec(),
        ptime_ms: 20,
        annexb: true,
        comfort_noise: true,
        telephone_event: true,
        rtcp_mux: RtcpMux::Accept,
    }
}

fn leg(codecs: &[Codec]) -> Negotiation {
    Negotiation::new(4711, (Ipv4Addr::new(10, 0, 0, 1), 20_000).into(), capabilities(codecs))
}

/// A peer's description at version 1 with these media lines and attributes.
fn peer(media: &str) -> SessionDescription {
    let text = format!("v=0\r\no=phone 1 1 IN IP4 192.0.2.7\r\ns=call\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\n{media}");
    SessionDescription::parse(text.as_bytes()).expect("parses")
}

fn ours(text: &str) -> SessionDescription {
    SessionDescription::parse(text.as_bytes()).expect("we write what we can read")
}

fn pt(number: u8) -> PayloadType {
    PayloadType::new(number).expect("below 128")
}

const REMOTE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)), 4000);
use Codec::{G722, G729, Opus, Pcma, Pcmu};
use Direction::{Inactive, RecvOnly, SendOnly, SendRecv};

#[test]
fn an_offer_lists_codecs_in_order_with_events_on_each_clock() {
    let text = leg(&[Pcmu, Pcma, Opus]).offer(&[Opus, Pcmu, G722, Opus], SendRecv);
    assert_eq!(
        text,
        "v=0\r\no=- 4711 1 IN IP4 10.0.0.1\r\ns=-\r\nc=IN IP4 10.0.0.1\r\nt=0 0\r\n\
         m=audio 20000 RTP/AVP 96 0 13 101 102\r\na=rtpmap:96 opus/48000/2\r\na=rtpmap:0 PCMU/8000\r\n\
         a=rtpmap:13 CN/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=rtpmap:102 telephone-event/48000\r\n\
         a=fmtp:102 0-15\r\na=ptime:20\r\na=sendrecv\r\n"
    );
}

#[test]
fn an_answer_uses_the_offerers_numbers() {
    let offer =
        peer("m=audio 4000 RTP/AVP 109 97\r\na=rtpmap:109 opus/48000/2\r\na=rtpmap:97 telephone-event/48000\r\n");
    let (text, agreed) = leg(&[Opus]).answer(&offer, &[], SendRecv).expect("answers");
    assert_eq!((agreed.format.payload_type, agreed.format.receive_payload_type), (pt(109), pt(109)));
    assert_eq!(agreed.format.telephone_event, Some(pt(97)));
    assert!(text.contains("m=audio 20000 RTP/AVP 109 97\r\n"), "{text}");
    assert_eq!(agreed.remote, Some(REMOTE));
}

#[test]
fn an_answer_prefers_what_we_ask_for_and_else_the_offers_order() {
    let offer = peer("m=audio 4000 RTP/AVP 8 0 9\r\n");
    let chosen = |preferred: &[Codec]| leg(&[Pcmu, Pcma, G722]).answer(&offer, preferred, SendRecv).expect("answers").1;
    assert_eq!(chosen(&[]).format.codec, Pcma);
    assert_eq!(chosen(&[G729, G722, Pcmu]).format.codec, G722);
    assert_eq!(leg(&[Pcmu, Pcma]).review(&offer).expect("usable").codecs, [Pcma, Pcmu]);
}

#[test]
fn an_answer_that_numbers_formats_otherwise_is_sent_to_by_its_numbers_and_heard_by_ours() {
    let mut leg = leg(&[Opus]);
    leg.offer(&[Opus], SendRecv);
    let answer =
        peer("m=audio 4000 RTP/AVP 120 110\r\na=rtpmap:120 opus/48000/2\r\na=rtpmap:110 telephone-event/48000\r\n");
    let agreed = leg.on_answer(&answer).expect("fits");
    assert_eq!((agreed.format.payload_type, agreed.format.receive_payload_type), (pt(120), pt(96)));
    assert_eq!(agreed.format.telephone_event, Some(pt(110)));
    assert_eq!(agreed.format.receive_telephone_event, Some(pt(101)));
}

#[test]
fn streams_we_do_not_take_are_rejected_in_their_place() {
    let offer = peer(
        "m=video 5000 RTP/AVP 99\r\na=rtpmap:99 H264/90000\r\nm=audio 6000 RTP/SAVP 0\r\n\
         m=audio 4000 RTP/AVP 0\r\nm=image 0 udptl t38\r\n",
    );
    let mut leg = leg(&[Pcmu]);
    let (text, agreed) = leg.answer(&offer, &[], SendRecv).expect("the third stream is usable");
    let answer = ours(&text);
    let lines: Vec<_> = answer.media.iter().map(|m| (m.kind.as_str(), m.port, m.protocol.as_str())).collect();
    assert_eq!(
        lines,
        [("video", 0, "RTP/AVP"), ("audio", 0, "RTP/SAVP"), ("audio", 20_000, "RTP/AVP"), ("image", 0, "udptl")]
    );
    assert_eq!(agreed.remote, Some(REMOTE));
    let again = ours(&leg.offer(&[Pcmu], SendRecv));
    assert_eq!(again.media.len(), 4, "a later offer of ours keeps the lines (RFC 3264 §8)");
    assert_eq!(again.media[2].port, 20_000);
}

#[test]
fn offers_that_cannot_be_met_say_why() {
    let review = |media: &str| leg(&[Pcmu]).review(&peer(media)).expect_err("cannot be met");
    assert_eq!(review("m=audio 4000 RTP/AVP 8 9\r\n"), OfferError::NoCommonCodec);
    assert_eq!(review("m=audio 0 RTP/AVP 0\r\n"), OfferError::NoAudio);
    assert_eq!(review("m=video 4000 RTP/AVP 0\r\n"), OfferError::NoAudio);
    assert_eq!(review("m=audio 4000 RTP/SAVP 0\r\n"), OfferError::SrtpRefused);
    assert_eq!(review(""), OfferError::NoAudio);
    assert_eq!(review("m=audio 4000 RTP/AVP 0\r\nc=IN IP4 pbx.example\r\n"), OfferError::NoAddress);
    assert_eq!(review("m=audio 4000 RTP/AVP 0\r\nc=IN IP4 224.0.0.9/3\r\n"), OfferError::NoAddress);
}

#[test]
fn every_kind_of_hold_is_mirrored() {
    for (media, ours, remote) in [
        ("a=sendonly\r\n", RecvOnly, None),
        ("a=recvonly\r\n", SendOnly, Some(REMOTE)),
        ("a=inactive\r\n", Inactive, None),
        ("c=IN IP4 0.0.0.0\r\n", RecvOnly, None),
        ("a=sendrecv\r\n", SendRecv, Some(REMOTE)),
    ] {
        let offer = peer(&format!("m=audio 4000 RTP/AVP 0\r\n{media}"));
        let (text, agreed) = leg(&[Pcmu]).answer(&offer, &[], SendRecv).expect("answers");
        assert_eq!(agreed.direction, ours, "{media}");
        if agreed.direction.sends() {
            assert_eq!(agreed.remote, remote, "{media}");
        }
        assert!(text.contains(&format!(
            "a={}\r\n",
            match ours {
                SendRecv => "sendrecv",
                SendOnly => "sendonly",
                RecvOnly => "recvonly",
                Inactive => "inactive",
            }
        )));
    }
}

#[test]
fn our_own_wish_narrows_the_answer() {
    let offer = peer("m=audio 4000 RTP/AVP 0\r\na=sendonly\r\n");
    assert_eq!(leg(&[Pcmu]).answer(&offer, &[], SendOnly).expect("answers").1.direction, Inactive);
    let offer = peer("m=audio 4000 RTP/AVP 0\r\n");
    assert_eq!(leg(&[Pcmu]).answer(&offer, &[], SendOnly).expect("answers").1.direction, SendOnly);
}

#[test]
fn the_version_grows_with_each_change_and_only_then() {
    let mut leg = leg(&[Pcmu, Pcma]);
    let offer = peer("m=audio 4000 RTP/AVP 0\r\n");
    let (first, _) = leg.answer(&offer, &[], SendRecv).expect("answers");
    assert_eq!(ours(&first).origin.version, 1);
    let (same, _) = leg.answer(&offer, &[], SendRecv).expect("answers");
    assert_eq!(same, first, "an unchanged re-offer gets the same answer");
    let hold = peer("m=audio 4000 RTP/AVP 0\r\na=sendonly\r\n");
    let (held, _) = leg.answer(&hold, &[], SendRecv).expect("answers");
    assert_eq!(ours(&held).origin.version, 2);
    let (resumed, _) = leg.answer(&offer, &[], SendRecv).expect("answers");
    assert_eq!(ours(&resumed).origin.version, 3);
    assert_eq!(ours(&leg.offer(&[Pcmu, Pcma], SendRecv)).origin.version, 4);
    assert_eq!(ours(&leg.offer(&[Pcmu, Pcma], SendRecv)).origin.version, 4);
}

#[test]
fn a_number_keeps_its_meaning_in_later_offers() {
    let mut leg = leg(&[Opus, Pcmu, G729]);
    let offer = peer(
        "m=audio 4000 RTP/AVP 109 18 101 96\r\na=rtpmap:109 opus/48000/2\r\na=rtpmap:18 PCMU/8000\r\n\
         a=rtpmap:101 iLBC/8000\r\na=rtpmap:96 telephone-event/48000\r\n",
    );
    leg.answer(&offer, &[Opus], SendRecv).expect("answers");
    let again = ours(&leg.offer(&[Opus, G729], SendRecv));
    let number = |codec| {
        let find = again.media[0].encodings.iter().find(|e| e.codec() == Some(codec));
        find.map(|e| e.payload_type.get())
    };
    assert_eq!(number(Opus), Some(109));
    assert_ne!(number(G729), Some(18), "18 means PCMU to this peer");
    let events: Vec<_> = again.media[0]
        .encodings
        .iter()
        .filter(|e| e.is_telephone_event())
        .map(|e| (e.payload_type.get(), e.clock_rate_hz))
        .collect();
    assert!(events.contains(&(96, 48_000)));
    assert!(events.iter().all(|(number, _)| *number != 101), "101 means iLBC to this peer");
}

#[test]
fn comfort_noise_needs_both_sides_and_a_codec_that_takes_it() {
    for (ours_allows, formats, expected) in [
        (true, "0 13", Some(pt(13))),
        (true, "0", None),
        (true, "18 13", None),
        (false, "0 13", None),
        (true, "0 99\r\na=rtpmap:99 CN/16000", None),
    ] {
        let capabilities = Capabilities { comfort_noise: ours_allows, ..capabilities(&[Pcmu, G729]) };
        let description = peer(&format!("m=audio 4000 RTP/AVP {formats}\r\n"));
        let mut leg = Negotiation::new(1, (Ipv4Addr::LOCALHOST, 20_000).into(), capabilities);
        let (text, agreed) = leg.answer(&description, &[], SendRecv).expect("answers");
        assert_eq!(agreed.format.comfort_noise, expected, "answering {formats:?}");
        assert_eq!(text.contains("a=rtpmap:13 CN/8000\r\n"), expected.is_some());
        assert_eq!(leg.offer(&[Pcmu, G729], SendRecv).contains(" 13"), ours_allows);
        assert_eq!(leg.on_answer(&description).expect("fits").format.comfort_noise, expected, "offering {formats:?}");
    }
    assert!(!leg(&[G729, Opus]).offer(&[G729, Opus], SendRecv).contains("CN/"));
}

#[test]
fn annexb_needs_both_sides() {
    for (ours_allows, fmtp, expected) in [
        (true, "", true),
        (true, "a=fmtp:18 annexb=yes\r\n", true),
        (true, "a=fmtp:18 annexb=no\r\n", false),
        (false, "", false),
    ] {
        let capabilities = Capabilities { annexb: ours_allows, ..capabilities(&[G729]) };
        let mut leg = Negotiation::new(1, (Ipv4Addr::LOCALHOST, 20_000).into(), capabilities);
        let description = peer(&format!("m=audio 4000 RTP/AVP 18\r\n{fmtp}"));
        let (text, agreed) = leg.answer(&description, &[], SendRecv).expect("answers");
        assert_eq!(agreed.format.annexb, expected, "answering {fmtp:?}");
        assert_eq!(text.contains("annexb=yes"), expected);
        leg.offer(&[G729], SendRecv);
        assert_eq!(leg.on_answer(&description).expect("fits").format.annexb, expected, "offering, then {fmtp:?}");
    }
}

#[test]
fn packets_are_as_long_as_the_peer_wants_and_can_take() {
    for (codec, attributes, expected) in [
        (Pcmu, "", 20),
        (Pcmu, "a=ptime:30\r\n", 30),
        (Pcmu, "a=ptime:25\r\n", 20),
        (Pcmu, "a=ptime:40\r\na=maxptime:30\r\n", 30),
        (Pcmu, "a=ptime:0\r\n", 20),
        (Pcmu, "a=ptime:5\r\n", 10),
        (Pcmu, "a=ptime:65535\r\n", 60),
        (Opus, "a=ptime:30\r\n", 20),
        (Opus, "a=ptime:60\r\n", 60),
    ] {
        let offer = peer(&format!("m=audio 4000 RTP/AVP 0 99\r\na=rtpmap:99 opus/48000/2\r\n{attributes}"));
        let (_, agreed) = leg(&[Pcmu, Opus]).answer(&offer, &[codec], SendRecv).expect("answers");
        assert_eq!(agreed.format.ptime_ms, expected, "{codec:?} {attributes:?}");
    }
}

#[test]
fn events_on_another_clock_than_the_codec_are_not_agreed() {
    let offer = peer("m=audio 4000 RTP/AVP 9 101\r\na=rtpmap:101 telephone-event/16000\r\n");
    assert_eq!(leg(&[G722]).answer(&offer, &[], SendRecv).expect("answers").1.format.telephone_event, None);
}

#[test]
fn answers_that_do_not_fit_their_offer_are_refused() {
    let refusal = |media: &str| {
        let mut leg = leg(&[Pcmu]);
        leg.offer(&[Pcmu], SendRecv);
        leg.on_answer(&peer(media)).expect_err("does not fit")
    };
    assert_eq!(refusal(""), AnswerError::MediaLinesDiffer);
    assert_eq!(refusal("m=audio 4000 RTP/AVP 0\r\nm=video 9 RTP/AVP 96\r\n"), AnswerError::MediaLinesDiffer);
    assert_eq!(refusal("m=video 4000 RTP/AVP 0\r\n"), AnswerError::MediaLinesDiffer);
    assert_eq!(refusal("m=audio 4000 RTP/SAVP 0\r\n"), AnswerError::KeysDiffer);
    assert_eq!(refusal("m=audio 0 RTP/AVP 0\r\n"), AnswerError::AudioRefused);
    assert_eq!(refusal("m=audio 4000 RTP/AVP 8\r\n"), AnswerError::NoCommonCodec);
    assert_eq!(refusal("m=audio 4000 RTP/AVP 0\r\nc=IN IP4 host.example\r\n"), AnswerError::NoAddress);
    assert_eq!(leg(&[Pcmu]).on_answer(&peer("m=audio 4000 RTP/AVP 0\r\n")), Err(AnswerError::NoOffer));
}

#[test]
fn an_answer_wider_than_the_offer_is_narrowed() {
    let mut leg = leg(&[Pcmu]);
    leg.offer(&[Pcmu], SendOnly);
    let agreed = leg.on_answer(&peer("m=audio 4000 RTP/AVP 0\r\na=sendrecv\r\n")).expect("fits");
    assert_eq!(agreed.direction, SendOnly);
    let agreed = leg.on_answer(&peer("m=audio 4000 RTP/AVP 0\r\na=sendonly\r\n")).expect("fits");
    assert_eq!(agreed.direction, Inactive);
}

#[test]
fn a_second_answer_to_the_same_offer_counts() {
    let mut leg = leg(&[Pcmu, Pcma]);
    leg.offer(&[Pcmu, Pcma], SendRecv);
    assert_eq!(leg.on_answer(&peer("m=audio 4000 RTP/AVP 0\r\n")).expect("early").format.codec, Pcmu);
    assert_eq!(leg.on_answer(&peer("m=audio 4000 RTP/AVP 8\r\n")).expect("final").format.codec, Pcma);
}

#[test]
fn a_withdrawn_offer_leaves_the_agreement_and_takes_no_answer() {
    let mut leg = leg(&[Pcmu]);
    let (_, agreed) = leg.answer(&peer("m=audio 4000 RTP/AVP 0\r\n"), &[], SendRecv).expect("answers");
    leg.offer(&[Pcmu], Inactive);
    leg.withdraw_offer();
    assert_eq!(leg.agreement(), Some(&agreed));
    assert_eq!(leg.on_answer(&peer("m=audio 4000 RTP/AVP 0\r\n")), Err(AnswerError::NoOffer));
}

#[test]
fn a_re_offer_with_fewer_media_lines_is_refused() {
    let mut leg = leg(&[Pcmu]);
    leg.answer(&peer("m=audio 4000 RTP/AVP 0\r\nm=video 9 RTP/AVP 96\r\n"), &[], SendRecv).expect("answers");
    assert_eq!(leg.review(&peer("m=audio 4000 RTP/AVP 0\r\n")), Err(OfferError::MediaLinesMissing));
}

#[test]
fn nothing_of_the_peers_session_is_repeated() {
    let offer = SessionDescription::parse(
        b"v=0\r\no=alice 99887766 5 IN IP4 192.0.2.7\r\ns=Alice's secret\r\ni=info\r\nu=http://alice.example\r\n\
          c=IN IP4 192.0.2.7\r\nt=0 0\r\na=tool:alicephone\r\nm=audio 4000 RTP/AVP 0\r\na=candidate:1 1 UDP 1 192.0.2.7 9 typ host\r\n",
    )
    .expect("parses");
    let (text, _) = leg(&[Pcmu]).answer(&offer, &[], SendRecv).expect("answers");
    for secret in ["alice", "99887766", "192.0.2.7", "secret", "candidate", "tool"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}

#[test]
fn addresses_of_version_six_are_written_as_such() {
    let local = SocketAddr::new("2001:db8::1".parse().expect("an address"), 20_000);
    let text = Negotiation::new(1, local, capabilities(&[Pcmu])).offer(&[], SendRecv);
    assert!(text.contains("o=- 1 1 IN IP6 2001:db8::1\r\n") && text.contains("c=IN IP6 2001:db8::1\r\n"));
    assert_eq!(ours(&text).media[0].remote(), Some(local));
}

fn leg_with(rtcp_mux: RtcpMux) -> Negotiation {
    let capabilities = Capabilities { rtcp_mux, ..capabilities(&[Pcmu]) };
    Negotiation::new(4711, (Ipv4Addr::new(10, 0, 0, 1), 20_000).into(), capabilities)
}

#[test]
fn rtcp_shares_the_port_where_both_say_so() {
    for (policy, offers, theirs, agreed) in [
        (RtcpMux::Off, false, "a=rtcp-mux\r\n", RtcpTransport::PortAbove),
        (RtcpMux::Accept, false, "a=rtcp-mux\r\n", RtcpTransport::PortAbove),
        (RtcpMux::Offer, true, "a=rtcp-mux\r\n", RtcpTransport::Multiplexed),
        (RtcpMux::Offer, true, "", RtcpTransport::PortAbove),
    ] {
        let mut leg = leg_with(policy);
        let offer = leg.offer(&[Pcmu], SendRecv);
        assert_eq!(offer.contains("a=rtcp-mux\r\n"), offers, "{policy:?}");
        let answer = peer(&format!("m=audio 4000 RTP/AVP 0\r\n{theirs}"));
        assert_eq!(leg.on_answer(&answer).expect("fits").rtcp, agreed, "{policy:?} {theirs}");
    }
    for (policy, agreed) in [
        (RtcpMux::Off, RtcpTransport::PortAbove),
        (RtcpMux::Accept, RtcpTransport::Multiplexed),
        (RtcpMux::Offer, RtcpTransport::Multiplexed),
    ] {
        let mut leg = leg_with(policy);
        let (text, agreement) =
            leg.answer(&peer("m=audio 4000 RTP/AVP 0\r\na=rtcp-mux\r\n"), &[], SendRecv).expect("answers");
        let muxes = agreed == RtcpTransport::Multiplexed;
        assert_eq!((agreement.rtcp, ours(&text).media[0].rtcp_mux), (agreed, muxes), "{policy:?}");
        // An offer of ours without it would end it.
        assert_eq!(leg.offer(&[Pcmu], SendRecv).contains("a=rtcp-mux\r\n"), muxes, "{policy:?}");
        let (text, agreement) = leg.answer(&peer("m=audio 4000 RTP/AVP 0\r\n"), &[], SendRecv).expect("answers");
        assert_eq!((agreement.rtcp, text.contains("a=rtcp-mux")), (RtcpTransport::PortAbove, false), "{policy:?}");
    }
}

#[test]
fn rtcp_goes_where_the_peer_names_a_port_or_address_of_its_own() {
    let to = |text: &str| RtcpTransport::To(text.parse().expect("an address"));
    for (attribute, expected) in [
        ("a=rtcp:5005", to("192.0.2.7:5005")),
        ("a=rtcp:4000", to("192.0.2.7:4000")),
        ("a=rtcp:5005 IN IP4 192.0.2.8", to("192.0.2.8:5005")),
        ("a=rtcp:4001 IN IP4 192.0.2.7", RtcpTransport::PortAbove),
        ("a=rtcp:4001", RtcpTransport::PortAbove),
        ("a=rtcp:0", RtcpTransport::PortAbove),
        ("a=rtcp:5005 IN IP6 2001:db8::1", RtcpTransport::PortAbove),
        ("a=rtcp:5005 IN IP4 0.0.0.0", RtcpTransport::PortAbove),
        ("a=rtcp:5005 IN IP4 224.0.0.1", RtcpTransport::PortAbove),
        ("a=rtcp:nonsense", RtcpTransport::PortAbove),
        // Shared with RTP, it goes where that goes.
        ("a=rtcp:5005\r\na=rtcp-mux", RtcpTransport::Multiplexed),
    ] {
        let described = peer(&format!("m=audio 4000 RTP/AVP 0\r\n{attribute}\r\n"));
        let (_, agreement) = leg(&[Pcmu]).answer(&described, &[], SendRecv).expect("answers");
        assert_eq!(agreement.rtcp, expected, "{attribute}");
        let mut leg = leg_with(RtcpMux::Offer);
        leg.offer(&[Pcmu], SendRecv);
        assert_eq!(leg.on_answer(&described).expect("fits").rtcp, expected, "{attribute}");
    }
}

#[test]
fn rtcp_in_parts_is_agreed_to_and_not_asked_for() {
    let mut leg = leg(&[Pcmu]);
    let offer = peer("m=audio 4000 RTP/AVP 0\r\na=rtcp-rsize\r\n");
    let (text, _) = leg.answer(&offer, &[], SendRecv).expect("answers");
    assert!(text.contains("a=rtcp-rsize\r\n"), "{text}");
    assert!(leg.offer(&[Pcmu], SendRecv).contains("a=rtcp-rsize\r\n"), "once agreed, it stays");
    assert!(!leg_with(RtcpMux::Offer).offer(&[Pcmu], SendRecv).contains("rtcp-rsize"));
}

#[test]
fn over_ipv6_the_description_says_so_and_an_address_of_the_other_family_is_refused() {
    let mut leg = Negotiation::new(4711, "[2001:db8::1]:20000".parse().expect("an address"), capabilities(&[Pcmu]));
    let six = "v=0\r\no=phone 1 1 IN IP6 2001:db8::7\r\ns=call\r\nc=IN IP6 2001:db8::7\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n";
    let (text, agreed) = leg.answer(&ours(six), &[], SendRecv).expect("answers");
    assert!(text.contains("o=- 4711 1 IN IP6 2001:db8::1\r\n") && text.contains("c=IN IP6 2001:db8::1\r\n"), "{text}");
    assert_eq!(agreed.remote, Some("[2001:db8::7]:4000".parse().expect("an address")));
    let four = peer("m=audio 4000 RTP/AVP 0\r\n");
    assert_eq!(leg.answer(&four, &[], SendRecv), Err(OfferError::AddressFamily));
    leg.offer(&[Pcmu], SendRecv);
    assert_eq!(leg.on_answer(&four), Err(AnswerError::AddressFamily));
    // Nobody is at ::, which says hold.
    let held = ours(&six.replace("c=IN IP6 2001:db8::7", "c=IN IP6 ::"));
    assert_eq!(leg.answer(&held, &[], SendRecv).expect("answers").1.remote, None);
}
