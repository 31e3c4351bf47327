//! Noise made from a description: white noise through the lattice filter that the reflection coefficients are of.

use super::{Description, MAX_ORDER};
use crate::audio_level::mean_square_of;

/// The largest uniform random number has this many times the noise's root mean square: √3.
const PEAK: f32 = 1.732_050_8;

/// Samples over which a change of description is spread: each goes this part of the way.
const APPROACH: f32 = 1.0 / 160.0;

/// Makes comfort noise.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C)]
pub struct Generator {
    seed: u32,
    /// Root mean square of the excitation, and what it approaches.
    gain: f32,
    target_gain: f32,
    reflection: [f32; MAX_ORDER],
    /// The lattice's delayed backward errors.
    backward: [f32; MAX_ORDER],
}

impl Generator {
    /// A generator that is silent. Calls with different seeds do not hum in chorus.
    #[must_use]
    pub const fn new(seed: u32) -> Self {
        Self { seed, gain: 0.0, target_gain: 0.0, reflection: [0.0; MAX_ORDER], backward: [0.0; MAX_ORDER] }
    }

    /// Takes a description; the level moves to it within some 20 ms.
    pub fn describe(&mut self, description: &Description) {
        self.reflection = [0.0; MAX_ORDER];
        let mut power = mean_square_of(description.minus_dbov);
        for (to, from) in self.reflection.iter_mut().zip(description.reflection()) {
            *to = from.clamp(-0.996, 0.996);
            power *= 1.0 - *to * *to;
        }
        self.target_gain = libm::sqrtf(power);
    }

    /// Makes noise.
    pub fn generate(&mut self, pcm: &mut [i16]) {
        for sample in pcm {
            self.gain += (self.target_gain - self.gain) * APPROACH;
            self.seed = self.seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            // The upper bits of this generator are the random ones; as a signed number they are uniform around 0.
            let uniform = (self.seed as i32 >> 8) as f32 / 8_388_608.0;
            let mut forward = uniform * PEAK * self.gain;
            for i in (0..MAX_ORDER).rev() {
                forward -= self.reflection[i] * self.backward[i];
                let backward = self.backward[i] + self.reflection[i] * forward;
                if i + 1 < MAX_ORDER {
                    self.backward[i + 1] = backward;
                }
            }
            self.backward[0] = forward;
            *sample = forward.clamp(-32768.0, 32767.0) as i16;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;
    use crate::audio_level::measure;
    use crate::cn::Analyser;

    fn noise(description: &Description, samples: usize) -> Vec<i16> {
        let mut generator = Generator::new(1);
        generator.describe(description);
        let mut pcm = std::vec![0; samples + 4000];
        generator.generate(&mut pcm);
        pcm.split_off(4000)
    }

    #[test]
    fn level_is_the_described_one_whatever_the_spectrum() {
        for level in [20, 40, 60] {
            for payload in [&[level][..], &[level, 40], &[level, 20, 180, 90], &[level, 200, 100, 140, 120, 130]] {
                let made = measure(&noise(&Description::parse(payload).unwrap(), 16000));
                assert!(made.abs_diff(level) <= 1, "{payload:?}: -{made} dBov");
            }
        }
    }

    #[test]
    fn analysis_of_the_noise_gives_its_description_back() {
        let description = Description::parse(&[45, 30, 190, 90, 150, 120]).unwrap();
        let mut analyser = Analyser::new(5);
        analyser.observe(&noise(&description, 16000));
        let found = analyser.describe();
        assert!(found.minus_dbov.abs_diff(description.minus_dbov) <= 1);
        for (found, expected) in found.reflection().iter().zip(description.reflection()) {
            assert!((found - expected).abs() < 0.1, "{found} instead of {expected}");
        }
    }

    #[test]
    fn silent_generator_is_silent() {
        let mut pcm = [1; 160];
        Generator::new(7).generate(&mut pcm);
        assert_eq!(pcm, [0; 160]);
    }

    #[test]
    fn extreme_descriptions_stay_within_16_bits() {
        for index in [0, 254] {
            let mut payload = [index; 17];
            payload[0] = 0;
            let pcm = noise(&Description::parse(&payload).unwrap(), 8000);
            assert!(pcm.iter().any(|sample| *sample != 0));
        }
    }
}
