//! Floating addresses that the kernel has: SIP's.

use std::net::IpAddr;
use std::process::Command;

use tandem_config::{Cidr, FloatingAddress};

/// Seconds after which the kernel drops an address that is not given again: that of a process that died, or stands still.
const LIFETIME_S: &str = "4";

/// An address and the interface that has it while the calls are here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KernelAddress {
    interface: String,
    address: Cidr,
}

impl KernelAddress {
    /// `None` for one that a media port has.
    pub(crate) fn of(floating: &FloatingAddress) -> Option<Self> {
        let interface = floating.interface.clone()?;
        Some(Self { interface, address: floating.address })
    }

    pub(crate) const fn ip(&self) -> IpAddr {
        self.address.address
    }

    /// Gives the interface the address, for [`LIFETIME_S`]; to be repeated each second. It takes some milliseconds.
    pub(crate) fn attach(&self) -> Result<(), String> {
        let address = self.address.to_string();
        // Without duplicate address detection, which takes a second: whoever had it has let go of it.
        let more: &[&str] = if self.ip().is_ipv6() { &["nodad"] } else { &[] };
        let lifetime = ["valid_lft", LIFETIME_S, "preferred_lft", LIFETIME_S];
        run(Command::new("ip").args(["address", "replace", &address, "dev", &self.interface]).args(lifetime).args(more))
    }

    /// Tells the link who has it now. It takes up to a second.
    pub(crate) fn announce(&self) -> Result<(), String> {
        if self.ip().is_ipv6() {
            // The kernel has advertised it by itself.
            return Ok(());
        }
        let ip = self.ip().to_string();
        run(Command::new("arping").args(["-q", "-U", "-c", "2", "-w", "1", "-I", &self.interface, &ip]))
    }

    /// Takes it away again; nothing is wrong where it is not there.
    pub(crate) fn detach(&self) {
        let address = self.address.to_string();
        let _ = run(Command::new("ip").args(["address", "delete", &address, "dev", &self.interface]));
    }
}

fn run(command: &mut Command) -> Result<(), String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{program}: {}: {}", output.status, said.trim()))
}
