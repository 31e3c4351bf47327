//! Hashes of what the decoder makes of input that the test generates, so that a changed bit is noticed without the vectors.

use tandem_codec::Level;
use tandem_codec::g729::bitstream::Frame;
use tandem_codec::g729::{DecodeJob, Decoder, FRAME_SAMPLES, decode_batch};

/// Marsaglia's xorshift64.
struct XorShift(u64);

impl XorShift {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn octets<const N: usize>(&mut self) -> [u8; N] {
        core::array::from_fn(|_| (self.next() >> 32) as u8)
    }
}

/// FNV-1a, 64 bits, over little-endian samples.
fn hash(pcm: &[[i16; FRAME_SAMPLES]]) -> u64 {
    pcm.as_flattened()
        .iter()
        .flat_map(|sample| sample.to_le_bytes())
        .fold(0xcbf2_9ce4_8422_2325, |hash, octet| (hash ^ u64::from(octet)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// Speech frames of random parameters; `weather` decides what else comes between them, and for how long.
fn frames(seed: u64, weather: impl Fn(u64) -> Option<Frame>) -> Vec<Frame> {
    let mut random = XorShift(seed);
    let mut frames = Vec::new();
    while frames.len() < 400 {
        let draw = random.next();
        let run = 1 + draw as usize % 7;
        for _ in 0..run {
            frames.push(match weather(draw >> 8) {
                Some(Frame::Sid(_)) => Frame::Sid(random.octets()),
                Some(other) => other,
                None => Frame::Speech(random.octets()),
            });
        }
    }
    frames
}

fn assert_hash(frames: &[Frame], expected: u64) {
    for level in Level::available() {
        let mut state = Decoder::new();
        let mut pcm = vec![[0; FRAME_SAMPLES]; frames.len()];
        decode_batch(level, &mut [DecodeJob { state: &mut state, frames, pcm: &mut pcm }]);
        assert_eq!(hash(&pcm), expected, "{level}: {:#018x}", hash(&pcm));
    }
}

#[test]
fn speech_without_losses() {
    assert_hash(&frames(1, |_| None), 0x9155_e4aa_bfa2_f3c6);
}

#[test]
fn speech_with_erasures() {
    assert_hash(&frames(2, |draw| (draw % 3 == 0).then_some(Frame::Erased)), 0xb773_dbb7_0836_7f27);
}

#[test]
fn speech_comfort_noise_and_erasures() {
    let weather = |draw| match draw % 8 {
        0 => Some(Frame::Erased),
        1 | 2 => Some(Frame::Sid([0; 2])),
        3 | 4 => Some(Frame::NotSent),
        _ => None,
    };
    assert_hash(&frames(3, weather), 0xbcfe_7311_f858_f2d4);
}
