//! Receive side scaling: which of its queues a device gives a packet to. The Toeplitz hash over addresses and ports, as Microsoft's
//! driver documentation defines it ("RSS hashing functions") and network devices compute it.

use core::net::{IpAddr, SocketAddr};

/// Octets of the longest input: two IPv6 addresses and two ports.
const MAX_INPUT: usize = 36;

/// The hash of `input`; `None` where the key is too short for it, which needs 4 octets more.
pub fn toeplitz(key: &[u8], input: &[u8]) -> Option<u32> {
    let (window, rest) = key.split_first_chunk::<4>()?;
    let mut window = u32::from_be_bytes(*window);
    let following = rest.get(..input.len())?;
    let mut hash = 0;
    for (octet, next) in input.iter().zip(following) {
        for bit in (0..8).rev() {
            if (octet >> bit) & 1 == 1 {
                hash ^= window;
            }
            window = (window << 1) | u32::from((next >> bit) & 1);
        }
    }
    Some(hash)
}

/// The hash of a UDP datagram's addresses and ports, in the order that they have in the packet. `None` where the key is too short
/// or the addresses are not of one family.
pub fn udp_hash(key: &[u8], source: SocketAddr, destination: SocketAddr) -> Option<u32> {
    let mut input = [0; MAX_INPUT];
    let len = match (source.ip(), destination.ip()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            input[..4].copy_from_slice(&source.octets());
            input[4..8].copy_from_slice(&destination.octets());
            8
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            input[..16].copy_from_slice(&source.octets());
            input[16..32].copy_from_slice(&destination.octets());
            32
        }
        _ => return None,
    };
    input[len..len + 2].copy_from_slice(&source.port().to_be_bytes());
    input[len + 2..len + 4].copy_from_slice(&destination.port().to_be_bytes());
    toeplitz(key, &input[..len + 4])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key of Microsoft's "Verifying the RSS hash calculation", from which the hashes below are too.
    const KEY: [u8; 40] = [
        0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0, 0xca,
        0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b,
        0xbe, 0xac, 0x01, 0xfa,
    ];

    #[test]
    fn the_published_hashes_come_out() {
        for (destination, source, with_ports, addresses_alone) in [
            ("161.142.100.80:1766", "66.9.149.187:2794", 0x51cc_c178, 0x323e_8fc2),
            ("65.69.140.83:4739", "199.92.111.2:14230", 0xc626_b0ea, 0xd718_262a),
            ("12.22.207.184:38024", "24.19.198.95:12898", 0x5c2b_394a, 0xd2d0_a5de),
            ("209.142.163.6:2217", "38.27.205.30:48228", 0xafc7_327f, 0x8298_9176),
            ("202.188.127.2:1303", "153.39.163.191:44251", 0x10e8_28a2, 0x5d18_09c5),
            ("[3ffe:2501:200:3::1]:1766", "[3ffe:2501:200:1fff::7]:2794", 0x4020_7d3d, 0x2cc1_8cd5),
            ("[ff02::1]:4739", "[3ffe:501:8::260:97ff:fe40:efab]:14230", 0xdde5_1bbf, 0x0f0c_461c),
            (
                "[fe80::200:f8ff:fe21:67cf]:38024",
                "[3ffe:1900:4545:3:200:f8ff:fe21:67cf]:44251",
                0x02d1_feef,
                0x4b61_e985,
            ),
        ] {
            let (source, destination): (SocketAddr, SocketAddr) =
                (source.parse().unwrap(), destination.parse().unwrap());
            assert_eq!(udp_hash(&KEY, source, destination), Some(with_ports), "{source} to {destination}");
            let alone = match (source.ip(), destination.ip()) {
                (IpAddr::V4(from), IpAddr::V4(to)) => toeplitz(&KEY, &[from.octets(), to.octets()].concat()),
                (IpAddr::V6(from), IpAddr::V6(to)) => toeplitz(&KEY, &[from.octets(), to.octets()].concat()),
                _ => None,
            };
            assert_eq!(alone, Some(addresses_alone), "{source} to {destination}");
        }
    }

    #[test]
    fn a_short_key_and_two_families_have_no_hash() {
        let (four, six): (SocketAddr, SocketAddr) = ("10.0.0.1:1".parse().unwrap(), "[::1]:1".parse().unwrap());
        assert_eq!(udp_hash(&KEY, four, six), None);
        assert_eq!(udp_hash(&KEY[..15], four, four), None);
        assert!(udp_hash(&KEY[..16], four, four).is_some());
        assert_eq!(toeplitz(&[], &[]), None);
    }
}
