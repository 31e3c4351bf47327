//! Whatever a peer sends, we stay on our feet, and what we write back can be read.
#![allow(missing_docs, unreachable_pub)]

#[path = "properties/bodies.rs"]
mod bodies;

use bodies::exercise;
use proptest::prelude::*;

const LINES: &[&str] = &[
    "v=0",
    "o=- 1 1 IN IP4 192.0.2.1",
    "s=-",
    "t=0 0",
    "c=IN IP4 192.0.2.1",
    "c=IN IP4 0.0.0.0",
    "c=IN IP6 ::1",
    "m=audio 4000 RTP/AVP 0 8 9 18 96 101",
    "m=audio 4000 RTP/AVP 96 97",
    "m=video 5000 RTP/AVP 99",
    "m=audio 0 RTP/AVP 0",
    "m=image 9 udptl t38",
    "a=rtpmap:96 opus/48000/2",
    "a=rtpmap:97 G729/8000",
    "a=fmtp:18 annexb=no",
    "a=fmtp:18 annexb=",
    "a=rtpmap:101 telephone-event/8000",
    "a=rtpmap:0 PCMA/8000",
    "a=ptime:30",
    "a=ptime:99999",
    "a=maxptime:10",
    "a=sendonly",
    "a=inactive",
    "a=recvonly",
    "a=rtcp:9 IN IP4 1.2.3.4",
    "a=rtcp:",
    "a=crypto:1 x",
    "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj",
    "a=crypto:2 AES_CM_128_HMAC_SHA1_32 inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj|2^20|1:4",
    "a=crypto:999999999 AEAD_AES_128_GCM inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJQ== WSH=64",
    "m=audio 4000 RTP/SAVP 0 8 101",
    "m=audio 4000 RTP/SAVPF 0 8 101",
    "a=:",
    "a=",
    "b=AS:64",
    "z=0 0",
    "k=prompt",
];

proptest! {
    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        exercise(&bytes);
    }

    #[test]
    fn any_lines_are_survived_and_answered_readably(
        picks in proptest::collection::vec(0..LINES.len(), 0..40),
        cut in 0_usize..2_000,
    ) {
        let mut text = String::from("v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\n");
        for pick in picks.iter().filter(|pick| **pick > 0) {
            text.push_str(LINES[*pick]);
            text.push_str("\r\n");
        }
        exercise(text.as_bytes());
        exercise(&text.as_bytes()[..cut.min(text.len())]);
    }
}
