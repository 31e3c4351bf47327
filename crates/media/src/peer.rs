//! Socket addresses as numbers: compared for each packet, in registers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Set in a port's word where the address is IPv6.
const IS_V6: u32 = 1 << 16;

/// An IPv4 or IPv6 address and a port. It knows neither flow label nor scope, as no packet does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    high: u64,
    low: u64,
    /// The port, and [`IS_V6`].
    port: u32,
}

impl Peer {
    /// What no packet comes from.
    pub(crate) const NOBODY: Self = Self { high: 0, low: 0, port: u32::MAX };

    #[inline(always)]
    pub(crate) const fn v4(address: Ipv4Addr, port: u16) -> Self {
        Self { high: 0, low: address.to_bits() as u64, port: port as u32 }
    }

    #[inline(always)]
    pub(crate) const fn v6(address: Ipv6Addr, port: u16) -> Self {
        let bits = address.to_bits();
        Self { high: (bits >> 64) as u64, low: bits as u64, port: port as u32 | IS_V6 }
    }

    pub(crate) const fn address(self) -> SocketAddr {
        let ip = if self.port & IS_V6 == 0 {
            IpAddr::V4(Ipv4Addr::from_bits(self.low as u32))
        } else {
            IpAddr::V6(Ipv6Addr::from_bits((self.high as u128) << 64 | self.low as u128))
        };
        SocketAddr::new(ip, self.port as u16)
    }
}

impl From<SocketAddr> for Peer {
    fn from(address: SocketAddr) -> Self {
        match address.ip() {
            IpAddr::V4(ip) => Self::v4(ip, address.port()),
            IpAddr::V6(ip) => Self::v6(ip, address.port()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_equal_where_the_addresses_are(
            addresses in prop::array::uniform2((any::<bool>(), 0..3_u8, 0..3_u16)),
        ) {
            // An IPv4 address and the IPv6 address with the same number are not the same.
            let [a, b] = addresses.map(|(v6, number, port)| {
                let ip = if v6 { IpAddr::V6(Ipv6Addr::from_bits(number.into())) } else { IpAddr::V4(Ipv4Addr::from_bits(number.into())) };
                SocketAddr::new(ip, port)
            });
            prop_assert_eq!(Peer::from(a) == Peer::from(b), a == b);
            prop_assert_eq!(Peer::from(a).address(), a);
            prop_assert_ne!(Peer::from(a), Peer::NOBODY);
        }
    }
}
