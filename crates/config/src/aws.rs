//! What a gateway on EC2 asks of AWS.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::cluster::AddressReach;
use crate::document::Config;
use crate::value::Cidr;

/// A gateway on an EC2 instance. What is asked of AWS is asked by `tandem-aws`, a process that the gateway starts beside itself;
/// its credentials are those of the instance's role, which needs what `configs/aws-policy.json` allows.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields, default)]
pub struct Aws {
    /// Whether this is an EC2 instance whose floating addresses move by EC2's interface. Those of `replication.addresses` are
    /// secondary private addresses where `cluster.reach` is `subnet`, and an Elastic IP on one comes along. Where it is
    /// `anywhere`, they stay, and what `elastic` and `routes` name moves.
    #[garde(skip)]
    pub enabled: bool,
    /// The program; without a directory it is looked for beside `tandem`, then as the shell does.
    #[garde(skip)]
    pub program: PathBuf,
    /// Elastic IPs that move.
    #[garde(length(max = 16), dive)]
    pub elastic: Vec<AwsElastic>,
    /// Entries of route tables that move.
    #[garde(length(max = 64), dive)]
    pub routes: Vec<AwsRoute>,
    /// Weighted records of Route 53, each this node's share of a name: while the node takes no calls they weigh nothing.
    #[garde(length(max = 32), dive)]
    pub records: Vec<AwsRecord>,
    /// The lifecycle hook by which an Auto Scaling group waits until this node takes calls.
    #[garde(skip)]
    #[schemars(example = &"tandem-launch")]
    pub launch_hook: Option<String>,
    /// The lifecycle hook by which it waits until calls are over. When the group ends this instance, the gateway drains and ends.
    #[garde(skip)]
    #[schemars(example = &"tandem-terminate")]
    pub terminate_hook: Option<String>,
    /// Seconds between figures for CloudWatch, namespace `Tandem`; 0 for none. Each of them costs what AWS asks for a metric.
    #[garde(range(max = 3600))]
    pub metrics_interval_s: u32,
    /// Milliseconds after which a call without answer is made again.
    #[garde(range(min = 100, max = 60_000))]
    pub call_timeout_ms: u32,
    /// The instance's metadata service.
    #[garde(custom(is_url))]
    pub metadata: String,
    /// In place of AWS's own addresses: a VPC endpoint, or a simulator.
    #[garde(inner(custom(is_url)))]
    #[schemars(example = &"https://vpce-0a1b.ec2.eu-central-1.vpce.amazonaws.com")]
    pub endpoint: Option<String>,
}

impl Default for Aws {
    fn default() -> Self {
        Self {
            enabled: false,
            program: "tandem-aws".into(),
            elastic: Vec::new(),
            routes: Vec::new(),
            records: Vec::new(),
            launch_hook: None,
            terminate_hook: None,
            metrics_interval_s: 0,
            call_timeout_ms: 3000,
            metadata: "http://169.254.169.254".to_owned(),
            endpoint: None,
        }
    }
}

/// An Elastic IP that moves.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct AwsElastic {
    /// Its allocation.
    #[garde(length(min = 1))]
    #[schemars(example = &"eipalloc-0a1b2c3d")]
    pub allocation: String,
    /// The address of `replication.addresses` that it leads to on this node.
    #[garde(skip)]
    #[schemars(example = &"10.0.0.100")]
    pub address: Ipv4Addr,
}

/// A route that moves.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct AwsRoute {
    /// The route table.
    #[garde(length(min = 1))]
    #[schemars(example = &"rtb-0a1b2c3d")]
    pub table: String,
    /// Where it leads, as the table has it: an address outside the network's own prefixes.
    #[garde(skip)]
    #[schemars(example = &"10.9.0.1/32")]
    pub destination: Cidr,
    /// The address of `replication.addresses` whose interface it leads to.
    #[garde(skip)]
    #[schemars(example = &"10.0.0.100")]
    pub address: Ipv4Addr,
}

/// A record of Route 53.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct AwsRecord {
    /// The hosted zone.
    #[garde(length(min = 1), ascii)]
    #[schemars(example = &"Z0123456789ABC")]
    pub zone: String,
    /// The name that several nodes share.
    #[garde(length(min = 1, max = 255))]
    #[schemars(example = &"_sip._udp.example.net.")]
    pub name: String,
    /// Its type.
    #[garde(skip)]
    #[schemars(example = &"SRV")]
    pub r#type: AwsRecordType,
    /// This node's address; with SRV priority, weight, port and target.
    #[garde(length(min = 1))]
    #[schemars(example = &"10 10 5060 edge-1.example.net.")]
    pub value: String,
    /// This node's share of the name, beside the weights of the others.
    #[serde(default = "default_weight")]
    #[garde(skip)]
    pub weight: u8,
    /// Seconds that resolvers may keep it.
    #[serde(default = "default_ttl")]
    #[garde(range(min = 1, max = 86_400))]
    pub ttl_s: u32,
}

const fn default_weight() -> u8 {
    10
}

const fn default_ttl() -> u32 {
    30
}

/// A type of record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum AwsRecordType {
    /// An IPv4 address.
    A,
    /// An IPv6 address.
    Aaaa,
    /// Where a service is (RFC 2782).
    Srv,
}

/// The address of a service over HTTP.
fn is_url(url: &str, _: &()) -> garde::Result {
    let host = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    if host.is_some_and(|host| !host.is_empty() && !host.contains('/') && host.is_ascii()) {
        return Ok(());
    }
    Err(garde::Error::new("a URL as in http://169.254.169.254 is wanted, without a path"))
}

impl Config {
    /// What of `aws` does not fit the rest of the file: list, place in it, field, and why.
    pub(crate) fn aws_problems(&self) -> Vec<(&'static str, usize, &'static str, String)> {
        let mut problems = Vec::new();
        let floating = &self.replication.addresses;
        let floats = |ip: Ipv4Addr| floating.iter().any(|floating| floating.address.address == ip);
        let strange = |ip: Ipv4Addr| format!("{ip} is not among the addresses of replication.addresses");
        let elastic = self.aws.elastic.iter().map(|elastic| elastic.address).enumerate();
        problems.extend(
            elastic.filter(|(_, ip)| !floats(*ip)).map(|(place, ip)| ("elastic", place, "address", strange(ip))),
        );
        let routes = self.aws.routes.iter().map(|route| route.address).enumerate();
        problems
            .extend(routes.filter(|(_, ip)| !floats(*ip)).map(|(place, ip)| ("routes", place, "address", strange(ip))));
        for (place, record) in self.aws.records.iter().enumerate() {
            let (fits, wanted) = match record.r#type {
                AwsRecordType::A => (record.value.parse::<Ipv4Addr>().is_ok(), "an IPv4 address"),
                AwsRecordType::Aaaa => (record.value.parse::<std::net::Ipv6Addr>().is_ok(), "an IPv6 address"),
                AwsRecordType::Srv => (is_service(&record.value), "priority, weight, port and target"),
            };
            if !fits {
                problems.push(("records", place, "value", format!("{wanted} is wanted, not `{}`", record.value)));
            }
        }
        problems
    }

    /// The floating addresses that EC2 is asked to move as secondary private ones.
    pub fn moves_private_addresses(&self) -> bool {
        self.aws.enabled && self.cluster.reach == AddressReach::Subnet
    }
}

/// `10 10 5060 edge-1.example.net.`
fn is_service(value: &str) -> bool {
    let words: Vec<&str> = value.split(' ').collect();
    let [numbers @ .., target] = &words[..] else { return false };
    numbers.len() == 3 && numbers.iter().all(|number| number.parse::<u16>().is_ok()) && !target.is_empty()
}
