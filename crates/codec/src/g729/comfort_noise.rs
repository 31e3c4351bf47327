//! Between Annex B's silence descriptors and RFC 3389's descriptions of noise, parameter by parameter. [`crate::cn`] has the rules.

use super::lsp::ORDER;
use super::tables::sid::SID_GAIN_TAB;
use crate::audio_level::{mean_square_of, minus_dbov};
use crate::cn::Description;

/// The gain of a descriptor that stands for an excitation with a root mean square of 1: it is Q3, and of speech that the encoder has halved.
const GAIN_ONE: f32 = 4.0;

/// What a descriptor says by its quantised LSP (Q15) and its gain (Q3).
pub(super) fn description(lsp: &[i32; ORDER], gain: i32) -> Description {
    let reflection = reflection(lsp);
    let gain = gain as f32 / GAIN_ONE;
    Description::new(minus_dbov(gain * gain / prediction_error(&reflection)), &reflection)
}

/// The index and the level in dB of the gain with which the filter of `lsp` (Q15) makes noise of the described level.
pub(super) fn gain_index(noise: &Description, lsp: &[i32; ORDER]) -> (usize, i32) {
    // The levels are those of the gain in Q3, of halved speech.
    let energy = 0.25 * mean_square_of(noise.minus_dbov) * prediction_error(&reflection(lsp));
    let decibel = 10.0 * libm::log10f(energy.max(1e-9));
    let mut nearest = (0, level_of(0));
    for index in 1..SID_GAIN_TAB.len() {
        let level = level_of(index);
        if (decibel - level as f32).abs() < (decibel - nearest.1 as f32).abs() {
            nearest = (index, level);
        }
    }
    nearest
}

/// The level of an index in dB (Annex B clause B.4.2.1): steps of 4 dB up to 16 dB, of 2 dB above.
const fn level_of(index: usize) -> i32 {
    match index as i32 {
        0 => -12,
        index @ 1..=6 => 4 * index - 8,
        index => 2 * index + 4,
    }
}

/// Energy of the prediction error of noise of unit energy with these reflection coefficients.
fn prediction_error(reflection: &[f32]) -> f32 {
    reflection.iter().map(|k| 1.0 - k * k).product()
}

/// The autocorrelation of lags 0 to [`ORDER`] of the described noise, lag 0 just below 2^31.
///
/// Coefficients beyond the order are left out: the lower ones are then those of the best shorter filter.
pub(super) fn autocorrelation(noise: &Description) -> [i32; ORDER + 1] {
    const ONE: f64 = 0.99 * 2_147_483_648.0;
    let mut r = [1.0_f64; ORDER + 1];
    let mut a = [0.0_f64; ORDER + 1];
    let mut error = 1.0;
    for m in 1..=ORDER {
        let k = f64::from(noise.reflection().get(m - 1).copied().unwrap_or(0.0));
        r[m] = -k * error;
        for j in 1..m {
            r[m] -= a[j] * r[m - j];
        }
        let before = a;
        for j in 1..m {
            a[j] = before[j] + k * before[m - j];
        }
        a[m] = k;
        error *= 1.0 - k * k;
    }
    r.map(|r| (r * ONE) as i32)
}

/// Reflection coefficients of the filter with these LSP (Q15).
fn reflection(lsp: &[i32; ORDER]) -> [f32; ORDER] {
    // The symmetric and the antisymmetric polynomial, each the product of its pairs of roots and of its trivial root.
    let polynomial = |first: usize, trivial: f64| {
        let mut f = [0.0_f64; ORDER + 2];
        (f[0], f[1]) = (1.0, trivial);
        for q in lsp.iter().skip(first).step_by(2).map(|q| f64::from(*q) / 32768.0) {
            for n in (1..f.len()).rev() {
                f[n] += -2.0 * q * f[n - 1] + if n > 1 { f[n - 2] } else { 0.0 };
            }
        }
        f
    };
    let (symmetric, antisymmetric) = (polynomial(0, 1.0), polynomial(1, -1.0));
    let mut a = [0.0; ORDER + 1];
    for (a, (p, q)) in a.iter_mut().zip(symmetric.iter().zip(antisymmetric)) {
        *a = 0.5 * (p + q);
    }
    let mut reflection = [0.0; ORDER];
    for m in (1..=ORDER).rev() {
        let k = a[m].clamp(-0.9999, 0.9999);
        reflection[m - 1] = k as f32;
        let before = a;
        for j in 1..m {
            a[j] = (before[j] - k * before[m - j]) / (1.0 - k * k);
        }
    }
    reflection
}

#[cfg(test)]
mod tests {
    use super::super::bitstream::Frame;
    use super::super::{DecodeJob, Decoder, EncodeJob, Encoder, FRAME_SAMPLES, decode_batch, encode_batch};
    use super::*;
    use crate::Level;
    use crate::cn::Generator;

    /// Lets the decoder hear what the encoder has made, and compares what both take for the excitation so far.
    fn assert_in_step(encoder: &Encoder, decoder: &mut Decoder, frame: Frame) {
        let mut pcm = [[0; FRAME_SAMPLES]];
        decode_batch(Level::Scalar, &mut [DecodeJob { state: decoder, frames: &[frame], pcm: &mut pcm }]);
        assert_eq!(encoder.excitation, decoder.excitation);
    }

    #[test]
    fn encoder_knows_what_the_far_end_makes_of_noise_that_was_described_to_it() {
        let (mut encoder, mut decoder) = (Encoder::with_annex_b(), Decoder::new());
        let mut generator = Generator::new(3);
        let encode = |encoder: &mut Encoder, pcm: [i16; FRAME_SAMPLES]| {
            let mut frame = [Frame::NotSent];
            encode_batch(Level::Scalar, &mut [EncodeJob { state: encoder, pcm: &[pcm], frames: &mut frame }]);
            frame[0]
        };
        let speech = |n: usize| core::array::from_fn(|i| ((n * FRAME_SAMPLES + i) as i16 % 57 - 28) * 300);
        for round in 0..4_u8 {
            for n in 0..6 {
                let frame = encode(&mut encoder, speech(n));
                assert!(matches!(frame, Frame::Speech(_)));
                assert_in_step(&encoder, &mut decoder, frame);
            }
            let noise = Description::parse(&[44 + round, 60, 150 - round, 120]).unwrap();
            generator.describe(&noise);
            for n in 0..40 {
                let mut pcm = [0; FRAME_SAMPLES];
                generator.generate(&mut pcm);
                // Described, going on, left to the encoder's own judgement, and described once more.
                let frame = match n {
                    0 | 20 => encoder.encode_noise(Some(&noise), &pcm),
                    1..10 => encoder.encode_noise(None, &pcm),
                    _ => encode(&mut encoder, pcm),
                };
                assert_in_step(&encoder, &mut decoder, frame);
            }
        }
    }

    #[test]
    fn reflection_and_lsp_of_a_flat_spectrum_are_none_and_evenly_spread() {
        let even: [i32; ORDER] =
            core::array::from_fn(|i| (32768.0 * libm::cos((i + 1) as f64 * core::f64::consts::PI / 11.0)) as i32);
        assert!(reflection(&even).iter().all(|k| k.abs() < 0.01));
        assert_eq!(autocorrelation(&Description::white(50))[1..], [0; ORDER]);
    }
}
