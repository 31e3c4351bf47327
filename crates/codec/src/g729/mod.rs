//! ITU-T G.729 Annex A with Annex B: 8 kbit/s, 10 ms frames at 8 kHz, bit-exact.

pub mod bitstream;

#[allow(dead_code)]
mod functions;
#[allow(dead_code)]
mod lsp;
#[allow(dead_code)]
mod tables;
