//! What the gateway does with a call's media beside passing it on, heard over real sockets: music on hold, a clip played to a
//! party, a copy for somebody else, both voices for a recording server.
#![allow(missing_docs)]

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use support::capture::{Capture, tshark};
use support::sipp;
use support::softphone::{alone, clip};
use support::{Gateway, Network, Process, Scratch, inside, may_make_networks, repository};

const COPIES: u16 = 45_000;

fn start(scratch: &Scratch, network: &Network, hold_music: &Path) -> Gateway {
    start_with(scratch, network, hold_music, "")
}

/// `route` is what more the route says.
fn start_with(scratch: &Scratch, network: &Network, hold_music: &Path, route: &str) -> Gateway {
    let configuration = format!(
        r#"
dpdk: {{ huge_pages: off, memory_mib: 128, file_prefix: "{prefix}" }}
ports:
  - {{ name: media, device: "net_af_packet0,iface=media0", addresses: [10.77.0.10/24] }}
workers: {{ cores: [1], share_cores: true }}
media: {{ hold_music: "{music}" }}
sip: {{ listen: [{{ name: main, address: "10.77.0.1:5060" }}] }}
peers:
  - {{ name: caller, address: "10.77.0.2:5060", codecs: [PCMU] }}
  - {{ name: callee, address: "10.77.0.3:5060", codecs: [PCMA], telephone_events: false, info_dtmf: true }}
  - {{ name: recorder, address: "10.77.0.3:5070" }}
  - {{ name: safe, address: "10.77.0.3:5071", srtp: required, srtp_suites: [AES_CM_128_HMAC_SHA1_80] }}
routes:
  - {{ from: caller, prefix: "8", peer: callee{route} }}
records: {{ directory: "{records}" }}
shutdown: {{ drain_timeout_s: 1 }}
"#,
        prefix = scratch.unique(),
        music = hold_music.display(),
        records = scratch.path().join("records").display(),
    );
    Gateway::start(scratch, &configuration, "127.0.0.1:9060", Some(&network.gateway()))
}

/// What the caller's SIPp is told beside its scenario.
const CALL: [&str; 3] = ["-s", "8100", "10.77.0.1:5060"];

/// SIPp plays a scenario once.
fn plays(scratch: &Scratch, namespace: &str, scenario: &Path, address: &str, more: &[&str]) -> Process {
    let mut command = inside(Some(namespace), "sipp");
    command.arg("-sf").arg(fs::canonicalize(scenario).expect("the scenario"));
    command.args(["-i", address, "-mi", address, "-p", "5060", "-mp", "20000", "-m", "1", "-nostdin"]);
    command.args(["-timeout", "60s", "-timeout_error"]).args(more).current_dir(scratch.path());
    Process::spawn(address, &mut command, scratch.path().join(format!("{address}.log")))
}

/// A WAV as A-law.
fn encoded(scratch: &Scratch, wav: &Path) -> Vec<u8> {
    let made = scratch.path().join("encoded");
    let mut command = Command::new(env!("CARGO_BIN_EXE_tandem"));
    let status = command.args(["codec", "encode", "--codec", "pcma"]).arg(wav).arg(&made).status();
    assert!(status.expect("tandem codec runs").success());
    fs::read(made).expect("the encoded clip")
}

/// The payloads of the gateway's RTP in a capture, in hexadecimal.
fn payloads(capture: &Path, filter: &str) -> Vec<String> {
    let lines = tshark(capture, &format!("ip.src == 10.77.0.10 && {filter}"), &["udp.payload"]);
    // The RTP header has twelve octets.
    lines.into_iter().map(|fields| fields[0].replace(':', "").split_off(24)).collect()
}

#[test]
fn whom_the_caller_puts_on_hold_hears_music() {
    if !may_make_networks("whom_the_caller_puts_on_hold_hears_music") {
        return;
    }
    let _alone = alone();
    let scratch = Scratch::new();
    let network = Network::up(&scratch.unique());
    let music = clip(&scratch, "callee", 8_000);
    let gateway = start(&scratch, &network, &music);
    let capture = Capture::start(&scratch, &network.callee());
    // Between hold and resumption, and only there, the scenario is to wait for two seconds.
    let scenarios = repository().join("crates/gateway/tests/sipp");
    let holds = fs::read_to_string(scenarios.join("caller_holds_and_resumes.xml")).expect("the scenario");
    let mut parts = holds.splitn(3, "<pause milliseconds=\"200\"/>");
    let mut part = || parts.next().expect("three pauses");
    let longer = [part(), "<pause milliseconds=\"200\"/>", part(), "<pause milliseconds=\"2000\"/>", part()].concat();
    let scenario = scratch.path().join("caller_holds.xml");
    fs::write(&scenario, longer).expect("the scenario is written");
    let mut callee = plays(&scratch, &network.callee(), &scenarios.join("callee_is_held.xml"), "10.77.0.3", &[]);
    let mut caller = plays(&scratch, &network.caller(), &scenario, "10.77.0.2", &CALL);
    caller.expect_success(60);
    callee.expect_success(20);
    let record = gateway.records(1).remove(0);
    assert_eq!(record["status"], 200, "{record}");
    gateway.assert_idle();
    gateway.stop();
    // The caller says nothing at all: what the callee heard is the music.
    let heard = sipp::packets_of(&encoded(&scratch, &music), payloads(&capture.end(), "rtp"));
    assert!((50..=110).contains(&heard), "two seconds are 100 packets, not {heard}");
}

#[test]
fn a_party_hears_a_clip_in_place_of_the_other_and_somebody_else_gets_a_copy() {
    if !may_make_networks("a_party_hears_a_clip_in_place_of_the_other_and_somebody_else_gets_a_copy") {
        return;
    }
    let _alone = alone();
    let scratch = Scratch::new();
    let network = Network::up(&scratch.unique());
    let clip = clip(&scratch, "callee", 8_000);
    let gateway = start(&scratch, &network, Path::new("beeps"));
    sipp::write_clips(&scratch, 6);
    let capture = Capture::start(&scratch, &network.callee());
    let mut callees = sipp::callees(&scratch, &network.callee(), "10.77.0.3", 1);
    let mut callers = sipp::callers(&scratch, &network.caller(), ("10.77.0.2", "10.77.0.1:5060"), 1, 8);
    let until = Instant::now() + Duration::from_secs(20);
    let number = loop {
        let calls = gateway.ctl_json(&["calls"]);
        if calls[0]["state"] == "answered" {
            break calls[0]["number"].to_string();
        }
        assert!(callers.is_running() && Instant::now() < until, "no call was answered: {calls}\n{}", callers.log());
        std::thread::sleep(Duration::from_millis(50));
    };
    gateway.ctl_json(&["fork", &number, "caller", &format!("10.77.0.3:{COPIES}")]);
    // It is longer than the call.
    gateway.ctl_json(&["play", &number, "callee", clip.to_str().expect("a path")]);
    callers.expect_success(60);
    callees.expect_success(20);
    let record = gateway.records(1).remove(0);
    assert_eq!(record["status"], 200, "{record}");
    gateway.assert_idle();
    gateway.stop();

    let capture = capture.end();
    let said = fs::read(scratch.path().join("caller.ulaw")).expect("the caller's clip");
    let copied = sipp::packets_of(&said, payloads(&capture, &format!("udp.dstport == {COPIES}")));
    assert!(copied > 100, "{copied} packets were copied");
    // Before the clip, the caller; from then on nothing of him.
    let heard = payloads(&capture, &format!("rtp && udp.dstport != {COPIES}"));
    let (played, passed) = (encoded(&scratch, &clip), sipp::expected(&scratch, true));
    let known = sipp::packets_of(&[played.clone(), passed].concat(), heard.clone());
    let hex = |octets: &[u8]| octets.iter().map(|octet| format!("{octet:02x}")).collect::<String>();
    let first = heard.iter().position(|payload| *payload == hex(&played[..sipp::PACKET])).expect("the clip begins");
    assert!(known > 150 && heard.len() - first > 100, "{} packets of {}", heard.len() - first, heard.len());
    sipp::packets_of(&played, heard[first..].to_vec());
}

#[test]
fn a_key_is_an_event_on_one_side_and_an_info_on_the_other() {
    if !may_make_networks("a_key_is_an_event_on_one_side_and_an_info_on_the_other") {
        return;
    }
    let _alone = alone();
    let scratch = Scratch::new();
    let network = Network::up(&scratch.unique());
    let gateway = start(&scratch, &network, Path::new("beeps"));
    let capture = Capture::start(&scratch, &network.caller());
    let scenarios = repository().join("crates/gateway/tests/sipp");
    // The callee's scenario fails without an INFO that says 5, and without an answer to its own, which says 9.
    let callee = scenarios.join("callee_has_keys_as_info.xml");
    let mut callee = plays(&scratch, &network.callee(), &callee, "10.77.0.3", &[]);
    let mut caller =
        plays(&scratch, &network.caller(), &scenarios.join("caller_presses_a_key.xml"), "10.77.0.2", &CALL);
    caller.expect_success(60);
    callee.expect_success(20);
    let record = gateway.records(1).remove(0);
    assert_eq!(record["status"], 200, "{record}");
    gateway.assert_idle();
    gateway.stop();
    let fields = ["rtpevent.event_id", "rtpevent.end_of_event", "rtpevent.duration"];
    let events = tshark(&capture.end(), "rtpevent && ip.src == 10.77.0.10", &fields);
    assert!(events.len() >= 4 && events.iter().all(|event| event[0] == "9"), "{events:?}");
    let ends: Vec<_> = events.iter().filter(|event| event[1] == "1").map(|event| event[2].as_str()).collect();
    assert_eq!(ends, ["1600"; 3], "200 ms, and the end three times");
}

/// SIPp as a recording server at this port.
fn recording_server(scratch: &Scratch, network: &Network, scenario: &str, port: &str) -> Process {
    let scenario = repository().join(format!("crates/gateway/tests/sipp/{scenario}.xml"));
    let mut command = inside(Some(&network.callee()), "sipp");
    command.arg("-sf").arg(fs::canonicalize(scenario).expect("the scenario"));
    command.args(["-i", "10.77.0.3", "-p", port, "-m", "1", "-nostdin", "-timeout", "60s", "-timeout_error"]);
    command.args(["-trace_logs", "-log_file", "server.notes"]).current_dir(scratch.path());
    Process::spawn("the recording server", &mut command, scratch.path().join("server.log"))
}

#[test]
fn a_recording_server_gets_both_voices_for_as_long_as_the_call_lasts() {
    if !may_make_networks("a_recording_server_gets_both_voices_for_as_long_as_the_call_lasts") {
        return;
    }
    let _alone = alone();
    let scratch = Scratch::new();
    let network = Network::up(&scratch.unique());
    let gateway = start_with(&scratch, &network, Path::new("beeps"), ", recorder: recorder");
    sipp::write_clips(&scratch, 6);
    let capture = Capture::start(&scratch, &network.callee());
    let mut server = recording_server(&scratch, &network, "recording_server", "5070");
    let mut callees = sipp::callees(&scratch, &network.callee(), "10.77.0.3", 1);
    let mut callers = sipp::callers(&scratch, &network.caller(), ("10.77.0.2", "10.77.0.1:5060"), 1, 5);
    callers.expect_success(60);
    callees.expect_success(20);
    server.expect_success(20);
    let record = gateway.records(1).remove(0);
    assert_eq!(record["status"], 200, "{record}");
    assert_eq!(gateway.ctl_json(&["stats"])["switch"]["recordings_begun"], 1);
    gateway.assert_idle();
    gateway.stop();
    let capture = capture.end();
    for (clip, port) in [("caller.ulaw", 45_000), ("callee.alaw", 45_002)] {
        let said = fs::read(scratch.path().join(clip)).expect("the clip");
        let copied = sipp::packets_of(&said, payloads(&capture, &format!("udp.dstport == {port}")));
        assert!(copied > 150, "{copied} packets of {clip} were copied");
    }
}

#[test]
fn a_recording_server_is_told_of_hold_and_resumption_and_gets_srtp_under_the_key_it_chose() {
    if !may_make_networks("a_recording_server_is_told_of_hold_and_resumption_and_gets_srtp_under_the_key_it_chose") {
        return;
    }
    let _alone = alone();
    let scratch = Scratch::new();
    let network = Network::up(&scratch.unique());
    let gateway = start_with(&scratch, &network, Path::new("beeps"), ", recorder: safe");
    sipp::write_clips(&scratch, 6);
    let capture = Capture::start(&scratch, &network.callee());
    let mut server = recording_server(&scratch, &network, "recording_server_follows", "5071");
    // The caller speaks from the answer on, through hold and resumption.
    let scenarios = repository().join("crates/gateway/tests/sipp");
    let holds = fs::read_to_string(scenarios.join("caller_holds_and_resumes.xml")).expect("the scenario");
    let pause = "<pause milliseconds=\"200\"/>";
    let speaks = "<nop><action><exec rtp_stream=\"caller.ulaw,1,0\"/></action></nop>";
    let speaks = holds.replacen(pause, &format!("{speaks}{pause}"), 1).replace(pause, "<pause milliseconds=\"1200\"/>");
    let scenario = scratch.path().join("caller_speaks.xml");
    fs::write(&scenario, speaks).expect("the scenario is written");
    let callee = scenarios.join("callee_is_held.xml");
    let mut callee = plays(&scratch, &network.callee(), &callee, "10.77.0.3", &[]);
    let mut caller = plays(&scratch, &network.caller(), &scenario, "10.77.0.2", &CALL);
    caller.expect_success(60);
    callee.expect_success(20);
    server.expect_success(20);
    let stats = gateway.ctl_json(&["stats"]);
    let counted = |name: &str| stats["switch"][name].as_u64();
    assert_eq!((counted("recordings_begun"), counted("recordings_changed")), (Some(1), Some(2)), "{stats}");
    gateway.assert_idle();
    gateway.stop();

    let notes = fs::read_to_string(scratch.path().join("server.notes")).expect("the server's notes");
    let key = notes.lines().find_map(|line| line.split_once("key ")).expect("a key").1.trim();
    let line = format!("1 AES_CM_128_HMAC_SHA1_80 inline:{key}");
    let mut receiver = tandem_srtp::Receiver::new(&tandem_sdp::CryptoLine::parse(&line).expect("a line").key);
    let copies = tshark(&capture.end(), "ip.src == 10.77.0.10 && udp.dstport == 45000", &["udp.payload"]);
    let opened = copies.into_iter().map(|fields| {
        let mut packet: Vec<u8> = fields[0].replace(':', "").as_bytes().chunks(2).map(octet).collect();
        let length = receiver.unprotect(&mut packet).expect("it is protected with that key");
        packet[12..length].iter().map(|octet| format!("{octet:02x}")).collect::<String>()
    });
    let said = fs::read(scratch.path().join("caller.ulaw")).expect("the clip");
    let copied = sipp::packets_of(&said, opened);
    assert!(copied > 100, "{copied} packets were copied");
}

fn octet(pair: &[u8]) -> u8 {
    let text = std::str::from_utf8(pair).expect("text");
    u8::from_str_radix(text, 16).expect("hexadecimal")
}
