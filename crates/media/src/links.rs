//! The ports that an engine serves, told apart by their hardware addresses.

use arrayvec::ArrayVec;
use tandem_wire::ethernet::{MacAddress, VlanId};

use crate::config::{EngineConfig, MAX_PORTS};
use crate::departure::LinkFields;

/// Which port, by position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LinkIndex(pub(crate) u8);

/// What frames on each port have in common.
#[derive(Clone, Debug)]
pub(crate) struct Links(ArrayVec<LinkFields, MAX_PORTS>);

impl Links {
    /// The configuration has been checked.
    pub(crate) fn new(config: &EngineConfig) -> Self {
        let link = |port: &crate::PortConfig| LinkFields {
            mac: port.mac,
            vlan: port.vlan,
            traffic_class: config.traffic_class,
            checksum_offload: port.checksums.transmit_offload,
            verify_udp: port.checksums.verify_udp,
            mtu: port.mtu,
        };
        Self(config.ports.iter().take(MAX_PORTS).map(link).collect())
    }

    pub(crate) fn of(&self, index: LinkIndex) -> &LinkFields {
        &self.0[usize::from(index.0)]
    }

    /// The port number `port`, if there is one.
    pub(crate) fn index(&self, port: u8) -> Option<LinkIndex> {
        (usize::from(port) < self.0.len()).then_some(LinkIndex(port))
    }

    /// The port that has a hardware address.
    #[inline]
    pub(crate) fn of_mac(&self, mac: MacAddress) -> Option<&LinkFields> {
        self.0.iter().find(|link| link.mac == mac)
    }

    /// The number of the port that a frame was sent to by its hardware address; `None` for one to everybody, which may have come
    /// on any.
    pub(crate) fn index_of_frame(&self, frame: &[u8]) -> Option<LinkIndex> {
        let destination = MacAddress(*frame.first_chunk()?);
        let position = self.0.iter().position(|link| link.mac == destination)?;
        u8::try_from(position).ok().map(LinkIndex)
    }

    /// Whether some port is in that VLAN.
    pub(crate) fn has_vlan(&self, vlan: Option<VlanId>) -> bool {
        self.0.iter().any(|link| link.vlan == vlan)
    }
}
