//! SIP messages as they came, for whoever watches: told only where somebody does.

use std::collections::VecDeque;

use tandem_sip::Peer as SipPeer;

/// Messages that were heard and are not told yet; those of one arrival.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    pub(crate) is_wanted: bool,
    messages: VecDeque<(SipPeer, Vec<u8>)>,
}

impl Heard {
    pub(crate) fn note(&mut self, from: SipPeer, bytes: &[u8]) {
        if self.is_wanted {
            self.messages.push_back((from, bytes.to_vec()));
        }
    }

    pub(crate) fn poll(&mut self) -> Option<(SipPeer, Vec<u8>)> {
        self.messages.pop_front()
    }
}
