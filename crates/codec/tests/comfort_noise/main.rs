//! Comfort noise of RFC 3389, and both ways between it and the silence descriptors of G.729 Annex B.

#![allow(clippy::unwrap_used)]

mod bodies;
#[path = "../vectors/mod.rs"]
mod vectors;

use bodies::decode;
use proptest::collection::vec;
use proptest::prelude::*;
use tandem_codec::audio_level::{mean_square, mean_square_of};
use tandem_codec::cn::{Analyser, Description};
use tandem_codec::g729::bitstream::{Frame, SerialFrames};
use tandem_codec::g729::{Decoder, Encoder, FRAME_SAMPLES};
use vectors::Vectors;

proptest! {
    #[test]
    fn any_octets_are_comfort_noise_or_refused(payload in vec(any::<u8>(), 0..40)) {
        bodies::comfort_noise(&payload);
    }

    #[test]
    fn any_comfort_noise_comes_back_from_descriptors_as_loud(octets in vec(any::<u8>(), 0..240)) {
        bodies::through_descriptors(&octets);
    }

    #[test]
    fn usual_comfort_noise_comes_back_from_descriptors_as_loud(
        level in 20_u8..90,
        indices in vec(60_u8..195, 0..11),
    ) {
        bodies::through_descriptors(&[&[level], &indices[..]].concat());
    }
}

/// A second of what the decoder does while nothing is sent: its level in dB, and an analysis of it.
fn listen(mut decoder: Decoder, frames: usize) -> (f32, Description) {
    let mut pcm = [0; FRAME_SAMPLES];
    let (mut energy, mut analyser) = (0.0, Analyser::new(10));
    for _ in 0..frames {
        decode(&mut decoder, Frame::NotSent, &mut pcm);
        energy += mean_square(&pcm) / frames as f32;
        analyser.observe(&pcm);
    }
    (decibel(energy), analyser.describe())
}

fn decibel(mean_square: f32) -> f32 {
    10.0 * mean_square.max(1e-3).log10()
}

#[test]
fn described_noise_sounds_through_g729_as_loud_as_described() {
    for payload in [&[50][..], &[40, 60, 150, 120], &[60, 100, 140], &[45, 170, 120, 130], &[35, 40, 180, 90, 150, 120]]
    {
        let noise = Description::parse(payload).unwrap();
        let (mut encoder, mut decoder) = (Encoder::with_annex_b(), Decoder::new());
        let frame = encoder.encode_noise(Some(&noise), &[0; FRAME_SAMPLES]);
        decode(&mut decoder, frame, &mut [0; FRAME_SAMPLES]);
        let (loud, _) = listen(decoder, 400);
        let expected = decibel(mean_square_of(noise.minus_dbov));
        assert!((loud - expected).abs() <= 1.5, "{payload:?}: {loud} dB instead of {expected} dB");
    }
}

#[test]
fn spectrum_comes_back_from_a_descriptor() {
    for payload in [&[50][..], &[40, 60, 150, 120], &[45, 170, 120, 130], &[35, 40, 180, 90, 150, 120]] {
        let noise = Description::parse(payload).unwrap();
        let (mut encoder, mut decoder) = (Encoder::with_annex_b(), Decoder::new());
        let frame = encoder.encode_noise(Some(&noise), &[0; FRAME_SAMPLES]);
        decode(&mut decoder, frame, &mut [0; FRAME_SAMPLES]);
        let heard = decoder.comfort_noise();
        for (i, heard) in heard.reflection().iter().enumerate().take(3) {
            let described = noise.reflection().get(i).copied().unwrap_or(0.0);
            assert!((heard - described).abs() < 0.25, "coefficient {i}: {heard} instead of {described}");
        }
    }
}

#[test]
fn descriptors_of_the_vectors_are_described_as_they_sound() {
    let Some(vectors) = Vectors::open("g729ab") else { return };
    let mut described = 0;
    for name in ["tstseq1a.bit", "tstseq2a.bit", "tstseq3a.bit", "tstseq4a.bit", "tstseq5.bit", "tstseq6.bit"] {
        let Some(serial) = vectors.octets(name) else { continue };
        let mut decoder = Decoder::new();
        let mut pcm = [0; FRAME_SAMPLES];
        for frame in SerialFrames::new(&serial) {
            let frame = frame.unwrap();
            decode(&mut decoder, frame, &mut pcm);
            let Frame::Sid(_) = frame else { continue };
            let noise = decoder.comfort_noise();
            let (loud, heard) = listen(decoder, 100);
            let expected = decibel(mean_square_of(noise.minus_dbov));
            // The decoder's smoothing ends some dB above gains of a few eighths: what is quieter than that is as good as silent.
            if noise.minus_dbov > 60 {
                continue;
            }
            assert!((loud - expected).abs() <= 1.5, "{name}: {loud} dB, described as {expected} dB");
            let (first, described_first) = (heard.reflection()[0], noise.reflection()[0]);
            assert!((first - described_first).abs() < 0.12, "{name}: {first} was described as {described_first}");
            described += 1;
        }
    }
    assert!(described > 50, "only {described} descriptors");
}
