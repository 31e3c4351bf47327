use core::fmt;

use zeroize::Zeroize;

/// What protects an SRTP stream: a cipher, its key length and its tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum CryptoSuite {
    /// `AES_CM_128_HMAC_SHA1_80` (RFC 3711, RFC 4568 §6.2.1).
    AesCm128HmacSha1_80,
    /// `AES_CM_128_HMAC_SHA1_32` (RFC 4568 §6.2.2); SRTCP keeps the 80-bit tag.
    AesCm128HmacSha1_32,
    /// `AES_256_CM_HMAC_SHA1_80` (RFC 6188).
    AesCm256HmacSha1_80,
    /// `AES_256_CM_HMAC_SHA1_32` (RFC 6188); SRTCP keeps the 80-bit tag.
    AesCm256HmacSha1_32,
    /// `AEAD_AES_128_GCM` (RFC 7714).
    AeadAes128Gcm,
    /// `AEAD_AES_256_GCM` (RFC 7714).
    AeadAes256Gcm,
}

impl CryptoSuite {
    /// Every suite.
    pub const ALL: [Self; 6] = [
        Self::AesCm128HmacSha1_80,
        Self::AesCm128HmacSha1_32,
        Self::AesCm256HmacSha1_80,
        Self::AesCm256HmacSha1_32,
        Self::AeadAes128Gcm,
        Self::AeadAes256Gcm,
    ];

    /// Its name in an `a=crypto` line (RFC 4568 §6.2, RFC 6188 §4, RFC 7714 §14.2).
    pub const fn name(self) -> &'static str {
        match self {
            Self::AesCm128HmacSha1_80 => "AES_CM_128_HMAC_SHA1_80",
            Self::AesCm128HmacSha1_32 => "AES_CM_128_HMAC_SHA1_32",
            Self::AesCm256HmacSha1_80 => "AES_256_CM_HMAC_SHA1_80",
            Self::AesCm256HmacSha1_32 => "AES_256_CM_HMAC_SHA1_32",
            Self::AeadAes128Gcm => "AEAD_AES_128_GCM",
            Self::AeadAes256Gcm => "AEAD_AES_256_GCM",
        }
    }

    /// The suite of that name, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|suite| suite.name().eq_ignore_ascii_case(name))
    }

    /// Octets of the master key, and of the session encryption key.
    pub const fn key_len(self) -> usize {
        match self {
            Self::AesCm128HmacSha1_80 | Self::AesCm128HmacSha1_32 | Self::AeadAes128Gcm => 16,
            Self::AesCm256HmacSha1_80 | Self::AesCm256HmacSha1_32 | Self::AeadAes256Gcm => 32,
        }
    }

    /// Octets of the master salt, and of the session salt.
    pub const fn salt_len(self) -> usize {
        if self.is_aead() { 12 } else { 14 }
    }

    /// Octets of key and salt together, as an `a=crypto` line carries them.
    pub const fn key_and_salt_len(self) -> usize {
        self.key_len() + self.salt_len()
    }

    /// Octets an SRTP packet is longer than its RTP packet.
    pub const fn tag_len(self) -> usize {
        match self {
            Self::AesCm128HmacSha1_80 | Self::AesCm256HmacSha1_80 => 10,
            Self::AesCm128HmacSha1_32 | Self::AesCm256HmacSha1_32 => 4,
            Self::AeadAes128Gcm | Self::AeadAes256Gcm => 16,
        }
    }

    /// Octets of the tag of an SRTCP packet, which is longer by 4 more for its index.
    pub const fn rtcp_tag_len(self) -> usize {
        if self.is_aead() { 16 } else { 10 }
    }

    /// Whether encryption and authentication are one algorithm.
    pub const fn is_aead(self) -> bool {
        matches!(self, Self::AeadAes128Gcm | Self::AeadAes256Gcm)
    }
}

/// RTP packets one master key may protect (RFC 3711 §9.2).
const MAX_LIFETIME: u64 = 1 << 48;
const SALT_MAX: usize = 14;

/// What the two sides agreed on for one direction of a leg: a suite, a key, a salt and how many packets they are for.
///
/// It is plain data of fixed size, so that it goes over the ring as every other part of a command. It is never shown;
/// who holds one for long wipes it ([`Zeroize`]) when done.
#[derive(Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct MasterKey {
    suite: CryptoSuite,
    key: [u8; Self::KEY_MAX],
    salt: [u8; SALT_MAX],
    lifetime: u64,
}

/// Why octets are no master key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MasterKeyError {
    /// The suite asked for.
    pub suite: CryptoSuite,
    /// What was given, in octets.
    pub given: usize,
}

impl fmt::Display for MasterKeyError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (suite, expected) = (self.suite.name(), self.suite.key_and_salt_len());
        write!(formatter, "{suite} takes {expected} octets of key and salt, not {}", self.given)
    }
}

impl core::error::Error for MasterKeyError {}

impl MasterKey {
    /// Octets of the longest key.
    pub const KEY_MAX: usize = 32;
    /// Octets of the longest key with its salt.
    pub const KEY_AND_SALT_MAX: usize = Self::KEY_MAX + SALT_MAX;

    /// Takes key and salt one after the other, as `a=crypto:… inline:` (RFC 4568 §6.1) carries them.
    ///
    /// # Errors
    /// [`MasterKeyError`] when there are more or fewer octets than the suite takes.
    pub fn new(suite: CryptoSuite, key_and_salt: &[u8]) -> Result<Self, MasterKeyError> {
        if key_and_salt.len() != suite.key_and_salt_len() {
            return Err(MasterKeyError { suite, given: key_and_salt.len() });
        }
        let (key_part, salt_part) = key_and_salt.split_at(suite.key_len());
        let (mut key, mut salt) = ([0; Self::KEY_MAX], [0; SALT_MAX]);
        key[..key_part.len()].copy_from_slice(key_part);
        salt[..salt_part.len()].copy_from_slice(salt_part);
        Ok(Self { suite, key, salt, lifetime: MAX_LIFETIME })
    }

    /// The same key for no more than `packets` RTP packets; at most 2^48 (RFC 3711 §9.2).
    #[must_use]
    pub const fn with_lifetime(self, packets: u64) -> Self {
        Self { lifetime: if packets < MAX_LIFETIME { packets } else { MAX_LIFETIME }, ..self }
    }

    /// The suite it is for.
    pub const fn suite(&self) -> CryptoSuite {
        self.suite
    }

    /// RTP packets it may protect.
    pub const fn lifetime(&self) -> u64 {
        self.lifetime
    }

    /// The key.
    pub fn key(&self) -> &[u8] {
        &self.key[..self.suite.key_len()]
    }

    /// The salt.
    pub fn salt(&self) -> &[u8] {
        &self.salt[..self.suite.salt_len()]
    }

    /// The salt, with zeros behind it up to the 14 octets that key derivation wants (RFC 7714 §11).
    pub const fn padded_salt(&self) -> &[u8; SALT_MAX] {
        &self.salt
    }
}

impl Zeroize for MasterKey {
    fn zeroize(&mut self) {
        self.key.zeroize();
        self.salt.zeroize();
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("MasterKey").field("suite", &self.suite).finish_non_exhaustive()
    }
}

/// The keys of a leg that speaks SRTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct LegCrypto {
    /// Protects what we send.
    pub send: MasterKey,
    /// Opens what the peer sends.
    pub receive: MasterKey,
}

impl Zeroize for LegCrypto {
    fn zeroize(&mut self) {
        self.send.zeroize();
        self.receive.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use std::format;
    use std::string::ToString;

    use super::*;

    #[test]
    fn a_key_of_the_wrong_length_says_what_it_should_be() {
        let error = MasterKey::new(CryptoSuite::AeadAes256Gcm, &[0; 30]).unwrap_err();
        assert_eq!(error.to_string(), "AEAD_AES_256_GCM takes 44 octets of key and salt, not 30");
    }

    #[test]
    fn a_key_is_not_shown_and_can_be_wiped() {
        let mut key = MasterKey::new(CryptoSuite::AeadAes128Gcm, &[0xab; 28]).unwrap();
        assert_eq!(format!("{key:?}"), "MasterKey { suite: AeadAes128Gcm, .. }");
        key.zeroize();
        assert_eq!((key.key(), key.salt()), (&[0; 16][..], &[0; 12][..]));
    }

    #[test]
    fn a_suite_is_found_by_its_name() {
        for suite in CryptoSuite::ALL {
            assert_eq!(CryptoSuite::from_name(&suite.name().to_ascii_lowercase()), Some(suite));
        }
        assert_eq!(CryptoSuite::from_name("F8_128_HMAC_SHA1_80"), None);
    }

    #[test]
    fn a_lifetime_is_never_longer_than_the_standard_allows() {
        let key = MasterKey::new(CryptoSuite::AesCm128HmacSha1_80, &[1; 30]).unwrap();
        assert_eq!(key.lifetime(), 1 << 48);
        assert_eq!(key.with_lifetime(1 << 20).lifetime(), 1 << 20);
        assert_eq!(key.with_lifetime(u64::MAX).lifetime(), 1 << 48);
    }
}
