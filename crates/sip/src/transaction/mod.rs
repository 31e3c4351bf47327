//! Transactions (RFC 3261 section 17, RFC 6026).
//!
//! [`table`] has the rules, [`Transactions`] follows them: it matches messages to transactions, keeps their timers and
//! turns rows into [`Output`]. Whoever drives it repeats one cycle:
//!
//! 1. Call one of the `on_*` functions or a function that sends, with the present time.
//! 2. Take [`Transactions::poll_output`] until it gives `None`; send what is to be sent, hand up what is to be handed up.
//! 3. Come back at [`Transactions::next_deadline`] with [`Transactions::on_timeout`], or earlier with something else.

mod actions;
mod deadlines;
mod engine;
mod matching;
mod peer;
mod resume;
pub mod table;
mod timers;
mod transactions;

use core::fmt;
use std::sync::Arc;

pub use peer::{ConnectionId, Peer, Transport};
pub use timers::TimerValues;
pub use transactions::Transactions;

use crate::{BuildError, Request, Response};

/// Names a client transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientTx(Slot);

/// Names a server transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServerTx(Slot);

/// Names a transaction of either kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Tx {
    /// One that we began.
    Client(ClientTx),
    /// One that the peer began.
    Server(ServerTx),
}

/// A place in the table of transactions, and how often it has been used before: names never come back.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Slot {
    index: u32,
    generation: u32,
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.index, self.generation)
    }
}

/// What the driver of [`Transactions`] has to do or to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send these bytes.
    Send {
        /// Where to.
        to: Peer,
        /// The message.
        bytes: Arc<[u8]>,
    },
    /// A new request. Answer it with [`Transactions::respond`]: the transaction waits for that as long as it takes.
    Request {
        /// Its transaction.
        id: ServerTx,
        /// Where it came from.
        from: Peer,
        /// The request.
        request: Request,
    },
    /// An ACK that belongs to no transaction here, so to a 2xx (section 13.3.1.4).
    Ack {
        /// Where it came from.
        from: Peer,
        /// The ACK.
        request: Request,
    },
    /// The peer cancels a request that has no final response yet. The CANCEL itself has been answered; answer the INVITE,
    /// normally with 487 (section 9.2).
    Cancel {
        /// The transaction of the INVITE.
        invite: ServerTx,
        /// The CANCEL; its Reason may be of interest.
        request: Request,
    },
    /// A response, provisional or final. Retransmissions are absorbed, except 2xx to INVITE: each wants an ACK (section
    /// 13.2.2.4).
    Response {
        /// The transaction it answers.
        id: ClientTx,
        /// Where it came from.
        from: Peer,
        /// The response.
        response: Response,
    },
    /// Time is up. For a client this counts as a 408 (section 8.1.3.1), for a server the ACK never came.
    Timeout {
        /// Which transaction; it terminates.
        id: Tx,
    },
    /// A target could not be had for a request of ours, and the next is tried (RFC 3263 section 4.3).
    MovedOn {
        /// The transaction.
        id: ClientTx,
        /// Who could not be had.
        target: Peer,
        /// What was wrong.
        failure: TargetFailure,
        /// Who is tried now.
        next: Peer,
    },
    /// Sending failed. For a client this counts as a 503 (section 8.1.3.1).
    TransportFailed {
        /// Which transaction; a client's terminates.
        id: Tx,
    },
    /// The transaction is gone, its name means nothing from now on. Comes once for each, last of all.
    Terminated {
        /// Which transaction.
        id: Tx,
    },
}

/// Why a target could not be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetFailure {
    /// It said nothing at all.
    Silent,
    /// It could not be sent to.
    Unreachable,
    /// It answered 503, and perhaps for how many seconds it is not to be asked again.
    Unavailable {
        /// `Retry-After`, in seconds.
        retry_after_s: Option<u32>,
    },
}

/// How [`Transactions`] behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionConfig {
    /// Timer base values.
    pub timers: TimerValues,
    /// Bounds on received messages.
    pub limits: crate::Limits,
    /// Most transactions at a time. Requests outside a dialog get 503 from nine tenths on, every new one at the limit.
    pub max_transactions: usize,
    /// Retry-After of that 503, in seconds.
    pub overload_retry_after_s: u32,
    /// `host` or `host:port` for Via when it differs from the local address, behind a static NAT for instance.
    pub sent_by: Option<String>,
}

impl Default for TransactionConfig {
    /// The RFC's timers, 100,000 transactions, Retry-After of 10 s.
    fn default() -> Self {
        Self {
            timers: TimerValues::default(),
            limits: crate::Limits::default(),
            max_transactions: 100_000,
            overload_retry_after_s: 10,
            sent_by: None,
        }
    }
}

/// What has been counted since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TransactionCounters {
    /// Requests read, ACK and retransmissions included.
    pub requests_received: u64,
    /// Responses read.
    pub responses_received: u64,
    /// Datagrams or frames that were no message.
    pub malformed: u64,
    /// Datagrams of line ends only.
    pub keep_alives: u64,
    /// Requests received again.
    pub request_retransmissions_received: u64,
    /// Requests and responses sent again by a timer.
    pub retransmissions_sent: u64,
    /// Responses that belong to no transaction, or have more than one Via; dropped (RFC 6026 section 8.9, RFC 3261 section
    /// 8.1.3.3).
    pub stray_responses: u64,
    /// CANCEL requests without anything to cancel; answered with 481.
    pub unmatched_cancels: u64,
    /// Requests that came by two ways; answered with 482 (section 8.2.2.2).
    pub merged_requests: u64,
    /// Requests answered with 503 because [`TransactionConfig::max_transactions`] was reached, or of overload.
    pub refused_for_overload: u64,
    /// Requests that were sent to another target than the first (RFC 3263 section 4.3).
    pub failovers: u64,
    /// Transactions that ended by Timer B, F or H, or after CANCEL.
    pub timeouts: u64,
}

/// A request could not be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// [`TransactionConfig::max_transactions`] are alive.
    #[error("too many transactions")]
    Full,
    /// ACK and CANCEL have functions of their own.
    #[error("ACK and CANCEL do not start a transaction of their user's")]
    NotATransaction,
    /// The request is malformed.
    #[error(transparent)]
    Build(#[from] BuildError),
}

/// A response could not be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RespondError {
    /// The transaction is gone.
    #[error("no such transaction")]
    Gone,
    /// A final response has already been given, and this one may not follow it.
    #[error("the transaction has been answered")]
    Answered,
}

/// A request could not be cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CancelError {
    /// The transaction is gone.
    #[error("no such transaction")]
    Gone,
    /// It has a final response already: too late, send BYE if that was a 2xx.
    #[error("the transaction has been answered")]
    Answered,
    /// Only INVITE can be cancelled (section 9.1).
    #[error("only INVITE can be cancelled")]
    NotInvite,
}
