//! `tandem ctl subscriber` and `tandem ctl registration`.

use std::io::BufRead as _;

use clap::Subcommand;
use serde_json::{Value, json};

use super::client::Client;
use super::{Table, rows, text};
use crate::exit::Failure;

#[derive(Subcommand)]
pub(super) enum Subscriber {
    /// Every subscriber's name.
    List,
    /// Adds a subscriber; the password is the first line of standard input.
    Add {
        /// The user part of its address.
        name: String,
    },
    /// Gives a subscriber another password, from the first line of standard input.
    SetPassword {
        /// The user part of its address.
        name: String,
    },
    /// Removes a subscriber and its registrations.
    Remove {
        /// The user part of its address.
        name: String,
    },
}

#[derive(Subcommand)]
pub(super) enum Registration {
    /// Who is registered, and where.
    List,
    /// Forgets where a subscriber is; its telephone registers again when it thinks it is time to.
    Remove {
        /// The user part of its address.
        name: String,
    },
}

/// An answer, and how people are told it.
type Told = (Value, fn(&Value) -> String);

pub(super) fn subscriber(client: &Client, command: &Subscriber) -> Result<Told, Failure> {
    Ok(match command {
        Subscriber::List => {
            (client.get("/v1/subscribers")?, |names| rows(names).map(|name| text(name) + "\n").collect())
        }
        Subscriber::Add { name } | Subscriber::SetPassword { name } => {
            let mut password = String::new();
            let read = std::io::stdin().lock().read_line(&mut password);
            read.map_err(|error| Failure::Remote(format!("standard input: {error}")))?;
            let body = json!({ "password": password.trim_end_matches(['\r', '\n']) });
            let answer = client.put_json(&format!("/v1/subscribers/{name}"), &body)?;
            (answer, |answer| {
                let what = if answer["added"] == true { "added" } else { "has a new password" };
                format!("{} {what}\n", text(&answer["subscriber"]))
            })
        }
        Subscriber::Remove { name } => (client.delete(&format!("/v1/subscribers/{name}"))?, |answer| {
            format!("{} removed\n", text(&answer["removed"]))
        }),
    })
}

pub(super) fn registration(client: &Client, command: &Registration) -> Result<Told, Failure> {
    Ok(match command {
        Registration::List => (client.get("/v1/registrations")?, |registrations| {
            let mut table = Table::new(&["subscriber", "contact", "over", "by", "q", "expires s", "agent"]);
            for one in rows(registrations) {
                table.row(
                    ["subscriber", "contact", "sent_to", "transport", "q", "expires_s", "user_agent"]
                        .map(|name| text(&one[name])),
                );
            }
            table.to_string()
        }),
        Registration::Remove { name } => (client.delete(&format!("/v1/registrations/{name}"))?, |answer| {
            format!("{} removed\n", text(&answer["removed"]))
        }),
    })
}
