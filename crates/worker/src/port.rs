use std::net::IpAddr;
use std::sync::Arc;

use arrayvec::ArrayVec;
use tandem_contract::{DropReason, Fence, Nanos, Stage, TapHeader, WorkerCounters, WorkerId};
use tandem_media::Egress;
use tandem_packet_io::{Burst, PacketIo};
use tandem_wire::ethernet::MacAddress;

use crate::functions::Tap;
use crate::handover::{Handover, ToWorker};
use crate::stages::Laps;

/// Distinct receive times that the packets of one round may have. Beyond that, the rest are counted with the last one.
const DEPARTURE_TIMES: usize = 256;
/// How often a transmit burst is tried again while the device takes at least some of it.
const TRANSMIT_TRIES: usize = 4;

/// The worker's side of its device and of the rings to other workers: where the engine's frames go.
pub(crate) struct Port<Io: PacketIo> {
    pub(crate) io: Io,
    /// The time of this round's receive burst.
    pub(crate) now: Nanos,
    unsent: Burst<Io::Buf>,
    to: Box<[Option<ToWorker<Io::Buf>>]>,
    /// When packets forwarded in this round were received, and how many.
    departures: ArrayVec<(Nanos, u64), DEPARTURE_TIMES>,
    counters: Arc<WorkerCounters>,
    pub(crate) tap: Option<Tap>,
    pub(crate) laps: Laps,
    /// Until when this node may send.
    pub(crate) fence: Option<Arc<Fence>>,
}

impl<Io: PacketIo> Port<Io> {
    pub(crate) fn new(io: Io, to: Box<[Option<ToWorker<Io::Buf>>]>, counters: Arc<WorkerCounters>) -> Self {
        Self {
            io,
            now: Nanos(0),
            unsent: Burst::new(),
            to,
            departures: ArrayVec::new(),
            counters,
            tap: None,
            laps: Laps::none(),
            fence: None,
        }
    }

    /// Records how long the packets of the last round took until `now`.
    pub(crate) fn time_departures(&mut self, now: Nanos) {
        for (received_at, packets) in self.departures.drain(..) {
            self.counters.added_latency.record_n(now.since(received_at), packets);
        }
    }

    /// Gives the device what it takes. What it does not take waits for the next round, up to one burst.
    pub(crate) fn flush(&mut self) {
        if self.unsent.is_empty() {
            return;
        }
        if !self.is_permitted() {
            while self.unsent.pop().is_some() {
                self.counters.dropped(DropReason::NotPermitted);
            }
            return;
        }
        for _ in 0..TRANSMIT_TRIES {
            let before = self.unsent.len();
            if before == 0 {
                return;
            }
            self.io.tx_burst(&mut self.unsent);
            let sent = before - self.unsent.len();
            self.counters.frames_sent.add(sent as u64);
            if sent == 0 {
                return;
            }
        }
    }

    /// Whether the burst may leave: asked of the clock anew, because the process may have been stopped since the round began.
    fn is_permitted(&mut self) -> bool {
        let (laps, round) = (&mut self.laps, self.now);
        self.fence.as_ref().is_none_or(|fence| fence.is_open_at(|| laps.now().unwrap_or(round)))
    }

    /// Since when this node rests.
    #[inline]
    pub(crate) fn resting_since(&self) -> Option<Nanos> {
        self.fence.as_ref().and_then(|fence| fence.resting_since(self.now))
    }

    /// What was taken in before the rest has been sent, or could not be.
    pub(crate) fn note_rested(&self) {
        if let Some(fence) = &self.fence {
            fence.note_rested();
        }
    }

    /// Whether anything may be sent now, and, while the node rests, whether nothing that may not be is left here.
    pub(crate) fn takes_back(&self, rests: bool) -> bool {
        self.fence.as_ref().is_none_or(|fence| if rests { fence.is_lifted() } else { fence.is_open(self.now) })
    }

    /// Gives the device frames that are another node's, whoever may send: they are not ours, and say nothing in our name.
    pub(crate) fn pass_on(&mut self, frames: &mut Burst<Io::Buf>) {
        let before = frames.len();
        self.io.tx_burst(frames);
        let sent = (before - frames.len()) as u64;
        self.counters.frames_sent.add(sent);
        self.counters.frames_passed_on.add(sent);
        while frames.pop().is_some() {
            self.counters.dropped(DropReason::TransmitQueueFull);
        }
    }

    fn enqueue(&mut self, frame: Io::Buf) {
        if self.unsent.is_full() {
            self.flush();
        }
        if self.unsent.is_full() {
            // The oldest goes: it is worth least by now, and of several devices it is the one that stands still that has it.
            drop(self.unsent.remove(0));
            self.counters.dropped(DropReason::TransmitQueueFull);
        }
        self.unsent.push(frame);
    }
}

impl<Io: PacketIo> Egress for Port<Io> {
    type Buf = Io::Buf;

    #[inline]
    fn forward(&mut self, frame: Io::Buf, received_at: Nanos) {
        match self.departures.last_mut() {
            Some((time, packets)) if *time == received_at => *packets += 1,
            _ => {
                if let Err(full) = self.departures.try_push((received_at, 1)) {
                    debug_assert_eq!(full.element().1, 1);
                    if let Some((_, packets)) = self.departures.last_mut() {
                        *packets += 1;
                    }
                }
            }
        }
        self.enqueue(frame);
    }

    fn send(&mut self, frame: Io::Buf) {
        self.enqueue(frame);
    }

    fn hand_over(&mut self, owner: WorkerId, frame: Io::Buf) {
        let handover = Handover::Frame { frame, received_at: self.now };
        let ring = self.to.get_mut(usize::from(owner.0)).and_then(Option::as_mut);
        match ring.map(|ring| ring.push(handover)) {
            Some(Ok(())) => self.counters.handed_over.add(1),
            Some(Err(_)) | None => self.counters.dropped(DropReason::HandoverFull),
        }
    }

    fn announce(&mut self, address: IpAddr, port: Option<u8>, mac: MacAddress) {
        for ring in self.to.iter_mut().flatten() {
            // A full ring costs the other worker one answer; it will ask again.
            let _ = ring.push(Handover::Neighbour { address, port, mac });
        }
    }

    fn record(&mut self, header: &TapHeader, rtp: &[u8]) -> bool {
        self.tap.as_mut().is_some_and(|tap| tap.push(header, rtp))
    }

    #[inline]
    fn stage_ended(&mut self, stage: Stage) {
        self.laps.end(stage, &self.counters);
    }

    fn allocate(&mut self) -> Option<Io::Buf> {
        self.io.allocate()
    }
}
