//! The decoder of G.722 (clause 4), over a lane vector.

use arrayvec::ArrayVec;

use super::channel::{Channel, Channels};
use super::concealment::HighPass;
use super::filter_bank::CHUNK;
use super::sub_band::{Band, SubBand};
use super::tables::LOW_OUTPUT;
use super::{MAX_LANES, Mode, lock_step};
use crate::isa::i16::{Kernel16, Lanes16, Row};
use crate::isa::transpose::{calls_to_rows, rows_to_calls};
use crate::level::Level;

/// What a decoder remembers of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Decoder {
    pub(super) channel: Channel,
    mode: Mode,
}

const _: () = assert!(size_of::<Decoder>() <= 512, "a call's state should fit in 512 octets");

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
    for group in jobs.chunks_mut(MAX_LANES) {
        let mut lanes: ArrayVec<Lane<'_>, MAX_LANES> = group.iter_mut().map(Lane::of).collect();
        decode_lanes::<false>(level, &mut lanes);
    }
}

/// One call in a decoding kernel.
pub(super) struct Lane<'a> {
    pub(super) channel: &'a mut Channel,
    pub(super) mode: Mode,
    pub(super) octets: &'a [u8],
    /// Twice as many samples as octets.
    pub(super) pcm: &'a mut [i16],
    /// For a kernel that lays the bands open: where their samples go, as many as octets.
    pub(super) low: &'a mut [i16],
    pub(super) high: &'a mut [i16],
    /// For such a kernel: the high-pass, where it is on.
    pub(super) high_pass: Option<&'a mut HighPass>,
}

impl<'a> Lane<'a> {
    fn of(job: &'a mut DecodeJob<'_>) -> Self {
        let count = job.octets();
        Self {
            channel: &mut job.state.channel,
            mode: job.state.mode,
            octets: &job.octets[..count],
            pcm: &mut job.pcm[..2 * count],
            low: &mut [],
            high: &mut [],
            high_pass: None,
        }
    }
}

/// Decodes lanes, a vector's width at a time; lays the bands open if `BANDS`.
pub(super) fn decode_lanes<const BANDS: bool>(level: Level, lanes: &mut [Lane<'_>]) {
    lock_step(
        level,
        lanes,
        |lane| lane.octets.len(),
        |level, lanes, from, to| crate::isa::i16::run_kernel(level, Decode::<BANDS> { lanes, from, to }),
    );
}

/// The octets `from..to` of up to a vector's width of lanes.
struct Decode<'l, 'a, 'b, const BANDS: bool> {
    lanes: &'l mut [&'b mut Lane<'a>],
    from: usize,
    to: usize,
}

impl<const BANDS: bool> Kernel16 for Decode<'_, '_, '_, BANDS> {
    #[inline(always)]
    fn run<V: Lanes16>(self) {
        let Self { lanes, from, to } = self;
        let calls = lanes.len().min(V::LANES);
        let modes = Modes::<V>::of(lanes.iter().map(|lane| lane.mode));
        let mut channels = Channels::<V>::gather(lanes.iter().map(|lane| &*lane.channel));
        let mut high_passes = if BANDS { HighPasses::<V>::gather(lanes) } else { HighPasses::off() };
        let mut codes = [Row::ZERO; CHUNK];
        let mut pcm = [Row::ZERO; 2 * CHUNK];
        let (mut low_rows, mut high_rows) = ([Row::ZERO; CHUNK], [Row::ZERO; CHUNK]);
        let mut at = from;
        while at < to {
            let count = CHUNK.min(to - at);
            calls_to_rows(
                &mut codes,
                calls,
                count,
                #[inline(always)]
                |call, row, codes| {
                    let octets = &lanes[call].octets[at + row..][..codes.len()];
                    codes.iter_mut().zip(octets).for_each(|(code, octet)| *code = i16::from(*octet));
                },
            );
            let Channels { low, high, delay } = &mut channels;
            for t in 0..count {
                let code = V::load(&codes[t]);
                let low_sample = decode_low(low, code.and(V::splat(63)), &modes);
                let mut high_sample = decode_high(high, code.shr::<6>());
                if BANDS {
                    high_sample = high_passes.apply(high_sample);
                    low_sample.store(&mut low_rows[t]);
                    high_sample.store(&mut high_rows[t]);
                }
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
            rows_to_calls(
                &pcm,
                calls,
                2 * count,
                #[inline(always)]
                |call, row, samples| lanes[call].pcm[2 * at + row..][..samples.len()].copy_from_slice(samples),
            );
            if BANDS {
                rows_to_calls(
                    &low_rows,
                    calls,
                    count,
                    #[inline(always)]
                    |call, row, samples| lanes[call].low[at + row..][..samples.len()].copy_from_slice(samples),
                );
                rows_to_calls(
                    &high_rows,
                    calls,
                    count,
                    #[inline(always)]
                    |call, row, samples| lanes[call].high[at + row..][..samples.len()].copy_from_slice(samples),
                );
            }
            at += count;
        }
        channels.scatter(lanes.iter_mut().map(|lane| &mut *lane.channel));
        if BANDS {
            high_passes.scatter(lanes);
        }
    }
}

/// The high-pass filters of a vector's calls.
struct HighPasses<V> {
    /// Mask of the lanes where it is on.
    on: V,
    input: V,
    output: V,
}

impl<V: Lanes16> HighPasses<V> {
    #[inline(always)]
    fn off() -> Self {
        let zero = V::splat(0);
        Self { on: zero, input: zero, output: zero }
    }

    #[inline(always)]
    fn gather(lanes: &[&mut Lane<'_>]) -> Self {
        let [mut on, mut input, mut output] = [Row::ZERO; 3];
        for (l, lane) in lanes.iter().enumerate().take(V::LANES) {
            if let Some(filter) = &lane.high_pass {
                (on.0[l], input.0[l], output.0[l]) = (-1, filter.input, filter.output);
            }
        }
        Self { on: V::load(&on), input: V::load(&input), output: V::load(&output) }
    }

    #[inline(always)]
    fn apply(&mut self, sample: V) -> V {
        let input = sample.mul_q15_rounded(V::splat(HighPass::GAIN));
        let decayed = self.output.mul_q15_rounded(V::splat(HighPass::POLE));
        self.output = input.add_sat(decayed.sub_sat(self.input));
        self.input = input;
        self.on.select(self.output, sample)
    }

    #[inline(always)]
    fn scatter(&self, lanes: &mut [&mut Lane<'_>]) {
        let [mut input, mut output] = [Row::ZERO; 2];
        self.input.store(&mut input);
        self.output.store(&mut output);
        for (l, lane) in lanes.iter_mut().enumerate().take(V::LANES) {
            if let Some(filter) = &mut lane.high_pass {
                (filter.input, filter.output) = (input.0[l], output.0[l]);
            }
        }
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
