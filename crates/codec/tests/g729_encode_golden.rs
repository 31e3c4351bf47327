//! The encoder on input that the tests generate: every level gives the bits of the scalar one, whatever shares its lanes,
//! and their hash is known, so that a changed bit is noticed without the vectors.

use tandem_codec::Level;
use tandem_codec::g729::bitstream::Frame;
use tandem_codec::g729::{EncodeJob, Encoder, FRAME_SAMPLES, encode_batch};

type Pcm = [i16; FRAME_SAMPLES];

/// Frames of each signal.
const FRAMES: usize = 150;

/// Marsaglia's xorshift64.
struct XorShift(u64);

impl XorShift {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn sample(&mut self) -> i16 {
        (self.next() >> 32) as i16
    }
}

/// A signal by name, from its samples in order.
fn signal(mut sample: impl FnMut(usize) -> i16) -> Vec<Pcm> {
    (0..FRAMES).map(|frame| core::array::from_fn(|n| sample(FRAME_SAMPLES * frame + n))).collect()
}

/// A triangle of the given period and height: a tone with harmonics, in integers alone.
fn triangle(n: usize, period: usize, height: i32) -> i32 {
    let place = (n % period) as i32;
    let period = period as i32;
    (4 * height * (place - period / 2).abs()) / period - height
}

/// What encoders find hard: limits, nothing at all, and everything between, loud enough to tame and quiet enough to fade.
fn signals() -> Vec<(&'static str, Vec<Pcm>)> {
    let mut noise = XorShift(7);
    let mut signs = XorShift(8);
    let mut bursts = XorShift(9);
    let mut voices = XorShift(10);
    let mut hiss = XorShift(11);
    vec![
        ("silence", signal(|_| 0)),
        ("least", signal(|_| i16::MIN)),
        ("greatest", signal(|_| i16::MAX)),
        ("full-scale noise", signal(|_| noise.sample())),
        ("random full scale", signal(|_| if signs.next() >> 40 & 1 == 0 { i16::MIN } else { i16::MAX })),
        ("square, short lag", signal(|n| if n % 42 < 21 { i16::MAX } else { i16::MIN })),
        ("square, long lag", signal(|n| if n % 286 < 143 { i16::MAX } else { i16::MIN })),
        ("alternating", signal(|n| if n % 2 == 0 { i16::MAX } else { i16::MIN })),
        ("impulses", signal(|n| if n % 397 == 0 { i16::MIN } else { 0 })),
        ("steps", signal(|n| ((n / 1000 % 5) as i16 - 2) * 16_000)),
        ("one", signal(|n| (n % 3 == 0).into())),
        ("tone", signal(|n| triangle(n, 57, 20_000) as i16)),
        ("two tones", signal(|n| (triangle(n, 23, 16_000) + triangle(n, 131, 16_000)) as i16)),
        (
            "bursts",
            signal(|n| {
                let loud = n / 1600 % 2 == 0;
                bursts.sample() >> if loud { 2 } else { 10 }
            }),
        ),
        (
            "voiced and unvoiced",
            signal(|n| {
                let tone = triangle(n, 60 + n / 2000, 6000);
                let noise = i32::from(voices.sample()) >> 6;
                (if n / 4000 % 3 == 2 { noise } else { tone + noise }) as i16
            }),
        ),
        ("hiss", signal(|n| hiss.sample() >> (11 + n / 6000))),
    ]
}

fn encode(level: Level, encoder: Encoder, pcm: &[Pcm]) -> Vec<Frame> {
    let mut state = encoder;
    let mut frames = vec![Frame::NotSent; pcm.len()];
    encode_batch(level, &mut [EncodeJob { state: &mut state, pcm, frames: &mut frames }]);
    frames
}

/// FNV-1a, 64 bits, over what is sent.
fn hash(frames: &[Frame]) -> u64 {
    let octets = frames.iter().flat_map(|frame| match frame {
        Frame::Speech(octets) => octets.to_vec(),
        Frame::Sid(octets) => octets.to_vec(),
        _ => vec![0xff],
    });
    octets.fold(0xcbf2_9ce4_8422_2325, |hash, octet| (hash ^ u64::from(octet)).wrapping_mul(0x0000_0100_0000_01b3))
}

#[test]
fn bits_of_generated_signals_are_known() {
    let combined = |encoder: Encoder| {
        signals()
            .iter()
            .fold(0_u64, |hashes, (_, pcm)| hashes.rotate_left(5) ^ hash(&encode(Level::detect(), encoder, pcm)))
    };
    let (plain, annex_b) = (combined(Encoder::new()), combined(Encoder::with_annex_b()));
    let known = (0x5237_dc97_0358_4e9a, 0x43d2_fe87_f9e0_1c87);
    assert_eq!((plain, annex_b), known, "{plain:#018x}, {annex_b:#018x}");
}

#[test]
fn every_level_gives_the_bits_of_the_scalar_one() {
    for (name, pcm) in signals() {
        for encoder in [Encoder::new(), Encoder::with_annex_b()] {
            let expected = encode(Level::Scalar, encoder, &pcm);
            for level in Level::available() {
                assert!(encode(level, encoder, &pcm) == expected, "{name} at {level}");
            }
        }
    }
}

#[test]
fn a_call_is_encoded_alike_whatever_shares_its_lanes() {
    let signals = signals();
    for level in Level::available() {
        // Calls begin in turn, half of them with Annex B, bring packets of different length and go when they are through.
        let calls = 2 * signals.len() + 3;
        let encoder_of = |call: usize| if call.is_multiple_of(2) { Encoder::new() } else { Encoder::with_annex_b() };
        let pcm_of = |call: usize| &signals[(call * 5 + 1) % signals.len()].1[..FRAMES - call];
        let mut encoders: Vec<Encoder> = (0..calls).map(encoder_of).collect();
        let mut encoded: Vec<Vec<Frame>> = vec![Vec::new(); calls];
        for round in 0.. {
            let mut packets: Vec<Vec<Frame>> = Vec::new();
            for call in 0..calls {
                let left = pcm_of(call).len() - encoded[call].len();
                let frames = if round < call % 7 { 0 } else { (1 + (call + round) % 3).min(left) };
                packets.push(vec![Frame::NotSent; frames]);
            }
            if round > 7 && packets.iter().all(Vec::is_empty) {
                break;
            }
            let mut jobs: Vec<EncodeJob<'_>> = encoders
                .iter_mut()
                .zip(&mut packets)
                .enumerate()
                .map(|(call, (state, frames))| EncodeJob { state, pcm: &pcm_of(call)[encoded[call].len()..], frames })
                .collect();
            encode_batch(level, &mut jobs);
            for (encoded, packet) in encoded.iter_mut().zip(packets) {
                encoded.extend(packet);
            }
        }
        for (call, encoded) in encoded.iter().enumerate() {
            let expected = encode(Level::Scalar, encoder_of(call), pcm_of(call));
            assert!(*encoded == expected, "call {call} at {level}");
        }
    }
}

#[test]
fn speech_without_room_for_its_frames_is_left_for_later() {
    let (_, pcm) = signals().swap_remove(11);
    let mut state = Encoder::new();
    let mut frames = [Frame::NotSent; 3];
    encode_batch(Level::detect(), &mut [EncodeJob { state: &mut state, pcm: &pcm, frames: &mut frames }]);
    assert_eq!(frames[..], encode(Level::Scalar, Encoder::new(), &pcm)[..3]);
    encode_batch(Level::detect(), &mut [EncodeJob { state: &mut state, pcm: &[], frames: &mut frames }]);
    encode_batch(Level::detect(), &mut []);
    assert_eq!(frames[..], encode(Level::Scalar, Encoder::new(), &pcm)[..3]);
}
