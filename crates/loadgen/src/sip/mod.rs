//! Calls set up over SIP, so that the source can load whatever speaks it.
//!
//! The source plays every caller and every callee. A caller sends an INVITE to the gateway for the number that the
//! [`SipEndpoints::prefix`] and six digits make, and offers its leg's codec alone. The gateway calls the callee's address for it; the
//! INVITE whose Request-URI ends in those digits rings, and is answered with the other leg's codec alone. The caller hangs up.
//!
//! | module | what it has |
//! | --- | --- |
//! | `phones` | callers and callees as a state machine over SIP's transactions and dialogs |
//! | `leg` | one leg's offer or answer |
//! | `rate` | so many calls a second, and how they fared |
//! | `line` | the sockets around both |

mod leg;
mod line;
mod phones;
mod rate;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod wire;

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

pub use line::{SipCalls, measure_rate};
pub use rate::{RateOutcome, RateProgress, RateSpec};

use crate::RemoteLeg;

/// Who calls whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SipEndpoints {
    /// Where the gateway takes calls over UDP.
    pub gateway: SocketAddr,
    /// Where callers are: the gateway takes calls from there.
    pub caller: SocketAddr,
    /// Where callees are: the gateway's route for the numbers leads there. It may be the callers' address.
    pub callee: SocketAddr,
    /// What all called numbers begin with.
    pub prefix: String,
}

/// What came about in a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Happened {
    /// It is answered and acknowledged at both ends; the caller had its answer after `took`, of which the callee had all but `added`.
    Up { remotes: Box<[RemoteLeg; 2]>, took: Duration, added: Duration },
    /// It has ended, at both ends, as the caller wished.
    Down,
    /// It did not come about, or not to its proper end.
    Failed(Failure),
}

/// Why a call failed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Failure {
    /// The gateway refused it.
    Refused(u16, String),
    /// A request of the source's was not answered for half a minute (RFC 3261 timers B and F).
    NoAnswer(&'static str),
    /// A callee's 200 was not acknowledged for half a minute.
    NoAck,
    /// The call was up, and the gateway ended it.
    HungUp,
    /// An offer or answer of the gateway's that does not fit the call.
    Description(String),
    /// It was not over half a minute after everything else.
    Unfinished,
    /// The source could not begin it.
    Source(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(status, reason) => write!(f, "{status} {reason}"),
            Self::NoAnswer(method) => write!(f, "{method} was not answered"),
            Self::NoAck => f.write_str("a callee's 200 was not acknowledged"),
            Self::HungUp => f.write_str("the gateway ended a call that was up"),
            Self::Description(why) => f.write_str(why),
            Self::Unfinished => f.write_str("a call was not over in time"),
            Self::Source(why) => write!(f, "the source: {why}"),
        }
    }
}
