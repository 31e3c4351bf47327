//! Any octets are refused as a telephone event (RFC 4733) or read back as written.
#![no_main]

#[allow(dead_code)]
#[path = "../../crates/codec/tests/g722_properties/bodies.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|octets: &[u8]| bodies::telephone_event(octets));
