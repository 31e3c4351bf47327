//! Capabilities (capabilities(7)) that a kind of device needs.
//!
//! | device | needs | for |
//! | --- | --- | --- |
//! | `AF_PACKET` | `CAP_NET_RAW` | the socket |
//! | | `CAP_NET_ADMIN` | the driver sets the interface's flags |
//! | | `CAP_IPC_LOCK` or 8 MiB that may be locked | the socket's ring |
//! | `AF_XDP` | those, and `CAP_SYS_ADMIN` | loading its BPF program |
//! | PCI | `CAP_IPC_LOCK` or no limit on locked memory | packet memory open to the device |
//! | | `CAP_SYS_RAWIO` where there is no IOMMU | vfio's unsafe mode |

use super::{DeviceKind, Finding, Machine};

/// A capability: its name, and its bit in `CapEff`.
#[derive(Clone, Copy)]
struct Capability(&'static str, u32);

const NET_ADMIN: Capability = Capability("CAP_NET_ADMIN", 12);
const NET_RAW: Capability = Capability("CAP_NET_RAW", 13);
const IPC_LOCK: Capability = Capability("CAP_IPC_LOCK", 14);
const SYS_RAWIO: Capability = Capability("CAP_SYS_RAWIO", 17);
const SYS_ADMIN: Capability = Capability("CAP_SYS_ADMIN", 21);

/// What an `AF_PACKET` ring of DPDK's default size locks, with room to spare.
const RING_LOCKS: u64 = 8 << 20;

pub(super) fn check(machine: &Machine, field: &str, device: &DeviceKind) -> Option<Finding> {
    let held = machine.status("CapEff").and_then(|text| u64::from_str_radix(&text, 16).ok())?;
    let has = |capability: Capability| held >> capability.1 & 1 == 1;
    let lockable = locked_memory_limit(machine);
    let mut needed = match device {
        DeviceKind::AfPacket(_) => vec![NET_RAW, NET_ADMIN],
        DeviceKind::AfXdp(_) => vec![NET_RAW, NET_ADMIN, SYS_ADMIN],
        DeviceKind::Pci(address) => {
            let iommu = machine.link_name(&format!("sys/bus/pci/devices/{address}/iommu_group")).is_some();
            if iommu { vec![] } else { vec![SYS_RAWIO] }
        }
        DeviceKind::Virtual => return None,
    };
    let locks_enough = match device {
        DeviceKind::AfPacket(_) => lockable >= RING_LOCKS,
        _ => lockable == u64::MAX,
    };
    if !locks_enough {
        needed.push(IPC_LOCK);
    }
    let missing: Vec<_> = needed.into_iter().filter(|one| !has(*one)).map(|one| one.0).collect();
    if missing.is_empty() {
        return None;
    }
    let missing = missing.join(" ");
    let mend = format!(
        "run as root; or under systemd with AmbientCapabilities={missing}; or setcap {}+ep /path/to/tandem",
        missing.to_lowercase().replace(' ', ",")
    );
    Some(Finding::blocks(field, format!("this process lacks {missing}"), mend))
}

/// How much memory the process may lock without `CAP_IPC_LOCK`, in octets.
fn locked_memory_limit(machine: &Machine) -> u64 {
    let limits = machine.read("proc/self/limits").unwrap_or_default();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max locked memory"));
    match line.and_then(|line| line.split_whitespace().next()) {
        Some("unlimited") => u64::MAX,
        Some(soft) => soft.parse().unwrap_or(0),
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Fixture;
    use super::*;

    fn with_capabilities(mask: &str) -> Fixture {
        let fixture = Fixture::complete();
        fixture.write("proc/self/status", &format!("CapInh:\t0\nCapEff:\t{mask}\n"));
        fixture
    }

    fn missing(fixture: &Fixture, device: DeviceKind) -> String {
        check(fixture.machine(), "ports[0].device", &device).map_or_else(String::new, |finding| finding.what)
    }

    #[test]
    fn root_lacks_nothing() {
        let fixture = with_capabilities("000001ffffffffff");
        assert_eq!(missing(&fixture, DeviceKind::AfPacket("eth1".to_owned())), "");
        assert_eq!(missing(&fixture, DeviceKind::AfXdp("eth1".to_owned())), "");
    }

    #[test]
    fn an_ordinary_user_is_told_all_that_is_missing_at_once() {
        let fixture = with_capabilities("0000000000000000");
        let finding = check(fixture.machine(), "f", &DeviceKind::AfXdp("eth1".to_owned())).unwrap();
        assert_eq!(finding.what, "this process lacks CAP_NET_RAW CAP_NET_ADMIN CAP_SYS_ADMIN CAP_IPC_LOCK");
        assert!(finding.mend.contains("AmbientCapabilities=CAP_NET_RAW CAP_NET_ADMIN CAP_SYS_ADMIN CAP_IPC_LOCK;"));
        assert!(finding.mend.contains("setcap cap_net_raw,cap_net_admin,cap_sys_admin,cap_ipc_lock+ep"));
        assert_eq!(missing(&fixture, DeviceKind::Virtual), "");
    }

    #[test]
    fn a_limit_on_locked_memory_is_enough_for_af_packet_alone() {
        let fixture = with_capabilities("0000000000003000"); // NET_ADMIN, NET_RAW
        assert_eq!(missing(&fixture, DeviceKind::AfPacket("eth1".to_owned())), "");
        fixture
            .write("proc/self/limits", "Max locked memory         65536                65536                bytes\n");
        assert_eq!(missing(&fixture, DeviceKind::AfPacket("eth1".to_owned())), "this process lacks CAP_IPC_LOCK");
    }

    #[test]
    fn a_pci_device_without_iommu_needs_raw_access() {
        let fixture = with_capabilities("0000000000004000"); // IPC_LOCK
        let nic = DeviceKind::Pci("0000:00:06.0".to_owned());
        assert_eq!(missing(&fixture, nic.clone()), "");
        fixture.remove("sys/bus/pci/devices/0000:00:06.0/iommu_group");
        assert_eq!(missing(&fixture, nic), "this process lacks CAP_SYS_RAWIO");
    }
}
