//! The walk from a destination to its servers.

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use std::sync::Arc;

use super::cache::{Known, Look};
use super::{Choice, Destination, Located, Locator, Naptr, Nowhere, Question, RecordKind, Records, Srv, Way};
use crate::{Instant, Transport};

/// Servers of one service that are told apart; SRV records beyond are passed over.
const MAX_SERVERS: usize = 32;
/// Addresses of one host that are used.
const MAX_ADDRESSES: usize = 16;
/// For how long what needs no asking holds.
const LONG: Duration = Duration::from_secs(86_400);

/// One walk: what it needs, and what it has met.
struct Walk<'l> {
    locator: &'l mut Locator,
    now: Instant,
    ways: Vec<Way>,
    expires: Instant,
    is_stale: bool,
    is_waiting: bool,
    /// The last reason that nothing was found.
    nowhere: Nowhere,
}

impl Locator {
    /// Where requests to `destination` go, by one of `ways`, the preferred one first. `None` while answers are awaited.
    pub fn locate(&mut self, now: Instant, destination: &Destination, ways: &[Way]) -> Option<Located> {
        let fits = |way: &&Way| {
            (!destination.is_secure || way.transport.is_secure())
                && destination.transport.is_none_or(|transport| transport == way.transport)
        };
        let ways = ways.iter().filter(fits).copied().collect();
        let nowhere = Nowhere::NoAddress;
        let expires = now + LONG;
        let mut walk = Walk { locator: self, now, ways, expires, is_stale: false, is_waiting: false, nowhere };
        let choices = walk.servers(destination);
        if walk.is_waiting {
            return None;
        }
        let Walk { expires, is_stale, nowhere, .. } = walk;
        Some(Located { choices: if choices.is_empty() { Err(nowhere) } else { Ok(choices) }, expires, is_stale })
    }
}

impl Walk<'_> {
    fn servers(&mut self, destination: &Destination) -> Vec<Choice> {
        let Some(usual) = self.usual_transport() else { return Vec::new() };
        let host = destination.host.trim_matches(['[', ']']);
        if let Ok(address) = host.parse::<IpAddr>() {
            let port = destination.port.unwrap_or(usual.default_port());
            let is_reached = self.ways.contains(&Way { transport: usual, is_ipv6: address.is_ipv6() });
            let choice = choice(host, usual, (0, 0), vec![SocketAddr::new(address, port)]);
            return if is_reached { vec![choice] } else { Vec::new() };
        }
        let name = host.trim_end_matches('.').to_ascii_lowercase();
        if let Some(port) = destination.port {
            return self.host(&name, usual, (0, 0), port).into_iter().collect();
        }
        let services = match destination.transport {
            Some(transport) => vec![(transport, format!("{}.{name}", service_of(transport)))],
            None => self.services(&name),
        };
        if self.is_waiting {
            return Vec::new();
        }
        // All are asked at once, and the first that has an answer is taken.
        let mut found = Vec::new();
        for (transport, service) in services {
            let was_waiting = self.is_waiting;
            if let Some(servers) = self.service(transport, &service)
                && found.is_empty()
                && !was_waiting
            {
                if servers.is_empty() && self.nowhere == Nowhere::NotOffered {
                    return Vec::new();
                }
                found = servers;
            }
        }
        if self.is_waiting || !found.is_empty() {
            return found;
        }
        self.host(&name, usual, (0, 0), usual.default_port()).into_iter().collect()
    }

    /// The transport where nothing else says one: UDP where we speak it (section 4.1), else the first of ours.
    fn usual_transport(&self) -> Option<Transport> {
        let mut ours = self.ways.iter().map(|way| way.transport);
        let first = ours.next()?;
        Some(if first == Transport::Udp || ours.any(|transport| transport == Transport::Udp) {
            Transport::Udp
        } else {
            first
        })
    }

    /// The SRV names of a domain, the preferred one first.
    fn services(&mut self, name: &str) -> Vec<(Transport, String)> {
        let naptr = match self.look(name, RecordKind::Naptr).as_deref() {
            Some(Records::Naptr(records)) => records.clone(),
            _ => Vec::new(),
        };
        let mut usable: Vec<(&Naptr, Transport)> = naptr
            .iter()
            .filter(|record| record.flags.eq_ignore_ascii_case("s") && !record.replacement.is_empty())
            .filter_map(|record| Some((record, transport_of(&record.services)?)))
            .filter(|(_, transport)| self.ways.iter().any(|way| way.transport == *transport))
            .collect();
        usable.sort_by_key(|(record, _)| (record.order, record.preference));
        if !usable.is_empty() {
            let named = |(record, transport): (&Naptr, Transport)| {
                (transport, record.replacement.trim_end_matches('.').to_ascii_lowercase())
            };
            return usable.into_iter().map(named).collect();
        }
        let mut transports: Vec<Transport> = Vec::new();
        for way in &self.ways {
            if !transports.contains(&way.transport) {
                transports.push(way.transport);
            }
        }
        transports.into_iter().map(|transport| (transport, format!("{}.{name}", service_of(transport)))).collect()
    }

    /// The servers of a service; `None` where it has no records.
    fn service(&mut self, transport: Transport, service: &str) -> Option<Vec<Choice>> {
        let records = self.look(service, RecordKind::Srv)?;
        let Records::Srv(records) = records.as_ref() else { return None };
        let offered: Vec<&Srv> = records.iter().filter(|record| !record.target.is_empty()).take(MAX_SERVERS).collect();
        if offered.is_empty() {
            self.nowhere = Nowhere::NotOffered;
            return Some(Vec::new());
        }
        let servers = offered.into_iter().filter_map(|record| {
            let target = record.target.trim_end_matches('.').to_ascii_lowercase();
            self.host(&target, transport, (record.priority, record.weight), record.port)
        });
        Some(servers.collect())
    }

    /// A host at its addresses; `None` where it has none of a family that we speak.
    fn host(&mut self, name: &str, transport: Transport, rank: (u16, u16), port: u16) -> Option<Choice> {
        let families: Vec<bool> =
            self.ways.iter().filter(|way| way.transport == transport).map(|way| way.is_ipv6).collect();
        let mut addresses = Vec::new();
        for (is_ipv6, kind) in [(true, RecordKind::Aaaa), (false, RecordKind::A)] {
            if families.contains(&is_ipv6)
                && let Some(records) = self.look(name, kind)
                && let Records::Addresses(found) = records.as_ref()
            {
                addresses.extend(found.iter().map(|address| SocketAddr::new(*address, port)));
            }
        }
        addresses.truncate(MAX_ADDRESSES);
        (!addresses.is_empty()).then(|| choice(name, transport, rank, addresses))
    }

    fn look(&mut self, name: &str, kind: RecordKind) -> Option<Arc<Records>> {
        match self.locator.look(self.now, Question { name: name.to_owned(), kind }) {
            Look::Known { known, expires, is_stale } => {
                self.expires = self.expires.min(expires);
                self.is_stale |= is_stale;
                match known {
                    Known::Records(records) => return Some(records),
                    Known::Absent { name_exists } => {
                        self.nowhere = if name_exists { Nowhere::NoAddress } else { Nowhere::NoSuchName };
                    }
                    Known::Failed => self.nowhere = Nowhere::Unanswered,
                }
            }
            Look::Waiting => self.is_waiting = true,
        }
        None
    }
}

fn choice(host: &str, transport: Transport, (priority, weight): (u16, u16), addresses: Vec<SocketAddr>) -> Choice {
    Choice { host: host.to_owned(), transport, priority, weight, addresses }
}

/// The service and protocol labels of a transport (RFC 3263 section 4.1, RFC 7118 section 7).
const fn service_of(transport: Transport) -> &'static str {
    match transport {
        Transport::Udp => "_sip._udp",
        Transport::Tcp => "_sip._tcp",
        Transport::Tls => "_sips._tcp",
        Transport::Ws => "_sip._ws",
        Transport::Wss => "_sips._ws",
    }
}

/// The transport of a NAPTR service (RFC 3263 section 4.1).
fn transport_of(services: &str) -> Option<Transport> {
    let known = [("SIP+D2U", Transport::Udp), ("SIP+D2T", Transport::Tcp), ("SIPS+D2T", Transport::Tls)];
    known.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(services)).map(|(_, transport)| transport)
}
