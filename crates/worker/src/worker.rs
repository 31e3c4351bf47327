use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use rtrb::{Consumer, Producer};
use tandem_contract::{Bell, ClipLoad, Command, Event, Fence, Nanos, SourceLists, Stage, StopWatch, WorkerCounters};
use tandem_media::{Egress, Engine, Origin};
use tandem_packet_io::{Burst, PacketIo};

use crate::clock::{Clock, TscClock};
use crate::functions::{FunctionEnds, Tap};
use crate::handover::{Handover, HandoverEnds};
use crate::port::Port;
use crate::relief::Relief;
use crate::stages::Laps;

/// Commands carried out in one round at most.
pub const COMMANDS_PER_POLL: usize = 16;
/// Time between two calls of the engine's timers.
const TICK_NS: u64 = 1_000_000;

/// What a worker is made of.
pub struct Parts<Io: PacketIo> {
    /// One receive and one send queue of a device.
    pub io: Io,
    /// The media of this core, built over the same counters.
    pub engine: Engine<Io::Buf>,
    /// From control.
    pub commands: Consumer<Command>,
    /// To control. Every command is answered here; while there is no room, no command is taken.
    pub events: Producer<Event>,
    /// From and to the port's other workers.
    pub handover: HandoverEnds<Io::Buf>,
    /// Readable by anyone.
    pub counters: Arc<WorkerCounters>,
}

/// One core's poll loop.
pub struct Worker<Io: PacketIo> {
    port: Port<Io>,
    engine: Engine<Io::Buf>,
    commands: Consumer<Command>,
    events: Producer<Event>,
    bell: Option<Arc<Bell>>,
    clips: Option<Consumer<ClipLoad>>,
    sources: Option<Consumer<Arc<SourceLists>>>,
    from: Box<[Consumer<Handover<Io::Buf>>]>,
    counters: Arc<WorkerCounters>,
    burst: Burst<Io::Buf>,
    started: bool,
    tick_due: Nanos,
    last_poll: Nanos,
    last_was_busy: bool,
    shares_core: bool,
    stops: StopWatch,
    relief: Relief<Io::Buf>,
}

impl<Io: PacketIo> Worker<Io> {
    /// A worker that has not polled yet.
    pub fn new(parts: Parts<Io>) -> Self {
        let Parts { io, engine, commands, events, handover, counters } = parts;
        Self {
            port: Port::new(io, handover.to, Arc::clone(&counters)),
            engine,
            commands,
            events,
            bell: None,
            clips: None,
            sources: None,
            from: handover.from,
            counters,
            burst: Burst::new(),
            started: false,
            tick_due: Nanos(0),
            last_poll: Nanos(0),
            last_was_busy: false,
            shares_core: false,
            stops: StopWatch::default(),
            relief: Relief::new(),
        }
    }

    /// Gives it clips to play and a recorder to copy packets to. Without them it has neither.
    #[must_use]
    pub fn with_functions(mut self, ends: FunctionEnds) -> Self {
        self.clips = Some(ends.clips);
        self.sources = Some(ends.sources);
        self.port.tap = Some(Tap::new(ends.taps));
        self
    }

    /// Gives it a bell that it rings when it has answered commands.
    #[must_use]
    pub fn with_bell(mut self, bell: Arc<Bell>) -> Self {
        self.bell = Some(bell);
        self
    }

    /// Lets it send only while `fence` is open, on the clock that rounds get their time from. What it would send otherwise is
    /// dropped. With [`Worker::with_stage_times`] every burst asks for the time anew, so that only what was already with the
    /// device leaves after the process was stopped; without, the rest of the round does as well.
    #[must_use]
    pub fn with_fence(mut self, fence: Arc<Fence>) -> Self {
        self.port.fence = Some(fence);
        self
    }

    /// Counts where the time goes, by [`Stage`]. The clock has to be the one that rounds get their time from.
    #[must_use]
    pub fn with_stage_times(mut self, clock: TscClock) -> Self {
        self.port.laps = Laps::with(clock);
        self
    }

    /// Lets other threads have the core after a round in which there was nothing to do.
    #[must_use]
    pub fn with_shared_core(mut self, shares: bool) -> Self {
        self.shares_core = shares;
        self
    }

    /// Polls until `stop` is set. What the worker holds goes back to the device when the worker is dropped.
    pub fn run(&mut self, clock: &mut impl Clock, stop: &AtomicBool) {
        while !stop.load(Relaxed) {
            let now = clock.now();
            if let Some(stop) = self.stops.round(self.last_poll, now, || clock.ran_ns()) {
                self.counters.stops.add(stop);
            }
            self.poll(now);
            if self.shares_core && !self.last_was_busy {
                std::thread::yield_now();
            }
        }
    }

    /// One round; the crate's page says what it does, in order.
    #[inline]
    pub fn poll(&mut self, now: Nanos) {
        self.port.time_departures(now);
        if self.last_was_busy {
            self.counters.busy_ns.add(now.since(self.last_poll));
            self.counters.busy_polls.add(1);
        }
        self.port.laps.begin(now, self.last_was_busy, &self.counters);
        self.counters.polls.add(1);
        self.last_poll = now;
        self.port.now = now;
        if !self.started {
            self.started = true;
            self.engine.on_start(&mut self.port);
        }

        self.relief.begin(self.port.resting_since());
        let mut busy = self.take_commands(now);
        let mut received = false;
        for ring in 0..self.from.len() {
            received |= self.take_handover(now, ring);
        }
        self.port.io.rx_burst(&mut self.burst);
        if !self.burst.is_empty() {
            received = true;
            self.port.stage_ended(Stage::Receive);
            self.counters.frames_received.add(self.burst.len() as u64);
            if self.relief.is_resting() {
                let port = &mut self.port;
                self.relief.hold(&mut self.burst, &self.counters, |address, mac| port.announce(address, None, mac));
            }
            self.engine.on_burst(now, Origin::Device, &mut self.burst, &mut self.port);
        }
        busy |= received;
        busy |= self.engine.on_round_end(now, !received || self.relief.is_resting(), &mut self.port);
        if now >= self.tick_due {
            self.tick_due = now.plus(TICK_NS);
            self.on_tick(now);
            busy = true;
        }
        self.give_events();
        self.port.flush();
        if !self.relief.is_idle() {
            self.relieve(now);
        }
        self.last_was_busy = busy;
    }

    /// The node's addresses move to another: what has been taken is sent by now, and what waits follows them.
    #[cold]
    fn relieve(&mut self, now: Nanos) {
        if self.relief.finishes() {
            self.port.note_rested();
        }
        self.relief.pass_on(&mut self.burst);
        self.port.pass_on(&mut self.burst);
        let rests = self.relief.is_resting();
        if self.port.takes_back(rests) {
            let engine = &self.engine;
            self.relief.take_back(&mut self.burst, |address| engine.has_address(address));
        }
        if !self.burst.is_empty() {
            self.engine.on_burst(now, Origin::Device, &mut self.burst, &mut self.port);
        } else if !rests {
            self.relief.give_up(&self.counters);
        }
    }

    fn on_tick(&mut self, now: Nanos) {
        self.take_clips();
        while let Some(lists) = self.sources.as_mut().and_then(|sources| sources.pop().ok()) {
            self.engine.on_source_lists(lists);
        }
        self.engine.on_timeout(now, &mut self.port);
        let counters = &self.counters;
        counters.stops.clock_shows(now);
        counters.commands_ring.observe(self.commands.slots());
        counters.events_ring.observe(self.events.buffer().capacity() - self.events.slots());
        counters.handover_ring.observe(self.from.iter().map(Consumer::slots).sum());
        self.port.stage_ended(Stage::Timers);
    }

    fn take_commands(&mut self, now: Nanos) -> bool {
        if self.commands.is_empty() {
            return false;
        }
        let room = self.events.slots().min(COMMANDS_PER_POLL);
        for _ in 0..room {
            let Ok(command) = self.commands.pop() else {
                break;
            };
            // A clip that a command speaks of was sent before it.
            self.take_clips();
            let answer = self.engine.on_command(now, &command, &mut self.port);
            // There was room, and nobody else writes to this ring.
            let answered = self.events.push(answer);
            debug_assert!(answered.is_ok());
        }
        if room > 0 {
            if let Some(bell) = &self.bell {
                bell.ring();
            }
            self.port.stage_ended(Stage::Commands);
        }
        room > 0
    }

    fn take_clips(&mut self) {
        while let Some(ClipLoad { id, clip }) = self.clips.as_mut().and_then(|clips| clips.pop().ok()) {
            self.engine.on_clip(id, clip);
        }
    }

    /// One burst at most from one other worker.
    fn take_handover(&mut self, now: Nanos, ring: usize) -> bool {
        let mut oldest = now;
        for _ in 0..self.burst.capacity() {
            match self.from[ring].pop() {
                Ok(Handover::Frame { frame, received_at }) => {
                    oldest = oldest.min(received_at);
                    self.burst.push(frame);
                }
                Ok(Handover::Neighbour { address, port, mac }) => {
                    if self.relief.is_resting() {
                        self.relief.note(address, mac);
                    }
                    self.engine.on_neighbour(now, (address, port), mac, &mut self.port);
                }
                Err(_) => break,
            }
        }
        if self.burst.is_empty() {
            return false;
        }
        self.port.stage_ended(Stage::Receive);
        self.counters.handed_in.add(self.burst.len() as u64);
        self.engine.on_burst(now, Origin::Worker { received_at: oldest }, &mut self.burst, &mut self.port);
        true
    }

    fn give_events(&mut self) {
        while !self.events.is_full() {
            let Some(event) = self.engine.poll_event() else {
                return;
            };
            if self.events.push(event).is_err() {
                return;
            }
        }
    }
}
