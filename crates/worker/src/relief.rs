//! Frames that come while this node's addresses move to another, as planned.
//!
//! What came before was sent. What comes from then on, because the link does not know yet, waits until another node tells the link that
//! it has the address, and is passed on to it unchanged but for the hardware addresses: nothing is said in the name of an address
//! that is not ours any more, and no packet is lost on the way.

use std::collections::VecDeque;
use std::net::IpAddr;

use arrayvec::ArrayVec;
use tandem_contract::{DropReason, LocalAddress, Nanos, WorkerCounters};
use tandem_packet_io::{Burst, PacketBuf};
use tandem_wire::arp::Arp;
use tandem_wire::ethernet::{ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, Ethernet, MacAddress};
use tandem_wire::icmpv6::Icmpv6;
use tandem_wire::ipv4::Ipv4;
use tandem_wire::ipv6::Ipv6;

/// Frames that wait at once. At 50 packets a second and leg, 500 calls for 20 ms.
const HELD: usize = 1024;
/// UDP, as IP numbers it.
const UDP: u8 = 17;

/// What a frame is to a node that is relieved.
enum Kind {
    /// A datagram to this address.
    For(IpAddr),
    /// Its sender has this address.
    Tells(IpAddr, MacAddress),
    Other,
}

/// Frames that wait, and who has which address by now.
pub(crate) struct Relief<B> {
    /// The rest that this is about.
    since: Option<Nanos>,
    has_finished: bool,
    held: VecDeque<B>,
    told: ArrayVec<(IpAddr, MacAddress), { LocalAddress::MOST }>,
}

impl<B: PacketBuf> Relief<B> {
    pub(crate) fn new() -> Self {
        Self { since: None, has_finished: false, held: VecDeque::with_capacity(HELD), told: ArrayVec::new() }
    }

    /// The node rests since then, or does not.
    #[inline]
    pub(crate) fn begin(&mut self, since: Option<Nanos>) {
        if since != self.since {
            self.since = since;
            self.has_finished = false;
            self.told.clear();
        }
    }

    #[inline]
    pub(crate) const fn is_resting(&self) -> bool {
        self.since.is_some()
    }

    /// Whether anything is to be done for it.
    #[inline]
    pub(crate) fn is_idle(&self) -> bool {
        self.since.is_none() && self.held.is_empty()
    }

    /// Whether this is the first time that what was taken is sent.
    pub(crate) fn finishes(&mut self) -> bool {
        self.is_resting() && !std::mem::replace(&mut self.has_finished, true)
    }

    /// Takes the datagrams out of a burst, and tells who says that an address is his.
    pub(crate) fn hold(
        &mut self,
        burst: &mut Burst<B>,
        counters: &WorkerCounters,
        mut tell: impl FnMut(IpAddr, MacAddress),
    ) {
        for frame in burst.take() {
            match kind(frame.data()) {
                Kind::For(_) if self.held.len() < HELD => self.held.push_back(frame),
                Kind::For(_) => counters.dropped(DropReason::NotPermitted),
                kind => {
                    if let Kind::Tells(address, mac) = kind {
                        self.note(address, mac);
                        tell(address, mac);
                    }
                    burst.push(frame);
                }
            }
        }
    }

    /// Another worker heard whose an address is.
    pub(crate) fn note(&mut self, address: IpAddr, mac: MacAddress) {
        self.told.retain(|(known, _)| *known != address);
        // There is a place for each address that this node may have had.
        let _ = self.told.try_push((address, mac));
    }

    /// Some of what waits for an address that another node has, addressed to that node.
    pub(crate) fn pass_on(&mut self, into: &mut Burst<B>) {
        let told = self.told.clone();
        if !told.is_empty() {
            self.sort(into, |frame, to| {
                let whose = told.iter().find(|(address, _)| *address == to);
                whose.is_some_and(|(_, mac)| readdress(frame.data_mut(), *mac))
            });
        }
    }

    /// Some of what waits for an address that is this node's again, or was all the time.
    pub(crate) fn take_back(&mut self, into: &mut Burst<B>, is_ours: impl Fn(IpAddr) -> bool) {
        self.sort(into, |_, to| is_ours(to));
    }

    /// What nobody came for is dropped.
    pub(crate) fn give_up(&mut self, counters: &WorkerCounters) {
        while self.held.pop_front().is_some() {
            counters.dropped(DropReason::NotPermitted);
        }
    }

    /// Takes out what is wanted, as much as there is room for, and keeps the rest in order.
    fn sort(&mut self, into: &mut Burst<B>, mut is_wanted: impl FnMut(&mut B, IpAddr) -> bool) {
        for _ in 0..self.held.len() {
            let Some(mut frame) = self.held.pop_front() else { return };
            match kind(frame.data()) {
                Kind::For(to) if !into.is_full() && is_wanted(&mut frame, to) => into.push(frame),
                _ => self.held.push_back(frame),
            }
        }
    }
}

/// From the port that the frame came to, to another. `false` where it is no frame.
fn readdress(frame: &mut [u8], to: MacAddress) -> bool {
    let Some((destination, rest)) = frame.split_first_chunk_mut::<6>() else { return false };
    let Some(source) = rest.first_chunk_mut::<6>() else { return false };
    *source = std::mem::replace(destination, to.0);
    true
}

fn kind(frame: &[u8]) -> Kind {
    let Ok(ethernet) = Ethernet::parse(frame) else { return Kind::Other };
    let payload = ethernet.payload();
    let told = match ethernet.ethertype() {
        ETHERTYPE_IPV4 if !ethernet.destination().is_multicast() => {
            let ip = Ipv4::parse(payload).ok().filter(|ip| ip.protocol() == UDP);
            ip.map(|ip| Kind::For(ip.destination().into()))
        }
        ETHERTYPE_IPV6 => Ipv6::parse(payload).ok().and_then(|ip| match ip.protocol() {
            UDP if !ethernet.destination().is_multicast() => Some(Kind::For(ip.destination().into())),
            _ => advertised(&ip),
        }),
        // An announcement asks for its sender's own address (RFC 5227 §3).
        ETHERTYPE_ARP => Arp::parse(payload)
            .ok()
            .filter(|arp| arp.sender_ip == arp.target_ip)
            .map(|arp| Kind::Tells(arp.sender_ip.into(), arp.sender_mac)),
        _ => None,
    };
    told.unwrap_or(Kind::Other)
}

/// An advertisement that nobody asked for (RFC 4861 §7.2.6).
fn advertised(ip: &Ipv6<'_>) -> Option<Kind> {
    match Icmpv6::parse(ip.payload(), ip.source(), ip.destination(), ip.hop_limit()).ok()? {
        Icmpv6::Advertisement { target, link_layer: Some(mac), overrides: true, solicited: false } => {
            Some(Kind::Tells(target.into(), mac))
        }
        _ => None,
    }
}
