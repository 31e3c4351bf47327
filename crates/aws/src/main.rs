//! `tandem-aws`: moves a cluster's addresses when the gateway says so. See the library's page for the lines it speaks.

use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use anyhow::Context;
use clap::Parser;
use tandem_aws::protocol::{Answer, Asked, Outcome};
use tandem_aws::{Addresses, CallError, Client, Endpoints, Identity, Metadata, Mover};

/// Between calls that keep the connection open and the keys fresh.
const KEEP_WARM: Duration = Duration::from_secs(20);
/// A call that takes longer is made again.
const CALL_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a move is looked for afterwards.
const CONFIRM: Duration = Duration::from_secs(5);

/// Moves a cluster's addresses on EC2; started by the gateway.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// What floats, as JSON: {"private": ["10.0.0.100"], "elastic": [{"allocation": "eipalloc-0a1b"}], "routes": [{"table":
    /// "rtb-0a1b", "destination": "10.9.0.1/32"}]}.
    #[arg(long, value_name = "FILE")]
    addresses: PathBuf,
    /// Hardware address of the interface that they come to; the instance's first where none is given.
    #[arg(long, value_name = "MAC")]
    interface: Option<String>,
    /// The instance's metadata service.
    #[arg(long, default_value = "http://169.254.169.254")]
    metadata: String,
    /// In place of AWS's own addresses.
    #[arg(long)]
    endpoint: Option<String>,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let text = std::fs::read(&arguments.addresses)
        .with_context(|| format!("--addresses: cannot read {}", arguments.addresses.display()))?;
    let addresses: Addresses = serde_json::from_slice(&text)
        .with_context(|| format!("--addresses: {} is not understood", arguments.addresses.display()))?;
    let metadata = Metadata::new(&arguments.metadata);
    let identity = metadata.identity(arguments.interface.as_deref())?;
    let endpoints = Endpoints { all: arguments.endpoint };
    let client = Client::new(metadata, &identity.region, endpoints, CALL_TIMEOUT);
    client.renew_credentials(SystemTime::now())?;
    let mover = Arc::new(Mover::new(client, identity.interface.clone(), addresses));
    keep_warm(mover.clone());

    let output = Arc::new(Mutex::new(std::io::stdout()));
    for line in std::io::stdin().lock().lines() {
        let line = line.context("standard input")?;
        let (mover, identity, output) = (mover.clone(), identity.clone(), output.clone());
        // A look must not make a move wait.
        std::thread::spawn(move || {
            let answer = match serde_json::from_str(&line) {
                Ok(asked) => perform(&mover, &identity, &asked),
                Err(error) => Answer { id: 0, outcome: Outcome::Misunderstood(error.to_string()) },
            };
            let mut output = output.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            // When nobody reads any more, the gateway has ended, and this process with it.
            let _ = serde_json::to_writer(&mut *output, &answer);
            let _ = writeln!(output).and_then(|()| output.flush());
        });
    }
    Ok(())
}

/// Looks where the addresses are now and then, so that the connection is open when it matters.
fn keep_warm(mover: Arc<Mover>) {
    std::thread::spawn(move || {
        loop {
            if let Err(error) = mover.client().renew_credentials(SystemTime::now()) {
                eprintln!("tandem-aws: {error}");
            }
            if let Err(error) = mover.is_here() {
                eprintln!("tandem-aws: {error}");
            }
            std::thread::sleep(KEEP_WARM);
        }
    });
}

fn perform(mover: &Mover, identity: &Identity, asked: &Asked) -> Answer {
    match *asked {
        Asked::Move { id, within_ms } => {
            let outcome = match mover.move_here(Duration::from_millis(within_ms)) {
                Ok(report) => Outcome::Moved(report),
                Err(error) => {
                    let refused = matches!(error, CallError::Refused { .. });
                    Outcome::NotMoved { refused, error: error.to_string() }
                }
            };
            if matches!(outcome, Outcome::Moved(_)) && mover.confirm(CONFIRM) == Ok(false) {
                eprintln!("tandem-aws: the addresses were moved and are still said to be elsewhere");
            }
            Answer { id, outcome }
        }
        Asked::Locate { id } => Answer { id, outcome: Outcome::Here(mover.is_here().ok()) },
        Asked::Identify { id } => Answer { id, outcome: Outcome::Identity(identity.clone()) },
    }
}
