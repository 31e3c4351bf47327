//! Octets by the slice: plain loops compiled for a level, and maps from octet to octet.

use crate::level::Level;

/// Runs `work`, compiled for the instruction set of `level` (or of the highest below it that this machine has), so that plain loops in it
/// use its vectors. `work` and what it calls are to be `#[inline(always)]`.
#[inline]
pub(crate) fn compiled_for<R>(level: Level, work: impl FnOnce() -> R) -> R {
    match Level::clamped(level) {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 | Level::Avx512Vnni => {
            #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512cd,avx2")]
            fn run<R>(work: impl FnOnce() -> R) -> R {
                work()
            }
            // SAFETY: a clamped level has been detected, and the level includes these features.
            unsafe { run(work) }
        }
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => {
            #[target_feature(enable = "avx2")]
            fn run<R>(work: impl FnOnce() -> R) -> R {
                work()
            }
            // SAFETY: a clamped level has been detected, and the level includes AVX2.
            unsafe { run(work) }
        }
        _ => work(),
    }
}

/// A map from octet to octet that nearly keeps the sign bit: the images of `x` and `x | 0x80` differ by just that bit, but for one block of 16
/// octets below 128 where they differ by more or not at all. Companded speech is like that, and it halves the work of a lookup by shuffles.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct OctetMap {
    whole: [u8; 256],
    /// Where the exceptional block starts.
    block: u8,
    /// For the exceptional block, the image of `x` (below 128) as its difference from the image of `x | 0x80`, bit by bit.
    exceptions: [u8; 16],
}

impl OctetMap {
    /// Panics, at compile time, for a map that is not of the kind.
    pub(crate) const fn new(whole: [u8; 256], block: u8) -> Self {
        let mut exceptions = [0; 16];
        let mut x = 0;
        while x < 128 {
            let difference = whole[x] ^ whole[x | 0x80];
            if x & 0x70 == block as usize {
                exceptions[x & 15] = difference;
            } else {
                assert!(difference == 0x80, "the map does not keep the sign outside of the exceptional block");
            }
            x += 1;
        }
        Self { whole, block, exceptions }
    }

    #[inline(always)]
    pub(crate) fn get(&self, octet: u8) -> u8 {
        self.whole[octet as usize]
    }
}

/// Replaces each octet by its image.
#[inline]
pub(crate) fn map_octets(level: Level, map: &OctetMap, octets: &mut [u8]) {
    let rest = match Level::clamped(level) {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 | Level::Avx512Vnni => {
            // SAFETY: a clamped level has been detected, and these levels include AVX-512 F and BW.
            unsafe { avx512::map_all(map, octets) }
            return;
        }
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => {
            // SAFETY: a clamped level has been detected, and it includes AVX2.
            unsafe { avx2::map_blocks(map, octets) }
        }
        _ => octets,
    };
    for octet in rest {
        *octet = map.get(*octet);
    }
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    use core::arch::x86_64::*;

    use super::OctetMap;

    /// Maps any number of octets.
    ///
    /// The image of the low seven bits is an octet of one of 64 words, which one permutation of words finds for every second octet; two serve
    /// all.
    #[target_feature(enable = "avx512f,avx512bw")]
    pub(super) fn map_all(map: &OctetMap, octets: &mut [u8]) {
        let upper: &[u8; 128] = map.whole.last_chunk().expect("half of the map");
        // SAFETY: reads the first 64 of 128 octets.
        let low_table = unsafe { _mm512_loadu_si512(upper.as_ptr().cast()) };
        // SAFETY: reads the last 64 of 128 octets.
        let high_table = unsafe { _mm512_loadu_si512(upper[64..].as_ptr().cast()) };
        // SAFETY: reads the 16 octets of the array.
        let exceptions = _mm512_broadcast_i32x4(unsafe { _mm_loadu_si128(map.exceptions.as_ptr().cast()) });
        let block = _mm512_set1_epi8(map.block as i8);
        let sign = _mm512_set1_epi8(0x80_u8 as i8);
        let eight = _mm512_set1_epi16(8);
        let low_octets = _mm512_set1_epi16(0xff);
        for chunk in octets.chunks_mut(64) {
            let present = u64::MAX >> (64 - chunk.len());
            // SAFETY: reads no more octets than the chunk has.
            let octets = unsafe { _mm512_maskz_loadu_epi8(present, chunk.as_ptr().cast()) };
            // Only the six lowest bits of an index count; the seventh of the octet's low bits picks the half of the word.
            let even = _mm512_permutex2var_epi16(low_table, _mm512_srli_epi16::<1>(octets), high_table);
            let odd = _mm512_permutex2var_epi16(low_table, _mm512_srli_epi16::<9>(octets), high_table);
            let even_half = _mm512_and_si512(_mm512_slli_epi16::<3>(octets), eight);
            let odd_half = _mm512_and_si512(_mm512_srli_epi16::<5>(octets), eight);
            let even = _mm512_and_si512(_mm512_srlv_epi16(even, even_half), low_octets);
            let odd = _mm512_slli_epi16::<8>(_mm512_srlv_epi16(odd, odd_half));
            let image = _mm512_or_si512(even, odd);
            // Where the octet is below 128, its image differs by the sign bit, or as the exceptions say.
            let below = _mm512_testn_epi8_mask(octets, sign);
            let exceptional =
                _mm512_mask_cmpeq_epi8_mask(below, _mm512_and_si512(octets, _mm512_set1_epi8(0x70)), block);
            let difference = _mm512_mask_shuffle_epi8(sign, exceptional, exceptions, octets);
            let image = _mm512_mask_blend_epi8(below, image, _mm512_xor_si512(image, difference));
            // SAFETY: writes no more octets than the chunk has.
            unsafe { _mm512_mask_storeu_epi8(chunk.as_mut_ptr().cast(), present, image) };
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use core::arch::x86_64::*;

    use super::OctetMap;

    /// Maps as many whole vectors as there are and gives what is left over.
    ///
    /// The image of the low seven bits comes from eight shuffles of 16 octets. For each, the index is offset so that octets of another block
    /// have bit 7 set, for which a shuffle gives zero.
    #[target_feature(enable = "avx2")]
    pub(super) fn map_blocks<'a>(map: &OctetMap, octets: &'a mut [u8]) -> &'a mut [u8] {
        let mut tables = [_mm256_setzero_si256(); 8];
        for (i, table) in tables.iter_mut().enumerate() {
            *table = both_halves(&map.whole, 128 + 16 * i);
        }
        let exceptions = both_halves(&map.exceptions, 0);
        let positive = _mm256_set1_epi8(0x80_u8 as i8);
        let outside = _mm256_set1_epi8(0x70);
        let (vectors, rest) = octets.as_chunks_mut::<32>();
        for vector in vectors {
            // SAFETY: reads the 32 octets of the chunk.
            let octets = unsafe { _mm256_loadu_si256(vector.as_ptr().cast()) };
            let magnitude = _mm256_andnot_si256(positive, octets);
            let negative = _mm256_andnot_si256(octets, positive);
            let block = |start: i8| _mm256_adds_epu8(_mm256_sub_epi8(magnitude, _mm256_set1_epi8(start)), outside);
            let mut image = _mm256_shuffle_epi8(tables[0], block(0));
            for (i, table) in tables.iter().enumerate().skip(1) {
                image = _mm256_or_si256(image, _mm256_shuffle_epi8(*table, block(16 * i as i8)));
            }
            // Where the octet is below 128, its image differs by the sign bit, or as the exceptions say.
            let index = block(map.block as i8);
            let exceptional = _mm256_shuffle_epi8(exceptions, index);
            // Bit 7 of the index is set outside of the block: there the sign bit alone.
            let ordinary = _mm256_and_si256(index, positive);
            let difference = _mm256_or_si256(exceptional, ordinary);
            let below = _mm256_cmpeq_epi8(negative, positive);
            image = _mm256_xor_si256(image, _mm256_and_si256(below, difference));
            // SAFETY: writes the 32 octets of the chunk.
            unsafe { _mm256_storeu_si256(vector.as_mut_ptr().cast(), image) };
        }
        rest
    }

    #[target_feature(enable = "avx2")]
    fn both_halves<const N: usize>(table: &[u8; N], from: usize) -> __m256i {
        let octets: &[u8; 16] = table[from..].first_chunk().expect("16 octets of a table");
        // SAFETY: reads the 16 octets of the array.
        let octets = unsafe { _mm_loadu_si128(octets.as_ptr().cast()) };
        _mm256_broadcastsi128_si256(octets)
    }
}
