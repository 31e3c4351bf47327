//! baresip as a softphone that says a clip and keeps what it hears.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::fs;
use std::io::Write as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::configuration::Configuration;
use super::{Gateway, Network, Process, Scratch, inside, repository};

pub const TALK_S: u64 = 8;

/// A baresip in a directory of its own, which says a clip and keeps what it hears.
pub fn softphone(scratch: &Scratch, name: &str, address: &str, clip: &Path, codec: &str, more: &str) -> PathBuf {
    let home = scratch.path().join(name);
    fs::create_dir_all(home.join("heard")).expect("a directory");
    let host = host(address);
    let config = format!(
        "sip_listen {host}:5060\naudio_source aufile,{clip}\naudio_player aubridge,nowhere\naudio_alert aubridge,nowhere\n\
         rtp_ports 40000-40100\nmodule_path /usr/lib/baresip/modules\nmodule g711.so\nmodule g722.so\nmodule srtp.so\nmodule aufile.so\n\
         module sndfile.so\nmodule aubridge.so\nsnd_path {heard}\nmodule_app account.so\nmodule_app menu.so\n",
        clip = clip.display(),
        heard = home.join("heard").display(),
    );
    fs::write(home.join("config"), config).expect("config");
    let account = format!("<sip:{name}@{host}>;regint=0;audio_codecs={codec};{more}\n");
    fs::write(home.join("accounts"), account).expect("accounts");
    fs::write(home.join("contacts"), "").expect("contacts");
    home
}

/// An address as URIs have it.
fn host(address: &str) -> String {
    match address.parse() {
        Ok(IpAddr::V6(address)) => format!("[{address}]"),
        _ => address.to_owned(),
    }
}

/// Loudness of each 20 ms of a recording.
fn envelope(path: &Path) -> Vec<f64> {
    let mut reader = hound::WavReader::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let frame = reader.spec().sample_rate as usize / 50;
    // linphone counts its file's header among the samples.
    let samples: Vec<f64> = reader.samples::<i16>().map_while(Result::ok).map(f64::from).collect();
    samples
        .chunks_exact(frame)
        .map(|frame| (frame.iter().map(|s| s * s).sum::<f64>() / frame.len() as f64).sqrt())
        .collect()
}

/// How alike what was said, from any second on, and what was heard are.
fn any_likeness(said: &[f64], heard: &[f64]) -> f64 {
    let from = (0..said.len().saturating_sub(200)).step_by(50).map(|from| likeness(&said[from..], heard));
    from.fold(-1.0, f64::max)
}

/// The correlation of two envelopes at the lag where it is highest: 1 is the same speech.
fn likeness(said: &[f64], heard: &[f64]) -> f64 {
    let at_lag = |lag: usize| {
        let pairs: Vec<_> = said.iter().zip(&heard[lag..]).take(200).collect();
        let count = pairs.len() as f64;
        let mean = |side: fn(&(&f64, &f64)) -> f64| pairs.iter().map(side).sum::<f64>() / count;
        let (mean_said, mean_heard) = (mean(|pair| *pair.0), mean(|pair| *pair.1));
        let (mut both, mut only_said, mut only_heard) = (0.0, 0.0, 0.0);
        for (said, heard) in &pairs {
            both += (*said - mean_said) * (*heard - mean_heard);
            only_said += (*said - mean_said).powi(2);
            only_heard += (*heard - mean_heard).powi(2);
        }
        both / (only_said * only_heard).sqrt().max(1.0)
    };
    (0..heard.len().saturating_sub(200)).map(at_lag).fold(-1.0, f64::max)
}

/// What a softphone heard, a file a stream.
pub fn all_heard(home: &Path) -> Vec<PathBuf> {
    let mut recordings: Vec<_> =
        fs::read_dir(home.join("heard")).expect("a directory").flatten().map(|entry| entry.path()).collect();
    recordings.retain(|path| path.to_string_lossy().ends_with("-dec.wav"));
    recordings
}

pub fn heard(home: &Path) -> PathBuf {
    let mut recordings = all_heard(home);
    assert_eq!(recordings.len(), 1, "one call was heard: {recordings:?}");
    recordings.remove(0)
}

/// A clip at the rate that a softphone's codec wants.
pub fn clip(scratch: &Scratch, speech: &str, rate_hz: u32) -> PathBuf {
    let source = repository().join(format!("benches/speech/{speech}.wav"));
    if rate_hz == 16_000 {
        return source;
    }
    let mut reader = hound::WavReader::open(source).expect("the speech of this repository");
    let samples: Vec<i16> = reader.samples::<i16>().map(|sample| sample.expect("a sample")).collect();
    let samples: Vec<i16> =
        samples.chunks_exact(2).map(|pair| ((i32::from(pair[0]) + i32::from(pair[1])) / 2) as i16).collect();
    write_clip(scratch, &format!("{speech}-8k"), &samples)
}

/// The same clip from its end to its beginning, which nobody takes for the other.
pub fn backwards(scratch: &Scratch, clip: &Path) -> PathBuf {
    let mut reader = hound::WavReader::open(clip).expect("a clip");
    let mut samples: Vec<i16> = reader.samples::<i16>().map(|sample| sample.expect("a sample")).collect();
    samples.reverse();
    write_clip(scratch, "backwards", &samples)
}

fn write_clip(scratch: &Scratch, name: &str, samples: &[i16]) -> PathBuf {
    let path = scratch.path().join(format!("{name}.wav"));
    let format = hound::SampleFormat::Int;
    let spec = hound::WavSpec { channels: 1, sample_rate: 8_000, bits_per_sample: 16, sample_format: format };
    let mut writer = hound::WavWriter::create(&path, spec).expect("a new file");
    for sample in samples {
        writer.write_sample(*sample).expect("a sample is written");
    }
    writer.finalize().expect("the file is whole");
    path
}

/// Starts the callee's softphone, then the caller's, which calls. At its time limit that hangs up and ends.
pub fn talk(scratch: &Scratch, network: &Network, callee_home: &Path, caller_home: &Path) -> (Process, Process) {
    talk_through(scratch, network, "10.77.0.1", callee_home, caller_home)
}

/// The same; `gateway` is where the caller reaches that.
pub fn talk_through(
    scratch: &Scratch,
    network: &Network,
    gateway: &str,
    callee_home: &Path,
    caller_home: &Path,
) -> (Process, Process) {
    let mut command = inside(Some(&network.callee()), "baresip");
    command.arg("-f").arg(callee_home);
    let callee = Process::spawn("the callee's baresip", &mut command, scratch.path().join("callee.log"));
    let until = Instant::now() + Duration::from_secs(10);
    while !callee.log().contains("baresip is ready") {
        assert!(Instant::now() < until, "{}", callee.log());
        std::thread::sleep(Duration::from_millis(50));
    }
    let mut command = inside(Some(&network.caller()), "baresip");
    let dial = format!("d sip:8100@{}", host(gateway));
    command.arg("-f").arg(caller_home).args(["-t", &TALK_S.to_string(), "-e", &dial]);
    (callee, Process::spawn("the caller's baresip", &mut command, scratch.path().join("caller.log")))
}

/// A softphone heard what the other one said.
pub fn assert_heard(who: &str, home: &Path, said: &Path) {
    let likeness = likeness(&envelope(said), &envelope(&heard(home)));
    assert!(likeness > 0.95, "the {who} heard something else: likeness {likeness:.3}");
}

/// Four seconds of what was said are in one of the recordings.
pub fn assert_heard_in(who: &str, recordings: &[PathBuf], said: &Path) {
    let said = envelope(said);
    let likeness = recordings.iter().map(|heard| any_likeness(&said, &envelope(heard))).fold(-1.0, f64::max);
    assert!(likeness > 0.95, "the {who} heard something else: likeness {likeness:.3} in {recordings:?}");
}

/// A gateway where telephones register, reached from everywhere and wherever their RTP comes from; with these subscribers, whose
/// passwords are `secret`.
pub fn exchange(scratch: &Scratch, network: &Network, users: &[&str]) -> Gateway {
    let home = scratch.path().display();
    let gateway = Configuration::on(scratch, network)
        .with(&format!(
            r#"
sip: {{ listen: [{{ name: main, address: "10.77.0.1:5060" }}] }}
registrar: {{ realm: example.com, domains: [10.77.0.1], peer: phones, algorithms: [MD5], keep_alive_s: 1 }}
store: {{ url: "sqlite://{home}/tandem.db" }}
peers:
  - {{ name: phones, codecs: [PCMU], source: latch_any }}
routes:
  - {{ from: phones, peer: phones }}"#
        ))
        .start();
    users.iter().for_each(|user| add(&gateway, user));
    gateway
}

/// `tandem ctl subscriber add`, with the password `secret`.
pub fn add(gateway: &Gateway, user: &str) {
    let mut command = inside(gateway.namespace.as_deref(), env!("CARGO_BIN_EXE_tandem"));
    command.args(["ctl", "--server", gateway.http(), "subscriber", "add", user]);
    let mut ctl = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("tandem ctl runs");
    ctl.stdin.take().expect("its input").write_all(b"secret\n").expect("a password");
    let output = ctl.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(said, format!("{user} added\n"), "{}", gateway.process.log());
}

/// Waits until so many telephones are registered.
pub fn await_registered(gateway: &Gateway, count: usize) {
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        let registered = gateway.ctl_json(&["registration", "list"]);
        if registered.as_array().is_some_and(|list| list.len() == count) {
            return;
        }
        assert!(Instant::now() < until, "not {count} are registered: {registered}\n{}", gateway.process.log());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A [`softphone`] of a subscriber of an [`exchange`], with PCMU: it registers, takes calls where `mode` is `auto` and takes commands on
/// `ctrl_port` of its namespace's loopback.
pub fn subscriber(scratch: &Scratch, user: &str, address: &str, mode: &str, ctrl_port: u16, clip: &Path) -> PathBuf {
    let home = softphone(scratch, user, address, clip, "PCMU", "");
    let account = format!(
        "<sip:{user}@10.77.0.1>;auth_user={user};auth_pass=secret;regint=60;answermode={mode};audio_codecs=PCMU\n"
    );
    fs::write(home.join("accounts"), account).expect("accounts");
    let file = home.join("config");
    let config = fs::read_to_string(&file).expect("its configuration");
    let more = format!("module_app ctrl_tcp.so\nctrl_tcp_listen 127.0.0.1:{ctrl_port}\n");
    fs::write(file, config + &more).expect("config");
    home
}

/// A running baresip of a [`subscriber`].
pub struct Baresip {
    pub process: Process,
    namespace: String,
    ctrl_port: u16,
}

impl Baresip {
    pub fn start(scratch: &Scratch, namespace: &str, home: &Path, ctrl_port: u16) -> Self {
        let name = home.file_name().expect("a name").to_string_lossy().into_owned();
        let mut command = inside(Some(namespace), "baresip");
        command.arg("-f").arg(home);
        let process = Process::spawn(&name, &mut command, scratch.path().join(format!("{name}.log")));
        Self { process, namespace: namespace.to_owned(), ctrl_port }
    }

    /// Gives it a command of its menu, over `ctrl_tcp`: JSON in a netstring.
    pub fn say(&self, command: &str, params: &str) {
        let json = format!(r#"{{"command":"{command}","params":"{params}"}}"#);
        let script = format!(
            "exec 3<>/dev/tcp/127.0.0.1/{}; printf '%s' '{}:{json},' >&3; head -c 20 <&3",
            self.ctrl_port,
            json.len()
        );
        let output = inside(Some(&self.namespace), "timeout").args(["10", "bash", "-c", &script]).output();
        let output = output.expect("bash runs");
        assert!(output.status.success() && !output.stdout.is_empty(), "{output:?}\n{}", self.process.log());
    }
}

/// One at a time: each has a core to itself, and what is heard depends on its pace.
pub fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}
