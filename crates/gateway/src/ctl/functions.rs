//! Recording, playing and forking.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::Value;

use super::client::Client;
use super::{list, text};
use crate::exit::Failure;

#[derive(Subcommand)]
pub(super) enum Record {
    /// Records a call to files in the gateway's `recording.directory`.
    Start {
        /// The call's number, as `tandem ctl calls` shows it.
        call: u64,
    },
    /// Completes the files; the end of the call does so too.
    Stop {
        /// The call's number.
        call: u64,
    },
}

/// Who is on a leg.
#[derive(Clone, Copy, ValueEnum)]
pub(super) enum Leg {
    /// The side that called.
    Caller,
    /// The side that was called.
    Callee,
}

#[derive(Args)]
pub(super) struct Play {
    /// The call's number, as `tandem ctl calls` shows it.
    call: u64,
    /// Who is to hear it, in place of the other party.
    leg: Leg,
    /// A WAV file of 8, 16 or 48 kHz; it is sent to the gateway.
    #[arg(required_unless_present = "stop")]
    file: Option<PathBuf>,
    /// Again and again, until it is stopped.
    #[arg(long)]
    repeat: bool,
    /// Ends what is being played.
    #[arg(long, conflicts_with_all = ["file", "repeat"])]
    stop: bool,
}

#[derive(Args)]
pub(super) struct Fork {
    /// The call's number, as `tandem ctl calls` shows it.
    call: u64,
    /// Whose voice.
    leg: Leg,
    /// The RTP address that gets the copy.
    #[arg(required_unless_present = "stop", value_name = "ADDRESS:PORT")]
    to: Option<SocketAddr>,
    /// No longer.
    #[arg(long, conflicts_with = "to")]
    stop: bool,
}

impl Leg {
    const fn name(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Callee => "callee",
        }
    }
}

/// The gateway's answer, and how people are told of it.
type Told = (Value, fn(&Value) -> String);

pub(super) fn record(client: &Client, record: &Record) -> Result<Told, Failure> {
    Ok(match record {
        Record::Start { call } => (client.post(&format!("/v1/calls/{call}/record"))?, |answer| {
            format!("call {} is recorded to {}\n", answer["call"], list(&answer["files"]))
        }),
        Record::Stop { call } => (client.delete(&format!("/v1/calls/{call}/record"))?, |answer| {
            format!("call {} was recorded to {}\n", answer["call"], list(&answer["files"]))
        }),
    })
}

pub(super) fn play(client: &Client, play: &Play) -> Result<Told, Failure> {
    let path = format!("/v1/calls/{}/play?leg={}", play.call, play.leg.name());
    let Some(file) = &play.file else {
        return Ok((client.delete(&path)?, |answer| format!("call {}: no longer played\n", answer["call"])));
    };
    let wav = std::fs::read(file)
        .map_err(|error| Failure::Running(anyhow::anyhow!("cannot read {}: {error}", file.display())))?;
    Ok((client.post_octets(&format!("{path}&repeat={}", play.repeat), &wav)?, |answer| {
        let ms = answer["duration_ms"].as_u64().unwrap_or(0);
        format!("call {}: played, {}.{:02} s\n", answer["call"], ms / 1000, ms % 1000 / 10)
    }))
}

pub(super) fn fork(client: &Client, fork: &Fork) -> Result<Told, Failure> {
    let path = format!("/v1/calls/{}/fork?leg={}", fork.call, fork.leg.name());
    match fork.to {
        Some(to) => Ok((client.post(&format!("{path}&to={to}"))?, |answer| {
            format!("call {}: copied, SSRC {}\n", answer["call"], text(&answer["ssrc"]))
        })),
        None => Ok((client.delete(&path)?, |answer| format!("call {}: no longer copied\n", answer["call"]))),
    }
}
