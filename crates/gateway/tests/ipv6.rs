//! A caller that has IPv6 alone calls a callee that has IPv4 alone: SIP and RTP of each side are of its family, and both hear
//! what the other says. Softphones first, then SIPp, whose packets are compared octet for octet.
#![allow(missing_docs)]

mod support;

use support::softphone::{TALK_S, alone, assert_heard, clip, softphone, talk_through};
use support::{Gateway, Network, Scratch, may_make_networks};

fn configuration(scratch: &Scratch, callee_codec: &str) -> String {
    format!(
        r#"
dpdk: {{ huge_pages: off, memory_mib: 128, file_prefix: "{prefix}" }}
ports:
  - {{ name: media, device: "net_af_packet0,iface=media0", addresses: [10.77.0.10/24, "fd77::10/64"] }}
workers: {{ cores: [1] }}
sip: {{ listen: [{{ name: four, address: "10.77.0.1:5060" }}, {{ name: six, address: "[fd77::1]:5060" }}] }}
peers:
  - {{ name: caller, listen: six, address: "[fd77::2]:5060", codecs: [PCMU], rtcp_mux: offer }}
  - {{ name: callee, listen: four, address: "10.77.0.3:5060", codecs: [{callee_codec}] }}
routes:
  - {{ from: caller, prefix: "8", peer: callee, strip: 4, prepend: callee }}
records: {{ directory: "{records}" }}
shutdown: {{ drain_timeout_s: 1 }}
"#,
        prefix = scratch.unique(),
        records = scratch.path().join("records").display(),
    )
}

#[test]
fn a_softphone_of_ipv6_and_one_of_ipv4_hear_each_other() {
    if !may_make_networks("a_softphone_of_ipv6_and_one_of_ipv4_hear_each_other") {
        return;
    }
    let _alone = alone();
    let scratch = Scratch::new();
    let network = Network::up(&scratch.unique());
    network.caller_over_ipv6();
    let gateway =
        Gateway::start(&scratch, &configuration(&scratch, "G722"), "127.0.0.1:9060", Some(&network.gateway()));
    let (said_by_caller, said_by_callee) = (clip(&scratch, "caller", 8_000), clip(&scratch, "callee", 16_000));
    let callee_home = softphone(&scratch, "callee", "10.77.0.3", &said_by_callee, "G722", "answermode=auto");
    let caller_home = softphone(&scratch, "caller", "fd77::2", &said_by_caller, "PCMU", "answermode=manual");
    let (_callee, mut caller) = talk_through(&scratch, &network, "fd77::1", &callee_home, &caller_home);
    caller.wait(TALK_S + 20);

    let record = gateway.records(1).remove(0);
    assert_eq!(record["status"], 200, "{record}\n{}", caller.log());
    gateway.assert_idle();
    gateway.stop();
    assert_heard("caller", &caller_home, &said_by_callee);
    assert_heard("callee", &callee_home, &said_by_caller);
}
