//! DTMF found in speech: Goertzel filters over blocks of 10 ms, of which three in a row must agree. Any tone of 40 ms fills that many;
//! one below 25 ms does not, because a block must be three quarters full of a tone to count (ITU-T Q.24 asks for 40 ms and allows 20).

use super::{HIGH_HZ, Key, LOW_HZ};
use crate::resample::Rate;

/// Samples of a block at 8 kHz.
const BLOCK: usize = 80;

/// Blocks in a row that must agree that a key is pressed, or that it is not.
const AGREEING: u8 = 3;

/// Least mean square of a block that can hold a tone: −45 dBov.
const FAINTEST: f32 = 34_000.0;

/// Part of a block's energy that the two frequencies must have.
const PURITY: f32 = 0.75;

/// Most that the higher frequency may be stronger than the lower one (4 dB), and weaker (8 dB), as ratios of power.
const STRONGER: f32 = 2.51;
const WEAKER: f32 = 6.31;

/// Least ratio of power between a frequency and the others of its group: 6 dB.
const DISTINCT: f32 = 4.0;

/// What a detector has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detection {
    /// A key is pressed.
    Pressed(Key),
    /// It is released.
    Released(Key),
}

/// The resonator of one frequency.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[repr(C)]
struct Goertzel {
    coefficient: f32,
    last: f32,
    before: f32,
}

impl Goertzel {
    fn new(hz: f32, rate: Rate) -> Self {
        let step = 2.0 * core::f32::consts::PI * hz / rate.hz() as f32;
        Self { coefficient: 2.0 * libm::cosf(step), last: 0.0, before: 0.0 }
    }

    fn feed(&mut self, sample: f32) {
        (self.last, self.before) = (sample + self.coefficient * self.last - self.before, self.last);
    }

    /// Squared magnitude of the frequency in the block, which is then forgotten.
    fn take_power(&mut self) -> f32 {
        let (last, before) = (self.last, self.before);
        (self.last, self.before) = (0.0, 0.0);
        last * last + before * before - self.coefficient * last * before
    }
}

/// Looks for DTMF in one stream.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C)]
pub struct Detector {
    low: [Goertzel; 4],
    high: [Goertzel; 4],
    energy: f32,
    /// Samples of the current block.
    filled: u16,
    block: u16,
    /// What the last block held, and in how many in a row.
    candidate: Option<Key>,
    agreeing: u8,
    pressed: Option<Key>,
}

impl Detector {
    /// A detector for speech of a rate. For 48 kHz, bring the speech down first.
    #[must_use]
    pub fn new(rate: Rate) -> Self {
        Self {
            low: LOW_HZ.map(|hz| Goertzel::new(hz, rate)),
            high: HIGH_HZ.map(|hz| Goertzel::new(hz, rate)),
            energy: 0.0,
            filled: 0,
            block: (BLOCK * rate.samples_per_ms() / 8) as u16,
            candidate: None,
            agreeing: 0,
            pressed: None,
        }
    }

    /// The key that is pressed now.
    #[must_use]
    pub fn pressed(&self) -> Option<Key> {
        self.pressed
    }

    /// Takes in samples; tells each find with the number of samples of `pcm` after which it was sure.
    pub fn feed(&mut self, pcm: &[i16], mut on_detection: impl FnMut(usize, Detection)) {
        for (i, sample) in pcm.iter().enumerate() {
            let sample = f32::from(*sample);
            self.low.iter_mut().chain(&mut self.high).for_each(|filter| filter.feed(sample));
            self.energy += sample * sample;
            self.filled += 1;
            if self.filled >= self.block {
                let key = self.take_block();
                self.on_block(key, |detection| on_detection(i + 1, detection));
            }
        }
    }

    /// The key of the block that has been filled.
    fn take_block(&mut self) -> Option<Key> {
        let low = self.low.each_mut().map(Goertzel::take_power);
        let high = self.high.each_mut().map(Goertzel::take_power);
        let samples = f32::from(self.block);
        let energy = core::mem::take(&mut self.energy);
        self.filled = 0;
        if energy < FAINTEST * samples {
            return None;
        }
        let (row, low) = distinct(&low)?;
        let (column, high) = distinct(&high)?;
        // A sine of a resonator's frequency alone has half as many times its energy as there are samples.
        let pure = low + high > PURITY * energy * samples / 2.0;
        let balanced = high < STRONGER * low && low < WEAKER * high;
        (pure && balanced).then(|| Key::at(row, column))
    }

    fn on_block(&mut self, key: Option<Key>, mut on_detection: impl FnMut(Detection)) {
        if key == self.candidate {
            self.agreeing = self.agreeing.saturating_add(1);
        } else {
            (self.candidate, self.agreeing) = (key, 1);
        }
        if self.agreeing < AGREEING || key == self.pressed {
            return;
        }
        if let Some(released) = core::mem::replace(&mut self.pressed, key) {
            on_detection(Detection::Released(released));
        }
        if let Some(pressed) = key {
            on_detection(Detection::Pressed(pressed));
        }
    }
}

/// The strongest of four frequencies and its power, if it stands out.
fn distinct(powers: &[f32; 4]) -> Option<(usize, f32)> {
    let (strongest, power) = powers.iter().copied().enumerate().max_by(|(_, a), (_, b)| a.total_cmp(b))?;
    let others = powers.iter().enumerate().filter(|(i, _)| *i != strongest);
    others.into_iter().all(|(_, other)| other * DISTINCT < power).then_some((strongest, power))
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;
    use crate::dtmf::ToneGenerator;
    use crate::g711::Law;

    const RATES: [Rate; 2] = [Rate::Hz8000, Rate::Hz16000];

    fn detections(rate: Rate, pcm: &[i16]) -> Vec<Detection> {
        let mut found = Vec::new();
        Detector::new(rate).feed(pcm, |_, detection| found.push(detection));
        found
    }

    fn keys() -> impl Iterator<Item = Key> {
        (0..16).filter_map(Key::from_event)
    }

    /// Key presses of so many ms, with as long a pause after each.
    fn dialled(keys: impl Iterator<Item = Key>, ms: usize, minus_dbm0: u8, rate: Rate) -> Vec<i16> {
        let mut pcm = std::vec![0; 30 * rate.samples_per_ms()];
        for key in keys {
            let mut generator = ToneGenerator::new(key, minus_dbm0, rate);
            let start = pcm.len();
            pcm.resize(start + 2 * ms * rate.samples_per_ms(), 0);
            let (tone, pause) = pcm[start..].split_at_mut(ms * rate.samples_per_ms());
            generator.generate(tone);
            generator.release();
            generator.generate(pause);
        }
        pcm
    }

    #[test]
    fn every_key_of_45_ms_is_found_once_at_any_level_and_alignment() {
        for rate in RATES {
            for level in [3, 10, 25] {
                for shift in [0, 17, 40, 77] {
                    let pcm = dialled(keys(), 45, level, rate);
                    let expected: Vec<Detection> =
                        keys().flat_map(|key| [Detection::Pressed(key), Detection::Released(key)]).collect();
                    assert_eq!(detections(rate, &pcm[shift..]), expected, "{rate:?}, -{level} dBm0, shift {shift}");
                }
            }
        }
    }

    #[test]
    fn companding_does_not_hide_keys() {
        for law in [Law::Mu, Law::A] {
            let pcm: Vec<i16> = dialled(keys(), 50, 10, Rate::Hz8000)
                .into_iter()
                .map(|sample| law.decode(law.encode(sample)))
                .collect();
            assert_eq!(detections(Rate::Hz8000, &pcm).len(), 32, "{law:?}");
        }
    }

    #[test]
    fn tones_of_20_ms_are_too_short() {
        for rate in RATES {
            for shift in 0..13 {
                let pcm = dialled(keys(), 20, 10, rate);
                assert_eq!(detections(rate, &pcm[shift * rate.samples_per_ms()..]), [], "{rate:?}, shift {shift} ms");
            }
        }
    }

    #[test]
    fn a_break_of_10_ms_does_not_make_two_of_one_key() {
        let rate = Rate::Hz8000;
        let mut pcm = std::vec![0; 8 * 200];
        let mut generator = ToneGenerator::new(Key::from_char('7').unwrap(), 10, rate);
        generator.generate(&mut pcm);
        pcm[800..880].fill(0);
        pcm.extend([0; 400]);
        let key = Key::from_char('7').unwrap();
        assert_eq!(detections(rate, &pcm), [Detection::Pressed(key), Detection::Released(key)]);
    }

    #[test]
    fn single_tones_noise_and_a_buzzing_voice_are_no_keys() {
        for rate in RATES {
            let count = 2000 * rate.samples_per_ms();
            let step = core::f32::consts::TAU / rate.hz() as f32;
            for hz in LOW_HZ.into_iter().chain(HIGH_HZ).chain([440.0, 1000.0, 2100.0]) {
                let pcm: Vec<i16> = (0..count).map(|i| (8000.0 * libm::sinf(step * hz * i as f32)) as i16).collect();
                assert_eq!(detections(rate, &pcm), [], "{hz} Hz");
            }
            let mut generator = crate::cn::Generator::new(3);
            generator.describe(&crate::cn::Description::white(15));
            let mut noise = std::vec![0; count];
            generator.generate(&mut noise);
            assert_eq!(detections(rate, &noise), [], "noise");
            for pitch in [90.0, 116.0, 174.0, 233.0] {
                let voice: Vec<i16> = (0..count)
                    .map(|i| {
                        let t = step * pitch * i as f32;
                        let sum: f32 = (1..16).map(|k| libm::sinf(t * k as f32) / k as f32).sum();
                        (6000.0 * sum) as i16
                    })
                    .collect();
                assert_eq!(detections(rate, &voice), [], "voice at {pitch} Hz");
            }
        }
    }

    #[test]
    fn twist_beyond_the_limits_is_refused() {
        let tone = |high: f32| -> Vec<i16> {
            let step = core::f32::consts::TAU / 8000.0;
            (0..1600)
                .map(|i| {
                    let t = step * i as f32;
                    (5000.0 * libm::sinf(770.0 * t) + 5000.0 * high * libm::sinf(1336.0 * t)) as i16
                })
                .collect()
        };
        // 3 dB stronger and 6 dB weaker pass, 6 dB stronger and 12 dB weaker do not.
        assert_eq!(detections(Rate::Hz8000, &tone(1.41)).len(), 1);
        assert_eq!(detections(Rate::Hz8000, &tone(0.5)).len(), 1);
        assert_eq!(detections(Rate::Hz8000, &tone(2.0)).len(), 0);
        assert_eq!(detections(Rate::Hz8000, &tone(0.25)).len(), 0);
    }
}
