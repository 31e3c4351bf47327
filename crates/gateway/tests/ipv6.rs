//! A caller that has IPv6 alone calls a callee that has IPv4 alone: SIP and RTP of each side are of its family, and both hear
//! what the other says. Softphones first, then SIPp, whose packets are compared octet for octet.
#![allow(missing_docs)]

mod support;

use std::path::Path;

use support::capture::{Capture, tshark};
use support::sipp;
use support::softphone::{TALK_S, alone, assert_heard, clip, softphone, talk_through};
use support::{Gateway, Network, Scratch, may_make_networks};

fn configuration(scratch: &Scratch, callee_codec: &str) -> String {
    format!(
        r#"
dpdk: {{ huge_pages: off, memory_mib: 128, file_prefix: "{prefix}" }}
ports:
  - {{ name: media, device: "net_af_packet0,iface=media0", addresses: [10.77.0.10/24, "fd77::10/64"] }}
workers: {{ cores: [1], share_cores: true }}
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

#[test]
fn what_sipp_says_over_ipv6_arrives_over_ipv4_octet_for_octet_and_back() {
    if !may_make_networks("what_sipp_says_over_ipv6_arrives_over_ipv4_octet_for_octet_and_back") {
        return;
    }
    let _alone = alone();
    let scratch = Scratch::new();
    let network = Network::up(&scratch.unique());
    network.caller_over_ipv6();
    sipp::write_clips(&scratch, 3);
    let gateway =
        Gateway::start(&scratch, &configuration(&scratch, "PCMA"), "127.0.0.1:9060", Some(&network.gateway()));
    let captures = [network.caller(), network.callee()].map(|namespace| Capture::start(&scratch, &namespace));
    let mut callees = sipp::callees(&scratch, &network.callee(), "10.77.0.3", 2);
    let mut callers = sipp::callers(&scratch, &network.caller(), ("fd77::2", "[fd77::1]:5060"), 2, 5);
    callers.expect_success(60);
    callees.expect_success(20);
    let records = gateway.records(2);
    gateway.assert_idle();
    gateway.stop();
    let [at_caller, at_callee] = captures.map(Capture::end);
    for record in &records {
        assert_eq!(record["status"], 200, "{record}");
        let media = |side: &str| record[side]["local_media"].as_str().unwrap_or_default().to_owned();
        assert!(media("caller").starts_with("[fd77::10]:") && media("callee").starts_with("10.77.0.10:"), "{record}");
    }
    let payloads = |capture: &Path, filter: &str| {
        let lines = tshark(capture, &format!("rtp && {filter}"), &["rtp.payload"]);
        lines.into_iter().map(|fields| fields[0].replace(':', "")).collect::<Vec<_>>()
    };
    // Three seconds of two calls are 300 packets each way; a busy machine may lose some.
    let heard = payloads(&at_callee, "ip.src == 10.77.0.10");
    let heard = sipp::packets_of(&sipp::expected(&scratch, true), heard);
    assert!(heard > 200, "the callees heard {heard} packets");
    let heard = payloads(&at_caller, "ipv6.src == fd77::10");
    let heard = sipp::packets_of(&sipp::expected(&scratch, false), heard);
    assert!(heard > 200, "the callers heard {heard} packets");
    let families = tshark(&at_caller, "ip", &["ip.src"]);
    assert!(families.is_empty(), "IPv4 on the side of IPv6: {families:?}");
    assert!(tshark(&at_caller, "_ws.malformed", &["frame.number"]).is_empty());
}
