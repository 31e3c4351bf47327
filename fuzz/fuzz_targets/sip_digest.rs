//! Any text as challenge or credentials is refused or read, and lets nobody in.
#![no_main]

#[allow(dead_code)]
#[path = "../../crates/sip/tests/properties/bodies.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bodies::digest(bytes));
