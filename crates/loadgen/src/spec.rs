use serde::{Deserialize, Serialize};

use crate::Mix;

/// What the source does to its own packets before they leave, to be the network that the gateway must bear.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Impairments {
    /// Per cent of packets that are not sent, 0 to 50. They are counted as withheld, never as lost by the gateway.
    pub loss_percent: f64,
    /// Packets withheld in a row, on average; 1 is independent loss. 1 to 20.
    pub loss_burst: f64,
    /// Every packet leaves up to so many milliseconds after its time, evenly spread, 0 to 200. Later packets may overtake.
    pub jitter_ms: u8,
    /// Per cent of the time in which a speaker is silent and sends nothing (discontinuous transmission), 0 to 90. The first packet
    /// after a silence has the marker (RFC 3551 §4.1).
    pub silence_percent: u8,
    /// All calls send in the same so many parts of a packet time instead of evenly spread over it; 0 is evenly spread, 1 is all calls at
    /// once. 0 to 20.
    pub bursts_per_packet_time: u8,
}

impl Impairments {
    /// A network without faults, calls evenly spread over a packet time.
    pub const NONE: Self =
        Self { loss_percent: 0.0, loss_burst: 1.0, jitter_ms: 0, silence_percent: 0, bursts_per_packet_time: 0 };
}

/// When nobody needs to see the rest of a run: what came of it is certain already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GiveUp {
    /// More packets than these are missing, of those that had the time to come.
    pub lost: u64,
    /// More packets than `slow` took longer than `slow_ns`.
    pub slow: u64,
    /// See `slow`.
    pub slow_ns: u64,
}

/// One run of the source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoadSpec {
    /// Kinds of calls.
    pub mix: Mix,
    /// Concurrent calls, 1 to [`LoadSpec::MAX_CALLS`]. A call is two legs that both send.
    pub calls: u32,
    /// Seconds of measurement, after `warm_up_ms`; 1 to 86400.
    pub seconds: u32,
    /// Milliseconds in which everything is sent but nothing counted: codecs, caches and jitter buffers settle. Audio is checked from the
    /// first packet on all the same.
    #[serde(default = "LoadSpec::default_warm_up")]
    pub warm_up_ms: u32,
    /// What the network does.
    #[serde(default)]
    pub impairments: Impairments,
    /// Where the speakers begin in their clips, and what is withheld: the same seed sends the same packets.
    #[serde(default)]
    pub seed: u64,
    /// Ends the run early; none lets it run to its end whatever comes.
    #[serde(default)]
    pub give_up: Option<GiveUp>,
}

/// A field of a [`LoadSpec`] is out of range.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{field}: {found} is not from {low} to {high}")]
pub struct SpecError {
    /// The field, as JSON spells it.
    pub field: &'static str,
    /// What was given.
    pub found: f64,
    /// The lowest that may be.
    pub low: f64,
    /// The highest that may be.
    pub high: f64,
}

impl LoadSpec {
    /// Calls of one run, at most.
    pub const MAX_CALLS: u32 = 200_000;

    const fn default_warm_up() -> u32 {
        1_000
    }

    /// Calls of a mix over a faultless network, warmed up for a second.
    pub const fn new(mix: Mix, calls: u32, seconds: u32) -> Self {
        Self {
            mix,
            calls,
            seconds,
            warm_up_ms: Self::default_warm_up(),
            impairments: Impairments::NONE,
            seed: 0,
            give_up: None,
        }
    }

    /// Packets that all calls send in a second, silence and loss left out.
    pub fn packets_per_second(&self) -> f64 {
        let of = |kind: &crate::CallKind| {
            let legs: f64 = kind.legs.iter().map(|leg| 1_000.0 / f64::from(leg.ptime_ms)).sum();
            f64::from(kind.weight) * legs
        };
        let kinds = self.mix.kinds();
        let weights: f64 = kinds.iter().map(|kind| f64::from(kind.weight)).sum();
        f64::from(self.calls) * kinds.iter().map(of).sum::<f64>() / weights
    }

    /// Whether every field is in range.
    ///
    /// # Errors
    /// The first that is not.
    pub fn check(&self) -> Result<(), SpecError> {
        let impairments = &self.impairments;
        let fields = [
            ("calls", f64::from(self.calls), 1.0, f64::from(Self::MAX_CALLS)),
            ("seconds", f64::from(self.seconds), 1.0, 86_400.0),
            ("warm_up_ms", f64::from(self.warm_up_ms), 0.0, 600_000.0),
            ("impairments.loss_percent", impairments.loss_percent, 0.0, 50.0),
            // 0 is what a reader gets who leaves the field out.
            ("impairments.loss_burst", impairments.loss_burst, 0.0, 20.0),
            ("impairments.jitter_ms", f64::from(impairments.jitter_ms), 0.0, 200.0),
            ("impairments.silence_percent", f64::from(impairments.silence_percent), 0.0, 90.0),
            ("impairments.bursts_per_packet_time", f64::from(impairments.bursts_per_packet_time), 0.0, 20.0),
        ];
        fields.into_iter().try_for_each(|(field, found, low, high)| {
            // A value that is not a number is in no range.
            if (low..=high).contains(&found) { Ok(()) } else { Err(SpecError { field, found, low, high }) }
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_specification_is_its_own_json() {
        let spec = LoadSpec::new("pcmu-g729".parse().unwrap(), 100, 30);
        let text = serde_json::to_string(&spec).unwrap();
        assert_eq!(serde_json::from_str::<LoadSpec>(&text).unwrap(), spec);
        let short: LoadSpec = serde_json::from_str(r#"{"mix":"pcmu-g729","calls":100,"seconds":30}"#).unwrap();
        assert_eq!(short.warm_up_ms, 1_000);
        assert!(serde_json::from_str::<LoadSpec>(r#"{"mix":"pcmu","calls":100,"seconds":30}"#).is_err());
        assert!(serde_json::from_str::<LoadSpec>(r#"{"mix":"pcmu-pcma","calls":100,"second":30}"#).is_err());
    }

    #[test]
    fn each_field_has_its_range() {
        let good = LoadSpec::new("pcmu-g729".parse().unwrap(), 100, 30);
        assert_eq!(good.check(), Ok(()));
        assert_eq!(LoadSpec { calls: 0, ..good.clone() }.check().unwrap_err().field, "calls");
        assert_eq!(LoadSpec { seconds: 0, ..good.clone() }.check().unwrap_err().field, "seconds");
        let lossy = Impairments { loss_percent: f64::NAN, ..Impairments::NONE };
        assert_eq!(LoadSpec { impairments: lossy, ..good }.check().unwrap_err().field, "impairments.loss_percent");
    }
}
