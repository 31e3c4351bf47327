//! The environment abstraction layer: one per process, started once, given back whole.
//!
//! `rte_eal_init` pins the thread that calls it, and threads started by that thread inherit the pinning. So [`Eal::start`] runs it on a thread of its
//! own, which sleeps until the end and cleans up there; the caller's thread is left as it was.
//!
//! Everything made from an [`Eal`] (pools, ports, queues, registered threads) keeps it running. When the last of them is dropped, EAL is cleaned up:
//! memory, sockets and files are given back.

mod config;
mod leftovers;

use std::ffi::{CString, c_char};
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;

use dpdk_sys as c;

pub use config::{EalConfig, LogLevel, Memory};

use crate::device::Device;
use crate::error::Errno;
use crate::mempool::RawPool;

/// A running EAL. Cloning it is cheap and makes another holder of the same EAL.
#[derive(Debug, Clone)]
pub struct Eal(pub(crate) Arc<Running>);

/// Why EAL did not start.
#[derive(Debug, thiserror::Error)]
pub enum EalError {
    /// DPDK can be started once in a process, also after a clean end.
    #[error("EAL was already started in this process, and DPDK starts only once")]
    AlreadyStarted,
    /// The file prefix would make a path that leads elsewhere, or none.
    #[error("file prefix `{0}` is not usable: letters, digits, `_` and `-`, 1 to 32 of them")]
    FilePrefix(String),
    /// Another living process is the DPDK process of this name.
    #[error("file prefix `{prefix}` is in use by process {pid}: stop it, or give this one another prefix")]
    PrefixInUse {
        /// The prefix.
        prefix: String,
        /// Who has it.
        pid: i32,
    },
    /// Another living process listens on a memif's socket.
    #[error("memif socket {} is in use by another process: stop it, or give {device} another socket", path.display())]
    SocketInUse {
        /// The device that wants to listen.
        device: String,
        /// The socket file.
        path: PathBuf,
    },
    /// What a killed process left cannot be removed.
    #[error("cannot remove {}, left by a process that is gone: {error}", path.display())]
    Leftover {
        /// What cannot be removed.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// An argument holds a zero byte.
    #[error("EAL argument {0:?} holds a zero byte")]
    ZeroByte(String),
    /// `rte_eal_init` failed. What it complained about stands on standard error, in lines that begin with `EAL:`.
    #[error(
        "rte_eal_init failed: {errno}. The lines beginning `EAL:` say at what; `tandem check` finds the usual reasons"
    )]
    Init {
        /// The error it left.
        errno: Errno,
    },
    /// The thread for EAL could not be started.
    #[error("cannot start a thread for EAL: {0}")]
    Thread(std::io::Error),
}

/// Why a device was not attached.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// EAL has a device of that name.
    #[error("{device} is attached already")]
    Exists {
        /// The device.
        device: String,
    },
    /// DPDK found no driver for it, or the driver refused.
    #[error("cannot attach {device}: {errno}")]
    Probe {
        /// The device.
        device: String,
        /// The error.
        errno: Errno,
    },
    /// The device's text holds a zero byte.
    #[error("device {0:?} holds a zero byte")]
    ZeroByte(String),
    /// Its socket is somebody else's, or cannot be made free.
    #[error(transparent)]
    Socket(EalError),
}

/// Set once and for ever: `rte_eal_init` cannot be called twice.
static STARTED: AtomicBool = AtomicBool::new(false);

/// The state behind every [`Eal`]. Its drop is the end of DPDK in this process.
pub(crate) struct Running {
    /// Pools whose last handle was dropped while mbufs of theirs were still out. Looked at again at the end.
    orphans: Mutex<Vec<RawPool>>,
    /// ethdev's control functions are not safe to be called at the same time.
    pub(crate) control: Mutex<()>,
    main: Option<MainThread>,
}

struct MainThread {
    stop: mpsc::Sender<Stop>,
    handle: thread::JoinHandle<()>,
}

enum Stop {
    CleanUp,
    /// Somebody still holds packet memory: leave it mapped.
    Abandon,
}

impl Eal {
    /// Starts EAL. What an earlier process of the same file prefix left behind when it was killed is cleared away first.
    ///
    /// # Errors
    /// [`EalError`]. After `Init`, the process cannot try again.
    pub fn start(config: &EalConfig) -> Result<Self, EalError> {
        let prefix = &config.file_prefix;
        let fit = |ch: char| ch.is_ascii_alphanumeric() || ch == '_' || ch == '-';
        if prefix.is_empty() || prefix.len() > 32 || !prefix.chars().all(fit) {
            return Err(EalError::FilePrefix(prefix.clone()));
        }
        let arguments = config
            .arguments()
            .into_iter()
            .map(|arg| CString::new(arg.as_bytes()).map_err(|_| EalError::ZeroByte(arg)))
            .collect::<Result<Vec<_>, _>>()?;
        if STARTED.swap(true, Ordering::SeqCst) {
            return Err(EalError::AlreadyStarted);
        }
        if let Err(error) = leftovers::clear_before_start(config) {
            STARTED.store(false, Ordering::SeqCst); // rte_eal_init was not called: the caller may mend it and come again
            return Err(error);
        }
        let (stop, until) = mpsc::channel();
        let (started, outcome) = mpsc::sync_channel(1);
        let after = config.clone();
        let handle = thread::Builder::new()
            .name("dpdk-eal".to_owned())
            .spawn(move || main_thread(arguments, &after, &started, &until))
            .map_err(EalError::Thread)?;
        match outcome.recv() {
            Ok(Ok(())) => Ok(Self(Arc::new(Running {
                orphans: Mutex::default(),
                control: Mutex::default(),
                main: Some(MainThread { stop, handle }),
            }))),
            Ok(Err(errno)) => Err(EalError::Init { errno }),
            Err(mpsc::RecvError) => Err(EalError::Init { errno: Errno::Invalid }),
        }
    }

    /// Adds a virtual device to the running EAL, as tests do. Devices known at the start belong into [`EalConfig::devices`].
    ///
    /// # Errors
    /// [`AttachError`] when there is no such driver, a device of that name exists already, or the driver refuses.
    pub fn attach(&self, device: &Device) -> Result<(), AttachError> {
        let zero_byte = || AttachError::ZeroByte(device.to_string());
        let bus = if device.is_virtual() { c"vdev" } else { c"pci" };
        let name = CString::new(device.name()).map_err(|_| zero_byte())?;
        let arguments = CString::new(device.arguments()).map_err(|_| zero_byte())?;
        let _one_at_a_time = self.0.control.lock().unwrap_or_else(PoisonError::into_inner);
        if crate::port::number_of(&name).is_some() {
            return Err(AttachError::Exists { device: device.name() });
        }
        leftovers::clear_socket_of(device).map_err(AttachError::Socket)?;
        // SAFETY: three C strings that live through the call, and EAL runs.
        let rc = unsafe { c::rte_eal_hotplug_add(bus.as_ptr(), name.as_ptr(), arguments.as_ptr()) };
        Errno::check(rc).map_err(|errno| AttachError::Probe { device: device.to_string(), errno })?;
        Ok(())
    }
}

/// DPDK's release, as it calls itself: `DPDK 22.11.11`.
#[must_use]
pub fn version() -> String {
    // SAFETY: may be called at any time.
    let text = unsafe { c::rte_version() };
    // SAFETY: it returns a static C string.
    let text = unsafe { std::ffi::CStr::from_ptr(text) };
    text.to_string_lossy().into_owned()
}

/// The life of EAL's main lcore: start, sleep, clean up.
fn main_thread(
    arguments: Vec<CString>,
    config: &EalConfig,
    started: &mpsc::SyncSender<Result<(), Errno>>,
    until: &mpsc::Receiver<Stop>,
) {
    // EAL reorders the pointers and keeps some of the strings for as long as it runs.
    let mut argv: Vec<*mut c_char> = arguments.iter().map(|arg| arg.as_ptr().cast_mut()).collect();
    argv.push(std::ptr::null_mut());
    // SAFETY: argv is `arguments.len()` C strings and a null, all alive until after rte_eal_cleanup; EAL does not write into the strings; `STARTED`
    // guarantees the only call in this process.
    let rc = unsafe { c::rte_eal_init(arguments.len() as i32, argv.as_mut_ptr()) };
    if rc < 0 {
        let errno = Errno::last();
        let _ = started.send(Err(errno));
        std::mem::forget(arguments); // what half-started threads of EAL may still read
        return;
    }
    leftovers::remove_after_start(config);
    let _ = started.send(Ok(()));
    match until.recv() {
        Ok(Stop::CleanUp) => {
            // SAFETY: the last holder of `Running` is gone, and with it every pool, port, queue and registered thread.
            unsafe { c::rte_eal_cleanup() };
            leftovers::remove_after_end(config);
        }
        Ok(Stop::Abandon) | Err(mpsc::RecvError) => std::mem::forget(arguments),
    }
}

impl Running {
    /// Takes in a pool that cannot be freed yet.
    pub(crate) fn adopt(&self, pool: RawPool) {
        self.orphans.lock().unwrap_or_else(PoisonError::into_inner).push(pool);
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("running EAL")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let orphans = std::mem::take(self.orphans.get_mut().unwrap_or_else(PoisonError::into_inner));
        let mut still_out = false;
        for pool in orphans {
            still_out |= pool.free_if_full().is_err();
        }
        if let Some(main) = self.main.take() {
            // An mbuf that outlives everything points into EAL's memory. Better to keep that mapped than to have it point nowhere.
            let _ = main.stop.send(if still_out { Stop::Abandon } else { Stop::CleanUp });
            let _ = main.handle.join();
        }
    }
}
