//! What encoder and decoder remember of one call, and how it gets into lanes and back.

use super::filter_bank::{DELAY_WORDS, DelayLine};
use super::sub_band::{Band, SubBand, WORDS};
use crate::isa::i16::{Lanes16, Row};

/// Both sub-bands and the filter bank's delay line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub(super) struct Channel {
    pub(super) low: SubBand<i16>,
    pub(super) high: SubBand<i16>,
    pub(super) delay: [i16; DELAY_WORDS],
}

const CHANNEL_WORDS: usize = 2 * WORDS + DELAY_WORDS;

impl Channel {
    pub(super) const fn reset() -> Self {
        Self { low: SubBand::reset(Band::Low), high: SubBand::reset(Band::High), delay: [0; DELAY_WORDS] }
    }
}

/// The channels of a vector's calls, one call per lane.
pub(super) struct Channels<V> {
    pub(super) low: SubBand<V>,
    pub(super) high: SubBand<V>,
    pub(super) delay: DelayLine<V>,
}

impl<V: Lanes16> Channels<V> {
    /// Fills the lanes from the calls in order; lanes without a call get zeros.
    #[inline(always)]
    pub(super) fn gather<'a>(calls: impl Iterator<Item = &'a Channel>) -> Self {
        let mut rows = [Row::ZERO; CHANNEL_WORDS];
        for (lane, call) in calls.enumerate().take(V::LANES) {
            for (row, word) in rows.iter_mut().zip(call.low.to_words()) {
                row.0[lane] = word;
            }
            for (row, word) in rows[WORDS..].iter_mut().zip(call.high.to_words()) {
                row.0[lane] = word;
            }
            for (row, word) in rows[2 * WORDS..].iter_mut().zip(call.delay) {
                row.0[lane] = word;
            }
        }
        let delay = core::array::from_fn(
            #[inline(always)]
            |i| V::load(&rows[2 * WORDS + i]),
        );
        Self {
            low: SubBand::from_words(
                #[inline(always)]
                |i| V::load(&rows[i]),
            ),
            high: SubBand::from_words(
                #[inline(always)]
                |i| V::load(&rows[WORDS + i]),
            ),
            delay: DelayLine::from_words(&delay),
        }
    }

    /// Writes the lanes back to the calls they came from.
    #[inline(always)]
    pub(super) fn scatter<'a>(&self, calls: impl Iterator<Item = &'a mut Channel>) {
        let mut rows = [Row::ZERO; CHANNEL_WORDS];
        let words = self.low.to_words().into_iter().chain(self.high.to_words()).chain(self.delay.to_words());
        for (row, word) in rows.iter_mut().zip(words) {
            word.store(row);
        }
        for (lane, call) in calls.enumerate().take(V::LANES) {
            call.low = SubBand::from_words(|i| rows[i].0[lane]);
            call.high = SubBand::from_words(|i| rows[WORDS + i].0[lane]);
            call.delay = core::array::from_fn(|i| rows[2 * WORDS + i].0[lane]);
        }
    }
}
