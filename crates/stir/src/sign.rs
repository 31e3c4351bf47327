//! Making `Identity` headers.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject as _;

use crate::passport::{ALGORITHM, Claims, Header, SHAKEN};

/// Signs with one key.
#[derive(Debug)]
pub struct Signer {
    key: EcdsaKeyPair,
    url: String,
    random: SystemRandom,
}

/// How much of the token the header holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// All of it; SHAKEN's is always so: a reader could not make its claims.
    Full,
    /// The signature alone: the reader makes the rest of the message (RFC 8225 §7).
    Compact,
}

/// A key cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no private key on the curve P-256 in PKCS #8 and PEM format (`openssl pkcs8 -topk8 -nodes` converts one)")]
pub struct KeyError;

impl Signer {
    /// Of a key in PEM format, whose certificate is at `url`.
    ///
    /// # Errors
    /// The key is of another kind.
    pub fn new(key: &[u8], url: &str) -> Result<Self, KeyError> {
        let random = SystemRandom::new();
        let PrivateKeyDer::Pkcs8(key) = PrivateKeyDer::from_pem_slice(key).map_err(|_| KeyError)? else {
            return Err(KeyError);
        };
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, key.secret_pkcs8_der(), &random);
        Ok(Self { key: key.map_err(|_| KeyError)?, url: url.to_owned(), random })
    }

    /// The `Identity` header's value; `None` where the system has no random numbers.
    pub fn sign(&self, claims: &Claims, form: Form) -> Option<String> {
        let is_shaken = claims.attestation.is_some();
        let (header, payload) = (Header::new(is_shaken, &self.url).encoded(), claims.encoded());
        let message = format!("{header}.{payload}");
        let signature = URL_SAFE_NO_PAD.encode(self.key.sign(&self.random, message.as_bytes()).ok()?);
        let token = match form {
            Form::Compact if !is_shaken => format!("..{signature}"),
            _ => format!("{message}.{signature}"),
        };
        let ppt = if is_shaken { format!(";ppt={SHAKEN}") } else { String::new() };
        Some(format!("{token};info=<{}>;alg={ALGORITHM}{ppt}", self.url))
    }
}
