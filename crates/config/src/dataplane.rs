//! Sections about packets: DPDK, ports, workers, media.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::check::{is_device, is_file_prefix, is_name};
use crate::value::{Cidr, PortRange};

/// DPDK's environment.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields, default)]
pub struct Dpdk {
    /// Memory for packet buffers and queues, in MiB.
    #[garde(range(min = 64, max = 1_048_576))]
    pub memory_mib: u32,
    /// Whether that memory comes in huge pages.
    #[garde(skip)]
    pub huge_pages: HugePages,
    /// Packet buffers shared by all ports; one takes about 2.3 KiB. Each port holds its receive and transmit queues'
    /// worth of them at any time.
    #[garde(range(min = 1024, max = 4_194_304))]
    pub packet_buffers: u32,
    /// Tells this process's DPDK files from those of others on the same machine.
    #[garde(custom(is_file_prefix))]
    pub file_prefix: String,
}

impl Default for Dpdk {
    fn default() -> Self {
        Self { memory_mib: 256, huge_pages: HugePages::Auto, packet_buffers: 16_384, file_prefix: "tandem".to_owned() }
    }
}

/// Where DPDK's memory comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HugePages {
    /// Huge pages where enough are free, ordinary pages otherwise.
    Auto,
    /// Huge pages only; refuse to start without them. What a PCI device needs.
    On,
    /// Ordinary pages.
    Off,
}

/// One DPDK port and the addresses that the gateway has on it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct Port {
    /// What the port is called in logs and metrics.
    #[garde(custom(is_name))]
    #[schemars(example = &"media")]
    pub name: String,
    /// The DPDK device: a PCI address (`0000:00:06.0`), or a virtual device with its arguments
    /// (`net_af_packet0,iface=eth1`).
    #[garde(custom(is_device))]
    #[schemars(example = &"net_af_packet0,iface=eth1")]
    pub device: String,
    /// The gateway's own IPv4 and IPv6 addresses on the port, each with its subnet. The kernel must not have them too.
    #[garde(length(min = 1, max = 16))]
    pub addresses: Vec<Cidr>,
    /// The next hop for IPv4 remotes outside these subnets; without one they are not reached.
    #[serde(default)]
    #[garde(skip)]
    #[schemars(example = &"10.0.0.1")]
    pub gateway: Option<Ipv4Addr>,
    /// The same for IPv6 remotes. It may be link-local, as routers' usually are.
    #[serde(default)]
    #[garde(skip)]
    #[schemars(example = &"fe80::1")]
    pub gateway_v6: Option<Ipv6Addr>,
    /// The longest IP packet, in octets; IPv6 needs 1280.
    #[serde(default = "default_mtu")]
    #[garde(range(min = 576, max = 9000))]
    pub mtu: u16,
    /// The VLAN that the port's frames are tagged with (IEEE 802.1Q); untagged where none is given.
    #[serde(default)]
    #[garde(inner(range(min = 1, max = 4094)))]
    #[schemars(example = 100)]
    pub vlan: Option<u16>,
    /// Whether UDP checksums that the device has not judged are verified. Not on a veth whose other end leaves them to
    /// hardware that does not exist (`ethtool -K <veth> tx off` mends that end).
    #[serde(default = "default_verify_udp_checksums")]
    #[garde(skip)]
    pub verify_udp_checksums: bool,
    /// Descriptors in each receive queue, a power of two: how many packets may wait while the worker is busy. For `net_af_packet` the larger
    /// of both numbers is its `framecnt`, unless `device` has one.
    #[serde(default = "default_descriptors")]
    #[garde(range(min = 64, max = 4096))]
    pub rx_descriptors: u16,
    /// Descriptors in each transmit queue, a power of two.
    #[serde(default = "default_descriptors")]
    #[garde(range(min = 64, max = 4096))]
    pub tx_descriptors: u16,
}

impl Port {
    /// The next hop for remotes that `address` of this port speaks to outside its subnet.
    pub fn gateway_for(&self, address: IpAddr) -> Option<IpAddr> {
        match address {
            IpAddr::V4(_) => self.gateway.map(IpAddr::V4),
            IpAddr::V6(_) => self.gateway_v6.map(IpAddr::V6),
        }
    }
}

const fn default_mtu() -> u16 {
    1500
}

const fn default_verify_udp_checksums() -> bool {
    true
}

const fn default_descriptors() -> u16 {
    1024
}

/// The poll-mode workers.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields, default)]
pub struct Workers {
    /// CPU cores, one worker each. A worker polls and keeps its core at 100 %: leave at least one core to the kernel
    /// and the control plane.
    #[garde(length(min = 1, max = 128), inner(range(max = 1023)))]
    pub cores: Vec<u16>,
    /// Lets other threads have a core whenever its worker finds nothing to do, where cores have to be shared: a laboratory, a
    /// laptop. It costs a system call each time, and how soon a packet is seen then depends on the others.
    #[garde(skip)]
    pub share_cores: bool,
    /// The instruction set that codecs run on: the best that the processor has, or a lower one to compare with. One that
    /// the processor lacks becomes the best it has.
    #[garde(skip)]
    pub codec_level: CodecLevel,
}

/// The instruction set that codecs run on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CodecLevel {
    /// The best that the processor has.
    #[default]
    Auto,
    /// One call at a time, on any processor.
    Scalar,
    /// Eight calls in lock-step.
    Avx2,
    /// Sixteen calls in lock-step.
    Avx512,
    /// Sixteen calls in lock-step, with VNNI.
    #[serde(rename = "avx512-vnni")]
    Avx512Vnni,
}

impl Default for Workers {
    fn default() -> Self {
        Self { cores: vec![1], share_cores: false, codec_level: CodecLevel::Auto }
    }
}

/// RTP.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields, default)]
pub struct Media {
    /// UDP ports for RTP (even) and RTCP (the odd one above), on each of the gateway's addresses. A call takes two pairs.
    #[garde(skip)]
    pub port_range: PortRange,
    /// A leg that should receive RTP but has been silent for so many seconds ends its call; 0 never does.
    #[garde(range(max = 86_400))]
    pub inactivity_timeout_s: u32,
    /// The same for a leg that has not received anything yet.
    #[garde(range(max = 86_400))]
    pub first_packet_timeout_s: u32,
    /// A port that a call gave back is not used again for so many milliseconds, so that a late packet meets nobody.
    #[garde(range(max = 600_000))]
    pub port_quarantine_ms: u32,
    /// What a party hears that the other one has put on hold: a WAV file of 8, 16 or 48 kHz, or `beeps`. Where none is given it
    /// hears what the holding side sends. Read at the start.
    #[garde(skip)]
    #[schemars(example = &"/etc/tandem/hold.wav")]
    pub hold_music: Option<PathBuf>,
    /// Differentiated services code point of the RTP that is sent; 46 is expedited forwarding (RFC 3246).
    #[garde(range(max = 63))]
    pub dscp: u8,
    /// How long a frame may wait for others to be transcoded with, in microseconds: longer fills the processor's lanes
    /// better under load, and adds so much latency there. An idle worker waits for nothing.
    #[garde(range(max = 10_000))]
    pub batch_deadline_us: u32,
}

impl Default for Media {
    fn default() -> Self {
        let port_range = PortRange { first: 16_384, last: 32_767 };
        Self {
            port_range,
            inactivity_timeout_s: 60,
            first_packet_timeout_s: 60,
            port_quarantine_ms: 2000,
            hold_music: None,
            dscp: 46,
            batch_deadline_us: 500,
        }
    }
}

/// Limits on what arrives at the media ports. Packets to a port that no call uses cost one lookup and are always dropped.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields, default)]
pub struct Defence {
    /// RTP packets a second that a leg accepts from its peer; 0 sets no limit. Packets of 10 ms are 100 a second; what is
    /// saved in a quiet second may come at once.
    #[garde(range(max = 1_000_000))]
    pub flow_packets_per_second: u32,
    /// Packets a second to all legs together from one source address; 0 sets no limit. Not where peers are gateways, whose
    /// calls all come from one address.
    #[garde(range(max = 1_000_000))]
    pub source_packets_per_second: u32,
    /// Where media may come from, as prefixes; everywhere where none is given. Of several prefixes that an address matches
    /// the longest decides, in this list or in `deny`.
    #[garde(length(max = 1024))]
    #[schemars(with = "Vec<String>")]
    pub allow: Vec<Cidr>,
    /// Where media may not come from.
    #[garde(length(max = 1024))]
    #[schemars(with = "Vec<String>")]
    pub deny: Vec<Cidr>,
    /// Calls whose legs have not received any RTP yet, at most; more are refused with 503. 0 sets no limit.
    #[garde(skip)]
    pub half_open_calls: u32,
}

impl Default for Defence {
    fn default() -> Self {
        Self {
            flow_packets_per_second: 1000,
            source_packets_per_second: 0,
            allow: Vec::new(),
            deny: Vec::new(),
            half_open_calls: 0,
        }
    }
}
