//! All transactions of one endpoint.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::actions::Input;
use super::deadlines::{Deadline, Deadlines};
use super::engine::{Cancelling, Kind, Transaction};
use super::matching;
use super::table::{self, Event, State};
use super::{
    CancelError, ClientTx, Output, Peer, RespondError, SendError, ServerTx, Slot, TransactionConfig,
    TransactionCounters, Transport, Tx,
};
use crate::{
    BuildError, HeaderName, Identifiers, Instant, Message, Method, ParseError, Request, RequestBuilder, Response,
    ResponseBuilder, StatusCode, respond_to_malformed,
};

/// The transaction layer of one endpoint; see [the module](super) for how to drive it.
#[derive(Debug)]
pub struct Transactions {
    pub(super) config: TransactionConfig,
    identifiers: Identifiers,
    pub(super) places: Vec<Place>,
    free: Vec<u32>,
    clients: HashMap<Box<str>, Slot>,
    servers: HashMap<Box<str>, Slot>,
    mergeable: HashMap<Box<str>, Slot>,
    pub(super) deadlines: Deadlines,
    pub(super) outputs: VecDeque<Output>,
    pub(super) counters: TransactionCounters,
    is_overloaded: bool,
    /// Keys are written here before they are looked up.
    key: String,
}

#[derive(Debug, Default)]
pub(super) struct Place {
    generation: u32,
    transaction: Option<Box<Transaction>>,
}

impl Transactions {
    /// No transactions yet.
    pub fn new(config: TransactionConfig, identifiers: Identifiers) -> Self {
        Self {
            config,
            identifiers,
            places: Vec::new(),
            free: Vec::new(),
            clients: HashMap::new(),
            servers: HashMap::new(),
            mergeable: HashMap::new(),
            deadlines: Deadlines::default(),
            outputs: VecDeque::new(),
            counters: TransactionCounters::default(),
            is_overloaded: false,
            key: String::new(),
        }
    }

    /// Reads a datagram, or a frame of a stream, and acts on it. What is no message is counted, and answered where that
    /// is possible.
    ///
    /// # Errors
    ///
    /// Why the bytes are no message; nothing is left to be done about it.
    pub fn on_bytes(&mut self, now: Instant, from: Peer, bytes: &[u8]) -> Result<(), ParseError> {
        match Message::parse(bytes, &self.config.limits) {
            Ok(message) => {
                self.on_message(now, from, message);
                Ok(())
            }
            Err(error) => self.on_unread(from, bytes, error),
        }
    }

    /// Acts on what [`Message::parse`] refused with `error`: counts a keep-alive, counts and answers anything else.
    ///
    /// # Errors
    ///
    /// The same error, where it was no keep-alive.
    pub fn on_unread(&mut self, from: Peer, bytes: &[u8], error: ParseError) -> Result<(), ParseError> {
        if error.is_keep_alive() {
            self.counters.keep_alives += 1;
            return Ok(());
        }
        self.on_malformed(from, bytes, &error);
        Err(error)
    }

    /// Whether requests that would begin something new are answered 503, since the machine has enough to do.
    pub const fn set_overloaded(&mut self, is_overloaded: bool) {
        self.is_overloaded = is_overloaded;
    }

    /// Counts and answers what could not be read, or could not even be framed.
    pub fn on_malformed(&mut self, from: Peer, bytes: &[u8], error: &ParseError) {
        self.counters.malformed += 1;
        let to_tag = self.identifiers.tag();
        if let Some(response) = respond_to_malformed(bytes, error, from.remote, &to_tag) {
            self.outputs.push_back(Output::Send { to: from, bytes: response.into() });
        }
    }

    /// Acts on a message.
    pub fn on_message(&mut self, now: Instant, from: Peer, message: Message) {
        match message {
            Message::Request(mut request) => {
                self.counters.requests_received += 1;
                request.set_source(from.remote);
                self.on_request(now, from, request);
            }
            Message::Response(response) => {
                self.counters.responses_received += 1;
                self.on_response(now, from, response);
            }
        }
    }

    fn on_response(&mut self, now: Instant, from: Peer, response: Response) {
        let Some(slot) = self.find_client(&response) else {
            self.counters.stray_responses += 1;
            return;
        };
        let event = event_of(response.status());
        self.step(now, slot, event, Input { response: Some(response), from: Some(from), ..Input::default() });
    }

    fn find_client(&mut self, response: &Response) -> Option<Slot> {
        // Our requests leave with one Via; a response with more has lost its way (section 8.1.3.3).
        if response.elements(HeaderName::Via).nth(1).is_some() {
            return None;
        }
        let mut key = core::mem::take(&mut self.key);
        let has_branch = matching::write_response_key(&mut key, response);
        let slot = self.clients.get(key.as_str()).copied().filter(|_| has_branch);
        self.key = key;
        slot
    }

    fn on_request(&mut self, now: Instant, from: Peer, request: Request) {
        let is_ack = *request.method() == Method::Ack;
        let known = self.find_server(&request, if is_ack { &Method::Invite } else { request.method() });
        let input = |request| Input { request: Some(request), from: Some(from), ..Input::default() };
        match known {
            Some(slot) if is_ack => self.step(now, slot, Event::Ack, input(request)),
            Some(slot) => {
                self.counters.request_retransmissions_received += 1;
                self.step(now, slot, Event::Request, input(request));
            }
            None if is_ack => self.outputs.push_back(Output::Ack { from, request }),
            None => self.begin_server(now, from, request),
        }
    }

    fn find_server(&mut self, request: &Request, method: &Method) -> Option<Slot> {
        let mut key = core::mem::take(&mut self.key);
        let is_rfc2543 = matching::write_server_key(&mut key, request, method);
        let slot = self.servers.get(key.as_str()).copied();
        self.key = key;
        let slot = slot?;
        if is_rfc2543 {
            let transaction = self.get(slot)?;
            let is_ack = *request.method() == Method::Ack;
            let expected = if is_ack { &transaction.response_tag } else { &transaction.request_tag };
            if expected.as_deref() != request.to_tag() {
                return None;
            }
        }
        Some(slot)
    }

    fn begin_server(&mut self, now: Instant, from: Peer, request: Request) {
        // A tenth is kept, so that dialogs that are up can be changed and ended.
        let most = self.config.max_transactions;
        let begins_nothing_new = request.to_tag().is_some();
        let overloaded = self.is_overloaded && !begins_nothing_new && takes_work(request.method());
        if overloaded || self.live() >= if begins_nothing_new { most } else { most - most / 10 } {
            self.refuse_for_overload(from, &request);
            return;
        }
        let is_invite = *request.method() == Method::Invite;
        let kind = if is_invite { Kind::InviteServer } else { Kind::NonInviteServer };
        let mut key = core::mem::take(&mut self.key);
        matching::write_server_key(&mut key, &request, request.method());
        let mut transaction = Transaction::new(kind, response_target(from, &request), key.as_str().into());
        transaction.request_tag = request.to_tag().map(Into::into);
        let mut is_merged = false;
        if matching::write_merge_key(&mut key, &request) {
            is_merged = self.mergeable.contains_key(key.as_str());
            if !is_merged {
                transaction.merge_key = Some(key.as_str().into());
            }
        }
        self.key = key;
        if is_merged {
            self.counters.merged_requests += 1;
            self.answer_here(now, transaction, &request, StatusCode::LOOP_DETECTED, None);
        } else if *request.method() == Method::Cancel {
            self.begin_cancel(now, transaction, request);
        } else {
            if is_invite {
                transaction.invite = Some(Box::new(request.clone()));
            }
            let slot = self.insert(transaction);
            self.step(now, slot, Event::Start, Input { request: Some(request), from: Some(from), ..Input::default() });
        }
    }

    /// Section 9.2.
    fn begin_cancel(&mut self, now: Instant, transaction: Transaction, request: Request) {
        let invite = self.find_server(&request, &Method::Invite);
        let Some(invite) = invite else {
            self.counters.unmatched_cancels += 1;
            self.answer_here(now, transaction, &request, StatusCode::CALL_DOES_NOT_EXIST, None);
            return;
        };
        let (state, tag) = self.get(invite).map_or((State::Terminated, None), |t| (t.state, t.response_tag.clone()));
        self.answer_here(now, transaction, &request, StatusCode::OK, tag);
        if state == State::Proceeding {
            self.outputs.push_back(Output::Cancel { invite: ServerTx(invite), request });
        }
    }

    /// Runs a server transaction that its user never hears of.
    fn answer_here(
        &mut self,
        now: Instant,
        mut transaction: Transaction,
        request: &Request,
        status: StatusCode,
        tag: Option<Box<str>>,
    ) {
        let tag = tag.unwrap_or_else(|| self.identifiers.tag().into());
        let Ok(response) = ResponseBuilder::new(request, status).to_tag(&tag).build() else { return };
        transaction.is_internal = true;
        let slot = self.insert(transaction);
        self.step(now, slot, Event::Start, Input::default());
        let _ = self.respond(now, ServerTx(slot), &response);
    }

    fn refuse_for_overload(&mut self, from: Peer, request: &Request) {
        self.counters.refused_for_overload += 1;
        let tag = self.identifiers.tag();
        let response = ResponseBuilder::new(request, StatusCode::SERVICE_UNAVAILABLE)
            .to_tag(&tag)
            .retry_after(self.config.overload_retry_after_s)
            .build();
        if let Ok(response) = response {
            self.outputs.push_back(Output::Send { to: response_target(from, request), bytes: response.to_bytes() });
        }
    }

    /// Starts a client transaction. Via is added here.
    ///
    /// # Errors
    ///
    /// When there are too many transactions, or the request is malformed.
    pub fn send_request(&mut self, now: Instant, to: Peer, request: RequestBuilder) -> Result<ClientTx, SendError> {
        self.send_request_to(now, to, &[], request)
    }

    /// The same with further targets, to be tried in their order (RFC 3263 section 4.3): the next one where nothing is
    /// heard of a target within [`TimerValues::failover`](super::TimerValues::failover), where it cannot be reached, and
    /// where it answers 503. The transaction keeps its name, and what is reported is what became of the last target.
    ///
    /// # Errors
    ///
    /// When there are too many transactions, or the request is malformed.
    pub fn send_request_to(
        &mut self,
        now: Instant,
        to: Peer,
        others: &[Peer],
        request: RequestBuilder,
    ) -> Result<ClientTx, SendError> {
        if matches!(request.method(), Method::Ack | Method::Cancel) {
            return Err(SendError::NotATransaction);
        }
        if self.live() >= self.config.max_transactions {
            return Err(SendError::Full);
        }
        let branch = self.identifiers.branch();
        let request = request.via(&self.via(&to, &branch)).build()?;
        let slot = self.insert_client(to, request, false);
        if let Some(transaction) = self.get_mut(slot) {
            transaction.others = others.iter().rev().copied().collect();
        }
        self.step(now, slot, Event::Start, Input::default());
        Ok(ClientTx(slot))
    }

    pub(super) fn begin_client(&mut self, now: Instant, to: Peer, request: Request, is_internal: bool) -> Slot {
        let slot = self.insert_client(to, request, is_internal);
        self.step(now, slot, Event::Start, Input::default());
        slot
    }

    fn insert_client(&mut self, to: Peer, request: Request, is_internal: bool) -> Slot {
        let is_invite = *request.method() == Method::Invite;
        let kind = if is_invite { Kind::InviteClient } else { Kind::NonInviteClient };
        let mut key = core::mem::take(&mut self.key);
        matching::write_client_key(&mut key, request.top_via().branch().unwrap_or_default(), request.method());
        let mut transaction = Transaction::new(kind, to, key.as_str().into());
        self.key = key;
        transaction.wire = Some(request.to_bytes());
        transaction.is_internal = is_internal;
        if is_invite {
            transaction.invite = Some(Box::new(request));
        }
        self.insert(transaction)
    }

    /// From now on the client transaction in `slot` is answered by responses to `branch`.
    pub(super) fn rename_client(&mut self, slot: Slot, branch: &str, method: &Method) {
        let mut key = core::mem::take(&mut self.key);
        matching::write_client_key(&mut key, branch, method);
        let new: Box<str> = key.as_str().into();
        self.key = key;
        let Some(transaction) = self.get_mut(slot) else { return };
        let old = core::mem::replace(&mut transaction.key, new.clone());
        self.clients.remove(&old);
        self.clients.insert(new, slot);
    }

    /// Sends the ACK of a 2xx, which is a transaction of its own that nobody answers (section 13.2.2.4). Keep the bytes
    /// and [`Transactions::resend`] them for every retransmission of the 2xx.
    ///
    /// # Errors
    ///
    /// When the request is malformed.
    pub fn send_ack(&mut self, to: Peer, ack: RequestBuilder) -> Result<Arc<[u8]>, BuildError> {
        let branch = self.identifiers.branch();
        let bytes = ack.via(&self.via(&to, &branch)).build()?.to_bytes();
        self.resend(to, Arc::clone(&bytes));
        Ok(bytes)
    }

    /// Sends bytes that were sent before.
    pub fn resend(&mut self, to: Peer, bytes: Arc<[u8]>) {
        self.outputs.push_back(Output::Send { to, bytes });
    }

    pub(super) fn via(&self, to: &Peer, branch: &str) -> String {
        let transport = to.transport.as_str();
        // A connection of ours may be used for the other end's requests too (RFC 5923 section 4).
        let rport = if to.transport == Transport::Udp { ";rport" } else { ";alias" };
        match &self.config.sent_by {
            Some(sent_by) => format!("SIP/2.0/{transport} {sent_by};branch={branch}{rport}"),
            None => format!("SIP/2.0/{transport} {};branch={branch}{rport}", to.local),
        }
    }

    /// Cancels an INVITE: at once if it has a provisional response, else as soon as one comes (section 9.1). Go on waiting
    /// for its final response. `reason` is the value of a Reason header (RFC 3326).
    ///
    /// # Errors
    ///
    /// When there is nothing to cancel any more.
    pub fn cancel(&mut self, now: Instant, id: ClientTx, reason: Option<&str>) -> Result<(), CancelError> {
        let transaction = self.get_mut(id.0).ok_or(CancelError::Gone)?;
        if transaction.kind != Kind::InviteClient {
            return Err(CancelError::NotInvite);
        }
        if table::find(table::INVITE_CLIENT, transaction.state, Event::Cancel).is_none() {
            return Err(CancelError::Answered);
        }
        if transaction.cancel == Cancelling::No {
            transaction.cancel = Cancelling::Held(reason.map(Into::into));
            self.step(now, id.0, Event::Cancel, Input::default());
        }
        Ok(())
    }

    /// Answers a request. A 2xx to INVITE may be given again for as long as its ACK is missing (RFC 6026 section 7.1),
    /// see [`crate::Invite2xx`].
    ///
    /// # Errors
    ///
    /// When the transaction cannot take this response any more.
    pub fn respond(&mut self, now: Instant, id: ServerTx, response: &Response) -> Result<(), RespondError> {
        let event = event_of(response.status());
        let transaction = self.get_mut(id.0).ok_or(RespondError::Gone)?;
        if table::find(transaction.kind.table(), transaction.state, event).is_none() {
            return Err(RespondError::Answered);
        }
        transaction.response_tag = response.to_tag().map(Into::into);
        transaction.wire = Some(response.to_bytes());
        self.step(now, id.0, event, Input::default());
        Ok(())
    }

    /// Sending to `to` failed: a connection broke, or ICMP said so. Looks at every transaction; meant to be rare.
    pub fn on_transport_error(&mut self, now: Instant, to: Peer) {
        for index in 0..self.places.len() {
            let place = &self.places[index];
            let slot = Slot { index: index as u32, generation: place.generation };
            if place.transaction.as_ref().is_some_and(|transaction| transaction.peer == to) {
                self.step(now, slot, Event::TransportError, Input::default());
            }
        }
    }

    /// Fires every timer that is due.
    pub fn on_timeout(&mut self, now: Instant) {
        while let Some(deadline) = self.deadlines.peek().filter(|deadline| deadline.at <= now) {
            self.deadlines.pop();
            if let Some(armed) = self.get_mut(deadline.slot).and_then(|transaction| transaction.take_due(now)) {
                let input = Input { interval: Some(armed.interval), ..Input::default() };
                self.step(now, deadline.slot, Event::Fires(armed.timer), input);
            }
        }
        self.forget_stale_deadlines();
    }

    /// When [`Transactions::on_timeout`] has something to do.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.peek().map(|deadline| deadline.at)
    }

    /// The next thing to do or to know.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Transactions alive.
    pub fn live(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// Deadlines queued, those included that no longer hold; after [`Transactions::on_timeout`] at most four for each live
    /// transaction and 64.
    pub fn deadlines(&self) -> usize {
        self.deadlines.len()
    }

    /// How it behaves.
    pub const fn config(&self) -> &TransactionConfig {
        &self.config
    }

    /// What has been counted.
    pub const fn counters(&self) -> &TransactionCounters {
        &self.counters
    }

    /// Tags, branches and Call-IDs, from the randomness given to [`Transactions::new`].
    pub const fn identifiers(&mut self) -> &mut Identifiers {
        &mut self.identifiers
    }

    /// The state of a transaction, for diagnosis; `None` when it is gone.
    pub fn state(&self, id: Tx) -> Option<State> {
        let (Tx::Client(ClientTx(slot)) | Tx::Server(ServerTx(slot))) = id;
        self.get(slot).map(|transaction| transaction.state)
    }

    pub(super) fn get(&self, slot: Slot) -> Option<&Transaction> {
        let place = self.places.get(slot.index as usize)?;
        if place.generation == slot.generation { place.transaction.as_deref() } else { None }
    }

    pub(super) fn get_mut(&mut self, slot: Slot) -> Option<&mut Transaction> {
        let place = self.places.get_mut(slot.index as usize)?;
        if place.generation == slot.generation { place.transaction.as_deref_mut() } else { None }
    }

    fn insert(&mut self, transaction: Transaction) -> Slot {
        let index = self.free.pop().unwrap_or_else(|| {
            self.places.push(Place::default());
            (self.places.len() - 1) as u32
        });
        let place = &mut self.places[index as usize];
        let slot = Slot { index, generation: place.generation };
        let map = if transaction.kind.is_client() { &mut self.clients } else { &mut self.servers };
        map.insert(transaction.key.clone(), slot);
        if let Some(key) = &transaction.merge_key {
            self.mergeable.insert(key.clone(), slot);
        }
        place.transaction = Some(Box::new(transaction));
        slot
    }

    /// Drops whatever is in the place `index`.
    pub(super) fn forget(&mut self, index: usize) {
        let generation = self.places[index].generation;
        self.remove(Slot { index: index as u32, generation });
    }

    pub(super) fn remove(&mut self, slot: Slot) {
        let place = &mut self.places[slot.index as usize];
        let Some(transaction) = place.transaction.take() else { return };
        place.generation = place.generation.wrapping_add(1);
        self.free.push(slot.index);
        let map = if transaction.kind.is_client() { &mut self.clients } else { &mut self.servers };
        // An RFC 2543 peer can reuse a key with another To tag; only its own entry is taken out.
        if map.get(&transaction.key) == Some(&slot) {
            map.remove(&transaction.key);
        }
        if let Some(key) = &transaction.merge_key {
            self.mergeable.remove(key);
        }
        if !transaction.is_internal {
            self.outputs.push_back(Output::Terminated { id: transaction.kind.name(slot) });
        }
    }

    /// Drops deadlines that no longer hold: from the front, so that nobody is woken for them, and all of them when they
    /// outnumber the others, so that memory stays in proportion.
    fn forget_stale_deadlines(&mut self) {
        let mut deadlines = core::mem::take(&mut self.deadlines);
        while deadlines.peek().is_some_and(|deadline| !self.holds(deadline)) {
            deadlines.pop();
        }
        if deadlines.len() > 64 + 4 * self.live() {
            deadlines.retain(|deadline| self.holds(deadline));
        }
        self.deadlines = deadlines;
    }

    fn holds(&self, deadline: Deadline) -> bool {
        self.get(deadline.slot).is_some_and(|transaction| {
            [transaction.repeat, transaction.limit].iter().flatten().any(|armed| armed.at == deadline.at)
        })
    }
}

/// Whether a request outside of dialogs is refused under overload: CANCEL relieves, and OPTIONS is how others learn of it.
const fn takes_work(method: &Method) -> bool {
    !matches!(method, Method::Cancel | Method::Options)
}

fn event_of(status: StatusCode) -> Event {
    if status.is_provisional() {
        Event::Provisional
    } else if status.is_success() {
        Event::Success
    } else {
        Event::Failure
    }
}

/// Where responses to `request` go (RFC 3261 section 18.2.2, RFC 3581 section 4).
fn response_target(from: Peer, request: &Request) -> Peer {
    if from.transport.is_reliable() {
        return from;
    }
    let via = request.top_via();
    if via.has_rport() {
        return from;
    }
    let mut to = from;
    if let Some(maddr) = via.maddr().and_then(|maddr| maddr.trim_matches(['[', ']']).parse().ok()) {
        to.remote.set_ip(maddr);
    }
    to.remote.set_port(via.port_or_default());
    to
}
