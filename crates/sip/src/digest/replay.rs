//! Which uses of a nonce have been seen.

use std::collections::BTreeMap;

/// Nonces that were used with the right password, by when they were issued. Strangers take no room here.
#[derive(Debug)]
pub(super) struct Used {
    nonces: BTreeMap<(u64, u64), Window>,
    capacity: usize,
    /// Nonces issued up to then have been forgotten: none of them is good any more.
    forgotten_us: Option<u64>,
}

/// The highest count and, as bits below it, which of the 64 up to it came: datagrams overtake each other.
#[derive(Debug)]
struct Window {
    highest: u32,
    seen: u64,
}

impl Used {
    pub(super) const fn new(capacity: usize) -> Self {
        Self { nonces: BTreeMap::new(), capacity, forgotten_us: None }
    }

    /// Whether this use of the nonce is the first. `count` is `None` for a nonce that serves once.
    pub(super) fn take(&mut self, issued_us: u64, salt: u64, count: Option<u32>) -> bool {
        if self.forgotten_us.is_some_and(|until| issued_us <= until) || count == Some(0) {
            return false;
        }
        if let Some(window) = self.nonces.get_mut(&(issued_us, salt)) {
            return count.is_some_and(|count| window.take(count));
        }
        if self.nonces.len() >= self.capacity
            && let Some(((oldest_us, _), _)) = self.nonces.pop_first()
        {
            self.forgotten_us = Some(oldest_us);
            if issued_us <= oldest_us {
                return false;
            }
        }
        let window = match count {
            Some(count) => Window { highest: count, seen: 1 },
            None => Window { highest: u32::MAX, seen: u64::MAX },
        };
        self.nonces.insert((issued_us, salt), window);
        true
    }

    /// Forgets nonces issued before then: they are too old to be good.
    pub(super) fn expire(&mut self, before_us: u64) {
        while self.nonces.first_key_value().is_some_and(|((issued_us, _), _)| *issued_us < before_us) {
            self.nonces.pop_first();
        }
    }

    pub(super) fn len(&self) -> usize {
        self.nonces.len()
    }
}

impl Window {
    fn take(&mut self, count: u32) -> bool {
        if let Some(ahead) = count.checked_sub(self.highest).filter(|ahead| *ahead > 0) {
            self.seen = self.seen.checked_shl(ahead).unwrap_or(0) | 1;
            self.highest = count;
            return true;
        }
        let bit = 1u64.checked_shl(self.highest - count).unwrap_or(0);
        let is_first = bit != 0 && self.seen & bit == 0;
        self.seen |= bit;
        is_first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_count_serves_once_in_any_order() {
        let mut used = Used::new(10);
        assert!(used.take(5, 1, Some(1)));
        assert!(used.take(5, 1, Some(4)) && used.take(5, 1, Some(2)) && used.take(5, 1, Some(3)));
        for count in 0..=4 {
            assert!(!used.take(5, 1, Some(count)), "{count}");
        }
        assert!(used.take(5, 1, Some(100)) && used.take(5, 1, Some(37)));
        assert!(!used.take(5, 1, Some(36)), "too far behind to be known");
        assert!(used.take(5, 1, Some(u32::MAX)) && !used.take(5, 1, Some(1)));
        assert!(used.take(5, 2, Some(1)), "another nonce of the same time");
    }

    #[test]
    fn without_a_count_a_nonce_serves_once() {
        let mut used = Used::new(10);
        assert!(used.take(5, 1, None));
        assert!(!used.take(5, 1, None) && !used.take(5, 1, Some(1)) && !used.take(5, 1, Some(u32::MAX)));
        assert!(used.take(6, 1, Some(1)) && !used.take(6, 1, None));
    }

    #[test]
    fn what_is_forgotten_for_want_of_room_is_not_good_again() {
        let mut used = Used::new(2);
        assert!(used.take(1, 0, Some(1)) && used.take(2, 0, Some(1)) && used.take(3, 0, Some(1)));
        assert_eq!(used.len(), 2);
        assert!(!used.take(1, 0, Some(2)), "forgotten");
        assert!(used.take(2, 0, Some(2)) && used.take(3, 0, Some(2)));
        used.expire(3);
        assert_eq!(used.len(), 1);
    }
}
