//! Bit-exact speech codecs, one call per lane.
//!
//! Every codec is written once over a lane vector and runs one call (the scalar reference), eight or sixteen calls in
//! lock-step; [`Level`] says which. A call's state is one plain block without pointers, so that any calls can share a
//! batch, and so that a call can move to another machine.
#![no_std]
#![cfg_attr(test, allow(clippy::unwrap_used))]

#[cfg(test)]
extern crate std;

pub mod audio_level;
pub mod cn;
pub mod dtmf;
pub mod g711;
pub mod g722;
pub mod g729;
mod isa;
mod level;
pub mod resample;
pub mod transcode;

pub use level::Level;
