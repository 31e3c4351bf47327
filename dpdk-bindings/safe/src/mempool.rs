//! Pools of packet buffers, allocated once.

use std::ffi::CString;
use std::fmt;
use std::ptr::NonNull;
use std::sync::Arc;

use dpdk_sys as c;
use tandem_packet_io::Burst;

use crate::eal::{Eal, Running};
use crate::error::Errno;
use crate::mbuf::Mbuf;

/// What a pool is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MempoolConfig {
    /// Its name, unlike that of any other pool; up to 25 octets.
    pub name: String,
    /// How many mbufs. One less than a power of two wastes least.
    ///
    /// Enough for every descriptor of every queue that receives into it or sends from it, and for what the application holds.
    pub mbufs: u32,
    /// How many mbufs each registered thread keeps to itself (at most 512). Threads that are not registered have none, and pay 18 ns instead of 6 ns
    /// for an mbuf.
    pub cache: u32,
    /// Octets of each mbuf's buffer, headroom of 128 included.
    pub data_room: u16,
    /// Memory of which NUMA node; any if not given.
    pub numa_node: Option<u16>,
}

impl MempoolConfig {
    /// A pool of 2,048-octet mbufs behind 128 octets of headroom, with a cache of 256.
    #[must_use]
    pub fn new(name: &str, mbufs: u32) -> Self {
        Self {
            name: name.to_owned(),
            mbufs,
            cache: 256.min(mbufs * 2 / 3),
            data_room: c::RTE_MBUF_DEFAULT_BUF_SIZE as u16,
            numa_node: None,
        }
    }
}

/// Why there is no pool.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MempoolError {
    /// `rte_pktmbuf_pool_create` failed.
    #[error("no mempool `{name}` of {mbufs} mbufs: {errno}{}", hint(*errno))]
    Create {
        /// Its name.
        name: String,
        /// Its size.
        mbufs: u32,
        /// The error.
        errno: Errno,
    },
    /// The name holds a zero byte.
    #[error("mempool name {0:?} holds a zero byte")]
    ZeroByte(String),
}

fn hint(errno: Errno) -> &'static str {
    match errno {
        Errno::NoMemory | Errno::NoBuffers => ". Give EAL more memory, or the pool fewer mbufs",
        Errno::Invalid => ". The cache may hold 512 mbufs, and two thirds of the pool",
        Errno::Exists => ". Another pool has this name",
        _ => "",
    }
}

/// A pool of mbufs. Cloning makes another handle on the same pool.
///
/// The pool is freed with its last handle, queues that use it being handles too. Mbufs may outlive that: then the pool is freed at the end of EAL.
#[derive(Clone)]
pub struct Mempool(Arc<Owned>);

struct Owned {
    raw: RawPool,
    data_room: u16,
    eal: Arc<Running>,
}

/// A pool without an owner: whoever has it is to see that it is freed once, when full.
pub(crate) struct RawPool {
    pool: NonNull<c::rte_mempool>,
    mbufs: u32,
}

// SAFETY: a mempool may be used from any thread; DPDK synchronises its ring, and its caches are per lcore.
unsafe impl Send for RawPool {}
// SAFETY: as above; no method hands out a Rust reference into the pool.
unsafe impl Sync for RawPool {}

impl Mempool {
    /// Makes a pool.
    ///
    /// # Errors
    /// [`MempoolError`]: no memory, a name used twice, or a cache too large.
    #[cold]
    pub fn new(eal: &Eal, config: &MempoolConfig) -> Result<Self, MempoolError> {
        let name = CString::new(config.name.as_str()).map_err(|_| MempoolError::ZeroByte(config.name.clone()))?;
        let node = config.numa_node.map_or(c::SOCKET_ID_ANY, i32::from);
        // SAFETY: EAL runs for as long as `eal` is there; the name is copied by DPDK; every number is checked there.
        let pool =
            unsafe { c::rte_pktmbuf_pool_create(name.as_ptr(), config.mbufs, config.cache, 0, config.data_room, node) };
        let pool = NonNull::new(pool).ok_or_else(|| MempoolError::Create {
            name: config.name.clone(),
            mbufs: config.mbufs,
            errno: Errno::last(),
        })?;
        let raw = RawPool { pool, mbufs: config.mbufs };
        Ok(Self(Arc::new(Owned { raw, data_room: config.data_room, eal: Arc::clone(&eal.0) })))
    }

    /// An empty mbuf, with its headroom. `None` when the pool is exhausted.
    #[inline]
    #[must_use]
    pub fn allocate(&self) -> Option<Mbuf> {
        // SAFETY: the pool lives as long as this handle.
        let mbuf = unsafe { c::rte_pktmbuf_alloc(self.as_ptr()) };
        // SAFETY: a fresh mbuf is one segment, with one holder.
        NonNull::new(mbuf).map(|mbuf| unsafe { Mbuf::from_raw(mbuf) })
    }

    /// Fills `into` with empty mbufs up to its end, in one call: all that has room, or none when the pool has not as many.
    #[inline]
    pub fn allocate_burst(&self, into: &mut Burst<Mbuf>) {
        let at = into.len();
        let room = into.capacity() - at;
        // SAFETY: `at` is not behind the end of the burst's array.
        let first = unsafe { into.as_mut_ptr().add(at) };
        // SAFETY: the pool lives; `first` has room for `room` pointers, and an `Mbuf` is one.
        if unsafe { c::rte_pktmbuf_alloc_bulk(self.as_ptr(), first.cast(), room as u32) } == 0 {
            // SAFETY: DPDK has written `room` fresh mbufs, each of one segment and with one holder.
            unsafe { into.set_len(at + room) };
        }
    }

    /// How many mbufs the pool has in all.
    #[must_use]
    pub fn capacity(&self) -> u32 {
        self.0.raw.mbufs
    }

    /// Octets that a packet in one of its mbufs may have, behind the usual headroom.
    #[must_use]
    pub fn packet_room(&self) -> u16 {
        self.0.data_room.saturating_sub(c::RTE_PKTMBUF_HEADROOM as u16)
    }

    /// How many mbufs are out: in queues, in bursts, anywhere. Exact only while nothing moves.
    #[must_use]
    pub fn in_use(&self) -> u32 {
        self.0.raw.mbufs - self.0.raw.available()
    }

    /// The pool itself.
    pub(crate) fn as_ptr(&self) -> *mut c::rte_mempool {
        self.0.raw.pool.as_ptr()
    }
}

impl fmt::Debug for Mempool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mempool").field("capacity", &self.capacity()).field("in_use", &self.in_use()).finish()
    }
}

impl RawPool {
    fn available(&self) -> u32 {
        // SAFETY: the pool has not been freed: `free_if_full` takes `self`.
        unsafe { c::rte_mempool_avail_count(self.pool.as_ptr()) }.min(self.mbufs)
    }

    /// Frees the pool if all its mbufs are at home, or hands it back.
    ///
    /// The caller holds the last handle, so that nobody allocates any more. Counting goes over the ring and then the caches, and mbufs that come home
    /// meanwhile are missed by it at worst: a pool that counts as full is full.
    pub(crate) fn free_if_full(self) -> Result<(), Self> {
        if self.available() < self.mbufs {
            return Err(self);
        }
        // SAFETY: no handle and no mbuf is left that could reach the pool.
        unsafe { c::rte_mempool_free(self.pool.as_ptr()) };
        Ok(())
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        let raw = RawPool { pool: self.raw.pool, mbufs: self.raw.mbufs };
        if let Err(not_full) = raw.free_if_full() {
            self.eal.adopt(not_full);
        }
    }
}
