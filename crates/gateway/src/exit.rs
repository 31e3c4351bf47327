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
  6  the gateway that was asked does not answer, or refused";

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
}

impl Failure {
    pub(crate) fn code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Running(_) => 1,
            Self::Config(_) => 3,
            Self::Machine(_) => 4,
            Self::Incomplete(_) => 5,
            Self::Remote(_) => 6,
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
