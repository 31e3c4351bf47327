//! Who really calls: PASSporTs (RFC 8225) in SIP's `Identity` header (RFC 8224), with SHAKEN's attestation (RFC 8588), signed and
//! verified with ES256. No I/O and no clock: certificates are given as octets, the time as an argument.
//!
//! | module | what |
//! | --- | --- |
//! | [`number`] | identities as they are compared: telephone numbers and URIs |
//! | [`passport`] | the token: header, claims, their one form as JSON |
//! | [`header`] | the `Identity` header's value, full and compact |
//! | [`certificates`] | whose signatures are believed, by the URL that names them |
//! | [`authority`] | for which numbers (RFC 8226) |
//! | [`verify`], [`sign`] | both together |
//! | [`replay`] | tokens that are used for another call |
#![forbid(unsafe_code)]

pub mod authority;
pub mod certificates;
pub mod header;
pub mod number;
pub mod passport;
pub mod replay;
pub mod sign;
pub mod verify;

pub use authority::{Authority, MalformedAuthority};
pub use certificates::{CertificateError, Certificates};
pub use header::{IdentityHeader, MalformedIdentity};
pub use number::Identity;
pub use passport::{Attestation, Claims};
pub use replay::{Replays, TokenId};
pub use sign::{Form, KeyError, Signer};
pub use verify::{Call, Failure, Verified, verify};
