//! The description of noise that was heard.

use super::{Description, MAX_ORDER};
use crate::audio_level::minus_dbov;

/// Lags of which the autocorrelation is kept.
const LAGS: usize = MAX_ORDER + 1;

/// Part of the autocorrelation that a frame of 10 ms at 8 kHz (80 samples) of new noise replaces: the average is over some 80 ms.
const RENEWAL: f32 = 1.0 / 8.0;

/// Samples that are taken in at a time.
const FRAME: usize = 80;

/// White noise added to the measurement, so that the recursion is stable: −40 dB.
const WHITENING: f32 = 1.0001;

/// Follows background noise and describes it.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C)]
pub struct Analyser {
    order: u8,
    observed: bool,
    /// Autocorrelation per sample, averaged.
    correlation: [f32; LAGS],
    /// The last samples, newest last.
    memory: [i16; MAX_ORDER],
}

impl Analyser {
    /// An analyser that makes descriptions of `order` coefficients (at most [`MAX_ORDER`]; 0 describes the level alone).
    #[must_use]
    pub const fn new(order: usize) -> Self {
        let order = if order > MAX_ORDER { MAX_ORDER } else { order } as u8;
        Self { order, observed: false, correlation: [0.0; LAGS], memory: [0; MAX_ORDER] }
    }

    /// Takes in noise, of which a fraction of a second counts.
    pub fn observe(&mut self, pcm: &[i16]) {
        for frame in pcm.chunks(FRAME) {
            let mut line = [0; MAX_ORDER + FRAME];
            line[..MAX_ORDER].copy_from_slice(&self.memory);
            line[MAX_ORDER..MAX_ORDER + frame.len()].copy_from_slice(frame);
            let weight = RENEWAL * frame.len() as f32 / FRAME as f32;
            for (lag, correlation) in self.correlation.iter_mut().enumerate() {
                let delayed = &line[MAX_ORDER - lag..];
                let sum: i64 = frame.iter().zip(delayed).map(|(a, b)| i64::from(*a) * i64::from(*b)).sum();
                let mean = sum as f32 / frame.len() as f32;
                if self.observed {
                    *correlation += weight * (mean - *correlation);
                } else {
                    *correlation = mean;
                }
            }
            self.observed = true;
            self.memory.copy_from_slice(&line[frame.len()..frame.len() + MAX_ORDER]);
        }
    }

    /// Describes what was heard lately.
    #[must_use]
    pub fn describe(&self) -> Description {
        let mut description = Description::white(minus_dbov(self.correlation[0]));
        if self.correlation[0] <= 0.0 {
            return description;
        }
        let mut predictor = [0.0; LAGS];
        let mut error = self.correlation[0] * WHITENING;
        for i in 1..=usize::from(self.order).min(MAX_ORDER) {
            let mut sum = self.correlation[i];
            for j in 1..i {
                sum += predictor[j] * self.correlation[i - j];
            }
            let reflection = (-sum / error).clamp(-0.99, 0.99);
            let before: [f32; LAGS] = predictor;
            for j in 1..i {
                predictor[j] = before[j] + reflection * before[i - j];
            }
            predictor[i] = reflection;
            error *= 1.0 - reflection * reflection;
            description.reflection[i - 1] = reflection;
            description.order = i as u8;
        }
        description
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_described_as_the_quietest_white_noise() {
        let mut analyser = Analyser::new(10);
        assert_eq!(analyser.describe(), Description::white(127));
        analyser.observe(&[0; 400]);
        assert_eq!(analyser.describe(), Description::white(127));
    }

    #[test]
    fn recent_noise_counts() {
        let mut analyser = Analyser::new(0);
        analyser.observe(&[1000, -1000].repeat(800));
        assert_eq!(analyser.describe().minus_dbov, 30);
        analyser.observe(&[100, -100].repeat(4000));
        assert_eq!(analyser.describe().minus_dbov, 50);
    }

    #[test]
    fn tone_of_full_scale_gives_coefficients_in_range() {
        let mut analyser = Analyser::new(MAX_ORDER);
        analyser.observe(&[i16::MIN, i16::MIN, i16::MAX, i16::MAX].repeat(400));
        assert!(analyser.describe().reflection().iter().all(|k| k.abs() < 1.0));
    }
}
