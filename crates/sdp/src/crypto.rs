//! Keys for SRTP in session descriptions: `a=crypto` (RFC 4568, with the suites of RFC 6188 and RFC 7714 §14).

use std::fmt;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use tandem_contract::{CryptoSuite, MasterKey};
use thiserror::Error;
use zeroize::{Zeroize, Zeroizing};

/// Written with padding, read with or without it: both are seen.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);
/// RTP packets one key may protect, the most there can be (RFC 3711 §9.2).
const MAX_LIFETIME: u64 = 1 << 48;

/// How SRTP is used with a peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum SrtpPolicy {
    /// Never: what is offered over RTP/SAVP is refused, keys are passed over.
    #[default]
    Off,
    /// Where the peer has it too. Our offers say RTP/AVP and bring keys; a peer that takes none of them speaks plain RTP.
    Optional,
    /// Always: our offers say RTP/SAVP, and a stream without keys is refused.
    Required,
}

/// A leg's side of SRTP.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Security {
    /// Whether it is spoken.
    pub policy: SrtpPolicy,
    /// With which suites, preferred first.
    pub suites: Vec<CryptoSuite>,
    /// Where this leg's keys come from.
    pub keys: KeySeed,
}

/// What all keys of one leg are made of: as secret as they are. It shows nothing of itself and is wiped after use.
#[derive(Clone, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct KeySeed([u8; 32]);

impl KeySeed {
    /// From 32 octets that nobody can guess, and that no other leg gets.
    pub const fn new(octets: [u8; 32]) -> Self {
        Self(octets)
    }

    /// One new line for each suite, numbered from 1, for a stream whose keys come from nothing else.
    pub fn lines(&self, suites: &[CryptoSuite]) -> Vec<CryptoLine> {
        (1..).zip(suites).map(|(tag, suite)| CryptoLine { tag, key: self.key(tag.into(), *suite) }).collect()
    }

    /// Key number `index` of the leg.
    pub(crate) fn key(&self, index: u64, suite: CryptoSuite) -> MasterKey {
        let mut random = ChaCha20Rng::from_seed(self.0);
        random.set_stream(index);
        let mut octets = Zeroizing::new([0; MasterKey::KEY_AND_SALT_MAX]);
        random.fill_bytes(&mut *octets);
        MasterKey::new(suite, &octets[..suite.key_and_salt_len()]).expect("the length is the suite's own")
    }
}

impl Drop for KeySeed {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for KeySeed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("KeySeed(..)")
    }
}

/// One `a=crypto` line: a suite and a key under a number by which the answer names it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct CryptoLine {
    /// The number, up to nine digits.
    pub tag: u32,
    /// Suite, key, salt and lifetime. Who sends the line protects its own packets with it.
    pub key: MasterKey,
}

/// Why an `a=crypto` line cannot be used (RFC 4568 §6.7, §7.1.2: it is passed over).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CryptoError {
    /// Not of the form of RFC 4568 §9.1.
    #[error("it is malformed")]
    Malformed,
    /// A suite that is none of ours.
    #[error("its crypto suite is unknown")]
    UnknownSuite,
    /// The key and salt are no base64, or not as long as the suite's.
    #[error("its key does not fit the suite")]
    KeyUnusable,
    /// The lifetime is no number, or 0.
    #[error("its key lifetime is unusable")]
    LifetimeUnusable,
    /// A master key identifier in each packet, or several keys.
    #[error("it wants a master key identifier (MKI) or several keys")]
    MasterKeyIdentifier,
    /// A session parameter that must be understood and is not, or weakens the stream: a key derivation rate, something
    /// left unencrypted or unauthenticated, forward error correction.
    #[error("it has a session parameter that is not supported")]
    SessionParameter,
}

impl CryptoLine {
    /// Reads the value of an `a=crypto` attribute: `<tag> <suite> inline:<key and salt>[|<lifetime>] [<parameters>]`.
    ///
    /// # Errors
    /// [`CryptoError`] says why the line is of no use. Nothing of the key is in it.
    pub fn parse(value: &str) -> Result<Self, CryptoError> {
        let mut words = value.split_ascii_whitespace();
        let tag = words.next().filter(|tag| tag.len() <= 9).and_then(digits).ok_or(CryptoError::Malformed)?;
        let suite = words.next().ok_or(CryptoError::Malformed)?;
        let keys = words.next().ok_or(CryptoError::Malformed)?;
        let suite = CryptoSuite::from_name(suite).ok_or(CryptoError::UnknownSuite)?;
        if keys.contains(';') {
            return Err(CryptoError::MasterKeyIdentifier);
        }
        let (method, info) = keys.split_once(':').ok_or(CryptoError::Malformed)?;
        if !method.eq_ignore_ascii_case("inline") {
            return Err(CryptoError::Malformed);
        }
        let mut parts = info.split('|');
        let key_and_salt = parts.next().unwrap_or_default();
        let mut lifetime = MAX_LIFETIME;
        for part in parts {
            if part.contains(':') {
                return Err(CryptoError::MasterKeyIdentifier);
            }
            lifetime = parse_lifetime(part).ok_or(CryptoError::LifetimeUnusable)?;
        }
        if !words.all(is_harmless) {
            return Err(CryptoError::SessionParameter);
        }
        // The decoder wants room for a whole number of groups, and would write no further than that.
        let mut octets = Zeroizing::new([0; MasterKey::KEY_AND_SALT_MAX + 2]);
        let length = BASE64.decode_slice(key_and_salt, octets.as_mut_slice()).map_err(|_| CryptoError::KeyUnusable)?;
        let key = MasterKey::new(suite, &octets[..length]).map_err(|_| CryptoError::KeyUnusable)?;
        Ok(Self { tag: tag as u32, key: key.with_lifetime(lifetime) })
    }

    /// The attribute's value. The lifetime is left out: ours is always the standard's own.
    pub fn value(&self) -> String {
        let mut octets = Zeroizing::new([0; MasterKey::KEY_AND_SALT_MAX]);
        let (key, salt) = (self.key.key(), self.key.salt());
        octets[..key.len()].copy_from_slice(key);
        octets[key.len()..key.len() + salt.len()].copy_from_slice(salt);
        let text = BASE64.encode(&octets[..key.len() + salt.len()]);
        format!("{} {} inline:{text}", self.tag, self.key.suite().name())
    }
}

impl Drop for CryptoLine {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

/// The number that is written in decimal digits and nothing else.
fn digits(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// `2^n` or a number of packets (RFC 4568 §6.1), 1 to 2^48.
fn parse_lifetime(text: &str) -> Option<u64> {
    let packets = match text.strip_prefix("2^") {
        Some(exponent) => 1_u64.checked_shl(digits(exponent)?.try_into().ok()?)?,
        None => digits(text)?,
    };
    (1..=MAX_LIFETIME).contains(&packets).then_some(packets)
}

/// Whether a session parameter changes nothing for us: an advice on the replay window (RFC 4568 §6.3.6), or an extension
/// that says of itself that it may be passed over (§6.3.7).
fn is_harmless(parameter: &str) -> bool {
    parameter.starts_with('-') || parameter.get(..4).is_some_and(|name| name.eq_ignore_ascii_case("WSH="))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4568 §6.1.
    const KEY: &str = "d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj";

    fn error(value: &str) -> CryptoError {
        CryptoLine::parse(value).expect_err("is of no use")
    }

    #[test]
    fn the_standards_own_example_is_read_and_written() {
        let value = format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}");
        let line = CryptoLine::parse(&format!("{value}|2^20")).expect("usable");
        assert_eq!(line.key.key(), b"wDfvg&T+)xG7@fb5");
        assert_eq!(line.key.salt(), b"jU,RaA}\\|p0%*#");
        assert_eq!((line.tag, line.key.lifetime()), (1, 1 << 20));
        assert_eq!(line.value(), value);
    }

    #[test]
    fn each_suite_takes_keys_of_its_length_with_or_without_padding() {
        for (index, suite) in CryptoSuite::ALL.into_iter().enumerate() {
            let line = CryptoLine { tag: 7, key: KeySeed::new([9; 32]).key(index as u64, suite) };
            assert_eq!(CryptoLine::parse(&line.value()).as_ref(), Ok(&line));
            assert_eq!(CryptoLine::parse(line.value().trim_end_matches('=')).as_ref(), Ok(&line));
            assert_eq!(error(&line.value()[..line.value().len() - 4]), CryptoError::KeyUnusable);
        }
    }

    #[test]
    fn what_cannot_be_honoured_says_why() {
        let with = |tail: &str| error(&format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}{tail}"));
        assert_eq!(with("|2^20|1:4"), CryptoError::MasterKeyIdentifier);
        assert_eq!(with("|1:4"), CryptoError::MasterKeyIdentifier);
        assert_eq!(with(&format!("|1:4;inline:{KEY}|2:4")), CryptoError::MasterKeyIdentifier);
        for lifetime in ["|0", "|2^49", "|2^", "|x", "|-1", "|2^999999999999", "|"] {
            assert_eq!(with(lifetime), CryptoError::LifetimeUnusable, "{lifetime}");
        }
        for parameter in
            [" KDR=1", " UNENCRYPTED_SRTP", " UNENCRYPTED_SRTCP", " UNAUTHENTICATED_SRTP", " NEW=1", " WSH"]
        {
            assert_eq!(with(parameter), CryptoError::SessionParameter, "{parameter}");
        }
        for malformed in
            ["", "1", "1 AES_CM_128_HMAC_SHA1_80", "x AES_CM_128_HMAC_SHA1_80 inline:AA", "1234567890 a b:c"]
        {
            assert_eq!(error(malformed), CryptoError::Malformed, "{malformed}");
        }
        assert_eq!(error(&format!("1 F8_128_HMAC_SHA1_80 inline:{KEY}")), CryptoError::UnknownSuite);
        assert_eq!(error(&format!("1 AES_CM_128_HMAC_SHA1_80 prompt:{KEY}")), CryptoError::Malformed);
        assert_eq!(error("1 AES_CM_128_HMAC_SHA1_80 inline:****"), CryptoError::KeyUnusable);
        assert_eq!(error(&format!("1 AES_CM_128_HMAC_SHA1_80 inline:{}", "A".repeat(9_000))), CryptoError::KeyUnusable);
    }

    #[test]
    fn an_advice_and_an_extension_that_may_be_passed_over_are() {
        let value = format!("2 AES_CM_128_HMAC_SHA1_32  inline:{KEY}|1024 WSH=128 -FOO=1");
        assert_eq!(CryptoLine::parse(&value).expect("usable").key.lifetime(), 1_024);
    }

    #[test]
    fn keys_of_a_leg_differ_and_are_not_shown() {
        let seed = KeySeed::new([3; 32]);
        let suite = CryptoSuite::AeadAes256Gcm;
        assert_ne!(seed.key(0, suite), seed.key(1, suite));
        assert_ne!(seed.key(0, suite), KeySeed::new([4; 32]).key(0, suite));
        assert_eq!(seed.key(1, suite), seed.key(1, suite));
        assert_eq!(format!("{seed:?}"), "KeySeed(..)");
        let line = CryptoLine { tag: 1, key: seed.key(0, suite) };
        assert_eq!(format!("{line:?}"), "CryptoLine { tag: 1, key: MasterKey { suite: AeadAes256Gcm, .. } }");
    }
}
