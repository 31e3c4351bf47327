//! Vectors of 16-bit lanes, one call per lane: what G.722 is written over.
//!
//! [`One`] is the scalar reference; [`Avx2`](super::i16_avx2::Avx2) has 16 lanes, [`Avx512`](super::i16_avx512::Avx512) 32. Each
//! operation is the same integer function of each lane at every width, so that a codec written over [`Lanes16`] gives the same bits at every level.

use crate::level::Level;

/// One row of a transposition buffer: the same word of up to 32 calls.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(crate) struct Row(pub(crate) [i16; 32]);

impl Row {
    pub(crate) const ZERO: Self = Self([0; 32]);
}

/// A table of `N` 16-bit words, in the forms that the instruction sets look up: whole words, and their low and high octets apart.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct Table<const N: usize> {
    pub(crate) words: [i16; N],
    pub(crate) low: [u8; N],
    pub(crate) high: [u8; N],
}

impl<const N: usize> Table<N> {
    pub(crate) const fn new(words: [i16; N]) -> Self {
        let (mut low, mut high) = ([0; N], [0; N]);
        let mut i = 0;
        while i < N {
            [low[i], high[i]] = words[i].to_le_bytes();
            i += 1;
        }
        Self { words, low, high }
    }
}

/// A vector of `LANES` signed 16-bit integers.
///
/// `add_sat`, `sub_sat` clamp to 16 bits, `add`, `sub` wrap. `sar`, `shr`, `shl` are the arithmetic, logical and left shifts. Comparisons give
/// a mask: all ones where true, zero elsewhere.
pub(crate) trait Lanes16: Copy {
    /// Calls per vector.
    const LANES: usize;
    /// Whether a lookup in a 32-word table costs about one instruction, so that a search by lookups beats comparing with every entry.
    const PERMUTES: bool;
    /// Two 16-bit integers per lane.
    type Pair: Copy;
    /// One 32-bit integer per lane.
    type Wide: Copy;

    fn splat(value: i16) -> Self;
    /// The first `LANES` words of a row.
    fn load(row: &Row) -> Self;
    fn store(self, row: &mut Row);

    fn add(self, rhs: Self) -> Self;
    fn sub(self, rhs: Self) -> Self;
    fn add_sat(self, rhs: Self) -> Self;
    fn sub_sat(self, rhs: Self) -> Self;
    fn min(self, rhs: Self) -> Self;
    fn max(self, rhs: Self) -> Self;
    fn and(self, rhs: Self) -> Self;
    fn or(self, rhs: Self) -> Self;
    fn xor(self, rhs: Self) -> Self;
    fn shl<const N: u32>(self) -> Self;
    fn shr<const N: u32>(self) -> Self;
    fn sar<const N: u32>(self) -> Self;
    /// The high halves of the 32-bit products.
    fn mul_high(self, rhs: Self) -> Self;
    /// The high halves of the 32-bit products of the operands taken as unsigned.
    fn mul_high_unsigned(self, rhs: Self) -> Self;
    /// Q15 product, rounded; −32768 by −32768 is not to be asked for.
    fn mul_q15_rounded(self, rhs: Self) -> Self;
    /// The low halves of the products.
    fn mul_low(self, rhs: Self) -> Self;
    fn greater(self, rhs: Self) -> Self;
    fn equal(self, rhs: Self) -> Self;
    /// `self` is a mask: `yes` where it is set, `no` elsewhere.
    fn select(self, yes: Self, no: Self) -> Self;
    /// The table's word at each lane's index, which is 0..=15.
    fn lookup_16(self, table: &Table<16>) -> Self;
    /// The table's word at each lane's index, which is 0..=31.
    fn lookup_32(self, table: &Table<32>) -> Self;
    /// The table's word at each lane's index, which is 0..=63.
    fn lookup_64(self, table: &Table<64>) -> Self;

    /// `self` and `rhs` of each lane side by side.
    fn pair(self, rhs: Self) -> Self::Pair;
    /// The first `2 * LANES` words, each two of which are a lane's pair.
    fn load_pairs(words: &[i16; 64]) -> Self::Pair;
    /// `first * pair.0 + second * pair.1`, exact in 32 bits unless all four are −32768.
    fn dot(pair: Self::Pair, first: i16, second: i16) -> Self::Wide;
    fn wide_add(a: Self::Wide, b: Self::Wide) -> Self::Wide;
    fn wide_sub(a: Self::Wide, b: Self::Wide) -> Self::Wide;
    /// The lanes of what came of pairs that were loaded, in order.
    fn store_wide(wide: Self::Wide, sums: &mut [i32; 32]);
    /// Shifts right arithmetically by `N`, then clamps to 16 bits.
    fn narrow<const N: u32>(wide: Self::Wide) -> Self;

    /// Q15 product, truncated towards minus infinity; −32768 by −32768 clamps. The high half is at most 2^14, so doubling it with
    /// saturation changes exactly that one product.
    #[inline(always)]
    fn mul_q15(self, rhs: Self) -> Self {
        let high = self.mul_high(rhs);
        high.add_sat(high).or(self.mul_low(rhs).shr::<15>())
    }

    /// −1 where the lane is negative, 0 elsewhere.
    #[inline(always)]
    fn sign(self) -> Self {
        self.sar::<15>()
    }

    /// The lane negated (with wrap-around) where `sign` is −1, unchanged where it is 0.
    #[inline(always)]
    fn with_sign(self, sign: Self) -> Self {
        self.xor(sign).sub(sign)
    }

    /// Clamps each lane to `low..=high`.
    #[inline(always)]
    fn clamp_to(self, low: i16, high: i16) -> Self {
        self.max(Self::splat(low)).min(Self::splat(high))
    }
}

/// One lane: the scalar reference.
#[derive(Clone, Copy, Debug)]
pub(crate) struct One(pub(crate) i16);

impl Lanes16 for One {
    const LANES: usize = 1;
    const PERMUTES: bool = true;
    type Pair = (i16, i16);
    type Wide = i32;

    #[inline(always)]
    fn splat(value: i16) -> Self {
        Self(value)
    }
    #[inline(always)]
    fn load(row: &Row) -> Self {
        Self(row.0[0])
    }
    #[inline(always)]
    fn store(self, row: &mut Row) {
        row.0[0] = self.0;
    }
    #[inline(always)]
    fn add(self, rhs: Self) -> Self {
        Self(self.0.wrapping_add(rhs.0))
    }
    #[inline(always)]
    fn sub(self, rhs: Self) -> Self {
        Self(self.0.wrapping_sub(rhs.0))
    }
    #[inline(always)]
    fn add_sat(self, rhs: Self) -> Self {
        Self(self.0.saturating_add(rhs.0))
    }
    #[inline(always)]
    fn sub_sat(self, rhs: Self) -> Self {
        Self(self.0.saturating_sub(rhs.0))
    }
    #[inline(always)]
    fn min(self, rhs: Self) -> Self {
        Self(self.0.min(rhs.0))
    }
    #[inline(always)]
    fn max(self, rhs: Self) -> Self {
        Self(self.0.max(rhs.0))
    }
    #[inline(always)]
    fn and(self, rhs: Self) -> Self {
        Self(self.0 & rhs.0)
    }
    #[inline(always)]
    fn or(self, rhs: Self) -> Self {
        Self(self.0 | rhs.0)
    }
    #[inline(always)]
    fn xor(self, rhs: Self) -> Self {
        Self(self.0 ^ rhs.0)
    }
    #[inline(always)]
    fn shl<const N: u32>(self) -> Self {
        Self(self.0 << N)
    }
    #[inline(always)]
    fn shr<const N: u32>(self) -> Self {
        Self((self.0 as u16 >> N) as i16)
    }
    #[inline(always)]
    fn sar<const N: u32>(self) -> Self {
        Self(self.0 >> N)
    }
    #[inline(always)]
    fn mul_high(self, rhs: Self) -> Self {
        Self(((i32::from(self.0) * i32::from(rhs.0)) >> 16) as i16)
    }
    #[inline(always)]
    fn mul_high_unsigned(self, rhs: Self) -> Self {
        Self(((u32::from(self.0 as u16) * u32::from(rhs.0 as u16)) >> 16) as i16)
    }
    #[inline(always)]
    fn mul_q15_rounded(self, rhs: Self) -> Self {
        Self(((i32::from(self.0) * i32::from(rhs.0) + 0x4000) >> 15) as i16)
    }
    #[inline(always)]
    fn mul_low(self, rhs: Self) -> Self {
        Self(self.0.wrapping_mul(rhs.0))
    }
    #[inline(always)]
    fn mul_q15(self, rhs: Self) -> Self {
        Self(((i32::from(self.0) * i32::from(rhs.0)) >> 15).min(32767) as i16)
    }
    #[inline(always)]
    fn greater(self, rhs: Self) -> Self {
        Self(-i16::from(self.0 > rhs.0))
    }
    #[inline(always)]
    fn equal(self, rhs: Self) -> Self {
        Self(-i16::from(self.0 == rhs.0))
    }
    #[inline(always)]
    fn select(self, yes: Self, no: Self) -> Self {
        if self.0 != 0 { yes } else { no }
    }
    #[inline(always)]
    fn lookup_16(self, table: &Table<16>) -> Self {
        Self(table.words[(self.0 & 15) as usize])
    }
    #[inline(always)]
    fn lookup_32(self, table: &Table<32>) -> Self {
        Self(table.words[(self.0 & 31) as usize])
    }
    #[inline(always)]
    fn lookup_64(self, table: &Table<64>) -> Self {
        Self(table.words[(self.0 & 63) as usize])
    }
    #[inline(always)]
    fn pair(self, rhs: Self) -> (i16, i16) {
        (self.0, rhs.0)
    }
    #[inline(always)]
    fn load_pairs(words: &[i16; 64]) -> (i16, i16) {
        (words[0], words[1])
    }
    #[inline(always)]
    fn store_wide(wide: i32, sums: &mut [i32; 32]) {
        sums[0] = wide;
    }
    #[inline(always)]
    fn dot(pair: (i16, i16), first: i16, second: i16) -> i32 {
        (i32::from(pair.0) * i32::from(first)).wrapping_add(i32::from(pair.1) * i32::from(second))
    }
    #[inline(always)]
    fn wide_add(a: i32, b: i32) -> i32 {
        a.wrapping_add(b)
    }
    #[inline(always)]
    fn wide_sub(a: i32, b: i32) -> i32 {
        a.wrapping_sub(b)
    }
    #[inline(always)]
    fn narrow<const N: u32>(wide: i32) -> Self {
        Self((wide >> N).clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16)
    }
}

/// Something written over 16-bit lanes: a function of the lane vector, which a closure cannot be.
pub(crate) trait Kernel16 {
    /// Runs with vectors of one level. To be `#[inline(always)]`, as everything it calls: the function it is inlined into has the
    /// instruction set enabled.
    fn run<V: Lanes16>(self);
}

/// Runs a kernel at a level, or the highest below it that this machine has.
pub(crate) fn run_kernel<K: Kernel16>(level: Level, kernel: K) {
    match Level::clamped(level) {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512Vnni => {
            // A sum of products becomes one instruction.
            #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512cd,avx512vnni,avx2")]
            fn run<K: Kernel16>(kernel: K) {
                kernel.run::<super::i16_avx512::Avx512>();
            }
            // SAFETY: a clamped level has been detected, and the level includes these features.
            unsafe { run(kernel) }
        }
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => {
            #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512cd,avx2")]
            fn run<K: Kernel16>(kernel: K) {
                kernel.run::<super::i16_avx512::Avx512>();
            }
            // SAFETY: a clamped level has been detected, and the level includes these features.
            unsafe { run(kernel) }
        }
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => {
            #[target_feature(enable = "avx2")]
            fn run<K: Kernel16>(kernel: K) {
                kernel.run::<super::i16_avx2::Avx2>();
            }
            // SAFETY: a clamped level has been detected, and the level includes AVX2.
            unsafe { run(kernel) }
        }
        _ => kernel.run::<One>(),
    }
}

/// Calls that [`run_kernel`] runs in lock-step at a level.
pub(crate) const fn lanes_16(level: Level) -> usize {
    match level {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 | Level::Avx512Vnni => 32,
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => 16,
        _ => 1,
    }
}
