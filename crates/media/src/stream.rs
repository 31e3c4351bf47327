//! One direction of a flow: what one leg receives and the other sends. Everything a packet needs stands in one place.

use std::net::SocketAddr;

use tandem_contract::{Codec, DropReason, Event, FlowId, Format, Learning, LegConfig, LegSide, Nanos, SourcePolicy};

use crate::continuity::{Continuity, Start};
use crate::defence::Bucket;
use crate::departure::Departure;
use crate::event_queue::EventQueue;
use crate::functions::Beside;
use crate::keys::Carry;
use crate::latch::{Admission, Latch};
use crate::peer::Peer;
use crate::pipeline::Pipeline;
use crate::reception::Reception;
use crate::reorder::WindowIndex;
use crate::reports::Reporting;
use crate::srtp_path::Contexts;
use crate::telephone_event::Hearing;
use crate::transcode::{Conversion, carry, is_made_audible};

/// Whether the receiving leg takes RTP, or the name under which it is dropped.
type Gate = Result<(), DropReason>;

/// A payload type that no packet has.
const NO_PAYLOAD_TYPE: u8 = 0xff;

/// Where packets of the stream leave.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Exit {
    /// Nowhere yet, or not now.
    Closed(DropReason),
    /// Towards a remote.
    Open(Departure),
}

/// What happens to the payload on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Treatment {
    /// Sent on as it is.
    Relay,
    /// Converted to the other leg's codec.
    Transcode(Conversion),
}

/// Of what kind an accepted packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Speech,
    /// A telephone event (RFC 4733).
    Event,
    /// Comfort noise (RFC 3389).
    Noise,
}

/// What each packet of a stream needs, and nothing else: the less there is of it, the more streams are in the caches.
/// [`Rare`] is the rest. The order is fixed, so that [`Stream::touch`] reaches each of its cache lines.
#[repr(C, align(64))]
pub(crate) struct Stream {
    pub(crate) packets_received: u64,
    pub(crate) octets_received: u64,
    pub(crate) last_accepted: Nanos,
    /// Whom the latch has settled on, and when that was last heard.
    settled_heard_at: Nanos,
    settled_on: Peer,
    /// Packets that it may still accept.
    pub(crate) budget: Bucket,
    /// The SSRC that we send with to the peer whom this stream comes from, unless it may come back.
    refused_ssrc: Option<u32>,
    /// The receiving leg's SRTP, where it speaks that: opens what it gets and seals what it sends.
    pub(crate) srtp: Option<Box<Contexts>>,
    pub(crate) reception: Reception,
    pub(crate) packets_sent: u64,
    pub(crate) octets_sent: u64,
    pub(crate) continuity: Continuity,
    pub(crate) exit: Exit,
    pub(crate) beside: Beside,
    pub(crate) gate: Gate,
    receive_payload_type: u8,
    receive_event_type: u8,
    receive_noise_type: u8,
    send_payload_type: u8,
    send_event_type: u8,
    send_noise_type: u8,
    /// Clock of the received codec, in ticks per millisecond.
    pub(crate) receive_khz: u8,
    pub(crate) treatment: Treatment,
    started_reported: bool,
    silence_reported: bool,
    /// The leg that sends this stream speaks SRTP: the memory for that is with the other direction.
    pub(crate) is_sealed: bool,
}

/// What a stream's packets need seldom, or only those that are decoded, whose part comes first.
#[repr(C, align(64))]
pub(crate) struct Rare {
    /// The codecs' state; a packet that waits in a batch has it with it.
    pub(crate) pipeline: Option<Box<Pipeline>>,
    /// Where packets wait for those before them, beside the pipeline.
    pub(crate) window: Option<WindowIndex>,
    /// The place of the noise that is made for as long as nothing is sent.
    pub(crate) noise: Option<u32>,
    pub(crate) packets_dropped: u64,
    pub(crate) latch: Latch,
    /// Codec and packet time of the receiving leg; `None` before anything is negotiated.
    pub(crate) receive_format: Option<(Codec, u8)>,
    /// The peer sends nothing where it has nothing to say.
    pub(crate) may_leave_out_silence: bool,
    pub(crate) address_lost_reported: bool,
    pub(crate) reporting: Reporting,
    pub(crate) hearing: Hearing,
}

impl Rare {
    /// That of a stream that belongs to no flow.
    pub(crate) fn vacant() -> Self {
        Self {
            latch: Latch::new(None, SourcePolicy::new(Learning::Off)),
            receive_format: None,
            may_leave_out_silence: false,
            address_lost_reported: false,
            packets_dropped: 0,
            reporting: Reporting::default(),
            hearing: Hearing::default(),
            pipeline: None,
            noise: None,
            window: None,
        }
    }

    /// Where the receiving leg's peer is: learned or signalled.
    pub(crate) const fn remote(&self) -> Option<SocketAddr> {
        self.latch.remote()
    }
}

impl Stream {
    /// A stream that belongs to no flow.
    pub(crate) fn vacant() -> Self {
        let start = Start { ssrc: 0, first_sequence: 0, first_timestamp: 0 };
        Self {
            gate: Err(DropReason::NotNegotiated),
            receive_payload_type: NO_PAYLOAD_TYPE,
            receive_event_type: NO_PAYLOAD_TYPE,
            receive_noise_type: NO_PAYLOAD_TYPE,
            send_payload_type: 0,
            send_event_type: NO_PAYLOAD_TYPE,
            send_noise_type: NO_PAYLOAD_TYPE,
            receive_khz: 8,
            treatment: Treatment::Relay,
            started_reported: false,
            silence_reported: false,
            is_sealed: false,
            refused_ssrc: None,
            settled_on: Peer::NOBODY,
            settled_heard_at: Nanos(0),
            budget: Bucket::FULL,
            beside: Beside::default(),
            reception: Reception::default(),
            last_accepted: Nanos(0),
            packets_received: 0,
            octets_received: 0,
            srtp: None,
            continuity: Continuity::new(start, 8, 8),
            exit: Exit::Closed(DropReason::PeerNotReady),
            packets_sent: 0,
            octets_sent: 0,
        }
    }

    /// Takes over a configuration: `from` receives, `to` sends.
    pub(crate) fn configure(&mut self, rare: &mut Rare, now: Nanos, from: &LegConfig, to: &LegConfig) {
        let gate = match from.format {
            None => Err(DropReason::NotNegotiated),
            Some(_) if !from.direction.receives() => Err(DropReason::DirectionInactive),
            Some(_) => Ok(()),
        };
        if gate != self.gate {
            self.reception.pause();
            self.continuity.interrupt();
            self.last_accepted = now;
            self.silence_reported = false;
        }
        self.gate = gate;
        rare.may_leave_out_silence = from.format.is_some_and(|format| format.describes_silence());
        rare.latch.heard(self.settled_heard_at);
        rare.latch.configure(now, from.remote, from.source);
        self.settled_on = rare.latch.settled_on().map_or(Peer::NOBODY, Peer::from);
        self.settled_heard_at = rare.latch.heard_at();
        self.refused_ssrc = (!from.echoes).then_some(from.ssrc);
        self.receive_payload_type = from.format.map_or(NO_PAYLOAD_TYPE, |f| f.receive_payload_type.get());
        let number = from.format.and_then(|format| format.receive_telephone_event.or(format.telephone_event));
        self.receive_event_type = number.map_or(NO_PAYLOAD_TYPE, |number| number.get());
        self.receive_noise_type = Self::noise_type(from.format);
        self.send_payload_type = to.format.map_or(0, |f| f.payload_type.get());
        self.send_event_type = Self::event_type(to.format);
        self.send_noise_type = Self::noise_type(to.format);
        let khz = |format: Option<Format>| format.map_or(8, |f| (f.codec.clock_rate_hz() / 1000) as u8);
        self.receive_khz = khz(from.format);
        rare.receive_format = from.format.map(|format| (format.codec, format.ptime_ms));
        let start = Start { ssrc: to.ssrc, first_sequence: to.first_sequence, first_timestamp: to.first_timestamp };
        self.continuity.reconfigure(start, self.receive_khz, khz(to.format));
    }

    /// Another node has learned where the peer is.
    pub(crate) fn resume_latch(&mut self, rare: &mut Rare, now: Nanos, learned: Option<SocketAddr>) {
        rare.latch.resume(now, learned);
        self.settled_on = rare.latch.settled_on().map_or(Peer::NOBODY, Peer::from);
        self.settled_heard_at = rare.latch.heard_at();
    }

    fn event_type(format: Option<Format>) -> u8 {
        format.and_then(|f| f.telephone_event).map_or(NO_PAYLOAD_TYPE, |t| t.get())
    }

    fn noise_type(format: Option<Format>) -> u8 {
        format.and_then(|f| f.comfort_noise).map_or(NO_PAYLOAD_TYPE, |t| t.get())
    }

    /// Something of each cache line, so that the misses of a burst overlap rather than queue up.
    #[inline(always)]
    pub(crate) fn touch(&self) -> u64 {
        let srtp = self.srtp.as_ref().map_or(0, |contexts| contexts.touch());
        let next_hop = match &self.exit {
            Exit::Open(departure) => departure.touch(),
            Exit::Closed(_) => 0,
        };
        let ssrc = self.refused_ssrc.unwrap_or(0);
        let numbers = self.packets_received ^ self.packets_sent ^ u64::from(ssrc);
        srtp ^ numbers ^ u64::from(next_hop) ^ u64::from(self.receive_payload_type)
    }

    /// Whether its packets go through [`Rare::pipeline`].
    #[inline(always)]
    pub(crate) const fn is_decoded(&self) -> bool {
        matches!(self.treatment, Treatment::Transcode(Conversion::Linear(_)))
    }

    /// What a payload type means on the receiving leg.
    #[inline]
    pub(crate) fn content(&self, payload_type: u8) -> Option<Content> {
        if payload_type == self.receive_payload_type {
            Some(Content::Speech)
        } else if payload_type == self.receive_event_type {
            Some(Content::Event)
        } else if payload_type == self.receive_noise_type {
            Some(Content::Noise)
        } else {
            None
        }
    }

    /// The payload type to send content with, where the peer takes it.
    #[inline]
    pub(crate) fn send_type(&self, content: Content) -> Option<u8> {
        match content {
            Content::Speech => Some(self.send_payload_type),
            Content::Event => Some(self.send_event_type).filter(|t| *t != NO_PAYLOAD_TYPE),
            Content::Noise => Some(self.send_noise_type).filter(|t| *t != NO_PAYLOAD_TYPE),
        }
    }

    /// Whether an SSRC is one of ours, on this leg or on the other: such a packet has been here before.
    #[inline]
    pub(crate) fn is_own(&self, ssrc: u32) -> bool {
        self.refused_ssrc == Some(ssrc) || self.continuity.ssrc() == ssrc
    }

    /// Whether a packet comes from whom the latch has settled on: nearly every one does.
    #[inline(always)]
    pub(crate) fn admits(&mut self, now: Nanos, peer: Peer) -> bool {
        let is_settled_on = self.settled_on == peer;
        if is_settled_on {
            self.settled_heard_at = now;
        }
        is_settled_on
    }

    /// What a packet from anybody else means, whose synchronisation source is `ssrc`.
    #[cold]
    pub(crate) fn admit_other(&mut self, rare: &mut Rare, now: Nanos, peer: Peer, ssrc: u32) -> Admission {
        rare.latch.heard(self.settled_heard_at);
        let admission = rare.latch.admit(now, peer.address(), self.reception.is_other(ssrc));
        self.settled_on = rare.latch.settled_on().map_or(Peer::NOBODY, Peer::from);
        self.settled_heard_at = rare.latch.heard_at();
        admission
    }

    /// Takes note of an accepted packet; whether control has yet to be told that the leg is heard.
    #[inline(always)]
    pub(crate) fn on_accepted(&mut self, now: Nanos, octets: usize) -> bool {
        self.last_accepted = now;
        self.silence_reported = false;
        self.packets_received += 1;
        self.octets_received += octets as u64;
        !self.started_reported
    }

    /// Reports that a leg is heard, when there is room for that.
    #[cold]
    pub(crate) fn report_start(
        &mut self,
        id: FlowId,
        leg: LegSide,
        (peer, handed_over): (Peer, bool),
        events: &mut EventQueue,
    ) {
        let remote = peer.address();
        self.started_reported = events.push(Event::MediaStarted { flow: id, leg, remote, handed_over });
    }

    /// Reports a leg that should receive and does not.
    pub(crate) fn on_timeout(
        &mut self,
        now: Nanos,
        timeout_ms: u32,
        id: FlowId,
        leg: LegSide,
        events: &mut EventQueue,
    ) {
        let idle_ms = now.since(self.last_accepted) / 1_000_000;
        if self.gate.is_err() || self.silence_reported || idle_ms < u64::from(timeout_ms) {
            return;
        }
        let idle_ms = u32::try_from(idle_ms).unwrap_or(u32::MAX);
        self.silence_reported = events.push(Event::MediaTimeout { flow: id, leg, idle_ms });
    }

    /// Interarrival jitter in microseconds.
    pub(crate) fn jitter_us(&self) -> u32 {
        (u64::from(self.reception.jitter()) * 1000 / u64::from(self.receive_khz)) as u32
    }
}

/// What is done to speech between two formats, `None` when they cannot be joined.
pub(crate) fn treatment(from: &Format, to: &Format) -> Option<Treatment> {
    let same = from.codec == to.codec;
    // Opus packets say themselves how long they are; whoever decodes one takes any length.
    let same_frames = from.ptime_ms == to.ptime_ms && !is_made_audible(from, to) && carry(from, to) == Carry::AsTheyAre;
    if same && (same_frames || from.codec == Codec::Opus) {
        return Some(Treatment::Relay);
    }
    Conversion::between(from, to).map(Treatment::Transcode)
}

#[cfg(test)]
mod tests {
    use std::mem::offset_of;

    use super::*;

    #[test]
    fn what_a_packet_needs_is_five_cache_lines_and_each_is_touched() {
        assert_eq!(size_of::<Stream>(), 5 * 64);
        let touched = [
            offset_of!(Stream, packets_received),
            offset_of!(Stream, refused_ssrc),
            offset_of!(Stream, packets_sent),
            offset_of!(Stream, exit) + Departure::TOUCHED,
            offset_of!(Stream, receive_payload_type),
        ];
        assert_eq!(touched.map(|offset| offset / 64), [0, 1, 2, 3, 4]);
    }
}
