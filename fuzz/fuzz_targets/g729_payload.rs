//! Any octets are refused as a G.729 payload or split into frames that hold all of them.
#![no_main]

#[allow(dead_code)]
#[path = "../../crates/codec/tests/g729_decode_properties/bodies.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|octets: &[u8]| bodies::payload(octets));
