//! Line spectral pairs (LSP) and frequencies (LSF): what encoder and decoder share.
//!
//! LSF are in radians, Q13; LSP are their cosines, Q15 (ITU-T G.729 clauses 3.2.4 to 3.2.6).

use super::filter::half;
use super::rows::each;
use super::tables::lsp::{COS_SLOPE64, COS_TAB64, LSP_CB1, LSP_CB2};
use crate::isa::{BasicOp, Lanes};

/// Order of the linear prediction.
pub(crate) const ORDER: usize = 10;

/// One word per coefficient.
pub(crate) type Coefficients<L> = [L; ORDER];

/// The last four quantised prediction errors of the LSF, `[0]` the most recent.
pub(crate) type LsfMemory<L> = [Coefficients<L>; 4];

/// Least distance between neighbours before composition (0.0012), Q13.
pub(crate) const GAP_FIRST: i32 = 10;
/// Least distance between neighbours in the second pass (0.0006), Q13.
pub(crate) const GAP_SECOND: i32 = 5;
/// Least distance between neighbours of a quantised LSF (0.0392), Q13.
const GAP_FINAL: i32 = 321;
/// Least LSF (0.005), Q13.
const LSF_MIN: i32 = 40;
/// Greatest LSF (3.135), Q13.
const LSF_MAX: i32 = 25681;

/// A moving-average predictor of the LSF: `[mode][lag - 1][coefficient]` and one minus its sum.
#[derive(Clone, Copy)]
pub(crate) struct Predictor {
    /// Coefficients, Q15.
    pub(crate) ma: &'static [[[i16; ORDER]; 4]; 2],
    /// One minus the sum over the lags, Q15.
    pub(crate) sum: &'static [[i16; ORDER]; 2],
    /// Reciprocal of `sum`, Q12.
    pub(crate) sum_inv: &'static [[i16; ORDER]; 2],
}

/// The constant of mode 1 where the mask is set, else that of mode 0.
#[inline(always)]
fn of_mode<L: Lanes>(mode1: L::Mask, constants: [i16; 2]) -> L {
    L::select(mode1, L::splat(constants[1].into()), L::splat(constants[0].into()))
}

/// The sum of both codebook stages by row numbers, lane by lane; the second stage has a row for each half.
#[inline(always)]
pub(crate) fn codebook_sum<L: Lanes>(stage1: &[usize; 16], low: &[usize; 16], high: &[usize; 16]) -> Coefficients<L> {
    let mut first = [L::zero(); 5];
    L::load_pairs(&stage1.map(|row| &LSP_CB1[row][..]), &mut first);
    let mut lower = [L::zero(); 5];
    L::load_pairs(&low.map(|row| &LSP_CB2[row][..]), &mut lower);
    let mut upper = [L::zero(); 5];
    L::load_pairs(&high.map(|row| &LSP_CB2[row][..]), &mut upper);
    each(
        #[inline(always)]
        |j| half(&first, j).add(half(if j < 5 { &lower } else { &upper }, j)),
    )
}

/// Moves neighbours apart that are closer than `gap`, each by half of what is missing, in ascending order.
#[inline(always)]
pub(crate) fn spread<L: Lanes>(lsf: &mut [L], gap: i32) {
    for j in 1..lsf.len() {
        let missing = lsf[j - 1].sub(lsf[j]).add(L::splat(gap)).sra::<1>().max(L::zero());
        lsf[j - 1] = lsf[j - 1].sub(missing);
        lsf[j] = lsf[j].add(missing);
    }
}

/// The LSF predicted from `memory` plus the scaled prediction error `error` (clause 3.2.4).
#[inline(always)]
pub(crate) fn compose<L: Lanes>(
    error: &Coefficients<L>,
    memory: &LsfMemory<L>,
    predictor: &Predictor,
    mode1: L::Mask,
) -> Coefficients<L> {
    each(
        #[inline(always)]
        |j| {
            // The coefficients of a mode add up to less than one: no sum saturates.
            let mut sum = error[j].mul16(of_mode(mode1, predictor.sum.map(|sum| sum[j])));
            for lag in 0..4 {
                sum = sum.add_wrap(memory[lag][j].mul16(of_mode(mode1, predictor.ma.map(|ma| ma[lag][j]))));
            }
            sum.sll::<1>().extract_h()
        },
    )
}

/// The prediction error that would have given `lsf`: the inverse of [`compose`], before quantisation.
#[inline(always)]
pub(crate) fn decompose<L: Lanes>(
    lsf: &Coefficients<L>,
    memory: &LsfMemory<L>,
    predictor: &Predictor,
    mode1: L::Mask,
) -> Coefficients<L> {
    each(
        #[inline(always)]
        |j| {
            let mut rest = lsf[j].l_deposit_h();
            for lag in 0..4 {
                rest = rest.l_msu_coef(memory[lag][j], of_mode(mode1, predictor.ma.map(|ma| ma[lag][j])));
            }
            let scale = of_mode(mode1, predictor.sum_inv.map(|inv| inv[j]));
            rest.extract_h().l_mult_coef(scale).l_shl_n::<3>().extract_h()
        },
    )
}

/// The memory moves by one frame and takes in `error`.
#[inline(always)]
pub(crate) fn remember<L: Lanes>(memory: &mut LsfMemory<L>, error: &Coefficients<L>) {
    memory.rotate_right(1);
    memory[0] = *error;
}

/// Orders and spaces a quantised LSF, so that its filter is stable (clause 3.2.4).
#[inline(always)]
pub(crate) fn stabilise<L: Lanes>(lsf: &mut Coefficients<L>) {
    for j in 1..ORDER {
        (lsf[j - 1], lsf[j]) = (lsf[j - 1].min(lsf[j]), lsf[j - 1].max(lsf[j]));
    }
    lsf[0] = lsf[0].max(L::splat(LSF_MIN));
    for j in 1..ORDER {
        lsf[j] = lsf[j].max(lsf[j - 1].add(L::splat(GAP_FINAL)));
    }
    lsf[ORDER - 1] = lsf[ORDER - 1].min(L::splat(LSF_MAX));
}

/// Entry `i` is the pair (cosine at cell `i`, its slope there).
static COSINE: [i32; 64] = {
    let mut pairs = [0; 64];
    let mut i = 0;
    while i < 64 {
        pairs[i] = (COS_SLOPE64[i] as i32) << 16 | (COS_TAB64[i] as i32 & 0xffff);
        i += 1;
    }
    pairs
};

/// LSF to LSP (clause 3.2.4).
#[inline(always)]
pub(crate) fn lsf_to_lsp<L: Lanes>(lsf: &Coefficients<L>) -> Coefficients<L> {
    const PER_TWO_PI: i32 = 20861;
    each(
        #[inline(always)]
        |j| {
            let place = lsf[j].mult(L::splat(PER_TWO_PI));
            // The look-up stays in the last cell for what lies beyond.
            let cell = L::lookup(&COSINE, place.sra::<8>());
            let offset = place.and(L::splat(0xff));
            cell.low().add(cell.high().l_mult_coef(offset).sra::<13>().extract_l())
        },
    )
}

/// LSP of the first subframe: midway between the frames (clause 3.2.5).
#[inline(always)]
pub(crate) fn interpolate_lsp<L: Lanes>(lsp: &Coefficients<L>, previous: &Coefficients<L>) -> Coefficients<L> {
    each(
        #[inline(always)]
        |j| lsp[j].sra::<1>().add_wrap(previous[j].sra::<1>()),
    )
}

/// LSP to the coefficients of A(z), Q12, `[0]` is 4096 (clause 3.2.6).
#[inline(always)]
pub(crate) fn lsp_to_lp<L: Lanes>(lsp: &Coefficients<L>) -> [L; ORDER + 1] {
    let mut sum = lsp_polynomial([lsp[0], lsp[2], lsp[4], lsp[6], lsp[8]]);
    let mut difference = lsp_polynomial([lsp[1], lsp[3], lsp[5], lsp[7], lsp[9]]);
    for i in (1..6).rev() {
        sum[i] = sum[i].l_add(sum[i - 1]);
        difference[i] = difference[i].l_sub(difference[i - 1]);
    }
    let mut a = [L::splat(4096); ORDER + 1];
    for i in 1..6 {
        let rounded = |x: L| x.sra::<13>().add_wrap(x.sra::<12>().and(L::splat(1))).extract_l();
        a[i] = rounded(sum[i].l_add(difference[i]));
        a[11 - i] = rounded(sum[i].l_sub(difference[i]));
    }
    a
}

/// The polynomial with the roots `lsp`, Q24: the product of `1 - 2 q z^-1 + z^-2`, up to its middle coefficient.
#[inline(always)]
fn lsp_polynomial<L: Lanes>(lsp: [L; 5]) -> [L; 6] {
    let mut f = [L::splat(1 << 24); 6];
    let minus_2q = |acc: L, q: L| acc.l_sub(q.sll::<10>());
    f[1] = minus_2q(L::zero(), lsp[0]);
    for m in 2..6 {
        let q = lsp[m - 1];
        // The middle coefficient counts twice: here, and once more in the recursion.
        f[m] = f[m - 2];
        for n in (2..=m).rev() {
            let product = L::mpy_32_16(f[n - 1].l_extract(), q).l_shl_n::<1>();
            f[n] = f[n].l_add(f[n - 2]).l_sub(product);
        }
        f[1] = minus_2q(f[1], q);
    }
    f
}
