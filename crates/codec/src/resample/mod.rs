//! Conversion between the sampling rates a gateway meets: 8, 16 and 48 kHz.
//!
//! Linear-phase polyphase filters in integer arithmetic, the same at every level. What lies above the lower rate's band is at least 60 dB
//! down: from 4.0 kHz for 8 kHz (the band to 3.4 kHz is flat), from 8.0 kHz for 16 kHz (flat to 7.0 kHz).

mod tables;

use crate::isa::i16::{Kernel16, Lanes16, lanes_16, run_kernel};
use crate::isa::octets::compiled_for;
use crate::level::Level;

/// A sampling rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rate {
    /// 8 kHz: G.711 and G.729.
    Hz8000,
    /// 16 kHz: G.722.
    Hz16000,
    /// 48 kHz: Opus.
    Hz48000,
}

impl Rate {
    /// Samples per millisecond.
    #[must_use]
    pub const fn samples_per_ms(self) -> usize {
        match self {
            Self::Hz8000 => 8,
            Self::Hz16000 => 16,
            Self::Hz48000 => 48,
        }
    }

    /// Samples per second.
    #[must_use]
    pub const fn hz(self) -> u32 {
        self.samples_per_ms() as u32 * 1000
    }
}

/// Input samples that the longest filter remembers: one less than it has taps.
const LONGEST: usize = 6 * 64 - 1;

/// Those of the filters between 8 and 16 kHz.
const SHORT: usize = 2 * 64 - 1;

/// One direction of one stream from one rate to another.
pub type Resampler = RateConverter<LONGEST>;

/// The same for 8 and 16 kHz alone, and smaller for it.
pub type NarrowResampler = RateConverter<SHORT>;

/// Input samples that are filtered at a time.
const CHUNK: usize = 480;

/// A [`Resampler`] that remembers so many input samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct RateConverter<const MEMORY: usize> {
    from: Rate,
    to: Rate,
    /// The last input samples, newest last.
    memory: [i16; MEMORY],
}

impl<const MEMORY: usize> RateConverter<MEMORY> {
    /// A conversion that has heard nothing but silence. Equal rates give a plain copy.
    ///
    /// # Panics
    /// A [`NarrowResampler`] knows no 48 kHz.
    #[must_use]
    pub const fn new(from: Rate, to: Rate) -> Self {
        assert!(
            MEMORY >= LONGEST || !(matches!(from, Rate::Hz48000) || matches!(to, Rate::Hz48000)),
            "48 kHz takes a longer memory"
        );
        Self { from, to, memory: [0; MEMORY] }
    }

    /// The rate of the input.
    #[must_use]
    pub const fn from(&self) -> Rate {
        self.from
    }

    /// The rate of the output.
    #[must_use]
    pub const fn to(&self) -> Rate {
        self.to
    }

    /// How long the filter delays its input, in samples of the higher rate, doubled (a filter of an even number of taps delays by a half more
    /// than a whole number of samples).
    #[must_use]
    pub const fn delay_in_half_samples(&self) -> usize {
        match (self.from, self.to) {
            (Rate::Hz8000, Rate::Hz16000) | (Rate::Hz16000, Rate::Hz8000) => 2 * 64 - 1,
            (Rate::Hz8000, Rate::Hz48000) | (Rate::Hz48000, Rate::Hz8000) => 6 * 64 - 1,
            (Rate::Hz16000, Rate::Hz48000) | (Rate::Hz48000, Rate::Hz16000) => 3 * 80 - 1,
            _ => 0,
        }
    }

    /// Converts `input` and returns how many samples of `output` that made. Going down, samples that do not fill a whole output sample are left
    /// unread at the end, so give whole milliseconds; as much is converted as `output` has room for.
    pub fn process(&mut self, level: Level, input: &[i16], output: &mut [i16]) -> usize {
        let memory = &mut self.memory[..];
        match (self.from, self.to) {
            (Rate::Hz8000, Rate::Hz16000) => raise::<2, 64>(level, &HALF_PHASES, memory, input, output),
            (Rate::Hz8000, Rate::Hz48000) => raise::<6, 64>(level, &SIXTH_PHASES, memory, input, output),
            (Rate::Hz16000, Rate::Hz48000) => raise::<3, 80>(level, &THIRD_PHASES, memory, input, output),
            (Rate::Hz16000, Rate::Hz8000) => halve(level, memory, input, output),
            (Rate::Hz48000, Rate::Hz8000) => lower::<6, 384>(level, &SIXTH_TAPS, memory, input, output),
            (Rate::Hz48000, Rate::Hz16000) => lower::<3, 240>(level, &THIRD_TAPS, memory, input, output),
            _ => {
                let count = input.len().min(output.len());
                output[..count].copy_from_slice(&input[..count]);
                count
            }
        }
    }
}

static HALF_PHASES: [[i16; 64]; 2] = phases::<128, 2, 64>(mirrored(&tables::HALF));
static SIXTH_PHASES: [[i16; 64]; 6] = phases::<384, 6, 64>(mirrored(&tables::SIXTH));
static THIRD_PHASES: [[i16; 80]; 3] = phases::<240, 3, 80>(mirrored(&tables::THIRD));
static HALF_TAPS: [i16; 128] = scaled(mirrored(&tables::HALF), 2);
static SIXTH_TAPS: [i16; 384] = scaled(mirrored(&tables::SIXTH), 6);
static THIRD_TAPS: [i16; 240] = scaled(mirrored(&tables::THIRD), 3);

/// The sum of each phase's taps going up: Q14.
const UNITY: i32 = 1 << 14;

/// The sum of the taps going down.
const LOWERING_UNITY: i32 = 7 << 12;

/// Below this sum of magnitudes no input can overflow a 32-bit sum.
const MAX_MAGNITUDE: i32 = (1 << 16) - 1;

const fn mirrored<const H: usize, const N: usize>(half: &[i16; H]) -> [i16; N] {
    assert!(N == 2 * H);
    let mut taps = [0; N];
    let mut i = 0;
    while i < H {
        taps[i] = half[i];
        taps[N - 1 - i] = half[i];
        i += 1;
    }
    taps
}

/// The taps of each output phase, those of the oldest sample first.
const fn phases<const N: usize, const L: usize, const K: usize>(taps: [i16; N]) -> [[i16; K]; L] {
    assert!(N == L * K);
    let mut phases = [[0; K]; L];
    let mut i = 0;
    while i < N {
        phases[i % L][K - 1 - i / L] = taps[i];
        i += 1;
    }
    let mut phase = 0;
    while phase < L {
        let (sum, magnitude) = sums(&phases[phase]);
        assert!(
            sum == UNITY && magnitude < MAX_MAGNITUDE,
            "a phase has another gain than 1, or could overflow 32 bits"
        );
        phase += 1;
    }
    phases
}

/// The taps for going down by `factor`: the prototype to as fine a scale as 32-bit sums allow. What rounding does to the gain is corrected one
/// unit each at the middle taps, where it stays in the pass band.
const fn scaled<const N: usize>(mut taps: [i16; N], factor: i32) -> [i16; N] {
    let mut i = 0;
    while i < N {
        let scaled = 2 * taps[i] as i32 * LOWERING_UNITY / (factor * UNITY);
        taps[i] = ((scaled + scaled.signum()) / 2) as i16;
        i += 1;
    }
    let error = LOWERING_UNITY - sums(&taps).0;
    let mut i = 0;
    while i < error.unsigned_abs() as usize / 2 {
        taps[N / 2 + i] += error.signum() as i16;
        taps[N / 2 - 1 - i] += error.signum() as i16;
        i += 1;
    }
    let (sum, magnitude) = sums(&taps);
    assert!(
        sum == LOWERING_UNITY && magnitude < MAX_MAGNITUDE,
        "the filter has another gain than 1, or could overflow 32 bits"
    );
    taps
}

/// The sum of the taps, and of their magnitudes.
const fn sums(taps: &[i16]) -> (i32, i32) {
    let (mut sum, mut magnitude, mut i) = (0, 0, 0);
    while i < taps.len() {
        sum += taps[i] as i32;
        magnitude += (taps[i] as i32).abs();
        i += 1;
    }
    (sum, magnitude)
}

/// What a sum of products stands for.
#[inline(always)]
fn rounded<const UNITY: i32>(sum: i32) -> i16 {
    (sum + UNITY / 2).div_euclid(UNITY).clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16
}

/// Takes the newest samples into the memory.
#[inline(always)]
fn remember(memory: &mut [i16], input: &[i16]) {
    let fresh = input.len().min(memory.len());
    memory.copy_within(fresh.., 0);
    let kept = memory.len() - fresh;
    memory[kept..].copy_from_slice(&input[input.len() - fresh..]);
}

/// Input samples that lanes filter at a time: 20 ms.
const RAISED: usize = 160;
const HALVED: usize = 320;

/// Samples of a line: the filter, what is filtered, and what the last lanes read beyond.
const RAISED_LINE: usize = 80 + RAISED + 32;
const HALVED_LINE: usize = HALF_TAPS.len() + HALVED + 64;

/// Raises the rate by `L`, with `K` taps per phase.
fn raise<const L: usize, const K: usize>(
    level: Level,
    phases: &[[i16; K]; L],
    memory: &mut [i16],
    input: &[i16],
    output: &mut [i16],
) -> usize {
    let count = input.len().min(output.len() / L);
    run_kernel(level, Raise { phases, memory, input: &input[..count], output: &mut output[..count * L] });
    count * L
}

/// Lanes are times: neighbouring samples are filtered together.
struct Raise<'a, const L: usize, const K: usize> {
    phases: &'a [[i16; K]; L],
    memory: &'a mut [i16],
    input: &'a [i16],
    output: &'a mut [i16],
}

impl<const L: usize, const K: usize> Kernel16 for Raise<'_, L, K> {
    #[inline(always)]
    fn run<V: Lanes16>(self) {
        let Self { phases, memory, input, output } = self;
        for (input, output) in input.chunks(RAISED).zip(output.chunks_mut(RAISED * L)) {
            let mut line = [0; RAISED_LINE];
            line[..K - 1].copy_from_slice(&memory[memory.len() + 1 - K..]);
            line[K - 1..][..input.len()].copy_from_slice(input);
            // Each sample beside the next, so that one product instruction serves two taps.
            let mut pairs = [[0; 2]; RAISED_LINE];
            for (pair, samples) in pairs.iter_mut().zip(line.windows(2)).take(K - 1 + input.len()) {
                *pair = [samples[0], samples[1]];
            }
            for (block, output) in output.chunks_mut(L * V::LANES).enumerate() {
                let pairs = &pairs[block * V::LANES..][..K + 32];
                let mut sums = [nothing::<V>(); L];
                for i in (0..K).step_by(2) {
                    let window = V::load_pairs(window(pairs[i..].as_flattened()));
                    for (sum, taps) in sums.iter_mut().zip(phases) {
                        *sum = V::wide_add(*sum, V::dot(window, taps[i], taps[i + 1]));
                    }
                }
                let (mut phases, mut samples) = ([[0; 32]; L], [[0; L]; 32]);
                for (phase, sum) in phases.iter_mut().zip(sums) {
                    V::store_wide(sum, phase);
                }
                for (t, samples) in samples[..V::LANES].iter_mut().enumerate() {
                    for (sample, phase) in samples.iter_mut().zip(&phases) {
                        *sample = rounded::<UNITY>(phase[t]);
                    }
                }
                output.copy_from_slice(&samples.as_flattened()[..output.len()]);
            }
            remember(memory, input);
        }
    }
}

/// No product yet.
#[inline(always)]
fn nothing<V: Lanes16>() -> V::Wide {
    V::dot(V::splat(0).pair(V::splat(0)), 0, 0)
}

/// What lanes are loaded from.
#[inline(always)]
fn window(words: &[i16]) -> &[i16; 64] {
    words.first_chunk().expect("a line is longer than what is filtered")
}

/// Halves the rate.
fn halve(level: Level, memory: &mut [i16], input: &[i16], output: &mut [i16]) -> usize {
    if lanes_16(level) == 1 {
        return lower::<2, 128>(level, &HALF_TAPS, memory, input, output);
    }
    let count = (input.len() / 2).min(output.len());
    run_kernel(level, Halve { memory, input: &input[..count * 2], output: &mut output[..count] });
    count
}

/// Lanes are times.
struct Halve<'a> {
    memory: &'a mut [i16],
    input: &'a [i16],
    output: &'a mut [i16],
}

impl Kernel16 for Halve<'_> {
    #[inline(always)]
    fn run<V: Lanes16>(self) {
        let Self { memory, input, output } = self;
        // An output sample is made when the second of its two has come.
        let past = HALF_TAPS.len() - 2;
        for (input, output) in input.chunks(HALVED).zip(output.chunks_mut(HALVED / 2)) {
            let mut line = [0; HALVED_LINE];
            line[..past].copy_from_slice(&memory[memory.len() - past..]);
            line[past..][..input.len()].copy_from_slice(input);
            for (block, output) in output.chunks_mut(V::LANES).enumerate() {
                let line = &line[2 * block * V::LANES..][..HALF_TAPS.len() + 64];
                // Several sums, so that one need not wait for the other.
                let mut sums = [nothing::<V>(); 4];
                for i in (0..HALF_TAPS.len()).step_by(8) {
                    for (n, sum) in sums.iter_mut().enumerate() {
                        let window = V::load_pairs(window(&line[i + 2 * n..]));
                        *sum = V::wide_add(*sum, V::dot(window, HALF_TAPS[i + 2 * n], HALF_TAPS[i + 2 * n + 1]));
                    }
                }
                let [a, b, c, d] = sums;
                let (mut sums, mut samples) = ([0; 32], [0; 32]);
                V::store_wide(V::wide_add(V::wide_add(a, b), V::wide_add(c, d)), &mut sums);
                for t in 0..V::LANES {
                    samples[t] = rounded::<LOWERING_UNITY>(sums[t]);
                }
                output.copy_from_slice(&samples[..output.len()]);
            }
            remember(memory, input);
        }
    }
}

/// Lowers the rate by `M`, with `N` taps.
fn lower<const M: usize, const N: usize>(
    level: Level,
    taps: &[i16; N],
    memory: &mut [i16],
    input: &[i16],
    output: &mut [i16],
) -> usize {
    let count = (input.len() / M).min(output.len());
    compiled_for(
        level,
        #[inline(always)]
        || {
            let mut line = [0; LONGEST + CHUNK];
            let past = memory.len();
            for (input, output) in input[..count * M].chunks(CHUNK).zip(output[..count].chunks_mut(CHUNK / M)) {
                line[..past].copy_from_slice(memory);
                line[past..past + input.len()].copy_from_slice(input);
                for (t, output) in output.iter_mut().enumerate() {
                    // The newest sample of the window is the last of the `M` that make this output sample.
                    let window = line[past + M - N + t * M..].first_chunk::<N>();
                    let products = taps.iter().zip(window.expect("a window is as long as its filter"));
                    *output = rounded::<LOWERING_UNITY>(
                        products.map(|(tap, sample)| i32::from(*tap) * i32::from(*sample)).sum(),
                    );
                }
                remember(memory, input);
            }
        },
    );
    count
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    const RATES: [Rate; 3] = [Rate::Hz8000, Rate::Hz16000, Rate::Hz48000];

    fn tone(rate: Rate, hz: f64, count: usize) -> Vec<i16> {
        let step = 2.0 * core::f64::consts::PI * hz / f64::from(rate.hz());
        (0..count).map(|i| (20000.0 * (step * i as f64).sin()).round() as i16).collect()
    }

    /// Root mean square of the output for a tone, in dB against the input's, after the filter has settled; the part at `hz` taken out if asked.
    fn gain_db(from: Rate, to: Rate, hz: f64, without_tone: bool) -> f64 {
        let input = tone(from, hz, 100 * from.samples_per_ms());
        let mut output = std::vec![0; 100 * to.samples_per_ms()];
        assert_eq!(Resampler::new(from, to).process(Level::detect(), &input, &mut output), output.len());
        // 80 ms: a whole number of periods of every multiple of 12.5 Hz.
        let settled = &output[20 * to.samples_per_ms()..];
        let step = 2.0 * core::f64::consts::PI * hz / f64::from(to.hz());
        let (mut cosine, mut sine, mut power) = (0.0, 0.0, 0.0);
        for (i, sample) in settled.iter().enumerate() {
            let (phase, sample) = (step * i as f64, f64::from(*sample));
            cosine += sample * phase.cos();
            sine += sample * phase.sin();
            power += sample * sample;
        }
        let count = settled.len() as f64;
        let tone = 2.0 * (cosine * cosine + sine * sine) / (count * count);
        let power = power / count - if without_tone { tone } else { 0.0 };
        10.0 * (power.max(1e-3) / 2e8).log10()
    }

    #[test]
    fn pass_band_is_flat_and_nothing_is_added_to_it() {
        for from in RATES {
            for to in RATES.into_iter().filter(|to| *to != from) {
                let edge = if from.min(to) == Rate::Hz8000 { 3400.0 } else { 7000.0 };
                for hz in [100.0, 1000.0, 0.5 * edge, 0.875 * edge, edge] {
                    let gain = gain_db(from, to, hz, false);
                    assert!(gain.abs() < 0.1, "{from:?} to {to:?}, {hz} Hz: {gain} dB");
                    // Images above the old band when going up, rounding noise otherwise.
                    let rest = gain_db(from, to, hz, true);
                    assert!(rest < -60.0, "{from:?} to {to:?}, {hz} Hz: {rest} dB beside the tone");
                }
            }
        }
    }

    #[test]
    fn stop_band_is_60_db_down_going_down() {
        for (from, to) in [(Rate::Hz16000, Rate::Hz8000), (Rate::Hz48000, Rate::Hz8000), (Rate::Hz48000, Rate::Hz16000)]
        {
            let edge = f64::from(to.hz()) / 2.0;
            let top = f64::from(from.hz()) / 2.0;
            for step in 1..=100 {
                let hz = edge + (top - edge) * f64::from(step) / 101.0;
                let gain = gain_db(from, to, hz, false);
                assert!(gain < -60.0, "{from:?} to {to:?}, {hz} Hz: {gain} dB");
            }
        }
    }

    #[test]
    fn stop_band_is_60_db_down_going_up() {
        for (from, to) in [(Rate::Hz8000, Rate::Hz16000), (Rate::Hz8000, Rate::Hz48000), (Rate::Hz16000, Rate::Hz48000)]
        {
            for step in 1..=40 {
                let hz = f64::from(from.hz()) * 0.43 * f64::from(step) / 40.0;
                let rest = gain_db(from, to, (hz / 12.5).round() * 12.5, true);
                assert!(rest < -60.0, "{from:?} to {to:?}, {hz} Hz: images of {rest} dB");
            }
        }
    }

    #[test]
    fn impulse_comes_out_symmetric_about_the_delay_that_is_told() {
        for from in RATES {
            for to in RATES.into_iter().filter(|to| *to > from) {
                let mut output = std::vec![0; 20 * to.samples_per_ms()];
                let mut input = std::vec![0; 20 * from.samples_per_ms()];
                input[0] = i16::MAX;
                let mut resampler = Resampler::new(from, to);
                resampler.process(Level::Scalar, &input, &mut output);
                let delay = resampler.delay_in_half_samples();
                for i in 0..=delay {
                    assert_eq!(output[i], output[delay - i], "{from:?} to {to:?}");
                }
                assert!(output[delay + 1..].iter().all(|sample| *sample == 0));
            }
        }
    }

    /// Every output sample by itself, from the taps and all of the input.
    fn by_definition(from: Rate, to: Rate, input: &[i16]) -> Vec<i16> {
        let at = |i: isize| usize::try_from(i).ok().and_then(|i| input.get(i)).map_or(0, |sample| i64::from(*sample));
        let rounded = |sum: i64, unity: i32| {
            let sum = sum + i64::from(unity) / 2;
            sum.div_euclid(unity.into()).clamp(i16::MIN.into(), i16::MAX.into()) as i16
        };
        if to < from {
            let taps: &[i16] = match (from, to) {
                (Rate::Hz16000, _) => &HALF_TAPS,
                (_, Rate::Hz8000) => &SIXTH_TAPS,
                _ => &THIRD_TAPS,
            };
            let ratio = from.samples_per_ms() / to.samples_per_ms();
            return (0..input.len() / ratio)
                .map(|t| {
                    let newest = (t * ratio + ratio - 1) as isize;
                    let products = taps.iter().enumerate().map(|(i, tap)| i64::from(*tap) * at(newest - i as isize));
                    rounded(products.sum(), LOWERING_UNITY)
                })
                .collect();
        }
        let taps: Vec<i16> = match (from, to) {
            (Rate::Hz8000, Rate::Hz16000) => mirrored::<64, 128>(&tables::HALF).to_vec(),
            (Rate::Hz8000, _) => mirrored::<192, 384>(&tables::SIXTH).to_vec(),
            _ => mirrored::<120, 240>(&tables::THIRD).to_vec(),
        };
        let ratio = to.samples_per_ms() / from.samples_per_ms();
        (0..input.len() * ratio)
            .map(|t| {
                let phase = taps.iter().skip(t % ratio).step_by(ratio).enumerate();
                let products = phase.map(|(i, tap)| i64::from(*tap) * at((t / ratio) as isize - i as isize));
                rounded(products.sum(), UNITY)
            })
            .collect()
    }

    #[test]
    fn pieces_and_levels_give_the_same_samples() {
        let mut noise = 1_u32;
        let input: Vec<i16> = (0..1440)
            .map(|_| {
                noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                // Full scale, to meet every limit.
                if noise >> 31 == 0 { i16::MAX } else { i16::MIN }
            })
            .collect();
        for from in RATES {
            for to in RATES {
                let whole = if from == to { input.clone() } else { by_definition(from, to, &input) };
                for (level, length) in Level::available().flat_map(|level| [48, 6, 318, 1440].map(|n| (level, n))) {
                    let mut resampler = Resampler::new(from, to);
                    let mut pieces = Vec::new();
                    for piece in input.chunks(length) {
                        let mut output = [0; 6 * 1440];
                        let count = resampler.process(level, piece, &mut output);
                        pieces.extend_from_slice(&output[..count]);
                    }
                    assert_eq!(pieces, whole, "{from:?} to {to:?}, {level}, {length} at a time");
                }
            }
        }
    }
}
