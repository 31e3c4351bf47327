//! SRTP and SRTCP (RFC 3711, RFC 6188, RFC 7714), in place.
//!
//! A [`Sender`] protects what one leg sends, a [`Receiver`] opens what it gets. Both are built once from a
//! [`MasterKey`] and then neither allocate nor look at a clock: a packet is a byte slice that becomes longer or shorter
//! by its tag. Nothing is decrypted before it is authenticated, and nothing changes state before that either, so that a
//! forged packet costs one tag and is otherwise as if it had never come.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

mod cipher;
mod derivation;
mod gcm;
mod header;
mod mac;
mod receiver;
mod replay;
mod sender;

pub use receiver::{Receiver, UnprotectError};
pub use sender::{Position, ProtectError, Sender};
pub use tandem_contract::{CryptoSuite, MasterKey, MasterKeyError};
