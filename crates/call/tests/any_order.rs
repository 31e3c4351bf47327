//! Random events in random order: every call ends, every call has one record, nothing is left, nothing panics.
#![allow(missing_docs)]

mod support;

use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_every_call_ends_with_one_record_and_nothing_left(
        script in proptest::collection::vec(any::<u8>(), 0..240),
    ) {
        support::random::play(&script);
    }

    #[test]
    fn whatever_the_store_knew_when_a_node_died_every_call_in_it_ends_with_a_record_and_nothing_left(
        call in 0_u8..128,
        script in proptest::collection::vec(any::<u8>(), 0..240),
    ) {
        // A call that rings, told of; then anything.
        let mut whole = vec![0, call / 5 * 5, 2, 1, 21, 0];
        whole.extend(script);
        support::random::play_behind(&whole);
    }

    #[test]
    fn whatever_connections_do_none_is_left_and_none_is_forgotten(
        script in proptest::collection::vec(any::<u8>(), 0..240),
    ) {
        support::wires::play(&script);
    }

    #[test]
    fn calls_that_get_as_far_as_an_answer_end_as_well(
        call in 0_u8..128,
        answer in prop_oneof![Just(3_u8), Just(2), Just(1), Just(4)],
        script in proptest::collection::vec(any::<u8>(), 0..240),
    ) {
        let mut whole = vec![0, call / 5 * 5, 2, answer, 2, 3, 6, 4];
        whole.extend(script);
        support::random::play(&whole);
    }
}
