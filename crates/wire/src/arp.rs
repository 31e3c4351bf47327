//! ARP for IPv4 over Ethernet (RFC 826).

use core::net::Ipv4Addr;

use crate::ethernet::{ETHERTYPE_IPV4, MacAddress};
use crate::field::{be16, octets, put};

/// Octets of a packet for IPv4 over Ethernet.
pub const PACKET_LEN: usize = 28;

const HARDWARE_ETHERNET: u16 = 1;

/// What the packet wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Who has the target address?
    Request,
    /// The sender has the sender address.
    Reply,
}

/// Why bytes are not such a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArpError {
    /// Shorter than a packet.
    #[error("the ARP packet is shorter than 28 octets")]
    TooShort,
    /// Not IPv4 over Ethernet.
    #[error("the ARP packet is not about IPv4 over Ethernet")]
    NotIpv4OverEthernet,
    /// Neither request nor reply.
    #[error("the ARP operation is neither request nor reply")]
    UnknownOperation,
}

/// A packet's fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arp {
    /// What it wants.
    pub operation: Operation,
    /// Hardware address of who sends it.
    pub sender_mac: MacAddress,
    /// Protocol address of who sends it; 0.0.0.0 in a probe (RFC 5227).
    pub sender_ip: Ipv4Addr,
    /// Hardware address asked for (ignored in requests) or answered to.
    pub target_mac: MacAddress,
    /// Protocol address asked for or answered to.
    pub target_ip: Ipv4Addr,
}

impl Arp {
    /// Reads the packet at the start of `bytes`; what follows is padding.
    ///
    /// # Errors
    /// [`ArpError`] says what it is instead.
    pub fn parse(bytes: &[u8]) -> Result<Self, ArpError> {
        let packet = bytes.first_chunk::<PACKET_LEN>().ok_or(ArpError::TooShort)?;
        let kind = (be16::<0, PACKET_LEN>(packet), be16::<2, PACKET_LEN>(packet), packet[4], packet[5]);
        if kind != (HARDWARE_ETHERNET, ETHERTYPE_IPV4, 6, 4) {
            return Err(ArpError::NotIpv4OverEthernet);
        }
        let operation = match be16::<6, PACKET_LEN>(packet) {
            1 => Operation::Request,
            2 => Operation::Reply,
            _ => return Err(ArpError::UnknownOperation),
        };
        Ok(Self {
            operation,
            sender_mac: MacAddress(octets::<8, 6, PACKET_LEN>(packet)),
            sender_ip: octets::<14, 4, PACKET_LEN>(packet).into(),
            target_mac: MacAddress(octets::<18, 6, PACKET_LEN>(packet)),
            target_ip: octets::<24, 4, PACKET_LEN>(packet).into(),
        })
    }

    /// Fills in a packet.
    pub fn write(&self, packet: &mut [u8; PACKET_LEN]) {
        put::<0, 2, PACKET_LEN>(packet, HARDWARE_ETHERNET.to_be_bytes());
        put::<2, 2, PACKET_LEN>(packet, ETHERTYPE_IPV4.to_be_bytes());
        put::<4, 2, PACKET_LEN>(packet, [6, 4]);
        let operation: u16 = match self.operation {
            Operation::Request => 1,
            Operation::Reply => 2,
        };
        put::<6, 2, PACKET_LEN>(packet, operation.to_be_bytes());
        put::<8, 6, PACKET_LEN>(packet, self.sender_mac.0);
        put::<14, 4, PACKET_LEN>(packet, self.sender_ip.octets());
        put::<18, 6, PACKET_LEN>(packet, self.target_mac.0);
        put::<24, 4, PACKET_LEN>(packet, self.target_ip.octets());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(macs in any::<[[u8; 6]; 2]>(), ips in any::<[[u8; 4]; 2]>(), request in any::<bool>()) {
            let arp = Arp {
                operation: if request { Operation::Request } else { Operation::Reply },
                sender_mac: MacAddress(macs[0]),
                sender_ip: ips[0].into(),
                target_mac: MacAddress(macs[1]),
                target_ip: ips[1].into(),
            };
            let mut packet = [0xaa; PACKET_LEN];
            arp.write(&mut packet);
            prop_assert_eq!(Arp::parse(&packet), Ok(arp));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = Arp::parse(&bytes);
        }
    }

    #[test]
    fn each_refusal_has_its_name() {
        let arp = Arp {
            operation: Operation::Request,
            sender_mac: MacAddress::default(),
            sender_ip: Ipv4Addr::LOCALHOST,
            target_mac: MacAddress::default(),
            target_ip: Ipv4Addr::LOCALHOST,
        };
        let mut packet = [0; PACKET_LEN];
        arp.write(&mut packet);
        assert_eq!(Arp::parse(&packet[..27]), Err(ArpError::TooShort));
        packet[7] = 3;
        assert_eq!(Arp::parse(&packet), Err(ArpError::UnknownOperation));
        packet[4] = 8;
        assert_eq!(Arp::parse(&packet), Err(ArpError::NotIpv4OverEthernet));
    }
}
