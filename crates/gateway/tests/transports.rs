//! SIP over TCP, TLS and WebSocket between a running gateway and real peers on loopback: SIPp, `openssl s_client`, Kamailio.
#![allow(missing_docs, unreachable_pub)]

mod support;

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use support::{Gateway, Process, Scratch, free_udp_port, repository};

const CALLER: &str = "127.0.0.2";
const CALLEE: &str = "127.0.0.3";
const SIP: &str = "127.0.0.1";
const BALANCER: &str = "127.0.0.5";

/// A gateway with a listener of each transport.
struct Bench {
    scratch: Scratch,
    gateway: Gateway,
    udp: u16,
    tcp: u16,
    tls: u16,
    mutual: u16,
    caller_port: u16,
    callee_port: u16,
}

/// A TCP port of `address` that nobody listens on now.
fn free_tcp_port(address: &str) -> u16 {
    TcpListener::bind((address, 0)).expect("a free port").local_addr().expect("its address").port()
}

/// An authority, and certificates of its for the gateway and for Kamailio, made by openssl.
fn certificates(folder: &Path) {
    let script = r#"
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=authority \
            -keyout ca.key -out ca.pem
        for name in gateway proxy; do
            openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=$name \
                -keyout $name.key -out $name.csr
            printf 'subjectAltName=DNS:%s.example.com,IP:127.0.0.1' $name >$name.ext
            openssl x509 -req -days 2 -in $name.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile $name.ext \
                -out $name.pem
        done"#;
    let output = Command::new("sh").args(["-ec", script]).current_dir(folder).output().expect("sh runs");
    assert!(output.status.success(), "openssl: {}", String::from_utf8_lossy(&output.stderr));
}

impl Bench {
    /// The caller is spoken with by the listener `caller`, the callee by `callee`.
    fn new(caller: &str, callee: &str) -> Self {
        Self::between((CALLER, caller), (CALLEE, callee))
    }

    fn between((caller_address, caller): (&str, &str), (callee_address, callee): (&str, &str)) -> Self {
        let scratch = Scratch::new();
        certificates(scratch.path());
        let (udp, tcp, tls) = (free_udp_port(SIP), free_tcp_port(SIP), free_tcp_port(SIP));
        let mutual = free_tcp_port(SIP);
        let http = format!("127.0.0.1:{}", free_tcp_port(SIP));
        let (caller_port, callee_port) = (free_tcp_port(caller_address), free_tcp_port(callee_address));
        let configuration = format!(
            r#"
dpdk: {{ huge_pages: off, memory_mib: 64, packet_buffers: 4096, file_prefix: "{prefix}" }}
ports:
  - {{ name: media, device: net_null0, addresses: [10.77.9.1/24] }}
workers: {{ cores: [1], share_cores: true }}
sip:
  listen:
    - {{ name: udp, address: "{SIP}:{udp}" }}
    - {{ name: tcp, address: "{SIP}:{tcp}", transport: tcp, proxies: [{BALANCER}/32] }}
    - name: tls
      address: "{SIP}:{tls}"
      transport: tls
      tls: {{ certificate: "{folder}/gateway.pem", key: "{folder}/gateway.key", server_ca: "{folder}/ca.pem" }}
    - name: mutual
      address: "{SIP}:{mutual}"
      transport: tls
      tls:
        certificate: "{folder}/gateway.pem"
        key: "{folder}/gateway.key"
        server_ca: "{folder}/ca.pem"
        client_certificates: required
        client_ca: "{folder}/ca.pem"
peers:
  - {{ name: caller, address: "{caller_address}:{caller_port}", listen: {caller}, codecs: [PCMU, G722] }}
  - {{ name: callee, address: "{callee_address}:{callee_port}", listen: {callee}, domain: proxy.example.com, codecs: [PCMA] }}
routes:
  - {{ from: caller, prefix: "8", peer: callee }}
records: {{ directory: "{folder}/records" }}
http: {{ listen: "{http}" }}
shutdown: {{ drain_timeout_s: 1 }}
"#,
            prefix = scratch.unique(),
            folder = scratch.path().display(),
        );
        let gateway = Gateway::start(&scratch, &configuration, &http, None);
        Self { scratch, gateway, udp, tcp, tls, mutual, caller_port, callee_port }
    }

    fn sipp(&self, scenario: &str, transport: &str, address: &str, port: u16) -> Command {
        let file = repository().join(format!("crates/gateway/tests/sipp/{scenario}.xml"));
        let mut command = Command::new("sipp");
        command.arg("-sf").arg(file).args(["-i", address, "-mi", address, "-p", &port.to_string(), "-t", transport]);
        command.args(["-nostdin", "-timeout", "60s", "-timeout_error"]);
        command.args(["-max_socket", "100"]);
        command.current_dir(self.scratch.path());
        command
    }

    /// A callee for `calls` calls, bound.
    fn callee(&self, transport: &str, calls: u32) -> Process {
        let mut command = self.sipp("callee_answers", transport, CALLEE, self.callee_port);
        command.args(["-m", &calls.to_string()]);
        let process = Process::spawn("callee", &mut command, self.log("callee"));
        wait_until_bound(if transport.starts_with('t') { "tcp" } else { "udp" }, self.callee_port);
        process
    }

    fn caller(&self, transport: &str, calls: u32) -> Process {
        let port = if transport.starts_with('t') { self.tcp } else { self.udp };
        let mut command = self.sipp("caller_hangs_up", transport, CALLER, self.caller_port);
        command.args(["-m", &calls.to_string(), "-r", "20", "-s", "8100", &format!("{SIP}:{port}")]);
        Process::spawn("caller", &mut command, self.log("caller"))
    }

    fn log(&self, name: &str) -> PathBuf {
        self.scratch.path().join(format!("{name}.log"))
    }

    fn counted(&self, what: &str) -> u64 {
        self.gateway.ctl_json(&["stats"])["switch"]["connections"][what].as_u64().expect("a counter")
    }

    /// Waits until so many were counted.
    fn wait_for(&self, what: &str, count: u64) {
        let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while self.counted(what) != count {
            assert!(std::time::Instant::now() < until, "{what}: {}, wanted is {count}", self.counted(what));
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    #[track_caller]
    fn finish(self, calls: usize) {
        let records = self.gateway.records(calls);
        for record in &records {
            assert_eq!(
                (&record["status"], &record["ended_by"]),
                (&Value::from(200), &Value::from("caller")),
                "{record}"
            );
        }
        assert_eq!(records.len(), calls);
        self.gateway.assert_idle();
        self.gateway.stop();
    }
}

fn wait_until_bound(protocol: &str, port: u16) {
    let bound = format!("{port:04X} ");
    while !std::fs::read_to_string(format!("/proc/net/{protocol}")).expect("/proc/net").contains(&bound) {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

#[test]
fn calls_cross_from_tcp_to_tcp_on_one_connection_each_way() {
    let bench = Bench::new("tcp", "tcp");
    let mut callee = bench.callee("t1", 5);
    bench.caller("t1", 5).expect_success(65);
    callee.expect_success(65);
    assert_eq!((bench.counted("accepted"), bench.counted("opened")), (1, 1));
    bench.finish(5);
}

#[test]
fn each_call_may_have_a_connection_of_its_own() {
    let bench = Bench::new("tcp", "udp");
    let mut callee = bench.callee("u1", 5);
    bench.caller("tn", 5).expect_success(65);
    callee.expect_success(65);
    assert_eq!(bench.counted("accepted"), 5);
    bench.finish(5);
}

#[test]
fn a_caller_over_udp_reaches_a_callee_over_tcp() {
    let bench = Bench::new("udp", "tcp");
    let mut callee = bench.callee("t1", 3);
    bench.caller("u1", 3).expect_success(65);
    callee.expect_success(65);
    bench.finish(3);
}

#[test]
fn a_long_request_reaches_a_callee_over_udp_that_refuses_tcp() {
    let bench = Bench::new("udp", "udp");
    let mut callee = bench.callee("u1", 1);
    let mut command = bench.sipp("caller_hangs_up", "u1", CALLER, bench.caller_port);
    let number = format!("8{}", "1".repeat(400));
    command.args(["-m", "1", "-s", &number, &format!("{SIP}:{}", bench.udp)]);
    Process::spawn("caller", &mut command, bench.log("caller")).expect_success(65);
    callee.expect_success(65);
    assert_eq!((bench.counted("opened"), bench.counted("failed")), (1, 1), "TCP was tried first");
    assert_eq!(bench.gateway.ctl_json(&["stats"])["switch"]["failovers"], 1);
    bench.finish(1);
}

/// `openssl s_client`, connected to one of the gateway's ports.
struct SClient(Child);

impl SClient {
    fn connect(bench: &Bench, port: u16, more: &[&str]) -> Self {
        let mut command = Command::new("openssl");
        command.args(["s_client", "-quiet", "-verify_return_error", "-CAfile", "ca.pem"]);
        command.args(["-verify_hostname", "gateway.example.com", "-connect", &format!("{SIP}:{port}")]).args(more);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        Self(command.current_dir(bench.scratch.path()).spawn().expect("openssl runs"))
    }

    fn send(&mut self, message: &str) {
        // Where the connection is refused, there is nobody to write to.
        let _ = self.0.stdin.as_mut().expect("a pipe").write_all(message.as_bytes());
    }

    /// The next message, with its body; what there was before the connection ended.
    fn receive(&mut self) -> String {
        let output = self.0.stdout.as_mut().expect("a pipe");
        let mut message = Vec::new();
        let mut byte = [0];
        while !message.ends_with(b"\r\n\r\n") && output.read(&mut byte).expect("a pipe can be read") == 1 {
            message.push(byte[0]);
        }
        let head = String::from_utf8(message).expect("UTF-8");
        let mut body = vec![0; value(&head, "Content-Length").parse().unwrap_or(0)];
        output.read_exact(&mut body).expect("the body");
        head + &String::from_utf8(body).expect("UTF-8")
    }

    /// Sends OPTIONS and gives the response's start line; empty where the connection ended instead.
    fn ask(&mut self, call: &str) -> String {
        let message = format!(
            "OPTIONS sip:{SIP} SIP/2.0\r\nVia: SIP/2.0/TLS client.invalid;branch=z9hG4bK{call}\r\n\
             From: <sip:a@client.invalid>;tag=a\r\nTo: <sip:{SIP}>\r\nCall-ID: {call}\r\nCSeq: 1 OPTIONS\r\n\
             Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
        );
        self.send(&message);
        let answer = self.receive();
        assert!(answer.is_empty() || answer.contains(&format!("Call-ID: {call}\r\n")), "{answer}");
        answer.lines().next().unwrap_or_default().to_owned()
    }
}

/// The value of a message's header; empty where it has none.
fn value<'m>(message: &'m str, name: &str) -> &'m str {
    let line = message.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_default().trim()
}

impl Drop for SClient {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const OK: &str = "SIP/2.0 200 OK";

#[test]
fn tls_1_2_and_1_3_are_spoken_and_nothing_older() {
    let bench = Bench::new("udp", "udp");
    assert_eq!(SClient::connect(&bench, bench.tls, &["-tls1_2"]).ask("twelve"), OK);
    assert_eq!(SClient::connect(&bench, bench.tls, &["-tls1_3"]).ask("thirteen"), OK);
    assert_eq!(SClient::connect(&bench, bench.tls, &["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"]).ask("eleven"), "");
    bench.wait_for("failed", 1);
    bench.gateway.stop();
}

#[test]
fn a_client_certificate_is_asked_for_where_the_configuration_says_so() {
    let bench = Bench::new("udp", "udp");
    let own = ["-cert", "proxy.pem", "-key", "proxy.key"];
    assert_eq!(SClient::connect(&bench, bench.mutual, &own).ask("with"), OK);
    assert_eq!(SClient::connect(&bench, bench.mutual, &[]).ask("without"), "");
    let foreign =
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=proxy -keyout foreign.key -out foreign.pem";
    assert!(
        Command::new("sh")
            .args(["-c", foreign])
            .current_dir(bench.scratch.path())
            .output()
            .expect("sh")
            .status
            .success()
    );
    let foreign = ["-cert", "foreign.pem", "-key", "foreign.key"];
    assert_eq!(SClient::connect(&bench, bench.mutual, &foreign).ask("foreign"), "");
    bench.gateway.stop();
}

#[test]
fn certificates_are_read_again_on_sighup_and_connections_stay() {
    let bench = Bench::new("udp", "udp");
    let mut before = SClient::connect(&bench, bench.tls, &[]);
    assert_eq!(before.ask("before"), OK);
    certificates(bench.scratch.path());
    bench.gateway.process.signal("HUP");
    while !bench.gateway.process.log().contains("configuration read again") {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    // The authority is a new one too: whoever trusts it sees the new certificate.
    assert_eq!(SClient::connect(&bench, bench.tls, &[]).ask("after"), OK);
    assert_eq!(before.ask("still"), OK);
    std::fs::write(bench.scratch.path().join("gateway.pem"), "nothing").expect("the file is written");
    bench.gateway.process.signal("HUP");
    while !bench.gateway.process.log().contains("holds no certificate in PEM format") {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert_eq!(SClient::connect(&bench, bench.tls, &[]).ask("kept"), OK);
    bench.gateway.stop();
}

/// A request of a call from [`CALLER`] over TLS.
fn in_call(method: &str, target: &str, to: &str, cseq: u32, body: &str) -> String {
    let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
    format!(
        "{method} {target} SIP/2.0\r\nVia: SIP/2.0/TLS {CALLER};branch=z9hG4bK{method}{cseq}\r\nMax-Forwards: 70\r\n\
         From: <sip:caller@{CALLER}>;tag=caller\r\nTo: {to}\r\nCall-ID: over-tls\r\nCSeq: {cseq} {method}\r\n\
         Contact: <sip:caller@{CALLER};transport=tls>\r\n{kind}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[test]
fn a_call_over_tls_goes_on_while_certificates_change_and_a_broken_file_is_named_with_its_line() {
    let bench = Bench::new("tls", "udp");
    let mut callee = bench.callee("u1", 1);
    let from_caller = ["-bind", "127.0.0.2:0"];
    let mut caller = SClient::connect(&bench, bench.tls, &from_caller);
    let number = format!("sip:8100@{SIP}:{};transport=tls", bench.tls);
    let offer =
        format!("v=0\r\no=- 1 1 IN IP4 {CALLER}\r\ns=-\r\nc=IN IP4 {CALLER}\r\nt=0 0\r\nm=audio 20000 RTP/AVP 0\r\n");
    caller.send(&in_call("INVITE", &number, &format!("<{number}>"), 1, &offer));
    let answer = loop {
        let response = caller.receive();
        if !response.starts_with("SIP/2.0 1") {
            break response;
        }
    };
    assert!(answer.starts_with(OK), "{answer}\n{}", callee.log());
    let (target, to) = (value(&answer, "Contact").trim_matches(['<', '>']).to_owned(), value(&answer, "To").to_owned());
    caller.send(&in_call("ACK", &target, &to, 1, ""));

    let authority = bench.scratch.path().join("ca.pem");
    let old = std::fs::read(&authority).expect("the authority");
    certificates(bench.scratch.path());
    assert_eq!(bench.gateway.ctl_json(&["reload"])["kept"], serde_json::json!([]));
    assert_eq!(SClient::connect(&bench, bench.tls, &[]).ask("new"), OK, "the new authority's");
    std::fs::write(bench.scratch.path().join("old.pem"), old).expect("the old authority is written");
    assert_eq!(SClient::connect(&bench, bench.tls, &["-CAfile", "old.pem"]).ask("old"), "", "nobody shows the old one");

    let file = bench.scratch.path().join("gateway.pem");
    let whole = std::fs::read_to_string(&file).expect("the certificate");
    let broken: Vec<_> = whole.lines().enumerate().map(|(at, line)| if at == 3 { "***" } else { line }).collect();
    std::fs::write(&file, broken.join("\n")).expect("the file is written");
    let kept = bench.gateway.ctl_json(&["reload"])["kept"].clone();
    let told = format!("certificates of SIP listener `tls`: tls.certificate: {}, line 4: not base64", file.display());
    assert_eq!(kept[0].as_str(), Some(told.as_str()), "{kept}");
    assert_eq!(SClient::connect(&bench, bench.tls, &[]).ask("kept"), OK, "what was read last stays");

    assert_eq!(bench.gateway.ctl_json(&["calls"])[0]["state"], "answered");
    caller.send(&in_call("BYE", &target, &to, 2, ""));
    assert!(caller.receive().starts_with(OK));
    callee.expect_success(10);
    assert_eq!(bench.counted("failed"), 1, "the connection of whom trusts the old authority alone");
    bench.finish(1);
}

#[test]
fn kamailio_stands_between_on_both_sides_and_speaks_tls() {
    const PROXY: &str = "127.0.0.4";
    let bench = Bench::between((PROXY, "tls"), (PROXY, "tls"));
    let (proxy_udp, caller_port, callee_port) = (free_udp_port(PROXY), free_udp_port(CALLER), free_udp_port(CALLEE));
    let configuration = format!(
        r#"
debug=1
log_stderror=yes
children=2
tcp_children=2
tcp_source_ipv4={PROXY}
enable_tls=yes
mpath="/usr/lib/x86_64-linux-gnu/kamailio/modules/"
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "siputils.so"
loadmodule "tls.so"
loadmodule "textops.so"
modparam("tls", "tls_method", "TLSv1.2+")
modparam("tls", "certificate", "proxy.pem")
modparam("tls", "private_key", "proxy.key")
modparam("tls", "ca_list", "ca.pem")
modparam("tls", "verify_certificate", 1)
listen=udp:{PROXY}:{proxy_udp}
listen=tls:{PROXY}:{tls_for_caller}
listen=tls:{PROXY}:{tls_for_callee}
request_route {{
    if (is_method("CANCEL")) {{
        if (t_check_trans()) t_relay();
        exit;
    }}
    if (has_totag()) {{
        if (loose_route() || is_method("ACK")) t_relay();
        exit;
    }}
    record_route();
    if ($si == "{SIP}") $du = "sip:{CALLEE}:{callee_port}";
    else $du = "sip:{SIP}:{gateway};transport=tls";
    t_relay();
}}
"#,
        tls_for_caller = bench.caller_port,
        tls_for_callee = bench.callee_port,
        gateway = bench.tls,
    );
    let _kamailio = Kamailio::start(&bench, &configuration, bench.callee_port);
    let mut command = bench.sipp("callee_answers", "u1", CALLEE, callee_port);
    let mut callee = Process::spawn("callee", command.args(["-m", "3"]), bench.log("callee"));
    wait_until_bound("udp", callee_port);
    let mut command = bench.sipp("caller_hangs_up", "u1", CALLER, caller_port);
    command.args(["-m", "3", "-s", "8100", &format!("{PROXY}:{proxy_udp}")]);
    Process::spawn("caller", &mut command, bench.log("caller")).expect_success(65);
    callee.expect_success(65);
    bench.finish(3);
}

#[test]
fn behind_a_load_balancer_the_proxy_protocol_says_who_calls() {
    let bench = Bench::new("tcp", "udp");
    let port = free_tcp_port(BALANCER);
    let configuration = format!(
        "global\n  maxconn 100\ndefaults\n  mode tcp\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n\
         listen sip\n  bind {BALANCER}:{port}\n\
         \x20 server gateway {SIP}:{} source {BALANCER} send-proxy-v2 check check-send-proxy inter 50ms\n",
        bench.tcp
    );
    let file = bench.scratch.path().join("haproxy.cfg");
    std::fs::write(&file, configuration).expect("the configuration is written");
    let mut haproxy = Command::new("haproxy");
    let mut haproxy = Process::spawn("haproxy", haproxy.arg("-db").arg("-f").arg(&file), bench.log("haproxy"));
    wait_until_bound("tcp", port);
    let mut callee = bench.callee("u1", 2);
    let mut command = bench.sipp("caller_hangs_up", "tn", CALLER, bench.caller_port);
    command.args(["-m", "2", "-s", "8100", &format!("{BALANCER}:{port}")]);
    // Its calls are taken because they come from the caller's address; the balancer's own is nobody's.
    Process::spawn("caller", &mut command, bench.log("caller")).expect_success(65);
    callee.expect_success(65);
    assert!(haproxy.is_running(), "{}", haproxy.log());
    bench.finish(2);
}

/// A Kamailio in the scratch directory. Its processes end together, when it is asked to.
struct Kamailio(Process);

impl Kamailio {
    fn start(bench: &Bench, configuration: &str, port: u16) -> Self {
        let file = bench.scratch.path().join("kamailio.cfg");
        std::fs::write(&file, configuration).expect("the configuration is written");
        let folder = bench.scratch.path();
        let mut command = Command::new("kamailio");
        command.args(["-DD", "-E", "-m", "32", "-M", "8", "-f"]).arg(&file).arg("-Y").arg(folder).arg("-w").arg(folder);
        let mut process = Process::spawn("kamailio", command.current_dir(folder), bench.log("kamailio"));
        let bound = format!("{port:04X} ");
        while !std::fs::read_to_string("/proc/net/tcp").expect("/proc/net/tcp").contains(&bound) {
            assert!(process.is_running(), "{}", process.log());
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        Self(process)
    }
}

impl Drop for Kamailio {
    fn drop(&mut self) {
        self.0.signal("TERM");
        self.0.wait(20);
    }
}
