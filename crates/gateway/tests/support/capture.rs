//! What crosses a link, taken down by tcpdump and read by tshark.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::{Process, Scratch, inside};

/// A running tcpdump.
pub struct Capture {
    process: Process,
    file: PathBuf,
}

impl Capture {
    /// Takes down all UDP that crosses `eth0` of a namespace, from now on.
    pub fn start(scratch: &Scratch, namespace: &str) -> Self {
        let file = scratch.path().join(format!("{namespace}.pcap"));
        let mut command = inside(Some(namespace), "tcpdump");
        command.args(["-i", "eth0", "--immediate-mode", "-U", "-B", "16384", "-s", "0", "-w"]).arg(&file).arg("udp");
        let log = scratch.path().join(format!("{namespace}.pcap.log"));
        let mut process = Process::spawn("tcpdump", &mut command, log);
        let until = Instant::now() + Duration::from_secs(20);
        while !process.log().contains("listening on") {
            assert!(process.is_running() && Instant::now() < until, "tcpdump did not start:\n{}", process.log());
            sleep(Duration::from_millis(20));
        }
        Self { process, file }
    }

    /// Ends it; what was taken down.
    pub fn end(mut self) -> PathBuf {
        self.process.signal("INT");
        self.process.wait(20);
        self.file
    }
}

/// Fields of the packets that a display filter finds, one line a packet, values between tabs. tshark learns from SIP which
/// packets are RTP and RTCP, as the peers do.
pub fn tshark(file: &Path, filter: &str, fields: &[&str]) -> Vec<Vec<String>> {
    let mut command = Command::new("tshark");
    command.arg("-n").arg("-r").arg(file).args(["-Y", filter, "-T", "fields"]);
    for field in fields {
        command.args(["-e", field]);
    }
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("tshark does not start ({error}): `scripts/setup.sh test` installs it"));
    assert!(output.status.success(), "tshark -Y '{filter}': {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("tshark writes text");
    text.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect()
}
