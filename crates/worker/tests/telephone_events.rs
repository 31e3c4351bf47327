//! Keys that peers press: told to control, and carried to the other leg in whatever way it has.

#![allow(clippy::unwrap_used, reason = "helpers of tests say what they expect, as tests do")]

mod rig;

use rig::*;
use tandem_contract::{Codec, Event, EventCode, Format, LegSide, PayloadType};
use tandem_testkit::Endpoint;

/// The packets of one key press of 100 ms, the end three times.
fn press(from: &mut Endpoint, code: u8) -> Vec<Vec<u8>> {
    let speech_type = std::mem::replace(&mut from.payload_type, 101);
    let mut frames = Vec::new();
    from.marker = true;
    for n in 1..=4_u16 {
        let [high, low] = (n * 160).to_be_bytes();
        frames.push(from.send(&[code, 10, high, low], 0));
    }
    for _ in 0..3 {
        let [high, low] = 800_u16.to_be_bytes();
        frames.push(from.send(&[code, 0x8a, high, low], 0));
    }
    from.timestamp = from.timestamp.wrapping_add(960);
    from.payload_type = speech_type;
    frames
}

fn told(rig: &mut Rig) -> Vec<Event> {
    rig.poll();
    rig.events().into_iter().filter(|event| matches!(event, Event::TelephoneEvent { .. })).collect()
}

#[test]
fn control_is_told_once_of_each_event_on_relayed_and_on_transcoded_legs() {
    for (a, b) in [(Codec::Pcmu, Codec::Pcmu), (Codec::Pcmu, Codec::Pcma), (Codec::Pcmu, Codec::G729)] {
        let mut rig = Rig::new();
        rig.install(legs(a, b));
        let (mut caller, callee) = (caller(a), callee(b));
        rig.exchange(&caller.send(&[7; 160], 160), &callee);
        for code in [1, 1, 11, 16] {
            let mut sent = Vec::new();
            for frame in press(&mut caller, code) {
                rig.cable.put(&frame);
                sent.extend(rig.settle());
            }
            assert_eq!(sent.len(), 7, "{a:?} to {b:?}");
            let event =
                Event::TelephoneEvent { flow: flow(0), leg: LegSide::A, code: EventCode(code), duration_ms: 100 };
            assert_eq!(told(&mut rig), [event], "{a:?} to {b:?}");
        }
        assert_eq!((rig.counters.telephone_events.get(), rig.all_drops()), (4, 0));
    }
}

#[test]
fn an_event_for_which_the_other_leg_has_no_number_is_told_all_the_same() {
    let mut rig = Rig::new();
    let mut legs = legs(Codec::Pcmu, Codec::Pcmu);
    legs[1].format = legs[1].format.map(|format| Format { telephone_event: None, ..format });
    // The caller numbers what it sends otherwise than what it is sent.
    let number = PayloadType::new(101);
    legs[0].format = legs[0].format.map(|format| Format {
        telephone_event: PayloadType::new(99),
        receive_telephone_event: number,
        ..format
    });
    rig.install(legs);
    let mut caller = caller(Codec::Pcmu);
    for frame in press(&mut caller, 5) {
        rig.cable.put(&frame);
    }
    assert!(rig.settle().is_empty());
    assert_eq!(told(&mut rig).len(), 1);
}

#[test]
fn a_key_is_not_printed_with_the_event() {
    let event = Event::TelephoneEvent { flow: flow(0), leg: LegSide::A, code: EventCode(5), duration_ms: 80 };
    assert!(format!("{event:?}").contains("EventCode(_)"));
    assert_eq!((EventCode(5).key(), EventCode(11).key(), EventCode(16).key()), (Some('5'), Some('#'), None));
}
