//! The packet buffer.

use std::fmt;
use std::ptr::NonNull;

use dpdk_sys as c;
use dpdk_sys::mbuf as field;
use tandem_packet_io::{ChecksumStatus, NoRoom, PacketBuf, RxChecksum};

/// One packet in one mbuf of one segment, which nobody else holds. Dropping it gives it back to its pool, on whatever thread.
///
/// The invariant behind every `unsafe` below: the pointer is an initialised mbuf that came out of a pool or a queue, has one segment, and belongs to
/// this value alone; its pool stays mapped while it is out (see [`Mempool`](crate::mempool::Mempool)); and
/// `data_off + data_len <= buf_len` holds, as DPDK promises for what it hands out and as every method here keeps up.
///
/// It is no larger than a pointer, so that an array of them is what DPDK takes for a burst.
#[repr(transparent)]
pub struct Mbuf(NonNull<c::rte_mbuf>);

// SAFETY: the value is the only holder of the mbuf, and a mempool takes mbufs back from any thread. (It is not `Sync`, as nobody needs that.)
unsafe impl Send for Mbuf {}

impl Mbuf {
    /// Takes an mbuf over.
    ///
    /// # Safety
    /// The invariant of the type holds, and the caller gives its hold up.
    #[inline(always)]
    pub(crate) unsafe fn from_raw(mbuf: NonNull<c::rte_mbuf>) -> Self {
        Self(mbuf)
    }

    #[inline(always)]
    fn as_ptr(&self) -> *mut c::rte_mbuf {
        self.0.as_ptr()
    }

    /// How many segments the packet has. A queue drops what has more than one before anyone sees it.
    #[inline(always)]
    pub(crate) fn segments(&self) -> u16 {
        // SAFETY: the type's invariant, all of it but the number of segments.
        unsafe { field::nb_segs(self.as_ptr()) }
    }

    /// Has the core fetch the first cache line of the packet.
    #[inline(always)]
    pub(crate) fn prefetch(&self) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a prefetch is a hint and never faults.
        unsafe {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            _mm_prefetch::<_MM_HINT_T0>(self.data_ptr().cast());
        }
    }

    #[inline(always)]
    fn data_off(&self) -> u16 {
        // SAFETY: the type's invariant.
        unsafe { field::data_off(self.as_ptr()) }
    }

    #[inline(always)]
    fn data_len(&self) -> u16 {
        // SAFETY: the type's invariant.
        unsafe { field::data_len(self.as_ptr()) }
    }

    #[inline(always)]
    fn buf_len(&self) -> u16 {
        // SAFETY: the type's invariant.
        unsafe { field::buf_len(self.as_ptr()) }
    }

    #[inline(always)]
    fn ol_flags(&self) -> u64 {
        // SAFETY: the type's invariant.
        unsafe { field::ol_flags(self.as_ptr()) }
    }

    /// The first octet of the packet.
    #[inline(always)]
    fn data_ptr(&self) -> *mut u8 {
        // SAFETY: the type's invariant.
        let start = unsafe { field::buf_addr(self.as_ptr()) };
        // SAFETY: `data_off <= buf_len` by the type's invariant, so the address stays within the buffer.
        unsafe { start.add(usize::from(self.data_off())) }
    }

    /// Makes `data_off..data_off + len` the packet.
    #[inline(always)]
    fn set_extent(&mut self, data_off: u16, len: u16) {
        debug_assert!(data_off + len <= self.buf_len());
        let mbuf = self.as_ptr();
        // SAFETY: the type's invariant; the callers have checked the new extent against the buffer.
        unsafe { field::set_data_off(mbuf, data_off) };
        // SAFETY: as above.
        unsafe { field::set_data_len(mbuf, len) };
        // SAFETY: as above; one segment is the whole packet.
        unsafe { field::set_pkt_len(mbuf, u32::from(len)) };
    }
}

impl PacketBuf for Mbuf {
    #[inline(always)]
    fn data(&self) -> &[u8] {
        // SAFETY: the extent lies within the buffer; it came from the operating system filled with zeros, so every octet has a value; and `&self`
        // keeps everybody from writing.
        unsafe { std::slice::from_raw_parts(self.data_ptr(), self.len()) }
    }

    #[inline(always)]
    fn data_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `data`, and `&mut self` keeps everybody else out.
        unsafe { std::slice::from_raw_parts_mut(self.data_ptr(), self.len()) }
    }

    #[inline(always)]
    fn len(&self) -> usize {
        usize::from(self.data_len())
    }

    #[inline]
    fn headroom(&self) -> usize {
        usize::from(self.data_off())
    }

    #[inline]
    fn tailroom(&self) -> usize {
        usize::from(self.buf_len() - self.data_off() - self.data_len())
    }

    #[inline]
    fn set_len(&mut self, len: usize) -> Result<(), NoRoom> {
        let off = self.data_off();
        let available = self.buf_len() - off;
        match u16::try_from(len) {
            Ok(len) if len <= available => {
                self.set_extent(off, len);
                Ok(())
            }
            _ => {
                let there = self.len();
                Err(NoRoom { wanted: len - there, available: usize::from(available) - there })
            }
        }
    }

    #[inline]
    fn prepend(&mut self, len: usize) -> Result<(), NoRoom> {
        let off = self.data_off();
        match u16::try_from(len) {
            Ok(len) if len <= off => {
                self.set_extent(off - len, self.data_len() + len);
                Ok(())
            }
            _ => Err(NoRoom { wanted: len, available: usize::from(off) }),
        }
    }

    #[inline]
    fn advance(&mut self, len: usize) -> Result<(), NoRoom> {
        let there = self.data_len();
        match u16::try_from(len) {
            Ok(len) if len <= there => {
                self.set_extent(self.data_off() + len, there - len);
                Ok(())
            }
            _ => Err(NoRoom { wanted: len, available: usize::from(there) }),
        }
    }

    #[inline]
    fn rx_checksum(&self) -> RxChecksum {
        let flags = self.ol_flags();
        // Neither bit: unknown. Both: the device knows that the sum is wrong in the packet, but vouches for the data.
        let status = |good: u64, bad: u64| match (flags & good != 0, flags & bad != 0) {
            (false, false) => ChecksumStatus::Unknown,
            (true, _) => ChecksumStatus::Good,
            (false, true) => ChecksumStatus::Bad,
        };
        RxChecksum {
            ip: status(c::RTE_MBUF_F_RX_IP_CKSUM_GOOD.into(), c::RTE_MBUF_F_RX_IP_CKSUM_BAD.into()),
            l4: status(c::RTE_MBUF_F_RX_L4_CKSUM_GOOD.into(), c::RTE_MBUF_F_RX_L4_CKSUM_BAD.into()),
        }
    }

    #[inline]
    fn request_ip_udp_checksum(&mut self, l2_len: usize, l3_len: usize) {
        let Some(flags) = prepare_ip_udp_checksum(self.data_mut(), l2_len, l3_len) else {
            debug_assert!(false, "no IP header of {l3_len} octets and UDP behind {l2_len} octets");
            return;
        };
        let lengths = l2_len as u64 | (l3_len as u64) << c::RTE_MBUF_L2_LEN_BITS;
        let flags = self.ol_flags() | flags;
        // SAFETY: the type's invariant.
        unsafe { field::set_ol_flags(self.as_ptr(), flags) };
        // SAFETY: the type's invariant.
        unsafe { field::set_tx_offload(self.as_ptr(), lengths) };
    }
}

/// Puts into the checksum fields what a NIC expects to find there: zero in the IPv4 header, in UDP the sum over the pseudo header (RFC 768, RFC 8200
/// section 8.1). Returns the offload flags, or `None` if there are no such headers.
fn prepare_ip_udp_checksum(frame: &mut [u8], l2_len: usize, l3_len: usize) -> Option<u64> {
    let ip = frame.get_mut(l2_len..).filter(|_| l2_len < 1 << c::RTE_MBUF_L2_LEN_BITS)?;
    if ip.len() < l3_len + 8 || l3_len >= 1 << c::RTE_MBUF_L3_LEN_BITS {
        return None;
    }
    let (header, udp) = ip.split_at_mut(l3_len);
    let (addresses, flags) = match header.first()? >> 4 {
        4 if l3_len >= 20 => {
            header[10..12].fill(0);
            (&header[12..20], c::RTE_MBUF_F_TX_IPV4 | c::RTE_MBUF_F_TX_IP_CKSUM | c::RTE_MBUF_F_TX_UDP_CKSUM)
        }
        6 if l3_len >= 40 => (&header[8..40], c::RTE_MBUF_F_TX_IPV6 | c::RTE_MBUF_F_TX_UDP_CKSUM),
        _ => return None,
    };
    const UDP: u32 = 17;
    let udp_len = u32::from(u16::from_be_bytes([udp[4], udp[5]]));
    let words = addresses.chunks_exact(2).map(|w| u32::from(u16::from_be_bytes([w[0], w[1]])));
    let mut sum = words.sum::<u32>() + UDP + udp_len;
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    udp[6..8].copy_from_slice(&(sum as u16).to_be_bytes());
    Some(flags)
}

impl Drop for Mbuf {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: the type's invariant: this is the only holder, and the pool is still there.
        unsafe { c::rte_pktmbuf_free(self.as_ptr()) };
    }
}

impl fmt::Debug for Mbuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mbuf").field("headroom", &self.headroom()).field("len", &self.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 1071 over a whole UDP datagram with its pseudo header in the checksum field: what the NIC computes.
    fn fold(octets: &[u8]) -> u16 {
        let mut sum: u32 =
            octets.chunks(2).map(|w| u32::from(u16::from_be_bytes([w[0], *w.get(1).unwrap_or(&0)]))).sum();
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        !(sum as u16)
    }

    #[test]
    fn pseudo_header_sum_makes_the_nic_s_sum_come_out_right_over_ipv4() {
        // 10.0.0.1:4000 -> 10.0.0.2:5000, "abc"; the checksum of this datagram is 0x0dcb, as computed by hand from RFC 768.
        let mut frame = vec![0u8; 14];
        frame.extend([0x45, 0, 0, 31, 0, 1, 0, 0, 64, 17, 0xde, 0xad, 10, 0, 0, 1, 10, 0, 0, 2]);
        frame.extend([0x0f, 0xa0, 0x13, 0x88, 0, 11, 0xbe, 0xef, b'a', b'b', b'c']);
        let flags = prepare_ip_udp_checksum(&mut frame, 14, 20).unwrap();
        assert_eq!(flags, c::RTE_MBUF_F_TX_IPV4 | c::RTE_MBUF_F_TX_IP_CKSUM | c::RTE_MBUF_F_TX_UDP_CKSUM);
        assert_eq!(frame[24..26], [0, 0]);
        let by_hand: u32 = 0x0a00 + 0x0001 + 0x0a00 + 0x0002 + 17 + 11 + 0x0fa0 + 0x1388 + 11 + 0x6162 + 0x6300;
        assert_eq!(fold(&frame[34..]), !(((by_hand & 0xffff) + (by_hand >> 16)) as u16));
    }

    #[test]
    fn ipv6_has_no_header_checksum_to_ask_for() {
        let mut frame = vec![0u8; 14 + 40 + 8];
        frame[14] = 0x60;
        frame[14 + 8..14 + 40].fill(0xff);
        frame[14 + 40 + 5] = 8;
        let flags = prepare_ip_udp_checksum(&mut frame, 14, 40).unwrap();
        assert_eq!(flags, c::RTE_MBUF_F_TX_IPV6 | c::RTE_MBUF_F_TX_UDP_CKSUM);
        // Sixteen words of ffff add nothing in ones' complement: 17 + 8 is left.
        assert_eq!(frame[14 + 40 + 6..], [0, 25]);
    }

    #[test]
    fn frames_without_the_headers_named_are_left_alone() {
        let mut frame = vec![0x45u8; 14 + 27];
        let before = frame.clone();
        assert_eq!(prepare_ip_udp_checksum(&mut frame, 14, 20), None);
        assert_eq!(prepare_ip_udp_checksum(&mut frame, 99, 20), None);
        assert_eq!(prepare_ip_udp_checksum(&mut frame, 14, 19), None);
        assert_eq!(prepare_ip_udp_checksum(&mut [], 0, 0), None);
        assert_eq!(frame, before);
    }
}
