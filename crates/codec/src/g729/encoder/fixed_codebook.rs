//! Fixed-codebook search: four pulses in a 17-bit algebraic codebook, depth first
//! (ITU-T G.729 clause 3.8, Annex A clause A.3.8).
//!
//! Places are told apart by track (place modulo 5) and index in the track (place divided by 5). All scores are integer
//! sums of 16-bit correlations with small weights; the shifts of the Recommendation's accumulators are carried out on
//! those sums, which gives the same bits as none of the accumulators can reach its limit.

use super::closed_loop::scaled;
use super::correlation::{Subframe, backward_filter, overlapping};
use super::response::{Correlations, PLACES, TRACKS, Track, block, pick_narrow};
use crate::g729::SUBFRAME_SAMPLES;
use crate::g729::filter::SUBFRAME_PAIRS;
use crate::g729::rows;
use crate::isa::{BasicOp, LaneMask, Lanes, always};

/// The fixed-codebook contribution of a subframe.
#[derive(Clone, Copy)]
pub(super) struct FixedCode<L> {
    /// Code vector, Q13, sharpened.
    pub(super) code: Subframe<L>,
    /// The same through the weighted synthesis filter, Q12.
    pub(super) filtered: Subframe<L>,
    /// Positions C (13 bits).
    pub(super) positions: L,
    /// Signs S (4 bits).
    pub(super) signs: L,
}

/// Adds to `h` its own echo at `lag` where that is shorter than the subframe (clause 3.8); `sharpening` is Q14.
#[inline(always)]
pub(super) fn sharpen_response<L: Lanes>(h: &mut Subframe<L>, lag: L, sharpening: L) {
    if !lag.lt(L::splat(SUBFRAME_SAMPLES as i32)).any() {
        return;
    }
    let gain = sharpening.shl_n::<1>();
    let all = overlapping(h);
    // The shortest lag is 20: neither half of the subframe feeds back into itself.
    for m in SUBFRAME_PAIRS / 2..SUBFRAME_PAIRS {
        let entry = L::splat(2 * m as i32 + 1).sub_wrap(lag);
        let echo = L::select(entry.lt(L::zero()), L::zero(), L::pick(&all, entry));
        let (low, high) = scaled::<L, 15>(echo, gain);
        h[m] = h[m].add_x2(L::pair(low, high));
    }
}

/// The masks of an index in a track: lane `l` is set in entry `index[l]`.
#[inline(always)]
fn masks<L: Lanes>(index: L) -> [L::Mask; PLACES] {
    let mut masks = [L::mask_from_bits(0); PLACES];
    for (k, mask) in masks.iter_mut().enumerate() {
        *mask = index.eq(L::splat(k as i32));
    }
    masks
}

/// The first and the second of the largest values of a track: value and index.
#[inline(always)]
fn two_largest<L: Lanes>(track: &Track<L>) -> [(L, L); 2] {
    let mut first = (L::splat(-1), L::zero());
    for (k, value) in track.iter().enumerate() {
        let better = value.gt(first.0);
        first = (first.0.max(*value), L::select(better, L::splat(k as i32), first.1));
    }
    let mut second = (L::splat(-1), L::zero());
    for (k, value) in track.iter().enumerate() {
        let index = L::splat(k as i32);
        let better = value.gt(second.0).and(first.1.eq(index).not());
        second = (L::select(better, *value, second.0), L::select(better, index, second.1));
    }
    [first, second]
}

/// The best candidate so far: squared correlation over energy, without the division.
#[derive(Clone, Copy)]
struct Best<L> {
    /// Never negative but in the beginning; the upper half is always zero.
    square: L,
    energy: L,
    /// The pulses of the candidate, as the search numbers them.
    choice: L,
}

impl<L: Lanes> Best<L> {
    #[inline(always)]
    fn none() -> Self {
        Self { square: L::splat_pair(-1, 0), energy: L::splat(1), choice: L::zero() }
    }

    /// The lanes in which a candidate is strictly better.
    #[inline(always)]
    fn beaten_by(&self, square: L, energy: L) -> L::Mask {
        self.energy.mul_low(square).gt(energy.mul_low(self.square))
    }

    #[inline(always)]
    fn see(&mut self, correlation: L, energy: L, choice: L) -> L::Mask {
        // Sums of magnitudes are not negative.
        let square = correlation.mul_low(correlation).sra::<15>();
        let better = self.beaten_by(square, energy);
        self.square = L::select(better, square, self.square);
        self.energy = L::select(better, energy, self.energy);
        self.choice = L::select(better, choice, self.choice);
        better
    }
}

/// A pair of pulses.
#[derive(Clone, Copy)]
struct PulsePair<L> {
    /// Index in the track that was searched from its two largest values.
    first: L,
    /// Index in the other track.
    second: L,
    correlation: L,
    energy: L,
}

/// The best pair of a pulse in track `from`, one of the two largest there, and one in track `to`.
#[inline(always)]
fn search_first_pair<L: Lanes>(r: &Correlations<L>, from: usize, to: usize) -> PulsePair<L> {
    let mut best = Best::none();
    let mut correlation = L::zero();
    let energies = r.energy(to);
    for (value, index) in two_largest(&r.target[from]) {
        let chosen = masks(index);
        let with_first = r.with_chosen(to, from, &chosen);
        let own = L::widen(pick_narrow::<L>(
            &chosen,
            #[inline(always)]
            |k| r.energy[from][k],
        ))
        .add_wrap(L::splat(2));
        for k in 0..PLACES {
            let sum = value.add_wrap(r.target[to][k]).min(L::splat(0x7fff));
            let cross = with_first[k].add_wrap(with_first[k]);
            let energy = own.add_wrap(cross).add_wrap(energies[k]).sra::<2>();
            let better = best.see(sum, energy, index.sll::<3>().add_wrap(L::splat(k as i32)));
            correlation = L::select(better, sum, correlation);
        }
    }
    PulsePair { first: best.choice.sra::<3>(), second: best.choice.and(L::splat(7)), correlation, energy: best.energy }
}

/// The best two more pulses, in tracks `x` and `y`, beside those in `from` and `to`.
#[inline(always)]
fn search_second_pair<L: Lanes>(
    r: &Correlations<L>,
    pair: &PulsePair<L>,
    (from, to): (usize, usize),
    (x, y): (usize, usize),
) -> Best<L> {
    let (first, second) = (masks(pair.first), masks(pair.second));
    let with_both = always!(|track: usize| -> Track<L> {
        let with_first = r.with_chosen(track, from, &first);
        let with_second = r.with_chosen(track, to, &second);
        rows::each(
            #[inline(always)]
            |k| {
                let sum = with_first[k].add_wrap(with_second[k]);
                sum.add_wrap(sum)
            },
        )
    });
    let (energies_x, energies_y) = (r.energy(x), r.energy(y));
    let (with_x, with_y) = (with_both(x), with_both(y));
    let part_y: Track<L> = rows::each(
        #[inline(always)]
        |k| with_y[k].add_wrap(energies_y[k]).add_wrap(L::splat(4)).sra::<3>().sll::<3>(),
    );
    let base = pair.energy.sll::<2>().add_wrap(L::splat(8));
    let mut best = Best::none();
    for i in 0..PLACES {
        let part_x = base.add_wrap(with_x[i]).add_wrap(energies_x[i]);
        let sum_x = pair.correlation.add_wrap(r.target[x][i]).min(L::splat(0x7fff));
        for j in 0..PLACES {
            let cross = L::widen(r.cross[block(x, y)][i][j]);
            let energy = part_x.add_wrap(part_y[j]).add_wrap(cross.add_wrap(cross)).sra::<4>();
            let sum = sum_x.add_wrap(r.target[y][j]).min(L::splat(0x7fff));
            best.see(sum, energy, L::splat((8 * i + j) as i32));
        }
    }
    best
}

/// Searches the code vector for the target `x` left by the adaptive codebook; `h` is the sharpened impulse response, `r` a
/// place to work in.
pub(super) fn search<L: Lanes>(
    h: &Subframe<L>,
    x: &Subframe<L>,
    lag: L,
    sharpening: L,
    r: &mut Correlations<L>,
) -> FixedCode<L> {
    let target = L::stage(
        #[inline(always)]
        || backward_filter(h, x),
    );
    L::stage(
        #[inline(always)]
        || r.compute(h, &target),
    );

    // Index in tracks 0, 1, 2 and the fourth, and which track that is.
    let (mut pulses, mut fourth_track, mut best) = L::stage(
        #[inline(always)]
        || ([L::zero(); 4], L::zero(), Best::none()),
    );
    for fourth in [3, 4] {
        // The first pair in tracks 2 and fourth, then fourth and 0.
        for tree in 0..2 {
            let (tracks, rest) = if tree == 0 { ((2, fourth), (0, 1)) } else { ((fourth, 0), (1, 2)) };
            let pair = L::stage(
                #[inline(always)]
                || search_first_pair(r, tracks.0, tracks.1),
            );
            L::stage(
                #[inline(always)]
                || {
                    let found = search_second_pair(r, &pair, tracks, rest);
                    let (x, y) = (found.choice.sra::<3>(), found.choice.and(L::splat(7)));
                    let found_pulses =
                        if tree == 0 { [x, y, pair.first, pair.second] } else { [pair.second, x, y, pair.first] };
                    let better = best.beaten_by(found.square, found.energy);
                    best.square = L::select(better, found.square, best.square);
                    best.energy = L::select(better, found.energy, best.energy);
                    for k in 0..4 {
                        pulses[k] = L::select(better, found_pulses[k], pulses[k]);
                    }
                    fourth_track = L::select(better, L::splat(fourth as i32 - 3), fourth_track);
                },
            );
        }
    }
    L::stage(
        #[inline(always)]
        || build(h, r, &pulses, fourth_track, lag, sharpening),
    )
}

/// The code vector of the chosen pulses, filtered and not.
#[inline(always)]
fn build<L: Lanes>(
    h: &Subframe<L>,
    r: &Correlations<L>,
    pulses: &[L; 4],
    fourth_track: L,
    lag: L,
    sharpening: L,
) -> FixedCode<L> {
    let h = overlapping(h);
    let (plus, minus) = (L::splat(8191), L::splat(-8192));
    let on_last = fourth_track.gt(L::zero());
    let mut code = [L::zero(); SUBFRAME_SAMPLES];
    let mut filtered = [L::zero(); SUBFRAME_PAIRS];
    let mut signs = L::zero();
    let mut places = [L::zero(); 4];
    let mut amplitudes = [L::zero(); 4];
    for k in 0..4 {
        let chosen = masks(pulses[k]);
        let on_track = always!(|track: usize| {
            let mut negative = L::mask_from_bits(0);
            for i in 0..PLACES {
                negative = negative.or(chosen[i].and(r.negative[track][i]));
            }
            negative
        });
        let negative = if k < 3 { on_track(k) } else { on_last.and(on_track(4)).or(on_last.not().and(on_track(3))) };
        signs = signs.or(L::select(negative, L::zero(), L::splat(1 << k)));
        amplitudes[k] = L::select(negative, minus, plus);
        let five = pulses[k].sll::<2>().add_wrap(pulses[k]).add_wrap(L::splat(k as i32));
        places[k] = if k < 3 { five } else { five.add_wrap(fourth_track) };

        let mut response = [L::zero(); SUBFRAME_PAIRS];
        let mut respond = always!(|i: usize, track: usize, mask: L::Mask| {
            let place = TRACKS * i + track;
            for m in place / 2..SUBFRAME_PAIRS {
                response[m] = L::select(mask, h[2 * m + 1 - place], response[m]);
            }
            code[place] = L::select(mask, amplitudes[k], code[place]);
        });
        for i in 0..PLACES {
            if k < 3 {
                respond(i, k, chosen[i]);
            } else {
                respond(i, 3, chosen[i].and(on_last.not()));
                respond(i, 4, chosen[i].and(on_last));
            }
        }
        for m in 0..SUBFRAME_PAIRS {
            filtered[m] = L::select(negative, filtered[m].sub_x2(response[m]), filtered[m].add_x2(response[m]));
        }
    }

    // A short lag repeats each pulse once.
    if lag.lt(L::splat(SUBFRAME_SAMPLES as i32)).any() {
        let gain = sharpening.shl_n::<1>();
        for k in 0..4 {
            let echo = amplitudes[k].mul16(gain).sra::<15>();
            let at = places[k].add_wrap(lag);
            for n in SUBFRAME_SAMPLES / 2..SUBFRAME_SAMPLES {
                // The sums of four pulses' echoes and a pulse fit in 16 bits.
                let here = at.eq(L::splat(n as i32));
                code[n] = L::select(here, code[n].add_wrap(echo), code[n]);
            }
        }
    }
    let fourth = pulses[3].add_wrap(pulses[3]).add_wrap(fourth_track);
    FixedCode {
        code: rows::each(
            #[inline(always)]
            |m| L::pair(code[2 * m], code[2 * m + 1]),
        ),
        filtered,
        positions: pulses[0].add_wrap(pulses[1].sll::<3>()).add_wrap(pulses[2].sll::<6>()).add_wrap(fourth.sll::<9>()),
        signs,
    }
}
