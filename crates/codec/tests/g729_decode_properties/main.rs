//! G.729 decoding of anything: no input panics, and all levels agree.

mod bodies;

use proptest::collection::vec;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_frames_decode_alike_at_every_level(octets in vec(any::<u8>(), 0..6000)) {
        bodies::decode(&octets);
    }

    #[test]
    fn one_long_call_of_any_frames_decodes_alike_at_every_level(octets in vec(any::<u8>(), 0..2000)) {
        bodies::decode(&[&[0], &octets[..]].concat());
    }
}

proptest! {
    #[test]
    fn any_payload_is_refused_or_split_whole(octets in vec(any::<u8>(), 0..64)) {
        bodies::payload(&octets);
    }

    #[test]
    fn any_serial_file_is_read_up_to_its_first_damage(
        words in vec(prop::sample::select(vec![0x6b21_u16, 0x6b20, 0, 15, 16, 80, 0x7f, 0x81, 7]), 0..300),
    ) {
        let octets: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        bodies::serial(&octets);
    }
}

/// Octets that repeat: parameters at the ends of their ranges, which drive filters into saturation and overflow.
#[test]
fn extreme_parameters_decode_alike_at_every_level() {
    for octet in [0x00, 0xff, 0x55, 0xaa, 0x7f, 0x80] {
        for kind in [4, 1, 2, 0] {
            let mut octets = vec![18];
            for frame in 0..19 * 40 {
                // Bursts of the chosen kind among speech.
                octets.push(if frame / 19 % 8 < 5 { 4 } else { kind });
                octets.extend((0..10).map(|i| if i == frame % 11 { octet ^ frame as u8 } else { octet }));
            }
            bodies::decode(&octets);
        }
    }
}
