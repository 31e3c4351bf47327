//! Comfort noise after RFC 3389: what is sent once in place of background noise, its analysis, and noise made from it.
//!
//! # G.729 Annex B
//!
//! A silence descriptor (SID) of G.729 and a description here say the same: an all-pole spectrum and a level. Each is made of the other without
//! a detour over samples, by the two that know the call's LSF predictor, against which a SID is coded:
//!
//! - **SID to CN**: give the SID to the [decoder](crate::g729::decode_batch) as any frame, then ask it for
//!   [`comfort_noise`](crate::g729::Decoder::comfort_noise) and send that description's [`payload`](Description::payload).
//! - **CN to SID**: [`Encoder::encode_noise`](crate::g729::Encoder::encode_noise) gives the SID to be sent. Until speech or another description
//!   comes, nothing needs to be sent.
//!
//! *Level.* A SID's gain *g* (the Q3 value of the table divided by 8) is the root mean square of the excitation of speech that the encoder has
//! halved, a description's level that of the noise itself. With the reflection coefficients *k* of the SID's filter,
//! level = 20·log₁₀(2g / 32768) − 10·log₁₀ ∏(1 − k²) dBov. Gains have steps of 2 dB from g = 6.3 up and of 4 dB below, and levels of 1 dB, so
//! a description comes back from a SID within 1.5 dB (2.5 dB below). White noise can be told from −96 to −18 dBov; louder where the spectrum
//! is less even.
//!
//! *Spectrum.* The coefficients have the sign that makes k₁ negative for low-pass noise: k₁ = −r(1)/r(0), as in G.729. The first ten count; they
//! meet the LSF through the autocorrelation, so any description gives a stable filter, and pass G.729's own lag window (60 Hz) on their way.

mod analysis;
mod generator;

use arrayvec::ArrayVec;
use thiserror::Error;

pub use analysis::Analyser;
pub use generator::Generator;

/// Greatest order of the noise's spectrum that is used; a description may have more, which add little.
pub const MAX_ORDER: usize = 16;

/// Octets of the longest description that is made.
pub const MAX_PAYLOAD: usize = 1 + MAX_ORDER;

/// A description of background noise: its level, and its spectrum as reflection coefficients.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C)]
pub struct Description {
    /// Level in −dBov, 0..=127.
    pub minus_dbov: u8,
    order: u8,
    reflection: [f32; MAX_ORDER],
}

/// Why a payload is not a description of comfort noise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PayloadError {
    /// There is no octet for the level.
    #[error("the payload is empty")]
    Empty,
    /// The most significant bit of the level, which must be zero, is not.
    #[error("the level has its most significant bit set")]
    Level,
}

impl Description {
    /// White noise of a level in −dBov (at most 127).
    #[must_use]
    pub const fn white(minus_dbov: u8) -> Self {
        let minus_dbov = if minus_dbov > 127 { 127 } else { minus_dbov };
        Self { minus_dbov, order: 0, reflection: [0.0; MAX_ORDER] }
    }

    /// Noise of a level in −dBov (at most 127) and a spectrum; coefficients beyond [`MAX_ORDER`] are left out.
    #[must_use]
    pub fn new(minus_dbov: u8, reflection: &[f32]) -> Self {
        let mut description = Self::white(minus_dbov);
        for (to, from) in description.reflection.iter_mut().zip(reflection) {
            *to = from.clamp(-GREATEST, GREATEST);
            description.order += 1;
        }
        description
    }

    /// The reflection coefficients, each between −1 and 1.
    #[must_use]
    pub fn reflection(&self) -> &[f32] {
        &self.reflection[..usize::from(self.order).min(MAX_ORDER)]
    }

    /// Reads a payload (RFC 3389 section 3). Coefficients beyond [`MAX_ORDER`] are left out.
    ///
    /// # Errors
    /// No level, or one that cannot be.
    pub fn parse(payload: &[u8]) -> Result<Self, PayloadError> {
        let (level, indices) = payload.split_first().ok_or(PayloadError::Empty)?;
        if level & 0x80 != 0 {
            return Err(PayloadError::Level);
        }
        let mut description = Self::white(*level);
        for (coefficient, index) in description.reflection.iter_mut().zip(indices) {
            *coefficient = coefficient_of(*index);
            description.order += 1;
        }
        Ok(description)
    }

    /// The payload.
    #[must_use]
    pub fn payload(&self) -> ArrayVec<u8, MAX_PAYLOAD> {
        let mut payload = ArrayVec::new();
        payload.push(self.minus_dbov & 0x7f);
        payload.extend(self.reflection().iter().map(|coefficient| index_of(*coefficient)));
        payload
    }
}

/// The greatest coefficient that can be told.
const GREATEST: f32 = 258.0 / 32768.0 * 127.0;

/// A coefficient by its index (RFC 3389 section 3.2); the index 255 is reserved and read as the greatest.
fn coefficient_of(index: u8) -> f32 {
    258.0 / 32768.0 * (f32::from(index.min(254)) - 127.0)
}

fn index_of(coefficient: f32) -> u8 {
    (libm::roundf(coefficient * (32768.0 / 258.0)) + 127.0).clamp(0.0, 254.0) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payload_is_read_and_written_back() {
        let payload = [0x40, 0, 127, 254, 64, 200];
        let description = Description::parse(&payload).unwrap();
        assert_eq!(description.minus_dbov, 64);
        assert_eq!(description.reflection().len(), 5);
        assert_eq!(description.reflection()[1], 0.0);
        assert!(description.reflection()[0] > -1.0 && description.reflection()[2] < 1.0);
        assert_eq!(description.payload()[..], payload);
        assert_eq!(Description::parse(&[0x40, 255]), Description::parse(&[0x40, 254]));
    }

    #[test]
    fn more_coefficients_than_are_used_are_left_out() {
        let payload = [127; 40];
        assert_eq!(Description::parse(&payload).unwrap().payload()[..], payload[..MAX_PAYLOAD]);
    }

    #[test]
    fn what_is_no_description_is_refused() {
        assert_eq!(Description::parse(&[]), Err(PayloadError::Empty));
        assert_eq!(Description::parse(&[0x80]), Err(PayloadError::Level));
    }
}
