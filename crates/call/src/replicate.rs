//! What of a call is told to another node.

use tandem_contract::Nanos;
use tandem_sip::Peer as SipPeer;

use crate::call::{Call, Phase, RecordState, Then};
use crate::exchange::Exchange;
use crate::hunt::Hunt;
use crate::leg::Leg;
use crate::replica::{
    CandidateReplica, ContactReplica, HuntReplica, IncomingReplica, LegReplica, OutgoingReplica, Replica, ThenReplica,
    TimerReplica, TransferReplica, UnacknowledgedReplica, Way, Wire,
};
use crate::routing::Candidate;

impl Call {
    /// The call as another node needs it; `None` when nothing is left to be done.
    pub(crate) fn replica(&self, exchange: &Exchange) -> Option<Replica> {
        let is_recorded = self.record_state == RecordState::Confirmed;
        if is_recorded && self.legs.iter().all(|leg| leg.unacknowledged.is_none()) {
            return None;
        }
        let unix = |at: Nanos| exchange.config.wall_clock.unix_millis(at);
        let then = match self.media.then() {
            _ if self.phase == Phase::Reserving => ThenReplica::InviteCallee,
            // An answer that waits for a PRACK waits on this node alone: the other one knows nothing of what went before it.
            _ if self.phase == Phase::Answering => ThenReplica::AnswerCaller,
            None | Some(Then::Settle | Then::Resumed { .. }) => ThenReplica::Settle,
            Some(Then::InviteCallee) => ThenReplica::InviteCallee,
            Some(Then::Progress) => ThenReplica::Progress,
            Some(Then::AnswerCaller) => ThenReplica::AnswerCaller,
            Some(Then::AnswerChange { leg, body, before }) => {
                ThenReplica::AnswerChange { leg: *leg, body: body.clone(), before: before.clone() }
            }
        };
        let [a, b] = &self.legs;
        Some(Replica {
            version: Replica::VERSION,
            phase: self.phase,
            is_ringing: self.is_ringing,
            started: unix(self.started),
            answered: self.answered.map(unix),
            no_answer_at: self.no_answer_at.map(unix),
            hang_up_at: self.hang_up_at.map(unix),
            retries: self.retry_at.is_some(),
            max_forwards: self.max_forwards,
            caller_codecs: self.caller_codecs.clone(),
            first_answer: self.first_answer.clone(),
            change: self.change,
            then,
            record: self.record.clone(),
            recorder: self.recorder.clone(),
            recording: exchange.recordings.replica(self.number),
            is_recorded,
            legs: [a.replica(exchange), b.replica(exchange)],
            rivals: self.rivals.iter().map(|leg| leg.replica(exchange)).collect(),
            functions: self.functions,
            hunt: Some(self.hunt.replica(unix)),
            transfer: self.transfer.as_ref().map(|transfer| TransferReplica {
                side: transfer.side,
                target: transfer.target().replica(exchange),
                refer: transfer.refer,
                until: unix(transfer.until),
            }),
        })
    }
}

impl Hunt {
    fn replica(&self, unix: impl Fn(Nanos) -> u64) -> HuntReplica {
        let candidate = |candidate: &Candidate| CandidateReplica {
            peer: candidate.config.name.clone(),
            uri: candidate.uri.clone(),
            contact: candidate.contact.as_ref().map(|contact| ContactReplica {
                uri: contact.uri.clone(),
                to: way(contact.to),
                is_flow: contact.is_flow,
                route_set: contact.route_set.clone(),
                q: contact.q,
                key: contact.key.clone(),
            }),
        };
        HuntReplica {
            waiting: self.waiting.iter().map(candidate).collect(),
            policy: self.policy.clone(),
            breadth: self.breadth,
            next_at: self.next_at.map(unix),
            heard: self.heard,
            best: self.best.clone(),
        }
    }
}

/// Connections are this node's alone.
const fn way(peer: SipPeer) -> Way {
    (peer.transport, peer.local, peer.remote)
}

impl Leg {
    fn replica(&self, exchange: &Exchange) -> LegReplica {
        let unix = |at: Nanos| exchange.config.wall_clock.unix_millis(at);
        let (ssrc, first_sequence, first_timestamp) = self.numbering();
        let source = |request: &tandem_sip::Request| request.source().unwrap_or(self.home.remote);
        let outgoing = self.outgoing.and_then(|tx| exchange.transactions.pending_invite(tx));
        LegReplica {
            peer: self.peer.name.clone(),
            home: way(self.home),
            pinned: self.pinned.map(way),
            dialog: self.dialog.clone(),
            is_up: self.is_up,
            negotiation: self.negotiation.clone(),
            wish: self.wish,
            holds: self.holds,
            told: self.told,
            stands_in: self.stands_in,
            has_moved: self.has_moved,
            offered: self.offered,
            incoming: self.incoming.as_ref().map(|incoming| IncomingReplica {
                source: source(&incoming.request),
                request: Wire::new(&incoming.request.to_bytes()),
                has_offer: incoming.offer.is_some(),
                wish_before: incoming.wish_before,
            }),
            unacknowledged: self.unacknowledged.as_ref().map(|waiting| UnacknowledgedReplica {
                source: source(waiting.request()),
                request: Wire::new(&waiting.request().to_bytes()),
                response: Wire::new(&waiting.response().to_bytes()),
                awaits_answer: waiting.awaits_answer,
                bye_reason: waiting.bye_reason.clone(),
            }),
            outgoing: outgoing.map(|(request, to)| OutgoingReplica {
                transport: to.transport,
                to: to.remote,
                request: Wire::new(&request.to_bytes()),
            }),
            lines: self.lines.clone(),
            timer: self.timer.map(|timer| TimerReplica {
                interval_s: timer.interval_s,
                refresh_at: timer.refresh_at.map(unix),
                ends_at: unix(timer.ends_at),
            }),
            min_se_s: Some(self.min_se_s),
            takes_update: self.takes_update,
            next_rseq: Some(self.next_rseq),
            ssrc,
            first_sequence,
            first_timestamp,
        }
    }
}
