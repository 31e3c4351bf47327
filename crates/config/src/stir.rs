//! Who really calls: STIR/SHAKEN.

use std::path::PathBuf;

use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::check::{is_certificate_url, is_country_code, is_uuid};

/// Signatures of callers' identities (STIR/SHAKEN: RFC 8224, 8588). Everything is read from files, at the start and with the
/// configuration; nothing is fetched.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields, default)]
pub struct Stir {
    /// Authorities that vouch for certificates (PEM).
    #[garde(skip)]
    #[schemars(example = &"/etc/tandem/sti-ca.pem", extend("x-usual" = true))]
    pub authorities: Option<PathBuf>,
    /// Certificates of those whose signatures are believed.
    #[garde(length(max = 4096), dive)]
    pub certificates: Vec<StirCertificate>,
    /// What INVITEs are signed with.
    #[garde(dive)]
    pub signing: Option<StirSigning>,
    /// Seconds that a signature's time may differ from ours (RFC 8224 §5.2.1).
    #[garde(range(min = 1, max = 3600))]
    pub freshness_s: u32,
    /// Signatures of the last `freshness_s` that are remembered, so that none serves for another call (RFC 8224 §12.1); 0 for none.
    #[garde(range(max = 1_048_576))]
    pub replay_entries: u32,
    /// The country's code, digits alone, that numbers in national form belong to.
    #[garde(inner(custom(is_country_code)))]
    #[schemars(example = &"1")]
    pub country_code: Option<String>,
}

impl Default for Stir {
    fn default() -> Self {
        Self {
            authorities: None,
            certificates: Vec::new(),
            signing: None,
            freshness_s: 60,
            replay_entries: 65_536,
            country_code: None,
        }
    }
}

/// One certificate.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct StirCertificate {
    /// The URL that signatures name it by (`x5u`, `info`).
    #[garde(custom(is_certificate_url))]
    #[schemars(example = &"https://certificates.example.net/shaken.pem")]
    pub url: String,
    /// The file: the certificate, and those between it and its authority (PEM).
    #[garde(skip)]
    #[schemars(example = &"/etc/tandem/carrier.pem")]
    pub file: PathBuf,
}

/// A key of ours.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct StirSigning {
    /// The private key, on P-256 (PKCS #8 in PEM).
    #[garde(skip)]
    #[schemars(example = &"/etc/tandem/shaken.key")]
    pub key: PathBuf,
    /// Where others find its certificate.
    #[garde(custom(is_certificate_url))]
    #[schemars(example = &"https://certificates.example.com/shaken.pem")]
    pub url: String,
    /// What calls from here are traced by (`origid`), a UUID; one of this start's own where none is given.
    #[serde(default)]
    #[garde(inner(custom(is_uuid)))]
    #[schemars(example = &"123e4567-e89b-12d3-a456-426655440000")]
    pub origin_id: Option<String>,
}

/// STIR/SHAKEN with one peer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields, default)]
pub struct StirPeer {
    /// Whether identities of its callers are checked.
    #[garde(skip)]
    pub check: StirCheck,
    /// What signatures say of its callers' right to their numbers: fully known, the customer alone known, or neither.
    #[garde(skip)]
    pub attestation: StirAttestation,
    /// Whether calls to it are signed; a valid signature of the caller's goes on as it is.
    #[garde(skip)]
    pub sign: bool,
}

/// Whether identities are checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StirCheck {
    /// No.
    #[default]
    Off,
    /// Yes; routes (`identity`), trusted callees (`verstat` in P-Asserted-Identity) and records are told what came of it.
    On,
    /// Calls without a valid identity are refused: 428, 436, 437, 438, or 403 where it is stale.
    Required,
}

/// An attestation (RFC 8588 §4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum StirAttestation {
    /// Full: the caller is known, and may use the number.
    A,
    /// Partial: the caller is known.
    B,
    /// Gateway: it is known where the call came in.
    #[default]
    C,
}

/// What is known of a caller's identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum IdentityVerdict {
    /// It is the caller's.
    Verified,
    /// There is a signature, and it is not valid.
    Failed,
    /// There is none, or nobody looked.
    None,
}
