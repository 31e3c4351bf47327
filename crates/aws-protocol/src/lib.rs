//! Lines of JSON between the gateway and `tandem-aws`, which it starts.
//!
//! The first line on the standard input of `tandem-aws` is a [`Setup`]; it answers with [`Outcome::Ready`] once it knows its
//! instance and has credentials. Then it takes one [`Asked`] a line and gives one [`Answer`] a line on its standard output, when
//! it is ready and in any order; `id` says to what. What nobody asked for has the `id` 0. When its standard input ends, so does
//! it; what it has to tell people goes to its standard error.
#![forbid(unsafe_code)]

mod floating;
mod members;
mod telling;

use serde::{Deserialize, Serialize};

pub use floating::{ElasticAddress, Floating, HasInterface, MoveReport, Placed, RouteEntry, Strategy};
pub use members::{Existing, InCommon};
pub use telling::{Measured, RecordKind, Serving, Unit, WeightedRecord};

/// How `tandem-aws` is to work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Setup {
    /// The instance's metadata service, as in `http://169.254.169.254`.
    pub metadata: String,
    /// In place of AWS's own addresses.
    #[serde(default)]
    pub endpoint: Option<String>,
    /// A call that takes longer, in milliseconds, is made again.
    pub call_timeout_ms: u64,
    /// What moves here, by interface.
    #[serde(default)]
    pub floating: Vec<Floating>,
    /// Route 53 records of this node.
    #[serde(default)]
    pub records: Vec<WeightedRecord>,
    /// The lifecycle hook of an instance that begins.
    #[serde(default)]
    pub launch_hook: Option<String>,
    /// The lifecycle hook of an instance that ends.
    #[serde(default)]
    pub terminate_hook: Option<String>,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub enum Asked {
    /// Bring the addresses here. No call is begun after so many milliseconds: another member may hold the votes then. The
    /// answer comes when EC2 has taken it; [`Outcome::Confirmed`] follows.
    Move {
        /// For the answer.
        id: u64,
        /// Milliseconds.
        within_ms: u64,
    },
    /// Look where the addresses are.
    Locate {
        /// For the answer.
        id: u64,
    },
    /// Look where the instances with these private addresses are.
    Place {
        /// For the answer.
        id: u64,
        /// One of each.
        addresses: Vec<std::net::IpAddr>,
    },
    /// Look which instances belong together.
    Members {
        /// For the answer.
        id: u64,
        /// What they have in common.
        by: InCommon,
        /// Of these it is told too whether they exist.
        also: Vec<String>,
    },
    /// Say whether this node takes calls: to Route 53, and to the Auto Scaling group that waits for it.
    Serve {
        /// For the answer.
        id: u64,
        /// What it does.
        serving: Serving,
    },
    /// Tell CloudWatch.
    Publish {
        /// For the answer.
        id: u64,
        /// The dimension `Node` of each.
        node: String,
        /// At most [`Measured::MOST`].
        metrics: Vec<Measured>,
    },
}

impl Asked {
    /// What the answer to it has.
    pub const fn id(&self) -> u64 {
        match self {
            Self::Move { id, .. }
            | Self::Locate { id }
            | Self::Place { id, .. }
            | Self::Members { id, .. }
            | Self::Serve { id, .. }
            | Self::Publish { id, .. } => *id,
        }
    }
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The request's; 0 for what nobody asked for.
    pub id: u64,
    /// What came of it.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// What came of a request, or happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Requests are taken from now on.
    Ready(Identity),
    /// EC2 has taken it: the addresses are here, or come.
    Moved(MoveReport),
    /// They are not.
    NotMoved {
        /// Whether to ask again is of no use.
        refused: bool,
        /// What went wrong.
        error: String,
    },
    /// What was found after a move: whether the addresses are here; `None` where nobody could be asked.
    Confirmed(Option<bool>),
    /// Whether the addresses are here; `None` where nobody could be asked.
    Here(Option<bool>),
    /// Where instances are; those that are not known are missing.
    Placed(Vec<Placed>),
    /// Instances that exist: those that belong together, and of those that were asked about too.
    Members(Vec<Existing>),
    /// It is done.
    Done,
    /// It is not.
    Failed(String),
    /// The Auto Scaling group ends this instance as soon as it is said that it serves nobody any more.
    Terminating,
    /// The line is no request.
    Misunderstood(String),
}

/// Which instance this is, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The instance.
    pub instance: String,
    /// Its region.
    pub region: String,
    /// Its availability zone.
    pub zone: String,
    /// The interfaces that addresses come to, in the order of [`Setup::floating`].
    pub interfaces: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_as_the_manual_has_them() {
        let asked: Asked = serde_json::from_str(r#"{"do":"move","id":1,"within_ms":60}"#).unwrap();
        assert_eq!(asked, Asked::Move { id: 1, within_ms: 60 });
        let report = MoveReport { calls: 1, throttled: 0, took_ms: 48, own_ms: 1 };
        let answer = Answer { id: 1, outcome: Outcome::Moved(report) };
        let line = r#"{"id":1,"moved":{"calls":1,"throttled":0,"took_ms":48,"own_ms":1}}"#;
        assert_eq!(serde_json::to_string(&answer).unwrap(), line);
        assert_eq!(serde_json::from_str::<Answer>(line).unwrap(), answer);
        let done = Answer { id: 2, outcome: Outcome::Done };
        assert_eq!(serde_json::from_str::<Answer>(&serde_json::to_string(&done).unwrap()).unwrap(), done);
    }

    #[test]
    fn an_interface_is_named_by_hardware_address_or_by_an_address_that_it_has() {
        let line = r#"{"at":{"mac":"02:00:00:00:00:01"},"private":["10.0.0.100"]}"#;
        let floating: Floating = serde_json::from_str(line).unwrap();
        assert_eq!(floating.at, HasInterface::Mac("02:00:00:00:00:01".to_owned()));
        assert!(serde_json::from_str::<Floating>(r#"{"at":{"mac":"x"},"privat":[]}"#).is_err());
    }
}
