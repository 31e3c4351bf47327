//! A gateway of the measurement's own: a child process on a memif, with nothing else to do.

use std::fmt::Write as _;
use std::fs;
use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use tandem_config::Cidr;
use tandem_loadgen::SipEndpoints;

/// How long it may take to be ready.
const START: Duration = Duration::from_secs(60);
/// How long it may take to end.
const END: Duration = Duration::from_secs(15);

/// What the gateway is to be.
pub(super) struct Wanted {
    /// The worker's core.
    pub(super) core: u16,
    /// Calls at once that it has room for.
    pub(super) calls: u32,
    /// Nanoseconds per received frame that it is made slower on purpose.
    pub(super) debug_burn_ns: u32,
    /// The instruction set that codecs run on, as the configuration spells it.
    pub(super) codec_level: String,
}

/// A running gateway; it ends with this.
pub(super) struct OwnGateway {
    child: Child,
    directory: PathBuf,
    http: String,
    sip: OwnSip,
    configuration: String,
}

/// Where the gateway takes calls from callers, and where it calls callees.
#[derive(Clone, Copy, Debug)]
struct OwnSip {
    listen: SocketAddr,
    caller: SocketAddr,
    callee: SocketAddr,
}

impl OwnGateway {
    /// Starts this program as a gateway and waits until it is ready.
    pub(super) fn start(wanted: &Wanted) -> anyhow::Result<Self> {
        let directory = std::env::temp_dir().join(format!("tandem-capacity-{}", std::process::id()));
        fs::create_dir_all(&directory).with_context(|| directory.display().to_string())?;
        let (http, sip) = free_ports().context("no free port on the loopback interface")?;
        let http = http.to_string();
        let configuration = configuration(wanted, &directory, &http, sip);
        let path = directory.join("tandem.yaml");
        fs::write(&path, &configuration).with_context(|| path.display().to_string())?;
        let log = fs::File::create(directory.join("gateway.log")).context("the gateway's log")?;
        let child = Command::new(std::env::current_exe().context("this program's own file")?)
            .args(["run", "--config"])
            .arg(&path)
            .args(["--debug-burn-ns", &wanted.debug_burn_ns.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            // Ctrl-C is for the measurement: the gateway ends after it.
            .process_group(0)
            .spawn()
            .context("the gateway cannot be started")?;
        let mut gateway = Self { child, directory, http, sip, configuration };
        gateway.wait_until_ready()?;
        Ok(gateway)
    }

    /// Its control interface: `127.0.0.1:41234`.
    pub(super) fn control(&self) -> &str {
        &self.http
    }

    /// Who calls whom through it.
    pub(super) fn sip_endpoints(&self) -> SipEndpoints {
        let OwnSip { listen: gateway, caller, callee } = self.sip;
        SipEndpoints { gateway, caller, callee, prefix: "load".to_owned() }
    }

    /// Its process.
    pub(super) fn process(&self) -> u32 {
        self.child.id()
    }

    /// The other end of its memif.
    pub(super) fn source_device(&self) -> String {
        device("client", &self.directory)
    }

    /// Addresses for the other end: one has room for as many legs as it has pairs of ports.
    pub(super) fn source_addresses() -> Vec<Cidr> {
        let address = |n| Cidr { address: Ipv4Addr::new(10, 77, 0, n).into(), prefix_len: 24 };
        (100..108).map(address).collect()
    }

    /// The text of its configuration.
    pub(super) fn configuration(&self) -> &str {
        &self.configuration
    }

    fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        let agent: ureq::Agent =
            ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(2))).proxy(None).build().into();
        let until = Instant::now() + START;
        let url = format!("http://{}/readyz", self.http);
        loop {
            if let Some(status) = self.child.try_wait()? {
                bail!("the gateway that was to be measured ended with {status}:\n{}", self.log_tail());
            }
            // A memif is ready without its other end.
            if agent.get(&url).call().is_ok() {
                return Ok(());
            }
            if Instant::now() > until {
                bail!("the gateway that was to be measured is not ready after {START:?}:\n{}", self.log_tail());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn log_tail(&self) -> String {
        let mut text = String::new();
        let file = fs::File::open(self.directory.join("gateway.log"));
        let _ = file.and_then(|file| file.take(1 << 20).read_to_string(&mut text));
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(10)..].join("\n")
    }
}

impl Drop for OwnGateway {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let until = Instant::now() + END;
        while matches!(self.child.try_wait(), Ok(None)) {
            if Instant::now() > until {
                let _ = self.child.kill();
                let _ = self.child.wait();
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn device(role: &str, directory: &Path) -> String {
    // As many descriptors as a memif can have: what comes while the other side is interrupted for a moment has to fit.
    format!("net_memif0,role={role},socket={}/memif.sock,socket-abstract=no,rsize=14", directory.display())
}

/// Ports that were free a moment ago: for HTTP, and for SIP and its two ends.
fn free_ports() -> std::io::Result<(SocketAddr, OwnSip)> {
    let tcp = std::net::TcpListener::bind("127.0.0.1:0")?;
    let udp = |host: u8| std::net::UdpSocket::bind((Ipv4Addr::new(127, 0, 0, host), 0));
    let (listen, caller, callee) = (udp(1)?, udp(10)?, udp(11)?);
    let sip = OwnSip { listen: listen.local_addr()?, caller: caller.local_addr()?, callee: callee.local_addr()? };
    Ok((tcp.local_addr()?, sip))
}

/// Addresses that calls are spread over: each has 32,256 pairs of ports, and a call takes two.
pub(super) const GATEWAY_ADDRESSES: u32 = 4;

fn configuration(wanted: &Wanted, directory: &Path, http: &str, sip: OwnSip) -> String {
    let addresses: Vec<String> = (0..GATEWAY_ADDRESSES).map(|n| format!("10.77.0.{}/24", 10 + n)).collect();
    // A peer for each address is what gives it ports. Calls that come by SIP go from the first to the second.
    let peer = |n: u32| {
        let number = 10 + n;
        let address = match n {
            0 => sip.caller.to_string(),
            1 => sip.callee.to_string(),
            _ => format!("127.0.0.{number}:5060"),
        };
        format!(
            "\n  - {{name: source-{n}, address: \"{address}\", media_address: 10.77.0.{number}, \
             codecs: [PCMU, PCMA, G722, G729], srtp: optional}}"
        )
    };
    let peers: String = (0..GATEWAY_ADDRESSES).map(peer).collect();
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = write!(
        text,
        "node: {{name: capacity}}
dpdk:
  memory_mib: 512
  packet_buffers: 65535
  file_prefix: capacity-{pid}
ports:
  - name: media
    device: \"{device}\"
    addresses: [{addresses}]
    rx_descriptors: 4096
    tx_descriptors: 4096
workers:
  cores: [{core}]
  codec_level: {level}
media:
  port_range: 1024-65535
  inactivity_timeout_s: 0
  port_quarantine_ms: 0
sip:
  listen:
    - address: {listen}
  # It is to be measured to its end: what it does about overload would come first, sooner still where the source has its core too.
  guard:
    max_load_percent: 100
limits:
  max_calls: {calls}
  max_transactions: 10000000
peers:{peers}
routes:
  - {{from: source-0, peer: source-1}}
records:
  directory: {directory}/records
  fsync: false
http:
  listen: {http}
shutdown:
  drain_timeout_s: 0
",
        pid = std::process::id(),
        device = device("server", directory),
        addresses = addresses.join(", "),
        core = wanted.core,
        level = wanted.codec_level,
        calls = wanted.calls,
        listen = sip.listen,
        directory = directory.display(),
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_configuration_is_one_that_the_gateway_takes() {
        let wanted = Wanted { core: 1, calls: 60_000, debug_burn_ns: 0, codec_level: "auto".to_owned() };
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let sip = OwnSip { listen: at(5_099), caller: at(5_098), callee: at(5_097) };
        let text = configuration(&wanted, Path::new("/tmp/x"), "127.0.0.1:9999", sip);
        let config = tandem_config::parse("made.yaml", &text).unwrap();
        assert_eq!((config.limits.max_calls, config.workers.cores.as_slice()), (60_000, [1].as_slice()));
        assert_eq!(config.ports[0].addresses.len(), GATEWAY_ADDRESSES as usize);
        assert_eq!(config.sip.guard.max_load_percent, 100, "nothing is refused because of its load");
    }
}
