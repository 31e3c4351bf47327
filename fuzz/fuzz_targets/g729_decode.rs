//! Any frames of any number of G.729 calls decode alike at every level.
#![no_main]

#[allow(dead_code)]
#[path = "../../crates/codec/tests/g729_decode_properties/bodies.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|octets: &[u8]| bodies::decode(octets));
