//! The quadrature mirror filters of G.722 (blocks 3.1 and 4.4), in their polyphase form, over a lane vector.

use super::tables::QMF;
use crate::isa::i16::Lanes16;

/// Sub-band samples that are worked on at a time: a kernel's working set stays in the first-level cache.
pub(super) const CHUNK: usize = 16;

/// Samples of each phase that the filter remembers from one sub-band sample to the next.
const MEMORY: usize = 11;

/// Words of a delay line that outlive a chunk.
pub(super) const DELAY_WORDS: usize = 2 * MEMORY;

/// The delay line, its even and odd phases apart, oldest sample first; the taps of even index belong to the phase whose sample is newest.
pub(super) struct DelayLine<V> {
    even: [V; MEMORY + CHUNK],
    odd: [V; MEMORY + CHUNK],
}

impl<V: Lanes16> DelayLine<V> {
    #[inline(always)]
    pub(super) fn from_words(words: &[V; DELAY_WORDS]) -> Self {
        let zero = V::splat(0);
        let mut line = Self { even: [zero; MEMORY + CHUNK], odd: [zero; MEMORY + CHUNK] };
        line.even[..MEMORY].copy_from_slice(&words[..MEMORY]);
        line.odd[..MEMORY].copy_from_slice(&words[MEMORY..]);
        line
    }

    #[inline(always)]
    pub(super) fn to_words(&self) -> [V; DELAY_WORDS] {
        let mut words = [V::splat(0); DELAY_WORDS];
        words[..MEMORY].copy_from_slice(&self.even[..MEMORY]);
        words[MEMORY..].copy_from_slice(&self.odd[..MEMORY]);
        words
    }

    /// Puts the pair of new samples of time `t` (below [`CHUNK`]) into the line.
    #[inline(always)]
    pub(super) fn put(&mut self, t: usize, even: V, odd: V) {
        self.even[MEMORY + t] = even;
        self.odd[MEMORY + t] = odd;
    }

    /// The sums of both phases at each of the times `0..count` whose samples have been put.
    #[inline(always)]
    pub(super) fn filter(&self, count: usize, mut each: impl FnMut(usize, V::Wide, V::Wide)) {
        // The sample of each time beside the one before, so that one product instruction serves two taps.
        let even = neighbours(&self.even);
        let odd = neighbours(&self.odd);
        for t in 0..count {
            let newest = t + MEMORY - 1;
            let mut sums = [V::dot(even[newest], QMF[0], QMF[2]), V::dot(odd[newest], QMF[1], QMF[3])];
            for i in 1..6 {
                let taps = [QMF[4 * i], QMF[4 * i + 1], QMF[4 * i + 2], QMF[4 * i + 3]];
                sums[0] = V::wide_add(sums[0], V::dot(even[newest - 2 * i], taps[0], taps[2]));
                sums[1] = V::wide_add(sums[1], V::dot(odd[newest - 2 * i], taps[1], taps[3]));
            }
            each(t, sums[0], sums[1]);
        }
    }

    /// Forgets all but what the filter needs after `count` times.
    #[inline(always)]
    pub(super) fn advance(&mut self, count: usize) {
        self.even.copy_within(count..count + MEMORY, 0);
        self.odd.copy_within(count..count + MEMORY, 0);
    }
}

#[inline(always)]
fn neighbours<V: Lanes16>(phase: &[V; MEMORY + CHUNK]) -> [V::Pair; MEMORY + CHUNK - 1] {
    core::array::from_fn(
        #[inline(always)]
        |i| phase[i + 1].pair(phase[i]),
    )
}

/// The two sub-band samples from the sums of the analysis filter, limited to 15 bits.
#[inline(always)]
pub(super) fn split_bands<V: Lanes16>(even: V::Wide, odd: V::Wide) -> (V, V) {
    let low = V::narrow::<15>(V::wide_add(even, odd)).clamp_to(-16384, 16383);
    let high = V::narrow::<15>(V::wide_sub(even, odd)).clamp_to(-16384, 16383);
    (low, high)
}
