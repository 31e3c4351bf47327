//! `tandem ctl bans`.

use std::net::IpAddr;

use clap::Subcommand;
use serde_json::Value;

use super::client::Client;
use super::{Table, rows, text, told};
use crate::exit::Failure;

#[derive(Subcommand)]
pub(super) enum Bans {
    /// Every ban, the one that ends first in front.
    List,
    /// Does not hear an address for some time.
    Add {
        /// The address, as in 192.0.2.1.
        source: IpAddr,
        /// For so many seconds.
        #[arg(long, default_value_t = 600)]
        seconds: u32,
    },
    /// Hears an address again.
    Remove {
        /// The address.
        source: IpAddr,
    },
}

pub(super) fn run(client: &Client, json: bool, command: &Bans) -> Result<String, Failure> {
    Ok(match command {
        Bans::List => told(json, &client.get("/v1/bans")?, table),
        Bans::Add { source, seconds } => {
            let wanted = serde_json::json!({ "source": source, "seconds": seconds });
            told(json, &client.post_json("/v1/bans", &wanted)?, |_| format!("{source} banned for {seconds} s\n"))
        }
        Bans::Remove { source } => {
            told(json, &client.delete(&format!("/v1/bans/{source}"))?, |_| format!("{source} is heard again\n"))
        }
    })
}

fn table(bans: &Value) -> String {
    let mut table = Table::new(&["source", "offence", "left s"]);
    for ban in rows(bans) {
        table.row([text(&ban["source"]), text(&ban["offence"]), text(&ban["left_s"])]);
    }
    table.to_string()
}
