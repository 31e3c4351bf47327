//! `tandem capacity`: how many calls a machine takes, measured; reports of it, and what they say side by side.

mod files;
mod gauge;
mod live;
mod machine;
mod measure;
mod mixes;
mod offline;
mod own_gateway;
mod point;
mod process_gauge;
mod progress;
mod rate;
mod threads;

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use crate::exit::Failure;

pub(crate) use offline::{PlanArguments, plan};

#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    measure: Box<live::MeasureArguments>,
}

#[derive(Subcommand)]
enum Command {
    /// Puts reports side by side: what held, what it costs, and which differences are inside the noise.
    Compare(CompareArguments),
    /// Makes the page of a report anew.
    Page {
        /// The report.
        report: PathBuf,
        /// The page.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Prints what a report would say about this machine, for --gateway-machine.
    Machine {
        /// What to call it.
        #[arg(long)]
        name: Option<String>,
    },
}

#[derive(Args)]
struct CompareArguments {
    /// Reports; differences are told against the first.
    #[arg(required = true, num_args = 1..)]
    reports: Vec<PathBuf>,
    /// Prices, for the cost of a call (configs/prices.example.yaml shows how).
    #[arg(long, value_name = "FILE")]
    prices: Option<PathBuf>,
    /// How to tell it.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Where to write it; standard output if left out.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// How an answer is told.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A table.
    Text,
    /// JSON.
    Json,
    /// A page.
    Html,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.command {
        None => live::measure(&arguments.measure),
        Some(Command::Compare(compare)) => offline::compare(compare),
        Some(Command::Page { report, out }) => offline::page(report, out),
        Some(Command::Machine { name }) => offline::machine(name.clone()),
    }
}
