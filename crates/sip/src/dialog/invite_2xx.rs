//! The 2xx to INVITE is retransmitted by who sent it until the ACK comes (RFC 3261 section 13.3.1.4).

use core::time::Duration;

use crate::{Instant, Response, TimerValues};

/// A 2xx that waits for its ACK. Give its response to [`crate::Transactions::respond`] once when it is made, and again
/// whenever [`Invite2xx::on_timeout`] says so; over reliable transports too, since the way may have other hops.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invite2xx {
    response: Response,
    t2: Duration,
    interval: Duration,
    next: Instant,
    give_up: Instant,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invite2xxStep {
    /// Nothing yet.
    Wait,
    /// Send [`Invite2xx::response`] again.
    Retransmit,
    /// No ACK came for 64*T1: the dialog is confirmed, but the session should be ended with BYE.
    GiveUp,
}

impl Invite2xx {
    /// Begins at the time the response is first sent.
    pub fn new(now: Instant, response: Response, timers: &TimerValues) -> Self {
        Self { response, t2: timers.t2, interval: timers.t1, next: now + timers.t1, give_up: now + timers.timeout() }
    }

    /// The 2xx.
    pub const fn response(&self) -> &Response {
        &self.response
    }

    /// Whether an ACK with this CSeq number is the one waited for; forget this value then.
    pub fn is_acknowledged_by(&self, ack_cseq: u32) -> bool {
        self.response.cseq_number() == ack_cseq
    }

    /// What to do now. Intervals double from T1 up to T2.
    pub fn on_timeout(&mut self, now: Instant) -> Invite2xxStep {
        if now >= self.give_up {
            Invite2xxStep::GiveUp
        } else if now >= self.next {
            self.interval = self.interval.saturating_mul(2).min(self.t2);
            self.next = now + self.interval;
            Invite2xxStep::Retransmit
        } else {
            Invite2xxStep::Wait
        }
    }

    /// When to ask again.
    pub fn deadline(&self) -> Instant {
        self.next.min(self.give_up)
    }
}
