//! A softphone that speaks only PCMU calls one that speaks only G.722, through the gateway's DPDK port, and both hear
//! what the other says.
#![allow(missing_docs, unreachable_pub)]

mod support;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use support::softphone::{TALK_S, alone, assert_heard, clip, heard, softphone, talk};
use support::{Gateway, Network, Scratch, may_make_networks};

#[test]
fn two_softphones_without_a_common_codec_hear_each_other() {
    if !may_make_networks("two_softphones_without_a_common_codec_hear_each_other") {
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
  - {{ name: callee, address: "10.77.0.3:5060", codecs: [G722] }}
routes:
  - {{ from: caller, prefix: "8", peer: callee, strip: 4, prepend: callee }}
records: {{ directory: "{records}" }}
shutdown: {{ drain_timeout_s: 1 }}
"#,
        prefix = scratch.unique(),
        records = scratch.path().join("records").display(),
    );
    let gateway = Gateway::start(&scratch, &configuration, "127.0.0.1:9060", Some(&network.gateway()));

    let (said_by_caller, said_by_callee) = (clip(&scratch, "caller", 8_000), clip(&scratch, "callee", 16_000));
    let callee_home = softphone(&scratch, "callee", "10.77.0.3", &said_by_callee, "G722", "answermode=auto");
    let caller_home = softphone(&scratch, "caller", "10.77.0.2", &said_by_caller, "PCMU", "answermode=manual");
    let (_callee, mut caller) = talk(&scratch, &network, &callee_home, &caller_home);
    caller.wait(TALK_S + 20);

    let record = gateway.records(1).remove(0);
    assert_eq!(record["status"], 200, "{record}\n{}", caller.log());
    assert_eq!((&record["caller"]["codec"], &record["callee"]["codec"]), (&"PCMU".into(), &"G722".into()));
    gateway.assert_idle();
    gateway.stop();
    assert_heard("caller", &caller_home, &said_by_callee);
    assert_heard("callee", &callee_home, &said_by_caller);
}

#[test]
fn a_call_between_two_networks_comes_on_one_port_and_leaves_by_the_other() {
    if !may_make_networks("a_call_between_two_networks_comes_on_one_port_and_leaves_by_the_other") {
        return;
    }
    let _alone = alone();
    let scratch = Scratch::new();
    let network = Network::up(&scratch.unique());
    // From here on nothing but the gateway's own two ports carries media from one to the other.
    network.part();
    let configuration = format!(
        r#"
dpdk: {{ huge_pages: off, memory_mib: 128, file_prefix: "{prefix}" }}
ports:
  - {{ name: outside, device: "net_af_packet0,iface=media0", addresses: [10.77.0.10/24] }}
  - {{ name: inside, device: "net_af_packet1,iface=media1", addresses: [10.78.0.10/24] }}
workers: {{ cores: [1], share_cores: true }}
sip: {{ listen: [{{ name: outside, address: "10.77.0.1:5060" }}, {{ name: inside, address: "10.78.0.1:5060" }}] }}
peers:
  - {{ name: caller, listen: outside, address: "10.77.0.2:5060", codecs: [PCMU] }}
  - {{ name: callee, listen: inside, address: "10.78.0.3:5060", media_address: 10.78.0.10, codecs: [PCMU] }}
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
    let callee_home = softphone(&scratch, "callee", "10.78.0.3", &said_by_callee, "PCMU", "answermode=auto");
    let caller_home = softphone(&scratch, "caller", "10.77.0.2", &said_by_caller, "PCMU", "answermode=manual");
    let (_callee, mut caller) = talk(&scratch, &network, &callee_home, &caller_home);
    caller.wait(TALK_S + 20);

    let record = gateway.records(1).remove(0);
    assert_eq!(record["status"], 200, "{record}\n{}", caller.log());
    let ports: Vec<_> = gateway.ctl_json(&["address", "list"]).as_array().into_iter().flatten().cloned().collect();
    let ports: Vec<_> = ports.iter().map(|address| (&address["port"], &address["address"])).collect();
    assert_eq!(ports, [(&"outside".into(), &"10.77.0.10".into()), (&"inside".into(), &"10.78.0.10".into())]);
    gateway.assert_idle();
    gateway.stop();
    assert_heard("caller", &caller_home, &said_by_callee);
    assert_heard("callee", &callee_home, &said_by_caller);
}

/// The samples that a softphone played.
fn played(home: &Path) -> Vec<i16> {
    let mut reader = hound::WavReader::open(heard(home)).expect("what was heard");
    reader.samples::<i16>().map(|sample| sample.expect("a sample")).collect()
}

/// Whether a second of `recorded`, from the middle of its speech, is found octet for octet in `heard`. The softphone plays the
/// two zeros of PCMU as 2 and -2; from one octet to the next there are at least 8.
fn is_exactly(recorded: &[i16], heard: &[i16]) -> bool {
    let window = &recorded[recorded.len() / 2..][..8_000];
    let same = |place: &[i16]| place.iter().zip(window).all(|(heard, recorded)| heard.abs_diff(*recorded) <= 2);
    heard.windows(window.len()).any(same)
}

/// The length of each packet of a capture, to its very end.
fn capture_lengths(capture: &[u8]) -> Vec<usize> {
    let (_, mut rest) = capture.split_at(24);
    let mut lengths = Vec::new();
    while !rest.is_empty() {
        let octets = u32::from_ne_bytes(rest[8..12].try_into().expect("four octets")) as usize;
        lengths.push(octets);
        rest = &rest[16 + octets..];
    }
    lengths
}

#[test]
fn a_softphone_with_srtp_talks_to_one_without_and_the_recording_is_bit_exact() {
    if !may_make_networks("a_softphone_with_srtp_talks_to_one_without_and_the_recording_is_bit_exact") {
        return;
    }
    let _alone = alone();
    let scratch = Scratch::new();
    let network = Network::up(&scratch.unique());
    let recordings = scratch.path().join("recordings");
    let configuration = format!(
        r#"
dpdk: {{ huge_pages: off, memory_mib: 128, file_prefix: "{prefix}" }}
ports:
  - {{ name: media, device: "net_af_packet0,iface=media0", addresses: [10.77.0.10/24] }}
workers: {{ cores: [1], share_cores: true }}
sip: {{ listen: [{{ name: main, address: "10.77.0.1:5060" }}] }}
peers:
  - {{ name: caller, address: "10.77.0.2:5060", codecs: [PCMU], srtp: required }}
  - {{ name: callee, address: "10.77.0.3:5060", codecs: [PCMU] }}
routes:
  - {{ from: caller, prefix: "8", peer: callee, strip: 4, prepend: callee }}
records: {{ directory: "{records}" }}
recording: {{ directory: "{recordings}", formats: [wav, pcap] }}
shutdown: {{ drain_timeout_s: 1 }}
"#,
        prefix = scratch.unique(),
        records = scratch.path().join("records").display(),
        recordings = recordings.display(),
    );
    let gateway = Gateway::start(&scratch, &configuration, "127.0.0.1:9060", Some(&network.gateway()));
    let (said_by_caller, said_by_callee) = (clip(&scratch, "caller", 8_000), clip(&scratch, "callee", 8_000));
    let callee_home = softphone(&scratch, "callee", "10.77.0.3", &said_by_callee, "PCMU", "answermode=auto");
    let secure = "answermode=manual;mediaenc=srtp-mand";
    let caller_home = softphone(&scratch, "caller", "10.77.0.2", &said_by_caller, "PCMU", secure);
    let (_callee, mut caller) = talk(&scratch, &network, &callee_home, &caller_home);
    let until = Instant::now() + Duration::from_secs(10);
    let number = loop {
        let calls = gateway.ctl_json(&["calls"]);
        if calls[0]["state"] == "answered" {
            break calls[0]["number"].to_string();
        }
        assert!(Instant::now() < until, "no call was answered: {calls}\n{}", caller.log());
        std::thread::sleep(Duration::from_millis(50));
    };
    let started = gateway.ctl_json(&["record", "start", &number]);
    assert_eq!(started["files"].as_array().map(Vec::len), Some(2), "{started}");
    let again = gateway.ctl(&["record", "start", &number]);
    assert_eq!(again.status.code(), Some(6), "{again:?}");
    caller.wait(TALK_S + 20);

    let record = gateway.records(1).remove(0);
    assert_eq!(record["status"], 200, "{record}\n{}", caller.log());
    assert_eq!(
        (&record["caller"]["srtp"], &record["callee"]["srtp"]),
        (&"AES_CM_128_HMAC_SHA1_80".into(), &serde_json::Value::Null)
    );
    assert_eq!(record["recordings"], started["files"]);
    gateway.assert_idle();
    gateway.stop();
    assert_heard("caller", &caller_home, &said_by_callee);
    assert_heard("callee", &callee_home, &said_by_caller);
    let files: Vec<&str> = started["files"].as_array().into_iter().flatten().filter_map(|file| file.as_str()).collect();
    let mut reader = hound::WavReader::open(files[0]).expect("the recording is whole");
    let recorded: Vec<i16> = reader.samples::<i16>().map(|sample| sample.expect("a sample")).collect();
    let side = |side: usize| recorded.iter().skip(side).step_by(2).copied().collect::<Vec<i16>>();
    // PCMU is relayed, so that each side heard the very octets that were recorded of the other.
    assert!(is_exactly(&side(0), &played(&callee_home)), "the left side is not what the callee heard");
    assert!(is_exactly(&side(1), &played(&caller_home)), "the right side is not what the caller heard");
    let capture = fs::read(files[1]).expect("the capture is whole");
    let packets = capture_lengths(&capture).into_iter().filter(|octets| *octets == 20 + 8 + 12 + 160).count();
    assert!(packets > 300, "{packets} packets of 20 ms are in the capture");
}
