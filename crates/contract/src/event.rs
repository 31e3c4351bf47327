use core::net::SocketAddr;

use crate::{Epoch, FlowId, LegCounters, LegPosition, LegSide};

/// Why a worker did not take a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The slot is beyond the worker's table.
    SlotOutOfRange,
    /// The slot is held by another generation.
    SlotTaken,
    /// No flow of that generation is there.
    UnknownFlow,
    /// The local address is not one of this worker's port.
    LocalAddressNotOurs,
    /// The local port is used by another leg or outside the configured range.
    LocalPortTaken,
    /// The two legs' codecs cannot be joined.
    CodecPairUnsupported,
    /// All codec states of the worker are in use.
    TranscodersExhausted,
    /// All SRTP contexts of the worker are in use.
    SrtpContextsExhausted,
    /// No such clip is loaded, or not in the leg's codec.
    ClipUnavailable,
    /// The leg has no format yet.
    LegNotReady,
    /// The remote cannot be reached: no route, no free neighbour, or another address family than the leg's.
    Unreachable,
    /// The leg has no telephone events.
    NoTelephoneEvents,
    /// Every place for what was asked is taken.
    FunctionsExhausted,
    /// The port has as many addresses as it can, [`crate::LocalAddress::MOST`], counting those removed that flows still use.
    AddressesExhausted,
    /// There is no port of that number.
    UnknownPort,
    /// Too many flows have not accepted any packet yet.
    HalfOpenExhausted,
}

/// The keys of a telephone, in the order of their events.
const KEYS: &[u8; 16] = b"0123456789*#ABCD";

/// The code of a telephone event (RFC 4733 §3.2, IANA's registry): up to 15 a key of the telephone.
///
/// Keys may be somebody's secret number, so it is not printed with whatever holds it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct EventCode(pub u8);

impl EventCode {
    /// The event of a key, in either case.
    pub fn of_key(key: char) -> Option<Self> {
        let key = u8::try_from(key.to_ascii_uppercase()).ok()?;
        let code = KEYS.iter().position(|known| *known == key)?;
        u8::try_from(code).ok().map(Self)
    }

    /// The key, where the event is one.
    pub fn key(self) -> Option<char> {
        KEYS.get(usize::from(self.0)).copied().map(char::from)
    }
}

impl core::fmt::Debug for EventCode {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("EventCode(_)")
    }
}

/// What a worker tells control.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The flow's local addresses are live: they may be told to peers now.
    Installed {
        /// The flow.
        flow: FlowId,
        /// The epoch of the command.
        epoch: Epoch,
    },
    /// The flow runs with the new configuration.
    Updated {
        /// The flow.
        flow: FlowId,
        /// The epoch of the command.
        epoch: Epoch,
    },
    /// The command was not taken; nothing changed.
    Refused {
        /// The flow.
        flow: FlowId,
        /// The epoch of the command.
        epoch: Epoch,
        /// Why.
        reason: Refusal,
    },
    /// The flow is gone; these are its final counters.
    Removed {
        /// The flow.
        flow: FlowId,
        /// Leg A, leg B.
        counters: [LegCounters; 2],
    },
    /// The flow's counters now.
    Counters {
        /// The flow.
        flow: FlowId,
        /// Leg A, leg B.
        counters: [LegCounters; 2],
    },
    /// How far the flow has come.
    Position {
        /// The flow.
        flow: FlowId,
        /// Leg A, leg B.
        legs: [LegPosition; 2],
    },
    /// A leg accepted its first packet (from `remote`).
    MediaStarted {
        /// The flow.
        flow: FlowId,
        /// The leg.
        leg: LegSide,
        /// Where it came from.
        remote: SocketAddr,
        /// The device gave it to another worker, which handed it over.
        handed_over: bool,
    },
    /// A leg that should receive has been silent for the configured time; said once per silence.
    MediaTimeout {
        /// The flow.
        flow: FlowId,
        /// The leg.
        leg: LegSide,
        /// How long nothing was accepted, in milliseconds.
        idle_ms: u32,
    },
    /// A [`crate::Function`] was taken up, or was not.
    FunctionDone {
        /// The flow.
        flow: FlowId,
        /// The number of the command.
        request: u32,
        /// Why not, where it was not.
        outcome: Result<(), Refusal>,
    },
    /// A telephone event of the peer is over (RFC 4733), or a tone in its audio that was taken for one; said once.
    TelephoneEvent {
        /// The flow.
        flow: FlowId,
        /// Whose peer it was.
        leg: LegSide,
        /// Which event.
        code: EventCode,
        /// How long it lasted, in milliseconds.
        duration_ms: u32,
    },
    /// A clip that was to be played once is over.
    PlaybackEnded {
        /// The flow.
        flow: FlowId,
        /// Who heard it.
        leg: LegSide,
    },
    /// The address is the port's, and live.
    AddressAdded {
        /// The number of the command.
        request: u32,
    },
    /// The link has been told who has the address.
    AddressAnnounced {
        /// The number of the command.
        request: u32,
    },
    /// The address is the port's no more.
    AddressRemoved {
        /// The number of the command.
        request: u32,
    },
    /// The command was not taken; the port's addresses are what they were.
    AddressRefused {
        /// The number of the command.
        request: u32,
        /// Why.
        reason: Refusal,
    },
    /// The local address of a leg was taken away; said once for each leg.
    AddressLost {
        /// The flow.
        flow: FlowId,
        /// The leg.
        leg: LegSide,
    },
}

impl Event {
    /// The flow the event speaks of, where it speaks of one.
    pub const fn flow(&self) -> Option<FlowId> {
        match self {
            Self::Installed { flow, .. }
            | Self::Updated { flow, .. }
            | Self::Refused { flow, .. }
            | Self::Removed { flow, .. }
            | Self::Counters { flow, .. }
            | Self::Position { flow, .. }
            | Self::MediaStarted { flow, .. }
            | Self::MediaTimeout { flow, .. }
            | Self::FunctionDone { flow, .. }
            | Self::TelephoneEvent { flow, .. }
            | Self::PlaybackEnded { flow, .. }
            | Self::AddressLost { flow, .. } => Some(*flow),
            Self::AddressAdded { .. }
            | Self::AddressAnnounced { .. }
            | Self::AddressRemoved { .. }
            | Self::AddressRefused { .. } => None,
        }
    }
}
