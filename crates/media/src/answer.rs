//! What the engine answers by itself over IPv4: ARP and ICMP echo.

use std::net::IpAddr;

use tandem_contract::{DropReason, Nanos};
use tandem_packet_io::PacketBuf;
use tandem_wire::arp::{Arp, Operation};
use tandem_wire::checksum::Sum;
use tandem_wire::ethernet::MacAddress;
use tandem_wire::icmp::IcmpMut;

use crate::classify::IcmpAt;
use crate::egress::Egress;
use crate::engine::Engine;
use crate::links::LinkIndex;
use crate::neighbours::write_arp;

/// Hops that an answer may take.
pub(crate) const TIME_TO_LIVE: u8 = 64;

impl<B: PacketBuf> Engine<B> {
    /// Another worker of the ports heard which hardware address a neighbour has; `port` is where, if that is known.
    pub fn on_neighbour<E: Egress<Buf = B>>(
        &mut self,
        now: Nanos,
        (address, port): (IpAddr, Option<u8>),
        mac: MacAddress,
        egress: &mut E,
    ) {
        let link = port.and_then(|port| self.links.index(port));
        self.neighbours.on_answer(now, (address, link), mac, egress, &self.counters.rtp_forwarded);
    }

    /// This worker heard it, and tells the others.
    pub(crate) fn learn_neighbour<E: Egress<Buf = B>>(
        &mut self,
        now: Nanos,
        (address, link): (IpAddr, Option<LinkIndex>),
        mac: MacAddress,
        egress: &mut E,
    ) {
        self.neighbours.on_answer(now, (address, link), mac, egress, &self.counters.rtp_forwarded);
        if self.workers > 1 {
            egress.announce(address, link.map(|link| link.0), mac);
        }
    }

    pub(crate) fn on_arp<E: Egress<Buf = B>>(&mut self, now: Nanos, arp: &Arp, mut frame: B, egress: &mut E) {
        // A probe (RFC 5227) has no sender address yet, and nobody has ours.
        if !arp.sender_ip.is_unspecified() && self.ports.address(arp.sender_ip.into()).is_none() {
            let asked = self.ports.address(arp.target_ip.into()).map(|ours| self.ports.link(ours));
            let link = self.links.index_of_frame(frame.data()).or(asked);
            self.learn_neighbour(now, (arp.sender_ip.into(), link), arp.sender_mac, egress);
        }
        let target = self.ports.address(arp.target_ip.into()).filter(|_| arp.operation == Operation::Request);
        let Some(target) = target else {
            self.counters.frames_consumed.add(1);
            return;
        };
        let link = self.links.of(self.ports.link(target));
        let reply = Arp {
            operation: Operation::Reply,
            sender_mac: link.mac,
            sender_ip: arp.target_ip,
            target_mac: arp.sender_mac,
            target_ip: arp.sender_ip,
        };
        if write_arp(&reply, arp.sender_mac, link, &mut frame) {
            self.counters.control_answered.add(1);
            egress.send(frame);
        } else {
            self.drop_frame(DropReason::ArpMalformed);
        }
    }

    pub(crate) fn on_icmp<E: Egress<Buf = B>>(&mut self, now: Nanos, at: IcmpAt, mut frame: B, egress: &mut E) {
        match self.echo(now, at, &mut frame) {
            Ok(()) => {
                self.counters.control_answered.add(1);
                egress.send(frame);
            }
            Err(reason) => self.drop_frame(reason),
        }
    }

    /// Turns an echo request into its reply where it lies.
    fn echo(&mut self, now: Nanos, at: IcmpAt, frame: &mut B) -> Result<(), DropReason> {
        let (ip_at, at, len) = (usize::from(at.ip_at), usize::from(at.at), usize::from(at.len));
        let message = frame.data_mut().get_mut(at..at + len).ok_or(DropReason::FrameTruncated)?;
        let icmp = IcmpMut::parse(message).map_err(|_| DropReason::FrameTruncated)?;
        if !icmp.is_echo_request() || !icmp.checksum_holds() {
            return Err(DropReason::IcmpUnhandled);
        }
        if !self.echo_limit.permit(now) {
            return Err(DropReason::IcmpRateLimited);
        }
        icmp.into_echo_reply();
        frame.set_len(at + len).map_err(|_| DropReason::FrameTruncated)?;
        let bytes = frame.data_mut();
        let (destination, rest) = bytes.split_first_chunk_mut::<6>().ok_or(DropReason::FrameTruncated)?;
        let source = rest.first_chunk_mut::<6>().ok_or(DropReason::FrameTruncated)?;
        std::mem::swap(destination, source);
        let header = bytes.get_mut(ip_at..at).ok_or(DropReason::FrameTruncated)?;
        header[8] = TIME_TO_LIVE;
        header[10..12].fill(0);
        let (from, to) = header[12..20].split_at_mut(4);
        from.swap_with_slice(to);
        let checksum = Sum::of(header).checksum();
        header[10..12].copy_from_slice(&checksum);
        Ok(())
    }
}
