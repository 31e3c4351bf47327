//! The network between the source and the gateway, as the source plays it: packets withheld, held up, not spoken at all.

use tandem_contract::Nanos;

use crate::Impairments;
use crate::plan::Plan;

/// Rounds of packets that go through whatever the network is: the first packet shows where a stream's numbers begin.
const UNHARMED: u32 = 4;
/// A bucket of held packets, in nanoseconds.
const BUCKET_NS: u64 = 250_000;
/// A speaker speaks and is silent once in so many milliseconds, on average.
const CYCLE_MS: u64 = 3_000;
const NONE: u32 = u32::MAX;

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It leaves in its time.
    Leaves,
    /// It leaves so many nanoseconds later.
    Held(u64),
    /// It never leaves.
    Withheld,
    /// There is none: the speaker is silent.
    Silent,
}

/// What the network does to each leg's packets.
#[derive(Debug)]
pub(crate) struct Network {
    impairments: Impairments,
    random: fastrand::Rng,
    legs: Box<[LegNetwork]>,
    /// Packets that are held up: the first of each bucket, in a ring of buckets.
    buckets: Box<[u32]>,
    bucket: u64,
    held: Vec<HeldPacket>,
    free: u32,
    waiting: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct LegNetwork {
    loses: bool,
    silent: bool,
    /// The round in which it begins or ends to speak.
    turns_at: u32,
}

/// A packet whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Turn {
    pub(crate) group: u8,
    /// It follows a silence.
    pub(crate) marker: bool,
    pub(crate) sequence: u16,
    pub(crate) leg: u32,
    pub(crate) round: u32,
    /// When it is to leave.
    pub(crate) due: Nanos,
}

#[derive(Clone, Copy, Debug)]
struct HeldPacket {
    turn: Turn,
    next: u32,
}

impl Network {
    pub(crate) fn new(impairments: &Impairments, seed: u64, plan: &Plan) -> Self {
        let mut network = Self {
            impairments: *impairments,
            random: fastrand::Rng::with_seed(seed ^ 0x0fa1_1e57),
            legs: Box::default(),
            buckets: Box::default(),
            bucket: 0,
            held: Vec::new(),
            free: NONE,
            waiting: 0,
        };
        if !network.is_perfect() {
            network.legs = vec![LegNetwork::default(); plan.legs.len()].into_boxed_slice();
        }
        let jitter_ms = usize::from(impairments.jitter_ms);
        if jitter_ms > 0 {
            let buckets = (jitter_ms as u64 * 1_000_000 / BUCKET_NS + 8).next_power_of_two();
            network.buckets = vec![NONE; buckets as usize].into_boxed_slice();
            let most =
                |group: &crate::plan::GroupPlan| (jitter_ms / usize::from(group.ptime_ms) + 2) * group.count as usize;
            network.held.reserve_exact(plan.groups.iter().map(most).sum());
        }
        network
    }

    /// Whether every packet leaves in its time.
    #[inline]
    pub(crate) fn is_perfect(&self) -> bool {
        self.impairments.loss_percent == 0.0 && self.impairments.jitter_ms == 0 && self.impairments.silence_percent == 0
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    /// What becomes of a leg's packet.
    pub(crate) fn fate(&mut self, leg: u32, round: u32, ptime_ns: u64) -> Fate {
        let Impairments { loss_percent, loss_burst, jitter_ms, silence_percent, .. } = self.impairments;
        if round < UNHARMED {
            return Fate::Leaves;
        }
        let leg = &mut self.legs[leg as usize];
        if silence_percent > 0 {
            if round >= leg.turns_at {
                // Everybody begins somewhere in a spurt of speech.
                leg.silent = !leg.silent && leg.turns_at > 0;
                let share = u64::from(if leg.silent { silence_percent } else { 100 - silence_percent });
                let mean_ns = CYCLE_MS * 10_000 * share;
                let rounds = self.random.u64(mean_ns / 2..=mean_ns * 3 / 2) / ptime_ns;
                leg.turns_at = round + (rounds as u32).max(1);
            }
            if leg.silent {
                return Fate::Silent;
            }
        }
        if loss_percent > 0.0 {
            // Two states, as Gilbert has them: losses last for so many packets, and are so many in all.
            let share = loss_percent / 100.0;
            let ends = 1.0 / loss_burst.max(1.0);
            let begins = (ends * share / (1.0 - share)).min(1.0);
            let chance = self.random.f64();
            leg.loses = if leg.loses { chance >= ends } else { chance < begins };
            if leg.loses {
                return Fate::Withheld;
            }
        }
        if jitter_ms > 0 { Fate::Held(self.random.u64(..u64::from(jitter_ms) * 1_000_000)) } else { Fate::Leaves }
    }

    /// Keeps a packet until its time.
    pub(crate) fn hold(&mut self, turn: Turn) {
        let at = ((turn.due.0 / BUCKET_NS).max(self.bucket) as usize) & (self.buckets.len() - 1);
        let packet = HeldPacket { turn, next: self.buckets[at] };
        let place = if self.free == NONE {
            self.held.push(packet);
            self.held.len() as u32 - 1
        } else {
            let place = self.free;
            self.free = self.held[place as usize].next;
            self.held[place as usize] = packet;
            place
        };
        self.buckets[at] = place;
        self.waiting += 1;
    }

    /// A packet that was held long enough. Those of a bucket leave at its end: none before its time.
    #[inline]
    pub(crate) fn release(&mut self, now: Nanos) -> Option<Turn> {
        if self.buckets.is_empty() {
            return None;
        }
        while (self.bucket + 1) * BUCKET_NS <= now.0 {
            if self.waiting == 0 {
                self.bucket = now.0 / BUCKET_NS;
                return None;
            }
            let at = (self.bucket as usize) & (self.buckets.len() - 1);
            let place = self.buckets[at];
            if place == NONE {
                self.bucket += 1;
                continue;
            }
            let HeldPacket { turn, next } = self.held[place as usize];
            self.buckets[at] = next;
            self.held[place as usize].next = self.free;
            self.free = place;
            self.waiting -= 1;
            return Some(turn);
        }
        None
    }
}
