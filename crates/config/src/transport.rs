//! How SIP is carried: listeners, TLS, connections.

use std::path::PathBuf;

use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::check::is_name;
use crate::value::{Cidr, Endpoint};

/// One socket for SIP.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// What peers call it.
    #[serde(default = "default_listener_name")]
    #[garde(custom(is_name))]
    pub name: String,
    /// The kernel's address that the socket is bound to. A listener of UDP and one of TCP may share it.
    #[garde(skip)]
    #[schemars(example = &"10.0.1.10:5060")]
    pub address: Endpoint,
    /// The transport.
    #[serde(default)]
    #[garde(skip)]
    pub transport: Transport,
    /// The address to put into Via and Contact where peers reach the socket under another one.
    #[serde(default)]
    #[garde(skip)]
    #[schemars(example = &"203.0.113.10:5060")]
    pub advertise: Option<Endpoint>,
    /// Networks of load balancers that begin each connection with a header of PROXY protocol version 2: what it says is where
    /// the connection comes from. Connections from elsewhere have none.
    #[serde(default)]
    #[garde(length(max = 64))]
    pub proxies: Vec<Cidr>,
    /// Certificates; for `tls` and `wss`, which need them.
    #[serde(default)]
    #[garde(dive)]
    pub tls: Option<Tls>,
}

fn default_listener_name() -> String {
    "main".to_owned()
}

/// What carries SIP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// UDP (RFC 3261 §18).
    #[default]
    Udp,
    /// TCP (RFC 3261 §18).
    Tcp,
    /// TLS 1.2 and 1.3 over TCP (RFC 3261 §26, RFC 5922).
    Tls,
    /// WebSocket (RFC 7118), for clients that connect to it.
    Ws,
    /// WebSocket over TLS.
    Wss,
}

impl Transport {
    /// Whether it is spoken over TCP.
    pub const fn is_stream(self) -> bool {
        !matches!(self, Self::Udp)
    }

    /// Whether it needs certificates.
    pub const fn is_secure(self) -> bool {
        matches!(self, Self::Tls | Self::Wss)
    }

    /// As the file says it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Ws => "ws",
            Self::Wss => "wss",
        }
    }
}

/// A listener's certificates, in files of PEM format. SIGHUP has them read again, for connections from then on.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The certificate that is shown to both clients and servers, and those between it and its authority.
    #[garde(skip)]
    #[schemars(example = &"/etc/tandem/certificate.pem")]
    pub certificate: PathBuf,
    /// Its private key.
    #[garde(skip)]
    #[schemars(example = &"/etc/tandem/key.pem")]
    pub key: PathBuf,
    /// Whether clients are asked for a certificate.
    #[serde(default)]
    #[garde(skip)]
    pub client_certificates: ClientCertificates,
    /// Authorities whose client certificates are accepted; needed where clients are asked for one.
    #[serde(default)]
    #[garde(skip)]
    #[schemars(example = &"/etc/tandem/clients-ca.pem")]
    pub client_ca: Option<PathBuf>,
    /// Authorities whose certificates are accepted of servers that the gateway connects to.
    #[serde(default = "default_server_ca")]
    #[garde(skip)]
    pub server_ca: PathBuf,
}

fn default_server_ca() -> PathBuf {
    "/etc/ssl/certs/ca-certificates.crt".into()
}

/// Whether clients show certificates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClientCertificates {
    /// They are not asked.
    #[default]
    Off,
    /// They are asked, and may have none.
    Optional,
    /// Without one there is no connection.
    Required,
}

/// Limits on connections. Beyond them a connection is refused, or ended.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields, default)]
pub struct Connections {
    /// Connections at once, those that shake hands included.
    #[garde(range(min = 1, max = 1_000_000))]
    pub max: u32,
    /// Connections at once that come from one IP address. A proxy or load balancer is one address.
    #[garde(range(min = 1, max = 1_000_000))]
    pub max_per_source: u32,
    /// Seconds until a connection's handshakes are done, both those that come and those that are opened.
    #[garde(range(min = 1, max = 300))]
    pub open_timeout_s: u16,
    /// Seconds for one message, from its first octet to its last, and from the handshakes to the first message.
    #[garde(range(min = 1, max = 300))]
    pub message_timeout_s: u16,
    /// Seconds without a message or a ping after which a connection is closed.
    #[garde(range(min = 1, max = 86_400))]
    pub idle_timeout_s: u32,
    /// Seconds between pings (RFC 5626 §4.4.1) on connections that the gateway opened, so that what is between does not
    /// forget them; 0 for none.
    #[garde(range(max = 86_400))]
    pub keep_alive_s: u32,
}

impl Default for Connections {
    fn default() -> Self {
        Self {
            max: 10_000,
            max_per_source: 1_000,
            open_timeout_s: 5,
            message_timeout_s: 10,
            idle_timeout_s: 900,
            keep_alive_s: 90,
        }
    }
}
