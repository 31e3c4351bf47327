//! The Internet checksum (RFC 1071) and its incremental update (RFC 1624).
//!
//! A [`Sum`] is the ones' complement sum of 16-bit words in the machine's own byte order: RFC 1071 §2 (B) shows that the
//! order does not matter until the two octets are written. Parts may be summed apart and joined, as long as every part but
//! the last has an even length.

use core::net::IpAddr;

/// A ones' complement sum that is not folded to 16 bits yet.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sum(u64);

impl Sum {
    /// The sum of nothing.
    pub const ZERO: Self = Self(0);

    /// The sum of `bytes`; an odd last octet is padded with zero (RFC 1071 §1).
    #[inline]
    pub fn of(bytes: &[u8]) -> Self {
        let (words, rest) = bytes.as_chunks::<8>();
        let (pairs, last) = words.as_chunks::<2>();
        let word = |octets: &[u8; 8]| u128::from(u64::from_ne_bytes(*octets));
        // Carries add up above 64 bits, in two sums that need not wait for each other.
        let mut sums = last.first().map_or([0, 0], |last| [word(last), 0]);
        for [even, odd] in pairs {
            sums[0] += word(even);
            sums[1] += word(odd);
        }
        let all = sums[0] + sums[1];
        let (carries, low) = ((all >> 64) as u64, all as u64);
        let mut sum = (low & 0xffff_ffff) + (low >> 32) + carries;
        // The rest piece by piece: a copy of it to be read as one word would have to wait for itself.
        let mut rest = rest;
        if let Some((four, behind)) = rest.split_first_chunk() {
            sum += u64::from(u32::from_ne_bytes(*four));
            rest = behind;
        }
        if let Some((two, behind)) = rest.split_first_chunk() {
            sum += u64::from(u16::from_ne_bytes(*two));
            rest = behind;
        }
        if let [last] = rest {
            sum += u64::from(u16::from_ne_bytes([*last, 0]));
        }
        Self(sum)
    }

    /// What [`Sum::fold`] gave, to be gone on with.
    #[inline]
    pub const fn of_folded(folded: u16) -> Self {
        Self(folded as u64)
    }

    /// This sum and another one.
    #[inline]
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }

    /// This sum and that of a 16-bit number in network byte order.
    #[inline]
    #[must_use]
    pub const fn and_u16(self, value: u16) -> Self {
        Self(self.0 + value.to_be() as u64)
    }

    /// The 16-bit ones' complement sum, in the machine's byte order.
    #[inline]
    pub const fn fold(self) -> u16 {
        let sum = (self.0 & 0xffff_ffff) + (self.0 >> 32);
        let sum = (sum & 0xffff) + ((sum >> 16) & 0xffff) + (sum >> 32);
        let sum = (sum & 0xffff) + (sum >> 16);
        let sum = (sum & 0xffff) + (sum >> 16);
        sum as u16
    }

    /// The checksum field: the complement of the sum, as it stands on the wire.
    #[inline]
    pub const fn checksum(self) -> [u8; 2] {
        (!self.fold()).to_ne_bytes()
    }

    /// The checksum field of UDP, where all zeros would mean "none" and all ones stands for it (RFC 768).
    #[inline]
    pub const fn udp_checksum(self) -> [u8; 2] {
        match self.checksum() {
            [0, 0] => [0xff, 0xff],
            checksum => checksum,
        }
    }

    /// Whether bytes that include their checksum field add up (RFC 1071 §1 (3)).
    #[inline]
    pub const fn is_valid(self) -> bool {
        self.fold() == 0xffff
    }

    /// The pseudo-header of UDP over IPv4 or IPv6 without its length, which [`Sum::and_u16`] adds
    /// (RFC 768, RFC 8200 §8.1).
    #[inline]
    pub fn of_pseudo_header(source: IpAddr, destination: IpAddr, protocol: u8) -> Self {
        Self::of_address(source).and(Self::of_address(destination)).and_u16(protocol as u16)
    }

    #[inline]
    fn of_address(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self::of(&address.octets()),
            IpAddr::V6(address) => Self::of(&address.octets()),
        }
    }
}

/// The checksum after some octets that it covers were replaced: `old` is the sum of what went, `new` of what came
/// (RFC 1624 equation 3). Both must have stood at even offsets.
#[inline]
pub const fn updated(checksum: [u8; 2], old: Sum, new: Sum) -> [u8; 2] {
    let kept = Sum(!u16::from_ne_bytes(checksum) as u64);
    kept.and(Sum(!old.fold() as u64)).and(new).checksum()
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    /// RFC 1071 as it is written: 16-bit words, end-around carry.
    fn by_the_book(bytes: &[u8]) -> [u8; 2] {
        let mut sum = 0_u32;
        for word in bytes.chunks(2) {
            sum += u32::from(u16::from_be_bytes([word[0], *word.get(1).unwrap_or(&0)]));
            sum = (sum & 0xffff) + (sum >> 16);
        }
        (!(sum as u16)).to_be_bytes()
    }

    #[test]
    fn the_example_of_rfc_1071_sums_to_ddf2() {
        let example = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(Sum::of(&example).fold().to_ne_bytes(), [0xdd, 0xf2]);
    }

    #[test]
    fn the_example_of_rfc_1624_updates_to_zero() {
        // §4: header checksum 0xdd2f, a word 0x5555 becomes 0x3285; the answer is 0x0000, not 0xffff.
        let old = Sum::ZERO.and_u16(0x5555);
        let new = Sum::ZERO.and_u16(0x3285);
        assert_eq!(updated([0xdd, 0x2f], old, new), [0x00, 0x00]);
    }

    #[test]
    fn the_longest_packet_of_all_ones_does_not_overflow() {
        let bytes = std::vec![0xff_u8; 65_535];
        assert_eq!(Sum::of(&bytes).checksum(), by_the_book(&bytes));
    }

    proptest! {
        #[test]
        fn the_fast_sum_is_the_books_sum(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert_eq!(Sum::of(&bytes).checksum(), by_the_book(&bytes));
        }

        #[test]
        fn parts_join_at_even_offsets(bytes in proptest::collection::vec(any::<u8>(), 0..300), cut in 0..150_usize) {
            let cut = (cut * 2).min(bytes.len());
            let joined = Sum::of(&bytes[..cut]).and(Sum::of(&bytes[cut..]));
            if cut % 2 == 0 {
                prop_assert_eq!(joined.checksum(), by_the_book(&bytes));
            }
        }

        #[test]
        fn an_update_is_a_recomputation(
            mut bytes in proptest::collection::vec(any::<u8>(), 12..200),
            new in any::<[u8; 6]>(),
            at in 0..3_usize,
        ) {
            // A sum of nothing but zeros has two representations; real headers are never all zero.
            bytes.push(1);
            let before = Sum::of(&bytes).checksum();
            let range = at * 2..at * 2 + 6;
            let old: Vec<u8> = bytes[range.clone()].to_vec();
            bytes[range].copy_from_slice(&new);
            prop_assert_eq!(updated(before, Sum::of(&old), Sum::of(&new)), Sum::of(&bytes).checksum());
        }
    }
}
