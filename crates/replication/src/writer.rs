//! What the store should have of this node, and the task that sees to it.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use redis::aio::MultiplexedConnection;
use redis::{AsyncCommands, Pipeline};
use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval};

use crate::batch::{Entry, encode};
use crate::follower::Subject;
use crate::link::{Link, LinkError, Pause, StoreConfig};
use crate::names::{Names, NodeRun};
use crate::{EXPIRY_S, StoreStatus};

/// Entries in one batch at most: some hundred kilobytes.
const BATCH: usize = 256;
/// A batch is published at least so often, so that whoever follows knows that it still hears.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// Nodes that have not written for so long are taken off the list.
const FORGOTTEN_AFTER_S: u64 = 86_400;

/// What the store should have of this node. Putting something there costs a lock that is never held for long, whatever the
/// store does: nothing waits, and nothing piles up beyond one value for each call.
#[derive(Clone)]
pub struct Writer {
    mirror: Arc<Mirror>,
}

#[derive(Default)]
struct Mirror {
    held: Mutex<Held>,
    changed: Notify,
}

#[derive(Default)]
struct Held {
    calls: BTreeMap<u64, Arc<[u8]>>,
    positions: BTreeMap<u64, Arc<[u8]>>,
    /// Entries that the store does not have as they are here.
    dirty: BTreeSet<(Subject, u64)>,
    /// What nodes had that are taken over: to be removed when all that is dirty now is written.
    retired: Vec<NodeRun>,
    /// The store is away: nothing is noted, all is compared when it is back.
    is_away: bool,
    /// Nothing more will be put.
    is_closed: bool,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // What it holds has keys.
        formatter.write_str("Writer(..)")
    }
}

impl Held {
    const fn of(&mut self, subject: Subject) -> &mut BTreeMap<u64, Arc<[u8]>> {
        match subject {
            Subject::Call => &mut self.calls,
            Subject::Position => &mut self.positions,
        }
    }

    fn note(&mut self, subject: Subject, call: u64) {
        if !self.is_away {
            self.dirty.insert((subject, call));
        }
    }

    fn take(&mut self) -> (Vec<Entry>, Vec<NodeRun>) {
        let mut entries = Vec::new();
        while let Some((subject, call)) = self.dirty.pop_first() {
            entries.push(Entry { subject, call, value: self.of(subject).get(&call).cloned() });
            if entries.len() == BATCH {
                return (entries, Vec::new());
            }
        }
        (entries, std::mem::take(&mut self.retired))
    }
}

impl Mirror {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writer {
    /// Begins to write under the name of `node`, as a task of the current runtime that ends with the last clone of this.
    ///
    /// # Errors
    /// A URL is none, or there is none. That the store is away is no error.
    pub fn start(config: &StoreConfig, node: NodeRun, status: Arc<StoreStatus>) -> Result<Self, LinkError> {
        let link = Link::new(config)?;
        let mirror = Arc::new(Mirror::default());
        mirror.held().is_away = true;
        let names = Names::new(&config.prefix);
        let task = Task { mirror: mirror.clone(), status, names, node, number: 0 };
        tokio::spawn(task.run(link));
        Ok(Self { mirror })
    }

    /// The call is this now.
    pub fn put(&self, subject: Subject, call: u64, value: Vec<u8>) {
        let mut held = self.mirror.held();
        held.of(subject).insert(call, value.into());
        held.note(subject, call);
        drop(held);
        self.mirror.changed.notify_one();
    }

    /// The call is over, and its position gone with it.
    pub fn remove(&self, call: u64) {
        let mut held = self.mirror.held();
        for subject in [Subject::Call, Subject::Position] {
            if held.of(subject).remove(&call).is_some() {
                held.note(subject, call);
            }
        }
        drop(held);
        self.mirror.changed.notify_one();
    }

    /// What the store does not have is not to be written any more: another node has the calls already.
    pub fn discard(&self) {
        let mut held = self.mirror.held();
        held.calls.clear();
        held.positions.clear();
        held.dirty.clear();
    }

    /// Nothing more will be put: what is here is written, and whoever follows is told that this was all.
    pub fn close(self) {
        self.mirror.held().is_closed = true;
        self.mirror.changed.notify_one();
    }
}

/// Another node's calls have been taken over: the store may forget what it has of them once it has ours.
pub fn retire(writer: &Writer, node: NodeRun) {
    writer.mirror.held().retired.push(node);
    writer.mirror.changed.notify_one();
}

struct Task {
    mirror: Arc<Mirror>,
    status: Arc<StoreStatus>,
    names: Names,
    node: NodeRun,
    /// Of the last publication.
    number: u64,
}

impl Task {
    async fn run(mut self, mut link: Link) {
        let mut pause = Pause::new();
        // The last owner but this one is the last writer.
        while Arc::strong_count(&self.mirror) > 1 {
            let outcome = match link.connect().await {
                Ok(mut connection) => {
                    let outcome = self.compare(&mut connection).await;
                    if outcome.is_ok() {
                        self.on_up();
                        pause = Pause::new();
                    }
                    match outcome {
                        Ok(()) => self.write(&mut connection).await,
                        failed => failed,
                    }
                }
                Err(error) => Err(error),
            };
            match outcome {
                Ok(()) => return,
                Err(error) => self.on_away(&error),
            }
            pause.wait().await;
        }
    }

    fn on_up(&self) {
        if !self.status.is_up.swap(true, Relaxed) {
            tracing::info!("the store of calls is there, and has them all");
        }
    }

    fn on_away(&self, error: &LinkError) {
        self.mirror.held().is_away = true;
        self.mirror.held().dirty.clear();
        if self.status.is_up.swap(false, Relaxed) {
            self.status.outages.fetch_add(1, Relaxed);
            tracing::error!(%error, "the store of calls is away: calls go on, and would be lost with this node");
        } else {
            tracing::debug!(%error, "the store of calls is still away");
        }
    }

    /// Writes what the store does not have, and removes what it should not have any more.
    async fn compare(&mut self, connection: &mut MultiplexedConnection) -> Result<(), LinkError> {
        self.status.resyncs.fetch_add(1, Relaxed);
        for subject in [Subject::Call, Subject::Position] {
            let there: HashSet<u64> = connection.hkeys(self.key(subject)).await?;
            let mut held = self.mirror.held();
            // What changes from here on is noted.
            held.is_away = false;
            let here: Vec<u64> = held.of(subject).keys().copied().collect();
            held.dirty.extend(here.iter().chain(&there).map(|call| (subject, *call)));
        }
        while self.write_one(connection).await? {}
        Ok(())
    }

    /// Writes for as long as there is a writer.
    async fn write(&mut self, connection: &mut MultiplexedConnection) -> Result<(), LinkError> {
        let mut heartbeat = interval(HEARTBEAT);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while Arc::strong_count(&self.mirror) > 1 && !self.mirror.held().is_closed {
            let mirror = self.mirror.clone();
            let is_heartbeat = tokio::select! {
                () = mirror.changed.notified() => false,
                _ = heartbeat.tick() => true,
            };
            drop(mirror);
            if is_heartbeat {
                self.beat(connection).await?;
            }
            while self.write_one(connection).await? {}
        }
        // What was put before the end is for whoever takes over, who waits to hear that it is all.
        while self.write_one(connection).await? {}
        let mut pipeline = Pipeline::new();
        // Nobody renews it any more.
        pipeline.expire(self.names.calls(&self.node), EXPIRY_S);
        pipeline.expire(self.names.positions(&self.node), EXPIRY_S);
        self.publish(&mut pipeline, &[], true);
        let () = pipeline.ignore().query_async(connection).await?;
        Ok(())
    }

    fn key(&self, subject: Subject) -> String {
        match subject {
            Subject::Call => self.names.calls(&self.node),
            Subject::Position => self.names.positions(&self.node),
        }
    }

    /// One batch; whether more may follow at once.
    async fn write_one(&mut self, connection: &mut MultiplexedConnection) -> Result<bool, LinkError> {
        let ((entries, retired), left) = {
            let mut held = self.mirror.held();
            (held.take(), held.dirty.len())
        };
        self.status.waiting.store((entries.len() + left) as u64, Relaxed);
        if entries.is_empty() && retired.is_empty() {
            return Ok(false);
        }
        let mut pipeline = Pipeline::with_capacity(entries.len() + 4);
        for Entry { subject, call, value } in &entries {
            match value {
                Some(value) => pipeline.hset(self.key(*subject), call, &**value),
                None => pipeline.hdel(self.key(*subject), call),
            };
        }
        for node in &retired {
            pipeline.del(&[self.names.calls(node), self.names.positions(node)]);
            pipeline.zrem(self.names.nodes(), node.to_string());
        }
        self.publish(&mut pipeline, &entries, false);
        let written: Result<(), _> = pipeline.ignore().query_async(connection).await;
        if let Err(error) = written {
            // The rest is compared when the store is back; these would be forgotten.
            self.mirror.held().retired.extend(retired);
            return Err(error.into());
        }
        self.status.written.fetch_add(entries.len() as u64, Relaxed);
        self.status.waiting.store(left as u64, Relaxed);
        Ok(left > 0 || entries.len() == BATCH)
    }

    fn publish(&mut self, pipeline: &mut Pipeline, entries: &[Entry], is_last: bool) {
        self.number += 1;
        pipeline.publish(self.names.channel(&self.node), encode(self.number, entries, is_last));
    }

    /// Says that this node is alive, to the store and to whoever follows.
    async fn beat(&mut self, connection: &mut MultiplexedConnection) -> Result<(), LinkError> {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let nodes = self.names.nodes();
        let mut pipeline = Pipeline::new();
        pipeline.zadd(&nodes, self.node.to_string(), since_epoch);
        pipeline.zrembyscore(&nodes, 0, since_epoch.saturating_sub(FORGOTTEN_AFTER_S));
        pipeline.expire(self.names.calls(&self.node), EXPIRY_S);
        pipeline.expire(self.names.positions(&self.node), EXPIRY_S);
        self.publish(&mut pipeline, &[], false);
        let () = pipeline.ignore().query_async(connection).await?;
        Ok(())
    }
}
