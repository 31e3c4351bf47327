//! Any Identity header is read or refused, and vouches for nobody without a certificate; so is any certificate's list of numbers.
#![no_main]

#[path = "../../crates/stir/tests/properties/bodies.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    bodies::header(bytes);
    bodies::certificate(bytes);
});
