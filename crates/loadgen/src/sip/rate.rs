//! So many calls a second for so long, without I/O: when each begins and ends, and what came of it.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddrV4;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use tandem_sip::Instant;

use super::phones::{NUMBERS, Output, Phones};
use super::{Failure, Happened};
use crate::{CallKind, Latency, LoadError, PlannedCall, SourceNetwork, SpecError, VoidReason};

/// An INVITE that leaves so much after its time is late.
const LATE: Duration = Duration::from_millis(20);
/// Late ones that a run may have, as a share of all.
const LATE_SHARE: f64 = 0.001;
/// How busy the source may be.
const BUSY_LIMIT: f64 = 0.98;
/// How long calls may take to end after the last one began to: as long as a BYE is sent again (RFC 3261 timer F).
const LINGER: Duration = Duration::from_secs(33);
/// The slowest answer that the histogram tells apart, in nanoseconds.
const SLOWEST_NS: u64 = 60_000_000_000;
/// Calls that begin, and calls that end, before what has arrived is looked at.
pub(super) const AT_A_TIME: usize = 16;
/// Reasons that are told apart; more are counted under the first.
const MOST_REASONS: usize = 20;

/// Calls to be set up at a steady rate. No media is sent.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateSpec {
    /// What callers offer and callees answer.
    pub kind: CallKind,
    /// Calls that begin in each second, 1 to [`RateSpec::MAX_RATE`].
    pub per_second: u32,
    /// Seconds of measurement, after `warm_up_ms`; 1 to 3600.
    pub seconds: u32,
    /// Milliseconds in which calls begin at the same rate and are not counted.
    pub warm_up_ms: u32,
    /// How long a call is up before its caller hangs up, in milliseconds; 0 to 60000.
    pub hold_ms: u32,
}

impl RateSpec {
    /// Calls a second, at most.
    pub const MAX_RATE: u32 = 50_000;

    /// Whether every field is in range.
    ///
    /// # Errors
    /// The first that is not.
    pub fn check(&self) -> Result<(), SpecError> {
        let fields = [
            ("per_second", self.per_second, 1, Self::MAX_RATE),
            ("seconds", self.seconds, 1, 3_600),
            ("warm_up_ms", self.warm_up_ms, 0, 60_000),
            ("hold_ms", self.hold_ms, 0, 60_000),
        ];
        fields.into_iter().try_for_each(|(field, found, low, high)| {
            if (low..=high).contains(&found) {
                Ok(())
            } else {
                Err(SpecError { field, found: found.into(), low: low.into(), high: high.into() })
            }
        })
    }
}

/// What a run of so many calls a second showed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateOutcome {
    /// What was asked.
    pub spec: RateSpec,
    /// Seconds that were measured; fewer than asked where the run was interrupted or given up.
    pub seconds: f64,
    /// Someone ended the run early.
    pub interrupted: bool,
    /// Why the run is void; empty for a run that counts.
    pub void: Vec<VoidReason>,
    /// Calls that began within the measurement.
    pub begun: u64,
    /// Calls of these that were answered, acknowledged and ended as they should.
    pub completed: u64,
    /// Calls of these that failed, by reason.
    pub failed: BTreeMap<String, u64>,
    /// Messages that were sent again, by the source or by the gateway, since the measurement began.
    pub repeated: u64,
    /// From a caller's INVITE to its 200.
    pub answered_after: Latency,
    /// The same without the callee's own part, from its INVITE to its 200: what the gateway adds to the session request delay (RFC 6076
    /// section 4.3), networks included.
    pub added: Latency,
    /// The share of the time that the source's thread had work, 0 to 1.
    pub utilisation: f64,
    /// INVITEs that left more than 20 ms after their time.
    pub late: u64,
    /// The latest INVITE, in nanoseconds after its time.
    pub worst_lateness_ns: u64,
}

impl RateOutcome {
    /// Calls that failed.
    pub fn failures(&self) -> u64 {
        self.failed.values().sum()
    }
}

/// One second of a run, for a reader who waits.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RateProgress {
    /// Seconds since the measurement began; negative while it warms up.
    pub seconds: f64,
    /// Calls that began so far, the warm-up's included.
    pub begun: u64,
    /// Calls that are not over.
    pub open: u64,
    /// Calls that failed so far.
    pub failed: u64,
    /// Messages that were sent again so far.
    pub repeated: u64,
    /// 99th percentile of the time to the answer so far, in nanoseconds.
    pub p99_ns: u64,
}

/// A run at a steady rate.
pub(super) struct Rate {
    spec: RateSpec,
    phones: Phones,
    locals: Vec<[SocketAddrV4; 2]>,
    start: Instant,
    /// Calls that began, and how many will in all.
    begun: u64,
    wanted: u64,
    /// Calls whose callers hang up, in the order in which they do.
    up: VecDeque<(Instant, u32)>,
    /// The first call that is measured.
    first: u64,
    repeated_before: Option<u64>,
    completed: u64,
    failed: BTreeMap<String, u64>,
    failed_in_warm_up: u64,
    answers: Histogram<u64>,
    added: Histogram<u64>,
    late: u64,
    worst_lateness: Duration,
    busy: Duration,
    last_begun_at: Instant,
    interrupted: bool,
    ended: Option<Instant>,
}

impl Rate {
    /// A run before its beginning. Legs take the network's addresses in turn: no media comes there.
    ///
    /// # Errors
    /// A specification out of range, or a network without room for one call.
    pub(super) fn new(spec: &RateSpec, phones: Phones, network: &SourceNetwork) -> Result<Self, LoadError> {
        spec.check()?;
        let leg = |leg| network.local(leg);
        let locals: Vec<_> = (0..).map_while(|call| Some([leg(2 * call)?, leg(2 * call + 1)?])).take(1_000).collect();
        if locals.is_empty() {
            return Err(LoadError::Port("no room for the two legs of a call: give it more ports".to_owned()));
        }
        let rate = u64::from(spec.per_second);
        let first = (u64::from(spec.warm_up_ms) * rate).div_ceil(1_000);
        let answers = histogram_of_delays()?;
        Ok(Self {
            spec: *spec,
            phones,
            locals,
            start: Instant::ZERO,
            begun: 0,
            wanted: first + rate * u64::from(spec.seconds),
            up: VecDeque::new(),
            first,
            repeated_before: None,
            completed: 0,
            failed: BTreeMap::new(),
            failed_in_warm_up: 0,
            added: answers.clone(),
            answers,
            late: 0,
            worst_lateness: Duration::ZERO,
            busy: Duration::ZERO,
            last_begun_at: Instant::ZERO,
            interrupted: false,
            ended: None,
        })
    }

    pub(super) fn start(&mut self, now: Instant) {
        self.start = now;
        self.last_begun_at = now;
    }

    pub(super) fn phones(&mut self) -> &mut Phones {
        &mut self.phones
    }

    fn due(&self, call: u64) -> Instant {
        self.start + Duration::from_nanos(call * 1_000_000_000 / u64::from(self.spec.per_second))
    }

    /// Begins the call whose time has come the longest; says whether there was one. What it sends has to be polled before the next.
    pub(super) fn begin(&mut self, now: Instant) -> bool {
        let due = self.due(self.begun);
        if self.begun >= self.wanted || due > now {
            return false;
        }
        if self.begun >= self.first && self.repeated_before.is_none() {
            self.repeated_before = Some(self.phones.repeated());
        }
        let number = (self.begun % u64::from(NUMBERS)) as u32;
        if self.phones.has(number) {
            // A million calls ago, and still not over.
            self.note_failure(self.begun, &Failure::Unfinished);
        } else {
            let local = self.locals[self.begun as usize % self.locals.len()];
            self.phones.call(now, number, &PlannedCall { kind: self.spec.kind, local });
        }
        if self.begun >= self.first {
            let lateness = now.saturating_since(due);
            self.late += u64::from(lateness > LATE);
            self.worst_lateness = self.worst_lateness.max(lateness);
        }
        self.begun += 1;
        self.last_begun_at = now;
        true
    }

    /// Ends calls whose time has come, a few at a time: what arrives must not wait for long. Does what else is due.
    pub(super) fn advance(&mut self, now: Instant) {
        for _ in 0..AT_A_TIME {
            let Some((at, number)) = self.up.front().copied().filter(|(at, _)| *at <= now) else { break };
            debug_assert!(at <= now);
            self.up.pop_front();
            self.phones.hang_up(now, number);
        }
        self.phones.on_timeout(now);
    }

    /// The next datagram to send.
    pub(super) fn poll(&mut self, now: Instant) -> Option<Output> {
        loop {
            match self.phones.poll(now)? {
                Output::Call { number, happened } => self.on_call(now, number, happened),
                send @ Output::Send { .. } => return Some(send),
            }
        }
    }

    fn on_call(&mut self, now: Instant, number: u32, happened: Happened) {
        // Numbers come round: the last call that had it.
        let rounds = (self.begun.saturating_sub(1).saturating_sub(number.into())) / u64::from(NUMBERS);
        let call = u64::from(number) + rounds * u64::from(NUMBERS);
        let is_measured = call >= self.first;
        match happened {
            Happened::Up { took, added, .. } => {
                self.up.push_back((now + Duration::from_millis(self.spec.hold_ms.into()), number));
                if is_measured {
                    self.answers.saturating_record(took.as_nanos() as u64);
                    self.added.saturating_record(added.as_nanos() as u64);
                }
            }
            Happened::Down => self.completed += u64::from(is_measured),
            Happened::Failed(failure) => self.note_failure(call, &failure),
        }
    }

    fn note_failure(&mut self, call: u64, failure: &Failure) {
        if call < self.first {
            self.failed_in_warm_up += 1;
            return;
        }
        let reason = failure.to_string();
        if self.failed.len() >= MOST_REASONS && !self.failed.contains_key(&reason) {
            if let Some(mut first) = self.failed.first_entry() {
                *first.get_mut() += 1;
            }
            return;
        }
        *self.failed.entry(reason).or_default() += 1;
    }

    /// When [`Rate::advance`] has something to do.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let next = (self.begun < self.wanted).then(|| self.due(self.begun));
        let up = self.up.front().map(|(at, _)| *at);
        next.into_iter().chain(up).chain(self.phones.next_deadline()).min()
    }

    /// Begins no further call.
    pub(super) fn end_early(&mut self, interrupted: bool) {
        if self.begun < self.wanted {
            self.wanted = self.begun;
            self.interrupted |= interrupted;
        }
    }

    /// Whether every call is over, or has had its time.
    pub(super) fn is_over(&mut self, now: Instant) -> bool {
        if self.begun < self.wanted {
            return false;
        }
        let ended = *self.ended.get_or_insert(now);
        // What is up is let go at once when the run was interrupted.
        if self.interrupted {
            self.up.iter_mut().for_each(|(at, _)| *at = (*at).min(now));
        }
        let hold = Duration::from_millis(self.spec.hold_ms.into());
        self.phones.calls() == 0 || now >= ended + hold + LINGER
    }

    /// Whether so much has failed that the rest need not be waited for.
    pub(super) fn is_hopeless(&self) -> bool {
        let measured = self.begun.saturating_sub(self.first);
        measured > u64::from(self.spec.per_second) && self.failed.values().sum::<u64>() > measured / 20
    }

    pub(super) fn was_busy(&mut self, time: Duration) {
        self.busy += time;
    }

    pub(super) fn progress(&self, now: Instant) -> RateProgress {
        let warm_up = f64::from(self.spec.warm_up_ms) / 1e3;
        RateProgress {
            seconds: now.saturating_since(self.start).as_secs_f64() - warm_up,
            begun: self.begun,
            open: self.phones.calls() as u64,
            failed: self.failed.values().sum::<u64>() + self.failed_in_warm_up,
            repeated: self.phones.repeated() - self.repeated_before.unwrap_or(0),
            p99_ns: self.answers.value_at_quantile(0.99),
        }
    }

    /// What the run showed. `overruns` is what the source's own sockets dropped.
    pub(super) fn outcome(mut self, overruns: u64) -> RateOutcome {
        let begun = self.begun.saturating_sub(self.first);
        let over = self.completed + self.failed.values().sum::<u64>();
        for _ in over..begun {
            self.note_failure(self.first, &Failure::Unfinished);
        }
        let ran = self.last_begun_at.saturating_since(self.start).max(Duration::from_millis(1));
        let utilisation = (self.busy.as_secs_f64() / ran.as_secs_f64()).min(1.0);
        let mut void = Vec::new();
        if self.late as f64 > LATE_SHARE * begun as f64 {
            void.push(VoidReason::Late {
                packets: self.late,
                of: begun,
                bound_ns: LATE.as_nanos() as u64,
                worst_ns: self.worst_lateness.as_nanos() as u64,
            });
        }
        if utilisation > BUSY_LIMIT {
            void.push(VoidReason::Saturated { utilisation, limit: BUSY_LIMIT });
        }
        if overruns > 0 {
            void.push(VoidReason::ReceiveOverrun { packets: overruns });
        }
        RateOutcome {
            spec: self.spec,
            seconds: begun as f64 / f64::from(self.spec.per_second),
            interrupted: self.interrupted,
            void,
            begun,
            completed: self.completed,
            repeated: self.phones.repeated() - self.repeated_before.unwrap_or_else(|| self.phones.repeated()),
            failed: self.failed,
            answered_after: Latency::of(&self.answers),
            added: Latency::of(&self.added),
            utilisation,
            late: self.late,
            worst_lateness_ns: self.worst_lateness.as_nanos() as u64,
        }
    }
}

/// Delays up to [`SLOWEST_NS`], exact to 1 %.
pub(super) fn histogram_of_delays() -> Result<Histogram<u64>, LoadError> {
    Histogram::new_with_bounds(1_000, SLOWEST_NS, 2).map_err(|error| LoadError::Port(error.to_string()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
#[path = "rate_tests.rs"]
mod tests;
