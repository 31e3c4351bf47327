//! How it goes, readable by anyone.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// How the store and the copies fare.
#[derive(Debug, Default)]
pub struct StoreStatus {
    /// The store takes what is written.
    pub(crate) is_up: AtomicBool,
    pub(crate) waiting: AtomicU64,
    pub(crate) written: AtomicU64,
    pub(crate) outages: AtomicU64,
    pub(crate) resyncs: AtomicU64,
    pub(crate) is_following: AtomicBool,
    pub(crate) gaps: AtomicU64,
}

impl StoreStatus {
    /// The store takes what is written.
    pub fn is_up(&self) -> bool {
        self.is_up.load(Relaxed)
    }

    /// Calls and positions that have changed and are not in the store yet.
    pub fn waiting(&self) -> u64 {
        self.waiting.load(Relaxed)
    }

    /// Calls and positions that were written since the start.
    pub fn written(&self) -> u64 {
        self.written.load(Relaxed)
    }

    /// How often the store went away.
    pub fn outages(&self) -> u64 {
        self.outages.load(Relaxed)
    }

    /// How often all was compared with the store.
    pub fn resyncs(&self) -> u64 {
        self.resyncs.load(Relaxed)
    }

    /// The copy of other nodes' calls is kept up.
    pub fn is_following(&self) -> bool {
        self.is_following.load(Relaxed)
    }

    /// How often a publication was missed, and everything was read again.
    pub fn gaps(&self) -> u64 {
        self.gaps.load(Relaxed)
    }
}
