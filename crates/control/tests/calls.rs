//! Calls through the whole of control: sockets, switch, worker ring, record file.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

mod support;

use support::Bench;
use tandem_control::Ended;

#[test]
fn a_call_is_carried_and_its_record_is_on_disk() {
    let bench = Bench::ready("");
    let call_id = bench.caller.invite("800");
    let invite = bench.callee.expect("INVITE ");
    assert!(invite.contains("c=IN IP4 10.0.0.10"), "{invite}");
    bench.callee.answer(&invite, "200 OK", true);
    let ok = bench.caller.expect_final(&call_id);
    assert!(ok.starts_with("SIP/2.0 200 ") && ok.contains("c=IN IP4 10.0.0.10"), "{ok}");
    bench.caller.ack(&ok);
    bench.callee.expect("ACK ");

    let calls = bench.get_json("/v1/calls");
    assert_eq!((calls[0]["state"].as_str(), calls[0]["caller_codec"].as_str()), (Some("answered"), Some("PCMU")));
    let flows = bench.get_json("/v1/flows");
    assert_eq!(flows[0]["caller"]["packets_received"], 50);
    assert_eq!(flows[0]["callee"]["packets_sent"], 49);

    bench.caller.bye(&ok);
    let bye = bench.callee.expect("BYE ");
    bench.callee.answer(&bye, "200 OK", false);
    bench.wait_for("the call to be forgotten", || bench.get_json("/v1/stats")["calls"] == 0);
    let records = bench.records();
    assert_eq!(records.len(), 1);
    assert_eq!((&records[0]["status"], &records[0]["ended_by"]), (&200.into(), &"caller".into()));
    assert_eq!(records[0]["caller"]["packets_received"], 50);
    assert_eq!(bench.end(), Ended::default());
}

#[test]
fn nothing_is_read_before_the_workers_run() {
    let bench = Bench::starting("");
    let call_id = bench.caller.invite("800");
    assert_eq!(bench.get("/readyz"), (503, "starting\n".to_owned()));
    assert_eq!(bench.get("/healthz").0, 200);
    assert_eq!(bench.get_json("/v1/stats")["sip"]["received"], 0);
    bench.data_plane_ready();
    bench.callee.expect("INVITE ");
    assert_eq!(bench.get("/readyz").0, 200);
    let invite_again = bench.caller.expect("SIP/2.0 100 ");
    assert!(invite_again.contains(&call_id));
}

#[test]
fn an_operator_ends_a_call() {
    let bench = Bench::ready("");
    bench.answered_call();
    let number = bench.get_json("/v1/calls")[0]["number"].as_u64().unwrap();
    let path = format!("/v1/calls/{number}");
    assert_eq!(bench.request("DELETE", &path, &[("Origin", "http://example.com")]).0, 403);
    assert_eq!(bench.request("DELETE", &path, &[]).0, 200);
    bench.callee.expect("BYE ");
    bench.caller.expect("BYE ");
    assert_eq!(
        bench.request("DELETE", "/v1/calls/999999", &[]),
        (404, r#"{"error":"there is no call 999999"}"#.to_owned())
    );
}

#[test]
fn after_sigterm_new_calls_are_refused_and_old_ones_may_end() {
    let bench = Bench::ready("");
    let call_id = bench.caller.invite("800");
    let invite = bench.callee.expect("INVITE ");
    bench.callee.answer(&invite, "200 OK", true);
    let ok = bench.caller.expect_final(&call_id);
    bench.caller.ack(&ok);
    bench.callee.expect("ACK ");

    bench.control.terminate();
    bench.wait_for("draining", || bench.get("/readyz") == (503, "draining: no new calls are taken\n".to_owned()));
    let late = bench.caller.invite("800");
    assert!(bench.caller.expect_final(&late).starts_with("SIP/2.0 503 "));

    bench.caller.bye(&ok);
    let bye = bench.callee.expect("BYE ");
    bench.callee.answer(&bye, "200 OK", false);
    assert_eq!(bench.control.wait().unwrap(), Ended::default());
}

#[test]
fn calls_that_do_not_end_by_themselves_get_a_bye() {
    let bench = Bench::ready("shutdown: {drain_timeout_s: 0}");
    bench.answered_call();
    bench.control.terminate();
    let bye = bench.callee.expect("BYE ");
    bench.callee.answer(&bye, "200 OK", false);
    let bye = bench.caller.expect("BYE ");
    bench.caller.answer(&bye, "200 OK", false);
    let records = bench.records.clone();
    assert_eq!(bench.control.wait().unwrap(), Ended::default());
    assert_eq!(std::fs::read_dir(records).unwrap().count(), 1);
}

#[test]
fn asked_twice_to_end_it_does_so_at_once() {
    let bench = Bench::ready("shutdown: {drain_timeout_s: 3600}");
    bench.answered_call();
    bench.control.terminate();
    bench.control.terminate();
    bench.callee.expect("BYE ");
    bench.caller.expect("BYE ");
    // Nobody answers, so that the time for the last BYEs passes.
    let ended = bench.control.wait().unwrap();
    assert_eq!(ended.records_lost, 0);
}
