//! Certificates of those whose signatures are believed, by the URL in `x5u`. They are given: nothing is fetched while a call waits.

use std::collections::HashMap;
use std::time::Duration;

use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, ExtendedKeyUsageValidator, KeyPurposeIdIter, anchor_from_trusted_cert};

use crate::authority::{Authority, MalformedAuthority};
use crate::number::Identity;

/// A SubjectPublicKeyInfo of P-256 begins so; the point follows, uncompressed, of 65 octets (RFC 5480 §2).
const P256_SPKI: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// For so many seconds a chain that was found good is not looked at again.
const TRUST_LASTS_S: u64 = 60;

/// Why a certificate cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// Not in PEM format, or none in it.
    #[error("no certificate in PEM format")]
    NotPem,
    /// Not X.509.
    #[error("no X.509 certificate")]
    NotX509,
    /// RFC 8225 §8.1 asks for keys on P-256.
    #[error("its key is not on the curve P-256, which ES256 needs")]
    NotP256,
    /// RFC 8226 §9.
    #[error(transparent)]
    Authority(#[from] MalformedAuthority),
}

/// Authorities, and certificates by URL.
#[derive(Clone, Debug, Default)]
pub struct Certificates {
    anchors: Vec<TrustAnchor<'static>>,
    by_url: HashMap<String, Known>,
}

#[derive(Clone, Debug)]
struct Known {
    leaf: CertificateDer<'static>,
    /// Between it and its authority.
    intermediates: Vec<CertificateDer<'static>>,
    /// The key's point.
    key: Vec<u8>,
    /// What it and its authorities below the anchor are for, its own first: all have to cover a caller (RFC 8226 §6).
    authorities: Vec<Authority>,
    /// Seconds since 1970 at which its chain was found good last.
    trusted_at: Option<u64>,
}

/// A certificate whose signature may be looked at.
#[derive(Debug)]
pub(crate) struct Key<'a>(&'a Known);

impl Key<'_> {
    /// Whether the signature, 64 octets as in a JWS (RFC 7518 §3.4), is the key's.
    pub(crate) fn has_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &self.0.key).verify(message, signature).is_ok()
    }
}

impl Key<'_> {
    /// Whether its certificate is for calls of `caller`, as far as it says.
    pub(crate) fn covers(&self, caller: &Identity) -> bool {
        self.0.authorities.iter().all(|authority| authority.covers(caller))
    }

    /// Whose certificate it is; empty where it does not say.
    pub(crate) fn service_provider(&self) -> &str {
        self.0.authorities.first().and_then(Authority::service_provider).unwrap_or_default()
    }
}

/// Why there is no key to believe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoKey {
    Unknown,
    Untrusted,
}

/// Certificates of STIR are for no usage of TLS's.
struct AnyUsage;

impl ExtendedKeyUsageValidator for AnyUsage {
    fn validate(&self, _: KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        Ok(())
    }
}

impl Certificates {
    /// Of authorities in PEM format.
    ///
    /// # Errors
    /// There is none, or one is no certificate.
    pub fn new(authorities: &[u8]) -> Result<Self, CertificateError> {
        let chain = chain_of(authorities)?;
        let anchors = chain.iter().map(|der| anchor_from_trusted_cert(der).map(|anchor| anchor.to_owned()));
        let anchors = anchors.collect::<Result<_, _>>().map_err(|_| CertificateError::NotX509)?;
        Ok(Self { anchors, by_url: HashMap::new() })
    }

    /// Knows what is behind a URL: a certificate and those between it and its authority, in PEM format.
    ///
    /// # Errors
    /// It cannot be used.
    pub fn insert(&mut self, url: &str, pem: &[u8]) -> Result<(), CertificateError> {
        let mut chain = chain_of(pem)?;
        let leaf = chain.remove(0);
        let key = key_of(&leaf)?;
        let lists = std::iter::once(&leaf).chain(&chain).map(|der| Authority::of_certificate(der));
        let authorities = lists.filter_map(Result::transpose).collect::<Result<_, _>>()?;
        let known = Known { leaf, intermediates: chain, key, authorities, trusted_at: None };
        self.by_url.insert(url.to_owned(), known);
        Ok(())
    }

    /// How many URLs are known.
    pub fn len(&self) -> usize {
        self.by_url.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.by_url.is_empty()
    }

    /// The key behind a URL, where an authority vouches for it at `unix_s`.
    pub(crate) fn key(&mut self, url: &str, unix_s: u64) -> Result<Key<'_>, NoKey> {
        let known = self.by_url.get_mut(url).ok_or(NoKey::Unknown)?;
        let is_fresh = known.trusted_at.is_some_and(|at| unix_s.wrapping_sub(at) < TRUST_LASTS_S);
        if !is_fresh {
            known.trusted_at = None;
            let leaf = EndEntityCert::try_from(&known.leaf).map_err(|_| NoKey::Untrusted)?;
            let time = UnixTime::since_unix_epoch(Duration::from_secs(unix_s));
            let chain = leaf.verify_for_usage(
                webpki::ALL_VERIFICATION_ALGS,
                &self.anchors,
                &known.intermediates,
                time,
                AnyUsage,
                None,
                None,
            );
            chain.map_err(|_| NoKey::Untrusted)?;
            known.trusted_at = Some(unix_s);
        }
        Ok(Key(known))
    }
}

fn chain_of(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    chain.ok().filter(|chain| !chain.is_empty()).ok_or(CertificateError::NotPem)
}

fn key_of(leaf: &CertificateDer<'_>) -> Result<Vec<u8>, CertificateError> {
    let certificate = EndEntityCert::try_from(leaf).map_err(|_| CertificateError::NotX509)?;
    let spki = certificate.subject_public_key_info();
    match spki.as_ref().strip_prefix(&P256_SPKI) {
        Some(point) if point.len() == 65 => Ok(point.to_vec()),
        _ => Err(CertificateError::NotP256),
    }
}
