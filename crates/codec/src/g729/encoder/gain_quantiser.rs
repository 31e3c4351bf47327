//! Conjugate-structure gain quantiser: pre-selection and search (ITU-T G.729 clause 3.9).

use super::closed_loop::{PitchGain, Scaled};
use super::correlation::{LIMIT, Subframe, dot, half_energy};
use crate::g729::SUBFRAME_SAMPLES;
use crate::g729::filter::half;
use crate::g729::gain::{self, GainMemory};
use crate::g729::rows;
use crate::g729::tables::gain::{
    GAIN_CB1, GAIN_CB2, GAIN_TX1, GAIN_TX2, PRESEL_C, PRESEL_C32, PRESEL_THR1, PRESEL_THR2,
};
use crate::isa::{BasicOp, LaneMask, Lanes, always};

/// Both gains of a subframe, quantised.
#[derive(Clone, Copy)]
pub(super) struct Gains<L> {
    /// Pitch gain, Q14.
    pub(super) pitch: L,
    /// Fixed-codebook gain, Q1.
    pub(super) code: L,
    /// First stage GA as transmitted.
    pub(super) index_a: L,
    /// Second stage GB as transmitted.
    pub(super) index_b: L,
}

/// Greatest pitch gain of the pre-selection while taming (0.94), Q9.
const TAMED_PITCH: i32 = 481;
/// Entries with at least this pitch gain are left out while taming, Q14.
const TAMED_ENTRY: i32 = 16383;

/// Entries tried of each stage.
const TRIED_A: usize = 4;
const TRIED_B: usize = 8;

/// Gain codebook entries as pairs (pitch part, code part).
const fn entries<const M: usize>(codebook: &[[i16; 2]; M]) -> [i32; M] {
    let mut pairs = [0; M];
    let mut i = 0;
    while i < M {
        pairs[i] = (codebook[i][1] as i32) << 16 | (codebook[i][0] as i32 & 0xffff);
        i += 1;
    }
    pairs
}

const fn widened<const M: usize>(table: &[u8; M]) -> [i32; M] {
    let mut wide = [0; M];
    let mut i = 0;
    while i < M {
        wide[i] = table[i] as i32;
        i += 1;
    }
    wide
}

static ENTRIES_A: [i32; 8] = entries(&GAIN_CB1);
static ENTRIES_B: [i32; 16] = entries(&GAIN_CB2);
static INDEX_A: [i32; 8] = widened(&GAIN_TX1);
static INDEX_B: [i32; 16] = widened(&GAIN_TX2);

/// The five terms of the error of a pair of gains: energies and correlations as mantissas and places.
struct Terms<L> {
    /// `<y1,y1>`, `-2<x,y1>`, `<y2,y2>`, `-2<x,y2>`, `2<y1,y2>`.
    mantissa: [L; 5],
    places: [L; 5],
}

impl<L: Lanes> Terms<L> {
    #[inline(always)]
    fn new(x: &Subframe<L>, y1: &Subframe<L>, y2: &Subframe<L>, pitch: &PitchGain<L>) -> Self {
        let z: Subframe<L> = rows::each(
            #[inline(always)]
            |m| y2[m].sra_x2::<3>(),
        );
        let one = L::splat(1);
        let doubled = always!(|half: L| half.add_wrap(half).add_wrap(one));
        let normalised = always!(|sum: L| {
            let places = sum.norm_l();
            (sum.l_shl(places).round(), places)
        });
        // Thirteen-bit samples: their energy is not limited, nor are correlations with what is not.
        let (energy, energy_places) = normalised(doubled(half_energy(&z)));
        let limit = L::splat(LIMIT);
        let limited = half_energy(x).max(half_energy(y1)).ge(limit).any();
        let correlation = always!(|x: &Subframe<L>| -> Scaled<L> {
            let sum = if limited {
                let mut sum = one;
                for n in 0..SUBFRAME_SAMPLES {
                    sum = sum.l_mac(half(x, n), half(&z, n));
                }
                sum
            } else {
                doubled(dot(x, &z))
            };
            let (mantissa, places) = normalised(sum);
            (mantissa, places.sub_wrap(L::splat(7)))
        });
        let (with_target, with_pitch) = (correlation(x), correlation(y1));
        Self {
            mantissa: [pitch.energy.0, pitch.correlation.0, energy, with_target.0.negate(), with_pitch.0],
            places: [
                pitch.energy.1,
                pitch.correlation.1,
                energy_places.add_wrap(L::splat(3)),
                with_target.1,
                with_pitch.1,
            ],
        }
    }

    /// The difference of two products, with `headroom` bits to spare; the places of its binary point.
    #[inline(always)]
    fn difference(&self, a: (usize, usize), b: (usize, usize), headroom: i32) -> Scaled<L> {
        let product = always!(|(i, j): (usize, usize)| self.mantissa[i].l_mult(self.mantissa[j]));
        let places = always!(|(i, j): (usize, usize)| self.places[i].add_wrap(self.places[j]).add_wrap(L::splat(1)));
        let (places_a, places_b) = (places(a), places(b));
        let apart = places_a.sub_wrap(places_b);
        let headroom = L::splat(headroom);
        let shift_a = apart.max(L::zero()).add_wrap(headroom);
        let shift_b = L::zero().sub_wrap(apart).max(L::zero()).add_wrap(headroom);
        let value = product(a).srav(shift_a).l_sub(product(b).srav(shift_b));
        let places = places_a.min(places_b).sub_wrap(headroom);
        let up = value.norm_l();
        (value.l_shl(up).extract_h(), places.add_wrap(up).sub_wrap(L::splat(16)))
    }

    /// The gains that would be best without quantisation, Q9 and Q2 (clause 3.9).
    #[inline(always)]
    fn best_gains(&self) -> (L, L) {
        // The places of the denominator count one less for the first product, <y1,y1><y2,y2> against a quarter square.
        let denominator = {
            let mut terms = Self { mantissa: self.mantissa, places: self.places };
            terms.places[0] = terms.places[0].sub_wrap(L::splat(2));
            terms.difference((0, 2), (4, 4), 0)
        };
        let inverse = L::splat(16384).div_s(denominator.0).negate();
        let inverse_places = L::splat(29).sub_wrap(denominator.1);
        let quotient = always!(|numerator: Scaled<L>, q: i32| {
            let shift = numerator.1.add_wrap(inverse_places).sub_wrap(L::splat(q));
            numerator.0.l_mult(inverse).l_shr(shift).extract_h()
        });
        // The first product of each has one place less than the second: it is not a product of two doubled terms.
        let half_first = always!(|i: usize| {
            let mut terms = Self { mantissa: self.mantissa, places: self.places };
            terms.places[i] = terms.places[i].sub_wrap(L::splat(1));
            terms
        });
        let pitch = quotient(half_first(2).difference((2, 1), (3, 4), 1), 24);
        let code = quotient(half_first(0).difference((0, 3), (1, 4), 1), 17);
        (pitch, code)
    }

    /// All terms on one scale for the search, given the predicted gain's places, in split double precision.
    #[inline(always)]
    fn aligned(&self, predicted_places: L) -> [(L, L); 5] {
        let offsets = [13, 14, -21, -3, -4];
        let twice = predicted_places.add_wrap(predicted_places);
        let gains = [L::zero(), L::zero(), twice, predicted_places, predicted_places];
        let mut places = self.places;
        for i in 0..5 {
            places[i] = places[i].add_wrap(gains[i]).add_wrap(L::splat(offsets[i]));
        }
        let mut least = places[0];
        for places in places {
            least = least.min(places);
        }
        let mut aligned = [(L::zero(), L::zero()); 5];
        for i in 0..5 {
            aligned[i] = self.mantissa[i].l_deposit_h().srav(places[i].sub_wrap(least)).l_extract();
        }
        aligned
    }
}

/// The first entries of both stages to try, given the best gains and the predicted one.
#[inline(always)]
fn preselect<L: Lanes>((pitch, code): (L, L), (predicted, places): (L, L)) -> (L, L) {
    let constant = always!(|value: i16| L::splat(value.into()));
    // The predicted gain in Q4.
    let least = L::splat(4);
    let fine = predicted.shr(places.sub_wrap(least));
    let coarse = predicted.l_shl(L::splat(20).sub_wrap(places)).extract_h();
    let predicted = L::select(places.ge(least), fine, coarse);

    const INVERSE: i32 = -17103;
    let scaled = always!(|value: L| value.l_shl_n::<2>().extract_h().l_mult_coef(L::splat(INVERSE)));
    let line = pitch.l_mult(constant(PRESEL_C[0][0]));
    let x = {
        let a = line.l_add(L::splat(PRESEL_C32[1][1] >> 15)).extract_h();
        scaled(code.l_shl_n::<7>().l_sub(a.l_mult(predicted)))
    };
    let y = {
        let a = line.l_sub(L::splat(PRESEL_C32[0][1] >> 10)).extract_h().mult(predicted);
        scaled(a.l_mult(constant(PRESEL_C[1][0])).l_sub(code.l_mult(constant(PRESEL_C[0][0])).sra::<3>()))
    };
    let positive = predicted.gt(L::zero());
    let passes = always!(|value: L, limit: L| positive.and(value.gt(limit)).or(positive.not().and(value.lt(limit))));
    let one = L::splat(1);
    let (mut first_a, mut first_b) = (L::zero(), L::zero());
    let mut passing = L::mask_from_bits(u32::MAX);
    for threshold in PRESEL_THR1 {
        passing = passing.and(passes(y, constant(threshold).l_mult(predicted).sra::<3>()));
        first_a = L::select(passing, first_a.add_wrap(one), first_a);
    }
    let mut passing = L::mask_from_bits(u32::MAX);
    for threshold in PRESEL_THR2 {
        passing = passing.and(passes(x, constant(threshold).l_mult(predicted).sra::<5>()));
        first_b = L::select(passing, first_b.add_wrap(one), first_b);
    }
    (first_a, first_b)
}

/// The pair of entries with the least error, the first counted from `first_a` (times 8) and the second from `first_b`; and
/// what `add` said about limits. `add` adds half of a product to the error.
#[inline(always)]
fn search<L: Lanes>(
    terms: &[(L, L); 5],
    (first_a, first_b): (L, L),
    predicted: L,
    tame: L::Mask,
    add: impl Fn(L, L) -> (L, L),
) -> (L, L) {
    // No gain is negative, and so neither is any of their products.
    let product = always!(|a: L, b: L| a.mul_low(b).sra::<15>());
    let entries_b: [L; TRIED_B] = rows::each(
        #[inline(always)]
        |j| L::lookup(&ENTRIES_B, first_b.add_wrap(L::splat(j as i32))),
    );
    let mut least = L::splat(i32::MAX);
    let mut choice = L::zero();
    let mut limits = L::zero();
    for i in 0..TRIED_A {
        let a = L::lookup(&ENTRIES_A, first_a.add_wrap(L::splat(i as i32)));
        for (j, b) in entries_b.iter().enumerate() {
            let pitch_gain = a.add_x2(*b).and(L::splat(0xffff));
            let code_gain = product(predicted, a.high().add_wrap(b.high()).sra::<1>());
            let gains = [
                product(pitch_gain, pitch_gain),
                pitch_gain,
                product(code_gain, code_gain),
                code_gain,
                product(code_gain, pitch_gain),
            ];
            let mut error = L::zero();
            for (term, gain) in terms.iter().zip(gains) {
                let limit;
                (error, limit) = add(error, term.0.mul_low(gain).add_wrap(product(term.1, gain)));
                limits = limits.or(limit);
            }
            let left_out = tame.and(pitch_gain.ge(L::splat(TAMED_ENTRY)));
            let better = error.lt(least).and(left_out.not());
            least = L::select(better, error, least);
            choice = L::select(better, L::splat((i * TRIED_B + j) as i32), choice);
        }
    }
    (choice, limits)
}

/// Quantises both gains of a subframe and updates the predictor memory. `x` is the target of the adaptive codebook, `y1`
/// and `y2` the filtered vectors of both codebooks, `code` the code vector.
#[inline(always)]
pub(super) fn quantise<L: Lanes>(
    x: &Subframe<L>,
    y1: &Subframe<L>,
    y2: &Subframe<L>,
    code: &Subframe<L>,
    pitch: &PitchGain<L>,
    tame: L::Mask,
    memory: &mut GainMemory<L>,
) -> Gains<L> {
    let predicted = gain::predict_gain(half_energy(code).l_shl_n::<1>(), memory);
    let terms = Terms::new(x, y1, y2, pitch);
    let (best_pitch, best_code) = terms.best_gains();
    let best_pitch = L::select(tame, best_pitch.min(L::splat(TAMED_PITCH)), best_pitch);
    let (first_a, first_b) = preselect((best_pitch, best_code), predicted);
    let terms = terms.aligned(predicted.1);

    let (choice, over) = search(
        &terms,
        (first_a, first_b),
        predicted.0,
        tame,
        #[inline(always)]
        |sum: L, product: L| {
            // Half of the sum; it has stayed inside its limits where its upper two bits are alike.
            let sum = sum.add_wrap(product);
            (sum, sum.xor(sum.add_wrap(sum)))
        },
    );
    let choice = if over.lt(L::zero()).any() {
        L::stage(
            #[inline(always)]
            || {
                let doubled = always!(|half: L| half.add_wrap(half));
                search(
                    &terms,
                    (first_a, first_b),
                    predicted.0,
                    tame,
                    #[inline(always)]
                    |sum: L, product: L| (sum.l_add(doubled(product)), L::zero()),
                )
                .0
            },
        )
    } else {
        choice
    };
    let index_a = first_a.add_wrap(choice.sra::<3>());
    let index_b = first_b.add_wrap(choice.and(L::splat(7)));
    let (a, b) = (L::lookup(&ENTRIES_A, index_a), L::lookup(&ENTRIES_B, index_b));
    let factor = a.high().add_wrap(b.high());
    gain::remember(memory, gain::innovation_energy(factor));
    Gains {
        pitch: a.add_x2(b).low(),
        code: gain::code_gain(factor, predicted),
        index_a: L::lookup(&INDEX_A, index_a),
        index_b: L::lookup(&INDEX_B, index_b),
    }
}
