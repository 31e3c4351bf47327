//! The `tandem` binary: wiring only.
fn main() {}
