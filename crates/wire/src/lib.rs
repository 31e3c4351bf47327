//! Checked views over Ethernet, ARP, IP, ICMP, UDP, RTP and RTCP bytes.
//!
//! Each protocol is one module with the same three parts:
//!
//! - a *view* (`Udp`, `Rtp`, ...) whose `parse` holds the only bounds checks. It splits its input into fixed-size arrays,
//!   so that what its accessors read is inside by type: after `parse` nothing can fail or panic, whatever the bytes are;
//! - *fields*, a plain struct with a `write` that fills a header of exactly the right size in place;
//! - an error enum that says which rule of the RFC the bytes break.
//!
//! Nothing here allocates, keeps state or knows about sockets.
#![no_std]
#![forbid(unsafe_code)]

pub mod arp;
pub mod checksum;
pub mod demux;
pub mod ethernet;
mod field;
pub mod fragment;
pub mod icmp;
pub mod icmpv6;
pub mod ipv4;
pub mod ipv6;
pub mod mld;
pub mod rss;
pub mod rtcp;
pub mod rtp;
pub mod udp;
pub mod xr;

#[cfg(test)]
extern crate std;
