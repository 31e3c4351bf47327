//! What one core takes over a memif, beside a bare echo on the same device in the same run.
//!
//! Two processes, one core each, share a memif: a [source](source) of 20 ms packets that counts what comes back, and either an
//! echo that touches nothing (the floor under everything) or a [worker](worker) with some thousand flows.
//! `cargo bench -p tandem-gateway --bench memif [-- PATH]` as root, with 2 MiB pages free; `PATH` is a part of a row's name.
#![allow(missing_docs)]

mod alone;
mod end;
mod frames;
mod source;
mod speech;
mod worker;

use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command as Process, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};
use frames::Path;

/// How often what is compared with the codec alone is measured beside it.
const TURNS: usize = 3;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// The core of the source, and that of the worker.
const SOURCE_CORE: usize = 0;
const WORKER_CORE: usize = 1;

#[derive(Parser)]
struct Arguments {
    /// Given by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Packets per second to send; 0 sends as many as the ring takes.
    #[arg(long, hide = true, default_value_t = 0)]
    rate: u64,
    /// Only rows whose names hold this.
    wanted: Option<String>,
    #[command(subcommand)]
    side: Option<Side>,
}

#[derive(Subcommand)]
enum Side {
    #[command(hide = true)]
    Source { socket: String, flows: u16, path: Path },
    #[command(hide = true)]
    Echo { socket: String },
    #[command(hide = true)]
    Worker { socket: String, flows: u16, path: Path },
    /// The codec of a path without packets around it, at the same lanes.
    #[command(hide = true)]
    Alone { path: Path },
    /// The memory of an engine with so many transcoded calls.
    #[command(hide = true)]
    Memory { calls: u32, secured: Option<String> },
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let seconds = arguments.seconds;
    match arguments.side {
        None => measure_all(seconds, arguments.wanted.as_deref().unwrap_or_default()),
        Some(Side::Source { socket, flows, path }) => source::run(&socket, flows, path, seconds, arguments.rate),
        Some(Side::Echo { socket }) => worker::echo(&socket),
        Some(Side::Worker { socket, flows, path }) => worker::run(&socket, flows, path),
        Some(Side::Alone { path }) => alone::run(path, seconds),
        Some(Side::Memory { calls, secured }) => worker::memory(calls, secured.is_some()),
    }
}

/// Ends its process when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // By force: what it holds of DPDK is nameless memory and goes with it.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What one pair of processes did.
#[derive(Clone, Copy, Debug, Default)]
struct Measured {
    /// Packets of calls a second that came back.
    rate: f64,
    /// Packets of calls, and those that did not come back.
    sent: u64,
    lost: u64,
    /// Of those, what the ring did not take; and junk a second.
    refused: u64,
    refused_junk: f64,
    /// Of the worker: allocations per packet, and the latency that it added.
    allocations: f64,
    p50_us: f64,
    p99_9_us: f64,
    /// The part of its time that it had work, the packets of calls that it dropped, and for how long the machine stopped it: in all, and at most.
    busy: f64,
    dropped: u64,
    stood_ms: f64,
    stood_most_ms: f64,
}

fn measure_all(seconds: u64, wanted: &str) -> Result<()> {
    println!("one core over memif, packets of 20 ms, {seconds} s each");
    println!("{:<42}{:>12}{:>12}{:>14}", "path", "packets/s", "of the echo", "allocations");
    let floor = measure(Path::Echo, 1, seconds, 0)?.rate;
    println!("{:<42}{floor:>12.0}{:>12}", "echo, nothing touched", "1.00");
    let mut rates = Vec::new();
    for (name, path, flows) in [
        ("relay, 1 flow", Path::Relay, 1),
        ("relay, 1,000 flows", Path::Relay, 1_000),
        ("relay, 10,000 flows", Path::Relay, 10_000),
        ("G.711 mu-law to A-law, 1,000 flows", Path::MuToA, 1_000),
        ("G.711 to G.722, 1,000 flows", Path::MuToG722, 1_000),
        ("G.711 to G.729, 1,000 flows", Path::MuToG729, 1_000),
        ("G.729 to G.711, 1,000 flows", Path::G729ToMu, 1_000),
        ("G.711 and G.729 both ways, 1,000 flows", Path::MuAndG729, 1_000),
        ("SRTP to RTP, AES-CM-128 HMAC-SHA1-80", Path::CmToPlain, 1_000),
        ("RTP to SRTP, AES-CM-128 HMAC-SHA1-80", Path::PlainToCm, 1_000),
        ("SRTP to RTP, AES-GCM-128", Path::GcmToPlain, 1_000),
        ("RTP to SRTP, AES-GCM-128", Path::PlainToGcm, 1_000),
    ] {
        if !name.contains(wanted) {
            continue;
        }
        let measured = measure(path, flows, seconds, 0)?;
        let share = measured.rate / floor;
        println!("{name:<42}{:>12.0}{share:>12.2}{:>14.4}", measured.rate, measured.allocations);
        if matches!(path, Path::MuToG729 | Path::G729ToMu | Path::MuAndG729) {
            // In turn, so that both had the same machine, which is not the same all the time.
            let mut shares = Vec::new();
            let (mut alone, mut with_packets) = (0.0, measured.rate);
            for _ in 0..TURNS {
                alone = printed(&["--seconds", &seconds.to_string(), "alone", path.name()])?.trim().parse()?;
                shares.push(with_packets / alone);
                with_packets = measure(path, flows, seconds, 0)?.rate;
                shares.push(with_packets / alone);
            }
            shares.sort_by(f64::total_cmp);
            let (least, median, most) = (shares[0], shares[TURNS], shares[2 * TURNS - 1]);
            println!(
                "{:<42}{alone:>12.0}{median:>26.2} of it ({least:.2} to {most:.2})",
                "  the codec alone, batches of 32"
            );
        }
        rates.push((name, path, flows, measured.rate));
    }
    println!("\n{:<42}{:>12}{:>12}{:>14}{:>10}", "at 80 % of that", "packets/s", "added p50", "p99.9 in us", "lost");
    for (name, path, flows, rate) in rates {
        if flows != 1_000 || !matches!(path, Path::Relay | Path::MuToG729) {
            continue;
        }
        let at = measure(path, flows, seconds, (rate * 0.8) as u64)?;
        println!("{name:<42}{:>12.0}{:>12.1}{:>14.1}{:>10}", at.rate, at.p50_us, at.p99_9_us, at.lost);
    }
    if "flood".contains(wanted) {
        let frames = 50_000 * (1 + u64::from(frames::JUNK_PER_PACKET));
        let flood = measure(Path::Flood, 1_000, seconds, frames)?;
        let Measured { lost, sent, refused, refused_junk, busy, dropped, stood_ms, stood_most_ms, .. } = flood;
        println!(
            "\n1,000 calls of 50 packets/s beside {} packets/s of junk: {lost} of {sent} packets of calls lost",
            50_000 * u64::from(frames::JUNK_PER_PACKET),
        );
        println!(
            "  {dropped} of them dropped by the gateway, whose core had {:.0} % of its time left",
            100.0 - busy * 100.0
        );
        println!(
            "  {refused} of them refused by its ring of {} frames, and {refused_junk:.0} frames/s of junk; the machine stopped the core for {stood_ms:.1} ms in \
             all, {stood_most_ms:.1} ms at most, and the ring holds {:.1} ms",
            1 << Path::Flood.ring_log2(),
            f64::from(1_000 << Path::Flood.ring_log2()) / frames as f64,
        );
    }
    if "memory".contains(wanted) {
        let resident = |calls: &'static str, secured: Option<&'static str>| -> Result<f64> {
            let arguments: Vec<&str> = ["memory", calls].into_iter().chain(secured).collect();
            Ok(printed(&arguments)?.trim().parse()?)
        };
        println!();
        for (with, secured) in [("", None), (", both legs with SRTP", Some("secured"))] {
            let (few, many) = (resident("1000", secured)?, resident("11000", secured)?);
            println!("memory of a G.711 and G.729 call in the worker{with}: {:.0} octets", (many - few) / 10_000.0);
        }
    }
    Ok(())
}

/// What another side of this program prints.
fn printed(arguments: &[&str]) -> Result<String> {
    let output = Process::new(std::env::current_exe()?).args(arguments).stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(format!("{arguments:?} failed").into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

fn measure(path: Path, flows: u16, seconds: u64, rate: u64) -> Result<Measured> {
    // One of its own each time: that of the last one stays where it was.
    static MEASURED: AtomicU32 = AtomicU32::new(0);
    let socket = format!("/run/tandem-bench-{}-{}.sock", std::process::id(), MEASURED.fetch_add(1, Ordering::Relaxed));
    let flows = flows.to_string();
    let this = std::env::current_exe()?;
    let mut command = Process::new(&this);
    match path {
        Path::Echo => command.args(["echo", &socket]),
        _ => command.args(["worker", &socket, &flows, path.name()]),
    };
    let mut other = Running(command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?);
    let until = Instant::now() + Duration::from_secs(20);
    while !std::path::Path::new(&socket).exists() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(10));
    }
    let mut source = Running(
        Process::new(&this)
            .args(["--seconds", &seconds.to_string(), "--rate", &rate.to_string()])
            .args(["source", &socket, &flows, path.name()])
            .stdout(Stdio::piped())
            .spawn()?,
    );
    let mut said = BufReader::new(source.0.stdout.take().ok_or("the source has no output")?).lines();
    let mut to_worker: Option<ChildStdin> = other.0.stdin.take();
    let mut measured = Measured::default();
    // The source says when it begins, and at the end what it counted.
    said.next().ok_or("the source failed")??;
    if let Some(worker) = &mut to_worker {
        worker.write_all(b"begin\n")?;
    }
    let counts = said.next().ok_or("the source failed")??;
    let [rate, sent, lost, refused, refused_junk] = numbers(&counts)?;
    (measured.rate, measured.sent, measured.lost) = (rate, sent as u64, lost as u64);
    (measured.refused, measured.refused_junk) = (refused as u64, refused_junk);
    drop(to_worker);
    if path != Path::Echo {
        let mut line = String::new();
        BufReader::new(other.0.stdout.take().ok_or("the worker has no output")?).read_line(&mut line)?;
        let [allocations, p50_us, p99_9_us, busy, dropped, stood_us, stood_most_us] = numbers(&line)?;
        (measured.allocations, measured.p50_us, measured.p99_9_us) = (allocations, p50_us, p99_9_us);
        (measured.busy, measured.dropped) = (busy, dropped as u64);
        (measured.stood_ms, measured.stood_most_ms) = (stood_us / 1000.0, stood_most_us / 1000.0);
    }
    Ok(measured)
}

fn numbers<const N: usize>(line: &str) -> Result<[f64; N]> {
    let numbers = line.split_whitespace().map(str::parse).collect::<std::result::Result<Vec<f64>, _>>()?;
    numbers.try_into().map_err(|_| format!("{N} numbers expected, not {line:?}").into())
}
