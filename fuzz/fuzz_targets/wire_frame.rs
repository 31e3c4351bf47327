//! Any octets are read as a frame, and as each protocol by itself, or refused.
#![no_main]

#[path = "../../crates/wire/tests/any_bytes/mod.rs"]
mod any_bytes;

libfuzzer_sys::fuzz_target!(|octets: &[u8]| any_bytes::read(octets));
