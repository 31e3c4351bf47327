//! SIP's sockets: those of UDP, and binding both kinds.

use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll};

use socket2::{Domain, Protocol, Socket, Type};
use tandem_call::ListenerId;
use tokio::net::UdpSocket;

/// Room for what arrives while the thread is busy: some thousand requests.
const RECEIVE_BUFFER_BYTES: usize = 4 << 20;
/// Datagrams taken from one socket before the others and the timers have their turn.
const BATCH: usize = 32;
/// Connections that wait to be accepted; the kernel takes less where `net.core.somaxconn` says so.
const WAITING_CONNECTIONS: i32 = 4096;
/// The longest UDP payload.
const MAX_DATAGRAM_BYTES: usize = 65_535;

/// A socket cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("SIP listener `{name}`: cannot bind {protocol} {address}: {source}{}", advice(source))]
pub struct BindError {
    /// The listener.
    pub name: String,
    /// UDP or TCP.
    pub protocol: &'static str,
    /// Its address.
    pub address: SocketAddr,
    /// What the kernel said.
    pub source: io::Error,
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrNotAvailable => " (no interface has this address: see `ip address`)",
        io::ErrorKind::AddrInUse => " (another program has it: see `ss -lunpt`)",
        io::ErrorKind::PermissionDenied => " (ports below 1024 need CAP_NET_BIND_SERVICE)",
        _ => "",
    }
}

/// Binds one listener's address. Nothing is read from it yet. A floating address need not be here.
pub(crate) fn bind(name: &str, address: SocketAddr, floats: bool) -> Result<std::net::UdpSocket, BindError> {
    let open = || {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        if floats {
            float(&socket, address)?;
        }
        // The kernel grants what its limit allows, which is not an error.
        socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        Ok(std::net::UdpSocket::from(socket))
    };
    open().map_err(|source| BindError { name: name.to_owned(), protocol: "UDP", address, source })
}

/// The same for a listener of connections. They wait in the kernel until they are accepted.
pub(crate) fn listen(name: &str, address: SocketAddr, floats: bool) -> Result<std::net::TcpListener, BindError> {
    let open = || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        if floats {
            float(&socket, address)?;
        }
        // A restart does not wait for connections of the run before.
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(WAITING_CONNECTIONS)?;
        Ok(std::net::TcpListener::from(socket))
    };
    open().map_err(|source| BindError { name: name.to_owned(), protocol: "TCP", address, source })
}

/// The address may come after the socket is bound to it.
fn float(socket: &Socket, address: SocketAddr) -> io::Result<()> {
    if address.is_ipv4() { socket.set_freebind_v4(true) } else { socket.set_freebind_v6(true) }
}

/// All listeners of UDP.
pub(crate) struct Sockets {
    sockets: Vec<(ListenerId, UdpSocket)>,
    buffer: Box<[u8]>,
}

/// How sending a datagram went.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// The kernel has it.
    Yes,
    /// The kernel's buffer is full: as good as lost on the way.
    Dropped,
    /// There is no way to that address.
    Unreachable,
}

impl Sockets {
    /// Takes bound sockets over; within a tokio runtime.
    pub(crate) fn new(sockets: Vec<(ListenerId, std::net::UdpSocket)>) -> io::Result<Self> {
        let taken_over = |(listener, socket)| Ok((listener, UdpSocket::from_std(socket)?));
        let sockets = sockets.into_iter().map(taken_over).collect::<io::Result<_>>()?;
        Ok(Self { sockets, buffer: vec![0; MAX_DATAGRAM_BYTES].into() })
    }

    /// Ready when any socket has a datagram.
    pub(crate) fn poll_readable(&self, context: &mut Context<'_>) -> Poll<()> {
        // Each is asked, so that each wakes the task.
        let mut any = Poll::Pending;
        for (_, socket) in &self.sockets {
            if socket.poll_recv_ready(context).is_ready() {
                any = Poll::Ready(());
            }
        }
        any
    }

    /// Gives what has arrived to `take`, at most [`BATCH`] datagrams of each socket.
    pub(crate) fn receive(&mut self, mut take: impl FnMut(ListenerId, SocketAddr, &[u8])) {
        for (listener, socket) in &self.sockets {
            for _ in 0..BATCH {
                match socket.try_recv_from(&mut self.buffer) {
                    Ok((len, remote)) => take(*listener, remote, &self.buffer[..len]),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    // What an earlier datagram met; the next one is still there.
                    Err(_) => {}
                }
            }
        }
    }

    pub(crate) fn send(&self, listener: ListenerId, to: SocketAddr, bytes: &[u8]) -> Sent {
        let Some((_, socket)) = self.sockets.iter().find(|(known, _)| *known == listener) else { return Sent::Dropped };
        match socket.try_send_to(bytes, to) {
            Ok(_) => Sent::Yes,
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::OutOfMemory => Sent::Dropped,
                _ => Sent::Unreachable,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_nobody_is_told_with_what_to_look_at() {
        let error = bind("main", "192.0.2.99:5060".parse().unwrap(), false).unwrap_err().to_string();
        assert!(error.starts_with("SIP listener `main`: cannot bind UDP 192.0.2.99:5060: "), "{error}");
        assert!(error.ends_with("(no interface has this address: see `ip address`)"), "{error}");
    }

    #[test]
    fn a_floating_address_is_bound_before_it_is_here() {
        let address = "192.0.2.99:5060".parse().unwrap();
        assert_eq!(bind("main", address, true).unwrap().local_addr().unwrap(), address);
    }

    #[test]
    fn an_address_in_use_is_told_with_what_to_look_at() {
        let first = bind("main", "127.0.0.1:0".parse().unwrap(), false).unwrap();
        let error = bind("other", first.local_addr().unwrap(), false).unwrap_err().to_string();
        assert!(error.ends_with("(another program has it: see `ss -lunpt`)"), "{error}");
    }
}
