//! From A(z) to line spectral pairs: the roots of its symmetric and antisymmetric polynomials
//! (ITU-T G.729 clause 3.2.3, Annex A clause A.3.2.3).

use crate::g729::lsp::{Coefficients, ORDER};
use crate::g729::rows;
use crate::g729::tables::lsp::LSP_GRID;
use crate::isa::{BasicOp, LaneMask, Lanes, always};

/// The points of the search grid, Q15.
static GRID: [i32; 51] = {
    let mut grid = [0; 51];
    let mut i = 0;
    while i < 51 {
        grid[i] = LSP_GRID[i] as i32;
        i += 1;
    }
    grid
};

/// Both polynomials without their trivial roots, Q11, or Q10 in lanes where that would have overflowed.
#[derive(Clone, Copy)]
pub(super) struct Polynomials<L: Lanes> {
    f: [[L; 6]; 2],
    /// The lanes in Q10.
    coarse: L::Mask,
    any_coarse: bool,
}

impl<L: Lanes> Polynomials<L> {
    #[inline(always)]
    pub(super) fn new(a: &[L; ORDER + 1]) -> Self {
        let in_q = always!(|one: i32, shift: L| {
            let mut over = L::mask_from_bits(0);
            let mut f = [[L::splat(one); 6]; 2];
            for i in 0..5 {
                let (low, high) = (a[i + 1], a[ORDER - i]);
                let sum = low.add_wrap(high).srav(shift).sub_wrap(f[0][i]);
                let difference = low.sub_wrap(high).srav(shift).add_wrap(f[1][i]);
                f[0][i + 1] = sum.saturate();
                f[1][i + 1] = difference.saturate();
                over = over.or(sum.eq(f[0][i + 1]).and(difference.eq(f[1][i + 1])).not());
            }
            (f, over)
        });
        let (mut f, coarse) = in_q(2048, L::splat(1));
        let any_coarse = coarse.any();
        if any_coarse {
            let (in_q10, _) = in_q(1024, L::splat(2));
            for p in 0..2 {
                for i in 0..6 {
                    f[p][i] = L::select(coarse, in_q10[p][i], f[p][i]);
                }
            }
        }
        Self { f, coarse, any_coarse }
    }

    /// The value of polynomial `p` at `x` (Q15), Q14, limited; by Clenshaw's recurrence.
    #[inline(always)]
    pub(super) fn value(&self, p: usize, x: L) -> L {
        let f = &self.f[p];
        let x_low = x.and(L::splat(0xffff));
        let x_high = x.sll::<16>();
        // Half of a split number times a Q15 one: the upper half of the word is the high part.
        let half_product = always!(|b: L| {
            let low = b.srl::<1>().and(L::splat(0x7fff)).mul_low(x_low).sra::<15>();
            low.dot2(b, x_high)
        });
        let even = L::splat(!1);
        // One in Q24, or Q23.
        let fine = (L::splat(1 << 24), x.sll::<10>());
        let (mut b2, first) = if self.any_coarse {
            let choose = always!(|coarse: L, fine: L| L::select(self.coarse, coarse, fine));
            (choose(L::splat(1 << 23), fine.0), choose(x.sll::<9>(), fine.1))
        } else {
            fine
        };
        let mut b1 = first.add_wrap(f[1].sll::<13>()).and(even);
        let (mut least, mut greatest) = (L::zero(), L::zero());
        for i in 2..5 {
            let b = half_product(b1).sll::<2>().sub_wrap(b2).add_wrap(f[i].sll::<13>()).and(even);
            (least, greatest) = (least.min(b), greatest.max(b));
            (b2, b1) = (b1, b);
        }
        // While all terms stay below this, 2 x b1, b2 and f add up to less than 2^32 less the same, so that what wraps
        // is seen here as well; what does not has met none of the limits.
        const LARGEST: i32 = (1 << 30) - (1 << 26);
        if greatest.ge(L::splat(LARGEST)).or(least.le(L::splat(-LARGEST))).any() {
            return L::stage(
                #[inline(always)]
                || self.value_limited(p, x),
            );
        }
        let sum = half_product(b1).sll::<1>().sub_wrap(b2).add_wrap(f[5].sll::<12>());
        let value = sum.sra::<10>().saturate();
        if self.any_coarse { L::select(self.coarse, sum.sra::<9>().saturate(), value) } else { value }
    }

    /// [`Polynomials::value`] with every limit in its place.
    #[inline(always)]
    pub(super) fn value_limited(&self, p: usize, x: L) -> L {
        let f = &self.f[p];
        let one = L::select(self.coarse, L::splat(256), L::splat(512));
        let mut b2 = (one.sra::<1>(), L::zero());
        b2.0 = L::select(self.coarse, L::splat(128), L::splat(256));
        let mut b1 = x.l_mult_coef(one).l_mac_coef(f[1], L::splat(4096)).l_extract();
        let minus = always!(|sum: L, b: (L, L)| sum.l_mac(b.0, L::splat(-32768)).l_sub(b.1.add_wrap(b.1)));
        for i in 2..5 {
            let doubled = L::mpy_32_16(b1, x).l_shl_n::<1>();
            let b = minus(doubled, b2).l_mac_coef(f[i], L::splat(4096)).l_extract();
            (b2, b1) = (b1, b);
        }
        let sum = minus(L::mpy_32_16(b1, x), b2).l_mac_coef(f[5], L::splat(2048));
        let fine = sum.l_shl_n::<6>();
        L::select(self.coarse, fine.l_shl_n::<1>(), fine).extract_h()
    }
}

/// LSP of A(z), Q15; `previous` in lanes where fewer than ten roots are found.
#[inline(always)]
pub(super) fn lsp_of<L: Lanes>(a: &[L; ORDER + 1], previous: &Coefficients<L>) -> Coefficients<L> {
    L::stage(
        #[inline(always)]
        || search(&Polynomials::new(a), previous),
    )
}

/// The ten roots in descending order, alternating between the polynomials.
#[inline(always)]
fn search<L: Lanes>(polynomials: &Polynomials<L>, previous: &Coefficients<L>) -> Coefficients<L> {
    const POINTS: usize = GRID.len();
    let one = L::splat(1);
    let zero = L::zero();
    // Both polynomials on the whole grid, and where they change sign: bit j for the cell that ends at point j.
    let mut y = [[zero; POINTS]; 2];
    let mut crossings = [[zero; 2]; 2];
    for p in 0..2 {
        for j in 0..POINTS {
            y[p][j] = polynomials.value(p, L::splat(GRID[j]));
            if j > 0 {
                let bit = L::select(y[p][j].mul16(y[p][j - 1]).gt(zero), zero, L::splat(1 << (j % 32)));
                crossings[p][j / 32] = crossings[p][j / 32].or(bit);
            }
        }
    }

    let mut lsp = [zero; ORDER];
    let mut found = L::mask_from_bits(u32::MAX);
    // The last point taken from the grid, and where the search goes on: there, or at the root found since.
    let mut j = zero;
    let mut x_from = L::splat(GRID[0]);
    let mut y_from = y[0][0];
    for n in 0..ORDER {
        let p = n % 2;
        // Either the sign changes on the way to the next point of the grid ...
        let next = j.add_wrap(one);
        let y_next = L::pick(&y[p], next);
        let at_once = y_next.mul16(y_from).gt(zero).not();
        // ... or in the first cell after that.
        let from = j.add_wrap(L::splat(2));
        let all = L::splat(-1);
        let low = crossings[p][0].and(all.sllv(from));
        let high = crossings[p][1].and(all.sllv(from.sub_wrap(L::splat(32)).max(zero)));
        let lowest_bit = always!(|bits: L| L::splat(31).sub_wrap(bits.and(zero.sub_wrap(bits)).leading_zeros()));
        let in_low = low.eq(zero).not();
        let later = L::select(in_low, lowest_bit(low), lowest_bit(high).add_wrap(L::splat(32)));
        let exists = at_once.and(next.lt(L::splat(POINTS as i32))).or(in_low).or(high.eq(zero).not());
        found = found.and(exists);
        j = L::select(at_once, next, later).min(L::splat(POINTS as i32 - 1));

        let before = j.sub_wrap(one);
        let mut x_high = L::select(at_once, x_from, L::lookup(&GRID, before));
        let mut y_high = L::select(at_once, y_from, L::pick(&y[p], before));
        let mut x_low = L::lookup(&GRID, j);
        let mut y_low = L::pick(&y[p], j);
        for _ in 0..2 {
            let x_mid = x_low.sra::<1>().add(x_high.sra::<1>());
            let y_mid = polynomials.value(p, x_mid);
            let upper = y_low.mul16(y_mid).gt(zero);
            x_low = L::select(upper, x_mid, x_low);
            y_low = L::select(upper, y_mid, y_low);
            x_high = L::select(upper, x_high, x_mid);
            y_high = L::select(upper, y_high, y_mid);
        }
        lsp[n] = intersect(x_low, y_low, x_high, y_high);
        x_from = lsp[n];
        y_from = polynomials.value(1 - p, x_from);
    }
    rows::each(
        #[inline(always)]
        |i| L::select(found, lsp[i], previous[i]),
    )
}

/// Where the line through both points meets zero.
#[inline(always)]
fn intersect<L: Lanes>(x_low: L, y_low: L, x_high: L, y_high: L) -> L {
    let dx = x_high.sub(x_low);
    let dy = y_high.sub(y_low);
    let magnitude = dy.abs_s();
    let places = magnitude.norm_s();
    let slope = L::splat(16383).div_s(magnitude.sllv(places));
    let slope = dx.l_mult_coef(slope).l_shr(L::splat(20).sub_wrap(places)).extract_l();
    let slope = L::select(dy.lt(L::zero()), slope.negate(), slope);
    let step = y_low.l_mult(slope).sra::<11>().extract_l();
    L::select(dy.eq(L::zero()), x_low, x_low.sub(step))
}
