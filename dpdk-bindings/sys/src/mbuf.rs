//! The fields of an mbuf, read and written in place.
//!
//! `wrapper.h` has the compiler say at which offset each field is, so that these accessors fit every supported release of DPDK.

use crate::bindings as c;
use c::rte_mbuf;

macro_rules! field {
    ($(#[$doc:meta])* $get:ident, $set:ident, $ty:ty, $offset:ident) => {
        $(#[$doc])*
        ///
        /// # Safety
        /// `mbuf` points to an initialised mbuf, and nobody else writes it meanwhile.
        #[inline(always)]
        #[must_use]
        pub unsafe fn $get(mbuf: *const rte_mbuf) -> $ty {
            // SAFETY: the caller vouches for the mbuf; the offset and the type of the field are those of the C struct.
            unsafe { *field_ptr::<$ty>(mbuf.cast_mut(), c::$offset) }
        }

        #[doc = concat!("Sets what [`", stringify!($get), "`] gets.")]
        ///
        /// # Safety
        /// `mbuf` points to an initialised mbuf that is the caller's alone.
        #[inline(always)]
        pub unsafe fn $set(mbuf: *mut rte_mbuf, value: $ty) {
            // SAFETY: the caller vouches for the mbuf; the offset and the type of the field are those of the C struct.
            unsafe { *field_ptr::<$ty>(mbuf, c::$offset) = value }
        }
    };
}

field!(
    /// Start of the buffer, headroom included.
    buf_addr, set_buf_addr, *mut u8, DPDK_MBUF_BUF_ADDR);
field!(
    /// Octets from the start of the buffer to the data: the headroom.
    data_off, set_data_off, u16, DPDK_MBUF_DATA_OFF);
field!(
    /// Holders of this mbuf. Only to be read: others may count at the same time.
    refcnt, set_refcnt, u16, DPDK_MBUF_REFCNT);
field!(
    /// Segments of the packet.
    nb_segs, set_nb_segs, u16, DPDK_MBUF_NB_SEGS);
field!(
    /// Offload flags, `RTE_MBUF_F_*`.
    ol_flags, set_ol_flags, u64, DPDK_MBUF_OL_FLAGS);
field!(
    /// Octets of the packet, over all its segments.
    pkt_len, set_pkt_len, u32, DPDK_MBUF_PKT_LEN);
field!(
    /// Octets in this segment.
    data_len, set_data_len, u16, DPDK_MBUF_DATA_LEN);
field!(
    /// Octets of the buffer, headroom included.
    buf_len, set_buf_len, u16, DPDK_MBUF_BUF_LEN);
field!(
    /// Header lengths for transmit offloads, packed: `l2_len` in the lowest `RTE_MBUF_L2_LEN_BITS`, above it `l3_len`, then others.
    tx_offload, set_tx_offload, u64, DPDK_MBUF_TX_OFFLOAD);

/// The address of a field.
#[inline(always)]
unsafe fn field_ptr<T>(mbuf: *mut rte_mbuf, offset: c::dpdk_mbuf_layout) -> *mut T {
    // SAFETY: the caller passes an mbuf and an offset that C gave for a field of it.
    unsafe { mbuf.byte_add(offset as usize).cast::<T>() }
}

const _: () = {
    assert!(c::DPDK_MBUF_SIZE == 128, "an mbuf is two cache lines, on every release");
    assert!(
        c::RTE_MBUF_L2_LEN_BITS == 7 && c::RTE_MBUF_L3_LEN_BITS == 9,
        "tx_offload is packed as the crate `dpdk` writes it"
    );
};
