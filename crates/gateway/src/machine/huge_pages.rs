//! Huge pages: present, and enough of them free.
//!
//! DPDK takes them without a name (`MAP_HUGETLB`), so that no hugetlbfs has to be mounted.

use super::{DeviceKind, Finding, HugePages, Machine, Wanted};

const FIELD: &str = "dpdk.huge_pages";
const KINDS: &str = "sys/kernel/mm/hugepages";

/// Free memory in huge pages of any size, in MiB. `root` is `/`, or a directory that looks like it.
pub(crate) fn free_mib(root: &std::path::Path) -> u64 {
    free(&Machine { root: root.to_owned() })
}

pub(super) fn check(machine: &Machine, wanted: &Wanted) -> Option<Finding> {
    let pci = wanted.devices.iter().any(|device| matches!(device.kind, DeviceKind::Pci(_)));
    match wanted.huge_pages {
        HugePages::Unused if pci => Some(Finding::blocks(
            FIELD,
            "a PCI device reads and writes packets by physical address, which only huge pages keep",
            format!("{FIELD}: on"),
        )),
        HugePages::Unused => None,
        HugePages::Required => lack(machine, wanted.memory_mib).map(|(what, mend)| Finding::blocks(FIELD, what, mend)),
        HugePages::Preferred => lack(machine, wanted.memory_mib).map(|(what, mend)| {
            if pci { Finding::blocks(FIELD, what, mend) } else { Finding::advice(FIELD, what, mend) }
        }),
    }
}

/// What is missing, and what mends it.
fn lack(machine: &Machine, memory_mib: u32) -> Option<(String, String)> {
    if machine.list(KINDS).is_empty() {
        let what = "this kernel has no huge pages (CONFIG_HUGETLBFS)";
        return Some((what.to_owned(), format!("{FIELD}: off   # or boot another kernel")));
    }
    let free = free(machine);
    if free >= u64::from(memory_mib) {
        return None;
    }
    let what = format!("{memory_mib} MiB of huge pages are wanted (dpdk.memory_mib), {free} MiB are free");
    let all: u64 = number(machine, &format!("{KINDS}/hugepages-2048kB/nr_hugepages"));
    let more = (u64::from(memory_mib) - free).div_ceil(2);
    Some((what, format!("sysctl -w vm.nr_hugepages={}   # and a file in /etc/sysctl.d to keep it", all + more)))
}

fn free(machine: &Machine) -> u64 {
    let sizes = machine.list(KINDS);
    let mib = sizes.iter().filter_map(|kind| {
        let kib: u64 = kind.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok()?;
        Some(number(machine, &format!("{KINDS}/{kind}/free_hugepages")).saturating_mul(kib) / 1024)
    });
    mib.sum()
}

fn number(machine: &Machine, path: &str) -> u64 {
    machine.read(path).and_then(|text| text.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::super::testing::Fixture;
    use super::super::{Severity, WantedDevice};
    use super::*;

    fn findings(fixture: &Fixture, huge_pages: HugePages, memory_mib: u32, kind: DeviceKind) -> Option<Finding> {
        let devices = vec![WantedDevice { kind, mtu: 1500 }];
        check(fixture.machine(), &Wanted { huge_pages, memory_mib, devices, cores: vec![] })
    }

    #[test]
    fn pages_of_all_sizes_count() {
        let fixture = Fixture::complete(); // 512 of 2 MiB, 1 of 1 GiB
        assert_eq!(free_mib(fixture.root()), 2048);
        assert_eq!(findings(&fixture, HugePages::Required, 2048, DeviceKind::Virtual), None);
    }

    #[test]
    fn the_command_asks_for_as_many_pages_as_are_missing() {
        let fixture = Fixture::complete();
        fixture.write("sys/kernel/mm/hugepages/hugepages-1048576kB/free_hugepages", "0");
        fixture.write("sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "100");
        let finding = findings(&fixture, HugePages::Required, 257, DeviceKind::Virtual).unwrap();
        assert_eq!(finding.severity, Severity::Blocks);
        assert_eq!(finding.what, "257 MiB of huge pages are wanted (dpdk.memory_mib), 200 MiB are free");
        assert!(finding.mend.starts_with("sysctl -w vm.nr_hugepages=541 "), "{}", finding.mend); // 512 + 57/2 rounded up
    }

    #[test]
    fn preferred_pages_are_an_advice_but_for_pci() {
        let fixture = Fixture::complete();
        let severity = |kind| findings(&fixture, HugePages::Preferred, 4096, kind).map(|finding| finding.severity);
        assert_eq!(severity(DeviceKind::Virtual), Some(Severity::Advice));
        assert_eq!(severity(DeviceKind::Pci("0000:00:06.0".to_owned())), Some(Severity::Blocks));
    }

    #[test]
    fn a_pci_device_does_not_go_without() {
        let fixture = Fixture::complete();
        let finding = findings(&fixture, HugePages::Unused, 64, DeviceKind::Pci("0000:00:06.0".to_owned())).unwrap();
        assert_eq!((finding.severity, finding.mend.as_str()), (Severity::Blocks, "dpdk.huge_pages: on"));
        assert_eq!(findings(&Fixture::empty(), HugePages::Unused, 64, DeviceKind::Virtual), None);
    }

    #[test]
    fn a_kernel_without_huge_pages_is_told() {
        let finding = findings(&Fixture::empty(), HugePages::Required, 64, DeviceKind::Virtual).unwrap();
        assert!(finding.what.contains("CONFIG_HUGETLBFS"));
    }
}
