//! The two laws of G.711, sample by sample.
//!
//! A negative sample is folded by its one's complement *before* it is shifted or biased; folding by the absolute value, as is often seen,
//! misses the Recommendation for samples that lie exactly on a negative decision boundary.

/// A companding law of ITU-T G.711.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Law {
    /// µ-law, RTP payload type 0 (PCMU).
    Mu,
    /// A-law, RTP payload type 8 (PCMA).
    A,
}

impl Law {
    /// The other law.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Mu => Self::A,
            Self::A => Self::Mu,
        }
    }

    /// The octet that stands for silence on the line: the code of the sample 0.
    #[must_use]
    pub const fn silence(self) -> u8 {
        self.encode(0)
    }

    /// The octet on the line (even bits of A-law and all bits of µ-law inverted) for one 16-bit sample.
    #[must_use]
    #[inline(always)]
    pub const fn encode(self, sample: i16) -> u8 {
        match self {
            Self::Mu => encode_mu(sample),
            Self::A => encode_a(sample),
        }
    }

    /// The 16-bit sample an octet stands for: 13 bits of A-law or 14 of µ-law, left-justified.
    #[must_use]
    #[inline(always)]
    pub const fn decode(self, octet: u8) -> i16 {
        match self {
            Self::Mu => decode_mu(octet),
            Self::A => decode_a(octet),
        }
    }
}

/// Segment and interval of a magnitude that is at least 16: the exponent and the four leading mantissa bits of its (exact) `f32` form,
/// counted from the binade of `2^origin`. A conversion to `f32` is there in every vector unit, a leading-zero count is not.
#[inline(always)]
const fn segment(magnitude: i32, origin: i32) -> i32 {
    ((magnitude as f32).to_bits() >> 19) as i32 - ((127 + origin) << 4)
}

#[inline(always)]
pub(super) const fn encode_mu(sample: i16) -> u8 {
    let x = sample as i32;
    let folded = ((x ^ (x >> 31)) >> 2) + 33;
    let magnitude = if folded < 8191 { folded } else { 8191 };
    let sign = if x >= 0 { 0x80 } else { 0 };
    (sign + 127 - segment(magnitude, 5)) as u8
}

#[inline(always)]
pub(super) const fn encode_a(sample: i16) -> u8 {
    let x = sample as i32;
    let magnitude = (x ^ (x >> 31)) >> 4;
    // The two lowest segments have the same step, so that below 32 the code is the magnitude.
    let code = if magnitude < 32 { magnitude } else { segment(magnitude, 3) };
    let sign = if x >= 0 { 0x80 } else { 0 };
    ((code + sign) ^ 0x55) as u8
}

#[inline(always)]
pub(super) const fn decode_mu(octet: u8) -> i16 {
    let code = !octet as i32;
    let exponent = (code >> 4) & 7;
    let magnitude = ((2 * (code & 15) + 33) << (exponent + 2)) - 132;
    (if code & 0x80 == 0 { magnitude } else { -magnitude }) as i16
}

#[inline(always)]
pub(super) const fn decode_a(octet: u8) -> i16 {
    let code = octet as i32 ^ 0x55;
    let exponent = (code >> 4) & 7;
    let (leading, shift) = if exponent == 0 { (0, 0) } else { (16, exponent - 1) };
    let magnitude = (16 * ((code & 15) + leading) + 8) << shift;
    (if code & 0x80 != 0 { magnitude } else { -magnitude }) as i16
}

#[cfg(test)]
mod tests {
    use super::Law;

    #[test]
    fn negative_samples_on_a_decision_boundary_go_to_the_interval_below() {
        let expected =
            [(0, 0xff), (-1, 0x7f), (-4, 0x7f), (-5, 0x7e), (3, 0xff), (4, 0xfe), (32767, 0x80), (-32768, 0x00)];
        for (sample, octet) in expected {
            assert_eq!(Law::Mu.encode(sample), octet, "µ-law of {sample}");
        }
        for (sample, octet) in
            [(0, 0xd5), (-1, 0x55), (-16, 0x55), (-17, 0x54), (16, 0xd4), (32767, 0xaa), (-32768, 0x2a)]
        {
            assert_eq!(Law::A.encode(sample), octet, "A-law of {sample}");
        }
    }

    #[test]
    fn every_code_but_negative_zero_comes_back() {
        for octet in 0..=255 {
            assert_eq!(Law::A.encode(Law::A.decode(octet)), octet);
            let mu = if octet == 0x7f { 0xff } else { octet };
            assert_eq!(Law::Mu.encode(Law::Mu.decode(octet)), mu);
        }
    }
}
