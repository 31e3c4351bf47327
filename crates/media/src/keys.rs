//! Keys of the telephone between a leg that has them as tones in its audio and one that has them as events (RFC 4733).
//!
//! Tones become events where they are heard: from then on the event leg gets no audio until the key is released. What precedes is
//! what the detector needs to be sure, 25 ms or so. Events become tones packet by packet as time passes, like noise.

use tandem_codec::Level;
use tandem_codec::dtmf::{self, Detection, Detector, EventSender, ToneGenerator};
use tandem_codec::g711::{self, Law};
use tandem_codec::g722;
use tandem_codec::transcode::Codec;
use tandem_contract::{DropReason, Event, EventCode, Nanos};
use tandem_packet_io::PacketBuf;

use crate::batch::CUT;
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

/// Which way keys are carried over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carry {
    /// Both legs have them in the same way, or it is not wanted.
    AsTheyAre,
    /// The near leg has them as tones.
    ToEvents,
    /// The far leg has them as tones.
    ToTones,
}

/// Whether a codec leaves a tone what it is.
pub(crate) const fn carries_tones(codec: Codec) -> bool {
    matches!(codec, Codec::Pcmu | Codec::Pcma | Codec::G722)
}

/// The place of a stream's state of that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeysIndex(u32);

/// The states of all streams whose keys are carried over. Memory for them is set aside, and touched where it is needed.
pub(crate) struct AllKeys {
    states: Vec<Keys>,
    free: Vec<KeysIndex>,
}

impl AllKeys {
    pub(crate) fn new(capacity: u32) -> Self {
        let capacity = capacity as usize;
        Self { states: Vec::with_capacity(capacity), free: Vec::with_capacity(capacity) }
    }

    /// A new state, if the pair needs one.
    pub(crate) fn take(&mut self, pair: Pair) -> Option<KeysIndex> {
        let keys = Keys::new(pair)?;
        if let Some(index) = self.free.pop() {
            self.states[index.0 as usize] = keys;
            return Some(index);
        }
        // There is room for as many as there are pipelines, each of which has one at most.
        debug_assert!(self.states.len() < self.states.capacity());
        self.states.push(keys);
        Some(KeysIndex(self.states.len() as u32 - 1))
    }

    pub(crate) fn give_back(&mut self, index: Option<KeysIndex>) {
        self.free.extend(index);
    }

    /// Whether a tone is being made in place of what comes.
    pub(crate) fn is_sounding(&self, index: Option<KeysIndex>) -> bool {
        index.is_some_and(|index| matches!(self.states[index.0 as usize], Keys::ToTones { tone: Some(_), .. }))
    }

    fn of(&mut self, index: Option<KeysIndex>) -> Option<&mut Keys> {
        index.map(|index| &mut self.states[index.0 as usize])
    }
}

/// The state of that.
enum Keys {
    ToEvents {
        ear: Ear,
        detector: Detector,
        sender: EventSender,
    },
    ToTones {
        tone: Option<Tone>,
        /// When the last event began that was made a tone.
        last_event: Option<u32>,
    },
}

/// Hears what a payload holds, beside the decoder, which gets none of the tones.
enum Ear {
    G711(Law),
    G722(g722::Decoder),
}

impl Ear {
    fn of(codec: Codec) -> Self {
        codec.law().map_or_else(|| Self::G722(g722::Decoder::new(g722::Mode::Kbit64)), Self::G711)
    }

    /// The samples of up to 20 ms.
    fn hear<'a>(&mut self, level: Level, octets: &[u8], pcm: &'a mut [i16; 320]) -> &'a [i16] {
        match self {
            Self::G711(law) => {
                g711::decode(level, *law, octets, &mut pcm[..octets.len()]);
                &pcm[..octets.len()]
            }
            Self::G722(decoder) => {
                decoder.decode(octets, &mut pcm[..2 * octets.len()]);
                &pcm[..2 * octets.len()]
            }
        }
    }
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
    fn new(pair: Pair) -> Option<Self> {
        match pair.keys {
            Carry::AsTheyAre => None,
            Carry::ToEvents => Some(Self::ToEvents {
                ear: Ear::of(pair.from),
                detector: Detector::new(pair.from.rate()),
                sender: EventSender::new(USUAL_MINUS_DBM0),
            }),
            Carry::ToTones => Some(Self::ToTones { tone: None, last_event: None }),
        }
    }

    /// Listens to a payload that begins at `timestamp`; whether events are to be sent in its place.
    fn listen(&mut self, level: Level, payload: &[u8], timestamp: u32) -> bool {
        let Self::ToEvents { ear, detector, sender } = self else { return false };
        let mut pcm = [0; 320];
        let mut from = timestamp;
        for octets in payload.chunks(20 * TICKS_PER_MS) {
            let pcm = ear.hear(level, octets, &mut pcm);
            let samples_per_tick = pcm.len() / octets.len();
            detector.feed(pcm, |at, detection| match detection {
                Detection::Pressed(key) => sender.on_pressed(from, key),
                Detection::Released(_) => sender.on_released(from.wrapping_add((at / samples_per_tick) as u32)),
            });
            from = from.wrapping_add(octets.len() as u32);
        }
        !sender.is_idle()
    }

    /// The next packet of an event that is to be sent at `timestamp`, and whether it is the last one.
    fn poll_event(&mut self, timestamp: u32) -> Option<(dtmf::Packet, bool)> {
        let Self::ToEvents { sender, .. } = self else { return None };
        let packet = sender.poll_packet(timestamp)?;
        Some((packet, sender.is_idle()))
    }
}

impl Tone {
    /// Makes the samples of one packet of so many ticks; whether it is over with them.
    fn generate(&mut self, now: Nanos, pcm: &mut [i16], ticks: usize) -> bool {
        if !self.ended && now.since(self.last_heard) > MAX_SILENT_NS {
            (self.ended, self.known) = (true, self.made);
        }
        let left = (self.known.saturating_sub(self.made)) as usize;
        let is_last = self.ended && left <= ticks;
        let (sounding, fading) = pcm.split_at_mut(if is_last { left * pcm.len() / ticks } else { pcm.len() });
        self.generator.generate(sounding);
        if is_last {
            self.generator.release();
            self.generator.generate(fading);
        }
        self.made = self.made.saturating_add(ticks as u32);
        is_last
    }
}

impl<B: PacketBuf> Engine<B> {
    /// Listens to a packet of speech; one that holds a key's tone is sent as events, and `None` is left of it.
    pub(crate) fn listen_for_keys<E: Egress<Buf = B>>(
        &mut self,
        now: Nanos,
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
        let keys = self.keys.of(pipeline.keys);
        if !keys.is_some_and(|keys| keys.listen(self.codec_level, payload, timestamp)) {
            return Ok(Some(arrival));
        }
        let end = timestamp.wrapping_add(payload.len() as u32);
        let received_at = arrival.received_at;
        let mut frame = Some(arrival.frame);
        while let Some((packet, is_last)) = self.keys.of(pipeline.keys).and_then(|keys| keys.poll_event(end)) {
            let is_end = packet.event.end;
            self.batches.set_payload(&packet.event.payload());
            let cut = pipeline.packets.event(verdict, packet.timestamp, packet.marker);
            let len = packet.event.payload().len();
            if let Some(frame) = frame.take().or_else(|| self.originate(egress)) {
                self.send_payload(now, index, frame, received_at, cut, Content::Event, CUT, len, egress)?;
            }
            if !is_end {
                break;
            }
            if is_last {
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
        let Some(Keys::ToTones { tone, last_event }) = self.keys.of(pipeline.keys) else {
            self.rare[index.at()].pipeline = Some(pipeline);
            return Err(DropReason::PayloadTypeUnknown);
        };
        match tone {
            Some(tone) if tone.timestamp == arrival.timestamp => {
                tone.known = tone.known.max(event.duration.into());
                tone.ended |= event.end;
                tone.last_heard = now;
            }
            _ if *last_event == Some(arrival.timestamp) => {}
            _ => {
                if let Some(key) = event.key() {
                    begin_at(&mut pipeline.packets, verdict, arrival.timestamp);
                    let minus_dbm0 = event.minus_dbm0.max(LOUDEST_MINUS_DBM0);
                    *last_event = Some(arrival.timestamp);
                    *tone = Some(Tone {
                        generator: ToneGenerator::new(key, minus_dbm0, pair.to.rate()),
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
        index: StreamIndex,
        pipeline: &mut Pipeline,
        egress: &mut E,
    ) -> bool {
        let Some(Keys::ToTones { tone: sounding, .. }) = self.keys.of(pipeline.keys) else { return false };
        let Some(tone) = sounding else { return false };
        let mut pcm = [0; 2 * MAX_PAYLOAD];
        let ticks = pipeline.packets.ticks_per_packet();
        let pcm = &mut pcm[..ticks * pipeline.transcoder.to().rate().samples_per_ms() / TICKS_PER_MS];
        let is_over = tone.generate(now, pcm, ticks);
        if is_over {
            *sounding = None;
        }
        if let Err(reason) = self.send_own_speech(now, index, pipeline, pcm, egress) {
            self.drop_frame(reason);
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
