//! Whatever comes in whatever order: no panic, no lost frame, and a flow table that is what the commands made it.

mod machine;

use proptest::prelude::*;
use tandem_contract::DropReason;

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn no_sequence_of_commands_packets_and_time_breaks_an_invariant(octets in proptest::collection::vec(any::<u8>(), 0..2000)) {
        machine::run(&octets);
    }
}

#[test]
fn such_sequences_reach_every_way_that_they_are_meant_to_test() {
    let mut forwarded = 0;
    let mut functions = [0; 3];
    let mut reasons = std::collections::BTreeSet::new();
    let mut state = 1_u64;
    for _ in 0..300 {
        let octets: Vec<u8> = (0..3000)
            .map(|_| {
                // Knuth's multiplier of MMIX; its upper bits are random enough.
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 56) as u8
            })
            .collect();
        let counters = machine::run(&octets);
        forwarded += counters.rtp_forwarded.get();
        for (sum, counter) in
            functions.iter_mut().zip([&counters.packets_played, &counters.packets_recorded, &counters.packets_forked])
        {
            *sum += counter.get();
        }
        reasons.extend(DropReason::ALL.iter().filter(|reason| counters.drops_of(**reason) > 0).map(|r| r.label()));
    }
    assert!(forwarded > 1000, "{forwarded} packets forwarded");
    assert!(functions.iter().all(|packets| *packets > 0), "{functions:?} packets played, recorded, forked");
    assert!(reasons.len() >= 20, "{reasons:?}");
}
