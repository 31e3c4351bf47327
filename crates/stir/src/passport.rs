//! The token: a JSON Web Signature of a header and claims, each in one form of JSON, without white space and with its keys in
//! order (RFC 8225 §9).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::number::Identity;

/// The signature's algorithm: ECDSA over P-256 with SHA-256, the only one that RFC 8225 §8.1 asks for.
pub const ALGORITHM: &str = "ES256";
/// SHAKEN's type of token (RFC 8588 §3).
pub const SHAKEN: &str = "shaken";
/// Callees of one token, at most.
const MAX_DESTINATIONS: usize = 64;

/// What the one who signed says of the caller's right to the number (RFC 8588 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Attestation {
    /// Full: it knows the caller, who may use the number.
    A,
    /// Partial: it knows the caller, but not the right to the number.
    B,
    /// Gateway: it knows only where the call came in.
    C,
}

/// The claims (RFC 8225 §5, RFC 8588 §3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// SHAKEN's attestation; `None` in a token without SHAKEN.
    pub attestation: Option<Attestation>,
    /// Who is called; at least one.
    pub destinations: Vec<Identity>,
    /// Seconds since 1970-01-01T00:00:00Z at which it was signed.
    pub issued_at: u64,
    /// Who calls.
    pub origin: Identity,
    /// SHAKEN's opaque identifier of where the call came from, a UUID; empty in a token without SHAKEN.
    pub origin_id: String,
}

/// Fields in the order of their names, which is the order in which they are written.
#[derive(Serialize, Deserialize)]
pub(crate) struct Header {
    pub(crate) alg: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ppt: Option<String>,
    pub(crate) typ: String,
    pub(crate) x5u: String,
}

#[derive(Serialize, Deserialize)]
struct WrittenClaims {
    #[serde(skip_serializing_if = "Option::is_none")]
    attest: Option<Attestation>,
    dest: Destinations,
    iat: u64,
    orig: Origin,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    origid: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Destinations {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tn: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    uri: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct Origin {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tn: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    uri: Option<String>,
}

impl Header {
    pub(crate) fn new(is_shaken: bool, x5u: &str) -> Self {
        Self {
            alg: ALGORITHM.to_owned(),
            ppt: is_shaken.then(|| SHAKEN.to_owned()),
            typ: "passport".to_owned(),
            x5u: x5u.to_owned(),
        }
    }

    /// In base64, as it is signed.
    pub(crate) fn encoded(&self) -> String {
        encoded(self)
    }

    pub(crate) fn decode(text: &str) -> Option<Self> {
        decoded(text)
    }
}

impl Claims {
    /// In base64, as they are signed.
    pub(crate) fn encoded(&self) -> String {
        let (mut tn, mut uri) = (Vec::new(), Vec::new());
        for destination in &self.destinations {
            match destination {
                Identity::Number(number) => tn.push(number.clone()),
                Identity::Uri(text) => uri.push(text.clone()),
            }
        }
        let orig = match &self.origin {
            Identity::Number(number) => Origin { tn: Some(number.clone()), uri: None },
            Identity::Uri(text) => Origin { tn: None, uri: Some(text.clone()) },
        };
        let origid = Some(self.origin_id.clone()).filter(|id| !id.is_empty());
        encoded(&WrittenClaims {
            attest: self.attestation,
            dest: Destinations { tn, uri },
            iat: self.issued_at,
            orig,
            origid,
        })
    }

    pub(crate) fn decode(text: &str) -> Option<Self> {
        let WrittenClaims { attest, dest, iat, orig, origid } = decoded(text)?;
        let origin = match (orig.tn, orig.uri) {
            (Some(number), None) => Identity::Number(number),
            (None, Some(uri)) => Identity::Uri(uri),
            _ => return None,
        };
        let numbers = dest.tn.into_iter().map(Identity::Number);
        let destinations: Vec<_> = numbers.chain(dest.uri.into_iter().map(Identity::Uri)).collect();
        if destinations.is_empty() || destinations.len() > MAX_DESTINATIONS {
            return None;
        }
        Some(Self { attestation: attest, destinations, issued_at: iat, origin, origin_id: origid.unwrap_or_default() })
    }
}

fn encoded(value: &impl Serialize) -> String {
    // Strings and numbers alone: they can be written.
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(value).unwrap_or_default())
}

fn decoded<T: for<'de> Deserialize<'de>>(text: &str) -> Option<T> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(encoded: &str) -> String {
        String::from_utf8(URL_SAFE_NO_PAD.decode(encoded).unwrap()).unwrap()
    }

    #[test]
    fn keys_are_in_order_and_nothing_stands_between_them() {
        let header = Header::new(true, "https://cert.example.org/passport.cer");
        assert_eq!(
            json(&header.encoded()),
            r#"{"alg":"ES256","ppt":"shaken","typ":"passport","x5u":"https://cert.example.org/passport.cer"}"#
        );
        let claims = Claims {
            attestation: Some(Attestation::A),
            destinations: vec![Identity::Number("12155550131".to_owned())],
            issued_at: 1_443_208_345,
            origin: Identity::Number("12155550121".to_owned()),
            origin_id: "123e4567-e89b-12d3-a456-426655440000".to_owned(),
        };
        assert_eq!(
            json(&claims.encoded()),
            r#"{"attest":"A","dest":{"tn":["12155550131"]},"iat":1443208345,"orig":{"tn":"12155550121"},"origid":"123e4567-e89b-12d3-a456-426655440000"}"#
        );
        assert_eq!(Claims::decode(&claims.encoded()), Some(claims));
    }

    #[test]
    fn the_example_of_the_standard_is_encoded_as_it_stands_there() {
        // RFC 8225 appendix A.1: header and claims of the ES256 example.
        let header = Header::new(false, "https://cert.example.org/passport.cer");
        assert_eq!(
            header.encoded(),
            "eyJhbGciOiJFUzI1NiIsInR5cCI6InBhc3Nwb3J0IiwieDV1IjoiaHR0cHM6Ly9jZXJ0LmV4YW1wbGUub3JnL3Bhc3Nwb3J0LmNlciJ9"
        );
        let claims = Claims {
            attestation: None,
            destinations: vec![Identity::Uri("sip:alice@example.com".to_owned())],
            issued_at: 1_471_375_418,
            origin: Identity::Number("12155551212".to_owned()),
            origin_id: String::new(),
        };
        assert_eq!(
            claims.encoded(),
            "eyJkZXN0Ijp7InVyaSI6WyJzaXA6YWxpY2VAZXhhbXBsZS5jb20iXX0sImlhdCI6MTQ3MTM3NTQxOCwib3JpZyI6eyJ0biI6IjEyMTU1NTUxMjEyIn19"
        );
    }

    #[test]
    fn claims_without_one_caller_or_a_callee_are_none() {
        for wrong in [
            r#"{"dest":{"tn":["1"]},"iat":1,"orig":{}}"#,
            r#"{"dest":{"tn":["1"]},"iat":1,"orig":{"tn":"1","uri":"sip:a@b"}}"#,
            r#"{"dest":{},"iat":1,"orig":{"tn":"1"}}"#,
            r#"{"dest":{"tn":["1"]},"iat":-1,"orig":{"tn":"1"}}"#,
            r#"{"attest":"D","dest":{"tn":["1"]},"iat":1,"orig":{"tn":"1"}}"#,
            "[]",
        ] {
            assert_eq!(Claims::decode(&URL_SAFE_NO_PAD.encode(wrong)), None, "{wrong}");
        }
    }
}
