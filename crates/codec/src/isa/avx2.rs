//! Eight lanes.

use core::arch::x86_64::*;

use super::{LaneMask, Lanes};

/// Eight calls.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(super) struct Avx2(__m256i);

/// A lane is set when all its bits are.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(super) struct Mask(__m256i);

/// An intrinsic call that touches no memory.
macro_rules! op {
    ($call:expr) => {
        // SAFETY: a vector of this type exists only under `with_lanes`, after its level was detected, so that the
        // processor has the instruction; it has no other precondition.
        unsafe { $call }
    };
}

#[target_feature(enable = "avx2")]
#[inline(never)]
fn outlined<R>(f: impl FnOnce() -> R) -> R {
    f()
}

impl Avx2 {
    /// Words at `row[0..2 * count]`, `count <= 8`, in the first lanes, zero in the others.
    #[inline(always)]
    fn load_row(row: &[i16], count: usize) -> __m256i {
        let row = &row[..2 * count];
        let mask = Self::first_lanes(count);
        // SAFETY: the slice has `count` words; the masked load touches no others, and needs no alignment.
        unsafe { _mm256_maskload_epi32(row.as_ptr().cast(), mask) }
    }

    #[inline(always)]
    fn store_row(value: __m256i, row: &mut [i16], count: usize) {
        let row = &mut row[..2 * count];
        let mask = Self::first_lanes(count);
        // SAFETY: the slice has `count` words; the masked store touches no others, and needs no alignment.
        unsafe { _mm256_maskstore_epi32(row.as_mut_ptr().cast(), mask, value) }
    }

    #[inline(always)]
    fn first_lanes(count: usize) -> __m256i {
        op!(_mm256_cmpgt_epi32(_mm256_set1_epi32(count as i32), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)))
    }

    /// Transposes an 8 x 8 matrix of words.
    #[inline(always)]
    fn transpose(m: &mut [__m256i; 8]) {
        let mut t = *m;
        for i in 0..4 {
            t[2 * i] = op!(_mm256_unpacklo_epi32(m[2 * i], m[2 * i + 1]));
            t[2 * i + 1] = op!(_mm256_unpackhi_epi32(m[2 * i], m[2 * i + 1]));
        }
        for i in 0..2 {
            m[4 * i] = op!(_mm256_unpacklo_epi64(t[4 * i], t[4 * i + 2]));
            m[4 * i + 1] = op!(_mm256_unpackhi_epi64(t[4 * i], t[4 * i + 2]));
            m[4 * i + 2] = op!(_mm256_unpacklo_epi64(t[4 * i + 1], t[4 * i + 3]));
            m[4 * i + 3] = op!(_mm256_unpackhi_epi64(t[4 * i + 1], t[4 * i + 3]));
        }
        for i in 0..4 {
            t[i] = op!(_mm256_permute2x128_si256::<0x20>(m[i], m[i + 4]));
            t[i + 4] = op!(_mm256_permute2x128_si256::<0x31>(m[i], m[i + 4]));
        }
        *m = t;
    }
}

impl Lanes for Avx2 {
    const N: usize = 8;
    type Mask = Mask;
    type Narrow = __m128i;

    #[inline(always)]
    fn stage<R>(f: impl FnOnce() -> R) -> R {
        op!(outlined(f))
    }

    #[inline(always)]
    fn splat(value: i32) -> Self {
        Self(op!(_mm256_set1_epi32(value)))
    }
    #[inline(always)]
    fn from_array(values: &[i32; 16]) -> Self {
        // SAFETY: the array is longer than the vector; the load needs no alignment.
        Self(unsafe { _mm256_loadu_si256(values.as_ptr().cast()) })
    }
    #[inline(always)]
    fn to_array(self) -> [i32; 16] {
        let mut array = [0; 16];
        // SAFETY: the array is longer than the vector; the store needs no alignment.
        unsafe { _mm256_storeu_si256(array.as_mut_ptr().cast(), self.0) };
        array
    }
    #[inline(always)]
    fn load_pairs(rows: &[&[i16]], out: &mut [Self]) {
        let rows: &[&[i16]; 8] = rows[..8].try_into().expect("eight rows");
        for (block, out) in out.chunks_mut(8).enumerate() {
            let mut m = [op!(_mm256_setzero_si256()); 8];
            for l in 0..8 {
                m[l] = Self::load_row(&rows[l][16 * block..], out.len());
            }
            Self::transpose(&mut m);
            for (out, m) in out.iter_mut().zip(m) {
                *out = Self(m);
            }
        }
    }
    #[inline(always)]
    fn store_pairs(values: &[Self], rows: &mut [&mut [i16]]) {
        for (block, values) in values.chunks(8).enumerate() {
            let mut m = [op!(_mm256_setzero_si256()); 8];
            for (m, value) in m.iter_mut().zip(values) {
                *m = value.0;
            }
            Self::transpose(&mut m);
            for (row, m) in rows.iter_mut().zip(m) {
                Self::store_row(m, &mut row[16 * block..], values.len());
            }
        }
    }
    #[inline(always)]
    fn pick(rows: &[Self], index: Self) -> Self {
        let last = i32::try_from(rows.len() - 1).unwrap_or(i32::MAX >> 4);
        let row = op!(_mm256_min_epu32(index.0, _mm256_set1_epi32(last)));
        let lane = op!(_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
        let word = op!(_mm256_add_epi32(_mm256_slli_epi32::<3>(row), lane));
        // SAFETY: `word` is below 8 times the number of rows, which is how many words they have.
        Self(unsafe { _mm256_i32gather_epi32::<4>(rows.as_ptr().cast(), word) })
    }
    #[inline(always)]
    fn lookup<const M: usize>(table: &[i32; M], index: Self) -> Self {
        let index = op!(_mm256_min_epu32(index.0, _mm256_set1_epi32(M as i32 - 1)));
        // SAFETY: all indices are below M, the scale is that of the elements.
        Self(unsafe { _mm256_i32gather_epi32::<4>(table.as_ptr(), index) })
    }

    #[inline(always)]
    fn add_wrap(self, b: Self) -> Self {
        Self(op!(_mm256_add_epi32(self.0, b.0)))
    }
    #[inline(always)]
    fn sub_wrap(self, b: Self) -> Self {
        Self(op!(_mm256_sub_epi32(self.0, b.0)))
    }
    #[inline(always)]
    fn and(self, b: Self) -> Self {
        Self(op!(_mm256_and_si256(self.0, b.0)))
    }
    #[inline(always)]
    fn or(self, b: Self) -> Self {
        Self(op!(_mm256_or_si256(self.0, b.0)))
    }
    #[inline(always)]
    fn xor(self, b: Self) -> Self {
        Self(op!(_mm256_xor_si256(self.0, b.0)))
    }
    #[inline(always)]
    fn sll<const K: u32>(self) -> Self {
        Self(op!(_mm256_sll_epi32(self.0, _mm_cvtsi32_si128(K as i32))))
    }
    #[inline(always)]
    fn sra<const K: u32>(self) -> Self {
        Self(op!(_mm256_sra_epi32(self.0, _mm_cvtsi32_si128(K as i32))))
    }
    #[inline(always)]
    fn srl<const K: u32>(self) -> Self {
        Self(op!(_mm256_srl_epi32(self.0, _mm_cvtsi32_si128(K as i32))))
    }
    #[inline(always)]
    fn sllv(self, count: Self) -> Self {
        Self(op!(_mm256_sllv_epi32(self.0, count.0)))
    }
    #[inline(always)]
    fn srav(self, count: Self) -> Self {
        Self(op!(_mm256_srav_epi32(self.0, count.0)))
    }
    #[inline(always)]
    fn min(self, b: Self) -> Self {
        Self(op!(_mm256_min_epi32(self.0, b.0)))
    }
    #[inline(always)]
    fn max(self, b: Self) -> Self {
        Self(op!(_mm256_max_epi32(self.0, b.0)))
    }
    #[inline(always)]
    fn leading_zeros(self) -> Self {
        // The exponent of the value as a float. Clearing what follows eight bits below the top one keeps the
        // conversion from rounding up to the next power of two; negative values have no leading zeros at all.
        let value = op!(_mm256_andnot_si256(_mm256_srli_epi32::<8>(self.0), self.0));
        let exponent = Self(op!(_mm256_castps_si256(_mm256_cvtepi32_ps(value)))).srl::<23>();
        let zeros = Self::splat(158).sub_wrap(exponent).min(Self::splat(32));
        Self::select(self.lt(Self::zero()), Self::zero(), zeros)
    }
    #[inline(always)]
    fn mul16(self, b: Self) -> Self {
        // With one upper half cleared, the pairwise product is the product of the lower halves.
        Self(op!(_mm256_madd_epi16(self.0, _mm256_and_si256(b.0, _mm256_set1_epi32(0xffff)))))
    }

    #[inline(always)]
    fn l_add(self, b: Self) -> Self {
        let sum = self.add_wrap(b);
        // Overflow: the sign of the sum differs from that of both operands.
        let over = self.xor(sum).and(b.xor(sum));
        let limit = self.sra::<31>().xor(Self::splat(i32::MAX));
        Self::select(Mask(over.sra::<31>().0), limit, sum)
    }
    #[inline(always)]
    fn l_sub(self, b: Self) -> Self {
        let difference = self.sub_wrap(b);
        // Overflow: operands of different sign, and the difference has not that of the first.
        let over = self.xor(b).and(self.xor(difference));
        let limit = self.sra::<31>().xor(Self::splat(i32::MAX));
        Self::select(Mask(over.sra::<31>().0), limit, difference)
    }
    #[inline(always)]
    fn div_s(self, b: Self) -> Self {
        let valid = self.ge(Self::zero()).and(b.gt(self));
        let b = b.max(Self::splat(1));
        let (a, b_ps) = op!((_mm256_cvtepi32_ps(self.0), _mm256_cvtepi32_ps(b.0)));
        let quotient = op!(_mm256_div_ps(_mm256_mul_ps(a, _mm256_set1_ps(32768.0)), b_ps));
        // Within one of the truth in its domain, and the remainder tells which way.
        let quotient = Self(op!(_mm256_cvttps_epi32(quotient))).clamp(0, 0x7fff);
        let remainder = self.sll::<15>().sub_wrap(quotient.mul16(b));
        let quotient = quotient.add_wrap(remainder.sra::<31>());
        let one = Self::splat(1);
        let quotient = Self::select(remainder.ge(b), quotient.add_wrap(one), quotient);
        Self::select(valid, quotient, Self::splat(0x7fff))
    }

    #[inline(always)]
    fn eq(self, b: Self) -> Mask {
        Mask(op!(_mm256_cmpeq_epi32(self.0, b.0)))
    }
    #[inline(always)]
    fn gt(self, b: Self) -> Mask {
        Mask(op!(_mm256_cmpgt_epi32(self.0, b.0)))
    }
    #[inline(always)]
    fn select(mask: Mask, a: Self, b: Self) -> Self {
        Self(op!(_mm256_blendv_epi8(b.0, a.0, mask.0)))
    }
    #[inline(always)]
    fn mask_from_bits(bits: u32) -> Mask {
        let bit = Self(op!(_mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128)));
        Self::splat(bits as i32).and(bit).eq(bit)
    }

    #[inline(always)]
    fn narrow(self) -> __m128i {
        // Each 128-bit half twice over, then one of each.
        let halves = op!(_mm256_packs_epi32(self.0, self.0));
        op!(_mm256_castsi256_si128(_mm256_permute4x64_epi64::<0b1000>(halves)))
    }
    #[inline(always)]
    fn widen(narrow: __m128i) -> Self {
        Self(op!(_mm256_cvtepi16_epi32(narrow)))
    }
    #[inline(always)]
    fn select_narrow(mask: Mask, a: __m128i, b: __m128i) -> __m128i {
        let mask = Self(mask.0).narrow();
        op!(_mm_blendv_epi8(b, a, mask))
    }

    #[inline(always)]
    fn pair(low: Self, high: Self) -> Self {
        Self(op!(_mm256_blend_epi16::<0xaa>(low.0, _mm256_slli_epi32::<16>(high.0))))
    }
    #[inline(always)]
    fn pair_between(a: Self, b: Self) -> Self {
        let swapped = Self(op!(_mm256_blend_epi16::<0xaa>(b.0, a.0)));
        swapped.sll::<16>().or(swapped.srl::<16>())
    }
    #[inline(always)]
    fn dot2(self, a: Self, b: Self) -> Self {
        Self(op!(_mm256_add_epi32(self.0, _mm256_madd_epi16(a.0, b.0))))
    }
    #[inline(always)]
    fn products(self, b: Self) -> Self {
        Self(op!(_mm256_madd_epi16(self.0, b.0)))
    }
    #[inline(always)]
    fn dot2_positive(self, a: Self, b: Self) -> Self {
        // As unsigned numbers neither the two products nor their sum with a positive accumulator can wrap.
        let sum = op!(_mm256_add_epi32(self.0, _mm256_madd_epi16(a.0, b.0)));
        Self(op!(_mm256_min_epu32(sum, _mm256_set1_epi32(i32::MAX))))
    }
    #[inline(always)]
    fn add_x2(self, b: Self) -> Self {
        Self(op!(_mm256_adds_epi16(self.0, b.0)))
    }
    #[inline(always)]
    fn sub_x2(self, b: Self) -> Self {
        Self(op!(_mm256_subs_epi16(self.0, b.0)))
    }
    #[inline(always)]
    fn mul_high_x2(self, b: Self) -> Self {
        Self(op!(_mm256_mulhi_epi16(self.0, b.0)))
    }
    #[inline(always)]
    fn mul_low_x2(self, b: Self) -> Self {
        Self(op!(_mm256_mullo_epi16(self.0, b.0)))
    }
    #[inline(always)]
    fn mult_r_coef_x2(self, b: Self) -> Self {
        Self(op!(_mm256_mulhrs_epi16(self.0, b.0)))
    }
    #[inline(always)]
    fn sra_x2<const K: u32>(self) -> Self {
        Self(op!(_mm256_sra_epi16(self.0, _mm_cvtsi32_si128(K as i32))))
    }
    #[inline(always)]
    fn sll_x2<const K: u32>(self) -> Self {
        Self(op!(_mm256_sll_epi16(self.0, _mm_cvtsi32_si128(K as i32))))
    }
    #[inline(always)]
    fn max_x2(self, b: Self) -> Self {
        Self(op!(_mm256_max_epi16(self.0, b.0)))
    }
    #[inline(always)]
    fn min_x2(self, b: Self) -> Self {
        Self(op!(_mm256_min_epi16(self.0, b.0)))
    }
}

impl LaneMask for Mask {
    #[inline(always)]
    fn and(self, b: Self) -> Self {
        Self(op!(_mm256_and_si256(self.0, b.0)))
    }
    #[inline(always)]
    fn or(self, b: Self) -> Self {
        Self(op!(_mm256_or_si256(self.0, b.0)))
    }
    #[inline(always)]
    fn not(self) -> Self {
        Self(op!(_mm256_xor_si256(self.0, _mm256_set1_epi32(-1))))
    }
    #[inline(always)]
    fn any(self) -> bool {
        op!(_mm256_movemask_epi8(self.0)) != 0
    }
    #[inline(always)]
    fn bits(self) -> u32 {
        op!(_mm256_movemask_ps(_mm256_castsi256_ps(self.0))) as u32
    }
}
