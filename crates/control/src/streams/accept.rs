//! A listening socket: what connects to it is announced to the switch, then shakes hands.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tandem_config::Transport;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::Sender;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::connection::{carry, given_up};
use super::{Admitted, Arrival, Bound, proxy_protocol, websocket};
use crate::tls::TlsConfigs;

/// Between two tries where the kernel has no descriptor or memory left.
const PAUSE: Duration = Duration::from_millis(100);

/// Connections of one listener that the switch does not know of yet, at most.
const MAX_UNANNOUNCED: usize = 1024;

pub(super) struct Acceptor {
    bound: Bound,
    socket: TcpListener,
    tls: Option<watch::Receiver<TlsConfigs>>,
    arrivals: Sender<Arrival>,
    /// For connections that the switch does not know of yet.
    unannounced: Arc<Semaphore>,
    /// How long a load balancer may take to say who connects.
    patience: Duration,
}

impl Acceptor {
    /// Within a tokio runtime.
    pub(super) fn new(
        bound: Bound,
        tls: Option<watch::Receiver<TlsConfigs>>,
        arrivals: Sender<Arrival>,
        patience: Duration,
    ) -> io::Result<Arc<Self>> {
        let socket = TcpListener::from_std(bound.socket.try_clone()?)?;
        let unannounced = Arc::new(Semaphore::new(MAX_UNANNOUNCED));
        Ok(Arc::new(Self { bound, socket, tls, arrivals, unannounced, patience }))
    }

    /// Accepts for as long as the switch lives.
    pub(super) async fn run(self: Arc<Self>) {
        loop {
            let (stream, remote) = match self.socket.accept().await {
                Ok(accepted) => accepted,
                // Of the connection that is gone already there is nothing to say.
                Err(error) if is_the_connections_own(&error) => continue,
                Err(error) => {
                    tracing::warn!(listener = self.bound.config.name, %error, "cannot accept connections");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            };
            let _ = stream.set_nodelay(true);
            if self.arrivals.is_closed() {
                return;
            }
            let by_proxy = self.bound.config.proxies.iter().any(|net| net.contains(remote.ip()));
            // Beyond so many the balancer's own limits are wrong: what it cannot say is lost.
            let Ok(permit) = self.unannounced.clone().try_acquire_owned() else { continue };
            tokio::spawn(self.clone().greet(stream, remote, by_proxy, permit));
        }
    }

    /// Learns who connects, and has the switch admit it.
    async fn greet(
        self: Arc<Self>,
        mut stream: TcpStream,
        mut remote: SocketAddr,
        by_proxy: bool,
        permit: OwnedSemaphorePermit,
    ) {
        if by_proxy {
            match timeout(self.patience, proxy_protocol::read(&mut stream)).await {
                Ok(Ok(source)) => remote = source.unwrap_or(remote),
                Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => return,
                Ok(Err(error)) => {
                    tracing::debug!(listener = self.bound.config.name, %remote, %error, "refused");
                    return;
                }
                Err(_) => return,
            }
        }
        let Some(admitted) = self.announce(remote).await else { return };
        drop(permit);
        let transport = self.bound.config.transport;
        let tls = self.tls.as_ref().map(|reader| TlsAcceptor::from(reader.borrow().server.clone()));
        serve(stream, transport, tls, admitted, self.arrivals.clone()).await;
    }

    async fn announce(&self, remote: SocketAddr) -> Option<Admitted> {
        let (admit, admitted) = oneshot::channel();
        self.arrivals.send(Arrival::Accepted { listener: self.bound.listener, remote, admit }).await.ok()?;
        admitted.await.ok().flatten()
    }
}

fn is_the_connections_own(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}

/// Handshakes, then carries. The switch ends what takes too long by letting go of the queue.
async fn serve(
    stream: TcpStream,
    transport: Transport,
    tls: Option<TlsAcceptor>,
    admitted: Admitted,
    arrivals: Sender<Arrival>,
) {
    let Admitted { connection, mut outbox } = admitted;
    let Some(tls) = tls else {
        return speak(stream, transport, Admitted { connection, outbox }, arrivals).await;
    };
    let shaken = tokio::select! {
        shaken = tls.accept(stream) => shaken,
        () = given_up(&mut outbox) => Err(io::ErrorKind::TimedOut.into()),
    };
    match shaken {
        Ok(stream) => speak(stream, transport, Admitted { connection, outbox }, arrivals).await,
        Err(error) => {
            tracing::debug!(connection = connection.0, %error, "no TLS");
            let _ = arrivals.send(Arrival::Closed(connection)).await;
        }
    }
}

async fn speak<S>(stream: S, transport: Transport, admitted: Admitted, arrivals: Sender<Arrival>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let Admitted { connection, outbox } = admitted;
    match transport {
        Transport::Ws | Transport::Wss => websocket::serve(connection, stream, outbox, arrivals).await,
        Transport::Udp | Transport::Tcp | Transport::Tls => {
            let _ = arrivals.send(Arrival::Opened(connection)).await;
            carry(connection, stream, outbox, arrivals).await;
        }
    }
}
