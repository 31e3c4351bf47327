//! How a worker says that it has answered.

use core::task::Waker;

use atomic_waker::AtomicWaker;

/// Wakes control when a worker has answered a command, so that a call's set-up does not wait for control's next look at the ring.
/// Without a lock; where nobody listens a ring is one atomic operation, else the listener's system call, per round with commands.
#[derive(Debug, Default)]
pub struct Bell(AtomicWaker);

impl Bell {
    /// Who is woken by the next [`Bell::ring`], once. Look at the ring of events after this: an answer may have come before it.
    pub fn listen(&self, waker: &Waker) {
        self.0.register(waker);
    }

    /// Wakes whoever listens.
    pub fn ring(&self) {
        self.0.wake();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Rung(AtomicUsize);

    impl Wake for Rung {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    #[test]
    fn a_bell_wakes_its_listener_once_for_each_time_that_it_listens() {
        let (bell, rung) = (Bell::default(), Arc::new(Rung::default()));
        bell.ring();
        bell.listen(&Waker::from(rung.clone()));
        assert_eq!(rung.0.load(Relaxed), 0, "what rang before nobody heard");
        bell.ring();
        bell.ring();
        assert_eq!(rung.0.load(Relaxed), 1);
        bell.listen(&Waker::from(rung.clone()));
        bell.ring();
        assert_eq!(rung.0.load(Relaxed), 2);
    }
}
