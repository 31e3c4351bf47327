//! What a report says about the machine.
//!
//! Everything but the instance is read below a root that is an argument. The metadata service is asked only where the
//! firmware says that this is EC2, only at its link-local address, and for no longer than a second in all.

use std::path::Path;
use std::time::{Duration, Instant};

use tandem_capacity::report::{Cpu, HugePages, Instance, Machine, Nic};
use tandem_control::memory_traffic_octets;

/// The instance metadata service, version 2.
const METADATA: &str = "http://169.254.169.254";
/// For each request to it.
const PATIENCE: Duration = Duration::from_millis(300);
/// What each core reads to see what memory gives: more than its part of the last cache.
const PROBED_OCTETS: usize = 64 << 20;
/// How often; the first time brings the pages in.
const PROBES: usize = 4;
/// Longer answers are none.
const LONGEST: u64 = 4096;

/// Looks at the machine below `root`.
pub(super) fn facts(root: &Path, name: Option<String>) -> Machine {
    let look = Look { root };
    let amazon = ["sys_vendor", "bios_vendor"]
        .iter()
        .any(|file| look.read(&format!("sys/class/dmi/id/{file}")).is_some_and(|text| text.contains("Amazon EC2")));
    Machine {
        name,
        cpu: look.cpu(),
        memory_mib: look.meminfo_kib("MemTotal") / 1024,
        huge_pages: look.huge_pages(),
        os: look.os(),
        kernel: look.read("proc/sys/kernel/osrelease").unwrap_or_default(),
        kernel_command_line: look.read("proc/cmdline").unwrap_or_default(),
        hypervisor: look.hypervisor(),
        dpdk: dpdk_version(root),
        nics: look.nics(),
        instance: if amazon { instance(METADATA) } else { None },
        memory_counters: look.memory_counters(),
        // Where it cannot be compared with what is moved, it says nothing.
        memory_gb_s: memory_traffic_octets(root).map(|_| most_memory_gb_s()),
    }
}

struct Look<'a> {
    root: &'a Path,
}

impl Look<'_> {
    fn read(&self, path: &str) -> Option<String> {
        Some(std::fs::read_to_string(self.root.join(path)).ok()?.trim().to_owned())
    }

    fn list(&self, path: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.root.join(path)).into_iter().flatten().flatten();
        let mut names: Vec<_> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    fn link(&self, path: &str) -> Option<String> {
        let target = std::fs::read_link(self.root.join(path)).ok()?;
        Some(target.file_name()?.to_string_lossy().into_owned())
    }

    /// Intel's memory controllers are `uncore_imc*`, AMD's `amd_umc*` or, before them, in `amd_df`; Arm's and others have `ddr` in the name.
    fn memory_counters(&self) -> Vec<String> {
        let counts = |name: &String| {
            ["uncore_imc", "amd_umc", "amd_df"].iter().any(|known| name.starts_with(known)) || name.contains("ddr")
        };
        self.list("sys/bus/event_source/devices").into_iter().filter(counts).collect()
    }

    fn cpu(&self) -> Cpu {
        let text = self.read("proc/cpuinfo").unwrap_or_default();
        let field = |name: &str| {
            let mut lines = text.lines().filter_map(|line| line.split_once(':'));
            lines.find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim().to_owned())
        };
        let flags = field("flags").unwrap_or_default();
        let has = |flag: &&str| flags.split_whitespace().any(|known| known == *flag);
        let siblings = self.read("sys/devices/system/cpu/cpu0/topology/thread_siblings_list").unwrap_or_default();
        Cpu {
            model: field("model name").or_else(|| field("CPU part")).unwrap_or_default(),
            logical: text.lines().filter(|line| line.starts_with("processor")).count() as u32,
            threads_per_core: threads(&siblings),
            mhz: field("cpu MHz").and_then(|mhz| mhz.parse().ok()),
            governor: self.read("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
            isolated: self.read("sys/devices/system/cpu/isolated").unwrap_or_default(),
            instruction_sets: ["avx2", "avx512bw", "avx512_vnni"]
                .iter()
                .filter(|s| has(s))
                .map(|s| (*s).to_owned())
                .collect(),
        }
    }

    fn meminfo_kib(&self, field: &str) -> u64 {
        let text = self.read("proc/meminfo").unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':')).map(str::trim);
        line.and_then(|value| value.trim_end_matches("kB").trim().parse().ok()).unwrap_or(0)
    }

    fn huge_pages(&self) -> Vec<HugePages> {
        const KINDS: &str = "sys/kernel/mm/hugepages";
        let sizes = self.list(KINDS);
        let pages = sizes.iter().filter_map(|kind| {
            let size_kib = kind.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok()?;
            let total = self.read(&format!("{KINDS}/{kind}/nr_hugepages"))?.parse().ok()?;
            Some(HugePages { size_kib, total })
        });
        pages.collect()
    }

    fn os(&self) -> String {
        let text = self.read("etc/os-release").unwrap_or_default();
        let name = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
        name.unwrap_or_default().trim_matches('"').to_owned()
    }

    fn hypervisor(&self) -> Option<String> {
        let vendor = self.read("sys/class/dmi/id/sys_vendor").filter(|vendor| !vendor.is_empty());
        let kind = self.read("sys/hypervisor/type");
        let virtual_machine = self.read("proc/cpuinfo").is_some_and(|text| {
            text.lines().any(|l| l.starts_with("flags") && l.split_whitespace().any(|f| f == "hypervisor"))
        });
        kind.or_else(|| {
            virtual_machine.then(|| vendor.unwrap_or_else(|| "a hypervisor that does not say which".to_owned()))
        })
    }

    fn nics(&self) -> Vec<Nic> {
        let interfaces = self.list("sys/class/net").into_iter().filter_map(|name| {
            // What is not on a bus (bridges, loopback, veth) is not the machine's.
            let driver = self.link(&format!("sys/class/net/{name}/device/driver"))?;
            let mbps = self.read(&format!("sys/class/net/{name}/speed")).and_then(|speed| speed.parse().ok());
            Some(Nic { name, driver, mbps })
        });
        let bound = ["vfio-pci", "uio_pci_generic", "igb_uio"].into_iter().flat_map(|driver| {
            let devices = self.list(&format!("sys/bus/pci/drivers/{driver}"));
            let devices = devices.into_iter().filter(|device| device.contains(':'));
            devices.map(move |name| Nic { name, driver: driver.to_owned(), mbps: None })
        });
        interfaces.chain(bound).collect()
    }
}

/// What all cores together read from memory, each its own part in order, in gigabytes per second: the best of some times.
fn most_memory_gb_s() -> f64 {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let round = std::sync::Barrier::new(cores);
    let read = || {
        let octets = vec![1_u64; PROBED_OCTETS / size_of::<u64>()];
        let times = (0..PROBES).map(|_| {
            round.wait();
            let began = Instant::now();
            let sum = octets.iter().fold(0, |sum: u64, word| sum.wrapping_add(*word));
            std::hint::black_box(sum);
            round.wait();
            began.elapsed()
        });
        times.min().unwrap_or_default()
    };
    let slowest = std::thread::scope(|scope| {
        let readers: Vec<_> = (0..cores).map(|_| scope.spawn(read)).collect();
        readers.into_iter().filter_map(|reader| reader.join().ok()).max().unwrap_or_default()
    });
    (cores * PROBED_OCTETS) as f64 / slowest.as_nanos().max(1) as f64
}

/// Threads in a list of siblings: `0-1`, `0,64`.
fn threads(list: &str) -> u32 {
    let count = list.split(',').filter_map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last) = (first.trim().parse::<u32>().ok()?, last.trim().parse::<u32>().ok()?);
        Some(last.checked_sub(first)?.saturating_add(1))
    });
    count.fold(0, u32::saturating_add).clamp(1, 16)
}

/// As the distribution's package says, without starting DPDK.
fn dpdk_version(root: &Path) -> Option<String> {
    for folder in ["usr/lib/x86_64-linux-gnu", "usr/lib/aarch64-linux-gnu", "usr/lib", "usr/local/lib"] {
        let text = std::fs::read_to_string(root.join(folder).join("pkgconfig/libdpdk-libs.pc")).ok();
        let version =
            text.and_then(|text| text.lines().find_map(|line| Some(line.strip_prefix("Version:")?.trim().to_owned())));
        if version.is_some() {
            return version;
        }
    }
    None
}

/// Asks the metadata service at `base` (IMDSv2: a token first).
fn instance(base: &str) -> Option<Instance> {
    let config = ureq::Agent::config_builder().timeout_global(Some(PATIENCE)).proxy(None).max_redirects(0);
    let agent: ureq::Agent = config.build().into();
    let text = |mut answer: ureq::http::Response<ureq::Body>| {
        let text = answer.body_mut().with_config().limit(LONGEST).read_to_string().ok()?;
        let text = text.trim().to_owned();
        (!text.is_empty() && text.chars().all(|c| c.is_ascii_graphic())).then_some(text)
    };
    let token = agent
        .put(format!("{base}/latest/api/token"))
        .header("X-aws-ec2-metadata-token-ttl-seconds", "60")
        .send_empty()
        .ok()
        .and_then(text)?;
    let ask = |what: &str| {
        let request = agent.get(format!("{base}/latest/meta-data/{what}")).header("X-aws-ec2-metadata-token", &token);
        request.call().ok().and_then(text)
    };
    Some(Instance { kind: ask("instance-type")?, zone: ask("placement/availability-zone")?, image: ask("ami-id") })
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;

    use super::*;

    fn laid_out(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        folder
    }

    #[test]
    fn a_machine_is_told_from_its_files() {
        let folder = laid_out(&[
            (
                "proc/cpuinfo",
                "processor\t: 0\nmodel name\t: Xeon 8488C\ncpu MHz\t: 2400.5\nflags\t: fpu avx2 avx512bw hypervisor\nprocessor\t: 1\n",
            ),
            ("proc/meminfo", "MemTotal:       2048000 kB\n"),
            ("proc/sys/kernel/osrelease", "6.1.0\n"),
            ("sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "512\n"),
            ("sys/devices/system/cpu/cpu0/topology/thread_siblings_list", "0,64\n"),
            ("sys/devices/system/cpu/isolated", "1-3\n"),
            ("etc/os-release", "PRETTY_NAME=\"Debian 12\"\n"),
            ("sys/class/dmi/id/sys_vendor", "QEMU\n"),
            ("sys/bus/pci/drivers/vfio-pci/0000:00:06.0", ""),
            ("sys/bus/pci/drivers/vfio-pci/bind", ""),
            ("usr/lib/x86_64-linux-gnu/pkgconfig/libdpdk-libs.pc", "Name: x\nVersion: 22.11.11\n"),
        ]);
        let facts = facts(folder.path(), Some("a".to_owned()));
        assert_eq!((facts.cpu.model.as_str(), facts.cpu.logical, facts.cpu.threads_per_core), ("Xeon 8488C", 2, 2));
        assert_eq!(facts.cpu.instruction_sets, ["avx2", "avx512bw"]);
        assert_eq!((facts.cpu.mhz, facts.cpu.isolated.as_str()), (Some(2400.5), "1-3"));
        assert_eq!((facts.memory_mib, facts.kernel.as_str(), facts.os.as_str()), (2000, "6.1.0", "Debian 12"));
        assert_eq!(facts.huge_pages, [HugePages { size_kib: 2048, total: 512 }]);
        assert_eq!(facts.hypervisor.as_deref(), Some("QEMU"));
        assert_eq!(facts.dpdk.as_deref(), Some("22.11.11"));
        assert_eq!(facts.nics, [Nic { name: "0000:00:06.0".to_owned(), driver: "vfio-pci".to_owned(), mbps: None }]);
        assert_eq!(facts.instance, None, "nobody is asked where this is not EC2");
        assert_eq!(facts.memory_gb_s, None, "and memory is not measured where traffic is not told");
    }

    #[test]
    fn what_memory_gives_is_measured_where_traffic_is_told() {
        let folder = laid_out(&[("sys/fs/resctrl/mon_data/mon_L3_00/mbm_total_bytes", "7\n")]);
        let most = facts(folder.path(), None).memory_gb_s.unwrap();
        assert!(most > 0.1, "{most} GB/s");
    }

    #[test]
    fn a_machine_that_tells_nothing_is_no_failure() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(facts(folder.path(), None).cpu.threads_per_core, 1);
    }

    /// Answers as the metadata service does, and only to who has its token.
    fn metadata(listener: &TcpListener) {
        for stream in listener.incoming().take(4) {
            let mut stream = stream.unwrap();
            let lines = BufReader::new(&stream).lines().map_while(Result::ok);
            let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
            let known = head.iter().any(|line| line.eq_ignore_ascii_case("x-aws-ec2-metadata-token: secret"));
            let (status, body) = match head[0].split_whitespace().nth(1).unwrap() {
                "/latest/api/token" if head[0].starts_with("PUT") => ("200 OK", "secret"),
                _ if !known => ("401 Unauthorized", ""),
                "/latest/meta-data/instance-type" => ("200 OK", "c6in.2xlarge"),
                "/latest/meta-data/placement/availability-zone" => ("200 OK", "eu-central-1a"),
                _ => ("404 Not Found", ""),
            };
            let length = body.len();
            write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}").unwrap();
        }
    }

    #[test]
    fn the_instance_is_asked_with_a_token() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let server = std::thread::spawn(move || metadata(&listener));
        let found = instance(&base);
        assert_eq!(
            found,
            Some(Instance { kind: "c6in.2xlarge".to_owned(), zone: "eu-central-1a".to_owned(), image: None })
        );
        server.join().unwrap();
    }

    #[test]
    fn a_metadata_service_that_does_not_answer_is_given_up() {
        // Accepts, by its backlog, and never says a word.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        assert_eq!(instance(&format!("http://{}", listener.local_addr().unwrap())), None);
    }
}
