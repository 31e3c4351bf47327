//! Raw bindings to libdpdk 22.11 to 24.11.
//!
//! Made by bindgen from the installed headers, of which an allow-list stands in `build.rs`. DPDK's inline functions, `rte_eth_rx_burst` among them,
//! are callable through wrappers that bindgen writes and the C compiler compiles: 0.8 ns a call, once per burst. What is needed per packet never goes
//! through a call: [`mbuf`] reads and writes the fields directly.
//!
//! Use the crate `dpdk` instead, which is safe.

#![no_std]

mod bindings {
    #![allow(missing_docs, unreachable_pub, non_camel_case_types, non_snake_case, non_upper_case_globals, unused)]
    #![allow(
        unsafe_op_in_unsafe_fn,
        clippy::all,
        clippy::undocumented_unsafe_blocks,
        clippy::multiple_unsafe_ops_per_block
    )]
    include!(concat!(env!("OUT_DIR"), "/bindings.rs"));
}
pub mod mbuf;

pub use bindings::*;
