//! One connection from its handshake to its end.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tandem_call::ConnectionId;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc::Sender;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

use super::{Arrival, Open, Outbox};

/// Octets of one read.
const READ_BYTES: usize = 16 << 10;
/// How long the far end may take to make room for a message.
pub(super) const WRITE_PATIENCE: Duration = Duration::from_secs(10);
/// How long the last messages may take after the far end has ended.
const LINGER: Duration = Duration::from_secs(5);

/// Opens a connection from the listener's own address. The switch's patience ends it where it takes too long: then its
/// queue is gone.
pub(super) async fn open(from: IpAddr, open: Open, tls: Option<Arc<ClientConfig>>, arrivals: Sender<Arrival>) {
    let Open { connection, to, server_name, mut outbox, .. } = open;
    let opened = async {
        let stream = connect(from, to).await?;
        match tls {
            None => Ok(Either::Plain(stream)),
            Some(config) => {
                let name = match server_name {
                    Some(name) => ServerName::try_from(name).map_err(io::Error::other)?,
                    None => ServerName::from(to.ip()),
                };
                Ok(Either::Tls(Box::new(TlsConnector::from(config).connect(name, stream).await?)))
            }
        }
    };
    let outcome: io::Result<Either> = tokio::select! {
        outcome = opened => outcome,
        () = given_up(&mut outbox) => Err(io::ErrorKind::TimedOut.into()),
    };
    match outcome {
        Ok(stream) => {
            let _ = arrivals.send(Arrival::Opened(connection)).await;
            match stream {
                Either::Plain(stream) => carry(connection, stream, outbox, arrivals).await,
                Either::Tls(stream) => carry(connection, *stream, outbox, arrivals).await,
            }
        }
        Err(error) => {
            tracing::debug!(connection = connection.0, %to, %error, "no connection");
            let _ = arrivals.send(Arrival::Closed(connection)).await;
        }
    }
}

enum Either {
    Plain(TcpStream),
    Tls(Box<tokio_rustls::client::TlsStream<TcpStream>>),
}

/// Ready when the switch has let go of the connection. Nothing is queued before it is open.
pub(super) async fn given_up(outbox: &mut Outbox) {
    while outbox.next().await.is_some() {}
}

async fn connect(from: IpAddr, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = if to.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    if !from.is_unspecified() {
        socket.bind(SocketAddr::new(from, 0))?;
    }
    let stream = socket.connect(to).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Carries octets both ways until either side has had enough.
pub(super) async fn carry<S>(connection: ConnectionId, stream: S, outbox: Outbox, arrivals: Sender<Arrival>)
where
    S: AsyncRead + AsyncWrite,
{
    let (reader, writer) = tokio::io::split(stream);
    let reading = read(connection, reader, &arrivals);
    let writing = write(writer, outbox);
    tokio::pin!(reading, writing);
    tokio::select! {
        () = &mut reading => {
            let _ = arrivals.send(Arrival::Closed(connection)).await;
            // The switch lets go of its queue now; what it had said before still leaves.
            let _ = timeout(LINGER, writing).await;
        }
        _ = &mut writing => {
            let _ = arrivals.send(Arrival::Closed(connection)).await;
        }
    }
}

async fn read(connection: ConnectionId, mut reader: impl AsyncRead + Unpin, arrivals: &Sender<Arrival>) {
    let mut buffer = vec![0; READ_BYTES];
    loop {
        match reader.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(read) => {
                let bytes = buffer[..read].to_vec();
                if arrivals.send(Arrival::Bytes(connection, bytes)).await.is_err() {
                    return;
                }
            }
        }
    }
}

async fn write(mut writer: impl AsyncWrite + Unpin, mut outbox: Outbox) -> io::Result<()> {
    while let Some(bytes) = outbox.next().await {
        timeout(WRITE_PATIENCE, writer.write_all(&bytes)).await??;
        if outbox.is_empty() {
            timeout(WRITE_PATIENCE, writer.flush()).await??;
        }
    }
    timeout(LINGER, writer.shutdown()).await?
}
