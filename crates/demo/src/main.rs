//! Audits the demonstration: matches the two captures call by call through the call records, transcodes offline what each
//! endpoint sent, compares what the other received, and prints one table. Fails unless every call is exact.
#![forbid(unsafe_code)]

mod audit;
mod capture;
mod offline;
mod records;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use hdrhistogram::Histogram;

use audit::Direction;
use capture::{Capture, LegTraffic};
use records::{Leg, Record};

/// Compares what arrived in the demo with the offline transcode of what was sent.
#[derive(Parser)]
struct Arguments {
    /// Capture at the caller's interface (pcap).
    #[arg(long)]
    caller: PathBuf,
    /// Capture at the callee's interface (pcap).
    #[arg(long)]
    callee: PathBuf,
    /// The gateway's media address.
    #[arg(long)]
    media: IpAddr,
    /// The gateway's directory of call records.
    #[arg(long)]
    records: PathBuf,
    /// What `tandem ctl stats --json` printed.
    #[arg(long)]
    stats: PathBuf,
    /// How many calls were made.
    #[arg(long)]
    calls: u64,
}

/// The calls of one pair of codecs, one direction.
#[derive(Default)]
struct Row {
    calls: u64,
    sent: u64,
    arrived: u64,
    lost: u64,
    exact: u64,
    first_difference: Option<u64>,
}

impl Row {
    fn add(&mut self, direction: &Direction) {
        self.calls += 1;
        self.sent += direction.sent;
        self.arrived += direction.arrived;
        self.lost += direction.lost;
        self.exact += u64::from(direction.is_exact());
        self.first_difference = self.first_difference.or(direction.first_difference);
    }
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("tandem-demo: not every call arrived exactly as it should");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("tandem-demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<bool> {
    let caller = capture::read(&arguments.caller, arguments.media)?;
    let callee = capture::read(&arguments.callee, arguments.media)?;
    let stats = std::fs::read_to_string(&arguments.stats)
        .with_context(|| format!("cannot read {}", arguments.stats.display()))?;
    let stats: serde_json::Value =
        serde_json::from_str(&stats).with_context(|| format!("{} is not JSON", arguments.stats.display()))?;
    let records = records::read(&arguments.records)?;
    let answered: Vec<&Record> = records.iter().filter(|record| record.status == 200).collect();

    let mut wire_us = Histogram::new(3).context("histogram")?;
    let mut rows: BTreeMap<(bool, String), Row> = BTreeMap::new();
    for record in &answered {
        let (a, b) = (&record.caller, &record.callee);
        for (backwards, from, to, from_capture, to_capture) in
            [(false, a, b, &caller, &callee), (true, b, a, &callee, &caller)]
        {
            let (from_codec, to_codec) = (codec_of(from)?, codec_of(to)?);
            let sent = &traffic_of(from_capture, from)?.sent;
            let arrived = &traffic_of(to_capture, to)?.arrived;
            let expected =
                offline::transcode(from_codec, to_codec, sent.iter().map(|packet| packet.payload.as_slice()))?;
            let direction = audit::compare(sent, &expected, arrived, &mut wire_us);
            rows.entry((backwards, format!("{from_codec} -> {to_codec}"))).or_default().add(&direction);
        }
    }

    println!();
    println!("  {:<16}{:>6}{:>12}{:>13}{:>7}   bit-for-bit", "audio", "calls", "packets in", "packets out", "lost");
    for ((_, codecs), row) in &rows {
        let difference = row.first_difference.map(|packet| format!(", first difference at packet {packet}"));
        println!(
            "  {:<16}{:>6}{:>12}{:>13}{:>7}   {} of {}{}",
            codecs,
            row.calls,
            row.sent,
            row.arrived,
            row.lost,
            row.exact,
            row.calls,
            difference.unwrap_or_default()
        );
    }
    println!();
    println!("  calls            {} made, {} answered", arguments.calls, answered.len());
    let quantile = |name: &str| match stats["added_latency_us"][name].as_f64() {
        Some(micros) => format!("{micros:.0} us"),
        None => "not reported".to_owned(),
    };
    println!(
        "  added latency    p50 {}, p99 {}, p99.9 {} (in the worker, receive burst to transmit)",
        quantile("p50"),
        quantile("p99"),
        quantile("p99_9")
    );
    println!(
        "  end to end       p50 {} us, p99 {} us, p99.9 {} us (caller's interface to callee's, kernel veths and bridge included)",
        wire_us.value_at_quantile(0.5),
        wire_us.value_at_quantile(0.99),
        wire_us.value_at_quantile(0.999)
    );
    println!();
    let exact = rows.values().all(|row| row.exact == row.calls);
    Ok(exact && answered.len() as u64 == arguments.calls && records.len() as u64 == arguments.calls)
}

fn codec_of(leg: &Leg) -> Result<&str> {
    leg.codec.as_deref().context("an answered call's record has a leg without a codec")
}

fn traffic_of<'a>(capture: &'a Capture, leg: &Leg) -> Result<&'a LegTraffic> {
    let local = leg.local_media.context("an answered call's record has a leg without a media address")?;
    capture.get(&local).with_context(|| format!("no RTP to or from {local} was captured"))
}
