//! G.711 on one core: nanoseconds for the 160 octets of a packet, at each level.
#![allow(missing_docs, clippy::unwrap_used)]

mod measure;

use std::hint::black_box;

use tandem_codec::Level;
use tandem_codec::g711::{Law, decode, encode, transcode_in_place};

/// Octets of 20 ms.
const PACKET: usize = 160;

/// Packets that one measured piece of work runs through.
const PACKETS: usize = 1000;

/// Nanoseconds per packet of `work`.
fn ns_per_packet(mut work: impl FnMut()) -> f64 {
    let per_second = measure::channels_per_core(PACKETS as f64, || (0..PACKETS).for_each(|_| work()));
    1e9 / per_second
}

fn main() {
    println!("{:12} {:>12} {:>12} {:>12}   (ns per {PACKET} octets)", "level", "µ to A", "encode µ", "decode µ");
    for level in Level::available() {
        let mut payload: [u8; PACKET] = std::array::from_fn(|i| (i * 37) as u8);
        let mut pcm = [0; PACKET];
        let transcoded = ns_per_packet(|| transcode_in_place(level, Law::Mu, black_box(&mut payload)));
        let decoded = ns_per_packet(|| decode(level, Law::Mu, black_box(&payload), black_box(&mut pcm)));
        let encoded = ns_per_packet(|| encode(level, Law::Mu, black_box(&pcm), black_box(&mut payload)));
        println!("{:12} {transcoded:12.1} {encoded:12.1} {decoded:12.1}", level.name());
    }
}
