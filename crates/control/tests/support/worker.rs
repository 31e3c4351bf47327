//! A worker that answers commands and carries nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

use tandem_contract::{Bell, Command, Event, LegCounters, LegPosition, Refusal, WorkerCounters, WorkerId};
use tandem_control::WorkerLink;

/// A thread at the other end of the rings. It ends when dropped.
pub struct InMemoryWorker {
    pub counters: Arc<WorkerCounters>,
    /// While set, it neither polls nor answers.
    pub stuck: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

pub fn pair() -> (WorkerLink, InMemoryWorker) {
    let (commands, mut incoming) = rtrb::RingBuffer::new(16);
    let (mut outgoing, events) = rtrb::RingBuffer::new(16);
    let counters = Arc::new(WorkerCounters::default());
    let bell = Arc::new(Bell::default());
    let (stuck, stop) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let thread = {
        let (counters, bell, stuck, stop) = (counters.clone(), bell.clone(), stuck.clone(), stop.clone());
        std::thread::spawn(move || {
            while !stop.load(Relaxed) {
                std::thread::sleep(Duration::from_micros(200));
                if stuck.load(Relaxed) {
                    continue;
                }
                counters.polls.add(1);
                // As a worker does: no more commands than there is room for their answers.
                while !outgoing.is_full()
                    && let Ok(command) = incoming.pop()
                {
                    outgoing.push(answer(command)).expect("there is room");
                    bell.ring();
                }
            }
        })
    };
    let (clips, _) = rtrb::RingBuffer::new(64);
    let (sources, _) = rtrb::RingBuffer::new(4);
    let link = WorkerLink { worker: WorkerId(0), commands, clips, sources, events, bell, counters: counters.clone() };
    (link, InMemoryWorker { counters, stuck, stop, thread: Some(thread) })
}

fn answer(command: Command) -> Event {
    let counters = [LegCounters { packets_received: 50, packets_sent: 49, ..LegCounters::default() }; 2];
    match command {
        Command::InstallFlow { flow, epoch, .. }
        | Command::PrepareFlow { flow, epoch, .. }
        | Command::ResumeFlow { flow, epoch, .. } => Event::Installed { flow, epoch },
        Command::UpdateFlow { flow, epoch, .. } => Event::Updated { flow, epoch },
        Command::RemoveFlow { flow } | Command::AbandonFlow { flow } => Event::Removed { flow, counters },
        Command::ReadPosition { flow } => {
            Event::Position { flow, legs: [LegPosition { counters: counters[0], ..LegPosition::default() }; 2] }
        }
        Command::ReadFlow { flow } => Event::Counters { flow, counters },
        Command::Function { flow, request, .. } => Event::FunctionDone { flow, request, outcome: Ok(()) },
        Command::AddAddress { request, .. } => Event::AddressAdded { request },
        Command::AnnounceAddress { request, .. } => Event::AddressAnnounced { request },
        Command::RemoveAddress { request, address } if address.is_ipv4() => Event::AddressRemoved { request },
        Command::RemoveAddress { request, .. } => {
            Event::AddressRefused { request, reason: Refusal::LocalAddressNotOurs }
        }
    }
}

impl Drop for InMemoryWorker {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
