use core::net::IpAddr;

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
    /// Addresses a port can have at most: they are compared one by one for each packet.
    pub const MOST: usize = 16;

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
