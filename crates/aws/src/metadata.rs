//! What an instance knows of itself: its metadata service, version 2.

use std::time::{Duration, SystemTime};

use serde::Deserialize;
use tandem_aws_protocol::{Floating, HasInterface, Identity};

/// A token's life, in seconds.
const TOKEN_S: &str = "21600";
/// The service is on the host: it answers at once or not at all.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Keys that requests are signed with.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The key's name.
    pub access_key_id: String,
    /// The key.
    pub secret_access_key: String,
    /// Beside a key that was lent.
    pub session_token: Option<String>,
    /// When it ends, where it does.
    pub expires_at: Option<SystemTime>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("access_key_id", &self.access_key_id).finish_non_exhaustive()
    }
}

/// The metadata service does not say it.
#[derive(Debug, thiserror::Error)]
pub enum MetadataError {
    /// No answer.
    #[error(
        "the instance's metadata service does not answer ({0}): is this an EC2 instance, and its metadata enabled?"
    )]
    Unreachable(String),
    /// Refused, or there is no such thing.
    #[error("the instance's metadata service has no {path} (status {status})")]
    Missing {
        /// What was asked for.
        path: String,
        /// Its answer.
        status: u16,
    },
    /// It has no such interface.
    #[error("this instance has no network interface with {0}")]
    NoInterface(String),
    /// The answer makes no sense.
    #[error("the instance's metadata: {0}")]
    Unreadable(String),
}

/// The metadata service.
#[derive(Debug)]
pub struct Metadata {
    base: String,
    agent: ureq::Agent,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct LentKey {
    access_key_id: String,
    secret_access_key: String,
    token: String,
    expiration: String,
}

impl Metadata {
    /// The service at `base`, as in `http://169.254.169.254`.
    pub fn new(base: &str) -> Self {
        let config =
            ureq::Agent::config_builder().timeout_global(Some(TIMEOUT)).http_status_as_error(false).proxy(None).build();
        Self { base: base.trim_end_matches('/').to_owned(), agent: config.into() }
    }

    fn token(&self) -> Result<String, MetadataError> {
        let request = self.agent.put(format!("{}/latest/api/token", self.base));
        let request = request.header("X-aws-ec2-metadata-token-ttl-seconds", TOKEN_S);
        read("api/token", request.send_empty())
    }

    fn get(&self, token: &str, path: &str) -> Result<String, MetadataError> {
        let request = self.agent.get(format!("{}/latest/meta-data/{path}", self.base));
        read(path, request.header("X-aws-ec2-metadata-token", token).call())
    }

    /// Which instance this is, and its interfaces with what moves to each.
    ///
    /// # Errors
    /// What it does not say, or has not.
    pub fn identity(&self, floating: Vec<Floating>) -> Result<(Identity, Vec<(String, Floating)>), MetadataError> {
        let token = &self.token()?;
        let here = floating.into_iter().map(|floating| Ok((self.interface(token, &floating.at)?, floating)));
        let here = here.collect::<Result<Vec<_>, MetadataError>>()?;
        let identity = Identity {
            instance: self.get(token, "instance-id")?,
            region: self.get(token, "placement/region")?,
            zone: self.get(token, "placement/availability-zone")?,
            interfaces: here.iter().map(|(interface, _)| interface.clone()).collect(),
        };
        Ok((identity, here))
    }

    fn interface(&self, token: &str, at: &HasInterface) -> Result<String, MetadataError> {
        const ALL: &str = "network/interfaces/macs/";
        let id = |mac: &str| self.get(token, &format!("{ALL}{mac}/interface-id"));
        match at {
            HasInterface::Mac(mac) => match id(&mac.to_ascii_lowercase()) {
                Err(MetadataError::Missing { status: 404, .. }) => {
                    Err(MetadataError::NoInterface(format!("the hardware address {mac}")))
                }
                found => found,
            },
            HasInterface::Address(address) => {
                for mac in self.get(token, ALL)?.lines().map(|line| line.trim_end_matches('/')) {
                    let has = self.get(token, &format!("{ALL}{mac}/local-ipv4s"))?;
                    if has.lines().any(|line| line.parse() == Ok(*address)) {
                        return id(mac);
                    }
                }
                Err(MetadataError::NoInterface(format!("the private address {address}")))
            }
        }
    }

    /// Whether the Auto Scaling group of the instance wants it to end. What cannot be asked is not so.
    pub fn is_to_end(&self) -> bool {
        let state = self.token().and_then(|token| self.get(&token, "autoscaling/target-lifecycle-state"));
        state.is_ok_and(|state| state.trim() == "Terminated")
    }

    /// The keys of the instance's role.
    ///
    /// # Errors
    /// It has none, or they cannot be read.
    pub fn credentials(&self) -> Result<Credentials, MetadataError> {
        let token = &self.token()?;
        let role = self.get(token, "iam/security-credentials/")?;
        let role = role.lines().next().unwrap_or_default();
        let text = self.get(token, &format!("iam/security-credentials/{role}"))?;
        let unreadable = |error: &dyn std::fmt::Display| MetadataError::Unreadable(format!("credentials: {error}"));
        let key: LentKey = serde_json::from_str(&text).map_err(|error| unreadable(&error))?;
        let expires_at = humantime::parse_rfc3339(&key.expiration).map_err(|error| unreadable(&error))?;
        Ok(Credentials {
            access_key_id: key.access_key_id,
            secret_access_key: key.secret_access_key,
            session_token: Some(key.token),
            expires_at: Some(expires_at),
        })
    }
}

fn read(path: &str, answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Result<String, MetadataError> {
    let unreachable = |error: ureq::Error| MetadataError::Unreachable(error.to_string());
    let mut answer = answer.map_err(unreachable)?;
    let body = answer.body_mut().with_config().limit(1 << 16).read_to_string().map_err(unreachable)?;
    match answer.status().as_u16() {
        200 => Ok(body),
        status => Err(MetadataError::Missing { path: path.to_owned(), status }),
    }
}
