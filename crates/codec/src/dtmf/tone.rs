//! DTMF tones made.

use super::Key;
use crate::resample::Rate;

/// An oscillator: each sample is `2 cos(ω)` times the last less the one before.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C)]
struct Oscillator {
    coefficient: f32,
    last: f32,
    before: f32,
}

impl Oscillator {
    fn new(hz: f32, rate: Rate, amplitude: f32) -> Self {
        let step = 2.0 * core::f32::consts::PI * hz / rate.hz() as f32;
        Self { coefficient: 2.0 * libm::cosf(step), last: 0.0, before: -amplitude * libm::sinf(step) }
    }

    fn next(&mut self) -> f32 {
        let sample = self.last;
        (self.last, self.before) = (self.coefficient * self.last - self.before, self.last);
        sample
    }
}

/// Samples over which a tone swells and fades, against clicks: 2 ms.
const fn ramp(rate: Rate) -> u32 {
    2 * rate.samples_per_ms() as u32
}

/// Makes one key's tone.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C)]
pub struct ToneGenerator {
    low: Oscillator,
    high: Oscillator,
    rate: Rate,
    made: u32,
    /// Samples left once the key is released.
    ending: Option<u32>,
}

/// Peak of a sine of 0 dBm0: 3.14 dB below the overload point of µ-law.
const PEAK_OF_0_DBM0: f32 = 22_828.0;

impl ToneGenerator {
    /// The tone of a key. The level is of each frequency, in −dBm0 (RFC 4733 section 2.3.3 has 0 to 63); the higher one is 2 dB stronger, as
    /// is usual against the loss of lines.
    #[must_use]
    pub fn new(key: Key, minus_dbm0: u8, rate: Rate) -> Self {
        let (low_hz, high_hz) = key.frequencies_hz();
        let amplitude = PEAK_OF_0_DBM0 * libm::powf(10.0, -f32::from(minus_dbm0.min(63)) / 20.0);
        Self {
            low: Oscillator::new(low_hz, rate, amplitude),
            high: Oscillator::new(high_hz, rate, amplitude * 1.26),
            rate,
            made: 0,
            ending: None,
        }
    }

    /// The key is released: the tone fades away at once.
    pub fn release(&mut self) {
        self.ending = self.ending.or(Some(ramp(self.rate)));
    }

    /// Whether nothing is left to be heard.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        self.ending == Some(0)
    }

    /// Makes samples.
    pub fn generate(&mut self, pcm: &mut [i16]) {
        let ramp = ramp(self.rate);
        for sample in pcm {
            let level = self.made.min(self.ending.unwrap_or(ramp)).min(ramp) as f32 / ramp as f32;
            let value = level * (self.low.next() + self.high.next());
            *sample = libm::roundf(value).clamp(-32768.0, 32767.0) as i16;
            self.made = self.made.saturating_add(1);
            self.ending = self.ending.map(|left| left.saturating_sub(1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio_level::measure;

    #[test]
    fn tone_has_its_level_for_as_long_as_it_lasts_and_ends_without_a_click() {
        for rate in [Rate::Hz8000, Rate::Hz16000, Rate::Hz48000] {
            let mut generator = ToneGenerator::new(Key::from_char('5').unwrap(), 10, rate);
            let second = 1000 * rate.samples_per_ms();
            let mut pcm = std::vec![0; second];
            for _ in 0..20 {
                generator.generate(&mut pcm);
            }
            // −10 dBm0 is −16.15 dBov for a sine; two sines, one 2 dB stronger, have 4.1 dB more than the weaker.
            assert_eq!(measure(&pcm), 12, "{rate:?}");
            generator.release();
            let mut end = std::vec![0; second];
            generator.generate(&mut end);
            assert!(generator.is_silent());
            let steepest = end.windows(2).map(|pair| (i32::from(pair[0]) - i32::from(pair[1])).abs()).max().unwrap();
            assert!(steepest < 14_000, "{rate:?}: a step of {steepest}");
            assert!(end[3 * rate.samples_per_ms()..].iter().all(|sample| *sample == 0));
        }
    }
}
