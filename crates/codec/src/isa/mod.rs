//! Lane vectors and the choice between them: the only place of this crate with `unsafe`.
//!
//! [`with_lanes`] turns a [`Level`] into a vector type; [`Lanes`] is what codec code may do with it; [`BasicOp`] are the
//! ITU-T operators on top. One file per instruction set.

mod basic_op;
pub(crate) mod i16;
mod lanes;
pub(crate) mod octets;
mod scalar;
pub(crate) mod transpose;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod cpuid;
#[cfg(target_arch = "x86_64")]
mod i16_avx2;
#[cfg(target_arch = "x86_64")]
mod i16_avx512;

#[cfg(test)]
mod tests;

/// A closure that is always inlined, like every function that works on lanes: what is not inlined into a stage is not
/// compiled for its instruction set, and each of its vector operations becomes a call.
macro_rules! always {
    ($($closure:tt)*) => {
        $crate::isa::inlined(#[inline(always)] $($closure)*)
    };
}
pub(crate) use always;

/// For [`always!`], as only an argument can have an attribute.
#[inline(always)]
pub(crate) fn inlined<F>(closure: F) -> F {
    closure
}

/// [`core::array::from_fn`], always inlined.
#[inline(always)]
pub(crate) fn each<T: Copy, const N: usize>(mut value: impl FnMut(usize) -> T) -> [T; N] {
    let mut values = [const { core::mem::MaybeUninit::<T>::uninit() }; N];
    for (i, slot) in values.iter_mut().enumerate() {
        slot.write(value(i));
    }
    // SAFETY: the loop has written every element, and `MaybeUninit<T>` has the size and alignment of `T`.
    unsafe { core::mem::transmute_copy(&values) }
}

pub(crate) use basic_op::BasicOp;
pub(crate) use lanes::{LaneMask, Lanes};

use crate::level::Level;

/// Work that is generic over the lane vector.
pub(crate) trait WithLanes {
    /// What it gives.
    type Output;
    /// Does it on vectors of type `L`.
    fn run<L: Lanes>(self) -> Self::Output;
}

/// Runs `work` on the lanes of `level`, or of the highest level this machine has, whichever is lower.
pub(crate) fn with_lanes<W: WithLanes>(level: Level, work: W) -> W::Output {
    match Level::clamped(level) {
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => work.run::<avx2::Avx2>(),
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => work.run::<avx512::Avx512<false>>(),
        #[cfg(target_arch = "x86_64")]
        Level::Avx512Vnni => work.run::<avx512::Avx512<true>>(),
        _ => work.run::<scalar::Scalar>(),
    }
}

/// The highest level of this processor.
#[cfg(target_arch = "x86_64")]
pub(crate) fn detect() -> Level {
    cpuid::detect()
}

/// The highest level of this processor.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn detect() -> Level {
    Level::Scalar
}
