//! Control's ends of the worker rings.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll};

use tandem_contract::{Bell, ClipLoad, Command, Event, SourceLists, WorkerCounters, WorkerId};

/// Control's side of one worker: a ring each way, and the counters that the worker writes.
#[derive(Debug)]
pub struct WorkerLink {
    /// Which worker.
    pub worker: WorkerId,
    /// To it.
    pub commands: rtrb::Producer<Command>,
    /// Clips to it.
    pub clips: rtrb::Producer<ClipLoad>,
    /// Lists of sources to it.
    pub sources: rtrb::Producer<Arc<SourceLists>>,
    /// From it.
    pub events: rtrb::Consumer<Event>,
    /// Rung when it has answered a command.
    pub bell: Arc<Bell>,
    /// What it counts.
    pub counters: Arc<WorkerCounters>,
}

/// All workers, their rings, and whether they still poll.
pub(crate) struct Workers {
    each: Vec<Worker>,
    /// Lists that were given out, so that no worker is the one to free them.
    sources: Vec<Arc<SourceLists>>,
}

struct Worker {
    link: WorkerLink,
    /// Commands that found the ring full, in order.
    waiting: VecDeque<Command>,
    /// Commands on the ring that the worker has not answered.
    unanswered: usize,
    polls_seen: u64,
    stuck: bool,
}

/// What a look at the workers' poll counters found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Watch {
    /// The worker has not polled since the last look.
    Stuck(WorkerId),
    /// It polls again.
    Recovered(WorkerId),
}

impl Workers {
    pub(crate) fn new(links: Vec<WorkerLink>) -> Self {
        let each = links
            .into_iter()
            .map(|link| Worker { link, waiting: VecDeque::new(), unanswered: 0, polls_seen: 0, stuck: false })
            .collect();
        Self { each, sources: Vec::new() }
    }

    /// Puts a command on its worker's ring, or behind those that wait for room.
    pub(crate) fn send(&mut self, worker: WorkerId, command: Command) {
        if let Some(worker) = self.each.iter_mut().find(|one| one.link.worker == worker) {
            worker.waiting.push_back(command);
            worker.push();
        }
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.each.len()
    }

    /// Gives every worker the same command.
    pub(crate) fn send_all(&mut self, command: Command) {
        for worker in &mut self.each {
            worker.waiting.push_back(command);
            worker.push();
        }
    }

    /// Puts a clip on its worker's ring, before the commands that speak of it; `false` where the ring is full.
    pub(crate) fn load(&mut self, worker: WorkerId, load: ClipLoad) -> bool {
        let one = self.each.iter_mut().find(|one| one.link.worker == worker);
        one.is_some_and(|one| one.link.clips.push(load).is_ok())
    }

    /// Gives every worker other lists of sources; `false` where one has not taken the last ones yet.
    pub(crate) fn set_sources(&mut self, lists: SourceLists) -> bool {
        self.sources.retain(|lists| Arc::strong_count(lists) > 1);
        let lists = Arc::new(lists);
        self.sources.push(Arc::clone(&lists));
        let mut has_room = true;
        for one in &mut self.each {
            has_room &= one.link.sources.push(Arc::clone(&lists)).is_ok();
        }
        has_room
    }

    /// Every worker.
    pub(crate) fn ids(&self) -> Vec<WorkerId> {
        self.each.iter().map(|one| one.link.worker).collect()
    }

    /// The next event of any worker. Also moves commands that waited for room.
    pub(crate) fn next_event(&mut self) -> Option<(WorkerId, Event)> {
        self.each.iter_mut().find_map(|worker| {
            worker.push();
            let event = worker.link.events.pop().ok()?;
            if is_answer(&event) {
                worker.unanswered = worker.unanswered.saturating_sub(1);
            }
            Some((worker.link.worker, event))
        })
    }

    /// Whether an answer is expected, so that the rings want to be looked at often.
    pub(crate) fn is_busy(&self) -> bool {
        self.each.iter().any(|worker| worker.unanswered > 0 || !worker.waiting.is_empty())
    }

    /// Ready when a worker has answered since its ring was last emptied.
    pub(crate) fn poll_answered(&self, context: &Context<'_>) -> Poll<()> {
        for worker in self.each.iter().filter(|worker| worker.unanswered > 0) {
            worker.link.bell.listen(context.waker());
            // Looked at after listening: whatever comes later rings.
            if !worker.link.events.is_empty() {
                return Poll::Ready(());
            }
        }
        Poll::Pending
    }

    /// Looks whether each worker has polled since the last look.
    pub(crate) fn watch(&mut self) -> Vec<Watch> {
        let mut found = Vec::new();
        for worker in &mut self.each {
            let polls = worker.link.counters.polls.get();
            let stuck = polls == worker.polls_seen;
            worker.polls_seen = polls;
            if stuck != worker.stuck {
                worker.stuck = stuck;
                let id = worker.link.worker;
                found.push(if stuck { Watch::Stuck(id) } else { Watch::Recovered(id) });
            }
        }
        found
    }

    /// Workers that did not poll between the last two looks.
    pub(crate) fn stuck(&self) -> impl Iterator<Item = WorkerId> {
        self.each.iter().filter(|worker| worker.stuck).map(|worker| worker.link.worker)
    }
}

impl Worker {
    fn push(&mut self) {
        while let Some(command) = self.waiting.pop_front() {
            match self.link.commands.push(command) {
                Ok(()) => self.unanswered += 1,
                Err(rtrb::PushError::Full(command)) => {
                    self.waiting.push_front(command);
                    return;
                }
            }
        }
    }
}

/// Whether the event answers a command: each command has exactly one answer.
const fn is_answer(event: &Event) -> bool {
    match event {
        Event::Installed { .. }
        | Event::Updated { .. }
        | Event::Refused { .. }
        | Event::Removed { .. }
        | Event::Counters { .. }
        | Event::Position { .. }
        | Event::FunctionDone { .. }
        | Event::AddressAdded { .. }
        | Event::AddressAnnounced { .. }
        | Event::AddressRemoved { .. }
        | Event::AddressRefused { .. } => true,
        Event::MediaStarted { .. }
        | Event::MediaTimeout { .. }
        | Event::TelephoneEvent { .. }
        | Event::PlaybackEnded { .. }
        | Event::AddressLost { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
    use std::task::{Wake, Waker};

    use super::*;
    use tandem_contract::{FlowId, LegCounters, LegSide};

    fn link(ring: usize) -> (Workers, rtrb::Consumer<Command>, rtrb::Producer<Event>, Arc<WorkerCounters>) {
        let (commands, commands_out) = rtrb::RingBuffer::new(ring);
        let (events_in, events) = rtrb::RingBuffer::new(ring);
        let counters = Arc::new(WorkerCounters::default());
        let (clips, _) = rtrb::RingBuffer::new(1);
        let (sources, _) = rtrb::RingBuffer::new(1);
        let (bell, counted) = (Arc::default(), counters.clone());
        let link = WorkerLink { worker: WorkerId(3), commands, clips, sources, events, bell, counters: counted };
        (Workers::new(vec![link]), commands_out, events_in, counters)
    }

    fn flow(slot: u32) -> FlowId {
        FlowId { slot, generation: 0 }
    }

    #[test]
    fn commands_that_find_the_ring_full_follow_in_order() {
        let (mut workers, mut commands, mut events, _) = link(2);
        for slot in 0..5 {
            workers.send(WorkerId(3), Command::ReadFlow { flow: flow(slot) });
        }
        for slot in 0..5 {
            assert_eq!(commands.pop(), Ok(Command::ReadFlow { flow: flow(slot) }));
            events.push(Event::Counters { flow: flow(slot), counters: [LegCounters::default(); 2] }).unwrap();
            assert!(workers.is_busy());
            assert_eq!(workers.next_event().and_then(|(_, event)| event.flow()), Some(flow(slot)));
        }
        assert!(!workers.is_busy());
        assert!(workers.next_event().is_none());
    }

    #[test]
    fn an_event_that_answers_nothing_leaves_the_answer_outstanding() {
        let (mut workers, _commands, mut events, _) = link(4);
        workers.send(WorkerId(3), Command::RemoveFlow { flow: flow(0) });
        events.push(Event::MediaTimeout { flow: flow(0), leg: LegSide::A, idle_ms: 1 }).unwrap();
        assert!(workers.next_event().is_some());
        assert!(workers.is_busy());
        events.push(Event::Removed { flow: flow(0), counters: [LegCounters::default(); 2] }).unwrap();
        assert!(workers.next_event().is_some());
        assert!(!workers.is_busy());
    }

    #[test]
    fn an_answer_wakes_whoever_waits_for_it_and_is_not_waited_for_once_it_is_there() {
        let (mut workers, mut commands, mut events, _) = link(4);
        let bell = workers.each[0].link.bell.clone();
        let rung = Arc::new(Rung::default());
        let waker = Waker::from(rung.clone());
        let context = Context::from_waker(&waker);
        bell.ring();
        assert!(workers.poll_answered(&context).is_pending(), "nothing is expected");
        workers.send(WorkerId(3), Command::RemoveFlow { flow: flow(0) });
        assert!(workers.poll_answered(&context).is_pending());
        commands.pop().unwrap();
        events.push(Event::Removed { flow: flow(0), counters: [LegCounters::default(); 2] }).unwrap();
        bell.ring();
        assert!(rung.0.load(Relaxed));
        assert!(workers.poll_answered(&context).is_ready());
        assert!(workers.next_event().is_some());
        assert!(workers.poll_answered(&context).is_pending());
    }

    #[derive(Default)]
    struct Rung(AtomicBool);

    impl Wake for Rung {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Relaxed);
        }
    }

    #[test]
    fn a_worker_whose_polls_stand_still_is_stuck_until_they_move() {
        let (mut workers, _commands, _events, counters) = link(4);
        counters.polls.add(1);
        assert_eq!(workers.watch(), []);
        assert_eq!(workers.watch(), [Watch::Stuck(WorkerId(3))]);
        assert_eq!(workers.watch(), []);
        assert_eq!(workers.stuck().collect::<Vec<_>>(), [WorkerId(3)]);
        counters.polls.add(1);
        assert_eq!(workers.watch(), [Watch::Recovered(WorkerId(3))]);
        assert_eq!(workers.stuck().count(), 0);
    }
}
