//! What an engine is told once, when it is built.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use tandem_codec::Level;
use tandem_contract::{LocalAddress, WorkerId};
use tandem_wire::ethernet::{MacAddress, VlanId};

use crate::defence::Defence;

/// Who makes and judges the checksums of this port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checksums {
    /// The device fills in IP and UDP checksums of what is sent.
    pub transmit_offload: bool,
    /// UDP checksums the device has not judged are verified. Not on a port whose peers leave them to offload hardware
    /// that does not exist, as a veth pair does.
    pub verify_udp: bool,
}

/// Ports that an engine serves at most.
pub const MAX_PORTS: usize = tandem_packet_io::MAX_DEVICES;

/// One port of an engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortConfig {
    /// Its hardware address, by which the ports are told apart.
    pub mac: MacAddress,
    /// The longest IP packet it carries.
    pub mtu: u16,
    /// The VLAN it is in, `None` for untagged frames.
    pub vlan: Option<VlanId>,
    /// Who makes and judges checksums.
    pub checksums: Checksums,
    /// Its addresses, 1 to [`LocalAddress::MOST`] on all ports together.
    pub addresses: Vec<LocalAddress>,
}

/// What an engine is told once, when it is built.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// Which worker this is.
    pub worker: WorkerId,
    /// How many workers share the port: the owner of local port `p` is worker `(p / 2) % workers`.
    pub workers: u16,
    /// The ports, 1 to [`MAX_PORTS`], all of which each of these workers serves. Their subnets do not overlap.
    pub ports: Vec<PortConfig>,
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
    /// The same for a leg that has not accepted anything yet.
    pub first_packet_timeout_ms: u32,
    /// Limits on what arrives.
    pub defence: Defence,
    /// Mean time between two RTCP reports of a leg; 0 sends none. RFC 3550 §6.2 recommends at least 5000.
    pub report_interval_ms: u32,
    /// Differentiated services field of what is sent; 0xb8 is expedited forwarding (RFC 3246).
    pub traffic_class: u8,
    /// The instruction set that codecs run on.
    pub codec_level: Level,
}

/// Why an engine cannot be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// No port, or too many.
    #[error("1 to {MAX_PORTS} ports are possible, {0} are given")]
    PortCount(usize),
    /// Two ports with one hardware address.
    #[error("two ports have the hardware address {0}: which is meant by a frame could not be told")]
    MacTwice(MacAddress),
    /// No address, or too many.
    #[error("the ports need 1 to {most} local addresses, {0} are given", most = LocalAddress::MOST)]
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
            ports: vec![PortConfig {
                mac,
                mtu: 1500,
                vlan: None,
                checksums: Checksums { transmit_offload: false, verify_udp: true },
                addresses,
            }],
            rtp_ports,
            flow_capacity: 1000,
            transcoder_capacity: 2000,
            srtp_capacity: 2000,
            batch_deadline_us: 500,
            neighbour_capacity: 64,
            media_timeout_ms: u32::MAX,
            first_packet_timeout_ms: u32::MAX,
            defence: Defence::default(),
            report_interval_ms: 0,
            traffic_class: 0xb8,
            codec_level: Level::detect(),
        }
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        if self.ports.is_empty() || self.ports.len() > MAX_PORTS {
            return Err(ConfigError::PortCount(self.ports.len()));
        }
        for (index, port) in self.ports.iter().enumerate() {
            if self.ports[..index].iter().any(|other| other.mac == port.mac) {
                return Err(ConfigError::MacTwice(port.mac));
            }
        }
        let addresses: Vec<IpAddr> = self.ports.iter().flat_map(|port| &port.addresses).map(|l| l.address).collect();
        if addresses.is_empty() || addresses.len() > LocalAddress::MOST {
            return Err(ConfigError::AddressCount(addresses.len()));
        }
        for (index, address) in addresses.iter().enumerate() {
            if addresses[..index].contains(address) {
                return Err(ConfigError::AddressTwice(*address));
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
