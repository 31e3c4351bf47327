//! Sixteen lanes, with or without VNNI.

use core::arch::x86_64::*;

use super::{LaneMask, Lanes};

/// Sixteen calls; `VNNI` says whether `vpdpwssd` may be used.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(super) struct Avx512<const VNNI: bool>(__m512i);

/// An intrinsic call that touches no memory.
macro_rules! op {
    ($call:expr) => {
        // SAFETY: a vector of this type exists only under `with_lanes`, after its level was detected, so that the
        // processor has the instruction; it has no other precondition.
        unsafe { $call }
    };
}

#[target_feature(enable = "avx512f,avx512bw,avx512cd,avx512dq,avx512vl,lzcnt,bmi1,bmi2")]
#[inline(never)]
fn outlined_plain<R>(f: impl FnOnce() -> R) -> R {
    f()
}

#[target_feature(enable = "avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx512vnni,lzcnt,bmi1,bmi2")]
#[inline(never)]
fn outlined_vnni<R>(f: impl FnOnce() -> R) -> R {
    f()
}

impl<const VNNI: bool> Avx512<VNNI> {
    /// Words at `row[0..2 * count]`, `count <= 16`, in the first lanes, zero in the others.
    #[inline(always)]
    fn load_row(row: &[i16], count: usize) -> __m512i {
        let row = &row[..2 * count];
        let mask = (((1u32 << count) - 1) & 0xffff) as __mmask16;
        // SAFETY: the slice has `count` words; the masked load touches no others, and needs no alignment.
        unsafe { _mm512_maskz_loadu_epi32(mask, row.as_ptr().cast()) }
    }

    #[inline(always)]
    fn store_row(value: __m512i, row: &mut [i16], count: usize) {
        let row = &mut row[..2 * count];
        let mask = (((1u32 << count) - 1) & 0xffff) as __mmask16;
        // SAFETY: the slice has `count` words; the masked store touches no others, and needs no alignment.
        unsafe { _mm512_mask_storeu_epi32(row.as_mut_ptr().cast(), mask, value) }
    }

    /// The 16 elements of a table from `first` on, zero beyond its end.
    #[inline(always)]
    fn load_table<const M: usize>(table: &[i32; M], first: usize) -> __m512i {
        let rest = &table[first.min(M)..];
        let mask = ((1u64 << rest.len().min(16)) - 1) as __mmask16;
        // SAFETY: the masked load touches the first 16 elements of `rest`, or all if there are fewer.
        unsafe { _mm512_maskz_loadu_epi32(mask, rest.as_ptr()) }
    }

    /// Transposes a 16 x 16 matrix of words.
    #[inline(always)]
    fn transpose(m: &mut [__m512i; 16]) {
        let mut t = *m;
        for i in 0..8 {
            t[2 * i] = op!(_mm512_unpacklo_epi32(m[2 * i], m[2 * i + 1]));
            t[2 * i + 1] = op!(_mm512_unpackhi_epi32(m[2 * i], m[2 * i + 1]));
        }
        for i in 0..4 {
            m[4 * i] = op!(_mm512_unpacklo_epi64(t[4 * i], t[4 * i + 2]));
            m[4 * i + 1] = op!(_mm512_unpackhi_epi64(t[4 * i], t[4 * i + 2]));
            m[4 * i + 2] = op!(_mm512_unpacklo_epi64(t[4 * i + 1], t[4 * i + 3]));
            m[4 * i + 3] = op!(_mm512_unpackhi_epi64(t[4 * i + 1], t[4 * i + 3]));
        }
        // Rows are now right within each 128-bit quarter; quarters of four groups of four rows are left.
        for i in 0..4 {
            let (a, b, c, d) = (m[i], m[i + 4], m[i + 8], m[i + 12]);
            let ab_even = op!(_mm512_shuffle_i32x4::<0x88>(a, b));
            let ab_odd = op!(_mm512_shuffle_i32x4::<0xdd>(a, b));
            let cd_even = op!(_mm512_shuffle_i32x4::<0x88>(c, d));
            let cd_odd = op!(_mm512_shuffle_i32x4::<0xdd>(c, d));
            t[i] = op!(_mm512_shuffle_i32x4::<0x88>(ab_even, cd_even));
            t[i + 4] = op!(_mm512_shuffle_i32x4::<0x88>(ab_odd, cd_odd));
            t[i + 8] = op!(_mm512_shuffle_i32x4::<0xdd>(ab_even, cd_even));
            t[i + 12] = op!(_mm512_shuffle_i32x4::<0xdd>(ab_odd, cd_odd));
        }
        *m = t;
    }
}

impl<const VNNI: bool> Lanes for Avx512<VNNI> {
    const N: usize = 16;
    type Mask = __mmask16;
    type Narrow = __m256i;

    #[inline(always)]
    fn stage<R>(f: impl FnOnce() -> R) -> R {
        if VNNI { op!(outlined_vnni(f)) } else { op!(outlined_plain(f)) }
    }

    #[inline(always)]
    fn splat(value: i32) -> Self {
        Self(op!(_mm512_set1_epi32(value)))
    }
    #[inline(always)]
    fn from_array(values: &[i32; 16]) -> Self {
        // SAFETY: the array is 64 bytes; the load needs no alignment.
        Self(unsafe { _mm512_loadu_si512(values.as_ptr().cast()) })
    }
    #[inline(always)]
    fn to_array(self) -> [i32; 16] {
        let mut array = [0; 16];
        // SAFETY: the array is 64 bytes; the store needs no alignment.
        unsafe { _mm512_storeu_si512(array.as_mut_ptr().cast(), self.0) };
        array
    }
    #[inline(always)]
    fn load_pairs(rows: &[&[i16]], out: &mut [Self]) {
        let rows: &[&[i16]; 16] = rows[..16].try_into().expect("sixteen rows");
        for (block, out) in out.chunks_mut(16).enumerate() {
            let mut m = [op!(_mm512_setzero_si512()); 16];
            for l in 0..16 {
                m[l] = Self::load_row(&rows[l][32 * block..], out.len());
            }
            Self::transpose(&mut m);
            for (out, m) in out.iter_mut().zip(m) {
                *out = Self(m);
            }
        }
    }
    #[inline(always)]
    fn store_pairs(values: &[Self], rows: &mut [&mut [i16]]) {
        for (block, values) in values.chunks(16).enumerate() {
            let mut m = [op!(_mm512_setzero_si512()); 16];
            for (m, value) in m.iter_mut().zip(values) {
                *m = value.0;
            }
            Self::transpose(&mut m);
            for (row, m) in rows.iter_mut().zip(m) {
                Self::store_row(m, &mut row[32 * block..], values.len());
            }
        }
    }
    #[inline(always)]
    fn pick(rows: &[Self], index: Self) -> Self {
        let last = i32::try_from(rows.len() - 1).unwrap_or(i32::MAX >> 4);
        let row = op!(_mm512_min_epu32(index.0, _mm512_set1_epi32(last)));
        let lane = op!(_mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
        let word = op!(_mm512_add_epi32(_mm512_slli_epi32::<4>(row), lane));
        // SAFETY: `word` is below 16 times the number of rows, which is how many words they have.
        Self(unsafe { _mm512_i32gather_epi32::<4>(word, rows.as_ptr().cast()) })
    }
    #[inline(always)]
    fn lookup<const M: usize>(table: &[i32; M], index: Self) -> Self {
        let index = op!(_mm512_min_epu32(index.0, _mm512_set1_epi32(M as i32 - 1)));
        if M > 64 {
            // SAFETY: all indices are below M, the scale is that of the elements.
            return Self(unsafe { _mm512_i32gather_epi32::<4>(index, table.as_ptr().cast()) });
        }
        let part = |i: usize| Self::load_table(table, 16 * i);
        if M <= 16 {
            return Self(op!(_mm512_permutexvar_epi32(index, part(0))));
        }
        let low = op!(_mm512_permutex2var_epi32(part(0), index, part(1)));
        if M <= 32 {
            return Self(low);
        }
        let upper = op!(_mm512_cmpge_epi32_mask(index, _mm512_set1_epi32(32)));
        if M <= 48 {
            return Self(op!(_mm512_mask_permutexvar_epi32(low, upper, index, part(2))));
        }
        let high = op!(_mm512_permutex2var_epi32(part(2), index, part(3)));
        Self(op!(_mm512_mask_mov_epi32(low, upper, high)))
    }

    #[inline(always)]
    fn add_wrap(self, b: Self) -> Self {
        Self(op!(_mm512_add_epi32(self.0, b.0)))
    }
    #[inline(always)]
    fn sub_wrap(self, b: Self) -> Self {
        Self(op!(_mm512_sub_epi32(self.0, b.0)))
    }
    #[inline(always)]
    fn and(self, b: Self) -> Self {
        Self(op!(_mm512_and_si512(self.0, b.0)))
    }
    #[inline(always)]
    fn or(self, b: Self) -> Self {
        Self(op!(_mm512_or_si512(self.0, b.0)))
    }
    #[inline(always)]
    fn xor(self, b: Self) -> Self {
        Self(op!(_mm512_xor_si512(self.0, b.0)))
    }
    #[inline(always)]
    fn sll<const K: u32>(self) -> Self {
        Self(op!(_mm512_slli_epi32::<K>(self.0)))
    }
    #[inline(always)]
    fn sra<const K: u32>(self) -> Self {
        Self(op!(_mm512_srai_epi32::<K>(self.0)))
    }
    #[inline(always)]
    fn srl<const K: u32>(self) -> Self {
        Self(op!(_mm512_srli_epi32::<K>(self.0)))
    }
    #[inline(always)]
    fn sllv(self, count: Self) -> Self {
        Self(op!(_mm512_sllv_epi32(self.0, count.0)))
    }
    #[inline(always)]
    fn srav(self, count: Self) -> Self {
        Self(op!(_mm512_srav_epi32(self.0, count.0)))
    }
    #[inline(always)]
    fn min(self, b: Self) -> Self {
        Self(op!(_mm512_min_epi32(self.0, b.0)))
    }
    #[inline(always)]
    fn max(self, b: Self) -> Self {
        Self(op!(_mm512_max_epi32(self.0, b.0)))
    }
    #[inline(always)]
    fn leading_zeros(self) -> Self {
        Self(op!(_mm512_lzcnt_epi32(self.0)))
    }
    #[inline(always)]
    fn mul16(self, b: Self) -> Self {
        // With one upper half cleared, the pairwise product is the product of the lower halves.
        Self(op!(_mm512_madd_epi16(self.0, _mm512_and_si512(b.0, _mm512_set1_epi32(0xffff)))))
    }

    #[inline(always)]
    fn l_add(self, b: Self) -> Self {
        let sum = self.add_wrap(b);
        // Overflow: the sign of the sum differs from that of both operands: (a ^ s) & (b ^ s).
        let over = op!(_mm512_ternarylogic_epi32::<0x42>(self.0, b.0, sum.0));
        let limit = op!(_mm512_xor_si512(_mm512_srai_epi32::<31>(self.0), _mm512_set1_epi32(i32::MAX)));
        Self(op!(_mm512_mask_mov_epi32(sum.0, _mm512_movepi32_mask(over), limit)))
    }
    #[inline(always)]
    fn l_sub(self, b: Self) -> Self {
        let difference = self.sub_wrap(b);
        // Overflow: operands of different sign, and the difference has not that of the first: (a ^ b) & (a ^ d).
        let over = op!(_mm512_ternarylogic_epi32::<0x18>(self.0, b.0, difference.0));
        let limit = op!(_mm512_xor_si512(_mm512_srai_epi32::<31>(self.0), _mm512_set1_epi32(i32::MAX)));
        Self(op!(_mm512_mask_mov_epi32(difference.0, _mm512_movepi32_mask(over), limit)))
    }
    #[inline(always)]
    fn l_mac_coef(self, a: Self, coef: Self) -> Self {
        if VNNI {
            Self(op!(_mm512_dpwssds_epi32(self.0, Self::pair(a, a).0, Self::pair(coef, coef).0)))
        } else {
            let product = a.mul16(coef);
            self.l_add(product.add_wrap(product))
        }
    }
    #[inline(always)]
    fn div_s(self, b: Self) -> Self {
        let valid = self.ge(Self::zero()) & b.gt(self);
        let b = b.max(Self::splat(1));
        let (a, b_ps) = op!((_mm512_cvtepi32_ps(self.0), _mm512_cvtepi32_ps(b.0)));
        let quotient = op!(_mm512_div_ps(_mm512_mul_ps(a, _mm512_set1_ps(32768.0)), b_ps));
        // Within one of the truth in its domain, and the remainder tells which way.
        let quotient = Self(op!(_mm512_cvttps_epi32(quotient))).clamp(0, 0x7fff);
        let remainder = self.sll::<15>().sub_wrap(quotient.mul16(b));
        let quotient = quotient.add_wrap(remainder.sra::<31>());
        let one = Self::splat(1);
        let quotient = Self::select(remainder.ge(b), quotient.add_wrap(one), quotient);
        Self::select(valid, quotient, Self::splat(0x7fff))
    }

    #[inline(always)]
    fn eq(self, b: Self) -> Self::Mask {
        op!(_mm512_cmpeq_epi32_mask(self.0, b.0))
    }
    #[inline(always)]
    fn gt(self, b: Self) -> Self::Mask {
        op!(_mm512_cmpgt_epi32_mask(self.0, b.0))
    }
    #[inline(always)]
    fn select(mask: Self::Mask, a: Self, b: Self) -> Self {
        Self(op!(_mm512_mask_mov_epi32(b.0, mask, a.0)))
    }
    #[inline(always)]
    fn mask_from_bits(bits: u32) -> Self::Mask {
        bits as __mmask16
    }

    #[inline(always)]
    fn narrow(self) -> __m256i {
        op!(_mm512_cvtsepi32_epi16(self.0))
    }
    #[inline(always)]
    fn widen(narrow: __m256i) -> Self {
        Self(op!(_mm512_cvtepi16_epi32(narrow)))
    }
    #[inline(always)]
    fn select_narrow(mask: Self::Mask, a: __m256i, b: __m256i) -> __m256i {
        op!(_mm256_mask_mov_epi16(b, mask, a))
    }

    #[inline(always)]
    fn pair(low: Self, high: Self) -> Self {
        Self(op!(_mm512_mask_blend_epi16(0xaaaa_aaaa, low.0, _mm512_slli_epi32::<16>(high.0))))
    }
    #[inline(always)]
    fn pair_between(a: Self, b: Self) -> Self {
        Self(op!(_mm512_rol_epi32::<16>(_mm512_mask_blend_epi16(0xaaaa_aaaa, b.0, a.0))))
    }
    #[inline(always)]
    fn dot2(self, a: Self, b: Self) -> Self {
        if VNNI {
            Self(op!(_mm512_dpwssd_epi32(self.0, a.0, b.0)))
        } else {
            Self(op!(_mm512_add_epi32(self.0, _mm512_madd_epi16(a.0, b.0))))
        }
    }
    #[inline(always)]
    fn products(self, b: Self) -> Self {
        Self(op!(_mm512_madd_epi16(self.0, b.0)))
    }
    #[inline(always)]
    fn dot2_positive(self, a: Self, b: Self) -> Self {
        if VNNI {
            Self(op!(_mm512_dpwssds_epi32(self.0, a.0, b.0)))
        } else {
            // As unsigned numbers neither the two products nor their sum with a positive accumulator can wrap.
            let sum = op!(_mm512_add_epi32(self.0, _mm512_madd_epi16(a.0, b.0)));
            Self(op!(_mm512_min_epu32(sum, _mm512_set1_epi32(i32::MAX))))
        }
    }
    #[inline(always)]
    fn add_x2(self, b: Self) -> Self {
        Self(op!(_mm512_adds_epi16(self.0, b.0)))
    }
    #[inline(always)]
    fn sub_x2(self, b: Self) -> Self {
        Self(op!(_mm512_subs_epi16(self.0, b.0)))
    }
    #[inline(always)]
    fn mul_high_x2(self, b: Self) -> Self {
        Self(op!(_mm512_mulhi_epi16(self.0, b.0)))
    }
    #[inline(always)]
    fn mul_low_x2(self, b: Self) -> Self {
        Self(op!(_mm512_mullo_epi16(self.0, b.0)))
    }
    #[inline(always)]
    fn mult_r_coef_x2(self, b: Self) -> Self {
        Self(op!(_mm512_mulhrs_epi16(self.0, b.0)))
    }
    #[inline(always)]
    fn sra_x2<const K: u32>(self) -> Self {
        Self(op!(_mm512_srai_epi16::<K>(self.0)))
    }
    #[inline(always)]
    fn sll_x2<const K: u32>(self) -> Self {
        Self(op!(_mm512_slli_epi16::<K>(self.0)))
    }
    #[inline(always)]
    fn max_x2(self, b: Self) -> Self {
        Self(op!(_mm512_max_epi16(self.0, b.0)))
    }
    #[inline(always)]
    fn min_x2(self, b: Self) -> Self {
        Self(op!(_mm512_min_epi16(self.0, b.0)))
    }
}

impl LaneMask for __mmask16 {
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
        self != 0
    }
    #[inline(always)]
    fn bits(self) -> u32 {
        u32::from(self)
    }
}
