//! A name server on loopback: dnsmasq, with the records that a test gives it.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use super::{Process, Scratch, free_udp_port};

/// A name server for the domain `test`; whatever it is not given does not exist.
pub struct NameServer {
    process: Option<Process>,
    port: u16,
}

impl NameServer {
    /// `records` are lines of dnsmasq's configuration; each is believed for `ttl_s` seconds.
    pub fn start(scratch: &Scratch, records: &str, ttl_s: u32) -> Self {
        let mut server = Self { process: None, port: free_udp_port("127.0.0.1") };
        server.change(scratch, records, ttl_s);
        server
    }

    /// The same server with other records.
    pub fn change(&mut self, scratch: &Scratch, records: &str, ttl_s: u32) {
        self.process = None;
        let file = scratch.path().join("dnsmasq.conf");
        let fixed = format!(
            "port={}\nlisten-address=127.0.0.1\nbind-interfaces\nno-resolv\nno-hosts\nlocal=/test/\nlocal-ttl={ttl_s}\n\
             neg-ttl={ttl_s}\nlog-queries\nlog-facility=-\n",
            self.port
        );
        fs::write(&file, format!("{fixed}{records}\n")).expect("the records are written");
        let mut command = Command::new("dnsmasq");
        command.args(["--keep-in-foreground", "--user=root", "--pid-file="]);
        command.arg(format!("--conf-file={}", file.display()));
        let mut process = Process::spawn("dnsmasq", &mut command, scratch.path().join("dnsmasq.log"));
        let bound = format!("0100007F:{:04X} ", self.port);
        let until = Instant::now() + Duration::from_secs(10);
        while !fs::read_to_string("/proc/net/udp").expect("/proc/net/udp").contains(&bound) {
            assert!(process.is_running() && Instant::now() < until, "{}", process.log());
            std::thread::sleep(Duration::from_millis(10));
        }
        self.process = Some(process);
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// What it was asked.
    pub fn log(&self) -> String {
        self.process.as_ref().map(Process::log).unwrap_or_default()
    }
}
