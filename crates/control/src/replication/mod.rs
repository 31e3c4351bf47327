//! This node's calls, told to the store as they change, and a copy of other nodes' calls to go on with.
//!
//! A call is written when it changes, and with it how far its media has come a few times a second: those positions are read
//! from the workers evenly over the interval, so that no worker has more to answer at one time than at another. All of it is
//! handed to [`tandem_replication::Writer`], which nobody waits for.

mod kernel;
mod position;
mod warm;

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tandem_call::{CallNumber, Switch};
use tandem_contract::{Command, FlowId, LegPosition, Nanos, WorkerId};
use tandem_replication::{Change, NodeRun, StoreConfig, StoreStatus, Subject, Writer, follow, retire};
use tokio::sync::mpsc::UnboundedSender;

use crate::clock::Clock;
use crate::order::Order;
use crate::workers::Workers;

pub(crate) use kernel::KernelAddress;
pub(crate) use warm::{WarmCall, WarmCalls, Warming};

/// Why replication cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ReplicationError {
    /// The URL, most likely.
    #[error("replication.store: {0}")]
    Store(#[from] tandem_replication::LinkError),
    /// A thread or runtime.
    #[error("cannot start replication: {0}")]
    System(#[from] io::Error),
}

/// How replication fares, readable by anyone.
#[derive(Debug, Default)]
pub(crate) struct ReplicationState {
    pub(crate) store: Arc<StoreStatus>,
    pub(crate) warm: Arc<Mutex<WarmCalls>>,
}

impl ReplicationState {
    /// Calls of other nodes that this one could go on with.
    pub(crate) fn warm_calls(&self) -> usize {
        self.warm().len()
    }

    /// The copy, for a moment.
    pub(crate) fn warm(&self) -> MutexGuard<'_, WarmCalls> {
        self.warm.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls of other nodes that cannot be read.
    pub(crate) fn unreadable(&self) -> u64 {
        self.warm().unreadable()
    }
}

/// A call that is told of.
struct Told {
    place: Option<(WorkerId, FlowId)>,
    /// Of what was written last: what is the same is not written again.
    hash: u64,
}

/// What tells.
pub(crate) struct Replication {
    writer: Writer,
    own: NodeRun,
    store: StoreConfig,
    /// Where the writer's task runs.
    runtime: tokio::runtime::Handle,
    pub(crate) state: Arc<ReplicationState>,
    calls: BTreeMap<CallNumber, Told>,
    by_place: HashMap<(WorkerId, FlowId), CallNumber>,
    interval_ns: u64,
    /// The call whose position was asked for last.
    asked: CallNumber,
    asked_at: Nanos,
}

impl Replication {
    /// Starts the thread that speaks with the store; `None` where none is configured.
    pub(crate) fn start(
        config: &tandem_config::Config,
        run: u64,
        clock: Clock,
        switch: &mut Switch,
        order: UnboundedSender<Order>,
    ) -> Result<Option<Self>, ReplicationError> {
        let wanted = &config.replication;
        if wanted.store.is_empty() {
            return Ok(None);
        }
        let store = StoreConfig {
            urls: wanted.store.clone(),
            sentinel_master: wanted.sentinel_master.clone(),
            prefix: wanted.prefix.clone(),
        };
        let own = NodeRun::first(&config.node.name, run);
        let state = Arc::new(ReplicationState::default());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (writer, following) = {
            let _context = runtime.enter();
            let warm = state.warm.clone();
            let tell = move |change| {
                let is_last = matches!(change, Change::Complete(_));
                warm.lock().unwrap_or_else(PoisonError::into_inner).take(clock.now(), clock.wall(), change);
                if is_last {
                    // Nobody waits for it any more when control has ended.
                    let _ = order.send(Order::CopyComplete);
                }
            };
            let following = follow(&store, own.clone(), state.store.clone(), tell)?;
            (Writer::start(&store, own.clone(), state.store.clone())?, following)
        };
        let handle = runtime.handle().clone();
        // It ends with the process: what it has not written by then is of no use to anybody.
        std::thread::Builder::new().name("tandem-replica".to_owned()).spawn(move || runtime.block_on(following))?;
        switch.watch_changes();
        Ok(Some(Self {
            writer,
            own,
            store,
            runtime: handle,
            state,
            calls: BTreeMap::new(),
            by_place: HashMap::new(),
            interval_ns: u64::from(wanted.position_interval_ms) * 1_000_000,
            asked: CallNumber(0),
            asked_at: clock.now(),
        }))
    }

    /// Writes what has changed, and asks workers for the positions that are due.
    pub(crate) fn turn(&mut self, now: Nanos, switch: &mut Switch, workers: &mut Workers) {
        while let Some(number) = switch.poll_change() {
            match switch.replica(number) {
                Some(replica) => {
                    let json = replica.to_json();
                    self.write(number, switch.place(number), json);
                }
                None => self.forget(number),
            }
        }
        self.ask(now, workers);
    }

    fn write(&mut self, number: CallNumber, place: Option<(WorkerId, FlowId)>, json: Vec<u8>) {
        let mut hasher = DefaultHasher::new();
        json.hash(&mut hasher);
        let hash = hasher.finish();
        let before = self.calls.insert(number, Told { place, hash });
        if let Some(before) = before.as_ref().and_then(|before| before.place) {
            self.by_place.remove(&before);
        }
        if let Some(place) = place {
            self.by_place.insert(place, number);
        }
        if before.is_none_or(|before| before.hash != hash) {
            self.writer.put(Subject::Call, number.0, json);
        }
    }

    fn forget(&mut self, number: CallNumber) {
        let Some(told) = self.calls.remove(&number) else { return };
        if let Some(place) = told.place {
            self.by_place.remove(&place);
        }
        self.writer.remove(number.0);
    }

    /// Asks for as many positions as the time since the last turn has earned.
    fn ask(&mut self, now: Nanos, workers: &mut Workers) {
        let count = self.by_place.len() as u64;
        if count == 0 {
            self.asked_at = now;
            return;
        }
        let each_ns = (self.interval_ns / count).max(1);
        let due = (now.since(self.asked_at) / each_ns).min(count);
        self.asked_at = if due == count { now } else { self.asked_at.plus(due * each_ns) };
        for _ in 0..due {
            let next = self.calls.range((Excluded(self.asked), Unbounded)).find(|(_, told)| told.place.is_some());
            let next = next.or_else(|| self.calls.iter().find(|(_, told)| told.place.is_some()));
            let Some((&number, Told { place: Some((worker, flow)), .. })) = next else { return };
            workers.send(*worker, Command::ReadPosition { flow: *flow });
            self.asked = number;
        }
    }

    /// A worker told how far a flow has come.
    pub(crate) fn on_position(&self, unix_ms: u64, worker: WorkerId, flow: FlowId, legs: [LegPosition; 2]) {
        if let Some(number) = self.by_place.get(&(worker, flow)) {
            self.writer.put(Subject::Position, number.0, position::encode(unix_ms, legs));
        }
    }

    /// Lets go of every call: another node goes on with what the store has of them, and has done so already where this node is
    /// `superseded`. What changes from here on is told under another name.
    pub(crate) fn release(&mut self, superseded: bool) {
        if superseded {
            self.writer.discard();
        }
        let next = self.own.next();
        let _context = self.runtime.enter();
        match Writer::start(&self.store, next.clone(), self.state.store.clone()) {
            // The last one writes what it has left, says that this was all, and ends.
            Ok(writer) => {
                std::mem::replace(&mut self.writer, writer).close();
                self.own = next;
            }
            Err(error) => tracing::error!(%error, "the store of calls is not written any more"),
        }
        self.calls.clear();
        self.by_place.clear();
    }

    /// Whether all that the node of this name had is here, or will not come: it was heard to say so, or nothing is heard.
    pub(crate) fn is_complete(&self, node: &str) -> bool {
        !self.state.store.is_following() || self.state.warm().is_complete(node)
    }

    /// Takes over what a node of this name, or every other node, had: from now on it is ours to tell of.
    pub(crate) fn take(&self, now: Nanos, node: Option<&str>) -> Vec<WarmCall> {
        let (calls, taken) = self.state.warm().take_calls(now, node);
        for node in taken {
            retire(&self.writer, node);
        }
        calls
    }
}
