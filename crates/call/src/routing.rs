//! Who a request comes from and where a call goes.

mod choice;
mod explain;
mod rules;

use std::net::SocketAddr;
use std::sync::Arc;

use tandem_registrar::Target as Contact;
use tandem_sip::{Uri, UriBuf, ValueError};

use crate::config::{Group, HuntPolicy, Member, Peer, PeerId, Rewrite, Route, SourceNet, SwitchConfig, Target};

pub(crate) use choice::Standing;
pub use explain::{Enquiry, EnquiryError, Explanation, RuleVerdict, TargetVerdict};
pub(crate) use rules::Query;

/// The routing table.
#[derive(Debug)]
pub(crate) struct Routing {
    peers: Vec<Arc<Peer>>,
    groups: Vec<Arc<Group>>,
    routes: Vec<Route>,
    /// Calls that each group had, for those that take turns.
    turns: Vec<u32>,
    /// Where peers are that are found by a name.
    places: Vec<Vec<SocketAddr>>,
}

/// One peer that may get the call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) peer: PeerId,
    pub(crate) config: Arc<Peer>,
    pub(crate) uri: UriBuf,
    /// Where exactly that is, where it is a registered user.
    pub(crate) contact: Option<Contact>,
}

/// Where a call goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// The route's name.
    pub(crate) route: String,
    /// Whom to call, the first one first; never empty.
    pub(crate) candidates: Vec<Candidate>,
    pub(crate) hunt: HuntPolicy,
    /// The peer that records it.
    pub(crate) recorder: Option<String>,
}

/// Why a call goes nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoDestination {
    /// No route's conditions hold (404).
    NoRoute,
    /// What the route makes of the Request-URI is no URI, or has no user left (484).
    AddressIncomplete,
    /// The route leads to registered users, and nobody is called so (404).
    UnknownUser,
    /// The user is registered nowhere (480).
    UserAway,
}

impl Routing {
    pub(crate) fn new(config: &SwitchConfig) -> Self {
        Self {
            peers: config.peers.iter().cloned().map(Arc::new).collect(),
            groups: config.groups.iter().cloned().map(Arc::new).collect(),
            routes: config.routes.clone(),
            turns: vec![0; config.groups.len()],
            places: vec![Vec::new(); config.peers.len()],
        }
    }

    pub(crate) fn peers(&self) -> impl Iterator<Item = &Arc<Peer>> {
        self.peers.iter()
    }

    pub(crate) fn peer(&self, id: PeerId) -> Option<&Arc<Peer>> {
        self.peers.get(usize::from(id.0))
    }

    /// The peer of that name is there now.
    pub(crate) fn set_places(&mut self, name: &str, places: Vec<SocketAddr>) {
        if let Some(index) = self.peers.iter().position(|peer| peer.name == name) {
            self.places[index] = places;
        }
    }

    /// The addresses of those that are found by a name.
    pub(crate) fn networks(&self) -> impl Iterator<Item = SourceNet> + '_ {
        self.places.iter().flatten().map(|place| SourceNet::host(place.ip()))
    }

    fn addresses<'p>(peer: &'p Peer, places: &'p [SocketAddr]) -> impl Iterator<Item = &'p SocketAddr> {
        let own = peer.host.is_none().then_some(&peer.address);
        own.into_iter().chain(places)
    }

    /// The name that the certificate of the peer at `address` must have; a peer may speak from several ports.
    pub(crate) fn server_name(&self, address: SocketAddr) -> Option<&str> {
        let at = |is_it: &dyn Fn(&SocketAddr) -> bool| {
            let found =
                self.peers.iter().zip(&self.places).find(|(peer, places)| Self::addresses(peer, places).any(is_it));
            found.map(|(peer, _)| peer)
        };
        let exact = at(&|known| *known == address);
        exact.or_else(|| at(&|known| known.ip() == address.ip()))?.server_name.as_deref()
    }

    /// The peer of that name.
    pub(crate) fn peer_named(&self, name: &str) -> Option<(PeerId, Arc<Peer>)> {
        let known = self.peers.iter().zip(0..).find(|(peer, _)| peer.name == name);
        known.map(|(peer, id)| (PeerId(id), Arc::clone(peer)))
    }

    /// The peer that a source address belongs to: the one at exactly that address and port, else the one with the
    /// longest network prefix around it, where a peer's own address counts as the longest. Ties go to the first.
    pub(crate) fn peer_of(&self, source: SocketAddr) -> Option<PeerId> {
        let closeness = |peer: &Peer, places: &[SocketAddr]| {
            if Self::addresses(peer, places).any(|known| *known == source) {
                return Some(u16::MAX);
            }
            if Self::addresses(peer, places).any(|known| known.ip() == source.ip()) {
                return Some(u16::from(u8::MAX));
            }
            peer.sources.iter().filter(|net| net.contains(source.ip())).map(|net| u16::from(net.prefix_len)).max()
        };
        let mut best: Option<(u16, PeerId)> = None;
        for ((peer, places), id) in self.peers.iter().zip(&self.places).zip(0..) {
            if let Some(found) = closeness(peer, places)
                && best.is_none_or(|(known, _)| found > known)
            {
                best = Some((found, PeerId(id)));
            }
        }
        best.map(|(_, id)| id)
    }

    /// The first route whose conditions all hold for a call, and whom it names.
    pub(crate) fn plan(
        &mut self,
        query: &Query<'_>,
        standing: impl Fn(PeerId) -> Standing,
        draw: impl FnMut() -> u64,
    ) -> Result<Plan, NoDestination> {
        let number = query.number();
        let position = self.routes.iter().position(|route| query.mismatch(route, &number).is_none());
        let position = position.ok_or(NoDestination::NoRoute)?;
        if let Target::Group(group) = self.routes[position].to
            && let Some(turn) = self.turns.get_mut(usize::from(group.0))
        {
            *turn = turn.wrapping_add(1);
        }
        self.plan_of(&self.routes[position], query, &number, standing, draw)
    }

    fn plan_of(
        &self,
        route: &Route,
        query: &Query<'_>,
        number: &str,
        standing: impl Fn(PeerId) -> Standing,
        draw: impl FnMut() -> u64,
    ) -> Result<Plan, NoDestination> {
        let (ids, hunt) = match route.to {
            Target::Peer(peer) => (vec![peer], HuntPolicy::default()),
            Target::Group(id) => {
                let group = self.groups.get(usize::from(id.0)).ok_or(NoDestination::NoRoute)?;
                let turn = self.turns[usize::from(id.0)].wrapping_sub(1);
                let peer = |member: &Member| &*self.peers[usize::from(member.peer.0)];
                let order = choice::in_order(group, query.caller, turn, draw, peer, |member| standing(member.peer));
                (order.into_iter().map(|member| member.peer).collect(), group.hunt.clone())
            }
        };
        let candidate = |id: PeerId| {
            let peer = self.peer(id).ok_or(NoDestination::NoRoute)?;
            let uri = rewritten(&route.rewrite, number, query.uri, peer);
            let uri = uri.map_err(|_| NoDestination::AddressIncomplete)?;
            if route.rewrite.strip > 0 && uri.view().user().is_none() {
                return Err(NoDestination::AddressIncomplete);
            }
            Ok(Candidate { peer: id, config: Arc::clone(peer), uri, contact: None })
        };
        let candidates = ids.into_iter().map(candidate).collect::<Result<Vec<_>, _>>()?;
        Ok(Plan { route: route.name.clone(), candidates, hunt, recorder: route.recorder.clone() })
    }
}

fn rewritten(rewrite: &Rewrite, user: &str, uri: &Uri<'_>, peer: &Peer) -> Result<UriBuf, ValueError> {
    let left = user.char_indices().nth(usize::from(rewrite.strip)).map_or("", |(at, _)| &user[at..]);
    let new_user = format!("{}{left}", rewrite.prepend);
    let mut new = UriBuf::sip(Some(new_user.as_str()), &peer.uri_host())?;
    // `user=phone` says how to read the user part, which is still such a number.
    if uri.param("user").is_some_and(|param| param.value.is_some_and(|v| v.eq_ignore_ascii_case("phone"))) {
        new = UriBuf::parse(&format!("{new};user=phone"))?;
    }
    Ok(new)
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use tandem_contract::Codec;

    use super::*;
    use crate::config::{Conditions, ListenerId};

    fn peer(address: &str, sources: &[(&str, u8)]) -> Peer {
        let net = |&(address, prefix_len): &(&str, u8)| SourceNet { address: ip(address), prefix_len };
        let at = address.parse().expect("an address");
        Peer {
            sources: sources.iter().map(net).collect(),
            ..Peer::new(address, at, ListenerId(0), vec![Codec::Pcmu], Ipv4Addr::LOCALHOST.into())
        }
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn route(name: &str, from: Option<u16>, user_prefix: &str, domain: Option<&str>, to: u16) -> Route {
        Route {
            name: name.to_owned(),
            when: Conditions {
                from: from.map(PeerId),
                user_prefix: user_prefix.to_owned(),
                domain: domain.map(str::to_owned),
                ..Conditions::default()
            },
            to: Target::Peer(PeerId(to)),
            rewrite: Rewrite::default(),
            recorder: None,
        }
    }

    fn table(peers: Vec<Peer>, routes: Vec<Route>) -> Routing {
        let places = vec![Vec::new(); peers.len()];
        let peers = peers.into_iter().map(Arc::new).collect();
        Routing { peers, groups: Vec::new(), routes, turns: Vec::new(), places }
    }

    const IDLE: Standing = Standing { calls: 0, round_trip_us: None, is_out: false };

    fn uri_of(routing: &mut Routing, from: u16, uri: &str) -> Result<String, NoDestination> {
        let uri = Uri::parse(uri).expect("a URI");
        let identity = crate::stir::IdentityVerdict::None;
        let query = Query { from: PeerId(from), uri: &uri, caller: "", identity, offered: None, unix_ms: 0 };
        routing.plan(&query, |_| IDLE, || 0).map(|plan| plan.candidates[0].uri.to_string())
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
        let mut routing = table(peers, routes);
        assert_eq!(uri_of(&mut routing, 1, "sip:112@x"), Ok("sip:112@192.0.2.3:5060".into()));
        assert_eq!(uri_of(&mut routing, 0, "sip:49@example.net"), Ok("sip:49@192.0.2.2:5060".into()));
        assert_eq!(uri_of(&mut routing, 0, "sip:4930@other"), Ok("sip:4930@192.0.2.3:5060".into()));
        assert_eq!(uri_of(&mut routing, 1, "sip:other"), Ok("sip:192.0.2.1:5060".into()));
        assert_eq!(uri_of(&mut routing, 0, "sip:1@other"), Err(NoDestination::NoRoute));
        assert_eq!(uri_of(&mut routing, 2, "sip:4930@other"), Err(NoDestination::NoRoute));
    }

    #[test]
    fn the_user_part_is_stripped_then_prepended() {
        let rewrite = |strip, prepend: &str, domain: Option<&str>| {
            let rewrite = Rewrite { strip, prepend: prepend.to_owned() };
            let peer = Peer { domain: domain.map(str::to_owned), ..peer("192.0.2.1:5060", &[]) };
            table(vec![peer], vec![Route { rewrite, ..route("r", None, "", None, 0) }])
        };
        assert_eq!(uri_of(&mut rewrite(2, "+49", None), 0, "sip:0030123@x"), Ok("sip:+4930123@192.0.2.1:5060".into()));
        assert_eq!(uri_of(&mut rewrite(0, "9", Some("pbx.example")), 0, "sip:1@x"), Ok("sip:91@pbx.example".into()));
        assert_eq!(uri_of(&mut rewrite(1, "", None), 0, "tel:+4930"), Ok("sip:4930@192.0.2.1:5060".into()));
        assert_eq!(uri_of(&mut rewrite(9, "", None), 0, "sip:123@x"), Err(NoDestination::AddressIncomplete));
        let phone = uri_of(&mut rewrite(0, "", None), 0, "sip:+49@x:5070;user=phone;transport=udp");
        assert_eq!(
            phone,
            Ok("sip:+49@192.0.2.1:5060;user=phone".into()),
            "only what says how to read the number stays"
        );
    }

    #[test]
    fn escaped_digits_match_as_what_they_mean() {
        let mut routing = table(vec![peer("192.0.2.1:5060", &[])], vec![route("plus", None, "+49", None, 0)]);
        assert_eq!(uri_of(&mut routing, 0, "sip:%2B4930@x"), Ok("sip:+4930@192.0.2.1:5060".into()));
    }
}
