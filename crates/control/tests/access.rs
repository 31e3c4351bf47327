//! Who may ask what over HTTP, with tokens and certificates, and what of that is read again.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

mod support;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use support::Bench;
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};

const LOOKS: &str = "looking-and-no-more-than-that";
const CHANGES: &str = "changing-everything-there-is";

fn with_tokens(folder: &Path, more: &str) -> Bench {
    std::fs::write(folder.join("look.token"), format!("{LOOKS}\nsecond lines are nobody's business\n")).unwrap();
    std::fs::write(folder.join("change.token"), CHANGES).unwrap();
    Bench::starting(&format!(
        "http: {{listen: \"127.0.0.1:0\", {more} tokens: [{{name: look, file: {folder}/look.token}}, {{name: change, file: {folder}/change.token, scope: full}}]}}",
        folder = folder.display()
    ))
}

fn bearer(bench: &Bench, method: &str, path: &str, token: &str) -> (u16, String) {
    bench.request(method, path, &[("authorization", &format!("Bearer {token}"))])
}

#[test]
fn tokens_allow_looking_or_everything_and_monitoring_is_open() {
    let folder = tempfile::tempdir().unwrap();
    let bench = with_tokens(folder.path(), "");
    bench.data_plane_ready();
    bench.wait_for("the node to be ready", || bench.get("/readyz").0 == 200);
    let body_of = |answer: (u16, String)| answer.1;
    for path in ["/metrics", "/healthz", "/readyz", "/"] {
        assert_eq!(bench.get(path).0, 200, "{path}");
    }
    let (status, told) = bench.get("/v1/calls");
    assert!(status == 401 && told.contains("--token-file"), "{status} {told}");
    assert_eq!(bearer(&bench, "GET", "/v1/calls", "looking-and-no-more-than-thaT").0, 401);
    assert_eq!(bearer(&bench, "GET", "/v1/calls", LOOKS), (200, "[]".to_owned()));
    let (status, told) = bearer(&bench, "POST", "/v1/drain", LOOKS);
    assert!(status == 403 && told.contains("the token of `look` is for reading"), "{status} {told}");
    assert_eq!(bearer(&bench, "PUT", "/v1/limits", LOOKS).0, 403);
    assert_eq!(bearer(&bench, "DELETE", "/v1/calls/1", CHANGES).0, 404);
    assert_eq!(bearer(&bench, "POST", "/v1/drain", CHANGES).0, 200);
    assert!(body_of(bench.get("/metrics")).contains("\ntandem_http_refused_total 4\n"));
    let document: Value = serde_json::from_str(&body_of(bearer(&bench, "GET", "/v1/openapi.json", LOOKS))).unwrap();
    assert_eq!(document["components"]["securitySchemes"]["token"]["scheme"], "bearer");
    assert_eq!(document["paths"]["/healthz"]["get"]["security"][0], serde_json::json!({}));
}

#[test]
fn tokens_are_read_again_and_a_lost_one_leaves_all_as_they_were() {
    let folder = tempfile::tempdir().unwrap();
    let mut bench = with_tokens(folder.path(), "open_monitoring: false,");
    assert_eq!(bench.get("/metrics").0, 401);
    std::fs::write(folder.path().join("look.token"), "another-token-for-looking").unwrap();
    let (status, told) = bearer(&bench, "POST", "/v1/reload", CHANGES);
    assert!(status == 200 && told.contains("\"kept\":[]"), "{told}");
    assert_eq!(bearer(&bench, "GET", "/metrics", LOOKS).0, 401);
    assert_eq!(bearer(&bench, "GET", "/metrics", "another-token-for-looking").0, 200);
    std::fs::write(folder.path().join("look.token"), "short").unwrap();
    let (status, told) = bearer(&bench, "POST", "/v1/reload", CHANGES);
    assert!(status == 200 && told.contains("`look`") && told.contains("is no token of 16"), "{told}");
    assert_eq!(bearer(&bench, "GET", "/metrics", "another-token-for-looking").0, 200);
    bench.reload("open_monitoring: false", "open_monitoring: true");
    // The token that cannot be read holds the rest back too.
    std::fs::write(folder.path().join("look.token"), LOOKS).unwrap();
    assert_eq!(bearer(&bench, "POST", "/v1/reload", CHANGES).0, 200);
    bench.wait_for("open monitoring", || bench.get("/metrics").0 == 200);
}

/// An authority, a certificate of its for loopback, and a client's.
fn certificates(folder: &Path) {
    let script = r#"
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=authority -keyout ca.key -out ca.pem
        for name in server client; do
            openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=$name -keyout $name.key -out $name.csr
            printf 'subjectAltName=IP:127.0.0.1' >$name.ext
            openssl x509 -req -days 2 -in $name.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile $name.ext -out $name.pem
        done"#;
    let output = Command::new("sh").args(["-ec", script]).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A client that keeps its connection, with a certificate of its own where it has one.
fn client(folder: &Path, is_certified: bool) -> ureq::Agent {
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    let certificate = |name: &str| Certificate::from_pem(&read(name)).unwrap();
    let own = is_certified.then(|| {
        ClientCert::new_with_certs(&[certificate("client.pem")], PrivateKey::from_pem(&read("client.key")).unwrap())
    });
    let tls =
        TlsConfig::builder().root_certs(RootCerts::Specific(Arc::new(vec![certificate("ca.pem")]))).client_cert(own);
    let config = ureq::Agent::config_builder().tls_config(tls.build()).http_status_as_error(false);
    config.timeout_global(Some(Duration::from_secs(20))).build().into()
}

#[test]
fn a_client_certificate_allows_everything_and_new_certificates_leave_connections_up() {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    let path = folder.path().display();
    let tls = format!(
        "tls: {{certificate: {path}/server.pem, key: {path}/server.key, client_certificates: optional, client_ca: {path}/ca.pem}},"
    );
    let bench = with_tokens(folder.path(), &tls);
    let url = |path: &str| format!("https://{}{path}", bench.control.http_address());
    let (known, unknown) = (client(folder.path(), true), client(folder.path(), false));
    let status = |agent: &ureq::Agent, path: &str| agent.get(url(path)).call().unwrap().status().as_u16();
    assert_eq!(status(&known, "/v1/calls"), 200);
    assert_eq!(known.post(url("/v1/drain")).send_empty().unwrap().status().as_u16(), 200);
    assert_eq!(status(&unknown, "/v1/calls"), 401);
    assert_eq!(status(&unknown, "/healthz"), 200);

    // Another authority from now on: who is connected stays so, and whoever connects anew is shown the new certificate.
    let before = client(folder.path(), true);
    certificates(folder.path());
    let after = client(folder.path(), true);
    let told = known.post(url("/v1/reload")).send_empty().unwrap().body_mut().read_to_string().unwrap();
    assert!(told.contains("\"kept\":[]"), "{told}");
    assert_eq!(status(&known, "/v1/calls"), 200, "on the connection that was up");
    assert!(before.get(url("/v1/calls")).call().is_err(), "the old authority vouches for the new certificate no more");
    assert_eq!(status(&after, "/v1/calls"), 200);

    // What cannot be read leaves the certificates as they are.
    std::fs::write(folder.path().join("server.key"), "nothing").unwrap();
    let told = after.post(url("/v1/reload")).send_empty().unwrap().body_mut().read_to_string().unwrap();
    assert!(told.contains("certificates of HTTP: tls.key"), "{told}");
    assert_eq!(status(&client(folder.path(), true), "/v1/calls"), 200);
}

#[test]
fn limits_and_routes_are_shown_and_limits_changed() {
    let mut bench = Bench::ready("limits: {max_calls: 12}");
    assert_eq!(bench.get_json("/v1/limits")["max_calls"], 12);
    assert_eq!(bench.get_json("/v1/limits")["calls"], 0);
    let put = |body: &str| bench.request_with("PUT", "/v1/limits", &[("content-type", "application/json")], body);
    assert_eq!(put(r#"{"max_calls": 1, "retry_after_s": 7}"#).0, 200);
    assert_eq!(put(r#"{"max_calls": 0}"#).0, 409);
    assert_eq!(put(r#"{"calls": 1}"#).0, 400);
    bench.answered_call();
    let call_id = bench.caller.invite("800");
    let refused = bench.caller.expect_final(&call_id);
    assert!(refused.starts_with("SIP/2.0 503 ") && refused.contains("Retry-After: 7"), "{refused}");
    assert_eq!(bench.get_json("/v1/routes")[0]["prefix"], "8");
    // The file counts again.
    bench.reload("prefix: '8'", "prefix: '7'");
    bench.wait_for("the file", || bench.get_json("/v1/limits")["max_calls"] == 12);
    assert_eq!(bench.get_json("/v1/routes")[0]["prefix"], "7");
}
