use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A machine, as far as it can matter to a capacity.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// What whoever ran it calls the machine.
    pub name: Option<String>,
    /// The processor.
    pub cpu: Cpu,
    /// Memory, in MiB.
    pub memory_mib: u64,
    /// Huge pages, by size.
    pub huge_pages: Vec<HugePages>,
    /// The distribution.
    pub os: String,
    /// The kernel's release.
    pub kernel: String,
    /// The kernel's command line: isolation, mitigations, C-states.
    pub kernel_command_line: String,
    /// The hypervisor, where the machine says that there is one.
    pub hypervisor: Option<String>,
    /// DPDK's version.
    pub dpdk: Option<String>,
    /// Network interfaces and bound DPDK devices.
    pub nics: Vec<Nic>,
    /// The cloud instance, as its metadata service says.
    pub instance: Option<Instance>,
    /// Counters of its memory controllers that the kernel offers (`uncore_imc_0`); empty where memory bandwidth cannot be read, as on most
    /// virtual machines.
    #[serde(default)]
    pub memory_counters: Vec<String>,
    /// What all cores together could read from memory when nothing else was done, in gigabytes (10^9) per second; measured where memory traffic can be
    /// read (`/sys/fs/resctrl`), none elsewhere.
    #[serde(default)]
    pub memory_gb_s: Option<f64>,
}

/// A processor.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cpu {
    /// The model's name.
    pub model: String,
    /// Logical processors that are on line.
    pub logical: u32,
    /// Hardware threads per core; what a worker gets of a core depends on who has the other thread.
    pub threads_per_core: u32,
    /// Nominal or present frequency, in MHz.
    pub mhz: Option<f64>,
    /// The frequency governor of the first core; none where frequency is not the machine's to choose.
    pub governor: Option<String>,
    /// Cores kept from the kernel's scheduler (`isolcpus`), in its notation; empty for none.
    pub isolated: String,
    /// Instruction sets that codecs choose from: `avx2`, `avx512bw`, `avx512_vnni`.
    pub instruction_sets: Vec<String>,
}

/// Huge pages of one size.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HugePages {
    /// The size of one, in KiB.
    pub size_kib: u64,
    /// How many there are.
    pub total: u64,
}

/// A network interface.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Nic {
    /// The interface's name, or its PCI address where DPDK has it.
    pub name: String,
    /// The driver.
    pub driver: String,
    /// Megabits per second, where the driver tells.
    pub mbps: Option<u64>,
}

/// A cloud instance.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Instance {
    /// Its type: `c6in.2xlarge`.
    pub kind: String,
    /// Its availability zone.
    pub zone: String,
    /// The image it was started from.
    pub image: Option<String>,
}
