//! SIP messages, transactions and dialogs without I/O (RFC 3261).
//!
//! Nothing here opens a socket, reads a clock or draws a random number: bytes, time ([`Instant`]) and randomness
//! ([`Random`]) are arguments, and what is to be done comes out as values. The same input gives the same output, so calls
//! can be replayed, tested under a virtual clock and carried over to another node.
//!
//! | module | what it has |
//! | --- | --- |
//! | [`Message`], [`Request`], [`Response`] | text read and indexed once; typed accessors |
//! | [`header`] | Via, addresses, CSeq and others as views over their text |
//! | [`Uri`], [`UriBuf`] | sip, sips, tel; comparison, escapes |
//! | [`StreamFramer`] | messages out of a TCP stream |
//! | [`RequestBuilder`], [`ResponseBuilder`] | messages to send |
//! | [`respond_to_malformed`] | the 400 for what could not be read |
//! | [`Transactions`] | RFC 3261 section 17 and RFC 6026 as tables |
//! | [`Dialog`] | RFC 3261 section 12: plain data that can be replicated |
//! | [`uas`] | the checks of RFC 3261 section 8.2 |
//! | [`locate`] | where a host is reached: RFC 3263 over answers of the DNS that somebody else asks for |
//! | [`digest`] | who somebody is: RFC 3261 section 22, RFC 7616, RFC 8760 |
#![forbid(unsafe_code)]

mod build;
mod dialog;
pub mod digest;
mod error;
pub mod header;
mod header_name;
mod identifiers;
pub mod locate;
mod malformed;
mod message;
mod method;
mod scan;
mod status;
mod stream;
mod time;
pub mod transaction;
pub mod uas;
mod uri;

pub use build::{BuildError, RequestBuilder, ResponseBuilder};
pub use dialog::{Dialog, DialogError, DialogId, DialogState, Invite2xx, Invite2xxStep, OutOfOrder};
pub use error::{Limits, ParseError, Part, Problem, ValueError};
pub use header_name::HeaderName;
pub use identifiers::{Identifiers, MAGIC_COOKIE, Random, SeededRandom};
pub use malformed::respond_to_malformed;
pub use message::{Fields, Header, Message, Request, Response};
pub use method::Method;
pub use status::{StatusClass, StatusCode};
pub use stream::{Frame, FramingError, StreamFramer};
pub use time::Instant;
pub use transaction::{
    CancelError, ClientTx, ConnectionId, Output, Peer, RespondError, SendError, ServerTx, TargetFailure, TimerValues,
    TransactionConfig, TransactionCounters, Transactions, Transport, Tx,
};
pub use uri::{Scheme, Uri, UriBuf, escape_user, unescape};
