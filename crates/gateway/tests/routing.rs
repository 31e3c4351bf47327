//! Where calls go, with SIPp as carriers: the next of a group, all at once, who is out of service, rules that change.
#![allow(missing_docs, unreachable_pub)]

mod support;

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::configuration::Configuration;
use support::endpoint::Endpoint;
use support::{Gateway, Process, Scratch};

const GATEWAY: &str = "127.0.0.1";

struct Bench {
    scratch: Scratch,
    gateway: Gateway,
    sip: Endpoint,
    caller: Endpoint,
    /// Two carriers.
    carriers: [Endpoint; 2],
}

impl Bench {
    /// Calls to 8... go to a group of two carriers, those to 9... to the second. `group` and `health` are further lines of
    /// their sections.
    fn new(group: &str, health: &str) -> Self {
        Self::changed(group, health, |configuration| configuration)
    }

    /// The same with a configuration that is changed before it is read.
    fn changed(group: &str, health: &str, change: impl FnOnce(String) -> String) -> Self {
        let scratch = Scratch::new();
        let (sip, caller) = (Endpoint::new(GATEWAY), Endpoint::new("127.0.0.2"));
        let carriers = [Endpoint::new("127.0.0.3"), Endpoint::new("127.0.0.4")];
        let [first, second] = carriers;
        let configuration = format!(
            r#"
sip: {{ listen: [{{ name: main, address: "{GATEWAY}:{sip_port}" }}], no_answer_timeout_s: 20 }}
peers:
  - {{ name: caller, address: "{caller_address}:{caller_port}", codecs: [PCMU, G722] }}
  - {{ name: first, address: "{first_address}:{first_port}", codecs: [PCMA], health: {{ {health} }} }}
  - {{ name: second, address: "{second_address}:{second_port}", codecs: [PCMA] }}
groups:
  - {{ name: carriers, members: [{{ peer: first }}, {{ peer: second }}], {group} }}
routes:
  - {{ name: eights, from: caller, prefix: "8", peer: carriers }}
  - {{ name: nines, number: "9[0-9]+", peer: second }}
"#,
            sip_port = sip.port,
            caller_address = caller.address,
            caller_port = caller.port,
            first_address = first.address,
            first_port = first.port,
            second_address = second.address,
            second_port = second.port,
        );
        let gateway = Configuration::idle(&scratch).with(&change(configuration)).start();
        Self { scratch, gateway, sip, caller, carriers }
    }

    fn carrier(&self, which: usize, scenario: &str) -> Process {
        self.carriers[which].answers(&self.scratch, scenario)
    }

    fn call(&self, scenario: &str, number: &str) -> Process {
        self.caller.calls(&self.scratch, scenario, number, self.sip)
    }

    fn explain(&self, number: &str) -> Value {
        self.gateway.ctl_json(&["route", "explain", number, "--from", "caller"])
    }

    fn trunk(&self, name: &str) -> Value {
        let trunks = self.gateway.ctl_json(&["trunks"]);
        let found = trunks.as_array().and_then(|all| all.iter().find(|trunk| trunk["peer"] == name).cloned());
        found.unwrap_or_else(|| panic!("no {name} in {trunks}"))
    }

    fn finish(self, records: usize) -> Vec<Value> {
        self.gateway.finish(records)
    }
}

#[test]
fn a_call_goes_on_to_the_second_carrier_when_the_first_answers_503() {
    let bench = Bench::new("order: listed", "");
    let mut refuses = bench.carrier(0, "callee_refuses_503");
    let mut takes = bench.carrier(1, "callee_answers");
    bench.call("caller_hangs_up", "8100").expect_success(30);
    refuses.expect_success(10);
    takes.expect_success(10);
    assert_eq!(bench.trunk("first")["failures"], 1);
    assert_eq!(bench.trunk("second")["answered"], 1);
    let record = bench.finish(1).remove(0);
    assert_eq!((record["status"].as_u64(), &record["callee"]["peer"]), (Some(200), &"second".into()), "{record}");
    assert_eq!((&record["tried"][0]["peer"], &record["tried"][0]["status"]), (&"first".into(), &503.into()));
    assert_eq!(record["route"], "eights");
}

#[test]
fn a_carrier_that_is_gone_is_left_out_until_it_answers_options_again() {
    let bench = Bench::new("order: listed", "failures: 2, options_interval_s: 1");
    let until = Instant::now() + Duration::from_secs(20);
    while bench.trunk("first")["in_service"] == true {
        assert!(Instant::now() < until, "nobody listens at its port");
        std::thread::sleep(Duration::from_millis(50));
    }
    let mut takes = bench.carrier(1, "callee_answers");
    bench.call("caller_hangs_up", "8100").expect_success(30);
    takes.expect_success(10);
    assert_eq!(bench.trunk("first")["attempts"], 0, "it was not even tried");
    let told = bench.explain("8100");
    assert_eq!((&told["route"], &told["targets"][0]["peer"]), (&"eights".into(), &"second".into()), "{told}");
    assert_eq!(told["targets"].as_array().map(Vec::len), Some(1));

    let mut again = bench.carrier(0, "peer_answers_options");
    let until = Instant::now() + Duration::from_secs(20);
    while bench.trunk("first")["in_service"] == false {
        assert!(Instant::now() < until, "{}", again.log());
        std::thread::sleep(Duration::from_millis(20));
    }
    again.expect_success(10);
    assert_eq!(bench.finish(1)[0]["tried"], Value::Array(Vec::new()));
}

#[test]
fn both_carriers_ring_and_the_one_that_answers_has_the_call() {
    let bench = Bench::new("mode: parallel", "");
    let mut rings = bench.carrier(0, "callee_rings_until_cancelled");
    let mut takes = bench.carrier(1, "callee_answers");
    bench.call("caller_hangs_up", "8100").expect_success(30);
    rings.expect_success(10);
    takes.expect_success(10);
    assert_eq!(bench.finish(1)[0]["callee"]["peer"], "second");
}

#[test]
fn a_caller_is_replaced_by_whom_it_names() {
    let bench = Bench::new("order: listed", "");
    let mut callee = bench.carrier(0, "callee_answers");
    let mut takes_its_place = bench.carrier(1, "callee_answers");
    bench.call("caller_transfers", "8100").expect_success(30);
    let calls = bench.gateway.ctl_json(&["calls"]);
    assert_eq!(
        (&calls[0]["source_peer"], &calls[0]["destination_peer"]),
        (&"second".into(), &"first".into()),
        "{calls}"
    );
    let number = calls[0]["number"].to_string();
    assert!(bench.gateway.ctl(&["hangup", &number]).status.success());
    callee.expect_success(10);
    takes_its_place.expect_success(10);
    assert_eq!(bench.finish(1)[0]["status"], 200);
}

/// A SIPp that keeps what it sends and receives.
fn traced(mut command: Command, name: &str, scratch: &Scratch) -> (Process, PathBuf) {
    let file = scratch.path().join(format!("{name}.messages"));
    command.arg("-trace_msg").arg("-message_file").arg(&file);
    (Process::spawn(name, &mut command, scratch.path().join(format!("{name}.log"))), file)
}

/// What follows `name` in the first message of `messages` that begins with `start`.
fn value_of(messages: &str, start: &str, name: &str) -> String {
    let message = messages.split(start).nth(1).unwrap_or_else(|| panic!("no {start} in {messages}"));
    let value = message.split(name).nth(1).unwrap_or_else(|| panic!("no {name} in {message}"));
    value.split([';', '\r', '\n']).next().unwrap_or_default().trim().to_owned()
}

#[test]
fn a_caller_is_replaced_by_whom_it_has_consulted() {
    let bench = Bench::new("order: listed", "");
    let mut callee = bench.carrier(0, "callee_answers");
    let mut command = bench.carriers[1].command(&bench.scratch, "callee_answers");
    command.args(["-m", "2"]);
    let (mut consulted, heard) = traced(command, "consulted", &bench.scratch);
    let mut command = Endpoint::new("127.0.0.2").command(&bench.scratch, "caller_waits_for_bye");
    command.args(["-s", "9100", &format!("{}:{}", bench.sip.address, bench.sip.port)]);
    let (mut consults, said) = traced(command, "consults", &bench.scratch);
    while bench.gateway.ctl_json(&["calls"])[0]["state"] != "answered" {
        assert!(consults.is_running() && consulted.is_running(), "{}{}", consults.log(), consulted.log());
    }
    let messages = std::fs::read_to_string(said).expect("its messages");
    let answer = messages.split("SIP/2.0 200 OK").nth(1).expect("an answer");
    let tag_in = |header: &str| {
        let line = answer.lines().find(|line| line.starts_with(header)).expect("the header");
        line.split("tag=").nth(1).expect("a tag").trim().to_owned()
    };
    let replaces = format!(
        "{}%3Bto-tag%3D{}%3Bfrom-tag%3D{}",
        value_of(&messages, "SIP/2.0 200 OK", "\nCall-ID:").replace('@', "%40"),
        tag_in("To:"),
        tag_in("From:")
    );
    let blind = support::repository().join("crates/gateway/tests/sipp/caller_transfers.xml");
    let blind = std::fs::read_to_string(blind).expect("the scenario");
    let named = "Refer-To: <sip:9100@[remote_ip]:[remote_port]";
    let attended = blind.replace(named, &format!("{named}?Replaces={replaces}"));
    assert_ne!(attended, blind);
    let file = bench.scratch.path().join("attended.xml");
    std::fs::write(&file, attended).expect("the scenario is written");
    let mut command = bench.caller.command_of(&bench.scratch, &file);
    command.args(["-s", "8100", &format!("{}:{}", bench.sip.address, bench.sip.port)]);
    Process::spawn("transfers", &mut command, bench.scratch.path().join("transfers.log")).expect_success(30);

    let calls = bench.gateway.ctl_json(&["calls"]);
    let joined = calls.as_array().and_then(|calls| calls.iter().find(|call| call["source_peer"] == "second"));
    assert_eq!(joined.map(|call| &call["destination_peer"]), Some(&"first".into()), "{calls}");
    let heard = std::fs::read_to_string(heard).expect("its messages");
    let own = value_of(&heard, "INVITE sip:", "\nCall-ID:");
    assert_eq!(value_of(&heard, "INVITE sip:peer@", "\nReplaces:"), own, "the dialog that it has itself");
    for call in calls.as_array().into_iter().flatten() {
        assert!(bench.gateway.ctl(&["hangup", &call["number"].to_string()]).status.success());
    }
    callee.expect_success(10);
    consults.expect_success(10);
    consulted.expect_success(10);
    assert_eq!(bench.finish(2).len(), 2);
}

#[test]
fn the_ready_made_configurations_are_right() {
    for name in ["carrier", "chime-voice-connector", "kamailio"] {
        let file = support::repository().join(format!("configs/{name}.yaml"));
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_tandem"));
        let checked = command.args(["check", "--config"]).arg(&file).output().expect("tandem check runs");
        let told = String::from_utf8_lossy(&checked.stdout);
        assert!(told.contains(": right: "), "{told}{}", String::from_utf8_lossy(&checked.stderr));
    }
}

#[test]
fn rules_change_over_the_interface_while_a_call_goes_on() {
    let bench = Bench::new("order: listed", "");
    let mut callee = bench.carrier(1, "callee_answers");
    let mut caller = bench.call("caller_waits_for_bye", "9100");
    let answered = |bench: &Bench| bench.gateway.ctl_json(&["calls"])[0]["state"] == "answered";
    while !answered(&bench) {
        assert!(caller.is_running(), "{}", caller.log());
    }
    let told = bench.explain("555");
    assert_eq!((&told["route"], &told["outcome"]), (&Value::Null, &"404: no route takes it".into()));
    assert_eq!(told["rules"][1]["because"], "the number does not match 9[0-9]+");

    let path = bench.scratch.path().join("tandem.yaml");
    let file = std::fs::read_to_string(&path).expect("the configuration");
    std::fs::write(&path, file.replace("9[0-9]+", "5[0-9]+")).expect("the configuration is written");
    let reloaded = bench.gateway.ctl_json(&["reload"]);
    assert_eq!(reloaded["applied"][0], "routes[1].number");
    assert_eq!(bench.explain("555")["route"], "nines");
    std::fs::write(&path, file.replace("9[0-9]+", "5[0-9")).expect("the configuration is written");
    let refused = bench.gateway.ctl(&["reload"]);
    assert!(!refused.status.success());
    let why = String::from_utf8_lossy(&refused.stderr);
    assert!(why.contains("routes[1].number") && why.contains("unclosed character class"), "{why}");

    assert!(answered(&bench), "the call goes on");
    let number = bench.gateway.ctl_json(&["calls"])[0]["number"].to_string();
    assert!(bench.gateway.ctl(&["hangup", &number]).status.success());
    caller.expect_success(10);
    callee.expect_success(10);
    assert_eq!(bench.finish(1)[0]["status"], 200);
}

#[test]
fn a_call_stays_in_the_gateways_zone_until_nobody_there_has_room() {
    let bench = Bench::changed("order: listed", "", |configuration| {
        let configuration = configuration.replace("\ngroups:", "\nnode: { zone: zone-a }\ngroups:");
        let configuration = configuration.replace("{ name: first,", "{ name: first, zone: zone-b,");
        configuration.replace("{ name: second,", "{ name: second, zone: zone-a, max_calls: 1,")
    });
    let told = bench.explain("8100");
    let zones: Vec<_> =
        (0..2).map(|place| &told["targets"][place]).map(|one| (&one["peer"], &one["zone"], &one["is_far"])).collect();
    let wanted = [("second", "zone-a", false), ("first", "zone-b", true)]
        .map(|(peer, zone, is_far)| (peer.into(), zone.into(), is_far.into()));
    assert_eq!(
        zones,
        wanted.each_ref().map(|(peer, zone, is_far): &(Value, Value, Value)| (peer, zone, is_far)),
        "{told}"
    );
    assert_eq!(told["outcome"], "to group carriers: as listed, other zones last, the next where one fails");

    let mut near = bench.carrier(1, "callee_answers");
    let mut stays = bench.call("caller_waits_for_bye", "8100");
    let answered = |bench: &Bench| bench.gateway.ctl_json(&["calls"])[0]["state"] == "answered";
    while !answered(&bench) {
        assert!(stays.is_running(), "{}", stays.log());
    }
    // It has all the calls that it may have.
    let mut far = bench.carrier(0, "callee_answers");
    let other = Endpoint::new("127.0.0.2");
    other.calls(&bench.scratch, "caller_hangs_up", "8101", bench.sip).expect_success(30);
    far.expect_success(10);
    assert_eq!((&bench.trunk("first")["answered"], &bench.trunk("second")["over_limit"]), (&1.into(), &1.into()));

    let number = bench.gateway.ctl_json(&["calls"])[0]["number"].to_string();
    assert!(bench.gateway.ctl(&["hangup", &number]).status.success());
    stays.expect_success(10);
    near.expect_success(10);
    let records = bench.finish(2);
    let went: Vec<_> = records.iter().map(|record| &record["callee"]["peer"]).collect();
    assert_eq!(went, ["first", "second"], "in the order in which they ended");
}
