//! What workers do with a call's media beside passing it on, as it is asked for over HTTP, and the clips they play.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tandem_contract::{Clip, ClipId, ClipLoad, Command, FlowId, ForkTarget, Function, LegSide, Refusal, WorkerId};
use tokio::sync::oneshot;

use crate::start::random_seed;
use crate::workers::Workers;

/// What is asked of a call's worker.
#[derive(Debug)]
pub(crate) enum Asked {
    /// To let a leg hear a clip.
    Play { leg: LegSide, clip: Arc<Clip>, repeat: bool },
    /// To copy both legs' packets to the recorder, which has these files for them.
    Record { files: Vec<String> },
    /// Whatever needs nothing beside.
    Plain(Function),
}

/// Who waits for whether it was done.
pub(crate) type FunctionAnswer = oneshot::Sender<Result<(), Denied>>;

/// A copy to `remote`, under numbers of its own.
pub(crate) fn fork_to(remote: SocketAddr) -> io::Result<ForkTarget> {
    let random = random_seed()?;
    let word = |at: usize| u32::from_ne_bytes([random[at], random[at + 1], random[at + 2], random[at + 3]]);
    let (first_sequence, first_timestamp) = (word(4) as u16 & 0x7fff, word(8));
    Ok(ForkTarget { remote, ssrc: word(0), first_sequence, first_timestamp, key: None })
}

/// Why it was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Denied {
    #[error("there is no such call")]
    NoCall,
    #[error("its worker plays {} clips already", ClipId::COUNT - 1)]
    NoPlaceForClip,
    #[error("{}", refusal(*.0))]
    Refused(Refusal),
}

fn refusal(refusal: Refusal) -> String {
    match refusal {
        Refusal::UnknownFlow => "the call is over, or not yet begun".to_owned(),
        Refusal::LegNotReady => "the leg has agreed on no codec yet".to_owned(),
        Refusal::ClipUnavailable => "the leg speaks a codec that clips cannot be played in".to_owned(),
        Refusal::Unreachable => "no way to this address from the leg's port".to_owned(),
        Refusal::NoTelephoneEvents => "the leg has no telephone events".to_owned(),
        Refusal::FunctionsExhausted => "the worker has no place left for it".to_owned(),
        other => format!("the worker refuses: {other:?}"),
    }
}

type Key = (WorkerId, FlowId);

/// Requests under way, and clips that workers have.
#[derive(Debug)]
pub(crate) struct Functions {
    waiting: HashMap<u32, Waiting>,
    /// What is played to whom.
    playing: HashMap<(Key, LegSide), ClipId>,
    /// Clips in workers' tables.
    loaded: Vec<(WorkerId, ClipId, Arc<Clip>)>,
    /// Clips that left the tables. A worker may still play one, and must not be the last to let go of it.
    kept: Vec<Arc<Clip>>,
    next_request: u32,
}

#[derive(Debug)]
struct Waiting {
    key: Key,
    function: Function,
    answer: FunctionAnswer,
}

impl Functions {
    /// Every worker gets the music on hold.
    pub(crate) fn new(workers: &mut Workers, hold_music: Option<Clip>) -> Self {
        let mut functions = Self {
            waiting: HashMap::new(),
            playing: HashMap::new(),
            loaded: Vec::new(),
            kept: Vec::new(),
            next_request: 0,
        };
        if let Some(clip) = hold_music.map(Arc::new) {
            for worker in workers.ids() {
                functions.load(workers, worker, ClipId::HOLD, &clip);
            }
        }
        functions
    }

    /// Sends the worker what is asked; the answer comes with [`Functions::on_done`].
    pub(crate) fn ask(&mut self, workers: &mut Workers, key: Key, asked: Asked, answer: FunctionAnswer) {
        let (worker, flow) = key;
        let function = match asked {
            Asked::Plain(function) => function,
            Asked::Record { .. } => Function::Record { on: true },
            Asked::Play { leg, clip, repeat } => {
                let id = self.free_place(worker).filter(|id| self.load(workers, worker, *id, &clip));
                let Some(clip) = id else {
                    // Whoever asked may have gone, here and below.
                    let _ = answer.send(Err(Denied::NoPlaceForClip));
                    return;
                };
                Function::Play { leg, clip, repeat }
            }
        };
        let request = self.next_request;
        self.next_request = request.wrapping_add(1);
        self.waiting.insert(request, Waiting { key, function, answer });
        workers.send(worker, Command::Function { flow, request, function });
    }

    /// A worker took a request up, or did not; what it does now, and with which flow.
    pub(crate) fn on_done(
        &mut self,
        workers: &mut Workers,
        request: u32,
        outcome: Result<(), Refusal>,
    ) -> Option<(Key, Function)> {
        let Waiting { key, function, answer } = self.waiting.remove(&request)?;
        let over = match (function, outcome) {
            (Function::Play { leg, clip, .. }, Ok(())) => self.playing.insert((key, leg), clip),
            (Function::Play { clip, .. }, Err(_)) => Some(clip),
            (Function::StopPlaying { leg }, Ok(())) => self.playing.remove(&(key, leg)),
            _ => None,
        };
        if let Some(clip) = over {
            self.unload(workers, key.0, clip);
        }
        let _ = answer.send(outcome.map_err(Denied::Refused));
        outcome.is_ok().then_some((key, function))
    }

    /// A leg has heard a clip to its end.
    pub(crate) fn on_playback_ended(&mut self, workers: &mut Workers, key: Key, leg: LegSide) {
        if let Some(clip) = self.playing.remove(&(key, leg)) {
            self.unload(workers, key.0, clip);
        }
    }

    /// A flow is gone, and all that was done with it.
    pub(crate) fn on_removed(&mut self, workers: &mut Workers, key: Key) {
        for leg in LegSide::BOTH {
            self.on_playback_ended(workers, key, leg);
        }
        self.kept.retain(|clip| Arc::strong_count(clip) > 1);
    }

    fn free_place(&self, worker: WorkerId) -> Option<ClipId> {
        let is_free = |id: &ClipId| !self.loaded.iter().any(|(of, taken, _)| (of, taken) == (&worker, id));
        (1..ClipId::COUNT as u8).map(ClipId).find(is_free)
    }

    fn load(&mut self, workers: &mut Workers, worker: WorkerId, id: ClipId, clip: &Arc<Clip>) -> bool {
        let is_sent = workers.load(worker, ClipLoad { id, clip: Some(Arc::clone(clip)) });
        if is_sent {
            self.loaded.push((worker, id, Arc::clone(clip)));
        }
        is_sent
    }

    fn unload(&mut self, workers: &mut Workers, worker: WorkerId, id: ClipId) {
        // With a full ring the place stays taken.
        if !workers.load(worker, ClipLoad { id, clip: None }) {
            return;
        }
        if let Some(at) = self.loaded.iter().position(|(of, taken, _)| (*of, *taken) == (worker, id)) {
            self.kept.push(self.loaded.swap_remove(at).2);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workers::WorkerLink;
    use tandem_contract::{Event, WorkerCounters};

    type Answer = oneshot::Receiver<Result<(), Denied>>;

    const KEY: Key = (WorkerId(0), FlowId { slot: 1, generation: 1 });

    struct Rig {
        workers: Workers,
        functions: Functions,
        commands: rtrb::Consumer<Command>,
        clips: rtrb::Consumer<ClipLoad>,
        _events: rtrb::Producer<Event>,
    }

    impl Rig {
        fn new() -> Self {
            let (commands, commands_out) = rtrb::RingBuffer::new(64);
            let (events_in, events) = rtrb::RingBuffer::new(64);
            let (clips, clips_out) = rtrb::RingBuffer::new(64);
            let (sources, _) = rtrb::RingBuffer::new(1);
            let counters = Arc::new(WorkerCounters::default());
            let bell = Arc::default();
            let link = WorkerLink { worker: WorkerId(0), commands, clips, sources, events, bell, counters };
            let mut workers = Workers::new(vec![link]);
            let functions = Functions::new(&mut workers, Some(crate::clips::beeps()));
            Self { workers, functions, commands: commands_out, clips: clips_out, _events: events_in }
        }

        fn ask(&mut self, asked: Asked) -> (Answer, Option<(u32, Function)>) {
            let (answer, answered) = oneshot::channel();
            self.functions.ask(&mut self.workers, KEY, asked, answer);
            let command = self.commands.pop().ok().map(|command| match command {
                Command::Function { request, function, .. } => (request, function),
                other => panic!("{other:?}"),
            });
            (answered, command)
        }

        fn play(&mut self) -> Option<ClipId> {
            let clip = Arc::new(crate::clips::beeps());
            let (_, command) = self.ask(Asked::Play { leg: LegSide::A, clip, repeat: false });
            let (request, Function::Play { clip, .. }) = command? else { panic!("it plays") };
            self.functions.on_done(&mut self.workers, request, Ok(()));
            Some(clip)
        }

        /// Places of the worker's table as the clips on the ring change it.
        fn taken(&mut self) -> Vec<(u8, bool)> {
            std::iter::from_fn(|| self.clips.pop().ok()).map(|load| (load.id.0, load.clip.is_some())).collect()
        }
    }

    #[test]
    fn hold_music_goes_to_every_worker_and_a_clip_before_the_command_that_plays_it() {
        let mut rig = Rig::new();
        assert_eq!(rig.taken(), [(0, true)]);
        assert_eq!(rig.play(), Some(ClipId(1)));
        assert_eq!(rig.taken(), [(1, true)]);
        rig.functions.on_playback_ended(&mut rig.workers, KEY, LegSide::A);
        assert_eq!(rig.taken(), [(1, false)], "its place is free again");
        assert_eq!(rig.play(), Some(ClipId(1)));
    }

    #[test]
    fn a_clip_that_replaces_another_frees_its_place_and_so_does_the_end_of_the_call() {
        let mut rig = Rig::new();
        rig.play();
        rig.play();
        assert_eq!(rig.taken(), [(0, true), (1, true), (2, true), (1, false)]);
        rig.functions.on_removed(&mut rig.workers, KEY);
        assert_eq!(rig.taken(), [(2, false)]);
        assert!(rig.functions.playing.is_empty() && rig.functions.waiting.is_empty());
    }

    #[test]
    fn what_a_worker_refuses_is_told_and_leaves_nothing_behind() {
        let mut rig = Rig::new();
        let clip = Arc::new(crate::clips::beeps());
        let (mut answered, command) = rig.ask(Asked::Play { leg: LegSide::B, clip, repeat: true });
        let (request, _) = command.unwrap();
        rig.functions.on_done(&mut rig.workers, request, Err(Refusal::LegNotReady));
        assert_eq!(answered.try_recv(), Ok(Err(Denied::Refused(Refusal::LegNotReady))));
        assert_eq!(rig.taken(), [(0, true), (1, true), (1, false)]);
    }

    #[test]
    fn a_clip_is_let_go_of_only_after_the_worker_has() {
        let mut rig = Rig::new();
        rig.play();
        let worker_plays: Vec<ClipLoad> = std::iter::from_fn(|| rig.clips.pop().ok()).collect();
        rig.functions.on_removed(&mut rig.workers, KEY);
        assert_eq!(rig.functions.kept.len(), 1);
        drop(worker_plays);
        rig.functions.on_removed(&mut rig.workers, KEY);
        assert_eq!(rig.functions.kept.len(), 0);
    }
}
