//! Keys of the telephone between a leg that has them as tones in its audio and one that has them as events (RFC 4733).
//!
//! Tones become events where they are heard: from then on the event leg gets no audio until the key is released. What precedes is
//! what the detector needs to be sure, 25 ms or so. Events become tones packet by packet as time passes, like noise.

use tandem_codec::Level;
use tandem_codec::dtmf::{self, Detection, Detector, EventSender, ToneGenerator};
use tandem_codec::g711::{self, Law};
use tandem_codec::resample::Rate;
use tandem_contract::{DropReason, Event, EventCode, Nanos};
use tandem_packet_io::PacketBuf;

use crate::egress::Egress;
use crate::engine::Engine;
use crate::flow::leg_of;
use crate::pipeline::{Join, Packetizer, Pipeline};
use crate::port_table::StreamIndex;
use crate::reception::Verdict;
use crate::rtp_path::Arrival;
use crate::stream::Content;
use crate::transcode::{MAX_PAYLOAD, Pair, TICKS_PER_MS};

/// The level that events say which tones become (RFC 4733 §2.3.3): what a telephone usually sends.
const USUAL_MINUS_DBM0: u8 = 10;
/// The loudest that a tone is made, which G.711 still holds.
const LOUDEST_MINUS_DBM0: u8 = 4;
/// An event of which nothing is heard for so long has ended.
const MAX_SILENT_NS: u64 = 150_000_000;

/// Which way keys are carried over, and the law of the leg that has them as tones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carry {
    /// Both legs have them in the same way, or it is not wanted.
    AsTheyAre,
    ToEvents(Law),
    ToTones(Law),
}

/// The state of that.
pub(crate) struct Keys {
    detector: Detector,
    sender: EventSender,
    tone: Option<Tone>,
    /// When the last event began that was made a tone.
    last_event: Option<u32>,
}

/// A tone that is being made.
struct Tone {
    generator: ToneGenerator,
    /// When its event began.
    timestamp: u32,
    /// Ticks made, and ticks that the event has lasted as far as is known.
    made: u32,
    known: u32,
    ended: bool,
    last_heard: Nanos,
}

impl Keys {
    pub(crate) fn new() -> Self {
        Self {
            detector: Detector::new(Rate::Hz8000),
            sender: EventSender::new(USUAL_MINUS_DBM0),
            tone: None,
            last_event: None,
        }
    }

    /// Whether a tone is being made in place of what comes.
    pub(crate) const fn is_sounding(&self) -> bool {
        self.tone.is_some()
    }

    /// Listens to a payload that begins at `timestamp`; whether events are to be sent in its place.
    fn listen(&mut self, level: Level, law: Law, payload: &[u8], timestamp: u32) -> bool {
        let Self { detector, sender, .. } = self;
        let mut pcm = [0; 160];
        let mut from = timestamp;
        for octets in payload.chunks(pcm.len()) {
            let pcm = &mut pcm[..octets.len()];
            g711::decode(level, law, octets, pcm);
            detector.feed(pcm, |at, detection| match detection {
                Detection::Pressed(key) => sender.on_pressed(from, key),
                Detection::Released(_) => sender.on_released(from.wrapping_add(at as u32)),
            });
            from = from.wrapping_add(octets.len() as u32);
        }
        !sender.is_idle()
    }
}

impl Tone {
    /// Makes the samples of one packet; whether it is over with them.
    fn generate(&mut self, now: Nanos, pcm: &mut [i16]) -> bool {
        if !self.ended && now.since(self.last_heard) > MAX_SILENT_NS {
            (self.ended, self.known) = (true, self.made);
        }
        let left = (self.known.saturating_sub(self.made)) as usize;
        let is_last = self.ended && left <= pcm.len();
        let (sounding, fading) = pcm.split_at_mut(if is_last { left } else { pcm.len() });
        self.generator.generate(sounding);
        if is_last {
            self.generator.release();
            self.generator.generate(fading);
        }
        self.made = self.made.saturating_add(pcm.len() as u32);
        is_last
    }
}

impl<B: PacketBuf> Engine<B> {
    /// Listens to a packet of speech; one that holds a key's tone is sent as events, and `None` is left of it.
    pub(crate) fn listen_for_keys<E: Egress<Buf = B>>(
        &mut self,
        now: Nanos,
        law: Law,
        index: StreamIndex,
        pipeline: &mut Pipeline,
        arrival: Arrival<B>,
        verdict: Verdict,
        egress: &mut E,
    ) -> Result<Option<Arrival<B>>, DropReason> {
        let payload_at = usize::from(arrival.payload_at);
        let payload = arrival.frame.data().get(payload_at..payload_at + usize::from(arrival.payload_len));
        let payload = payload.unwrap_or_default();
        let timestamp = arrival.timestamp;
        if !pipeline.keys.listen(self.codec_level, law, payload, timestamp) {
            return Ok(Some(arrival));
        }
        let end = timestamp.wrapping_add(payload.len() as u32);
        let received_at = arrival.received_at;
        let mut frame = Some(arrival.frame);
        while let Some(packet) = pipeline.keys.sender.poll_packet(end) {
            let is_end = packet.event.end;
            self.batches.set_payload(&packet.event.payload());
            let cut = pipeline.packets.event(verdict, packet.timestamp, packet.marker);
            let len = packet.event.payload().len();
            if let Some(frame) = frame.take().or_else(|| self.originate(egress)) {
                self.send_payload(now, index, frame, received_at, cut, Content::Event, 0, len, egress)?;
            }
            if !is_end {
                break;
            }
            if pipeline.keys.sender.is_idle() {
                self.tell_key(index, packet.event);
            }
        }
        Ok(None)
    }

    fn tell_key(&mut self, index: StreamIndex, event: dtmf::Event) {
        let (slot, leg) = leg_of(index);
        let Some(flow) = self.flows[slot as usize].as_ref().map(|flow| flow.id) else { return };
        let duration_ms = u32::from(event.duration) / TICKS_PER_MS as u32;
        if self.events.push(Event::TelephoneEvent { flow, leg, code: EventCode(event.code), duration_ms }) {
            self.counters.telephone_events.add(1);
        }
    }

    /// Takes in a packet of an event that the other leg hears as a tone.
    #[cold]
    pub(crate) fn sound_event<E: Egress<Buf = B>>(
        &mut self,
        now: Nanos,
        pair: Pair,
        index: StreamIndex,
        arrival: &Arrival<B>,
        verdict: Verdict,
        egress: &mut E,
    ) -> Result<(), DropReason> {
        let payload_at = usize::from(arrival.payload_at);
        let payload = arrival.frame.data().get(payload_at..payload_at + usize::from(arrival.payload_len));
        let event = dtmf::Event::parse(payload.unwrap_or_default()).map_err(|_| DropReason::PayloadLengthBad)?;
        let mut pipeline = self.take_pipeline(now, pair, index, egress)?;
        let Pipeline { packets, keys, .. } = &mut *pipeline;
        match &mut keys.tone {
            Some(tone) if tone.timestamp == arrival.timestamp => {
                tone.known = tone.known.max(event.duration.into());
                tone.ended |= event.end;
                tone.last_heard = now;
            }
            _ if keys.last_event == Some(arrival.timestamp) => {}
            _ => {
                if let Some(key) = event.key() {
                    begin_at(packets, verdict, arrival.timestamp);
                    let minus_dbm0 = event.minus_dbm0.max(LOUDEST_MINUS_DBM0);
                    keys.last_event = Some(arrival.timestamp);
                    keys.tone = Some(Tone {
                        generator: ToneGenerator::new(key, minus_dbm0, Rate::Hz8000),
                        timestamp: arrival.timestamp,
                        made: 0,
                        known: event.duration.into(),
                        ended: event.end,
                        last_heard: now,
                    });
                    self.end_noise(index);
                    self.begin_noise(now, index, 0);
                }
            }
        }
        self.rare[index.at()].pipeline = Some(pipeline);
        self.counters.frames_consumed.add(1);
        Ok(())
    }

    /// Makes and sends one packet of the tone that sounds; whether it goes on.
    pub(crate) fn make_tone<E: Egress<Buf = B>>(
        &mut self,
        now: Nanos,
        law: Law,
        index: StreamIndex,
        pipeline: &mut Pipeline,
        egress: &mut E,
    ) -> bool {
        let Some(tone) = &mut pipeline.keys.tone else { return false };
        let mut pcm = [0; MAX_PAYLOAD];
        let mut octets = [0; MAX_PAYLOAD];
        let ticks = pipeline.packets.ticks_per_packet().min(MAX_PAYLOAD);
        let is_over = tone.generate(now, &mut pcm[..ticks]);
        g711::encode(self.codec_level, law, &pcm[..ticks], &mut octets[..ticks]);
        pipeline.packets.push(&octets[..ticks]);
        while let Some((cut, len)) = pipeline.packets.pop(&mut octets) {
            self.batches.set_payload(&octets[..len]);
            let Some(frame) = self.originate(egress) else { continue };
            if let Err(reason) = self.send_payload(now, index, frame, now, cut, Content::Speech, 0, len, egress) {
                self.drop_frame(reason);
            }
        }
        if is_over {
            pipeline.keys.tone = None;
        }
        !is_over
    }
}

/// The next octets are those of `timestamp`.
fn begin_at(packets: &mut Packetizer, verdict: Verdict, timestamp: u32) {
    if let Join::Lost(ticks) = packets.join(verdict, timestamp, true) {
        packets.leave_gap(ticks);
    }
}
