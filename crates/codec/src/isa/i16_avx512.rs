//! Thirty-two lanes of 16 bits on AVX-512 (F and BW).
//!
//! An [`Avx512`] comes into being only in functions that the level dispatch of this module's parent enters after it has seen AVX-512 F and
//! BW; that is the invariant every `unsafe` block here relies on.

use core::arch::x86_64::*;

use super::i16::{Lanes16, Row, Table};

/// Thirty-two signed 16-bit integers.
#[derive(Clone, Copy)]
pub(crate) struct Avx512(__m512i);

/// A pair of vectors of 32-bit lanes: the low and the high half of each 128-bit block of the 16-bit vector they belong to.
#[derive(Clone, Copy)]
pub(crate) struct Halves(__m512i, __m512i);

/// Calls intrinsics of AVX-512 F and BW on registers.
macro_rules! avx512 {
    ($call:expr) => {
        // SAFETY: values of this type exist only where AVX-512 F and BW have been detected (module documentation).
        unsafe { $call }
    };
}

/// The words `from..from + 32` of a table.
#[inline(always)]
fn block<const N: usize>(table: &Table<N>, from: usize) -> __m512i {
    let words: &[i16; 32] = table.words[from..from + 32].first_chunk().expect("a table is a whole number of 32 words");
    // SAFETY: reads 64 octets from an array of 32 words; AVX-512 as for the rest of the module.
    avx512!(_mm512_loadu_si512(words.as_ptr().cast()))
}

impl Lanes16 for Avx512 {
    const LANES: usize = 32;
    const PERMUTES: bool = true;
    type Pair = Halves;
    type Wide = Halves;

    #[inline(always)]
    fn splat(value: i16) -> Self {
        Self(avx512!(_mm512_set1_epi16(value)))
    }
    #[inline(always)]
    fn load(row: &Row) -> Self {
        // SAFETY: a row is 64 octets and aligned to 64.
        Self(avx512!(_mm512_load_si512((&raw const row.0).cast())))
    }
    #[inline(always)]
    fn store(self, row: &mut Row) {
        // SAFETY: a row is 64 octets and aligned to 64.
        avx512!(_mm512_store_si512((&raw mut row.0).cast(), self.0));
    }
    #[inline(always)]
    fn add(self, rhs: Self) -> Self {
        Self(avx512!(_mm512_add_epi16(self.0, rhs.0)))
    }
    #[inline(always)]
    fn sub(self, rhs: Self) -> Self {
        Self(avx512!(_mm512_sub_epi16(self.0, rhs.0)))
    }
    #[inline(always)]
    fn add_sat(self, rhs: Self) -> Self {
        Self(avx512!(_mm512_adds_epi16(self.0, rhs.0)))
    }
    #[inline(always)]
    fn sub_sat(self, rhs: Self) -> Self {
        Self(avx512!(_mm512_subs_epi16(self.0, rhs.0)))
    }
    #[inline(always)]
    fn min(self, rhs: Self) -> Self {
        Self(avx512!(_mm512_min_epi16(self.0, rhs.0)))
    }
    #[inline(always)]
    fn max(self, rhs: Self) -> Self {
        Self(avx512!(_mm512_max_epi16(self.0, rhs.0)))
    }
    #[inline(always)]
    fn and(self, rhs: Self) -> Self {
        Self(avx512!(_mm512_and_si512(self.0, rhs.0)))
    }
    #[inline(always)]
    fn or(self, rhs: Self) -> Self {
        Self(avx512!(_mm512_or_si512(self.0, rhs.0)))
    }
    #[inline(always)]
    fn xor(self, rhs: Self) -> Self {
        Self(avx512!(_mm512_xor_si512(self.0, rhs.0)))
    }
    #[inline(always)]
    fn shl<const N: u32>(self) -> Self {
        Self(avx512!(_mm512_sll_epi16(self.0, _mm_cvtsi32_si128(N as i32))))
    }
    #[inline(always)]
    fn shr<const N: u32>(self) -> Self {
        Self(avx512!(_mm512_srl_epi16(self.0, _mm_cvtsi32_si128(N as i32))))
    }
    #[inline(always)]
    fn sar<const N: u32>(self) -> Self {
        Self(avx512!(_mm512_sra_epi16(self.0, _mm_cvtsi32_si128(N as i32))))
    }
    #[inline(always)]
    fn mul_high(self, rhs: Self) -> Self {
        Self(avx512!(_mm512_mulhi_epi16(self.0, rhs.0)))
    }
    #[inline(always)]
    fn mul_high_unsigned(self, rhs: Self) -> Self {
        Self(avx512!(_mm512_mulhi_epu16(self.0, rhs.0)))
    }
    #[inline(always)]
    fn mul_q15_rounded(self, rhs: Self) -> Self {
        Self(avx512!(_mm512_mulhrs_epi16(self.0, rhs.0)))
    }
    #[inline(always)]
    fn mul_low(self, rhs: Self) -> Self {
        Self(avx512!(_mm512_mullo_epi16(self.0, rhs.0)))
    }
    #[inline(always)]
    fn greater(self, rhs: Self) -> Self {
        Self(avx512!(_mm512_movm_epi16(_mm512_cmpgt_epi16_mask(self.0, rhs.0))))
    }
    #[inline(always)]
    fn equal(self, rhs: Self) -> Self {
        Self(avx512!(_mm512_movm_epi16(_mm512_cmpeq_epi16_mask(self.0, rhs.0))))
    }
    #[inline(always)]
    fn select(self, yes: Self, no: Self) -> Self {
        Self(avx512!(_mm512_ternarylogic_epi32::<0xca>(self.0, yes.0, no.0)))
    }
    #[inline(always)]
    fn lookup_16(self, table: &Table<16>) -> Self {
        // SAFETY: reads 32 octets from an array of 16 words; AVX-512 as for the rest of the module.
        let words = avx512!(_mm512_broadcast_i64x4(_mm256_loadu_si256(table.words.as_ptr().cast())));
        Self(avx512!(_mm512_permutexvar_epi16(self.0, words)))
    }
    #[inline(always)]
    fn lookup_32(self, table: &Table<32>) -> Self {
        Self(avx512!(_mm512_permutexvar_epi16(self.0, block(table, 0))))
    }
    #[inline(always)]
    fn lookup_64(self, table: &Table<64>) -> Self {
        Self(avx512!(_mm512_permutex2var_epi16(block(table, 0), self.0, block(table, 32))))
    }
    #[inline(always)]
    fn pair(self, rhs: Self) -> Halves {
        avx512!(Halves(_mm512_unpacklo_epi16(self.0, rhs.0), _mm512_unpackhi_epi16(self.0, rhs.0)))
    }
    #[inline(always)]
    fn load_pairs(words: &[i16; 64]) -> Halves {
        let (first, second) = words.split_at(32);
        // SAFETY: each half of the words is 64 octets; AVX-512 as for the rest of the module.
        avx512!(Halves(_mm512_loadu_si512(first.as_ptr().cast()), _mm512_loadu_si512(second.as_ptr().cast())))
    }
    #[inline(always)]
    fn store_wide(wide: Halves, sums: &mut [i32; 32]) {
        let (first, second) = sums.split_at_mut(16);
        // SAFETY: each half of the sums is 64 octets; AVX-512 as for the rest of the module.
        avx512!({
            _mm512_storeu_si512(first.as_mut_ptr().cast(), wide.0);
            _mm512_storeu_si512(second.as_mut_ptr().cast(), wide.1);
        });
    }
    #[inline(always)]
    fn dot(pair: Halves, first: i16, second: i16) -> Halves {
        let taps = (i32::from(second) << 16) | i32::from(first as u16);
        avx512!({
            let taps = _mm512_set1_epi32(taps);
            Halves(_mm512_madd_epi16(pair.0, taps), _mm512_madd_epi16(pair.1, taps))
        })
    }
    #[inline(always)]
    fn wide_add(a: Halves, b: Halves) -> Halves {
        avx512!(Halves(_mm512_add_epi32(a.0, b.0), _mm512_add_epi32(a.1, b.1)))
    }
    #[inline(always)]
    fn wide_sub(a: Halves, b: Halves) -> Halves {
        avx512!(Halves(_mm512_sub_epi32(a.0, b.0), _mm512_sub_epi32(a.1, b.1)))
    }
    #[inline(always)]
    fn narrow<const N: u32>(wide: Halves) -> Self {
        avx512!({
            let count = _mm_cvtsi32_si128(N as i32);
            Self(_mm512_packs_epi32(_mm512_sra_epi32(wide.0, count), _mm512_sra_epi32(wide.1, count)))
        })
    }
}
