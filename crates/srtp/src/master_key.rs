use core::fmt;

use thiserror::Error;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::Profile;

const KEY_MAX: usize = 32;
const SALT_MAX: usize = 14;

/// What the two sides agreed on for one direction: a profile, a key and a salt. Wiped from memory when dropped and
/// never shown.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct MasterKey {
    #[zeroize(skip)]
    profile: Profile,
    key: [u8; KEY_MAX],
    salt: [u8; SALT_MAX],
}

/// Why octets are no master key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{suite} takes {expected} octets of key and salt, not {given}", suite = .profile.crypto_suite())]
pub struct MasterKeyError {
    /// The profile asked for.
    pub profile: Profile,
    /// Key and salt of that profile, in octets.
    pub expected: usize,
    /// What was given, in octets.
    pub given: usize,
}

impl MasterKey {
    /// Takes key and salt one after the other, as `a=crypto:… inline:` (RFC 4568 §6.1) carries them.
    pub fn new(profile: Profile, key_and_salt: &[u8]) -> Result<Self, MasterKeyError> {
        let expected = profile.key_len() + profile.salt_len();
        if key_and_salt.len() != expected {
            return Err(MasterKeyError { profile, expected, given: key_and_salt.len() });
        }
        let (key_part, salt_part) = key_and_salt.split_at(profile.key_len());
        let (mut key, mut salt) = ([0; KEY_MAX], [0; SALT_MAX]);
        key[..key_part.len()].copy_from_slice(key_part);
        salt[..salt_part.len()].copy_from_slice(salt_part);
        Ok(Self { profile, key, salt })
    }

    /// The profile it is for.
    pub const fn profile(&self) -> Profile {
        self.profile
    }

    pub(crate) fn key(&self) -> &[u8] {
        &self.key[..self.profile.key_len()]
    }

    /// The salt, with zeros behind it up to the 14 octets that key derivation wants (RFC 7714 §11).
    pub(crate) const fn padded_salt(&self) -> &[u8; SALT_MAX] {
        &self.salt
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("MasterKey").field("profile", &self.profile).finish_non_exhaustive()
    }
}
