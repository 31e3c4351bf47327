//! G.729A decoding: channels per core at each level, and bcg729 beside them when it is installed.
#![allow(missing_docs, clippy::unwrap_used)]

mod measure;
#[allow(dead_code, reason = "other benches use the encoder")]
mod peers;
mod speech;

use measure::channels_per_core;
use tandem_codec::Level;
use tandem_codec::g729::bitstream::Frame;
use tandem_codec::g729::{DecodeJob, Decoder, EncodeJob, Encoder, FRAME_SAMPLES, decode_batch, encode_batch};

/// Independent calls.
const CALLS: usize = 256;
/// Frames of a packet: 20 ms.
const PACKET_FRAMES: usize = 2;
/// Packets of each call in one run: one second.
const PACKETS: usize = 50;

fn main() {
    let pcm = speech::frames_at_8_khz();
    let mut speech = vec![Frame::NotSent; pcm.len()];
    encode_batch(Level::detect(), &mut [EncodeJob { state: &mut Encoder::new(), pcm: &pcm, frames: &mut speech }]);
    // Each call somewhere else in the speech.
    let packet = |call: usize, packet: usize| {
        let packets = speech.len() / PACKET_FRAMES;
        let first = (call * 37 + packet) % packets * PACKET_FRAMES;
        &speech[first..first + PACKET_FRAMES]
    };
    let audio_s = (CALLS * PACKETS * PACKET_FRAMES) as f64 * 0.01;
    println!("G.729A decode, {CALLS} calls of real speech, channels per core and ns per frame:");
    // Names of levels on the command line restrict the run to them.
    let wanted: Vec<Level> = std::env::args().skip(1).filter_map(|name| Level::from_name(&name)).collect();
    for level in Level::available().filter(|level| wanted.is_empty() || wanted.contains(level)) {
        let mut states = vec![Decoder::new(); CALLS];
        let mut pcm = vec![[[0; FRAME_SAMPLES]; PACKET_FRAMES]; CALLS];
        let mut clock = 0;
        let channels = channels_per_core(audio_s, || {
            for _ in 0..PACKETS {
                let mut jobs: Vec<DecodeJob> = states
                    .iter_mut()
                    .zip(&mut pcm)
                    .enumerate()
                    .map(|(call, (state, pcm))| DecodeJob { state, frames: packet(call, clock), pcm })
                    .collect();
                decode_batch(level, &mut jobs);
                clock += 1;
            }
        });
        report(level.name(), channels);
    }
    if !wanted.is_empty() {
        return;
    }
    let Some(bcg729) = peers::bcg729::Bcg729::load() else {
        println!("  bcg729: not installed");
        return;
    };
    let mut decoders: Vec<_> = (0..CALLS).map(|_| bcg729.decoder()).collect();
    let mut clock = 0;
    let mut pcm = [0; FRAME_SAMPLES];
    let channels = channels_per_core(audio_s, || {
        for _ in 0..PACKETS {
            for (call, decoder) in decoders.iter_mut().enumerate() {
                for frame in packet(call, clock) {
                    if let Frame::Speech(octets) = frame {
                        decoder.decode(octets, &mut pcm);
                    }
                }
            }
            clock += 1;
        }
    });
    report("bcg729", channels);
}

fn report(name: &str, channels: f64) {
    const FRAMES_PER_S: f64 = 100.0;
    println!("  {name:<12}{channels:>8.0}{:>8.0}", 1e9 / (channels * FRAMES_PER_S));
}
