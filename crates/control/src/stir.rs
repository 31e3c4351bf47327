//! Keys and certificates of STIR from files.

use std::path::{Path, PathBuf};

use tandem_call::{
    Attestation, CertificateError, Certificates, KeyError, Replays, Signer, Stir, StirCheck, StirPolicy,
};

use crate::start::random_seed;

/// STIR cannot be spoken.
#[derive(Debug, thiserror::Error)]
pub enum StirError {
    /// A file.
    #[error("stir.{field}: cannot read {}: {source}", path.display())]
    Read {
        /// The configuration's field.
        field: &'static str,
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// A certificate.
    #[error("stir.{field}: {}: {error}", path.display())]
    Certificate {
        /// The configuration's field.
        field: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: CertificateError,
    },
    /// The key.
    #[error("stir.signing.key: {}: {error}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: KeyError,
    },
    /// Random numbers for the identifier of this start.
    #[error("cannot have random numbers: {0}")]
    Random(std::io::Error),
}

/// Reads all files that `stir` names; `None` where it names none.
pub(crate) fn load(config: &tandem_config::Stir) -> Result<Option<Stir>, StirError> {
    if config.authorities.is_none() && config.signing.is_none() {
        return Ok(None);
    }
    let mut certificates = match &config.authorities {
        None => Certificates::default(),
        Some(path) => Certificates::new(&read("authorities", path)?).map_err(|error| StirError::Certificate {
            field: "authorities",
            path: path.clone(),
            error,
        })?,
    };
    for one in &config.certificates {
        let pem = read("certificates", &one.file)?;
        certificates.insert(&one.url, &pem).map_err(|error| StirError::Certificate {
            field: "certificates",
            path: one.file.clone(),
            error,
        })?;
    }
    let signer = match &config.signing {
        None => None,
        Some(signing) => {
            let signer = Signer::new(&read("signing.key", &signing.key)?, &signing.url);
            Some(signer.map_err(|error| StirError::Key { path: signing.key.clone(), error })?)
        }
    };
    let given = config.signing.as_ref().and_then(|signing| signing.origin_id.clone());
    let origin_id = match given {
        Some(given) => given.to_ascii_lowercase(),
        None => random_uuid().map_err(StirError::Random)?,
    };
    let country_code = config.country_code.clone();
    let replays = Replays::new(config.replay_entries as usize);
    Ok(Some(Stir { certificates, signer, freshness_s: config.freshness_s, replays, country_code, origin_id }))
}

/// What the configuration says of a peer.
pub(crate) const fn policy(peer: &tandem_config::StirPeer) -> StirPolicy {
    StirPolicy {
        check: match peer.check {
            tandem_config::StirCheck::Off => StirCheck::Off,
            tandem_config::StirCheck::On => StirCheck::On,
            tandem_config::StirCheck::Required => StirCheck::Required,
        },
        attestation: match peer.attestation {
            tandem_config::StirAttestation::A => Attestation::A,
            tandem_config::StirAttestation::B => Attestation::B,
            tandem_config::StirAttestation::C => Attestation::C,
        },
        signs: peer.sign,
    }
}

fn read(field: &'static str, path: &Path) -> Result<Vec<u8>, StirError> {
    std::fs::read(path).map_err(|source| StirError::Read { field, path: path.to_owned(), source })
}

/// RFC 9562 §5.4.
fn random_uuid() -> std::io::Result<String> {
    let seed = random_seed()?;
    let mut uuid = u128::from_be_bytes(*seed.first_chunk().unwrap_or(&[0; 16]));
    uuid = uuid & !(0xf << 76) | 0x4 << 76;
    uuid = uuid & !(0x3 << 62) | 0x2 << 62;
    let hex = format!("{uuid:032x}");
    Ok(format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_is_a_random_uuid() {
        let uuid = random_uuid().unwrap();
        assert_eq!(uuid.split('-').map(str::len).collect::<Vec<_>>(), [8, 4, 4, 4, 12]);
        assert_eq!(uuid.as_bytes()[14], b'4');
        assert!(matches!(uuid.as_bytes()[19], b'8' | b'9' | b'a' | b'b'), "{uuid}");
        assert_ne!(uuid, random_uuid().unwrap());
    }
}
