//! Real peers around a real gateway process.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]

pub mod capture;
pub mod configuration;
pub mod dns;
pub mod endpoint;
pub mod linphone;
pub mod pair;
pub mod sipp;
pub mod softphone;
pub mod talkers;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// A directory of one test, gone with it.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("tandem-test-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).expect("a scratch directory");
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// A name no other test uses at the same time: for DPDK's file prefix and network namespaces.
    pub fn unique(&self) -> String {
        let name = self.0.file_name().expect("a name").to_string_lossy();
        name.trim_start_matches("tandem-test-").replace('-', "x")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A child that does not outlive its test.
pub struct Process {
    child: Child,
    what: String,
    log: PathBuf,
    /// Its input, of a process that is spoken to.
    input: Option<ChildStdin>,
}

impl Process {
    pub fn spawn(what: &str, command: &mut Command, log: PathBuf) -> Self {
        Self::spawn_with(what, command, log, Stdio::null())
    }

    /// One that gets commands line by line.
    pub fn spoken_to(what: &str, command: &mut Command, log: PathBuf) -> Self {
        Self::spawn_with(what, command, log, Stdio::piped())
    }

    fn spawn_with(what: &str, command: &mut Command, log: PathBuf, input: Stdio) -> Self {
        let file = fs::File::create(&log).expect("a log file");
        let mut child = command
            .stdin(input)
            .stdout(file.try_clone().expect("a second handle"))
            .stderr(file)
            .spawn()
            .unwrap_or_else(|error| panic!("{what} does not start ({error}): `scripts/setup.sh test` installs it"));
        let input = child.stdin.take();
        Self { child, what: what.to_owned(), log, input }
    }

    /// Writes a line to its input.
    pub fn say(&mut self, line: &str) {
        let input = self.input.as_mut().expect("it is spoken to");
        writeln!(input, "{line}").unwrap_or_else(|error| panic!("{} does not listen: {error}", self.what));
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("wait").is_none()
    }

    /// Waits for the end; a process that is still there after `seconds` fails the test.
    pub fn wait(&mut self, seconds: u64) -> ExitStatus {
        let until = Instant::now() + Duration::from_secs(seconds);
        loop {
            if let Some(status) = self.child.try_wait().expect("wait") {
                return status;
            }
            assert!(Instant::now() < until, "{} is still running after {seconds} s:\n{}", self.what, self.log());
            sleep(Duration::from_millis(20));
        }
    }

    pub fn expect_success(&mut self, seconds: u64) {
        let status = self.wait(seconds);
        assert!(status.success(), "{} ended with {status}:\n{}", self.what, self.log());
    }

    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status();
        assert!(sent.expect("kill runs").success(), "cannot signal {}", self.what);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Children first: Kamailio's outlive it.
        let _ = Command::new("pkill").args(["-KILL", "-P", &self.child.id().to_string()]).status();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `tandem run` with a configuration, ready for calls.
pub struct Gateway {
    pub process: Process,
    http: String,
    namespace: Option<String>,
    records: PathBuf,
    /// `api.token` in the scratch directory, where the test has put one there.
    token: Option<PathBuf>,
    /// `api-ca.pem` there: whose certificate it has where it speaks HTTPS.
    ca: Option<PathBuf>,
}

impl Gateway {
    /// Starts the binary and waits until it says it is ready. `http` is the `http.listen` of the configuration.
    pub fn start(scratch: &Scratch, configuration: &str, http: &str, namespace: Option<&str>) -> Self {
        let path = scratch.path().join("tandem.yaml");
        fs::write(&path, configuration).expect("the configuration is written");
        // How gateways stand to who calls them, where somebody looks into that: `nice -n -10`.
        let wrapper = std::env::var("TANDEM_GATEWAY_WRAPPER").unwrap_or_default();
        let mut words = wrapper.split_whitespace().chain([env!("CARGO_BIN_EXE_tandem")]);
        let mut command = inside(namespace, words.next().expect("the program at least"));
        command.args(words);
        command.arg("run").arg("--config").arg(&path);
        let process = Process::spawn("the gateway", &mut command, scratch.path().join("gateway.log"));
        let mut gateway = Self {
            process,
            http: http.to_owned(),
            namespace: namespace.map(str::to_owned),
            records: scratch.path().join("records"),
            token: Some(scratch.path().join("api.token")).filter(|token| token.exists()),
            ca: Some(scratch.path().join("api-ca.pem")).filter(|ca| ca.exists()),
        };
        let until = Instant::now() + Duration::from_secs(20);
        while !gateway.ctl(&["ready"]).status.success() {
            assert!(gateway.process.is_running(), "the gateway did not start:\n{}", gateway.process.log());
            assert!(Instant::now() < until, "the gateway is not ready after 20 s:\n{}", gateway.process.log());
            sleep(Duration::from_millis(50));
        }
        gateway
    }

    /// The same configuration once more, after the process has ended.
    pub fn start_again(self, scratch: &Scratch) -> Self {
        let configuration = fs::read_to_string(scratch.path().join("tandem.yaml")).expect("the configuration");
        Self::start(scratch, &configuration, &self.http, self.namespace.as_deref())
    }

    /// Where its HTTP interface listens.
    pub fn http(&self) -> &str {
        &self.http
    }

    pub fn ctl(&self, arguments: &[&str]) -> Output {
        let mut command = inside(self.namespace.as_deref(), env!("CARGO_BIN_EXE_tandem"));
        if let Some(token) = &self.token {
            command.env("TANDEM_TOKEN_FILE", token);
        }
        if let Some(ca) = &self.ca {
            command.env("TANDEM_CA", ca);
        }
        command.args(["ctl", "--server", &self.http]).args(arguments).output().expect("tandem ctl runs")
    }

    pub fn ctl_json(&self, arguments: &[&str]) -> serde_json::Value {
        let output = self.ctl(&[arguments, &["--json"]].concat());
        assert!(output.status.success(), "tandem ctl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("JSON")
    }

    /// The call records so far, once there are at least `count`.
    pub fn records(&self, count: usize) -> Vec<serde_json::Value> {
        let until = Instant::now() + Duration::from_secs(40);
        loop {
            let records = read_records(&self.records);
            if records.len() >= count {
                return records;
            }
            assert!(Instant::now() < until, "{} of {count} records:\n{}", records.len(), self.process.log());
            sleep(Duration::from_millis(50));
        }
    }

    /// No call and no flow is left.
    pub fn assert_idle(&self) {
        let until = Instant::now() + Duration::from_secs(40);
        loop {
            let calls = self.ctl_json(&["calls"]);
            let flows = self.ctl_json(&["flows"]);
            let empty = |value: &serde_json::Value| value.as_array().is_some_and(Vec::is_empty);
            if empty(&calls) && empty(&flows) {
                return;
            }
            assert!(Instant::now() < until, "left behind: {calls} {flows}");
            sleep(Duration::from_millis(50));
        }
    }

    /// Stops it once no call is left; its records, of which there are so many.
    pub fn finish(self, records: usize) -> Vec<serde_json::Value> {
        let records = self.records(records);
        self.assert_idle();
        self.stop();
        records
    }

    /// SIGTERM, and a clean end. A BYE that nobody answers is sent again for 64 T1 (32 s) first.
    pub fn stop(mut self) {
        self.process.signal("TERM");
        self.process.expect_success(45);
    }
}

fn read_records(directory: &Path) -> Vec<serde_json::Value> {
    let mut records = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let mut text = String::new();
        fs::File::open(entry.path()).and_then(|mut file| file.read_to_string(&mut text)).expect("records can be read");
        // The last line may still be on its way to the disk.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        records.extend(whole.lines().map(|line| serde_json::from_str(line).expect("a record is one line of JSON")));
    }
    records
}

/// `program`, in a network namespace where one is named.
pub fn inside(namespace: Option<&str>, program: &str) -> Command {
    match namespace {
        None => Command::new(program),
        Some(namespace) => {
            let mut command = Command::new("ip");
            command.args(["netns", "exec", namespace, program]);
            command
        }
    }
}

/// A port of `address` that nobody has now, neither with UDP nor with TCP.
pub fn free_udp_port(address: &str) -> u16 {
    loop {
        let socket = UdpSocket::bind((address, 0)).expect("a free port");
        let port = socket.local_addr().expect("its address").port();
        if TcpListener::bind((address, port)).is_ok() {
            return port;
        }
    }
}

pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Whether this process may make network namespaces; says so where it may not.
pub fn may_make_networks(test: &str) -> bool {
    let root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.starts_with(b"0"));
    if !root {
        println!("not run: {test} (making network namespaces needs root)");
    }
    root
}

/// The caller's, the callee's and the gateway's namespace of `scripts/network.sh`, gone with the test.
pub struct Network {
    id: String,
}

impl Network {
    pub fn up(id: &str) -> Self {
        let network = Self { id: id.chars().rev().take(14).collect::<Vec<_>>().into_iter().rev().collect() };
        assert!(network.run("up").success(), "scripts/network.sh up failed");
        network
    }

    fn run(&self, action: &str) -> ExitStatus {
        Command::new(repository().join("scripts/network.sh"))
            .args([action, &self.id])
            .status()
            .expect("network.sh runs")
    }

    /// Puts the callee on a link of its own, 10.78.0.0/24, where the gateway's host is 10.78.0.1 and has a second port, media1.
    pub fn part(&self) {
        let script = "ip -n $gw link add br1 type bridge
            ip -n $gw link set callee0 master br1
            ip -n $gw address add 10.78.0.1/24 dev br1
            ip netns exec $gw ethtool -K br1 tx off >/dev/null
            ip -n $gw link add media1 type veth peer name media1-br
            ip -n $gw link set media1-br master br1 up
            ip netns exec $gw sh -c 'echo 1 >/proc/sys/net/ipv6/conf/media1/disable_ipv6'
            ip -n $gw link set media1 up
            ip -n $gw link set br1 up
            ip -n $callee address delete 10.77.0.3/24 dev eth0
            ip -n $callee address add 10.78.0.3/24 dev eth0";
        let mut command = Command::new("sh");
        command.args(["-ec", script]).env("gw", self.gateway()).env("callee", self.callee());
        assert!(command.status().expect("sh runs").success(), "the callee has no link of its own");
    }

    /// Gives the caller IPv6 alone, fd77::2, on the link where the gateway's host is fd77::1 too.
    pub fn caller_over_ipv6(&self) {
        let script = "ip -n $gw address add fd77::1/64 dev br0 nodad
            ip -n $caller address delete 10.77.0.2/24 dev eth0
            ip -n $caller address add fd77::2/64 dev eth0 nodad";
        let mut command = Command::new("sh");
        command.args(["-ec", script]).env("gw", self.gateway()).env("caller", self.caller());
        assert!(command.status().expect("sh runs").success(), "the caller has no IPv6");
    }

    /// Puts the callee behind a router that translates addresses (nftables, masquerade): it has 192.168.7.2, and the world sees
    /// 10.77.0.3. What was silent for `timeout_s` seconds is forgotten.
    pub fn callee_behind_nat(&self, timeout_s: u32) {
        let script = "ip netns add $nat
            ip -n $nat link set lo up
            ip -n $callee link set eth0 netns $nat
            ip -n $nat address add 10.77.0.3/24 dev eth0
            ip -n $nat link set eth0 up
            ip -n $nat link add inside type veth peer name eth0 netns $callee
            ip -n $nat address add 192.168.7.1/24 dev inside
            ip -n $nat link set inside up
            ip -n $callee address add 192.168.7.2/24 dev eth0
            ip netns exec $callee ethtool -K eth0 tx off >/dev/null
            ip -n $callee link set eth0 up
            ip -n $callee route add default via 192.168.7.1
            ip netns exec $nat nft add table ip nat
            ip netns exec $nat nft 'add chain ip nat out { type nat hook postrouting priority 100 ; }'
            ip netns exec $nat nft add rule ip nat out oifname eth0 masquerade
            ip netns exec $nat sh -c \"echo 1 >/proc/sys/net/ipv4/ip_forward
                echo $timeout >/proc/sys/net/netfilter/nf_conntrack_udp_timeout
                echo $timeout >/proc/sys/net/netfilter/nf_conntrack_udp_timeout_stream\"";
        let mut command = Command::new("sh");
        command.args(["-ec", script]).env("nat", self.nat()).env("callee", self.callee());
        command.env("timeout", timeout_s.to_string());
        assert!(command.status().expect("sh runs").success(), "the callee has no translated address");
    }

    fn nat(&self) -> String {
        format!("tandem-n-{}", self.id)
    }

    pub fn gateway(&self) -> String {
        format!("tandem-gw-{}", self.id)
    }

    pub fn caller(&self) -> String {
        format!("tandem-a-{}", self.id)
    }

    pub fn callee(&self) -> String {
        format!("tandem-b-{}", self.id)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.run("down");
        // There is none where nobody asked for it.
        let _ = Command::new("ip").args(["netns", "delete", &self.nat()]).stderr(Stdio::null()).status();
    }
}
