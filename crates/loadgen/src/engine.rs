//! One run: everything that is sent, everything that comes back, and what came of it.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddrV4};

use tandem_codec::Level;
use tandem_contract::{Nanos, StopWatch};
use tandem_packet_io::{BURST_CAPACITY, Burst, PacketBuf, PacketIo};
use tandem_wire::ethernet::MacAddress;

use arrayvec::ArrayVec;

use crate::plan::Plan;
use crate::receiver::{self, Receiver};
use crate::sender::{Departing, Sender};
use crate::timeline::Timeline;
use crate::track::Tracks;
use crate::{
    CallCounts, DirectionCounts, Latency, LoadError, LoadOutcome, LoadSpec, Progress, RemoteLeg, SourceUse, VoidReason,
    neighbour,
};

/// How long after the last packet what comes still counts.
const LINGER_NS: u64 = 500_000_000;
/// Late packets that a run may have, as a share of all.
const LATE_SHARE: f64 = 0.001;
/// No run is given up before so much of it has been measured.
const GIVE_UP_AFTER_NS: u64 = 1_500_000_000;
/// What left so recently may still be under way.
const UNDER_WAY_NS: u64 = 100_000_000;
/// A source that is so far behind its schedule does not catch up: it, or the gateway whose ring it fills, is at its end.
const HOPELESSLY_BEHIND_NS: u64 = 300_000_000;
/// How busy the source may be.
const BUSY_LIMIT: f64 = 0.98;

/// What the engine must know of the port it sends through.
#[derive(Clone, Debug)]
pub struct EnginePort {
    /// Its hardware address.
    pub mac: MacAddress,
    /// Hardware addresses by the address that is sent to.
    pub macs: HashMap<Ipv4Addr, MacAddress>,
    /// Packets that may wait to be received; more are lost.
    pub receive_room: u32,
    /// A packet that leaves so much later than its time is late, in nanoseconds.
    pub lateness_ns: u64,
}

/// One run of the source, without a clock or a device of its own: see [`crate::drive`] for who drives it.
pub struct Engine<B> {
    spec: LoadSpec,
    calls: Vec<[u32; 2]>,
    addresses: Vec<Ipv4Addr>,
    port: EnginePort,
    tracks: Tracks,
    sender: Sender,
    receiver: Receiver,
    out: Burst<B>,
    departing: ArrayVec<Departing, BURST_CAPACITY>,
    /// Frames at the front of `out` that the port has refused before, and how often it refused one for the first time.
    kept: usize,
    held_up: u64,
    ended: Option<Nanos>,
    interrupted: bool,
    given_up: bool,
    polled: Nanos,
    busy_ns: u64,
    overruns: u64,
    second: Second,
    stops: StopWatch,
    timeline: Timeline,
}

/// The beginning of the second that the next progress tells of.
#[derive(Clone, Copy, Debug, Default)]
struct Second {
    at: Nanos,
    sent: u64,
    received: u64,
    busy_ns: u64,
}

impl<B: PacketBuf> Engine<B> {
    /// Makes everything that a run sends and expects. `remotes` says where the legs of each planned call send to.
    ///
    /// # Errors
    /// Not as many remotes as calls.
    pub fn new(level: Level, plan: &Plan, remotes: &[[RemoteLeg; 2]], port: EnginePort) -> Result<Self, LoadError> {
        if remotes.len() != plan.calls.len() {
            return Err(LoadError::SetUp(format!("{} of {} calls were set up", remotes.len(), plan.calls.len())));
        }
        let nowhere = RemoteLeg::plain(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0));
        let mut by_leg = vec![nowhere; plan.legs.len()];
        for (legs, remotes) in plan.calls.iter().zip(remotes) {
            for (leg, remote) in legs.iter().zip(remotes) {
                by_leg[*leg as usize] = *remote;
            }
        }
        let tracks = Tracks::new(level, &plan.spec);
        let latencies = receiver::latencies().map_err(|error| LoadError::Port(error.to_string()))?;
        Ok(Self {
            sender: Sender::new(plan, &tracks.tracks, &by_leg, port.mac, &port.macs, port.lateness_ns),
            receiver: Receiver::new(plan, &by_leg, latencies),
            spec: plan.spec.clone(),
            calls: plan.calls.clone(),
            addresses: plan.network.addresses.clone(),
            port,
            tracks,
            out: Burst::new(),
            departing: ArrayVec::new(),
            kept: 0,
            held_up: 0,
            ended: None,
            interrupted: false,
            given_up: false,
            polled: Nanos(0),
            busy_ns: 0,
            overruns: 0,
            second: Second::default(),
            stops: StopWatch::default(),
            timeline: Timeline::default(),
        })
    }

    /// Begins.
    pub fn start(&mut self, now: Nanos) {
        self.sender.start(now);
        let lasts_ns = u64::from(self.spec.warm_up_ms) * 1_000_000 + u64::from(self.spec.seconds) * 1_000_000_000;
        self.timeline = Timeline::new(now, lasts_ns + 2 * LINGER_NS);
        self.polled = now;
        self.second = Second { at: now, ..Second::default() };
    }

    /// Takes what was received by `now`, and drops it. Says whether there was anything.
    #[inline]
    pub fn receive<Io: PacketIo<Buf = B>>(&mut self, now: Nanos, frames: &mut Burst<B>, io: &mut Io) -> bool {
        self.note_overrun(now);
        let any = !frames.is_empty();
        for mut frame in frames.drain(..) {
            if !self.receiver.on_frame(now, frame.data_mut(), &self.tracks.tracks, &self.sender, &mut self.timeline) {
                let answered = neighbour::answer(&mut frame, &self.addresses, self.port.mac);
                if answered {
                    let mut burst = Burst::new();
                    burst.push(frame);
                    // One that the port does not take is asked for again.
                    io.tx_burst(&mut burst);
                }
            }
        }
        any
    }

    /// Whoever does not look for too long lets the receive queue run over, and what is lost there is nobody else's fault.
    #[inline]
    fn note_overrun(&mut self, now: Nanos) {
        let gap_ns = now.0.saturating_sub(self.polled.0);
        self.polled = now;
        if gap_ns > 100_000 {
            let per_second = self.spec.packets_per_second();
            let came = (gap_ns as f64 * per_second / 1e9) as u64;
            self.overruns += came.saturating_sub(self.port.receive_room.into());
        }
    }

    /// Makes frames of what is due by `now`, as many as a burst holds, behind those the port did not take the last time. Says whether
    /// there is any.
    #[inline]
    pub fn prepare<Io: PacketIo<Buf = B>>(&mut self, now: Nanos, io: &mut Io) -> bool {
        while !self.out.is_full() {
            let Some((frame, departing)) = self.sender.next(now, &self.tracks.tracks, || io.allocate()) else { break };
            self.out.push(frame);
            self.departing.push(departing);
        }
        !self.out.is_empty()
    }

    /// Hands the frames to the port at `now`.
    #[inline]
    pub fn depart<Io: PacketIo<Buf = B>>(&mut self, now: Nanos, io: &mut Io) {
        let before = self.out.len();
        io.tx_burst(&mut self.out);
        let taken = before - self.out.len();
        for departing in self.departing.drain(..taken) {
            if self.sender.left(now, &departing) {
                self.timeline.late(now);
            }
        }
        let (left, known) = (self.out.len(), self.kept.saturating_sub(taken));
        self.held_up += (left - known) as u64;
        self.kept = left;
    }

    /// Frames that are ready for the port.
    pub fn waiting(&self) -> usize {
        self.out.len()
    }

    /// A round that did something took so long.
    #[inline]
    pub fn was_busy(&mut self, ns: u64) {
        self.busy_ns += ns;
    }

    /// A round lasted from `began` to `ended`; `ran_ns` reads the processor time of the thread ([`StopWatch::round`]).
    #[inline]
    pub fn round(&mut self, began: Nanos, ended: Nanos, ran_ns: impl FnOnce() -> Option<u64>) {
        if let Some(stop) = self.stops.round(began, ended, ran_ns) {
            self.timeline.stopped(stop);
        }
    }

    /// Ends the measurement as soon as every leg has sent its packet of the round under way.
    pub fn end_early(&mut self) {
        if !self.interrupted && !self.sender.is_over() {
            self.interrupted = true;
            self.sender.end_early();
        }
    }

    /// Ends the measurement early where what will come of it is certain.
    fn give_up_when_certain(&mut self, now: Nanos) {
        let Some(bounds) = self.spec.give_up else { return };
        // What the gateway counts is read over a second at least.
        let measured_ns = now.0.saturating_sub(self.sender.measured_from().0);
        if self.interrupted || self.given_up || measured_ns < GIVE_UP_AFTER_NS || self.sender.is_over() {
            return;
        }
        let due: u64 = self.sender.counts.due_out.iter().sum();
        let came: u64 = self.receiver.counts.iter().map(|counts| counts.in_time).sum();
        let way_ns = (2 * bounds.slow_ns).clamp(UNDER_WAY_NS, LINGER_NS);
        let under_way = (self.spec.packets_per_second() * way_ns as f64 / 1e9) as u64;
        let lost = due.saturating_sub(came).saturating_sub(under_way);
        let slow = || self.receiver.slower_than(bounds.slow_ns);
        if self.sender.behind_ns(now) > HOPELESSLY_BEHIND_NS || lost > bounds.lost || slow() > bounds.slow {
            self.given_up = true;
            self.sender.end_early();
        }
    }

    /// Whether everything was sent and what may still come has had its time.
    pub fn is_over(&mut self, now: Nanos) -> bool {
        if self.ended.is_none() && self.sender.is_over() && self.out.is_empty() {
            self.ended = Some(now);
        }
        self.ended.is_some_and(|ended| now.0 >= ended.0 + LINGER_NS)
    }

    /// What the last second brought, once it is over.
    #[inline]
    pub fn progress(&mut self, now: Nanos) -> Option<Progress> {
        let since_ns = now.0.saturating_sub(self.second.at.0);
        if since_ns < 1_000_000_000 || self.ended.is_some() {
            return None;
        }
        self.give_up_when_certain(now);
        let next = Second {
            at: now,
            sent: self.sender.counts.packets,
            received: self.receiver.packets,
            busy_ns: self.busy_ns,
        };
        let last = std::mem::replace(&mut self.second, next);
        let seconds = since_ns as f64 / 1e9;
        Some(Progress {
            seconds: (now.0 as f64 - self.sender.measured_from().0 as f64) / 1e9,
            calls: self.spec.calls,
            sent: ((next.sent - last.sent) as f64 / seconds) as u64,
            received: ((next.received - last.received) as f64 / seconds) as u64,
            lost: self.receiver.missing,
            wrong_audio: self.receiver.counts.iter().map(|counts| counts.wrong_audio).sum(),
            p99_ns: self.receiver.latency.value_at_quantile(0.99),
            utilisation: (next.busy_ns - last.busy_ns) as f64 / since_ns as f64,
        })
    }

    /// What the run showed. `port_overruns` is what the port itself says it lost on receive.
    pub fn outcome(&mut self, now: Nanos, port_overruns: u64) -> LoadOutcome {
        self.timeline.end();
        let mut calls = CallCounts { running: self.calls.len() as u32, ..CallCounts::default() };
        let mut lost = [0; 2];
        for legs in &self.calls {
            let (mut has_loss, mut has_wrong_audio, mut is_one_way) = (false, false, false);
            for side in [0, 1] {
                let due = self.sender.due_out(legs[side]);
                let (in_time, heard, wrong_audio) = self.receiver.leg(legs[1 - side]);
                lost[side] += u64::from(due.saturating_sub(in_time));
                has_loss |= in_time < due;
                has_wrong_audio |= wrong_audio;
                is_one_way |= !heard && due > 0;
            }
            calls.with_loss += u32::from(has_loss);
            calls.wrong_audio += u32::from(has_wrong_audio);
            calls.one_way += u32::from(is_one_way);
        }
        let (sent, received) = (&self.sender.counts, &self.receiver.counts);
        let directions = [0, 1].map(|side| DirectionCounts {
            sent: sent.due_out[side],
            received: received[side].received,
            lost: lost[side],
            duplicated: received[side].duplicated,
            reordered: received[side].reordered,
            wrong_audio: received[side].wrong_audio,
            checked: received[side].checked,
            withheld: sent.withheld[side],
        });
        let ran_ns = self.ended.unwrap_or(now).0.saturating_sub(self.sender.started().0).max(1);
        let source = SourceUse {
            utilisation: (self.busy_ns as f64 / ran_ns as f64).min(1.0),
            late_packets: sent.late,
            worst_lateness_ns: sent.worst_lateness_ns,
            unsent: sent.unsent + self.out.len() as u64,
            held_up: self.held_up,
            // Who stands still does not send either: only where something is missing did the queue run over.
            receive_overruns: port_overruns + self.overruns.min(lost.iter().sum()),
        };
        LoadOutcome {
            spec: self.spec.clone(),
            seconds: self.sender.measured_seconds(),
            interrupted: self.interrupted,
            given_up: self.given_up,
            void: self.void(&source),
            directions,
            latency: Latency::of(&self.receiver.latency),
            calls,
            source,
            set_up_added: None,
            timeline: self.timeline.clone(),
        }
    }

    /// Why nothing may be held against the gateway.
    fn void(&self, source: &SourceUse) -> Vec<VoidReason> {
        let mut void = Vec::new();
        let of = self.sender.counts.measured;
        if source.late_packets as f64 > LATE_SHARE * of as f64 {
            void.push(VoidReason::Late {
                packets: source.late_packets,
                of,
                bound_ns: self.port.lateness_ns,
                worst_ns: source.worst_lateness_ns,
            });
        }
        if source.unsent > 0 {
            void.push(VoidReason::PortFull { packets: source.unsent });
        }
        if source.utilisation > BUSY_LIMIT {
            void.push(VoidReason::Saturated { utilisation: source.utilisation, limit: BUSY_LIMIT });
        }
        if source.receive_overruns > 0 {
            void.push(VoidReason::ReceiveOverrun { packets: source.receive_overruns });
        }
        void
    }
}
