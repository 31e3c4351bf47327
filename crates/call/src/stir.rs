//! Whether a caller is who it says, and our word for callers of ours (STIR/SHAKEN: RFC 8224, 8588).

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use jiff::Timestamp;
use jiff::fmt::rfc2822::{DateTimeParser, DateTimePrinter};
use serde::{Deserialize, Serialize};
use tandem_contract::Nanos;
use tandem_sip::header::NameAddr;
use tandem_sip::{HeaderName, Request, StatusCode, Uri, UriBuf, unescape};
use tandem_stir::{Attestation, Certificates, Claims, Failure, Form, Identity, Replays, Signer, verify};

use crate::config::Peer;
use crate::exchange::Exchange;
use crate::identity::{ANONYMOUS, Presented};

/// `Identity` headers of one request that are looked at.
const MAX_HEADERS: usize = 4;

/// What signatures are made and checked with.
#[derive(Debug)]
pub struct Stir {
    /// Whose signatures are believed.
    pub certificates: Certificates,
    /// What signs for us; `None` where nothing does.
    pub signer: Option<Signer>,
    /// Seconds that a token's time may differ from ours.
    pub freshness_s: u32,
    /// Tokens that were seen.
    pub replays: Replays,
    /// What national numbers begin with in international form.
    pub country_code: Option<String>,
    /// SHAKEN's identifier of this node as the origin of calls, a UUID.
    pub origin_id: String,
}

/// What is asked of a peer's calls, and done for those that go to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StirPolicy {
    /// Whether `Identity` headers of its calls are checked.
    pub check: StirCheck,
    /// What we say of its callers where their calls are signed.
    pub attestation: Attestation,
    /// Whether calls to it are signed.
    pub signs: bool,
}

impl Default for StirPolicy {
    fn default() -> Self {
        Self { check: StirCheck::Off, attestation: Attestation::C, signs: false }
    }
}

/// Whether identities are checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StirCheck {
    /// No.
    #[default]
    Off,
    /// Yes; routes, the callee and the record are told what came of it.
    On,
    /// Calls without a valid one are refused (RFC 8224 §6.2.2: 428, 436, 437, 438, or 403 where it is stale).
    Required,
}

/// What came of the check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdentityVerdict {
    /// The caller is who it says.
    Verified,
    /// A signature says something else, or cannot be believed.
    Failed,
    /// There is no signature, or nobody looked.
    #[default]
    None,
}

/// The check, as call records tell it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentityRecord {
    /// What came of it.
    pub verdict: IdentityVerdict,
    /// SHAKEN's attestation, where it was verified and SHAKEN's.
    pub attestation: Option<Attestation>,
    /// Why it failed; empty where it did not.
    pub reason: String,
    /// SHAKEN's identifier of where the call came from.
    pub origin_id: String,
    /// The code in the certificate of the service provider that signed (RFC 8226), where it was verified.
    #[serde(default)]
    pub service_provider: String,
}

impl IdentityVerdict {
    /// The parameter of 3GPP TS 24.229 §7.2A.20 that tells the callee.
    pub(crate) const fn verstat(self) -> &'static str {
        match self {
            Self::Verified => "TN-Validation-Passed",
            Self::Failed => "TN-Validation-Failed",
            Self::None => "No-TN-Validation",
        }
    }

    /// As configuration and messages call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::Failed => "failed",
            Self::None => "none",
        }
    }
}

impl Exchange {
    /// Checks the identity of a peer's call; `None` where nobody is to look.
    ///
    /// # Errors
    /// The call is to be refused: the status, and why.
    pub(crate) fn check_identity(
        &mut self,
        now: Nanos,
        request: &Request,
        caller: &Peer,
    ) -> Result<Option<IdentityRecord>, (StatusCode, String)> {
        let unix_s = self.config.wall_clock.unix_millis(now) / 1000;
        let Some(stir) = self.stir.as_mut().filter(|_| caller.stir.check != StirCheck::Off) else { return Ok(None) };
        let is_required = caller.stir.check == StirCheck::Required;
        match stir.check(unix_s, request, caller) {
            Err(status_and_reason) if is_required => {
                self.counters.identities_failed += 1;
                Err(status_and_reason)
            }
            Err((status, _)) if status == StatusCode::USE_IDENTITY_HEADER => Ok(Some(IdentityRecord::none())),
            Err((_, reason)) => {
                self.counters.identities_failed += 1;
                Ok(Some(IdentityRecord { verdict: IdentityVerdict::Failed, reason, ..IdentityRecord::none() }))
            }
            Ok(record) => {
                self.counters.identities_verified += 1;
                Ok(Some(record))
            }
        }
    }

    /// Header lines that vouch before `callee`, who is called as `target`, for what it is told of the caller: the caller's own where
    /// it was found valid and still fits, else ours. Nobody vouches for who stays anonymous.
    pub(crate) fn vouch(
        &mut self,
        now: Nanos,
        request: &Request,
        (caller, callee): (&Peer, &Peer),
        verdict: Option<&IdentityRecord>,
        (target, presented): (&UriBuf, &Presented),
    ) -> Vec<(String, String)> {
        let unix_ms = self.config.wall_clock.unix_millis(now);
        let Some(stir) = self.stir.as_ref().filter(|_| callee.stir.signs) else { return Vec::new() };
        let Ok(target) = Uri::parse(target.as_str()) else { return Vec::new() };
        let asserted = presented.lines.iter().find(|(name, _)| name == "P-Asserted-Identity");
        let told = asserted.map_or(&presented.from, |(_, value)| value);
        let told = NameAddr::parse(told).ok().and_then(|told| Some(stir.identity_of(&told.uri().ok()?)));
        let Some(origin) = told.filter(|_| asserted.is_some() || presented.from != ANONYMOUS) else {
            return Vec::new();
        };
        let destination = stir.identity_of(&target);
        let asked = request.to();
        let asked = asked.uri().ok().map(|uri| stir.identity_of(&uri));
        let was_verified = verdict.is_some_and(|record| record.verdict == IdentityVerdict::Verified);
        if was_verified && matches!(destination, Identity::Number(_)) && asked.as_ref() == Some(&destination) {
            return request
                .elements(HeaderName::Identity)
                .map(|value| ("Identity".to_owned(), value.to_owned()))
                .collect();
        }
        let Some(signer) = &stir.signer else { return Vec::new() };
        let claims = Claims {
            attestation: Some(caller.stir.attestation),
            destinations: vec![destination],
            issued_at: unix_ms / 1000,
            origin,
            origin_id: stir.origin_id.clone(),
        };
        let Some(value) = signer.sign(&claims, Form::Full) else { return Vec::new() };
        self.counters.identities_signed += 1;
        let date = Timestamp::from_second((unix_ms / 1000) as i64).ok();
        let date = date.and_then(|date| DateTimePrinter::new().timestamp_to_rfc9110_string(&date).ok());
        // RFC 8224 §4.1: what is signed has a Date.
        date.map(|date| ("Date".to_owned(), date)).into_iter().chain([("Identity".to_owned(), value)]).collect()
    }
}

impl IdentityRecord {
    const fn none() -> Self {
        Self {
            verdict: IdentityVerdict::None,
            attestation: None,
            reason: String::new(),
            origin_id: String::new(),
            service_provider: String::new(),
        }
    }
}

impl Stir {
    fn check(&mut self, unix_s: u64, request: &Request, caller: &Peer) -> Result<IdentityRecord, (StatusCode, String)> {
        let uri = request.uri();
        let to = request.to();
        let destinations: Vec<_> =
            to.uri().iter().chain(std::iter::once(&uri)).map(|uri| self.identity_of(uri)).collect();
        let origins = self.origins(request, caller);
        let call = tandem_stir::Call {
            origins: &origins,
            destinations: &destinations,
            date: request.value(HeaderName::Date).and_then(unix_seconds),
            now: unix_s,
            freshness_s: self.freshness_s.into(),
        };
        // One that is valid is enough; of several that are not, the first says why.
        let mut failure: Option<Failure> = None;
        for value in request.elements(HeaderName::Identity).take(MAX_HEADERS) {
            let verified = verify(value, &call, &mut self.certificates).and_then(|verified| {
                let is_replayed = self.replays.is_replayed(verified.token, name_of(request), unix_s, verified.stale_at);
                if is_replayed { Err(Failure::Replayed) } else { Ok(verified) }
            });
            match verified {
                Ok(verified) => {
                    return Ok(IdentityRecord {
                        verdict: IdentityVerdict::Verified,
                        attestation: verified.attestation,
                        reason: String::new(),
                        origin_id: verified.origin_id,
                        service_provider: verified.service_provider,
                    });
                }
                Err(why) => {
                    failure.get_or_insert(why);
                }
            }
        }
        Err(match failure {
            None => (StatusCode::USE_IDENTITY_HEADER, "an Identity header is wanted".to_owned()),
            Some(why) => {
                (StatusCode::new(why.status()).unwrap_or(StatusCode::INVALID_IDENTITY_HEADER), why.to_string())
            }
        })
    }

    /// Who the caller says it is: the asserted identity where it may assert one and does, else `From`.
    fn origins(&self, request: &Request, caller: &Peer) -> Vec<Identity> {
        let asserted = request.elements(HeaderName::PAssertedIdentity).filter(|_| caller.is_trusted);
        let asserted = asserted.filter_map(|value| NameAddr::parse(value).ok());
        let identity = |address: NameAddr<'_>| address.uri().ok().map(|uri| self.identity_of(&uri));
        let asserted: Vec<_> = asserted.filter_map(identity).collect();
        if asserted.is_empty() { identity(request.from()).into_iter().collect() } else { asserted }
    }

    fn identity_of(&self, uri: &Uri<'_>) -> Identity {
        let user = unescape(uri.user().unwrap_or_default());
        Identity::of(&String::from_utf8_lossy(&user), uri.host(), self.country_code.as_deref())
    }
}

/// What all branches of one call have in common: Call-ID and the caller's tag.
fn name_of(request: &Request) -> u64 {
    let mut hasher = DefaultHasher::new();
    (request.call_id(), request.from_tag()).hash(&mut hasher);
    hasher.finish()
}

fn unix_seconds(date: &str) -> Option<u64> {
    let date = DateTimeParser::new().parse_timestamp(date.trim()).ok()?;
    u64::try_from(date.as_second()).ok()
}

/// The user part of an address without what it says of a check that was not ours, and with what ours came to.
pub(crate) fn with_verstat(user: &str, verdict: Option<IdentityVerdict>) -> String {
    let mut parts: Vec<&str> = user.split(';').collect();
    parts.retain(|part| !part.to_ascii_lowercase().starts_with("verstat"));
    let user = parts.join(";");
    match verdict {
        Some(verdict) if user.starts_with(|c: char| c == '+' || c.is_ascii_digit()) => {
            format!("{user};verstat={}", verdict.verstat())
        }
        _ => user,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_says_what_was_verified_and_never_what_a_stranger_wrote() {
        assert_eq!(
            with_verstat("+1215;verstat=TN-Validation-Passed", Some(IdentityVerdict::Failed)),
            "+1215;verstat=TN-Validation-Failed"
        );
        assert_eq!(with_verstat("+1215;Verstat=x;npdi", None), "+1215;npdi");
        assert_eq!(with_verstat("alice", Some(IdentityVerdict::Verified)), "alice");
        assert_eq!(with_verstat("1215", Some(IdentityVerdict::None)), "1215;verstat=No-TN-Validation");
    }

    #[test]
    fn dates_are_those_of_sip() {
        assert_eq!(unix_seconds("Sat, 13 Nov 2010 23:29:00 GMT"), Some(1_289_690_940));
        assert_eq!(unix_seconds("yesterday"), None);
    }
}
