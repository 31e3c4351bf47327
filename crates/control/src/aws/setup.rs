//! What the process is told of the configuration.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use tandem_aws_protocol::{ElasticAddress, Floating, HasInterface, RecordKind, RouteEntry, Setup, WeightedRecord};
use tandem_config::{AwsRecord, AwsRecordType, Config, FloatingAddress};

/// `tandem-aws` cannot be told what it needs.
#[derive(Debug, thiserror::Error)]
pub enum AwsError {
    /// A kernel's interface.
    #[error("aws: the hardware address of {interface} (replication.addresses) cannot be read: {source}")]
    Interface {
        /// Its name.
        interface: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// A media port.
    #[error(
        "aws: the port of {0} (replication.addresses) has no IPv4 address of its own by which EC2 knows its interface"
    )]
    Port(IpAddr),
    /// The thread.
    #[error("aws: {0}")]
    System(#[from] io::Error),
}

/// A program without a directory is looked for beside this one first.
pub(super) fn program(named: &Path) -> PathBuf {
    let is_bare = named.components().count() == 1;
    let beside = std::env::current_exe().ok().map(|own| own.with_file_name(named));
    beside.filter(|path| is_bare && path.exists()).unwrap_or_else(|| named.to_owned())
}

pub(super) fn setup(config: &Config) -> Result<Setup, AwsError> {
    let aws = &config.aws;
    let mut floating: Vec<Floating> = Vec::new();
    for address in &config.replication.addresses {
        let IpAddr::V4(ip) = address.address.address else { continue };
        let at = interface_of(config, address)?;
        let place = floating.iter().position(|known| known.at == at).unwrap_or_else(|| {
            floating.push(Floating { at, private: Vec::new(), elastic: Vec::new(), routes: Vec::new() });
            floating.len() - 1
        });
        let floating = &mut floating[place];
        if config.moves_private_addresses() {
            floating.private.push(ip);
        }
        let elastic = aws.elastic.iter().filter(|elastic| elastic.address == ip);
        floating.elastic.extend(
            elastic.map(|elastic| ElasticAddress { allocation: elastic.allocation.clone(), private: Some(ip) }),
        );
        let routes = aws.routes.iter().filter(|route| route.address == ip);
        floating.routes.extend(
            routes.map(|route| RouteEntry { table: route.table.clone(), destination: route.destination.to_string() }),
        );
    }
    Ok(Setup {
        metadata: aws.metadata.clone(),
        endpoint: aws.endpoint.clone(),
        call_timeout_ms: aws.call_timeout_ms.into(),
        floating,
        records: aws.records.iter().map(|record| weighted(&config.node.name, record)).collect(),
        launch_hook: aws.launch_hook.clone(),
        terminate_hook: aws.terminate_hook.clone(),
    })
}

/// How EC2 knows the interface that has a floating address here.
fn interface_of(config: &Config, floating: &FloatingAddress) -> Result<HasInterface, AwsError> {
    if let Some(interface) = &floating.interface {
        let mac = std::fs::read_to_string(format!("/sys/class/net/{interface}/address"));
        let mac = mac.map_err(|source| AwsError::Interface { interface: interface.clone(), source })?;
        return Ok(HasInterface::Mac(mac.trim().to_ascii_lowercase()));
    }
    let port = match &floating.port {
        Some(name) => config.ports.iter().find(|port| port.name == *name),
        None => config.ports.first(),
    };
    let own = port.into_iter().flat_map(|port| &port.addresses).find_map(|cidr| match cidr.address {
        IpAddr::V4(ip) => Some(ip),
        IpAddr::V6(_) => None,
    });
    own.map(|ip: Ipv4Addr| HasInterface::Address(ip)).ok_or(AwsError::Port(floating.address.address))
}

fn weighted(node: &str, record: &AwsRecord) -> WeightedRecord {
    WeightedRecord {
        zone: record.zone.clone(),
        name: record.name.clone(),
        kind: match record.r#type {
            AwsRecordType::A => RecordKind::A,
            AwsRecordType::Aaaa => RecordKind::Aaaa,
            AwsRecordType::Srv => RecordKind::Srv,
        },
        value: record.value.clone(),
        weight: record.weight,
        ttl_s: record.ttl_s,
        node: node.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
ports: [{name: media, device: net_null0, addresses: [\"2001:db8::5/64\", 10.0.0.10/24]}]
sip: {listen: [{address: \"10.0.1.100:5060\"}]}
peers: [{name: a, address: 192.0.2.1}, {name: b, address: 192.0.2.2}]
routes: [{from: a, peer: b}]
replication: {addresses: [{address: 10.0.0.100/24}, {address: 10.0.0.101/24}, {address: 127.0.0.9/8, interface: lo}]}
aws:
  enabled: true
  elastic: [{allocation: eipalloc-1, address: 10.0.0.101}]
  routes: [{table: rtb-1, destination: 10.9.0.1/32, address: 127.0.0.9}]
";

    #[test]
    fn addresses_are_moved_to_the_interface_of_their_port_or_kernels_name() {
        let config = tandem_config::parse("t.yaml", FILE);
        // Loopback is no address that floats: the file's check says so.
        assert!(config.is_err());
        let file = FILE.replace("127.0.0.9/8", "10.0.2.9/24").replace("127.0.0.9", "10.0.2.9");
        let config = tandem_config::parse("t.yaml", &file).unwrap();
        let [media, kernel] = &setup(&config).unwrap().floating[..] else { panic!("two interfaces") };
        assert_eq!(media.at, HasInterface::Address(Ipv4Addr::new(10, 0, 0, 10)));
        assert_eq!(media.private, [Ipv4Addr::new(10, 0, 0, 100), Ipv4Addr::new(10, 0, 0, 101)]);
        assert_eq!(media.elastic[0].private, Some(Ipv4Addr::new(10, 0, 0, 101)));
        assert_eq!(kernel.at, HasInterface::Mac("00:00:00:00:00:00".to_owned()));
        assert_eq!(kernel.routes[0].destination, "10.9.0.1/32");
        let far = tandem_config::parse("t.yaml", &format!("{file}cluster: {{reach: anywhere}}\n")).unwrap();
        assert!(setup(&far).unwrap().floating.iter().all(|floating| floating.private.is_empty()));
        let missing = tandem_config::parse("t.yaml", &file.replace("interface: lo", "interface: none9")).unwrap();
        assert!(setup(&missing).unwrap_err().to_string().contains("none9 (replication.addresses) cannot be read"));
    }
}
