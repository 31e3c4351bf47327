//! Who may ask what: bearer tokens (RFC 6750) and clients' certificates.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};

use axum::Json;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use ring::digest::{SHA256, digest};
use serde_json::json;
use subtle::ConstantTimeEq as _;
use tandem_config::{Http, HttpScope, HttpToken};

use crate::node::Node;

/// Characters of a token: fewer can be guessed, more is no token.
const TOKEN_LENGTH: std::ops::RangeInclusive<usize> = 16..=512;
/// Answered to whoever asks where the configuration has `open_monitoring`.
const MONITORING: [&str; 3] = ["/metrics", "/healthz", "/readyz"];
/// Says nothing of the node; what it shows it asks for.
const PAGE: &str = "/";

/// A token cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// The environment variable.
    #[error("the environment has no `{0}`, or not in UTF-8")]
    Environment(String),
    /// What is there is no token.
    #[error(
        "{place}: its first line is no token of 16 to 512 letters, digits and -._~+/= (`openssl rand -base64 32` makes one)"
    )]
    NoToken {
        /// Where.
        place: String,
    },
}

/// Who is on the other side of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caller {
    pub(super) address: SocketAddr,
    /// Whether it has shown a certificate of an authority that is believed.
    pub(super) is_certified: bool,
}

/// Whom the interface believes; what the configuration says of it can change.
#[derive(Debug)]
pub(crate) struct Gate {
    rules: RwLock<Arc<Rules>>,
    /// Requests that were refused here.
    pub(crate) refused: AtomicU64,
}

#[derive(Debug)]
struct Rules {
    tokens: Vec<Token>,
    asks_who: bool,
    open_monitoring: bool,
}

/// A token as it is kept: comparing digests takes the same time whatever was shown.
#[derive(Debug)]
struct Token {
    name: String,
    digest: [u8; 32],
    scope: HttpScope,
}

impl Gate {
    /// Reads the tokens.
    ///
    /// # Errors
    /// With the name of the one that cannot be had.
    pub(crate) fn new(http: &Http) -> Result<Self, (String, TokenError)> {
        Ok(Self { rules: RwLock::new(Arc::new(Rules::new(http)?)), refused: AtomicU64::new(0) })
    }

    /// Reads the tokens again; where that fails, everything stays as it is.
    pub(crate) fn reload(&self, http: &Http) -> Result<(), (String, TokenError)> {
        let rules = Arc::new(Rules::new(http)?);
        *self.rules.write().unwrap_or_else(PoisonError::into_inner) = rules;
        Ok(())
    }

    fn rules(&self) -> Arc<Rules> {
        self.rules.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Rules {
    fn new(http: &Http) -> Result<Self, (String, TokenError)> {
        let tokens = http.tokens.iter().map(|token| Token::read(token).map_err(|error| (token.name.clone(), error)));
        Ok(Self {
            tokens: tokens.collect::<Result<_, _>>()?,
            asks_who: http.asks_who(),
            open_monitoring: http.open_monitoring,
        })
    }

    /// What a request needs; `None` where it needs nothing.
    fn wanted(&self, method: &Method, path: &str) -> Option<HttpScope> {
        let is_open = path == PAGE || self.open_monitoring && MONITORING.contains(&path);
        if !self.asks_who || is_open && method.is_safe() {
            return None;
        }
        Some(if method.is_safe() { HttpScope::Read } else { HttpScope::Full })
    }

    /// The token that a request shows. All are compared, so that the time does not tell which it is.
    fn token(&self, headers: &HeaderMap) -> Option<&Token> {
        let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
        let (scheme, shown) = value.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let shown = digest_of(shown.trim());
        self.tokens
            .iter()
            .fold(None, |found, token| if shown.ct_eq(&token.digest).into() { Some(token) } else { found })
    }
}

impl Token {
    fn read(token: &HttpToken) -> Result<Self, TokenError> {
        let (place, text) = match (&token.file, &token.environment) {
            (Some(path), _) => {
                let text = std::fs::read_to_string(path);
                (path.display().to_string(), text.map_err(|source| TokenError::Read { path: path.clone(), source })?)
            }
            (None, variable) => {
                let variable = variable.clone().unwrap_or_default();
                let text = std::env::var(&variable).map_err(|_| TokenError::Environment(variable.clone()))?;
                (format!("the environment's `{variable}`"), text)
            }
        };
        let secret = text.lines().next().unwrap_or_default().trim();
        let is_token = secret.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~+/=".contains(&b));
        if !is_token || !TOKEN_LENGTH.contains(&secret.len()) {
            return Err(TokenError::NoToken { place });
        }
        Ok(Self { name: token.name.clone(), digest: digest_of(secret), scope: token.scope })
    }
}

fn digest_of(text: &str) -> [u8; 32] {
    let mut octets = [0; 32];
    octets.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
    octets
}

/// Lets through what is allowed. 401 says how to ask, 403 that the token is not for this.
pub(super) async fn authorise(
    State(node): State<Arc<Node>>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    request: Request,
    next: Next,
) -> Response {
    let rules = node.gate.rules();
    let Some(wanted) = rules.wanted(request.method(), request.uri().path()) else { return next.run(request).await };
    if caller.is_certified {
        return next.run(request).await;
    }
    match rules.token(request.headers()) {
        Some(token) if token.scope >= wanted => {
            tracing::debug!(token = token.name, method = %request.method(), path = request.uri().path(), "asked over HTTP");
            next.run(request).await
        }
        Some(token) => {
            node.gate.refused.fetch_add(1, Relaxed);
            tracing::debug!(token = token.name, remote = %caller.address, "a token that may only read was to change something");
            let error = format!("the token of `{}` is for reading (http.tokens[].scope)", token.name);
            (StatusCode::FORBIDDEN, Json(json!({ "error": error }))).into_response()
        }
        None => {
            node.gate.refused.fetch_add(1, Relaxed);
            tracing::debug!(remote = %caller.address, path = request.uri().path(), "asked over HTTP without a valid token");
            let error = "a valid token is wanted in `Authorization: Bearer`, or a client's certificate \
                         (tandem ctl: --token-file, --certificate)";
            let challenge = (header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"tandem\""));
            (StatusCode::UNAUTHORIZED, [challenge], Json(json!({ "error": error }))).into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(tokens: &[(&str, &str, HttpScope)]) -> Rules {
        let token = |(name, secret, scope): &(&str, &str, HttpScope)| Token {
            name: (*name).to_owned(),
            digest: digest_of(secret),
            scope: *scope,
        };
        Rules { tokens: tokens.iter().map(token).collect(), asks_who: !tokens.is_empty(), open_monitoring: true }
    }

    fn shown(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn a_token_is_found_by_all_of_it_and_by_nothing_less() {
        let rules = rules(&[("a", "0123456789abcdef", HttpScope::Read), ("b", "fedcba9876543210", HttpScope::Full)]);
        let name = |value: &str| rules.token(&shown(value)).map(|token| token.name.as_str());
        assert_eq!(name("Bearer 0123456789abcdef"), Some("a"));
        assert_eq!(name("bearer  fedcba9876543210 "), Some("b"));
        for wrong in
            ["Bearer 0123456789abcde", "Bearer 0123456789abcdef0", "Basic 0123456789abcdef", "Bearer", "Bearer "]
        {
            assert_eq!(name(wrong), None, "{wrong}");
        }
        assert!(rules.token(&HeaderMap::new()).is_none());
    }

    #[test]
    fn reading_and_changing_need_their_scopes_and_monitoring_what_its_field_says() {
        let mut rules = rules(&[("a", "0123456789abcdef", HttpScope::Read)]);
        assert_eq!(rules.wanted(&Method::GET, "/v1/calls"), Some(HttpScope::Read));
        assert_eq!(rules.wanted(&Method::DELETE, "/v1/calls/1"), Some(HttpScope::Full));
        assert_eq!(rules.wanted(&Method::GET, "/metrics"), None);
        assert_eq!(rules.wanted(&Method::POST, "/metrics"), Some(HttpScope::Full));
        assert_eq!(rules.wanted(&Method::GET, "/metrics/"), Some(HttpScope::Read));
        rules.open_monitoring = false;
        assert_eq!(rules.wanted(&Method::GET, "/readyz"), Some(HttpScope::Read));
        assert_eq!(rules.wanted(&Method::GET, "/"), None);
        rules.asks_who = false;
        assert_eq!(rules.wanted(&Method::POST, "/v1/drain"), None);
    }
}
