//! The cold half of the flow table: who holds a slot, and with which configuration.

use tandem_contract::{FlowId, LegConfig, LegSide};

use crate::port_table::{AddressIndex, StreamIndex};
use crate::stream::{Treatment, treatment};
use crate::transcode::Conversion;

/// A flow in the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flow {
    pub(crate) id: FlowId,
    pub(crate) legs: [LegConfig; 2],
    /// Which of our addresses each leg uses.
    pub(crate) locals: [AddressIndex; 2],
    /// No leg has accepted anything yet.
    pub(crate) half_open: bool,
    /// Another node has it: it is at hand for when that is gone.
    pub(crate) stands_by: bool,
}

impl Flow {
    /// What is done to what `leg` receives.
    pub(crate) fn treatment(&self, leg: LegSide) -> Treatment {
        let (from, to) = (self.legs[leg.index()].format, self.legs[leg.other().index()].format);
        let joined = from.zip(to).and_then(|(from, to)| treatment(&from, &to));
        joined.unwrap_or(Treatment::Relay)
    }

    /// Codec states the flow needs.
    pub(crate) fn pipelines(&self) -> usize {
        let needs = |leg: &LegSide| matches!(self.treatment(*leg), Treatment::Transcode(Conversion::Linear(_)));
        LegSide::BOTH.iter().filter(|leg| needs(leg)).count()
    }
}

/// The stream that `leg` of the flow in `slot` receives.
pub(crate) const fn stream_of(slot: u32, leg: LegSide) -> StreamIndex {
    StreamIndex(slot * 2 + leg.index() as u32)
}

/// The slot and leg whose stream this is.
pub(crate) const fn leg_of(stream: StreamIndex) -> (u32, LegSide) {
    (stream.0 / 2, if stream.0.is_multiple_of(2) { LegSide::A } else { LegSide::B })
}
