//! Addresses that come and go while the engine runs.

use std::net::{IpAddr, Ipv6Addr};

use arrayvec::ArrayVec;
use tandem_contract::{DropReason, Event, LegSide, LocalAddress, Nanos, Refusal, WorkerId};
use tandem_packet_io::PacketBuf;
use tandem_wire::ipv6::solicited_node;
use tandem_wire::mld::Listening;

use crate::discovery::tell_listening;
use crate::egress::Egress;
use crate::engine::Engine;
use crate::flow::leg_of;
use crate::links::LinkIndex;
use crate::neighbours::announce_address;
use crate::port_table::StreamIndex;
use crate::stream::Exit;

/// An address that came is announced once more after so long: ANNOUNCE_NUM is 2 and ANNOUNCE_INTERVAL 2 s in RFC 5227
/// §1.1, and RFC 4861 §7.2.6 allows as much.
const ANNOUNCE_INTERVAL_NS: u64 = 2_000_000_000;

/// Announcements to be repeated, and when.
pub(crate) type Announcements = ArrayVec<(LinkIndex, IpAddr, Nanos), { LocalAddress::MOST }>;

impl<B: PacketBuf> Engine<B> {
    /// Makes an address ours. It is not probed for first (RFC 5227 §2.1): whoever adds it has taken it over.
    pub(crate) fn add_address(&mut self, request: u32, (port, local): (u8, LocalAddress)) -> Event {
        let Some(link) = self.links.index(port) else {
            return Event::AddressRefused { request, reason: Refusal::UnknownPort };
        };
        if !self.ports.add(link, local) {
            return Event::AddressRefused { request, reason: Refusal::AddressesExhausted };
        }
        Event::AddressAdded { request }
    }

    /// Tells the link, now and a little later, that an address is ours.
    pub(crate) fn announce<E: Egress<Buf = B>>(
        &mut self,
        now: Nanos,
        request: u32,
        address: IpAddr,
        egress: &mut E,
    ) -> Event {
        let Some(link) = self.ports.address(address).map(|ours| self.ports.link(ours)) else {
            return Event::AddressRefused { request, reason: Refusal::LocalAddressNotOurs };
        };
        // One worker speaks for its ports.
        if self.worker == WorkerId(0) {
            announce_address(address, self.links.of(link), &self.counters, egress);
            self.announcements.retain(|(_, announced, _)| *announced != address);
            // There is a place for each address; one that is left out was announced once.
            let _ = self.announcements.try_push((link, address, now.plus(ANNOUNCE_INTERVAL_NS)));
        }
        Event::AddressAnnounced { request }
    }

    /// Makes an address ours no more. Flows that use it are found by the next sweep over the table, which bounds the work.
    pub(crate) fn remove_address<E: Egress<Buf = B>>(
        &mut self,
        request: u32,
        address: IpAddr,
        egress: &mut E,
    ) -> Event {
        self.announcements.retain(|(_, announced, _)| *announced != address);
        let link = self.ports.address(address).map(|ours| self.ports.link(ours));
        if !self.ports.remove(address) {
            return Event::AddressRefused { request, reason: Refusal::LocalAddressNotOurs };
        }
        if let (Some(link), IpAddr::V6(address), WorkerId(0)) = (link, address, self.worker)
            && !self.listens_for(link, address)
        {
            tell_listening(address, Listening::Ends, self.links.of(link), &self.counters, egress);
        }
        Event::AddressRemoved { request }
    }

    /// Whether an address of ours is asked for in the same group as `address`.
    fn listens_for(&self, link: LinkIndex, address: Ipv6Addr) -> bool {
        let group = solicited_node(address);
        self.ports
            .local_addresses()
            .any(|(on, other)| matches!(other, IpAddr::V6(other) if on == link && solicited_node(other) == group))
    }

    /// Announces again what is due.
    pub(crate) fn repeat_announcements<E: Egress<Buf = B>>(&mut self, now: Nanos, egress: &mut E) {
        let (links, counters) = (&self.links, &self.counters);
        self.announcements.retain(|(link, address, due)| {
            let is_due = now >= *due;
            if is_due {
                announce_address(*address, links.of(*link), counters, egress);
            }
            !is_due
        });
    }

    /// What the going and coming of addresses means for one stream: its leg is told of, and what leaves by an address is
    /// stopped or goes on.
    pub(crate) fn look_after_address<E: Egress<Buf = B>>(&mut self, now: Nanos, index: StreamIndex, egress: &mut E) {
        let (slot, leg) = leg_of(index);
        let Some(flow) = &self.flows[slot as usize] else { return };
        let [receives, sends] = [leg, leg.other()].map(|leg: LegSide| self.ports.is_present(flow.locals[leg.index()]));
        let rare = &mut self.rare[index.at()];
        if receives {
            rare.address_lost_reported = false;
        } else if !rare.address_lost_reported {
            rare.address_lost_reported = self.events.push(Event::AddressLost { flow: flow.id, leg });
        }
        let stands_still = matches!(self.streams[index.at()].exit, Exit::Closed(DropReason::AddressLost));
        if sends == stands_still {
            self.open_exit(now, index, egress);
        }
    }
}
