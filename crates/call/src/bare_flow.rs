//! Flows without a call: two legs between remotes that somebody names, for measurements of the media plane alone.
//!
//! They take the same places as calls do: a slot, two ports, and one of the calls that the limit allows. What a request
//! asks for is done as a whole: all its flows are installed and confirmed, or none stays.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::ops::RangeInclusive;

use tandem_contract::{
    Command, Direction, Epoch, Event, FlowId, Format, LegConfig, LegCounters, LegCrypto, LegSide, Nanos, Refusal,
    WorkerId,
};

use crate::admission;
use crate::exchange::Exchange;
use crate::media_pool::Reservation;

/// A flow's number: unique while the process runs, never reused. One request's flows have numbers without a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
pub struct FlowNumber(pub u64);

/// What [`crate::Switch::poll_flows`] answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowTicket(u64);

/// One leg of a flow that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowLeg {
    /// The only one who is heard, and where media goes.
    pub remote: SocketAddr,
    /// What is spoken.
    pub format: Format,
    /// The keys of what it sends and receives, where that is SRTP.
    pub crypto: Option<LegCrypto>,
}

/// A flow whose local addresses are live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InstalledFlow {
    /// The flow.
    pub number: FlowNumber,
    /// Who carries it.
    pub worker: WorkerId,
    /// Where leg A and leg B receive RTP.
    pub local: [SocketAddr; 2],
}

/// A flow that is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemovedFlow {
    /// The flow.
    pub number: FlowNumber,
    /// What leg A and leg B counted.
    pub counters: [LegCounters; 2],
}

/// Why no flow of a request was installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FlowsRefused {
    /// The gateway takes no new calls.
    #[error("the gateway takes no new calls")]
    Draining,
    /// The limit of all calls is reached.
    #[error("the limit of concurrent calls (limits.max_calls) is reached")]
    TooManyCalls,
    /// No worker has a slot and two ports.
    #[error("no media capacity is left: no worker has a slot and two RTP ports (media.port_range, ports[].addresses)")]
    NoMediaCapacity,
    /// A worker did not take a flow.
    #[error("flows[{position}]: the worker refused it: {refusal:?}")]
    Worker {
        /// Which of the request's flows, counted from 0.
        position: usize,
        /// Why.
        refusal: Refusal,
    },
}

/// What came of a request.
#[derive(Clone, Debug, PartialEq)]
pub enum FlowsDone {
    /// All are live, in the order of the request.
    Installed(Vec<InstalledFlow>),
    /// None is.
    Refused(FlowsRefused),
    /// These are gone.
    Removed(Vec<RemovedFlow>),
}

/// All flows without a call.
#[derive(Debug, Default)]
pub(crate) struct BareFlows {
    flows: BTreeMap<FlowNumber, BareFlow>,
    by_place: HashMap<(WorkerId, FlowId), FlowNumber>,
    requests: BTreeMap<FlowTicket, Request>,
    done: VecDeque<(FlowTicket, FlowsDone)>,
    next_number: u64,
    next_ticket: u64,
}

#[derive(Debug)]
struct BareFlow {
    worker: WorkerId,
    flow: FlowId,
    local: [SocketAddr; 2],
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Installing(FlowTicket),
    Up,
    /// Whoever asked, if anybody did.
    Removing(Option<FlowTicket>),
}

/// A request that waits for workers.
#[derive(Debug)]
enum Request {
    Install { first: FlowNumber, last: FlowNumber, missing: usize, refused: Option<FlowsRefused> },
    Remove { removed: Vec<RemovedFlow>, missing: usize },
}

impl BareFlows {
    pub(crate) fn install(
        &mut self,
        exchange: &mut Exchange,
        now: Nanos,
        wanted: &[[FlowLeg; 2]],
    ) -> Result<FlowTicket, FlowsRefused> {
        let mut reserved = Vec::with_capacity(wanted.len());
        for _ in wanted {
            match reserve(exchange, now) {
                Ok(reservation) => reserved.push(reservation),
                Err(refused) => {
                    for Reservation { worker, flow, .. } in reserved {
                        exchange.pool.give_back(worker, flow);
                        exchange.admission.leave_without_peer();
                    }
                    return Err(refused);
                }
            }
        }
        let ticket = self.ticket();
        let first = FlowNumber(self.next_number);
        for (Reservation { worker, flow, local, .. }, legs) in reserved.into_iter().zip(wanted) {
            let number = FlowNumber(self.next_number);
            self.next_number += 1;
            let configured = LegSide::BOTH.map(|side| {
                let leg = legs[side.index()];
                LegConfig {
                    remote: Some(leg.remote),
                    format: Some(leg.format),
                    crypto: leg.crypto,
                    direction: Direction::SendRecv,
                    ssrc: exchange.random() as u32,
                    first_sequence: exchange.random() as u16,
                    first_timestamp: exchange.random() as u32,
                    ..LegConfig::new(local[side.index()])
                }
            });
            exchange.command(worker, Command::InstallFlow { flow, epoch: Epoch::default(), legs: configured });
            self.by_place.insert((worker, flow), number);
            self.flows.insert(number, BareFlow { worker, flow, local, state: State::Installing(ticket) });
        }
        let last = FlowNumber(self.next_number.saturating_sub(1));
        self.requests.insert(ticket, Request::Install { first, last, missing: wanted.len(), refused: None });
        self.settle(exchange, ticket);
        Ok(ticket)
    }

    /// Removes those of `numbers` that are live.
    pub(crate) fn remove(&mut self, exchange: &mut Exchange, numbers: RangeInclusive<FlowNumber>) -> FlowTicket {
        let ticket = self.ticket();
        let missing = self.remove_for(exchange, numbers, Some(ticket));
        self.requests.insert(ticket, Request::Remove { removed: Vec::with_capacity(missing), missing });
        self.settle(exchange, ticket);
        ticket
    }

    /// A worker said something; `false` where it is about somebody else's flow.
    pub(crate) fn on_event(&mut self, exchange: &mut Exchange, worker: WorkerId, event: &Event) -> bool {
        let known = event.flow().and_then(|flow| self.by_place.get(&(worker, flow)));
        let Some(&number) = known else { return false };
        let Some(bare) = self.flows.get_mut(&number) else { return false };
        match (*event, bare.state) {
            (Event::Installed { .. }, State::Installing(ticket)) => {
                bare.state = State::Up;
                if let Some(Request::Install { missing, .. }) = self.requests.get_mut(&ticket) {
                    *missing -= 1;
                }
                self.settle(exchange, ticket);
            }
            (Event::Refused { reason, .. }, State::Installing(ticket)) => {
                // Nothing was installed: no late packet can meet anybody.
                exchange.pool.give_back(bare.worker, bare.flow);
                self.forget(exchange, number);
                if let Some(Request::Install { first, missing, refused, .. }) = self.requests.get_mut(&ticket) {
                    *missing -= 1;
                    let position = number.0.saturating_sub(first.0) as usize;
                    refused.get_or_insert(FlowsRefused::Worker { position, refusal: reason });
                }
                self.settle(exchange, ticket);
            }
            // Whoever made it has gone without a word.
            (Event::MediaTimeout { .. }, State::Up) => {
                self.remove_for(exchange, number..=number, None);
            }
            (Event::Removed { counters, .. }, State::Removing(ticket)) => {
                self.forget(exchange, number);
                if let Some(ticket) = ticket {
                    if let Some(Request::Remove { removed, missing }) = self.requests.get_mut(&ticket) {
                        removed.push(RemovedFlow { number, counters });
                        *missing -= 1;
                    }
                    self.settle(exchange, ticket);
                }
            }
            _ => {}
        }
        true
    }

    pub(crate) fn poll(&mut self) -> Option<(FlowTicket, FlowsDone)> {
        self.done.pop_front()
    }

    pub(crate) fn len(&self) -> usize {
        self.flows.len()
    }

    const fn ticket(&mut self) -> FlowTicket {
        self.next_ticket += 1;
        FlowTicket(self.next_ticket)
    }

    /// Tells what came of a request, once nothing is missing.
    fn settle(&mut self, exchange: &mut Exchange, ticket: FlowTicket) {
        match self.requests.get(&ticket) {
            Some(Request::Install { missing: 0, .. } | Request::Remove { missing: 0, .. }) => {}
            _ => return,
        }
        let outcome = match self.requests.remove(&ticket) {
            None => return,
            Some(Request::Remove { removed, .. }) => FlowsDone::Removed(removed),
            Some(Request::Install { first, last, refused: Some(refused), .. }) => {
                self.remove_for(exchange, first..=last, None);
                FlowsDone::Refused(refused)
            }
            Some(Request::Install { first, last, refused: None, .. }) => {
                let installed = self.flows.range(first..=last);
                let told =
                    installed.map(|(&number, bare)| InstalledFlow { number, worker: bare.worker, local: bare.local });
                FlowsDone::Installed(told.collect())
            }
        };
        self.done.push_back((ticket, outcome));
    }

    /// How many are being removed now.
    fn remove_for(
        &mut self,
        exchange: &mut Exchange,
        numbers: RangeInclusive<FlowNumber>,
        ticket: Option<FlowTicket>,
    ) -> usize {
        if numbers.is_empty() {
            return 0;
        }
        let live = self.flows.range_mut(numbers).map(|(_, bare)| bare).filter(|bare| bare.state == State::Up);
        live.map(|bare| {
            bare.state = State::Removing(ticket);
            exchange.command(bare.worker, Command::RemoveFlow { flow: bare.flow });
        })
        .count()
    }

    fn forget(&mut self, exchange: &mut Exchange, number: FlowNumber) {
        if let Some(bare) = self.flows.remove(&number) {
            self.by_place.remove(&(bare.worker, bare.flow));
            exchange.admission.leave_without_peer();
        }
    }
}

/// A place that nobody's peer asks for: on whichever of our addresses has most ports left.
fn reserve(exchange: &mut Exchange, now: Nanos) -> Result<Reservation, FlowsRefused> {
    exchange.admission.enter_without_peer(&exchange.config.limits).map_err(|refused| match refused {
        admission::Refused::Draining => FlowsRefused::Draining,
        _ => FlowsRefused::TooManyCalls,
    })?;
    exchange.reserve_anywhere(now).ok_or_else(|| {
        exchange.admission.leave_without_peer();
        FlowsRefused::NoMediaCapacity
    })
}
