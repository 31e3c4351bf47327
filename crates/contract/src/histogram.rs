use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Powers of two covered above the linear part: values up to 2^36 ns (69 s).
const OCTAVES: usize = 32;
/// Sub-buckets per power of two: a recorded value is at most 1/32 (3.1 %) above its bucket's floor.
const SUB_BUCKETS: usize = 32;
const SUB_BITS: u32 = SUB_BUCKETS.trailing_zeros();
const BUCKETS: usize = SUB_BUCKETS * (OCTAVES + 1);

/// The counts of a [`LatencyHistogram`] at one moment.
pub type Buckets = [u64; BUCKETS];

/// A log-linear histogram of nanoseconds with one writer and any number of readers; recording takes no lock and no
/// read-modify-write, so that it costs under a nanosecond on the packet path.
#[derive(Debug)]
pub struct LatencyHistogram {
    buckets: [AtomicU64; BUCKETS],
}

impl Default for LatencyHistogram {
    fn default() -> Self {
        Self { buckets: [const { AtomicU64::new(0) }; BUCKETS] }
    }
}

impl LatencyHistogram {
    /// How many buckets there are.
    pub const BUCKETS: usize = BUCKETS;

    /// Counts one value. Only the owning worker may call this.
    #[inline]
    pub fn record(&self, nanos: u64) {
        let bucket = &self.buckets[Self::bucket_of(nanos)];
        bucket.store(bucket.load(Relaxed).wrapping_add(1), Relaxed);
    }

    /// Counts `times` equal values. Only the owning worker may call this.
    #[inline]
    pub fn record_n(&self, nanos: u64, times: u64) {
        let bucket = &self.buckets[Self::bucket_of(nanos)];
        bucket.store(bucket.load(Relaxed).wrapping_add(times), Relaxed);
    }

    /// Reads all counts; each is exact, together they may be a few packets apart.
    pub fn snapshot(&self, into: &mut Buckets) {
        for (count, bucket) in into.iter_mut().zip(&self.buckets) {
            *count = bucket.load(Relaxed);
        }
    }

    /// The bucket a value of `nanos` falls into; values past the end fall into the last.
    #[inline]
    pub const fn bucket_of(nanos: u64) -> usize {
        if nanos < SUB_BUCKETS as u64 {
            return nanos as usize;
        }
        let octave = 63 - nanos.leading_zeros() - SUB_BITS;
        let sub = (nanos >> octave) as usize & (SUB_BUCKETS - 1);
        let bucket = (octave as usize + 1) * SUB_BUCKETS + sub;
        if bucket < BUCKETS { bucket } else { BUCKETS - 1 }
    }

    /// The lowest value, in nanoseconds, that falls into `bucket`.
    pub const fn floor_of(bucket: usize) -> u64 {
        if bucket < SUB_BUCKETS {
            return bucket as u64;
        }
        let octave = bucket / SUB_BUCKETS - 1;
        ((SUB_BUCKETS + bucket % SUB_BUCKETS) as u64) << octave
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_floor_falls_into_its_own_bucket_and_the_value_below_into_the_one_before() {
        for bucket in 0..BUCKETS {
            let floor = LatencyHistogram::floor_of(bucket);
            assert_eq!(LatencyHistogram::bucket_of(floor), bucket);
            if floor > 0 {
                assert_eq!(LatencyHistogram::bucket_of(floor - 1), bucket - 1);
            }
        }
    }

    #[test]
    fn values_past_the_end_are_counted_in_the_last_bucket() {
        let histogram = LatencyHistogram::default();
        histogram.record(u64::MAX);
        let mut buckets = [0; BUCKETS];
        histogram.snapshot(&mut buckets);
        assert_eq!(buckets[BUCKETS - 1], 1);
    }
}
