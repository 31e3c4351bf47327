//! The encoder of G.722 (clause 3), over a lane vector.

use super::channel::{Channel, Channels};
use super::filter_bank::{CHUNK, split_bands};
use super::sub_band::{Band, SubBand};
use super::tables::{HIGH_DECISION, LOW_DECISIONS};
use super::{Mode, lock_step};
use crate::isa::i16::{Kernel16, Lanes16, Row};
use crate::isa::transpose::{calls_to_rows, rows_to_calls};
use crate::level::Level;

/// What an encoder remembers of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Encoder {
    channel: Channel,
    mode: Mode,
}

const _: () = assert!(size_of::<Encoder>() <= 512, "a call's state should fit in 512 octets");

impl Encoder {
    /// An encoder after reset. Below 64 kbit/s it leaves the bits that are not speech zero.
    #[must_use]
    pub const fn new(mode: Mode) -> Self {
        Self { channel: Channel::reset(), mode }
    }

    /// The mode it was made with.
    #[must_use]
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// Encodes one call by itself: two 16 kHz samples of `pcm` give one octet. Works on as much as both sides have room for.
    pub fn encode(&mut self, pcm: &[i16], octets: &mut [u8]) {
        encode_batch(Level::Scalar, &mut [EncodeJob { state: self, pcm, octets }]);
    }
}

impl Default for Encoder {
    fn default() -> Self {
        Self::new(Mode::Kbit64)
    }
}

/// One call's part of a batch.
#[derive(Debug)]
pub struct EncodeJob<'a> {
    /// The call.
    pub state: &'a mut Encoder,
    /// 16 kHz samples, two per octet; an odd last one is left alone.
    pub pcm: &'a [i16],
    /// Where the octets go.
    pub octets: &'a mut [u8],
}

impl EncodeJob<'_> {
    fn octets(&self) -> usize {
        self.octets.len().min(self.pcm.len() / 2)
    }
}

/// Encodes any number of calls, as many in lock-step as the level has lanes. Jobs may differ in length; equal lengths side by side run fastest.
pub fn encode_batch(level: Level, jobs: &mut [EncodeJob<'_>]) {
    lock_step(level, jobs, EncodeJob::octets, |level, jobs, from, to| {
        crate::isa::i16::run_kernel(level, Encode { jobs, from, to });
    });
}

/// The octets `from..to` of up to a vector's width of jobs.
struct Encode<'j, 'a, 'b> {
    jobs: &'j mut [&'b mut EncodeJob<'a>],
    from: usize,
    to: usize,
}

impl Kernel16 for Encode<'_, '_, '_> {
    #[inline(always)]
    fn run<V: Lanes16>(self) {
        let Self { jobs, from, to } = self;
        let calls = jobs.len().min(V::LANES);
        let mut channels = Channels::<V>::gather(jobs.iter().map(|job| &job.state.channel));
        let mut pcm = [Row::ZERO; 2 * CHUNK];
        let mut codes = [Row::ZERO; CHUNK];
        let mut at = from;
        while at < to {
            let count = CHUNK.min(to - at);
            calls_to_rows(
                &mut pcm,
                calls,
                2 * count,
                #[inline(always)]
                |call, row, samples| samples.copy_from_slice(&jobs[call].pcm[2 * at + row..][..samples.len()]),
            );
            for t in 0..count {
                channels.delay.put(t, V::load(&pcm[2 * t + 1]), V::load(&pcm[2 * t]));
            }
            let Channels { low, high, delay } = &mut channels;
            delay.filter(
                count,
                #[inline(always)]
                |t, even, odd| {
                    let (low_sample, high_sample) = split_bands::<V>(even, odd);
                    let low_code = encode_low(low, low_sample);
                    let high_code = encode_high(high, high_sample);
                    high_code.shl::<6>().or(low_code).store(&mut codes[t]);
                },
            );
            delay.advance(count);
            rows_to_calls(
                &codes,
                calls,
                count,
                #[inline(always)]
                |call, row, codes| {
                    let job = &mut *jobs[call];
                    let mask = job.state.mode.speech_bits();
                    let octets = &mut job.octets[at + row..][..codes.len()];
                    octets.iter_mut().zip(codes).for_each(|(octet, code)| *octet = *code as u8 & mask);
                },
            );
            at += count;
        }
        channels.scatter(jobs.iter_mut().map(|job| &mut job.state.channel));
    }
}

/// Quantises one sample of the low band to 6 bits and adapts to it.
#[inline(always)]
pub(super) fn encode_low<V: Lanes16>(band: &mut SubBand<V>, sample: V) -> V {
    let error = sample.sub_sat(band.predicted);
    let negative = error.sign();
    // The one's complement folds a negative error.
    let magnitude = error.xor(negative);
    let level = decision_intervals(magnitude, band.step);
    let positive_code = V::splat(62).sub(level);
    // Negative codes count down from 31; the two smallest magnitudes have 63 and 62 instead of 33 and 32.
    let smallest = V::splat(3).greater(level).and(V::splat(30));
    let negative_code = V::splat(34).sub(level).add(smallest);
    let code = negative.select(negative_code, positive_code);
    band.adapt(Band::Low, code.shr::<2>());
    code
}

/// How many of the 30 decision levels, scaled by the step, are not above the magnitude: 1..=30, as the first level is 0.
#[inline(always)]
fn decision_intervals<V: Lanes16>(magnitude: V, step: V) -> V {
    let doubled = step.add(step);
    if V::PERMUTES {
        let mut interval = V::splat(0);
        for half in [16, 8, 4, 2, 1] {
            let next = interval.add(V::splat(half));
            let threshold = next.lookup_32(&LOW_DECISIONS).mul_high_unsigned(doubled);
            interval = threshold.greater(magnitude).select(interval, next);
        }
        interval.min(V::splat(29)).add(V::splat(1))
    } else {
        let mut count = V::splat(30);
        for level in &LOW_DECISIONS.words[..30] {
            count = count.add(V::splat(*level).mul_high_unsigned(doubled).greater(magnitude));
        }
        count
    }
}

/// Quantises one sample of the high band to 2 bits and adapts to it.
#[inline(always)]
pub(super) fn encode_high<V: Lanes16>(band: &mut SubBand<V>, sample: V) -> V {
    let error = sample.sub_sat(band.predicted);
    let negative = error.sign();
    let magnitude = error.xor(negative);
    let threshold = V::splat(HIGH_DECISION).mul_high_unsigned(band.step.add(band.step));
    let small = threshold.greater(magnitude).and(V::splat(1));
    // Positive: 2 where large, 3 where small; negative: 0 and 1.
    let code = small.add(V::splat(2).sub(negative.and(V::splat(2))));
    band.adapt(Band::High, code);
    code
}
