//! The two clocks of control, read here and nowhere else.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tandem_call::WallClock;
use tandem_contract::Nanos;

/// What the clock shows when the process begins: calls that another node had began before that.
const ORIGIN: Duration = Duration::from_secs(400 * 86_400);

/// Monotonic time, from a point well before the process began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { start: Instant::now() }
    }

    pub(crate) fn now(&self) -> Nanos {
        Nanos(u64::try_from((ORIGIN + self.start.elapsed()).as_nanos()).unwrap_or(u64::MAX))
    }

    /// How long the process has run, in milliseconds.
    pub(crate) fn since_start_ms(&self) -> u128 {
        self.start.elapsed().as_millis()
    }

    /// The same moment as tokio's timers take it.
    pub(crate) fn instant(&self, at: Nanos) -> tokio::time::Instant {
        (self.start + Duration::from_nanos(at.0).saturating_sub(ORIGIN)).into()
    }

    /// What the wall clock says now.
    pub(crate) fn wall(&self) -> WallClock {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        WallClock { at: self.now(), unix_ns: u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX) }
    }
}
