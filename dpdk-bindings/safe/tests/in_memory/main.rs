//! The crate against a real EAL without huge pages. One EAL serves the whole process, so the tests run under `cargo test`, all in one process, as well
//! as under runners that give each its own.

mod mbuf;
mod memif;
mod mempool;
mod port;
mod ring;
mod veth;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use dpdk::device::Device;
use dpdk::eal::{Eal, EalConfig, EalError, Memory};
use dpdk::mempool::{Mempool, MempoolConfig};
use tandem_packet_io::{Burst, PacketBuf, PacketIo};

/// The process's EAL.
fn eal() -> &'static Eal {
    static EAL: OnceLock<Eal> = OnceLock::new();
    EAL.get_or_init(|| Eal::start(&config()).expect("EAL starts without huge pages"))
}

fn config() -> EalConfig {
    EalConfig {
        file_prefix: format!("tandem-test-{}", std::process::id()),
        memory: Memory::NoHugePages,
        memory_mib: 128,
        ..EalConfig::default()
    }
}

/// A number that no other test of this process has.
fn unique() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A pool of its own for each test.
fn pool(mbufs: u32) -> Mempool {
    let config = MempoolConfig { cache: 0, ..MempoolConfig::new(&format!("pool-{}", unique()), mbufs) };
    Mempool::new(eal(), &config).expect("memory for a small pool")
}

/// Attaches a virtual device under a number that no other test has: `attach("net_ring", "")`.
fn attach(driver: &str, options: &str) -> Device {
    let device: Device = format!("{driver}{}{options}", unique()).parse().expect("a device");
    eal().attach(&device).expect("the driver takes it");
    device
}

/// A burst of frames of `len` octets, each filled with its own number.
fn frames<Io: PacketIo>(io: &mut Io, count: u8, len: usize) -> Burst<Io::Buf> {
    (0..count)
        .map(|n| {
            let mut frame = io.allocate().expect("an mbuf");
            frame.set_len(len).expect("room");
            frame.data_mut().fill(n);
            frame
        })
        .collect()
}

/// Says on standard output that a test could not be run.
fn not_run(what: &str, why: &str) {
    println!("not run: {what} ({why})");
}

#[test]
fn eal_starts_once_in_a_process() {
    eal();
    assert!(matches!(Eal::start(&config()), Err(EalError::AlreadyStarted)));
}

#[test]
fn a_file_prefix_that_leads_elsewhere_is_refused() {
    for prefix in ["", "../x", "a b", &"x".repeat(33)] {
        let config = EalConfig { file_prefix: prefix.to_owned(), ..config() };
        assert!(matches!(Eal::start(&config), Err(EalError::FilePrefix(given)) if given == prefix));
    }
}

#[test]
fn starting_eal_leaves_the_caller_unpinned() {
    let before = core_affinity::get_core_ids();
    eal();
    assert_eq!(core_affinity::get_core_ids(), before);
}

#[test]
fn release_is_a_supported_one() {
    let version = dpdk::eal::version();
    assert!(["DPDK 22.11", "DPDK 23.", "DPDK 24."].iter().any(|v| version.starts_with(v)), "{version}");
}
