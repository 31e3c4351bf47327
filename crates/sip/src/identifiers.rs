//! Branches, tags and Call-IDs, from randomness that the caller supplies.

use core::fmt::Write as _;

/// RFC 3261 section 8.1.1.7: a branch that starts so is unique across space and time.
pub const MAGIC_COOKIE: &str = "z9hG4bK";

/// A source of random bits.
///
/// In production it must be cryptographically secure: tags and branches keep strangers out of dialogs (RFC 3261
/// section 19.3). In tests it must repeat itself, see [`SeededRandom`].
pub trait Random {
    /// The next 64 random bits.
    fn next_u64(&mut self) -> u64;
}

/// SplitMix64: the same numbers for the same seed. For tests and simulations, never on a network.
#[derive(Clone, Debug)]
pub struct SeededRandom(u64);

impl SeededRandom {
    /// A generator whose whole future is `seed`.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }
}

impl Random for SeededRandom {
    fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// Makes the identifiers of RFC 3261 that must be unique.
pub struct Identifiers {
    random: Box<dyn Random + Send>,
}

impl Identifiers {
    /// Identifiers drawn from `random`.
    pub fn new(random: impl Random + Send + 'static) -> Self {
        Self { random: Box::new(random) }
    }

    /// A From or To tag of 64 random bits; section 19.3 asks for at least 32.
    pub fn tag(&mut self) -> String {
        format!("{:016x}", self.random.next_u64())
    }

    /// A Via branch: the magic cookie and 96 random bits.
    pub fn branch(&mut self) -> String {
        let mut branch = String::with_capacity(MAGIC_COOKIE.len() + 24);
        branch.push_str(MAGIC_COOKIE);
        let _ = write!(branch, "{:016x}{:08x}", self.random.next_u64(), self.random.next_u64() >> 32);
        branch
    }

    /// A Call-ID of 128 random bits, without a host part: section 8.1.1.4 allows that, and it gives no topology away.
    pub fn call_id(&mut self) -> String {
        format!("{:016x}{:016x}", self.random.next_u64(), self.random.next_u64())
    }

    /// 64 random bits for whatever else needs them, jitter for instance.
    pub fn next_u64(&mut self) -> u64 {
        self.random.next_u64()
    }
}

impl core::fmt::Debug for Identifiers {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Identifiers")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_identifiers() {
        let mut a = Identifiers::new(SeededRandom::new(7));
        let mut b = Identifiers::new(SeededRandom::new(7));
        assert_eq!((a.branch(), a.tag(), a.call_id()), (b.branch(), b.tag(), b.call_id()));
        assert_ne!(a.branch(), a.branch());
        assert!(a.branch().starts_with(MAGIC_COOKIE));
        assert_eq!(a.tag().len(), 16);
    }
}
