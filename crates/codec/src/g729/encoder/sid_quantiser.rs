//! Quantiser of the LSF of a silence insertion descriptor, 10 bits (ITU-T G.729 Annex B clause B.4.2.2).

use super::lsf_quantiser::{lsp_to_lsf, weights};
use crate::g729::lsp::{Coefficients, LsfMemory, ORDER, decompose};
use crate::g729::sid::{PREDICTOR, decode_lsp};
use crate::g729::tables::lsp::{LSP_CB1, LSP_CB2};
use crate::g729::tables::sid::{SID_LSF_CB1_ROWS, SID_LSF_CB2_ROWS, SID_LSF_MODE_WEIGHT, SID_MA_SUM};
use crate::isa::{BasicOp, Lanes, always};

/// The LSF of a descriptor as transmitted.
#[derive(Clone, Copy)]
pub(super) struct SidCodes<L> {
    /// Predictor (1 bit).
    pub(super) mode: L,
    /// First stage (5 bits).
    pub(super) stage1: L,
    /// Second stage (4 bits).
    pub(super) stage2: L,
}

/// Entries of the first stage, both predictors.
const ENTRIES: usize = 64;
/// Candidates of the first stage that the second one tries.
const CANDIDATES: usize = 4;
/// The greatest distance; what is no nearer is not chosen.
const FARTHEST: i32 = 0x7fff;

/// Keeps the LSF apart and inside their range.
#[inline(always)]
fn arrange<L: Lanes>(lsf: &mut Coefficients<L>) {
    const GAP: i32 = 642;
    lsf[0] = lsf[0].max(L::splat(40));
    for j in 1..ORDER {
        lsf[j] = lsf[j].max(lsf[j - 1].add(L::splat(GAP)));
    }
    lsf[ORDER - 1] = lsf[ORDER - 1].min(L::splat(25681));
    let crossed = lsf[ORDER - 1].lt(lsf[ORDER - 2]);
    lsf[ORDER - 2] = L::select(crossed, lsf[ORDER - 1].sub_wrap(L::splat(GAP / 2)), lsf[ORDER - 2]);
}

/// Quantises `lsp`; in the lanes of `sent` the predictor memory moves. Gives the codes and the quantised LSP.
pub(super) fn quantise<L: Lanes>(
    lsp: &Coefficients<L>,
    sent: L::Mask,
    memory: &mut LsfMemory<L>,
) -> (SidCodes<L>, Coefficients<L>) {
    let (weights, targets) = L::stage(
        #[inline(always)]
        || {
            let mut lsf = lsp_to_lsf(lsp);
            arrange(&mut lsf);
            let mut targets = [[L::zero(); ORDER]; 2];
            for (p, target) in targets.iter_mut().enumerate() {
                *target = decompose(&lsf, memory, &PREDICTOR, L::mask_from_bits(if p == 0 { 0 } else { u32::MAX }));
            }
            (weights(&lsf), targets)
        },
    );
    let candidates = L::stage(
        #[inline(always)]
        || search_stage1(&targets),
    );
    let (candidate, stage2) = L::stage(
        #[inline(always)]
        || search_stage2(&targets, &weights, &candidates),
    );
    L::stage(
        #[inline(always)]
        || {
            let mode = candidate.sra::<5>();
            let stage1 = candidate.and(L::splat(31));
            let octets = always!(|values: L| {
                let values = values.to_array();
                let mut octets = [0; 16];
                for (octet, value) in octets.iter_mut().zip(values) {
                    *octet = value as u8;
                }
                octets
            });
            let mode1 = mode.gt(L::zero());
            let lsp = decode_lsp(mode1, &octets(stage1), &octets(stage2), sent, memory);
            (SidCodes { mode, stage1, stage2 }, lsp)
        },
    )
}

/// The four nearest entries, the nearest first; predictor 1 counts from 32.
#[inline(always)]
fn search_stage1<L: Lanes>(targets: &[Coefficients<L>; 2]) -> [L; CANDIDATES] {
    let mut distances = [L::zero(); ENTRIES];
    for (entry, distance) in distances.iter_mut().enumerate() {
        let (p, row) = (entry / 32, &LSP_CB1[usize::from(SID_LSF_CB1_ROWS[entry % 32])]);
        let mut sum = L::zero();
        for j in 0..ORDER {
            let difference = targets[p][j].sub(L::splat(row[j].into()));
            sum = sum.l_mac(difference, difference);
        }
        *distance = sum.extract_h().mult(L::splat(SID_LSF_MODE_WEIGHT[p].into()));
    }
    let mut candidates = [L::zero(); CANDIDATES];
    for candidate in &mut candidates {
        let mut least = L::splat(FARTHEST);
        for (entry, distance) in distances.iter().enumerate() {
            let better = distance.lt(least);
            least = least.min(*distance);
            *candidate = L::select(better, L::splat(entry as i32), *candidate);
        }
        for (entry, distance) in distances.iter_mut().enumerate() {
            let taken = candidate.eq(L::splat(entry as i32));
            *distance = L::select(taken, L::splat(FARTHEST), *distance);
        }
    }
    candidates
}

/// The best candidate and its entry of the second stage.
#[inline(always)]
fn search_stage2<L: Lanes>(
    targets: &[Coefficients<L>; 2],
    weights: &Coefficients<L>,
    candidates: &[L; CANDIDATES],
) -> (L, L) {
    let mut least = L::splat(FARTHEST);
    let (mut chosen, mut stage2) = (candidates[0], L::zero());
    for candidate in candidates {
        let entries = candidate.to_array();
        let mut first = [L::zero(); ORDER / 2];
        let mut rows: [&[i16]; 16] = [&[]; 16];
        for (row, entry) in rows.iter_mut().zip(entries) {
            *row = &LSP_CB1[usize::from(SID_LSF_CB1_ROWS[entry as usize % 32])];
        }
        L::load_pairs(&rows, &mut first);
        let mode1 = candidate.gt(L::splat(31));
        let mut residual = [L::zero(); ORDER];
        let mut scales = [L::zero(); ORDER];
        for j in 0..ORDER {
            let row = if j % 2 == 0 { first[j / 2].low() } else { first[j / 2].high() };
            residual[j] = L::select(mode1, targets[1][j], targets[0][j]).sub(row);
            let square = always!(|p: usize| {
                let sum = i32::from(SID_MA_SUM[p][j]);
                L::splat((2 * sum * sum) >> 14)
            });
            scales[j] = L::select(mode1, square(1), square(0)).mult(weights[j]);
        }
        for i in 0..16 {
            let row = always!(|j: usize| LSP_CB2[usize::from(SID_LSF_CB2_ROWS[usize::from(j >= 5)][i])][j]);
            let mut sum = L::zero();
            for j in 0..ORDER {
                let difference = residual[j].sub(L::splat(row(j).into()));
                let weighted = scales[j].l_mult(difference).l_shl_n::<3>().extract_h();
                sum = sum.l_mac(weighted, difference);
            }
            let distance = sum.extract_h();
            let better = distance.lt(least);
            least = L::select(better, distance, least);
            chosen = L::select(better, *candidate, chosen);
            stage2 = L::select(better, L::splat(i as i32), stage2);
        }
    }
    (chosen, stage2)
}
