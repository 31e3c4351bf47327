//! A ring of mbufs from one thread to another, without locks (`rte_ring`).
//!
//! For a core that receives a packet whose flow lives on another core. One thread has the [`Producer`], one the [`Consumer`].

use std::ffi::CString;
use std::ptr::NonNull;
use std::sync::Arc;

use dpdk_sys as c;
use tandem_packet_io::Burst;

use crate::eal::{Eal, Running};
use crate::error::Errno;
use crate::mbuf::Mbuf;

/// Why there is no ring.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RingError {
    /// `rte_ring_create` failed.
    #[error("no ring `{name}` of {capacity} mbufs: {errno}")]
    Create {
        /// Its name.
        name: String,
        /// Its size.
        capacity: u32,
        /// The error.
        errno: Errno,
    },
    /// The capacity is none, or not a power of two.
    #[error("a ring holds a power of two of mbufs, at least 2: not {0}")]
    Capacity(u32),
    /// The name holds a zero byte.
    #[error("ring name {0:?} holds a zero byte")]
    ZeroByte(String),
}

/// The end that puts in.
#[derive(Debug)]
pub struct Producer(Arc<Owned>);

/// The end that takes out.
#[derive(Debug)]
pub struct Consumer(Arc<Owned>);

#[derive(Debug)]
struct Owned {
    ring: NonNull<c::rte_ring>,
    _eal: Arc<Running>,
}

// SAFETY: the ring's two ends may be used by two threads; each end is one value, whose methods take `&mut self`.
unsafe impl Send for Owned {}
// SAFETY: as above.
unsafe impl Sync for Owned {}

/// Makes a ring with place for `capacity - 1` mbufs, `capacity` being a power of two.
///
/// # Errors
/// [`RingError`].
#[cold]
pub fn channel(eal: &Eal, name: &str, capacity: u32) -> Result<(Producer, Consumer), RingError> {
    if capacity < 2 || !capacity.is_power_of_two() {
        return Err(RingError::Capacity(capacity));
    }
    let c_name = CString::new(name).map_err(|_| RingError::ZeroByte(name.to_owned()))?;
    let flags = c::RING_F_SP_ENQ | c::RING_F_SC_DEQ;
    // SAFETY: EAL runs for as long as `eal` is there; the name is copied.
    let ring = unsafe { c::rte_ring_create(c_name.as_ptr(), capacity, c::SOCKET_ID_ANY, flags) };
    let ring = NonNull::new(ring).ok_or_else(|| RingError::Create {
        name: name.to_owned(),
        capacity,
        errno: Errno::last(),
    })?;
    let owned = Arc::new(Owned { ring, _eal: Arc::clone(&eal.0) });
    Ok((Producer(Arc::clone(&owned)), Consumer(owned)))
}

impl Producer {
    /// Puts mbufs in from the front of `from`, in order. What stays in `from` did not fit.
    #[inline]
    pub fn enqueue(&mut self, from: &mut Burst<Mbuf>) {
        // SAFETY: the ring lives; this is its only producer; a burst is an array of as many pointers as it is long.
        let moved = unsafe {
            c::rte_ring_sp_enqueue_burst(
                self.0.ring.as_ptr(),
                from.as_ptr().cast(),
                from.len() as u32,
                std::ptr::null_mut(),
            )
        };
        // SAFETY: the ring has taken the first `moved` over.
        unsafe { crate::queue::forget_front(from, moved as usize) };
    }
}

impl Consumer {
    /// Takes out what is there and has room in `into`.
    #[inline]
    pub fn dequeue(&mut self, into: &mut Burst<Mbuf>) {
        let at = into.len();
        let room = into.capacity() - at;
        // SAFETY: `at` is not behind the end of the burst's array.
        let first = unsafe { into.as_mut_ptr().add(at) };
        // SAFETY: the ring lives; this is its only consumer; `first` has room for `room` pointers.
        let moved = unsafe {
            c::rte_ring_sc_dequeue_burst(self.0.ring.as_ptr(), first.cast(), room as u32, std::ptr::null_mut())
        };
        // SAFETY: the ring has handed `moved` mbufs over, each put in by a `Producer` as an `Mbuf`.
        unsafe { into.set_len(at + moved as usize) };
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        // Both ends are gone: the last one out empties it.
        let mut rest = Burst::<Mbuf>::new();
        loop {
            // SAFETY: nobody else has the ring any more, so this is its only consumer; the burst is empty and has room for its capacity.
            let moved = unsafe {
                c::rte_ring_sc_dequeue_burst(
                    self.ring.as_ptr(),
                    rest.as_mut_ptr().cast(),
                    rest.capacity() as u32,
                    std::ptr::null_mut(),
                )
            };
            if moved == 0 {
                break;
            }
            // SAFETY: the ring has handed `moved` mbufs over.
            unsafe { rest.set_len(moved as usize) };
            rest.clear();
        }
        // SAFETY: nobody has the ring any more.
        unsafe { c::rte_ring_free(self.ring.as_ptr()) };
    }
}
