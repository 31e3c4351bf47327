//! Machines laid out in directories.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use tempfile::TempDir;

use super::Machine;

/// A directory that looks like `/` as far as the checks look.
pub(super) struct Fixture {
    directory: TempDir,
    machine: Machine,
}

impl Fixture {
    /// A machine with nothing.
    pub(super) fn empty() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let machine = Machine { root: directory.path().to_owned() };
        Self { directory, machine }
    }

    /// A machine with four cores, 2 GiB of huge pages, an interface, and a NIC on `vfio-pci` behind an IOMMU; and root.
    pub(super) fn complete() -> Self {
        let fixture = Self::empty();
        for (path, text) in [
            ("sys/devices/system/cpu/online", "0-3\n"),
            ("sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "512\n"),
            ("sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "512\n"),
            ("sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages", "1\n"),
            ("sys/kernel/mm/hugepages/hugepages-1048576kB/free_hugepages", "1\n"),
            ("sys/class/net/lo/flags", "0x9\n"),
            ("sys/class/net/eth1/flags", "0x1003\n"),
            ("sys/class/net/eth1/carrier", "1\n"),
            ("sys/class/net/eth1/mtu", "1500\n"),
            ("sys/bus/pci/devices/0000:00:06.0/class", "0x020000\n"),
            ("sys/bus/pci/devices/0000:00:06.0/vendor", "0x8086\n"),
            ("sys/bus/pci/devices/0000:00:06.0/device", "0x1889\n"),
            ("sys/module/vfio_pci/refcnt", "1\n"),
            ("sys/module/vfio/parameters/enable_unsafe_noiommu_mode", "N\n"),
            ("proc/self/status", "Name:\ttandem\nCapEff:\t000001ffffffffff\nCpus_allowed_list:\t0-3\n"),
            ("proc/self/limits", "Max locked memory         8388608              8388608              bytes\n"),
        ] {
            fixture.write(path, text);
        }
        symlink("../../../kernel/iommu_groups/7", fixture.path("sys/bus/pci/devices/0000:00:06.0/iommu_group"))
            .expect("a link");
        fixture.bind("0000:00:06.0", "vfio-pci");
        fixture
    }

    pub(super) fn root(&self) -> &Path {
        self.directory.path()
    }

    pub(super) fn machine(&self) -> &Machine {
        &self.machine
    }

    /// Writes a file, and the directories above it.
    pub(super) fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("below the root")).expect("a directory");
        fs::write(path, text).expect("a file");
    }

    /// Removes a file, a link or a directory.
    pub(super) fn remove(&self, path: &str) {
        let path = self.path(path);
        fs::remove_file(&path).or_else(|_| fs::remove_dir_all(&path)).expect("it is there");
    }

    /// Binds a PCI device to a driver.
    pub(super) fn bind(&self, address: &str, driver: &str) {
        self.unbind(address);
        let link = self.path(&format!("sys/bus/pci/devices/{address}/driver"));
        symlink(format!("../../../bus/pci/drivers/{driver}"), link).expect("a link");
    }

    /// Takes a PCI device from its driver.
    pub(super) fn unbind(&self, address: &str) {
        let link = self.path(&format!("sys/bus/pci/devices/{address}/driver"));
        let _ = fs::remove_file(link);
    }

    fn path(&self, path: &str) -> std::path::PathBuf {
        self.root().join(path)
    }
}
