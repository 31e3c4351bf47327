//! SIPp on both sides of a running gateway, over UDP on loopback: every way a call can go. The media port is a DPDK
//! device that carries nothing; what crosses a port that does is the demo's and `baresip.rs`'s subject.
//!
//! The scenarios in `sipp/` are named for what their endpoint does.
#![allow(missing_docs, unreachable_pub)]

mod support;

use serde_json::Value;
use support::endpoint::Endpoint;
use support::{Gateway, Process, Scratch, free_udp_port};

const CALLER: &str = "127.0.0.2";
const CALLEE: &str = "127.0.0.3";
/// Somebody who neither calls nor is called, but in the test that says so.
const OTHER: &str = "127.0.0.6";
const SIP: &str = "127.0.0.1";

struct Bench {
    scratch: Scratch,
    gateway: Gateway,
    sip_port: u16,
    caller_port: u16,
    callee_port: u16,
    other_port: u16,
}

impl Bench {
    /// A gateway with short timers: a callee may ring for 1 s, media may be silent for `silence_s`.
    fn new(max_calls: u32, silence_s: u32) -> Self {
        Self::patient(max_calls, silence_s, 1)
    }

    /// The same where a callee may ring for `ringing_s`.
    fn patient(max_calls: u32, silence_s: u32, ringing_s: u32) -> Self {
        let scratch = Scratch::new();
        let (sip_port, http_port) = (free_udp_port(SIP), free_udp_port(SIP));
        let (caller_port, callee_port) = (free_udp_port(CALLER), free_udp_port(CALLEE));
        let other_port = free_udp_port(OTHER);
        let http = format!("127.0.0.1:{http_port}");
        let configuration = format!(
            r#"
dpdk: {{ huge_pages: off, memory_mib: 64, packet_buffers: 4096, file_prefix: "{prefix}" }}
ports:
  - {{ name: media, device: net_null0, addresses: [10.77.9.1/24] }}
workers: {{ cores: [1], share_cores: true }}
media: {{ inactivity_timeout_s: {silence_s}, first_packet_timeout_s: {silence_s} }}
sip:
  listen: [{{ name: main, address: "{SIP}:{sip_port}" }}]
  no_answer_timeout_s: {ringing_s}
limits: {{ max_calls: {max_calls}, retry_after_s: 7 }}
peers:
  - {{ name: caller, address: "{CALLER}:{caller_port}", codecs: [PCMU, G722] }}
  - {{ name: callee, address: "{CALLEE}:{callee_port}", codecs: [PCMA] }}
  - {{ name: other, address: "{OTHER}:{other_port}", codecs: [PCMA] }}
routes:
  - {{ from: caller, prefix: "8", peer: callee }}
records: {{ directory: "{records}" }}
http: {{ listen: "{http}" }}
shutdown: {{ drain_timeout_s: 1 }}
"#,
            prefix = scratch.unique(),
            records = scratch.path().join("records").display(),
        );
        let gateway = Gateway::start(&scratch, &configuration, &http, None);
        Self { scratch, gateway, sip_port, caller_port, callee_port, other_port }
    }

    fn callee(&self, scenario: &str) -> Process {
        Endpoint { address: CALLEE, port: self.callee_port }.answers(&self.scratch, scenario)
    }

    fn caller(&self, scenario: &str, number: &str) -> Process {
        self.caller_from(scenario, number, self.caller_port)
    }

    fn caller_from(&self, scenario: &str, number: &str, port: u16) -> Process {
        let to = Endpoint { address: SIP, port: self.sip_port };
        Endpoint { address: CALLER, port }.calls(&self.scratch, scenario, number, to)
    }

    /// Runs one call to its end on both sides; the gateway must have forgotten it then. Gives its record.
    fn call(self, caller: &str, callee: Option<&str>, number: &str) -> Value {
        let mut callee = callee.map(|scenario| self.callee(scenario));
        self.caller(caller, number).expect_success(65);
        if let Some(callee) = &mut callee {
            callee.expect_success(65);
        }
        self.finish().pop().expect("one record")
    }

    fn finish(self) -> Vec<Value> {
        self.gateway.finish(1)
    }
}

#[track_caller]
fn assert_record(record: &Value, status: u16, ended_by: &str) {
    assert_eq!(
        (record["status"].as_u64(), record["ended_by"].as_str()),
        (Some(status.into()), Some(ended_by)),
        "{record}"
    );
}

#[test]
fn a_call_is_answered_and_the_caller_hangs_up() {
    let record = Bench::new(10, 60).call("caller_hangs_up", Some("callee_answers"), "8100");
    assert_record(&record, 200, "caller");
    assert_eq!(record["caller"]["codec"], "PCMU");
    assert_eq!(record["callee"]["codec"], "PCMA");
}

#[test]
fn the_callee_hangs_up() {
    let record = Bench::new(10, 60).call("caller_waits_for_bye", Some("callee_hangs_up"), "8100");
    assert_record(&record, 200, "callee");
}

#[test]
fn early_media_reaches_the_caller_before_the_answer() {
    let record = Bench::new(10, 60).call("caller_expects_early_media", Some("callee_answers_with_early_media"), "8100");
    assert_record(&record, 200, "caller");
}

#[test]
fn a_cancelled_call_is_cancelled_on_both_sides() {
    let record = Bench::new(10, 60).call("caller_cancels", Some("callee_rings_until_cancelled"), "8100");
    assert_record(&record, 487, "caller");
}

#[test]
fn a_busy_callee_is_busy_for_the_caller() {
    let record = Bench::new(10, 60).call("caller_expects_486", Some("callee_refuses_486"), "8100");
    assert_record(&record, 486, "callee");
}

#[test]
fn a_declined_call_is_declined_for_the_caller() {
    let record = Bench::new(10, 60).call("caller_expects_603", Some("callee_refuses_603"), "8100");
    assert_record(&record, 603, "callee");
}

#[test]
fn a_callee_that_never_answers_is_cancelled_and_the_caller_hears_408() {
    let record = Bench::new(10, 60).call("caller_expects_408", Some("callee_rings_until_cancelled"), "8100");
    assert_record(&record, 408, "gateway");
}

#[test]
fn hold_and_resume_reach_the_other_side() {
    let record = Bench::new(10, 60).call("caller_holds_and_resumes", Some("callee_is_held"), "8100");
    assert_record(&record, 200, "caller");
}

#[test]
fn a_caller_that_insists_has_progress_acknowledged_its_session_refreshed_and_fax_and_video_declined() {
    let record = Bench::new(10, 60).call("caller_requires_100rel", Some("callee_answers"), "8100");
    assert_record(&record, 200, "caller");
}

#[test]
fn a_lost_ack_makes_the_answer_come_again() {
    let record = Bench::new(10, 60).call("caller_loses_first_ack", Some("callee_answers"), "8100");
    assert_record(&record, 200, "caller");
}

#[test]
fn an_answer_that_is_never_acknowledged_ends_the_call() {
    let record = Bench::new(10, 60).call("caller_never_acknowledges", Some("callee_answers"), "8100");
    assert_record(&record, 200, "gateway");
}

#[test]
fn a_lost_200_is_waited_for() {
    let record = Bench::new(10, 60).call("caller_hangs_up", Some("callee_loses_first_200"), "8100");
    assert_record(&record, 200, "caller");
}

#[test]
fn a_lost_bye_is_sent_again() {
    let record = Bench::new(10, 60).call("caller_hangs_up", Some("callee_loses_first_bye"), "8100");
    assert_record(&record, 200, "caller");
}

#[test]
fn a_callee_that_vanishes_ends_the_call_for_the_caller_too() {
    let record = Bench::new(10, 2).call("caller_waits_for_bye", Some("callee_vanishes"), "8100");
    assert_record(&record, 200, "gateway");
}

#[test]
fn no_common_codec_is_488() {
    let record = Bench::new(10, 60).call("caller_offers_unknown_codec", None, "8100");
    assert_record(&record, 488, "gateway");
}

#[test]
fn a_broken_session_description_is_400() {
    let record = Bench::new(10, 60).call("caller_sends_broken_sdp", None, "8100");
    assert_record(&record, 400, "gateway");
}

#[test]
fn an_unknown_destination_is_404() {
    let record = Bench::new(10, 60).call("caller_expects_404", None, "5100");
    assert_record(&record, 404, "gateway");
}

#[test]
fn one_call_over_the_limit_is_503_with_retry_after_and_the_first_goes_on() {
    let bench = Bench::new(1, 3);
    let mut callee = bench.callee("callee_answers");
    let mut first = bench.caller("caller_waits_for_bye", "8100");
    while bench.gateway.ctl_json(&["calls"]).as_array().is_none_or(Vec::is_empty) {
        assert!(first.is_running(), "{}", first.log());
    }
    bench.caller_from("caller_expects_503", "8100", free_udp_port(CALLER)).expect_success(10);
    // The first call carries no media and is ended for that, on both sides.
    first.expect_success(20);
    callee.expect_success(20);
    let mut statuses: Vec<_> = bench.finish().iter().map(|record| record["status"].as_u64()).collect();
    statuses.sort();
    assert_eq!(statuses, [Some(200), Some(503)]);
}

#[test]
fn a_killed_gateway_starts_again_on_the_same_state() {
    let bench = Bench::new(10, 60);
    let mut callee = bench.callee("callee_answers");
    let mut caller = bench.caller("caller_waits_for_bye", "8100");
    while bench.gateway.ctl_json(&["calls"]).as_array().is_none_or(Vec::is_empty) {
        assert!(caller.is_running(), "{}", caller.log());
    }
    let Bench { scratch, mut gateway, .. } = bench;
    gateway.process.signal("KILL");
    gateway.process.wait(5);
    // Its peers are left behind; they end with the test.
    let _ = (caller.is_running(), callee.is_running());
    gateway.start_again(&scratch).stop();
}

#[test]
fn the_page_shows_a_browser_the_call_that_is_up() {
    let bench = Bench::new(10, 60);
    let mut callee = bench.callee("callee_answers");
    let mut caller = bench.caller("caller_waits_for_bye", "8100");
    let answered = |calls: &Value| calls[0]["state"] == "answered";
    while !answered(&bench.gateway.ctl_json(&["calls"])) {
        assert!(caller.is_running(), "the call failed: {}", caller.log());
        std::thread::sleep(std::time::Duration::from_millis(20));
    }

    // What the page has become after two turns of its own.
    let browser = std::process::Command::new("chromium")
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=2500", "--dump-dom"])
        .arg(format!("--user-data-dir={}", bench.scratch.path().join("browser").display()))
        .arg(format!("http://{}/", bench.gateway.http()))
        .output()
        .expect("chromium runs: `scripts/setup.sh test` installs it");
    let page = String::from_utf8_lossy(&browser.stdout);
    for shown in [r#"class="good">ready"#, "caller → callee", "PCMU ↔ PCMA", "<b>1</b>"] {
        assert!(page.contains(shown), "no {shown} in {page}\n{}", String::from_utf8_lossy(&browser.stderr));
    }

    let number = bench.gateway.ctl_json(&["calls"])[0]["number"].to_string();
    let hung_up = bench.gateway.ctl(&["hangup", &number]);
    assert!(hung_up.status.success(), "{}", String::from_utf8_lossy(&hung_up.stderr));
    caller.expect_success(65);
    callee.expect_success(65);
    assert_record(&bench.finish()[0], 200, "gateway");
}

#[test]
fn a_call_that_rings_is_taken_by_who_names_its_dialog() {
    let bench = Bench::patient(10, 60, 30);
    let notes = bench.scratch.path().join("callee.notes");
    let callee = Endpoint { address: CALLEE, port: bench.callee_port };
    let mut command = callee.command(&bench.scratch, "callee_is_picked_up");
    command.args(["-trace_logs", "-log_file"]).arg(&notes);
    let mut callee = callee.waits(Process::spawn("callee", &mut command, bench.scratch.path().join("callee.log")));
    let mut caller = bench.caller("caller_hangs_up", "8100");
    let replaces = loop {
        let noted = std::fs::read_to_string(&notes).unwrap_or_default();
        let line =
            noted.lines().find_map(|line| line.split_once("replaces ")).map(|(_, value)| value.trim().to_owned());
        if let Some(value) = line.filter(|value| value.ends_with("early-only")) {
            break value;
        }
        assert!(caller.is_running() && callee.is_running(), "{}\n{}", caller.log(), callee.log());
        std::thread::sleep(std::time::Duration::from_millis(10));
    };
    let mut command = Endpoint { address: OTHER, port: bench.other_port }.command(&bench.scratch, "caller_picks_up");
    command.args(["-key", "replaces", &replaces, "-s", "8100", &format!("{SIP}:{}", bench.sip_port)]);
    let mut other = Process::spawn("other", &mut command, bench.scratch.path().join("other.log"));
    callee.expect_success(30);
    caller.expect_success(30);
    other.expect_success(30);
    let record = bench.finish().pop().expect("one record");
    assert_record(&record, 200, "caller");
    assert_eq!((&record["callee"]["peer"], &record["callee"]["codec"]), (&"other".into(), &"PCMA".into()));
}
