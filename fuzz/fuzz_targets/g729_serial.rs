//! Any octets are read as a serial file of G.729 up to their first damage.
#![no_main]

#[allow(dead_code)]
#[path = "../../crates/codec/tests/g729_decode_properties/bodies.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|octets: &[u8]| bodies::serial(octets));
