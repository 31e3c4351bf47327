//! Which timer fires next.

use core::cmp::Reverse;
use std::collections::BinaryHeap;

use super::Slot;
use crate::Instant;

/// A queue of deadlines. Entries are never taken out early: whoever takes one checks whether it still holds.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    heap: BinaryHeap<Reverse<Deadline>>,
    sequence: u64,
}

/// Deadlines of the same instant fire in the order in which they were set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Deadline {
    pub(super) at: Instant,
    sequence: u64,
    pub(super) slot: Slot,
}

impl Deadlines {
    pub(super) fn push(&mut self, at: Instant, slot: Slot) {
        self.sequence += 1;
        self.heap.push(Reverse(Deadline { at, sequence: self.sequence, slot }));
    }

    pub(super) fn peek(&self) -> Option<Deadline> {
        self.heap.peek().map(|entry| entry.0)
    }

    pub(super) fn pop(&mut self) -> Option<Deadline> {
        self.heap.pop().map(|entry| entry.0)
    }

    /// Drops every deadline that does not hold.
    pub(super) fn retain(&mut self, mut holds: impl FnMut(Deadline) -> bool) {
        self.heap.retain(|entry| holds(entry.0));
    }

    pub(super) fn len(&self) -> usize {
        self.heap.len()
    }
}
