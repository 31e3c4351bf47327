//! The configuration file: YAML to validated types.
//!
//! [`Config`] and what it contains are the one description of the file. From their types and doc comments come the
//! parser, the errors, the JSON schema ([`json_schema`]), `configs/reference.yaml` ([`reference_yaml`]) and the tables
//! of the manual ([`reference_markdown`]); tests fail when a committed copy differs.
//!
//! [`load`] reads a file, [`parse`] a string. Both answer with a [`Config`] that holds together (names that are
//! referred to exist, addresses lie in their subnets, the port range is large enough), or with every problem found,
//! each with line, column, field and what is allowed. Whether the machine has the cores, devices and memory that the
//! file asks for is not looked at here.
#![forbid(unsafe_code)]

mod aws;
mod check;
mod cluster;
mod dataplane;
mod document;
mod guard;
mod hep;
mod http;
mod load;
mod problem;
mod reference;
mod reload;
mod replication;
mod resolver;
mod routing;
mod signalling;
mod stir;
mod transport;
mod users;
mod value;

pub use aws::{Aws, AwsElastic, AwsRecord, AwsRecordType, AwsRoute};
pub use cluster::{AddressReach, Cluster, ClusterDiscovery, ClusterMember, InstanceTag, PlacementStrategy};
pub use dataplane::{CodecLevel, Defence, Dpdk, HugePages, Media, Port, Workers};
pub use document::{Config, Limits, Log, LogFormat, LogLevel, Node, Recording, RecordingFormat, Records, Shutdown};
pub use guard::{Guard, Messages};
pub use hep::Hep;
pub use http::{Http, HttpScope, HttpTls, HttpToken};
pub use load::{LoadError, MAX_FILE_BYTES, load, parse};
pub use problem::Problem;
pub use reference::{json_schema, reference_markdown, reference_yaml};
pub use reload::{CHANGEABLE, Reload, ReloadError};
pub use replication::{FloatingAddress, Replication};
pub use resolver::{PeerAddress, PeerAddressError, Resolver};
pub use routing::{Day, Group, GroupMember, GroupMode, GroupOrder, Health, Hours, Route, seconds_of_day};
pub use signalling::{CodecName, IdentityHeader, Peer, RtcpMux, Sip, Source, Srtp, SuiteName};
pub use stir::{IdentityVerdict, Stir, StirAttestation, StirCertificate, StirCheck, StirPeer, StirSigning};
pub use transport::{ClientCertificates, Connections, Listener, Tls, Transport};
pub use users::{DigestAlgorithm, Registrar, Store};
pub use value::{Cidr, CidrError, Endpoint, EndpointError, PortRange, PortRangeError};
