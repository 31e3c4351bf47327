//! The saturating fixed-point operations that Appendix IV is defined by.

/// Q15 product, rounded.
pub(super) fn product_rounded(a: i16, b: i16) -> i16 {
    limited((i32::from(a) * i32::from(b) + 0x4000) >> 15)
}

/// Q15 product, truncated towards minus infinity.
pub(super) fn product(a: i16, b: i16) -> i16 {
    limited((i32::from(a) * i32::from(b)) >> 15)
}

/// Q31 product.
pub(super) fn long_product(a: i16, b: i16) -> i32 {
    (i32::from(a) * i32::from(b)).saturating_mul(2)
}

/// The high half, rounded.
pub(super) fn rounded(value: i32) -> i16 {
    (value.saturating_add(0x8000) >> 16) as i16
}

/// Limits to 16 bits.
pub(super) fn limited(value: i32) -> i16 {
    value.clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16
}

/// Shifts left with saturation.
pub(super) fn shifted(value: i32, count: u32) -> i32 {
    (i64::from(value) << count).clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32
}

/// Left shifts that normalise a 32-bit value; 0 for 0.
pub(super) fn norm(value: i32) -> u32 {
    if value == 0 { 0 } else { (value ^ (value >> 31)).leading_zeros() - 1 }
}

/// A 32-bit number as a high half and 15 lower bits: `high * 65536 + low * 2`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Split {
    pub(super) high: i16,
    pub(super) low: i16,
}

impl Split {
    pub(super) fn of(value: i32) -> Self {
        Self { high: (value >> 16) as i16, low: ((value & 0xffff) >> 1) as i16 }
    }

    pub(super) fn joined(self) -> i32 {
        (i32::from(self.high) << 16).saturating_add(2 * i32::from(self.low))
    }

    /// Q31 product; the product of the low halves is left out.
    pub(super) fn times(self, other: Self) -> i32 {
        let cross = |a, b| 2 * i32::from(product(a, b));
        long_product(self.high, other.high)
            .saturating_add(cross(self.high, other.low))
            .saturating_add(cross(self.low, other.high))
    }

    fn times_word(self, word: i16) -> i32 {
        long_product(self.high, word).saturating_add(2 * i32::from(product(self.low, word)))
    }

    /// `numerator` (not negative) by this number (normalised, positive) in Q31, saturating; at most the greatest number for other operands.
    pub(super) fn divides(self, numerator: i32) -> i32 {
        // A first approximation of the reciprocal and one Newton step.
        let approximation = quotient(0x3fff, self.high);
        let error = Self::of(i32::MAX.saturating_sub(self.times_word(approximation)));
        let reciprocal = Self::of(error.times_word(approximation));
        shifted(Self::of(numerator).times(reciprocal), 2)
    }
}

/// `numerator / denominator` in Q15 for `0 <= numerator <= denominator`, 32767 where they are equal or the division makes no sense.
pub(super) fn quotient(numerator: i16, denominator: i16) -> i16 {
    if numerator >= denominator || denominator <= 0 {
        return i16::MAX;
    }
    limited((i32::from(numerator) << 15) / i32::from(denominator))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normalisation_brings_a_value_into_the_top_binade() {
        assert_eq!([norm(0), norm(1), norm(-1), norm(i32::MAX), norm(i32::MIN), norm(-2)], [0, 30, 31, 0, 0, 30]);
    }

    #[test]
    fn reciprocal_division_is_close_to_the_quotient() {
        for (numerator, denominator) in [(1 << 29, 1 << 30), (123_456_789, 2_000_000_000), (0, 1 << 30)] {
            let exact = f64::from(numerator) / f64::from(denominator);
            let approximate = f64::from(Split::of(denominator).divides(numerator)) / 2_147_483_648.0;
            assert!((exact - approximate).abs() < 1e-6, "{exact} {approximate}");
        }
    }

    #[test]
    fn only_the_product_of_two_least_values_saturates() {
        assert_eq!(long_product(i16::MIN, i16::MIN), i32::MAX);
        assert_eq!(product(i16::MIN, i16::MIN), i16::MAX);
        assert_eq!(product_rounded(i16::MIN, i16::MAX), -32767);
    }
}
