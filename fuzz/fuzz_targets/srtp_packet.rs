//! Any octets are refused as an SRTP and as an SRTCP packet of every suite, and left as they came.
#![no_main]

#[path = "../../crates/srtp/tests/any_octets/mod.rs"]
mod any_octets;

libfuzzer_sys::fuzz_target!(|octets: &[u8]| any_octets::are_refused(octets));
