use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};

use tandem_wire::arp::{Arp, Operation, PACKET_LEN};
use tandem_wire::checksum::Sum;
use tandem_wire::ethernet::{self, ETHERTYPE_ARP, ETHERTYPE_IPV4, Ethernet, EthernetFields, MacAddress};
use tandem_wire::ipv4::{self, Ipv4, Ipv4Fields};
use tandem_wire::rtp::{self, Rtp, RtpFields};
use tandem_wire::udp::{self, Udp, UdpFields};

/// An RTP endpoint on an Ethernet link: what it sends is complete to the last checksum, and what it receives it checks as
/// strictly.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Its hardware address.
    pub mac: MacAddress,
    /// Where it sends from and receives.
    pub local: SocketAddrV4,
    /// The gateway's hardware address.
    pub peer_mac: MacAddress,
    /// Where it sends to.
    pub peer: SocketAddrV4,
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
pub struct Received {
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
    pub source: SocketAddrV4,
    /// The payload.
    pub payload: Vec<u8>,
}

impl Endpoint {
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
        let udp_len = udp::HEADER_LEN + payload.len();
        let mut ethernet = [0; ethernet::HEADER_LEN];
        EthernetFields { destination: self.peer_mac, source: self.mac, ethertype: ETHERTYPE_IPV4 }.write(&mut ethernet);
        let mut ip = [0; ipv4::HEADER_LEN];
        Ipv4Fields {
            traffic_class: 0,
            total_length: (ipv4::HEADER_LEN + udp_len) as u16,
            time_to_live: 63,
            protocol: udp::PROTOCOL,
            source: *self.local.ip(),
            destination: *self.peer.ip(),
        }
        .write(&mut ip);
        let mut header = [0; udp::HEADER_LEN];
        let fields =
            UdpFields { source_port: self.local.port(), destination_port: self.peer.port(), length: udp_len as u16 };
        fields.write(&mut header);
        let mut datagram = [&header, payload].concat();
        let checksum = udp::checksum_of(IpAddr::V4(*self.local.ip()), IpAddr::V4(*self.peer.ip()), &datagram);
        datagram[6..8].copy_from_slice(&checksum);
        [&ethernet[..], &ip, &datagram].concat()
    }

    /// Reads a frame that should be RTP for this endpoint.
    ///
    /// # Errors
    /// What is wrong with it, in words for a failing test.
    pub fn receive(&self, frame: &[u8]) -> Result<Received, String> {
        let ethernet = Ethernet::parse(frame).map_err(|e| e.to_string())?;
        let expected = (self.mac, self.peer_mac, ETHERTYPE_IPV4);
        let found = (ethernet.destination(), ethernet.source(), ethernet.ethertype());
        if found != expected {
            return Err(format!("Ethernet header {found:?}, expected {expected:?}"));
        }
        let ip = Ipv4::parse(ethernet.payload()).map_err(|e| e.to_string())?;
        if !ip.checksum_holds() {
            return Err("IPv4 header checksum wrong".into());
        }
        let udp = Udp::parse(ip.payload()).map_err(|e| e.to_string())?;
        if udp.checksum() == [0, 0] || !udp.checksum_holds(ip.source().into(), ip.destination().into()) {
            return Err("UDP checksum missing or wrong".into());
        }
        let destination = SocketAddrV4::new(ip.destination(), udp.destination_port());
        if destination != self.local {
            return Err(format!("for {destination}, not for {}", self.local));
        }
        let rtp = Rtp::parse(udp.payload()).map_err(|e| e.to_string())?;
        Ok(Received {
            marker: rtp.marker(),
            payload_type: rtp.payload_type(),
            sequence: rtp.sequence(),
            timestamp: rtp.timestamp(),
            ssrc: rtp.ssrc(),
            source: SocketAddrV4::new(ip.source(), udp.source_port()),
            payload: rtp.payload().to_vec(),
        })
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

/// An ICMP echo request from `endpoint` to its peer's address.
pub fn echo_request_frame(endpoint: &Endpoint, data: &[u8]) -> Vec<u8> {
    let mut message = [&[8, 0, 0, 0, 0x12, 0x34, 0, 1], data].concat();
    let checksum = Sum::of(&message).checksum();
    message[2..4].copy_from_slice(&checksum);
    let mut ethernet = [0; ethernet::HEADER_LEN];
    EthernetFields { destination: endpoint.peer_mac, source: endpoint.mac, ethertype: ETHERTYPE_IPV4 }
        .write(&mut ethernet);
    let mut ip = [0; ipv4::HEADER_LEN];
    Ipv4Fields {
        traffic_class: 0,
        total_length: (ipv4::HEADER_LEN + message.len()) as u16,
        time_to_live: 5,
        protocol: tandem_wire::icmp::PROTOCOL,
        source: *endpoint.local.ip(),
        destination: *endpoint.peer.ip(),
    }
    .write(&mut ip);
    [&ethernet[..], &ip, &message].concat()
}
