//! The random generator of concealment and comfort noise (ITU-T G.729 clause 4.4.4, Annex B clause B.4.4).

use crate::isa::{BasicOp, Lanes};

/// Multiplier of the linear congruence modulo 2^16.
pub(crate) const MULTIPLIER: i16 = 31821;
/// Increment of the linear congruence modulo 2^16.
pub(crate) const INCREMENT: i16 = 13849;

/// The next number, which is also the next seed: 16 bits, signed.
#[inline(always)]
pub(crate) fn next<L: Lanes>(seed: L) -> L {
    seed.mul16(L::splat(MULTIPLIER.into())).add_wrap(L::splat(INCREMENT.into())).extract_l()
}
