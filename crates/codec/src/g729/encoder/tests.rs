//! What the stages do the short way, against the long way or plain arithmetic, at every level.

use std::vec::Vec;

use super::closed_loop::three_vectors;
use super::correlation::{Subframe, Weighed, backward_filter, dot, dot_limited};
use super::lsp_search::Polynomials;
use super::response::Correlations;
use super::state::Encoder;
use crate::Level;
use crate::g729::adaptive_codebook::{PAST_EXCITATION, adaptive_vector};
use crate::g729::filter::{Peak, SUBFRAME_PAIRS};
use crate::g729::rows::{self, Rows};
use crate::g729::{FRAME_SAMPLES, SUBFRAME_SAMPLES};
use crate::isa::{Lanes, WithLanes, with_lanes};

/// A small generator of its own, so that failures repeat.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 32) as u32
    }

    fn below(&mut self, limit: u32) -> u32 {
        self.next() % limit
    }

    /// A sample of up to `16 - quieter` bits.
    fn sample(&mut self, quieter: u32) -> i16 {
        (self.next() >> 16) as i16 >> quieter
    }

    fn words<L: Lanes>(&mut self, quieter: u32) -> L {
        L::from_array(&core::array::from_fn(|_| self.sample(quieter).into()))
    }

    fn subframe<L: Lanes>(&mut self, quieter: u32) -> Subframe<L> {
        core::array::from_fn(|_| L::pair(self.words(quieter), self.words(quieter)))
    }
}

/// Runs the check at every level on a few hundred random inputs of all loudnesses.
fn at_every_level(check: impl WithLanes<Output = ()> + From<u64>) {
    fn run<W: WithLanes<Output = ()> + From<u64>>(_: W) {
        for seed in 0..200 {
            for level in Level::available() {
                with_lanes(level, W::from(seed));
            }
        }
    }
    run(check);
}

macro_rules! check {
    ($name:ident, $test:ident, $random:ident, $L:ident, $body:block) => {
        struct $name(u64);
        impl From<u64> for $name {
            fn from(seed: u64) -> Self {
                Self(seed)
            }
        }
        impl WithLanes for $name {
            type Output = ();
            fn run<$L: Lanes>(self) {
                let mut $random = Random(self.0);
                $body
            }
        }
        #[test]
        fn $test() {
            at_every_level($name(0));
        }
    };
}

fn arrays<L: Lanes>(values: &[L]) -> Vec<[i32; 16]> {
    values.iter().map(|value| value.to_array()).collect()
}

check!(PolynomialValues, value_of_a_polynomial_is_that_with_every_limit, random, L, {
    let quieter = random.below(5);
    let polynomials = Polynomials::<L>::new(&core::array::from_fn(|_| random.words(quieter)));
    for _ in 0..8 {
        let x = random.words(0);
        for p in 0..2 {
            assert_eq!(polynomials.value(p, x).to_array(), polynomials.value_limited(p, x).to_array());
        }
    }
});

check!(Sums, sum_that_stays_inside_is_the_limited_one, random, L, {
    let (quieter, much) = (random.below(8), random.below(8));
    let (x, y): (Subframe<L>, Subframe<L>) = (random.subframe(quieter), random.subframe(much));
    if Weighed::new(&x).stays_inside(&Peak::of(&y)) {
        let sum = dot(&x, &y);
        assert_eq!(sum.add_wrap(sum).to_array(), dot_limited(&x, &y).to_array());
    }
});

check!(BackwardFilter, backward_filtering_is_that_of_plain_arithmetic, random, L, {
    let (quieter, much) = (random.below(8), random.below(8));
    let (h, x): (Subframe<L>, Subframe<L>) = (random.subframe(quieter), random.subframe(much));
    let samples = |pairs: &Subframe<L>, lane: usize| -> Vec<i64> {
        pairs.iter().flat_map(|pair| [pair.low(), pair.high()]).map(|word| word.to_array()[lane].into()).collect()
    };
    let found = backward_filter(&h, &x);
    for lane in 0..L::N {
        let (h, x, found) = (samples(&h, lane), samples(&x, lane), samples(&found, lane));
        let limit = |x: i64| x.clamp(i32::MIN.into(), i32::MAX.into());
        let sum = |i: usize| (i..SUBFRAME_SAMPLES).fold(0, |sum, j| limit(sum + limit(2 * x[j] * h[j - i])));
        let sums: Vec<i64> = (0..SUBFRAME_SAMPLES).map(sum).collect();
        let greatest = sums.iter().map(|sum| limit(sum.abs())).max().unwrap();
        let places = if greatest == 0 { 0 } else { (greatest as i32).leading_zeros().saturating_sub(1).min(16) };
        let expected: Vec<i64> = sums.iter().map(|sum| i64::from((sum >> (18 - places)) as i16)).collect();
        assert_eq!(found, expected, "lane {lane}");
    }
});

check!(ThreeVectors, vectors_of_three_fractions_are_those_of_each_alone, random, L, {
    let quieter = random.below(4);
    let mut encoders = [Encoder::new(); 16];
    for encoder in &mut encoders {
        encoder.excitation = core::array::from_fn(|_| random.sample(quieter));
    }
    // Short lags, which repeat what they put out, more often than not.
    let longest = [31, 41, 124][random.below(3) as usize];
    let lags = core::array::from_fn(|_| 20 + random.below(longest) as i32);
    for start in [PAST_EXCITATION, PAST_EXCITATION + FRAME_SAMPLES / 2] {
        let mut calls: Rows<'_> = encoders[..L::N].iter_mut().map(|encoder| &mut encoder.excitation[..]).collect();
        let vectors = three_vectors::<L>(L::from_array(&lags), &mut calls, start);
        let mut before = [L::zero(); SUBFRAME_PAIRS];
        rows::load(&calls, |_| start, &mut before);
        for (vector, fraction) in vectors.iter().zip([0, -1, 1]) {
            let expected: Subframe<L> = adaptive_vector(&mut calls, start, &lags, &[fraction; 16]);
            assert_eq!(arrays(vector), arrays(&expected), "fraction {fraction} at lags {lags:?}");
            rows::store(&before, &mut calls, start);
        }
    }
});

check!(ResponseCorrelations, correlations_of_the_response_are_those_of_plain_arithmetic, random, L, {
    let quieter = random.below(10);
    let (h, target): (Subframe<L>, Subframe<L>) = (random.subframe(quieter), random.subframe(3));
    let mut r = Correlations::none();
    r.compute(&h, &target);
    let samples = |pairs: &Subframe<L>, lane: usize| -> Vec<i64> {
        pairs.iter().flat_map(|pair| [pair.low(), pair.high()]).map(|word| word.to_array()[lane].into()).collect()
    };
    let limit = |x: i64| x.clamp(i32::MIN.into(), i32::MAX.into());
    for lane in 0..L::N {
        let (h, d) = (samples(&h, lane), samples(&target, lane));
        let energy = h.iter().fold(0, |sum, h| limit(sum + limit(2 * h * h)));
        let places = if energy == 0 { 0 } else { ((energy as i32).leading_zeros() - 1) / 2 };
        let g: Vec<i64> = h.iter().map(|h| if energy >> 16 > 32000 { h >> 1 } else { h << places }).collect();
        let correlation = |m: usize, n: usize| {
            let last = m.max(n);
            (0..SUBFRAME_SAMPLES - last).fold(0, |sum, k| limit(sum + limit(2 * g[k] * g[k + m.abs_diff(n)]))) >> 16
        };
        for m in 0..SUBFRAME_SAMPLES {
            assert_eq!(i64::from(r.energy_at(m).to_array()[lane]), correlation(m, m), "energy at {m}");
            for n in (0..SUBFRAME_SAMPLES).filter(|n| n % 5 > m % 5 && m % 5 != 3) {
                let sign = if (d[m] < 0) == (d[n] < 0) { 32767 } else { -32768 };
                let expected = ((correlation(m, n) * sign) >> 15).min(0x7fff);
                assert_eq!(i64::from(r.cross_at(m, n).to_array()[lane]), expected, "places {m} and {n}");
            }
        }
    }
});

#[test]
fn state_of_a_call_takes_less_than_three_kibibytes() {
    assert!(size_of::<Encoder>() <= 3 * 1024);
}
