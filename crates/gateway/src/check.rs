//! `tandem check`: the configuration, then the machine.

use std::path::PathBuf;

use clap::Args;

use crate::exit::Failure;

#[derive(Args)]
pub(crate) struct Arguments {
    /// The configuration file.
    #[arg(short, long, value_name = "FILE", default_value = "/etc/tandem/tandem.yaml")]
    config: PathBuf,
    /// Leave the machine out: only whether the file holds together.
    #[arg(long)]
    config_only: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let config = tandem_config::load(&arguments.config)?;
    println!(
        "{}: {} peers, {} routes, up to {} calls on {} worker(s)",
        arguments.config.display(),
        config.peers.len(),
        config.routes.len(),
        config.limits.max_calls,
        config.workers.cores.len()
    );
    Ok(())
}
