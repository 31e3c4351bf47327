//! How a gateway's HTTP interface is reached: address, token, certificates.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};

/// What a gateway is shown, and what it has to show. The token is taken from `TANDEM_TOKEN` where no file is named.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Credentials {
    /// A file whose first line is one of the gateway's `http.tokens`.
    #[arg(long, global = true, value_name = "FILE", env = "TANDEM_TOKEN_FILE")]
    token_file: Option<PathBuf>,
    /// Speaks HTTPS, with a gateway whose certificate is of one of these authorities (PEM).
    #[arg(long, global = true, value_name = "FILE", env = "TANDEM_CA")]
    ca: Option<PathBuf>,
    /// The certificate that is shown to the gateway (PEM), with those between it and its authority.
    #[arg(long, global = true, value_name = "FILE", env = "TANDEM_CERTIFICATE", requires = "key")]
    certificate: Option<PathBuf>,
    /// Its private key (PEM).
    #[arg(long, global = true, value_name = "FILE", env = "TANDEM_KEY", requires = "certificate")]
    key: Option<PathBuf>,
}

/// A gateway's HTTP interface.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    /// As it was given.
    pub(crate) address: String,
    base: String,
    /// `Authorization` of each request.
    bearer: Option<String>,
    tls: Option<TlsConfig>,
}

impl Api {
    /// Reads what the credentials name. `address` is `ADDRESS:PORT` or begins with `http://` or `https://`.
    pub(crate) fn new(address: &str, credentials: &Credentials) -> anyhow::Result<Self> {
        let secure = credentials.ca.is_some() || credentials.certificate.is_some();
        let base = match address.split_once("://") {
            Some(("http" | "https", _)) => address.trim_end_matches('/').to_owned(),
            Some((scheme, _)) => anyhow::bail!("{scheme}: http:// or https:// is wanted, or ADDRESS:PORT alone"),
            None => format!("{}://{address}", if secure { "https" } else { "http" }),
        };
        let token = match &credentials.token_file {
            Some(path) => {
                Some(String::from_utf8_lossy(&read(path)?).lines().next().unwrap_or_default().trim().to_owned())
            }
            None => std::env::var("TANDEM_TOKEN").ok().filter(|token| !token.is_empty()),
        };
        let tls = base.starts_with("https://").then(|| tls(credentials)).transpose()?;
        Ok(Self { address: address.to_owned(), base, bearer: token.map(|token| format!("Bearer {token}")), tls })
    }

    /// Of a gateway on loopback that asks nobody.
    #[cfg(test)]
    pub(crate) fn open(address: &str) -> Self {
        Self { address: address.to_owned(), base: format!("http://{address}"), bearer: None, tls: None }
    }

    /// Of a path with its query.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// An agent whose requests show the token; what the gateway refuses is an answer, not an error.
    pub(crate) fn agent(&self, timeout: Duration) -> ureq::Agent {
        let mut config =
            ureq::Agent::config_builder().timeout_global(Some(timeout)).http_status_as_error(false).proxy(None);
        if let Some(tls) = &self.tls {
            config = config.tls_config(tls.clone());
        }
        if let Some(bearer) = self.bearer.clone() {
            config = config.middleware(
                move |mut request: ureq::http::Request<ureq::SendBody>, next: ureq::middleware::MiddlewareNext| {
                    if let Ok(bearer) = ureq::http::HeaderValue::from_str(&bearer) {
                        request.headers_mut().insert(ureq::http::header::AUTHORIZATION, bearer);
                    }
                    next.handle(request)
                },
            );
        }
        config.build().into()
    }
}

fn tls(credentials: &Credentials) -> anyhow::Result<TlsConfig> {
    let mut tls = TlsConfig::builder();
    if let Some(path) = &credentials.ca {
        tls = tls.root_certs(RootCerts::new_with_certs(&certificates(path)?));
    }
    if let (Some(certificate), Some(key)) = (&credentials.certificate, &credentials.key) {
        let key = PrivateKey::from_pem(&read(key)?).with_context(|| format!("{}: no private key", key.display()))?;
        tls = tls.client_cert(Some(ClientCert::new_with_certs(&certificates(certificate)?, key)));
    }
    Ok(tls.build())
}

fn certificates(path: &Path) -> anyhow::Result<Vec<Certificate<'static>>> {
    let pem = read(path)?;
    let found = parse_pem(&pem).filter_map(|item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(certificate),
        _ => None,
    });
    let found: Vec<_> = found.collect();
    anyhow::ensure!(!found.is_empty(), "{}: no certificate in PEM format", path.display());
    Ok(found)
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}
