//! linphone as a softphone that says a clip and keeps what it hears.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::{Process, Scratch, inside};

/// A running linphonec.
pub struct Linphone {
    process: Process,
    home: PathBuf,
}

/// Who it is, and which ports it has in its namespace.
pub struct Account<'a> {
    pub user: &'a str,
    pub namespace: &'a str,
    pub sip_port: u16,
    pub rtp_port: u16,
}

impl Linphone {
    /// Registers `account`, of the password `secret`, with the gateway at 10.77.0.1; takes every call, and says `clip` in it.
    pub fn start(scratch: &Scratch, account: &Account<'_>, clip: &Path) -> Self {
        let Account { user, namespace, sip_port, rtp_port } = account;
        let home = scratch.path().join(user);
        fs::create_dir_all(home.join(".local/share/linphone")).expect("a directory");
        let settings = format!(
            "[sip]\nsip_port={sip_port}\nsip_tcp_port=-2\nsip_tls_port=-2\nuse_ipv6=0\ndefault_proxy=0\n\
             [rtp]\naudio_rtp_port={rtp_port}\n[sound]\nechocancellation=0\n\
             [video]\nautomatically_initiate=0\nautomatically_accept=0\n\
             [audio_codec_0]\nmime=PCMU\nrate=8000\nenabled=1\n\
             [proxy_0]\nreg_proxy=<sip:10.77.0.1;transport=udp>\nreg_identity=sip:{user}@10.77.0.1\nreg_expires=60\nreg_sendregister=1\n\
             [auth_info_0]\nusername={user}\npasswd=secret\nrealm=example.com\nalgorithm=MD5\n"
        );
        fs::write(home.join("linphonerc"), settings).expect("settings");
        let mut command = inside(Some(namespace), "linphonec");
        command.arg("-a").arg("-c").arg(home.join("linphonerc")).env("HOME", &home).current_dir(&home);
        let log = scratch.path().join(format!("{user}.log"));
        let mut phone = Self { process: Process::spoken_to(user, &mut command, log), home };
        phone.say("soundcard use files");
        phone.say(&format!("play {}", clip.display()));
        phone
    }

    /// Keeps what it hears in its next call; the file is whole when that is over.
    pub fn record(&mut self, name: &str) -> PathBuf {
        let heard = self.home.join(name);
        self.say(&format!("record {}", heard.display()));
        heard
    }

    /// Gives it a command.
    pub fn say(&mut self, command: &str) {
        self.process.say(command);
    }

    /// Waits until it has told `words` so many times.
    pub fn await_words(&mut self, words: &str, times: usize) {
        let until = Instant::now() + Duration::from_secs(20);
        while self.process.log().matches(words).count() < times {
            let is_running = self.process.is_running();
            assert!(is_running && Instant::now() < until, "it did not tell {words:?}:\n{}", self.process.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// What it told so far.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Ends it.
    pub fn end(mut self) {
        self.say("quit");
        self.process.wait(20);
    }
}
