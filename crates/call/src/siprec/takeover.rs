//! A recording session on another node: the dialog with the server goes on, and so do the copies.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use tandem_contract::{MasterKey, Nanos};
use tandem_sip::{Dialog, Peer as SipPeer};

use super::copies::Copied;
use super::description::{Description, Protection, Told};
use super::{Recordings, Session};
use crate::call::{Call, Phase};
use crate::exchange::Exchange;
use crate::output::CallNumber;
use crate::record::UnixMillis;

/// A session as another node goes on with it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SessionReplica {
    dialog: Dialog,
    home: (tandem_sip::Transport, SocketAddr, SocketAddr),
    targets: [Option<(SocketAddr, u32)>; 2],
    #[serde(default)]
    keys: [Option<MasterKey>; 2],
    #[serde(default)]
    description: Option<Description>,
    /// The server knows that, or has refused it.
    #[serde(default)]
    is_told: bool,
}

impl Recordings {
    /// What another node has to know of a call's session; nothing before it is up.
    pub(crate) fn replica(&self, call: CallNumber) -> Option<SessionReplica> {
        let session = self.sessions.get(&call).filter(|session| session.is_up())?;
        Some(SessionReplica {
            dialog: session.dialog.clone(),
            home: (session.home.transport, session.home.local, session.home.remote),
            targets: session.copies.map(|copied| copied.map(|copied| (copied.target.remote, copied.target.ssrc))),
            keys: session.copies.map(|copied| copied?.target.key),
            description: Some(session.description.clone()),
            is_told: session.is_told && session.invite.is_none(),
        })
    }
}

impl Exchange {
    /// Another node's session goes on here, once the worker has the call's flow; a call without the one it is to have gets it.
    pub(crate) fn restore_recording(&mut self, now: Nanos, call: &Call, replica: Option<&SessionReplica>) {
        let Some(replica) = replica else {
            if call.phase == Phase::Answered && call.recorded_by().is_some() {
                self.put_off(now, call.number, Some(0));
            }
            return;
        };
        let at = UnixMillis(self.config.wall_clock.unix_millis(now));
        let described = replica.description.clone();
        let description =
            described.unwrap_or_else(|| Description::new(Told::of(call), Protection::default(), || self.unique(), at));
        let clocks = description.told.streams.each_ref().map(|stream| stream.clock_hz());
        let mut copies = [None; 2];
        for (index, copied) in copies.iter_mut().enumerate() {
            let Some((remote, ssrc)) = replica.targets[index] else { continue };
            let key = replica.keys[index];
            // Where the other node's numbers stood is not known: under its key they may not be used again.
            let ssrc = Some(ssrc).filter(|_| key.is_none());
            *copied = Some(Copied { target: self.target(remote, ssrc, key), clock_hz: clocks[index] });
        }
        let (transport, local, remote) = replica.home;
        let session = Session {
            dialog: replica.dialog.clone(),
            home: SipPeer::new(transport, local, remote),
            invite: None,
            place: (call.media.reservation.worker, call.media.reservation.flow),
            description,
            is_told: replica.is_told,
            again_at: None,
            copies,
        };
        self.recordings.insert(call.number, session);
    }

    /// A call was over on another node, whose server may not have heard.
    pub(crate) fn finish_recording(&mut self, now: Nanos, replica: &SessionReplica) {
        let (transport, local, remote) = replica.home;
        let mut dialog = replica.dialog.clone();
        let to = self.next_hop(now, &dialog, SipPeer::new(transport, local, remote));
        self.bye(now, &mut dialog, to, "Q.850;cause=16", None);
    }
}
