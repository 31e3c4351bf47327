//! What is done with a call's media beside passing it on, as far as another node has to go on with it.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use tandem_contract::Function;

/// What a worker confirmed and goes on with. A clip that is played is not part of it: it is over with the node that has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MediaFunctions {
    /// Both legs' packets are copied to the recorder.
    pub recorded: bool,
    /// Where a copy of what leg A, or leg B, receives goes.
    pub forks: [Option<SocketAddr>; 2],
}

impl MediaFunctions {
    pub(crate) fn note(&mut self, function: &Function) {
        match function {
            Function::Record { on } => self.recorded = *on,
            Function::Fork { leg, to } => self.forks[leg.index()] = to.map(|to| to.remote),
            Function::Play { .. } | Function::StopPlaying { .. } | Function::SendKey { .. } => {}
        }
    }
}
