//! Speech level in dBov: decibels relative to the overload point, which is the power of a full-scale square wave of ±32768.

/// The lowest level that is told, in −dBov: RFC 3389 and RFC 6464 have seven bits for it.
pub const QUIETEST: u8 = 127;

/// Power of the overload point.
const OVERLOAD: f32 = 32768.0 * 32768.0;

/// Mean square of samples, 0 for none.
#[must_use]
pub fn mean_square(pcm: &[i16]) -> f32 {
    if pcm.is_empty() {
        return 0.0;
    }
    let sum: u64 = pcm.iter().map(|sample| i64::from(*sample).pow(2) as u64).sum();
    sum as f32 / pcm.len() as f32
}

/// Level of a mean square in −dBov, 0..=127: the form of RFC 3389 section 3.1 and RFC 6464 section 3. Silence is [`QUIETEST`].
#[must_use]
pub fn minus_dbov(mean_square: f32) -> u8 {
    if mean_square <= 0.0 {
        return QUIETEST;
    }
    let level = -10.0 * libm::log10f(mean_square / OVERLOAD);
    libm::roundf(level).clamp(0.0, f32::from(QUIETEST)) as u8
}

/// Level of samples in −dBov.
#[must_use]
pub fn measure(pcm: &[i16]) -> u8 {
    minus_dbov(mean_square(pcm))
}

/// Mean square of a level in −dBov.
#[must_use]
pub fn mean_square_of(minus_dbov: u8) -> f32 {
    OVERLOAD * libm::powf(10.0, -0.1 * f32::from(minus_dbov))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn square_wave_of_full_scale_is_the_overload_point_and_a_sine_3_db_below() {
        assert_eq!(measure(&[i16::MIN; 160]), 0);
        assert_eq!(measure(&[i16::MAX, i16::MIN].repeat(80)), 0);
        let sine: [i16; 160] =
            core::array::from_fn(|i| (32767.0 * libm::sinf(i as f32 * core::f32::consts::FRAC_PI_8)) as i16);
        assert_eq!(measure(&sine), 3);
        let tenth = sine.map(|sample| sample / 10);
        assert_eq!(measure(&tenth), 23);
    }

    #[test]
    fn silence_and_nothing_are_the_quietest() {
        assert_eq!(measure(&[0; 160]), QUIETEST);
        assert_eq!(measure(&[]), QUIETEST);
        // A single count in a second is above −127 dBov, but not by much.
        assert_eq!(measure(&[1]), 90);
    }

    #[test]
    fn level_and_mean_square_are_each_others_inverse() {
        for level in 0..=QUIETEST {
            assert_eq!(minus_dbov(mean_square_of(level)), level);
        }
    }
}
