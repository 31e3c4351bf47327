//! Flows without a call: installed, counted and removed over HTTP.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

mod support;

use std::collections::BTreeSet;

use serde_json::{Value, json};
use support::Bench;

fn wanted(flows: usize) -> String {
    let leg = |port: usize, codec: &str| json!({ "remote": format!("10.0.0.2:{port}"), "codec": codec });
    let flow = |number: usize| json!({ "legs": [leg(4_000 + 4 * number, "PCMU"), leg(4_002 + 4 * number, "G729")] });
    json!({ "flows": (0..flows).map(flow).collect::<Vec<_>>() }).to_string()
}

fn post(bench: &Bench, body: &str) -> (u16, Value) {
    let (status, text) = bench.request_with("POST", "/v1/flows", &[], body);
    (status, serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}")))
}

fn delete(bench: &Bench, path: &str) -> (u16, Value) {
    let (status, text) = bench.request("DELETE", path, &[]);
    (status, serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}")))
}

#[test]
fn flows_are_installed_with_addresses_of_their_own_and_removed_with_their_counters() {
    let bench = Bench::ready("limits: {max_calls: 50}");
    let (status, installed) = post(&bench, &wanted(40));
    assert_eq!(status, 200, "{installed}");
    let flows = installed["flows"].as_array().unwrap();
    let locals: BTreeSet<&str> =
        flows.iter().flat_map(|flow| flow["local"].as_array().unwrap()).map(|local| local.as_str().unwrap()).collect();
    assert_eq!(locals.len(), 80, "no address is given twice");
    assert!(locals.iter().all(|local| local.starts_with("10.0.0.10:")));
    let first = flows[0]["number"].as_u64().unwrap();
    assert_eq!(flows[39]["number"], first + 39);

    let (status, removed) = delete(&bench, &format!("/v1/flows/{first}-{}", first + 9));
    assert_eq!((status, removed["flows"].as_array().unwrap().len()), (200, 10));
    assert_eq!(removed["flows"][0]["legs"][1]["packets_sent"], 49);
    assert_eq!(delete(&bench, &format!("/v1/flows/{first}")).0, 404, "it is gone");
    assert_eq!(delete(&bench, "/v1/flows"), (200, json!({ "removed": 30 })));
    assert_eq!(delete(&bench, "/v1/flows"), (200, json!({ "removed": 0 })));
}

#[test]
fn what_does_not_fit_is_refused_as_a_whole() {
    let bench = Bench::ready("limits: {max_calls: 50}");
    assert_eq!(post(&bench, &wanted(30)).0, 200);
    let (status, refused) = post(&bench, &wanted(21));
    assert_eq!(status, 503);
    assert_eq!(refused["error"], "the limit of concurrent calls (limits.max_calls) is reached");
    assert_eq!(post(&bench, &wanted(20)).0, 200, "nothing of the refused ones is left");
    // They count as calls do.
    let call_id = bench.caller.invite("800");
    assert!(bench.caller.expect_final(&call_id).starts_with("SIP/2.0 503 "));
    assert_eq!(delete(&bench, "/v1/flows").0, 200);
    bench.answered_call();
}

#[test]
fn a_draining_gateway_a_web_page_and_a_wrong_field_get_no_flows() {
    let bench = Bench::ready("");
    let (status, error) = post(&bench, &wanted(1).replace("G729", "EVS"));
    assert_eq!(status, 400);
    assert!(error["error"].as_str().unwrap().starts_with("flows[0].legs[1].codec: unknown variant `EVS`"), "{error}");
    let web = bench.request_with("POST", "/v1/flows", &[("Origin", "http://example.com")], &wanted(1));
    assert_eq!(web.0, 403);
    assert_eq!(bench.request("POST", "/v1/drain", &[]).0, 200);
    let (status, error) = post(&bench, &wanted(1));
    assert_eq!((status, &error["error"]), (503, &"the gateway takes no new calls".into()));
}
