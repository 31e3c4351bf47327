//! The HTTP interface: where it listens, and whom it believes.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::check::is_name;
use crate::transport::ClientCertificates;

/// Metrics, health and control over HTTP. Without `tokens` and client certificates it is open to whoever reaches it, so that it
/// listens on loopback alone.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields, default)]
pub struct Http {
    /// Address and port.
    #[garde(skip)]
    #[schemars(with = "String")]
    pub listen: SocketAddr,
    /// Bearer tokens (RFC 6750) that requests are believed with. They are read again with the configuration.
    #[garde(length(max = 64), dive)]
    pub tokens: Vec<HttpToken>,
    /// Certificates, where it is HTTPS. They are read again with the configuration, for connections from then on.
    #[garde(dive)]
    pub tls: Option<HttpTls>,
    /// Whether `/metrics`, `/healthz` and `/readyz` are answered to whoever asks, as Prometheus and load balancers do. Where clients'
    /// certificates are `required`, there is no connection without one all the same.
    #[garde(skip)]
    pub open_monitoring: bool,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 9060)),
            tokens: Vec::new(),
            tls: None,
            open_monitoring: true,
        }
    }
}

impl Http {
    /// Whether requests that show nothing are refused.
    pub fn asks_who(&self) -> bool {
        !self.tokens.is_empty() || self.tls.as_ref().is_some_and(HttpTls::asks_clients)
    }
}

/// A secret that requests show in `Authorization: Bearer`: `file` or `environment` says where it is read.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct HttpToken {
    /// Who has it, for the log.
    #[garde(custom(is_name))]
    #[schemars(example = &"operators")]
    pub name: String,
    /// A file whose first line it is: 16 to 512 letters, digits and -._~+/=, as `openssl rand -base64 32` makes them.
    #[serde(default)]
    #[garde(skip)]
    #[schemars(example = &"/etc/tandem/operators.token", extend("x-usual" = true))]
    pub file: Option<PathBuf>,
    /// The environment variable that holds it instead.
    #[serde(default)]
    #[garde(inner(length(min = 1, max = 128)))]
    pub environment: Option<String>,
    /// What it allows.
    #[serde(default)]
    #[garde(skip)]
    pub scope: HttpScope,
}

/// What a token allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HttpScope {
    /// To look: requests of GET.
    #[default]
    Read,
    /// Everything.
    Full,
}

/// The interface's certificates, in files of PEM format.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct HttpTls {
    /// The certificate that is shown, and those between it and its authority.
    #[garde(skip)]
    #[schemars(example = &"/etc/tandem/certificate.pem")]
    pub certificate: PathBuf,
    /// Its private key.
    #[garde(skip)]
    #[schemars(example = &"/etc/tandem/key.pem")]
    pub key: PathBuf,
    /// Whether clients are asked for a certificate; one of `client_ca`'s allows everything.
    #[serde(default)]
    #[garde(skip)]
    pub client_certificates: ClientCertificates,
    /// Authorities whose client certificates are accepted; needed where clients are asked for one.
    #[serde(default)]
    #[garde(skip)]
    #[schemars(example = &"/etc/tandem/operators-ca.pem")]
    pub client_ca: Option<PathBuf>,
}

impl HttpTls {
    /// Whether a client's certificate can be shown.
    pub fn asks_clients(&self) -> bool {
        self.client_certificates != ClientCertificates::Off
    }
}
