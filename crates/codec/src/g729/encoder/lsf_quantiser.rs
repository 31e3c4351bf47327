//! Quantiser of the line spectral frequencies, 18 bits (ITU-T G.729 clause 3.2.4).

use crate::g729::lsp::{
    Coefficients, GAP_FIRST, GAP_SECOND, LsfMemory, ORDER, Predictor, codebook_sum, compose, decompose, lsf_to_lsp,
    remember, spread, stabilise,
};
use crate::g729::rows;
use crate::g729::tables::lsp::{ACOS_SLOPE64, COS_TAB64, LSP_CB1, LSP_CB2, LSP_MA, LSP_MA_SUM, LSP_MA_SUM_INV};
use crate::isa::{BasicOp, Lanes, always};

/// The two predictors of speech frames.
pub(super) const SPEECH_PREDICTOR: Predictor = Predictor { ma: &LSP_MA, sum: &LSP_MA_SUM, sum_inv: &LSP_MA_SUM_INV };

/// A quantised LSF as transmitted.
#[derive(Clone, Copy)]
pub(super) struct LsfCodes<L> {
    /// Predictor L0.
    pub(super) mode: L,
    /// First stage L1.
    pub(super) stage1: L,
    /// Second stage, lower half L2.
    pub(super) low: L,
    /// Second stage, upper half L3.
    pub(super) high: L,
}

/// Entry `i` is the pair (cosine at cell `i`, slope of its inverse there).
static ARC_COSINE: [i32; 64] = {
    let mut pairs = [0; 64];
    let mut i = 0;
    while i < 64 {
        pairs[i] = (ACOS_SLOPE64[i] as i32) << 16 | (COS_TAB64[i] as i32 & 0xffff);
        i += 1;
    }
    pairs
};

/// The last cell that begins at or above a value, in a falling table of cosines (in the lower halves): by bisection.
#[inline(always)]
pub(super) fn last_cell<L: Lanes>(table: &[i32; 64], value: L) -> L {
    let mut cell = L::zero();
    for step in [32, 16, 8, 4, 2, 1] {
        let probe = cell.add_wrap(L::splat(step));
        let reached = L::lookup(table, probe).low().ge(value);
        cell = L::select(reached, probe, cell);
    }
    cell
}

/// LSP to LSF in radians, Q13.
#[inline(always)]
pub(super) fn lsp_to_lsf<L: Lanes>(lsp: &Coefficients<L>) -> Coefficients<L> {
    const TWO_PI: i32 = 25736;
    let mut lsf = [L::zero(); ORDER];
    let mut last = L::splat(63);
    for i in (0..ORDER).rev() {
        last = last.min(last_cell(&ARC_COSINE, lsp[i]));
        let entry = L::lookup(&ARC_COSINE, last);
        let offset = lsp[i].sub(entry.low());
        let fraction = entry.high().l_mult(offset).sra::<12>().extract_l();
        lsf[i] = last.sll::<9>().add(fraction).mult(L::splat(TWO_PI));
    }
    lsf
}

/// Weights of the quantisation errors: the closer two neighbours, the larger, normalised.
#[inline(always)]
pub(super) fn weights<L: Lanes>(lsf: &Coefficients<L>) -> Coefficients<L> {
    let one = L::splat(2048);
    let mut weights: Coefficients<L> = rows::each(
        #[inline(always)]
        |i| {
            let distance = match i {
                0 => lsf[1].sub(L::splat(9221)),
                9 => L::splat(15485).sub(lsf[8]),
                _ => lsf[i + 1].sub(lsf[i - 1]).sub(L::splat(8192)),
            };
            let square = distance.l_mult(distance).l_shl_n::<2>().extract_h();
            let weight = square.l_mult_coef(L::splat(20480)).l_shl_n::<2>().extract_h().add(one);
            L::select(distance.gt(L::zero()), one, weight)
        },
    );
    for i in 4..6 {
        weights[i] = weights[i].l_mult_coef(L::splat(19661)).l_shl_n::<1>().extract_h();
    }
    let mut greatest = L::zero();
    for weight in weights {
        greatest = greatest.max(weight);
    }
    let places = greatest.norm_s();
    rows::each(
        #[inline(always)]
        |i| weights[i].shl(places),
    )
}

/// Words to pairs.
#[inline(always)]
fn in_pairs<L: Lanes>(words: &Coefficients<L>) -> [L; 5] {
    rows::each(
        #[inline(always)]
        |i| L::pair(words[2 * i], words[2 * i + 1]),
    )
}

/// A running first minimum.
#[derive(Clone, Copy)]
pub(super) struct Best<L> {
    pub(super) value: L,
    pub(super) index: L,
}

impl<L: Lanes> Best<L> {
    /// Nothing below `limit` seen yet.
    #[inline(always)]
    pub(super) fn below(limit: i32) -> Self {
        Self { value: L::splat(limit), index: L::zero() }
    }

    #[inline(always)]
    pub(super) fn see(&mut self, value: L, index: usize) {
        let better = value.lt(self.value);
        self.value = self.value.min(value);
        self.index = L::select(better, L::splat(index as i32), self.index);
    }
}

/// First stage, both predictors: the nearest row to each target.
#[inline(always)]
fn search_stage1<L: Lanes>(targets: &[Coefficients<L>; 2]) -> [L; 2] {
    let targets = [in_pairs(&targets[0]), in_pairs(&targets[1])];
    // Half of the limit, as these sums are not doubled. What is beyond it is never chosen.
    let mut best = [Best::below(1 << 30); 2];
    for (row, entry) in LSP_CB1.iter().enumerate() {
        for (best, target) in best.iter_mut().zip(&targets) {
            best.see(L::square_distance(target, entry.as_chunks().0), row);
        }
    }
    [best[0].index, best[1].index]
}

/// Second stage, both halves: the nearest rows to the residual of the first under the weights.
#[inline(always)]
fn search_stage2<L: Lanes>(residual: &[L; 5], weights: &[L; 5]) -> [L; 2] {
    // (weight * error) >> 15 as the upper half of a product with twice the weight: where that has become negative,
    // 2^16 too little, the error itself is missing.
    let doubled: [L; 5] = rows::each(
        #[inline(always)]
        |m| weights[m].sll_x2::<1>(),
    );
    let missing: [L; 5] = rows::each(
        #[inline(always)]
        |m| doubled[m].sra_x2::<15>(),
    );
    let mut best = [Best::below(1 << 30); 2];
    for (row, entry) in LSP_CB2.iter().enumerate() {
        let term = always!(|m: usize| {
            let error = residual[m].sub_x2(L::splat_pair(entry[2 * m], entry[2 * m + 1]));
            let weighted = error.mul_high_x2(doubled[m]).add_x2(error.and(missing[m]));
            (weighted, error)
        });
        // A weighted error has the sign of the error: no product is negative.
        let add = always!(|sum: L, (weighted, error): (L, L)| sum.dot2_positive(weighted, error));
        let middle = term(2);
        let low = add(add(L::zero(), term(0)), term(1));
        let low = add(low, (middle.0.and(L::splat(0xffff)), middle.1));
        let high = add(add(L::zero(), term(3)), term(4));
        let high = add(high, (middle.0.and(L::splat(!0xffff)), middle.1));
        best[0].see(low, row);
        best[1].see(high, row);
    }
    [best[0].index, best[1].index]
}

/// Row numbers of a codebook for each lane.
#[inline(always)]
pub(super) fn codebook_rows<L: Lanes>(index: L, count: usize) -> [usize; 16] {
    let mut rows = [0; 16];
    for (row, index) in rows.iter_mut().zip(index.to_array()) {
        *row = (index as usize).min(count - 1);
    }
    rows
}

/// Quantises `lsp`, updates the predictor memory, and gives the codes and the quantised LSP.
pub(super) fn quantise<L: Lanes>(lsp: &Coefficients<L>, memory: &mut LsfMemory<L>) -> (LsfCodes<L>, Coefficients<L>) {
    let (weights, targets) = L::stage(
        #[inline(always)]
        || {
            let lsf = lsp_to_lsf(lsp);
            let target = always!(|bits: u32| decompose(&lsf, memory, &SPEECH_PREDICTOR, L::mask_from_bits(bits)));
            (weights(&lsf), [target(0), target(u32::MAX)])
        },
    );
    let stage1 = L::stage(
        #[inline(always)]
        || search_stage1(&targets),
    );
    let mut candidates = [[L::zero(); 3]; 2];
    let mut distortions = [L::zero(); 2];
    for p in 0..2 {
        let ([low, high], distortion) = L::stage(
            #[inline(always)]
            || refine(p, stage1[p], &targets[p], &weights),
        );
        candidates[p] = [stage1[p], low, high];
        distortions[p] = distortion;
    }
    L::stage(
        #[inline(always)]
        || {
            let mode1 = distortions[1].lt(distortions[0]);
            let [stage1, low, high]: [L; 3] = rows::each(
                #[inline(always)]
                |i| L::select(mode1, candidates[1][i], candidates[0][i]),
            );
            let mode = L::select(mode1, L::splat(1), L::zero());
            let mut error: Coefficients<L> = codebook_sum(
                &codebook_rows(stage1, LSP_CB1.len()),
                &codebook_rows(low, LSP_CB2.len()),
                &codebook_rows(high, LSP_CB2.len()),
            );
            spread(&mut error, GAP_FIRST);
            spread(&mut error, GAP_SECOND);
            let mut quantised = compose(&error, memory, &SPEECH_PREDICTOR, mode1);
            remember(memory, &error);
            stabilise(&mut quantised);
            (LsfCodes { mode, stage1, low, high }, lsf_to_lsp(&quantised))
        },
    )
}

/// The second stage for the row found by predictor `p`: its rows, and the distortion of the whole.
#[inline(always)]
fn refine<L: Lanes>(p: usize, stage1: L, target: &Coefficients<L>, weights: &Coefficients<L>) -> ([L; 2], L) {
    let stage1_rows = codebook_rows(stage1, LSP_CB1.len());
    let mut first = [L::zero(); 5];
    let mut codes: [&[i16]; 16] = [&[]; 16];
    for (code, row) in codes.iter_mut().zip(stage1_rows) {
        *code = &LSP_CB1[row];
    }
    L::load_pairs(&codes, &mut first);
    let target_pairs = in_pairs(target);
    let residual: [L; 5] = rows::each(
        #[inline(always)]
        |m| target_pairs[m].sub_x2(first[m]),
    );
    let [low, high] = search_stage2(&residual, &in_pairs(weights));
    let low_rows = codebook_rows(low, LSP_CB2.len());
    let high_rows = codebook_rows(high, LSP_CB2.len());
    let mut error: Coefficients<L> = codebook_sum(&stage1_rows, &low_rows, &high_rows);
    // As the search does it: not quite as in the reconstruction.
    spread(&mut error[..5], GAP_FIRST);
    spread(&mut error[4..], GAP_FIRST);
    spread(&mut error, GAP_SECOND);
    let mut distortion = L::zero();
    for j in 0..ORDER {
        let share = error[j].sub(target[j]).mult(L::splat(LSP_MA_SUM[p][j].into()));
        let weighted = weights[j].l_mult(share).l_shl_n::<4>().extract_h();
        distortion = distortion.l_mac(weighted, share);
    }
    ([low, high], distortion)
}
