//! What must hold for any octets; driven by the property tests and by the fuzz targets.

use tandem_codec::Level;
use tandem_codec::g729::bitstream::{Frame, SERIAL_FRAME_OCTETS, SerialFrames, split_payload, write_serial};
use tandem_codec::g729::{DecodeJob, Decoder, FRAME_SAMPLES, decode_batch};

/// Calls in a batch at most: more than two vectors' widths, and no multiple of one.
const CALLS_MAX: usize = 37;

/// Reads a batch of calls from `octets`: how many, then frame by frame, call after call, a kind and what belongs to it.
fn calls(octets: &[u8]) -> Vec<Vec<Frame>> {
    let Some((&count, mut rest)) = octets.split_first() else { return Vec::new() };
    let count = 1 + usize::from(count) % CALLS_MAX;
    let mut calls = vec![Vec::new(); count];
    for call in (0..count).cycle() {
        let Some((&kind, after)) = rest.split_first() else { break };
        rest = after;
        calls[call].push(match kind % 16 {
            0 => Frame::NotSent,
            1 => Frame::Erased,
            2 => {
                let Some((sid, after)) = rest.split_first_chunk() else { break };
                rest = after;
                Frame::Sid(*sid)
            }
            // This call's turn passes: calls have different lengths.
            3 => continue,
            _ => {
                let Some((speech, after)) = rest.split_first_chunk() else { break };
                rest = after;
                Frame::Speech(*speech)
            }
        });
    }
    calls
}

/// Any frames of any number of calls decode to the same samples and the same states at every level, and whether a call's
/// frames come in one job or in several.
pub(crate) fn decode(octets: &[u8]) {
    let calls = calls(octets);
    let decode_in_steps = |level: Level, step: usize| {
        let mut states = vec![Decoder::new(); calls.len()];
        let mut pcm: Vec<Vec<[i16; FRAME_SAMPLES]>> =
            calls.iter().map(|frames| vec![[0; FRAME_SAMPLES]; frames.len()]).collect();
        let longest = calls.iter().map(Vec::len).max().unwrap_or(0);
        for first in (0..longest).step_by(step) {
            let mut jobs: Vec<DecodeJob<'_>> = states
                .iter_mut()
                .zip(&calls)
                .zip(&mut pcm)
                .filter(|((_, frames), _)| frames.len() > first)
                .map(|((state, frames), pcm)| {
                    let end = frames.len().min(first + step);
                    DecodeJob { state, frames: &frames[first..end], pcm: &mut pcm[first..end] }
                })
                .collect();
            decode_batch(level, &mut jobs);
        }
        (states, pcm)
    };
    let reference = decode_in_steps(Level::Scalar, usize::MAX);
    for (level, step) in Level::available().zip([1, 2, 3, 1]) {
        assert!(decode_in_steps(level, step) == reference, "{level} differs from scalar");
    }
}

/// Any octets are refused as a payload or split into frames that hold all of them.
pub(crate) fn payload(octets: &[u8]) {
    let Ok(frames) = split_payload(octets) else {
        assert!(!matches!(octets.len() % 10, 0 | 2));
        return;
    };
    let mut joined = Vec::new();
    for frame in frames {
        match frame {
            Frame::Speech(speech) => joined.extend_from_slice(&speech),
            Frame::Sid(sid) => joined.extend_from_slice(&sid),
            Frame::NotSent | Frame::Erased => panic!("a payload holds what was sent and arrived"),
        }
    }
    assert_eq!(joined, octets);
}

/// Any octets are read as a serial file up to their first damage, and what was read reads back as written.
pub(crate) fn serial(octets: &[u8]) {
    let frames: Vec<Frame> = SerialFrames::new(octets).map_while(Result::ok).collect();
    let mut written = Vec::new();
    for frame in &frames {
        let mut words = [0; SERIAL_FRAME_OCTETS];
        let length = write_serial(frame, &mut words);
        written.extend_from_slice(&words[..length]);
    }
    assert!(SerialFrames::new(&written).map_while(Result::ok).eq(frames));
}
