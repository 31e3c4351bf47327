//! SIP over TCP, TLS and WebSocket: a thread of its own accepts, opens, encrypts and frames, so that a handshake never
//! holds up the switch.
//!
//! [`Streams`] is what the switch's thread has of it: numbers with a queue behind each. Both directions are bounded. What
//! comes waits in its connection while the switch is busy, and a far end that does not read loses its connection.

mod accept;
mod connection;
mod proxy_protocol;
mod websocket;

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

use tandem_call::{ConnectionId, ListenerId};
use tandem_config::{Listener, Sip, Transport};
use tokio::sync::mpsc::{Receiver, Sender, UnboundedReceiver, UnboundedSender, channel, unbounded_channel};
use tokio::sync::{oneshot, watch};

use crate::tls::{TlsConfigs, TlsError};

/// What waits for the switch's thread at most: reads of one buffer each.
const WAITING_ARRIVALS: usize = 256;
/// Messages that wait for one far end to read, and their octets, at most.
const WAITING_MESSAGES: usize = 1024;
const WAITING_BYTES: usize = 1 << 20;

/// What the thread of connections tells the switch's.
#[derive(Debug)]
pub(crate) enum Arrival {
    /// Somebody connected, handshakes still to come; answered with `None` where there is no room.
    Accepted { listener: ListenerId, remote: SocketAddr, admit: oneshot::Sender<Option<Admitted>> },
    /// Handshakes are done.
    Opened(ConnectionId),
    /// Octets of a stream.
    Bytes(ConnectionId, Vec<u8>),
    /// A whole message.
    Message(ConnectionId, Vec<u8>),
    /// It is gone, or did not come about.
    Closed(ConnectionId),
}

/// A connection that may go on.
#[derive(Debug)]
pub(crate) struct Admitted {
    connection: ConnectionId,
    outbox: Outbox,
}

/// What the switch's thread wants of the one of connections.
#[derive(Debug)]
struct Open {
    connection: ConnectionId,
    listener: ListenerId,
    to: SocketAddr,
    server_name: Option<String>,
    outbox: Outbox,
}

/// The connection's end of its queue.
#[derive(Debug)]
struct Outbox {
    messages: Receiver<Vec<u8>>,
    waiting: Arc<AtomicUsize>,
}

impl Outbox {
    /// The next message to be sent; `None` once the switch has given the connection up and all is said.
    async fn next(&mut self) -> Option<Vec<u8>> {
        let bytes = self.messages.recv().await?;
        self.waiting.fetch_sub(bytes.len(), Relaxed);
        Some(bytes)
    }

    fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }
}

/// The switch's end of that queue.
#[derive(Debug)]
struct Queue {
    messages: Sender<Vec<u8>>,
    waiting: Arc<AtomicUsize>,
}

fn queue() -> (Queue, Outbox) {
    let (sender, receiver) = channel(WAITING_MESSAGES);
    let waiting = Arc::new(AtomicUsize::new(0));
    (Queue { messages: sender, waiting: waiting.clone() }, Outbox { messages: receiver, waiting })
}

/// All connections, as the switch's thread sees them.
#[derive(Debug)]
pub(crate) struct Streams {
    open: UnboundedSender<Open>,
    queues: HashMap<ConnectionId, Queue>,
    tls: Vec<Option<watch::Sender<TlsConfigs>>>,
}

/// The thread runs.
pub(crate) struct Started {
    pub(crate) streams: Streams,
    pub(crate) arrivals: Receiver<Arrival>,
    /// Ends after `streams` is dropped.
    pub(crate) thread: JoinHandle<io::Result<()>>,
}

/// A listening socket of TCP, not accepting yet.
#[derive(Debug)]
pub(crate) struct Bound {
    pub(crate) listener: ListenerId,
    pub(crate) socket: std::net::TcpListener,
    pub(crate) config: Listener,
}

impl Streams {
    /// Reads certificates and starts the thread; it accepts once the arrivals are read and `begin` is told so.
    pub(crate) fn start(sip: &Sip, bound: Vec<Bound>, begin: oneshot::Receiver<()>) -> Result<Started, StreamsError> {
        let listeners = &sip.listen;
        let mut tls = Vec::new();
        let mut readers = Vec::new();
        for listener in listeners {
            let configs = listener
                .tls
                .as_ref()
                .map(TlsConfigs::load)
                .transpose()
                .map_err(|error| StreamsError::Tls { listener: listener.name.clone(), error: Box::new(error) })?;
            let (sender, reader) = configs.map(watch::channel).unzip();
            tls.push(sender);
            readers.push(reader);
        }
        let (arrivals, incoming) = channel(WAITING_ARRIVALS);
        let (open, to_open) = unbounded_channel();
        let listeners = listeners.to_vec();
        let patience = Duration::from_secs(sip.connections.open_timeout_s.into());
        let thread = std::thread::Builder::new().name("tandem-streams".to_owned()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(run((&listeners, patience), bound, readers, (arrivals, to_open), begin))
        })?;
        Ok(Started { streams: Self { open, queues: HashMap::new(), tls }, arrivals: incoming, thread })
    }

    /// Takes an accepted connection on.
    pub(crate) fn admit(&mut self, connection: ConnectionId) -> Admitted {
        let (queue, outbox) = queue();
        self.queues.insert(connection, queue);
        Admitted { connection, outbox }
    }

    /// Begins to open a connection.
    pub(crate) fn connect(
        &mut self,
        connection: ConnectionId,
        listener: ListenerId,
        to: SocketAddr,
        server_name: Option<String>,
    ) {
        let (queue, outbox) = queue();
        self.queues.insert(connection, queue);
        // The thread lives as long as this sender.
        let _ = self.open.send(Open { connection, listener, to, server_name, outbox });
    }

    /// Queues a message; `false` where the far end does not read and the connection is as good as gone.
    pub(crate) fn send(&mut self, connection: ConnectionId, bytes: Vec<u8>) -> bool {
        let Some(queue) = self.queues.get(&connection) else { return false };
        let length = bytes.len();
        if queue.waiting.fetch_add(length, Relaxed) + length > WAITING_BYTES {
            return false;
        }
        queue.messages.try_send(bytes).is_ok()
    }

    /// Lets go of a connection: what is queued is still sent, then it is closed.
    pub(crate) fn close(&mut self, connection: ConnectionId) {
        self.queues.remove(&connection);
    }

    /// Reads every listener's certificates again, for connections from now on. Where that fails, the old ones stay: those are
    /// named, and why.
    pub(crate) fn reload(&self, listeners: &[Listener]) -> Vec<String> {
        let mut kept = Vec::new();
        for (listener, sender) in listeners.iter().zip(&self.tls) {
            let (Some(files), Some(sender)) = (&listener.tls, sender) else { continue };
            match TlsConfigs::load(files) {
                Ok(configs) => {
                    sender.send_replace(configs);
                    tracing::info!(listener = listener.name, "certificates read again");
                }
                Err(error) => kept.push(format!("certificates of SIP listener `{}`: {error}", listener.name)),
            }
        }
        kept
    }
}

/// Connections cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum StreamsError {
    /// Certificates, keys or authorities.
    #[error("SIP listener `{listener}`: {error}")]
    Tls {
        /// The listener.
        listener: String,
        /// What is wrong.
        error: Box<TlsError>,
    },
    /// The thread.
    #[error("cannot start the thread of SIP connections: {0}")]
    Thread(#[from] io::Error),
}

async fn run(
    (listeners, patience): (&[Listener], Duration),
    bound: Vec<Bound>,
    tls: Vec<Option<watch::Receiver<TlsConfigs>>>,
    (arrivals, mut to_open): (Sender<Arrival>, UnboundedReceiver<Open>),
    begin: oneshot::Receiver<()>,
) -> io::Result<()> {
    let accepting: Vec<_> = bound
        .into_iter()
        .map(|bound| {
            let tls = tls.get(usize::from(bound.listener.0)).cloned().flatten();
            accept::Acceptor::new(bound, tls, arrivals.clone(), patience)
        })
        .collect::<io::Result<_>>()?;
    tokio::spawn(async move {
        if begin.await.is_ok() {
            for acceptor in accepting {
                tokio::spawn(acceptor.run());
            }
        }
    });
    // Ends with the switch's thread, and what it spawned with it.
    while let Some(open) = to_open.recv().await {
        let id = usize::from(open.listener.0);
        let Some(listener) = listeners.get(id) else { continue };
        let tls = match listener.transport {
            Transport::Tls => tls.get(id).and_then(Option::as_ref).map(|reader| reader.borrow().client.clone()),
            _ => None,
        };
        tokio::spawn(connection::open(listener.address.0.ip(), open, tls, arrivals.clone()));
    }
    Ok(())
}
