//! What all calls share: transactions, routing, media places, and the way out.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use rand_chacha::rand_core::{Rng, SeedableRng};
use rand_chacha::{ChaCha12Rng, ChaCha20Rng};
use tandem_contract::{Command, LegSide, Nanos, WorkerId};
use tandem_sdp::KeySeed;
use tandem_sip::digest::DigestClient;
use tandem_sip::{
    ClientTx, ConnectionId, Dialog, HeaderName, Identifiers, Instant, Message, Method, Peer as SipPeer, Random,
    Request, RequestBuilder, Response, ResponseBuilder, ServerTx, StatusCode, TimerValues, TransactionConfig,
    Transactions, Transport, escape_user,
};

use crate::admission::Admission;
use crate::config::{Listener, ListenerId, SwitchConfig};
use crate::connections::{Connections, Due, Way};
use crate::guard::{Guard, Offence, Verdict};
use crate::heard::Heard;
use crate::media_pool::MediaPool;
use crate::output::{CallNumber, Output, SwitchCounters};
use crate::record::CallRecord;
use crate::registration::Registrations;
use crate::routing::{NoDestination, Plan, Query, Routing};
use crate::session_timer::MIN_SE_S;
use crate::siprec::{RecordingInvite, Recordings};
use crate::standby::Standby;
use crate::stir::Stir;
use crate::trunks::Trunks;
use crate::users::Users;
use crate::whereabouts::Whereabouts;

/// What we take, for `Allow`.
pub(crate) const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, PRACK, UPDATE, REFER";
/// The extensions we know, for `Supported`.
pub(crate) const SUPPORTED: &str = "100rel, replaces, timer";
/// The same, for checks of `Require`.
pub(crate) const EXTENSIONS: &[&str] = &["100rel", "replaces", "timer"];
/// What we take, for checks.
pub(crate) const METHODS: &[Method] = &[
    Method::Invite,
    Method::Ack,
    Method::Cancel,
    Method::Bye,
    Method::Options,
    Method::Info,
    Method::Prack,
    Method::Update,
    Method::Refer,
];
/// The type of a session description.
pub(crate) const SDP: &str = "application/sdp";

/// Requests longer than this do not leave as datagrams where there is another way (RFC 3261 §18.1.1).
const MAX_DATAGRAM_BYTES: usize = 1300;
/// For how long somebody who could not be reached by TCP is not tried again, and how many such are remembered.
const WITHOUT_TCP_S: u32 = 600;
const MAX_WITHOUT_TCP: usize = 4096;
/// How long a REGISTER is put off whose peer's name is being looked up for the first time: 200 ms.
const NAME_WAIT_NS: u64 = 200_000_000;
/// At most this many answers to one INVITE are told apart: a downstream proxy that forks more than that is not helped.
const MAX_FORKS: usize = 8;

/// Everything that is not one call's own.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) config: SwitchConfig,
    pub(crate) routing: Routing,
    pub(crate) pool: MediaPool,
    /// Flows of other nodes' calls.
    pub(crate) standby: Standby,
    pub(crate) admission: Admission,
    pub(crate) trunks: Trunks,
    pub(crate) registrations: Registrations,
    pub(crate) transactions: Transactions,
    pub(crate) connections: Connections,
    pub(crate) guard: Guard,
    /// Messages for whoever watches.
    pub(crate) heard: Heard,
    pub(crate) outputs: VecDeque<Output>,
    /// Who registers here, where anybody does.
    pub(crate) users: Option<Users>,
    /// What identities are checked and signed with, where they are.
    pub(crate) stir: Option<Stir>,
    /// Calls that recording servers are sent.
    pub(crate) recordings: Recordings,
    pub(crate) whereabouts: Whereabouts,
    pub(crate) counters: SwitchCounters,
    /// Dialogs by Call-ID and our tag.
    pub(crate) dialogs: HashMap<(String, String), (CallNumber, LegSide)>,
    /// Whose INVITE a server transaction is.
    pub(crate) invites: HashMap<ServerTx, (CallNumber, LegSide)>,
    /// What our own requests are for.
    pub(crate) requests: HashMap<ClientTx, Purpose>,
    /// Who could not be reached by TCP, and until when that is believed.
    without_tcp: HashMap<SocketAddr, Nanos>,
    /// When calls want to be woken.
    pub(crate) alarms: BTreeSet<(Nanos, CallNumber)>,
    /// Records of refused calls that are not confirmed yet.
    pub(crate) unconfirmed: BTreeSet<CallNumber>,
    /// Where the keys of SRTP come from: apart from what everybody gets to see.
    keys: ChaCha20Rng,
    timers: TimerValues,
    next_call: u64,
}

/// What a request of ours is for.
#[derive(Debug)]
pub(crate) enum Purpose {
    /// An INVITE.
    Invite(Invitation),
    /// A key of the other side as an INFO: nobody waits for its answer.
    Key {
        /// Whose it is.
        call: CallNumber,
    },
    /// An INVITE to a recording server.
    Recording(Box<RecordingInvite>),
    /// OPTIONS that ask whether a peer, of this name, is in service, and when they left.
    Ping(String, Nanos),
    /// A BYE: whatever the answer is, the dialog is over. Where the peer asks for credentials it is sent once more.
    Bye(Option<Box<Goodbye>>),
    /// A REGISTER to the peer of this name, with this contact.
    Register(String, String),
    /// An UPDATE that refreshes a session.
    Refresh {
        /// Whose.
        call: CallNumber,
        /// On which side.
        leg: LegSide,
    },
    /// A request whose answer changes nothing.
    Bare,
    /// Another side's INFO, passed on; its answer goes back.
    Relay {
        /// Whose it is.
        call: CallNumber,
        /// Where the answer goes.
        server: ServerTx,
        /// What is answered.
        request: Box<Request>,
    },
}

/// What a BYE is made from.
#[derive(Debug)]
pub(crate) struct Goodbye {
    dialog: Dialog,
    to: SipPeer,
    reason: String,
    auth: DigestClient,
}

/// An INVITE of ours, from its start until no more answers can come.
#[derive(Debug)]
pub(crate) struct Invitation {
    pub(crate) call: CallNumber,
    pub(crate) leg: LegSide,
    /// Whether the call still wants an answer. Every 2xx that nobody wants is acknowledged and ended with BYE
    /// (RFC 3261 §13.2.2.4, §9.1).
    pub(crate) wanted: bool,
    /// The dialog as it was when the INVITE left; of the first INVITE, without the peer's tag.
    pub(crate) dialog: Box<Dialog>,
    /// The peer's configured address.
    home: SipPeer,
    /// The ACK of each 2xx, by the answerer's tag, to be repeated for each retransmission.
    acks: Vec<(String, SipPeer, Arc<[u8]>)>,
}

struct SecureRandom(ChaCha12Rng);

impl Random for SecureRandom {
    fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }
}

/// The SIP layer counts microseconds.
pub(crate) const fn instant(now: Nanos) -> Instant {
    Instant::from_us(now.0 / 1_000)
}

pub(crate) const fn nanos(at: Instant) -> Nanos {
    Nanos(at.as_us().saturating_mul(1_000))
}

/// `seconds` in nanoseconds.
pub(crate) const fn seconds(seconds: u32) -> u64 {
    seconds as u64 * 1_000_000_000
}

impl Exchange {
    pub(crate) fn new(config: SwitchConfig, seed: [u8; 32]) -> Self {
        // How long the callee may ring is the call's own business: `Timeouts::no_answer_s` comes first. Timer C is left
        // for re-INVITEs that are answered provisionally and then never.
        let defaults = TimerValues::default();
        let ringing = std::time::Duration::from_secs(u64::from(config.timeouts.no_answer_s) + 60);
        let timers = TimerValues { timer_c: defaults.timer_c.max(ringing), ..defaults };
        let transactions = TransactionConfig {
            timers,
            max_transactions: config.limits.max_transactions as usize,
            overload_retry_after_s: config.limits.retry_after_s,
            limits: config.messages,
            ..TransactionConfig::default()
        };
        let mut keys = ChaCha20Rng::from_seed(seed);
        keys.set_stream(1);
        let mut places = ChaCha12Rng::from_seed(seed);
        places.set_stream(2);
        let guard = Guard::new(config.guard.clone(), config.peer_networks(), || places.next_u64());
        let routing = Routing::new(&config);
        let mut draws = ChaCha12Rng::from_seed(seed);
        draws.set_stream(3);
        let mut whereabouts = Whereabouts::new(draws);
        whereabouts.set_peers(&config, routing.peers());
        let mut trunks = Trunks::default();
        trunks.set_peers(routing.peers());
        let mut registrations = Registrations::default();
        registrations.set_peers(routing.peers());
        Self {
            routing,
            pool: MediaPool::new(&config.media),
            standby: Standby::new(),
            admission: Admission::default(),
            trunks,
            registrations,
            transactions: Transactions::new(transactions, Identifiers::new(SecureRandom(ChaCha12Rng::from_seed(seed)))),
            connections: Connections::new(config.connections, config.messages),
            guard,
            heard: Heard::default(),
            outputs: VecDeque::new(),
            users: None,
            stir: None,
            recordings: Recordings::default(),
            whereabouts,
            counters: SwitchCounters::default(),
            dialogs: HashMap::new(),
            invites: HashMap::new(),
            requests: HashMap::new(),
            without_tcp: HashMap::new(),
            alarms: BTreeSet::new(),
            unconfirmed: BTreeSet::new(),
            keys,
            timers,
            next_call: 1,
            config,
        }
    }

    /// Where a call goes, as things stand.
    pub(crate) fn plan(&mut self, query: &Query<'_>) -> Result<Plan, NoDestination> {
        let Self { routing, trunks, admission, transactions, .. } = self;
        let standing = |id| trunks.standing(id, admission.of(id));
        routing.plan(query, standing, || transactions.identifiers().next_u64())
    }

    pub(crate) const fn timers(&self) -> &TimerValues {
        &self.timers
    }

    pub(crate) const fn number_call(&mut self) -> CallNumber {
        let number = CallNumber(self.next_call);
        self.next_call += 1;
        number
    }

    pub(crate) fn random(&mut self) -> u64 {
        self.transactions.identifiers().next_u64()
    }

    /// Whether our media can be at this address, as the configuration has it.
    pub(crate) fn has_media_address(&self, address: IpAddr) -> bool {
        self.config.media.addresses.contains(&address) || self.routing.peers().any(|peer| peer.media_address == address)
    }

    /// What one leg's keys are made of.
    pub(crate) fn key_seed(&mut self) -> KeySeed {
        let mut octets = [0; 32];
        self.keys.fill_bytes(&mut octets);
        KeySeed::new(octets)
    }

    pub(crate) fn tag(&mut self) -> String {
        self.transactions.identifiers().tag()
    }

    /// The socket that speaks `peer`'s transport at our end of it.
    pub(crate) fn listener_of(&self, peer: &SipPeer) -> ListenerId {
        let is_it = |known: &Listener| known.advertised == peer.local && known.transport == peer.transport;
        let position = self.config.listeners.iter().zip(0..).find(|(known, _)| is_it(known));
        position.map_or(ListenerId(0), |(_, id)| ListenerId(id))
    }

    /// Sends a message on its way.
    pub(crate) fn send(&mut self, now: Nanos, to: SipPeer, bytes: &[u8]) {
        let listener = self.listener_of(&to);
        if to.transport == Transport::Udp {
            self.outputs.push_back(Output::Datagram { listener, to: to.remote, bytes: bytes.to_vec() });
            return;
        }
        let mut way = self.connections.way(now, listener, to, bytes);
        if way == Way::Nowhere
            && let Some(elsewhere) = way_of_response(to, bytes)
        {
            way = self.connections.way(now, listener, elsewhere, bytes);
        }
        match way {
            Way::Over(connection, bytes) => self.outputs.push_back(Output::Stream { connection, bytes }),
            Way::Waits => {}
            Way::Opens(connection) => {
                let to = self.connections.peer(connection).map_or(to.remote, |peer| peer.remote);
                let server_name = self.routing.server_name(to).map(str::to_owned);
                self.outputs.push_back(Output::Connect { connection, listener, to, server_name });
            }
            Way::Nowhere => self.transactions.on_transport_error(instant(now), to),
        }
    }

    /// A connection is open: what waited for it leaves.
    pub(crate) fn connected(&mut self, now: Nanos, connection: ConnectionId) {
        for bytes in self.connections.open(now, connection) {
            self.outputs.push_back(Output::Stream { connection, bytes });
        }
    }

    /// A connection is gone: whoever waits for an answer over it hears so.
    pub(crate) fn disconnected(&mut self, now: Nanos, connection: ConnectionId) {
        let Some(gone) = self.connections.remove(connection) else { return };
        if let Some(remote) = gone.never_opened {
            if self.without_tcp.len() >= MAX_WITHOUT_TCP {
                self.without_tcp.retain(|_, until| now < *until);
            }
            if self.without_tcp.len() < MAX_WITHOUT_TCP {
                self.without_tcp.insert(remote, now.plus(seconds(WITHOUT_TCP_S)));
            }
        }
        for peer in gone.peers {
            self.transactions.on_transport_error(instant(now), peer);
        }
    }

    /// Whoever says `alias` in Via reads requests on the connection that it opened (RFC 5923 §4). It is believed about its
    /// own IP address; over TLS it must have been verified besides, since what is sent there is meant for a certificate.
    pub(crate) fn note_alias(&mut self, from: SipPeer, request: &Request) {
        let Some(connection) = from.connection else { return };
        let via = request.top_via();
        let is_own = via.host.trim_matches(['[', ']']).parse() == Ok(from.remote.ip());
        if !is_own || !via.params.has("alias") {
            return;
        }
        let listener = self.listener_of(&from);
        let authenticates = self.config.listeners[usize::from(listener.0)].authenticates;
        if from.transport == Transport::Tcp || (from.transport == Transport::Tls && authenticates) {
            let port = via.port.unwrap_or(from.transport.default_port());
            self.connections.alias(connection, SocketAddr::new(from.remote.ip(), port));
        }
    }

    /// Reads a message, if its source is heard, and acts on it; `false` where its source is banned.
    pub(crate) fn take(&mut self, now: Nanos, from: SipPeer, bytes: &[u8]) -> bool {
        take((&mut self.guard, &mut self.heard), &mut self.transactions, now, from, bytes)
    }

    /// Closes a connection.
    pub(crate) fn disconnect(&mut self, now: Nanos, connection: ConnectionId) {
        self.outputs.push_back(Output::Disconnect { connection });
        self.disconnected(now, connection);
    }

    /// Closes what was silent too long and pings what is to stay.
    pub(crate) fn look_after_connections(&mut self, now: Nanos) {
        while let Some(due) = self.connections.due(now) {
            match due {
                Due::Close(connection) => self.disconnect(now, connection),
                Due::Ping(connection) => {
                    self.outputs.push_back(Output::Stream { connection, bytes: b"\r\n\r\n".to_vec() });
                }
            }
        }
    }

    /// Who reaches us by `transport` where `home` reaches us: at the same address, else at another of the family.
    pub(crate) fn local_for(&self, home: SipPeer, transport: Transport) -> Option<SocketAddr> {
        if transport == home.transport && home.local.is_ipv4() == home.remote.is_ipv4() {
            return Some(home.local);
        }
        let fits =
            |known: &&Listener| known.transport == transport && known.advertised.is_ipv4() == home.remote.is_ipv4();
        let found = self.config.listeners.iter().filter(fits);
        found.max_by_key(|known| known.advertised.ip() == home.local.ip()).map(|known| known.advertised)
    }

    pub(crate) fn command(&mut self, worker: WorkerId, command: Command) {
        self.outputs.push_back(Output::Command { worker, command });
    }

    pub(crate) fn record(&mut self, record: CallRecord) {
        self.outputs.push_back(Output::Record(Box::new(record)));
    }

    /// A response with everything every response has; add to it and hand it to [`Exchange::respond`].
    pub(crate) fn response(&self, request: &Request, status: StatusCode, tag: &str) -> ResponseBuilder {
        ResponseBuilder::new(request, status).to_tag(tag).header(HeaderName::Server, &self.config.user_agent)
    }

    /// Answers a request. What a transaction can no longer take is not said.
    pub(crate) fn respond(&mut self, now: Nanos, tx: ServerTx, response: ResponseBuilder) -> Option<Response> {
        let response = response.build().ok()?;
        self.transactions.respond(instant(now), tx, &response).ok()?;
        Some(response)
    }

    /// Answers a request that needs nothing but a status.
    pub(crate) fn refuse(&mut self, now: Nanos, tx: ServerTx, request: &Request, status: StatusCode, tag: &str) {
        let response = self.response(request, status, tag);
        self.respond(now, tx, response);
    }

    /// Answers a request whose session interval is too short to be kept, with the shortest that is (RFC 4028 section 9).
    pub(crate) fn refuse_too_brief(&mut self, now: Nanos, tx: ServerTx, request: &Request, tag: &str) {
        let response = self.response(request, StatusCode::SESSION_INTERVAL_TOO_SMALL, tag);
        self.respond(now, tx, response.header(HeaderName::MinSe, &MIN_SE_S.to_string()));
    }

    /// Sends a request of ours; `false` where there is no room for another transaction.
    pub(crate) fn request(
        &mut self,
        now: Nanos,
        to: SipPeer,
        request: RequestBuilder,
        purpose: Purpose,
    ) -> Option<ClientTx> {
        self.request_to(now, &[to], request, purpose)
    }

    /// The same with targets to be tried one after the other.
    pub(crate) fn request_to(
        &mut self,
        now: Nanos,
        targets: &[SipPeer],
        request: RequestBuilder,
        purpose: Purpose,
    ) -> Option<ClientTx> {
        let (to, others) = targets.split_first()?;
        let request = request.header(HeaderName::UserAgent, &self.config.user_agent);
        let sent = match self.over_tcp(now, to, &request) {
            Some(tcp) => self.transactions.send_request_to(instant(now), tcp, targets, request),
            None => self.transactions.send_request_to(instant(now), *to, others, request),
        };
        let tx = sent.ok()?;
        self.requests.insert(tx, purpose);
        Some(tx)
    }

    /// How a request too long for a datagram reaches `to` (RFC 3261 §18.1.1): by TCP, where we listen for that at the same
    /// address and it is not known of `to` that it does not.
    fn over_tcp(&self, now: Nanos, to: &SipPeer, request: &RequestBuilder) -> Option<SipPeer> {
        if to.transport != Transport::Udp || request.estimated_bytes() <= MAX_DATAGRAM_BYTES {
            return None;
        }
        if self.without_tcp.get(&to.remote).is_some_and(|until| now < *until) {
            return None;
        }
        let is_ours = |known: &&Listener| known.transport == Transport::Tcp && known.advertised.ip() == to.local.ip();
        self.config.listeners.iter().find(is_ours).map(|known| known.peer(to.remote))
    }

    /// Asks those peers with OPTIONS that are due for it.
    pub(crate) fn ask_trunks(&mut self, now: Nanos) {
        let Self { trunks, transactions, .. } = self;
        for peer in trunks.due_pings(now, || transactions.identifiers().next_u64()) {
            // Whose name leads nowhere is out of service for that.
            let Ok(ways) = self.ways_to(now, &peer) else {
                self.trunks.forget_ping(&peer.name);
                continue;
            };
            let local = ways[0].local;
            let identifiers = self.transactions.identifiers();
            let (tag, call_id) = (identifiers.tag(), identifiers.call_id());
            let uri = format!("sip:{}", peer.uri_host());
            let request = RequestBuilder::new(Method::Options, uri.as_str())
                .from(&format!("<sip:{local}>;tag={tag}"))
                .to(&format!("<{uri}>"))
                .call_id(&call_id)
                .cseq(1)
                .header(HeaderName::Accept, SDP);
            if self.request_to(now, &ways, request, Purpose::Ping(peer.name.clone(), now)).is_none() {
                // That is no news of the peer.
                self.trunks.forget_ping(&peer.name);
            }
        }
    }

    /// Ends a dialog with BYE; `auth` answers the peer's challenges.
    pub(crate) fn bye(
        &mut self,
        now: Nanos,
        dialog: &mut Dialog,
        to: SipPeer,
        reason: &str,
        auth: Option<DigestClient>,
    ) {
        let mut request = dialog.request(Method::Bye).header(HeaderName::Reason, reason);
        let goodbye = auth.map(|mut auth| {
            request = auth.authorize(request.clone(), self.transactions.identifiers());
            Box::new(Goodbye { dialog: dialog.clone(), to, reason: reason.to_owned(), auth })
        });
        self.request(now, to, request, Purpose::Bye(goodbye));
    }

    /// The final answer to a BYE.
    pub(crate) fn on_bye_answer(&mut self, now: Nanos, tx: ClientTx, response: &Response) {
        let Some(Purpose::Bye(goodbye)) = self.requests.remove(&tx) else { return };
        let is_challenge =
            matches!(response.status(), StatusCode::UNAUTHORIZED | StatusCode::PROXY_AUTHENTICATION_REQUIRED);
        let Some(mut goodbye) = goodbye.filter(|_| is_challenge) else { return };
        if goodbye.auth.on_challenge(response).is_ok() {
            let request = goodbye.dialog.request(Method::Bye).header(HeaderName::Reason, &goodbye.reason);
            let request = goodbye.auth.authorize(request, self.transactions.identifiers());
            self.request(now, goodbye.to, request, Purpose::Bye(None));
        }
    }

    /// Registers with those carriers that are due for it.
    pub(crate) fn register(&mut self, now: Nanos) {
        for peer in self.registrations.take_due(now) {
            if self.whereabouts.is_being_looked_up(&peer.name) {
                self.registrations.put_off(&peer.name, now.plus(NAME_WAIT_NS));
                continue;
            }
            let user = peer.account.as_ref().map(|account| account.username.as_str()).unwrap_or_default();
            let sent = self.ways_to(now, &peer).ok().and_then(|ways| {
                let contact = contact_of(&escape_user(user), ways[0]);
                let request = self.registrations.request(&peer.name, self.transactions.identifiers(), &contact)?;
                self.request_to(now, &ways, request, Purpose::Register(peer.name.clone(), contact))
            });
            if sent.is_none() {
                self.on_registered(now, &peer.name, "", None);
            }
        }
    }

    /// The final answer to a REGISTER; `None` where none came.
    pub(crate) fn on_registered(&mut self, now: Nanos, name: &str, contact: &str, response: Option<&Response>) {
        if let Some(state) = self.registrations.on_answer(now, name, contact, response) {
            self.outputs.push_back(Output::Registration { peer: name.to_owned(), state });
        }
    }

    /// The dialogs of an INVITE went on to this CSeq number.
    pub(crate) fn invitation_counts_on(&mut self, tx: ClientTx, cseq: Option<u32>) {
        if let Some(Purpose::Invite(invitation)) = self.requests.get_mut(&tx) {
            invitation.dialog.local_cseq = cseq;
        }
    }

    /// Acknowledges the 2xx to an INVITE of ours, in the dialog it made or belongs to.
    pub(crate) fn acknowledge(&mut self, tx: ClientTx, dialog: &Dialog, to: SipPeer, cseq: u32) {
        let Ok(bytes) = self.transactions.send_ack(to, dialog.ack(cseq)) else { return };
        if let Some(Purpose::Invite(invitation)) = self.requests.get_mut(&tx) {
            invitation.acks.push((dialog.id.remote_tag.clone(), to, bytes));
        }
    }

    /// Deals with a 2xx that no call waits for: a retransmission, another branch of a fork, or one that crossed our
    /// CANCEL or BYE. `false` where the call wants it.
    pub(crate) fn absorb_success(&mut self, now: Nanos, tx: ClientTx, response: &Response) -> bool {
        let Some(Purpose::Invite(invitation)) = self.requests.get(&tx) else { return true };
        let tag = response.to_tag().unwrap_or_default();
        if let Some((_, to, bytes)) = invitation.acks.iter().find(|(known, ..)| known == tag) {
            let (to, bytes) = (*to, Arc::clone(bytes));
            self.transactions.resend(to, bytes);
            return true;
        }
        if invitation.wanted && invitation.acks.is_empty() {
            return false;
        }
        if invitation.acks.len() < MAX_FORKS {
            let mut dialog = (*invitation.dialog).clone();
            // The BYE of a dialog that was up has been sent already.
            let is_new = dialog.id.remote_tag.is_empty();
            let home = invitation.home;
            if is_new {
                tag.clone_into(&mut dialog.id.remote_tag);
                if dialog.confirm(response).is_err() {
                    return true;
                }
            }
            let to = self.next_hop(now, &dialog, home);
            self.acknowledge(tx, &dialog, to, response.cseq_number());
            if is_new {
                self.bye(now, &mut dialog, to, "SIP;cause=487;text=\"Answered elsewhere or given up\"", None);
            }
        }
        true
    }

    pub(crate) fn invitation_unwanted(&mut self, tx: ClientTx) {
        if let Some(Purpose::Invite(invitation)) = self.requests.get_mut(&tx) {
            invitation.wanted = false;
        }
    }
}

impl Invitation {
    pub(crate) fn new(call: CallNumber, leg: LegSide, dialog: Dialog, home: SipPeer) -> Self {
        Self { call, leg, wanted: true, dialog: Box::new(dialog), home, acks: Vec::new() }
    }

    pub(crate) const fn home(&self) -> SipPeer {
        self.home
    }

    pub(crate) const fn set_home(&mut self, home: SipPeer) {
        self.home = home;
    }
}

/// [`Exchange::take`] while something else of the exchange is in use.
pub(crate) fn take(
    (guard, heard): (&mut Guard, &mut Heard),
    transactions: &mut Transactions,
    now: Nanos,
    from: SipPeer,
    bytes: &[u8],
) -> bool {
    let source = from.remote.ip();
    match guard.admit(now, source) {
        Verdict::Heard => {}
        Verdict::OverBudget => return true,
        Verdict::Denied | Verdict::Banned => return false,
    }
    heard.note(from, bytes);
    match Message::parse(bytes, &transactions.config().limits) {
        Ok(message) => {
            if let Message::Request(request) = &message
                && let Some(agent) = request.value(HeaderName::UserAgent)
                && guard.is_scanner(now, source, agent)
            {
                guard.strike(now, source, Offence::Scanner);
                return false;
            }
            transactions.on_message(instant(now), from, message);
        }
        Err(error) => {
            if transactions.on_unread(from, bytes, error).is_err() {
                guard.strike(now, source, Offence::Malformed);
            }
        }
    }
    true
}

/// Where a response goes whose connection is gone: a new one to where the request's topmost Via says (RFC 3261 §18.2.2).
fn way_of_response(to: SipPeer, bytes: &[u8]) -> Option<SipPeer> {
    to.connection?;
    let Ok(Message::Response(response)) = Message::parse(bytes, &tandem_sip::Limits::default()) else { return None };
    let via = response.top_via();
    let host = via.received().unwrap_or(via.host);
    let ip: IpAddr = host.trim_matches(['[', ']']).parse().ok()?;
    let port = via.port.unwrap_or(to.transport.default_port());
    Some(SipPeer::new(to.transport, to.local, SocketAddr::new(ip, port)))
}

/// A user of ours, as a peer reaches it from `home`.
fn contact_of(user: &str, home: SipPeer) -> String {
    let local = home.local;
    match home.transport.uri_param() {
        Some(transport) => format!("sip:{user}@{local};transport={transport}"),
        None => format!("sip:{user}@{local}"),
    }
}
