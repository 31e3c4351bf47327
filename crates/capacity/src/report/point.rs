use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One run with one number of calls.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Point {
    /// How many: concurrent calls, or calls per second.
    pub calls: u64,
    /// Why the search tried this number.
    pub step: Step,
    /// When it began, in seconds since the search did.
    pub at_s: f64,
    /// How long media was measured, in seconds.
    pub seconds: f64,
    /// What came of it.
    pub verdict: Verdict,
    /// What did not hold, where something did not.
    pub breaches: Vec<Breach>,
    /// Why the run says nothing, where it is void.
    pub void_because: Option<String>,
    /// What the source counted.
    pub traffic: Traffic,
    /// From the source and back, per packet; none where no packet came back.
    pub latency: Option<Latency>,
    /// What the gateway counted meanwhile; none where it was not asked.
    pub gateway: Option<GatewayReading>,
    /// The source itself.
    pub source: SourceReading,
    /// How calls were set up, where the run was about calls per second.
    #[serde(default)]
    pub set_up: Option<SetUp>,
    /// The run was ended before its time, because what came of it was certain.
    #[serde(default)]
    pub given_up: bool,
    /// Times in which something else had the cores; none where nobody looked.
    #[serde(default)]
    pub stops: Option<Stops>,
}

/// Times of a run in which the source or a worker of the gateway did not run, though neither waits for anything: another thread had the core,
/// or another virtual machine as far as the hypervisor tells. Time that they worked, however slowly, is none of it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Stops {
    /// Stops of the source of 0.1 ms and more.
    pub source_count: u64,
    /// Their length together, in milliseconds.
    pub source_ms: f64,
    /// Stops of the gateway's workers; none where it does not tell.
    pub gateway_count: Option<u64>,
    /// Their length together, in milliseconds; none where it does not tell.
    pub gateway_ms: Option<f64>,
    /// The longest of all, in milliseconds.
    pub longest_ms: f64,
    /// Packets that came in a stop or its wake: up to 20 times its length later, as long as it may take to work off what waited.
    pub packets: u64,
    /// Lost packets that had left then, as far as it is known when they left. They count as lost all the same.
    pub lost: u64,
    /// What 999 of 1,000 of the other packets did not exceed, in microseconds; none where there was no other packet.
    pub p99_9_without_us: Option<f64>,
}

/// How calls were set up and cleared in a run.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetUp {
    /// From a caller's INVITE to its 200, of every call that was answered; none where none was.
    pub answered_after: Option<Latency>,
    /// The same without the callee's own part, from its INVITE to its 200, by the source's clock: what the gateway adds to the session
    /// request delay (RFC 6076 section 4.3), networks included. None where nobody looked.
    #[serde(default)]
    pub added: Option<Latency>,
    /// SIP messages that were sent again, by the source or by the gateway.
    pub repeated: u64,
    /// Calls that failed, by reason: `503 Service Unavailable`.
    pub failures: Vec<Count>,
    /// The share of one core that the busiest of the gateway's threads took, workers left out; none where they cannot be read.
    pub control_busy: Option<f64>,
    /// That thread and the source had one core between them.
    pub shares_core: bool,
}

/// Why a search tried a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Doubling until something breaks; shorter runs.
    Ramp,
    /// Narrowing down where the edge is.
    Bisect,
    /// Again at a number that held, to be sure of it.
    Edge,
    /// Behind the search, with half of what held.
    HalfLoad,
}

/// What came of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The service level held.
    Holds,
    /// It did not.
    Breaks,
    /// The run says nothing about the gateway.
    Void,
}

/// What did not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Breach {
    /// Packets were lost.
    Loss,
    /// Packets took too long.
    Latency,
    /// Audio was not what was expected.
    Audio,
    /// Packets were not taken from the ring that source and gateway share (memif), and the gateway had no time left.
    Backlog,
    /// Calls were not set up.
    SetUp,
    /// Calls were answered too late.
    SetUpDelay,
    /// SIP messages had to be sent again.
    Repeated,
}

/// What a source counted in one run.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Traffic {
    /// Calls that were set up.
    pub calls_up: u64,
    /// Calls that could not be set up.
    pub calls_failed: u64,
    /// Packets sent to the gateway.
    pub sent: u64,
    /// Packets that the gateway should have sent back.
    pub expected: u64,
    /// Packets that came back.
    pub received: u64,
    /// Packets that did not.
    pub lost: u64,
    /// Calls whose audio was compared with what it should be.
    pub audio_checked: u64,
    /// Calls whose audio was not what it should be.
    pub audio_wrong: u64,
}

/// How long packets took, or answers to calls, in microseconds.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Latency {
    /// Packets, or calls, counted.
    pub count: u64,
    /// The median.
    pub p50_us: f64,
    /// Nine of ten were faster.
    pub p90_us: f64,
    /// 99 of 100 were faster.
    pub p99_us: f64,
    /// 999 of 1,000 were faster.
    pub p99_9_us: f64,
    /// The slowest.
    pub max_us: f64,
    /// Counts by time, in rising order, empty ones left out.
    pub histogram: Vec<Bucket>,
}

/// Packets, or calls, that took between two times.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bucket {
    /// From this time on, in microseconds.
    pub from_us: f64,
    /// Below this time, in microseconds.
    pub to_us: f64,
    /// How many.
    pub count: u64,
}

/// What a gateway counted during one run.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GatewayReading {
    /// One for each worker.
    pub cores: Vec<Core>,
    /// What the port's driver counted more of; counters that stood still are left out.
    pub port: Vec<Count>,
    /// What 999 of 1,000 packets did not exceed from receive burst to transmit, by the gateway's own clock, in microseconds.
    pub added_p99_9_us: Option<f64>,
    /// What the whole machine moved to and from memory; none where it does not tell.
    #[serde(default)]
    pub memory: Option<MemoryTraffic>,
}

/// What all cores of a machine moved to and from memory, whatever ran on them.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MemoryTraffic {
    /// Gigabytes (10^9) per second.
    pub gb_s: f64,
    /// As a share of what all cores together could read when nothing else was done ([`Machine::memory_gb_s`](super::Machine)), 0 and up; none where
    /// that was not measured.
    pub of_most: Option<f64>,
}

/// One worker during one run.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Core {
    /// The worker's number.
    pub worker: u16,
    /// The share of the time that it spent in rounds that found work, 0 to 1.
    pub busy: f64,
    /// Where that time went, estimated from a sample of rounds; empty where the gateway does not tell.
    pub stages: Vec<StageTime>,
    /// Packets forwarded.
    pub forwarded: u64,
    /// Rounds that found work.
    pub busy_polls: u64,
    /// Frames that the device delivered.
    pub frames_received: u64,
    /// Codec batches run.
    pub batches: u64,
    /// Frames in a batch on average; 0 without batches.
    pub batch_fill: f64,
    /// Packets dropped, by reason.
    pub drops: Vec<Count>,
}

/// The share of a core's busy time that one stage took.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StageTime {
    /// The stage.
    pub stage: String,
    /// Its share of the time, 0 to 1.
    pub share: f64,
}

/// How often something happened.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Count {
    /// What.
    pub name: String,
    /// How often.
    pub count: u64,
}

/// The source during one run.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SourceReading {
    /// The share of the time that it had work, 0 to 1, where it tells.
    pub busy: Option<f64>,
    /// How far behind its schedule it was at worst, in microseconds, where it tells.
    pub worst_lag_us: Option<f64>,
}

impl Point {
    /// What the run timed: answers to calls where it was about calls per second, packets otherwise.
    pub fn delay(&self) -> Option<&Latency> {
        match &self.set_up {
            Some(set_up) => set_up.answered_after.as_ref(),
            None => self.latency.as_ref(),
        }
    }
}

impl GatewayReading {
    /// The busiest core's share of busy time.
    pub fn busiest(&self) -> Option<f64> {
        self.cores.iter().map(|core| core.busy).max_by(f64::total_cmp)
    }

    /// What the port's driver counted under a name; 0 where it is not there.
    pub fn port_count(&self, name: &str) -> u64 {
        self.port.iter().filter(|count| count.name == name).map(|count| count.count).sum()
    }

    /// Packets dropped for a reason, over all cores.
    pub fn drops(&self, reason: &str) -> u64 {
        self.cores.iter().flat_map(|core| &core.drops).filter(|drop| drop.name == reason).map(|drop| drop.count).sum()
    }
}
