//! The hardware addresses of next hops: ARP (RFC 826) and neighbour discovery (RFC 4861), with the latter's timers in mind.
//!
//! A neighbour is asked for when the first leg needs it, at installation rather than at the first packet, and is known
//! for as long as some leg uses it. Only addresses that were asked for are learned, so that strangers cannot fill the table.

use std::net::{IpAddr, Ipv4Addr};

use arrayvec::ArrayVec;
use tandem_contract::{Counter, DropReason, Nanos, WorkerCounters};
use tandem_packet_io::PacketBuf;
use tandem_wire::arp::{self, Arp, Operation};
use tandem_wire::ethernet::{ETHERTYPE_ARP, MacAddress};
use tandem_wire::mld::Listening;

use crate::departure::LinkFields;
use crate::discovery::{announce_ipv6, solicit, tell_listening};
use crate::egress::Egress;
use crate::links::{LinkIndex, Links};

/// A place in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NeighbourId(u16);

/// Packets that wait for one neighbour at most.
const WAITING: usize = 4;
/// Between two requests that go unanswered.
const RETRY_NS: u64 = 500_000_000;
/// How long an answer is trusted before it is asked for again; the address stays in use meanwhile.
const REACHABLE_NS: u64 = 30_000_000_000;
/// Requests without an answer after which a known address is given up.
const MAX_UNANSWERED: u8 = 6;
/// The shortest Ethernet frame without its check sequence.
const MIN_FRAME_LEN: usize = 60;

struct Waiting<B> {
    frame: B,
    received_at: Nanos,
}

struct Neighbour<B> {
    address: IpAddr,
    /// Our address that asks, of the same family, and the port it stands on.
    local: IpAddr,
    link: LinkIndex,
    /// Legs that send to it; 0 is a free place.
    users: u32,
    /// When to ask (again).
    ask_at: Nanos,
    unanswered: u8,
    waiting: ArrayVec<Waiting<B>, WAITING>,
}

pub(crate) struct Neighbours<B> {
    /// Read for each packet, and so apart from the rest.
    macs: Box<[Option<MacAddress>]>,
    neighbours: Box<[Neighbour<B>]>,
    /// Places from here on were never used.
    used: usize,
}

impl<B: PacketBuf> Neighbours<B> {
    pub(crate) fn new(capacity: u16) -> Self {
        let unused = || Neighbour {
            address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            local: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            link: LinkIndex(0),
            users: 0,
            ask_at: Nanos(0),
            unanswered: 0,
            waiting: ArrayVec::new(),
        };
        Self {
            macs: vec![None; capacity.into()].into_boxed_slice(),
            neighbours: (0..capacity).map(|_| unused()).collect(),
            used: 0,
        }
    }

    /// Takes note that one more leg sends to `address`, and asks who has it if nobody did so far. `None` when the table
    /// is full.
    pub(crate) fn acquire<E: Egress<Buf = B>>(
        &mut self,
        now: Nanos,
        address: IpAddr,
        (link, local): (LinkIndex, IpAddr),
        links: &Links,
        counters: &WorkerCounters,
        egress: &mut E,
    ) -> Option<NeighbourId> {
        let known =
            self.neighbours[..self.used].iter().position(|n| n.users > 0 && n.address == address && n.link == link);
        if let Some(index) = known {
            self.neighbours[index].users += 1;
            return Some(NeighbourId(index as u16));
        }
        let free = self.neighbours.iter().position(|neighbour| neighbour.users == 0)?;
        self.used = self.used.max(free + 1);
        self.macs[free] = None;
        let neighbour = &mut self.neighbours[free];
        neighbour.address = address;
        (neighbour.local, neighbour.link) = (local, link);
        neighbour.users = 1;
        neighbour.unanswered = 0;
        neighbour.ask(now, None, links.of(link), counters, egress);
        Some(NeighbourId(free as u16))
    }

    /// One leg less sends to it.
    pub(crate) fn release(&mut self, id: NeighbourId, counters: &WorkerCounters) {
        let neighbour = &mut self.neighbours[usize::from(id.0)];
        neighbour.users = neighbour.users.saturating_sub(1);
        if neighbour.users == 0 {
            neighbour.give_up_waiting(counters);
        }
    }

    /// The neighbour's hardware address, if known.
    #[inline]
    pub(crate) fn mac(&self, id: NeighbourId) -> Option<MacAddress> {
        self.macs[usize::from(id.0)]
    }

    /// Keeps a packet that is complete but for its destination until the neighbour answers.
    pub(crate) fn wait(&mut self, id: NeighbourId, frame: B, received_at: Nanos, counters: &WorkerCounters) {
        let waiting = Waiting { frame, received_at };
        if self.neighbours[usize::from(id.0)].waiting.try_push(waiting).is_err() {
            counters.dropped(DropReason::NeighbourUnresolved);
        }
    }

    /// The hardware address of somebody we send to, by the protocol address and the port he is heard on.
    pub(crate) fn known(&self, address: IpAddr, link: Option<LinkIndex>) -> Option<MacAddress> {
        self.find(address, link).and_then(|index| self.macs[index])
    }

    /// Where he is in the table. Where the port is not known, his address must be one on all ports: link-local ones need not be.
    fn find(&self, address: IpAddr, link: Option<LinkIndex>) -> Option<usize> {
        let is_he = |n: &Neighbour<B>| n.users > 0 && n.address == address && link.is_none_or(|link| n.link == link);
        let mut found = self.neighbours[..self.used].iter().enumerate().filter(|(_, n)| is_he(n));
        let (index, _) = found.next()?;
        found.next().is_none().then_some(index)
    }

    /// An ARP packet, an advertisement, or another worker, says who has `address`.
    pub(crate) fn on_answer<E: Egress<Buf = B>>(
        &mut self,
        now: Nanos,
        (address, link): (IpAddr, Option<LinkIndex>),
        mac: MacAddress,
        egress: &mut E,
        forwarded: &Counter,
    ) {
        if mac.is_multicast() {
            return;
        }
        let Some(index) = self.find(address, link) else {
            return;
        };
        self.macs[index] = Some(mac);
        let neighbour = &mut self.neighbours[index];
        neighbour.unanswered = 0;
        neighbour.ask_at = now.plus(REACHABLE_NS);
        for mut waiting in neighbour.waiting.drain(..) {
            if let Some(destination) = waiting.frame.data_mut().first_chunk_mut::<6>() {
                *destination = mac.0;
            }
            forwarded.add(1);
            egress.forward(waiting.frame, waiting.received_at);
        }
    }

    /// Asks for those who did not answer and for those whose answer is old.
    pub(crate) fn on_timeout<E: Egress<Buf = B>>(
        &mut self,
        now: Nanos,
        links: &Links,
        counters: &WorkerCounters,
        egress: &mut E,
    ) {
        for (neighbour, mac) in self.neighbours[..self.used].iter_mut().zip(&mut self.macs) {
            if neighbour.users == 0 || now < neighbour.ask_at {
                continue;
            }
            neighbour.give_up_waiting(counters);
            if neighbour.unanswered >= MAX_UNANSWERED {
                *mac = None;
            }
            // First the one who had the address, then everybody: it may have moved.
            let whom = mac.filter(|_| neighbour.unanswered < MAX_UNANSWERED / 2);
            let link = links.of(neighbour.link);
            neighbour.ask(now, whom, link, counters, egress);
        }
    }
}

impl<B: PacketBuf> Neighbour<B> {
    fn give_up_waiting(&mut self, counters: &WorkerCounters) {
        for _ in self.waiting.drain(..) {
            counters.dropped(DropReason::NeighbourUnresolved);
        }
    }

    fn ask<E: Egress<Buf = B>>(
        &mut self,
        now: Nanos,
        whom: Option<MacAddress>,
        link: &LinkFields,
        counters: &WorkerCounters,
        egress: &mut E,
    ) {
        self.ask_at = now.plus(RETRY_NS);
        self.unanswered = self.unanswered.saturating_add(1);
        match (self.local, self.address) {
            (IpAddr::V4(local), IpAddr::V4(address)) => {
                request(local, address, whom.unwrap_or(MacAddress::BROADCAST), link, counters, egress);
            }
            (IpAddr::V6(local), IpAddr::V6(address)) => solicit(local, address, whom, link, counters, egress),
            // A leg's way out is of one family.
            _ => {}
        }
    }
}

/// Announces that `address` is ours: a request for it that it sends itself (RFC 5227 §3), or an advertisement that nobody
/// asked for (RFC 4861 §7.2.6) behind a report of the group that it is asked for in (RFC 4861 §7.2.1).
pub(crate) fn announce_address<E: Egress>(
    address: IpAddr,
    link: &LinkFields,
    counters: &WorkerCounters,
    egress: &mut E,
) {
    match address {
        IpAddr::V4(address) => request(address, address, MacAddress::BROADCAST, link, counters, egress),
        IpAddr::V6(address) => {
            tell_listening(address, Listening::Begins, link, counters, egress);
            announce_ipv6(address, link, counters, egress);
        }
    }
}

fn request<E: Egress>(
    from: Ipv4Addr,
    target: Ipv4Addr,
    whom: MacAddress,
    link: &LinkFields,
    counters: &WorkerCounters,
    egress: &mut E,
) {
    // Without a buffer the question is put off to the next retry.
    let Some(mut frame) = egress.allocate() else {
        return;
    };
    counters.frames_originated.add(1);
    let arp = Arp {
        operation: Operation::Request,
        sender_mac: link.mac,
        sender_ip: from,
        target_mac: MacAddress::default(),
        target_ip: target,
    };
    if write_arp(&arp, whom, link, &mut frame) {
        egress.send(frame);
    } else {
        counters.dropped(DropReason::BufferExhausted);
    }
}

/// Makes `frame` an ARP packet; `false` when the buffer is too small for one.
pub(crate) fn write_arp<B: PacketBuf>(arp: &Arp, destination: MacAddress, link: &LinkFields, frame: &mut B) -> bool {
    let l2_len = link.l2_len();
    let len = (l2_len + arp::PACKET_LEN).max(MIN_FRAME_LEN);
    if frame.set_len(len).is_err() {
        return false;
    }
    let bytes = frame.data_mut();
    bytes.fill(0);
    link.write_l2(bytes, destination, ETHERTYPE_ARP);
    match bytes.get_mut(l2_len..).and_then(|packet| packet.first_chunk_mut()) {
        Some(packet) => arp.write(packet),
        None => return false,
    }
    true
}
