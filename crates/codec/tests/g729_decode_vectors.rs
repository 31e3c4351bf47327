//! ITU-T decoder vectors of G.729 Annex A with Annex B, at every level, alone and in mixed lanes.

#![allow(clippy::unwrap_used)]

mod vectors;

use tandem_codec::Level;
use tandem_codec::g729::bitstream::{Frame, SerialFrames};
use tandem_codec::g729::{DecodeJob, Decoder, FRAME_SAMPLES, decode_batch};
use vectors::Vectors;

type Pcm = [i16; FRAME_SAMPLES];

/// A serial file and what the reference decoder makes of it.
struct Vector {
    name: String,
    frames: Vec<Frame>,
    expected: Vec<Pcm>,
}

/// Every serial file in the G.729 folders that has its decoded output beside it; none when there are no vectors.
fn all_vectors() -> Vec<Vector> {
    let mut all = Vec::new();
    for set in ["g729a", "g729ab", "g729a-stress", "g729ab-stress"] {
        let Some(vectors) = Vectors::open(set) else { continue };
        for path in vectors.files() {
            let Some(stem) = path.file_stem().and_then(|stem| stem.to_str()) else { continue };
            let is_serial = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("bit"));
            let outputs = ["PST", "pst", "out"].map(|ending| format!("{stem}.{ending}"));
            let mut outputs = outputs.into_iter().chain([format!("{stem}a.out")]);
            let words = outputs.find_map(|output| vectors.words(&output));
            let (true, Some(words)) = (is_serial, words) else { continue };
            let serial = vectors.octets(path.file_name().unwrap().to_str().unwrap()).unwrap();
            let frames: Vec<Frame> = SerialFrames::new(&serial)
                .collect::<Result<_, _>>()
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let expected = words.as_chunks().0.to_vec();
            assert_eq!(frames.len(), expected.len(), "{}", path.display());
            all.push(Vector { name: format!("{set}/{stem}"), frames, expected });
        }
    }
    // Some files of each set may be kept elsewhere, but not most of them.
    assert!(all.is_empty() || all.len() >= 12, "only {} vectors", all.len());
    all
}

/// Compares frame by frame, so that a difference names its first place.
fn assert_exact(name: &str, level: Level, first_frame: usize, decoded: &[Pcm], expected: &[Pcm]) {
    for (frame, (decoded, expected)) in decoded.iter().zip(expected).enumerate() {
        if let Some(sample) = (0..FRAME_SAMPLES).find(|&i| decoded[i] != expected[i]) {
            panic!(
                "{name} at {level}: frame {}, sample {sample}: {} instead of {}",
                first_frame + frame,
                decoded[sample],
                expected[sample]
            );
        }
    }
}

#[test]
fn every_vector_decodes_exactly_at_every_level_with_all_vectors_side_by_side() {
    let vectors = all_vectors();
    for level in Level::available() {
        // One job per file over its whole length: lanes fall empty as the shorter files end.
        let mut states: Vec<Decoder> = vectors.iter().map(|_| Decoder::new()).collect();
        let mut decoded: Vec<Vec<Pcm>> = vectors.iter().map(|v| vec![[0; FRAME_SAMPLES]; v.frames.len()]).collect();
        let mut jobs: Vec<DecodeJob> = states
            .iter_mut()
            .zip(&vectors)
            .zip(&mut decoded)
            .map(|((state, vector), pcm)| DecodeJob { state, frames: &vector.frames, pcm })
            .collect();
        decode_batch(level, &mut jobs);
        for (vector, decoded) in vectors.iter().zip(&decoded) {
            assert_exact(&vector.name, level, 0, decoded, &vector.expected);
        }
    }
}

/// Marsaglia's xorshift64: chance that is the same in every run.
struct XorShift(u64);

impl XorShift {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) as usize % bound
    }
}

#[test]
fn vectors_stay_exact_in_batches_whose_calls_come_go_and_change_places() {
    let vectors = all_vectors();
    for level in Level::available() {
        let mut chance = XorShift(0x9e37_79b9_7f4a_7c15);
        let mut states: Vec<Decoder> = vectors.iter().map(|_| Decoder::new()).collect();
        let mut next_frame = vec![0; vectors.len()];
        while (0..vectors.len()).any(|call| next_frame[call] < vectors[call].frames.len()) {
            // Who takes part in this batch, in which order, and with how many frames.
            let mut calls: Vec<(usize, &mut Decoder)> =
                states.iter_mut().enumerate().filter(|_| chance.below(8) != 0).collect();
            if !calls.is_empty() {
                let first = chance.below(calls.len());
                calls.rotate_left(first);
            }
            let counts: Vec<usize> = calls
                .iter()
                .map(|(call, _)| (1 + chance.below(12)).min(vectors[*call].frames.len() - next_frame[*call]))
                .collect();
            let mut pcm: Vec<Vec<Pcm>> = counts.iter().map(|&count| vec![[0; FRAME_SAMPLES]; count]).collect();
            let mut jobs: Vec<DecodeJob> = calls
                .iter_mut()
                .zip(&counts)
                .zip(&mut pcm)
                .map(|(((call, state), &count), pcm)| {
                    let frames = &vectors[*call].frames[next_frame[*call]..][..count];
                    DecodeJob { state, frames, pcm }
                })
                .collect();
            decode_batch(level, &mut jobs);
            for ((call, _), pcm) in calls.iter().zip(&pcm) {
                let first = next_frame[*call];
                let expected = &vectors[*call].expected[first..first + pcm.len()];
                assert_exact(&vectors[*call].name, level, first, pcm, expected);
            }
            for ((call, _), count) in calls.iter().zip(&counts) {
                next_frame[*call] += count;
            }
        }
    }
}
