//! Copies of what both legs receive, as a worker sends them to the server.

use std::net::SocketAddr;

use tandem_contract::{Command, ForkTarget, Function, LegSide, MasterKey};
use tandem_sdp::SessionDescription;
use tandem_sip::Response;

use super::Session;
use crate::exchange::Exchange;
use crate::output::CallNumber;

/// What a worker confirms the copies' beginning and end with; nobody waits for it.
const REQUEST: u32 = u32::MAX;

/// One leg's copies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Copied {
    pub(super) target: ForkTarget,
    /// Ticks per second of their timestamps.
    pub(super) clock_hz: u32,
}

impl Exchange {
    /// Has the worker copy, or not copy any more, as a call's session says.
    pub(crate) fn copy(&mut self, call: CallNumber) {
        if let Some(session) = self.recordings.remove(call) {
            self.copy_of(&session);
            self.recordings.insert(call, session);
        }
    }

    pub(super) fn copy_of(&mut self, session: &Session) {
        let (worker, flow) = session.place;
        for leg in LegSide::BOTH {
            let to = session.copies[leg.index()].map(|copied| copied.target);
            self.command(worker, Command::Function { flow, request: REQUEST, function: Function::Fork { leg, to } });
        }
    }

    /// Where the answer wants both streams; `None` where it wants neither. What stays as it was goes on.
    pub(super) fn copies_of(&mut self, session: &mut Session, response: &Response) -> Option<[Option<Copied>; 2]> {
        let answer = SessionDescription::parse(response.body()).ok()?;
        let mut copies = [None; 2];
        for (index, media) in answer.media.iter().enumerate().take(copies.len()) {
            let stream = &session.description.told.streams[index];
            // Nobody receives what is offered as inactive.
            let is_wanted = media.direction.receives() || !stream.speaks;
            let (Some(remote), clock_hz) = (media.remote().filter(|_| is_wanted), stream.clock_hz()) else { continue };
            let Ok(key) = session.description.protection.agreed(index, media) else { continue };
            let before = session.copies[index]
                .filter(|before| (before.target.remote, before.target.key, before.clock_hz) == (remote, key, clock_hz));
            copies[index] = Some(before.unwrap_or_else(|| Copied { target: self.target(remote, None, key), clock_hz }));
        }
        copies.iter().any(Option::is_some).then_some(copies)
    }

    pub(super) fn target(&mut self, remote: SocketAddr, ssrc: Option<u32>, key: Option<MasterKey>) -> ForkTarget {
        let random = self.random();
        ForkTarget {
            remote,
            ssrc: ssrc.unwrap_or((random >> 32) as u32),
            first_sequence: random as u16 & 0x7fff,
            first_timestamp: self.random() as u32,
            key,
        }
    }
}
