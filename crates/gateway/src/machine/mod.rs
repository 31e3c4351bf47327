//! Whether this machine can run what the configuration asks for, and if not, what mends it.
//!
//! Everything is read from `/sys` and `/proc` below a root that is an argument, and nothing is changed: the tests lay out machines in directories.

mod cores;
mod huge_pages;
mod interface;
mod pci;
mod privileges;
#[cfg(test)]
mod testing;

use std::fmt;
use std::path::{Path, PathBuf};

pub(crate) use huge_pages::free_mib;

/// What the configuration asks of the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// `dpdk.huge_pages`
    pub(crate) huge_pages: HugePages,
    /// `dpdk.memory_mib`
    pub(crate) memory_mib: u32,
    /// `ports[].device`, in their order, with `ports[].mtu`.
    pub(crate) devices: Vec<WantedDevice>,
    /// `workers.cores`
    pub(crate) cores: Vec<usize>,
}

/// How much huge pages are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HugePages {
    /// Nothing goes without.
    Required,
    /// Better with them.
    Preferred,
    /// Ordinary pages will do.
    Unused,
}

/// One port's device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WantedDevice {
    /// What it needs of the machine.
    pub(crate) kind: DeviceKind,
    /// The longest IP packet, in octets.
    pub(crate) mtu: u16,
}

/// What a device needs of the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DeviceKind {
    /// A PCI function, by its full address: `0000:00:06.0`.
    Pci(String),
    /// A kernel interface through `AF_PACKET`.
    AfPacket(String),
    /// A kernel interface through `AF_XDP`.
    AfXdp(String),
    /// Nothing: shared memory, rings, files.
    Virtual,
}

/// Something about the machine that stands in the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    /// Whether it stops the gateway.
    pub(crate) severity: Severity,
    /// The field of the configuration that needs it otherwise.
    pub(crate) field: String,
    /// What is wrong.
    pub(crate) what: String,
    /// A command, or a change to the configuration, that mends it.
    pub(crate) mend: String,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Severity {
    /// It runs, but not as well as it could.
    Advice,
    /// It does not run.
    Blocks,
}

/// Compares the machine with what is wanted. `root` is `/`, or a directory that looks like it.
pub(crate) fn check(root: &Path, wanted: &Wanted) -> Vec<Finding> {
    let machine = Machine { root: root.to_owned() };
    let mut findings = Vec::new();
    findings.extend(huge_pages::check(&machine, wanted));
    findings.extend(cores::check(&machine, &wanted.cores));
    for (i, device) in wanted.devices.iter().enumerate() {
        let field = format!("ports[{i}].device");
        match &device.kind {
            DeviceKind::Pci(address) => findings.extend(pci::check(&machine, &field, address)),
            DeviceKind::AfPacket(name) | DeviceKind::AfXdp(name) => {
                findings.extend(interface::check(&machine, &field, name, device.mtu));
            }
            DeviceKind::Virtual => {}
        }
        findings.extend(privileges::check(&machine, &field, &device.kind));
    }
    findings
}

impl Finding {
    fn blocks(field: &str, what: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { severity: Severity::Blocks, field: field.to_owned(), what: what.into(), mend: mend.into() }
    }

    fn advice(field: &str, what: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { severity: Severity::Advice, field: field.to_owned(), what: what.into(), mend: mend.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Advice => "advice",
            Severity::Blocks => "error",
        };
        write!(f, "{severity}: {}: {}\n  mend: {}", self.field, self.what, self.mend)
    }
}

/// The machine's files.
struct Machine {
    root: PathBuf,
}

impl Machine {
    fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    fn exists(&self, path: &str) -> bool {
        self.path(path).exists()
    }

    /// A file's text without the white space around it; nothing when it cannot be read.
    fn read(&self, path: &str) -> Option<String> {
        std::fs::read_to_string(self.path(path)).ok().map(|text| text.trim().to_owned())
    }

    /// The last part of what a symbolic link points to.
    fn link_name(&self, path: &str) -> Option<String> {
        let target = std::fs::read_link(self.path(path)).ok()?;
        target.file_name().map(|name| name.to_string_lossy().into_owned())
    }

    /// Names in a directory, sorted; none when there is no directory.
    fn list(&self, path: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.path(path)).into_iter().flatten().flatten();
        let mut names: Vec<_> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// A field of `/proc/self/status`.
    fn status(&self, key: &str) -> Option<String> {
        let status = self.read("proc/self/status")?;
        let mut fields = status.lines().filter_map(|line| line.split_once(':'));
        fields.find(|(name, _)| *name == key).map(|(_, value)| value.trim().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::testing::Fixture;
    use super::*;

    fn wanted(devices: Vec<DeviceKind>) -> Wanted {
        Wanted {
            huge_pages: HugePages::Required,
            memory_mib: 256,
            devices: devices.into_iter().map(|kind| WantedDevice { kind, mtu: 1500 }).collect(),
            cores: vec![1],
        }
    }

    #[test]
    fn a_machine_that_has_everything_has_no_findings() {
        let machine = Fixture::complete();
        let devices = vec![
            DeviceKind::Pci("0000:00:06.0".to_owned()),
            DeviceKind::AfPacket("eth1".to_owned()),
            DeviceKind::AfXdp("eth1".to_owned()),
            DeviceKind::Virtual,
        ];
        assert_eq!(check(machine.root(), &wanted(devices)), []);
    }

    #[test]
    fn an_empty_machine_is_full_of_findings_and_no_panic() {
        let machine = Fixture::empty();
        let findings = check(machine.root(), &wanted(vec![DeviceKind::Pci("0000:00:06.0".to_owned())]));
        let fields: Vec<_> = findings.iter().map(|finding| finding.field.as_str()).collect();
        assert_eq!(fields, ["dpdk.huge_pages", "ports[0].device"]);
    }

    #[test]
    fn findings_name_the_port_they_are_about() {
        let machine = Fixture::complete();
        let devices = vec![DeviceKind::Virtual, DeviceKind::AfPacket("eth7".to_owned())];
        let findings = check(machine.root(), &wanted(devices));
        assert_eq!(findings.len(), 1);
        assert_eq!(
            findings[0].to_string(),
            "error: ports[1].device: there is no interface eth7 in this network namespace (there are eth1, lo)\n  \
             mend: ip link show   # then name one of them, or create it"
        );
    }
}
