//! The file as a whole, and its short sections.

use std::net::IpAddr;
use std::path::PathBuf;

use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::aws::Aws;
use crate::check::is_name;
use crate::cluster::Cluster;
use crate::dataplane::{Defence, Dpdk, Media, Port, Workers};
use crate::hep::Hep;
use crate::http::Http;
use crate::replication::Replication;
use crate::routing::{Group, Route};
use crate::signalling::{Peer, Sip, Srtp};
use crate::stir::Stir;
use crate::transport::Listener;
use crate::users::{Registrar, Store};

/// Configuration of a Tandem gateway.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// This gateway.
    #[serde(default)]
    #[garde(dive)]
    pub node: Node,
    /// DPDK's environment.
    #[serde(default)]
    #[garde(dive)]
    pub dpdk: Dpdk,
    /// The DPDK ports that media crosses, and the gateway's addresses on them. Every worker serves all of them.
    #[garde(length(min = 1, max = 8), dive)]
    pub ports: Vec<Port>,
    /// Poll-mode workers.
    #[serde(default)]
    #[garde(dive)]
    pub workers: Workers,
    /// RTP.
    #[serde(default)]
    #[garde(dive)]
    pub media: Media,
    /// What strangers and the over-eager may send to the media ports. The SIP side has `limits`.
    #[serde(default)]
    #[garde(dive)]
    pub defence: Defence,
    /// SIP's sockets and timers.
    #[garde(dive)]
    pub sip: Sip,
    /// How much is taken on.
    #[serde(default)]
    #[garde(dive)]
    pub limits: Limits,
    /// SIP entities that calls come from and go to.
    #[garde(length(min = 1, max = 4096), dive)]
    pub peers: Vec<Peer>,
    /// Peers that stand in for each other.
    #[serde(default)]
    #[garde(length(max = 4096), dive)]
    pub groups: Vec<Group>,
    /// The routing table: which peer or group gets which call.
    #[garde(length(min = 1, max = 65_536), dive)]
    pub routes: Vec<Route>,
    /// Signatures of callers' identities (STIR/SHAKEN).
    #[serde(default)]
    #[garde(dive)]
    pub stir: Stir,
    /// Telephones that register here.
    #[serde(default)]
    #[garde(dive)]
    pub registrar: Registrar,
    /// The database of subscribers, registrations and call records.
    #[serde(default)]
    #[garde(dive)]
    pub store: Store,
    /// Call detail records.
    #[serde(default)]
    #[garde(dive)]
    pub records: Records,
    /// Calls recorded to files, when the operator asks for it.
    #[serde(default)]
    #[garde(dive)]
    pub recording: Recording,
    /// Calls told to a store, so that another node can go on with them.
    #[serde(default)]
    #[garde(dive)]
    pub replication: Replication,
    /// Nodes that watch each other and take over from each other.
    #[serde(default)]
    #[garde(dive)]
    pub cluster: Cluster,
    /// Addresses, records and figures at AWS, where this is an EC2 instance.
    #[serde(default)]
    #[garde(dive)]
    pub aws: Aws,
    /// Metrics, health and the control interface of `tandem ctl`.
    #[serde(default)]
    #[garde(dive)]
    pub http: Http,
    /// SIP messages to a collector (Homer).
    #[serde(default)]
    #[garde(dive)]
    pub hep: Hep,
    /// How the gateway ends.
    #[serde(default)]
    #[garde(dive)]
    pub shutdown: Shutdown,
    /// The log, on standard error.
    #[serde(default)]
    #[garde(skip)]
    pub log: Log,
}

impl Config {
    /// Whether any peer may speak SRTP: workers make room for it at the start.
    pub fn has_srtp(&self) -> bool {
        self.peers.iter().any(|peer| peer.srtp != Srtp::Off)
    }

    /// Whether a listener's address comes and goes with the calls.
    pub fn floats(&self, listener: &Listener) -> bool {
        let ip = listener.address.0.ip();
        self.replication.addresses.iter().any(|floating| floating.interface.is_some() && floating.address.address == ip)
    }

    /// Where a peer's RTP comes to: the address that it names, else the ports' first of the family that its SIP is spoken over,
    /// else their first. `None` where no port has an address, which a checked configuration's do.
    pub fn media_address_of(&self, peer: &Peer) -> Option<IpAddr> {
        let ours = || self.ports.iter().flat_map(|port| &port.addresses).map(|cidr| cidr.address);
        let of_listener = || {
            let named = self.sip.listen.iter().find(|listener| Some(&listener.name) == peer.listen.as_ref());
            named.or(self.sip.listen.first()).is_none_or(|listener| listener.address.0.is_ipv4())
        };
        let is_ipv4 = peer.address.ip().map_or_else(of_listener, |address| address.is_ipv4());
        let same_family = |address: &IpAddr| address.is_ipv4() == is_ipv4;
        peer.media_address.or_else(|| ours().find(same_family)).or_else(|| ours().next())
    }
}

/// This gateway.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields, default)]
pub struct Node {
    /// Its name in records and in SIP's User-Agent and Server.
    #[garde(custom(is_name))]
    pub name: String,
    /// Its availability zone, or machine room: calls stay in it while peers of it have room. Where none is given it is that of
    /// `cluster.members`, or with `cluster.discover` the instance's.
    #[garde(inner(length(min = 1, max = 64)))]
    #[schemars(example = &"eu-central-1a")]
    pub zone: Option<String>,
}

impl Config {
    /// The zone of this node, as far as the file says.
    pub fn own_zone(&self) -> Option<&str> {
        let listed = || self.cluster.members.iter().find(|member| member.name == self.node.name);
        self.node
            .zone
            .as_deref()
            .or_else(|| listed().map(|member| member.zone.as_str()).filter(|zone| !zone.is_empty()))
    }
}

impl Default for Node {
    fn default() -> Self {
        Self { name: "tandem".to_owned(), zone: None }
    }
}

/// How much is taken on.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Calls at once. One more is refused with 503 and Retry-After. Workers make room for as many at the start: raised
    /// while the gateway runs, it counts only after a restart.
    #[garde(range(min = 1, max = 1_000_000))]
    pub max_calls: u32,
    /// The Retry-After of such a 503, in seconds.
    #[garde(range(max = 3600))]
    pub retry_after_s: u32,
    /// A call is ended so many seconds after its answer; 0 never does.
    #[garde(range(max = 604_800))]
    pub max_call_s: u32,
    /// SIP transactions at once; requests beyond are answered 503. 1,000 calls a second need 110,000.
    #[garde(range(min = 100, max = 10_000_000))]
    pub max_transactions: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_calls: 1000, retry_after_s: 10, max_call_s: 14_400, max_transactions: 250_000 }
    }
}

/// Call detail records: JSON lines in a directory.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields, default)]
pub struct Records {
    /// Where `records-<day>-<n>.jsonl` files go; made where it is missing.
    #[garde(skip)]
    pub directory: PathBuf,
    /// A file that has grown past this many MiB is followed by the next; so is yesterday's.
    #[garde(range(min = 1, max = 65_536))]
    pub rotate_mib: u32,
    /// Whether records are on the disk (`fdatasync`), not only handed to the kernel, before their calls are forgotten.
    /// Records that end together share one sync.
    #[garde(skip)]
    pub fsync: bool,
    /// Whether records are taken over into the store too, under `node.name`, which must then differ from every other node's that has
    /// the same store. While that is away they wait in these files: none is lost, none comes twice, and their order stays.
    #[garde(skip)]
    pub store: bool,
}

impl Default for Records {
    fn default() -> Self {
        Self { directory: "/var/lib/tandem/records".into(), rotate_mib: 64, fsync: true, store: false }
    }
}

/// Calls recorded to files, when the operator asks for it (`tandem ctl record`).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields, default)]
pub struct Recording {
    /// Where recordings go; made where it is missing. Without it nothing is recorded.
    #[garde(skip)]
    #[schemars(example = &"/var/lib/tandem/recordings")]
    pub directory: Option<PathBuf>,
    /// The files of each recording: a WAV with the caller on the left and the callee on the right, and the packets as they came,
    /// decrypted.
    #[garde(length(min = 1, max = 2))]
    pub formats: Vec<RecordingFormat>,
    /// Recordings at once; one more is refused.
    #[garde(range(min = 1, max = 100_000))]
    pub max_calls: u32,
    /// A recording ends after so many seconds.
    #[garde(range(min = 1, max = 86_400))]
    pub max_s: u32,
    /// And when its files have grown to so many MiB together.
    #[garde(range(min = 1, max = 1_048_576))]
    pub max_mib: u32,
    /// KiB that wait on the way from each worker to the recorder at most. 100 calls of G.711 make 2300 KiB a second; what does
    /// not fit is counted as `tandem_packets_unrecorded`.
    #[garde(range(min = 64, max = 1_048_576))]
    pub buffer_kib: u32,
}

impl Default for Recording {
    fn default() -> Self {
        Self {
            directory: None,
            formats: vec![RecordingFormat::Wav],
            max_calls: 100,
            max_s: 14_400,
            max_mib: 1024,
            buffer_kib: 4096,
        }
    }
}

/// A kind of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RecordingFormat {
    /// Speech: 16 bit, 16 kHz where a leg speaks G.722, else 8 kHz; lost packets are silence. Opus is silence too.
    Wav,
    /// RTP in IP and UDP, for Wireshark and tcpdump.
    Pcap,
}

/// How the gateway ends.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields, default)]
pub struct Shutdown {
    /// After SIGTERM no call is taken; those that are up may go on for so many seconds, then they are ended with BYE.
    #[garde(range(max = 86_400))]
    pub drain_timeout_s: u32,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self { drain_timeout_s: 60 }
    }
}

/// The log, on standard error.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// The least grave messages that are written.
    pub level: LogLevel,
    /// Lines for people or for programs.
    pub format: LogFormat,
}

/// How grave a message is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    /// What someone has to act on.
    Error,
    /// What should not be.
    Warn,
    /// Start, end and what changed.
    #[default]
    Info,
    /// Each call's way.
    Debug,
    /// Each message.
    Trace,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}
