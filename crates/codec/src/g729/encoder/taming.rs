//! Taming: a bound on how far an error in the past excitation can grow in a decoder (ITU-T G.729 clause 3.7.3).

use crate::g729::rows;
use crate::isa::{BasicOp, LaneMask, Lanes, always};

/// One, Q14: the bound before the first frame.
pub(super) const TAMING_ONE: i32 = 16384;
/// The bound beyond which the pitch gain is held back (60000), Q14.
const LIMIT: i32 = 983_040_000;

/// Greatest pitch gain while taming (0.95), Q14.
pub(super) const GAIN_MAX: i32 = 15564;

/// The zone of 40 samples that a place in the past belongs to, at most the fourth.
#[inline(always)]
fn zone<L: Lanes>(place: L) -> L {
    let beyond = always!(|border: i32| L::select(place.ge(L::splat(border)), L::splat(1), L::zero()));
    beyond(40).add_wrap(beyond(80)).add_wrap(beyond(120))
}

/// The greatest bound in the zones `first..=last`, but at least -1.
#[inline(always)]
fn greatest<L: Lanes>(bounds: [L; 4], first: L, last: L) -> L {
    let mut greatest = L::splat(-1);
    for (i, bound) in bounds.into_iter().enumerate() {
        let zone = L::splat(i as i32);
        let inside = zone.ge(first).and(zone.le(last));
        greatest = L::select(inside, greatest.max(bound), greatest);
    }
    greatest
}

/// Lanes in which the pitch gain must be held back at this lag and fraction.
#[inline(always)]
pub(super) fn must_tame<L: Lanes>(bounds: &[L; 4], lag: L, fraction: L) -> L::Mask {
    let reach = L::select(fraction.gt(L::zero()), lag.add_wrap(L::splat(1)), lag);
    let first = zone(reach.sub_wrap(L::splat(50)).max(L::zero()));
    let last = zone(reach.add_wrap(L::splat(8)));
    greatest(*bounds, first, last).gt(L::splat(LIMIT))
}

/// The bounds after a subframe with this quantised pitch gain (Q14) and integer lag.
#[inline(always)]
pub(crate) fn update<L: Lanes>(bounds: &mut [L; 4], gain: L, lag: L) {
    let step = always!(|bound: L| L::splat(TAMING_ONE).l_add(L::mpy_32_16(bound.l_extract(), gain).l_shl_n::<1>()));
    let repeated = step(bounds[0]);
    let short = L::splat(-1).max(repeated).max(step(repeated));
    let first = zone(lag.sub_wrap(L::splat(40)));
    let last = zone(lag.sub_wrap(L::splat(1)));
    let long = greatest(
        rows::each(
            #[inline(always)]
            |i| step(bounds[i]),
        ),
        first,
        last,
    );
    let worst = L::select(lag.lt(L::splat(40)), short, long);
    bounds.rotate_right(1);
    bounds[0] = worst;
}
