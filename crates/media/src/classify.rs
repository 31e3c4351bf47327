//! What a received frame is, from its headers alone: the first stage, which touches the frame and the port table only.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use tandem_contract::{DropReason, WorkerId};
use tandem_packet_io::{ChecksumStatus, PacketBuf, RxChecksum};
use tandem_wire::arp::Arp;
use tandem_wire::demux::{self, Kind};
use tandem_wire::ethernet::{ETHERTYPE_ARP, ETHERTYPE_IPV4, Ethernet, MacAddress};
use tandem_wire::ipv4::{Ipv4, Ipv4Error};
use tandem_wire::udp::{self, Udp, UdpError};
use tandem_wire::{icmp, rtp};

use crate::config::{Checksums, EngineConfig};
use crate::port_table::{PortTable, StreamIndex};

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
    Drop(DropReason),
}

/// A datagram for a leg: whose, and where in the frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Datagram {
    pub(crate) stream: StreamIndex,
    pub(crate) kind: Kind,
    pub(crate) source: SocketAddr,
    /// Our port.
    pub(crate) port: u16,
    /// Octets before the UDP payload, and of it.
    pub(crate) at: u16,
    pub(crate) len: u16,
}

/// Where an ICMP message is, and who sent it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IcmpAt {
    /// Octets before the IPv4 header.
    pub(crate) ip_at: u16,
    /// Octets before the message, and of it.
    pub(crate) at: u16,
    pub(crate) len: u16,
}

/// What classification needs to know about the port, apart from the port table.
#[derive(Debug)]
pub(crate) struct Classifier {
    mac: MacAddress,
    vlan: Option<tandem_wire::ethernet::VlanId>,
    checksums: Checksums,
    worker: WorkerId,
    workers: u16,
}

/// Offsets are 16 bits wide; no device delivers a longer frame.
const MAX_FRAME_LEN: usize = u16::MAX as usize;

impl Classifier {
    pub(crate) fn new(config: &EngineConfig) -> Self {
        Self {
            mac: config.mac,
            vlan: config.vlan,
            checksums: config.checksums,
            worker: config.worker,
            workers: config.workers,
        }
    }

    /// Looks at one frame. `from_worker`: another worker handed it over, so that it is not handed on.
    #[inline]
    pub(crate) fn classify<B: PacketBuf>(&self, frame: &B, ports: &PortTable, from_worker: bool) -> Class {
        match self.inspect(frame.data(), frame.rx_checksum(), ports, from_worker) {
            Ok(class) => class,
            Err(reason) => Class::Drop(reason),
        }
    }

    #[inline]
    fn inspect(
        &self,
        frame: &[u8],
        verdict: RxChecksum,
        ports: &PortTable,
        from_worker: bool,
    ) -> Result<Class, DropReason> {
        if frame.len() > MAX_FRAME_LEN {
            return Err(DropReason::FrameTooLong);
        }
        let ethernet = Ethernet::parse(frame).map_err(|_| DropReason::FrameTruncated)?;
        if ethernet.vlan() != self.vlan {
            return Err(DropReason::VlanUnknown);
        }
        let to_us = ethernet.destination() == self.mac;
        match ethernet.ethertype() {
            ETHERTYPE_IPV4 if to_us => self.inspect_ipv4(frame, ethernet.payload(), verdict, ports, from_worker),
            ETHERTYPE_IPV4 => Err(DropReason::NotOurAddress),
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
        let local = ports.address(ip.destination().into()).ok_or(DropReason::NotOurAddress)?;
        if ip.is_fragment() {
            return Err(DropReason::IpFragment);
        }
        let ip_at = frame.len() - packet.len();
        let at = ip_at + ip.header_len();
        match ip.protocol() {
            udp::PROTOCOL => {}
            icmp::PROTOCOL => {
                let len = ip.payload().len() as u16;
                return Ok(Class::Icmp(IcmpAt { ip_at: ip_at as u16, at: at as u16, len }));
            }
            _ => return Err(DropReason::IpProtocolUnknown),
        }
        let udp = Udp::parse(ip.payload()).map_err(|error| match error {
            UdpError::TooShort => DropReason::FrameTruncated,
            UdpError::Length => DropReason::UdpLengthBad,
        })?;
        let port = udp.destination_port();
        // Before anything that costs: what nobody listens to is one lookup and one counter.
        let Some(stream) = ports.find(local, port) else {
            return self.owner(port, ports, from_worker).map(Class::Foreign).ok_or(DropReason::NoFlow);
        };
        self.check_udp(&udp, verdict, ip.source(), ip.destination())?;
        Ok(Class::Datagram(Datagram {
            stream,
            kind: Self::kind(port, udp.payload()),
            source: SocketAddr::new(ip.source().into(), udp.source_port()),
            port,
            at: (at + udp::HEADER_LEN) as u16,
            len: udp.payload().len() as u16,
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

    #[inline]
    fn check_udp(&self, udp: &Udp<'_>, verdict: RxChecksum, from: Ipv4Addr, to: Ipv4Addr) -> Result<(), DropReason> {
        let holds = match verdict.l4 {
            ChecksumStatus::Good => true,
            ChecksumStatus::Bad => false,
            ChecksumStatus::Unknown if self.checksums.verify_udp => {
                udp.checksum_holds(IpAddr::V4(from), IpAddr::V4(to))
            }
            ChecksumStatus::Unknown => true,
        };
        if holds { Ok(()) } else { Err(DropReason::UdpChecksumBad) }
    }

    /// The other worker that owns a port, if one does.
    fn owner(&self, port: u16, ports: &PortTable, from_worker: bool) -> Option<WorkerId> {
        let owner = owner_of(port, self.workers);
        (!from_worker && owner != self.worker && ports.is_in_range(port)).then_some(owner)
    }
}

/// The worker that owns a local port.
pub(crate) const fn owner_of(port: u16, workers: u16) -> WorkerId {
    WorkerId((port / 2) % workers)
}
