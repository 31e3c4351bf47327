//! UDP sockets of heartbeats, one per path.

use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll};

use tandem_cluster::MAX_BEAT_BYTES;
use tokio::net::UdpSocket;

use super::ClusterError;

/// Datagrams taken from one socket before timers have their turn.
const BATCH: usize = 64;

pub(crate) fn bind(address: SocketAddr) -> Result<std::net::UdpSocket, ClusterError> {
    let open = || {
        let socket = std::net::UdpSocket::bind(address)?;
        socket.set_nonblocking(true)?;
        Ok(socket)
    };
    open().map_err(|source| ClusterError::Bind { address, source })
}

/// All paths of this node, and the addresses of the other members on each.
pub(crate) struct Paths {
    sockets: Vec<UdpSocket>,
    /// By member, then by path.
    members: Vec<Vec<SocketAddr>>,
    /// One octet more than the longest beat, so that what is longer is seen to be.
    buffer: [u8; MAX_BEAT_BYTES + 1],
}

impl Paths {
    /// Takes bound sockets over; within a tokio runtime.
    pub(crate) fn new(sockets: Vec<std::net::UdpSocket>, members: Vec<Vec<SocketAddr>>) -> io::Result<Self> {
        let sockets = sockets.into_iter().map(UdpSocket::from_std).collect::<io::Result<_>>()?;
        Ok(Self { sockets, members, buffer: [0; MAX_BEAT_BYTES + 1] })
    }

    /// Members came or went.
    pub(crate) fn set_members(&mut self, members: Vec<Vec<SocketAddr>>) {
        self.members = members;
    }

    /// Ready when any socket has a datagram.
    pub(crate) fn poll_readable(&self, context: &mut Context<'_>) -> Poll<()> {
        // Each is asked, so that each wakes the task.
        let ready = self.sockets.iter().filter(|socket| socket.poll_recv_ready(context).is_ready()).count();
        if ready > 0 { Poll::Ready(()) } else { Poll::Pending }
    }

    pub(crate) fn receive(&mut self, mut take: impl FnMut(SocketAddr, &[u8])) {
        for socket in &self.sockets {
            for _ in 0..BATCH {
                match socket.try_recv_from(&mut self.buffer) {
                    Ok((len, from)) => take(from, &self.buffer[..len]),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    // What an earlier datagram met; the next one is still there.
                    Err(_) => {}
                }
            }
        }
    }

    /// A beat that does not leave is one that is lost: the member's silence says all that there is to say.
    pub(crate) fn send(&self, member: usize, path: usize, bytes: &[u8]) {
        if let (Some(socket), Some(to)) = (self.sockets.get(path), self.members.get(member).and_then(|to| to.get(path)))
        {
            let _ = socket.try_send_to(bytes, *to);
        }
    }
}
