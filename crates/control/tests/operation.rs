//! What operators see: readiness, metrics, a configuration read again, a disk that takes no more.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

mod support;

use std::process::Command;
use std::sync::atomic::Ordering::Relaxed;

use support::Bench;

#[test]
fn a_worker_that_stands_still_makes_the_node_not_ready() {
    let bench = Bench::ready("");
    bench.worker.stuck.store(true, Relaxed);
    bench.wait_for("not ready", || bench.get("/readyz") == (503, "worker 0 does not poll\n".to_owned()));
    assert!(bench.get("/metrics").1.contains("\ntandem_ready 0\n"));
    bench.worker.stuck.store(false, Relaxed);
    bench.wait_for("ready again", || bench.get("/readyz").0 == 200);
}

#[test]
fn metrics_tell_of_calls_workers_and_ports() {
    let bench = Bench::ready("limits: {max_calls: 12}");
    bench.worker.counters.rtp_forwarded.add(1234);
    bench.worker.counters.added_latency.record_n(40_000, 100);
    bench.answered_call();
    let (status, text) = bench.get("/metrics");
    assert_eq!(status, 200);
    for line in [
        "tandem_ready 1",
        "tandem_calls 1",
        "tandem_calls_limit 12",
        "tandem_calls_answered_total 1",
        "tandem_rtp_forwarded_total{worker=\"0\"} 1234",
        "tandem_port_driver_total{port=\"media\",counter=\"rx_missed\"} 3",
    ] {
        assert!(text.lines().any(|told| told == line), "{line} is not in\n{text}");
    }
    let p50 = bench.get_json("/v1/stats")["added_latency_us"]["p50"].as_f64().unwrap();
    assert!((p50 - 40.0).abs() < 1.3, "{p50}");
}

#[test]
fn routes_are_applied_when_the_file_is_read_again() {
    let mut bench = Bench::ready("");
    let call_id = bench.caller.invite("700");
    assert!(bench.caller.expect_final(&call_id).starts_with("SIP/2.0 404 "));
    bench.reload("prefix: '8'", "prefix: '7'");
    bench.wait_for("the new route", || {
        let call_id = bench.caller.invite("700");
        !bench.caller.expect_response(&call_id).starts_with("SIP/2.0 404 ")
    });
    bench.callee.expect("INVITE sip:700@");
}

#[test]
fn a_wrong_file_changes_nothing() {
    let mut bench = Bench::ready("limits: {max_calls: 12}");
    bench.reload("{max_calls: 12}", "{max_calls: 13}\n# and something that is wrong\nnonsense: 1");
    bench.reload("nonsense: 1", "nonsense: 2");
    // Both were looked at once a right one is applied.
    assert_eq!(bench.get_json("/v1/stats")["max_calls"], 12);
    bench.reload("\nnonsense: 2", "");
    bench.wait_for("the right file", || bench.get_json("/v1/stats")["max_calls"] == 13);
}

#[test]
fn addresses_are_added_and_removed_over_http_and_by_the_file() {
    let mut bench = Bench::ready("");
    let told = |bench: &Bench| -> Vec<String> {
        let addresses = bench.get_json("/v1/addresses");
        addresses.as_array().unwrap().iter().map(|one| one["address"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(told(&bench), ["10.0.0.10"]);
    let added = bench.post("/v1/addresses", r#"{"address": "10.0.0.20/24"}"#);
    assert_eq!(added, (200, r#"{"added":"10.0.0.20/24"}"#.to_owned()));
    assert_eq!(told(&bench), ["10.0.0.10", "10.0.0.20"]);
    bench.reload("[10.0.0.10/24]", "[10.0.0.10/24, 10.0.0.30/24]");
    bench.wait_for("the new address", || told(&bench) == ["10.0.0.10", "10.0.0.20", "10.0.0.30"]);
    assert_eq!(bench.request("DELETE", "/v1/addresses/10.0.0.20", &[]).0, 200);
    assert_eq!(told(&bench), ["10.0.0.10", "10.0.0.30"]);
    for (status, error) in [
        (bench.post("/v1/addresses", r#"{"address": "10.0.0.20"}"#).0, 400),
        (bench.post("/v1/addresses", r#"{"address": "224.0.0.1/4"}"#).0, 409),
        (bench.request("DELETE", "/v1/addresses/2001:db8::1", &[]).0, 404),
        (bench.request("DELETE", "/v1/addresses/nonsense", &[]).0, 400),
    ] {
        assert_eq!(status, error);
    }
}

#[test]
fn records_that_cannot_be_written_wait_and_the_node_is_not_ready() {
    // Today's first file is a device that is always full.
    let bench = Bench::prepared("", |records| {
        for day in ["today", "tomorrow"] {
            let date = Command::new("date").args(["-u", "-d", day, "+%F"]).output().unwrap().stdout;
            let name = format!("records-{}-1.jsonl", String::from_utf8(date).unwrap().trim());
            std::os::unix::fs::symlink("/dev/full", records.join(name)).unwrap();
        }
    });
    bench.data_plane_ready();
    bench.wait_for("ready", || bench.get("/readyz").0 == 200);
    // Refused, and so over at once; its record is what is left.
    let call_id = bench.caller.invite("100");
    assert!(bench.caller.expect_final(&call_id).starts_with("SIP/2.0 404 "));
    let not_ready = (503, "call detail records cannot be written\n".to_owned());
    bench.wait_for("not ready", || bench.get("/readyz") == not_ready);
    let stats = bench.get_json("/v1/stats");
    assert_eq!((&stats["records"]["waiting"], &stats["calls"]), (&1.into(), &1.into()));
    // Calls go on.
    bench.answered_call();
    bench.control.terminate();
    bench.control.terminate();
    bench.callee.expect("BYE ");
    let ended = bench.control.wait().unwrap();
    assert!(ended.records_lost >= 1 && ended.calls_cut >= 1, "{ended:?}");
}

#[test]
fn a_call_is_recorded_where_the_configuration_has_a_place_for_it() {
    let bench = Bench::ready("");
    bench.answered_call();
    let number = bench.get_json("/v1/calls")[0]["number"].to_string();
    let (status, told) = bench.request("POST", &format!("/v1/calls/{number}/record"), &[]);
    assert_eq!(status, 409, "{told}");
    assert!(told.contains("the configuration has no recording.directory"), "{told}");

    let place = tempfile::tempdir().unwrap();
    let bench = Bench::ready(&format!("recording: {{directory: {}/deep/down, max_calls: 1}}", place.path().display()));
    bench.answered_call();
    let number = bench.get_json("/v1/calls")[0]["number"].to_string();
    let path = format!("/v1/calls/{number}/record");
    let (status, told) = bench.request("POST", &path, &[]);
    assert_eq!(status, 200, "{told}");
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    let file = told["files"][0].as_str().unwrap().to_owned();
    assert!(file.starts_with(place.path().to_str().unwrap()) && file.ends_with("-0.wav"), "{file}");
    bench.wait_for("the recording to count", || bench.get("/metrics").1.contains("\ntandem_recordings 1\n"));
    assert_eq!(bench.request("POST", &path, &[]).0, 503, "recording.max_calls");
    let (status, told) = bench.request("DELETE", &path, &[]);
    assert_eq!(status, 200, "{told}");
    bench.wait_for("the file to be whole", || {
        bench.get("/metrics").1.contains("\ntandem_recordings_finished_total 1\n")
    });
    assert_eq!(std::fs::read(&file).unwrap()[..4], *b"RIFF");
    assert_eq!(bench.get_json("/v1/calls")[0]["recordings"][0], *file);
}

#[test]
fn what_cannot_be_done_with_a_calls_media_says_why() {
    let bench = Bench::ready("");
    bench.answered_call();
    let number = bench.get_json("/v1/calls")[0]["number"].to_string();
    for (method, path, status, words) in [
        ("POST", "/v1/calls/999/fork?leg=caller&to=10.0.0.99:4000".to_owned(), 404, "there is no call 999"),
        ("DELETE", "/v1/calls/999/record".to_owned(), 404, "there is no call 999"),
        ("POST", format!("/v1/calls/{number}/play?leg=caller"), 400, "no usable WAV"),
        ("POST", format!("/v1/calls/{number}/fork?leg=nobody&to=10.0.0.99:4000"), 400, "leg"),
        ("POST", format!("/v1/calls/{number}/fork?leg=caller&to=10.0.0.99:4000"), 200, "ssrc"),
        ("DELETE", format!("/v1/calls/{number}/fork?leg=caller"), 200, "call"),
        ("DELETE", format!("/v1/calls/{number}/play?leg=callee"), 200, "call"),
    ] {
        let (told, body) = bench.request(method, &path, &[]);
        assert!(told == status && body.contains(words), "{method} {path}: {told} {body}");
    }
}

/// A packet of HEP version 3 as its chunks, by their types.
fn hep_chunks(packet: &[u8]) -> std::collections::HashMap<u16, Vec<u8>> {
    let word = |at: usize| u16::from_be_bytes([packet[at], packet[at + 1]]);
    assert_eq!((&packet[..4], usize::from(word(4))), (&b"HEP3"[..], packet.len()));
    let mut chunks = std::collections::HashMap::new();
    let mut at = 6;
    while at < packet.len() {
        let length = usize::from(word(at + 4));
        assert_eq!(word(at), 0, "the generic vendor");
        assert!(chunks.insert(word(at + 2), packet[at + 6..at + length].to_vec()).is_none(), "each type comes once");
        at += length;
    }
    chunks
}

#[test]
fn the_collector_gets_every_message_of_a_call_with_who_sent_it_to_whom() {
    let collector = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    collector.set_read_timeout(Some(support::PATIENCE)).unwrap();
    let address = collector.local_addr().unwrap();
    let bench = Bench::ready(&format!("hep: {{collector: \"{address}\", agent_id: 77, password: secret}}"));
    bench.answered_call();
    let mut seen = Vec::new();
    let mut packet = [0; 65_535];
    // The last one of the call's beginning.
    let is_last =
        |(from, _, line): &(u16, u16, String)| line.starts_with("ACK") && *from == bench.caller.address().port();
    while !seen.iter().any(is_last) {
        let read = collector.recv(&mut packet).unwrap();
        let chunks = hep_chunks(&packet[..read]);
        let number = |kind: u16| chunks[&kind].iter().fold(0_u64, |number, octet| number << 8 | u64::from(*octet));
        assert_eq!((number(1), number(2), number(11), number(12)), (2, 17, 1, 77), "IPv4, UDP, SIP, the agent");
        assert_eq!((&chunks[&14][..], chunks[&3].len(), chunks[&4].len()), (&b"secret"[..], 4, 4));
        let age = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs().abs_diff(number(9));
        assert!(age < 60 && number(10) < 1_000_000, "{age} s");
        let line = String::from_utf8_lossy(&chunks[&15]).lines().next().unwrap().to_owned();
        seen.push((number(7) as u16, number(8) as u16, line));
    }
    let (caller, callee) = (bench.caller.address().port(), bench.callee.address().port());
    let has = |from: Option<u16>, to: Option<u16>, start: &str| {
        seen.iter().any(|(source, destination, line)| {
            from.is_none_or(|port| port == *source)
                && to.is_none_or(|port| port == *destination)
                && line.starts_with(start)
        })
    };
    assert!(has(Some(caller), None, "INVITE sip:800@"), "{seen:?}");
    assert!(has(None, Some(callee), "INVITE sip:800@"), "{seen:?}");
    assert!(has(Some(callee), None, "SIP/2.0 200 OK"), "{seen:?}");
    assert!(has(None, Some(caller), "SIP/2.0 200 OK"), "{seen:?}");
    assert!(has(Some(caller), None, "ACK "), "{seen:?}");
    let metrics = bench.get("/metrics").1;
    assert!(metrics.contains("\ntandem_hep_dropped_total 0\n"), "{metrics}");
}

#[test]
fn a_collector_that_takes_nothing_costs_its_packets_and_no_call() {
    // Nobody listens there, and loopback says so.
    let address = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let bench = Bench::ready(&format!("hep: {{collector: \"{address}\", queue: 16}}"));
    bench.answered_call();
    let of = |name: &str| {
        let text = bench.get("/metrics").1;
        let line = text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim).map(str::to_owned);
        line.and_then(|value| value.parse::<u64>().ok()).unwrap()
    };
    bench
        .wait_for("all messages to be counted", || of("tandem_hep_sent_total ") + of("tandem_hep_dropped_total ") >= 6);
}

#[test]
fn the_collector_gets_both_legs_quality_while_a_call_lasts_and_at_its_end() {
    let collector = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    collector.set_read_timeout(Some(support::PATIENCE)).unwrap();
    let address = collector.local_addr().unwrap();
    let bench = Bench::ready(&format!("hep: {{collector: \"{address}\", quality: true, quality_interval_s: 1}}"));
    let call_id = bench.answered_call();
    let reports = |kind: &str| {
        let mut packet = [0; 65_535];
        let mut seen = Vec::new();
        loop {
            let read = collector.recv(&mut packet).unwrap();
            let chunks = hep_chunks(&packet[..read]);
            let protocol = chunks[&11][0];
            if protocol == 1 {
                assert!(!chunks.contains_key(&17), "a message says its Call-ID itself");
                continue;
            }
            let report: serde_json::Value = serde_json::from_slice(&chunks[&15]).unwrap();
            let named = String::from_utf8(chunks[&17].clone()).unwrap();
            let port = |chunk: u16| u16::from_be_bytes([chunks[&chunk][0], chunks[&chunk][1]]);
            match protocol {
                5 => {
                    assert_eq!((&report["type"], &report["report_count"]), (&200.into(), &1.into()));
                    assert_eq!(report["sender_information"]["packets"], 49);
                    assert_eq!(report["report_blocks"][0]["packets_lost"], 0);
                }
                35 => {
                    assert_eq!((report["RTP_SIP_CALL_ID"].as_str(), &report["TOTAL_PK"]), (Some(&*named), &50.into()));
                    assert_eq!(report["SRC_PORT"], port(7));
                    assert_eq!(report["DST_PORT"], port(8));
                    if report["TYPE"] == kind {
                        seen.push((named, report["PARTY"].as_u64().unwrap()));
                    }
                }
                other => panic!("protocol type {other}"),
            }
            if seen.len() == 2 {
                return seen;
            }
        }
    };
    let running = reports("PERIODIC");
    assert_eq!((running[0].1, running[1].1), (0, 1), "the caller's and the callee's");
    assert!(running[0].0 == call_id || running[1].0 == call_id, "{running:?}: {call_id}");
    let number = bench.get_json("/v1/calls")[0]["number"].to_string();
    assert_eq!(bench.request("DELETE", &format!("/v1/calls/{number}"), &[]).0, 200);
    assert_eq!(reports("HANGUP").len(), 2);
}
