use std::collections::VecDeque;

use fastrand::Rng;

/// How often a network misbehaves, in per cent of frames.
#[derive(Clone, Copy, Debug, Default)]
pub struct Habits {
    /// Frames that vanish.
    pub loss: u8,
    /// Frames that arrive twice.
    pub duplication: u8,
    /// Frames that some of their followers overtake.
    pub reordering: u8,
    /// Frames that are preceded by a frame of random octets, or by a damaged or cut copy of themselves.
    pub junk: u8,
}

/// A network that loses, repeats, reorders and invents frames, the same way for the same seed.
#[derive(Debug)]
pub struct Network {
    rng: Rng,
    habits: Habits,
    held_back: VecDeque<(usize, Vec<u8>)>,
}

/// Frames that may overtake one that is held back, at most.
const MAX_OVERTAKING: usize = 8;

impl Network {
    /// A network.
    pub fn new(seed: u64, habits: Habits) -> Self {
        Self { rng: Rng::with_seed(seed), habits, held_back: VecDeque::new() }
    }

    fn happens(&mut self, per_cent: u8) -> bool {
        self.rng.u8(0..100) < per_cent
    }

    /// Carries one frame; `deliver` gets what comes out at the other end now, zero or more frames.
    pub fn carry(&mut self, frame: &[u8], mut deliver: impl FnMut(&[u8])) {
        if self.happens(self.habits.junk) {
            let junk = self.junk(frame);
            deliver(&junk);
        }
        if self.happens(self.habits.reordering) {
            let overtaking = self.rng.usize(1..=MAX_OVERTAKING);
            self.held_back.push_back((overtaking, frame.to_vec()));
        } else if !self.happens(self.habits.loss) {
            deliver(frame);
            if self.happens(self.habits.duplication) {
                deliver(frame);
            }
        }
        for (overtaking, _) in &mut self.held_back {
            *overtaking = overtaking.saturating_sub(1);
        }
        while let Some(at) = self.held_back.iter().position(|(overtaking, _)| *overtaking == 0) {
            if let Some((_, frame)) = self.held_back.remove(at) {
                deliver(&frame);
            }
        }
    }

    fn junk(&mut self, frame: &[u8]) -> Vec<u8> {
        match self.rng.u8(0..3) {
            0 => {
                let mut junk = vec![0; self.rng.usize(0..200)];
                self.rng.fill(&mut junk);
                junk
            }
            1 => frame[..self.rng.usize(0..=frame.len())].to_vec(),
            _ => {
                let mut junk = frame.to_vec();
                for _ in 0..self.rng.usize(1..6) {
                    let at = self.rng.usize(0..junk.len().max(1));
                    if let Some(octet) = junk.get_mut(at) {
                        *octet ^= 1 << self.rng.u8(0..8);
                    }
                }
                junk
            }
        }
    }
}
