//! What a port has counted.

use std::ffi::CStr;

use dpdk_sys as c;

use super::Port;
use crate::error::Errno;

/// The counters every driver has, since the port was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PortStats {
    /// Packets received.
    pub rx_packets: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Octets received.
    pub rx_octets: u64,
    /// Octets sent.
    pub tx_octets: u64,
    /// Packets lost because no receive descriptor was free: the worker is too slow, or the burst too large.
    pub rx_missed: u64,
    /// Packets received with an error.
    pub rx_errors: u64,
    /// Packets that could not be sent.
    pub tx_errors: u64,
    /// Packets lost because the mempool was exhausted.
    pub rx_no_mbuf: u64,
}

/// One of a driver's own counters, such as ENA's `pps_allowance_exceeded`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Xstat {
    /// The driver's name for it.
    pub name: String,
    /// How many.
    pub value: u64,
}

impl Port {
    /// The counters every driver has.
    ///
    /// # Errors
    /// The driver's.
    pub fn stats(&self) -> Result<PortStats, Errno> {
        let _one_at_a_time = self.0.control();
        let mut raw = c::rte_eth_stats::default();
        // SAFETY: a started port, and room for the answer.
        Errno::check(unsafe { c::rte_eth_stats_get(self.0.id(), &mut raw) })?;
        Ok(PortStats {
            rx_packets: raw.ipackets,
            tx_packets: raw.opackets,
            rx_octets: raw.ibytes,
            tx_octets: raw.obytes,
            rx_missed: raw.imissed,
            rx_errors: raw.ierrors,
            tx_errors: raw.oerrors,
            rx_no_mbuf: raw.rx_nombuf,
        })
    }

    /// All counters of the driver, by name. For metrics and people: it allocates, and takes microseconds.
    ///
    /// # Errors
    /// The driver's.
    pub fn xstats(&self) -> Result<Vec<Xstat>, Errno> {
        let _one_at_a_time = self.0.control();
        let id = self.0.id();
        // SAFETY: asks for the number only.
        let count = Errno::check(unsafe { c::rte_eth_xstats_get_names(id, std::ptr::null_mut(), 0) })? as usize;
        let mut names = vec![c::rte_eth_xstat_name::default(); count];
        let mut values = vec![c::rte_eth_xstat::default(); count];
        // SAFETY: room for `count` names.
        Errno::check(unsafe { c::rte_eth_xstats_get_names(id, names.as_mut_ptr(), count as u32) })?;
        // SAFETY: room for `count` values.
        let got = Errno::check(unsafe { c::rte_eth_xstats_get(id, values.as_mut_ptr(), count as u32) })? as usize;
        let values = values.iter().take(got);
        Ok(values
            .filter_map(|one| {
                let name = names.get(usize::try_from(one.id).ok()?)?;
                // SAFETY: DPDK ends every name with a zero within its array.
                let name = unsafe { CStr::from_ptr(name.name.as_ptr()) };
                Some(Xstat { name: name.to_string_lossy().into_owned(), value: one.value })
            })
            .collect())
    }
}
