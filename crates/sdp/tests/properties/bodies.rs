//! What must hold for any bytes; the property tests and the fuzzer share it.

use std::net::Ipv4Addr;

use tandem_contract::{Codec, CryptoSuite, Direction};
use tandem_sdp::{Capabilities, KeySeed, Negotiation, RtcpMux, Security, SessionDescription, SrtpPolicy};

/// Puts `bytes` through everything a peer's description goes through, as an offer and as an answer, and checks that
/// what we write in return is consistent.
pub fn exercise(bytes: &[u8]) {
    let Ok(description) = SessionDescription::parse(bytes) else { return };
    for policy in [SrtpPolicy::Off, SrtpPolicy::Optional, SrtpPolicy::Required] {
        exercise_with(&description, policy);
    }
}

fn exercise_with(description: &SessionDescription, policy: SrtpPolicy) {
    let capabilities = Capabilities {
        codecs: Codec::ALL.to_vec(),
        ptime_ms: 20,
        annexb: true,
        comfort_noise: true,
        telephone_event: true,
        rtcp_mux: RtcpMux::Offer,
    };
    let security = Security { policy, suites: CryptoSuite::ALL.to_vec(), keys: KeySeed::new([5; 32]) };
    let mut leg = Negotiation::new(1, (Ipv4Addr::LOCALHOST, 20_000).into(), capabilities).with_security(security);
    if let Ok((text, agreed)) = leg.answer(description, &[Codec::Opus], Direction::SendRecv) {
        let answer = SessionDescription::parse(text.as_bytes()).expect("our answer can be read");
        assert_eq!(answer.media.len(), description.media.len(), "as many lines as were offered");
        assert!(!agreed.direction.sends() || agreed.remote.is_some(), "sending needs an address");
        let keys: Vec<_> = answer.media.iter().flat_map(|media| &media.crypto).collect();
        let ours = keys.first().map(|line| line.as_ref().expect("our own line can be read").key);
        assert!(keys.len() <= 1, "an answer takes one line");
        assert_eq!(agreed.crypto.map(|crypto| crypto.send), ours, "we protect with the key that we told");
        assert!(policy != SrtpPolicy::Required || ours.is_some(), "nothing is spoken in the clear");
        assert!(policy != SrtpPolicy::Off || ours.is_none());
        assert!(agreed.format.ptime_ms % 10 == 0 && (10..=60).contains(&agreed.format.ptime_ms));
        let (again, _) = leg.answer(description, &[Codec::Opus], Direction::SendRecv).expect("answers again");
        assert_eq!(again, text, "an unchanged offer gets an unchanged answer");
    }
    let offer = leg.offer(&Codec::ALL, Direction::SendRecv);
    let offer = SessionDescription::parse(offer.as_bytes()).expect("our offer can be read");
    let audio = offer.media.iter().find(|media| media.is_usable_audio()).expect("our offer has audio");
    for (index, encoding) in audio.encodings.iter().enumerate() {
        let twice = audio.encodings[..index].iter().any(|other| other.payload_type == encoding.payload_type);
        assert!(!twice, "a payload type means one thing");
    }
    assert_eq!(audio.formats.split(' ').count(), audio.encodings.len(), "every payload type is mapped");
    if let Ok(agreed) = leg.on_answer(description) {
        assert!(policy != SrtpPolicy::Required || agreed.crypto.is_some(), "nothing is spoken in the clear");
        assert!(!agreed.direction.sends() || agreed.remote.is_some(), "sending needs an address");
    }
}
