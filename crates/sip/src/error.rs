//! Limits on what is read, and what is said about bytes that are no SIP message.

use core::fmt;

use crate::{HeaderName, StatusCode};

/// Bounds on a message; what exceeds them is refused before memory is spent on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest message, start line to end of body, in bytes.
    pub max_bytes: usize,
    /// Largest start line plus headers, in bytes.
    pub max_head_bytes: usize,
    /// Most header lines.
    pub max_headers: usize,
    /// Longest Request-URI, in bytes.
    pub max_uri_bytes: usize,
}

impl Default for Limits {
    /// A datagram of any size, 16 KiB of head, 128 header lines, a URI of 2 KiB.
    fn default() -> Self {
        Self { max_bytes: 65_535, max_head_bytes: 16_384, max_headers: 128, max_uri_bytes: 2_048 }
    }
}

/// Which layer of a message an error was found in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// The division into start line, headers and body.
    Framing,
    /// The request or status line.
    StartLine,
    /// The URI in the request line.
    RequestUri,
    /// One header field.
    Header(HeaderName),
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Framing => f.write_str("message framing"),
            Self::StartLine => f.write_str("start line"),
            Self::RequestUri => f.write_str("Request-URI"),
            Self::Header(name) => write!(f, "{name}"),
        }
    }
}

/// What is wrong there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Problem {
    /// Only line ends: the keep-alive of RFC 5626 section 3.5.1, or nothing at all.
    #[error("nothing but line ends")]
    Empty,
    /// The bytes end before the message does.
    #[error("ends too early")]
    Truncated,
    /// Longer than [`Limits`] allow.
    #[error("too long")]
    TooLong,
    /// More header lines than [`Limits`] allow.
    #[error("too many header lines")]
    TooMany,
    /// A protocol version other than SIP/2.0.
    #[error("protocol version is not SIP/2.0")]
    Version,
    /// Not what the grammar of RFC 3261 section 25 allows.
    #[error("malformed")]
    Syntax,
    /// A number outside its range.
    #[error("number out of range")]
    Range,
    /// A header that every message needs is not there.
    #[error("missing")]
    Missing,
    /// A header that may be there once is there more often.
    #[error("given more than once")]
    Duplicate,
    /// The CSeq method differs from that of the request line.
    #[error("method differs from the request line")]
    MethodMismatch,
}

/// Why bytes are not a message: where, what, and at which byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{part}: {problem} (at byte {offset})")]
pub struct ParseError {
    /// The layer that objects.
    pub part: Part,
    /// Its objection.
    pub problem: Problem,
    /// Distance in bytes from the first byte given to the line or value in question.
    pub offset: usize,
}

impl ParseError {
    pub(crate) const fn new(part: Part, problem: Problem, offset: usize) -> Self {
        Self { part, problem, offset }
    }

    /// The status of the response that a request with this error deserves.
    pub const fn status(&self) -> StatusCode {
        match (self.part, self.problem) {
            (Part::StartLine, Problem::Version) => StatusCode::VERSION_NOT_SUPPORTED,
            (Part::RequestUri, Problem::TooLong) => StatusCode::REQUEST_URI_TOO_LONG,
            (_, Problem::TooLong | Problem::TooMany) => StatusCode::MESSAGE_TOO_LARGE,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    /// Whether the bytes were a keep-alive, which is no error of the peer's.
    pub const fn is_keep_alive(&self) -> bool {
        matches!(self.problem, Problem::Empty)
    }
}

/// One header or URI that is malformed; the typed views return it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// Not what the grammar of RFC 3261 section 25 allows.
    #[error("malformed")]
    Syntax,
    /// A number outside its range.
    #[error("number out of range")]
    Range,
}

impl From<ValueError> for Problem {
    fn from(error: ValueError) -> Self {
        match error {
            ValueError::Syntax => Self::Syntax,
            ValueError::Range => Self::Range,
        }
    }
}
