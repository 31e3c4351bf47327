//! Hashes of what G.711 and G.722 make of input that the test generates, so that a changed bit is noticed without the vectors.

use tandem_codec::Level;
use tandem_codec::g711::{self, Concealment, Law};
use tandem_codec::g722::{
    ConcealingDecoder, ConcealingJob, EncodeJob, Encoder, Mode, decode_or_conceal_batch, encode_batch,
};
use tandem_codec::resample::{Rate, Resampler};
use tandem_codec::transcode::{Codec, Input, Transcoder};

/// FNV-1a, 64 bits.
fn hash(octets: impl IntoIterator<Item = u8>) -> u64 {
    octets
        .into_iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, octet| (hash ^ u64::from(octet)).wrapping_mul(0x0000_0100_0000_01b3))
}

fn hash_samples(pcm: &[i16]) -> u64 {
    hash(pcm.iter().flat_map(|sample| sample.to_le_bytes()))
}

/// Something between a voice and noise, in integers: a triangle wave whose pitch and loudness wander, with clicks.
fn signal(samples: usize) -> Vec<i16> {
    let mut noise = 12345_u32;
    let (mut phase, mut step, mut loudness) = (0_u32, 30_000_000_u32, 8000_i32);
    (0..samples)
        .map(|i| {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if i % 160 == 0 {
                step = 20_000_000 + (noise >> 6);
                loudness = (noise >> 17) as i32;
            }
            phase = phase.wrapping_add(step);
            let triangle = ((phase as i32) >> 15).abs() - 32768;
            let click = if i % 4001 == 0 { 60_000 } else { 0 };
            let value = ((triangle * loudness) >> 14) + ((noise as i32) >> 21) + click;
            value.clamp(-32768, 32767) as i16
        })
        .collect()
}

#[test]
fn g722_of_a_generated_signal() {
    let pcm = signal(32_000);
    for level in Level::available() {
        let mut encoders = [Encoder::new(Mode::Kbit64); 3];
        let mut octets = vec![vec![0; pcm.len() / 2]; 3];
        let mut jobs: Vec<EncodeJob<'_>> = encoders
            .iter_mut()
            .zip(&mut octets)
            .map(|(state, octets)| EncodeJob { state, pcm: &pcm, octets })
            .collect();
        encode_batch(level, &mut jobs);
        for octets in &octets {
            assert_eq!(hash(octets.iter().copied()), 0xa7db_e2f7_00e4_83db, "encoder, {level}");
        }
        let mut decoders = Mode::ALL.map(ConcealingDecoder::new);
        let mut heard = vec![Vec::new(); 3];
        for (packet, payload) in octets[0].chunks(160).enumerate() {
            let mut pcm = [[0; 320]; 3];
            let received = packet % 10 != 7 && packet % 23 > 2;
            let mut jobs: Vec<ConcealingJob<'_>> = decoders
                .iter_mut()
                .zip(&mut pcm)
                .map(|(state, pcm)| ConcealingJob { state, octets: received.then_some(payload), pcm })
                .collect();
            decode_or_conceal_batch(level, &mut jobs);
            heard.iter_mut().zip(&pcm).for_each(|(heard, pcm)| heard.extend(pcm));
        }
        let hashes: Vec<u64> = heard.iter().map(|pcm| hash_samples(pcm)).collect();
        assert_eq!(
            hashes,
            [0xf5d4_2f26_8c9b_bfcb, 0x29de_3b6f_b9c3_71bf, 0x23e6_cab3_cc51_a870],
            "decoder with losses in modes 1, 2 and 3, {level}"
        );
    }
}

#[test]
fn g711_of_a_generated_signal() {
    let pcm = signal(16_000);
    for level in Level::available() {
        for (law, expected) in [
            (Law::Mu, [0x8a60_da18_e347_c93d, 0xc4a7_0227_5da0_e246]),
            (Law::A, [0x8d76_d288_dea6_2179, 0xfc63_a95a_40e6_86ba]),
        ] {
            let mut octets = vec![0; pcm.len()];
            g711::encode(level, law, &pcm, &mut octets);
            let mut decoded = vec![0; pcm.len()];
            g711::decode(level, law, &octets, &mut decoded);
            let mut concealment = Concealment::new();
            for (packet, pcm) in decoded.chunks_mut(160).enumerate() {
                if packet % 7 == 5 { concealment.conceal(pcm) } else { concealment.receive(pcm) }
            }
            assert_eq!([hash(octets), hash_samples(&decoded)], expected, "{law:?}, {level}");
        }
    }
}

#[test]
fn resampled_and_transcoded_signal() {
    let pcm = signal(16_000);
    for level in Level::available() {
        let mut made = Vec::new();
        for (from, to) in [
            (Rate::Hz8000, Rate::Hz16000),
            (Rate::Hz16000, Rate::Hz8000),
            (Rate::Hz8000, Rate::Hz48000),
            (Rate::Hz48000, Rate::Hz8000),
            (Rate::Hz16000, Rate::Hz48000),
            (Rate::Hz48000, Rate::Hz16000),
        ] {
            let mut out = vec![0; 6 * pcm.len()];
            let count = Resampler::new(from, to).process(level, &pcm, &mut out);
            made.push(hash_samples(&out[..count]));
        }
        assert_eq!(
            made,
            [
                0x2026_b7d1_e3fd_3a6b,
                0xbff5_ed15_100d_ebe8,
                0x4906_7c4d_84ea_11cf,
                0x2f47_a200_8487_18a8,
                0x3e87_3ba1_6984_2710,
                0x716f_363a_ea0e_680f
            ],
            "{level}"
        );

        let mut pcmu = vec![0; pcm.len()];
        g711::encode(level, Law::Mu, &pcm, &mut pcmu);
        let mut transcoder = Transcoder::new(Codec::Pcmu, Codec::G722);
        let mut octets = Vec::new();
        for (packet, payload) in pcmu.chunks(160).enumerate() {
            let input = if packet % 9 == 4 { Input::Lost { ticks: 160 } } else { Input::Payload(payload) };
            let mut room = [0; 160];
            let count = transcoder.transcode(level, input, &mut room).unwrap().octets();
            octets.extend(&room[..count]);
        }
        assert_eq!(hash(octets), 0x648b_fa48_4aed_819b, "PCMU to G.722, {level}");
    }
}
