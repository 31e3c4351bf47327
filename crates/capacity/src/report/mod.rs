//! What was measured, as one JSON document.
//!
//! The types are the format: [`json_schema`] is made from them, [`read`] accepts nothing else. A field that is added or
//! changes its meaning raises [`VERSION`].

mod check;
mod machine;
mod measurement;
mod point;
mod read;
#[cfg(test)]
pub(crate) mod sample;

use schemars::{JsonSchema, schema_for};
use serde::{Deserialize, Serialize};

pub use machine::{Cpu, HugePages, Instance, Machine, Nic};
pub use measurement::{
    Answer, Binding, CodecShare, Ended, Evidence, Extrapolation, Limit, Measurement, Mix, Quantity, Range,
    ServiceLevel, Status, Violation,
};
pub use point::{
    Breach, Bucket, Core, Count, GatewayReading, Latency, MemoryTraffic, Point, SetUp, SourceReading, StageTime, Step,
    Stops, Traffic, Verdict,
};
pub use read::{MAX_FILE_BYTES, ReadError, read};

/// What [`Report::format`] says.
pub const FORMAT: &str = "tandem-capacity-report";
/// The version of the format that this program writes, and the newest that it reads. Version 1 knew nothing of calls set up per
/// second, of bursts and of SRTP, version 2 nothing of stops, version 3 nothing of what the gateway adds to a set-up and of
/// memory traffic; what they left out is read as what it meant.
pub const VERSION: u32 = 4;

/// A capacity report.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// Always `tandem-capacity-report`.
    pub format: String,
    /// The version of the format.
    pub version: u32,
    /// By whom, when and how it was made.
    pub made: Made,
    /// The machine that the gateway ran on.
    pub machine: Machine,
    /// The machine that the traffic came from, where it was another one.
    pub source_machine: Option<Machine>,
    /// The gateway that was measured.
    pub gateway: Gateway,
    /// The traffic source.
    pub source: Source,
    /// One for each mix and quantity.
    pub measurements: Vec<Measurement>,
}

/// By whom, when and how a report was made.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Made {
    /// When the run began (RFC 3339, UTC).
    pub at: String,
    /// The version of the program that made it.
    pub program: String,
    /// The command line.
    pub command: Vec<String>,
    /// How long the run took, in seconds.
    pub took_s: f64,
    /// Someone ended the run before it was done; what had been measured is here.
    pub interrupted: bool,
    /// What whoever ran it wants to be remembered.
    pub note: Option<String>,
}

/// The gateway that was measured.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Gateway {
    /// Its version.
    pub version: String,
    /// The cores of its workers.
    pub cores: Vec<u16>,
    /// Its DPDK device with arguments.
    pub device: String,
    /// The instruction set that its codecs ran on.
    pub codec_level: String,
    /// Nanoseconds per received frame that it was made slower on purpose; 0 in earnest.
    pub debug_burn_ns: u32,
}

/// The traffic source.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Its DPDK device with arguments, or `kernel` for ordinary sockets.
    pub device: String,
    /// The cores it ran on.
    pub cores: Vec<u16>,
    /// How calls were set up: `http` (the gateway's control interface), `sip`, or `ng` (another gateway's, rtpengine's protocol).
    pub set_up: String,
}

impl Report {
    /// The report's JSON text.
    pub fn to_json(&self) -> String {
        // Strings, numbers and lists of them: there is nothing JSON cannot say.
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }
}

/// The JSON schema of reports (`docs/capacity-report.schema.json`).
pub fn json_schema() -> String {
    let mut text = serde_json::to_string_pretty(&schema_for!(Report)).unwrap_or_default();
    text.push('\n');
    text
}
