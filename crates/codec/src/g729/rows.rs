//! Calls' own sample buffers as rows of the lanes: each call reads at its own lag, all in one transposition.

use arrayvec::ArrayVec;

use crate::isa::Lanes;

/// Calls in lock-step at most.
pub(crate) const LANES_MAX: usize = 16;

/// One buffer per call.
pub(crate) type Rows<'a> = ArrayVec<&'a mut [i16], LANES_MAX>;

/// What a lane without a call reads.
static NO_CALL: [i16; 256] = [0; 256];

/// Loads pairs of every call from its buffer at the offset given for its lane; lanes without a call are zero.
#[inline(always)]
pub(crate) fn load<L: Lanes>(rows: &[&mut [i16]], offset: impl Fn(usize) -> usize, out: &mut [L]) {
    let rows: [&[i16]; LANES_MAX] = core::array::from_fn(|l| rows.get(l).map_or(&NO_CALL[..], |row| &row[offset(l)..]));
    L::load_pairs(&rows, out);
}

/// Stores pairs into every call's buffer at the same offset.
#[inline(always)]
pub(crate) fn store<L: Lanes>(values: &[L], rows: &mut [&mut [i16]], offset: usize) {
    let mut rows: Rows<'_> = rows.iter_mut().map(|row| &mut row[offset..]).collect();
    L::store_pairs(values, &mut rows);
}

/// [`core::array::from_fn`] for lanes, always inlined: what is not inlined into a stage lacks its instructions.
#[inline(always)]
pub(crate) fn each<L: Lanes, const N: usize>(mut value: impl FnMut(usize) -> L) -> [L; N] {
    let mut values = [L::zero(); N];
    for (i, slot) in values.iter_mut().enumerate() {
        *slot = value(i);
    }
    values
}
