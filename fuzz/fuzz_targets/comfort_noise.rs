//! Any octets are refused as comfort noise (RFC 3389) or make noise, and go through descriptors of G.729 Annex B as loud as they are.
#![no_main]

#[allow(dead_code)]
#[path = "../../crates/codec/tests/comfort_noise/bodies.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|octets: &[u8]| {
    bodies::comfort_noise(octets);
    bodies::through_descriptors(octets);
});
