//! Ethernet ports: configured and started in one step, stopped and closed when the last holder is gone.

mod rss;
mod setup;
mod stats;

use std::ffi::{CStr, CString};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, MutexGuard, PoisonError};

use dpdk_sys as c;
use tandem_packet_io::Capabilities;

use crate::device::Device;
use crate::eal::{Eal, Running};
use crate::error::Errno;
use crate::mempool::Mempool;
use crate::queue::QueuePair;
use setup::{Offloads, Setup};

pub use rss::Rss;
pub use stats::{PortStats, Xstat};

/// Octets of a hash key as most devices have it.
pub const RSS_KEY_LEN: usize = 40;

/// How a port is to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortConfig {
    /// Receive and send queues, one pair for each worker.
    pub queue_pairs: u16,
    /// Descriptors of each receive queue. The driver rounds.
    pub rx_descriptors: u16,
    /// Descriptors of each send queue. The driver rounds.
    pub tx_descriptors: u16,
    /// The longest IP packet, in octets. An mbuf has to hold it together with its link header.
    pub mtu: u16,
    /// Use the device's checksum offloads where it has them.
    pub checksum_offload: bool,
    /// Key of the receive side scaling hash over addresses and ports; the driver's own if not given. Older ENA refuses one.
    pub rss_key: Option<[u8; RSS_KEY_LEN]>,
    /// Receive what is addressed to others, too.
    pub promiscuous: bool,
    /// Receive what is addressed to any group, as neighbour discovery of IPv6 needs (RFC 4861 §7.2.1). A device that cannot choose receives it
    /// anyhow.
    pub all_multicast: bool,
    /// The MAC address to have instead of the device's own.
    pub mac: Option<[u8; 6]>,
}

impl Default for PortConfig {
    /// One queue pair of 1024 descriptors each way, MTU 1500, offloads where possible.
    fn default() -> Self {
        Self {
            queue_pairs: 1,
            rx_descriptors: 1024,
            tx_descriptors: 1024,
            mtu: 1500,
            checksum_offload: true,
            rss_key: None,
            promiscuous: false,
            all_multicast: false,
            mac: None,
        }
    }
}

/// Why a port does not run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PortError {
    /// EAL has no such port: the device was not among those it was started with, or no driver took it.
    #[error("{device}: DPDK has no such port. {}", not_found_hint(device))]
    NotFound {
        /// The device.
        device: String,
    },
    /// The port is started already.
    #[error("{device} is started already")]
    InUse {
        /// The device.
        device: String,
    },
    /// Zero queue pairs, or more than the device has.
    #[error("{device} has 1 to {most} queue pairs, not {wanted}")]
    QueuePairs {
        /// The device.
        device: String,
        /// As configured.
        wanted: u16,
        /// The device's limit.
        most: u16,
    },
    /// The device cannot carry packets of that length.
    #[error("{device} has an MTU from {least} to {most} octets, not {wanted}")]
    Mtu {
        /// The device.
        device: String,
        /// As configured.
        wanted: u16,
        /// The device's least.
        least: u16,
        /// The device's most.
        most: u16,
    },
    /// The pool's mbufs are smaller than the packets that the MTU allows.
    #[error("{device}: an MTU of {mtu} octets needs mbufs with room for {needed}, and those of the pool have {room}")]
    MbufRoom {
        /// The device.
        device: String,
        /// As configured.
        mtu: u16,
        /// The MTU and its link header.
        needed: u32,
        /// What the pool's mbufs have.
        room: u16,
    },
    /// A memif client found nobody at its socket.
    #[error("{device}: nobody listens on its socket: start the memif server first")]
    NoServer {
        /// The device.
        device: String,
    },
    /// A step failed.
    #[error("{device}: {step} failed: {errno}")]
    Step {
        /// The device.
        device: String,
        /// The DPDK function.
        step: &'static str,
        /// The error.
        errno: Errno,
    },
}

fn not_found_hint(device: &str) -> &'static str {
    if device.starts_with("net_") {
        "Its driver refused it when EAL started, and said why on standard error"
    } else {
        "A PCI function has to be bound to vfio-pci (dpdk-devbind.py), and the package of its driver to be installed"
    }
}

/// A started port, from the outside: what it is, how it does. Its queues are [`QueuePair`]s.
///
/// The port stops and closes when this and all its queues are dropped.
#[derive(Debug, Clone)]
pub struct Port(Arc<Started>);

/// State of the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// The link is up.
    pub up: bool,
    /// In Mbit/s; `u32::MAX` when the device does not know.
    pub speed_mbps: u32,
    /// Both directions at the same time.
    pub full_duplex: bool,
}

/// The started port that handles and queues share.
pub(crate) struct Started {
    claim: Claim,
    device: Device,
    driver: String,
    capabilities: Capabilities,
    // Behind the port, so that they outlive it: the driver's queues hold mbufs of these pools until they are closed.
    _mempools: Vec<Mempool>,
}

/// One port number, and the promise that nobody else uses it. Stops and closes the port when dropped.
struct Claim {
    id: u16,
    is_virtual: bool,
    name: CString,
    eal: Arc<Running>,
}

static CLAIMED: [AtomicBool; c::RTE_MAX_ETHPORTS as usize] =
    [const { AtomicBool::new(false) }; c::RTE_MAX_ETHPORTS as usize];

impl Port {
    /// Configures and starts a device that EAL has, with `config.queue_pairs` queue pairs that receive into `mempool`.
    ///
    /// # Errors
    /// [`PortError`]. The port is closed then.
    #[cold]
    pub fn start(
        eal: &Eal,
        device: &Device,
        config: &PortConfig,
        mempool: &Mempool,
    ) -> Result<(Self, Vec<QueuePair>), PortError> {
        Self::start_with(eal, device, config, &vec![mempool.clone(); config.queue_pairs.into()])
    }

    /// The same, with a pool for each queue pair: one of the NUMA node on which the pair is polled.
    ///
    /// # Errors
    /// [`PortError`]. The port is closed then.
    ///
    /// # Panics
    /// There are fewer pools than queue pairs.
    #[cold]
    pub fn start_with(
        eal: &Eal,
        device: &Device,
        config: &PortConfig,
        mempools: &[Mempool],
    ) -> Result<(Self, Vec<QueuePair>), PortError> {
        let mempools = &mempools[..config.queue_pairs.into()];
        let claim = Claim::new(eal, device)?;
        let setup = Setup { id: claim.id, device, config, mempools };
        let info = setup.info()?;
        setup.check(&info)?;
        let offloads = Offloads::choose(config, &info);
        setup.configure(&info, &offloads)?;
        setup.queues(&info, &offloads)?;
        setup.run()?;
        let (mac, mtu) = setup.identity()?;

        // SAFETY: the driver's name is a static C string.
        let driver = unsafe { CStr::from_ptr(info.driver_name) }.to_string_lossy().into_owned();
        let started = Arc::new(Started {
            claim,
            device: device.clone(),
            driver,
            capabilities: Capabilities {
                mac,
                mtu,
                rx_ip_udp_checksum: offloads.rx_checksum,
                tx_ip_udp_checksum: offloads.tx_checksum,
            },
            _mempools: mempools.to_vec(),
        });
        let queues = (0..).zip(mempools).map(|(queue, mempool)| QueuePair::new(&started, queue, mempool)).collect();
        Ok((Self(started), queues))
    }

    /// The device it runs on.
    #[must_use]
    pub fn device(&self) -> &Device {
        &self.0.device
    }

    /// The driver's name, such as `net_ena`.
    #[must_use]
    pub fn driver(&self) -> &str {
        &self.0.driver
    }

    /// Its address, MTU and offloads.
    #[must_use]
    pub fn capabilities(&self) -> Capabilities {
        self.0.capabilities
    }

    /// The link as it was last reported, without waiting for anything.
    ///
    /// # Errors
    /// The driver's.
    pub fn link(&self) -> Result<Link, Errno> {
        let _one_at_a_time = self.0.control();
        let mut link = c::dpdk_link::default();
        // SAFETY: a started port, and room for the answer.
        Errno::check(unsafe { c::dpdk_link_get_nowait(self.0.id(), &mut link) })?;
        Ok(Link { up: link.up != 0, speed_mbps: link.speed_mbps, full_duplex: link.full_duplex != 0 })
    }
}

impl fmt::Debug for Started {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.device, self.driver)
    }
}

impl Started {
    #[inline(always)]
    pub(crate) fn id(&self) -> u16 {
        self.claim.id
    }

    #[inline(always)]
    pub(crate) fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    /// ethdev's control functions are called by one thread at a time.
    fn control(&self) -> MutexGuard<'_, ()> {
        self.claim.eal.control.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// DPDK's number for the port of that name.
pub(crate) fn number_of(name: &CStr) -> Option<u16> {
    let mut id = 0;
    // SAFETY: a C string, and room for a port number.
    let rc = unsafe { c::rte_eth_dev_get_port_by_name(name.as_ptr(), &mut id) };
    (rc == 0).then_some(id)
}

impl Claim {
    fn new(eal: &Eal, device: &Device) -> Result<Self, PortError> {
        let not_found = || PortError::NotFound { device: device.to_string() };
        let name = CString::new(device.name()).map_err(|_| not_found())?;
        let id = number_of(&name).ok_or_else(not_found)?;
        if CLAIMED[usize::from(id)].swap(true, Ordering::AcqRel) {
            return Err(PortError::InUse { device: device.name() });
        }
        Ok(Self { id, is_virtual: device.is_virtual(), name, eal: Arc::clone(&eal.0) })
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let _one_at_a_time = self.eal.control.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: every queue of the port held it, so nobody is polling any more. Stopping a port that did not get to run does no harm.
        unsafe { c::rte_eth_dev_stop(self.id) };
        if self.is_virtual {
            // The device goes with the port, so that one of the same name can be attached again. Its driver closes the port.
            // SAFETY: two C strings; the port is stopped and ours.
            unsafe { c::rte_eal_hotplug_remove(c"vdev".as_ptr(), self.name.as_ptr()) };
        } else {
            // SAFETY: the port is stopped and ours.
            unsafe { c::rte_eth_dev_close(self.id) };
        }
        CLAIMED[usize::from(self.id)].store(false, Ordering::Release);
    }
}
