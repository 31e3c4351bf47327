use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use tandem_wire::arp::{Arp, Operation, PACKET_LEN};
use tandem_wire::checksum::Sum;
use tandem_wire::ethernet::{
    self, ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, Ethernet, EthernetFields, MacAddress,
};
use tandem_wire::icmpv6::{self, Icmpv6, NEIGHBOUR_LEN, NeighbourFields};
use tandem_wire::ipv4::{self, Ipv4, Ipv4Fields};
use tandem_wire::ipv6::{self, Ipv6, Ipv6Fields};
use tandem_wire::rtp::{self, Rtp, RtpFields};
use tandem_wire::udp::{self, Udp, UdpFields};

/// One end of an endpoint's packets: over IPv4, over IPv6, or over what the test says.
pub trait Side: Copy + Into<SocketAddr> {
    /// `None` where it is of the other family.
    fn of(socket: SocketAddr) -> Option<Self>;
}

impl Side for SocketAddrV4 {
    fn of(socket: SocketAddr) -> Option<Self> {
        if let SocketAddr::V4(socket) = socket { Some(socket) } else { None }
    }
}

impl Side for SocketAddrV6 {
    fn of(socket: SocketAddr) -> Option<Self> {
        if let SocketAddr::V6(socket) = socket { Some(socket) } else { None }
    }
}

impl Side for SocketAddr {
    fn of(socket: SocketAddr) -> Option<Self> {
        Some(socket)
    }
}

/// An RTP endpoint on an Ethernet link: what it sends is complete to the last checksum, and what it receives it checks as
/// strictly.
#[derive(Clone, Debug)]
pub struct Endpoint<A = SocketAddrV4> {
    /// Its hardware address.
    pub mac: MacAddress,
    /// Where it sends from and receives.
    pub local: A,
    /// The gateway's hardware address.
    pub peer_mac: MacAddress,
    /// Where it sends to.
    pub peer: A,
    /// Of the next packet.
    pub payload_type: u8,
    /// Of the next packet.
    pub sequence: u16,
    /// Of the next packet.
    pub timestamp: u32,
    /// Its synchronisation source.
    pub ssrc: u32,
    /// Of the next packet.
    pub marker: bool,
}

/// One RTP packet as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received<A = SocketAddrV4> {
    /// Marker bit.
    pub marker: bool,
    /// Payload type.
    pub payload_type: u8,
    /// Sequence number.
    pub sequence: u16,
    /// Timestamp.
    pub timestamp: u32,
    /// Synchronisation source.
    pub ssrc: u32,
    /// Where it came from.
    pub source: A,
    /// The payload.
    pub payload: Vec<u8>,
}

impl<A: Side> Endpoint<A> {
    /// The frame with the next RTP packet; sequence number and timestamp move on, the latter by `ticks`.
    pub fn send(&mut self, payload: &[u8], ticks: u32) -> Vec<u8> {
        let fields = RtpFields {
            marker: self.marker,
            payload_type: self.payload_type,
            sequence: self.sequence,
            timestamp: self.timestamp,
            ssrc: self.ssrc,
        };
        self.sequence = self.sequence.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(ticks);
        self.marker = false;
        let mut header = [0; rtp::HEADER_LEN];
        fields.write(&mut header);
        self.datagram(&[&header, payload].concat())
    }

    /// A frame with any UDP payload.
    pub fn datagram(&self, payload: &[u8]) -> Vec<u8> {
        let (local, peer): (SocketAddr, SocketAddr) = (self.local.into(), self.peer.into());
        let mut header = [0; udp::HEADER_LEN];
        let length = (udp::HEADER_LEN + payload.len()) as u16;
        UdpFields { source_port: local.port(), destination_port: peer.port(), length }.write(&mut header);
        let mut datagram = [&header, payload].concat();
        let checksum = udp::checksum_of(local.ip(), peer.ip(), &datagram);
        datagram[6..8].copy_from_slice(&checksum);
        self.packet(udp::PROTOCOL, 63, &datagram)
    }

    /// A frame with anything over IP.
    pub fn packet(&self, protocol: u8, time_to_live: u8, carried: &[u8]) -> Vec<u8> {
        let (local, peer): (SocketAddr, SocketAddr) = (self.local.into(), self.peer.into());
        ip_frame(self.mac, self.peer_mac, (local.ip(), peer.ip()), protocol, time_to_live, carried)
    }

    /// Reads a frame that should be RTP for this endpoint.
    ///
    /// # Errors
    /// What is wrong with it, in words for a failing test.
    pub fn receive(&self, frame: &[u8]) -> Result<Received<A>, String> {
        let (local, peer): (SocketAddr, SocketAddr) = (self.local.into(), self.peer.into());
        let ethernet = Ethernet::parse(frame).map_err(|e| e.to_string())?;
        let ethertype = if local.is_ipv4() { ETHERTYPE_IPV4 } else { ETHERTYPE_IPV6 };
        let expected = (self.mac, self.peer_mac, ethertype);
        let found = (ethernet.destination(), ethernet.source(), ethernet.ethertype());
        if found != expected {
            return Err(format!("Ethernet header {found:?}, expected {expected:?}, to {local} from {peer}"));
        }
        let (from, to, carried): (IpAddr, IpAddr, _) = if local.is_ipv4() {
            let ip = Ipv4::parse(ethernet.payload()).map_err(|e| e.to_string())?;
            if !ip.checksum_holds() {
                return Err("IPv4 header checksum wrong".into());
            }
            (ip.source().into(), ip.destination().into(), ip.payload())
        } else {
            let ip = Ipv6::parse(ethernet.payload()).map_err(|e| e.to_string())?;
            (ip.source().into(), ip.destination().into(), ip.payload())
        };
        let udp = Udp::parse(carried).map_err(|e| e.to_string())?;
        if udp.checksum() == [0, 0] || !udp.checksum_holds(from, to) {
            return Err("UDP checksum missing or wrong".into());
        }
        let destination = SocketAddr::new(to, udp.destination_port());
        if destination != local {
            return Err(format!("for {destination}, not for {local}"));
        }
        let rtp = Rtp::parse(udp.payload()).map_err(|e| e.to_string())?;
        Ok(Received {
            marker: rtp.marker(),
            payload_type: rtp.payload_type(),
            sequence: rtp.sequence(),
            timestamp: rtp.timestamp(),
            ssrc: rtp.ssrc(),
            source: A::of(SocketAddr::new(from, udp.source_port())).ok_or("from the other address family")?,
            payload: rtp.payload().to_vec(),
        })
    }
}

/// A frame with anything over IPv4 or IPv6, whichever both addresses are.
fn ip_frame(
    mac: MacAddress,
    peer_mac: MacAddress,
    addresses: (IpAddr, IpAddr),
    protocol: u8,
    time_to_live: u8,
    carried: &[u8],
) -> Vec<u8> {
    let mut ethernet = [0; ethernet::HEADER_LEN];
    match addresses {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            EthernetFields { destination: peer_mac, source: mac, ethertype: ETHERTYPE_IPV4 }.write(&mut ethernet);
            let mut ip = [0; ipv4::HEADER_LEN];
            let total_length = (ipv4::HEADER_LEN + carried.len()) as u16;
            Ipv4Fields { traffic_class: 0, total_length, time_to_live, protocol, source, destination }.write(&mut ip);
            [&ethernet[..], &ip, carried].concat()
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            EthernetFields { destination: peer_mac, source: mac, ethertype: ETHERTYPE_IPV6 }.write(&mut ethernet);
            let mut ip = [0; ipv6::HEADER_LEN];
            let payload_length = carried.len() as u16;
            let fields =
                Ipv6Fields { traffic_class: 0, payload_length, protocol, hop_limit: time_to_live, source, destination };
            fields.write(&mut ip);
            [&ethernet[..], &ip, carried].concat()
        }
        (source, destination) => panic!("{source} and {destination} are not of one family"),
    }
}

fn arp_frame(arp: &Arp, destination: MacAddress) -> Vec<u8> {
    let mut ethernet = [0; ethernet::HEADER_LEN];
    EthernetFields { destination, source: arp.sender_mac, ethertype: ETHERTYPE_ARP }.write(&mut ethernet);
    let mut packet = [0; PACKET_LEN];
    arp.write(&mut packet);
    [&ethernet[..], &packet].concat()
}

/// Asks everybody who has `target`.
pub fn arp_request_frame(mac: MacAddress, ip: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
    let arp = Arp {
        operation: Operation::Request,
        sender_mac: mac,
        sender_ip: ip,
        target_mac: MacAddress::default(),
        target_ip: target,
    };
    arp_frame(&arp, MacAddress::BROADCAST)
}

/// Answers the ARP request in `frame` with `mac`; `None` when it is no ARP request.
pub fn arp_reply_frame(frame: &[u8], mac: MacAddress) -> Option<Vec<u8>> {
    let ethernet = Ethernet::parse(frame).ok().filter(|e| e.ethertype() == ETHERTYPE_ARP)?;
    let request = Arp::parse(ethernet.payload()).ok().filter(|arp| arp.operation == Operation::Request)?;
    let reply = Arp {
        operation: Operation::Reply,
        sender_mac: mac,
        sender_ip: request.target_ip,
        target_mac: request.sender_mac,
        target_ip: request.sender_ip,
    };
    Some(arp_frame(&reply, request.sender_mac))
}

/// Asks everybody who has `target`, over IPv6. From the unspecified address it is a probe, without a hardware address.
pub fn solicitation_frame(mac: MacAddress, source: Ipv6Addr, target: Ipv6Addr) -> Vec<u8> {
    let group = ipv6::solicited_node(target);
    let fields = NeighbourFields { source, destination: group, target, link_layer: mac };
    let mut message = [0; NEIGHBOUR_LEN];
    fields.write_solicitation(&mut message);
    let mut message = message.to_vec();
    if source.is_unspecified() {
        message.truncate(24);
        message[2..4].fill(0);
        let sum = Sum::of_pseudo_header(source.into(), group.into(), icmpv6::PROTOCOL).and_u16(24);
        let checksum = sum.and(Sum::of(&message)).checksum();
        message[2..4].copy_from_slice(&checksum);
    }
    let addresses = (source.into(), group.into());
    ip_frame(mac, ipv6::multicast_mac(group), addresses, icmpv6::PROTOCOL, icmpv6::NEIGHBOUR_HOP_LIMIT, &message)
}

/// A question who listens to `group`, or to any (RFC 3810 §5.1).
pub fn listener_query_frame(mac: MacAddress, source: Ipv6Addr, group: Option<Ipv6Addr>) -> Vec<u8> {
    let to = group.unwrap_or(ipv6::ALL_NODES);
    let mut message = [0; 28];
    message[0] = 130;
    message[8..24].copy_from_slice(&group.unwrap_or(Ipv6Addr::UNSPECIFIED).octets());
    let sum = Sum::of_pseudo_header(source.into(), to.into(), icmpv6::PROTOCOL).and_u16(28);
    let checksum = sum.and(Sum::of(&message)).checksum();
    message[2..4].copy_from_slice(&checksum);
    ip_frame(mac, ipv6::multicast_mac(to), (source.into(), to.into()), icmpv6::PROTOCOL, 1, &message)
}

/// Answers the neighbour solicitation in `frame` with `mac`; `None` when it is none.
pub fn advertisement_frame(frame: &[u8], mac: MacAddress) -> Option<Vec<u8>> {
    let ethernet = Ethernet::parse(frame).ok().filter(|e| e.ethertype() == ETHERTYPE_IPV6)?;
    let ip = Ipv6::parse(ethernet.payload()).ok().filter(|ip| ip.protocol() == icmpv6::PROTOCOL)?;
    let asked = Icmpv6::parse(ip.payload(), ip.source(), ip.destination(), ip.hop_limit());
    let Ok(Icmpv6::Solicitation { target, link_layer: Some(asker) }) = asked else { return None };
    let fields = NeighbourFields { source: target, destination: ip.source(), target, link_layer: mac };
    let mut message = [0; NEIGHBOUR_LEN];
    fields.write_advertisement(&mut message, true);
    let addresses = (target.into(), ip.source().into());
    Some(ip_frame(mac, asker, addresses, icmpv6::PROTOCOL, icmpv6::NEIGHBOUR_HOP_LIMIT, &message))
}

/// An ICMP or ICMPv6 echo request from `endpoint` to its peer's address.
pub fn echo_request_frame<A: Side>(endpoint: &Endpoint<A>, data: &[u8]) -> Vec<u8> {
    let (local, peer): (SocketAddr, SocketAddr) = (endpoint.local.into(), endpoint.peer.into());
    let over_ipv4 = local.is_ipv4();
    let mut message = [&[if over_ipv4 { 8 } else { 128 }, 0, 0, 0, 0x12, 0x34, 0, 1], data].concat();
    let (protocol, pseudo_header) = if over_ipv4 {
        (tandem_wire::icmp::PROTOCOL, Sum::ZERO)
    } else {
        let sum = Sum::of_pseudo_header(local.ip(), peer.ip(), icmpv6::PROTOCOL);
        (icmpv6::PROTOCOL, sum.and_u16(message.len() as u16))
    };
    let checksum = pseudo_header.and(Sum::of(&message)).checksum();
    message[2..4].copy_from_slice(&checksum);
    endpoint.packet(protocol, 5, &message)
}
