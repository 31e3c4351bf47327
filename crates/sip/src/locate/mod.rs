//! Finding servers (RFC 3263): by which transport, at which port and at which addresses a host is reached.
//!
//! A [`Locator`] asks nobody itself. [`Locator::locate`] walks through what is known; what is missing for that comes out of
//! [`Locator::poll_question`], and its answer goes in through [`Locator::on_answer`]. Then the same walk leads further.
//!
//! | what is said | what is looked up (section) |
//! | --- | --- |
//! | an IP address | nothing (4.1, 4.2) |
//! | a port | the host's A and AAAA; without a transport UDP, or TLS for `sips` (4.1, 4.2) |
//! | a transport, no port | its SRV; the host's addresses where there is none (4.2) |
//! | neither | NAPTR, the first that we speak; where there is none SRV of every transport we speak; where there is none the host's addresses (4.1) |
//!
//! Answers are kept for as long as they say. One that has outlived that is asked for again, and used until the new one is
//! there: a day long where nobody answers (RFC 8767).

mod cache;
mod order;
mod procedure;
#[cfg(test)]
mod tests;

use core::net::{IpAddr, SocketAddr};

pub use cache::Locator;
pub use order::{in_order, targets};

use crate::{Instant, Transport};

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Question {
    /// The name, in small letters and without the dot at its end.
    pub name: String,
    /// Records of which kind.
    pub kind: RecordKind,
}

/// A kind of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RecordKind {
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
    /// Servers of a service (RFC 2782).
    Srv,
    /// Services of a domain (RFC 3403).
    Naptr,
}

/// What was found, all of the kind that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Records {
    /// A or AAAA.
    Addresses(Vec<IpAddr>),
    /// SRV.
    Srv(Vec<Srv>),
    /// NAPTR.
    Naptr(Vec<Naptr>),
}

/// A server of a service (RFC 2782).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Srv {
    /// Lower ones are tried first.
    pub priority: u16,
    /// Its share among those of the same priority.
    pub weight: u16,
    /// The port.
    pub port: u16,
    /// The host; empty where the service is decidedly not offered.
    pub target: String,
}

/// A service of a domain (RFC 3403).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Naptr {
    /// Lower ones first, always.
    pub order: u16,
    /// Of the same order: lower ones first.
    pub preference: u16,
    /// `s` where the replacement names SRV records, the only one that SIP has a use for.
    pub flags: String,
    /// As in `SIP+D2U`.
    pub services: String,
    /// Where to go on.
    pub replacement: String,
}

/// What came of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// These are there, for so many seconds.
    Records {
        /// At least one.
        records: Records,
        /// The lowest of their times to live, in seconds.
        ttl_s: u32,
    },
    /// There are none, for so many seconds (RFC 2308).
    Absent {
        /// The name has records of other kinds, or names below it.
        name_exists: bool,
        /// For how long that may be believed, in seconds.
        ttl_s: u32,
    },
    /// Nobody answered, or nobody who knew.
    Failed,
}

/// Where a request is to go.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Destination {
    /// A name or an IP address, the latter in brackets or not.
    pub host: String,
    /// The port, where one is said.
    pub port: Option<u16>,
    /// The transport, where one is said.
    pub transport: Option<Transport>,
    /// Only what is encrypted will do.
    pub is_secure: bool,
}

/// A way that requests can leave by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    /// The transport.
    pub transport: Transport,
    /// IPv6, or IPv4.
    pub is_ipv6: bool,
}

/// One host that may be tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Its name, or address.
    pub host: String,
    /// By which transport.
    pub transport: Transport,
    /// Of its SRV record; lower ones first.
    pub priority: u16,
    /// Of its SRV record: its share among those of the same priority.
    pub weight: u16,
    /// Where it is; at least one.
    pub addresses: Vec<SocketAddr>,
}

/// Why a destination leads nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nowhere {
    /// There is no such name.
    NoSuchName,
    /// It has no address that we could reach by any of our ways.
    NoAddress,
    /// The domain says that it does not offer the service (RFC 2782: a target of `.`).
    NotOffered,
    /// Nobody answered, or nobody who knew.
    Unanswered,
}

impl core::fmt::Display for Nowhere {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::NoSuchName => "there is no such name",
            Self::NoAddress => "it has no address that can be reached from here",
            Self::NotOffered => "its domain says that it offers no SIP",
            Self::Unanswered => "no name server answers",
        })
    }
}

/// What is known of a destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    /// Those that may be tried, in no certain order (see [`targets`]); or why there is none.
    pub choices: Result<Vec<Choice>, Nowhere>,
    /// Until when that holds.
    pub expires: Instant,
    /// Something of it is being asked anew.
    pub is_stale: bool,
}
