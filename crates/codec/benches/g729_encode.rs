//! G.729A encoding: channels per core at each level, and bcg729 beside them when it is installed.
#![allow(missing_docs, clippy::unwrap_used)]

mod measure;
#[allow(dead_code, reason = "other benches use the decoder")]
mod peers;

use measure::channels_per_core;
use tandem_codec::Level;
use tandem_codec::g729::bitstream::Frame;
use tandem_codec::g729::{EncodeJob, Encoder, FRAME_SAMPLES, encode_batch};

/// Independent calls.
const CALLS: usize = 256;
/// Frames of a packet: 20 ms.
const PACKET_FRAMES: usize = 2;
/// Packets of each call in one run: one second.
const PACKETS: usize = 50;

fn main() {
    let shared = std::env::var("TANDEM_SHARED")
        .unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared").to_owned());
    let pcm = std::fs::read(format!("{shared}/vectors/g729a/SPEECH.IN")).expect("speech");
    let samples: Vec<i16> = pcm.as_chunks().0.iter().map(|sample| i16::from_le_bytes(*sample)).collect();
    let speech: &[[i16; FRAME_SAMPLES]] = samples.as_chunks().0;
    // Each call somewhere else in the speech.
    let packet = |call: usize, packet: usize| {
        let packets = speech.len() / PACKET_FRAMES;
        let first = (call * 37 + packet) % packets * PACKET_FRAMES;
        &speech[first..first + PACKET_FRAMES]
    };
    let audio_s = (CALLS * PACKETS * PACKET_FRAMES) as f64 * 0.01;
    // Names of levels on the command line restrict the run to them; `annexb` turns discontinuous transmission on.
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let annex_b = arguments.iter().any(|argument| argument == "annexb");
    let wanted: Vec<Level> = arguments.iter().filter_map(|name| Level::from_name(name)).collect();
    println!("G.729A encode, {CALLS} calls of real speech, channels per core:");
    for level in Level::available().filter(|level| wanted.is_empty() || wanted.contains(level)) {
        let mut states = vec![if annex_b { Encoder::with_annex_b() } else { Encoder::new() }; CALLS];
        let mut frames = vec![[Frame::NotSent; PACKET_FRAMES]; CALLS];
        let mut clock = 0;
        let channels = channels_per_core(audio_s, || {
            for _ in 0..PACKETS {
                let mut jobs: Vec<EncodeJob> = states
                    .iter_mut()
                    .zip(&mut frames)
                    .enumerate()
                    .map(|(call, (state, frames))| EncodeJob { state, pcm: packet(call, clock), frames })
                    .collect();
                encode_batch(level, &mut jobs);
                clock += 1;
            }
        });
        println!("  {level:<12}{channels:>8.0}");
    }
    if !wanted.is_empty() {
        return;
    }
    let Some(bcg729) = peers::bcg729::Bcg729::load() else {
        println!("  bcg729: not installed");
        return;
    };
    let mut encoders: Vec<_> = (0..CALLS).map(|_| bcg729.encoder(annex_b)).collect();
    let mut clock = 0;
    let mut octets = [0; 10];
    let channels = channels_per_core(audio_s, || {
        for _ in 0..PACKETS {
            for (call, encoder) in encoders.iter_mut().enumerate() {
                for pcm in packet(call, clock) {
                    encoder.encode(pcm, &mut octets);
                }
            }
            clock += 1;
        }
    });
    println!("  {:<12}{channels:>8.0}", "bcg729");
}
