//! `tandem load`: so many calls for so long, and what came of them.

mod control;
#[cfg(feature = "dpdk")]
mod device;
mod kernel;
mod set_up;
mod source;
mod summary;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use clap::Args;
use tandem_loadgen::{Impairments, LoadOutcome, LoadSpec, Mix};

use crate::exit::Failure;

pub(crate) use set_up::endpoints;
pub(crate) use source::{SourceArgs, network, open};

#[derive(Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    source: SourceArgs,
    /// Kinds of calls, with weights: pcmu-pcma, or 3*pcmu-pcmu,1*pcmu-g729@40. A leg is pcmu, pcma, g722 or g729, with @ and milliseconds
    /// per packet where they are not 20, and +srtp (AES_CM_128_HMAC_SHA1_80) or +gcm (AEAD_AES_128_GCM) where its packets are SRTP.
    #[arg(long, default_value = "pcmu-pcma")]
    mix: Mix,
    /// Concurrent calls. A call is two legs that both send.
    #[arg(long, value_name = "NUMBER", default_value_t = 100)]
    calls: u32,
    /// Seconds to measure.
    #[arg(long, default_value_t = 10)]
    seconds: u32,
    /// Milliseconds in which everything is sent but nothing counted, before those seconds.
    #[arg(long, value_name = "MS", default_value_t = 1_000)]
    warm_up_ms: u32,
    /// Per cent of packets that the source withholds, as a lossy network would.
    #[arg(long, value_name = "PER CENT", default_value_t = 0.0)]
    loss_percent: f64,
    /// Packets withheld in a row, on average.
    #[arg(long, value_name = "PACKETS", default_value_t = 1.0)]
    loss_burst: f64,
    /// Every packet leaves up to so many milliseconds after its time.
    #[arg(long, value_name = "MS", default_value_t = 0)]
    jitter_ms: u8,
    /// Per cent of the time in which a speaker is silent and sends nothing.
    #[arg(long, value_name = "PER CENT", default_value_t = 0)]
    silence_percent: u8,
    /// All calls send in the same so many moments of a packet time; 0 spreads them evenly.
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    bursts_per_packet_time: u8,
    /// The same seed sends the same packets.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Print the outcome as JSON in place of the table.
    #[arg(long)]
    json: bool,
    /// No line a second on standard error.
    #[arg(long, short)]
    quiet: bool,
}

impl Arguments {
    fn spec(&self) -> LoadSpec {
        LoadSpec {
            warm_up_ms: self.warm_up_ms,
            impairments: Impairments {
                loss_percent: self.loss_percent,
                loss_burst: self.loss_burst,
                jitter_ms: self.jitter_ms,
                silence_percent: self.silence_percent,
                bursts_per_packet_time: self.bursts_per_packet_time,
            },
            seed: self.seed,
            ..LoadSpec::new(self.mix.clone(), self.calls, self.seconds)
        }
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let spec = arguments.spec();
    spec.check().context("the load").map_err(Failure::Running)?;
    let stop = Arc::new(AtomicBool::new(false));
    let mut runner = open(&arguments.source)?;
    stop_on_signal(&stop)?;
    let quiet = arguments.quiet;
    let mut progress = |progress| {
        if !quiet {
            eprintln!("{}", summary::line(&progress));
        }
    };
    let outcome = runner.run(&spec, &mut progress, &stop).context("tandem load").map_err(Failure::Running)?;
    if arguments.json {
        println!("{}", serde_json::to_string(&outcome).context("the outcome")?);
    } else {
        print!("{}", summary::table(&outcome));
    }
    verdict(&outcome)
}

/// What the exit code says.
fn verdict(outcome: &LoadOutcome) -> Result<(), Failure> {
    if outcome.is_void() {
        let reasons: Vec<String> = outcome.void.iter().map(ToString::to_string).collect();
        return Err(Failure::Void(reasons));
    }
    let wrong: u64 = outcome.directions.iter().map(|direction| direction.wrong_audio).sum();
    if outcome.lost() > 0 || wrong > 0 || outcome.calls.one_way > 0 {
        return Err(Failure::Calls {
            lost: outcome.lost(),
            of: outcome.sent(),
            wrong_audio: outcome.calls.wrong_audio,
            one_way: outcome.calls.one_way,
        });
    }
    Ok(())
}

/// SIGINT and SIGTERM end the run early, with what was measured; the second one ends the program.
pub(crate) fn stop_on_signal(stop: &Arc<AtomicBool>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("signals")?;
    let stop = stop.clone();
    let wait = move || {
        let waited: std::io::Result<()> = runtime.block_on(async {
            use tokio::signal::unix::{SignalKind, signal};
            let (mut int, mut term) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
            for again in [false, true] {
                tokio::select! { _ = int.recv() => {}, _ = term.recv() => {} }
                if again {
                    std::process::exit(1);
                }
                stop.store(true, Ordering::Relaxed);
            }
            Ok(())
        });
        if let Err(error) = waited {
            eprintln!("tandem: signals are not taken: {error}");
        }
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(wait).context("a thread for signals")?;
    Ok(())
}
