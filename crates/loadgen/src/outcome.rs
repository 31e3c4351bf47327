use std::fmt;
use std::sync::atomic::AtomicBool;

use serde::{Deserialize, Serialize};

use crate::{Latency, LoadSpec, SpecError, Timeline};

/// Packets of all calls in one direction, sent within the measurement.
///
/// `sent` is `received - duplicated + lost`: a packet counts as lost when what should come of it has not come half a second after the
/// last send. Where the gateway makes packets of another length (20 ms in, 40 ms out), what is sent and lost is told in packets that it
/// should have made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DirectionCounts {
    /// Packets that should come out, of those that the source put on the wire.
    pub sent: u64,
    /// Packets that came, duplicates included.
    pub received: u64,
    /// Packets that should have come and did not.
    pub lost: u64,
    /// Packets that came a second time.
    pub duplicated: u64,
    /// Packets that came after one that was sent later.
    pub reordered: u64,
    /// Packets whose payload was not the one expected.
    pub wrong_audio: u64,
    /// Packets whose payload was compared. What codecs with a memory make of a stream with holes (loss, silence, packets that overtake
    /// each other) depends on when the gateway notices them, and is not compared.
    #[serde(default)]
    pub checked: u64,
    /// Packets that the source kept back on purpose (impairments).
    pub withheld: u64,
}

/// Calls of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallCounts {
    /// Calls that were set up and sent media.
    pub running: u32,
    /// Calls in which at least one packet was lost, either way.
    pub with_loss: u32,
    /// Calls in which at least one packet had wrong audio, either way.
    pub wrong_audio: u32,
    /// Calls that heard nothing in at least one direction.
    pub one_way: u32,
    /// Set-ups per second, where calls were set up over SIP.
    pub set_up_per_second: Option<f64>,
}

/// How busy the source was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceUse {
    /// Share of the time in which the source's core did something, 0 to 1. Near 1 it cannot send more: the run shows the source's limit.
    pub utilisation: f64,
    /// Packets that left later than the bound on lateness, those of the warm-up left out.
    pub late_packets: u64,
    /// The latest packet, in nanoseconds after its time.
    pub worst_lateness_ns: u64,
    /// Packets that the source's own port did not take, and that were not sent.
    pub unsent: u64,
    /// Packets that the port did not take at once but later. On a memif, whose ring is the gateway's receive queue, it is the gateway
    /// that was behind.
    #[serde(default)]
    pub held_up: u64,
    /// Packets that came and were dropped before the source could read them (socket buffer or receive queue full), as far as the port
    /// tells.
    pub receive_overruns: u64,
}

/// Why nothing in a run may be held against the gateway.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "reason")]
pub enum VoidReason {
    /// The source did not keep its schedule.
    Late {
        /// Packets that left later than the bound.
        packets: u64,
        /// Of so many.
        of: u64,
        /// The bound in nanoseconds.
        bound_ns: u64,
        /// The latest in nanoseconds.
        worst_ns: u64,
    },
    /// The source's port did not take packets: its ring or socket buffer was full.
    PortFull {
        /// Packets not sent.
        packets: u64,
    },
    /// The source's own core had no time left.
    Saturated {
        /// Its utilisation, 0 to 1.
        utilisation: f64,
        /// The bound.
        limit: f64,
    },
    /// Packets that came back were dropped on the source's side.
    ReceiveOverrun {
        /// Packets.
        packets: u64,
    },
}

impl VoidReason {
    /// As text, of whatever it was that left late.
    pub fn told_of(&self, what: &str) -> String {
        match self {
            Self::Late { packets, of, bound_ns, worst_ns } => format!(
                "the source was late: {packets} of {of} {what} left more than {:.1} ms after their time, the worst {:.1} ms",
                *bound_ns as f64 / 1e6,
                *worst_ns as f64 / 1e6
            ),
            other => other.to_string(),
        }
    }
}

impl fmt::Display for VoidReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Late { .. } => f.write_str(&self.told_of("packets")),
            Self::PortFull { packets } => write!(f, "the source's port did not take {packets} packets"),
            Self::Saturated { utilisation, limit } => write!(
                f,
                "the source's core was busy {:.1} % of the time, more than {:.0} %",
                100.0 * utilisation,
                100.0 * limit
            ),
            Self::ReceiveOverrun { packets } => {
                write!(f, "{packets} packets that came back were dropped on the source's side")
            }
        }
    }
}

/// What a run showed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoadOutcome {
    /// What was asked.
    pub spec: LoadSpec,
    /// Seconds that were measured; fewer than asked where the run was interrupted.
    pub seconds: f64,
    /// The run was ended early; what is here was measured all the same.
    pub interrupted: bool,
    /// The run ended itself early, since what came of it was certain ([`LoadSpec::give_up`]).
    #[serde(default)]
    pub given_up: bool,
    /// Why the run is void; empty for a run that counts.
    pub void: Vec<VoidReason>,
    /// From leg A to leg B, from leg B to leg A.
    pub directions: [DirectionCounts; 2],
    /// Latency of every packet, both directions.
    pub latency: Latency,
    /// Calls.
    pub calls: CallCounts,
    /// The source itself.
    pub source: SourceUse,
    /// What the gateway added to the set-up of each call ([`crate::SipCalls::added`]), where calls were set up over SIP.
    #[serde(default)]
    pub set_up_added: Option<Latency>,
    /// How it went by time; not in JSON.
    #[serde(skip)]
    pub timeline: Timeline,
}

impl LoadOutcome {
    /// Whether the source, not the gateway, is what the run shows.
    pub fn is_void(&self) -> bool {
        !self.void.is_empty()
    }

    /// Packets lost, both directions.
    pub fn lost(&self) -> u64 {
        self.directions.iter().map(|direction| direction.lost).sum()
    }

    /// Packets that should have come, both directions.
    pub fn sent(&self) -> u64 {
        self.directions.iter().map(|direction| direction.sent).sum()
    }
}

/// One second of a run, for a reader who waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Seconds since the measurement began; negative while the source warms up.
    pub seconds: f64,
    /// Calls that run.
    pub calls: u32,
    /// Packets put on the wire in this second.
    pub sent: u64,
    /// Packets that came in this second.
    pub received: u64,
    /// Packets lost since the measurement began, as far as can be told.
    pub lost: u64,
    /// Packets with wrong audio since the measurement began.
    pub wrong_audio: u64,
    /// 99th percentile of latency since the measurement began, in nanoseconds.
    pub p99_ns: u64,
    /// Share of this second in which the source's core did something, 0 to 1.
    pub utilisation: f64,
}

/// A run did not come about. (A run that did, and was worth nothing, is void.)
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The specification.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// The gateway refused the calls, or could not be reached.
    #[error("cannot set up calls: {0}")]
    SetUp(String),
    /// The source's port or sockets.
    #[error("the source's port: {0}")]
    Port(String),
}

/// Something that puts a load on a gateway: the source over a port, or a model of one in a test.
pub trait LoadRunner {
    /// Sets `spec.calls` calls up, sends for the warm-up and `spec.seconds`, takes the calls down and tells what came of it. `progress`
    /// is called about once a second. `stop`, once set, ends the run early.
    ///
    /// # Errors
    /// The run did not come about.
    fn run(
        &mut self,
        spec: &LoadSpec,
        progress: &mut dyn FnMut(Progress),
        stop: &AtomicBool,
    ) -> Result<LoadOutcome, LoadError>;
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_survives_json_with_every_reason_to_be_void() {
        let outcome = LoadOutcome {
            spec: LoadSpec::new("pcmu-g729".parse().unwrap(), 10, 5),
            seconds: 5.0,
            interrupted: false,
            given_up: false,
            void: vec![
                VoidReason::Late { packets: 1, of: 2, bound_ns: 3, worst_ns: 4 },
                VoidReason::PortFull { packets: 1 },
                VoidReason::Saturated { utilisation: 0.99, limit: 0.95 },
                VoidReason::ReceiveOverrun { packets: 7 },
            ],
            directions: [DirectionCounts { sent: 10, received: 9, lost: 1, ..DirectionCounts::default() }; 2],
            latency: Latency::from_buckets(vec![(100, 18)]),
            calls: CallCounts { running: 10, ..CallCounts::default() },
            source: SourceUse::default(),
            set_up_added: Some(Latency::from_buckets(vec![(300, 10)])),
            timeline: Timeline::default(),
        };
        let again: LoadOutcome = serde_json::from_str(&serde_json::to_string(&outcome).unwrap()).unwrap();
        assert_eq!(again, outcome);
        assert!(again.is_void());
        assert_eq!((again.sent(), again.lost()), (20, 2));
    }
}
