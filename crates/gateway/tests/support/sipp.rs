//! SIPp in the caller's and the callee's namespaces, speaking clips as the demo's scenarios do.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::{Process, Scratch, inside, repository};

/// Octets of a packet of 20 ms of G.711.
pub const PACKET: usize = 160;

/// Writes what both sides say, `seconds` long: the caller in µ-law, the callee in A-law.
pub fn write_clips(scratch: &Scratch, seconds: usize) {
    for (speech, codec, name) in [("caller", "pcmu", "caller.ulaw"), ("callee", "pcma", "callee.alaw")] {
        let wav = repository().join(format!("benches/speech/{speech}.wav"));
        let (wide, clip) = (scratch.path().join("wide"), scratch.path().join(name));
        codec_run(&["encode", "--codec", "g722"], &wav, &wide);
        codec_run(&["transcode", "--from", "g722", "--to", codec], &wide, &clip);
        let mut octets = fs::read(&clip).expect("the clip");
        assert!(octets.len() >= seconds * 8000, "the speech of this repository is {} octets long", octets.len());
        octets.truncate(seconds * 8000);
        fs::write(&clip, octets).expect("the clip is written");
    }
}

/// What the callee hears of the caller's clip, and the caller of the callee's, as the offline transcoder makes it.
pub fn expected(scratch: &Scratch, to_callee: bool) -> Vec<u8> {
    let (name, from, to) = if to_callee { ("caller.ulaw", "pcmu", "pcma") } else { ("callee.alaw", "pcma", "pcmu") };
    let made = scratch.path().join(format!("{name}-as-{to}"));
    codec_run(&["transcode", "--from", from, "--to", to], &scratch.path().join(name), &made);
    fs::read(made).expect("the transcoded clip")
}

fn codec_run(arguments: &[&str], input: &Path, output: &Path) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tandem"));
    let status = command.arg("codec").args(arguments).arg(input).arg(output).status();
    assert!(status.expect("tandem codec runs").success(), "tandem codec {arguments:?}");
}

/// The callees: `calls` of them, answering with PCMA at `address`.
pub fn callees(scratch: &Scratch, namespace: &str, address: &str, calls: usize) -> Process {
    let mut command = sipp(scratch, namespace, "callee-pcma", address, calls);
    Process::spawn("the callees' SIPp", &mut command, scratch.path().join("callees.log"))
}

/// The callers: `calls` at once, of `seconds` each, to a number that begins with 8.
pub fn callers(
    scratch: &Scratch,
    namespace: &str,
    (address, gateway): (&str, &str),
    calls: usize,
    seconds: usize,
) -> Process {
    let mut command = sipp(scratch, namespace, "caller", address, calls);
    let calls = calls.to_string();
    command.args(["-l", &calls, "-r", &calls, "-d", &(seconds * 1000).to_string(), "-s", "8100", gateway]);
    Process::spawn("the callers' SIPp", &mut command, scratch.path().join("callers.log"))
}

fn sipp(scratch: &Scratch, namespace: &str, scenario: &str, address: &str, calls: usize) -> Command {
    let file = repository().join(format!("scripts/demo/{scenario}.xml"));
    let mut command = inside(Some(namespace), "sipp");
    command.arg("-sf").arg(fs::canonicalize(file).expect("the scenario"));
    command.args(["-i", address, "-mi", address, "-p", "5060", "-mp", "20000", "-m", &calls.to_string()]);
    command.args(["-nostdin", "-timeout", "60s", "-timeout_error"]).current_dir(scratch.path());
    command
}

/// How many of these payloads, in hexadecimal, are packets of a clip; the others fail the test.
#[track_caller]
pub fn packets_of(clip: &[u8], payloads: impl IntoIterator<Item = String>) -> usize {
    let known: std::collections::HashSet<String> = clip.chunks(PACKET).map(hex).collect();
    let mut count = 0;
    for payload in payloads {
        assert!(known.contains(&payload), "a packet of something else: {payload}");
        count += 1;
    }
    count
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}
