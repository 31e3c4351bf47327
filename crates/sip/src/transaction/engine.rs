//! One transaction: what it remembers, and how a row of its table is carried out.

use core::time::Duration;
use std::sync::Arc;

use super::table::{self, Event, Row, State, Timer};
use super::{ClientTx, Peer, ServerTx, Slot, TargetFailure, Tx};
use crate::{Instant, Request, Response, StatusCode};

/// A timer that runs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Armed {
    pub(super) timer: Timer,
    pub(super) at: Instant,
    pub(super) interval: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    InviteClient,
    NonInviteClient,
    InviteServer,
    NonInviteServer,
}

impl Kind {
    pub(super) fn table(self) -> &'static [Row] {
        match self {
            Self::InviteClient => table::INVITE_CLIENT,
            Self::NonInviteClient => table::NON_INVITE_CLIENT,
            Self::InviteServer => table::INVITE_SERVER,
            Self::NonInviteServer => table::NON_INVITE_SERVER,
        }
    }

    pub(super) const fn is_client(self) -> bool {
        matches!(self, Self::InviteClient | Self::NonInviteClient)
    }

    /// The name of the transaction in `slot` for those outside.
    pub(super) const fn name(self, slot: Slot) -> Tx {
        if self.is_client() { Tx::Client(ClientTx(slot)) } else { Tx::Server(ServerTx(slot)) }
    }
}

/// A transaction.
#[derive(Debug)]
pub(super) struct Transaction {
    pub(super) kind: Kind,
    pub(super) state: State,
    /// Whom it sends to.
    pub(super) peer: Peer,
    /// Whom a client tries where that one cannot be had (RFC 3263 section 4.3), the next one last.
    pub(super) others: Vec<Peer>,
    /// Its key in the map of clients or servers.
    pub(super) key: Box<str>,
    /// Its key in the map of mergeable requests.
    pub(super) merge_key: Option<Box<str>>,
    /// Nobody outside knows of it: a CANCEL of ours, or a request that was answered right here.
    pub(super) is_internal: bool,
    /// What is sent again: a client's request, a server's last response.
    pub(super) wire: Option<Arc<[u8]>>,
    /// The INVITE: a client's for ACK and CANCEL, a server's until 100 Trying can no longer be due.
    pub(super) invite: Option<Box<Request>>,
    /// A client's ACK of a failure, to be sent again.
    pub(super) ack: Option<Arc<[u8]>>,
    pub(super) cancel: Cancelling,
    /// To tags of the request and of the last response: what RFC 2543 peers are told apart by, and what the response to
    /// CANCEL repeats.
    pub(super) request_tag: Option<Box<str>>,
    pub(super) response_tag: Option<Box<str>>,
    /// Retransmissions (A, E, G) and 100 Trying.
    pub(super) repeat: Option<Armed>,
    /// Whatever ends the state.
    pub(super) limit: Option<Armed>,
}

/// How far a CANCEL is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Cancelling {
    /// Not wanted.
    #[default]
    No,
    /// Wanted, but the INVITE has no response yet (section 9.1).
    Held(Option<Box<str>>),
    /// Sent.
    Sent,
}

impl Transaction {
    pub(super) fn new(kind: Kind, peer: Peer, key: Box<str>) -> Self {
        Self {
            kind,
            state: State::Initial,
            peer,
            others: Vec::new(),
            key,
            merge_key: None,
            is_internal: false,
            wire: None,
            invite: None,
            ack: None,
            cancel: Cancelling::No,
            request_tag: None,
            response_tag: None,
            repeat: None,
            limit: None,
        }
    }

    /// Why another target is to be tried, where there is one: nothing was heard yet, or 503.
    pub(super) fn gives_up_on(&self, event: Event, response: Option<&Response>) -> Option<TargetFailure> {
        if self.others.is_empty() || self.cancel != Cancelling::No {
            return None;
        }
        match event {
            Event::TransportError | Event::Fires(Timer::B | Timer::F)
                if !matches!(self.state, State::Calling | State::Trying) =>
            {
                None
            }
            Event::TransportError => Some(TargetFailure::Unreachable),
            Event::Fires(Timer::B | Timer::F) => Some(TargetFailure::Silent),
            Event::Failure => {
                let response = response.filter(|response| response.status() == StatusCode::SERVICE_UNAVAILABLE)?;
                let retry_after_s = response.retry_after().and_then(Result::ok).map(|after| after.delay_s);
                Some(TargetFailure::Unavailable { retry_after_s })
            }
            _ => None,
        }
    }

    /// Lets go of what the state it has come to will never send again. Most transactions spend most of their life waiting
    /// for retransmissions, and this is what they weigh then.
    pub(super) fn shed(&mut self) {
        match (self.kind, self.state) {
            (Kind::InviteClient, State::Accepted | State::Completed) => {
                self.invite = None;
                self.wire = None;
            }
            // The user gives the 2xx anew for each retransmission.
            (Kind::NonInviteClient, State::Completed) | (Kind::InviteServer, State::Accepted | State::Confirmed) => {
                self.wire = None;
            }
            _ => {}
        }
    }

    /// Where `timer` is kept.
    pub(super) const fn armed(&mut self, timer: Timer) -> &mut Option<Armed> {
        match timer {
            Timer::A | Timer::E | Timer::G | Timer::Trying100 => &mut self.repeat,
            _ => &mut self.limit,
        }
    }

    /// Takes out the timer that is due at or before `now`, the earlier one first.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<Armed> {
        let due = |armed: &Option<Armed>| armed.filter(|armed| armed.at <= now).map(|armed| armed.at);
        match (due(&self.repeat), due(&self.limit)) {
            // The end of a state goes before a retransmission of the same instant.
            (Some(repeat), Some(limit)) if repeat < limit => self.repeat.take(),
            (_, Some(_)) => self.limit.take(),
            (Some(_), None) => self.repeat.take(),
            (None, None) => None,
        }
    }
}
