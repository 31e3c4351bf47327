//! Self-checks: what makes a node give up by itself.

use serde::Serialize;
use tandem_contract::Nanos;

const MS: u64 = 1_000_000;
/// A check that failed must be well for so long before the node counts as fit again: nothing flaps.
const RECOVERY_NS: u64 = 10_000 * MS;

/// What a node looks at in itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// A worker does not poll.
    WorkerStuck,
    /// A media port has no link.
    PortDown,
    /// The instance's packet, bandwidth or connection allowance is exceeded (ENA).
    AllowanceExceeded,
    /// There is no way to the next hop.
    NoRoute,
    /// The node does not keep up with what it has.
    Overload,
}

impl Check {
    /// Every check.
    pub const ALL: [Self; 5] =
        [Self::WorkerStuck, Self::PortDown, Self::AllowanceExceeded, Self::NoRoute, Self::Overload];

    /// Nanoseconds that it may fail without consequence.
    pub const fn patience_ns(self) -> u64 {
        match self {
            Self::WorkerStuck => 100 * MS,
            // Media is away all the while.
            Self::PortDown => 40 * MS,
            Self::NoRoute => 1000 * MS,
            Self::Overload => 10_000 * MS,
            Self::AllowanceExceeded => 30_000 * MS,
        }
    }

    /// Its name in configuration, metrics and logs.
    pub const fn label(self) -> &'static str {
        match self {
            Self::WorkerStuck => "worker_stuck",
            Self::PortDown => "port_down",
            Self::AllowanceExceeded => "allowance_exceeded",
            Self::NoRoute => "no_route",
            Self::Overload => "overload",
        }
    }
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    Well,
    /// Failing since then.
    Failing(Nanos),
    /// It failed for too long, and is well since then.
    Recovering(Nanos),
}

/// How a node's checks stand.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Checks([State; Check::ALL.len()]);

impl Checks {
    pub(crate) fn set(&mut self, now: Nanos, check: Check, failing: bool) {
        let state = &mut self.0[check as usize];
        *state = match (*state, failing) {
            (State::Failing(since), true) => State::Failing(since),
            // It was given up on already: no new patience.
            (State::Recovering(_), true) => State::Failing(Nanos(now.0.saturating_sub(check.patience_ns()))),
            (State::Well, true) => State::Failing(now),
            (State::Failing(since), false) if now.since(since) >= check.patience_ns() => State::Recovering(now),
            (State::Recovering(since), false) => State::Recovering(since),
            (State::Well | State::Failing(_), false) => State::Well,
        };
    }

    /// The checks that make the node unfit.
    pub(crate) fn failing(&self, now: Nanos) -> impl Iterator<Item = Check> + '_ {
        Check::ALL.into_iter().filter(move |check| match self.0[*check as usize] {
            State::Well => false,
            State::Failing(since) => now.since(since) >= check.patience_ns(),
            State::Recovering(since) => now.since(since) < RECOVERY_NS,
        })
    }

    /// When that may change by itself.
    pub(crate) fn deadline(&self, now: Nanos) -> Option<Nanos> {
        let deadlines = Check::ALL.into_iter().filter_map(|check| match self.0[check as usize] {
            State::Well => None,
            State::Failing(since) => Some(since.plus(check.patience_ns())),
            State::Recovering(since) => Some(since.plus(RECOVERY_NS)),
        });
        deadlines.filter(|deadline| *deadline > now).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failing(checks: &Checks, at_ms: u64) -> Vec<Check> {
        checks.failing(Nanos(at_ms * MS)).collect()
    }

    #[test]
    fn a_check_may_fail_for_a_while_and_long_failure_is_forgiven_only_slowly() {
        let mut checks = Checks::default();
        checks.set(Nanos(0), Check::WorkerStuck, true);
        checks.set(Nanos(50 * MS), Check::WorkerStuck, true);
        assert_eq!(failing(&checks, 99), []);
        assert_eq!(checks.deadline(Nanos(50 * MS)), Some(Nanos(100 * MS)));
        assert_eq!(failing(&checks, 100), [Check::WorkerStuck]);
        checks.set(Nanos(200 * MS), Check::WorkerStuck, false);
        assert_eq!(failing(&checks, 10_199), [Check::WorkerStuck]);
        checks.set(Nanos(5000 * MS), Check::WorkerStuck, true);
        checks.set(Nanos(5001 * MS), Check::WorkerStuck, false);
        assert_eq!(failing(&checks, 15_000), [Check::WorkerStuck], "it failed again");
        assert_eq!(failing(&checks, 15_001), []);
    }

    #[test]
    fn a_short_failure_leaves_nothing_behind() {
        let mut checks = Checks::default();
        checks.set(Nanos(0), Check::AllowanceExceeded, true);
        checks.set(Nanos(29_999 * MS), Check::AllowanceExceeded, false);
        assert_eq!(failing(&checks, 40_000), []);
        assert_eq!(checks.deadline(Nanos(0)), None);
    }
}
