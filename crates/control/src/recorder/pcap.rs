//! Packets as Wireshark and tcpdump read them.

use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};

/// Nanoseconds, in this machine's order of octets (draft-ietf-opsawg-pcap §4).
const MAGIC: u32 = 0xa1b2_3c4d;
/// Each packet begins with its IP header.
const LINKTYPE_RAW: u32 = 101;
const SNAP_LEN: u32 = 65_535;
const UDP: u8 = 17;
const UDP_HEADER: usize = 8;

/// What stands at the beginning of a file.
pub(super) fn write_head(file: &mut impl Write) -> io::Result<()> {
    file.write_all(&MAGIC.to_ne_bytes())?;
    file.write_all(&2_u16.to_ne_bytes())?;
    file.write_all(&4_u16.to_ne_bytes())?;
    file.write_all(&[0; 8])?;
    file.write_all(&SNAP_LEN.to_ne_bytes())?;
    file.write_all(&LINKTYPE_RAW.to_ne_bytes())
}

/// Octets that a datagram from `source` with so long a payload takes in a file.
pub(super) const fn octets_of(source: SocketAddr, payload_len: usize) -> u64 {
    let ip = if source.is_ipv4() { 20 } else { 40 };
    (16 + ip + UDP_HEADER + payload_len) as u64
}

/// One UDP datagram. `source` and `destination` are of one family.
pub(super) fn write_datagram(
    file: &mut impl Write,
    unix_ns: u64,
    source: SocketAddr,
    destination: SocketAddr,
    payload: &[u8],
) -> io::Result<()> {
    let mut packet = Vec::with_capacity(48 + payload.len());
    let udp_len = (UDP_HEADER + payload.len()) as u16;
    match (source.ip(), destination.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            packet.extend([0x45, 0]);
            packet.extend((20 + udp_len).to_be_bytes());
            packet.extend([0, 0, 0x40, 0, 64, UDP, 0, 0]);
            packet.extend(from.octets());
            packet.extend(to.octets());
            let sum: u32 = packet.as_chunks::<2>().0.iter().map(|word| u32::from(u16::from_be_bytes(*word))).sum();
            let sum = (sum & 0xffff) + (sum >> 16);
            let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
            packet[10..12].copy_from_slice(&sum.to_be_bytes());
        }
        (from, to) => {
            let octets = |ip: IpAddr| match ip {
                IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
                IpAddr::V6(ip) => ip.octets(),
            };
            packet.extend([0x60, 0, 0, 0]);
            packet.extend(udp_len.to_be_bytes());
            packet.extend([UDP, 64]);
            packet.extend(octets(from));
            packet.extend(octets(to));
        }
    }
    packet.extend(source.port().to_be_bytes());
    packet.extend(destination.port().to_be_bytes());
    packet.extend(udp_len.to_be_bytes());
    // No checksum: what was received had one, which the payload may no longer fit where it was decrypted.
    packet.extend([0, 0]);
    packet.extend(payload);
    file.write_all(&((unix_ns / 1_000_000_000) as u32).to_ne_bytes())?;
    file.write_all(&((unix_ns % 1_000_000_000) as u32).to_ne_bytes())?;
    file.write_all(&(packet.len() as u32).to_ne_bytes())?;
    file.write_all(&(packet.len() as u32).to_ne_bytes())?;
    file.write_all(&packet)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datagram_has_a_sound_ip_header_and_its_time() {
        let mut file = Vec::new();
        write_head(&mut file).unwrap();
        let (source, destination) = ("192.0.2.1:4000".parse().unwrap(), "10.0.0.1:20000".parse().unwrap());
        write_datagram(&mut file, 1_700_000_000_123_456_789, source, destination, &[7; 172]).unwrap();
        let packet = &file[24 + 16..];
        assert_eq!(packet.len(), 20 + 8 + 172);
        let sum: u32 = packet[..20].as_chunks::<2>().0.iter().map(|word| u32::from(u16::from_be_bytes(*word))).sum();
        assert_eq!((sum & 0xffff) + (sum >> 16), 0xffff, "RFC 1071 §1");
        assert_eq!(packet[20..24], [0x0f, 0xa0, 0x4e, 0x20]);
        assert_eq!(file[24..28], 1_700_000_000_u32.to_ne_bytes());
        assert_eq!(file[28..32], 123_456_789_u32.to_ne_bytes());
        let before = file.len();
        let (source, destination) = ("[2001:db8::1]:4000".parse().unwrap(), "[2001:db8::2]:20000".parse().unwrap());
        write_datagram(&mut file, 0, source, destination, &[7; 172]).unwrap();
        assert_eq!((file.len() - before, file[before + 16] >> 4), (16 + 40 + 8 + 172, 6));
    }
}
