//! Two gateways and their peers in three network namespaces around a bridge, and a store of calls.
//!
//! ```text
//!  tandem-fa-ID  10.79.0.11  eth0 ----.
//!                            media0 --|     bridge br0 10.79.0.9, tandem-fe-ID
//!  tandem-fb-ID  10.79.0.12  eth0 ----|     peers 10.79.0.2 and 10.79.0.3, redis-server
//!                            media0 --'
//! ```
//!
//! SIP floats on 10.79.0.100, an address of the kernel's; media on 10.79.0.101, an address of the DPDK port.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::talkers::Talkers;
use super::{Gateway, Process, Scratch, inside};

pub const SIP: &str = "10.79.0.100:5060";
pub const CALLER: &str = "10.79.0.2";
pub const CALLEE: &str = "10.79.0.3";
pub const RECORDER: &str = "10.79.0.3:5070";

pub struct Pair {
    id: String,
    pub scratch: [Scratch; 2],
    /// That of calls, and where the votes have one of their own, that.
    pub stores: Vec<Process>,
    pub nodes: [Option<Gateway>; 2],
    /// What the callee speaks, and where each worker polls.
    callee: String,
    cores: [usize; 2],
    /// Further sections of both, `cluster` among them where they are in one.
    sections: String,
    /// Whether the caller's calls go to the recording server at [`RECORDER`].
    is_recorded: bool,
}

/// Where stores listen: that of calls, and that of votes where that is another.
const STORES: [&str; 2] = ["6379", "6380"];

impl Pair {
    /// Networks, the store, and both gateways, ready; neither has the floating addresses. `callee` says what the callee
    /// speaks, `cores` where each worker polls.
    pub fn up(callee: &str, cores: [usize; 2]) -> Self {
        Self::up_with(callee, cores, "", |_| ())
    }

    /// The same with more in the configuration, and something to do before the gateways start.
    pub fn up_with(callee: &str, cores: [usize; 2], more: &str, prepare: impl FnOnce(&Self)) -> Self {
        Self::start_all(callee, cores, [Scratch::new(), Scratch::new()], 1, more.to_owned(), false, prepare)
    }

    /// The same as members of a cluster, whose third vote is the store's.
    pub fn clustered(callee: &str, cores: [usize; 2]) -> Self {
        Self::clustered_with(callee, cores, "", |_| ())
    }

    /// The same with more in the configuration, and something to do before the gateways start.
    pub fn clustered_with(callee: &str, cores: [usize; 2], more: &str, prepare: impl FnOnce(&Self)) -> Self {
        Self::clustered_by(LISTED, callee, cores, more, prepare)
    }

    /// The same with members that are found as this says.
    pub fn clustered_by(
        members: &str,
        callee: &str,
        cores: [usize; 2],
        more: &str,
        prepare: impl FnOnce(&Self),
    ) -> Self {
        let scratch = [Scratch::new(), Scratch::new()];
        // Long enough for two workers and the parties on two cores.
        let cluster = cluster(&scratch[0], 200, STORES[0], members) + more;
        Self::start_all(callee, cores, scratch, 1, cluster, false, prepare)
    }

    /// A cluster whose calls a recording server gets as well.
    pub fn recorded(callee: &str, cores: [usize; 2]) -> Self {
        let scratch = [Scratch::new(), Scratch::new()];
        let cluster = cluster(&scratch[0], 200, STORES[0], LISTED);
        Self::start_all(callee, cores, scratch, 1, cluster, true, |_| ())
    }

    /// A cluster with heartbeats of its own, whose votes have a store of their own, and callees that speak whatever there is.
    pub fn watching(beat_ms: u32) -> Self {
        Self::watching_with(beat_ms, "")
    }

    /// The same with more in the configuration.
    pub fn watching_with(beat_ms: u32, more: &str) -> Self {
        let scratch = [Scratch::new(), Scratch::new()];
        let cluster = cluster(&scratch[0], beat_ms, STORES[1], LISTED) + more;
        Self::start_all("G722, PCMA, G729", [1, 1], scratch, 2, cluster, false, |_| ())
    }

    fn start_all(
        callee: &str,
        cores: [usize; 2],
        scratch: [Scratch; 2],
        stores: usize,
        sections: String,
        is_recorded: bool,
        prepare: impl FnOnce(&Self),
    ) -> Self {
        let id: String = scratch[0].unique().chars().rev().take(6).collect();
        network("up", &id);
        let (stores_up, nodes) = (Vec::new(), [None, None]);
        let mut pair =
            Self { id, scratch, stores: stores_up, nodes, callee: callee.to_owned(), cores, sections, is_recorded };
        (0..stores).for_each(|store| pair.start_store(store));
        prepare(&pair);
        (0..2).for_each(|node| pair.start(node, callee, cores[node]));
        pair
    }

    /// Starts a store, or starts it again, with nothing in it.
    pub fn start_store(&mut self, store: usize) {
        let mut command = inside(Some(&self.endpoints()), "redis-server");
        command.args(["--port", STORES[store], "--bind", "10.79.0.9", "--save", "", "--protected-mode", "no"]);
        let log = self.scratch[0].path().join(format!("redis-{store}.log"));
        let redis = Process::spawn("redis-server", &mut command, log);
        let until = Instant::now() + Duration::from_secs(20);
        while !redis.log().contains("Ready to accept connections") {
            assert!(Instant::now() < until, "the store does not start:\n{}", redis.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        if store < self.stores.len() {
            self.stores[store] = redis;
        } else {
            self.stores.push(redis);
        }
    }

    /// Starts a node again, as it was.
    pub fn start_again(&mut self, node: usize) {
        self.nodes[node] = None;
        let (callee, core) = (self.callee.clone(), self.cores[node]);
        self.start(node, &callee, core);
    }

    pub fn start(&mut self, node: usize, callee: &str, core: usize) {
        let scratch = &self.scratch[node];
        let configuration = format!(
            r#"
node: {{ name: "node-{name}" }}
dpdk: {{ huge_pages: off, memory_mib: 64, packet_buffers: 8192, file_prefix: "{prefix}{name}" }}
ports:
  - {{ name: media, device: "net_af_packet0,iface=media0", addresses: [10.79.0.2{node}/24] }}
workers: {{ cores: [{core}], share_cores: true }}
sip: {{ listen: [{{ name: main, address: "{SIP}" }}] }}
peers:
  - {{ name: caller, address: "{CALLER}:5060", media_address: 10.79.0.101, codecs: [PCMU], srtp: optional{recorder} }}
  - {{ name: callee, address: "{CALLEE}:5060", media_address: 10.79.0.101, codecs: [{callee}] }}
  - {{ name: recorder, address: "{RECORDER}", media_address: 10.79.0.101 }}
routes:
  - {{ from: caller, peer: callee }}
  - {{ from: callee, peer: caller }}
records: {{ directory: "{records}", store: {delivers} }}
replication:
  store: ["redis://10.79.0.9:6379/"]
  position_interval_ms: 200
  addresses:
    - {{ address: 10.79.0.100/24, interface: eth0 }}
    - {{ address: 10.79.0.101/24, port: media }}
shutdown: {{ drain_timeout_s: 1 }}
{sections}"#,
            sections = self.sections,
            name = ["a", "b"][node],
            recorder = if self.is_recorded { ", recorder: recorder" } else { "" },
            prefix = scratch.unique(),
            records = scratch.path().join("records").display(),
            // Where there is a database, records go there.
            delivers = self.sections.lines().any(|line| line.starts_with("store: ")),
        );
        let gateway = Gateway::start(scratch, &configuration, "127.0.0.1:9060", Some(&self.namespace(node)));
        self.nodes[node] = Some(gateway);
    }

    pub fn node(&self, node: usize) -> &Gateway {
        self.nodes[node].as_ref().expect("it runs")
    }

    pub fn namespace(&self, node: usize) -> String {
        format!("tandem-f{}-{}", ["a", "b"][node], self.id)
    }

    /// Where the peers are.
    pub fn endpoints(&self) -> String {
        format!("tandem-fe-{}", self.id)
    }

    /// Parties of so many calls, which have yet to be made, by what each callee speaks.
    pub fn talkers(&self, calls: usize, codecs: &[&str]) -> Talkers {
        Talkers::new(&self.endpoints(), SIP, [CALLER, CALLEE], calls, codecs)
    }

    /// `tandem ctl takeover` at a node; how many calls go on there.
    pub fn take_over(&self, node: usize) -> u64 {
        let answer = self.node(node).ctl_json(&["takeover"]);
        assert_eq!(answer["refused"], serde_json::json!([]), "{answer}");
        answer["calls"].as_u64().expect("a number")
    }

    /// Waits until one node has the floating addresses by its votes; which.
    pub fn await_holder(&self) -> usize {
        let until = Instant::now() + Duration::from_secs(30);
        loop {
            for node in 0..2 {
                if self.metrics(node).lines().any(|line| line == "tandem_cluster_active 1") {
                    return node;
                }
            }
            assert!(Instant::now() < until, "nobody has the addresses:\n{}", self.node(0).process.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until a node sees every member fit: two workers that share a core may stand still for too long.
    pub fn await_fit(&self, node: usize) {
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            let view = self.node(node).ctl_json(&["cluster"]);
            let members = view["members"].as_array().cloned().unwrap_or_default();
            if !members.is_empty() && members.iter().all(|member| member["fit"] == true) {
                return;
            }
            assert!(Instant::now() < until, "a member is not fit: {view}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until the other node could go on with so many calls of the holder's, and the holder may hand them over.
    pub fn await_copied(&self, holder: usize, calls: u64) {
        self.await_warm(1 - holder, calls);
        self.await_fit(holder);
    }

    /// Waits until a node has a warm copy of so many calls, and their flows at hand.
    pub fn await_warm(&self, node: usize, calls: u64) {
        let until = Instant::now() + Duration::from_secs(30);
        loop {
            let metrics = self.metrics(node);
            let says = |name: &str| metrics.lines().any(|line| line == format!("{name} {calls}"));
            if says("tandem_warm_calls") && says("tandem_flows_at_hand") {
                return;
            }
            assert!(Instant::now() < until, "no copy of {calls} calls:\n{metrics}\n{}", self.node(node).process.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub fn metrics(&self, node: usize) -> String {
        let script = "exec 3<>/dev/tcp/127.0.0.1/9060; printf 'GET /metrics HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3";
        let output = inside(Some(&self.namespace(node)), "bash").args(["-c", script]).output().expect("bash runs");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// A command in a namespace.
    pub fn run(&self, namespace: &str, line: &str) {
        let status = inside(Some(namespace), "sh").args(["-ec", line]).status();
        assert!(status.expect("sh runs").success(), "{line}");
    }

    /// Cuts the link of a node's interface, or mends it: `down` or `up`.
    pub fn link(&self, node: usize, interface: &str, state: &str) {
        let link = format!("{}{}", ["a", "b"][node], interface);
        self.run(&self.endpoints(), &format!("ip link set {link} {state}"));
    }

    /// Records of both nodes.
    pub fn records(&self) -> Vec<serde_json::Value> {
        self.scratch.iter().flat_map(|scratch| super::read_records(&scratch.path().join("records"))).collect()
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        self.nodes = [None, None];
        network("down", &self.id);
    }
}

/// Members as both have them in their files.
const LISTED: &str = r#"members:
    - { name: node-a, heartbeat: ["10.79.0.11:7946"] }
    - { name: node-b, heartbeat: ["10.79.0.12:7946"] }"#;

/// The section `cluster`.
fn cluster(scratch: &Scratch, beat_ms: u32, store: &str, members: &str) -> String {
    let secret = scratch.path().join("secret");
    fs::write(&secret, [7; 48]).expect("a secret");
    format!(
        r#"
cluster:
  secret_file: "{}"
  store: "redis://10.79.0.9:{store}/"
  beat_ms: {beat_ms}
  {members}
"#,
        secret.display()
    )
}

fn network(action: &str, id: &str) {
    const UP: &str = r#"
        for ns in fe fa fb; do ip netns add tandem-$ns-$id; ip -n tandem-$ns-$id link set lo up; done
        e=tandem-fe-$id
        ip -n $e link add br0 type bridge
        ip -n $e address add 10.79.0.9/24 dev br0
        ip -n $e address add 10.79.0.2/24 dev br0
        ip -n $e address add 10.79.0.3/24 dev br0
        ip netns exec $e ethtool -K br0 tx off >/dev/null
        ip -n $e link set br0 up
        for node in a:11 b:12; do
            name=${node%:*} ns=tandem-f${node%:*}-$id
            ip -n $e link add ${name}eth0 type veth peer name eth0 netns $ns
            ip -n $e link set ${name}eth0 master br0 up
            ip netns exec $ns ethtool -K eth0 tx off >/dev/null
            ip -n $ns address add 10.79.0.${node#*:}/24 dev eth0
            ip -n $ns link set eth0 up
            ip -n $e link add ${name}media0 type veth peer name media0 netns $ns
            ip -n $e link set ${name}media0 master br0 up
            ip netns exec $ns sh -c 'echo 1 >/proc/sys/net/ipv6/conf/media0/disable_ipv6'
            ip -n $ns link set media0 arp off up
        done"#;
    const DOWN: &str = "for ns in fe fa fb; do ip netns delete tandem-$ns-$id 2>/dev/null || true; done";
    let script = if action == "up" { UP } else { DOWN };
    let status = Command::new("sh").args(["-ec", script]).env("id", id).stderr(Stdio::inherit()).status();
    assert!(status.expect("sh runs").success(), "the networks of {id} are not {action}");
}

/// What a file of the kernel's or of ours says; empty where it is not there.
pub fn text(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}
