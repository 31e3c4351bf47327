//! Finds libdpdk, binds what the crate `dpdk` uses of it, and compiles the wrappers of its inline functions.
//!
//! What is missing is said with the name of the Debian package that brings it.

use std::env;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// The releases this crate is written for: from 22.11 on, before 25.
const OLDEST: (u32, u32) = (22, 11);
const NEWEST: (u32, u32) = (24, 11);

/// Functions of the slow path and the bursts. Per-packet fields are read in Rust instead (`src/mbuf.rs`).
const FUNCTIONS: &[&str] = &[
    "dpdk_.*",
    "rte_eal_(init|cleanup|hotplug_add|hotplug_remove|get_runtime_dir)",
    "rte_strerror",
    "rte_version",
    "rte_thread_(register|unregister)",
    "rte_lcore_id",
    "rte_socket_id",
    "rte_log_set_global_level",
    "rte_pktmbuf_(pool_create|alloc|alloc_bulk|free|free_bulk)",
    "rte_mempool_(free|avail_count|in_use_count|lookup)",
    "rte_ring_(create|free|sp_enqueue_burst|sc_dequeue_burst|mp_enqueue_burst|mc_dequeue_burst|count|free_count)",
    "rte_eth_(rx|tx)_burst",
    "rte_eth_tx_prepare",
    "rte_eth_dev_(get_port_by_name|count_avail|info_get|configure|start|stop|close|set_mtu|get_mtu|socket_id)",
    "rte_eth_dev_(adjust_nb_rx_tx_desc|default_mac_addr_set|rss_reta_query|rss_hash_conf_get|rss_hash_update)",
    "rte_eth_(rx|tx)_queue_setup",
    "rte_eth_macaddr_get",
    "rte_eth_promiscuous_(enable|disable|get)",
    "rte_eth_allmulticast_(enable|disable)",
    "rte_eth_stats_(get|reset)",
    "rte_eth_xstats_(get|get_names|reset)",
];

const TYPES: &[&str] = &["dpdk_.*", "rte_eth_rss_reta_entry64"];

const CONSTANTS: &[&str] = &[
    "DPDK_.*",
    "RTE_ETH_(RX|TX)_OFFLOAD_.*",
    "RTE_ETH_RSS_.*",
    "RTE_ETH_MQ_.*",
    "RTE_ETH_XSTATS_NAME_SIZE",
    "RTE_ETH_RETA_GROUP_SIZE",
    "RTE_ETHER_.*",
    "RTE_MAX_LCORE",
    "RTE_MAX_ETHPORTS",
    "RTE_MBUF_F_(RX|TX)_.*",
    "RTE_MBUF_(L2|L3)_LEN_BITS",
    "RTE_MBUF_DEFAULT_.*",
    "RTE_MEMPOOL_CACHE_MAX_SIZE",
    "RTE_PKTMBUF_HEADROOM",
    "RING_F_S[PC]_.*",
    "RTE_LOG_.*",
    "E_RTE_.*",
    "SOCKET_ID_ANY",
];

fn main() -> ExitCode {
    println!("cargo::rerun-if-changed=wrapper.h");
    println!("cargo::rerun-if-env-changed=PKG_CONFIG_PATH");
    match build() {
        Ok(()) => ExitCode::SUCCESS,
        Err(missing) => {
            println!("cargo::error={missing}");
            ExitCode::FAILURE
        }
    }
}

fn build() -> Result<(), Missing> {
    let version = pkg_config(&["--modversion"])?;
    let version = version.first().map_or("", String::as_str);
    match parse_version(version) {
        Some(v) if (OLDEST..=NEWEST).contains(&v) => {}
        _ => return Err(Missing::Release { found: version.to_owned() }),
    }
    // rte_config.h comes in by `-include`, and the inline functions need `-march`: both compilers get every flag that DPDK was built with.
    let cflags = pkg_config(&["--cflags"])?;
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let wrappers = out.join("inline_functions.c");

    bind(&cflags, &out.join("bindings.rs"), &wrappers)?;
    compile(&cflags, &wrappers)?;

    // rustc links with --as-needed: of DPDK's fifty libraries only those stay whose symbols are used. Drivers are found at run time in DPDK's plugin
    // directory, next to the libraries.
    for flag in pkg_config(&["--libs"])? {
        if let Some(dir) = flag.strip_prefix("-L") {
            println!("cargo::rustc-link-search=native={dir}");
        } else if let Some(lib) = flag.strip_prefix("-l") {
            println!("cargo::rustc-link-lib={lib}");
        }
    }
    Ok(())
}

/// Runs pkg-config and splits what it prints. (The `pkg-config` crate drops `-march` and `-include`.)
fn pkg_config(args: &[&str]) -> Result<Vec<String>, Missing> {
    let output = Command::new("pkg-config").args(args).arg("libdpdk").output().map_err(|_| Missing::PkgConfig)?;
    if !output.status.success() {
        return Err(Missing::Libdpdk);
    }
    Ok(String::from_utf8_lossy(&output.stdout).split_whitespace().map(str::to_owned).collect())
}

/// `22.11.11` is release (22, 11).
fn parse_version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.split(['.', '-']);
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

fn bind(cflags: &[String], bindings: &Path, wrappers: &Path) -> Result<(), Missing> {
    let mut builder = bindgen::builder()
        .header("wrapper.h")
        .clang_args(cflags)
        .wrap_static_fns(true)
        .wrap_static_fns_path(wrappers)
        // RTE_BIT64() and UINT64_C() stand in most offload flags: bindgen cannot expand them, clang can.
        .clang_macro_fallback()
        .clang_macro_fallback_build_dir(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"))
        .default_enum_style(bindgen::EnumVariation::Consts)
        .prepend_enum_name(false)
        .opaque_type("rte_mbuf|rte_mempool|rte_ring|rte_device|rte_bus|rte_eth_dev")
        .derive_default(true)
        .derive_debug(false) // packed structs among them have none
        .generate_comments(false)
        .rust_edition(bindgen::RustEdition::Edition2024)
        .use_core()
        .parse_callbacks(Box::new(bindgen::CargoCallbacks::new()));
    for name in FUNCTIONS {
        builder = builder.allowlist_function(name);
    }
    for name in TYPES {
        builder = builder.allowlist_type(name);
    }
    for name in CONSTANTS {
        builder = builder.allowlist_var(name);
    }
    // bindgen loads libclang when it is first needed, and panics when there is none.
    std::panic::set_hook(Box::new(|_| {}));
    let generated = std::panic::catch_unwind(|| {
        bindgen::clang_version();
    })
    .map_err(|_| Missing::Libclang);
    let _ = std::panic::take_hook();
    generated?;
    let generated = builder.generate().map_err(|e| Missing::Headers { why: e.to_string() })?;
    generated.write_to_file(bindings).expect("OUT_DIR is writable");
    Ok(())
}

fn compile(cflags: &[String], wrappers: &Path) -> Result<(), Missing> {
    let mut cc = cc::Build::new();
    cc.file(wrappers).include(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it")).opt_level(3).warnings(false);
    for flag in cflags {
        cc.flag(flag);
    }
    cc.try_compile("dpdk_inline_functions").map_err(|e| Missing::Compiler { why: e.to_string() })
}

/// What keeps the bindings from being built, and what to do about it.
enum Missing {
    PkgConfig,
    Libdpdk,
    Release { found: String },
    Libclang,
    Headers { why: String },
    Compiler { why: String },
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PkgConfig => write!(f, "pkg-config is not installed. On Debian: apt install pkg-config"),
            Self::Libdpdk => write!(
                f,
                "pkg-config does not find libdpdk. On Debian: apt install libdpdk-dev (or set PKG_CONFIG_PATH to the directory of your libdpdk.pc)"
            ),
            Self::Release { found } => write!(
                f,
                "libdpdk {found} is not supported, {}.{} to {}.{} are. Debian 12's libdpdk-dev is 22.11",
                OLDEST.0, OLDEST.1, NEWEST.0, NEWEST.1
            ),
            Self::Libclang => write!(
                f,
                "bindgen does not find libclang. On Debian: apt install libclang-dev clang (or set LIBCLANG_PATH to the directory of libclang.so)"
            ),
            Self::Headers { why } => write!(f, "bindgen cannot read DPDK's headers: {}", one_line(why)),
            Self::Compiler { why } => {
                write!(
                    f,
                    "DPDK's inline functions do not compile (on Debian: apt install build-essential): {}",
                    one_line(why)
                )
            }
        }
    }
}

/// cargo takes a message up to the first line break.
fn one_line(text: &str) -> String {
    text.lines().map(str::trim).collect::<Vec<_>>().join(" | ")
}
