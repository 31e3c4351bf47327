//! The engine's parts, and the way of a burst through them.

use std::net::IpAddr;
use std::sync::Arc;

use arrayvec::ArrayVec;
use tandem_codec::Level;
use tandem_codec::transcode;
use tandem_contract::{Clip, ClipId, DropReason, Event, Nanos, SourceLists, Stage, WorkerCounters};
use tandem_packet_io::{BURST_CAPACITY, Burst, PacketBuf};

use crate::addresses::Announcements;
use crate::batch::Batches;
use crate::classify::{Class, Classifier, Datagram};
use crate::config::{ConfigError, EngineConfig};
use crate::defence::Gatekeeper;
use crate::egress::Egress;
use crate::event_queue::EventQueue;
use crate::flow::{Flow, leg_of};
use crate::fork::{FORK_CAPACITY, Fork};
use crate::keys::{AllKeys, Carry};
use crate::links::{LinkIndex, Links};
use crate::neighbours::{Neighbours, announce_address};
use crate::noise::Noise;
use crate::pipeline::Pipeline;
use crate::playback::Playback;
use crate::port_table::{PortTable, StreamIndex};
use crate::rate_limit::RateLimit;
use crate::reorder::Windows;
use crate::rtp_path::Arrival;
use crate::srtp_path::Contexts;
use crate::stream::{Rare, Stream};
use crate::transcode::Pair;

/// Unasked events that can wait to be polled.
const EVENT_CAPACITY: usize = 1024;
/// Echo requests answered per second and worker.
const ECHO_REPLIES_PER_SECOND: u32 = 1000;
/// How often neighbours are looked after.
const NEIGHBOUR_TICK_NS: u64 = 100_000_000;
/// Calls of [`Engine::on_timeout`] in which the whole flow table is looked through once.
const TICKS_PER_SWEEP: usize = 1000;

/// Where a burst comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The device, now.
    Device,
    /// Another worker, which received it earlier.
    Worker {
        /// When the oldest frame of the burst was received.
        received_at: Nanos,
    },
}

/// One core's worth of media. The crate's page says how to drive it.
pub struct Engine<B: PacketBuf> {
    pub(crate) classifier: Classifier,
    pub(crate) links: Links,
    pub(crate) worker: tandem_contract::WorkerId,
    pub(crate) workers: u16,
    pub(crate) codec_level: Level,
    media_timeout_ms: u32,
    first_packet_timeout_ms: u32,
    gatekeeper: Gatekeeper,
    /// RTP packets a second that a leg accepts.
    pub(crate) flow_budget: u32,
    pub(crate) half_open_flows: u32,
    pub(crate) report_interval_ms: u32,
    pub(crate) ports: PortTable,
    pub(crate) flows: Box<[Option<Flow>]>,
    /// Two per flow: what leg A receives, what leg B receives.
    pub(crate) streams: Box<[Stream]>,
    /// The rest of each stream.
    pub(crate) rare: Box<[Rare]>,
    pub(crate) batches: Batches<B>,
    /// Codec states that no stream has.
    pub(crate) pipelines: Vec<Box<Pipeline>>,
    pub(crate) keys: AllKeys,
    pub(crate) windows: Windows<Arrival<B>>,
    /// Memory for SRTP that no leg has.
    #[expect(clippy::vec_box, reason = "a context moves to its stream and back as a pointer")]
    pub(crate) srtp_contexts: Vec<Box<Contexts>>,
    pub(crate) clips: [Option<Arc<Clip>>; ClipId::COUNT],
    /// What is being played now, in no order; one for each stream at most.
    pub(crate) playbacks: Vec<Playback>,
    /// Noise that is being made now, in no order.
    pub(crate) noises: Vec<Noise>,
    pub(crate) forks: Box<[Option<Fork>]>,
    pub(crate) neighbours: Neighbours<B>,
    pub(crate) events: EventQueue,
    pub(crate) counters: Arc<WorkerCounters>,
    /// Another worker handed over the burst that is being looked at.
    pub(crate) handed_over: bool,
    pub(crate) echo_limit: RateLimit,
    pub(crate) announcements: Announcements,
    neighbours_due: Nanos,
    sweep_at: usize,
}

impl<B: PacketBuf> Engine<B> {
    /// Builds an engine and all memory it will ever use.
    ///
    /// # Errors
    /// [`ConfigError`] says which value is impossible.
    pub fn new(config: &EngineConfig, counters: Arc<WorkerCounters>) -> Result<Self, ConfigError> {
        config.check()?;
        let capacity = config.flow_capacity as usize;
        let addresses = config
            .ports
            .iter()
            .zip(0..)
            .flat_map(|(port, number)| port.addresses.iter().map(move |local| (LinkIndex(number), *local)));
        let unused = Pair {
            from: transcode::Codec::Pcmu,
            to: transcode::Codec::Pcmu,
            silence: transcode::Silence::Described,
            keys: Carry::AsTheyAre,
        };
        Ok(Self {
            classifier: Classifier::new(config),
            links: Links::new(config),
            worker: config.worker,
            workers: config.workers,
            codec_level: config.codec_level,
            media_timeout_ms: config.media_timeout_ms,
            first_packet_timeout_ms: config.first_packet_timeout_ms,
            gatekeeper: Gatekeeper::new(&config.defence),
            flow_budget: config.defence.flow_packets_per_second,
            half_open_flows: config.defence.half_open_flows,
            report_interval_ms: config.report_interval_ms,
            ports: PortTable::new(addresses, &config.rtp_ports)?,
            flows: (0..capacity).map(|_| None).collect(),
            streams: (0..capacity * 2).map(|_| Stream::vacant()).collect(),
            rare: (0..capacity * 2).map(|_| Rare::vacant()).collect(),
            batches: Batches::new(u64::from(config.batch_deadline_us) * 1000),
            pipelines: (0..config.transcoder_capacity).map(|_| Box::new(Pipeline::new(unused, 20))).collect(),
            keys: AllKeys::new(config.transcoder_capacity),
            windows: Windows::new(config.transcoder_capacity),
            srtp_contexts: (0..config.srtp_capacity).map(|_| Box::default()).collect(),
            clips: [const { None }; ClipId::COUNT],
            playbacks: Vec::with_capacity(capacity * 2),
            noises: Vec::with_capacity(config.transcoder_capacity as usize),
            forks: (0..FORK_CAPACITY.min(capacity * 2)).map(|_| None).collect(),
            neighbours: Neighbours::new(config.neighbour_capacity),
            events: EventQueue::new(EVENT_CAPACITY),
            counters,
            handed_over: false,
            echo_limit: RateLimit::new(ECHO_REPLIES_PER_SECOND),
            announcements: Announcements::new(),
            neighbours_due: Nanos(0),
            sweep_at: 0,
        })
    }

    /// Tells the link once, when the device runs, which hardware address has our addresses now (RFC 5227 §3,
    /// RFC 4861 §7.2.6). One worker does it for all.
    pub fn on_start<E: Egress<Buf = B>>(&mut self, egress: &mut E) {
        if self.worker != tandem_contract::WorkerId(0) {
            return;
        }
        for (link, address) in self.ports.local_addresses() {
            announce_address(address, self.links.of(link), &self.counters, egress);
        }
    }

    /// Takes the frames of one burst, which is empty afterwards.
    #[inline]
    pub fn on_burst<E: Egress<Buf = B>>(&mut self, now: Nanos, origin: Origin, burst: &mut Burst<B>, egress: &mut E) {
        let received_at = match origin {
            Origin::Device => now,
            Origin::Worker { received_at } => received_at,
        };
        let from_worker = origin != Origin::Device;
        self.handed_over = from_worker;
        let mut datagrams = ArrayVec::<(B, Datagram), BURST_CAPACITY>::new();
        for frame in burst.drain(..) {
            if let Some(datagram) = Classifier::ordinary(&frame, &self.links, &self.ports) {
                let octets = frame.data();
                // The closure has a copy, so that the datagram itself stays in registers.
                match self.gatekeeper.admit(now, move || datagram.source(octets).ip()) {
                    Ok(()) => datagrams.push((frame, datagram)),
                    Err(reason) => self.drop_datagram(datagram.stream, reason),
                }
                continue;
            }
            match self.classifier.classify(&frame, &self.links, &self.ports, from_worker) {
                Class::Datagram(datagram) => match self.gatekeeper.admit(now, || datagram.source(frame.data()).ip()) {
                    Ok(()) => datagrams.push((frame, datagram)),
                    Err(reason) => self.drop_datagram(datagram.stream, reason),
                },
                Class::Foreign(owner) => egress.hand_over(owner, frame),
                Class::Arp(arp) => self.on_arp(now, &arp, frame, egress),
                Class::Icmp(at) => self.on_icmp(now, at, frame, egress),
                Class::Icmpv6(at) => self.on_icmpv6(now, at, frame, egress),
                Class::Drop(reason) => self.counters.dropped(reason),
            }
        }
        self.fetch(&datagrams);
        egress.stage_ended(Stage::Classify);
        for (frame, datagram) in datagrams.drain(..) {
            let stream = datagram.stream;
            if let Err(reason) = self.on_datagram(now, received_at, frame, datagram, egress) {
                self.drop_datagram(stream, reason);
            }
        }
        egress.stage_ended(Stage::Relay);
    }

    /// The end of a round: batches that wait for more frames run when their time is up, and at once when the core is idle,
    /// which it is when this round brought nothing. Says whether any was due.
    #[inline]
    pub fn on_round_end<E: Egress<Buf = B>>(&mut self, now: Nanos, idle: bool, egress: &mut E) -> bool {
        let due = self.batches.is_due(now, idle);
        if due {
            self.run_due_batches(now, idle, egress);
            egress.stage_ended(Stage::Relay);
        }
        due
    }

    /// Reads a little of each part of each stream, so that the cache misses of a burst overlap rather than queue up.
    #[inline(always)]
    fn fetch(&self, datagrams: &[(B, Datagram)]) {
        let (mut touched, mut is_any_decoded) = (0, false);
        for (_, datagram) in datagrams {
            let stream = &self.streams[datagram.stream.at()];
            touched ^= stream.touch();
            is_any_decoded |= stream.is_decoded();
        }
        std::hint::black_box(touched);
        if is_any_decoded {
            self.fetch_decoded(datagrams);
        }
    }

    /// The same for what only streams that are decoded have, and where it is says a part that may have to be fetched itself.
    fn fetch_decoded(&self, datagrams: &[(B, Datagram)]) {
        let decoded = || {
            let streams = datagrams.iter().map(|(_, datagram)| datagram.stream.at());
            streams.filter(|at| self.streams[*at].is_decoded()).map(|at| &self.rare[at])
        };
        std::hint::black_box(decoded().fold(0, |touched, rare| touched ^ rare.packets_dropped));
        let touched = decoded().fold(0, |touched, rare| {
            let window = rare.window.map_or(0, |window| self.windows.touch(window));
            let pipeline = rare.pipeline.as_ref().map_or(0, |pipeline| pipeline.touch());
            touched ^ window ^ pipeline
        });
        std::hint::black_box(touched);
    }

    /// Time passes: clips are played, neighbours are asked, a part of the flow table is looked through for silence.
    pub fn on_timeout<E: Egress<Buf = B>>(&mut self, now: Nanos, egress: &mut E) {
        self.run_playbacks(now, egress);
        self.run_noises(now, egress);
        if now >= self.neighbours_due {
            self.neighbours_due = now.plus(NEIGHBOUR_TICK_NS);
            self.neighbours.on_timeout(now, &self.links, &self.counters, egress);
            self.repeat_announcements(now, egress);
        }
        self.release_overdue(now, egress);
        for _ in 0..self.streams.len().div_ceil(TICKS_PER_SWEEP) {
            self.sweep_at = (self.sweep_at + 1) % self.streams.len();
            let index = StreamIndex(self.sweep_at as u32);
            let (slot, leg) = leg_of(index);
            if let Some(flow) = self.flows[slot as usize].as_ref().filter(|flow| !flow.stands_by) {
                let stream = &mut self.streams[self.sweep_at];
                let started = stream.packets_received > 0;
                let timeout_ms = if started { self.media_timeout_ms } else { self.first_packet_timeout_ms };
                stream.on_timeout(now, timeout_ms, flow.id, leg, &mut self.events);
                self.report(now, index, egress);
                self.look_after_address(now, index, egress);
            }
        }
    }

    /// From now on these sources may send to legs. Whoever gives the lists keeps the old ones until the engine has let go of
    /// them.
    pub fn on_source_lists(&mut self, lists: Arc<SourceLists>) {
        self.gatekeeper.set_lists(lists);
    }

    /// Whether an address is ours now.
    pub fn has_address(&self, address: IpAddr) -> bool {
        self.ports.address(address).is_some()
    }

    /// The next event that nobody asked for.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop()
    }

    /// Counts a frame that ends here under its reason.
    pub(crate) fn drop_frame(&self, reason: DropReason) {
        self.counters.dropped(reason);
    }
}
