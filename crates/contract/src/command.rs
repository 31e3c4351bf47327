use core::net::IpAddr;

use crate::{Epoch, FlowId, Function, LegConfig, LegPosition, LocalAddress};

/// What control asks of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "it crosses a ring, where a box would be allocated on one side and freed on the other"
)]
pub enum Command {
    /// Takes a flow into the table; answered by [`crate::Event::Installed`] or [`crate::Event::Refused`].
    InstallFlow {
        /// The flow's place in the table.
        flow: FlowId,
        /// Confirmed back.
        epoch: Epoch,
        /// Leg A, leg B.
        legs: [LegConfig; 2],
    },
    /// Has a flow that another node has at hand, or one at hand be another: its place is taken, and nothing is heard or said
    /// for it. Its addresses need not be ours. Answered by [`crate::Event::Installed`] or [`crate::Event::Refused`].
    PrepareFlow {
        /// The flow's place in the table.
        flow: FlowId,
        /// Confirmed back.
        epoch: Epoch,
        /// Leg A, leg B.
        legs: [LegConfig; 2],
    },
    /// Takes over a flow that another node had, prepared or not: as `InstallFlow`, but numbers, counters and what was learned go
    /// on after the positions. Codecs begin anew. Answered by [`crate::Event::Installed`] or [`crate::Event::Refused`].
    ResumeFlow {
        /// The flow's place in the table.
        flow: FlowId,
        /// Confirmed back.
        epoch: Epoch,
        /// Leg A, leg B.
        legs: [LegConfig; 2],
        /// How far they have come: nothing at or before is sent again.
        positions: [LegPosition; 2],
    },
    /// Replaces the legs' configuration; positions (sequence, timestamp, codec state where the codec stays) are kept.
    /// Answered by [`crate::Event::Updated`] or [`crate::Event::Refused`].
    UpdateFlow {
        /// The flow.
        flow: FlowId,
        /// Confirmed back.
        epoch: Epoch,
        /// Leg A, leg B.
        legs: [LegConfig; 2],
    },
    /// Forgets a flow; answered by [`crate::Event::Removed`] with its final counters, also when the flow is unknown.
    RemoveFlow {
        /// The flow.
        flow: FlowId,
    },
    /// Forgets a flow that goes on elsewhere: as `RemoveFlow`, but its peers are not told that it ends.
    AbandonFlow {
        /// The flow.
        flow: FlowId,
    },
    /// Asks how far a flow has come; answered by [`crate::Event::Position`], with nothing in it where the flow is unknown.
    ReadPosition {
        /// The flow.
        flow: FlowId,
    },
    /// Asks for a flow's counters; answered by [`crate::Event::Counters`].
    ReadFlow {
        /// The flow.
        flow: FlowId,
    },
    /// Does something beside passing media on; answered by [`crate::Event::FunctionDone`].
    Function {
        /// The flow.
        flow: FlowId,
        /// Confirmed back.
        request: u32,
        /// What.
        function: Function,
    },
    /// Gives a port one more address, or another link to one it has. The link is told of it by
    /// [`Command::AnnounceAddress`]: flows on it can be there first. Answered by [`crate::Event::AddressAdded`] or [`crate::Event::AddressRefused`]; to be given to every worker of the port.
    AddAddress {
        /// Confirmed back.
        request: u32,
        /// Which port, counted from 0 in the order of the configuration.
        port: u8,
        /// The address and its link.
        local: LocalAddress,
    },
    /// Tells the link who has an address now. Answered by [`crate::Event::AddressAnnounced`] or
    /// [`crate::Event::AddressRefused`]; to be given to every worker of the port.
    AnnounceAddress {
        /// Confirmed back.
        request: u32,
        /// The address.
        address: IpAddr,
    },
    /// Takes an address from its port: what comes to it is dropped from now on. Flows that use it are told of by
    /// [`crate::Event::AddressLost`] within about a second, and stay until they are removed. Answered by
    /// [`crate::Event::AddressRemoved`] or [`crate::Event::AddressRefused`]; to be given to every worker of the port.
    RemoveAddress {
        /// Confirmed back.
        request: u32,
        /// The address.
        address: IpAddr,
    },
}

impl Command {
    /// The flow the command speaks of, where it speaks of one.
    pub const fn flow(&self) -> Option<FlowId> {
        match self {
            Self::InstallFlow { flow, .. }
            | Self::PrepareFlow { flow, .. }
            | Self::ResumeFlow { flow, .. }
            | Self::AbandonFlow { flow }
            | Self::ReadPosition { flow }
            | Self::UpdateFlow { flow, .. }
            | Self::RemoveFlow { flow }
            | Self::ReadFlow { flow }
            | Self::Function { flow, .. } => Some(*flow),
            Self::AddAddress { .. } | Self::AnnounceAddress { .. } | Self::RemoveAddress { .. } => None,
        }
    }
}
