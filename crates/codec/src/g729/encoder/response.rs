//! The impulse response's correlations with itself, which the fixed-codebook search adds up (ITU-T G.729 clause 3.8.1).

use super::correlation::{LIMIT, Subframe, half_energy};
use crate::g729::filter::half;
use crate::g729::{SUBFRAME_SAMPLES, rows};
use crate::isa::{BasicOp, LaneMask, Lanes};

/// Tracks: places modulo five.
pub(super) const TRACKS: usize = 5;
/// Places of a track.
pub(super) const PLACES: usize = 8;

/// One value for each place of a track.
pub(super) type Track<L> = [L; PLACES];

/// Correlations of the impulse response with itself, signed by those of the target, as the search wants them.
pub(super) struct Correlations<L: Lanes> {
    /// Energies by track and index.
    pub(super) energy: [[L::Narrow; PLACES]; TRACKS],
    /// Between tracks `a < b`: `[block(a, b)][index in a][index in b]`.
    pub(super) cross: [[[L::Narrow; PLACES]; PLACES]; 9],
    /// Magnitude of the target's correlation by track and index.
    pub(super) target: [Track<L>; TRACKS],
    /// Whether that is negative.
    pub(super) negative: [[L::Mask; PLACES]; TRACKS],
}

/// The place of tracks `a < b` among the nine pairs of tracks; 3 and 4 never meet.
pub(super) const fn block(a: usize, b: usize) -> usize {
    match (a, b) {
        (0, _) => b - 1,
        (1, _) => b + 2,
        _ => b + 4,
    }
}

impl<L: Lanes> Correlations<L> {
    /// Room for them.
    #[inline(always)]
    pub(super) fn none() -> Self {
        let none = L::zero().narrow();
        Self {
            energy: [[none; PLACES]; TRACKS],
            cross: [[[none; PLACES]; PLACES]; 9],
            target: [[L::zero(); PLACES]; TRACKS],
            negative: [[L::mask_from_bits(0); PLACES]; TRACKS],
        }
    }

    #[inline(always)]
    pub(super) fn compute(&mut self, h: &Subframe<L>, target: &Subframe<L>) {
        for n in 0..SUBFRAME_SAMPLES {
            let value = half(target, n);
            self.negative[n % TRACKS][n / TRACKS] = value.lt(L::zero());
            self.target[n % TRACKS][n / TRACKS] = value.abs_s();
        }

        // Scaled so that the energy of all of it, the greatest sum there is, fills 31 bits.
        let energy = half_energy(h).l_shl_n::<1>();
        let halve = energy.extract_h().gt(L::splat(32000));
        let places = energy.norm_l().sra::<1>();
        let mut g = [L::zero(); SUBFRAME_SAMPLES];
        let mut low = [L::zero(); SUBFRAME_SAMPLES];
        let mut sum = L::zero();
        for n in 0..SUBFRAME_SAMPLES {
            let value = half(h, n);
            g[n] = L::select(halve, value.sra::<1>(), value.sllv(places));
            low[n] = g[n].and(L::splat(0xffff));
            sum = sum.dot2_squares(low[n]);
        }
        if sum.ge(L::splat(LIMIT)).any() {
            L::stage(
                #[inline(always)]
                || {
                    self.sum_all(
                        &g,
                        &g,
                        #[inline(always)]
                        |sum: L, x, y| sum.l_mac(x, y),
                        #[inline(always)]
                        |sum: L| sum.extract_h(),
                    );
                },
            );
        } else {
            self.sum_all(
                &g,
                &low,
                #[inline(always)]
                |sum: L, x, y| sum.mac_low(x, y),
                #[inline(always)]
                |sum: L| sum.sra::<15>(),
            );
        }
    }

    #[inline(always)]
    fn sum_all(
        &mut self,
        g: &[L; SUBFRAME_SAMPLES],
        factor: &[L; SUBFRAME_SAMPLES],
        mac: impl Fn(L, L, L) -> L,
        upper: impl Fn(L) -> L,
    ) {
        let mut sum = L::zero();
        for k in 0..SUBFRAME_SAMPLES {
            let n = SUBFRAME_SAMPLES - 1 - k;
            sum = mac(sum, g[k], factor[k]);
            self.energy[n % TRACKS][n / TRACKS] = upper(sum).narrow();
        }
        // All ones in the lower half where the sign is negative.
        let mut signs = [[L::zero(); PLACES]; TRACKS];
        for (signs, negative) in signs.iter_mut().zip(&self.negative) {
            for (sign, negative) in signs.iter_mut().zip(negative) {
                *sign = L::select(*negative, L::splat(0xffff), L::zero());
            }
        }
        for places in 0..PLACES {
            self.sum_distance::<1>(places, g, factor, &signs, &mac, &upper);
            self.sum_distance::<2>(places, g, factor, &signs, &mac, &upper);
            self.sum_distance::<3>(places, g, factor, &signs, &mac, &upper);
            self.sum_distance::<4>(places, g, factor, &signs, &mac, &upper);
        }
    }

    /// All sums over one distance, `TRACKS * places + APART`, are snapshots of one running sum, from the last places
    /// of the subframe backwards.
    #[inline(always)]
    fn sum_distance<const APART: usize>(
        &mut self,
        places: usize,
        g: &[L; SUBFRAME_SAMPLES],
        factor: &[L; SUBFRAME_SAMPLES],
        signs: &[Track<L>; TRACKS],
        mac: &impl Fn(L, L, L) -> L,
        upper: &impl Fn(L) -> L,
    ) {
        let delayed = &g[TRACKS * places + APART..];
        let mut sum = L::zero();
        for (round, (delayed, factor)) in delayed.chunks(TRACKS).zip(factor.chunks_exact(TRACKS)).enumerate() {
            let j = PLACES - 1 - round;
            for step in 0..TRACKS {
                // The later place is in track b, the earlier one in track a.
                let b = TRACKS - 1 - step;
                let (a, borrow) = if b >= APART { (b - APART, 0) } else { (b + TRACKS - APART, 1) };
                if step >= delayed.len() || j < places + borrow {
                    break;
                }
                let i = j - places - borrow;
                sum = mac(sum, delayed[step], factor[step]);
                if a.min(b) == 3 {
                    continue;
                }
                let value = upper(sum);
                // Times 32767 for equal signs, -32768 for opposite ones.
                let factor = signs[a][i].xor(signs[b][j]).xor(L::splat(0x7fff));
                let signed = value.mul_low(factor).sra::<15>().narrow();
                if a < b {
                    self.cross[block(a, b)][i][j] = signed;
                } else {
                    self.cross[block(b, a)][j][i] = signed;
                }
            }
        }
    }

    /// Energy of the response from a place on, as the search wants it.
    #[cfg(test)]
    pub(super) fn energy_at(&self, place: usize) -> L {
        L::widen(self.energy[place % TRACKS][place / TRACKS])
    }

    /// Signed correlation between places of two tracks, the lower track first.
    #[cfg(test)]
    pub(super) fn cross_at(&self, m: usize, n: usize) -> L {
        L::widen(self.cross[block(m % TRACKS, n % TRACKS)][m / TRACKS][n / TRACKS])
    }

    #[inline(always)]
    pub(super) fn energy(&self, track: usize) -> Track<L> {
        rows::each(
            #[inline(always)]
            |i| L::widen(self.energy[track][i]),
        )
    }

    /// Correlation of each place of `track` with the chosen place of `other`.
    #[inline(always)]
    pub(super) fn with_chosen(&self, track: usize, other: usize, chosen: &[L::Mask; PLACES]) -> Track<L> {
        rows::each(
            #[inline(always)]
            |i| {
                L::widen(if track < other {
                    let row = &self.cross[block(track, other)][i];
                    pick_narrow::<L>(
                        chosen,
                        #[inline(always)]
                        |k| row[k],
                    )
                } else {
                    let rows = &self.cross[block(other, track)];
                    pick_narrow::<L>(
                        chosen,
                        #[inline(always)]
                        |k| rows[k][i],
                    )
                })
            },
        )
    }
}

/// The entry of each lane's own choice.
#[inline(always)]
pub(super) fn pick_narrow<L: Lanes>(chosen: &[L::Mask; PLACES], entry: impl Fn(usize) -> L::Narrow) -> L::Narrow {
    let mut found = entry(0);
    for k in 1..PLACES {
        found = L::select_narrow(chosen[k], entry(k), found);
    }
    found
}
