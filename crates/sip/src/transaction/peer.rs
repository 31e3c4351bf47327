//! Whom messages come from and go to.

use core::fmt;
use core::net::SocketAddr;

/// A transport protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Transport {
    /// Datagrams; the only one that loses messages.
    Udp,
    /// RFC 3261 section 18.
    Tcp,
    /// RFC 3261 section 26.3.1.
    Tls,
    /// WebSocket (RFC 7118).
    Ws,
    /// WebSocket over TLS (RFC 7118).
    Wss,
}

impl Transport {
    /// Whether it retransmits by itself (RFC 3261 section 17).
    pub const fn is_reliable(self) -> bool {
        !matches!(self, Self::Udp)
    }

    /// Whether it is encrypted.
    pub const fn is_secure(self) -> bool {
        matches!(self, Self::Tls | Self::Wss)
    }

    /// The `transport` parameter of a URI that is to be reached by it (RFC 3261 section 19.1.1, RFC 7118 section 5.2.2);
    /// `None` where that is the default of `sip`.
    pub const fn uri_param(self) -> Option<&'static str> {
        match self {
            Self::Udp => None,
            Self::Tcp => Some("tcp"),
            // Deprecated for `sips`, and what everybody says all the same (RFC 5630 section 3.1.4).
            Self::Tls => Some("tls"),
            Self::Ws | Self::Wss => Some("ws"),
        }
    }

    /// The transport of a URI's `transport` parameter; in a `sips` URI `tcp` and `ws` are encrypted (RFC 5630 section 3.1.3).
    pub fn of_uri_param(name: &str, is_sips: bool) -> Option<Self> {
        let known = [Self::Udp, Self::Tcp, Self::Tls, Self::Ws, Self::Wss];
        let named = known.into_iter().find(|transport| transport.as_str().eq_ignore_ascii_case(name))?;
        Some(match named {
            Self::Tcp if is_sips => Self::Tls,
            Self::Ws if is_sips => Self::Wss,
            other => other,
        })
    }

    /// The name in Via.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
            Self::Ws => "WS",
            Self::Wss => "WSS",
        }
    }

    /// The port used where none is given.
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Udp | Self::Tcp => 5060,
            Self::Tls => 5061,
            Self::Ws => 80,
            Self::Wss => 443,
        }
    }
}

/// Names a connection; never used again once that is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ConnectionId(pub u64);

/// The two ends of a datagram or connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Peer {
    /// The transport.
    pub transport: Transport,
    /// Our end.
    pub local: SocketAddr,
    /// The other end.
    pub remote: SocketAddr,
    /// The connection that a message came by or is to leave by; `None` for any to the other end, and for datagrams.
    pub connection: Option<ConnectionId>,
}

impl Peer {
    /// A peer reached by datagrams.
    pub const fn udp(local: SocketAddr, remote: SocketAddr) -> Self {
        Self { transport: Transport::Udp, local, remote, connection: None }
    }

    /// A peer reached by `transport`.
    pub const fn new(transport: Transport, local: SocketAddr, remote: SocketAddr) -> Self {
        Self { transport, local, remote, connection: None }
    }

    /// The same peer at the end of one connection.
    #[must_use]
    pub const fn over(self, connection: ConnectionId) -> Self {
        Self { connection: Some(connection), ..self }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} (from {})", self.transport.as_str(), self.remote, self.local)
    }
}
