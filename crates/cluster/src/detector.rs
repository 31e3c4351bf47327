//! When silence becomes suspicious: adaptive, after the way TCP computes its timeout (RFC 6298).

use tandem_contract::Nanos;

/// A link that jitters may make suspicion so many times slower than beats missed evenly, not more.
const SLOWEST: u64 = 4;
/// Deviations above the mean that are still nothing.
const DEVIATIONS: u64 = 4;

/// How one member's beats arrive.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Detector {
    /// Silence that is suspicious where beats arrive evenly.
    base_ns: u64,
    last: Option<Nanos>,
    /// Mean time between arrivals, and mean deviation from it; 0 while unknown.
    mean_ns: u64,
    deviation_ns: u64,
}

impl Detector {
    pub(crate) fn new(base_ns: u64) -> Self {
        Self { base_ns, last: None, mean_ns: 0, deviation_ns: 0 }
    }

    pub(crate) fn on_beat(&mut self, now: Nanos) {
        // What was silent for long says nothing about jitter.
        if let Some(gap) = self.last.map(|last| now.since(last)).filter(|gap| *gap < self.base_ns * SLOWEST) {
            if self.mean_ns == 0 {
                (self.mean_ns, self.deviation_ns) = (gap, gap / 8);
            } else {
                self.deviation_ns = (self.deviation_ns * 15 + gap.abs_diff(self.mean_ns)) / 16;
                self.mean_ns = (self.mean_ns * 15 + gap) / 16;
            }
        }
        self.last = Some(now);
    }

    /// Silence that is suspicious at present.
    pub(crate) fn patience_ns(&self) -> u64 {
        (self.mean_ns + self.deviation_ns * DEVIATIONS).clamp(self.base_ns, self.base_ns * SLOWEST)
    }

    /// When the member becomes suspect if nothing comes; `None` where it was never heard.
    pub(crate) fn deadline(&self) -> Option<Nanos> {
        self.last.map(|last| last.plus(self.patience_ns()))
    }

    pub(crate) fn is_alive(&self, now: Nanos) -> bool {
        self.deadline().is_some_and(|deadline| now < deadline)
    }

    /// Forgets that it was heard.
    pub(crate) fn reset(&mut self) {
        *self = Self::new(self.base_ns);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn even_beats_make_a_member_suspect_after_three_were_missed() {
        let mut detector = Detector::new(60 * MS);
        assert!(!detector.is_alive(Nanos(0)));
        for beat in 0..100 {
            detector.on_beat(Nanos(beat * 20 * MS));
        }
        assert!(detector.is_alive(Nanos(99 * 20 * MS + 59 * MS)));
        assert!(!detector.is_alive(Nanos(99 * 20 * MS + 60 * MS)));
    }

    #[test]
    fn a_link_that_jitters_gets_more_patience_but_not_for_ever() {
        let mut detector = Detector::new(60 * MS);
        let mut now = 0;
        for beat in 0..200 {
            now += if beat % 2 == 0 { 1 } else { 59 } * MS;
            detector.on_beat(Nanos(now));
        }
        assert!(detector.patience_ns() > 100 * MS, "{}", detector.patience_ns());
        for _ in 0..200 {
            now += 239 * MS;
            detector.on_beat(Nanos(now));
        }
        assert!((200 * MS..=240 * MS).contains(&detector.patience_ns()), "{}", detector.patience_ns());
    }

    #[test]
    fn a_long_silence_is_not_taken_for_jitter() {
        let mut detector = Detector::new(60 * MS);
        for at in [0, 20, 40, 10_000, 10_020] {
            detector.on_beat(Nanos(at * MS));
        }
        assert_eq!(detector.patience_ns(), 60 * MS);
    }
}
