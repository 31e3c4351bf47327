//! Receive side scaling: which queue a packet will come in by.

use dpdk_sys as c;

use super::{Port, RSS_KEY_LEN};
use crate::error::Errno;

/// How a port spreads packets over its receive queues: the Toeplitz hash with `key` over addresses and ports, its low bits an index into `table`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rss {
    /// The hash key.
    pub key: Vec<u8>,
    /// The redirection table: a queue for each value of the hash's low bits. Its length is a power of two.
    pub table: Vec<u16>,
    /// Ports are part of what is hashed, for UDP over IPv4 and IPv6; addresses alone are not enough to choose a queue by choosing a port.
    pub udp_ports: bool,
}

impl Port {
    /// How packets are spread over the receive queues. A device that does not spread, or does not tell how, says
    /// [`Errno::NotSupported`].
    ///
    /// # Errors
    /// The driver's.
    pub fn rss(&self) -> Result<Rss, Errno> {
        let _one_at_a_time = self.0.control();
        let id = self.0.id();
        let mut info = c::rte_eth_dev_info::default();
        // SAFETY: a started port, and room for the answer.
        Errno::check(unsafe { c::rte_eth_dev_info_get(id, &mut info) })?;
        if info.reta_size == 0 {
            return Err(Errno::NotSupported);
        }

        // A driver that does not tell its key's length has the usual one.
        let key_len = if info.hash_key_size == 0 { RSS_KEY_LEN as u8 } else { info.hash_key_size };
        let mut key = vec![0u8; usize::from(key_len)];
        let mut hash = c::rte_eth_rss_conf { rss_key: key.as_mut_ptr(), ..Default::default() };
        hash.rss_key_len = key_len;
        // SAFETY: a started port, and a key buffer of the length that it says and that the device wants.
        Errno::check(unsafe { c::rte_eth_dev_rss_hash_conf_get(id, &mut hash) })?;

        let group = c::RTE_ETH_RETA_GROUP_SIZE as usize;
        let size = usize::from(info.reta_size);
        let mut groups =
            vec![c::rte_eth_rss_reta_entry64 { mask: u64::MAX, ..Default::default() }; size.div_ceil(group)];
        // SAFETY: a started port, and room for as many entries as its table has.
        Errno::check(unsafe { c::rte_eth_dev_rss_reta_query(id, groups.as_mut_ptr(), info.reta_size) })?;
        let table = groups.iter().flat_map(|entries| entries.reta).take(size).collect();

        let udp = u64::from(c::RTE_ETH_RSS_NONFRAG_IPV4_UDP) | u64::from(c::RTE_ETH_RSS_NONFRAG_IPV6_UDP);
        Ok(Rss { key, table, udp_ports: hash.rss_hf & udp == udp })
    }
}
