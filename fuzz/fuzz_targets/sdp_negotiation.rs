//! Any bytes as a peer's session description, offered and answered.
#![no_main]

#[path = "../../crates/sdp/tests/properties/bodies.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bodies::exercise(bytes));
