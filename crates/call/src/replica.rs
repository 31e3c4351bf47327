//! A call as data: everything that another node needs to go on with it when this one is gone.
//!
//! JSON, because two nodes of one pair run different versions for as long as an upgrade takes: a field that one of them
//! does not know is passed over, one that is missing has a default. What cannot be bridged so gets a new [`VERSION`].
//!
//! A replica holds keys of SRTP, also within SIP messages: it prints nothing of itself but the call's names.

use std::fmt;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use tandem_contract::{Codec, Direction, LegSide};
use tandem_sdp::Negotiation;
use tandem_sip::{Dialog, Transport, UriBuf};
use thiserror::Error;

use crate::call::Phase;
use crate::change::Change;
use crate::config::HuntPolicy;
use crate::ending::Ending;
use crate::functions::MediaFunctions;
use crate::record::CallRecord;
use crate::siprec::SessionReplica;

/// The format that is written, and the newest that is read.
const VERSION: u32 = 1;

/// One call, for another node.
#[derive(Clone, Serialize, Deserialize)]
pub struct Replica {
    pub(crate) version: u32,
    pub(crate) phase: Phase,
    pub(crate) is_ringing: bool,
    /// Moments of the wall clock, in milliseconds since 1970.
    pub(crate) started: u64,
    pub(crate) answered: Option<u64>,
    pub(crate) no_answer_at: Option<u64>,
    pub(crate) hang_up_at: Option<u64>,
    /// A peer is to be told again what it could not hear for a glare.
    #[serde(default)]
    pub(crate) retries: bool,
    pub(crate) max_forwards: u8,
    pub(crate) caller_codecs: Vec<Codec>,
    pub(crate) first_answer: Option<String>,
    pub(crate) change: Option<Change>,
    pub(crate) then: ThenReplica,
    pub(crate) record: CallRecord,
    /// The peer that the route has the call recorded by.
    #[serde(default)]
    pub(crate) recorder: Option<String>,
    /// The session with a recording server.
    #[serde(default)]
    pub(crate) recording: Option<SessionReplica>,
    /// It is written; what is left is to tell a peer that the call is over.
    #[serde(default)]
    pub(crate) is_recorded: bool,
    /// Leg A and leg B.
    pub(crate) legs: [LegReplica; 2],
    /// Callees that are called beside leg B.
    #[serde(default)]
    pub(crate) rivals: Vec<LegReplica>,
    #[serde(default)]
    pub(crate) functions: MediaFunctions,
    #[serde(default)]
    pub(crate) hunt: Option<HuntReplica>,
    #[serde(default)]
    pub(crate) transfer: Option<TransferReplica>,
}

/// How a peer is reached: by what, from where, at what address.
pub(crate) type Way = (Transport, SocketAddr, SocketAddr);

/// Who is still to be called.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct HuntReplica {
    pub(crate) waiting: Vec<CandidateReplica>,
    pub(crate) policy: HuntPolicy,
    pub(crate) breadth: Option<u32>,
    pub(crate) next_at: Option<u64>,
    pub(crate) heard: bool,
    pub(crate) best: Option<Ending>,
}

/// One of them.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct CandidateReplica {
    /// By name.
    pub(crate) peer: String,
    pub(crate) uri: UriBuf,
    /// Where a registered user is.
    pub(crate) contact: Option<ContactReplica>,
}

/// Where a registered user is.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct ContactReplica {
    pub(crate) uri: UriBuf,
    pub(crate) to: Way,
    pub(crate) is_flow: bool,
    pub(crate) route_set: Vec<String>,
    pub(crate) q: u16,
    pub(crate) key: String,
}

/// Somebody is to take the place of one side.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct TransferReplica {
    pub(crate) side: LegSide,
    pub(crate) target: LegReplica,
    pub(crate) refer: u32,
    pub(crate) until: u64,
}

/// A session's timer (RFC 4028).
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct TimerReplica {
    pub(crate) interval_s: u32,
    pub(crate) refresh_at: Option<u64>,
    pub(crate) ends_at: u64,
}

/// What waits for the worker.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) enum ThenReplica {
    InviteCallee,
    Progress,
    AnswerCaller,
    AnswerChange { leg: LegSide, body: String, before: Box<Negotiation> },
    Settle,
}

/// One side of it.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct LegReplica {
    /// By name: its number may be another one there.
    pub(crate) peer: String,
    /// How the peer is reached outside of dialogs.
    pub(crate) home: Way,
    /// How it is reached within them, where its Contact says something else.
    #[serde(default)]
    pub(crate) pinned: Option<Way>,
    pub(crate) dialog: Dialog,
    pub(crate) is_up: bool,
    pub(crate) negotiation: Negotiation,
    pub(crate) wish: Direction,
    #[serde(default)]
    pub(crate) holds: bool,
    pub(crate) told: Direction,
    #[serde(default)]
    pub(crate) stands_in: bool,
    #[serde(default)]
    pub(crate) has_moved: bool,
    pub(crate) offered: Direction,
    pub(crate) incoming: Option<IncomingReplica>,
    pub(crate) unacknowledged: Option<UnacknowledgedReplica>,
    pub(crate) outgoing: Option<OutgoingReplica>,
    #[serde(default)]
    pub(crate) lines: Vec<(String, String)>,
    #[serde(default)]
    pub(crate) timer: Option<TimerReplica>,
    #[serde(default)]
    pub(crate) min_se_s: Option<u32>,
    #[serde(default)]
    pub(crate) takes_update: bool,
    #[serde(default)]
    pub(crate) next_rseq: Option<u32>,
    pub(crate) ssrc: u32,
    pub(crate) first_sequence: u16,
    pub(crate) first_timestamp: u32,
}

/// A peer's INVITE without final answer.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct IncomingReplica {
    pub(crate) source: SocketAddr,
    pub(crate) request: Wire,
    pub(crate) has_offer: bool,
    pub(crate) wish_before: Direction,
}

/// Our 2xx without ACK.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct UnacknowledgedReplica {
    pub(crate) source: SocketAddr,
    pub(crate) request: Wire,
    pub(crate) response: Wire,
    pub(crate) awaits_answer: bool,
    pub(crate) bye_reason: Option<String>,
}

/// Our INVITE without final answer.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct OutgoingReplica {
    pub(crate) transport: Transport,
    pub(crate) to: SocketAddr,
    pub(crate) request: Wire,
}

/// A SIP message as it went over the wire: text mostly, but nobody promises that.
#[derive(Clone, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Wire {
    Text(String),
    Octets(Vec<u8>),
}

impl Wire {
    pub(crate) fn new(octets: &[u8]) -> Self {
        match std::str::from_utf8(octets) {
            Ok(text) => Self::Text(text.to_owned()),
            Err(_) => Self::Octets(octets.to_vec()),
        }
    }

    pub(crate) fn octets(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Octets(octets) => octets,
        }
    }
}

/// Why octets are no replica that can be used. Nothing of them is repeated: they hold keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ReplicaError {
    /// Written by a newer Tandem.
    #[error(
        "the call's replica has version {found} and this node reads up to {known}: upgrade this node before the one that wrote it"
    )]
    Newer {
        /// The version found.
        found: u32,
        /// The newest that is read.
        known: u32,
    },
    /// Not what [`Replica::to_json`] writes.
    #[error("the call's replica is damaged at line {line}, column {column}")]
    Damaged {
        /// Where.
        line: usize,
        /// Where.
        column: usize,
    },
}

impl From<serde_json::Error> for ReplicaError {
    fn from(error: serde_json::Error) -> Self {
        Self::Damaged { line: error.line(), column: error.column() }
    }
}

impl Replica {
    pub(crate) const VERSION: u32 = VERSION;

    /// The octets to store. They are as secret as the keys in them.
    pub fn to_json(&self) -> Vec<u8> {
        // Numbers, strings and lists of them, which JSON can hold.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads them back.
    ///
    /// # Errors
    /// [`ReplicaError`] where they are damaged, or written by a version that says things this one does not know.
    pub fn from_json(octets: &[u8]) -> Result<Self, ReplicaError> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        let Versioned { version } = serde_json::from_slice(octets)?;
        if version > VERSION {
            return Err(ReplicaError::Newer { found: version, known: VERSION });
        }
        Ok(serde_json::from_slice(octets)?)
    }

    /// The SIP Call-IDs of the caller's and the callee's side.
    pub fn call_ids(&self) -> [&str; 2] {
        [0, 1].map(|leg| self.legs[leg].dialog.id.call_id.as_str())
    }

    /// Where the caller and the callee send RTP to.
    pub fn media(&self) -> [SocketAddr; 2] {
        [0, 1].map(|leg| self.legs[leg].negotiation.local())
    }

    /// What was done with its media beside passing it on.
    pub const fn functions(&self) -> MediaFunctions {
        self.functions
    }

    /// Whether the call was over, all but its record.
    pub fn is_over(&self) -> bool {
        self.phase == Phase::Ending
    }
}

impl fmt::Debug for Replica {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.call_ids();
        formatter.debug_struct("Replica").field("phase", &self.phase).field("call_ids", &names).finish_non_exhaustive()
    }
}
