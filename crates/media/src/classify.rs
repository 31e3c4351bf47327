//! What a received frame is, from its headers alone: the first stage, which touches the frame and the port table only.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tandem_contract::{DropReason, WorkerId};
use tandem_packet_io::{ChecksumStatus, PacketBuf, RxChecksum};
use tandem_wire::arp::Arp;
use tandem_wire::demux::{self, Kind};
use tandem_wire::ethernet::{
    ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, Ethernet, HEADER_LEN as ETHERNET, MacAddress,
};
use tandem_wire::ipv4::{Ipv4, Ipv4Error};
use tandem_wire::ipv6::{ALL_NODES, Ipv6, Ipv6Error, multicast_mac, solicited_node};
use tandem_wire::udp::{self, Udp, UdpError};
use tandem_wire::{icmp, icmpv6, ipv4, ipv6, rtp};

use crate::config::EngineConfig;
use crate::links::Links;
use crate::peer::Peer;
use crate::port_table::{AddressIndex, PortTable, StreamIndex};

/// A frame's destination inside the engine.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Class {
    /// A datagram for a leg.
    Datagram(Datagram),
    /// For a leg of another worker.
    Foreign(WorkerId),
    Arp(Arp),
    /// An ICMP message to one of our addresses.
    Icmp(IcmpAt),
    /// An ICMPv6 message to one of our addresses or to the group that it is asked for in.
    Icmpv6(IcmpAt),
    Drop(DropReason),
}

/// A datagram for a leg: whose, and where in the frame. A burst of them waits between two stages, so it is small: what the
/// headers say besides is read from them where it is needed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Datagram {
    pub(crate) stream: StreamIndex,
    /// Our port.
    pub(crate) port: u16,
    /// Octets before the UDP payload, and of it.
    pub(crate) at: u16,
    pub(crate) len: u16,
    /// Octets from the start of the IP header to the UDP payload.
    above_ip: u16,
    pub(crate) kind: Kind,
}

impl Datagram {
    /// Who sent it, from the headers of its frame, which still stand before it.
    #[inline(always)]
    pub(crate) fn peer(&self, frame: &[u8]) -> Peer {
        let at = usize::from(self.at);
        let headers = frame.get(at - usize::from(self.above_ip)..at).unwrap_or_default();
        let port = headers.last_chunk::<{ udp::HEADER_LEN }>().map_or(0, udp::source_port_of);
        match headers {
            [first, ..] if first >> 4 == 6 => {
                Peer::v6(headers.first_chunk().map_or(Ipv6Addr::UNSPECIFIED, ipv6::source_of), port)
            }
            _ => Peer::v4(headers.first_chunk().map_or(Ipv4Addr::UNSPECIFIED, ipv4::source_of), port),
        }
    }

    /// The same, as an address.
    pub(crate) fn source(&self, frame: &[u8]) -> SocketAddr {
        self.peer(frame).address()
    }
}

/// Where an ICMP message is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IcmpAt {
    /// Octets before the IP header.
    pub(crate) ip_at: u16,
    /// Octets before the message, and of it.
    pub(crate) at: u16,
    pub(crate) len: u16,
}

/// A packet for one of our addresses.
#[derive(Clone, Copy)]
struct Addressed {
    local: AddressIndex,
    source: IpAddr,
    destination: IpAddr,
    /// Octets before the IP header, and before what IP carries.
    ip_at: usize,
    at: usize,
}

/// What classification needs to know, apart from the ports and their table.
#[derive(Debug)]
pub(crate) struct Classifier {
    worker: WorkerId,
    workers: u16,
}

/// Offsets are 16 bits wide; no device delivers a longer frame.
const MAX_FRAME_LEN: usize = u16::MAX as usize;

impl Classifier {
    pub(crate) fn new(config: &EngineConfig) -> Self {
        Self { worker: config.worker, workers: config.workers }
    }

    /// Looks at one frame that is not [ordinary](Self::ordinary). `from_worker`: another worker handed it over, so that it is
    /// not handed on.
    #[inline(never)]
    pub(crate) fn classify<B: PacketBuf>(
        &self,
        frame: &B,
        links: &Links,
        ports: &PortTable,
        from_worker: bool,
    ) -> Class {
        match self.inspect(frame.data(), frame.rx_checksum(), links, ports, from_worker) {
            Ok(class) => class,
            Err(reason) => Class::Drop(reason),
        }
    }

    /// Nearly every frame: untagged, IPv4 without options and in one piece, UDP, for a leg, with nothing wrong. `None` says
    /// nothing about the others. It does no more than [`Classifier::classify`] would, and has its answer in registers.
    #[inline(always)]
    pub(crate) fn ordinary<B: PacketBuf>(frame: &B, links: &Links, ports: &PortTable) -> Option<Datagram> {
        let (frame, mut verdict) = (frame.data(), frame.rx_checksum());
        let ethernet = Ethernet::parse(frame).ok()?;
        let link = links.of_mac(ethernet.destination())?;
        let ip = Ipv4::parse(ethernet.payload()).ok()?;
        let is_plain = link.vlan.is_none()
            && ethernet.ethertype() == ETHERTYPE_IPV4
            && ip.header_len() == ipv4::HEADER_LEN
            && ip.fragment().is_none()
            && ip.protocol() == udp::PROTOCOL
            && frame.len() <= MAX_FRAME_LEN;
        let udp = Udp::parse(ip.payload()).ok()?;
        let port = udp.destination_port();
        let stream = ports.find(ports.address_v4(ip.destination())?, port)?;
        let header_holds = match verdict.ip {
            ChecksumStatus::Good => true,
            ChecksumStatus::Bad => false,
            ChecksumStatus::Unknown => ip.checksum_holds(),
        };
        if verdict.l4 == ChecksumStatus::Unknown && !link.verify_udp {
            verdict.l4 = ChecksumStatus::Good;
        }
        if !is_plain || !header_holds {
            return None;
        }
        check_udp(&udp, verdict, IpAddr::V4(ip.source()), IpAddr::V4(ip.destination())).ok()?;
        Some(Datagram {
            stream,
            port,
            at: (ETHERNET + ipv4::HEADER_LEN + udp::HEADER_LEN) as u16,
            len: udp.payload().len() as u16,
            above_ip: (ipv4::HEADER_LEN + udp::HEADER_LEN) as u16,
            kind: Self::kind(port, udp.payload()),
        })
    }

    #[inline]
    fn inspect(
        &self,
        frame: &[u8],
        mut verdict: RxChecksum,
        links: &Links,
        ports: &PortTable,
        from_worker: bool,
    ) -> Result<Class, DropReason> {
        if frame.len() > MAX_FRAME_LEN {
            return Err(DropReason::FrameTooLong);
        }
        let ethernet = Ethernet::parse(frame).map_err(|_| DropReason::FrameTruncated)?;
        // What is not addressed to a port by its hardware address may have come on any of them.
        let link = links.of_mac(ethernet.destination());
        let in_vlan = link.map_or_else(|| links.has_vlan(ethernet.vlan()), |link| link.vlan == ethernet.vlan());
        if !in_vlan {
            return Err(DropReason::VlanUnknown);
        }
        let to_us = link.is_some();
        if verdict.l4 == ChecksumStatus::Unknown && link.is_some_and(|link| !link.verify_udp) {
            verdict.l4 = ChecksumStatus::Good;
        }
        match ethernet.ethertype() {
            ETHERTYPE_IPV4 if to_us => self.inspect_ipv4(frame, ethernet.payload(), verdict, ports, from_worker),
            ETHERTYPE_IPV4 => Err(DropReason::NotOurAddress),
            ETHERTYPE_IPV6 if to_us => self.inspect_ipv6(frame, ethernet.payload(), verdict, ports, from_worker),
            ETHERTYPE_IPV6 => Self::inspect_solicitation(frame, &ethernet, ports),
            ETHERTYPE_ARP if to_us || ethernet.destination() == MacAddress::BROADCAST => {
                Arp::parse(ethernet.payload()).map(Class::Arp).map_err(|_| DropReason::ArpMalformed)
            }
            ETHERTYPE_ARP => Err(DropReason::NotOurAddress),
            _ => Err(DropReason::EtherTypeUnknown),
        }
    }

    #[inline]
    fn inspect_ipv4(
        &self,
        frame: &[u8],
        packet: &[u8],
        verdict: RxChecksum,
        ports: &PortTable,
        from_worker: bool,
    ) -> Result<Class, DropReason> {
        let ip = Ipv4::parse(packet).map_err(|error| match error {
            Ipv4Error::TooShort => DropReason::FrameTruncated,
            Ipv4Error::Version | Ipv4Error::HeaderLength => DropReason::IpHeaderBad,
        })?;
        let header_holds = match verdict.ip {
            ChecksumStatus::Good => true,
            ChecksumStatus::Bad => false,
            ChecksumStatus::Unknown => ip.checksum_holds(),
        };
        if !header_holds {
            return Err(DropReason::IpHeaderBad);
        }
        let destination = IpAddr::V4(ip.destination());
        let local = ports.address(destination).ok_or(DropReason::NotOurAddress)?;
        if ip.fragment().is_some() {
            return Err(DropReason::IpFragment);
        }
        let ip_at = frame.len() - packet.len();
        let at = ip_at + ip.header_len();
        match ip.protocol() {
            udp::PROTOCOL => {
                let addressed = Addressed { local, source: IpAddr::V4(ip.source()), destination, ip_at, at };
                self.inspect_udp(addressed, ip.payload(), verdict, ports, from_worker)
            }
            icmp::PROTOCOL => {
                let len = ip.payload().len() as u16;
                Ok(Class::Icmp(IcmpAt { ip_at: ip_at as u16, at: at as u16, len }))
            }
            _ => Err(DropReason::IpProtocolUnknown),
        }
    }

    #[inline]
    fn inspect_ipv6(
        &self,
        frame: &[u8],
        packet: &[u8],
        verdict: RxChecksum,
        ports: &PortTable,
        from_worker: bool,
    ) -> Result<Class, DropReason> {
        let ip = Ipv6::parse(packet).map_err(ipv6_drop)?;
        let destination = IpAddr::V6(ip.destination());
        let local = ports.address(destination).ok_or(DropReason::NotOurAddress)?;
        if ip.fragment().is_some() {
            return Err(DropReason::IpFragment);
        }
        let ip_at = frame.len() - packet.len();
        let at = ip_at + ip.header_len();
        match ip.protocol() {
            udp::PROTOCOL => {
                let addressed = Addressed { local, source: IpAddr::V6(ip.source()), destination, ip_at, at };
                self.inspect_udp(addressed, ip.payload(), verdict, ports, from_worker)
            }
            icmpv6::PROTOCOL => {
                let len = ip.payload().len() as u16;
                Ok(Class::Icmpv6(IcmpAt { ip_at: ip_at as u16, at: at as u16, len }))
            }
            _ => Err(DropReason::IpProtocolUnknown),
        }
    }

    /// What comes to a group: of that, only questions for our addresses are for us (RFC 4861 §7.2), and those for listeners.
    #[cold]
    fn inspect_solicitation(frame: &[u8], ethernet: &Ethernet<'_>, ports: &PortTable) -> Result<Class, DropReason> {
        let asked = |address| match address {
            IpAddr::V6(address) => multicast_mac(solicited_node(address)) == ethernet.destination(),
            IpAddr::V4(_) => false,
        };
        let is_to_all = ethernet.destination() == multicast_mac(ALL_NODES);
        if !is_to_all && !ports.local_addresses().any(|(_, address)| asked(address)) {
            return Err(DropReason::NotOurAddress);
        }
        let packet = ethernet.payload();
        let ip = Ipv6::parse(packet).map_err(ipv6_drop)?;
        if ip.protocol() != icmpv6::PROTOCOL || ip.fragment().is_some() || !ip.destination().is_multicast() {
            return Err(DropReason::NotOurAddress);
        }
        if is_to_all && !icmpv6::asks_for_listeners(ip.payload()) {
            return Err(DropReason::NotOurAddress);
        }
        let ip_at = frame.len() - packet.len();
        let (at, len) = (ip_at + ip.header_len(), ip.payload().len());
        Ok(Class::Icmpv6(IcmpAt { ip_at: ip_at as u16, at: at as u16, len: len as u16 }))
    }

    /// What stands in UDP for one of our addresses.
    #[inline]
    fn inspect_udp(
        &self,
        addressed: Addressed,
        bytes: &[u8],
        verdict: RxChecksum,
        ports: &PortTable,
        from_worker: bool,
    ) -> Result<Class, DropReason> {
        let Addressed { local, source, destination, ip_at, at } = addressed;
        let udp = Udp::parse(bytes).map_err(|error| match error {
            UdpError::TooShort => DropReason::FrameTruncated,
            UdpError::Length => DropReason::UdpLengthBad,
        })?;
        let port = udp.destination_port();
        // Before anything that costs: what nobody listens to is one lookup and one counter.
        let Some(stream) = ports.find(local, port) else {
            return self.owner(port, ports, from_worker).map(Class::Foreign).ok_or(DropReason::NoFlow);
        };
        check_udp(&udp, verdict, source, destination)?;
        Ok(Class::Datagram(Datagram {
            stream,
            port,
            at: (at + udp::HEADER_LEN) as u16,
            len: udp.payload().len() as u16,
            above_ip: (at + udp::HEADER_LEN - ip_at) as u16,
            kind: Self::kind(port, udp.payload()),
        }))
    }

    /// What the payload is. The odd port is RTCP's alone (RFC 3550 §11); on the even one the octets decide (RFC 5761).
    #[inline]
    fn kind(port: u16, payload: &[u8]) -> Kind {
        match demux::classify(payload) {
            Kind::Rtp if port % 2 == 1 => Kind::Unknown,
            // Too short to tell: named as the RTP it is not.
            Kind::Unknown if payload.len() < rtp::HEADER_LEN && port.is_multiple_of(2) => Kind::Rtp,
            kind => kind,
        }
    }

    /// The other worker that owns a port, if one does.
    fn owner(&self, port: u16, ports: &PortTable, from_worker: bool) -> Option<WorkerId> {
        let owner = owner_of(port, self.workers);
        (!from_worker && owner != self.worker && ports.is_in_range(port)).then_some(owner)
    }
}

/// Whether the checksum holds. One that the device has not judged is computed.
#[inline]
fn check_udp(udp: &Udp<'_>, verdict: RxChecksum, from: IpAddr, to: IpAddr) -> Result<(), DropReason> {
    // Nothing else guards the addresses of IPv6, so a sender may not leave it out there (RFC 8200 §8.1).
    if from.is_ipv6() && udp.checksum() == [0, 0] {
        return Err(DropReason::UdpChecksumBad);
    }
    let holds = match verdict.l4 {
        ChecksumStatus::Good => true,
        ChecksumStatus::Bad => false,
        ChecksumStatus::Unknown => udp.checksum_holds(from, to),
    };
    if holds { Ok(()) } else { Err(DropReason::UdpChecksumBad) }
}

/// The worker that owns a local port.
pub(crate) const fn owner_of(port: u16, workers: u16) -> WorkerId {
    WorkerId((port / 2) % workers)
}

const fn ipv6_drop(error: Ipv6Error) -> DropReason {
    match error {
        Ipv6Error::TooShort => DropReason::FrameTruncated,
        Ipv6Error::Version => DropReason::IpHeaderBad,
        Ipv6Error::ExtensionHeaders | Ipv6Error::Routed => DropReason::IpExtensionHeader,
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddrV4;

    use proptest::prelude::*;
    use tandem_packet_io::RxChecksum;
    use tandem_testkit::{Endpoint, Pool};

    use super::*;
    use crate::config::Checksums;
    use crate::port_table::StreamIndex;
    use tandem_contract::LocalAddress;

    const OURS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
    const MAC: MacAddress = MacAddress([2, 0, 0, 0, 0, 1]);

    fn config(verify_udp: bool) -> EngineConfig {
        let addresses = vec![LocalAddress { address: OURS.into(), prefix_len: 24, gateway: None }];
        let mut config = EngineConfig::new(MAC, addresses, 10_000..=10_099);
        config.ports[0].checksums = Checksums { transmit_offload: true, verify_udp };
        config
    }

    proptest! {
        #[test]
        fn an_ordinary_frame_is_told_apart_as_any_other_would_be(
            payload_len in 0_usize..200,
            flips in prop::collection::vec((0_usize..60, any::<u8>()), 0..3),
            cut in 0_usize..20,
            verify_udp in any::<bool>(),
            verdict in prop::sample::select(vec![ChecksumStatus::Unknown, ChecksumStatus::Good, ChecksumStatus::Bad]),
        ) {
            let config = config(verify_udp);
            let (classifier, links) = (Classifier::new(&config), Links::new(&config));
            let locals = config.ports[0].addresses.iter().map(|local| (crate::links::LinkIndex(0), *local));
            let mut ports = PortTable::new(locals, &config.rtp_ports).unwrap();
            ports.occupy(ports.address(OURS.into()).unwrap(), 10_000, StreamIndex(7));
            let mut endpoint = Endpoint {
                mac: MacAddress([2, 0, 0, 0, 0, 2]),
                local: SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 2), 4000),
                peer_mac: MAC,
                peer: SocketAddrV4::new(OURS, 10_000),
                payload_type: 0, sequence: 1, timestamp: 1, ssrc: 1, marker: false,
            };
            let mut octets = endpoint.send(&vec![0x55; payload_len], 160);
            for (at, bits) in &flips {
                if let Some(octet) = octets.get_mut(*at) { *octet ^= bits; }
            }
            octets.truncate(octets.len() - cut.min(octets.len()));
            let mut frame = Pool::new(1).frame(&octets).unwrap();
            frame.set_rx_checksum(RxChecksum { ip: verdict, l4: verdict });
            let shown = |datagram: &Datagram| (format!("{datagram:?}"), datagram.source(frame.data()));
            let as_any = match classifier.classify(&frame, &links, &ports, false) {
                Class::Datagram(datagram) => Some(shown(&datagram)),
                _ => None,
            };
            let ordinary = Classifier::ordinary(&frame, &links, &ports).map(|datagram| shown(&datagram));
            prop_assert!(ordinary.is_none() || ordinary == as_any, "{ordinary:?} {as_any:?}");
            if flips.is_empty() && cut == 0 && verdict != ChecksumStatus::Bad {
                prop_assert!(ordinary.is_some());
                let source = ordinary.unwrap().1;
                prop_assert_eq!(source, "10.0.0.2:4000".parse().unwrap());
            }
        }
    }
}
