//! A gateway's configuration: what every test needs is here, so that a test states what is particular to it.
#![allow(dead_code, reason = "each test binary uses its part")]

use super::{Gateway, Network, Scratch, free_udp_port};

/// Where the HTTP interface listens in a namespace of its own.
const HTTP: &str = "127.0.0.1:9060";

/// A configuration in the making.
pub struct Configuration<'s> {
    scratch: &'s Scratch,
    namespace: Option<String>,
    http: String,
    /// Memory in MiB, and further fields of `dpdk`.
    dpdk: &'static str,
    ports: String,
    /// Further fields of `http` and of `records`.
    of_http: String,
    of_records: String,
    sections: String,
}

impl<'s> Configuration<'s> {
    /// On loopback, with a port that carries nothing.
    pub fn idle(scratch: &'s Scratch) -> Self {
        Self {
            scratch,
            namespace: None,
            http: format!("127.0.0.1:{}", free_udp_port("127.0.0.1")),
            dpdk: "memory_mib: 64, packet_buffers: 4096",
            ports: "{ name: media, device: net_null0, addresses: [10.77.9.1/24] }".to_owned(),
            of_http: String::new(),
            of_records: String::new(),
            sections: String::new(),
        }
    }

    /// In the gateway's namespace of a network, with a port on its bridge.
    pub fn on(scratch: &'s Scratch, network: &Network) -> Self {
        Self {
            namespace: Some(network.gateway()),
            http: HTTP.to_owned(),
            dpdk: "memory_mib: 128",
            ports: r#"{ name: media, device: "net_af_packet0,iface=media0", addresses: [10.77.0.10/24] }"#.to_owned(),
            ..Self::idle(scratch)
        }
    }

    /// With other ports, one to a line of the list.
    pub fn ports(mut self, ports: &[&str]) -> Self {
        self.ports = ports.join("\n  - ");
        self
    }

    /// With further fields of `http`: `, tokens: […]`.
    pub fn of_http(mut self, more: &str) -> Self {
        more.clone_into(&mut self.of_http);
        self
    }

    /// With further fields of `records`: `, store: true`.
    pub fn of_records(mut self, more: &str) -> Self {
        more.clone_into(&mut self.of_records);
        self
    }

    /// With further sections.
    pub fn with(mut self, sections: &str) -> Self {
        self.sections += sections;
        self.sections.push('\n');
        self
    }

    /// Where its HTTP interface is to listen.
    pub fn http(&self) -> &str {
        &self.http
    }

    /// As the gateway reads it.
    pub fn text(&self) -> String {
        format!(
            r#"dpdk: {{ huge_pages: off, {dpdk}, file_prefix: "{prefix}" }}
ports:
  - {ports}
workers: {{ cores: [1], share_cores: true }}
records: {{ directory: "{records}"{of_records} }}
http: {{ listen: "{http}"{of_http} }}
shutdown: {{ drain_timeout_s: 1 }}
{sections}"#,
            dpdk = self.dpdk,
            prefix = self.scratch.unique(),
            ports = self.ports,
            records = self.scratch.path().join("records").display(),
            of_records = self.of_records,
            http = self.http,
            of_http = self.of_http,
            sections = self.sections,
        )
    }

    /// A gateway that has it, ready.
    pub fn start(&self) -> Gateway {
        Gateway::start(self.scratch, &self.text(), &self.http, self.namespace.as_deref())
    }
}
