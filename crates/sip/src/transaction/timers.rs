//! How long each timer runs (RFC 3261 table 4).

use core::time::Duration;

use super::table::Timer;

/// The RFC's base values. The defaults are its own; smaller ones are for closed networks and tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimerValues {
    /// Round-trip time estimate: 500 ms.
    pub t1: Duration,
    /// Longest interval between retransmissions: 4 s.
    pub t2: Duration,
    /// How long a message may stay in the network: 5 s.
    pub t4: Duration,
    /// How long an INVITE may ring before it is cancelled: more than 3 min.
    pub timer_c: Duration,
    /// How long the user may take to answer an INVITE before 100 Trying is sent for it: 200 ms.
    pub trying_after: Duration,
}

impl Default for TimerValues {
    fn default() -> Self {
        Self {
            t1: Duration::from_millis(500),
            t2: Duration::from_secs(4),
            t4: Duration::from_secs(5),
            timer_c: Duration::from_secs(185),
            trying_after: Duration::from_millis(200),
        }
    }
}

impl TimerValues {
    /// 64*T1: what B, F, H, J, L, M, the wait after CANCEL and the wait for the ACK of a 2xx have in common.
    pub fn timeout(&self) -> Duration {
        self.t1.saturating_mul(64)
    }

    /// 8*T1: how long a target may say nothing while there is another to try. RFC 3263 leaves it open; after 64*T1 the
    /// caller has long hung up.
    pub fn failover(&self) -> Duration {
        self.t1.saturating_mul(8)
    }

    /// The first interval of `timer`; `None` when it does not run over this kind of transport. Zero fires at once.
    pub fn first(&self, timer: Timer, is_reliable: bool) -> Option<Duration> {
        let wait = |length| Some(if is_reliable { Duration::ZERO } else { length });
        match timer {
            Timer::A | Timer::E | Timer::G => (!is_reliable).then_some(self.t1),
            Timer::B | Timer::F | Timer::H | Timer::L | Timer::M | Timer::Cancelled => Some(self.timeout()),
            Timer::C => Some(self.timer_c),
            // "At least 32 s".
            Timer::D => wait(self.timeout().max(Duration::from_secs(32))),
            Timer::I | Timer::K => wait(self.t4),
            Timer::J => wait(self.timeout()),
            Timer::Trying100 => Some(self.trying_after),
        }
    }

    /// The interval after `interval`: doubled, for E and G no longer than T2.
    pub fn backed_off(&self, timer: Timer, interval: Duration) -> Duration {
        let doubled = interval.saturating_mul(2);
        if matches!(timer, Timer::A) { doubled } else { doubled.min(self.t2) }
    }
}
