//! What a cluster machine wants done, and what it tells.

use std::fmt;

use serde::Serialize;
use tandem_contract::Nanos;

use crate::checks::Check;
use crate::config::{MemberId, ServiceId};
use crate::lease::LeaseRequest;

/// What the cluster machine wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send a heartbeat.
    Beat {
        /// To this member.
        to: MemberId,
        /// Over this of its paths, counted from 0.
        path: u8,
        /// One datagram.
        bytes: Vec<u8>,
    },
    /// One operation in the store. An answer may be missing; then another request follows.
    Lease(LeaseRequest),
    /// This node holds the service from now on: its warm calls become live ones. Where `from` is this node, it goes on in a
    /// later epoch with the calls that it has.
    Promote {
        /// The service.
        service: ServiceId,
        /// The fence for whatever is written in the holder's name.
        epoch: u64,
        /// Who held it before, where that is known.
        from: Option<MemberId>,
        /// He offered it, and lets go of it at this moment: his last changes are on their way.
        handed_over: bool,
    },
    /// Until `until` workers may send from the service's addresses and answer for them; a time that has come stops them.
    Permit {
        /// The service.
        service: ServiceId,
        /// On the clock that `now` is of.
        until: Nanos,
    },
    /// Workers are to send what they have taken, and take no more: at this moment the service goes to another member, as was
    /// planned. A [`Output::Permit`] that stops them follows, and can wait for them for some milliseconds.
    Rest {
        /// The service.
        service: ServiceId,
    },
    /// Bring the service's addresses here, then say so with [`crate::Cluster::on_moved`]. It must not begin after `until`.
    MoveAddresses {
        /// The service.
        service: ServiceId,
        /// The holder's epoch.
        epoch: u64,
        /// Another may hold the service from then on.
        until: Nanos,
    },
    /// Look where the addresses are, then tell with [`crate::Cluster::on_located`].
    Locate {
        /// The service.
        service: ServiceId,
    },
    /// This node does not hold the service any more: its addresses and calls go, without a word to the far ends. A
    /// [`Output::Permit`] that stops the workers came before.
    Demote {
        /// The service.
        service: ServiceId,
        /// The epoch that is over.
        epoch: u64,
        /// Why.
        ended: Ended,
    },
    /// Something that an operator has to know while it lasts.
    Alarm {
        /// What.
        alarm: Alarm,
        /// Whether it begins or ends.
        raised: bool,
    },
    /// Something that happened.
    Event(Event),
}

/// Why a member holds a service no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// It was handed over, as was planned.
    HandedOver(MemberId),
    /// A later epoch was heard of: votes had been lost, and another has them.
    Superseded(MemberId),
    /// The address could not be moved here.
    CannotMove,
    /// The node leaves.
    Left,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HandedOver(_) => f.write_str("handed over"),
            Self::Superseded(_) => f.write_str("another holds it in a later epoch"),
            Self::CannotMove => f.write_str("its address cannot be moved here"),
            Self::Left => f.write_str("the node leaves"),
        }
    }
}

/// What an operator has to know while it lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Alarm {
    /// A member is not heard.
    MemberSilent(MemberId),
    /// A member has another configuration: its votes do not count.
    ConfigurationDiffers(MemberId),
    /// The store does not answer: its vote is missing.
    StoreAway,
    /// This node holds a service and lacks votes: it does not send.
    NoMajority(ServiceId),
    /// Nobody is known to hold a service.
    Vacant(ServiceId),
    /// An address cannot be moved.
    CannotMove(ServiceId),
    /// An address is elsewhere though this node holds the service.
    AddressElsewhere(ServiceId),
    /// A self-check fails.
    Check(Check),
    /// This node should hand a service over and there is nobody to take it.
    NoSuccessor(ServiceId),
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The addresses are here: a takeover or switch-over is complete. Nanoseconds from the first request for votes.
    Settled(ServiceId, u64),
    /// This node asks for votes.
    Standing(ServiceId),
    /// It gave that up.
    StoodDown(ServiceId),
    /// The node did not run for so many nanoseconds, or its wall clock says so; no older vote counts.
    Paused(u64),
    /// The wall clock was set back by so many nanoseconds; no older vote counts.
    ClockSetBack(u64),
}

/// Why addresses did not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MoveError {
    /// Not allowed, or impossible: asking again is no use.
    Refused,
    /// It may succeed the next time.
    Failed,
}

/// Where a service's addresses are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Location {
    /// All of them here.
    Here,
    /// At least one elsewhere.
    Elsewhere,
    /// Nobody could be asked.
    Unknown,
}

/// What was counted since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ClusterCounters {
    /// Beats sent, on all paths.
    pub beats_sent: u64,
    /// Beats taken.
    pub beats_received: u64,
    /// Datagrams that are no beat, or of another version.
    pub beats_malformed: u64,
    /// Beats with another secret.
    pub beats_unauthenticated: u64,
    /// Beats seen before, or of an earlier life of their sender.
    pub beats_replayed: u64,
    /// Beats of or for nobody known.
    pub beats_of_strangers: u64,
    /// Services that this node began to hold.
    pub promotions: u64,
    /// Services that it held no more.
    pub demotions: u64,
    /// Permits that ran out for want of votes.
    pub lapses: u64,
    /// Times that the node did not run for longer than a lease.
    pub pauses: u64,
}
