use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;

use arrayvec::ArrayVec;

use tandem_contract::LocalAddress;

use crate::config::ConfigError;
use crate::links::LinkIndex;

/// A flow's direction, as an index into the engine's streams: twice the flow's slot, plus 1 for what leg B receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StreamIndex(pub(crate) u32);

impl StreamIndex {
    /// The same flow's other direction.
    pub(crate) const fn reverse(self) -> Self {
        Self(self.0 ^ 1)
    }

    pub(crate) const fn at(self) -> usize {
        self.0 as usize
    }
}

/// Which of our addresses, by position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AddressIndex(u8);

/// Finds a stream by local address and port: one row per address, one entry per pair of an even port (RTP) and the odd
/// one above it (RTCP). No hashing, no collisions: an unknown port costs one load.
///
/// Rows for all addresses that a port can have are there from the start, so that addresses come and go without allocation.
/// The row of an address that went stays its own while flows listen there.
pub(crate) struct PortTable {
    places: ArrayVec<Place, { LocalAddress::MOST }>,
    first_pair: u16,
    pairs: u16,
    entries: Box<[u32]>,
}

struct Place {
    local: LocalAddress,
    link: LinkIndex,
    /// Whether the address is ours at present.
    present: bool,
    /// Legs that listen there.
    legs: u32,
}

const FREE: u32 = u32::MAX;

impl PortTable {
    pub(crate) fn new(
        addresses: impl IntoIterator<Item = (LinkIndex, LocalAddress)>,
        ports: &RangeInclusive<u16>,
    ) -> Result<Self, ConfigError> {
        let first_pair = ports.start().div_ceil(2);
        let past_last_pair = u32::from(*ports.end()).div_ceil(2);
        let pairs = past_last_pair.saturating_sub(first_pair.into()) as u16;
        if pairs == 0 {
            return Err(ConfigError::NoPorts);
        }
        let entries = vec![FREE; usize::from(pairs) * LocalAddress::MOST].into_boxed_slice();
        let places = addresses.into_iter().map(|(link, local)| Place { local, link, present: true, legs: 0 });
        Ok(Self { places: places.take(LocalAddress::MOST).collect(), first_pair, pairs, entries })
    }

    /// Makes an address ours, or changes its link. `false` when every place is taken.
    pub(crate) fn add(&mut self, link: LinkIndex, local: LocalAddress) -> bool {
        let known = self.places.iter().position(|place| place.local.address == local.address);
        let free = known.or_else(|| self.places.iter().position(|place| !place.present && place.legs == 0));
        match free.map(|index| &mut self.places[index]) {
            Some(place) => {
                (place.local, place.link, place.present) = (local, link, true);
                true
            }
            None => self.places.try_push(Place { local, link, present: true, legs: 0 }).is_ok(),
        }
    }

    /// Rows for addresses that need not be ours, but may come; `None` when every place is taken.
    pub(crate) fn expect(&mut self, addresses: [IpAddr; 2]) -> Option<[AddressIndex; 2]> {
        let [first, second] = addresses;
        let first = self.row_of(first, second)?;
        Some([first, self.row_of(second, addresses[0])?])
    }

    /// The row of an address, or a new one, which is not that of `beside`.
    fn row_of(&mut self, address: IpAddr, beside: IpAddr) -> Option<AddressIndex> {
        let known = self.places.iter().position(|place| place.local.address == address);
        let index = known.or_else(|| {
            let local = LocalAddress { address, prefix_len: 0, gateway: None };
            let expected = Place { local, link: LinkIndex(0), present: false, legs: 0 };
            let is_free = |place: &Place| !place.present && place.legs == 0 && place.local.address != beside;
            match self.places.iter().position(is_free) {
                Some(free) => {
                    self.places[free] = expected;
                    Some(free)
                }
                None => self.places.try_push(expected).ok().map(|()| self.places.len() - 1),
            }
        })?;
        Some(AddressIndex(index as u8))
    }

    /// Makes an address ours no more; `false` when it was not.
    pub(crate) fn remove(&mut self, address: IpAddr) -> bool {
        let Some(index) = self.address(address) else { return false };
        self.places[usize::from(index.0)].present = false;
        true
    }

    /// Whether an address that some leg has is still ours.
    #[inline]
    pub(crate) fn is_present(&self, index: AddressIndex) -> bool {
        self.places[usize::from(index.0)].present
    }

    /// Which of our addresses this is.
    #[inline]
    pub(crate) fn address(&self, address: IpAddr) -> Option<AddressIndex> {
        let index = self.places.iter().position(|place| place.local.address == address)?;
        self.places[index].present.then_some(AddressIndex(index as u8))
    }

    /// The same for one of IPv4.
    #[inline(always)]
    pub(crate) fn address_v4(&self, address: Ipv4Addr) -> Option<AddressIndex> {
        let is_it = |place: &Place| matches!(place.local.address, IpAddr::V4(local) if local == address);
        let index = self.places.iter().position(is_it)?;
        self.places[index].present.then_some(AddressIndex(index as u8))
    }

    pub(crate) fn local(&self, index: AddressIndex) -> &LocalAddress {
        &self.places[usize::from(index.0)].local
    }

    /// The port that an address stands on.
    #[inline]
    pub(crate) fn link(&self, index: AddressIndex) -> LinkIndex {
        self.places[usize::from(index.0)].link
    }

    /// All our addresses, and the ports they stand on.
    pub(crate) fn local_addresses(&self) -> impl Iterator<Item = (LinkIndex, IpAddr)> + '_ {
        self.places.iter().filter(|place| place.present).map(|place| (place.link, place.local.address))
    }

    #[inline]
    fn index(&self, address: AddressIndex, port: u16) -> Option<usize> {
        let pair = (port / 2).wrapping_sub(self.first_pair);
        (pair < self.pairs).then(|| usize::from(address.0) * usize::from(self.pairs) + usize::from(pair))
    }

    /// The stream that listens there, if any.
    #[inline]
    pub(crate) fn find(&self, address: AddressIndex, port: u16) -> Option<StreamIndex> {
        let entry = *self.entries.get(self.index(address, port)?)?;
        (entry != FREE).then_some(StreamIndex(entry))
    }

    /// Whether the port is in the range that legs may use.
    #[inline]
    pub(crate) fn is_in_range(&self, port: u16) -> bool {
        (port / 2).wrapping_sub(self.first_pair) < self.pairs
    }

    /// Lets `stream` listen at an even port. The caller has checked that it is in range.
    pub(crate) fn occupy(&mut self, address: AddressIndex, port: u16, stream: StreamIndex) {
        if let Some(index) = self.index(address, port) {
            if self.entries[index] == FREE {
                self.places[usize::from(address.0)].legs += 1;
            }
            self.entries[index] = stream.0;
        }
    }

    /// Lets nobody listen there any more.
    pub(crate) fn free(&mut self, address: AddressIndex, port: u16) {
        if let Some(index) = self.index(address, port) {
            if self.entries[index] != FREE {
                self.places[usize::from(address.0)].legs -= 1;
            }
            self.entries[index] = FREE;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(addresses: &[&str], ports: RangeInclusive<u16>) -> PortTable {
        let addresses: Vec<_> = addresses
            .iter()
            .map(|a| (LinkIndex(0), LocalAddress { address: a.parse().unwrap(), prefix_len: 24, gateway: None }))
            .collect();
        PortTable::new(addresses, &ports).unwrap()
    }

    #[test]
    fn a_stream_is_found_by_its_address_and_either_port_of_its_pair() {
        let mut table = table(&["10.0.0.1", "10.0.0.2"], 10_000..=10_999);
        let second = table.address("10.0.0.2".parse().unwrap()).unwrap();
        let first = table.address("10.0.0.1".parse().unwrap()).unwrap();
        table.occupy(second, 10_998, StreamIndex(7));
        assert_eq!(table.find(second, 10_998), Some(StreamIndex(7)));
        assert_eq!(table.find(second, 10_999), Some(StreamIndex(7)));
        assert_eq!(table.find(first, 10_998), None);
        table.free(second, 10_998);
        assert_eq!(table.find(second, 10_998), None);
        assert!(table.address("10.0.0.3".parse().unwrap()).is_none());
    }

    #[test]
    fn an_address_that_went_keeps_its_row_while_legs_listen_there() {
        let mut table = table(&["10.0.0.1"], 10_000..=10_999);
        let local = |host: u8| LocalAddress { address: IpAddr::from([10, 0, 0, host]), prefix_len: 24, gateway: None };
        let first = table.address(local(1).address).unwrap();
        table.occupy(first, 10_000, StreamIndex(4));
        assert!(table.remove(local(1).address) && !table.remove(local(1).address));
        assert!(!table.is_present(first) && table.address(local(1).address).is_none());
        for host in 2..=LocalAddress::MOST as u8 {
            assert!(table.add(LinkIndex(0), local(host)), "{host}");
        }
        assert!(!table.add(LinkIndex(0), local(99)), "the row of 10.0.0.1 is in use");
        assert!(table.add(LinkIndex(0), local(1)), "it may come back");
        assert_eq!(table.find(table.address(local(1).address).unwrap(), 10_000), Some(StreamIndex(4)));
        assert!(table.remove(local(1).address));
        table.free(first, 10_000);
        assert!(table.add(LinkIndex(0), local(99)));
        assert_eq!(table.address(local(99).address), Some(first));
        assert_eq!(table.local_addresses().count(), LocalAddress::MOST);
    }

    #[test]
    fn only_whole_pairs_of_the_range_are_usable() {
        let table = table(&["10.0.0.1"], 9_999..=10_004);
        let address = table.address("10.0.0.1".parse().unwrap()).unwrap();
        let usable: Vec<u16> = (0..=u16::MAX).filter(|port| table.is_in_range(*port)).collect();
        assert_eq!(usable, [10_000, 10_001, 10_002, 10_003]);
        assert!((0..=u16::MAX).all(|port| table.find(address, port).is_none()));
    }

    #[test]
    fn addresses_that_are_expected_have_rows_of_their_own_before_they_come() {
        let mut table = table(&["10.0.0.1"], 10_000..=10_999);
        let [ours, first, second] = [1, 2, 3].map(|host| IpAddr::from([10, 0, 0, host]));
        let [a, b] = table.expect([first, second]).unwrap();
        assert!(a != b && !table.is_present(a) && table.address(first).is_none());
        table.occupy(a, 10_000, StreamIndex(3));
        assert_eq!(table.expect([second, first]).unwrap()[1], a);
        assert_eq!(table.expect([ours, ours]).unwrap()[0], table.address(ours).unwrap());
        assert!(table.add(LinkIndex(0), LocalAddress { address: first, prefix_len: 24, gateway: None }));
        assert_eq!(table.find(table.address(first).unwrap(), 10_000), Some(StreamIndex(3)));
    }

    #[test]
    fn the_highest_ports_are_usable_and_a_lone_port_is_refused() {
        let table = table(&["10.0.0.1"], 65_534..=65_535);
        assert!(table.is_in_range(65_534) && !table.is_in_range(65_533));
        let local = LocalAddress { address: "10.0.0.1".parse().unwrap(), prefix_len: 24, gateway: None };
        for lone in [65_535..=65_535, 10_000..=10_000] {
            assert_eq!(PortTable::new([(LinkIndex(0), local)], &lone).err(), Some(ConfigError::NoPorts), "{lone:?}");
        }
    }
}
