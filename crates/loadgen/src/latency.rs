use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Packets by their latency: from the send that the source stamped to the receive, source and network included.
///
/// Values are nanoseconds, exact to two decimal digits (1 %). In JSON: the count, quantiles for a reader, and the recorded buckets as
/// pairs of highest value and count.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Stored", into = "Stored")]
pub struct Latency {
    /// Highest value of a bucket in nanoseconds, packets in it; ascending, none empty.
    buckets: Vec<(u64, u64)>,
    count: u64,
}

impl Latency {
    /// From a histogram of nanoseconds.
    pub fn of(histogram: &Histogram<u64>) -> Self {
        let bucket = |value: hdrhistogram::iterators::IterationValue<u64>| {
            (histogram.highest_equivalent(value.value_iterated_to()), value.count_at_value())
        };
        Self::from_buckets(histogram.iter_recorded().map(bucket).collect())
    }

    /// From buckets in any order.
    pub fn from_buckets(mut buckets: Vec<(u64, u64)>) -> Self {
        buckets.retain(|(_, count)| *count > 0);
        buckets.sort_unstable();
        buckets.dedup_by(|later, kept| {
            let same = later.0 == kept.0;
            if same {
                kept.1 = kept.1.saturating_add(later.1);
            }
            same
        });
        let count = buckets.iter().fold(0_u64, |sum, (_, count)| sum.saturating_add(*count));
        Self { buckets, count }
    }

    /// Packets recorded.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The latency in nanoseconds that a share `quantile` (0 to 1) of the packets did not exceed; 0 where none was recorded.
    pub fn quantile_ns(&self, quantile: f64) -> u64 {
        // The rank that reaches the share, from 1: the median of three is the second.
        let rank = ((quantile.clamp(0.0, 1.0) * self.count as f64).ceil() as u64).max(1);
        let mut so_far = 0;
        for (value, count) in &self.buckets {
            so_far += count;
            if so_far >= rank {
                return *value;
            }
        }
        self.max_ns()
    }

    /// The slowest packet in nanoseconds.
    pub fn max_ns(&self) -> u64 {
        self.buckets.last().map_or(0, |(value, _)| *value)
    }

    /// Highest value in nanoseconds and count of each bucket that holds a packet, ascending.
    pub fn buckets(&self) -> &[(u64, u64)] {
        &self.buckets
    }

    /// Adds another's packets.
    pub fn add(&mut self, other: &Self) {
        *self = Self::from_buckets([self.buckets.as_slice(), other.buckets.as_slice()].concat());
    }
}

#[derive(Serialize, Deserialize)]
struct Stored {
    count: u64,
    #[serde(default)]
    p50_ns: u64,
    #[serde(default)]
    p99_ns: u64,
    #[serde(default)]
    p99_9_ns: u64,
    #[serde(default)]
    max_ns: u64,
    buckets: Vec<(u64, u64)>,
}

impl From<Stored> for Latency {
    fn from(stored: Stored) -> Self {
        Self::from_buckets(stored.buckets)
    }
}

impl From<Latency> for Stored {
    fn from(latency: Latency) -> Self {
        Self {
            count: latency.count,
            p50_ns: latency.quantile_ns(0.5),
            p99_ns: latency.quantile_ns(0.99),
            p99_9_ns: latency.quantile_ns(0.999),
            max_ns: latency.max_ns(),
            buckets: latency.buckets,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_packets() {
        let latency = Latency::from_buckets(vec![(300, 1), (100, 1), (200, 1), (200, 0)]);
        assert_eq!(latency.count(), 3);
        assert_eq!([0.0, 0.5, 0.67, 1.0].map(|q| latency.quantile_ns(q)), [100, 200, 300, 300]);
        assert_eq!(Latency::default().quantile_ns(0.5), 0);
    }

    #[test]
    fn it_survives_json_and_adds_up() {
        let mut histogram = Histogram::new_with_bounds(1, 60_000_000_000, 2).unwrap();
        for value in 1..=1_000 {
            histogram.record(value * 1_000).unwrap();
        }
        let mut latency = Latency::of(&histogram);
        let again: Latency = serde_json::from_str(&serde_json::to_string(&latency).unwrap()).unwrap();
        assert_eq!(again, latency);
        assert!((990_000..=1_010_000).contains(&latency.max_ns()));
        assert!((495_000..=510_000).contains(&latency.quantile_ns(0.5)));
        latency.add(&again);
        assert_eq!((latency.count(), latency.max_ns()), (2_000, again.max_ns()));
    }
}
