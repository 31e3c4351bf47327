//! Session descriptions (RFC 8866) and the offer/answer model (RFC 3264) for audio over RTP, and over SRTP with keys in
//! the description (RFC 4568).
//!
//! [`SessionDescription::parse`] reads what a peer sent, within limits. A [`Negotiation`] is one leg's side of the
//! offer/answer exchange: it writes our offers and answers, checks the peer's, and says in an [`Agreement`] what was
//! agreed. It is plain data and does no I/O.
//!
//! What a peer wrote never reaches the text we write: origin, session name and connection are our own. Only the shape
//! of the peer's media lines (kind, protocol and formats of those we reject) is repeated, as RFC 3264 §6 demands.
#![forbid(unsafe_code)]

mod attributes;
mod crypto;
mod description;
mod encoding;
mod keying;
mod negotiation;
mod write;

pub use attributes::{Fmtp, Rtcp, RtcpMux};
pub use crypto::{CryptoError, CryptoLine, KeySeed, Security, SrtpPolicy};
pub use description::{MAX_LINES, MAX_MEDIA, MAX_OCTETS};
pub use description::{MediaDescription, Origin, ParseError, SessionDescription};
pub use encoding::Encoding;
pub use negotiation::{Agreement, AnswerError, Capabilities, Negotiation, OfferError, OfferReview};
