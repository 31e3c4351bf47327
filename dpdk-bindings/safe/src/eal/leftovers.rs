//! What DPDK leaves in the file system: recognised, and removed when its owner is gone.
//!
//! | what | where | who leaves it |
//! | --- | --- | --- |
//! | runtime directory | `/var/run/dpdk/<prefix>/`, for other users than root under `$XDG_RUNTIME_DIR` or `/tmp` | every EAL, also after a clean end |
//! | huge page files | `<hugetlbfs>/<prefix>map_<n>` | every EAL with huge page files, also after a clean end |
//! | memif sockets | where the device says | a memif server that was killed |
//!
//! EAL with nameless huge pages, or without huge pages, makes an empty runtime directory (but for telemetry's socket), which is removed as soon as it
//! runs.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use super::{EalConfig, EalError, Memory};
use crate::device::Device;

/// Clears what an earlier process left, unless that process lives.
pub(super) fn clear_before_start(config: &EalConfig) -> Result<(), EalError> {
    for device in &config.devices {
        clear_socket_of(device)?;
    }
    let directory = runtime_directory(&config.file_prefix);
    if config.is_shared() {
        if let Some(pid) = lock_holder(&directory.join("config")) {
            return Err(EalError::PrefixInUse { prefix: config.file_prefix.clone(), pid });
        }
        remove_directory(&directory).map_err(|error| EalError::Leftover { path: directory, error })?;
        for path in huge_page_files(config) {
            remove_file(&path).map_err(|error| EalError::Leftover { path, error })?;
        }
    }
    Ok(())
}

/// Makes place for a memif server's socket, if the device is one.
pub(super) fn clear_socket_of(device: &Device) -> Result<(), EalError> {
    let Some(path) = device.listening_socket() else { return Ok(()) };
    clear_socket(path).map_err(|trouble| match trouble {
        SocketTrouble::InUse => EalError::SocketInUse { device: device.name(), path: path.to_owned() },
        SocketTrouble::Io(error) => EalError::Leftover { path: path.to_owned(), error },
    })
}

/// Removes the runtime directory of an EAL that has nothing to put there.
pub(super) fn remove_after_start(config: &EalConfig) {
    if !config.is_shared() && !config.telemetry {
        let _ = fs::remove_dir(runtime_directory(&config.file_prefix)); // only if it is empty
    }
}

/// Removes what a clean end leaves. Nobody is there to be told of a failure, and the next start tries again.
pub(super) fn remove_after_end(config: &EalConfig) {
    for path in config.devices.iter().filter_map(|d| d.listening_socket()) {
        let _ = remove_file(path);
    }
    if config.is_shared() {
        for path in huge_page_files(config) {
            let _ = remove_file(&path);
        }
    }
    if config.is_shared() || config.telemetry {
        let _ = remove_directory(&runtime_directory(&config.file_prefix));
    }
}

/// Where DPDK keeps the files of one prefix.
fn runtime_directory(prefix: &str) -> PathBuf {
    // SAFETY: geteuid cannot fail and touches no memory.
    let root = unsafe { libc::geteuid() } == 0;
    let base = match std::env::var_os("XDG_RUNTIME_DIR") {
        _ if root => PathBuf::from("/var/run"),
        Some(dir) => PathBuf::from(dir),
        None => PathBuf::from("/tmp"),
    };
    base.join("dpdk").join(prefix)
}

/// The process that holds DPDK's lock on its configuration file: the primary process of that prefix, if it lives.
fn lock_holder(config: &Path) -> Option<i32> {
    let file = File::open(config).ok()?;
    // SAFETY: `flock` is plain data, for which all zeros is a value.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    // Would a read lock on the whole file meet a write lock of somebody's?
    lock.l_type = libc::F_RDLCK as i16;
    lock.l_whence = libc::SEEK_SET as i16;
    // SAFETY: an open descriptor, and a lock structure that outlives the call.
    let rc = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETLK, &raw mut lock) };
    (rc == 0 && lock.l_type != libc::F_UNLCK as i16).then_some(lock.l_pid)
}

/// The huge page files of one prefix: `<prefix>map_<n>`.
fn huge_page_files(config: &EalConfig) -> Vec<PathBuf> {
    let directories = match &config.memory {
        Memory::HugePageFiles { directory: Some(dir) } => vec![dir.clone()],
        Memory::HugePageFiles { directory: None } => {
            hugetlbfs_mounts(&fs::read_to_string("/proc/mounts").unwrap_or_default())
        }
        Memory::HugePages | Memory::NoHugePages => Vec::new(),
    };
    let start = format!("{}map_", config.file_prefix);
    let ours =
        |name: &str| name.strip_prefix(&start).is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
    let entries = directories.iter().filter_map(|dir| fs::read_dir(dir).ok()).flatten().flatten();
    entries.filter(|entry| entry.file_name().to_str().is_some_and(ours)).map(|entry| entry.path()).collect()
}

/// Mount points of hugetlbfs in the text of `/proc/mounts`.
fn hugetlbfs_mounts(mounts: &str) -> Vec<PathBuf> {
    let fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    fields.filter(|f| f.get(2) == Some(&"hugetlbfs")).map(|f| PathBuf::from(f[1])).collect()
}

#[derive(Debug)]
enum SocketTrouble {
    InUse,
    Io(io::Error),
}

/// Removes a socket file that nobody listens on any more. The kernel tells: it refuses a connection to an abandoned one.
fn clear_socket(path: &Path) -> Result<(), SocketTrouble> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => {}
        Ok(_) => return Err(SocketTrouble::Io(io::Error::new(ErrorKind::AlreadyExists, "it is no socket"))),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(SocketTrouble::Io(error)),
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => remove_file(path).map_err(SocketTrouble::Io),
        // memif speaks SOCK_SEQPACKET: a living listener is told from a dead one by "wrong type of socket".
        Err(error) if error.raw_os_error() == Some(libc::EPROTOTYPE) => Err(SocketTrouble::InUse),
        Err(error) => Err(SocketTrouble::Io(error)),
        Ok(_) => Err(SocketTrouble::InUse),
    }
}

fn remove_file(path: &Path) -> io::Result<()> {
    fs::remove_file(path).or_else(|error| if error.kind() == ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

fn remove_directory(path: &Path) -> io::Result<()> {
    fs::remove_dir_all(path).or_else(|error| if error.kind() == ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let dir = std::env::temp_dir().join(format!("dpdk-leftovers-{name}-{}", std::process::id()));
            fs::create_dir_all(&dir).unwrap();
            Self(dir)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_socket_without_listener_is_removed() {
        let dir = Scratch::new("dead");
        let path = dir.0.join("memif.sock");
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        clear_socket(&path).unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn a_socket_with_listener_stays() {
        let dir = Scratch::new("live");
        let path = dir.0.join("memif.sock");
        let _listener = UnixListener::bind(&path).unwrap();
        assert!(matches!(clear_socket(&path), Err(SocketTrouble::InUse)));
        assert!(path.exists());
    }

    #[test]
    fn a_file_that_is_no_socket_stays() {
        let dir = Scratch::new("file");
        let path = dir.0.join("memif.sock");
        fs::write(&path, "somebody's letters").unwrap();
        // The kernel would refuse a connection here too.
        assert!(matches!(clear_socket(&path), Err(SocketTrouble::Io(_))));
        assert!(path.exists());
    }

    #[test]
    fn no_socket_is_no_trouble() {
        clear_socket(Path::new("/nonexistent/memif.sock")).unwrap();
    }

    #[test]
    fn only_the_prefix_s_own_huge_page_files_are_found() {
        let dir = Scratch::new("map");
        for name in ["tandemmap_0", "tandemmap_17", "tandemmap_", "tandem2map_0", "tandemmap_x", "rtemap_0"] {
            fs::write(dir.0.join(name), "").unwrap();
        }
        let memory = Memory::HugePageFiles { directory: Some(dir.0.clone()) };
        let mut found = huge_page_files(&EalConfig { memory, ..EalConfig::default() });
        found.sort();
        assert_eq!(found, [dir.0.join("tandemmap_0"), dir.0.join("tandemmap_17")]);
    }

    #[test]
    fn hugetlbfs_is_found_among_the_mounts() {
        let mounts = "proc /proc proc rw 0 0\nnodev /dev/hugepages hugetlbfs rw,relatime,pagesize=2M 0 0\n\nnone /mnt hugetlbfs rw 0 0\n";
        assert_eq!(hugetlbfs_mounts(mounts), [PathBuf::from("/dev/hugepages"), PathBuf::from("/mnt")]);
    }

    #[test]
    fn a_file_without_lock_has_no_holder() {
        let dir = Scratch::new("lock");
        let path = dir.0.join("config");
        fs::write(&path, "").unwrap();
        assert_eq!(lock_holder(&path), None);
        assert_eq!(lock_holder(&dir.0.join("absent")), None);
    }
}
