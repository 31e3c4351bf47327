use tandem_contract::Nanos;

/// A token bucket: `rate` permits a second, saved up for at most one second.
pub(crate) struct RateLimit {
    rate: u64,
    /// In permits times 10^9, so that slow rates lose nothing to rounding.
    saved: u64,
    refilled_at: Nanos,
}

const PERMIT: u64 = 1_000_000_000;

impl RateLimit {
    pub(crate) const fn new(permits_per_second: u32) -> Self {
        let rate = permits_per_second as u64;
        Self { rate, saved: rate * PERMIT, refilled_at: Nanos(0) }
    }

    /// Whether one more is permitted now.
    pub(crate) fn permit(&mut self, now: Nanos) -> bool {
        let elapsed_ns = now.since(self.refilled_at).min(PERMIT);
        self.refilled_at = now;
        self.saved = (self.saved + elapsed_ns * self.rate).min(self.rate * PERMIT);
        let permitted = self.saved >= PERMIT;
        if permitted {
            self.saved -= PERMIT;
        }
        permitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_lets_through_its_rate_and_no_more() {
        let mut limit = RateLimit::new(100);
        let passed = |limit: &mut RateLimit, now| (0..1000).filter(|_| limit.permit(now)).count();
        assert_eq!(passed(&mut limit, Nanos::from_millis(0)), 100);
        assert_eq!(passed(&mut limit, Nanos::from_millis(10)), 1);
        assert_eq!(passed(&mut limit, Nanos::from_millis(510)), 50);
        assert_eq!(passed(&mut limit, Nanos::from_millis(60_000)), 100);
    }
}
