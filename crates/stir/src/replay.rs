//! Tokens that were seen: one that is used for another call, while it is fresh, is somebody else's doing (RFC 8224 §12.1).

use std::collections::{HashMap, VecDeque};

/// What tells tokens apart: of the signature's first number, which another signature of the same key has by accident alone, and which
/// stays what it is when the second one is replaced by its negative.
pub type TokenId = [u8; 16];

/// The tokens of the last minutes, and what calls they were for.
#[derive(Clone, Debug)]
pub struct Replays {
    capacity: usize,
    calls: HashMap<TokenId, u64>,
    /// In the order in which they came, with when they are stale.
    order: VecDeque<(u64, TokenId)>,
}

impl Replays {
    /// Remembers so many tokens; where more come in their time, the oldest are forgotten. 0 remembers none.
    pub fn new(capacity: usize) -> Self {
        Self { capacity, calls: HashMap::new(), order: VecDeque::new() }
    }

    /// Notes that a token, which is fresh up to `stale_at`, came for a call; whether it did for another one before. `call` stands for
    /// what forks of one call have in common. Times are seconds since 1970.
    pub fn is_replayed(&mut self, token: TokenId, call: u64, now: u64, stale_at: u64) -> bool {
        while let Some((_, old)) = self.order.front().filter(|(until, _)| *until < now) {
            self.calls.remove(old);
            self.order.pop_front();
        }
        if let Some(known) = self.calls.get(&token) {
            return *known != call;
        }
        if self.capacity == 0 {
            return false;
        }
        if self.order.len() >= self.capacity
            && let Some((_, oldest)) = self.order.pop_front()
        {
            self.calls.remove(&oldest);
        }
        self.calls.insert(token, call);
        self.order.push_back((stale_at, token));
        false
    }

    /// How many are remembered.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_for_one_call_until_it_is_stale() {
        let mut replays = Replays::new(10);
        assert!(!replays.is_replayed([1; 16], 7, 100, 160));
        assert!(!replays.is_replayed([1; 16], 7, 101, 160), "another branch of the same call");
        assert!(replays.is_replayed([1; 16], 8, 160, 160));
        assert!(!replays.is_replayed([2; 16], 8, 161, 221));
        assert_eq!(replays.len(), 1, "what is stale is forgotten");
    }

    #[test]
    fn memory_is_bounded_and_the_oldest_goes_first() {
        let mut replays = Replays::new(3);
        for token in 0..5 {
            assert!(!replays.is_replayed([token; 16], token.into(), 100, 160));
            assert!(replays.len() <= 3 && replays.calls.len() == replays.len());
        }
        assert!(replays.is_replayed([4; 16], 9, 100, 160));
        assert!(!replays.is_replayed([0; 16], 9, 100, 160), "it was forgotten");
        let mut none = Replays::new(0);
        assert!(!none.is_replayed([1; 16], 1, 100, 160) && !none.is_replayed([1; 16], 2, 100, 160));
        assert!(none.is_empty());
    }
}
