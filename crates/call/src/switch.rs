mod transactions;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::ops::{Bound, RangeInclusive};

use tandem_contract::{Command, Event, FlowId, Function, LegCounters, Nanos, WorkerId};
use tandem_registrar::Registrar;
use tandem_sip::{ConnectionId, Frame, FramingError, Peer as SipPeer, StatusCode};

use crate::bare_flow::{BareFlows, FlowLeg, FlowNumber, FlowTicket, FlowsDone, FlowsRefused};
use crate::call::{Call, Phase, RecordState};
use crate::config::{ListenerId, MediaPlane, PeerId, SwitchConfig, SwitchConfigError, WallClock};
use crate::ending::Ending;
use crate::exchange::{Exchange, Purpose, instant, nanos, take};
use crate::guard::{Ban, Offence, Verdict};
use crate::media_pool::Reservation;
use crate::output::{CallNumber, CallSnapshot, Output, SwitchCounters};
use crate::record::LegRecord;
use crate::replica::Replica;
use crate::restore::{self, MediaPosition, RestoreError};
use crate::routing::{Enquiry, EnquiryError, Explanation, Routing};
use crate::spread::{Spread, Spreads};
use crate::stir::Stir;
use crate::trunks::TrunkStatus;
use crate::users::{StoreTicket, Users};

/// Every call of this gateway.
#[derive(Debug)]
pub struct Switch {
    pub(crate) exchange: Exchange,
    /// In order of age, so that equal inputs give equal outputs.
    pub(crate) calls: BTreeMap<CallNumber, Box<Call>>,
    /// Which call has which flow.
    flows: BTreeMap<(WorkerId, u32, u32), CallNumber>,
    bare_flows: BareFlows,
    /// Calls that are not as they were; `None` where nobody wants to know.
    changed: Option<BTreeSet<CallNumber>>,
}

impl Switch {
    /// A switch without calls. `seed` is the source of every tag, branch, SSRC and sequence number it will choose; give
    /// it real randomness outside of tests.
    pub fn new(config: SwitchConfig, seed: [u8; 32]) -> Result<Self, SwitchConfigError> {
        config.validate()?;
        Ok(Self {
            exchange: Exchange::new(config, seed),
            calls: BTreeMap::new(),
            flows: BTreeMap::new(),
            bare_flows: BareFlows::default(),
            changed: None,
        })
    }

    /// A datagram came in on `listener`. What is no SIP message is counted, and answered where that is possible.
    pub fn on_datagram(&mut self, now: Nanos, listener: ListenerId, remote: SocketAddr, bytes: &[u8]) {
        let Some(known) = self.exchange.config.listeners.get(usize::from(listener.0)) else { return };
        let from = known.peer(remote);
        if self.exchange.take(now, from, bytes) {
            self.pump(now);
        }
    }

    /// Somebody connects to `listener`; `None` where it is to be refused at once. Handshakes follow, then
    /// [`Switch::on_connected`].
    pub fn on_accepted(&mut self, now: Nanos, listener: ListenerId, remote: SocketAddr) -> Option<ConnectionId> {
        let known = self.exchange.config.listeners.get(usize::from(listener.0))?;
        let (peer, serves) = (known.peer(remote), known.authenticates || !known.transport.is_secure());
        if self.exchange.guard.admit(now, remote.ip()) != Verdict::Heard {
            return None;
        }
        self.exchange.connections.accept(now, listener, peer, serves)
    }

    /// A connection is open, its handshakes done.
    pub fn on_connected(&mut self, now: Nanos, connection: ConnectionId) {
        self.exchange.connected(now, connection);
        self.pump(now);
    }

    /// Bytes came over a connection, cut anyhow. Pings are answered (RFC 5626 §4.4.1); what is no SIP message is counted
    /// and answered where that is possible, and ends the connection where the next one cannot be found.
    pub fn on_stream_bytes(&mut self, now: Nanos, connection: ConnectionId, bytes: &[u8]) {
        let exchange = &mut self.exchange;
        let Some((from, framer)) = exchange.connections.framer(connection) else { return };
        framer.on_bytes(bytes);
        let mut frames = 0;
        let mut unheard = false;
        let lost = loop {
            match framer.poll_frame() {
                Ok(Some(Frame::Message(message))) => {
                    let border = (&mut exchange.guard, &mut exchange.heard);
                    unheard |= !take(border, &mut exchange.transactions, now, from, message);
                }
                Ok(Some(Frame::Ping)) => {
                    exchange.outputs.push_back(Output::Stream { connection, bytes: b"\r\n".to_vec() });
                }
                Ok(None) => break false,
                Err(FramingError { error, bytes }) => {
                    exchange.transactions.on_malformed(from, &bytes, &error);
                    exchange.guard.strike(now, from.remote.ip(), Offence::Malformed);
                    break true;
                }
            }
            frames += 1;
        };
        exchange.connections.heard(now, connection, frames);
        self.pump(now);
        if lost || unheard {
            self.exchange.connections.counters.closed_malformed += u64::from(lost);
            self.exchange.disconnect(now, connection);
            self.pump(now);
        }
    }

    /// A whole message came over a connection that frames by itself (RFC 7118 §5).
    pub fn on_frame(&mut self, now: Nanos, connection: ConnectionId, bytes: &[u8]) {
        let Some((from, _)) = self.exchange.connections.framer(connection) else { return };
        let is_heard = self.exchange.take(now, from, bytes);
        self.exchange.connections.heard(now, connection, 1);
        self.pump(now);
        if !is_heard {
            self.exchange.disconnect(now, connection);
            self.pump(now);
        }
    }

    /// Sources that are not heard for some time.
    pub fn bans(&self, now: Nanos) -> Vec<Ban> {
        self.exchange.guard.bans(now)
    }

    /// Does not hear `source` for so many seconds; `false` for a configured peer, which is always heard.
    pub fn ban(&mut self, now: Nanos, source: IpAddr, seconds: u32) -> bool {
        self.exchange.guard.ban(now, source, seconds, Offence::Operator)
    }

    /// Lifts a ban; `false` where there was none.
    pub fn unban(&mut self, now: Nanos, source: IpAddr) -> bool {
        self.exchange.guard.unban(now, source)
    }

    /// Whether the machine has more to do than it can: what would begin something new is then answered 503.
    pub const fn set_overloaded(&mut self, is_overloaded: bool) {
        self.exchange.transactions.set_overloaded(is_overloaded);
    }

    /// A connection is gone, or did not come about.
    pub fn on_disconnected(&mut self, now: Nanos, connection: ConnectionId) {
        self.exchange.disconnected(now, connection);
        self.pump(now);
    }

    /// A worker said something.
    pub fn on_media_event(&mut self, now: Nanos, worker: WorkerId, event: Event) {
        let Some(flow) = event.flow() else { return };
        if self.bare_flows.on_event(&mut self.exchange, worker, &event) {
            // It has no call.
        } else if matches!(event, Event::Refused { .. }) && self.exchange.on_refused_at_hand(worker, flow) {
            // Its call is another node's.
        } else if matches!(event, Event::Position { .. }) {
            // It is whoever asked for it who wants to know.
        } else if let Some(&number) = self.flows.get(&(worker, flow.slot, flow.generation)) {
            self.with_call(number, |call, exchange| call.on_worker(exchange, now, event));
        }
        if matches!(event, Event::Removed { .. }) {
            self.exchange.pool.release(now, worker, flow);
        }
        if !self.exchange.pool.holds(worker, flow) {
            self.flows.remove(&(worker, flow.slot, flow.generation));
        }
        self.pump(now);
    }

    /// The deadline of [`Switch::next_deadline`] has come. Calling it early does nothing.
    pub fn on_timeout(&mut self, now: Nanos) {
        self.exchange.look_after_connections(now);
        self.exchange.transactions.on_timeout(instant(now));
        self.exchange.look_after_users(now);
        self.pump(now);
        self.look_after_names(now);
        self.exchange.trunks.on_timeout(now);
        self.exchange.ask_trunks(now);
        self.exchange.register(now);
        let due = (now, CallNumber(u64::MAX));
        let due: Vec<CallNumber> = self.exchange.alarms.range(..=due).map(|(_, number)| *number).collect();
        for number in due {
            self.with_call(number, |call, exchange| call.on_timeout(exchange, now));
        }
        self.pump(now);
    }

    /// A datagram to `to` could not be sent, or came back as unreachable.
    pub fn on_transport_error(&mut self, now: Nanos, listener: ListenerId, to: SocketAddr) {
        let Some(known) = self.exchange.config.listeners.get(usize::from(listener.0)) else { return };
        let to = known.peer(to);
        self.exchange.transactions.on_transport_error(instant(now), to);
        self.pump(now);
    }

    /// The record of `call` is durable.
    pub fn on_record_written(&mut self, now: Nanos, call: CallNumber) {
        if !self.exchange.unconfirmed.remove(&call) {
            self.with_call(call, |call, _| {
                if call.record_state == RecordState::HandedOut {
                    call.record_state = RecordState::Confirmed;
                }
            });
        }
        self.pump(now);
    }

    /// Takes REGISTERs from now on, and calls from and to those who are registered, as those of the peer called `peer`.
    pub fn serve_users(&mut self, registrar: Registrar, peer: &str) {
        self.exchange.users = Some(Users::new(registrar, peer.to_owned(), &self.exchange.config));
    }

    /// Whether [`Switch::poll_heard`] is asked: else messages are not kept for it.
    pub const fn watch_messages(&mut self, is_wanted: bool) {
        self.exchange.heard.is_wanted = is_wanted;
    }

    /// A message that was heard, whole and as it came, and who sent it; asked after each arrival.
    pub fn poll_heard(&mut self) -> Option<(SipPeer, Vec<u8>)> {
        self.exchange.heard.poll()
    }

    /// Who is on the other side of a connection.
    pub fn connected_peer(&self, connection: ConnectionId) -> Option<SipPeer> {
        self.exchange.connections.peer(connection)
    }

    /// Has identities checked and signed with these from now on (RFC 8224), for the peers whose policy says so.
    pub fn set_stir(&mut self, stir: Option<Stir>) {
        self.exchange.stir = stir;
    }

    /// Who registers here; `None` where nobody does.
    pub fn registrar(&self) -> Option<&Registrar> {
        self.exchange.users.as_ref().map(|users| &users.registrar)
    }

    /// The same, to bring subscribers and registrations from the store.
    pub fn registrar_mut(&mut self) -> Option<&mut Registrar> {
        self.exchange.users.as_mut().map(|users| &mut users.registrar)
    }

    /// What [`Output::Registrations`] asked for is durable, or could not be made so: the REGISTER is answered.
    pub fn on_registrations_stored(&mut self, now: Nanos, ticket: StoreTicket, is_stored: bool) {
        self.exchange.on_registrations_stored(now, ticket, is_stored);
        self.pump(now);
    }

    /// Forgets a subscriber's registrations, as an operator asks; how many there were.
    pub fn remove_registrations(&mut self, user: &str) -> usize {
        let changes = self.registrar_mut().map(|registrar| registrar.remove_bindings(user)).unwrap_or_default();
        let count = changes.len();
        if count > 0 {
            self.exchange.outputs.push_back(Output::Registrations { ticket: None, changes });
        }
        count
    }

    /// A subscriber is gone, and its registrations with it.
    pub fn remove_subscriber(&mut self, user: &str) {
        let changes = self.registrar_mut().map(|registrar| registrar.remove_subscriber(user)).unwrap_or_default();
        if !changes.is_empty() {
            self.exchange.outputs.push_back(Output::Registrations { ticket: None, changes });
        }
    }

    /// Takes no new calls from now on; those under way go on.
    /// Registrations with carriers are taken back, so that they send none.
    pub fn drain(&mut self, now: Nanos) {
        if !self.exchange.admission.is_draining() {
            self.exchange.registrations.end();
            self.exchange.register(now);
        }
        self.exchange.admission.drain();
        self.pump(now);
    }

    /// Ends every call: BYE to both sides where it was answered, a final response and CANCEL where not.
    pub fn end_all(&mut self, now: Nanos, reason: &str) {
        let numbers: Vec<CallNumber> = self.calls.keys().copied().collect();
        for number in numbers {
            let ending = Ending::gateway(StatusCode::SERVICE_UNAVAILABLE, reason.to_owned());
            self.with_call(number, |call, exchange| call.end(exchange, now, ending, None));
        }
        self.pump(now);
    }

    /// Ends one call; `false` where there is none of that number.
    pub fn hang_up(&mut self, now: Nanos, call: CallNumber) -> bool {
        let ending = Ending::gateway(StatusCode::TEMPORARILY_UNAVAILABLE, "ended by the operator");
        let found = self.with_call(call, |call, exchange| call.end(exchange, now, ending, None)).is_some();
        self.pump(now);
        found
    }

    /// Reserves and installs flows without a call, all or none; [`Switch::poll_flows`] tells when they are live.
    ///
    /// # Errors
    /// There is no room for all of them.
    pub fn install_flows(&mut self, now: Nanos, flows: &[[FlowLeg; 2]]) -> Result<FlowTicket, FlowsRefused> {
        self.bare_flows.install(&mut self.exchange, now, flows)
    }

    /// Removes those flows without a call whose numbers these are; [`Switch::poll_flows`] tells when they are gone.
    pub fn remove_flows(&mut self, numbers: RangeInclusive<FlowNumber>) -> FlowTicket {
        self.bare_flows.remove(&mut self.exchange, numbers)
    }

    /// What came of a request of [`Switch::install_flows`] or [`Switch::remove_flows`]; `None` when all is said.
    pub fn poll_flows(&mut self) -> Option<(FlowTicket, FlowsDone)> {
        self.bare_flows.poll()
    }

    /// Flows without a call.
    pub fn flows_without_call(&self) -> usize {
        self.bare_flows.len()
    }

    /// Exchanges peers, routes, limits and timeouts; calls under way keep what they began with. Listeners, the media
    /// plane and the limit of transactions cannot change.
    pub fn reconfigure(&mut self, _now: Nanos, config: SwitchConfig) -> Result<(), SwitchConfigError> {
        config.validate()?;
        let present = &self.exchange.config;
        if config.listeners != present.listeners {
            return Err(SwitchConfigError::NeedsRestart("listeners"));
        }
        let addresses = present.media.addresses.clone();
        if (MediaPlane { addresses, ..config.media.clone() }) != present.media {
            return Err(SwitchConfigError::NeedsRestart("workers and media ports"));
        }
        if config.limits.max_transactions != present.limits.max_transactions {
            return Err(SwitchConfigError::NeedsRestart("max_transactions"));
        }
        if config.media.addresses != present.media.addresses {
            self.exchange.pool.set_addresses(&config.media.addresses);
        }
        let wall_clock = self.exchange.config.wall_clock;
        self.exchange.routing = Routing::new(&config);
        self.exchange.connections.set_limits(config.connections);
        self.exchange.config = SwitchConfig { wall_clock, ..config };
        self.exchange.trunks.set_peers(self.exchange.routing.peers());
        self.exchange.registrations.set_peers(self.exchange.routing.peers());
        self.exchange.place_peers();
        if let Some(users) = &mut self.exchange.users {
            users.find_peer(&self.exchange.config);
        }
        let peers = &self.exchange.config.peers;
        let id_of = |name: &str| peers.iter().zip(0..).find(|(peer, _)| peer.name == name).map(|(_, id)| PeerId(id));
        self.calls.values_mut().for_each(|call| call.renumber(id_of));
        self.exchange.admission.recount(self.calls.values().map(|call| call.peers()));
        Ok(())
    }

    /// Tells what the wall clock says, where it was stepped.
    pub const fn set_wall_clock(&mut self, wall_clock: WallClock) {
        self.exchange.config.wall_clock = wall_clock;
    }

    /// What is to be done next; `None` when all is said.
    pub fn poll_output(&mut self) -> Option<Output> {
        let exchange = &mut self.exchange;
        let trunks = exchange.trunks.poll_event().map(Output::Trunk);
        let questions = || exchange.whereabouts.poll_question().map(Output::Resolve);
        trunks.or_else(questions).or_else(|| exchange.outputs.pop_front())
    }

    /// When [`Switch::on_timeout`] wants to be called.
    pub fn next_deadline(&self) -> Option<Nanos> {
        let transactions = self.exchange.transactions.next_deadline().map(nanos);
        let calls = self.exchange.alarms.first().map(|(at, _)| *at);
        let users = self.exchange.users.as_ref().and_then(Users::next_deadline);
        transactions
            .into_iter()
            .chain(calls)
            .chain(users)
            .chain(self.exchange.trunks.next_deadline())
            .chain(self.exchange.registrations.next_deadline())
            .chain(self.exchange.whereabouts.next_deadline())
            .chain(self.exchange.connections.next_deadline())
            .min()
    }

    /// How the devices spread what they receive over the workers. Without it every port is as good as the other.
    pub fn set_spreads(&mut self, spreads: Vec<Spread>) {
        self.exchange.pool.spreads = Spreads::new(spreads);
    }

    /// Calls that are not forgotten yet, and refused ones whose record is not confirmed.
    pub fn calls_in_progress(&self) -> usize {
        self.calls.len() + self.exchange.unconfirmed.len()
    }

    /// Flows that hold a slot and two ports on a worker, without those that are only at hand.
    pub fn media_in_use(&self) -> u64 {
        self.exchange.pool.in_use() - self.exchange.standby.len() as u64
    }

    /// Whether draining began, every call is over and recorded, and every BYE answered or given up.
    pub fn is_drained(&self) -> bool {
        self.exchange.admission.is_draining()
            && self.calls_in_progress() == 0
            && !self.exchange.requests.values().any(|purpose| matches!(purpose, Purpose::Bye(_)))
    }

    /// Every call, oldest first.
    pub fn snapshot(&self, now: Nanos) -> Vec<CallSnapshot> {
        self.calls.values().map(|call| call.snapshot(now)).collect()
    }

    /// One call; `None` where there is none of that number.
    pub fn call(&self, now: Nanos, call: CallNumber) -> Option<CallSnapshot> {
        self.calls.get(&call).map(|call| call.snapshot(now))
    }

    /// The call is recorded to these files too: its record will say so. `false` where there is none of that number.
    pub fn note_recording(&mut self, call: CallNumber, files: impl IntoIterator<Item = String>) -> bool {
        let found = self.calls.get_mut(&call);
        found.map(|call| call.record.recordings.extend(files)).is_some()
    }

    /// A worker does this with the media of a call from now on: another node that goes on with the call does so too.
    pub fn note_function(&mut self, (worker, flow): (WorkerId, FlowId), function: &Function) {
        let number = self.flows.get(&(worker, flow.slot, flow.generation)).copied();
        if let Some((number, call)) = number.and_then(|number| Some((number, self.calls.get_mut(&number)?))) {
            call.functions.note(function);
            self.note_change(number);
        }
    }

    /// From now on [`Switch::poll_change`] tells which calls are not as they were. Beginning with those that are there.
    pub fn watch_changes(&mut self) {
        self.changed = Some(self.calls.keys().copied().collect());
    }

    /// A call that has changed, or is gone, since this was last said of it; [`Switch::replica`] tells how it is now.
    pub fn poll_change(&mut self) -> Option<CallNumber> {
        self.changed.as_mut()?.pop_first()
    }

    /// A call as another node needs it; `None` where there is none of that number, or nothing is left to be done.
    pub fn replica(&self, call: CallNumber) -> Option<Replica> {
        self.calls.get(&call)?.replica(&self.exchange)
    }

    /// Where the media of a call is; `None` where there is none of that number, or a worker does not have it.
    pub fn place(&self, call: CallNumber) -> Option<(WorkerId, FlowId)> {
        let media = &self.calls.get(&call)?.media;
        media.is_on_worker.then_some((media.reservation.worker, media.reservation.flow))
    }

    /// Goes on with a call that another node had, under a number of our own. Its local addresses have to be ours by now. Nothing is
    /// at hand for it afterwards.
    ///
    /// # Errors
    /// Why that cannot be; then nothing else has changed.
    pub fn restore(
        &mut self,
        now: Nanos,
        replica: &Replica,
        position: Option<MediaPosition>,
    ) -> Result<CallNumber, RestoreError> {
        let number = if replica.is_over() {
            self.exchange.dismiss(replica.media());
            restore::finish(&mut self.exchange, now, replica)
        } else {
            let restored = Call::restore(&mut self.exchange, now, replica, position);
            let mut call = restored.inspect_err(|_| self.exchange.dismiss(replica.media()))?;
            call.set_alarm(&mut self.exchange);
            let place = &call.media.reservation;
            self.flows.insert((place.worker, place.flow.slot, place.flow.generation), call.number);
            let number = call.number;
            self.note_change(number);
            self.calls.insert(number, call);
            number
        };
        self.exchange.counters.taken_over += 1;
        self.pump(now);
        Ok(number)
    }

    /// Lets go of every call without a word to anybody: another node goes on with them. Workers forget the flows, and no
    /// record is written here. How many calls that were.
    pub fn abandon(&mut self) -> usize {
        self.exchange.transactions.forget_all();
        self.exchange.outputs.retain(|output| !matches!(output, Output::Datagram { .. } | Output::Stream { .. }));
        self.exchange.requests.clear();
        self.exchange.invites.clear();
        let calls = std::mem::take(&mut self.calls);
        for call in calls.values() {
            call.forget(&mut self.exchange);
            let Reservation { worker, flow, .. } = call.media.reservation;
            if call.media.is_on_worker {
                self.exchange.command(worker, Command::AbandonFlow { flow });
            }
            self.note_change(call.number);
        }
        calls.len()
    }

    /// Up to `count` answered calls of numbers above `after`, in order, and where their media are.
    pub fn answered_after(&self, after: CallNumber, count: usize) -> Vec<(CallNumber, WorkerId, FlowId)> {
        let later = self.calls.range((Bound::Excluded(after), Bound::Unbounded)).map(|(_, call)| call);
        let answered = later.filter(|call| call.phase == Phase::Answered && call.media.is_on_worker);
        answered
            .take(count)
            .map(|call| (call.number, call.media.reservation.worker, call.media.reservation.flow))
            .collect()
    }

    /// What the record of the call with this flow would say of its legs, were it over; `None` where there is no such call.
    pub fn measured(&self, (worker, flow): (WorkerId, FlowId), counters: &[LegCounters; 2]) -> Option<[LegRecord; 2]> {
        let number = self.flows.get(&(worker, flow.slot, flow.generation))?;
        Some(self.calls.get(number)?.measured(counters))
    }

    pub(crate) fn note_change(&mut self, call: CallNumber) {
        if let Some(changed) = &mut self.changed {
            changed.insert(call);
        }
    }

    /// How every peer does, in the order of the configuration.
    pub fn trunks(&self) -> Vec<TrunkStatus> {
        let of = |(status, id): (&TrunkStatus, u16)| TrunkStatus {
            calls: self.exchange.admission.of(PeerId(id)),
            registration: self.exchange.registrations.state(&status.peer).cloned(),
            ..status.clone()
        };
        self.exchange.trunks.statuses().zip(0..).map(of).collect()
    }

    /// Which route would take a call now, why, and who would be called.
    ///
    /// # Errors
    /// The peer is unknown, or the number makes no Request-URI.
    pub fn explain(&self, now: Nanos, enquiry: &Enquiry) -> Result<Explanation, EnquiryError> {
        let Exchange { routing, trunks, admission, config, .. } = &self.exchange;
        let own_host = config.listeners[0].advertised.to_string();
        let standing = |id| trunks.standing(id, admission.of(id));
        let mut explained = routing.explain(enquiry, &own_host, config.wall_clock.unix_millis(now), standing)?;
        for target in &mut explained.targets {
            target.resolution = self.exchange.whereabouts.explain(now, &target.peer);
        }
        Ok(explained)
    }

    /// What was counted since the start.
    pub fn counters(&self) -> SwitchCounters {
        let sip = self.exchange.transactions.counters();
        SwitchCounters {
            malformed_datagrams: sip.malformed,
            transaction_timeouts: sip.timeouts,
            dropped_requests: sip.refused_for_overload,
            failovers: sip.failovers,
            retransmissions: sip.request_retransmissions_received + sip.retransmissions_sent,
            connections: self.exchange.connections.counters(),
            recordings_missing: self.exchange.recordings.missing(),
            guard: self.exchange.guard.counters,
            ..self.exchange.counters
        }
    }

    /// Lets `act` do something with a call, and looks after the call afterwards.
    pub(crate) fn with_call<T>(
        &mut self,
        number: CallNumber,
        act: impl FnOnce(&mut Call, &mut Exchange) -> T,
    ) -> Option<T> {
        let call = self.calls.get_mut(&number)?;
        let done = act(call, &mut self.exchange);
        if call.is_over() {
            call.forget(&mut self.exchange);
            self.calls.remove(&number);
        } else {
            self.exchange.recordings.touch(number);
            call.set_alarm(&mut self.exchange);
        }
        self.note_change(number);
        Some(done)
    }
}
