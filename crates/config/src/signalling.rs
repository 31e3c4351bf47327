//! Sections about calls: SIP and peers.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::check::{is_domain, is_foreign_header, is_foreign_header_line, is_name, is_session_interval};
use crate::guard::{Guard, Messages};
use crate::resolver::{PeerAddress, Resolver};
use crate::routing::Health;
use crate::stir::StirPeer;
use crate::transport::{Connections, Listener};
use crate::value::{Cidr, Endpoint};

/// SIP's sockets and timers.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct Sip {
    /// Sockets that SIP is received on and sent from. The first is used for peers that name none.
    #[garde(length(min = 1, max = 16), dive)]
    pub listen: Vec<Listener>,
    /// Connections of TCP, TLS and WebSocket, of all listeners together.
    #[serde(default)]
    #[garde(dive)]
    pub connections: Connections,
    /// Who is heard. Configured peers always are; the rest is about everybody else.
    #[serde(default)]
    #[garde(dive)]
    pub guard: Guard,
    /// Bounds on a message.
    #[serde(default)]
    #[garde(dive)]
    pub messages: Messages,
    /// Who is asked for names.
    #[serde(default)]
    #[garde(dive)]
    pub resolver: Resolver,
    /// How long a callee may ring, in seconds; then it is cancelled and the caller hears 408.
    #[serde(default = "default_no_answer_timeout_s")]
    #[garde(range(min = 1, max = 3600))]
    pub no_answer_timeout_s: u32,
}

const fn default_no_answer_timeout_s() -> u32 {
    180
}

/// A SIP entity that calls come from and go to. Calls are taken only from peers.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct Peer {
    /// What routes, logs, metrics and records call it.
    #[garde(custom(is_name))]
    #[schemars(example = &"carrier")]
    pub name: String,
    /// Where its SIP goes to: an address or a host name. What comes from the same IP address, or one that the name leads to,
    /// is the peer's, whatever the port. A name without a port is looked up by RFC 3263: NAPTR where `listen` leaves the
    /// transport open, SRV with its priorities and weights, A and AAAA; the next server where one does not answer. Only the
    /// peer that `registrar.peer` names has none.
    #[serde(default = "nowhere")]
    #[garde(skip)]
    #[schemars(example = &"10.0.1.20:5060", extend("x-usual" = true))]
    pub address: PeerAddress,
    /// Its availability zone, or machine room. Of a group those in another one than this gateway (`node.zone`) come last.
    #[serde(default)]
    #[garde(inner(length(min = 1, max = 64)))]
    #[schemars(example = &"eu-central-1a")]
    pub zone: Option<String>,
    /// Networks that its requests come from, beside the IP address above. Where several peers' networks hold an address,
    /// the smallest decides.
    #[serde(default)]
    #[garde(length(max = 64))]
    pub sources: Vec<Cidr>,
    /// The listener that speaks with it, and so the transport; the first where none is named, or of a peer with a host name
    /// and no port the one that its NAPTR or SRV records prefer. It may connect to any.
    #[serde(default)]
    #[garde(inner(custom(is_name)))]
    #[schemars(example = &"main")]
    pub listen: Option<String>,
    /// The host part of the Request-URI of calls to it, and by TLS the name that its certificate must have; its address or
    /// host name where none is given.
    #[serde(default)]
    #[garde(inner(custom(is_domain)))]
    #[schemars(example = &"carrier.example.com")]
    pub domain: Option<String>,
    /// Codecs it is offered and may use, the preferred one first.
    #[serde(default = "default_codecs")]
    #[garde(length(min = 1))]
    pub codecs: Vec<CodecName>,
    /// Milliseconds of speech per packet towards it: 10, 20, 30, 40 or 60.
    #[serde(default = "default_ptime_ms")]
    #[garde(range(min = 10, max = 60))]
    pub ptime_ms: u8,
    /// Whether Annex B of G.729 is offered to it and accepted from it: silence is described in a few octets and not sent.
    /// A leg without it hears the noise.
    #[serde(default)]
    #[garde(skip)]
    pub annexb: bool,
    /// Whether comfort noise (RFC 3389, payload type 13) is offered to it and accepted from it, beside G.711 and G.722. A leg
    /// without it hears the noise.
    #[serde(default)]
    #[garde(skip)]
    pub comfort_noise: bool,
    /// Whether it is offered telephone events, that is DTMF as RTP (RFC 4733).
    #[serde(default = "default_true")]
    #[garde(skip)]
    pub telephone_events: bool,
    /// Whether its RTCP shares RTP's port (RFC 5761).
    #[serde(default)]
    #[garde(skip)]
    pub rtcp_mux: RtcpMux,
    /// Whether its RTP is encrypted (SRTP), with keys from the session description (SDES, RFC 4568).
    #[serde(default)]
    #[garde(skip)]
    pub srtp: Srtp,
    /// Crypto suites that SRTP may use with it, the preferred one first. An offer of its own is answered in its own order.
    #[serde(default = "default_srtp_suites")]
    #[garde(length(min = 1))]
    pub srtp_suites: Vec<SuiteName>,
    /// Whether keys are tones in its audio where it has no telephone events: its tones become events for the other side, and
    /// the other side's events become tones for it. In G.711 and G.722; such a call takes codec states.
    #[serde(default)]
    #[garde(skip)]
    pub in_band_dtmf: bool,
    /// Whether keys are INFO requests (`application/dtmf-relay`) where it has no telephone events: the other side's events become
    /// INFO for it, and its INFO becomes events for the other side, or is passed on as it is where that has none.
    #[serde(default)]
    #[garde(skip)]
    pub info_dtmf: bool,
    /// How it is learned where its RTP comes from and goes to.
    #[serde(default)]
    #[garde(skip)]
    pub source: Source,
    /// Whether RTP from elsewhere than the address that is signalled or learned is dropped. Without it strangers can speak
    /// into a call (but not listen).
    #[serde(default = "default_true")]
    #[garde(skip)]
    pub strict_source: bool,
    /// Milliseconds from the first packet on in which `delayed` and `heuristic` listen before they send elsewhere than to the
    /// signalled address.
    #[serde(default = "default_learning_ms")]
    #[garde(range(min = 20, max = 10_000))]
    pub learning_ms: u16,
    /// Milliseconds of silence after which another source may be learned; 0 for never.
    #[serde(default)]
    #[garde(range(max = 3_600_000))]
    pub relearn_after_ms: u32,
    /// Whether a source with another SSRC may be learned in the `learning_ms` after a re-INVITE that names the same address.
    #[serde(default)]
    #[garde(skip)]
    pub relearn_on_update: bool,
    /// Packets that may wait for one that was overtaken, before they are decoded; each of them for the length of so many
    /// packets at most. 0 decodes at once and drops what was overtaken. RTP that is relayed never waits.
    #[serde(default = "default_reorder_packets")]
    #[garde(range(max = 10))]
    pub reorder_packets: u8,
    /// Whether it sends the gateway's own RTP back, as test equipment does. From others such packets are dropped as a loop.
    #[serde(default)]
    #[garde(skip)]
    pub rtp_echo: bool,
    /// Whether those whom it puts on hold hear `media.hold_music`; `false` for a peer that sends music of its own.
    #[serde(default = "default_true")]
    #[garde(skip)]
    pub hold_music: bool,
    /// The gateway's address for its RTP, one of the ports'. Where none is given, the ports' first of the family (IPv4, IPv6) that
    /// its SIP is spoken over, or else their first.
    #[serde(default)]
    #[garde(skip)]
    #[schemars(example = &"10.0.0.10")]
    pub media_address: Option<IpAddr>,
    /// Calls at once from and to it together; only `limits.max_calls` counts where none is given.
    #[serde(default)]
    #[garde(inner(range(min = 1, max = 1_000_000)))]
    #[schemars(example = 100)]
    pub max_calls: Option<u32>,
    /// Calls a second that it is sent; without limit where none is given. In a group the next one gets those beyond.
    #[serde(default)]
    #[garde(inner(range(min = 1, max = 100_000)))]
    #[schemars(example = 10)]
    pub max_calls_per_s: Option<u32>,
    /// When it counts as out of service.
    #[serde(default)]
    #[garde(dive)]
    pub health: Health,
    /// The user name with which its challenges are answered (401 and 407, Digest with MD5, SHA-256 or SHA-512-256).
    #[serde(default)]
    #[garde(inner(length(min = 1, max = 128)))]
    #[schemars(example = &"trunk-4711")]
    pub username: Option<String>,
    /// The password to it.
    #[serde(default)]
    #[garde(inner(length(min = 1, max = 256)))]
    #[schemars(example = &"secret")]
    pub password: Option<String>,
    /// Registers `username` with it for so many seconds at a time, so that it sends calls here; not at all where none is given.
    #[serde(default)]
    #[garde(inner(range(min = 60, max = 86_400)))]
    #[schemars(example = 3600)]
    pub register_s: Option<u32>,
    /// Sessions with it are refreshed at least so often, in seconds, or end (RFC 4028); 0 leaves that to the peer. A shorter
    /// interval than 90 that it asks for is answered 422.
    #[serde(default = "default_session_expires_s")]
    #[garde(custom(is_session_interval))]
    pub session_expires_s: u32,
    /// Whether it belongs to the trust domain of RFC 3325: the identity that it asserts is believed, it learns the number of
    /// callers that ask for privacy, and Diversion and History-Info go from trusted peer to trusted peer.
    #[serde(default)]
    #[garde(skip)]
    pub trusted: bool,
    /// How it is told who calls, beside From.
    #[serde(default)]
    #[garde(skip)]
    pub identity: IdentityHeader,
    /// The peer that its calls are recorded by, where their route names none: a recording server (SIPREC, RFC 7866), which gets
    /// copies of what both sides say.
    #[serde(default)]
    #[garde(skip)]
    #[schemars(example = &"recorder")]
    pub recorder: Option<String>,
    /// Signatures of callers' identities, see `stir`.
    #[serde(default)]
    #[garde(dive)]
    pub stir: StirPeer,
    /// Headers of the caller's INVITE that it gets as they are. All others stay here.
    #[serde(default)]
    #[garde(length(max = 32), inner(custom(is_foreign_header)))]
    #[schemars(example = &["X-Account"])]
    pub pass_headers: Vec<String>,
    /// Headers that INVITEs to it get.
    #[serde(default)]
    #[garde(length(max = 32), inner(custom(is_foreign_header_line)))]
    #[schemars(example = &["X-Gateway: tandem"])]
    pub set_headers: Vec<String>,
}

const fn default_session_expires_s() -> u32 {
    1_800
}

/// How a peer is told who calls, beside From.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum IdentityHeader {
    /// Not at all.
    #[default]
    None,
    /// With P-Asserted-Identity (RFC 3325); of callers that ask for privacy only where the peer is `trusted`.
    Asserted,
    /// With Remote-Party-ID, its forerunner; under the same condition.
    RemoteParty,
}

const fn nowhere() -> PeerAddress {
    PeerAddress::At(Endpoint(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 5060)))
}

fn default_codecs() -> Vec<CodecName> {
    vec![CodecName::Pcmu, CodecName::Pcma]
}

fn default_srtp_suites() -> Vec<SuiteName> {
    vec![SuiteName::AesCm128HmacSha1_80, SuiteName::AeadAes128Gcm]
}

const fn default_ptime_ms() -> u8 {
    20
}

const fn default_true() -> bool {
    true
}

const fn default_learning_ms() -> u16 {
    500
}

const fn default_reorder_packets() -> u8 {
    2
}

/// A codec by its encoding name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum CodecName {
    /// G.711 µ-law.
    #[serde(rename = "PCMU")]
    Pcmu,
    /// G.711 A-law.
    #[serde(rename = "PCMA")]
    Pcma,
    /// G.722 at 64 kbit/s.
    #[serde(rename = "G722")]
    G722,
    /// G.729 Annex A; with the silence compression of Annex B where `annexb` says so.
    #[serde(rename = "G729")]
    G729,
}

/// Whether a peer's RTCP shares RTP's port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RtcpMux {
    /// Never.
    Off,
    /// Where its offer says so.
    #[default]
    Accept,
    /// It is offered too.
    Offer,
}

/// Whether a peer's RTP is encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Srtp {
    /// Never. RTP/SAVP is refused with 488.
    #[default]
    Off,
    /// Where the peer wants it too: it is offered RTP/AVP with keys, and may answer without.
    Optional,
    /// Always. It is offered RTP/SAVP; an offer or answer without keys is refused with 488.
    Required,
}

/// A crypto suite by its name in `a=crypto`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum SuiteName {
    /// AES counter mode with a key of 128 bits, packets with 80 bits of HMAC-SHA1 (RFC 4568).
    #[serde(rename = "AES_CM_128_HMAC_SHA1_80")]
    AesCm128HmacSha1_80,
    /// The same, RTP with 32 bits of it.
    #[serde(rename = "AES_CM_128_HMAC_SHA1_32")]
    AesCm128HmacSha1_32,
    /// AES counter mode with a key of 256 bits, packets with 80 bits of HMAC-SHA1 (RFC 6188).
    #[serde(rename = "AES_256_CM_HMAC_SHA1_80")]
    AesCm256HmacSha1_80,
    /// The same, RTP with 32 bits of it.
    #[serde(rename = "AES_256_CM_HMAC_SHA1_32")]
    AesCm256HmacSha1_32,
    /// AES Galois/counter mode with a key of 128 bits (RFC 7714).
    #[serde(rename = "AEAD_AES_128_GCM")]
    AeadAes128Gcm,
    /// AES Galois/counter mode with a key of 256 bits (RFC 7714).
    #[serde(rename = "AEAD_AES_256_GCM")]
    AeadAes256Gcm,
}

/// How the gateway learns where a peer's RTP comes from and goes to. Its session description names an address: the
/// signalled one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Nothing is learned: the signalled address and port it is. `strict` says the same.
    #[serde(alias = "strict")]
    Signalled,
    /// The port of the first packet from the signalled address is learned at once.
    #[default]
    LatchPort,
    /// The source of the first packet is learned at once, whatever its address: for peers behind address translation whose
    /// packets nobody can race. Whoever sends first gets the peer's speech.
    LatchAny,
    /// RTP goes to the signalled address for `learning_ms`. A packet from there settles it; otherwise the source that speaks
    /// after that is learned.
    Delayed,
    /// As `delayed`; of several sources the one with the signalled address is preferred to the one with its port, and that
    /// to any other: for peers behind address translation.
    Heuristic,
}
