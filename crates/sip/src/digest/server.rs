//! The side that asks for a password.

use core::fmt;
use core::time::Duration;
use std::borrow::Cow;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::hash::{Hex, unhex};
use super::params::escape;
use super::replay::Used;
use super::{Algorithm, Challenge, Credentials, Ha1};
use crate::{HeaderName, Identifiers, Instant, Request, Uri};

/// Octets of a nonce: when it was issued, what makes it unique, and the code that only we can make of both.
const NONCE_BYTES: usize = 8 + 8 + MAC_BYTES;
const MAC_BYTES: usize = 16;

/// How an [`Authenticator`] behaves.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The realm: passwords are hashed with it.
    pub realm: String,
    /// Algorithms to challenge with, the preferred one first (RFC 8760 section 2.3).
    pub algorithms: Vec<Algorithm>,
    /// How long a nonce is good.
    pub nonce_lifetime: Duration,
    /// Nonces in use at most. Beyond, the oldest is forgotten, and whoever has it is challenged again.
    pub max_nonces: usize,
}

/// Challenges requests and judges the answers.
///
/// A nonce carries its own time and a message authentication code over it, so a challenge costs no memory; only a nonce that
/// has come back with the right password is remembered, for its counts not to be used twice (RFC 7616 section 3.4.6).
pub struct Authenticator {
    settings: Settings,
    realm: String,
    mac: Hmac<Sha256>,
    decoy: [u8; 32],
    used: Used,
}

/// What an [`Authenticator`] makes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Checked<'a> {
    /// The request is of this user.
    Authentic(Cow<'a, str>),
    /// There are no credentials for this realm: challenge it.
    Missing,
    /// The nonce is not good any more: challenge it, saying so; the password was not looked at.
    Stale,
    /// No such user, or another password: challenge it.
    Wrong,
    /// The credentials are not what RFC 7616 allows: 400 with this phrase.
    Malformed(&'static str),
}

impl Authenticator {
    /// `key` keeps nonces from being forged: random, and another after each start, since `now` begins anew too.
    pub fn new(settings: Settings, key: [u8; 32]) -> Self {
        // HMAC pads a key to the hash's block with zeros (RFC 2104 section 2).
        let mut block = [0; 64];
        block[..key.len()].copy_from_slice(&key);
        let mut mac = Hmac::<Sha256>::new(&block.into());
        let decoy = mac.clone().chain_update(b"decoy").finalize().into_bytes().into();
        let realm = escape(&settings.realm);
        mac.update(realm.as_bytes());
        let used = Used::new(settings.max_nonces.max(1));
        Self { settings, realm, mac, decoy, used }
    }

    /// The realm.
    pub fn realm(&self) -> &str {
        &self.settings.realm
    }

    /// Nonces in use.
    pub fn nonces(&self) -> usize {
        self.used.len()
    }

    /// The values of WWW-Authenticate or Proxy-Authenticate, one header line each, in this order.
    pub fn challenges(&self, now: Instant, identifiers: &mut Identifiers, is_stale: bool) -> Vec<String> {
        let nonce = self.nonce(now.as_us(), identifiers.next_u64());
        let challenge = |algorithm: &Algorithm| {
            let algorithm = Some(*algorithm);
            let (realm, nonce) = (self.realm.as_str(), nonce.as_str());
            Challenge { realm, nonce, opaque: None, algorithm, qop: Some("auth"), is_stale }.to_value()
        };
        self.settings.algorithms.iter().map(challenge).collect()
    }

    /// Judges the credentials in `header`, which is Authorization or Proxy-Authorization. `ha1` finds what is kept of a
    /// user's password. An unknown user takes the same work as a wrong password, and gets the same verdict.
    pub fn check<'a>(
        &mut self,
        now: Instant,
        request: &'a Request,
        header: HeaderName,
        ha1: impl FnOnce(&str, Algorithm) -> Option<Ha1>,
    ) -> Checked<'a> {
        let mut lines = request.headers().filter(|line| line.name == header).map(|line| Credentials::parse(line.value));
        let credentials = loop {
            match lines.next() {
                None => return Checked::Missing,
                Some(Err(_)) => return Checked::Malformed("Bad Request - credentials: malformed"),
                Some(Ok(Some(credentials))) if credentials.realm == self.realm => break credentials,
                Some(Ok(_)) => {}
            }
        };
        let Some(algorithm) = credentials.algorithm.filter(|known| self.settings.algorithms.contains(known)) else {
            return Checked::Missing;
        };
        if !is_same_target(credentials.uri, request) {
            return Checked::Malformed("Bad Request - credentials: for another Request-URI");
        }
        let lifetime_us = u64::try_from(self.settings.nonce_lifetime.as_micros()).unwrap_or(u64::MAX);
        let oldest_us = now.as_us().saturating_sub(lifetime_us);
        let Some((issued_us, salt)) = self.open(credentials.nonce).filter(|(issued_us, _)| *issued_us >= oldest_us)
        else {
            return Checked::Stale;
        };
        let user = credentials.user();
        let known = ha1(&user, algorithm).filter(|ha1| ha1.algorithm() == algorithm);
        let compared = known.unwrap_or(Ha1::from_random(algorithm, self.decoy));
        let is_right = compared.verify(&credentials.question(request.method().as_str()), credentials.response);
        if !is_right || known.is_none() {
            return Checked::Wrong;
        }
        self.used.expire(oldest_us);
        if self.used.take(issued_us, salt, credentials.nonce_count()) {
            Checked::Authentic(user)
        } else {
            Checked::Stale
        }
    }

    fn nonce(&self, issued_us: u64, salt: u64) -> String {
        let mut nonce = [0; NONCE_BYTES];
        nonce[..8].copy_from_slice(&issued_us.to_be_bytes());
        nonce[8..16].copy_from_slice(&salt.to_be_bytes());
        let code = self.mac.clone().chain_update(&nonce[..16]).finalize().into_bytes();
        nonce[16..].copy_from_slice(&code[..MAC_BYTES]);
        Hex::of(&nonce).as_str().to_owned()
    }

    /// When a nonce of ours was issued, and what makes it unique; `None` when it is not ours.
    fn open(&self, nonce: &str) -> Option<(u64, u64)> {
        let mut bytes = [0; NONCE_BYTES];
        if !unhex(nonce, &mut bytes) {
            return None;
        }
        let (content, code) = bytes.split_at(16);
        self.mac.clone().chain_update(content).verify_truncated_left(code).ok()?;
        let (issued, salt) = content.split_at(8);
        Some((u64::from_be_bytes(issued.try_into().ok()?), u64::from_be_bytes(salt.try_into().ok()?)))
    }
}

/// RFC 7616 section 3.4.6 wants `uri` to be the Request-URI. Proxies and telephones differ in port and parameters; that the
/// same user at the same host is meant is what keeps credentials from being used elsewhere.
fn is_same_target(uri: &str, request: &Request) -> bool {
    if uri == request.uri_text() {
        return true;
    }
    let Ok(uri) = Uri::parse(uri) else { return false };
    let asked = request.uri();
    uri.user() == asked.user() && uri.host().eq_ignore_ascii_case(asked.host())
}

impl fmt::Debug for Authenticator {
    /// Shows nothing of the keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticator")
            .field("settings", &self.settings)
            .field("used", &self.used)
            .finish_non_exhaustive()
    }
}
