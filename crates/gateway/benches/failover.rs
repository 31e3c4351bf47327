//! What a failover costs, case by case: `benches/failover.sh`.
//!
//! The parties are [`talkers::Talkers`], in one thread of this process; both gateways are processes of their own in network
//! namespaces of their own. Until heartbeats give the order, this program does: it waits for [`DETECTION`] after the fault, as a
//! cluster would, and then tells the other node to take over. Gaps include it.
#![allow(missing_docs, unreachable_pub, dead_code, reason = "a program, which uses a part of what the tests share")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;

use support::pair::{CALLEE, CALLER, Pair, SIP};
use support::talkers::{Standing, Talkers, quantile, tally};

/// Three missed beats of 20 ms.
const DETECTION: Duration = Duration::from_millis(60);
const PATIENCE: Duration = Duration::from_secs(20);
const CODECS: [&str; 3] = ["G722", "PCMA", "G729"];

/// How the active node goes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Case {
    Kill,
    Stop,
    MediaCut,
    PowerCut,
    StoreAndKill,
    Planned,
}

impl Case {
    const ALL: [(Self, &'static str, &'static str); 6] = [
        (Self::Kill, "kill", "kill -9 of the process"),
        (Self::Stop, "stop", "SIGSTOP of the process, which stays stopped"),
        (Self::MediaCut, "media-cut", "the media port's link cut, then release"),
        (Self::PowerCut, "power-cut", "both links of the host cut"),
        (Self::StoreAndKill, "store-and-kill", "the store killed, then the process"),
        (Self::Planned, "planned", "release and takeover"),
    ];
}

struct Outcome {
    lost: Vec<Standing>,
    /// Gaps of what the caller and the callee heard.
    gaps: [Vec<Duration>; 2],
    from_two: u64,
    records: usize,
    calls: usize,
}

struct Arguments {
    calls: usize,
    repeats: usize,
    case: Option<String>,
    output: PathBuf,
}

fn arguments() -> Arguments {
    let mut wanted = Arguments { calls: 50, repeats: 1, case: None, output: "target/failover".into() };
    let mut given = std::env::args().skip(1).filter(|argument| argument != "--bench");
    while let Some(name) = given.next() {
        let value = given.next().unwrap_or_else(|| usage());
        match name.as_str() {
            "--calls" => wanted.calls = value.parse().unwrap_or_else(|_| usage()),
            "--repeats" => wanted.repeats = value.parse().unwrap_or_else(|_| usage()),
            "--case" => wanted.case = Some(value),
            "--output" => wanted.output = value.into(),
            _ => usage(),
        }
    }
    wanted
}

fn usage() -> ! {
    let cases: Vec<&str> = Case::ALL.iter().map(|(_, name, _)| *name).collect();
    eprintln!("usage: failover [--calls N] [--repeats N] [--case {}] [--output DIRECTORY]", cases.join("|"));
    std::process::exit(2);
}

fn main() {
    let arguments = arguments();
    if !support::may_make_networks("failover") {
        std::process::exit(2);
    }
    let wanted: Vec<_> = Case::ALL
        .into_iter()
        .filter(|(_, name, _)| arguments.case.as_deref().is_none_or(|case| case == *name))
        .collect();
    if wanted.is_empty() {
        usage();
    }
    println!(
        "{} calls of PCMU to {}, {} run(s) of each; detection {} ms\n",
        arguments.calls,
        CODECS.join("/"),
        arguments.repeats,
        DETECTION.as_millis()
    );
    println!(
        "| case | calls lost | to the caller: p50 / p99 / max ms | to the callee: p50 / p99 / max ms | of two at once | records lost |"
    );
    println!("| --- | --- | --- | --- | --- | --- |");
    let mut drawn = Vec::new();
    let mut is_good = true;
    for (case, name, _) in wanted {
        let mut whole: Option<Outcome> = None;
        for _ in 0..arguments.repeats {
            // A thread that has entered a namespace does not come back.
            let calls = arguments.calls;
            let outcome = std::thread::spawn(move || run(case, calls)).join().expect("the run ends");
            whole = Some(match whole {
                None => outcome,
                Some(mut sum) => {
                    sum.lost.extend(outcome.lost);
                    sum.gaps.iter_mut().zip(outcome.gaps).for_each(|(sum, gaps)| sum.extend(gaps));
                    sum.from_two += outcome.from_two;
                    sum.records += outcome.records;
                    sum.calls += outcome.calls;
                    sum
                }
            });
        }
        let Some(outcome) = whole else { continue };
        let lost = outcome.lost.iter().filter(|standing| **standing != Standing::Ended).count();
        let ms = |gaps: &[Duration]| {
            let of = |share| quantile(gaps, share).as_millis();
            format!("{} / {} / {}", of(0.5), of(0.99), of(1.0))
        };
        let missing = outcome.calls as i64 - outcome.records as i64;
        println!(
            "| {name} | {lost} of {} | {} | {} | {} | {missing} |",
            outcome.calls,
            ms(&outcome.gaps[0]),
            ms(&outcome.gaps[1]),
            outcome.from_two
        );
        if lost > 0 {
            println!("|  | {:?} | | | | |", tally(&outcome.lost));
        }
        is_good &= lost == 0 && missing == 0;
        drawn.push((name, outcome.gaps));
    }
    fs::create_dir_all(&arguments.output).expect("the directory of the chart");
    let path = arguments.output.join("gaps.svg");
    fs::write(&path, chart(&drawn)).expect("the chart is written");
    println!("\ncases: {}", Case::ALL.map(|(_, name, meaning)| format!("{name}: {meaning}")).join("; "));
    println!("chart: {}", path.display());
    std::process::exit(i32::from(!is_good));
}

fn run(case: Case, calls: usize) -> Outcome {
    let mut pair = Pair::up("G722, PCMA, G729", [1, 1]);
    pair.take_over(0);
    let mut talkers = Talkers::new(&pair.endpoints(), SIP, [CALLER, CALLEE], calls, &CODECS);
    talkers.call(Duration::from_secs(60));
    talkers.run(Duration::from_secs(2));
    pair.await_warm(1, calls as u64);
    talkers.listen_anew();
    talkers.run(Duration::from_millis(500));
    talkers.listen_anew();
    let taken = std::thread::scope(|scope| {
        let fault = scope.spawn(|| fail(case, &mut pair));
        while !fault.is_finished() {
            talkers.run(Duration::from_millis(10));
        }
        fault.join().expect("the fault happens")
    });
    talkers.run(Duration::from_secs(2));
    let gaps = [0, 1].map(|party| talkers.heard(party).iter().map(|heard| heard.gap).collect());
    let from_two = (0..2).flat_map(|party| talkers.heard(party)).map(|heard| heard.from_two).sum();
    let lost = talkers.hang_up(PATIENCE);
    let until = std::time::Instant::now() + PATIENCE;
    while pair.records().len() < calls && std::time::Instant::now() < until {
        sleep(Duration::from_millis(50));
    }
    assert!(taken as usize <= calls, "more calls than there were");
    Outcome { lost, gaps, from_two, records: pair.records().len(), calls }
}

/// Lets node a fail and node b take over; how many calls it took.
fn fail(case: Case, pair: &mut Pair) -> u64 {
    match case {
        Case::Kill => pair.node(0).process.signal("KILL"),
        Case::Stop => pair.node(0).process.signal("STOP"),
        Case::MediaCut => pair.cut(0, "media0"),
        Case::PowerCut => {
            pair.cut(0, "media0");
            pair.cut(0, "eth0");
        }
        Case::StoreAndKill => {
            pair.redis.signal("KILL");
            pair.node(0).process.signal("KILL");
        }
        Case::Planned => {}
    }
    if case != Case::Planned {
        sleep(DETECTION);
    }
    if matches!(case, Case::MediaCut | Case::Planned) {
        pair.node(0).ctl_json(&["release"]);
    }
    pair.take_over(1)
}

/// Every gap as a dot, case by case, the caller's side above the callee's.
fn chart(cases: &[(&str, [Vec<Duration>; 2])]) -> String {
    const LEFT: f64 = 130.0;
    const WIDTH: f64 = 640.0;
    const ROW: f64 = 26.0;
    let longest = cases.iter().flat_map(|(_, gaps)| gaps.iter().flatten()).max().copied().unwrap_or_default();
    let end_ms = (longest.as_millis() as f64 / 100.0).ceil().max(1.0) * 100.0;
    let height = 60.0 + cases.len() as f64 * 2.0 * ROW;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{}\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <style>text{{fill:#333}}line{{stroke:#bbb}}circle{{fill:#1f6fb2;fill-opacity:.5}}\
         @media(prefers-color-scheme:dark){{text{{fill:#ddd}}line{{stroke:#555}}circle{{fill:#7db9ea}}}}</style>\n",
        LEFT + WIDTH + 40.0
    );
    let x = |ms: f64| LEFT + ms / end_ms * WIDTH;
    for step in 0..=4 {
        let ms = end_ms * f64::from(step) / 4.0;
        // Writing to a string does not fail.
        let _ = writeln!(
            svg,
            "<line x1=\"{0}\" y1=\"20\" x2=\"{0}\" y2=\"{1}\"/><text x=\"{0}\" y=\"{2}\" text-anchor=\"middle\">{ms} ms</text>",
            x(ms),
            height - 35.0,
            height - 18.0
        );
    }
    for (row, (name, gaps)) in cases.iter().enumerate() {
        for (party, (who, gaps)) in ["to the caller", "to the callee"].into_iter().zip(gaps).enumerate() {
            let y = 34.0 + (row * 2 + party) as f64 * ROW;
            let label = if party == 0 { format!("{name}, {who}") } else { who.to_owned() };
            let _ = writeln!(
                svg,
                "<text x=\"{}\" y=\"{}\" text-anchor=\"end\" font-size=\"10\">{label}</text>",
                LEFT - 8.0,
                y + 4.0
            );
            for gap in gaps {
                let ms = gap.as_micros() as f64 / 1000.0;
                let _ =
                    writeln!(svg, "<circle cx=\"{:.1}\" cy=\"{y}\" r=\"3\"><title>{ms:.1} ms</title></circle>", x(ms));
            }
        }
    }
    svg + "</svg>\n"
}
