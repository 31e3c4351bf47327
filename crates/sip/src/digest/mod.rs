//! Digest authentication (RFC 3261 section 22, RFC 7616, RFC 8760).
//!
//! | side | what it has |
//! | --- | --- |
//! | server | [`Authenticator`]: nonces that need no memory until they are used well, and a bounded memory of those that were |
//! | client | [`DigestClient`]: answers challenges, and later requests before they are challenged |
//! | both | [`Algorithm`], [`Ha1`], [`Challenge`], [`Credentials`] |
//!
//! `qop=auth` is what is offered and answered; the RFC 2069 form without `qop` is understood on both sides, since RFC 3261
//! section 22.4 asks for it, and each nonce then serves once.

mod challenge;
mod client;
mod credentials;
mod hash;
mod params;
mod replay;
mod server;

pub use challenge::Challenge;
pub use client::{ChallengeError, DigestClient};
pub use credentials::Credentials;
pub use hash::{Algorithm, Ha1, Question};
pub use server::{Authenticator, Checked, Settings};
