//! HTTPS's connections: handshakes beside each other, so that one that hangs holds up nobody.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::serve::{IncomingStream, Listener};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::server::TlsStream;

use super::access::Caller;

/// Handshakes at once.
const HANDSHAKES: usize = 64;
/// How long one may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two tries where the kernel has no descriptor or memory left.
const PAUSE: Duration = Duration::from_millis(100);

type Shaken = (TlsStream<TcpStream>, SocketAddr);

/// Connections whose handshakes are done.
pub(super) struct TlsListener {
    local: SocketAddr,
    shaken: Receiver<Shaken>,
}

impl TlsListener {
    /// Within a tokio runtime, and as long as that. Each connection begins with the certificates of its time.
    pub(super) fn new(socket: TcpListener, certificates: watch::Receiver<Arc<ServerConfig>>) -> io::Result<Self> {
        let local = socket.local_addr()?;
        let (sender, shaken) = channel(HANDSHAKES);
        tokio::spawn(accept(socket, certificates, sender));
        Ok(Self { local, shaken })
    }
}

async fn accept(socket: TcpListener, certificates: watch::Receiver<Arc<ServerConfig>>, shaken: Sender<Shaken>) {
    let room = Arc::new(Semaphore::new(HANDSHAKES));
    loop {
        // What does not fit waits in the kernel's queue.
        let Ok(permit) = room.clone().acquire_owned().await else { return };
        let (stream, remote) = match socket.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections of HTTPS");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let acceptor = TlsAcceptor::from(certificates.borrow().clone());
        let shaken = shaken.clone();
        tokio::spawn(async move {
            match timeout(PATIENCE, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => {
                    let _ = shaken.send((stream, remote)).await;
                }
                Ok(Err(error)) => tracing::debug!(%remote, %error, "no HTTPS"),
                Err(_) => tracing::debug!(%remote, "no HTTPS: the handshake takes too long"),
            }
            drop(permit);
        });
    }
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> Shaken {
        match self.shaken.recv().await {
            Some(shaken) => shaken,
            // The runtime is ending, and this with it.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.local)
    }
}

impl axum::extract::connect_info::Connected<IncomingStream<'_, TlsListener>> for Caller {
    fn connect_info(stream: IncomingStream<'_, TlsListener>) -> Self {
        let is_certified = stream.io().get_ref().1.peer_certificates().is_some_and(|chain| !chain.is_empty());
        Self { address: *stream.remote_addr(), is_certified }
    }
}

impl axum::extract::connect_info::Connected<IncomingStream<'_, TcpListener>> for Caller {
    fn connect_info(stream: IncomingStream<'_, TcpListener>) -> Self {
        Self { address: *stream.remote_addr(), is_certified: false }
    }
}
