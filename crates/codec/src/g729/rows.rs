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
    let mut starts: [&[i16]; LANES_MAX] = [&NO_CALL; LANES_MAX];
    for (l, (start, row)) in starts.iter_mut().zip(rows).enumerate() {
        *start = &row[offset(l)..];
    }
    L::load_pairs(&starts, out);
}

/// Stores pairs into every call's buffer at the same offset.
#[inline(always)]
pub(crate) fn store<L: Lanes>(values: &[L], rows: &mut [&mut [i16]], offset: usize) {
    let mut starts = Rows::new();
    for row in rows {
        starts.push(&mut row[offset..]);
    }
    L::store_pairs(values, &mut starts);
}

pub(crate) use crate::isa::each;
