//! One lane: the reference.

use super::{LaneMask, Lanes};

/// One call.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(super) struct Scalar(i32);

impl Scalar {
    #[inline(always)]
    fn halves(self) -> (i16, i16) {
        (self.0 as i16, (self.0 >> 16) as i16)
    }
    #[inline(always)]
    fn join(low: i16, high: i16) -> Self {
        Self((i32::from(high) << 16) | (i32::from(low) & 0xffff))
    }
    /// The samples of pairs; on a little-endian machine the first of each pair comes first.
    #[inline(always)]
    fn samples(pairs: &[Self]) -> &[i16] {
        // SAFETY: a pair is a transparent `i32`, which is as large as two `i16`, and aligned for them.
        unsafe { core::slice::from_raw_parts(pairs.as_ptr().cast(), 2 * pairs.len()) }
    }
    #[inline(always)]
    fn each(self, b: Self, f: impl Fn(i16, i16) -> i16) -> Self {
        let (low, high) = self.halves();
        let (low_b, high_b) = b.halves();
        Self::join(f(low, low_b), f(high, high_b))
    }
}

impl Lanes for Scalar {
    const N: usize = 1;
    type Mask = bool;
    type Narrow = i16;

    #[inline(always)]
    fn stage<R>(f: impl FnOnce() -> R) -> R {
        // Outlined like every other level, so that stages stay visible in a profile.
        #[inline(never)]
        fn outlined<R>(f: impl FnOnce() -> R) -> R {
            f()
        }
        outlined(f)
    }

    #[inline(always)]
    fn splat(value: i32) -> Self {
        Self(value)
    }
    #[inline(always)]
    fn from_array(values: &[i32; 16]) -> Self {
        Self(values[0])
    }
    #[inline(always)]
    fn to_array(self) -> [i32; 16] {
        let mut array = [0; 16];
        array[0] = self.0;
        array
    }
    #[inline(always)]
    fn load_pairs(rows: &[&[i16]], out: &mut [Self]) {
        for (out, pair) in out.iter_mut().zip(rows[0].as_chunks::<2>().0) {
            *out = Self::join(pair[0], pair[1]);
        }
    }
    #[inline(always)]
    fn store_pairs(values: &[Self], rows: &mut [&mut [i16]]) {
        for row in rows.iter_mut().take(1) {
            for (value, pair) in values.iter().zip(row.as_chunks_mut::<2>().0) {
                (pair[0], pair[1]) = value.halves();
            }
        }
    }
    #[inline(always)]
    fn pick(rows: &[Self], index: Self) -> Self {
        rows[(index.0 as u32 as usize).min(rows.len() - 1)]
    }
    #[inline(always)]
    fn lookup<const M: usize>(table: &[i32; M], index: Self) -> Self {
        Self(table[(index.0 as u32 as usize).min(M - 1)])
    }

    #[inline(always)]
    fn add_wrap(self, b: Self) -> Self {
        Self(self.0.wrapping_add(b.0))
    }
    #[inline(always)]
    fn sub_wrap(self, b: Self) -> Self {
        Self(self.0.wrapping_sub(b.0))
    }
    #[inline(always)]
    fn and(self, b: Self) -> Self {
        Self(self.0 & b.0)
    }
    #[inline(always)]
    fn or(self, b: Self) -> Self {
        Self(self.0 | b.0)
    }
    #[inline(always)]
    fn xor(self, b: Self) -> Self {
        Self(self.0 ^ b.0)
    }
    #[inline(always)]
    fn sll<const K: u32>(self) -> Self {
        Self(self.0 << K)
    }
    #[inline(always)]
    fn sra<const K: u32>(self) -> Self {
        Self(self.0 >> K)
    }
    #[inline(always)]
    fn srl<const K: u32>(self) -> Self {
        Self((self.0 as u32 >> K) as i32)
    }
    #[inline(always)]
    fn sllv(self, count: Self) -> Self {
        Self(self.0.checked_shl(count.0 as u32).unwrap_or(0))
    }
    #[inline(always)]
    fn srav(self, count: Self) -> Self {
        Self(self.0 >> (count.0 as u32).min(31))
    }
    #[inline(always)]
    fn min(self, b: Self) -> Self {
        Self(Ord::min(self.0, b.0))
    }
    #[inline(always)]
    fn max(self, b: Self) -> Self {
        Self(Ord::max(self.0, b.0))
    }
    #[inline(always)]
    fn leading_zeros(self) -> Self {
        Self(self.0.leading_zeros() as i32)
    }
    #[inline(always)]
    fn mul16(self, b: Self) -> Self {
        Self(self.0.wrapping_mul(b.0))
    }

    #[inline(always)]
    fn l_add(self, b: Self) -> Self {
        Self(self.0.saturating_add(b.0))
    }
    #[inline(always)]
    fn l_sub(self, b: Self) -> Self {
        Self(self.0.saturating_sub(b.0))
    }
    #[inline(always)]
    fn div_s(self, b: Self) -> Self {
        if self.0 < 0 || self.0 >= b.0 { Self(0x7fff) } else { Self((self.0 << 15) / b.0) }
    }

    #[inline(always)]
    fn eq(self, b: Self) -> bool {
        self.0 == b.0
    }
    #[inline(always)]
    fn gt(self, b: Self) -> bool {
        self.0 > b.0
    }
    #[inline(always)]
    fn select(mask: bool, a: Self, b: Self) -> Self {
        if mask { a } else { b }
    }
    #[inline(always)]
    fn mask_from_bits(bits: u32) -> bool {
        bits & 1 != 0
    }

    #[inline(always)]
    fn narrow(self) -> i16 {
        self.0.clamp(-0x8000, 0x7fff) as i16
    }
    #[inline(always)]
    fn widen(narrow: i16) -> Self {
        Self(i32::from(narrow))
    }
    #[inline(always)]
    fn select_narrow(mask: bool, a: i16, b: i16) -> i16 {
        if mask { a } else { b }
    }

    #[inline(always)]
    fn pair(low: Self, high: Self) -> Self {
        Self((high.0 << 16) | (low.0 & 0xffff))
    }
    #[inline(always)]
    fn pair_between(a: Self, b: Self) -> Self {
        Self((b.0 << 16) | ((a.0 as u32 >> 16) as i32))
    }
    #[inline(always)]
    fn dot2(self, a: Self, b: Self) -> Self {
        let (a, b) = (a.halves(), b.halves());
        let low = i32::from(a.0) * i32::from(b.0);
        let high = i32::from(a.1) * i32::from(b.1);
        Self(self.0.wrapping_add(low).wrapping_add(high))
    }
    #[inline(always)]
    fn products(self, b: Self) -> Self {
        Self(0).dot2(self, b)
    }
    #[inline(always)]
    fn dot2_positive(self, a: Self, b: Self) -> Self {
        let (a, b) = (a.halves(), b.halves());
        let (low, high) = (i32::from(a.0) * i32::from(b.0), i32::from(a.1) * i32::from(b.1));
        Self(self.0.saturating_add(low).saturating_add(high))
    }
    #[inline(always)]
    fn mac_low(self, a: Self, b: Self) -> Self {
        Self(self.0.wrapping_add(a.mul_low(b).0))
    }
    #[inline(always)]
    fn mul_low(self, b: Self) -> Self {
        Self(i32::from(self.0 as i16) * i32::from(b.0 as i16))
    }

    // Over plain slices of samples the compiler finds the multiply-accumulate that even old processors have.
    #[inline(always)]
    fn dot(self, a: &[Self], b: &[Self]) -> Self {
        let products = Self::samples(a).iter().zip(Self::samples(b)).map(|(a, b)| i32::from(*a) * i32::from(*b));
        Self(products.fold(self.0, i32::wrapping_add))
    }
    #[cfg(target_endian = "little")]
    #[inline(always)]
    fn dot_taps(self, a: &[Self], taps: &[[i16; 2]]) -> Self {
        let products = Self::samples(a).iter().zip(taps.as_flattened()).map(|(a, b)| i32::from(*a) * i32::from(*b));
        Self(products.fold(self.0, i32::wrapping_add))
    }
    #[cfg(target_endian = "little")]
    #[inline(always)]
    fn square_distance(a: &[Self; 5], b: &[[i16; 2]]) -> Self {
        let mut differences = [0_i16; 10];
        for (difference, (a, b)) in differences.iter_mut().zip(Self::samples(a).iter().zip(b.as_flattened())) {
            *difference = a.saturating_sub(*b);
        }
        let mut sum = 0_u64;
        for [a, b] in differences.as_chunks().0 {
            // As an unsigned number the sum of two squares does not wrap.
            let squares = (i32::from(*a) * i32::from(*a)).wrapping_add(i32::from(*b) * i32::from(*b)) as u32;
            sum += u64::from(squares);
        }
        Self(sum.min(i32::MAX as u64) as i32)
    }
    #[inline(always)]
    fn add_x2(self, b: Self) -> Self {
        self.each(b, i16::saturating_add)
    }
    #[inline(always)]
    fn sub_x2(self, b: Self) -> Self {
        self.each(b, i16::saturating_sub)
    }
    #[inline(always)]
    fn mul_high_x2(self, b: Self) -> Self {
        self.each(b, |a, b| ((i32::from(a) * i32::from(b)) >> 16) as i16)
    }
    #[inline(always)]
    fn mul_low_x2(self, b: Self) -> Self {
        self.each(b, i16::wrapping_mul)
    }
    #[inline(always)]
    fn mult_r_coef_x2(self, b: Self) -> Self {
        self.each(b, |a, b| ((i32::from(a) * i32::from(b) + 0x4000) >> 15) as i16)
    }
    #[inline(always)]
    fn sra_x2<const K: u32>(self) -> Self {
        self.each(self, |a, _| a >> K)
    }
    #[inline(always)]
    fn sll_x2<const K: u32>(self) -> Self {
        self.each(self, |a, _| a << K)
    }
    #[inline(always)]
    fn max_x2(self, b: Self) -> Self {
        self.each(b, Ord::max)
    }
    #[inline(always)]
    fn min_x2(self, b: Self) -> Self {
        self.each(b, Ord::min)
    }
}

impl LaneMask for bool {
    #[inline(always)]
    fn and(self, b: Self) -> Self {
        self & b
    }
    #[inline(always)]
    fn or(self, b: Self) -> Self {
        self | b
    }
    #[inline(always)]
    fn not(self) -> Self {
        !self
    }
    #[inline(always)]
    fn any(self) -> bool {
        self
    }
    #[inline(always)]
    fn bits(self) -> u32 {
        u32::from(self)
    }
}
