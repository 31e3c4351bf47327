//! A stream gives the same messages however it is cut into reads; the first eight bytes say where.
#![no_main]

#[allow(dead_code)]
#[path = "../../crates/sip/tests/properties/bodies.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let (cuts, stream) = bytes.split_at(bytes.len().min(8));
    bodies::stream(stream, cuts);
});
