//! Softphones of two makes, one of them behind a router that translates addresses: they register, call, are called and transfer.
#![allow(missing_docs, unreachable_pub)]

mod support;

use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::linphone::{Account, Linphone};
use support::softphone::{
    Baresip, all_heard, alone, assert_heard_in, await_registered, backwards, clip, exchange, subscriber,
};
use support::{Gateway, Network, Scratch, may_make_networks};

/// Seconds for which the router remembers whom it has translated.
const NAT_TIMEOUT_S: u32 = 3;
/// Long enough for four seconds of speech to be heard, whatever comes first.
const TALK: Duration = Duration::from_secs(6);
const CTRL_PORT: u16 = 4444;
/// Where Bob is, behind the router.
const BOBS: &str = "192.168.7.2";

/// Alice and Carol are in the caller's namespace, Bob is behind the router.
struct House {
    scratch: Scratch,
    network: Network,
    gateway: Gateway,
    /// What Alice, Bob and Carol say.
    clips: [PathBuf; 3],
}

impl House {
    fn new() -> Self {
        let scratch = Scratch::new();
        let network = Network::up(&scratch.unique());
        network.callee_behind_nat(NAT_TIMEOUT_S);
        let gateway = exchange(&scratch, &network, &["alice", "bob", "carol"]);
        let [alices, bobs] = ["caller", "callee"].map(|speech| clip(&scratch, speech, 8_000));
        let carols = backwards(&scratch, &bobs);
        let clips = [alices, bobs, carols];
        Self { scratch, network, gateway, clips }
    }

    fn alice(&self) -> (Baresip, PathBuf) {
        let home = subscriber(&self.scratch, "alice", "10.77.0.2", "auto", CTRL_PORT, &self.clips[0]);
        (Baresip::start(&self.scratch, &self.network.caller(), &home, CTRL_PORT), home)
    }

    fn linphone(&self, user: &str, namespace: &str, sip_port: u16) -> Linphone {
        let account = Account { user, namespace, sip_port, rtp_port: sip_port + 2_000 };
        let clip = ["alice", "bob", "carol"].iter().position(|name| *name == user).expect("one of the three");
        Linphone::start(&self.scratch, &account, &self.clips[clip])
    }

    fn bob(&self) -> Linphone {
        self.linphone("bob", &self.network.callee(), 5_060)
    }

    fn carol(&self) -> Linphone {
        self.linphone("carol", &self.network.caller(), 5_080)
    }

    /// Waits until so many calls are up, and no other is under way.
    fn await_answered(&self, count: usize, log: &dyn Fn() -> String) -> Value {
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            let calls = self.gateway.ctl_json(&["calls"]);
            let all = calls.as_array().expect("a list");
            if all.len() == count && all.iter().all(|call| call["state"] == "answered") {
                return calls;
            }
            assert!(Instant::now() < until, "not {count} are up: {calls}\n{}\n{}", log(), self.gateway.process.log());
            sleep(Duration::from_millis(50));
        }
    }

    fn finish(self, calls: usize) -> (Scratch, [PathBuf; 3]) {
        for record in self.gateway.finish(calls) {
            assert_eq!(record["status"], 200, "{record}");
        }
        (self.scratch, self.clips)
    }
}

#[test]
fn linphone_behind_address_translation_registers_is_called_and_calls() {
    if !may_make_networks("linphone_behind_address_translation_registers_is_called_and_calls") {
        return;
    }
    let _alone = alone();
    let house = House::new();
    let (alice, alices) = house.alice();
    let mut bob = house.bob();
    await_registered(&house.gateway, 2);
    // Without the gateway's OPTIONS the way to Bob would be forgotten twice over.
    sleep(Duration::from_secs(u64::from(NAT_TIMEOUT_S) * 2 + 1));
    let called = bob.record("called.wav");
    alice.say("dial", "sip:bob@10.77.0.1");
    house.await_answered(1, &|| bob.log());
    sleep(TALK);
    bob.say("terminate");
    house.gateway.records(1);

    let calls = bob.record("calls.wav");
    bob.say("call sip:alice@10.77.0.1");
    house.await_answered(1, &|| bob.log());
    sleep(TALK);
    bob.say("terminate");
    house.gateway.records(2);
    bob.end();
    drop(alice);
    let (_scratch, [said_by_alice, said_by_bob, _]) = house.finish(2);
    assert_heard_in("linphone that was called", &[called], &said_by_alice);
    assert_heard_in("linphone that called", &[calls], &said_by_alice);
    let heard = all_heard(&alices);
    assert_eq!(heard.len(), 2, "two calls were heard");
    heard.into_iter().for_each(|heard| assert_heard_in("baresip", &[heard], &said_by_bob));
}

#[test]
fn baresip_behind_address_translation_transfers_its_caller_to_another_telephone() {
    if !may_make_networks("baresip_behind_address_translation_transfers_its_caller_to_another_telephone") {
        return;
    }
    let _alone = alone();
    let house = House::new();
    let (alice, alices) = house.alice();
    let home = subscriber(&house.scratch, "bob", BOBS, "auto", CTRL_PORT, &house.clips[1]);
    let bob = Baresip::start(&house.scratch, &house.network.callee(), &home, CTRL_PORT);
    let mut carol = house.carol();
    let heard_by_carol = carol.record("heard.wav");
    await_registered(&house.gateway, 3);
    alice.say("dial", "sip:bob@10.77.0.1");
    house.await_answered(1, &|| bob.process.log());
    bob.say("transfer", "sip:carol@10.77.0.1");
    carol.await_words("Media streams established", 1);
    let calls = house.await_answered(1, &|| carol.log());
    sleep(TALK);
    assert!(house.gateway.ctl(&["hangup", &calls[0]["number"].to_string()]).status.success());
    house.gateway.records(1);
    carol.end();
    drop((alice, bob));
    let (_scratch, [said_by_alice, _, said_by_carol]) = house.finish(1);
    assert_heard_in("telephone that was called in place of the other", &[heard_by_carol], &said_by_alice);
    assert_heard_in("caller", &all_heard(&alices), &said_by_carol);
}

#[test]
fn linphone_behind_address_translation_transfers_its_caller_to_whom_it_has_asked_before() {
    if !may_make_networks("linphone_behind_address_translation_transfers_its_caller_to_whom_it_has_asked_before") {
        return;
    }
    let _alone = alone();
    let house = House::new();
    // baresip records nothing more once it was on hold.
    let mut alice = house.linphone("alice", &house.network.caller(), 5_070);
    let mut bob = house.bob();
    let mut carol = house.carol();
    await_registered(&house.gateway, 3);
    let heard_by_alice = alice.record("heard.wav");
    alice.say("call sip:bob@10.77.0.1");
    bob.await_words("Media streams established", 1);
    bob.say("pause");
    bob.await_words("paused", 1);
    bob.say("call sip:carol@10.77.0.1");
    bob.await_words("Media streams established", 2);
    carol.await_words("Media streams established", 1);
    house.await_answered(2, &|| bob.log());
    let heard_by_carol = carol.record("heard.wav");
    bob.say("transfer 1 --to-call 2");
    carol.await_words("Media streams established", 2);
    let calls = house.await_answered(1, &|| format!("{}\n{}", bob.log(), carol.log()));
    sleep(TALK);
    assert!(house.gateway.ctl(&["hangup", &calls[0]["number"].to_string()]).status.success());
    house.gateway.records(2);
    bob.end();
    carol.end();
    alice.end();
    let (_scratch, [said_by_alice, _, said_by_carol]) = house.finish(2);
    assert_heard_in("telephone that was asked before", &[heard_by_carol], &said_by_alice);
    assert_heard_in("caller", &[heard_by_alice], &said_by_carol);
}
