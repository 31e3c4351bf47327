use std::net::Ipv4Addr;

use tandem_sip::StatusCode;

use super::super::wire::{Fate, Wire, endpoints};
use super::*;

fn spec(per_second: u32) -> RateSpec {
    let kind = "pcmu-pcmu".parse::<crate::Mix>().unwrap().kinds()[0];
    RateSpec { kind, per_second, seconds: 2, warm_up_ms: 500, hold_ms: 300 }
}

struct Run {
    spec: RateSpec,
    fate: fn(u64, &str) -> Fate,
    /// The source stands still once, for so long, after a second.
    stall: Duration,
    stop_after: Option<Duration>,
}

impl Run {
    fn of(spec: RateSpec) -> Self {
        Self { spec, fate: |_, _| Fate::Passes, stall: Duration::ZERO, stop_after: None }
    }

    fn outcome(mut self) -> RateOutcome {
        let network = SourceNetwork { addresses: vec![Ipv4Addr::new(10, 1, 0, 9)], ports: [10_000, 10_100] };
        let mut rate = Rate::new(&self.spec, Phones::new(endpoints(), 3), &network).unwrap();
        let (mut wire, mut now) = (Wire::new(self.fate), Instant::from_ms(5));
        let start = now;
        rate.start(now);
        while !rate.is_over(now) {
            wire.deliver(now, rate.phones());
            while rate.begin(now) {
                while let Some(Output::Send { from, to, bytes }) = rate.poll(now) {
                    wire.carry(now, from, to, &bytes);
                }
            }
            rate.advance(now);
            while let Some(Output::Send { from, to, bytes }) = rate.poll(now) {
                wire.carry(now, from, to, &bytes);
            }
            if self.stop_after.is_some_and(|stop| now - start >= stop) {
                rate.end_early(true);
            }
            let next = rate.next_deadline().into_iter().chain(wire.next()).min();
            now = next.unwrap_or(now).max(now + Duration::from_micros(100));
            if now - start > Duration::from_secs(1) {
                now = now + std::mem::take(&mut self.stall);
            }
        }
        rate.outcome(0)
    }
}

#[test]
fn each_second_has_as_many_calls_as_asked_and_all_of_them_end() {
    let outcome = Run::of(spec(150)).outcome();
    assert_eq!((outcome.begun, outcome.completed, outcome.failures()), (300, 300, 0), "{outcome:?}");
    assert_eq!((outcome.repeated, outcome.void.len(), outcome.seconds), (0, 0, 2.0));
    assert_eq!(outcome.answered_after.count(), 300);
    assert!((1_900_000..2_300_000).contains(&outcome.answered_after.quantile_ns(0.99)), "{outcome:?}");
    assert_eq!(outcome.added, outcome.answered_after, "callees answer at once here");
    let again: RateOutcome = serde_json::from_str(&serde_json::to_string(&outcome).unwrap()).unwrap();
    assert_eq!(again, outcome);
}

#[test]
fn calls_that_are_refused_are_counted_by_status_and_not_in_the_warm_up() {
    let fate = |_, text: &str| match text.starts_with("INVITE") {
        true => Fate::Refused(StatusCode::BUSY_HERE),
        false => Fate::Lost,
    };
    let outcome = Run { fate, ..Run::of(spec(10)) }.outcome();
    assert!(outcome.begun <= 20 && outcome.failed["486 Busy Here"] == outcome.begun, "{outcome:?}");
    assert_eq!((outcome.completed, outcome.void.len()), (0, 0));
}

#[test]
fn messages_that_were_sent_again_are_counted() {
    let fate = |count, _: &str| if count % 100 == 0 { Fate::Lost } else { Fate::Passes };
    let outcome = Run { fate, ..Run::of(spec(100)) }.outcome();
    assert!(outcome.repeated > 5, "{outcome:?}");
    assert_eq!(outcome.failures(), 0, "{outcome:?}");
}

#[test]
fn a_source_that_stood_still_is_void() {
    let outcome = Run { stall: Duration::from_millis(400), ..Run::of(spec(100)) }.outcome();
    assert!(matches!(outcome.void[..], [VoidReason::Late { packets: 35..45, .. }]), "{:?}", outcome.void);
}

#[test]
fn a_run_that_is_stopped_ends_its_calls_and_tells_what_it_measured() {
    let run = Run { stop_after: Some(Duration::from_secs(1)), ..Run::of(RateSpec { hold_ms: 60_000, ..spec(100) }) };
    let outcome = run.outcome();
    assert!(outcome.interrupted && (40..60).contains(&outcome.begun), "{outcome:?}");
    assert_eq!(outcome.completed, outcome.begun);
}

#[test]
fn each_field_has_its_range() {
    assert_eq!(spec(1).check(), Ok(()));
    assert_eq!(RateSpec { per_second: 0, ..spec(1) }.check().unwrap_err().field, "per_second");
    assert_eq!(RateSpec { hold_ms: 60_001, ..spec(1) }.check().unwrap_err().field, "hold_ms");
}
