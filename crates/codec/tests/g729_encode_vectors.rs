//! ITU-T encoder vectors of G.729 Annex A, alone and with Annex B, at every level, alone and in mixed lanes.

use std::fs;
use std::path::{Path, PathBuf};

use tandem_codec::Level;
use tandem_codec::g729::bitstream::{Frame, SerialFrames, SpeechParameters};
use tandem_codec::g729::{EncodeJob, Encoder, FRAME_SAMPLES, encode_batch};

type Pcm = [i16; FRAME_SAMPLES];

/// Speech and what the reference encoder makes of it.
struct Vector {
    name: String,
    annex_b: bool,
    pcm: Vec<Pcm>,
    expected: Vec<Frame>,
}

impl Vector {
    fn encoder(&self) -> Encoder {
        if self.annex_b { Encoder::with_annex_b() } else { Encoder::new() }
    }
}

/// The directory of the vectors, or nothing when it is absent and need not be there.
fn vectors_dir() -> Option<PathBuf> {
    let shared = std::env::var_os("TANDEM_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"), PathBuf::from);
    let dir = shared.join("vectors");
    if dir.is_dir() {
        return Some(dir);
    }
    assert!(std::env::var_os("TANDEM_REQUIRE_SHARED").is_none_or(|v| v != "1"), "no {}", dir.display());
    println!("not run: G.729 encoder vectors (no {})", dir.display());
    None
}

/// Every speech file in the G.729 directories that has its serial file beside it.
fn vectors(dir: &Path) -> Vec<Vector> {
    let mut vectors = Vec::new();
    for (set, annex_b) in [("g729a", false), ("g729a-stress", false), ("g729ab", true)] {
        let mut paths: Vec<PathBuf> = fs::read_dir(dir.join(set))
            .map(|entries| entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect())
            .unwrap_or_default();
        paths.sort();
        for path in paths {
            let Some(stem) = path.file_stem().and_then(|stem| stem.to_str()) else { continue };
            let is_speech = path.extension().is_some_and(|extension| extension == "IN" || extension == "bin");
            let serial = path.with_file_name(if annex_b { format!("{stem}a.bit") } else { format!("{stem}.BIT") });
            if !is_speech || !serial.is_file() {
                continue;
            }
            let pcm = fs::read(&path).expect("the speech can be read");
            let samples: Vec<i16> = pcm.as_chunks().0.iter().map(|sample| i16::from_le_bytes(*sample)).collect();
            let pcm = samples.as_chunks().0.to_vec();
            let serial = fs::read(&serial).expect("the serial file can be read");
            let expected: Vec<Frame> = SerialFrames::new(&serial)
                .collect::<Result<_, _>>()
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            assert_eq!(pcm.len(), expected.len(), "{}", path.display());
            vectors.push(Vector { name: format!("{set}/{stem}"), annex_b, pcm, expected });
        }
    }
    vectors
}

/// Names the first parameter that differs.
fn assert_exact(name: &str, level: Level, first_frame: usize, encoded: &[Frame], expected: &[Frame]) {
    for (frame, (encoded, expected)) in encoded.iter().zip(expected).enumerate() {
        if encoded == expected {
            continue;
        }
        let frame = first_frame + frame;
        if let (Frame::Speech(encoded), Frame::Speech(expected)) = (encoded, expected) {
            let (encoded, expected) = (SpeechParameters::from_octets(encoded), SpeechParameters::from_octets(expected));
            panic!("{name} at {level}: frame {frame}:\n{encoded:?} instead of\n{expected:?}");
        }
        panic!("{name} at {level}: frame {frame}: {encoded:?} instead of {expected:?}");
    }
}

#[test]
fn every_vector_encodes_exactly_at_every_level_with_all_vectors_side_by_side() {
    let Some(dir) = vectors_dir() else { return };
    let vectors = vectors(&dir);
    assert!(vectors.len() >= 10, "only {} vectors under {}", vectors.len(), dir.display());
    for level in Level::available() {
        // One job per file over its whole length: lanes fall empty as the shorter files end.
        let mut encoders: Vec<Encoder> = vectors.iter().map(Vector::encoder).collect();
        let mut frames: Vec<Vec<Frame>> = vectors.iter().map(|v| vec![Frame::NotSent; v.pcm.len()]).collect();
        let mut jobs: Vec<EncodeJob<'_>> = encoders
            .iter_mut()
            .zip(&vectors)
            .zip(&mut frames)
            .map(|((state, vector), frames)| EncodeJob { state, pcm: &vector.pcm, frames })
            .collect();
        encode_batch(level, &mut jobs);
        for (vector, frames) in vectors.iter().zip(&frames) {
            assert_exact(&vector.name, level, 0, frames, &vector.expected);
        }
    }
}
