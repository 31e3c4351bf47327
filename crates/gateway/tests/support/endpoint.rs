//! SIPp as an endpoint.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::path::Path;
use std::process::Command;

use super::{Process, Scratch, repository};

/// One endpoint: an address of loopback and a port.
#[derive(Clone, Copy, Debug)]
pub struct Endpoint {
    pub address: &'static str,
    pub port: u16,
}

impl Endpoint {
    pub fn new(address: &'static str) -> Self {
        Self { address, port: super::free_udp_port(address) }
    }

    /// `sipp/SCENARIO.xml` at this endpoint, for one call.
    pub fn command(self, scratch: &Scratch, scenario: &str) -> Command {
        self.command_of(scratch, &repository().join(format!("crates/gateway/tests/sipp/{scenario}.xml")))
    }

    /// The scenario in `file` at this endpoint, for one call.
    pub fn command_of(self, scratch: &Scratch, file: &Path) -> Command {
        let mut command = Command::new("sipp");
        command.arg("-sf").arg(file);
        command.args(["-i", self.address, "-mi", self.address, "-p", &self.port.to_string()]);
        command.args(["-m", "1", "-nostdin", "-timeout", "60s", "-timeout_error"]);
        command.current_dir(scratch.path());
        command
    }

    /// Waits for a call, once the port is bound.
    pub fn answers(self, scratch: &Scratch, scenario: &str) -> Process {
        let log = scratch.path().join(format!("{scenario}-{}.log", self.port));
        self.waits(Process::spawn(scenario, &mut self.command(scratch, scenario), log))
    }

    /// The process, once it has bound its port.
    pub fn waits(self, mut process: Process) -> Process {
        let bound = format!("{:04X} ", self.port);
        while !std::fs::read_to_string("/proc/net/udp").expect("/proc/net/udp").contains(&bound) {
            assert!(process.is_running(), "{}", process.log());
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        process
    }

    /// Calls `number` at `to`.
    pub fn calls(self, scratch: &Scratch, scenario: &str, number: &str, to: Self) -> Process {
        let mut command = self.command(scratch, scenario);
        command.args(["-s", number, &format!("{}:{}", to.address, to.port)]);
        Process::spawn(scenario, &mut command, scratch.path().join(format!("{scenario}-{}.log", self.port)))
    }
}
