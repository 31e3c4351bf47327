//! What types cannot say of a configuration.

use std::net::SocketAddr;

use tandem_sdp::SrtpPolicy;
use tandem_sip::Transport;
use thiserror::Error;

use super::{Group, HuntMode, Listener, Member, Peer, PeerId, PortRange, Route, SourceNet, SwitchConfig, Target};

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
    /// A route or group names a peer that is not there.
    #[error("`{by}`: there is no peer {peer}")]
    UnknownPeer {
        /// The route or group.
        by: String,
        /// The peer's number.
        peer: u16,
    },
    /// A route names a group that is not there.
    #[error("route `{route}`: there is no group {group}")]
    UnknownGroup {
        /// The route.
        route: String,
        /// The group's number.
        group: u16,
    },
    /// A group of nobody, or with a member of no weight.
    #[error("group `{0}`: it needs at least one member, and every member a weight of at least 1")]
    GroupUnusable(String),
    /// Members that are called at once and have their media on different addresses.
    #[error("group `{0}`: members that are called at once need the same media address")]
    ParallelMediaDiffers(String),
    /// A rewritten Request-URI would not be one.
    #[error("`{by}`: `{text}` has characters that a SIP URI cannot carry")]
    RewriteUnusable {
        /// The route or peer.
        by: String,
        /// The offending text.
        text: String,
    },
    /// What cannot change while running was asked to.
    #[error("{0} cannot change while running: restart to apply it")]
    NeedsRestart(&'static str),
}

impl SwitchConfig {
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
        self.groups.iter().try_for_each(|group| self.validate_group(group))?;
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
        if peer.host.is_none() && listener.advertised.is_ipv4() != peer.address.is_ipv4() {
            return Err(SwitchConfigError::AddressFamilyMismatch(name()));
        }
        let host_ok = |byte: u8| byte.is_ascii_alphanumeric() || b"-.:[]".contains(&byte);
        let names = peer.domain.iter().chain(peer.host.as_ref().map(|host| &host.name));
        if let Some(domain) = names.into_iter().find(|host| host.is_empty() || !host.bytes().all(host_ok)) {
            return Err(SwitchConfigError::RewriteUnusable { by: name(), text: domain.clone() });
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

    fn validate_group(&self, group: &Group) -> Result<(), SwitchConfigError> {
        if group.members.is_empty() || group.members.iter().any(|member| member.weight == 0) {
            return Err(SwitchConfigError::GroupUnusable(group.name.clone()));
        }
        let mut addresses = Vec::with_capacity(group.members.len());
        for Member { peer, .. } in &group.members {
            let Some(known) = self.peers.get(usize::from(peer.0)) else {
                return Err(SwitchConfigError::UnknownPeer { by: group.name.clone(), peer: peer.0 });
            };
            addresses.push(known.media_address);
        }
        if group.hunt.mode == HuntMode::Parallel && addresses.iter().any(|address| *address != addresses[0]) {
            return Err(SwitchConfigError::ParallelMediaDiffers(group.name.clone()));
        }
        Ok(())
    }

    fn validate_route(&self, route: &Route) -> Result<(), SwitchConfigError> {
        let name = || route.name.clone();
        let to = match route.to {
            Target::Peer(peer) => Some(peer),
            Target::Group(group) if usize::from(group.0) < self.groups.len() => None,
            Target::Group(group) => return Err(SwitchConfigError::UnknownGroup { route: name(), group: group.0 }),
        };
        for peer in route.when.from.into_iter().chain(to) {
            if usize::from(peer.0) >= self.peers.len() {
                return Err(SwitchConfigError::UnknownPeer { by: name(), peer: peer.0 });
            }
        }
        let user_ok = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,;?/%".contains(&byte);
        if !route.rewrite.prepend.bytes().all(user_ok) {
            return Err(SwitchConfigError::RewriteUnusable { by: name(), text: route.rewrite.prepend.clone() });
        }
        Ok(())
    }
}
