//! Lines of JSON between the gateway and `tandem-aws`: one request a line on its standard input, one answer a line on its
//! standard output. Answers come when they are ready, in any order; `id` says to what.

use serde::{Deserialize, Serialize};

use crate::metadata::Identity;
use crate::mover::MoveReport;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub enum Asked {
    /// Bring the addresses here. No call is begun after so many milliseconds: another member may hold the votes then.
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
    /// Say which instance this is.
    Identify {
        /// For the answer.
        id: u64,
    },
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The request's.
    pub id: u64,
    /// What came of it.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The addresses are here.
    Moved(MoveReport),
    /// They are not.
    NotMoved {
        /// Whether to ask again is of no use.
        refused: bool,
        /// What went wrong.
        error: String,
    },
    /// Whether the addresses are here; `None` where nobody could be asked.
    Here(Option<bool>),
    /// Which instance this is.
    Identity(Identity),
    /// The line is no request.
    Misunderstood(String),
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
        assert_eq!(
            serde_json::to_string(&answer).unwrap(),
            r#"{"id":1,"moved":{"calls":1,"throttled":0,"took_ms":48,"own_ms":1}}"#
        );
    }
}
