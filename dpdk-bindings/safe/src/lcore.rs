//! Threads that work with packets: pinned to a core, and known to DPDK as an lcore.

use std::marker::PhantomData;
use std::sync::Arc;

use dpdk_sys as c;

use crate::eal::{Eal, Running};
use crate::error::Errno;

/// Why a thread did not become an lcore.
#[derive(Debug, thiserror::Error)]
pub enum LcoreError {
    /// The core is not there, or not this process's to use.
    #[error(
        "cannot pin to core {core}: there is no such core, or this process may not use it (taskset, cgroup cpuset)"
    )]
    Pin {
        /// The core.
        core: usize,
    },
    /// DPDK has no lcore number left, or EAL serves secondary processes.
    #[error("cannot register the thread with DPDK: {errno}")]
    Register {
        /// The error.
        errno: Errno,
    },
}

/// The calling thread's registration with DPDK, which gives it a cache in every mempool (an mbuf costs 6 ns instead of 18). Ends when dropped.
#[derive(Debug)]
pub struct Registered {
    _eal: Arc<Running>,
    /// The registration is the thread's: it must not be dropped on another.
    _not_send: PhantomData<*const ()>,
}

/// Makes the calling thread a worker's: pinned to `core`, then registered. It stays pinned when the registration ends.
///
/// # Errors
/// [`LcoreError`].
#[cold]
pub fn enter(eal: &Eal, core: usize) -> Result<Registered, LcoreError> {
    pin(core)?;
    register(eal)
}

/// Pins the calling thread to one core.
///
/// # Errors
/// [`LcoreError::Pin`].
#[cold]
pub fn pin(core: usize) -> Result<(), LcoreError> {
    if core_affinity::set_for_current(core_affinity::CoreId { id: core }) {
        Ok(())
    } else {
        Err(LcoreError::Pin { core })
    }
}

/// Registers the calling thread. Pin it first: DPDK notes the core.
///
/// # Errors
/// [`LcoreError::Register`].
#[cold]
pub fn register(eal: &Eal) -> Result<Registered, LcoreError> {
    // SAFETY: EAL runs for as long as `eal` is there, and then through the value returned.
    let rc = unsafe { c::rte_thread_register() };
    if rc < 0 {
        return Err(LcoreError::Register { errno: Errno::last() });
    }
    Ok(Registered { _eal: Arc::clone(&eal.0), _not_send: PhantomData })
}

impl Drop for Registered {
    fn drop(&mut self) {
        // SAFETY: this is the thread that registered, as the value is not `Send`.
        unsafe { c::rte_thread_unregister() };
    }
}
