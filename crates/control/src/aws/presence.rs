//! What the world is told of this node while it runs: whether it takes calls, and its figures.

use tandem_aws_protocol::{Asked, Measured, Outcome, Serving, Unit};
use tandem_call::CallRecord;
use tandem_contract::Nanos;
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;

use super::Aws;
use crate::status::SwitchStatus;

/// What could not be told is told again after so long.
const AGAIN_NS: u64 = 5_000_000_000;
/// A group that waits for the last calls is told so often that there are some.
const STILL_NS: u64 = 60_000_000_000;
/// How long the end waits until it is told.
const LAST_WORD: std::time::Duration = std::time::Duration::from_secs(3);

/// Tells for one node.
#[derive(Debug)]
pub(crate) struct Presence {
    aws: Aws,
    node: String,
    /// Between figures; `None` where nobody wants them.
    interval_ns: Option<u64>,
    told: Option<Serving>,
    asked: Option<(Serving, oneshot::Receiver<Outcome>)>,
    next_word: Nanos,
    next_figures: Nanos,
    /// Counters when figures were told last.
    before: [u64; 2],
    quality: Quality,
}

/// What calls that ended since then heard.
#[derive(Clone, Copy, Debug, Default)]
struct Quality {
    scores: u64,
    scores_sum: u64,
    packets: u64,
    packets_lost: u64,
}

impl Presence {
    pub(crate) fn new(aws: Aws, node: String, interval_s: u32, now: Nanos) -> Self {
        let interval_ns = (interval_s > 0).then_some(u64::from(interval_s) * 1_000_000_000);
        let next_figures = now.plus(interval_ns.unwrap_or_default());
        Self {
            aws,
            node,
            interval_ns,
            told: None,
            asked: None,
            next_word: now,
            next_figures,
            before: [0; 2],
            quality: Quality::default(),
        }
    }

    /// A call is over.
    pub(crate) fn on_record(&mut self, record: &CallRecord) {
        for leg in [&record.caller, &record.callee] {
            let quality = &mut self.quality;
            quality.packets += leg.packets_received;
            quality.packets_lost += leg.packets_lost;
            for score in [leg.mos_received, leg.mos_sent].into_iter().filter(|score| *score > 0) {
                quality.scores += 1;
                quality.scores_sum += u64::from(score);
            }
        }
    }

    /// Tells what changed; called now and then.
    pub(crate) fn turn(&mut self, now: Nanos, status: &SwitchStatus) {
        self.take_answer();
        let serving = serving(status);
        let is_due = now >= self.next_word && (self.told != Some(serving) || serving == Serving::Draining);
        if is_due && self.asked.is_none() {
            self.next_word = now.plus(if self.told == Some(serving) { STILL_NS } else { AGAIN_NS });
            self.asked = Some((serving, self.aws.ask(|id| Asked::Serve { id, serving })));
        }
        if let Some(interval) = self.interval_ns.filter(|_| now >= self.next_figures) {
            self.next_figures = now.plus(interval);
            let (node, metrics) = (self.node.clone(), self.figures(status));
            // Figures that are lost are those of one interval.
            drop(self.aws.ask(|id| Asked::Publish { id, node, metrics }));
        }
    }

    fn take_answer(&mut self) {
        let Some((serving, answer)) = &mut self.asked else { return };
        match answer.try_recv() {
            Ok(Outcome::Done) => self.told = Some(*serving),
            Ok(Outcome::Failed(error)) => tracing::warn!(error, "AWS could not be told whether this node takes calls"),
            Err(TryRecvError::Empty) => return,
            // It was not there, or has ended.
            Ok(_) | Err(TryRecvError::Closed) => {}
        }
        self.asked = None;
    }

    /// The node serves nobody any more, and ends.
    pub(crate) async fn finish(self) {
        let last = self.aws.ask(|id| Asked::Serve { id, serving: Serving::No });
        // Where it is not told in time, the end does not wait for it.
        let _ = tokio::time::timeout(LAST_WORD, last).await;
    }

    fn figures(&mut self, status: &SwitchStatus) -> Vec<Measured> {
        let counters = [status.counters.answered, status.counters.retransmissions];
        let before = std::mem::replace(&mut self.before, counters);
        let [answered, retransmissions] = [0, 1].map(|place| counters[place].saturating_sub(before[place]));
        let headroom = status.max_calls.saturating_sub(status.calls);
        let percent = |part: u64, whole: u64| 100.0 * part as f64 / whole.max(1) as f64;
        let measured = |name: &str, unit, value| Measured { name: name.to_owned(), unit, value };
        let mut figures = vec![
            measured("SuccessfulCalls", Unit::Count, answered as f64),
            measured("Retransmissions", Unit::Count, retransmissions as f64),
            measured("ConcurrentCalls", Unit::Count, status.calls as f64),
            measured("Headroom", Unit::Percent, percent(headroom, status.max_calls)),
        ];
        let Quality { scores, scores_sum, packets, packets_lost } = std::mem::take(&mut self.quality);
        if packets + packets_lost > 0 {
            figures.push(measured("Loss", Unit::Percent, percent(packets_lost, packets + packets_lost)));
        }
        if scores > 0 {
            figures.push(measured("MOS", Unit::None, scores_sum as f64 / scores as f64 / 100.0));
        }
        figures
    }
}

fn serving(status: &SwitchStatus) -> Serving {
    match (status.draining && status.calls == 0, status.not_ready.is_empty()) {
        (true, _) => Serving::No,
        (false, true) => Serving::Yes,
        // Draining, or in no state to take calls.
        (false, false) => Serving::Draining,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_serves_while_it_is_ready_and_until_the_last_call_of_a_drain_is_over() {
        let mut status = SwitchStatus { calls: 1, ..SwitchStatus::default() };
        assert_eq!(serving(&status), Serving::Yes);
        status.not_ready = vec!["draining".to_owned()];
        status.draining = true;
        assert_eq!(serving(&status), Serving::Draining);
        status.calls = 0;
        assert_eq!(serving(&status), Serving::No);
        status.draining = false;
        assert_eq!(serving(&status), Serving::Draining, "a worker that stands still may go on");
    }
}
