//! Constants of ITU-T G.729 Annex A and Annex B, by subject.
//!
//! `Qn` means value / 2^n.

pub(crate) mod gain;
pub(crate) mod high_pass;
pub(crate) mod lp;
pub(crate) mod lsp;
pub(crate) mod math;
pub(crate) mod pitch;
pub(crate) mod sid;
pub(crate) mod vad;
