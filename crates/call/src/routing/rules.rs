//! Which rule takes a call, and why the ones before it do not.

use std::fmt;

use tandem_contract::Codec;
use tandem_sip::{Uri, unescape};

use crate::config::{PeerId, Route};
use crate::stir::IdentityVerdict;

/// What rules are about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Query<'a> {
    pub(crate) from: PeerId,
    pub(crate) uri: &'a Uri<'a>,
    /// The user part of the caller's `From`.
    pub(crate) caller: &'a str,
    /// What is known of the caller's identity.
    pub(crate) identity: IdentityVerdict,
    /// What the caller offers; `None` where it leaves the offer to us.
    pub(crate) offered: Option<&'a [Codec]>,
    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub(crate) unix_ms: u64,
}

/// The first condition of a rule that does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mismatch<'a> {
    From,
    Prefix(&'a str),
    Number(&'a crate::config::Pattern),
    Caller(&'a crate::config::Pattern),
    Domain(&'a str),
    Codec(Codec),
    Identity(IdentityVerdict),
    Hours,
}

impl Query<'_> {
    /// The called number, as rules see it: without escapes.
    pub(crate) fn number(&self) -> String {
        String::from_utf8_lossy(&unescape(self.uri.user().unwrap_or_default())).into_owned()
    }

    /// Whether `route` takes the call; `number` is [`Query::number`].
    pub(crate) fn mismatch<'r>(&self, route: &'r Route, number: &str) -> Option<Mismatch<'r>> {
        let when = &route.when;
        if when.from.is_some_and(|peer| peer != self.from) {
            return Some(Mismatch::From);
        }
        if !number.starts_with(&when.user_prefix) {
            return Some(Mismatch::Prefix(&when.user_prefix));
        }
        if let Some(pattern) = when.number.as_ref().filter(|pattern| !pattern.matches(number)) {
            return Some(Mismatch::Number(pattern));
        }
        if let Some(pattern) = when.caller.as_ref().filter(|pattern| !pattern.matches(self.caller)) {
            return Some(Mismatch::Caller(pattern));
        }
        if let Some(domain) = when.domain.as_ref().filter(|domain| !domain.eq_ignore_ascii_case(self.uri.host())) {
            return Some(Mismatch::Domain(domain));
        }
        if let Some(codec) = when.codec.filter(|codec| self.offered.is_some_and(|offered| !offered.contains(codec))) {
            return Some(Mismatch::Codec(codec));
        }
        if let Some(identity) = when.identity.filter(|identity| *identity != self.identity) {
            return Some(Mismatch::Identity(identity));
        }
        when.hours.as_ref().is_some_and(|hours| !hours.hold_at(self.unix_ms)).then_some(Mismatch::Hours)
    }
}

impl fmt::Display for Mismatch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::From => f.write_str("the call comes from another peer"),
            Self::Prefix(prefix) => write!(f, "the number does not begin with {prefix}"),
            Self::Number(pattern) => write!(f, "the number does not match {pattern}"),
            Self::Caller(pattern) => write!(f, "the caller does not match {pattern}"),
            Self::Domain(domain) => write!(f, "the host of the Request-URI is not {domain}"),
            Self::Codec(codec) => write!(f, "{} is not offered", codec.encoding_name()),
            Self::Identity(verdict) => write!(f, "the caller's identity is not `{}`", verdict.name()),
            Self::Hours => f.write_str("it is not the time for it"),
        }
    }
}
