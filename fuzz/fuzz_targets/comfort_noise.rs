//! Any octets are refused as comfort noise (RFC 3389) or make noise.
#![no_main]

#[allow(dead_code)]
#[path = "../../crates/codec/tests/g722_properties/bodies.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|octets: &[u8]| bodies::comfort_noise(octets));
