//! What the engine asks and answers over ICMPv6: neighbour discovery (RFC 4861), echo (RFC 4443) and, so that switches deliver the
//! former, listener discovery (RFC 3810).

use std::net::{IpAddr, Ipv6Addr};

use tandem_contract::{DropReason, Nanos, WorkerCounters};
use tandem_packet_io::PacketBuf;
use tandem_wire::ethernet::{ETHERTYPE_IPV6, Ethernet, MacAddress};
use tandem_wire::icmpv6::{self, Icmpv6, NeighbourFields};
use tandem_wire::ipv6::{self, ALL_NODES, Ipv6, Ipv6Fields, multicast_mac, solicited_node};
use tandem_wire::mld::{self, Listening, ReportFields};

use crate::answer::TIME_TO_LIVE;
use crate::classify::IcmpAt;
use crate::departure::LinkFields;
use crate::egress::Egress;
use crate::engine::Engine;
use crate::links::LinkIndex;

/// An ICMPv6 message, read before its frame is written over.
struct Message {
    source: Ipv6Addr,
    sender_mac: MacAddress,
    asks: Icmpv6,
}

impl<B: PacketBuf> Engine<B> {
    pub(crate) fn on_icmpv6<E: Egress<Buf = B>>(&mut self, now: Nanos, at: IcmpAt, mut frame: B, egress: &mut E) {
        let Some(message) = read(frame.data(), at) else {
            return self.drop_frame(DropReason::IcmpUnhandled);
        };
        let link = self.links.index_of_frame(frame.data());
        match message.asks {
            Icmpv6::EchoRequest => match self.echo_ipv6(now, at, &mut frame) {
                Ok(()) => {
                    self.counters.control_answered.add(1);
                    egress.send(frame);
                }
                Err(reason) => self.drop_frame(reason),
            },
            Icmpv6::ListenerQuery { group } => {
                self.counters.frames_consumed.add(1);
                self.tell_groups(now, link, group, egress);
            }
            Icmpv6::Advertisement { target, link_layer, overrides, .. } => {
                self.counters.frames_consumed.add(1);
                let known = self.neighbours.known(target.into(), link);
                // Without an option it confirms what is known (RFC 4861 §7.2.5); without the flag it replaces nothing.
                let mac = link_layer.filter(|mac| overrides || known.is_none_or(|known| known == *mac));
                if let Some(mac) = mac.or(known.filter(|_| link_layer.is_none())) {
                    self.on_neighbour_heard(now, (target, link), mac, egress);
                }
            }
            Icmpv6::Solicitation { target, link_layer } => {
                let ours = self.ports.address(target.into());
                if let Some(mac) = link_layer {
                    let link = link.or(ours.map(|ours| self.ports.link(ours)));
                    self.on_neighbour_heard(now, (message.source, link), mac, egress);
                }
                let Some(ours) = ours else {
                    self.counters.frames_consumed.add(1);
                    return;
                };
                let link = self.links.of(self.ports.link(ours));
                // Who asks whether the address is free has none of its own: everybody is told (RFC 4861 §7.2.4).
                let is_probe = message.source.is_unspecified();
                let (to, mac) = if is_probe {
                    (ALL_NODES, multicast_mac(ALL_NODES))
                } else {
                    (message.source, link_layer.unwrap_or(message.sender_mac))
                };
                let answer = NeighbourFields { source: target, destination: to, target, link_layer: link.mac };
                if write_neighbour(answer, Says::Here { solicited: !is_probe }, mac, link, &mut frame) {
                    self.counters.control_answered.add(1);
                    egress.send(frame);
                } else {
                    self.drop_frame(DropReason::BufferExhausted);
                }
            }
        }
    }

    fn on_neighbour_heard<E: Egress<Buf = B>>(
        &mut self,
        now: Nanos,
        (address, link): (Ipv6Addr, Option<LinkIndex>),
        mac: MacAddress,
        egress: &mut E,
    ) {
        if address.is_unspecified() || self.ports.address(address.into()).is_some() {
            return;
        }
        self.learn_neighbour(now, (IpAddr::V6(address), link), mac, egress);
    }

    /// Tells which groups are listened to on a link, at once: there are few, and who asks them is near.
    fn tell_groups<E: Egress<Buf = B>>(
        &mut self,
        now: Nanos,
        asked_on: Option<LinkIndex>,
        asked_for: Option<Ipv6Addr>,
        egress: &mut E,
    ) {
        for (link, address) in self.ports.local_addresses() {
            let IpAddr::V6(address) = address else { continue };
            let is_asked_for = asked_for.is_none_or(|group| group == solicited_node(address));
            let is_there = asked_on.is_none_or(|asked| asked == link);
            if is_asked_for && is_there && self.echo_limit.permit(now) {
                tell_listening(address, Listening::GoesOn, self.links.of(link), &self.counters, egress);
            }
        }
    }

    /// Turns an echo request into its reply where it lies.
    fn echo_ipv6(&mut self, now: Nanos, at: IcmpAt, frame: &mut B) -> Result<(), DropReason> {
        let (ip_at, at, len) = (usize::from(at.ip_at), usize::from(at.at), usize::from(at.len));
        // One to a group would be answered by an address of ours, and multiplied by however many listen.
        if frame.data().first().is_some_and(|first| first & 1 == 1) {
            return Err(DropReason::IcmpUnhandled);
        }
        if !self.echo_limit.permit(now) {
            return Err(DropReason::IcmpRateLimited);
        }
        frame.set_len(at + len).map_err(|_| DropReason::FrameTruncated)?;
        let bytes = frame.data_mut();
        icmpv6::make_echo_reply(bytes.get_mut(at..).ok_or(DropReason::FrameTruncated)?);
        let (destination, rest) = bytes.split_first_chunk_mut::<6>().ok_or(DropReason::FrameTruncated)?;
        let source = rest.first_chunk_mut::<6>().ok_or(DropReason::FrameTruncated)?;
        std::mem::swap(destination, source);
        let header = bytes.get_mut(ip_at..ip_at + ipv6::HEADER_LEN).ok_or(DropReason::FrameTruncated)?;
        header[7] = TIME_TO_LIVE;
        let (from, to) = header[8..40].split_at_mut(16);
        from.swap_with_slice(to);
        Ok(())
    }
}

fn read(frame: &[u8], at: IcmpAt) -> Option<Message> {
    let sender_mac = Ethernet::parse(frame).ok()?.source();
    let ip = Ipv6::parse(frame.get(usize::from(at.ip_at)..)?).ok()?;
    let message = frame.get(usize::from(at.at)..)?.get(..usize::from(at.len))?;
    let asks = Icmpv6::parse(message, ip.source(), ip.destination(), ip.hop_limit()).ok()?;
    Some(Message { source: ip.source(), sender_mac, asks })
}

/// Asks `whom`, or everybody, who has `target`.
pub(crate) fn solicit<E: Egress>(
    source: Ipv6Addr,
    target: Ipv6Addr,
    whom: Option<MacAddress>,
    link: &LinkFields,
    counters: &WorkerCounters,
    egress: &mut E,
) {
    let destination = if whom.is_some() { target } else { solicited_node(target) };
    let fields = NeighbourFields { source, destination, target, link_layer: link.mac };
    let mac = whom.unwrap_or(multicast_mac(destination));
    originate(fields, Says::WhoHas, mac, link, counters, egress);
}

/// Tells switches and routers whether somebody listens to the group that `address` is asked for in.
pub(crate) fn tell_listening<E: Egress>(
    address: Ipv6Addr,
    listening: Listening,
    link: &LinkFields,
    counters: &WorkerCounters,
    egress: &mut E,
) {
    let source = if address.is_unicast_link_local() { address } else { Ipv6Addr::UNSPECIFIED };
    let report = ReportFields { source, group: solicited_node(address), listening };
    let Some(mut frame) = egress.allocate() else { return };
    counters.frames_originated.add(1);
    let l2_len = link.l2_len();
    let is_long_enough = frame.set_len(l2_len + mld::REPORT_LEN).is_ok();
    let bytes = frame.data_mut();
    match bytes.get_mut(l2_len..).and_then(|packet| packet.first_chunk_mut()) {
        Some(packet) if is_long_enough => report.write(packet),
        _ => return counters.dropped(DropReason::BufferExhausted),
    }
    link.write_l2(bytes, multicast_mac(mld::ALL_ROUTERS), ETHERTYPE_IPV6);
    egress.send(frame);
}

/// Tells everybody that `address` is ours.
pub(crate) fn announce_ipv6<E: Egress>(
    address: Ipv6Addr,
    link: &LinkFields,
    counters: &WorkerCounters,
    egress: &mut E,
) {
    let fields = NeighbourFields { source: address, destination: ALL_NODES, target: address, link_layer: link.mac };
    originate(fields, Says::Here { solicited: false }, multicast_mac(ALL_NODES), link, counters, egress);
}

fn originate<E: Egress>(
    fields: NeighbourFields,
    says: Says,
    mac: MacAddress,
    link: &LinkFields,
    counters: &WorkerCounters,
    egress: &mut E,
) {
    // Without a buffer the question is put off to the next retry.
    let Some(mut frame) = egress.allocate() else {
        return;
    };
    counters.frames_originated.add(1);
    if write_neighbour(fields, says, mac, link, &mut frame) {
        egress.send(frame);
    } else {
        counters.dropped(DropReason::BufferExhausted);
    }
}

/// What a message of neighbour discovery says.
#[derive(Clone, Copy)]
enum Says {
    WhoHas,
    Here { solicited: bool },
}

/// Makes `frame` a message of neighbour discovery; `false` when the buffer is too small for one.
fn write_neighbour<B: PacketBuf>(
    fields: NeighbourFields,
    says: Says,
    destination: MacAddress,
    link: &LinkFields,
    frame: &mut B,
) -> bool {
    let l2_len = link.l2_len();
    if frame.set_len(l2_len + ipv6::HEADER_LEN + icmpv6::NEIGHBOUR_LEN).is_err() {
        return false;
    }
    let bytes = frame.data_mut();
    link.write_l2(bytes, destination, ETHERTYPE_IPV6);
    let ip = Ipv6Fields {
        traffic_class: 0,
        payload_length: icmpv6::NEIGHBOUR_LEN as u16,
        protocol: icmpv6::PROTOCOL,
        hop_limit: icmpv6::NEIGHBOUR_HOP_LIMIT,
        source: fields.source,
        destination: fields.destination,
    };
    let Some((header, message)) = bytes.get_mut(l2_len..).and_then(|packet| packet.split_first_chunk_mut()) else {
        return false;
    };
    ip.write(header);
    let Some(message) = message.first_chunk_mut() else {
        return false;
    };
    match says {
        Says::WhoHas => fields.write_solicitation(message),
        Says::Here { solicited } => fields.write_advertisement(message, solicited),
    }
    true
}
