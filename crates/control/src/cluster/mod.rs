//! The cluster's shell: heartbeats over UDP, its vote in the store, and what it wants done.
//!
//! It has a thread of its own, so that neither a burst of SIP nor a slow disk makes this node look dead, or lets it believe
//! that it is alive.

mod effects;
mod enrolment;
mod joining;
mod lease;
mod member;
mod sockets;
mod view;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tandem_cluster::{ClusterConfigError, OrderError};
use tandem_contract::{Fence, Nanos};
use tokio::sync::{mpsc, oneshot};

use crate::clock::Clock;

pub(crate) use effects::{LetGo, TakeOver};
pub(crate) use enrolment::Discovery;
pub(crate) use member::{Setup, run};
pub(crate) use view::{ClusterStatus, ClusterView};

/// What stops workers, and the clock that they compare it with.
pub struct WorkerFence {
    /// Compared by every worker with each burst.
    pub fence: Arc<Fence>,
    /// The workers' clock.
    pub clock: Box<dyn FnMut() -> Nanos + Send>,
}

impl WorkerFence {
    /// A fence that no worker looks at.
    pub fn of_nobody() -> Self {
        Self { fence: Arc::new(Fence::lifted()), clock: Box::new(Nanos::default) }
    }
}

/// Between looks whether workers rest: timers are no finer.
const REST_TURN: Duration = Duration::from_millis(1);
/// Looks until that is not waited for any more: far less than a lease.
const REST_TURNS: usize = 6;

/// All that stops this node from being heard.
#[derive(Debug)]
pub(crate) struct Fences {
    /// Media.
    pub(crate) workers: WorkerFence,
    /// SIP, on control's clock.
    pub(crate) signalling: Arc<Fence>,
}

impl Fences {
    /// What this node says may be said before `until`, on control's clock.
    pub(crate) fn permit(&mut self, clock: Clock, until: Nanos) {
        self.signalling.permit(until);
        if until > clock.now() {
            // Whatever was handed over is back.
            self.workers.fence.wake();
        }
        // In this order: a process that is stopped between the two grants less time, not more.
        let of_workers = (self.workers.clock)();
        let left = until.since(clock.now());
        self.workers.fence.permit(of_workers.plus(left));
    }

    /// Lets workers send what they have taken, and tells when so many have.
    pub(crate) async fn rest(&mut self, workers: usize) {
        self.workers.fence.rest((self.workers.clock)());
        for _ in 0..REST_TURNS {
            if self.workers.fence.rested() as usize >= workers {
                return;
            }
            tokio::time::sleep(REST_TURN).await;
        }
        tracing::warn!("workers did not say in time that they have sent what they had");
    }

    /// Nothing is left that another node might have.
    pub(crate) fn lift(&self) {
        self.signalling.lift();
        self.workers.fence.lift();
    }
}

impl std::fmt::Debug for WorkerFence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WorkerFence").field("fence", &self.fence).finish_non_exhaustive()
    }
}

/// The node's part in the cluster cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// The secret.
    #[error("cluster.secret_file: cannot read {}: {source}", path.display())]
    Secret {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A socket.
    #[error("cluster.members: cannot bind UDP {address} for heartbeats: {source}")]
    Bind {
        /// Its address.
        address: SocketAddr,
        /// What the kernel said.
        source: io::Error,
    },
    /// The store's URL.
    #[error("cluster.store: {0}")]
    Store(String),
    /// Who is a member cannot be asked.
    #[error("cluster.discover: {0}")]
    Discovery(String),
    /// Nobody is.
    #[error("cluster.discover: EC2 knows no instance that runs and has {0}: are name, region and account right?")]
    NobodyFound(String),
    /// This instance is none.
    #[error("cluster.discover: this instance, {own}, does not have {by}; those that have are {found}")]
    NotAmong {
        /// This instance.
        own: String,
        /// What members have in common.
        by: String,
        /// The members.
        found: String,
    },
    /// What the machine does not take.
    #[error("cluster: {0}")]
    Config(#[from] ClusterConfigError),
}

/// What is asked of the cluster's thread.
#[derive(Debug)]
pub(crate) enum ClusterRequest {
    View(oneshot::Sender<ClusterView>),
    /// To whom; the best where nobody is named.
    SwitchOver(Option<String>, oneshot::Sender<Result<(), OrderError>>),
    Force(oneshot::Sender<Result<(), OrderError>>),
    Maintenance(bool, oneshot::Sender<()>),
    /// Answered when nothing is held any more.
    Leave(oneshot::Sender<()>),
}

/// The way to the cluster's thread.
#[derive(Clone, Debug)]
pub(crate) struct ClusterHandle(pub(crate) mpsc::Sender<ClusterRequest>);

/// How long the cluster's thread may take to answer before it counts as stuck.
const ANSWER: Duration = Duration::from_secs(2);

impl ClusterHandle {
    /// Asks; `None` where no answer came.
    pub(crate) async fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> ClusterRequest) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        let exchange = async {
            self.0.send(request(answer)).await.ok()?;
            answered.await.ok()
        };
        tokio::time::timeout(ANSWER, exchange).await.ok().flatten()
    }
}
