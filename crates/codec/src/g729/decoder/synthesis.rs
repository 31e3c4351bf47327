//! Synthesis of a subframe, scaled down when it overflows (ITU-T G.729 clause 4.1.6).

use super::super::adaptive_codebook::PAST_EXCITATION;
use super::super::filter::{LpFilter, SUBFRAME_PAIRS};
use super::super::{FRAME_PAIRS, rows};
use super::state::CallLanes;
use crate::isa::{BasicOp, LaneMask, Lanes};

/// Synthesises a subframe from `excitation`, which is that of the calls' buffers in `rows`, after `speech`'s memory.
///
/// Where anything saturates, the whole excitation of that call, past and present, is divided by four and the filter run
/// again.
#[inline(always)]
pub(super) fn synthesise<L: Lanes>(
    filter: &LpFilter<L>,
    excitation: &[L; SUBFRAME_PAIRS],
    speech: &mut [L],
    rows: &mut [&mut [i16]],
) {
    let overflow = filter.synthesis(excitation, speech).bits() & ((1 << rows.len()) - 1);
    if overflow != 0 {
        L::stage(
            #[inline(always)]
            || synthesise_scaled(filter, overflow, excitation, speech, rows),
        );
    }
}

/// The second run of [`synthesise`] for the lanes in `overflow`.
#[inline(always)]
fn synthesise_scaled<L: Lanes>(
    filter: &LpFilter<L>,
    overflow: u32,
    excitation: &[L; SUBFRAME_PAIRS],
    speech: &mut [L],
    rows: &mut [&mut [i16]],
) {
    for (l, row) in rows.iter_mut().enumerate() {
        if overflow >> l & 1 == 1 {
            row.iter_mut().for_each(|sample| *sample >>= 2);
        }
    }
    let overflow = L::mask_from_bits(overflow);
    let mut scaled = *excitation;
    for pair in &mut scaled {
        *pair = L::select(overflow, pair.sra_x2::<2>(), *pair);
    }
    // The memory before the outputs is untouched. What saturates now, stays.
    filter.synthesis(&scaled, speech);
}

/// Excitation energy of the frame as mantissa and shift, for a SID that never comes (Annex B clause B.4.2.1).
#[inline(always)]
pub(super) fn measure_energy<L: Lanes>(good: L::Mask, calls: &[&mut [i16]], call: &mut CallLanes<L>) {
    let mut excitation = [L::zero(); FRAME_PAIRS];
    rows::load(calls, |_| PAST_EXCITATION, &mut excitation);
    let mut energy = L::zero();
    for pair in excitation {
        energy = energy.dot2_squares(pair);
    }
    let energy = energy.l_shl_n::<1>();
    let places = energy.norm_l();
    let mantissa = energy.sllv(places).round();
    call.energy[0] = L::select(good, mantissa, call.energy[0]);
    call.energy[1] = L::select(good, L::splat(16).sub_wrap(places), call.energy[1]);
}
