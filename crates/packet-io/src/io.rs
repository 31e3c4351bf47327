//! One receive queue and one send queue of a device, as the worker that owns them sees them.

use arrayvec::ArrayVec;

use crate::PacketBuf;

/// Frames in one burst, at most. 32 is where DPDK's drivers are at their best and a burst's worth of headers still fits in the first level cache.
pub const BURST_CAPACITY: usize = 32;

/// A fixed array of frames that the worker owns and reuses: no allocation per burst.
pub type Burst<B> = ArrayVec<B, BURST_CAPACITY>;

/// One receive and one send queue of a packet device. Exactly one worker owns it, hence `&mut self` everywhere.
///
/// No method waits, allocates from the heap, locks or makes a system call on account of this interface. (A device that lives on the kernel, such as
/// `AF_PACKET`, makes its system calls underneath.)
pub trait PacketIo {
    /// This device's packet buffer.
    type Buf: PacketBuf;

    /// Appends frames that have arrived to `into`, in order of arrival and no more than it has room for.
    fn rx_burst(&mut self, into: &mut Burst<Self::Buf>);

    /// Sends frames from the front of `from`, in order, and takes those it has accepted out of it.
    ///
    /// Frames that remain were not sent, because the send queue is full or the link is down. The caller counts and drops them, or tries again.
    fn tx_burst(&mut self, from: &mut Burst<Self::Buf>);

    /// A buffer to build a frame of one's own in: empty, with headroom, and room for [`Capabilities::mtu`] octets and their link header.
    /// `None` when the pool is exhausted: count it, do without.
    fn allocate(&mut self) -> Option<Self::Buf>;

    /// What the device is and can do. It does not change while the device runs, so ask once.
    fn capabilities(&self) -> Capabilities;
}

/// What a device is and can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// The device's own MAC address.
    pub mac: [u8; 6],
    /// The longest IP packet it carries, in octets, without the link header.
    pub mtu: u16,
    /// [`PacketBuf::rx_checksum`] gives verdicts. When not set, it always says `Unknown`.
    pub rx_ip_udp_checksum: bool,
    /// [`PacketBuf::request_ip_udp_checksum`] is honoured. When not set, the caller computes checksums.
    pub tx_ip_udp_checksum: bool,
}
