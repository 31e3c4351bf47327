//! Which sources may send to legs at all: prefixes of IPv4 and IPv6 addresses that are allowed or denied.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::IpAddr;

/// Addresses that share their leading bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    /// Any of the addresses.
    pub address: IpAddr,
    /// How many bits they share: at most 32 (IPv4) or 128 (IPv6).
    pub len: u8,
}

impl Prefix {
    /// First and last address, as numbers.
    fn range(self) -> (u128, u128) {
        let (bits, width) = bits_of(self.address);
        let host_bits = width - u32::from(self.len).min(width);
        let host = 1_u128.checked_shl(host_bits).map_or(u128::MAX, |past| past - 1);
        (bits & !host, bits | host)
    }
}

/// An address as a number, and how many bits it has.
const fn bits_of(address: IpAddr) -> (u128, u32) {
    match address {
        IpAddr::V4(address) => (address.to_bits() as u128, 32),
        IpAddr::V6(address) => (address.to_bits(), 128),
    }
}

/// The verdict on each address: stretches of the address space, looked up by bisection.
///
/// The longest prefix that an address matches decides; of equally long ones, the denying. An address that matches none is
/// allowed unless some prefix allows others.
#[derive(Debug)]
pub struct SourceLists {
    v4: Stretches,
    v6: Stretches,
}

impl SourceLists {
    /// The lists of these prefixes. Allocates: it is made where time does not matter.
    pub fn new(allow: &[Prefix], deny: &[Prefix]) -> Self {
        let of = |family: fn(&IpAddr) -> bool| {
            let ranges = |prefixes: &[Prefix]| -> Vec<(u128, u128)> {
                prefixes.iter().filter(|prefix| family(&prefix.address)).map(|prefix| prefix.range()).collect()
            };
            Stretches::new(&ranges(allow), &ranges(deny), allow.is_empty())
        };
        Self { v4: of(IpAddr::is_ipv4), v6: of(IpAddr::is_ipv6) }
    }

    /// Whether anybody is denied.
    pub fn deny_anybody(&self) -> bool {
        [&self.v4, &self.v6].into_iter().any(|stretches| stretches.allowed.contains(&false))
    }

    /// Whether a source may send.
    #[inline]
    pub fn allow(&self, source: IpAddr) -> bool {
        let stretches = if source.is_ipv4() { &self.v4 } else { &self.v6 };
        stretches.allow(bits_of(source).0)
    }
}

#[derive(Debug)]
struct Stretches {
    /// Where each stretch but the first begins, in order.
    starts: Box<[u128]>,
    /// Whether those before the first start are allowed, then those of each stretch.
    allowed: Box<[bool]>,
}

impl Stretches {
    fn new(allow: &[(u128, u128)], deny: &[(u128, u128)], others: bool) -> Self {
        let mut starts = Vec::new();
        for (first, last) in allow.iter().chain(deny) {
            starts.push(*first);
            starts.extend(last.checked_add(1));
        }
        starts.retain(|start| *start != 0);
        starts.sort_unstable();
        starts.dedup();
        let allowed = [0].iter().chain(&starts).map(|at| verdict(allow, deny, others, *at)).collect();
        Self { starts: starts.into_boxed_slice(), allowed }
    }

    #[inline]
    fn allow(&self, bits: u128) -> bool {
        let stretch = if self.starts.is_empty() { 0 } else { self.starts.partition_point(|start| *start <= bits) };
        self.allowed[stretch]
    }
}

/// The rule itself, prefix by prefix.
fn verdict(allow: &[(u128, u128)], deny: &[(u128, u128)], others: bool, bits: u128) -> bool {
    let longest = |ranges: &[(u128, u128)]| {
        let matches = ranges.iter().filter(|(first, last)| (*first..=*last).contains(&bits));
        // The smaller the stretch, the longer the prefix.
        matches.map(|(first, last)| u128::MAX - (last - first)).max()
    };
    match (longest(allow), longest(deny)) {
        (None, None) => others,
        (allow, deny) => allow > deny,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn prefixes(texts: &[&str]) -> Vec<Prefix> {
        let parse = |text: &&str| {
            let (address, len) = text.split_once('/').unwrap();
            Prefix { address: address.parse().unwrap(), len: len.parse().unwrap() }
        };
        texts.iter().map(parse).collect()
    }

    #[test]
    fn the_longest_prefix_decides_and_denial_wins_a_tie() {
        let lists = SourceLists::new(
            &prefixes(&["10.0.0.0/8", "10.1.2.3/32", "2001:db8::/32", "192.0.2.0/24"]),
            &prefixes(&["10.1.0.0/16", "2001:db8:1::/48", "192.0.2.0/24"]),
        );
        for (source, allowed) in [
            ("10.0.0.1", true),
            ("10.1.0.1", false),
            ("10.1.2.3", true),
            ("10.1.2.4", false),
            ("10.255.255.255", true),
            ("11.0.0.0", false),
            ("192.0.2.7", false),
            ("2001:db8::1", true),
            ("2001:db8:1::1", false),
            ("2001:db8:2::1", true),
            ("2001:db9::", false),
            ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", false),
        ] {
            assert_eq!(lists.allow(source.parse().unwrap()), allowed, "{source}");
        }
    }

    #[test]
    fn a_list_of_denials_alone_lets_everybody_else_in_and_no_list_everybody() {
        let lists = SourceLists::new(&[], &prefixes(&["10.0.0.0/8", "::/0"]));
        assert!(!lists.allow("10.9.9.9".parse().unwrap()));
        assert!(lists.allow("11.0.0.1".parse().unwrap()));
        assert!(!lists.allow("2001:db8::1".parse().unwrap()));
        let lists = SourceLists::new(&prefixes(&["10.0.0.0/8"]), &[]);
        assert!(!lists.allow("2001:db8::1".parse().unwrap()), "only those who are allowed");
        assert!(SourceLists::new(&[], &[]).allow("10.9.9.9".parse().unwrap()));
    }

    fn some_prefixes() -> impl Strategy<Value = Vec<Prefix>> {
        // Few addresses, so that prefixes overlap.
        let v4 = (0..4_u8, 0..4_u8, 0..=32_u8).prop_map(|(a, d, len)| Prefix { address: [a, 0, 0, d].into(), len });
        let v6 = (0..3_u16, 0..=128_u8)
            .prop_map(|(a, len)| Prefix { address: IpAddr::from([0x2001, a, 0, 0, 0, 0, 0, a]), len });
        proptest::collection::vec(prop_oneof![v4, v6], 0..12)
    }

    proptest! {
        #[test]
        fn the_table_says_what_the_rule_says(
            allow in some_prefixes(),
            deny in some_prefixes(),
            v4 in any::<[u8; 4]>(),
            near in (0..5_u8, 0..5_u8),
            v6 in any::<u128>(),
        ) {
            let lists = SourceLists::new(&allow, &deny);
            for source in [IpAddr::from(v4), IpAddr::from([near.0, 0, 0, near.1]), IpAddr::from(v6.to_be_bytes())] {
                let longest = |prefixes: &[Prefix]| {
                    let same = prefixes.iter().filter(|prefix| prefix.address.is_ipv4() == source.is_ipv4());
                    let (bits, width) = bits_of(source);
                    let shared = |prefix: &&Prefix| (bits_of(prefix.address).0 ^ bits) << (128 - width);
                    same.filter(|prefix| shared(prefix).leading_zeros() >= prefix.len.into()).map(|prefix| prefix.len).max()
                };
                let expected = match (longest(&allow), longest(&deny)) {
                    (None, None) => allow.is_empty(),
                    (allowed, denied) => allowed > denied,
                };
                prop_assert_eq!(lists.allow(source), expected, "{}", source);
            }
        }
    }
}
