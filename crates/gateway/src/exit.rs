//! How the program ends: one code for each kind of failure.

use std::fmt;
use std::process::ExitCode;

/// The codes, as `--help` and the manual tell them.
pub(crate) const HELP: &str = "\
Exit codes:
  0  done
  1  failed while running
  2  the command line is wrong
  3  the configuration is wrong
  4  the machine lacks what the configuration needs
  5  ended, but calls were cut off or call records were not written
  6  the gateway that was asked does not answer, or refused
  7  calls under load lost packets or had wrong audio
  8  the source of the load was at its own limit: the run is void";

/// Why the program ends before its work is done.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Something broke while running.
    Running(anyhow::Error),
    /// The configuration file.
    Config(tandem_config::LoadError),
    /// The machine: each text says what is missing and what mends it.
    Machine(Vec<String>),
    /// What was lost at the end.
    Incomplete(tandem_control::Ended),
    /// A gateway that was asked.
    Remote(String),
    /// Calls under load were not as they should be.
    Calls { lost: u64, of: u64, wrong_audio: u32, one_way: u32 },
    /// A run of the load source that says nothing about the gateway, and why.
    Void(Vec<String>),
}

impl Failure {
    pub(crate) fn code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Running(_) => 1,
            Self::Config(_) => 3,
            Self::Machine(_) => 4,
            Self::Incomplete(_) => 5,
            Self::Remote(_) => 6,
            Self::Calls { .. } => 7,
            Self::Void(_) => 8,
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Running(error) => write!(f, "{error:#}"),
            Self::Config(error) => write!(f, "{error}"),
            Self::Machine(missing) => write!(f, "this machine cannot run the configuration:\n{}", missing.join("\n")),
            Self::Incomplete(ended) => {
                write!(f, "{} calls were cut off, {} call records not written", ended.calls_cut, ended.records_lost)
            }
            Self::Remote(error) => f.write_str(error),
            Self::Calls { lost, of, wrong_audio, one_way } => write!(
                f,
                "{lost} of {of} packets were lost; {wrong_audio} calls had wrong audio, {one_way} heard nothing in one direction"
            ),
            Self::Void(reasons) => write!(f, "this run is void:\n{}", reasons.join("\n")),
        }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Running(error)
    }
}

impl From<tandem_config::LoadError> for Failure {
    fn from(error: tandem_config::LoadError) -> Self {
        Self::Config(error)
    }
}
