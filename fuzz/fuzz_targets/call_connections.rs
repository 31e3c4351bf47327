//! Connections in any order: the script of the property test in `crates/call/tests/any_order.rs`.
#![no_main]

#[path = "../../crates/call/tests/support/mod.rs"]
mod support;

libfuzzer_sys::fuzz_target!(|script: &[u8]| support::wires::play(script));
