//! No sequence of commands, packets and time loses a frame, leaks a buffer or breaks the flow table.
#![no_main]

#[path = "../../crates/media/tests/machine/mod.rs"]
mod machine;

libfuzzer_sys::fuzz_target!(|octets: &[u8]| {
    machine::run(octets);
});
