//! Certificates, keys and authorities from files.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tandem_config::{ClientCertificates, HttpTls, Tls};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ClientConfig, Error as RustlsError, RootCertStore, ServerConfig, SupportedProtocolVersion};

/// RFC 8996 leaves these two.
const VERSIONS: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];

/// What one listener speaks TLS with, accepting and connecting.
#[derive(Clone, Debug)]
pub(crate) struct TlsConfigs {
    pub(crate) server: Arc<ServerConfig>,
    pub(crate) client: Arc<ClientConfig>,
}

/// TLS cannot be spoken.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file that cannot be read.
    #[error("tls.{field}: cannot read {}: {source}", path.display())]
    Read {
        /// The configuration's field.
        field: &'static str,
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A file without what is wanted.
    #[error("tls.{field}: {} holds no {wanted} in PEM format", path.display())]
    Nothing {
        /// The configuration's field.
        field: &'static str,
        /// The file.
        path: PathBuf,
        /// Certificate or private key.
        wanted: &'static str,
    },
    /// A file of which a line is not PEM (RFC 7468).
    #[error("tls.{field}: {}, line {line}: {reason}", path.display())]
    Line {
        /// The configuration's field.
        field: &'static str,
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A file whose content is not usable.
    #[error("tls.{field}: {}: {reason}", path.display())]
    Unusable {
        /// The configuration's field.
        field: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Certificate and key do not belong together, or are of a kind that is not supported.
    #[error("tls: {} and {} do not work together: {source}", certificate.display(), key.display())]
    Pair {
        /// The certificates' file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What is wrong.
        source: RustlsError,
    },
}

impl TlsConfigs {
    /// Reads all files that `tls` names.
    pub(crate) fn load(tls: &Tls) -> Result<Self, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let chain = certificates("certificate", &tls.certificate)?;
        let pair = |source| TlsError::Pair { certificate: tls.certificate.clone(), key: tls.key.clone(), source };

        let asked = (tls.client_certificates, tls.client_ca.as_deref());
        let server = server_config(&provider, (&tls.certificate, chain.clone()), &tls.key, asked)?;

        let roots = authorities("server_ca", &tls.server_ca)?;
        let client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(VERSIONS)
            .map_err(pair)?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, private_key(&tls.key)?)
            .map_err(pair)?;
        Ok(Self { server: Arc::new(server), client: Arc::new(client) })
    }
}

/// What the HTTP interface speaks TLS with: reads all files that `tls` names.
pub(crate) fn http_server(tls: &HttpTls) -> Result<Arc<ServerConfig>, TlsError> {
    let chain = certificates("certificate", &tls.certificate)?;
    let asked = (tls.client_certificates, tls.client_ca.as_deref());
    let provider = Arc::new(ring::default_provider());
    server_config(&provider, (&tls.certificate, chain), &tls.key, asked).map(Arc::new)
}

fn server_config(
    provider: &Arc<CryptoProvider>,
    (certificate, chain): (&Path, Vec<CertificateDer<'static>>),
    key: &Path,
    clients: (ClientCertificates, Option<&Path>),
) -> Result<ServerConfig, TlsError> {
    let pair = |source| TlsError::Pair { certificate: certificate.to_owned(), key: key.to_owned(), source };
    let builder =
        ServerConfig::builder_with_provider(provider.clone()).with_protocol_versions(VERSIONS).map_err(pair)?;
    let builder = match clients {
        (ClientCertificates::Off, _) | (_, None) => builder.with_no_client_auth(),
        (asked, Some(path)) => {
            let roots = Arc::new(authorities("client_ca", path)?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider.clone());
            let verifier =
                if asked == ClientCertificates::Optional { verifier.allow_unauthenticated() } else { verifier };
            let verifier = verifier.build().map_err(|error| TlsError::Unusable {
                field: "client_ca",
                path: path.to_owned(),
                reason: error.to_string(),
            })?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    builder.with_single_cert(chain, private_key(key)?).map_err(pair)
}

fn certificates(field: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(found) if found.is_empty() => Err(TlsError::Nothing { field, path: path.to_owned(), wanted: "certificate" }),
        Ok(found) => Ok(found),
        Err(error) => Err(told(field, path, "certificate", error)),
    }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| told("key", path, "private key", error))
}

fn authorities(field: &'static str, path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    // Bundles of systems hold old certificates that nobody can use; those that can be used must be some.
    let (added, _) = roots.add_parsable_certificates(certificates(field, path)?);
    if added == 0 {
        return Err(TlsError::Nothing { field, path: path.to_owned(), wanted: "usable authority" });
    }
    Ok(roots)
}

fn told(field: &'static str, path: &Path, wanted: &'static str, error: pem::Error) -> TlsError {
    let path = path.to_owned();
    match error {
        pem::Error::Io(source) => TlsError::Read { field, path, source },
        pem::Error::NoItemsFound => TlsError::Nothing { field, path, wanted },
        other => match std::fs::read(&path).ok().and_then(|text| wrong_line(&String::from_utf8_lossy(&text))) {
            Some((line, reason)) => TlsError::Line { field, path, line, reason },
            None => TlsError::Unusable { field, path, reason: other.to_string() },
        },
    }
}

/// The first line between a BEGIN and its END that is not of base64, or a BEGIN that has no END; counted from 1.
fn wrong_line(text: &str) -> Option<(usize, &'static str)> {
    let mut begun = None;
    for (line, text) in (1..).zip(text.lines().map(str::trim)) {
        let of_base64 = |octet: u8| octet.is_ascii_alphanumeric() || b"+/=".contains(&octet);
        if text.starts_with("-----BEGIN ") {
            begun = Some(line);
        } else if text.starts_with("-----END ") {
            begun = None;
        } else if begun.is_some() && !text.bytes().all(of_base64) {
            return Some((line, "not base64"));
        }
    }
    begun.map(|line| (line, "what begins here has no end"))
}

#[cfg(test)]
mod tests {
    use super::wrong_line;

    #[test]
    fn the_line_that_is_not_pem_is_named() {
        let whole = "text before\n-----BEGIN CERTIFICATE-----\nMIIB+/==\n-----END CERTIFICATE-----\r\n";
        assert_eq!(wrong_line(whole), None);
        assert_eq!(wrong_line(&whole.replace("MIIB", "MI!B")), Some((3, "not base64")));
        let twice = whole.to_owned() + &whole.replace("-----END CERTIFICATE-----", "");
        assert_eq!(wrong_line(&twice), Some((6, "what begins here has no end")));
        assert_eq!(wrong_line(""), None);
    }
}
