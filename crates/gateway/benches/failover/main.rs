//! What a failover costs, case by case: `benches/failover.sh`.
//!
//! The parties are [`Talkers`], in one thread of this process; both gateways are processes of their own in network namespaces
//! of their own, which watch each other and take over by themselves. Two stores are beside the parties: one has the calls, the
//! other the third vote of the cluster, for a pair whose third vote died with the store of calls could not tell a dead node
//! from a cut cable.
#![allow(missing_docs, unreachable_pub, dead_code, reason = "a program, which uses a part of what the tests share")]

#[path = "../../tests/support/mod.rs"]
mod support;

mod account;
mod cases;
mod chart;
mod run;
mod table;

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use cases::Case;
use run::Run;
use table::{Summary, costs, durations};

struct Arguments {
    calls: usize,
    repeats: usize,
    case: Option<Case>,
    beat_ms: u32,
    output: PathBuf,
}

fn arguments() -> Arguments {
    let mut wanted = Arguments { calls: 200, repeats: 3, case: None, beat_ms: 20, output: "target/failover".into() };
    let mut given = std::env::args().skip(1).filter(|argument| argument != "--bench");
    while let Some(name) = given.next() {
        let mut value = || given.next().unwrap_or_else(|| usage());
        match name.as_str() {
            "--calls" => wanted.calls = value().parse().unwrap_or_else(|_| usage()),
            "--repeats" => wanted.repeats = value().parse().unwrap_or_else(|_| usage()),
            "--beat-ms" => wanted.beat_ms = value().parse().unwrap_or_else(|_| usage()),
            "--case" => wanted.case = Some(Case::named(&value()).unwrap_or_else(|| usage())),
            "--output" => wanted.output = value().into(),
            _ => usage(),
        }
    }
    wanted
}

fn usage() -> ! {
    eprintln!(
        "usage: failover [--calls N] [--repeats N] [--beat-ms N] [--case NAME] [--output DIRECTORY]\n\n\
         --calls    calls that are up, 200 where nothing is said\n\
         --repeats  runs of each case, 3 where nothing is said\n\
         --beat-ms  between heartbeats, 20 where nothing is said\n\
         --output   where the chart goes, target/failover where nothing is said\n\ncases:"
    );
    for case in Case::ALL {
        eprintln!("  {:<15} {}", case.name(), case.meaning());
    }
    std::process::exit(2);
}

fn main() {
    let arguments = arguments();
    if !support::may_make_networks("failover") {
        std::process::exit(2);
    }
    let wanted: Vec<Case> =
        Case::ALL.into_iter().filter(|case| arguments.case.is_none_or(|wanted| wanted == *case)).collect();
    let Arguments { calls, repeats, beat_ms, .. } = arguments;
    let total = wanted.len() * repeats;
    let started = Instant::now();
    let mut done = 0;
    let mut summaries = Vec::new();
    for case in wanted {
        // A thread that has entered a namespace does not come back.
        let runs = std::thread::spawn(move || {
            let progress = |run: &Run| {
                done += 1;
                let left = started.elapsed().mul_f64((total - done) as f64 / done as f64);
                eprintln!("[{done}/{total}, {} s left] {}: {run}", left.as_secs(), case.name());
            };
            run::repeat(case, calls, repeats, beat_ms, progress)
        });
        let runs = runs.join().expect("the runs end");
        done += runs.len();
        summaries.push(Summary::of(case, &runs));
    }
    println!(
        "{calls} calls of PCMU to {}, {repeats} run(s) of each case, beats of {beat_ms} ms\n",
        run::CODECS.join(", ")
    );
    println!("{}", costs(&summaries));
    println!("{}", durations(&summaries));
    for case in Case::ALL {
        println!("{}: {}", case.name(), case.meaning());
    }
    fs::create_dir_all(&arguments.output).expect("the directory of the chart");
    let path = arguments.output.join("gaps.svg");
    fs::write(&path, chart::svg(&summaries)).expect("the chart is written");
    println!("\nchart: {}", path.display());
    let missed: Vec<String> = summaries.iter().flat_map(Summary::misses).collect();
    missed.iter().for_each(|miss| println!("missed: {miss}"));
    std::process::exit(i32::from(!missed.is_empty()));
}

/// Milliseconds with one decimal.
fn ms(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 10_000.0).round() / 10.0
}
