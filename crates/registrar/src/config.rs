use core::time::Duration;

use tandem_sip::digest::{Algorithm, Settings};

/// How a registrar behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistrarConfig {
    /// The domain of addresses of record, and the realm of passwords.
    pub realm: String,
    /// Other host parts that mean the same domain: aliases, our own addresses.
    pub domains: Vec<String>,
    /// Hash functions to challenge with, the preferred one first.
    pub algorithms: Vec<Algorithm>,
    /// Seconds that a nonce is good.
    pub nonce_lifetime_s: u32,
    /// Nonces in use at most.
    pub max_nonces: usize,
    /// The shortest registration in seconds; shorter is refused with 423.
    pub min_expires_s: u32,
    /// A registration's seconds where the telephone names none.
    pub default_expires_s: u32,
    /// The longest registration in seconds; longer becomes that.
    pub max_expires_s: u32,
    /// Contacts of one subscriber at most.
    pub max_contacts: usize,
    /// Seconds between OPTIONS to telephones behind address translation; 0 for none.
    pub keep_alive_s: u32,
}

impl Default for RegistrarConfig {
    fn default() -> Self {
        Self {
            realm: String::new(),
            domains: Vec::new(),
            algorithms: vec![Algorithm::Sha256, Algorithm::Md5],
            nonce_lifetime_s: 3_600,
            max_nonces: 100_000,
            min_expires_s: 60,
            default_expires_s: 3_600,
            max_expires_s: 7_200,
            max_contacts: 10,
            keep_alive_s: 30,
        }
    }
}

impl RegistrarConfig {
    /// Whether a host part means our domain.
    pub fn serves(&self, host: &str) -> bool {
        self.realm.eq_ignore_ascii_case(host) || self.domains.iter().any(|domain| domain.eq_ignore_ascii_case(host))
    }

    pub(crate) fn digest(&self) -> Settings {
        Settings {
            realm: self.realm.clone(),
            algorithms: self.algorithms.clone(),
            nonce_lifetime: Duration::from_secs(u64::from(self.nonce_lifetime_s)),
            max_nonces: self.max_nonces,
        }
    }
}
