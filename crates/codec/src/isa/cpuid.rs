//! What this processor and its operating system support.

use core::arch::x86_64::{__cpuid, __cpuid_count, _xgetbv};

use crate::level::Level;

/// Operating system saves XMM and YMM registers (XCR0 bits 1 and 2).
const XCR0_AVX: u64 = 0b110;
/// And mask and ZMM registers (bits 5 to 7).
const XCR0_AVX512: u64 = XCR0_AVX | 0b1110_0000;

/// The highest level of this processor.
pub(super) fn detect() -> Level {
    if __cpuid(0).eax < 7 {
        return Level::Scalar;
    }
    let osxsave = __cpuid(1).ecx & (1 << 27) != 0;
    if !osxsave {
        return Level::Scalar;
    }
    // SAFETY: CPUID says OSXSAVE, so XGETBV exists and may be used outside the kernel.
    let xcr0 = unsafe { read_xcr0() };
    let leaf7 = __cpuid_count(7, 0);
    let has_ebx = |bits: &[u32]| bits.iter().all(|bit| leaf7.ebx & (1 << bit) != 0);

    const AVX2: u32 = 5;
    const AVX512F: u32 = 16;
    const AVX512DQ: u32 = 17;
    const AVX512CD: u32 = 28;
    const AVX512BW: u32 = 30;
    const AVX512VL: u32 = 31;
    const AVX512VNNI: u32 = 11;

    if xcr0 & XCR0_AVX != XCR0_AVX || !has_ebx(&[AVX2]) {
        Level::Scalar
    } else if xcr0 & XCR0_AVX512 != XCR0_AVX512 || !has_ebx(&[AVX512F, AVX512DQ, AVX512CD, AVX512BW, AVX512VL]) {
        Level::Avx2
    } else if leaf7.ecx & (1 << AVX512VNNI) == 0 {
        Level::Avx512
    } else {
        Level::Avx512Vnni
    }
}

#[target_feature(enable = "xsave")]
fn read_xcr0() -> u64 {
    // SAFETY: register 0 exists wherever XGETBV does, which the caller has seen to.
    unsafe { _xgetbv(0) }
}
