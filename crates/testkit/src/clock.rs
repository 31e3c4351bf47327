use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use tandem_contract::Nanos;

/// A clock that stands still until it is told. Clones show the same time.
#[derive(Clone, Debug, Default)]
pub struct VirtualClock(Arc<AtomicU64>);

impl VirtualClock {
    /// The time now.
    pub fn now(&self) -> Nanos {
        Nanos(self.0.load(Relaxed))
    }

    /// Lets `nanos` nanoseconds pass.
    pub fn advance(&self, nanos: u64) {
        self.0.fetch_add(nanos, Relaxed);
    }
}
