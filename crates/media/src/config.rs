//! What an engine is told once, when it is built.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use tandem_codec::Level;
use tandem_contract::WorkerId;
use tandem_wire::ethernet::{MacAddress, VlanId};

/// Addresses a port can have at most: they are compared one by one for each packet.
pub const MAX_LOCAL_ADDRESSES: usize = 16;

/// An address of ours and the link it stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalAddress {
    /// The address.
    pub address: IpAddr,
    /// Leading bits that all addresses on the link share.
    pub prefix_len: u8,
    /// The next hop towards everything off the link.
    pub gateway: Option<IpAddr>,
}

impl LocalAddress {
    /// Whether `other` is on the same link.
    pub fn is_on_link(&self, other: IpAddr) -> bool {
        match (self.address, other) {
            (IpAddr::V4(ours), IpAddr::V4(other)) => {
                let shift = 32_u32.saturating_sub(self.prefix_len.into());
                (u64::from(ours.to_bits()) >> shift) == (u64::from(other.to_bits()) >> shift)
            }
            (IpAddr::V6(ours), IpAddr::V6(other)) => {
                let shift = 128_u32.saturating_sub(self.prefix_len.into());
                ours.to_bits().checked_shr(shift) == other.to_bits().checked_shr(shift)
            }
            _ => false,
        }
    }

    /// The neighbour to whom a packet for `remote` is given: itself on the link, else the gateway.
    pub fn next_hop(&self, remote: IpAddr) -> Option<IpAddr> {
        if self.is_on_link(remote) { Some(remote) } else { self.gateway }
    }
}

/// Who makes and judges the checksums of this port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checksums {
    /// The device fills in IP and UDP checksums of what is sent.
    pub transmit_offload: bool,
    /// UDP checksums the device has not judged are verified. Not on a port whose peers leave them to offload hardware
    /// that does not exist, as a veth pair does.
    pub verify_udp: bool,
}

/// What an engine is told once, when it is built.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// Which worker this is.
    pub worker: WorkerId,
    /// How many workers share the port: the owner of local port `p` is worker `(p / 2) % workers`.
    pub workers: u16,
    /// The port's hardware address.
    pub mac: MacAddress,
    /// The longest IP packet the port carries.
    pub mtu: u16,
    /// The VLAN the port is in, `None` for untagged frames.
    pub vlan: Option<VlanId>,
    /// The port's addresses, 1 to [`MAX_LOCAL_ADDRESSES`].
    pub addresses: Vec<LocalAddress>,
    /// Local UDP ports that legs may use; RTP takes the even ones, RTCP the odd one above.
    pub rtp_ports: RangeInclusive<u16>,
    /// Flows that fit into the table.
    pub flow_capacity: u32,
    /// Codec states: one for each direction of a flow whose codecs differ by more than the law of G.711, or whose packet
    /// times differ.
    pub transcoder_capacity: u32,
    /// Legs that may speak SRTP at once.
    pub srtp_capacity: u32,
    /// How long a frame may wait for others to share a codec batch with, in microseconds. An idle core waits for nothing.
    pub batch_deadline_us: u32,
    /// Neighbours (next hops) that can be known at once.
    pub neighbour_capacity: u16,
    /// A leg that should receive and accepts nothing for so long is reported.
    pub media_timeout_ms: u32,
    /// Mean time between two RTCP reports of a leg; 0 sends none. RFC 3550 §6.2 recommends at least 5000.
    pub report_interval_ms: u32,
    /// Differentiated services field of what is sent; 0xb8 is expedited forwarding (RFC 3246).
    pub traffic_class: u8,
    /// Who makes and judges checksums.
    pub checksums: Checksums,
    /// The instruction set that codecs run on.
    pub codec_level: Level,
}

/// Why an engine cannot be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// No address, or too many.
    #[error("a port needs 1 to {MAX_LOCAL_ADDRESSES} local addresses, {0} are given")]
    AddressCount(usize),
    /// The same address twice.
    #[error("the local address {0} is given twice")]
    AddressTwice(IpAddr),
    /// No even port with an odd one above it.
    #[error("the RTP port range holds no pair of an even port and the odd one above it")]
    NoPorts,
    /// No flow or too many to number.
    #[error("the flow capacity must be 1 to {max}", max = EngineConfig::MAX_FLOWS)]
    FlowCapacity,
    /// No neighbour.
    #[error("the neighbour capacity must be at least 1")]
    NeighbourCapacity,
    /// The worker's number is not below their count.
    #[error("worker {worker} of {workers}: numbers start at 0")]
    WorkerNumber {
        /// The worker's number.
        worker: u16,
        /// How many there are.
        workers: u16,
    },
}

impl EngineConfig {
    /// Flows that can be numbered.
    pub const MAX_FLOWS: u32 = 1 << 24;

    /// One worker alone on an Ethernet port with addresses and RTP ports: room for 1,000 flows, each of which may transcode
    /// both ways, no reports, no timeout, every checksum made and verified in software, the best codecs of the processor.
    pub fn new(mac: MacAddress, addresses: Vec<LocalAddress>, rtp_ports: RangeInclusive<u16>) -> Self {
        Self {
            worker: WorkerId(0),
            workers: 1,
            mac,
            mtu: 1500,
            vlan: None,
            addresses,
            rtp_ports,
            flow_capacity: 1000,
            transcoder_capacity: 2000,
            srtp_capacity: 2000,
            batch_deadline_us: 500,
            neighbour_capacity: 64,
            media_timeout_ms: u32::MAX,
            report_interval_ms: 0,
            traffic_class: 0xb8,
            checksums: Checksums { transmit_offload: false, verify_udp: true },
            codec_level: Level::detect(),
        }
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        if self.addresses.is_empty() || self.addresses.len() > MAX_LOCAL_ADDRESSES {
            return Err(ConfigError::AddressCount(self.addresses.len()));
        }
        for (index, local) in self.addresses.iter().enumerate() {
            if self.addresses[..index].iter().any(|other| other.address == local.address) {
                return Err(ConfigError::AddressTwice(local.address));
            }
        }
        if self.flow_capacity == 0 || self.flow_capacity > Self::MAX_FLOWS {
            return Err(ConfigError::FlowCapacity);
        }
        if self.neighbour_capacity == 0 {
            return Err(ConfigError::NeighbourCapacity);
        }
        if self.worker.0 >= self.workers {
            return Err(ConfigError::WorkerNumber { worker: self.worker.0, workers: self.workers });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local(address: &str, prefix_len: u8) -> LocalAddress {
        LocalAddress { address: address.parse().unwrap(), prefix_len, gateway: Some("10.0.0.1".parse().unwrap()) }
    }

    #[test]
    fn the_next_hop_is_the_remote_on_the_link_and_the_gateway_off_it() {
        for (prefix_len, remote, on_link) in [
            (24, "10.0.0.77", true),
            (24, "10.0.1.77", false),
            (32, "10.0.0.9", true),
            (32, "10.0.0.8", false),
            (0, "192.0.2.1", true),
            (31, "10.0.0.8", true),
            (24, "2001:db8::1", false),
        ] {
            let remote = remote.parse().unwrap();
            let local = local("10.0.0.9", prefix_len);
            assert_eq!(local.is_on_link(remote), on_link, "{remote}/{prefix_len}");
            assert_eq!(local.next_hop(remote), if on_link { Some(remote) } else { local.gateway });
        }
    }
}
