//! The decoder of G.722 (clause 4), over a lane vector.

use super::channel::{Channel, Channels};
use super::filter_bank::CHUNK;
use super::sub_band::{Band, SubBand};
use super::tables::LOW_OUTPUT;
use super::{Mode, lock_step};
use crate::isa::i16::{Kernel16, Lanes16, Row};
use crate::level::Level;

/// What a decoder remembers of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Decoder {
    pub(super) channel: Channel,
    mode: Mode,
}

impl Decoder {
    /// A decoder after reset.
    #[must_use]
    pub const fn new(mode: Mode) -> Self {
        Self { channel: Channel::reset(), mode }
    }

    /// The mode it was made with.
    #[must_use]
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// Decodes one call by itself: one octet gives two 16 kHz samples of `pcm`. Works on as much as both sides have room for.
    pub fn decode(&mut self, octets: &[u8], pcm: &mut [i16]) {
        decode_batch(Level::Scalar, &mut [DecodeJob { state: self, octets, pcm }]);
    }
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new(Mode::Kbit64)
    }
}

/// One call's part of a batch.
#[derive(Debug)]
pub struct DecodeJob<'a> {
    /// The call.
    pub state: &'a mut Decoder,
    /// The octets.
    pub octets: &'a [u8],
    /// Where the 16 kHz samples go, two per octet.
    pub pcm: &'a mut [i16],
}

impl DecodeJob<'_> {
    fn octets(&self) -> usize {
        self.octets.len().min(self.pcm.len() / 2)
    }
}

/// Decodes any number of calls, as many in lock-step as the level has lanes. Jobs may differ in length; equal lengths side by side run fastest.
pub fn decode_batch(level: Level, jobs: &mut [DecodeJob<'_>]) {
    lock_step(level, jobs, DecodeJob::octets, |level, jobs, from, to| {
        crate::isa::i16::run_kernel(level, Decode { jobs, from, to });
    });
}

/// The octets `from..to` of up to a vector's width of jobs.
struct Decode<'j, 'a, 'b> {
    jobs: &'j mut [&'b mut DecodeJob<'a>],
    from: usize,
    to: usize,
}

impl Kernel16 for Decode<'_, '_, '_> {
    #[inline(always)]
    fn run<V: Lanes16>(self) {
        let Self { jobs, from, to } = self;
        let modes = Modes::<V>::of(jobs.iter().map(|job| job.state.mode));
        let mut channels = Channels::<V>::gather(jobs.iter().map(|job| &job.state.channel));
        let mut codes = [Row::ZERO; CHUNK];
        let mut pcm = [Row::ZERO; 2 * CHUNK];
        let mut at = from;
        while at < to {
            let count = CHUNK.min(to - at);
            for (lane, job) in jobs.iter().enumerate().take(V::LANES) {
                for (row, octet) in codes.iter_mut().zip(&job.octets[at..at + count]) {
                    row.0[lane] = i16::from(*octet);
                }
            }
            let Channels { low, high, delay } = &mut channels;
            for t in 0..count {
                let code = V::load(&codes[t]);
                let low_sample = decode_low(low, code.and(V::splat(63)), &modes);
                let high_sample = decode_high(high, code.shr::<6>());
                delay.put(t, low_sample.sub_sat(high_sample), low_sample.add_sat(high_sample));
            }
            delay.filter(
                count,
                #[inline(always)]
                |t, even, odd| {
                    V::narrow::<12>(even).store(&mut pcm[2 * t]);
                    V::narrow::<12>(odd).store(&mut pcm[2 * t + 1]);
                },
            );
            delay.advance(count);
            for (lane, job) in jobs.iter_mut().enumerate().take(V::LANES) {
                for (sample, row) in job.pcm[2 * at..2 * (at + count)].iter_mut().zip(&pcm) {
                    *sample = row.0[lane];
                }
            }
            at += count;
        }
        channels.scatter(jobs.iter_mut().map(|job| &mut job.state.channel));
    }
}

/// The modes of a vector's calls.
pub(super) struct Modes<V> {
    /// The mode of all, if they have one.
    common: Option<Mode>,
    /// Masks of the lanes in mode 2 and in mode 3.
    lower: [V; 2],
}

impl<V: Lanes16> Modes<V> {
    #[inline(always)]
    pub(super) fn of(modes: impl Iterator<Item = Mode> + Clone) -> Self {
        let first = modes.clone().next();
        let mut row = Row::ZERO;
        for (lane, mode) in modes.clone().enumerate().take(V::LANES) {
            row.0[lane] = mode as i16;
        }
        let mode = V::load(&row);
        let is = |wanted: Mode| mode.equal(V::splat(wanted as i16));
        let common = first.filter(|first| modes.clone().all(|mode| mode == *first));
        Self { common, lower: [is(Mode::Kbit56), is(Mode::Kbit48)] }
    }

    /// The output level, times 8, of each lane's code in its mode.
    #[inline(always)]
    fn output_level(&self, code: V) -> V {
        match self.common {
            Some(mode) => code.lookup_64(&LOW_OUTPUT[mode as usize]),
            None => {
                let [mode_2, mode_3] = self.lower;
                let level = mode_2.select(code.lookup_64(&LOW_OUTPUT[1]), code.lookup_64(&LOW_OUTPUT[0]));
                mode_3.select(code.lookup_64(&LOW_OUTPUT[2]), level)
            }
        }
    }
}

/// One sample of the low band from its 6-bit code.
#[inline(always)]
pub(super) fn decode_low<V: Lanes16>(band: &mut SubBand<V>, code: V, modes: &Modes<V>) -> V {
    let difference = band.step.mul_q15(modes.output_level(code));
    let sample = band.predicted.add_sat(difference).clamp_to(-16384, 16383);
    band.adapt(Band::Low, code.shr::<2>());
    sample
}

/// One sample of the high band from its 2-bit code.
#[inline(always)]
pub(super) fn decode_high<V: Lanes16>(band: &mut SubBand<V>, code: V) -> V {
    band.adapt(Band::High, code).clamp_to(-16384, 16383)
}
