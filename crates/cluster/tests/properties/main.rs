//! What holds for any heartbeat.
#![allow(missing_docs, unreachable_pub)]

mod bodies;

use proptest::prelude::*;

proptest! {
    #[test]
    fn any_octets_are_taken_or_refused(octets in proptest::collection::vec(any::<u8>(), 0..600)) {
        bodies::any_octets(&octets);
    }

    /// A header that is right, so that what stands behind it is looked at.
    #[test]
    fn any_claims_of_a_member_are_taken_or_refused(
        times in any::<[u8; 4]>(),
        sender in 0_u8..4,
        flags in any::<u8>(),
        incarnation in prop_oneof![Just(7_u64), any::<u64>()],
        echo_sent_at in prop_oneof![0_u64..100_000_000, any::<u64>()],
        claim in any::<[u8; 12]>(),
    ) {
        let mut octets = times.to_vec();
        for sequence in 1_u64..8 {
            octets.extend_from_slice(b"TDHB");
            octets.extend_from_slice(&[1, sender, 0, flags]);
            octets.extend_from_slice(&[0; 4]);
            for number in [incarnation, sequence, sequence * 20_000_000, 7, echo_sent_at] {
                octets.extend_from_slice(&number.to_be_bytes());
            }
            octets.extend_from_slice(&[0, 0, 0, 0, 0, 0, 1, 0]);
            octets.extend_from_slice(&claim);
        }
        bodies::any_octets(&octets);
    }
}
