//! One frame and the room around it.

use core::fmt;

/// One Ethernet frame, received or to be sent, in a buffer with room before (headroom) and behind (tailroom) it.
///
/// ```text
/// |<-- headroom -->|<------ data() ------>|<-- tailroom -->|
///    prepend() <---|---> advance()        |---> set_len()
/// ```
///
/// Dropping the buffer gives it back to the device it came from. It can be moved to another thread, not shared between two.
pub trait PacketBuf: Send {
    /// The frame, from its destination MAC address on, without the frame check sequence.
    fn data(&self) -> &[u8];

    /// The frame, to be changed in place.
    fn data_mut(&mut self) -> &mut [u8];

    /// Length of the frame in octets.
    fn len(&self) -> usize {
        self.data().len()
    }

    /// Whether the frame has no octets, as a fresh one from [`PacketIo::allocate`](crate::PacketIo::allocate) has.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Octets that [`prepend`](Self::prepend) can still add.
    fn headroom(&self) -> usize;

    /// Octets by which [`set_len`](Self::set_len) can still grow the frame.
    fn tailroom(&self) -> usize;

    /// Cuts the frame to `len` octets, or grows it at its end. Octets that come in by growing hold whatever an earlier frame left there:
    /// write them before sending.
    ///
    /// # Errors
    /// [`NoRoom`] when growing needs more than the [`tailroom`](Self::tailroom); the frame is as before.
    fn set_len(&mut self, len: usize) -> Result<(), NoRoom>;

    /// Adds `len` octets before the frame (DPDK's `rte_pktmbuf_prepend`). They hold whatever was there: write them before sending.
    ///
    /// # Errors
    /// [`NoRoom`] when `len` exceeds the [`headroom`](Self::headroom); the frame is as before.
    fn prepend(&mut self, len: usize) -> Result<(), NoRoom>;

    /// Takes `len` octets off the front of the frame (DPDK's `rte_pktmbuf_adj`).
    ///
    /// # Errors
    /// [`NoRoom`] when the frame is shorter than `len`; the frame is as before.
    fn advance(&mut self, len: usize) -> Result<(), NoRoom>;

    /// What the device found out about the checksums of a received frame.
    fn rx_checksum(&self) -> RxChecksum;

    /// Asks the device to fill in the UDP checksum, and over IPv4 the header checksum too, while it sends this frame.
    ///
    /// Call it last, when addresses and lengths are final: `l2_len` octets of link header are followed by `l3_len` octets of IPv4 or IPv6 header
    /// and by UDP. The two checksum fields may hold anything. Only a device whose
    /// [`Capabilities::tx_ip_udp_checksum`](crate::Capabilities::tx_ip_udp_checksum) is set honours the request; for any other the caller
    /// computes both sums itself and does not call this.
    fn request_ip_udp_checksum(&mut self, l2_len: usize, l3_len: usize);
}

/// A device's verdict on one checksum of a received frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ChecksumStatus {
    /// The device did not look: the receiver has to, or has to trust the path.
    #[default]
    Unknown,
    /// Verified and right.
    Good,
    /// Verified and wrong: the frame is to be dropped and counted.
    Bad,
}

/// Verdicts on a received frame's two checksums.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RxChecksum {
    /// The IPv4 header checksum. Over IPv6, which has none, `Unknown` or `Good`.
    pub ip: ChecksumStatus,
    /// The UDP (or TCP) checksum.
    pub l4: ChecksumStatus,
}

impl RxChecksum {
    /// Nobody looked.
    pub const UNKNOWN: Self = Self { ip: ChecksumStatus::Unknown, l4: ChecksumStatus::Unknown };

    /// Whether either sum is known to be wrong.
    #[must_use]
    pub fn is_bad(self) -> bool {
        self.ip == ChecksumStatus::Bad || self.l4 == ChecksumStatus::Bad
    }
}

/// A frame cannot become as long, or as short, as was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoRoom {
    /// Octets asked for.
    pub wanted: usize,
    /// Octets there were.
    pub available: usize,
}

impl fmt::Display for NoRoom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} octets wanted, {} available in the packet buffer", self.wanted, self.available)
    }
}

impl core::error::Error for NoRoom {}
