//! Any octets as heartbeats, with a tag that is right and without one, to a machine whose time goes on.
#![no_main]

#[allow(dead_code)]
#[path = "../../crates/cluster/tests/properties/bodies.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|octets: &[u8]| bodies::any_octets(octets));
