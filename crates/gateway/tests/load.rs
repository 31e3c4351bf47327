//! `tandem load` against `tandem run` over a memif: two processes, real packets, real codecs.
#![allow(missing_docs, unreachable_pub)]

mod support;

use std::process::{Command, Output};

use serde_json::Value;
use support::{Gateway, Scratch, free_udp_port};

struct Bench {
    scratch: Scratch,
    gateway: Gateway,
    http: String,
}

impl Bench {
    fn new() -> Self {
        let scratch = Scratch::new();
        let loopback = "127.0.0.1";
        let (sip_port, http_port) = (free_udp_port(loopback), free_udp_port(loopback));
        let http = format!("{loopback}:{http_port}");
        let configuration = format!(
            r#"
dpdk: {{ huge_pages: off, memory_mib: 128, packet_buffers: 8192, file_prefix: "{prefix}" }}
ports:
  - name: media
    device: "net_memif0,role=server,socket={socket},socket-abstract=no"
    addresses: [10.77.8.10/24, 10.77.8.11/24]
workers: {{ cores: [1] }}
media: {{ port_range: 20000-20255, port_quarantine_ms: 0 }}
sip: {{ listen: [{{ name: main, address: "{loopback}:{sip_port}" }}] }}
limits: {{ max_calls: 128 }}
peers:
  - {{ name: one, address: "127.0.0.9:5060" }}
  - {{ name: other, address: "127.0.0.8:5060", media_address: 10.77.8.11 }}
routes: [{{ peer: one }}]
records: {{ directory: "{records}" }}
http: {{ listen: "{http}" }}
shutdown: {{ drain_timeout_s: 1 }}
"#,
            prefix = scratch.unique(),
            socket = scratch.path().join("memif.sock").display(),
            records = scratch.path().join("records").display(),
        );
        let gateway = Gateway::start(&scratch, &configuration, &http, None);
        Self { scratch, gateway, http }
    }

    /// Loads the gateway. Tests share their cores with others: a packet may leave 100 ms late.
    fn load(&self, mix: &str, calls: u32, more: &[&str]) -> Output {
        let socket = self.scratch.path().join("memif.sock");
        Command::new(env!("CARGO_BIN_EXE_tandem"))
            .args(["load", "--core", "0", "--huge-pages", "off", "--memory-mib", "128", "--json", "--quiet"])
            .arg("--device")
            .arg(format!("net_memif0,role=client,socket={},socket-abstract=no", socket.display()))
            .args(["--addresses", "10.77.8.2/24,10.77.8.3/24", "--ports", "30000-30255", "--control", &self.http])
            .args(["--mix", mix, "--calls", &calls.to_string(), "--seconds", "2", "--lateness-us", "100000"])
            .args(more)
            .output()
            .expect("tandem load runs")
    }
}

fn outcome(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}\n{}", String::from_utf8_lossy(&output.stderr)))
}

#[test]
fn every_packet_of_every_mix_comes_back_right_and_a_throttled_source_is_void() {
    let bench = Bench::new();
    for mix in ["pcmu-pcmu", "pcmu-pcma", "pcmu-g729,pcma-g722", "g722-g729", "pcmu@40-pcma,g729@10-pcmu@30"] {
        // More legs than one address has ports for.
        let output = bench.load(mix, 100, &[]);
        let outcome = outcome(&output);
        assert!(output.status.success(), "{mix}: {}\n{outcome}", String::from_utf8_lossy(&output.stderr));
        for direction in outcome["directions"].as_array().expect("two") {
            assert_eq!(direction["received"], direction["sent"], "{mix}");
            assert!(direction["checked"].as_u64() >= direction["sent"].as_u64(), "{mix}");
        }
        assert_eq!(outcome["calls"]["running"], 100);
    }

    let throttled = bench.load("pcmu-pcma", 100, &["--throttle-ns", "300000"]);
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
