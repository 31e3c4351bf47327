//! The headers below RTP of what a leg sends, prepared once per remote and copied before each packet.

use std::net::{IpAddr, SocketAddr};

use tandem_packet_io::PacketBuf;
use tandem_wire::checksum::Sum;
use tandem_wire::ethernet::{self, ETHERTYPE_IPV4, ETHERTYPE_IPV6, EthernetFields, MacAddress, VlanId};
use tandem_wire::ipv4::{self, Ipv4Fields};
use tandem_wire::ipv6::{self, Ipv6Fields};
use tandem_wire::rtp;
use tandem_wire::udp::{self, UdpFields};

use crate::neighbours::NeighbourId;

const PLAIN: usize = ethernet::HEADER_LEN;
const TAGGED: usize = ethernet::HEADER_LEN + ethernet::VLAN_TAG_LEN;
const IPV4: usize = ipv4::HEADER_LEN;
const IPV6: usize = ipv6::HEADER_LEN;
/// Ethernet, one tag, IPv6, UDP.
const MAX_LEN: usize = TAGGED + IPV6 + udp::HEADER_LEN;
const TIME_TO_LIVE: u8 = 64;
/// Octets of a hardware address.
const MAC: usize = 6;

/// What all packets of a port have in common.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LinkFields {
    pub(crate) mac: MacAddress,
    pub(crate) vlan: Option<VlanId>,
    pub(crate) traffic_class: u8,
    pub(crate) checksum_offload: bool,
    /// UDP checksums that the device has not judged are verified.
    pub(crate) verify_udp: bool,
    pub(crate) mtu: u16,
}

impl LinkFields {
    /// Octets of the link header.
    pub(crate) const fn l2_len(&self) -> usize {
        if self.vlan.is_some() { ethernet::HEADER_LEN + ethernet::VLAN_TAG_LEN } else { ethernet::HEADER_LEN }
    }

    /// Fills in the link header of `frame`, which is long enough by construction.
    pub(crate) fn write_l2(&self, frame: &mut [u8], destination: MacAddress, ethertype: u16) {
        let fields = EthernetFields { destination, source: self.mac, ethertype };
        match self.vlan {
            None => {
                if let Some(header) = frame.first_chunk_mut() {
                    fields.write(header);
                }
            }
            Some(vlan) => {
                if let Some(header) = frame.first_chunk_mut() {
                    fields.write_tagged(vlan, header);
                }
            }
        }
    }
}

/// Headers towards one remote.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Departure {
    pub(crate) next_hop: NeighbourId,
    mtu: u16,
    l2_len: u8,
    l3_len: u8,
    checksum_offload: bool,
    /// From the source's hardware address on: the destination's is known to the neighbour table alone.
    headers: [u8; MAX_LEN - MAC],
    /// Of the IPv4 header without its length, folded.
    ip_sum: u16,
    /// Of pseudo-header and ports, without lengths, folded.
    udp_sum: u16,
}

/// The packet is longer than the port's MTU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooLong;

impl Departure {
    /// `None` when local and remote address are not of one family.
    pub(crate) fn new(link: &LinkFields, local: SocketAddr, remote: SocketAddr, next_hop: NeighbourId) -> Option<Self> {
        let l2_len = link.l2_len();
        let mut headers = [0; MAX_LEN];
        let (ip_sum, l3_len) = match (local.ip(), remote.ip()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                link.write_l2(&mut headers, MacAddress::default(), ETHERTYPE_IPV4);
                let header = headers[l2_len..].first_chunk_mut()?;
                let fields = Ipv4Fields {
                    traffic_class: link.traffic_class,
                    total_length: 0,
                    time_to_live: TIME_TO_LIVE,
                    protocol: udp::PROTOCOL,
                    source,
                    destination,
                };
                fields.write(header);
                header[10..12].fill(0);
                (Sum::of(header), IPV4)
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                link.write_l2(&mut headers, MacAddress::default(), ETHERTYPE_IPV6);
                let fields = Ipv6Fields {
                    traffic_class: link.traffic_class,
                    payload_length: 0,
                    protocol: udp::PROTOCOL,
                    hop_limit: TIME_TO_LIVE,
                    source,
                    destination,
                };
                fields.write(headers[l2_len..].first_chunk_mut()?);
                (Sum::ZERO, IPV6)
            }
            _ => return None,
        };
        let udp = UdpFields { source_port: local.port(), destination_port: remote.port(), length: 0 };
        udp.write(headers[l2_len + l3_len..].first_chunk_mut()?);
        let udp_sum =
            Sum::of_pseudo_header(local.ip(), remote.ip(), udp::PROTOCOL).and_u16(local.port()).and_u16(remote.port());
        let (checksum_offload, mtu) = (link.checksum_offload, link.mtu);
        let (l2_len, l3_len) = (l2_len as u8, l3_len as u8);
        let (ip_sum, udp_sum) = (ip_sum.fold(), udp_sum.fold());
        let headers = *headers.last_chunk()?;
        Some(Self { next_hop, l2_len, l3_len, checksum_offload, mtu, headers, ip_sum, udp_sum })
    }

    /// Something of its beginning, for the cache.
    #[inline(always)]
    pub(crate) const fn touch(&self) -> u16 {
        self.mtu
    }

    /// Where that is.
    #[cfg(test)]
    pub(crate) const TOUCHED: usize = std::mem::offset_of!(Self, mtu);

    /// Octets of all headers before the UDP payload.
    #[inline]
    pub(crate) const fn header_len(&self) -> usize {
        self.l2_len as usize + self.l3_len as usize + udp::HEADER_LEN
    }

    /// Fills in the headers of `frame`, whose UDP payload is final and starts at [`Departure::header_len`].
    #[inline(always)]
    pub(crate) fn write<B: PacketBuf>(&self, frame: &mut B, mac: MacAddress) -> Result<(), TooLong> {
        let (l2_len, l3_len) = (usize::from(self.l2_len), usize::from(self.l3_len));
        if frame.len() > l2_len + usize::from(self.mtu) {
            return Err(TooLong);
        }
        match (l2_len, l3_len) {
            (PLAIN, IPV4) => self.write_headers::<{ PLAIN + IPV4 + udp::HEADER_LEN }, IPV4, B>(frame, mac),
            (PLAIN, _) => self.write_headers::<{ PLAIN + IPV6 + udp::HEADER_LEN }, IPV6, B>(frame, mac),
            (_, IPV4) => self.write_headers::<{ TAGGED + IPV4 + udp::HEADER_LEN }, IPV4, B>(frame, mac),
            (_, _) => self.write_headers::<{ TAGGED + IPV6 + udp::HEADER_LEN }, IPV6, B>(frame, mac),
        }
        if self.checksum_offload {
            frame.request_ip_udp_checksum(l2_len, l3_len);
        }
        Ok(())
    }

    #[inline(always)]
    fn write_headers<const LEN: usize, const L3_LEN: usize, B: PacketBuf>(&self, frame: &mut B, mac: MacAddress) {
        const { assert!(LEN <= MAX_LEN && LEN >= PLAIN + L3_LEN + udp::HEADER_LEN) };
        let Some((headers, payload)) = frame.data_mut().split_first_chunk_mut::<LEN>() else {
            return;
        };
        headers[..MAC].copy_from_slice(&mac.0);
        headers[MAC..].copy_from_slice(&self.headers[..LEN - MAC]);
        let udp_at = LEN - udp::HEADER_LEN;
        let ip_at = udp_at - L3_LEN;
        let udp_len = (udp::HEADER_LEN + payload.len()) as u16;
        headers[udp_at + 4..udp_at + 6].copy_from_slice(&udp_len.to_be_bytes());
        if L3_LEN == IPV4 {
            let ip_len = udp_len + IPV4 as u16;
            headers[ip_at + 2..ip_at + 4].copy_from_slice(&ip_len.to_be_bytes());
            if !self.checksum_offload {
                headers[ip_at + 10..ip_at + 12]
                    .copy_from_slice(&Sum::of_folded(self.ip_sum).and_u16(ip_len).checksum());
            }
        } else {
            headers[ip_at + 4..ip_at + 6].copy_from_slice(&udp_len.to_be_bytes());
        }
        if !self.checksum_offload {
            // The length counts twice: in the pseudo-header and in the header.
            let sum = Sum::of_folded(self.udp_sum).and_u16(udp_len).and_u16(udp_len).and(sum_of(payload));
            headers[udp_at + 6..udp_at + 8].copy_from_slice(&sum.udp_checksum());
        }
    }
}

/// The sum of a UDP payload, whose RTP header was just written apart from the rest: no word is of both.
#[inline(always)]
fn sum_of(payload: &[u8]) -> Sum {
    match payload.split_first_chunk::<{ rtp::HEADER_LEN }>() {
        Some((header, rest)) => Sum::of(header).and(Sum::of(rest)),
        None => Sum::of(payload),
    }
}
