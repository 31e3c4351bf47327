//! Flow slots and RTP ports, worker by worker.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use tandem_contract::{FlowId, LegSide, Nanos, WorkerId};

use crate::config::{MediaPlane, PortRange};
use crate::restore::RestoreError;
use crate::spread::Spreads;

/// Free ports that are looked at for one near the caller: with 16 workers one of 16 is, and of 128 hardly ever none.
const CANDIDATES: usize = 128;

/// A call's place on a worker: both legs on one, so that no packet changes cores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reservation {
    pub(crate) worker: WorkerId,
    pub(crate) flow: FlowId,
    /// Where leg A and leg B receive RTP.
    pub(crate) local: [SocketAddr; 2],
    /// Leg A's port is one whose packets the device should bring to the worker.
    pub(crate) is_placed: bool,
}

impl Reservation {
    pub(crate) const fn local(&self, leg: LegSide) -> SocketAddr {
        self.local[leg.index()]
    }
}

/// What is free, what is taken, and what rests.
#[derive(Debug)]
pub(crate) struct MediaPool {
    workers: Vec<WorkerPool>,
    range: PortRange,
    quarantine_ns: u64,
    /// How the devices spread what they receive.
    pub(crate) spreads: Spreads,
}

#[derive(Debug)]
struct WorkerPool {
    worker: WorkerId,
    slots: Vec<Slot>,
    /// Longest unused first, so that a generation lives as long as possible.
    free_slots: VecDeque<u32>,
    /// One for each of our addresses: every port can be used once on each.
    ports: Vec<AddressPorts>,
}

#[derive(Debug)]
struct AddressPorts {
    address: IpAddr,
    /// Free ports with the time from which they may be used, earliest first.
    free: VecDeque<(Nanos, u16)>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    generation: u32,
    /// Where its present tenant receives.
    tenant: Option<[SocketAddr; 2]>,
}

impl MediaPool {
    pub(crate) fn new(plane: &MediaPlane) -> Self {
        let workers = plane.workers.iter().map(|slots| WorkerPool {
            worker: slots.worker,
            slots: vec![Slot::default(); slots.slots as usize],
            free_slots: (0..slots.slots).collect(),
            ports: Vec::new(),
        });
        let quarantine_ns = u64::from(plane.port_quarantine_ms) * 1_000_000;
        let spreads = Spreads::default();
        let mut pool = Self { workers: workers.collect(), range: plane.ports, quarantine_ns, spreads };
        pool.set_addresses(&plane.addresses);
        pool
    }

    /// These are our addresses from now on. Who is on another one keeps its place.
    pub(crate) fn set_addresses(&mut self, addresses: &[IpAddr]) {
        for pool in &mut self.workers {
            pool.ports.retain(|ports| addresses.contains(&ports.address));
        }
        addresses.iter().for_each(|address| self.know(*address));
    }

    /// Takes up an address, with every port that nobody has there.
    fn know(&mut self, address: IpAddr) {
        let count = self.workers.len();
        for (position, pool) in self.workers.iter_mut().enumerate() {
            if pool.on(address).is_some() {
                continue;
            }
            let taken: Vec<u16> = pool
                .slots
                .iter()
                .filter_map(|slot| slot.tenant)
                .flatten()
                .filter(|local| local.ip() == address)
                .map(|local| local.port())
                .collect();
            let owned = self.range.rtp_ports().filter(|&port| PortRange::owner(port, count) == position);
            let free = owned.filter(|port| !taken.contains(port)).map(|port| (Nanos::default(), port)).collect();
            pool.ports.push(AddressPorts { address, free });
        }
    }

    /// A slot and a port on each of two of our addresses, on the worker that has the smallest share of its slots in use;
    /// `None` where nobody has room.
    ///
    /// `caller` is where leg A's packets will come from, if that is known: where the device spreads what it receives, the port is
    /// one whose packets come to the worker's own queue, if one is free.
    pub(crate) fn reserve(
        &mut self,
        now: Nanos,
        addresses: [IpAddr; 2],
        caller: Option<SocketAddr>,
    ) -> Option<Reservation> {
        addresses.into_iter().for_each(|address| self.know(address));
        let spreads = std::mem::take(&mut self.spreads);
        let pool = self.least_loaded(|pool| pool.has_room(now, addresses));
        let place = |queue: u16, local| caller.and_then(|remote| spreads.queue(remote, local)) == Some(queue);
        let reserved = pool.and_then(|pool| pool.reserve(now, addresses, place));
        self.spreads = spreads;
        reserved
    }

    /// As [`MediaPool::reserve`], on whichever of our addresses have most ports left.
    pub(crate) fn reserve_anywhere(&mut self, now: Nanos) -> Option<Reservation> {
        let pool = self.least_loaded(|pool| pool.most_room(now).is_some())?;
        let addresses = pool.most_room(now)?;
        pool.reserve(now, addresses, |_, _| false)
    }

    /// A slot on the worker that owns these ports, which stand on whatever address: a call of another node has them.
    pub(crate) fn claim(&mut self, local: [SocketAddr; 2]) -> Result<Reservation, RestoreError> {
        local.into_iter().for_each(|local| self.know(local.ip()));
        let count = self.workers.len();
        let [first, second] = local.map(|local| PortRange::owner(local.port(), count));
        let in_range = |local: SocketAddr| self.range.has_rtp_port(local.port());
        if first != second || local[0] == local[1] || !local.into_iter().all(in_range) {
            return Err(RestoreError::NoSuchPorts(local));
        }
        let pool = &mut self.workers[first];
        let slot = *pool.free_slots.front().ok_or(RestoreError::NoSlot)?;
        let places = local.map(|local| {
            let free = &pool.on(local.ip())?.free;
            free.iter().position(|(_, port)| *port == local.port()).map(|position| (position, local.ip()))
        });
        let [Some(mut later), Some(mut earlier)] = places else {
            return Err(RestoreError::PortsTaken(local));
        };
        if later.0 < earlier.0 {
            std::mem::swap(&mut later, &mut earlier);
        }
        // The later one first, so that the other stays where it is.
        for (position, address) in [later, earlier] {
            if let Some(ports) = pool.on(address) {
                ports.free.remove(position);
            }
        }
        pool.free_slots.pop_front();
        let state = &mut pool.slots[slot as usize];
        state.generation = state.generation.wrapping_add(1);
        state.tenant = Some(local);
        Ok(Reservation {
            worker: pool.worker,
            flow: FlowId { slot, generation: state.generation },
            local,
            is_placed: false,
        })
    }

    fn least_loaded(&mut self, has_room: impl Fn(&WorkerPool) -> bool) -> Option<&mut WorkerPool> {
        self.workers.iter_mut().filter(|pool| has_room(pool)).min_by(|a, b| {
            // a.used / a.slots < b.used / b.slots, without division.
            let share = |of: &WorkerPool, other: &WorkerPool| of.used() * other.slots.len() as u64;
            share(a, b).cmp(&share(b, a))
        })
    }

    /// The worker has forgotten `flow`: its slot is free, its ports rest first. Says whether the flow held a place.
    pub(crate) fn release(&mut self, now: Nanos, worker: WorkerId, flow: FlowId) -> bool {
        let Some((pool, tenant)) = self.vacate(worker, flow) else { return false };
        let usable = now.plus(self.quarantine_ns);
        for local in tenant {
            if let Some(ports) = self.workers[pool].on(local.ip()) {
                ports.free.push_back((usable, local.port()));
            }
        }
        true
    }

    /// Gives one leg another port, on another of our addresses; its old one rests. `None` where the call's worker has none.
    pub(crate) fn move_leg(
        &mut self,
        now: Nanos,
        from: Reservation,
        leg: LegSide,
        address: IpAddr,
    ) -> Option<Reservation> {
        self.know(address);
        let usable = now.plus(self.quarantine_ns);
        let pool = self.workers.iter_mut().find(|pool| pool.worker == from.worker)?;
        let slot = pool.slots.get(from.flow.slot as usize)?;
        if slot.generation != from.flow.generation || !pool.on(address)?.has(now, 1) {
            return None;
        }
        let old = from.local(leg);
        let mut moved = from;
        moved.local[leg.index()] = pool.take(address)?;
        pool.slots[from.flow.slot as usize].tenant = Some(moved.local);
        if let Some(ports) = pool.on(old.ip()) {
            ports.free.push_back((usable, old.port()));
        }
        Some(moved)
    }

    /// The worker never had `flow`: its ports are as good as before.
    pub(crate) fn give_back(&mut self, worker: WorkerId, flow: FlowId) {
        let Some((pool, tenant)) = self.vacate(worker, flow) else { return };
        for local in tenant {
            if let Some(ports) = self.workers[pool].on(local.ip()) {
                // Before those that rest: the front is usable the earliest.
                ports.free.push_front((Nanos::default(), local.port()));
            }
        }
    }

    /// Frees a slot; its worker's position and where its tenant received.
    fn vacate(&mut self, worker: WorkerId, flow: FlowId) -> Option<(usize, [SocketAddr; 2])> {
        let position = self.workers.iter().position(|pool| pool.worker == worker)?;
        let pool = &mut self.workers[position];
        let slot = pool.slots.get_mut(flow.slot as usize).filter(|slot| slot.generation == flow.generation)?;
        let tenant = slot.tenant.take()?;
        pool.free_slots.push_back(flow.slot);
        Some((position, tenant))
    }

    /// Where `flow` receives, where it holds a place.
    pub(crate) fn tenant(&self, worker: WorkerId, flow: FlowId) -> Option<[SocketAddr; 2]> {
        let pool = self.workers.iter().find(|pool| pool.worker == worker)?;
        pool.slots.get(flow.slot as usize).filter(|slot| slot.generation == flow.generation)?.tenant
    }

    /// The worker whose port this is.
    pub(crate) fn owner(&self, local: SocketAddr) -> WorkerId {
        self.workers[PortRange::owner(local.port(), self.workers.len())].worker
    }

    /// Whether `flow` holds a place.
    pub(crate) fn holds(&self, worker: WorkerId, flow: FlowId) -> bool {
        self.tenant(worker, flow).is_some()
    }

    /// Flows that hold a place.
    pub(crate) fn in_use(&self) -> u64 {
        self.workers.iter().map(WorkerPool::used).sum()
    }
}

impl WorkerPool {
    fn used(&self) -> u64 {
        (self.slots.len() - self.free_slots.len()) as u64
    }

    fn on(&mut self, address: IpAddr) -> Option<&mut AddressPorts> {
        self.ports.iter_mut().find(|ports| ports.address == address)
    }

    /// Takes a slot and two ports. `is_near` says whether packets to an address come to a queue.
    fn reserve(
        &mut self,
        now: Nanos,
        addresses: [IpAddr; 2],
        is_near: impl Fn(u16, SocketAddr) -> bool,
    ) -> Option<Reservation> {
        let slot = *self.free_slots.front()?;
        let queue = self.worker.0;
        let near = self.take_near(now, addresses[0], |local| is_near(queue, local));
        let is_placed = near.is_some();
        let local = [near.or_else(|| self.take(addresses[0]))?, self.take(addresses[1])?];
        self.free_slots.pop_front();
        let state = &mut self.slots[slot as usize];
        state.generation = state.generation.wrapping_add(1);
        state.tenant = Some(local);
        let flow = FlowId { slot, generation: state.generation };
        Some(Reservation { worker: self.worker, flow, local, is_placed })
    }

    /// One of the first free ports, where it is near. That leaves at least one for the other leg.
    fn take_near(&mut self, now: Nanos, address: IpAddr, is_near: impl Fn(SocketAddr) -> bool) -> Option<SocketAddr> {
        let free = &mut self.on(address)?.free;
        let rested = free.iter().take(CANDIDATES).take_while(|(usable, _)| *usable <= now);
        let position = rested.map(|(_, port)| SocketAddr::new(address, *port)).position(is_near)?;
        let (_, port) = free.remove(position)?;
        Some(SocketAddr::new(address, port))
    }

    fn take(&mut self, address: IpAddr) -> Option<SocketAddr> {
        let (_, port) = self.on(address)?.free.pop_front()?;
        Some(SocketAddr::new(address, port))
    }

    fn has_room(&self, now: Nanos, addresses: [IpAddr; 2]) -> bool {
        let [first, second] = addresses;
        let has = |address, ports| self.ports.iter().any(|one| one.address == address && one.has(now, ports));
        !self.free_slots.is_empty() && if first == second { has(first, 2) } else { has(first, 1) && has(second, 1) }
    }

    /// The addresses that have most ports left, for two legs; `None` without room.
    fn most_room(&self, now: Nanos) -> Option<[IpAddr; 2]> {
        if self.free_slots.is_empty() {
            return None;
        }
        let usable = |less: Option<IpAddr>| {
            let left = |ports: &AddressPorts| ports.free.len() - usize::from(less == Some(ports.address));
            let has = |ports: &&AddressPorts| ports.has(now, 1 + usize::from(less == Some(ports.address)));
            self.ports.iter().filter(has).max_by_key(|ports| left(ports)).map(|ports| ports.address)
        };
        let first = usable(None)?;
        Some([first, usable(Some(first))?])
    }
}

impl AddressPorts {
    fn has(&self, now: Nanos, ports: usize) -> bool {
        // Ports are released in the order of time, so the last one's rest ends no earlier than the first one's.
        self.free.get(ports - 1).is_some_and(|(usable, _)| *usable <= now)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::config::WorkerSlots;

    const OURS: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)), IpAddr::V4(Ipv4Addr::new(10, 0, 1, 1))];
    const ADDRESSES: [IpAddr; 2] = [OURS[0]; 2];

    fn pool(slots: &[u32], first: u16, last: u16) -> MediaPool {
        let workers = slots.iter().zip(0..).map(|(&slots, id)| WorkerSlots { worker: WorkerId(id), slots }).collect();
        let addresses = OURS.to_vec();
        MediaPool::new(&MediaPlane { workers, addresses, ports: PortRange { first, last }, port_quarantine_ms: 1_000 })
    }

    #[test]
    fn both_legs_get_even_ports_that_their_worker_owns() {
        let mut pool = pool(&[4, 4, 4], 20_001, 20_100);
        for _ in 0..12 {
            let reserved = pool.reserve(Nanos::default(), ADDRESSES, None).expect("room");
            for (local, address) in reserved.local.iter().zip(ADDRESSES) {
                assert_eq!(local.ip(), address);
                assert_eq!(local.port() % 2, 0);
                assert!((20_002..20_100).contains(&local.port()));
                assert_eq!(usize::from(local.port() / 2) % 3, usize::from(reserved.worker.0));
            }
            assert_ne!(reserved.local[0].port(), reserved.local[1].port());
        }
        assert_eq!(pool.reserve(Nanos::default(), ADDRESSES, None), None, "every slot is taken");
    }

    /// A device of two queues whose table takes turns.
    fn spreads() -> Spreads {
        let subnets = vec![crate::config::SourceNet { address: OURS[0], prefix_len: 24 }];
        let key = (0..40).map(|n: u8| n.wrapping_mul(73) ^ 0x6d).collect();
        Spreads::new(vec![crate::Spread { subnets, key, table: (0..128).map(|n| n % 2).collect() }])
    }

    #[test]
    fn where_the_device_spreads_the_callers_packets_come_to_the_worker_that_has_the_call() {
        let mut pool = pool(&[200, 200], 20_000, 29_999);
        pool.spreads = spreads();
        for host in 0..200_u8 {
            let caller = SocketAddr::new(Ipv4Addr::new(192, 0, 2, host).into(), 4000 + 2 * u16::from(host));
            let reserved = pool.reserve(Nanos::default(), ADDRESSES, Some(caller)).expect("room");
            assert!(reserved.is_placed);
            assert_eq!(pool.spreads.queue(caller, reserved.local[0]), Some(reserved.worker.0));
            assert_eq!(
                usize::from(reserved.local[0].port() / 2) % 2,
                usize::from(reserved.worker.0),
                "it owns the port"
            );
        }
        // Nothing is known of whom, or of the device.
        assert!(!pool.reserve(Nanos::default(), ADDRESSES, None).expect("room").is_placed);
        let caller = "192.0.2.1:4000".parse().ok();
        assert!(!pool.reserve(Nanos::default(), [OURS[1]; 2], caller).expect("room").is_placed);
    }

    #[test]
    fn a_port_near_the_caller_that_still_rests_is_not_taken() {
        let mut pool = pool(&[9, 9], 20_000, 20_015);
        pool.spreads = spreads();
        let caller = "192.0.2.1:4000".parse().ok();
        let mut placed = 0;
        while let Some(reserved) = pool.reserve(Nanos::default(), ADDRESSES, caller) {
            placed += usize::from(reserved.is_placed);
            assert!(pool.release(Nanos::default(), reserved.worker, reserved.flow));
        }
        assert!(
            (1..=4).contains(&placed),
            "of eight ports every one rests in the end: {placed} of four calls were placed"
        );
    }

    #[test]
    fn a_device_that_does_not_do_as_it_says_is_believed_no_more() {
        let mut pool = pool(&[200, 200], 20_000, 29_999);
        pool.spreads = spreads();
        let caller = "192.0.2.1:4000".parse().ok();
        let is_placed =
            |pool: &mut MediaPool| pool.reserve(Nanos::default(), ADDRESSES, caller).expect("room").is_placed;
        (0..64).for_each(|n| pool.spreads.on_started(n % 8 == 0));
        assert!(is_placed(&mut pool), "some are behind address translation");
        (0..64).for_each(|n| pool.spreads.on_started(n % 2 == 0));
        assert!(!is_placed(&mut pool));
    }

    #[test]
    fn calls_go_where_the_smallest_share_is_taken() {
        let mut pool = pool(&[2, 4], 20_000, 20_999);
        let order: Vec<u16> =
            (0..6).map(|_| pool.reserve(Nanos::default(), ADDRESSES, None).expect("room").worker.0).collect();
        assert_eq!(order, [0, 1, 1, 0, 1, 1]);
    }

    #[test]
    fn a_port_whose_neighbour_is_outside_the_range_is_not_used() {
        let mut pool = pool(&[9], 20_000, 20_004);
        assert!(pool.reserve(Nanos::default(), ADDRESSES, None).is_some(), "20000 and 20002");
        assert_eq!(pool.reserve(Nanos::default(), ADDRESSES, None), None, "20004 has no room for RTCP");
    }

    #[test]
    fn released_ports_rest_before_they_are_used_again() {
        let mut pool = pool(&[9], 20_000, 20_003);
        let first = pool.reserve(Nanos::default(), ADDRESSES, None).expect("room");
        assert!(pool.release(Nanos::from_millis(500), first.worker, first.flow));
        assert_eq!(pool.reserve(Nanos::from_millis(1_499), ADDRESSES, None), None);
        let second = pool.reserve(Nanos::from_millis(1_500), ADDRESSES, None).expect("rested");
        assert_eq!(second.local, first.local);
        assert_ne!(second.flow, first.flow);
    }

    #[test]
    fn the_ports_of_another_nodes_call_are_claimed_once_and_not_given_to_others() {
        let floating = IpAddr::V4(Ipv4Addr::new(10, 0, 9, 9));
        let local = [20_000, 20_002].map(|port| SocketAddr::new(floating, port));
        let mut pool = pool(&[9], 20_000, 20_005);
        let claimed = pool.claim(local).expect("free");
        assert_eq!((claimed.local, claimed.worker), (local, WorkerId(0)));
        assert_eq!(pool.claim(local), Err(RestoreError::PortsTaken(local)));
        assert_eq!(pool.reserve(Nanos::default(), [floating; 2], None), None, "one port is left there");
        let reversed = [20_004, 20_002].map(|port| SocketAddr::new(OURS[0], port));
        assert_eq!(pool.claim(reversed).map(|claimed| claimed.local), Ok(reversed), "those and no others");
        let half_taken = [20_000, 20_004].map(|port| SocketAddr::new(OURS[0], port));
        assert_eq!(pool.claim(half_taken), Err(RestoreError::PortsTaken(half_taken)));
        let outside = [20_000, 20_006].map(|port| SocketAddr::new(OURS[0], port));
        assert_eq!(pool.claim(outside), Err(RestoreError::NoSuchPorts(outside)));
        assert!(pool.release(Nanos::default(), claimed.worker, claimed.flow));
        assert!(pool.reserve(Nanos::from_millis(1_000), [floating; 2], None).is_some());
    }

    #[test]
    fn two_ports_of_two_workers_are_no_calls() {
        let local = [20_000, 20_002].map(|port| SocketAddr::new(OURS[0], port));
        assert_eq!(pool(&[9, 9], 20_000, 20_005).claim(local), Err(RestoreError::NoSuchPorts(local)));
        assert_eq!(pool(&[0], 20_000, 20_005).claim(local), Err(RestoreError::NoSlot));
    }

    #[test]
    fn each_address_has_every_port_of_its_own() {
        let mut pool = pool(&[9], 20_000, 20_003);
        let call = pool.reserve(Nanos::default(), OURS, None).expect("room");
        assert_eq!(call.local.map(|local| (local.ip(), local.port())), OURS.map(|address| (address, 20_000)));
        assert_eq!(pool.reserve(Nanos::default(), ADDRESSES, None), None, "one port is left on each");
        assert!(pool.reserve(Nanos::default(), OURS, None).is_some());
    }

    #[test]
    fn an_address_that_goes_and_comes_back_does_not_give_anybodys_port_away() {
        let mut pool = pool(&[9], 20_000, 20_005);
        let first = pool.reserve(Nanos::default(), ADDRESSES, None).expect("room");
        pool.set_addresses(&OURS[1..]);
        let elsewhere = pool.reserve_anywhere(Nanos::default()).expect("room");
        assert!(elsewhere.local.iter().all(|local| local.ip() == OURS[1]));
        pool.set_addresses(&OURS);
        assert_eq!(pool.reserve(Nanos::default(), ADDRESSES, None), None, "one of three ports is left");
        assert!(pool.release(Nanos::default(), first.worker, first.flow));
        assert!(pool.reserve(Nanos::from_millis(1_000), ADDRESSES, None).is_some());
    }

    #[test]
    fn who_asks_for_no_address_gets_those_with_most_ports_left() {
        let mut pool = pool(&[9], 20_000, 20_005);
        let mut given: Vec<SocketAddr> = Vec::new();
        while let Some(place) = pool.reserve_anywhere(Nanos::default()) {
            let on = |address| place.local.iter().filter(|local| local.ip() == address).count();
            assert_eq!(OURS.map(on), [1, 1], "legs are spread");
            given.extend(place.local);
        }
        given.sort_unstable();
        given.dedup();
        assert_eq!(given.len(), 6);
    }

    #[test]
    fn what_is_given_back_can_be_used_at_once() {
        let mut pool = pool(&[1], 20_000, 20_003);
        let first = pool.reserve(Nanos::default(), ADDRESSES, None).expect("room");
        pool.give_back(first.worker, first.flow);
        assert_eq!(pool.in_use(), 0);
        let second = pool.reserve(Nanos::default(), ADDRESSES, None).expect("it did not rest");
        assert_ne!(second.flow, first.flow);
    }

    #[test]
    fn a_place_is_released_once_and_only_by_its_tenant() {
        let mut pool = pool(&[1], 20_000, 20_099);
        let first = pool.reserve(Nanos::default(), ADDRESSES, None).expect("room");
        assert!(pool.release(Nanos::default(), first.worker, first.flow));
        assert!(!pool.release(Nanos::default(), first.worker, first.flow));
        let second = pool.reserve(Nanos::default(), ADDRESSES, None).expect("room");
        assert_eq!(second.flow.slot, first.flow.slot);
        assert!(!pool.release(Nanos::default(), first.worker, first.flow), "a late event for the previous tenant");
        assert!(!pool.release(Nanos::default(), WorkerId(7), second.flow));
        assert!(!pool.release(Nanos::default(), second.worker, FlowId { slot: 99, generation: 1 }));
        assert_eq!(pool.in_use(), 1);
    }
}
