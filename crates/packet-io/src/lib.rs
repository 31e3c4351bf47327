//! What a worker asks of a packet device: bursts in, bursts out, buffers.
//!
//! A worker is generic over [`PacketIo`] and so runs unchanged over a DPDK queue, over an in-memory device in a test, and over whatever comes
//! next. The whole contract:
//!
//! 1. [`PacketIo::rx_burst`] appends received frames to a [`Burst`] that the worker owns; it never waits.
//! 2. The worker edits frames in place through [`PacketBuf`], drops those it does not want, moves the others to a second `Burst`.
//! 3. [`PacketIo::tx_burst`] takes frames from the front of that `Burst`. What stays was not sent: the worker counts and drops it, or tries again.
//! 4. Frames that answer nothing (an ARP request, a transcoded packet that needs its own buffer) start with [`PacketIo::allocate`].
//!
//! A buffer belongs to exactly one holder. Dropping it, wherever that happens, gives it back to its device; nothing else has to be called.
//!
//! ```
//! use tandem_packet_io::{Burst, PacketIo};
//!
//! /// Sends every frame back where it came from.
//! fn echo<Io: PacketIo>(io: &mut Io, burst: &mut Burst<Io::Buf>, unsent: &mut u64) {
//!     io.rx_burst(burst);
//!     io.tx_burst(burst);
//!     *unsent += burst.len() as u64;
//!     burst.clear(); // the device has its buffers back
//! }
//! ```

#![no_std]
#![forbid(unsafe_code)]

mod buf;
mod io;
mod several;

pub use buf::{ChecksumStatus, NoRoom, PacketBuf, RxChecksum};
pub use io::{BURST_CAPACITY, Burst, Capabilities, PacketIo};
pub use several::{MAX_DEVICES, Several};
