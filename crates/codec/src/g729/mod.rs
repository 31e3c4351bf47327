//! ITU-T G.729 Annex A with Annex B: 8 kbit/s, 10 ms frames at 8 kHz, bit-exact.

mod adaptive_codebook;
pub mod bitstream;
mod cng;
mod comfort_noise;
mod decoder;
mod encoder;
mod filter;
mod functions;
mod gain;
mod lsp;
mod random;
mod rows;
mod sid;
mod tables;

pub use decoder::{DecodeJob, Decoder, decode_batch};
pub use encoder::{EncodeJob, Encoder, encode_batch};

/// Samples of a frame: 10 ms at 8 kHz.
pub const FRAME_SAMPLES: usize = 80;

/// Samples of a subframe.
const SUBFRAME_SAMPLES: usize = 40;

/// A frame in pairs.
const FRAME_PAIRS: usize = FRAME_SAMPLES / 2;
