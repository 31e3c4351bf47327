//! Connections that carry SIP: TCP, TLS and WebSocket, as numbers, far ends and deadlines.
//!
//! | state | what is awaited | ended by |
//! | --- | --- | --- |
//! | opening | the connection, TLS and WebSocket handshakes included | `open_ms` |
//! | open, nothing begun | a message | `idle_s`; `message_ms` before the very first one |
//! | open, a message begun | its end | `message_ms`, however slowly its bytes come |
//!
//! What is to be sent finds its connection in this order: the one it names while that lives (responses go where their
//! request came from, RFC 3261 §18.2.2), one to the same far end, a new one. WebSocket servers open none (RFC 7118 §5).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};

use tandem_contract::Nanos;
use tandem_sip::{ConnectionId, Limits as MessageLimits, Peer as SipPeer, StreamFramer, Transport};

use crate::config::{ConnectionLimits, ListenerId};

/// Messages that wait for one connection to open, and their octets, at most.
const MAX_WAITING: usize = 64;
const MAX_WAITING_BYTES: usize = 256 << 10;

/// All connections.
#[derive(Debug)]
pub(crate) struct Connections {
    limits: ConnectionLimits,
    message_limits: MessageLimits,
    live: BTreeMap<ConnectionId, Connection>,
    /// Which connection a message to a far end takes.
    by_far_end: HashMap<FarEnd, ConnectionId>,
    /// How many were accepted from an address and live.
    by_source: HashMap<IpAddr, u32>,
    alarms: BTreeSet<(Nanos, ConnectionId)>,
    next: u64,
    pub(crate) counters: ConnectionCounters,
}

/// The other end as seen from one of our listeners.
type FarEnd = (ListenerId, SocketAddr);

/// What happened to connections since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct ConnectionCounters {
    /// Connections that live now, those being opened included.
    pub live: u64,
    /// Connections accepted.
    pub accepted: u64,
    /// Connections opened by us.
    pub opened: u64,
    /// Connections not accepted or not opened because there were too many, or too many from one address.
    pub refused: u64,
    /// Connections that did not come about: refused by the far end, no TLS, or too late.
    pub failed: u64,
    /// Connections closed because nothing was heard for long.
    pub closed_idle: u64,
    /// Connections closed because a message began and did not end in time.
    pub closed_slow: u64,
    /// Connections closed because where the next message begins could not be known.
    pub closed_malformed: u64,
}

#[derive(Debug)]
struct Connection {
    listener: ListenerId,
    peer: SipPeer,
    accepted: bool,
    state: State,
    framer: StreamFramer,
    /// When something was last heard or said.
    active: Nanos,
    /// When the message began that has not ended.
    begun: Option<Nanos>,
    /// When a ping of ours is due.
    ping_at: Option<Nanos>,
    /// Far ends whose messages come here.
    far_ends: Vec<SocketAddr>,
    /// A request of ours went this way: who waits for its answer must hear of the end.
    has_requests: bool,
    alarm: Nanos,
}

#[derive(Debug)]
enum State {
    Opening {
        waiting: Vec<Vec<u8>>,
        bytes: usize,
    },
    /// `heard` once the first message came.
    Open {
        heard: bool,
    },
}

/// Where a message goes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Over this connection, now.
    Over(ConnectionId, Vec<u8>),
    /// Over this connection, once it is open; it waits here.
    Waits,
    /// Over this connection, which is to be opened; it waits here.
    Opens(ConnectionId),
    /// Nowhere: too many connections, or too much waits.
    Nowhere,
}

/// What became due.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// The connection is to be closed.
    Close(ConnectionId),
    /// A ping is to be sent (RFC 5626 §4.4.1).
    Ping(ConnectionId),
}

/// A connection that is gone.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Gone {
    /// The names under which requests of ours may wait for an answer over it; empty where none was sent.
    pub(crate) peers: Vec<SipPeer>,
    /// The far end of a connection of ours that did not come about.
    pub(crate) never_opened: Option<SocketAddr>,
}

const fn millis(ms: u32) -> u64 {
    ms as u64 * 1_000_000
}

const fn seconds(s: u32) -> u64 {
    s as u64 * 1_000_000_000
}

impl Connections {
    pub(crate) fn new(limits: ConnectionLimits, message_limits: MessageLimits) -> Self {
        Self {
            limits,
            message_limits,
            live: BTreeMap::new(),
            by_far_end: HashMap::new(),
            by_source: HashMap::new(),
            alarms: BTreeSet::new(),
            next: 1,
            counters: ConnectionCounters::default(),
        }
    }

    /// Limits for connections from now on.
    pub(crate) const fn set_limits(&mut self, limits: ConnectionLimits) {
        self.limits = limits;
    }

    pub(crate) fn counters(&self) -> ConnectionCounters {
        ConnectionCounters { live: self.live.len() as u64, ..self.counters }
    }

    /// Somebody connects to `listener`; `None` where there is no room for it. `serves` says whether requests of ours to
    /// that address may take the connection: over TLS, whoever has shown no certificate may be anybody.
    pub(crate) fn accept(
        &mut self,
        now: Nanos,
        listener: ListenerId,
        peer: SipPeer,
        serves: bool,
    ) -> Option<ConnectionId> {
        let from_there = self.by_source.get(&peer.remote.ip()).copied().unwrap_or(0);
        if self.is_full() || from_there >= self.limits.max_per_source {
            self.counters.refused += 1;
            return None;
        }
        self.counters.accepted += 1;
        self.by_source.insert(peer.remote.ip(), from_there + 1);
        Some(self.insert(now, listener, peer, (true, serves)))
    }

    fn is_full(&self) -> bool {
        self.live.len() >= self.limits.max_connections as usize
    }

    fn insert(
        &mut self,
        now: Nanos,
        listener: ListenerId,
        peer: SipPeer,
        (accepted, serves): (bool, bool),
    ) -> ConnectionId {
        let id = ConnectionId(self.next);
        self.next += 1;
        let alarm = now.plus(millis(self.limits.open_ms));
        let connection = Connection {
            listener,
            peer: peer.over(id),
            accepted,
            state: State::Opening { waiting: Vec::new(), bytes: 0 },
            framer: StreamFramer::new(self.message_limits),
            active: now,
            begun: None,
            ping_at: None,
            far_ends: if serves { vec![peer.remote] } else { Vec::new() },
            has_requests: false,
            alarm,
        };
        // The newest connection to a far end is the one most likely alive.
        if serves {
            self.by_far_end.insert((listener, peer.remote), id);
        }
        self.alarms.insert((alarm, id));
        self.live.insert(id, connection);
        id
    }

    /// The connection is open: what waited for it, in order.
    pub(crate) fn open(&mut self, now: Nanos, id: ConnectionId) -> Vec<Vec<u8>> {
        let keep_alive_s = self.limits.keep_alive_s;
        let Some(connection) = self.live.get_mut(&id) else { return Vec::new() };
        connection.active = now;
        let is_ours = !connection.accepted;
        connection.ping_at = (is_ours && keep_alive_s > 0).then(|| now.plus(seconds(keep_alive_s)));
        let before = std::mem::replace(&mut connection.state, State::Open { heard: is_ours });
        self.set_alarm(id);
        match before {
            State::Opening { waiting, .. } => waiting,
            State::Open { .. } => Vec::new(),
        }
    }

    /// Whether the connection is there and was not given up.
    pub(crate) fn is_live(&self, id: ConnectionId) -> bool {
        self.live.contains_key(&id)
    }

    /// Who is at the other end.
    pub(crate) fn peer(&self, id: ConnectionId) -> Option<SipPeer> {
        self.live.get(&id).map(|connection| connection.peer)
    }

    /// The framer of a connection on which something was heard; `None` before its handshakes are done.
    pub(crate) fn framer(&mut self, id: ConnectionId) -> Option<(SipPeer, &mut StreamFramer)> {
        let connection = self.live.get_mut(&id)?;
        matches!(connection.state, State::Open { .. }).then_some((connection.peer, &mut connection.framer))
    }

    /// Bytes came, and `messages` of them or pings were complete; looks after the deadlines.
    pub(crate) fn heard(&mut self, now: Nanos, id: ConnectionId, messages: usize) {
        let Some(connection) = self.live.get_mut(&id) else { return };
        if messages > 0 {
            connection.active = now;
            connection.begun = None;
            connection.state = State::Open { heard: true };
        }
        // Line ends alone begin nothing.
        if connection.framer.pending() > 3 {
            connection.begun.get_or_insert(now);
        } else {
            connection.begun = None;
        }
        self.set_alarm(id);
    }

    /// Finds the way for `bytes`, as described in [the module](self).
    pub(crate) fn way(&mut self, now: Nanos, listener: ListenerId, to: SipPeer, bytes: &[u8]) -> Way {
        let is_request = !bytes.starts_with(b"SIP/2.0 ");
        let named = to.connection.filter(|id| self.live.contains_key(id));
        let found = named.or_else(|| self.by_far_end.get(&(listener, to.remote)).copied());
        let (id, is_new) = match found {
            Some(id) => (id, false),
            // Who asked for one connection does not want another.
            None if to.connection.is_some() || matches!(to.transport, Transport::Ws | Transport::Wss) => {
                return Way::Nowhere;
            }
            None if self.is_full() => {
                self.counters.refused += 1;
                return Way::Nowhere;
            }
            None => {
                self.counters.opened += 1;
                (self.insert(now, listener, to, (false, true)), true)
            }
        };
        let Some(connection) = self.live.get_mut(&id) else { return Way::Nowhere };
        connection.has_requests |= is_request;
        match &mut connection.state {
            State::Open { .. } => {
                connection.active = now;
                Way::Over(id, bytes.to_vec())
            }
            State::Opening { waiting, bytes: held } => {
                if waiting.len() >= MAX_WAITING || *held + bytes.len() > MAX_WAITING_BYTES {
                    return Way::Nowhere;
                }
                *held += bytes.len();
                waiting.push(bytes.to_vec());
                if is_new { Way::Opens(id) } else { Way::Waits }
            }
        }
    }

    /// Messages to `far_end` may take this connection too (RFC 5923 §4).
    pub(crate) fn alias(&mut self, id: ConnectionId, far_end: SocketAddr) {
        let Some(connection) = self.live.get_mut(&id) else { return };
        // One real and one advertised address; more would be a table for strangers to fill.
        if connection.far_ends.len() < 2 && !connection.far_ends.contains(&far_end) {
            connection.far_ends.push(far_end);
            self.by_far_end.insert((connection.listener, far_end), id);
        }
    }

    /// The connection is gone, or given up.
    pub(crate) fn remove(&mut self, id: ConnectionId) -> Option<Gone> {
        let connection = self.live.remove(&id)?;
        self.alarms.remove(&(connection.alarm, id));
        let mut peers = Vec::new();
        if connection.has_requests {
            peers.push(connection.peer);
        }
        for far_end in connection.far_ends {
            let key = (connection.listener, far_end);
            if self.by_far_end.get(&key) == Some(&id) {
                self.by_far_end.remove(&key);
                if connection.has_requests {
                    peers.push(SipPeer::new(connection.peer.transport, connection.peer.local, far_end));
                }
            }
        }
        let source = connection.peer.remote.ip();
        if connection.accepted
            && let Some(count) = self.by_source.get_mut(&source)
        {
            *count -= 1;
            if *count == 0 {
                self.by_source.remove(&source);
            }
        }
        let is_opening = matches!(connection.state, State::Opening { .. });
        self.counters.failed += u64::from(is_opening);
        let never_opened = (is_opening && !connection.accepted).then_some(connection.peer.remote);
        Some(Gone { peers, never_opened })
    }

    /// The next thing that became due by `now`.
    pub(crate) fn due(&mut self, now: Nanos) -> Option<Due> {
        let id = loop {
            let &(at, id) = self.alarms.first()?;
            if at > now {
                return None;
            }
            // What was said since the alarm was set puts it off.
            self.set_alarm(id);
            if self.live.get(&id)?.alarm <= now {
                break id;
            }
        };
        let connection = self.live.get_mut(&id)?;
        if connection.ping_at.is_some_and(|at| at <= now) {
            connection.ping_at = Some(now.plus(seconds(self.limits.keep_alive_s.max(1))));
            self.set_alarm(id);
            return Some(Due::Ping(id));
        }
        match connection.state {
            State::Opening { .. } => {}
            State::Open { heard: true } if connection.begun.is_none() => self.counters.closed_idle += 1,
            State::Open { .. } => self.counters.closed_slow += 1,
        }
        Some(Due::Close(id))
    }

    pub(crate) fn next_deadline(&self) -> Option<Nanos> {
        self.alarms.first().map(|(at, _)| *at)
    }

    /// Notes when the connection wants to be looked at.
    fn set_alarm(&mut self, id: ConnectionId) {
        let Some(connection) = self.live.get_mut(&id) else { return };
        let end = match (&connection.state, connection.begun) {
            (State::Opening { .. }, _) => return,
            (State::Open { .. }, Some(begun)) => begun.plus(millis(self.limits.message_ms)),
            (State::Open { heard: false }, None) => connection.active.plus(millis(self.limits.message_ms)),
            (State::Open { heard: true }, None) => connection.active.plus(seconds(self.limits.idle_s)),
        };
        let alarm = connection.ping_at.map_or(end, |ping| ping.min(end));
        if alarm != connection.alarm {
            self.alarms.remove(&(connection.alarm, id));
            connection.alarm = alarm;
            self.alarms.insert((alarm, id));
        }
    }
}
