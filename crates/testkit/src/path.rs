use std::cmp::Reverse;
use std::collections::BinaryHeap;

use fastrand::Rng;
use tandem_contract::Nanos;

/// What a network path does to frames; chances are in thousandths.
#[derive(Clone, Copy, Debug, Default)]
pub struct PathHabits {
    /// How long every frame is under way at least, in microseconds.
    pub delay_us: u64,
    /// How much longer at most: evenly spread. More than the time between two frames, and they overtake each other.
    pub jitter_us: u64,
    /// Frames that vanish.
    pub loss: u16,
    /// Frames that start a loss of up to five in a row.
    pub loss_bursts: u16,
    /// Frames that arrive twice, each in its own time.
    pub duplication: u16,
    /// Frames that are held up for `reordering_us` more.
    pub reordering: u16,
    /// How long those are held up, in microseconds.
    pub reordering_us: u64,
}

/// How many frames had which fate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PathCounts {
    /// Frames that were sent.
    pub sent: u64,
    /// Frames that vanished.
    pub lost: u64,
    /// Frames that were doubled.
    pub duplicated: u64,
    /// Frames that arrived.
    pub delivered: u64,
}

/// A network path under a virtual clock: what is sent arrives later, never, or twice, the same way for the same seed.
#[derive(Debug)]
pub struct Path {
    rng: Rng,
    habits: PathHabits,
    counts: PathCounts,
    /// Frames that the burst of losses under way still takes.
    burst: u8,
    /// By arrival, then in the order they were sent.
    under_way: BinaryHeap<Reverse<(Nanos, u64, Vec<u8>)>>,
    put: u64,
}

impl Path {
    /// An empty path.
    pub fn new(seed: u64, habits: PathHabits) -> Self {
        Self {
            rng: Rng::with_seed(seed),
            habits,
            counts: PathCounts::default(),
            burst: 0,
            under_way: BinaryHeap::new(),
            put: 0,
        }
    }

    fn happens(&mut self, thousandths: u16) -> bool {
        self.rng.u16(0..1000) < thousandths
    }

    /// Sends a frame.
    pub fn send(&mut self, now: Nanos, frame: Vec<u8>) {
        self.counts.sent += 1;
        if self.happens(self.habits.loss_bursts) {
            self.burst = self.rng.u8(1..=5);
        }
        let is_in_burst = self.burst > 0;
        self.burst = self.burst.saturating_sub(1);
        if is_in_burst || self.happens(self.habits.loss) {
            self.counts.lost += 1;
            return;
        }
        if self.happens(self.habits.duplication) {
            self.counts.duplicated += 1;
            self.put(now, frame.clone());
        }
        self.put(now, frame);
    }

    fn put(&mut self, now: Nanos, frame: Vec<u8>) {
        let held_up = if self.happens(self.habits.reordering) { self.habits.reordering_us } else { 0 };
        let micros = self.habits.delay_us + self.rng.u64(0..=self.habits.jitter_us) + held_up;
        self.under_way.push(Reverse((now.plus(micros * 1000), self.put, frame)));
        self.put += 1;
    }

    /// When the next frame arrives.
    pub fn due(&self) -> Option<Nanos> {
        self.under_way.peek().map(|Reverse((at, ..))| *at)
    }

    /// The next frame that has arrived by `now`.
    pub fn receive(&mut self, now: Nanos) -> Option<Vec<u8>> {
        self.due().filter(|due| *due <= now)?;
        self.counts.delivered += 1;
        self.under_way.pop().map(|Reverse((_, _, frame))| frame)
    }

    /// What happened so far.
    pub const fn counts(&self) -> PathCounts {
        self.counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fate(seed: u64, habits: PathHabits) -> (Vec<(u64, u8)>, PathCounts) {
        let mut path = Path::new(seed, habits);
        let mut arrived = Vec::new();
        for ms in 0..5000 {
            if ms % 20 == 0 && ms < 4000 {
                path.send(Nanos::from_millis(ms), vec![(ms / 20) as u8]);
            }
            while let Some(frame) = path.receive(Nanos::from_millis(ms)) {
                arrived.push((ms, frame[0]));
            }
        }
        assert_eq!(path.due(), None);
        (arrived, path.counts())
    }

    #[test]
    fn a_good_path_only_takes_its_time() {
        let (arrived, counts) = fate(1, PathHabits { delay_us: 30_000, ..PathHabits::default() });
        assert!(arrived.iter().zip(0..).all(|(arrival, n)| *arrival == (u64::from(n) * 20 + 30, n)));
        assert_eq!(counts, PathCounts { sent: 200, delivered: 200, ..PathCounts::default() });
    }

    #[test]
    fn every_frame_that_was_sent_is_lost_or_arrives_and_the_seed_decides() {
        let habits = PathHabits {
            delay_us: 10_000,
            jitter_us: 30_000,
            loss: 50,
            loss_bursts: 10,
            duplication: 50,
            reordering: 50,
            reordering_us: 50_000,
        };
        let (arrived, counts) = fate(7, habits);
        assert_eq!(counts.sent + counts.duplicated, counts.lost + counts.delivered);
        assert!(counts.lost > 5 && counts.duplicated > 2, "{counts:?}");
        assert!(arrived.windows(2).any(|pair| pair[0].1 > pair[1].1), "some overtake");
        assert_eq!(fate(7, habits), (arrived.clone(), counts));
        assert_ne!(fate(8, habits).0, arrived);
    }
}
