//! Callers and callees of many calls, without I/O.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tandem_sip::transaction::Output as Transacted;
use tandem_sip::{
    ClientTx, Dialog, DialogState, Identifiers, Instant, Invite2xx, Invite2xxStep, Method, Peer, Random, Request,
    RequestBuilder, Response, ResponseBuilder, ServerTx, StatusCode, TimerValues, TransactionConfig, Transactions, Tx,
    uas,
};

use super::leg::LegTalk;
use super::{Failure, Happened, SipEndpoints};
use crate::{PlannedCall, RemoteLeg};

/// Digits by which a caller names its callee, and calls that can be told apart by them.
const DIGITS: usize = 6;
/// One more than the highest number of a call.
pub(super) const NUMBERS: u32 = 1_000_000;
/// Transactions rest for half a minute after their end: as many as the fastest gateway finishes in that time.
const MOST_TRANSACTIONS: usize = 4_000_000;
const CAPABILITIES: uas::Capabilities<'static> = uas::Capabilities {
    methods: &[Method::Invite, Method::Ack, Method::Cancel, Method::Bye, Method::Options],
    option_tags: &[],
    content_types: &["application/sdp"],
};

/// What is to be done, or has come about.
#[derive(Debug)]
pub(super) enum Output {
    /// Send this datagram.
    Send { from: SocketAddr, to: SocketAddr, bytes: Arc<[u8]> },
    /// Something happened to call `number`.
    Call { number: u32, happened: Happened },
}

/// Callers and callees on one or two addresses: see [the module](super) for who calls whom.
pub(super) struct Phones {
    endpoints: SipEndpoints,
    transactions: Transactions,
    timers: TimerValues,
    random: fastrand::Rng,
    calls: HashMap<u32, Call>,
    requests: HashMap<ClientTx, (u32, Purpose)>,
    /// When the 2xx of which call is sent again, unless it has been acknowledged by then.
    unacknowledged: BinaryHeap<Reverse<(Instant, u32)>>,
    happened: VecDeque<(u32, Happened)>,
    /// 2xx to an INVITE that were sent or received once more; transactions do not count them.
    repeated_2xx: u64,
    /// When the last datagram came.
    arrived: Instant,
    /// The call whose callee's 2xx is the next datagram to leave.
    answering: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Invite,
    Bye,
}

/// A call, from the INVITE to the end at both sides.
struct Call {
    begun: Instant,
    state: State,
    caller: Caller,
    callee: Callee,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Begun,
    Up,
    /// The caller hangs up.
    Ending,
}

struct Caller {
    call_id: String,
    tag: String,
    talk: LegTalk,
    dialog: Option<Dialog>,
    /// What came of it, and the ACK that every further 2xx wants again.
    answered: Option<Answered>,
    has_ended: bool,
}

/// The 200 to a caller's INVITE.
struct Answered {
    took: Duration,
    remote: RemoteLeg,
    to: Peer,
    ack: Arc<[u8]>,
}

struct Callee {
    tag: String,
    talk: LegTalk,
    dialog: Option<Dialog>,
    remote: Option<RemoteLeg>,
    /// The 2xx that waits for its ACK.
    accepted: Option<(ServerTx, Invite2xx)>,
    /// When the INVITE came, and how long the 2xx took from there to the wire.
    asked: Instant,
    own: Duration,
    has_ended: bool,
}

/// Identifiers must differ from those of the last run, which gateways still remember; nobody has to be kept from guessing them.
struct Dice(fastrand::Rng);

impl Random for Dice {
    fn next_u64(&mut self) -> u64 {
        self.0.u64(..)
    }
}

impl Phones {
    pub(super) fn new(endpoints: SipEndpoints, seed: u64) -> Self {
        let config = TransactionConfig { max_transactions: MOST_TRANSACTIONS, ..TransactionConfig::default() };
        let mut random = fastrand::Rng::with_seed(seed);
        Self {
            endpoints,
            timers: config.timers,
            transactions: Transactions::new(config, Identifiers::new(Dice(random.fork()))),
            random,
            calls: HashMap::new(),
            requests: HashMap::new(),
            unacknowledged: BinaryHeap::new(),
            happened: VecDeque::new(),
            repeated_2xx: 0,
            arrived: Instant::ZERO,
            answering: None,
        }
    }

    /// Begins a call. Its number must not be that of another one that is under way.
    pub(super) fn call(&mut self, now: Instant, number: u32, planned: &PlannedCall) {
        let [caller, callee] = [0, 1].map(|side| LegTalk::new(planned, side, &mut self.random));
        let identifiers = self.transactions.identifiers();
        let call_id = identifiers.call_id();
        let tag = |side: char, random: String| format!("{number:0DIGITS$}{side}{random}");
        let (caller_tag, callee_tag) = (tag('a', identifiers.tag()), tag('b', identifiers.tag()));
        let mut call = Call {
            begun: now,
            state: State::Begun,
            caller: Caller { call_id, tag: caller_tag, talk: caller, dialog: None, answered: None, has_ended: false },
            callee: Callee {
                tag: callee_tag,
                talk: callee,
                dialog: None,
                remote: None,
                accepted: None,
                asked: now,
                own: Duration::ZERO,
                has_ended: false,
            },
        };
        let offer = call.caller.talk.offer();
        let invite = self.invite(number, &call.caller).body("application/sdp", offer);
        let to = Peer::udp(self.endpoints.caller, self.endpoints.gateway);
        match self.transactions.send_request(now, to, invite) {
            Ok(tx) => {
                self.requests.insert(tx, (number, Purpose::Invite));
                self.calls.insert(number, call);
            }
            Err(error) => self.happened.push_back((number, Happened::Failed(Failure::Source(error.to_string())))),
        }
    }

    fn invite(&self, number: u32, caller: &Caller) -> RequestBuilder {
        let SipEndpoints { gateway, caller: own, prefix, .. } = &self.endpoints;
        let uri = format!("sip:{prefix}{number:0DIGITS$}@{gateway}");
        let (from, to) = (format!("<sip:{prefix}@{own}>;tag={}", caller.tag), format!("<{uri}>"));
        RequestBuilder::new(Method::Invite, uri)
            .from(&from)
            .to(&to)
            .call_id(&caller.call_id)
            .cseq(1)
            .contact(self.contact(*own))
    }

    fn contact(&self, own: SocketAddr) -> String {
        format!("sip:{}@{own}", self.endpoints.prefix)
    }

    /// The caller of a call that is up hangs up.
    pub(super) fn hang_up(&mut self, now: Instant, number: u32) {
        let Some(call) = self.calls.get_mut(&number).filter(|call| call.state == State::Up) else { return };
        call.state = State::Ending;
        if let Some(to) = call.caller.answered.as_ref().map(|answered| answered.to) {
            self.bye(now, number, to);
        }
    }

    fn bye(&mut self, now: Instant, number: u32, to: Peer) {
        let Some(dialog) = self.calls.get_mut(&number).and_then(|call| call.caller.dialog.as_mut()) else { return };
        let sent = self.transactions.send_request(now, to, dialog.request(Method::Bye));
        if let Ok(tx) = sent {
            self.requests.insert(tx, (number, Purpose::Bye));
        }
    }

    /// Takes a datagram that came to `local`; what it leads to has to be polled before the next one, or times are wrong by as much.
    /// What is no SIP is counted by the transactions, and answered where that is possible.
    pub(super) fn on_datagram(&mut self, now: Instant, local: SocketAddr, from: SocketAddr, bytes: &[u8]) {
        self.arrived = now;
        let _ = self.transactions.on_bytes(now, Peer::udp(local, from), bytes);
    }

    /// Does what is due.
    pub(super) fn on_timeout(&mut self, now: Instant) {
        self.transactions.on_timeout(now);
        while let Some(Reverse((at, number))) = self.unacknowledged.peek().copied()
            && at <= now
        {
            self.unacknowledged.pop();
            let Some(call) = self.calls.get_mut(&number) else { continue };
            let Some((tx, accepted)) = &mut call.callee.accepted else { continue };
            match accepted.on_timeout(now) {
                Invite2xxStep::Wait => {}
                Invite2xxStep::Retransmit => {
                    self.repeated_2xx += 1;
                    // Gone after as long as the ACK may take.
                    let _ = self.transactions.respond(now, *tx, accepted.response());
                }
                Invite2xxStep::GiveUp => {
                    self.fail(number, Failure::NoAck);
                    continue;
                }
            }
            self.unacknowledged.push(Reverse((accepted.deadline(), number)));
        }
    }

    /// When [`Phones::on_timeout`] has something to do.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let accepted = self.unacknowledged.peek().map(|Reverse((at, _))| *at);
        self.transactions.next_deadline().into_iter().chain(accepted).min()
    }

    /// Messages that were sent or received once more, because the first was lost or not answered in time.
    pub(super) fn repeated(&self) -> u64 {
        let counters = self.transactions.counters();
        counters.retransmissions_sent + counters.request_retransmissions_received + self.repeated_2xx
    }

    /// Calls that are not over.
    pub(super) fn calls(&self) -> usize {
        self.calls.len()
    }

    /// Whether a call of that number is under way.
    pub(super) fn has(&self, number: u32) -> bool {
        self.calls.contains_key(&number)
    }

    /// The next thing to do or to know. A datagram is to leave at `now`.
    pub(super) fn poll(&mut self, now: Instant) -> Option<Output> {
        if let Some(callee) =
            self.answering.take().and_then(|number| self.calls.get_mut(&number)).map(|call| &mut call.callee)
        {
            callee.own = now.saturating_since(callee.asked);
        }
        loop {
            if let Some((number, happened)) = self.happened.pop_front() {
                return Some(Output::Call { number, happened });
            }
            match self.transactions.poll_output()? {
                Transacted::Send { to, bytes } => {
                    return Some(Output::Send { from: to.local, to: to.remote, bytes });
                }
                Transacted::Request { id, from, request } => self.on_request(now, id, from, &request),
                Transacted::Ack { request, .. } => self.on_ack(&request),
                Transacted::Response { id, from, response } => self.on_response(now, id, from, &response),
                Transacted::Timeout { id: Tx::Client(id) } => {
                    let failure = match self.requests.get(&id) {
                        Some((_, Purpose::Bye)) => Failure::NoAnswer("BYE"),
                        _ => Failure::NoAnswer("INVITE"),
                    };
                    if let Some((number, _)) = self.requests.get(&id).copied() {
                        self.fail(number, failure);
                    }
                }
                Transacted::Terminated { id: Tx::Client(id) } => {
                    self.requests.remove(&id);
                }
                // Calls are answered at once: there is nothing to cancel. Each request has one target.
                Transacted::Cancel { .. }
                | Transacted::MovedOn { .. }
                | Transacted::Timeout { .. }
                | Transacted::TransportFailed { .. }
                | Transacted::Terminated { .. } => {}
            }
        }
    }

    fn fail(&mut self, number: u32, failure: Failure) {
        if self.calls.remove(&number).is_some() {
            self.happened.push_back((number, Happened::Failed(failure)));
        }
    }

    fn on_response(&mut self, now: Instant, tx: ClientTx, from: Peer, response: &Response) {
        let Some((number, purpose)) = self.requests.get(&tx).copied() else { return };
        let status = response.status();
        match purpose {
            _ if status.is_provisional() => {}
            Purpose::Invite if status.is_success() => self.on_answer(now, number, from, response),
            Purpose::Invite => self.fail(number, Failure::Refused(status.as_u16(), response.reason().to_owned())),
            // Whatever is said to a BYE, the dialog is over (section 15.1.1).
            Purpose::Bye => {
                if let Some(call) = self.calls.get_mut(&number) {
                    call.caller.has_ended = true;
                    self.settle(number);
                }
            }
        }
    }

    fn on_answer(&mut self, now: Instant, number: u32, from: Peer, response: &Response) {
        let Some(call) = self.calls.get(&number) else { return };
        if let Some(answered) = &call.caller.answered {
            self.repeated_2xx += 1;
            let (to, ack) = (answered.to, answered.ack.clone());
            self.transactions.resend(to, ack);
            return;
        }
        // What a dialog is made of besides the response; the branch is not looked at.
        let request = self.invite(number, &call.caller).via("SIP/2.0/UDP 0.0.0.0;branch=z9hG4bK-own").build();
        let dialog = request.map_err(|error| error.to_string()).and_then(|request| {
            Dialog::uac(&request, response).map_err(|error| format!("its 200 to an INVITE: {error}"))
        });
        let dialog = match dialog {
            Ok(dialog) => dialog,
            Err(why) => return self.fail(number, Failure::Description(why)),
        };
        let to = next_hop(&dialog, from);
        let Ok(ack) = self.transactions.send_ack(to, dialog.ack(response.cseq_number())) else { return };
        let Some(call) = self.calls.get_mut(&number) else { return };
        call.caller.dialog = Some(dialog);
        let took = self.arrived.saturating_since(call.begun);
        match call.caller.talk.on_answer(response.body()) {
            Ok(remote) => {
                call.caller.answered = Some(Answered { took, remote, to, ack });
                self.settle(number);
            }
            Err(why) => {
                self.bye(now, number, to);
                self.fail(number, Failure::Description(why));
            }
        }
    }

    fn on_request(&mut self, now: Instant, tx: ServerTx, from: Peer, request: &Request) {
        if let Err(refusal) = uas::check(request, &CAPABILITIES) {
            let tag = self.transactions.identifiers().tag();
            if let Ok(response) = refusal.response(request, &tag) {
                let _ = self.transactions.respond(now, tx, &response);
            }
            return;
        }
        match (request.method(), request.to_tag()) {
            (Method::Invite, None) => self.on_invite(now, tx, from, request),
            // What was agreed stays (section 14.2).
            (Method::Invite, Some(_)) => self.answer(now, tx, request, StatusCode::NOT_ACCEPTABLE_HERE),
            (Method::Bye, Some(tag)) => {
                let Some((number, side)) = self.owner(tag) else {
                    return self.answer(now, tx, request, StatusCode::CALL_DOES_NOT_EXIST);
                };
                self.answer(now, tx, request, StatusCode::OK);
                self.on_bye(number, side);
            }
            (Method::Options, _) => self.answer(now, tx, request, StatusCode::OK),
            _ => self.answer(now, tx, request, StatusCode::CALL_DOES_NOT_EXIST),
        }
    }

    fn answer(&mut self, now: Instant, tx: ServerTx, request: &Request, status: StatusCode) {
        let tag = self.transactions.identifiers().tag();
        if let Ok(response) = ResponseBuilder::new(request, status).to_tag(&tag).build() {
            let _ = self.transactions.respond(now, tx, &response);
        }
    }

    fn on_invite(&mut self, now: Instant, tx: ServerTx, from: Peer, request: &Request) {
        let number = request.uri().user().and_then(number_at_end);
        let known = number.and_then(|number| Some((number, self.calls.get_mut(&number)?)));
        let fresh = known.filter(|(_, call)| call.callee.dialog.is_none());
        let Some((number, call)) = fresh else { return self.answer(now, tx, request, StatusCode::NOT_FOUND) };
        let (text, remote) = match call.callee.talk.answer(request.body()) {
            Ok(answer) => answer,
            Err(why) => {
                self.answer(now, tx, request, StatusCode::NOT_ACCEPTABLE_HERE);
                return self.fail(number, Failure::Description(why));
            }
        };
        let tag = call.callee.tag.clone();
        let Ok(dialog) = Dialog::uas(request, &tag, DialogState::Confirmed) else {
            return self.answer(now, tx, request, StatusCode::BAD_REQUEST);
        };
        call.callee.dialog = Some(dialog);
        call.callee.remote = Some(remote);
        call.callee.asked = self.arrived;
        let contact = self.contact(from.local);
        let responding = |status| ResponseBuilder::new(request, status).to_tag(&tag).contact(contact.as_str());
        let ringing = responding(StatusCode::RINGING).build();
        let accepted = responding(StatusCode::OK).body("application/sdp", text).build();
        let (Ok(ringing), Ok(accepted)) = (ringing, accepted) else { return };
        let _ = self.transactions.respond(now, tx, &ringing);
        let _ = self.transactions.respond(now, tx, &accepted);
        self.answering = Some(number);
        let waits = Invite2xx::new(now, accepted, &self.timers);
        self.unacknowledged.push(Reverse((waits.deadline(), number)));
        if let Some(call) = self.calls.get_mut(&number) {
            call.callee.accepted = Some((tx, waits));
        }
    }

    fn on_ack(&mut self, request: &Request) {
        let Some((number, 'b')) = request.to_tag().and_then(|tag| self.owner(tag)) else { return };
        let Some(call) = self.calls.get_mut(&number) else { return };
        let acknowledges = |(_, waits): &mut (ServerTx, Invite2xx)| waits.is_acknowledged_by(request.cseq_number());
        if call.callee.accepted.take_if(acknowledges).is_some() {
            self.settle(number);
        }
    }

    fn on_bye(&mut self, number: u32, side: char) {
        let Some(call) = self.calls.get_mut(&number) else { return };
        if call.state != State::Ending {
            return self.fail(number, Failure::HungUp);
        }
        match side {
            'a' => call.caller.has_ended = true,
            _ => call.callee.has_ended = true,
        }
        self.settle(number);
    }

    /// Whose tag it is: the call, and `a` for its caller or `b` for its callee.
    fn owner(&self, tag: &str) -> Option<(u32, char)> {
        let number = tag.get(..DIGITS)?.parse().ok()?;
        let call = self.calls.get(&number)?;
        match tag {
            _ if tag == call.caller.tag => Some((number, 'a')),
            _ if tag == call.callee.tag => Some((number, 'b')),
            _ => None,
        }
    }

    /// Tells what both sides of a call have come to.
    fn settle(&mut self, number: u32) {
        let Some(call) = self.calls.get_mut(&number) else { return };
        let happened = match call.state {
            State::Begun => {
                let acknowledged = call.callee.remote.filter(|_| call.callee.accepted.is_none());
                let Some((answered, callee)) = call.caller.answered.as_ref().zip(acknowledged) else { return };
                call.state = State::Up;
                let added = answered.took.saturating_sub(call.callee.own);
                Happened::Up { remotes: Box::new([answered.remote, callee]), took: answered.took, added }
            }
            State::Ending if call.caller.has_ended && call.callee.has_ended => {
                self.calls.remove(&number);
                Happened::Down
            }
            State::Up | State::Ending => return,
        };
        self.happened.push_back((number, happened));
    }
}

/// The number that a called party's name ends in.
fn number_at_end(user: &str) -> Option<u32> {
    let digits = user.get(user.len().checked_sub(DIGITS)?..)?;
    digits.bytes().all(|digit| digit.is_ascii_digit()).then(|| digits.parse().ok())?
}

/// Where requests in a dialog go (section 8.1.2): the first route or the remote target where that is an address, else where
/// the answer came from.
fn next_hop(dialog: &Dialog, from: Peer) -> Peer {
    let uri = dialog.next_hop();
    match uri.host().trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(ip) if ip.is_ipv4() == from.remote.is_ipv4() => {
            Peer::udp(from.local, SocketAddr::new(ip, uri.port().unwrap_or(5060)))
        }
        _ => from,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
#[path = "phones_tests.rs"]
mod tests;
