//! Devices as a configuration names them, in DPDK's own notation.
//!
//! `0000:00:06.0` or `0000:00:06.0,enable_llq=1` is a PCI function; `net_af_packet0,iface=eth1` is a virtual device: driver, number, options. A
//! [`Device`] is such a text, understood and checked before EAL sees it, because EAL's own complaint about it is a log line and `EINVAL`.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// A packet device.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Device {
    /// A PCI function bound to a driver that hands it to user space: ENA, virtio, an Intel or NVIDIA NIC.
    Pci {
        /// Where it is on the bus.
        address: PciAddress,
        /// The driver's own options.
        options: Options,
    },
    /// A kernel interface through `AF_PACKET` sockets.
    AfPacket {
        /// The number in its name.
        number: u16,
        /// The kernel interface.
        interface: String,
        /// `qpairs`, `blocksz`, ...
        options: Options,
    },
    /// A kernel interface through `AF_XDP` sockets.
    AfXdp {
        /// The number in its name.
        number: u16,
        /// The kernel interface.
        interface: String,
        /// `start_queue`, `queue_count`, ...
        options: Options,
    },
    /// Shared memory between two processes of one machine. For measurements and tests.
    ///
    /// When the peer goes, DPDK's driver unmaps the shared memory on EAL's interrupt thread, without regard to a worker that is polling at that moment,
    /// which may then fault (seen with 22.11). So stop polling, or stop the whole process, before the peer goes.
    Memif {
        /// The number in its name.
        number: u16,
        /// Which end of the socket this process is.
        role: MemifRole,
        /// Where the two processes meet.
        socket: MemifSocket,
        /// `bsize`, `rsize`, `secret`, ...
        options: Options,
    },
    /// A loop inside the process: what is sent is received again.
    Ring {
        /// The number in its name.
        number: u16,
        /// `nodeaction`
        options: Options,
    },
    /// Receives empty packets without end and swallows what is sent.
    Null {
        /// The number in its name.
        number: u16,
        /// `size`, `copy`, `no-rx`
        options: Options,
    },
    /// Capture files, read and written.
    Pcap {
        /// The number in its name.
        number: u16,
        /// `rx_pcap`, `tx_pcap`, `iface`, ...
        options: Options,
    },
}

/// Which end of a memif socket a process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemifRole {
    /// Listens.
    Server,
    /// Connects when its port starts: the server has to be there by then. DPDK's driver does not connect again when the server goes.
    Client,
}

/// Where the two ends of a memif meet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemifSocket {
    /// In the abstract socket namespace: leaves no file behind, but every user of the machine can connect. DPDK's default.
    Abstract(String),
    /// A socket file.
    File(PathBuf),
}

/// Place of a PCI function: domain, bus, device, function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PciAddress {
    domain: u32,
    bus: u8,
    device: u8,
    function: u8,
}

/// A driver's options, `key=value`, in the order given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options(Vec<(String, String)>);

/// Why a text names no device.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// Neither a PCI address nor a known virtual device.
    #[error(
        "`{given}` names no device: give a PCI address like 0000:00:06.0, or one of net_af_packet<n>, net_af_xdp<n>, net_memif<n>, net_ring<n>, \
         net_null<n>, net_pcap<n>"
    )]
    Unknown {
        /// What stands before the first comma.
        given: String,
    },
    /// A virtual device has no number, or one above 65535.
    #[error("`{given}` needs a number from 0 to 65535: write {driver}0, or {driver}1 for a second one")]
    Number {
        /// What stands before the first comma.
        given: String,
        /// The driver part.
        driver: &'static str,
    },
    /// An option is needed and not given.
    #[error("{driver} needs the option {option}: {driver}0,{option}=...")]
    Missing {
        /// The driver.
        driver: &'static str,
        /// The option.
        option: &'static str,
    },
    /// An option that the driver does not know.
    #[error("{driver} has no option `{option}`: it knows {}", known.join(", "))]
    UnknownOption {
        /// The driver.
        driver: &'static str,
        /// As given.
        option: String,
        /// All it knows.
        known: &'static [&'static str],
    },
    /// An option's value is not one of those allowed.
    #[error("{option}={value} is not allowed: {expected}")]
    Value {
        /// The option.
        option: &'static str,
        /// As given.
        value: String,
        /// What may stand there.
        expected: &'static str,
    },
    /// An option is given twice.
    #[error("option `{option}` is given twice")]
    Twice {
        /// The option.
        option: String,
    },
    /// Something between two commas is not `key=value`.
    #[error("`{given}` is no option: write key=value")]
    NotAnOption {
        /// As given.
        given: String,
    },
}

/// A virtual device's driver: its name in DPDK, and the options it knows (22.11 to 24.11 together).
struct Driver {
    name: &'static str,
    options: &'static [&'static str],
}

const AF_PACKET: Driver = Driver {
    name: "net_af_packet",
    options: &["iface", "qpairs", "blocksz", "framesz", "framecnt", "qdisc_bypass", "fanout_mode"],
};
const AF_XDP: Driver = Driver {
    name: "net_af_xdp",
    options: &[
        "iface",
        "start_queue",
        "queue_count",
        "shared_umem",
        "xdp_prog",
        "busy_budget",
        "force_copy",
        "use_cni",
        "use_pinned_map",
        "dp_path",
        "mode",
    ],
};
const MEMIF: Driver = Driver {
    name: "net_memif",
    options: &[
        "role",
        "socket",
        "socket-abstract",
        "id",
        "bsize",
        "rsize",
        "mac",
        "zero-copy",
        "secret",
        "owner-uid",
        "owner-gid",
    ],
};
const RING: Driver = Driver { name: "net_ring", options: &["nodeaction"] };
const NULL: Driver = Driver { name: "net_null", options: &["size", "copy", "no-rx"] };
const PCAP: Driver = Driver {
    name: "net_pcap",
    options: &["rx_pcap", "tx_pcap", "rx_iface", "rx_iface_in", "tx_iface", "iface", "phy_mac", "infinite_rx", "eof"],
};

/// memif's meeting place when none is given.
const MEMIF_DEFAULT_SOCKET: &str = "/run/memif.sock";

impl Device {
    /// The name by which DPDK finds the port: `0000:00:06.0`, `net_memif0`.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Pci { address, .. } => address.to_string(),
            Self::AfPacket { number, .. } => format!("{}{number}", AF_PACKET.name),
            Self::AfXdp { number, .. } => format!("{}{number}", AF_XDP.name),
            Self::Memif { number, .. } => format!("{}{number}", MEMIF.name),
            Self::Ring { number, .. } => format!("{}{number}", RING.name),
            Self::Null { number, .. } => format!("{}{number}", NULL.name),
            Self::Pcap { number, .. } => format!("{}{number}", PCAP.name),
        }
    }

    /// The driver's arguments as DPDK takes them: everything behind the name.
    #[must_use]
    pub fn arguments(&self) -> String {
        let mut all = Options::default();
        let options = match self {
            Self::Pci { options, .. }
            | Self::Ring { options, .. }
            | Self::Null { options, .. }
            | Self::Pcap { options, .. } => options,
            Self::AfPacket { interface, options, .. } | Self::AfXdp { interface, options, .. } => {
                all.push("iface", interface);
                options
            }
            Self::Memif { role, socket, options, .. } => {
                all.push("role", role.as_str());
                match socket {
                    MemifSocket::Abstract(name) => all.push("socket", name),
                    MemifSocket::File(path) => {
                        all.push("socket", &path.display().to_string());
                        all.push("socket-abstract", "no");
                    }
                }
                options
            }
        };
        all.0.extend(options.0.iter().cloned());
        all.to_string()
    }

    /// The kernel interface underneath, if there is one.
    #[must_use]
    pub fn interface(&self) -> Option<&str> {
        match self {
            Self::AfPacket { interface, .. } | Self::AfXdp { interface, .. } => Some(interface),
            _ => None,
        }
    }

    /// Whether DPDK makes this device up, in contrast to one on a bus.
    #[must_use]
    pub fn is_virtual(&self) -> bool {
        !matches!(self, Self::Pci { .. })
    }

    /// The socket file this process is going to create, if the device is a memif server on one.
    pub(crate) fn listening_socket(&self) -> Option<&Path> {
        match self {
            Self::Memif { role: MemifRole::Server, socket: MemifSocket::File(path), .. } => Some(path),
            _ => None,
        }
    }
}

impl FromStr for Device {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<Self, DeviceError> {
        let (name, rest) = text.split_once(',').unwrap_or((text, ""));
        let options = Options::from_str(rest)?;
        if let Ok(address) = name.parse() {
            return Ok(Self::Pci { address, options });
        }
        let is =
            |driver: &Driver| name.strip_prefix(driver.name).is_some_and(|n| n.chars().all(|c| c.is_ascii_digit()));
        if is(&AF_PACKET) {
            let (number, mut options) = AF_PACKET.accept(name, options)?;
            let interface = options.take("iface").ok_or(AF_PACKET.missing("iface"))?;
            Ok(Self::AfPacket { number, interface, options })
        } else if is(&AF_XDP) {
            let (number, mut options) = AF_XDP.accept(name, options)?;
            let interface = options.take("iface").ok_or(AF_XDP.missing("iface"))?;
            Ok(Self::AfXdp { number, interface, options })
        } else if is(&MEMIF) {
            let (number, mut options) = MEMIF.accept(name, options)?;
            let role = options.take("role").ok_or(MEMIF.missing("role"))?.parse()?;
            let socket = options.take("socket").unwrap_or_else(|| MEMIF_DEFAULT_SOCKET.to_owned());
            let socket = match options.take("socket-abstract").as_deref() {
                None | Some("yes") => MemifSocket::Abstract(socket),
                Some("no") => MemifSocket::File(socket.into()),
                Some(other) => {
                    return Err(DeviceError::Value {
                        option: "socket-abstract",
                        value: other.to_owned(),
                        expected: "yes or no",
                    });
                }
            };
            Ok(Self::Memif { number, role, socket, options })
        } else if is(&RING) {
            let (number, options) = RING.accept(name, options)?;
            Ok(Self::Ring { number, options })
        } else if is(&NULL) {
            let (number, options) = NULL.accept(name, options)?;
            Ok(Self::Null { number, options })
        } else if is(&PCAP) {
            let (number, options) = PCAP.accept(name, options)?;
            Ok(Self::Pcap { number, options })
        } else {
            Err(DeviceError::Unknown { given: name.to_owned() })
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let arguments = self.arguments();
        f.write_str(&self.name())?;
        if arguments.is_empty() { Ok(()) } else { write!(f, ",{arguments}") }
    }
}

impl Driver {
    /// Takes the number off the name and refuses options that the driver does not know.
    fn accept(&self, given: &str, options: Options) -> Result<(u16, Options), DeviceError> {
        let number = given[self.name.len()..]
            .parse()
            .map_err(|_| DeviceError::Number { given: given.to_owned(), driver: self.name })?;
        match options.0.iter().find(|(key, _)| !self.options.contains(&key.as_str())) {
            Some((key, _)) => {
                Err(DeviceError::UnknownOption { driver: self.name, option: key.clone(), known: self.options })
            }
            None => Ok((number, options)),
        }
    }

    fn missing(&self, option: &'static str) -> DeviceError {
        DeviceError::Missing { driver: self.name, option }
    }
}

impl MemifRole {
    fn as_str(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Client => "client",
        }
    }
}

impl FromStr for MemifRole {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<Self, DeviceError> {
        match text {
            "server" => Ok(Self::Server),
            "client" => Ok(Self::Client),
            _ => Err(DeviceError::Value { option: "role", value: text.to_owned(), expected: "server or client" }),
        }
    }
}

impl Options {
    /// The value of an option, if it is given.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(k, _)| k == key).map(|(_, value)| value.as_str())
    }

    fn take(&mut self, key: &str) -> Option<String> {
        let at = self.0.iter().position(|(k, _)| k == key)?;
        Some(self.0.remove(at).1)
    }

    fn push(&mut self, key: &str, value: &str) {
        self.0.push((key.to_owned(), value.to_owned()));
    }
}

impl FromStr for Options {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<Self, DeviceError> {
        let mut options = Self::default();
        if text.is_empty() {
            return Ok(options);
        }
        for given in text.split(',') {
            match given.split_once('=') {
                Some((key, value)) if !key.is_empty() && !value.is_empty() => {
                    // net_pcap takes several files of a kind; nothing else repeats.
                    if options.get(key).is_some() && !key.ends_with("pcap") {
                        return Err(DeviceError::Twice { option: key.to_owned() });
                    }
                    options.push(key, value);
                }
                _ => return Err(DeviceError::NotAnOption { given: given.to_owned() }),
            }
        }
        Ok(options)
    }
}

impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (key, value)) in self.0.iter().enumerate() {
            write!(f, "{}{key}={value}", if i == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

/// The text is no PCI address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a PCI address: write domain:bus:device.function in hexadecimal, like 0000:00:06.0")]
pub struct NotAPciAddress;

impl FromStr for PciAddress {
    type Err = NotAPciAddress;

    /// Reads `0000:00:06.0` and, as `lspci` prints it, `00:06.0`.
    fn from_str(text: &str) -> Result<Self, NotAPciAddress> {
        let hex = |digits: &str, most: usize| match digits.len() {
            1.. if digits.len() <= most && digits.bytes().all(|b| b.is_ascii_hexdigit()) => {
                u32::from_str_radix(digits, 16).map_err(|_| NotAPciAddress)
            }
            _ => Err(NotAPciAddress),
        };
        let (slot, function) = text.rsplit_once('.').ok_or(NotAPciAddress)?;
        let (bus, device) = slot.rsplit_once(':').ok_or(NotAPciAddress)?;
        let (domain, bus) = bus.rsplit_once(':').unwrap_or(("0", bus));
        let address = Self {
            domain: hex(domain, 8)?,
            bus: hex(bus, 2)? as u8,
            device: hex(device, 2)? as u8,
            function: hex(function, 1)? as u8,
        };
        if address.device > 0x1f || address.function > 7 { Err(NotAPciAddress) } else { Ok(address) }
    }
}

impl fmt::Display for PciAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}:{:02x}:{:02x}.{:x}", self.domain, self.bus, self.device, self.function)
    }
}

#[cfg(test)]
mod tests;
