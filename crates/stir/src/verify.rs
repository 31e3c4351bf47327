//! Whether an `Identity` header vouches for a call (RFC 8224 §6.2).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::certificates::{Certificates, NoKey};
use crate::header::{IdentityHeader, MalformedIdentity};
use crate::number::Identity;
use crate::passport::{ALGORITHM, Attestation, Claims, Header};
use crate::replay::TokenId;

/// A call, as its INVITE says and the clock.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// Who the caller says it is: asserted identities, else `From`; one of them must be the token's.
    pub origins: &'a [Identity],
    /// Who is called: `To` first, and the Request-URI; one of them must be among the token's.
    pub destinations: &'a [Identity],
    /// The `Date` header as seconds since 1970; what a compact token was signed at.
    pub date: Option<u64>,
    /// Seconds since 1970-01-01T00:00:00Z.
    pub now: u64,
    /// How many seconds the token's time may differ from that (RFC 8224 §5.2.1: 60).
    pub freshness_s: u64,
}

/// The caller is who it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// SHAKEN's attestation, where it was SHAKEN's token.
    pub attestation: Option<Attestation>,
    /// SHAKEN's identifier of where the call came from.
    pub origin_id: String,
    /// The service provider's code in the certificate (RFC 8226); empty where it has none.
    pub service_provider: String,
    /// What tells this token from others.
    pub token: TokenId,
    /// When it is stale, in seconds since 1970.
    pub stale_at: u64,
}

/// Why it is not known to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The header's form.
    #[error("the Identity header is malformed: {0}")]
    Malformed(#[from] MalformedIdentity),
    /// Header or claims of the token.
    #[error("the token is malformed")]
    Token,
    /// Neither SHAKEN's type nor none, or not ES256.
    #[error("the token is of a kind that is not supported")]
    Unsupported,
    /// Nothing is known of the URL.
    #[error("no certificate: its URL is not known here")]
    NoCertificate,
    /// No authority vouches for it, or it has expired.
    #[error("no authority vouches for the certificate")]
    Untrusted,
    /// The signature is another's, or of something else.
    #[error("the signature is wrong")]
    Signature,
    /// Signed too long ago, or later than now.
    #[error("the token is stale")]
    Stale,
    /// The certificate is for other numbers than the caller's (RFC 8226).
    #[error("the certificate is not for the caller's number")]
    Unauthorized,
    /// It came for another call already (RFC 8224 §12.1).
    #[error("the token was used for another call")]
    Replayed,
    /// It speaks of another caller.
    #[error("the token is another caller's")]
    Origin,
    /// It speaks of another callee.
    #[error("the token is for another callee")]
    Destination,
}

impl Failure {
    /// The response that says so (RFC 8224 §6.2.2): 403 for stale and used, 436, 437 or 438.
    pub const fn status(self) -> u16 {
        match self {
            Self::Stale | Self::Replayed => 403,
            Self::NoCertificate => 436,
            Self::Unsupported | Self::Untrusted | Self::Unauthorized => 437,
            Self::Malformed(_) | Self::Token | Self::Signature | Self::Origin | Self::Destination => 438,
        }
    }
}

/// Whether one `Identity` header vouches for a call.
///
/// # Errors
/// Why it does not.
pub fn verify(value: &str, call: &Call<'_>, certificates: &mut Certificates) -> Result<Verified, Failure> {
    let identity = IdentityHeader::parse(value)?;
    let is_supported =
        identity.algorithm.eq_ignore_ascii_case(ALGORITHM) && (identity.ppt.is_none() || identity.is_shaken());
    // SHAKEN's claims are nothing that a reader could make of the message.
    if !is_supported || identity.is_shaken() && identity.is_compact() {
        return Err(Failure::Unsupported);
    }
    let (message, claims) = if identity.is_compact() {
        let claims = expected(call).ok_or(Failure::Token)?;
        let header = Header::new(false, identity.info).encoded();
        (format!("{header}.{}", claims.encoded()), claims)
    } else {
        let header = Header::decode(identity.header).ok_or(Failure::Token)?;
        if header.alg != ALGORITHM || header.ppt.as_deref() != identity.ppt || header.typ != "passport" {
            return Err(Failure::Unsupported);
        }
        // RFC 8224 §4: `info` repeats `x5u`, and what is signed counts.
        if header.x5u != identity.info {
            return Err(Failure::Token);
        }
        let claims = Claims::decode(identity.claims).ok_or(Failure::Token)?;
        (format!("{}.{}", identity.header, identity.claims), claims)
    };
    if identity.is_shaken() && claims.attestation.is_none() {
        return Err(Failure::Token);
    }
    let key = certificates.key(identity.info, call.now).map_err(|why| match why {
        NoKey::Unknown => Failure::NoCertificate,
        NoKey::Untrusted => Failure::Untrusted,
    })?;
    let signature = URL_SAFE_NO_PAD.decode(identity.signature).map_err(|_| Failure::Signature)?;
    if !key.has_signed(message.as_bytes(), &signature) {
        return Err(Failure::Signature);
    }
    if claims.issued_at.abs_diff(call.now) > call.freshness_s {
        return Err(Failure::Stale);
    }
    if !call.origins.contains(&claims.origin) {
        return Err(Failure::Origin);
    }
    if !call.destinations.iter().any(|destination| claims.destinations.contains(destination)) {
        return Err(Failure::Destination);
    }
    if !key.covers(&claims.origin) {
        return Err(Failure::Unauthorized);
    }
    Ok(Verified {
        attestation: claims.attestation,
        origin_id: claims.origin_id,
        service_provider: key.service_provider().to_owned(),
        token: signature.first_chunk().copied().unwrap_or_default(),
        stale_at: claims.issued_at.saturating_add(call.freshness_s),
    })
}

/// What a compact token must have been made of.
fn expected(call: &Call<'_>) -> Option<Claims> {
    Some(Claims {
        attestation: None,
        destinations: vec![call.destinations.first()?.clone()],
        issued_at: call.date?,
        origin: call.origins.first()?.clone(),
        origin_id: String::new(),
    })
}
