//! What of a call is told to another node.

use tandem_contract::Nanos;

use crate::call::{Call, Phase, RecordState, Then};
use crate::exchange::Exchange;
use crate::leg::Leg;
use crate::replica::{IncomingReplica, LegReplica, OutgoingReplica, Replica, ThenReplica, UnacknowledgedReplica, Wire};

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
            None | Some(Then::Settle | Then::Resumed(_)) => ThenReplica::Settle,
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
            recording: exchange.recordings.replica(self.number),
            is_recorded,
            legs: [a.replica(exchange), b.replica(exchange)],
        })
    }
}

impl Leg {
    fn replica(&self, exchange: &Exchange) -> LegReplica {
        let (ssrc, first_sequence, first_timestamp) = self.numbering();
        let source = |request: &tandem_sip::Request| request.source().unwrap_or(self.home.remote);
        let outgoing = self.outgoing.and_then(|tx| exchange.transactions.pending_invite(tx));
        LegReplica {
            peer: self.peer.name.clone(),
            home: (self.home.transport, self.home.local, self.home.remote),
            dialog: self.dialog.clone(),
            is_up: self.is_up,
            negotiation: self.negotiation.clone(),
            wish: self.wish,
            holds: self.holds,
            told: self.told,
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
            ssrc,
            first_sequence,
            first_timestamp,
        }
    }
}
