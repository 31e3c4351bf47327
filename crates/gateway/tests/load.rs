//! `tandem load` against `tandem run` over a memif: two processes, real packets, real codecs.
#![allow(missing_docs, unreachable_pub)]

mod support;

use std::process::{Command, Output};

use serde_json::Value;
use support::{Gateway, Network, Scratch, free_udp_port, inside, may_make_networks};

/// Each test wants both cores: one at a time.
static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());

struct Bench {
    scratch: Scratch,
    gateway: Gateway,
    http: String,
    /// Where the gateway takes calls, callers are, and callees are called.
    sip: [String; 3],
}

impl Bench {
    fn new() -> Self {
        let scratch = Scratch::new();
        let loopback = "127.0.0.1";
        let sip = [loopback, "127.0.0.9", "127.0.0.8"].map(|ip| format!("{ip}:{}", free_udp_port(ip)));
        let http = format!("{loopback}:{}", free_udp_port(loopback));
        let [listen, caller, callee] = &sip;
        let configuration = format!(
            r#"
dpdk: {{ huge_pages: off, memory_mib: 128, packet_buffers: 8192, file_prefix: "{prefix}" }}
ports:
  - name: media
    device: "net_memif0,role=server,socket={socket},socket-abstract=no"
    addresses: [10.77.8.10/24, 10.77.8.11/24]
workers: {{ cores: [1], share_cores: true }}
media: {{ port_range: 20000-20255, port_quarantine_ms: 0 }}
sip: {{ listen: [{{ name: main, address: "{listen}" }}] }}
limits: {{ max_calls: 128 }}
peers:
  - {{ name: caller, address: "{caller}", codecs: [PCMU, PCMA, G722, G729], srtp: optional }}
  - {{ name: callee, address: "{callee}", media_address: 10.77.8.11, codecs: [PCMU, PCMA, G722, G729], srtp: optional }}
routes: [{{ from: caller, prefix: "load", peer: callee }}]
records: {{ directory: "{records}" }}
http: {{ listen: "{http}" }}
shutdown: {{ drain_timeout_s: 1 }}
"#,
            prefix = scratch.unique(),
            socket = scratch.path().join("memif.sock").display(),
            records = scratch.path().join("records").display(),
        );
        let gateway = Gateway::start(&scratch, &configuration, &http, None);
        Self { scratch, gateway, http, sip }
    }

    /// Loads the gateway. Tests share their cores with others: a packet may leave half a second late.
    fn load(&self, mix: &str, calls: u32, more: &[&str]) -> Output {
        let socket = self.scratch.path().join("memif.sock");
        Command::new(env!("CARGO_BIN_EXE_tandem"))
            .args(["load", "--core", "0", "--huge-pages", "off", "--memory-mib", "128", "--json", "--quiet"])
            .arg("--device")
            .arg(format!("net_memif0,role=client,socket={},socket-abstract=no", socket.display()))
            .args(["--addresses", "10.77.8.2/24,10.77.8.3/24", "--ports", "30000-30255", "--control", &self.http])
            .args(["--mix", mix, "--calls", &calls.to_string(), "--seconds", "2", "--lateness-us", "500000"])
            .args(more)
            .output()
            .expect("tandem load runs")
    }
}

/// Every packet came back, and every one was right.
fn all_is_well(mix: &str, calls: u32, output: &Output) {
    let outcome = outcome(output);
    assert!(output.status.success(), "{mix}: {}\n{outcome}", String::from_utf8_lossy(&output.stderr));
    for direction in outcome["directions"].as_array().expect("two") {
        assert_eq!(direction["received"], direction["sent"], "{mix}");
        assert!(direction["checked"].as_u64() >= direction["sent"].as_u64(), "{mix}");
    }
    assert_eq!(outcome["calls"]["running"], calls);
}

#[test]
fn calls_set_up_over_sip_carry_each_mix_and_leave_a_record_each() {
    let _alone = ALONE.lock();
    let bench = Bench::new();
    let [gateway, caller, callee] = &bench.sip;
    let over_sip = ["--sip", gateway, "--sip-caller", caller, "--sip-callee", callee];
    let mixes = ["pcmu-pcmu", "pcma-g729@40,pcmu-g722", "pcmu+srtp-pcmu+srtp,pcma+gcm-pcmu,g722-g729+srtp"];
    for mix in mixes {
        let output = bench.load(mix, 60, &over_sip);
        all_is_well(mix, 60, &output);
        let added = &outcome(&output)["set_up_added"];
        assert!(added["count"] == 60 && added["p99_ns"].as_u64() >= added["p50_ns"].as_u64(), "{added}");
    }
    let records = bench.gateway.records(60 * mixes.len());
    assert_eq!(records.len(), 60 * mixes.len());
    assert!(records.iter().all(|record| record["ended_by"] == "caller"), "{:?}", records[0]);

    // Who is nobody's peer is refused, and told how.
    let stranger = ["--sip", gateway, "--sip-caller", "127.0.0.7:0"];
    let refused = bench.load("pcmu-pcmu", 1, &stranger);
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains(&format!("SIP to {gateway}: call 1 of 1: 403 Forbidden")), "{said}");
    bench.gateway.assert_idle();
    bench.gateway.stop();
}

fn outcome(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}\n{}", String::from_utf8_lossy(&output.stderr)))
}

#[test]
fn every_packet_of_every_mix_comes_back_right_and_a_throttled_source_is_void() {
    let _alone = ALONE.lock();
    let bench = Bench::new();
    for mix in [
        "pcmu-pcmu",
        "pcmu-pcma",
        "pcmu-g729,pcma-g722",
        "g722-g729",
        "pcmu@40-pcma,g729@10-pcmu@30",
        "pcmu+srtp-pcmu+srtp,pcma+gcm-g722",
    ] {
        // More legs than one address has ports for.
        all_is_well(mix, 100, &bench.load(mix, 100, &[]));
    }

    let throttled = bench.load("pcmu-pcma", 100, &["--throttle-ns", "2000000"]);
    assert_eq!(throttled.status.code(), Some(8), "{}", String::from_utf8_lossy(&throttled.stderr));
    let reasons = outcome(&throttled)["void"].to_string();
    assert!(reasons.contains("late"), "{reasons}");

    let too_many = bench.load("pcmu-pcma", 129, &[]);
    assert_eq!(too_many.status.code(), Some(1));
    let said = String::from_utf8_lossy(&too_many.stderr);
    assert!(said.contains("258 legs need a pair of ports each, and the source has 256"), "{said}");
    bench.gateway.assert_idle();
    bench.gateway.stop();
}

#[test]
fn a_gateway_that_is_not_there_is_named_with_the_option_to_look_at() {
    let output = Command::new(env!("CARGO_BIN_EXE_tandem"))
        .args(["load", "--kernel", "--addresses", "127.0.0.1/8", "--control", "127.0.0.1:1", "--calls", "1"])
        .output()
        .expect("tandem load runs");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("no gateway answers at 127.0.0.1:1") && said.contains("--control"), "{said}");
}

#[test]
fn a_source_on_the_kernels_sockets_gets_every_packet_back_through_a_gateway_on_a_packet_socket() {
    if !may_make_networks("a_source_on_the_kernels_sockets_gets_every_packet_back_through_a_gateway_on_a_packet_socket")
    {
        return;
    }
    let _alone = ALONE.lock();
    let scratch = Scratch::new();
    let network = Network::up(&scratch.unique());
    let token = scratch.path().join("api.token");
    std::fs::write(&token, "token-of-a-source-of-load\n").expect("a token");
    let configuration = format!(
        r#"
dpdk: {{ huge_pages: off, memory_mib: 128, packet_buffers: 8192, file_prefix: "{prefix}" }}
ports:
  - {{ name: media, device: "net_af_packet0,iface=media0", addresses: [10.77.0.10/24] }}
workers: {{ cores: [1], share_cores: true }}
media: {{ port_range: 20000-20511, port_quarantine_ms: 0 }}
sip: {{ listen: [{{ name: main, address: "10.77.0.1:5060" }}] }}
limits: {{ max_calls: 128 }}
peers:
  - {{ name: caller, address: "10.77.0.2:5060", codecs: [PCMU, PCMA, G729], srtp: optional }}
  - {{ name: callee, address: "10.77.0.2:5070", codecs: [PCMU, PCMA, G729], srtp: optional }}
routes: [{{ from: caller, prefix: "load", peer: callee }}]
records: {{ directory: "{records}" }}
http: {{ listen: "10.77.0.1:9060", tokens: [{{ name: source, file: "{token}", scope: full }}] }}
shutdown: {{ drain_timeout_s: 1 }}
"#,
        prefix = scratch.unique(),
        records = scratch.path().join("records").display(),
        token = token.display(),
    );
    let gateway = Gateway::start(&scratch, &configuration, "10.77.0.1:9060", Some(&network.gateway()));
    let over_http = ["--control", "10.77.0.1:9060"];
    let over_sip = ["--sip", "10.77.0.1:5060", "--sip-caller", "10.77.0.2:5060", "--sip-callee", "10.77.0.2:5070"];
    let mix = "pcmu-pcma,pcmu-g729,pcma+srtp-pcma@40";
    for set_up in [&over_http[..], &over_sip[..]] {
        let output = inside(Some(&network.caller()), env!("CARGO_BIN_EXE_tandem"))
            .args(["load", "--kernel", "--core", "0", "--addresses", "10.77.0.2/24", "--json", "--quiet"])
            .args(["--mix", mix, "--calls", "60", "--seconds", "2", "--lateness-us", "500000"])
            .args(set_up)
            .env("TANDEM_TOKEN_FILE", &token)
            .output()
            .expect("tandem load runs");
        all_is_well(mix, 60, &output);
    }
    gateway.assert_idle();
    gateway.stop();
}
