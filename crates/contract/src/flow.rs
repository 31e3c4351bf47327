use core::net::SocketAddr;

use crate::{Learning, LegCrypto, SourcePolicy};

/// One poll-mode worker, counted from 0 in the order of the configuration's cores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerId(pub u16);

/// One media stream of one call on one worker: two legs and what happens between them.
///
/// `slot` indexes the worker's preallocated flow table and is chosen by control; `generation` grows each time the slot
/// is used again, so that a late command or event for the previous tenant is recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowId {
    /// Index into the worker's flow table.
    pub slot: u32,
    /// Which tenant of that slot.
    pub generation: u32,
}

/// Which version of a flow's configuration a command carries and an event confirms; grows by one per change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u32);

impl Epoch {
    /// The version after this one.
    pub const fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }
}

/// The two legs of a flow, A towards the caller and B towards the callee.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum LegSide {
    /// Towards the caller.
    A,
    /// Towards the callee.
    B,
}

impl LegSide {
    /// Both sides, in table order.
    pub const BOTH: [Self; 2] = [Self::A, Self::B];

    /// The other leg of the same flow.
    pub const fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    /// 0 for A, 1 for B.
    pub const fn index(self) -> usize {
        match self {
            Self::A => 0,
            Self::B => 1,
        }
    }
}

/// A 7-bit RTP payload type (RFC 3550 §5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "u8", into = "u8"))]
pub struct PayloadType(u8);

impl PayloadType {
    /// `None` above 127.
    pub const fn new(value: u8) -> Option<Self> {
        if value < 128 { Some(Self(value)) } else { None }
    }

    /// The number on the wire, 0 to 127.
    pub const fn get(self) -> u8 {
        self.0
    }

    /// Comfort noise on a clock of 8000 Hz (RFC 3389 §4).
    pub const COMFORT_NOISE: Self = Self(13);
}

impl From<PayloadType> for u8 {
    fn from(number: PayloadType) -> Self {
        number.0
    }
}

impl TryFrom<u8> for PayloadType {
    type Error = PayloadTypeTooHigh;

    fn try_from(value: u8) -> Result<Self, PayloadTypeTooHigh> {
        Self::new(value).ok_or(PayloadTypeTooHigh(value))
    }
}

/// No payload type: they end at 127.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PayloadTypeTooHigh(pub u8);

impl core::fmt::Display for PayloadTypeTooHigh {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(formatter, "{} is no payload type: they end at 127", self.0)
    }
}

impl core::error::Error for PayloadTypeTooHigh {}

/// The speech codecs a leg can carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Codec {
    /// G.711 µ-law.
    Pcmu,
    /// G.711 A-law.
    Pcma,
    /// G.722 at 64 kbit/s; its RTP clock is 8000 Hz (RFC 3551 §4.5.2).
    G722,
    /// G.729 Annex A, with or without Annex B.
    G729,
    /// Opus (RFC 7587), 48 kHz clock.
    Opus,
}

impl Codec {
    /// Every codec.
    pub const ALL: [Self; 5] = [Self::Pcmu, Self::Pcma, Self::G722, Self::G729, Self::Opus];

    /// RTP timestamp ticks per second (RFC 3551 §6, RFC 7587 §4.1).
    pub const fn clock_rate_hz(self) -> u32 {
        match self {
            Self::Opus => 48_000,
            _ => 8_000,
        }
    }

    /// The encoding name of an `a=rtpmap` line.
    pub const fn encoding_name(self) -> &'static str {
        match self {
            Self::Pcmu => "PCMU",
            Self::Pcma => "PCMA",
            Self::G722 => "G722",
            Self::G729 => "G729",
            Self::Opus => "opus",
        }
    }

    /// Whether comfort noise of RFC 3389 goes beside it: not where the codec describes silence itself.
    pub const fn takes_comfort_noise(self) -> bool {
        matches!(self, Self::Pcmu | Self::Pcma | Self::G722)
    }

    /// The static payload type of RFC 3551 §6, `None` for Opus.
    pub const fn static_payload_type(self) -> Option<PayloadType> {
        match self {
            Self::Pcmu => Some(PayloadType(0)),
            Self::Pcma => Some(PayloadType(8)),
            Self::G722 => Some(PayloadType(9)),
            Self::G729 => Some(PayloadType(18)),
            Self::Opus => None,
        }
    }
}

/// What one leg speaks once it is negotiated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Format {
    /// The codec.
    pub codec: Codec,
    /// Its payload type towards the peer.
    pub payload_type: PayloadType,
    /// The payload type the peer uses towards us, where the answer numbered it differently.
    pub receive_payload_type: PayloadType,
    /// Milliseconds of speech per packet that we send.
    pub ptime_ms: u8,
    /// G.729 Annex B: silence descriptors may be sent.
    pub annexb: bool,
    /// Comfort noise in place of silence (RFC 3389), where both sides have it; G.729 has silence descriptors instead.
    pub comfort_noise: Option<PayloadType>,
    /// The peer has the keys of its telephone as tones in its audio (G.711 and G.722), which are carried over to and from the other
    /// leg's events.
    pub in_band_dtmf: bool,
    /// RFC 4733 telephone events towards the peer, where both sides have them.
    pub telephone_event: Option<PayloadType>,
    /// The payload type that the peer uses for them towards us, where the answer numbered them differently.
    pub receive_telephone_event: Option<PayloadType>,
}

impl Format {
    /// A codec under one number both ways, in packets of 20 ms, without anything beside it.
    pub const fn new(codec: Codec, payload_type: PayloadType) -> Self {
        Self {
            codec,
            payload_type,
            receive_payload_type: payload_type,
            ptime_ms: 20,
            annexb: false,
            comfort_noise: None,
            in_band_dtmf: false,
            telephone_event: None,
            receive_telephone_event: None,
        }
    }

    /// Whether silence may be described in place of being sent, in whatever way the codec has.
    pub const fn describes_silence(&self) -> bool {
        self.annexb || self.comfort_noise.is_some()
    }
}

/// Which way media goes on a leg, from the gateway's side (RFC 3264 §5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Direction {
    /// Both ways.
    SendRecv,
    /// The gateway only sends.
    SendOnly,
    /// The gateway only receives.
    RecvOnly,
    /// Neither.
    Inactive,
}

impl Direction {
    /// Whether the gateway sends on this leg.
    pub const fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    /// Whether the gateway listens on this leg.
    pub const fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }

    /// The direction from those two answers.
    pub const fn new(sends: bool, receives: bool) -> Self {
        match (sends, receives) {
            (true, true) => Self::SendRecv,
            (true, false) => Self::SendOnly,
            (false, true) => Self::RecvOnly,
            (false, false) => Self::Inactive,
        }
    }
}

/// Which ports a leg's RTCP uses, on our side and on the peer's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum RtcpTransport {
    /// The port above RTP's on both sides (RFC 3550 §11).
    #[default]
    PortAbove,
    /// RTP's own on both sides (RFC 5761).
    Multiplexed,
    /// The port above RTP's on ours, and what the peer has named on its side (RFC 3605).
    To(SocketAddr),
}

/// One leg of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LegConfig {
    /// Where the leg receives RTP and what it sends from; the odd port above is the leg's too, for RTCP.
    pub local: SocketAddr,
    /// Where RTP goes, once the peer's session description said so.
    pub remote: Option<SocketAddr>,
    /// Where its RTCP comes in and goes out. What comes in by the other of the two ports is taken too.
    pub rtcp: RtcpTransport,
    /// What is spoken, once negotiated; until then what arrives is dropped by name.
    pub format: Option<Format>,
    /// Which way media goes.
    pub direction: Direction,
    /// From whom RTP is accepted, and how the remote is learned.
    pub source: SourcePolicy,
    /// Packets that may wait for an earlier one before they are decoded, 0 to [`LegConfig::MAX_REORDER_PACKETS`]. What is
    /// relayed does not wait.
    pub reorder_packets: u8,
    /// The peer sends our own packets back, SSRC and all, as test equipment does. Elsewhere our own SSRC means a loop.
    pub echoes: bool,
    /// Our synchronisation source on this leg (RFC 3550 §5.1), random.
    pub ssrc: u32,
    /// The first sequence number we send, random.
    pub first_sequence: u16,
    /// The first timestamp we send, random.
    pub first_timestamp: u32,
    /// The keys, where the leg speaks SRTP: then nothing is sent or believed that they do not protect.
    pub crypto: Option<LegCrypto>,
    /// The other party has put this leg on hold: it hears [`crate::ClipId::HOLD`], where that is loaded.
    pub held: bool,
}

impl LegConfig {
    /// The widest reordering window.
    pub const MAX_REORDER_PACKETS: u8 = 10;

    /// A leg on `local` that has no peer yet: nothing is agreed, nobody is heard, everything else is plain.
    pub const fn new(local: SocketAddr) -> Self {
        Self {
            local,
            remote: None,
            rtcp: RtcpTransport::PortAbove,
            format: None,
            direction: Direction::Inactive,
            source: SourcePolicy::new(Learning::Off),
            reorder_packets: 0,
            echoes: false,
            ssrc: 0,
            first_sequence: 0,
            first_timestamp: 0,
            crypto: None,
            held: false,
        }
    }
}
