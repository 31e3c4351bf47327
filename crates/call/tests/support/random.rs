//! Anything may happen in any order; what must hold, holds. The property test and the fuzzer share this.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use tandem_call::{
    Account, CallRecord, Group, GroupId, HuntMode, HuntPolicy, ListenerId, Member, Order, PeerId, Replica,
    SwitchConfig, Target,
};
use tandem_contract::{Codec, Epoch, Event, FlowId, LegSide, Refusal, WorkerId};

use super::{ALICE, BOB, Readiness, Sip, Stage, Worker, config, peer, sdp};

const CAROL: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(198, 51, 100, 3)), 5060);

/// The longest script that is played.
const MAX_STEPS: usize = 200;

/// Plays `script`, two bytes a step, then lets everybody fall silent and checks that nothing is left.
pub fn play(script: &[u8]) {
    let mut play = Play::new(script);
    for step in script.chunks_exact(2).take(MAX_STEPS) {
        play.step(step[0], usize::from(step[1]));
    }
    play.end();
}

/// Plays `script` while the store has only what its steps of one kind told it, which other nodes go on with after each crash:
/// every call that is known there ends with a record, and nothing is left, however old the store's knowledge is.
pub fn play_behind(script: &[u8]) {
    let mut play = Play::new(script);
    let mut stored = Vec::new();
    let mut known = Vec::new();
    for step in script.chunks_exact(2).take(MAX_STEPS) {
        match step[0] % 24 {
            21 | 22 => play.stage.earlier = std::mem::replace(&mut stored, play.stage.told()),
            23 => {
                play.stage.write_records();
                known.extend(stored.iter().map(|json: &Vec<u8>| {
                    let replica = Replica::from_json(json).expect("it was just written");
                    replica.call_ids().map(str::to_owned)
                }));
                play.stage.readiness = Readiness::ALL[usize::from(step[1]) % 3];
                play.stage.crash_with(stored.clone());
            }
            other => play.step(other, usize::from(step[1])),
        }
    }
    play.fall_silent();
    for ids in known {
        let is_it = |record: &CallRecord| record.caller.call_id == ids[0];
        assert!(play.stage.records.iter().any(is_it), "{ids:?} has no record");
    }
}

/// Bob and Carol, who never says a word, stand in for each other in the way that `how` says.
fn with_carol(how: u8) -> SwitchConfig {
    let mut config = config();
    config.timeouts.max_call_s = 300;
    config.limits.max_calls = 3;
    config.peers.push(peer("carol", CAROL, &[Codec::Pcma], Ipv4Addr::new(10, 0, 2, 1)));
    config.peers[1].account = Some(Account { username: "u".to_owned(), password: "p".to_owned() });
    config.peers[1].session_expires_s = if how & 64 == 0 { 90 } else { 0 };
    if how & 128 == 0 {
        let member = |id| Member { peer: PeerId(id), weight: 1 };
        let mode = [HuntMode::FailOver, HuntMode::InOrder, HuntMode::Parallel][usize::from(how) % 3];
        config.groups.push(Group {
            name: "both".to_owned(),
            members: vec![member(1), member(2)],
            order: Order::RoundRobin,
            hunt: HuntPolicy { mode, ring_s: 5, ..HuntPolicy::default() },
        });
        config.routes[0].to = Target::Group(GroupId(0));
    }
    config
}

struct Play {
    how: u8,
    stage: Stage,
    /// What the endpoints sent, to be sent again.
    sent: Vec<(bool, Vec<u8>)>,
    calls: u32,
    /// Requests that came to Alice and to Bob, to be answered late or never.
    pending: [Vec<Sip>; 2],
}

const STATUSES: [(u16, u8); 16] = [
    (100, 0),
    (180, 0),
    (183, 1),
    (200, 1),
    (200, 2),
    (200, 0),
    (200, 3),
    (302, 0),
    (404, 0),
    (408, 0),
    (481, 0),
    (486, 0),
    (487, 0),
    (491, 0),
    (503, 0),
    (603, 0),
];

impl Play {
    fn new(script: &[u8]) -> Self {
        let how = script.first().copied().unwrap_or(0);
        let stage = Stage::with(with_carol(how));
        Self { how, stage, sent: Vec::new(), calls: 0, pending: [Vec::new(), Vec::new()] }
    }

    fn step(&mut self, what: u8, how: usize) {
        let from_alice = how.is_multiple_of(2);
        match what % 21 {
            0 | 1 => self.new_call(how),
            2..=4 => self.answer(false, how),
            5 => self.answer(true, how),
            6 | 7 => self.acknowledge(how),
            8 => {
                if self.stage.alice.invite.is_some() {
                    let cancel = self.stage.alice.cancel();
                    self.say(true, cancel.into_bytes());
                }
            }
            9 => self.request(from_alice, "BYE", ""),
            10 | 11 => {
                let body = self.offer(from_alice, how / 2);
                self.request(from_alice, "INVITE", &body);
            }
            12 => {
                let method = ["INFO", "OPTIONS", "UPDATE", "ACK", "PRACK", "UPDATE", "REFER", "NOTIFY"][how / 2 % 8];
                let body = if how % 32 < 4 { self.offer(from_alice, how / 32) } else { String::new() };
                self.request(from_alice, method, &body);
            }
            13 => self.stage.pass_ms([0, 1, 200, 500, 1_500, 4_000, 33_000, 61_000][how % 8]),
            14 => self.set_worker(how),
            15 => self.media_event(how),
            16 => self.say_again(how, None),
            17 => self.say_again(how, Some(how)),
            18 => self.operator(how),
            // A record that the disk has not taken is lost with the node.
            19 if self.stage.disk_works => {
                self.stage.write_records();
                self.stage.readiness = Readiness::ALL[how % 3];
                self.stage.crash();
            }
            _ => {
                self.stage.alice.inbox.clear();
                self.stage.bob.inbox.clear();
            }
        }
        self.listen();
    }

    fn say(&mut self, from_alice: bool, bytes: Vec<u8>) {
        self.stage.datagram(if from_alice { ALICE } else { BOB }, &bytes);
        if self.sent.len() < 64 {
            self.sent.push((from_alice, bytes));
        }
    }

    /// Notes requests that came. A response to Alice's INVITE stays in her inbox until she acknowledges it.
    fn listen(&mut self) {
        for (index, phone) in [&mut self.stage.alice, &mut self.stage.bob].into_iter().enumerate() {
            // Answers to what was damaged on the way may lack anything.
            phone.inbox.retain(is_whole);
            for message in &phone.inbox {
                if message.status().is_none() && message.method() != "ACK" && self.pending[index].len() < 16 {
                    self.pending[index].push(message.clone());
                }
            }
            phone.inbox.retain(|message| message.status().is_some());
            while phone.inbox.len() > 16 {
                phone.inbox.pop_front();
            }
        }
    }

    fn offer(&self, from_alice: bool, how: usize) -> String {
        let (address, port) = if from_alice { (ALICE, 4000) } else { (BOB, 6000) };
        match how % 9 {
            0 => String::new(),
            1 => sdp(address, port, "18", ""),
            2 => "v=0\r\nx".to_owned(),
            3 => sdp(address, port, "8 9", "a=sendonly\r\n"),
            4 => sdp(address, port, "9", "a=inactive\r\n"),
            5 => sdp(address, port, "0 8", "m=video 9 RTP/AVP 96\r\n"),
            6 => sdp(address, 0, "8", ""),
            7 => sdp(address, port + 2, "8 101", "a=rtpmap:101 telephone-event/8000\r\n"),
            _ => sdp(address, port, "0 8", ""),
        }
    }

    fn new_call(&mut self, how: usize) {
        self.calls += 1;
        self.stage.alice.next_call(self.calls);
        let user = ["200", "201", "900", "2", "100"][how % 5];
        let offer = self.offer(true, if how < 128 { 8 } else { how });
        self.stage.alice.invite(user, &offer);
        let more = [
            "",
            "Require: 100rel\r\n",
            "Supported: 100rel, timer\r\nSession-Expires: 90\r\n",
            "Supported: timer\r\nSession-Expires: 10\r\n",
            "Max-Breadth: 1\r\nPrivacy: id\r\n",
        ][how / 5 % 5];
        let invite = self.stage.alice.request_with("INVITE", &offer, more);
        self.say(true, invite.into_bytes());
    }

    fn answer(&mut self, by_alice: bool, how: usize) {
        let pending = &mut self.pending[usize::from(!by_alice)];
        if pending.is_empty() {
            return;
        }
        // The newest request mostly, at times an older one; kept, so that it may be answered again.
        let position = pending.len() - 1 - how / 64 % pending.len();
        let request = pending[position].clone();
        let (status, body) = STATUSES[how % STATUSES.len()];
        let body = match body {
            _ if request.method() != "INVITE" => String::new(),
            1 => self.offer(by_alice, 8),
            2 => self.offer(by_alice, 3),
            3 => self.offer(by_alice, how / 16),
            _ => String::new(),
        };
        let phone = if by_alice { &mut self.stage.alice } else { &mut self.stage.bob };
        let more = match how / 16 % 6 {
            1 => "Require: 100rel\r\nRSeq: 4\r\n",
            2 => "Session-Expires: 90;refresher=uac\r\nAllow: UPDATE\r\n",
            3 => "Session-Expires: 90;refresher=uas\r\nMin-SE: 300\r\n",
            4 => "WWW-Authenticate: Digest realm=\"r\", nonce=\"n\", qop=\"auth\"\r\n",
            _ => "",
        };
        let answer = phone.answer_with(&request, status, "Whatever", &body, more);
        self.say(by_alice, answer.into_bytes());
    }

    fn acknowledge(&mut self, how: usize) {
        let by_alice = how % 4 != 3;
        let body = if (how / 4).is_multiple_of(4) { self.offer(by_alice, how / 16) } else { String::new() };
        let phone = if by_alice { &mut self.stage.alice } else { &mut self.stage.bob };
        let is_final = |message: &Sip| {
            message.status().is_some_and(|status| status >= 200) && message.header("CSeq").ends_with("INVITE")
        };
        let Some(position) = phone.inbox.iter().position(is_final) else { return };
        let Some(response) = phone.inbox.remove(position) else { return };
        if response.status().is_some_and(|status| status < 300) || phone.invite.is_some() {
            let ack = phone.ack(&response, &body);
            self.say(by_alice, ack.into_bytes());
        }
    }

    fn request(&mut self, by_alice: bool, method: &str, body: &str) {
        let phone = if by_alice { &mut self.stage.alice } else { &mut self.stage.bob };
        if phone.remote_tag.is_some() {
            let request = phone.request(method, body);
            self.say(by_alice, request.into_bytes());
        }
    }

    fn set_worker(&mut self, how: usize) {
        match how % 4 {
            0 => self.stage.worker = Worker::Silent,
            1 => self.stage.worker = Worker::Refusing(Refusal::LocalPortTaken),
            2 => self.stage.worker = Worker::Refusing(Refusal::CodecPairUnsupported),
            _ => self.stage.worker_answers(),
        }
    }

    fn media_event(&mut self, how: usize) {
        let known = self.stage.flows.get(how / 8).map(|(worker, flow, _)| (*worker, *flow));
        let (worker, flow) = known.unwrap_or((WorkerId(0), FlowId { slot: how as u32 % 20, generation: 1 }));
        let leg = if how.is_multiple_of(2) { LegSide::A } else { LegSide::B };
        let event = match how % 8 {
            0 | 1 => Event::MediaTimeout { flow, leg, idle_ms: 5_000 },
            2 => Event::MediaStarted { flow, leg, remote: ALICE, handed_over: false },
            3 => Event::Updated { flow, epoch: Epoch(99) },
            4 => Event::Refused { flow, epoch: Epoch(99), reason: Refusal::UnknownFlow },
            5 => Event::Counters { flow, counters: self.stage.counters },
            6 => {
                // Whatever the worker was asked meanwhile is about a flow that it no longer has.
                self.stage.flows.retain(|(of, known, _)| (*of, *known) != (worker, flow));
                Event::Removed { flow, counters: self.stage.counters }
            }
            _ => Event::Installed { flow, epoch: Epoch(1) },
        };
        // A worker speaks of flows it was told of, except in the case of a very late word.
        let is_held = self.stage.held.iter().any(|(of, command)| *of == worker && command.flow() == Some(flow));
        if !is_held {
            self.stage.event(worker, event);
        }
    }

    fn say_again(&mut self, how: usize, damage: Option<usize>) {
        if self.sent.is_empty() {
            return;
        }
        let (from_alice, mut bytes) = self.sent[how % self.sent.len()].clone();
        if let Some(damage) = damage {
            let at = damage * 37 % bytes.len().max(1);
            bytes[at] = bytes[at].wrapping_add(damage as u8 | 1);
        }
        self.stage.datagram(if from_alice { ALICE } else { BOB }, &bytes);
    }

    fn operator(&mut self, how: usize) {
        let stage = &mut self.stage;
        match how % 8 {
            0 => {
                let number = stage.switch.snapshot(stage.now).first().map(|call| call.number);
                number.map(|number| stage.switch.hang_up(stage.now, number));
            }
            1 => stage.switch.on_transport_error(stage.now, ListenerId(0), BOB),
            2 => stage.switch.on_transport_error(stage.now, ListenerId(0), ALICE),
            3 => stage.switch.end_all(stage.now, "practice"),
            4 => stage.switch.on_timeout(stage.now),
            5 => stage.disk_works = !stage.disk_works,
            6 => {
                let config = with_carol(self.how);
                stage.switch.reconfigure(stage.now, config).expect("it is the same");
            }
            _ => {
                stage.switch.set_wall_clock(tandem_call::WallClock { at: stage.now, unix_ns: how as u64 });
            }
        }
        stage.settle();
    }

    /// Everybody falls silent, the worker and the disk do what they owe, and nothing is left.
    fn fall_silent(&mut self) {
        let stage = &mut self.stage;
        stage.worker_answers();
        stage.disk_works = true;
        stage.pass_ms(4_500_000);
        stage.write_records();
        stage.stray.clear();
        stage.assert_clean();
    }

    fn end(mut self) {
        self.fall_silent();
        let stage = &self.stage;
        // Each node has numbers of its own; the Call-ID of the callee's side is nobody else's.
        let is_admitted = |record: &&CallRecord| !record.callee.call_id.is_empty();
        let admitted = stage.records.iter().filter(is_admitted);
        let mut numbers: Vec<_> = admitted.map(|record| record.callee.call_id.clone()).collect();
        let admitted = numbers.len();
        numbers.dedup();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), admitted, "no call has two records");
        let attempts = stage.attempts_before + stage.switch.counters().attempts;
        assert_eq!(attempts, stage.records.len() as u64, "every call has a record");
        for record in &stage.records {
            assert!(record.status >= 200, "{record:?}");
            assert_eq!(record.answered.is_some(), record.status == 200, "{record:?}");
        }
    }
}

/// Whether a message has what an endpoint needs to go on with it.
fn is_whole(message: &Sip) -> bool {
    let needed = ["Via", "From", "To", "Call-ID"];
    let numbered = message.find("CSeq").and_then(|cseq| cseq.split(' ').next()?.parse::<u32>().ok()).is_some();
    let makes_dialog = message.find("CSeq").is_some_and(|cseq| cseq.ends_with("INVITE"))
        && message.status().is_none_or(|status| (200..300).contains(&status));
    numbered
        && needed.iter().all(|name| message.find(name).is_some())
        && (!makes_dialog || message.find("Contact").is_some())
}
