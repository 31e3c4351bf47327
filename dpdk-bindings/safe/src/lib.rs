//! DPDK's EAL, mempool, mbuf, port, queue and ring as Rust types.
