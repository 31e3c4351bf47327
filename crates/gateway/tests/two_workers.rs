//! Two workers share one port of two queues: the kernel spreads packets as it likes, and each goes to the core whose call it is.
#![allow(missing_docs)]

mod support;

use std::path::Path;

use support::capture::{Capture, tshark};
use support::sipp;
use support::softphone::alone;
use support::{Gateway, Network, Scratch, may_make_networks};

#[test]
fn calls_on_two_workers_are_heard_octet_for_octet() {
    if !may_make_networks("calls_on_two_workers_are_heard_octet_for_octet") {
        return;
    }
    let _alone = alone();
    let scratch = Scratch::new();
    let network = Network::up(&scratch.unique());
    let configuration = format!(
        r#"
dpdk: {{ huge_pages: off, memory_mib: 128, file_prefix: "{prefix}" }}
ports:
  - {{ name: media, device: "net_af_packet0,iface=media0,qpairs=2", addresses: [10.77.0.10/24] }}
workers: {{ cores: [0, 1], share_cores: true }}
sip: {{ listen: [{{ name: main, address: "10.77.0.1:5060" }}] }}
peers:
  - {{ name: caller, address: "10.77.0.2:5060", codecs: [PCMU] }}
  - {{ name: callee, address: "10.77.0.3:5060", codecs: [PCMA] }}
routes:
  - {{ from: caller, prefix: "8", peer: callee }}
records: {{ directory: "{records}" }}
shutdown: {{ drain_timeout_s: 1 }}
"#,
        prefix = scratch.unique(),
        records = scratch.path().join("records").display(),
    );
    sipp::write_clips(&scratch, 3);
    let gateway = Gateway::start(&scratch, &configuration, "127.0.0.1:9060", Some(&network.gateway()));
    let captures = [network.caller(), network.callee()].map(|namespace| Capture::start(&scratch, &namespace));
    let calls = 8;
    let mut callees = sipp::callees(&scratch, &network.callee(), "10.77.0.3", calls);
    let mut callers = sipp::callers(&scratch, &network.caller(), ("10.77.0.2", "10.77.0.1:5060"), calls, 5);
    callers.expect_success(60);
    callees.expect_success(20);
    let records = gateway.records(calls);
    gateway.assert_idle();
    let stats = gateway.ctl_json(&["stats"]);
    gateway.stop();
    let [at_caller, at_callee] = captures.map(Capture::end);
    assert!(records.iter().all(|record| record["status"] == 200), "{records:?}");
    let count = |worker: usize, what: &str| stats["workers"][worker][what].as_u64().unwrap_or_default();
    // Calls go to the worker that has fewest: half of them to each.
    let forwarded = [count(0, "rtp_forwarded"), count(1, "rtp_forwarded")];
    assert!(forwarded.iter().all(|packets| *packets > 300), "{stats}");
    // What came by the other's queue was handed over, and nothing was lost on the way between them.
    let (over, taken) =
        (count(0, "handed_over") + count(1, "handed_over"), count(0, "handed_in") + count(1, "handed_in"));
    assert!(over > 0 && over == taken, "{stats}");
    let heard = |capture: &Path, to_callee: bool| {
        let lines = tshark(capture, "rtp && ip.src == 10.77.0.10", &["rtp.payload"]);
        let payloads = lines.into_iter().map(|fields| fields[0].replace(':', ""));
        sipp::packets_of(&sipp::expected(&scratch, to_callee), payloads)
    };
    // Three seconds of eight calls are 1200 packets each way; a busy machine may lose some.
    let (callees, callers) = (heard(&at_callee, true), heard(&at_caller, false));
    assert!(callees > 800 && callers > 800, "{callees} and {callers} packets were heard");
}
