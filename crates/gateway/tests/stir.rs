//! Callers' identities between SIPp and a running gateway: checked, told to routes, callees and records, refused, signed.
#![allow(missing_docs, unreachable_pub)]

mod support;

use std::path::Path;
use std::process::Command;

use support::endpoint::Endpoint;
use support::{Gateway, Process, Scratch, free_udp_port};

const GATEWAY: &str = "127.0.0.1";
const THEIR_URL: &str = "https://certificates.example.net/theirs.pem";
const OUR_URL: &str = "https://certificates.example.com/ours.pem";

/// Makes keys and certificates, signs and verifies tokens: OpenSSL and Python's own, without a line of the gateway's.
const SCRIPT: &str = r#"
import base64, json, subprocess, sys, time
encode = lambda octets: base64.urlsafe_b64encode(octets).decode().rstrip("=")
decode = lambda text: base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
def raw(der):
    r, s = der[4:4 + der[3]], der[6 + der[3]:]
    return r.lstrip(b"\0").rjust(32, b"\0") + s.lstrip(b"\0").rjust(32, b"\0")
def der(raw):
    def integer(octets):
        octets = octets.lstrip(b"\0")
        octets = (b"\0" + octets) if not octets or octets[0] & 0x80 else octets
        return b"\x02" + bytes([len(octets)]) + octets
    body = integer(raw[:32]) + integer(raw[32:])
    return b"\x30" + bytes([len(body)]) + body
def written(value): return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()
command, url = sys.argv[1:3]
if command == "sign":
    age, destination = int(sys.argv[3]), sys.argv[4]
    header = {"alg": "ES256", "ppt": "shaken", "typ": "passport", "x5u": url}
    claims = {"attest": "A", "dest": {"tn": [destination]}, "iat": int(time.time()) - age, "orig": {"tn": "12155551212"}, "origid": "123e4567-e89b-12d3-a456-426655440000"}
    message = encode(written(header)) + "." + encode(written(claims))
    signed = subprocess.run(["openssl", "dgst", "-sha256", "-sign", "theirs.key"], input=message.encode(), capture_output=True, check=True)
    print(f"{message}.{encode(raw(signed.stdout))};info=<{url}>;alg=ES256;ppt=shaken", end="")
else:
    token, parameters = sys.argv[3].split(";", 1)
    message, signature = token.rsplit(".", 1)
    open("signature.der", "wb").write(der(decode(signature)))
    subprocess.run("openssl x509 -in ours.pem -noout -pubkey >ours.pub", shell=True, check=True)
    subprocess.run(["openssl", "dgst", "-sha256", "-verify", "ours.pub", "-signature", "signature.der"], input=message.encode(), stdout=subprocess.DEVNULL, check=True)
    header, claims = (json.loads(decode(part)) for part in message.split("."))
    assert parameters == f"info=<{url}>;alg=ES256;ppt=shaken", parameters
    assert header == {"alg": "ES256", "ppt": "shaken", "typ": "passport", "x5u": url}, header
    assert written(header) == decode(message.split(".")[0]) and written(claims) == decode(message.split(".")[1])
    assert abs(claims["iat"] - time.time()) < 60, claims
    print(json.dumps(claims), end="")
"#;

fn run(folder: &Path, program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).current_dir(folder).output().expect("it runs");
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

struct Bench {
    scratch: Scratch,
    gateway: Gateway,
    sip: Endpoint,
    callee: Endpoint,
}

impl Bench {
    fn new([lenient, strict, office]: [Endpoint; 3]) -> Self {
        let scratch = Scratch::new();
        let folder = scratch.path();
        let keys = r#"
            openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=sti-ca -keyout ca.key -out ca.pem
            for name in theirs ours; do
                openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=SHAKEN $name" -keyout $name.key -out $name.csr
                printf 'basicConstraints=critical,CA:FALSE' >$name.ext
                openssl x509 -req -days 2 -in $name.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile $name.ext -out $name.pem
            done"#;
        run(folder, "sh", &["-ec", keys]);
        std::fs::write(folder.join("token.py"), SCRIPT).expect("a script");
        let [sip, callee] = [GATEWAY, "127.0.0.3"].map(Endpoint::new);
        let http = format!("127.0.0.1:{}", free_udp_port(GATEWAY));
        let peer = |endpoint: Endpoint| format!("{}:{}", endpoint.address, endpoint.port);
        let configuration = format!(
            r#"
dpdk: {{ huge_pages: off, memory_mib: 64, packet_buffers: 4096, file_prefix: "{prefix}" }}
ports:
  - {{ name: media, device: net_null0, addresses: [10.77.9.1/24] }}
workers: {{ cores: [1], share_cores: true }}
sip: {{ listen: [{{ name: main, address: "{sip}" }}] }}
stir:
  authorities: {folder}/ca.pem
  certificates: [{{ url: "{THEIR_URL}", file: {folder}/theirs.pem }}]
  signing: {{ key: {folder}/ours.key, url: "{OUR_URL}" }}
peers:
  - {{ name: lenient, address: "{lenient}", codecs: [PCMU], stir: {{ check: on }} }}
  - {{ name: strict, address: "{strict}", codecs: [PCMU], stir: {{ check: required }} }}
  - {{ name: office, address: "{office}", codecs: [PCMU], stir: {{ attestation: B }} }}
  - {{ name: callee, address: "{callee}", codecs: [PCMA], trusted: true, identity: asserted, stir: {{ sign: true }} }}
routes:
  - {{ from: lenient, identity: verified, peer: callee }}
  - {{ from: strict, peer: callee }}
  - {{ from: office, peer: callee }}
records: {{ directory: "{folder}/records" }}
http: {{ listen: "{http}" }}
shutdown: {{ drain_timeout_s: 1 }}
"#,
            prefix = scratch.unique(),
            folder = folder.display(),
            sip = peer(sip),
            lenient = peer(lenient),
            strict = peer(strict),
            office = peer(office),
            callee = peer(callee),
        );
        let gateway = Gateway::start(&scratch, &configuration, &http, None);
        Self { scratch, gateway, sip, callee }
    }

    /// An Identity header's value, signed so many seconds ago for a call to a number.
    fn signed(&self, url: &str, age: i32, destination: &str) -> String {
        run(self.scratch.path(), "python3", &["token.py", "sign", url, &age.to_string(), destination])
    }

    fn call(&self, caller: Endpoint, scenario: &str, key: &str, value: &str) {
        let mut command = caller.command(&self.scratch, scenario);
        command.args(["-key", key, value, "-s", "+12155551213", &format!("{}:{}", self.sip.address, self.sip.port)]);
        let log = self.scratch.path().join(format!("{scenario}-{}.log", caller.port));
        Process::spawn(scenario, &mut command, log).expect_success(30);
    }

    /// What the callee was told: Identity and P-Asserted-Identity.
    fn callee_told(&self, call: impl FnOnce()) -> (String, String) {
        let log = self.scratch.path().join("callee.notes");
        let _ = std::fs::remove_file(&log);
        let mut command = self.callee.command(&self.scratch, "callee_notes_identity");
        command.args(["-trace_logs", "-log_file"]).arg(&log);
        let mut callee = Process::spawn("the callee", &mut command, self.scratch.path().join("callee.log"));
        let bound = format!("{:04X} ", self.callee.port);
        while !std::fs::read_to_string("/proc/net/udp").expect("/proc/net/udp").contains(&bound) {
            assert!(callee.is_running(), "{}", callee.log());
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        call();
        callee.expect_success(10);
        let notes = std::fs::read_to_string(&log).expect("the callee's notes");
        let note = |name: &str| {
            let line = notes.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
            line.trim().to_owned()
        };
        (note("identity "), note("asserted "))
    }
}

#[test]
fn who_calls_is_verified_for_routes_callees_and_records_and_refused_where_it_is_not() {
    let [lenient, strict, office] = ["127.0.0.2", "127.0.0.4", "127.0.0.5"].map(Endpoint::new);
    let bench = Bench::new([lenient, strict, office]);

    let valid = bench.signed(THEIR_URL, 0, "12155551213");
    let (identity, asserted) = bench.callee_told(|| bench.call(lenient, "caller_signs", "identity", &valid));
    assert_eq!(identity, valid, "what was valid goes on as it is");
    assert!(asserted.contains("<sip:+12155551212;verstat=TN-Validation-Passed@"), "{asserted}");

    // The last octets of a signature, another number, another time, another certificate, no header at all.
    let at = valid.find(";info").expect("parameters") - 4;
    let tampered =
        format!("{}{}{}", &valid[..at], if valid[at..].starts_with('A') { 'B' } else { 'A' }, &valid[at + 1..]);
    let line = |value: &str| format!("Identity: {value}");
    bench.call(lenient, "caller_signs_badly", "line", &line(&tampered));
    bench.call(strict, "caller_signs_badly", "line", &line(&tampered));
    bench.call(strict, "caller_signs_badly", "line", &line(&bench.signed(THEIR_URL, 0, "12155551214")));
    bench.call(strict, "caller_signs_badly", "line", &line(&bench.signed(THEIR_URL, 3600, "12155551213")));
    bench.call(
        strict,
        "caller_signs_badly",
        "line",
        &line(&bench.signed("https://unknown.example/", 0, "12155551213")),
    );
    bench.call(strict, "caller_signs_badly", "line", "X-Nothing: to say");
    // What was valid, once more for another call.
    bench.call(strict, "caller_signs_badly", "line", &line(&valid));

    // Ours, where the caller has none.
    let (identity, asserted) = bench
        .callee_told(|| office.calls(&bench.scratch, "caller_hangs_up", "+12155551213", bench.sip).expect_success(30));
    assert!(!asserted.contains("verstat"), "nobody looked: {asserted}");
    let claims = run(bench.scratch.path(), "python3", &["token.py", "verify", OUR_URL, &identity]);
    let claims: serde_json::Value = serde_json::from_str(&claims).expect("claims");
    assert_eq!((&claims["attest"], &claims["dest"]["tn"][0]), (&"B".into(), &"12155551213".into()), "{claims}");
    assert!(claims["orig"]["uri"].as_str().is_some_and(|uri| uri.starts_with("sip:caller@")), "{claims}");

    let records = bench.gateway.records(9);
    let told: Vec<_> = records
        .iter()
        .map(|record| (record["status"].as_u64().unwrap_or(0), record["identity"]["verdict"].as_str().unwrap_or("-")))
        .collect();
    let mut sorted = told.clone();
    sorted.sort_unstable();
    assert_eq!(
        sorted,
        [
            (200, "-"),
            (200, "verified"),
            (403, "-"),
            (403, "-"),
            (404, "failed"),
            (428, "-"),
            (436, "-"),
            (438, "-"),
            (438, "-")
        ],
        "{told:?}"
    );
    let verified = records.iter().find(|record| record["identity"]["verdict"] == "verified").expect("one");
    assert_eq!(verified["identity"]["attestation"], "A");
    let failed = records.iter().find(|record| record["identity"]["verdict"] == "failed").expect("one");
    assert_eq!(failed["identity"]["reason"], "the signature is wrong");
    let why = bench.gateway.ctl(&["route", "explain", "+12155551213", "--from", "lenient"]);
    assert!(String::from_utf8_lossy(&why.stdout).contains("the caller's identity is not `verified`"));
    let stats = bench.gateway.ctl_json(&["stats"]);
    assert_eq!(
        (&stats["switch"]["identities_verified"], &stats["switch"]["identities_signed"]),
        (&1.into(), &1.into())
    );
    assert_eq!(stats["switch"]["identities_failed"], 7);
    bench.gateway.assert_idle();
    bench.gateway.stop();
}
