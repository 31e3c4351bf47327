use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::{DropReason, LatencyHistogram, Stage, StopLog};

/// What one leg received and sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default))]
pub struct LegCounters {
    /// RTP packets accepted from the peer.
    pub packets_received: u64,
    /// Payload octets accepted from the peer.
    pub octets_received: u64,
    /// RTP packets sent to the peer.
    pub packets_sent: u64,
    /// Payload octets sent to the peer.
    pub octets_sent: u64,
    /// Packets that the sequence numbers say were sent but did not arrive (RFC 3550 §A.3).
    pub packets_lost: u64,
    /// Packets of this leg that were dropped, for whatever reason.
    pub packets_dropped: u64,
    /// Interarrival jitter (RFC 3550 §A.8) in microseconds.
    pub jitter_us: u32,
    /// Time to the peer and back in microseconds, from its latest report that allows to tell (RFC 3550 §6.4.1); 0 before.
    pub round_trip_us: u32,
    /// Packets of ours that the peer's latest report says were lost.
    pub peer_packets_lost: u32,
    /// Interarrival jitter that the peer's latest report says, in microseconds.
    pub peer_jitter_us: u32,
    /// How the peer's speech arrives here: mean opinion score of the listening quality (ITU-T G.107) in hundredths, 100 to 450;
    /// 0 before the first packet.
    pub mos_received: u16,
    /// How our speech arrives at the peer, from its latest report; 0 before.
    pub mos_sent: u16,
}

/// A worker's totals since it started: written by that worker alone, readable at any time by anyone.
///
/// No frame goes missing: `frames_received + handed_in + frames_originated` is
/// `frames_sent + frames_consumed + handed_over +` the sum of `drops`, but for the few that wait in the worker right now
/// ([`WorkerCounters::frames_unaccounted`]).
#[derive(Debug, Default)]
pub struct WorkerCounters {
    /// Frames the device delivered.
    pub frames_received: Counter,
    /// Frames the device took.
    pub frames_sent: Counter,
    /// Frames the worker built in buffers of its own: ARP requests, reports, packets that re-framing or concealment adds.
    pub frames_originated: Counter,
    /// Frames that were taken in and answered with nothing: ARP replies, reports, media that another packet carries on.
    pub frames_consumed: Counter,
    /// RTP packets forwarded.
    pub rtp_forwarded: Counter,
    /// ARP and ICMP packets answered.
    pub control_answered: Counter,
    /// Packets handed to another worker, which owns their flow.
    pub handed_over: Counter,
    /// Packets that other workers handed to this one.
    pub handed_in: Counter,
    /// Of the frames sent, those that followed an address to the node that has it now.
    pub frames_passed_on: Counter,
    /// RTCP reports sent.
    pub reports_sent: Counter,
    /// RTCP packets taken in.
    pub reports_received: Counter,
    /// Codec batches run.
    pub batches: Counter,
    /// Frames in those batches; divided by their number, the mean lane fill.
    pub batch_frames: Counter,
    /// Nanoseconds that frames waited for their batch, summed over frames.
    pub batch_wait_ns: Counter,
    /// Packets of speech made up for lost ones.
    pub frames_concealed: Counter,
    /// Packets of comfort noise made while a peer that had described its silence sent nothing.
    pub frames_of_noise: Counter,
    /// Telephone events that were told to control.
    pub telephone_events: Counter,
    /// Packets of clips sent.
    pub packets_played: Counter,
    /// Packets copied to the recorder.
    pub packets_recorded: Counter,
    /// Packets of recorded calls that were not copied, because the recorder's ring was full.
    pub packets_unrecorded: Counter,
    /// Copies of packets sent to another address.
    pub packets_forked: Counter,
    /// Copies that were not sent: no packet buffer, or longer than the port's MTU.
    pub packets_unforked: Counter,
    /// Flows in the table now.
    pub flows: Counter,
    /// Of these, flows whose legs have not accepted any packet yet.
    pub half_open_flows: Counter,
    /// Rounds of the poll loop; a worker whose count stands still is stuck.
    pub polls: Counter,
    /// Rounds that found work.
    pub busy_polls: Counter,
    /// Nanoseconds spent in rounds that found work.
    pub busy_ns: Counter,
    /// Nanoseconds by [`Stage`], over rounds that found work; their sum is `busy_ns`, but for what is under way.
    pub stage_ns: StageTimes,
    /// Times in which something else had the worker's core.
    pub stops: StopLog,
    /// Commands that wait for the worker.
    pub commands_ring: RingDepth,
    /// Events that wait for control.
    pub events_ring: RingDepth,
    /// Frames that other workers have handed to this one and it has not taken in.
    pub handover_ring: RingDepth,
    /// Dropped packets by reason.
    pub drops: DropCounters,
    /// Nanoseconds from receive burst to transmit, per RTP packet.
    pub added_latency: LatencyHistogram,
}

/// One count per [`DropReason`], in the order of its table.
#[derive(Debug)]
pub struct DropCounters([Counter; DropReason::ALL.len()]);

impl Default for DropCounters {
    fn default() -> Self {
        Self(core::array::from_fn(|_| Counter::default()))
    }
}

impl core::ops::Deref for DropCounters {
    type Target = [Counter];

    fn deref(&self) -> &[Counter] {
        &self.0
    }
}

/// Nanoseconds per [`Stage`], in the order of its table.
#[derive(Debug, Default)]
pub struct StageTimes([Counter; Stage::ALL.len()]);

impl StageTimes {
    /// Adds time to a stage. Only the owning worker may call this.
    #[inline]
    pub fn add(&self, stage: Stage, ns: u64) {
        self.0[stage as usize].add(ns);
    }

    /// Nanoseconds spent on a stage.
    pub fn of(&self, stage: Stage) -> u64 {
        self.0[stage as usize].get()
    }
}

/// How much waits on a ring, looked at about every millisecond.
#[derive(Debug, Default)]
pub struct RingDepth {
    /// Entries at the last look.
    pub now: Counter,
    /// The most that any look found.
    pub most: Counter,
}

impl RingDepth {
    /// Takes note of a look. Only the owning worker may call this.
    pub fn observe(&self, entries: usize) {
        let entries = entries as u64;
        self.now.set(entries);
        if entries > self.most.get() {
            self.most.set(entries);
        }
    }
}

/// A number with one writer: plain load and store, no read-modify-write.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`. Only the owning worker may call this.
    #[inline]
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    /// Sets the value. Only the owning worker may call this.
    #[inline]
    pub fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }

    /// The value now.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

impl WorkerCounters {
    /// Counts one dropped packet. Only the owning worker may call this.
    #[inline]
    pub fn dropped(&self, reason: DropReason) {
        self.drops[reason as usize].add(1);
    }

    /// Dropped packets of one reason.
    pub fn drops_of(&self, reason: DropReason) -> u64 {
        self.drops[reason as usize].get()
    }
    /// Frames that came in and have not left by any counter yet: those that wait in the worker. Read while the worker
    /// runs it may be a few off, either way.
    pub fn frames_unaccounted(&self) -> i64 {
        let arrived = self.frames_received.get() + self.handed_in.get() + self.frames_originated.get();
        let drops: u64 = self.drops.iter().map(Counter::get).sum();
        let left = self.frames_sent.get() + self.frames_consumed.get() + self.handed_over.get() + drops;
        arrived.wrapping_sub(left) as i64
    }
}
