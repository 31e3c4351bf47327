//! Any octets decode as G.722 to the same samples at every level, whatever is lost.
#![no_main]

#[allow(dead_code)]
#[path = "../../crates/codec/tests/g722_properties/bodies.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|octets: &[u8]| bodies::decode(octets));
