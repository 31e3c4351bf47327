//! Sections about who registers here, and where that is kept.

use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::check::{is_database, is_domain, is_name};

/// The database of subscribers, registrations and, where `records.store` says so, call records. It is opened only where one of
/// these is wanted.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields, default)]
pub struct Store {
    /// Which one: a file of SQLite, which is built in (`sqlite:///var/lib/tandem/tandem.db`), or PostgreSQL
    /// (`postgres://tandem@db.example.com/tandem?sslmode=verify-full`; a password belongs into `PGPASSWORD` or `~/.pgpass`).
    #[garde(custom(is_database))]
    pub url: String,
}

impl Default for Store {
    fn default() -> Self {
        Self { url: "sqlite:///var/lib/tandem/tandem.db".to_owned() }
    }
}

/// Telephones that register here (RFC 3261 section 10). Subscribers are added with `tandem ctl subscriber add`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields, default)]
pub struct Registrar {
    /// The domain of their addresses, and the realm of their passwords, which changing it makes void. Without it nobody registers.
    #[garde(inner(custom(is_domain)))]
    #[schemars(example = &"example.com")]
    pub realm: Option<String>,
    /// Other host parts that mean the same domain: aliases, the gateway's addresses where telephones use them.
    #[garde(length(max = 64), inner(custom(is_domain)))]
    pub domains: Vec<String>,
    /// The peer that registered telephones are: calls from a telephone that has shown its password are from this peer, calls to it
    /// go to where the telephone of that name is. Its codecs, media settings and limits are theirs; it has no `address`.
    #[garde(inner(custom(is_name)))]
    #[schemars(example = &"phones")]
    pub peer: Option<String>,
    /// Hash functions that telephones are asked to prove their password with, the preferred one first (RFC 8760); one of them is
    /// enough. Passwords are kept as these hashes alone: one that is added here serves only passwords set after that.
    #[garde(length(min = 1, max = 3))]
    pub algorithms: Vec<DigestAlgorithm>,
    /// How long a challenge may be answered, in seconds; then a telephone is challenged anew, without asking its user.
    #[garde(range(min = 10, max = 86_400))]
    pub nonce_lifetime_s: u32,
    /// The shortest registration in seconds; shorter is refused with 423.
    #[garde(range(min = 1, max = 86_400))]
    pub min_expires_s: u32,
    /// How long a registration lasts where the telephone does not say, in seconds.
    #[garde(range(min = 1, max = 604_800))]
    pub default_expires_s: u32,
    /// The longest registration in seconds; longer becomes that.
    #[garde(range(min = 1, max = 604_800))]
    pub max_expires_s: u32,
    /// Places where one subscriber may be at once.
    #[garde(range(min = 1, max = 100))]
    pub max_contacts: u32,
    /// Telephones behind address translation are sent OPTIONS every so many seconds, so that calls reach them; 0 sends none.
    #[garde(range(max = 3_600))]
    pub keep_alive_s: u32,
}

impl Default for Registrar {
    fn default() -> Self {
        Self {
            realm: None,
            domains: Vec::new(),
            peer: None,
            algorithms: vec![DigestAlgorithm::Sha256, DigestAlgorithm::Md5],
            nonce_lifetime_s: 3_600,
            min_expires_s: 60,
            default_expires_s: 3_600,
            max_expires_s: 7_200,
            max_contacts: 10,
            keep_alive_s: 30,
        }
    }
}

/// A hash function of digest authentication (RFC 7616 section 6.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum DigestAlgorithm {
    /// MD5, which every telephone has.
    #[serde(rename = "MD5")]
    Md5,
    /// SHA-256.
    #[serde(rename = "SHA-256")]
    Sha256,
    /// SHA-512/256.
    #[serde(rename = "SHA-512-256")]
    Sha512T256,
}
