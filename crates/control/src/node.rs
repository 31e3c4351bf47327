//! What the HTTP thread can say without, and through, the switch's thread.

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use serde::Serialize;
use tandem_call::SwitchCounters;
use tandem_config::Recording;
use tandem_contract::{DropReason, RingDepth, Stage, WorkerCounters, WorkerId};
use tokio::sync::{mpsc, oneshot};

use crate::aws::{Aws, AwsStatus};
use crate::cluster::{ClusterHandle, ClusterRequest, ClusterStatus};
use crate::database::StoreState;
use crate::hep::HepState;
use crate::http::{Gate, Subscribers};
use crate::memory_traffic::memory_traffic_octets;
use crate::metrics::{Latency, Quantiles, Scrape};
use crate::order::Request;
use crate::ports::PortReader;
use crate::recorder::Recorder;
use crate::records::RecordsState;
use crate::status::{SipCounters, SwitchStatus};

/// How long the switch's thread may take to answer before it counts as stuck.
const ANSWER: Duration = Duration::from_secs(2);

/// The node as seen from beside the switch.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) started: Instant,
    pub(crate) workers: Vec<(WorkerId, Arc<WorkerCounters>)>,
    pub(crate) records: Arc<RecordsState>,
    /// `None` where the configuration has no place for recordings.
    pub(crate) recorder: Option<Recorder>,
    pub(crate) recording: Recording,
    /// How the store fares; `None` where there is none.
    pub(crate) store: Option<Arc<StoreState>>,
    /// `None` where nobody registers.
    pub(crate) subscribers: Option<Subscribers>,
    pub(crate) ports: Arc<OnceLock<PortReader>>,
    pub(crate) requests: mpsc::Sender<Request>,
    /// Whom HTTP believes.
    pub(crate) gate: Arc<Gate>,
    /// What went to the collector of messages.
    pub(crate) hep: Arc<HepState>,
    /// `None` where the configuration has no cluster.
    pub(crate) cluster: Option<ClusterHandle>,
    /// `None` where AWS is asked for nothing.
    pub(crate) aws: Option<Aws>,
}

/// The switch's thread did not answer in time, or has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the thread that handles calls does not answer")]
pub(crate) struct SwitchSilent;

impl Node {
    /// Asks the switch's thread.
    pub(crate) async fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> Request) -> Result<T, SwitchSilent> {
        let (answer, answered) = oneshot::channel();
        let exchange = async {
            self.requests.send(request(answer)).await.map_err(|_| SwitchSilent)?;
            answered.await.map_err(|_| SwitchSilent)
        };
        tokio::time::timeout(ANSWER, exchange).await.map_err(|_| SwitchSilent)?
    }

    pub(crate) async fn scrape(&self) -> Scrape {
        let switch = self.ask(Request::Status).await.ok();
        let cluster = match &self.cluster {
            Some(cluster) => cluster.ask(ClusterRequest::View).await.as_ref().map(ClusterStatus::from),
            None => None,
        };
        Scrape {
            ready: switch.as_ref().is_some_and(|switch| switch.not_ready.is_empty()),
            uptime_s: self.started.elapsed().as_secs(),
            memory_octets: memory_traffic_octets(Path::new("/")),
            switch,
            cluster: cluster.unwrap_or_default(),
            hep: self.hep.clone(),
            http_refused: self.gate.refused.load(std::sync::atomic::Ordering::Relaxed),
            aws: self.aws.as_ref().map_or_else(AwsStatus::default, |aws| aws.status().clone()),
            records: self.records.clone(),
            store: self.store.clone().unwrap_or_default(),
            recorder: self.recorder.as_ref().map(|recorder| recorder.state.clone()).unwrap_or_default(),
            workers: self.workers.clone(),
            ports: self.ports.get().map(PortReader::read).unwrap_or_default(),
        }
    }

    pub(crate) fn stats(&self, switch: SwitchStatus) -> Stats<'_> {
        use std::sync::atomic::Ordering::Relaxed;
        Stats {
            node: &self.name,
            version: env!("CARGO_PKG_VERSION"),
            uptime_s: self.started.elapsed().as_secs(),
            ready: switch.not_ready.is_empty(),
            not_ready: switch.not_ready,
            draining: switch.draining,
            calls: switch.calls,
            max_calls: switch.max_calls,
            switch: switch.counters,
            sip: switch.sip,
            records: RecordStats {
                written: self.records.written.load(Relaxed),
                waiting: self.records.waiting.load(Relaxed),
                failing: self.records.failing.load(Relaxed),
            },
            added_latency_us: Latency::of(self.workers.iter().map(|(_, counters)| &**counters)).quantiles_us(),
            workers: self.workers.iter().map(|(worker, counters)| WorkerStats::of(*worker, counters)).collect(),
            ports: self
                .ports
                .get()
                .map(PortReader::read)
                .unwrap_or_default()
                .into_iter()
                .map(PortStats::from)
                .collect(),
        }
    }
}

/// Everything that is counted, as JSON.
#[derive(Debug, Serialize)]
pub(crate) struct Stats<'a> {
    node: &'a str,
    version: &'static str,
    uptime_s: u64,
    ready: bool,
    not_ready: Vec<String>,
    draining: bool,
    calls: u64,
    max_calls: u64,
    switch: SwitchCounters,
    sip: SipCounters,
    records: RecordStats,
    added_latency_us: Quantiles,
    workers: Vec<WorkerStats>,
    ports: Vec<PortStats>,
}

#[derive(Debug, Serialize)]
struct RecordStats {
    written: u64,
    waiting: u64,
    failing: bool,
}

#[derive(Debug, Serialize)]
struct WorkerStats {
    worker: u16,
    flows: u64,
    frames_received: u64,
    frames_sent: u64,
    rtp_forwarded: u64,
    control_answered: u64,
    handed_over: u64,
    handed_in: u64,
    frames_originated: u64,
    frames_consumed: u64,
    batches: u64,
    batch_frames: u64,
    polls: u64,
    busy_polls: u64,
    busy_ns: u64,
    batch_wait_ns: u64,
    /// Nanoseconds by stage.
    stages_ns: serde_json::Map<String, serde_json::Value>,
    commands_ring: RingStats,
    events_ring: RingStats,
    handover_ring: RingStats,
    added_latency_us: Quantiles,
    /// Reasons that were counted at least once.
    drops: serde_json::Map<String, serde_json::Value>,
}

impl WorkerStats {
    fn of(worker: WorkerId, counters: &WorkerCounters) -> Self {
        let drops = DropReason::ALL.iter().filter_map(|reason| {
            let count = counters.drops_of(*reason);
            (count > 0).then(|| (reason.label().to_owned(), count.into()))
        });
        Self {
            worker: worker.0,
            flows: counters.flows.get(),
            frames_received: counters.frames_received.get(),
            frames_sent: counters.frames_sent.get(),
            rtp_forwarded: counters.rtp_forwarded.get(),
            control_answered: counters.control_answered.get(),
            handed_over: counters.handed_over.get(),
            handed_in: counters.handed_in.get(),
            frames_originated: counters.frames_originated.get(),
            frames_consumed: counters.frames_consumed.get(),
            batches: counters.batches.get(),
            batch_frames: counters.batch_frames.get(),
            polls: counters.polls.get(),
            busy_polls: counters.busy_polls.get(),
            busy_ns: counters.busy_ns.get(),
            batch_wait_ns: counters.batch_wait_ns.get(),
            stages_ns: Stage::ALL
                .iter()
                .map(|stage| (stage.label().to_owned(), counters.stage_ns.of(*stage).into()))
                .collect(),
            commands_ring: (&counters.commands_ring).into(),
            events_ring: (&counters.events_ring).into(),
            handover_ring: (&counters.handover_ring).into(),
            added_latency_us: Latency::of([counters]).quantiles_us(),
            drops: drops.collect(),
        }
    }
}

/// Entries on a ring.
#[derive(Debug, Serialize)]
struct RingStats {
    now: u64,
    most: u64,
}

impl From<&RingDepth> for RingStats {
    fn from(depth: &RingDepth) -> Self {
        Self { now: depth.now.get(), most: depth.most.get() }
    }
}

#[derive(Debug, Serialize)]
struct PortStats {
    port: String,
    counters: serde_json::Map<String, serde_json::Value>,
}

impl From<crate::ports::PortReading> for PortStats {
    fn from(reading: crate::ports::PortReading) -> Self {
        let counters = reading.counters.into_iter().map(|(name, value)| (name, value.into())).collect();
        Self { port: reading.port, counters }
    }
}
