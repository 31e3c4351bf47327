//! Any datagram is refused or read, and what was read can be viewed, written, read again and answered.
#![no_main]

#[allow(dead_code)]
#[path = "../../crates/sip/tests/properties/bodies.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bodies::message(bytes));
