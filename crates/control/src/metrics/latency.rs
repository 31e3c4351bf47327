//! From a worker's buckets to quantiles and to Prometheus' histogram.

use hdrhistogram::Histogram;
use serde::Serialize;
use tandem_contract::{Buckets, LatencyHistogram, WorkerCounters};

/// Upper bounds of the exported buckets, in nanoseconds: 1 µs to 100 ms.
const BOUNDS_NS: [u64; 16] = [
    1_000,
    2_000,
    5_000,
    10_000,
    20_000,
    50_000,
    100_000,
    200_000,
    500_000,
    1_000_000,
    2_000_000,
    5_000_000,
    10_000_000,
    20_000_000,
    50_000_000,
    100_000_000,
];

/// Added latency of one or more workers at one moment.
#[derive(Debug)]
pub(crate) struct Latency {
    /// Counts by their buckets' middle values in nanoseconds.
    histogram: Histogram<u64>,
}

/// Quantiles of added latency, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Quantiles {
    /// Packets counted.
    pub count: u64,
    /// The median.
    pub p50: f64,
    /// Nine of ten packets were faster.
    pub p90: f64,
    /// 99 of 100.
    pub p99: f64,
    /// 999 of 1000.
    pub p99_9: f64,
    /// The slowest.
    pub max: f64,
}

impl Latency {
    /// Reads and adds up.
    pub(crate) fn of<'a>(workers: impl IntoIterator<Item = &'a WorkerCounters>) -> Self {
        let mut histogram = empty();
        let mut buckets: Buckets = [0; LatencyHistogram::BUCKETS];
        for worker in workers {
            worker.added_latency.snapshot(&mut buckets);
            for (bucket, count) in buckets.iter().enumerate().filter(|(_, count)| **count > 0) {
                let floor = LatencyHistogram::floor_of(bucket);
                let next = LatencyHistogram::floor_of(bucket + 1);
                histogram.saturating_record_n(floor + (next - 1 - floor) / 2, *count);
            }
        }
        Self { histogram }
    }

    pub(crate) fn count(&self) -> u64 {
        self.histogram.len()
    }

    pub(crate) fn sum_s(&self) -> f64 {
        self.histogram
            .iter_recorded()
            .map(|one| one.value_iterated_to() as f64 * one.count_at_value() as f64)
            .sum::<f64>()
            / 1e9
    }

    /// Bound in seconds and count of each exported bucket, the last without bound.
    pub(crate) fn prometheus_buckets(&self) -> Vec<(f64, u64)> {
        let mut below = 0;
        let mut buckets = Vec::with_capacity(BOUNDS_NS.len() + 1);
        for bound in BOUNDS_NS {
            let so_far = self.histogram.count_between(0, bound);
            buckets.push((bound as f64 / 1e9, so_far - below));
            below = so_far;
        }
        buckets.push((f64::MAX, self.count() - below));
        buckets
    }

    pub(crate) fn quantiles_us(&self) -> Quantiles {
        let at = |quantile| self.histogram.value_at_quantile(quantile) as f64 / 1e3;
        Quantiles {
            count: self.count(),
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p99_9: at(0.999),
            max: self.histogram.max() as f64 / 1e3,
        }
    }
}

/// Three significant digits, which is finer than the workers' own buckets, up to the highest of these.
fn empty() -> Histogram<u64> {
    let highest = LatencyHistogram::floor_of(LatencyHistogram::BUCKETS);
    Histogram::new_with_bounds(1, highest, 3).expect("the bounds are in order and three digits are possible")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_within_a_bucket_of_what_was_recorded() {
        let worker = WorkerCounters::default();
        worker.added_latency.record_n(20_000, 990);
        worker.added_latency.record_n(500_000, 9);
        worker.added_latency.record(3_000_000);
        let quantiles = Latency::of([&worker]).quantiles_us();
        assert_eq!(quantiles.count, 1000);
        for (found, recorded) in
            [(quantiles.p50, 20.0), (quantiles.p99, 20.0), (quantiles.p99_9, 500.0), (quantiles.max, 3000.0)]
        {
            assert!((found - recorded).abs() <= recorded * 0.032, "{found} for {recorded}");
        }
    }

    #[test]
    fn workers_are_added_up_and_nothing_is_lost_at_the_ends() {
        let (one, two) = (WorkerCounters::default(), WorkerCounters::default());
        one.added_latency.record(0);
        two.added_latency.record(u64::MAX);
        let latency = Latency::of([&one, &two]);
        let buckets = latency.prometheus_buckets();
        assert_eq!(latency.count(), 2);
        assert_eq!(buckets.first().map(|(_, count)| *count), Some(1));
        assert_eq!(buckets.last().map(|(_, count)| *count), Some(1));
        assert_eq!(buckets.iter().map(|(_, count)| count).sum::<u64>(), 2);
    }

    #[test]
    fn no_packet_is_no_quantile() {
        assert_eq!(Latency::of([]).quantiles_us(), Quantiles::default());
    }
}
