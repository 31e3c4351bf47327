//! A warm copy of what other nodes put into the store.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use futures_util::StreamExt;
use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;
use tokio::time::timeout;

use crate::StoreStatus;
use crate::batch::decode;
use crate::link::{Link, LinkError, Pause, StoreConfig};
use crate::names::{Names, NodeRun};

/// Publications come once a second from each node, our own included: who hears nothing for so long is cut off.
const SILENCE: Duration = Duration::from_secs(5);

/// What a value is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// A call.
    Call,
    /// How far a call's media had come.
    Position,
}

/// What whoever follows is told. It is not to be printed: values have keys.
#[derive(Clone, PartialEq, Eq)]
pub enum Change {
    /// Everything that is known of this node is void; what it has follows.
    Anew(NodeRun),
    /// This is so now.
    Put {
        /// Whose.
        node: NodeRun,
        /// What.
        subject: Subject,
        /// Of which of its calls.
        call: u64,
        /// As it was written.
        value: Arc<[u8]>,
        /// It was published just now; else it may have been in the store for any time.
        is_fresh: bool,
    },
    /// The node has let go of its calls, and this is all that it had of them.
    Complete(NodeRun),
    /// This is gone.
    Gone {
        /// Whose.
        node: NodeRun,
        /// What.
        subject: Subject,
        /// Of which of its calls.
        call: u64,
    },
}

/// Tells `tell` what every process but that of `own` has in the store, and what becomes of it, for good. What is told last of a call is
/// the truth. Where the store is away, nothing is told, and when it is back everything is told again.
///
/// # Errors
/// A URL is none, or there is none.
pub fn follow(
    config: &StoreConfig,
    own: NodeRun,
    status: Arc<StoreStatus>,
    tell: impl FnMut(Change) + Send + 'static,
) -> Result<impl Future<Output = ()> + Send + 'static, LinkError> {
    let mut link = Link::new(config)?;
    let mut follower = Follower { names: Names::new(&config.prefix), own, status, numbers: HashMap::new(), tell };
    Ok(async move {
        let mut pause = Pause::new();
        loop {
            let outcome = follower.run(&mut link, &mut pause).await;
            if follower.status.is_following.swap(false, Relaxed) {
                let error = outcome.err().map(|error| error.to_string()).unwrap_or_default();
                tracing::warn!(error, "the copy of other nodes' calls is not kept up: the store is away");
            }
            pause.wait().await;
        }
    })
}

struct Follower<T> {
    names: Names,
    own: NodeRun,
    status: Arc<StoreStatus>,
    /// The last publication of each node.
    numbers: HashMap<NodeRun, u64>,
    tell: T,
}

impl<T: FnMut(Change)> Follower<T> {
    async fn run(&mut self, link: &mut Link, pause: &mut Pause) -> Result<(), LinkError> {
        let subscription = link.subscribe(&self.names.all_channels()).await?;
        let mut connection = link.connect().await?;
        self.numbers.clear();
        for node in self.nodes(&mut connection).await? {
            self.read(&mut connection, node).await?;
        }
        if !self.status.is_following.swap(true, Relaxed) {
            tracing::info!("the copy of other nodes' calls is kept up");
        }
        *pause = Pause::new();
        let mut publications = std::pin::pin!(subscription.into_on_message());
        loop {
            let Some(message) = timeout(SILENCE, publications.next()).await.map_err(|_| LinkError::Silent)? else {
                return Ok(());
            };
            let node = self.names.node_of(message.get_channel_name()).filter(|node| !node.is_same_process(&self.own));
            if let Some(node) = node {
                self.take(&mut connection, node, message.get_payload_bytes()).await?;
            }
        }
    }

    async fn nodes(&mut self, connection: &mut MultiplexedConnection) -> Result<Vec<NodeRun>, LinkError> {
        let known: Vec<String> = connection.zrange(self.names.nodes(), 0, -1).await?;
        Ok(known
            .iter()
            .filter_map(|node| NodeRun::parse(node))
            .filter(|node| !node.is_same_process(&self.own))
            .collect())
    }

    /// Tells all that the store has of a node.
    async fn read(&mut self, connection: &mut MultiplexedConnection, node: NodeRun) -> Result<(), LinkError> {
        let calls: Vec<(u64, Vec<u8>)> = connection.hgetall(self.names.calls(&node)).await?;
        let positions: Vec<(u64, Vec<u8>)> = connection.hgetall(self.names.positions(&node)).await?;
        (self.tell)(Change::Anew(node.clone()));
        for (subject, values) in [(Subject::Call, calls), (Subject::Position, positions)] {
            for (call, value) in values {
                let value = value.into();
                (self.tell)(Change::Put { node: node.clone(), subject, call, value, is_fresh: false });
            }
        }
        Ok(())
    }

    /// Tells what a publication says. Where one is missing before it, all is read again.
    async fn take(
        &mut self,
        connection: &mut MultiplexedConnection,
        node: NodeRun,
        octets: &[u8],
    ) -> Result<(), LinkError> {
        let decoded = decode(octets);
        let number = decoded.as_ref().map(|batch| batch.number);
        let is_last = decoded.as_ref().is_some_and(|batch| batch.is_last);
        let before = match number {
            Some(number) => self.numbers.insert(node.clone(), number),
            None => self.numbers.remove(&node),
        };
        let follows = before.zip(number).is_some_and(|(before, number)| before.checked_add(1) == Some(number));
        // Of a node that was not heard before everything is read once more: it may have begun after the list was read.
        if !follows {
            self.status.gaps.fetch_add(u64::from(before.is_some()), Relaxed);
            self.read(connection, node.clone()).await?;
        }
        let entries = decoded.filter(|_| follows).map(|batch| batch.entries).unwrap_or_default();
        for entry in entries {
            let (node, subject, call) = (node.clone(), entry.subject, entry.call);
            (self.tell)(match entry.value {
                Some(value) => Change::Put { node, subject, call, value, is_fresh: true },
                None => Change::Gone { node, subject, call },
            });
        }
        if is_last {
            (self.tell)(Change::Complete(node));
        }
        Ok(())
    }
}
