//! The steps from a port that EAL has found to one that runs.

use dpdk_sys as c;

use super::{PortConfig, PortError};
use crate::device::{Device, MemifRole};
use crate::error::Errno;
use crate::mempool::Mempool;

/// What Ethernet puts around an IP packet: header, two VLAN tags, frame check sequence.
const LINK_OVERHEAD: u32 = 14 + 2 * 4 + 4;

/// One port on its way.
pub(super) struct Setup<'a> {
    pub(super) id: u16,
    pub(super) device: &'a Device,
    pub(super) config: &'a PortConfig,
    /// One for each queue pair.
    pub(super) mempools: &'a [Mempool],
}

impl Setup<'_> {
    /// Names the step that failed.
    fn step(&self, step: &'static str, rc: i32) -> Result<(), PortError> {
        match Errno::check(rc) {
            Ok(_) => Ok(()),
            Err(errno) => Err(PortError::Step { device: self.device.name(), step, errno }),
        }
    }

    /// What the device can do.
    pub(super) fn info(&self) -> Result<c::rte_eth_dev_info, PortError> {
        let mut info = c::rte_eth_dev_info::default();
        // SAFETY: a valid port number, and a structure for the answer.
        self.step("rte_eth_dev_info_get", unsafe { c::rte_eth_dev_info_get(self.id, &mut info) })?;
        Ok(info)
    }

    /// Compares what is wanted with what the device can do.
    pub(super) fn check(&self, info: &c::rte_eth_dev_info) -> Result<(), PortError> {
        let device = || self.device.name();
        let PortConfig { queue_pairs, mtu, .. } = *self.config;
        let most = info.max_rx_queues.min(info.max_tx_queues);
        if queue_pairs == 0 || queue_pairs > most {
            return Err(PortError::QueuePairs { device: device(), wanted: queue_pairs, most });
        }
        if mtu < info.min_mtu || mtu > info.max_mtu {
            let (least, most) = (info.min_mtu, info.max_mtu);
            return Err(PortError::Mtu { device: device(), wanted: mtu, least, most });
        }
        let room = self.mempools.iter().map(Mempool::packet_room).min().unwrap_or(0);
        let needed = u32::from(mtu) + LINK_OVERHEAD;
        if needed > u32::from(room) {
            return Err(PortError::MbufRoom { device: device(), mtu, needed, room });
        }
        Ok(())
    }

    /// Configures the port as a whole.
    pub(super) fn configure(&self, info: &c::rte_eth_dev_info, offloads: &Offloads) -> Result<(), PortError> {
        let mut key = self.config.rss_key;
        let mut eth = c::rte_eth_conf::default();
        eth.rxmode.mtu = self.config.mtu.into();
        eth.rxmode.offloads = offloads.rx;
        eth.txmode.offloads = offloads.tx;
        if let Some(mut hash) = self.hash(info) {
            if let Some(key) = &mut key {
                hash.rss_key = key.as_mut_ptr();
                hash.rss_key_len = key.len() as _;
            }
            eth.rxmode.mq_mode = c::RTE_ETH_MQ_RX_RSS;
            eth.rx_adv_conf.rss_conf = hash;
        }
        let pairs = self.config.queue_pairs;
        // SAFETY: a valid port that is not started, and a complete configuration, which DPDK copies; the key it points to lives through the call.
        self.step("rte_eth_dev_configure", unsafe { c::rte_eth_dev_configure(self.id, pairs, pairs, &eth) })
    }

    /// What packets are spread over the queues by, if there is more than one and the device can.
    fn hash(&self, info: &c::rte_eth_dev_info) -> Option<c::rte_eth_rss_conf> {
        // Addresses and ports where the device can hash both; addresses alone keep fragments and older devices working.
        let wanted = [
            c::RTE_ETH_RSS_IPV4,
            c::RTE_ETH_RSS_NONFRAG_IPV4_UDP,
            c::RTE_ETH_RSS_IPV6,
            c::RTE_ETH_RSS_NONFRAG_IPV6_UDP,
        ];
        let rss_hf = wanted.into_iter().fold(0, |all, one| all | one as u64) & info.flow_type_rss_offloads;
        (self.config.queue_pairs > 1 && rss_hf != 0).then(|| c::rte_eth_rss_conf { rss_hf, ..Default::default() })
    }

    /// Sets up all queues.
    pub(super) fn queues(&self, info: &c::rte_eth_dev_info, offloads: &Offloads) -> Result<(), PortError> {
        let id = self.id;
        let (mut rx, mut tx) = (self.config.rx_descriptors, self.config.tx_descriptors);
        // SAFETY: a configured port, and two numbers to be rounded.
        let rc = unsafe { c::rte_eth_dev_adjust_nb_rx_tx_desc(id, &mut rx, &mut tx) };
        self.step("rte_eth_dev_adjust_nb_rx_tx_desc", rc)?;
        // SAFETY: a valid port number. (-1, "any node", is what DPDK means by u32::MAX too.)
        let node = unsafe { c::rte_eth_dev_socket_id(id) } as u32;
        let rxconf = c::rte_eth_rxconf { offloads: offloads.rx, ..info.default_rxconf };
        let txconf = c::rte_eth_txconf { offloads: offloads.tx, ..info.default_txconf };
        for (queue, pool) in (0..).zip(self.mempools) {
            let pool = pool.as_ptr();
            // SAFETY: a configured port that is not started; whoever starts it keeps the pool as long as the port; DPDK copies the configuration.
            let rc = unsafe { c::rte_eth_rx_queue_setup(id, queue, rx, node, &rxconf, pool) };
            self.step("rte_eth_rx_queue_setup", rc)?;
            // SAFETY: a configured port that is not started; DPDK copies the configuration.
            let rc = unsafe { c::rte_eth_tx_queue_setup(id, queue, tx, node, &txconf) };
            self.step("rte_eth_tx_queue_setup", rc)?;
        }
        Ok(())
    }

    /// Starts the port, and sets what a port has to run for.
    pub(super) fn run(&self) -> Result<(), PortError> {
        let id = self.id;
        if let Some(mac) = self.config.mac {
            let mut address = c::rte_ether_addr { addr_bytes: mac };
            // SAFETY: a valid port and an address, which DPDK copies.
            let rc = unsafe { c::rte_eth_dev_default_mac_addr_set(id, &mut address) };
            self.step("rte_eth_dev_default_mac_addr_set", rc)?;
        }
        // SAFETY: a configured port, all of whose queues are set up.
        let started = self.step("rte_eth_dev_start", unsafe { c::rte_eth_dev_start(id) });
        if started.is_err() && matches!(self.device, Device::Memif { role: MemifRole::Client, .. }) {
            return Err(PortError::NoServer { device: self.device.name() });
        }
        started?;
        if let Some(mut key) = self.config.rss_key
            && let Some(mut hash) = self.hash(&self.info()?)
        {
            // Not every driver takes the key of the configuration. Those that cannot change it say so here.
            hash.rss_key = key.as_mut_ptr();
            hash.rss_key_len = key.len() as _;
            // SAFETY: a started port; the key that `hash` points to lives through the call, and DPDK copies it.
            let rc = unsafe { c::rte_eth_dev_rss_hash_update(id, &mut hash) };
            self.step("rte_eth_dev_rss_hash_update", rc)?;
        }
        if self.config.promiscuous {
            // SAFETY: a started port.
            self.step("rte_eth_promiscuous_enable", unsafe { c::rte_eth_promiscuous_enable(id) })?;
        }
        if self.config.all_multicast {
            // SAFETY: a valid port number.
            let enabled = self.step("rte_eth_allmulticast_enable", unsafe { c::rte_eth_allmulticast_enable(id) });
            // Virtual devices have no filter to open.
            if !matches!(enabled, Err(PortError::Step { errno: Errno::NotSupported, .. })) {
                enabled?;
            }
        }
        Ok(())
    }

    /// The MAC address and the MTU that the port has in the end.
    pub(super) fn identity(&self) -> Result<([u8; 6], u16), PortError> {
        let mut mac = c::rte_ether_addr::default();
        // SAFETY: a valid port, and room for its address.
        self.step("rte_eth_macaddr_get", unsafe { c::rte_eth_macaddr_get(self.id, &mut mac) })?;
        let mut mtu = 0;
        // SAFETY: a valid port, and room for the number.
        self.step("rte_eth_dev_get_mtu", unsafe { c::rte_eth_dev_get_mtu(self.id, &mut mtu) })?;
        Ok((mac.addr_bytes, mtu))
    }
}

/// The offloads that are both wanted and there.
pub(super) struct Offloads {
    rx: u64,
    tx: u64,
    pub(super) rx_checksum: bool,
    pub(super) tx_checksum: bool,
}

impl Offloads {
    pub(super) fn choose(config: &PortConfig, info: &c::rte_eth_dev_info) -> Self {
        let rx_all = u64::from(c::RTE_ETH_RX_OFFLOAD_IPV4_CKSUM) | u64::from(c::RTE_ETH_RX_OFFLOAD_UDP_CKSUM);
        let tx_all = u64::from(c::RTE_ETH_TX_OFFLOAD_IPV4_CKSUM) | u64::from(c::RTE_ETH_TX_OFFLOAD_UDP_CKSUM);
        let rx_checksum = config.checksum_offload && info.rx_offload_capa & rx_all == rx_all;
        let tx_checksum = config.checksum_offload && info.tx_offload_capa & tx_all == tx_all;
        Self {
            rx: if rx_checksum { rx_all } else { 0 },
            tx: if tx_checksum { tx_all } else { 0 },
            rx_checksum,
            tx_checksum,
        }
    }
}
