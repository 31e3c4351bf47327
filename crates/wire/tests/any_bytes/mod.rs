//! Reads any octets as everything they could be, down to the last field; shared by the property test and the fuzz target.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tandem_wire::arp::Arp;
use tandem_wire::checksum::Sum;
use tandem_wire::demux;
use tandem_wire::ethernet::{ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, Ethernet};
use tandem_wire::icmp::{self, IcmpMut};
use tandem_wire::icmpv6::{self, Icmpv6};
use tandem_wire::ipv4::Ipv4;
use tandem_wire::ipv6::{self, Ipv6};
use tandem_wire::rtcp::Rtcp;
use tandem_wire::rtp::{Rtp, RtpFields};
use tandem_wire::udp::{self, Udp};
use tandem_wire::xr::VOIP_METRICS_LEN;

/// Reads `octets` as a frame, then as each protocol by itself.
pub(crate) fn read(octets: &[u8]) {
    frame(octets);
    arp(octets);
    ipv4(octets);
    ipv6(octets);
    icmp(octets);
    icmpv6(octets, Ipv6Addr::LOCALHOST);
    datagram(octets, Ipv4Addr::LOCALHOST.into());
    payload(octets);
}

fn frame(octets: &[u8]) {
    let Ok(ethernet) = Ethernet::parse(octets) else { return };
    assert!(ethernet.payload().len() < octets.len());
    let _ = (ethernet.destination().is_multicast(), ethernet.source(), ethernet.vlan());
    match ethernet.ethertype() {
        ETHERTYPE_IPV4 => ipv4(ethernet.payload()),
        ETHERTYPE_IPV6 => ipv6(ethernet.payload()),
        ETHERTYPE_ARP => arp(ethernet.payload()),
        _ => {}
    }
}

fn arp(octets: &[u8]) {
    let Ok(arp) = Arp::parse(octets) else { return };
    let mut written = [0; tandem_wire::arp::PACKET_LEN];
    arp.write(&mut written);
    assert_eq!(written, octets[..written.len()]);
}

fn ipv4(octets: &[u8]) {
    let Ok(ip) = Ipv4::parse(octets) else { return };
    assert!(ip.header_len() + ip.payload().len() <= octets.len());
    assert_eq!(ip.checksum_holds(), Sum::of(&octets[..ip.header_len()]).is_valid());
    let _ = (ip.fragment(), ip.traffic_class(), ip.destination());
    match ip.protocol() {
        udp::PROTOCOL => datagram(ip.payload(), ip.source().into()),
        icmp::PROTOCOL => icmp(ip.payload()),
        _ => {}
    }
}

fn ipv6(octets: &[u8]) {
    let Ok(ip) = Ipv6::parse(octets) else { return };
    assert!(ip.header_len() + ip.payload().len() <= octets.len());
    assert!(ip.header_len() <= ipv6::HEADER_LEN + ipv6::MAX_EXTENSION_LEN);
    let _ = (ip.traffic_class(), ip.hop_limit(), ip.destination());
    if ip.fragment().is_some() {
        let data = ip.fragment_data(octets).expect("a fragment has data, if none of it");
        assert!(data.len() >= ip.payload().len() && ip.fragment_protocol(octets).is_some());
    }
    match ip.protocol() {
        udp::PROTOCOL => datagram(ip.payload(), ip.source().into()),
        icmpv6::PROTOCOL => icmpv6(ip.payload(), ip.source()),
        _ => {}
    }
}

fn icmpv6(octets: &[u8], source: Ipv6Addr) {
    if let Ok(Icmpv6::EchoRequest) = Icmpv6::parse(octets, source, Ipv6Addr::LOCALHOST, 255) {
        let mut reply = octets.to_vec();
        icmpv6::make_echo_reply(&mut reply);
        assert_ne!(reply, octets);
    }
}

fn icmp(octets: &[u8]) {
    let mut octets = octets.to_vec();
    let Ok(message) = IcmpMut::parse(&mut octets) else { return };
    let held = message.checksum_holds();
    if message.is_echo_request() {
        message.into_echo_reply();
        assert_eq!(IcmpMut::parse(&mut octets).expect("as long as before").checksum_holds(), held);
    }
}

fn datagram(octets: &[u8], source: IpAddr) {
    let Ok(udp) = Udp::parse(octets) else { return };
    assert!(udp.payload().len() < octets.len());
    let _ = (udp.source_port(), udp.destination_port(), udp.checksum_holds(source, Ipv4Addr::LOCALHOST.into()));
    payload(udp.payload());
}

fn payload(octets: &[u8]) {
    let _ = demux::classify(octets);
    if let Ok(rtp) = Rtp::parse(octets) {
        assert!(rtp.header_len() + rtp.payload().len() <= octets.len());
        assert!(rtp.csrcs().len() <= 15);
        let fields = RtpFields {
            marker: rtp.marker(),
            payload_type: rtp.payload_type(),
            sequence: rtp.sequence(),
            timestamp: rtp.timestamp(),
            ssrc: rtp.ssrc(),
        };
        let mut copy = octets.to_vec();
        fields.rewrite(copy.first_chunk_mut().expect("a whole header"));
        assert_eq!(copy, octets, "what was read is what is written");
    }
    let mut rest = octets;
    while let Ok((packet, remaining)) = Rtcp::split(rest) {
        assert!(packet.body.len() + remaining.len() < rest.len());
        if let Some(report) = packet.report() {
            assert_eq!(report.blocks().count(), usize::from(packet.count));
        }
        assert!(packet.leaving().count() <= usize::from(packet.count));
        assert!(packet.voip_metrics().count() <= packet.body.len() / VOIP_METRICS_LEN);
        rest = remaining;
    }
}
