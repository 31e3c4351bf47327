//! Flows with their counters: asked of the workers when someone looks.

use std::collections::HashMap;
use std::ops::RangeInclusive;

use serde::Serialize;
use tandem_call::{CallSnapshot, FlowNumber, FlowTicket, FlowsDone, FlowsRefused, InstalledFlow, RemovedFlow};
use tandem_contract::{FlowId, LegCounters, Nanos, WorkerId};
use tokio::sync::oneshot;

/// How long workers have to answer, in milliseconds; what is late is told without counters.
const ANSWER_MS: u64 = 500;

/// One flow, for people who look.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct FlowView {
    #[serde(flatten)]
    call: CallSnapshot,
    /// Absent where the worker did not answer in time, or the flow was gone.
    caller: Option<LegView>,
    callee: Option<LegView>,
}

/// What one leg counts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct LegView {
    packets_received: u64,
    octets_received: u64,
    packets_sent: u64,
    octets_sent: u64,
    packets_lost: u64,
    packets_dropped: u64,
    jitter_us: u32,
    round_trip_us: u32,
    /// Mean opinion scores, where they are known.
    mos_received: Option<f64>,
    mos_sent: Option<f64>,
}

/// A score from its hundredths, 0 of which mean none.
fn score(hundredths: u16) -> Option<f64> {
    (hundredths > 0).then(|| f64::from(hundredths) / 100.0)
}

impl From<LegCounters> for LegView {
    fn from(leg: LegCounters) -> Self {
        Self {
            packets_received: leg.packets_received,
            octets_received: leg.octets_received,
            packets_sent: leg.packets_sent,
            octets_sent: leg.octets_sent,
            packets_lost: leg.packets_lost,
            packets_dropped: leg.packets_dropped,
            jitter_us: leg.jitter_us,
            round_trip_us: leg.round_trip_us,
            mos_received: score(leg.mos_received),
            mos_sent: score(leg.mos_sent),
        }
    }
}

type Key = (WorkerId, FlowId);

/// Someone who waits for the counters of all flows.
pub(crate) struct FlowQuery {
    calls: Vec<CallSnapshot>,
    counters: HashMap<Key, Option<[LegCounters; 2]>>,
    missing: usize,
    deadline: Nanos,
    answer: oneshot::Sender<Vec<FlowView>>,
}

impl FlowQuery {
    pub(crate) fn new(now: Nanos, calls: Vec<CallSnapshot>, answer: oneshot::Sender<Vec<FlowView>>) -> Self {
        let counters: HashMap<Key, _> = calls.iter().map(|call| (key_of(call), None)).collect();
        let missing = counters.len();
        Self { calls, counters, missing, deadline: now.plus(ANSWER_MS * 1_000_000), answer }
    }

    /// The flows whose counters are wanted.
    pub(crate) fn keys(&self) -> impl Iterator<Item = Key> {
        self.counters.keys().copied()
    }

    pub(crate) fn on_counters(&mut self, worker: WorkerId, flow: FlowId, counters: [LegCounters; 2]) {
        if let Some(place @ None) = self.counters.get_mut(&(worker, flow)) {
            *place = Some(counters);
            self.missing -= 1;
        }
    }

    /// A flow that the worker does not know any more.
    pub(crate) fn on_refused(&mut self, worker: WorkerId, flow: FlowId) {
        if let Some(None) = self.counters.get(&(worker, flow)) {
            self.counters.remove(&(worker, flow));
            self.missing -= 1;
        }
    }

    pub(crate) fn is_complete(&self, now: Nanos) -> bool {
        self.missing == 0 || now >= self.deadline
    }

    pub(crate) fn answer(self) {
        let flows = self.calls.into_iter().map(|call| {
            let counters = self.counters.get(&key_of(&call)).copied().flatten();
            let [caller, callee] = counters.map_or([None; 2], |legs| legs.map(|leg| Some(LegView::from(leg))));
            FlowView { call, caller, callee }
        });
        // Whoever asked may have gone.
        let _ = self.answer.send(flows.collect());
    }
}

/// Who waits for flows without a call to be installed or removed.
#[derive(Debug, Default)]
pub(crate) struct FlowRequests {
    installs: HashMap<FlowTicket, oneshot::Sender<Result<Vec<InstalledFlow>, FlowsRefused>>>,
    removals: HashMap<FlowTicket, oneshot::Sender<Vec<RemovedFlow>>>,
}

impl FlowRequests {
    pub(crate) fn install(
        &mut self,
        ticket: FlowTicket,
        answer: oneshot::Sender<Result<Vec<InstalledFlow>, FlowsRefused>>,
    ) {
        self.installs.insert(ticket, answer);
    }

    pub(crate) fn remove(&mut self, ticket: FlowTicket, answer: oneshot::Sender<Vec<RemovedFlow>>) {
        self.removals.insert(ticket, answer);
    }

    /// Tells what came of a request. Flows that were installed for somebody who has gone come back, to be removed.
    pub(crate) fn answer(&mut self, ticket: FlowTicket, done: FlowsDone) -> Option<RangeInclusive<FlowNumber>> {
        let outcome = match done {
            FlowsDone::Removed(removed) => {
                if let Some(answer) = self.removals.remove(&ticket) {
                    // Whoever asked may have gone.
                    let _ = answer.send(removed);
                }
                return None;
            }
            FlowsDone::Installed(installed) => Ok(installed),
            FlowsDone::Refused(refused) => Err(refused),
        };
        let unheard = match self.installs.remove(&ticket) {
            Some(answer) => answer.send(outcome).err()?,
            None => return None,
        };
        let flows = unheard.ok()?;
        Some(flows.first()?.number..=flows.last()?.number)
    }
}

/// Where a call's media is.
pub(crate) const fn key_of(call: &CallSnapshot) -> Key {
    let (slot, generation) = call.flow;
    (WorkerId(call.worker), FlowId { slot, generation })
}
