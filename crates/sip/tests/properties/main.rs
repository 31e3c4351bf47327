//! Properties: what holds for any input.

mod bodies;
mod messages;

use proptest::collection::vec;
use proptest::prelude::*;

/// Messages with something wrong in them, more often than bytes at random would have it.
fn nearly_messages() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just("INVITE sip:a@b SIP/2.0\r\n"),
        Just("SIP/2.0 200 OK\r\n"),
        Just("Via: SIP/2.0/UDP h:5060;branch=z9hG4bKx;rport\r\n"),
        Just("v: SIP / 2.0 / TCP h ; branch = x,SIP/2.0/UDP g\r\n"),
        Just("From: \"A \\\" B\" <sip:a@b;x=y?z=1>;tag=1;flag\r\n"),
        Just("f: sip:a@b;tag=2\r\n"),
        Just("To: <tel:+1-2>\r\n"),
        Just("t: B <sips:b@[::1]:5061;lr>\r\n"),
        Just("Call-ID: x@y\r\n"),
        Just("i: z\r\n"),
        Just("CSeq: 1 INVITE\r\n"),
        Just("Max-Forwards: 70\r\n"),
        Just("Contact: <sip:c@d>, *, \"e\" <sip:f@g>;q=0.5\r\n"),
        Just("Route: <sip:r;lr>,<sip:s>\r\n"),
        Just("Record-Route: <sip:r;lr>\r\n x\r\n"),
        Just("Content-Type: application/sdp\r\n"),
        Just("Content-Length: 3\r\n"),
        Just("l: 0\r\n"),
        Just("Require: timer, 100rel\r\n"),
        Just(" folded\r\n"),
        Just("X-Odd : value\r\n"),
        Just("Reason: Q.850;cause=16;text=\"x\"\r\n"),
        Just("\r\n"),
        Just("\n"),
        Just("v=0"),
        Just("\u{e9}"),
    ];
    let needed = [
        "Via: SIP/2.0/UDP h:5060;branch=z9hG4bKx;rport\r\n",
        "From: <sip:a@b>;tag=1\r\n",
        "To: <sip:a@b>\r\n",
        "Call-ID: x@y\r\n",
        "CSeq: 1 INVITE\r\n",
    ];
    let whole =
        (Just(needed).prop_shuffle(), vec(piece.clone(), 0..5), any::<bool>()).prop_map(|(lines, more, end)| {
            let mut pieces = vec!["INVITE sip:a@b SIP/2.0\r\n"];
            pieces.extend(lines);
            pieces.extend(more);
            pieces.extend(end.then_some("l: 0\r\n\r\n"));
            pieces
        });
    let pieces = prop_oneof![vec(piece, 0..14), whole];
    (pieces, vec((any::<prop::sample::Index>(), any::<u8>()), 0..3)).prop_map(|(pieces, damage)| {
        let mut bytes = pieces.concat().into_bytes();
        for (at, byte) in damage {
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
        }
        bytes
    })
}

/// Challenges and credentials with something wrong in them.
fn nearly_digest() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("Digest "),
        Just("username=\"b\", realm=\"r\", nonce=\"n\", uri=\"sip:h\", response=\"00000000000000000000000000000000\""),
        Just("realm=\"r\""),
        Just("nonce=n"),
        Just("algorithm=SHA-256"),
        Just("qop=\"auth,auth-int\""),
        Just("qop=auth"),
        Just("nc=00000001"),
        Just("cnonce=\"\\\"\""),
        Just("stale=true"),
        Just(", "),
        Just(","),
        Just("\""),
        Just("="),
        Just("\u{e9}"),
    ];
    (any::<bool>(), vec(piece, 0..12)).prop_map(|(is_digest, pieces)| {
        if is_digest { format!("Digest {}", pieces.join(",")) } else { pieces.concat() }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_read_or_refused(bytes in vec(any::<u8>(), 0..400)) {
        bodies::message(&bytes);
    }

    #[test]
    fn nearly_a_message_is_read_or_refused(bytes in nearly_messages()) {
        bodies::message(&bytes);
    }

    #[test]
    fn a_stream_may_be_cut_anywhere(bytes in nearly_messages(), more in nearly_messages(), cuts in vec(any::<u8>(), 0..9)) {
        bodies::stream(&[bytes, more].concat(), &cuts);
    }

    #[test]
    fn any_text_is_no_credentials(text in nearly_digest()) {
        bodies::digest(text.as_bytes());
    }

    #[test]
    fn who_has_the_password_is_let_in_and_nobody_else(user in "\\PC{1,12}", password in "\\PC{0,12}", other in "\\PC{0,12}") {
        bodies::digest_round(&user, &password, &other);
    }

    #[test]
    fn every_transaction_ends_once(commands in vec(any::<u8>(), 0..180)) {
        bodies::transactions(&commands);
    }
}
