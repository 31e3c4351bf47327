//! The binary `tandem`: a command line, and the wiring of the parts.
#![forbid(unsafe_code)]

mod api;
mod capacity;
mod check;
mod codec;
mod ctl;
#[cfg(feature = "dpdk")]
mod dataplane;
mod docs;
mod exit;
mod load;
mod machine;
#[cfg(feature = "dpdk")]
mod packet_pools;
mod run;
#[cfg(feature = "dpdk")]
mod slowed;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use exit::Failure;

/// A kernel-bypass media gateway: SIP calls in, RTP between networks on DPDK ports.
#[derive(Parser)]
#[command(version, arg_required_else_help = true, after_help = exit::HELP)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs the gateway in the foreground until SIGTERM or SIGINT; SIGHUP reads the configuration again.
    Run(run::Arguments),
    /// Checks a configuration, and whether this machine can run it.
    Check(check::Arguments),
    /// Asks a running gateway, or tells it what to do.
    Ctl(ctl::Arguments),
    /// Encodes, decodes and transcodes speech files offline, with the code that calls run through.
    Codec(codec::CodecArgs),
    /// Puts calls on a gateway, counts and times every packet, and checks the audio that comes back.
    Load(load::Arguments),
    /// Measures how many calls a gateway takes at a service level, and what binds; reports side by side, as a page.
    Capacity(capacity::Arguments),
    /// Plans a fleet from capacity reports: how many instances of which type, what a failure does, what it costs.
    Plan(capacity::PlanArguments),
    /// Prints parts of the manual that are made from the program itself.
    Docs(docs::Arguments),
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Run(arguments) => run::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Ctl(arguments) => ctl::run(&arguments),
        Command::Codec(arguments) => codec::run(arguments).map_err(|error| Failure::Running(error.into())),
        Command::Load(arguments) => load::run(&arguments),
        Command::Capacity(arguments) => capacity::run(&arguments),
        Command::Plan(arguments) => capacity::plan(&arguments),
        Command::Docs(arguments) => docs::run(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("tandem: {failure}");
            failure.code()
        }
    }
}
