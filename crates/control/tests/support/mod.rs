//! Control with a worker in memory and SIP peers on loopback sockets.
#![allow(dead_code, reason = "each test file uses its part")]

mod sip_peer;
mod worker;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tandem_control::{Control, Ended, PortReader, PortReading, Setup, WorkerFence, WorkerLink};
use tempfile::TempDir;

pub use sip_peer::SipPeer;
pub use worker::InMemoryWorker;

/// Nothing here takes as long.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A running control plane, a worker, a caller and a callee.
pub struct Bench {
    pub control: Control,
    pub worker: InMemoryWorker,
    pub caller: SipPeer,
    pub callee: SipPeer,
    pub config_path: PathBuf,
    pub records: PathBuf,
    text: String,
    _directory: TempDir,
}

impl Bench {
    /// Starts it without its workers; `more` is added to the configuration.
    pub fn starting(more: &str) -> Self {
        Self::prepared(more, |_| {})
    }

    /// Starts it ready for calls.
    pub fn ready(more: &str) -> Self {
        let bench = Self::starting(more);
        bench.data_plane_ready();
        bench.wait_for("the node to be ready", || bench.get("/readyz").0 == 200);
        bench
    }

    /// Starts it without its workers, after `prepare` saw the directory of records.
    pub fn prepared(more: &str, prepare: impl FnOnce(&Path)) -> Self {
        Self::fenced(more, prepare, WorkerFence::of_nobody())
    }

    /// The same, with what stops workers.
    pub fn fenced(more: &str, prepare: impl FnOnce(&Path), fence: WorkerFence) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let records = directory.path().join("records");
        std::fs::create_dir(&records).unwrap();
        prepare(&records);
        let sip = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (caller, callee) = (SipPeer::new("127.0.0.2", sip), SipPeer::new("127.0.0.3", sip));
        let http = if more.starts_with("http:") { "" } else { "http: {listen: \"127.0.0.1:0\"}\n" };
        let text = format!(
            "ports: [{{name: media, device: net_null0, addresses: [10.0.0.10/24]}}]
sip: {{listen: [{{address: \"{sip}\"}}]}}
peers:
  - {{name: caller, address: \"{}\", codecs: [PCMU]}}
  - {{name: callee, address: \"{}\", codecs: [PCMA]}}
routes: [{{from: caller, prefix: '8', peer: callee}}]
records: {{directory: {}}}
{http}{more}\n",
            caller.address(),
            callee.address(),
            records.display(),
        );
        let config_path = directory.path().join("tandem.yaml");
        std::fs::write(&config_path, &text).unwrap();
        let config = tandem_config::load(&config_path).unwrap_or_else(|error| panic!("{error}"));
        let (link, worker) = worker::pair();
        let links: Vec<WorkerLink> = vec![link];
        let control = Control::start(Setup {
            config,
            config_path: config_path.clone(),
            workers: links,
            taps: Vec::new(),
            slots: 100,
            log: None,
            fence,
            signals: false,
        })
        .unwrap();
        Self { control, worker, caller, callee, config_path, records, text, _directory: directory }
    }

    pub fn data_plane_ready(&self) {
        let counters = || vec![PortReading { port: "media".to_owned(), counters: vec![("rx_missed".to_owned(), 3)] }];
        let reader = PortReader::new(counters, || true);
        self.control.data_plane_ready(reader, Vec::new());
    }

    /// Replaces a part of the configuration file and has it read again.
    pub fn reload(&mut self, from: &str, to: &str) {
        assert!(self.text.contains(from));
        self.text = self.text.replace(from, to);
        std::fs::write(&self.config_path, &self.text).unwrap();
        self.control.reload();
    }

    pub fn get(&self, path: &str) -> (u16, String) {
        self.request("GET", path, &[])
    }

    pub fn get_json(&self, path: &str) -> serde_json::Value {
        let (status, body) = self.get(path);
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).unwrap()
    }

    pub fn request(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> (u16, String) {
        self.request_with(method, path, headers, "")
    }

    pub fn request_with(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> (u16, String) {
        let agent: ureq::Agent =
            ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(PATIENCE)).build().into();
        let uri = format!("http://{}{path}", self.control.http_address());
        let mut request = ureq::http::Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut answer = agent.run(request.body(body.to_owned()).unwrap()).unwrap();
        (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap())
    }

    /// Posts JSON.
    pub fn post(&self, path: &str, body: &str) -> (u16, String) {
        let agent: ureq::Agent =
            ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(PATIENCE)).build().into();
        let request = agent.post(format!("http://{}{path}", self.control.http_address()));
        let mut answer = request.header("content-type", "application/json").send(body).unwrap();
        (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap())
    }

    pub fn wait_for(&self, what: &str, mut condition: impl FnMut() -> bool) {
        let until = Instant::now() + PATIENCE;
        while !condition() {
            assert!(Instant::now() < until, "waited in vain for {what}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Records on disk now.
    pub fn records(&self) -> Vec<serde_json::Value> {
        let mut records = Vec::new();
        for entry in std::fs::read_dir(&self.records).unwrap() {
            let text = std::fs::read_to_string(entry.unwrap().path()).unwrap_or_default();
            records.extend(text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()));
        }
        records
    }

    /// Sets a call up; the caller's Call-ID.
    pub fn answered_call(&self) -> String {
        let call_id = self.caller.invite("800");
        let invite = self.callee.expect("INVITE ");
        self.callee.answer(&invite, "200 OK", true);
        let ok = self.caller.expect_final(&call_id);
        assert!(ok.starts_with("SIP/2.0 200 "), "{ok}");
        self.caller.ack(&ok);
        self.callee.expect("ACK ");
        call_id
    }

    /// Ends it; how it ended.
    pub fn end(self) -> Ended {
        self.control.terminate();
        self.control.wait().unwrap()
    }
}
