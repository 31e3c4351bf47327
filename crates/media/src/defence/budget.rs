//! Token buckets: how many packets a second a leg or a source may send.

use std::net::IpAddr;

use tandem_contract::Nanos;

/// A bucket holds at most what one second brings.
const DEPTH_MS: u64 = 1000;

/// One bucket, in thousandths of a packet: a rate of so many packets a second fills in as many each millisecond.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    saved: u32,
    /// Milliseconds, modulo 2^32.
    refilled_at: u32,
}

/// A packet, in a bucket's unit.
const PACKET: u32 = 1000;

impl Bucket {
    /// A full bucket.
    pub(crate) const FULL: Self = Self { saved: u32::MAX, refilled_at: 0 };

    /// Whether one packet more is within `rate` packets a second. 0 sets no limit.
    #[inline]
    pub(crate) fn permit(&mut self, now: Nanos, rate: u32) -> bool {
        if rate == 0 {
            return true;
        }
        let now_ms = (now.0 / 1_000_000) as u32;
        let elapsed = u64::from(now_ms.wrapping_sub(self.refilled_at)).min(DEPTH_MS);
        self.refilled_at = now_ms;
        let depth = u64::from(rate) * DEPTH_MS;
        let saved = (u64::from(self.saved) + elapsed * u64::from(rate)).min(depth).min(u64::from(u32::MAX)) as u32;
        let permitted = saved >= PACKET;
        self.saved = if permitted { saved - PACKET } else { saved };
        permitted
    }
}

/// Places of one set.
const WAYS: usize = 4;
/// Sets, a power of two.
const SETS: usize = 1024;

/// Buckets by source address, in a table of fixed size. A source that finds its set full takes the place of the one
/// that was silent longest, and begins with a full bucket: many sources make the limit looser, never tighter.
pub(crate) struct SourceBudgets {
    rate: u32,
    sets: Box<[[Place; WAYS]]>,
}

#[derive(Clone, Copy)]
struct Place {
    source: Option<IpAddr>,
    bucket: Bucket,
}

impl SourceBudgets {
    /// `rate` packets a second for each source; 0 sets no limit and takes no memory.
    pub(crate) fn new(rate: u32) -> Self {
        let sets = if rate == 0 { 0 } else { SETS };
        Self { rate, sets: vec![[Place { source: None, bucket: Bucket::FULL }; WAYS]; sets].into_boxed_slice() }
    }

    /// Whether one packet more from `source` is within its budget.
    #[inline]
    pub(crate) fn permit(&mut self, now: Nanos, source: IpAddr) -> bool {
        let Some(set) = self.sets.get_mut(set_of(source)) else {
            return true;
        };
        let now_ms = (now.0 / 1_000_000) as u32;
        let silence = |place: &Place| match place.source {
            None => u32::MAX,
            Some(_) => now_ms.wrapping_sub(place.bucket.refilled_at),
        };
        let known = set.iter().position(|place| place.source == Some(source));
        let index = known.unwrap_or_else(|| {
            let longest = (0..WAYS).max_by_key(|index| silence(&set[*index])).unwrap_or(0);
            set[longest] = Place { source: Some(source), bucket: Bucket::FULL };
            longest
        });
        set[index].bucket.permit(now, self.rate)
    }
}

/// Spreads addresses over the sets (Fibonacci hashing).
fn set_of(source: IpAddr) -> usize {
    let bits = match source {
        IpAddr::V4(address) => u64::from(address.to_bits()),
        IpAddr::V6(address) => (address.to_bits() >> 64) as u64 ^ (address.to_bits() as u64).rotate_left(32),
    };
    (bits.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - SETS.trailing_zeros())) as usize
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_bucket_lets_through_its_rate_and_what_it_saved_in_a_second() {
        let mut bucket = Bucket::FULL;
        let passed = |bucket: &mut Bucket, ms| (0..1000).filter(|_| bucket.permit(Nanos::from_millis(ms), 50)).count();
        assert_eq!(passed(&mut bucket, 5), 50);
        assert_eq!(passed(&mut bucket, 24), 0);
        assert_eq!(passed(&mut bucket, 25), 1);
        assert_eq!(passed(&mut bucket, 525), 25);
        assert_eq!(passed(&mut bucket, 900_000), 50);
        assert!((0..10_000).all(|_| bucket.permit(Nanos(0), 0)));
    }

    #[test]
    fn sources_have_budgets_of_their_own() {
        let mut budgets = SourceBudgets::new(10);
        let (loud, quiet) = (IpAddr::from([10, 0, 0, 1]), "2001:db8::1".parse().unwrap());
        assert_eq!((0..100).filter(|_| budgets.permit(Nanos(0), loud)).count(), 10);
        assert!(budgets.permit(Nanos(0), quiet));
        assert!(!budgets.permit(Nanos(0), loud));
    }

    proptest! {
        /// Whoever stays within its rate is never refused, whatever others do.
        #[test]
        fn a_source_within_its_budget_is_never_refused(
            others in proptest::collection::vec((any::<u32>(), 0..3_u64), 0..2000),
        ) {
            let mut budgets = SourceBudgets::new(50);
            let ours = IpAddr::from([192, 0, 2, 1]);
            let mut ms = 0;
            let mut next = 0;
            for (other, step) in others {
                ms += step;
                let now = Nanos::from_millis(ms);
                budgets.permit(now, IpAddr::from(other.to_be_bytes()));
                while next <= ms {
                    prop_assert!(budgets.permit(now, ours));
                    next += 20;
                }
            }
        }

        /// Over any stretch of time no more passes than the rate brings and the bucket holds.
        #[test]
        fn no_more_passes_than_the_rate_and_the_depth(rate in 1..5000_u32, steps in proptest::collection::vec(0..50_u64, 1..500)) {
            let mut bucket = Bucket::FULL;
            let (mut ms, mut passed) = (1_u64, 0_u64);
            for step in steps {
                ms += step;
                passed += u64::from(bucket.permit(Nanos::from_millis(ms), rate));
            }
            prop_assert!(passed <= u64::from(rate) + u64::from(rate) * ms / 1000 + 1);
        }
    }
}
