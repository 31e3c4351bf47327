//! Where those are that are known by a name (RFC 3263): peers, and next hops that a peer's Contact or Route names.
//!
//! | who | when the name is looked up |
//! | --- | --- |
//! | a peer | at the start, and whenever the answer's time is over: a call finds it known |
//! | a next hop | when a dialog names it; the response that makes the dialog waits for it, [`PATIENCE`] at most |
//!
//! A target that could not be had is dead for a while: it is tried after those that are not.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::Rng;
use tandem_contract::Nanos;
use tandem_sip::locate::{self, Answer, Destination, Located, Locator, Nowhere, Question, Way};
use tandem_sip::{ClientTx, Peer as SipPeer, Response, TargetFailure, Transport};

use crate::config::{Host, Listener, Peer, SwitchConfig};
use crate::exchange::{instant, nanos, seconds};

/// How long a response waits for the name of its dialog's next hop: 2 s.
const PATIENCE: u64 = 2_000_000_000;
/// Responses that wait at a time; more do without.
const MAX_WAITING: usize = 256;
/// Dead targets that are remembered.
const MAX_DEAD: usize = 1024;

/// Everybody who is known by a name.
#[derive(Debug)]
pub(crate) struct Whereabouts {
    locator: Locator,
    /// By the peer's name.
    peers: BTreeMap<String, Named>,
    /// Who could not be had, and until when that is believed.
    dead: HashMap<(Transport, SocketAddr), Nanos>,
    random: ChaCha12Rng,
    waiting: VecDeque<Waiting>,
}

/// A peer with a name.
#[derive(Debug)]
struct Named {
    peer: Arc<Peer>,
    destination: Destination,
    ways: Vec<Way>,
    located: Option<Located>,
    is_asked: bool,
}

/// A response whose dialog's next hop is being looked up.
#[derive(Debug)]
struct Waiting {
    tx: ClientTx,
    response: Response,
    destination: Destination,
    ways: Vec<Way>,
    until: Nanos,
}

/// Where a peer's name leads, for people who look.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Resolution {
    /// The name, with a port where one is configured.
    pub name: String,
    /// Why it leads nowhere; empty where it does.
    pub problem: String,
    /// For how many seconds that holds.
    pub expires_s: u64,
    /// Servers by priority, and by weight within one.
    pub servers: Vec<Server>,
}

/// One address of a server.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Server {
    /// The host that its SRV record names, or the name itself.
    pub host: String,
    /// As in Via.
    pub transport: &'static str,
    /// Where it is.
    pub address: SocketAddr,
    /// Lower ones are tried first.
    pub priority: u16,
    /// Its share among those of the same priority.
    pub weight: u16,
    /// For how many seconds it is tried last, since it could not be had; `None` where it could.
    pub dead_for_s: Option<u64>,
}

/// What is new of a peer's name.
pub(crate) struct News {
    pub(crate) peer: String,
    /// Where it is; none where its name leads nowhere.
    pub(crate) places: Vec<SocketAddr>,
    /// Why it leads nowhere.
    pub(crate) problem: Option<String>,
}

impl Whereabouts {
    pub(crate) fn new(random: ChaCha12Rng) -> Self {
        Self {
            locator: Locator::default(),
            peers: BTreeMap::new(),
            dead: HashMap::new(),
            random,
            waiting: VecDeque::new(),
        }
    }

    /// These are the peers now; who had the same name to be found by keeps what is known.
    pub(crate) fn set_peers<'p>(&mut self, config: &SwitchConfig, peers: impl Iterator<Item = &'p Arc<Peer>>) {
        let mut before = std::mem::take(&mut self.peers);
        for peer in peers {
            let Some(host) = &peer.host else { continue };
            let ways = ways_of(config, peer, host);
            let destination =
                Destination { host: host.name.clone(), port: host.port, transport: None, is_secure: false };
            let named = match before.remove(&peer.name) {
                Some(known) if known.destination == destination && known.ways == ways => {
                    Named { peer: Arc::clone(peer), ..known }
                }
                _ => Named { peer: Arc::clone(peer), destination, ways, located: None, is_asked: false },
            };
            self.peers.insert(peer.name.clone(), named);
        }
    }

    pub(crate) fn poll_question(&mut self) -> Option<Question> {
        self.locator.poll_question()
    }

    pub(crate) fn on_answer(&mut self, now: Nanos, question: &Question, answer: Answer) {
        self.locator.on_answer(instant(now), question, answer);
    }

    pub(crate) fn next_deadline(&self) -> Option<Nanos> {
        let peers = self.peers.values().filter_map(|named| match &named.located {
            // The answer moves it on.
            Some(located) if located.is_stale => None,
            Some(located) => Some(nanos(located.expires)),
            None => (!named.is_asked).then(Nanos::default),
        });
        peers.chain(self.waiting.iter().map(|waiting| waiting.until)).min()
    }

    /// Looks up those peers whose time has come; what is new of them.
    pub(crate) fn look_up(&mut self, now: Nanos) -> Vec<News> {
        let at = instant(now);
        let mut news = Vec::new();
        for (name, named) in &mut self.peers {
            if named.located.as_ref().is_some_and(|located| !located.is_stale && located.expires > at) {
                continue;
            }
            named.is_asked = true;
            let Some(located) = self.locator.locate(at, &named.destination, &named.ways) else { continue };
            let is_new = named.located.as_ref().is_none_or(|known| known.choices != located.choices);
            if is_new {
                let (places, problem) = match &located.choices {
                    Ok(choices) => (choices.iter().flat_map(|choice| choice.addresses.clone()).collect(), None),
                    Err(nowhere) => (Vec::new(), Some(format!("its name {}: {nowhere}", named.destination.host))),
                };
                news.push(News { peer: name.clone(), places, problem });
            }
            named.located = Some(located);
        }
        news
    }

    /// Whether the peer of that name has a name that nothing is known of yet.
    pub(crate) fn is_being_looked_up(&self, peer: &str) -> bool {
        self.peers.get(peer).is_some_and(|named| named.located.is_none())
    }

    /// Where each peer with a name is, as far as that is known.
    pub(crate) fn places(&self) -> impl Iterator<Item = (&str, Vec<SocketAddr>)> {
        self.peers.iter().map(|(name, named)| {
            let choices = named.located.iter().filter_map(|located| located.choices.as_ref().ok()).flatten();
            (name.as_str(), choices.flat_map(|choice| choice.addresses.iter().copied()).collect())
        })
    }

    /// Where to try for the peer of that name, one after the other: by priority and weight, and the dead ones last.
    pub(crate) fn targets(&mut self, now: Nanos, peer: &str) -> Result<Vec<(Transport, SocketAddr)>, Nowhere> {
        let located = self.peers.get(peer).and_then(|named| named.located.as_ref());
        let choices = located.ok_or(Nowhere::Unanswered)?.choices.as_ref().map_err(|nowhere| *nowhere)?;
        let mut targets = locate::targets(choices, || self.random.next_u64());
        targets.sort_by_key(|target| self.dead.get(target).is_some_and(|until| now < *until));
        Ok(targets)
    }

    /// A target could not be had: it is dead for as long as its peer's health says, or for as long as it says itself.
    pub(crate) fn on_failure(&mut self, now: Nanos, target: SipPeer, failure: TargetFailure) {
        let is_its = |named: &&Named| {
            let choices = named.located.iter().filter_map(|located| located.choices.as_ref().ok()).flatten();
            choices
                .filter(|choice| choice.transport == target.transport)
                .any(|choice| choice.addresses.contains(&target.remote))
        };
        let Some(named) = self.peers.values().find(is_its) else { return };
        let for_s = match failure {
            TargetFailure::Silent | TargetFailure::Unreachable => Some(named.peer.health.hold_out_s),
            // RFC 3261 §21.5.4: without it, 503 speaks of this request alone.
            TargetFailure::Unavailable { retry_after_s } => retry_after_s.map(|after| after.min(3_600)),
        };
        let Some(for_s) = for_s else { return };
        if self.dead.len() >= MAX_DEAD {
            self.dead.retain(|_, until| now < *until);
        }
        if self.dead.len() < MAX_DEAD {
            self.dead.insert((target.transport, target.remote), now.plus(seconds(for_s)));
        }
    }

    /// Where a next hop with a name is; `None` where that is not known, or not yet.
    pub(crate) fn next_hop(&mut self, now: Nanos, hop: &Destination, ways: &[Way]) -> Option<(Transport, SocketAddr)> {
        let located = self.locator.locate(instant(now), hop, ways)?;
        let targets = locate::targets(&located.choices.ok()?, || self.random.next_u64());
        let is_alive = |target: &&(Transport, SocketAddr)| self.dead.get(target).is_none_or(|until| *until <= now);
        targets.iter().find(is_alive).or(targets.first()).copied()
    }

    /// Keeps a response until the next hop of its dialog is known; gives it back where that needs no waiting.
    pub(crate) fn keep(
        &mut self,
        now: Nanos,
        (tx, response): (ClientTx, Response),
        (destination, ways): (Destination, Vec<Way>),
    ) -> Option<Response> {
        let is_known = self.locator.locate(instant(now), &destination, &ways).is_some();
        if is_known || self.waiting.len() >= MAX_WAITING {
            return Some(response);
        }
        let until = now.plus(PATIENCE);
        self.waiting.push_back(Waiting { tx, response, destination, ways, until });
        None
    }

    /// The next response that has waited long enough.
    pub(crate) fn poll_response(&mut self, now: Nanos) -> Option<(ClientTx, Response)> {
        let Self { waiting, locator, .. } = self;
        let is_ready =
            |kept: &Waiting| kept.until <= now || locator.locate(instant(now), &kept.destination, &kept.ways).is_some();
        let ready = waiting.iter().position(is_ready)?;
        waiting.remove(ready).map(|kept| (kept.tx, kept.response))
    }

    /// Where the name of that peer leads; `None` where it has none.
    pub(crate) fn explain(&self, now: Nanos, peer: &str) -> Option<Resolution> {
        let named = self.peers.get(peer)?;
        let Destination { host, port, .. } = &named.destination;
        let name = port.map_or_else(|| host.clone(), |port| format!("{host}:{port}"));
        let mut resolution = Resolution { name, problem: String::new(), expires_s: 0, servers: Vec::new() };
        let Some(located) = &named.located else {
            "it is being looked up".clone_into(&mut resolution.problem);
            return Some(resolution);
        };
        resolution.expires_s = located.expires.saturating_since(instant(now)).as_secs();
        match &located.choices {
            Err(nowhere) => resolution.problem = nowhere.to_string(),
            Ok(choices) => {
                let mut choices: Vec<_> = choices.iter().collect();
                choices.sort_by_key(|choice| (choice.priority, std::cmp::Reverse(choice.weight)));
                let of_host = |choice: &locate::Choice, address: SocketAddr| {
                    let dead = self.dead.get(&(choice.transport, address)).filter(|until| now < **until);
                    Server {
                        host: choice.host.clone(),
                        transport: choice.transport.as_str(),
                        address,
                        priority: choice.priority,
                        weight: choice.weight,
                        dead_for_s: dead.map(|until| until.since(now).div_ceil(1_000_000_000)),
                    }
                };
                let servers =
                    choices.iter().flat_map(|choice| choice.addresses.iter().map(|address| of_host(choice, *address)));
                resolution.servers = servers.collect();
            }
        }
        Some(resolution)
    }
}

/// By what a peer with a name may be reached: by its listener, or by all of them where none is named, its usual one first.
/// Where that one is encrypted, so are all.
fn ways_of(config: &SwitchConfig, peer: &Peer, host: &Host) -> Vec<Way> {
    let Some(own) = config.listeners.get(usize::from(peer.listener.0)) else { return Vec::new() };
    let others = config.listeners.iter().filter(|_| host.any_listener);
    ways(std::iter::once(own).chain(others), own.transport.is_secure())
}

/// The ways that listeners offer to requests of ours, each once. WebSocket servers open no connections.
pub(crate) fn ways<'l>(listeners: impl Iterator<Item = &'l Listener>, only_secure: bool) -> Vec<Way> {
    let mut ways = Vec::new();
    for listener in listeners {
        let way = Way { transport: listener.transport, is_ipv6: listener.advertised.is_ipv6() };
        let opens = matches!(way.transport, Transport::Udp | Transport::Tcp | Transport::Tls);
        if opens && (way.transport.is_secure() || !only_secure) && !ways.contains(&way) {
            ways.push(way);
        }
    }
    ways
}
