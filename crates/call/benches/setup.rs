//! Calls per second through the switch alone: INVITE, 180, 200, ACK and BYE on both sides, every retransmission timer
//! running, with as many transactions lingering as that load leaves behind.
#![allow(missing_docs)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use support::{ALICE, BOB, Phone, Sip, config, sdp};
use tandem_call::{ListenerId, Output, PortRange, Switch};
use tandem_contract::{Command, Event, Nanos};

/// Calls per second of virtual time.
const RATE: u64 = 1_000;

struct Load {
    switch: Switch,
    now: Nanos,
    calls: u32,
    /// Time spent in the switch.
    spent: Duration,
    alice: Phone,
    bob: Phone,
    offer: String,
    answer: String,
}

impl Load {
    fn new() -> Self {
        let mut config = config();
        config.limits.max_transactions = 1_000_000;
        // Room for a second of calls whose ports rest.
        config.media.ports = PortRange { first: 10_000, last: 60_000 };
        Self {
            switch: Switch::new(config, [1; 32]).expect("a valid configuration"),
            now: Nanos::from_millis(1),
            calls: 0,
            spent: Duration::ZERO,
            alice: Phone::new("alice", ALICE, support::GATEWAY),
            bob: Phone::new("bob", BOB, support::GATEWAY),
            offer: sdp(ALICE, 4000, "0 8 101", "a=rtpmap:101 telephone-event/8000\r\na=ptime:20\r\n"),
            answer: sdp(BOB, 6000, "8 101", "a=rtpmap:101 telephone-event/8000\r\na=ptime:20\r\n"),
        }
    }

    fn timed(&mut self, act: impl FnOnce(&mut Switch, Nanos)) -> Vec<Output> {
        let begin = Instant::now();
        act(&mut self.switch, self.now);
        let mut outputs = Vec::new();
        while let Some(output) = self.switch.poll_output() {
            outputs.push(output);
        }
        self.spent += begin.elapsed();
        outputs
    }

    /// Hands a datagram in and deals with what comes of it; what goes to the endpoints is returned.
    fn say(&mut self, from: std::net::SocketAddr, text: &str) -> Vec<Sip> {
        let outputs = self.timed(|switch, now| switch.on_datagram(now, ListenerId(0), from, text.as_bytes()));
        self.perform(outputs)
    }

    fn perform(&mut self, outputs: Vec<Output>) -> Vec<Sip> {
        let mut heard = Vec::new();
        for output in outputs {
            match output {
                Output::Datagram { bytes, .. } => heard.push(Sip::parse(&bytes)),
                Output::Connect { .. }
                | Output::Stream { .. }
                | Output::Disconnect { .. }
                | Output::Trunk(_)
                | Output::Registration { .. }
                | Output::Resolve(_)
                | Output::Registrations { .. } => {
                    unreachable!("both endpoints speak UDP")
                }
                Output::Command { worker, command } => {
                    let event = match command {
                        Command::InstallFlow { flow, epoch, .. } => Event::Installed { flow, epoch },
                        Command::UpdateFlow { flow, epoch, .. } => Event::Updated { flow, epoch },
                        Command::PrepareFlow { .. }
                        | Command::ResumeFlow { .. }
                        | Command::AbandonFlow { .. }
                        | Command::ReadPosition { .. } => {
                            unreachable!("no other node is told of these calls")
                        }
                        Command::RemoveFlow { flow } | Command::ReadFlow { flow } => {
                            Event::Removed { flow, counters: Default::default() }
                        }
                        Command::Function { flow, request, .. } => {
                            Event::FunctionDone { flow, request, outcome: Ok(()) }
                        }
                        Command::AddAddress { request, .. } => Event::AddressAdded { request },
                        Command::AnnounceAddress { request, .. } => Event::AddressAnnounced { request },
                        Command::RemoveAddress { request, .. } => Event::AddressRemoved { request },
                    };
                    let more = self.timed(|switch, now| switch.on_media_event(now, worker, event));
                    heard.extend(self.perform(more));
                }
                Output::Record(record) => {
                    let more = self.timed(|switch, now| switch.on_record_written(now, record.number));
                    heard.extend(self.perform(more));
                }
            }
        }
        heard
    }

    fn call(&mut self) {
        self.now = self.now.plus(1_000_000_000 / RATE);
        self.timed(|switch, now| switch.on_timeout(now));
        self.calls += 1;
        self.alice.next_call(self.calls);
        let invite = self.alice.invite("200", &self.offer);
        let invite = self.say(ALICE, &invite).remove(0);
        let ringing = self.bob.answer(&invite, 180, "Ringing", "");
        self.say(BOB, &ringing);
        let ok = self.bob.answer(&invite, 200, "OK", &self.answer);
        let heard = self.say(BOB, &ok);
        let ok = heard.iter().find(|message| message.status() == Some(200)).expect("answered");
        let ack = self.alice.ack(ok, "");
        self.say(ALICE, &ack);
        let bye = self.alice.request("BYE", "");
        let heard = self.say(ALICE, &bye);
        let bye = heard.iter().find(|message| message.method() == "BYE").expect("hung up");
        let ok = self.bob.answer(bye, 200, "OK", "");
        self.say(BOB, &ok);
        assert_eq!(self.switch.calls_in_progress(), 0);
    }
}

fn setup(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("switch");
    group.throughput(Throughput::Elements(1));
    let mut load = Load::new();
    // As many transactions linger as 35 s of this load leave behind.
    for _ in 0..35 * RATE {
        load.call();
    }
    group.bench_function("call", |bencher| {
        bencher.iter_custom(|count| {
            load.spent = Duration::ZERO;
            for _ in 0..count {
                load.call();
            }
            load.spent
        });
    });
    group.finish();
}

criterion_group!(benches, setup);
criterion_main!(benches);
