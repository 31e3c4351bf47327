//! Carriers that are known by a name, with SIPp behind it and dnsmasq as the name server (RFC 3263).
#![allow(missing_docs, unreachable_pub)]

mod support;

use std::time::{Duration, Instant};

use serde_json::Value;
use support::configuration::Configuration;
use support::dns::NameServer;
use support::endpoint::Endpoint;
use support::{Gateway, Process, Scratch};

const GATEWAY: &str = "127.0.0.1";

struct Bench {
    scratch: Scratch,
    gateway: Gateway,
    dns: NameServer,
    sip: Endpoint,
    caller: Endpoint,
    carriers: [Endpoint; 2],
}

/// Two servers, the first of which nobody has ever seen; a domain whose NAPTR record says TCP.
fn records(carriers: [Endpoint; 2], moves_to: &str) -> String {
    let [first, second] = carriers;
    format!(
        "srv-host=_sip._udp.two.test,dead.test,{},1,10\n\
         srv-host=_sip._udp.two.test,lives.test,{},2,10\n\
         host-record=dead.test,{}\n\
         host-record=lives.test,{}\n\
         naptr-record=tcp.test,10,10,s,SIP+D2T,,_sip._tcp.tcp.test\n\
         srv-host=_sip._tcp.tcp.test,lives.test,{},1,10\n\
         host-record=moves.test,{moves_to}",
        first.port, second.port, first.address, second.address, second.port,
    )
}

impl Bench {
    fn new(ttl_s: u32) -> Self {
        let scratch = Scratch::new();
        let (sip, caller) = (Endpoint::new(GATEWAY), Endpoint::new("127.0.0.2"));
        let carriers = [Endpoint::new("127.0.0.3"), Endpoint::new("127.0.0.4")];
        let dns = NameServer::start(&scratch, &records(carriers, carriers[0].address), ttl_s);
        let configuration = format!(
            r#"
sip:
  listen:
    - {{ name: udp, address: "{GATEWAY}:{sip_port}" }}
    - {{ name: tcp, address: "{GATEWAY}:{sip_port}", transport: tcp }}
  resolver: {{ servers: ["{dns}"] }}
peers:
  - {{ name: caller, address: "{caller_address}:{caller_port}", codecs: [PCMU, G722] }}
  - {{ name: two, address: two.test, codecs: [PCMA] }}
  - {{ name: tcp, address: tcp.test, codecs: [PCMA] }}
  - {{ name: moves, address: "moves.test:{second_port}", codecs: [PCMA] }}
  - {{ name: nobody, address: nobody.test, codecs: [PCMA] }}
routes:
  - {{ prefix: "81", peer: two }}
  - {{ prefix: "82", peer: tcp }}
  - {{ prefix: "83", peer: moves }}
  - {{ prefix: "84", peer: nobody }}
"#,
            sip_port = sip.port,
            dns = dns.address(),
            caller_address = caller.address,
            caller_port = caller.port,
            second_port = carriers[1].port,
        );
        let gateway = Configuration::idle(&scratch).with(&configuration).start();
        let bench = Self { scratch, gateway, dns, sip, caller, carriers };
        bench.wait_for("8100", |resolution| resolution["servers"].as_array().is_some_and(|servers| servers.len() == 2));
        bench
    }

    /// Where the name of the peer leads that gets calls to `number`, once `is_it` says so.
    fn wait_for(&self, number: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            let told = self.gateway.ctl_json(&["route", "explain", number]);
            let resolution = &told["targets"][0]["resolution"];
            if is_it(resolution) {
                return resolution.clone();
            }
            assert!(Instant::now() < until, "{told}\n{}", self.dns.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn call(&self, scenario: &str, number: &str) -> Process {
        self.caller.calls(&self.scratch, scenario, number, self.sip)
    }

    fn carrier(&self, which: usize, scenario: &str) -> Process {
        self.carriers[which].answers(&self.scratch, scenario)
    }

    fn finish(self, records: usize) -> Vec<Value> {
        self.gateway.finish(records)
    }
}

#[test]
fn a_call_goes_to_the_second_server_when_the_first_is_dead_and_a_name_that_does_not_exist_is_answered_503() {
    let bench = Bench::new(600);
    let mut takes = bench.carrier(1, "callee_answers");
    bench.call("caller_hangs_up", "8100").expect_success(30);
    takes.expect_success(10);
    let found = bench.wait_for("8100", |_| true);
    assert_eq!((&found["name"], &found["servers"][0]["host"]), (&"two.test".into(), &"dead.test".into()), "{found}");
    assert!(found["servers"][0]["dead_for_s"].is_u64() && found["servers"][1]["dead_for_s"].is_null(), "{found}");
    let told = bench.gateway.ctl(&["route", "explain", "8100"]);
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(told.contains("two is two.test, for") && told.contains("lives.test"), "{told}");

    let found = bench.wait_for("8400", |resolution| resolution["problem"] != "it is being looked up");
    assert_eq!(found["problem"], "there is no such name");
    let mut refused = bench.call("caller_expects_plain_503", "8400");
    refused.expect_success(30);
    let records = bench.finish(2);
    let statuses: Vec<_> = records.iter().map(|record| record["status"].as_u64()).collect();
    assert!(statuses.contains(&Some(200)) && statuses.contains(&Some(503)), "{records:?}");
}

#[test]
fn naptr_leads_to_tcp() {
    let bench = Bench::new(600);
    let found = bench.wait_for("8200", |resolution| resolution["servers"][0].is_object());
    assert_eq!(found["servers"][0]["transport"], "TCP");
    let mut command = bench.carriers[1].command(&bench.scratch, "callee_answers");
    command.args(["-t", "t1"]);
    let mut takes = Process::spawn("the carrier", &mut command, bench.scratch.path().join("carrier.log"));
    let bound = format!(":{:04X} 00000000:0000 0A", bench.carriers[1].port);
    while !std::fs::read_to_string("/proc/net/tcp").expect("/proc/net/tcp").contains(&bound) {
        assert!(takes.is_running(), "{}", takes.log());
    }
    bench.call("caller_hangs_up", "8200").expect_success(30);
    takes.expect_success(10);
    assert_eq!(bench.finish(1)[0]["status"], 200);
}

#[test]
fn a_changed_record_is_followed_after_its_time() {
    let mut bench = Bench::new(1);
    let [first, second] = bench.carriers;
    let at = |address: &str| format!("{address}:{}", second.port);
    bench.wait_for("8300", |resolution| resolution["servers"][0]["address"] == at(first.address));
    bench.dns.change(&bench.scratch, &records([first, second], second.address), 1);
    bench.wait_for("8300", |resolution| resolution["servers"][0]["address"] == at(second.address));
    let mut takes = bench.carrier(1, "callee_answers");
    bench.call("caller_hangs_up", "8300").expect_success(30);
    takes.expect_success(10);
    assert_eq!(bench.finish(1)[0]["status"], 200);
}
