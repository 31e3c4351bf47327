use core::net::SocketAddr;

use crate::{ClipId, EventCode, LegSide, MasterKey};

/// What a worker does with a flow's media beside passing it on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    /// Lets a leg hear a clip in place of the other party. Replaces what is being played to it.
    Play {
        /// Who hears it.
        leg: LegSide,
        /// What.
        clip: ClipId,
        /// Again and again, until it is stopped.
        repeat: bool,
    },
    /// Ends what is being played to a leg, music on hold excepted.
    StopPlaying {
        /// Who hears it.
        leg: LegSide,
    },
    /// Sends a leg a key as a telephone event (RFC 4733), in place of what the other party says meanwhile.
    SendKey {
        /// Who gets it.
        leg: LegSide,
        /// Which.
        code: EventCode,
        /// How long it lasts, in milliseconds.
        duration_ms: u16,
    },
    /// Copies what both legs receive to the recorder ([`crate::TapHeader`]), or no longer.
    Record {
        /// Whether.
        on: bool,
    },
    /// Sends a copy of what a leg receives to somebody else, or no longer.
    Fork {
        /// Whose voice.
        leg: LegSide,
        /// To whom.
        to: Option<ForkTarget>,
    },
}

/// Where a copy goes, as an RTP stream of its own (RFC 3550 §5.1); what SIPREC calls a recorded stream (RFC 7866 §8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForkTarget {
    /// The recorder's RTP address. It gets packets from the leg's own address and port.
    pub remote: SocketAddr,
    /// The copy's synchronisation source, random.
    pub ssrc: u32,
    /// Its first sequence number, random.
    pub first_sequence: u16,
    /// Its first timestamp, random.
    pub first_timestamp: u32,
    /// What protects it (SRTP, RFC 3711); in the clear without one. With a key the source must be a new one for every target: the
    /// same key, source and sequence number never protect two packets.
    pub key: Option<MasterKey>,
}
