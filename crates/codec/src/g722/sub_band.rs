//! Adaptive prediction of one sub-band, common to encoder and decoder (clauses 3.3 to 3.6 of G.722), over a lane vector.

use super::tables::{EXPONENTIAL, HIGH_DIFFERENCE, HIGH_STEP, LOW_DIFFERENCE, LOW_STEP, POWER};
use crate::isa::i16::Lanes16;

/// State of one sub-band: of one call with `T = i16`, of a vector of calls with `T` a lane vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub(super) struct SubBand<T> {
    /// Quantiser step Δ (DET).
    pub(super) step: T,
    /// Logarithmic quantiser step ∇ (NB).
    pub(super) log_step: T,
    /// Predicted sample (S).
    pub(super) predicted: T,
    /// Zero section's part of it (SZ).
    pub(super) zero_section: T,
    /// Pole coefficients a1, a2.
    pub(super) poles: [T; 2],
    /// Zero coefficients b1..b6.
    pub(super) zeros: [T; 6],
    /// Twice the last six quantised differences (saturated), newest first: the form in which the predictor uses them.
    pub(super) differences: [T; 6],
    /// The last two partially reconstructed samples (difference and zero section), newest first; only their signs count.
    pub(super) partials: [T; 2],
    /// Twice the last reconstructed sample (saturated). The second pole uses the one before, which is overwritten before it is read.
    pub(super) reconstructed: T,
}

/// Words in a [`SubBand`].
pub(super) const WORDS: usize = 21;

/// Which sub-band; decides the tables and limits of its step control.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Band {
    Low,
    High,
}

impl Band {
    /// Greatest logarithmic step.
    pub(super) const fn log_step_limit(self) -> i16 {
        match self {
            Self::Low => 18432,
            Self::High => 22528,
        }
    }

    /// Offset of the band's logarithmic step in the scale of the linear conversion.
    pub(super) const fn log_offset(self) -> i16 {
        match self {
            Self::Low => 64,
            Self::High => 0,
        }
    }
}

impl SubBand<i16> {
    /// State after a reset.
    pub(super) const fn reset(band: Band) -> Self {
        let step = match band {
            Band::Low => 32,
            Band::High => 8,
        };
        Self {
            step,
            log_step: 0,
            predicted: 0,
            zero_section: 0,
            poles: [0; 2],
            zeros: [0; 6],
            differences: [0; 6],
            partials: [0; 2],
            reconstructed: 0,
        }
    }
}

impl<T: Copy> SubBand<T> {
    #[inline(always)]
    pub(super) fn from_words(word: impl Fn(usize) -> T) -> Self {
        Self {
            step: word(0),
            log_step: word(1),
            predicted: word(2),
            zero_section: word(3),
            poles: [word(4), word(5)],
            zeros: [word(6), word(7), word(8), word(9), word(10), word(11)],
            differences: [word(12), word(13), word(14), word(15), word(16), word(17)],
            partials: [word(18), word(19)],
            reconstructed: word(20),
        }
    }

    #[inline(always)]
    pub(super) fn to_words(self) -> [T; WORDS] {
        let Self { step, log_step, predicted, zero_section, poles, zeros, differences, partials, reconstructed } = self;
        let ([b1, b2, b3, b4, b5, b6], [d1, d2, d3, d4, d5, d6]) = (zeros, differences);
        let ([a1, a2], [p1, p2]) = (poles, partials);
        [
            step,
            log_step,
            predicted,
            zero_section,
            a1,
            a2,
            b1,
            b2,
            b3,
            b4,
            b5,
            b6,
            d1,
            d2,
            d3,
            d4,
            d5,
            d6,
            p1,
            p2,
            reconstructed,
        ]
    }
}

/// Quantiser step for a logarithmic step (block SCALE).
#[inline(always)]
pub(super) fn linear_step<V: Lanes16>(log_step: V, band: Band) -> V {
    let log = log_step.shr::<6>().add(V::splat(band.log_offset()));
    let mantissa = log.and(V::splat(31)).lookup_32(&EXPONENTIAL);
    let power = log.shr::<5>().lookup_16(&POWER);
    mantissa.mul_high_unsigned(power).shl::<2>()
}

/// The value less one 256th, rounded down: a Q15 product with 32640.
#[inline(always)]
fn leak_256th<V: Lanes16>(value: V) -> V {
    value.add(value.mul_high(V::splat(-256)))
}

/// The value less one 128th, rounded down: a Q15 product with 32512.
#[inline(always)]
fn leak_128th<V: Lanes16>(value: V) -> V {
    value.add(value.mul_high(V::splat(-512)))
}

impl<V: Lanes16> SubBand<V> {
    /// Adapts to one code: `code` is the four top bits of the low band's, or the two bits of the high band's. Gives the reconstructed sample
    /// (not limited).
    #[inline(always)]
    pub(super) fn adapt(&mut self, band: Band, code: V) -> V {
        let (levels, steps) = match band {
            Band::Low => (&LOW_DIFFERENCE, &LOW_STEP),
            Band::High => (&HIGH_DIFFERENCE, &HIGH_STEP),
        };
        let difference = self.step.mul_q15(code.lookup_16(levels));

        // Step control (LOGSCL, LOGSCH, SCALEL, SCALEH).
        self.log_step = leak_128th(self.log_step).add_sat(code.lookup_16(steps)).clamp_to(0, band.log_step_limit());
        self.step = linear_step(self.log_step, band);

        let partial = difference.add_sat(self.zero_section);
        let reconstructed = self.predicted.add_sat(difference);

        // Zero section (UPZERO, FILTEZ).
        let idle = difference.equal(V::splat(0));
        let gain = idle.select(V::splat(0), V::splat(128));
        for i in 0..6 {
            let opposite = difference.xor(self.differences[i]).sign();
            self.zeros[i] = gain.with_sign(opposite).add_sat(leak_256th(self.zeros[i]));
        }
        self.differences.copy_within(0..5, 1);
        self.differences[0] = difference.add_sat(difference);
        let mut zero_section = self.differences[5].mul_q15(self.zeros[5]);
        for i in (0..5).rev() {
            zero_section = zero_section.add_sat(self.differences[i].mul_q15(self.zeros[i]));
        }
        self.zero_section = zero_section;

        // Pole section (UPPOL2, UPPOL1, FILTEP).
        let [a1, a2] = self.poles;
        let opposite_1 = partial.xor(self.partials[0]).sign();
        let opposite_2 = partial.xor(self.partials[1]).sign();
        let doubled = a1.add_sat(a1);
        let same_1 = opposite_1.xor(V::splat(-1));
        let turned = doubled.add_sat(doubled).xor(same_1).sub_sat(same_1).sar::<7>();
        let pull = V::splat(128).with_sign(opposite_2);
        let a2 = turned.add_sat(pull).add_sat(leak_128th(a2)).clamp_to(-12288, 12288);
        let limit = V::splat(15360).sub(a2);
        let a1 = V::splat(192).with_sign(opposite_1).add_sat(leak_256th(a1));
        let a1 = a1.min(limit).max(V::splat(0).sub(limit));
        self.poles = [a1, a2];
        self.partials = [partial, self.partials[0]];
        let newest = reconstructed.add_sat(reconstructed);
        let pole_section = a1.mul_q15(newest).add_sat(a2.mul_q15(self.reconstructed));
        self.reconstructed = newest;

        self.predicted = pole_section.add_sat(zero_section);
        reconstructed
    }
}
