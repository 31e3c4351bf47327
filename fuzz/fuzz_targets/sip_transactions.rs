//! Any sequence of messages, user actions and time leaves a transaction layer in which everything has ended.
#![no_main]

#[allow(dead_code)]
#[path = "../../crates/sip/tests/properties/bodies.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|commands: &[u8]| bodies::transactions(commands));
