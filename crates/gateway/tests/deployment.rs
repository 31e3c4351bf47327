//! What gateways are deployed with: `deploy/prepare-host` against a made-up `/sys` and `/proc`, the units, the templates.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const NIC: &str = "0000:00:06.0";
const MAC: &str = "0a:1b:2c:3d:4e:5f";

/// A machine with one ENA interface `ens6` that the kernel holds, and a default route by `ens5`.
struct Host {
    root: tempfile::TempDir,
}

impl Host {
    fn new() -> Self {
        let host = Self { root: tempfile::tempdir().expect("a directory") };
        host.write("proc/sys/vm/nr_hugepages", "0\n");
        host.write("proc/mounts", "proc /proc proc rw 0 0\n");
        host.write(
            "proc/net/route",
            "Iface\tDestination\tGateway\nens5\t00000000\t0101A8C0\nens6\t0002000A\t00000000\n",
        );
        let device = format!("sys/bus/pci/devices/{NIC}");
        host.write(&format!("{device}/net/ens6/address"), MAC);
        host.write("sys/bus/pci/drivers/ena/unbind", "");
        host.write("sys/bus/pci/drivers/vfio-pci/unbind", "");
        host.write("sys/module/vfio/parameters/enable_unsafe_noiommu_mode", "N\n");
        host.bind("ena");
        fs::create_dir_all(host.path("sys/class/net")).expect("a directory");
        let at = host.path("sys/class/net/ens6");
        symlink(host.path(&format!("{device}/net/ens6")), at).expect("a link");
        symlink(host.path(&device), host.path(&format!("{device}/net/ens6/device"))).expect("a link");
        host
    }

    fn path(&self, below: &str) -> PathBuf {
        self.root.path().join(below)
    }

    fn write(&self, below: &str, text: &str) {
        let path = self.path(below);
        fs::create_dir_all(path.parent().expect("below the root")).expect("a directory");
        fs::write(path, text).expect("written");
    }

    fn read(&self, below: &str) -> String {
        fs::read_to_string(self.path(below)).unwrap_or_default().trim().to_owned()
    }

    /// What the kernel does when a device is probed.
    fn bind(&self, driver: &str) {
        let link = self.path(&format!("sys/bus/pci/devices/{NIC}/driver"));
        let _ = fs::remove_file(&link);
        symlink(self.path(&format!("sys/bus/pci/drivers/{driver}")), link).expect("a link");
    }

    fn prepare(&self, configuration: &str) -> Output {
        self.write("host.conf", configuration);
        Command::new(project().join("deploy/prepare-host"))
            .arg(self.path("host.conf"))
            .env("TANDEM_ROOT", self.root.path())
            .output()
            .expect("the script runs")
    }
}

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn refused(output: &Output) -> String {
    assert!(!output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn an_interface_named_by_its_mac_address_is_handed_from_the_kernel_to_vfio() {
    let host = Host::new();
    let said = printed(&host.prepare(&format!("MEDIA_INTERFACES={}\n", MAC.to_uppercase())));

    assert!(said.contains("run: ip link set ens6 down"), "{said}");
    assert!(said.contains("run: modprobe vfio-pci"), "{said}");
    assert_eq!(host.read(&format!("sys/bus/pci/devices/{NIC}/driver_override")), "vfio-pci");
    assert_eq!(host.read("sys/bus/pci/drivers/ena/unbind"), NIC);
    assert_eq!(host.read("sys/bus/pci/drivers_probe"), NIC);
    assert_eq!(host.read("sys/module/vfio/parameters/enable_unsafe_noiommu_mode"), "1", "the device has no IOMMU");
}

#[test]
fn a_device_behind_an_iommu_keeps_its_protection() {
    let host = Host::new();
    host.write(&format!("sys/bus/pci/devices/{NIC}/iommu_group"), "");
    printed(&host.prepare("MEDIA_INTERFACES=ens6\n"));
    assert_eq!(host.read("sys/module/vfio/parameters/enable_unsafe_noiommu_mode"), "N");
}

#[test]
fn a_second_run_finds_the_interface_by_the_name_it_had_and_changes_nothing() {
    let host = Host::new();
    printed(&host.prepare("MEDIA_INTERFACES=ens6\n"));
    // What the kernel has done by then.
    host.bind("vfio-pci");
    fs::remove_file(host.path("sys/class/net/ens6")).expect("removed");
    host.write("sys/bus/pci/drivers_probe", "");

    let said = printed(&host.prepare(&format!("MEDIA_INTERFACES='ens6 {MAC}'\n")));
    assert_eq!(said.matches("is bound to vfio-pci").count(), 2, "{said}");
    assert_eq!(host.read("sys/bus/pci/drivers_probe"), "");
}

#[test]
fn the_interface_with_the_default_route_is_not_taken_from_the_kernel() {
    let host = Host::new();
    host.write("proc/net/route", "Iface\tDestination\tGateway\nens6\t00000000\t0101A8C0\n");
    let said = refused(&host.prepare("MEDIA_INTERFACES=ens6\n"));
    assert!(said.contains("ens6, which has the default route"), "{said}");
    assert_eq!(host.read("sys/bus/pci/drivers/ena/unbind"), "");
}

#[test]
fn igb_uio_is_loaded_with_write_combining() {
    let host = Host::new();
    let said = printed(&host.prepare(&format!("MEDIA_INTERFACES={NIC}\nMEDIA_DRIVER=igb_uio\n")));
    assert!(said.contains("run: modprobe igb_uio wc_activate=1"), "{said}");
    assert_eq!(host.read(&format!("sys/bus/pci/devices/{NIC}/driver_override")), "igb_uio");
}

#[test]
fn huge_pages_are_set_aside_once_and_mounted() {
    let host = Host::new();
    let said = printed(&host.prepare("HUGE_PAGES_MIB=1024\n"));
    assert_eq!(host.read("proc/sys/vm/nr_hugepages"), "512");
    assert!(said.contains("run: mount -t hugetlbfs hugetlbfs /dev/hugepages"), "{said}");

    // More than are wanted, for whatever else runs there, are left alone.
    host.write("proc/sys/vm/nr_hugepages", "2048\n");
    host.write("proc/mounts", "hugetlbfs /dev/hugepages hugetlbfs rw 0 0\n");
    assert_eq!(printed(&host.prepare("HUGE_PAGES_MIB=1024\n")), "");
    assert_eq!(host.read("proc/sys/vm/nr_hugepages"), "2048");
}

#[test]
fn what_is_wrong_in_the_file_is_told_with_the_field() {
    let host = Host::new();
    for (configuration, told) in [
        ("HUGE_PAGES_MIB=1G\n", "HUGE_PAGES_MIB is '1G'"),
        ("MEDIA_DRIVER=ena\n", "MEDIA_DRIVER is 'ena'. There are: vfio-pci igb_uio"),
        ("MEDIA_INTERFACES=ens9\n", "there is no interface ens9"),
        ("MEDIA_INTERFACES=0000:00:1f.0\n", "there is no PCI device 0000:00:1f.0"),
        ("MEDIA_INTERFACES=02:00:00:00:00:01\n", "no interface has the MAC address 02:00:00:00:00:01"),
    ] {
        let said = refused(&host.prepare(configuration));
        assert!(said.contains(told), "{configuration}: {said}");
    }
}

#[test]
fn the_cloudformation_templates_are_such_that_aws_would_take_them() {
    let build = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| project().join("target"), PathBuf::from);
    let lint = build.join("tools/bin/cfn-lint");
    assert!(lint.exists(), "there is no {}: run scripts/setup.sh", lint.display());
    for template in ["pair", "group"] {
        let template = project().join(format!("deploy/cloudformation/{template}.yaml"));
        let found = Command::new(&lint).arg(template).output().expect("cfn-lint runs");
        assert!(found.status.success(), "{}", String::from_utf8_lossy(&found.stdout));
    }
}

#[test]
fn a_group_waits_by_the_hooks_that_its_gateways_complete() {
    let read = |file: &str| fs::read_to_string(project().join(file)).expect(file);
    let (template, configuration) = (read("deploy/cloudformation/group.yaml"), read("configs/pair.yaml"));
    let word = |field: &str| {
        let rest = configuration.split_once(&format!("{field}: ")).expect(field).1;
        rest.split(['\n', '}']).next().expect("a value").to_owned()
    };
    for (hook, transition) in [("launch_hook", "LAUNCHING"), ("terminate_hook", "TERMINATING")] {
        let wanted = format!(
            "LifecycleHookName: {}\n          LifecycleTransition: autoscaling:EC2_INSTANCE_{transition}",
            word(hook)
        );
        assert!(template.contains(&wanted), "{wanted}");
    }
    assert!(template.contains(&format!("Default: {}\n", word("auto_scaling_group"))));
    // What user data puts the instance's own address in place of.
    assert!(template.contains("\\[.*\\] # own media address") && configuration.contains("] # own media address"));
}

#[test]
fn what_the_page_of_deployment_names_is_there() {
    let page = fs::read_to_string(project().join("docs/DEPLOY.md")).expect("the page");
    let links: Vec<&str> = page.split("](").skip(1).filter_map(|rest| rest.split(')').next()).collect();
    assert!(links.len() > 5, "{links:?}");
    for link in links.iter().filter(|link| !link.starts_with("http")) {
        let path = link.split('#').next().expect("a path");
        assert!(project().join("docs").join(path).exists(), "{link}");
    }
    let makefile = fs::read_to_string(project().join("Makefile")).expect("the Makefile");
    for target in page.split("`make ").skip(1).filter_map(|rest| rest.split('`').next()) {
        assert!(makefile.contains(&format!("\n{target}:")), "make {target}");
    }
}

#[test]
fn dashboard_and_alerts_ask_only_for_metrics_that_there_are() {
    let manual = fs::read_to_string(project().join("docs/OPERATING.md")).expect("the manual");
    for file in ["configs/grafana-dashboard.json", "configs/prometheus-alerts.yaml"] {
        let text = fs::read_to_string(project().join(file)).expect(file);
        let words = text.split(|c: char| !(c.is_ascii_lowercase() || c == '_'));
        let metrics: BTreeSet<&str> = words.filter(|word| word.starts_with("tandem_")).collect();
        assert!(metrics.len() > 5, "{file} asks for {metrics:?}");
        for metric in metrics {
            // A histogram's series have an ending of their own.
            let declared = metric.strip_suffix("_bucket").unwrap_or(metric);
            assert!(manual.contains(&format!("| `{declared}` |")), "{file}: there is no metric {metric}");
        }
    }
}
