//! The lane vector: `N` calls side by side, one 32-bit integer each.

/// A vector of [`Lanes::N`] 32-bit lanes.
///
/// Codec code is written once, generic over this trait, and says nothing about the instruction set. A lane holds either
/// * a *word*: an `i32`, or a 16-bit quantity sign-extended to 32 bits (all operators of [`super::BasicOp`]), or
/// * a *pair*: two `i16`, the first in the low half (all methods whose name ends in `_x2`, and [`Lanes::dot2`]).
///
/// Arrays of samples are kept as pairs: half the memory, two multiplications per instruction, and the same 32-bit words
/// that a call's own `[i16]` has in memory, so that filling the lanes is a plain matrix transposition.
///
/// The vector types are private to `isa` and only come into being inside [`super::with_lanes`], after the level was
/// detected: that is the invariant behind every `SAFETY` comment of the implementations.
pub(crate) trait Lanes: Copy + 'static {
    /// Number of lanes: 1, 8 or 16.
    const N: usize;

    /// One truth value per lane.
    type Mask: LaneMask;

    /// 16 bits of each lane: how large tables of words are kept.
    type Narrow: Copy + 'static;

    /// Runs `f` as one function compiled for this instruction set. Wrap each stage of a codec in it, with
    /// `#[inline(always)]` on the closure and on everything it calls: `L::stage(#[inline(always)] || body(x))`.
    fn stage<R>(f: impl FnOnce() -> R) -> R;

    // Loads and stores.

    /// The same value in all lanes.
    fn splat(value: i32) -> Self;
    /// Lane `l` is `values[l]`, for `l < N`.
    fn from_array(values: &[i32; 16]) -> Self;
    /// Lane `l` as element `l`; elements from `N` on are zero.
    fn to_array(self) -> [i32; 16];
    /// Transposes in: pair `k` of row `l` becomes lane `l` of `out[k]`. `N` rows of at least `2 * out.len()` elements.
    fn load_pairs(rows: &[&[i16]], out: &mut [Self]);
    /// Transposes out, the inverse of [`Lanes::load_pairs`]. Fewer than `N` rows leave the other lanes unwritten.
    fn store_pairs(values: &[Self], rows: &mut [&mut [i16]]);
    /// Lane `l` of the row at `index`'s lane `l`: every lane its own row. The index is unsigned and clamped to the last
    /// row; `rows` is not empty.
    fn pick(rows: &[Self], index: Self) -> Self;
    /// `table[index]` per lane. The index is unsigned and clamped to the last element.
    fn lookup<const M: usize>(table: &[i32; M], index: Self) -> Self;

    // Words, wrapping.

    /// `a + b` modulo 2^32.
    fn add_wrap(self, b: Self) -> Self;
    /// `a - b` modulo 2^32.
    fn sub_wrap(self, b: Self) -> Self;
    /// Bitwise and.
    fn and(self, b: Self) -> Self;
    /// Bitwise or.
    fn or(self, b: Self) -> Self;
    /// Bitwise exclusive or.
    fn xor(self, b: Self) -> Self;
    /// `a << K`, `K < 32`; bits fall off.
    fn sll<const K: u32>(self) -> Self;
    /// Arithmetic `a >> K`, `K < 32`.
    fn sra<const K: u32>(self) -> Self;
    /// Logical `a >> K`, `K < 32`.
    fn srl<const K: u32>(self) -> Self;
    /// `a << count` per lane; an (unsigned) count above 31 gives 0.
    fn sllv(self, count: Self) -> Self;
    /// Arithmetic `a >> count` per lane; an (unsigned) count above 31 gives the sign.
    fn srav(self, count: Self) -> Self;
    /// The lesser, signed.
    fn min(self, b: Self) -> Self;
    /// The greater, signed.
    fn max(self, b: Self) -> Self;
    /// Leading zero bits, 32 for 0.
    fn leading_zeros(self) -> Self;
    /// The product of two 16-bit quantities, exact.
    fn mul16(self, b: Self) -> Self;

    // Words, saturating.

    /// ITU-T `L_add`: `a + b` limited to 32 bits.
    fn l_add(self, b: Self) -> Self;
    /// ITU-T `L_sub`: `a - b` limited to 32 bits.
    fn l_sub(self, b: Self) -> Self;
    /// ITU-T `L_mac`: `self + 2ab`, product and sum each limited to 32 bits.
    #[inline(always)]
    fn l_mac(self, a: Self, b: Self) -> Self {
        let product = a.mul16(b);
        let doubled = product.add_wrap(product);
        // Only (-32768)^2 does not fit in 31 bits.
        let limit = Self::splat(i32::MAX);
        self.l_add(Self::select(product.eq(Self::splat(1 << 30)), limit, doubled))
    }
    /// [`Lanes::l_mac`] where not both factors are -32768.
    #[inline(always)]
    fn l_mac_coef(self, a: Self, coef: Self) -> Self {
        let product = a.mul16(coef);
        self.l_add(product.add_wrap(product))
    }
    /// ITU-T `div_s`: `a / b` in Q15 for `0 <= a <= b`, `b > 0`; 32767 outside that domain.
    fn div_s(self, b: Self) -> Self;

    // Compares.

    /// `a == b`.
    fn eq(self, b: Self) -> Self::Mask;
    /// `a > b`, signed.
    fn gt(self, b: Self) -> Self::Mask;
    /// `a` where the mask is set, else `b`.
    fn select(mask: Self::Mask, a: Self, b: Self) -> Self;
    /// The mask whose lane `l` is bit `l` of `bits`.
    fn mask_from_bits(bits: u32) -> Self::Mask;

    // Narrow.

    /// Limits to 16 bits.
    fn narrow(self) -> Self::Narrow;
    /// Sign-extends to words.
    fn widen(narrow: Self::Narrow) -> Self;
    /// `a` where the mask is set, else `b`.
    fn select_narrow(mask: Self::Mask, a: Self::Narrow, b: Self::Narrow) -> Self::Narrow;

    // Pairs.

    /// The pair (`low`, `high`) of two words' low halves.
    fn pair(low: Self, high: Self) -> Self;
    /// The pair (second of `a`, first of `b`): the pairs of a sequence one sample later.
    fn pair_between(a: Self, b: Self) -> Self;
    /// `self + a.0 * b.0 + a.1 * b.1`, wrapping: two unsaturated multiply-accumulates *without* the ITU-T doubling.
    fn dot2(self, a: Self, b: Self) -> Self;
    /// `a.0 * b.0 + a.1 * b.1`, wrapping.
    fn products(self, b: Self) -> Self;
    /// `self + a.0 * b.0 + a.1 * b.1` computed exactly, then limited to 32 bits, where none of the three is negative.
    fn dot2_positive(self, a: Self, b: Self) -> Self;
    /// Both halves `a + b`, limited to 16 bits.
    fn add_x2(self, b: Self) -> Self;
    /// Both halves `a - b`, limited to 16 bits.
    fn sub_x2(self, b: Self) -> Self;
    /// Both halves `(a * b) >> 16`.
    fn mul_high_x2(self, b: Self) -> Self;
    /// Both halves `(a * b)` modulo 2^16.
    fn mul_low_x2(self, b: Self) -> Self;
    /// Both halves ITU-T `mult_r`: `(a * b + 0x4000) >> 15`, where not both factors are -32768.
    fn mult_r_coef_x2(self, b: Self) -> Self;
    /// Both halves arithmetic `a >> K`, `K < 16`.
    fn sra_x2<const K: u32>(self) -> Self;
    /// Both halves `a << K`, `K < 16`; bits fall off.
    fn sll_x2<const K: u32>(self) -> Self;
    /// Both halves, the greater, signed.
    fn max_x2(self, b: Self) -> Self;
    /// Both halves, the lesser, signed.
    fn min_x2(self, b: Self) -> Self;

    // Sums over sequences, here as most levels do them.

    /// `self` and all products of two sequences of pairs, wrapping: [`Lanes::dot2`] over their length.
    #[inline(always)]
    fn dot(self, a: &[Self], b: &[Self]) -> Self {
        let mut sums = [self, Self::zero()];
        for (k, (a, b)) in a.iter().zip(b).enumerate() {
            sums[k % 2] = sums[k % 2].dot2(*a, *b);
        }
        sums[0].add_wrap(sums[1])
    }
    /// [`Lanes::dot`] with constants.
    #[inline(always)]
    fn dot_taps(self, a: &[Self], taps: &[[i16; 2]]) -> Self {
        let mut sum = self;
        for (a, taps) in a.iter().zip(taps) {
            sum = sum.dot2(*a, Self::splat_pair(taps[0], taps[1]));
        }
        sum
    }
    /// The sum of the squares of limited differences, limited.
    #[inline(always)]
    fn square_distance(a: &[Self; 5], b: &[[i16; 2]]) -> Self {
        let mut sum = Self::zero();
        for (a, b) in a.iter().zip(b) {
            sum = sum.dot2_squares(a.sub_x2(Self::splat_pair(b[0], b[1])));
        }
        sum
    }

    /// `self + a.0 * b.0`, wrapping, where `b.1` is zero.
    #[inline(always)]
    fn mac_low(self, a: Self, b: Self) -> Self {
        self.dot2(a, b)
    }
    /// `a.0 * b.0`, where `b.1` is zero.
    #[inline(always)]
    fn mul_low(self, b: Self) -> Self {
        self.products(b)
    }

    // What follows from the above.

    /// [`Lanes::dot2_positive`] of a pair with itself.
    #[inline(always)]
    fn dot2_squares(self, a: Self) -> Self {
        self.dot2_positive(a, a)
    }
    /// All lanes zero.
    #[inline(always)]
    fn zero() -> Self {
        Self::splat(0)
    }
    /// The first of the pair, as a word.
    #[inline(always)]
    fn low(self) -> Self {
        self.sll::<16>().sra::<16>()
    }
    /// The second of the pair, as a word.
    #[inline(always)]
    fn high(self) -> Self {
        self.sra::<16>()
    }
    /// Both halves the same 16-bit constant.
    #[inline(always)]
    fn splat_x2(value: i16) -> Self {
        Self::splat_pair(value, value)
    }
    /// The same pair in all lanes.
    #[inline(always)]
    fn splat_pair(low: i16, high: i16) -> Self {
        Self::splat((i32::from(high) << 16) | (i32::from(low) & 0xffff))
    }
    /// `a < b`, signed.
    #[inline(always)]
    fn lt(self, b: Self) -> Self::Mask {
        b.gt(self)
    }
    /// `a >= b`, signed.
    #[inline(always)]
    fn ge(self, b: Self) -> Self::Mask {
        b.gt(self).not()
    }
    /// `a <= b`, signed.
    #[inline(always)]
    fn le(self, b: Self) -> Self::Mask {
        self.gt(b).not()
    }
    /// Limits to `low..=high`.
    #[inline(always)]
    fn clamp(self, low: i32, high: i32) -> Self {
        self.max(Self::splat(low)).min(Self::splat(high))
    }
}

/// One truth value per lane.
pub(crate) trait LaneMask: Copy + 'static {
    /// Both.
    fn and(self, b: Self) -> Self;
    /// Either.
    fn or(self, b: Self) -> Self;
    /// Inverse.
    fn not(self) -> Self;
    /// Whether any lane is set.
    fn any(self) -> bool;
    /// Lane `l` as bit `l`.
    fn bits(self) -> u32;
}
