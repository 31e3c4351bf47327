//! baresip as a softphone that says a clip and keeps what it hears.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{Network, Process, Scratch, inside, repository};

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
    let samples: Vec<f64> = reader.samples::<i16>().map(|sample| f64::from(sample.expect("a sample"))).collect();
    samples
        .chunks_exact(frame)
        .map(|frame| (frame.iter().map(|s| s * s).sum::<f64>() / frame.len() as f64).sqrt())
        .collect()
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

pub fn heard(home: &Path) -> PathBuf {
    let mut recordings: Vec<_> =
        fs::read_dir(home.join("heard")).expect("a directory").flatten().map(|entry| entry.path()).collect();
    recordings.retain(|path| path.to_string_lossy().ends_with("-dec.wav"));
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
    let path = scratch.path().join(format!("{speech}-8k.wav"));
    let spec = hound::WavSpec { sample_rate: 8_000, ..reader.spec() };
    let mut writer = hound::WavWriter::create(&path, spec).expect("a new file");
    for pair in samples.chunks_exact(2) {
        writer.write_sample(((i32::from(pair[0]) + i32::from(pair[1])) / 2) as i16).expect("a sample is written");
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

/// One at a time: each has a core to itself, and what is heard depends on its pace.
pub fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}
