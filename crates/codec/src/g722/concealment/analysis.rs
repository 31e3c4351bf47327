//! The low band at the first lost frame: pitch, predictor, excitation and class; and its continuation from them.

use super::LOW_HISTORY;
use super::fixed::{long_product, rounded, shifted};
use super::lp::{ORDER, predictor};
use super::pitch::{self, SPAN};

/// Excitation samples that are kept.
const EXCITATION: usize = 289;

/// Greatest pitch lag.
const MAX_LAG: u16 = 142;

/// Samples that are synthesised at a time.
const SYNTHESISED: usize = super::FRAME;

/// What kind of signal was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub(super) enum Class {
    Voiced,
    Unvoiced,
    Transient,
    WeaklyVoiced,
    /// Between voiced and unvoiced.
    Transition,
}

impl Class {
    /// Whether the lag is to jitter, so that the repetition does not ring.
    const fn jitters(self) -> bool {
        !matches!(self, Self::Voiced)
    }

    /// Whether lone peaks are to be taken out of the excitation.
    const fn is_irregular(self) -> bool {
        matches!(self, Self::WeaklyVoiced | Self::Transition)
    }

    /// What one sample counts for the fading.
    pub(super) const fn increment(self) -> u16 {
        match self {
            Self::Transition => 2,
            Self::Transient => 4,
            _ => 1,
        }
    }

    /// Loss of gain per sample: always, in addition after 80, and after 160 counts, Q15.
    pub(super) const fn slopes(self) -> [i16; 3] {
        match self {
            Self::Transition => [10, 0, 389],
            Self::Transient => [409, 0, 0],
            _ => [10, 10, 170],
        }
    }

    /// Loss of gain per sample of the continuation beyond the first lost frame, Q15.
    pub(super) const fn look_ahead_slope(self) -> i16 {
        match self {
            Self::Transition => 399,
            Self::Transient => 0,
            _ => 20,
        }
    }
}

/// A model of the low band's signal, and its continuation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub(super) struct Signal {
    /// Residual of the linear prediction, continued by pitch repetition; newest last.
    excitation: [i16; EXCITATION],
    /// The predictor, Q12.
    predictor: [i16; ORDER + 1],
    /// The last synthesised samples, newest last.
    memory: [i16; ORDER],
    lag: u16,
    pub(super) class: Class,
}

impl Signal {
    pub(super) const NONE: Self = Self {
        excitation: [0; EXCITATION],
        predictor: [0; ORDER + 1],
        memory: [0; ORDER],
        lag: 0,
        class: Class::WeaklyVoiced,
    };

    /// The pitch lag, in samples of the sub-band.
    pub(super) fn lag(&self) -> usize {
        usize::from(self.lag.clamp(2, MAX_LAG))
    }

    /// Looks at the low band. `high_dominates` tells whether the high band's logarithmic step was the greater one.
    pub(super) fn analyse(&mut self, low: &[i16; LOW_HISTORY], high_dominates: bool) {
        let span: &[i16; SPAN] = low.last_chunk().expect("the history is longer than the pitch analysis looks back");
        let pitch = pitch::find(span);
        self.lag = pitch.lag as u16;
        if let Some(predictor) = predictor(&low[LOW_HISTORY - 80..], ORDER) {
            self.predictor = predictor;
        }
        for (excitation, newest) in self.excitation.iter_mut().zip(ORDER..) {
            let mut sum = 0_i32;
            for (tap, sample) in self.predictor.iter().zip(low[newest - ORDER..=newest].iter().rev()) {
                sum = sum.saturating_add(long_product(*tap, *sample));
            }
            *excitation = rounded(shifted(sum, 3));
        }
        self.memory.copy_from_slice(&low[LOW_HISTORY - ORDER..]);
        self.classify(low, pitch.correlation, high_dominates);
    }

    fn classify(&mut self, low: &[i16; LOW_HISTORY], correlation: i16, high_dominates: bool) {
        let crossings = low[LOW_HISTORY - 81..].windows(2).filter(|pair| pair[0] > 0 && pair[1] <= 0).count();
        self.class = match (correlation > 22936, high_dominates) {
            (true, false) => Class::Voiced,
            (true, true) | (false, false) => Class::WeaklyVoiced,
            (false, true) => Class::Transition,
        };
        if crossings >= 20 {
            self.class = Class::Unvoiced;
            if self.lag < 32 {
                self.lag *= 2;
            }
        }
        if self.class.is_irregular() && self.limit_peaks() {
            self.class = Class::Transient;
        }
    }

    /// Limits each sample of the last pitch period of the excitation to what was around it a period before. Tells whether any stood out far.
    fn limit_peaks(&mut self) -> bool {
        let lag = self.lag();
        let mut stood_out = false;
        for at in EXCITATION - lag..EXCITATION {
            let before = at - lag;
            let around = &self.excitation[before - 2..=before + 2];
            let limit = around.iter().map(|sample| sample.saturating_abs()).max().unwrap_or(0);
            let sample = self.excitation[at];
            let magnitude = sample.saturating_abs();
            if magnitude > limit {
                stood_out |= magnitude >> 3 >= limit;
                self.excitation[at] = if sample < 0 { -limit } else { limit };
            }
        }
        stood_out
    }

    /// Continues the signal.
    pub(super) fn synthesise(&mut self, samples: &mut [i16; SYNTHESISED]) {
        let jitter = usize::from(self.class.jitters());
        self.lag |= jitter as u16;
        let lag = self.lag();
        let mut excitation = [0; EXCITATION + SYNTHESISED];
        excitation[..EXCITATION].copy_from_slice(&self.excitation);
        let mut speech = [0; ORDER + SYNTHESISED];
        speech[..ORDER].copy_from_slice(&self.memory);
        for i in 0..SYNTHESISED {
            let now = EXCITATION + i;
            // The lag is one shorter and one longer by turns.
            let repeated = if i % 2 == 0 { now - lag + jitter } else { now - lag - jitter };
            excitation[now] = excitation[repeated];
            let mut sum = long_product(self.predictor[0], excitation[now]);
            let history = speech[i..i + ORDER].iter().rev();
            for (tap, sample) in self.predictor[1..].iter().zip(history) {
                sum = sum.saturating_sub(long_product(*tap, *sample));
            }
            speech[ORDER + i] = rounded(shifted(sum, 3));
        }
        samples.copy_from_slice(&speech[ORDER..]);
        self.memory.copy_from_slice(&speech[SYNTHESISED..]);
        self.excitation.copy_from_slice(&excitation[SYNTHESISED..]);
    }
}
