//! Which instruction set the lane kernels run on, as a value.

use core::fmt;
use core::sync::atomic::{AtomicU8, Ordering};

/// An instruction set level, lowest first. It fixes how many calls run in lock-step: see [`Level::lanes`].
///
/// Every level computes the same bits; [`Level::Scalar`] is the reference the others are tested against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Level {
    /// One call at a time, on any processor.
    Scalar,
    /// Eight calls, AVX2.
    Avx2,
    /// Sixteen calls, AVX-512 F, BW, CD, DQ and VL (Skylake-SP and later).
    Avx512,
    /// Sixteen calls, [`Level::Avx512`] with VNNI (Ice Lake, Zen 4 and later).
    Avx512Vnni,
}

impl Level {
    /// All levels, lowest first.
    pub const ALL: [Self; 4] = [Self::Scalar, Self::Avx2, Self::Avx512, Self::Avx512Vnni];

    /// The highest level that this processor and operating system support. Found out once per process.
    #[must_use]
    pub fn detect() -> Self {
        const UNKNOWN: u8 = u8::MAX;
        static DETECTED: AtomicU8 = AtomicU8::new(UNKNOWN);
        // Threads that race here find the same answer, so no order is needed between them.
        let known = DETECTED.load(Ordering::Relaxed);
        if let Some(level) = Self::ALL.iter().find(|level| **level as u8 == known) {
            return *level;
        }
        let level = crate::isa::detect();
        DETECTED.store(level as u8, Ordering::Relaxed);
        level
    }

    /// The level to run when `requested` was asked for: never higher than what was detected.
    #[must_use]
    pub fn clamped(requested: Self) -> Self {
        requested.min(Self::detect())
    }

    /// The levels this machine can run, lowest first.
    pub fn available() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|level| *level <= Self::detect())
    }

    /// How many calls one kernel runs in lock-step.
    #[must_use]
    pub const fn lanes(self) -> usize {
        match self {
            Self::Scalar => 1,
            Self::Avx2 => 8,
            Self::Avx512 | Self::Avx512Vnni => 16,
        }
    }

    /// The name used in configuration, on the command line and in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
            Self::Avx512Vnni => "avx512-vnni",
        }
    }

    /// The level called `name`, if there is one.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.name() == name)
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requested_level_is_never_raised_above_the_detected_one() {
        for level in Level::ALL {
            assert!(Level::clamped(level) <= Level::detect());
            assert!(Level::clamped(level) <= level);
        }
        assert_eq!(Level::clamped(Level::Scalar), Level::Scalar);
    }

    #[test]
    fn every_level_is_found_by_its_name() {
        for level in Level::ALL {
            assert_eq!(Level::from_name(level.name()), Some(level));
        }
        assert_eq!(Level::from_name("sse"), None);
    }
}
