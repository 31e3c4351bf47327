//! Comfort noise after RFC 3389: what is sent once in place of background noise, its analysis, and noise made from it.
//!
//! Between G.729's silence descriptors and these descriptions the way is over samples, because the LSF of a descriptor are coded against the
//! frames before it: what a G.729 decoder makes of a descriptor goes through [`Analyser`], what [`Generator`] makes of a description
//! through a G.729 encoder with Annex B.

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
