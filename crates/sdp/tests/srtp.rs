//! SRTP by keys in the description, one rule of RFC 4568 at a time.
#![allow(missing_docs)]

use std::net::Ipv4Addr;

use tandem_contract::{Codec, CryptoSuite, Direction, LegCrypto, MasterKey};
use tandem_sdp::{
    AnswerError, Capabilities, CryptoError, KeySeed, Negotiation, OfferError, RtcpMux, Security, SessionDescription,
    SrtpPolicy,
};

use CryptoSuite::{AeadAes128Gcm, AesCm128HmacSha1_32, AesCm128HmacSha1_80};
use Direction::{SendOnly, SendRecv};
use SrtpPolicy::{Off, Optional, Required};

/// RFC 4568 §6.1, and another one of that length.
const KEY: &str = "d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj";
const OTHER_KEY: &str = "NzB4d1BINUAvLEw6UzF3WSJ+PSdFcGdUJShpX1Zj";
const PLAIN: &str = "m=audio 4000 RTP/AVP 0\r\n";
const SECURE: &str = "m=audio 4000 RTP/SAVP 0\r\n";

fn leg(policy: SrtpPolicy, suites: &[CryptoSuite]) -> Negotiation {
    let capabilities = Capabilities {
        codecs: vec![Codec::Pcmu],
        ptime_ms: 20,
        annexb: false,
        comfort_noise: false,
        telephone_event: false,
        rtcp_mux: RtcpMux::Off,
    };
    let security = Security { policy, suites: suites.to_vec(), keys: KeySeed::new([7; 32]) };
    Negotiation::new(4711, (Ipv4Addr::new(10, 0, 0, 1), 20_000).into(), capabilities).with_security(security)
}

fn peer(media: &str) -> SessionDescription {
    let text = format!("v=0\r\no=phone 1 1 IN IP4 192.0.2.7\r\ns=call\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\n{media}");
    SessionDescription::parse(text.as_bytes()).expect("parses")
}

fn line(tag: u32, suite: CryptoSuite, key: &str) -> String {
    format!("a=crypto:{tag} {} inline:{key}\r\n", suite.name())
}

/// The first audio line of ours: its protocol, and tag and key of each of its `a=crypto` lines.
fn said(text: &str) -> (String, Vec<(u32, MasterKey)>) {
    let media = SessionDescription::parse(text.as_bytes()).expect("we write what we can read").media.remove(0);
    let keys = media.crypto.iter().map(|line| line.as_ref().expect("usable")).map(|line| (line.tag, line.key));
    (media.protocol, keys.collect())
}

#[test]
fn an_offer_brings_a_key_of_its_own_for_each_suite_in_our_order() {
    for (policy, protocol) in [(Required, "RTP/SAVP"), (Optional, "RTP/AVP")] {
        let (said_protocol, keys) = said(&leg(policy, &[AeadAes128Gcm, AesCm128HmacSha1_80]).offer(&[], SendRecv));
        assert_eq!(said_protocol, protocol);
        let suites: Vec<_> = keys.iter().map(|(tag, key)| (*tag, key.suite())).collect();
        assert_eq!(suites, [(1, AeadAes128Gcm), (2, AesCm128HmacSha1_80)]);
        assert_ne!(keys[0].1.key(), &keys[1].1.key()[..16]);
    }
    let (protocol, keys) = said(&leg(Off, &[AeadAes128Gcm]).offer(&[], SendRecv));
    assert_eq!((protocol.as_str(), keys.len()), ("RTP/AVP", 0));
}

#[test]
fn an_answer_takes_the_first_usable_line_with_its_tag_and_a_key_of_ours() {
    let offer = peer(&format!(
        "{SECURE}{}{}{}{}",
        line(1, AeadAes128Gcm, KEY),
        line(5, AesCm128HmacSha1_32, KEY).replace("\r\n", " UNENCRYPTED_SRTP\r\n"),
        line(9, AesCm128HmacSha1_32, KEY),
        line(10, AesCm128HmacSha1_80, OTHER_KEY),
    ));
    let mut leg = leg(Required, &[AesCm128HmacSha1_80, AesCm128HmacSha1_32]);
    let (text, agreed) = leg.answer(&offer, &[], SendRecv).expect("answers");
    let crypto = agreed.crypto.expect("SRTP");
    assert_eq!(said(&text), ("RTP/SAVP".to_owned(), vec![(9, crypto.send)]));
    assert_eq!(crypto.receive.key(), b"wDfvg&T+)xG7@fb5");
    assert_eq!((crypto.receive.suite(), crypto.send.suite()), (AesCm128HmacSha1_32, AesCm128HmacSha1_32));
    assert_ne!(crypto.send, crypto.receive);
}

#[test]
fn what_each_policy_makes_of_each_offer() {
    let keys = line(1, AesCm128HmacSha1_80, KEY);
    let feedback = SECURE.replace("SAVP", "SAVPF");
    let gcm_only = line(1, AeadAes128Gcm, "d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJQ==");
    let identified = keys.replace("\r\n", "|2^31|1:1\r\n");
    for (media, policy, expected) in [
        (PLAIN.to_owned(), Off, Ok(false)),
        (PLAIN.to_owned(), Optional, Ok(false)),
        (PLAIN.to_owned(), Required, Err(OfferError::NoKeys)),
        (format!("{PLAIN}{keys}"), Off, Ok(false)),
        (format!("{PLAIN}{keys}"), Optional, Ok(true)),
        (format!("{PLAIN}{keys}"), Required, Ok(true)),
        (format!("{SECURE}{keys}"), Off, Err(OfferError::SrtpRefused)),
        (format!("{SECURE}{keys}"), Optional, Ok(true)),
        (format!("{feedback}{keys}"), Required, Ok(true)),
        (SECURE.to_owned(), Optional, Err(OfferError::NoKeys)),
        (format!("{PLAIN}{gcm_only}"), Optional, Ok(false)),
        (format!("{SECURE}{gcm_only}"), Optional, Err(OfferError::NoCommonSuite)),
        (format!("{SECURE}{identified}"), Required, Err(OfferError::KeysUnusable(CryptoError::MasterKeyIdentifier))),
    ] {
        let answered = leg(policy, &[AesCm128HmacSha1_80]).answer(&peer(&media), &[], SendRecv);
        assert_eq!(answered.map(|(_, agreed)| agreed.crypto.is_some()), expected, "{policy:?}: {media}");
    }
}

#[test]
fn of_a_secure_and_a_plain_stream_the_first_that_the_policy_allows_is_taken() {
    let offer = peer(&format!("{SECURE}{}{PLAIN}", line(1, AesCm128HmacSha1_80, KEY)));
    for (policy, taken) in [(Off, 1), (Optional, 0), (Required, 0)] {
        let (text, _) = leg(policy, &[AesCm128HmacSha1_80]).answer(&offer, &[], SendRecv).expect("answers");
        let answer = SessionDescription::parse(text.as_bytes()).expect("we write what we can read");
        let ports: Vec<u16> = answer.media.iter().map(|media| media.port).collect();
        assert_eq!(ports, if taken == 0 { [20_000, 0] } else { [0, 20_000] }, "{policy:?}");
    }
}

#[test]
fn an_answer_names_one_of_our_lines_and_brings_the_peers_key() {
    let suites = [AeadAes128Gcm, AesCm128HmacSha1_80];
    for (policy, media, expected) in [
        (Required, format!("{SECURE}{}", line(2, AesCm128HmacSha1_80, KEY)), Ok(Some(1))),
        (Optional, format!("{PLAIN}{}", line(2, AesCm128HmacSha1_80, KEY)), Ok(Some(1))),
        (Optional, PLAIN.to_owned(), Ok(None)),
        (Required, SECURE.to_owned(), Err(AnswerError::KeysDiffer)),
        (Required, PLAIN.to_owned(), Err(AnswerError::KeysDiffer)),
        (Optional, SECURE.to_owned(), Err(AnswerError::KeysDiffer)),
        (Required, format!("{SECURE}{}", line(1, AesCm128HmacSha1_80, KEY)), Err(AnswerError::KeysDiffer)),
        (Optional, format!("{PLAIN}{}", line(3, AesCm128HmacSha1_80, KEY)), Err(AnswerError::KeysDiffer)),
    ] {
        let mut leg = leg(policy, &suites);
        let (_, keys) = said(&leg.offer(&[], SendRecv));
        let agreed = leg.on_answer(&peer(&media)).map(|agreed| agreed.crypto);
        assert_eq!(
            agreed.map(|crypto| crypto.map(|crypto| crypto.send)),
            expected.map(|n| n.map(|n: usize| keys[n].1))
        );
    }
}

#[test]
fn a_later_offer_of_ours_keeps_what_was_agreed() {
    let mut offerer = leg(Required, &[AeadAes128Gcm, AesCm128HmacSha1_80]);
    let first = offerer.offer(&[], SendRecv);
    let (_, keys) = said(&first);
    offerer.on_answer(&peer(&format!("{SECURE}{}", line(2, AesCm128HmacSha1_80, KEY)))).expect("fits");
    assert_eq!(said(&offerer.offer(&[], SendOnly)), ("RTP/SAVP".to_owned(), vec![(2, keys[1].1)]));
    let mut plain = leg(Optional, &[AeadAes128Gcm]);
    plain.offer(&[], SendRecv);
    plain.on_answer(&peer(PLAIN)).expect("fits");
    assert_eq!(said(&plain.offer(&[], SendOnly)).1, []);
}

#[test]
fn our_key_stays_as_long_as_the_peers_key_and_address() {
    let mut leg = leg(Required, &[AesCm128HmacSha1_80]);
    let mut agreed = |media: &str, key: &str| -> LegCrypto {
        let offer = peer(&format!("{media}{}", line(1, AesCm128HmacSha1_80, key)));
        leg.answer(&offer, &[], SendRecv).expect("answers").1.crypto.expect("SRTP")
    };
    let first = agreed(SECURE, KEY);
    assert_eq!(agreed(SECURE, KEY), first);
    assert_eq!(agreed(&format!("{SECURE}a=sendonly\r\n"), KEY), first, "hold");
    let moved = agreed(&SECURE.replace("4000", "5000"), KEY);
    assert_ne!(moved.send, first.send, "somebody else may listen there");
    let renewed = agreed(&SECURE.replace("4000", "5000"), OTHER_KEY);
    assert_ne!(renewed.send, moved.send);
    assert_ne!(renewed.receive, moved.receive);
}
