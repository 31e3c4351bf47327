//! Telephones that register: SIPp for every way a REGISTER can go, and two softphones that call each other.
#![allow(missing_docs, unreachable_pub)]

mod support;

use std::fs;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use support::configuration::Configuration;
use support::softphone::{TALK_S, add, alone, assert_heard, await_registered, clip, exchange, subscriber};
use support::{Gateway, Network, Process, Scratch, free_udp_port, inside, may_make_networks, repository};

const SIP: &str = "127.0.0.1";
/// Where softphones take commands; each is alone in its namespace.
const CTRL_PORT: u16 = 4444;

struct House {
    scratch: Scratch,
    gateway: Gateway,
    sip_port: u16,
}

impl House {
    fn new() -> Self {
        let house = Self::serving(Scratch::new(), "");
        for user in ["alice", "bob"] {
            add(&house.gateway, user);
        }
        house
    }

    /// Without subscribers; `more` is what else its `http` says.
    fn serving(scratch: Scratch, more: &str) -> Self {
        let sip_port = free_udp_port(SIP);
        let home = scratch.path().display();
        let sections = format!(
            r#"
sip:
  listen: [{{ name: main, address: "{SIP}:{sip_port}" }}]
limits: {{ max_calls: 10 }}
registrar: {{ realm: example.com, peer: phones, algorithms: [MD5] }}
store: {{ url: "sqlite://{home}/tandem.db" }}
peers:
  - {{ name: phones, codecs: [PCMU, PCMA] }}
routes:
  - {{ from: phones, peer: phones }}"#
        );
        let configuration = Configuration::idle(&scratch).of_records(", store: true").of_http(more).with(&sections);
        let gateway = configuration.start();
        Self { scratch, gateway, sip_port }
    }

    /// Runs a scenario as `user` with `password`, from an address of its own.
    fn phone(&self, scenario: &str, user: &str, password: &str) {
        let accounts = self.scratch.path().join("accounts.csv");
        fs::write(&accounts, format!("SEQUENTIAL\n{user};[authentication username={user} password={password}]\n"))
            .expect("a file");
        let mut command = Command::new("sipp");
        command.arg("-sf").arg(repository().join(format!("crates/gateway/tests/sipp/{scenario}.xml")));
        command.arg("-inf").arg(accounts).args([
            "-i",
            SIP,
            "-p",
            &free_udp_port(SIP).to_string(),
            "-m",
            "1",
            "-nostdin",
        ]);
        command.args([
            "-timeout",
            "30s",
            "-timeout_error",
            "-auth_uri",
            "example.com",
            &format!("{SIP}:{}", self.sip_port),
        ]);
        command.current_dir(self.scratch.path());
        Process::spawn(scenario, &mut command, self.scratch.path().join(format!("{scenario}.log"))).expect_success(35);
    }

    fn registered(&self) -> Vec<Value> {
        self.gateway.ctl_json(&["registration", "list"]).as_array().expect("a list").clone()
    }
}

#[test]
fn a_telephone_registers_and_is_still_registered_after_a_restart() {
    let house = House::new();
    assert_eq!(house.gateway.ctl_json(&["subscriber", "list"]), json!(["alice", "bob"]));
    house.phone("phone_registers", "alice", "secret");
    let before = house.registered();
    assert_eq!((before.len(), before[0]["subscriber"].as_str()), (1, Some("alice")));
    let House { scratch, gateway, .. } = house;
    let mut process = gateway;
    process.process.signal("KILL");
    process.process.wait(10);
    let gateway = process.start_again(&scratch);
    let after = gateway.ctl_json(&["registration", "list"]);
    assert_eq!(after[0]["contact"], before[0]["contact"], "what was answered with 200 survives even a kill");
    assert!(gateway.ctl(&["registration", "remove", "alice"]).status.success());
    assert_eq!(gateway.ctl_json(&["registration", "list"]), json!([]));
    assert!(gateway.ctl(&["subscriber", "remove", "bob"]).status.success());
    assert!(!gateway.ctl(&["subscriber", "remove", "bob"]).status.success());
    assert_eq!(gateway.ctl_json(&["subscriber", "list"]), json!(["alice"]));
    gateway.stop();
}

#[test]
fn wrong_passwords_strangers_old_nonces_and_short_times_are_answered_as_they_should() {
    let house = House::new();
    house.phone("phone_has_wrong_password", "alice", "wrong");
    house.phone("phone_has_wrong_password", "nobody", "secret");
    assert!(house.registered().is_empty());
    house.phone("phone_has_stale_nonce", "alice", "secret");
    house.phone("phone_asks_too_brief", "bob", "secret");
    assert_eq!(house.registered().len(), 2);
    house.phone("phone_leaves_all", "alice", "secret");
    let left = house.registered();
    assert_eq!((left.len(), left[0]["subscriber"].as_str()), (1, Some("bob")));
    house.gateway.stop();
}

#[test]
fn ctl_reaches_every_resource_over_https_with_a_token_and_nothing_without() {
    let scratch = Scratch::new();
    let keys = r#"
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=authority -keyout ca.key -out api-ca.pem
        openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=gateway -keyout api.key -out api.csr
        printf 'subjectAltName=IP:127.0.0.1' >api.ext
        openssl x509 -req -days 2 -in api.csr -CA api-ca.pem -CAkey ca.key -CAcreateserial -extfile api.ext -out api.pem
        openssl rand -base64 32 >api.token"#;
    let made = Command::new("sh").args(["-ec", keys]).current_dir(scratch.path()).output().expect("sh runs");
    assert!(made.status.success(), "openssl: {}", String::from_utf8_lossy(&made.stderr));
    let home = scratch.path().display().to_string();
    let more = format!(
        ", tls: {{ certificate: {home}/api.pem, key: {home}/api.key }}, tokens: [{{ name: all, file: {home}/api.token, scope: full }}]"
    );
    let house = House::serving(scratch, &more);
    let ctl = |arguments: &[&str]| house.gateway.ctl_json(arguments);
    for list in [&["calls"][..], &["flows"], &["registration", "list"], &["subscriber", "list"], &["bans", "list"]] {
        assert_eq!(ctl(list), json!([]), "{list:?}");
    }
    assert_eq!(
        (&ctl(&["route", "list"])[0]["peer"], &ctl(&["trunks"])[0]["peer"]),
        (&json!("phones"), &json!("phones"))
    );
    assert_eq!(ctl(&["limits", "--max-calls", "7"])["max_calls"], 7);
    assert_eq!(ctl(&["limits"])["max_calls"], 7);
    assert_eq!(ctl(&["reload"])["kept"], json!([]));
    assert_eq!(ctl(&["limits"])["max_calls"], 10, "the file counts again");
    for (arguments, words) in [(&["hangup", "9"][..], "no call 9"), (&["subscriber", "remove", "carol"], "carol")] {
        let refused = house.gateway.ctl(arguments);
        let told = String::from_utf8_lossy(&refused.stderr);
        assert!(refused.status.code() == Some(6) && told.contains(words), "{arguments:?}: {told}");
    }
    let ca = house.scratch.path().join("api-ca.pem");
    let without = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tandem"));
        command
            .args(["ctl", "--server", house.gateway.http(), "--ca"])
            .arg(&ca)
            .args(arguments)
            .output()
            .expect("tandem ctl runs")
    };
    let refused = without(&["calls"]);
    assert_eq!(refused.status.code(), Some(6));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--token-file"));
    assert!(without(&["ready"]).status.success(), "monitoring is open");
    house.gateway.stop();
}

#[test]
fn two_registered_softphones_call_each_other() {
    if !may_make_networks("two_registered_softphones_call_each_other") {
        return;
    }
    let _alone = alone();
    let scratch = Scratch::new();
    let network = Network::up(&scratch.unique());
    alice_calls_bob(&scratch, &network, "10.77.0.3", Duration::ZERO);
}

/// Seconds for which the router remembers whom it has translated.
const NAT_TIMEOUT_S: u32 = 3;

#[test]
fn a_softphone_behind_address_translation_is_kept_reachable_and_both_hear_each_other() {
    if !may_make_networks("a_softphone_behind_address_translation_is_kept_reachable_and_both_hear_each_other") {
        return;
    }
    let _alone = alone();
    let scratch = Scratch::new();
    let network = Network::up(&scratch.unique());
    network.callee_behind_nat(NAT_TIMEOUT_S);
    // Without the gateway's OPTIONS the way to Bob would be forgotten twice over.
    alice_calls_bob(&scratch, &network, "192.168.7.2", Duration::from_secs(u64::from(NAT_TIMEOUT_S) * 2 + 1));
}

/// Bob's softphone, at `bobs_address`, registers and is called after some time; both hear what the other says.
fn alice_calls_bob(scratch: &Scratch, network: &Network, bobs_address: &str, after: Duration) {
    let gateway = exchange(scratch, network, &["alice", "bob"]);
    let (said_by_caller, said_by_callee) = (clip(scratch, "caller", 8_000), clip(scratch, "callee", 8_000));
    let mut homes = Vec::new();
    for (user, address, said, mode) in
        [("alice", "10.77.0.2", &said_by_caller, "manual"), ("bob", bobs_address, &said_by_callee, "auto")]
    {
        homes.push(subscriber(scratch, user, address, mode, CTRL_PORT, said));
    }
    let start = |namespace: String, home: &std::path::Path, more: &[&str], log: &str| {
        let mut command = inside(Some(&namespace), "baresip");
        command.arg("-f").arg(home).args(more);
        Process::spawn(log, &mut command, scratch.path().join(log))
    };
    let bob = start(network.callee(), &homes[1], &[], "bob.log");
    await_registered(&gateway, 1);
    std::thread::sleep(after);
    let time = TALK_S.to_string();
    let mut alice = start(network.caller(), &homes[0], &["-t", &time, "-e", "d sip:bob@10.77.0.1"], "alice.log");
    alice.wait(TALK_S + 20);
    let record = gateway.records(1).remove(0);
    assert_eq!(record["status"], 200, "{record}\n{}\n{}", alice.log(), bob.log());
    assert_eq!((&record["caller"]["peer"], &record["callee"]["peer"]), (&"phones".into(), &"phones".into()));
    gateway.assert_idle();
    gateway.stop();
    assert_heard("caller", &homes[0], &said_by_callee);
    assert_heard("callee", &homes[1], &said_by_caller);
}
