//! G.722 against the ITU-T vectors, at every level, every lane at a different place.

mod vectors;

use tandem_codec::Level;
use tandem_codec::g722::conformance::{decode_sub_bands, encode_sub_bands};
use tandem_codec::g722::{
    ConcealingDecoder, ConcealingJob, DecodeJob, Decoder, EncodeJob, Encoder, Mode, decode_batch,
    decode_or_conceal_batch, encode_batch,
};
use vectors::{Vectors, first_difference};

const CALLS: usize = 67;

#[test]
fn digital_sequences_of_appendix_ii_are_exact_at_every_level() {
    let Some(vectors) = Vectors::open("g722/AppII") else { return };
    for level in Level::available() {
        for (input, expected) in [("bt1c1.xmt", "bt2r1.cod"), ("bt1c2.xmt", "bt2r2.cod")] {
            let (Some(input), Some(expected)) = (vectors.words(input), vectors.words(expected)) else { continue };
            let mut codes = vec![0; input.len()];
            encode_sub_bands(level, &input, &mut codes);
            assert_eq!(first_difference(&codes, &expected), None, "encoder, {level}");
        }
        for (input, low, high) in
            [("bt2r1.cod", "bt3l1", "bt3h1"), ("bt2r2.cod", "bt3l2", "bt3h2"), ("bt1d3.cod", "bt3l3", "bt3h3")]
        {
            let Some(codes) = vectors.words(input) else { continue };
            for mode in Mode::ALL {
                let (mut low_samples, mut high_samples) = (vec![0; codes.len()], vec![0; codes.len()]);
                decode_sub_bands(level, mode, &codes, &mut low_samples, &mut high_samples);
                if let Some(expected) = vectors.words(&format!("{low}.rc{}", mode as u16 + 1)) {
                    assert_eq!(first_difference(&low_samples, &expected), None, "{low}, {mode:?}, {level}");
                }
                if let Some(expected) = vectors.words(&format!("{high}.rc0")) {
                    assert_eq!(first_difference(&high_samples, &expected), None, "{high}, {mode:?}, {level}");
                }
            }
        }
    }
}

/// Where a call of a batch starts in the file: each at another frame, so that no two lanes hold the same.
fn start_of_call(call: usize, octets: usize) -> usize {
    (call * 131) % (octets / 3)
}

#[test]
fn speech_is_encoded_exactly_at_every_level_beside_other_calls() {
    let Some(vectors) = Vectors::open("g722/STL_speech") else { return };
    let pcm = vectors.words("inpsp.bin").expect("inpsp.bin");
    let expected: Vec<u8> = vectors.words("codspw.cod").expect("codspw.cod").iter().map(|word| *word as u8).collect();
    let octets = pcm.len() / 320 * 160;
    for level in Level::available() {
        // Every third call is the file from its start; the others start later and have nothing to be compared with but run beside it.
        let mut states = vec![Encoder::default(); CALLS];
        let mut out = vec![vec![0; octets]; CALLS];
        let mut at = 0;
        let mut size = 1;
        while at < octets {
            let count = size.min(octets - at);
            let mut jobs: Vec<EncodeJob<'_>> = states
                .iter_mut()
                .zip(&mut out)
                .enumerate()
                .map(|(call, (state, out))| {
                    let from = if call % 3 == 0 { at } else { (at + start_of_call(call, octets)).min(octets - count) };
                    EncodeJob { state, pcm: &pcm[2 * from..2 * (from + count)], octets: &mut out[at..at + count] }
                })
                .collect();
            encode_batch(level, &mut jobs);
            at += count;
            size = size % 397 + 41;
        }
        for call in (0..CALLS).step_by(3) {
            assert_eq!(first_difference(&out[call], &expected[..octets]), None, "call {call}, {level}");
        }
    }
}

#[test]
fn speech_is_decoded_exactly_at_every_level_with_modes_mixed() {
    let Some(vectors) = Vectors::open("g722/STL_speech") else { return };
    let octets: Vec<u8> = vectors.words("codspw.cod").expect("codspw.cod").iter().map(|word| *word as u8).collect();
    let expected: Vec<Vec<i16>> =
        (1..=3).map(|mode| vectors.words(&format!("outsp{mode}.bin")).expect("outsp.bin")).collect();
    let count = octets.len() / 160 * 160;
    for level in Level::available() {
        let mut states: Vec<Decoder> = (0..CALLS).map(|call| Decoder::new(Mode::ALL[call % 3])).collect();
        let mut out = vec![vec![0; 2 * count]; CALLS];
        for at in (0..count).step_by(160) {
            let mut jobs: Vec<DecodeJob<'_>> = states
                .iter_mut()
                .zip(&mut out)
                .map(|(state, out)| DecodeJob {
                    state,
                    octets: &octets[at..at + 160],
                    pcm: &mut out[2 * at..2 * at + 320],
                })
                .collect();
            decode_batch(level, &mut jobs);
        }
        for call in 0..CALLS {
            let expected = &expected[call % 3];
            let length = expected.len().min(2 * count);
            assert_eq!(first_difference(&out[call][..length], &expected[..length]), None, "call {call}, {level}");
        }
        // The same files with one mode in the whole vector.
        for (mode, expected) in Mode::ALL.into_iter().zip(&expected) {
            let mut states = [Decoder::new(mode); 3];
            let mut out = vec![vec![0; 2 * count]; 3];
            let mut jobs: Vec<DecodeJob<'_>> =
                states.iter_mut().zip(&mut out).map(|(state, pcm)| DecodeJob { state, octets: &octets, pcm }).collect();
            decode_batch(level, &mut jobs);
            for out in &out {
                let length = expected.len().min(2 * count);
                assert_eq!(first_difference(&out[..length], &expected[..length]), None, "{mode:?}, {level}");
            }
        }
    }
}

/// The frames of a G.192 file that carries 80 octets as bit planes, from the third lowest bit up, then the two lowest; `None` for a lost one.
fn frames_of_bit_planes(words: &[i16]) -> Vec<Option<[u8; 80]>> {
    let mut frames = Vec::new();
    let mut rest = words;
    while let [sync, count, following @ ..] = rest {
        let count = *count as usize;
        let bits = &following[..count];
        let lost = *sync as u16 == 0x6b20 || count == 0;
        frames.push((!lost).then(|| {
            let mut octets = [0; 80];
            for (plane, bit) in [2, 3, 4, 5, 6, 7, 1, 0].into_iter().enumerate() {
                for (octet, word) in octets.iter_mut().zip(&bits[80 * plane..]) {
                    *octet |= u8::from(word & 0x80 != 0) << bit;
                }
            }
            octets
        }));
        rest = &following[count..];
    }
    frames
}

#[test]
fn lost_frames_are_concealed_exactly() {
    let Some(vectors) = Vectors::open("g722/AppIV_PLC") else { return };
    let frames = frames_of_bit_planes(&vectors.words("test10.bst").expect("test10.bst"));
    let expected = vectors.words("test10.out").expect("test10.out");
    assert!(frames.iter().any(Option::is_none));
    let mut decoder = ConcealingDecoder::new(Mode::Kbit64);
    let mut out = Vec::new();
    for frame in &frames {
        let mut pcm = [0; 160];
        match frame {
            Some(octets) => decoder.receive(octets, &mut pcm),
            None => decoder.conceal(&mut pcm),
        }
        out.extend(pcm);
    }
    assert_eq!(first_difference(&out, &expected), None);
}

#[test]
fn lost_frames_are_concealed_exactly_at_every_level_beside_other_calls() {
    let Some(vectors) = Vectors::open("g722/AppIV_PLC") else { return };
    let frames = frames_of_bit_planes(&vectors.words("test10.bst").expect("test10.bst"));
    let expected = vectors.words("test10.out").expect("test10.out");
    for level in Level::available() {
        // The file at ten different frames, so that losses, recoveries and steady frames stand side by side.
        let calls = 41;
        let lag = |call: usize| (call % 10) * 7;
        let mut states = vec![ConcealingDecoder::new(Mode::Kbit64); calls];
        let mut out = vec![Vec::new(); calls];
        for turn in 0..frames.len() + 63 {
            let mut pcm = vec![[0; 160]; calls];
            let mut jobs: Vec<ConcealingJob<'_>> = states
                .iter_mut()
                .zip(&mut pcm)
                .enumerate()
                .filter_map(|(call, (state, pcm))| {
                    let frame = frames.get(turn.checked_sub(lag(call))?)?;
                    Some(ConcealingJob { state, octets: frame.as_ref().map(|octets| &octets[..]), pcm })
                })
                .collect();
            decode_or_conceal_batch(level, &mut jobs);
            for (call, pcm) in pcm.iter().enumerate() {
                if turn.checked_sub(lag(call)).is_some_and(|frame| frame < frames.len()) {
                    out[call].extend(pcm);
                }
            }
        }
        for (call, out) in out.iter().enumerate() {
            assert_eq!(first_difference(out, &expected), None, "call {call}, {level}");
        }
    }
}
