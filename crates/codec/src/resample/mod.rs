//! Conversion between the sampling rates a gateway meets: 8, 16 and 48 kHz.
//!
//! Linear-phase polyphase filters in integer arithmetic, the same at every level. What lies above the lower rate's band is at least 60 dB
//! down: from 4.0 kHz for 8 kHz (the band to 3.4 kHz is flat), from 8.0 kHz for 16 kHz (flat to 7.0 kHz).

mod tables;

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
        compiled_for(
            level,
            #[inline(always)]
            || match (self.from, self.to) {
                (Rate::Hz8000, Rate::Hz16000) => raise::<2, 64>(&HALF_PHASES, memory, input, output),
                (Rate::Hz8000, Rate::Hz48000) => raise::<6, 64>(&SIXTH_PHASES, memory, input, output),
                (Rate::Hz16000, Rate::Hz48000) => raise::<3, 80>(&THIRD_PHASES, memory, input, output),
                (Rate::Hz16000, Rate::Hz8000) => lower::<2, 128>(&HALF_TAPS, memory, input, output),
                (Rate::Hz48000, Rate::Hz8000) => lower::<6, 384>(&SIXTH_TAPS, memory, input, output),
                (Rate::Hz48000, Rate::Hz16000) => lower::<3, 240>(&THIRD_TAPS, memory, input, output),
                _ => {
                    let count = input.len().min(output.len());
                    output[..count].copy_from_slice(&input[..count]);
                    count
                }
            },
        )
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

#[inline(always)]
fn filtered<const UNITY: i32, const N: usize>(taps: &[i16; N], window: &[i16]) -> i16 {
    let window: &[i16; N] = window.first_chunk().expect("a window is as long as its filter");
    let mut sum = 0_i32;
    for i in 0..N {
        sum += i32::from(taps[i]) * i32::from(window[i]);
    }
    (sum + UNITY / 2).div_euclid(UNITY).clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16
}

/// Raises the rate by `L`, with `K` taps per phase.
#[inline(always)]
fn raise<const L: usize, const K: usize>(
    phases: &[[i16; K]; L],
    memory: &mut [i16],
    input: &[i16],
    output: &mut [i16],
) -> usize {
    let count = input.len().min(output.len() / L);
    let mut line = [0; LONGEST + CHUNK];
    let past = memory.len();
    for (input, output) in input[..count].chunks(CHUNK).zip(output[..count * L].chunks_mut(CHUNK * L)) {
        line[..past].copy_from_slice(memory);
        line[past..past + input.len()].copy_from_slice(input);
        for (t, output) in output.as_chunks_mut::<L>().0.iter_mut().enumerate() {
            let window = &line[past + 1 - K + t..];
            for (output, taps) in output.iter_mut().zip(phases) {
                *output = filtered::<UNITY, K>(taps, window);
            }
        }
        memory.copy_from_slice(&line[input.len()..input.len() + past]);
    }
    count * L
}

/// Lowers the rate by `M`, with `N` taps.
#[inline(always)]
fn lower<const M: usize, const N: usize>(
    taps: &[i16; N],
    memory: &mut [i16],
    input: &[i16],
    output: &mut [i16],
) -> usize {
    let count = (input.len() / M).min(output.len());
    let mut line = [0; LONGEST + CHUNK];
    let past = memory.len();
    for (input, output) in input[..count * M].chunks(CHUNK).zip(output[..count].chunks_mut(CHUNK / M)) {
        line[..past].copy_from_slice(memory);
        line[past..past + input.len()].copy_from_slice(input);
        for (t, output) in output.iter_mut().enumerate() {
            // The newest sample of the window is the last of the `M` that make this output sample.
            *output = filtered::<LOWERING_UNITY, N>(taps, &line[past + M - N + t * M..]);
        }
        memory.copy_from_slice(&line[input.len()..input.len() + past]);
    }
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
                let mut whole = std::vec![0; 1440 * to.samples_per_ms() / from.samples_per_ms()];
                Resampler::new(from, to).process(Level::Scalar, &input, &mut whole);
                for level in Level::available() {
                    let mut resampler = Resampler::new(from, to);
                    let mut pieces = Vec::new();
                    for piece in input.chunks(48) {
                        let mut output = [0; 480];
                        let count = resampler.process(level, piece, &mut output);
                        pieces.extend_from_slice(&output[..count]);
                    }
                    assert_eq!(pieces, whole, "{from:?} to {to:?}, {level}");
                }
            }
        }
    }
}
