//! Whatever arrives is read or refused, and no accessor panics.

mod any_bytes;

use proptest::prelude::*;

/// A frame that is valid down to RTP, to be damaged.
const FRAME: [u8; 58] = [
    2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, // Ethernet
    0x45, 0, 0, 44, 0, 0, 0x40, 0, 64, 17, 0x26, 0xbf, 10, 0, 0, 1, 10, 0, 0, 2, // IPv4
    0x10, 0, 0x20, 0, 0, 24, 0, 0, // UDP
    0x80, 0, 0, 1, 0, 0, 0, 160, 0, 0, 0, 7, 1, 2, 3, 4, // RTP
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn random_octets(octets in proptest::collection::vec(any::<u8>(), 0..300)) {
        any_bytes::read(&octets);
    }

    #[test]
    fn a_damaged_frame(damage in proptest::collection::vec((0..FRAME.len(), any::<u8>()), 0..6), len in 0..=FRAME.len()) {
        let mut frame = FRAME;
        damage.into_iter().for_each(|(at, octet)| frame[at] = octet);
        any_bytes::read(&frame[..len]);
    }
}
