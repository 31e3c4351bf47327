//! Properties of G.722 and telephone events that hold for any input.

mod bodies;

use proptest::collection::vec;
use proptest::prelude::*;

/// Samples as they come, and as they are worst: full-scale square waves, silence, impulses, −32768 throughout.
fn samples() -> impl Strategy<Value = Vec<i16>> {
    let square = (1..40_usize)
        .prop_map(|half| (0..640).map(|i| if i / half % 2 == 0 { i16::MAX } else { i16::MIN }).collect::<Vec<i16>>());
    let impulses = (1..200_usize)
        .prop_map(|period| (0..640).map(|i| if i % period == 0 { i16::MIN } else { 0 }).collect::<Vec<i16>>());
    prop_oneof![
        vec(any::<i16>(), 0..640),
        vec(prop_oneof![Just(i16::MAX), Just(i16::MIN)], 0..640),
        square,
        impulses,
        Just(vec![i16::MIN; 640]),
        Just(vec![0; 640]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn g722_decodes_any_octets_alike_at_every_level(input in vec(any::<u8>(), 0..4000)) {
        bodies::decode(&input);
    }

    #[test]
    fn g722_decodes_long_runs_of_one_code_alike_at_every_level(weather in any::<u8>(), octet in any::<u8>()) {
        let mut input = vec![octet; 6000];
        input[0] = weather;
        bodies::decode(&input);
    }

    #[test]
    fn g722_encodes_any_samples_alike_at_every_level(pcm in samples()) {
        bodies::encode(&pcm);
    }

    #[test]
    fn any_octets_are_a_telephone_event_or_refused(payload in vec(any::<u8>(), 0..12)) {
        bodies::telephone_event(&payload);
    }
}
