//! Who a request comes from and where a call goes.

use std::net::SocketAddr;
use std::sync::Arc;

use tandem_sip::{Uri, UriBuf, ValueError, unescape};

use crate::config::{Peer, PeerId, Route, SwitchConfig};

/// The routing table.
#[derive(Debug)]
pub(crate) struct Routing {
    peers: Vec<Arc<Peer>>,
    routes: Vec<Route>,
}

/// Where a call goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Destination {
    pub(crate) peer: PeerId,
    pub(crate) uri: UriBuf,
    /// The route's name.
    pub(crate) route: String,
}

/// Why a call goes nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoDestination {
    /// No route's conditions hold (404).
    NoRoute,
    /// What the route makes of the Request-URI is no URI, or has no user left (484).
    AddressIncomplete,
}

impl Routing {
    pub(crate) fn new(config: &SwitchConfig) -> Self {
        Self { peers: config.peers.iter().cloned().map(Arc::new).collect(), routes: config.routes.clone() }
    }

    pub(crate) fn peer(&self, id: PeerId) -> Option<&Arc<Peer>> {
        self.peers.get(usize::from(id.0))
    }

    /// The name that the certificate of the peer at `address` must have; a peer may speak from several ports.
    pub(crate) fn server_name(&self, address: SocketAddr) -> Option<&str> {
        let exact = self.peers.iter().find(|peer| peer.address == address);
        let near = || self.peers.iter().find(|peer| peer.address.ip() == address.ip());
        exact.or_else(near)?.server_name.as_deref()
    }

    /// The peer of that name.
    pub(crate) fn peer_named(&self, name: &str) -> Option<(PeerId, Arc<Peer>)> {
        let known = self.peers.iter().zip(0..).find(|(peer, _)| peer.name == name);
        known.map(|(peer, id)| (PeerId(id), Arc::clone(peer)))
    }

    /// The peer that a source address belongs to: the one at exactly that address and port, else the one with the
    /// longest network prefix around it, where a peer's own address counts as the longest. Ties go to the first.
    pub(crate) fn peer_of(&self, source: SocketAddr) -> Option<PeerId> {
        let closeness = |peer: &Peer| {
            if peer.address == source {
                return Some(u16::MAX);
            }
            if peer.address.ip() == source.ip() {
                return Some(u16::from(u8::MAX));
            }
            peer.sources.iter().filter(|net| net.contains(source.ip())).map(|net| u16::from(net.prefix_len)).max()
        };
        let mut best: Option<(u16, PeerId)> = None;
        for (peer, id) in self.peers.iter().zip(0..) {
            if let Some(found) = closeness(peer)
                && best.is_none_or(|(known, _)| found > known)
            {
                best = Some((found, PeerId(id)));
            }
        }
        best.map(|(_, id)| id)
    }

    /// The first route whose conditions all hold for a call from `from` to `uri`, and what it makes of `uri`.
    pub(crate) fn destination(&self, from: PeerId, uri: &Uri<'_>) -> Result<Destination, NoDestination> {
        let user = unescape(uri.user().unwrap_or_default());
        let holds = |route: &&Route| {
            route.from.is_none_or(|peer| peer == from)
                && user.starts_with(route.user_prefix.as_bytes())
                && route.domain.as_ref().is_none_or(|domain| domain.eq_ignore_ascii_case(uri.host()))
        };
        let route = self.routes.iter().find(holds).ok_or(NoDestination::NoRoute)?;
        let peer = self.peer(route.to).ok_or(NoDestination::NoRoute)?;
        let uri = rewritten(route, &user, uri, peer).map_err(|_| NoDestination::AddressIncomplete)?;
        if route.rewrite.strip > 0 && uri.view().user().is_none() {
            return Err(NoDestination::AddressIncomplete);
        }
        Ok(Destination { peer: route.to, uri, route: route.name.clone() })
    }
}

fn rewritten(route: &Route, user: &[u8], uri: &Uri<'_>, peer: &Peer) -> Result<UriBuf, ValueError> {
    let user = std::str::from_utf8(user).map_err(|_| ValueError::Syntax)?;
    let left = user.char_indices().nth(usize::from(route.rewrite.strip)).map_or("", |(at, _)| &user[at..]);
    let new_user = format!("{}{left}", route.rewrite.prepend);
    let host = route.rewrite.domain.clone().unwrap_or_else(|| peer.address.to_string());
    let mut new = UriBuf::sip(Some(new_user.as_str()), &host)?;
    // `user=phone` says how to read the user part, which is still such a number.
    if uri.param("user").is_some_and(|param| param.value.is_some_and(|v| v.eq_ignore_ascii_case("phone"))) {
        new = UriBuf::parse(&format!("{new};user=phone"))?;
    }
    Ok(new)
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use tandem_contract::{Codec, Learning, SourcePolicy};

    use super::*;
    use crate::config::{ListenerId, Rewrite, SourceNet};

    fn peer(address: &str, sources: &[(&str, u8)]) -> Peer {
        let net = |&(address, prefix_len): &(&str, u8)| SourceNet { address: ip(address), prefix_len };
        Peer {
            name: address.to_owned(),
            address: address.parse().expect("an address"),
            server_name: None,
            listener: ListenerId(0),
            sources: sources.iter().map(net).collect(),
            codecs: vec![Codec::Pcmu],
            ptime_ms: 20,
            annexb: true,
            comfort_noise: false,
            telephone_event: true,
            rtcp_mux: tandem_sdp::RtcpMux::Accept,
            in_band_dtmf: false,
            info_dtmf: false,
            srtp: tandem_sdp::SrtpPolicy::Off,
            srtp_suites: Vec::new(),
            media_address: Ipv4Addr::LOCALHOST.into(),
            media_source: SourcePolicy::new(Learning::Off),
            reorder_packets: 0,
            rtp_echo: false,
            hold_music: false,
            max_calls: None,
        }
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn route(name: &str, from: Option<u16>, user_prefix: &str, domain: Option<&str>, to: u16) -> Route {
        Route {
            name: name.to_owned(),
            from: from.map(PeerId),
            user_prefix: user_prefix.to_owned(),
            domain: domain.map(str::to_owned),
            to: PeerId(to),
            rewrite: Rewrite::default(),
        }
    }

    fn table(peers: Vec<Peer>, routes: Vec<Route>) -> Routing {
        Routing { peers: peers.into_iter().map(Arc::new).collect(), routes }
    }

    fn uri_of(routing: &Routing, from: u16, uri: &str) -> Result<String, NoDestination> {
        routing.destination(PeerId(from), &Uri::parse(uri).expect("a URI")).map(|found| found.uri.to_string())
    }

    #[test]
    fn the_closest_description_of_a_source_names_its_peer() {
        let peers = vec![
            peer("192.0.2.1:5060", &[("0.0.0.0", 0)]),
            peer("192.0.2.1:5080", &[]),
            peer("198.51.100.1:5060", &[("10.0.0.0", 8)]),
            peer("198.51.100.2:5060", &[("10.1.0.0", 16), ("2001:db8::", 32)]),
        ];
        let routing = table(peers, Vec::new());
        for (source, expected) in [
            ("192.0.2.1:5060", 0),
            ("192.0.2.1:5080", 1),
            ("192.0.2.1:9999", 0),
            ("10.2.0.1:5060", 2),
            ("10.1.0.1:5060", 3),
            ("[2001:db8::1]:5060", 3),
            ("203.0.113.1:5060", 0),
        ] {
            let source = source.parse().expect("an address");
            assert_eq!(routing.peer_of(source), Some(PeerId(expected)), "{source}");
        }
        assert_eq!(routing.peer_of("[::1]:5060".parse().expect("an address")), None, "no IPv4 network holds it");
    }

    #[test]
    fn the_first_route_whose_conditions_all_hold_is_taken() {
        let peers = vec![peer("192.0.2.1:5060", &[]), peer("192.0.2.2:5060", &[]), peer("192.0.2.3:5060", &[])];
        let routes = vec![
            route("emergency", None, "112", None, 2),
            route("from first by domain", Some(0), "", Some("Example.NET"), 1),
            route("from first by prefix", Some(0), "49", None, 2),
            route("back", Some(1), "", None, 0),
        ];
        let routing = table(peers, routes);
        assert_eq!(uri_of(&routing, 1, "sip:112@x"), Ok("sip:112@192.0.2.3:5060".into()));
        assert_eq!(uri_of(&routing, 0, "sip:49@example.net"), Ok("sip:49@192.0.2.2:5060".into()));
        assert_eq!(uri_of(&routing, 0, "sip:4930@other"), Ok("sip:4930@192.0.2.3:5060".into()));
        assert_eq!(uri_of(&routing, 1, "sip:other"), Ok("sip:192.0.2.1:5060".into()));
        assert_eq!(uri_of(&routing, 0, "sip:1@other"), Err(NoDestination::NoRoute));
        assert_eq!(uri_of(&routing, 2, "sip:4930@other"), Err(NoDestination::NoRoute));
    }

    #[test]
    fn the_user_part_is_stripped_then_prepended() {
        let rewrite = |strip, prepend: &str, domain: Option<&str>| {
            let rewrite = Rewrite { strip, prepend: prepend.to_owned(), domain: domain.map(str::to_owned) };
            table(vec![peer("192.0.2.1:5060", &[])], vec![Route { rewrite, ..route("r", None, "", None, 0) }])
        };
        assert_eq!(uri_of(&rewrite(2, "+49", None), 0, "sip:0030123@x"), Ok("sip:+4930123@192.0.2.1:5060".into()));
        assert_eq!(uri_of(&rewrite(0, "9", Some("pbx.example")), 0, "sip:1@x"), Ok("sip:91@pbx.example".into()));
        assert_eq!(uri_of(&rewrite(1, "", None), 0, "tel:+4930"), Ok("sip:4930@192.0.2.1:5060".into()));
        assert_eq!(uri_of(&rewrite(9, "", None), 0, "sip:123@x"), Err(NoDestination::AddressIncomplete));
        let phone = uri_of(&rewrite(0, "", None), 0, "sip:+49@x:5070;user=phone;transport=udp");
        assert_eq!(
            phone,
            Ok("sip:+49@192.0.2.1:5060;user=phone".into()),
            "only what says how to read the number stays"
        );
    }

    #[test]
    fn escaped_digits_match_as_what_they_mean() {
        let routing = table(vec![peer("192.0.2.1:5060", &[])], vec![route("plus", None, "+49", None, 0)]);
        assert_eq!(uri_of(&routing, 0, "sip:%2B4930@x"), Ok("sip:+4930@192.0.2.1:5060".into()));
    }
}
