//! From the configuration file's words to those of `call`.

use std::collections::HashMap;
use std::net::SocketAddr;

use tandem_call::{
    Account, Conditions, ConnectionLimits, Group, GroupId, GuardConfig, HealthPolicy, Host, Hours, HuntMode,
    HuntPolicy, IdentityHeader, IdentityVerdict, Limits, Listener, ListenerId, MediaPlane, Member, MessageLimits,
    Order, Pattern, Peer, PeerId, PortRange, Rewrite, Route, RtcpMux, SourceNet, SrtpPolicy, SwitchConfig, Target,
    Timeouts, Transport, WallClock, WorkerSlots,
};
use tandem_config::{
    Cidr, ClientCertificates, CodecName, Config, GroupMember, GroupMode, GroupOrder, PeerAddress, Source, Srtp,
    SuiteName, seconds_of_day,
};
use tandem_contract::{Codec, CryptoSuite, Learning, SourcePolicy, WorkerId};

/// How long a worker may take to confirm a command, in milliseconds: some thousand times what one needs.
const WORKER_REPLY_MS: u32 = 1000;

/// What `call::Switch` must know of a checked configuration.
///
/// `slots` is how many flows fit into each worker's table.
pub fn switch_config(config: &Config, slots: u32, wall_clock: WallClock) -> SwitchConfig {
    let listeners: HashMap<&str, u16> =
        config.sip.listen.iter().zip(0..).map(|(listener, id)| (listener.name.as_str(), id)).collect();
    let peers: HashMap<&str, u16> = config.peers.iter().zip(0..).map(|(peer, id)| (peer.name.as_str(), id)).collect();
    SwitchConfig {
        user_agent: config.node.name.clone(),
        listeners: config
            .sip
            .listen
            .iter()
            .map(|listener| Listener {
                name: listener.name.clone(),
                advertised: listener.advertise.unwrap_or(listener.address).0,
                transport: transport(listener.transport),
                authenticates: listener
                    .tls
                    .as_ref()
                    .is_some_and(|tls| tls.client_certificates == ClientCertificates::Required),
            })
            .collect(),
        peers: config.peers.iter().map(|peer| self::peer(config, &listeners, peer)).collect(),
        groups: config.groups.iter().map(|group| self::group(&peers, group)).collect(),
        routes: config.routes.iter().zip(1..).map(|(route, place)| self::route(config, &peers, place, route)).collect(),
        media: MediaPlane {
            workers: (0..)
                .take(config.workers.cores.len())
                .map(|worker| WorkerSlots { worker: WorkerId(worker), slots })
                .collect(),
            addresses: config.ports.iter().flat_map(|port| &port.addresses).map(|cidr| cidr.address).collect(),
            ports: PortRange { first: config.media.port_range.first, last: config.media.port_range.last },
            port_quarantine_ms: config.media.port_quarantine_ms,
        },
        limits: Limits {
            max_calls: config.limits.max_calls,
            retry_after_s: config.limits.retry_after_s,
            max_transactions: config.limits.max_transactions,
        },
        connections: connection_limits(&config.sip.connections),
        messages: message_limits(&config.sip.messages),
        guard: guard(&config.sip.guard),
        timeouts: Timeouts {
            no_answer_s: config.sip.no_answer_timeout_s,
            max_call_s: config.limits.max_call_s,
            worker_reply_ms: WORKER_REPLY_MS,
        },
        wall_clock,
    }
}

/// The names were checked when the file was read; one that is unknown all the same becomes the first listener.
fn peer(config: &Config, listeners: &HashMap<&str, u16>, peer: &tandem_config::Peer) -> Peer {
    let listener = peer.listen.as_deref().and_then(|name| listeners.get(name)).copied().unwrap_or(0);
    Peer {
        name: peer.name.clone(),
        address: match &peer.address {
            PeerAddress::At(endpoint) => endpoint.0,
            PeerAddress::Named { .. } => SocketAddr::from(([0, 0, 0, 0], 0)),
        },
        host: match &peer.address {
            PeerAddress::At(_) => None,
            // A port without a transport means the usual one (RFC 3263 §4.1), and that is the listener's.
            PeerAddress::Named { name, port } => {
                Some(Host { name: name.clone(), port: *port, any_listener: peer.listen.is_none() && port.is_none() })
            }
        },
        zone: peer.zone.clone(),
        is_far: config.own_zone().zip(peer.zone.as_deref()).is_some_and(|(own, zone)| own != zone),
        server_name: peer.domain.clone().or_else(|| match &peer.address {
            PeerAddress::At(_) => None,
            // Of the name that is configured, whatever the DNS makes of it (RFC 5922 §4).
            PeerAddress::Named { name, .. } => Some(name.trim_end_matches('.').to_owned()),
        }),
        domain: peer.domain.clone(),
        listener: ListenerId(listener),
        sources: peer
            .sources
            .iter()
            .map(|net| SourceNet { address: net.address, prefix_len: net.prefix_len })
            .collect(),
        codecs: peer.codecs.iter().map(|codec| self::codec(*codec)).collect(),
        ptime_ms: peer.ptime_ms,
        annexb: peer.annexb,
        comfort_noise: peer.comfort_noise,
        telephone_event: peer.telephone_events,
        rtcp_mux: match peer.rtcp_mux {
            tandem_config::RtcpMux::Off => RtcpMux::Off,
            tandem_config::RtcpMux::Accept => RtcpMux::Accept,
            tandem_config::RtcpMux::Offer => RtcpMux::Offer,
        },
        in_band_dtmf: peer.in_band_dtmf,
        info_dtmf: peer.info_dtmf,
        srtp: match peer.srtp {
            Srtp::Off => SrtpPolicy::Off,
            Srtp::Optional => SrtpPolicy::Optional,
            Srtp::Required => SrtpPolicy::Required,
        },
        srtp_suites: peer.srtp_suites.iter().map(|suite| self::suite(*suite)).collect(),
        media_address: config.media_address_of(peer).unwrap_or(config.ports[0].addresses[0].address),
        media_source: SourcePolicy {
            learning: match peer.source {
                Source::Signalled => Learning::Off,
                Source::LatchPort => Learning::Port,
                Source::LatchAny => Learning::Immediate,
                Source::Delayed => Learning::Delayed,
                Source::Heuristic => Learning::Heuristic,
            },
            strict: peer.strict_source,
            interval_ms: peer.learning_ms,
            relearn_after_ms: peer.relearn_after_ms,
            relearn_on_update: peer.relearn_on_update,
        },
        reorder_packets: peer.reorder_packets,
        rtp_echo: peer.rtp_echo,
        hold_music: peer.hold_music && config.media.hold_music.is_some(),
        max_calls: peer.max_calls,
        max_calls_per_s: peer.max_calls_per_s,
        health: HealthPolicy {
            options_interval_s: peer.health.options_interval_s,
            failures: peer.health.failures,
            answer_window: peer.health.answer_window,
            min_answer_percent: peer.health.min_answer_percent,
            hold_out_s: peer.health.hold_out_s,
        },
        account: peer
            .username
            .clone()
            .zip(peer.password.clone())
            .map(|(username, password)| Account { username, password }),
        register_s: peer.register_s,
        session_expires_s: peer.session_expires_s,
        is_trusted: peer.trusted,
        identity: match peer.identity {
            tandem_config::IdentityHeader::None => IdentityHeader::None,
            tandem_config::IdentityHeader::Asserted => IdentityHeader::Asserted,
            tandem_config::IdentityHeader::RemoteParty => IdentityHeader::RemoteParty,
        },
        stir: crate::stir::policy(&peer.stir),
        recorder: peer.recorder.clone(),
        pass_headers: peer.pass_headers.clone(),
        set_headers: peer
            .set_headers
            .iter()
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
            .collect(),
    }
}

fn group(peers: &HashMap<&str, u16>, group: &tandem_config::Group) -> Group {
    let member = |member: &GroupMember| Member {
        peer: PeerId(peers.get(member.peer.as_str()).copied().unwrap_or(0)),
        weight: member.weight,
    };
    Group {
        name: group.name.clone(),
        members: group.members.iter().map(member).collect(),
        order: match group.order {
            GroupOrder::Listed => Order::Listed,
            GroupOrder::RoundRobin => Order::RoundRobin,
            GroupOrder::Weight => Order::Weight,
            GroupOrder::LeastCalls => Order::LeastCalls,
            GroupOrder::Latency => Order::Latency,
            GroupOrder::CallerHash => Order::CallerHash,
        },
        hunt: HuntPolicy {
            mode: match group.mode {
                GroupMode::FailOver => HuntMode::FailOver,
                GroupMode::InOrder => HuntMode::InOrder,
                GroupMode::Parallel => HuntMode::Parallel,
            },
            next_on: group.next_on.clone(),
            silence_ms: group.silence_timeout_ms,
            ring_s: group.ring_timeout_s,
        },
    }
}

fn route(config: &Config, peers: &HashMap<&str, u16>, place: u32, route: &tandem_config::Route) -> Route {
    let id = |name: &str| PeerId(peers.get(name).copied().unwrap_or(0));
    let group = config.groups.iter().zip(0..).find(|(group, _)| group.name == route.peer);
    // Patterns and zones were checked when the file was read; one that does not compile all the same matches nothing.
    let pattern = |text: &String| Pattern::new(text).or_else(|_| Pattern::new("[^\\s\\S]")).ok();
    Route {
        name: route.name.clone().unwrap_or_else(|| place.to_string()),
        when: Conditions {
            from: route.from.as_deref().map(id),
            user_prefix: route.prefix.clone().unwrap_or_default(),
            number: route.number.as_ref().and_then(pattern),
            caller: route.caller.as_ref().and_then(pattern),
            domain: route.domain.clone(),
            codec: route.codec.map(codec),
            identity: route.identity.map(verdict),
            hours: route.hours.as_ref().map(hours),
        },
        to: group.map_or_else(|| Target::Peer(id(&route.peer)), |(_, id)| Target::Group(GroupId(id))),
        rewrite: Rewrite { strip: route.strip, prepend: route.prepend.clone() },
        recorder: route.recorder.clone(),
    }
}

fn hours(hours: &tandem_config::Hours) -> Hours {
    let mut days = [false; 7];
    hours.days.iter().for_each(|day| days[*day as usize] = true);
    Hours {
        days,
        from_s: seconds_of_day(&hours.from).unwrap_or(0),
        until_s: seconds_of_day(&hours.until).unwrap_or(0),
        zone: jiff::tz::TimeZone::get(&hours.zone).unwrap_or(jiff::tz::TimeZone::UTC),
    }
}

const fn verdict(verdict: tandem_config::IdentityVerdict) -> IdentityVerdict {
    match verdict {
        tandem_config::IdentityVerdict::Verified => IdentityVerdict::Verified,
        tandem_config::IdentityVerdict::Failed => IdentityVerdict::Failed,
        tandem_config::IdentityVerdict::None => IdentityVerdict::None,
    }
}

const fn transport(transport: tandem_config::Transport) -> Transport {
    match transport {
        tandem_config::Transport::Udp => Transport::Udp,
        tandem_config::Transport::Tcp => Transport::Tcp,
        tandem_config::Transport::Tls => Transport::Tls,
        tandem_config::Transport::Ws => Transport::Ws,
        tandem_config::Transport::Wss => Transport::Wss,
    }
}

const fn connection_limits(limits: &tandem_config::Connections) -> ConnectionLimits {
    ConnectionLimits {
        max_connections: limits.max,
        max_per_source: limits.max_per_source,
        open_ms: limits.open_timeout_s as u32 * 1000,
        message_ms: limits.message_timeout_s as u32 * 1000,
        idle_s: limits.idle_timeout_s,
        keep_alive_s: limits.keep_alive_s,
    }
}

fn message_limits(limits: &tandem_config::Messages) -> MessageLimits {
    MessageLimits {
        max_bytes: limits.max_bytes.into(),
        max_head_bytes: limits.max_head_bytes.into(),
        max_headers: limits.max_headers.into(),
        max_uri_bytes: limits.max_uri_bytes.into(),
    }
}

fn guard(guard: &tandem_config::Guard) -> GuardConfig {
    let networks =
        |list: &[Cidr]| list.iter().map(|net| SourceNet { address: net.address, prefix_len: net.prefix_len }).collect();
    GuardConfig {
        allow: networks(&guard.allow),
        deny: networks(&guard.deny),
        messages_per_s: guard.messages_per_s,
        burst: guard.burst,
        ban_after: guard.ban_after,
        ban_s: guard.ban_s,
        scanners: guard.scanners.clone(),
    }
}

const fn codec(name: CodecName) -> Codec {
    match name {
        CodecName::Pcmu => Codec::Pcmu,
        CodecName::Pcma => Codec::Pcma,
        CodecName::G722 => Codec::G722,
        CodecName::G729 => Codec::G729,
    }
}

const fn suite(name: SuiteName) -> CryptoSuite {
    match name {
        SuiteName::AesCm128HmacSha1_80 => CryptoSuite::AesCm128HmacSha1_80,
        SuiteName::AesCm128HmacSha1_32 => CryptoSuite::AesCm128HmacSha1_32,
        SuiteName::AesCm256HmacSha1_80 => CryptoSuite::AesCm256HmacSha1_80,
        SuiteName::AesCm256HmacSha1_32 => CryptoSuite::AesCm256HmacSha1_32,
        SuiteName::AeadAes128Gcm => CryptoSuite::AeadAes128Gcm,
        SuiteName::AeadAes256Gcm => CryptoSuite::AeadAes256Gcm,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_numbers_in_the_order_of_the_file() {
        let config = tandem_config::parse(
            "t.yaml",
            "ports: [{name: media, device: net_null0, addresses: [10.0.0.10/24, 10.0.0.11/24]}]
workers: {cores: [1, 2]}
sip: {listen: [{name: a, address: 10.0.1.10}, {name: b, address: 10.0.1.11, advertise: 192.0.2.1}]}
peers:
  - {name: left, address: 10.0.1.20, codecs: [G722], media_address: 10.0.0.11}
  - {name: right, listen: b, address: 10.0.1.30, domain: r.example.com, media_address: 10.0.0.11, source: strict,
     srtp: required, srtp_suites: [AEAD_AES_256_GCM, AES_CM_128_HMAC_SHA1_32]}
groups: [{name: both, members: [{peer: right}, {peer: left, weight: 3}], order: weight, mode: parallel, next_on: [500]}]
routes:
  - {from: left, prefix: '0', peer: right, strip: 1, prepend: '+49'}
  - {number: '1.', hours: {days: [sat], from: '08:30', zone: Asia/Tokyo}, codec: G722, peer: both}
",
        )
        .unwrap();
        let made = switch_config(&config, 7, WallClock::default());
        assert_eq!(made.validate(), Ok(()));
        assert_eq!(made.listeners[1].advertised.to_string(), "192.0.2.1:5060");
        assert_eq!(made.peers[0].listener, ListenerId(0));
        assert_eq!(made.peers[0].codecs, [Codec::G722]);
        assert_eq!(made.peers[0].media_address.to_string(), "10.0.0.11");
        assert_eq!(made.peers[1].listener, ListenerId(1));
        assert_eq!(made.peers[1].media_address.to_string(), "10.0.0.11");
        assert_eq!(made.peers[0].media_source, SourcePolicy::new(Learning::Port));
        assert_eq!((made.peers[0].reorder_packets, made.peers[0].rtp_echo), (2, false));
        assert_eq!(made.peers[1].media_source, SourcePolicy::new(Learning::Off));
        assert_eq!((made.peers[0].srtp, made.peers[1].srtp), (SrtpPolicy::Off, SrtpPolicy::Required));
        assert_eq!(made.peers[1].srtp_suites, [CryptoSuite::AeadAes256Gcm, CryptoSuite::AesCm128HmacSha1_32]);
        let route = &made.routes[0];
        let to = Target::Peer(PeerId(1));
        assert_eq!((route.name.as_str(), route.when.from, route.to), ("1", Some(PeerId(0)), to));
        assert_eq!((route.rewrite.strip, route.rewrite.prepend.as_str()), (1, "+49"));
        assert_eq!(made.peers[1].domain.as_deref(), Some("r.example.com"));
        let route = &made.routes[1];
        assert_eq!(route.to, Target::Group(GroupId(0)));
        assert!(route.when.number.as_ref().is_some_and(|number| number.matches("17")));
        let hours = route.when.hours.as_ref().expect("hours");
        assert_eq!((hours.days[5], hours.days[6], hours.from_s, hours.until_s), (true, false, 30_600, 0));
        let group = &made.groups[0];
        assert_eq!(group.members[1], Member { peer: PeerId(0), weight: 3 });
        assert_eq!((group.order, group.hunt.mode), (Order::Weight, HuntMode::Parallel));
        assert_eq!(group.hunt.next_on, [500]);
        assert_eq!(made.media.workers.len(), 2);
        assert_eq!(made.media.workers[1], WorkerSlots { worker: WorkerId(1), slots: 7 });
    }
}
