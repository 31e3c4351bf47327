//! RTCP between softphones and the gateway as tshark reads it: every kind of packet is there, and none is malformed.
#![allow(missing_docs)]

mod support;

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;

use support::capture::{Capture, tshark};
use support::softphone::{TALK_S, alone, clip, softphone, talk};
use support::{Gateway, Network, Scratch, may_make_networks};

/// RFC 3550 §12.1, RFC 3611 §2.
const SENDER_REPORT: &str = "200";
const DESCRIPTION: &str = "202";
const GOODBYE: &str = "203";
const EXTENDED_REPORT: &str = "207";

/// The gateway's RTCP in a capture: each packet's UDP ports, and the kinds of packet that it is made of.
fn reports(capture: &Path, filter: &str) -> Vec<(String, String, BTreeSet<String>)> {
    let lines = tshark(capture, &format!("rtcp && {filter}"), &["udp.srcport", "udp.dstport", "rtcp.pt"]);
    let kinds = |field: &str| field.split(',').map(str::to_owned).collect();
    lines.into_iter().map(|fields| (fields[0].clone(), fields[1].clone(), kinds(&fields[2]))).collect()
}

#[test]
fn the_reports_of_a_call_are_whole_and_go_to_the_ports_agreed_on() {
    if !may_make_networks("the_reports_of_a_call_are_whole_and_go_to_the_ports_agreed_on") {
        return;
    }
    let _alone = alone();
    let scratch = Scratch::new();
    let network = Network::up(&scratch.unique());
    let configuration = format!(
        r#"
dpdk: {{ huge_pages: off, memory_mib: 128, file_prefix: "{prefix}" }}
ports:
  - {{ name: media, device: "net_af_packet0,iface=media0", addresses: [10.77.0.10/24] }}
workers: {{ cores: [1], share_cores: true }}
sip: {{ listen: [{{ name: main, address: "10.77.0.1:5060" }}] }}
peers:
  - {{ name: caller, address: "10.77.0.2:5060", codecs: [PCMU] }}
  - {{ name: callee, address: "10.77.0.3:5060", codecs: [PCMA] }}
routes:
  - {{ from: caller, prefix: "8", peer: callee, strip: 4, prepend: callee }}
records: {{ directory: "{records}" }}
shutdown: {{ drain_timeout_s: 1 }}
"#,
        prefix = scratch.unique(),
        records = scratch.path().join("records").display(),
    );
    let gateway = Gateway::start(&scratch, &configuration, "127.0.0.1:9060", Some(&network.gateway()));
    let (said_by_caller, said_by_callee) = (clip(&scratch, "caller", 8_000), clip(&scratch, "callee", 8_000));
    let callee_home = softphone(&scratch, "callee", "10.77.0.3", &said_by_callee, "PCMA", "answermode=auto");
    let caller_home = softphone(&scratch, "caller", "10.77.0.2", &said_by_caller, "PCMU", "answermode=manual");
    // The caller alone wants RTCP on RTP's port.
    let mut config = OpenOptions::new().append(true).open(caller_home.join("config")).expect("its configuration");
    writeln!(config, "rtcp_mux yes").expect("it is written");
    let captures = [network.caller(), network.callee()].map(|namespace| Capture::start(&scratch, &namespace));
    let (_callee, mut caller) = talk(&scratch, &network, &callee_home, &caller_home);
    caller.wait(TALK_S + 20);
    let record = gateway.records(1).remove(0);
    assert_eq!(record["status"], 200, "{record}\n{}", caller.log());
    gateway.assert_idle();
    gateway.stop();

    for (capture, side) in captures.map(Capture::end).iter().zip(["caller", "callee"]) {
        let broken = tshark(capture, "_ws.malformed || rtcp.length_check == 0", &["frame.number", "_ws.col.Info"]);
        assert!(broken.is_empty(), "{side}: {broken:?}");
        let ours = reports(capture, "ip.src == 10.77.0.10");
        let kinds: BTreeSet<&str> = ours.iter().flat_map(|(.., kinds)| kinds).map(String::as_str).collect();
        for kind in [SENDER_REPORT, DESCRIPTION, EXTENDED_REPORT, GOODBYE] {
            assert!(kinds.contains(kind), "{side}: no RTCP of type {kind}: {ours:?}");
        }
        let theirs = reports(capture, "ip.dst == 10.77.0.10");
        assert!(!theirs.is_empty(), "{side}: the softphone sent no RTCP");
        let local: u16 =
            record[side]["local_media"].as_str().and_then(|at| at.rsplit(':').next()?.parse().ok()).expect("a port");
        let multiplexed = side == "caller";
        let port = if multiplexed { local } else { local + 1 }.to_string();
        assert!(ours.iter().all(|(from, ..)| *from == port), "{side}: not from {port}: {ours:?}");
        assert!(theirs.iter().all(|(_, to, _)| *to == port), "{side}: not to {port}: {theirs:?}");
    }
    // The softphones said what they heard.
    for side in ["caller", "callee"] {
        assert!(record[side]["mos_sent"].as_f64().is_some_and(|mos| mos > 0.0), "{record}");
    }
}
