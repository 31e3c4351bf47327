//! What EAL is started with, and how that reads as EAL's command line.

use std::path::PathBuf;

use crate::device::Device;

/// What EAL is started with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EalConfig {
    /// Name of this process among the DPDK processes of the machine: two that run at the same time need two. Letters, digits, `_` and `-`.
    pub file_prefix: String,
    /// Where packet memory comes from.
    pub memory: Memory,
    /// Packet memory to take at the start, in MiB.
    pub memory_mib: u32,
    /// The core that EAL's own thread is pinned to. It sleeps after the start.
    pub main_core: usize,
    /// Devices to look for. PCI functions that are not among them are left alone.
    pub devices: Vec<Device>,
    /// How much DPDK writes to standard error.
    pub log_level: LogLevel,
    /// Whether DPDK's telemetry socket is there for `dpdk-telemetry.py`.
    pub telemetry: bool,
}

/// Where packet memory comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Memory {
    /// Huge pages without a name. No mounted hugetlbfs is needed and no file is made, so a killed process leaves nothing behind.
    HugePages,
    /// Huge pages as files of a hugetlbfs, which DPDK's secondary processes (`dpdk-pdump`, `dpdk-proc-info`) can map too.
    HugePageFiles {
        /// Where the hugetlbfs is mounted; EAL searches `/proc/mounts` if not given.
        directory: Option<PathBuf>,
    },
    /// Ordinary memory: slower, and no real NIC can reach it. For tests and demonstrations.
    NoHugePages,
}

/// How much DPDK writes to standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Only what makes it fail.
    Error,
    /// And what may surprise.
    Warning,
    /// And what is worth knowing.
    Notice,
    /// And what it does.
    Info,
    /// Everything.
    Debug,
}

impl Default for EalConfig {
    /// 256 MiB of huge pages, core 0, no devices, errors only (EAL warns of every size of huge page that is not there), no telemetry.
    fn default() -> Self {
        Self {
            file_prefix: "tandem".to_owned(),
            memory: Memory::HugePages,
            memory_mib: 256,
            main_core: 0,
            devices: Vec::new(),
            log_level: LogLevel::Error,
            telemetry: false,
        }
    }
}

impl EalConfig {
    /// EAL's command line, program name first.
    pub(super) fn arguments(&self) -> Vec<String> {
        let mut line = vec![self.file_prefix.clone()];
        let mut add = |words: &[&str]| line.extend(words.iter().map(|w| (*w).to_owned()));
        // Lcore 0 on the main core: lcore numbers end at RTE_MAX_LCORE, core numbers do not.
        add(&["--lcores", &format!("0@{}", self.main_core)]);
        add(&["--file-prefix", &self.file_prefix]);
        add(&["-m", &self.memory_mib.to_string()]);
        match &self.memory {
            Memory::HugePages => add(&["--in-memory"]),
            Memory::HugePageFiles { directory: None } => {}
            Memory::HugePageFiles { directory: Some(dir) } => add(&["--huge-dir", &dir.display().to_string()]),
            // Not --in-memory: EAL refuses it together with --no-huge. This comes to the same.
            Memory::NoHugePages => add(&["--no-huge", "--no-shconf"]),
        }
        if !self.telemetry {
            add(&["--no-telemetry"]);
        }
        add(&["--log-level", self.log_level.as_str()]);
        if self.devices.iter().all(Device::is_virtual) {
            add(&["--no-pci"]);
        }
        for device in &self.devices {
            add(&[if device.is_virtual() { "--vdev" } else { "-a" }, &device.to_string()]);
        }
        line
    }

    /// Whether this EAL makes files that another process can find.
    pub(super) fn is_shared(&self) -> bool {
        matches!(self.memory, Memory::HugePageFiles { .. })
    }
}

impl LogLevel {
    fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Notice => "notice",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(config: &EalConfig) -> String {
        config.arguments().join(" ")
    }

    #[test]
    fn nameless_huge_pages_leave_no_file() {
        let config = EalConfig { main_core: 1, ..EalConfig::default() };
        assert_eq!(
            line(&config),
            "tandem --lcores 0@1 --file-prefix tandem -m 256 --in-memory --no-telemetry --log-level error --no-pci"
        );
    }

    #[test]
    fn ordinary_memory_is_not_asked_for_together_with_in_memory() {
        let config = EalConfig { memory: Memory::NoHugePages, ..EalConfig::default() };
        assert!(line(&config).contains("--no-huge --no-shconf"));
        assert!(!line(&config).contains("--in-memory"));
    }

    #[test]
    fn only_named_pci_functions_are_touched() {
        let devices = ["0000:00:06.0,enable_llq=1", "net_ring0"].map(|d| d.parse().unwrap()).to_vec();
        let config = EalConfig { devices, telemetry: true, ..EalConfig::default() };
        assert!(line(&config).ends_with("--log-level error -a 0000:00:06.0,enable_llq=1 --vdev net_ring0"));
    }

    #[test]
    fn hugetlbfs_can_be_named() {
        let memory = Memory::HugePageFiles { directory: Some("/mnt/huge".into()) };
        assert!(line(&EalConfig { memory, ..EalConfig::default() }).contains("-m 256 --huge-dir /mnt/huge"));
    }
}
