//! Multicast listener discovery (RFC 3810): reports that say which groups somebody listens to. Switches that look into them deliver a
//! group's packets to those alone (RFC 4541), neighbour solicitations too.

use core::net::Ipv6Addr;

use crate::field::put;
use crate::icmpv6;
use crate::ipv6::{HEADER_LEN, Ipv6Fields};

/// To whom reports go (section 5.2.14).
pub const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x16);
/// Octets of an IPv6 packet that reports one group.
pub const REPORT_LEN: usize = HEADER_LEN + OPTIONS_LEN + MESSAGE_LEN;

/// The hop-by-hop header: a router alert (RFC 2711) and padding.
const OPTIONS_LEN: usize = 8;
/// The report with one record.
const MESSAGE_LEN: usize = 28;
const HOP_BY_HOP: u8 = 0;
/// The packet is for its link alone.
const HOP_LIMIT: u8 = 1;
const REPORT: u8 = 143;

/// What is said of a group (section 5.2.12): nobody is excluded whose packets are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Listening {
    /// As an answer to a question.
    GoesOn = 2,
    /// Unasked.
    Ends = 3,
    /// Unasked.
    Begins = 4,
}

/// A report of one group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReportFields {
    /// A link-local address, or none (RFC 3590): then switches believe it and routers do not.
    pub source: Ipv6Addr,
    /// The group.
    pub group: Ipv6Addr,
    /// What is said of it.
    pub listening: Listening,
}

impl ReportFields {
    /// Writes the packet from its IPv6 header on.
    pub fn write(&self, packet: &mut [u8; REPORT_LEN]) {
        let (source, destination) = (self.source, ALL_ROUTERS);
        let payload_length = (OPTIONS_LEN + MESSAGE_LEN) as u16;
        let ip = Ipv6Fields {
            traffic_class: 0,
            payload_length,
            protocol: HOP_BY_HOP,
            hop_limit: HOP_LIMIT,
            source,
            destination,
        };
        let mut message = [0; MESSAGE_LEN];
        put::<0, 8, MESSAGE_LEN>(&mut message, [REPORT, 0, 0, 0, 0, 0, 0, 1]);
        put::<8, 4, MESSAGE_LEN>(&mut message, [self.listening as u8, 0, 0, 0]);
        put::<12, 16, MESSAGE_LEN>(&mut message, self.group.octets());
        let checksum = icmpv6::sum_of(&message, source, destination).checksum();
        put::<2, 2, MESSAGE_LEN>(&mut message, checksum);
        let mut header = [0; HEADER_LEN];
        ip.write(&mut header);
        put::<0, HEADER_LEN, REPORT_LEN>(packet, header);
        put::<HEADER_LEN, OPTIONS_LEN, REPORT_LEN>(packet, [icmpv6::PROTOCOL, 0, 5, 2, 0, 0, 1, 0]);
        put::<{ HEADER_LEN + OPTIONS_LEN }, MESSAGE_LEN, REPORT_LEN>(packet, message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipv6::{Ipv6, solicited_node};

    #[test]
    fn a_report_is_a_packet_of_one_hop_with_a_router_alert_and_a_right_checksum() {
        let group = solicited_node(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0x12, 0x3456));
        let source = Ipv6Addr::UNSPECIFIED;
        let mut packet = [0xee; REPORT_LEN];
        ReportFields { source, group, listening: Listening::Begins }.write(&mut packet);
        let ip = Ipv6::parse(&packet).unwrap();
        assert_eq!((ip.source(), ip.destination(), ip.hop_limit()), (source, ALL_ROUTERS, 1));
        assert_eq!((ip.protocol(), ip.header_len()), (icmpv6::PROTOCOL, HEADER_LEN + 8));
        assert_eq!(packet[40..48], [58, 0, 5, 2, 0, 0, 1, 0]);
        let message = ip.payload();
        assert!(icmpv6::sum_of(message, source, ALL_ROUTERS).is_valid());
        assert_eq!((message[0], &message[4..12]), (143, &[0, 0, 0, 1, 4, 0, 0, 0][..]));
        assert_eq!(message[12..], group.octets());
    }
}
