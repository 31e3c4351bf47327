use std::net::{IpAddr, SocketAddr};

use tandem_contract::{Codec, CryptoSuite, Nanos, SourcePolicy, WorkerId};
use tandem_sdp::{RtcpMux, SrtpPolicy};
use tandem_sip::{Limits as MessageLimits, Peer as SipPeer, Transport};
use thiserror::Error;

use crate::guard::GuardConfig;

/// A signalling socket, counted from 0 in the order of [`SwitchConfig::listeners`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListenerId(pub u16);

/// A peer, counted from 0 in the order of [`SwitchConfig::peers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(pub u16);

impl PeerId {
    /// A peer that a new configuration no longer has; calls with it go on.
    pub(crate) const GONE: Self = Self(u16::MAX);
}

/// Everything a [`crate::Switch`] needs to know. Plain data: it is validated by [`SwitchConfig::validate`], which
/// [`crate::Switch::new`] calls.
#[derive(Clone, Debug, PartialEq)]
pub struct SwitchConfig {
    /// What `User-Agent` and `Server` say.
    pub user_agent: String,
    /// The sockets requests arrive on.
    pub listeners: Vec<Listener>,
    /// Who may call and be called.
    pub peers: Vec<Peer>,
    /// Where calls go. The first route, in this order, whose conditions all hold is taken.
    pub routes: Vec<Route>,
    /// Workers, ports and slots for media.
    pub media: MediaPlane,
    /// What is refused when there is too much of it.
    pub limits: Limits,
    /// The same for connections, and how long they may be silent.
    pub connections: ConnectionLimits,
    /// Bounds on a message.
    pub messages: MessageLimits,
    /// What strangers may send.
    pub guard: GuardConfig,
    /// How long to wait for what.
    pub timeouts: Timeouts,
    /// What the wall clock says, for call records.
    pub wall_clock: WallClock,
}

/// One socket for signalling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// For people.
    pub name: String,
    /// What `Via` and `Contact` say: the address peers reach this socket at.
    pub advertised: SocketAddr,
    /// What is spoken there.
    pub transport: Transport,
    /// Whoever connects has shown a certificate that was verified.
    pub authenticates: bool,
}

impl Listener {
    /// Somebody at `remote`, spoken with from here.
    pub const fn peer(&self, remote: SocketAddr) -> SipPeer {
        SipPeer::new(self.transport, self.advertised, remote)
    }
}

/// Somebody calls come from and go to: a trunk, a PBX, another gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// For people, routes and call records; unique.
    pub name: String,
    /// Where requests to this peer are sent.
    pub address: SocketAddr,
    /// The name that its certificate must have where it is reached by TLS; that of its address where none is given.
    pub server_name: Option<String>,
    /// The socket requests to this peer leave from.
    pub listener: ListenerId,
    /// Requests from these networks are this peer's, beside those from `address`' own IP. The longest prefix wins.
    pub sources: Vec<SourceNet>,
    /// The codecs spoken with this peer, preferred first; at least one.
    pub codecs: Vec<Codec>,
    /// Milliseconds of speech per packet we ask for and send: a multiple of 10 between 10 and 60.
    pub ptime_ms: u8,
    /// Whether G.729 Annex B is offered and accepted.
    pub annexb: bool,
    /// Whether comfort noise (RFC 3389) is offered and accepted.
    pub comfort_noise: bool,
    /// Whether RFC 4733 telephone events are offered and accepted.
    pub telephone_event: bool,
    /// Whether RTCP may share RTP's port.
    pub rtcp_mux: RtcpMux,
    /// Whether its media legs speak SRTP.
    pub srtp: SrtpPolicy,
    /// With which suites, preferred first; at least one where they do.
    pub srtp_suites: Vec<CryptoSuite>,
    /// Whether tones in its audio stand for keys where no telephone events were agreed.
    pub in_band_dtmf: bool,
    /// Whether keys go to and come from it as INFO requests where no telephone events were agreed.
    pub info_dtmf: bool,
    /// The local address of this peer's media legs: one of the media port's.
    pub media_address: IpAddr,
    /// From whom its media legs accept RTP.
    pub media_source: SourcePolicy,
    /// How many packets may wait for an earlier one on a leg that is decoded, 0 to 10.
    pub reorder_packets: u8,
    /// It sends our own RTP back.
    pub rtp_echo: bool,
    /// Whom it puts on hold hears music.
    pub hold_music: bool,
    /// At most this many calls from and to this peer together; `None` for no limit of its own.
    pub max_calls: Option<u32>,
}

/// A network in prefix notation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceNet {
    /// Any address of the network.
    pub address: IpAddr,
    /// How many leading bits count: up to 32 for IPv4, 128 for IPv6.
    pub prefix_len: u8,
}

/// One line of the routing table: conditions, all of which must hold, and what then happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// For people and call records.
    pub name: String,
    /// Only calls from this peer; `None` for any.
    pub from: Option<PeerId>,
    /// Only Request-URIs whose user part begins so; empty for any. `+` is an ordinary character here.
    pub user_prefix: String,
    /// Only Request-URIs of this host, compared without regard to case; `None` for any.
    pub domain: Option<String>,
    /// Where the call goes.
    pub to: PeerId,
    /// What happens to the Request-URI on the way.
    pub rewrite: Rewrite,
}

/// How a Request-URI changes on its way to a peer: first `strip`, then `prepend`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rewrite {
    /// Characters taken off the front of the user part.
    pub strip: u8,
    /// Put before what is left of the user part.
    pub prepend: String,
    /// The host of the new Request-URI; `None` for the peer's address.
    pub domain: Option<String>,
}

/// The media side, as far as signalling must know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaPlane {
    /// The workers, in order: worker `w` of `n` owns the even ports `p` with `(p / 2) % n == w`.
    pub workers: Vec<WorkerSlots>,
    /// The addresses that media legs without a peer are spread over. They may change while running.
    pub addresses: Vec<IpAddr>,
    /// The ports media legs use on every media address.
    pub ports: PortRange,
    /// A released port is not used again for this long, so that a late packet meets nobody.
    pub port_quarantine_ms: u32,
}

/// One worker's capacity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerSlots {
    /// Which worker.
    pub worker: WorkerId,
    /// How many flows its table holds.
    pub slots: u32,
}

/// UDP ports from `first` to `last`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    /// The lowest port; rounded up to an even one for RTP.
    pub first: u16,
    /// The highest port; RTCP included.
    pub last: u16,
}

/// What is refused when there is too much of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Calls at one time, set-up and clearing included; the next is answered 503.
    pub max_calls: u32,
    /// What `Retry-After` of such a 503 says, in seconds.
    pub retry_after_s: u32,
    /// SIP transactions at one time. A call leaves four behind for some 100 transaction-seconds together (RFC 3261
    /// §17: timers J, K, L and M), so 1,000 calls a second need 110,000. Requests outside a dialog are answered 503 from
    /// nine tenths on, every new one at the limit.
    pub max_transactions: u32,
}

/// What is refused of connections, and how long they may do nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Connections at one time, those that shake hands included.
    pub max_connections: u32,
    /// Connections accepted from one IP address at one time.
    pub max_per_source: u32,
    /// From the beginning until the handshakes are done.
    pub open_ms: u32,
    /// From a message's first octet to its last, and from the handshakes to the first message.
    pub message_ms: u32,
    /// From one message or ping to the next.
    pub idle_s: u32,
    /// Between pings on connections of ours; 0 for none.
    pub keep_alive_s: u32,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            max_connections: 10_000,
            max_per_source: 1_000,
            open_ms: 5_000,
            message_ms: 10_000,
            idle_s: 900,
            keep_alive_s: 90,
        }
    }
}

/// How long to wait for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// From the INVITE to a peer until its final answer; then the call is given up with 408.
    pub no_answer_s: u32,
    /// From the answer until the call is ended by us; 0 for never.
    pub max_call_s: u32,
    /// How long a worker may take to confirm a command before the call is given up with 500.
    pub worker_reply_ms: u32,
}

/// What the wall clock said at a moment of the monotonic clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WallClock {
    /// The moment.
    pub at: Nanos,
    /// Nanoseconds since 1970-01-01T00:00:00Z then.
    pub unix_ns: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_calls: 1_000, retry_after_s: 10, max_transactions: 250_000 }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { no_answer_s: 180, max_call_s: 14_400, worker_reply_ms: 1_000 }
    }
}

/// Why a configuration cannot work.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SwitchConfigError {
    /// Nothing to listen on.
    #[error("at least one listener is needed")]
    NoListener,
    /// Two listeners that peers could not tell apart.
    #[error("two listeners are advertised as {0}")]
    ListenerTwice(SocketAddr),
    /// More peers than there are numbers for them.
    #[error("more than 65534 peers")]
    TooManyPeers,
    /// No worker.
    #[error("at least one media worker is needed")]
    NoWorker,
    /// A worker could not carry a single call.
    #[error(
        "the port range {first}-{last} leaves worker {worker} fewer than two RTP ports; a call needs two, so widen the range"
    )]
    TooFewPorts {
        /// The lowest port.
        first: u16,
        /// The highest port.
        last: u16,
        /// The worker.
        worker: u16,
    },
    /// Two peers of one name.
    #[error("two peers are called `{0}`")]
    PeerNameTwice(String),
    /// A peer names a listener that is not there.
    #[error("peer `{peer}`: there is no listener {listener}")]
    UnknownListener {
        /// The peer.
        peer: String,
        /// The listener's number.
        listener: u16,
    },
    /// A peer that is to be called over WebSocket.
    #[error("peer `{0}`: its listener accepts WebSocket connections and opens none")]
    OnlyAccepts(String),
    /// A peer's signalling address and its listener's are of different families.
    #[error("peer `{0}`: its address and its listener's are not both IPv4 or both IPv6")]
    AddressFamilyMismatch(String),
    /// A peer without a codec.
    #[error("peer `{0}`: at least one codec is needed")]
    NoCodec(String),
    /// A peer names a codec twice.
    #[error("peer `{0}`: a codec is named twice")]
    CodecTwice(String),
    /// A peer with SRTP and nothing to encrypt with.
    #[error("peer `{0}`: SRTP needs at least one crypto suite")]
    NoSuite(String),
    /// An impossible packet time.
    #[error("peer `{peer}`: ptime {ptime_ms} ms is not a multiple of 10 between 10 and 60")]
    PtimeUnusable {
        /// The peer.
        peer: String,
        /// Milliseconds.
        ptime_ms: u8,
    },
    /// A prefix longer than its address.
    #[error("peer `{peer}`: a source prefix of {prefix_len} bits is longer than its address")]
    PrefixTooLong {
        /// The peer.
        peer: String,
        /// Bits.
        prefix_len: u8,
    },
    /// A route names a peer that is not there.
    #[error("route `{route}`: there is no peer {peer}")]
    UnknownPeer {
        /// The route.
        route: String,
        /// The peer's number.
        peer: u16,
    },
    /// A rewritten Request-URI would not be one.
    #[error("route `{route}`: `{text}` has characters that a SIP URI cannot carry")]
    RewriteUnusable {
        /// The route.
        route: String,
        /// The offending text.
        text: String,
    },
    /// What cannot change while running was asked to.
    #[error("{0} cannot change while running: restart to apply it")]
    NeedsRestart(&'static str),
}

impl PortRange {
    /// The even ports of the range whose odd neighbour is in it too.
    pub fn rtp_ports(self) -> impl Iterator<Item = u16> {
        let first = u32::from(self.first).next_multiple_of(2);
        (first..u32::from(self.last)).step_by(2).filter_map(|port| u16::try_from(port).ok())
    }

    /// The position among `workers` of the worker that owns `port`.
    pub const fn owner(port: u16, workers: usize) -> usize {
        (port as usize / 2) % workers
    }
}

impl SourceNet {
    /// One address.
    pub const fn host(address: IpAddr) -> Self {
        Self { address, prefix_len: if address.is_ipv4() { 32 } else { 128 } }
    }

    /// Whether `address` is in the network.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(net), IpAddr::V4(address)) => {
                let shift = 32 - u32::from(self.prefix_len.min(32));
                shift == 32 || (net.to_bits() ^ address.to_bits()) >> shift == 0
            }
            (IpAddr::V6(net), IpAddr::V6(address)) => {
                let shift = 128 - u32::from(self.prefix_len.min(128));
                shift == 128 || (net.to_bits() ^ address.to_bits()) >> shift == 0
            }
            _ => false,
        }
    }
}

impl WallClock {
    /// Milliseconds since 1970-01-01T00:00:00Z at `now`.
    pub fn unix_millis(&self, now: Nanos) -> u64 {
        let ns = i128::from(self.unix_ns) + i128::from(now.0) - i128::from(self.at.0);
        u64::try_from(ns.max(0) / 1_000_000).unwrap_or(u64::MAX)
    }
}

impl SwitchConfig {
    /// Where peers' messages come from.
    pub(crate) fn peer_networks(&self) -> impl Iterator<Item = SourceNet> + '_ {
        let own = self.peers.iter().map(|peer| SourceNet::host(peer.address.ip()));
        own.chain(self.peers.iter().flat_map(|peer| peer.sources.iter().copied()))
    }

    /// Checks what types cannot say.
    pub fn validate(&self) -> Result<(), SwitchConfigError> {
        if self.listeners.is_empty() {
            return Err(SwitchConfigError::NoListener);
        }
        let same = |(index, listener): (usize, &Listener)| {
            self.listeners[..index]
                .iter()
                .any(|other| other.advertised == listener.advertised && other.transport == listener.transport)
        };
        if let Some((_, listener)) = self.listeners.iter().enumerate().find(|found| same(*found)) {
            return Err(SwitchConfigError::ListenerTwice(listener.advertised));
        }
        self.validate_media()?;
        if self.peers.len() >= usize::from(PeerId::GONE.0) {
            return Err(SwitchConfigError::TooManyPeers);
        }
        for (index, peer) in self.peers.iter().enumerate() {
            if self.peers[..index].iter().any(|other| other.name == peer.name) {
                return Err(SwitchConfigError::PeerNameTwice(peer.name.clone()));
            }
            self.validate_peer(peer)?;
        }
        self.routes.iter().try_for_each(|route| self.validate_route(route))
    }

    fn validate_media(&self) -> Result<(), SwitchConfigError> {
        let workers = self.media.workers.len();
        if workers == 0 {
            return Err(SwitchConfigError::NoWorker);
        }
        let PortRange { first, last } = self.media.ports;
        for (position, worker) in self.media.workers.iter().enumerate() {
            let owned = self.media.ports.rtp_ports().filter(|&port| PortRange::owner(port, workers) == position);
            if owned.take(2).count() < 2 {
                return Err(SwitchConfigError::TooFewPorts { first, last, worker: worker.worker.0 });
            }
        }
        Ok(())
    }

    fn validate_peer(&self, peer: &Peer) -> Result<(), SwitchConfigError> {
        let name = || peer.name.clone();
        let Some(listener) = self.listeners.get(usize::from(peer.listener.0)) else {
            return Err(SwitchConfigError::UnknownListener { peer: name(), listener: peer.listener.0 });
        };
        if matches!(listener.transport, Transport::Ws | Transport::Wss) {
            return Err(SwitchConfigError::OnlyAccepts(name()));
        }
        if listener.advertised.is_ipv4() != peer.address.is_ipv4() {
            return Err(SwitchConfigError::AddressFamilyMismatch(name()));
        }
        if peer.codecs.is_empty() {
            return Err(SwitchConfigError::NoCodec(name()));
        }
        if peer.codecs.iter().enumerate().any(|(index, codec)| peer.codecs[..index].contains(codec)) {
            return Err(SwitchConfigError::CodecTwice(name()));
        }
        if peer.srtp != SrtpPolicy::Off && peer.srtp_suites.is_empty() {
            return Err(SwitchConfigError::NoSuite(name()));
        }
        if !(10..=60).contains(&peer.ptime_ms) || !peer.ptime_ms.is_multiple_of(10) {
            return Err(SwitchConfigError::PtimeUnusable { peer: name(), ptime_ms: peer.ptime_ms });
        }
        let too_long = |net: &&SourceNet| net.prefix_len > if net.address.is_ipv4() { 32 } else { 128 };
        match peer.sources.iter().find(too_long) {
            Some(net) => Err(SwitchConfigError::PrefixTooLong { peer: name(), prefix_len: net.prefix_len }),
            None => Ok(()),
        }
    }

    fn validate_route(&self, route: &Route) -> Result<(), SwitchConfigError> {
        for peer in route.from.iter().chain([&route.to]) {
            if usize::from(peer.0) >= self.peers.len() {
                return Err(SwitchConfigError::UnknownPeer { route: route.name.clone(), peer: peer.0 });
            }
        }
        let user_ok = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,;?/%".contains(&byte);
        let host_ok = |byte: u8| byte.is_ascii_alphanumeric() || b"-.:[]".contains(&byte);
        let prepend = &route.rewrite.prepend;
        let domain = route.rewrite.domain.as_deref().unwrap_or("x");
        for (text, usable) in [
            (prepend.as_str(), prepend.bytes().all(user_ok)),
            (domain, !domain.is_empty() && domain.bytes().all(host_ok)),
        ] {
            if !usable {
                return Err(SwitchConfigError::RewriteUnusable { route: route.name.clone(), text: text.into() });
            }
        }
        Ok(())
    }
}
