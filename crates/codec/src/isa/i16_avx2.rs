//! Sixteen lanes of 16 bits on AVX2.
//!
//! An [`Avx2`] comes into being only in functions that the level dispatch of this module's parent enters after it has seen AVX2; that is the
//! invariant every `unsafe` block here relies on.

use core::arch::x86_64::*;

use super::i16::{Lanes16, Row, Table};

/// Sixteen signed 16-bit integers.
#[derive(Clone, Copy)]
pub(crate) struct Avx2(__m256i);

/// A pair of vectors of 32-bit lanes: the low and the high half of each 128-bit block of the 16-bit vector they belong to.
#[derive(Clone, Copy)]
pub(crate) struct Halves(__m256i, __m256i);

/// Calls intrinsics of AVX2 on registers.
macro_rules! avx2 {
    ($call:expr) => {
        // SAFETY: values of this type exist only where AVX2 has been detected (module documentation).
        unsafe { $call }
    };
}

/// Sixteen octets of a table, in both halves of a register.
#[inline(always)]
fn octets<const N: usize>(table: &[u8; N], from: usize) -> __m256i {
    let octets: &[u8; 16] = table[from..from + 16].first_chunk().expect("a table is a whole number of 16 octets");
    // SAFETY: reads 16 octets from an array of 16 octets; AVX2 as for the rest of the module.
    avx2!(_mm256_broadcastsi128_si256(_mm_loadu_si128(octets.as_ptr().cast())))
}

#[inline(always)]
fn lookup_octets(index: __m256i, table: __m256i) -> __m256i {
    avx2!(_mm256_shuffle_epi8(table, index))
}

/// The index octet in the low half of each word; the high half selects nothing and gives zero.
#[inline(always)]
fn low_octet_index(index: __m256i) -> __m256i {
    avx2!(_mm256_or_si256(index, _mm256_set1_epi16(0x8000_u16 as i16)))
}

impl Avx2 {
    /// The words `from..from + 16` of a table, at a prepared index whose low four bits count.
    #[inline(always)]
    fn lookup_block<const N: usize>(index: __m256i, table: &Table<N>, from: usize) -> __m256i {
        let low = lookup_octets(index, octets(&table.low, from));
        let high = lookup_octets(index, octets(&table.high, from));
        avx2!(_mm256_or_si256(low, _mm256_slli_epi16::<8>(high)))
    }
}

impl Lanes16 for Avx2 {
    const LANES: usize = 16;
    const PERMUTES: bool = false;
    type Pair = Halves;
    type Wide = Halves;

    #[inline(always)]
    fn splat(value: i16) -> Self {
        Self(avx2!(_mm256_set1_epi16(value)))
    }
    #[inline(always)]
    fn load(row: &Row) -> Self {
        // SAFETY: a row is 64 octets and aligned to 64.
        Self(avx2!(_mm256_load_si256((&raw const row.0).cast())))
    }
    #[inline(always)]
    fn store(self, row: &mut Row) {
        // SAFETY: a row is 64 octets and aligned to 64.
        avx2!(_mm256_store_si256((&raw mut row.0).cast(), self.0));
    }
    #[inline(always)]
    fn add(self, rhs: Self) -> Self {
        Self(avx2!(_mm256_add_epi16(self.0, rhs.0)))
    }
    #[inline(always)]
    fn sub(self, rhs: Self) -> Self {
        Self(avx2!(_mm256_sub_epi16(self.0, rhs.0)))
    }
    #[inline(always)]
    fn add_sat(self, rhs: Self) -> Self {
        Self(avx2!(_mm256_adds_epi16(self.0, rhs.0)))
    }
    #[inline(always)]
    fn sub_sat(self, rhs: Self) -> Self {
        Self(avx2!(_mm256_subs_epi16(self.0, rhs.0)))
    }
    #[inline(always)]
    fn min(self, rhs: Self) -> Self {
        Self(avx2!(_mm256_min_epi16(self.0, rhs.0)))
    }
    #[inline(always)]
    fn max(self, rhs: Self) -> Self {
        Self(avx2!(_mm256_max_epi16(self.0, rhs.0)))
    }
    #[inline(always)]
    fn and(self, rhs: Self) -> Self {
        Self(avx2!(_mm256_and_si256(self.0, rhs.0)))
    }
    #[inline(always)]
    fn or(self, rhs: Self) -> Self {
        Self(avx2!(_mm256_or_si256(self.0, rhs.0)))
    }
    #[inline(always)]
    fn xor(self, rhs: Self) -> Self {
        Self(avx2!(_mm256_xor_si256(self.0, rhs.0)))
    }
    #[inline(always)]
    fn shl<const N: u32>(self) -> Self {
        Self(avx2!(_mm256_sll_epi16(self.0, _mm_cvtsi32_si128(N as i32))))
    }
    #[inline(always)]
    fn shr<const N: u32>(self) -> Self {
        Self(avx2!(_mm256_srl_epi16(self.0, _mm_cvtsi32_si128(N as i32))))
    }
    #[inline(always)]
    fn sar<const N: u32>(self) -> Self {
        Self(avx2!(_mm256_sra_epi16(self.0, _mm_cvtsi32_si128(N as i32))))
    }
    #[inline(always)]
    fn mul_high(self, rhs: Self) -> Self {
        Self(avx2!(_mm256_mulhi_epi16(self.0, rhs.0)))
    }
    #[inline(always)]
    fn mul_high_unsigned(self, rhs: Self) -> Self {
        Self(avx2!(_mm256_mulhi_epu16(self.0, rhs.0)))
    }
    #[inline(always)]
    fn mul_q15_rounded(self, rhs: Self) -> Self {
        Self(avx2!(_mm256_mulhrs_epi16(self.0, rhs.0)))
    }
    #[inline(always)]
    fn mul_low(self, rhs: Self) -> Self {
        Self(avx2!(_mm256_mullo_epi16(self.0, rhs.0)))
    }
    #[inline(always)]
    fn greater(self, rhs: Self) -> Self {
        Self(avx2!(_mm256_cmpgt_epi16(self.0, rhs.0)))
    }
    #[inline(always)]
    fn equal(self, rhs: Self) -> Self {
        Self(avx2!(_mm256_cmpeq_epi16(self.0, rhs.0)))
    }
    #[inline(always)]
    fn select(self, yes: Self, no: Self) -> Self {
        Self(avx2!(_mm256_blendv_epi8(no.0, yes.0, self.0)))
    }
    #[inline(always)]
    fn lookup_16(self, table: &Table<16>) -> Self {
        Self(Self::lookup_block(low_octet_index(self.0), table, 0))
    }
    #[inline(always)]
    fn lookup_32(self, table: &Table<32>) -> Self {
        let index = low_octet_index(self.0);
        let (first, second) = (Self::lookup_block(index, table, 0), Self::lookup_block(index, table, 16));
        // Bit 4 of the index moved to the sign picks the block.
        self.shl::<11>().sign().select(Self(second), Self(first))
    }
    #[inline(always)]
    fn lookup_64(self, table: &Table<64>) -> Self {
        let index = low_octet_index(self.0);
        let upper = self.shl::<11>().sign();
        let block = |from| Self(Self::lookup_block(index, table, from));
        let low = upper.select(block(16), block(0));
        let high = upper.select(block(48), block(32));
        self.shl::<10>().sign().select(high, low)
    }
    #[inline(always)]
    fn pair(self, rhs: Self) -> Halves {
        avx2!(Halves(_mm256_unpacklo_epi16(self.0, rhs.0), _mm256_unpackhi_epi16(self.0, rhs.0)))
    }
    #[inline(always)]
    fn load_pairs(words: &[i16; 64]) -> Halves {
        let (first, second) = words.split_at(16);
        // SAFETY: reads 32 octets from 16 words and from 48; AVX2 as for the rest of the module.
        avx2!(Halves(_mm256_loadu_si256(first.as_ptr().cast()), _mm256_loadu_si256(second.as_ptr().cast())))
    }
    #[inline(always)]
    fn store_wide(wide: Halves, sums: &mut [i32; 32]) {
        let (first, second) = sums.split_at_mut(8);
        // SAFETY: writes 32 octets to 8 sums and to 24; AVX2 as for the rest of the module.
        avx2!({
            _mm256_storeu_si256(first.as_mut_ptr().cast(), wide.0);
            _mm256_storeu_si256(second.as_mut_ptr().cast(), wide.1);
        });
    }
    #[inline(always)]
    fn dot(pair: Halves, first: i16, second: i16) -> Halves {
        let taps = (i32::from(second) << 16) | i32::from(first as u16);
        avx2!({
            let taps = _mm256_set1_epi32(taps);
            Halves(_mm256_madd_epi16(pair.0, taps), _mm256_madd_epi16(pair.1, taps))
        })
    }
    #[inline(always)]
    fn wide_add(a: Halves, b: Halves) -> Halves {
        avx2!(Halves(_mm256_add_epi32(a.0, b.0), _mm256_add_epi32(a.1, b.1)))
    }
    #[inline(always)]
    fn wide_sub(a: Halves, b: Halves) -> Halves {
        avx2!(Halves(_mm256_sub_epi32(a.0, b.0), _mm256_sub_epi32(a.1, b.1)))
    }
    #[inline(always)]
    fn narrow<const N: u32>(wide: Halves) -> Self {
        avx2!({
            let count = _mm_cvtsi32_si128(N as i32);
            Self(_mm256_packs_epi32(_mm256_sra_epi32(wide.0, count), _mm256_sra_epi32(wide.1, count)))
        })
    }
}
