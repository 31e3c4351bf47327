use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Point;

/// One mix on one machine: every point, and what follows from them.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Measurement {
    /// What the mix is called: `g711-g729`.
    pub name: String,
    /// What is counted.
    pub quantity: Quantity,
    /// The traffic of a call.
    pub mix: Mix,
    /// What had to hold.
    pub level: ServiceLevel,
    /// Every run, in the order they were made.
    pub points: Vec<Point>,
    /// What the points say.
    pub answer: Answer,
    /// What stands in the way of more; none where nothing broke or nothing was read.
    pub binding: Option<Binding>,
    /// One further run with half of what held, of calls per second alone; none where the search was ended early, or nothing held.
    #[serde(default)]
    pub half_load: Option<Point>,
}

/// What a search looked for the largest number of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Quantity {
    /// Calls that are up at once.
    ConcurrentCalls,
    /// Calls set up, and cleared, per second.
    CallsPerSecond,
}

impl Quantity {
    /// What is counted, for people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ConcurrentCalls => "concurrent calls",
            Self::CallsPerSecond => "calls per second",
        }
    }
}

/// The traffic of calls.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mix {
    /// Pairs of codecs with their share of all calls; the shares add up to 1.
    pub codecs: Vec<CodecShare>,
    /// Milliseconds of audio in a packet.
    pub packet_time_ms: u32,
    /// The share of each call's time that is silence and not sent (DTX), 0 to 1.
    pub dtx: f64,
    /// Whether media is SRTP, on some legs or all.
    pub srtp: bool,
    /// The share of packets that the source leaves out, as a lossy network would, 0 to 1.
    pub loss: f64,
    /// How far the source moves packets from their schedule, in milliseconds.
    pub jitter_ms: f64,
    /// Packets that are left out in a row, on average; 1 is independent loss.
    #[serde(default = "alone")]
    pub loss_burst: f64,
    /// All calls send in the same so many moments of a packet time; 0 spreads them evenly.
    #[serde(default)]
    pub bursts: u32,
}

const fn alone() -> f64 {
    1.0
}

/// A pair of codecs and how many calls have it.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CodecShare {
    /// The codec of one leg, by its encoding name (RFC 3551).
    pub a: String,
    /// The codec of the other; the same one is a relayed call.
    pub b: String,
    /// The share of all calls, above 0 up to 1.
    pub share: f64,
    /// The crypto suites of the two legs (RFC 4568); none for plain RTP.
    #[serde(default)]
    pub suites: [Option<String>; 2],
}

/// What has to hold throughout a run.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServiceLevel {
    /// Packets that may be lost of each million sent; 0 allows none.
    pub max_lost_ppm: f64,
    /// 99.9 of 100 packets must take no longer from the source and back, in microseconds.
    pub max_p99_9_us: f64,
    /// Whether every call's audio must be the audio expected.
    pub audio_right: bool,
    /// Calls that may fail to be set up of each million.
    pub max_failed_ppm: f64,
    /// How long it must hold, in seconds.
    pub hold_s: f64,
    /// 99 of 100 calls must be answered after so long, in microseconds; of calls per second alone.
    #[serde(default = "answered_soon")]
    pub max_set_up_p99_us: f64,
    /// SIP messages that may be sent again for each million calls; of calls per second alone.
    #[serde(default)]
    pub max_repeated_ppm: f64,
    /// Whether latency is judged without the packets that came in a stop or its wake.
    #[serde(default)]
    pub discount_stops: bool,
}

const fn answered_soon() -> f64 {
    100_000.0
}

impl Default for ServiceLevel {
    fn default() -> Self {
        Self {
            max_lost_ppm: 0.0,
            max_p99_9_us: 2000.0,
            audio_right: true,
            max_failed_ppm: 0.0,
            hold_s: 30.0,
            max_set_up_p99_us: answered_soon(),
            max_repeated_ppm: 0.0,
            discount_stops: false,
        }
    }
}

/// What a search found.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// What kind of an answer this is.
    pub status: Status,
    /// The largest number that held in every run it was given, [`Answer::held_runs`] of them; 0 where none held.
    pub held: u64,
    /// Runs of the full length that held at that number.
    pub held_runs: u32,
    /// Where the edge lies: the number at which a run holds or breaks with even odds. None until one run held and one broke.
    pub range: Option<Range>,
    /// Why the search ended.
    pub ended: Ended,
    /// Runs that say nothing because the source failed them.
    pub void_runs: u32,
    /// Runs that held above a number that broke: the machine, or what else ran on it, is not steady.
    pub violations: Vec<Violation>,
    /// An estimate where the source, and not the gateway, was at its end.
    pub extrapolation: Option<Extrapolation>,
}

/// What kind of an answer a search gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// The edge is known within the range.
    Found,
    /// This much held, and nothing that could be tried broke.
    AtLeast,
    /// Not even the smallest number held.
    NothingHeld,
    /// Too little was measured, or too much was void.
    Undetermined,
}

/// Why a search ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// The range is as narrow as was asked for, and its lower end was repeated.
    Resolved,
    /// The most that was to be tried held.
    Maximum,
    /// The source cannot drive more.
    Source,
    /// As many runs as were allowed.
    Budget,
    /// Someone interrupted it, or it is still under way.
    Interrupted,
}

/// Between which numbers something lies, and how sure that is.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Range {
    /// Not below this.
    pub low: u64,
    /// Not above this.
    pub high: u64,
    /// The probability that it lies inside, 0 to 1.
    pub confidence: f64,
}

/// A number that held above one that broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Violation {
    /// The number that held.
    pub held: u64,
    /// The lowest number that broke.
    pub broke: u64,
}

/// An estimate beyond what the source could drive: the number that held, divided by the busiest core's load.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Extrapolation {
    /// The estimate. Nobody measured it.
    pub calls: u64,
    /// The load of the gateway's busiest core at the number that held, 0 to 1.
    pub utilisation: f64,
}

/// What stands in the way of more calls.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Binding {
    /// The limit.
    pub limit: Limit,
    /// In a sentence.
    pub summary: String,
    /// What it is concluded from, the weightiest first.
    pub evidence: Vec<Evidence>,
}

/// A limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// Cycles of the gateway's cores.
    CoreCycles,
    /// One core is full while others are not: flows are spread badly.
    HotCore,
    /// Cycles, spent on codec batches that are mostly empty.
    LaneFill,
    /// The NIC's receive queue overflows in bursts while the core has time.
    ReceiveQueue,
    /// The NIC does not take what is to be sent.
    TransmitQueue,
    /// Packet buffers have run out.
    PacketBuffers,
    /// A ring between two workers is full.
    HandoverRing,
    /// The instance's packet rate allowance.
    PacketAllowance,
    /// The instance's inbound bandwidth allowance.
    BandwidthInAllowance,
    /// The instance's outbound bandwidth allowance.
    BandwidthOutAllowance,
    /// The instance's allowance of tracked connections: security groups that track.
    ConntrackAllowance,
    /// The instance's allowance to link-local services.
    LinkLocalAllowance,
    /// The gateway's configuration allows no more.
    Configuration,
    /// What the machine can move to and from memory.
    MemoryBandwidth,
    /// Cycles of the thread that handles calls.
    CallThread,
    /// The traffic source.
    Source,
    /// Something else had a core for too long at a stretch: what came then was lost, or late.
    Stops,
    /// None of what was read explains it; other tenants of the machine are not read, and memory traffic only where the machine tells.
    Unknown,
}

/// One thing that was read, and what it means.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// What was read.
    pub what: String,
    /// Its value.
    pub value: f64,
    /// In a sentence.
    pub meaning: String,
}
