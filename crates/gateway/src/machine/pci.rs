//! A PCI device: there, a NIC, and bound to a driver that hands it to user space.

use super::{Finding, Machine};

/// Drivers that hand a device to user space, and those that share it with the kernel.
const USER_SPACE_DRIVERS: &[&str] = &["vfio-pci", "igb_uio", "uio_pci_generic"];
const SHARING_DRIVERS: &[&str] = &["mlx4_core", "mlx5_core"];

/// Amazon's vendor number, and its network adapters' device numbers.
const AMAZON: &str = "0x1d0f";
const ENA: &[&str] = &["0x0ec2", "0x1ec2", "0xec20", "0xec21"];

pub(super) fn check(machine: &Machine, field: &str, address: &str) -> Vec<Finding> {
    let at = format!("sys/bus/pci/devices/{address}");
    if address.contains('/') || !machine.exists(&at) {
        return vec![Finding::blocks(
            field,
            format!("there is no PCI device {address}"),
            "lspci -D -d ::0200   # lists the Ethernet controllers",
        )];
    }
    let attribute = |name: &str| machine.read(&format!("{at}/{name}")).unwrap_or_default();
    if !attribute("class").starts_with("0x02") {
        return vec![Finding::blocks(
            field,
            format!("PCI device {address} is no network controller (class {})", attribute("class")),
            "lspci -D -d ::0200   # lists the Ethernet controllers",
        )];
    }
    let mut findings = Vec::new();
    let bind = format!("dpdk-devbind.py --bind=vfio-pci {address}");
    match machine.link_name(&format!("{at}/driver")) {
        Some(driver) if USER_SPACE_DRIVERS.contains(&driver.as_str()) => {
            if driver == "vfio-pci" {
                findings.extend(vfio(machine, field, &at));
            }
            let is_ena = attribute("vendor") == AMAZON && ENA.contains(&attribute("device").as_str());
            if is_ena {
                findings.extend(write_combining(machine, field, &driver));
            }
        }
        Some(driver) if SHARING_DRIVERS.contains(&driver.as_str()) => {}
        Some(driver) => {
            let interfaces = interfaces(machine, &at).join(", ");
            let what = if interfaces.is_empty() {
                format!("{address} is bound to the kernel's driver {driver}")
            } else {
                format!(
                    "{address} is bound to the kernel's driver {driver}, as interface {interfaces}, which goes away when it is bound anew"
                )
            };
            findings.push(Finding::blocks(field, what, with_module(machine, &bind)));
        }
        None => {
            let what = format!("{address} is bound to no driver");
            findings.push(Finding::blocks(field, what, with_module(machine, &bind)));
        }
    }
    findings
}

/// The kernel's interfaces on the device; virtio has a bus of its own in between.
fn interfaces(machine: &Machine, at: &str) -> Vec<String> {
    let virtio = machine.list(at).into_iter().filter(|name| name.starts_with("virtio"));
    let parents = std::iter::once(at.to_owned()).chain(virtio.map(|name| format!("{at}/{name}")));
    parents.flat_map(|parent| machine.list(&format!("{parent}/net"))).collect()
}

/// Loads `vfio-pci` first, where it is not.
fn with_module(machine: &Machine, bind: &str) -> String {
    if machine.exists("sys/module/vfio_pci") { bind.to_owned() } else { format!("modprobe vfio-pci && {bind}") }
}

/// `vfio-pci` protects with an IOMMU; without one, as on most EC2 instances, its unsafe mode has to be allowed.
fn vfio(machine: &Machine, field: &str, at: &str) -> Option<Finding> {
    const UNSAFE_MODE: &str = "sys/module/vfio/parameters/enable_unsafe_noiommu_mode";
    let protected = machine.link_name(&format!("{at}/iommu_group")).is_some();
    let allowed = matches!(machine.read(UNSAFE_MODE).as_deref(), Some("Y" | "1"));
    (!protected && !allowed).then(|| {
        Finding::blocks(
            field,
            "the device is behind no IOMMU, and vfio-pci is not allowed to do without",
            format!("echo 1 > /{UNSAFE_MODE}   # then bind the device again"),
        )
    })
}

/// ENA's low latency queues are written by the core: without write combining, each packet costs many small PCIe writes.
fn write_combining(machine: &Machine, field: &str, driver: &str) -> Option<Finding> {
    match driver {
        "igb_uio" => {
            let active = machine.read("sys/module/igb_uio/parameters/wc_activate");
            (active.as_deref() != Some("1")).then(|| {
                Finding::advice(
                    field,
                    "igb_uio is loaded without write combining, which ENA's low latency queues need",
                    "rmmod igb_uio && modprobe igb_uio wc_activate=1   # then bind the device again",
                )
            })
        }
        "vfio-pci" => Some(Finding::advice(
            field,
            "the kernel's own vfio-pci maps ENA without write combining, and nothing in the system tells whether it is patched",
            "use Amazon's vfio-pci with write combining (amzn-drivers, userspace/dpdk), or igb_uio with wc_activate=1",
        )),
        _ => Some(Finding::advice(
            field,
            format!("{driver} gives ENA neither write combining nor interrupts"),
            "bind it to vfio-pci or igb_uio; or give the device control_path_poll_interval=1000",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Severity;
    use super::super::testing::Fixture;
    use super::*;

    const NIC: &str = "0000:00:06.0";

    fn findings(fixture: &Fixture) -> Vec<Finding> {
        check(fixture.machine(), "ports[0].device", NIC)
    }

    #[test]
    fn a_nic_on_vfio_behind_an_iommu_is_fine() {
        assert_eq!(findings(&Fixture::complete()), []);
    }

    #[test]
    fn a_device_that_is_not_there_is_told() {
        for address in ["0000:00:07.0", "../devices"] {
            let findings = check(Fixture::complete().machine(), "ports[0].device", address);
            assert_eq!(findings[0].what, format!("there is no PCI device {address}"));
        }
    }

    #[test]
    fn a_disk_is_no_nic() {
        let fixture = Fixture::complete();
        fixture.write("sys/bus/pci/devices/0000:00:06.0/class", "0x010802");
        assert!(findings(&fixture)[0].what.contains("no network controller"));
    }

    #[test]
    fn a_nic_still_bound_to_the_kernel_is_told_with_its_interface() {
        let fixture = Fixture::complete();
        fixture.bind(NIC, "ena");
        fixture.write("sys/bus/pci/devices/0000:00:06.0/net/ens6/mtu", "1500");
        let findings = findings(&fixture);
        assert_eq!(findings.len(), 1);
        assert!(findings[0].what.contains("the kernel's driver ena, as interface ens6, which goes away"));
        assert_eq!(findings[0].mend, "dpdk-devbind.py --bind=vfio-pci 0000:00:06.0");
    }

    #[test]
    fn a_virtio_nic_s_interface_is_found_behind_its_own_bus() {
        let fixture = Fixture::complete();
        fixture.bind(NIC, "virtio-pci");
        fixture.write("sys/bus/pci/devices/0000:00:06.0/virtio2/net/eth0/mtu", "1500");
        assert!(findings(&fixture)[0].what.contains("as interface eth0, which goes away"));
    }

    #[test]
    fn the_module_is_loaded_first_where_it_is_not() {
        let fixture = Fixture::complete();
        fixture.unbind(NIC);
        fixture.remove("sys/module/vfio_pci");
        assert_eq!(findings(&fixture)[0].mend, "modprobe vfio-pci && dpdk-devbind.py --bind=vfio-pci 0000:00:06.0");
    }

    #[test]
    fn vfio_without_iommu_has_to_be_allowed() {
        let fixture = Fixture::complete();
        fixture.remove("sys/bus/pci/devices/0000:00:06.0/iommu_group");
        assert_eq!(findings(&fixture)[0].severity, Severity::Blocks);
        fixture.write("sys/module/vfio/parameters/enable_unsafe_noiommu_mode", "Y");
        assert_eq!(findings(&fixture), []);
    }

    #[test]
    fn ena_is_advised_to_use_write_combining() {
        let fixture = Fixture::complete();
        fixture.write("sys/bus/pci/devices/0000:00:06.0/vendor", "0x1d0f");
        fixture.write("sys/bus/pci/devices/0000:00:06.0/device", "0xec20");
        assert_eq!(findings(&fixture)[0].severity, Severity::Advice);
        fixture.bind(NIC, "igb_uio");
        assert!(findings(&fixture)[0].mend.starts_with("rmmod igb_uio && modprobe igb_uio wc_activate=1"));
        fixture.write("sys/module/igb_uio/parameters/wc_activate", "1");
        assert_eq!(findings(&fixture), []);
    }

    #[test]
    fn a_driver_that_shares_its_device_needs_no_binding() {
        let fixture = Fixture::complete();
        fixture.bind(NIC, "mlx5_core");
        assert_eq!(findings(&fixture), []);
    }
}
