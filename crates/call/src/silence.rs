//! A leg that should receive and does not.
//!
//! The worker reports a silence once. While the call is not answered, or being changed, that is no reason to end it: a
//! callee may well ring in silence. Such a silence is kept in mind and looked into again, because the worker will not
//! say it twice.

use tandem_contract::{Command, LegCounters, LegSide, Nanos};
use tandem_sip::StatusCode;

use crate::call::{Call, Phase};
use crate::ending::Ending;
use crate::exchange::Exchange;

/// A silence that was no reason to end the call when it was reported.
#[derive(Debug)]
pub(crate) struct Overlooked {
    idle_ms: u32,
    /// What had been received by then, once the worker has said so.
    packets: Option<u64>,
    /// When to ask the worker again.
    next: Nanos,
    /// It was asked.
    is_asked: bool,
}

impl Overlooked {
    pub(crate) const fn deadline(&self) -> Nanos {
        self.next
    }
}

impl Call {
    /// The worker received nothing on `side` for a while.
    pub(crate) fn on_silence(&mut self, exchange: &mut Exchange, now: Nanos, side: LegSide, idle_ms: u32) {
        if !self.should_receive(side) {
            return;
        }
        if self.phase == Phase::Answered && self.change.is_none() {
            self.end_silent(exchange, now, side, idle_ms);
            return;
        }
        let next = now.plus(wait_ns(idle_ms));
        self.overlooked[side.index()] = Some(Overlooked { idle_ms, packets: None, next, is_asked: false });
        self.read_counters(exchange);
    }

    /// Asks the worker about overlooked silences that are old enough.
    pub(crate) fn look_after_silence(&mut self, exchange: &mut Exchange, now: Nanos) {
        let mut asks = false;
        for overlooked in self.overlooked.iter_mut().flatten().filter(|overlooked| overlooked.next <= now) {
            overlooked.next = now.plus(wait_ns(overlooked.idle_ms));
            overlooked.is_asked = true;
            asks = true;
        }
        if asks {
            self.read_counters(exchange);
        }
    }

    /// The worker's counters, asked for by us or by somebody who looks on.
    pub(crate) fn on_counters(&mut self, exchange: &mut Exchange, now: Nanos, counters: &[LegCounters; 2]) {
        for side in LegSide::BOTH {
            let received = counters[side.index()].packets_received;
            let is_expected = self.should_receive(side);
            let may_end = self.phase == Phase::Answered && self.change.is_none();
            let kept = &mut self.overlooked[side.index()];
            let Some(overlooked) = kept else { continue };
            match overlooked.packets {
                None => overlooked.packets = Some(received),
                // It has a voice again; of the next silence the worker speaks by itself.
                Some(before) if before != received || !is_expected => *kept = None,
                Some(_) if overlooked.is_asked && may_end => {
                    let idle_ms = overlooked.idle_ms;
                    self.end_silent(exchange, now, side, idle_ms);
                    return;
                }
                Some(_) => {}
            }
        }
    }

    fn should_receive(&self, side: LegSide) -> bool {
        self.leg(side).negotiation.agreement().is_some_and(|agreed| agreed.direction.receives())
    }

    fn read_counters(&self, exchange: &mut Exchange) {
        let flow = self.media.reservation.flow;
        exchange.command(self.media.reservation.worker, Command::ReadFlow { flow });
    }

    fn end_silent(&mut self, exchange: &mut Exchange, now: Nanos, side: LegSide, idle_ms: u32) {
        let who = if side == LegSide::A { "caller" } else { "callee" };
        let reason = format!("no media from the {who} for {idle_ms} ms");
        self.end(exchange, now, Ending { q850: 102, ..Ending::gateway(StatusCode::REQUEST_TIMEOUT, reason) }, None);
    }
}

/// How long to wait before the next look: as long as the silence lasted, and at least a second.
fn wait_ns(idle_ms: u32) -> u64 {
    u64::from(idle_ms.max(1_000)) * 1_000_000
}
