//! The side that has a password.

use core::fmt;

use super::params::escape;
use super::{Algorithm, Challenge, Credentials, Ha1, Question};
use crate::{HeaderName, Identifiers, RequestBuilder, Response};

/// Realms that are remembered; a proxy on the way may ask in a realm of its own (RFC 3261 section 22.3).
const MAX_REALMS: usize = 8;

/// Answers challenges for one account.
///
/// Hand each 401 and 407 to [`DigestClient::on_challenge`], then send the request again, with the next CSeq number, through
/// [`DigestClient::authorize`]; requests after that go through it from the start, and are seldom challenged.
#[derive(Clone)]
pub struct DigestClient {
    username: String,
    password: String,
    sessions: Vec<Session>,
}

/// The last challenge of a realm.
#[derive(Clone)]
struct Session {
    /// Where the answer goes.
    header: HeaderName,
    realm: String,
    nonce: String,
    opaque: Option<String>,
    ha1: Ha1,
    has_qop: bool,
    /// How often the nonce was used.
    count: u32,
}

/// Why a challenge is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChallengeError {
    /// The answer to the last challenge was not taken: user name or password are wrong.
    #[error("user name or password were refused")]
    Refused,
    /// No challenge has an algorithm and quality of protection that are known here.
    #[error("the server asks for no Digest with MD5, SHA-256 or SHA-512-256 and qop=auth")]
    Unsupported,
    /// A challenge is malformed.
    #[error("the server's challenge is malformed")]
    Malformed,
}

impl DigestClient {
    /// An account.
    pub fn new(username: impl Into<String>, password: impl Into<String>) -> Self {
        Self { username: username.into(), password: password.into(), sessions: Vec::new() }
    }

    /// Takes the challenges of a 401 or 407. Of several for one realm the topmost that is understood is answered (RFC 8760
    /// section 2.4).
    ///
    /// # Errors
    ///
    /// When sending the request again would be no use; what was remembered of the realm is forgotten.
    pub fn on_challenge(&mut self, response: &Response) -> Result<(), ChallengeError> {
        let mut answered: Vec<(HeaderName, &str)> = Vec::new();
        let mut outcome = Err(ChallengeError::Unsupported);
        for line in response.headers() {
            let header = match line.name {
                HeaderName::WwwAuthenticate => HeaderName::Authorization,
                HeaderName::ProxyAuthenticate => HeaderName::ProxyAuthorization,
                _ => continue,
            };
            let challenge = match Challenge::parse(line.value) {
                Ok(Some(challenge)) => challenge,
                Ok(None) => continue,
                Err(_) => return Err(ChallengeError::Malformed),
            };
            let (Some(algorithm), Some(has_qop)) = (challenge.algorithm, challenge.wants_auth()) else { continue };
            if answered.contains(&(header, challenge.realm)) || answered.len() == MAX_REALMS {
                continue;
            }
            answered.push((header, challenge.realm));
            self.renew(header, &challenge, algorithm, has_qop)?;
            outcome = Ok(());
        }
        outcome
    }

    fn renew(
        &mut self,
        header: HeaderName,
        challenge: &Challenge<'_>,
        algorithm: Algorithm,
        has_qop: bool,
    ) -> Result<(), ChallengeError> {
        let known = self.sessions.iter().position(|known| known.header == header && known.realm == challenge.realm);
        if let Some(known) = known {
            let known = self.sessions.remove(known);
            // A nonce that was good before may have become old without `stale`; one just given has not.
            if known.count == 1 && !challenge.is_stale {
                return Err(ChallengeError::Refused);
            }
        }
        if self.sessions.len() == MAX_REALMS {
            self.sessions.remove(0);
        }
        self.sessions.push(Session {
            header,
            realm: challenge.realm.to_owned(),
            nonce: challenge.nonce.to_owned(),
            opaque: challenge.opaque.map(str::to_owned),
            ha1: Ha1::new(algorithm, &self.username, challenge.realm, &self.password),
            has_qop,
            count: 0,
        });
        Ok(())
    }

    /// Adds credentials for every realm that has asked so far; none before the first challenge.
    #[must_use]
    pub fn authorize(&mut self, request: RequestBuilder, identifiers: &mut Identifiers) -> RequestBuilder {
        let mut request = request;
        let username = escape(&self.username);
        // Without a count a nonce serves once.
        self.sessions.retain(|session| session.has_qop || session.count == 0);
        for session in &mut self.sessions {
            session.count = session.count.saturating_add(1);
            let count = format!("{:08x}", session.count);
            let cnonce = format!("{:016x}{:016x}", identifiers.next_u64(), identifiers.next_u64());
            let protection = session.has_qop.then_some((count.as_str(), cnonce.as_str()));
            let method = request.method().clone();
            let uri = request.uri().to_owned();
            let question = Question { method: method.as_str(), uri: &uri, nonce: &session.nonce, protection };
            let value = Credentials {
                username: &username,
                realm: &session.realm,
                nonce: &session.nonce,
                uri: &uri,
                response: &session.ha1.response(&question),
                algorithm: Some(session.ha1.algorithm()),
                opaque: session.opaque.as_deref(),
                protection,
            };
            request = request.header(session.header, &value.to_value());
        }
        request
    }
}

impl fmt::Debug for DigestClient {
    /// Shows neither password nor its hashes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let realms: Vec<_> = self.sessions.iter().map(|session| &session.realm).collect();
        f.debug_struct("DigestClient")
            .field("username", &self.username)
            .field("realms", &realms)
            .finish_non_exhaustive()
    }
}
