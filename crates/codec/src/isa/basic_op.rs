//! The basic operators of ITU-T G.191, per lane, under their own names in lower case.
//!
//! 16-bit operands and results, and shift counts, are sign-extended words. An operator that ends in `_n` takes its shift as a constant.

use super::Lanes;

impl<L: Lanes> BasicOp for L {}

/// ITU-T G.191 basic operators on words; see the module.
pub(crate) trait BasicOp: Lanes {
    /// Limits a word to 16 bits.
    #[inline(always)]
    fn saturate(self) -> Self {
        self.clamp(-0x8000, 0x7fff)
    }
    /// 16-bit `a + b`.
    #[inline(always)]
    fn add(self, b: Self) -> Self {
        self.add_wrap(b).saturate()
    }
    /// 16-bit `a - b`.
    #[inline(always)]
    fn sub(self, b: Self) -> Self {
        self.sub_wrap(b).saturate()
    }
    /// 16-bit `-a`; -32768 becomes 32767.
    #[inline(always)]
    fn negate(self) -> Self {
        Self::zero().sub_wrap(self).min(Self::splat(0x7fff))
    }
    /// 16-bit magnitude; that of -32768 is 32767.
    #[inline(always)]
    fn abs_s(self) -> Self {
        self.max(self.negate())
    }
    /// 16-bit `a * 2^count`, limited; a negative count shifts right.
    #[inline(always)]
    fn shl(self, count: Self) -> Self {
        let right = self.srav(Self::zero().sub_wrap(count).max(Self::zero()));
        // 15 places suffice to limit any value but 0, and fit in the word.
        let left = self.sllv(count.clamp(0, 16)).saturate();
        Self::select(count.gt(Self::zero()), left, right)
    }
    /// 16-bit `a >> count`; a negative count shifts left, limited.
    #[inline(always)]
    fn shr(self, count: Self) -> Self {
        self.shl(Self::zero().sub_wrap(count))
    }
    /// 16-bit `a * 2^K`, limited.
    #[inline(always)]
    fn shl_n<const K: u32>(self) -> Self {
        self.sll::<K>().saturate()
    }
    /// Q15 product, truncated.
    #[inline(always)]
    fn mult(self, b: Self) -> Self {
        self.mul16(b).sra::<15>().min(Self::splat(0x7fff))
    }
    /// Q15 product, rounded.
    #[inline(always)]
    fn mult_r(self, b: Self) -> Self {
        self.mul16(b).add_wrap(Self::splat(0x4000)).sra::<15>().min(Self::splat(0x7fff))
    }
    /// Fractional product `2ab`, limited to 32 bits.
    #[inline(always)]
    fn l_mult(self, b: Self) -> Self {
        let product = self.mul16(b);
        Self::select(product.eq(Self::splat(1 << 30)), Self::splat(i32::MAX), product.add_wrap(product))
    }
    /// [`BasicOp::l_mult`] where not both factors are -32768.
    #[inline(always)]
    fn l_mult_coef(self, coef: Self) -> Self {
        let product = self.mul16(coef);
        product.add_wrap(product)
    }
    /// ITU-T `L_msu`: `self - 2ab`, product and difference each limited to 32 bits, where not both factors are -32768.
    #[inline(always)]
    fn l_msu_coef(self, a: Self, coef: Self) -> Self {
        self.l_sub(a.l_mult_coef(coef))
    }
    /// 32-bit `-a`; the least value becomes the greatest.
    #[inline(always)]
    fn l_negate(self) -> Self {
        Self::zero().l_sub(self)
    }
    /// 32-bit magnitude; that of the least value is the greatest.
    #[inline(always)]
    fn l_abs(self) -> Self {
        self.max(self.l_negate())
    }
    /// 32-bit `a * 2^count`, limited; a negative count shifts right.
    #[inline(always)]
    fn l_shl(self, count: Self) -> Self {
        let right = self.srav(Self::zero().sub_wrap(count).max(Self::zero()));
        let places = count.clamp(0, 31);
        let left = self.sllv(places);
        let kept = left.srav(places).eq(self);
        let left = Self::select(kept, left, self.limit_of_sign());
        Self::select(count.gt(Self::zero()), left, right)
    }
    /// 32-bit `a >> count`; a negative count shifts left, limited.
    #[inline(always)]
    fn l_shr(self, count: Self) -> Self {
        self.l_shl(Self::zero().sub_wrap(count))
    }
    /// 32-bit `a * 2^K`, limited.
    #[inline(always)]
    fn l_shl_n<const K: u32>(self) -> Self {
        let left = self.sll::<K>();
        Self::select(left.sra::<K>().eq(self), left, self.limit_of_sign())
    }
    /// 32-bit `a >> count` rounded half up, for counts from 1; 0 beyond 31, [`BasicOp::l_shr`] below 1.
    #[inline(always)]
    fn l_shr_r(self, count: Self) -> Self {
        let half = self.srav(count.sub_wrap(Self::splat(1))).and(Self::splat(1));
        let rounded = self.srav(count).add_wrap(half);
        let rounded = Self::select(count.gt(Self::splat(31)), Self::zero(), rounded);
        Self::select(count.gt(Self::zero()), rounded, self.l_shr(count))
    }
    /// The upper 16 bits.
    #[inline(always)]
    fn extract_h(self) -> Self {
        self.sra::<16>()
    }
    /// The lower 16 bits, signed.
    #[inline(always)]
    fn extract_l(self) -> Self {
        self.sll::<16>().sra::<16>()
    }
    /// `a * 2^16`.
    #[inline(always)]
    fn l_deposit_h(self) -> Self {
        self.sll::<16>()
    }
    /// The upper 16 bits, rounded; limited at the top.
    #[inline(always)]
    fn round(self) -> Self {
        // The sum can only pass the top, where the wrapped result would be -32768 from a positive operand.
        self.min(Self::splat(0x7fff_7fff)).add_wrap(Self::splat(0x8000)).sra::<16>()
    }
    /// Left shifts that normalise a 16-bit value: 0 for 0, 15 for -1.
    #[inline(always)]
    fn norm_s(self) -> Self {
        let places = self.xor(self.sra::<31>()).leading_zeros().sub_wrap(Self::splat(17));
        Self::select(self.eq(Self::zero()), Self::zero(), places)
    }
    /// Left shifts that normalise a 32-bit value: 0 for 0, 31 for -1.
    #[inline(always)]
    fn norm_l(self) -> Self {
        let places = self.xor(self.sra::<31>()).leading_zeros().sub_wrap(Self::splat(1));
        Self::select(self.eq(Self::zero()), Self::zero(), places)
    }
    /// Splits into the double precision format: value = `high * 2^16 + low * 2`, the last bit is lost.
    #[inline(always)]
    fn l_extract(self) -> (Self, Self) {
        (self.sra::<16>(), self.and(Self::splat(0xffff)).srl::<1>())
    }
    /// The 32-bit value of a double precision number.
    #[inline(always)]
    fn l_comp((high, low): (Self, Self)) -> Self {
        high.sll::<16>().l_add(low.add_wrap(low))
    }
    /// Product of two double precision numbers, Q31 x Q31 -> Q31.
    #[inline(always)]
    fn mpy_32((high1, low1): (Self, Self), (high2, low2): (Self, Self)) -> Self {
        // Cross terms are at most 32767 in magnitude, so only the product of two -32768 saturates, and no later sum does.
        let cross = high1.mult(low2).add_wrap(low1.mult(high2));
        high1.l_mult(high2).add_wrap(cross.add_wrap(cross))
    }
    /// Product of a double precision number with a 16-bit one, Q31 x Q15 -> Q31.
    #[inline(always)]
    fn mpy_32_16((high, low): (Self, Self), n: Self) -> Self {
        let cross = low.mult(n);
        high.l_mult(n).add_wrap(cross.add_wrap(cross))
    }
    /// `num / denom` in Q31, for `0 <= num` and a normalised `denom` (high part at least 16384).
    #[inline(always)]
    fn div_32(num: Self, denom: (Self, Self)) -> Self {
        let approx = Self::splat(0x3fff).div_s(denom.0);
        let error = Self::splat(i32::MAX).l_sub(Self::mpy_32_16(denom, approx));
        let inverse = Self::mpy_32_16(error.l_extract(), approx).l_extract();
        Self::mpy_32(num.l_extract(), inverse).l_shl_n::<2>()
    }
    /// The greatest 32-bit value for a lane that is not negative, else the least.
    #[inline(always)]
    fn limit_of_sign(self) -> Self {
        self.sra::<31>().xor(Self::splat(i32::MAX))
    }
}
