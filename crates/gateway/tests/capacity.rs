//! `tandem capacity` with a real gateway on a memif and a real source before it.
//!
//! The gateway is made slower on purpose: so many nanoseconds a frame are a number of calls that it cannot exceed, whatever
//! the machine.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]
#![cfg(feature = "dpdk")]

mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use support::Scratch;
use tandem_capacity::report::{self, Ended, Limit, Quantity, Report, Status, Step, Verdict};

/// Each measurement wants both cores: one at a time.
static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());

fn tandem(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tandem")).args(arguments).output().unwrap()
}

/// A quick search of relayed calls, at a level that a machine with other work can hold.
fn measured(out: &Path, more: &[&str]) -> Report {
    let out = out.to_str().unwrap();
    let common = ["capacity", "--mix", "relay", "--quick", "--seconds", "1", "--any-audio", "--out", out];
    let level = ["--max-lost-ppm", "2000", "--max-p99-9-ms", "40", "--lateness-us", "20000"];
    let output = tandem(&[&common[..], &level, more].concat());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    report::read(out, &std::fs::read(out).unwrap()).unwrap_or_else(|error| panic!("{error}\n{said}"))
}

#[test]
fn a_slowed_gateway_is_found_lower_and_two_runs_agree_within_their_ranges() {
    let _alone = ALONE.lock();
    let scratch = Scratch::new();
    let file = |name: &str| -> PathBuf { scratch.path().join(name) };
    // A call is 100 frames a second: with 50 us each there is no time for more than 200 calls, with 100 us for 100.
    let slow = ["--debug-burn-ns", "50000", "--first", "120"];
    let slower = ["--debug-burn-ns", "100000", "--first", "60"];
    let reports =
        [measured(&file("a.json"), &slow), measured(&file("b.json"), &slow), measured(&file("c.json"), &slower)];
    let answers = reports.each_ref().map(|report| &report.measurements[0].answer);
    for (answer, most) in answers.iter().zip([200, 200, 100]) {
        assert_eq!(answer.status, Status::Found, "{answer:?}");
        // What waits at the end of a second, for 40 ms at most, may be that much more.
        assert!(answer.held <= most + most / 20 && answer.held > most / 2, "{answer:?}");
    }
    let [first, second, _] = answers.map(|answer| answer.range.unwrap());
    assert!(first.low <= second.high && second.low <= first.high, "{first:?} {second:?}");
    assert_eq!(reports[0].gateway.debug_burn_ns, 50_000);
    let binding = reports[0].measurements[0].binding.as_ref().unwrap();
    assert_eq!(binding.limit, Limit::CoreCycles, "{binding:?}");
    assert!(std::fs::read_to_string(file("a.html")).unwrap().contains("What stands in the way"));

    // That it is slow in itself is no stop, whatever else has the cores meanwhile.
    let without_stops = measured(&file("d.json"), &[&slow[..], &["--discount-stops"]].concat());
    let points = &without_stops.measurements[0].points;
    assert!(
        points.iter().all(|point| point.stops.is_some() && (point.verdict != Verdict::Holds || point.calls <= 210))
    );

    let beside = tandem(&["capacity", "compare", file("a.json").to_str().unwrap(), file("c.json").to_str().unwrap()]);
    assert!(beside.status.success(), "{}", String::from_utf8_lossy(&beside.stderr));

    // What is damaged, cut off, newer or something else is refused by name.
    let whole = std::fs::read_to_string(file("a.json")).unwrap();
    let refused = |text: &str, because: &str| {
        std::fs::write(file("bad.json"), text).unwrap();
        let output = tandem(&["capacity", "compare", file("bad.json").to_str().unwrap()]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("bad.json") && said.contains(because), "{said}");
    };
    refused(&whole[..whole.len() / 2], "ends in the middle");
    refused(&whole.replacen("\"version\": 4,", "\"version\": 99,", 1), "version 99 of the format");
    refused(&whole.replacen("\"held\":", "\"hold\":", 1), "the report was changed or damaged");
    refused("{\"format\": \"something-else\"}", "not a capacity report");
}

#[test]
fn a_throttled_source_is_called_void_and_nothing_is_held_against_the_gateway() {
    let _alone = ALONE.lock();
    let scratch = Scratch::new();
    // 100 us a packet: the source cannot send for more than 100 calls.
    let report = measured(&scratch.path().join("void.json"), &["--throttle-ns", "100000", "--first", "400"]);
    let measurement = &report.measurements[0];
    let answer = &measurement.answer;
    assert_eq!((answer.status, answer.ended), (Status::AtLeast, Ended::Source), "{answer:?}");
    assert!(answer.held <= 100 && answer.void_runs >= 2, "{answer:?}");
    assert!(measurement.points.iter().all(|point| point.verdict != Verdict::Breaks), "{:?}", measurement.points);
    assert_eq!(measurement.binding.as_ref().unwrap().limit, Limit::Source);
    let estimate = answer.extrapolation.unwrap();
    assert!(estimate.calls > answer.held, "{estimate:?}");
    let page = std::fs::read_to_string(scratch.path().join("void.html")).unwrap();
    assert!(page.contains("Nobody measured that"));
}

#[test]
fn calls_per_second_are_measured_over_sip_and_are_in_the_report_the_page_and_the_comparison() {
    let _alone = ALONE.lock();
    let scratch = Scratch::new();
    let out = scratch.path().join("rate.json");
    let out = out.to_str().unwrap();
    // Few, and with a level that a machine with other work can hold: what is shown is that they are set up, counted and told.
    let asked = ["capacity", "--quantity", "calls-per-second", "--mix", "g711", "--quick", "--seconds", "1"];
    let bounds = ["--first", "15", "--most", "30", "--max-set-up-ms", "10000", "--max-repeated-ppm", "10000000"];
    let output = tandem(&[&asked[..], &bounds, &["--out", out]].concat());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let report = report::read(out, &std::fs::read(out).unwrap()).unwrap();
    let measurement = &report.measurements[0];
    assert_eq!((report.measurements.len(), measurement.quantity), (1, Quantity::CallsPerSecond));
    let answer = &measurement.answer;
    assert_eq!((answer.status, answer.ended, answer.held), (Status::AtLeast, Ended::Maximum, 30), "{answer:?}\n{said}");
    let point = measurement.points.last().unwrap();
    let set_up = point.set_up.as_ref().unwrap();
    assert_eq!((point.traffic.calls_up, point.traffic.calls_failed), (30, 0), "{set_up:?}");
    assert_eq!(set_up.answered_after.as_ref().unwrap().count, 30);
    assert!(set_up.control_busy.is_some());
    // The callee's part is a part of it.
    let added = [point, measurement.half_load.as_ref().unwrap()].map(|point| {
        let set_up = point.set_up.as_ref().unwrap();
        let [added, whole] = [&set_up.added, &set_up.answered_after].map(|delay| delay.as_ref().unwrap());
        assert!(added.count == whole.count && added.p50_us <= whole.p50_us, "{set_up:?}");
        (point.calls, point.step, added.count)
    });
    assert_eq!(added.map(|(calls, ..)| calls), [30, 15]);
    assert_eq!(added[1], (15, Step::HalfLoad, 15));
    assert!(said.contains("Added to the set-up of a call (RFC 6076): p50"), "{said}");
    let page = std::fs::read_to_string(scratch.path().join("rate.html")).unwrap();
    assert!(page.contains("calls per second") && page.contains("From INVITE to 200"));
    assert!(page.contains("Added to the set-up of a call"));
    let beside = tandem(&["capacity", "compare", out, out]);
    let told = String::from_utf8_lossy(&beside.stdout);
    assert!(beside.status.success() && told.contains("calls per second"), "{told}");
}
