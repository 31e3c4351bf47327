//! Comfort-noise excitation: what encoder and decoder share (ITU-T G.729 Annex B clause B.4.4).

use super::adaptive_codebook::adaptive_vector;
use super::filter::{Peak, SUBFRAME_PAIRS, half};
use super::functions::inv_sqrt;
use super::rows::{LANES_MAX, each};
use super::{SUBFRAME_SAMPLES, random, rows};
use crate::isa::{BasicOp, LaneMask, Lanes};

/// Seed at the start of every stretch of comfort noise.
pub(crate) const NOISE_SEED: i32 = 11111;

/// The gain smoothed over frames: seven eighths of the last, one of the descriptor's (clause B.4.4).
#[inline(always)]
pub(crate) fn smooth_gain<L: Lanes>(gain: L, sid_gain: L) -> L {
    gain.mult_r(L::splat(28672)).add(sid_gain.mult_r(L::splat(4096)))
}

/// What a subframe of comfort noise drew, for the encoder's taming.
pub(crate) struct NoiseSubframe<L> {
    /// Pitch gain, Q14.
    pub(crate) pitch_gain: L,
    /// Integer lag; it means nothing where the gain of the noise is 0.
    pub(crate) lag: L,
}

/// Draws with which a subframe begins.
struct Draws<L> {
    lag: L,
    fraction: L,
    places: [[i32; 16]; 4],
    /// The pulse is positive where its sign is 1.
    signs: [L; 4],
    pitch_gain: L,
}

impl<L: Lanes> Draws<L> {
    /// The samples of `signal` at the places of the pulses.
    #[inline(always)]
    fn at_places(&self, signal: &[L; SUBFRAME_PAIRS]) -> [L; 4] {
        let mut samples = [[0; SUBFRAME_SAMPLES]; LANES_MAX];
        let mut targets = samples.each_mut().map(|row| &mut row[..]);
        L::store_pairs(signal, &mut targets[..L::N]);
        each(
            #[inline(always)]
            |k| L::from_array(&core::array::from_fn(|l| samples[l][self.places[k][l] as usize].into())),
        )
    }

    /// The sum of four samples, each divided by `2^shift`, with the signs of the pulses.
    #[inline(always)]
    fn pulse_sum(&self, samples: &[L; 4], shift: L) -> L {
        let mut sum = L::zero();
        for (sample, sign) in samples.iter().zip(self.signs) {
            let sample = sample.srav(shift);
            sum = L::select(sign.eq(L::zero()), sum.sub(sample), sum.add(sample));
        }
        sum
    }
}

/// Fills a subframe at `start` of the calls' excitation with comfort noise of `gain`, Q3.
///
/// Where the gain is 0 the subframe is silent and nothing is drawn.
#[inline(always)]
pub(crate) fn noise_excitation<L: Lanes>(
    gain: L,
    seed: &mut L,
    rows: &mut [&mut [i16]],
    start: usize,
) -> NoiseSubframe<L> {
    let silent = gain.eq(L::zero());
    let (draws, gaussian, last_seed) = L::stage(
        #[inline(always)]
        || {
            let mut last = *seed;
            let draws = draw(&mut last);
            let gaussian = gaussian(gain, &mut last);
            (draws, gaussian, last)
        },
    );
    *seed = L::select(silent, *seed, last_seed);

    let lag = draws.lag.to_array();
    let fraction = draws.fraction.to_array();
    let adaptive = L::stage(
        #[inline(always)]
        || adaptive_vector::<L>(rows, start, &lag, &fraction),
    );
    let pitch_gain = L::stage(
        #[inline(always)]
        || mix(gain, silent, &draws, &gaussian, &adaptive, rows, start),
    );
    NoiseSubframe { pitch_gain, lag: draws.lag }
}

/// Lag, pulses and pitch gain of a subframe.
#[inline(always)]
fn draw<L: Lanes>(seed: &mut L) -> Draws<L> {
    let mut next = || {
        *seed = random::next(*seed);
        *seed
    };
    let low_bits = |x: L, mask: i32| x.and(L::splat(mask));
    let place = |x: L, track: i32| low_bits(x, 7).mul16(L::splat(5)).add_wrap(L::splat(track));

    let bits = next();
    let fraction = low_bits(bits, 3).sub_wrap(L::splat(1));
    let fraction = L::select(fraction.eq(L::splat(2)), L::zero(), fraction);
    let lag = low_bits(bits.sra::<2>(), 63).add_wrap(L::splat(40));
    let first = place(bits.sra::<8>(), 0);
    let first_sign = low_bits(bits.sra::<11>(), 1);
    let second = place(bits.sra::<12>(), 1);
    let second_sign = low_bits(bits.sra::<15>(), 1);

    let bits = next();
    let third = place(bits, 2);
    let third_sign = low_bits(bits.sra::<3>(), 1);
    let fourth = place(bits.sra::<5>(), 3).add_wrap(low_bits(bits.sra::<4>(), 1));
    let fourth_sign = low_bits(bits.sra::<8>(), 1);

    let pitch_gain = low_bits(next(), 0x1fff);
    Draws {
        lag,
        fraction,
        places: [first.to_array(), second.to_array(), third.to_array(), fourth.to_array()],
        signs: [first_sign, second_sign, third_sign, fourth_sign],
        pitch_gain,
    }
}

/// Gaussian noise scaled to `gain`: each sample the sum of twelve draws.
#[inline(always)]
fn gaussian<L: Lanes>(gain: L, seed: &mut L) -> [L; SUBFRAME_PAIRS] {
    // Four draws at a time: each of four streams jumps over the other three.
    const JUMP: (i32, i32) = {
        let (mut multiplier, mut increment, mut i) = (1_i32, 0_i32, 0);
        while i < 4 {
            multiplier = (multiplier * random::MULTIPLIER as i32) as i16 as i32;
            increment = (increment * random::MULTIPLIER as i32 + random::INCREMENT as i32) as i16 as i32;
            i += 1;
        }
        (multiplier, increment)
    };
    let jump = |x: L| x.mul16(L::splat(JUMP.0)).add_wrap(L::splat(JUMP.1)).extract_l();
    let mut streams = [*seed; 4];
    for i in 0..4 {
        streams[i] = random::next(if i == 0 { *seed } else { streams[i - 1] });
    }
    let mut samples = [L::zero(); SUBFRAME_SAMPLES];
    let mut energy = L::zero();
    for sample in &mut samples {
        let mut sum = L::zero();
        for _ in 0..3 {
            let [a, b, c, d] = streams;
            sum = sum.add_wrap(a.add_wrap(b)).add_wrap(c.add_wrap(d));
            *seed = d;
            for stream in &mut streams {
                *stream = jump(*stream);
            }
        }
        // Twelve draws divided by 128 fit in 13 bits: nothing saturates here.
        *sample = sum.sra::<7>();
        energy = energy.add_wrap(sample.mul16(*sample));
    }

    // sqrt(1/2 * 3/4 * 40) g / |z|, to as many bits as there are.
    const FRACTION: i32 = 19043;
    let wanted = gain.add(gain.mult_r(L::splat(FRACTION)));
    let scale = L::mpy_32_16(inv_sqrt(energy).l_extract(), wanted);
    let places = scale.norm_l();
    let factor = scale.sllv(places).extract_h();
    let right = places.sub_wrap(L::splat(14));
    for sample in &mut samples {
        *sample = shift_right_rounded(sample.mult_r(factor), right);
    }
    each(
        #[inline(always)]
        |m| L::pair(samples[2 * m], samples[2 * m + 1]),
    )
}

/// ITU-T `shr_r`: 16-bit `x >> count`, rounded half up; a negative count shifts left, limited.
#[inline(always)]
fn shift_right_rounded<L: Lanes>(x: L, count: L) -> L {
    let rounded = x.srav(count).add_wrap(x.srav(count.sub_wrap(L::splat(1))).and(L::splat(1)));
    let rounded = L::select(count.gt(L::splat(15)), L::zero(), rounded);
    let left = x.shl(L::zero().sub_wrap(count));
    L::select(count.gt(L::zero()), rounded, left)
}

/// Adds the adaptive part and four pulses that bring the energy to what it should be; returns the pitch gain kept.
#[inline(always)]
fn mix<L: Lanes>(
    gain: L,
    silent: L::Mask,
    draws: &Draws<L>,
    gaussian: &[L; SUBFRAME_PAIRS],
    adaptive: &[L; SUBFRAME_PAIRS],
    rows: &mut [&mut [i16]],
    start: usize,
) -> L {
    let adaptive_gain = L::pair(draws.pitch_gain.sll::<1>(), draws.pitch_gain.sll::<1>());
    let mut mixed = [L::zero(); SUBFRAME_PAIRS];
    for m in 0..SUBFRAME_PAIRS {
        mixed[m] = adaptive[m].mult_r_coef_x2(adaptive_gain).add_x2(gaussian[m]);
    }

    // Head-room for the energy of the mixture.
    let peak = Peak::of(&mixed).magnitude().min(L::splat(0x7fff));
    let headroom = L::splat(3).sub_wrap(peak.norm_s()).max(L::zero());
    let headroom = L::select(peak.eq(L::zero()), L::zero(), headroom);
    let mut energy = L::zero();
    for n in 0..SUBFRAME_SAMPLES {
        let sample = half(&mixed, n).srav(headroom);
        energy = energy.l_mac_coef(sample, sample);
    }

    let energy_wanted = gain.l_mult(gain.l_mult(L::splat(40)).sra::<6>().extract_l());
    let mut sum = draws.pulse_sum(&draws.at_places(&mixed), headroom).sra::<1>();
    let mut rest = energy_wanted.l_shr(headroom.add_wrap(headroom).add_wrap(L::splat(1))).l_sub(energy);
    rest = rest.l_mac(sum, sum);
    let mut shift = headroom.add_wrap(L::splat(1));
    let mut pitch_gain = draws.pitch_gain;

    // Where the adaptive part alone has more energy than wanted, only the Gaussian part stays.
    let too_much = rest.lt(L::zero());
    if too_much.any() {
        let at = draws.at_places(gaussian);
        let bits = at[0].abs_s().or(at[1].abs_s()).or(at[2].abs_s()).or(at[3].abs_s());
        let small = bits.and(L::splat(0x4000)).eq(L::zero());
        let gaussian_shift = L::select(small, L::splat(1), L::splat(2));
        let gaussian_sum = draws.pulse_sum(&at, gaussian_shift);
        const SHARE: i32 = 24576;
        let gaussian_rest = L::mpy_32_16(energy_wanted.l_extract(), L::splat(SHARE));
        let gaussian_rest = gaussian_rest.l_shr(gaussian_shift.sll::<1>().sub_wrap(L::splat(1)));
        let gaussian_rest = gaussian_rest.l_mac(gaussian_sum, gaussian_sum);
        sum = L::select(too_much, gaussian_sum, sum);
        shift = L::select(too_much, gaussian_shift, shift);
        rest = L::select(too_much, gaussian_rest, rest);
        pitch_gain = L::select(too_much, L::zero(), pitch_gain);
        for m in 0..SUBFRAME_PAIRS {
            mixed[m] = L::select(too_much, gaussian[m], mixed[m]);
        }
    }

    let mut root = L::zero();
    for bit in (1..15).rev() {
        let tried = root.add_wrap(L::splat(1 << bit));
        root = L::select(rest.ge(tried.l_mult_coef(tried)), tried, root);
    }
    let first = root.sub(sum);
    let second = sum.add(root).negate();
    let smaller = L::select(second.abs_s().lt(first.abs_s()), second, first);
    const PULSE_MAX: i32 = 5000;
    let pulse = shift_right_rounded(smaller, L::splat(2).sub_wrap(shift)).clamp(-PULSE_MAX, PULSE_MAX);

    for pair in &mut mixed {
        *pair = L::select(silent, L::zero(), *pair);
    }
    rows::store(&mixed, rows, start);
    let pulse = L::select(silent, L::zero(), pulse).to_array();
    let [a, b, c, d] = draws.signs;
    let signs = [a.to_array(), b.to_array(), c.to_array(), d.to_array()];
    for (l, row) in rows.iter_mut().enumerate() {
        for k in 0..4 {
            let sample = &mut row[start + draws.places[k][l] as usize];
            let pulse = pulse[l] as i16;
            *sample = if signs[k][l] == 1 { sample.saturating_add(pulse) } else { sample.saturating_sub(pulse) };
        }
    }
    L::select(silent, L::zero(), pitch_gain)
}
