//! Two nodes and a store: one has the floating address, and the other gets it.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

mod support;

use std::net::{TcpListener, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use support::Bench;
use tandem_contract::{Fence, Nanos};
use tandem_control::WorkerFence;
use tempfile::TempDir;

/// A server of its own; it ends with the test.
struct Store(Child, String);

impl Store {
    fn start() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let arguments = ["--save", "", "--appendonly", "no", "--bind", "127.0.0.1", "--port", &port.to_string()];
        let child = Command::new("redis-server").args(arguments).stdout(Stdio::null()).spawn();
        Self(child.expect("redis-server, which scripts/setup.sh installs"), format!("redis://127.0.0.1:{port}/"))
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Pair {
    nodes: [Bench; 2],
    fences: [Arc<Fence>; 2],
    store: Store,
    _secret: TempDir,
}

const NAMES: [&str; 2] = ["edge-1", "edge-2"];

impl Pair {
    fn start() -> Self {
        let secret = tempfile::tempdir().unwrap();
        let path = secret.path().join("secret");
        std::fs::write(&path, [7; 40]).unwrap();
        let store = Store::start();
        let ports = [0, 1].map(|_| UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap());
        let cluster = |own: usize| {
            let members: Vec<String> = NAMES
                .iter()
                .zip(&ports)
                .map(|(name, port)| format!("{{name: {name}, heartbeat: [\"{port}\"]}}"))
                .collect();
            format!(
                "node: {{name: {}}}\ncluster:\n  secret_file: {}\n  store: {}\n  home: edge-1\n  beat_ms: 50\n  \
                 members: [{}]\nreplication: {{addresses: [{{address: 10.0.0.100/24}}]}}",
                NAMES[own],
                path.display(),
                store.1,
                members.join(", ")
            )
        };
        let fences = [0, 1].map(|_| Arc::new(Fence::lifted()));
        let node = |own: usize| {
            let start = Instant::now();
            let clock = Box::new(move || Nanos(start.elapsed().as_nanos() as u64));
            let fence = WorkerFence { fence: fences[own].clone(), clock };
            let bench = Bench::fenced(&cluster(own), |_| {}, fence);
            bench.data_plane_ready();
            bench
        };
        Self { nodes: [node(0), node(1)], fences, store, _secret: secret }
    }

    fn standing(&self, node: usize) -> String {
        let (status, body) = self.nodes[node].get("/v1/cluster");
        let view: serde_json::Value = serde_json::from_str(&body).unwrap_or_default();
        if status == 200 { view["services"][0]["standing"].as_str().unwrap_or_default().to_owned() } else { body }
    }

    /// Waits until one node has the address and the other has not.
    fn wait_for_holder(&self, node: usize) {
        let has = |node: usize| self.nodes[node].get("/v1/addresses").1.contains("10.0.0.100");
        self.nodes[node]
            .wait_for("the address and its votes", || self.standing(node) == "active" && has(node) && !has(1 - node));
        assert_eq!(self.standing(1 - node), "standby");
    }
}

#[test]
fn the_address_is_at_home_and_moves_when_an_operator_says_so_or_a_worker_stops() {
    let pair = Pair::start();
    pair.wait_for_holder(0);
    assert!(!pair.fences[0].is_open(Nanos(u64::MAX - 1)), "what may be sent is bounded in time");

    let (status, body) = pair.nodes[1].request("POST", "/v1/cluster/failover?to=edge-1", &[]);
    assert_eq!((status, body.contains("edge-1 holds the service already")), (409, true), "{body}");
    assert_eq!(pair.nodes[1].request("POST", "/v1/cluster/failover?to=nobody", &[]).0, 404);
    let (status, body) = pair.nodes[1].request("POST", "/v1/cluster/failover?to=edge-2", &[]);
    assert_eq!(status, 200, "{body}");
    pair.wait_for_holder(1);
    pair.nodes[0].wait_for("nothing to be fenced any more", || pair.fences[0].is_open(Nanos(u64::MAX - 1)));

    pair.nodes[1].worker.stuck.store(true, Relaxed);
    pair.nodes[0].wait_for("the other node to take over", || pair.standing(0) == "active");
    pair.nodes[1].worker.stuck.store(false, Relaxed);
    pair.wait_for_holder(0);
    let explained = pair.nodes[0].get_json("/v1/cluster");
    let reasons = &explained["explanation"]["successors"][0];
    assert_eq!(reasons["member"], "edge-2");
    assert_eq!(reasons["reasons"][0], "says that it is not fit");
}

#[test]
fn a_holder_goes_on_without_the_store_while_the_other_votes_for_it_and_hands_over_when_it_ends() {
    let mut pair = Pair::start();
    pair.wait_for_holder(0);
    pair.store.0.kill().unwrap();
    pair.nodes[0].wait_for("the alarm", || pair.nodes[0].get("/v1/cluster").1.contains("store_away"));
    pair.wait_for_holder(0);
    let [first, second] = pair.nodes;
    first.control.terminate();
    second.wait_for("the other node to take over", || second.get("/v1/cluster").1.contains("\"standing\":\"active\""));
    first.control.wait().unwrap();
}
