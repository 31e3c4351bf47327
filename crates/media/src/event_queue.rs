use std::collections::VecDeque;

use tandem_contract::Event;

/// Events that nobody asked for, in a queue that never grows. What does not fit is refused, and its cause stays
/// unreported until it does.
pub(crate) struct EventQueue {
    events: VecDeque<Event>,
    capacity: usize,
}

impl EventQueue {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { events: VecDeque::with_capacity(capacity), capacity }
    }

    /// Whether the event was taken.
    pub(crate) fn push(&mut self, event: Event) -> bool {
        let fits = self.events.len() < self.capacity;
        if fits {
            self.events.push_back(event);
        }
        fits
    }

    pub(crate) fn pop(&mut self) -> Option<Event> {
        self.events.pop_front()
    }
}
