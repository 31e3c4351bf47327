//! ITU-T G.722: 7 kHz audio at 64, 56 and 48 kbit/s, two sub-bands of ADPCM behind a quadrature mirror filter.
//!
//! Bit-exact, written once over a vector of 16-bit lanes (one call per lane). RTP carries one octet per two 16 kHz samples, on a clock of
//! 8000 (RFC 3551): 20 ms are 160 octets, 320 samples and a timestamp step of 160.

mod bands;
mod channel;
pub mod concealment;
pub mod conformance;
mod decoder;
mod encoder;
mod filter_bank;
mod sub_band;
mod tables;

pub use concealment::{ConcealingDecoder, ConcealingJob, decode_or_conceal_batch};
pub use decoder::{DecodeJob, Decoder, decode_batch};
pub use encoder::{EncodeJob, Encoder, encode_batch};

use arrayvec::ArrayVec;

use crate::isa::i16::lanes_16;
use crate::level::Level;

/// How many bits of each octet are speech (clause 1.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum Mode {
    /// Mode 1: all eight.
    #[default]
    Kbit64,
    /// Mode 2: all but the lowest.
    Kbit56,
    /// Mode 3: all but the two lowest.
    Kbit48,
}

impl Mode {
    /// Modes 1, 2 and 3.
    pub const ALL: [Self; 3] = [Self::Kbit64, Self::Kbit56, Self::Kbit48];

    /// Speech bit rate in kbit/s.
    #[must_use]
    pub const fn kbit_per_second(self) -> u32 {
        match self {
            Self::Kbit64 => 64,
            Self::Kbit56 => 56,
            Self::Kbit48 => 48,
        }
    }

    /// The mode of a speech bit rate in kbit/s.
    #[must_use]
    pub const fn from_kbit_per_second(rate: u32) -> Option<Self> {
        match rate {
            64 => Some(Self::Kbit64),
            56 => Some(Self::Kbit56),
            48 => Some(Self::Kbit48),
            _ => None,
        }
    }

    const fn speech_bits(self) -> u8 {
        match self {
            Self::Kbit64 => 0xff,
            Self::Kbit56 => 0xfe,
            Self::Kbit48 => 0xfc,
        }
    }
}

/// The widest vector of 16-bit lanes.
const MAX_LANES: usize = 32;

/// Runs jobs of `length` steps side by side, a vector's width at a time: each run covers steps `from..to` that all its jobs have, and jobs
/// that are done leave the vector. A job that would run alone runs in the scalar kernel, which is faster for one.
fn lock_step<J>(
    level: Level,
    jobs: &mut [J],
    length: impl Fn(&J) -> usize,
    run: impl Fn(Level, &mut [&mut J], usize, usize),
) {
    let level = Level::clamped(level);
    for group in jobs.chunks_mut(lanes_16(level)) {
        let mut from = 0;
        loop {
            let mut active: ArrayVec<&mut J, MAX_LANES> = group.iter_mut().filter(|job| length(job) > from).collect();
            let Some(to) = active.iter().map(|job| length(job)).min() else { break };
            let level = if active.len() == 1 { Level::Scalar } else { level };
            run(level, &mut active, from, to);
            from = to;
        }
    }
}
