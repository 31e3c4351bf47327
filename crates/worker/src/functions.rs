//! Rings beside those for commands and events: clips and lists of sources in, copies for the recorder out.

use std::sync::Arc;

use rtrb::{Consumer, Producer};
use tandem_contract::{ClipLoad, SourceLists, TapHeader};

/// A worker's ends of these rings.
#[derive(Debug)]
pub struct FunctionEnds {
    /// Clips from control.
    pub clips: Consumer<ClipLoad>,
    /// Lists of sources from control, in place of those before.
    pub sources: Consumer<Arc<SourceLists>>,
    /// Packets to the recorder: for each a [`TapHeader`] and its octets.
    pub taps: Producer<u8>,
}

/// Longest packet that is copied: a frame's worth.
const MAX_RTP_LEN: usize = 9216;

/// The way to the recorder.
pub(crate) struct Tap {
    ring: Producer<u8>,
    /// Header and packet side by side, so that both get onto the ring or neither.
    entry: Box<[u8; TapHeader::LEN + MAX_RTP_LEN]>,
}

impl Tap {
    pub(crate) fn new(ring: Producer<u8>) -> Self {
        Self { ring, entry: Box::new([0; TapHeader::LEN + MAX_RTP_LEN]) }
    }

    /// Whether there was room.
    pub(crate) fn push(&mut self, header: &TapHeader, rtp: &[u8]) -> bool {
        let len = TapHeader::LEN + rtp.len();
        let Some(entry) = self.entry.get_mut(..len) else { return false };
        let (head, body) = entry.split_at_mut(TapHeader::LEN);
        head.copy_from_slice(&header.to_octets());
        body.copy_from_slice(rtp);
        self.ring.push_entire_slice(entry).is_ok()
    }
}
