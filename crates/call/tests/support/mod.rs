//! A stage for calls: two scripted SIP endpoints, a scripted media worker and a clock that moves when told to.
//!
//! The endpoints write and read SIP as text of their own, so that the switch is not tested against its own parser.
#![allow(dead_code, missing_docs, unreachable_pub)]

mod phone;
pub mod random;
pub mod wires;

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

pub use phone::{Phone, Sip, sdp};
use tandem_call::{
    Answer, CallRecord, Conditions, ConnectionLimits, GuardConfig, Limits, Listener, ListenerId, MediaPlane,
    MessageLimits, Output, Peer, PeerId, PortRange, Question, RecordKind, RegistrationState, Replica, Rewrite, Route,
    Switch, SwitchConfig, Target, Timeouts, Transport, TrunkEvent, WallClock, WorkerSlots,
};
use tandem_contract::{
    Codec, Command, Event, FlowId, ForkTarget, Function, LegConfig, LegCounters, LegPosition, Nanos, Refusal, WorkerId,
};

pub const GATEWAY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)), 5060);
pub const ALICE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 5060);
pub const BOB: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(198, 51, 100, 2)), 5060);

pub fn peer(name: &str, address: SocketAddr, codecs: &[Codec], media_address: Ipv4Addr) -> Peer {
    Peer { annexb: true, ..Peer::new(name, address, ListenerId(0), codecs.to_vec(), media_address.into()) }
}

/// Alice's side speaks PCMU, PCMA and G.722; Bob's speaks PCMA and G.722. Calls to 2... go to Bob, calls to 1... to Alice.
pub fn config() -> SwitchConfig {
    let route = |name: &str, user_prefix: &str, to| Route {
        name: name.to_owned(),
        when: Conditions { user_prefix: user_prefix.to_owned(), ..Conditions::default() },
        to: Target::Peer(to),
        rewrite: Rewrite::default(),
        recorder: None,
    };
    SwitchConfig {
        user_agent: "Tandem".to_owned(),
        listeners: vec![Listener {
            name: "udp".to_owned(),
            advertised: GATEWAY,
            transport: Transport::Udp,
            authenticates: false,
        }],
        peers: vec![
            peer("alice", ALICE, &[Codec::Pcmu, Codec::Pcma, Codec::G722], Ipv4Addr::new(10, 0, 1, 1)),
            peer("bob", BOB, &[Codec::Pcma, Codec::G722], Ipv4Addr::new(10, 0, 2, 1)),
        ],
        groups: Vec::new(),
        routes: vec![route("to bob", "2", PeerId(1)), route("to alice", "1", PeerId(0))],
        media: MediaPlane {
            workers: vec![
                WorkerSlots { worker: WorkerId(0), slots: 16 },
                WorkerSlots { worker: WorkerId(1), slots: 16 },
            ],
            addresses: vec![Ipv4Addr::new(10, 0, 1, 1).into(), Ipv4Addr::new(10, 0, 2, 1).into()],
            ports: PortRange { first: 20_000, last: 20_999 },
            port_quarantine_ms: 1_000,
        },
        limits: Limits { max_calls: 8, retry_after_s: 7, max_transactions: 1_000 },
        connections: ConnectionLimits::default(),
        messages: MessageLimits::default(),
        guard: GuardConfig::default(),
        timeouts: Timeouts { no_answer_s: 60, max_call_s: 3_600, worker_reply_ms: 500 },
        // 2026-01-01T00:00:00Z.
        wall_clock: WallClock { at: Nanos(0), unix_ns: 1_767_225_600_000_000_000 },
    }
}

/// What the scripted worker does with commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worker {
    /// Confirms everything at once.
    Willing,
    /// Refuses installs and updates.
    Refusing(Refusal),
    /// Says nothing until [`Stage::worker_answers`].
    Silent,
}

pub struct Stage {
    pub switch: Switch,
    pub now: Nanos,
    pub worker: Worker,
    pub alice: Phone,
    pub bob: Phone,
    /// Every record handed out, in order.
    pub records: Vec<CallRecord>,
    /// Whether records are confirmed at once.
    pub disk_works: bool,
    /// What was said of peers' service, in order.
    pub trunk_events: Vec<TrunkEvent>,
    /// What was said of registrations with peers, in order.
    pub registrations: Vec<(String, RegistrationState)>,
    /// What the DNS knows, and whether it says so at once.
    pub names: HashMap<(String, RecordKind), Answer>,
    pub dns_answers: bool,
    /// What the DNS was asked, in order.
    pub asked: Vec<Question>,
    /// Phones beside Alice's and Bob's.
    pub more: Vec<Phone>,
    /// Datagrams for nobody on the stage.
    pub stray: Vec<(SocketAddr, Sip)>,
    /// Every command, in order.
    pub commands: Vec<(WorkerId, Command)>,
    /// Commands a silent worker holds.
    pub held: VecDeque<(WorkerId, Command)>,
    /// Flows that the worker has, with their legs.
    pub flows: Vec<(WorkerId, FlowId, [LegConfig; 2])>,
    /// The same of those that it has at hand.
    pub prepared: Vec<(WorkerId, FlowId, [LegConfig; 2])>,
    /// How the node that takes over is prepared for it.
    pub readiness: Readiness,
    /// What it was prepared by first, where that was older than what it goes on with.
    pub earlier: Vec<Vec<u8>>,
    /// What `Removed` says.
    pub counters: [LegCounters; 2],
    /// What was asked of connections, in order: `Connect`, `Stream` and `Disconnect`.
    pub connections: VecDeque<Output>,
    /// What a node that takes over is configured with.
    pub config: SwitchConfig,
    /// Nodes that are gone, and calls that were attempted there.
    pub crashes: u8,
    pub attempts_before: u64,
    /// Every datagram in order, for tests that look at all of them.
    pub wire: Vec<(SocketAddr, Vec<u8>)>,
}

/// What a node has of another one's calls before it takes them over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// No flow is at hand.
    Cold,
    /// Each is.
    AtHand,
    /// And media goes on before the call does.
    GoesOn,
}

impl Readiness {
    pub const ALL: [Self; 3] = [Self::Cold, Self::AtHand, Self::GoesOn];
}

impl Stage {
    /// Copies that workers were asked for last, by leg.
    pub fn copies(&self) -> [Option<ForkTarget>; 2] {
        let mut copies = [None; 2];
        for (_, command) in &self.commands {
            if let Command::Function { function: Function::Fork { leg, to }, .. } = command {
                copies[leg.index()] = *to;
            }
        }
        copies
    }

    pub fn new() -> Self {
        Self::with(config())
    }

    pub fn with(config: SwitchConfig) -> Self {
        Self {
            switch: Switch::new(config.clone(), [7; 32]).expect("a valid configuration"),
            config,
            crashes: 0,
            attempts_before: 0,
            now: Nanos::from_millis(1_000),
            worker: Worker::Willing,
            alice: Phone::new("alice", ALICE, GATEWAY),
            bob: Phone::new("bob", BOB, GATEWAY),
            records: Vec::new(),
            disk_works: true,
            trunk_events: Vec::new(),
            registrations: Vec::new(),
            names: HashMap::new(),
            dns_answers: true,
            asked: Vec::new(),
            more: Vec::new(),
            stray: Vec::new(),
            commands: Vec::new(),
            held: VecDeque::new(),
            flows: Vec::new(),
            prepared: Vec::new(),
            readiness: Readiness::GoesOn,
            earlier: Vec::new(),
            counters: [LegCounters::default(); 2],
            connections: VecDeque::new(),
            wire: Vec::new(),
        }
    }

    /// Alice's side sends this.
    pub fn alice_sends(&mut self, message: impl AsRef<[u8]>) {
        self.datagram(ALICE, message.as_ref());
    }

    /// Bob's side sends this.
    pub fn bob_sends(&mut self, message: impl AsRef<[u8]>) {
        self.datagram(BOB, message.as_ref());
    }

    pub fn datagram(&mut self, from: SocketAddr, bytes: &[u8]) {
        self.switch.on_datagram(self.now, ListenerId(0), from, bytes);
        self.settle();
    }

    pub fn event(&mut self, worker: WorkerId, event: Event) {
        self.switch.on_media_event(self.now, worker, event);
        self.settle();
    }

    /// Lets `ms` milliseconds pass, with every timer in between.
    pub fn pass_ms(&mut self, ms: u64) {
        let end = self.now.plus(ms * 1_000_000);
        let mut rounds = 0;
        while let Some(deadline) = self.switch.next_deadline().filter(|deadline| *deadline <= end) {
            self.now = self.now.max(deadline);
            self.switch.on_timeout(self.now);
            self.settle();
            rounds += 1;
            assert!(rounds < 100_000, "timers fire without end");
        }
        self.now = end;
    }

    /// Performs outputs until there are none.
    pub fn settle(&mut self) {
        while let Some(output) = self.switch.poll_output() {
            match output {
                Output::Datagram { listener, to, bytes } => {
                    assert_eq!(listener, ListenerId(0));
                    self.wire.push((to, bytes.clone()));
                    let message = Sip::parse(&bytes);
                    match to {
                        ALICE => self.alice.inbox.push_back(message),
                        BOB => self.bob.inbox.push_back(message),
                        to => match self.more.iter_mut().find(|phone| phone.address == to) {
                            Some(phone) => phone.inbox.push_back(message),
                            None => self.stray.push((to, message)),
                        },
                    }
                }
                asked @ (Output::Connect { .. } | Output::Stream { .. } | Output::Disconnect { .. }) => {
                    self.connections.push_back(asked);
                }
                Output::Command { worker, command } => {
                    self.commands.push((worker, command));
                    self.obey(worker, command);
                }
                Output::Trunk(event) => self.trunk_events.push(event),
                Output::Registration { peer, state } => self.registrations.push((peer, state)),
                Output::Resolve(question) => {
                    self.asked.push(question.clone());
                    if self.dns_answers {
                        self.answer_name(&question);
                    }
                }
                Output::Registrations { ticket, .. } => {
                    if let Some(ticket) = ticket {
                        self.switch.on_registrations_stored(self.now, ticket, self.disk_works);
                    }
                }
                Output::Record(record) => {
                    let number = record.number;
                    self.records.push(*record);
                    if self.disk_works {
                        self.switch.on_record_written(self.now, number);
                    }
                }
            }
        }
    }

    /// The DNS says what it knows.
    pub fn answer_name(&mut self, question: &Question) {
        let known = self.names.get(&(question.name.clone(), question.kind)).cloned();
        let name_exists = self.names.keys().any(|(name, _)| *name == question.name);
        let answer = known.unwrap_or(Answer::Absent { name_exists, ttl_s: 60 });
        self.switch.on_resolved(self.now, question, answer);
    }

    /// The disk has caught up with every record.
    pub fn write_records(&mut self) {
        for record in &self.records {
            self.switch.on_record_written(self.now, record.number);
        }
    }

    /// What the node has told of its calls, as the store has it.
    pub fn told(&self) -> Vec<Vec<u8>> {
        let calls = self.switch.snapshot(self.now);
        calls.iter().filter_map(|call| self.switch.replica(call.number)).map(|replica| replica.to_json()).collect()
    }

    /// The node is gone, with its worker; another one goes on with what it had told of its calls.
    pub fn crash(&mut self) {
        self.crash_with(self.told());
    }

    /// The same, where the store has no more than `replicas`.
    pub fn crash_with(&mut self, replicas: Vec<Vec<u8>>) {
        self.attempts_before += self.switch.counters().attempts;
        self.held.clear();
        self.flows.clear();
        self.prepared.clear();
        self.crashes += 1;
        self.switch = Switch::new(self.config.clone(), [7 + self.crashes; 32]).expect("a valid configuration");
        let read = |json: Vec<u8>| Replica::from_json(&json).expect("it was just written");
        let replicas: Vec<Replica> = replicas.into_iter().map(read).collect();
        for earlier in std::mem::take(&mut self.earlier).into_iter().map(read) {
            // One that cannot be had is not at hand.
            let _ = self.switch.prepare(self.now, &earlier);
            self.settle();
            if replicas.iter().all(|replica| replica.media() != earlier.media()) {
                self.switch.dismiss(earlier.media());
                self.settle();
            }
        }
        for replica in replicas.iter().filter(|_| self.readiness != Readiness::Cold) {
            self.switch.prepare(self.now, replica).expect("the other node is like this one");
        }
        self.settle();
        for replica in replicas.iter().filter(|_| self.readiness == Readiness::GoesOn) {
            let is_at_hand = self.switch.resume_media(self.now, replica.media(), None);
            let may_be = !replica.is_over() && !self.has_moved(replica);
            assert!(is_at_hand == may_be || matches!(self.worker, Worker::Refusing(_)));
        }
        self.settle();
        for replica in replicas {
            self.switch.restore(self.now, &replica, None).expect("the other node is like this one");
            self.settle();
        }
    }

    /// Whether the media of a call is at no address of this node.
    fn has_moved(&self, replica: &Replica) -> bool {
        let peers = self.config.peers.iter().map(|peer| peer.media_address);
        let ours: Vec<_> = peers.chain(self.config.media.addresses.iter().copied()).collect();
        !replica.media().iter().all(|local| ours.contains(&local.ip()))
    }

    /// A silent worker answers what it holds, and goes on willingly.
    pub fn worker_answers(&mut self) {
        self.worker = Worker::Willing;
        while let Some((worker, command)) = self.held.pop_front() {
            self.carry_out(worker, command);
        }
        self.settle();
    }

    fn obey(&mut self, worker: WorkerId, command: Command) {
        if self.worker == Worker::Silent || !self.held.is_empty() {
            // A ring keeps its order.
            self.held.push_back((worker, command));
            return;
        }
        self.carry_out(worker, command);
    }

    fn carry_out(&mut self, worker: WorkerId, command: Command) {
        let event = match (self.worker, command) {
            (
                Worker::Refusing(reason),
                Command::InstallFlow { flow, epoch, .. }
                | Command::PrepareFlow { flow, epoch, .. }
                | Command::ResumeFlow { flow, epoch, .. }
                | Command::UpdateFlow { flow, epoch, .. },
            ) => Event::Refused { flow, epoch, reason },
            (_, Command::PrepareFlow { flow, epoch, legs }) => {
                self.prepared.retain(|(of, known, _)| (*of, *known) != (worker, flow));
                assert!(!self.flows.iter().any(|(of, known, _)| (*of, *known) == (worker, flow)), "it goes on already");
                self.prepared.push((worker, flow, legs));
                Event::Installed { flow, epoch }
            }
            (_, Command::InstallFlow { flow, epoch, legs } | Command::ResumeFlow { flow, epoch, legs, .. }) => {
                self.prepared.retain(|(of, known, _)| (*of, *known) != (worker, flow));
                let taken = self.flows.iter().any(|(of, known, _)| *of == worker && known.slot == flow.slot);
                assert!(!taken, "slot {} is installed twice", flow.slot);
                let port_taken = self
                    .flows
                    .iter()
                    .chain(&self.prepared)
                    .any(|(_, _, known)| known.iter().any(|known| legs.iter().any(|leg| known.local == leg.local)));
                assert!(!port_taken, "a port is installed twice");
                self.flows.push((worker, flow, legs));
                Event::Installed { flow, epoch }
            }
            (_, Command::AddAddress { request, .. }) => Event::AddressAdded { request },
            (_, Command::AnnounceAddress { request, .. }) => Event::AddressAnnounced { request },
            (_, Command::RemoveAddress { request, .. }) => Event::AddressRemoved { request },
            (_, Command::UpdateFlow { flow, epoch, legs }) => {
                match self.flows.iter_mut().find(|(of, known, _)| (*of, *known) == (worker, flow)) {
                    Some(known) => {
                        known.2 = legs;
                        Event::Updated { flow, epoch }
                    }
                    None => Event::Refused { flow, epoch, reason: Refusal::UnknownFlow },
                }
            }
            (_, Command::RemoveFlow { flow } | Command::AbandonFlow { flow }) => {
                for flows in [&mut self.flows, &mut self.prepared] {
                    flows.retain(|(of, known, _)| (*of, *known) != (worker, flow));
                }
                Event::Removed { flow, counters: self.counters }
            }
            (_, Command::ReadPosition { flow }) => Event::Position { flow, legs: [LegPosition::default(); 2] },
            (_, Command::ReadFlow { flow }) => Event::Counters { flow, counters: self.counters },
            (_, Command::Function { flow, request, .. }) => Event::FunctionDone { flow, request, outcome: Ok(()) },
        };
        self.switch.on_media_event(self.now, worker, event);
    }

    /// The legs of the only flow.
    pub fn legs(&self) -> [LegConfig; 2] {
        assert_eq!(self.flows.len(), 1, "one flow");
        self.flows[0].2
    }

    /// Nothing is left: no call, no flow, no port in use. Lets the last transactions run out first.
    pub fn assert_clean(&mut self) {
        self.pass_ms(200_000);
        assert_eq!(self.switch.calls_in_progress(), 0, "every call is forgotten");
        assert_eq!((self.flows.len(), self.prepared.len()), (0, 0), "no flow is left on a worker");
        assert_eq!(self.switch.media_in_use(), 0, "no slot or port is reserved");
        assert_eq!(self.switch.next_deadline(), None, "no timer runs");
        assert_eq!(self.stray, Vec::new(), "nothing went to strangers");
    }

    /// The one record of the one call.
    pub fn record(&self) -> &CallRecord {
        assert_eq!(self.records.len(), 1, "exactly one record: {:?}", self.records);
        &self.records[0]
    }

    /// Alice calls 200 and Bob's phone has the INVITE.
    pub fn alice_calls(&mut self, offer: &str) -> Sip {
        let invite = self.alice.invite("200", offer);
        self.alice_sends(invite);
        self.bob.expect_request("INVITE")
    }

    /// A call is up: Alice offers `offer`, Bob answers `answer`; all ACKed. Returns Alice's 200.
    pub fn call_up(&mut self, offer: &str, answer: &str) -> Sip {
        let invite = self.alice_calls(offer);
        let ringing = self.bob.answer(&invite, 180, "Ringing", "");
        self.bob_sends(ringing);
        self.alice.expect_status(180);
        let ok = self.bob.answer(&invite, 200, "OK", answer);
        self.bob_sends(ok);
        self.bob.expect_request("ACK");
        let ok = self.alice.expect_status(200);
        let ack = self.alice.ack(&ok, "");
        self.alice_sends(ack);
        self.alice.expect_silence();
        self.bob.expect_silence();
        ok
    }

    /// A call between Alice (PCMU) and Bob (PCMA) is up.
    pub fn ordinary_call(&mut self) {
        self.call_up(&sdp(ALICE, 4000, "0", ""), &sdp(BOB, 6000, "8", ""));
    }

    /// Alice hangs up on the phone at `other`, and all is well.
    pub fn alice_hangs_up_with(&mut self, other: SocketAddr) {
        let bye = self.alice.request("BYE", "");
        self.alice_sends(bye);
        self.alice.expect_status(200);
        let phone = self.more.iter_mut().find(|phone| phone.address == other).expect("a phone");
        let bye = phone.expect_request("BYE");
        let ok = phone.answer(&bye, 200, "OK", "");
        self.datagram(other, ok.as_bytes());
    }

    /// Alice hangs up and all is well.
    pub fn alice_hangs_up(&mut self) {
        let bye = self.alice.request("BYE", "");
        self.alice_sends(bye);
        self.alice.expect_status(200);
        let bye = self.bob.expect_request("BYE");
        let ok = self.bob.answer(&bye, 200, "OK", "");
        self.bob_sends(ok);
    }
}
