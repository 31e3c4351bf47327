//! Nanoseconds per packet of 172 octets (12 of header, 160 of G.711), in one run with libsrtp2 where that is installed
//! (`scripts/setup.sh bench`).
//!
//! `cargo bench -p tandem-srtp [-- PROFILE]`. Each figure is the best of many rounds over 64 streams in turn.

#[allow(dead_code, reason = "the bench protects no RTCP")]
#[path = "../tests/libsrtp/mod.rs"]
mod libsrtp;

use std::hint::black_box;
use std::time::Instant;

use libsrtp::Libsrtp;
use tandem_srtp::{CryptoSuite, MasterKey, Receiver, Sender};

const LEN: usize = 172;
/// What libsrtp wants behind a packet, and more than any tag.
const ROOM: usize = 148;
const STREAMS: usize = 64;
const PACKETS_PER_STREAM: usize = 8;
const ROUNDS: usize = 400;

type Packet = [u8; LEN + ROOM];

fn packet(sequence: u16, ssrc: u32) -> Packet {
    let mut packet = [0x55; LEN + ROOM];
    packet[..2].copy_from_slice(&[0x80, 0]);
    packet[2..4].copy_from_slice(&sequence.to_be_bytes());
    packet[8..12].copy_from_slice(&ssrc.to_be_bytes());
    packet
}

/// Best nanoseconds per packet of protecting and of opening.
fn measure(
    mut protect: impl FnMut(usize, &mut Packet) -> usize,
    mut open: impl FnMut(usize, &mut [u8]) -> usize,
) -> [f64; 2] {
    let mut best = [f64::INFINITY; 2];
    for round in 0..ROUNDS {
        let first = (round * PACKETS_PER_STREAM) as u16;
        let mut packets: Vec<(usize, Packet, usize)> = (0..PACKETS_PER_STREAM as u16)
            .flat_map(|n| (0..STREAMS).map(move |stream| (stream, packet(first + n, stream as u32), 0)))
            .collect();
        let nanos_per_packet =
            |start: Instant| start.elapsed().as_nanos() as f64 / (STREAMS * PACKETS_PER_STREAM) as f64;
        let start = Instant::now();
        for (stream, packet, len) in &mut packets {
            *len = protect(*stream, packet);
        }
        best[0] = best[0].min(nanos_per_packet(start));
        let start = Instant::now();
        for (stream, packet, len) in &mut packets {
            assert_eq!(open(*stream, &mut packet[..*len]), LEN);
        }
        best[1] = best[1].min(nanos_per_packet(start));
        black_box(&packets);
    }
    best
}

fn main() {
    let wanted = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    let libsrtp = Libsrtp::load();
    println!("{:<26} {:<9} {:>8} {:>8}   ns/packet of {LEN} octets", "suite", "by", "protect", "open");
    for suite in CryptoSuite::ALL.into_iter().filter(|suite| suite.name().contains(&wanted)) {
        let octets: Vec<u8> = (0..suite.key_len() + suite.salt_len()).map(|octet| (octet * 7) as u8).collect();
        let key = MasterKey::new(suite, &octets).expect("the length is right");
        let mut senders: Vec<_> = (0..STREAMS).map(|stream| Sender::new(&key, stream as u32)).collect();
        let mut receivers: Vec<_> = (0..STREAMS).map(|_| Receiver::new(&key)).collect();
        let [protect, open] = measure(
            |stream, packet| senders[stream].protect(packet, LEN).expect("protected"),
            |stream, packet| receivers[stream].unprotect(packet).expect("opened"),
        );
        let name = suite.name();
        println!("{name:<26} {:<9} {protect:>8.1} {open:>8.1}", "tandem");
        let Some(libsrtp) = &libsrtp else {
            println!("{name:<26} {:<9} not run: libsrtp2 is not installed", "libsrtp2");
            continue;
        };
        let mut senders: Vec<_> = (0..STREAMS).map(|_| libsrtp.sender(suite, &octets)).collect();
        let mut receivers: Vec<_> = (0..STREAMS).map(|_| libsrtp.receiver(suite, &octets)).collect();
        let [theirs, open_theirs] = measure(
            |stream, packet| senders[stream].rtp(packet, LEN).expect("protected"),
            |stream, packet| {
                let len = packet.len();
                receivers[stream].rtp(packet, len).expect("opened")
            },
        );
        println!(
            "{name:<26} {:<9} {theirs:>8.1} {open_theirs:>8.1}   {:.1} and {:.1} times ours",
            "libsrtp2",
            theirs / protect,
            open_theirs / open
        );
    }
}
