//! The beginning and the end of EAL, which a process has once: each test starts processes of its own, and kills some.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use dpdk::device::Device;
use dpdk::eal::{Eal, EalConfig, EalError, Memory};
use dpdk::mempool::{Mempool, MempoolConfig};
use dpdk::port::{Port, PortConfig};

/// What the child process is to do: a memory kind, a file prefix, and a device or nothing, separated by blanks.
const ROLE: &str = "DPDK_TEST_CHILD";

/// The other side of the tests below: starts EAL and a port, says so, holds them until its standard input ends, gives them back, and says so.
#[test]
#[ignore = "the other tests here start it"]
fn child() {
    let role = std::env::var(ROLE).expect("started by the tests here");
    let words: Vec<&str> = role.split(' ').collect();
    let memory = match words[0] {
        "files" => Memory::HugePageFiles { directory: None },
        "nameless" => Memory::HugePages,
        _ => Memory::NoHugePages,
    };
    let devices: Vec<Device> = words[2..].iter().map(|text| text.parse().unwrap()).collect();
    let config = EalConfig {
        file_prefix: words[1].to_owned(),
        memory,
        memory_mib: 64,
        devices: devices.clone(),
        ..EalConfig::default()
    };
    let eal = match Eal::start(&config) {
        Ok(eal) => eal,
        Err(EalError::PrefixInUse { pid, .. }) => return println!("> prefix in use by {pid}"),
        Err(EalError::SocketInUse { path, .. }) => return println!("> socket in use: {}", path.display()),
        Err(error) => return println!("> {error}"),
    };
    let pool = Mempool::new(&eal, &MempoolConfig::new("packets", 4095)).unwrap();
    let ports: Vec<_> = devices.iter().map(|d| Port::start(&eal, d, &PortConfig::default(), &pool).unwrap()).collect();
    println!("> running");
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
    // The EAL handle first: it is the last of the holders that counts.
    drop(eal);
    drop(pool);
    drop(ports);
    println!("> ended");
}

struct Process {
    child: Child,
    said: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Process {
    fn start(role: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().expect("this test's binary"))
            .args(["--exact", "child", "--ignored", "--nocapture", "--test-threads=1"])
            .env(ROLE, role)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a child process");
        let said = BufReader::new(child.stdout.take().expect("its standard output is a pipe")).lines();
        Self { child, said }
    }

    /// The next thing the child says.
    fn says(&mut self) -> String {
        let lines = self.said.by_ref().map(Result::unwrap);
        // The test harness writes the test's name before the first line.
        let line = lines.filter_map(|l| l.split_once("> ").map(|(_, said)| said.to_owned())).next();
        line.unwrap_or_else(|| "nothing".to_owned())
    }

    fn kill(mut self) {
        self.child.kill().expect("it runs"); // SIGKILL
        self.child.wait().expect("it is ours");
    }

    fn end(mut self) {
        drop(self.child.stdin.take());
        assert_eq!(self.says(), "ended");
        assert!(self.child.wait().expect("it is ours").success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A prefix that no other test has.
fn prefix(name: &str) -> String {
    format!("tandem-{name}-{}", std::process::id())
}

/// The mounted hugetlbfs, if there are 32 free pages of 2 MiB for each of two processes.
fn hugetlbfs() -> Option<PathBuf> {
    let free = fs::read_to_string("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages").ok()?;
    let mounts = fs::read_to_string("/proc/mounts").ok()?;
    let mount = mounts.lines().map(|l| l.split(' ').collect::<Vec<_>>()).find(|f| f[2] == "hugetlbfs")?;
    (free.trim().parse::<u32>().ok()? >= 64).then(|| PathBuf::from(mount[1]))
}

fn huge_page_files(hugetlbfs: &Path, prefix: &str) -> usize {
    let entries = fs::read_dir(hugetlbfs).expect("hugetlbfs is mounted");
    entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix)).count()
}

fn not_run(what: &str) {
    println!("not run: {what} (no hugetlbfs mounted with 64 free pages of 2 MiB)");
}

#[test]
fn a_clean_end_leaves_no_file() {
    let Some(hugetlbfs) = hugetlbfs() else { return not_run("clean end with huge page files") };
    let prefix = prefix("clean");
    let mut process = Process::start(&format!("files {prefix} net_ring0"));
    assert_eq!(process.says(), "running");
    assert!(huge_page_files(&hugetlbfs, &prefix) > 0);
    let runtime = Path::new("/var/run/dpdk").join(&prefix);
    assert!(runtime.exists());
    process.end();
    assert_eq!(huge_page_files(&hugetlbfs, &prefix), 0);
    assert!(!runtime.exists());
}

#[test]
fn a_killed_process_is_started_again_over_what_it_left() {
    let Some(hugetlbfs) = hugetlbfs() else { return not_run("restart with huge page files") };
    let prefix = prefix("killed");
    let mut first = Process::start(&format!("files {prefix} net_ring0"));
    assert_eq!(first.says(), "running");
    let pages = huge_page_files(&hugetlbfs, &prefix);
    first.kill();
    assert_eq!(huge_page_files(&hugetlbfs, &prefix), pages, "what a killed process leaves");
    let mut second = Process::start(&format!("files {prefix} net_ring0"));
    assert_eq!(second.says(), "running");
    second.end();
    assert_eq!(huge_page_files(&hugetlbfs, &prefix), 0);
}

#[test]
fn a_living_process_is_not_disturbed_by_a_second_of_its_prefix() {
    let Some(hugetlbfs) = hugetlbfs() else { return not_run("two processes of one prefix") };
    let prefix = prefix("twice");
    let mut first = Process::start(&format!("files {prefix} net_ring0"));
    assert_eq!(first.says(), "running");
    let pages = huge_page_files(&hugetlbfs, &prefix);
    let mut second = Process::start(&format!("files {prefix} net_ring0"));
    assert_eq!(second.says(), format!("prefix in use by {}", first.child.id()));
    assert_eq!(huge_page_files(&hugetlbfs, &prefix), pages);
    first.end();
}

#[test]
fn nameless_huge_pages_leave_nothing_even_when_killed() {
    let Some(hugetlbfs) = hugetlbfs() else { return not_run("restart with nameless huge pages") };
    let prefix = prefix("nameless");
    for _ in 0..2 {
        let mut process = Process::start(&format!("nameless {prefix} net_ring0"));
        assert_eq!(process.says(), "running");
        assert_eq!(huge_page_files(&hugetlbfs, &prefix), 0);
        process.kill();
        assert!(!Path::new("/var/run/dpdk").join(&prefix).exists());
    }
}

#[test]
fn eal_ends_and_says_so_without_huge_pages() {
    let mut process = Process::start(&format!("none {} net_ring0 net_null0", prefix("none")));
    assert_eq!(process.says(), "running");
    process.end();
}

#[test]
fn a_killed_memif_server_s_socket_does_not_stop_the_next() {
    let socket = std::env::temp_dir().join(format!("dpdk-restart-{}.sock", std::process::id()));
    let role =
        format!("none {} net_memif0,role=server,socket={},socket-abstract=no", prefix("memif"), socket.display());
    let mut first = Process::start(&role);
    assert_eq!(first.says(), "running");
    let mut rival = Process::start(&role);
    assert_eq!(rival.says(), format!("socket in use: {}", socket.display()));
    first.kill();
    assert!(socket.exists(), "what a killed server leaves");
    assert!(UnixStream::connect(&socket).is_err());
    let mut second = Process::start(&role);
    assert_eq!(second.says(), "running");
    second.end();
    assert!(!socket.exists());
}
