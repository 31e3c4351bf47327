//! One signed call.

use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::action::Action;
use crate::metadata::{Credentials, Metadata, MetadataError};
use crate::signature::{Request, authorization};

const FORM: &str = "application/x-www-form-urlencoded; charset=utf-8";
const XML: &str = "text/xml; charset=utf-8";
/// What RFC 3986 leaves as it is.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
/// Lent keys are fetched anew so long before they end.
const RENEW_BEFORE: Duration = Duration::from_secs(600);
/// A connection that was not used for so long is not used any more; they are used more often ([`crate::serve()`]).
const IDLE: Duration = Duration::from_secs(60);
/// Connections that are kept: as many as calls at a time.
const CONNECTIONS: usize = 16;
/// The longest answer that is read.
const MAX_ANSWER_BYTES: u64 = 4 << 20;

/// Why a call did not do it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// Too many calls: later.
    #[error("{action} is throttled ({code})")]
    Throttled {
        /// What was called.
        action: String,
        /// What the answer says.
        code: String,
    },
    /// Not allowed, or not possible: again is no use.
    #[error("{action} is refused ({code}): {message}")]
    Refused {
        /// What was called.
        action: String,
        /// What the answer says.
        code: String,
        /// And why.
        message: String,
    },
    /// No answer, or an error on their side.
    #[error("{action} failed: {why}")]
    Failed {
        /// What was called.
        action: String,
        /// What became of it.
        why: String,
    },
}

/// Where services are; for each region by the rule that AWS has, unless something else is said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoints {
    /// In place of all of them, as in `http://127.0.0.1:4566`.
    pub all: Option<String>,
}

/// Calls services of one region with the instance's keys.
#[derive(Debug)]
pub struct Client {
    agent: ureq::Agent,
    endpoints: Endpoints,
    region: String,
    metadata: Metadata,
    credentials: Mutex<Option<Credentials>>,
}

impl Client {
    /// A client whose calls end after `timeout`.
    pub fn new(metadata: Metadata, region: &str, endpoints: Endpoints, timeout: Duration) -> Self {
        let config =
            ureq::Agent::config_builder().timeout_global(Some(timeout)).http_status_as_error(false).proxy(None);
        let config = config.max_idle_age(IDLE).max_idle_connections(CONNECTIONS);
        let config = config.max_idle_connections_per_host(CONNECTIONS).build();
        Self { agent: config.into(), endpoints, region: region.to_owned(), metadata, credentials: Mutex::new(None) }
    }

    /// Fetches keys where there are none, or where they end soon.
    ///
    /// # Errors
    /// The metadata service does not give them; those that have not ended yet remain.
    pub fn renew_credentials(&self, now: SystemTime) -> Result<(), MetadataError> {
        let lasts = |credentials: &Credentials| credentials.expires_at.is_none_or(|end| now + RENEW_BEFORE < end);
        if self.current().is_some_and(|credentials| lasts(&credentials)) {
            return Ok(());
        }
        let fresh = self.metadata.credentials()?;
        *self.credentials.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(fresh);
        Ok(())
    }

    fn current(&self) -> Option<Credentials> {
        self.credentials.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }

    /// Calls an action with parameters and gives the XML of its answer.
    ///
    /// # Errors
    /// It was not done, or that is not known.
    pub fn query(&self, action: Action, parameters: &[(String, String)]) -> Result<String, CallError> {
        let mut body = format!("Action={action}&Version={}", action.service().version());
        for (name, value) in parameters {
            body += &format!("&{}={}", utf8_percent_encode(name, RESERVED), utf8_percent_encode(value, RESERVED));
        }
        self.post(action, "/", FORM, &body)
    }

    /// Posts XML to `path` below the version of the action's interface, and gives that of its answer.
    ///
    /// # Errors
    /// It was not done, or that is not known.
    pub fn rest(&self, action: Action, path: &str, xml: &str) -> Result<String, CallError> {
        self.post(action, &format!("/{}/{path}", action.service().version()), XML, xml)
    }

    fn post(&self, action: Action, path: &str, content_type: &str, body: &str) -> Result<String, CallError> {
        let failed = |why: String| CallError::Failed { action: action.to_string(), why };
        let credentials = self.current().ok_or_else(|| failed("there are no credentials".to_owned()))?;
        let service = action.service();
        let (region, host) = service.place(&self.region);
        let base = self.endpoints.all.clone().unwrap_or_else(|| format!("https://{host}"));
        let host = base.split_once("://").map_or(base.as_str(), |(_, host)| host);
        let time = timestamp(SystemTime::now());
        let signed = Request { host, path, region: &region, service: service.name(), time: &time, content_type, body };
        let mut request = self.agent.post(format!("{base}{path}")).header("content-type", content_type);
        request = request.header("x-amz-date", &time).header("authorization", authorization(&credentials, &signed));
        if let Some(token) = &credentials.session_token {
            request = request.header("x-amz-security-token", token);
        }
        let mut answer = request.send(body).map_err(|error| failed(error.to_string()))?;
        let text = answer.body_mut().with_config().limit(MAX_ANSWER_BYTES).read_to_string();
        let text = text.map_err(|error| failed(error.to_string()))?;
        match answer.status().as_u16() {
            200 => Ok(text),
            status => Err(error_of(action.name(), status, &text)),
        }
    }
}

/// `20150830T123600Z`.
fn timestamp(at: SystemTime) -> String {
    humantime::format_rfc3339_seconds(at).to_string().replace(['-', ':'], "")
}

fn error_of(action: &str, status: u16, xml: &str) -> CallError {
    let action = action.to_owned();
    let within = |tag: &str| {
        let (_, rest) = xml.split_once(&format!("<{tag}>"))?;
        rest.split_once("</").map(|(text, _)| text.to_owned())
    };
    let code = within("Code").unwrap_or_else(|| status.to_string());
    match code.as_str() {
        // The last is Route 53's for a zone that is being changed.
        "RequestLimitExceeded" | "Throttling" | "ThrottlingException" | "PriorRequestNotComplete" => {
            CallError::Throttled { action, code }
        }
        // Lent keys ended before they were renewed: the next ones are asked for now and then.
        "ExpiredToken" | "RequestExpired" => CallError::Failed { action, why: code },
        _ if status >= 500 => CallError::Failed { action, why: code },
        _ => CallError::Refused { action, code, message: within("Message").unwrap_or_default() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_error_means_for_the_next_try_is_told_apart() {
        let xml = |code: &str| {
            format!("<Response><Errors><Error><Code>{code}</Code><Message>why</Message></Error></Errors></Response>")
        };
        let error = |status, code| error_of("AssignPrivateIpAddresses", status, &xml(code));
        assert!(matches!(error(503, "RequestLimitExceeded"), CallError::Throttled { .. }));
        assert!(matches!(error(500, "InternalError"), CallError::Failed { .. }));
        assert!(matches!(error(400, "PriorRequestNotComplete"), CallError::Throttled { .. }));
        assert!(matches!(error(400, "ExpiredToken"), CallError::Failed { .. }));
        assert_eq!(
            error(403, "UnauthorizedOperation").to_string(),
            "AssignPrivateIpAddresses is refused (UnauthorizedOperation): why"
        );
        assert!(matches!(error_of("X", 502, "no xml"), CallError::Failed { .. }));
    }

    #[test]
    fn a_time_is_written_as_signatures_want_it() {
        assert_eq!(timestamp(SystemTime::UNIX_EPOCH + Duration::from_secs(1_440_938_160)), "20150830T123600Z");
    }
}
