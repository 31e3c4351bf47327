use std::net::{IpAddr, SocketAddr};

use tandem_contract::{Codec, CryptoSuite, Learning, Nanos, SourcePolicy, WorkerId};
use tandem_sdp::{RtcpMux, SrtpPolicy};
use tandem_sip::{Limits as MessageLimits, Peer as SipPeer, Transport};

mod routes;
mod validate;

pub use routes::{Conditions, Group, GroupId, Hours, HuntMode, HuntPolicy, Member, Order, Pattern, Route, Target};
pub use validate::SwitchConfigError;

use crate::guard::GuardConfig;
use crate::stir::StirPolicy;

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
    /// Peers that stand in for each other.
    pub groups: Vec<Group>,
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
    /// Where requests to this peer are sent; of no meaning where it has a `host`.
    pub address: SocketAddr,
    /// The name that it is found by (RFC 3263).
    pub host: Option<Host>,
    /// The zone that it is in, where that is known.
    pub zone: Option<String>,
    /// Whether that is another than this gateway's.
    pub is_far: bool,
    /// The name that its certificate must have where it is reached by TLS; that of its address where none is given.
    pub server_name: Option<String>,
    /// The host of Request-URIs to this peer; `None` for its address.
    pub domain: Option<String>,
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
    /// At most this many calls a second are sent to this peer; `None` for no limit of its own.
    pub max_calls_per_s: Option<u32>,
    /// When it counts as out of service.
    pub health: HealthPolicy,
    /// What answers its challenges (RFC 3261 §22); `None` where it is to ask for nothing.
    pub account: Option<Account>,
    /// For how long we register with it, in seconds; `None` for not at all. Needs an account.
    pub register_s: Option<u32>,
    /// After how many seconds without a refresh its sessions end (RFC 4028): what we ask for; 0 to ask for none.
    pub session_expires_s: u32,
    /// Whether it belongs to our trust domain (RFC 3325 §2.3): what it asserts is believed, and it may know who hides.
    pub is_trusted: bool,
    /// How it is told who the caller is, beside `From`.
    pub identity: IdentityHeader,
    /// Whether its callers' identities are checked, what we say of them, and whether calls to it are signed.
    pub stir: StirPolicy,
    /// The name of the peer that its calls are recorded by (RFC 7866), where the route names none.
    pub recorder: Option<String>,
    /// Headers of the caller's INVITE that it is sent as they are.
    pub pass_headers: Vec<String>,
    /// Headers that its INVITEs get: name and value.
    pub set_headers: Vec<(String, String)>,
}

/// The name that a peer is found by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// The name.
    pub name: String,
    /// The port; where none is given SRV records say it.
    pub port: Option<u16>,
    /// NAPTR and SRV records may choose any of our listeners; else it is the peer's own.
    pub any_listener: bool,
}

/// User name and password at a peer.
#[derive(Clone, PartialEq, Eq)]
pub struct Account {
    /// The user name.
    pub username: String,
    /// The password.
    pub password: String,
}

impl std::fmt::Debug for Account {
    /// Without the password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account").field("username", &self.username).finish_non_exhaustive()
    }
}

/// How a peer is told who calls, beside `From`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IdentityHeader {
    /// Not at all.
    #[default]
    None,
    /// `P-Asserted-Identity` (RFC 3325).
    Asserted,
    /// `Remote-Party-ID`, which came before it and is still asked for.
    RemoteParty,
}

/// When a peer counts as out of service, so that others of its group get its calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HealthPolicy {
    /// It is asked with OPTIONS every so many seconds (RFC 3261 §11); `None` for never.
    pub options_interval_s: Option<u32>,
    /// So many failures in a row take it out: 503, silence or a broken transport, of an INVITE or of OPTIONS. At least 1.
    pub failures: u8,
    /// How many of its last calls its answer-seizure ratio is taken over (ITU-T E.411), 1 to 128.
    pub answer_window: u8,
    /// Where fewer than so many in a hundred of them were answered it is taken out; 0 for never.
    pub min_answer_percent: u8,
    /// How long it stays out where OPTIONS cannot bring it back, in seconds.
    pub hold_out_s: u32,
}

/// A network in prefix notation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceNet {
    /// Any address of the network.
    pub address: IpAddr,
    /// How many leading bits count: up to 32 for IPv4, 128 for IPv6.
    pub prefix_len: u8,
}

/// How a Request-URI changes on its way to a peer: first `strip`, then `prepend`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rewrite {
    /// Characters taken off the front of the user part.
    pub strip: u8,
    /// Put before what is left of the user part.
    pub prepend: String,
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

impl Default for HealthPolicy {
    fn default() -> Self {
        Self { options_interval_s: None, failures: 3, answer_window: 50, min_answer_percent: 0, hold_out_s: 30 }
    }
}

impl Peer {
    /// The host of Request-URIs to it.
    pub(crate) fn uri_host(&self) -> String {
        match (&self.domain, &self.host) {
            (Some(domain), _) => domain.clone(),
            (None, Some(Host { name, port: Some(port), .. })) => format!("{name}:{port}"),
            (None, Some(Host { name, .. })) => name.clone(),
            (None, None) => self.address.to_string(),
        }
    }

    /// A peer with plain RTP of 20 ms and telephone events, from where its port is learned, and without limits.
    pub fn new(
        name: &str,
        address: SocketAddr,
        listener: ListenerId,
        codecs: Vec<Codec>,
        media_address: IpAddr,
    ) -> Self {
        Self {
            name: name.to_owned(),
            address,
            host: None,
            server_name: None,
            domain: None,
            listener,
            sources: Vec::new(),
            codecs,
            ptime_ms: 20,
            annexb: false,
            comfort_noise: false,
            telephone_event: true,
            rtcp_mux: RtcpMux::Accept,
            srtp: SrtpPolicy::Off,
            srtp_suites: Vec::new(),
            in_band_dtmf: false,
            info_dtmf: false,
            media_address,
            media_source: SourcePolicy::new(Learning::Port),
            reorder_packets: 2,
            rtp_echo: false,
            hold_music: false,
            max_calls: None,
            max_calls_per_s: None,
            zone: None,
            is_far: false,
            health: HealthPolicy::default(),
            account: None,
            register_s: None,
            session_expires_s: 0,
            is_trusted: false,
            identity: IdentityHeader::None,
            stir: StirPolicy::default(),
            recorder: None,
            pass_headers: Vec::new(),
            set_headers: Vec::new(),
        }
    }
}

impl PortRange {
    /// The even ports of the range whose odd neighbour is in it too.
    pub fn rtp_ports(self) -> impl Iterator<Item = u16> {
        let first = u32::from(self.first).next_multiple_of(2);
        (first..u32::from(self.last)).step_by(2).filter_map(|port| u16::try_from(port).ok())
    }

    /// Whether `port` is one of [`PortRange::rtp_ports`].
    pub const fn has_rtp_port(self, port: u16) -> bool {
        port.is_multiple_of(2) && port >= self.first && port < self.last
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
        self.unix_micros(now) / 1000
    }

    /// Microseconds since 1970-01-01T00:00:00Z at `now`.
    pub fn unix_micros(&self, now: Nanos) -> u64 {
        let ns = i128::from(self.unix_ns) + i128::from(now.0) - i128::from(self.at.0);
        u64::try_from(ns.max(0) / 1_000).unwrap_or(u64::MAX)
    }
}

impl SwitchConfig {
    /// Where peers' messages come from.
    pub(crate) fn peer_networks(&self) -> impl Iterator<Item = SourceNet> + '_ {
        let own = self.peers.iter().map(|peer| SourceNet::host(peer.address.ip()));
        own.chain(self.peers.iter().flat_map(|peer| peer.sources.iter().copied()))
    }
}
